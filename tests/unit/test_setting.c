/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings: keys, values, defaults, and the commands that set them and note votes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/setting.h"
#include "clusterd/core/votes.h"
#include "tests/unit/db_fixture.h"

static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = 2,
			[DB_KIND_EVENT] = 8,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
			[DB_KIND_SETTING] = 2,
		},
	.locks = {.max_sessions = 4, .max_resources = 2, .max_locks = 2, .max_queued = 2},
};

static int setup(void **state)
{
	return fixture_setup(state, &limits);
}

static enum db_code set(struct fixture *f, const char *key, const char *value)
{
	struct db_command cmd = {.type = DB_CMD_SETTING_SET};

	snprintf(cmd.setting_set.key, sizeof(cmd.setting_set.key), "%s", key);
	snprintf(cmd.setting_set.value, sizeof(cmd.setting_set.value), "%s", value);
	return fixture_apply_checked(f, &cmd);
}

static const struct db_event *newest(const struct fixture *f)
{
	assert_true(db_count(&f->db, DB_KIND_EVENT) > 0);
	return db_at(&f->db, DB_KIND_EVENT, db_count(&f->db, DB_KIND_EVENT) - 1);
}

static void keys_name_settings(void **state)
{
	char key[DB_KEY_MAX], small[16];

	(void)state;
	for (int i = 0; i < SETTING_MAX; i++) {
		enum setting s = (enum setting)i;
		bool of_object = setting_shape(s)->type == SETTING_TYPE_of_object;

		assert_true(setting_key(s, of_object ? "n1" : NULL, key, sizeof(key)));
		assert_int_equal(setting_find(key), s);
	}
	assert_int_equal(setting_find("quorum.priority/n1"), SETTING_QUORUM_PRIORITY);
	assert_int_equal(setting_find("quorum.priority"), SETTING_MAX);
	assert_int_equal(setting_find("quorum.priority/"), SETTING_MAX);
	assert_int_equal(setting_find("quorum.dynamic/n1"), SETTING_MAX);
	assert_int_equal(setting_find("quorum.dynamic/"), SETTING_MAX);
	assert_int_equal(setting_find("quorum"), SETTING_MAX);
	assert_int_equal(setting_find(""), SETTING_MAX);
	assert_false(setting_key(SETTING_QUORUM_PRIORITY, "n1", small, sizeof(small)));
}

static void values_are_of_their_type(void **state)
{
	uint64_t v = 77;

	(void)state;
	assert_false(setting_parse(SETTING_QUORUM_DYNAMIC, "1", &v));
	assert_false(setting_parse(SETTING_QUORUM_DYNAMIC, "", &v));
	assert_false(setting_parse(SETTING_QUORUM_ABSENT_MS, "999", &v));
	assert_false(setting_parse(SETTING_QUORUM_ABSENT_MS, "3600001", &v));
	assert_false(setting_parse(SETTING_QUORUM_ABSENT_MS, "5000 ", &v));
	assert_false(setting_parse(SETTING_QUORUM_ABSENT_MS, "-5000", &v));
	assert_false(setting_parse(SETTING_QUORUM_ABSENT_MS, "99999999999999999999", &v));
	assert_int_equal(v, 77);
	assert_true(setting_parse(SETTING_QUORUM_DYNAMIC, "off", &v));
	assert_int_equal(v, 0);
	assert_true(setting_parse(SETTING_QUORUM_DYNAMIC, "on", &v));
	assert_int_equal(v, 1);
	assert_true(setting_parse(SETTING_QUORUM_ABSENT_MS, "3600000", &v));
	assert_int_equal(v, 3600000);
	assert_true(setting_parse(SETTING_QUORUM_PRIORITY, "0", &v));
	assert_int_equal(v, 0);
}

