/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of the nodes that can have a group gets it, and why that one. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/placement.h"
#include "clusterd/core/plan_impl.h"
#include "clusterd/core/vm.h"

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
	capacity_count(db, &l->room);
	plan_count_flights(db, l);
}

void plan_load_add(struct plan_load *l, const struct db_group *g, uint8_t slot)
{
	l->count[slot]++;
	l->flight[slot]++;
	capacity_add(&l->room, slot, g);
}

/* What goes before it has its choice first; of the same priority, what is on its way does. */
void plan_look(const struct db *db, const struct db_group *g, struct plan_load *ret)
{
	plan_count_load(db, ret);
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *o = db_at(db, DB_KIND_GROUP, i);

		if (o->work == DB_WORK_OFFLINE && plan_is_on_its_way(o) && o != g &&
		    o->priority >= g->priority)
			capacity_add(&ret->room, o->goal, o);
	}
}

bool plan_load_take_back(const struct db *db, struct plan_load *l, const struct db_group *g)
{
	if (!plan_is_on_its_way(g))
		return false;
	l->count[g->goal]--;
	return plan_keep_turn(db, l, g, false);
}

void plan_load_give_back(const struct db *db, struct plan_load *l, const struct db_group *g,
			 bool is_turn)
{
	if (!plan_is_on_its_way(g))
		return;
	l->count[g->goal]++;
	capacity_add(&l->room, g->goal, g);
	plan_keep_turn(db, l, g, is_turn);
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

/* ---- room */

static struct capacity with_company(const struct db *db, const struct plan_orders *out,
				    const struct plan_load *l, const struct db_group *g)
{
	struct capacity ask = capacity_of_group(&l->room, g);
	struct capacity company = plan_company(db, out, l, g);

	return (struct capacity){ask.memory_mib + company.memory_mib,
				 ask.cpu_pct + company.cpu_pct};
}

/*
 * With all that is kept together with it and would have to come along, if that can be; else one of
 * those that start goes ahead, and none of those that are moved.
 */
static uint16_t with_room(const struct db *db, const struct plan_orders *out,
			  const struct plan_load *l, const struct db_group *g, uint16_t set)
{
	struct capacity ask = capacity_of_group(&l->room, g);
	uint16_t alone = capacity_fits(db, &l->room, ask, set), both;

	if (!alone)
		return 0;
	both = capacity_fits(db, &l->room, with_company(db, out, l, g), alone);
	return both || g->work != DB_WORK_OFFLINE ? both : alone;
}

uint16_t plan_allowed(const struct db *db, const struct plan_orders *out, const struct plan_load *l,
		      const struct db_group *g, uint16_t set)
{
	return with_room(db, out, l, g, plan_affinity(db, out, l->trial, g, set));
}

/* Of equals, those with the most memory free, if it asks for some. */
static uint16_t roomiest(const struct plan_load *l, const struct db_group *g, uint16_t set)
{
	uint8_t first = plan_choose(l, set, CL_NODE_NONE);
	uint64_t most = 0;
	uint16_t best = 0;

	if (first == CL_NODE_NONE || !capacity_of_group(&l->room, g).memory_mib)
		return set;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		uint64_t is_free = capacity_free(&l->room, i).memory_mib;

		if (!(set & cl_bit(i)) || l->count[i] != l->count[first] || is_free < most)
			continue;
		best = (uint16_t)(is_free > most ? cl_bit(i) : best | cl_bit(i));
		most = is_free;
	}
	return best;
}

/* Of a choice: where it could be, where affinity lets it, and where there is room, too. */
struct field {
	uint16_t candidates, allowed, room;
};

static bool is_tighter(const struct plan_load *l, const struct db_group *g, uint8_t slot,
		       uint8_t than)
{
	return capacity_of_group(&l->room, g).memory_mib &&
	       capacity_free(&l->room, slot).memory_mib < capacity_free(&l->room, than).memory_mib;
}

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
	if (!(f->room & cl_bit(slot)))
		return DB_VERDICT_ROOM;
	if ((l->avoided & cl_bit(slot)) && !(l->avoided & cl_bit(c->node)))
		return DB_VERDICT_FENCE;
	if (c->rule != DB_RULE_LEAST)
		return DB_VERDICT_OTHER;
	if (!plan_not_busy(l, cl_bit(slot)))
		return DB_VERDICT_BUSY;
	return l->count[slot] > l->count[c->node]   ? DB_VERDICT_LOADED
	       : l->count[slot] < l->count[c->node] ? DB_VERDICT_OTHER /* for a soft affinity */
	       : is_tighter(l, g, slot, c->node)    ? DB_VERDICT_TIGHTER
						    : DB_VERDICT_LATER;
}

