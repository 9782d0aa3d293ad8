/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/admission.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/core/decision.h"
#include "clusterd/core/placement.h"
#include "clusterd/core/plan_impl.h"
#include "lib/must.h"

/* Groups that shall be online, in the order in which they are placed. */
struct queue {
	uint32_t count;
	uint16_t row[PLAN_GROUPS_MAX];
};

/* What has been placed in a loss that is tried. */
struct trial {
	struct plan_trial where;
	uint8_t to[PLAN_GROUPS_MAX];
	struct plan_load load;
};

static const struct db_group *group_at(const struct db *db, uint32_t row)
{
	return db_at(db, DB_KIND_GROUP, row);
}

/* ---- which groups, and in which order */

static int compare(const struct db *db, const struct capacity_map *map, uint16_t a, uint16_t b)
{
	const struct db_group *x = group_at(db, a), *y = group_at(db, b);
	int c = y->priority - x->priority;

	c = c ? c : capacity_compare(capacity_of_group(map, x), capacity_of_group(map, y));
	return c ? c : (a > b) - (a < b);
}

static void take_queue(const struct db *db, const struct capacity_map *map, struct queue *q)
{
	q->count = 0;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = group_at(db, i);

		if (g->intent != DB_INTENT_ONLINE || plan_is_unmanaged(g))
			continue;
		must(q->count < PLAN_GROUPS_MAX);
		q->row[q->count++] = (uint16_t)i;
	}
	for (uint32_t gap = q->count / 2; gap; gap /= 2) {
		for (uint32_t i = gap; i < q->count; i++) {
			uint16_t row = q->row[i];
			uint32_t k = i;

			for (; k >= gap && compare(db, map, row, q->row[k - gap]) < 0; k -= gap)
				q->row[k] = q->row[k - gap];
			q->row[k] = row;
		}
	}
}

static uint16_t nodes_up(const struct db *db)
{
	uint16_t set = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (n->membership == DB_MEMBERSHIP_ADMITTED)
			set = (uint16_t)(set | cl_bit(n->slot));
	}
	return set;
}

/* ---- one loss */

/* Where it is, or was placed before; CL_NODE_NONE: nowhere. */
static uint8_t place_of(const struct db *db, const struct trial *t, uint16_t row)
{
	const struct db_group *g = group_at(db, row);

	if (t->to[row] != CL_NODE_NONE)
		return t->to[row];
	return g->work != DB_WORK_OFFLINE ? g->node : CL_NODE_NONE;
}

/* It is placed as if it were offline and had no history. */
static struct db_group as_offline(const struct db_group *g)
{
	struct db_group as = *g;

	as.work = DB_WORK_OFFLINE;
	as.node = as.goal = CL_NODE_NONE;
	return as;
}

static uint16_t candidates(const struct db *db, const struct trial *t, const struct db_group *g)
{
	return (uint16_t)(plan_owners(db, g) & ~t->where.lost);
}

/* Each node that is left, and why it is not that one. */
static void explain(const struct db *db, const struct trial *t, const struct db_group *g,
		    struct admission *ret)
{
	struct capacity ask = capacity_of_group(&t->load.room, g);
	size_t at = strlen(ret->text);
	char room[CAPACITY_TEXT];
	const char *before = " (";

	for (uint8_t slot = 0; slot < CL_MAX_NODES && at < sizeof(ret->text); slot++) {
		const struct db_node *n = db_node_by_slot(db, slot);
		const char *bar = n ? plan_bar(db, g, n) : NULL;

		if (!n || (t->where.lost & cl_bit(slot)))
			continue;
		if (!bar && capacity_lacks(db, &t->load.room, ask, slot, room))
			bar = room;
		if (!bar)
			bar = decision_verdict_text(DB_VERDICT_AFFINITY);
		at += (size_t)snprintf(ret->text + at, sizeof(ret->text) - at, "%s%s: %s", before,
				       n->name, bar);
		before = "; ";
	}
	if (before[0] == ';' && at < sizeof(ret->text))
		snprintf(ret->text + at, sizeof(ret->text) - at, ")");
}