static void a_setting_holds_its_default_until_it_is_set(void **state)
{
	struct fixture *f = *state;
	const struct db_setting *row;

	assert_int_equal(setting_get(&f->db, SETTING_QUORUM_ABSENT_MS, NULL), 30000);
	assert_int_equal(set(f, "quorum.absent_ms", "2000"), DB_OK);
	assert_int_equal(setting_get(&f->db, SETTING_QUORUM_ABSENT_MS, NULL), 2000);
	row = db_find(&f->db, DB_KIND_SETTING, "quorum.absent_ms");
	assert_string_equal(row->actor, "root@n1");
	assert_int_equal(row->since_ms, 5000);
	assert_string_equal(newest(f)->kind, "setting-changed");
	assert_string_equal(newest(f)->text, "to 2000 from its default, by root@n1");
	assert_int_equal(set(f, "quorum.absent_ms", "3000"), DB_OK);
	assert_string_equal(newest(f)->text, "to 3000 from 2000, by root@n1");
	assert_int_equal(set(f, "quorum.absent_ms", ""), DB_OK);
	assert_int_equal(db_count(&f->db, DB_KIND_SETTING), 0);
	assert_int_equal(setting_get(&f->db, SETTING_QUORUM_ABSENT_MS, NULL), 30000);
	assert_string_equal(newest(f)->text, "to its default from 3000, by root@n1");
}

static void what_is_so_already_leaves_no_event(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(set(f, "quorum.dynamic", ""), DB_OK);
	assert_int_equal(db_count(&f->db, DB_KIND_EVENT), 0);
	assert_int_equal(set(f, "quorum.dynamic", "off"), DB_OK);
	assert_int_equal(set(f, "quorum.dynamic", "off"), DB_OK);
	assert_int_equal(db_count(&f->db, DB_KIND_EVENT), 1);
}

static void a_setting_of_an_object_is_its_own(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(set(f, "quorum.priority/n2", "7"), DB_OK);
	assert_int_equal(setting_get(&f->db, SETTING_QUORUM_PRIORITY, "n2"), 7);
	assert_int_equal(setting_get(&f->db, SETTING_QUORUM_PRIORITY, "n1"), 100);
	assert_int_equal(set(f, "quorum.dynamic", "off"), DB_OK);
	settings_forget(&f->db, "n2");
	assert_int_equal(setting_get(&f->db, SETTING_QUORUM_PRIORITY, "n2"), 100);
	assert_int_equal(setting_get(&f->db, SETTING_QUORUM_DYNAMIC, NULL), 0);
}

static void what_is_no_setting_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(set(f, "quorum.colour", "red"), DB_INVALID);
	assert_string_equal(f->result.text, "no setting quorum.colour");
	assert_int_equal(set(f, "quorum.dynamic", "perhaps"), DB_INVALID);
	assert_int_equal(set(f, "quorum.priority/a", "1"), DB_OK);
	assert_int_equal(set(f, "quorum.priority/b", "1"), DB_OK);
	assert_int_equal(set(f, "quorum.priority/c", "1"), DB_REFUSED);
	assert_int_equal(db_count(&f->db, DB_KIND_SETTING), 2);
	assert_int_equal(db_count(&f->db, DB_KIND_EVENT), 2);
}

static void settings_survive_a_snapshot(void **state)
{
	struct fixture *f = *state;
	struct db other;
	void *mem = malloc(db_size(&limits));
	static uint8_t buf[65536];
	size_t len;

	assert_int_equal(set(f, "quorum.dynamic", "off"), DB_OK);
	assert_int_equal(db_encode(&f->db, buf, sizeof(buf), &len), 0);
	assert_int_equal(db_init(&other, mem, db_size(&limits), &limits), 0);
	assert_int_equal(db_decode(&other, buf, len), 0);
	assert_int_equal(setting_get(&other, SETTING_QUORUM_DYNAMIC, NULL), 0);
	assert_int_equal(db_hash(&other), db_hash(&f->db));
	free(mem);
}

static void a_change_of_votes_is_noted_with_its_reason(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd = {.type = DB_CMD_VOTE_NOTE,
				 .vote_note = {.name = "n3", .text = "absent"}};

	assert_int_equal(fixture_apply_checked(f, &cmd), DB_OK);
	assert_string_equal(newest(f)->kind, "vote-taken");
	assert_string_equal(newest(f)->object, "n3");
	assert_string_equal(newest(f)->text, "absent");
	cmd.vote_note.is_given = true;
	assert_int_equal(fixture_apply_checked(f, &cmd), DB_OK);
	assert_string_equal(newest(f)->kind, "vote-given");
}

