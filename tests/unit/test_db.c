/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The applied state: tables, what each command does and refuses, snapshots, commands as bytes. */
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
#include "clusterd/core/placement.h"
#include "lib/prng.h"
#include "lib/wire.h"

#define INCARNATION_A 0xa1
#define INCARNATION_B 0xb1
#define SNAPSHOT_MAX  (256 * 1024)

static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = 4,
			[DB_KIND_GROUP] = 6,
			[DB_KIND_RESOURCE] = 6,
			[DB_KIND_PARAM] = 8,
			[DB_KIND_TASK] = 6,
			[DB_KIND_EVENT] = 10,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
		},
	.locks = {.max_sessions = 8, .max_resources = 8, .max_locks = 16, .max_queued = 4},
};

struct fixture {
	struct db db;
	void *mem;
	uint64_t request;
	struct db_result result;
	bool is_broken; /* the test broke an invariant itself */
};

static void fixture_init(struct fixture *f)
{
	*f = (struct fixture){.mem = malloc(db_size(&limits))};
	assert_non_null(f->mem);
	assert_int_equal(db_init(&f->db, f->mem, db_size(&limits), &limits), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fixture_init(f);
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

/* Hash of all that a refused command must leave alone: not the index, nor who asked last. */
static uint64_t content_hash(const struct fixture *f)
{
	struct db db = f->db;

	db.index = 0;
	db.epoch = (struct cl_epoch){0};
	db.table[DB_KIND_ORIGIN].count = 0;
	return db_hash(&db);
}

static void apply_entry(struct fixture *f, const struct db_command *cmd, uint64_t request)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = f->db.index + 1,
			     .epoch = {.number = 1},
			     .kind = CL_ENTRY_COMMAND,
			     .origin = 1,
			     .instance = 77,
			     .request = request,
			     .payload = buf};

	assert_int_equal(db_command_encode(cmd, buf, sizeof(buf), &e.payload_len), 0);
	db_apply(&f->db, &e, &f->result);
	if (!f->is_broken)
		assert_null(db_check(&f->db));
}

static enum db_code apply(struct fixture *f, struct db_command cmd)
{
	cmd.at_ms = 1000 + f->db.index;
	snprintf(cmd.actor, sizeof(cmd.actor), "admin");
	apply_entry(f, &cmd, ++f->request);
	return f->result.code;
}

/* A command by its fields: DO(f, GROUP_CREATE, group_create, .name = "g"). */
#define DO(f, TYPE, member, ...)                                                                   \
	apply((f), (struct db_command){.type = DB_CMD_##TYPE, .member = {__VA_ARGS__}})

#define DONE(f, ...) assert_int_equal(DO(f, __VA_ARGS__), DB_OK)

#define REFUSED(f, code, ...)                                                                      \
	do {                                                                                       \
		uint64_t refused_hash = content_hash(f);                                           \
		assert_int_equal(DO(f, __VA_ARGS__), code);                                        \
		assert_string_not_equal((f)->result.text, "");                                     \
		assert_int_equal(content_hash(f), refused_hash);                                   \
	} while (0)

#define ADMIT(f, nm, sl, inc, bt)                                                                  \
	DO(f, NODE_ADMIT, node_admit, .name = nm, .slot = sl, .nodeid = 100 + sl,                  \
	   .incarnation = inc, .boot = bt)

static struct db_node *node(struct fixture *f, const char *name)
{
	struct db_node *n = db_find(&f->db, DB_KIND_NODE, name);

	assert_non_null(n);
	return n;
}

static struct db_group *group(struct fixture *f, const char *name)
{
	struct db_group *g = db_find(&f->db, DB_KIND_GROUP, name);

	assert_non_null(g);
	return g;
}

static struct db_resource *resource(struct fixture *f, const char *name)
{
	struct db_resource *r = db_find(&f->db, DB_KIND_RESOURCE, name);

	assert_non_null(r);
	return r;
}

static struct db_task *task(struct fixture *f, uint64_t id)
{
	struct db_task *t = db_find_id(&f->db, DB_KIND_TASK, id);

	assert_non_null(t);
	return t;
}

/* Two nodes, the group g with the resource r. */
static void make_cluster(struct fixture *f)
{
	DONE(f, CLUSTER_INIT, cluster_init, .name = "lab");
	assert_int_equal(ADMIT(f, "a", 0, INCARNATION_A, "boot-a1"), DB_OK);
	assert_int_equal(ADMIT(f, "b", 1, INCARNATION_B, "boot-b1"), DB_OK);
	DONE(f, GROUP_CREATE, group_create, .name = "g", .possible = 0x3);
	DONE(f, RESOURCE_CREATE, resource_create, .name = "r", .group = "g", .agent = "Dummy",
	     .params = "x=1\ny=two\n");
}

static enum db_code start(struct fixture *f, const char *name, uint8_t slot, uint64_t incarnation)
{
	struct db_command c = {.type = DB_CMD_GROUP_ORDER,
			       .group_order = {.work = DB_WORK_STARTING,
					       .node = slot,
					       .incarnation = incarnation,
					       .previous = group(f, name)->order}};

	snprintf(c.group_order.name, sizeof(c.group_order.name), "%s", name);
	return apply(f, c);
}

static enum db_code stop(struct fixture *f, const char *name)
{
	const struct db_group *g = group(f, name);
	struct db_command c = {.type = DB_CMD_GROUP_ORDER,
			       .group_order = {.work = DB_WORK_STOPPING,
					       .node = g->node,
					       .incarnation = g->incarnation,
					       .previous = g->order}};

	snprintf(c.group_order.name, sizeof(c.group_order.name), "%s", name);
	return apply(f, c);
}

static enum db_code report(struct fixture *f, const char *name, enum db_work work)
{
	struct db_command c = {
		.type = DB_CMD_GROUP_REPORT,
		.group_report = {.order = group(f, name)->order, .work = (uint8_t)work}};

	snprintf(c.group_report.name, sizeof(c.group_report.name), "%s", name);
	return apply(f, c);
}

/* g is online on node a. */
static void make_online(struct fixture *f)
{
	make_cluster(f);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE,
	     .wish = CL_NODE_NONE, .verb = "group-start");
	assert_int_equal(start(f, "g", 0, INCARNATION_A), DB_OK);
	assert_int_equal(report(f, "g", DB_WORK_ONLINE), DB_OK);
}

/* The incarnation that holds grp:<name>; 0 if nobody does. */
struct holder {
	char name[LK_NAME_MAX + 1];
	uint64_t incarnation;
};

static int find_holder(void *arg, const struct lk_lock_info *info)
{
	struct holder *h = arg;

	if (info->name_len == strlen(h->name) && !memcmp(info->name, h->name, info->name_len) &&
	    info->queue == LK_QUEUE_GRANTED && info->granted == LK_EX)
		h->incarnation = info->session.incarnation;
	return 0;
}

static uint64_t holder(struct fixture *f, const char *name)
{
	struct holder h = {0};

	snprintf(h.name, sizeof(h.name), "grp:%s", name);
	lk_each(&f->db.locks, find_holder, &h);
	return h.incarnation;
}

/* ---- tables */

static void rows_stand_in_the_order_of_their_keys(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"m", "c", "x", "a"};

	for (size_t i = 0; i < 4; i++)
		assert_non_null(db_insert(&f->db, DB_KIND_GROUP, names[i]));
	assert_string_equal(db_at(&f->db, DB_KIND_GROUP, 0), "a");
	assert_string_equal(db_at(&f->db, DB_KIND_GROUP, 1), "c");
	assert_string_equal(db_at(&f->db, DB_KIND_GROUP, 2), "m");
	assert_string_equal(db_at(&f->db, DB_KIND_GROUP, 3), "x");
}

static void numbered_rows_stand_in_the_order_of_their_numbers(void **state)
{
	struct fixture *f = *state;

	assert_non_null(db_insert_id(&f->db, DB_KIND_TASK, 300));
	assert_non_null(db_insert_id(&f->db, DB_KIND_TASK, 2));
	assert_int_equal(((struct db_task *)db_at(&f->db, DB_KIND_TASK, 0))->id, 2);
	assert_int_equal(((struct db_task *)db_at(&f->db, DB_KIND_TASK, 1))->id, 300);
}

