/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "tests/conform/conform.h"

#define EVENTS_MAX	 64
#define DEADLINE_SECONDS 60
#define PROBE		 9000 /* cookie of the question that nobody waits behind */

struct party {
	struct lockspace *ls;
	struct lockspace_event events[EVENTS_MAX];
	int count;
	bool is_ready;
};

static struct {
	struct conform_world *world;
	struct party party[CONFORM_PARTIES];
	char name[LK_NAME_MAX];
	unsigned int number; /* of the resource: each has one that nobody used before */
	bool is_late;
} t;

/* ---- events */

static void on_event(void *arg, const struct lockspace_event *ev)
{
	struct party *p = arg;

	if (ev->kind == LOCKSPACE_RESUMED) {
		p->is_ready = true;
	} else if (ev->kind != LOCKSPACE_QUEUED) { /* not every driver knows */
		assert_true(p->count < EVENTS_MAX);
		p->events[p->count++] = *ev;
	}
	qb_loop_stop(t.world->loop);
}

static void on_late(void *arg)
{
	(void)arg;
	t.is_late = true;
	qb_loop_stop(t.world->loop);
}

static void turn(void)
{
	qb_loop_timer_handle timer;

	t.is_late = false;
	assert_int_equal(qb_loop_timer_add(t.world->loop, QB_LOOP_MED,
					   DEADLINE_SECONDS * 1000000000ULL, NULL, on_late, &timer),
			 0);
	qb_loop_run(t.world->loop);
	if (t.is_late)
		fail_msg("nothing came within %d s", DEADLINE_SECONDS);
	qb_loop_timer_del(t.world->loop, timer);
}

static struct lockspace_event take(struct party *p, int at)
{
	struct lockspace_event ev = p->events[at];

	p->count--;
	memmove(&p->events[at], &p->events[at + 1], (size_t)(p->count - at) * sizeof(p->events[0]));
	return ev;
}

static struct lockspace_event next(int party)
{
	while (!t.party[party].count)
		turn();
	return take(&t.party[party], 0);
}

static struct lockspace_event next_of(int party, uint64_t cookie)
{
	struct party *p = &t.party[party];

	for (;;) {
		for (int i = 0; i < p->count; i++)
			if (p->events[i].cookie == cookie)
				return take(p, i);
		turn();
	}
}

/* ---- what parties do */

static struct lockspace_request request(uint64_t cookie, enum lk_mode mode, uint32_t flags)
{
	struct lockspace_request req = {.cookie = cookie, .mode = (uint8_t)mode, .flags = flags};

	req.name_len = (uint8_t)strlen(t.name);
	memcpy(req.name, t.name, req.name_len);
	return req;
}

static void lock_flags(int party, uint64_t cookie, enum lk_mode mode, uint32_t flags)
{
	struct lockspace_request req = request(cookie, mode, flags);

	assert_int_equal(lockspace_lock(t.party[party].ls, &req), 0);
}

static void lock(int party, uint64_t cookie, enum lk_mode mode)
{
	lock_flags(party, cookie, mode, 0);
}

static void convert_flags(int party, uint64_t cookie, enum lk_mode mode, uint32_t flags, int fill)
{
	struct lockspace_request req = request(cookie, mode, flags);

	memset(req.lvb, fill, sizeof(req.lvb));
	assert_int_equal(lockspace_convert(t.party[party].ls, &req), 0);
}

static void convert(int party, uint64_t cookie, enum lk_mode mode)
{
	convert_flags(party, cookie, mode, 0, 0);
}

static void unlock_flags(int party, uint64_t cookie, uint32_t flags, int fill)
{
	struct lockspace_request req = request(cookie, LK_NL, flags);

	memset(req.lvb, fill, sizeof(req.lvb));
	assert_int_equal(lockspace_unlock(t.party[party].ls, &req), 0);
}

static void unlock(int party, uint64_t cookie)
{
	unlock_flags(party, cookie, 0, 0);
}

static void cancel(int party, uint64_t cookie)
{
	assert_int_equal(lockspace_cancel(t.party[party].ls, cookie), 0);
}

/* ---- what must come */

