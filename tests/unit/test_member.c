/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes that are added and evicted: the database, and what the sequencer does next. */
#include "tests/unit/volume_fixture.h"

#include "clusterd/core/member.h"

/* The member table as the nodes of the fixture are in it. */
static struct cl_table table_of_three(void)
{
	struct cl_table t = {.changed_at = 1};

	for (uint8_t i = 0; i < NODES; i++) {
		t.member[i].nodeid = 100u + i;
		t.member[i].vote = 1;
		snprintf(t.member[i].name, CL_NAME_MAX, "n%u", i);
	}
	return t;
}

static struct corosync_nodes conf_of_three(void)
{
	struct corosync_nodes c = {.count = NODES};

	for (uint8_t i = 0; i < NODES; i++) {
		c.node[i].nodeid = 100u + i;
		snprintf(c.node[i].name, CL_NAME_MAX, "n%u", i);
		snprintf(c.node[i].address[0], COROSYNC_ADDRESS_MAX, "10.0.0.%u", i);
		snprintf(c.node[i].address[1], COROSYNC_ADDRESS_MAX, "10.0.1.%u", i);
	}
	return c;
}

static struct member_step next(struct fixture *f, const struct cl_table *t,
			       const struct corosync_nodes *local)
{
	struct member_step s;

	member_next(&f->db, t, local, &s);
	return s;
}

static enum db_code do_address(struct fixture *f, const struct member_step *s)
{
	return apply(f,
		     (struct db_command){.type = DB_CMD_NODE_ADDRESS, .node_address = s->address});
}

/* A cluster whose three nodes' addresses are known. */
static void know_all(struct fixture *f)
{
	struct cl_table t = table_of_three();
	struct corosync_nodes local = conf_of_three();
	struct member_step s;

	DONE(f, CLUSTER_INIT, cluster_init, .name = "bank", .uuid = UUID);
	for (s = next(f, &t, &local); s.kind == MEMBER_ADDRESS; s = next(f, &t, &local))
		assert_int_equal(do_address(f, &s), DB_OK);
	assert_int_equal(s.kind, MEMBER_NOTHING);
	for (uint8_t i = 0; i < NODES; i++)
		assert_string_not_equal(node(f, i)->address0, "");
}

static uint64_t conf(struct fixture *f)
{
	return ((struct db_cluster *)db_at(&f->db, DB_KIND_CLUSTER, 0))->conf;
}

#define ADD(f, ...) DO(f, NODE_ADD, node_add, __VA_ARGS__)
#define GOOD	    .name = "n9", .address0 = "10.0.0.9", .address1 = "10.0.1.9"

static void leave_node(struct fixture *f, const char *name)
{
	struct db_node *n = db_find(&f->db, DB_KIND_NODE, name);
	struct db_command c = {.type = DB_CMD_NODE_LEAVE,
			       .node_leave = {.incarnation = n->incarnation, .is_done = true}};

	memcpy(c.node_leave.name, n->name, CL_NAME_MAX);
	assert_int_equal(apply(f, c), DB_OK);
}

static enum db_code report_conf(struct fixture *f, uint8_t slot, uint64_t written, uint64_t running)
{
	struct db_command c = {.type = DB_CMD_NODE_CONF,
			       .node_conf = {.incarnation = node(f, slot)->incarnation,
					     .written = written,
					     .running = running}};

	memcpy(c.node_conf.name, node(f, slot)->name, CL_NAME_MAX);
	return apply(f, c);
}

/* ---- members that the database does not know */

static void a_member_that_never_ran_gets_a_row(void **state)
{
	struct fixture *f = *state;
	struct cl_table t = table_of_three();
	struct member_step s;

	DONE(f, CLUSTER_INIT, cluster_init, .name = "bank", .uuid = UUID);
	t.member[7] = (struct cl_member){.nodeid = 107, .vote = 1, .name = "n7"};
	s = next(f, &t, NULL);
	assert_int_equal(s.kind, MEMBER_ADDRESS);
	assert_string_equal(s.address.name, "n7");
	assert_int_equal(do_address(f, &s), DB_OK);
	assert_int_equal(node(f, 7)->membership, DB_MEMBERSHIP_NEVER);
	assert_int_equal(next(f, &t, NULL).kind, MEMBER_NOTHING);
}

