/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's book of promises: which mounts have been told how an inode is, and will be told
 * before it is otherwise. Under a promise a mount answers its applications by itself.
 *
 *   told before it changes     whoever changes an inode has it locked, breaks what others have been
 *                              promised of it, and unlocks it only when that is collected. Nobody
 *                              is promised anything of an inode that is locked for writing
 *   who asks looks after itself the mount whose request it is keeps its promise: what its own
 *                              change makes untrue, it forgets by itself (csvfs/core/cache.h)
 *   over by time               a mount that is silent has no promises any more after
 *                              PROMISE_LEASE_MS, by our clock, and by its own before that. So who
 *                              changes something waits no longer, and nobody is fenced for a cache
 *   no old answer              the answer to a break counts only if nothing has been promised of
 *                              that inode since it was sent
 *
 * That is what grants of blocks can never do (csvfs/core/grant.h): a write may land late, a read
 * from memory may not.
 *
 * Pure: promise_step() is a function of (state, event); a fixed table: without room nothing is
 * promised. One thread at a time.
 */
#ifndef CSVFS_CORE_PROMISE_H
#define CSVFS_CORE_PROMISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/proto.h"

#define PROMISE_MOUNTS 32
#ifdef CSVFS_MUTANTS
#define PROMISE_ROWS	5 /* so that the simulator meets the bounds */
#define PROMISE_BUCKETS 3
#else
#define PROMISE_ROWS	131072 /* inodes of which something is promised */
#define PROMISE_BUCKETS 65536
#endif
#define PROMISE_MINDS	 4     /* inodes that a request names, or its names stand for */
#define PROMISE_ATIME_S	 86400 /* an atime that is older is set anew by a read: relatime */
#define PROMISE_LEASE_MS 3000  /* from RENEW to RENEW; CACHE_LEASE_MS of the mount is less */

/* Planted bugs, for the simulator only. */
#ifdef CSVFS_MUTANTS
enum promise_mutant {
	PROMISE_MUTANT_NONE,
	PROMISE_MUTANT_ANY_ANSWER,  /* takes the answer to an earlier break for that to this one */
	PROMISE_MUTANT_ASKED,	    /* promises again what is being asked back */
	PROMISE_MUTANT_LOST_IS_END, /* takes a broken line for the end of its promises */
	PROMISE_MUTANT_NEW_LINE,    /* promises over a new line before all is forgotten */
	PROMISE_MUTANT_MAX
};
#define PROMISE_MUTANT(s, name) ((s)->mutant == PROMISE_MUTANT_##name)
#else
#define PROMISE_MUTANT(s, name) false
#endif

struct promise_row {
	struct csv_handle handle; /* ino 0: free */
	uint32_t next;		  /* in its bucket, or among the free ones: index + 1 */
	uint32_t promised;	  /* bit of a mount */
	uint32_t asked;		  /* of those, who have been sent a break that counts */
	uint64_t serial;	  /* of the last promise */
};

struct promise_mount {
	uint64_t id;   /* 0: free */
	uint64_t conn; /* its line; 0: none */
	uint64_t until_ms;
	uint64_t forgets; /* a break of all that it has been sent, by its serial; 0: none */
	bool has_some;	  /* promises, or had some */
};

struct promise_state {
	uint64_t serial; /* of promises and breaks */
	size_t rows;	 /* in use */
	size_t hand;	 /* next row to be asked back for room */
#ifdef CSVFS_MUTANTS
	enum promise_mutant mutant;
#endif
	struct promise_mount mount[PROMISE_MOUNTS];
	uint32_t free;
	uint32_t bucket[PROMISE_BUCKETS]; /* index + 1 */
	struct promise_row row[PROMISE_ROWS];
};

/* ---- events: X(NAME), with the fields of struct promise_event that count */
#define PROMISE_EVENTS(X)                                                                          \
	X(CHANNEL) /* mount, conn: its line. What was sent over the last one may be lost */        \
	X(LOST)	   /* conn */                                                                      \
	X(RESET)   /* mount: it has forgotten all */                                               \
	X(GONE)	   /* mount: it has ended */                                                       \
	X(RENEW)   /* mount, now_ms */                                                             \
	X(GIVE)	   /* mount, handle, now_ms: the inode is locked, for reading at least */          \
	X(BREAK)   /* mount: whose request it is, it looks after itself; handle: locked for        \
		      writing */                                                                   \
	X(DONE)	   /* mount, handle, serial: the answer to BREAK */                                \
	X(TIME)	   /* now_ms: whose time is over */

enum promise_event_type {
#define PROMISE_EVENT_ENUM(NAME) PROMISE_EV_##NAME,
	PROMISE_EVENTS(PROMISE_EVENT_ENUM)
#undef PROMISE_EVENT_ENUM
		PROMISE_EV_MAX
};

struct promise_event {
	enum promise_event_type type;
	uint64_t mount;
	uint64_t conn;
	struct csv_handle handle;
	uint64_t serial;
	uint64_t now_ms;
};

/* ---- actions */
#define PROMISE_ACTIONS(X)                                                                         \
	X(BREAK) /* conn, handle, serial: send it; ino 0: all that it has been promised */         \
	X(GIVEN) /* the promise is made */                                                         \
	X(OVER)	 /* mount: it has not renewed, and has none any more */                            \
	X(LOOK)	 /* who waits looks again */

enum promise_action_kind {
#define PROMISE_ACTION_ENUM(NAME) PROMISE_DO_##NAME,
	PROMISE_ACTIONS(PROMISE_ACTION_ENUM)
#undef PROMISE_ACTION_ENUM
		PROMISE_DO_MAX
};

struct promise_action {
	enum promise_action_kind kind;
	uint64_t mount;
	uint64_t conn;
	struct csv_handle handle;
	uint64_t serial;
};

#define PROMISE_MAX_ACTIONS (2 * PROMISE_MOUNTS + 2)

struct promise_actions {
	size_t count;
	struct promise_action item[PROMISE_MAX_ACTIONS];
};

void promise_init(struct promise_state *s);
/* 0; -ENOSPC: too many mounts. Then nothing has been done. */
int promise_step(struct promise_state *s, const struct promise_event *e,
		 struct promise_actions *ret);
/* NULL if all invariants hold, else which does not. */
const char *promise_check(const struct promise_state *s);
/* Nobody but `mount` has been promised anything of it. */
bool promise_is_collected(const struct promise_state *s, const struct csv_handle *h,
			  uint64_t mount);
/* When TIME may end the first promise that somebody else than `mount` has of it; 0: nobody has. */
uint64_t promise_over_ms(const struct promise_state *s, const struct csv_handle *h, uint64_t mount);

/*
 * The inodes that a request may change and that its mount looks after by itself: those that it
 * names, and what the mount says that the names stand for. No two are the same. Returns how many.
 */
size_t promise_minds(const struct csv_request *q, struct csv_handle ret[PROMISE_MINDS]);

#endif
