/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lock core by its events: one behaviour a test. What random events find is in sim_lock.c. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "lib/lock_core.h"
#include "lib/lock_core_impl.h"
#include "lib/must.h"
#include "lib/prng.h"

static const struct lk_limits small = {
	.max_sessions = 6,
	.max_resources = 4,
	.max_locks = 12,
	.max_queued = 5,
};

struct fixture {
	struct lk_limits limits;
	struct lk_state st;
	struct lk_actions out;
	size_t size;
	void *mem;
	void *before;
};

static void fixture_init(struct fixture *f, const struct lk_limits *limits)
{
	*f = (struct fixture){.limits = *limits, .size = lk_state_size(limits)};
	f->mem = calloc(1, f->size);
	f->before = calloc(1, f->size);
	f->out.cap = lk_actions_max(limits);
	f->out.items = calloc(f->out.cap, sizeof(*f->out.items));
	assert_true(f->mem && f->before && f->out.items);
	assert_int_equal(lk_state_init(&f->st, f->mem, f->size, limits), 0);
}

static void fixture_done(struct fixture *f)
{
	free(f->mem);
	free(f->before);
	free(f->out.items);
}

/* Sessions 1, 2, 3 of nodes 0, 1, 2, incarnation 7; 4 is another one of node 0. */
static int setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	assert_non_null(f);
	fixture_init(f, &small);
	for (uint64_t s = 1; s <= 4; s++) {
		struct lk_event ev = {.type = LK_EV_OPEN, .session = s, .incarnation = 7};

		ev.node = (uint8_t)((s - 1) % 3);
		assert_int_equal(lk_step(&f->st, &ev, &f->out), 0);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_done(*state);
	free(*state);
	return 0;
}

/* A step after which every invariant holds, and which changed nothing if it was refused. */
static int step(struct fixture *f, const struct lk_event *ev)
{
	int r;

	memcpy(f->before, f->mem, f->size);
	r = lk_step(&f->st, ev, &f->out);
	assert_null(lk_check(&f->st));
	assert_true((r == 0) == (f->out.refusal == LK_REFUSED_NONE));
	if (r) {
		assert_int_equal(f->out.count, 0);
		assert_memory_equal(f->before, f->mem, f->size);
	}
	return r;
}

static struct lk_event event(enum lk_event_type type, uint64_t session, const char *name)
{
	struct lk_event ev = {.type = type, .session = session};

	ev.name_len = (uint8_t)strlen(name);
	memcpy(ev.name, name, ev.name_len);
	return ev;
}

/* The cookie of every lock is 1000 + its session. Returns the lock id, 0 if it was denied. */
static uint64_t lock_flags(struct fixture *f, uint64_t session, const char *name, enum lk_mode mode,
			   uint32_t flags)
{
	struct lk_event ev = event(LK_EV_LOCK, session, name);

	ev.mode = (uint8_t)mode;
	ev.flags = flags;
	ev.cookie = 1000 + session;
	assert_int_equal(step(f, &ev), 0);
	assert_true(f->out.count > 0);
	return f->out.items[0].lock_id;
}

static uint64_t lock(struct fixture *f, uint64_t session, const char *name, enum lk_mode mode)
{
	return lock_flags(f, session, name, mode, 0);
}

/* An event on a lock, by its owner. The value block is `fill`, if it is written. */
static int on_lock(struct fixture *f, enum lk_event_type type, uint64_t id, enum lk_mode mode,
		   uint32_t flags, int fill)
{
	struct lk_lock_info info;
	struct lk_event ev = {.type = type, .lock_id = id, .mode = (uint8_t)mode};

	assert_int_equal(lk_lock_get(&f->st, id, &info), 0);
	ev.session = info.session.id;
	ev.flags = flags;
	memset(ev.lvb, fill, LK_LVB_BYTES);
	return step(f, &ev);
}

static int convert(struct fixture *f, uint64_t id, enum lk_mode mode)
{
	return on_lock(f, LK_EV_CONVERT, id, mode, 0, 0);
}

static int unlock(struct fixture *f, uint64_t id)
{
	return on_lock(f, LK_EV_UNLOCK, id, LK_NL, 0, 0);
}

static int cancel(struct fixture *f, uint64_t id)
{
	return on_lock(f, LK_EV_CANCEL, id, LK_NL, 0, 0);
}

static int of_session(struct fixture *f, enum lk_event_type type, uint64_t session, uint64_t peer)
{
	struct lk_event ev = {.type = type, .session = session, .peer = peer};

	return step(f, &ev);
}

static int release_matching(struct fixture *f, uint8_t node, uint64_t incarnation,
			    const char *prefix, uint32_t flags)
{
	struct lk_event ev = event(LK_EV_RELEASE_MATCHING, 0, prefix);

	ev.node = node;
	ev.incarnation = incarnation;
	ev.flags = flags;
	return step(f, &ev);
}

static int transfer(struct fixture *f, const char *name, uint64_t from, uint64_t to)
{
	struct lk_event ev = event(LK_EV_TRANSFER, from, name);

	ev.peer = to;
	ev.cookie = 1000 + to;
	return step(f, &ev);
}

/* Action number i of the last step. */
static void expect(const struct fixture *f, uint32_t i, enum lk_action_kind kind, uint64_t id,
		   enum lk_mode mode)
{
	assert_true(i < f->out.count);
	assert_string_equal(lk_action_name((unsigned int)f->out.items[i].kind),
			    lk_action_name((unsigned int)kind));
	assert_int_equal(f->out.items[i].lock_id, id);
	assert_string_equal(lk_mode_name(f->out.items[i].mode), lk_mode_name((unsigned int)mode));
}

static void expect_count(const struct fixture *f, uint32_t n)
{
	assert_int_equal(f->out.count, n);
}

static void expect_denied(const struct fixture *f, uint32_t i, uint64_t id, int error)
{
	assert_true(i < f->out.count);
	assert_int_equal(f->out.items[i].kind, LK_DO_DENIED);
	assert_int_equal(f->out.items[i].lock_id, id);
	assert_int_equal(f->out.items[i].error, error);
}

/* The value block in action i: all bytes `fill`; -1: none was returned. */
static void expect_lvb(const struct fixture *f, uint32_t i, int fill, bool is_valid)
{
	const struct lk_action *a = &f->out.items[i];
	uint8_t bytes[LK_LVB_BYTES];

	assert_true(i < f->out.count);
	assert_int_equal(a->has_lvb, fill >= 0);
	if (fill < 0)
		return;
	memset(bytes, fill, sizeof(bytes));
	assert_memory_equal(a->lvb, bytes, LK_LVB_BYTES);
	assert_int_equal(a->lvb_valid, is_valid);
}

static struct lk_lock_info info_of(const struct fixture *f, uint64_t id)
{
	struct lk_lock_info info;

	assert_int_equal(lk_lock_get(&f->st, id, &info), 0);
	return info;
}

static bool has_session(const struct fixture *f, uint64_t id)
{
	struct lk_session_info info;

	return lk_session_get(&f->st, id, &info) == 0;
}

static void expect_refused(const struct fixture *f, int r, int error, enum lk_refusal why)
{
	assert_int_equal(r, error);
	assert_string_equal(lk_refusal_words((unsigned int)f->out.refusal),
			    lk_refusal_words((unsigned int)why));
}

/* ---- modes ---- */

static const char matrix[LK_MODE_MAX][LK_MODE_MAX + 1] = {
	"yyyyyy", "yyyyyn", "yyynnn", "yynynn", "yynnnn", "ynnnnn",
};

static void two_locks_share_a_resource_exactly_as_the_matrix_says(void **state)
{
	struct fixture *f = *state;

	for (enum lk_mode a = LK_NL; a < LK_MODE_MAX; a++) {
		for (enum lk_mode b = LK_NL; b < LK_MODE_MAX; b++) {
			bool is_compatible = matrix[a][b] == 'y';
			uint64_t first = lock(f, 1, "r", a);
			uint64_t second = lock_flags(f, 2, "r", b, LK_NOQUEUE);

			assert_int_equal(lk_mode_compatible(a, b), is_compatible);
			assert_int_equal(second != 0, is_compatible);
			if (second)
				assert_int_equal(unlock(f, second), 0);
			second = lock(f, 2, "r", b);
			expect(f, 0, is_compatible ? LK_DO_GRANTED : LK_DO_QUEUED, second, b);
			assert_int_equal(unlock(f, first), 0);
			assert_int_equal(info_of(f, second).queue, LK_QUEUE_GRANTED);
			assert_int_equal(unlock(f, second), 0);
		}
	}
}

static void a_conversion_succeeds_at_once_exactly_if_the_other_holder_allows_it(void **state)
{
	struct fixture *f = *state;

	for (enum lk_mode other = LK_NL; other < LK_MODE_MAX; other++) {
		for (enum lk_mode from = LK_NL; from < LK_MODE_MAX; from++) {
			if (matrix[other][from] == 'n')
				continue;
			for (enum lk_mode to = LK_NL; to < LK_MODE_MAX; to++) {
				uint64_t a = lock(f, 1, "r", other);
				uint64_t b = lock(f, 2, "r", from);

				assert_int_equal(convert(f, b, to), 0);
				expect(f, 0,
				       matrix[other][to] == 'y' ? LK_DO_GRANTED : LK_DO_QUEUED, b,
				       to);
				assert_int_equal(unlock(f, a), 0);
				assert_int_equal(info_of(f, b).granted, to);
				assert_int_equal(unlock(f, b), 0);
			}
		}
	}
}

static void words_exist_for_every_enum_value_and_for_none_beyond(void **state)
{
	(void)state;
	assert_string_equal(lk_mode_name(LK_NL), "NL");
	assert_string_equal(lk_mode_name(LK_EX), "EX");
	assert_string_equal(lk_mode_name(LK_MODE_MAX), "?");
	assert_string_equal(lk_event_name(LK_EV_TRANSFER), "TRANSFER");
	assert_string_equal(lk_event_name(LK_EV_MAX), "?");
	assert_string_equal(lk_action_name(LK_DO_BLOCKING), "BLOCKING");
	assert_string_equal(lk_action_name(LK_DO_MAX), "?");
	assert_string_equal(lk_refusal_words(LK_REFUSED_NO_LOCK), "no such lock");
	assert_string_equal(lk_refusal_words(LK_REFUSAL_MAX), "?");
}

/* ---- order ---- */

