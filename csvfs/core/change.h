/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of a request that changes something, in the one order that makes it happen exactly
 * once and be seen only when it cannot be lost:
 *
 *   LOCK     all inodes that it touches
 *   LOOK     at what is there. It cannot be done: nothing was changed, the error is the answer.
 *            It is repeated (its intent is on disk): the state is the one before it, or after it
 *   INTENT   what is there before it, to the slot's record
 *   DO       it
 *   DONE     and its result, to the record
 *   COLLECT  all other mounts have forgotten what they keep of these inodes: they were told after
 *            LOOK (csvfs/core/promise.h)
 *   UNLOCK   only now: whatever follows on these inodes is later in the file system's log than
 *            DONE, so who finds an intent without its DONE knows that nothing followed
 *   FORCE    wait until the log holds all that this answer tells of
 *   FINISH   answer
 *
 * Pure, no state: change_next() maps (is it repeated, step, outcome) to the next step.
 */
#ifndef CSVFS_CORE_CHANGE_H
#define CSVFS_CORE_CHANGE_H

#include <stdbool.h>

/* X(NAME) */
#define CHANGE_STEPS(X)                                                                            \
	X(LOCK)                                                                                    \
	X(LOOK)                                                                                    \
	X(INTENT)                                                                                  \
	X(DO)                                                                                      \
	X(DONE)                                                                                    \
	X(COLLECT)                                                                                 \
	X(UNLOCK)                                                                                  \
	X(FORCE)                                                                                   \
	X(FINISH)                                                                                  \
	X(HALT) /* the disk does not take what must be there: this coordinator answers no more */

enum change_step {
#define CHANGE_STEP_ENUM(NAME) CHANGE_##NAME,
	CHANGE_STEPS(CHANGE_STEP_ENUM)
#undef CHANGE_STEP_ENUM
		CHANGE_STEP_MAX
};

enum change_outcome {
	CHANGE_OK,    /* the step is done; LOOK: it can be done, or is as before the intent */
	CHANGE_ERROR, /* LOOK, INTENT, DO: the error is the answer. DONE, FORCE: the disk failed */
	CHANGE_AFTER, /* LOOK, repeated: it has happened, the result is what is there */
};

#ifdef CSVFS_MUTANTS
enum change_mutant {
	CHANGE_MUTANT_NONE,
	CHANGE_MUTANT_REPLY_BEFORE_DONE, /* answers, and the done mark is never written */
	CHANGE_MUTANT_UNLOCK_BEFORE_DONE,
	CHANGE_MUTANT_REPLY_BEFORE_FORCE,
	CHANGE_MUTANT_NO_INTENT,
	CHANGE_MUTANT_MAX
};
#endif

/* The mutant's number, where it was compiled in; 0 elsewhere. */
enum change_step change_next(bool is_repeated, enum change_step step, enum change_outcome outcome,
			     int mutant);
const char *change_step_name(enum change_step step);

#endif
