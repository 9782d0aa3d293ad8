/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fencing ladder and its cap by their events: one rule a test. The rest is in sim_ladder.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "fence/core/fence_cap.h"
#include "fence/core/ladder.h"

#define NODE	LADDER_SCOPE_NODE
#define STORAGE LADDER_SCOPE_STORAGE
#define WAIT_MS 22000
#define LOOK_MS 2000
#define BASE	100 /* the first attempt */

struct fixture {
	struct ladder_config config;
	struct ladder_state st;
	struct ladder_actions out;
	uint64_t now_ms;
};

static struct ladder_device dev(uint16_t device, uint8_t scope, uint8_t retries)
{
	return (struct ladder_device){.device = device,
				      .scope = scope,
				      .retries = retries,
				      .needs_verify = scope != LADDER_SCOPE_NONE};
}

static void add_level(struct fixture *f, uint32_t deadline_ms, uint8_t count,
		      struct ladder_device a, struct ladder_device b)
{
	struct ladder_level *l = &f->config.level[f->config.level_count++];

	*l = (struct ladder_level){
		.deadline_ms = deadline_ms, .device_count = count, .device = {a, b}};
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->now_ms = 1000;
	f->config = (struct ladder_config){.backoff_base_ms = 1000,
					   .backoff_cap_ms = 8000,
					   .wait_ms = WAIT_MS,
					   .look_ms = LOOK_MS};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static int event(struct fixture *f, struct ladder_event *ev)
{
	uint64_t before = ladder_hash(&f->st);
	int r;

	ev->now_ms = f->now_ms;
	r = ladder_step(&f->st, ev, &f->out);
	if (r) {
		assert_int_equal(f->out.count, 0);
		assert_int_equal(ladder_hash(&f->st), before);
	}
	assert_null(ladder_check(&f->st));
	return r;
}

static int tell(struct fixture *f, enum ladder_event_type type)
{
	struct ladder_event ev = {.type = type};

	return event(f, &ev);
}

static void tick_at(struct fixture *f, uint64_t now_ms)
{
	f->now_ms = now_ms;
	assert_int_equal(tell(f, LADDER_EV_TICK), 0);
}

static void quorum_since(struct fixture *f, bool is_quorate, bool has_victim, uint64_t since_ms)
{
	struct ladder_event ev = {.type = LADDER_EV_QUORUM};

	ev.quorum.is_quorate = is_quorate;
	ev.quorum.has_victim = has_victim;
	ev.quorum.since_ms = since_ms;
	assert_int_equal(event(f, &ev), 0);
}

static void quorum(struct fixture *f, bool is_quorate)
{
	quorum_since(f, is_quorate, false, f->now_ms);
}

static int start_event(struct fixture *f, uint8_t victim, uint8_t asker, uint8_t reason,
		       uint64_t base)
{
	struct ladder_event ev = {.type = LADDER_EV_START};

	ev.start.victim = victim;
	ev.start.incarnation = 7;
	ev.start.asker = asker;
	ev.start.reason = reason;
	ev.start.attempt_base = base;
	return event(f, &ev);
}

/* Idle, then with quorum (victim away since now), started and permitted. */
static void start(struct fixture *f)
{
	assert_int_equal(ladder_init(&f->st, &f->config), 0);
	quorum(f, true);
	assert_int_equal(start_event(f, 3, 0, LADDER_REASON_LOST, BASE), 0);
	if (f->st.is_asked)
		assert_int_equal(tell(f, LADDER_EV_PERMIT), 0);
}

static int done(struct fixture *f, uint64_t attempt, uint16_t device, bool is_ok)
{
	struct ladder_event ev = {.type = LADDER_EV_DEVICE_DONE};

	ev.done.attempt = attempt;
	ev.done.device = device;
	ev.done.is_ok = is_ok;
	ev.done.rc = is_ok ? 0 : 1;
	return event(f, &ev);
}

static int look(struct fixture *f, uint64_t attempt, uint16_t device, enum ladder_power power)
{
	struct ladder_event ev = {.type = LADDER_EV_VERIFY_DONE};

	ev.done.attempt = attempt;
	ev.done.device = device;
	ev.done.power = (uint8_t)power;
	return event(f, &ev);
}

static int seen(struct fixture *f, uint64_t incarnation, bool is_later_boot)
{
	struct ladder_event ev = {.type = LADDER_EV_VICTIM_SEEN};

	ev.seen.incarnation = incarnation;
	ev.seen.is_later_boot = is_later_boot;
	return event(f, &ev);
}

static int word(struct fixture *f, const char *who)
{
	struct ladder_event ev = {.type = LADDER_EV_CONFIRM};

	memcpy(ev.who, who, strnlen(who, sizeof(ev.who)));
	return event(f, &ev);
}

static unsigned int count_of(const struct fixture *f, enum ladder_action_kind kind)
{
	unsigned int n = 0;

	for (uint8_t i = 0; i < f->out.count; i++)
		n += f->out.item[i].kind == kind;
	return n;
}

/* The nth of that kind. */
static const struct ladder_action *nth(const struct fixture *f, enum ladder_action_kind kind,
				       unsigned int n)
{
	for (uint8_t i = 0; i < f->out.count; i++) {
		if (f->out.item[i].kind == kind && n-- == 0)
			return &f->out.item[i];
	}
	fail_msg("there is no such action");
	return NULL;
}

static void expect_run(const struct fixture *f, enum ladder_action_kind kind, unsigned int n,
		       uint16_t device, enum ladder_verb verb)
{
	const struct ladder_action *a = nth(f, kind, n);

	assert_int_equal(a->run.device, device);
	assert_int_equal(a->run.verb, verb);
}

static void expect_note(const struct fixture *f, unsigned int n, uint64_t attempt,
			enum ladder_result result)
{
	const struct ladder_action *a = nth(f, LADDER_ACT_NOTE, n);