static void what_a_node_found_its_database_to_be_is_noted(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd = {
		.type = DB_CMD_DB_NOTE,
		.db_note = {.name = "n3", .note = DB_NOTE_WRONG, .text = "fetched anew"}};

	assert_int_equal(fixture_apply_checked(f, &cmd), DB_OK);
	assert_string_equal(newest(f)->kind, "database-wrong");
	assert_string_equal(newest(f)->object, "n3");
	assert_string_equal(newest(f)->text, "fetched anew");
	for (uint8_t i = 0; i < DB_NOTE_MAX; i++) {
		cmd.db_note.note = i;
		assert_int_equal(fixture_apply_checked(f, &cmd), DB_OK);
		assert_memory_equal(newest(f)->kind, "database-", 9);
	}
}

static enum db_code admit(struct fixture *f, const char *name, uint8_t slot, uint64_t instance)
{
	struct db_command cmd = {.type = DB_CMD_NODE_ADMIT,
				 .node_admit = {.slot = slot,
						.nodeid = slot + 1u,
						.incarnation = slot + 70u,
						.boot = "b",
						.instance = instance}};

	snprintf(cmd.node_admit.name, sizeof(cmd.node_admit.name), "%s", name);
	return fixture_apply_checked(f, &cmd);
}

static void a_cluster_that_is_stopped_has_all_leave_at_once_until_one_is_new(void **state)
{
	struct fixture *f = *state;
	struct db_command lost = {.type = DB_CMD_NODE_LOST,
				  .node_lost = {.name = "n2", .incarnation = 71}};
	const struct db_node *n1, *n2;

	assert_int_equal(admit(f, "n1", 0, 1), DB_OK);
	assert_int_equal(admit(f, "n2", 1, 2), DB_OK);
	n1 = db_node_by_slot(&f->db, 0);
	n2 = db_node_by_slot(&f->db, 1);
	assert_int_equal(set(f, "cluster.stopping", "off"), DB_OK);
	assert_false(n1->is_leaving || n2->is_leaving);
	assert_int_equal(set(f, "cluster.stopping", "on"), DB_OK);
	assert_true(n1->is_leaving && n2->is_leaving);
	assert_string_equal(newest(f)->kind, "node-leaving");
	/* One that was away for a moment changes nothing. */
	assert_int_equal(fixture_apply_checked(f, &lost), DB_OK);
	assert_int_equal(admit(f, "n2", 1, 2), DB_OK);
	assert_int_equal(setting_get(&f->db, SETTING_CLUSTER_STOPPING, NULL), 1);
	assert_int_equal(admit(f, "n1", 0, 3), DB_OK);
	assert_int_equal(setting_get(&f->db, SETTING_CLUSTER_STOPPING, NULL), 0);
	assert_false(n1->is_leaving);
	assert_int_equal(db_count(&f->db, DB_KIND_SETTING), 0);
}

static enum db_code set_mode(struct fixture *f, enum db_quorum_mode mode, const char *witness,
			     const char *device)
{
	struct db_command cmd = {.type = DB_CMD_QUORUM_MODE,
				 .quorum_mode = {.mode = (uint8_t)mode, .io_ms = 3000}};

	snprintf(cmd.quorum_mode.witness, sizeof(cmd.quorum_mode.witness), "%s", witness);
	snprintf(cmd.quorum_mode.device, sizeof(cmd.quorum_mode.device), "%s", device);
	return fixture_apply_checked(f, &cmd);
}