static void a_row_is_found_by_its_whole_key(void **state)
{
	struct fixture *f = *state;
	void *row = db_insert(&f->db, DB_KIND_GROUP, "web");

	assert_ptr_equal(db_find(&f->db, DB_KIND_GROUP, "web"), row);
	assert_null(db_find(&f->db, DB_KIND_GROUP, "we"));
	assert_null(db_find(&f->db, DB_KIND_GROUP, "web1"));
	assert_null(db_find(&f->db, DB_KIND_GROUP, ""));
}

static void a_full_table_takes_no_row(void **state)
{
	struct fixture *f = *state;
	uint64_t hash;

	for (uint64_t i = 0; i < limits.capacity[DB_KIND_TASK]; i++)
		assert_non_null(db_insert_id(&f->db, DB_KIND_TASK, i));
	hash = db_hash(&f->db);
	assert_null(db_insert_id(&f->db, DB_KIND_TASK, 99));
	assert_int_equal(db_hash(&f->db), hash);
}

static void a_removed_row_makes_room_and_leaves_the_others(void **state)
{
	struct fixture *f = *state;
	struct db_task *t;

	for (uint64_t i = 0; i < limits.capacity[DB_KIND_TASK]; i++)
		assert_non_null(db_insert_id(&f->db, DB_KIND_TASK, i));
	t = task(f, 2);
	t->created_ms = 5;
	db_remove(&f->db, DB_KIND_TASK, t);
	assert_null(db_find_id(&f->db, DB_KIND_TASK, 2));
	assert_non_null(db_find_id(&f->db, DB_KIND_TASK, 3));
	t = db_insert_id(&f->db, DB_KIND_TASK, 50);
	assert_non_null(t);
	assert_int_equal(t->created_ms, 0); /* nothing of the old row is left */
	assert_int_equal(db_count(&f->db, DB_KIND_TASK), limits.capacity[DB_KIND_TASK]);
}

static void too_little_memory_is_refused(void **state)
{
	struct fixture *f = *state;
	struct db db;

	assert_int_equal(db_init(&db, f->mem, db_size(&limits) - 1, &limits), -ENOBUFS);
}

/* ---- entries and requests */

static void a_request_that_comes_again_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd = {.type = DB_CMD_GROUP_CREATE, .group_create = {.name = "g"}};
	uint64_t before;

	apply_entry(f, &cmd, 5);
	assert_false(f->result.is_repeat);
	before = content_hash(f);
	cmd.group_create.name[0] = 'h';
	apply_entry(f, &cmd, 5);
	assert_true(f->result.is_repeat);
	apply_entry(f, &cmd, 4);
	assert_true(f->result.is_repeat);
	assert_int_equal(content_hash(f), before);
	apply_entry(f, &cmd, 6);
	assert_false(f->result.is_repeat);
	assert_non_null(db_find(&f->db, DB_KIND_GROUP, "h"));
}

static void another_instance_counts_its_requests_anew(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd = {.type = DB_CMD_GROUP_CREATE, .group_create = {.name = "g"}};
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = 2,
			     .kind = CL_ENTRY_COMMAND,
			     .origin = 1,
			     .instance = 78,
			     .request = 1,
			     .payload = buf};

	apply_entry(f, &cmd, 5);
	cmd.group_create.name[0] = 'h';
	assert_int_equal(db_command_encode(&cmd, buf, sizeof(buf), &e.payload_len), 0);
	db_apply(&f->db, &e, &f->result);
	assert_false(f->result.is_repeat);
	assert_non_null(db_find(&f->db, DB_KIND_GROUP, "h"));
}

static void bytes_that_are_no_command_are_invalid_and_change_nothing(void **state)
{
	struct fixture *f = *state;
	static const uint8_t junk[] = {0xff, 0xff, 1, 2, 3};
	struct db_entry e = {.index = 1,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = 1,
			     .request = 1,
			     .payload = junk,
			     .payload_len = sizeof(junk)};
	uint64_t before = content_hash(f);

	db_apply(&f->db, &e, &f->result);
	assert_int_equal(f->result.code, DB_INVALID);
	assert_int_equal(content_hash(f), before);
	assert_int_equal(f->db.index, 1);
}

static void an_entry_of_another_kind_moves_only_the_index(void **state)
{
	struct fixture *f = *state;
	struct db_entry e = {.index = 1, .epoch = {.number = 4}, .kind = CL_ENTRY_EPOCH};
	uint64_t before = content_hash(f);

	db_apply(&f->db, &e, &f->result);
	assert_int_equal(f->db.index, 1);
	assert_int_equal(f->db.epoch.number, 4);
	assert_int_equal(content_hash(f), before);
}

/* ---- cluster and nodes */

static void a_cluster_is_named_once(void **state)
{
	struct fixture *f = *state;

	DONE(f, CLUSTER_INIT, cluster_init, .name = "lab");
	REFUSED(f, DB_CONFLICT, CLUSTER_INIT, cluster_init, .name = "other");
}

static void an_admitted_node_is_in_its_row(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	assert_int_equal(node(f, "b")->membership, DB_MEMBERSHIP_ADMITTED);
	assert_int_equal(node(f, "b")->slot, 1);
	assert_int_equal(node(f, "b")->incarnation, INCARNATION_B);
	assert_string_equal(db_node_name(&f->db, 1), "b");
	assert_string_equal(db_node_name(&f->db, CL_NODE_NONE), "-");
}

static void admitting_the_same_incarnation_again_changes_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	make_online(f);
	before = content_hash(f);
	assert_int_equal(ADMIT(f, "a", 0, INCARNATION_A, "boot-a1"), DB_OK);
	assert_int_equal(content_hash(f), before);
}

static void a_node_too_many_is_refused(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	assert_int_equal(ADMIT(f, "c", 2, 0xc1, "boot-c1"), DB_OK);
	assert_int_equal(ADMIT(f, "d", 3, 0xd1, "boot-d1"), DB_OK);
	REFUSED(f, DB_REFUSED, NODE_ADMIT, node_admit, .name = "e", .slot = 4, .incarnation = 9);
}

static void a_lost_node_makes_its_groups_unknown_and_keeps_their_lock(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	DONE(f, NODE_LOST, node_lost, .name = "a", .incarnation = INCARNATION_A);
	assert_int_equal(node(f, "a")->membership, DB_MEMBERSHIP_LOST);
	assert_int_equal(group(f, "g")->work, DB_WORK_UNKNOWN);
	assert_int_equal(holder(f, "g"), INCARNATION_A);
	assert_int_not_equal(start(f, "g", 1, INCARNATION_B), DB_OK);
}

static void another_incarnation_cannot_be_lost(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	REFUSED(f, DB_NO_SUCH, NODE_LOST, node_lost, .name = "a", .incarnation = 99);
	REFUSED(f, DB_NO_SUCH, NODE_LOST, node_lost, .name = "z", .incarnation = INCARNATION_A);
}

static void fencing_frees_exactly_the_groups_of_that_incarnation(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	DONE(f, GROUP_CREATE, group_create, .name = "h", .possible = 0x3);
	assert_int_equal(start(f, "h", 1, INCARNATION_B), DB_OK);
	DONE(f, NODE_LOST, node_lost, .name = "a", .incarnation = INCARNATION_A);
	DONE(f, NODE_FENCED, node_fenced, .name = "a", .incarnation = INCARNATION_A, .how = "off");
	assert_int_equal(group(f, "g")->work, DB_WORK_OFFLINE);
	assert_int_equal(group(f, "g")->node, CL_NODE_NONE);
	assert_int_equal(holder(f, "g"), 0);
	assert_int_equal(group(f, "h")->work, DB_WORK_STARTING);
	assert_int_equal(holder(f, "h"), INCARNATION_B);
	assert_int_equal(start(f, "g", 1, INCARNATION_B), DB_OK);
}

static void a_node_that_is_not_lost_cannot_be_fenced(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	REFUSED(f, DB_CONFLICT, NODE_FENCED, node_fenced, .name = "a",
		.incarnation = INCARNATION_A);
	REFUSED(f, DB_NO_SUCH, NODE_FENCED, node_fenced, .name = "a", .incarnation = 99);
}

