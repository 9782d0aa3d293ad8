/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/stuck.h"

#include <stdio.h>

bool stuck_has_device(const struct db *db, uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_FENCE); i++) {
		const struct db_fence *f = db_at(db, DB_KIND_FENCE, i);

		if (slot < CL_MAX_NODES && (f->nodes & cl_bit(slot)))
			return true;
	}
	return false;
}

/* ---- what asks */

/* What asks for the fence of one node, so far. */
struct asks {
	uint32_t count;
	int priority;			  /* the highest; a volume goes before every group */
	const char *kind, *name, *reason; /* of the first of the highest */
};

#define VOLUME_PRIORITY (UINT8_MAX + 1)

static void take(struct asks *a, int priority, const char *kind, const char *name,
		 const char *reason)
{
	a->count++;
	if (a->count > 1 && priority <= a->priority)
		return;
	a->priority = priority;
	a->kind = kind;
	a->name = name;
	a->reason = reason;
}

static bool is_on(const struct db_node *n, uint8_t slot, uint64_t incarnation)
{
	return n->slot == slot && n->incarnation == incarnation;
}

static struct asks collect(const struct db *db, const struct db_node *n)
{
	struct asks a = {.count = 0};

	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);

		if (v->fence_wanted && is_on(n, v->node, v->incarnation))
			take(&a, VOLUME_PRIORITY, "volume", v->name, v->reason);
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MOUNT); i++) {
		const struct db_mount *m = db_at(db, DB_KIND_MOUNT, i);

		if (m->fence_wanted && is_on(n, m->slot, m->incarnation))
			take(&a, VOLUME_PRIORITY, "mount of volume", m->volume, m->reason);
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->fence_wanted && g->on_stop_failure == DB_STOP_FAILURE_FENCE &&
		    is_on(n, g->node, g->incarnation))
			take(&a, g->priority, "group", g->name, g->reason);
	}
	return a;
}

bool stuck_asks(const struct db *db, const struct db_node *n, char *text, size_t size)
{
	struct asks a = collect(db, n);

	if (!a.count)
		return false;
	if (a.count == 1)
		snprintf(text, size, "%s %s: %s", a.kind, a.name, a.reason);
	else
		snprintf(text, size, "%s %s, and %u more: %s", a.kind, a.name, a.count - 1,
			 a.reason);
	return true;
}

/* ---- whom to fence */

/* A fence is under way, or will be as soon as its node is known to the fencer. */
static bool is_fencing(const struct db *db)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (n->membership == DB_MEMBERSHIP_FENCING ||
		    (n->membership == DB_MEMBERSHIP_LOST && stuck_has_device(db, n->slot)))
			return true;
	}
	return false;
}

const struct db_node *stuck_next(const struct db *db)
{
	const struct db_node *best = NULL;
	int priority = -1;

	if (is_fencing(db))
		return NULL;
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_node *n = db_node_by_slot(db, slot);
		struct asks a;

		if (!n || n->membership != DB_MEMBERSHIP_ADMITTED || !stuck_has_device(db, n->slot))
			continue;
		a = collect(db, n);
		if (a.count && a.priority > priority) {
			best = n;
			priority = a.priority;
		}
	}
	return best;
}

void stuck_explain(const struct db *db, uint8_t slot, bool is_wanted, enum db_stop_failure policy,
		   char *text, size_t size)
{
	const struct db_node *n = db_node_by_slot(db, slot);

	snprintf(text, size, "%s", "");
	if (!is_wanted || !n)
		return;
	if (n->membership == DB_MEMBERSHIP_FENCING || n->membership == DB_MEMBERSHIP_LOST)
		snprintf(text, size, "waiting to fence %s", n->name);
	else if (policy == DB_STOP_FAILURE_BLOCK)
		snprintf(text, size,
			 "%s is not fenced for it (on-stop-failure is block): end it there, then "
			 "ask for it again",
			 n->name);
	else if (!stuck_has_device(db, slot))
		snprintf(text, size,
			 "%s has to be fenced, and no fence device covers it: add one with 'fence "
			 "create', or end it there, then ask for it again",
			 n->name);
	else
		snprintf(text, size,
			 "%s is fenced for it as soon as no other fence is under way and the "
			 "others are quorate without it",
			 n->name);
}
