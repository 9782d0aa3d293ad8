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

/* Of a choice: where it could be, and where affinity lets it. */
struct field {
	uint16_t candidates, allowed;
};

/* Why it is not that node. */
static enum db_verdict verdict_of(const struct db *db, const struct plan_load *l,
				  const struct db_group *g, const struct plan_choice *c,
				  const struct field *f, uint8_t slot)
{
	enum db_verdict bar = plan_verdict(db, g, db_node_by_slot(db, slot));

	if (slot == c->node)
		return DB_VERDICT_CHOSEN;
	if (slot == g->node)
		return DB_VERDICT_HERE;
	if (bar != DB_VERDICT_CHOSEN)
		return bar;
	if (!(f->candidates & cl_bit(slot)))
		return DB_VERDICT_VOLUMES;
	if (!(f->allowed & cl_bit(slot)))
		return DB_VERDICT_AFFINITY;
	if ((l->avoided & cl_bit(slot)) && !(l->avoided & cl_bit(c->node)))
		return DB_VERDICT_FENCE;
	if (c->rule != DB_RULE_LEAST)
		return DB_VERDICT_OTHER;
	if (!plan_not_busy(l, cl_bit(slot)))
		return DB_VERDICT_BUSY;
	return l->count[slot] > l->count[c->node]   ? DB_VERDICT_LOADED
	       : l->count[slot] < l->count[c->node] ? DB_VERDICT_OTHER /* for a soft affinity */
						    : DB_VERDICT_LATER;
}

/* The node, unless it has to wait for it; and what is said of each. */
static struct plan_choice chosen(const struct db *db, const struct plan_load *l,
				 const struct db_group *g, const struct field *f,
				 const struct plan_choice *pick)
{
	struct plan_choice c = *pick;

	if (c.node == CL_NODE_NONE || !plan_not_busy(l, cl_bit(c.node)))
		return (struct plan_choice){.node = CL_NODE_NONE, .is_busy = f->allowed != 0};
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		c.score[n->slot] = l->count[n->slot];
		c.verdict[n->slot] = (uint8_t)verdict_of(db, l, g, &c, f, n->slot);
	}
	return c;
}

struct plan_choice plan_place(const struct db *db, const struct plan_orders *out,
			      const struct plan_load *l, const struct db_group *g,
			      uint16_t candidates, uint8_t wish)
{
	struct field f = {candidates, plan_affinity(db, out, g, candidates)};
	struct plan_choice c = {.node = wish, .rule = DB_RULE_WISH};
	uint16_t set = f.allowed;

	if (set & ~l->avoided)
		set = (uint16_t)(set & ~l->avoided);
	if (wish < CL_MAX_NODES && (set & cl_bit(wish)))
		return chosen(db, l, g, &f, &c);
	c = (struct plan_choice){.node = preferred(db, g, set), .rule = DB_RULE_PREFERRED};
	if (c.node != CL_NODE_NONE)
		return chosen(db, l, g, &f, &c);
	set = plan_affinity_soft(db, out, g, plan_not_busy(l, set) ? plan_not_busy(l, set) : set);
	c = (struct plan_choice){.node = plan_choose(l, set, CL_NODE_NONE), .rule = DB_RULE_LEAST};
	if (g->goal < CL_MAX_NODES && g->goal != c.node && (set & cl_bit(g->goal)))
		c = (struct plan_choice){.node = g->goal, .rule = DB_RULE_GOAL};
	return chosen(db, l, g, &f, &c);
}

void plan_place_reason(const struct plan_load *l, const struct db_group *g,
		       const struct plan_choice *c, char *text, size_t size)
{
	uint32_t rank = placement_rank(g->preferred, c->node), owners = 0;

	while (placement_owner(g->preferred, owners) != CL_NODE_NONE)
		owners++;
	switch (c->rule) {
	case DB_RULE_WISH:
		snprintf(text, size, "asked for on this node");
		break;
	case DB_RULE_PREFERRED:
		if (!rank)
			snprintf(text, size, "its preferred owner");
		else
			snprintf(text, size, "preferred owner %u of %u; those before cannot run it",
				 rank + 1, owners);
		break;
	case DB_RULE_GOAL:
		snprintf(text, size, "where it was to go when it was stopped");
		break;
	case DB_RULE_LEAST:
		snprintf(text, size, "fewest groups (%u) of the nodes that can run it",
			 l->count[c->node]);
		break;
	case DB_RULE_MAX:
		break;
	}
}

uint8_t plan_failback(const struct db *db, const struct db_group *g, uint16_t candidates)
{
	struct db_group as = *g;
	uint8_t to;

	if (g->work != DB_WORK_ONLINE || g->intent != DB_INTENT_ONLINE || g->wish < CL_MAX_NODES ||
	    (g->returned && plan_is_bound(db, g)))
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

/* Who keeps it from each of the nodes that could have it. */
static void explain_affinity(const struct db *db, const struct db_group *g, uint16_t candidates,
			     char *text, size_t size)
{
	size_t at = (size_t)snprintf(text, size, "cannot start:");
	char why[DB_REASON_MAX];
	const char *before = " ";

	for (uint8_t i = 0; i < CL_MAX_NODES && at < size; i++) {
		if (!(candidates & cl_bit(i)) || !plan_affinity_bars(db, g, i, why, sizeof(why)))
			continue;
		at += (size_t)snprintf(text + at, size - at, "%s%s: %s", before,
				       db_node_name(db, i), why);
		before = "; ";
	}
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
	if (!plan_affinity(db, NULL, g, candidates)) {
		explain_affinity(db, g, candidates, text, size);
		return true;
	}
	if (plan_place(db, NULL, &l, g, candidates, g->wish).node != CL_NODE_NONE)
		return false;
	explain_busy(db, &l, candidates, text, size);
	return true;
}
