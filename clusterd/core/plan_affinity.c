/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of groups that are kept together, or apart. What runs is not moved for it: a set bars nodes
 * for what is placed, be it by a start, a drain or an administrator.
 */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/plan_impl.h"
#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"

/* Where a group is and where it goes, if the orders are carried out. */
struct whereabouts {
	uint16_t all;	/* both, as a set */
	uint8_t at, to; /* CL_NODE_NONE: nowhere */
	bool is_ending; /* it is stopped, or told to be */
};

static void goes(struct whereabouts *w, uint8_t slot)
{
	if (slot >= CL_MAX_NODES)
		return;
	w->all = (uint16_t)(w->all | cl_bit(slot));
	w->to = slot;
}

static void by_orders(const struct plan_orders *out, const struct db_group *g,
		      struct whereabouts *w)
{
	for (size_t i = 0; out && i < out->count; i++) {
		const struct db_cmd_group_order *o = &out->item[i];

		if (strcmp(o->name, g->name) != 0)
			continue;
		if (o->work == DB_WORK_STARTING) /* wherever it was to go before */
			w->all = 0;
		goes(w, o->work == DB_WORK_STARTING ? o->node : o->goal);
		w->is_ending = o->work == DB_WORK_STOPPING;
	}
	for (size_t i = 0; out && i < out->migration_count; i++) {
		if (!strcmp(out->migration[i].name, g->name))
			goes(w, out->migration[i].to);
	}
}

/* Where it is on a node that is not lost, and where it was placed then. */
static void by_trial(const struct db *db, const struct plan_trial *trial, const struct db_group *g,
		     struct whereabouts *w)
{
	w->all = (uint16_t)(w->all & ~trial->lost);
	if (w->at != CL_NODE_NONE && (trial->lost & cl_bit(w->at))) {
		w->at = CL_NODE_NONE;
		w->is_ending = false;
	}
	if (w->to != CL_NODE_NONE && (trial->lost & cl_bit(w->to)))
		w->to = CL_NODE_NONE;
	goes(w, trial->to[db_lower(db, DB_KIND_GROUP, g->name)]);
}

static struct whereabouts where_is(const struct db *db, const struct plan_orders *out,
				   const struct plan_trial *trial, const struct db_group *g)
{
	const struct db_vm *v = vm_of_group(db, g);
	const struct db_migration *m = v ? plan_migration_then(db, out, v) : NULL;
	struct whereabouts w = {.at = CL_NODE_NONE, .to = CL_NODE_NONE};

	if (g->work != DB_WORK_OFFLINE && g->node < CL_MAX_NODES) {
		w.at = g->node;
		w.all = cl_bit(g->node);
	}
	w.is_ending = g->work == DB_WORK_STOPPING;
	if (plan_is_on_its_way(g))
		goes(&w, g->goal);
	if (m && m->destination != g->node)
		goes(&w, m->destination);
	by_orders(out, g, &w);
	if (trial)
		by_trial(db, trial, g, &w);
	return w;
}

/*
 * What a member leaves of the nodes for another that is kept together with it. An order for the
 * member never leaves more of them than there were before it: else planning would have no end.
 */
static uint16_t with(const struct db *db, const struct db_group *g, const struct db_group *other,
		     const struct whereabouts *w, uint16_t set)
{
	bool is_moved = g->work != DB_WORK_OFFLINE;
	uint16_t both = (uint16_t)(set & plan_owners(db, other));

	if (other->intent == DB_INTENT_OFFLINE)
		return set;
	if (!is_moved && w->is_ending) /* wait and see where it goes */
		return 0;
	if (w->to != CL_NODE_NONE)
		return (uint16_t)(set & cl_bit(w->to));
	if (w->at == CL_NODE_NONE)
		return both ? both : set;
	/* Both are to leave a node: to one that can have the other, too. */
	return is_moved && w->at == g->node ? both : (uint16_t)(set & cl_bit(w->at));
}

