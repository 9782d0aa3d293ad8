/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/sim_ladder_world.h"

#include <stdlib.h>
#include <string.h>

bool sim_chance(struct world *w, uint64_t pct)
{
	return prng_chance(&w->rng, pct, 100);
}

void sim_broke(struct world *w, const char *what)
{
	if (!w->broken)
		w->broken = what;
}

struct pending *sim_push(struct world *w, enum pending_kind type, int victim, uint64_t at_ms)
{
	for (int i = 0; i < QUEUE; i++) {
		if (w->queue[i].type == P_FREE) {
			w->queue[i] =
				(struct pending){.type = type, .victim = victim, .at_ms = at_ms};
			return &w->queue[i];
		}
	}
	fprintf(stderr, "sim_ladder: seed %" PRIu64 ": queue is full\n", w->seed);
	exit(2);
}

/* ---- the truth ---- */

static bool is_powered(const struct victim *v)
{
	return !v->is_bmc_off && !(v->is_outlet_off[0] && v->is_outlet_off[1]);
}

bool sim_is_present(const struct victim *v)
{
	return v->is_connected && !v->is_dead;
}

/* Tells the ladder what the view is now. */
void sim_tell_view(struct world *w, int n)
{
	struct victim *v = &w->victim[n];
	struct ladder_event ev = {.type = LADDER_EV_QUORUM};

	if (!v->is_absent)
		v->absent_ms = w->now_ms;
	v->is_absent = w->is_quorate && !sim_is_present(v);
	ev.quorum.is_quorate = w->is_quorate;
	ev.quorum.has_victim = sim_is_present(v);
	ev.quorum.since_ms = v->absent_ms;
	if (v->has_fence)
		sim_step_event(w, n, &ev);
}

/* Who can renew a lease does; who cannot any more dies by its watchdog in time, if that works. */
void sim_lease_update(struct world *w, int n)
{
	struct victim *v = &w->victim[n];
	bool may = !v->is_dead &&
		   ((v->is_connected && w->is_quorate) || (!w->is_quorate && w->is_other_quorate));

	if (may) {
		v->dies_ms = LADDER_NEVER;
	} else if (v->is_leasing && !v->is_dead && !v->is_watchdog_broken) {
		v->dies_ms = w->now_ms + LEASE_MS + prng_below(&w->rng, STOP_MS + WATCHDOG_MS + 1);
	}
	v->is_leasing = may;
}

void sim_die(struct world *w, int n, bool is_reset)
{
	struct victim *v = &w->victim[n];
	struct pending *p;

	if (v->is_dead)
		return;
	TRACE(w, "v%d: incarnation %" PRIu64 " is dead", n, v->incarnation);
	v->is_dead = true;
	v->dies_ms = LADDER_NEVER;
	sim_lease_update(w, n);
	sim_tell_view(w, n);
	if (!is_reset || !sim_chance(w, 30))
		return;
	p = sim_push(w, P_SEEN, n, w->now_ms + prng_range(&w->rng, 5000, 60000));
	p->incarnation = v->incarnation + 1;
	p->is_on = true;
}

void sim_effect(struct world *w, int n, enum kind kind, bool is_on)
{
	struct victim *v = &w->victim[n];

	TRACE(w, "v%d: device %d goes %s", n, (int)kind, is_on ? "on" : "off");
	if (kind == BMC)
		v->is_bmc_off = !is_on;
	else if (kind == OUTLET_A || kind == OUTLET_B)
		v->is_outlet_off[kind - OUTLET_A] = !is_on;
	else if (kind == PR)
		v->is_keyless = true;
	else if (!v->is_dead && sim_chance(w, 50))
		sim_die(w, n, true);
	if (!is_powered(v))
		sim_die(w, n, false);
}

uint8_t sim_status(const struct victim *v, enum kind kind)
{
	bool is_off = kind == BMC  ? v->is_bmc_off
		      : kind == PR ? v->is_keyless || v->is_dead
				   : v->is_outlet_off[kind - OUTLET_A];

	return is_off ? LADDER_POWER_OFF : LADDER_POWER_ON;
}

/* ---- agents ---- */

