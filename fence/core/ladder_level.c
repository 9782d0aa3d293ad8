/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ladder's phases: slots, levels, rounds and the confirmation. Events are in ladder.c. */
#include <string.h>

#include "fence/core/ladder_impl.h"
#include "lib/must.h"

/* ---- phases ---- */

#define PHASE(name) (1u << LADDER_##name)

static const unsigned int phase_next[LADDER_PHASE_MAX] = {
	[LADDER_IDLE] = PHASE(HELD),
	[LADDER_HELD] = PHASE(LEVEL) | PHASE(PAUSE) | PHASE(DONE) | PHASE(CANCELLED),
	[LADDER_LEVEL] = PHASE(LEVEL) | PHASE(PAUSE) | PHASE(HELD) | PHASE(RESTORE) | PHASE(DONE),
	[LADDER_PAUSE] = PHASE(HELD) | PHASE(DONE) | PHASE(CANCELLED),
	[LADDER_RESTORE] = PHASE(DONE),
};

void ladder_move(struct ladder_state *st, enum ladder_phase next)
{
	must(phase_next[st->phase] & (1u << next));
	st->phase = (uint8_t)next;
}

bool ladder_is_over(const struct ladder_state *st)
{
	return st->phase == LADDER_DONE || st->phase == LADDER_CANCELLED;
}

bool ladder_can_act(const struct ladder_state *st)
{
	return st->is_quorate || LADDER_MUTANT(st, NO_QUORUM);
}

static uint64_t backoff_ms(const struct ladder_config *c, uint32_t failures)
{
	uint64_t ms = c->backoff_base_ms;

	for (uint32_t i = 1; i < failures && ms < c->backoff_cap_ms; i++)
		ms *= 2;
	return ms < c->backoff_cap_ms ? ms : c->backoff_cap_ms;
}

const struct ladder_level *ladder_level_of(const struct ladder_state *st)
{
	return &st->config.level[st->level];
}

enum ladder_scope ladder_level_scope(const struct ladder_state *st, const struct ladder_level *l)
{
	uint8_t weakest = LADDER_SCOPE_NODE, strongest = LADDER_SCOPE_NONE;

	for (uint8_t i = 0; i < l->device_count; i++) {
		uint8_t scope = l->device[i].needs_verify ? l->device[i].scope : LADDER_SCOPE_NONE;

		weakest = scope < weakest ? scope : weakest;
		strongest = scope > strongest ? scope : strongest;
	}
	if (LADDER_MUTANT(st, STRONGEST))
		weakest = strongest;
	if (LADDER_MUTANT(st, STORAGE_IS_NODE) && weakest == LADDER_SCOPE_STORAGE)
		weakest = LADDER_SCOPE_NODE;
	return (enum ladder_scope)weakest;
}

/* Could a level prove more than is proven? One that proves nothing goes along with the others. */
static bool level_adds(const struct ladder_state *st, uint8_t level)
{
	enum ladder_scope scope = ladder_level_scope(st, &st->config.level[level]);

	return scope == LADDER_SCOPE_NONE || scope > st->scope;
}

bool ladder_has_work(const struct ladder_state *st)
{
	for (uint8_t i = 0; i < st->config.level_count; i++) {
		if (level_adds(st, i))
			return true;
	}
	return false;
}

/* When time-only is proven if nothing happens. */
uint64_t ladder_time_end_ms(const struct ladder_state *st)
{
	const struct ladder_config *c = &st->config;

	if (!c->time_only || st->count_ms == LADDER_NEVER)
		return LADDER_NEVER;
	return st->count_ms + c->wait_ms + c->look_ms;
}

/* ---- actions ---- */

struct ladder_action *ladder_act(struct ladder_actions *out, enum ladder_action_kind kind)
{
	struct ladder_action *a;

	must(out->count < LADDER_MAX_ACTIONS);
	a = &out->item[out->count++];
	memset(a, 0, sizeof(*a));
	a->kind = kind;
	return a;
}

void ladder_fail_note(struct ladder_state *st, uint16_t device, uint8_t result, int32_t rc)
{
	st->failure = (struct ladder_failure){
		.level = st->level,
		.result = result,
		.device = device,
		.rc = rc,
	};
}

