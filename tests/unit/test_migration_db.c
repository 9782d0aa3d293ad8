/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Live migrations in the applied state: from the wish to the hand-over and the end. */
#include "tests/unit/vm_fixture.h"

static const char *ask_refused(struct fixture *f, uint8_t to)
{
	REFUSED(f, DB_REFUSED, VM_MIGRATE, vm_migrate, .name = "a", .to = to, .verb = "vm-migrate");
	return f->result.text;
}

static void expect_ended(struct fixture *f, uint64_t id, enum db_task_state outcome)
{
	assert_int_equal(migration(f, id)->phase, DB_MIGRATION_PHASE_ENDED);
	assert_int_equal(migration(f, id)->outcome, outcome);
	assert_int_equal(task(f, migration(f, id)->task)->state, outcome);
	assert_int_equal(vm(f, "a")->migration, 0);
}

static void cancel(struct fixture *f, uint64_t id)
{
	DONE(f, TASK_CANCEL, task_cancel, .id = migration(f, id)->task);
}

static void make_b(struct fixture *f, uint8_t slot)
{
	DONE(f, VM_CREATE, vm_create, .name = "b", .uuid = VM_UUID_2, .definition = "{}",
	     .priority = 200);
	vm_start(f, "b", slot);
}

/* ---- asking */

static void a_migration_begins_in_the_queue_with_a_task(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);
	const struct db_migration *m = migration(f, id);

	assert_int_equal(m->task, f->result.task);
	assert_string_equal(task(f, m->task)->verb, "vm-migrate");
	assert_string_equal(task(f, m->task)->object, "a");
	assert_string_equal(task(f, m->task)->phase, "queued");
	assert_int_equal(m->phase, DB_MIGRATION_PHASE_QUEUED);
	assert_int_equal(m->source, 0);
	assert_int_equal(m->source_incarnation, INC(0));
	assert_int_equal(m->destination, 1);
	assert_int_equal(m->destination_incarnation, INC(1));
	assert_string_equal(m->vm, "a");
	expect_locks(f, INC(0));
}

static void one_that_is_there_is_migrated_already(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "a", 0), DB_OK);
	assert_string_equal(task(f, f->result.task)->reason, "already so");
	assert_int_equal(db_count(&f->db, DB_KIND_MIGRATION), 0);
}

static void it_is_refused_with_every_reason(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ask_refused(f, 7), "virtual machine a cannot be migrated to -: there "
					       "is no such node; volume v is not mounted there");
	assert_int_equal(pause_node(f, 1, false), DB_OK);
	assert_int_equal(leave(f, 1, false), DB_OK);
	assert_int_equal(gone(f, 1), DB_OK);
	group(f, "a")->possible = 0x5;
	assert_string_equal(ask_refused(f, 1),
			    "virtual machine a cannot be migrated to n1: the node is stopping; the "
			    "node is paused; not a possible owner; volume v is not mounted there");
	lose(f, 2);
	assert_string_equal(ask_refused(f, 2),
			    "virtual machine a cannot be migrated to n2: the node is not up");
	REFUSED(f, DB_NO_SUCH, VM_MIGRATE, vm_migrate, .name = "b", .to = 1);
}

static void one_that_is_not_online_is_not_migrated(void **state)
{
	struct fixture *f = *state;

	group_intent(f, "a", DB_INTENT_OFFLINE, CL_NODE_NONE);
	assert_string_equal(
		ask_refused(f, 1),
		"virtual machine a cannot be migrated to n1: it is asked to be offline");
	assert_int_equal(group_order(f, "a", DB_WORK_STOPPING, 0), DB_OK);
	assert_string_equal(
		ask_refused(f, 1),
		"virtual machine a cannot be migrated to n1: it is not online, but stopping");
}

static void there_is_one_migration_at_a_time(void **state)
{
	struct fixture *f = *state;

	queue(f, "a", 1);
	ask_refused(f, 2);
	assert_non_null(strstr(f->result.text, "it is being migrated to n1 (task "));
}

