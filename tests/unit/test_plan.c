/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The planner: from the applied state to orders; and that carrying them out comes to rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/msg.h"
#include "clusterd/core/plan.h"
#include "lib/prng.h"

#define INCARNATION(slot) (0x100u + (slot))

static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = CL_MAX_NODES,
			[DB_KIND_SETTING] = 4,
			[DB_KIND_GROUP] = 100,
			[DB_KIND_RESOURCE] = 4,
			[DB_KIND_PARAM] = 4,
			[DB_KIND_TASK] = 4,
			[DB_KIND_EVENT] = 4,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
		},
	.locks = {.max_sessions = 20, .max_resources = 128, .max_locks = 128, .max_queued = 4},
};

struct fixture {
	struct db db;
	void *mem;
	uint64_t request;
	struct db_result result;
	struct plan_orders orders;
};

static struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->mem = malloc(db_size(&limits));
	assert_non_null(f->mem);
	assert_int_equal(db_init(&f->db, f->mem, db_size(&limits), &limits), 0);
	return f;
}

static void fixture_free(struct fixture *f)
{
	free(f->mem);
	free(f);
}

static int setup(void **state)
{
	*state = fixture_new();
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static enum db_code apply(struct fixture *f, const struct db_command *cmd)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = f->db.index + 1,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = 1,
			     .request = ++f->request,
			     .payload = buf};

	assert_int_equal(db_command_encode(cmd, buf, sizeof(buf), &e.payload_len), 0);
	db_apply(&f->db, &e, &f->result);
	return f->result.code;
}