static struct lockspace_event expect(int party, enum lockspace_event_kind kind, uint64_t cookie)
{
	struct lockspace_event ev = next(party);

	if (ev.kind != kind || ev.cookie != cookie)
		fail_msg("party %d: event %d of %llu (mode %s, error %d) instead of %d of %llu",
			 party, (int)ev.kind, (unsigned long long)ev.cookie, lk_mode_name(ev.mode),
			 ev.error, (int)kind, (unsigned long long)cookie);
	return ev;
}

static struct lockspace_event granted(int party, uint64_t cookie, enum lk_mode mode)
{
	struct lockspace_event ev = expect(party, LOCKSPACE_GRANTED, cookie);

	assert_string_equal(lk_mode_name(ev.mode), lk_mode_name((unsigned int)mode));
	return ev;
}

static void denied(int party, uint64_t cookie, int error)
{
	assert_int_equal(expect(party, LOCKSPACE_DENIED, cookie).error, error);
}

static void blocking(int party, uint64_t cookie, enum lk_mode mode)
{
	struct lockspace_event ev = expect(party, LOCKSPACE_BLOCKING, cookie);

	assert_string_equal(lk_mode_name(ev.mode), lk_mode_name((unsigned int)mode));
}

static void unlocked(int party, uint64_t cookie)
{
	expect(party, LOCKSPACE_UNLOCKED, cookie);
}

static void value(const struct lockspace_event *ev, int fill, bool is_valid)
{
	uint8_t want[LK_LVB_BYTES];

	memset(want, fill, sizeof(want));
	assert_true(ev->has_lvb);
	assert_int_equal(ev->lvb_valid, is_valid);
	if (is_valid)
		assert_memory_equal(ev->lvb, want, sizeof(want));
}

static void have(int party, uint64_t cookie, enum lk_mode mode)
{
	lock(party, cookie, mode);
	granted(party, cookie, mode);
}

static void drop(int party, uint64_t cookie)
{
	unlock(party, cookie);
	unlocked(party, cookie);
}

/*
 * Nothing is on its way to anybody. A request that rather fails than waits is answered by the
 * master behind all that the same party asked before; what that caused at others was sent before
 * it. So a round of such requests by all, and a second one, and whatever was to come has come.
 */
static void settle(void)
{
	for (int round = 0; round < 2; round++) {
		for (int p = 0; p < CONFORM_PARTIES; p++) {
			struct lockspace_event ev;

			if (!t.party[p].ls)
				continue;
			lock_flags(p, PROBE, LK_NL, LK_NOQUEUE);
			ev = next_of(p, PROBE);
			if (ev.kind != LOCKSPACE_GRANTED)
				continue;
			unlock(p, PROBE);
			assert_int_equal(next_of(p, PROBE).kind, LOCKSPACE_UNLOCKED);
		}
	}
}

static void quiet(void)
{
	settle();
	for (int p = 0; p < CONFORM_PARTIES; p++)
		if (t.party[p].count)
			fail_msg("party %d: event %d of %llu, and nothing should come", p,
				 (int)t.party[p].events[0].kind,
				 (unsigned long long)t.party[p].events[0].cookie);
}

static void new_resource(void)
{
	snprintf(t.name, sizeof(t.name), "case/%u", ++t.number);
}

/* ---- a party comes and goes */

static void open_party(int party)
{
	struct party *p = &t.party[party];
	struct lockspace_params params = {.loop = t.world->loop, .on_event = on_event, .arg = p};

	*p = (struct party){0};
	assert_int_equal(t.world->open(t.world, party, &params, &p->ls), 0);
	while (!p->is_ready)
		turn();
}

static int setup(void **state)
{
	(void)state;
	new_resource();
	for (int p = 0; p < CONFORM_PARTIES; p++)
		open_party(p);
	return 0;
}

/* A case that failed has left locks: they must not be in the way of the next. */
static int teardown(void **state)
{
	(void)state;
	for (int p = 0; p < CONFORM_PARTIES; p++) {
		t.party[p].ls = lockspace_close(t.party[p].ls);
		t.world->release(t.world, p);
	}
	return 0;
}

