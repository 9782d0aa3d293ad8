/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/db.h"
#include "clusterd/core/job.h"

#include <errno.h>
#include <string.h>

#include "clusterd/core/config.h"
#include "clusterd/core/tree.h"
#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/wire.h"

#define DB_MAGIC UINT32_C(0x42444c43) /* "CLDB" */

const struct db_limits db_limits_full = {
	.capacity =
		{
#define CAPACITY(name, NAME, capacity) [DB_KIND_##NAME] = (capacity),
			DB_KINDS(CAPACITY)
#undef CAPACITY
		},
	.locks =
		{
			.max_sessions = 256,
			.max_resources = 16384,
			.max_locks = 16384,
			.max_queued = 64,
		},
};

/* ---- memory */

static size_t align_up(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

static size_t actions_size(const struct db_limits *limits)
{
	return align_up(lk_actions_max(&limits->locks) * sizeof(struct lk_action));
}

/* Of the database itself; as much again is for what db_keep() keeps. */
static size_t own_size(const struct db_limits *limits)
{
	size_t size = align_up(lk_state_size(&limits->locks)) + actions_size(limits);

	for (int k = 0; k < DB_KIND_MAX; k++) {
		const struct db_shape *shape = db_kind_shape((enum db_kind)k);

		size += align_up((size_t)limits->capacity[k] * shape->size);
		size += align_up((size_t)limits->capacity[k] * sizeof(uint32_t));
	}
	return size;
}

size_t db_size(const struct db_limits *limits)
{
	return 2 * own_size(limits);
}

static void *carve(char **at, size_t size)
{
	void *p = *at;

	*at += align_up(size);
	return p;
}

static void table_clear(struct db_table *t)
{
	t->count = 0;
	for (uint32_t i = 0; i < t->capacity; i++)
		t->order[i] = i;
}

int db_init(struct db *db, void *mem, size_t mem_size, const struct db_limits *limits)
{
	char *at = mem;
	size_t locks_size = lk_state_size(&limits->locks);

	if (mem_size < db_size(limits))
		return -ENOBUFS;
	*db = (struct db){.version = DB_VERSION_MAX,
			  .next_event = 1,
			  .next_task = 1,
			  .limits = *limits,
			  .shadow = own_size(limits)};
	for (int k = 0; k < DB_KIND_MAX; k++) {
		struct db_table *t = &db->table[k];

		t->shape = db_kind_shape((enum db_kind)k);
		t->capacity = limits->capacity[k];
		t->rows = carve(&at, (size_t)t->capacity * t->shape->size);
		t->order = carve(&at, (size_t)t->capacity * sizeof(uint32_t));
		table_clear(t);
	}
	db->lock_actions = (struct lk_actions){
		.items = carve(&at, actions_size(limits)),
		.cap = lk_actions_max(&limits->locks),
	};
	db->locks_mem = at;
	return lk_state_init(&db->locks, at, locks_size, &limits->locks);
}

/* ---- rows */

static void *row_at(const struct db_table *t, uint32_t i)
{
	return t->rows + (size_t)t->order[i] * t->shape->size;
}

/* A row's key starts the row: text, or a number where the first field is u64. */
static int compare_key(const struct db_table *t, const void *row, const char *key, uint64_t id)
{
	uint64_t own;

	if (t->shape->field[0].type == DB_TYPE_str)
		return strcmp(row, key);
	memcpy(&own, row, sizeof(own));
	return own < id ? -1 : own > id;
}

/* Position of the key, or where it belongs. */
static uint32_t search(const struct db_table *t, const char *key, uint64_t id, bool *ret_found)
{
	uint32_t lo = 0, hi = t->count;

	*ret_found = false;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = compare_key(t, row_at(t, mid), key, id);

		if (!c) {
			*ret_found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void *find(const struct db_table *t, const char *key, uint64_t id)
{
	bool found;
	uint32_t i = search(t, key, id, &found);

	return found ? row_at(t, i) : NULL;
}

void *db_find(const struct db *db, enum db_kind kind, const char *key)
{
	must(db->table[kind].shape->field[0].type == DB_TYPE_str);
	return find(&db->table[kind], key, 0);
}

void *db_find_id(const struct db *db, enum db_kind kind, uint64_t id)
{
	must(db->table[kind].shape->field[0].type == DB_TYPE_u64);
	return find(&db->table[kind], NULL, id);
}

void *db_at(const struct db *db, enum db_kind kind, uint32_t i)
{
	must(i < db->table[kind].count);
	return row_at(&db->table[kind], i);
}

uint32_t db_count(const struct db *db, enum db_kind kind)
{
	return db->table[kind].count;
}

uint32_t db_lower(const struct db *db, enum db_kind kind, const char *key)
{
	bool found;

	return search(&db->table[kind], key, 0, &found);
}

static void *insert(struct db_table *t, const char *key, uint64_t id)
{
	bool found;
	uint32_t i = search(t, key, id, &found);
	uint32_t slot;
	void *row;

	must(!found);
	if (t->count == t->capacity)
		return NULL;
	slot = t->order[t->count];
	memmove(&t->order[i + 1], &t->order[i], (t->count - i) * sizeof(*t->order));
	t->order[i] = slot;
	t->count++;
	row = row_at(t, i);
	memset(row, 0, t->shape->size);
	if (key)
		memcpy(row, key, strlen(key) + 1);
	else
		memcpy(row, &id, sizeof(id));
	return row;
}

void *db_insert(struct db *db, enum db_kind kind, const char *key)
{
	must(strlen(key) < db->table[kind].shape->field[0].size);
	return insert(&db->table[kind], key, 0);
}

void *db_insert_id(struct db *db, enum db_kind kind, uint64_t id)
{
	return insert(&db->table[kind], NULL, id);
}

/* What is gone has no version any more. */
static void forget_version(struct db *db, enum db_kind kind, const void *row)
{
	char key[DB_KEY_MAX];
	const struct db_version *v;

	if (!config_key(kind, row, key))
		return;
	v = db_find(db, DB_KIND_VERSION, key);
	if (v)
		db_remove(db, DB_KIND_VERSION, v);
}

void db_remove(struct db *db, enum db_kind kind, const void *row)
{
	struct db_table *t = &db->table[kind];
	uint32_t slot = (uint32_t)(((const char *)row - t->rows) / t->shape->size);
	uint32_t i = 0;

	forget_version(db, kind, row);
	while (i < t->count && t->order[i] != slot)
		i++;
	must(i < t->count);
	t->count--;
	memmove(&t->order[i], &t->order[i + 1], (t->count - i) * sizeof(*t->order));
	t->order[t->count] = slot;
}

struct db_node *db_node_by_slot(const struct db *db, uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (n->slot == slot)
			return n;
	}
	return NULL;
}

bool db_node_departs(const struct db_node *n)
{
	return n->is_leaving || n->is_quarantined;
}

const char *db_node_bar(const struct db_node *n)
{
	if (!n || n->membership != DB_MEMBERSHIP_ADMITTED)
		return "the node is not up";
	if (n->is_leaving)
		return "the node is stopping";
	return n->is_quarantined ? "the node is quarantined" : NULL;
}

const char *db_node_name(const struct db *db, uint8_t slot)
{
	const struct db_node *n = db_node_by_slot(db, slot);

	return n ? n->name : "-";
}

void db_raise(struct db *db, uint16_t version)
{
	for (int k = 0; k < DB_KIND_MAX; k++) {
		struct db_table *t = &db->table[k];
		uint8_t from = db_shape_fields(t->shape, db->version);
		uint8_t to = db_shape_fields(t->shape, version);

		if (db_shape_since(t->shape) > db->version)
			table_clear(t);
		for (uint32_t i = 0; i < t->count; i++) {
			for (uint8_t n = from; n < to; n++)
				memset(row_at(t, i) + t->shape->field[n].offset, 0,
				       t->shape->field[n].size);
		}
	}
	db->version = version;
}

/* ---- the way back */

/* Only what is in use is copied. */
static void copy_tables(struct db *db, bool is_back)
{
	for (int k = 0; k < DB_KIND_MAX; k++) {
		struct db_table *t = &db->table[k];
		size_t order_size = t->capacity * sizeof(*t->order);
		char *kept = (char *)t->order + db->shadow;

		memcpy(is_back ? (char *)t->order : kept, is_back ? kept : (char *)t->order,
		       order_size);
		if (is_back)
			t->count = db->kept.count[k];
		db->kept.count[k] = t->count;
		for (uint32_t i = 0; i < t->count; i++) {
			char *row = row_at(t, i);

			kept = row + db->shadow;
			memcpy(is_back ? row : kept, is_back ? kept : row, t->shape->size);
		}
	}
}

void db_keep(struct db *db)
{
	copy_tables(db, false);
	db->kept.next_event = db->next_event;
	db->kept.next_task = db->next_task;
	db->kept.locks = db->locks;
	memcpy((char *)db->locks_mem + db->shadow, db->locks_mem, lk_state_size(&db->limits.locks));
}

void db_go_back(struct db *db)
{
	copy_tables(db, true);
	db->next_event = db->kept.next_event;
	db->next_task = db->kept.next_task;
	db->locks = db->kept.locks;
	memcpy(db->locks_mem, (char *)db->locks_mem + db->shadow, lk_state_size(&db->limits.locks));
}

/* ---- snapshot */

size_t db_encoded_max(const struct db *db)
{
	size_t size = 64 + lk_encoded_max(&db->limits.locks);

	for (int k = 0; k < DB_KIND_MAX; k++) {
		const struct db_table *t = &db->table[k];

		size += 8 + (size_t)t->count * (t->shape->size + 2u * t->shape->field_count);
	}
	return size;
}

static void put_locks(struct wire_writer *w, const struct db *db)
{
	size_t at = w->pos, len;

	wire_put_u32(w, 0);
	if (w->error)
		return;
	if (lk_encode(&db->locks, w->data + w->pos, w->cap - w->pos, &len)) {
		w->error = -ENOBUFS;
		return;
	}
	w->pos += len;
	wire_patch_u32(w, at, (uint32_t)len);
}

int db_encode(const struct db *db, void *buf, size_t cap, size_t *ret_len)
{
	struct wire_writer w;

	wire_writer_init(&w, buf, cap);
	wire_put_u32(&w, DB_MAGIC);
	wire_put_u16(&w, db->version);
	wire_put_u64(&w, db->index);
	wire_put_u32(&w, db->epoch.generation);
	wire_put_u64(&w, db->epoch.number);
	wire_put_u8(&w, db->epoch.starter);
	wire_put_u64(&w, db->next_event);
	wire_put_u64(&w, db->next_task);
	for (int k = 0; k < DB_KIND_MAX; k++) {
		const struct db_table *t = &db->table[k];

		if (db_shape_since(t->shape) > db->version)
			continue;
		wire_put_u32(&w, t->count);
		for (uint32_t i = 0; i < t->count; i++)
			db_shape_put(&w, t->shape, db->version, row_at(t, i));
	}
	put_locks(&w, db);
	return wire_writer_end(&w, ret_len);
}

static void get_table(struct wire_reader *r, struct db_table *t, uint16_t version)
{
	uint32_t count = db_shape_since(t->shape) > version ? 0 : wire_get_u32(r);

	if (count > t->capacity) {
		wire_reader_fail(r);
		return;
	}
	for (uint32_t i = 0; i < count && !r->error; i++) {
		void *row = t->rows + (size_t)t->order[i] * t->shape->size;
		uint64_t id = 0;

		db_shape_get(r, t->shape, version, row);
		if (t->shape->field[0].type != DB_TYPE_str)
			memcpy(&id, row, sizeof(id));
		if (i && compare_key(t, row_at(t, i - 1), row, id) >= 0)
			wire_reader_fail(r); /* keys ascend: one state, one encoding */
		t->count = i + 1;
	}
}

static void get_locks(struct wire_reader *r, struct db *db)
{
	size_t len;
	const uint8_t *p = wire_get_bytes(r, &len);
	struct lk_state locks;

	if (r->error || lk_decode(p, len, &db->limits.locks, db->locks_mem,
				  lk_state_size(&db->limits.locks), &locks)) {
		wire_reader_fail(r);
		return;
	}
	db->locks = locks;
}

uint16_t db_encoded_version(const void *buf, size_t len)
{
	struct wire_reader r;

	wire_reader_init(&r, buf, len);
	return wire_get_u32(&r) == DB_MAGIC ? wire_get_u16(&r) : 0;
}

int db_decode(struct db *db, const void *buf, size_t len)
{
	struct wire_reader r;
	uint16_t version;

	wire_reader_init(&r, buf, len);
	version = db_encoded_version(buf, len);
	if (!version)
		return -EBADMSG;
	if (version < DB_VERSION_MIN || version > DB_VERSION_MAX)
		return -EPROTO;
	wire_get_u32(&r);
	wire_get_u16(&r);
	db->version = version;
	db->index = wire_get_u64(&r);
	db->epoch.generation = wire_get_u32(&r);
	db->epoch.number = wire_get_u64(&r);
	db->epoch.starter = wire_get_enum(&r, CL_MAX_NODES);
	db->next_event = wire_get_u64(&r);
	db->next_task = wire_get_u64(&r);
	for (int k = 0; k < DB_KIND_MAX && !r.error; k++)
		get_table(&r, &db->table[k], version);
	if (!r.error)
		get_locks(&r, db);
	if (!wire_reader_end(&r) && !db_check(db))
		return 0;
	for (int k = 0; k < DB_KIND_MAX; k++)
		table_clear(&db->table[k]);
	must(!lk_state_init(&db->locks, db->locks_mem, lk_state_size(&db->limits.locks),
			    &db->limits.locks));
	db->index = 0;
	db->epoch = (struct cl_epoch){0};
	db->version = DB_VERSION_MAX;
	db->next_event = db->next_task = 1;
	return -EBADMSG;
}

#define ROW_ENCODED_MAX 4096

uint64_t db_hash(const struct db *db)
{
	uint64_t h = hash_u64(HASH_INIT, db->index);
	uint8_t buf[ROW_ENCODED_MAX];

	h = hash_u64(h, db->epoch.generation);
	h = hash_u64(h, db->epoch.number);
	h = hash_u64(h, db->epoch.starter);
	h = hash_u64(h, db->next_event);
	h = hash_u64(h, db->next_task);
	h = hash_u64(h, db->version);
	for (int k = 0; k < DB_KIND_MAX; k++) {
		const struct db_table *t = &db->table[k];

		if (db_shape_since(t->shape) > db->version)
			continue;
		h = hash_u64(h, t->count);
		for (uint32_t i = 0; i < t->count; i++) {
			struct wire_writer w;
			size_t len = 0;

			wire_writer_init(&w, buf, sizeof(buf));
			db_shape_put(&w, t->shape, db->version, row_at(t, i));
			must(!wire_writer_end(&w, &len));
			h = hash_bytes(h, buf, len);
		}
	}
	return hash_u64(h, lk_hash(&db->locks));
}

static const char *check_group(const struct db *db, const struct db_group *g)
{
	bool is_somewhere = g->work != DB_WORK_OFFLINE && g->work != DB_WORK_FAILED;
	struct lk_lock_info lock;

	if (is_somewhere && g->node >= CL_MAX_NODES)
		return "a group is active on no node";
	if (is_somewhere && !g->lock)
		return "a group is active without its lock";
	if (g->gave_up_ms && (is_somewhere || g->lock))
		return "a group that is given up is somewhere";
	if (g->fence_wanted && (g->work != DB_WORK_FAILED || !g->lock))
		return "a group asks for a fence and is not stuck";
	if (g->lock &&
	    (lk_lock_get(&db->locks, g->lock, &lock) || lock.session.incarnation != g->incarnation))
		return "a group names a lock that its node does not hold";
	return NULL;
}

/* Granted in that mode under that name, to the incarnation on the node. */
static bool is_held(const struct db *db, uint64_t id, const char *prefix, const char *name,
		    enum lk_mode mode, uint8_t slot, uint64_t incarnation)
{
	size_t p = strlen(prefix), n = strlen(name);
	struct lk_lock_info lock;

	return !lk_lock_get(&db->locks, id, &lock) && lock.queue == LK_QUEUE_GRANTED &&
	       lock.granted == mode && lock.session.node == slot &&
	       lock.session.incarnation == incarnation && lock.name_len == p + n &&
	       !memcmp(lock.name, prefix, p) && !memcmp(lock.name + p, name, n);
}

static const char *check_volume(const struct db *db, const struct db_volume *v)
{
	bool is_over = v->work == DB_WORK_OFFLINE;

	if (is_over != !v->lock || is_over != (v->node == CL_NODE_NONE))
		return "a volume has a coordinator without its lock, or the lock without one";
	if (v->lock && !is_held(db, v->lock, "vol:", v->uuid, LK_EX, v->node, v->incarnation))
		return "a volume names a lock that its coordinator does not hold";
	if (v->term > v->order || v->order > db->index)
		return "a volume has a term or an order that is still to come";
	if ((v->work == DB_WORK_STARTING || v->work == DB_WORK_ONLINE) && v->order != v->term)
		return "a coordinator works under an order that did not make it";
	if (v->work == DB_WORK_STOPPING && v->order == v->term)
		return "a coordinator stops without an order to";
	if (v->work == DB_WORK_ONLINE ? !v->port : v->port && v->work != DB_WORK_UNKNOWN)
		return "a volume is served at no port, or not served at one";
	if (v->fence_wanted && v->work != DB_WORK_FAILED)
		return "a volume asks for a fence and is not stuck";
	return NULL;
}

static const char *check_mount(const struct db *db, const struct db_mount *m)
{
	const struct db_volume *v = db_find(db, DB_KIND_VOLUME, m->volume);

	if (!v)
		return "a mount of a volume that is not there";
	if (m->slot >= CL_MAX_NODES || volume_mount(db, m->volume, m->slot) != m)
		return "a mount has the key of another";
	if (!is_held(db, m->lock, "mnt:", v->uuid, LK_CR, m->slot, m->incarnation))
		return "a mount names a lock that its node does not hold";
	if (m->fence_wanted && m->state == DB_MOUNT_STATE_GONE)
		return "a mount asks for a fence and is over";
	return NULL;
}

static int count_locks(void *arg, const struct lk_session_info *info)
{
	*(uint32_t *)arg += info->locks;
	return 0;
}

/* Every volume, every mount; and every lock belongs to a row (of virtual machines, see vm.c). */
static const char *check_volumes(const struct db *db)
{
	uint32_t rows = db_count(db, DB_KIND_MOUNT), locks = 0;
	const char *broken = NULL;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME) && !broken; i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);

		broken = check_volume(db, v);
		rows += v->lock != 0;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MOUNT) && !broken; i++)
		broken = check_mount(db, db_at(db, DB_KIND_MOUNT, i));
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);
		const char *list = g->volumes;
		char name[CL_NAME_MAX];

		while (volume_name_next(&list, name)) {
			if (!db_find(db, DB_KIND_VOLUME, name))
				return "a group needs a volume that is not there";
		}
		rows += g->lock != 0;
		rows += g->lock && db_find(db, DB_KIND_VM, g->name);
	}
	lk_each_session(&db->locks, count_locks, &locks);
	if (!broken && locks != rows)
		return "a lock belongs to no group, volume or mount";
	return broken;
}

