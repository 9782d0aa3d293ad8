/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Failures count within a period, and are forgotten after it. */
#include "tests/unit/volume_fixture.h"

#include "clusterd/core/age.h"

#define MINUTE (60 * 1000u)
#define HOUR   (60 * MINUTE)

static enum db_code order_start(struct fixture *f, uint8_t slot)
{
	return DO(f, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STARTING, .node = slot,
		  .incarnation = node(f, slot)->incarnation, .previous = group(f, "g")->order);
}

static void report_group(struct fixture *f, enum db_work work)
{
	DONE(f, GROUP_REPORT, group_report, .name = "g", .order = group(f, "g")->order,
	     .work = (uint8_t)work, .reason = "monitor said 7");
}

static void ask(struct fixture *f, enum db_intent intent)
{
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = (uint8_t)intent,
	     .wish = CL_NODE_NONE, .verb = "group-start");
}

static void clock_at(struct fixture *f, uint64_t now_ms)
{
	DONE(f, CLOCK, clock, .now_ms = now_ms);
}

/* Of the newest command. */
static uint64_t at(const struct fixture *f)
{
	return 999 + f->db.index + f->later_ms;
}

/* The group g with the resource r, online on node 0. */
static void make_group_online(struct fixture *f, uint16_t possible)
{
	DONE(f, GROUP_CREATE, group_create, .name = "g", .possible = possible);
	DONE(f, RESOURCE_CREATE, resource_create, .name = "r", .group = "g", .agent = "Dummy",
	     .restart_max = 3);
	ask(f, DB_INTENT_ONLINE);
	assert_int_equal(order_start(f, 0), DB_OK);
	report_group(f, DB_WORK_ONLINE);
}

/* It fails, and comes up elsewhere. */
static void fail_over(struct fixture *f)
{
	uint8_t next = group(f, "g")->node ? 0 : 1;

	report_group(f, DB_WORK_FAILED);
	assert_int_equal(order_start(f, next), DB_OK);
	report_group(f, DB_WORK_ONLINE);
}

static const struct db_resource *restart(struct fixture *f)
{
	DONE(f, RESOURCE_REPORT, resource_report, .name = "r", .order = group(f, "g")->order,
	     .work = DB_WORK_ONLINE, .restarted = true, .reason = "monitor said 7");
	return db_find(&f->db, DB_KIND_RESOURCE, "r");
}

static void a_period_is_over_when_all_of_it_has_passed(void **state)
{
	(void)state;
	assert_int_equal(age_of(1000, 500, 1000), AGE_YOUNG);
	assert_int_equal(age_of(1000, 500, 1499), AGE_YOUNG);
	assert_int_equal(age_of(1000, 500, 1500), AGE_OVER);
	assert_int_equal(age_of(1000, 0, 1000), AGE_OVER);
	assert_int_equal(age_of(1000, UINT32_MAX, UINT64_MAX), AGE_OVER);
}

static void a_time_a_little_ahead_is_young_and_one_further_is_not_believed(void **state)
{
	(void)state;
	assert_int_equal(age_of(AGE_SKEW_MS + 7, 1, 7), AGE_YOUNG);
	assert_int_equal(age_of(AGE_SKEW_MS + 8, 1, 7), AGE_AHEAD);
	assert_int_equal(age_of(UINT64_MAX, 1, 0), AGE_AHEAD);
}

static void a_period_is_said_in_its_largest_whole_unit(void **state)
{
	static const struct {
		uint32_t ms;
		const char *text;
	} said[] = {{6 * HOUR, "6 h"},	{15 * MINUTE, "15 min"}, {90 * 1000, "90 s"},
		    {1500, "1500 ms"},	{90 * MINUTE, "90 min"}, {UINT32_MAX, "4294967295 ms"},
		    {24 * HOUR, "24 h"}};
	char text[AGE_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		age_text(said[i].ms, text);
		assert_string_equal(text, said[i].text);
	}
}

static void restarts_count_within_the_period_from_the_first(void **state)
{
	struct fixture *f = *state;
	const struct db_resource *r;
	uint64_t first;

	make_group_online(f, 0x7);
	r = restart(f);
	first = at(f);
	assert_int_equal(r->restart_ms, AGE_RESTART_MS);
	assert_int_equal(r->restarts_since_ms, first);
	f->later_ms = AGE_RESTART_MS - 10;
	assert_int_equal(restart(f)->restarts, 2);
	assert_int_equal(r->restarts_since_ms, first);
	f->later_ms = AGE_RESTART_MS;
	assert_int_equal(restart(f)->restarts, 1);
	assert_int_equal(r->restarts_since_ms, at(f));
}

