/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mount's file locks: csvfs/core/lockbook.h with a lock, a thread that asks the coordinator,
 * which may have to wait for a request slot, and one that answers who has asked. No call of this
 * waits for a coordinator, so that those who wait for locks keep no thread and no slot from others.
 */
#ifndef CSVFS_EDGE_LOCKS_H
#define CSVFS_EDGE_LOCKS_H

#include <sys/types.h>

#include "csvfs/core/lockbook.h"
#include "csvfs/edge/client.h"

struct locks;

/* One operation, the caller's until it is replied to. */
struct locks_call {
	/* Once, from any thread but never from within locks_new(): 0 or a positive errno. */
	void (*reply)(struct locks_call *c, int error);
	pid_t pid;		    /* thread that asks */
	struct csv_reply_lock lock; /* the answer to TEST */
	uint64_t id;
	bool is_line_missing;
	bool is_watched; /* it has got a signal that did not end it */
	bool gives_up;	 /* and stops waiting for it, unless the answer comes first */
	struct locks_call *next, **at;
	struct locks_call *next_reply;
	int error;
};

struct locks_options {
	uint64_t mount;
	struct client *client;
	/* There is a line for recalls; without one nobody can wait: ENOLCK. */
	bool has_line;
	/* Outlives it; what an earlier process had goes on. NULL: nothing outlives it. */
	struct keep *keep;
	/* Will the thread end as soon as it returns to user space? */
	bool (*signal_ends)(pid_t thread);
};

/* 0 and owned, or -errno. */
int locks_open(const struct locks_options *options, struct locks **ret);
/* Nothing more is asked. Before client_goodbye(). */
void locks_stop(struct locks *l);
/* After client_close(): who waits still gets ENOTCONN. Takes NULL. */
void locks_close(struct locks *l);

/* As lockbook_new(): 0: too many. Then locks_go(); until then it is not replied to. */
uint64_t locks_new(struct locks *l, enum lockbook_what what, const struct lock_range *range,
		   bool may_wait, struct locks_call *c);
void locks_go(struct locks *l, uint64_t id);
/*
 * A signal has come for who asks: a wait ends, at once if it is in line and else a moment later, if
 * there is no answer until then; what does not wait ends only if the caller does.
 */
void locks_signal(struct locks *l, uint64_t id);
/* LOCK_GRANTED has come. */
void locks_granted(struct locks *l, uint64_t id);
/* The open file `via` is no more. */
void locks_closed(struct locks *l, const struct csv_handle *h, uint64_t via);
bool locks_has(struct locks *l, const struct csv_handle *h, const struct lock_owner *owner);
/* For the client, as next_grant(). */
bool locks_reclaim(struct locks *l, size_t *cursor, struct csv_frame *ret);

#endif