static void a_compatible_request_waits_behind_one_that_waits(void **state)
{
	struct fixture *f = *state;
	uint64_t reader = lock(f, 1, "r", LK_PR);
	uint64_t writer = lock(f, 2, "r", LK_EX);
	uint64_t second_reader = lock(f, 3, "r", LK_PR);

	expect(f, 0, LK_DO_QUEUED, second_reader, LK_PR);
	assert_int_equal(unlock(f, reader), 0);
	expect(f, 1, LK_DO_GRANTED, writer, LK_EX);
	assert_int_equal(info_of(f, second_reader).queue, LK_QUEUE_WAITING);
}

static void compatible_waiters_are_granted_together_up_to_the_first_that_is_not(void **state)
{
	struct fixture *f = *state;
	uint64_t writer = lock(f, 1, "r", LK_EX);
	uint64_t a = lock(f, 2, "r", LK_PR);
	uint64_t b = lock(f, 3, "r", LK_CR);
	uint64_t c = lock(f, 2, "r", LK_PW);
	uint64_t d = lock(f, 3, "r", LK_PR);

	assert_int_equal(unlock(f, writer), 0);
	expect(f, 0, LK_DO_UNLOCKED, writer, LK_EX);
	expect(f, 1, LK_DO_GRANTED, a, LK_PR);
	expect(f, 2, LK_DO_GRANTED, b, LK_CR);
	expect(f, 3, LK_DO_BLOCKING, a, LK_PW);
	expect_count(f, 4);
	assert_int_equal(info_of(f, c).queue, LK_QUEUE_WAITING);
	assert_int_equal(info_of(f, d).queue, LK_QUEUE_WAITING);
}

static void conversions_are_granted_before_requests_that_waited_longer(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_PR);
	uint64_t b = lock(f, 2, "r", LK_PR);
	uint64_t waiter = lock(f, 3, "r", LK_EX);

	assert_int_equal(convert(f, a, LK_EX), 0);
	expect(f, 0, LK_DO_QUEUED, a, LK_EX);
	assert_int_equal(unlock(f, b), 0);
	expect(f, 1, LK_DO_GRANTED, a, LK_EX);
	assert_int_equal(info_of(f, waiter).queue, LK_QUEUE_WAITING);
}

static void a_waiter_that_would_fit_waits_while_a_conversion_is_blocked(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_CR);
	uint64_t b = lock(f, 2, "r", LK_CW);
	uint64_t c;

	assert_int_equal(convert(f, a, LK_PR), 0);
	c = lock(f, 3, "r", LK_CW);
	expect(f, 0, LK_DO_QUEUED, c, LK_CW);
	assert_int_equal(unlock(f, b), 0);
	expect(f, 1, LK_DO_GRANTED, a, LK_PR);
	assert_int_equal(info_of(f, c).queue, LK_QUEUE_WAITING);
}

static void a_conversion_up_waits_its_turn_even_if_it_would_fit(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_CR);
	uint64_t b = lock(f, 2, "r", LK_PR);
	uint64_t c = lock(f, 3, "r", LK_NL);

	assert_int_equal(convert(f, a, LK_CW), 0);
	assert_int_equal(convert(f, c, LK_PR), 0);
	expect(f, 0, LK_DO_QUEUED, c, LK_PR);
	assert_int_equal(unlock(f, b), 0);
	expect(f, 1, LK_DO_GRANTED, a, LK_CW);
	assert_int_equal(info_of(f, c).queue, LK_QUEUE_CONVERTING);
	assert_int_equal(unlock(f, a), 0);
	expect(f, 1, LK_DO_GRANTED, c, LK_PR);
}

static void a_conversion_down_never_waits_and_lets_others_in(void **state)
{
	struct fixture *f = *state;
	uint64_t writer = lock(f, 1, "r", LK_PW);
	uint64_t other = lock(f, 2, "r", LK_CR);
	uint64_t reader = lock(f, 3, "r", LK_PR);

	assert_int_equal(convert(f, other, LK_CW), 0);
	expect(f, 0, LK_DO_QUEUED, other, LK_CW);
	assert_int_equal(convert(f, writer, LK_NL), 0);
	expect(f, 0, LK_DO_GRANTED, writer, LK_NL);
	expect(f, 1, LK_DO_GRANTED, other, LK_CW);
	assert_int_equal(info_of(f, reader).queue, LK_QUEUE_WAITING);
}

static void compatible_conversions_are_granted_together(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_NL);
	uint64_t b = lock(f, 2, "r", LK_CR);
	uint64_t c = lock(f, 3, "r", LK_CW);

	assert_int_equal(convert(f, a, LK_PR), 0);
	assert_int_equal(convert(f, b, LK_PR), 0);
	assert_int_equal(unlock(f, c), 0);
	expect(f, 1, LK_DO_GRANTED, a, LK_PR);
	expect(f, 2, LK_DO_GRANTED, b, LK_PR);
	expect_count(f, 3);
}

static void a_stream_of_readers_does_not_starve_a_writer(void **state)
{
	struct fixture *f = *state;
	uint64_t reader = lock(f, 1, "r", LK_PR);
	uint64_t writer = lock(f, 2, "r", LK_EX);

	for (int i = 0; i < 3; i++) {
		uint64_t next = lock(f, 3, "r", LK_PR);

		expect(f, 0, LK_DO_QUEUED, next, LK_PR);
	}
	assert_int_equal(unlock(f, reader), 0);
	expect(f, 1, LK_DO_GRANTED, writer, LK_EX);
}

/* ---- deadlock ---- */

static void the_second_of_two_conversions_that_block_each_other_is_denied(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_PR);
	uint64_t b = lock(f, 2, "r", LK_PR);
	uint64_t hash;

	assert_int_equal(convert(f, a, LK_EX), 0);
	hash = lk_hash(&f->st);
	assert_int_equal(convert(f, b, LK_EX), 0);
	expect_denied(f, 0, b, -EDEADLK);
	expect_count(f, 1);
	assert_int_equal(lk_hash(&f->st), hash);
	assert_int_equal(info_of(f, b).granted, LK_PR);
	assert_int_equal(unlock(f, b), 0);
	expect(f, 1, LK_DO_GRANTED, a, LK_EX);
}

static void two_conversions_that_do_not_block_each_other_both_wait(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_NL);
	uint64_t b = lock(f, 2, "r", LK_NL);
	uint64_t holder = lock(f, 3, "r", LK_EX);

	assert_int_equal(convert(f, a, LK_EX), 0);
	assert_int_equal(convert(f, b, LK_EX), 0);
	expect(f, 0, LK_DO_QUEUED, b, LK_EX);
	assert_int_equal(unlock(f, holder), 0);
	expect(f, 1, LK_DO_GRANTED, a, LK_EX);
	assert_int_equal(unlock(f, a), 0);
	expect(f, 1, LK_DO_GRANTED, b, LK_EX);
}

static void a_conversion_is_denied_for_a_circle_with_any_in_the_queue(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_NL);
	uint64_t b = lock(f, 2, "r", LK_NL);
	uint64_t c = lock(f, 4, "r", LK_CR);

	lock(f, 3, "r", LK_CW);
	assert_int_equal(convert(f, a, LK_PR), 0);
	assert_int_equal(convert(f, b, LK_EX), 0);
	assert_int_equal(convert(f, c, LK_PW), 0);
	expect_denied(f, 0, c, -EDEADLK);
}

/* ---- NOQUEUE ---- */

static void a_noqueue_request_is_denied_if_it_would_wait_and_leaves_no_trace(void **state)
{
	struct fixture *f = *state;
	uint64_t hash;

	lock(f, 1, "r", LK_PR);
	hash = lk_hash(&f->st);
	assert_int_equal(lock_flags(f, 2, "r", LK_EX, LK_NOQUEUE), 0);
	expect_denied(f, 0, 0, -EAGAIN);
	assert_int_equal(f->out.items[0].cookie, 1002);
	expect_count(f, 1);
	assert_int_equal(lk_hash(&f->st), hash);
}

static void a_noqueue_request_does_not_overtake_a_waiter(void **state)
{
	struct fixture *f = *state;

	lock(f, 1, "r", LK_PR);
	lock(f, 2, "r", LK_EX);
	assert_int_equal(lock_flags(f, 3, "r", LK_PR, LK_NOQUEUE), 0);
	expect_denied(f, 0, 0, -EAGAIN);
}

static void a_noqueue_conversion_is_denied_if_it_would_wait_and_keeps_its_mode(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_PR);

	lock(f, 2, "r", LK_PR);
	assert_int_equal(on_lock(f, LK_EV_CONVERT, a, LK_EX, LK_NOQUEUE, 0), 0);
	expect_denied(f, 0, a, -EAGAIN);
	assert_int_equal(info_of(f, a).granted, LK_PR);
	assert_int_equal(info_of(f, a).queue, LK_QUEUE_GRANTED);
}

/* ---- value block ---- */

static void a_new_resource_has_a_valid_value_of_zeros(void **state)
{
	struct fixture *f = *state;

	lock_flags(f, 1, "r", LK_NL, LK_VALBLK);
	expect_lvb(f, 0, 0, true);
}

static void the_value_is_returned_only_if_asked_for(void **state)
{
	struct fixture *f = *state;

	lock(f, 1, "r", LK_NL);
	expect_lvb(f, 0, -1, false);
}

static void conversions_move_the_value_exactly_as_the_table_says(void **state)
{
	static const char moves[LK_MODE_MAX][LK_MODE_MAX + 1] = {
		"rrrrrr", "-rrrrr", "--rrrr", "---rrr", "wwwwwr", "wwwwww",
	};
	struct fixture *f = *state;

	for (enum lk_mode from = LK_NL; from < LK_MODE_MAX; from++) {
		for (enum lk_mode to = LK_NL; to < LK_MODE_MAX; to++) {
			uint64_t keeper = lock(f, 2, "r", LK_NL);
			uint64_t id = lock(f, 1, "r", LK_EX);

			assert_int_equal(on_lock(f, LK_EV_CONVERT, id, LK_NL, LK_VALBLK, 'a'), 0);
			assert_int_equal(convert(f, id, from), 0);
			assert_int_equal(on_lock(f, LK_EV_CONVERT, id, to, LK_VALBLK, 'b'), 0);
			expect(f, 0, LK_DO_GRANTED, id, to);
			expect_lvb(f, 0, moves[from][to] == 'r' ? 'a' : -1, true);
			assert_int_equal(info_of(f, keeper).lvb[0],
					 moves[from][to] == 'w' ? 'b' : 'a');
			assert_int_equal(unlock(f, id), 0);
			assert_int_equal(unlock(f, keeper), 0);
		}
	}
}

