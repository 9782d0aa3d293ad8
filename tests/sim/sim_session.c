/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulation of request sessions: up to three mounts at a time with up to four requests each under
 * way, and one coordinator after the other over a disk with an ordered log. Coordinators crash
 * between any two steps and stop; of what is not forced a random prefix survives. Connections end
 * in the middle, in either direction; mounts end and new ones come, and a mount's process ends and
 * another one goes on; the lease ends and comes back; the disk refuses.
 *
 * Safety, at each step: nothing takes effect twice; what was answered, and what was seen, survives
 * every crash; no answer tells of what is not durable; files that a living mount has open stay;
 * nothing is begun for an ended mount, without a lease, or before all opens are known; each
 * replacement of a process is told, nothing else is taken for one, and nothing that was given to
 * the one before counts when the next one asks; what the core says of itself. At the end: each
 * answer fits its place in one sequential history, which is later than every answer that was known
 * before its question; success is one effect, an error none. Liveness: after the faults end every
 * request is answered, every ended mount is dropped and every orphan that nobody has open is
 * reaped, in a bounded number of steps.
 *
 *   sim_session [--seeds N] [--first SEED] [--seed SEED] [--mutant NAME|all] [--verbose]
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_main.h"
#include "tests/sim/sim_session_world.h"

#define STEPS_MIN   400
#define STEPS_MAX   6000
#define HEALED_MAX  4000
#define PACE	    4 /* things that go on between two faults */
#define QUIET_EVERY 16

/* ---- planted bugs */

static const struct mutant {
	const char *name;
	enum sess_mutant sess;
	enum change_mutant change;
	enum world_mutant world;
} mutants[] = {
	{.name = "none"},
#define SESS(NAME)                                                                                 \
	{                                                                                          \
		.name = "session " #NAME, .sess = SESS_MUTANT_##NAME                               \
	}
#define CHANGE(NAME)                                                                               \
	{                                                                                          \
		.name = "change " #NAME, .change = CHANGE_MUTANT_##NAME                            \
	}
#define WORLD(NAME)                                                                                \
	{                                                                                          \
		.name = "world " #NAME, .world = WORLD_MUTANT_##NAME                               \
	}
	SESS(RESEND_TWICE),	    SESS(SERVE_EARLY),	       SESS(RESEND_EARLY),
	SESS(FORGET_HELD),	    SESS(DROP_EXECUTING),      SESS(WORK_SUSPENDED),
	SESS(REDO_ANY_TIME),	    SESS(GONE_REDO),	       SESS(DROP_SUSPENDED),
	SESS(DROP_STOPPED),	    CHANGE(REPLY_BEFORE_DONE), CHANGE(UNLOCK_BEFORE_DONE),
	CHANGE(REPLY_BEFORE_FORCE), CHANGE(NO_INTENT),	       WORLD(RESTART_SEQ),
	WORLD(REAP_EARLY),	    WORLD(UNLINK_FREES),       WORLD(REPLAY_NO_OPEN),
	WORLD(RECLAIM_UNASKED),	    WORLD(MOUNT_LATE),	       WORLD(NO_DSYNC),
	WORLD(QUERY_NO_FORCE),	    SESS(NO_REPLACED),	       SESS(ALL_REPLACED),
	SESS(OLDER_LIFE),	    SESS(LIFE_WAITS),	       SESS(REPLACED_ONCE),
	SESS(ACCEPT_EARLY),	    WORLD(NEXT_LOSES_SENT),    WORLD(NEXT_COUNTS_ANEW),
	WORLD(NEXT_LOSES_OPENS),    WORLD(NEXT_OPENS_TWICE),
#undef SESS
#undef CHANGE
#undef WORLD
};

/* ---- faults */

static void mount_begin(struct world *w)
{
	int m = w->mount_count++;

	TRACE(w, "m%d: begins", m);
	w->mount[m].is_alive = true;
	w->mount[m].life = 1;
	w->news[w->news_count++] = (struct news){.mount = m};
}

static void mount_end(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	struct conn *c = conn_find(w, mount->conn);

	TRACE(w, "m%d: ends", m);
	mount->is_alive = false;
	if (c)
		conn_client_close(w, c);
	w->news[w->news_count++] = (struct news){.mount = m, .is_gone = true};
}

static int living(const struct world *w)
{
	int n = 0;

	for (int m = 0; m < w->mount_count; m++)
		n += w->mount[m].is_alive;
	return n;
}

/* The line breaks; the client sees it now, or when all that still arrives has arrived. */
static void fault_cut(struct world *w)
{
	struct conn *c = &w->conn[prng_below(&w->rng, CONNS)];

	if (!c->id || !c->is_client)
		return;
	TRACE(w, "connection %" PRIu64 " breaks", c->id);
	if (sim_chance(w, 500)) {
		conn_client_close(w, c);
		return;
	}
	c->up.count = (int)prng_below(&w->rng, (uint64_t)c->up.count + 1);
	c->down.count = (int)prng_below(&w->rng, (uint64_t)c->down.count + 1);
	c->is_cut_up = c->is_cut_down = true;
}