static void a_fenced_incarnation_is_not_admitted_again(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	DONE(f, NODE_LOST, node_lost, .name = "a", .incarnation = INCARNATION_A);
	DONE(f, NODE_FENCED, node_fenced, .name = "a", .incarnation = INCARNATION_A);
	REFUSED(f, DB_REFUSED, NODE_ADMIT, node_admit, .name = "a", .slot = 0,
		.incarnation = INCARNATION_A, .boot = "boot-a1");
	assert_int_equal(ADMIT(f, "a", 0, 0xa2, "boot-a2"), DB_OK);
}

static void a_lost_node_that_comes_back_has_what_it_held(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	DONE(f, NODE_LOST, node_lost, .name = "a", .incarnation = INCARNATION_A);
	assert_int_equal(ADMIT(f, "a", 0, INCARNATION_A, "boot-a1"), DB_OK);
	assert_int_equal(group(f, "g")->work, DB_WORK_ONLINE);
	assert_int_equal(holder(f, "g"), INCARNATION_A);
}

static void a_later_boot_frees_the_groups_of_the_earlier_one(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	assert_int_equal(ADMIT(f, "a", 0, 0xa2, "boot-a2"), DB_OK);
	assert_int_equal(group(f, "g")->work, DB_WORK_OFFLINE);
	assert_int_equal(holder(f, "g"), 0);
	assert_int_equal(start(f, "g", 0, 0xa2), DB_OK);
	assert_int_equal(holder(f, "g"), 0xa2);
}

static void many_boots_do_not_use_up_the_lock_sessions(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	for (uint64_t i = 2; i < 4 * limits.locks.max_sessions; i++) {
		char boot[DB_UUID_TEXT];
		struct db_command c = {.type = DB_CMD_NODE_ADMIT,
				       .node_admit = {.name = "a", .incarnation = 0xa0 + i}};

		snprintf(boot, sizeof(boot), "boot-a%u", (unsigned int)i);
		memcpy(c.node_admit.boot, boot, sizeof(boot));
		assert_int_equal(apply(f, c), DB_OK);
		assert_int_equal(start(f, "g", 0, 0xa0 + i), DB_OK);
		assert_int_equal(report(f, "g", DB_WORK_OFFLINE), DB_OK);
	}
}

static void resources_of_a_freed_group_are_offline(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	assert_int_equal(resource(f, "r")->work, DB_WORK_ONLINE);
	DONE(f, NODE_LOST, node_lost, .name = "a", .incarnation = INCARNATION_A);
	DONE(f, NODE_FENCED, node_fenced, .name = "a", .incarnation = INCARNATION_A);
	assert_int_equal(resource(f, "r")->work, DB_WORK_OFFLINE);
}

static void a_slot_that_does_not_exist_is_refused(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_INVALID, NODE_ADMIT, node_admit, .name = "z", .slot = CL_MAX_NODES,
		.incarnation = 7);
}

static void a_slot_of_another_node_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	make_cluster(f);
	before = content_hash(f);
	assert_int_not_equal(ADMIT(f, "z", 0, 7, "boot-z"), DB_OK);
	assert_int_equal(content_hash(f), before);
}

static void a_leaving_node_that_holds_a_group_cannot_be_done(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	DONE(f, NODE_LEAVE, node_leave, .name = "a", .incarnation = INCARNATION_A);
	assert_true(node(f, "a")->is_leaving);
	assert_int_equal(node(f, "a")->membership, DB_MEMBERSHIP_ADMITTED);
	REFUSED(f, DB_REFUSED, NODE_LEAVE, node_leave, .name = "a", .incarnation = INCARNATION_A,
		.is_done = true);
}

static void a_node_that_holds_nothing_has_left(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	DONE(f, NODE_LEAVE, node_leave, .name = "b", .incarnation = INCARNATION_B, .is_done = true);
	assert_int_equal(node(f, "b")->membership, DB_MEMBERSHIP_LEFT);
	REFUSED(f, DB_NO_SUCH, NODE_LEAVE, node_leave, .name = "a", .incarnation = 99);
	assert_int_equal(ADMIT(f, "b", 1, INCARNATION_B, "boot-b1"), DB_OK);
	assert_int_equal(node(f, "b")->membership, DB_MEMBERSHIP_ADMITTED);
	assert_false(node(f, "b")->is_leaving);
}

static void drain_needs_pause_and_ends_with_it(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	DONE(f, NODE_PAUSE, node_pause, .name = "a", .pause = true, .drain = true);
	assert_true(node(f, "a")->is_paused);
	assert_true(node(f, "a")->is_draining);
	DONE(f, NODE_PAUSE, node_pause, .name = "a", .pause = false, .drain = true);
	assert_false(node(f, "a")->is_paused);
	assert_false(node(f, "a")->is_draining);
	REFUSED(f, DB_NO_SUCH, NODE_PAUSE, node_pause, .name = "z", .pause = true);
}

/* ---- groups and resources */

static void a_group_without_possible_nodes_may_run_anywhere(void **state)
{
	struct fixture *f = *state;

	DONE(f, GROUP_CREATE, group_create, .name = "g");
	assert_int_equal(group(f, "g")->possible, UINT16_MAX);
	assert_int_equal(group(f, "g")->node, CL_NODE_NONE);
	assert_int_equal(group(f, "g")->work, DB_WORK_OFFLINE);
}

static void a_bad_group_is_refused(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	REFUSED(f, DB_INVALID, GROUP_CREATE, group_create, .name = "");
	REFUSED(f, DB_INVALID, GROUP_CREATE, group_create,
		.name = "0123456789012345678901234567890123456789012345678901234567890");
	REFUSED(f, DB_CONFLICT, GROUP_CREATE, group_create, .name = "g");
	for (char c = '1'; c < '6'; c++)
		DONE(f, GROUP_CREATE, group_create, .name = {c, 0});
	REFUSED(f, DB_REFUSED, GROUP_CREATE, group_create, .name = "more");
}

static void the_longest_group_name_can_be_locked(void **state)
{
	struct fixture *f = *state;
	const char *name = "012345678901234567890123456789012345678901234567890123456789";

	make_cluster(f);
	DONE(f, GROUP_CREATE, group_create,
	     .name = "012345678901234567890123456789012345678901234567890123456789");
	assert_int_equal(start(f, name, 0, INCARNATION_A), DB_OK);
	assert_int_equal(holder(f, name), INCARNATION_A);
}

static void long_names_that_differ_in_the_last_letter_have_locks_of_their_own(void **state)
{
	struct fixture *f = *state;
	const char *x = "01234567890123456789012345678901234567890123456789012345678X";
	const char *y = "01234567890123456789012345678901234567890123456789012345678Y";

	make_cluster(f);
	DONE(f, GROUP_CREATE, group_create,
	     .name = "01234567890123456789012345678901234567890123456789012345678X");
	DONE(f, GROUP_CREATE, group_create,
	     .name = "01234567890123456789012345678901234567890123456789012345678Y");
	assert_int_equal(start(f, x, 0, INCARNATION_A), DB_OK);
	assert_int_equal(start(f, y, 1, INCARNATION_B), DB_OK);
}

static void a_group_is_deleted_only_when_offline_and_empty(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	REFUSED(f, DB_NO_SUCH, GROUP_DELETE, group_delete, .name = "z");
	REFUSED(f, DB_REFUSED, GROUP_DELETE, group_delete, .name = "g");
	assert_int_equal(report(f, "g", DB_WORK_OFFLINE), DB_OK);
	REFUSED(f, DB_REFUSED, GROUP_DELETE, group_delete, .name = "g");
	DONE(f, RESOURCE_DELETE, resource_delete, .name = "r");
	DONE(f, GROUP_DELETE, group_delete, .name = "g");
	assert_int_equal(db_count(&f->db, DB_KIND_GROUP), 0);
}

static void deleting_a_group_ends_its_task(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	DONE(f, GROUP_CREATE, group_create, .name = "g");
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE,
	     .wish = CL_NODE_NONE, .verb = "group-start");
	id = f->result.task;
	DONE(f, GROUP_DELETE, group_delete, .name = "g");
	assert_int_not_equal(task(f, id)->state, DB_TASK_STATE_RUNNING);
}