#define DO(f, TYPE, member, ...)                                                                   \
	assert_int_equal(                                                                          \
		apply((f), &(struct db_command){.type = DB_CMD_##TYPE, .member = {__VA_ARGS__}}),  \
		DB_OK)

static void make_nodes(struct fixture *f, uint8_t n)
{
	for (uint8_t i = 0; i < n; i++) {
		struct db_command c = {.type = DB_CMD_NODE_ADMIT,
				       .node_admit = {.slot = i,
						      .nodeid = 100u + i,
						      .incarnation = INCARNATION(i),
						      .boot = "boot"}};

		snprintf(c.node_admit.name, sizeof(c.node_admit.name), "n%u", i);
		assert_int_equal(apply(f, &c), DB_OK);
	}
}

static void make_group(struct fixture *f, const char *name, uint16_t possible, uint8_t wish)
{
	struct db_command create = {.type = DB_CMD_GROUP_CREATE,
				    .group_create = {.possible = possible, .priority = 100}};
	struct db_command start = {.type = DB_CMD_GROUP_INTENT,
				   .group_intent = {.intent = DB_INTENT_ONLINE, .wish = wish}};

	snprintf(create.group_create.name, CL_NAME_MAX, "%s", name);
	snprintf(start.group_intent.name, CL_NAME_MAX, "%s", name);
	assert_int_equal(apply(f, &create), DB_OK);
	assert_int_equal(apply(f, &start), DB_OK);
}

static struct db_group *group(struct fixture *f, const char *name)
{
	struct db_group *g = db_find(&f->db, DB_KIND_GROUP, name);

	assert_non_null(g);
	return g;
}

static struct db_node *node(struct fixture *f, uint8_t slot)
{
	struct db_node *n = db_node_by_slot(&f->db, slot);

	assert_non_null(n);
	return n;
}

static size_t plan(struct fixture *f)
{
	plan_run(&f->db, &f->orders);
	return f->orders.count;
}

static void apply_orders(struct fixture *f)
{
	for (size_t i = 0; i < f->orders.count; i++)
		assert_int_equal(apply(f, &(struct db_command){.type = DB_CMD_GROUP_ORDER,
							       .group_order = f->orders.item[i]}),
				 DB_OK);
}

static enum db_code report(struct fixture *f, const char *name, enum db_work work)
{
	struct db_command c = {
		.type = DB_CMD_GROUP_REPORT,
		.group_report = {.order = group(f, name)->order, .work = (uint8_t)work}};

	snprintf(c.group_report.name, CL_NAME_MAX, "%s", name);
	return apply(f, &c);
}

static void report_success(struct fixture *f)
{
	for (uint32_t i = 0; i < db_count(&f->db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(&f->db, DB_KIND_GROUP, i);

		if (g->work == DB_WORK_STARTING)
			assert_int_equal(report(f, g->name, DB_WORK_ONLINE), DB_OK);
		else if (g->work == DB_WORK_STOPPING)
			assert_int_equal(report(f, g->name, DB_WORK_OFFLINE), DB_OK);
	}
}

/* Plans and carries out until nothing is left to do; returns the rounds that it took. */
#define ROUNDS_MAX 10
static int come_to_rest(struct fixture *f)
{
	int rounds = 0;

	while (plan(f)) {
		assert_true(rounds++ < ROUNDS_MAX);
		apply_orders(f);
		report_success(f);
	}
	return rounds;
}

static void nothing_is_planned_in_an_empty_cluster(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plan(f), 0);
	make_nodes(f, 2);
	assert_int_equal(plan(f), 0);
}

static void a_group_that_shall_be_online_is_started(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	make_group(f, "g", 0, CL_NODE_NONE);
	assert_int_equal(plan(f), 1);
	assert_string_equal(f->orders.item[0].name, "g");
	assert_int_equal(f->orders.item[0].work, DB_WORK_STARTING);
	assert_int_equal(f->orders.item[0].node, 0); /* of equals the lowest slot */
	assert_int_equal(f->orders.item[0].incarnation, INCARNATION(0));
	assert_string_not_equal(f->orders.item[0].reason, "");
}

static void a_group_that_shall_be_offline_is_left_alone(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	DO(f, GROUP_CREATE, group_create, .name = "g");
	assert_int_equal(plan(f), 0);
}

static void planning_again_on_its_own_orders_gives_nothing(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	make_group(f, "g", 0, CL_NODE_NONE);
	make_group(f, "h", 0, CL_NODE_NONE);
	assert_int_equal(plan(f), 2);
	apply_orders(f);
	assert_int_equal(plan(f), 0);
	report_success(f);
	assert_int_equal(plan(f), 0);
	DO(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_OFFLINE,
	   .wish = CL_NODE_NONE);
	assert_int_equal(plan(f), 1);
	apply_orders(f);
	assert_int_equal(plan(f), 0);
	report_success(f);
	assert_int_equal(plan(f), 0);
}

static void groups_spread_over_the_least_loaded_nodes(void **state)
{
	struct fixture *f = *state;
	int on[3] = {0};

	make_nodes(f, 3);
	for (char c = 'a'; c < 'g'; c++)
		make_group(f, (char[]){c, 0}, 0, CL_NODE_NONE);
	assert_int_equal(plan(f), 6);
	for (size_t i = 0; i < 6; i++)
		on[f->orders.item[i].node]++;
	assert_int_equal(on[0], 2);
	assert_int_equal(on[1], 2);
	assert_int_equal(on[2], 2);
}

static void a_running_group_counts_as_load(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	make_group(f, "z", 0x1, CL_NODE_NONE);
	come_to_rest(f);
	make_group(f, "a", 0, CL_NODE_NONE);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].node, 1);
}

static void a_wish_goes_before_load(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 3);
	make_group(f, "a", 0, 2);
	come_to_rest(f);
	make_group(f, "b", 0, 2);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].node, 2);
}

static void a_wish_that_cannot_be_had_any_more_is_passed_over(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 3);
	make_group(f, "a", 0, 2);
	DO(f, NODE_PAUSE, node_pause, .name = "n2", .pause = true);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].node, 0);
}

static void a_wish_moves_a_running_group(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	make_group(f, "a", 0, 0);
	come_to_rest(f);
	DO(f, GROUP_INTENT, group_intent, .name = "a", .intent = DB_INTENT_ONLINE, .wish = 1);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STOPPING);
	assert_int_equal(f->orders.item[0].node, 0);
	come_to_rest(f);
	assert_int_equal(group(f, "a")->work, DB_WORK_ONLINE);
	assert_int_equal(group(f, "a")->node, 1);
}

