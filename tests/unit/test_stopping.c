/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How one resource is stopped, told step by step what came of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/stopping.h"

#define NOW 1000

/* OCF */
enum { OK = 0, GENERIC = 1, ARGS = 2, UNIMPLEMENTED = 3, PERM = 4, INSTALLED = 5, CONFIGURED = 6 };
enum { NOT_RUNNING = 7 };

static struct stopping begun(int start_rc)
{
	struct stopping s;

	stopping_begin(&s, start_rc);
	assert_int_equal(s.step, STOPPING_AGENT);
	return s;
}

/* The agent's stop failed, and what was tracked has been killed. */
static struct stopping killed(void)
{
	struct stopping s = begun(OK);

	stopping_agent_done(&s, GENERIC, NOW);
	assert_int_equal(s.step, STOPPING_KILL);
	stopping_look(&s, true, NOW);
	assert_int_equal(s.step, STOPPING_PROBE);
	return s;
}

static void a_stop_that_succeeds_is_all(void **state)
{
	struct stopping s = begun(OK);

	(void)state;
	stopping_agent_done(&s, OK, NOW);
	assert_int_equal(s.step, STOPPING_OVER);
	assert_false(s.was_killed);
}

static void nothing_but_success_is_a_stop(void **state)
{
	const int bad[] = {GENERIC,    ARGS,	    UNIMPLEMENTED, PERM,	  INSTALLED,
			   CONFIGURED, NOT_RUNNING, 255,	   STOPPING_NO_RC};

	(void)state;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct stopping s = begun(OK);

		stopping_agent_done(&s, bad[i], NOW);
		assert_int_equal(s.step, STOPPING_KILL);
	}
}

static void a_monitor_after_the_kill_proves_it(void **state)
{
	struct stopping s = killed();

	(void)state;
	stopping_agent_done(&s, NOT_RUNNING, NOW);
	assert_int_equal(s.step, STOPPING_OVER);
	assert_true(s.was_killed);
}

static void what_the_monitor_does_not_prove_is_stopped_once_more(void **state)
{
	const int seen[] = {OK, GENERIC, CONFIGURED, STOPPING_NO_RC};

	(void)state;
	for (unsigned int i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		struct stopping s = killed(), t;

		stopping_agent_done(&s, seen[i], NOW);
		assert_int_equal(s.step, STOPPING_AGAIN);
		t = s;
		stopping_agent_done(&s, OK, NOW);
		assert_int_equal(s.step, STOPPING_OVER);
		stopping_agent_done(&t, GENERIC, NOW);
		assert_int_equal(t.step, STOPPING_STUCK);
		assert_false(t.has_survivors);
	}
}

static void what_outlives_its_kill_is_stuck_without_asking_the_agent(void **state)
{
	struct stopping s = begun(OK);

	(void)state;
	stopping_agent_done(&s, STOPPING_NO_RC, NOW);
	stopping_look(&s, false, NOW);
	stopping_look(&s, false, NOW + STOPPING_KILL_MS - 1);
	assert_int_equal(s.step, STOPPING_KILL);
	stopping_look(&s, false, NOW + STOPPING_KILL_MS);
	assert_int_equal(s.step, STOPPING_STUCK);
	assert_true(s.has_survivors);
}

static void what_ends_at_the_last_moment_has_ended(void **state)
{
	struct stopping s = begun(OK);

	(void)state;
	stopping_agent_done(&s, GENERIC, NOW);
	stopping_look(&s, true, NOW + STOPPING_KILL_MS);
	assert_int_equal(s.step, STOPPING_PROBE);
}

/* A wrong parameter must not fence one node after the other. */
static void an_agent_that_refused_to_start_may_refuse_to_stop(void **state)
{
	const int refusal[] = {ARGS, INSTALLED, CONFIGURED};

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		struct stopping s = begun(refusal[i]);

		stopping_agent_done(&s, refusal[i], NOW);
		assert_int_equal(s.step, STOPPING_OVER);
	}
}

static void another_word_than_at_the_start_is_no_refusal(void **state)
{
	const int start[] = {ARGS, GENERIC, PERM, OK};

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct stopping s = begun(start[i]);

		stopping_agent_done(&s, i == 0 ? CONFIGURED : start[i] ? start[i] : ARGS, NOW);
		assert_int_equal(s.step, STOPPING_KILL);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stop_that_succeeds_is_all),
		cmocka_unit_test(nothing_but_success_is_a_stop),
		cmocka_unit_test(a_monitor_after_the_kill_proves_it),
		cmocka_unit_test(what_the_monitor_does_not_prove_is_stopped_once_more),
		cmocka_unit_test(what_outlives_its_kill_is_stuck_without_asking_the_agent),
		cmocka_unit_test(what_ends_at_the_last_moment_has_ended),
		cmocka_unit_test(an_agent_that_refused_to_start_may_refuse_to_stop),
		cmocka_unit_test(another_word_than_at_the_start_is_no_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