static void a_slot_of_another_is_not_given_away(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_CONFLICT, NODE_ADDRESS, node_address, .name = "x", .slot = 1, .nodeid = 5);
	REFUSED(f, DB_CONFLICT, NODE_ADDRESS, node_address, .name = "n1", .slot = 2, .nodeid = 101);
	REFUSED(f, DB_CONFLICT, NODE_ADDRESS, node_address, .name = "n1", .slot = 1, .nodeid = 9);
	REFUSED(f, DB_CONFLICT, NODE_ADDRESS, node_address, .name = "x", .slot = 16, .nodeid = 9);
	REFUSED(f, DB_INVALID, NODE_ADDRESS, node_address, .name = "n1", .slot = 1, .nodeid = 101,
		.address0 = "a b");
}

static void addresses_once_known_stay(void **state)
{
	struct fixture *f = *state;

	know_all(f);
	DONE(f, NODE_ADDRESS, node_address, .name = "n1", .slot = 1, .nodeid = 101,
	     .address0 = "10.9.9.9");
	assert_string_equal(node(f, 1)->address0, "10.0.0.1");
}

/* ---- add */

static void an_added_node_gets_the_free_slot_and_no_vote(void **state)
{
	struct fixture *f = *state;
	struct cl_table t = table_of_three();
	struct member_step s;

	know_all(f);
	assert_int_equal(ADD(f, GOOD), DB_OK);
	assert_int_equal(node(f, 3)->nodeid, 1);
	assert_int_equal(node(f, 3)->membership, DB_MEMBERSHIP_NEVER);
	assert_int_equal(conf(f), f->db.index);
	s = next(f, &t, NULL);
	assert_int_equal(s.kind, MEMBER_TABLE);
	assert_int_equal(s.slot, 3);
	assert_int_equal(s.row.nodeid, 1);
	assert_int_equal(s.row.vote, 0);
	assert_string_equal(s.row.name, "n9");
	t.member[3] = s.row;
	assert_int_not_equal(next(f, &t, NULL).kind, MEMBER_TABLE);
}

static void what_cannot_be_added_is_refused_with_the_reason(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_INVALID, NODE_ADD, node_add, GOOD); /* no cluster */
	DONE(f, CLUSTER_INIT, cluster_init, .name = "bank", .uuid = UUID);
	REFUSED(f, DB_REFUSED, NODE_ADD, node_add, GOOD); /* addresses are not known */
	assert_non_null(strstr(f->result.text, "n0"));
}

static void what_is_in_the_way_is_named(void **state)
{
	struct fixture *f = *state;

	know_all(f);
	REFUSED(f, DB_CONFLICT, NODE_ADD, node_add, .name = "n1", .address0 = "a", .address1 = "b");
	REFUSED(f, DB_CONFLICT, NODE_ADD, node_add, GOOD, .nodeid = 102);
	assert_non_null(strstr(f->result.text, "n2"));
	REFUSED(f, DB_CONFLICT, NODE_ADD, node_add, .name = "n9", .address0 = "10.0.1.2",
		.address1 = "x");
	assert_non_null(strstr(f->result.text, "address of n2"));
	REFUSED(f, DB_INVALID, NODE_ADD, node_add, .name = "n9", .address0 = "10.0.0.9");
	assert_non_null(strstr(f->result.text, "two networks"));
	REFUSED(f, DB_INVALID, NODE_ADD, node_add, .name = "n9", .address0 = "x", .address1 = "x");
	REFUSED(f, DB_INVALID, NODE_ADD, node_add, .name = "n9", .address0 = "a {",
		.address1 = "x");
	REFUSED(f, DB_INVALID, NODE_ADD, node_add, .name = "", .address0 = "a", .address1 = "b");
}

static void a_seventeenth_node_is_refused(void **state)
{
	struct fixture *f = *state;

	know_all(f);
	for (unsigned int i = NODES; i < CL_MAX_NODES; i++) {
		struct db_command c = {.type = DB_CMD_NODE_ADD};

		snprintf(c.node_add.name, CL_NAME_MAX, "n%u", i);
		snprintf(c.node_add.address0, DB_ADDRESS_MAX, "10.0.0.%u", i);
		snprintf(c.node_add.address1, DB_ADDRESS_MAX, "10.0.1.%u", i);
		assert_int_equal(apply(f, c), DB_OK);
	}
	REFUSED(f, DB_REFUSED, NODE_ADD, node_add, .name = "x", .address0 = "a", .address1 = "b");
	assert_non_null(strstr(f->result.text, "16 nodes"));
}

