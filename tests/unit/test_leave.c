/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node that was asked to leave: its task, the end of the time to move things, a cancel. */
#include "tests/unit/vm_fixture.h"

static enum db_code depart(struct fixture *f, bool is_time_over)
{
	return DO(f, NODE_DEPART, node_depart, .name = "n0", .incarnation = INC(0),
		  .is_time_over = is_time_over);
}

/* The number of its task. */
static uint64_t asked(struct fixture *f)
{
	assert_int_equal(depart(f, false), DB_OK);
	assert_true(f->result.task);
	return f->result.task;
}

static void stop(struct fixture *f)
{
	assert_int_equal(group_order(f, "a", DB_WORK_STOPPING, 0), DB_OK);
	assert_int_equal(group_report(f, "a", group(f, "a")->order, DB_WORK_OFFLINE), DB_OK);
}

static void unmount(struct fixture *f)
{
	assert_int_equal(order(f, DB_WORK_STOPPING, 0), DB_OK);
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	assert_int_equal(gone(f, 0), DB_OK);
}

static void a_leave_is_a_task_that_counts_what_is_left(void **state)
{
	struct fixture *f = *state;
	uint64_t id = asked(f);

	assert_true(node(f, 0)->is_leaving);
	assert_false(node(f, 0)->is_draining);
	assert_false(node(f, 0)->is_paused);
	assert_string_equal(task(f, id)->verb, "node-leave");
	assert_string_equal(task(f, id)->object, "n0");
	assert_string_equal(task(f, id)->phase, "1 groups left");
	stop(f);
	assert_string_equal(task(f, id)->phase, "volumes and vote");
}

static void asked_again_it_is_the_same_task(void **state)
{
	struct fixture *f = *state;
	uint64_t id = asked(f), hash = content_hash(f);

	assert_int_equal(asked(f), id);
	assert_int_equal(content_hash(f), hash);
}

static void only_a_node_that_is_up_can_leave(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_NO_SUCH, NODE_DEPART, node_depart, .name = "n0", .incarnation = 99);
	REFUSED(f, DB_CONFLICT, NODE_DEPART, node_depart, .name = "n0", .incarnation = INC(0),
		.is_time_over = true);
	lose(f, 0);
	REFUSED(f, DB_REFUSED, NODE_DEPART, node_depart, .name = "n0", .incarnation = INC(0));
}

static void it_says_which_machine_was_stopped_and_what_runs_nowhere(void **state)
{
	struct fixture *f = *state;
	uint64_t id = asked(f);

	stop(f);
	assert_string_equal(task(f, id)->reason, "stopped, not migrated: a");
	unmount(f);
	assert_int_equal(leave(f, 0, true), DB_OK);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_DONE);
	assert_string_equal(task(f, id)->reason, "stopped, not migrated: a; not running now: a");
}

static void after_a_machine_was_migrated_it_says_that_everything_was_moved(void **state)
{
	struct fixture *f = *state;
	uint64_t id = asked(f), m = bring_to_handle(f, "a", 1);

	assert_int_equal(transfer(f, m), DB_OK);
	assert_int_equal(ends(f, m, 1, true), DB_OK);
	assert_string_equal(task(f, id)->phase, "volumes and vote");
	unmount(f);
	assert_int_equal(leave(f, 0, true), DB_OK);
	assert_string_equal(task(f, id)->reason, "everything was moved");
}

static void when_the_time_is_over_migrations_end_and_none_begins(void **state)
{
	struct fixture *f = *state;
	uint64_t m;

	asked(f);
	m = queue(f, "a", 1);
	assert_int_equal(begin(f, m), DB_OK);
	assert_int_equal(depart(f, true), DB_OK);
	assert_true(migration(f, m)->is_cancelled);
	assert_int_equal(ends(f, m, 0, false), DB_OK);
	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.migration_count, 0);
	assert_int_equal(f->orders.count, 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STOPPING);
	assert_string_equal(f->orders.item[0].reason, "its node stops, and the time to migrate it "
						      "is over, or that was cancelled");
}

static void a_wish_for_another_node_ends_with_the_time(void **state)
{
	struct fixture *f = *state;

	asked(f);
	node(f, 1)->is_paused = true;
	group(f, "a")->wish = 1;
	assert_int_equal(depart(f, true), DB_OK);
	assert_int_equal(group(f, "a")->wish, CL_NODE_NONE);
}

static void a_cancel_has_the_node_stay(void **state)
{
	struct fixture *f = *state;
	uint64_t id = asked(f);

	assert_int_equal(DO(f, TASK_CANCEL, task_cancel, .id = id), DB_OK);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_CANCELLED);
	assert_false(node(f, 0)->is_leaving);
	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.migration_count + f->orders.count, 0);
	assert_int_not_equal(asked(f), id);
}

static void what_an_administrator_had_paused_stays_so_over_a_boot(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	DONE(f, NODE_PAUSE, node_pause, .name = "n0", .pause = true, .drain = true);
	id = asked(f);
	stop(f);
	admit(f, 0, LATER(0));
	assert_true(node(f, 0)->is_paused);
	assert_true(node(f, 0)->is_draining);
	assert_false(node(f, 0)->is_leaving);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_FAILED);
}

static void the_task_fails_with_the_fence_of_its_node(void **state)
{
	struct fixture *f = *state;
	uint64_t id = asked(f);

	assert_int_equal(task(f, id)->state, DB_TASK_STATE_RUNNING);
	fence(f, 0);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_FAILED);
	assert_non_null(strstr(task(f, id)->reason, "fenced"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VM_TEST(a_leave_is_a_task_that_counts_what_is_left),
		VM_TEST(asked_again_it_is_the_same_task),
		VM_TEST(only_a_node_that_is_up_can_leave),
		VM_TEST(it_says_which_machine_was_stopped_and_what_runs_nowhere),
		VM_TEST(after_a_machine_was_migrated_it_says_that_everything_was_moved),
		VM_TEST(when_the_time_is_over_migrations_end_and_none_begins),
		VM_TEST(a_wish_for_another_node_ends_with_the_time),
		VM_TEST(a_cancel_has_the_node_stay),
		VM_TEST(what_an_administrator_had_paused_stays_so_over_a_boot),
		VM_TEST(the_task_fails_with_the_fence_of_its_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
