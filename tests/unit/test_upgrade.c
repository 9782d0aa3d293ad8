/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The version in force: who may put it there, and that two builds write the same under it. This
 * source is two programs: test_upgrade with the product's core, and test_upgrade_next with that of
 * the synthetic next version (tests/next). Each compares with bytes that the other one wrote.
 *
 *   --golden-update    writes this program's files of tests/golden/upgrade; first those of
 * test_upgrade_next
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/db.h"
#include "clusterd/core/msg.h"
#include "clusterd/core/upgrade.h"
#include "lib/cleanup.h"
#include "lib/wire.h"

#define NOW  DB_SCHEMA_VERSION /* the product's, in both programs */
#define NEXT (DB_SCHEMA_VERSION + 1)

#define BUF_BYTES  (64 * 1024)
#define REMARK_CMD 120 /* of tests/next */

static const struct db_limits limits = {
	.capacity = {[DB_KIND_CLUSTER] = 1,
		     [DB_KIND_NODE] = CL_MAX_NODES,
		     [DB_KIND_GROUP] = 4,
		     [DB_KIND_TASK] = 4,
		     [DB_KIND_EVENT] = 64,
		     [DB_KIND_ORIGIN] = CL_MAX_NODES},
	.locks = {.max_sessions = 8, .max_resources = 8, .max_locks = 8, .max_queued = 4},
};

struct fixture {
	struct db db;
	void *mem;
	struct db_result result;
	uint8_t buf[BUF_BYTES], golden[BUF_BYTES];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->mem = malloc(db_size(&limits));
	assert_non_null(f->mem);
	assert_int_equal(db_init(&f->db, f->mem, db_size(&limits), &limits), 0);
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

/* ---- entries */

static enum db_code entry(struct fixture *f, uint8_t kind, const void *payload, size_t len)
{
	struct db_entry e = {.index = f->db.index + 1,
			     .epoch = {.generation = 1, .number = 2},
			     .kind = kind,
			     .instance = 1,
			     .request = f->db.index + 1,
			     .payload = payload,
			     .payload_len = len};

	db_apply(&f->db, &e, &f->result);
	assert_null(db_check(&f->db));
	return f->result.code;
}

/* As proposed by a node that knew that version to be in force. */
static enum db_code command_at(struct fixture *f, uint8_t version, struct db_command cmd)
{
	uint8_t buf[DB_COMMAND_MAX];
	size_t len;