/* ---- corosync.conf */

static void the_file_is_not_ours_before_the_first_change(void **state)
{
	struct fixture *f = *state;
	struct corosync_nodes c;

	know_all(f);
	assert_false(member_conf(&f->db, &c));
	assert_int_equal(ADD(f, GOOD), DB_OK);
	assert_true(member_conf(&f->db, &c));
	assert_int_equal(c.version, conf(f));
	assert_int_equal(c.count, 4);
	assert_string_equal(c.node[0].address[1], "10.0.1.0");
}

static void corosync_reads_it_again_when_all_who_are_here_have_it(void **state)
{
	struct fixture *f = *state;
	struct cl_table t = table_of_three();

	know_all(f);
	assert_int_equal(ADD(f, GOOD), DB_OK);
	t.member[3] = next(f, &t, NULL).row;
	leave_node(f, "n2");
	assert_int_equal(report_conf(f, 0, conf(f), 0), DB_OK);
	assert_int_equal(next(f, &t, NULL).kind, MEMBER_NOTHING);
	assert_int_equal(report_conf(f, 1, conf(f), 0), DB_OK);
	assert_int_equal(next(f, &t, NULL).kind, MEMBER_RELOAD);
	assert_int_equal(report_conf(f, 0, conf(f), conf(f)), DB_OK);
	assert_int_equal(next(f, &t, NULL).kind, MEMBER_RELOAD);
	assert_int_equal(report_conf(f, 1, conf(f), conf(f)), DB_OK);
	assert_int_equal(next(f, &t, NULL).kind, MEMBER_NOTHING);
	admit(f, 2, LATER(2)); /* back with an old file: it gets the new one first */
	assert_int_equal(next(f, &t, NULL).kind, MEMBER_NOTHING);
	assert_int_equal(report_conf(f, 2, conf(f), 1), DB_OK);
	assert_int_equal(next(f, &t, NULL).kind, MEMBER_RELOAD);
}

static void what_an_ended_incarnation_says_of_its_file_counts_for_nothing(void **state)
{
	struct fixture *f = *state;

	know_all(f);
	REFUSED(f, DB_NO_SUCH, NODE_CONF, node_conf, .name = "n1", .incarnation = 5, .written = 9);
}

/* ---- evict */

static void only_what_provably_runs_nothing_is_evicted(void **state)
{
	struct fixture *f = *state;

	know_all(f);
	REFUSED(f, DB_NO_SUCH, NODE_EVICT, node_evict, .name = "n9");
	REFUSED(f, DB_REFUSED, NODE_EVICT, node_evict, .name = "n1");
	assert_non_null(strstr(f->result.text, "stop clusterd"));
	DONE(f, NODE_LOST, node_lost, .name = "n1", .incarnation = INC(1));
	REFUSED(f, DB_REFUSED, NODE_EVICT, node_evict, .name = "n1");
	assert_non_null(strstr(f->result.text, "fence"));
	DONE(f, NODE_FENCING, node_fencing, .name = "n1", .incarnation = INC(1));
	REFUSED(f, DB_REFUSED, NODE_EVICT, node_evict, .name = "n1");
	DONE(f, NODE_FENCED, node_fenced, .name = "n1", .incarnation = INC(1), .how = "off");
	DONE(f, NODE_EVICT, node_evict, .name = "n1");
}

