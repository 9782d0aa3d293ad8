/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulation of the fencing ladder and its cap: up to three victims with two outlets, a BMC, a
 * reservation, a poison pill, a watchdog and a lease; agents that fail, hang, lie, answer late or
 * work late; outlets switched on again by somebody; quorum, views and the executor that come and
 * go. A model keeps the truth about every incarnation, and asks nothing of the ladder.
 *
 * Safety, at each step: CONFIRMED only what is true in that scope; nothing is started without
 * quorum and permit, nothing cancelled after something was started; the cap's numbers hold; every
 * attempt has exactly one end in the history; a refusal changes nothing; a snapshot is the state.
 * Liveness: after the faults end, with one level or the time-only wait able to work, every victim
 * is confirmed in scope node in bounded time; and time-only never waits for the permit.
 *
 *   sim_ladder [--seeds N] [--first SEED] [--mutant NAME|all] [--trace]
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_ladder_world.h"

/* ---- fences ---- */

static void level_of_kinds(struct world *w, struct ladder_level *l, int n, int what)
{
	static const struct {
		enum kind kind[2];
		uint8_t count;
		uint8_t scope[2];
	} table[] = {
		{{BMC}, 1, {LADDER_SCOPE_NODE}},
		{{OUTLET_A, OUTLET_B}, 2, {LADDER_SCOPE_NODE, LADDER_SCOPE_NODE}},
		{{PR}, 1, {LADDER_SCOPE_STORAGE}},
		{{PILL}, 1, {LADDER_SCOPE_NONE}},
		{{PR, OUTLET_A}, 2, {LADDER_SCOPE_STORAGE, LADDER_SCOPE_NODE}},
	};

	*l = (struct ladder_level){.device_count = table[what].count};
	l->deadline_ms = (uint32_t)prng_range(&w->rng, 4000, 20000);
	for (uint8_t i = 0; i < l->device_count; i++) {
		struct ladder_device *d = &l->device[i];

		d->device = (uint16_t)(n * KINDS + (int)table[what].kind[i]);
		d->scope = table[what].scope[i];
		d->needs_verify = d->scope != LADDER_SCOPE_NONE;
		d->retries = (uint8_t)prng_below(&w->rng, 4);
		if (d->scope == LADDER_SCOPE_NODE && what < 2 && sim_chance(w, 30))
			d->method = LADDER_METHOD_REBOOT;
	}
}

/* A valid ladder, in which one level or the time-only wait will work when the faults end. */
static void config_draw(struct world *w, int n, struct ladder_config *c)
{
	struct victim *v = &w->victim[n];
	bool is_time_able = sim_chance(w, 30);
	bool is_bmc_able = sim_chance(w, 50);

	*c = (struct ladder_config){.backoff_base_ms = (uint32_t)prng_range(&w->rng, 200, 2000),
				    .backoff_cap_ms = (uint32_t)prng_range(&w->rng, 2000, 20000),
				    .time_only = is_time_able || sim_chance(w, 50),
				    .wait_ms = LEASE_MS + STOP_MS + WATCHDOG_MS + MARGIN_MS,
				    .look_ms = LOOK_MS};
	c->level_count = (uint8_t)prng_below(&w->rng, 4);
	for (uint8_t l = 0; l < c->level_count; l++)
		level_of_kinds(w, &c->level[l], n, (int)prng_below(&w->rng, 5));
	if (!is_time_able)
		level_of_kinds(w, &c->level[c->level_count++], n, is_bmc_able ? 0 : 1);
	for (int k = 0; k < KINDS; k++)
		v->is_broken[k] = sim_chance(w, 40);
	if (!is_time_able && is_bmc_able)
		v->is_broken[BMC] = false;
	else if (!is_time_able)
		v->is_broken[OUTLET_A] = v->is_broken[OUTLET_B] = false;
	/* Without a hardware watchdog nothing ends it by itself. */
	v->is_watchdog_broken = !c->time_only || (!is_time_able && sim_chance(w, 30));
	v->is_heard = v->is_watchdog_broken || sim_chance(w, 50);
}