static void an_unlock_writes_the_value_from_pw_and_ex_only(void **state)
{
	struct fixture *f = *state;

	for (enum lk_mode mode = LK_NL; mode < LK_MODE_MAX; mode++) {
		uint64_t keeper = lock(f, 2, "r", LK_NL);
		uint64_t id = lock(f, 1, "r", mode);

		assert_int_equal(on_lock(f, LK_EV_UNLOCK, id, LK_NL, LK_VALBLK, 'x'), 0);
		assert_int_equal(info_of(f, keeper).lvb[31], mode >= LK_PW ? 'x' : 0);
		assert_int_equal(unlock(f, keeper), 0);
	}
}

static void a_writer_without_valblk_leaves_the_value_as_it_was(void **state)
{
	struct fixture *f = *state;
	uint64_t keeper = lock(f, 2, "r", LK_NL);
	uint64_t id = lock(f, 1, "r", LK_EX);

	assert_int_equal(on_lock(f, LK_EV_CONVERT, id, LK_PR, 0, 'x'), 0);
	assert_int_equal(info_of(f, keeper).lvb[0], 0);
	assert_int_equal(on_lock(f, LK_EV_CONVERT, id, LK_EX, 0, 'x'), 0);
	assert_int_equal(on_lock(f, LK_EV_UNLOCK, id, LK_NL, 0, 'x'), 0);
	assert_int_equal(info_of(f, keeper).lvb[0], 0);
}

static void a_waiter_granted_by_an_unlock_gets_the_value_written_by_it(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_EX);
	uint64_t b = lock_flags(f, 2, "r", LK_PR, LK_VALBLK);

	assert_int_equal(on_lock(f, LK_EV_UNLOCK, a, LK_NL, LK_VALBLK, 'v'), 0);
	expect(f, 1, LK_DO_GRANTED, b, LK_PR);
	expect_lvb(f, 1, 'v', true);
}

static void a_conversion_that_waited_gets_the_value_of_the_moment_of_its_grant(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_PW);
	uint64_t b = lock(f, 2, "r", LK_CR);

	assert_int_equal(on_lock(f, LK_EV_CONVERT, b, LK_PR, LK_VALBLK, 'n'), 0);
	expect_lvb(f, 0, -1, false);
	assert_int_equal(on_lock(f, LK_EV_CONVERT, a, LK_CR, LK_VALBLK, 'v'), 0);
	expect(f, 1, LK_DO_GRANTED, b, LK_PR);
	expect_lvb(f, 1, 'v', true);
}

static void the_death_of_a_pw_or_ex_holder_makes_the_value_invalid(void **state)
{
	struct fixture *f = *state;

	for (enum lk_mode mode = LK_NL; mode < LK_MODE_MAX; mode++) {
		uint64_t keeper = lock(f, 2, "r", LK_NL);

		lock(f, 1, "r", mode);
		assert_int_equal(of_session(f, LK_EV_ORPHAN, 1, 0), 0);
		assert_true(info_of(f, keeper).lvb_valid);
		assert_int_equal(of_session(f, LK_EV_RELEASE, 1, 0), 0);
		assert_int_equal(info_of(f, keeper).lvb_valid, mode < LK_PW);
		lock_flags(f, 2, "r", LK_PR, LK_VALBLK);
		expect_lvb(f, 0, 0, mode < LK_PW);
		assert_int_equal(unlock(f, f->out.items[0].lock_id), 0);
		assert_int_equal(unlock(f, keeper), 0);
		assert_int_equal(of_session(f, LK_EV_OPEN, 1, 0), 0);
	}
}

static void an_invalid_value_is_valid_again_once_written(void **state)
{
	struct fixture *f = *state;
	uint64_t keeper = lock(f, 2, "r", LK_NL);
	uint64_t id = lock(f, 1, "r", LK_EX);

	assert_int_equal(on_lock(f, LK_EV_CONVERT, id, LK_EX, LK_IVVALBLK, 'x'), 0);
	assert_false(info_of(f, keeper).lvb_valid);
	assert_int_equal(info_of(f, keeper).lvb[0], 0);
	assert_int_equal(on_lock(f, LK_EV_UNLOCK, id, LK_NL, LK_VALBLK, 'y'), 0);
	assert_true(info_of(f, keeper).lvb_valid);
	assert_int_equal(info_of(f, keeper).lvb[0], 'y');
}

static void the_value_is_forgotten_with_the_last_lock(void **state)
{
	struct fixture *f = *state;
	uint64_t id = lock(f, 1, "r", LK_EX);

	assert_int_equal(on_lock(f, LK_EV_UNLOCK, id, LK_NL, LK_VALBLK, 'x'), 0);
	lock_flags(f, 1, "r", LK_NL, LK_VALBLK);
	expect_lvb(f, 0, 0, true);
}

/* ---- blocking ASTs ---- */

static void holders_in_the_way_are_told_in_the_order_of_their_grants(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 3, "r", LK_PR);
	uint64_t b = lock(f, 1, "r", LK_CR);
	uint64_t c = lock(f, 2, "r", LK_PR);
	uint64_t d = lock(f, 4, "r", LK_PW);

	expect(f, 0, LK_DO_QUEUED, d, LK_PW);
	expect(f, 1, LK_DO_BLOCKING, a, LK_PW);
	expect(f, 2, LK_DO_BLOCKING, c, LK_PW);
	expect_count(f, 3);
	assert_int_equal(f->out.items[1].session, 3);
	assert_int_equal(f->out.items[1].cookie, 1003);
	assert_int_equal(info_of(f, b).told, LK_NL);
}

static void a_holder_is_told_again_only_of_a_higher_mode(void **state)
{
	struct fixture *f = *state;
	uint64_t holder = lock(f, 1, "r", LK_PW);

	lock(f, 2, "r", LK_PR);
	expect(f, 1, LK_DO_BLOCKING, holder, LK_PR);
	lock(f, 3, "r", LK_CW);
	expect_count(f, 1);
	lock(f, 3, "r", LK_EX);
	expect(f, 1, LK_DO_BLOCKING, holder, LK_EX);
	lock(f, 4, "r", LK_EX);
	expect_count(f, 1);
}

static void a_holder_that_came_down_is_told_again_if_it_is_still_in_the_way(void **state)
{
	struct fixture *f = *state;
	uint64_t holder = lock(f, 1, "r", LK_EX);

	lock(f, 2, "r", LK_CW);
	assert_int_equal(convert(f, holder, LK_PR), 0);
	expect(f, 0, LK_DO_GRANTED, holder, LK_PR);
	expect(f, 1, LK_DO_BLOCKING, holder, LK_CW);
	assert_int_equal(convert(f, holder, LK_PR), 0);
	expect_count(f, 1);
}

static void a_lock_that_is_in_the_way_when_granted_is_told_at_once(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_EX);
	uint64_t b = lock(f, 2, "r", LK_PW);

	lock(f, 3, "r", LK_PW);
	assert_int_equal(unlock(f, a), 0);
	expect(f, 1, LK_DO_GRANTED, b, LK_PW);
	expect(f, 2, LK_DO_BLOCKING, b, LK_PW);
	expect_count(f, 3);
}

static void a_converting_holder_is_told_of_others_but_not_of_itself(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_CR);
	uint64_t b = lock(f, 2, "r", LK_CR);

	assert_int_equal(convert(f, a, LK_EX), 0);
	expect(f, 1, LK_DO_BLOCKING, b, LK_EX);
	expect_count(f, 2);
	lock(f, 3, "r", LK_EX);
	expect(f, 1, LK_DO_BLOCKING, a, LK_EX);
	expect_count(f, 2);
}

static void a_holder_whose_conversion_is_granted_is_told_anew(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_CR);
	uint64_t b = lock(f, 2, "r", LK_PR);

	assert_int_equal(convert(f, a, LK_CW), 0);
	lock(f, 3, "r", LK_EX);
	expect(f, 2, LK_DO_BLOCKING, a, LK_EX);
	assert_int_equal(unlock(f, b), 0);
	expect(f, 1, LK_DO_GRANTED, a, LK_CW);
	expect(f, 2, LK_DO_BLOCKING, a, LK_EX);
}

/* ---- cancel and its races ---- */

static void a_cancelled_waiter_is_gone_and_the_next_is_granted(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_PR);
	uint64_t b = lock(f, 2, "r", LK_EX);
	uint64_t c = lock(f, 3, "r", LK_PR);
	struct lk_lock_info info;

	(void)a;
	assert_int_equal(cancel(f, b), 0);
	expect_denied(f, 0, b, -ECANCELED);
	expect(f, 1, LK_DO_GRANTED, c, LK_PR);
	assert_int_equal(lk_lock_get(&f->st, b, &info), -ENOENT);
}

static void a_cancelled_conversion_falls_back_to_the_mode_held(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_CR);
	uint64_t c;

	lock(f, 2, "r", LK_CW);
	assert_int_equal(convert(f, a, LK_PR), 0);
	c = lock(f, 3, "r", LK_CW);
	assert_int_equal(cancel(f, a), 0);
	expect_denied(f, 0, a, -ECANCELED);
	assert_int_equal(f->out.items[0].mode, LK_PR);
	expect(f, 1, LK_DO_GRANTED, c, LK_CW);
	assert_int_equal(info_of(f, a).granted, LK_CR);
	assert_int_equal(info_of(f, a).queue, LK_QUEUE_GRANTED);
}

static void a_cancel_that_comes_after_the_grant_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_EX);
	uint64_t b = lock(f, 2, "r", LK_EX);

	assert_int_equal(unlock(f, a), 0);
	expect_refused(f, cancel(f, b), -EALREADY, LK_REFUSED_NOT_PENDING);
	assert_int_equal(unlock(f, b), 0);
}

static void a_cancel_that_comes_after_the_unlock_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_EX);
	struct lk_event ev = {.type = LK_EV_CANCEL, .session = 1, .lock_id = a};

	assert_int_equal(unlock(f, a), 0);
	expect_refused(f, step(f, &ev), -ENOENT, LK_REFUSED_NO_LOCK);
}

