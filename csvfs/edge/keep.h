/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What outlives the process that serves a mount, so that the next one can go on: which inodes the
 * kernel knows, what is open, which requests are under way and what has been answered of them, file
 * locks. It is memory of a file without a name (memfd_create(2)), which the holder keeps open
 * (csvfs/edge/holder.h) and which nobody writes but the one process that serves.
 *
 * That may be killed between any two instructions, and what it has stored then is there, in the
 * order in which it has stored it. So a row counts as long as its first word is not 0: that is
 * written last, and taken away first. What has to change together is ordered so that to do it again
 * from any point of it on comes to the same.
 *
 * Rows and their tables: any thread. One row: by the rules of whoever has it.
 */
#ifndef CSVFS_EDGE_KEEP_H
#define CSVFS_EDGE_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/lockbook.h"
#include "csvfs/core/proto.h"

#define KEEP_INIT_MAX  256 /* INIT of the kernel and its answer: linux/fuse.h */
#define KEEP_STEPS     4   /* requests that one of the kernel's may lead to */
#define KEEP_REPLY_MAX 320 /* encoded, of a kind without bytes */

struct keep;

/* ---- rows. The first word: 0: it is free. An index in a row is one more than it is; 0: none. */

/* csvfs/edge/fuse_inode.h. */
struct keep_inode {
	uint64_t number;
	uint64_t lookups;
	struct csv_handle handle;
	uint32_t place; /* of a directory: index of its place */
};

struct keep_place {
	uint64_t number; /* of the inode whose place it is, if that says so, too */
	uint64_t parent;
	struct csv_name name;
};

/* CLOSED: for the coordinator, and the kernel has not heard it yet. */
enum keep_open_state { KEEP_OPEN_ASKED = 1, KEEP_OPEN_OPEN, KEEP_OPEN_CLOSED };

/* An open file or directory; the kernel has its index as fh. */
struct keep_open {
	uint64_t state; /* enum keep_open_state */
	uint64_t seen;	/* errors that it has been told of, by datapath_error() */
	struct csv_handle handle;
	bool is_file;
	bool is_writable;
};

/* What one request of the kernel's has led to so far, until it is answered. */
struct keep_call {
	uint64_t unique;
	struct keep_step {
		uint16_t op;   /* enum csv_op; 0: it is not answered */
		uint16_t len;  /* of the reply, encoded */
		uint32_t open; /* index of what it has opened */
		uint8_t reply[KEEP_REPLY_MAX];
	} step[KEEP_STEPS];
};

enum keep_table { KEEP_INODES, KEEP_PLACES, KEEP_OPENS, KEEP_CALLS, KEEP_TABLES };

/* ---- what there is once */

/* A request slot of the client's: `seq` counts also when it is not under way. */
struct keep_slot {
	uint64_t is_sent; /* its frame may have reached a coordinator, and is not answered */
	uint64_t seq;
	uint64_t order;
	uint64_t unique;	  /* of the kernel's request that it belongs to; 0: of none */
	struct csv_handle handle; /* OPEN, RELEASE */
	uint32_t len;		  /* of its frame */
	uint32_t open;		  /* index of what it opens or releases */
	uint16_t op;
	uint16_t step;
};

struct keep_init {
	uint32_t request_len; /* 0: there was none yet */
	uint32_t reply_len;   /* 0: it was not answered yet */
	bool can_resend;      /* the kernel has FUSE_NOTIFY_RESEND: Linux 6.9 */
	uint8_t request[KEEP_INIT_MAX];
	uint8_t reply[KEEP_INIT_MAX];
};

/*
 * fd: of an earlier keep_open(), or -1: a new one; it is the keep's from then on. 0 and owned;
 * -EPROTO: of another layout, by another version of this program; or -errno.
 */
int keep_open(int fd, struct keep **ret);
/* Of the file, without opening it: has the kernel said that it sends again? */
bool keep_can_resend(int fd);
/* Takes NULL. */
void keep_close(struct keep *k);
int keep_fd(const struct keep *k);
/* Which process this is: 1 for the first, and more for each that has opened it since. */
uint32_t keep_life(const struct keep *k);

struct keep_init *keep_init(struct keep *k);
/* Of slot number n, and CSV_FRAME_MAX bytes for its frame. */
struct keep_slot *keep_slot(struct keep *k, size_t n);
uint8_t *keep_frame(struct keep *k, size_t n);
/* The number of the next inode: never one that was there. */
uint64_t *keep_next_number(struct keep *k);
/* Failures that opens may have to be told of: csvfs/core/errors.h. */
uint64_t *keep_failures(struct keep *k);

/* A free row, zeroed; it counts when the caller sets its first word. Never NULL. */
void *keep_new(struct keep *k, enum keep_table table, uint32_t *ret_index);
void keep_free(struct keep *k, enum keep_table table, uint32_t index);
/* NULL: there never was such a row. */
void *keep_row(struct keep *k, enum keep_table table, uint32_t index);
/* The used rows, *cursor being 0 first and then the index of the row returned; NULL: no more. */
void *keep_next(struct keep *k, enum keep_table table, uint32_t *cursor);
/* Stores the first word of a row, or of a slot, after all that was stored before. */
void keep_set(uint64_t *first, uint64_t value);

/*
 * Of the book of locks, as one change: ranges that are held, and then those that are owed
 * (csvfs/core/lockbook.h). One thread at a time.
 */
void keep_locks(struct keep *k, const struct lock_range *rows, size_t held, size_t owed);
/* The same back, borrowed until the next keep_locks() but one; returns how many are held. */
size_t keep_locked(const struct keep *k, const struct lock_range **ret, size_t *ret_owed);

#endif