/* It is nowhere, and where it is to go is not kept for it: what goes before it has its choice. */
static bool gives_way(const struct plan_orders *out, const struct db_group *other,
		      const struct db_group *g)
{
	return other->work == DB_WORK_OFFLINE && other->priority < g->priority &&
	       !(out && plan_is_ordered(out, other));
}

/* What one set leaves of the nodes for the group, one of its members. */
static uint16_t within(const struct db *db, const struct plan_orders *out,
		       const struct plan_trial *trial, const struct db_group *g,
		       const struct db_affinity *row, uint16_t set)
{
	const char *at = row->groups;
	char name[CL_NAME_MAX];

	if (DB_MUTANT(db, PLAN_MIXES) && row->is_apart)
		return set;
	if (DB_MUTANT(db, PLAN_PARTS) && !row->is_apart)
		return set;
	while (volume_name_next(&at, name)) {
		const struct db_group *other = db_find(db, DB_KIND_GROUP, name);

		struct whereabouts w;

		if (!other || !strcmp(other->name, g->name)) /* which may be a copy of the row */
			continue;
		w = where_is(db, out, trial, other);
		if (!row->is_apart)
			set = with(db, g, other, &w, set);
		else if (trial || !gives_way(out, other, g))
			set = (uint16_t)(set & ~w.all);
	}
	return set;
}

static bool is_member(const struct db_affinity *row, const struct db_group *g)
{
	return volume_is_named(row->groups, g->name);
}

uint16_t plan_affinity(const struct db *db, const struct plan_orders *out,
		       const struct plan_trial *trial, const struct db_group *g, uint16_t set)
{
	for (uint32_t i = 0; set && i < db_count(db, DB_KIND_AFFINITY); i++) {
		const struct db_affinity *row = db_at(db, DB_KIND_AFFINITY, i);

		if (!row->is_soft && is_member(row, g))
			set = within(db, out, trial, g, row, set);
	}
	return set;
}

uint16_t plan_affinity_soft(const struct db *db, const struct plan_orders *out,
			    const struct plan_trial *trial, const struct db_group *g, uint16_t set)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_AFFINITY); i++) {
		const struct db_affinity *row = db_at(db, DB_KIND_AFFINITY, i);
		uint16_t left = set;

		if (row->is_soft && is_member(row, g))
			left = within(db, out, trial, g, row, set);
		if (left)
			set = left;
	}
	return set;
}

/* Of one set, its other members that are nowhere, or on the node that it leaves. */
static void company_of(const struct db *db, const struct plan_orders *out,
		       const struct plan_load *l, const struct db_group *g,
		       const struct db_affinity *row, struct capacity *sum)
{
	bool is_moved = g->work != DB_WORK_OFFLINE;
	const char *at = row->groups;
	char name[CL_NAME_MAX];

	while (volume_name_next(&at, name)) {
		const struct db_group *other = db_find(db, DB_KIND_GROUP, name);
		struct capacity ask;
		struct whereabouts w;

		if (!other || !strcmp(other->name, g->name) || other->intent != DB_INTENT_ONLINE)
			continue;
		w = where_is(db, out, l->trial, other);
		if (w.to != CL_NODE_NONE ||
		    (w.at != CL_NODE_NONE && !(is_moved && w.at == g->node)))
			continue;
		ask = capacity_of_group(&l->room, other);
		sum->memory_mib += ask.memory_mib;
		sum->cpu_pct += ask.cpu_pct;
	}
}

struct capacity plan_company(const struct db *db, const struct plan_orders *out,
			     const struct plan_load *l, const struct db_group *g)
{
	struct capacity sum = {0};

	for (uint32_t i = 0; i < db_count(db, DB_KIND_AFFINITY); i++) {
		const struct db_affinity *row = db_at(db, DB_KIND_AFFINITY, i);

		if (!row->is_soft && !row->is_apart && is_member(row, g))
			company_of(db, out, l, g, row, &sum);
	}
	return sum;
}