static void a_pending_lock_can_only_be_cancelled(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_PR);
	uint64_t b = lock(f, 2, "r", LK_PR);
	uint64_t c = lock(f, 3, "r", LK_EX);

	(void)b;
	assert_int_equal(convert(f, a, LK_EX), 0);
	expect_refused(f, convert(f, a, LK_NL), -EBUSY, LK_REFUSED_PENDING);
	expect_refused(f, unlock(f, a), -EBUSY, LK_REFUSED_PENDING);
	expect_refused(f, convert(f, c, LK_NL), -EBUSY, LK_REFUSED_PENDING);
	expect_refused(f, unlock(f, c), -EBUSY, LK_REFUSED_PENDING);
	assert_int_equal(cancel(f, a), 0);
	assert_int_equal(cancel(f, c), 0);
}

/* ---- sessions ---- */

static void a_session_with_a_lock_in_any_queue_cannot_be_closed(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_EX);
	uint64_t b = lock(f, 2, "r", LK_EX);

	expect_refused(f, of_session(f, LK_EV_CLOSE, 1, 0), -EBUSY, LK_REFUSED_SESSION_HAS_LOCKS);
	expect_refused(f, of_session(f, LK_EV_CLOSE, 2, 0), -EBUSY, LK_REFUSED_SESSION_HAS_LOCKS);
	assert_int_equal(cancel(f, b), 0);
	assert_int_equal(of_session(f, LK_EV_CLOSE, 2, 0), 0);
	assert_int_equal(unlock(f, a), 0);
	assert_int_equal(of_session(f, LK_EV_CLOSE, 1, 0), 0);
	assert_false(has_session(f, 1));
}

static void an_orphaned_session_keeps_its_grants_and_loses_what_it_asked_for(void **state)
{
	struct fixture *f = *state;
	uint64_t held = lock(f, 1, "a", LK_EX);
	uint64_t converting = lock(f, 1, "b", LK_PR);
	uint64_t waiting;
	uint64_t behind;

	lock(f, 2, "b", LK_PR);
	lock(f, 2, "c", LK_EX);
	waiting = lock(f, 1, "c", LK_EX);
	assert_int_equal(convert(f, converting, LK_EX), 0);
	behind = lock(f, 3, "b", LK_PR);
	assert_int_equal(of_session(f, LK_EV_ORPHAN, 1, 0), 0);
	expect_denied(f, 0, converting, -ECANCELED);
	expect_denied(f, 1, waiting, -ECANCELED);
	assert_int_equal(f->out.items[0].cause, LK_BY_DEATH);
	expect(f, 2, LK_DO_GRANTED, behind, LK_PR);
	expect_count(f, 3);
	assert_int_equal(info_of(f, held).session.state, LK_SESSION_ORPHANED);
	assert_int_equal(info_of(f, converting).granted, LK_PR);
	assert_int_equal(info_of(f, held).session.locks, 2);
}

static void an_orphan_without_grants_ends_at_once(void **state)
{
	struct fixture *f = *state;

	lock(f, 2, "r", LK_EX);
	lock(f, 1, "r", LK_EX);
	assert_int_equal(of_session(f, LK_EV_ORPHAN, 1, 0), 0);
	assert_false(has_session(f, 1));
	assert_int_equal(of_session(f, LK_EV_ORPHAN, 3, 0), 0);
	expect_count(f, 0);
	assert_false(has_session(f, 3));
}

static void an_orphan_still_blocks_and_its_lock_is_told_of_waiters(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_EX);
	uint64_t b;

	assert_int_equal(of_session(f, LK_EV_ORPHAN, 1, 0), 0);
	b = lock(f, 2, "r", LK_EX);
	expect(f, 0, LK_DO_QUEUED, b, LK_EX);
	expect(f, 1, LK_DO_BLOCKING, a, LK_EX);
}

static void a_late_request_of_an_orphan_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_EX);
	struct lk_event ev = event(LK_EV_LOCK, 1, "other");

	assert_int_equal(of_session(f, LK_EV_ORPHAN, 1, 0), 0);
	expect_refused(f, step(f, &ev), -EOWNERDEAD, LK_REFUSED_SESSION_ORPHANED);
	expect_refused(f, unlock(f, a), -EOWNERDEAD, LK_REFUSED_SESSION_ORPHANED);
	expect_refused(f, convert(f, a, LK_NL), -EOWNERDEAD, LK_REFUSED_SESSION_ORPHANED);
	expect_refused(f, of_session(f, LK_EV_ORPHAN, 1, 0), -EOWNERDEAD,
		       LK_REFUSED_SESSION_ORPHANED);
	expect_refused(f, of_session(f, LK_EV_ADOPT, 1, 1), -EOWNERDEAD,
		       LK_REFUSED_SESSION_ORPHANED);
}

static void a_successor_adopts_all_locks_with_ids_modes_and_cookies(void **state)
{
	struct fixture *f = *state;
	uint64_t own = lock(f, 4, "z", LK_PR);
	uint64_t a = lock(f, 1, "a", LK_EX);
	uint64_t b = lock(f, 1, "b", LK_CR);
	uint64_t late = lock(f, 4, "z", LK_PR);

	lock(f, 2, "a", LK_EX);
	assert_int_equal(of_session(f, LK_EV_ORPHAN, 1, 0), 0);
	assert_int_equal(of_session(f, LK_EV_ADOPT, 4, 1), 0);
	expect(f, 0, LK_DO_GRANTED, a, LK_EX);
	expect(f, 1, LK_DO_GRANTED, b, LK_CR);
	expect(f, 2, LK_DO_BLOCKING, a, LK_EX);
	expect_count(f, 3);
	assert_int_equal(f->out.items[0].cause, LK_BY_ADOPT);
	assert_int_equal(f->out.items[0].session, 4);
	assert_int_equal(f->out.items[0].cookie, 1001);
	assert_false(has_session(f, 1));
	assert_int_equal(info_of(f, own).session.locks, 4);
	assert_int_equal(unlock(f, a), 0);
	assert_int_equal(unlock(f, late), 0);
}

static void only_an_orphan_is_adopted_and_only_on_its_node(void **state)
{
	struct fixture *f = *state;

	lock(f, 1, "r", LK_EX);
	expect_refused(f, of_session(f, LK_EV_ADOPT, 4, 1), -EBUSY, LK_REFUSED_SESSION_ACTIVE);
	expect_refused(f, of_session(f, LK_EV_ADOPT, 4, 99), -ENOENT, LK_REFUSED_NO_SESSION);
	expect_refused(f, of_session(f, LK_EV_ADOPT, 99, 1), -ENOENT, LK_REFUSED_NO_SESSION);
	assert_int_equal(of_session(f, LK_EV_ORPHAN, 1, 0), 0);
	expect_refused(f, of_session(f, LK_EV_ADOPT, 2, 1), -EXDEV, LK_REFUSED_OTHER_NODE);
	assert_int_equal(step(f, &(struct lk_event){.type = LK_EV_OPEN,
						    .session = 5,
						    .node = 0,
						    .incarnation = 8}),
			 0);
	expect_refused(f, of_session(f, LK_EV_ADOPT, 5, 1), -EXDEV, LK_REFUSED_OTHER_NODE);
}

static void a_released_session_ends_and_its_waiters_are_granted(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "a", LK_EX);
	uint64_t b = lock(f, 1, "b", LK_EX);
	uint64_t wa = lock(f, 2, "a", LK_EX);
	uint64_t wb = lock(f, 2, "b", LK_EX);

	expect_refused(f, of_session(f, LK_EV_RELEASE, 1, 0), -EBUSY, LK_REFUSED_SESSION_ACTIVE);
	assert_int_equal(of_session(f, LK_EV_ORPHAN, 1, 0), 0);
	assert_int_equal(of_session(f, LK_EV_RELEASE, 1, 0), 0);
	expect(f, 0, LK_DO_UNLOCKED, a, LK_EX);
	expect(f, 1, LK_DO_UNLOCKED, b, LK_EX);
	expect(f, 2, LK_DO_GRANTED, wa, LK_EX);
	expect(f, 3, LK_DO_GRANTED, wb, LK_EX);
	expect_count(f, 4);
	assert_false(has_session(f, 1));
	expect_refused(f, of_session(f, LK_EV_RELEASE, 1, 0), -ENOENT, LK_REFUSED_NO_SESSION);
}

static void two_locks_of_one_dead_session_are_not_granted_to_each_other(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_EX);
	uint64_t again = lock(f, 1, "r", LK_EX);
	uint64_t other = lock(f, 2, "r", LK_EX);

	assert_int_equal(release_matching(f, 0, 7, "", 0), 0);
	expect_denied(f, 0, again, -ECANCELED);
	expect(f, 1, LK_DO_UNLOCKED, a, LK_EX);
	expect(f, 2, LK_DO_GRANTED, other, LK_EX);
	expect_count(f, 3);
}

/* ---- release by node, incarnation and name ---- */

static void a_fence_releases_the_names_with_its_prefix_and_no_others(void **state)
{
	struct fixture *f = *state;
	uint64_t vol = lock(f, 1, "vol:1", LK_EX);
	uint64_t vm = lock(f, 1, "vm:1", LK_EX);
	uint64_t grp = lock(f, 4, "grp:1", LK_EX);

	assert_int_equal(release_matching(f, 0, 7, "vol:", 0), 0);
	expect(f, 0, LK_DO_UNLOCKED, vol, LK_EX);
	expect_count(f, 1);
	assert_int_equal(info_of(f, vm).session.state, LK_SESSION_ORPHANED);
	assert_int_equal(info_of(f, grp).session.state, LK_SESSION_ORPHANED);
	assert_int_equal(release_matching(f, 0, 7, "vm:", 0), 0);
	expect(f, 0, LK_DO_UNLOCKED, vm, LK_EX);
	assert_false(has_session(f, 1));
	assert_true(has_session(f, 4));
}

static void a_fence_cancels_all_that_the_dead_node_waits_for(void **state)
{
	struct fixture *f = *state;
	uint64_t waiting;

	lock(f, 1, "vm:1", LK_EX);
	lock(f, 2, "vm:2", LK_EX);
	waiting = lock(f, 1, "vm:2", LK_EX);
	assert_int_equal(release_matching(f, 0, 7, "vol:", 0), 0);
	expect_denied(f, 0, waiting, -ECANCELED);
	expect_count(f, 1);
}