static void agent_run(struct world *w, int n, const struct ladder_run *run)
{
	struct victim *v = &w->victim[n];
	enum kind kind = (enum kind)(run->device % KINDS);
	uint64_t at_ms = w->now_ms + prng_range(&w->rng, 50, 2000);
	bool is_sick = !w->is_healed || v->is_broken[kind];
	bool is_ok = true, is_done = true, is_silent = false;
	uint64_t effect_ms = at_ms - prng_below(&w->rng, 50);
	struct pending *p;

	if (v->is_broken[kind] && sim_chance(w, 50)) {
		is_silent = true;
		is_done = false;
	} else if (is_sick && sim_chance(w, v->is_broken[kind] ? 60 : w->rate_fail)) {
		is_ok = false;
		is_done = sim_chance(w, 20);
	} else if (v->is_broken[kind] || (is_sick && sim_chance(w, w->rate_lie))) {
		is_done = false;
	} else if (is_sick && sim_chance(w, w->rate_hang)) {
		is_silent = true;
		is_done = sim_chance(w, 30);
	} else if (is_sick && sim_chance(w, w->rate_slow)) {
		at_ms += prng_range(&w->rng, 2000, 60000);
		effect_ms = at_ms;
	} else if (is_sick && sim_chance(w, w->rate_late)) {
		effect_ms = at_ms + prng_range(&w->rng, 100, 20000);
	}
	if (is_done) {
		p = sim_push(w, P_EFFECT, n, effect_ms);
		p->kind = kind;
		p->is_on = run->verb == LADDER_VERB_ON;
	}
	if (is_silent)
		return;
	p = sim_push(w, P_ANSWER, n, at_ms);
	p->kind = kind;
	p->attempt = run->attempt;
	p->is_ok = is_ok;
}

static void agent_status(struct world *w, int n, const struct ladder_run *run)
{
	struct victim *v = &w->victim[n];
	enum kind kind = (enum kind)(run->device % KINDS);
	bool is_sick = !w->is_healed || v->is_broken[kind];
	struct pending *p;

	if (is_sick && sim_chance(w, w->rate_hang))
		return;
	p = sim_push(w, P_READ, n, w->now_ms + prng_range(&w->rng, 10, 500));
	p->kind = kind;
	p->attempt = run->attempt;
	p->later_ms = p->at_ms + prng_range(&w->rng, 1, 500);
	p->is_ok = !(is_sick && sim_chance(w, w->rate_unknown));
	if (is_sick && sim_chance(w, w->rate_slow))
		p->later_ms += prng_range(&w->rng, 1000, 40000);
}

/* ---- what the ladder and the cap do ---- */

static void oracle_confirmed(struct world *w, int n, const struct ladder_confirmed *c)
{
	struct victim *v = &w->victim[n];

	TRACE(w, "v%d: CONFIRMED scope %d by %s", n, c->scope, ladder_how_name(c->how));
	if (!w->is_quorate)
		sim_broke(w, "confirmed without quorum");
	if (c->scope == LADDER_SCOPE_NODE && !v->is_dead)
		sim_broke(w, "confirmed in scope node, and it runs");
	if (c->scope == LADDER_SCOPE_STORAGE && !v->is_dead && !v->is_keyless)
		sim_broke(w, "confirmed in scope storage, and it can write");
}

static void oracle_started(struct world *w, int n, const struct ladder_run *run)
{
	struct victim *v = &w->victim[n];

	if (!w->is_quorate)
		sim_broke(w, "started without quorum");
	if (!v->is_permitted && run->verb != LADDER_VERB_ON)
		sim_broke(w, "started without a permit");
	if (v->ladder.scope == LADDER_SCOPE_NODE && run->verb != LADDER_VERB_ON)
		sim_broke(w, "started after the node was confirmed");
	if (run->attempt != v->base + v->issued || v->issued >= ATTEMPTS)
		sim_broke(w, "an attempt out of order");
	else
		v->issued++;
	v->is_run = true;
}

static void oracle_note(struct world *w, int n, const struct ladder_note *note)
{
	struct victim *v = &w->victim[n];

	if (note->result == LADDER_RESULT_LATE || note->result == LADDER_RESULT_CONTRADICTED)
		return;
	if (note->attempt < v->base || note->attempt >= v->base + v->issued)
		sim_broke(w, "a note of an attempt that never was");
	else if (v->notes[note->attempt - v->base]++)
		sim_broke(w, "two notes of one attempt");
}

static void carry_out(struct world *w, int n, const struct ladder_action *a)
{
	switch (a->kind) {
	case LADDER_ACT_ASK:
		sim_cap_event(w, FENCE_CAP_EV_ASK, n, 0);
		break;
	case LADDER_ACT_RELEASE:
		w->victim[n].is_permitted = false;
		sim_cap_event(w, FENCE_CAP_EV_DONE, n, 0);
		break;
	case LADDER_ACT_RUN:
		TRACE(w, "v%d: run %d verb %d attempt %" PRIu64, n, a->run.device % KINDS,
		      a->run.verb, a->run.attempt);
		oracle_started(w, n, &a->run);
		agent_run(w, n, &a->run);
		break;
	case LADDER_ACT_VERIFY:
		TRACE(w, "v%d: look %d attempt %" PRIu64, n, a->run.device % KINDS, a->run.attempt);
		oracle_started(w, n, &a->run);
		agent_status(w, n, &a->run);
		break;
	case LADDER_ACT_CONFIRMED:
		oracle_confirmed(w, n, &a->confirmed);
		break;
	case LADDER_ACT_NOTE:
		TRACE(w, "v%d: note %" PRIu64 " verb %d %s", n, a->note.attempt, a->note.verb,
		      ladder_result_name(a->note.result));
		oracle_note(w, n, &a->note);
		break;
	case LADDER_ACT_BLOCKED:
		TRACE(w, "v%d: blocked %d", n, a->blocked.reason);
		break;
	default:
		break;
	}
}

