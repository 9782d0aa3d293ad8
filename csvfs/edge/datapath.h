/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mount's own way to the LUN: I/O on files that the coordinator has granted, past every cache,
 * and the line over which grants are recalled. csvfs/core/direct.h decides.
 *
 * Threads of its own: one holds the line and answers recalls, one sends, one opens the LUN and
 * tries it when it is sick. None of them waits for a request, nor do their locks: of this and of
 * the client, this one's is the inner.
 */
#ifndef CSVFS_EDGE_DATAPATH_H
#define CSVFS_EDGE_DATAPATH_H

#include "csvfs/core/direct.h"
#include "csvfs/edge/client.h"

#define DATAPATH_HOME 1 /* the coordinator must do it */

struct datapath;

struct datapath_options {
	struct csv_uuid volume;
	uint64_t mount; /* incarnation */
	struct tls_key key;
	struct client *client; /* outlives it, as do the next */
	struct mount_cache *cache;
	/* Opens the volume's LUN for direct I/O, having read from it. May block. The descriptor or
	 * -errno. */
	int (*open_device)(void *arg);
	/* LOCK_GRANTED has come. From the line's thread; NULL: the mount has no locks. */
	void (*on_lock_granted)(void *arg, uint64_t number);
	struct keep *keep; /* NULL: nothing outlives the process */
	/* What datapath_status() says has changed. Any thread; calls nothing of this. */
	void (*on_change)(void *arg);
	void *arg;
};

struct datapath_status {
	enum direct_io io;
	bool is_quiet;
	const char *why;   /* it is not active; "" */
	uint64_t since_ms; /* as csv_now_ms() */
	uint64_t reads, writes, bytes, redirected_bytes;
	uint32_t granted; /* files */
};

/* 0 and owned, or -errno. */
int datapath_open(const struct datapath_options *options, struct datapath **ret);
/* No I/O may be under way. Takes NULL. */
void datapath_close(struct datapath *d);
/* clusterd has told how things are: lease, coordinator. Any thread; never blocks. */
void datapath_target(struct datapath *d, const struct csv_link_state *state);
/* Now and then, and when the client has changed: looks at the lease, and at I/O that hangs. */
void datapath_tick(struct datapath *d);
void datapath_status(struct datapath *d, struct datapath_status *ret);
/* For the client: the `*cursor`-th grant and further, as RECLAIM_GRANT, for the coordinator of that
 * term. False: no more. */
bool datapath_reclaim(struct datapath *d, uint64_t term, size_t *cursor, struct csv_frame *ret);

/* ---- I/O; all take NULL, which sends it to the coordinator */

void datapath_opened(struct datapath *d, const struct csv_handle *h);
/* The same of what an earlier process had open, and may have written. */
void datapath_left(struct datapath *d, const struct csv_handle *h);
void datapath_closed(struct datapath *d, const struct csv_handle *h);
/*
 * Reads into buf, which has CSV_IO_MAX and is aligned to CSV_GRANT_BLOCK; what was asked for begins
 * at *ret_at. 0 or DATAPATH_HOME. An error of the LUN is no error: the coordinator does it.
 */
int datapath_read(struct datapath *d, const struct csv_handle *h, uint64_t offset, size_t size,
		  uint8_t *buf, size_t *ret_at, size_t *ret_len, struct client_interrupt *i);
/* Writes all from buf, aligned as above, or DATAPATH_HOME. is_sync: as with O_DSYNC. */
int datapath_write(struct datapath *d, const struct csv_handle *h, uint64_t offset, size_t size,
		   const uint8_t *buf, bool is_sync, struct client_interrupt *i);
/* Could this go direct at all? Then a buffer is worth taking. */
bool datapath_is_suitable(const struct datapath *d, uint64_t offset, size_t size, bool is_write);
/* What an open begins with, to be asked for before the open is: see csvfs/core/errors.h. */
uint64_t datapath_seen(struct datapath *d);
/* An error that an open with *seen has to be told of: a positive errno, once; 0: there is none. */
int datapath_error(struct datapath *d, const struct csv_handle *h, uint64_t *seen);
/* 0: all is on disk; DATAPATH_HOME: as far as this node knows, others may have written, too.
 * Negative: as datapath_error(). */
int datapath_fsync(struct datapath *d, const struct csv_handle *h, uint64_t *seen);
/* It went to the coordinator because the path is lost: counted. */
void datapath_went_home(struct datapath *d, size_t size);

#endif
