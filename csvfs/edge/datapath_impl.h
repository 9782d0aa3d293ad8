/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of csvfs/edge/datapath*.c. One mutex for everything; no I/O and no call under it. */
#ifndef CSVFS_EDGE_DATAPATH_IMPL_H
#define CSVFS_EDGE_DATAPATH_IMPL_H

#include <pthread.h>

#include "csvfs/edge/datapath.h"
#include "lib/tls.h"

#define DATAPATH_IOS	   256	/* under way at a time */
#define DATAPATH_HUNG_MS   5000 /* a LUN that does not answer for so long is of no use now */
#define DATAPATH_PROBE_MS  1000 /* between two tries of a path that is lost */
#define DATAPATH_RETRY_MS  200	/* between two tries of the line */
#define DATAPATH_PIECES	   32	/* extents that one I/O may touch */
#define DATAPATH_ASK_AFTER 16	/* I/O near the beginning of a file, which may be a small one */

/* What is known of a granted file's place, by the row of the core. */
struct datapath_map {
	struct csv_extent *extents;
	size_t count;
	uint64_t size;
};

#define DATAPATH_OUTS	 256 /* frames that may wait to be sent without an allocation */
#define DATAPATH_FLUSHES 64  /* the same of flushes that are asked for */

struct datapath_out {
	struct datapath_out *next;
	struct csv_frame frame;
};

struct datapath_flush {
	struct datapath_flush *next;
	struct csv_frame_ask ask;
};

struct datapath {
	struct datapath_options options;
	pthread_t liner, sender, tender, flusher;
	pthread_mutex_t lock;
	struct direct_state core;
	struct direct_actions actions;
	struct datapath_map map[DIRECT_FILES];
	uint16_t tries[DIRECT_FILES]; /* near the beginning, not asked for yet */
	int fd; /* the LUN; -1: never opened. Replaced in place, never closed */
	uint64_t lease_until_ms;
	bool is_ending;

	uint64_t io_since_ms[DATAPATH_IOS]; /* 0: free */
	uint64_t reads, writes, bytes, redirected_bytes;
	uint64_t not_active_since_ms;

	/* One GRANT at a time. */
	bool is_asking;
	uint8_t *answer;

	/* The line. */
	pthread_cond_t line_wake, send_wake, tend_wake, flush_wake;
	uint64_t term; /* 0: there is no coordinator */
	char address[CSV_LINK_ADDRESS];
	uint16_t port;
	uint64_t target_version;
	struct tls *tls;   /* NULL: down */
	uint64_t renew_ms; /* when to say again that we are there, as csv_now_ms() */
	bool is_sending;
	struct datapath_out *out, **out_end;
	struct datapath_flush *flushes;
	struct datapath_out *out_free, out_pool[DATAPATH_OUTS];
	struct datapath_flush *flush_free, flush_pool[DATAPATH_FLUSHES];
};

/* ---- datapath.c; with the lock held */

void datapath_step(struct datapath *d, const struct direct_event *e);
void datapath_block(struct datapath *d, enum direct_block block);
void datapath_refresh_lease(struct datapath *d);
/* With an end after so many ms; 0: none. */
void datapath_wait(struct datapath *d, pthread_cond_t *at, uint64_t ms);
void datapath_push(struct datapath *d, const struct csv_frame *f);
/* Of those that are there, else from the heap. */
struct datapath_flush *datapath_flush_take(struct datapath *d);
void datapath_flush_put(struct datapath *d, struct datapath_flush *w);
void datapath_out_put(struct datapath *d, struct datapath_out *o);
/* A place in io_since_ms; SIZE_MAX: none is free. */
size_t datapath_io_begin(struct datapath *d);
void datapath_io_end(struct datapath *d, size_t io);

/* ---- datapath_line.c */

void *datapath_line_loop(void *arg);
void *datapath_send_loop(void *arg);
void *datapath_tend_loop(void *arg);
void *datapath_flush_loop(void *arg);
/* Flushes what was written directly. 0 or -errno. Without the lock. */
int datapath_flush(struct datapath *d);

#endif