/* ---- compatibility */

static void two_locks_share_a_resource_exactly_as_the_matrix_says(void **state)
{
	(void)state;
	for (int a = 0; a < LK_MODE_MAX; a++) {
		for (int b = 0; b < LK_MODE_MAX; b++) {
			bool fits = lk_mode_compatible((enum lk_mode)a, (enum lk_mode)b);

			new_resource();
			have(CONFORM_A, 1, (enum lk_mode)a);
			lock_flags(CONFORM_B, 1, (enum lk_mode)b, LK_NOQUEUE);
			if (!fits) {
				denied(CONFORM_B, 1, -EAGAIN);
			} else {
				granted(CONFORM_B, 1, (enum lk_mode)b);
				drop(CONFORM_B, 1);
			}
			drop(CONFORM_A, 1);
		}
	}
	quiet();
}

static void a_conversion_succeeds_at_once_exactly_if_the_other_holder_allows_it(void **state)
{
	(void)state;
	for (int other = 0; other < LK_MODE_MAX; other++) {
		for (int to = 0; to < LK_MODE_MAX; to++) {
			new_resource();
			have(CONFORM_A, 1, (enum lk_mode)other);
			have(CONFORM_B, 1, LK_NL);
			convert_flags(CONFORM_B, 1, (enum lk_mode)to, LK_NOQUEUE, 0);
			if (lk_mode_compatible((enum lk_mode)other, (enum lk_mode)to))
				granted(CONFORM_B, 1, (enum lk_mode)to);
			else
				denied(CONFORM_B, 1, -EAGAIN);
			drop(CONFORM_B, 1);
			drop(CONFORM_A, 1);
		}
	}
	quiet();
}

/* ---- queues */

static void a_compatible_request_waits_behind_one_that_waits(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_PR);
	lock(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	lock(CONFORM_C, 1, LK_PR);
	quiet();
	drop(CONFORM_A, 1);
	granted(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_B, 1, LK_PR);
	drop(CONFORM_B, 1);
	granted(CONFORM_C, 1, LK_PR);
	drop(CONFORM_C, 1);
}

static void compatible_waiters_are_granted_together_up_to_the_first_that_is_not(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_EX);
	lock(CONFORM_B, 1, LK_PR);
	blocking(CONFORM_A, 1, LK_PR);
	settle();
	lock(CONFORM_C, 1, LK_PR);
	settle();
	lock(CONFORM_B, 2, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	settle();
	lock(CONFORM_C, 2, LK_PR);
	quiet();
	drop(CONFORM_A, 1);
	granted(CONFORM_B, 1, LK_PR);
	granted(CONFORM_C, 1, LK_PR);
	blocking(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_C, 1, LK_EX);
	quiet();
	drop(CONFORM_B, 1);
	drop(CONFORM_C, 1);
	granted(CONFORM_B, 2, LK_EX);
	blocking(CONFORM_B, 2, LK_PR);
	drop(CONFORM_B, 2);
	granted(CONFORM_C, 2, LK_PR);
	drop(CONFORM_C, 2);
}

static void conversions_are_granted_before_requests_that_waited_longer(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_PR);
	have(CONFORM_B, 1, LK_CR);
	lock(CONFORM_C, 1, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	blocking(CONFORM_B, 1, LK_EX);
	convert(CONFORM_B, 1, LK_PW);
	settle();
	quiet();
	drop(CONFORM_A, 1);
	granted(CONFORM_B, 1, LK_PW);
	blocking(CONFORM_B, 1, LK_EX);
	quiet();
	drop(CONFORM_B, 1);
	granted(CONFORM_C, 1, LK_EX);
	drop(CONFORM_C, 1);
}

static void a_conversion_up_waits_its_turn_even_if_it_would_fit(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_PR);
	have(CONFORM_B, 1, LK_NL);
	have(CONFORM_C, 1, LK_NL);
	convert(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	convert(CONFORM_C, 1, LK_PR);
	quiet();
	drop(CONFORM_A, 1);
	granted(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_B, 1, LK_PR);
	convert(CONFORM_B, 1, LK_NL);
	granted(CONFORM_B, 1, LK_NL);
	granted(CONFORM_C, 1, LK_PR);
	drop(CONFORM_B, 1);
	drop(CONFORM_C, 1);
}