	assert_int_equal(a->note.attempt, attempt);
	assert_int_equal(a->note.result, result);
}

static void expect_confirmed(const struct fixture *f, enum ladder_scope scope, enum ladder_how how)
{
	const struct ladder_action *a = nth(f, LADDER_ACT_CONFIRMED, 0);

	assert_int_equal(a->confirmed.scope, scope);
	assert_int_equal(a->confirmed.how, how);
	assert_int_equal(f->st.scope, scope);
}

static void expect_blocked(const struct fixture *f, enum ladder_blocked reason, uint64_t until_ms)
{
	struct ladder_block b;

	ladder_blocked(&f->st, &b);
	assert_int_equal(b.reason, reason);
	assert_int_equal(b.until_ms, until_ms);
}

static const struct ladder_device none;

/* ---- configuration ---- */

static void expect_problem(struct fixture *f, enum ladder_problem_kind kind, uint8_t level)
{
	struct ladder_problem p = {.kind = LADDER_PROBLEM_NONE};

	assert_int_equal(ladder_validate(&f->config, &p), -EINVAL);
	assert_int_equal(p.kind, kind);
	assert_int_equal(p.level, level);
	assert_int_equal(ladder_validate(&f->config, NULL), -EINVAL);
	assert_int_equal(ladder_init(&f->st, &f->config), -EINVAL);
	assert_true(strlen(ladder_problem_text(p.kind)) > 10);
}

static void a_ladder_that_cannot_reach_node_is_refused(void **state)
{
	struct fixture *f = *state;

	expect_problem(f, LADDER_PROBLEM_NO_NODE, LADDER_LEVEL_NONE);
	add_level(f, 1000, 1, dev(1, STORAGE, 0), none);
	add_level(f, 1000, 2, dev(1, STORAGE, 0), dev(2, NODE, 0));
	add_level(f, 1000, 1, dev(3, LADDER_SCOPE_NONE, 0), none);
	expect_problem(f, LADDER_PROBLEM_NO_NODE, LADDER_LEVEL_NONE);
	f->config.time_only = true;
	assert_int_equal(ladder_validate(&f->config, NULL), 0);
	f->config.time_only = false;
	add_level(f, 1000, 1, dev(2, NODE, 0), none);
	assert_int_equal(ladder_validate(&f->config, NULL), 0);
}

static void a_configuration_out_of_range_is_refused_with_the_place(void **state)
{
	struct fixture *f = *state;
	struct ladder_level *l = &f->config.level[1];

	add_level(f, 1000, 1, dev(1, NODE, 0), none);
	add_level(f, 0, 1, dev(1, NODE, 0), none);
	expect_problem(f, LADDER_PROBLEM_DEADLINE, 1);
	l->deadline_ms = 1000;
	l->device_count = 0;
	expect_problem(f, LADDER_PROBLEM_DEVICES, 1);
	l->device_count = 2;
	l->device[1] = dev(1, NODE, 0);
	expect_problem(f, LADDER_PROBLEM_TWICE, 1);
	l->device[1] = dev(2, LADDER_SCOPE_MAX, 0);
	expect_problem(f, LADDER_PROBLEM_VALUE, 1);
	l->device[1] = dev(2, NODE, LADDER_MAX_RETRIES + 1);
	expect_problem(f, LADDER_PROBLEM_RETRIES, 1);
	l->device[1] = dev(2, LADDER_SCOPE_NONE, 0);
	expect_problem(f, LADDER_PROBLEM_MIXED, 1);
	l->device[1].needs_verify = true;
	expect_problem(f, LADDER_PROBLEM_IDLE_LOOK, 1);
	l->device[1] = dev(2, STORAGE, 0);
	l->device[1].method = LADDER_METHOD_REBOOT;
	expect_problem(f, LADDER_PROBLEM_REBOOT, 1);
	l->device_count = 1;
	f->config.backoff_base_ms = 0;
	expect_problem(f, LADDER_PROBLEM_BACKOFF, LADDER_LEVEL_NONE);
	f->config.backoff_base_ms = 1;
	f->config.time_only = true;
	f->config.wait_ms = 0;
	expect_problem(f, LADDER_PROBLEM_WAIT, LADDER_LEVEL_NONE);
	f->config.wait_ms = 1;
	f->config.level_count = LADDER_MAX_LEVELS + 1;
	expect_problem(f, LADDER_PROBLEM_LEVELS, LADDER_LEVEL_NONE);
}

static void a_device_that_nobody_can_look_at_may_claim_nothing(void **state)
{
	struct fixture *f = *state;

	add_level(f, 1000, 1, dev(1, NODE, 0), none);
	f->config.level[0].device[0].needs_verify = false;
	expect_problem(f, LADDER_PROBLEM_UNVERIFIED, 0);
}

/* ---- levels ---- */

static void off_is_sent_then_looked_at_then_confirmed(void **state)
{
	struct fixture *f = *state;

	add_level(f, 10000, 1, dev(5, NODE, 0), none);
	start(f);
	expect_run(f, LADDER_ACT_RUN, 0, 5, LADDER_VERB_OFF);
	assert_int_equal(nth(f, LADDER_ACT_RUN, 0)->run.attempt, BASE);
	assert_int_equal(nth(f, LADDER_ACT_RUN, 0)->run.deadline_ms, 11000);
	assert_int_equal(done(f, BASE, 5, true), 0);
	assert_int_equal(count_of(f, LADDER_ACT_CONFIRMED), 0);
	expect_note(f, 0, BASE, LADDER_RESULT_OK);
	expect_run(f, LADDER_ACT_VERIFY, 0, 5, LADDER_VERB_STATUS);
	assert_int_equal(look(f, BASE + 1, 5, LADDER_POWER_OFF), 0);
	expect_note(f, 0, BASE + 1, LADDER_RESULT_OFF);
	expect_confirmed(f, NODE, LADDER_HOW_DEVICES);
	assert_int_equal(count_of(f, LADDER_ACT_RELEASE), 1);
	assert_int_equal(f->st.phase, LADDER_DONE);
	assert_int_equal(f->out.next_ms, LADDER_NEVER);
}

static void all_devices_of_a_level_are_looked_at_together_after_the_last_success(void **state)
{
	struct fixture *f = *state;

	add_level(f, 10000, 2, dev(1, NODE, 1), dev(2, NODE, 1));
	start(f);
	assert_int_equal(count_of(f, LADDER_ACT_RUN), 2);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(count_of(f, LADDER_ACT_VERIFY), 0);
	assert_int_equal(done(f, BASE + 1, 2, true), 0);
	assert_int_equal(count_of(f, LADDER_ACT_VERIFY), 2);
	assert_int_equal(look(f, BASE + 2, 1, LADDER_POWER_OFF), 0);
	assert_int_equal(count_of(f, LADDER_ACT_CONFIRMED), 0);
	/* The second one lied: it is sent again, and then both are looked at again. */
	assert_int_equal(look(f, BASE + 3, 2, LADDER_POWER_ON), 0);
	expect_note(f, 0, BASE + 3, LADDER_RESULT_ON);
	assert_int_equal(f->out.next_ms, f->now_ms + 1000);
	tick_at(f, f->now_ms + 1000);
	expect_run(f, LADDER_ACT_RUN, 0, 2, LADDER_VERB_OFF);
	assert_int_equal(done(f, BASE + 4, 2, true), 0);
	assert_int_equal(count_of(f, LADDER_ACT_VERIFY), 2);
	assert_int_equal(look(f, BASE + 6, 2, LADDER_POWER_OFF), 0);
	assert_int_equal(look(f, BASE + 5, 1, LADDER_POWER_OFF), 0);
	expect_confirmed(f, NODE, LADDER_HOW_DEVICES);
}

static void a_status_that_cannot_be_read_is_read_again_and_not_taken_for_off(void **state)
{
	struct fixture *f = *state;

	add_level(f, 10000, 2, dev(1, NODE, 1), dev(2, NODE, 1));
	start(f);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(done(f, BASE + 1, 2, true), 0);
	assert_int_equal(look(f, BASE + 2, 1, LADDER_POWER_UNKNOWN), 0);
	/* The look is void: the other's answer would be one of a look that is no more. */
	assert_int_equal(count_of(f, LADDER_ACT_ABORT), 1);
	expect_note(f, 0, BASE + 2, LADDER_RESULT_UNKNOWN);
	expect_note(f, 1, BASE + 3, LADDER_RESULT_ABORTED);
	assert_int_equal(look(f, BASE + 3, 2, LADDER_POWER_OFF), 0);
	expect_note(f, 0, BASE + 3, LADDER_RESULT_LATE);
	tick_at(f, f->now_ms + 1000);
	assert_int_equal(count_of(f, LADDER_ACT_RUN), 0);
	assert_int_equal(count_of(f, LADDER_ACT_VERIFY), 2);
	assert_int_equal(look(f, BASE + 4, 1, LADDER_POWER_UNKNOWN), 0);
	assert_int_equal(f->st.phase, LADDER_PAUSE);
	assert_int_equal(f->st.scope, LADDER_SCOPE_NONE);
}

static void a_device_is_retried_with_back_off_and_then_the_next_level_begins(void **state)
{
	struct fixture *f = *state;

	add_level(f, 60000, 1, dev(1, NODE, 2), none);
	add_level(f, 60000, 1, dev(2, NODE, 0), none);
	start(f);
	assert_int_equal(done(f, BASE, 1, false), 0);
	assert_int_equal(f->out.next_ms, f->now_ms + 1000);
	tick_at(f, f->now_ms + 999);
	assert_int_equal(count_of(f, LADDER_ACT_RUN), 0);
	tick_at(f, f->now_ms + 1);
	expect_run(f, LADDER_ACT_RUN, 0, 1, LADDER_VERB_OFF);
	assert_int_equal(done(f, BASE + 1, 1, false), 0);
	assert_int_equal(f->out.next_ms, f->now_ms + 2000);
	tick_at(f, f->now_ms + 2000);
	assert_int_equal(done(f, BASE + 2, 1, false), 0);
	expect_run(f, LADDER_ACT_RUN, 0, 2, LADDER_VERB_OFF);
	assert_int_equal(f->st.level, 1);
}

static void a_deadline_ends_the_level_and_not_the_fence(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 5), none);
	add_level(f, 5000, 1, dev(2, NODE, 0), none);
	start(f);
	assert_int_equal(f->out.next_ms, 6000);
	tick_at(f, 6000);
	assert_int_equal(nth(f, LADDER_ACT_ABORT, 0)->run.attempt, BASE);
	expect_note(f, 0, BASE, LADDER_RESULT_DEADLINE);
	expect_run(f, LADDER_ACT_RUN, 0, 2, LADDER_VERB_OFF);
	tick_at(f, 11000);
	assert_int_equal(f->st.phase, LADDER_PAUSE);
	assert_int_equal(count_of(f, LADDER_ACT_RELEASE), 1);
	expect_blocked(f, LADDER_BLOCKED_DEVICES, 12000);
	assert_int_equal(nth(f, LADDER_ACT_BLOCKED, 0)->blocked.last.device, 2);
	assert_int_equal(nth(f, LADDER_ACT_BLOCKED, 0)->blocked.last.result,
			 LADDER_RESULT_DEADLINE);
}

