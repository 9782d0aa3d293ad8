/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Work on disks in the applied state, and whom the planner has do it. */
#include "clusterd/core/job.h"
#include "tests/unit/vm_fixture.h"

#define WORK "clone\t/cluster/v/a.img\t/cluster/v/b.img\n"

static struct db_job *job(struct fixture *f, const char *name)
{
	struct db_job *j = job_of_vm(&f->db, vm(f, name));

	assert_non_null(j);
	return j;
}

static enum db_code begin_job(struct fixture *f, enum db_job_kind kind, const char *snapshot)
{
	struct db_command c = {.type = DB_CMD_VM_JOB,
			       .vm_job = {.name = "a",
					  .kind = (uint8_t)kind,
					  .work = WORK,
					  .verb = "vm-snapshot",
					  .reason = "why"}};

	snprintf(c.vm_job.snapshot, CL_NAME_MAX, "%s", snapshot);
	return apply(f, c);
}

/* b is made, as a clone of a or with new disks. */
static void make_b(struct fixture *f, bool is_clone)
{
	DONE(f, VM_CREATE, vm_create, .name = "b", .uuid = VM_UUID_2, .definition = "{}",
	     .volumes = "v");
	if (is_clone)
		DONE(f, VM_JOB, vm_job, .name = "b", .kind = DB_JOB_KIND_CLONE, .source = "a",
		     .work = WORK, .verb = "vm-clone");
	else
		DONE(f, VM_JOB, vm_job, .name = "b", .kind = DB_JOB_KIND_MAKE, .work = WORK,
		     .verb = "vm-create");
}

/* Applies the one order that there is; then there is none. Its node. */
static uint8_t ordered(struct fixture *f, bool is_undo)
{
	uint8_t slot;

	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.job_count, 1);
	assert_int_equal(f->orders.job[0].is_undo, is_undo);
	slot = f->orders.job[0].node;
	assert_int_equal(apply(f, (struct db_command){.type = DB_CMD_JOB_ORDER,
						      .job_order = f->orders.job[0]}),
			 DB_OK);
	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.job_count, 0);
	return slot;
}

static enum db_code end_job(struct fixture *f, const char *name, bool is_success)
{
	const struct db_job *j = job(f, name);

	return DO(f, JOB_END, job_end, .id = j->id, .order = j->order, .is_success = is_success,
		  .was_running = true, .reason = "the end");
}

static void stop_a(struct fixture *f)
{
	group_intent(f, "a", DB_INTENT_OFFLINE, CL_NODE_NONE);
	assert_int_equal(group_order(f, "a", DB_WORK_STOPPING, 0), DB_OK);
	assert_int_equal(group_report(f, "a", group(f, "a")->order, DB_WORK_OFFLINE), DB_OK);
}

/* ---- what it needs, and what it keeps from being done */

static void a_snapshot_is_made_where_the_virtual_machine_runs(void **state)
{
	struct fixture *f = *state;
	const struct db_snapshot *s;
	uint64_t id;
	bool runs;

	assert_int_equal(begin_job(f, DB_JOB_KIND_SNAPSHOT, "s"), DB_OK);
	id = job(f, "a")->task;
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_RUNNING);
	s = job_snapshot(&f->db, "a", "s");
	assert_int_equal(s->state, DB_SNAPSHOT_STATE_MAKING);
	assert_string_equal(s->reason, "why");
	assert_string_equal(s->actor, "admin");
	assert_int_equal(ordered(f, false), 0);
	assert_true(job_may_begin(&f->db, job(f, "a"), &runs));
	assert_true(runs);
	assert_true(volume_is_used(&f->db, "v", 0));
	assert_int_equal(end_job(f, "a", true), DB_OK);
	assert_int_equal(s->state, DB_SNAPSHOT_STATE_READY);
	assert_true(s->is_running);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_DONE);
	assert_int_equal(vm(f, "a")->job, 0);
	assert_int_equal(db_count(&f->db, DB_KIND_JOB), 0);
	/* and is removed again */
	assert_int_equal(begin_job(f, DB_JOB_KIND_REMOVE, "s"), DB_OK);
	assert_int_equal(job_snapshot(&f->db, "a", "s")->state, DB_SNAPSHOT_STATE_REMOVING);
	ordered(f, false);
	assert_int_equal(end_job(f, "a", true), DB_OK);
	assert_null(job_snapshot(&f->db, "a", "s"));
}