static void restarts_are_forgotten_when_the_clock_says_so_and_not_before(void **state)
{
	struct fixture *f = *state;
	const struct db_resource *r;
	uint64_t due;

	make_group_online(f, 0x7);
	assert_false(age_is_due(&f->db, UINT64_MAX));
	r = restart(f);
	due = r->restarts_since_ms + AGE_RESTART_MS;
	assert_false(age_is_due(&f->db, due - 1));
	clock_at(f, due - 1);
	assert_int_equal(r->restarts, 1);
	assert_true(age_is_due(&f->db, due));
	clock_at(f, due);
	assert_int_equal(r->restarts, 0);
	assert_int_equal(r->restarts_since_ms, 0);
	assert_false(age_is_due(&f->db, UINT64_MAX));
}

static void restarts_told_by_a_clock_ahead_are_forgotten_a_period_from_now(void **state)
{
	struct fixture *f = *state;
	const struct db_resource *r;

	make_group_online(f, 0x7);
	f->later_ms = 1000 * HOUR;
	r = restart(f);
	assert_true(age_is_due(&f->db, 5000));
	clock_at(f, 5000);
	assert_int_equal(r->restarts, 1);
	assert_int_equal(r->restarts_since_ms, 5000);
	assert_false(age_is_due(&f->db, 5000));
	clock_at(f, 5000 + AGE_RESTART_MS);
	assert_int_equal(r->restarts, 0);
}

static void a_group_may_fail_over_once_for_each_node_and_twice_at_least(void **state)
{
	struct fixture *f = *state;
	struct db_group *g;

	make_group_online(f, 0x7);
	g = group(f, "g");
	assert_int_equal(age_failover_max(&f->db, g), 3);
	g->possible = 0x1;
	assert_int_equal(age_failover_max(&f->db, g), 2);
	g->possible = UINT16_MAX;
	assert_int_equal(age_failover_max(&f->db, g), 3);
	g->failover_max = 1;
	assert_int_equal(age_failover_max(&f->db, g), 1);
}

static void make_given_up(struct fixture *f)
{
	make_group_online(f, 0x3);
	fail_over(f);
	fail_over(f);
	assert_int_equal(group(f, "g")->failovers, 2);
	report_group(f, DB_WORK_FAILED);
}

static void one_failure_more_than_its_failovers_and_a_group_is_failed(void **state)
{
	struct fixture *f = *state;
	const struct db_group *g;
	const struct db_event *e;
	char text[DB_REASON_MAX];

	make_given_up(f);
	g = group(f, "g");
	assert_int_equal(g->work, DB_WORK_FAILED);
	assert_int_equal(g->node, CL_NODE_NONE);
	assert_int_equal(g->lock, 0);
	assert_int_equal(g->failures, 3);
	assert_int_equal(g->gave_up_ms, at(f));
	assert_string_equal(g->reason, "failed again after 2 failovers within 6 h: monitor said 7");
	plan_explain(&f->db, g, text, sizeof(text));
	assert_string_equal(text, "repair, then 'group start', else tried after 1 h: "
				  "failed again after 2 failovers within 6 h: monitor said 7");
	e = db_at(&f->db, DB_KIND_EVENT, db_count(&f->db, DB_KIND_EVENT) - 1);
	assert_string_equal(e->kind, "group-gave-up");
	assert_int_equal(order_start(f, 2), DB_CONFLICT);
	assert_int_equal(order_start(f, 1), DB_CONFLICT);
}

static void failovers_of_an_earlier_period_do_not_count(void **state)
{
	struct fixture *f = *state;

	make_group_online(f, 0x3);
	fail_over(f);
	fail_over(f);
	f->later_ms = AGE_FAILOVER_MS;
	fail_over(f);
	assert_int_equal(group(f, "g")->work, DB_WORK_ONLINE);
	assert_int_equal(group(f, "g")->failovers, 1);
	assert_false(age_is_due(&f->db, UINT64_MAX)); /* nobody has to be told */
}

