/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator's book of grants: who is given what, and what has to come back first. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/core/grant.h"
#include "lib/must.h"

#define MIB (UINT64_C(1) << 20)

static const struct csv_handle file = {.ino = 7, .gen = 1};

struct fixture {
	struct grant_state s;
	struct grant_actions out;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	must(f);
	grant_init(&f->s, 5);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void step(struct fixture *f, struct grant_event e)
{
	assert_int_equal(grant_step(&f->s, &e, &f->out), 0);
	assert_null(grant_check(&f->s));
}

#define STEP(f, name, ...)                                                                         \
	step((f), (struct grant_event){.type = GRANT_EV_##name, .handle = file, __VA_ARGS__})

static size_t count_of(const struct fixture *f, enum grant_action_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < f->out.count; i++)
		n += f->out.item[i].kind == kind;
	return n;
}

/* A mount with a line, numbered like it. */
static void connect_mount(struct fixture *f, uint64_t mount)
{
	STEP(f, CHANNEL, .mount = mount, .conn = mount * 10);
}

static struct grant_action issue(struct fixture *f, uint64_t mount, bool is_write)
{
	STEP(f, ISSUE, .mount = mount, .is_write = is_write);
	assert_int_equal(f->out.count, 1);
	return f->out.item[0];
}

static void refused(struct fixture *f, uint64_t mount, enum csv_ungranted why)
{
	struct grant_action a = issue(f, mount, true);

	assert_int_equal(a.kind, GRANT_DO_REFUSED);
	assert_int_equal(a.why, why);
}

static void one_writer_is_alone_until_another_is_asked_for(void **state)
{
	struct fixture *f = *state;
	struct grant_action a;

	STEP(f, OPEN, .conn = 0);
	connect_mount(f, 1);
	connect_mount(f, 2);
	a = issue(f, 1, true);
	assert_int_equal(a.mode, CSV_GRANT_SOLE);
	assert_true(grant_is_sole_elsewhere(&f->s, &file, 2));
	refused(f, 2, CSV_UNGRANTED_RECALLED);
	assert_int_equal(issue(f, 2, false).mode, CSV_GRANT_READ);
	STEP(f, DONE, .mount = 1, .id = a.id);
	assert_int_equal(issue(f, 2, true).mode, CSV_GRANT_SOLE);
}

static void nothing_is_given_between_a_recall_and_its_end(void **state)
{
	struct fixture *f = *state;
	struct grant_action a;

	STEP(f, OPEN, .conn = 0);
	connect_mount(f, 1);
	connect_mount(f, 2);
	a = issue(f, 1, true);
	STEP(f, RECALL, .conn = 0);
	assert_int_equal(count_of(f, GRANT_DO_RECALL), 1);
	assert_false(grant_is_collected(&f->s, &file));
	refused(f, 2, CSV_UNGRANTED_RECALLED);
	STEP(f, DONE, .mount = 1, .id = a.id);
	assert_true(grant_is_collected(&f->s, &file));
	refused(f, 1, CSV_UNGRANTED_RECALLED);
	STEP(f, END, .conn = 0);
	assert_int_equal(issue(f, 1, true).kind, GRANT_DO_ISSUED);
}

static void a_recall_is_repeated_on_the_next_line_and_a_lost_one_frees_nothing(void **state)
{
	struct fixture *f = *state;

	STEP(f, OPEN, .conn = 0);
	connect_mount(f, 1);
	issue(f, 1, false);
	STEP(f, LOST, .conn = 10);
	refused(f, 1, CSV_UNGRANTED_CHANNEL);
	STEP(f, RECALL, .conn = 0);
	assert_int_equal(count_of(f, GRANT_DO_RECALL), 0);
	assert_false(grant_is_collected(&f->s, &file));
	STEP(f, CHANNEL, .mount = 1, .conn = 11);
	assert_int_equal(count_of(f, GRANT_DO_RECALL), 1);
	STEP(f, GONE, .mount = 1);
	assert_true(grant_is_collected(&f->s, &file));
}

static void the_return_of_an_older_grant_is_not_that_of_this_one(void **state)
{
	struct fixture *f = *state;
	struct grant_action old, now;

	STEP(f, OPEN, .conn = 0);
	connect_mount(f, 1);
	old = issue(f, 1, false);
	now = issue(f, 1, true);
	STEP(f, DONE, .mount = 1, .id = old.id);
	assert_true(grant_is_held(&f->s, &file));
	STEP(f, DONE, .mount = 1, .id = now.id, .has_written = true, .written = {.sec = 9});
	assert_int_equal(count_of(f, GRANT_DO_SETTLED), 1);
	assert_true(grant_find(&f->s, &file)->has_written);
	STEP(f, TOUCHED, .written = {.sec = 9});
	assert_null(grant_find(&f->s, &file));
}

static void a_new_coordinator_collects_nothing_before_all_have_told(void **state)
{
	struct fixture *f = *state;
	struct csv_grant_id id = {.term = 4, .serial = 3};

	connect_mount(f, 1);
	STEP(f, RECALL, .conn = 0);
	assert_false(grant_is_collected(&f->s, &file));
	refused(f, 1, CSV_UNGRANTED_RECALLED);
	STEP(f, RECLAIM, .mount = 1, .id = id, .mode = CSV_GRANT_SOLE);
	STEP(f, OPEN, .conn = 0);
	assert_false(grant_is_collected(&f->s, &file));
	STEP(f, DONE, .mount = 1, .id = id);
	assert_true(grant_is_collected(&f->s, &file));
}

static void writers_are_asked_and_asked_again_after_a_lost_line(void **state)
{
	struct fixture *f = *state;
	struct grant_action a;
	uint64_t serial;

	STEP(f, OPEN, .conn = 0);
	connect_mount(f, 1);
	a = issue(f, 1, true);
	STEP(f, ASK, .conn = 0);
	assert_int_equal(count_of(f, GRANT_DO_ASK), 1);
	serial = f->out.item[f->out.count - 1].serial;
	assert_false(grant_is_told(&f->s, &file, serial));
	STEP(f, LOST, .conn = 10);
	connect_mount(f, 1);
	STEP(f, ASK, .serial = serial);
	assert_int_equal(count_of(f, GRANT_DO_ASK), 1);
	STEP(f, TOLD, .mount = 1, .id = a.id, .serial = serial, .has_written = true,
	     .written = {.sec = 3});
	assert_true(grant_is_told(&f->s, &file, serial));
	assert_true(grant_find(&f->s, &file)->has_written);
}

static void failed(struct fixture *f, uint64_t origin, uint64_t serial)
{
	STEP(f, FAILED, .mount = origin,
	     .failure = {.handle = file, .origin = origin, .serial = serial, .error = ENODATA});
}

static void noted(struct fixture *f, uint64_t mount, uint64_t origin, uint64_t serial)
{
	STEP(f, NOTED, .mount = mount, .failure = {.origin = origin, .serial = serial});
}

static void one_that_owes_an_answer_for_too_long_is_silent(void **state)
{
	struct fixture *f = *state;
	struct grant_debt debt[GRANT_MOUNTS];
	struct grant_action a;
	uint64_t serial;

	STEP(f, OPEN, .conn = 0);
	connect_mount(f, 1);
	connect_mount(f, 2);
	a = issue(f, 1, true);
	assert_int_equal(grant_silent(&f->s, 999999, debt, GRANT_MOUNTS), 0);
	STEP(f, RECALL, .now_ms = 1000);
	STEP(f, LOST, .conn = 10); /* it is owed all the same */
	assert_int_equal(grant_silent(&f->s, 999 + GRANT_SILENT_MS, debt, GRANT_MOUNTS), 0);
	STEP(f, RECALL, .now_ms = 9000); /* somebody else waits, too: since the first */
	assert_int_equal(grant_silent(&f->s, 1000 + GRANT_SILENT_MS, debt, GRANT_MOUNTS), 1);
	assert_int_equal(debt[0].mount, 1);
	assert_int_equal(debt[0].handle.ino, file.ino);
	assert_int_equal(debt[0].since_ms, 1000);
	STEP(f, DONE, .mount = 1, .id = a.id);
	assert_int_equal(grant_silent(&f->s, 1000 + GRANT_SILENT_MS, debt, GRANT_MOUNTS), 0);
	STEP(f, END, .conn = 0);
	STEP(f, END, .conn = 0);
	/* To be asked, and not to note a failure. */
	connect_mount(f, 1);
	a = issue(f, 1, true);
	STEP(f, ASK, .now_ms = 50000);
	serial = f->out.item[f->out.count - 1].serial;
	assert_int_equal(grant_silent(&f->s, 50000 + GRANT_SILENT_MS, debt, GRANT_MOUNTS), 1);
	STEP(f, TOLD, .mount = 1, .id = a.id, .serial = serial);
	assert_int_equal(grant_silent(&f->s, 50000 + GRANT_SILENT_MS, debt, GRANT_MOUNTS), 0);
	STEP(f, FAILED, .now_ms = 60000, .failure = {.handle = file, .error = EIO});
	assert_int_equal(grant_silent(&f->s, 60000 + GRANT_SILENT_MS, debt, GRANT_MOUNTS), 2);
	assert_int_equal(grant_silent(&f->s, 60000 + GRANT_SILENT_MS, debt, 1), 1);
}

static void nobody_owes_what_nobody_waits_for(void **state)
{
	struct fixture *f = *state;
	struct grant_debt debt[GRANT_MOUNTS];

	STEP(f, OPEN, .conn = 0);
	connect_mount(f, 1);
	issue(f, 1, true);
	STEP(f, RECALL, .now_ms = 1000);
	STEP(f, END, .conn = 0);
	assert_int_equal(grant_silent(&f->s, 1000 + GRANT_SILENT_MS, debt, GRANT_MOUNTS), 0);
	STEP(f, UNWANTED, .now_ms = 2000); /* nobody waits for the space */
	assert_int_equal(grant_silent(&f->s, 2000 + GRANT_SILENT_MS, debt, GRANT_MOUNTS), 0);
}

static void a_failure_is_told_to_all_and_to_who_has_found_it_last(void **state)
{
	struct fixture *f = *state;

	STEP(f, OPEN, .conn = 0);
	for (uint64_t m = 1; m <= 3; m++)
		connect_mount(f, m);
	failed(f, 1, 4);
	assert_int_equal(count_of(f, GRANT_DO_FAILED), 2);
	failed(f, 1, 4); /* again, over a new line */
	assert_int_equal(f->out.count, 0);
	noted(f, 2, 1, 4);
	assert_int_equal(count_of(f, GRANT_DO_FAILED), 0);
	STEP(f, LOST, .conn = 30);
	connect_mount(f, 3);
	assert_int_equal(count_of(f, GRANT_DO_FAILED), 1);
	assert_true(grant_is_failing(&f->s, &file));
	noted(f, 3, 1, 4);
	assert_int_equal(f->out.item[0].conn, 10);
	assert_true(grant_is_failing(&f->s, &file));
	noted(f, 1, 1, 4);
	assert_false(grant_is_failing(&f->s, &file));
}

static void a_new_coordinator_tells_of_a_failure_when_all_are_there(void **state)
{
	struct fixture *f = *state;

	connect_mount(f, 1);
	failed(f, 1, 4);
	noted(f, 1, 1, 4);
	assert_true(grant_is_failing(&f->s, &file));
	connect_mount(f, 2);
	STEP(f, OPEN, .conn = 0);
	assert_true(grant_is_failing(&f->s, &file));
	connect_mount(f, 3); /* has begun since: has nothing open of that time */
	noted(f, 2, 1, 4);
	assert_false(grant_is_failing(&f->s, &file));
}

static void a_failure_of_its_own_waits_for_those_who_live(void **state)
{
	struct fixture *f = *state;
	struct csv_frame_failed own;

	STEP(f, OPEN, .conn = 0);
	connect_mount(f, 1);
	connect_mount(f, 2);
	STEP(f, FAILED, .failure = {.handle = file, .error = EIO});
	assert_int_equal(count_of(f, GRANT_DO_FAILED), 2);
	own = f->out.item[0].failure;
	assert_int_equal(own.origin, 5); /* its term */
	noted(f, 1, own.origin, own.serial);
	assert_true(grant_is_failing(&f->s, &file));
	STEP(f, GONE, .mount = 2);
	assert_false(grant_is_failing(&f->s, &file));
}

static void the_word_of_one_who_has_gone_is_passed_on_all_the_same(void **state)
{
	struct fixture *f = *state;

	STEP(f, OPEN, .conn = 0);
	for (uint64_t m = 1; m <= 2; m++)
		connect_mount(f, m);
	STEP(f, GONE, .mount = 1);
	STEP(f, FORGET, .mount = 1);
	connect_mount(f, 3);
	failed(f, 1, 4); /* it was on its way when the mount died */
	assert_int_equal(count_of(f, GRANT_DO_FAILED), 2); /* when it happened, nobody can say */
	noted(f, 2, 1, 4);
	assert_true(grant_is_failing(&f->s, &file));
	noted(f, 3, 1, 4); /* and nobody waits for who has found it */
	assert_false(grant_is_failing(&f->s, &file));
}

static void a_table_that_is_full_refuses(void **state)
{
	struct fixture *f = *state;

	STEP(f, OPEN, .conn = 0);
	connect_mount(f, 1);
	for (uint64_t i = 0; i < GRANT_ROWS; i++) {
		struct grant_event e = {
			.type = GRANT_EV_ISSUE, .mount = 1, .handle = {.ino = 100 + i, .gen = 1}};

		must(!grant_step(&f->s, &e, &f->out));
		must(f->out.item[0].kind == GRANT_DO_ISSUED);
	}
	refused(f, 1, CSV_UNGRANTED_FULL);
	STEP(f, GONE, .mount = 1);
	STEP(f, FORGET, .mount = 1);
	assert_int_equal(f->s.rows, 0);
}

static void only_whole_written_maps_are_granted(void **state)
{
	struct grant_piece p[2] = {{.address = MIB, .length = MIB},
				   {.offset = MIB, .address = 8 * MIB, .length = MIB}};
	bool is_shared = true;

	(void)state;
	assert_int_equal(grant_judge(p, 2, 2 * MIB, true, 0, &is_shared), CSV_UNGRANTED_NOTHING);
	assert_false(is_shared);
	assert_int_equal(grant_judge(p, 2, 2 * MIB + 4096, true, 0, &is_shared),
			 CSV_UNGRANTED_UNWRITTEN);
	assert_int_equal(grant_judge(p, 1, MIB - 4096, true, 0, &is_shared), CSV_UNGRANTED_SMALL);
	assert_int_equal(grant_judge(p, 2, MIB + 512, true, 0, &is_shared), CSV_UNGRANTED_SIZE);
	p[1].offset += 4096;
	assert_int_equal(grant_judge(p, 2, 2 * MIB, true, 0, &is_shared), CSV_UNGRANTED_UNWRITTEN);
	p[1].offset = MIB;
	p[1].is_shared = true;
	assert_int_equal(grant_judge(p, 2, 2 * MIB, true, 0, &is_shared), CSV_UNGRANTED_SHARED);
	assert_int_equal(grant_judge(p, 2, 2 * MIB, false, 0, &is_shared), CSV_UNGRANTED_NOTHING);
	assert_true(is_shared);
	p[0].is_unwritten = true;
	assert_int_equal(grant_judge(p, 2, 2 * MIB, false, 0, &is_shared), CSV_UNGRANTED_UNWRITTEN);
	p[0].is_unwritten = false;
	p[0].is_other = true;
	assert_int_equal(grant_judge(p, 2, 2 * MIB, false, 0, &is_shared), CSV_UNGRANTED_EXTENTS);
}

static void the_orders_are_kept(void **state)
{
	(void)state;
	assert_int_equal(grant_make_first(0), GRANT_MAKE_FORCE);
	assert_int_equal(grant_make_next(GRANT_MAKE_FORCE, true, 0), GRANT_MAKE_EMPTY);
	assert_int_equal(grant_make_next(GRANT_MAKE_EMPTY, false, 0), GRANT_MAKE_REFUSE);
	assert_int_equal(grant_make_next(GRANT_MAKE_EMPTY, true, 0), GRANT_MAKE_MAP);
	assert_int_equal(grant_make_next(GRANT_MAKE_MAP, true, 0), GRANT_MAKE_ISSUE);
	assert_int_equal(grant_change_first(0), GRANT_CHANGE_RECALL);
	assert_int_equal(grant_change_next(GRANT_CHANGE_RECALL, true, 0), GRANT_CHANGE_LOCK);
	assert_int_equal(grant_change_next(GRANT_CHANGE_LOCK, true, 0), GRANT_CHANGE_LOOK);
	assert_int_equal(grant_change_next(GRANT_CHANGE_LOOK, false, 0), GRANT_CHANGE_RECALL);
	assert_int_equal(grant_change_next(GRANT_CHANGE_LOOK, true, 0), GRANT_CHANGE_GO);
}

static void another_process_of_a_mount_has_nothing_and_is_given_anew(void **state)
{
	struct fixture *f = *state;
	const struct csv_time now = {.sec = 99, .nsec = 5};
	struct grant_action a;

	STEP(f, OPEN, .conn = 0);
	connect_mount(f, 1);
	connect_mount(f, 2);
	issue(f, 1, true);
	STEP(f, RECALL, .conn = 0);
	assert_false(grant_is_collected(&f->s, &file));
	STEP(f, REPLACED, .mount = 1, .written = now);
	assert_int_equal(count_of(f, GRANT_DO_CLOSE), 1);
	assert_int_equal(count_of(f, GRANT_DO_LOOK), 1); /* who has waited for it */
	assert_true(grant_is_collected(&f->s, &file));
	assert_true(f->s.row[0].has_written);
	assert_int_equal(f->s.row[0].written.sec, 99);
	STEP(f, END, .conn = 0);
	/* Without a line it is given nothing; then like any other. */
	refused(f, 1, CSV_UNGRANTED_CHANNEL);
	STEP(f, CHANNEL, .mount = 1, .conn = 11);
	assert_int_equal(f->out.item[0].kind, GRANT_DO_LOOK);
	a = issue(f, 1, true);
	assert_int_equal(a.kind, GRANT_DO_ISSUED);
	/* Who has not begun, or has gone, is not replaced. */
	STEP(f, GONE, .mount = 2);
	STEP(f, REPLACED, .mount = 2, .written = now);
	assert_int_equal(f->out.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_writer_is_alone_until_another_is_asked_for),
		TEST(nothing_is_given_between_a_recall_and_its_end),
		TEST(a_recall_is_repeated_on_the_next_line_and_a_lost_one_frees_nothing),
		TEST(the_return_of_an_older_grant_is_not_that_of_this_one),
		TEST(a_new_coordinator_collects_nothing_before_all_have_told),
		TEST(writers_are_asked_and_asked_again_after_a_lost_line),
		TEST(one_that_owes_an_answer_for_too_long_is_silent),
		TEST(nobody_owes_what_nobody_waits_for),
		TEST(a_failure_is_told_to_all_and_to_who_has_found_it_last),
		TEST(a_new_coordinator_tells_of_a_failure_when_all_are_there),
		TEST(a_failure_of_its_own_waits_for_those_who_live),
		TEST(the_word_of_one_who_has_gone_is_passed_on_all_the_same),
		TEST(another_process_of_a_mount_has_nothing_and_is_given_anew),
		TEST(a_table_that_is_full_refuses),
		cmocka_unit_test(only_whole_written_maps_are_granted),
		cmocka_unit_test(the_orders_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
