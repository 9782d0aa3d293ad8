/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No storm: how many starts may be under way on a node, and that lower priorities wait for higher
 * ones after a crash or a cold start. Both only delay; what waits says for what.
 */
#include <string.h>

#include "clusterd/core/placement.h"
#include "clusterd/core/plan_impl.h"
#include "clusterd/core/setting.h"
#include "lib/must.h"

/* The next start at its goal is its, unless it cannot be there any more. */
static bool keeps_turn(const struct db *db, const struct db_group *g)
{
	if (!plan_is_on_its_way(g))
		return false;
	return g->work != DB_WORK_OFFLINE ||
	       (plan_verdict(db, g, db_node_by_slot(db, g->goal)) == DB_VERDICT_CHOSEN &&
		plan_affinity(db, NULL, NULL, g, cl_bit(g->goal)));
}

bool plan_keep_turn(const struct db *db, struct plan_load *l, const struct db_group *g, bool keeps)
{
	uint32_t row = db_lower(db, DB_KIND_GROUP, g->name);
	uint8_t bit = (uint8_t)(1u << row % 8);
	bool kept;

	must(row < PLAN_GROUPS_MAX);
	kept = l->keeps[row / 8] & bit;
	if (keeps == kept)
		return kept;
	l->keeps[row / 8] ^= bit;
	l->flight[g->goal] += keeps ? 1 : UINT32_MAX;
	l->kept[g->goal] += keeps ? 1 : UINT32_MAX;
	return kept;
}

void plan_count_flights(const struct db *db, struct plan_load *l)
{
	l->flight_max = (uint32_t)setting_get(db, SETTING_PLACEMENT_STARTS, NULL);
	if (DB_MUTANT(db, PLAN_STORMS))
		l->flight_max = UINT32_MAX;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->work == DB_WORK_STARTING && g->node < CL_MAX_NODES)
			l->flight[g->node]++;
		plan_keep_turn(db, l, g, keeps_turn(db, g));
	}
	plan_count_wave(db, NULL, l);
}

bool plan_is_ordered(const struct plan_orders *out, const struct db_group *g)
{
	for (size_t i = 0; i < out->count; i++) {
		if (!strcmp(out->item[i].name, g->name))
			return true;
	}
	return false;
}

void plan_count_wave(const struct db *db, const struct plan_orders *out, struct plan_load *l)
{
	l->wave = -1;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (!g->wave_ms || g->priority <= l->wave)
			continue;
		if ((out && plan_is_ordered(out, g)) || placement_is_awaited(db, &l->room, g))
			l->wave = g->priority;
	}
}

bool plan_is_on_its_way(const struct db_group *g)
{
	return g->goal < CL_MAX_NODES && g->intent == DB_INTENT_ONLINE &&
	       (g->work == DB_WORK_STOPPING || g->work == DB_WORK_OFFLINE);
}

bool plan_waits_for_wave(const struct db *db, const struct plan_load *l, const struct db_group *g)
{
	return g->wave_ms && g->priority < l->wave && !DB_MUTANT(db, PLAN_HAS_NO_WAVES);
}

bool plan_is_turn(const struct plan_load *l, const struct db_group *g, uint8_t slot)
{
	uint32_t others = plan_is_on_its_way(g) && g->goal == slot ? l->kept[slot] : 0;

	return l->flight[slot] - others < l->flight_max;
}

uint16_t plan_not_busy(const struct plan_load *l, uint16_t set)
{
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (l->flight[i] >= l->flight_max)
			set = (uint16_t)(set & ~cl_bit(i));
	}
	return set;
}
