/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of the nodes that can have a group gets it, and why that one. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/placement.h"
#include "clusterd/core/plan_impl.h"

void plan_count_load(const struct db *db, struct plan_load *l)
{
	*l = (struct plan_load){0};
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->node < CL_MAX_NODES && g->work != DB_WORK_OFFLINE)
			l->count[g->node]++;
		if (plan_is_on_its_way(g))
			l->count[g->goal]++;
	}
	plan_count_flights(db, l);
}

void plan_load_add(struct plan_load *l, uint8_t slot)
{
	l->count[slot]++;
	l->flight[slot]++;
}

void plan_load_take_back(struct plan_load *l, const struct db_group *g)
{
	if (!plan_is_on_its_way(g))
		return;
	l->count[g->goal]--;
	l->flight[g->goal]--;
}

uint8_t plan_choose(const struct plan_load *l, uint16_t candidates, uint8_t wish)
{
	uint8_t best = CL_NODE_NONE;

	if (candidates & ~l->avoided)
		candidates = (uint16_t)(candidates & ~l->avoided);
	if (wish < CL_MAX_NODES && (candidates & cl_bit(wish)))
		return wish;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if ((candidates & cl_bit(i)) &&
		    (best == CL_NODE_NONE || l->count[i] < l->count[best]))
			best = i;
	}
	return best;
}

/* The first preferred owner among them. */
static uint8_t preferred(const struct db *db, const struct db_group *g, uint16_t candidates)
{
	for (uint32_t i = 0; i < CL_MAX_NODES && !DB_MUTANT(db, PLAN_FORGETS_OWNERS); i++) {
		uint8_t slot = placement_owner(g->preferred, i);

		if (slot == CL_NODE_NONE)
			break;
		if (candidates & cl_bit(slot))
			return slot;
	}
	return CL_NODE_NONE;
}

static struct plan_choice chosen(const struct plan_load *l, uint8_t node, enum plan_rule rule)
{
	bool is_busy = node != CL_NODE_NONE && !plan_not_busy(l, cl_bit(node));

	return (struct plan_choice){.node = is_busy ? CL_NODE_NONE : node, .rule = rule};
}

struct plan_choice plan_place(const struct db *db, const struct plan_load *l,
			      const struct db_group *g, uint16_t candidates, uint8_t wish)
{
	uint8_t owner, least;

	if (candidates & ~l->avoided)
		candidates = (uint16_t)(candidates & ~l->avoided);
	if (wish < CL_MAX_NODES && (candidates & cl_bit(wish)))
		return chosen(l, wish, PLAN_RULE_WISH);
	owner = preferred(db, g, candidates);
	if (owner != CL_NODE_NONE)
		return chosen(l, owner, PLAN_RULE_PREFERRED);
	least = plan_choose(l, plan_not_busy(l, candidates), CL_NODE_NONE);
	if (g->goal < CL_MAX_NODES && g->goal != least && (candidates & cl_bit(g->goal)))
		return chosen(l, g->goal, PLAN_RULE_GOAL);
	return chosen(l, least, PLAN_RULE_LEAST);
}

void plan_place_reason(const struct plan_load *l, const struct db_group *g,
		       const struct plan_choice *c, char *text, size_t size)
{
	uint32_t rank = placement_rank(g->preferred, c->node), owners = 0;

	while (placement_owner(g->preferred, owners) != CL_NODE_NONE)
		owners++;
	switch (c->rule) {
	case PLAN_RULE_WISH:
		snprintf(text, size, "asked for on this node");
		break;
	case PLAN_RULE_PREFERRED:
		if (!rank)
			snprintf(text, size, "its preferred owner");
		else
			snprintf(text, size, "preferred owner %u of %u; those before cannot run it",
				 rank + 1, owners);
		break;
	case PLAN_RULE_GOAL:
		snprintf(text, size, "where it was to go when it was stopped");
		break;
	case PLAN_RULE_LEAST:
		snprintf(text, size, "fewest groups (%u) of the nodes that can run it",
			 l->count[c->node]);
		break;
	}
}

uint8_t plan_failback(const struct db *db, const struct db_group *g, uint16_t candidates)
{
	struct db_group as = *g;
	uint8_t to;

	if (g->work != DB_WORK_ONLINE || g->intent != DB_INTENT_ONLINE || g->wish < CL_MAX_NODES)
		return CL_NODE_NONE;
	if (DB_MUTANT(db, PLAN_FAILS_BACK_FOR_EVER))
		as.returned = UINT16_MAX;
	if (DB_MUTANT(db, PLAN_FAILS_BACK_ANYTIME))
		as.failback = DB_FAILBACK_IMMEDIATE;
	as.returned = (uint16_t)(as.returned & candidates);
	to = placement_failback(&as);
	return to;
}

bool plan_may_fail_back(const struct db *db, const struct db_group *g)
{
	return plan_failback(db, g, UINT16_MAX) != CL_NODE_NONE;
}

/* ---- explanations */

static void explain_busy(const struct db *db, const struct plan_load *l, uint16_t candidates,
			 char *text, size_t size)
{
	size_t at = (size_t)snprintf(
		text, size, "waits for its turn: as many starts as may be (%u) are under way on",
		l->flight_max);
	const char *before = " ";

	for (uint8_t i = 0; i < CL_MAX_NODES && at < size; i++) {
		if (!(candidates & cl_bit(i)) || plan_not_busy(l, cl_bit(i)))
			continue;
		at += (size_t)snprintf(text + at, size - at, "%s%s", before, db_node_name(db, i));
		before = ", ";
	}
	if (at < size)
		snprintf(text + at, size - at, " (placement.starts_per_node)");
}

bool plan_explain_place(const struct db *db, const struct db_group *g, char *text, size_t size)
{
	uint16_t candidates = plan_candidates(db, g);
	uint8_t slot = CL_NODE_NONE;
	struct plan_load l;

	if (g->work == DB_WORK_ONLINE && g->failback == DB_FAILBACK_HOURS && !g->failback_open) {
		struct db_group open = *g;

		open.failback_open = true;
		slot = plan_failback(db, &open, candidates);
		if (slot == CL_NODE_NONE)
			return false;
		snprintf(text, size, "goes back to %s between %02u:00 and %02u:00 UTC",
			 db_node_name(db, slot), g->failback_from, g->failback_to);
		return true;
	}
	if (g->work != DB_WORK_OFFLINE || g->intent != DB_INTENT_ONLINE || !candidates)
		return false;
	plan_count_load(db, &l);
	if (plan_waits_for_wave(db, &l, g)) {
		snprintf(text, size,
			 "waits for its wave: groups of priority %d are not online yet "
			 "(placement.wave_ms)",
			 l.wave);
		return true;
	}
	plan_load_take_back(&l, g);
	if (plan_place(db, &l, g, candidates, g->wish).node != CL_NODE_NONE)
		return false;
	explain_busy(db, &l, candidates, text, size);
	return true;
}
