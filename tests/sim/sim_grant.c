/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulation of grants: up to three mounts at a time that read and write three files, directly
 * where they are granted, else at the coordinator; files that are cut and allocated anew, so that
 * blocks are reused by other files at once; coordinators that crash and lose what their log did not
 * hold; lines for recalls that break with what was under way; mounts that die with I/O under way;
 * leases and paths that are lost.
 *
 * Safety, at each step: each read gives what was written last (F2); direct I/O finds its file's own
 * block, whenever it lands (F3); nobody holds a lock while he waits for a mount; what the cores say
 * of themselves; a flush that fails is told to each open, on all mounts, once. Liveness: after the
 * faults end, every request is answered in bounded steps.
 *
 *   sim_grant [--seeds N] [--first SEED] [--seed SEED] [--mutant NAME|all] [--verbose]
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_grant_world.h"
#include "tests/sim/sim_main.h"

#define STEPS_MIN  300
#define STEPS_MAX  4000
#define HEALED_MAX 4000
#define PACE	   8

static const struct mutant {
	const char *name;
	int grant, direct, errors;
} mutants[] = {
	{.name = "none"},
#define GRANT(NAME)                                                                                \
	{                                                                                          \
		.name = "grant " #NAME, .grant = GRANT_MUTANT_##NAME                               \
	}
#define DIRECT(NAME)                                                                               \
	{                                                                                          \
		.name = "direct " #NAME, .direct = DIRECT_MUTANT_##NAME                            \
	}
#define ERRORS(NAME)                                                                               \
	{                                                                                          \
		.name = "errors " #NAME, .errors = ERRORS_MUTANT_##NAME                            \
	}
	GRANT(NO_FORCE),      GRANT(UNWRITTEN),	    GRANT(NO_RESIDENCY), GRANT(FREE_FIRST),
	GRANT(LOCK_FIRST),    GRANT(NO_LOOK_AGAIN), GRANT(ABSENT),	 GRANT(LOST_IS_GONE),
	GRANT(ANY_NUMBER),    GRANT(NO_RESEND),	    DIRECT(ACK_FIRST),	 DIRECT(DEAD_ANSWER),
	DIRECT(DRAIN_USED),   DIRECT(RETURN_FIRST), DIRECT(NO_LEASE),	 DIRECT(NO_RECLAIM),
	GRANT(ORIGIN_FIRST),  GRANT(NOT_TO_ALL),    DIRECT(TELL_ONCE),	 DIRECT(PARALLEL_RMW),
	DIRECT(STALE_ANSWER), DIRECT(CLOSED_CLEAN), ERRORS(NO_SEQUENCE), ERRORS(NO_ID),
#undef GRANT
#undef DIRECT
#undef ERRORS
};

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

/* ---- faults */

static int living(const struct world *w)
{
	int n = 0;

	for (int m = 0; m < w->mount_count; m++)
		n += w->mount[m].is_alive;
	return n;
}

static void close_file(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	int f = (int)prng_below(&w->rng, FILES);

	for (int i = 0; i < OPS; i++) {
		if (mount->op[i].way != OP_NONE && mount->op[i].file == f)
			return;
	}
	if (!mount->is_open[f])
		return;
	mount->is_open[f] = false;
	mount_event(w, m,
		    &(struct direct_event){.type = DIRECT_EV_CLOSED, .handle = sim_handle(f)});
}

static void lease(struct world *w, int m, bool has_lease)
{
	struct mount *mount = &w->mount[m];

	mount_event(w, m, &(struct direct_event){.type = DIRECT_EV_LEASE, .has_lease = has_lease});
	if (has_lease && mount->direct.must_confirm)
		mount_cut(w, m);
}

static void path(struct world *w, int m, bool is_lost)
{
	mount_event(w, m,
		    &(struct direct_event){.type = is_lost ? DIRECT_EV_BLOCK : DIRECT_EV_PATH,
					   .block = DIRECT_PATH_ERROR,
					   .now_ms = w->step * STEP_MS});
}

static void change(struct world *w)
{
	int f = (int)prng_below(&w->rng, FILES);
	struct task *t =
		coord_task(w, sim_chance(w, 300) ? TASK_TRUNCATE : TASK_ALLOCATE, -1, 0, f, 0);

	if (t)
		t->is_write = sim_chance(w, 800);
}

