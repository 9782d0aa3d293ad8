/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ladder's events. What follows from them is in ladder_level.c. */
#include "fence/core/ladder.h"

#include <errno.h>
#include <string.h>

#include "fence/core/ladder_impl.h"

/* ---- events ---- */

static int on_start(struct ladder_state *st, const struct ladder_event *ev,
		    struct ladder_actions *out)
{
	(void)out;
	if (st->phase != LADDER_IDLE)
		return -EALREADY;
	if (ev->start.victim >= LADDER_MAX_NODES || ev->start.asker >= LADDER_MAX_NODES ||
	    ev->start.reason >= LADDER_REASON_MAX || ev->start.attempt_base == 0 ||
	    ev->start.attempt_base > LADDER_TIME_MAX)
		return -EINVAL;
	st->victim = ev->start.victim;
	st->incarnation = ev->start.incarnation;
	st->reason = ev->start.reason;
	st->asker = ev->start.asker;
	st->attempt_base = ev->start.attempt_base;
	st->attempt_next = ev->start.attempt_base;
	st->start_ms = ev->now_ms;
	ladder_move(st, LADDER_HELD);
	return 0;
}

static int on_permit(struct ladder_state *st, const struct ladder_event *ev,
		     struct ladder_actions *out)
{
	(void)ev;
	/* Crossed with a RELEASE: give it back, whoever waits needs it. */
	if (!st->is_asked)
		ladder_act(out, LADDER_ACT_RELEASE);
	st->is_permitted = st->is_asked;
	st->is_delayed = false;
	return 0;
}

/* An answer to an attempt that has ended, of this fence or of an earlier one. */
static int on_late(struct ladder_state *st, const struct ladder_event *ev,
		   struct ladder_actions *out)
{
	bool is_look = ev->type == LADDER_EV_VERIFY_DONE;

	ladder_act(out, LADDER_ACT_NOTE)->note = (struct ladder_note){
		.attempt = ev->done.attempt,
		.ended_ms = ev->now_ms,
		.rc = ev->done.rc,
		.device = ev->done.device,
		.level = LADDER_LEVEL_NONE,
		.verb = is_look ? LADDER_VERB_STATUS : LADDER_VERB_OFF,
		.result = LADDER_RESULT_LATE,
	};
	if (!LADDER_MUTANT(st, LATE_COUNTS) || st->phase != LADDER_LEVEL)
		return 0;
	for (uint8_t i = 0; i < ladder_level_of(st)->device_count; i++) {
		struct ladder_slot *slot = &st->slot[i];

		if (ladder_level_of(st)->device[i].device != ev->done.device)
			continue;
		if (slot->attempt)
			ladder_slot_end(st, out, i, LADDER_RESULT_ABORTED, 0);
		if (is_look && ev->done.power == LADDER_POWER_OFF)
			slot->state = LADDER_SLOT_OK;
		else if (!is_look && ev->done.is_ok)
			slot->state = LADDER_SLOT_SENT;
		else
			slot->state = LADDER_SLOT_WAIT;
	}
	return 0;
}

/*
 * The slot whose attempt this answers: 0 and its number, -ESTALE for an answer that comes late,
 * -EINVAL for one that nobody asked for.
 */
static int answer_slot(const struct ladder_state *st, const struct ladder_event *ev,
		       enum ladder_slot_state state, uint8_t *ret_i)
{
	if (ev->done.attempt == 0 || ev->done.attempt >= st->attempt_next ||
	    ev->done.power >= LADDER_POWER_MAX)
		return -EINVAL;
	for (uint8_t i = 0; i < LADDER_MAX_DEVICES; i++) {
		if (st->slot[i].attempt != ev->done.attempt)
			continue;
		if (st->slot[i].state != state ||
		    ladder_level_of(st)->device[i].device != ev->done.device)
			return -EINVAL;
		*ret_i = i;
		return 0;
	}
	return -ESTALE;
}

static int on_device_done(struct ladder_state *st, const struct ladder_event *ev,
			  struct ladder_actions *out)
{
	uint8_t i = 0;
	int r = answer_slot(st, ev, LADDER_SLOT_RUN, &i);

