/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/job.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"

struct db_job *job_of_vm(const struct db *db, const struct db_vm *vm)
{
	return vm->job ? db_find_id(db, DB_KIND_JOB, vm->job) : NULL;
}

static bool makes_vm(const struct db_job *j)
{
	return j->kind == DB_JOB_KIND_MAKE || j->kind == DB_JOB_KIND_CLONE;
}

bool job_needs(const struct db *db, const struct db_job *j, const char *vm, bool is_begun,
	       bool is_undo)
{
	if (j->kind == DB_JOB_KIND_REMOVE || DB_MUTANT(db, JOB_STARTS_ANYWAY))
		return false;
	if ((makes_vm(j) && !strcmp(j->vm, vm)) || j->kind == DB_JOB_KIND_REVERT)
		return true;
	/* Of copies that are taken away the disks themselves need not know. */
	return is_begun && !is_undo;
}

const struct db_job *job_holds(const struct db *db, const struct db_vm *vm)
{
	const struct db_job *j = job_of_vm(db, vm);

	return j && job_needs(db, j, vm->name, j->order != 0, j->is_undo) ? j : NULL;
}

const struct db_job *job_holds_group(const struct db *db, const struct db_group *group)
{
	const struct db_vm *vm = vm_of_group(db, group);

	return vm ? job_holds(db, vm) : NULL;
}

bool job_is_undoable(const struct db_job *j)
{
	return makes_vm(j) || j->kind == DB_JOB_KIND_SNAPSHOT;
}

const char *job_word(const struct db_job *j)
{
	return db_choice_word(DB_KIND_JOB, "kind", j->kind);
}

static const struct db_group *group_of(const struct db *db, const char *name)
{
	return name[0] ? db_find(db, DB_KIND_GROUP, name) : NULL;
}

bool job_uses_volume(const struct db *db, const char *volume, uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_JOB); i++) {
		const struct db_job *j = db_at(db, DB_KIND_JOB, i);
		const struct db_group *g = group_of(db, j->vm), *s = group_of(db, j->source);

		if (j->node == slot && ((g && volume_is_named(g->volumes, volume)) ||
					(s && volume_is_named(s->volumes, volume))))
			return true;
	}
	return false;
}

/* The virtual machine whose disks are copied, or change. */
static const struct db_group *origin(const struct db *db, const struct db_job *j)
{
	return group_of(db, j->source[0] ? j->source : j->vm);
}

bool job_waits(const struct db *db, const struct db_job *j)
{
	const struct db_vm *v = db_find(db, DB_KIND_VM, j->source[0] ? j->source : j->vm);

	return v && v->migration && !j->is_undo && j->kind != DB_JOB_KIND_REMOVE;
}

uint16_t job_nodes(const struct db *db, const struct db_job *j)
{
	const struct db_group *g = group_of(db, j->vm), *o = origin(db, j);
	char volume[CL_NAME_MAX];
	uint16_t set = 0;

	if (!g || !o || volume_group_waits(db, g, volume) || volume_group_waits(db, o, volume))
		return 0;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (!db_node_bar(n))
			set = (uint16_t)(set | cl_bit(n->slot));
	}
	return (uint16_t)(set & volume_group_nodes(db, g) & volume_group_nodes(db, o));
}

bool job_may_begin(const struct db *db, const struct db_job *j, bool *ret_runs)
{
	const struct db_group *o = origin(db, j);

	*ret_runs = false;
	if (!o || o->work == DB_WORK_OFFLINE || j->is_undo || j->kind == DB_JOB_KIND_REMOVE)
		return o != NULL;
	if (o->work != DB_WORK_ONLINE && DB_MUTANT(db, JOB_ANY_STATE))
		return true;
	*ret_runs =
		o->work == DB_WORK_ONLINE && o->node == j->node && o->incarnation == j->incarnation;
	return *ret_runs;
}

/* ---- snapshots */

void job_snapshot_key(const char *vm, const char *name, char ret[DB_KEY_MAX])
{
	snprintf(ret, DB_KEY_MAX, "%.63s/%.63s", vm, name);
}

struct db_snapshot *job_snapshot(const struct db *db, const char *vm, const char *name)
{
	char key[DB_KEY_MAX];

	job_snapshot_key(vm, name, key);
	return db_find(db, DB_KIND_SNAPSHOT, key);
}

uint32_t job_snapshots(const struct db *db, const char *vm)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_SNAPSHOT); i++) {
		const struct db_snapshot *s = db_at(db, DB_KIND_SNAPSHOT, i);

		n += !strcmp(s->vm, vm);
	}
	return n;
}

/* ---- what must hold */

static bool has_job(const struct db *db, const char *name, uint64_t id)
{
	const struct db_vm *v = db_find(db, DB_KIND_VM, name);

	return v && v->job == id;
}

static const char *check_job(const struct db *db, const struct db_job *j)
{
	const struct db_snapshot *s = job_snapshot(db, j->vm, j->snapshot);

	if (j->id > db->index || j->order > db->index)
		return "a job that is still to come";
	if (!has_job(db, j->vm, j->id) || (j->source[0] && !has_job(db, j->source, j->id)))
		return "a job of which its virtual machine knows nothing";
	if (!j->order != (j->node == CL_NODE_NONE))
		return "a job that nobody was ordered to do, or that no node does";
	if (j->is_undo && !job_is_undoable(j))
		return "what cannot be taken back is";
	if (!j->snapshot[0] != makes_vm(j) || (j->snapshot[0] && !s))
		return "a job about a snapshot that is not there";
	if (j->kind == DB_JOB_KIND_SNAPSHOT && s->state != DB_SNAPSHOT_STATE_MAKING)
		return "a snapshot that is being made, and is ready";
	return NULL;
}

static const char *check_vm(const struct db *db, const struct db_vm *v)
{
	const struct db_job *j = job_of_vm(db, v);
	const struct db_group *g = db_find(db, DB_KIND_GROUP, v->name);

	if (!v->job)
		return NULL;
	if (!j || (strcmp(j->vm, v->name) != 0 && strcmp(j->source, v->name) != 0))
		return "a virtual machine has a job that is over, or not its own";
	if (g && g->lock &&
	    ((makes_vm(j) && !strcmp(j->vm, v->name)) || j->kind == DB_JOB_KIND_REVERT))
		return "a virtual machine runs while its disks are made";
	return NULL;
}

const char *job_check(const struct db *db)
{
	const char *broken = NULL;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_JOB) && !broken; i++)
		broken = check_job(db, db_at(db, DB_KIND_JOB, i));
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VM) && !broken; i++)
		broken = check_vm(db, db_at(db, DB_KIND_VM, i));
	for (uint32_t i = 0; i < db_count(db, DB_KIND_SNAPSHOT) && !broken; i++) {
		const struct db_snapshot *s = db_at(db, DB_KIND_SNAPSHOT, i);
		const struct db_vm *v = db_find(db, DB_KIND_VM, s->vm);

		if (!v || (s->state == DB_SNAPSHOT_STATE_MAKING && !v->job))
			broken = "a snapshot without its virtual machine, or its job";
	}
	return broken;
}