	cmd.version = version;
	cmd.at_ms = 1000 + f->db.index;
	snprintf(cmd.actor, sizeof(cmd.actor), "root@a");
	assert_int_equal(db_command_encode(&cmd, buf, sizeof(buf), &len), 0);
	return entry(f, CL_ENTRY_COMMAND, buf, len);
}

#define DO(f, TYPE, member, ...)                                                                   \
	command_at((f), (uint8_t)(f)->db.version,                                                  \
		   (struct db_command){.type = DB_CMD_##TYPE, .member = {__VA_ARGS__}})

static enum db_code admit(struct fixture *f, uint8_t slot, uint16_t min, uint16_t max,
			  uint64_t instance)
{
	struct db_cmd_node_admit c = {.slot = slot,
				      .nodeid = 101u + slot,
				      .incarnation = 0x100u + slot,
				      .instance = instance,
				      .version_min = min,
				      .version_max = max};

	snprintf(c.name, sizeof(c.name), "%c", 'a' + slot);
	snprintf(c.version, sizeof(c.version), "1.%u", max);
	return command_at(f, (uint8_t)f->db.version,
			  (struct db_command){.type = DB_CMD_NODE_ADMIT, .node_admit = c});
}

static void genesis(struct fixture *f, uint16_t version)
{
	struct cl_table table = {.changed_at = 1, .version.nodeid = version};
	uint8_t buf[256];
	struct wire_writer w;
	size_t len;

	table.member[0] = (struct cl_member){.nodeid = 101, .vote = 1, .name = "a"};
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_raw(&w, "0123456789abcdef", CL_UUID_BYTES);
	cl_table_put(&w, &table);
	assert_int_equal(wire_writer_end(&w, &len), 0);
	entry(f, CL_ENTRY_GENESIS, buf, len);
}

/* A cluster of three that speak NOW, two of them NEXT as well; made by a product. */
static void make_cluster(struct fixture *f)
{
	genesis(f, NOW);
	DO(f, CLUSTER_INIT, cluster_init, .name = "bank");
	admit(f, 0, NOW, NEXT, 1);
	admit(f, 1, NOW, NEXT, 2);
	admit(f, 2, NOW, NOW, 3);
	assert_int_equal(DO(f, GROUP_CREATE, group_create, .name = "web"), DB_OK);
}

static const char *newest_event(struct fixture *f, const char *kind)
{
	for (uint32_t i = db_count(&f->db, DB_KIND_EVENT); i-- > 0;) {
		const struct db_event *e = db_at(&f->db, DB_KIND_EVENT, i);

		if (!strcmp(e->kind, kind))
			return e->text;
	}
	return "";
}

/* ---- golden files */

static void golden_path(char *path, size_t cap, const char *name)
{
	const char *srcdir = getenv("srcdir");

	snprintf(path, cap, "%s/tests/golden/upgrade/%s.hex", srcdir ? srcdir : ".", name);
}

static size_t golden_read(const char *name, uint8_t *buf, size_t cap)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[512];
	unsigned int byte;
	size_t len = 0;

	golden_path(path, sizeof(path), name);
	file = fopen(path, "re");
	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	while (len < cap && fscanf(file, "%2x", &byte) == 1)
		buf[len++] = (uint8_t)byte;
	assert_true(feof(file));
	return len;
}

static int golden_write(const char *name, const uint8_t *buf, size_t len)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[512];

	golden_path(path, sizeof(path), name);
	file = fopen(path, "we");
	if (!file) {
		perror(path);
		return 1;
	}
	for (size_t i = 0; i < len; i++)
		fprintf(file, "%02x%s", buf[i], i % 16 == 15 || i == len - 1 ? "\n" : " ");
	return 0;
}

static size_t encode(struct fixture *f)
{
	size_t len;

	assert_int_equal(db_encode(&f->db, f->buf, sizeof(f->buf), &len), 0);
	return len;
}

static void is_golden(struct fixture *f, const char *name)
{
	size_t len = encode(f);

	assert_int_equal(golden_read(name, f->golden, sizeof(f->golden)), len);
	assert_memory_equal(f->golden, f->buf, len);
}

/* ---- formats */

/* It stands in both programs' lists of versions, or this test shows nothing. */
static void the_two_builds_are_of_two_versions(void **state)
{
	(void)state;
#ifdef CLUSTERD_TEST_NEXT_VERSION
	assert_int_equal(DB_VERSION_MAX, NEXT);
#else
	assert_int_equal(DB_VERSION_MAX, NOW);
	assert_null(db_command_shape(REMARK_CMD));
#endif
	assert_true(DB_VERSION_MIN <= NOW);
}

static void under_one_version_both_builds_write_the_same(void **state)
{
	struct fixture *f = *state;
	uint64_t hash;

	make_cluster(f);
	assert_int_equal(f->db.version, NOW);
	is_golden(f, "snapshot-now");
	hash = db_hash(&f->db);
	assert_int_equal(golden_read("hash-now", f->golden, sizeof(f->golden)), sizeof(hash));
	assert_memory_equal(f->golden, &hash, sizeof(hash));
}

static void what_the_product_wrote_is_read_and_written_again_as_it_was(void **state)
{
	struct fixture *f = *state;
	size_t len = golden_read("snapshot-now", f->golden, sizeof(f->golden));

	assert_int_equal(db_decode(&f->db, f->golden, len), 0);
	assert_int_equal(f->db.version, NOW);
	is_golden(f, "snapshot-now");
}

/* Of the version before: a node that is updated has it, and its cluster works under it. */
static void a_snapshot_of_the_version_before_is_read_and_written_again_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct db_command job = {.type = DB_CMD_VM_JOB};
	char name[32], why[DB_REASON_MAX];
	size_t len;

	snprintf(name, sizeof(name), "snapshot-%d", DB_VERSION_MIN);
	len = golden_read(name, f->golden, sizeof(f->golden));
	assert_int_equal(db_decode(&f->db, f->golden, len), 0);
	assert_int_equal(f->db.version, DB_VERSION_MIN);
	is_golden(f, name);
	assert_true(upgrade_refuses(&f->db, &job, why, sizeof(why)));
	assert_non_null(strstr(why, "needs version 6, 5 is in force"));
}