static void a_late_fence_of_an_old_incarnation_touches_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "vol:1", LK_EX);

	assert_int_equal(release_matching(f, 0, 6, "", 0), 0);
	expect_count(f, 0);
	assert_int_equal(info_of(f, a).session.state, LK_SESSION_ACTIVE);
	assert_int_equal(release_matching(f, 1, 7, "vol:", 0), 0);
	expect_count(f, 0);
	assert_int_equal(info_of(f, a).queue, LK_QUEUE_GRANTED);
}

static void a_repeated_fence_changes_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t hash;

	lock(f, 1, "vol:1", LK_EX);
	lock(f, 1, "vm:1", LK_EX);
	assert_int_equal(release_matching(f, 0, 7, "vol:", 0), 0);
	hash = lk_hash(&f->st);
	assert_int_equal(release_matching(f, 0, 7, "vol:", 0), 0);
	expect_count(f, 0);
	assert_int_equal(lk_hash(&f->st), hash);
}

static void an_exact_name_does_not_release_a_longer_one(void **state)
{
	struct fixture *f = *state;
	uint64_t one = lock(f, 1, "grp:1", LK_EX);
	uint64_t ten = lock(f, 1, "grp:10", LK_EX);

	assert_int_equal(release_matching(f, 0, 7, "grp:1", LK_EXACT), 0);
	expect(f, 0, LK_DO_UNLOCKED, one, LK_EX);
	expect_count(f, 1);
	assert_int_equal(release_matching(f, 0, 7, "grp:1", 0), 0);
	expect(f, 0, LK_DO_UNLOCKED, ten, LK_EX);
}

/* ---- transfer ---- */

static void a_transfer_moves_the_lock_in_one_step_past_all_waiters(void **state)
{
	struct fixture *f = *state;
	uint64_t id = lock(f, 1, "vm:1", LK_EX);
	uint64_t waiter = lock(f, 3, "vm:1", LK_EX);

	assert_int_equal(transfer(f, "vm:1", 1, 2), 0);
	expect(f, 0, LK_DO_UNLOCKED, id, LK_EX);
	expect(f, 1, LK_DO_GRANTED, id, LK_EX);
	expect(f, 2, LK_DO_BLOCKING, id, LK_EX);
	expect_count(f, 3);
	assert_int_equal(f->out.items[0].session, 1);
	assert_int_equal(f->out.items[0].cookie, 1001);
	assert_int_equal(f->out.items[1].session, 2);
	assert_int_equal(f->out.items[1].cookie, 1002);
	assert_int_equal(f->out.items[1].cause, LK_BY_TRANSFER);
	assert_int_equal(info_of(f, waiter).queue, LK_QUEUE_WAITING);
	assert_int_equal(of_session(f, LK_EV_CLOSE, 1, 0), 0);
}

static void after_a_transfer_the_old_owner_has_no_power_over_the_lock(void **state)
{
	struct fixture *f = *state;
	uint64_t id = lock(f, 1, "vm:1", LK_EX);
	struct lk_event ev = {.type = LK_EV_UNLOCK, .session = 1, .lock_id = id};

	assert_int_equal(transfer(f, "vm:1", 1, 2), 0);
	expect_refused(f, step(f, &ev), -EPERM, LK_REFUSED_NOT_OWNER);
	expect_refused(f, transfer(f, "vm:1", 1, 2), -ENOENT, LK_REFUSED_NO_LOCK);
	assert_int_equal(release_matching(f, 0, 7, "", 0), 0);
	expect_count(f, 0);
	assert_int_equal(unlock(f, id), 0);
}

static void a_transfer_leaves_the_value_alone(void **state)
{
	struct fixture *f = *state;
	uint64_t id = lock(f, 1, "r", LK_EX);

	assert_int_equal(on_lock(f, LK_EV_CONVERT, id, LK_EX, LK_VALBLK, 'v'), 0);
	assert_int_equal(transfer(f, "r", 1, 2), 0);
	assert_int_equal(info_of(f, id).lvb[0], 'v');
	assert_true(info_of(f, id).lvb_valid);
}

static void a_transfer_needs_exactly_one_lock_with_nothing_pending(void **state)
{
	struct fixture *f = *state;
	uint64_t a;

	expect_refused(f, transfer(f, "r", 1, 2), -ENOENT, LK_REFUSED_NO_LOCK);
	a = lock(f, 1, "r", LK_PR);
	lock(f, 1, "r", LK_PR);
	expect_refused(f, transfer(f, "r", 1, 2), -EBUSY, LK_REFUSED_AMBIGUOUS);
	expect_refused(f, transfer(f, "r", 2, 1), -ENOENT, LK_REFUSED_NO_LOCK);
	assert_int_equal(convert(f, a, LK_EX), 0);
	expect_refused(f, transfer(f, "r", 1, 2), -EBUSY, LK_REFUSED_PENDING);
}

static void a_transfer_is_refused_if_either_side_is_dead_or_the_same(void **state)
{
	struct fixture *f = *state;

	lock(f, 1, "r", LK_EX);
	lock(f, 2, "other", LK_EX);
	expect_refused(f, transfer(f, "r", 1, 1), -EINVAL, LK_REFUSED_BAD_SESSION);
	expect_refused(f, transfer(f, "r", 1, 99), -ENOENT, LK_REFUSED_NO_SESSION);
	expect_refused(f, transfer(f, "r", 99, 1), -ENOENT, LK_REFUSED_NO_SESSION);
	assert_int_equal(of_session(f, LK_EV_ORPHAN, 2, 0), 0);
	expect_refused(f, transfer(f, "r", 1, 2), -EOWNERDEAD, LK_REFUSED_SESSION_ORPHANED);
	assert_int_equal(of_session(f, LK_EV_ORPHAN, 1, 0), 0);
	expect_refused(f, transfer(f, "r", 1, 3), -EOWNERDEAD, LK_REFUSED_SESSION_ORPHANED);
}

/* ---- refusals and bounds; step() checks that the state is untouched ---- */

static void a_bad_event_is_refused_with_its_reason(void **state)
{
	struct fixture *f = *state;
	uint64_t id = lock(f, 1, "r", LK_PR);
	const struct {
		struct lk_event ev;
		int error;
		enum lk_refusal why;
	} cases[] = {
		{{.type = LK_EV_MAX}, -EINVAL, LK_REFUSED_BAD_EVENT},
		{{.type = LK_EV_OPEN, .flags = LK_VALBLK}, -EINVAL, LK_REFUSED_BAD_FLAGS},
		{{.type = LK_EV_UNLOCK, .flags = LK_NOQUEUE}, -EINVAL, LK_REFUSED_BAD_FLAGS},
		{{.type = LK_EV_LOCK, .flags = 1U << 31}, -EINVAL, LK_REFUSED_BAD_FLAGS},
		{{.type = LK_EV_OPEN}, -EINVAL, LK_REFUSED_BAD_SESSION},
		{{.type = LK_EV_OPEN, .session = 9, .node = 16}, -EINVAL, LK_REFUSED_BAD_NODE},
		{{.type = LK_EV_OPEN, .session = 1}, -EEXIST, LK_REFUSED_SESSION_EXISTS},
		{{.type = LK_EV_CLOSE, .session = 9}, -ENOENT, LK_REFUSED_NO_SESSION},
		{{.type = LK_EV_ORPHAN, .session = 9}, -ENOENT, LK_REFUSED_NO_SESSION},
		{{.type = LK_EV_LOCK, .session = 9}, -ENOENT, LK_REFUSED_NO_SESSION},
		{{.type = LK_EV_LOCK, .session = 1, .mode = 6, .name_len = 1},
		 -EINVAL,
		 LK_REFUSED_BAD_MODE},
		{{.type = LK_EV_LOCK, .session = 1}, -EINVAL, LK_REFUSED_BAD_NAME},
		{{.type = LK_EV_LOCK, .session = 1, .name_len = 65}, -EINVAL, LK_REFUSED_BAD_NAME},
		{{.type = LK_EV_CONVERT, .session = 1, .lock_id = id, .mode = 6},
		 -EINVAL,
		 LK_REFUSED_BAD_MODE},
		{{.type = LK_EV_CONVERT, .session = 1, .lock_id = 0}, -ENOENT, LK_REFUSED_NO_LOCK},
		{{.type = LK_EV_CONVERT, .session = 9, .lock_id = id},
		 -ENOENT,
		 LK_REFUSED_NO_SESSION},
		{{.type = LK_EV_UNLOCK, .session = 2, .lock_id = id}, -EPERM, LK_REFUSED_NOT_OWNER},
		{{.type = LK_EV_CANCEL, .session = 2, .lock_id = id}, -EPERM, LK_REFUSED_NOT_OWNER},
		{{.type = LK_EV_TRANSFER, .session = 1, .peer = 2}, -EINVAL, LK_REFUSED_BAD_NAME},
		{{.type = LK_EV_TRANSFER, .session = 1, .peer = 2, .name_len = 65},
		 -EINVAL,
		 LK_REFUSED_BAD_NAME},
		{{.type = LK_EV_RELEASE_MATCHING, .node = 16}, -EINVAL, LK_REFUSED_BAD_NODE},
		{{.type = LK_EV_RELEASE_MATCHING, .name_len = 65}, -EINVAL, LK_REFUSED_BAD_NAME},
	};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(cases); i++)
		expect_refused(f, step(f, &cases[i].ev), cases[i].error, cases[i].why);
}

static void one_session_too_many_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(of_session(f, LK_EV_OPEN, 5, 0), 0);
	assert_int_equal(of_session(f, LK_EV_OPEN, 6, 0), 0);
	expect_refused(f, of_session(f, LK_EV_OPEN, 7, 0), -ENOSPC, LK_REFUSED_SESSIONS_FULL);
	assert_int_equal(of_session(f, LK_EV_CLOSE, 2, 0), 0);
	assert_int_equal(of_session(f, LK_EV_OPEN, 7, 0), 0);
}

static void one_resource_too_many_is_refused(void **state)
{
	struct fixture *f = *state;
	struct lk_event ev = event(LK_EV_LOCK, 1, "e");
	uint64_t a = lock(f, 1, "a", LK_NL);

	lock(f, 1, "b", LK_NL);
	lock(f, 1, "c", LK_NL);
	lock(f, 1, "d", LK_NL);
	expect_refused(f, step(f, &ev), -ENOSPC, LK_REFUSED_RESOURCES_FULL);
	assert_int_equal(unlock(f, a), 0);
	assert_int_equal(step(f, &ev), 0);
}

