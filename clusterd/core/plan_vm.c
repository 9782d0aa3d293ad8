/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where virtual machines are migrated to. A virtual machine that runs is stopped only because that
 * was asked for, or because its node stops and it can be migrated to nowhere.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/job.h"
#include "clusterd/core/plan_impl.h"
#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"
#include "lib/must.h"

/* Nodes to which a drain tries to migrate it, one after the other, before it stays. */
#define TRIES_MAX 3

static uint32_t count_bits(uint16_t set)
{
	uint32_t n = 0;

	for (; set; set = (uint16_t)(set & (set - 1)))
		n++;
	return n;
}

const struct db_migration *plan_migration_then(const struct db *db, const struct plan_orders *out,
					       const struct db_vm *v)
{
	for (size_t i = 0; out && i < out->begin_count; i++) {
		if (out->begin[i].id == v->migration &&
		    out->begin[i].phase == DB_MIGRATION_PHASE_ENDED)
			return NULL;
	}
	return vm_migration(db, v);
}

/* Nodes that can take it now, if these orders (NULL: none) are carried out. */
static uint16_t destinations(const struct db *db, const struct plan_orders *out,
			     const struct db_group *g)
{
	char why[DB_REASON_MAX];
	uint16_t set = 0;

	if ((out && plan_is_moving(db, out, g)) || plan_job_holds(db, out, g))
		return 0;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (i != g->node && !vm_bars_node(db, g, i, why, sizeof(why)) &&
		    !vm_bars_volumes(db, g, i, why, sizeof(why)))
			set = (uint16_t)(set | cl_bit(i));
	}
	return set;
}

/* Those to which a drain may still try to migrate it. */
static uint16_t refuges(const struct db *db, const struct plan_orders *out,
			const struct db_group *g, const struct db_vm *v)
{
	uint16_t set = destinations(db, out, g);

	if (count_bits(v->tried) >= TRIES_MAX)
		return 0;
	return (uint16_t)(set & ~v->tried & ~g->refused);
}

/* ---- the queue */

static void end(struct plan_orders *out, const struct db_migration *m, const char *why)
{
	struct db_cmd_migration_order *o = &out->begin[out->begin_count++];

	*o = (struct db_cmd_migration_order){.id = m->id, .phase = DB_MIGRATION_PHASE_ENDED};
	snprintf(o->reason, sizeof(o->reason), "%s", why);
}

static bool is_session_free(const struct db *db, const struct plan_orders *out,
			    const struct db_migration *m)
{
	for (size_t i = 0; i < out->begin_count && !DB_MUTANT(db, VM_PAIR_SHARED); i++) {
		const struct db_migration *o = db_find_id(db, DB_KIND_MIGRATION, out->begin[i].id);

		if (out->begin[i].phase != DB_MIGRATION_PHASE_ENDED &&
		    ((o->source == m->source && o->destination == m->destination) ||
		     (o->source == m->destination && o->destination == m->source)))
			return false;
	}
	return !vm_pair_is_busy(db, m->source, m->destination);
}

/*
 * Its destination cannot have it any more. It counts there itself, as long as it is not ended. For
 * a volume it waits, but not on a node that is to be empty.
 */
static bool is_barred(const struct db *db, const struct plan_orders *out, const struct plan_load *l,
		      const struct db_migration *m, const struct db_group *g, char *why,
		      size_t size)
{
	const struct db_node *source = db_node_by_slot(db, m->source);
	struct capacity_map without = l->room;
	char room[CAPACITY_TEXT];

	if (vm_bars_node(db, g, m->destination, why, size))
		return true;
	if (source && db_node_departs(source) && !plan_is_moving(db, out, g) &&
	    vm_bars_volumes(db, g, m->destination, why, size))
		return true;
	capacity_remove(&without, m->destination, g);
	if (!capacity_lacks(db, &without, capacity_of_group(&without, g), m->destination, room))
		return false;
	snprintf(why, size, "%s has no room any more: %s", db_node_name(db, m->destination), room);
	return true;
}

/* Begins, is over because its destination cannot have it any more, or waits. */
static void plan_queued(const struct db *db, struct plan_orders *out, struct plan_load *l,
			const struct db_migration *m, const struct db_group *g)
{
	char why[DB_REASON_MAX];

	if (out->begin_count == PLAN_MAX_ORDERS)
		return;
	if (is_barred(db, out, l, m, g, why, sizeof(why))) {
		end(out, m, why);
		capacity_remove(&l->room, m->destination, g);
		return;
	}
	if (g->work != DB_WORK_ONLINE || plan_is_moving(db, out, g) ||
	    !plan_node_is_admitted(db, m->source, m->source_incarnation) ||
	    vm_bars_volumes(db, g, m->destination, why, sizeof(why)) ||
	    !is_session_free(db, out, m))
		return;
	out->begin[out->begin_count++] =
		(struct db_cmd_migration_order){.id = m->id, .phase = DB_MIGRATION_PHASE_SETUP};
}

