/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sequencer's duties: from what a node knows to the commands that it gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/age.h"
#include "clusterd/core/duty.h"
#include "clusterd/core/fence_window.h"
#include "clusterd/core/msg.h"

#define NODES	    3
#define LEASE_MS    1000
#define NOW_MS	    50000
#define NODEID(i)   (100u + (i))
#define BOOT(i)	    (0x100u + (i)) /* incarnation of the first boot */
#define PROCESS(i)  (0x900u + (i)) /* instance of its first clusterd */
#define COMMITTED   20
#define EPOCH_FIRST 7

static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = NODES,
			[DB_KIND_GROUP] = 2,
			[DB_KIND_TASK] = 4,
			[DB_KIND_EVENT] = 4,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
			[DB_KIND_FENCE] = 1,
			[DB_KIND_VOLUME] = 2,
			[DB_KIND_MOUNT] = 4,
			[DB_KIND_SETTING] = 2,
		},
	.locks = {.max_sessions = 8, .max_resources = 8, .max_locks = 8, .max_queued = 4},
};

struct fixture {
	struct db db;
	void *mem;
	struct repl_state repl;
	uint32_t ring[NODES];
	size_t ring_count;
	size_t under_way;
	uint64_t now_ms, wall_ms;
	struct duty_state duty;
	struct duty_actions out;
};

static enum db_code apply_at(struct fixture *f, uint64_t at_ms, struct db_command cmd)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = f->db.index + 1,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = 1,
			     .request = f->db.index + 1,
			     .payload = buf};
	struct db_result result;

	cmd.at_ms = at_ms;
	assert_int_equal(db_command_encode(&cmd, buf, sizeof(buf), &e.payload_len), 0);
	db_apply(&f->db, &e, &result);
	assert_null(db_check(&f->db));
	return result.code;
}

static void apply(struct fixture *f, struct db_command cmd)
{
	assert_int_equal(apply_at(f, 0, cmd), DB_OK);
}