/* Sends for a device; the slot has nothing in flight. */
static void slot_begin(struct ladder_state *st, struct ladder_actions *out, uint8_t i,
		       enum ladder_verb verb)
{
	struct ladder_slot *slot = &st->slot[i];
	bool is_look = verb == LADDER_VERB_STATUS;
	struct ladder_action *a = ladder_act(out, is_look ? LADDER_ACT_VERIFY : LADDER_ACT_RUN);

	must(slot->attempt == 0);
	slot->state = is_look ? LADDER_SLOT_VERIFY : LADDER_SLOT_RUN;
	slot->attempt = st->attempt_next++;
	slot->started_ms = st->now_ms;
	st->is_sent = true;
	a->run = (struct ladder_run){
		.attempt = slot->attempt,
		.deadline_ms = st->level_end_ms,
		.device = ladder_level_of(st)->device[i].device,
		.level = st->level,
		.verb = (uint8_t)verb,
	};
}

/* Writes the end of a slot's attempt into the history; after it nothing is in flight. */
void ladder_slot_end(struct ladder_state *st, struct ladder_actions *out, uint8_t i,
		     enum ladder_result result, int32_t rc)
{
	struct ladder_slot *slot = &st->slot[i];
	uint8_t verb = LADDER_VERB_OFF;

	if (slot->state == LADDER_SLOT_VERIFY)
		verb = LADDER_VERB_STATUS;
	else if (st->phase == LADDER_RESTORE)
		verb = LADDER_VERB_ON;
	ladder_act(out, LADDER_ACT_NOTE)->note = (struct ladder_note){
		.attempt = slot->attempt,
		.started_ms = slot->started_ms,
		.ended_ms = st->now_ms,
		.rc = rc,
		.device = ladder_level_of(st)->device[i].device,
		.level = st->level,
		.verb = verb,
		.result = (uint8_t)result,
	};
	slot->attempt = 0;
}

void ladder_slot_abort(struct ladder_state *st, struct ladder_actions *out, uint8_t i)
{
	ladder_act(out, LADDER_ACT_ABORT)->run = (struct ladder_run){
		.attempt = st->slot[i].attempt,
		.device = ladder_level_of(st)->device[i].device,
		.level = st->level,
	};
}

static void abort_all(struct ladder_state *st, struct ladder_actions *out,
		      enum ladder_result result)
{
	for (uint8_t i = 0; i < LADDER_MAX_DEVICES; i++) {
		if (!st->slot[i].attempt)
			continue;
		if (result == LADDER_RESULT_DEADLINE)
			ladder_fail_note(st, ladder_level_of(st)->device[i].device, (uint8_t)result,
					 0);
		ladder_slot_abort(st, out, i);
		ladder_slot_end(st, out, i, result, 0);
	}
}

/* The common look is void: whoever was off has to be looked at again. */
void ladder_look_void(struct ladder_state *st, struct ladder_actions *out)
{
	for (uint8_t i = 0; i < ladder_level_of(st)->device_count; i++) {
		struct ladder_slot *slot = &st->slot[i];

		if (slot->state == LADDER_SLOT_VERIFY) {
			ladder_slot_abort(st, out, i);
			ladder_slot_end(st, out, i, LADDER_RESULT_ABORTED, 0);
			slot->state = LADDER_SLOT_SENT;
		} else if (slot->state == LADDER_SLOT_OK &&
			   (st->is_quorate || !LADDER_MUTANT(st, KEEPS_LOOK))) {
			slot->state = LADDER_SLOT_SENT;
		}
	}
}

/* One try is gone; `back` is where the next one begins. */
void ladder_slot_failed(struct ladder_state *st, uint8_t i, enum ladder_slot_state back)
{
	struct ladder_slot *slot = &st->slot[i];

	slot->tries++;
	if (slot->tries > ladder_level_of(st)->device[i].retries) {
		slot->state = LADDER_SLOT_FAILED;
		return;
	}
	slot->state = (uint8_t)back;
	slot->due_ms = st->now_ms + backoff_ms(&st->config, slot->tries);
}

/* ---- rounds, levels, confirmation ---- */

void ladder_release(struct ladder_state *st, struct ladder_actions *out)
{
	if (st->is_asked)
		ladder_act(out, LADDER_ACT_RELEASE);
	st->is_asked = false;
	st->is_permitted = false;
	st->is_delayed = false;
}

