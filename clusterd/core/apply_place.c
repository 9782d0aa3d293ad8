/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What administrators say about where groups shall run, and what follows from time; placement.h. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/apply_impl.h"
#include "clusterd/core/placement.h"
#include "clusterd/core/setting.h"
#include "clusterd/core/volume.h"

/* ---- owners and failback */

bool place_owners_fit(struct apply *a, uint16_t possible, const uint8_t preferred[CL_MAX_NODES])
{
	for (uint32_t i = 0; placement_owner(preferred, i) != CL_NODE_NONE; i++) {
		uint8_t slot = placement_owner(preferred, i);

		if (!db_node_by_slot(a->db, slot)) {
			apply_answer(a, DB_NO_SUCH, "preferred: there is no node in slot %u", slot);
			return false;
		}
		if (!(possible & cl_bit(slot))) {
			apply_answer(a, DB_INVALID, "preferred: %s is no possible owner",
				     db_node_name(a->db, slot));
			return false;
		}
	}
	return true;
}

bool place_failback_fits(struct apply *a, enum db_failback failback, uint8_t from, uint8_t to)
{
	if (failback != DB_FAILBACK_HOURS ||
	    (from < PLACEMENT_HOURS && to < PLACEMENT_HOURS && from != to))
		return true;
	apply_answer(a, DB_INVALID, "failback: two different hours from 0 to %d",
		     PLACEMENT_HOURS - 1);
	return false;
}

void place_failback_set(struct apply *a, struct db_group *g, enum db_failback failback,
			uint8_t from, uint8_t to)
{
	bool has_hours = failback == DB_FAILBACK_HOURS;

	g->failback = (uint8_t)failback;
	g->failback_from = has_hours ? from : 0;
	g->failback_to = has_hours ? to : 0;
	g->failback_open = has_hours && placement_is_within(g, a->cmd->at_ms);
}

/* The words of what is set, for its event. */
static void describe(const struct db *db, const struct db_group *g, char *text, size_t size)
{
	const char *word = placement_priority_word(g->priority);
	size_t at = (size_t)snprintf(text, size, "priority %u%s%s%s, preferred", g->priority,
				     word ? " (" : "", word ? word : "", word ? ")" : "");
	uint32_t i = 0;

	for (; placement_owner(g->preferred, i) != CL_NODE_NONE && at < size; i++)
		at += (size_t)snprintf(text + at, size - at, "%s%s", i ? "," : " ",
				       db_node_name(db, placement_owner(g->preferred, i)));
	if (at < size)
		at += (size_t)snprintf(text + at, size - at, "%s, failback %s", i ? "" : " none",
				       db_choice_word(DB_KIND_GROUP, "failback", g->failback));
	if (g->failback == DB_FAILBACK_HOURS && at < size)
		snprintf(text + at, size - at, " %02u-%02u UTC", g->failback_from, g->failback_to);
}

void do_group_place(struct apply *a, const struct db_cmd_group_place *c)
{
	struct db_group *g = db_find(a->db, DB_KIND_GROUP, c->name);
	struct db_group now;
	char text[DB_REASON_MAX];

	if (!g) {
		apply_answer(a, DB_NO_SUCH, "no group %s", c->name);
		return;
	}
	now = *g;
	if (c->possible)
		now.possible = c->possible;
	if (!c->keeps_preferred)
		memcpy(now.preferred, c->preferred, sizeof(now.preferred));
	if (c->priority != DB_KEEP)
		now.priority = (uint8_t)c->priority;
	if (!c->keeps_failback)
		place_failback_set(a, &now, c->failback, c->failback_from, c->failback_to);
	if (c->priority != DB_KEEP && c->priority > UINT8_MAX) {
		apply_answer(a, DB_INVALID, "priority: 0 to %u", UINT8_MAX);
		return;
	}
	if (!place_owners_fit(a, now.possible, now.preferred) ||
	    (!c->keeps_failback &&
	     !place_failback_fits(a, c->failback, c->failback_from, c->failback_to)))
		return;
	if (!memcmp(&now, g, sizeof(now)))
		return;
	*g = now;
	describe(a->db, g, text, sizeof(text));
	apply_event(a, "group-place", c->name, "%.140s, by %s", text, a->cmd->actor);
}

void place_node_returned(struct apply *a, uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_GROUP); i++) {
		struct db_group *g = db_at(a->db, DB_KIND_GROUP, i);

		if (g->node != slot && placement_rank(g->preferred, slot) < CL_MAX_NODES)
			g->returned = (uint16_t)(g->returned | cl_bit(slot));
	}
}

void place_drain_ends(struct db *db, uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->node == slot && g->work == DB_WORK_STOPPING)
			g->goal = CL_NODE_NONE;
	}
}

void place_node_evicted(struct db *db, uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		placement_owner_remove(g->preferred, slot);
		g->returned = (uint16_t)(g->returned & ~cl_bit(slot));
		g->goal = g->goal == slot ? CL_NODE_NONE : g->goal;
	}
}

/* ---- affinity */

