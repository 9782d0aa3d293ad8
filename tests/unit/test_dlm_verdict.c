/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When dlm_controld may recover the locks of a lost node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/cli/dlm_verdict.h"

#define FAILED_S 1700000000 /* 2023-11-14T22:13:20Z */

static bool is_fenced(uint32_t nodeid, const char *at, const char *object, const char *kind,
		      char *why)
{
	const struct dlm_victim v = {.nodeid = nodeid, .fail_s = FAILED_S};
	json_t *nodes = json_pack("[{s:s,s:i,s:s,s:s},{s:s,s:i,s:s,s:s}]", "name", "n1", "nodeid",
				  1, "state", "up", "reason", "", "name", "n2", "nodeid", 2,
				  "state", "fencing", "reason", "its BMC does not answer");
	json_t *history = json_pack("[{s:s,s:s,s:s}]", "at", at, "object", object, "kind", kind);
	bool r;

	assert_non_null(nodes);
	assert_non_null(history);
	r = dlm_is_fenced(&v, nodes, history, why, DLM_WHY_MAX);
	json_decref(nodes);
	json_decref(history);
	return r;
}

static void a_fence_proven_at_or_after_the_failure_is_enough(void **state)
{
	char why[DLM_WHY_MAX];

	(void)state;
	assert_true(is_fenced(2, "2023-11-14T22:13:20.000Z", "n2", "node-fenced", why));
	assert_string_equal(why, "n2 (node 2) was fenced at 2023-11-14T22:13:20.000Z");
	assert_true(is_fenced(2, "2024-01-01T00:00:00.123Z", "n2", "node-fenced", why));
}

static void a_fence_before_the_failure_was_of_an_earlier_boot(void **state)
{
	char why[DLM_WHY_MAX];

	(void)state;
	assert_false(is_fenced(2, "2023-11-14T22:13:19.999Z", "n2", "node-fenced", why));
	assert_string_equal(why, "n2 (node 2) is fencing and not fenced since it was lost: its BMC "
				 "does not answer");
	assert_false(is_fenced(2, "-", "n2", "node-fenced", why));
}

static void neither_another_node_nor_a_fence_that_was_begun_counts(void **state)
{
	char why[DLM_WHY_MAX];

	(void)state;
	assert_false(is_fenced(2, "2024-01-01T00:00:00.000Z", "n1", "node-fenced", why));
	assert_false(is_fenced(2, "2024-01-01T00:00:00.000Z", "n2", "fence-begun", why));
	assert_false(is_fenced(2, "2024-01-01T00:00:00.000Z", "n2", "node-lost", why));
}

static void a_node_that_is_no_member_is_never_fenced(void **state)
{
	char why[DLM_WHY_MAX];

	(void)state;
	assert_false(is_fenced(9, "2024-01-01T00:00:00.000Z", "n2", "node-fenced", why));
	assert_string_equal(why, "node 9 is no member of the cluster: nobody fences it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fence_proven_at_or_after_the_failure_is_enough),
		cmocka_unit_test(a_fence_before_the_failure_was_of_an_earlier_boot),
		cmocka_unit_test(neither_another_node_nor_a_fence_that_was_begun_counts),
		cmocka_unit_test(a_node_that_is_no_member_is_never_fenced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
