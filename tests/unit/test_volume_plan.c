/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the planner wants coordinators, and which groups wait for volumes. */
#include "tests/unit/volume_fixture.h"

static size_t plan(struct fixture *f)
{
	plan_run(&f->db, &f->orders);
	return f->orders.count + f->orders.volume_count;
}

static void apply_orders(struct fixture *f)
{
	for (size_t i = 0; i < f->orders.volume_count; i++)
		assert_int_equal(apply(f, (struct db_command){.type = DB_CMD_VOLUME_ORDER,
							      .volume_order = f->orders.volume[i]}),
				 DB_OK);
	for (size_t i = 0; i < f->orders.count; i++)
		assert_int_equal(apply(f, (struct db_command){.type = DB_CMD_GROUP_ORDER,
							      .group_order = f->orders.item[i]}),
				 DB_OK);
}

/* The one order of the plan is about v: starting there, or stopping there, for that reason. */
static void expect_order(struct fixture *f, enum db_work work, uint8_t slot, const char *reason)
{
	const struct db_cmd_volume_order *o = &f->orders.volume[0];

	plan(f);
	assert_int_equal(f->orders.volume_count, 1);
	assert_string_equal(o->name, "v");
	assert_int_equal(o->work, work);
	assert_int_equal(o->node, slot);
	assert_int_equal(o->incarnation, node(f, slot)->incarnation);
	assert_int_equal(o->previous, volume(f, "v")->order);
	assert_string_equal(o->reason, reason);
	apply_orders(f);
	assert_int_equal(plan(f), 0);
}

static void expect_nothing(struct fixture *f)
{
	plan(f);
	assert_int_equal(f->orders.volume_count, 0);
}

static void make_group(struct fixture *f, uint8_t wish)
{
	DONE(f, GROUP_CREATE, group_create, .name = "g", .volumes = "v", .priority = 100);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE, .wish = wish,
	     .verb = "group-start");
}

static void group_report(struct fixture *f, enum db_work work)
{
	DONE(f, GROUP_REPORT, group_report, .name = "g", .order = group(f, "g")->order,
	     .work = (uint8_t)work);
}

/* v is served by n0, mounted everywhere; g, which needs it, runs on the node. */
static void make_running(struct fixture *f, uint8_t slot)
{
	make_online(f, 0);
	for (uint8_t i = 0; i < NODES; i++)
		make_mounted(f, i);
	make_group(f, slot);
	plan(f);
	apply_orders(f);
	group_report(f, DB_WORK_ONLINE);
	assert_int_equal(group(f, "g")->node, slot);
	assert_int_equal(plan(f), 0);
}

/* ---- coordinators */

static void a_volume_gets_a_coordinator(void **state)
{
	expect_order(*state, DB_WORK_STARTING, 0,
		     "coordinates the fewest volumes (0) of the nodes that can");
}

static void volumes_spread_over_the_nodes(void **state)
{
	struct fixture *f = *state;

	DONE(f, VOLUME_CREATE, volume_create, .name = "w", .uuid = UUID_2, .device = "/dev/b");
	DONE(f, VOLUME_CREATE, volume_create, .name = "x",
	     .uuid = "00000000-2222-3333-4444-666666666666", .device = "/dev/c");
	make_online(f, 1);
	plan(f);
	assert_int_equal(f->orders.volume_count, 2);
	assert_int_equal(f->orders.volume[0].node, 0);
	assert_int_equal(f->orders.volume[1].node, 2);
}

static void a_wish_goes_before_the_spread(void **state)
{
	struct fixture *f = *state;

	volume(f, "v")->wish = 2;
	expect_order(f, DB_WORK_STARTING, 2, "asked for on this node");
}

static void nodes_that_cannot_have_it_are_no_candidates(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(volume_candidates(&f->db, volume(f, "v")), 0x7);
	assert_int_equal(pause_node(f, 0, false), DB_OK);
	assert_int_equal(volume_candidates(&f->db, volume(f, "v")), 0x6);
	assert_int_equal(leave(f, 1, false), DB_OK);
	assert_int_equal(volume_candidates(&f->db, volume(f, "v")), 0x4);
	volume(f, "v")->refused = 0x4;
	assert_int_equal(volume_candidates(&f->db, volume(f, "v")), 0);
	expect_nothing(f);
	volume(f, "v")->refused = 0;
	lose(f, 2);
	expect_nothing(f);
}

