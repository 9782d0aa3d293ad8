/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/vm.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/job.h"
#include "clusterd/core/volume.h"

struct db_vm *vm_of_group(const struct db *db, const struct db_group *group)
{
	return db_find(db, DB_KIND_VM, group->name);
}

struct db_migration *vm_migration(const struct db *db, const struct db_vm *vm)
{
	return vm->migration ? db_find_id(db, DB_KIND_MIGRATION, vm->migration) : NULL;
}

static struct db_migration *migration_at(const struct db *db, uint32_t i)
{
	return db_at(db, DB_KIND_MIGRATION, i);
}

struct db_migration *vm_migration_of_node(const struct db *db, uint8_t slot, uint64_t incarnation)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION); i++) {
		struct db_migration *m = migration_at(db, i);

		if (m->phase != DB_MIGRATION_PHASE_ENDED &&
		    ((m->source == slot && m->source_incarnation == incarnation) ||
		     (m->destination == slot && m->destination_incarnation == incarnation)))
			return m;
	}
	return NULL;
}

struct db_migration *vm_migration_of_task(const struct db *db, uint64_t task)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION); i++) {
		struct db_migration *m = migration_at(db, i);

		if (m->task == task && m->phase != DB_MIGRATION_PHASE_ENDED)
			return m;
	}
	return NULL;
}

bool vm_is_session(const struct db_migration *m)
{
	return m->phase > DB_MIGRATION_PHASE_QUEUED && m->phase < DB_MIGRATION_PHASE_ENDED;
}

bool vm_pair_is_busy(const struct db *db, uint8_t a, uint8_t b)
{
	if (DB_MUTANT(db, VM_PAIR_SHARED))
		return false;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION); i++) {
		const struct db_migration *m = migration_at(db, i);

		if (vm_is_session(m) && ((m->source == a && m->destination == b) ||
					 (m->source == b && m->destination == a)))
			return true;
	}
	return false;
}

const char *vm_phase_word(const struct db_migration *m)
{
	return db_choice_word(DB_KIND_MIGRATION, "phase", m->phase);
}

/* ---- why not */

struct bars {
	char *text;
	size_t size, at;
	uint32_t count;
};

static struct bars bars_new(char *text, size_t size)
{
	text[0] = 0;
	return (struct bars){.text = text, .size = size};
}

__attribute__((format(printf, 2, 3))) static void bar(struct bars *b, const char *format, ...)
{
	va_list ap;
	int n = 0;

	if (b->count++ && b->at < b->size)
		n = snprintf(b->text + b->at, b->size - b->at, "; ");
	b->at += n > 0 ? (size_t)n : 0;
	if (b->at >= b->size)
		return;
	va_start(ap, format);
	n = vsnprintf(b->text + b->at, b->size - b->at, format, ap);
	va_end(ap);
	b->at += n > 0 ? (size_t)n : 0;
}

static void bars_of_node(struct bars *b, const struct db *db, const struct db_group *g,
			 uint8_t slot)
{
	const struct db_node *n = db_node_by_slot(db, slot);

	if (!n) {
		bar(b, "there is no such node");
		return;
	}
	if (n->membership != DB_MEMBERSHIP_ADMITTED)
		bar(b, "the node is not up");
	if (n->is_leaving)
		bar(b, "the node is stopping");
	if (n->is_quarantined)
		bar(b, "the node is quarantined");
	if (n->is_paused)
		bar(b, "the node is paused");
	if (!(g->possible & cl_bit(slot)))
		bar(b, "not a possible owner");
}

static void bars_of_volumes(struct bars *b, const struct db *db, const struct db_group *g,
			    uint8_t slot)
{
	const char *list = g->volumes;
	char name[CL_NAME_MAX];

	while (volume_name_next(&list, name)) {
		const struct db_volume *v = db_find(db, DB_KIND_VOLUME, name);
		const struct db_mount *m = volume_mount(db, name, slot);

		if (v && v->is_suspended)
			bar(b, "volume %s is being suspended", name);
		else if (!v || v->work != DB_WORK_ONLINE)
			bar(b, "volume %s has no coordinator that serves it", name);
		if (!m || m->state != DB_MOUNT_STATE_MOUNTED)
			bar(b, "volume %s is not mounted there", name);
	}
}

uint32_t vm_bars_node(const struct db *db, const struct db_group *g, uint8_t slot, char *text,
		      size_t size)
{
	struct bars b = bars_new(text, size);

	bars_of_node(&b, db, g, slot);
	return b.count;
}

uint32_t vm_bars_volumes(const struct db *db, const struct db_group *g, uint8_t slot, char *text,
			 size_t size)
{
	struct bars b = bars_new(text, size);

	bars_of_volumes(&b, db, g, slot);
	return b.count;
}

