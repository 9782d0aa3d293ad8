/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulation of file locks: up to three mounts at a time, with processes of two threads that lock,
 * wait, unlock, close and get signals, on two files; coordinators that crash; connections and lines
 * that break with what was under way, and lines that tell late; mounts that die, and mounts whose
 * process ends, with what it was about to do half done, and is replaced by another one.
 *
 * Safety, at each step: no two owners have been told that they have what excludes each other; with
 * nothing under way coordinator and book agree, and nobody is in line for whom nobody waits; what
 * the cores say of themselves; nobody is passed without end. Liveness: after the faults end and all
 * give up what they have, every call is answered in bounded steps and nothing is left.
 *
 *   sim_filelock [--seeds N] [--first SEED] [--seed SEED] [--mutant NAME|all] [--verbose]
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_filelock_world.h"
#include "tests/sim/sim_main.h"

#define STEPS_MIN  200
#define STEPS_MAX  1500
#define HEALED_MAX 3000
#define PACE	   4

static const struct mutant {
	const char *name;
	int filelock, lockbook;
	enum world_mutant world;
} mutants[] = {
	{.name = "none"},
#define FILELOCK(NAME)                                                                             \
	{                                                                                          \
		.name = "filelock " #NAME, .filelock = FILELOCK_MUTANT_##NAME                      \
	}
#define LOCKBOOK(NAME)                                                                             \
	{                                                                                          \
		.name = "lockbook " #NAME, .lockbook = LOCKBOOK_MUTANT_##NAME                      \
	}
#define WORLD(NAME)                                                                                \
	{                                                                                          \
		.name = "mount " #NAME, .world = WORLD_MUTANT_##NAME                               \
	}
	FILELOCK(SHARED_WRITE), FILELOCK(NOT_RESERVED), FILELOCK(GIVE_EARLY),
	FILELOCK(KEEP_DEAD),	FILELOCK(KEEP_TURN),	FILELOCK(NO_WAKE),
	FILELOCK(NO_REPEAT),	FILELOCK(NO_DEADLOCK),	FILELOCK(PASS_ALWAYS),
	FILELOCK(HOLD_UPGRADE), FILELOCK(STAY_BEHIND),	FILELOCK(NO_REFUSAL),
	LOCKBOOK(LOWER_LATE),	LOCKBOOK(RAISE_EARLY),	LOCKBOOK(NO_TURNS),
	LOCKBOOK(NO_TRIM),	LOCKBOOK(TRIM_ALL),	LOCKBOOK(NO_CANCEL),
	LOCKBOOK(LOSE_CALL),	LOCKBOOK(NO_WAITS),	LOCKBOOK(DOWNGRADE),
	LOCKBOOK(KEEP_CLOSED),	FILELOCK(KEEP_WAITS),	FILELOCK(DROP_LOCKS),
	LOCKBOOK(OWE_NOTHING),	LOCKBOOK(LEAVE_ASKED),	LOCKBOOK(STAY_CLOSING),
	WORLD(KEEP_LATE),
#undef FILELOCK
#undef LOCKBOOK
#undef WORLD
};

void sim_broke(struct world *w, const char *what)
{
	TRACE(w, "BROKEN: %s", what);
	if (w->is_verbose && !w->broken)
		coord_show(w);
	if (!w->broken)
		w->broken = what;
}

/* Mostly one that lives. */
static int pick(struct world *w)
{
	int first = (int)prng_below(&w->rng, (uint64_t)w->mount_count);

	for (int i = 0; i < w->mount_count && !sim_chance(w, 200); i++) {
		int m = (first + i) % w->mount_count;

		if (w->mount[m].is_alive)
			return m;
	}
	return first;
}

static int living(const struct world *w)
{
	int n = 0;

	for (int m = 0; m < w->mount_count; m++)
		n += w->mount[m].is_alive;
	return n;
}

