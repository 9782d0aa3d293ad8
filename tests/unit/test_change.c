/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of a change: their order, and where each outcome leads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/core/change.h"
#include "lib/must.h"

/* Walks from LOCK; `bad` has that outcome, all others succeed. The steps by their names. */
static const char *walk(bool is_repeated, enum change_step bad, enum change_outcome outcome)
{
	static char text[256];
	enum change_step step = CHANGE_LOCK;
	size_t len = 0;

	for (int i = 0; i < 2 * CHANGE_STEP_MAX; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "",
					change_step_name(step));
		assert_true(len < sizeof(text));
		if (step == CHANGE_FINISH || step == CHANGE_HALT)
			return text;
		step = change_next(is_repeated, step, step == bad ? outcome : CHANGE_OK, 0);
	}
	fail_msg("it does not end: %s", text);
	return NULL;
}

static void a_change_leaves_its_intent_and_its_result_before_it_unlocks(void **state)
{
	(void)state;
	assert_string_equal(walk(false, CHANGE_STEP_MAX, CHANGE_OK),
			    "LOCK LOOK INTENT DO DONE COLLECT UNLOCK FORCE FINISH");
}

static void a_change_is_answered_only_when_it_cannot_be_lost(void **state)
{
	static const enum change_step steps[] = {CHANGE_LOCK,  CHANGE_LOOK, CHANGE_INTENT,
						 CHANGE_DO,    CHANGE_DONE, CHANGE_COLLECT,
						 CHANGE_UNLOCK};

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(steps); i++) {
		for (int o = CHANGE_OK; o <= CHANGE_AFTER; o++) {
			for (int again = 0; again < 2; again++)
				assert_int_not_equal(
					change_next(again, steps[i], (enum change_outcome)o, 0),
					CHANGE_FINISH);
		}
	}
	assert_int_equal(change_next(false, CHANGE_FORCE, CHANGE_OK, 0), CHANGE_FINISH);
}

static void what_cannot_be_done_is_answered_without_a_record(void **state)
{
	(void)state;
	assert_string_equal(walk(false, CHANGE_LOOK, CHANGE_ERROR),
			    "LOCK LOOK UNLOCK FORCE FINISH");
}

static void an_error_too_is_answered_only_after_the_force(void **state)
{
	(void)state;
	/* "It exists": somebody made it, and that must not be taken back. */
	assert_non_null(strstr(walk(false, CHANGE_LOOK, CHANGE_ERROR), "FORCE FINISH"));
	assert_non_null(strstr(walk(false, CHANGE_INTENT, CHANGE_ERROR), "FORCE FINISH"));
	assert_non_null(strstr(walk(false, CHANGE_DO, CHANGE_ERROR), "FORCE FINISH"));
}

static void without_its_intent_nothing_is_done(void **state)
{
	(void)state;
	assert_string_equal(walk(false, CHANGE_INTENT, CHANGE_ERROR),
			    "LOCK LOOK INTENT UNLOCK FORCE FINISH");
}

static void what_failed_after_its_intent_leaves_the_error_as_its_result(void **state)
{
	(void)state;
	assert_string_equal(walk(false, CHANGE_DO, CHANGE_ERROR),
			    "LOCK LOOK INTENT DO DONE COLLECT UNLOCK FORCE FINISH");
}

static void what_is_repeated_and_has_not_happened_is_done_under_its_old_intent(void **state)
{
	(void)state;
	assert_string_equal(walk(true, CHANGE_STEP_MAX, CHANGE_OK),
			    "LOCK LOOK DO DONE COLLECT UNLOCK FORCE FINISH");
}

static void what_is_repeated_and_has_happened_is_only_marked(void **state)
{
	(void)state;
	assert_string_equal(walk(true, CHANGE_LOOK, CHANGE_AFTER),
			    "LOCK LOOK DONE COLLECT UNLOCK FORCE FINISH");
}

static void what_is_repeated_and_cannot_be_done_closes_its_intent(void **state)
{
	(void)state;
	assert_string_equal(walk(true, CHANGE_LOOK, CHANGE_ERROR),
			    "LOCK LOOK DONE COLLECT UNLOCK FORCE FINISH");
	assert_string_equal(walk(true, CHANGE_DO, CHANGE_ERROR),
			    "LOCK LOOK DO DONE COLLECT UNLOCK FORCE FINISH");
}

static void a_disk_that_does_not_take_the_result_ends_the_coordinator(void **state)
{
	(void)state;
	assert_string_equal(walk(false, CHANGE_DONE, CHANGE_ERROR),
			    "LOCK LOOK INTENT DO DONE HALT");
	assert_string_equal(walk(true, CHANGE_DONE, CHANGE_ERROR), "LOCK LOOK DO DONE HALT");
}

static void a_log_that_is_not_forced_ends_the_coordinator(void **state)
{
	(void)state;
	assert_string_equal(walk(false, CHANGE_FORCE, CHANGE_ERROR),
			    "LOCK LOOK INTENT DO DONE COLLECT UNLOCK FORCE HALT");
	assert_string_equal(walk(true, CHANGE_FORCE, CHANGE_ERROR),
			    "LOCK LOOK DO DONE COLLECT UNLOCK FORCE HALT");
}

static void after_the_end_there_is_nothing_more(void **state)
{
	(void)state;
	assert_int_equal(change_next(false, CHANGE_FINISH, CHANGE_OK, 0), CHANGE_HALT);
	assert_int_equal(change_next(false, CHANGE_HALT, CHANGE_OK, 0), CHANGE_HALT);
	assert_int_equal(change_next(true, CHANGE_STEP_MAX, CHANGE_OK, 0), CHANGE_HALT);
}

static void planted_bugs_are_not_in_what_is_shipped(void **state)
{
	(void)state;
	for (int mutant = 1; mutant < 16; mutant++) {
		for (int step = 0; step < CHANGE_STEP_MAX; step++)
			assert_int_equal(
				change_next(false, (enum change_step)step, CHANGE_OK, mutant),
				change_next(false, (enum change_step)step, CHANGE_OK, 0));
	}
}

static void every_step_has_a_name(void **state)
{
	(void)state;
	for (int step = 0; step < CHANGE_STEP_MAX; step++)
		assert_string_not_equal(change_step_name((enum change_step)step), "?");
	assert_string_equal(change_step_name(CHANGE_STEP_MAX), "?");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_leaves_its_intent_and_its_result_before_it_unlocks),
		cmocka_unit_test(a_change_is_answered_only_when_it_cannot_be_lost),
		cmocka_unit_test(what_cannot_be_done_is_answered_without_a_record),
		cmocka_unit_test(an_error_too_is_answered_only_after_the_force),
		cmocka_unit_test(without_its_intent_nothing_is_done),
		cmocka_unit_test(what_failed_after_its_intent_leaves_the_error_as_its_result),
		cmocka_unit_test(
			what_is_repeated_and_has_not_happened_is_done_under_its_old_intent),
		cmocka_unit_test(what_is_repeated_and_has_happened_is_only_marked),
		cmocka_unit_test(what_is_repeated_and_cannot_be_done_closes_its_intent),
		cmocka_unit_test(a_disk_that_does_not_take_the_result_ends_the_coordinator),
		cmocka_unit_test(a_log_that_is_not_forced_ends_the_coordinator),
		cmocka_unit_test(after_the_end_there_is_nothing_more),
		cmocka_unit_test(planted_bugs_are_not_in_what_is_shipped),
		cmocka_unit_test(every_step_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