static void one_lock_too_many_is_refused(void **state)
{
	struct fixture *f = *state;
	struct lk_event ev = event(LK_EV_LOCK, 1, "a");

	for (int i = 0; i < 12; i++)
		lock(f, 1, "a", LK_NL);
	expect_refused(f, step(f, &ev), -ENOSPC, LK_REFUSED_LOCKS_FULL);
}

static void one_waiter_or_conversion_too_many_is_refused(void **state)
{
	struct fixture *f = *state;
	struct lk_event ev = event(LK_EV_LOCK, 1, "r");
	uint64_t held = lock(f, 1, "r", LK_NL);

	lock(f, 1, "r", LK_EX);
	for (int i = 0; i < 5; i++)
		lock(f, 2, "r", LK_EX);
	expect_refused(f, step(f, &ev), -ENOBUFS, LK_REFUSED_QUEUE_FULL);
	expect_refused(f, convert(f, held, LK_EX), -ENOBUFS, LK_REFUSED_QUEUE_FULL);
	assert_int_equal(lock_flags(f, 1, "r", LK_EX, LK_NOQUEUE), 0);
	expect_denied(f, 0, 0, -EAGAIN);
}

static void one_step_may_grant_and_tell_a_whole_table(void **state)
{
	const struct lk_limits l = {2, 1, 64, 64};
	struct fixture f;
	uint64_t first;

	(void)state;
	fixture_init(&f, &l);
	assert_int_equal(of_session(&f, LK_EV_OPEN, 1, 0), 0);
	first = lock(&f, 1, "r", LK_EX);
	for (int i = 0; i < 62; i++)
		lock(&f, 1, "r", LK_PR);
	lock(&f, 1, "r", LK_EX);
	assert_int_equal(unlock(&f, first), 0);
	expect_count(&f, 1 + 62 + 62);
	assert_in_range(f.out.count, 1, lk_actions_max(&l));
	fixture_done(&f);
}