static void a_mode_names_its_witness_and_the_table_follows(void **state)
{
	struct fixture *f = *state;
	struct cl_table table = {.changed_at = 1};
	struct cl_member row;

	assert_int_equal(set_mode(f, DB_QUORUM_MODE_NODE_DISK, "w1", "/dev/w"), DB_NO_SUCH);
	assert_non_null(db_insert(&f->db, DB_KIND_CLUSTER, "bank"));
	assert_int_equal(set_mode(f, DB_QUORUM_MODE_NODE_DISK, "w1", "w"), DB_INVALID);
	assert_int_equal(set_mode(f, DB_QUORUM_MODE_NODE_DISK, "", "/dev/w"), DB_INVALID);
	assert_int_equal(set_mode(f, DB_QUORUM_MODE_NODE_MAJORITY, "w1", ""), DB_INVALID);
	assert_false(votes_witness_row(&table, &f->db, &row));
	assert_int_equal(set_mode(f, DB_QUORUM_MODE_NODE_DISK, "w1", "/dev/w"), DB_OK);
	assert_string_equal(newest(f)->kind, "quorum-mode");
	assert_true(votes_witness_row(&table, &f->db, &row));
	assert_string_equal(row.name, "w1");
	assert_int_equal(row.vote, 0);
	table.witness = row;
	assert_false(votes_witness_row(&table, &f->db, &row));
	table.witness.vote = 1;
	assert_int_equal(set_mode(f, DB_QUORUM_MODE_NODE_MAJORITY, "", ""), DB_OK);
	assert_false(votes_witness_row(&table, &f->db, &row)); /* its vote goes first */
	table.witness.vote = 0;
	assert_true(votes_witness_row(&table, &f->db, &row));
	assert_int_equal(row.nodeid, 0);
	assert_string_equal(row.name, ""); /* with one it would be no row of an empty slot */
}

static void the_row_of_a_witness_says_of_which_kind_it_is(void **state)
{
	struct fixture *f = *state;
	struct cl_table table = {.changed_at = 1};
	struct cl_member row;

	assert_non_null(db_insert(&f->db, DB_KIND_CLUSTER, "bank"));
	assert_int_equal(set_mode(f, DB_QUORUM_MODE_NODE_SHARE, "w1", "/srv/w"), DB_OK);
	assert_true(votes_witness_row(&table, &f->db, &row));
	assert_int_equal(row.nodeid, CL_WITNESS_SHARE);
	assert_int_equal(set_mode(f, DB_QUORUM_MODE_NODE_DISK, "w2", "/dev/w"), DB_OK);
	assert_true(votes_witness_row(&table, &f->db, &table.witness));
	assert_int_equal(table.witness.nodeid, CL_WITNESS_NODEID);
	/* The same disk in another part. */
	assert_int_equal(set_mode(f, DB_QUORUM_MODE_DISK_ONLY, "w2", "/dev/w"), DB_OK);
	assert_true(votes_witness_row(&table, &f->db, &row));
	assert_int_equal(row.nodeid, CL_WITNESS_SOLE);
}

/* It may be the one vote that counts, and then it is served until it is taken. */
static void a_witness_that_is_given_up_stays_known(void **state)
{
	struct fixture *f = *state;
	const struct db_cluster *c = db_insert(&f->db, DB_KIND_CLUSTER, "bank");

	assert_non_null(c);
	assert_int_equal(set_mode(f, DB_QUORUM_MODE_DISK_ONLY, "w1", "/dev/w"), DB_OK);
	assert_int_equal(set_mode(f, DB_QUORUM_MODE_NODE_MAJORITY, "", ""), DB_OK);
	assert_int_equal(c->quorum_mode, DB_QUORUM_MODE_NODE_MAJORITY);
	assert_string_equal(c->witness, "w1");
	assert_string_equal(c->witness_device, "/dev/w");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(keys_name_settings),
		TEST(a_mode_names_its_witness_and_the_table_follows),
		TEST(the_row_of_a_witness_says_of_which_kind_it_is),
		TEST(a_witness_that_is_given_up_stays_known),
		TEST(values_are_of_their_type),
		TEST(a_setting_holds_its_default_until_it_is_set),
		TEST(what_is_so_already_leaves_no_event),
		TEST(a_setting_of_an_object_is_its_own),
		TEST(what_is_no_setting_is_refused),
		TEST(settings_survive_a_snapshot),
		TEST(a_change_of_votes_is_noted_with_its_reason),
		TEST(what_a_node_found_its_database_to_be_is_noted),
		TEST(a_cluster_that_is_stopped_has_all_leave_at_once_until_one_is_new),
	};
#undef TEST

	return cmocka_run_group_tests_name("setting", tests, NULL, NULL);
}