/* Higher priority first, of equals the one that was asked for first. */
static void plan_queue(const struct db *db, struct plan_orders *out, struct plan_load *l)
{
	for (int level = UINT8_MAX, next; level >= 0; level = next) {
		next = -1;
		for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION); i++) {
			const struct db_migration *m = db_at(db, DB_KIND_MIGRATION, i);
			const struct db_group *g;

			if (m->phase != DB_MIGRATION_PHASE_QUEUED)
				continue;
			g = db_find(db, DB_KIND_GROUP, m->vm);
			must(g);
			if (g->priority == level)
				plan_queued(db, out, l, m, g);
			else if (g->priority < level && g->priority > next)
				next = g->priority;
		}
	}
}

/* ---- wishes and drains */

/* True if there may be something to migrate it for: cheap, as most have none. */
static bool may_move(const struct db *db, const struct db_group *g)
{
	const struct db_node *n = db_node_by_slot(db, g->node);

	return g->work == DB_WORK_ONLINE && g->intent == DB_INTENT_ONLINE &&
	       !plan_is_unmanaged(g) && plan_node_is_admitted(db, g->node, g->incarnation) &&
	       (db_node_departs(n) || n->is_draining ||
		(g->wish < CL_MAX_NODES && g->wish != g->node) || plan_may_fail_back(db, g));
}

/* Where it shall go now, with the verb and the reason; CL_NODE_NONE: it stays, for now. */
static struct plan_choice plan_where(const struct db *db, const struct plan_orders *out,
				     const struct db_group *g, const struct db_vm *v,
				     const struct plan_load *l, const char **ret_verb,
				     const char **ret_reason)
{
	const struct db_node *n = db_node_by_slot(db, g->node);
	uint16_t set = plan_allowed(db, out, l, g, destinations(db, out, g));
	bool is_wished = g->wish < CL_MAX_NODES && g->wish != g->node && (set & cl_bit(g->wish)) &&
			 !plan_would_part(db, out, g, g->wish);
	uint8_t back;

	*ret_verb = is_wished ? "group-move" : "node-drain";
	*ret_reason = is_wished		  ? "asked to move"
		      : n->is_leaving	  ? "its node stops"
		      : n->is_quarantined ? "its node is quarantined"
					  : "its node is drained";
	if (is_wished)
		return plan_place(db, out, l, g, set, g->wish);
	set = refuges(db, out, g, v);
	if (db_node_departs(n) || n->is_draining)
		return plan_place(db, out, l, g, set, CL_NODE_NONE);
	back = plan_failback(db, g, plan_allowed(db, out, l, g, set));
	*ret_verb = "group-failback";
	*ret_reason = "its preferred owner is back";
	if (back == CL_NODE_NONE)
		return (struct plan_choice){.node = CL_NODE_NONE};
	return plan_place(db, out, l, g, cl_bit(back), CL_NODE_NONE);
}

static bool is_migrated(const struct plan_orders *out, const struct db_group *g)
{
	for (size_t i = 0; i < out->migration_count; i++) {
		if (!strcmp(out->migration[i].name, g->name))
			return true;
	}
	return false;
}

static void plan_move(const struct db *db, struct plan_orders *out, const struct db_group *g,
		      struct plan_load *l)
{
	const struct db_vm *v = vm_of_group(db, g);
	struct db_cmd_vm_migrate *o = &out->migration[out->migration_count];
	const char *verb, *reason;
	struct plan_choice to;

	if (!v || plan_migration_then(db, out, v) || is_migrated(out, g))
		return;
	to = plan_where(db, out, g, v, l, &verb, &reason);
	if (to.node == CL_NODE_NONE)
		return;
	*o = (struct db_cmd_vm_migrate){
		.to = to.node, .previous = g->order, .begin = true, .rule = (uint8_t)to.rule};
	memcpy(o->name, g->name, sizeof(o->name));
	memcpy(o->verdict, to.verdict, sizeof(o->verdict));
	memcpy(o->score, to.score, sizeof(o->score));
	snprintf(o->verb, sizeof(o->verb), "%s", verb);
	snprintf(o->reason, sizeof(o->reason), "%s", reason);
	out->migration_count++;
	l->count[to.node]++;
	capacity_add(&l->room, to.node, g);
}