static void fence_start(struct world *w, int n)
{
	struct victim *v = &w->victim[n];
	struct ladder_config c;
	struct ladder_event ev = {.type = LADDER_EV_START};

	v->incarnation++;
	v->is_dead = v->is_keyless = v->is_bmc_off = false;
	v->is_outlet_off[0] = v->is_outlet_off[1] = false;
	v->is_connected = sim_chance(w, 30);
	v->is_absent = false;
	v->is_leasing = true;
	config_draw(w, n, &c);
	sim_lease_update(w, n);
	v->base += v->issued + prng_range(&w->rng, 1, 5);
	v->issued = 0;
	v->is_run = false;
	memset(v->notes, 0, sizeof(v->notes));
	if (ladder_init(&v->ladder, &c)) {
		sim_broke(w, "the configuration is refused");
		return;
	}
	v->ladder.mutant = w->mutant;
	v->has_fence = true;
	TRACE(w, "v%d: fence incarnation %" PRIu64 ", levels %d, time-only %d", n, v->incarnation,
	      c.level_count, c.time_only);
	ev.start.victim = (uint8_t)n;
	ev.start.incarnation = v->incarnation;
	ev.start.asker = 15;
	ev.start.attempt_base = v->base;
	sim_step_event(w, n, &ev);
	sim_tell_view(w, n);
}

/* ---- the environment ---- */

/* Somebody puts an outlet back; not while all devices of the level are being looked at. */
static void env_restore(struct world *w, int n)
{
	struct victim *v = &w->victim[n];
	int looking = 0;

	for (int i = 0; i < LADDER_MAX_DEVICES; i++)
		looking += v->ladder.slot[i].state == LADDER_SLOT_VERIFY ||
			   v->ladder.slot[i].state == LADDER_SLOT_OK;
	if (w->is_quorate && v->ladder.phase == LADDER_LEVEL &&
	    looking == v->ladder.config.level[v->ladder.level].device_count)
		return;
	sim_effect(w, n, sim_chance(w, 50) ? OUTLET_A : OUTLET_B, true);
}

/* Another process or node carries the ladder on; what the old one started goes its way. */
static void env_resume(struct world *w, int n)
{
	struct ladder_event ev = {.type = LADDER_EV_RESUMED};

	TRACE(w, "v%d: resumed elsewhere", n);
	for (int i = 0; i < QUEUE; i++) {
		struct pending *p = &w->queue[i];

		if (p->victim == n &&
		    (p->type == P_ANSWER || p->type == P_READ || p->type == P_VERDICT))
			p->type = P_FREE;
	}
	if (w->mutant == LADDER_MUTANT_NONE)
		sim_through_snapshot(w, &w->victim[n].ladder);
	w->victim[n].heard_ms = w->now_ms; /* the count starts again */
	sim_step_event(w, n, &ev);
	if (sim_chance(w, 50) && w->victim[n].has_fence)
		env_restore(w, n);
	sim_tell_view(w, n);
}

static void env_views(struct world *w, uint64_t quorate_pct)
{
	w->is_quorate = sim_chance(w, quorate_pct);
	w->is_other_quorate = !w->is_quorate && sim_chance(w, 60);
	TRACE(w, "quorate %d, the others %d", w->is_quorate, w->is_other_quorate);
	for (int n = 0; n < w->victims; n++) {
		sim_lease_update(w, n);
		sim_tell_view(w, n);
	}
}

/* The dangerous moment: one outlet was read off and the other not yet. */
static void env_provoke(struct world *w, int n)
{
	struct victim *v = &w->victim[n];
	uint16_t device = v->ladder.config.level[v->ladder.level].device[0].device;
	enum kind kind = (enum kind)(device % KINDS);
	struct pending *p;

	if (w->is_healed || v->ladder.phase != LADDER_LEVEL || kind != OUTLET_A ||
	    !sim_chance(w, 30))
		return;
	if (v->ladder.slot[1].state == LADDER_SLOT_OK)
		kind = OUTLET_B;
	else if (v->ladder.slot[0].state != LADDER_SLOT_OK)
		return;
	if (sim_chance(w, 50)) {
		env_views(w, 0);
	} else {
		env_resume(w, n);
	}
	if (w->is_quorate && v->ladder.phase == LADDER_LEVEL &&
	    w->mutant != LADDER_MUTANT_RESUME_TRUSTS)
		return;
	sim_effect(w, n, kind, true);
	p = sim_push(w, P_EFFECT, n, w->now_ms + prng_range(&w->rng, 100, 5000));
	p->kind = kind == OUTLET_A ? OUTLET_B : OUTLET_A;
}