static void a_wish_that_cannot_be_had_is_refused(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	DONE(f, GROUP_CREATE, group_create, .name = "h", .possible = 0x1);
	REFUSED(f, DB_NO_SUCH, GROUP_INTENT, group_intent, .name = "z", .wish = CL_NODE_NONE);
	REFUSED(f, DB_REFUSED, GROUP_INTENT, group_intent, .name = "g", .wish = 9);
	REFUSED(f, DB_REFUSED, GROUP_INTENT, group_intent, .name = "g", .wish = 200);
	REFUSED(f, DB_REFUSED, GROUP_INTENT, group_intent, .name = "h", .wish = 1);
	DONE(f, NODE_PAUSE, node_pause, .name = "a", .pause = true);
	REFUSED(f, DB_REFUSED, GROUP_INTENT, group_intent, .name = "g", .wish = 0);
	DONE(f, NODE_LOST, node_lost, .name = "b", .incarnation = INCARNATION_B);
	REFUSED(f, DB_REFUSED, GROUP_INTENT, group_intent, .name = "g", .wish = 1);
}

static void a_resource_has_its_parameters_and_place(void **state)
{
	struct fixture *f = *state;
	const struct db_param *p;

	make_cluster(f);
	p = db_find(&f->db, DB_KIND_PARAM, "r/y");
	assert_non_null(p);
	assert_string_equal(p->value, "two");
	DONE(f, RESOURCE_CREATE, resource_create, .name = "q", .group = "g", .params = "z=a=b");
	assert_int_equal(resource(f, "r")->position, 0);
	assert_int_equal(resource(f, "q")->position, 1);
	p = db_find(&f->db, DB_KIND_PARAM, "q/z");
	assert_non_null(p);
	assert_string_equal(p->value, "a=b");
}

static void bad_parameter_lines_are_refused_and_leave_nothing(void **state)
{
	struct fixture *f = *state;
	struct db_command c = {.type = DB_CMD_RESOURCE_CREATE,
			       .resource_create = {.name = "q", .group = "g"}};
	uint64_t before;

	make_cluster(f);
	REFUSED(f, DB_REFUSED, RESOURCE_CREATE, resource_create, .name = "q", .group = "g",
		.params = "a=1\nnonsense\nb=2");
	REFUSED(f, DB_REFUSED, RESOURCE_CREATE, resource_create, .name = "q", .group = "g",
		.params = "a=1\n\nb=2");
	before = content_hash(f);
	memset(c.resource_create.params, 'n', CL_NAME_MAX); /* the name is too long */
	c.resource_create.params[CL_NAME_MAX] = '=';
	assert_int_equal(apply(f, c), DB_REFUSED);
	memset(c.resource_create.params, 'v', 2 + DB_VALUE_MAX); /* the value is */
	memcpy(c.resource_create.params, "a=", 2);
	assert_int_equal(apply(f, c), DB_REFUSED);
	assert_int_equal(content_hash(f), before);
	c.resource_create.params[1 + DB_VALUE_MAX] = 0; /* the longest that fits */
	assert_int_equal(apply(f, c), DB_OK);
}

static void more_parameters_than_fit_are_refused_and_leave_nothing(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	REFUSED(f, DB_REFUSED, RESOURCE_CREATE, resource_create, .name = "q", .group = "g",
		.params = "a=1\nb=1\nc=1\nd=1\ne=1\nf=1\ng=1\n");
}

static void a_refused_resource_leaves_parameters_set_before(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	DONE(f, PARAM_SET, param_set, .key = "q/x", .value = "5");
	REFUSED(f, DB_REFUSED, RESOURCE_CREATE, resource_create, .name = "q", .group = "g",
		.params = "nonsense");
}

static void a_bad_resource_is_refused(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	REFUSED(f, DB_CONFLICT, RESOURCE_CREATE, resource_create, .name = "r", .group = "g");
	REFUSED(f, DB_NO_SUCH, RESOURCE_CREATE, resource_create, .name = "q", .group = "z");
	for (char c = '1'; c < '6'; c++)
		DONE(f, RESOURCE_CREATE, resource_create, .name = {c, 0}, .group = "g");
	REFUSED(f, DB_REFUSED, RESOURCE_CREATE, resource_create, .name = "q", .group = "g");
}

static void a_resource_without_a_name_is_refused(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	REFUSED(f, DB_INVALID, RESOURCE_CREATE, resource_create, .name = "", .group = "g");
}

static void a_deleted_resource_takes_its_parameters_along(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	DONE(f, PARAM_SET, param_set, .key = "r2/x", .value = "stays");
	DONE(f, RESOURCE_DELETE, resource_delete, .name = "r");
	assert_int_equal(db_count(&f->db, DB_KIND_PARAM), 1);
	REFUSED(f, DB_NO_SUCH, RESOURCE_DELETE, resource_delete, .name = "r");
}

static void an_online_resource_is_not_deleted(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	REFUSED(f, DB_REFUSED, RESOURCE_DELETE, resource_delete, .name = "r");
}

static void a_parameter_is_set_and_set_again(void **state)
{
	struct fixture *f = *state;

	DONE(f, PARAM_SET, param_set, .key = "c/x", .value = "1");
	DONE(f, PARAM_SET, param_set, .key = "c/x", .value = "2");
	assert_int_equal(db_count(&f->db, DB_KIND_PARAM), 1);
	for (char c = '1'; c < '8'; c++)
		DONE(f, PARAM_SET, param_set, .key = {c, 0}, .value = "");
	REFUSED(f, DB_REFUSED, PARAM_SET, param_set, .key = "more", .value = "");
}

/* ---- orders and reports */

static void an_order_that_replaces_another_is_void_when_that_is_old(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	REFUSED(f, DB_CONFLICT, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STOPPING,
		.node = 0, .incarnation = INCARNATION_A, .previous = group(f, "g")->order - 1);
	REFUSED(f, DB_NO_SUCH, GROUP_ORDER, group_order, .name = "z", .work = DB_WORK_STARTING);
}

static void an_order_to_another_incarnation_or_a_lost_node_is_void(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	REFUSED(f, DB_CONFLICT, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STARTING,
		.node = 0, .incarnation = 99);
	REFUSED(f, DB_CONFLICT, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STARTING,
		.node = 7, .incarnation = INCARNATION_A);
	DONE(f, NODE_LOST, node_lost, .name = "a", .incarnation = INCARNATION_A);
	REFUSED(f, DB_CONFLICT, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STARTING,
		.node = 0, .incarnation = INCARNATION_A);
}

static void a_group_whose_lock_is_held_is_not_started(void **state)
{
	struct fixture *f = *state;
	struct lk_event e = {.type = LK_EV_LOCK,
			     .session = INCARNATION_B,
			     .mode = LK_EX,
			     .name_len = 5,
			     .name = "grp:g"};

	make_online(f);
	REFUSED(f, DB_CONFLICT, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STARTING,
		.node = 1, .incarnation = INCARNATION_B, .previous = group(f, "g")->order);
	assert_int_equal(report(f, "g", DB_WORK_OFFLINE), DB_OK);
	assert_int_equal(lk_step(&f->db.locks, &e, &f->db.lock_actions), 0);
	assert_string_equal(db_check(&f->db), "a lock belongs to no group, volume or mount");
	f->is_broken = true;
	REFUSED(f, DB_CONFLICT, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STARTING,
		.node = 0, .incarnation = INCARNATION_A, .previous = group(f, "g")->order);
}

static void only_starting_and_stopping_can_be_ordered(void **state)
{
	struct fixture *f = *state;
	static const uint8_t bad[] = {DB_WORK_OFFLINE, DB_WORK_ONLINE, DB_WORK_FAILED,
				      DB_WORK_UNKNOWN};

	make_online(f);
	for (size_t i = 0; i < sizeof(bad); i++) {
		uint64_t before = content_hash(f);

		assert_int_not_equal(DO(f, GROUP_ORDER, group_order, .name = "g", .work = bad[i],
					.node = 0, .incarnation = INCARNATION_A,
					.previous = group(f, "g")->order),
				     DB_OK);
		assert_int_equal(content_hash(f), before);
	}
}

static void a_group_is_stopped_only_where_it_is(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	make_online(f);
	before = content_hash(f);
	assert_int_not_equal(DO(f, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STOPPING,
				.node = 1, .incarnation = INCARNATION_B,
				.previous = group(f, "g")->order),
			     DB_OK);
	assert_int_equal(content_hash(f), before);
}

static void an_offline_group_is_not_stopped(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	make_cluster(f);
	before = content_hash(f);
	assert_int_not_equal(DO(f, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STOPPING,
				.node = 1, .incarnation = INCARNATION_B),
			     DB_OK);
	assert_int_equal(content_hash(f), before);
}

