/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is stuck asks for the fence of its node, and when one is planned. */
#include "tests/unit/volume_fixture.h"

#include "clusterd/core/stuck.h"

static void add_device(struct fixture *f, uint16_t nodes)
{
	DONE(f, FENCE_CREATE, fence_create, .name = "bmc", .agent = "/bin/true", .level = 1,
	     .nodes = nodes, .timeout_ms = 1000);
}

static enum db_code order_group(struct fixture *f, const char *name, enum db_work work,
				uint8_t slot)
{
	struct db_command c = {.type = DB_CMD_GROUP_ORDER,
			       .group_order = {.work = (uint8_t)work,
					       .node = slot,
					       .incarnation = node(f, slot)->incarnation,
					       .previous = group(f, name)->order}};

	memcpy(c.group_order.name, group(f, name)->name, CL_NAME_MAX);
	return apply(f, c);
}

static enum db_code report_group(struct fixture *f, const char *name, enum db_work work)
{
	struct db_command c = {.type = DB_CMD_GROUP_REPORT,
			       .group_report = {.order = group(f, name)->order,
						.work = (uint8_t)work,
						.reason = "stop failed"}};

	memcpy(c.group_report.name, group(f, name)->name, CL_NAME_MAX);
	return apply(f, c);
}

/* A group, wanted online, that its node could not stop. */
static void make_failed(struct fixture *f, const char *name, uint8_t slot, uint8_t priority)
{
	struct db_command create = {.type = DB_CMD_GROUP_CREATE,
				    .group_create = {.priority = priority}};
	struct db_command start = {
		.type = DB_CMD_GROUP_INTENT,
		.group_intent = {.intent = DB_INTENT_ONLINE, .wish = CL_NODE_NONE}};

	snprintf(create.group_create.name, CL_NAME_MAX, "%s", name);
	snprintf(start.group_intent.name, CL_NAME_MAX, "%s", name);
	assert_int_equal(apply(f, create), DB_OK);
	assert_int_equal(apply(f, start), DB_OK);
	assert_int_equal(order_group(f, name, DB_WORK_STARTING, slot), DB_OK);
	assert_int_equal(report_group(f, name, DB_WORK_ONLINE), DB_OK);
	assert_int_equal(order_group(f, name, DB_WORK_STOPPING, slot), DB_OK);
	assert_int_equal(report_group(f, name, DB_WORK_UNKNOWN), DB_OK);
	assert_int_equal(group(f, name)->work, DB_WORK_FAILED);
}

static enum db_code ask(struct fixture *f, const char *name, uint8_t slot)
{
	struct db_command c = {.type = DB_CMD_FENCE_ASK,
			       .fence_ask = {.incarnation = node(f, slot)->incarnation,
					     .order = group(f, name)->order,
					     .reason = "it does not end"}};

	memcpy(c.fence_ask.name, node(f, slot)->name, CL_NAME_MAX);
	memcpy(c.fence_ask.group, group(f, name)->name, CL_NAME_MAX);
	return apply(f, c);
}

static enum db_code ask_volume(struct fixture *f, uint8_t slot, bool is_mount, uint64_t id)
{
	struct db_command c = {.type = DB_CMD_FENCE_ASK,
			       .fence_ask = {.incarnation = node(f, slot)->incarnation,
					     .volume = "v",
					     .is_mount = is_mount,
					     .order = id,
					     .reason = "it does not end"}};

	memcpy(c.fence_ask.name, node(f, slot)->name, CL_NAME_MAX);
	return apply(f, c);
}

static void make_stuck(struct fixture *f, const char *name, uint8_t slot)
{
	make_failed(f, name, slot, 100);
	assert_int_equal(ask(f, name, slot), DB_OK);
	assert_true(group(f, name)->fence_wanted);
}

/* The node of the planned fence, CL_NODE_NONE without one. */
static uint8_t planned(struct fixture *f)
{
	const struct db_node *n;

	plan_run(&f->db, &f->orders);
	if (!f->orders.has_fence)
		return CL_NODE_NONE;
	n = db_find(&f->db, DB_KIND_NODE, f->orders.fence.name);
	assert_non_null(n);
	assert_int_equal(f->orders.fence.incarnation, n->incarnation);
	assert_false(f->orders.fence.by_admin);
	return n->slot;
}

static enum db_code begin_fence(struct fixture *f, uint8_t slot, bool by_admin)
{
	struct db_command c = {
		.type = DB_CMD_NODE_FENCING,
		.node_fencing = {.incarnation = node(f, slot)->incarnation, .by_admin = by_admin}};

