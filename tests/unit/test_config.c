/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of administrators: who and why is kept, versions, all or none, one field, checkpoints. */
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

#include "clusterd/core/config.h"
#include "clusterd/core/msg.h"
#include "clusterd/core/whatif.h"

#define PAYLOAD_MAX (64 * 1024)
#define INC	    0x100

static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = 4,
			[DB_KIND_GROUP] = 4,
			[DB_KIND_RESOURCE] = 4,
			[DB_KIND_PARAM] = 8,
			[DB_KIND_TASK] = 8,
			[DB_KIND_EVENT] = 8,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
			[DB_KIND_FENCE] = 2,
			[DB_KIND_VOLUME] = 2,
			[DB_KIND_MOUNT] = 8,
			[DB_KIND_VM] = 2,
			[DB_KIND_SETTING] = 4,
			[DB_KIND_AFFINITY] = 2,
			[DB_KIND_VERSION] = 32,
			[DB_KIND_AUDIT] = 6,
			[DB_KIND_CHECKPOINT] = 2,
			[DB_KIND_CHECKPOINT_PART] = 4,
		},
	.locks = {.max_sessions = 8, .max_resources = 8, .max_locks = 16, .max_queued = 4},
};

struct fixture {
	struct db db;
	void *mem;
	uint64_t request;
	struct db_result result;
	uint8_t payload[PAYLOAD_MAX];
};

static void put(struct fixture *f, size_t len)
{
	struct db_entry e = {.index = f->db.index + 1,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = 1,
			     .request = ++f->request,
			     .payload = f->payload,
			     .payload_len = len};

	db_apply(&f->db, &e, &f->result);
	assert_null(db_check(&f->db));
}

static size_t encode(struct fixture *f, const struct db_command *cmd, size_t count,
		     const char *object, uint64_t version)
{
	struct db_command head = {.type = DB_CMD_CHANGE,
				  .at_ms = 1000 + f->db.index,
				  .actor = "eva@n1",
				  .change = {.user = "eva",
					     .uid = 1001,
					     .pid = 4711,
					     .program = "clusterctl",
					     .node = "n1",
					     .reason = "ticket 12",
					     .if_version = version}};
	size_t len = 0;

	snprintf(head.change.object, DB_KEY_MAX, "%s", object);
	assert_int_equal(db_change_encode(&head, cmd, count, f->payload, sizeof(f->payload), &len),
			 0);
	return len;
}

static enum db_code change_if(struct fixture *f, const struct db_command *cmd, size_t count,
			      const char *object, uint64_t version)
{
	put(f, encode(f, cmd, count, object, version));
	return f->result.code;
}

static enum db_code change(struct fixture *f, const struct db_command *cmd, size_t count)
{
	return change_if(f, cmd, count, CONFIG_WHOLE, DB_ANY_VERSION);
}

#define CMD(TYPE, member, ...) ((struct db_command){.type = DB_CMD_##TYPE, .member = {__VA_ARGS__}})
#define DO(f, ...)	       change((f), &CMD(__VA_ARGS__), 1)
#define DONE(f, ...)	       assert_int_equal(DO(f, __VA_ARGS__), DB_OK)
#define SET(f, kind_, name_, field_, value_)                                                       \
	DO(f, CONFIG_SET, config_set, .kind = kind_, .name = name_, .field = field_,               \
	   .value = value_)

/* All but the index and who asked last. */
static uint64_t content_hash(const struct fixture *f)
{
	struct db db = f->db;

	db.index = 0;
	db.table[DB_KIND_ORIGIN].count = 0;
	return db_hash(&db);
}

static const struct db_audit *newest(const struct fixture *f)
{
	uint32_t n = db_count(&f->db, DB_KIND_AUDIT);

	assert_true(n > 0);
	return db_at(&f->db, DB_KIND_AUDIT, n - 1);
}