static void lease(struct world *w, bool is_suspended)
{
	if (w->coord.is_up && w->coord.sess.is_suspended != is_suspended)
		coord_event(w, &(struct sess_event){.type = is_suspended ? SESS_EV_SUSPEND
									 : SESS_EV_RESUME});
}

/* The dangerous moments: who has something redone ends, who waits or is held loses the line. */
static void provoke_mount(struct world *w, int m)
{
	struct conn *conn = conn_find(w, w->mount[m].conn);
	bool is_waiting = w->mount[m].phase == CLIENT_HELLO;

	for (int s = 0; w->mount[m].is_alive && s < SLOTS; s++) {
		struct work *work = &w->coord.work[m][s];

		is_waiting = is_waiting || work->is_held;
		if (!work->exec.is_active || !work->exec.is_repeated ||
		    !sim_chance(w, w->rate.provoke))
			continue;
		mount_end(w, m);
		work->exec.not_before = w->step + STALL_MAX;
		return;
	}
	if (conn && is_waiting && sim_chance(w, w->rate.provoke))
		conn_client_close(w, conn);
}

static void faults(struct world *w)
{
	int m = (int)prng_below(&w->rng, (uint64_t)w->mount_count);

	if (sim_chance(w, w->rate.crash) && w->coord.is_up)
		coord_crash(w);
	if (sim_chance(w, w->rate.stop) && w->coord.is_up)
		coord_event(w, &(struct sess_event){.type = SESS_EV_STOP});
	if (sim_chance(w, w->rate.cut))
		fault_cut(w);
	if (sim_chance(w, w->rate.kill) && w->mount[m].is_alive)
		mount_end(w, m);
	if (sim_chance(w, w->rate.replace) && w->mount[m].is_alive)
		client_replace(w, m);
	if (living(w) < w->rate.mounts && w->mount_count < MOUNTS && sim_chance(w, 20))
		mount_begin(w);
	for (int n = 0; w->coord.is_up && n < w->mount_count; n++)
		provoke_mount(w, n);
	if (sim_chance(w, w->rate.suspend))
		lease(w, true);
	else if (sim_chance(w, 50))
		lease(w, false);
}

/* ---- one step of one of those that can go on */

static void go_execute(struct world *w)
{
	int n = w->mount_count * SLOTS, first = (int)prng_below(&w->rng, (uint64_t)n);
	enum change_step step;

	for (int i = 0; i < n; i++) {
		int m = (first + i) % n / SLOTS, s = (first + i) % n % SLOTS;

		if (!w->coord.work[m][s].exec.is_active ||
		    w->coord.work[m][s].exec.not_before > w->step)
			continue;
		step = w->coord.work[m][s].exec.step;
		coord_execute(w, m, s);
		/* The dangerous moments. */
		if (!w->is_healed && w->coord.is_up && step >= CHANGE_INTENT &&
		    step <= CHANGE_UNLOCK && sim_chance(w, w->rate.provoke))
			coord_crash(w);
		return;
	}
}

static void go_deliver(struct world *w, bool is_up)
{
	int first = (int)prng_below(&w->rng, CONNS);

	for (int i = 0; i < CONNS; i++) {
		struct conn *c = &w->conn[(first + i) % CONNS];

		if (!c->id)
			continue;
		if (is_up && w->coord.is_up &&
		    (c->is_stale || (c->is_coord && (c->up.count || c->is_cut_up)))) {
			coord_deliver(w, c);
			return;
		}
		if (!is_up && c->is_client && (c->down.count || c->is_cut_down)) {
			client_deliver(w, c);
			return;
		}
	}
}

static void go_reap(struct world *w)
{
	uint16_t first = (uint16_t)prng_below(&w->rng, INODES);

	for (uint16_t i = 0; i < INODES; i++) {
		if (coord_reap(w, (uint16_t)((first + i) % INODES)))
			return;
	}
}

static void go_drop(struct world *w)
{
	for (int m = 0; m < w->mount_count && w->coord.is_up; m++)
		coord_drop(w, m);
}

static void go(struct world *w)
{
	int m = (int)prng_below(&w->rng, (uint64_t)w->mount_count);
	uint64_t what = prng_below(&w->rng, 100);

	if (what < w->rate.answers)
		go_deliver(w, false);
	else if (what < w->rate.answers + w->rate.connects)
		client_connect(w, m);
	else if (what < 30)
		go_deliver(w, true);
	else if (what < 58 && w->coord.is_up)
		go_execute(w);
	else if (what < 78 && !w->is_healed)
		client_ask(w, m);
	else if (what < 88 && !w->coord.is_up)
		coord_start(w);
	else if (what < 88)
		coord_learn(w);
	else if (what < 92)
		go_drop(w);
	else if (what < 96)
		go_reap(w);
	else if (w->coord.is_up)
		disk_force(w, w->forced + prng_below(&w->rng, (uint64_t)w->log_count + 1));
}