static void the_oldest_that_has_ended_makes_room(void **state)
{
	struct fixture *f = *state;
	uint64_t id[4];

	for (int i = 0; i < 4; i++) {
		id[i] = queue(f, "a", 1);
		cancel(f, id[i]);
	}
	assert_null(db_find_id(&f->db, DB_KIND_MIGRATION, id[0]));
	assert_non_null(db_find_id(&f->db, DB_KIND_MIGRATION, id[1]));
}

static void a_migration_takes_the_place_of_an_earlier_wish(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	group_intent(f, "a", DB_INTENT_ONLINE, 2);
	id = f->result.task;
	queue(f, "a", 1);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_CANCELLED);
	assert_int_equal(group(f, "a")->wish, CL_NODE_NONE);
}

static void the_planner_serves_a_wish_under_its_task(void **state)
{
	struct fixture *f = *state;
	uint64_t id, order = group(f, "a")->order;

	group_intent(f, "a", DB_INTENT_ONLINE, 2);
	id = f->result.task;
	REFUSED(f, DB_CONFLICT, VM_MIGRATE, vm_migrate, .name = "a", .to = 2,
		.previous = order + 1);
	DONE(f, VM_MIGRATE, vm_migrate, .name = "a", .to = 2, .previous = order, .begin = true);
	assert_int_equal(migration(f, f->db.index)->task, id);
	assert_int_equal(migration(f, f->db.index)->phase, DB_MIGRATION_PHASE_SETUP);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_RUNNING);
	assert_int_equal(group(f, "a")->task, 0);
}

/* ---- beginning */

static void a_pair_of_nodes_has_one_session(void **state)
{
	struct fixture *f = *state;
	uint64_t a = queue(f, "a", 1), b;

	make_b(f, 1);
	b = queue(f, "b", 0);
	assert_int_equal(begin(f, a), DB_OK);
	REFUSED(f, DB_CONFLICT, MIGRATION_ORDER, migration_order, .id = b,
		.phase = DB_MIGRATION_PHASE_SETUP);
	assert_int_equal(ends(f, a, 0, false), DB_OK);
	assert_int_equal(begin(f, b), DB_OK);
}

static void different_pairs_run_together(void **state)
{
	struct fixture *f = *state;
	uint64_t a = queue(f, "a", 1), b;

	make_b(f, 0);
	b = queue(f, "b", 2);
	assert_int_equal(begin(f, a), DB_OK);
	assert_int_equal(begin(f, b), DB_OK);
}

static void only_what_is_queued_begins(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	REFUSED(f, DB_INVALID, MIGRATION_ORDER, migration_order, .id = id,
		.phase = DB_MIGRATION_PHASE_MEMORY);
	REFUSED(f, DB_NO_SUCH, MIGRATION_ORDER, migration_order, .id = id + 100,
		.phase = DB_MIGRATION_PHASE_SETUP);
	assert_int_equal(begin(f, id), DB_OK);
	assert_string_equal(task(f, migration(f, id)->task)->phase, "setup");
	REFUSED(f, DB_CONFLICT, MIGRATION_ORDER, migration_order, .id = id,
		.phase = DB_MIGRATION_PHASE_SETUP);
	REFUSED(f, DB_CONFLICT, MIGRATION_ORDER, migration_order, .id = id,
		.phase = DB_MIGRATION_PHASE_ENDED);
}

static void it_does_not_begin_with_a_destination_that_cannot_have_it(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	assert_int_equal(pause_node(f, 1, false), DB_OK);
	REFUSED(f, DB_CONFLICT, MIGRATION_ORDER, migration_order, .id = id,
		.phase = DB_MIGRATION_PHASE_SETUP);
	DONE(f, MIGRATION_ORDER, migration_order, .id = id, .phase = DB_MIGRATION_PHASE_ENDED,
	     .reason = "the node is paused");
	expect_ended(f, id, DB_TASK_STATE_FAILED);
	assert_int_equal(vm(f, "a")->tried, 0);
}

static void it_does_not_begin_while_its_source_is_lost(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	lose(f, 0);
	REFUSED(f, DB_CONFLICT, MIGRATION_ORDER, migration_order, .id = id,
		.phase = DB_MIGRATION_PHASE_SETUP);
	admit(f, 0, INC(0));
	assert_int_equal(begin(f, id), DB_OK);
}

