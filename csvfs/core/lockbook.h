/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mount's book of file locks: what its owners have, who wants or waits for what, and in which
 * order the coordinator (filelock.h) is asked.
 *
 *   never more than is so   a lock is in the book when the coordinator has answered; it has left it
 *                           before the coordinator is asked to take it away. So what the mount
 *                           tells a new coordinator excludes nothing that an earlier one has given
 *   one at a time           requests for one owner and file go one after the other: what the
 *                           coordinator has done, the book does in the same order
 *   a signal ends a wait    the caller is answered at once; what was asked for is taken back in
 *                           the background: the wait, or the lock if it was just given, down to
 *                           what the owner had
 *   a close gives up        what was locked through an open file goes with its last reference; for
 *                           POSIX locks the kernel has told every close before (FLUSH)
 *
 * Nothing here waits: an operation is answered by an action, however long it takes.
 *
 * Pure; bounded: what does not fit is ENOLCK. One thread at a time.
 */
#ifndef CSVFS_CORE_LOCKBOOK_H
#define CSVFS_CORE_LOCKBOOK_H

#include "csvfs/core/lockrange.h"

#ifdef CSVFS_MUTANTS
#define LOCKBOOK_RANGES 24
#define LOCKBOOK_ASKS	12
#define LOCKBOOK_GIVES	8
#define LOCKBOOK_CLOSES 4
#define LOCKBOOK_OWNERS 16
#else
#define LOCKBOOK_RANGES 4096  /* as FILELOCK_MOUNT_RANGES */
#define LOCKBOOK_ASKS	16384 /* that lock, or look, at a time */
#define LOCKBOOK_GIVES	8192  /* further ones that give up */
#define LOCKBOOK_CLOSES 4096  /* further ones for files that were closed */
#define LOCKBOOK_OWNERS 4096
#endif
#define LOCKBOOK_RESTS CSV_SLOTS /* further ones that an earlier process has begun */
#define LOCKBOOK_OPS   (LOCKBOOK_ASKS + LOCKBOOK_GIVES + LOCKBOOK_CLOSES + LOCKBOOK_RESTS)
#define LOCKBOOK_SHIFT 15 /* an id has its row below it */

/* Planted bugs, for the simulator only. */
#ifdef CSVFS_MUTANTS
enum lockbook_mutant {
	LOCKBOOK_MUTANT_NONE,
	LOCKBOOK_MUTANT_LOWER_LATE,   /* has it in the book until the unlocking is answered */
	LOCKBOOK_MUTANT_RAISE_EARLY,  /* has it in the book before it is given */
	LOCKBOOK_MUTANT_NO_TURNS,     /* asks several things of one owner at once */
	LOCKBOOK_MUTANT_NO_TRIM,      /* keeps a lock that was given to nobody */
	LOCKBOOK_MUTANT_TRIM_ALL,     /* takes that back with what the owner had before */
	LOCKBOOK_MUTANT_NO_CANCEL,    /* leaves a wait in line that nobody waits for */
	LOCKBOOK_MUTANT_LOSE_CALL,    /* does not note a turn that comes before the answer */
	LOCKBOOK_MUTANT_NO_WAITS,     /* tells a new coordinator nothing of who waits */
	LOCKBOOK_MUTANT_DOWNGRADE,    /* for reading is as good as for writing */
	LOCKBOOK_MUTANT_KEEP_CLOSED,  /* a close of the file gives nothing up */
	LOCKBOOK_MUTANT_OWE_NOTHING,  /* the next process takes back nothing that was to be asked */
	LOCKBOOK_MUTANT_LEAVE_ASKED,  /* nor what was asked, and not answered */
	LOCKBOOK_MUTANT_STAY_CLOSING, /* nor what was being given up because of a close */
	LOCKBOOK_MUTANT_MAX
};
#define LOCKBOOK_MUTANT(s, name) ((s)->mutant == LOCKBOOK_MUTANT_##name)
#else
#define LOCKBOOK_MUTANT(s, name) false
#endif

enum lockbook_what {
	LOCKBOOK_LOCK,	 /* range */
	LOCKBOOK_UNLOCK, /* range */
	LOCKBOOK_TEST,	 /* range: who keeps it out */
	LOCKBOOK_WHATS
};

enum lockbook_state {
	LOCKBOOK_FREE,
	LOCKBOOK_NEW,	  /* GO comes */
	LOCKBOOK_TURN,	  /* another operation of the owner is under way */
	LOCKBOOK_ASKING,  /* a request is under way; of the owner nothing else is */
	LOCKBOOK_WAITING, /* in line at the coordinator */
	LOCKBOOK_ENDING,  /* the request that takes it out of the line is under way */
};

/* What the request under way is. */
enum lockbook_step {
	LOCKBOOK_RAISE,
	LOCKBOOK_LOWER,
	LOCKBOOK_TRIM, /* down to the book */
	LOCKBOOK_LEFT, /* an earlier process has asked something: then down to the book */
	LOCKBOOK_LOOK,
	LOCKBOOK_CANCEL
};