static void more_actions_than_room_is_a_broken_invariant(void **state)
{
	struct fixture *f = *state;
	struct lk_event ev = event(LK_EV_LOCK, 1, "r");
	struct rlimit no_core = {0, 0};
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		setrlimit(RLIMIT_CORE, &no_core);
		close(STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		f->out.cap = 0;
		lk_step(&f->st, &ev, &f->out);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- the block of memory ---- */

static void bad_limits_and_bad_memory_are_refused(void **state)
{
	struct fixture *f = *state;
	struct lk_limits bad = small;
	struct lk_state st = f->st;

	bad.max_queued = 0;
	assert_int_equal(lk_state_size(&bad), 0);
	assert_int_equal(lk_state_init(&st, f->mem, f->size, &bad), -EINVAL);
	bad.max_queued = LK_LIMIT_MAX + 1;
	assert_int_equal(lk_state_size(&bad), 0);
	assert_int_equal(lk_state_init(&st, (uint8_t *)f->mem + 4, f->size, &small), -EINVAL);
	assert_int_equal(lk_state_init(&st, f->mem, f->size - 1, &small), -ENOBUFS);
	assert_memory_equal(&st, &f->st, sizeof(st));
}

static void a_copy_in_other_memory_goes_on_like_the_original(void **state)
{
	struct fixture *f = *state;
	struct fixture g;
	uint64_t a = lock(f, 1, "r", LK_EX);
	uint64_t b = lock(f, 2, "r", LK_EX);

	fixture_init(&g, &small);
	lk_state_copy(&g.st, &f->st);
	assert_int_equal(lk_hash(&g.st), lk_hash(&f->st));
	memset(f->mem, 0xa5, f->size);
	assert_null(lk_check(&g.st));
	assert_int_equal(unlock(&g, a), 0);
	expect(&g, 1, LK_DO_GRANTED, b, LK_EX);
	fixture_done(&g);
}

static void equal_states_with_different_histories_of_memory_hash_equal(void **state)
{
	struct fixture *f = *state;
	struct fixture g;

	fixture_init(&g, &small);
	assert_int_equal(of_session(&g, LK_EV_OPEN, 9, 0), 0);
	for (uint64_t s = 1; s <= 4; s++) {
		struct lk_event ev = {.type = LK_EV_OPEN, .session = s, .incarnation = 7};

		ev.node = (uint8_t)((s - 1) % 3);
		assert_int_equal(step(&g, &ev), 0);
	}
	assert_int_equal(of_session(&g, LK_EV_CLOSE, 9, 0), 0);
	assert_int_equal(lk_hash(&g.st), lk_hash(&f->st));
	lock(&g, 1, "r", LK_PR);
	assert_int_not_equal(lk_hash(&g.st), lk_hash(&f->st));
	lock(f, 1, "r", LK_PR);
	assert_int_equal(lk_hash(&g.st), lk_hash(&f->st));
	fixture_done(&g);
}

/* ---- listings ---- */

struct listing {
	char text[256];
	size_t stop_after;
	size_t count;
};

static int list_lock(void *arg, const struct lk_lock_info *info)
{
	static const char queues[LK_QUEUE_MAX] = {'g', 'c', 'w'};
	struct listing *list = arg;
	size_t used = strlen(list->text);

	snprintf(list->text + used, sizeof(list->text) - used, "%.*s/%c%d ", info->name_len,
		 (const char *)info->name, queues[info->queue], (int)info->id);
	return ++list->count == list->stop_after ? 42 : 0;
}

static void locks_are_listed_by_name_then_queue_then_place(void **state)
{
	struct fixture *f = *state;
	struct listing list = {.text = ""};
	uint64_t a;

	lock(f, 1, "b", LK_PR);	    /* 1 */
	a = lock(f, 2, "b", LK_PR); /* 2 */
	lock(f, 3, "ab", LK_PR);    /* 3 */
	lock(f, 3, "a", LK_PR);	    /* 4 */
	lock(f, 1, "b", LK_EX);	    /* 5 */
	lock(f, 1, "b", LK_PR);	    /* 6 */
	assert_int_equal(convert(f, a, LK_EX), 0);
	assert_int_equal(lk_each(&f->st, list_lock, &list), 0);
	assert_string_equal(list.text, "a/g4 ab/g3 b/g1 b/c2 b/w5 b/w6 ");
	list = (struct listing){.stop_after = 5};
	assert_int_equal(lk_each(&f->st, list_lock, &list), 42);
	assert_string_equal(list.text, "a/g4 ab/g3 b/g1 b/c2 b/w5 ");
}

static int list_session(void *arg, const struct lk_session_info *info)
{
	struct listing *list = arg;
	size_t used = strlen(list->text);

	snprintf(list->text + used, sizeof(list->text) - used, "%d/n%d ", (int)info->id,
		 info->node);
	return ++list->count == list->stop_after ? 42 : 0;
}

static void sessions_are_listed_as_opened(void **state)
{
	struct fixture *f = *state;
	struct listing list = {.stop_after = 4};

	assert_int_equal(of_session(f, LK_EV_CLOSE, 1, 0), 0);
	assert_int_equal(of_session(f, LK_EV_OPEN, 1, 0), 0);
	assert_int_equal(lk_each_session(&f->st, list_session, &list), 42);
	assert_string_equal(list.text, "2/n1 3/n2 4/n0 1/n0 ");
	assert_int_equal(of_session(f, LK_EV_CLOSE, 1, 0), 0);
	list = (struct listing){.stop_after = 4};
	assert_int_equal(lk_each_session(&f->st, list_session, &list), 0);
}

static int check_order(void *arg, const struct lk_lock_info *info)
{
	struct lk_lock_info *last = arg;
	uint8_t n = last->name_len < info->name_len ? last->name_len : info->name_len;
	int c = memcmp(last->name, info->name, n);

	*last = *info;
	return c > 0 || (c == 0 && info->name_len < n);
}

static void a_thousand_names_are_sorted_and_survive_a_snapshot(void **state)
{
	const struct lk_limits many = {4, 1000, 4000, 16};
	struct lk_lock_info last = {0};
	struct lk_state decoded;
	struct fixture f;
	struct prng prng;
	uint8_t *bytes;
	size_t len = 0;

	(void)state;
	fixture_init(&f, &many);
	prng_init(&prng, 1);
	assert_int_equal(of_session(&f, LK_EV_OPEN, 1, 0), 0);
	assert_int_equal(of_session(&f, LK_EV_OPEN, 2, 0), 0);
	for (int i = 0; i < 4000; i++) {
		struct lk_event ev = {.type = LK_EV_LOCK, .name_len = 4};
		uint32_t n = (uint32_t)prng_below(&prng, 1000) * 2654435761U;

		ev.session = prng_range(&prng, 1, 2);
		memcpy(ev.name, &n, 4);
		assert_int_equal(lk_step(&f.st, &ev, &f.out), 0);
	}
	assert_null(lk_check(&f.st));
	assert_int_equal(lk_each(&f.st, check_order, &last), 0);
	bytes = malloc(lk_encoded_max(&many));
	assert_non_null(bytes);
	assert_int_equal(lk_encode(&f.st, bytes, lk_encoded_max(&many), &len), 0);
	assert_int_equal(lk_decode(bytes, len, &many, f.before, f.size, &decoded), 0);
	assert_int_equal(lk_hash(&decoded), lk_hash(&f.st));
	free(bytes);
	fixture_done(&f);
}

/* ---- snapshot ---- */

/* Something in every queue, an orphan, values valid and not. */
static void fill(struct fixture *f)
{
	uint64_t id = lock(f, 1, "vol:1", LK_EX);

	assert_int_equal(on_lock(f, LK_EV_CONVERT, id, LK_PR, LK_VALBLK, 'v'), 0);
	lock(f, 2, "vol:1", LK_CR);
	assert_int_equal(on_lock(f, LK_EV_CONVERT, id, LK_EX, LK_VALBLK, 0), 0);
	lock_flags(f, 3, "vol:1", LK_PR, LK_VALBLK);
	id = lock(f, 2, "vm:1", LK_PW);
	assert_int_equal(on_lock(f, LK_EV_CONVERT, id, LK_PR, LK_IVVALBLK, 0), 0);
	lock(f, 4, "vm:1", LK_PR);
	lock(f, 3, "vm:1", LK_PW);
	assert_int_equal(of_session(f, LK_EV_ORPHAN, 4, 0), 0);
}

static uint8_t *encode(const struct fixture *f, size_t *ret_len)
{
	size_t cap = lk_encoded_max(&f->limits);
	uint8_t *bytes = malloc(cap);

	assert_non_null(bytes);
	assert_int_equal(lk_encode(&f->st, bytes, cap, ret_len), 0);
	return bytes;
}

static void a_decoded_snapshot_is_the_same_state(void **state)
{
	struct fixture *f = *state;
	struct lk_state decoded;
	uint8_t again[2048];
	uint8_t *bytes;
	size_t len2 = 0;
	size_t len = 0;

	fill(f);
	bytes = encode(f, &len);
	assert_int_equal(lk_decode(bytes, len, &small, f->before, f->size, &decoded), 0);
	assert_null(lk_check(&decoded));
	assert_int_equal(lk_hash(&decoded), lk_hash(&f->st));
	assert_int_equal(lk_encode(&decoded, again, sizeof(again), &len2), 0);
	assert_int_equal(len, len2);
	assert_memory_equal(bytes, again, len);
	free(bytes);
}

static void a_full_state_fits_into_the_announced_bytes(void **state)
{
	struct fixture *f = *state;
	struct lk_event ev = event(LK_EV_LOCK, 1, "");
	uint8_t *bytes;
	size_t len = 0;

	assert_int_equal(of_session(f, LK_EV_OPEN, 5, 0), 0);
	assert_int_equal(of_session(f, LK_EV_OPEN, 6, 0), 0);
	ev.name_len = LK_NAME_MAX;
	for (int i = 0; i < 12; i++) {
		ev.name[63] = (uint8_t)(i % 4);
		assert_int_equal(step(f, &ev), 0);
	}
	bytes = encode(f, &len);
	assert_in_range(len, 1, lk_encoded_max(&small));
	free(bytes);
}

static void a_buffer_too_small_for_the_snapshot_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[64];
	size_t len = 77;

	fill(f);
	assert_int_equal(lk_encode(&f->st, bytes, sizeof(bytes), &len), -ENOBUFS);
	assert_int_equal(len, 77);
}

static void a_truncated_or_longer_snapshot_is_refused(void **state)
{
	struct fixture *f = *state;
	struct lk_state untouched = {0};
	struct lk_state decoded = {0};
	uint8_t *bytes;
	size_t len = 0;

	fill(f);
	bytes = encode(f, &len);
	for (size_t n = 0; n < len; n++) {
		/* A buffer of just that size, so that the sanitizer sees any read past it. */
		uint8_t *cut = malloc(n ? n : 1);

		assert_non_null(cut);
		memcpy(cut, bytes, n);
		assert_int_equal(lk_decode(cut, n, &small, f->before, f->size, &decoded), -EBADMSG);
		free(cut);
	}
	bytes[len] = 0;
	assert_int_equal(lk_decode(bytes, len + 1, &small, f->before, f->size, &decoded), -EBADMSG);
	assert_memory_equal(&decoded, &untouched, sizeof(decoded));
	free(bytes);
}

static void a_snapshot_with_any_byte_changed_is_refused_or_is_exactly_what_it_says(void **state)
{
	struct fixture *f = *state;
	struct lk_state decoded;
	uint8_t again[2048];
	uint8_t *bytes;
	size_t len2 = 0;
	size_t len = 0;
	int r;

	fill(f);
	bytes = encode(f, &len);
	for (size_t i = 0; i < len; i++) {
		uint8_t was = bytes[i];

		for (int v = 0; v < 256; v++) {
			bytes[i] = (uint8_t)v;
			r = lk_decode(bytes, len, &small, f->before, f->size, &decoded);
			if (r) {
				assert_true(r == -EBADMSG || r == -ENOSPC);
				continue;
			}
			assert_null(lk_check(&decoded));
			assert_int_equal(lk_encode(&decoded, again, sizeof(again), &len2), 0);
			assert_int_equal(len, len2);
			assert_memory_equal(bytes, again, len);
		}
		bytes[i] = was;
	}
	free(bytes);
}

static void a_snapshot_beyond_the_limits_is_refused(void **state)
{
	struct fixture *f = *state;
	struct lk_state decoded;
	struct lk_limits less;
	uint8_t *bytes;
	size_t len = 0;

	fill(f);
	bytes = encode(f, &len);
	less = small;
	less.max_sessions = 3;
	assert_int_equal(lk_decode(bytes, len, &less, f->before, f->size, &decoded), -ENOSPC);
	less = small;
	less.max_resources = 1;
	assert_int_equal(lk_decode(bytes, len, &less, f->before, f->size, &decoded), -ENOSPC);
	less = small;
	less.max_locks = 5;
	assert_int_equal(lk_decode(bytes, len, &less, f->before, f->size, &decoded), -ENOSPC);
	less = small;
	less.max_queued = 1;
	assert_int_equal(lk_decode(bytes, len, &less, f->before, f->size, &decoded), -EBADMSG);
	assert_int_equal(lk_decode(bytes, len, &small, f->before, f->size - 1, &decoded), -ENOBUFS);
	free(bytes);
}

/* ---- lk_check ---- */

/* Indices in the state that fill() makes, and one damage each that must be found. */
enum damage {
	SESSION_LEAKED,
	RESOURCE_LEAKED,
	LOCK_LEAKED,
	LOCK_LIST_BROKEN,
	LEFT_DIRTY,
	SESSION_ID_ZERO,
	SESSION_NODE,
	SESSION_STATE,
	SESSION_LIST,
	ORPHAN_EMPTY,
	SESSION_FOREIGN,
	ORPHAN_ASKS,
	NAME_EMPTY,
	RESOURCE_DIRTY,
	QUEUE_LIST,
	LOCK_QUEUE,
	LOCK_MODE,
	LOCK_ID,
	LOCK_TOLD,
	LOCK_ASKS,
	CONVERT_DOWN,
	WAITER_HOLDS,
	NOT_TOLD,
	COUNTS,
	INCOMPATIBLE,
	QUEUE_LONG,
	HEAD_CONVERT,
	HEAD_WAIT,
	OTHER_RESOURCE,
	NO_LOCKS,
	DAMAGE_MAX
};

static const char *const broken_texts[DAMAGE_MAX] = {
	[SESSION_LEAKED] = "sessions in use and free ones make up the table",
	[RESOURCE_LEAKED] = "resources in use and free ones make up the table",
	[LOCK_LEAKED] = "locks in use and free ones make up the table",
	[LOCK_LIST_BROKEN] = "locks in use and free ones make up the table",
	[LEFT_DIRTY] = "between steps no resource is left to settle",
	[SESSION_ID_ZERO] = "a session id is not 0 and unique",
	[SESSION_NODE] = "node and state of a session are in range",
	[SESSION_STATE] = "node and state of a session are in range",
	[SESSION_LIST] = "a session's list of locks is sound",
	[ORPHAN_EMPTY] = "an orphaned session has locks",
	[SESSION_FOREIGN] = "a session lists its own locks by ascending id",
	[ORPHAN_ASKS] = "an orphaned session asks for nothing",
	[NAME_EMPTY] = "a resource name is unique and not empty",
	[RESOURCE_DIRTY] = "flags of a resource are in range",
	[QUEUE_LIST] = "the queues of a resource are sound",
	[LOCK_QUEUE] = "queue and modes of a lock are in range",
	[LOCK_MODE] = "queue and modes of a lock are in range",
	[LOCK_ID] = "a lock id is unique and below the next one",
	[LOCK_TOLD] = "a holder was told of a mode that it blocks",
	[LOCK_ASKS] = "a granted lock asks for nothing",
	[CONVERT_DOWN] = "no conversion waits that excludes nobody new",
	[WAITER_HOLDS] = "a waiting lock holds nothing",
	[NOT_TOLD] = "every holder in the way has been told",
	[COUNTS] = "counts of modes held and wanted are right",
	[INCOMPATIBLE] = "no two granted locks are incompatible",
	[QUEUE_LONG] = "the queues of a resource are within their bound",
	[HEAD_CONVERT] = "the first conversion cannot be granted",
	[HEAD_WAIT] = "the first waiter cannot be granted",
	[OTHER_RESOURCE] = "a lock is in a queue of its own resource",
	[NO_LOCKS] = "a resource has a lock",
};

static void damage_tables(struct lk_state *st, enum damage what)
{
	struct lk_head *h = st->head;
	uint32_t s = lk_session_find(st, 2);
	uint32_t orphan = lk_session_find(st, 4);

	switch (what) {
	case SESSION_LEAKED:
		lk_list_remove(st->session_order, &h->free_sessions, h->free_sessions.head);
		break;
	case RESOURCE_LEAKED:
		lk_list_remove(st->resource_order, &h->free_resources, h->free_resources.head);
		break;
	case LOCK_LEAKED:
		h->locks++;
		break;
	case LOCK_LIST_BROKEN:
		st->queue_links[h->free_locks.tail].next = h->free_locks.head;
		break;
	case LEFT_DIRTY:
		h->dirty_head = 0;
		break;
	case SESSION_ID_ZERO:
		st->sessions[s].id = 0;
		break;
	case SESSION_NODE:
		st->sessions[s].node = LK_MAX_NODES;
		break;
	case SESSION_STATE:
		st->sessions[s].state = LK_SESSION_STATE_MAX;
		break;
	case SESSION_LIST:
		st->sessions[s].locks.count++;
		break;
	case ORPHAN_EMPTY:
		lk_list_init(&st->sessions[orphan].locks);
		break;
	case SESSION_FOREIGN:
		st->locks[st->sessions[s].locks.head].session = orphan;
		break;
	case ORPHAN_ASKS:
		st->sessions[lk_session_find(st, 3)].state = LK_SESSION_ORPHANED;
		break;
	default:
		fail();
	}
}

static void damage_resource(struct lk_state *st, enum damage what)
{
	struct lk_resource *r = &st->resources[lk_resource_find(st, (const uint8_t *)"vol:1", 5)];
	struct lk_lock *granted = &st->locks[r->queues[LK_QUEUE_GRANTED].head];
	struct lk_lock *converting = &st->locks[r->queues[LK_QUEUE_CONVERTING].head];
	struct lk_lock *waiting = &st->locks[r->queues[LK_QUEUE_WAITING].head];

	switch (what) {
	case NAME_EMPTY:
		r->name_len = 0;
		break;
	case RESOURCE_DIRTY:
		r->is_dirty = true;
		break;
	case QUEUE_LIST:
		r->queues[LK_QUEUE_GRANTED].count++;
		break;
	case LOCK_QUEUE:
		granted->queue = LK_QUEUE_CONVERTING;
		break;
	case LOCK_MODE:
		granted->granted = LK_MODE_MAX;
		break;
	case LOCK_ID:
		st->head->next_lock_id = granted->id;
		break;
	case LOCK_TOLD:
		granted->told = LK_CW;
		break;
	case LOCK_ASKS:
		granted->wants_lvb = true;
		break;
	case CONVERT_DOWN:
		converting->requested = LK_NL;
		break;
	case WAITER_HOLDS:
		waiting->granted = LK_CR;
		break;
	case NOT_TOLD:
		granted->told = LK_NL;
		break;
	case COUNTS:
		r->held[LK_NL]++;
		break;
	case QUEUE_LONG:
		st->head->limits.max_queued = 1;
		break;
	case OTHER_RESOURCE:
		granted->resource = lk_resource_find(st, (const uint8_t *)"vm:1", 4);
		break;
	case NO_LOCKS:
		for (int q = 0; q < LK_QUEUE_MAX; q++)
			lk_list_init(&r->queues[q]);
		break;
	default:
		fail();
	}
}

/* Changes that keep all counts in order. */
static void damage_modes(struct lk_state *st, enum damage what)
{
	struct lk_resource *r = &st->resources[lk_resource_find(st, (const uint8_t *)"vol:1", 5)];
	struct lk_resource *vm = &st->resources[lk_resource_find(st, (const uint8_t *)"vm:1", 4)];
	uint32_t l = r->queues[LK_QUEUE_GRANTED].head;

	if (what == INCOMPATIBLE) {
		lk_queue_set_mode(st, l, LK_PW);
	} else if (what == HEAD_CONVERT) {
		st->locks[l].told = LK_NL;
		lk_queue_set_mode(st, l, LK_NL);
	} else {
		for (l = vm->queues[LK_QUEUE_GRANTED].head; l != LK_NIL;
		     l = st->queue_links[l].next) {
			st->locks[l].told = LK_NL;
			lk_queue_set_mode(st, l, LK_NL);
		}
	}
}

static void every_broken_invariant_is_found(void **state)
{
	struct fixture *f = *state;
	struct fixture g;

	fill(f);
	fixture_init(&g, &small);
	for (enum damage what = 0; what < DAMAGE_MAX; what++) {
		assert_int_equal(lk_state_init(&g.st, g.mem, g.size, &small), 0);
		lk_state_copy(&g.st, &f->st);
		assert_null(lk_check(&g.st));
		if (what <= ORPHAN_ASKS)
			damage_tables(&g.st, what);
		else if (what == INCOMPATIBLE || what == HEAD_CONVERT || what == HEAD_WAIT)
			damage_modes(&g.st, what);
		else
			damage_resource(&g.st, what);
		assert_non_null(lk_check(&g.st));
		assert_string_equal(lk_check(&g.st), broken_texts[what]);
	}
	fixture_done(&g);
}

static void two_granted_locks_in_ex_are_found(void **state)
{
	struct fixture *f = *state;

	lock(f, 1, "r", LK_EX);
	lk_queue_set_mode(&f->st, lk_lock_find(&f->st, lock(f, 2, "r", LK_NL)), LK_EX);
	assert_string_equal(lk_check(&f->st), "no two granted locks are incompatible");
}

static void a_conversion_that_waits_for_one_behind_it_is_found(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, "r", LK_PR);
	uint64_t b = lock(f, 2, "r", LK_PR);
	struct lk_lock *l = &f->st.locks[lk_lock_find(&f->st, b)];

	lock(f, 3, "r", LK_PR);
	assert_int_equal(convert(f, a, LK_EX), 0);
	lk_queue_remove(&f->st, lk_lock_find(&f->st, b));
	l->requested = LK_EX;
	lk_queue_append(&f->st, lk_lock_find(&f->st, b), LK_QUEUE_CONVERTING);
	f->st.locks[lk_lock_find(&f->st, a)].told = LK_EX;
	assert_string_equal(lk_check(&f->st), "no conversion waits for one behind it");
}