static void a_group_that_was_given_up_is_tried_again_after_its_time(void **state)
{
	struct fixture *f = *state;
	const struct db_group *g;
	uint64_t due;

	make_given_up(f);
	g = group(f, "g");
	due = g->gave_up_ms + AGE_RETRY_MS;
	assert_false(age_is_due(&f->db, due - 1));
	clock_at(f, due - 1);
	assert_int_equal(g->work, DB_WORK_FAILED);
	assert_true(age_is_due(&f->db, due));
	clock_at(f, due);
	assert_int_equal(g->work, DB_WORK_OFFLINE);
	assert_int_equal(g->refused | g->failovers | g->gave_up_ms | g->failovers_since_ms, 0);
	assert_int_equal(order_start(f, 1), DB_OK);
	assert_false(age_is_due(&f->db, UINT64_MAX));
}

static void a_group_that_failed_everywhere_is_tried_again_unless_it_started_meanwhile(void **state)
{
	struct fixture *f = *state;
	const struct db_group *g;

	make_group_online(f, 0x1);
	report_group(f, DB_WORK_FAILED);
	g = group(f, "g");
	assert_int_equal(g->work, DB_WORK_OFFLINE);
	assert_int_equal(g->refused, 0x1);
	assert_true(age_is_due(&f->db, at(f) + AGE_RETRY_MS));
	assert_int_equal(order_start(f, 0), DB_OK);
	assert_int_equal(g->gave_up_ms, 0);
	assert_false(age_is_due(&f->db, UINT64_MAX));
}

static void who_asks_for_a_group_that_was_given_up_has_it_at_once(void **state)
{
	struct fixture *f = *state;

	make_given_up(f);
	ask(f, DB_INTENT_ONLINE);
	assert_int_equal(group(f, "g")->work, DB_WORK_OFFLINE);
	assert_int_equal(group(f, "g")->failovers, 0);
	assert_int_equal(order_start(f, 1), DB_OK);
	assert_false(age_is_due(&f->db, UINT64_MAX));
}

static void a_group_that_was_given_up_is_offline_as_soon_as_it_is_asked(void **state)
{
	struct fixture *f = *state;
	const struct db_task *t;

	make_given_up(f);
	ask(f, DB_INTENT_OFFLINE);
	assert_int_equal(group(f, "g")->work, DB_WORK_OFFLINE);
	assert_false(age_is_due(&f->db, UINT64_MAX));
	t = db_find_id(&f->db, DB_KIND_TASK, f->result.task);
	assert_non_null(t);
	assert_int_equal(t->state, DB_TASK_STATE_DONE);
}

static void group_set_changes_what_is_given_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	const struct db_group *g;
	uint32_t events;

	make_group_online(f, 0x3);
	g = group(f, "g");
	DONE(f, GROUP_SET, group_set, .name = "g", .on_stop_failure = DB_STOP_FAILURE_BLOCK,
	     .failover_max = DB_KEEP, .failover_ms = DB_KEEP, .retry_ms = DB_KEEP);
	assert_int_equal(g->on_stop_failure, DB_STOP_FAILURE_BLOCK);
	assert_int_equal(g->failover_ms, AGE_FAILOVER_MS);
	DONE(f, GROUP_SET, group_set, .name = "g", .keeps_stop_failure = true, .failover_max = 7,
	     .failover_ms = MINUTE, .retry_ms = 0);
	assert_int_equal(g->on_stop_failure, DB_STOP_FAILURE_BLOCK);
	assert_int_equal(g->failover_max, 7);
	assert_int_equal(g->failover_ms, MINUTE);
	assert_int_equal(g->retry_ms, 0);
	events = (uint32_t)f->db.next_event;
	DONE(f, GROUP_SET, group_set, .name = "g", .keeps_stop_failure = true, .failover_max = 7,
	     .failover_ms = DB_KEEP, .retry_ms = DB_KEEP);
	assert_int_equal(f->db.next_event, events);
	DONE(f, GROUP_SET, group_set, .name = "g", .keeps_stop_failure = true,
	     .failover_max = DB_KEEP, .failover_ms = 0, .retry_ms = DB_KEEP);
	assert_int_equal(g->failover_ms, AGE_FAILOVER_MS);
}

/* ---- coordinators */

static uint8_t crash(struct fixture *f)
{
	uint8_t slot = volume(f, "v")->node;

	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	return slot;
}

static void crash_often(struct fixture *f, uint8_t slot)
{
	for (int i = 0; i <= AGE_COORDINATOR_MAX; i++) {
		assert_true(volume_candidates(&f->db, volume(f, "v")) & cl_bit(slot));
		make_online(f, slot);
		assert_int_equal(crash(f), slot);
	}
}