static void env_cancel(struct world *w, int n)
{
	struct victim *v = &w->victim[n];
	struct ladder_event ev = {.type = LADDER_EV_CANCEL};
	bool was_run = v->is_run;

	sim_step_event(w, n, &ev);
	if (v->ladder.phase == LADDER_CANCELLED && was_run)
		sim_broke(w, "cancelled after a device was sent for");
}

static void env_victim(struct world *w, int n)
{
	struct victim *v = &w->victim[n];
	struct ladder_event ev = {.type = LADDER_EV_CONFIRM, .who = "root"};

	if (!v->has_fence) {
		if (sim_chance(w, 30))
			fence_start(w, n);
		return;
	}
	if (sim_chance(w, 8)) {
		v->is_connected = !v->is_connected;
		TRACE(w, "v%d: connected %d", n, v->is_connected);
		sim_lease_update(w, n);
		sim_tell_view(w, n);
	} else if (sim_chance(w, 5)) {
		v->absent_ms = w->now_ms; /* a view change of others */
		sim_tell_view(w, n);
	} else if (sim_chance(w, 25)) {
		env_restore(w, n);
	} else if (sim_chance(w, 3)) {
		env_resume(w, n);
	} else if (sim_chance(w, 3)) {
		env_cancel(w, n);
	} else if (sim_chance(w, 2) && (v->is_dead || sim_is_present(v) || !w->is_quorate)) {
		sim_step_event(w, n, &ev); /* honest, or refused */
	}
}

static void env_step(struct world *w)
{
	w->env_ms = w->now_ms + prng_range(&w->rng, 100, 3000);
	if (sim_chance(w, w->is_quorate ? 6 : w->rate_return))
		env_views(w, 70);
	if (sim_chance(w, 2)) {
		w->disarmed_ms = w->now_ms + prng_below(&w->rng, 120000);
		TRACE(w, "disarmed until %" PRIu64, w->disarmed_ms);
		sim_cap_event(w, FENCE_CAP_EV_DISARM, 0, w->disarmed_ms);
	}
	for (int n = 0; n < w->victims; n++)
		env_victim(w, n);
}

static void heal(struct world *w)
{
	TRACE(w, "the faults end");
	w->is_healed = true;
	w->env_ms = LADDER_NEVER;
	w->is_quorate = true;
	w->is_other_quorate = false;
	for (int n = 0; n < w->victims; n++) {
		w->victim[n].is_connected = false;
		sim_lease_update(w, n);
		sim_tell_view(w, n);
	}
}

/* ---- the loop ---- */

static void deliver(struct world *w, struct pending *slot)
{
	struct pending p = *slot;
	struct victim *v = &w->victim[p.victim];
	struct ladder_event ev = {.type = LADDER_EV_TICK};
	struct pending *next;

	slot->type = P_FREE;
	ev.done.attempt = p.attempt;
	ev.done.device = (uint16_t)(p.victim * KINDS + (int)p.kind);
	switch (p.type) {
	case P_EFFECT:
		sim_effect(w, p.victim, p.kind, p.is_on);
		return;
	case P_READ:
		next = sim_push(w, P_VERDICT, p.victim, p.later_ms);
		next->kind = p.kind;
		next->attempt = p.attempt;
		next->power = p.is_ok ? sim_status(v, p.kind) : LADDER_POWER_UNKNOWN;
		return;
	case P_ANSWER:
		ev.type = LADDER_EV_DEVICE_DONE;
		ev.done.is_ok = p.is_ok;
		ev.done.rc = p.is_ok ? 0 : 1;
		break;
	case P_VERDICT:
		ev.type = LADDER_EV_VERIFY_DONE;
		ev.done.power = p.power;
		break;
	case P_SEEN:
		ev.type = LADDER_EV_VICTIM_SEEN;
		ev.seen.incarnation = p.incarnation;
		/* The record of a boot that is fenced itself by now is old news. */
		if (p.is_on && p.incarnation != v->incarnation + 1)
			return;
		ev.seen.is_later_boot = p.is_on;
		break;
	default:
		return;
	}
	if (v->has_fence)
		sim_step_event(w, p.victim, &ev);
	if (v->has_fence && p.type == P_VERDICT)
		env_provoke(w, p.victim);
}