static void rounds_go_on_for_ever_with_a_pause_that_grows_to_the_cap(void **state)
{
	static const uint64_t pause[] = {1000, 2000, 4000, 8000, 8000, 8000};
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	start(f);
	for (uint64_t i = 0; i < sizeof(pause) / sizeof(pause[0]); i++) {
		assert_int_equal(done(f, BASE + i, 1, false), 0);
		assert_int_equal(f->st.phase, LADDER_PAUSE);
		assert_int_equal(f->out.next_ms, f->now_ms + pause[i]);
		tick_at(f, f->now_ms + pause[i]);
		assert_int_equal(count_of(f, LADDER_ACT_ASK), 1);
		assert_int_equal(tell(f, LADDER_EV_PERMIT), 0);
		assert_int_equal(count_of(f, LADDER_ACT_RUN), 1);
	}
}

static void a_late_success_of_an_earlier_level_does_not_count(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	start(f);
	tick_at(f, 6000);
	assert_int_equal(done(f, BASE, 1, true), 0);
	expect_note(f, 0, BASE, LADDER_RESULT_LATE);
	assert_int_equal(count_of(f, LADDER_ACT_VERIFY), 0);
	assert_int_equal(f->st.slot[0].state, LADDER_SLOT_RUN);
	/* A look of an earlier fence, before the first attempt of this one. */
	assert_int_equal(look(f, BASE - 1, 1, LADDER_POWER_OFF), 0);
	expect_note(f, 0, BASE - 1, LADDER_RESULT_LATE);
	assert_int_equal(f->st.scope, LADDER_SCOPE_NONE);
}

static void an_answer_that_nobody_asked_for_is_refused(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	start(f);
	assert_int_equal(done(f, BASE + 1, 1, true), -EINVAL);
	assert_int_equal(done(f, 0, 1, true), -EINVAL);
	assert_int_equal(done(f, BASE, 2, true), -EINVAL);
	assert_int_equal(look(f, BASE, 1, LADDER_POWER_OFF), -EINVAL);
	assert_int_equal(look(f, BASE, 1, LADDER_POWER_MAX), -EINVAL);
}

static void storage_is_confirmed_at_once_and_the_ladder_goes_on_to_node(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, STORAGE, 0), none);
	add_level(f, 5000, 1, dev(2, NODE, 0), none);
	start(f);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(look(f, BASE + 1, 1, LADDER_POWER_OFF), 0);
	expect_confirmed(f, STORAGE, LADDER_HOW_DEVICES);
	expect_run(f, LADDER_ACT_RUN, 0, 2, LADDER_VERB_OFF);
	assert_int_equal(count_of(f, LADDER_ACT_RELEASE), 0);
	assert_int_equal(done(f, BASE + 2, 2, false), 0);
	/* The next round begins where there is something left to prove. */
	tick_at(f, f->now_ms + 1000);
	assert_int_equal(tell(f, LADDER_EV_PERMIT), 0);
	expect_run(f, LADDER_ACT_RUN, 0, 2, LADDER_VERB_OFF);
	assert_int_equal(done(f, BASE + 3, 2, true), 0);
	assert_int_equal(look(f, BASE + 4, 2, LADDER_POWER_OFF), 0);
	expect_confirmed(f, NODE, LADDER_HOW_DEVICES);
}

static void a_level_proves_what_its_weakest_device_proves(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 2, dev(1, STORAGE, 0), dev(2, NODE, 0));
	f->config.time_only = true;
	start(f);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(done(f, BASE + 1, 2, true), 0);
	assert_int_equal(look(f, BASE + 2, 1, LADDER_POWER_OFF), 0);
	assert_int_equal(look(f, BASE + 3, 2, LADDER_POWER_OFF), 0);
	expect_confirmed(f, STORAGE, LADDER_HOW_DEVICES);
	assert_int_equal(f->st.phase, LADDER_PAUSE);
	expect_blocked(f, LADDER_BLOCKED_TIME, 1000 + WAIT_MS + LOOK_MS);
}