#define DO(f, TYPE, member, ...)                                                                   \
	apply((f), (struct db_command){.type = DB_CMD_##TYPE, .member = {__VA_ARGS__}})

static void peer_set(struct fixture *f, uint8_t i)
{
	struct repl_peer *p = &f->repl.peer[i];

	*p = (struct repl_peer){.nodeid = NODEID(i), .pid = 1, .has_state = true, .slot = i};
	p->state.incarnation = BOOT(i);
	p->state.instance = PROCESS(i);
	memset(p->state.boot.byte, (int)(0x10 + i), sizeof(p->state.boot.byte));
	snprintf(p->state.build.text, sizeof(p->state.build.text), "1.%u", i);
	p->state.version_min = DB_VERSION_MIN;
	p->state.version_max = DB_VERSION_MAX;
}

/* Node 0 is the sequencer of three that are there, vote and hold everything; none is admitted. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct repl_state *s = &f->repl;

	assert_non_null(f);
	f->mem = malloc(db_size(&limits));
	assert_non_null(f->mem);
	assert_int_equal(db_init(&f->db, f->mem, db_size(&limits), &limits), 0);
	f->now_ms = NOW_MS;
	s->config.lease_ms = LEASE_MS;
	s->phase = REPL_OPEN;
	s->epoch.number = EPOCH_FIRST;
	s->lease.deadline_ms = UINT64_MAX;
	s->commit = COMMITTED;
	s->peer_count = NODES;
	for (uint8_t i = 0; i < NODES; i++) {
		struct cl_member *row = &s->vtable.member[i];

		*row = (struct cl_member){.nodeid = NODEID(i), .vote = 1};
		snprintf(row->name, sizeof(row->name), "n%u", i);
		s->persisted[i] = COMMITTED;
		s->present = (uint16_t)(s->present | cl_bit(i));
		s->countable = s->present;
		f->ring[f->ring_count++] = NODEID(i);
		peer_set(f, i);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->mem);
	free(f);
	return 0;
}

static void decide(struct fixture *f)
{
	struct duty_facts facts = {.repl = &f->repl,
				   .db = &f->db,
				   .ring = f->ring,
				   .ring_count = f->ring_count,
				   .now_ms = f->now_ms,
				   .wall_ms = f->wall_ms,
				   .under_way = f->under_way};

	duty_see(&f->duty, &f->repl, f->now_ms);
	duty_decide(&f->duty, &facts, &f->out);
}

/* How many commands it gives. */
static size_t commands(const struct fixture *f)
{
	struct db_command cmd;
	size_t n = 0;

	while (duty_command(&f->out, n, &cmd))
		n++;
	return n;
}

/* What was decided so far is applied. */
static void carry_out(struct fixture *f)
{
	struct db_command cmd;

	for (size_t i = 0; duty_command(&f->out, i, &cmd); i++)
		apply(f, cmd);
}

static void admit_all(struct fixture *f)
{
	decide(f);
	assert_int_equal(f->out.admit_count, NODES);
	carry_out(f);
	decide(f);
	assert_int_equal(commands(f), 0);
}

/* The clusterd of the node is not in the view any more; its machine may be in the ring. */
static void goes(struct fixture *f, uint8_t i, bool is_in_ring)
{
	f->repl.present = (uint16_t)(f->repl.present & ~cl_bit(i));
	f->repl.countable = f->repl.present;
	f->repl.peer[i].slot = CL_NODE_NONE;
	f->repl.persisted[i] = 0;
	if (!is_in_ring)
		f->ring[i] = 0;
}

static void comes(struct fixture *f, uint8_t i)
{
	f->repl.present = (uint16_t)(f->repl.present | cl_bit(i));
	f->repl.countable = f->repl.present;
	f->repl.peer[i].slot = i;
	f->repl.persisted[i] = COMMITTED;
	f->ring[i] = NODEID(i);
}

static void test_who_is_there_is_admitted_with_what_it_said(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd;

	decide(f);
	assert_true(duty_command(&f->out, 1, &cmd));
	assert_int_equal(cmd.type, DB_CMD_NODE_ADMIT);
	assert_string_equal(cmd.node_admit.name, "n1");
	assert_int_equal(cmd.node_admit.slot, 1);
	assert_int_equal(cmd.node_admit.nodeid, NODEID(1));
	assert_int_equal(cmd.node_admit.incarnation, BOOT(1));
	assert_int_equal(cmd.node_admit.instance, PROCESS(1));
	assert_string_equal(cmd.node_admit.boot, "11111111-1111-1111-1111-111111111111");
	assert_string_equal(cmd.node_admit.version, "1.1");
	assert_int_equal(cmd.node_admit.version_min, DB_VERSION_MIN);
	assert_int_equal(cmd.node_admit.version_max, DB_VERSION_MAX);
	assert_false(duty_command(&f->out, NODES, &cmd));
}

static void test_what_waits_for_its_time_is_told_once_and_before_anything_is_ordered(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd;
	struct db_group *g;

	admit_all(f);
	DO(f, CLUSTER_INIT, cluster_init, .name = "lab");
	DO(f, GROUP_CREATE, group_create, .name = "g");
	DO(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE,
	   .wish = CL_NODE_NONE);
	decide(f);
	assert_int_equal(commands(f), 1); /* its start */
	g = db_find(&f->db, DB_KIND_GROUP, "g");
	g->gave_up_ms = f->wall_ms = 5000;
	f->wall_ms += AGE_RETRY_MS - 1;
	decide(f);
	assert_false(f->out.has_clock);
	f->wall_ms++;
	decide(f);
	assert_int_equal(commands(f), 1);
	assert_true(duty_command(&f->out, 0, &cmd));
	assert_int_equal(cmd.type, DB_CMD_CLOCK);
	assert_int_equal(cmd.clock.now_ms, f->wall_ms);
	carry_out(f);
	decide(f);
	assert_int_equal(commands(f), 1);
	assert_int_equal(f->out.orders.count, 1);
}

static void test_only_the_sequencer_with_a_lease_decides(void **state)
{
	struct fixture *f = *state;

	f->repl.starter = 1;
	decide(f);
	assert_int_equal(commands(f), 0);
	f->repl.starter = 0;
	f->repl.lease.deadline_ms = f->now_ms;
	decide(f);
	assert_int_equal(commands(f), 0);
	f->repl.lease.deadline_ms = f->now_ms + 1;
	f->repl.phase = REPL_SYNCING;
	decide(f);
	assert_int_equal(commands(f), 0);
}

static void test_nothing_is_decided_while_a_decision_is_under_way(void **state)
{
	struct fixture *f = *state;

	f->under_way = 1;
	decide(f);
	assert_int_equal(commands(f), 0);
	f->under_way = 0;
	decide(f);
	assert_int_equal(commands(f), NODES);
}

static void test_who_does_not_hold_all_that_is_committed_is_not_admitted(void **state)
{
	struct fixture *f = *state;

	f->repl.persisted[2] = COMMITTED - 1;
	decide(f);
	assert_int_equal(f->out.admit_count, NODES - 1);
}

static void test_an_incarnation_being_fenced_has_no_way_back_and_a_later_boot_has(void **state)
{
	struct fixture *f = *state;

	admit_all(f);
	DO(f, NODE_LOST, node_lost, .name = "n1", .incarnation = BOOT(1));
	DO(f, NODE_FENCING, node_fencing, .name = "n1", .incarnation = BOOT(1));
	decide(f);
	assert_int_equal(commands(f), 0);
	DO(f, NODE_FENCED, node_fenced, .name = "n1", .incarnation = BOOT(1));
	decide(f);
	assert_int_equal(commands(f), 0);
	f->repl.peer[1].state.incarnation = 0x777;
	decide(f);
	assert_int_equal(f->out.admit_count, 1);
	assert_int_equal(f->out.admit[0].incarnation, 0x777);
}

static void test_a_lost_incarnation_whose_fence_has_not_begun_is_admitted_again(void **state)
{
	struct fixture *f = *state;

	admit_all(f);
	DO(f, NODE_LOST, node_lost, .name = "n1", .incarnation = BOOT(1));
	decide(f);
	assert_int_equal(f->out.admit_count, 1);
}

static void test_a_process_that_left_is_not_admitted_and_its_successor_is(void **state)
{
	struct fixture *f = *state;

	admit_all(f);
	DO(f, NODE_LEAVE, node_leave, .name = "n1", .incarnation = BOOT(1), .is_done = true);
	decide(f);
	assert_int_equal(commands(f), 0);
	f->repl.peer[1].state.instance++;
	decide(f);
	assert_int_equal(f->out.admit_count, 1);
}

static void test_a_machine_that_left_the_ring_is_lost_at_once(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd;

	admit_all(f);
	goes(f, 2, false);
	decide(f);
	assert_int_equal(commands(f), 1);
	assert_true(duty_command(&f->out, 0, &cmd));
	assert_int_equal(cmd.type, DB_CMD_NODE_LOST);
	assert_string_equal(cmd.node_lost.name, "n2");
	assert_int_equal(cmd.node_lost.incarnation, BOOT(2));
	carry_out(f);
	decide(f);
	assert_int_equal(commands(f), 0);
}

static void test_a_machine_in_the_ring_without_its_clusterd_gets_a_lease_long(void **state)
{
	struct fixture *f = *state;

	admit_all(f);
	goes(f, 2, true);
	decide(f);
	assert_int_equal(commands(f), 0);
	f->now_ms += LEASE_MS - 1;
	decide(f);
	assert_int_equal(commands(f), 0);
	f->now_ms++;
	decide(f);
	assert_int_equal(f->out.lost_count, 1);
}

static void test_a_clusterd_that_was_back_gets_its_time_anew(void **state)
{
	struct fixture *f = *state;

	admit_all(f);
	goes(f, 2, true);
	decide(f);
	comes(f, 2);
	f->now_ms += LEASE_MS / 2;
	decide(f);
	goes(f, 2, true);
	f->now_ms += LEASE_MS / 2;
	decide(f);
	assert_int_equal(commands(f), 0);
}

/* Another sequencer saw it come back; this one remembers only that it had gone. */
static void test_an_absence_seen_in_an_earlier_epoch_does_not_count(void **state)
{
	struct fixture *f = *state;

	admit_all(f);
	goes(f, 2, true);
	decide(f);
	f->repl.epoch.number += 2;
	f->now_ms += 10 * LEASE_MS;
	decide(f);
	assert_int_equal(commands(f), 0);
	f->now_ms += LEASE_MS;
	decide(f);
	assert_int_equal(f->out.lost_count, 1);
}

static void test_votes_are_given_one_at_a_time_to_who_holds_everything(void **state)
{
	struct fixture *f = *state;

	admit_all(f);
	f->repl.vtable.member[1].vote = f->repl.vtable.member[2].vote = 0;
	decide(f);
	assert_true(f->out.has_row && f->out.is_vote);
	assert_int_equal(f->out.slot, 1);
	assert_int_equal(f->out.row.vote, 1);
	assert_int_equal(f->out.row.nodeid, NODEID(1));
	f->repl.vtable.member[1].vote = 1;
	f->repl.change_pending = true; /* one at a time */
	decide(f);
	assert_false(f->out.has_row);
	f->repl.change_pending = false;
	decide(f);
	assert_true(f->out.has_row);
	assert_int_equal(f->out.slot, 2);
	f->repl.vtable.member[2].vote = 1;
	decide(f);
	assert_false(f->out.has_row);
}

static void test_who_has_no_row_in_the_table_any_more_is_not_admitted(void **state)
{
	struct fixture *f = *state;

	f->repl.vtable.member[2] = (struct cl_member){0}; /* evicted, its process is still there */
	decide(f);
	assert_int_equal(f->out.admit_count, NODES - 1);
	carry_out(f);
	assert_null(db_node_by_slot(&f->db, 2));
}

/* Admission first, then votes, then the plan: each from a database that knows the one before. */
static void test_the_plan_comes_when_nothing_else_is_left_to_do(void **state)
{
	struct fixture *f = *state;

	DO(f, CLUSTER_INIT, cluster_init, .name = "c");
	DO(f, GROUP_CREATE, group_create, .name = "g");
	DO(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE,
	   .wish = CL_NODE_NONE);
	f->repl.vtable.member[2].vote = 0;
	decide(f);
	assert_int_equal(f->out.admit_count, NODES);
	assert_false(f->out.has_row);
	assert_int_equal(f->out.orders.count, 0);
	carry_out(f);
	decide(f);
	assert_true(f->out.has_row);
	assert_int_equal(commands(f), 0);
	f->repl.vtable.member[2].vote = 1;
	decide(f);
	assert_int_equal(commands(f), 1);
	assert_int_equal(f->out.orders.count, 1);
	carry_out(f);
	decide(f);
	assert_int_equal(commands(f), 0);
}

static void test_a_cluster_without_a_name_is_not_planned(void **state)
{
	struct fixture *f = *state;

	DO(f, GROUP_CREATE, group_create, .name = "g");
	DO(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE,
	   .wish = CL_NODE_NONE);
	admit_all(f);
}

static void test_commands_come_in_the_order_in_which_they_are_proposed(void **state)
{
	static const enum db_cmd_type want[] = {
		DB_CMD_NODE_ADMIT, DB_CMD_NODE_LOST,   DB_CMD_VOLUME_ORDER, DB_CMD_MIGRATION_ORDER,
		DB_CMD_VM_MIGRATE, DB_CMD_GROUP_ORDER, DB_CMD_GROUP_ORDER};
	struct fixture *f = *state;
	struct db_command cmd;

	f->out.admit_count = f->out.lost_count = 1;
	f->out.orders.volume_count = f->out.orders.begin_count = 1;
	f->out.orders.migration_count = 1;
	f->out.orders.count = 2;
	snprintf(f->out.orders.item[1].name, sizeof(f->out.orders.item[1].name), "second");
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_true(duty_command(&f->out, i, &cmd));
		assert_int_equal(cmd.type, want[i]);
	}
	assert_string_equal(cmd.group_order.name, "second");
	assert_false(duty_command(&f->out, sizeof(want) / sizeof(want[0]), &cmd));
}

static void
test_a_node_with_something_stuck_is_fenced_if_the_others_are_quorate_without_it(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd;
	const struct db_volume *v;

	DO(f, CLUSTER_INIT, cluster_init, .name = "c");
	DO(f, FENCE_CREATE, fence_create, .name = "d", .agent = "/bin/d", .level = 1,
	   .nodes = UINT16_MAX, .timeout_ms = 1000);
	DO(f, VOLUME_CREATE, volume_create, .name = "v", .device = "/dev/v",
	   .uuid = "11111111-2222-3333-4444-555555555555");
	decide(f);
	carry_out(f);
	decide(f);
	carry_out(f);
	v = db_find(&f->db, DB_KIND_VOLUME, "v");
	assert_int_equal(v->work, DB_WORK_STARTING);
	DO(f, VOLUME_REPORT, volume_report, .name = "v", .order = v->order,
	   .work = DB_WORK_UNKNOWN);
	DO(f, FENCE_ASK, fence_ask, .name = "n0", .incarnation = BOOT(0), .volume = "v",
	   .order = v->order);
	assert_int_equal(v->node, 0);
	decide(f);
	assert_int_equal(commands(f), 1);
	assert_true(duty_command(&f->out, 0, &cmd));
	assert_int_equal(cmd.type, DB_CMD_NODE_FENCING);
	assert_string_equal(cmd.node_fencing.name, "n0");
	goes(f, 2, true);
	decide(f);
	assert_int_equal(commands(f), 0);
}

/* One at a time, and nothing is planned before. */
static void test_addresses_that_only_corosync_knows_are_taken_into_the_database(void **state)
{
	struct corosync_nodes local = {.count = 1};
	struct fixture *f = *state;
	struct duty_facts facts = {.repl = &f->repl,
				   .db = &f->db,
				   .now_ms = f->now_ms,
				   .ring = f->ring,
				   .ring_count = f->ring_count};
	struct db_command cmd;

	admit_all(f);
	assert_true(duty_needs_local(&facts));
	local.node[0].nodeid = NODEID(1);
	snprintf(local.node[0].name, sizeof(local.node[0].name), "n1");
	snprintf(local.node[0].address[0], sizeof(local.node[0].address[0]), "10.0.0.1");
	facts.local = &local;
	duty_see(&f->duty, &f->repl, f->now_ms);
	duty_decide(&f->duty, &facts, &f->out);
	assert_int_equal(commands(f), 1);
	assert_true(duty_command(&f->out, 0, &cmd));
	assert_int_equal(cmd.type, DB_CMD_NODE_ADDRESS);
	assert_string_equal(cmd.node_address.name, "n1");
}

static enum duty_fence fence_of(const struct fixture *f, const char *name, uint64_t *ret_boot)
{
	return duty_fence(&f->repl, &f->db, db_find(&f->db, DB_KIND_NODE, name), f->wall_ms,
			  ret_boot);
}

static enum db_code fencing(struct fixture *f, uint8_t i, bool by_admin, uint64_t at_ms)
{
	struct db_command cmd = {.type = DB_CMD_NODE_FENCING};

	snprintf(cmd.node_fencing.name, sizeof(cmd.node_fencing.name), "n%u", i);
	cmd.node_fencing.incarnation = BOOT(i);
	cmd.node_fencing.by_admin = by_admin;
	return apply_at(f, at_ms, cmd);
}

static void test_a_fence_is_committed_before_its_ladder_runs(void **state)
{
	struct fixture *f = *state;
	uint64_t boot = 0;

	admit_all(f);
	assert_int_equal(fence_of(f, "n1", &boot), DUTY_FENCE_NONE);
	DO(f, NODE_LOST, node_lost, .name = "n1", .incarnation = BOOT(1));
	assert_int_equal(fence_of(f, "n1", &boot), DUTY_FENCE_SAY);
	DO(f, NODE_FENCING, node_fencing, .name = "n1", .incarnation = BOOT(1));
	assert_int_equal(fence_of(f, "n1", &boot), DUTY_FENCE_RUN);
	goes(f, 1, false);
	assert_int_equal(fence_of(f, "n1", &boot), DUTY_FENCE_RUN);
	DO(f, NODE_FENCED, node_fenced, .name = "n1", .incarnation = BOOT(1));
	assert_int_equal(fence_of(f, "n1", &boot), DUTY_FENCE_NONE);
	assert_int_equal(boot, 0);
}

/* Whoever is the sequencer: when fences began stands in the database. */
static void test_a_fence_waits_when_too_many_have_begun(void **state)
{
	struct fixture *f = *state;
	uint64_t boot = 0;

	admit_all(f);
	DO(f, CLUSTER_INIT, cluster_init, .name = "lab");
	DO(f, SETTING_SET, setting_set, .key = "fence.max", .value = "1");
	DO(f, NODE_LOST, node_lost, .name = "n1", .incarnation = BOOT(1));
	DO(f, NODE_LOST, node_lost, .name = "n2", .incarnation = BOOT(2));
	f->wall_ms = 100000;
	assert_int_equal(fencing(f, 1, false, 100000), DB_OK);
	assert_int_equal(fence_of(f, "n1", &boot), DUTY_FENCE_RUN);
	assert_int_equal(fence_of(f, "n2", &boot), DUTY_FENCE_WAIT);
	f->wall_ms = 159999;
	assert_int_equal(fence_of(f, "n2", &boot), DUTY_FENCE_WAIT);
	/* From one that has not heard of it. */
	assert_int_equal(fencing(f, 2, false, 159999), DB_CONFLICT);
	assert_int_equal(fence_of(f, "n2", &boot), DUTY_FENCE_WAIT);
	/* A later boot of it is here: there is nothing to wait for. */
	f->repl.peer[2].state.incarnation = BOOT(2) + 1000;
	assert_int_equal(fence_of(f, "n2", &boot), DUTY_FENCE_OVER);
	f->repl.peer[2].state.incarnation = BOOT(2);
	f->wall_ms = 160000;
	assert_int_equal(fence_of(f, "n2", &boot), DUTY_FENCE_SAY);
	/* A clock that went wrong does not hold fences up for good. */
	f->wall_ms = 30000;
	assert_int_equal(fence_of(f, "n2", &boot), DUTY_FENCE_SAY);
	/* Who asks for one in person does not wait. */
	assert_int_equal(fencing(f, 2, true, 120000), DB_OK);
	f->wall_ms = 120000;
	assert_int_equal(fence_of(f, "n2", &boot), DUTY_FENCE_RUN);
	f->wall_ms = 179999;
	DO(f, SETTING_SET, setting_set, .key = "fence.max", .value = "2");
	assert_int_equal(fence_window_wait_ms(&f->db, 159999), 1);
	assert_int_equal(fence_window_wait_ms(&f->db, 160000), 0);
}

/* Whether it can be admitted already or not: it must not be switched off for what it was. */
static void test_a_node_that_is_here_with_a_later_boot_is_not_fenced(void **state)
{
	struct fixture *f = *state;
	uint64_t boot = 0;

	admit_all(f);
	DO(f, NODE_LOST, node_lost, .name = "n1", .incarnation = BOOT(1));
	f->repl.peer[1].state.incarnation = 0x777;
	f->repl.persisted[1] = 0;
	assert_int_equal(fence_of(f, "n1", &boot), DUTY_FENCE_OVER);
	assert_int_equal(boot, 0x777);
	boot = 0;
	DO(f, NODE_FENCING, node_fencing, .name = "n1", .incarnation = BOOT(1));
	assert_int_equal(fence_of(f, "n1", &boot), DUTY_FENCE_OVER);
	assert_int_equal(boot, 0x777);
	goes(f, 1, true);
	assert_int_equal(fence_of(f, "n1", &boot), DUTY_FENCE_RUN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_is_there_is_admitted_with_what_it_said),
		TEST(what_waits_for_its_time_is_told_once_and_before_anything_is_ordered),
		TEST(only_the_sequencer_with_a_lease_decides),
		TEST(nothing_is_decided_while_a_decision_is_under_way),
		TEST(who_does_not_hold_all_that_is_committed_is_not_admitted),
		TEST(an_incarnation_being_fenced_has_no_way_back_and_a_later_boot_has),
		TEST(a_lost_incarnation_whose_fence_has_not_begun_is_admitted_again),
		TEST(a_process_that_left_is_not_admitted_and_its_successor_is),
		TEST(a_machine_that_left_the_ring_is_lost_at_once),
		TEST(a_machine_in_the_ring_without_its_clusterd_gets_a_lease_long),
		TEST(a_clusterd_that_was_back_gets_its_time_anew),
		TEST(an_absence_seen_in_an_earlier_epoch_does_not_count),
		TEST(who_has_no_row_in_the_table_any_more_is_not_admitted),
		TEST(votes_are_given_one_at_a_time_to_who_holds_everything),
		TEST(the_plan_comes_when_nothing_else_is_left_to_do),
		TEST(a_cluster_without_a_name_is_not_planned),
		TEST(a_node_with_something_stuck_is_fenced_if_the_others_are_quorate_without_it),
		TEST(addresses_that_only_corosync_knows_are_taken_into_the_database),
		TEST(a_fence_is_committed_before_its_ladder_runs),
		TEST(a_fence_waits_when_too_many_have_begun),
		TEST(a_node_that_is_here_with_a_later_boot_is_not_fenced),
		TEST(commands_come_in_the_order_in_which_they_are_proposed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