static void a_conversion_down_never_waits_and_lets_others_in(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_EX);
	lock(CONFORM_B, 1, LK_PR);
	blocking(CONFORM_A, 1, LK_PR);
	convert(CONFORM_A, 1, LK_PR);
	granted(CONFORM_A, 1, LK_PR);
	granted(CONFORM_B, 1, LK_PR);
	drop(CONFORM_A, 1);
	drop(CONFORM_B, 1);
}

static void a_stream_of_readers_does_not_starve_a_writer(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_PR);
	lock(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	for (uint64_t i = 1; i <= 8; i++)
		lock(CONFORM_C, i, LK_PR);
	quiet();
	drop(CONFORM_A, 1);
	granted(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_B, 1, LK_PR);
	drop(CONFORM_B, 1);
	for (uint64_t i = 1; i <= 8; i++)
		granted(CONFORM_C, i, LK_PR);
	for (uint64_t i = 1; i <= 8; i++)
		drop(CONFORM_C, i);
}

static void the_second_of_two_conversions_that_block_each_other_is_denied(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_PR);
	have(CONFORM_B, 1, LK_PR);
	convert(CONFORM_A, 1, LK_EX);
	blocking(CONFORM_B, 1, LK_EX);
	settle();
	convert(CONFORM_B, 1, LK_EX);
	denied(CONFORM_B, 1, -EDEADLK);
	quiet();
	drop(CONFORM_B, 1);
	granted(CONFORM_A, 1, LK_EX);
	drop(CONFORM_A, 1);
}

/* ---- rather not than wait */

static void a_noqueue_request_does_not_overtake_a_waiter_and_leaves_no_trace(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_PR);
	lock(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	settle();
	lock_flags(CONFORM_C, 1, LK_PR, LK_NOQUEUE);
	denied(CONFORM_C, 1, -EAGAIN);
	drop(CONFORM_A, 1);
	granted(CONFORM_B, 1, LK_EX);
	quiet();
	drop(CONFORM_B, 1);
}

static void a_noqueue_conversion_is_denied_if_it_would_wait_and_keeps_its_mode(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_PR);
	have(CONFORM_B, 1, LK_CR);
	convert_flags(CONFORM_B, 1, LK_EX, LK_NOQUEUE, 0);
	denied(CONFORM_B, 1, -EAGAIN);
	quiet();
	lock(CONFORM_C, 1, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	blocking(CONFORM_B, 1, LK_EX);
	drop(CONFORM_A, 1);
	quiet();
	drop(CONFORM_B, 1);
	granted(CONFORM_C, 1, LK_EX);
	drop(CONFORM_C, 1);
}

/* ---- the value block */

static void a_new_resource_has_a_valid_value_of_zeros(void **state)
{
	struct lockspace_event ev;

	(void)state;
	lock_flags(CONFORM_A, 1, LK_PR, LK_VALBLK);
	ev = granted(CONFORM_A, 1, LK_PR);
	value(&ev, 0, true);
	have(CONFORM_B, 1, LK_CR);
	convert_flags(CONFORM_B, 1, LK_PR, LK_VALBLK, 0x77);
	ev = granted(CONFORM_B, 1, LK_PR);
	value(&ev, 0, true);
	drop(CONFORM_A, 1);
	drop(CONFORM_B, 1);
}

static void read_value(int fill, bool is_valid)
{
	struct lockspace_event ev;

	lock_flags(CONFORM_C, 99, LK_CR, LK_VALBLK);
	ev = granted(CONFORM_C, 99, LK_CR);
	value(&ev, fill, is_valid);
	drop(CONFORM_C, 99);
}

