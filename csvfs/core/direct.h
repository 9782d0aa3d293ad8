/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mount's side of grants: which files it may read and write by itself, what of that is under
 * way, and whether its own path to the LUN works.
 *
 *   only under a grant      and only while the node has the quorum lease
 *   whole blocks only       a write of less goes to the coordinator: read, changed and written back
 *                           here, it would undo what another does to the block meanwhile
 *   recalled means drained  the answer to a recall goes out with the end of the last I/O under it
 *   no dead answer          a grant that was recalled before its GRANT was answered is never used;
 *                           nor is one that had been answered, and was not looked at yet, when the
 *                           next coordinator was told what there is
 *   no error is lost        a flush that has failed for good is told to each open that the file has
 *                           here, and to the coordinator until that has told it to all mounts
 *   no error for a path     after an error of the path, or an I/O that does not return in time, the
 *                           grants go back, as they drain, and I/O goes to the coordinator until a
 *                           probe of the path succeeds. What does not return is not repeated
 *                           elsewhere before it has: it could land later, over what came after it
 *
 * Pure: direct_step() is a function of (state, event); bounded arrays: a file that finds no place
 * stays with the coordinator. One thread at a time.
 */
#ifndef CSVFS_CORE_DIRECT_H
#define CSVFS_CORE_DIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/errors.h"
#include "csvfs/core/proto.h"

#define DIRECT_FILES	      1024
#define DIRECT_BUCKETS	      256
#define DIRECT_NONE	      SIZE_MAX /* no row */
#define DIRECT_BACKOFF_MS     100      /* after a refusal or a recall; doubles ... */
#define DIRECT_BACKOFF_MAX_MS 10000    /* ... up to this */
#define DIRECT_CALM_MS	      2000     /* a grant that lives so long begins anew */

/* Planted bugs, for the simulator only. */
#ifdef CSVFS_MUTANTS
enum direct_mutant {
	DIRECT_MUTANT_NONE,
	DIRECT_MUTANT_ACK_FIRST,    /* acknowledges a recall before it has drained */
	DIRECT_MUTANT_DEAD_ANSWER,  /* uses a grant that was recalled before it was answered */
	DIRECT_MUTANT_STALE_ANSWER, /* uses a grant of a coordinator that is no more */
	DIRECT_MUTANT_DRAIN_USED,   /* begins I/O while it drains */
	DIRECT_MUTANT_RETURN_FIRST, /* returns the grants of a lost path at once */
	DIRECT_MUTANT_NO_LEASE,	    /* goes on without a lease */
	DIRECT_MUTANT_NO_RECLAIM,   /* tells a new coordinator nothing of what drains */
	DIRECT_MUTANT_PARALLEL_RMW, /* writes parts of blocks: reads, changes and writes back */
	DIRECT_MUTANT_TELL_ONCE,    /* of a failed flush, though the line may have lost it */
	DIRECT_MUTANT_CLOSED_CLEAN, /* forgets with the last close what no flush has covered */
	DIRECT_MUTANT_MAX
};
#define DIRECT_MUTANT(s, name) ((s)->mutant == DIRECT_MUTANT_##name)
#else
#define DIRECT_MUTANT(s, name) false
#endif

enum direct_file_state {
	DIRECT_HOME,
	DIRECT_ASKING, /* a GRANT is under way; an older grant may still be good: see mode */
	DIRECT_GRANTED,
	DIRECT_DRAINING, /* no new I/O; it goes back when none is under way */
};

struct direct_file {
	struct csv_handle handle; /* ino 0: free */
	uint16_t next;		  /* in its bucket, or among the free ones: index + 1 */
	uint32_t opens;
	enum direct_file_state state;
	enum csv_grant_mode mode; /* of the grant that it has; NONE: it has none */
	struct csv_grant_id id;
	struct csv_grant_id dead; /* ASKING: what was given up to this one is not used */
	bool is_asked;		  /* draining by a recall; else by itself */
	uint32_t under_way;
	bool has_written;
	struct csv_time written;
	uint64_t wrote;	  /* its last direct write that no flush covers yet; 0: there is none */
	uint64_t failure; /* number of a failed flush that is not known everywhere yet; 0 */
	uint16_t error;	  /* of that */
	enum csv_ungranted why; /* it stays with the coordinator */
	uint64_t granted_ms;
	uint64_t ask_after_ms;
	uint32_t backoff_ms;
};

/* Why the node does not use its own path. */
enum direct_block {
	DIRECT_PATH_OK,
	DIRECT_PATH_NONE,  /* it was never opened */
	DIRECT_PATH_ERROR, /* it answers with errors */
	DIRECT_PATH_HUNG,  /* it does not answer */
};

/* What is shown for the volume on this node. */
enum direct_io { DIRECT_UNAVAILABLE, DIRECT_PAUSED, DIRECT_ACTIVE, DIRECT_REDIRECTED };

struct direct_state {
	enum direct_block block;
	uint64_t block_since_ms;
	bool has_lease;
	bool is_aside;	   /* asked for: the path is not used, though it works */
	bool must_confirm; /* the lease was lost: a coordinator must know this mount first */
	uint32_t under_way;
	uint64_t mount;	   /* this one's incarnation */
	uint64_t writes;   /* direct ones that have ended, counted */
	uint64_t flushed;  /* of those, covered by a flush */
	uint64_t left;	   /* those of the process before, which counts as one; 0: there was none */
	uint64_t failures; /* counted */
	uint64_t telling;  /* the one that the coordinator is being told; 0: none */
	struct errors_state errors;
#ifdef CSVFS_MUTANTS
	enum direct_mutant mutant;
#endif
	uint16_t bucket[DIRECT_BUCKETS];
	uint16_t free;
	struct direct_file file[DIRECT_FILES];
};