static void a_failed_start_is_tried_on_each_node_once(void **state)
{
	struct fixture *f = *state;

	for (uint8_t i = 0; i < NODES; i++) {
		expect_order(f, DB_WORK_STARTING, i,
			     "coordinates the fewest volumes (0) of the nodes that can");
		assert_int_equal(report(f, DB_WORK_FAILED), DB_OK);
	}
	expect_nothing(f);
}

static void a_volume_moves_to_where_it_is_wished(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	expect_nothing(f);
	DONE(f, VOLUME_INTENT, volume_intent, .name = "v", .wish = 2, .verb = "volume-move");
	expect_order(f, DB_WORK_STOPPING, 0, "asked to move");
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	expect_order(f, DB_WORK_STARTING, 2, "asked for on this node");
	assert_int_equal(report(f, DB_WORK_ONLINE), DB_OK);
	assert_int_equal(plan(f), 0);
}

static void a_wish_that_cannot_be_had_moves_nothing(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	DONE(f, VOLUME_INTENT, volume_intent, .name = "v", .wish = 2, .verb = "volume-move");
	assert_int_equal(pause_node(f, 2, false), DB_OK);
	expect_nothing(f);
}

static void a_paused_node_keeps_its_coordinator(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	assert_int_equal(pause_node(f, 0, false), DB_OK);
	expect_nothing(f);
}

static void a_drained_node_gives_its_coordinator_away_if_another_can_have_it(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	volume(f, "v")->refused = 0x6;
	assert_int_equal(pause_node(f, 0, true), DB_OK);
	expect_nothing(f);
	volume(f, "v")->refused = 0x2;
	expect_order(f, DB_WORK_STOPPING, 0, "its node is drained");
}

static void a_leaving_node_ends_its_groups_then_its_mount_then_its_coordinator(void **state)
{
	struct fixture *f = *state;

	make_running(f, 0);
	assert_int_equal(leave(f, 0, false), DB_OK);
	assert_true(volume_mount_wanted(&f->db, volume(f, "v"), node(f, 0)));
	expect_nothing(f);
	assert_int_equal(f->orders.count, 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STOPPING);
	apply_orders(f);
	expect_nothing(f);
	group_report(f, DB_WORK_OFFLINE);
	assert_false(volume_mount_wanted(&f->db, volume(f, "v"), node(f, 0)));
	expect_nothing(f);
	assert_int_equal(gone(f, 0), DB_OK);
	expect_order(f, DB_WORK_STOPPING, 0, "its node stops");
}

static void the_last_node_that_leaves_stops_its_coordinator_too(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	volume(f, "v")->refused = 0x6;
	assert_int_equal(leave(f, 0, false), DB_OK);
	expect_order(f, DB_WORK_STOPPING, 0, "its node stops");
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	expect_nothing(f);
	assert_int_equal(leave(f, 0, true), DB_OK);
}

static void a_deleted_volume_keeps_its_coordinator_until_every_mount_is_recovered(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_mounted(f, 1);
	DONE(f, VOLUME_DELETE, volume_delete, .name = "v");
	assert_false(volume_mount_wanted(&f->db, volume(f, "v"), node(f, 1)));
	expect_nothing(f);
	assert_int_equal(gone(f, 1), DB_OK);
	expect_nothing(f);
	assert_int_equal(recovered(f, volume(f, "v")->term, 1), DB_OK);
	expect_order(f, DB_WORK_STOPPING, 0, "the volume is being deleted");
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	assert_int_equal(plan(f), 0);
}