/* ---- progress */

static void numbers_come_from_the_source_and_the_port_from_the_destination(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);
	const struct db_migration *m;

	assert_int_equal(begin(f, id), DB_OK);
	m = migration(f, id);
	DONE(f, MIGRATION_REPORT, migration_report, .id = id, .slot = 0, .incarnation = INC(0),
	     .phase = DB_MIGRATION_PHASE_MEMORY, .port = 1, .total = 2, .remaining = 3, .sent = 4,
	     .passes = 5, .rate = 6, .dirty_rate = 7, .address = "192.0.2.1", .reason = "pass 5");
	DONE(f, MIGRATION_REPORT, migration_report, .id = id, .slot = 1, .incarnation = INC(1),
	     .phase = DB_MIGRATION_PHASE_SETUP, .port = 8, .total = 9, .downtime_ms = 10,
	     .address = "192.0.2.2");
	assert_int_equal(m->phase, DB_MIGRATION_PHASE_MEMORY);
	assert_int_equal(m->port, 8);
	assert_int_equal(m->total, 2);
	assert_int_equal(m->remaining, 3);
	assert_int_equal(m->sent, 4);
	assert_int_equal(m->passes, 5);
	assert_int_equal(m->rate, 6);
	assert_int_equal(m->dirty_rate, 7);
	assert_int_equal(m->downtime_ms, 10);
	assert_string_equal(m->address, "192.0.2.1");
	assert_string_equal(m->reason, "pass 5");
	assert_string_equal(task(f, m->task)->phase, "memory");
}

static void phases_only_go_forward(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	assert_int_equal(begin(f, id), DB_OK);
	assert_int_equal(says(f, id, 0, DB_MIGRATION_PHASE_STATE), DB_OK);
	assert_int_equal(says(f, id, 0, DB_MIGRATION_PHASE_MEMORY), DB_OK);
	assert_int_equal(migration(f, id)->phase, DB_MIGRATION_PHASE_STATE);
}

static void the_source_alone_says_that_its_disks_are_still(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	assert_int_equal(begin(f, id), DB_OK);
	assert_int_equal(says(f, id, 1, DB_MIGRATION_PHASE_STORAGE_HANDLE), DB_OK);
	assert_int_equal(migration(f, id)->phase, DB_MIGRATION_PHASE_STATE);
	assert_int_equal(says(f, id, 0, DB_MIGRATION_PHASE_STORAGE_HANDLE), DB_OK);
	assert_int_equal(migration(f, id)->phase, DB_MIGRATION_PHASE_STORAGE_HANDLE);
}

static void reports_that_do_not_belong_to_it_are_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	REFUSED(f, DB_CONFLICT, MIGRATION_REPORT, migration_report, .id = id, .slot = 0,
		.incarnation = INC(0), .phase = DB_MIGRATION_PHASE_SETUP);
	assert_int_equal(begin(f, id), DB_OK);
	REFUSED(f, DB_CONFLICT, MIGRATION_REPORT, migration_report, .id = id, .slot = 2,
		.incarnation = INC(2), .phase = DB_MIGRATION_PHASE_MEMORY);
	REFUSED(f, DB_CONFLICT, MIGRATION_REPORT, migration_report, .id = id, .slot = 0,
		.incarnation = LATER(0), .phase = DB_MIGRATION_PHASE_MEMORY);
	REFUSED(f, DB_CONFLICT, MIGRATION_REPORT, migration_report, .id = id, .slot = 0,
		.incarnation = INC(0), .phase = DB_MIGRATION_PHASE_ONLINE);
	REFUSED(f, DB_CONFLICT, MIGRATION_REPORT, migration_report, .id = id, .slot = 0,
		.incarnation = INC(0), .phase = DB_MIGRATION_PHASE_ENDED);
	assert_int_equal(ends(f, id, 0, false), DB_OK);
	REFUSED(f, DB_CONFLICT, MIGRATION_REPORT, migration_report, .id = id, .slot = 0,
		.incarnation = INC(0), .phase = DB_MIGRATION_PHASE_MEMORY);
}