static void round_end(struct ladder_state *st, struct ladder_actions *out)
{
	ladder_release(st, out);
	st->is_armed = true;
	if (st->round < UINT32_MAX)
		st->round++;
	st->pause_ms = st->now_ms + backoff_ms(&st->config, st->round);
	if (!ladder_has_work(st) || LADDER_MUTANT(st, GIVES_UP))
		st->pause_ms = LADDER_NEVER;
	ladder_move(st, LADDER_PAUSE);
}

/* The first level from `from` on that can add to the proof, or the end of the round. */
static void level_enter(struct ladder_state *st, struct ladder_actions *out, uint8_t from)
{
	memset(st->slot, 0, sizeof(st->slot));
	for (uint8_t l = from; l < st->config.level_count; l++) {
		if (!level_adds(st, l))
			continue;
		ladder_move(st, LADDER_LEVEL);
		st->level = l;
		st->level_end_ms = st->now_ms + ladder_level_of(st)->deadline_ms;
		for (uint8_t i = 0; i < ladder_level_of(st)->device_count; i++)
			st->slot[i].due_ms = st->now_ms;
		return;
	}
	round_end(st, out);
}

/* Sends ON to what this level switched off with method reboot. */
static void restore_begin(struct ladder_state *st, struct ladder_actions *out)
{
	const struct ladder_level *l = ladder_level_of(st);

	ladder_move(st, LADDER_RESTORE);
	st->level_end_ms = st->now_ms + l->deadline_ms;
	for (uint8_t i = 0; i < l->device_count; i++) {
		if (l->device[i].method == LADDER_METHOD_REBOOT)
			slot_begin(st, out, i, LADDER_VERB_ON);
	}
}

static bool level_reboots(const struct ladder_level *l)
{
	for (uint8_t i = 0; i < l->device_count; i++) {
		if (l->device[i].method == LADDER_METHOD_REBOOT)
			return true;
	}
	return false;
}

void ladder_confirm(struct ladder_state *st, struct ladder_actions *out, enum ladder_scope scope,
		    enum ladder_how how)
{
	bool is_end = scope == LADDER_SCOPE_NODE || LADDER_MUTANT(st, STORAGE_ENDS);

	st->scope = (uint8_t)scope;
	st->how = (uint8_t)how;
	st->confirmed_ms = st->now_ms;
	if (is_end)
		abort_all(st, out, LADDER_RESULT_ABORTED);
	ladder_act(out, LADDER_ACT_CONFIRMED)->confirmed = (struct ladder_confirmed){
		.scope = (uint8_t)scope,
		.how = (uint8_t)how,
		.level = how == LADDER_HOW_DEVICES ? st->level : LADDER_LEVEL_NONE,
	};
	if (!is_end) {
		level_enter(st, out, (uint8_t)(st->level + 1));
		return;
	}
	ladder_release(st, out);
	if (how == LADDER_HOW_DEVICES && level_reboots(ladder_level_of(st)))
		restore_begin(st, out);
	else
		ladder_move(st, LADDER_DONE);
}

uint8_t ladder_slots_in(const struct ladder_state *st, enum ladder_slot_state state)
{
	uint8_t n = 0;

	for (uint8_t i = 0; i < ladder_level_of(st)->device_count; i++)
		n = (uint8_t)(n + (st->slot[i].state == state));
	return n;
}

/* Starts what is due: sending first; looking only when everything has been sent. */
static void level_start_due(struct ladder_state *st, struct ladder_actions *out)
{
	uint8_t count = ladder_level_of(st)->device_count;
	bool is_look = ladder_slots_in(st, LADDER_SLOT_SENT) == count;

	for (uint8_t i = 0; i < count; i++) {
		if (st->slot[i].state == LADDER_SLOT_WAIT && st->slot[i].due_ms <= st->now_ms)
			slot_begin(st, out, i, LADDER_VERB_OFF);
		if (st->slot[i].due_ms > st->now_ms)
			is_look = false;
	}
	if (ladder_level_scope(st, ladder_level_of(st)) == LADDER_SCOPE_NONE)
		return;
	if (LADDER_MUTANT(st, KEEPS_LOOK) || LADDER_MUTANT(st, RESUME_TRUSTS))
		is_look = ladder_slots_in(st, LADDER_SLOT_SENT) +
				  ladder_slots_in(st, LADDER_SLOT_OK) ==
			  count;
	for (uint8_t i = 0; i < count && (is_look || LADDER_MUTANT(st, LOOK_EARLY)); i++) {
		if (st->slot[i].state == LADDER_SLOT_SENT && st->slot[i].due_ms <= st->now_ms)
			slot_begin(st, out, i, LADDER_VERB_STATUS);
	}
}

