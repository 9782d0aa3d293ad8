/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's promises: csvfs/core/promise.h with a lock, a clock and a way out. Its lock is
 * inner to that of the server, under which the server calls promises_event(); the others are called
 * by workers, with inodes locked and not the server.
 */
#ifndef CSVFS_EDGE_PROMISES_H
#define CSVFS_EDGE_PROMISES_H

#include "csvfs/core/promise.h"

struct promises;

/* For workers: BREAK is to be sent over a line; OVER, to be noted. Nothing of this is locked. */
typedef void (*promises_tell)(void *arg, const struct promise_action *a);

/* 0 and owned, or -ENOMEM. */
int promises_open(promises_tell how, void *arg, struct promises **ret);
/* Nobody waits any more. Takes NULL. */
void promises_close(struct promises *p);

/* One event, its time filled in; what is to be sent is the caller's. As promise_step(). */
int promises_event(struct promises *p, const struct promise_event *e, struct promise_actions *ret);

/* The inode is locked, for reading at least. */
bool promises_give(struct promises *p, uint64_t mount, const struct csv_handle *h);
/*
 * The inode is locked for writing, and will be otherwise: all but `mount` (0: all) are told. Then,
 * before it is unlocked, promises_collect() waits until they know, or have no promises any more:
 * PROMISE_LEASE_MS at most.
 */
void promises_break(struct promises *p, uint64_t mount, const struct csv_handle *h);
void promises_collect(struct promises *p, uint64_t mount, const struct csv_handle *h);

#endif