static void a_poison_pill_proves_nothing_and_the_next_level_begins(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, LADDER_SCOPE_NONE, 0), none);
	add_level(f, 5000, 1, dev(2, NODE, 0), none);
	start(f);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(count_of(f, LADDER_ACT_VERIFY), 0);
	assert_int_equal(count_of(f, LADDER_ACT_CONFIRMED), 0);
	expect_run(f, LADDER_ACT_RUN, 0, 2, LADDER_VERB_OFF);
}

static void reboot_is_off_and_confirmed_before_it_is_on(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 2, dev(1, NODE, 0), dev(2, NODE, 0));
	f->config.level[0].device[0].method = LADDER_METHOD_REBOOT;
	start(f);
	expect_run(f, LADDER_ACT_RUN, 0, 1, LADDER_VERB_OFF);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(done(f, BASE + 1, 2, true), 0);
	assert_int_equal(look(f, BASE + 2, 1, LADDER_POWER_OFF), 0);
	assert_int_equal(look(f, BASE + 3, 2, LADDER_POWER_OFF), 0);
	expect_confirmed(f, NODE, LADDER_HOW_DEVICES);
	assert_int_equal(count_of(f, LADDER_ACT_RUN), 1);
	expect_run(f, LADDER_ACT_RUN, 0, 1, LADDER_VERB_ON);
	assert_int_equal(f->st.phase, LADDER_RESTORE);
	/* It does not come on: that is a line in the history, and the fence stays confirmed. */
	assert_int_equal(done(f, BASE + 4, 1, false), 0);
	expect_note(f, 0, BASE + 4, LADDER_RESULT_FAILED);
	assert_int_equal(nth(f, LADDER_ACT_NOTE, 0)->note.verb, LADDER_VERB_ON);
	assert_int_equal(f->st.phase, LADDER_DONE);
}

static void switching_on_again_has_a_deadline_too(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	f->config.level[0].device[0].method = LADDER_METHOD_REBOOT;
	start(f);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(look(f, BASE + 1, 1, LADDER_POWER_OFF), 0);
	assert_int_equal(f->out.next_ms, 6000);
	tick_at(f, 6000);
	expect_note(f, 0, BASE + 2, LADDER_RESULT_DEADLINE);
	assert_int_equal(f->st.phase, LADDER_DONE);
}

/* ---- quorum ---- */

static void without_quorum_nothing_is_started(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	assert_int_equal(ladder_init(&f->st, &f->config), 0);
	assert_int_equal(start_event(f, 3, 0, LADDER_REASON_LOST, BASE), 0);
	assert_int_equal(count_of(f, LADDER_ACT_ASK), 0);
	expect_blocked(f, LADDER_BLOCKED_QUORUM, LADDER_NEVER);
	tick_at(f, 90000);
	assert_int_equal(f->out.count, 0);
	assert_int_equal(f->out.next_ms, LADDER_NEVER);
	quorum(f, true);
	assert_int_equal(count_of(f, LADDER_ACT_ASK), 1);
	quorum(f, false);
	assert_int_equal(tell(f, LADDER_EV_PERMIT), 0);
	assert_int_equal(count_of(f, LADDER_ACT_RUN), 0);
	quorum(f, true);
	assert_int_equal(count_of(f, LADDER_ACT_RUN), 1);
}

static void a_success_that_arrives_without_quorum_is_looked_at_with_it(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	start(f);
	quorum(f, false);
	assert_int_equal(nth(f, LADDER_ACT_ABORT, 0)->run.attempt, BASE);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(count_of(f, LADDER_ACT_VERIFY), 0);
	tick_at(f, 50000); /* no deadline runs out meanwhile */
	assert_int_equal(f->st.phase, LADDER_LEVEL);
	quorum(f, true);
	assert_int_equal(count_of(f, LADDER_ACT_VERIFY), 1);
	assert_int_equal(f->st.level_end_ms, 55000);
	assert_int_equal(look(f, BASE + 1, 1, LADDER_POWER_OFF), 0);
	expect_confirmed(f, NODE, LADDER_HOW_DEVICES);
}

static void what_was_seen_before_quorum_was_lost_is_looked_at_again(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 2, dev(1, NODE, 0), dev(2, NODE, 0));
	start(f);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(done(f, BASE + 1, 2, true), 0);
	assert_int_equal(look(f, BASE + 2, 1, LADDER_POWER_OFF), 0);
	quorum(f, false);
	expect_note(f, 0, BASE + 3, LADDER_RESULT_ABORTED);
	assert_int_equal(look(f, BASE + 3, 2, LADDER_POWER_OFF), 0);
	expect_note(f, 0, BASE + 3, LADDER_RESULT_LATE);
	quorum(f, true);
	assert_int_equal(count_of(f, LADDER_ACT_CONFIRMED), 0);
	assert_int_equal(count_of(f, LADDER_ACT_VERIFY), 2);
}

static void a_failure_of_our_own_making_costs_no_try(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	start(f);
	quorum(f, false);
	assert_int_equal(done(f, BASE, 1, false), 0);
	quorum(f, true);
	expect_run(f, LADDER_ACT_RUN, 0, 1, LADDER_VERB_OFF);
}

/* ---- time-only ---- */

static void time_only_is_the_last_level_and_counts_from_the_view(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	f->config.time_only = true;
	start(f);
	assert_int_equal(done(f, BASE, 1, false), 0);
	expect_blocked(f, LADDER_BLOCKED_TIME, 1000 + WAIT_MS + LOOK_MS);
	/* Beside it, the devices go on. */
	tick_at(f, 2000);
	assert_int_equal(tell(f, LADDER_EV_PERMIT), 0);
	assert_int_equal(count_of(f, LADDER_ACT_RUN), 1);
	tick_at(f, 1000 + WAIT_MS + LOOK_MS - 1);
	assert_int_equal(count_of(f, LADDER_ACT_CONFIRMED), 0);
	tick_at(f, 1000 + WAIT_MS + LOOK_MS);
	expect_confirmed(f, NODE, LADDER_HOW_TIME);
	assert_int_equal(f->st.phase, LADDER_DONE);
}

static void time_only_waits_its_turn_in_the_first_round(void **state)
{
	struct fixture *f = *state;

	add_level(f, 60000, 1, dev(1, NODE, 0), none);
	f->config.time_only = true;
	start(f);
	tick_at(f, 50000);
	assert_int_equal(count_of(f, LADDER_ACT_CONFIRMED), 0);
	assert_int_equal(done(f, BASE, 1, false), 0);
	expect_confirmed(f, NODE, LADDER_HOW_TIME); /* its time had been out for long */
}