static void a_coordinator_that_ends_too_often_leaves_its_node_for_a_while(void **state)
{
	struct fixture *f = *state;
	const struct db_volume *v = volume(f, "v");
	uint64_t due;

	crash_often(f, 0);
	assert_int_equal(v->crashed, 0x1);
	assert_int_equal(volume_candidates(&f->db, v), 0x6);
	make_online(f, 1); /* that it serves there does not bring the node back */
	assert_int_equal(v->crashed, 0x1);
	due = v->refused_since_ms + AGE_COORDINATOR_MS;
	assert_false(age_is_due(&f->db, due - 1));
	clock_at(f, due - 1);
	assert_int_equal(v->crashed, 0x1);
	assert_true(age_is_due(&f->db, due));
	clock_at(f, due);
	assert_int_equal(volume_candidates(&f->db, v), 0x7);
	assert_false(age_is_due(&f->db, UINT64_MAX));
}

static void ends_of_a_coordinator_count_on_one_node_within_the_period(void **state)
{
	struct fixture *f = *state;
	const struct db_volume *v = volume(f, "v");

	for (int i = 0; i < AGE_COORDINATOR_MAX; i++) {
		make_online(f, 0);
		crash(f);
	}
	make_online(f, 1);
	crash(f);
	assert_int_equal(v->restarts, 1);
	f->later_ms = AGE_RESTART_MS;
	make_online(f, 1);
	crash(f);
	assert_int_equal(v->restarts, 1);
	assert_int_equal(v->crashed, 0);
}

static void with_no_node_left_a_volume_waits_and_says_how_long(void **state)
{
	struct fixture *f = *state;
	const struct db_volume *v = volume(f, "v");
	char text[DB_REASON_MAX];

	for (uint8_t slot = 0; slot < NODES; slot++)
		crash_often(f, slot);
	assert_int_equal(volume_candidates(&f->db, v), 0);
	plan_explain_volume(&f->db, v, text, sizeof(text));
	assert_non_null(strstr(text, "failed on every node"));
	assert_non_null(strstr(text, "else tried after 5 min"));
	DONE(f, VOLUME_INTENT, volume_intent, .name = "v", .wish = CL_NODE_NONE, .verb = "clear");
	assert_int_equal(volume_candidates(&f->db, v), 0x7);
	assert_false(age_is_due(&f->db, UINT64_MAX));
}

static void a_coordinator_that_could_not_be_started_anywhere_is_tried_again(void **state)
{
	struct fixture *f = *state;
	const struct db_volume *v = volume(f, "v");

	for (uint8_t slot = 0; slot < NODES; slot++) {
		assert_int_equal(order(f, DB_WORK_STARTING, slot), DB_OK);
		assert_int_equal(report(f, DB_WORK_FAILED), DB_OK);
	}
	assert_int_equal(volume_candidates(&f->db, v), 0);
	clock_at(f, at(f) + AGE_COORDINATOR_MS);
	assert_int_equal(volume_candidates(&f->db, v), 0x7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_period_is_over_when_all_of_it_has_passed),
		TEST(a_time_a_little_ahead_is_young_and_one_further_is_not_believed),
		TEST(a_period_is_said_in_its_largest_whole_unit),
		TEST(restarts_count_within_the_period_from_the_first),
		TEST(restarts_are_forgotten_when_the_clock_says_so_and_not_before),
		TEST(restarts_told_by_a_clock_ahead_are_forgotten_a_period_from_now),
		TEST(a_group_may_fail_over_once_for_each_node_and_twice_at_least),
		TEST(one_failure_more_than_its_failovers_and_a_group_is_failed),
		TEST(failovers_of_an_earlier_period_do_not_count),
		TEST(a_group_that_was_given_up_is_tried_again_after_its_time),
		TEST(a_group_that_failed_everywhere_is_tried_again_unless_it_started_meanwhile),
		TEST(who_asks_for_a_group_that_was_given_up_has_it_at_once),
		TEST(a_group_that_was_given_up_is_offline_as_soon_as_it_is_asked),
		TEST(group_set_changes_what_is_given_and_nothing_else),
		TEST(a_coordinator_that_ends_too_often_leaves_its_node_for_a_while),
		TEST(ends_of_a_coordinator_count_on_one_node_within_the_period),
		TEST(with_no_node_left_a_volume_waits_and_says_how_long),
		TEST(a_coordinator_that_could_not_be_started_anywhere_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