/* True if the phase or the level changed, and there may be more to do at once. */
static bool level_advance(struct ladder_state *st, struct ladder_actions *out)
{
	uint8_t count = ladder_level_of(st)->device_count;
	enum ladder_scope scope = ladder_level_scope(st, ladder_level_of(st));
	bool is_late = st->now_ms >= st->level_end_ms && !LADDER_MUTANT(st, NO_DEADLINE);
	uint8_t ok = ladder_slots_in(st, LADDER_SLOT_OK);

	if (!ladder_can_act(st))
		return false;
	if (LADDER_MUTANT(st, NO_LOOK) && scope != LADDER_SCOPE_NONE)
		ok = (uint8_t)(ok + ladder_slots_in(st, LADDER_SLOT_SENT));
	if (ok == count || (ok > 0 && LADDER_MUTANT(st, ONE_OF_LEVEL))) {
		ladder_confirm(st, out, scope, LADDER_HOW_DEVICES);
		return true;
	}
	if (is_late || ladder_slots_in(st, LADDER_SLOT_FAILED) > 0) {
		abort_all(st, out, is_late ? LADDER_RESULT_DEADLINE : LADDER_RESULT_ABORTED);
		level_enter(st, out, (uint8_t)(st->level + 1));
		return true;
	}
	if (scope == LADDER_SCOPE_NONE && ladder_slots_in(st, LADDER_SLOT_SENT) == count) {
		level_enter(st, out, (uint8_t)(st->level + 1));
		return true;
	}
	level_start_due(st, out);
	return false;
}

static bool held_advance(struct ladder_state *st, struct ladder_actions *out)
{
	if (!ladder_can_act(st))
		return false;
	if (!ladder_has_work(st)) {
		round_end(st, out);
		return true;
	}
	if (!st->is_asked) {
		ladder_act(out, LADDER_ACT_ASK);
		st->is_asked = true;
	}
	if (!st->is_permitted)
		return false;
	level_enter(st, out, 0);
	return true;
}

static bool phase_advance(struct ladder_state *st, struct ladder_actions *out)
{
	switch ((enum ladder_phase)st->phase) {
	case LADDER_HELD:
		return held_advance(st, out);
	case LADDER_LEVEL:
		return level_advance(st, out);
	case LADDER_PAUSE:
		if (!ladder_can_act(st) || st->now_ms < st->pause_ms)
			return false;
		ladder_move(st, LADDER_HELD);
		return true;
	case LADDER_RESTORE:
		if (st->now_ms >= st->level_end_ms)
			abort_all(st, out, LADDER_RESULT_DEADLINE);
		for (uint8_t i = 0; i < LADDER_MAX_DEVICES; i++) {
			if (st->slot[i].attempt)
				return false;
		}
		ladder_move(st, LADDER_DONE);
		return false;
	default:
		return false;
	}
}

/* What proves the end of the victim whatever its devices do. */
static void proof_advance(struct ladder_state *st, struct ladder_actions *out)
{
	if (st->scope == LADDER_SCOPE_NODE || ladder_is_over(st) || !ladder_can_act(st))
		return;
	if (st->is_rebooted)
		ladder_confirm(st, out, LADDER_SCOPE_NODE, LADDER_HOW_BOOT);
	else if (st->is_armed && st->now_ms >= ladder_time_end_ms(st))
		ladder_confirm(st, out, LADDER_SCOPE_NODE, LADDER_HOW_TIME);
}

void ladder_advance(struct ladder_state *st, struct ladder_actions *out)
{
	proof_advance(st, out);
	/* A step goes through each level once at most: only events end what it starts. */
	for (int i = 0; phase_advance(st, out); i++)
		must(i < LADDER_MAX_LEVELS + 4);
	/* The end of the first round has armed time-only; its time may be out already. */
	proof_advance(st, out);
}
