/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows of a scenario's database. What a row leaves out is made up so that the database is one that
 * could have come about: incarnations, orders, locks and ids fit each other.
 */
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/apply_impl.h"
#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"
#include "lib/must.h"
#include "tests/plan/scenario.h"

#define INCARNATION_FIRST 0x100
#define NODEID_FIRST	  1
#define MOUNT_ID_FIRST	  0xd00000
#define PORT		  7001
#define PRIORITY	  100 /* the default of the API */

/* Room for a row of any kind. */
union row {
#define MEMBER(name, NAME, capacity) struct db_##name name;
	DB_KINDS(MEMBER)
#undef MEMBER
};

struct given {
	const struct db_shape *shape;
	uint64_t mask;
};

static bool has(const struct given *g, const char *name)
{
	return scenario_has(g->shape, g->mask, name);
}

static const struct db_node *node_at(struct scenario *s, uint8_t slot)
{
	const struct db_node *n = db_node_by_slot(&s->db, slot);

	if (!n)
		scenario_fault(s, "that node is not there yet");
	return n;
}

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

/* The next log index: rows have come about one after the other. */
static uint64_t next_index(struct scenario *s)
{
	return ++s->db.index;
}

static void insert(struct scenario *s, enum db_kind kind, const void *row, const char *key)
{
	const struct db_shape *shape = db_kind_shape(kind);
	bool is_text = shape->field[0].type == DB_TYPE_str;
	uint64_t id = 0;
	void *there;

	if (!is_text)
		memcpy(&id, row, sizeof(id));
	if (is_text ? db_find(&s->db, kind, key) != NULL : db_find_id(&s->db, kind, id) != NULL)
		scenario_fault(s, "a %s of that name is there already", shape->name);
	if (db_count(&s->db, kind) == s->db.limits.capacity[kind])
		scenario_fault(s, "no room for another %s", shape->name);
	there = is_text ? db_insert(&s->db, kind, key) : db_insert_id(&s->db, kind, id);
	must(there);
	memcpy(there, row, shape->size);
}

static uint64_t take_lock(struct scenario *s, const char *prefix, const char *name,
			  enum lk_mode mode, uint64_t session)
{
	uint64_t lock = apply_lock_take(&s->db, prefix, name, mode, session);

	if (!lock)
		scenario_fault(s, "%s%s cannot be had there", prefix, name);
	return lock;
}

/* ---- kinds */

static void add_node(struct scenario *s, const struct given *given, struct db_node *n,
		     const char *name)
{
	const struct scenario_node *as = scenario_node(s, name);
	struct lk_event open = {.type = LK_EV_OPEN};

	n->slot = as->slot;
	n->nodeid =
		has(given, "nodeid") ? n->nodeid : NODEID_FIRST + db_count(&s->db, DB_KIND_NODE);
	if (!has(given, "membership"))
		n->membership = DB_MEMBERSHIP_ADMITTED;
	if (!has(given, "incarnation") && n->membership != DB_MEMBERSHIP_NEVER)
		n->incarnation = INCARNATION_FIRST + db_count(&s->db, DB_KIND_NODE);
	if (!has(given, "instance"))
		n->instance = 1;
	if (!has(given, "boot"))
		snprintf(n->boot, sizeof(n->boot), "boot-%llx", (unsigned long long)n->incarnation);
	insert(s, DB_KIND_NODE, n, n->name);
	if (!n->incarnation)
		return;
	open.session = open.incarnation = n->incarnation;
	open.node = n->slot;
	must(!apply_lock_step(&s->db, &open));
}

