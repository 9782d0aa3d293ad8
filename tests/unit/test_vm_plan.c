/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which migrations the planner asks for and begins, and when it stops a virtual machine. */
#include "tests/unit/vm_fixture.h"

static size_t plan(struct fixture *f)
{
	plan_run(&f->db, &f->orders);
	return f->orders.count + f->orders.begin_count + f->orders.migration_count;
}

/* Carries the orders out; then there are no more. */
static void carry_out(struct fixture *f)
{
	for (size_t i = 0; i < f->orders.begin_count; i++)
		assert_int_equal(
			apply(f, (struct db_command){.type = DB_CMD_MIGRATION_ORDER,
						     .migration_order = f->orders.begin[i]}),
			DB_OK);
	for (size_t i = 0; i < f->orders.migration_count; i++)
		assert_int_equal(
			apply(f, (struct db_command){.type = DB_CMD_VM_MIGRATE,
						     .vm_migrate = f->orders.migration[i]}),
			DB_OK);
	for (size_t i = 0; i < f->orders.count; i++)
		assert_int_equal(apply(f, (struct db_command){.type = DB_CMD_GROUP_ORDER,
							      .group_order = f->orders.item[i]}),
				 DB_OK);
	assert_int_equal(plan(f), 0);
}

/* The plan is one migration of a, to there, for that reason; it is carried out. Its id. */
static uint64_t expect_migration(struct fixture *f, uint8_t to, const char *reason)
{
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.migration_count, 1);
	assert_string_equal(f->orders.migration[0].name, "a");
	assert_int_equal(f->orders.migration[0].to, to);
	assert_string_equal(f->orders.migration[0].reason, reason);
	carry_out(f);
	assert_int_equal(migration(f, vm(f, "a")->migration)->phase, DB_MIGRATION_PHASE_SETUP);
	return vm(f, "a")->migration;
}

static void expect_stop(struct fixture *f, const char *reason)
{
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.count, 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STOPPING);
	assert_string_equal(f->orders.item[0].reason, reason);
	carry_out(f);
}

static void make_b(struct fixture *f, uint8_t slot, uint8_t priority)
{
	DONE(f, VM_CREATE, vm_create, .name = "b", .uuid = VM_UUID_2, .definition = "{}",
	     .priority = priority);
	vm_start(f, "b", slot);
}

static const char *explain(struct fixture *f)
{
	static char text[DB_REASON_MAX];

	plan_explain(&f->db, group(f, "a"), text, sizeof(text));
	return text;
}

/* ---- the queue */

static void what_is_queued_begins(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.begin[0].id, id);
	assert_int_equal(f->orders.begin[0].phase, DB_MIGRATION_PHASE_SETUP);
	carry_out(f);
}

static void a_pair_is_given_to_the_higher_priority_first(void **state)
{
	struct fixture *f = *state;
	uint64_t a, b;

	make_b(f, 1, 200);
	a = queue(f, "a", 1);
	b = queue(f, "b", 0);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.begin[0].id, b);
	carry_out(f);
	assert_string_equal(explain(f), "waits to be migrated from n0 to n1: another migration "
					"between them is under way");
	assert_int_equal(ends(f, b, 1, false), DB_OK);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.begin[0].id, a);
}

static void of_equal_priority_the_first_begins_first(void **state)
{
	struct fixture *f = *state;
	uint64_t b;

	make_b(f, 0, 100);
	b = queue(f, "b", 1);
	queue(f, "a", 1);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.begin[0].id, b);
}

static void different_pairs_begin_together(void **state)
{
	struct fixture *f = *state;

	make_b(f, 0, 100);
	queue(f, "b", 2);
	queue(f, "a", 1);
	assert_int_equal(plan(f), 2);
	assert_int_equal(f->orders.begin_count, 2);
	carry_out(f);
}

static void what_is_queued_ends_when_its_destination_is_paused(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	assert_int_equal(pause_node(f, 1, false), DB_OK);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.begin[0].phase, DB_MIGRATION_PHASE_ENDED);
	assert_string_equal(f->orders.begin[0].reason, "the node is paused");
	carry_out(f);
	assert_int_equal(migration(f, id)->outcome, DB_TASK_STATE_FAILED);
}