/* ---- the hand-over */

static void the_transfer_moves_locks_group_and_the_right_to_run_in_one_step(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1), lock = vm(f, "a")->lock;

	DONE(f, VM_SET_PAUSED, vm_set_paused, .name = "a", .pause = true);
	assert_int_equal(transfer(f, id), DB_OK);
	expect_locks(f, INC(1));
	assert_int_equal(vm(f, "a")->lock, lock);
	assert_int_equal(vm(f, "a")->instance, id);
	assert_true(vm(f, "a")->is_paused);
	assert_int_equal(group(f, "a")->node, 1);
	assert_int_equal(group(f, "a")->incarnation, INC(1));
	assert_int_equal(group(f, "a")->order, f->db.index);
	assert_int_equal(group(f, "a")->work, DB_WORK_ONLINE);
	assert_int_equal(migration(f, id)->phase, DB_MIGRATION_PHASE_ONLINE);
	REFUSED(f, DB_CONFLICT, MIGRATION_TRANSFER, migration_transfer, .id = id,
		.source_incarnation = INC(0));
}

static void there_is_no_transfer_before_the_source_asks_for_it(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	for (uint8_t phase = DB_MIGRATION_PHASE_SETUP; phase < DB_MIGRATION_PHASE_STORAGE_HANDLE;
	     phase++) {
		REFUSED(f, DB_CONFLICT, MIGRATION_TRANSFER, migration_transfer, .id = id,
			.source_incarnation = INC(0));
		begin(f, id);
		assert_int_equal(says(f, id, 0, (enum db_migration_phase)phase), DB_OK);
	}
	REFUSED(f, DB_CONFLICT, MIGRATION_TRANSFER, migration_transfer, .id = id,
		.source_incarnation = INC(0));
	assert_int_equal(says(f, id, 0, DB_MIGRATION_PHASE_STORAGE_HANDLE), DB_OK);
	REFUSED(f, DB_CONFLICT, MIGRATION_TRANSFER, migration_transfer, .id = id,
		.source_incarnation = LATER(0));
	assert_int_equal(transfer(f, id), DB_OK);
}

static void what_is_cancelled_is_not_transferred(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	cancel(f, id);
	assert_true(migration(f, id)->is_cancelled);
	assert_string_equal(task(f, migration(f, id)->task)->phase, "cancelling");
	REFUSED(f, DB_CONFLICT, MIGRATION_TRANSFER, migration_transfer, .id = id,
		.source_incarnation = INC(0));
	expect_locks(f, INC(0));
}

static void nothing_is_transferred_from_a_lost_source(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	lose(f, 0);
	assert_false(migration(f, id)->is_cancelled);
	REFUSED(f, DB_CONFLICT, MIGRATION_TRANSFER, migration_transfer, .id = id,
		.source_incarnation = INC(0));
	admit(f, 0, INC(0));
	assert_int_equal(transfer(f, id), DB_OK);
}

static void nothing_is_transferred_to_where_a_volume_is_missing(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	assert_int_equal(gone(f, 1), DB_OK);
	REFUSED(f, DB_CONFLICT, MIGRATION_TRANSFER, migration_transfer, .id = id,
		.source_incarnation = INC(0));
}

static void reports_of_the_source_about_the_group_are_void_after_the_transfer(void **state)
{
	struct fixture *f = *state;
	uint64_t order = group(f, "a")->order, id = bring_to_handle(f, "a", 1);

	assert_int_equal(transfer(f, id), DB_OK);
	REFUSED(f, DB_CONFLICT, GROUP_REPORT, group_report, .name = "a", .order = order,
		.work = DB_WORK_OFFLINE);
	expect_locks(f, INC(1));
}

/* ---- the end */