/* Of resources: what clusterd/core/tree.c may rely on. */
static const char *check_resources(const struct db *db)
{
	uint64_t unmanaged = 0;
	char why[DB_REASON_MAX];
	struct tree t;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_RESOURCE); i++) {
		const struct db_resource *r = db_at(db, DB_KIND_RESOURCE, i);

		if (!db_find(db, DB_KIND_GROUP, r->group))
			return "a resource belongs to no group";
		if (r->depends[0] && tree_make(db, r->group, NULL, NULL, &t, why, sizeof(why)))
			return "what a resource depends on cannot be read, or is a cycle";
		unmanaged += r->is_unmanaged;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++)
		unmanaged -= ((const struct db_group *)db_at(db, DB_KIND_GROUP, i))->unmanaged;
	return unmanaged ? "groups count other unmanaged resources than there are" : NULL;
}

const char *db_check(const struct db *db)
{
	const char *broken;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		broken = check_group(db, db_at(db, DB_KIND_GROUP, i));

		if (broken)
			return broken;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		if (((const struct db_node *)db_at(db, DB_KIND_NODE, i))->slot >= CL_MAX_NODES)
			return "a node in a slot that does not exist";
	}
	if (db_count(db, DB_KIND_EVENT)) {
		const struct db_event *e =
			db_at(db, DB_KIND_EVENT, db_count(db, DB_KIND_EVENT) - 1);

		if (e->id >= db->next_event)
			return "an event with a number that is still to come";
	}
	if (db_count(db, DB_KIND_TASK)) {
		const struct db_task *t = db_at(db, DB_KIND_TASK, db_count(db, DB_KIND_TASK) - 1);

		if (t->id >= db->next_task)
			return "a task with a number that is still to come";
	}
	broken = check_resources(db);
	if (!broken)
		broken = check_volumes(db);
	if (!broken)
		broken = vm_check(db);
	if (!broken)
		broken = job_check(db);
	return broken ? broken : lk_check(&db->locks);
}

