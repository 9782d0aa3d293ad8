/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator's book of what mounts have been promised. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "csvfs/core/promise.h"
#include "lib/must.h"

static const struct csv_handle file = {.ino = 10, .gen = 1}, other = {.ino = 11, .gen = 1};

struct book {
	struct promise_state state;
	struct promise_actions out;
	uint64_t now_ms;
};

static int step(struct book *b, struct promise_event e)
{
	int r;

	e.now_ms = b->now_ms;
	r = promise_step(&b->state, &e, &b->out);
	assert_null(promise_check(&b->state));
	return r;
}

static void has_line(struct book *b, uint64_t mount)
{
	assert_int_equal(step(b, (struct promise_event){.type = PROMISE_EV_CHANNEL,
							.mount = mount,
							.conn = 100 + mount}),
			 0);
	assert_int_equal(step(b, (struct promise_event){.type = PROMISE_EV_RENEW, .mount = mount}),
			 0);
}

static bool give(struct book *b, uint64_t mount, struct csv_handle h)
{
	step(b, (struct promise_event){.type = PROMISE_EV_GIVE, .mount = mount, .handle = h});
	return b->out.count && b->out.item[b->out.count - 1].kind == PROMISE_DO_GIVEN;
}

static void breaks(struct book *b, uint64_t except, struct csv_handle h)
{
	step(b, (struct promise_event){.type = PROMISE_EV_BREAK, .mount = except, .handle = h});
}

static void done(struct book *b, uint64_t mount, struct csv_handle h, uint64_t serial)
{
	step(b, (struct promise_event){
			.type = PROMISE_EV_DONE, .mount = mount, .handle = h, .serial = serial});
}