bool place_members_fit(struct apply *a, const char *list)
{
	char name[CL_NAME_MAX];
	const char *at = list;
	uint32_t count = 0;

	while (volume_name_next(&at, name)) {
		const char *rest = at;
		char other[CL_NAME_MAX];

		count++;
		if (!db_find(a->db, DB_KIND_GROUP, name)) {
			apply_answer(a, DB_NO_SUCH, "groups: no group %s", name);
			return false;
		}
		while (volume_name_next(&rest, other)) {
			if (strcmp(name, other) != 0)
				continue;
			apply_answer(a, DB_INVALID, "groups: %s is named twice", name);
			return false;
		}
	}
	if (count < 2)
		apply_answer(a, DB_INVALID, "groups: name at least two");
	return count >= 2;
}

void do_affinity_create(struct apply *a, const struct db_cmd_affinity_create *c)
{
	struct db_affinity *row;

	if (!c->name[0] || db_find(a->db, DB_KIND_AFFINITY, c->name)) {
		apply_answer(a, c->name[0] ? DB_CONFLICT : DB_INVALID, "affinity %s exists",
			     c->name);
		return;
	}
	if (!place_members_fit(a, c->groups))
		return;
	row = db_insert(a->db, DB_KIND_AFFINITY, c->name);
	if (!row) {
		apply_answer(a, DB_REFUSED, "no room for another affinity");
		return;
	}
	COPY(row->groups, c->groups);
	row->is_apart = c->is_apart;
	row->is_soft = c->is_soft;
	row->since_ms = a->cmd->at_ms;
	apply_event(a, "affinity-created", c->name, "%s%s: %.100s, by %s",
		    c->is_apart ? "apart" : "together", c->is_soft ? " if possible" : "", c->groups,
		    a->cmd->actor);
}

void do_affinity_delete(struct apply *a, const struct db_cmd_affinity_delete *c)
{
	struct db_affinity *row = db_find(a->db, DB_KIND_AFFINITY, c->name);

	if (!row) {
		apply_answer(a, DB_NO_SUCH, "no affinity %s", c->name);
		return;
	}
	db_remove(a->db, DB_KIND_AFFINITY, row);
	apply_event(a, "affinity-deleted", c->name, "by %s", a->cmd->actor);
}

/* Returns how many names are left. */
static uint32_t member_remove(struct db_affinity *row, const char *group)
{
	char groups[DB_MEMBERS_MAX], name[CL_NAME_MAX];
	const char *at = groups;
	size_t len = 0;
	uint32_t count = 0;

	memcpy(groups, row->groups, sizeof(groups));
	memset(row->groups, 0, sizeof(row->groups));
	while (volume_name_next(&at, name)) {
		if (!strcmp(name, group))
			continue;
		len += (size_t)snprintf(row->groups + len, sizeof(row->groups) - len, "%s%s",
					count ? "," : "", name);
		count++;
	}
	return count;
}

void place_group_deleted(struct apply *a, const char *group)
{
	for (uint32_t i = db_count(a->db, DB_KIND_AFFINITY); i-- > 0;) {
		struct db_affinity *row = db_at(a->db, DB_KIND_AFFINITY, i);

		if (!volume_is_named(row->groups, group) || member_remove(row, group) > 1)
			continue;
		apply_event(a, "affinity-deleted", row->name, "group %s was deleted", group);
		db_remove(a->db, DB_KIND_AFFINITY, row);
	}
}

/* ---- waves */

void place_cluster_starts(struct apply *a)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_GROUP); i++) {
		struct db_group *g = db_at(a->db, DB_KIND_GROUP, i);

		if (g->work == DB_WORK_OFFLINE && g->intent == DB_INTENT_ONLINE)
			g->wave_ms = a->cmd->at_ms;
	}
}

void place_group_down(struct apply *a, struct db_group *g, const char *why)
{
	g->goal = CL_NODE_NONE;
	g->wave_ms = g->intent == DB_INTENT_ONLINE ? a->cmd->at_ms : 0;
	if (g->priority != PLACEMENT_NO_AUTO_START || g->intent == DB_INTENT_OFFLINE)
		return;
	g->intent = DB_INTENT_OFFLINE;
	g->wish = CL_NODE_NONE;
	g->wave_ms = 0;
	snprintf(g->reason, sizeof(g->reason), "%s; of priority no-auto-start: 'group start'", why);
	apply_event(a, "group-not-started", g->name, "%s", g->reason);
}

/* ---- time */

void place_clock(struct apply *a, uint64_t now_ms)
{
	uint32_t wave_ms = (uint32_t)setting_get(a->db, SETTING_PLACEMENT_WAVE_MS, NULL);
	struct capacity_map room;
	char period[AGE_TEXT_MAX];
	int lowest;

	capacity_count(a->db, &room);
	lowest = placement_lowest_waiting(a->db, &room);
	age_text(wave_ms, period);
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_GROUP); i++) {
		struct db_group *g = db_at(a->db, DB_KIND_GROUP, i);

		if (g->failback == DB_FAILBACK_HOURS)
			g->failback_open = placement_is_within(g, now_ms);
		if (g->priority <= lowest || !placement_wave_is_over(a->db, &room, g, now_ms))
			continue;
		g->wave_ms = 0;
		apply_event(a, "group-wave-over", g->name,
			    "not online after %s: lower priorities wait for it no longer", period);
	}
}
