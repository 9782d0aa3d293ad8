/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fencers, as clusterd/edge/fencer.c makes them of the ladder and the cap; and the power devices
 * that they use, which fail, hang, lie, and do what they were told later than they say.
 */
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_cluster.h"

#define BACKOFF_MS     100
#define BACKOFF_CAP_MS 800
#define TRIES_MORE     1

static void ladder_event(struct cluster *c, uint8_t node, uint8_t slot, struct ladder_event *ev);
static void tell_view(struct cluster *c, uint8_t node, uint8_t slot);

void fencer_init(struct cluster *c, uint8_t node)
{
	static const struct fence_cap_config cap = {.max_active = 1,
						    .max_starts = FENCES_MAX,
						    .window_ms = FENCE_WINDOW_MS,
						    .disarm_max_ms = FENCE_WINDOW_MS};
	struct fencer *f = &c->member[node].fencer;

	memset(f, 0, sizeof(*f));
	must(!fence_cap_init(&f->cap, &cap));
	f->cap.mutant = c->mutant->ladder;
}

/* ---- commands */

static void begun(struct cluster *c, uint8_t node, uint64_t slot, int r,
		  const struct db_result *result)
{
	(void)r;
	(void)result;
	c->member[node].fencer.victim[slot].begin_runs = false; /* the row says if it was taken */
}

static void confirmed(struct cluster *c, uint8_t node, uint64_t slot, int r,
		      const struct db_result *result)
{
	(void)r;
	(void)result;
	c->member[node].fencer.victim[slot].confirm_runs = false;
}

static void say_fencing(struct cluster *c, uint8_t node, struct victim *v, const struct db_node *n)
{
	struct db_command cmd = {.type = DB_CMD_NODE_FENCING,
				 .node_fencing = {.incarnation = n->incarnation}};

	memcpy(cmd.node_fencing.name, n->name, sizeof(n->name));
	if (!v->begin_runs)
		v->begin_runs = node_duty(c, node, &cmd, begun, n->slot);
}

static void say_fenced(struct cluster *c, uint8_t node, struct victim *v, const struct db_node *n)
{
	struct db_command cmd = {.type = DB_CMD_NODE_FENCED,
				 .node_fenced = {.incarnation = n->incarnation, .how = "off"}};

	memcpy(cmd.node_fenced.name, n->name, sizeof(n->name));
	if (!v->confirm_runs)
		v->confirm_runs = node_request(c, node, &cmd, confirmed, n->slot);
}

/* ---- devices */

static uint64_t soon(struct cluster *c, uint64_t ms)
{
	return c->w.now_ms + prng_range(&c->w.prng, 1, ms);
}

/* How a program that was started will go: the effect is that of the device, whatever it says. */
static void draw(struct cluster *c, struct device_run *run)
{
	bool is_dead = c->is_dead[run->device] && !c->is_healed;
	uint64_t lie = c->is_healed ? 0 : c->rates.lie, fail = c->is_healed ? 0 : c->rates.fail;

	run->effect_ms = soon(c, 60);
	run->answer_ms = run->effect_ms + prng_range(&c->w.prng, 1, 60);
	run->has_effect = !is_dead;
	run->is_ok = !is_dead;
	if (run->is_verify && cluster_chance(c, fail))
		run->has_effect = false; /* reads nothing */
	if (run->is_verify)
		return;
	if (cluster_chance(c, lie))
		run->has_effect = false;
	else if (cluster_chance(c, lie))
		run->effect_ms = run->answer_ms + prng_range(&c->w.prng, 1, 300);
	if (cluster_chance(c, fail))
		run->is_ok = false;
	if (!c->is_healed && cluster_chance(c, c->rates.hang))
		run->answer_ms = UINT64_MAX;
}

static bool run_device(struct cluster *c, uint8_t node, uint8_t victim, const struct ladder_run *r,
		       bool is_verify)
{
	for (size_t i = 0; i < RUNS; i++) {
		struct device_run *run = &c->run[i];

		if (run->is_used)
			continue;
		*run = (struct device_run){.is_used = true,
					   .node = node,
					   .instance = c->w.node[node].repl.self.instance,
					   .victim = victim,
					   .attempt = r->attempt,
					   .device = r->device,
					   .verb = r->verb,
					   .is_verify = is_verify};
		draw(c, run);
		return true;
	}
	return false;
}

