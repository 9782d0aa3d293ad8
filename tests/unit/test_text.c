/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times as text, both ways. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clusterd/edge/text.h"

static void test_times_come_back(void **state)
{
	static const uint64_t ms[] = {1,
				      999,
				      951782400000,  /* 29 February 2000 */
				      1795662764123, /* 2026 */
				      4102444799999, /* the end of 2099 */
				      253402300799999 /* of 9999 */};
	char text[40];
	uint64_t back;

	(void)state;
	for (size_t i = 0; i < sizeof(ms) / sizeof(ms[0]); i++) {
		text_time(ms[i], text, sizeof(text));
		back = 0;
		assert_int_equal(text_parse_time(text, &back), 0);
		assert_true(back == ms[i]);
	}
	text_time(0, text, sizeof(text));
	assert_string_equal(text, "-");
}

static void test_parts_of_a_second_may_be_left_out_or_be_many(void **state)
{
	uint64_t ms;

	(void)state;
	assert_int_equal(text_parse_time("1970-01-02T00:00:00Z", &ms), 0);
	assert_true(ms == 86400000);
	assert_int_equal(text_parse_time("1970-01-01T00:00:01.5z", &ms), 0);
	assert_true(ms == 1500);
	assert_int_equal(text_parse_time("1970-01-01T00:00:01.123456789Z", &ms), 0);
	assert_true(ms == 1123);
}

static void test_what_is_no_time_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = {"",
					  "-",
					  "yesterday",
					  "2026-11-26",
					  "2026-11-26T03:12",
					  "2026-11-26T03:12:44",
					  "2026-11-26T03:12:44+01:00",
					  "2026-11-26T03:12:44Zulu",
					  "2026-13-26T03:12:44Z",
					  "2026-04-31T00:00:00Z",
					  "2026-02-29T00:00:00Z",
					  "2026-11-26T25:00:00Z",
					  "1969-12-31T23:59:59Z",
					  "4711"};
	uint64_t ms = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (text_parse_time(bad[i], &ms) != -EINVAL)
			fail_msg("taken for a time: '%s'", bad[i]);
		assert_true(ms == 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times_come_back),
		cmocka_unit_test(test_parts_of_a_second_may_be_left_out_or_be_many),
		cmocka_unit_test(test_what_is_no_time_is_refused_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
