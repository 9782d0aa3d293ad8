/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual machines: what their groups do to them, and what administrators want. The lock `vm:` says
 * on which node the virtual CPUs may run, `vm.instance` in which process there; both come, move and
 * go with `grp:` in one step.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/capacity.h"
#include "clusterd/core/job.h"
#include "clusterd/core/vm.h"
#include "lib/must.h"

static struct db_vm *vm_find(struct apply *a, const char *name)
{
	struct db_vm *v = db_find(a->db, DB_KIND_VM, name);

	if (!v)
		apply_answer(a, DB_NO_SUCH, "no virtual machine %s", name);
	return v;
}

/* ---- what happens to its group */

bool vm_group_take(struct apply *a, const struct db_group *g, uint64_t incarnation)
{
	struct db_vm *v = vm_of_group(a->db, g);

	if (!v)
		return true;
	v->lock = apply_lock_take(a->db, "vm:", v->uuid, LK_EX, incarnation);
	if (!v->lock)
		return false;
	v->instance = a->entry->index;
	v->since_ms = a->cmd->at_ms;
	v->tried = 0;
	return true;
}

/* Nothing of it runs any more: what was for this run ends with it. */
static void released(struct apply *a, struct db_vm *v, const char *reason)
{
	struct db_migration *m = vm_migration(a->db, v);

	v->lock = v->instance = 0;
	v->is_paused = false;
	v->since_ms = a->cmd->at_ms;
	if (m)
		migration_close(a, m, DB_TASK_STATE_FAILED, reason);
	v->tried = 0;
}

void vm_group_drop(struct apply *a, const struct db_group *g, const char *reason)
{
	struct db_vm *v = vm_of_group(a->db, g);

	if (!v)
		return;
	apply_lock_drop(a->db, v->lock);
	released(a, v, reason);
}

void vm_group_gone(struct apply *a, const struct db_group *g)
{
	struct db_vm *v = vm_of_group(a->db, g);

	if (v)
		released(a, v, "the node that it ran on is out of service");
}

bool vm_bars_stop(const struct db *db, const struct db_group *g)
{
	const struct db_vm *v = vm_of_group(db, g);

	return v && v->migration;
}

/* What was asked of the group takes the place of a migration to somewhere else. */
void vm_group_intent(struct apply *a, const struct db_group *g, const struct db_cmd_group_intent *c)
{
	const struct db_vm *v = vm_of_group(a->db, g);
	struct db_migration *m = v ? vm_migration(a->db, v) : NULL;
	bool is_other = c->wish != CL_NODE_NONE && m && c->wish != m->destination;

	if (m && (c->intent == DB_INTENT_OFFLINE || is_other))
		migration_cancel(a, m, DB_TASK_STATE_CANCELLED, "replaced by a later command");
}

/* What only waits for its turn in a drain that has been taken back is not begun any more. */
static void drain_ends(struct apply *a, const struct db_node *n)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_MIGRATION); i++) {
		struct db_migration *m = db_at(a->db, DB_KIND_MIGRATION, i);
		const struct db_task *t = db_find_id(a->db, DB_KIND_TASK, m->task);

		if (m->phase == DB_MIGRATION_PHASE_QUEUED && m->source == n->slot && t &&
		    !strcmp(t->verb, "node-drain"))
			migration_cancel(a, m, DB_TASK_STATE_CANCELLED,
					 "its node is not drained any more");
	}
}

/* A drain that begins, or ends, forgets where an earlier one has failed. */
void vms_node_paused(struct apply *a, uint8_t slot)
{
	const struct db_node *n = db_node_by_slot(a->db, slot);

	if (!n->is_draining && !db_node_departs(n))
		drain_ends(a, n);
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_VM); i++) {
		struct db_vm *v = db_at(a->db, DB_KIND_VM, i);
		const struct db_group *g = db_find(a->db, DB_KIND_GROUP, v->name);

		if (g->node == slot)
			v->tried = 0;
	}
}

/* ---- creation and deletion */

static const char *vm_twin(const struct db *db, const char *uuid)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VM); i++) {
		const struct db_vm *v = db_at(db, DB_KIND_VM, i);

		if (!strcmp(v->uuid, uuid))
			return v->name;
	}
	return NULL;
}

static bool has_room(const struct db *db, enum db_kind kind)
{
	return db_count(db, kind) < db->limits.capacity[kind];
}