static const struct db_group *group(const struct fixture *f, const char *name)
{
	const struct db_group *g = db_find(&f->db, DB_KIND_GROUP, name);

	assert_non_null(g);
	return g;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->mem = malloc(db_size(&limits));
	assert_non_null(f->mem);
	assert_int_equal(db_init(&f->db, f->mem, db_size(&limits), &limits), 0);
	DONE(f, NODE_ADMIT, node_admit, .name = "n0", .slot = 0, .nodeid = 1, .incarnation = INC,
	     .instance = 1, .boot = "b");
	DONE(f, GROUP_CREATE, group_create, .name = "web", .priority = 100);
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

/* The group runs on n0. */
static void run_group(struct fixture *f)
{
	DONE(f, GROUP_INTENT, group_intent, .name = "web", .intent = DB_INTENT_ONLINE,
	     .wish = CL_NODE_NONE, .verb = "group-start");
	DONE(f, GROUP_ORDER, group_order, .name = "web", .work = DB_WORK_STARTING,
	     .incarnation = INC);
	DONE(f, GROUP_REPORT, group_report, .name = "web", .work = DB_WORK_ONLINE,
	     .order = f->db.index);
}

/* ---- who, when, from where, why */

static void who_asked_and_why_is_kept_with_the_command_in_words(void **state)
{
	struct fixture *f = *state;
	const struct db_audit *a;

	DONE(f, GROUP_SET, group_set, .name = "web", .keeps_stop_failure = true, .failover_max = 3,
	     .failover_ms = DB_KEEP, .retry_ms = DB_KEEP);
	a = newest(f);
	assert_string_equal(a->user, "eva");
	assert_int_equal(a->uid, 1001);
	assert_int_equal(a->pid, 4711);
	assert_string_equal(a->program, "clusterctl");
	assert_string_equal(a->node, "n1");
	assert_string_equal(a->reason, "ticket 12");
	assert_string_equal(a->object, "group/web");
	assert_int_equal(a->index, f->db.index);
	assert_non_null(strstr(a->words, "group set web"));
	assert_non_null(strstr(a->words, "failover_max=3"));
	assert_null(strstr(a->words, "retry_ms")); /* it was kept */
}

static void values_of_parameters_are_in_no_word(void **state)
{
	struct fixture *f = *state;

	DONE(f, FENCE_CREATE, fence_create, .name = "bmc", .agent = "/usr/sbin/fence_x",
	     .params = "user=adm\npassword=hunter2\n");
	assert_string_equal(newest(f)->object, "fence/bmc");
	assert_non_null(strstr(newest(f)->words, "params=user,password"));
	assert_null(strstr(newest(f)->words, "hunter2"));
	assert_int_equal(SET(f, "fence", "bmc", "params.password", "hunter3"), DB_OK);
	assert_non_null(strstr(newest(f)->words, "params.password"));
	assert_null(strstr(newest(f)->words, "hunter3"));
	DONE(f, PARAM_SET, param_set, .key = "fence.bmc/password", .value = "hunter4");
	assert_null(strstr(newest(f)->words, "hunter4"));
	for (uint32_t i = 0; i < db_count(&f->db, DB_KIND_EVENT); i++) {
		const struct db_event *e = db_at(&f->db, DB_KIND_EVENT, i);

		assert_null(strstr(e->text, "hunter"));
	}
}

static void what_was_refused_leaves_no_line_and_the_oldest_line_goes(void **state)
{
	struct fixture *f = *state;
	uint64_t first = newest(f)->id;

	assert_int_equal(DO(f, GROUP_DELETE, group_delete, .name = "none"), DB_NO_SUCH);
	assert_int_equal(newest(f)->id, first);
	for (int i = 0; i < 10; i++)
		DONE(f, NODE_PAUSE, node_pause, .name = "n0", .pause = i & 1);
	assert_int_equal(db_count(&f->db, DB_KIND_AUDIT), limits.capacity[DB_KIND_AUDIT]);
	assert_int_equal(newest(f)->id, first + 10);
}

/* ---- versions */

static void a_version_rises_with_the_configuration_and_not_with_the_state(void **state)
{
	struct fixture *f = *state;
	uint64_t made = config_version(&f->db, "group/web"), set;

	assert_int_equal(made, f->db.index);
	run_group(f);
	DONE(f, NODE_PAUSE, node_pause, .name = "n0", .pause = true);
	assert_int_equal(config_version(&f->db, "group/web"), made);
	assert_int_equal(config_version(&f->db, CONFIG_WHOLE), made);
	assert_int_equal(SET(f, "group", "web", "priority", "7"), DB_OK);
	set = f->db.index;
	assert_int_equal(group(f, "web")->priority, 7);
	assert_int_equal(config_version(&f->db, "group/web"), set);
	assert_int_equal(SET(f, "group", "web", "priority", "7"), DB_OK); /* it is so already */
	assert_int_equal(config_version(&f->db, "group/web"), set);
	assert_int_equal(config_version(&f->db, "group/other"), 0);
}

static void only_the_first_of_two_who_saw_the_same_version_is_heard(void **state)
{
	struct fixture *f = *state;
	uint64_t seen = config_version(&f->db, "group/web"), hash;
	struct db_command a = CMD(CONFIG_SET, config_set, .kind = "group", .name = "web",
				  .field = "priority", .value = "1");
	struct db_command b = CMD(CONFIG_SET, config_set, .kind = "group", .name = "web",
				  .field = "priority", .value = "2");

	assert_int_equal(change_if(f, &a, 1, "group/web", seen), DB_OK);
	hash = content_hash(f);
	assert_int_equal(change_if(f, &b, 1, "group/web", seen), DB_CONFLICT);
	assert_true(f->result.is_stale);
	assert_non_null(strstr(f->result.text, "group/web has version"));
	assert_int_equal(content_hash(f), hash);
	assert_int_equal(change_if(f, &b, 1, "group/web", config_version(&f->db, "group/web")),
			 DB_OK);
	assert_int_equal(group(f, "web")->priority, 2);
}

static void what_is_deleted_has_no_version_and_the_whole_has_a_new_one(void **state)
{
	struct fixture *f = *state;

	DONE(f, GROUP_DELETE, group_delete, .name = "web");
	assert_int_equal(config_version(&f->db, "group/web"), 0);
	assert_int_equal(config_version(&f->db, CONFIG_WHOLE), f->db.index);
	assert_int_equal(db_count(&f->db, DB_KIND_VERSION), 2); /* that of n0, too */
}

/* ---- all or none */

static void of_several_commands_all_are_done_or_none(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd[] = {
		CMD(GROUP_CREATE, group_create, .name = "db", .priority = 5),
		CMD(RESOURCE_CREATE, resource_create, .name = "r", .group = "db",
		    .agent = "ocf:a:b", .params = "x=1\ny=2\n"),
		CMD(GROUP_DELETE, group_delete, .name = "web"),
		CMD(CONFIG_SET, config_set, .kind = "group", .name = "web", .field = "priority",
		    .value = "1"),
	};
	uint64_t hash;

	run_group(f);
	hash = content_hash(f);
	assert_int_equal(change(f, cmd, 4), DB_REFUSED); /* web runs */
	assert_non_null(strstr(f->result.text, "command 3 of 4, group delete web: "));
	assert_int_equal(content_hash(f), hash);
	assert_null(db_find(&f->db, DB_KIND_GROUP, "db"));
	cmd[2] = cmd[3];
	assert_int_equal(change(f, cmd, 3), DB_OK);
	assert_int_equal(group(f, "web")->priority, 1);
	assert_int_equal(config_version(&f->db, "resource/r"), f->db.index);
	assert_int_equal(newest(f)->index, f->db.index);
}

static void locks_and_tasks_go_back_too(void **state)
{
	struct fixture *f = *state;
	struct db_command cmd[] = {
		CMD(GROUP_INTENT, group_intent, .name = "web", .intent = DB_INTENT_ONLINE,
		    .wish = CL_NODE_NONE, .verb = "group-start"),
		CMD(GROUP_ORDER, group_order, .name = "web", .work = DB_WORK_STARTING,
		    .incarnation = INC),
		CMD(GROUP_DELETE, group_delete, .name = "none"),
	};
	uint64_t hash = content_hash(f);

	assert_int_equal(change(f, cmd, 3), DB_NO_SUCH);
	assert_int_equal(content_hash(f), hash);
	assert_int_equal(f->result.task, 0);
	run_group(f); /* its lock is to be had */
}

static void bytes_that_are_no_change_do_nothing(void **state)
{
	struct fixture *f = *state;
	struct db_command one = CMD(GROUP_DELETE, group_delete, .name = "web");
	struct db_command nested = {.type = DB_CMD_CHANGE};
	size_t len = encode(f, &one, 1, CONFIG_WHOLE, DB_ANY_VERSION);
	uint64_t hash = content_hash(f);

	for (size_t n = 2; n < len; n += 3) {
		put(f, n);
		assert_int_equal(f->result.code, DB_INVALID);
	}
	put(f, len + 1);
	assert_int_equal(f->result.code, DB_INVALID);
	assert_int_equal(change(f, &nested, 1), DB_INVALID);
	assert_int_equal(change(f, &one, 0), DB_INVALID);
	assert_int_equal(content_hash(f), hash);
	assert_int_equal(
		db_change_encode(&CMD(CHANGE, change, .uid = 0), &one, 1, f->payload, 8, &len),
		-ENOBUFS);
}

/* ---- fields */

static void every_word_of_the_table_is_a_field(void **state)
{
	(void)state;
	for (size_t n = 0; n < CONFIG_KINDS; n++) {
		const struct config_kind *k = config_kind_at(n);
		const char *lists[] = {k->always, k->offline, k->fixed};
		uint32_t words = 0, fields = 0;

		assert_ptr_equal(config_kind_find(k->section), k);
		assert_ptr_equal(config_kind_find(db_kind_shape(k->kind)->name), k);
		for (size_t i = 0; i < 3; i++) {
			for (const char *p = lists[i]; p && *p; p += strspn(p, " ")) {
				words++;
				p += strcspn(p, " ");
			}
		}
		while (config_field_at(k, fields))
			fields++;
		assert_int_equal(words, fields);
	}
}

static void a_field_takes_only_what_it_can_hold(void **state)
{
	static const char *const bad[][4] = {
		{"group", "web", "priority", "256"},
		{"group", "web", "priority", "-1"},
		{"group", "web", "priority", ""},
		{"group", "web", "failover_max", "1001"},
		{"group", "web", "failover_ms", "999"},
		{"group", "web", "failover_ms", "0"},
		{"group", "web", "retry_ms", "5"},
		{"group", "web", "on_stop_failure", "explode"},
		{"group", "web", "possible", "n0,n9"},
		{"group", "web", "possible", ""},
		{"group", "web", "preferred", "n0,n0"},
		{"group", "web", "failback", "hours"}, /* which */
		{"group", "web", "work", "online"},
		{"group", "web", "params.x", "1"},
		{"task", "web", "verb", "1"},
	};
	struct fixture *f = *state;
	uint64_t hash = content_hash(f);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct db_command c = {.type = DB_CMD_CONFIG_SET};

		snprintf(c.config_set.kind, DB_VERB_MAX, "%s", bad[i][0]);
		snprintf(c.config_set.name, DB_KEY_MAX, "%s", bad[i][1]);
		snprintf(c.config_set.field, DB_FIELD_MAX, "%s", bad[i][2]);
		snprintf(c.config_set.value, DB_PARAMS_MAX, "%s", bad[i][3]);
		assert_int_equal(change(f, &c, 1), DB_INVALID);
		assert_string_not_equal(f->result.text, "");
	}
	assert_int_equal(SET(f, "group", "none", "priority", "1"), DB_NO_SUCH);
	assert_int_equal(SET(f, "group", "web", "volumes", "none"), DB_NO_SUCH);
	assert_int_equal(content_hash(f), hash);
	assert_int_equal(SET(f, "group", "web", "retry_ms", "0"), DB_OK);
	assert_int_equal(SET(f, "group", "web", "on_stop_failure", "block"), DB_OK);
	assert_int_equal(SET(f, "group", "web", "possible", "n0"), DB_OK);
	assert_int_equal(group(f, "web")->possible, 1);
	assert_int_equal(SET(f, "group", "web", "possible", "all"), DB_OK);
	assert_int_equal(group(f, "web")->possible, UINT16_MAX);
	assert_int_equal(SET(f, "group", "web", "preferred", "n0"), DB_OK);
	assert_int_equal(SET(f, "group", "web", "failback", "immediate"), DB_OK);
	assert_int_equal(group(f, "web")->failback, DB_FAILBACK_IMMEDIATE);
}