static void one_job_at_a_time_and_none_that_makes_no_sense(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_NO_SUCH, VM_JOB, vm_job, .name = "x", .kind = DB_JOB_KIND_SNAPSHOT,
		.snapshot = "s", .work = WORK, .verb = "v");
	REFUSED(f, DB_INVALID, VM_JOB, vm_job, .name = "a", .kind = DB_JOB_KIND_SNAPSHOT,
		.work = WORK, .verb = "v");
	REFUSED(f, DB_INVALID, VM_JOB, vm_job, .name = "a", .kind = DB_JOB_KIND_SNAPSHOT,
		.snapshot = "s", .verb = "v");
	REFUSED(f, DB_INVALID, VM_JOB, vm_job, .name = "a", .kind = DB_JOB_KIND_CLONE,
		.source = "a", .work = WORK, .verb = "v");
	REFUSED(f, DB_NO_SUCH, VM_JOB, vm_job, .name = "a", .kind = DB_JOB_KIND_REMOVE,
		.snapshot = "s", .work = WORK, .verb = "v");
	REFUSED(f, DB_REFUSED, VM_JOB, vm_job, .name = "a", .kind = DB_JOB_KIND_MAKE, .work = WORK,
		.verb = "v");
	assert_int_equal(begin_job(f, DB_JOB_KIND_SNAPSHOT, "s"), DB_OK);
	REFUSED(f, DB_REFUSED, VM_JOB, vm_job, .name = "a", .kind = DB_JOB_KIND_SNAPSHOT,
		.snapshot = "t", .work = WORK, .verb = "v");
	ordered(f, false);
	assert_int_equal(ask(f, "a", 1), DB_REFUSED);
	assert_non_null(strstr(f->result.text, "work on its disks is under way (snapshot"));
	assert_int_equal(end_job(f, "a", true), DB_OK);
	REFUSED(f, DB_CONFLICT, VM_JOB, vm_job, .name = "a", .kind = DB_JOB_KIND_SNAPSHOT,
		.snapshot = "s", .work = WORK, .verb = "v");
	/* nor while it is migrated, or is neither on nor off */
	queue(f, "a", 1);
	REFUSED(f, DB_REFUSED, VM_JOB, vm_job, .name = "a", .kind = DB_JOB_KIND_SNAPSHOT,
		.snapshot = "t", .work = WORK, .verb = "v");
	group_intent(f, "a", DB_INTENT_OFFLINE, CL_NODE_NONE);
	assert_int_equal(group_order(f, "a", DB_WORK_STOPPING, 0), DB_OK);
	REFUSED(f, DB_REFUSED, VM_JOB, vm_job, .name = "a", .kind = DB_JOB_KIND_SNAPSHOT,
		.snapshot = "t", .work = WORK, .verb = "v");
}

static void what_is_reverted_is_off_and_stays_so(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(begin_job(f, DB_JOB_KIND_SNAPSHOT, "s"), DB_OK);
	ordered(f, false);
	assert_int_equal(end_job(f, "a", true), DB_OK);
	REFUSED(f, DB_REFUSED, VM_JOB, vm_job, .name = "a", .kind = DB_JOB_KIND_REVERT,
		.snapshot = "s", .work = WORK, .verb = "v");
	stop_a(f);
	assert_int_equal(begin_job(f, DB_JOB_KIND_REVERT, "s"), DB_OK);
	group_intent(f, "a", DB_INTENT_ONLINE, CL_NODE_NONE);
	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.count, 0);
	assert_int_equal(group_order(f, "a", DB_WORK_STARTING, 1), DB_CONFLICT);
	assert_int_equal(ordered(f, false), 0); /* where its volume is coordinated */
	/* it cannot be cancelled any more; a failure is one, and the snapshot stays */
	assert_int_equal(DO(f, TASK_CANCEL, task_cancel, .id = job(f, "a")->task), DB_CONFLICT);
	assert_int_equal(end_job(f, "a", false), DB_OK);
	assert_int_equal(job_snapshot(&f->db, "a", "s")->state, DB_SNAPSHOT_STATE_READY);
	assert_int_equal(vm(f, "a")->job, 0);
	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.count, 1);
}

