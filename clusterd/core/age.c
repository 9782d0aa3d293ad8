/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/age.h"

#include <stdio.h>

#include "clusterd/core/placement.h"
#include "clusterd/core/quarantine.h"

enum age age_of(uint64_t since_ms, uint32_t period_ms, uint64_t now_ms)
{
	if (since_ms > now_ms)
		return since_ms - now_ms > AGE_SKEW_MS ? AGE_AHEAD : AGE_YOUNG;
	return now_ms - since_ms >= period_ms ? AGE_OVER : AGE_YOUNG;
}

uint32_t age_failover_max(const struct db *db, const struct db_group *g)
{
	uint32_t nodes = 0;

	if (g->failover_max)
		return g->failover_max;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		nodes += !n->is_evicted && (g->possible & cl_bit(n->slot));
	}
	return nodes > AGE_FAILOVER_LEAST ? nodes : AGE_FAILOVER_LEAST;
}

bool age_waits(const struct db_group *g)
{
	return g->gave_up_ms && g->retry_ms && g->intent == DB_INTENT_ONLINE;
}

bool age_volume_waits(const struct db_volume *v)
{
	return !v->is_deleting && (v->crashed || (v->refused && v->work == DB_WORK_OFFLINE));
}

bool age_is_due(const struct db *db, uint64_t now_ms)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		if (quarantine_is_forgotten(db, db_at(db, DB_KIND_NODE, i), now_ms))
			return true;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (age_waits(g) && age_of(g->gave_up_ms, g->retry_ms, now_ms) != AGE_YOUNG)
			return true;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_RESOURCE); i++) {
		const struct db_resource *r = db_at(db, DB_KIND_RESOURCE, i);

		if (r->restarts && age_of(r->restarts_since_ms, r->restart_ms, now_ms) != AGE_YOUNG)
			return true;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);

		if (age_volume_waits(v) &&
		    age_of(v->refused_since_ms, AGE_COORDINATOR_MS, now_ms) != AGE_YOUNG)
			return true;
	}
	return placement_is_due(db, now_ms);
}

void age_text(uint32_t ms, char text[static AGE_TEXT_MAX])
{
	static const struct {
		uint32_t ms;
		const char *word;
	} unit[] = {{3600 * 1000, "h"}, {60 * 1000, "min"}, {1000, "s"}, {1, "ms"}};
	size_t i = 0;

	while (ms % unit[i].ms) /* of the last one nothing is left over */
		i++;
	snprintf(text, AGE_TEXT_MAX, "%u %s", ms / unit[i].ms, unit[i].word);
}