/* The dangerous moments: a grant drains, or is asked for. */
static void provoke(struct world *w)
{
	for (int m = 0; m < w->mount_count; m++) {
		for (int f = 0; f < FILES; f++) {
			struct csv_handle h = sim_handle(f);
			size_t row = direct_find(&w->mount[m].direct, &h);
			bool is_hot = row != DIRECT_NONE &&
				      (w->mount[m].direct.file[row].state == DIRECT_DRAINING ||
				       w->mount[m].direct.file[row].state == DIRECT_ASKING);

			if (!is_hot || !w->mount[m].is_alive || !sim_chance(w, w->rate.provoke))
				continue;
			if (sim_chance(w, 300) && w->is_up)
				coord_crash(w);
			else if (sim_chance(w, 300))
				mount_cut(w, m);
			else
				coord_task(w, TASK_TRUNCATE, -1, 0, f, 0);
			return;
		}
	}
}

/* Something was done that the log does not hold yet, and direct I/O has followed. */
static void provoke_log(struct world *w)
{
	for (int f = 0; w->is_up && f < FILES; f++) {
		struct csv_handle h = sim_handle(f);

		if (memcmp(w->now.at[f], w->forced.at[f], sizeof(w->now.at[f])) != 0 &&
		    grant_is_held(&w->grants, &h) && sim_chance(w, w->rate.provoke))
			coord_crash(w);
	}
}

static void faults(struct world *w)
{
	int m = pick(w);

	if (w->is_up && sim_chance(w, w->rate.crash))
		coord_crash(w);
	if (w->is_up && sim_chance(w, w->rate.change))
		change(w);
	provoke(w);
	provoke_log(w);
	if (living(w) < LIVING && w->mount_count < MOUNTS && sim_chance(w, 20))
		mount_begin(w);
	if (!w->mount[m].is_alive)
		return;
	if (sim_chance(w, w->rate.cut))
		mount_cut(w, m);
	if (sim_chance(w, w->rate.close))
		close_file(w, m);
	if (sim_chance(w, w->rate.lease))
		lease(w, m, !w->mount[m].direct.has_lease);
	if (sim_chance(w, w->rate.path))
		path(w, m, w->mount[m].direct.block == DIRECT_PATH_OK);
	/* Not for long: what it has given back must be on its way still when it asks again. */
	if (sim_chance(w, w->mount[m].direct.is_aside ? 200 : w->rate.path))
		mount_event(w, m,
			    &(struct direct_event){.type = DIRECT_EV_ASIDE,
						   .is_aside = !w->mount[m].direct.is_aside});
	if (sim_chance(w, w->rate.kill))
		mount_die(w, m);
	if (w->mount[m].is_alive && sim_chance(w, w->rate.flush))
		mount_flush(w, m, sim_chance(w, w->rate.fail));
	if (sim_chance(w, w->rate.flush))
		mount_fsync(w, m, (int)prng_below(&w->rng, FILES), (int)prng_below(&w->rng, OPENS));
	if (sim_chance(w, w->rate.fail / 100))
		coord_fail(w, (int)prng_below(&w->rng, FILES));
}

/* ---- one step of one of those that can go on */

static bool has_landed(const struct world *w, int m)
{
	for (int i = 0; i < OPS; i++) {
		if (w->mount[m].op[i].way == OP_DIRECT)
			return false;
	}
	return true;
}

static void go_dead(struct world *w, int m)
{
	if (!w->mount[m].is_alive && !w->mount[m].is_told_gone && has_landed(w, m))
		coord_gone(w, m);
}

static void go_work(struct world *w)
{
	int first = (int)prng_below(&w->rng, TASKS);

	for (int i = 0; i < TASKS; i++) {
		struct task *t = &w->task[(first + i) % TASKS];

		if (t->is_active) {
			coord_work(w, t);
			return;
		}
	}
}