/* The state through its bytes; what the bytes do not carry must not matter. */
void sim_through_snapshot(struct world *w, struct ladder_state *st)
{
	uint8_t a[LADDER_ENCODED_MAX], b[LADDER_ENCODED_MAX];
	size_t len = 0, len2 = 0;
	struct ladder_state copy;

	if (ladder_encode(st, a, sizeof(a), &len) || ladder_decode(a, len, &copy) ||
	    ladder_encode(&copy, b, sizeof(b), &len2) || len != len2 || memcmp(a, b, len) != 0 ||
	    ladder_hash(st) != ladder_hash(&copy)) {
		sim_broke(w, "the snapshot is not the state");
		return;
	}
	copy.mutant = w->mutant;
	*st = copy;
}

static int step(struct world *w, int n, struct ladder_event *ev, struct ladder_actions *out)
{
	struct victim *v = &w->victim[n];
	uint64_t before = ladder_hash(&v->ladder);
	const char *broken;
	int r;

	ev->now_ms = w->now_ms;
	r = ladder_step(&v->ladder, ev, out);
	v->next_ms = r ? v->next_ms : out->next_ms;
	if (r && (out->count || ladder_hash(&v->ladder) != before))
		sim_broke(w, "a refusal changed something");
	if (w->mutant != LADDER_MUTANT_NONE)
		return r;
	broken = ladder_check(&v->ladder);
	if (broken)
		sim_broke(w, broken);
	if (sim_chance(w, 3))
		sim_through_snapshot(w, &v->ladder);
	return r;
}

static void fence_end(struct world *w, int n)
{
	struct victim *v = &w->victim[n];

	for (uint64_t i = 0; i < v->issued; i++) {
		if (v->notes[i] != 1)
			sim_broke(w, "an attempt without an end in the history");
	}
	if (v->ladder.phase == LADDER_DONE && v->ladder.scope != LADDER_SCOPE_NODE)
		sim_broke(w, "over before the node was confirmed");
	v->has_fence = false;
	v->next_ms = LADDER_NEVER;
}

void sim_step_event(struct world *w, int n, struct ladder_event *ev)
{
	struct victim *v = &w->victim[n];
	struct ladder_actions out;

	(void)step(w, n, ev, &out);
	for (uint8_t i = 0; i < out.count; i++)
		carry_out(w, n, &out.item[i]);
	if (v->has_fence && (v->ladder.phase == LADDER_DONE || v->ladder.phase == LADDER_CANCELLED))
		fence_end(w, n);
}

/* The oracle counts for itself who was permitted. */
static void oracle_permit(struct world *w, int n)
{
	struct victim *v = &w->victim[n];
	int active = 0, recent = 0;

	for (int i = 0; i < w->victims; i++)
		active += w->victim[i].is_permitted && i != n;
	if (active >= w->cap.config.max_active)
		sim_broke(w, "more fences at work than the cap allows");
	if (w->now_ms < w->disarmed_ms)
		sim_broke(w, "permitted while disarmed");
	for (int i = 0; i < w->started_count; i++) {
		if (w->started[i].at_ms + w->cap.config.window_ms <= w->now_ms)
			continue;
		if (w->started[i].victim == n && w->started[i].incarnation == v->incarnation)
			return;
		recent++;
	}
	if (recent >= w->cap.config.max_starts)
		sim_broke(w, "more fences started than the cap allows");
	if (w->started_count < 64) {
		w->started[w->started_count].victim = n;
		w->started[w->started_count].incarnation = v->incarnation;
		w->started[w->started_count++].at_ms = w->now_ms;
	}
}

void sim_cap_event(struct world *w, enum fence_cap_event_type type, int n, uint64_t until_ms)
{
	struct fence_cap_event ev = {
		.type = type, .now_ms = w->now_ms, .victim = (uint8_t)n, .until_ms = until_ms};
	struct fence_cap_actions out;
	const char *broken;

	ev.incarnation = w->victim[n].incarnation;
	ev.priority = (uint32_t)n % 2;
	if (fence_cap_step(&w->cap, &ev, &out))
		sim_broke(w, "the cap refused");
	broken = fence_cap_check(&w->cap);
	if (broken && w->mutant == LADDER_MUTANT_NONE)
		sim_broke(w, broken);
	if (out.ends_ms == 0 && out.cause != FENCE_CAP_FREE)
		sim_broke(w, "the cap delays and does not say until when");
	w->cap_ms = out.ends_ms ? out.ends_ms : LADDER_NEVER;
	for (uint8_t i = 0; i < out.count; i++) {
		struct ladder_event permit = {.type = LADDER_EV_PERMIT};

		TRACE(w, "v%d: permitted", out.permit[i]);
		oracle_permit(w, out.permit[i]);
		w->victim[out.permit[i]].is_permitted = true;
		sim_step_event(w, out.permit[i], &permit);
	}
}