static void a_started_group_holds_its_lock_until_it_is_offline(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	assert_int_equal(holder(f, "g"), INCARNATION_A);
	assert_int_equal(resource(f, "r")->work, DB_WORK_ONLINE);
	assert_int_equal(stop(f, "g"), DB_OK);
	assert_int_equal(group(f, "g")->work, DB_WORK_STOPPING);
	assert_int_equal(holder(f, "g"), INCARNATION_A);
	assert_int_equal(report(f, "g", DB_WORK_OFFLINE), DB_OK);
	assert_int_equal(holder(f, "g"), 0);
	assert_int_equal(group(f, "g")->node, CL_NODE_NONE);
	assert_int_equal(resource(f, "r")->work, DB_WORK_OFFLINE);
}

static void a_failed_start_refuses_the_node_and_frees_the_lock(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	assert_int_equal(start(f, "g", 0, INCARNATION_A), DB_OK);
	assert_int_equal(report(f, "g", DB_WORK_FAILED), DB_OK);
	assert_int_equal(group(f, "g")->work, DB_WORK_OFFLINE);
	assert_int_equal(group(f, "g")->refused, 0x1);
	assert_int_equal(group(f, "g")->failures, 1);
	assert_int_equal(holder(f, "g"), 0);
	assert_int_equal(start(f, "g", 1, INCARNATION_B), DB_OK);
	assert_int_equal(report(f, "g", DB_WORK_ONLINE), DB_OK);
	assert_int_equal(group(f, "g")->refused, 0);
}

static void a_failed_stop_keeps_the_lock_where_it_is(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	assert_int_equal(stop(f, "g"), DB_OK);
	assert_int_equal(report(f, "g", DB_WORK_FAILED), DB_OK);
	assert_int_equal(group(f, "g")->work, DB_WORK_FAILED);
	assert_int_equal(group(f, "g")->node, 0);
	assert_int_equal(holder(f, "g"), INCARNATION_A);
	DONE(f, NODE_LOST, node_lost, .name = "a", .incarnation = INCARNATION_A);
	DONE(f, NODE_FENCED, node_fenced, .name = "a", .incarnation = INCARNATION_A);
	assert_int_equal(group(f, "g")->work, DB_WORK_OFFLINE);
	assert_int_equal(holder(f, "g"), 0);
}

static void a_failed_group_is_tried_again_when_somebody_asks(void **state)
{
	struct fixture *f = *state;
	uint64_t old;

	make_online(f);
	assert_int_equal(stop(f, "g"), DB_OK);
	assert_int_equal(report(f, "g", DB_WORK_FAILED), DB_OK);
	old = group(f, "g")->order;
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_OFFLINE,
	     .wish = CL_NODE_NONE, .verb = "group-stop");
	/* At once: if it were online for a moment, its node would start it. */
	assert_int_equal(group(f, "g")->work, DB_WORK_STOPPING);
	assert_int_equal(holder(f, "g"), INCARNATION_A);
	assert_int_equal(task(f, group(f, "g")->task)->state, DB_TASK_STATE_RUNNING);
	REFUSED(f, DB_CONFLICT, GROUP_REPORT, group_report, .name = "g", .order = old,
		.work = DB_WORK_UNKNOWN);
	assert_int_equal(report(f, "g", DB_WORK_OFFLINE), DB_OK);
	assert_int_equal(group(f, "g")->work, DB_WORK_OFFLINE);
	assert_int_equal(holder(f, "g"), 0);
}

static void a_report_about_an_old_order_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t old;

	make_online(f);
	old = group(f, "g")->order;
	assert_int_equal(stop(f, "g"), DB_OK);
	REFUSED(f, DB_CONFLICT, GROUP_REPORT, group_report, .name = "g", .order = old,
		.work = DB_WORK_OFFLINE);
	REFUSED(f, DB_CONFLICT, RESOURCE_REPORT, resource_report, .name = "r", .order = old,
		.work = DB_WORK_FAILED);
	REFUSED(f, DB_NO_SUCH, GROUP_REPORT, group_report, .name = "z");
	REFUSED(f, DB_CONFLICT, RESOURCE_REPORT, resource_report, .name = "z");
}

static void a_report_about_an_offline_or_unknown_group_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t order;

	make_online(f);
	order = group(f, "g")->order;
	DONE(f, NODE_LOST, node_lost, .name = "a", .incarnation = INCARNATION_A);
	REFUSED(f, DB_CONFLICT, GROUP_REPORT, group_report, .name = "g", .order = order,
		.work = DB_WORK_OFFLINE);
	DONE(f, NODE_FENCED, node_fenced, .name = "a", .incarnation = INCARNATION_A);
	REFUSED(f, DB_CONFLICT, GROUP_REPORT, group_report, .name = "g", .order = order,
		.work = DB_WORK_ONLINE);
}

/* Unlike FAILED, which says that it is down: whoever else started it would run it twice. */
static void a_stop_that_failed_after_a_failure_keeps_the_lock(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	assert_int_equal(report(f, "g", DB_WORK_UNKNOWN), DB_OK);
	assert_int_equal(group(f, "g")->work, DB_WORK_FAILED);
	assert_int_equal(holder(f, "g"), INCARNATION_A);
	assert_int_equal(stop(f, "g"), DB_CONFLICT);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE,
	     .wish = CL_NODE_NONE, .verb = "group-start");
	assert_int_equal(group(f, "g")->work, DB_WORK_STOPPING); /* it is started after that */
	assert_int_equal(holder(f, "g"), INCARNATION_A);
}

static void only_what_has_come_to_an_end_can_be_reported(void **state)
{
	struct fixture *f = *state;
	static const uint8_t bad[] = {DB_WORK_STARTING, DB_WORK_STOPPING};

	make_online(f);
	for (size_t i = 0; i < sizeof(bad); i++) {
		uint64_t before = content_hash(f);

		assert_int_not_equal(report(f, "g", bad[i]), DB_OK);
		assert_int_equal(content_hash(f), before);
	}
}

static void a_restarted_resource_is_counted(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	DONE(f, RESOURCE_REPORT, resource_report, .name = "r", .order = group(f, "g")->order,
	     .work = DB_WORK_ONLINE, .restarted = true, .reason = "monitor said 7");
	assert_int_equal(resource(f, "r")->restarts, 1);
	assert_string_equal(resource(f, "r")->reason, "monitor said 7");
}

/* ---- tasks and events */

static void a_task_runs_until_its_group_is_as_asked(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	make_cluster(f);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE, .wish = 0,
	     .verb = "group-start");
	id = f->result.task;
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_RUNNING);
	assert_int_equal(start(f, "g", 0, INCARNATION_A), DB_OK);
	assert_string_equal(task(f, id)->phase, "starting");
	assert_int_equal(report(f, "g", DB_WORK_ONLINE), DB_OK);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_DONE);
	assert_int_equal(group(f, "g")->wish, CL_NODE_NONE);
	assert_int_equal(group(f, "g")->task, 0);
}

static void a_task_for_what_is_so_already_is_done_at_once(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE, .wish = 0,
	     .verb = "group-start");
	assert_int_equal(task(f, f->result.task)->state, DB_TASK_STATE_DONE);
	assert_int_equal(group(f, "g")->task, 0);
}

static void a_failed_stop_fails_its_task(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	make_online(f);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_OFFLINE,
	     .wish = CL_NODE_NONE, .verb = "group-stop");
	id = f->result.task;
	assert_int_equal(stop(f, "g"), DB_OK);
	assert_int_equal(report(f, "g", DB_WORK_FAILED), DB_OK);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_FAILED);
}

static void a_later_command_cancels_the_task_of_the_earlier(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	make_cluster(f);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE,
	     .wish = CL_NODE_NONE, .verb = "group-start");
	id = f->result.task;
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE, .wish = 1,
	     .verb = "group-start");
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_CANCELLED);
	assert_int_equal(group(f, "g")->task, f->result.task);
}