/* ---- events: X(NAME), with the fields of struct direct_event that count */
#define DIRECT_EVENTS(X)                                                                           \
	X(OPENED)    /* handle; is_left: it was open in the process before, and may be written */  \
	X(CLOSED)    /* handle */                                                                  \
	X(BEGIN)     /* handle, is_write, is_partial: not in whole blocks, may_ask, now_ms: may    \
			it go direct? */                                                           \
	X(END)	     /* file, is_write, written: it has ended, whatever came of it */              \
	X(ISSUED)    /* handle, id, mode, now_ms: what GRANT has brought */                        \
	X(REFUSED)   /* handle, why, now_ms: nothing, and why */                                   \
	X(RECALL)    /* handle, id, now_ms */                                                      \
	X(RECLAIM)   /* id.term: its coordinator is told now what this mount has */                \
	X(CONFIRMED) /* a coordinator has taken the line for recalls */                            \
	X(LEASE)     /* has_lease */                                                               \
	X(BLOCK)     /* block, now_ms: the path is lost */                                         \
	X(ASIDE)     /* is_aside: the path is not to be used, or may be again */                   \
	X(PATH)	     /* a probe has succeeded */                                                   \
	X(FLUSHED)   /* serial: all writes up to this one are on the disk */                       \
	X(FAILED)    /* serial, error: they are not, and it is not for the path */                 \
	X(HEARD)     /* failure: the coordinator tells it to all */

enum direct_event_type {
#define DIRECT_EVENT_ENUM(NAME) DIRECT_EV_##NAME,
	DIRECT_EVENTS(DIRECT_EVENT_ENUM)
#undef DIRECT_EVENT_ENUM
		DIRECT_EV_MAX
};

struct direct_event {
	enum direct_event_type type;
	struct csv_handle handle;
	size_t file; /* index of its row */
	struct csv_grant_id id;
	enum csv_grant_mode mode;
	enum csv_ungranted why;
	enum direct_block block;
	bool is_write;
	bool is_partial;
	bool may_ask;
	bool has_lease;
	bool is_aside;
	bool is_left;
	struct csv_time written;
	uint64_t serial;
	uint16_t error;
	struct csv_frame_failed failure;
	uint64_t now_ms;
};

/* ---- actions, to be carried out in order */
#define DIRECT_ACTIONS(X)                                                                          \
	X(GO)	  /* file: under the grant of that row, then END */                                \
	X(HOME)	  /* to the coordinator */                                                         \
	X(ASK)	  /* file: GRANT first, then ISSUED or REFUSED, then BEGIN again */                \
	X(DONE)	  /* handle, id, has_written, written: answer to the recall */                     \
	X(RETURN) /* the same, unasked */                                                          \
	X(FAILED) /* failure: to the coordinator */                                                \
	X(NOTED)  /* failure: to the coordinator: the opens here know it */

enum direct_action_kind {
#define DIRECT_ACTION_ENUM(NAME) DIRECT_DO_##NAME,
	DIRECT_ACTIONS(DIRECT_ACTION_ENUM)
#undef DIRECT_ACTION_ENUM
		DIRECT_DO_MAX
};

struct direct_action {
	enum direct_action_kind kind;
	size_t file;
	struct csv_handle handle;
	struct csv_grant_id id;
	bool has_written;
	struct csv_time written;
	struct csv_frame_failed failure;
};

#define DIRECT_MAX_ACTIONS (DIRECT_FILES + 4)

struct direct_actions {
	size_t count;
	struct direct_action item[DIRECT_MAX_ACTIONS];
};

/* mount: incarnation. */
void direct_init(struct direct_state *s, uint64_t mount);
/*
 * The mount goes on in another process, the `life`-th: that has no grants, and its failures are no
 * other's. What the one before has written, no flush may have covered. `seq`: how many errors it
 * had counted (errors_go_on()).
 */
void direct_go_on(struct direct_state *s, uint32_t life, uint64_t seq);
void direct_step(struct direct_state *s, const struct direct_event *e, struct direct_actions *ret);
/* NULL if all invariants hold, else which does not. */
const char *direct_check(const struct direct_state *s);

/* The row of a file, or DIRECT_NONE. */
size_t direct_find(const struct direct_state *s, const struct csv_handle *h);
/* What a new coordinator must know of: the row's grant, until it has gone back. */
bool direct_must_reclaim(const struct direct_state *s, size_t file);
/*
 * May an error of the block layer have been one of the path alone? Then the LUN has what was
 * written, in its cache or on its disk, and a flush by whoever has a path makes it durable; the
 * others are the LUN's own word (the rule of blk_path_error() in linux/blk_types.h, by which
 * multipath fails over).
 */
bool direct_is_path_error(int error);
/* Is there a file that nobody has open any more, and whose writes no flush covers? */
bool direct_wants_flush(const struct direct_state *s);
/* Does this mount alone write the file? Then nobody else has anything to flush. */
bool direct_is_sole(const struct direct_state *s, const struct csv_handle *h);
/* It does no I/O, and will do none before the lease is back. */
bool direct_is_quiet(const struct direct_state *s);
enum direct_io direct_io_state(const struct direct_state *s, bool is_served);
const char *direct_block_text(enum direct_block block);

#endif