static void plan_moves(const struct db *db, struct plan_orders *out, struct plan_load *l)
{
	for (int level = UINT8_MAX, next; level >= 0; level = next) {
		next = -1;
		for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
			const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

			if (out->migration_count == PLAN_MAX_ORDERS)
				return;
			if (g->priority > level || !may_move(db, g))
				continue;
			if (g->priority == level)
				plan_move(db, out, g, l);
			else if (g->priority > next)
				next = g->priority;
		}
	}
}

void plan_vms(const struct db *db, struct plan_orders *out, struct plan_load *l)
{
	size_t before;

	out->begin_count = out->migration_count = 0;
	if (!db_count(db, DB_KIND_VM))
		return;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION); i++) {
		const struct db_migration *m = db_at(db, DB_KIND_MIGRATION, i);

		if (m->phase < DB_MIGRATION_PHASE_ONLINE)
			l->count[m->destination]++;
	}
	plan_queue(db, out, l);
	/* Where one goes may say where another can that is kept together with it. */
	do {
		before = out->migration_count;
		plan_moves(db, out, l);
	} while (out->migration_count > before && out->migration_count < PLAN_MAX_ORDERS);
}

const char *plan_vm_why_stop(const struct db *db, const struct plan_orders *out,
			     const struct plan_load *l, const struct db_group *g,
			     const struct db_vm *v)
{
	const struct db_node *n = db_node_by_slot(db, g->node);

	if (plan_migration_then(db, out, v))
		return NULL;
	if (g->intent == DB_INTENT_OFFLINE)
		return "asked to be offline";
	if (volume_suspended(db, g))
		return "a volume that it needs is being suspended";
	if (!n || !db_node_departs(n) || plan_is_moving(db, out, g))
		return NULL;
	/* One that was asked for now counts as a way out; work on its disks is over soon. */
	if (is_migrated(out, g) || plan_job_holds(db, out, g))
		return NULL;
	if (plan_allowed(db, out, l, g, refuges(db, out, g, v)))
		return NULL;
	if (n->is_leaving && v->tried == UINT16_MAX)
		return "its node stops, and the time to migrate it is over, or that was cancelled";
	return n->is_leaving ? "its node stops, and it can be migrated to no other node"
			     : "its node is quarantined, and it can be migrated to no other node";
}

/* ---- explanations */

static void explain_migration(const struct db *db, const struct db_migration *m, char *text,
			      size_t size)
{
	const char *from = db_node_name(db, m->source), *to = db_node_name(db, m->destination);

	if (m->is_cancelled)
		snprintf(text, size, "its migration from %s to %s is being cancelled: %.120s", from,
			 to, m->reason);
	else if (m->phase == DB_MIGRATION_PHASE_QUEUED)
		snprintf(text, size, "waits to be migrated from %s to %s: %s", from, to,
			 vm_pair_is_busy(db, m->source, m->destination)
				 ? "another migration between them is under way"
				 : "not begun yet");
	else if (m->phase == DB_MIGRATION_PHASE_ONLINE)
		snprintf(text, size, "migrated from %s to %s, which is to say that it runs", from,
			 to);
	else
		snprintf(text, size,
			 "being migrated from %s to %s, phase %s: %" PRIu64 " of %" PRIu64
			 " bytes remain",
			 from, to, vm_phase_word(m), m->remaining, m->total);
}

bool plan_explain_vm(const struct db *db, const struct db_group *g, char *text, size_t size)
{
	const struct db_vm *v = vm_of_group(db, g);
	const struct db_migration *m = v ? vm_migration(db, v) : NULL;
	const struct db_node *n = db_node_by_slot(db, g->node);

	if (!v || g->work != DB_WORK_ONLINE)
		return false;
	if (m) {
		explain_migration(db, m, text, size);
		return true;
	}
	if (!n || !n->is_draining || refuges(db, NULL, g, v))
		return false;
	if (job_holds(db, v)) {
		snprintf(text, size,
			 "stays on %s, which is drained, until work on its disks is done (%s, task "
			 "%" PRIu64 ")",
			 n->name, job_word(job_of_vm(db, v)), job_of_vm(db, v)->task);
		return true;
	}
	if (v->tried)
		snprintf(text, size, "stayed on %s, which is drained: %s", n->name, g->reason);
	else
		snprintf(text, size,
			 "stayed on %s, which is drained: no other node can take it now", n->name);
	return true;
}