static void an_evicted_node_loses_vote_then_row_then_name(void **state)
{
	struct fixture *f = *state;
	struct cl_table t = table_of_three();
	struct corosync_nodes c;
	struct member_step s;

	know_all(f);
	leave_node(f, "n1");
	DONE(f, NODE_EVICT, node_evict, .name = "n1");
	assert_true(member_conf(&f->db, &c));
	assert_int_equal(c.count, 2);
	s = next(f, &t, NULL);
	assert_int_equal(s.kind, MEMBER_TABLE);
	assert_int_equal(s.row.nodeid, 101);
	assert_int_equal(s.row.vote, 0);
	t.member[1] = s.row;
	s = next(f, &t, NULL);
	assert_int_equal(s.kind, MEMBER_TABLE);
	assert_int_equal(s.slot, 1);
	assert_int_equal(s.row.nodeid, 0);
	t.member[1] = s.row;
	s = next(f, &t, NULL);
	assert_int_equal(s.kind, MEMBER_REMOVED);
	DONE(f, NODE_REMOVED, node_removed, .name = "n1");
	assert_null(db_find(&f->db, DB_KIND_NODE, "n1"));
	assert_int_equal(next(f, &t, NULL).kind, MEMBER_NOTHING);
	assert_int_equal(ADD(f, GOOD), DB_OK);
	assert_string_equal(node(f, 1)->name, "n9");
}

static void an_evicted_node_is_not_admitted_again(void **state)
{
	struct fixture *f = *state;

	know_all(f);
	leave_node(f, "n1");
	DONE(f, NODE_EVICT, node_evict, .name = "n1");
	REFUSED(f, DB_REFUSED, NODE_ADMIT, node_admit, .name = "n1", .slot = 1, .nodeid = 101,
		.incarnation = LATER(1), .instance = 2, .boot = "boot-x");
	REFUSED(f, DB_CONFLICT, NODE_REMOVED, node_removed, .name = "n0");
	REFUSED(f, DB_INVALID, NODE_ADMIT, node_admit, .name = "", .slot = 9, .nodeid = 109,
		.incarnation = 7, .instance = 2, .boot = "boot-y");
}

static void a_slot_is_kept_until_its_mount_is_recovered(void **state)
{
	struct fixture *f = *state;
	struct cl_table t = table_of_three();

	know_all(f);
	DONE(f, MOUNT_SET, mount_set, .volume = "v", .slot = 1, .incarnation = INC(1), .id = ID(1));
	DONE(f, NODE_LOST, node_lost, .name = "n1", .incarnation = INC(1));
	DONE(f, NODE_FENCING, node_fencing, .name = "n1", .incarnation = INC(1));
	DONE(f, NODE_FENCED, node_fenced, .name = "n1", .incarnation = INC(1), .how = "off");
	DONE(f, NODE_EVICT, node_evict, .name = "n1");
	memset(&t.member[1], 0, sizeof(t.member[1]));
	assert_int_equal(next(f, &t, NULL).kind, MEMBER_NOTHING);
	REFUSED(f, DB_REFUSED, NODE_REMOVED, node_removed, .name = "n1");
	assert_non_null(strstr(f->result.text, "recovery"));
}

static void wishes_for_an_evicted_node_are_forgotten(void **state)
{
	struct fixture *f = *state;

	know_all(f);
	DONE(f, FENCE_CREATE, fence_create, .name = "bmc", .agent = "/bin/true", .level = 1,
	     .nodes = 7, .timeout_ms = 1000);
	DONE(f, GROUP_CREATE, group_create, .name = "g");
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE, .wish = 1);
	leave_node(f, "n1");
	DONE(f, NODE_EVICT, node_evict, .name = "n1");
	assert_int_equal(group(f, "g")->wish, CL_NODE_NONE);
	assert_int_equal(((struct db_fence *)db_find(&f->db, DB_KIND_FENCE, "bmc"))->nodes, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_member_that_never_ran_gets_a_row),
		TEST(a_slot_of_another_is_not_given_away),
		TEST(addresses_once_known_stay),
		TEST(an_added_node_gets_the_free_slot_and_no_vote),
		TEST(what_cannot_be_added_is_refused_with_the_reason),
		TEST(what_is_in_the_way_is_named),
		TEST(a_seventeenth_node_is_refused),
		TEST(the_file_is_not_ours_before_the_first_change),
		TEST(corosync_reads_it_again_when_all_who_are_here_have_it),
		TEST(what_an_ended_incarnation_says_of_its_file_counts_for_nothing),
		TEST(only_what_provably_runs_nothing_is_evicted),
		TEST(an_evicted_node_loses_vote_then_row_then_name),
		TEST(an_evicted_node_is_not_admitted_again),
		TEST(a_slot_is_kept_until_its_mount_is_recovered),
		TEST(wishes_for_an_evicted_node_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
