/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a node was chosen is kept beside the order; see decision.h. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "lib/must.h"

/* What the group waited for: somebody's request, else what its row says. */
static void trigger(struct apply *a, const struct db_group *g, const char *action,
		    const char *reason, char *text, size_t size)
{
	const struct db_task *t = g->task ? db_find_id(a->db, DB_KIND_TASK, g->task) : NULL;

	if (t && t->state == DB_TASK_STATE_RUNNING)
		snprintf(text, size, "%s, asked by %s", t->verb, t->actor);
	else
		snprintf(text, size, "%s", !strcmp(action, "start") ? g->reason : reason);
}

void decision_note(struct apply *a, const struct db_group *g, const char *action, uint8_t node,
		   const struct decision_why *why)
{
	struct db *db = a->db;
	struct db_decision *d;

	if (!db->limits.capacity[DB_KIND_DECISION])
		return;
	if (db_count(db, DB_KIND_DECISION) == db->limits.capacity[DB_KIND_DECISION])
		db_remove(db, DB_KIND_DECISION, db_at(db, DB_KIND_DECISION, 0));
	d = db_insert_id(db, DB_KIND_DECISION, a->entry->index);
	must(d);
	d->at_ms = a->cmd->at_ms;
	d->node = node;
	d->rule = why->rule;
	COPY(d->group, g->name);
	COPY(d->action, action);
	memcpy(d->verdict, why->verdict, sizeof(d->verdict));
	memcpy(d->score, why->score, sizeof(d->score));
	trigger(a, g, action, why->reason, d->trigger, sizeof(d->trigger));
}
