/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who works on the files of disks. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/job.h"
#include "clusterd/core/plan_impl.h"
#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"
#include "lib/must.h"

static void order(const struct db *db, struct plan_orders *out, const struct db_job *j,
		  uint8_t slot, bool is_undo, const char *reason)
{
	const struct db_node *n = db_node_by_slot(db, slot);
	struct db_cmd_job_order *o = &out->job[out->job_count++];

	must(n);
	*o = (struct db_cmd_job_order){.id = j->id,
				       .node = slot,
				       .incarnation = n->incarnation,
				       .previous = j->order,
				       .is_undo = is_undo};
	snprintf(o->reason, sizeof(o->reason), "%s", reason);
}

/* That incarnation can do nothing any more. */
static bool is_over(const struct db *db, const struct db_job *j)
{
	const struct db_node *n = db_node_by_slot(db, j->node);

	if (n && n->membership == DB_MEMBERSHIP_LOST && DB_MUTANT(db, JOB_UNDO_UNFENCED))
		return true;
	return !n || n->incarnation != j->incarnation || n->membership == DB_MEMBERSHIP_FENCED ||
	       n->membership == DB_MEMBERSHIP_LEFT;
}

/* Where the machine runs, since it has to be kept still; else where the first volume is at home. */
static uint8_t choose(const struct db *db, const struct db_job *j, uint16_t set)
{
	const char *name = j->source[0] ? j->source : j->vm;
	const struct db_group *g = db_find(db, DB_KIND_GROUP, name);
	const struct db_volume *v;
	char volume[CL_NAME_MAX];
	const char *list;

	must(g);
	if (g->lock && !j->is_undo && j->kind != DB_JOB_KIND_REMOVE)
		return g->node < CL_MAX_NODES && (set & cl_bit(g->node)) ? g->node : CL_NODE_NONE;
	list = g->volumes;
	v = volume_name_next(&list, volume) ? db_find(db, DB_KIND_VOLUME, volume) : NULL;
	if (v && v->node < CL_MAX_NODES && (set & cl_bit(v->node)))
		return v->node;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (set & cl_bit(i))
			return i;
	}
	return CL_NODE_NONE;
}

static bool is_suspended(const struct db *db, const struct db_job *j)
{
	const struct db_group *g = db_find(db, DB_KIND_GROUP, j->vm);
	const struct db_group *s = j->source[0] ? db_find(db, DB_KIND_GROUP, j->source) : NULL;

	return (g && volume_suspended(db, g)) || (s && volume_suspended(db, s));
}

static void plan_job(const struct db *db, struct plan_orders *out, const struct db_job *j)
{
	const struct db_node *n = db_node_by_slot(db, j->node);
	bool was_begun = j->node != CL_NODE_NONE, can_undo = job_is_undoable(j);
	uint8_t to;

	if (was_begun && plan_node_is_admitted(db, j->node, j->incarnation)) {
		if (db_node_departs(n) && !j->is_undo && can_undo)
			order(db, out, j, j->node, true,
			      n->is_leaving ? "its node stops" : "its node is quarantined");
		else if (is_suspended(db, j) && !j->is_undo && can_undo)
			order(db, out, j, j->node, true, "a volume of it is being suspended");
		else if (n->instance != j->instance)
			order(db, out, j, j->node, j->is_undo, "its clusterd was started anew");
		return;
	}
	if ((was_begun && !is_over(db, j)) || (!was_begun && job_waits(db, j)))
		return;
	to = choose(db, j, job_nodes(db, j));
	if (to != CL_NODE_NONE)
		order(db, out, j, to, was_begun && can_undo,
		      was_begun ? "the node that did it is out of service" : "its turn");
}

const struct db_job *plan_job_holds(const struct db *db, const struct plan_orders *out,
				    const struct db_group *g)
{
	const struct db_vm *v = vm_of_group(db, g);
	const struct db_job *j = v ? job_of_vm(db, v) : NULL;
	bool is_begun = j && j->order, is_undo = j && j->is_undo;

	for (size_t i = 0; j && out && i < out->job_count; i++) {
		if (out->job[i].id != j->id)
			continue;
		is_begun = true;
		is_undo = out->job[i].is_undo;
	}
	return j && job_needs(db, j, g->name, is_begun, is_undo) ? j : NULL;
}

void plan_jobs(const struct db *db, struct plan_orders *out)
{
	out->job_count = 0;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_JOB); i++) {
		if (out->job_count < PLAN_MAX_ORDERS)
			plan_job(db, out, db_at(db, DB_KIND_JOB, i));
	}
}