static void what_runs_keeps_its_agent_and_its_parameters(void **state)
{
	struct fixture *f = *state;

	DONE(f, RESOURCE_CREATE, resource_create, .name = "r", .group = "web", .agent = "ocf:a:b",
	     .params = "x=1\n");
	run_group(f);
	assert_int_equal(SET(f, "resource", "r", "agent", "ocf:a:c"), DB_REFUSED);
	assert_non_null(strstr(f->result.text, "stop it first"));
	assert_int_equal(SET(f, "resource", "r", "params.x", "2"), DB_REFUSED);
	assert_int_equal(DO(f, CONFIG_UNSET, config_unset, .kind = "resource", .name = "r",
			    .field = "params.x"),
			 DB_REFUSED);
	assert_int_equal(SET(f, "resource", "r", "group", "other"), DB_REFUSED);
	assert_int_equal(SET(f, "resource", "r", "stop_ms", "5000"), DB_OK);
	assert_int_equal(SET(f, "group", "web", "priority", "9"), DB_OK);
}

static void parameters_come_and_go(void **state)
{
	struct fixture *f = *state;

	DONE(f, RESOURCE_CREATE, resource_create, .name = "r", .group = "web", .agent = "ocf:a:b",
	     .params = "x=1\n");
	assert_int_equal(SET(f, "resource", "r", "params.y", "a=b c"), DB_OK);
	assert_int_equal(config_version(&f->db, "resource/r"), f->db.index);
	assert_non_null(db_find(&f->db, DB_KIND_PARAM, "r/y"));
	DONE(f, CONFIG_UNSET, config_unset, .kind = "resource", .name = "r", .field = "params.x");
	assert_null(db_find(&f->db, DB_KIND_PARAM, "r/x"));
	assert_int_equal(DO(f, CONFIG_UNSET, config_unset, .kind = "resource", .name = "r",
			    .field = "params.x"),
			 DB_NO_SUCH);
}

