/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What administrators do with resources, and what their node reports of them, in the database. */
#include "tests/unit/volume_fixture.h"

#include "clusterd/core/tree.h"

static const struct db_limits roomy = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = CL_MAX_NODES,
			[DB_KIND_GROUP] = 4,
			[DB_KIND_RESOURCE] = 8,
			[DB_KIND_PARAM] = 6,
			[DB_KIND_TASK] = 6,
			[DB_KIND_EVENT] = 32,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
		},
	.locks = {.max_sessions = 12, .max_resources = 16, .max_locks = 24, .max_queued = 4},
};

static const struct db_resource *resource(const struct fixture *f, const char *name)
{
	return db_find(&f->db, DB_KIND_RESOURCE, name);
}

static const char *param(const struct fixture *f, const char *key)
{
	const struct db_param *p = db_find(&f->db, DB_KIND_PARAM, key);

	return p ? p->value : NULL;
}

static enum db_code create(struct fixture *f, const char *name, const char *depends)
{
	struct db_command c = {.type = DB_CMD_RESOURCE_CREATE,
			       .resource_create = {.group = "g", .agent = "Dummy"}};

	snprintf(c.resource_create.name, CL_NAME_MAX, "%s", name);
	snprintf(c.resource_create.depends, DB_DEPENDS_MAX, "%s", depends);
	return apply(f, c);
}

static struct db_command keep(const char *name)
{
	struct db_command c = {.type = DB_CMD_RESOURCE_SET,
			       .resource_set = {.restart_max = DB_KEEP,
						.restart_ms = DB_KEEP,
						.monitor_ms = DB_KEEP,
						.start_ms = DB_KEEP,
						.stop_ms = DB_KEEP,
						.deep_monitor_ms = DB_KEEP,
						.keeps_depends = true}};

	snprintf(c.resource_set.name, CL_NAME_MAX, "%s", name);
	return c;
}

static enum db_code set_depends(struct fixture *f, const char *name, const char *depends)
{
	struct db_command c = keep(name);

	c.resource_set.keeps_depends = false;
	snprintf(c.resource_set.depends, DB_DEPENDS_MAX, "%s", depends);
	return apply(f, c);
}

static enum db_code set_params(struct fixture *f, const char *name, const char *lines,
			       bool is_reloadable)
{
	struct db_command c = keep(name);

	c.resource_set.is_reloadable = is_reloadable;
	snprintf(c.resource_set.params, DB_PARAMS_MAX, "%s", lines);
	return apply(f, c);
}

/* disk1 and disk2, either of which app needs, and ip, which it needs too; offline. */
static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->mem = malloc(db_size(&roomy));
	assert_non_null(f->mem);
	assert_int_equal(db_init(&f->db, f->mem, db_size(&roomy), &roomy), 0);
	for (uint8_t slot = 0; slot < NODES; slot++)
		admit(f, slot, INC(slot));
	DONE(f, GROUP_CREATE, group_create, .name = "g");
	assert_int_equal(create(f, "ip", ""), DB_OK);
	assert_int_equal(create(f, "disk1", ""), DB_OK);
	assert_int_equal(create(f, "disk2", ""), DB_OK);
	assert_int_equal(create(f, "app", "ip and (disk1 or disk2)"), DB_OK);
	*state = f;
	return 0;
}

static enum db_code intent(struct fixture *f, enum db_intent to)
{
	return DO(f, GROUP_INTENT, group_intent, .name = "g", .intent = (uint8_t)to,
		  .wish = CL_NODE_NONE, .verb = "group-start");
}

static void report_group(struct fixture *f, enum db_work work)
{
	DONE(f, GROUP_REPORT, group_report, .name = "g", .order = group(f, "g")->order,
	     .work = (uint8_t)work, .reason = "so it is");
}

static void bring_online(struct fixture *f)
{
	assert_int_equal(intent(f, DB_INTENT_ONLINE), DB_OK);
	DONE(f, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STARTING, .node = 0,
	     .incarnation = INC(0), .previous = group(f, "g")->order);
	report_group(f, DB_WORK_ONLINE);
}

static void tell(struct fixture *f, const char *name, enum db_work work, uint64_t asked)
{
	struct db_command c = {.type = DB_CMD_RESOURCE_REPORT,
			       .resource_report = {.order = group(f, "g")->order,
						   .work = (uint8_t)work,
						   .asked = asked,
						   .reason = "monitor said 7"}};

	snprintf(c.resource_report.name, CL_NAME_MAX, "%s", name);
	assert_int_equal(apply(f, c), DB_OK);
}