static void the_destination_ends_it_with_success(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	REFUSED(f, DB_CONFLICT, MIGRATION_END, migration_end, .id = id, .slot = 1,
		.incarnation = INC(1), .is_success = true);
	assert_int_equal(transfer(f, id), DB_OK);
	REFUSED(f, DB_CONFLICT, MIGRATION_END, migration_end, .id = id, .slot = 0,
		.incarnation = INC(0), .is_success = true);
	assert_int_equal(ends(f, id, 1, true), DB_OK);
	expect_ended(f, id, DB_TASK_STATE_DONE);
	assert_int_equal(migration(f, id)->downtime_ms, 42);
	assert_string_equal(group(f, "a")->reason, "migrated from n0: it runs");
	expect_locks(f, INC(1));
	REFUSED(f, DB_CONFLICT, MIGRATION_END, migration_end, .id = id, .slot = 1,
		.incarnation = INC(1), .is_success = true);
}

static void either_side_ends_it_with_a_failure_before_the_transfer(void **state)
{
	struct fixture *f = *state;

	for (uint8_t slot = 0; slot < 2; slot++) {
		uint64_t id = bring_to_handle(f, "a", 1);

		assert_int_equal(ends(f, id, slot, false), DB_OK);
		expect_ended(f, id, DB_TASK_STATE_FAILED);
		assert_string_equal(group(f, "a")->reason, "migration to n1 failed: it broke");
		assert_int_equal(vm(f, "a")->tried, 0x2);
		expect_locks(f, INC(0));
		REFUSED(f, DB_CONFLICT, MIGRATION_TRANSFER, migration_transfer, .id = id,
			.source_incarnation = INC(0));
	}
}

static void nobody_ends_it_with_a_failure_after_the_transfer(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	assert_int_equal(transfer(f, id), DB_OK);
	for (uint8_t slot = 0; slot < NODES; slot++)
		REFUSED(f, DB_CONFLICT, MIGRATION_END, migration_end, .id = id, .slot = slot,
			.incarnation = INC(slot));
}

static void a_stranger_does_not_end_it(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	REFUSED(f, DB_CONFLICT, MIGRATION_END, migration_end, .id = id, .slot = 2,
		.incarnation = INC(2));
	REFUSED(f, DB_CONFLICT, MIGRATION_END, migration_end, .id = id, .slot = 1,
		.incarnation = LATER(1));
}

static void it_ends_when_its_virtual_machine_does(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	assert_int_equal(group_report(f, "a", group(f, "a")->order, DB_WORK_FAILED), DB_OK);
	expect_ended(f, id, DB_TASK_STATE_FAILED);
	vm_start(f, "a", 0);
	id = bring_to_handle(f, "a", 1);
	assert_int_equal(transfer(f, id), DB_OK);
	assert_int_equal(group_report(f, "a", group(f, "a")->order, DB_WORK_FAILED), DB_OK);
	expect_ended(f, id, DB_TASK_STATE_FAILED);
	expect_locks(f, 0);
}

/* ---- cancelling */

static void a_queued_migration_is_cancelled_at_once(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	cancel(f, id);
	expect_ended(f, id, DB_TASK_STATE_CANCELLED);
	assert_string_equal(migration(f, id)->reason, "cancelled by admin");
}

static void a_cancelled_migration_ends_when_a_side_says_so(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1), t = migration(f, id)->task;

	cancel(f, id);
	cancel(f, id);
	assert_int_equal(task(f, t)->state, DB_TASK_STATE_RUNNING);
	assert_int_equal(ends(f, id, 1, false), DB_OK);
	expect_ended(f, id, DB_TASK_STATE_CANCELLED);
	assert_string_equal(task(f, t)->reason, "cancelled by admin");
	assert_string_equal(group(f, "a")->reason,
			    "migration to n1 was cancelled: cancelled by admin");
}

static void a_cancel_after_the_transfer_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	assert_int_equal(transfer(f, id), DB_OK);
	REFUSED(f, DB_CONFLICT, TASK_CANCEL, task_cancel, .id = migration(f, id)->task);
	assert_non_null(strstr(f->result.text, "past the point of no return"));
}

static void a_stop_cancels_it_and_waits_until_it_has_ended(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	group_intent(f, "a", DB_INTENT_OFFLINE, CL_NODE_NONE);
	assert_true(migration(f, id)->is_cancelled);
	REFUSED(f, DB_CONFLICT, GROUP_ORDER, group_order, .name = "a", .work = DB_WORK_STOPPING,
		.node = 0, .incarnation = INC(0), .previous = group(f, "a")->order);
	assert_int_equal(ends(f, id, 0, false), DB_OK);
	assert_int_equal(group_order(f, "a", DB_WORK_STOPPING, 0), DB_OK);
}