static void abort_device(struct cluster *c, uint8_t node, uint64_t attempt)
{
	for (size_t i = 0; i < RUNS; i++) {
		struct device_run *run = &c->run[i];

		if (run->is_used && run->node == node && run->attempt == attempt) {
			run->is_aborted = true; /* its effect may still come */
			run->is_ok = false;
			run->answer_ms = soon(c, 20);
		}
	}
}

/* What the device does to the machine, or reads of it. */
static void take_effect(struct cluster *c, struct device_run *run)
{
	run->has_effect = false;
	if (run->is_verify)
		run->power = c->w.node[run->victim].machine_up ? LADDER_POWER_ON : LADDER_POWER_OFF;
	else
		node_power(c, run->victim, run->verb == LADDER_VERB_ON);
}

static void answer(struct cluster *c, const struct device_run *run)
{
	struct fencer *f = &c->member[run->node].fencer;
	struct victim *v = &f->victim[run->victim];
	struct ladder_event ev = {.type = run->is_verify ? LADDER_EV_VERIFY_DONE
							 : LADDER_EV_DEVICE_DONE};

	if (!cluster_runs(c, run->node) ||
	    c->w.node[run->node].repl.self.instance != run->instance || !v->is_used || !v->is_begun)
		return;
	ev.done.attempt = run->attempt;
	ev.done.device = run->device;
	ev.done.is_ok = run->is_ok;
	ev.done.power = run->is_aborted ? LADDER_POWER_UNKNOWN : run->power;
	if (c->mutant->cluster == CLUSTER_MUTANT_BELIEVES_DEVICE && run->is_ok && !run->is_verify)
		v->is_confirmed = true;
	ladder_event(c, run->node, run->victim, &ev);
}

void devices_turn(struct cluster *c)
{
	for (size_t i = 0; i < RUNS; i++) {
		struct device_run *run = &c->run[i];

		if (!run->is_used)
			continue;
		if (run->has_effect && c->w.now_ms >= run->effect_ms)
			take_effect(c, run);
		if (c->w.now_ms >= run->answer_ms) {
			run->answer_ms = UINT64_MAX;
			run->is_used = run->has_effect;
			answer(c, run);
		} else if (!run->has_effect && run->answer_ms == UINT64_MAX &&
			   (!cluster_runs(c, run->node) || run->is_aborted ||
			    c->w.node[run->node].repl.self.instance != run->instance)) {
			run->is_used = false; /* hangs, and nobody waits for it */
		}
	}
}

/* ---- the ladder */

static void permit(struct cluster *c, uint8_t node, struct fence_cap_event *ev)
{
	struct fencer *f = &c->member[node].fencer;
	struct fence_cap_actions out;

	ev->now_ms = sim_local_ms(&c->w, node);
	if (fence_cap_step(&f->cap, ev, &out))
		return;
	for (uint8_t i = 0; i < out.count; i++) {
		const struct victim *v = &f->victim[out.permit[i]];

		check_permit(c, node, v, out.permit[i]);
		if (v->is_used && v->is_begun)
			ladder_event(c, node, out.permit[i],
				     &(struct ladder_event){.type = LADDER_EV_PERMIT});
	}
}

static void ask(struct cluster *c, uint8_t node, uint8_t slot, enum fence_cap_event_type type)
{
	permit(c, node,
	       &(struct fence_cap_event){.type = type,
					 .victim = slot,
					 .incarnation =
						 c->member[node].fencer.victim[slot].incarnation});
}

static void start(struct cluster *c, uint8_t node, uint8_t slot, const struct ladder_action *a)
{
	bool is_verify = a->kind == LADDER_ACT_VERIFY;
	struct ladder_event ev = {.type = is_verify ? LADDER_EV_VERIFY_DONE
						    : LADDER_EV_DEVICE_DONE};

	if (!is_verify && a->run.verb == LADDER_VERB_OFF)
		check_fence(c, node, slot);
	if (run_device(c, node, slot, &a->run, is_verify))
		return;
	ev.done.attempt = a->run.attempt;
	ev.done.device = a->run.device;
	ladder_event(c, node, slot, &ev);
}