/* B keeps the resource in being. */
static void the_value_is_written_by_an_unlock_from_pw_and_ex_only(void **state)
{
	(void)state;
	have(CONFORM_B, 1, LK_NL);
	for (int m = 0, is = 0; m < LK_MODE_MAX; m++) {
		have(CONFORM_A, 1, (enum lk_mode)m);
		unlock_flags(CONFORM_A, 1, LK_VALBLK, 0x10 + m);
		unlocked(CONFORM_A, 1);
		is = m >= LK_PW ? 0x10 + m : is;
		read_value(is, true);
	}
	have(CONFORM_A, 1, LK_EX);
	drop(CONFORM_A, 1);
	read_value(0x10 + LK_EX, true);
	drop(CONFORM_B, 1);
}

/* Before: 5, written by B, which keeps NL. A goes from one mode to another with 9. */
static void conversion_of_value(enum lk_mode from, enum lk_mode to)
{
	bool is_write = from >= LK_PW && !(from == LK_PW && to == LK_EX);
	bool is_same_or_up = to >= from;
	struct lockspace_event ev;

	new_resource();
	have(CONFORM_B, 1, LK_EX);
	convert_flags(CONFORM_B, 1, LK_NL, LK_VALBLK, 5);
	granted(CONFORM_B, 1, LK_NL);
	have(CONFORM_A, 1, from);
	convert_flags(CONFORM_A, 1, to, LK_VALBLK, 9);
	ev = granted(CONFORM_A, 1, to);
	if (!is_write && is_same_or_up)
		value(&ev, 5, true);
	drop(CONFORM_A, 1);
	read_value(is_write ? 9 : 5, true);
	drop(CONFORM_B, 1);
}

static void conversions_move_the_value_exactly_as_the_table_says(void **state)
{
	(void)state;
	for (int from = 0; from < LK_MODE_MAX; from++)
		for (int to = 0; to < LK_MODE_MAX; to++)
			conversion_of_value((enum lk_mode)from, (enum lk_mode)to);
}

static void a_waiter_granted_by_an_unlock_gets_the_value_written_by_it(void **state)
{
	struct lockspace_event ev;

	(void)state;
	have(CONFORM_A, 1, LK_EX);
	lock_flags(CONFORM_B, 1, LK_PR, LK_VALBLK);
	blocking(CONFORM_A, 1, LK_PR);
	unlock_flags(CONFORM_A, 1, LK_VALBLK, 0x42);
	unlocked(CONFORM_A, 1);
	ev = granted(CONFORM_B, 1, LK_PR);
	value(&ev, 0x42, true);
	drop(CONFORM_B, 1);
}

static void a_conversion_that_waited_gets_the_value_of_the_moment_of_its_grant(void **state)
{
	struct lockspace_event ev;

	(void)state;
	have(CONFORM_A, 1, LK_EX);
	have(CONFORM_B, 1, LK_NL);
	convert_flags(CONFORM_B, 1, LK_PR, LK_VALBLK, 0);
	blocking(CONFORM_A, 1, LK_PR);
	convert_flags(CONFORM_A, 1, LK_NL, LK_VALBLK, 0x43);
	granted(CONFORM_A, 1, LK_NL);
	ev = granted(CONFORM_B, 1, LK_PR);
	value(&ev, 0x43, true);
	drop(CONFORM_A, 1);
	drop(CONFORM_B, 1);
}

static void an_invalid_value_is_valid_again_once_written_and_not_before(void **state)
{
	(void)state;
	have(CONFORM_B, 1, LK_NL);
	have(CONFORM_A, 1, LK_EX);
	convert_flags(CONFORM_A, 1, LK_NL, LK_VALBLK, 0x21);
	granted(CONFORM_A, 1, LK_NL);
	convert(CONFORM_A, 1, LK_PW);
	granted(CONFORM_A, 1, LK_PW);
	convert_flags(CONFORM_A, 1, LK_NL, LK_IVVALBLK, 0);
	granted(CONFORM_A, 1, LK_NL);
	read_value(0, false);
	lock_flags(CONFORM_A, 2, LK_EX, LK_VALBLK);
	assert_false(granted(CONFORM_A, 2, LK_EX).lvb_valid);
	drop(CONFORM_A, 2);
	read_value(0, false);
	have(CONFORM_A, 2, LK_EX);
	unlock_flags(CONFORM_A, 2, LK_VALBLK, 0x22);
	unlocked(CONFORM_A, 2);
	read_value(0x22, true);
	drop(CONFORM_A, 1);
	drop(CONFORM_B, 1);
}

