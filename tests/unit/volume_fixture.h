/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Three nodes, the volume v on them, and short ways to say what happens to it. */
#ifndef TESTS_UNIT_VOLUME_FIXTURE_H
#define TESTS_UNIT_VOLUME_FIXTURE_H

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
#include "clusterd/core/volume.h"

#define NODES	    3
#define UUID	    "11111111-2222-3333-4444-555555555555"
#define UUID_2	    "11111111-2222-3333-4444-666666666666"
#define INC(slot)   (0x100u + (slot))	 /* of the first boot */
#define LATER(slot) (0x200u + (slot))	 /* of the next */
#define ID(slot)    (0xd00000u + (slot)) /* of the mount there */
#define PORT	    7001

static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = CL_MAX_NODES,
			[DB_KIND_GROUP] = 4,
			[DB_KIND_RESOURCE] = 2,
			[DB_KIND_PARAM] = 2,
			[DB_KIND_TASK] = 6,
			[DB_KIND_EVENT] = 8,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
			[DB_KIND_FENCE] = 2,
			[DB_KIND_VOLUME] = 3,
			[DB_KIND_MOUNT] = 6,
			[DB_KIND_VM] = 2,
			[DB_KIND_MIGRATION] = 3,
			[DB_KIND_NETWORK] = 2,
			[DB_KIND_DECISION] = 4,
			[DB_KIND_JOB] = 2,
			[DB_KIND_SNAPSHOT] = 2,
		},
	.locks = {.max_sessions = 12, .max_resources = 16, .max_locks = 24, .max_queued = 4},
};

struct fixture {
	struct db db;
	void *mem;
	uint64_t request;
	uint64_t later_ms; /* of all commands from now on */
	struct db_result result;
	struct plan_orders orders;
};

static inline enum db_code apply(struct fixture *f, struct db_command cmd)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = f->db.index + 1,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = 1,
			     .request = ++f->request,
			     .payload = buf};

	cmd.at_ms = 1000 + f->db.index + f->later_ms;
	snprintf(cmd.actor, sizeof(cmd.actor), "admin");
	assert_int_equal(db_command_encode(&cmd, buf, sizeof(buf), &e.payload_len), 0);
	db_apply(&f->db, &e, &f->result);
	assert_null(db_check(&f->db));
	return f->result.code;
}

/* A command by its fields: DO(f, VOLUME_DELETE, volume_delete, .name = "v"). */
#define DO(f, TYPE, member, ...)                                                                   \
	apply((f), (struct db_command){.type = DB_CMD_##TYPE, .member = {__VA_ARGS__}})

#define DONE(f, ...) assert_int_equal(DO(f, __VA_ARGS__), DB_OK)

/* Hash of all that a refused command must leave alone: not the index, nor who asked last. */
static inline uint64_t content_hash(const struct fixture *f)
{
	struct db db = f->db;

	db.index = 0;
	db.table[DB_KIND_ORIGIN].count = 0;
	return db_hash(&db);
}

#define REFUSED(f, code, ...)                                                                      \
	do {                                                                                       \
		uint64_t refused_hash = content_hash(f);                                           \
		assert_int_equal(DO(f, __VA_ARGS__), code);                                        \
		assert_string_not_equal((f)->result.text, "");                                     \
		assert_int_equal(content_hash(f), refused_hash);                                   \
	} while (0)

static inline void admit(struct fixture *f, uint8_t slot, uint64_t incarnation)
{
	struct db_command c = {.type = DB_CMD_NODE_ADMIT,
			       .node_admit = {.slot = slot,
					      .nodeid = 100u + slot,
					      .incarnation = incarnation,
					      .instance = 1}};

	snprintf(c.node_admit.name, CL_NAME_MAX, "n%u", slot);
	snprintf(c.node_admit.boot, DB_UUID_TEXT, "boot-%x", (unsigned int)incarnation);
	assert_int_equal(apply(f, c), DB_OK);
}

/* Fixture with its nodes admitted and v created, nothing more. */
static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->mem = malloc(db_size(&limits));
	assert_non_null(f->mem);
	assert_int_equal(db_init(&f->db, f->mem, db_size(&limits), &limits), 0);
	for (uint8_t i = 0; i < NODES; i++)
		admit(f, i, INC(i));
	DONE(f, VOLUME_CREATE, volume_create, .name = "v", .uuid = UUID, .device = "/dev/lun");
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->mem);
	free(f);
	return 0;
}

static inline struct db_node *node(struct fixture *f, uint8_t slot)
{
	struct db_node *n = db_node_by_slot(&f->db, slot);

	assert_non_null(n);
	return n;
}

static inline struct db_volume *volume(struct fixture *f, const char *name)
{
	struct db_volume *v = db_find(&f->db, DB_KIND_VOLUME, name);

	assert_non_null(v);
	return v;
}

static inline struct db_mount *mount_of(struct fixture *f, uint8_t slot)
{
	return volume_mount(&f->db, "v", slot);
}

static inline struct db_group *group(struct fixture *f, const char *name)
{
	struct db_group *g = db_find(&f->db, DB_KIND_GROUP, name);

	assert_non_null(g);
	return g;
}