/* What needs it is stopped first, then its mounts end and are recovered, last its coordinator. */
static void a_suspended_volume_ends_after_its_users_and_comes_back_with_them(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	make_online(f, 0);
	make_mounted(f, 0);
	DONE(f, GROUP_CREATE, group_create, .name = "g", .volumes = "v");
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE,
	     .wish = CL_NODE_NONE, .verb = "group-start");
	assert_int_equal(plan(f), 1);
	apply_orders(f);
	DONE(f, GROUP_REPORT, group_report, .name = "g", .order = group(f, "g")->order,
	     .work = DB_WORK_ONLINE);
	DONE(f, VOLUME_SUSPEND, volume_suspend, .name = "v", .is_suspended = true);
	id = volume(f, "v")->task;
	assert_true(volume_mount_wanted(&f->db, volume(f, "v"), node(f, 0)));
	assert_false(volume_mount_wanted(&f->db, volume(f, "v"), node(f, 1)));
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STOPPING);
	assert_string_equal(f->orders.item[0].reason, "a volume that it needs is being suspended");
	apply_orders(f);
	DONE(f, GROUP_REPORT, group_report, .name = "g", .order = group(f, "g")->order,
	     .work = DB_WORK_OFFLINE);
	assert_false(volume_mount_wanted(&f->db, volume(f, "v"), node(f, 0)));
	expect_nothing(f);
	assert_int_equal(gone(f, 0), DB_OK);
	expect_nothing(f);
	assert_int_equal(recovered(f, volume(f, "v")->term, 0), DB_OK);
	expect_order(f, DB_WORK_STOPPING, 0, "the volume is suspended");
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	expect_nothing(f);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_DONE);
	REFUSED(f, DB_REFUSED, VOLUME_INTENT, volume_intent, .name = "v", .wish = 1, .verb = "m");
	REFUSED(f, DB_REFUSED, VOLUME_INTENT, volume_intent, .name = "v", .wish = CL_NODE_NONE,
		.verb = "c");
	DONE(f, VOLUME_SUSPEND, volume_suspend, .name = "v", .is_suspended = false);
	id = volume(f, "v")->task;
	assert_int_equal(plan(f), 1);
	apply_orders(f);
	assert_int_equal(report(f, DB_WORK_ONLINE), DB_OK);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_DONE);
	assert_int_equal(group(f, "g")->intent, DB_INTENT_ONLINE);
	make_mounted(f, 1);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STARTING);
}

/* A mount that was left unrecovered needs one more coordinator, which ends nobody's task. */
static void a_suspended_volume_is_recovered_first(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	make_online(f, 0);
	make_mounted(f, 1);
	fence(f, 0);
	assert_int_equal(gone(f, 1), DB_OK);
	DONE(f, VOLUME_SUSPEND, volume_suspend, .name = "v", .is_suspended = true);
	id = volume(f, "v")->task;
	assert_int_equal(plan(f), 1);
	apply_orders(f);
	assert_int_equal(report(f, DB_WORK_ONLINE), DB_OK);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_RUNNING);
	assert_int_equal(recovered(f, volume(f, "v")->term, 1), DB_OK);
	expect_order(f, DB_WORK_STOPPING, volume(f, "v")->node, "the volume is suspended");
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_DONE);
	/* taken back, it is nobody's any more */
	DONE(f, VOLUME_SUSPEND, volume_suspend, .name = "v", .is_suspended = false);
	assert_int_equal(plan(f), 1);
}

/* Whoever coordinates carries it out; what takes the place of the task takes the wish back. */
static void a_wish_to_grow_is_that_of_whoever_coordinates(void **state)
{
	struct fixture *f = *state;
	uint64_t wish;

	make_online(f, 0);
	DONE(f, VOLUME_GROW, volume_grow, .name = "v");
	wish = volume(f, "v")->grow;
	assert_int_equal(wish, f->db.index);
	REFUSED(f, DB_REFUSED, VOLUME_GROW, volume_grow, .name = "v");
	REFUSED(f, DB_CONFLICT, VOLUME_GROWN, volume_grown, .name = "v", .grow = wish,
		.term = volume(f, "v")->term + 1);
	fence(f, 0);
	make_online(f, 1);
	assert_int_equal(volume(f, "v")->grow, wish);
	assert_int_equal(task(f, volume(f, "v")->task)->state, DB_TASK_STATE_RUNNING);
	DONE(f, VOLUME_GROWN, volume_grown, .name = "v", .grow = wish, .term = volume(f, "v")->term,
	     .is_success = true, .bytes = 77);
	assert_int_equal(volume(f, "v")->bytes, 77);
	assert_int_equal(volume(f, "v")->task, 0);
	REFUSED(f, DB_CONFLICT, VOLUME_GROWN, volume_grown, .name = "v", .grow = wish,
		.term = volume(f, "v")->term, .is_success = true);
	DONE(f, VOLUME_GROW, volume_grow, .name = "v");
	DONE(f, TASK_CANCEL, task_cancel, .id = volume(f, "v")->task);
	assert_int_equal(volume(f, "v")->grow, 0);
	DONE(f, VOLUME_GROW, volume_grow, .name = "v");
	DONE(f, VOLUME_SUSPEND, volume_suspend, .name = "v", .is_suspended = true);
	assert_int_equal(volume(f, "v")->grow, 0);
	REFUSED(f, DB_REFUSED, VOLUME_GROW, volume_grow, .name = "v");
}

