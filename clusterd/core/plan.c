/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/plan.h"

#include <stdio.h>
#include <string.h>

#include "lib/must.h"

uint16_t plan_candidates(const struct db *db, const struct db_group *group)
{
	uint16_t set = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (n->membership == DB_MEMBERSHIP_ADMITTED && !n->is_paused && !n->is_leaving &&
		    (group->possible & cl_bit(n->slot)) && !(group->refused & cl_bit(n->slot)))
			set = (uint16_t)(set | cl_bit(n->slot));
	}
	return set;
}

struct load {
	uint32_t groups[CL_MAX_NODES];
};

static void count_load(const struct db *db, struct load *l)
{
	*l = (struct load){0};
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->node < CL_MAX_NODES && g->work != DB_WORK_OFFLINE)
			l->groups[g->node]++;
	}
}

/* The wish if it can be had, else the least loaded, of equals the lowest slot. */
static uint8_t choose(const struct load *l, uint16_t candidates, uint8_t wish)
{
	uint8_t best = CL_NODE_NONE;

	if (wish < CL_MAX_NODES && (candidates & cl_bit(wish)))
		return wish;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if ((candidates & cl_bit(i)) &&
		    (best == CL_NODE_NONE || l->groups[i] < l->groups[best]))
			best = i;
	}
	return best;
}

static void order(const struct db *db, struct plan_orders *out, const struct db_group *g,
		  enum db_work work, uint8_t node, const char *reason)
{
	const struct db_node *n = db_node_by_slot(db, node);
	struct db_cmd_group_order *o = &out->item[out->count++];

	must(n);
	*o = (struct db_cmd_group_order){.work = (uint8_t)work,
					 .node = node,
					 .incarnation = n->incarnation,
					 .previous = g->order};
	memcpy(o->name, g->name, sizeof(o->name));
	snprintf(o->reason, sizeof(o->reason), "%s", reason);
}

static void plan_start(const struct db *db, struct plan_orders *out, const struct db_group *g,
		       struct load *l)
{
	uint8_t node = choose(l, plan_candidates(db, g), g->wish);
	char reason[DB_REASON_MAX];

	if (node == CL_NODE_NONE)
		return;
	if (node == g->wish)
		snprintf(reason, sizeof(reason), "asked for on this node");
	else
		snprintf(reason, sizeof(reason), "fewest groups (%u) of the nodes that can run it",
			 l->groups[node]);
	order(db, out, g, DB_WORK_STARTING, node, reason);
	l->groups[node]++;
}

/* Why an online group has to leave its node; NULL if it may stay. */
static const char *why_stop(const struct db *db, const struct db_group *g)
{
	const struct db_node *n = db_node_by_slot(db, g->node);
	uint16_t others = (uint16_t)(plan_candidates(db, g) & ~cl_bit(g->node));

	if (g->intent == DB_INTENT_OFFLINE)
		return "asked to be offline";
	if (g->wish < CL_MAX_NODES && g->wish != g->node && (others & cl_bit(g->wish)))
		return "asked to move";
	if (n && n->is_leaving)
		return "its node stops";
	if (n && n->is_draining && others)
		return "its node is drained";
	return NULL;
}

static bool node_is_admitted(const struct db *db, uint8_t slot, uint64_t incarnation)
{
	const struct db_node *n = db_node_by_slot(db, slot);

	return n && n->membership == DB_MEMBERSHIP_ADMITTED && n->incarnation == incarnation;
}

void plan_run(const struct db *db, struct plan_orders *ret)
{
	struct load l;

	ret->count = 0;
	count_load(db, &l);
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);
		const char *why;

		if (ret->count == PLAN_MAX_ORDERS)
			return;
		if (g->work == DB_WORK_OFFLINE && g->intent == DB_INTENT_ONLINE)
			plan_start(db, ret, g, &l);
		if (g->work != DB_WORK_ONLINE || !node_is_admitted(db, g->node, g->incarnation))
			continue;
		why = why_stop(db, g);
		if (why)
			order(db, ret, g, DB_WORK_STOPPING, g->node, why);
	}
}

void plan_explain(const struct db *db, const struct db_group *g, char *text, size_t size)
{
	uint16_t candidates = plan_candidates(db, g);

	if (g->work == DB_WORK_OFFLINE && g->intent == DB_INTENT_ONLINE && !candidates) {
		snprintf(text, size,
			 g->refused
				 ? "cannot start: it failed on every node that could run it; "
				   "repair, then 'group start' again"
				 : "cannot start: no node is up, not paused and a possible owner");
		return;
	}
	if (g->work == DB_WORK_UNKNOWN) {
		snprintf(text, size,
			 "blocked: waiting to fence %s; nothing of it is started "
			 "elsewhere before",
			 db_node_name(db, g->node));
		return;
	}
	if (g->work == DB_WORK_FAILED) {
		snprintf(text, size, "failed on %s: %s", db_node_name(db, g->node), g->reason);
		return;
	}
	snprintf(text, size, "%s", g->reason[0] ? g->reason : "as asked");
}
