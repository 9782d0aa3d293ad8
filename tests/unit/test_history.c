/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where two histories part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clusterd/core/history.h"

#define SPANS 8

struct made {
	struct history_span span[SPANS];
	struct history h;
};

static void start(struct made *m)
{
	m->h = (struct history){.span = m->span, .cap = SPANS};
}

/* Entries of that epoch up to `last`. */
static void extend(struct made *m, uint32_t generation, uint64_t number, uint8_t starter,
		   uint64_t last)
{
	struct cl_epoch epoch = {.generation = generation, .number = number, .starter = starter};

	for (uint64_t i = m->h.last + 1; i <= last; i++)
		assert_true(history_add(&m->h, &epoch, i));
}

static void an_older_history_is_common_to_its_end(void **state)
{
	struct made own, won;

	(void)state;
	start(&own);
	start(&won);
	extend(&own, 1, 1, 0, 5);
	extend(&own, 1, 2, 1, 9);
	extend(&won, 1, 1, 0, 5);
	extend(&won, 1, 2, 1, 12);
	extend(&won, 1, 3, 0, 20);
	assert_int_equal(history_parts(&own.h, &won.h, 7).common, 9);
	assert_true(history_parts(&own.h, &won.h, 7).is_known);
}

static void a_suffix_of_an_epoch_that_was_left_earlier_differs(void **state)
{
	struct made own, won;

	(void)state;
	start(&own);
	start(&won);
	extend(&own, 1, 2, 1, 9);
	extend(&won, 1, 2, 1, 7);
	extend(&won, 1, 3, 0, 20);
	assert_int_equal(history_parts(&own.h, &won.h, 7).common, 7);
}

static void an_epoch_that_the_other_does_not_have_differs_whole(void **state)
{
	struct made own, won;

	(void)state;
	start(&own);
	start(&won);
	extend(&own, 1, 2, 1, 9);
	extend(&own, 1, 3, 2, 15);
	extend(&won, 1, 2, 1, 9);
	extend(&won, 1, 4, 0, 12);
	assert_int_equal(history_parts(&own.h, &won.h, 9).common, 9);
}

static void two_starters_of_one_number_are_two_epochs(void **state)
{
	struct made own, won;

	(void)state;
	start(&own);
	start(&won);
	extend(&own, 1, 2, 1, 9);
	extend(&own, 2, 3, 0, 15);
	extend(&won, 1, 2, 1, 9);
	extend(&won, 2, 3, 2, 15);
	assert_int_equal(history_parts(&own.h, &won.h, 15).common, 9);
	assert_true(cl_epoch_compare(&own.span[1].epoch, &won.span[1].epoch) < 0);
}

static void applied_entries_of_another_generation_are_not_common(void **state)
{
	struct made own, won;

	(void)state;
	start(&own);
	start(&won);
	extend(&own, 1, 2, 1, 15);
	extend(&won, 1, 2, 1, 9);
	extend(&won, 2, 3, 0, 30);
	assert_int_equal(history_parts(&own.h, &won.h, 14).common, 9);
}

static void marks_that_are_gone_leave_what_is_certain(void **state)
{
	struct made own, won;
	struct history_part part;

	(void)state;
	start(&own);
	start(&won);
	extend(&own, 1, 2, 1, 15);
	won.h.last = 99;
	extend(&won, 1, 9, 0, 120);
	part = history_parts(&own.h, &won.h, 14);
	assert_int_equal(part.common, 14);
	assert_false(part.is_known);
	start(&won);
	won.h.last = 99;
	extend(&won, 2, 9, 0, 120);
	part = history_parts(&own.h, &won.h, 14);
	assert_int_equal(part.common, 0);
	assert_false(part.is_known);
}

static void a_blank_node_has_nothing_that_differs(void **state)
{
	struct made own, won;

	(void)state;
	start(&own);
	start(&won);
	extend(&won, 1, 2, 1, 9);
	assert_int_equal(history_parts(&own.h, &won.h, 0).common, 0);
	assert_true(history_parts(&own.h, &won.h, 0).is_known);
}

static void there_is_no_room_for_more_spans_than_given(void **state)
{
	struct made m;
	struct cl_epoch epoch = {.generation = 1};

	(void)state;
	start(&m);
	for (uint64_t i = 1; i <= SPANS; i++) {
		epoch.number = i;
		assert_true(history_add(&m.h, &epoch, i));
	}
	assert_true(history_add(&m.h, &epoch, SPANS + 1));
	epoch.number++;
	assert_false(history_add(&m.h, &epoch, SPANS + 2));
	assert_int_equal(m.h.last, SPANS + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_older_history_is_common_to_its_end),
		cmocka_unit_test(a_suffix_of_an_epoch_that_was_left_earlier_differs),
		cmocka_unit_test(an_epoch_that_the_other_does_not_have_differs_whole),
		cmocka_unit_test(two_starters_of_one_number_are_two_epochs),
		cmocka_unit_test(applied_entries_of_another_generation_are_not_common),
		cmocka_unit_test(marks_that_are_gone_leave_what_is_certain),
		cmocka_unit_test(a_blank_node_has_nothing_that_differs),
		cmocka_unit_test(there_is_no_room_for_more_spans_than_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