	if (r == -ESTALE)
		return on_late(st, ev, out);
	if (r)
		return r;
	ladder_slot_end(st, out, i, ev->done.is_ok ? LADDER_RESULT_OK : LADDER_RESULT_FAILED,
			ev->done.rc);
	if (st->phase == LADDER_RESTORE) {
		st->slot[i].state = LADDER_SLOT_OK;
		return 0;
	}
	if (ev->done.is_ok) {
		st->slot[i].state = LADDER_SLOT_SENT;
		st->slot[i].due_ms = ev->now_ms;
		st->sent_ms = ev->now_ms;
		return 0;
	}
	ladder_fail_note(st, ev->done.device, LADDER_RESULT_FAILED, ev->done.rc);
	if (st->is_quorate) {
		ladder_slot_failed(st, i, LADDER_SLOT_WAIT);
		return 0;
	}
	/* We ended it ourselves when quorum was lost: that is not the device's fault. */
	st->slot[i].state = LADDER_SLOT_WAIT;
	st->slot[i].due_ms = ev->now_ms;
	return 0;
}

static int on_verify_done(struct ladder_state *st, const struct ladder_event *ev,
			  struct ladder_actions *out)
{
	static const uint8_t result[LADDER_POWER_MAX] = {
		[LADDER_POWER_UNKNOWN] = LADDER_RESULT_UNKNOWN,
		[LADDER_POWER_OFF] = LADDER_RESULT_OFF,
		[LADDER_POWER_ON] = LADDER_RESULT_ON,
	};
	enum ladder_slot_state back = LADDER_SLOT_WAIT;
	uint8_t i = 0;
	int r = answer_slot(st, ev, LADDER_SLOT_VERIFY, &i);

	if (r == -ESTALE)
		return on_late(st, ev, out);
	if (r)
		return r;
	ladder_slot_end(st, out, i, (enum ladder_result)result[ev->done.power], ev->done.rc);
	if (ev->done.power == LADDER_POWER_OFF ||
	    (LADDER_MUTANT(st, UNKNOWN_IS_OFF) && ev->done.power == LADDER_POWER_UNKNOWN)) {
		st->slot[i].state = LADDER_SLOT_OK;
		return 0;
	}
	ladder_fail_note(st, ev->done.device, result[ev->done.power], ev->done.rc);
	/* Not readable: look again. On: the success was none, send again. */
	if (ev->done.power == LADDER_POWER_UNKNOWN)
		back = LADDER_SLOT_SENT;
	ladder_slot_failed(st, i, back);
	ladder_look_void(st, out);
	return 0;
}

/* Nothing goes on without quorum, and nothing that was seen before counts after it. */
static void quorum_lost(struct ladder_state *st, struct ladder_actions *out)
{
	if (st->phase != LADDER_LEVEL && st->phase != LADDER_RESTORE)
		return;
	for (uint8_t i = 0; i < LADDER_MAX_DEVICES; i++) {
		/* Its answer is still awaited: a success means that there is something to look at.
		 */
		if (st->slot[i].state == LADDER_SLOT_RUN && st->slot[i].attempt)
			ladder_slot_abort(st, out, i);
	}
	if (st->phase == LADDER_LEVEL)
		ladder_look_void(st, out);
}

static int on_quorum(struct ladder_state *st, const struct ladder_event *ev,
		     struct ladder_actions *out)
{
	bool was_quorate = st->is_quorate;
	bool is_kept = LADDER_MUTANT(st, TIME_NO_RESTART) || LADDER_MUTANT(st, TIME_NO_QUORUM);
	uint64_t from_ms = ev->quorum.since_ms;

	if (from_ms > ev->now_ms)
		return -EINVAL;
	st->is_quorate = ev->quorum.is_quorate;
	st->has_victim = ev->quorum.has_victim;
	if ((!st->is_quorate && !LADDER_MUTANT(st, TIME_NO_QUORUM)) ||
	    (st->has_victim && !LADDER_MUTANT(st, TIME_NO_RESTART))) {
		st->count_ms = LADDER_NEVER;
		st->broken_ms = ev->now_ms;
	} else {
		if (from_ms < st->broken_ms)
			from_ms = st->broken_ms;
		if (st->count_ms == LADDER_NEVER || (from_ms > st->count_ms && !is_kept))
			st->count_ms = from_ms;
	}
	if (was_quorate && !st->is_quorate)
		quorum_lost(st, out);
	if (!was_quorate && st->is_quorate && st->phase == LADDER_LEVEL)
		st->level_end_ms = ev->now_ms + ladder_level_of(st)->deadline_ms;
	return 0;
}

static void contradict(struct ladder_state *st, struct ladder_actions *out)
{
	ladder_act(out, LADDER_ACT_NOTE)->note = (struct ladder_note){
		.started_ms = st->sent_ms,
		.ended_ms = st->now_ms,
		.level = st->how == LADDER_HOW_DEVICES || st->phase == LADDER_LEVEL
				 ? st->level
				 : LADDER_LEVEL_NONE,
		.verb = LADDER_VERB_STATUS,
		.result = LADDER_RESULT_CONTRADICTED,
	};
}