static void nodes_that_may_not_run_it_are_no_candidates(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 6);
	make_group(f, "g", 0x1f, CL_NODE_NONE);
	DO(f, NODE_PAUSE, node_pause, .name = "n0", .pause = true);
	DO(f, NODE_LEAVE, node_leave, .name = "n1", .incarnation = INCARNATION(1));
	DO(f, NODE_LOST, node_lost, .name = "n2", .incarnation = INCARNATION(2));
	DO(f, NODE_LOST, node_lost, .name = "n3", .incarnation = INCARNATION(3));
	DO(f, NODE_FENCED, node_fenced, .name = "n3", .incarnation = INCARNATION(3));
	assert_int_equal(plan_candidates(&f->db, group(f, "g")), 0x10);
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].node, 4);
	DO(f, NODE_LEAVE, node_leave, .name = "n4", .incarnation = INCARNATION(4), .is_done = true);
	assert_int_equal(plan_candidates(&f->db, group(f, "g")), 0);
	assert_int_equal(plan(f), 0);
}

static void a_failed_start_is_tried_on_each_other_node_once(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 3);
	make_group(f, "g", 0, CL_NODE_NONE);
	for (uint8_t i = 0; i < 3; i++) {
		assert_int_equal(plan(f), 1);
		assert_int_equal(f->orders.item[0].node, i);
		apply_orders(f);
		assert_int_equal(report(f, "g", DB_WORK_FAILED), DB_OK);
	}
	assert_int_equal(plan(f), 0);
}

static void a_failed_start_gives_up_the_wish(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	make_group(f, "g", 0, 1);
	plan(f);
	apply_orders(f);
	assert_int_equal(report(f, "g", DB_WORK_FAILED), DB_OK);
	assert_int_equal(come_to_rest(f), 1);
	assert_int_equal(group(f, "g")->node, 0);
}

static void a_paused_node_keeps_what_runs_there(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	make_group(f, "g", 0, CL_NODE_NONE);
	come_to_rest(f);
	DO(f, NODE_PAUSE, node_pause, .name = "n0", .pause = true);
	assert_int_equal(plan(f), 0);
}

static void a_drained_node_is_emptied(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	make_group(f, "g", 0, CL_NODE_NONE);
	come_to_rest(f);
	DO(f, NODE_PAUSE, node_pause, .name = "n0", .pause = true, .drain = true);
	come_to_rest(f);
	assert_int_equal(group(f, "g")->work, DB_WORK_ONLINE);
	assert_int_equal(group(f, "g")->node, 1);
}

static void a_drained_node_keeps_what_no_other_can_run(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	make_group(f, "g", 0x1, CL_NODE_NONE);
	come_to_rest(f);
	DO(f, NODE_PAUSE, node_pause, .name = "n0", .pause = true, .drain = true);
	assert_int_equal(plan(f), 0);
	assert_int_equal(group(f, "g")->work, DB_WORK_ONLINE);
}

static void a_leaving_node_is_emptied_even_if_no_other_can_run_it(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	make_group(f, "g", 0x1, CL_NODE_NONE);
	come_to_rest(f);
	DO(f, NODE_LEAVE, node_leave, .name = "n0", .incarnation = INCARNATION(0));
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STOPPING);
	come_to_rest(f);
	assert_int_equal(group(f, "g")->work, DB_WORK_OFFLINE);
}

static void a_group_of_a_lost_node_waits_for_the_fence(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	make_group(f, "g", 0, CL_NODE_NONE);
	come_to_rest(f);
	DO(f, NODE_LOST, node_lost, .name = "n0", .incarnation = INCARNATION(0));
	assert_int_equal(plan(f), 0);
	DO(f, NODE_FENCED, node_fenced, .name = "n0", .incarnation = INCARNATION(0));
	assert_int_equal(plan(f), 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STARTING);
	assert_int_equal(f->orders.item[0].node, 1);
}

static void a_group_that_failed_to_stop_is_left_alone(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	make_group(f, "g", 0, CL_NODE_NONE);
	come_to_rest(f);
	DO(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_OFFLINE,
	   .wish = CL_NODE_NONE);
	plan(f);
	apply_orders(f);
	assert_int_equal(report(f, "g", DB_WORK_FAILED), DB_OK);
	assert_int_equal(plan(f), 0);
}