static void what_is_queued_waits_for_a_volume(void **state)
{
	struct fixture *f = *state;

	queue(f, "a", 1);
	assert_int_equal(gone(f, 1), DB_OK);
	assert_int_equal(plan(f), 0);
}

static void what_is_queued_waits_while_its_source_is_lost(void **state)
{
	struct fixture *f = *state;

	queue(f, "a", 1);
	lose(f, 0);
	plan(f);
	assert_int_equal(f->orders.begin_count, 0);
}

/* ---- wishes */

static void nothing_moves_for_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plan(f), 0);
	assert_int_equal(pause_node(f, 0, false), DB_OK);
	assert_int_equal(plan(f), 0);
}

static void a_wish_is_served_by_a_migration(void **state)
{
	struct fixture *f = *state;
	uint64_t id, wish;

	group_intent(f, "a", DB_INTENT_ONLINE, 2);
	wish = f->result.task;
	id = expect_migration(f, 2, "asked to move");
	assert_int_equal(migration(f, id)->task, wish);
	assert_int_equal(says(f, id, 0, DB_MIGRATION_PHASE_STORAGE_HANDLE), DB_OK);
	assert_int_equal(transfer(f, id), DB_OK);
	assert_int_equal(plan(f), 0);
	assert_int_equal(ends(f, id, 2, true), DB_OK);
	assert_int_equal(task(f, wish)->state, DB_TASK_STATE_DONE);
	assert_int_equal(plan(f), 0);
}

static void a_wish_that_failed_is_not_tried_again(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	group_intent(f, "a", DB_INTENT_ONLINE, 2);
	id = expect_migration(f, 2, "asked to move");
	assert_int_equal(ends(f, id, 2, false), DB_OK);
	assert_int_equal(plan(f), 0);
}

static void a_wish_that_cannot_be_had_waits(void **state)
{
	struct fixture *f = *state;

	group_intent(f, "a", DB_INTENT_ONLINE, 2);
	assert_int_equal(gone(f, 2), DB_OK);
	assert_int_equal(plan(f), 0);
}

/* ---- drains */

static void a_drained_node_has_its_virtual_machines_migrated(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	make_b(f, 1, 100);
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	make_online(f, 2);
	assert_int_equal(pause_node(f, 0, true), DB_OK);
	id = expect_migration(f, 2, "its node is drained");
	assert_string_equal(task(f, migration(f, id)->task)->verb, "node-drain");
	assert_int_equal(says(f, id, 0, DB_MIGRATION_PHASE_STORAGE_HANDLE), DB_OK);
	assert_int_equal(transfer(f, id), DB_OK);
	assert_int_equal(ends(f, id, 2, true), DB_OK);
	assert_int_equal(plan(f), 0);
}

/* v is coordinated by n1, so that a drain of n0 moves virtual machines only. */
static void drain(struct fixture *f)
{
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	make_online(f, 1);
	assert_int_equal(pause_node(f, 0, true), DB_OK);
}

static void a_failed_drain_tries_another_node_and_then_stays(void **state)
{
	struct fixture *f = *state;

	drain(f);
	assert_int_equal(ends(f, expect_migration(f, 1, "its node is drained"), 0, false), DB_OK);
	assert_int_equal(ends(f, expect_migration(f, 2, "its node is drained"), 0, false), DB_OK);
	assert_int_equal(plan(f), 0);
	assert_int_equal(group(f, "a")->work, DB_WORK_ONLINE);
	assert_string_equal(explain(f), "stayed on n0, which is drained: migration to n2 failed: "
					"it broke");
}

static void a_drain_tries_three_nodes_at_most(void **state)
{
	struct fixture *f = *state;

	drain(f);
	vm(f, "a")->tried = 0x70; /* three others, and none of these */
	assert_int_equal(plan(f), 0);
}

static void a_drain_that_is_asked_for_again_tries_again(void **state)
{
	struct fixture *f = *state;

	drain(f);
	assert_int_equal(ends(f, expect_migration(f, 1, "its node is drained"), 0, false), DB_OK);
	assert_int_equal(ends(f, expect_migration(f, 2, "its node is drained"), 0, false), DB_OK);
	assert_int_equal(pause_node(f, 0, true), DB_OK);
	expect_migration(f, 1, "its node is drained");
}

