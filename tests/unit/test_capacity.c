/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Room and reservations: what a definition asks for, what counts where, and admission at full size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/admission.h"
#include "clusterd/core/capacity.h"
#include "clusterd/core/config.h"
#include "clusterd/core/setting.h"
#include "tests/unit/db_fixture.h"

#define NODES  CL_MAX_NODES
#define GROUPS 4096
#define UUID   "aaaaaaaa-0000-4000-8000-000000000001"

static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = NODES,
			[DB_KIND_GROUP] = GROUPS,
			[DB_KIND_RESOURCE] = 4,
			[DB_KIND_PARAM] = 4,
			[DB_KIND_VM] = 4,
			[DB_KIND_MIGRATION] = 4,
			[DB_KIND_SETTING] = 8,
			[DB_KIND_TASK] = 4,
			[DB_KIND_EVENT] = 4,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
		},
	.locks = {.max_sessions = 20, .max_resources = 8, .max_locks = 8, .max_queued = 4},
};

static int setup(void **state)
{
	return fixture_setup(state, &limits);
}

#define DO(f, NAME, name, ...)                                                                     \
	fixture_apply((f), &(struct db_command){.type = DB_CMD_##NAME, .name = {__VA_ARGS__}})

static void make_node(struct fixture *f, uint8_t slot, uint32_t memory_mib)
{
	struct db_cmd_node_admit *c;
	struct db_command cmd = {.type = DB_CMD_NODE_ADMIT};

	c = &cmd.node_admit;
	snprintf(c->name, sizeof(c->name), "n%02u", slot);
	snprintf(c->boot, sizeof(c->boot), "boot-%u", slot);
	c->slot = slot;
	c->nodeid = slot + 1u;
	c->incarnation = 0x100u + slot;
	c->instance = 1;
	assert_int_equal(fixture_apply(f, &cmd), DB_OK);
	cmd = (struct db_command){.type = DB_CMD_NODE_SET,
				  .node_set = {.memory_mib = memory_mib, .cpu_pct = DB_KEEP}};
	snprintf(cmd.node_set.name, CL_NAME_MAX, "n%02u", slot);
	assert_int_equal(fixture_apply(f, &cmd), DB_OK);
}

/* Online there, without the locks: what is asked here does not look at them. */
static struct db_group *make_group(struct fixture *f, unsigned int i, uint8_t slot,
				   uint32_t memory_mib)
{
	char name[CL_NAME_MAX];
	struct db_group *g;

	snprintf(name, sizeof(name), "g%04u", i);
	g = db_insert(&f->db, DB_KIND_GROUP, name);
	assert_non_null(g);
	g->possible = UINT16_MAX;
	g->intent = DB_INTENT_ONLINE;
	g->work = DB_WORK_ONLINE;
	g->node = slot;
	g->goal = g->wish = CL_NODE_NONE;
	g->priority = 100;
	g->memory_mib = memory_mib;
	return g;
}

/* ---- definitions */

static void a_definition_says_how_much_memory(void **state)
{
	static const struct {
		const char *text;
		uint32_t mib;
	} cases[] = {
		{"{\"name\":\"w\",\"memory\":2048,\"vcpus\":2}", 2048},
		{"{ \"memory\" : 96 }", 96},
		{"{\"disks\":[{\"memory\":7}],\"memory\":512}", 512},
		{"{\"name\":\"\\\"memory\\\":9\",\"memory\":1}", 1},
		{"{\"x\":\"memory\",\"memory\":3}", 3},
		{"{\"x\":\"\\\\\",\"memory\":4}", 4},
		{"{\"memory\":4294967296}", 0},
		{"{\"memory\":\"512\"}", 0},
		{"{\"name\":\"memory\"}", 0},
		{"{\"disks\":{\"memory\":7}}", 0},
		{"{}", 0},
		{"", 0},
		{"{\"memory", 0},
		{"{\"memory\\", 0},
		{"{\"memory\":", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(capacity_of_definition(cases[i].text), cases[i].mib);
}

static void a_machine_reserves_what_its_definition_says_and_an_overhead(void **state)
{
	struct fixture *f = *state;
	struct capacity_map map;
	struct db_group *g;

	assert_int_equal(DO(f, VM_CREATE, vm_create, .name = "w", .uuid = UUID,
			    .definition = "{\"memory\":2048}", .priority = 100),
			 DB_OK);
	g = db_find(&f->db, DB_KIND_GROUP, "w");
	assert_int_equal(g->guest_mib, 2048);
	capacity_count(&f->db, &map);
	assert_int_equal(capacity_of_group(&map, g).memory_mib, 2048 + 128);
	/* Another definition, another number; what somebody sets goes before both. */
	assert_int_equal(DO(f, CONFIG_SET, config_set, .kind = "vm", .name = "w",
			    .field = "definition", .value = "{\"memory\":1024}"),
			 DB_OK);
	assert_int_equal(g->guest_mib, 1024);
	assert_int_equal(
		DO(f, GROUP_RESERVE, group_reserve, .name = "w", .memory_mib = 512, .cpu_pct = 150),
		DB_OK);
	assert_int_equal(capacity_of_group(&map, g).memory_mib, 512);
	assert_int_equal(capacity_of_group(&map, g).cpu_pct, 150);
}

/* ---- nodes */

static void a_node_has_what_it_says_less_what_is_for_the_host(void **state)
{
	struct fixture *f = *state;
	const struct db_node *n;

	make_node(f, 0, 0);
	n = db_node_by_slot(&f->db, 0);
	assert_true(capacity_of_node(&f->db, n).memory_mib == CAPACITY_UNKNOWN);
	assert_true(capacity_of_node(&f->db, n).cpu_pct == CAPACITY_UNKNOWN);
	assert_int_equal(DO(f, NODE_CAPACITY, node_capacity, .name = "n00", .incarnation = 0x100,
			    .memory_mib = 8192, .cores = 4),
			 DB_OK);
	assert_int_equal(capacity_of_node(&f->db, n).memory_mib, 8192 - 1024);
	assert_int_equal(capacity_of_node(&f->db, n).cpu_pct, 400);
	assert_int_equal(
		DO(f, SETTING_SET, setting_set, .key = "placement.reserve_mib", .value = "9000"),
		DB_OK);
	assert_int_equal(DO(f, SETTING_SET, setting_set, .key = "placement.cpu_overcommit_pct",
			    .value = "250"),
			 DB_OK);
	assert_int_equal(capacity_of_node(&f->db, n).memory_mib, 0);
	assert_int_equal(capacity_of_node(&f->db, n).cpu_pct, 1000);
	assert_int_equal(DO(f, NODE_SET, node_set, .name = "n00", .memory_mib = 100, .cpu_pct = 50),
			 DB_OK);
	assert_int_equal(capacity_of_node(&f->db, n).memory_mib, 100);
	assert_int_equal(capacity_of_node(&f->db, n).cpu_pct, 50);
	assert_int_equal(DO(f, NODE_CAPACITY, node_capacity, .name = "n00", .incarnation = 0x99,
			    .memory_mib = 1),
			 DB_NO_SUCH);
}

static void numbers_beyond_all_measure_are_refused(void **state)
{
	struct fixture *f = *state;

	make_node(f, 0, 0);
	make_group(f, 0, 0, 0);
	assert_int_equal(DO(f, NODE_SET, node_set, .name = "n00",
			    .memory_mib = CAPACITY_MEMORY_MAX + 1, .cpu_pct = DB_KEEP),
			 DB_INVALID);
	assert_int_equal(DO(f, GROUP_RESERVE, group_reserve, .name = "g0000", .memory_mib = DB_KEEP,
			    .cpu_pct = CAPACITY_CPU_MAX + 1),
			 DB_INVALID);
	assert_int_equal(
		DO(f, GROUP_RESERVE, group_reserve, .name = "none", .memory_mib = 1, .cpu_pct = 1),
		DB_NO_SUCH);
	assert_int_equal(DO(f, NODE_SET, node_set, .name = "none", .memory_mib = 1), DB_NO_SUCH);
}

/* ---- the document */

static void the_document_carries_reservations_and_capacities(void **state)
{
	static const char *const fields[][3] = {{"group", "g0000", "memory_mib"},
						{"group", "g0000", "cpu_pct"},
						{"node", "n00", "set_memory_mib"},
						{"node", "n00", "set_cpu_pct"}};
	struct fixture *f = *state;
	enum config_when when;

	make_node(f, 0, 0);
	make_group(f, 0, 0, 0);
	for (size_t i = 0; i < 4; i++) {
		const struct config_kind *k = config_kind_find(fields[i][0]);
		struct db_command cmd = {.type = DB_CMD_CONFIG_SET,
					 .config_set = {.value = "1234"}};
		const struct db_field *field = config_field(k, fields[i][2], &when);
		char text[32];

		assert_non_null(field);
		assert_int_equal(when, CONFIG_ALWAYS);
		snprintf(cmd.config_set.kind, DB_VERB_MAX, "%s", fields[i][0]);
		snprintf(cmd.config_set.name, DB_KEY_MAX, "%s", fields[i][1]);
		snprintf(cmd.config_set.field, DB_FIELD_MAX, "%s", fields[i][2]);
		assert_int_equal(fixture_apply(f, &cmd), DB_OK);
		config_text(&f->db, field, db_find(&f->db, k->kind, fields[i][1]), text,
			    sizeof(text));
		assert_string_equal(text, "1234");
		snprintf(cmd.config_set.value, DB_PARAMS_MAX, "99999999999");
		assert_int_equal(fixture_apply(f, &cmd), DB_INVALID);
	}
}

/* ---- admission */

static void the_text_of_a_document_does_not_get_around_admission(void **state)
{
	struct fixture *f = *state;

	for (uint8_t slot = 0; slot < 2; slot++) {
		make_node(f, slot, 4096);
		make_group(f, slot, slot, 2048);
	}
	assert_int_equal(DO(f, SETTING_SET, setting_set, .key = "placement.survive", .value = "1"),
			 DB_OK);
	assert_int_equal(DO(f, CONFIG_SET, config_set, .kind = "group", .name = "g0001",
			    .field = "memory_mib", .value = "2049"),
			 DB_REFUSED);
	assert_non_null(strstr(f->result.text, "if n00 is lost, 'g0000' has no room"));
}

static void make_full_cluster(struct fixture *f, uint32_t node_mib)
{
	for (uint8_t slot = 0; slot < NODES; slot++)
		make_node(f, slot, node_mib);
	for (unsigned int i = 0; i < GROUPS; i++)
		make_group(f, i, (uint8_t)(i % NODES), 512 + i % 7 * 256);
}

/* 16 nodes, 4,096 groups, each three nodes lost in turn. */
static void the_largest_cluster_is_looked_through(void **state)
{
	struct fixture *f = *state;
	struct admission a;

	make_full_cluster(f, 450000);
	admission_check(&f->db, ADMISSION_SURVIVE_MAX, &a);
	assert_true(a.is_survived);
	admission_check(&f->db, 0, &a);
	assert_true(a.is_survived);
}

static void a_loss_that_leaves_no_room_is_named(void **state)
{
	struct fixture *f = *state;
	struct admission a;

	make_full_cluster(f, 340000);
	admission_check(&f->db, 1, &a);
	assert_false(a.is_survived);
	assert_int_equal(a.nodes, 1);
	assert_non_null(strstr(a.text, "if n00 is lost, 'g"));
	assert_non_null(strstr(a.text, "MiB asked, "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
		TEST(a_definition_says_how_much_memory),
		TEST(a_machine_reserves_what_its_definition_says_and_an_overhead),
		TEST(a_node_has_what_it_says_less_what_is_for_the_host),
		TEST(numbers_beyond_all_measure_are_refused),
		TEST(the_document_carries_reservations_and_capacities),
		TEST(the_text_of_a_document_does_not_get_around_admission),
		TEST(the_largest_cluster_is_looked_through),
		TEST(a_loss_that_leaves_no_room_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