static void what_a_mount_does_is_told_when_it_changes(void **state)
{
	struct fixture *f = *state;
	uint32_t events;

	make_online(f, 0);
	make_mounted(f, 1);
	DONE(f, MOUNT_IO, mount_io, .volume = "v", .slot = 1, .id = ID(1),
	     .io = DB_MOUNT_IO_ACTIVE);
	events = (uint32_t)f->db.next_event;
	DONE(f, MOUNT_IO, mount_io, .volume = "v", .slot = 1, .id = ID(1), .io = DB_MOUNT_IO_ACTIVE,
	     .bytes = 7);
	assert_int_equal(f->db.next_event, events);
	assert_int_equal(mount_of(f, 1)->io_bytes, 7);
	DONE(f, VOLUME_REDIRECT, volume_redirect, .name = "v", .nodes = UINT16_MAX, .is_on = true);
	assert_int_equal(volume(f, "v")->redirected, 7); /* those that there are */
	DONE(f, VOLUME_REDIRECT, volume_redirect, .name = "v", .nodes = 2);
	assert_int_equal(volume(f, "v")->redirected, 5);
	assert_string_equal(volume(f, "v")->redirected_by, "admin");
	DONE(f, MOUNT_IO, mount_io, .volume = "v", .slot = 1, .id = ID(1),
	     .io = DB_MOUNT_IO_REDIRECTED, .reason = "asked for");
	assert_int_equal(mount_of(f, 1)->io, DB_MOUNT_IO_REDIRECTED);
	assert_true(mount_of(f, 1)->io_ms);
	DONE(f, VOLUME_REDIRECT, volume_redirect, .name = "v", .nodes = UINT16_MAX);
	assert_string_equal(volume(f, "v")->redirected_by, "");
	assert_int_equal(DO(f, MOUNT_IO, mount_io, .volume = "v", .slot = 1, .id = 99),
			 DB_CONFLICT);
}

static void a_deleted_volume_is_not_started(void **state)
{
	struct fixture *f = *state;

	make_mounted(f, 1);
	DONE(f, VOLUME_DELETE, volume_delete, .name = "v");
	expect_nothing(f);
}

static void a_coordinator_of_a_lost_node_waits_for_the_fence(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	lose(f, 0);
	expect_nothing(f);
	DONE(f, NODE_FENCED, node_fenced, .name = "n0", .incarnation = INC(0));
	expect_order(f, DB_WORK_STARTING, 1,
		     "coordinates the fewest volumes (0) of the nodes that can");
}

static void a_failed_coordinator_is_left_alone(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	assert_int_equal(report(f, DB_WORK_FAILED), DB_OK);
	expect_nothing(f);
	assert_int_equal(pause_node(f, 0, true), DB_OK);
	expect_nothing(f);
}

/* ---- groups */

static void a_group_without_volumes_waits_for_none(void **state)
{
	struct fixture *f = *state;

	DONE(f, GROUP_CREATE, group_create, .name = "g");
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE,
	     .wish = CL_NODE_NONE);
	plan(f);
	assert_int_equal(f->orders.count, 1);
}

static void a_group_waits_until_its_volume_is_served(void **state)
{
	struct fixture *f = *state;

	make_mounted(f, 1);
	make_group(f, CL_NODE_NONE);
	assert_int_equal(order(f, DB_WORK_STARTING, 0), DB_OK);
	assert_int_equal(plan(f), 0);
	assert_int_equal(report(f, DB_WORK_ONLINE), DB_OK);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].node, 1);
}

static void a_group_goes_only_where_its_volume_is_mounted(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_group(f, 0);
	assert_int_equal(plan(f), 0);
	assert_int_equal(mount_set(f, 2, ID(2)), DB_OK);
	assert_int_equal(plan(f), 0);
	DONE(f, MOUNT_REPORT, mount_report, .volume = "v", .slot = 2, .id = ID(2));
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].node, 2);
}