static void a_cancelled_drain_is_not_begun_again(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	drain(f);
	id = expect_migration(f, 1, "its node is drained");
	DONE(f, TASK_CANCEL, task_cancel, .id = migration(f, id)->task);
	assert_int_equal(plan(f), 0);
	assert_string_equal(explain(f), "its migration from n0 to n1 is being cancelled: "
					"cancelled by admin");
	assert_int_equal(ends(f, id, 0, false), DB_OK);
	assert_int_equal(plan(f), 0);
}

static void a_drain_without_another_node_says_that_it_stayed(void **state)
{
	struct fixture *f = *state;

	drain(f);
	group(f, "a")->possible = 0x1;
	assert_int_equal(plan(f), 0);
	assert_string_equal(explain(f),
			    "stayed on n0, which is drained: no other node can take it now");
}

static void drained_virtual_machines_of_one_pair_go_one_after_the_other(void **state)
{
	struct fixture *f = *state;

	make_b(f, 0, 200);
	drain(f);
	assert_int_equal(leave(f, 2, false), DB_OK);
	assert_int_equal(plan(f), 2);
	assert_int_equal(f->orders.migration_count, 2);
	assert_string_equal(f->orders.migration[0].name, "b");
	carry_out(f);
	assert_int_equal(migration(f, vm(f, "b")->migration)->phase, DB_MIGRATION_PHASE_SETUP);
	assert_int_equal(migration(f, vm(f, "a")->migration)->phase, DB_MIGRATION_PHASE_QUEUED);
}

static void drained_virtual_machines_spread_over_the_nodes(void **state)
{
	struct fixture *f = *state;

	make_b(f, 0, 200);
	drain(f);
	assert_int_equal(plan(f), 2);
	assert_int_equal(f->orders.migration[0].to, 1);
	assert_int_equal(f->orders.migration[1].to, 2);
	carry_out(f);
}

static void a_drained_destination_sends_what_is_queued_to_another_in_one_plan(void **state)
{
	struct fixture *f = *state;

	make_b(f, 0, 200);
	drain(f);
	queue(f, "a", 1);
	DONE(f, VM_MIGRATE, vm_migrate, .name = "b", .to = 1, .previous = group(f, "b")->order,
	     .begin = true);
	assert_int_equal(pause_node(f, 1, false), DB_OK);
	assert_int_equal(plan(f), 2);
	assert_int_equal(f->orders.begin[0].phase, DB_MIGRATION_PHASE_ENDED);
	assert_int_equal(f->orders.migration[0].to, 2);
	carry_out(f);
}

/* ---- nodes that leave, and stops */

static void a_leaving_node_has_its_virtual_machines_migrated(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(leave(f, 0, false), DB_OK);
	expect_migration(f, 1, "its node stops");
}

static void a_leaving_source_keeps_its_mount_until_the_migration_has_ended(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	assert_int_equal(leave(f, 0, false), DB_OK);
	id = expect_migration(f, 1, "its node stops");
	assert_int_equal(says(f, id, 0, DB_MIGRATION_PHASE_STORAGE_HANDLE), DB_OK);
	assert_int_equal(transfer(f, id), DB_OK);
	assert_true(volume_mount_wanted(&f->db, volume(f, "v"), node(f, 0)));
	assert_int_equal(plan(f), 0);
	assert_int_equal(ends(f, id, 1, true), DB_OK);
	assert_false(volume_mount_wanted(&f->db, volume(f, "v"), node(f, 0)));
}

static void a_leaving_node_stops_what_cannot_be_migrated(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(leave(f, 0, false), DB_OK);
	assert_int_equal(ends(f, expect_migration(f, 1, "its node stops"), 0, false), DB_OK);
	assert_int_equal(ends(f, expect_migration(f, 2, "its node stops"), 0, false), DB_OK);
	expect_stop(f, "its node stops, and it can be migrated to no other node");
	assert_int_equal(group_report(f, "a", group(f, "a")->order, DB_WORK_OFFLINE), DB_OK);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STARTING);
	assert_int_not_equal(f->orders.item[0].node, 0);
}

