/* SPDX-License-Identifier: GPL-2.0-or-later */
/* corosync's times: what a text means for a number of nodes, and what of it is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/setting.h"
#include "clusterd/core/totem.h"

static const struct corosync_times nothing;

static struct corosync_times says(uint8_t given, uint32_t token, uint32_t coefficient)
{
	return (struct corosync_times){.given = given, .ms = {token, coefficient}};
}

#define GIVEN_TOKEN	  (1u << COROSYNC_TOKEN)
#define GIVEN_COEFFICIENT (1u << COROSYNC_TOKEN_COEFFICIENT)

static void a_dead_node_of_sixteen_is_noticed_within_five_seconds(void **state)
{
	struct corosync_times wanted, t;

	(void)state;
	totem_wanted(TOTEM_TOKEN_MS, &wanted);
	totem_in_force(&wanted, CL_MAX_NODES, &t);
	assert_memory_equal(t.ms, wanted.ms, sizeof(t.ms));
	assert_true(totem_detection_ms(&t) <= 5000);
	assert_int_equal(setting_shape(SETTING_TOTEM_TOKEN_MS)->def, TOTEM_TOKEN_MS);
	assert_int_equal(setting_shape(SETTING_TOTEM_TOKEN_MS)->min, TOTEM_TOKEN_MIN_MS);
	assert_int_equal(setting_shape(SETTING_TOTEM_TOKEN_MS)->max, TOTEM_TOKEN_MAX_MS);
}

static void corosyncs_own_times_grow_with_the_nodes(void **state)
{
	struct corosync_times t;

	(void)state;
	totem_in_force(&nothing, 2, &t);
	assert_int_equal(t.ms[COROSYNC_TOKEN], 3000);
	totem_in_force(&nothing, 16, &t);
	assert_int_equal(t.ms[COROSYNC_TOKEN], 12100);
	assert_int_equal(totem_detection_ms(&t), 12100 + 14520);
}

static void what_differs_is_named(void **state)
{
	struct corosync_times wanted, t, given = says(GIVEN_TOKEN, 5000, 0);
	char text[TOTEM_TEXT_MAX];

	(void)state;
	totem_wanted(TOTEM_TOKEN_MS, &wanted);
	totem_in_force(&given, 3, &t);
	assert_true(totem_differs(&t, &wanted, text));
	assert_string_equal(text, "token 5650 instead of 1750, token_coefficient 650 instead of 0, "
				  "consensus 6780 instead of 2100");
	assert_false(totem_differs(&wanted, &wanted, text));
	assert_string_equal(text, "");
}

static void a_token_that_is_quick_enough_is_kept(void **state)
{
	struct corosync_times given = says(GIVEN_TOKEN | GIVEN_COEFFICIENT, 1000, 0);

	(void)state;
	assert_int_equal(totem_adopted(&given, 16), 1000);
	given.ms[COROSYNC_TOKEN] = TOTEM_TOKEN_MIN_MS - 1;
	assert_int_equal(totem_adopted(&given, 16), TOTEM_TOKEN_MS);
	given.ms[COROSYNC_TOKEN] = TOTEM_TOKEN_MS + 1;
	assert_int_equal(totem_adopted(&given, 16), TOTEM_TOKEN_MS);
	assert_int_equal(totem_adopted(&nothing, 3), TOTEM_TOKEN_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_node_of_sixteen_is_noticed_within_five_seconds),
		cmocka_unit_test(corosyncs_own_times_grow_with_the_nodes),
		cmocka_unit_test(what_differs_is_named),
		cmocka_unit_test(a_token_that_is_quick_enough_is_kept),
	};

	return cmocka_run_group_tests_name("totem", tests, NULL, NULL);
}