/* Alive while a look is under way that is to prove the opposite: all its devices try again. */
static void look_contradicted(struct ladder_state *st, struct ladder_actions *out)
{
	uint8_t looking = (uint8_t)(ladder_slots_in(st, LADDER_SLOT_VERIFY) +
				    ladder_slots_in(st, LADDER_SLOT_OK));

	if (ladder_level_scope(st, ladder_level_of(st)) != LADDER_SCOPE_NODE || looking == 0 ||
	    st->now_ms <= st->sent_ms)
		return;
	contradict(st, out);
	ladder_look_void(st, out);
	for (uint8_t i = 0; i < ladder_level_of(st)->device_count; i++) {
		if (st->slot[i].state != LADDER_SLOT_SENT)
			continue;
		ladder_fail_note(st, ladder_level_of(st)->device[i].device,
				 LADDER_RESULT_CONTRADICTED, 0);
		ladder_slot_failed(st, i, LADDER_SLOT_WAIT);
	}
}

static int on_victim_seen(struct ladder_state *st, const struct ladder_event *ev,
			  struct ladder_actions *out)
{
	if (ev->seen.is_later_boot) {
		if (ev->seen.incarnation == st->incarnation)
			return -EINVAL;
		if (!ladder_is_over(st))
			st->is_rebooted = true;
		return 0;
	}
	if (ev->seen.incarnation != st->incarnation)
		return -ESTALE;
	if (st->scope == LADDER_SCOPE_NODE)
		contradict(st, out);
	else if (st->phase == LADDER_LEVEL)
		look_contradicted(st, out);
	if (st->count_ms != LADDER_NEVER && ev->now_ms >= st->count_ms + st->config.wait_ms &&
	    !LADDER_MUTANT(st, TIME_DEAF)) {
		st->count_ms = ev->now_ms;
		st->broken_ms = ev->now_ms;
		st->was_alive = true;
	}
	return 0;
}

static int on_confirm(struct ladder_state *st, const struct ladder_event *ev,
		      struct ladder_actions *out)
{
	if (!ev->who[0] || !memchr(ev->who, '\0', sizeof(ev->who)))
		return -EINVAL;
	if (ladder_is_over(st) || st->scope == LADDER_SCOPE_NODE)
		return -EALREADY;
	if (!st->is_quorate)
		return -EAGAIN;
	if (st->has_victim)
		return -EBUSY;
	memset(st->who, 0, sizeof(st->who));
	memcpy(st->who, ev->who, strlen(ev->who));
	ladder_confirm(st, out, LADDER_SCOPE_NODE, LADDER_HOW_ADMIN);
	return 0;
}

static int on_tick(struct ladder_state *st, const struct ladder_event *ev,
		   struct ladder_actions *out)
{
	(void)ev;
	(void)out;
	/* The permit did not come at once: time-only, which the cap does not hold, need not wait.
	 */
	if (st->phase == LADDER_HELD && st->is_asked && !LADDER_MUTANT(st, TIME_CAPPED))
		st->is_armed = true;
	if (st->phase == LADDER_HELD && st->is_asked)
		st->is_delayed = true;
	return 0;
}

static int on_cancel(struct ladder_state *st, const struct ladder_event *ev,
		     struct ladder_actions *out)
{
	(void)ev;
	if (ladder_is_over(st) || (st->is_sent && !LADDER_MUTANT(st, LATE_CANCEL)))
		return -EALREADY;
	if (LADDER_MUTANT(st, LATE_CANCEL))
		st->phase = LADDER_HELD;
	ladder_release(st, out);
	ladder_move(st, LADDER_CANCELLED);
	return 0;
}

static int on_resumed(struct ladder_state *st, const struct ladder_event *ev,
		      struct ladder_actions *out)
{
	if (LADDER_MUTANT(st, RESUME_TRUSTS) && st->phase == LADDER_LEVEL) {
		for (uint8_t i = 0; i < LADDER_MAX_DEVICES; i++) {
			if (st->slot[i].attempt)
				ladder_slot_end(st, out, i, LADDER_RESULT_ABORTED, 0);
			if (st->slot[i].state != LADDER_SLOT_OK)
				st->slot[i].state = LADDER_SLOT_WAIT;
		}
	} else {
		/* No ABORT: the programs are not ours. A new round sends and looks from the start.
		 */
		for (uint8_t i = 0; i < LADDER_MAX_DEVICES; i++) {
			if (st->slot[i].attempt)
				ladder_slot_end(st, out, i, LADDER_RESULT_ABORTED, 0);
		}
		if (st->phase == LADDER_LEVEL || st->phase == LADDER_PAUSE)
			ladder_move(st, LADDER_HELD);
		ladder_release(st, out);
	}
	st->is_quorate = false;
	st->has_victim = false;
	st->count_ms = LADDER_NEVER;
	st->broken_ms = ev->now_ms;
	return 0;
}

