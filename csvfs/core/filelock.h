/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's book of file locks, POSIX by range (fcntl(2)) and flock(2), and of who waits
 * for one.
 *
 *   a turn, then the lock   a wait whose turn has come has its range reserved; it has the lock when
 *                           its mount takes it by a request. So what an owner has changes by
 *                           requests only, in their order, and a turn that nobody wants any more is
 *                           given back without a trace
 *   first come, first       among waits that exclude each other. Who can be served at once passes
 *                           those who cannot, as on one node (a script that locks for reading again
 *                           what its parent has must not hang); but nobody is passed more than
 *                           FILELOCK_PASSES times: then who waits goes behind. F_SETLK never waits
 *                           and so goes by what is held alone
 *   no deadlock             a POSIX wait that would close a circle of waits gets EDEADLK, as does
 *                           one of a process for which another thread's lock closes it; going
 *                           behind somebody never closes one
 *   nobody is absent        a new coordinator gives nothing before all mounts that live have told
 *                           what they have
 *
 * flock: one lock on the whole file. From shared to exclusive it is given up first, so that two who
 * do it do not wait for each other for ever (flock(2): not atomic).
 *
 * Pure; bounded: what does not fit is ENOLCK. One thread at a time.
 */
#ifndef CSVFS_CORE_FILELOCK_H
#define CSVFS_CORE_FILELOCK_H

#include "csvfs/core/lockrange.h"

#define FILELOCK_MOUNTS 32
#ifdef CSVFS_MUTANTS
#define FILELOCK_MOUNT_RANGES 24
#define FILELOCK_WAITS	      16
#define FILELOCK_PASSES	      4
#else
#define FILELOCK_MOUNT_RANGES 4096 /* of one mount; it counts them itself, too (lockbook.h) */
#define FILELOCK_WAITS	      32768
#define FILELOCK_PASSES	      64
#endif
/* All that all may have, and what requests under way can split: to give up never fails. */
#define FILELOCK_RANGES (FILELOCK_MOUNTS * (FILELOCK_MOUNT_RANGES + 2 * CSV_SLOTS))

/* Planted bugs, for the simulator only. */
#ifdef CSVFS_MUTANTS
enum filelock_mutant {
	FILELOCK_MUTANT_NONE,
	FILELOCK_MUTANT_SHARED_WRITE, /* gives a lock for writing beside one for reading */
	FILELOCK_MUTANT_NOT_RESERVED, /* what has been promised counts for nothing */
	FILELOCK_MUTANT_GIVE_EARLY,   /* gives before all have told what they have */
	FILELOCK_MUTANT_KEEP_DEAD,    /* keeps the locks of a mount that has ended */
	FILELOCK_MUTANT_KEEP_TURN,    /* a cancelled turn stays reserved */
	FILELOCK_MUTANT_NO_WAKE,      /* what was unlocked in part wakes nobody */
	FILELOCK_MUTANT_NO_REPEAT,    /* a turn that was told over a lost line is not told again */
	FILELOCK_MUTANT_NO_DEADLOCK,  /* does not look for circles of waits */
	FILELOCK_MUTANT_PASS_ALWAYS,  /* passes those who wait without end */
	FILELOCK_MUTANT_NO_REFUSAL,   /* looks for circles only when somebody begins to wait */
	FILELOCK_MUTANT_STAY_BEHIND,  /* goes behind one who waits for him, too */
	FILELOCK_MUTANT_HOLD_UPGRADE, /* flock keeps the shared lock while it waits */
	FILELOCK_MUTANT_KEEP_WAITS,   /* another process goes on, and the waits of the last one stay
				       */
	FILELOCK_MUTANT_DROP_LOCKS,   /* and its locks go */
	FILELOCK_MUTANT_MAX
};
#define FILELOCK_MUTANT(s, name) ((s)->mutant == FILELOCK_MUTANT_##name)
#else
#define FILELOCK_MUTANT(s, name) false
#endif

enum filelock_wait_state {
	FILELOCK_FREE,
	FILELOCK_WAITING,
	FILELOCK_RESERVED, /* its turn has come: nobody else gets it */
	FILELOCK_REFUSED,  /* it has come to wait for itself: EDEADLK when it is asked for again */
	FILELOCK_PROBE,	   /* not in line: a request while it is looked at */
};