	memcpy(c.node_fencing.name, node(f, slot)->name, CL_NAME_MAX);
	return apply(f, c);
}

static void confirm_fence(struct fixture *f, uint8_t slot)
{
	struct db_command c = {
		.type = DB_CMD_NODE_FENCED,
		.node_fenced = {.incarnation = node(f, slot)->incarnation, .how = "off"}};

	memcpy(c.node_fenced.name, node(f, slot)->name, CL_NAME_MAX);
	assert_int_equal(apply(f, c), DB_OK);
}

static const char *last_event(struct fixture *f, const char *kind)
{
	for (uint32_t i = db_count(&f->db, DB_KIND_EVENT); i-- > 0;) {
		const struct db_event *e = db_at(&f->db, DB_KIND_EVENT, i);

		if (!strcmp(e->kind, kind))
			return e->text;
	}
	return "";
}

static const char *explain(struct fixture *f, const char *name)
{
	static char text[3 * DB_REASON_MAX];

	plan_explain(&f->db, group(f, name), text, sizeof(text));
	return text;
}

/* ---- asking */

static void a_group_that_only_failed_asks_for_nothing(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0xffff);
	make_failed(f, "g", 1, 100);
	assert_false(group(f, "g")->fence_wanted);
	assert_int_equal(planned(f), CL_NODE_NONE);
	assert_int_equal(begin_fence(f, 1, false), DB_CONFLICT);
}

static void what_is_stuck_has_its_node_fenced_and_runs_elsewhere(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0xffff);
	make_stuck(f, "g", 1);
	assert_string_equal(last_event(f, "fence-wanted"), "group g: it does not end");
	assert_int_equal(planned(f), 1);
	assert_int_equal(begin_fence(f, 1, false), DB_OK);
	assert_non_null(strstr(last_event(f, "fence-begin"), "group g: it does not end"));
	assert_int_equal(node(f, 1)->membership, DB_MEMBERSHIP_FENCING);
	assert_int_equal(planned(f), CL_NODE_NONE);
	assert_int_equal(f->orders.count, 0);
	assert_non_null(strstr(explain(f, "g"), "waiting to fence n1"));
	confirm_fence(f, 1);
	assert_false(group(f, "g")->fence_wanted);
	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.count, 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STARTING);
	assert_int_not_equal(f->orders.item[0].node, 1);
}

static void asking_again_changes_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t hash;

	make_stuck(f, "g", 1);
	hash = content_hash(f);
	assert_int_equal(ask(f, "g", 1), DB_OK);
	assert_int_equal(content_hash(f), hash);
}

static void only_what_is_failed_there_under_that_order_may_ask(void **state)
{
	struct fixture *f = *state;
	uint64_t order;

	make_failed(f, "g", 1, 100);
	order = group(f, "g")->order;
	REFUSED(f, DB_CONFLICT, FENCE_ASK, fence_ask, .name = "n2", .incarnation = INC(2),
		.group = "g", .order = order);
	REFUSED(f, DB_CONFLICT, FENCE_ASK, fence_ask, .name = "n1", .incarnation = INC(1),
		.group = "g", .order = order - 1);
	REFUSED(f, DB_CONFLICT, FENCE_ASK, fence_ask, .name = "n1", .incarnation = LATER(1),
		.group = "g", .order = order);
	REFUSED(f, DB_CONFLICT, FENCE_ASK, fence_ask, .name = "n1", .incarnation = INC(1),
		.group = "h", .order = order);
	REFUSED(f, DB_CONFLICT, FENCE_ASK, fence_ask, .name = "n1", .incarnation = INC(1),
		.volume = "v", .order = volume(f, "v")->order);
	assert_int_equal(report_group(f, "g", DB_WORK_OFFLINE), DB_OK);
	REFUSED(f, DB_CONFLICT, FENCE_ASK, fence_ask, .name = "n1", .incarnation = INC(1),
		.group = "g", .order = order);
}

static void what_ends_after_all_asks_no_more(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0xffff);
	make_stuck(f, "g", 1);
	assert_int_equal(report_group(f, "g", DB_WORK_OFFLINE), DB_OK);
	assert_false(group(f, "g")->fence_wanted);
	assert_int_equal(planned(f), CL_NODE_NONE);
	assert_int_equal(begin_fence(f, 1, false), DB_CONFLICT);
}

static void who_asks_for_it_again_takes_the_fence_back(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0xffff);
	make_stuck(f, "g", 1);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_OFFLINE,
	     .wish = CL_NODE_NONE);
	assert_false(group(f, "g")->fence_wanted);
	assert_int_equal(planned(f), CL_NODE_NONE);
}

