/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/quarantine.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/setting.h"

static uint32_t period_ms(const struct db *db)
{
	return (uint32_t)setting_get(db, SETTING_QUORUM_QUARANTINE_MS, NULL);
}

bool quarantine_is_due(const struct db *db, const struct db_node *n, uint64_t now_ms)
{
	uint64_t max = setting_get(db, SETTING_QUORUM_QUARANTINE_MAX, NULL);

	return max && n->losses > max &&
	       age_of(n->losses_since_ms, period_ms(db), now_ms) != AGE_OVER;
}

bool quarantine_is_affordable(const struct db *db, const struct db_node *n)
{
	uint32_t members = 0, left = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *o = db_at(db, DB_KIND_NODE, i);

		members += !o->is_evicted;
		left += o != n && !db_node_bar(o);
	}
	return 2 * left > members || DB_MUTANT(db, QUARANTINES_ALL);
}

bool quarantine_is_loss(const struct db_event *e, const struct db_node *n)
{
	return !strcmp(e->object, n->name) &&
	       (!strcmp(e->kind, "node-lost") || !strcmp(e->kind, "node-rebooted"));
}

bool quarantine_is_forgotten(const struct db *db, const struct db_node *n, uint64_t now_ms)
{
	return n->losses && !n->is_quarantined &&
	       age_of(n->losses_since_ms, period_ms(db), now_ms) != AGE_YOUNG;
}

void quarantine_text(const struct db *db, const struct db_node *n, char *text, size_t size)
{
	char period[AGE_TEXT_MAX];

	age_text(period_ms(db), period);
	snprintf(text, size, "lost %u times within %s", n->losses, period);
}
