/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/fence_window.h"

#include "clusterd/core/setting.h"

uint64_t fence_window_wait_ms(const struct db *db, uint64_t wall_ms)
{
	const struct db_cluster *c =
		db_count(db, DB_KIND_CLUSTER) ? db_at(db, DB_KIND_CLUSTER, 0) : NULL;
	uint64_t max = setting_get(db, SETTING_FENCE_MAX, NULL);
	uint64_t window = setting_get(db, SETTING_FENCE_WINDOW_MS, NULL);
	uint64_t began;

	if (!c || DB_MUTANT(db, FENCE_STORM))
		return 0;
	began = max == 1 ? c->fence0_ms : max == 2 ? c->fence1_ms : c->fence2_ms;
	/* Further ahead than a window: told by a clock that was wrong. */
	if (!began || wall_ms >= began + window || began > wall_ms + window)
		return 0;
	return began + window - wall_ms;
}

void fence_window_take(struct db *db, uint64_t wall_ms)
{
	struct db_cluster *c = db_count(db, DB_KIND_CLUSTER) ? db_at(db, DB_KIND_CLUSTER, 0) : NULL;

	if (!c)
		return;
	c->fence2_ms = c->fence1_ms;
	c->fence1_ms = c->fence0_ms;
	c->fence0_ms = wall_ms;
}