static void time_only_is_not_held_by_the_cap(void **state)
{
	struct fixture *f = *state;

	add_level(f, 60000, 1, dev(1, NODE, 0), none);
	f->config.time_only = true;
	assert_int_equal(ladder_init(&f->st, &f->config), 0);
	quorum(f, true);
	assert_int_equal(start_event(f, 3, 0, LADDER_REASON_LOST, BASE), 0);
	assert_int_equal(f->out.next_ms, 1001);
	tick_at(f, 1001);
	expect_blocked(f, LADDER_BLOCKED_CAP, 1000 + WAIT_MS + LOOK_MS);
	assert_int_equal(f->out.next_ms, 1000 + WAIT_MS + LOOK_MS);
	tick_at(f, 1000 + WAIT_MS + LOOK_MS);
	expect_confirmed(f, NODE, LADDER_HOW_TIME);
	assert_int_equal(count_of(f, LADDER_ACT_RELEASE), 1);
	assert_int_equal(tell(f, LADDER_EV_PERMIT), 0); /* crossed: given back */
	assert_int_equal(count_of(f, LADDER_ACT_RELEASE), 1);
}

static void time_only_is_nothing_without_a_hardware_watchdog(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	start(f);
	assert_int_equal(done(f, BASE, 1, false), 0);
	tick_at(f, 1999);
	assert_int_equal(count_of(f, LADDER_ACT_CONFIRMED), 0);
	expect_blocked(f, LADDER_BLOCKED_DEVICES, 2000);
	f->config.time_only = true;
	f->config.level_count = 0;
}

/* Time-only alone, counting since 1000. */
static void start_time(struct fixture *f)
{
	f->config.time_only = true;
	start(f);
	expect_blocked(f, LADDER_BLOCKED_TIME, 1000 + WAIT_MS + LOOK_MS);
}

static void time_only_starts_again_when_the_victim_was_in_a_view(void **state)
{
	struct fixture *f = *state;

	start_time(f);
	f->now_ms = 10000;
	quorum_since(f, true, true, 10000);
	expect_blocked(f, LADDER_BLOCKED_PRESENT, LADDER_NEVER);
	f->now_ms = 12000;
	quorum_since(f, true, false, 1000); /* no view reaches back over that */
	expect_blocked(f, LADDER_BLOCKED_TIME, 10000 + WAIT_MS + LOOK_MS);
	tick_at(f, 10000 + WAIT_MS + LOOK_MS);
	expect_confirmed(f, NODE, LADDER_HOW_TIME);
}

static void time_only_starts_again_when_quorum_was_lost(void **state)
{
	struct fixture *f = *state;

	start_time(f);
	f->now_ms = 10000;
	quorum(f, false);
	tick_at(f, 90000);
	assert_int_equal(count_of(f, LADDER_ACT_CONFIRMED), 0);
	quorum(f, true);
	expect_blocked(f, LADDER_BLOCKED_TIME, 90000 + WAIT_MS + LOOK_MS);
}

static void a_later_view_restarts_the_count_only_if_the_caller_says_so(void **state)
{
	struct fixture *f = *state;

	start_time(f);
	f->now_ms = 10000;
	quorum_since(f, true, false, 1000);
	expect_blocked(f, LADDER_BLOCKED_TIME, 1000 + WAIT_MS + LOOK_MS);
	quorum_since(f, true, false, 9000);
	expect_blocked(f, LADDER_BLOCKED_TIME, 9000 + WAIT_MS + LOOK_MS);
	quorum_since(f, true, false, 2000);
	expect_blocked(f, LADDER_BLOCKED_TIME, 9000 + WAIT_MS + LOOK_MS);
}

static void a_heartbeat_before_the_end_is_no_matter_and_after_it_starts_again(void **state)
{
	struct fixture *f = *state;

	start_time(f);
	f->now_ms = 1000 + WAIT_MS - 1;
	assert_int_equal(seen(f, 7, false), 0);
	expect_blocked(f, LADDER_BLOCKED_TIME, 1000 + WAIT_MS + LOOK_MS);
	f->now_ms = 1000 + WAIT_MS;
	assert_int_equal(seen(f, 7, false), 0);
	expect_blocked(f, LADDER_BLOCKED_ALIVE, f->now_ms + WAIT_MS + LOOK_MS);
	tick_at(f, f->now_ms + WAIT_MS + LOOK_MS);
	expect_confirmed(f, NODE, LADDER_HOW_TIME);
}

/* ---- the victim, the administrator ---- */

static void a_later_boot_proves_the_end_of_the_earlier_one(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	start(f);
	assert_int_equal(seen(f, 7, true), -EINVAL);
	assert_int_equal(seen(f, 8, true), 0);
	expect_confirmed(f, NODE, LADDER_HOW_BOOT);
	assert_int_equal(nth(f, LADDER_ACT_ABORT, 0)->run.attempt, BASE);
	expect_note(f, 0, BASE, LADDER_RESULT_ABORTED);
	/* The agent ends all the same; nothing follows. */
	assert_int_equal(done(f, BASE, 1, true), 0);
	expect_note(f, 0, BASE, LADDER_RESULT_LATE);
}

static void a_later_boot_seen_without_quorum_confirms_with_it(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	start(f);
	quorum(f, false);
	assert_int_equal(seen(f, 8, true), 0);
	assert_int_equal(count_of(f, LADDER_ACT_CONFIRMED), 0);
	quorum(f, true);
	expect_confirmed(f, NODE, LADDER_HOW_BOOT);
}

static void a_sign_of_life_of_another_incarnation_is_refused(void **state)
{
	struct fixture *f = *state;

	start_time(f);
	assert_int_equal(seen(f, 6, false), -ESTALE);
	assert_int_equal(seen(f, 8, false), -ESTALE);
}

static void a_victim_that_lives_while_it_reads_off_has_a_wrong_plug(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 1), none);
	start(f);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(seen(f, 7, false), 0); /* at the same moment: no contradiction */
	assert_int_equal(count_of(f, LADDER_ACT_NOTE), 0);
	f->now_ms++;
	assert_int_equal(seen(f, 7, false), 0);
	expect_note(f, 0, 0, LADDER_RESULT_CONTRADICTED);
	expect_note(f, 1, BASE + 1, LADDER_RESULT_ABORTED);
	assert_int_equal(look(f, BASE + 1, 1, LADDER_POWER_OFF), 0);
	assert_int_equal(f->st.scope, LADDER_SCOPE_NONE);
	tick_at(f, f->now_ms + 1000);
	assert_int_equal(done(f, BASE + 2, 1, true), 0);
	assert_int_equal(look(f, BASE + 3, 1, LADDER_POWER_OFF), 0);
	expect_confirmed(f, NODE, LADDER_HOW_DEVICES);
	f->now_ms++;
	assert_int_equal(seen(f, 7, false), 0);
	expect_note(f, 0, 0, LADDER_RESULT_CONTRADICTED);
}