static int setup(void **state)
{
	struct book *b = calloc(1, sizeof(*b));

	must(b);
	b->now_ms = 1000;
	promise_init(&b->state);
	has_line(b, 1);
	has_line(b, 2);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void all_others_are_told_and_waited_for(void **state)
{
	struct book *b = *state;
	uint64_t serial;

	assert_true(give(b, 1, file));
	assert_true(give(b, 2, file));
	breaks(b, 1, file);
	assert_int_equal(b->out.count, 1);
	assert_int_equal(b->out.item[0].kind, PROMISE_DO_BREAK);
	assert_int_equal(b->out.item[0].conn, 102);
	serial = b->out.item[0].serial;
	assert_false(promise_is_collected(&b->state, &file, 1));
	assert_false(give(b, 1, file)); /* while it is asked back */
	done(b, 2, file, serial);
	assert_int_equal(b->out.item[0].kind, PROMISE_DO_LOOK);
	assert_true(promise_is_collected(&b->state, &file, 1));
	/* What it looks after by itself, it still has: the next one tells it, too. */
	breaks(b, 0, file);
	assert_int_equal(b->out.item[0].conn, 101);
}

static void the_answer_to_an_earlier_break_does_not_count(void **state)
{
	struct book *b = *state;
	uint64_t first;

	assert_true(give(b, 1, file));
	breaks(b, 0, file);
	first = b->out.item[0].serial;
	done(b, 1, file, first);
	assert_true(give(b, 1, file));
	breaks(b, 0, file);
	done(b, 1, file, first); /* once more, from a line that is slow */
	assert_false(promise_is_collected(&b->state, &file, 0));
	done(b, 1, file, first + 2);
	assert_true(promise_is_collected(&b->state, &file, 0));
}

static void who_is_silent_has_no_promises_after_its_time(void **state)
{
	struct book *b = *state;

	assert_true(give(b, 1, file));
	assert_true(give(b, 1, other));
	breaks(b, 0, file);
	assert_int_equal(promise_over_ms(&b->state, &file, 0), 1000 + PROMISE_LEASE_MS);
	b->now_ms += PROMISE_LEASE_MS - 1;
	step(b, (struct promise_event){.type = PROMISE_EV_TIME});
	assert_false(promise_is_collected(&b->state, &file, 0));
	b->now_ms++;
	step(b, (struct promise_event){.type = PROMISE_EV_TIME});
	assert_int_equal(b->out.item[0].kind, PROMISE_DO_OVER);
	assert_int_equal(b->out.item[0].mount, 1);
	assert_true(promise_is_collected(&b->state, &file, 0));
	assert_true(promise_is_collected(&b->state, &other, 0));
	assert_int_equal(promise_over_ms(&b->state, &file, 0), 0);
	/* Nor is it promised anything before it renews. */
	assert_false(give(b, 1, file));
	has_line(b, 1);
	assert_true(give(b, 1, file));
}

static void over_a_new_line_it_forgets_all_before_it_is_promised_more(void **state)
{
	struct book *b = *state;
	uint64_t serial;

	assert_true(give(b, 1, file));
	assert_true(give(b, 1, other));
	breaks(b, 0, file); /* and is lost with the line */
	step(b, (struct promise_event){.type = PROMISE_EV_LOST, .conn = 101});
	assert_false(promise_is_collected(&b->state, &file, 0));
	step(b, (struct promise_event){.type = PROMISE_EV_CHANNEL, .mount = 1, .conn = 201});
	assert_int_equal(b->out.count, 1);
	assert_int_equal(b->out.item[0].kind, PROMISE_DO_BREAK);
	assert_int_equal(b->out.item[0].conn, 201);
	assert_int_equal(b->out.item[0].handle.ino, 0);
	serial = b->out.item[0].serial;
	assert_false(give(b, 1, other));
	done(b, 1, (struct csv_handle){0}, serial - 1);
	assert_false(promise_is_collected(&b->state, &file, 0));
	done(b, 1, (struct csv_handle){0}, serial);
	assert_true(promise_is_collected(&b->state, &file, 0));
	assert_true(promise_is_collected(&b->state, &other, 0));
	assert_true(give(b, 1, other));
}

static void a_line_that_is_new_and_has_lost_nothing_changes_nothing(void **state)
{
	struct book *b = *state;

	assert_true(give(b, 1, file));
	step(b, (struct promise_event){.type = PROMISE_EV_LOST, .conn = 101});
	assert_false(give(b, 1, other)); /* nobody could break it */
	step(b, (struct promise_event){.type = PROMISE_EV_CHANNEL, .mount = 1, .conn = 201});
	assert_int_equal(b->out.count, 0);
	assert_false(promise_is_collected(&b->state, &file, 0));
	assert_true(give(b, 1, other));
}

static void who_has_ended_has_none(void **state)
{
	struct book *b = *state;

	assert_true(give(b, 1, file));
	step(b, (struct promise_event){.type = PROMISE_EV_GONE, .mount = 1});
	assert_true(promise_is_collected(&b->state, &file, 0));
	assert_false(give(b, 1, file));
	assert_true(give(b, 2, file));
	step(b, (struct promise_event){.type = PROMISE_EV_RESET, .mount = 2});
	assert_true(promise_is_collected(&b->state, &file, 0));
	assert_true(give(b, 2, file));
}

static void a_full_book_promises_nothing_and_makes_room(void **state)
{
	struct book *b = *state;
	struct csv_handle h = {.gen = 1}, more = {.ino = 1, .gen = 2};
	struct promise_actions *out = &b->out;

	for (h.ino = 1; h.ino <= PROMISE_ROWS; h.ino++)
		promise_step(&b->state,
			     &(struct promise_event){.type = PROMISE_EV_GIVE,
						     .mount = 1,
						     .handle = h,
						     .now_ms = b->now_ms},
			     out);
	assert_int_equal(b->state.rows, PROMISE_ROWS);
	assert_false(give(b, 2, more));
	assert_int_equal(out->count, 1);
	assert_int_equal(out->item[0].kind, PROMISE_DO_BREAK);
	done(b, 1, out->item[0].handle, out->item[0].serial);
	assert_true(give(b, 2, more));
}

static void too_many_mounts_are_refused(void **state)
{
	struct book *b = *state;

	for (uint64_t m = 3; m <= PROMISE_MOUNTS; m++)
		has_line(b, m);
	assert_int_equal(step(b, (struct promise_event){.type = PROMISE_EV_RENEW, .mount = 99}),
			 -ENOSPC);
	assert_false(give(b, 99, file));
}

static void a_mount_looks_after_what_its_request_names(void **state)
{
	struct csv_request q = {.op = CSV_OP_RENAME};
	struct csv_handle minds[PROMISE_MINDS];

	(void)state;
	q.rename.parent = q.rename.new_parent = file;
	q.child[0] = other;
	assert_int_equal(promise_minds(&q, minds), 2);
	assert_true(csv_handle_equal(&minds[0], &file));
	assert_true(csv_handle_equal(&minds[1], &other));
	q.child[1] = (struct csv_handle){.ino = 12, .gen = 1};
	q.rename.new_parent = (struct csv_handle){.ino = 13, .gen = 1};
	assert_int_equal(promise_minds(&q, minds), 4);
	q = (struct csv_request){.op = CSV_OP_GETATTR, .getattr = {.handle = file}};
	assert_int_equal(promise_minds(&q, minds), 0);
	/* Only for writing it changes: times, and privileges. */
	q = (struct csv_request){.op = CSV_OP_GRANT, .grant = {.handle = file}};
	assert_int_equal(promise_minds(&q, minds), 0);
	q.grant.is_write = true;
	assert_int_equal(promise_minds(&q, minds), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(all_others_are_told_and_waited_for),
		TEST(the_answer_to_an_earlier_break_does_not_count),
		TEST(who_is_silent_has_no_promises_after_its_time),
		TEST(over_a_new_line_it_forgets_all_before_it_is_promised_more),
		TEST(a_line_that_is_new_and_has_lost_nothing_changes_nothing),
		TEST(who_has_ended_has_none),
		TEST(a_full_book_promises_nothing_and_makes_room),
		TEST(too_many_mounts_are_refused),
		cmocka_unit_test(a_mount_looks_after_what_its_request_names),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