/* A command of the next version, before it is in force: on both sides nothing but its number. */
static void a_command_of_a_later_version_changes_nothing(void **state)
{
	struct fixture *f = *state;
	size_t len = golden_read("command-next", f->golden, sizeof(f->golden));

	make_cluster(f);
	assert_int_equal(entry(f, CL_ENTRY_COMMAND, f->golden, len), DB_INVALID);
	assert_string_equal(f->result.text, "not a command that the version in force knows");
	is_golden(f, "after-command-next");
	len = golden_read("change-next", f->golden, sizeof(f->golden));
	assert_int_equal(entry(f, CL_ENTRY_COMMAND, f->golden, len), DB_INVALID);
	is_golden(f, "after-change-next");
}

#ifndef CLUSTERD_TEST_NEXT_VERSION

static void a_snapshot_of_a_later_version_is_refused_by_its_number(void **state)
{
	struct fixture *f = *state;
	size_t len = golden_read("snapshot-next", f->golden, sizeof(f->golden));
	struct cl_table table = {.version.nodeid = NEXT};
	char text[DB_REASON_MAX], wanted[64];

	assert_int_equal(db_decode(&f->db, f->golden, len), -EPROTO);
	assert_int_equal(f->db.index, 0);
	assert_int_equal(db_encoded_version(f->golden, len), NEXT);
	assert_true(upgrade_history_bar(&table, NULL, 0, text, sizeof(text)));
	snprintf(wanted, sizeof(wanted), "version %d is in force in it", NEXT);
	assert_string_equal(text, wanted);
	table.version.nodeid = NOW; /* the log ends before, which cannot be; refused all the same */
	assert_true(upgrade_history_bar(&table, f->golden, len, text, sizeof(text)));
	snprintf(wanted, sizeof(wanted), "its snapshot is of version %d", NEXT);
	assert_string_equal(text, wanted);
	assert_false(upgrade_history_bar(&table, NULL, 0, text, sizeof(text)));
}

static int golden_update(struct fixture *f)
{
	uint64_t hash;
	size_t len;
	int r;

	make_cluster(f);
	r = golden_write("snapshot-now", f->buf, encode(f));
	hash = db_hash(&f->db);
	r |= golden_write("hash-now", (const uint8_t *)&hash, sizeof(hash));
	len = golden_read("command-next", f->golden, sizeof(f->golden));
	entry(f, CL_ENTRY_COMMAND, f->golden, len);
	r |= golden_write("after-command-next", f->buf, encode(f));
	len = golden_read("change-next", f->golden, sizeof(f->golden));
	entry(f, CL_ENTRY_COMMAND, f->golden, len);
	return r | golden_write("after-change-next", f->buf, encode(f));
}

#else

static void raise_entry(struct fixture *f, uint16_t version)
{
	struct cl_member row = {.nodeid = version};
	uint8_t buf[CL_ROW_MAX];
	size_t len;

	assert_int_equal(cl_row_encode(CL_VERSION_SLOT, &row, buf, sizeof(buf), &len), 0);
	entry(f, CL_ENTRY_TABLE, buf, len);
}

static struct db_group *web(struct fixture *f)
{
	return db_find(&f->db, DB_KIND_GROUP, "web");
}

static void raise_whole(struct fixture *f)
{
	make_cluster(f);
	admit(f, 2, NOW, NEXT, 4);
	assert_int_equal(DO(f, CLUSTER_UPGRADE, cluster_upgrade, .version = NEXT), DB_OK);
	raise_entry(f, NEXT);
	assert_int_equal(f->db.version, NEXT);
}

static void after_the_raise_the_new_field_is_written(void **state)
{
	struct fixture *f = *state;

	raise_whole(f);
	is_golden(f, "snapshot-next");
	assert_int_equal(DO(f, GROUP_REMARK, group_remark, .name = "web", .remark = "new"), DB_OK);
	assert_string_equal(web(f)->remark, "new");
	assert_int_equal(db_decode(&f->db, f->buf, encode(f)), 0);
	assert_string_equal(web(f)->remark, "new");
}