/* The conditions that making group and resource do not look at. */
static bool can_create(struct apply *a, const struct db_cmd_vm_create *c)
{
	const char *twin = vm_twin(a->db, c->uuid);

	if (!apply_is_uuid(c->uuid) || !c->definition[0]) {
		apply_answer(a, DB_INVALID,
			     "a virtual machine needs a definition and a uuid in lower case");
		return false;
	}
	if (db_find(a->db, DB_KIND_VM, c->name)) {
		apply_answer(a, DB_CONFLICT, "virtual machine %s exists", c->name);
		return false;
	}
	if (twin) {
		apply_answer(a, DB_CONFLICT, "that uuid is virtual machine %s already", twin);
		return false;
	}
	if (db_find(a->db, DB_KIND_RESOURCE, c->name)) {
		apply_answer(a, DB_CONFLICT, "resource %s exists", c->name);
		return false;
	}
	if (!has_room(a->db, DB_KIND_VM) || !has_room(a->db, DB_KIND_RESOURCE) ||
	    !has_room(a->db, DB_KIND_PARAM)) {
		apply_answer(a, DB_REFUSED, "no room for another virtual machine");
		return false;
	}
	return true;
}

void vm_definition_changed(struct db *db, const struct db_vm *v)
{
	struct db_group *g = db_find(db, DB_KIND_GROUP, v->name);

	must(g);
	g->guest_mib = capacity_of_definition(v->definition);
}

void do_vm_create(struct apply *a, const struct db_cmd_vm_create *c)
{
	struct db_cmd_group_create g = {.possible = c->possible,
					.priority = c->priority,
					.failback = c->failback,
					.failback_from = c->failback_from,
					.failback_to = c->failback_to};
	struct db_cmd_resource_create r = {.agent = VM_AGENT,
					   .restart_max = c->restart_max,
					   .monitor_ms = c->monitor_ms,
					   .start_ms = c->start_ms,
					   .stop_ms = c->stop_ms,
					   .restart_ms = c->restart_ms};
	struct db_vm *v;

	if (!can_create(a, c))
		return;
	COPY(g.name, c->name);
	COPY(g.volumes, c->volumes);
	memcpy(g.preferred, c->preferred, sizeof(g.preferred));
	do_group_create(a, &g);
	if (a->result->code)
		return;
	COPY(r.name, c->name);
	COPY(r.group, c->name);
	snprintf(r.params, sizeof(r.params), "vm=%s\n", c->name);
	do_resource_create(a, &r);
	must(!a->result->code);
	v = db_insert(a->db, DB_KIND_VM, c->name);
	must(v);
	COPY(v->uuid, c->uuid);
	COPY(v->definition, c->definition);
	vm_definition_changed(a->db, v);
	v->since_ms = a->cmd->at_ms;
	apply_event(a, "vm-created", c->name, "by %s", a->cmd->actor);
}

void do_vm_delete(struct apply *a, const struct db_cmd_vm_delete *c)
{
	struct db_vm *v = vm_find(a, c->name);
	struct db_cmd_resource_delete r = {0};
	struct db_cmd_group_delete g = {0};
	const struct db_group *of = v ? db_find(a->db, DB_KIND_GROUP, v->name) : NULL;

	if (!v)
		return;
	if (v->job) {
		apply_answer(a, DB_REFUSED,
			     "work on the disks of virtual machine %s is under way (task %" PRIu64
			     ")",
			     c->name, job_of_vm(a->db, v)->task);
		return;
	}
	if (job_snapshots(a->db, c->name)) {
		apply_answer(a, DB_REFUSED,
			     "virtual machine %s has %" PRIu32
			     " snapshots, which only it knows of: 'vm snapshot-delete' first",
			     c->name, job_snapshots(a->db, c->name));
		return;
	}
	/* One that was given up has no lock, and is not offline before somebody says so. */
	if (v->lock || v->migration || !of || of->work != DB_WORK_OFFLINE) {
		apply_answer(a, DB_REFUSED, "virtual machine %s is not offline: stop it first",
			     c->name);
		return;
	}
	db_remove(a->db, DB_KIND_VM, v);
	COPY(r.name, c->name);
	COPY(g.name, c->name);
	do_resource_delete(a, &r);
	do_group_delete(a, &g);
	must(!a->result->code);
	apply_event(a, "vm-deleted", c->name, "its disks stay, by %s", a->cmd->actor);
}

void do_vm_set_paused(struct apply *a, const struct db_cmd_vm_set_paused *c)
{
	struct db_vm *v = vm_find(a, c->name);

	if (!v)
		return;
	if (!v->lock) {
		apply_answer(a, DB_REFUSED, "virtual machine %s is not running anywhere", c->name);
		return;
	}
	if (v->is_paused == c->pause)
		return;
	v->is_paused = c->pause;
	apply_event(a, c->pause ? "vm-pause" : "vm-resume", c->name, "by %s", a->cmd->actor);
}