static void a_lock_of_no_session_is_found(void **state)
{
	struct fixture *f = *state;
	uint32_t i = lk_lock_find(&f->st, lock(f, 1, "r", LK_PR));

	lk_list_remove(f->st.owner_links, &f->st.sessions[f->st.locks[i].session].locks, i);
	assert_string_equal(lk_check(&f->st), "every lock is in one queue and of one session");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(two_locks_share_a_resource_exactly_as_the_matrix_says),
		TEST(a_conversion_succeeds_at_once_exactly_if_the_other_holder_allows_it),
		TEST(words_exist_for_every_enum_value_and_for_none_beyond),
		TEST(a_compatible_request_waits_behind_one_that_waits),
		TEST(compatible_waiters_are_granted_together_up_to_the_first_that_is_not),
		TEST(conversions_are_granted_before_requests_that_waited_longer),
		TEST(a_waiter_that_would_fit_waits_while_a_conversion_is_blocked),
		TEST(a_conversion_up_waits_its_turn_even_if_it_would_fit),
		TEST(a_conversion_down_never_waits_and_lets_others_in),
		TEST(compatible_conversions_are_granted_together),
		TEST(a_stream_of_readers_does_not_starve_a_writer),
		TEST(the_second_of_two_conversions_that_block_each_other_is_denied),
		TEST(two_conversions_that_do_not_block_each_other_both_wait),
		TEST(a_conversion_is_denied_for_a_circle_with_any_in_the_queue),
		TEST(a_noqueue_request_is_denied_if_it_would_wait_and_leaves_no_trace),
		TEST(a_noqueue_request_does_not_overtake_a_waiter),
		TEST(a_noqueue_conversion_is_denied_if_it_would_wait_and_keeps_its_mode),
		TEST(a_new_resource_has_a_valid_value_of_zeros),
		TEST(the_value_is_returned_only_if_asked_for),
		TEST(conversions_move_the_value_exactly_as_the_table_says),
		TEST(an_unlock_writes_the_value_from_pw_and_ex_only),
		TEST(a_writer_without_valblk_leaves_the_value_as_it_was),
		TEST(a_waiter_granted_by_an_unlock_gets_the_value_written_by_it),
		TEST(a_conversion_that_waited_gets_the_value_of_the_moment_of_its_grant),
		TEST(the_death_of_a_pw_or_ex_holder_makes_the_value_invalid),
		TEST(an_invalid_value_is_valid_again_once_written),
		TEST(the_value_is_forgotten_with_the_last_lock),
		TEST(holders_in_the_way_are_told_in_the_order_of_their_grants),
		TEST(a_holder_is_told_again_only_of_a_higher_mode),
		TEST(a_holder_that_came_down_is_told_again_if_it_is_still_in_the_way),
		TEST(a_lock_that_is_in_the_way_when_granted_is_told_at_once),
		TEST(a_converting_holder_is_told_of_others_but_not_of_itself),
		TEST(a_holder_whose_conversion_is_granted_is_told_anew),
		TEST(a_cancelled_waiter_is_gone_and_the_next_is_granted),
		TEST(a_cancelled_conversion_falls_back_to_the_mode_held),
		TEST(a_cancel_that_comes_after_the_grant_is_refused),
		TEST(a_cancel_that_comes_after_the_unlock_is_refused),
		TEST(a_pending_lock_can_only_be_cancelled),
		TEST(a_session_with_a_lock_in_any_queue_cannot_be_closed),
		TEST(an_orphaned_session_keeps_its_grants_and_loses_what_it_asked_for),
		TEST(an_orphan_without_grants_ends_at_once),
		TEST(an_orphan_still_blocks_and_its_lock_is_told_of_waiters),
		TEST(a_late_request_of_an_orphan_is_refused),
		TEST(a_successor_adopts_all_locks_with_ids_modes_and_cookies),
		TEST(only_an_orphan_is_adopted_and_only_on_its_node),
		TEST(a_released_session_ends_and_its_waiters_are_granted),
		TEST(two_locks_of_one_dead_session_are_not_granted_to_each_other),
		TEST(a_fence_releases_the_names_with_its_prefix_and_no_others),
		TEST(a_fence_cancels_all_that_the_dead_node_waits_for),
		TEST(a_late_fence_of_an_old_incarnation_touches_nothing),
		TEST(a_repeated_fence_changes_nothing),
		TEST(an_exact_name_does_not_release_a_longer_one),
		TEST(a_transfer_moves_the_lock_in_one_step_past_all_waiters),
		TEST(after_a_transfer_the_old_owner_has_no_power_over_the_lock),
		TEST(a_transfer_leaves_the_value_alone),
		TEST(a_transfer_needs_exactly_one_lock_with_nothing_pending),
		TEST(a_transfer_is_refused_if_either_side_is_dead_or_the_same),
		TEST(a_bad_event_is_refused_with_its_reason),
		TEST(one_session_too_many_is_refused),
		TEST(one_resource_too_many_is_refused),
		TEST(one_lock_too_many_is_refused),
		TEST(one_waiter_or_conversion_too_many_is_refused),
		TEST(one_step_may_grant_and_tell_a_whole_table),
		TEST(more_actions_than_room_is_a_broken_invariant),
		TEST(bad_limits_and_bad_memory_are_refused),
		TEST(a_copy_in_other_memory_goes_on_like_the_original),
		TEST(equal_states_with_different_histories_of_memory_hash_equal),
		TEST(locks_are_listed_by_name_then_queue_then_place),
		TEST(sessions_are_listed_as_opened),
		TEST(a_thousand_names_are_sorted_and_survive_a_snapshot),
		TEST(a_decoded_snapshot_is_the_same_state),
		TEST(a_full_state_fits_into_the_announced_bytes),
		TEST(a_buffer_too_small_for_the_snapshot_is_refused),
		TEST(a_truncated_or_longer_snapshot_is_refused),
		TEST(a_snapshot_with_any_byte_changed_is_refused_or_is_exactly_what_it_says),
		TEST(a_snapshot_beyond_the_limits_is_refused),
		TEST(every_broken_invariant_is_found),
		TEST(two_granted_locks_in_ex_are_found),
		TEST(a_conversion_that_waits_for_one_behind_it_is_found),
		TEST(a_lock_of_no_session_is_found),
	};

	return cmocka_run_group_tests_name("lock_core", tests, NULL, NULL);
}