/* ---- who is in the way is told */

static void a_holder_is_told_again_only_of_a_higher_mode(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_EX);
	lock(CONFORM_B, 1, LK_CR);
	blocking(CONFORM_A, 1, LK_CR);
	settle();
	lock(CONFORM_C, 1, LK_CR);
	quiet();
	lock(CONFORM_C, 2, LK_PR);
	blocking(CONFORM_A, 1, LK_PR);
	quiet();
	drop(CONFORM_A, 1);
	granted(CONFORM_B, 1, LK_CR);
	granted(CONFORM_C, 1, LK_CR);
	granted(CONFORM_C, 2, LK_PR);
	drop(CONFORM_B, 1);
	drop(CONFORM_C, 1);
	drop(CONFORM_C, 2);
}

static void a_holder_that_came_down_is_told_again_if_it_is_still_in_the_way(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_EX);
	lock(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	convert(CONFORM_A, 1, LK_PR);
	granted(CONFORM_A, 1, LK_PR);
	blocking(CONFORM_A, 1, LK_EX);
	drop(CONFORM_A, 1);
	granted(CONFORM_B, 1, LK_EX);
	drop(CONFORM_B, 1);
}

static void a_lock_in_nl_is_in_nobodys_way(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_NL);
	have(CONFORM_B, 1, LK_EX);
	quiet();
	drop(CONFORM_A, 1);
	drop(CONFORM_B, 1);
}

/* ---- cancel */

static void a_cancelled_waiter_is_gone_and_the_next_is_granted(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_PR);
	lock(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	lock(CONFORM_C, 1, LK_PR);
	quiet();
	cancel(CONFORM_B, 1);
	denied(CONFORM_B, 1, -ECANCELED);
	granted(CONFORM_C, 1, LK_PR);
	drop(CONFORM_A, 1);
	drop(CONFORM_C, 1);
}

static void a_cancelled_conversion_falls_back_to_the_mode_held(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_PR);
	have(CONFORM_B, 1, LK_CR);
	convert(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	cancel(CONFORM_B, 1);
	denied(CONFORM_B, 1, -ECANCELED);
	lock(CONFORM_C, 1, LK_EX);
	settle();
	assert_int_equal(next_of(CONFORM_B, 1).kind, LOCKSPACE_BLOCKING);
	while (t.party[CONFORM_A].count) /* of the cancelled one it was told, and may be again */
		blocking(CONFORM_A, 1, LK_EX);
	drop(CONFORM_A, 1);
	drop(CONFORM_B, 1);
	granted(CONFORM_C, 1, LK_EX);
	drop(CONFORM_C, 1);
}

static void a_cancel_that_comes_after_the_grant_changes_nothing(void **state)
{
	(void)state;
	have(CONFORM_A, 1, LK_EX);
	cancel(CONFORM_A, 1);
	quiet();
	lock(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	drop(CONFORM_A, 1);
	granted(CONFORM_B, 1, LK_EX);
	drop(CONFORM_B, 1);
}

/* The holder lets go while the waiter gives up: one answer, whichever, and it is the truth. */
static void a_cancel_and_a_grant_that_cross_give_one_answer(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct lockspace_event ev;

		have(CONFORM_A, 1, LK_EX);
		lock(CONFORM_B, 1, LK_EX);
		blocking(CONFORM_A, 1, LK_EX);
		if (i % 2) {
			unlock(CONFORM_A, 1);
			cancel(CONFORM_B, 1);
		} else {
			cancel(CONFORM_B, 1);
			unlock(CONFORM_A, 1);
		}
		unlocked(CONFORM_A, 1);
		ev = next_of(CONFORM_B, 1);
		if (ev.kind == LOCKSPACE_GRANTED) {
			lock_flags(CONFORM_C, 1, LK_CR, LK_NOQUEUE);
			denied(CONFORM_C, 1, -EAGAIN);
			drop(CONFORM_B, 1);
		} else {
			assert_int_equal(ev.kind, LOCKSPACE_DENIED);
			assert_int_equal(ev.error, -ECANCELED);
			have(CONFORM_C, 1, LK_CR);
			drop(CONFORM_C, 1);
		}
		quiet();
	}
}