/* ---- checkpoints */

static void a_checkpoint_is_kept_until_it_is_deleted(void **state)
{
	struct fixture *f = *state;
	const struct db_checkpoint_part *p;
	uint64_t hash;

	DONE(f, CHECKPOINT_CREATE, checkpoint_create, .name = "before");
	p = db_find(&f->db, DB_KIND_CHECKPOINT_PART, "before/00000");
	assert_non_null(p);
	assert_non_null(strstr(p->text, "groups\tweb\t\t\n"));
	assert_non_null(strstr(p->text, "groups\tweb\tpriority\t100\n"));
	assert_non_null(strstr(p->text, "nodes\tn0\t\t\n"));
	assert_null(strstr(p->text, "offline"));
	assert_int_equal(DO(f, CHECKPOINT_CREATE, checkpoint_create, .name = "before"),
			 DB_CONFLICT);
	DONE(f, CHECKPOINT_CREATE, checkpoint_create, .name = "other");
	hash = content_hash(f);
	assert_int_equal(DO(f, CHECKPOINT_CREATE, checkpoint_create, .name = "third"), DB_REFUSED);
	assert_int_equal(content_hash(f), hash);
	DONE(f, CHECKPOINT_DELETE, checkpoint_delete, .name = "before");
	assert_int_equal(db_count(&f->db, DB_KIND_CHECKPOINT_PART), 1);
	assert_int_equal(DO(f, CHECKPOINT_DELETE, checkpoint_delete, .name = "before"), DB_NO_SUCH);
}