/* Whatever a build did with it before: it is not in the hash, and gone with the raise. */
static void a_field_begins_empty_on_every_node(void **state)
{
	struct fixture *f = *state;
	uint64_t hash;

	make_cluster(f);
	hash = db_hash(&f->db);
	snprintf(web(f)->remark, sizeof(web(f)->remark), "early");
	assert_true(db_hash(&f->db) == hash);
	is_golden(f, "snapshot-now");
	raise_entry(f, NEXT);
	assert_string_equal(web(f)->remark, "");
}

/* It was on its way when the version was raised. */
static void a_command_in_the_format_of_an_earlier_version_is_still_done(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd = {.type = DB_CMD_GROUP_CREATE, .group_create = {.name = "late"}};

	raise_whole(f);
	assert_int_equal(command_at(f, NOW, cmd), DB_OK);
	assert_non_null(db_find(&f->db, DB_KIND_GROUP, "late"));
}

static void what_a_command_needs_is_said_by_name(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd = {.type = DB_CMD_GROUP_REMARK};
	char text[2 * DB_REASON_MAX], wanted[2 * DB_REASON_MAX];

	make_cluster(f);
	assert_int_equal(db_command_needs(&cmd), NEXT);
	assert_true(upgrade_refuses(&f->db, &cmd, text, sizeof(text)));
	snprintf(wanted, sizeof(wanted),
		 "group-remark needs version %d, %d is in force: c speaks %d only", NEXT, NOW, NOW);
	assert_string_equal(text, wanted);
	admit(f, 2, NOW, NEXT, 4);
	assert_true(upgrade_refuses(&f->db, &cmd, text, sizeof(text)));
	assert_non_null(strstr(text, "'clusterctl cluster upgrade'"));
	raise_entry(f, NEXT);
	assert_false(upgrade_refuses(&f->db, &cmd, text, sizeof(text)));
	cmd.type = DB_CMD_GROUP_CREATE;
	assert_int_equal(db_command_needs(&cmd), 0);
}

static int golden_update(struct fixture *f)
{
	struct db_command cmd = {.type = DB_CMD_GROUP_REMARK,
				 .group_remark = {.name = "web", .remark = "new"}};
	struct db_command head = {.type = DB_CMD_CHANGE,
				  .change = {.object = "*", .if_version = DB_ANY_VERSION}};
	size_t len;
	int r;

	raise_whole(f);
	r = golden_write("snapshot-next", f->buf, encode(f));
	if (db_command_encode(&cmd, f->buf, sizeof(f->buf), &len))
		return 1;
	r |= golden_write("command-next", f->buf, len);
	if (db_change_encode(&head, &cmd, 1, f->buf, sizeof(f->buf), &len))
		return 1;
	return r | golden_write("change-next", f->buf, len);
}

#endif

/* ---- who is asked */

static enum db_code ask(struct fixture *f, uint16_t version)
{
	return DO(f, CLUSTER_UPGRADE, cluster_upgrade, .version = version);
}

static const struct db_cluster *cluster(struct fixture *f)
{
	return db_at(&f->db, DB_KIND_CLUSTER, 0);
}

static void an_upgrade_needs_a_cluster_and_a_higher_version(void **state)
{
	struct fixture *f = *state;

	genesis(f, NOW);
	assert_int_equal(ask(f, NEXT), DB_NO_SUCH);
	make_cluster(f);
	assert_int_equal(ask(f, NOW), DB_CONFLICT);
	assert_int_equal(cluster(f)->upgrade_to, 0);
}

static void every_member_counts_also_one_that_is_down_or_was_never_here(void **state)
{
	struct fixture *f = *state;
	char wanted[DB_REASON_MAX];

	make_cluster(f);
	assert_int_equal(ask(f, NEXT), DB_REFUSED);
	snprintf(wanted, sizeof(wanted),
		 "version %d cannot be put in force: c speaks %d only; update or evict it", NEXT,
		 NOW);
	assert_string_equal(f->result.text, wanted);
	DO(f, NODE_LEAVE, node_leave, .name = "c", .incarnation = 0x102, .is_done = true);
	assert_int_equal(ask(f, NEXT), DB_REFUSED);
	assert_non_null(strstr(f->result.text, "c, which is down, speaks"));
	DO(f, NODE_EVICT, node_evict, .name = "c");
	assert_int_equal(ask(f, NEXT), DB_OK);
	DO(f, NODE_ADDRESS, node_address, .name = "d", .slot = 3, .nodeid = 104);
	assert_int_equal(ask(f, NEXT), DB_REFUSED);
	assert_non_null(strstr(f->result.text, "d was never here"));
}