/* ---- refusals */

static void a_lock_with_a_request_under_way_takes_no_second_one(void **state)
{
	struct lockspace_request req = request(1, LK_PR, 0);

	(void)state;
	have(CONFORM_A, 1, LK_EX);
	lock(CONFORM_B, 1, LK_EX);
	blocking(CONFORM_A, 1, LK_EX);
	assert_int_equal(lockspace_convert(t.party[CONFORM_B].ls, &req), -EBUSY);
	assert_int_equal(lockspace_unlock(t.party[CONFORM_B].ls, &req), -EBUSY);
	drop(CONFORM_A, 1);
	granted(CONFORM_B, 1, LK_EX);
	drop(CONFORM_B, 1);
}

static void nonsense_is_refused_at_once_and_no_event_comes(void **state)
{
	struct lockspace *ls = t.party[CONFORM_A].ls;
	struct lockspace_request req = request(1, LK_MODE_MAX, 0);

	(void)state;
	assert_int_equal(lockspace_lock(ls, &req), -EINVAL);
	req = request(1, LK_EX, 0x80);
	assert_int_equal(lockspace_lock(ls, &req), -EINVAL);
	req = request(1, LK_EX, 0);
	req.name_len = 0;
	assert_int_equal(lockspace_lock(ls, &req), -EINVAL);
	req = request(7, LK_EX, 0);
	assert_int_equal(lockspace_convert(ls, &req), -ENOENT);
	assert_int_equal(lockspace_unlock(ls, &req), -ENOENT);
	assert_int_equal(lockspace_cancel(ls, 7), -ENOENT);
	if (!t.world->has_transfer)
		assert_int_equal(lockspace_transfer(ls, &req, 3), -EOPNOTSUPP);
	quiet();
}

static void names_may_have_any_bytes_and_64_of_them(void **state)
{
	struct lockspace_request req = request(1, LK_EX, 0);

	(void)state;
	req.name_len = LK_NAME_MAX;
	for (int i = 0; i < LK_NAME_MAX; i++)
		req.name[i] = (uint8_t)(255 - i);
	assert_int_equal(lockspace_lock(t.party[CONFORM_A].ls, &req), 0);
	granted(CONFORM_A, 1, LK_EX);
	req.name[LK_NAME_MAX - 1]++;
	assert_int_equal(lockspace_lock(t.party[CONFORM_B].ls, &req), 0);
	granted(CONFORM_B, 1, LK_EX);
	req.cookie = 2;
	req.flags = LK_NOQUEUE;
	assert_int_equal(lockspace_lock(t.party[CONFORM_A].ls, &req), 0);
	denied(CONFORM_A, 2, -EAGAIN);
	drop(CONFORM_A, 1);
	drop(CONFORM_B, 1);
}

/* ---- death */

static void the_locks_of_a_dead_client_stay_until_its_work_is_proven_over(void **state)
{
	struct lockspace_event ev;

	(void)state;
	have(CONFORM_C, 1, LK_NL);
	have(CONFORM_A, 1, LK_EX);
	lock_flags(CONFORM_B, 1, LK_PR, LK_VALBLK);
	blocking(CONFORM_A, 1, LK_PR);
	t.party[CONFORM_A].ls = lockspace_close(t.party[CONFORM_A].ls);
	lock_flags(CONFORM_C, 2, LK_CR, LK_NOQUEUE);
	denied(CONFORM_C, 2, -EAGAIN);
	quiet();
	assert_int_equal(t.world->release(t.world, CONFORM_A), 0);
	ev = granted(CONFORM_B, 1, LK_PR);
	value(&ev, 0, t.world->has_valid_after_release);
	drop(CONFORM_B, 1);
	drop(CONFORM_C, 1);
	open_party(CONFORM_A);
	quiet();
}

