/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/failover.h"

#include <string.h>

void failover_set(struct failover *f, enum failover_term term, uint64_t ms)
{
	f->ms[term] = ms;
	f->is_known[term] = true;
}

/* Every device of the node twice: to power it off, and to look (edge/fencer.c gives as much). */
static uint64_t fence_ms(const struct db *db, uint8_t slot)
{
	uint64_t ms = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_FENCE); i++) {
		const struct db_fence *f = db_at(db, DB_KIND_FENCE, i);

		if (f->nodes & cl_bit(slot))
			ms += 2 * (uint64_t)f->timeout_ms;
	}
	return ms;
}

#define GROUPS_AT_A_TIME 512

/* Of the groups from `first` on, all of whose resources have to start one after the other. */
static uint64_t longest_start_ms(const struct db *db, uint32_t first)
{
	uint64_t ms[GROUPS_AT_A_TIME] = {0}, longest = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_RESOURCE); i++) {
		const struct db_resource *r = db_at(db, DB_KIND_RESOURCE, i);
		uint32_t at = db_lower(db, DB_KIND_GROUP, r->group) - first;

		if (at < GROUPS_AT_A_TIME) /* which is not so below `first` either */
			ms[at] += r->start_ms;
	}
	for (uint32_t i = 0; i < GROUPS_AT_A_TIME; i++)
		longest = ms[i] > longest ? ms[i] : longest;
	return longest;
}

/*
 * Watched for 4 D, written within D, waited for 2 D, read back within D; of a share, looked at
 * before, and promise and set written after.
 */
static uint64_t witness_ms(const struct db_cluster *c)
{
	uint64_t times = c->quorum_mode == DB_QUORUM_MODE_NODE_SHARE ? 11 : 8;

	return times * c->witness_io_ms;
}

void failover_from_db(struct failover *f, const struct db *db, uint16_t members)
{
	uint64_t longest = 0;
	bool all = members != 0;

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		uint64_t ms = (members & cl_bit(slot)) ? fence_ms(db, slot) : 0;

		all = all && (ms || !(members & cl_bit(slot)));
		longest = ms > longest ? ms : longest;
	}
	if (all) /* a node that nothing can fence is waited for without end */
		failover_set(f, FAILOVER_FENCE, longest);
	if (db_count(db, DB_KIND_CLUSTER) && !f->is_known[FAILOVER_WITNESS])
		failover_set(f, FAILOVER_WITNESS, witness_ms(db_at(db, DB_KIND_CLUSTER, 0)));
	longest = 0;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i += GROUPS_AT_A_TIME) {
		uint64_t ms = longest_start_ms(db, i);

		longest = ms > longest ? ms : longest;
	}
	failover_set(f, FAILOVER_START, longest);
}

bool failover_total(const struct failover *f, uint64_t *ret_ms)
{
	uint64_t sum = 0;

	for (int i = 0; i < FAILOVER_MAX; i++) {
		if (!f->is_known[i])
			return false;
		sum += f->ms[i];
	}
	*ret_ms = sum;
	return true;
}

const char *failover_term_name(enum failover_term term)
{
	static const char *const text[FAILOVER_MAX] = {
#define FAILOVER_NAME(NAME, name, source) [FAILOVER_##NAME] = name,
		FAILOVER_TERMS(FAILOVER_NAME)
#undef FAILOVER_NAME
	};

	return term < FAILOVER_MAX ? text[term] : "?";
}

const char *failover_term_source(enum failover_term term)
{
	static const char *const text[FAILOVER_MAX] = {
#define FAILOVER_SOURCE(NAME, name, source) [FAILOVER_##NAME] = source,
		FAILOVER_TERMS(FAILOVER_SOURCE)
#undef FAILOVER_SOURCE
	};

	return term < FAILOVER_MAX ? text[term] : "?";
}
