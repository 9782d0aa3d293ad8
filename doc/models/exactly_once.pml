/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A change is done exactly once: csvfs/core/change.h and the order of recovery in
 * csvfs/core/session.h, for Spin. README.md says what is modelled and what is not.
 *
 * Two mounts, the first with two slots; one coordinator after the other, which may crash between
 * any two steps; a disk that keeps a prefix of its log. Every file is at one of two names and every
 * operation moves one file from one name to the other: what one did the next may undo, so a file
 * that is as it was before an intent does not show by itself that nothing has happened.
 *
 * Checked: an operation takes effect at most once; answered with success it has taken effect, and
 * durably; answered with an error it has not, and never will; a crash takes back nothing that an
 * answer told of; and nothing waits for ever (no invalid end state).
 *
 * Each of the broken variants (the names after #ifdef) must be refuted: check-models.
 */
#define MOUNT_OF(s) (s / 2)

#ifndef SLOTS
#define SLOTS 3
#endif
#ifndef OPS
#define OPS 2
#endif
#ifndef ALL_OPS
#define ALL_OPS 3 /* of all slots together */
#endif
#ifndef FILES
#define FILES 1
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#define LOG 6

/* LOOK locks, too: nothing can come between. KEPT: the answer is there to be taken. */
mtype = { NONE, LOOK, INTENT, DO, DONE, UNLOCK, FORCE, KEPT };
mtype = { EXECUTE, REDO };

/* What a disk holds. `length` counts effects: how long its history is. */
typedef image {
	bit name[FILES];
	byte rec_seq[SLOTS];
	bit rec_done[SLOTS];
	bit rec_ok[SLOTS];
	byte effect[SLOTS * OPS];
	byte length
};

image now;  /* with all of the log */
image disk; /* with what is durable */
chan log = [LOG] of { mtype, byte, byte, bit };

/* Clients: what each slot has under way. */
byte seq[SLOTS];
bit waits[SLOTS];
bit file[SLOTS];
bit from[SLOTS];
bit is_gone[2];
byte issued;
bit file_of[SLOTS * OPS]; /* of every operation, for the disk that hears of it later */

/* The coordinator. */
bit serves = 1;
mtype pc[SLOTS] = NONE;
mtype kind[SLOTS] = EXECUTE;
bit is_resend[SLOTS]; /* was under way when this coordinator began, and is not answered here */
bit ok[SLOTS];
byte shown[SLOTS]; /* how much of the history the answer tells of */
bit lock[FILES];
byte crashes;

#define OP(s, q)	(s * OPS + q - 1)
#define HAS_INTENT(s)	(now.rec_seq[s] == seq[s] && !now.rec_done[s])
#define HAS_RESULT(s)	(now.rec_seq[s] == seq[s] && now.rec_done[s])
#define IS_UNDER_WAY(s) (pc[s] != NONE && pc[s] != KEPT)

#ifdef GONE_REDO
#define REDOES(s) (!is_gone[MOUNT_OF(s)] && IS_UNDER_WAY(s) && kind[s] == REDO)
#else
#define REDOES(s) (IS_UNDER_WAY(s) && kind[s] == REDO)
#endif
/* Its intent is open: nobody else may come before it. */
#define IS_OPEN(s)                                                                                 \
	(REDOES(s) || (!is_gone[MOUNT_OF(s)] && is_resend[s] && pc[s] == NONE && HAS_INTENT(s)))
#define IS_TO_RESEND(s) (!is_gone[MOUNT_OF(s)] && is_resend[s])

#if SLOTS == 2
#define ANY(what) (what(0) || what(1))
#else
#define ANY(what) (what(0) || what(1) || what(2))
#endif

#ifdef RESEND_BEFORE_REDO
#define MAY_EXECUTE_RESEND (1)
#else
#define MAY_EXECUTE_RESEND (!ANY(IS_OPEN))
#endif
#ifdef NEW_BEFORE_RESENT
#define MAY_EXECUTE_NEW (1)
#else
#define MAY_EXECUTE_NEW (serves)
#endif

inline apply(im, what, s, a, b)
{
	if
	:: what == INTENT ->
		im.rec_seq[s] = a;
		im.rec_done[s] = 0
	:: what == DONE ->
		im.rec_seq[s] = a;
		im.rec_done[s] = 1;
		im.rec_ok[s] = b
	:: what == DO ->
		im.name[file_of[OP(s, a)]] = b;
		im.effect[OP(s, a)]++;
		im.length++
	fi
}

inline write(what, s, b)
{
	log ! what, s, seq[s], b;
	apply(now, what, s, seq[s], b)
}

#ifdef NO_INTENT
#define AFTER_LOOK DO
#else
#define AFTER_LOOK INTENT
#endif
#ifdef DONE_BEFORE_DO
#define AFTER_INTENT DONE
#define AFTER_DO     UNLOCK
#define AFTER_DONE   ((kind[s] == EXECUTE && ok[s]) -> DO : UNLOCK)
#define AFTER_UNLOCK FORCE
#elif defined(UNLOCK_BEFORE_DONE)
#define AFTER_INTENT DO
#define AFTER_DO     UNLOCK
#define AFTER_DONE   FORCE
#define AFTER_REDO   UNLOCK
#define AFTER_UNLOCK ((ok[s] && is_marked[s] == 0) -> DONE : FORCE)
#elif defined(REPLY_BEFORE_DONE)
#define AFTER_INTENT DO
#define AFTER_DO     UNLOCK
#define AFTER_DONE   UNLOCK
#define AFTER_UNLOCK FORCE
#else
#define AFTER_INTENT DO
#define AFTER_DO     DONE
#define AFTER_DONE   UNLOCK
#define AFTER_UNLOCK FORCE
#endif
#ifndef AFTER_REDO
#define AFTER_REDO DONE
#endif
#ifdef REPLY_BEFORE_FORCE
#undef AFTER_UNLOCK
#define AFTER_UNLOCK KEPT
#endif
bit is_marked[SLOTS]; /* DONE has been written: for UNLOCK_BEFORE_DONE */

inline begin(s, how)
{
	kind[s] = how;
	is_marked[s] = 0;
	pc[s] = LOOK
}

#ifdef REDO_BLINDLY
#define IS_BLIND (1)
#else
#define IS_BLIND (0)
#endif

inline look(s)
{
	if
	:: now.name[file[s]] == from[s] || (kind[s] == REDO && IS_BLIND) ->
		ok[s] = 1;
		pc[s] = (kind[s] == REDO -> DO : AFTER_LOOK)
	:: else ->
		/* As it should be afterwards: it has happened. New: it cannot be done. */
		ok[s] = (kind[s] == REDO);
		pc[s] = (kind[s] == REDO -> AFTER_REDO : UNLOCK)
	fi
}

inline flush()
{
	log ? f_what, f_slot, f_seq, f_bit;
	apply(disk, f_what, f_slot, f_seq, f_bit)
}

inline finish(s)
{
	is_resend[s] = 0;
	kind[s] = EXECUTE;
	is_marked[s] = 0;
	pc[s] = KEPT
}

inline answer(s)
{
	waits[s] = 0;
	pc[s] = NONE;
	assert(shown[s] <= disk.length);
	assert(now.effect[OP(s, seq[s])] == ok[s]);
	assert(disk.effect[OP(s, seq[s])] == ok[s]);
	ok[s] = 0;
	shown[s] = 0
}

proctype slot(byte s)
{
	mtype f_what;
	byte f_slot, f_seq;
	bit f_bit;

	do
	/* The client. */
	:: atomic {
		!waits[s] && seq[s] < OPS && issued < ALL_OPS && !is_gone[MOUNT_OF(s)] ->
		seq[s]++;
		issued++;
		waits[s] = 1;
		if
		:: from[s] = 0
		:: from[s] = 1
		fi;
#if FILES > 1
		if
		:: file[s] = 0
		:: file[s] = 1
		fi;
#endif
		file_of[OP(s, seq[s])] = file[s]
	   }
	:: d_step { pc[s] == KEPT && waits[s] && !is_gone[MOUNT_OF(s)] -> answer(s) }

	/* Is it begun, and how? */
	:: d_step {
		pc[s] == NONE && waits[s] && !is_gone[MOUNT_OF(s)] && is_resend[s] && HAS_INTENT(s) ->
		begin(s, REDO)
	   }
	:: d_step {
		pc[s] == NONE && waits[s] && !is_gone[MOUNT_OF(s)] && is_resend[s] && HAS_RESULT(s) ->
		ok[s] = now.rec_ok[s];
		shown[s] = 0; /* of what was durable when this coordinator began */
		finish(s)
	   }
	:: d_step {
		pc[s] == NONE && waits[s] && !is_gone[MOUNT_OF(s)] && now.rec_seq[s] != seq[s] &&
			(is_resend[s] -> MAY_EXECUTE_RESEND : MAY_EXECUTE_NEW) ->
		begin(s, EXECUTE)
	   }

	/* Its steps. */
	:: d_step { pc[s] == LOOK && !lock[file[s]] -> lock[file[s]] = 1; look(s) }
	:: d_step { pc[s] == INTENT && nfull(log) -> write(INTENT, s, 0); pc[s] = AFTER_INTENT }
	:: d_step {
		pc[s] == DO && nfull(log) ->
		assert(waits[s] && now.effect[OP(s, seq[s])] == 0);
		write(DO, s, 1 - from[s]);
		pc[s] = AFTER_DO
	   }
	:: d_step {
		pc[s] == DONE && nfull(log) ->
		write(DONE, s, ok[s]);
		is_marked[s] = 1;
		pc[s] = AFTER_DONE
	   }
	:: d_step {
		pc[s] == UNLOCK ->
		lock[file[s]] = 0;
		shown[s] = now.length;
		pc[s] = AFTER_UNLOCK
	   }
	:: d_step {
		pc[s] == FORCE ->
		do
		:: nempty(log) -> flush()
		:: empty(log) -> break
		od;
		finish(s);
		f_what = NONE; f_slot = 0; f_seq = 0; f_bit = 0
	   }

	:: atomic { issued == ALL_OPS && !waits[s] && pc[s] == NONE -> break }
	:: atomic { is_gone[MOUNT_OF(s)] && (pc[s] == NONE || pc[s] == KEPT) -> break }
	:: atomic { seq[s] == OPS && !waits[s] && pc[s] == NONE -> break }
	od
}

/* What is not forced is gone; what is under way is sent again. */
inline crash()
{
	do
	:: nempty(log) -> log ? f_what, f_slot, f_seq, f_bit
	:: empty(log) -> break
	od;
	i = 0;
	do
	:: i < SLOTS * OPS -> now.effect[i] = disk.effect[i]; i++
	:: else -> break
	od;
	i = 0;
	do
	:: i < SLOTS ->
		now.rec_seq[i] = disk.rec_seq[i];
		now.rec_done[i] = disk.rec_done[i];
		now.rec_ok[i] = disk.rec_ok[i];
		pc[i] = NONE;
		kind[i] = EXECUTE;
		ok[i] = 0;
		shown[i] = 0;
		is_marked[i] = 0;
		is_resend[i] = waits[i];
		i++
	:: else -> break
	od;
	i = 0;
	do
	:: i < FILES -> now.name[i] = disk.name[i]; lock[i] = 0; i++
	:: else -> break
	od;
	now.length = disk.length;
	serves = 0;
	crashes++;
	i = 0; f_what = NONE; f_slot = 0; f_seq = 0; f_bit = 0
}

proctype fate()
{
	mtype f_what;
	byte f_slot, f_seq, i;
	bit f_bit;

end:
	do
	:: d_step { nempty(log) -> flush(); f_what = NONE; f_slot = 0; f_seq = 0; f_bit = 0 }
	:: d_step { crashes < CRASHES && issued > 0 -> crash() }
	:: d_step { !serves && !ANY(IS_TO_RESEND) && !ANY(IS_OPEN) -> serves = 1 }
	:: d_step { !is_gone[1] -> is_gone[1] = 1 }
	od
}

init
{
	atomic {
		run fate();
		run slot(0);
		run slot(1);
#if SLOTS > 2
		run slot(2);
#endif
	}
}