/* "if n2 is lost, 'db' has no node (n1: 4096 MiB asked, 1024 MiB free)" */
static void fails(const struct db *db, const struct trial *t, const struct db_group *g,
		  uint16_t nodes, struct admission *ret)
{
	size_t at = (size_t)snprintf(ret->text, sizeof(ret->text), "%s", nodes ? "if " : "");
	const char *verb = nodes & (nodes - 1) ? "are" : "is", *before = "";

	ret->is_survived = false;
	ret->nodes = nodes;
	memcpy(ret->group, g->name, sizeof(ret->group));
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		if (!(nodes & cl_bit(slot)))
			continue;
		at += (size_t)snprintf(ret->text + at, sizeof(ret->text) - at, "%s%.24s", before,
				       db_node_name(db, slot));
		before = ", ";
	}
	if (nodes)
		at += (size_t)snprintf(ret->text + at, sizeof(ret->text) - at, " %s lost, ", verb);
	snprintf(ret->text + at, sizeof(ret->text) - at, "'%.40s' has no %s", g->name,
		 plan_affinity(db, NULL, &t->where, g, candidates(db, t, g)) ? "room" : "node");
	explain(db, t, g, ret);
}

/* Places all that is nowhere, or was on these nodes; false: the first of them has no node. */
static bool place_all(const struct db *db, const struct queue *q, struct trial *t, uint16_t nodes,
		      struct admission *ret)
{
	for (uint32_t i = 0; i < q->count; i++) {
		const struct db_group *g = group_at(db, q->row[i]);
		uint8_t at = place_of(db, t, q->row[i]);
		struct db_group as;
		struct plan_choice c;

		if (at != CL_NODE_NONE && !(t->where.lost & cl_bit(at)))
			continue;
		/* Whoever loses its node and has no auto start is not to run any more. */
		if (at != CL_NODE_NONE && g->priority == PLACEMENT_NO_AUTO_START)
			continue;
		as = as_offline(g);
		t->to[q->row[i]] = CL_NODE_NONE;
		c = plan_place(db, NULL, &t->load, &as, candidates(db, t, &as), g->wish);
		if (c.node == CL_NODE_NONE) {
			fails(db, t, &as, nodes, ret);
			return false;
		}
		t->to[q->row[i]] = c.node;
		plan_load_add(&t->load, g, c.node);
	}
	return true;
}

static uint32_t count_bits(uint16_t set)
{
	uint32_t n = 0;

	for (; set; set = (uint16_t)(set & (set - 1)))
		n++;
	return n;
}

/* A trial points into itself. */
static void trial_copy(struct trial *to, const struct trial *from, uint16_t lost)
{
	*to = *from;
	to->where.to = to->to;
	to->where.lost = (uint16_t)(from->where.lost | lost);
	to->load.trial = &to->where;
}

void admission_check(const struct db *db, uint32_t losses, struct admission *ret)
{
	uint16_t up = nodes_up(db);
	struct trial now, then;
	struct queue q;

	*ret = (struct admission){.is_survived = true};
	if (!losses)
		return;
	memset(&now, 0, sizeof(now));
	memset(now.to, CL_NODE_NONE, sizeof(now.to));
	plan_count_load(db, &now.load);
	now.load.flight_max = UINT32_MAX;
	now.where.lost = (uint16_t)~up;
	trial_copy(&then, &now, 0);
	take_queue(db, &then.load.room, &q);
	if (!place_all(db, &q, &then, 0, ret))
		return;
	trial_copy(&now, &then, 0);
	for (uint32_t set = 1; set <= UINT16_MAX; set++) {
		uint16_t lost = (uint16_t)set;

		if ((lost & ~up) || count_bits(lost) != losses)
			continue;
		trial_copy(&then, &now, lost);
		if (!place_all(db, &q, &then, lost, ret))
			return;
	}
}