/* ---- the end */

/* NULL, or what is still to be done. */
static const char *unfinished(const struct world *w)
{
	const struct coord *c = &w->coord;

	if (!c->is_up || c->sess.phase != SESS_SERVE || c->cursor < w->news_count)
		return "it does not come to serve in bounded steps";
	for (int m = 0; m < w->mount_count; m++) {
		if (!w->mount[m].is_alive && !w->mount[m].is_recovered)
			return "an ended mount is not dropped in bounded steps";
		if (w->mount[m].is_alive && w->mount[m].phase != CLIENT_READY)
			return "a mount is not welcomed in bounded steps";
		for (int s = 0; s < SLOTS; s++) {
			if (w->mount[m].is_alive && w->mount[m].slot[s].uid)
				return "a request is not answered in bounded steps";
			if (c->work[m][s].exec.is_active)
				return "a request executes for ever";
		}
	}
	for (int i = 1; i < INODES; i++) {
		bool is_open = false;

		for (int m = 0; m < w->mount_count; m++)
			is_open = is_open || c->opens[m][i];
		if (w->now.inode[i].is_orphan && !is_open)
			return "an orphan is not reaped in bounded steps";
	}
	return NULL;
}

static void verify(struct world *w)
{
	const char *wrong;

	for (int m = 0; m < w->mount_count; m++) {
		for (int i = 1; w->mount[m].is_alive && i < INODES; i++) {
			if (w->mount[m].opens[i] != w->coord.opens[m][i])
				sim_broke(w, "mount and coordinator disagree on what is open");
		}
	}
	disk_force(w, disk_end(w));
	wrong = disk_verify(w);
	if (wrong)
		sim_broke(w, wrong);
}

static void world_init(struct world *w, uint64_t seed, const struct mutant *mutant, bool is_verbose)
{
	memset(w, 0, sizeof(*w));
	prng_init(&w->rng, seed);
	w->seed = seed;
	w->is_verbose = is_verbose;
	w->sess_mutant = (int)mutant->sess;
	w->change_mutant = (int)mutant->change;
	w->mutant = mutant->world;
	w->next_ino = 1;
	w->next_uid = 1;
	w->rate = (struct rates){.crash = prng_below(&w->rng, 8),
				 .stop = prng_below(&w->rng, 4),
				 .cut = prng_below(&w->rng, 20),
				 .kill = prng_below(&w->rng, 8),
				 .suspend = prng_below(&w->rng, 10),
				 .disk = prng_below(&w->rng, 10),
				 .provoke = prng_below(&w->rng, 40),
				 .stall = prng_below(&w->rng, 300),
				 .replace = prng_below(&w->rng, 20),
				 .recall = prng_below(&w->rng, 300),
				 .answers = prng_range(&w->rng, 2, 14),
				 .connects = prng_range(&w->rng, 1, 6),
				 .op_first = prng_below(&w->rng, 20),
				 .ops = prng_range(&w->rng, 5, 40),
				 .names = (int)prng_range(&w->rng, 2, NAMES),
				 .mounts = (int)prng_range(&w->rng, 1, LIVING),
				 .slots = (int)prng_range(&w->rng, 1, SLOTS)};
	mount_begin(w);
	coord_start(w);
}

/* NULL, or what was broken. */
static const char *run_seed(uint64_t seed, size_t mutant, bool is_verbose)
{
	static struct world world;
	struct world *w = &world;
	const char *open = "";
	uint64_t heal;

	world_init(w, seed, &mutants[mutant], is_verbose);
	heal = prng_range(&w->rng, STEPS_MIN, STEPS_MAX);
	while (!w->broken && open) {
		w->step++;
		if (w->step == heal) {
			TRACE(w, "the faults end");
			w->is_healed = true;
			lease(w, false);
		}
		if (!w->is_healed)
			faults(w);
		for (int i = 0; i < PACE && !w->broken; i++)
			go(w);
		if (!w->is_healed || w->step % QUIET_EVERY)
			continue;
		open = unfinished(w);
		if (open && w->step > heal + HEALED_MAX)
			sim_broke(w, open);
	}
	if (!w->broken)
		verify(w);
	return w->broken;
}

static const char *mutant_name(size_t mutant)
{
	return mutants[mutant].name;
}

int main(int argc, char **argv)
{
	static const struct sim_program p = {.name = "sim_session",
					     .mutants = MUST_ARRAY_SIZE(mutants),
					     .mutant_name = mutant_name,
					     .run_seed = run_seed};

	return sim_main(argc, argv, &p);
}