/* ---- how it ends */

static void what_cannot_be_made_goes_with_its_virtual_machine(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	make_b(f, true);
	id = job(f, "b")->task;
	assert_int_equal(vm(f, "a")->job, vm(f, "b")->job);
	REFUSED(f, DB_REFUSED, VM_DELETE, vm_delete, .name = "b");
	assert_int_equal(ordered(f, false), 0);
	assert_int_equal(end_job(f, "b", false), DB_OK);
	/* the same node takes it back; a can be migrated meanwhile, b cannot be started */
	assert_true(job(f, "b")->is_undo);
	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.job_count, 0);
	assert_null(job_holds(&f->db, vm(f, "a")));
	assert_non_null(job_holds(&f->db, vm(f, "b")));
	/* that fails, and is tried again */
	assert_int_equal(end_job(f, "b", false), DB_OK);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_RUNNING);
	assert_int_equal(end_job(f, "b", true), DB_OK);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_FAILED);
	assert_string_equal(task(f, id)->reason, "the end");
	assert_null(db_find(&f->db, DB_KIND_VM, "b"));
	assert_null(db_find(&f->db, DB_KIND_GROUP, "b"));
	assert_int_equal(vm(f, "a")->job, 0);
}

static void a_cancelled_one_is_undone_at_once_if_nobody_has_begun_it(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	make_b(f, false);
	id = job(f, "b")->task;
	DONE(f, TASK_CANCEL, task_cancel, .id = id);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_CANCELLED);
	assert_null(db_find(&f->db, DB_KIND_VM, "b"));
	make_b(f, false);
	id = job(f, "b")->task;
	ordered(f, false);
	DONE(f, TASK_CANCEL, task_cancel, .id = id);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_RUNNING);
	assert_int_equal(DO(f, TASK_CANCEL, task_cancel, .id = id), DB_CONFLICT);
	assert_int_equal(end_job(f, "b", true), DB_OK);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_CANCELLED);
	assert_null(db_find(&f->db, DB_KIND_VM, "b"));
}

static void reports_and_ends_are_about_the_order_in_force(void **state)
{
	struct fixture *f = *state;
	uint64_t id, old;

	make_b(f, false);
	ordered(f, false);
	id = job(f, "b")->id;
	old = job(f, "b")->order;
	DONE(f, JOB_REPORT, job_report, .id = id, .order = old, .done_bytes = 500,
	     .total_bytes = 1000);
	assert_string_equal(task(f, job(f, "b")->task)->phase, "make, 50 %");
	DONE(f, TASK_CANCEL, task_cancel, .id = job(f, "b")->task);
	REFUSED(f, DB_CONFLICT, JOB_REPORT, job_report, .id = id, .order = old);
	REFUSED(f, DB_CONFLICT, JOB_END, job_end, .id = id, .order = old, .is_success = true);
	REFUSED(f, DB_NO_SUCH, JOB_END, job_end, .id = id + 1, .order = old);
	/* what is taken back is not made any more */
	REFUSED(f, DB_CONFLICT, JOB_ORDER, job_order, .id = id, .node = 1, .incarnation = INC(1),
		.previous = job(f, "b")->order);
	assert_int_equal(end_job(f, "b", true), DB_OK);
}

/* ---- nodes that go */

static void what_a_lost_node_did_is_undone_elsewhere_after_its_fence(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(begin_job(f, DB_JOB_KIND_SNAPSHOT, "s"), DB_OK);
	assert_int_equal(ordered(f, false), 0);
	lose(f, 0);
	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.job_count, 0); /* it may be at it still */
	fence(f, 0);
	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.job_count, 0); /* no coordinator, its mount is not recovered */
	make_online(f, 1);
	assert_int_equal(recovered(f, volume(f, "v")->term, 0), DB_OK);
	assert_int_equal(group(f, "a")->work, DB_WORK_OFFLINE);
	assert_non_null(job_holds(&f->db, vm(f, "a")));
	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.count,
			 1); /* once they are taken back, the copies hold nothing up */
	assert_int_equal(ordered(f, true), 1);
	assert_null(job_holds(&f->db, vm(f, "a")));
	assert_int_equal(end_job(f, "a", true), DB_OK);
	assert_null(job_snapshot(&f->db, "a", "s"));
}