static void ladder_event(struct cluster *c, uint8_t node, uint8_t slot, struct ladder_event *ev)
{
	struct victim *v = &c->member[node].fencer.victim[slot];
	struct ladder_actions out;

	if (ev->type != LADDER_EV_QUORUM && ev->type != LADDER_EV_VICTIM_SEEN &&
	    c->mutant->cluster != CLUSTER_MUTANT_STALE_QUORUM)
		tell_view(c, node, slot);
	ev->now_ms = sim_local_ms(&c->w, node);
	if (ladder_step(&v->ladder, ev, &out))
		return;
	if (ladder_check(&v->ladder))
		sim_fail(&c->w, node, ladder_check(&v->ladder));
	for (uint8_t i = 0; i < out.count; i++) {
		const struct ladder_action *a = &out.item[i];

		if (a->kind == LADDER_ACT_ASK || a->kind == LADDER_ACT_RELEASE)
			ask(c, node, slot,
			    a->kind == LADDER_ACT_ASK ? FENCE_CAP_EV_ASK : FENCE_CAP_EV_DONE);
		else if (a->kind == LADDER_ACT_RUN || a->kind == LADDER_ACT_VERIFY)
			start(c, node, slot, a);
		else if (a->kind == LADDER_ACT_ABORT)
			abort_device(c, node, a->run.attempt);
		else if (a->kind == LADDER_ACT_CONFIRMED)
			v->is_confirmed |= a->confirmed.scope == LADDER_SCOPE_NODE;
	}
}

/* ---- whom to fence */

/* A level for each device; false: there is none. */
static bool make_config(const struct db *db, uint8_t slot, struct ladder_config *ret)
{
	*ret = (struct ladder_config){.backoff_base_ms = BACKOFF_MS,
				      .backoff_cap_ms = BACKOFF_CAP_MS};
	for (uint32_t i = 0; i < db_count(db, DB_KIND_FENCE); i++) {
		const struct db_fence *f = db_at(db, DB_KIND_FENCE, i);
		struct ladder_level *l = &ret->level[ret->level_count];

		if (!(f->nodes & cl_bit(slot)))
			continue;
		l->deadline_ms = 2 * f->timeout_ms;
		l->device_count = 1;
		l->device[0] = (struct ladder_device){.device = (uint16_t)(f->level - 1),
						      .scope = LADDER_SCOPE_NODE,
						      .method = LADDER_METHOD_REBOOT,
						      .retries = TRIES_MORE,
						      .needs_verify = true};
		ret->level_count++;
	}
	return ret->level_count > 0;
}

static void drop(struct cluster *c, uint8_t node, uint8_t slot)
{
	struct victim *v = &c->member[node].fencer.victim[slot];

	if (!v->is_used)
		return;
	v->is_used = v->is_begun = v->is_confirmed = false;
	for (size_t i = 0; i < RUNS; i++) {
		if (c->run[i].is_used && c->run[i].node == node && c->run[i].victim == slot)
			abort_device(c, node, c->run[i].attempt);
	}
	ask(c, node, slot, FENCE_CAP_EV_DONE);
}

static void tell_view(struct cluster *c, uint8_t node, uint8_t slot)
{
	const struct repl_state *s = &c->w.node[node].repl;
	const struct victim *v = &c->member[node].fencer.victim[slot];
	struct ladder_event ev = {.type = LADDER_EV_QUORUM};
	struct ladder_event seen = {.type = LADDER_EV_VICTIM_SEEN};

	ev.quorum.is_quorate = cluster_may_act(c, node);
	ev.quorum.has_victim = s->present & cl_bit(slot);
	ev.quorum.since_ms = sim_local_ms(&c->w, node);
	ladder_event(c, node, slot, &ev);
	seen.seen.is_later_boot = true;
	if (c->mutant->cluster != CLUSTER_MUTANT_BLIND_TO_BOOT &&
	    duty_is_rebooted(s, slot, v->incarnation, &seen.seen.incarnation))
		ladder_event(c, node, slot, &seen);
}