static void a_victim_cut_off_from_its_storage_may_live(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, STORAGE, 0), none);
	add_level(f, 5000, 1, dev(2, NODE, 0), none);
	start(f);
	assert_int_equal(done(f, BASE, 1, true), 0);
	f->now_ms++;
	assert_int_equal(seen(f, 7, false), 0);
	assert_int_equal(count_of(f, LADDER_ACT_NOTE), 0);
	assert_int_equal(look(f, BASE + 1, 1, LADDER_POWER_OFF), 0);
	expect_confirmed(f, STORAGE, LADDER_HOW_DEVICES);
}

static void the_administrators_word_confirms_with_quorum(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	start(f);
	assert_int_equal(word(f, ""), -EINVAL);
	quorum(f, false);
	assert_int_equal(word(f, "root"), -EAGAIN);
	quorum_since(f, true, true, 1000);
	assert_int_equal(word(f, "root"), -EBUSY);
	quorum(f, true);
	assert_int_equal(word(f, "root"), 0);
	expect_confirmed(f, NODE, LADDER_HOW_ADMIN);
	assert_string_equal(f->st.who, "root");
	assert_int_equal(word(f, "root"), -EALREADY);
}

/* ---- the rest ---- */

static void a_fence_can_be_cancelled_until_a_device_is_sent_for(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	assert_int_equal(ladder_init(&f->st, &f->config), 0);
	assert_int_equal(tell(f, LADDER_EV_CANCEL), -ESRCH);
	quorum(f, true);
	assert_int_equal(start_event(f, 3, 0, LADDER_REASON_ADMIN, BASE), 0);
	assert_int_equal(tell(f, LADDER_EV_CANCEL), 0);
	assert_int_equal(count_of(f, LADDER_ACT_RELEASE), 1);
	assert_int_equal(f->st.phase, LADDER_CANCELLED);
	assert_int_equal(tell(f, LADDER_EV_CANCEL), -EALREADY);
	start(f);
	assert_int_equal(tell(f, LADDER_EV_CANCEL), -EALREADY);
	assert_int_equal(done(f, BASE, 1, false), 0);
	assert_int_equal(tell(f, LADDER_EV_CANCEL), -EALREADY);
}

static void a_malformed_event_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ladder_event ev = {.type = LADDER_EV_QUORUM};

	add_level(f, 5000, 1, dev(1, NODE, 0), none);
	assert_int_equal(ladder_init(&f->st, &f->config), 0);
	assert_int_equal(tell(f, LADDER_EV_MAX), -EINVAL);
	assert_int_equal(tell(f, LADDER_EV_PERMIT), -ESRCH);
	ev.quorum.since_ms = f->now_ms + 1;
	assert_int_equal(event(f, &ev), -EINVAL);
	assert_int_equal(start_event(f, LADDER_MAX_NODES, 0, LADDER_REASON_LOST, 1), -EINVAL);
	assert_int_equal(start_event(f, 0, LADDER_MAX_NODES, LADDER_REASON_LOST, 1), -EINVAL);
	assert_int_equal(start_event(f, 0, 0, LADDER_REASON_MAX, 1), -EINVAL);
	assert_int_equal(start_event(f, 0, 0, LADDER_REASON_LOST, 0), -EINVAL);
	start(f);
	assert_int_equal(start_event(f, 3, 0, LADDER_REASON_LOST, BASE), -EALREADY);
	f->now_ms--;
	assert_int_equal(tell(f, LADDER_EV_TICK), -EINVAL);
	f->now_ms = UINT64_MAX;
	assert_int_equal(tell(f, LADDER_EV_TICK), -EINVAL);
}

static void who_takes_over_begins_a_new_round_and_trusts_no_look(void **state)
{
	struct fixture *f = *state;

	add_level(f, 5000, 2, dev(1, NODE, 0), dev(2, NODE, 0));
	start(f);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(done(f, BASE + 1, 2, true), 0);
	assert_int_equal(look(f, BASE + 2, 1, LADDER_POWER_OFF), 0);
	f->now_ms = 10; /* another clock */
	assert_int_equal(tell(f, LADDER_EV_RESUMED), 0);
	assert_int_equal(count_of(f, LADDER_ACT_ABORT), 0);
	assert_int_equal(count_of(f, LADDER_ACT_RELEASE), 1);
	expect_note(f, 0, BASE + 3, LADDER_RESULT_ABORTED);
	expect_blocked(f, LADDER_BLOCKED_QUORUM, LADDER_NEVER);
	quorum(f, true);
	assert_int_equal(count_of(f, LADDER_ACT_ASK), 1);
	assert_int_equal(tell(f, LADDER_EV_PERMIT), 0);
	assert_int_equal(count_of(f, LADDER_ACT_RUN), 2);
	assert_int_equal(look(f, BASE + 3, 2, LADDER_POWER_OFF), 0);
	expect_note(f, 0, BASE + 3, LADDER_RESULT_LATE);
	assert_int_equal(tell(f, LADDER_EV_CANCEL), -EALREADY);
}

static void names_are_told_for_every_value_and_for_none(void **state)
{
	(void)state;
	for (uint8_t i = 0; i < LADDER_PHASE_MAX; i++)
		assert_string_not_equal(ladder_phase_name(i), "?");
	for (uint8_t i = 0; i < LADDER_RESULT_MAX; i++)
		assert_string_not_equal(ladder_result_name(i), "?");
	for (uint8_t i = 0; i < LADDER_HOW_MAX; i++)
		assert_string_not_equal(ladder_how_name(i), "?");
	for (uint8_t i = 0; i < LADDER_MUTANT_MAX; i++)
		assert_string_not_equal(ladder_mutant_name(i), "?");
	for (uint8_t i = 0; i < LADDER_PROBLEM_MAX; i++)
		assert_string_not_equal(ladder_problem_text(i), "?");
	assert_string_equal(ladder_phase_name(99), "?");
	assert_string_equal(ladder_problem_text(99), "?");
}

/* ---- snapshot ---- */

/* A ladder in the middle of its work. */
static void start_middle(struct fixture *f)
{
	add_level(f, 5000, 1, dev(1, STORAGE, 1), none);
	add_level(f, 6000, 2, dev(0x1234, NODE, 2), dev(3, NODE, 0));
	f->config.time_only = true;
	start(f);
	assert_int_equal(done(f, BASE, 1, true), 0);
	assert_int_equal(look(f, BASE + 1, 1, LADDER_POWER_OFF), 0);
	f->now_ms += 5;
	assert_int_equal(done(f, BASE + 3, 3, true), 0);
	assert_int_equal(done(f, BASE + 2, 0x1234, false), 0);
}