static void go(struct world *w)
{
	int m = pick(w);
	uint64_t what = prng_below(&w->rng, 100);

	if (what < w->rate.land)
		mount_land(w, m);
	else if (what < w->rate.land + w->rate.answer)
		mount_answer(w, m);
	else if (what < 32)
		go_work(w);
	else if (what < 44 && !w->is_healed)
		mount_want(w, m);
	else if (what < 62)
		mount_go_on(w, m);
	else if (what < 70)
		mount_hear(w, m);
	else if (what < 78)
		coord_hear(w, m);
	else if (what < 82)
		coord_lost(w, m);
	else if (what < 88 && w->mount[m].is_alive)
		coord_meet(w, m);
	else if (what < 94 && w->mount[m].is_alive)
		mount_line(w, m);
	else if (what < 98)
		go_dead(w, m);
	else if (!w->is_up)
		coord_start(w);
}

static void heal(struct world *w)
{
	TRACE(w, "the faults end");
	w->is_healed = true;
	for (int m = 0; m < w->mount_count; m++) {
		if (!w->mount[m].is_alive)
			continue;
		lease(w, m, true);
		path(w, m, false);
	}
}

/* All opens call fsync once more. */
static void collect(struct world *w)
{
	for (int m = 0; m < w->mount_count; m++) {
		for (int i = 0; w->mount[m].is_alive && i < FILES * OPENS; i++) {
			mount_fsync(w, m, i / OPENS, i % OPENS);
			if (w->mount[m].is_open[i / OPENS] &&
			    w->mount[m].open[i / OPENS][i % OPENS].must)
				sim_broke(w, "an open is never told of a failure");
		}
	}
}

static const char *unfinished(const struct world *w)
{
	for (int f = 0; f < FILES; f++) {
		if (sim_is_failing(w, f))
			return "a failure is not known everywhere in bounded steps";
	}
	if (!w->is_up || !w->grants.is_open)
		return "no coordinator serves in bounded steps";
	for (int i = 0; i < TASKS; i++) {
		if (w->task[i].is_active)
			return "a request is not done in bounded steps";
	}
	for (int m = 0; m < w->mount_count; m++) {
		for (int i = 0; w->mount[m].is_alive && i < OPS; i++) {
			if (w->mount[m].op[i].way != OP_NONE)
				return "an application is not answered in bounded steps";
		}
	}
	return NULL;
}

static void world_init(struct world *w, uint64_t seed, const struct mutant *mutant, bool is_verbose)
{
	memset(w, 0, sizeof(*w));
	prng_init(&w->rng, seed);
	w->seed = seed;
	w->is_verbose = is_verbose;
	w->grant_mutant = mutant->grant;
	w->direct_mutant = mutant->direct;
	w->errors_mutant = mutant->errors;
	w->rate = (struct rates){.crash = prng_below(&w->rng, 5),
				 .cut = prng_below(&w->rng, 20),
				 .kill = prng_below(&w->rng, 4),
				 .lease = prng_below(&w->rng, 8),
				 .path = prng_below(&w->rng, 8),
				 .close = prng_below(&w->rng, 30),
				 .change = prng_range(&w->rng, 1, 15),
				 .provoke = prng_below(&w->rng, 60),
				 .stall = prng_below(&w->rng, 500),
				 .land = prng_range(&w->rng, 2, 12),
				 .answer = prng_range(&w->rng, 2, 10),
				 .flush = prng_below(&w->rng, 30),
				 .fail = prng_below(&w->rng, 500),
				 .half = prng_below(&w->rng, 400)};
	for (int f = 0; f < FILES; f++) {
		for (int p = 0; p < PARTS; p++) {
			w->now.at[f][p].block = -1;
			w->truth[f][p].is_known = w->truth[f][p].is_forced = true;
		}
	}
	w->forced = w->now;
	w->term = 1000; /* terms are no numbers of mounts, which are random there */
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
		if (w->step == healed)
			heal(w);
		if (!w->is_healed)
			faults(w);
		for (int i = 0; i < PACE && !w->broken; i++)
			go(w);
		if (!w->is_healed)
			continue;
		open = unfinished(w);
		if (open && w->step > healed + HEALED_MAX)
			sim_broke(w, open);
		if (!open)
			collect(w);
	}
	return w->broken;
}
static const char *mutant_name(size_t mutant)
{
	return mutants[mutant].name;
}

int main(int argc, char **argv)
{
	static const struct sim_program p = {.name = "sim_grant",
					     .mutants = MUST_ARRAY_SIZE(mutants),
					     .mutant_name = mutant_name,
					     .run_seed = run_seed};

	return sim_main(argc, argv, &p);
}