static void allow_any_number_of_starts(struct fixture *f)
{
	DO(f, SETTING_SET, setting_set, .key = "placement.starts_per_node", .value = "4096");
}

static void more_orders_than_fit_come_in_the_next_run(void **state)
{
	struct fixture *f = *state;

	make_nodes(f, 2);
	allow_any_number_of_starts(f);
	for (unsigned int i = 0; i < 90; i++) {
		char name[8];

		snprintf(name, sizeof(name), "g%02u", i);
		make_group(f, name, 0, CL_NODE_NONE);
	}
	assert_int_equal(plan(f), PLAN_MAX_ORDERS);
	apply_orders(f);
	assert_int_equal(plan(f), 90 - PLAN_MAX_ORDERS);
	come_to_rest(f);
	for (uint32_t i = 0; i < 90; i++)
		assert_int_equal(((struct db_group *)db_at(&f->db, DB_KIND_GROUP, i))->work,
				 DB_WORK_ONLINE);
}

/* ---- random states */

static void make_random_nodes(struct fixture *f, struct prng *p, uint8_t n)
{
	for (uint8_t i = 0; i < n; i++) {
		struct db_node *row = node(f, i);

		row->is_paused = prng_chance(p, 1, 4);
		row->is_draining = row->is_paused && prng_chance(p, 1, 2);
		row->is_leaving = prng_chance(p, 1, 10);
		if (prng_chance(p, 1, 6)) {
			struct db_command c = {.type = DB_CMD_NODE_LOST,
					       .node_lost = {.incarnation = INCARNATION(i)}};

			memcpy(c.node_lost.name, row->name, CL_NAME_MAX);
			assert_int_equal(apply(f, &c), DB_OK);
			c = (struct db_command){.type = DB_CMD_NODE_FENCED,
						.node_fenced = {.incarnation = INCARNATION(i)}};
			memcpy(c.node_fenced.name, row->name, CL_NAME_MAX);
			if (prng_chance(p, 1, 2))
				assert_int_equal(apply(f, &c), DB_OK);
		}
	}
}

/* Some groups on some nodes, in the middle of things; then nodes pause, drain, leave and die. */
static void make_random_state(struct fixture *f, struct prng *p)
{
	uint8_t n = (uint8_t)prng_range(p, 1, 6), groups = (uint8_t)prng_below(p, 20);

	make_nodes(f, n);
	for (unsigned int i = 0; i < groups; i++) {
		char name[8];

		snprintf(name, sizeof(name), "g%02u", i);
		make_group(f, name, (uint16_t)prng_below(p, 64), CL_NODE_NONE);
		group(f, name)->refused = (uint16_t)(prng_next(p) & prng_next(p) & 0x3f);
	}
	if (plan(f))
		apply_orders(f);
	for (uint32_t i = 0; i < groups; i++) {
		struct db_group *g = db_at(&f->db, DB_KIND_GROUP, i);

		if (g->work == DB_WORK_STARTING && prng_chance(p, 2, 3))
			assert_int_equal(
				report(f, g->name,
				       prng_chance(p, 3, 4) ? DB_WORK_ONLINE : DB_WORK_FAILED),
				DB_OK);
		if (prng_chance(p, 1, 3))
			g->wish = (uint8_t)prng_below(p, 8);
		if (prng_chance(p, 1, 5))
			g->intent = DB_INTENT_OFFLINE;
	}
	make_random_nodes(f, p, n);
}

static void check_orders(struct fixture *f)
{
	for (size_t i = 0; i < f->orders.count; i++) {
		const struct db_cmd_group_order *o = &f->orders.item[i];
		const struct db_group *g = group(f, o->name);
		const struct db_node *n = node(f, o->node);

		assert_int_equal(o->previous, g->order);
		assert_int_equal(o->incarnation, n->incarnation);
		assert_int_equal(n->membership, DB_MEMBERSHIP_ADMITTED);
		assert_string_not_equal(o->reason, "");
		if (o->work == DB_WORK_STOPPING) {
			assert_int_equal(g->work, DB_WORK_ONLINE);
			assert_int_equal(o->node, g->node);
			continue;
		}
		assert_int_equal(o->work, DB_WORK_STARTING);
		assert_int_equal(g->work, DB_WORK_OFFLINE);
		assert_int_equal(g->intent, DB_INTENT_ONLINE);
		assert_false(n->is_paused || n->is_draining || n->is_leaving);
		assert_true(g->possible & cl_bit(o->node));
		assert_false(g->refused & cl_bit(o->node));
	}
}