static void beat(struct world *w, int n)
{
	struct victim *v = &w->victim[n];
	struct pending *p;

	v->beat_ms = w->now_ms + HEARTBEAT_MS;
	if (!v->has_fence || v->is_dead || !v->is_heard)
		return;
	p = sim_push(w, P_SEEN, n, w->now_ms + prng_below(&w->rng, READ_MS));
	p->incarnation = v->incarnation;
	v->heard_ms = w->now_ms;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_time(const struct world *w)
{
	uint64_t next = sooner(w->env_ms, w->cap_ms);

	if (!w->is_healed)
		next = sooner(next, HEAL_MS);
	for (int i = 0; i < QUEUE; i++) {
		if (w->queue[i].type != P_FREE)
			next = sooner(next, w->queue[i].at_ms);
	}
	for (int n = 0; n < w->victims; n++) {
		const struct victim *v = &w->victim[n];

		next = sooner(next, sooner(v->next_ms, sooner(v->dies_ms, v->beat_ms)));
	}
	return next;
}

/* Time-only needs nobody's leave: held by the cap, it is confirmed when its time is out. */
static void oracle_time(struct world *w, int n)
{
	struct victim *v = &w->victim[n];
	const struct ladder_config *c = &v->ladder.config;
	uint64_t from_ms = v->absent_ms > v->heard_ms ? v->absent_ms : v->heard_ms;

	if (!v->has_fence || !w->is_quorate || sim_is_present(v) || !c->time_only ||
	    v->ladder.phase != LADDER_HELD || w->now_ms < v->ladder.start_ms + TIME_SLACK_MS)
		return;
	if (w->now_ms > from_ms + c->wait_ms + c->look_ms + READ_MS + TIME_SLACK_MS)
		sim_broke(w, "time-only waits for the permit");
}

static void run_due(struct world *w)
{
	for (int i = 0; i < QUEUE && !w->broken; i++) {
		if (w->queue[i].type != P_FREE && w->queue[i].at_ms <= w->now_ms)
			deliver(w, &w->queue[i]);
	}
	for (int n = 0; n < w->victims && !w->broken; n++) {
		struct victim *v = &w->victim[n];
		struct ladder_event ev = {.type = LADDER_EV_TICK};

		if (v->dies_ms <= w->now_ms)
			sim_die(w, n, true);
		if (v->beat_ms <= w->now_ms)
			beat(w, n);
		if (v->has_fence && v->next_ms <= w->now_ms)
			sim_step_event(w, n, &ev);
		oracle_time(w, n);
	}
	if (w->cap_ms <= w->now_ms)
		sim_cap_event(w, FENCE_CAP_EV_TICK, 0, 0);
	if (w->env_ms <= w->now_ms)
		env_step(w);
	if (!w->is_healed && w->now_ms >= HEAL_MS)
		heal(w);
}

static void world_init(struct world *w, uint64_t seed, enum ladder_mutant mutant, bool is_trace)
{
	struct fence_cap_config cap = FENCE_CAP_CONFIG_INIT;

	memset(w, 0, sizeof(*w));
	prng_init(&w->rng, seed);
	w->seed = seed;
	w->mutant = mutant;
	w->is_trace = is_trace;
	w->victims = (int)prng_range(&w->rng, 1, VICTIMS);
	w->is_quorate = true;
	w->env_ms = 1;
	w->cap_ms = LADDER_NEVER;
	w->rate_fail = prng_below(&w->rng, 40);
	w->rate_hang = prng_below(&w->rng, 25);
	w->rate_lie = prng_below(&w->rng, 30);
	w->rate_slow = prng_below(&w->rng, 30);
	w->rate_late = prng_below(&w->rng, 40);
	w->rate_unknown = prng_below(&w->rng, 40);
	w->rate_return = prng_range(&w->rng, 5, 50);
	cap.max_active = (uint8_t)prng_range(&w->rng, 1, 2);
	cap.max_starts = (uint8_t)prng_range(&w->rng, 1, 3);
	if (fence_cap_init(&w->cap, &cap))
		sim_broke(w, "the cap's configuration is refused");
	w->cap.mutant = mutant;
	for (int n = 0; n < VICTIMS; n++) {
		w->victim[n].next_ms = LADDER_NEVER;
		w->victim[n].dies_ms = LADDER_NEVER;
		w->victim[n].beat_ms = prng_below(&w->rng, HEARTBEAT_MS);
		w->victim[n].incarnation = 10;
	}
}

/* NULL, or what was broken. */
static const char *run_seed(uint64_t seed, enum ladder_mutant mutant, bool is_trace)
{
	static struct world world;
	struct world *w = &world;
	bool is_open = true;

	world_init(w, seed, mutant, is_trace);
	for (int i = 0; i < STEPS_MAX && !w->broken && is_open; i++) {
		w->now_ms = next_time(w) > w->now_ms ? next_time(w) : w->now_ms;
		run_due(w);
		is_open = !w->is_healed;
		for (int n = 0; n < w->victims; n++)
			is_open = is_open || w->victim[n].has_fence;
		if (is_open && w->now_ms > HEAL_MS + BOUND_MS)
			sim_broke(w, "not confirmed in bounded time");
	}
	if (is_open)
		sim_broke(w, "too many steps");
	return w->broken;
}

/* ---- command line ---- */

struct options {
	uint64_t seeds;
	uint64_t first;
	const char *mutant;
	bool is_trace;
};

static int usage(void)
{
	fprintf(stderr, "usage: sim_ladder [--seeds N] [--first SEED] [--mutant NAME|all] "
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

static bool mutant_found(const struct options *o, enum ladder_mutant mutant)
{
	for (uint64_t i = 0; i < o->seeds; i++) {
		const char *broken = run_seed(o->first + i, mutant, o->is_trace);

		if (broken) {
			printf("mutant %s found by seed %" PRIu64 ": %s\n",
			       ladder_mutant_name((uint8_t)mutant), o->first + i, broken);
			return true;
		}
	}
	printf("mutant %s NOT found in %" PRIu64 " seeds\n", ladder_mutant_name((uint8_t)mutant),
	       o->seeds);
	return false;
}

int main(int argc, char **argv)
{
	struct options o = {.seeds = 1000, .first = 1};
	uint64_t passed = 0, failed = 0;
	bool is_known = false;

	if (options_read(argc, argv, &o))
		return usage();
	for (int m = 1; o.mutant && m < LADDER_MUTANT_MAX; m++) {
		const char *name = ladder_mutant_name((uint8_t)m);
		bool is_found;

		if (strcmp(o.mutant, "all") != 0 && strcmp(o.mutant, name) != 0)
			continue;
		is_known = true;
		is_found = mutant_found(&o, (enum ladder_mutant)m);
		passed += is_found;
		failed += !is_found;
	}
	if (o.mutant && !is_known)
		return usage();
	for (uint64_t i = 0; !o.mutant && i < o.seeds; i++) {
		const char *broken = run_seed(o.first + i, LADDER_MUTANT_NONE, o.is_trace);

		if (broken)
			printf("seed %" PRIu64 ": %s\n", o.first + i, broken);
		passed += !broken;
		failed += broken != NULL;
	}
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
	return failed ? 1 : 0;
}