static void a_group_needs_all_its_volumes(void **state)
{
	struct fixture *f = *state;

	DONE(f, VOLUME_CREATE, volume_create, .name = "w", .uuid = UUID_2, .device = "/dev/b");
	make_online(f, 0);
	make_mounted(f, 0);
	make_mounted(f, 1);
	DONE(f, GROUP_CREATE, group_create, .name = "g", .volumes = "v,w");
	assert_int_equal(plan_candidates(&f->db, group(f, "g")), 0);
	DONE(f, VOLUME_ORDER, volume_order, .name = "w", .work = DB_WORK_STARTING, .node = 1,
	     .incarnation = INC(1));
	DONE(f, VOLUME_REPORT, volume_report, .name = "w", .order = volume(f, "w")->order,
	     .work = DB_WORK_ONLINE, .port = PORT);
	DONE(f, MOUNT_SET, mount_set, .volume = "w", .slot = 1, .incarnation = INC(1), .id = 9);
	DONE(f, MOUNT_REPORT, mount_report, .volume = "w", .slot = 1, .id = 9);
	assert_int_equal(plan_candidates(&f->db, group(f, "g")), 0x2);
}

static void a_group_of_a_fenced_node_waits_for_recovery(void **state)
{
	struct fixture *f = *state;

	make_running(f, 2);
	fence(f, 2);
	assert_int_equal(group(f, "g")->work, DB_WORK_OFFLINE);
	assert_int_equal(plan(f), 0);
	assert_int_equal(recovered(f, volume(f, "v")->term, 2), DB_OK);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STARTING);
}

static void a_running_group_stays_when_its_volume_is_not_served(void **state)
{
	struct fixture *f = *state;

	make_running(f, 1);
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	plan(f);
	assert_int_equal(f->orders.count, 0);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE, .wish = 2,
	     .verb = "group-move");
	plan(f);
	assert_int_equal(f->orders.count, 0);
}

static void a_group_is_moved_only_to_where_its_volume_is_mounted(void **state)
{
	struct fixture *f = *state;

	make_running(f, 1);
	assert_int_equal(gone(f, 2), DB_OK);
	assert_int_equal(recovered(f, volume(f, "v")->term, 2), DB_OK);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE, .wish = 2,
	     .verb = "group-move");
	assert_int_equal(plan(f), 0);
}

static void a_group_on_a_drained_node_follows_its_coordinator(void **state)
{
	struct fixture *f = *state;

	make_running(f, 0);
	assert_int_equal(pause_node(f, 0, true), DB_OK);
	expect_order(f, DB_WORK_STOPPING, 0, "its node is drained");
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	make_online(f, 1);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STOPPING);
}

/* ---- explanations */

static const char *explain(struct fixture *f)
{
	static char text[DB_REASON_MAX];

	plan_explain_volume(&f->db, volume(f, "v"), text, sizeof(text));
	return text;
}

static const char *explain_group(struct fixture *f)
{
	static char text[DB_REASON_MAX];

	plan_explain(&f->db, group(f, "g"), text, sizeof(text));
	return text;
}

static void it_says_why_a_coordinator_is_where_it_is(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(explain(f), "offline: new");
	assert_int_equal(order(f, DB_WORK_STARTING, 0), DB_OK);
	assert_string_equal(explain(f), "starting on n0: a test");
	assert_int_equal(report(f, DB_WORK_ONLINE), DB_OK);
	assert_string_equal(explain(f), "online on n0: reported");
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	assert_string_equal(explain(f), "offline: reported");
}

static void it_says_why_no_node_can_have_it(void **state)
{
	struct fixture *f = *state;

	for (uint8_t i = 0; i < NODES; i++) {
		assert_int_equal(order(f, DB_WORK_STARTING, i), DB_OK);
		assert_int_equal(report(f, DB_WORK_FAILED), DB_OK);
	}
	assert_string_equal(explain(f),
			    "cannot start: it failed on every node that could have it, at last: "
			    "reported; repair, then 'volume clear', else tried after 5 min");
	volume(f, "v")->refused = 0;
	for (uint8_t i = 0; i < NODES; i++)
		lose(f, i);
	assert_string_equal(explain(f), "cannot start: no node is up and not paused");
}