static void one_that_has_no_room_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct db_command c = CMD(RESOURCE_CREATE, resource_create, .name = "r", .group = "web",
				  .agent = "ocf:a:b");
	uint64_t hash;

	for (int i = 0; i < 6; i++) /* with their names more than a part holds */
		snprintf(c.resource_create.params + strlen(c.resource_create.params), 512,
			 "p%d=%0500d\n", i, i);
	assert_int_equal(change(f, &c, 1), DB_OK);
	DONE(f, CHECKPOINT_CREATE, checkpoint_create, .name = "a");
	assert_int_equal(db_count(&f->db, DB_KIND_CHECKPOINT_PART), 2);
	hash = content_hash(f);
	assert_int_equal(DO(f, CHECKPOINT_CREATE, checkpoint_create, .name = "b"), DB_OK);
	DONE(f, CHECKPOINT_DELETE, checkpoint_delete, .name = "b");
	f->db.table[DB_KIND_CHECKPOINT_PART].capacity = 3;
	hash = content_hash(f);
	assert_int_equal(DO(f, CHECKPOINT_CREATE, checkpoint_create, .name = "b"), DB_REFUSED);
	assert_int_equal(content_hash(f), hash);
	f->db.table[DB_KIND_CHECKPOINT_PART].capacity = 4;
}

