/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A local SOCK_SEQPACKET socket for processes of root on this node: csvfsd and vm-host attach here.
 * One packet is one message; what a packet means is its user's business.
 *
 * Loop thread only.
 */
#ifndef CLUSTERD_EDGE_LOCAL_H
#define CLUSTERD_EDGE_LOCAL_H

#include <qb/qbloop.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LOCAL_PACKET_MAX       4096
#define LOCAL_CONNS_MAX	       512
#define LOCAL_PACKETS_PER_TURN 64 /* of one connection, before the loop looks at others */

struct local;

struct local_conn {
	struct local_conn *next;
	struct local *local;
	int fd;
	pid_t pid;    /* of the process at the other end, by SO_PEERCRED */
	bool is_gone; /* freed at the next local_reap() */
	void *user;   /* for the user of this module; it gives it back in `closed` */
};

struct local_calls {
	/* A packet. False: it is not what was agreed, the connection is closed. */
	bool (*packet)(void *arg, struct local_conn *c, const void *data, size_t len);
	/* The connection is at its end; also after local_drop(). */
	void (*closed)(void *arg, struct local_conn *c);
	/* After what was there has been given, a turn of the loop: look at what has changed. */
	void (*changed)(void *arg);
};

/* Listens at path (at most 107 bytes), mode 0600. 0 and owned, or -errno with a text. */
int local_open(qb_loop_t *loop, const char *path, const struct local_calls *calls, void *arg,
	       struct local **ret, char *text, size_t text_size);
/* Drops all connections. Takes NULL. */
void local_close(struct local *l);
/* False if it was not sent: the connection is gone, or its reader slow: then later. */
bool local_send(struct local_conn *c, const void *data, size_t len);
void local_drop(struct local_conn *c);
/* Frees connections that are gone. Not from a callback. */
void local_reap(struct local *l);
/* The first connection; NULL if there is none. Rows that are gone stand among them. */
struct local_conn *local_first(const struct local *l);

#endif