static void what_a_node_speaks_now_is_an_event(void **state)
{
	struct fixture *f = *state;
	char wanted[DB_REASON_MAX];

	make_cluster(f);
	assert_string_equal(newest_event(f, "node-version"), "");
	admit(f, 2, NOW, NEXT, 4);
	snprintf(wanted, sizeof(wanted), "clusterd 1.%d speaks %d to %d; before: %d only", NEXT,
		 NOW, NEXT, NOW);
	assert_string_equal(newest_event(f, "node-version"), wanted);
	assert_int_equal(upgrade_highest(&f->db), NEXT);
	admit(f, 2, NOW, NOW, 5);
	assert_int_equal(upgrade_highest(&f->db), NOW);
}

/* Asked for and not yet done: somebody went back meanwhile. */
static void who_goes_back_withdraws_what_was_asked_for(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	admit(f, 2, NOW, NEXT, 4);
	assert_int_equal(ask(f, NEXT), DB_OK);
	assert_int_equal(cluster(f)->upgrade_to, NEXT);
	assert_string_equal(cluster(f)->upgrade_by, "root@a");
	admit(f, 1, NOW, NOW, 6);
	assert_int_equal(cluster(f)->upgrade_to, 0);
	assert_non_null(strstr(newest_event(f, "upgrade-withdrawn"), "b speaks"));
}

static void the_sequencer_owes_the_row_once_everybody_speaks_it(void **state)
{
	struct fixture *f = *state;
	struct cl_table table = {.changed_at = 1, .version.nodeid = NOW};
	struct cl_member row;

	make_cluster(f);
	admit(f, 2, NOW, NEXT, 4);
	assert_false(upgrade_row(&f->db, &table, &row));
	assert_int_equal(ask(f, NEXT), DB_OK);
	assert_true(upgrade_row(&f->db, &table, &row));
	assert_int_equal(row.nodeid, NEXT);
	table.member[5] = (struct cl_member){.nodeid = 106, .name = "f"}; /* without a row yet */
	assert_false(upgrade_row(&f->db, &table, &row));
	table.member[5].nodeid = 0;
	table.version.nodeid = NEXT; /* on its way */
	assert_false(upgrade_row(&f->db, &table, &row));
}

static void a_range_is_said_in_words(void **state)
{
	char text[32];

	(void)state;
	upgrade_range_text(&(struct cl_versions){4, 4}, text, sizeof(text));
	assert_string_equal(text, "4 only");
	upgrade_range_text(&(struct cl_versions){4, 6}, text, sizeof(text));
	assert_string_equal(text, "4 to 6");
	upgrade_range_text(&(struct cl_versions){0, 0}, text, sizeof(text));
	assert_string_equal(text, "none that is known");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_two_builds_are_of_two_versions),
		TEST(under_one_version_both_builds_write_the_same),
		TEST(what_the_product_wrote_is_read_and_written_again_as_it_was),
		TEST(a_snapshot_of_the_version_before_is_read_and_written_again_as_it_was),
		TEST(a_command_of_a_later_version_changes_nothing),
#ifdef CLUSTERD_TEST_NEXT_VERSION
		TEST(after_the_raise_the_new_field_is_written),
		TEST(a_field_begins_empty_on_every_node),
		TEST(a_command_in_the_format_of_an_earlier_version_is_still_done),
		TEST(what_a_command_needs_is_said_by_name),
#else
		TEST(a_snapshot_of_a_later_version_is_refused_by_its_number),
#endif
		TEST(an_upgrade_needs_a_cluster_and_a_higher_version),
		TEST(every_member_counts_also_one_that_is_down_or_was_never_here),
		TEST(what_a_node_speaks_now_is_an_event),
		TEST(who_goes_back_withdraws_what_was_asked_for),
		TEST(the_sequencer_owes_the_row_once_everybody_speaks_it),
		TEST(a_range_is_said_in_words),
	};
	void *state;

	if (argc == 2 && !strcmp(argv[1], "--golden-update"))
		return setup(&state) || golden_update(state) || teardown(&state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