static void faults(struct world *w)
{
	int m = pick(w);

	if (w->is_up && sim_chance(w, w->rate.crash))
		coord_crash(w);
	if (living(w) < LIVING && w->mount_count < MOUNTS && sim_chance(w, 30))
		mount_begin(w);
	if (!w->mount[m].is_alive)
		return;
	if (sim_chance(w, w->rate.cut))
		mount_cut(w, m);
	if (sim_chance(w, w->rate.line))
		coord_cut_line(w, m);
	if (sim_chance(w, w->rate.interrupt))
		mount_interrupt(w, m, false);
	if (sim_chance(w, w->rate.close))
		mount_close(w, m);
	if (sim_chance(w, w->rate.stale))
		mount_stale(w, m);
	if (sim_chance(w, w->rate.replace))
		mount_replace(w, m);
	if (sim_chance(w, w->rate.kill))
		mount_die(w, m);
}

static void go(struct world *w)
{
	int m = pick(w);
	uint64_t what = prng_below(&w->rng, 100);

	if (what < 25)
		coord_execute(w, m);
	else if (what < 50)
		mount_reply(w, m);
	else if (what < 65 && !w->is_healed)
		mount_work(w, m);
	else if (what < 60)
		mount_wind_up(w, m);
	else if (what < 65)
		mount_interrupt(w, m, true);
	else if (what < 75)
		mount_hear(w, m);
	else if (what < 83)
		coord_meet(w, m);
	else if (what < 90)
		coord_line(w, m);
	else if (what < 93)
		coord_gone(w, m);
	else if (what < 97)
		mount_resend(w, m);
	else if (!w->is_up)
		coord_start(w);
}

static const char *unfinished(const struct world *w)
{
	if (!w->is_up || !w->filelock.is_open)
		return "no coordinator serves in bounded steps";
	for (int m = 0; m < w->mount_count; m++) {
		for (int n = 0; n < OWNERS * THREADS; n++) {
			if (w->mount[m].owner[n / THREADS].thread[n % THREADS].is_busy)
				return "a call is not answered in bounded steps";
		}
		if (w->mount[m].is_alive && w->mount[m].book.held.count)
			return "a lock is kept that was given up";
	}
	if (w->filelock.waits)
		return "somebody is left in line";
	return w->filelock.held.count ? "a lock is left that nobody has" : NULL;
}

static void world_init(struct world *w, uint64_t seed, const struct mutant *mutant, bool is_verbose)
{
	memset(w, 0, sizeof(*w));
	prng_init(&w->rng, seed);
	w->is_verbose = is_verbose;
	w->filelock_mutant = mutant->filelock;
	w->lockbook_mutant = mutant->lockbook;
	w->mutant = mutant->world;
	w->rate = (struct rates){.crash = prng_below(&w->rng, 8),
				 .cut = prng_below(&w->rng, 20),
				 .line = prng_below(&w->rng, 20),
				 .kill = prng_below(&w->rng, 4),
				 .interrupt = prng_below(&w->rng, 100),
				 .close = prng_below(&w->rng, 30),
				 .stale = prng_below(&w->rng, 30),
				 .replace = prng_below(&w->rng, 20)};
	mount_begin(w);
	coord_start(w);
}

/* NULL, or what was broken. */
static const char *run_seed(uint64_t seed, size_t mutant, bool is_verbose)
{
	static struct world world;
	struct world *w = &world;
	const char *open = "";
	uint64_t healed;

	world_init(w, seed, &mutants[mutant], is_verbose);
	healed = prng_range(&w->rng, STEPS_MIN, STEPS_MAX);
	while (!w->broken && open) {
		w->step++;
		if (w->step == healed) {
			TRACE(w, "the faults end");
			w->is_healed = true;
			w->rate = (struct rates){0};
		}
		if (!w->is_healed)
			faults(w);
		for (int i = 0; i < PACE && !w->broken; i++)
			go(w);
		sim_check(w);
		if (!w->is_healed)
			continue;
		open = unfinished(w);
		if (open && w->step > healed + HEALED_MAX)
			sim_broke(w, open);
	}
	return w->broken;
}

static const char *mutant_name(size_t mutant)
{
	return mutants[mutant].name;
}

int main(int argc, char **argv)
{
	static const struct sim_program p = {.name = "sim_filelock",
					     .mutants = MUST_ARRAY_SIZE(mutants),
					     .mutant_name = mutant_name,
					     .run_seed = run_seed};

	return sim_main(argc, argv, &p);
}