static void it_says_which_fence_it_waits_for(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	lose(f, 0);
	assert_string_equal(explain(f), "blocked: waiting to fence n0; no other node mounts its "
					"filesystem before");
}

static void it_says_what_to_do_about_a_failed_coordinator(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	assert_int_equal(report(f, DB_WORK_FAILED), DB_OK);
	assert_string_equal(explain(f),
			    "failed on n0: reported; no other node mounts its filesystem before "
			    "that is over: 'volume clear' looks again");
}

static void it_names_the_nodes_whose_mounts_are_not_recovered(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_mounted(f, 0);
	make_mounted(f, 1);
	make_mounted(f, 2);
	assert_int_equal(gone(f, 1), DB_OK);
	assert_int_equal(gone(f, 2), DB_OK);
	assert_string_equal(explain(f), "what the mount on n1,n2 held is not recovered; no group "
					"that needs it starts before");
	DONE(f, VOLUME_DELETE, volume_delete, .name = "v");
	assert_string_equal(explain(f), "being deleted: n0 has it mounted, n1,n2 has left it "
					"unrecovered");
}

static void it_says_which_volume_a_group_waits_for_and_why(void **state)
{
	struct fixture *f = *state;

	make_group(f, CL_NODE_NONE);
	make_online(f, 0);
	assert_string_equal(explain_group(f),
			    "waits until volumes v are mounted on a node that can run it");
	make_mounted(f, 1);
	make_mounted(f, 2);
	assert_int_equal(gone(f, 2), DB_OK);
	assert_string_equal(explain_group(f),
			    "waits for volume v: what the mount on n2 held is not recovered; "
			    "no group that needs it starts before");
	lose(f, 0);
	assert_string_equal(explain_group(f),
			    "waits for volume v: blocked: waiting to fence n0; no other node "
			    "mounts its filesystem before");
}

static void it_does_not_blame_a_volume_for_missing_nodes(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_mounted(f, 1);
	make_group(f, CL_NODE_NONE);
	for (uint8_t i = 0; i < NODES; i++)
		assert_int_equal(pause_node(f, i, false), DB_OK);
	assert_string_equal(explain_group(f),
			    "cannot start: no node is up, not paused and a possible owner "
			    "(n0: the node is paused; n1: the node is paused; n2: the node is "
			    "paused)");
}

static bool condemned(struct fixture *f, uint8_t slot)
{
	return volume_mount_is_condemned(&f->db, volume(f, "v"), mount_of(f, slot));
}

static void one_silent_mount_is_killed_and_nothing_moves(void **state)
{
	struct fixture *f = *state;
	char text[DB_REASON_MAX];

	make_online(f, 0);
	for (uint8_t i = 0; i < NODES; i++)
		make_mounted(f, i);
	assert_int_equal(voice(f, 1, DB_MOUNT_VOICE_SILENT, 1), DB_OK);
	assert_true(condemned(f, 1));
	assert_false(condemned(f, 2));
	assert_int_equal(plan(f), 0);
	plan_explain_volume(&f->db, volume(f, "v"), text, sizeof(text));
	assert_string_equal(text, "online on n0: the mount on n1 does not answer it, and is killed "
				  "there");
	assert_int_equal(voice(f, 1, DB_MOUNT_VOICE_ANSWERS, 0), DB_OK);
	assert_false(condemned(f, 1));
	assert_int_equal(voice(f, 1, DB_MOUNT_VOICE_STUCK, 0), DB_OK);
	assert_true(condemned(f, 1));
	assert_int_equal(gone(f, 1), DB_OK);
	assert_false(condemned(f, 1));
}