const char *db_mutant_name(enum db_mutant mutant)
{
	static const char *const name[DB_MUTANT_MAX] = {
		[DB_MUTANT_NONE] = "none",
		[DB_MUTANT_FENCE_FREES_ALL] = "fence-frees-everything",
		[DB_MUTANT_FAILED_RELEASES] = "failed-stop-releases-coordinator",
		[DB_MUTANT_STOP_RELEASES] = "order-to-stop-releases-coordinator",
		[DB_MUTANT_LOST_RELEASES] = "lost-node-releases-coordinator",
		[DB_MUTANT_ANY_TERM_RECOVERS] = "any-term-recovers",
		[DB_MUTANT_GROUP_BEFORE_RECOVERY] = "group-before-recovery",
		[DB_MUTANT_LEAVES_MOUNTED] = "leaves-with-volume-mounted",
		[DB_MUTANT_SECOND_MOUNT] = "mount-before-recovery",
		[DB_MUTANT_SILENT_STAYS] = "silent-mount-stays",
		[DB_MUTANT_MOVES_FOR_EVER] = "silence-moves-for-ever",
		[DB_MUTANT_VM_TRANSFER_EARLY] = "transfer-in-any-phase",
		[DB_MUTANT_VM_TRANSFER_CANCELLED] = "transfer-when-cancelled",
		[DB_MUTANT_VM_TRANSFER_LOST] = "transfer-to-a-lost-node",
		[DB_MUTANT_VM_TRANSFER_KEEPS_ORDER] = "source-reports-after-transfer",
		[DB_MUTANT_VM_PAIR_SHARED] = "two-sessions-per-pair",
		[DB_MUTANT_VM_LOST_RELEASES] = "lost-node-releases-vm",
		[DB_MUTANT_PLAN_PAUSED] = "starts-on-paused-nodes",
		[DB_MUTANT_PLAN_REFUSED] = "starts-again-where-it-failed",
		[DB_MUTANT_PLAN_BALANCES] = "stops-what-runs-for-balance",
		[DB_MUTANT_PLAN_BY_NAME] = "priority-does-not-count",
		[DB_MUTANT_PLAN_DRAINS_TO_NOWHERE] = "drain-stops-what-can-run-nowhere-else",
		[DB_MUTANT_PLAN_FORGETS_WISH] = "wish-does-not-count",
		[DB_MUTANT_PLAN_FORGETS_ITS_ORDERS] = "orders-once-more",
		[DB_MUTANT_PLAN_COUNTS_SLOTS] = "slots-count",
		[DB_MUTANT_PLAN_NEVER_GIVES_UP] = "never-gives-up",
		[DB_MUTANT_PLAN_QUARANTINED] = "starts-on-quarantined-nodes",
		[DB_MUTANT_PLAN_OVERFILLS] = "reservations-do-not-count",
		[DB_MUTANT_PLAN_FORGETS_ARRIVALS] = "room-for-arrivals-is-forgotten",
		[DB_MUTANT_PLAN_FORGETS_CPU] = "cpu-does-not-count",
		[DB_MUTANT_PLAN_FORGETS_OWNERS] = "preferred-owners-do-not-count",
		[DB_MUTANT_PLAN_FAILS_BACK_FOR_EVER] = "fails-back-to-what-has-not-come-back",
		[DB_MUTANT_PLAN_FAILS_BACK_ANYTIME] = "fails-back-at-any-time",
		[DB_MUTANT_PLAN_HAS_NO_WAVES] = "no-waves",
		[DB_MUTANT_PLAN_STORMS] = "any-number-of-starts-on-a-node",
		[DB_MUTANT_PLAN_MIXES] = "mixes-what-is-kept-apart",
		[DB_MUTANT_PLAN_PARTS] = "parts-what-is-kept-together",
		[DB_MUTANT_JOB_UNDO_UNFENCED] = "undoes-before-the-fence",
		[DB_MUTANT_JOB_STARTS_ANYWAY] = "starts-what-is-copied",
		[DB_MUTANT_JOB_ANY_ORDER] = "any-order-counts",
		[DB_MUTANT_JOB_FORGETS] = "what-fails-is-not-undone",
		[DB_MUTANT_JOB_ANY_STATE] = "copies-what-stops",
		[DB_MUTANT_ADMITS_FENCED] = "admits-a-fenced-incarnation",
		[DB_MUTANT_FENCE_BEGIN_FREES] = "fenced-before-it-is-proven",
		[DB_MUTANT_REPEATS] = "carries-out-what-comes-again",
		[DB_MUTANT_FENCE_STORM] = "fences-any-number",
		[DB_MUTANT_QUARANTINES_ALL] = "quarantines-whoever-is-left",
		[DB_MUTANT_QUARANTINED_VOTES] = "quarantined-node-keeps-its-vote",
		[DB_MUTANT_LOCAL_CLOCK] = "applies-by-its-own-clock",
	};

	return mutant < DB_MUTANT_MAX ? name[mutant] : "?";
}