static void says(const struct fixture *f, const char *what)
{
	if (!strstr(f->result.text, what))
		fail_msg("'%s' does not say '%s'", f->result.text, what);
}

/* ---- dependencies */

static void what_a_resource_depends_on_is_of_its_group_and_there(void **state)
{
	struct fixture *f = *state;

	DONE(f, GROUP_CREATE, group_create, .name = "h");
	DONE(f, RESOURCE_CREATE, resource_create, .name = "other", .group = "h", .agent = "Dummy");
	assert_int_equal(create(f, "x", "ip and"), DB_INVALID);
	assert_null(resource(f, "x"));
	assert_int_equal(set_depends(f, "app", "ip and other"), DB_INVALID);
	says(f, "depends of app: character 8, at 'other': that resource is of another group");
	assert_int_equal(set_depends(f, "app", "ip or disk3"), DB_INVALID);
	says(f, "character 7, at 'disk3': there is no such resource");
	assert_int_equal(set_depends(f, "app", "app"), DB_INVALID);
	says(f, "cannot depend on itself");
	assert_string_equal(resource(f, "app")->depends, "ip and (disk1 or disk2)");
}

static void a_cycle_is_refused_and_named(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(set_depends(f, "disk1", "ip"), DB_OK);
	assert_int_equal(set_depends(f, "ip", "disk2 or app"), DB_INVALID);
	assert_non_null(strstr(f->result.text, "a cycle: "));
	assert_non_null(strstr(f->result.text, "ip needs app"));
	assert_non_null(strstr(f->result.text, "app needs ip"));
	assert_string_equal(resource(f, "ip")->depends, "");
}

static void what_others_depend_on_is_not_deleted(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_REFUSED, RESOURCE_DELETE, resource_delete, .name = "disk2");
	says(f, "app depends on it");
	assert_int_equal(set_depends(f, "app", "ip and disk1"), DB_OK);
	DONE(f, RESOURCE_DELETE, resource_delete, .name = "disk2");
}

static void without_any_expression_the_list_is_the_tree(void **state)
{
	struct fixture *f = *state;
	static struct tree t;
	char why[DB_REASON_MAX];

	assert_int_equal(tree_make(&f->db, "g", NULL, NULL, &t, why, sizeof(why)), 0);
	assert_false(t.is_list);
	assert_int_equal(t.node[tree_find(&t, "disk2")].depends.count, 0);
	assert_int_equal(set_depends(f, "app", ""), DB_OK);
	assert_int_equal(tree_make(&f->db, "g", NULL, NULL, &t, why, sizeof(why)), 0);
	assert_true(t.is_list);
	for (int i = 1; i < 4; i++)
		assert_true(depends_names(&t.node[i].depends, i - 1));
	DONE(f, RESOURCE_DELETE, resource_delete, .name = "disk1"); /* a list closes its gaps */
}

static void nothing_that_runs_is_stopped_by_a_new_expression(void **state)
{
	struct fixture *f = *state;

	bring_online(f);
	DONE(f, RESOURCE_INTENT, resource_intent, .name = "disk2", .intent = DB_INTENT_OFFLINE);
	tell(f, "disk2", DB_WORK_OFFLINE, 0);
	assert_int_equal(set_depends(f, "app", "disk2"), DB_REFUSED);
	says(f, "app runs and would have to stop");
	assert_int_equal(set_depends(f, "app", "disk1"), DB_OK);
}

/* ---- failures of one resource */

static void a_failed_alternative_makes_the_group_degraded(void **state)
{
	struct fixture *f = *state;

	bring_online(f);
	tell(f, "disk2", DB_WORK_FAILED, 0);
	assert_int_equal(group(f, "g")->work, DB_WORK_ONLINE);
	assert_true(group(f, "g")->is_degraded);
	assert_string_equal(group(f, "g")->reason, "degraded: disk2 failed: monitor said 7");
	DONE(f, RESOURCE_CLEAR, resource_clear, .name = "disk2");
	assert_int_equal(resource(f, "disk2")->asked, DB_RESOURCE_ASK_RETRY);
	tell(f, "disk2", DB_WORK_ONLINE, resource(f, "disk2")->asked_at);
	assert_int_equal(resource(f, "disk2")->asked, DB_RESOURCE_ASK_NOTHING);
	assert_false(group(f, "g")->is_degraded);
}