static void of_several_silent_mounts_the_coordinator_moves_first(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	for (uint8_t i = 0; i < NODES; i++)
		make_mounted(f, i);
	/* The first report says that it is not alone. */
	assert_int_equal(voice(f, 0, DB_MOUNT_VOICE_SILENT, 2), DB_OK);
	assert_false(condemned(f, 0));
	plan(f);
	assert_int_equal(f->orders.volume_count, 1);
	assert_int_equal(f->orders.volume[0].work, DB_WORK_STOPPING);
	assert_string_equal(f->orders.volume[0].reason,
			    "two or more mounts do not answer it: it moves first");
	assert_int_equal(voice(f, 1, DB_MOUNT_VOICE_SILENT, 2), DB_OK);
	assert_false(condemned(f, 1));
	plan(f);
	apply_orders(f);
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	plan(f);
	assert_int_equal(f->orders.volume_count, 1);
	/* Neither where it was, nor where a mount is silent. */
	assert_int_equal(f->orders.volume[0].node, 2);
	apply_orders(f);
	assert_int_equal(report(f, DB_WORK_ONLINE), DB_OK);
	/* The next one has not waited for them yet. */
	assert_false(condemned(f, 0));
	assert_int_equal(plan(f), 0);
	assert_int_equal(voice(f, 0, DB_MOUNT_VOICE_SILENT, 2), DB_OK);
	assert_int_equal(voice(f, 1, DB_MOUNT_VOICE_SILENT, 2), DB_OK);
	assert_true(condemned(f, 0));
	assert_true(condemned(f, 1));
	assert_int_equal(plan(f), 0);
}

static void with_nowhere_to_go_they_are_killed_at_once(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	for (uint8_t i = 0; i < NODES; i++)
		make_mounted(f, i);
	/* The one that is left has a silent mount itself. */
	assert_int_equal(pause_node(f, 2, false), DB_OK);
	assert_int_equal(voice(f, 1, DB_MOUNT_VOICE_SILENT, 2), DB_OK);
	assert_true(condemned(f, 1));
	assert_int_equal(plan(f), 0);
}

static void an_explanation_stays_within_its_space(void **state)
{
	struct fixture *f = *state;
	char text[16];

	text[8] = 'x';
	make_online(f, 0);
	lose(f, 0);
	plan_explain_volume(&f->db, volume(f, "v"), text, 8);
	assert_int_equal(strlen(text), 7);
	assert_int_equal(text[8], 'x');
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_volume_gets_a_coordinator),
		TEST(volumes_spread_over_the_nodes),
		TEST(a_wish_goes_before_the_spread),
		TEST(nodes_that_cannot_have_it_are_no_candidates),
		TEST(a_failed_start_is_tried_on_each_node_once),
		TEST(a_volume_moves_to_where_it_is_wished),
		TEST(a_wish_that_cannot_be_had_moves_nothing),
		TEST(a_paused_node_keeps_its_coordinator),
		TEST(a_drained_node_gives_its_coordinator_away_if_another_can_have_it),
		TEST(a_leaving_node_ends_its_groups_then_its_mount_then_its_coordinator),
		TEST(the_last_node_that_leaves_stops_its_coordinator_too),
		TEST(a_deleted_volume_keeps_its_coordinator_until_every_mount_is_recovered),
		TEST(a_suspended_volume_ends_after_its_users_and_comes_back_with_them),
		TEST(a_suspended_volume_is_recovered_first),
		TEST(a_wish_to_grow_is_that_of_whoever_coordinates),
		TEST(what_a_mount_does_is_told_when_it_changes),
		TEST(a_deleted_volume_is_not_started),
		TEST(a_coordinator_of_a_lost_node_waits_for_the_fence),
		TEST(a_failed_coordinator_is_left_alone),
		TEST(a_group_without_volumes_waits_for_none),
		TEST(a_group_waits_until_its_volume_is_served),
		TEST(a_group_goes_only_where_its_volume_is_mounted),
		TEST(a_group_needs_all_its_volumes),
		TEST(a_group_of_a_fenced_node_waits_for_recovery),
		TEST(a_running_group_stays_when_its_volume_is_not_served),
		TEST(a_group_is_moved_only_to_where_its_volume_is_mounted),
		TEST(a_group_on_a_drained_node_follows_its_coordinator),
		TEST(it_says_why_a_coordinator_is_where_it_is),
		TEST(it_says_why_no_node_can_have_it),
		TEST(it_says_which_fence_it_waits_for),
		TEST(it_says_what_to_do_about_a_failed_coordinator),
		TEST(it_names_the_nodes_whose_mounts_are_not_recovered),
		TEST(it_says_which_volume_a_group_waits_for_and_why),
		TEST(it_does_not_blame_a_volume_for_missing_nodes),
		TEST(one_silent_mount_is_killed_and_nothing_moves),
		TEST(of_several_silent_mounts_the_coordinator_moves_first),
		TEST(with_nowhere_to_go_they_are_killed_at_once),
		TEST(an_explanation_stays_within_its_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
