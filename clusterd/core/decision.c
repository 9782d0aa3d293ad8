/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/decision.h"

#include <stdio.h>
#include <string.h>

const char *decision_verdict_text(enum db_verdict verdict)
{
	static const char *const text[DB_VERDICT_MAX] = {
		[DB_VERDICT_NONE] = "there is no such node",
		[DB_VERDICT_CHOSEN] = "chosen",
		[DB_VERDICT_HERE] = "it is to leave it",
		[DB_VERDICT_NOT_UP] = "the node is not up",
		[DB_VERDICT_STOPPING] = "the node is stopping",
		[DB_VERDICT_QUARANTINED] = "the node is quarantined",
		[DB_VERDICT_PAUSED] = "the node is paused",
		[DB_VERDICT_NOT_POSSIBLE] = "not a possible owner",
		[DB_VERDICT_FAILED] = "it failed there",
		[DB_VERDICT_AFFINITY] = "others are there, or elsewhere (affinity)",
		[DB_VERDICT_VOLUMES] = "a volume that it needs is not ready there",
		[DB_VERDICT_FENCE] = "the node is to be fenced",
		[DB_VERDICT_BUSY] = "as many starts as may be are under way there",
		[DB_VERDICT_OTHER] = "not the one that the rule names",
		[DB_VERDICT_LATER] = "as good, in a higher slot",
		[DB_VERDICT_ROOM] = "what it reserves does not fit there",
		[DB_VERDICT_TIGHTER] = "as good, and less memory is free there",
	};

	return verdict < DB_VERDICT_MAX && text[verdict] ? text[verdict] : "?";
}

bool decision_same(const struct db_decision *a, const struct db_decision *b)
{
	return !strcmp(a->group, b->group) && !strcmp(a->action, b->action) && a->node == b->node &&
	       a->rule == b->rule && !memcmp(a->verdict, b->verdict, sizeof(a->verdict)) &&
	       !memcmp(a->score, b->score, sizeof(a->score));
}

const struct db_decision *decision_after(const struct db *db, const char *group, uint64_t id)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_DECISION); i++) {
		const struct db_decision *d = db_at(db, DB_KIND_DECISION, i);

		if (d->id > id && !strcmp(d->group, group))
			return d;
	}
	return NULL;
}

const struct db_decision *decision_newest(const struct db *db, const char *group)
{
	for (uint32_t i = db_count(db, DB_KIND_DECISION); i-- > 0;) {
		const struct db_decision *d = db_at(db, DB_KIND_DECISION, i);

		if (!strcmp(d->group, group))
			return d;
	}
	return NULL;
}

static size_t put_rule(const struct db *db, const struct db_decision *d, char *text, size_t size)
{
	const char *name = db_node_name(db, d->node);
	uint32_t score = d->node < CL_MAX_NODES ? d->score[d->node] : 0;

	switch (d->rule) {
	case DB_RULE_WISH:
		return (size_t)snprintf(text, size, "%s: asked for on this node", name);
	case DB_RULE_PREFERRED:
		return (size_t)snprintf(text, size, "%s: first preferred owner that can run it",
					name);
	case DB_RULE_GOAL:
		return (size_t)snprintf(text, size, "%s: where it was to go when it was stopped",
					name);
	default:
		return (size_t)snprintf(text, size,
					"%s: fewest groups (%u) of the nodes that can run it", name,
					score);
	}
}

void decision_text(const struct db *db, const struct db_decision *d, char *text, size_t size)
{
	size_t at = put_rule(db, d, text, size);
	const char *before = "; lost: ";

	for (uint8_t slot = 0; slot < CL_MAX_NODES && at < size; slot++) {
		enum db_verdict verdict = d->verdict[slot];

		if (verdict == DB_VERDICT_NONE || verdict == DB_VERDICT_CHOSEN)
			continue;
		if (verdict == DB_VERDICT_LOADED)
			at += (size_t)snprintf(text + at, size - at, "%s%s: %u groups", before,
					       db_node_name(db, slot), d->score[slot]);
		else
			at += (size_t)snprintf(text + at, size - at, "%s%s: %s", before,
					       db_node_name(db, slot),
					       decision_verdict_text(verdict));
		before = "; ";
	}
}