static void a_cancelled_task_withdraws_its_wish(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	make_cluster(f);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE, .wish = 1,
	     .verb = "group-start");
	id = f->result.task;
	DONE(f, TASK_CANCEL, task_cancel, .id = id);
	assert_int_equal(task(f, id)->state, DB_TASK_STATE_CANCELLED);
	assert_int_equal(group(f, "g")->intent, DB_INTENT_OFFLINE);
	assert_int_equal(group(f, "g")->wish, CL_NODE_NONE);
	REFUSED(f, DB_CONFLICT, TASK_CANCEL, task_cancel, .id = id);
	REFUSED(f, DB_NO_SUCH, TASK_CANCEL, task_cancel, .id = 99);
}

static void a_cancelled_stop_leaves_the_group_online(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_OFFLINE,
	     .wish = CL_NODE_NONE, .verb = "group-stop");
	DONE(f, TASK_CANCEL, task_cancel, .id = f->result.task);
	assert_int_equal(group(f, "g")->intent, DB_INTENT_ONLINE);
}

static void the_oldest_ended_task_makes_room(void **state)
{
	struct fixture *f = *state;
	uint64_t id = 0;

	make_online(f);
	for (uint32_t i = 0; i < 3 * limits.capacity[DB_KIND_TASK]; i++) {
		DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE,
		     .wish = CL_NODE_NONE, .verb = "group-start");
		assert_true(f->result.task > id);
		id = f->result.task;
	}
	assert_int_equal(db_count(&f->db, DB_KIND_TASK), limits.capacity[DB_KIND_TASK]);
}

static void of_too_many_events_the_oldest_goes(void **state)
{
	struct fixture *f = *state;
	const struct db_event *first, *last;

	make_cluster(f);
	for (int i = 0; i < 30; i++)
		DONE(f, NODE_PAUSE, node_pause, .name = "a", .pause = i % 2 == 0);
	assert_int_equal(db_count(&f->db, DB_KIND_EVENT), limits.capacity[DB_KIND_EVENT]);
	first = db_at(&f->db, DB_KIND_EVENT, 0);
	last = db_at(&f->db, DB_KIND_EVENT, limits.capacity[DB_KIND_EVENT] - 1);
	assert_int_equal(last->index, f->db.index);
	assert_int_equal(last->id - first->id, limits.capacity[DB_KIND_EVENT] - 1);
	assert_int_equal(f->db.next_event, last->id + 1);
}

/* ---- snapshots */

static size_t encode(const struct db *db, uint8_t *buf)
{
	size_t len = 0;

	assert_true(db_encoded_max(db) <= SNAPSHOT_MAX);
	assert_int_equal(db_encode(db, buf, db_encoded_max(db), &len), 0);
	return len;
}

static void a_snapshot_gives_an_equal_database(void **state)
{
	struct fixture *f = *state, other;
	uint8_t *a = malloc(SNAPSHOT_MAX), *b = malloc(SNAPSHOT_MAX);
	size_t len;

	make_online(f);
	fixture_init(&other);
	len = encode(&f->db, a);
	assert_int_equal(db_decode(&other.db, a, len), 0);
	assert_int_equal(db_hash(&other.db), db_hash(&f->db));
	assert_int_equal(other.db.epoch.number, f->db.epoch.number);
	assert_int_equal(encode(&other.db, b), len);
	assert_memory_equal(a, b, len);
	other.request = f->request;
	assert_int_equal(stop(&other, "g"), DB_OK); /* and it goes on from there */
	assert_int_equal(stop(f, "g"), DB_OK);
	assert_int_equal(db_hash(&other.db), db_hash(&f->db));
	free(other.mem);
	free(a);
	free(b);
}

static void a_snapshot_that_does_not_fit_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t *buf = malloc(SNAPSHOT_MAX);
	size_t len, other = 12345;

	make_online(f);
	len = encode(&f->db, buf);
	for (size_t cap = 0; cap < len; cap += 7)
		assert_int_equal(db_encode(&f->db, buf, cap, &other), -ENOBUFS);
	assert_int_equal(other, 12345);
	free(buf);
}

static void a_cut_snapshot_is_refused(void **state)
{
	struct fixture *f = *state, other;
	uint8_t *buf = malloc(SNAPSHOT_MAX);
	size_t len;

	make_online(f);
	fixture_init(&other);
	len = encode(&f->db, buf);
	for (size_t n = 0; n < len; n++)
		assert_int_equal(db_decode(&other.db, buf, n), -EBADMSG);
	assert_int_equal(db_decode(&other.db, buf, len), 0);
	free(other.mem);
	free(buf);
}

static void a_damaged_snapshot_is_refused_or_passes_the_check(void **state)
{
	struct fixture *f = *state, other;
	uint8_t *buf = malloc(SNAPSHOT_MAX);
	size_t len;

	make_online(f);
	len = encode(&f->db, buf);
	fixture_init(&other);
	for (size_t n = 0; n < len; n++) {
		static const uint8_t damage[] = {0x01, 0x80, 0xff};

		for (size_t d = 0; d < sizeof(damage); d++) {
			buf[n] ^= damage[d];
			assert_int_equal(db_init(&other.db, other.mem, db_size(&limits), &limits),
					 0);
			if (!db_decode(&other.db, buf, len))
				assert_null(db_check(&other.db));
			buf[n] ^= damage[d];
		}
	}
	free(other.mem);
	free(buf);
}

static void a_refused_snapshot_leaves_the_database_empty(void **state)
{
	struct fixture *f = *state, other;
	uint8_t *buf = malloc(SNAPSHOT_MAX);
	size_t len;
	uint64_t empty, after;

	make_online(f);
	fixture_init(&other);
	empty = db_hash(&other.db);
	len = encode(&f->db, buf);
	assert_int_equal(db_decode(&other.db, buf, len - 1), -EBADMSG);
	after = db_hash(&other.db);
	free(other.mem);
	free(buf);
	assert_int_equal(after, empty);
}

static void the_hash_tells_every_part_of_the_epoch(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	make_online(f);
	before = db_hash(&f->db);
	f->db.epoch.generation++;
	assert_int_not_equal(db_hash(&f->db), before);
}

static void the_check_finds_a_group_on_no_node(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	group(f, "g")->node = CL_NODE_NONE;
	assert_non_null(db_check(&f->db));
}

static void the_check_finds_a_resource_of_no_group(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	resource(f, "r")->group[0] = 'z';
	assert_non_null(db_check(&f->db));
}

static void the_check_finds_a_group_without_the_lock_it_names(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	group(f, "g")->lock += 1000;
	assert_non_null(db_check(&f->db));
}

static void the_check_finds_an_event_of_a_number_to_come(void **state)
{
	struct fixture *f = *state;

	make_online(f);
	f->db.next_event--;
	assert_non_null(db_check(&f->db));
}

static void the_check_finds_a_node_in_a_slot_that_does_not_exist(void **state)
{
	struct fixture *f = *state;

	make_cluster(f);
	node(f, "a")->slot = CL_MAX_NODES;
	assert_non_null(db_check(&f->db));
}

/* ---- random commands */

static const char *const random_names[] = {"a", "b", "c", "g", "h", "i", "r", "z", ""};

static void random_name(struct prng *p, char *to, size_t lo, size_t hi)
{
	snprintf(to, 2, "%s", random_names[prng_range(p, lo, hi)]);
}

static void random_node_command(struct fixture *f, struct prng *p, struct db_command *c)
{
	uint64_t which = prng_below(p, 3), boot = prng_range(p, 1, 6);
	uint64_t incarnation = 0x100 * (which + 1) + boot;
	const struct db_node *n = db_node_by_slot(&f->db, (uint8_t)which);

	c->type = (enum db_cmd_type)prng_range(p, DB_CMD_NODE_ADMIT, DB_CMD_NODE_PAUSE);
	if (prng_chance(p, 1, 8))
		c->type = DB_CMD_NODE_LEAVE;
	if (n && c->type != DB_CMD_NODE_ADMIT && prng_chance(p, 3, 4))
		incarnation = n->incarnation;
	switch ((int)c->type) {
	case DB_CMD_NODE_ADMIT:
		memcpy(c->node_admit.name, random_names[which], 2);
		c->node_admit.slot = (uint8_t)which;
		c->node_admit.incarnation = incarnation;
		snprintf(c->node_admit.boot, sizeof(c->node_admit.boot), "%u", (unsigned int)boot);
		break;
	case DB_CMD_NODE_LOST:
		memcpy(c->node_lost.name, random_names[which], 2);
		c->node_lost.incarnation = incarnation;
		break;
	case DB_CMD_NODE_FENCED:
		memcpy(c->node_fenced.name, random_names[which], 2);
		c->node_fenced.incarnation = incarnation;
		break;
	case DB_CMD_NODE_PAUSE:
		memcpy(c->node_pause.name, random_names[which], 2);
		c->node_pause.pause = prng_chance(p, 1, 3);
		break;
	default:
		memcpy(c->node_leave.name, random_names[which], 2);
		c->node_leave.incarnation = incarnation;
		c->node_leave.is_done = prng_chance(p, 1, 2);
		break;
	}
}

