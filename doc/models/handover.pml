/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hand-over of a live migration, phases state to online: migrate/core/mig_source.c and
 * mig_destination.c, with the database between them. An administrator cancels once at any moment,
 * either side may die at any moment, each message may be lost, what the database says arrives late,
 * in order, and once as it was before the migration began (a clusterd started anew).
 *
 * Left out: leases and halting (a side that may not run is dead here), convergence, QEMU's lies.
 *
 * doc/models/check-models proves the right one and refutes those that are broken:
 *   TIMER      a source that has asked resumes on a timer
 *   OWN        ... because the lock is still its own
 *   STALE      ... because of a database that is not fresh
 *   ABORTED    ... because the destination says that it has given up
 *   EARLY      a destination runs when all is loaded and the source is still, without the lock
 *   UNLOADED   a source asks without having heard that all is loaded
 *   CANCELLED  a destination that has the lock obeys a cancel
 *   HASTY      the lock goes back to a source whose destination may have run
 */

mtype = { LOADED, INACTIVE, ABORT, RUNNING };
mtype = { SOURCE, DESTINATION, NOBODY };                        /* who has the lock */
mtype = { MEMORY, STATE, ASKED, TRANSFERRED, BACK, WAITING, ONLINE, GONE };

/* the truth */
mtype lock = SOURCE;
bool is_cancelled, is_transferred;
bool is_source_dead, is_destination_dead;                       /* as proven to the database */
bool source_runs, destination_runs, destination_ran;
bool has_source_died, has_destination_died, has_destination_crashed;
bool has_asked, has_given_up;                                   /* what the source tells */
bool has_arrived;                                               /* QEMU's stream, as a whole */
mtype source = MEMORY, destination = MEMORY;

chan to_source = [3] of { mtype };
chan to_destination = [3] of { mtype };
/* has the lock, cancelled or over, the other side dead, fresh */
chan view_source = [1] of { bool, bool, bool, bool };
chan view_destination = [1] of { bool, bool, bool, bool };

#define SEND(channel, message) if :: channel ! message :: skip fi
#define EXCLUSION                                                                 \
	assert(!(source_runs && destination_runs));                               \
	assert(!source_runs || lock == SOURCE);                                   \
	assert(!destination_runs || (lock == DESTINATION && has_arrived));        \
	assert(!(source_runs && destination_ran))

/* The planner and the administrator: each choice is one command. */
active proctype database()
{
	bool may_cancel = true;
end:	do
	:: atomic { has_asked && lock == SOURCE && !is_cancelled && !is_transferred &&
		!is_source_dead && !is_destination_dead ->
			lock = DESTINATION; is_transferred = true;
			assert(has_arrived); EXCLUSION }
	:: atomic { may_cancel -> may_cancel = false; is_cancelled = true }
	:: atomic { may_cancel -> may_cancel = false }
	:: atomic { has_given_up && !is_cancelled && !is_transferred -> is_cancelled = true }
	:: atomic { has_source_died && !is_source_dead ->
			is_source_dead = true;
			if
			:: lock == SOURCE -> lock = NOBODY
			:: else
			fi;
			if
			:: !is_transferred -> is_cancelled = true
			:: else
			fi }
	:: atomic { has_destination_died && !is_destination_dead ->
			is_destination_dead = true;
			if
			:: !is_transferred -> is_cancelled = true
			:: else
			fi }
	:: atomic { lock == DESTINATION && is_destination_dead ->
			if
#ifdef HASTY
			:: !is_source_dead -> lock = SOURCE
#else
			:: !is_source_dead && !destination_ran -> lock = SOURCE
#endif
			:: else -> lock = NOBODY
			fi }
	od
}

/* What a clusterd tells its vm-host: each change, late, and once what was long ago. */
active proctype tells_source()
{
	bool mine = true, off, dead, is_stale_told;
end:	do
	:: atomic { nfull(view_source) && ((lock == SOURCE) != mine || is_cancelled != off ||
		is_destination_dead != dead) ->
			mine = (lock == SOURCE); off = is_cancelled; dead = is_destination_dead;
			view_source ! mine, off, dead, true }
	:: atomic { nfull(view_source) && !is_stale_told ->
			is_stale_told = true; view_source ! true, true, false, false;
			mine = !(lock == SOURCE) } /* and then anew what is */
	od
}

active proctype tells_destination()
{
	bool mine, off, dead;
end:	do
	:: atomic { nfull(view_destination) && ((lock == DESTINATION) != mine ||
		is_cancelled != off || is_source_dead != dead) ->
			mine = (lock == DESTINATION); off = is_cancelled; dead = is_source_dead;
			view_destination ! mine, off, dead, true }
	od
}

