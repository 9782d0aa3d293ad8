/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/placement.h"

#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/plan.h"
#include "clusterd/core/setting.h"

#define HOUR_MS UINT64_C(3600000)

/* ---- owners */

bool placement_owners_are_sound(const uint8_t owners[CL_MAX_NODES])
{
	uint16_t seen = 0;
	bool is_over = false;

	for (uint32_t i = 0; i < CL_MAX_NODES; i++) {
		uint8_t owner = owners[i];

		is_over |= !owner;
		if (!owner)
			continue;
		if (is_over || owner > CL_MAX_NODES || (seen & cl_bit((uint8_t)(owner - 1))))
			return false;
		seen = (uint16_t)(seen | cl_bit((uint8_t)(owner - 1)));
	}
	return true;
}

uint8_t placement_owner(const uint8_t owners[CL_MAX_NODES], uint32_t i)
{
	return i < CL_MAX_NODES && owners[i] ? (uint8_t)(owners[i] - 1) : CL_NODE_NONE;
}

uint32_t placement_rank(const uint8_t owners[CL_MAX_NODES], uint8_t slot)
{
	for (uint32_t i = 0; i < CL_MAX_NODES && owners[i]; i++) {
		if (owners[i] == slot + 1)
			return i;
	}
	return CL_MAX_NODES;
}

uint16_t placement_owner_set(const uint8_t owners[CL_MAX_NODES])
{
	uint16_t set = 0;

	for (uint32_t i = 0; i < CL_MAX_NODES && owners[i]; i++)
		set = (uint16_t)(set | cl_bit((uint8_t)(owners[i] - 1)));
	return set;
}

bool placement_owner_add(uint8_t owners[CL_MAX_NODES], uint8_t slot)
{
	uint32_t i = 0;

	if (slot >= CL_MAX_NODES || placement_rank(owners, slot) < CL_MAX_NODES)
		return false;
	while (owners[i]) /* there are as many places as slots */
		i++;
	owners[i] = (uint8_t)(slot + 1);
	return true;
}

void placement_owner_remove(uint8_t owners[CL_MAX_NODES], uint8_t slot)
{
	uint32_t i = placement_rank(owners, slot);

	if (i == CL_MAX_NODES)
		return;
	memmove(owners + i, owners + i + 1, CL_MAX_NODES - 1 - i);
	owners[CL_MAX_NODES - 1] = 0;
}

/* ---- failback */

bool placement_is_within(const struct db_group *g, uint64_t now_ms)
{
	uint8_t hour = (uint8_t)(now_ms / HOUR_MS % PLACEMENT_HOURS);

	if (g->failback_from < g->failback_to)
		return hour >= g->failback_from && hour < g->failback_to;
	return hour >= g->failback_from || hour < g->failback_to;
}

uint8_t placement_failback(const struct db_group *g)
{
	uint32_t rank = placement_rank(g->preferred, g->node);

	if (g->failback == DB_FAILBACK_NEVER ||
	    (g->failback == DB_FAILBACK_HOURS && !g->failback_open))
		return CL_NODE_NONE;
	for (uint32_t i = 0; i < rank; i++) {
		uint8_t slot = placement_owner(g->preferred, i);

		if (slot != CL_NODE_NONE && (g->returned & cl_bit(slot)))
			return slot;
	}
	return CL_NODE_NONE;
}

/* ---- waves */

bool placement_is_awaited(const struct db *db, const struct capacity_map *room,
			  const struct db_group *g)
{
	if (!g->wave_ms || g->intent != DB_INTENT_ONLINE)
		return false;
	return g->work == DB_WORK_STARTING ||
	       (g->work == DB_WORK_OFFLINE &&
		capacity_fits(db, room, capacity_of_group(room, g), plan_owners(db, g)));
}

bool placement_wave_is_over(const struct db *db, const struct capacity_map *room,
			    const struct db_group *g, uint64_t now_ms)
{
	uint32_t wave_ms = (uint32_t)setting_get(db, SETTING_PLACEMENT_WAVE_MS, NULL);

	return placement_is_awaited(db, room, g) &&
	       age_of(g->wave_ms, wave_ms, now_ms) != AGE_YOUNG;
}

/* Nobody has to be told that something took too long if nothing waits for it. */
int placement_lowest_waiting(const struct db *db, const struct capacity_map *room)
{
	int lowest = UINT8_MAX + 1;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->wave_ms && g->work == DB_WORK_OFFLINE && g->priority < lowest &&
		    placement_is_awaited(db, room, g))
			lowest = g->priority;
	}
	return lowest;
}

bool placement_is_due(const struct db *db, uint64_t now_ms)
{
	struct capacity_map room;
	int lowest;

	capacity_count(db, &room);
	lowest = placement_lowest_waiting(db, &room);
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->failback == DB_FAILBACK_HOURS &&
		    g->failback_open != placement_is_within(g, now_ms))
			return true;
		if (g->wave_ms && g->priority > lowest &&
		    placement_wave_is_over(db, &room, g, now_ms))
			return true;
	}
	return false;
}

/* ---- priorities */

static const struct {
	uint8_t priority;
	const char *word;
} words[] = {
#define WORD(number, text) {number, text},
	PLACEMENT_PRIORITIES(WORD)
#undef WORD
};

const char *placement_priority_word(uint8_t priority)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (words[i].priority == priority)
			return words[i].word;
	}
	return NULL;
}

bool placement_priority_parse(const char *text, uint8_t *ret)
{
	uint32_t n = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(words[i].word, text)) {
			*ret = words[i].priority;
			return true;
		}
	}
	if (!text[0] || strlen(text) > 3)
		return false;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		n = n * 10 + (uint32_t)(*p - '0');
	}
	if (n > UINT8_MAX)
		return false;
	*ret = (uint8_t)n;
	return true;
}