static void add_group(struct scenario *s, const struct given *given, struct db_group *g)
{
	if (!has(given, "intent"))
		g->intent = g->work != DB_WORK_OFFLINE ? DB_INTENT_ONLINE : DB_INTENT_OFFLINE;
	if (!has(given, "possible"))
		g->possible = UINT16_MAX;
	if (!has(given, "priority"))
		g->priority = PRIORITY;
	if (!has(given, "failover_ms"))
		g->failover_ms = AGE_FAILOVER_MS;
	if (!has(given, "retry_ms"))
		g->retry_ms = AGE_RETRY_MS;
	if (has(given, "node")) {
		g->incarnation = has(given, "incarnation") ? g->incarnation
							   : node_at(s, g->node)->incarnation;
		g->order = next_index(s);
		g->lock = take_lock(s, "grp:", g->name, LK_EX, g->incarnation);
	} else if (g->work != DB_WORK_OFFLINE && !(g->work == DB_WORK_FAILED && g->gave_up_ms)) {
		scenario_fault(s, "group %s is %s: on which node?", g->name,
			       db_choice_word(DB_KIND_GROUP, "work", g->work));
	}
	insert(s, DB_KIND_GROUP, g, g->name);
}

static void add_volume(struct scenario *s, const struct given *given, struct db_volume *v)
{
	uint32_t n = db_count(&s->db, DB_KIND_VOLUME);

	if (!has(given, "uuid"))
		snprintf(v->uuid, sizeof(v->uuid), "11111111-0000-0000-0000-%012x", n);
	if (!has(given, "device"))
		snprintf(v->device, sizeof(v->device), "/dev/%.60s", v->name);
	if (has(given, "node")) {
		v->incarnation = node_at(s, v->node)->incarnation;
		v->term = v->order = next_index(s);
		if (v->work == DB_WORK_STOPPING)
			v->order = next_index(s);
		if (!has(given, "port"))
			v->port =
				v->work == DB_WORK_ONLINE || v->work == DB_WORK_UNKNOWN ? PORT : 0;
		v->lock = take_lock(s, "vol:", v->uuid, LK_EX, v->incarnation);
	}
	insert(s, DB_KIND_VOLUME, v, v->name);
}

/* `mount v/n1`. */
static void add_mount(struct scenario *s, const struct given *given, struct db_mount *m)
{
	char *slash = strchr(m->key, '/');
	const struct db_volume *v;

	if (!slash)
		scenario_fault(s, "a mount is VOLUME/NODE");
	*slash = 0;
	copy_text(m->volume, sizeof(m->volume), m->key);
	m->slot = scenario_node(s, slash + 1)->slot;
	v = db_find(&s->db, DB_KIND_VOLUME, m->volume);
	if (!v)
		scenario_fault(s, "no volume %s", m->volume);
	if (!has(given, "incarnation"))
		m->incarnation = node_at(s, m->slot)->incarnation;
	if (!has(given, "id"))
		m->id = MOUNT_ID_FIRST + s->mount_id++;
	if (!has(given, "state"))
		m->state = DB_MOUNT_STATE_MOUNTED;
	memset(m->key, 0, sizeof(m->key));
	volume_mount_key(m->volume, m->slot, m->key);
	m->lock = take_lock(s, "mnt:", v->uuid, LK_CR, m->incarnation);
	insert(s, DB_KIND_MOUNT, m, m->key);
}

static void add_vm(struct scenario *s, const struct given *given, struct db_vm *v)
{
	const struct db_group *g = db_find(&s->db, DB_KIND_GROUP, v->name);
	struct db_resource r = {.restart_max = 3, .restart_ms = AGE_RESTART_MS};

	if (!g)
		scenario_fault(s, "vm %s needs the group of its name before it", v->name);
	if (!has(given, "uuid"))
		snprintf(v->uuid, sizeof(v->uuid), "aaaaaaaa-0000-0000-0000-%012x",
			 db_count(&s->db, DB_KIND_VM));
	if (!has(given, "definition"))
		copy_text(v->definition, sizeof(v->definition), "{}");
	if (g->lock) {
		v->lock = take_lock(s, "vm:", v->uuid, LK_EX, g->incarnation);
		v->instance = g->order;
	}
	copy_text(r.name, sizeof(r.name), v->name);
	copy_text(r.group, sizeof(r.group), v->name);
	copy_text(r.agent, sizeof(r.agent), VM_AGENT);
	r.work = g->work == DB_WORK_ONLINE ? DB_WORK_ONLINE : DB_WORK_OFFLINE;
	insert(s, DB_KIND_RESOURCE, &r, r.name);
	insert(s, DB_KIND_VM, v, v->name);
}

