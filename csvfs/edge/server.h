/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's server: connections of mounts over TLS, the session core that decides what is
 * done with what they send, and the threads that execute it on the backing file system.
 *
 * Each connection has a reader and a writer; a fixed number of workers executes. The core is
 * stepped under one lock, and nothing that can block on a peer or (but for recovery) on a disk is
 * done under it.
 */
#ifndef CSVFS_EDGE_SERVER_H
#define CSVFS_EDGE_SERVER_H

#include "csvfs/edge/backing.h"
#include "lib/csv_link.h"
#include "lib/tls.h"

struct server;

struct server_options {
	struct csv_uuid volume;
	uint64_t term;
	struct backing *backing; /* borrowed until server_close() */
	uint64_t data_start;	 /* of the file system on the LUN */
	struct tls_key key;
	const char *address; /* to listen at; the port is chosen from a range, see server_port() */
	/* Something that server_status() tells has changed. Any thread; must not call back. */
	void (*changed)(void *arg);
	void *arg;
};

/*
 * Reads the records of the mounts that `state` names, drops what others have left on the disk,
 * listens. 0 and owned; -errno with a text.
 */
int server_open(const struct server_options *options, const struct csv_link_state *state,
		struct server **ret, char *text, size_t text_size);
/* clusterd has told how things are: mounts that came and ended, the lease. */
void server_state(struct server *s, const struct csv_link_state *state);
/* Fills what the server knows: port, serving, pending, oldest, dropped mounts. */
void server_status(struct server *s, struct csv_link_status *status);
/* Why it cannot go on; NULL while it can. */
const char *server_failure(struct server *s);
/* Begins to end: connections are closed, what executes ends. */
void server_stop(struct server *s);
/* The lease is over, by the clock. */
bool server_lease_is_over(struct server *s);
/* True after server_stop() when nothing executes any more. */
bool server_has_stopped(struct server *s);
/* After it has stopped, or failed: ends all threads. Takes NULL. */
void server_close(struct server *s);

#endif