struct filelock_wait {
	enum filelock_wait_state state;
	struct lock_range range; /* what it wants */
	uint64_t number;	 /* of the mount's */
	uint32_t passes;	 /* how often it was passed */
	bool is_behind;		 /* only because somebody who waits is before it */
	uint64_t mark;
	/* In its bucket, by arrival, and in that of its owner; index + 1. */
	uint32_t prev, next;
	uint32_t owner_prev, owner_next;
};

struct filelock_mount {
	uint64_t id;   /* 0: free */
	uint64_t conn; /* its line for recalls; 0: none */
	uint32_t ranges;
};

struct filelock_queue {
	uint32_t first, last; /* index + 1 */
	uint32_t hungry;      /* waits that nobody may pass any more */
	uint32_t reserved;
};

struct filelock_state {
	bool is_open; /* all have told what they have */
#ifdef CSVFS_MUTANTS
	enum filelock_mutant mutant;
#endif
	struct filelock_mount mount[FILELOCK_MOUNTS];
	struct lock_ranges held;
	uint32_t waits, behind, free;
	uint64_t mark;
	struct filelock_queue queue[LOCKRANGE_BUCKETS];
	uint32_t owner[LOCKRANGE_BUCKETS];
	uint32_t owner_held[LOCKRANGE_BUCKETS]; /* ranges of the owners of that bucket */
	struct filelock_wait wait[FILELOCK_WAITS + 1];
	uint32_t stack[FILELOCK_WAITS + 1];
	struct lock_range row[FILELOCK_RANGES];
};

/* ---- events: X(NAME), with the fields of struct filelock_event that count */
#define FILELOCK_EVENTS(X)                                                                         \
	X(CHANNEL)	/* mount, conn: its line */                                                \
	X(LOST)		/* conn */                                                                 \
	X(GONE)		/* mount: it has ended, and nothing of it executes */                      \
	X(RESET)	/* mount: it is there; what it has told of itself is forgotten */          \
	X(REPLACED)	/* mount: another process goes on: nobody there waits any more */          \
	X(RECLAIM)	/* range: it has this */                                                   \
	X(RECLAIM_WAIT) /* range, number: it waits for this */                                     \
	X(OPEN)		/* all have told what they have */                                         \
	X(LOCK)		/* range, number: as CSV_OP_LOCK */                                        \
	X(UNLOCK)	/* range: as CSV_OP_UNLOCK */                                              \
	X(CANCEL)	/* mount, range.handle, number */

enum filelock_event_type {
#define FILELOCK_EVENT_ENUM(NAME) FILELOCK_EV_##NAME,
	FILELOCK_EVENTS(FILELOCK_EVENT_ENUM)
#undef FILELOCK_EVENT_ENUM
		FILELOCK_EV_MAX
};

struct filelock_event {
	enum filelock_event_type type;
	uint64_t mount;
	uint64_t conn;
	struct lock_range range; /* with its owner, and so with the mount */
	uint64_t number;
};

/* Tell the mount over `conn`: LOCK_GRANTED. */
struct filelock_action {
	uint64_t conn;
	struct csv_handle handle;
	uint64_t number;
};

struct filelock_actions {
	size_t count;
	struct filelock_action item[FILELOCK_WAITS];
};

#define FILELOCK_QUEUED 1

void filelock_init(struct filelock_state *s);
/*
 * 0, or of LOCK: FILELOCK_QUEUED, -EAGAIN, -EDEADLK, -ENOLCK; of RECLAIM: -EPROTO: somebody else
 * has told that he has it; of RECLAIM and RECLAIM_WAIT: -ENOSPC: there cannot be so many, it cannot
 * go on. -EINVAL: a range that is none.
 */
int filelock_step(struct filelock_state *s, const struct filelock_event *e,
		  struct filelock_actions *ret);
/* Who keeps this out, of those who have something or whose turn has come; NULL: nobody. */
const struct lock_range *filelock_against(const struct filelock_state *s,
					  const struct lock_range *l);
/* The same; the first one in the file. */
const struct lock_range *filelock_first_against(const struct filelock_state *s,
						const struct lock_range *l);
/* NULL if all invariants hold, else which does not. */
const char *filelock_check(const struct filelock_state *s);
const char *filelock_event_name(enum filelock_event_type type);

#endif