static void add_migration(struct scenario *s, const struct given *given, struct db_migration *m)
{
	const struct db_group *g = db_find(&s->db, DB_KIND_GROUP, m->vm);
	struct db_vm *v = db_find(&s->db, DB_KIND_VM, m->vm);

	if (!g || !v || m->destination == CL_NODE_NONE)
		scenario_fault(s, "a migration needs vm= of one above it, and destination=");
	if (!has(given, "source"))
		m->source = g->node;
	m->id = next_index(s);
	m->source_incarnation = node_at(s, m->source)->incarnation;
	m->destination_incarnation = node_at(s, m->destination)->incarnation;
	if (m->phase != DB_MIGRATION_PHASE_ENDED)
		v->migration = m->id;
	if (m->phase == DB_MIGRATION_PHASE_ONLINE)
		v->instance = m->id;
	insert(s, DB_KIND_MIGRATION, m, NULL);
}

/* ---- all of them */

static int kind_of(const char *name)
{
	for (int k = 0; k < DB_KIND_MAX; k++) {
		if (!strcmp(db_kind_shape((enum db_kind)k)->name, name))
			return k;
	}
	return -1;
}

void scenario_row(struct scenario *s, const struct scenario_line *line)
{
	int kind = kind_of(line->word[0]);
	union row row;
	struct given given;

	if (kind < 0)
		scenario_fault(s, "there are no rows of kind %s", line->word[0]);
	given.shape = db_kind_shape((enum db_kind)kind);
	if (kind == DB_KIND_NODE && line->count > 1)
		scenario_node_new(s, line->word[1]);
	given.mask = scenario_fields(s, given.shape, line, &row);
	if (has(&given, "lock"))
		scenario_fault(s, "locks are taken by themselves");
	switch (kind) {
	case DB_KIND_NODE:
		add_node(s, &given, &row.node, line->word[1]);
		break;
	case DB_KIND_GROUP:
		add_group(s, &given, &row.group);
		break;
	case DB_KIND_VOLUME:
		add_volume(s, &given, &row.volume);
		break;
	case DB_KIND_MOUNT:
		add_mount(s, &given, &row.mount);
		break;
	case DB_KIND_VM:
		add_vm(s, &given, &row.vm);
		break;
	case DB_KIND_MIGRATION:
		add_migration(s, &given, &row.migration);
		break;
	case DB_KIND_RESOURCE:
		if (!has(&given, "restart_ms"))
			row.resource.restart_ms = AGE_RESTART_MS;
		insert(s, DB_KIND_RESOURCE, &row, row.resource.name);
		break;
	default:
		insert(s, (enum db_kind)kind, &row, (const char *)&row);
		break;
	}
}

void scenario_ready(struct scenario *s)
{
	const char *broken;

	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(&s->db, DB_KIND_NODE, i);

		/* A node that is proven over has nothing but mounts that are not recovered. */
		if (n->membership == DB_MEMBERSHIP_FENCED)
			apply_lock_release(&s->db, n->slot, n->incarnation, "grp:");
	}
	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_TASK); i++) {
		const struct db_task *t = db_at(&s->db, DB_KIND_TASK, i);

		s->db.next_task = t->id >= s->db.next_task ? t->id + 1 : s->db.next_task;
	}
	broken = db_check(&s->db);
	if (broken)
		scenario_fault(s, "no such database can be: %s", broken);
}