struct lockbook_op {
	uint64_t id;
	enum lockbook_state state;
	enum lockbook_what what;
	enum lockbook_step step;
	struct lock_range range;
	struct lock_range piece; /* of the request */
	bool may_wait;
	bool is_in_line;     /* the coordinator has said so */
	bool is_called;	     /* its turn has come while it was asked for */
	bool is_interrupted; /* before GO */
	bool is_replied;     /* nobody waits for it any more */
	bool is_owed;	     /* an earlier process meant to ask: down to the book */
	bool is_owing;	     /* it is in the list of those of which lockbook_owed() tells */
	void *user;
	/* All, by arrival; and those of one bucket of owners. Index + 1. */
	uint32_t prev, next;
	uint32_t owner_prev, owner_next;
	uint32_t owing_prev, owing_next; /* those in state ASKING, and what is owed */
};

struct lockbook {
	uint64_t mount;
	uint64_t serial;
#ifdef CSVFS_MUTANTS
	enum lockbook_mutant mutant;
#endif
	struct lock_ranges held;
	bool has_closed; /* there are ranges of files that were closed */
	bool is_turning; /* turns are being given */
	uint32_t ops, first, last, free, owing;
	uint32_t owner[LOCKBOOK_OWNERS];
	struct lockbook_op op[LOCKBOOK_OPS];
	struct lock_range row[LOCKBOOK_RANGES];
};

enum lockbook_action_kind {
	LOCKBOOK_DO_SEND,  /* id: lockbook_request(), and its answer to lockbook_answer() */
	LOCKBOOK_DO_REPLY, /* user, error: 0 or a positive errno. The user is of no more use */
};

struct lockbook_action {
	enum lockbook_action_kind kind;
	int error;
	uint64_t id;
	void *user;
};

/* Of each operation a reply and a request. */
struct lockbook_actions {
	size_t count;
	struct lockbook_action item[2 * LOCKBOOK_OPS];
};

void lockbook_init(struct lockbook *s, uint64_t mount);

/*
 * What outlives the process, to be kept before actions are carried out: all of `held`, and the
 * ranges for which the coordinator may have given more than the book says, or is to be told to take
 * something away. *cursor: 0 at first; false: no more.
 */
bool lockbook_owed(const struct lockbook *s, uint32_t *cursor, struct lock_range *ret);
/*
 * The next process begins with that; `life` is greater than that of any before it. A request for
 * locks that is under way still goes on as an operation, whose answer is to come by its id; `q` is
 * LOCK or UNLOCK, and LOCK with a number comes first: that says which row it has. Then all are
 * begun: whatever the coordinator has too much is taken away.
 */
void lockbook_restore(struct lockbook *s, uint32_t life, const struct lock_range *held,
		      size_t held_count);
uint64_t lockbook_left(struct lockbook *s, const struct csv_request *q);
void lockbook_resume(struct lockbook *s, const struct lock_range *owed, size_t count,
		     struct lockbook_actions *ret);

/*
 * A new operation: its id, or 0: there are too many. It begins with lockbook_go(), so that it can
 * be interrupted from its beginning on. range.owner.mount is filled in.
 */
uint64_t lockbook_new(struct lockbook *s, enum lockbook_what what, const struct lock_range *range,
		      bool may_wait, void *user);
void lockbook_go(struct lockbook *s, uint64_t id, struct lockbook_actions *ret);
/* Ids that are not known (any more) are ignored by all of these. */
void lockbook_interrupt(struct lockbook *s, uint64_t id, struct lockbook_actions *ret);
/* p: of the request that DO_SEND has asked for. */
void lockbook_answer(struct lockbook *s, uint64_t id, const struct csv_reply *p,
		     struct lockbook_actions *ret);
/* LOCK_GRANTED has come. */
void lockbook_granted(struct lockbook *s, uint64_t id, struct lockbook_actions *ret);
/* The open file `via` is no more. */
void lockbook_closed(struct lockbook *s, const struct csv_handle *h, uint64_t via,
		     struct lockbook_actions *ret);
/* Does the owner have anything of this file, or want it? If not a close of it need not wait. */
bool lockbook_has(const struct lockbook *s, const struct csv_handle *h,
		  const struct lock_owner *owner);

/* The request; slot, seq and caller are the client's. */
void lockbook_request(const struct lockbook *s, uint64_t id, struct csv_request *ret);
/* For RECLAIM_LOCK: the row from *cursor on; false: no more. And the same for RECLAIM_WAIT. */
bool lockbook_reclaim(const struct lockbook *s, size_t *cursor, struct csv_frame *ret);
bool lockbook_reclaim_wait(const struct lockbook *s, size_t *cursor, struct csv_frame *ret);
/* NULL: there is none. */
const struct lockbook_op *lockbook_find(const struct lockbook *s, uint64_t id);
/* NULL if all invariants hold, else which does not. */
const char *lockbook_check(const struct lockbook *s);

#endif