/* ---- bounds */

static void without_a_device_it_stays_and_says_what_to_do(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0x5); /* not n1 */
	make_stuck(f, "g", 1);
	assert_int_equal(planned(f), CL_NODE_NONE);
	assert_int_equal(begin_fence(f, 1, false), DB_CONFLICT);
	assert_null(strstr(group(f, "g")->reason, "no fence device")); /* it may come yet */
	assert_non_null(strstr(explain(f, "g"), "no fence device covers it: add one"));
	DONE(f, FENCE_CREATE, fence_create, .name = "more", .agent = "/bin/true", .nodes = 0x2);
	assert_int_equal(planned(f), 1);
}

static void an_administrator_can_forbid_it(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0xffff);
	make_stuck(f, "g", 1);
	DONE(f, GROUP_SET, group_set, .name = "g", .on_stop_failure = DB_STOP_FAILURE_BLOCK);
	assert_int_equal(planned(f), CL_NODE_NONE);
	assert_int_equal(begin_fence(f, 1, false), DB_CONFLICT);
	assert_non_null(strstr(explain(f, "g"), "on-stop-failure is block"));
	DONE(f, GROUP_SET, group_set, .name = "g", .on_stop_failure = DB_STOP_FAILURE_FENCE);
	assert_int_equal(planned(f), 1);
	REFUSED(f, DB_NO_SUCH, GROUP_SET, group_set, .name = "h");
}

static void another_fence_under_way_comes_first(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0x6); /* n1 and n2 */
	make_stuck(f, "g", 1);
	assert_int_equal(begin_fence(f, 2, true), DB_OK);
	assert_int_equal(planned(f), CL_NODE_NONE);
	confirm_fence(f, 2);
	assert_int_equal(planned(f), 1);
	admit(f, 2, LATER(2));
	lose(f, 2);
	assert_int_equal(planned(f), CL_NODE_NONE);
	admit(f, 2, LATER(2));
	lose(f, 0); /* which nothing can fence: it is not waited for */
	assert_int_equal(planned(f), 1);
}

static void of_several_nodes_the_one_of_the_highest_priority_goes_first(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0xffff);
	make_failed(f, "a", 0, 10);
	make_failed(f, "b", 1, 20);
	make_failed(f, "c", 2, 20);
	assert_int_equal(ask(f, "a", 0), DB_OK);
	assert_int_equal(planned(f), 0);
	assert_int_equal(ask(f, "c", 2), DB_OK);
	assert_int_equal(planned(f), 2);
	assert_int_equal(ask(f, "b", 1), DB_OK);
	assert_int_equal(planned(f), 1);
}

static void several_things_stuck_on_a_node_are_one_fence(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0xffff);
	make_stuck(f, "g", 1);
	make_stuck(f, "h", 1);
	assert_int_equal(begin_fence(f, 1, false), DB_OK);
	assert_non_null(strstr(last_event(f, "fence-begin"), "group g, and 1 more: "));
	assert_true(group(f, "g")->fenced_ms && group(f, "h")->fenced_ms);
}

/* g ends up on the next node and is stuck again. */
static void stuck_again(struct fixture *f, uint8_t from, uint8_t to)
{
	assert_int_equal(begin_fence(f, from, false), DB_OK);
	confirm_fence(f, from);
	admit(f, from, node(f, from)->incarnation + 0x100);
	assert_int_equal(order_group(f, "g", DB_WORK_STARTING, to), DB_OK);
	assert_int_equal(report_group(f, "g", DB_WORK_UNKNOWN), DB_OK);
}

static void one_group_does_not_take_one_node_after_the_other(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0xffff);
	make_stuck(f, "g", 1);
	stuck_again(f, 1, 2);
	assert_int_equal(ask(f, "g", 2), DB_REFUSED);
	assert_non_null(strstr(f->result.text, "less than an hour ago"));
	assert_int_equal(planned(f), CL_NODE_NONE);
	f->later_ms = STUCK_PAUSE_MS;
	assert_int_equal(ask(f, "g", 2), DB_OK);
	assert_int_equal(planned(f), 2);
}

static void whoever_asks_for_it_anew_may_have_a_fence_at_once(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0xffff);
	make_stuck(f, "g", 1);
	stuck_again(f, 1, 2);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_OFFLINE,
	     .wish = CL_NODE_NONE);
	assert_int_equal(report_group(f, "g", DB_WORK_UNKNOWN), DB_OK);
	assert_int_equal(ask(f, "g", 2), DB_OK);
	assert_int_equal(planned(f), 2);
}

