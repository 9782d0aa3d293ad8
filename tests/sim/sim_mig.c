/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulation of one VM on three nodes, its vm-hosts and its live migrations: an administrator who
 * migrates, cancels and pauses at random moments, processes that are killed or stopped, nodes that
 * crash, are cut off and fenced, a migration network that is cut, and a QEMU that gets it wrong.
 *
 * Safety, at each moment: the vCPUs run only where the lock is, by the truth of the database; with
 * the memory as it last ran; at the destination only when the source's disks are given up; the lock
 * is transferred only when all is loaded there. Nobody gives the VM up: it is started anew only
 * after something that loses VMs, so a migration that is cancelled, or fails, leaves it running.
 * Liveness: when the faults end, exactly one runs, and one more migration arrives.
 *
 *   sim_mig [--seeds N] [--first SEED] [--mutant NAME|all] [--trace]
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_mig_world.h"

/* ---- faults */

static void fault_of_host(struct world *w, int h)
{
	struct host *me = &w->host[h];

	switch (prng_below(&w->rng, 7)) {
	case 0:
		sim_host_kill(w, h);
		break;
	case 1:
		sim_host_lost(w, h);
		sim_qemu_die(w, h, "a bug");
		break;
	case 2:
	case 3:
		if (w->now_ms < me->frozen_ms)
			break;
		me->frozen_ms = sim_in(w, 200, 7000);
		me->has_frozen = true;
		TRACE(w, "h%d: the vm-host is stopped until %" PRIu64, h, me->frozen_ms);
		break;
	case 4:
	case 5:
		me->qemu.hang_ms = sim_in(w, 200, 7000);
		me->qemu.has_hung = true;
		TRACE(w, "h%d: QEMU hangs until %" PRIu64, h, me->qemu.hang_ms);
		break;
	default:
		sim_qemu_io_error(w, h);
		break;
	}
}

static void fault_of_node(struct world *w, int n)
{
	struct node *me = &w->node[n];

	if (!me->is_up)
		return;
	if (!me->is_connected) {
		if (sim_chance(w, 40))
			sim_node_connect(w, n);
	} else if (sim_chance(w, 20)) {
		sim_node_crash(w, n);
	} else if (sim_chance(w, 40)) {
		sim_clusterd_restart(w, n);
	} else {
		sim_node_disconnect(w, n);
	}
}

static int pick_host(struct world *w)
{
	int first = (int)prng_below(&w->rng, HOSTS);

	for (int i = 0; i < HOSTS; i++) {
		int h = (first + i) % HOSTS;

		if (w->host[h].is_used && w->host[h].is_alive)
			return h;
	}
	return -1;
}

static void fault(struct world *w)
{
	int h = pick_host(w);

	switch (prng_below(&w->rng, 6)) {
	case 0:
	case 1:
		if (h >= 0)
			fault_of_host(w, h);
		break;
	case 2:
		w->cut_ms = sim_in(w, 100, 6000);
		TRACE(w, "the migration network is cut until %" PRIu64, w->cut_ms);
		break;
	case 3:
		if (h >= 0)
			sim_channel_break(w, h);
		break;
	default:
		fault_of_node(w, (int)prng_below(&w->rng, NODES));
		break;
	}
}

/*
 * The dangerous moments: from the last of the memory to the first step at the destination. A host
 * that is in one, or -1.
 */
static int in_danger(const struct world *w)
{
	for (int h = 0; h < HOSTS; h++) {
		const struct host *me = &w->host[h];
		enum mig_step_name step = me->mig.session.step;

		if (me->is_used && me->is_alive &&
		    (step == MIG_STEP_STATE || step == MIG_STEP_ASKED || step == MIG_STEP_LOADED ||
		     step == MIG_STEP_TRANSFERRED))
			return h;
	}
	return -1;
}

static void administrate(struct world *w)
{
	if (!sim_db(w)->migration) {
		if (sim_chance(w, 60))
			sim_admin_migrate(w);
	} else if (sim_chance(w, w->rate_admin)) {
		sim_admin_cancel(w);
	}
	if (sim_chance(w, sim_db(w)->is_paused ? 40 : 4))
		sim_admin_pause(w, !sim_db(w)->is_paused);
}