/* As the planner and the nodes make them: orders and reports about what there is. */
static void random_group_work(struct fixture *f, struct prng *p, struct db_command *c)
{
	static const uint8_t outcome[] = {DB_WORK_ONLINE, DB_WORK_OFFLINE, DB_WORK_FAILED};
	const struct db_group *g;
	const struct db_node *n;

	if (!db_count(&f->db, DB_KIND_GROUP) || !db_count(&f->db, DB_KIND_NODE))
		return;
	g = db_at(&f->db, DB_KIND_GROUP, (uint32_t)prng_below(p, db_count(&f->db, DB_KIND_GROUP)));
	n = db_at(&f->db, DB_KIND_NODE, (uint32_t)prng_below(p, db_count(&f->db, DB_KIND_NODE)));
	if (prng_chance(p, 1, 2)) {
		c->type = DB_CMD_GROUP_REPORT;
		memcpy(c->group_report.name, g->name, sizeof(g->name));
		c->group_report.order = g->order - prng_chance(p, 1, 10);
		c->group_report.work = outcome[prng_below(p, 3)];
		return;
	}
	c->type = DB_CMD_GROUP_ORDER;
	memcpy(c->group_order.name, g->name, sizeof(g->name));
	c->group_order.previous = g->order - prng_chance(p, 1, 10);
	c->group_order.work = DB_WORK_STARTING;
	c->group_order.node = n->slot;
	c->group_order.incarnation = n->incarnation;
	if (g->work != DB_WORK_ONLINE)
		return;
	c->group_order.work = DB_WORK_STOPPING;
	c->group_order.node = g->node;
	c->group_order.incarnation = g->incarnation;
}

static void random_group_command(struct prng *p, struct db_command *c)
{
	switch (prng_below(p, 8)) {
	case 0:
		c->type = DB_CMD_GROUP_CREATE;
		random_name(p, c->group_create.name, 3, 8);
		break;
	case 1:
		c->type = DB_CMD_GROUP_DELETE;
		random_name(p, c->group_delete.name, 3, 7);
		break;
	case 2:
	case 3:
		c->type = DB_CMD_GROUP_INTENT;
		random_name(p, c->group_intent.name, 3, 6);
		c->group_intent.intent = (uint8_t)prng_below(p, DB_INTENT_MAX);
		c->group_intent.wish =
			prng_chance(p, 1, 2) ? CL_NODE_NONE : (uint8_t)prng_below(p, 4);
		break;
	case 4:
		c->type = DB_CMD_RESOURCE_CREATE;
		random_name(p, c->resource_create.name, 3, 7);
		random_name(p, c->resource_create.group, 3, 6);
		snprintf(c->resource_create.params, 16, "%s",
			 prng_chance(p, 1, 3) ? "x=1\nbad" : "x=1\ny=2");
		break;
	case 5:
		c->type = DB_CMD_RESOURCE_DELETE;
		random_name(p, c->resource_delete.name, 3, 7);
		break;
	case 6:
		c->type = DB_CMD_PARAM_SET;
		random_name(p, c->param_set.key, 0, 7);
		break;
	default:
		c->type = DB_CMD_TASK_CANCEL;
		c->task_cancel.id = prng_below(p, 20);
		break;
	}
}

static struct db_command random_command(struct fixture *f, struct prng *p)
{
	struct db_command c = {.type = DB_CMD_TASK_CANCEL};

	if (prng_chance(p, 1, 4))
		random_node_command(f, p, &c);
	else if (prng_chance(p, 1, 2))
		random_group_work(f, p, &c);
	else
		random_group_command(p, &c);
	return c;
}

/* Whoever runs a group, or may run it still, holds its lock; of a group at rest nobody does. */
static void check_locks(struct fixture *f)
{
	for (uint32_t i = 0; i < db_count(&f->db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(&f->db, DB_KIND_GROUP, i);

		if (g->work == DB_WORK_OFFLINE || g->gave_up_ms) {
			assert_int_equal(holder(f, g->name), 0);
			assert_int_equal(g->lock, 0);
		} else {
			assert_int_equal(holder(f, g->name), g->incarnation);
		}
	}
}

static void random_commands_keep_every_invariant(void **state)
{
	static const struct db_command create = {.type = DB_CMD_GROUP_CREATE,
						 .group_create = {.name = "g"}};
	uint8_t *buf = malloc(SNAPSHOT_MAX);

	(void)state;
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct fixture a, b;
		struct prng p;

		prng_init(&p, seed);
		fixture_init(&a);
		fixture_init(&b);
		for (int n = 0; n < 60; n++) {
			struct db_command c = n ? random_command(&a, &p) : create;
			uint64_t before = content_hash(&a);

			if (apply(&a, c) != DB_OK)
				assert_int_equal(content_hash(&a), before);
			check_locks(&a);
			apply(&b, c);
		}
		assert_int_equal(db_hash(&a.db), db_hash(&b.db));
		assert_int_equal(db_init(&b.db, b.mem, db_size(&limits), &limits), 0);
		assert_int_equal(db_decode(&b.db, buf, encode(&a.db, buf)), 0);
		assert_int_equal(db_hash(&a.db), db_hash(&b.db));
		free(a.mem);
		free(b.mem);
	}
	free(buf);
}

/* ---- commands as bytes */

static void fill_field(struct prng *p, const struct db_field *field, uint8_t *at)
{
	switch (field->type) {
	case DB_TYPE_str:
		for (size_t i = 0, n = prng_below(p, field->size); i < n; i++)
			at[i] = (uint8_t)prng_range(p, 1, 255);
		break;
	case DB_TYPE_choice:
		at[0] = (uint8_t)prng_below(p, field->word_count);
		break;
	case DB_TYPE_flag:
		at[0] = (uint8_t)prng_below(p, 2);
		break;
	case DB_TYPE_owners:
		for (uint8_t i = (uint8_t)prng_below(p, CL_MAX_NODES + 1); i-- > 0;)
			placement_owner_add(at, (uint8_t)((i * 5u) % CL_MAX_NODES));
		break;
	case DB_TYPE_verdicts:
		for (uint16_t i = 0; i < field->size; i++)
			at[i] = (uint8_t)prng_below(p, field->word_count);
		break;
	case DB_TYPE_scores:
	case DB_TYPE_u8:
	case DB_TYPE_u16:
	case DB_TYPE_u32:
	case DB_TYPE_u64:
	case DB_TYPE_node:
	case DB_TYPE_nodes:
	case DB_TYPE_time:
	case DB_TYPE_mark:
		for (size_t i = 0; i < field->size; i++)
			at[i] = (uint8_t)prng_next(p);
		break;
	}
}

static struct db_command filled_command(struct prng *p, uint16_t type)
{
	const struct db_shape *shape = db_command_shape(type);
	struct db_command c;

	memset(&c, 0, sizeof(c));
	c.type = (enum db_cmd_type)type;
	c.at_ms = prng_next(p);
	snprintf(c.actor, sizeof(c.actor), "uid %u", (unsigned int)prng_below(p, 99));
	for (uint8_t i = 0; i < shape->field_count; i++)
		fill_field(p, &shape->field[i],
			   (uint8_t *)&c.cluster_init + shape->field[i].offset);
	return c;
}

/* There are numbers of no command; 0 behind the last. */
static uint16_t next_command(uint16_t type)
{
	while (++type < DB_CMD_MAX) {
		if (db_command_shape(type))
			return type;
	}
	return 0;
}