inline roll_back()
{
	source = BACK;
	source_runs = true;
	has_given_up = true;
	EXCLUSION;
	SEND(to_destination, ABORT)
}

active proctype source_host()
{
	bool mine = true, off, dead, fresh = true, has_heard_loaded, has_heard_running;
	mtype heard;

	source_runs = true;
end:	do
	:: view_source ? mine, off, dead, fresh
	:: atomic { to_source ? heard ->
		if
		:: heard == LOADED -> has_heard_loaded = true
		:: heard == RUNNING -> has_heard_running = true
		:: heard == ABORT && (source == MEMORY || source == STATE) -> roll_back()
#ifdef ABORTED
		:: heard == ABORT && source == ASKED -> roll_back()
#endif
		:: else
		fi }
	:: atomic { source == MEMORY -> source = STATE; source_runs = false;
		if
		:: has_arrived = true
		:: skip /* and QEMU says completed */
		fi }
	/* a deadline, silence, a cancel: before it has asked for any reason */
	:: atomic { source == MEMORY || source == STATE -> roll_back() }
#ifdef UNLOADED
	:: atomic { source == STATE ->
#else
	:: atomic { source == STATE && has_heard_loaded ->
#endif
		source = ASKED; has_asked = true; SEND(to_destination, INACTIVE) }
	:: atomic { source == ASKED && fresh && !mine -> source = TRANSFERRED }
#ifdef STALE
	:: atomic { source == ASKED && mine && (off || dead) -> roll_back() }
#else
	:: atomic { source == ASKED && fresh && mine && (off || dead) -> roll_back() }
#endif
#ifdef OWN
	:: atomic { source == ASKED && fresh && mine -> roll_back() }
#endif
#ifdef TIMER
	:: atomic { source == ASKED -> roll_back() }
#endif
	:: atomic { source == TRANSFERRED && has_heard_running -> source = GONE }
	:: atomic { source == TRANSFERRED && fresh && mine && dead && !has_heard_running ->
		roll_back() }
	:: atomic { source == BACK && source_runs && fresh && !mine -> source_runs = false }
	:: atomic { has_source_died = true; source_runs = false; source = GONE; break }
	:: source == GONE -> break
	:: atomic { source == BACK -> break } /* and lives on */
	od
}

inline quit()
{
	destination = GONE;
	destination_runs = false;
	has_destination_died = true; /* its process has ended, which clusterd sees */
	SEND(to_source, ABORT)
}

inline go_online()
{
	destination = ONLINE;
	destination_runs = true;
	destination_ran = true;
	EXCLUSION;
	SEND(to_source, RUNNING)
}

active proctype destination_host()
{
	bool mine, off, dead, fresh = true;
	mtype heard;

end:	do
	:: view_destination ? mine, off, dead, fresh
	:: atomic { to_destination ? heard ->
		if
		:: heard == ABORT && destination == MEMORY -> quit()
		:: heard == ABORT && destination == WAITING && !mine -> quit()
#ifdef EARLY
		:: heard == INACTIVE && destination == WAITING -> go_online()
#endif
		:: else
		fi }
	:: atomic { destination == MEMORY && has_arrived ->
		destination = WAITING; SEND(to_source, LOADED) }
	:: atomic { destination == MEMORY -> quit() }
	:: atomic { destination == WAITING && fresh && mine -> go_online() }
	:: atomic { destination == WAITING && fresh && !mine && (off || dead) -> quit() }
#ifdef CANCELLED
	:: atomic { destination == ONLINE && off -> quit() }
#endif
	/* QEMU dies, and its vm-host says so; or that dies, too, and the message is lost */
	:: atomic { destination != GONE -> has_destination_crashed = true;
		if
		:: destination != ONLINE -> quit()
		:: else -> destination_runs = false; destination = GONE;
			has_destination_died = true
		fi;
		break }
	:: destination == GONE -> break
	od
}

/* When nothing moves any more: whoever should run, runs. */
active proctype at_rest()
{
	timeout;
	EXCLUSION;
	if
	:: !has_source_died && !has_destination_crashed ->
		assert(source_runs || destination_runs)
	:: !has_source_died && has_destination_crashed && !destination_ran ->
		assert(source_runs)
	:: has_source_died && !has_destination_crashed && lock == DESTINATION ->
		assert(destination_runs)
	:: else
	fi
}