static void a_stop_waits_for_the_end_of_a_migration(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	group_intent(f, "a", DB_INTENT_OFFLINE, CL_NODE_NONE);
	assert_int_equal(plan(f), 0);
	assert_int_equal(ends(f, id, 0, false), DB_OK);
	expect_stop(f, "asked to be offline");
}

static void a_stop_after_the_transfer_waits_for_the_destination(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	assert_int_equal(transfer(f, id), DB_OK);
	group_intent(f, "a", DB_INTENT_OFFLINE, CL_NODE_NONE);
	assert_int_equal(plan(f), 0);
	assert_int_equal(ends(f, id, 1, true), DB_OK);
	expect_stop(f, "asked to be offline");
	assert_int_equal(group(f, "a")->node, 1);
}

static void a_fenced_source_has_its_virtual_machine_started_elsewhere(void **state)
{
	struct fixture *f = *state;

	bring_to_handle(f, "a", 1);
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	make_online(f, 1);
	fence(f, 0);
	assert_int_equal(recovered(f, volume(f, "v")->term, 0), DB_OK);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STARTING);
}

/* ---- explanations */

static void it_says_how_a_migration_gets_on(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	assert_string_equal(explain(f), "waits to be migrated from n0 to n1: not begun yet");
	assert_int_equal(begin(f, id), DB_OK);
	DONE(f, MIGRATION_REPORT, migration_report, .id = id, .slot = 0, .incarnation = INC(0),
	     .phase = DB_MIGRATION_PHASE_MEMORY, .total = 9, .remaining = 5);
	assert_string_equal(explain(f), "being migrated from n0 to n1, phase memory: 5 of 9 bytes "
					"remain");
	assert_int_equal(says(f, id, 0, DB_MIGRATION_PHASE_STORAGE_HANDLE), DB_OK);
	assert_int_equal(transfer(f, id), DB_OK);
	assert_string_equal(explain(f), "migrated from n0 to n1, which is to say that it runs");
	assert_int_equal(ends(f, id, 1, true), DB_OK);
	assert_string_equal(explain(f), "migrated from n0: it runs");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		VM_TEST(what_is_queued_begins),
		VM_TEST(a_pair_is_given_to_the_higher_priority_first),
		VM_TEST(of_equal_priority_the_first_begins_first),
		VM_TEST(different_pairs_begin_together),
		VM_TEST(what_is_queued_ends_when_its_destination_is_paused),
		VM_TEST(what_is_queued_waits_for_a_volume),
		VM_TEST(what_is_queued_waits_while_its_source_is_lost),
		VM_TEST(nothing_moves_for_nothing),
		VM_TEST(a_wish_is_served_by_a_migration),
		VM_TEST(a_wish_that_failed_is_not_tried_again),
		VM_TEST(a_wish_that_cannot_be_had_waits),
		VM_TEST(a_drained_node_has_its_virtual_machines_migrated),
		VM_TEST(a_failed_drain_tries_another_node_and_then_stays),
		VM_TEST(a_drain_tries_three_nodes_at_most),
		VM_TEST(a_drain_that_is_asked_for_again_tries_again),
		VM_TEST(a_cancelled_drain_is_not_begun_again),
		VM_TEST(a_drain_without_another_node_says_that_it_stayed),
		VM_TEST(drained_virtual_machines_of_one_pair_go_one_after_the_other),
		VM_TEST(drained_virtual_machines_spread_over_the_nodes),
		VM_TEST(a_drained_destination_sends_what_is_queued_to_another_in_one_plan),
		VM_TEST(a_leaving_node_has_its_virtual_machines_migrated),
		VM_TEST(a_leaving_source_keeps_its_mount_until_the_migration_has_ended),
		VM_TEST(a_leaving_node_stops_what_cannot_be_migrated),
		VM_TEST(a_stop_waits_for_the_end_of_a_migration),
		VM_TEST(a_stop_after_the_transfer_waits_for_the_destination),
		VM_TEST(a_fenced_source_has_its_virtual_machine_started_elsewhere),
		VM_TEST(it_says_how_a_migration_gets_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