static void what_failed_while_the_group_started_stays_failed_when_it_is_online(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(intent(f, DB_INTENT_ONLINE), DB_OK);
	DONE(f, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STARTING, .node = 0,
	     .incarnation = INC(0), .previous = group(f, "g")->order);
	tell(f, "disk1", DB_WORK_FAILED, 0);
	assert_false(group(f, "g")->is_degraded);
	report_group(f, DB_WORK_ONLINE);
	assert_int_equal(resource(f, "disk1")->work, DB_WORK_FAILED);
	assert_int_equal(resource(f, "app")->work, DB_WORK_ONLINE);
	assert_true(group(f, "g")->is_degraded);
}

static void a_simulated_failure_is_asked_of_what_is_online_once(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_REFUSED, RESOURCE_FAIL, resource_fail, .name = "app");
	bring_online(f);
	DONE(f, RESOURCE_FAIL, resource_fail, .name = "app");
	assert_int_equal(resource(f, "app")->asked, DB_RESOURCE_ASK_FAIL);
	assert_string_equal(resource(f, "app")->asked_by, "admin");
	REFUSED(f, DB_CONFLICT, RESOURCE_FAIL, resource_fail, .name = "app");
	tell(f, "app", DB_WORK_ONLINE, 1); /* about something else */
	assert_int_equal(resource(f, "app")->asked, DB_RESOURCE_ASK_FAIL);
	report_group(f, DB_WORK_FAILED); /* it went down for it */
	assert_int_equal(resource(f, "app")->asked, DB_RESOURCE_ASK_NOTHING);
}

/* ---- start and stop of one */

static void a_stop_says_what_stops_first_and_its_task_ends_with_the_report(void **state)
{
	struct fixture *f = *state;
	const struct db_task *t;

	bring_online(f);
	DONE(f, RESOURCE_INTENT, resource_intent, .name = "ip", .intent = DB_INTENT_OFFLINE);
	says(f, "app, which need it, stop first");
	t = db_find_id(&f->db, DB_KIND_TASK, f->result.task);
	assert_int_equal(t->state, DB_TASK_STATE_RUNNING);
	tell(f, "app", DB_WORK_OFFLINE, 0);
	assert_int_equal(t->state, DB_TASK_STATE_RUNNING);
	tell(f, "ip", DB_WORK_OFFLINE, 0);
	assert_int_equal(t->state, DB_TASK_STATE_DONE);
	report_group(f, DB_WORK_ONLINE);
	assert_int_equal(resource(f, "ip")->work, DB_WORK_OFFLINE);
}

static void what_is_added_to_a_running_group_waits_to_be_started(void **state)
{
	struct fixture *f = *state;

	bring_online(f);
	assert_int_equal(create(f, "late", "ip"), DB_OK);
	says(f, "resource start late");
	assert_true(resource(f, "late")->is_stopped);
	DONE(f, RESOURCE_INTENT, resource_intent, .name = "late", .intent = DB_INTENT_ONLINE);
	REFUSED(f, DB_REFUSED, RESOURCE_DELETE, resource_delete, .name = "late");
	DONE(f, RESOURCE_INTENT, resource_intent, .name = "late", .intent = DB_INTENT_OFFLINE);
	tell(f, "late", DB_WORK_OFFLINE, 0);
	DONE(f, RESOURCE_DELETE, resource_delete, .name = "late");
}

/* ---- parameters */

static void a_restart_for_parameters_keeps_the_old_ones_for_the_stop(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(set_params(f, "ip", "ip=1\nnic=a\n", false), DB_OK);
	assert_int_equal(resource(f, "ip")->asked, DB_RESOURCE_ASK_NOTHING);
	bring_online(f);
	assert_int_equal(set_params(f, "ip", "ip=2\nnic\n", false), DB_OK);
	says(f, "ip is restarted for its new parameters, and with it app");
	assert_string_equal(param(f, "ip/ip"), "2");
	assert_null(param(f, "ip/nic"));
	assert_string_equal(param(f, "~ip/ip"), "1");
	assert_string_equal(param(f, "~ip/nic"), "a");
	assert_int_equal(set_params(f, "ip", "ip=3\n", true), DB_OK);
	assert_int_equal(resource(f, "ip")->asked, DB_RESOURCE_ASK_RESTART);
	assert_string_equal(param(f, "~ip/ip"), "1"); /* still those of the start */
	tell(f, "ip", DB_WORK_ONLINE, resource(f, "ip")->asked_at);
	assert_null(param(f, "~ip/ip"));
	assert_null(param(f, "~ip/nic"));
	assert_string_equal(param(f, "ip/ip"), "3");
}