static void a_line_is_taken_apart_as_it_was_written(void **state)
{
	char line[] = "groups\tweb\tvolumes\ta\tb";
	char bad[] = "groups\tweb\tvolumes";
	struct config_item item;

	(void)state;
	assert_true(config_item_parse(line, &item));
	assert_string_equal(item.section, "groups");
	assert_string_equal(item.name, "web");
	assert_string_equal(item.field, "volumes");
	assert_string_equal(item.value, "a\tb");
	assert_false(config_item_parse(bad, &item));
}

/* ---- documents */

#define ITEMS_MAX 128

/* Items that own their texts. */
struct doc {
	struct config_item item[ITEMS_MAX];
	char text[ITEMS_MAX][3][64];
	size_t count;
	struct fixture *to; /* of the plan */
	uint32_t commands;
};

static void take_item(void *arg, const struct config_item *item)
{
	struct doc *d = arg;
	char(*text)[64] = d->text[d->count];

	assert_true(d->count < ITEMS_MAX);
	snprintf(text[0], 64, "%s", item->name);
	snprintf(text[1], 64, "%s", item->field);
	snprintf(text[2], 64, "%s", item->value);
	d->item[d->count++] = (struct config_item){
		.section = item->section, .name = text[0], .field = text[1], .value = text[2]};
}

static int by_order(const void *a, const void *b)
{
	return config_item_compare(a, b);
}

static struct doc *doc_of(const struct fixture *f)
{
	struct doc *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	config_each(&f->db, take_item, d);
	qsort(d->item, d->count, sizeof(d->item[0]), by_order);
	return d;
}

static void assert_same_doc(const struct fixture *a, const struct fixture *b)
{
	struct doc *x = doc_of(a), *y = doc_of(b);

	assert_int_equal(x->count, y->count);
	for (size_t i = 0; i < x->count; i++) {
		assert_int_equal(config_item_compare(&x->item[i], &y->item[i]), 0);
		assert_string_equal(x->item[i].value, y->item[i].value);
	}
	free(x);
	free(y);
}

static void count_command(void *arg, const struct db_command *cmd)
{
	struct doc *d = arg;

	(void)cmd;
	d->commands++;
}

static struct config_plan planned(struct doc *d, struct fixture *to, bool prunes)
{
	struct config_plan p = {.db = &to->db,
				.item = d->item,
				.count = d->count,
				.prunes = prunes,
				.take = count_command,
				.arg = d};

	d->commands = 0;
	config_plan_run(&p);
	assert_null(db_check(&to->db));
	return p;
}

static void make_various(struct fixture *f)
{
	DONE(f, FENCE_CREATE, fence_create, .name = "bmc", .agent = "/usr/sbin/fence_x", .level = 3,
	     .nodes = 1, .params = "ip=10.0.0.1\n");
	DONE(f, GROUP_CREATE, group_create, .name = "db", .priority = 7, .possible = 1);
	DONE(f, RESOURCE_CREATE, resource_create, .name = "r", .group = "db", .agent = "ocf:a:b",
	     .restart_max = 9, .params = "x=1\ny=a b\n");
	DONE(f, SETTING_SET, setting_set, .key = "quorum.priority/n0", .value = "50");
	assert_int_equal(SET(f, "group", "db", "preferred", "n0"), DB_OK);
	assert_int_equal(SET(f, "group", "db", "failback", "immediate"), DB_OK);
	DONE(f, AFFINITY_CREATE, affinity_create, .name = "away", .groups = "db,web",
	     .is_apart = true);
}