static void a_node_that_leaves_takes_back_what_it_makes(void **state)
{
	struct fixture *f = *state;

	make_b(f, false);
	assert_int_equal(ordered(f, false), 0);
	assert_int_equal(leave(f, 0, false), DB_OK);
	assert_int_equal(ordered(f, true), 0);
	assert_true(volume_mount_wanted(&f->db, volume(f, "v"), node(f, 0)));
	assert_int_equal(end_job(f, "b", true), DB_OK);
	assert_null(db_find(&f->db, DB_KIND_VM, "b"));
}

static void what_can_only_be_finished_is_done_again_elsewhere(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(begin_job(f, DB_JOB_KIND_SNAPSHOT, "s"), DB_OK);
	ordered(f, false);
	assert_int_equal(end_job(f, "a", true), DB_OK);
	stop_a(f);
	assert_int_equal(begin_job(f, DB_JOB_KIND_REVERT, "s"), DB_OK);
	assert_int_equal(ordered(f, false), 0);
	fence(f, 0);
	make_online(f, 2);
	assert_int_equal(recovered(f, volume(f, "v")->term, 0), DB_OK);
	assert_int_equal(ordered(f, false), 2);
	assert_int_equal(end_job(f, "a", true), DB_OK);
	assert_int_equal(job_snapshot(&f->db, "a", "s")->state, DB_SNAPSHOT_STATE_READY);
}

/* A machine that cannot stay where it is does not wait for a job that nobody has begun. */
static void what_has_not_begun_waits_for_a_migration(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	assert_int_equal(begin_job(f, DB_JOB_KIND_SNAPSHOT, "s"), DB_OK);
	id = queue(f, "a", 1);
	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.job_count, 0);
	assert_int_equal(DO(f, JOB_ORDER, job_order, .id = job(f, "a")->id, .node = 0,
			    .incarnation = INC(0)),
			 DB_CONFLICT);
	DONE(f, TASK_CANCEL, task_cancel, .id = migration(f, id)->task);
	assert_int_equal(ordered(f, false), 0);
}

/* Its ends are about an order of the process that has begun it. */
static void another_clusterd_gets_an_order_of_its_own(void **state)
{
	struct fixture *f = *state;
	uint64_t first;
	struct db_command again = {.type = DB_CMD_NODE_ADMIT,
				   .node_admit = {.name = "n0",
						  .nodeid = 100,
						  .incarnation = INC(0),
						  .instance = 2,
						  .boot = "boot-100"}};

	assert_int_equal(begin_job(f, DB_JOB_KIND_SNAPSHOT, "s"), DB_OK);
	ordered(f, false);
	first = job(f, "a")->order;
	assert_int_equal(apply(f, again), DB_OK);
	assert_int_equal(ordered(f, false), 0);
	assert_int_not_equal(job(f, "a")->order, first);
	REFUSED(f, DB_CONFLICT, JOB_END, job_end, .id = job(f, "a")->id, .order = first,
		.is_success = true);
}

static void snapshots_go_before_their_virtual_machine(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(begin_job(f, DB_JOB_KIND_SNAPSHOT, "s"), DB_OK);
	ordered(f, false);
	assert_int_equal(end_job(f, "a", true), DB_OK);
	stop_a(f);
	REFUSED(f, DB_REFUSED, VM_DELETE, vm_delete, .name = "a");
	assert_non_null(strstr(f->result.text, "1 snapshots"));
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, vm_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_snapshot_is_made_where_the_virtual_machine_runs),
		TEST(one_job_at_a_time_and_none_that_makes_no_sense),
		TEST(what_is_reverted_is_off_and_stays_so),
		TEST(what_cannot_be_made_goes_with_its_virtual_machine),
		TEST(a_cancelled_one_is_undone_at_once_if_nobody_has_begun_it),
		TEST(reports_and_ends_are_about_the_order_in_force),
		TEST(what_a_lost_node_did_is_undone_elsewhere_after_its_fence),
		TEST(a_node_that_leaves_takes_back_what_it_makes),
		TEST(what_can_only_be_finished_is_done_again_elsewhere),
		TEST(what_has_not_begun_waits_for_a_migration),
		TEST(another_clusterd_gets_an_order_of_its_own),
		TEST(snapshots_go_before_their_virtual_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