static void no_order_breaks_a_rule_in_any_state(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 11);
	for (int n = 0; n < 1000; n++) {
		struct fixture *f = fixture_new();

		make_random_state(f, &p);
		for (int round = 0; plan(f); round++) {
			assert_true(round < ROUNDS_MAX);
			check_orders(f);
			apply_orders(f);
			assert_int_equal(plan(f), 0); /* idempotent */
			report_success(f);
		}
		fixture_free(f);
	}
}

static void every_state_comes_to_rest_with_all_online_that_can_be(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 12);
	for (int n = 0; n < 1000; n++) {
		struct fixture *f = fixture_new();

		make_random_state(f, &p);
		report_success(f);
		come_to_rest(f);
		for (uint32_t i = 0; i < db_count(&f->db, DB_KIND_GROUP); i++) {
			const struct db_group *g = db_at(&f->db, DB_KIND_GROUP, i);

			if (g->work == DB_WORK_UNKNOWN)
				continue;
			if (g->intent == DB_INTENT_OFFLINE)
				assert_int_equal(g->work, DB_WORK_OFFLINE);
			else if (plan_candidates(&f->db, g))
				assert_int_equal(g->work, DB_WORK_ONLINE);
		}
		assert_null(db_check(&f->db));
		fixture_free(f);
	}
}

static void the_names_of_groups_do_not_change_how_they_spread(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 13);
	for (int n = 0; n < 200; n++) {
		struct fixture *a = fixture_new(), *b = fixture_new();
		uint8_t nodes = (uint8_t)prng_range(&p, 1, 6);
		unsigned int groups = (unsigned int)prng_range(&p, 1, 30);
		int on_a[CL_MAX_NODES] = {0}, on_b[CL_MAX_NODES] = {0};

		make_nodes(a, nodes);
		make_nodes(b, nodes);
		allow_any_number_of_starts(a);
		allow_any_number_of_starts(b);
		for (unsigned int i = 0; i < groups; i++) {
			char name[16];

			snprintf(name, sizeof(name), "g%02u", i);
			make_group(a, name, 0, CL_NODE_NONE);
			snprintf(name, sizeof(name), "%02u-renamed", groups - i);
			make_group(b, name, 0, CL_NODE_NONE);
		}
		assert_int_equal(plan(a), groups);
		assert_int_equal(plan(b), groups);
		for (unsigned int i = 0; i < groups; i++) {
			on_a[a->orders.item[i].node]++;
			on_b[b->orders.item[i].node]++;
		}
		assert_memory_equal(on_a, on_b, sizeof(on_a));
		fixture_free(a);
		fixture_free(b);
	}
}

static void planning_changes_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t before;
	char text[256];

	make_nodes(f, 3);
	make_group(f, "g", 0, 1);
	before = db_hash(&f->db);
	plan(f);
	plan_explain(&f->db, group(f, "g"), text, sizeof(text));
	assert_int_equal(db_hash(&f->db), before);
}

/* ---- explanations */

static const char *explain(struct fixture *f, const char *name, char *text, size_t size)
{
	text[0] = 0;
	plan_explain(&f->db, group(f, name), text, size);
	return text;
}

static void it_says_that_no_node_can_run_the_group(void **state)
{
	struct fixture *f = *state;
	char text[256];

	make_nodes(f, 1);
	make_group(f, "g", 0x2, CL_NODE_NONE);
	assert_non_null(strstr(explain(f, "g", text, sizeof(text)),
			       "no node is up, not paused and a possible owner"));
}