static void what_a_dead_client_waited_for_is_given_up_at_once(void **state)
{
	(void)state;
	have(CONFORM_B, 1, LK_PR);
	lock(CONFORM_A, 1, LK_EX);
	blocking(CONFORM_B, 1, LK_EX);
	lock(CONFORM_C, 1, LK_PR);
	quiet();
	t.party[CONFORM_A].ls = lockspace_close(t.party[CONFORM_A].ls);
	granted(CONFORM_C, 1, LK_PR);
	drop(CONFORM_B, 1);
	drop(CONFORM_C, 1);
}

static void a_dead_clients_conversion_is_given_up_and_its_lock_stays(void **state)
{
	(void)state;
	have(CONFORM_B, 1, LK_PR);
	have(CONFORM_A, 1, LK_CR);
	convert(CONFORM_A, 1, LK_EX);
	blocking(CONFORM_B, 1, LK_EX);
	t.party[CONFORM_A].ls = lockspace_close(t.party[CONFORM_A].ls);
	have(CONFORM_C, 1, LK_PR);
	lock_flags(CONFORM_C, 2, LK_EX, LK_NOQUEUE);
	denied(CONFORM_C, 2, -EAGAIN);
	drop(CONFORM_C, 1);
	drop(CONFORM_B, 1);
	lock(CONFORM_C, 1, LK_EX);
	quiet();
	assert_int_equal(t.world->release(t.world, CONFORM_A), 0);
	granted(CONFORM_C, 1, LK_EX);
	drop(CONFORM_C, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int conform_run(struct conform_world *w)
{
	static const struct CMUnitTest cases[] = {
		CASE(two_locks_share_a_resource_exactly_as_the_matrix_says),
		CASE(a_conversion_succeeds_at_once_exactly_if_the_other_holder_allows_it),
		CASE(a_compatible_request_waits_behind_one_that_waits),
		CASE(compatible_waiters_are_granted_together_up_to_the_first_that_is_not),
		CASE(conversions_are_granted_before_requests_that_waited_longer),
		CASE(a_conversion_up_waits_its_turn_even_if_it_would_fit),
		CASE(a_conversion_down_never_waits_and_lets_others_in),
		CASE(a_stream_of_readers_does_not_starve_a_writer),
		CASE(the_second_of_two_conversions_that_block_each_other_is_denied),
		CASE(a_noqueue_request_does_not_overtake_a_waiter_and_leaves_no_trace),
		CASE(a_noqueue_conversion_is_denied_if_it_would_wait_and_keeps_its_mode),
		CASE(a_new_resource_has_a_valid_value_of_zeros),
		CASE(the_value_is_written_by_an_unlock_from_pw_and_ex_only),
		CASE(conversions_move_the_value_exactly_as_the_table_says),
		CASE(a_waiter_granted_by_an_unlock_gets_the_value_written_by_it),
		CASE(a_conversion_that_waited_gets_the_value_of_the_moment_of_its_grant),
		CASE(an_invalid_value_is_valid_again_once_written_and_not_before),
		CASE(a_holder_is_told_again_only_of_a_higher_mode),
		CASE(a_holder_that_came_down_is_told_again_if_it_is_still_in_the_way),
		CASE(a_lock_in_nl_is_in_nobodys_way),
		CASE(a_cancelled_waiter_is_gone_and_the_next_is_granted),
		CASE(a_cancelled_conversion_falls_back_to_the_mode_held),
		CASE(a_cancel_that_comes_after_the_grant_changes_nothing),
		CASE(a_cancel_and_a_grant_that_cross_give_one_answer),
		CASE(a_lock_with_a_request_under_way_takes_no_second_one),
		CASE(nonsense_is_refused_at_once_and_no_event_comes),
		CASE(names_may_have_any_bytes_and_64_of_them),
		CASE(the_locks_of_a_dead_client_stay_until_its_work_is_proven_over),
		CASE(what_a_dead_client_waited_for_is_given_up_at_once),
		CASE(a_dead_clients_conversion_is_given_up_and_its_lock_stays),
	};

	t.world = w;
	return cmocka_run_group_tests_name(w->name, cases, NULL, NULL);
}