uint32_t vm_bars_all(const struct db *db, const struct db_vm *vm, uint8_t slot, char *text,
		     size_t size)
{
	const struct db_group *g = db_find(db, DB_KIND_GROUP, vm->name);
	const struct db_migration *m = vm_migration(db, vm);
	const struct db_job *j = job_holds(db, vm);
	struct bars b = bars_new(text, size);

	if (g->work != DB_WORK_ONLINE)
		bar(&b, "it is not online, but %s", db_choice_word(DB_KIND_GROUP, "work", g->work));
	else if (g->intent != DB_INTENT_ONLINE)
		bar(&b, "it is asked to be offline");
	else if (g->node == slot)
		bar(&b, "it is there already");
	if (j)
		bar(&b, "work on its disks is under way (%s, task %" PRIu64 ")", job_word(j),
		    j->task);
	if (m)
		bar(&b, "it is being migrated to %s (task %" PRIu64 ")",
		    db_node_name(db, m->destination), m->task);
	bars_of_node(&b, db, g, slot);
	bars_of_volumes(&b, db, g, slot);
	return b.count;
}

/* ---- what must hold */

/* That name is held in EX by the incarnation on the node. */
static bool is_held(const struct db *db, const struct db_vm *v, const struct db_group *g)
{
	struct lk_lock_info lock;

	return !lk_lock_get(&db->locks, v->lock, &lock) && lock.queue == LK_QUEUE_GRANTED &&
	       lock.granted == LK_EX && lock.session.node == g->node &&
	       lock.session.incarnation == g->incarnation && lock.name_len == 3 + strlen(v->uuid) &&
	       !memcmp(lock.name, "vm:", 3) && !memcmp(lock.name + 3, v->uuid, strlen(v->uuid));
}

static const char *check_vm(const struct db *db, const struct db_vm *v)
{
	const struct db_group *g = db_find(db, DB_KIND_GROUP, v->name);
	const struct db_resource *r = db_find(db, DB_KIND_RESOURCE, v->name);
	const struct db_migration *m = vm_migration(db, v);

	if (!g || !r || strcmp(r->group, v->name) != 0 || strcmp(r->agent, VM_AGENT) != 0)
		return "a virtual machine without its group or its resource";
	if (!v->lock != !g->lock || !v->lock != !v->instance)
		return "vm:, grp: and the right to run are not held together";
	if (v->lock && !is_held(db, v, g))
		return "a virtual machine names a lock that its node does not hold";
	if (v->instance > db->index)
		return "an instance that is still to come";
	if (v->migration &&
	    (!m || m->phase == DB_MIGRATION_PHASE_ENDED || strcmp(m->vm, v->name) != 0))
		return "a virtual machine is in a migration that is over, or not its own";
	return NULL;
}

static const char *check_migration(const struct db *db, uint32_t i)
{
	const struct db_migration *m = migration_at(db, i);
	const struct db_vm *v = db_find(db, DB_KIND_VM, m->vm);
	const struct db_group *g = v ? db_find(db, DB_KIND_GROUP, v->name) : NULL;
	bool is_moved = m->phase == DB_MIGRATION_PHASE_ONLINE;

	if (m->id > db->index || m->source >= CL_MAX_NODES || m->destination >= CL_MAX_NODES ||
	    m->source == m->destination)
		return "a migration that is still to come, or between no two nodes";
	if (m->phase == DB_MIGRATION_PHASE_ENDED)
		return m->outcome == DB_TASK_STATE_RUNNING ? "a migration ended in no way" : NULL;
	if (!g || v->migration != m->id)
		return "a migration is under way of which its virtual machine knows nothing";
	if (g->node != (is_moved ? m->destination : m->source) ||
	    g->incarnation != (is_moved ? m->destination_incarnation : m->source_incarnation) ||
	    is_moved != (v->instance == m->id))
		return "a virtual machine is on neither side of its migration, or too early";
	for (uint32_t k = 0; k < i; k++) {
		const struct db_migration *o = migration_at(db, k);

		if (vm_is_session(o) && vm_is_session(m) &&
		    ((o->source == m->source && o->destination == m->destination) ||
		     (o->source == m->destination && o->destination == m->source)))
			return "two sessions between one pair of nodes";
	}
	return NULL;
}

const char *vm_check(const struct db *db)
{
	const char *broken = NULL;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_VM) && !broken; i++)
		broken = check_vm(db, db_at(db, DB_KIND_VM, i));
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION) && !broken; i++)
		broken = check_migration(db, i);
	return broken;
}