/* ---- step ---- */

typedef int ladder_handler(struct ladder_state *, const struct ladder_event *,
			   struct ladder_actions *);

static ladder_handler *const handlers[LADDER_EV_MAX] = {
	[LADDER_EV_START] = on_start,
	[LADDER_EV_PERMIT] = on_permit,
	[LADDER_EV_DEVICE_DONE] = on_device_done,
	[LADDER_EV_VERIFY_DONE] = on_verify_done,
	[LADDER_EV_QUORUM] = on_quorum,
	[LADDER_EV_VICTIM_SEEN] = on_victim_seen,
	[LADDER_EV_CONFIRM] = on_confirm,
	[LADDER_EV_TICK] = on_tick,
	[LADDER_EV_CANCEL] = on_cancel,
	[LADDER_EV_RESUMED] = on_resumed,
};

void ladder_blocked(const struct ladder_state *st, struct ladder_block *ret_block)
{
	struct ladder_block b = {.until_ms = LADDER_NEVER, .last = st->failure};
	uint64_t end_ms = st->is_armed ? ladder_time_end_ms(st) : LADDER_NEVER;

	if (st->phase == LADDER_IDLE || st->phase == LADDER_RESTORE || ladder_is_over(st)) {
		b.reason = LADDER_BLOCKED_NOT;
	} else if (!st->is_quorate) {
		b.reason = LADDER_BLOCKED_QUORUM;
	} else if (st->is_delayed) {
		b.reason = LADDER_BLOCKED_CAP;
		b.until_ms = end_ms;
	} else if (st->round == 0) {
		b.reason = LADDER_BLOCKED_NOT;
	} else if (end_ms != LADDER_NEVER) {
		b.reason = st->was_alive ? LADDER_BLOCKED_ALIVE : LADDER_BLOCKED_TIME;
		b.until_ms = end_ms;
	} else if (!ladder_has_work(st)) {
		b.reason = LADDER_BLOCKED_PRESENT;
	} else {
		b.reason = LADDER_BLOCKED_DEVICES;
		if (st->phase != LADDER_HELD)
			b.until_ms = st->phase == LADDER_PAUSE ? st->pause_ms : st->level_end_ms;
	}
	*ret_block = b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The next time at which a TICK changes something. */
static uint64_t next_ms(const struct ladder_state *st)
{
	uint64_t next = LADDER_NEVER;

	if (st->phase == LADDER_RESTORE)
		return st->level_end_ms;
	if (st->phase == LADDER_IDLE || ladder_is_over(st) || !ladder_can_act(st))
		return LADDER_NEVER;
	next = st->is_armed ? ladder_time_end_ms(st) : LADDER_NEVER;
	if (st->phase == LADDER_HELD && st->is_asked && !st->is_delayed)
		return st->now_ms + 1;
	if (st->phase == LADDER_PAUSE)
		return sooner(next, st->pause_ms);
	if (st->phase != LADDER_LEVEL)
		return next;
	next = sooner(next, st->level_end_ms);
	for (uint8_t i = 0; i < ladder_level_of(st)->device_count; i++) {
		const struct ladder_slot *slot = &st->slot[i];

		if (!slot->attempt && slot->due_ms > st->now_ms)
			next = sooner(next, slot->due_ms);
	}
	return next;
}

int ladder_step(struct ladder_state *st, const struct ladder_event *ev, struct ladder_actions *out)
{
	uint64_t now_ms = st->now_ms;
	struct ladder_block block;
	int r;

	out->count = 0;
	out->next_ms = LADDER_NEVER;
	if ((unsigned int)ev->type >= LADDER_EV_MAX || ev->now_ms > LADDER_TIME_MAX ||
	    (ev->now_ms < now_ms && ev->type != LADDER_EV_RESUMED))
		return -EINVAL;
	if (st->phase == LADDER_IDLE && ev->type != LADDER_EV_START &&
	    ev->type != LADDER_EV_QUORUM && ev->type != LADDER_EV_TICK)
		return -ESRCH;
	st->now_ms = ev->now_ms;
	r = handlers[ev->type](st, ev, out);
	if (r) {
		st->now_ms = now_ms;
		return r;
	}
	ladder_advance(st, out);
	ladder_blocked(st, &block);
	if (block.reason != st->blocked) {
		st->blocked = block.reason;
		ladder_act(out, LADDER_ACT_BLOCKED)->blocked = block;
	}
	out->next_ms = next_ms(st);
	return 0;
}