/* The node, unless it has to wait for it; and what is said of each. */
static struct plan_choice chosen(const struct db *db, const struct plan_load *l,
				 const struct db_group *g, const struct field *f,
				 const struct plan_choice *pick)
{
	struct plan_choice c = *pick;

	if (c.node == CL_NODE_NONE || !plan_is_turn(l, g, c.node))
		return (struct plan_choice){.node = CL_NODE_NONE, .is_busy = f->room != 0};
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
	struct field f = {.candidates = candidates,
			  .allowed = plan_affinity(db, out, l->trial, g, candidates)};
	struct plan_choice c = {.node = wish, .rule = DB_RULE_WISH};
	uint16_t set = with_room(db, out, l, g, f.allowed);

	f.room = set;
	if (set & ~l->avoided)
		set = (uint16_t)(set & ~l->avoided);
	if (wish < CL_MAX_NODES && (set & cl_bit(wish)))
		return chosen(db, l, g, &f, &c);
	c = (struct plan_choice){.node = preferred(db, g, set), .rule = DB_RULE_PREFERRED};
	if (c.node != CL_NODE_NONE)
		return chosen(db, l, g, &f, &c);
	set = plan_affinity_soft(db, out, l->trial, g,
				 plan_not_busy(l, set) ? plan_not_busy(l, set) : set);
	c = (struct plan_choice){.node = plan_choose(l, roomiest(l, g, set), CL_NODE_NONE),
				 .rule = DB_RULE_LEAST};
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

void plan_explain_bars(const struct db *db, const struct plan_load *l, const struct db_group *g,
		       char *text, size_t size)
{
	bool is_moved = g->work != DB_WORK_OFFLINE;
	struct capacity ask =
		is_moved ? with_company(db, NULL, l, g) : capacity_of_group(&l->room, g);
	size_t at = strlen(text);
	const char *before = " (";
	char other[DB_REASON_MAX], room[CAPACITY_TEXT];

	for (uint8_t slot = 0; slot < CL_MAX_NODES && at < size; slot++) {
		const struct db_node *n = db_node_by_slot(db, slot);
		const char *bar = plan_bar(db, g, n);

		if (!n || slot == g->node)
			continue;
		if (!bar && is_moved && capacity_lacks(db, &l->room, ask, slot, room))
			bar = room;
		if (!bar && (plan_affinity_bars(db, g, slot, other, sizeof(other)) ||
			     vm_bars_volumes(db, g, slot, other, sizeof(other))))
			bar = other;
		if (!bar && capacity_lacks(db, &l->room, ask, slot, room))
			bar = room;
		if (!bar)
			continue;
		at += (size_t)snprintf(text + at, size - at, "%s%s: %s", before, n->name, bar);
		before = "; ";
	}
	if (at < size && before[0] == ';')
		snprintf(text + at, size - at, ")");
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
	plan_look(db, g, &l);
	if (plan_waits_for_wave(db, &l, g)) {
		snprintf(text, size,
			 "waits for its wave: groups of priority %d are not online yet "
			 "(placement.wave_ms)",
			 l.wave);
		return true;
	}
	plan_load_take_back(db, &l, g);
	if (!plan_affinity(db, NULL, NULL, g, candidates)) {
		explain_affinity(db, g, candidates, text, size);
		return true;
	}
	if (!plan_allowed(db, NULL, &l, g, candidates)) {
		snprintf(text, size, "waits for room");
		plan_explain_bars(db, &l, g, text, size);
		return true;
	}
	if (plan_place(db, NULL, &l, g, candidates, g->wish).node != CL_NODE_NONE)
		return false;
	explain_busy(db, &l, candidates, text, size);
	return true;
}