static void env_step(struct world *w)
{
	int now = in_danger(w);
	bool is_now = now >= 0;

	w->env_ms = sim_in(w, 50, is_now ? 300 : 1500);
	if (is_now && sim_chance(w, w->rate_fault / 4))
		fault_of_host(w, now);
	administrate(w);
	if (sim_chance(w, w->rate_fault / (is_now ? 2 : 1)))
		fault(w);
	for (int n = 0; n < NODES; n++) {
		if (!w->node[n].is_connected && sim_chance(w, 10))
			sim_node_connect(w, n);
	}
}

static void heal(struct world *w)
{
	TRACE(w, "the faults end");
	w->is_healed = true;
	w->env_ms = MIG_NEVER;
	w->cut_ms = 0;
	for (int n = 0; n < NODES; n++) {
		sim_node_connect(w, n);
		w->node[n].clusterd_ms = 0;
	}
	for (int h = 0; h < HOSTS; h++) {
		w->host[h].qemu.hang_ms = 0;
		w->host[h].qemu.disk_ms = 0;
	}
	sim_admin_pause(w, false);
}

/* ---- the loop */

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_time(const struct world *w)
{
	uint64_t next = sooner(w->env_ms, sim_queue_next_ms(w));

	if (!w->is_healed)
		next = sooner(next, HEAL_MS);
	next = sooner(next, sim_cluster_next_ms(w));
	for (int h = 0; h < HOSTS; h++) {
		const struct host *me = &w->host[h];

		if (!me->is_used)
			continue;
		next = sooner(next, sim_qemu_next_ms(w, h));
		if (me->is_alive && me->tick_ms != MIG_NEVER)
			next = sooner(next,
				      me->tick_ms < me->frozen_ms ? me->frozen_ms : me->tick_ms);
	}
	return next;
}

static void run_due(struct world *w)
{
	struct mig_event tick = {.type = MIG_EV_TICK};

	if (!w->is_healed && w->now_ms >= HEAL_MS)
		heal(w);
	sim_queue_run(w);
	for (int h = 0; h < HOSTS && !w->broken; h++) {
		struct host *me = &w->host[h];

		if (!me->is_used)
			continue;
		sim_qemu_run(w, h);
		if (me->is_alive && me->tick_ms <= w->now_ms && w->now_ms >= me->frozen_ms)
			sim_host_step(w, h, &tick);
	}
	sim_cluster_run(w);
	if (w->env_ms <= w->now_ms)
		env_step(w);
}

static void world_init(struct world *w, uint64_t seed, enum mig_mutant mutant, bool is_trace)
{
	static const struct mig_config config = MIG_CONFIG_INIT;

	memset(w, 0, sizeof(*w));
	prng_init(&w->rng, seed);
	w->seed = seed;
	w->mutant = mutant;
	w->is_trace = is_trace;
	w->now_ms = 1;
	w->env_ms = 1000;
	w->config = config;
	w->config.command_ms = 1000;
	w->config.halt_ms = HALT_MS;
	w->config.retry_ms = 500;
	w->config.io_retry_ms = 1000;
	w->config.quit_ms = 2000;
	w->config.silence_ms = 2000;
	w->config.check_ms = 8000;
	w->config.setup_ms = 4000;
	w->config.stall_ms = 3000;
	w->config.state_ms = 4000;
	w->config.stuck_passes = 4;
	w->rate_lie = prng_below(&w->rng, 40);
	w->rate_fault = prng_below(&w->rng, 40);
	w->rate_admin = prng_below(&w->rng, 30);
	w->is_stubborn = sim_chance(w, 10);
	for (int i = 0; i < QUEUE; i++)
		w->spare[w->spare_count++] = i;
	for (int h = 0; h < HOSTS; h++)
		w->host[h].kill_ms = w->host[h].tick_ms = MIG_NEVER;
	sim_cluster_init(w);
}