static void begin(struct cluster *c, uint8_t node, const struct db_node *n)
{
	struct victim *v = &c->member[node].fencer.victim[n->slot];
	struct ladder_event ev = {.type = LADDER_EV_START};
	struct ladder_config config;

	if (!make_config(&c->member[node].db, n->slot, &config) || ladder_init(&v->ladder, &config))
		return;
	v->ladder.mutant = c->mutant->ladder;
	v->is_begun = true;
	SAY(c, "n%u begins to fence n%u", node, n->slot);
	tell_view(c, node, n->slot);
	ev.start.victim = n->slot;
	ev.start.incarnation = n->incarnation;
	ev.start.reason = LADDER_REASON_LOST;
	ev.start.asker = node;
	ev.start.attempt_base = (sim_local_ms(&c->w, node) << 10) + 1;
	ladder_event(c, node, n->slot, &ev);
}

/* After the confirmation the ladder may still switch the node on again: it is kept for that. */
static bool is_restoring(const struct victim *v)
{
	return v->is_used && v->is_begun && v->ladder.phase == LADDER_RESTORE;
}

static void boot_seen(struct cluster *c, uint8_t node, const struct db_node *n)
{
	struct victim *v = &c->member[node].fencer.victim[n->slot];

	if (v->is_begun)
		tell_view(c, node, n->slot);
	v->is_confirmed = true;
	say_fenced(c, node, v, n);
}

static enum duty_fence what_to_do(const struct cluster *c, uint8_t node, const struct db_node *n,
				  uint64_t *ret_boot)
{
	enum duty_fence what =
		duty_fence(&c->w.node[node].repl, &c->member[node].db, n, c->w.now_ms, ret_boot);

	if (what == DUTY_FENCE_OVER && c->mutant->cluster == CLUSTER_MUTANT_BLIND_TO_BOOT)
		return n->membership == DB_MEMBERSHIP_LOST ? DUTY_FENCE_SAY : DUTY_FENCE_RUN;
	return what;
}

static void look_at(struct cluster *c, uint8_t node, const struct db_node *n)
{
	struct victim *v = &c->member[node].fencer.victim[n->slot];
	uint64_t boot = 0;
	enum duty_fence what = what_to_do(c, node, n, &boot);
	struct ladder_config config;

	if (v->is_used && v->incarnation != n->incarnation)
		drop(c, node, n->slot);
	if (what == DUTY_FENCE_NONE || !make_config(&c->member[node].db, n->slot, &config)) {
		if (!is_restoring(v))
			drop(c, node, n->slot);
		return;
	}
	if (!v->is_used) {
		if (v->begin_runs || v->confirm_runs)
			return; /* what is left of an earlier fence ends first */
		*v = (struct victim){.is_used = true, .incarnation = n->incarnation};
	}
	if (what == DUTY_FENCE_WAIT)
		return;
	if (what == DUTY_FENCE_OVER)
		boot_seen(c, node, n);
	else if (what == DUTY_FENCE_SAY)
		say_fencing(c, node, v, n);
	else if (!v->is_begun)
		begin(c, node, n);
	else if (v->is_confirmed)
		say_fenced(c, node, v, n);
}

void fencer_turn(struct cluster *c, uint8_t node)
{
	struct member *m = &c->member[node];
	const struct repl_state *s = &c->w.node[node].repl;
	bool is_ours = repl_is_sequencer(s) && cluster_may_act(c, node);
	bool is_of_another = s->phase == REPL_OPEN && !repl_is_sequencer(s);

	for (uint32_t i = 0; i < db_count(&m->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(&m->db, DB_KIND_NODE, i);

		if (is_ours)
			look_at(c, node, n);
		else if (is_of_another)
			drop(c, node, n->slot);
	}
	permit(c, node, &(struct fence_cap_event){.type = FENCE_CAP_EV_TICK});
	for (uint8_t i = 0; i < c->w.nodes; i++) {
		if (!m->fencer.victim[i].is_used || !m->fencer.victim[i].is_begun)
			continue;
		tell_view(c, node, i);
		ladder_event(c, node, i, &(struct ladder_event){.type = LADDER_EV_TICK});
	}
}
