/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mount's side of grants: what may go direct, and when what was granted goes back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/core/direct.h"
#include "lib/must.h"

#define MOUNT 99

static const struct csv_handle file = {.ino = 7, .gen = 1};

struct fixture {
	struct direct_state s;
	struct direct_actions out;
	uint64_t now_ms;
};

static void step(struct fixture *f, struct direct_event e)
{
	e.now_ms = f->now_ms;
	e.may_ask = true;
	direct_step(&f->s, &e, &f->out);
	assert_null(direct_check(&f->s));
}

#define STEP(f, name, ...)                                                                         \
	step((f), (struct direct_event){.type = DIRECT_EV_##name, .handle = file, __VA_ARGS__})
#define GRANT(n) ((struct csv_grant_id){.term = 1, .serial = (n)})

/* One action, and of that kind. */
static struct direct_action one(const struct fixture *f, enum direct_action_kind kind)
{
	assert_int_equal(f->out.count, 1);
	assert_int_equal(f->out.item[0].kind, kind);
	return f->out.item[0];
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	must(f);
	f->now_ms = 1000;
	direct_init(&f->s, MOUNT);
	STEP(f, LEASE, .has_lease = true);
	STEP(f, OPENED, .now_ms = 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void grant(struct fixture *f, uint64_t serial, enum csv_grant_mode mode)
{
	STEP(f, BEGIN, .is_write = mode != CSV_GRANT_READ);
	one(f, DIRECT_DO_ASK);
	STEP(f, ISSUED, .id = GRANT(serial), .mode = mode);
	assert_int_equal(f->out.count, 0);
}

static size_t begin(struct fixture *f, bool is_write)
{
	STEP(f, BEGIN, .is_write = is_write);
	return one(f, DIRECT_DO_GO).file;
}

static void home(struct fixture *f)
{
	STEP(f, BEGIN, .is_write = true);
	one(f, DIRECT_DO_HOME);
}

static void io_goes_direct_under_a_grant_only(void **state)
{
	struct fixture *f = *state;
	size_t row;

	grant(f, 1, CSV_GRANT_SOLE);
	row = begin(f, true);
	assert_true(direct_is_sole(&f->s, &file));
	STEP(f, END, .file = row, .is_write = true, .written = {.sec = 5});
	assert_int_equal(f->out.count, 0);
	STEP(f, CLOSED, .now_ms = 0);
	assert_int_equal(one(f, DIRECT_DO_RETURN).written.sec, 5);
	home(f); /* nobody has it open */
}

static void a_recall_is_answered_when_the_last_io_has_ended(void **state)
{
	struct fixture *f = *state;
	size_t row;

	grant(f, 1, CSV_GRANT_SOLE);
	row = begin(f, true);
	begin(f, false);
	STEP(f, RECALL, .id = GRANT(1));
	assert_int_equal(f->out.count, 0);
	home(f);
	STEP(f, END, .file = row);
	assert_int_equal(f->out.count, 0);
	STEP(f, END, .file = row, .is_write = true, .written = {.sec = 9});
	assert_true(one(f, DIRECT_DO_DONE).has_written);
	home(f); /* not at once again */
	f->now_ms += DIRECT_BACKOFF_MS;
	STEP(f, BEGIN, .is_write = true);
	one(f, DIRECT_DO_ASK);
}

static void what_is_set_aside_by_hand_goes_home_and_comes_back(void **state)
{
	struct fixture *f = *state;
	size_t row;

	STEP(f, LEASE, .has_lease = true);
	STEP(f, CONFIRMED);
	grant(f, 1, CSV_GRANT_SOLE);
	row = begin(f, true);
	assert_int_equal(direct_io_state(&f->s, true), DIRECT_ACTIVE);
	STEP(f, ASIDE, .is_aside = true);
	assert_int_equal(f->out.count, 0); /* what is under way ends first */
	assert_int_equal(direct_io_state(&f->s, true), DIRECT_REDIRECTED);
	assert_int_equal(direct_io_state(&f->s, false), DIRECT_PAUSED);
	home(f);
	STEP(f, END, .file = row, .is_write = true, .written = {.sec = 5});
	assert_int_equal(one(f, DIRECT_DO_RETURN).written.sec, 5);
	/* a path that is lost and found meanwhile changes nothing of that */
	STEP(f, BLOCK, .block = DIRECT_PATH_ERROR);
	STEP(f, PATH);
	home(f);
	STEP(f, ASIDE, .is_aside = false);
	assert_int_equal(direct_io_state(&f->s, true), DIRECT_ACTIVE);
	grant(f, 2, CSV_GRANT_SOLE);
	/* an answer that comes too late goes back at once */
	STEP(f, ASIDE, .is_aside = true);
	one(f, DIRECT_DO_RETURN);
	STEP(f, ASIDE, .is_aside = false);
	STEP(f, BEGIN, .is_write = true);
	one(f, DIRECT_DO_ASK);
	STEP(f, ASIDE, .is_aside = true);
	STEP(f, ISSUED, .id = GRANT(3), .mode = CSV_GRANT_SOLE);
	one(f, DIRECT_DO_RETURN);
}

static void a_grant_that_was_recalled_before_its_answer_is_not_used(void **state)
{
	struct fixture *f = *state;

	STEP(f, BEGIN, .is_write = true);
	one(f, DIRECT_DO_ASK);
	STEP(f, RECALL, .id = GRANT(4));
	one(f, DIRECT_DO_DONE);
	STEP(f, ISSUED, .id = GRANT(4), .mode = CSV_GRANT_SOLE);
	home(f);
}

/* The answer has come, and is looked at when the next coordinator has been told what there is. */
static void a_grant_of_a_coordinator_that_is_no_more_is_not_used(void **state)
{
	struct fixture *f = *state;

	STEP(f, BEGIN, .is_write = true);
	one(f, DIRECT_DO_ASK);
	STEP(f, RECLAIM, .id = {.term = 2});
	assert_int_equal(f->out.count, 0);
	STEP(f, ISSUED, .id = GRANT(4), .mode = CSV_GRANT_SOLE);
	home(f);
	f->now_ms += DIRECT_BACKOFF_MS;
	STEP(f, BEGIN, .is_write = true);
	one(f, DIRECT_DO_ASK);
	STEP(f, RECLAIM, .id = {.term = 2}); /* what the new one gives is good */
	STEP(f, ISSUED, .id = {.term = 2, .serial = 1}, .mode = CSV_GRANT_SOLE);
	begin(f, true);
}

/* What it had before is what the new coordinator was told of: that goes back. */
static void the_older_grant_goes_back_for_one_that_comes_too_late(void **state)
{
	struct fixture *f = *state;
	size_t row;

	grant(f, 1, CSV_GRANT_READ);
	row = begin(f, false);
	STEP(f, BEGIN, .is_write = true);
	one(f, DIRECT_DO_ASK);
	assert_true(direct_must_reclaim(&f->s, row));
	STEP(f, RECLAIM, .id = {.term = 2});
	STEP(f, ISSUED, .id = GRANT(2), .mode = CSV_GRANT_SOLE);
	assert_int_equal(f->out.count, 0);
	home(f);
	STEP(f, END, .file = row);
	assert_int_equal(one(f, DIRECT_DO_RETURN).id.serial, 1);
}

static void a_grant_for_reading_is_exchanged_for_one_for_writing(void **state)
{
	struct fixture *f = *state;
	size_t row;

	grant(f, 1, CSV_GRANT_READ);
	row = begin(f, false);
	STEP(f, BEGIN, .is_write = true);
	one(f, DIRECT_DO_ASK);
	STEP(f, RECALL, .id = GRANT(2)); /* of the one that is on its way */
	assert_int_equal(f->out.count, 0);
	STEP(f, ISSUED, .id = GRANT(2), .mode = CSV_GRANT_SOLE);
	assert_int_equal(f->out.count, 0);
	STEP(f, END, .file = row);
	assert_int_equal(one(f, DIRECT_DO_DONE).id.serial, 2);
}

static void a_refusal_is_not_asked_for_again_at_once(void **state)
{
	struct fixture *f = *state;

	STEP(f, BEGIN, .is_write = true);
	STEP(f, REFUSED, .why = CSV_UNGRANTED_UNWRITTEN);
	home(f);
	f->now_ms += DIRECT_BACKOFF_MS;
	STEP(f, BEGIN, .is_write = true);
	one(f, DIRECT_DO_ASK);
	STEP(f, REFUSED, .why = CSV_UNGRANTED_UNWRITTEN);
	f->now_ms += DIRECT_BACKOFF_MS;
	home(f);
}

static void a_lost_path_returns_what_it_had_as_it_drains(void **state)
{
	struct fixture *f = *state;
	size_t row;

	grant(f, 1, CSV_GRANT_SOLE);
	row = begin(f, true);
	STEP(f, BLOCK, .block = DIRECT_PATH_HUNG);
	assert_int_equal(f->out.count, 0);
	home(f);
	assert_int_equal(direct_io_state(&f->s, true), DIRECT_REDIRECTED);
	assert_int_equal(direct_io_state(&f->s, false), DIRECT_PAUSED);
	assert_true(direct_must_reclaim(&f->s, row));
	STEP(f, END, .file = row, .is_write = true);
	one(f, DIRECT_DO_RETURN);
	assert_false(direct_must_reclaim(&f->s, row));
	STEP(f, PATH, .now_ms = 0);
	assert_int_equal(direct_io_state(&f->s, true), DIRECT_ACTIVE);
	grant(f, 2, CSV_GRANT_SOLE);
}

static void without_a_lease_nothing_goes_direct_until_a_coordinator_knows_us(void **state)
{
	struct fixture *f = *state;
	size_t row;

	grant(f, 1, CSV_GRANT_SOLE);
	row = begin(f, true);
	STEP(f, LEASE, .has_lease = false);
	home(f);
	assert_false(direct_is_quiet(&f->s));
	STEP(f, END, .file = row, .is_write = true);
	assert_true(direct_is_quiet(&f->s));
	assert_int_equal(direct_io_state(&f->s, true), DIRECT_PAUSED);
	STEP(f, LEASE, .has_lease = true);
	home(f);
	STEP(f, CONFIRMED, .now_ms = 0);
	begin(f, true);
}

/* One write of the file that no flush covers. */
static void write_once(struct fixture *f)
{
	STEP(f, END, .file = begin(f, true), .is_write = true);
}

static void a_write_of_part_of_a_block_goes_home(void **state)
{
	struct fixture *f = *state;

	grant(f, 1, CSV_GRANT_SOLE);
	STEP(f, BEGIN, .is_write = true, .is_partial = true);
	one(f, DIRECT_DO_HOME);
	STEP(f, BEGIN, .is_partial = true); /* a read is of the blocks around it */
	one(f, DIRECT_DO_GO);
}

static void a_failed_flush_is_told_to_each_open_once(void **state)
{
	struct fixture *f = *state;
	uint64_t first = errors_sample(&f->s.errors), second = first, later;

	grant(f, 1, CSV_GRANT_SOLE);
	write_once(f);
	STEP(f, FAILED, .serial = f->s.writes, .error = ENODATA);
	assert_int_equal(one(f, DIRECT_DO_FAILED).failure.origin, MOUNT);
	later = errors_sample(&f->s.errors);
	assert_int_equal(errors_take(&f->s.errors, &file, &first), ENODATA);
	assert_int_equal(errors_take(&f->s.errors, &file, &first), 0);
	assert_int_equal(errors_take(&f->s.errors, &file, &second), ENODATA);
	assert_int_equal(errors_take(&f->s.errors, &file, &later), 0);
	/* What the disk has not taken is not tried again. */
	assert_int_equal(f->s.flushed, f->s.writes);
}

static void a_failure_is_told_again_until_the_coordinator_has_told_all(void **state)
{
	struct fixture *f = *state;
	struct csv_frame_failed told;
	uint64_t seen;

	grant(f, 1, CSV_GRANT_SOLE);
	write_once(f);
	STEP(f, FAILED, .serial = f->s.writes, .error = ENODATA);
	told = one(f, DIRECT_DO_FAILED).failure;
	STEP(f, CLOSED, .now_ms = 0);
	STEP(f, CONFIRMED, .now_ms = 0);
	assert_int_equal(one(f, DIRECT_DO_FAILED).failure.serial, told.serial);
	STEP(f, OPENED, .now_ms = 0);
	seen = errors_sample(&f->s.errors);
	STEP(f, HEARD, .failure = told);
	one(f, DIRECT_DO_NOTED);
	assert_int_equal(errors_take(&f->s.errors, &file, &seen), 0); /* it is the same one */
	STEP(f, CONFIRMED, .now_ms = 0);
	assert_int_equal(f->out.count, 0);
}

static void a_flush_covers_what_was_written_before_it(void **state)
{
	struct fixture *f = *state;
	uint64_t seen = errors_sample(&f->s.errors), before;

	grant(f, 1, CSV_GRANT_SOLE);
	write_once(f);
	before = f->s.writes;
	write_once(f);
	STEP(f, FLUSHED, .serial = before);
	STEP(f, FAILED, .serial = before, .error = ENODATA);
	assert_int_equal(f->out.count, 0);
	STEP(f, FLUSHED, .serial = f->s.writes);
	STEP(f, FAILED, .serial = f->s.writes, .error = ENODATA);
	assert_int_equal(f->out.count, 0);
	assert_int_equal(errors_take(&f->s.errors, &file, &seen), 0);
}

static void what_was_written_is_remembered_over_the_last_close(void **state)
{
	struct fixture *f = *state;

	grant(f, 1, CSV_GRANT_SOLE);
	write_once(f);
	assert_false(direct_wants_flush(&f->s));
	STEP(f, CLOSED, .now_ms = 0);
	assert_true(direct_wants_flush(&f->s));
	STEP(f, FAILED, .serial = f->s.writes, .error = ENODATA);
	one(f, DIRECT_DO_FAILED);
	assert_false(direct_wants_flush(&f->s));
}

static void errors_of_the_path_are_told_from_those_of_the_lun(void **state)
{
	(void)state;
	assert_true(direct_is_path_error(EIO));
	assert_true(direct_is_path_error(ENOLINK));
	assert_true(direct_is_path_error(ETIMEDOUT));
	assert_true(direct_is_path_error(ENODEV));
	assert_false(direct_is_path_error(ENODATA));
	assert_false(direct_is_path_error(EREMOTEIO));
	assert_false(direct_is_path_error(ENOSPC));
	assert_false(direct_is_path_error(EILSEQ));
}

static void more_failures_than_can_be_kept_are_told_to_all(void **state)
{
	struct fixture *f = *state;
	const struct csv_handle other = {.ino = 5000, .gen = 1};
	uint64_t seen = errors_sample(&f->s.errors), newer;

	for (uint64_t i = 1; i <= ERRORS_FILES + 1; i++)
		assert_true(errors_note(&f->s.errors,
					&(struct csv_frame_failed){.handle = {.ino = i, .gen = 1},
								   .origin = 5,
								   .serial = i,
								   .error = ENODATA}));
	newer = errors_sample(&f->s.errors);
	assert_int_equal(errors_take(&f->s.errors, &other, &seen), ENODATA);
	assert_int_equal(errors_take(&f->s.errors, &other, &seen), 0);
	assert_int_equal(errors_take(&f->s.errors, &other, &newer), 0);
}

/* Of which file the failures were, it does not know: all that missed one are told, once. */
static void the_next_process_tells_opens_what_they_have_not_been_told(void **state)
{
	const struct csv_handle other = {.ino = 8, .gen = 1};
	struct fixture *f = *state;
	uint64_t early = 3, told = 5, new;

	direct_init(&f->s, MOUNT);
	direct_go_on(&f->s, 2, 5);
	assert_null(direct_check(&f->s));
	new = errors_sample(&f->s.errors);
	assert_int_equal(new, 5);
	assert_int_equal(errors_take(&f->s.errors, &other, &early), EIO);
	assert_int_equal(errors_take(&f->s.errors, &other, &early), 0);
	assert_int_equal(errors_take(&f->s.errors, &file, &told), 0);
	assert_int_equal(errors_take(&f->s.errors, &file, &new), 0);
	/* Its failures have numbers that no other process gives. */
	assert_int_equal(f->s.failures, UINT64_C(2) << 32);
}

/* Its fsync must not believe that there is nothing to flush. */
static void what_the_process_before_has_written_is_flushed(void **state)
{
	const struct csv_handle other = {.ino = 8, .gen = 1};
	struct fixture *f = *state;
	uint64_t seen = 0, of_other = 0;

	direct_init(&f->s, MOUNT);
	assert_false(direct_wants_flush(&f->s));
	direct_go_on(&f->s, 2, 0);
	STEP(f, OPENED, .is_left = true);
	step(f, (struct direct_event){.type = DIRECT_EV_OPENED, .handle = other});
	assert_true(direct_wants_flush(&f->s));
	assert_true(f->s.writes > f->s.flushed);
	/* A failure is one of each file that was open then, and of no other. */
	STEP(f, FAILED, .serial = f->s.writes, .error = ENODATA);
	assert_int_equal(errors_take(&f->s.errors, &file, &seen), ENODATA);
	assert_int_equal(errors_take(&f->s.errors, &other, &of_other), 0);
	assert_false(direct_wants_flush(&f->s));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(io_goes_direct_under_a_grant_only),
		TEST(a_recall_is_answered_when_the_last_io_has_ended),
		TEST(what_is_set_aside_by_hand_goes_home_and_comes_back),
		TEST(a_grant_that_was_recalled_before_its_answer_is_not_used),
		TEST(a_grant_of_a_coordinator_that_is_no_more_is_not_used),
		TEST(the_older_grant_goes_back_for_one_that_comes_too_late),
		TEST(a_grant_for_reading_is_exchanged_for_one_for_writing),
		TEST(a_refusal_is_not_asked_for_again_at_once),
		TEST(a_lost_path_returns_what_it_had_as_it_drains),
		TEST(without_a_lease_nothing_goes_direct_until_a_coordinator_knows_us),
		TEST(a_write_of_part_of_a_block_goes_home),
		TEST(a_failed_flush_is_told_to_each_open_once),
		TEST(a_failure_is_told_again_until_the_coordinator_has_told_all),
		TEST(a_flush_covers_what_was_written_before_it),
		TEST(what_was_written_is_remembered_over_the_last_close),
		TEST(more_failures_than_can_be_kept_are_told_to_all),
		TEST(the_next_process_tells_opens_what_they_have_not_been_told),
		TEST(what_the_process_before_has_written_is_flushed),
		cmocka_unit_test(errors_of_the_path_are_told_from_those_of_the_lun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