static void a_wish_for_another_node_cancels_it_and_one_for_the_same_does_not(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1), wish;

	group_intent(f, "a", DB_INTENT_ONLINE, CL_NODE_NONE);
	group_intent(f, "a", DB_INTENT_ONLINE, 1);
	wish = f->result.task;
	assert_false(migration(f, id)->is_cancelled);
	assert_int_equal(transfer(f, id), DB_OK);
	assert_int_equal(task(f, wish)->state, DB_TASK_STATE_DONE);
	assert_int_equal(group(f, "a")->wish, CL_NODE_NONE);
	assert_int_equal(ends(f, id, 1, true), DB_OK);
	id = bring_to_handle(f, "a", 2);
	group_intent(f, "a", DB_INTENT_ONLINE, 0);
	assert_true(migration(f, id)->is_cancelled);
}

static void a_wish_is_over_when_its_migration_failed(void **state)
{
	struct fixture *f = *state;
	uint64_t wish;

	group_intent(f, "a", DB_INTENT_ONLINE, 2);
	wish = f->result.task;
	DONE(f, VM_MIGRATE, vm_migrate, .name = "a", .to = 2, .previous = group(f, "a")->order,
	     .begin = true);
	assert_int_equal(ends(f, f->db.index, 2, false), DB_OK);
	assert_int_equal(task(f, wish)->state, DB_TASK_STATE_FAILED);
	assert_int_equal(group(f, "a")->wish, CL_NODE_NONE);
}

/* ---- nodes that go */

static void a_lost_destination_cancels_it_for_good(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	lose(f, 1);
	assert_true(migration(f, id)->is_cancelled);
	admit(f, 1, INC(1));
	REFUSED(f, DB_CONFLICT, MIGRATION_TRANSFER, migration_transfer, .id = id,
		.source_incarnation = INC(0));
	assert_int_equal(ends(f, id, 0, false), DB_OK);
	expect_ended(f, id, DB_TASK_STATE_FAILED);
	assert_string_equal(migration(f, id)->reason, "the destination is lost");
}

static void a_fenced_destination_ends_it(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	fence(f, 1);
	expect_ended(f, id, DB_TASK_STATE_FAILED);
	expect_locks(f, INC(0));
	assert_int_equal(group(f, "a")->work, DB_WORK_ONLINE);
}

static void a_fenced_source_ends_it_and_frees_the_locks(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	fence(f, 0);
	expect_ended(f, id, DB_TASK_STATE_FAILED);
	expect_locks(f, 0);
	assert_int_equal(group(f, "a")->work, DB_WORK_OFFLINE);
}

static void a_queued_one_ends_when_its_destination_is_lost(void **state)
{
	struct fixture *f = *state;
	uint64_t id = queue(f, "a", 1);

	lose(f, 1);
	expect_ended(f, id, DB_TASK_STATE_FAILED);
}

static void after_the_transfer_it_is_a_loss_of_the_destination(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);

	assert_int_equal(transfer(f, id), DB_OK);
	fence(f, 0);
	assert_int_equal(group(f, "a")->work, DB_WORK_ONLINE);
	assert_int_equal(vm(f, "a")->migration, id);
	lose(f, 1);
	assert_false(migration(f, id)->is_cancelled);
	assert_int_equal(group(f, "a")->work, DB_WORK_UNKNOWN);
	expect_locks(f, INC(1));
	DONE(f, NODE_FENCED, node_fenced, .name = "n1", .incarnation = INC(1));
	expect_ended(f, id, DB_TASK_STATE_FAILED);
	expect_locks(f, 0);
}

static void a_destination_that_leaves_cancels_it_and_waits_for_its_end(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 2);

	assert_int_equal(leave(f, 2, false), DB_OK);
	assert_true(migration(f, id)->is_cancelled);
	assert_int_equal(leave(f, 2, true), DB_REFUSED);
	assert_non_null(strstr(f->result.text, "migration of a"));
	assert_int_equal(ends(f, id, 2, false), DB_OK);
	assert_int_equal(gone(f, 2), DB_OK);
	assert_int_equal(leave(f, 2, true), DB_OK);
}