/* That holds of something which is kept together with the group for good. */
static bool holds_of_company(const struct db *db, const struct plan_orders *out,
			     const struct db_group *g,
			     bool (*holds)(const struct db *db, const struct plan_orders *out,
					   const struct db_group *other))
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_AFFINITY); i++) {
		const struct db_affinity *row = db_at(db, DB_KIND_AFFINITY, i);
		const char *at = row->groups;
		char name[CL_NAME_MAX];

		while (!row->is_soft && !row->is_apart && is_member(row, g) &&
		       volume_name_next(&at, name)) {
			const struct db_group *other = db_find(db, DB_KIND_GROUP, name);

			if (other && other != g && holds(db, out, other))
				return true;
		}
	}
	return false;
}

/* It is to be started elsewhere, if the orders are carried out. */
static bool is_sent(const struct db *db, const struct plan_orders *out, const struct db_group *g)
{
	(void)db;
	for (size_t i = 0; i < out->count; i++) {
		if (!strcmp(out->item[i].name, g->name))
			return out->item[i].work == DB_WORK_STOPPING &&
			       out->item[i].goal != CL_NODE_NONE;
	}
	return plan_is_on_its_way(g);
}

bool plan_follows(const struct db *db, const struct plan_orders *out, const struct db_group *g)
{
	return holds_of_company(db, out, g, is_sent);
}

static bool is_somewhere(const struct db *db, const struct plan_orders *out,
			 const struct db_group *g)
{
	return g->intent == DB_INTENT_ONLINE && where_is(db, out, NULL, g).all;
}

bool plan_is_bound(const struct db *db, const struct db_group *g)
{
	return holds_of_company(db, NULL, g, is_somewhere);
}

/* Of that set, another that is to run is, or goes, elsewhere. */
static bool parts(const struct db *db, const struct plan_orders *out, const struct db_affinity *row,
		  const struct db_group *g, uint8_t slot)
{
	const char *at = row->groups;
	char name[CL_NAME_MAX];

	while (volume_name_next(&at, name)) {
		const struct db_group *other = db_find(db, DB_KIND_GROUP, name);

		if (other && other != g && other->intent == DB_INTENT_ONLINE &&
		    (where_is(db, out, NULL, other).all & ~cl_bit(slot)))
			return true;
	}
	return false;
}

bool plan_would_part(const struct db *db, const struct plan_orders *out, const struct db_group *g,
		     uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_AFFINITY); i++) {
		const struct db_affinity *row = db_at(db, DB_KIND_AFFINITY, i);

		if (!row->is_soft && !row->is_apart && is_member(row, g) &&
		    parts(db, out, row, g, slot))
			return true;
	}
	return false;
}

/* A member that keeps the group from the node as things are, or NULL. */
static const struct db_group *opponent(const struct db *db, const struct db_affinity *row,
				       const struct db_group *g, uint8_t slot)
{
	const char *at = row->groups;
	char name[CL_NAME_MAX];

	while (volume_name_next(&at, name)) {
		const struct db_group *other = db_find(db, DB_KIND_GROUP, name);
		struct whereabouts w;

		if (!other || other == g)
			continue;
		w = where_is(db, NULL, NULL, other);
		if (row->is_apart ? (w.all & cl_bit(slot)) != 0
				  : other->intent == DB_INTENT_ONLINE && (w.all & ~cl_bit(slot)))
			return other;
	}
	return NULL;
}

bool plan_affinity_bars(const struct db *db, const struct db_group *group, uint8_t slot, char *text,
			size_t size)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_AFFINITY); i++) {
		const struct db_affinity *row = db_at(db, DB_KIND_AFFINITY, i);
		const struct db_group *other;

		if (row->is_soft || !is_member(row, group))
			continue;
		other = opponent(db, row, group, slot);
		if (!other)
			continue;
		snprintf(text, size, "kept %s %.40s, which is %s (affinity %.40s)",
			 row->is_apart ? "apart from" : "together with", other->name,
			 row->is_apart ? "there" : "elsewhere", row->name);
		return true;
	}
	return false;
}