static void a_node_that_comes_back_stuck_is_still_to_be_fenced(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0x2);
	make_stuck(f, "g", 1);
	lose(f, 1);
	assert_int_equal(planned(f), CL_NODE_NONE);
	admit(f, 1, INC(1)); /* the same boot */
	assert_int_equal(planned(f), 1);
	admit(f, 1, LATER(1));
	assert_int_equal(planned(f), CL_NODE_NONE);
	assert_int_equal(group(f, "g")->work, DB_WORK_OFFLINE);
}

/* ---- volumes */

static void a_coordinator_that_is_stuck_asks(void **state)
{
	struct fixture *f = *state;
	char text[3 * DB_REASON_MAX];

	add_device(f, 0xffff);
	make_online(f, 1);
	assert_int_equal(order(f, DB_WORK_STOPPING, 1), DB_OK);
	assert_int_equal(ask_volume(f, 1, false, volume(f, "v")->order), DB_CONFLICT);
	assert_int_equal(report(f, DB_WORK_UNKNOWN), DB_OK);
	assert_int_equal(planned(f), CL_NODE_NONE);
	assert_int_equal(ask_volume(f, 1, false, volume(f, "v")->order), DB_OK);
	assert_int_equal(planned(f), 1);
	plan_explain_volume(&f->db, volume(f, "v"), text, sizeof(text));
	assert_non_null(strstr(text, "n1 is fenced for it as soon as"));
	assert_int_equal(begin_fence(f, 1, false), DB_OK);
	assert_non_null(strstr(last_event(f, "fence-begin"), "volume v: it does not end"));
	confirm_fence(f, 1);
	assert_false(volume(f, "v")->fence_wanted);
	assert_int_equal(volume(f, "v")->work, DB_WORK_OFFLINE);
	make_online(f, 2);
	assert_int_equal(report(f, DB_WORK_UNKNOWN), DB_OK);
	assert_int_equal(ask_volume(f, 2, false, volume(f, "v")->order), DB_REFUSED);
	DONE(f, VOLUME_INTENT, volume_intent, .name = "v", .wish = CL_NODE_NONE);
	assert_int_equal(report(f, DB_WORK_UNKNOWN), DB_OK);
	assert_int_equal(ask_volume(f, 2, false, volume(f, "v")->order), DB_OK);
}

static void a_mount_that_is_stuck_asks(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0xffff);
	make_online(f, 0);
	make_mounted(f, 2);
	assert_int_equal(ask_volume(f, 2, true, ID(2) + 1), DB_CONFLICT);
	assert_int_equal(ask_volume(f, 1, true, ID(2)), DB_CONFLICT);
	assert_int_equal(ask_volume(f, 2, true, ID(2)), DB_OK);
	assert_string_equal(last_event(f, "fence-wanted"), "mount of volume v: it does not end");
	assert_int_equal(planned(f), 2);
	assert_int_equal(gone(f, 2), DB_OK);
	assert_false(mount_of(f, 2)->fence_wanted);
	assert_int_equal(planned(f), CL_NODE_NONE);
	assert_int_equal(ask_volume(f, 2, true, ID(2)), DB_CONFLICT);
}

static void a_volume_goes_before_every_group(void **state)
{
	struct fixture *f = *state;

	add_device(f, 0xffff);
	make_failed(f, "g", 0, 255);
	assert_int_equal(ask(f, "g", 0), DB_OK);
	make_online(f, 1);
	make_mounted(f, 2);
	assert_int_equal(ask_volume(f, 2, true, ID(2)), DB_OK);
	assert_int_equal(planned(f), 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_group_that_only_failed_asks_for_nothing),
		TEST(what_is_stuck_has_its_node_fenced_and_runs_elsewhere),
		TEST(asking_again_changes_nothing),
		TEST(only_what_is_failed_there_under_that_order_may_ask),
		TEST(what_ends_after_all_asks_no_more),
		TEST(who_asks_for_it_again_takes_the_fence_back),
		TEST(without_a_device_it_stays_and_says_what_to_do),
		TEST(an_administrator_can_forbid_it),
		TEST(another_fence_under_way_comes_first),
		TEST(of_several_nodes_the_one_of_the_highest_priority_goes_first),
		TEST(several_things_stuck_on_a_node_are_one_fence),
		TEST(one_group_does_not_take_one_node_after_the_other),
		TEST(whoever_asks_for_it_anew_may_have_a_fence_at_once),
		TEST(a_node_that_comes_back_stuck_is_still_to_be_fenced),
		TEST(a_coordinator_that_is_stuck_asks),
		TEST(a_mount_that_is_stuck_asks),
		TEST(a_volume_goes_before_every_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