/* ---- the check */

static void the_check_finds_broken_migrations(void **state)
{
	struct fixture *f = *state;
	uint64_t id = bring_to_handle(f, "a", 1);
	struct db_migration *m = migration(f, id);
	const struct db_migration kept = *m;

	m->destination = 0;
	assert_string_equal(db_check(&f->db),
			    "a migration that is still to come, or between no two nodes");
	*m = kept;
	m->phase = DB_MIGRATION_PHASE_ONLINE;
	assert_string_equal(db_check(&f->db),
			    "a virtual machine is on neither side of its migration, or too early");
	*m = kept;
	vm(f, "a")->migration = 0;
	assert_string_equal(db_check(&f->db),
			    "a migration is under way of which its virtual machine knows nothing");
	m->phase = DB_MIGRATION_PHASE_ENDED;
	assert_string_equal(db_check(&f->db), "a migration ended in no way");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		VM_TEST(a_migration_begins_in_the_queue_with_a_task),
		VM_TEST(one_that_is_there_is_migrated_already),
		VM_TEST(it_is_refused_with_every_reason),
		VM_TEST(one_that_is_not_online_is_not_migrated),
		VM_TEST(there_is_one_migration_at_a_time),
		VM_TEST(the_oldest_that_has_ended_makes_room),
		VM_TEST(a_migration_takes_the_place_of_an_earlier_wish),
		VM_TEST(the_planner_serves_a_wish_under_its_task),
		VM_TEST(a_pair_of_nodes_has_one_session),
		VM_TEST(different_pairs_run_together),
		VM_TEST(only_what_is_queued_begins),
		VM_TEST(it_does_not_begin_with_a_destination_that_cannot_have_it),
		VM_TEST(it_does_not_begin_while_its_source_is_lost),
		VM_TEST(numbers_come_from_the_source_and_the_port_from_the_destination),
		VM_TEST(phases_only_go_forward),
		VM_TEST(the_source_alone_says_that_its_disks_are_still),
		VM_TEST(reports_that_do_not_belong_to_it_are_refused),
		VM_TEST(the_transfer_moves_locks_group_and_the_right_to_run_in_one_step),
		VM_TEST(there_is_no_transfer_before_the_source_asks_for_it),
		VM_TEST(what_is_cancelled_is_not_transferred),
		VM_TEST(nothing_is_transferred_from_a_lost_source),
		VM_TEST(nothing_is_transferred_to_where_a_volume_is_missing),
		VM_TEST(reports_of_the_source_about_the_group_are_void_after_the_transfer),
		VM_TEST(the_destination_ends_it_with_success),
		VM_TEST(either_side_ends_it_with_a_failure_before_the_transfer),
		VM_TEST(nobody_ends_it_with_a_failure_after_the_transfer),
		VM_TEST(a_stranger_does_not_end_it),
		VM_TEST(it_ends_when_its_virtual_machine_does),
		VM_TEST(a_queued_migration_is_cancelled_at_once),
		VM_TEST(a_cancelled_migration_ends_when_a_side_says_so),
		VM_TEST(a_cancel_after_the_transfer_is_refused),
		VM_TEST(a_stop_cancels_it_and_waits_until_it_has_ended),
		VM_TEST(a_wish_for_another_node_cancels_it_and_one_for_the_same_does_not),
		VM_TEST(a_wish_is_over_when_its_migration_failed),
		VM_TEST(a_lost_destination_cancels_it_for_good),
		VM_TEST(a_fenced_destination_ends_it),
		VM_TEST(a_fenced_source_ends_it_and_frees_the_locks),
		VM_TEST(a_queued_one_ends_when_its_destination_is_lost),
		VM_TEST(after_the_transfer_it_is_a_loss_of_the_destination),
		VM_TEST(a_destination_that_leaves_cancels_it_and_waits_for_its_end),
		VM_TEST(the_check_finds_broken_migrations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