static inline struct db_task *task(struct fixture *f, uint64_t id)
{
	struct db_task *t = db_find_id(&f->db, DB_KIND_TASK, id);

	assert_non_null(t);
	return t;
}

static inline enum db_code order(struct fixture *f, enum db_work work, uint8_t slot)
{
	return DO(f, VOLUME_ORDER, volume_order, .name = "v", .work = (uint8_t)work, .node = slot,
		  .incarnation = node(f, slot)->incarnation, .previous = volume(f, "v")->order,
		  .reason = "a test");
}

static inline enum db_code report(struct fixture *f, enum db_work work)
{
	return DO(f, VOLUME_REPORT, volume_report, .name = "v", .order = volume(f, "v")->order,
		  .work = (uint8_t)work, .port = work == DB_WORK_ONLINE ? PORT : 0,
		  .reason = "reported");
}

/* v has its coordinator there. */
static inline void make_online(struct fixture *f, uint8_t slot)
{
	assert_int_equal(order(f, DB_WORK_STARTING, slot), DB_OK);
	assert_int_equal(report(f, DB_WORK_ONLINE), DB_OK);
}

static inline enum db_code mount_set(struct fixture *f, uint8_t slot, uint64_t id)
{
	return DO(f, MOUNT_SET, mount_set, .volume = "v", .slot = slot,
		  .incarnation = node(f, slot)->incarnation, .id = id);
}

/* v is mounted there under ID(slot). */
static inline void make_mounted(struct fixture *f, uint8_t slot)
{
	assert_int_equal(mount_set(f, slot, ID(slot)), DB_OK);
	DONE(f, MOUNT_REPORT, mount_report, .volume = "v", .slot = slot, .id = ID(slot));
}

static inline enum db_code gone(struct fixture *f, uint8_t slot)
{
	return DO(f, MOUNT_GONE, mount_gone, .volume = "v", .slot = slot,
		  .incarnation = mount_of(f, slot)->incarnation, .id = mount_of(f, slot)->id,
		  .reason = "its process ended");
}

/* What the coordinator, or the node itself, says of the mount there. */
static inline enum db_code voice(struct fixture *f, uint8_t slot, enum db_mount_voice what,
				 uint8_t company)
{
	return DO(f, MOUNT_VOICE, mount_voice, .volume = "v", .slot = slot,
		  .id = mount_of(f, slot)->id, .term = volume(f, "v")->term, .voice = (uint8_t)what,
		  .company = company, .reason = "inode 7");
}

static inline enum db_code recovered(struct fixture *f, uint64_t term, uint8_t slot)
{
	return DO(f, VOLUME_RECOVERED, volume_recovered, .volume = "v", .term = term, .slot = slot,
		  .incarnation = mount_of(f, slot)->incarnation, .id = mount_of(f, slot)->id);
}

static inline void lose(struct fixture *f, uint8_t slot)
{
	struct db_command c = {.type = DB_CMD_NODE_LOST,
			       .node_lost = {.incarnation = node(f, slot)->incarnation}};

	memcpy(c.node_lost.name, node(f, slot)->name, CL_NAME_MAX);
	assert_int_equal(apply(f, c), DB_OK);
}

static inline void fence(struct fixture *f, uint8_t slot)
{
	struct db_command c = {
		.type = DB_CMD_NODE_FENCED,
		.node_fenced = {.incarnation = node(f, slot)->incarnation, .how = "off"}};

	lose(f, slot);
	memcpy(c.node_fenced.name, node(f, slot)->name, CL_NAME_MAX);
	assert_int_equal(apply(f, c), DB_OK);
}

static inline enum db_code leave(struct fixture *f, uint8_t slot, bool is_done)
{
	struct db_command c = {
		.type = DB_CMD_NODE_LEAVE,
		.node_leave = {.incarnation = node(f, slot)->incarnation, .is_done = is_done}};

	memcpy(c.node_leave.name, node(f, slot)->name, CL_NAME_MAX);
	return apply(f, c);
}

static inline enum db_code pause_node(struct fixture *f, uint8_t slot, bool drain)
{
	struct db_command c = {.type = DB_CMD_NODE_PAUSE,
			       .node_pause = {.pause = true, .drain = drain}};

	memcpy(c.node_pause.name, node(f, slot)->name, CL_NAME_MAX);
	return apply(f, c);
}

/* Somebody's lock of that name: how many there are, and the incarnation of the last. */
struct holders {
	const char *name;
	int count;
	uint64_t incarnation;
	bool is_orphaned;
};

static inline int find_holder(void *arg, const struct lk_lock_info *info)
{
	struct holders *h = arg;

	if (info->name_len == strlen(h->name) && !memcmp(info->name, h->name, info->name_len)) {
		h->count++;
		h->incarnation = info->session.incarnation;
		h->is_orphaned = info->session.state == LK_SESSION_ORPHANED;
	}
	return 0;
}

static inline struct holders holders(struct fixture *f, const char *name)
{
	struct holders h = {.name = name};

	lk_each(&f->db.locks, find_holder, &h);
	return h;
}

#define VOL "vol:" UUID
#define MNT "mnt:" UUID

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