static void the_snapshot_of_version_1_reads_as_ever(void **state)
{
	/* clang-format off */
	static const uint8_t golden[] = {
		0x4c, 0x41, 0x44, 0x44, 0x01, 0x00, 0x02, 0x88, 0x13, 0x00, 0x00, 0x01,
		0x01, 0x00, 0x01, 0x00, 0x01, 0x01, 0x70, 0x17, 0x00, 0x00, 0x02, 0x34,
		0x12, 0x02, 0x00, 0x02, 0x01, 0x03, 0x00, 0x02, 0x00, 0x00, 0x01, 0xe8,
		0x03, 0x00, 0x00, 0x40, 0x1f, 0x00, 0x00, 0x01, 0xf0, 0x55, 0x00, 0x00,
		0xd0, 0x07, 0x00, 0x00, 0x02, 0x03, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0xed, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0xe8, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x64, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x68, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x01, 0x00, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0xe8, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x01, 0x58, 0x1b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xed, 0x03,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0xe8, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0xd5, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xe8, 0x03, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0xed, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x01, 0x01, 0xe8, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x01, 0x02, 0x34, 0x12, 0x01, 0x00, 0x00, 0x00, 0x00,
	};
	/* clang-format on */
	struct fixture *f = *state;
	uint8_t buf[LADDER_ENCODED_MAX];
	struct ladder_state copy;
	size_t len = 0;

	start_middle(f);
	assert_int_equal(ladder_encode(&f->st, buf, sizeof(buf), &len), 0);
	assert_int_equal(len, sizeof(golden));
	assert_memory_equal(buf, golden, sizeof(golden));
	assert_int_equal(ladder_decode(golden, sizeof(golden), &copy), 0);
	assert_int_equal(ladder_hash(&copy), ladder_hash(&f->st));
	f->st = copy;
	tick_at(f, 1000 + WAIT_MS + LOOK_MS);
	assert_int_equal(f->st.level, 1);
}