static void a_document_makes_another_database_the_same_and_then_nothing(void **state)
{
	struct fixture *f = *state, *other;
	struct doc *d;
	void *other_state;

	make_various(f);
	d = doc_of(f);
	assert_int_equal(setup(&other_state), 0);
	other = other_state;
	assert_int_equal(planned(d, other, false).code, DB_OK);
	assert_true(d->commands > 4);
	assert_same_doc(f, other);
	assert_int_equal(planned(d, other, true).code, DB_OK);
	assert_int_equal(d->commands, 0);

	/* What came since goes with pruning only. */
	DONE(other, GROUP_CREATE, group_create, .name = "new");
	assert_int_equal(SET(other, "resource", "r", "params.z", "1"), DB_OK);
	assert_int_equal(planned(d, other, false).code, DB_OK);
	assert_int_equal(d->commands, 0);
	assert_int_equal(planned(d, other, true).code, DB_OK);
	assert_int_equal(d->commands, 2);
	assert_same_doc(f, other);

	/* One that differs is changed, one that is not named goes. */
	assert_int_equal(SET(other, "affinity", "away", "is_apart", "false"), DB_OK);
	assert_int_equal(SET(other, "affinity", "away", "groups", "db,db"), DB_INVALID);
	assert_int_equal(SET(other, "affinity", "away", "groups", "db,none"), DB_NO_SUCH);
	DONE(other, AFFINITY_CREATE, affinity_create, .name = "more", .groups = "web,db");
	assert_int_equal(planned(d, other, true).code, DB_OK);
	assert_int_equal(d->commands, 2);
	assert_same_doc(f, other);
	assert_null(db_find(&other->db, DB_KIND_AFFINITY, "more"));
	free(d);
	teardown(&other_state);
}

static void what_a_document_cannot_have_is_refused_at_its_item(void **state)
{
	struct fixture *f = *state;
	struct config_item item[] = {
		{.section = "groups", .name = "web", .field = "", .value = ""},
		{.section = "groups", .name = "web", .field = "priority", .value = "256"},
	};
	struct doc d = {.item = {item[0], item[1]}, .count = 2};
	struct config_plan p = planned(&d, f, false);

	assert_int_equal(p.code, DB_INVALID);
	assert_ptr_equal(p.bad, &d.item[1]);
	assert_int_equal(d.commands, 0);
	d.item[0].name = d.item[1].name = "none"; /* then it is made, before that is seen */
	p = planned(&d, f, false);
	assert_int_equal(p.code, DB_INVALID);
	d.item[0] =
		(struct config_item){.section = "nodes", .name = "n9", .field = "", .value = ""};
	d.count = 1;
	assert_int_equal(planned(&d, f, false).code, DB_NO_SUCH);
	run_group(f);
	d.count = 0;
	p = planned(&d, f, true); /* nothing is named, and web runs */
	assert_int_equal(p.code, DB_REFUSED);
	assert_null(p.bad);
	assert_non_null(db_find(&f->db, DB_KIND_GROUP, "web"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_asked_and_why_is_kept_with_the_command_in_words),
		TEST(values_of_parameters_are_in_no_word),
		TEST(what_was_refused_leaves_no_line_and_the_oldest_line_goes),
		TEST(a_version_rises_with_the_configuration_and_not_with_the_state),
		TEST(only_the_first_of_two_who_saw_the_same_version_is_heard),
		TEST(what_is_deleted_has_no_version_and_the_whole_has_a_new_one),
		TEST(of_several_commands_all_are_done_or_none),
		TEST(locks_and_tasks_go_back_too),
		TEST(bytes_that_are_no_change_do_nothing),
		TEST(every_word_of_the_table_is_a_field),
		TEST(a_field_takes_only_what_it_can_hold),
		TEST(what_runs_keeps_its_agent_and_its_parameters),
		TEST(parameters_come_and_go),
		TEST(a_checkpoint_is_kept_until_it_is_deleted),
		TEST(one_that_has_no_room_leaves_nothing),
		TEST(a_document_makes_another_database_the_same_and_then_nothing),
		TEST(what_a_document_cannot_have_is_refused_at_its_item),
		cmocka_unit_test(a_line_is_taken_apart_as_it_was_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