static void it_says_that_the_start_failed_everywhere(void **state)
{
	struct fixture *f = *state;
	char text[256];

	make_nodes(f, 1);
	make_group(f, "g", 0, CL_NODE_NONE);
	plan(f);
	apply_orders(f);
	assert_int_equal(report(f, "g", DB_WORK_FAILED), DB_OK);
	assert_non_null(
		strstr(explain(f, "g", text, sizeof(text)), "it failed on every node that could"));
}

static void it_says_which_fence_a_group_waits_for(void **state)
{
	struct fixture *f = *state;
	char text[256];

	make_nodes(f, 2);
	make_group(f, "g", 0, CL_NODE_NONE);
	come_to_rest(f);
	DO(f, NODE_LOST, node_lost, .name = "n0", .incarnation = INCARNATION(0));
	assert_non_null(
		strstr(explain(f, "g", text, sizeof(text)), "blocked: waiting to fence n0"));
}

static void it_says_where_a_stop_failed_and_why(void **state)
{
	struct fixture *f = *state;
	char text[256];

	make_nodes(f, 2);
	make_group(f, "g", 0, CL_NODE_NONE);
	come_to_rest(f);
	DO(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_OFFLINE,
	   .wish = CL_NODE_NONE);
	plan(f);
	apply_orders(f);
	DO(f, GROUP_REPORT, group_report, .name = "g", .order = group(f, "g")->order,
	   .work = DB_WORK_FAILED, .reason = "umount: busy");
	assert_string_equal(explain(f, "g", text, sizeof(text)), "failed on n0: umount: busy");
}

static void an_explanation_stays_within_its_space(void **state)
{
	struct fixture *f = *state;
	char text[16] = {0};

	make_nodes(f, 1);
	make_group(f, "g", 0x2, CL_NODE_NONE);
	text[8] = 'x';
	explain(f, "g", text, 8);
	assert_int_equal(strlen(text), 7);
	assert_int_equal(text[8], 'x');
}

static void it_says_why_a_group_runs_where_it_does(void **state)
{
	struct fixture *f = *state;
	char text[256];

	make_nodes(f, 1);
	DO(f, GROUP_CREATE, group_create, .name = "h");
	assert_string_equal(explain(f, "h", text, sizeof(text)), "as asked");
	make_group(f, "g", 0, 0);
	plan(f);
	apply_orders(f);
	assert_string_equal(explain(f, "g", text, sizeof(text)), "asked for on this node");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(nothing_is_planned_in_an_empty_cluster),
		TEST(a_group_that_shall_be_online_is_started),
		TEST(a_group_that_shall_be_offline_is_left_alone),
		TEST(planning_again_on_its_own_orders_gives_nothing),
		TEST(groups_spread_over_the_least_loaded_nodes),
		TEST(a_running_group_counts_as_load),
		TEST(a_wish_goes_before_load),
		TEST(a_wish_that_cannot_be_had_any_more_is_passed_over),
		TEST(a_wish_moves_a_running_group),
		TEST(nodes_that_may_not_run_it_are_no_candidates),
		TEST(a_failed_start_is_tried_on_each_other_node_once),
		TEST(a_failed_start_gives_up_the_wish),
		TEST(a_paused_node_keeps_what_runs_there),
		TEST(a_drained_node_is_emptied),
		TEST(a_drained_node_keeps_what_no_other_can_run),
		TEST(a_leaving_node_is_emptied_even_if_no_other_can_run_it),
		TEST(a_group_of_a_lost_node_waits_for_the_fence),
		TEST(a_group_that_failed_to_stop_is_left_alone),
		TEST(more_orders_than_fit_come_in_the_next_run),
		TEST(no_order_breaks_a_rule_in_any_state),
		TEST(every_state_comes_to_rest_with_all_online_that_can_be),
		TEST(the_names_of_groups_do_not_change_how_they_spread),
		TEST(planning_changes_nothing),
		TEST(it_says_that_no_node_can_run_the_group),
		TEST(it_says_that_the_start_failed_everywhere),
		TEST(it_says_which_fence_a_group_waits_for),
		TEST(it_says_where_a_stop_failed_and_why),
		TEST(an_explanation_stays_within_its_space),
		TEST(it_says_why_a_group_runs_where_it_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