static void what_the_agent_can_take_is_reloaded(void **state)
{
	struct fixture *f = *state;

	bring_online(f);
	assert_int_equal(set_params(f, "ip", "ip=2\n", true), DB_OK);
	says(f, "while it runs");
	assert_int_equal(resource(f, "ip")->asked, DB_RESOURCE_ASK_RELOAD);
	assert_null(param(f, "~ip/ip"));
}

static void without_room_for_parameters_nothing_is_changed(void **state)
{
	struct fixture *f = *state;
	uint64_t hash;

	assert_int_equal(set_params(f, "ip", "a=1\nb=1\nc=1\n", false), DB_OK);
	hash = content_hash(f);
	assert_int_equal(set_params(f, "ip", "d=1\n", false), DB_REFUSED); /* and the old three */
	assert_int_equal(set_params(f, "ip", "nothing\n", false), DB_INVALID);
	assert_int_equal(content_hash(f), hash);
}

/* ---- unmanaged */

static void nothing_is_planned_for_what_is_unmanaged(void **state)
{
	struct fixture *f = *state;

	bring_online(f);
	DONE(f, RESOURCE_MANAGE, resource_manage, .name = "disk1", .is_unmanaged = true);
	assert_int_equal(group(f, "g")->unmanaged, 1);
	assert_int_equal(intent(f, DB_INTENT_OFFLINE), DB_REFUSED);
	says(f, "unmanaged in part");
	REFUSED(f, DB_REFUSED, RESOURCE_INTENT, resource_intent, .name = "disk1",
		.intent = DB_INTENT_OFFLINE);
	DONE(f, NODE_PAUSE, node_pause, .name = "n0", .pause = true, .drain = true);
	plan_run(&f->db, &f->orders);
	assert_int_equal(plan_order_count(&f->orders), 0);
	DONE(f, RESOURCE_MANAGE, resource_manage, .name = "disk1", .is_unmanaged = false);
	assert_int_equal(group(f, "g")->unmanaged, 0);
	plan_run(&f->db, &f->orders);
	assert_int_equal(plan_order_count(&f->orders), 1);
}

static void nobody_takes_a_group_between_two_states(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(intent(f, DB_INTENT_ONLINE), DB_OK);
	DONE(f, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STARTING, .node = 0,
	     .incarnation = INC(0), .previous = group(f, "g")->order);
	REFUSED(f, DB_REFUSED, RESOURCE_MANAGE, resource_manage, .name = "g", .is_group = true,
		.is_unmanaged = true);
	report_group(f, DB_WORK_ONLINE);
	DONE(f, RESOURCE_MANAGE, resource_manage, .name = "g", .is_group = true,
	     .is_unmanaged = true);
	assert_int_equal(set_params(f, "ip", "ip=2\n", true), DB_REFUSED);
	says(f, "group manage g");
}

static void clearing_a_group_forgets_all_of_its_failures(void **state)
{
	struct fixture *f = *state;

	bring_online(f);
	tell(f, "disk2", DB_WORK_FAILED, 0);
	report_group(f, DB_WORK_FAILED);
	assert_int_equal(group(f, "g")->failures, 1);
	assert_int_equal(group(f, "g")->failovers, 1);
	DONE(f, RESOURCE_CLEAR, resource_clear, .name = "g", .is_group = true);
	assert_int_equal(group(f, "g")->failures, 0);
	assert_int_equal(group(f, "g")->failovers, 0);
	assert_int_equal(group(f, "g")->refused, 0);
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_a_resource_depends_on_is_of_its_group_and_there),
		TEST(a_cycle_is_refused_and_named),
		TEST(what_others_depend_on_is_not_deleted),
		TEST(without_any_expression_the_list_is_the_tree),
		TEST(nothing_that_runs_is_stopped_by_a_new_expression),
		TEST(a_failed_alternative_makes_the_group_degraded),
		TEST(what_failed_while_the_group_started_stays_failed_when_it_is_online),
		TEST(a_simulated_failure_is_asked_of_what_is_online_once),
		TEST(a_stop_says_what_stops_first_and_its_task_ends_with_the_report),
		TEST(what_is_added_to_a_running_group_waits_to_be_started),
		TEST(a_restart_for_parameters_keeps_the_old_ones_for_the_stop),
		TEST(what_the_agent_can_take_is_reloaded),
		TEST(without_room_for_parameters_nothing_is_changed),
		TEST(nothing_is_planned_for_what_is_unmanaged),
		TEST(nobody_takes_a_group_between_two_states),
		TEST(clearing_a_group_forgets_all_of_its_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