static void every_command_comes_back_from_its_bytes(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 1);
	for (uint16_t type = next_command(0); type; type = next_command(type)) {
		for (int n = 0; n < 50; n++) {
			struct db_command c = filled_command(&p, type), back;
			uint8_t a[DB_COMMAND_MAX], b[DB_COMMAND_MAX];
			size_t a_len, b_len;

			assert_int_equal(db_command_encode(&c, a, sizeof(a), &a_len), 0);
			assert_int_equal(db_command_decode(a, a_len, &back), 0);
			assert_int_equal(back.type, type);
			assert_int_equal(back.at_ms, c.at_ms);
			assert_int_equal(db_command_encode(&back, b, sizeof(b), &b_len), 0);
			assert_int_equal(a_len, b_len);
			assert_memory_equal(a, b, a_len);
			for (uint8_t i = 0; i < db_command_shape(type)->field_count; i++) {
				const struct db_field *fd = &db_command_shape(type)->field[i];

				assert_memory_equal((char *)&c.cluster_init + fd->offset,
						    (char *)&back.cluster_init + fd->offset,
						    fd->size);
			}
		}
	}
}

static void the_largest_command_fits_its_bound(void **state)
{
	(void)state;
	for (uint16_t type = next_command(0); type; type = next_command(type)) {
		const struct db_shape *shape = db_command_shape(type);
		size_t size = 2 + 8 + 2 + CL_NAME_MAX;

		for (uint8_t i = 0; i < shape->field_count; i++)
			size += shape->field[i].size + 2u;
		assert_true(size <= DB_COMMAND_MAX);
	}
}

static void bad_bytes_of_a_command_are_refused(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 2);
	assert_null(db_command_shape(0));
	assert_null(db_command_shape(DB_CMD_MAX));
	for (uint16_t type = next_command(0); type; type = next_command(type)) {
		struct db_command c = filled_command(&p, type), back = {.at_ms = 42};
		uint8_t buf[DB_COMMAND_MAX + 1];
		size_t len, end;

		if (!db_command_shape(type))
			continue;
		c = filled_command(&p, type);
		assert_int_equal(db_command_encode(&c, buf, sizeof(buf), &len), 0);
		for (size_t n = 0; n < len; n++)
			assert_int_equal(db_command_decode(buf, n, &back), -EBADMSG);
		buf[len] = 0;
		assert_int_equal(db_command_decode(buf, len + 1, &back), -EBADMSG);
		assert_int_equal(db_command_encode(&c, buf, len - 1, &end), -ENOBUFS);
		assert_int_equal(back.at_ms, 42);
		buf[1]++; /* a version to come */
		assert_int_equal(db_command_decode(buf, len, &back), -EPROTO);
		buf[1] = 0; /* none */
		assert_int_equal(db_command_decode(buf, len, &back), -EBADMSG);
		buf[1] = DB_VERSION_MAX;
		buf[0] = 0xff; /* an unknown type */
		assert_int_equal(db_command_decode(buf, len, &back), -EBADMSG);
	}
}

static void a_choice_out_of_range_is_refused(void **state)
{
	struct db_command c = {.type = DB_CMD_GROUP_ORDER}, back;
	uint8_t buf[DB_COMMAND_MAX];
	size_t len;

	(void)state;
	c.group_order.work = DB_WORK_MAX;
	assert_int_equal(db_command_encode(&c, buf, sizeof(buf), &len), 0);
	assert_int_equal(db_command_decode(buf, len, &back), -EBADMSG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(rows_stand_in_the_order_of_their_keys),
		TEST(numbered_rows_stand_in_the_order_of_their_numbers),
		TEST(a_row_is_found_by_its_whole_key),
		TEST(a_full_table_takes_no_row),
		TEST(a_removed_row_makes_room_and_leaves_the_others),
		TEST(too_little_memory_is_refused),
		TEST(a_request_that_comes_again_changes_nothing),
		TEST(another_instance_counts_its_requests_anew),
		TEST(bytes_that_are_no_command_are_invalid_and_change_nothing),
		TEST(an_entry_of_another_kind_moves_only_the_index),
		TEST(a_cluster_is_named_once),
		TEST(an_admitted_node_is_in_its_row),
		TEST(admitting_the_same_incarnation_again_changes_nothing),
		TEST(a_node_too_many_is_refused),
		TEST(a_lost_node_makes_its_groups_unknown_and_keeps_their_lock),
		TEST(another_incarnation_cannot_be_lost),
		TEST(fencing_frees_exactly_the_groups_of_that_incarnation),
		TEST(a_node_that_is_not_lost_cannot_be_fenced),
		TEST(a_fenced_incarnation_is_not_admitted_again),
		TEST(a_lost_node_that_comes_back_has_what_it_held),
		TEST(a_later_boot_frees_the_groups_of_the_earlier_one),
		TEST(many_boots_do_not_use_up_the_lock_sessions),
		TEST(resources_of_a_freed_group_are_offline),
		TEST(a_slot_that_does_not_exist_is_refused),
		TEST(a_slot_of_another_node_is_refused),
		TEST(a_leaving_node_that_holds_a_group_cannot_be_done),
		TEST(a_node_that_holds_nothing_has_left),
		TEST(drain_needs_pause_and_ends_with_it),
		TEST(a_group_without_possible_nodes_may_run_anywhere),
		TEST(a_bad_group_is_refused),
		TEST(the_longest_group_name_can_be_locked),
		TEST(long_names_that_differ_in_the_last_letter_have_locks_of_their_own),
		TEST(a_group_is_deleted_only_when_offline_and_empty),
		TEST(deleting_a_group_ends_its_task),
		TEST(a_wish_that_cannot_be_had_is_refused),
		TEST(a_resource_has_its_parameters_and_place),
		TEST(bad_parameter_lines_are_refused_and_leave_nothing),
		TEST(more_parameters_than_fit_are_refused_and_leave_nothing),
		TEST(a_refused_resource_leaves_parameters_set_before),
		TEST(a_bad_resource_is_refused),
		TEST(a_resource_without_a_name_is_refused),
		TEST(a_deleted_resource_takes_its_parameters_along),
		TEST(an_online_resource_is_not_deleted),
		TEST(a_parameter_is_set_and_set_again),
		TEST(an_order_that_replaces_another_is_void_when_that_is_old),
		TEST(an_order_to_another_incarnation_or_a_lost_node_is_void),
		TEST(a_group_whose_lock_is_held_is_not_started),
		TEST(only_starting_and_stopping_can_be_ordered),
		TEST(a_group_is_stopped_only_where_it_is),
		TEST(an_offline_group_is_not_stopped),
		TEST(a_started_group_holds_its_lock_until_it_is_offline),
		TEST(a_failed_start_refuses_the_node_and_frees_the_lock),
		TEST(a_failed_stop_keeps_the_lock_where_it_is),
		TEST(a_failed_group_is_tried_again_when_somebody_asks),
		TEST(a_report_about_an_old_order_is_refused),
		TEST(a_report_about_an_offline_or_unknown_group_is_refused),
		TEST(a_stop_that_failed_after_a_failure_keeps_the_lock),
		TEST(only_what_has_come_to_an_end_can_be_reported),
		TEST(a_restarted_resource_is_counted),
		TEST(a_task_runs_until_its_group_is_as_asked),
		TEST(a_task_for_what_is_so_already_is_done_at_once),
		TEST(a_failed_stop_fails_its_task),
		TEST(a_later_command_cancels_the_task_of_the_earlier),
		TEST(a_cancelled_task_withdraws_its_wish),
		TEST(a_cancelled_stop_leaves_the_group_online),
		TEST(the_oldest_ended_task_makes_room),
		TEST(of_too_many_events_the_oldest_goes),
		TEST(a_snapshot_gives_an_equal_database),
		TEST(a_snapshot_that_does_not_fit_is_refused),
		TEST(a_cut_snapshot_is_refused),
		TEST(a_damaged_snapshot_is_refused_or_passes_the_check),
		TEST(a_refused_snapshot_leaves_the_database_empty),
		TEST(the_hash_tells_every_part_of_the_epoch),
		TEST(the_check_finds_a_group_on_no_node),
		TEST(the_check_finds_a_resource_of_no_group),
		TEST(the_check_finds_a_group_without_the_lock_it_names),
		TEST(the_check_finds_an_event_of_a_number_to_come),
		TEST(the_check_finds_a_node_in_a_slot_that_does_not_exist),
		TEST(random_commands_keep_every_invariant),
		TEST(every_command_comes_back_from_its_bytes),
		TEST(the_largest_command_fits_its_bound),
		TEST(bad_bytes_of_a_command_are_refused),
		TEST(a_choice_out_of_range_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
