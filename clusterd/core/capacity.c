/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/capacity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/setting.h"

/* ---- definitions */

/* Behind a string that begins there; at the end of the text if it has none. */
static const char *skip_string(const char *p)
{
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
	}
	return *p ? p + 1 : p;
}

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static uint32_t number_at(const char *p)
{
	uint64_t v = 0;

	for (; *p >= '0' && *p <= '9' && v <= UINT32_MAX; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	return v <= UINT32_MAX ? (uint32_t)v : 0;
}

/* vm-host has taken the text for a definition; here it is only read for one number. */
uint32_t capacity_of_definition(const char *definition)
{
	static const char key[] = "\"memory\"";
	int depth = 0;

	for (const char *p = definition; *p;) {
		const char *end = *p == '"' ? skip_string(p) : p + 1;

		depth += *p == '{' || *p == '[';
		depth -= *p == '}' || *p == ']';
		if (*p == '"' && depth == 1 && (size_t)(end - p) == sizeof(key) - 1 &&
		    !memcmp(p, key, sizeof(key) - 1) && *skip_blanks(end) == ':')
			return number_at(skip_blanks(skip_blanks(end) + 1));
		p = end;
	}
	return 0;
}

/* ---- what there is, and what is asked for */

struct capacity capacity_of_node(const struct db *db, const struct db_node *n)
{
	uint64_t reserve_mib = setting_get(db, SETTING_PLACEMENT_RESERVE_MIB, NULL);
	uint64_t overcommit_pct = setting_get(db, SETTING_PLACEMENT_CPU_OVERCOMMIT, NULL);
	struct capacity c = {CAPACITY_UNKNOWN, CAPACITY_UNKNOWN};

	if (n->set_memory_mib)
		c.memory_mib = n->set_memory_mib;
	else if (n->memory_mib)
		c.memory_mib = n->memory_mib > reserve_mib ? n->memory_mib - reserve_mib : 0;
	if (n->set_cpu_pct)
		c.cpu_pct = n->set_cpu_pct;
	else if (n->cores)
		c.cpu_pct = n->cores * overcommit_pct;
	return c;
}

struct capacity capacity_of_group(const struct capacity_map *map, const struct db_group *g)
{
	struct capacity c = {g->memory_mib, g->cpu_pct};

	if (!c.memory_mib && g->guest_mib)
		c.memory_mib = (uint64_t)g->guest_mib + map->overhead_mib;
	return c;
}

void capacity_add(struct capacity_map *map, uint8_t slot, const struct db_group *g)
{
	struct capacity ask = capacity_of_group(map, g);

	if (slot >= CL_MAX_NODES)
		return;
	map->used[slot].memory_mib += ask.memory_mib;
	map->used[slot].cpu_pct += ask.cpu_pct;
}

void capacity_remove(struct capacity_map *map, uint8_t slot, const struct db_group *g)
{
	struct capacity ask = capacity_of_group(map, g);

	if (slot >= CL_MAX_NODES)
		return;
	map->used[slot].memory_mib -= ask.memory_mib;
	map->used[slot].cpu_pct -= ask.cpu_pct;
}

static void count_migrations(const struct db *db, struct capacity_map *map)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION); i++) {
		const struct db_migration *m = db_at(db, DB_KIND_MIGRATION, i);
		const struct db_group *g = db_find(db, DB_KIND_GROUP, m->vm);

		if (m->phase == DB_MIGRATION_PHASE_ENDED || !g)
			continue;
		/* On one end its group is counted already: from the transfer on, on the second. */
		if (m->phase == DB_MIGRATION_PHASE_ONLINE)
			capacity_add(map, m->source, g);
		else if (!DB_MUTANT(db, PLAN_FORGETS_ARRIVALS))
			capacity_add(map, m->destination, g);
	}
}

void capacity_count(const struct db *db, struct capacity_map *ret)
{
	*ret = (struct capacity_map){
		.overhead_mib = (uint32_t)setting_get(db, SETTING_PLACEMENT_VM_OVERHEAD_MIB, NULL)};
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		ret->has[n->slot] = capacity_of_node(db, n);
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->work == DB_WORK_OFFLINE)
			continue;
		capacity_add(ret, g->node, g);
		if (g->work == DB_WORK_STOPPING && g->intent == DB_INTENT_ONLINE &&
		    g->goal != g->node && !DB_MUTANT(db, PLAN_FORGETS_ARRIVALS))
			capacity_add(ret, g->goal, g);
	}
	count_migrations(db, ret);
}

/* ---- room */

static uint64_t left(uint64_t has, uint64_t used)
{
	if (has == CAPACITY_UNKNOWN)
		return CAPACITY_UNKNOWN;
	return has > used ? has - used : 0;
}

struct capacity capacity_free(const struct capacity_map *map, uint8_t slot)
{
	return (struct capacity){
		left(map->has[slot].memory_mib, map->used[slot].memory_mib),
		left(map->has[slot].cpu_pct, map->used[slot].cpu_pct),
	};
}

static bool fits(const struct db *db, const struct capacity *ask, const struct capacity *is_free)
{
	if (DB_MUTANT(db, PLAN_OVERFILLS))
		return true;
	return ask->memory_mib <= is_free->memory_mib &&
	       (ask->cpu_pct <= is_free->cpu_pct || DB_MUTANT(db, PLAN_FORGETS_CPU));
}

uint16_t capacity_fits(const struct db *db, const struct capacity_map *map, struct capacity ask,
		       uint16_t set)
{
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		struct capacity is_free = capacity_free(map, slot);

		if (!fits(db, &ask, &is_free))
			set = (uint16_t)(set & ~cl_bit(slot));
	}
	return set;
}

bool capacity_lacks(const struct db *db, const struct capacity_map *map, struct capacity ask,
		    uint8_t slot, char text[static CAPACITY_TEXT])
{
	struct capacity is_free = capacity_free(map, slot);

	if (fits(db, &ask, &is_free))
		return false;
	if (ask.memory_mib > is_free.memory_mib)
		snprintf(text, CAPACITY_TEXT, "%" PRIu64 " MiB asked, %" PRIu64 " MiB free",
			 ask.memory_mib, is_free.memory_mib);
	else
		snprintf(text, CAPACITY_TEXT,
			 "%" PRIu64 ".%02" PRIu64 " cores asked, %" PRIu64 ".%02" PRIu64 " free",
			 ask.cpu_pct / 100, ask.cpu_pct % 100, is_free.cpu_pct / 100,
			 is_free.cpu_pct % 100);
	return true;
}

bool capacity_is_over(const struct capacity_map *map, uint8_t slot)
{
	return map->used[slot].memory_mib > map->has[slot].memory_mib ||
	       map->used[slot].cpu_pct > map->has[slot].cpu_pct;
}

int capacity_compare(struct capacity a, struct capacity b)
{
	if (a.memory_mib != b.memory_mib)
		return a.memory_mib > b.memory_mib ? -1 : 1;
	return a.cpu_pct > b.cpu_pct ? -1 : a.cpu_pct < b.cpu_pct;
}