static void a_damaged_snapshot_is_refused_or_is_another_valid_state(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[LADDER_ENCODED_MAX], again[LADDER_ENCODED_MAX];
	struct ladder_state copy;
	size_t len = 0, len2 = 0;

	start_middle(f);
	assert_int_equal(ladder_encode(&f->st, buf, 20, &len), -ENOBUFS);
	assert_int_equal(ladder_encode(&f->st, buf, sizeof(buf), &len), 0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(ladder_decode(buf, i, &copy), -EBADMSG);
	assert_int_equal(ladder_decode(buf, len + 1, &copy), -EBADMSG);
	for (size_t i = 0; i < len * 8; i++) {
		buf[i / 8] = (uint8_t)(buf[i / 8] ^ (1u << (i % 8)));
		if (!ladder_decode(buf, len, &copy)) {
			assert_null(ladder_check(&copy));
			assert_int_equal(ladder_encode(&copy, again, sizeof(again), &len2), 0);
			assert_int_equal(len2, len);
			assert_memory_equal(buf, again, len);
		}
		buf[i / 8] = (uint8_t)(buf[i / 8] ^ (1u << (i % 8)));
	}
}

static void the_largest_ladder_fits_its_snapshot(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[LADDER_ENCODED_MAX];
	size_t len = 0;

	for (uint16_t l = 0; l < LADDER_MAX_LEVELS; l++) {
		add_level(f, 1000, LADDER_MAX_DEVICES, dev(1, NODE, 0), dev(2, NODE, 0));
		f->config.level[l].device[2] = dev(3, NODE, 0);
		f->config.level[l].device[3] = dev(4, NODE, 0);
	}
	start(f);
	assert_int_equal(word(f, "012345678901234567890123456789012345678901234567890123456789012"),
			 0);
	assert_int_equal(ladder_encode(&f->st, buf, sizeof(buf), &len), 0);
	assert_true(len < LADDER_ENCODED_MAX);
}

/* ---- the cap ---- */

struct cap {
	struct fence_cap_state st;
	struct fence_cap_actions out;
	uint64_t now_ms;
};

static void cap_init(struct cap *c)
{
	struct fence_cap_config config = FENCE_CAP_CONFIG_INIT;

	memset(c, 0, sizeof(*c));
	c->now_ms = 1000;
	assert_int_equal(fence_cap_init(&c->st, &config), 0);
}

static int cap_event(struct cap *c, enum fence_cap_event_type type, uint8_t victim,
		     uint32_t priority, uint64_t until_ms)
{
	struct fence_cap_event ev = {.type = type,
				     .now_ms = c->now_ms,
				     .victim = victim,
				     .incarnation = 7,
				     .priority = priority,
				     .until_ms = until_ms};
	int r = fence_cap_step(&c->st, &ev, &c->out);

	assert_null(fence_cap_check(&c->st));
	return r;
}

static void cap_ask(struct cap *c, uint8_t victim, uint32_t priority)
{
	assert_int_equal(cap_event(c, FENCE_CAP_EV_ASK, victim, priority, 0), 0);
}

static void cap_done(struct cap *c, uint8_t victim)
{
	assert_int_equal(cap_event(c, FENCE_CAP_EV_DONE, victim, 0, 0), 0);
}

static void cap_permits(const struct cap *c, uint8_t victim)
{
	assert_int_equal(c->out.count, 1);
	assert_int_equal(c->out.permit[0], victim);
}

static void cap_delays(const struct cap *c, enum fence_cap_cause cause, uint64_t ends_ms)
{
	assert_int_equal(c->out.count, 0);
	assert_int_equal(c->out.cause, cause);
	assert_int_equal(c->out.ends_ms, ends_ms);
}

static void one_fence_is_at_work_at_a_time_and_the_highest_priority_is_next(void **state)
{
	struct cap c;

	(void)state;
	cap_init(&c);
	cap_ask(&c, 1, 0);
	cap_permits(&c, 1);
	assert_int_equal(c.out.cause, FENCE_CAP_FREE);
	assert_int_equal(c.out.ends_ms, 0);
	cap_ask(&c, 2, 5);
	cap_delays(&c, FENCE_CAP_ACTIVE, LADDER_NEVER);
	cap_ask(&c, 3, 9);
	cap_ask(&c, 3, 9); /* again: nothing new */
	cap_ask(&c, 4, 9);
	cap_done(&c, 1);
	cap_permits(&c, 3);
	cap_done(&c, 3);
	cap_permits(&c, 4);
}

static void the_fourth_in_a_minute_waits_and_is_told_until_when(void **state)
{
	struct cap c;

	(void)state;
	cap_init(&c);
	for (uint8_t i = 0; i < 3; i++) {
		cap_ask(&c, i, 0);
		cap_permits(&c, i);
		cap_done(&c, i);
		c.now_ms += 1000;
	}
	cap_ask(&c, 3, 0);
	cap_delays(&c, FENCE_CAP_WINDOW, 61000);
	c.now_ms = 60999;
	assert_int_equal(cap_event(&c, FENCE_CAP_EV_TICK, 0, 0, 0), 0);
	cap_delays(&c, FENCE_CAP_WINDOW, 61000);
	c.now_ms = 61000;
	assert_int_equal(cap_event(&c, FENCE_CAP_EV_TICK, 0, 0, 0), 0);
	cap_permits(&c, 3);
}

static void another_round_for_the_same_victim_is_not_counted_twice(void **state)
{
	struct cap c;

	(void)state;
	cap_init(&c);
	for (uint8_t i = 0; i < 3; i++) {
		cap_ask(&c, i, 0);
		cap_done(&c, i);
	}
	cap_ask(&c, 5, 9); /* no room, whatever its priority */
	cap_delays(&c, FENCE_CAP_WINDOW, 61000);
	cap_ask(&c, 1, 0);
	assert_int_equal(c.out.count, 1);
	assert_int_equal(c.out.permit[0], 1);
	assert_int_equal(c.out.cause, FENCE_CAP_ACTIVE);
}

static void disarmed_fences_wait_and_go_when_it_expires(void **state)
{
	struct cap c;

	(void)state;
	cap_init(&c);
	assert_int_equal(cap_event(&c, FENCE_CAP_EV_DISARM, 0, 0, 1000 + 3600001), -ERANGE);
	assert_int_equal(cap_event(&c, FENCE_CAP_EV_DISARM, 0, 0, 5000), 0);
	assert_int_equal(c.out.cause, FENCE_CAP_FREE);
	cap_ask(&c, 1, 0);
	cap_delays(&c, FENCE_CAP_DISARMED, 5000);
	c.now_ms = 5000;
	assert_int_equal(cap_event(&c, FENCE_CAP_EV_TICK, 0, 0, 0), 0);
	cap_permits(&c, 1);
	cap_done(&c, 1);
	assert_int_equal(cap_event(&c, FENCE_CAP_EV_DISARM, 0, 0, 9000), 0);
	cap_ask(&c, 2, 0);
	cap_delays(&c, FENCE_CAP_DISARMED, 9000);
	assert_int_equal(cap_event(&c, FENCE_CAP_EV_DISARM, 0, 0, 0), 0); /* armed again */
	cap_permits(&c, 2);
}

static void the_end_of_an_earlier_incarnations_fence_takes_no_place_away(void **state)
{
	struct fence_cap_event ev = {
		.type = FENCE_CAP_EV_DONE, .now_ms = 1000, .victim = 1, .incarnation = 6};
	struct cap c;

	(void)state;
	cap_init(&c);
	cap_ask(&c, 1, 0);
	assert_int_equal(fence_cap_step(&c.st, &ev, &c.out), 0);
	cap_ask(&c, 2, 0);
	cap_delays(&c, FENCE_CAP_ACTIVE, LADDER_NEVER);
}

static void a_malformed_question_to_the_cap_is_refused(void **state)
{
	struct fence_cap_config config = FENCE_CAP_CONFIG_INIT;
	struct cap c;

	(void)state;
	cap_init(&c);
	assert_int_equal(cap_event(&c, FENCE_CAP_EV_ASK, LADDER_MAX_NODES, 0, 0), -EINVAL);
	assert_int_equal(cap_event(&c, FENCE_CAP_EV_DONE, LADDER_MAX_NODES, 0, 0), -EINVAL);
	assert_int_equal(cap_event(&c, FENCE_CAP_EV_MAX, 0, 0, 0), -EINVAL);
	cap_ask(&c, 1, 0);
	c.now_ms--;
	assert_int_equal(cap_event(&c, FENCE_CAP_EV_TICK, 0, 0, 0), -EINVAL);
	config.max_active = 0;
	assert_int_equal(fence_cap_init(&c.st, &config), -EINVAL);
	config.max_active = 1;
	config.max_starts = FENCE_CAP_MAX_STARTS + 1;
	assert_int_equal(fence_cap_init(&c.st, &config), -EINVAL);
	config.max_starts = 1;
	config.window_ms = 0;
	assert_int_equal(fence_cap_init(&c.st, &config), -EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_ladder_that_cannot_reach_node_is_refused),
		TEST(a_configuration_out_of_range_is_refused_with_the_place),
		TEST(a_device_that_nobody_can_look_at_may_claim_nothing),
		TEST(off_is_sent_then_looked_at_then_confirmed),
		TEST(all_devices_of_a_level_are_looked_at_together_after_the_last_success),
		TEST(a_status_that_cannot_be_read_is_read_again_and_not_taken_for_off),
		TEST(a_device_is_retried_with_back_off_and_then_the_next_level_begins),
		TEST(a_deadline_ends_the_level_and_not_the_fence),
		TEST(rounds_go_on_for_ever_with_a_pause_that_grows_to_the_cap),
		TEST(a_late_success_of_an_earlier_level_does_not_count),
		TEST(an_answer_that_nobody_asked_for_is_refused),
		TEST(storage_is_confirmed_at_once_and_the_ladder_goes_on_to_node),
		TEST(a_level_proves_what_its_weakest_device_proves),
		TEST(a_poison_pill_proves_nothing_and_the_next_level_begins),
		TEST(reboot_is_off_and_confirmed_before_it_is_on),
		TEST(switching_on_again_has_a_deadline_too),
		TEST(without_quorum_nothing_is_started),
		TEST(a_success_that_arrives_without_quorum_is_looked_at_with_it),
		TEST(what_was_seen_before_quorum_was_lost_is_looked_at_again),
		TEST(a_failure_of_our_own_making_costs_no_try),
		TEST(time_only_is_the_last_level_and_counts_from_the_view),
		TEST(time_only_waits_its_turn_in_the_first_round),
		TEST(time_only_is_not_held_by_the_cap),
		TEST(time_only_is_nothing_without_a_hardware_watchdog),
		TEST(time_only_starts_again_when_the_victim_was_in_a_view),
		TEST(time_only_starts_again_when_quorum_was_lost),
		TEST(a_later_view_restarts_the_count_only_if_the_caller_says_so),
		TEST(a_heartbeat_before_the_end_is_no_matter_and_after_it_starts_again),
		TEST(a_later_boot_proves_the_end_of_the_earlier_one),
		TEST(a_later_boot_seen_without_quorum_confirms_with_it),
		TEST(a_sign_of_life_of_another_incarnation_is_refused),
		TEST(a_victim_that_lives_while_it_reads_off_has_a_wrong_plug),
		TEST(a_victim_cut_off_from_its_storage_may_live),
		TEST(the_administrators_word_confirms_with_quorum),
		TEST(a_fence_can_be_cancelled_until_a_device_is_sent_for),
		TEST(a_malformed_event_is_refused),
		TEST(who_takes_over_begins_a_new_round_and_trusts_no_look),
		TEST(names_are_told_for_every_value_and_for_none),
		TEST(the_snapshot_of_version_1_reads_as_ever),
		TEST(a_damaged_snapshot_is_refused_or_is_another_valid_state),
		TEST(the_largest_ladder_fits_its_snapshot),
		TEST(one_fence_is_at_work_at_a_time_and_the_highest_priority_is_next),
		TEST(the_fourth_in_a_minute_waits_and_is_told_until_when),
		TEST(another_round_for_the_same_victim_is_not_counted_twice),
		TEST(disarmed_fences_wait_and_go_when_it_expires),
		TEST(the_end_of_an_earlier_incarnations_fence_takes_no_place_away),
		TEST(a_malformed_question_to_the_cap_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