/* Faults are over: wait until it is calm, migrate once more, and it arrives. */
static bool is_finished(struct world *w)
{
	if (w->is_healed)
		sim_admin_pause(w, false); /* at last, should there have been no quorum */
	if (w->now_ms < HEAL_MS + LINGER_MS || !sim_is_calm(w))
		return false;
	if (!w->is_asked_again) {
		w->is_asked_again = true;
		w->last_holder = sim_db(w)->holder;
		sim_admin_migrate(w);
		return !sim_db(w)->migration;
	}
	if (sim_db(w)->holder == w->last_holder)
		sim_broke(w, "a migration without faults does not arrive");
	return true;
}

/* NULL, or what was broken. */
static const char *run_seed(struct world *w, uint64_t seed, enum mig_mutant mutant, bool is_trace)
{
	world_init(w, seed, mutant, is_trace);
	for (int i = 0; i < STEPS_MAX && !w->broken; i++) {
		uint64_t next_ms = next_time(w);

		w->now_ms = next_ms > w->now_ms ? next_ms : w->now_ms;
		run_due(w);
		if (is_finished(w))
			return w->broken;
		if (w->now_ms > HEAL_MS + BOUND_MS)
			sim_broke(w, "it does not run in bounded time");
	}
	if (!w->broken)
		sim_broke(w, "too many steps");
	return w->broken;
}

/* ---- command line */

struct options {
	uint64_t seeds;
	uint64_t first;
	const char *mutant;
	bool is_trace;
};

static int usage(void)
{
	fprintf(stderr, "usage: sim_mig [--seeds N] [--first SEED] [--mutant NAME|all] "
			"[--trace]\n");
	return 2;
}

static int options_read(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {{"seeds", required_argument, NULL, 's'},
					      {"first", required_argument, NULL, 'f'},
					      {"mutant", required_argument, NULL, 'm'},
					      {"trace", no_argument, NULL, 't'},
					      {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			o->seeds = strtoull(optarg, NULL, 10);
		else if (c == 'f')
			o->first = strtoull(optarg, NULL, 10);
		else if (c == 'm')
			o->mutant = optarg;
		else if (c == 't')
			o->is_trace = true;
		else
			return -EINVAL;
	}
	return optind < argc ? -EINVAL : 0;
}

static struct world world;

static bool mutant_found(const struct options *o, enum mig_mutant mutant)
{
	for (uint64_t i = 0; i < o->seeds; i++) {
		const char *broken = run_seed(&world, o->first + i, mutant, o->is_trace);

		if (broken) {
			printf("mutant %s found by seed %" PRIu64 ": %s\n", mig_mutant_name(mutant),
			       o->first + i, broken);
			return true;
		}
	}
	printf("mutant %s NOT found in %" PRIu64 " seeds\n", mig_mutant_name(mutant), o->seeds);
	return false;
}

static int run_mutants(const struct options *o)
{
	uint64_t found = 0, missed = 0;

	for (int m = 1; m < MIG_MUTANT_MAX; m++) {
		const char *name = mig_mutant_name((enum mig_mutant)m);
		bool is_found;

		if (strcmp(o->mutant, "all") != 0 && strcmp(o->mutant, name) != 0)
			continue;
		is_found = mutant_found(o, (enum mig_mutant)m);
		found += is_found;
		missed += !is_found;
	}
	if (!found && !missed)
		return usage();
	printf("%" PRIu64 " found, %" PRIu64 " missed\n", found, missed);
	return missed ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct options o = {.seeds = 1000, .first = 1};
	uint64_t passed = 0, failed = 0, migrations = 0, arrived = 0, returned = 0, kills = 0;

	if (options_read(argc, argv, &o))
		return usage();
	if (o.mutant)
		return run_mutants(&o);
	for (uint64_t i = 0; i < o.seeds; i++) {
		const char *broken = run_seed(&world, o.first + i, MIG_MUTANT_NONE, o.is_trace);

		if (broken)
			printf("seed %" PRIu64 ": %s\n", o.first + i, broken);
		passed += !broken;
		failed += broken != NULL;
		migrations += world.migrations;
		arrived += world.arrived;
		returned += world.returned;
		kills += world.kills;
	}
	printf("%" PRIu64 " migrations, %" PRIu64 " arrived, %" PRIu64 " rolled back after the "
	       "transfer, %" PRIu64 " QEMUs killed for not halting\n",
	       migrations, arrived, returned, kills);
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
	return failed ? 1 : 0;
}
