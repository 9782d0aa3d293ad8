/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/hash_check.h"

#include "clusterd/core/quorum.h"

bool hash_check_is_due(uint64_t index, bool is_epoch)
{
	return is_epoch || index % HASH_EVERY == 0;
}

void hash_check_begin(struct hash_check *h)
{
	*h = (struct hash_check){0};
}

static const struct hash_point *find(const struct hash_check *h, uint64_t index)
{
	for (int i = 0; i < HASH_POINTS; i++) {
		if (index && h->point[i].index == index)
			return &h->point[i];
	}
	return NULL;
}

/* The point of that index; the oldest one gives way to a newer. NULL: it is older than all. */
static struct hash_point *point_at(struct hash_check *h, uint64_t index)
{
	const struct hash_point *there = find(h, index);
	struct hash_point *oldest = &h->point[0];

	if (there)
		return &h->point[there - h->point];
	for (int i = 1; i < HASH_POINTS; i++) {
		if (h->point[i].index < oldest->index)
			oldest = &h->point[i];
	}
	if (index <= oldest->index)
		return NULL;
	*oldest = (struct hash_point){.index = index};
	return oldest;
}

/* Who has told the same hash as that node. */
static uint16_t group_of(const struct hash_point *p, uint8_t slot)
{
	uint16_t set = 0;

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if ((p->told & cl_bit(i)) && p->hash[i] == p->hash[slot])
			set = (uint16_t)(set | cl_bit(i));
	}
	return set;
}

/* The group with a majority when those of `more` join it, too; 0: none. */
static uint16_t majority(const struct hash_point *p, const struct cl_table *table, uint32_t more)
{
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		uint16_t group = (p->told & cl_bit(i)) ? group_of(p, i) : 0;

		if (group && quorum_is_majority(table, group | more))
			return group;
	}
	return 0;
}

/*
 * Only while the nodes that are here are no majority by themselves: then no two groups of them can
 * both be one with the witness.
 */
static uint32_t witness_of(uint32_t present, const struct cl_table *table)
{
	return quorum_is_majority(table, present & UINT16_MAX) ? 0 : present & CL_WITNESS_BIT;
}

static enum hash_verdict judge(const struct hash_point *p, uint8_t self, uint32_t present,
			       uint32_t with, const struct cl_table *table)
{
	uint16_t group = majority(p, table, with);

	if (!(p->told & cl_bit(self)))
		return HASH_WAIT;
	if (group)
		return (group & cl_bit(self)) ? HASH_AGREE : HASH_WRONG;
	present &= UINT16_MAX & ~(uint32_t)p->told;
	return majority(p, table, present | with) ? HASH_WAIT : HASH_UNDECIDED;
}

/* Where no node has a vote, each that is here is as good a reference as another. */
static struct cl_table judges(const struct hash_check *h, const struct cl_table *table)
{
	struct cl_table t = *table;

	if (!h->heads)
		return t;
	t.witness.vote = 0;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++)
		t.member[i].vote = t.member[i].nodeid && (h->heads & cl_bit(i));
	return t;
}

enum hash_verdict hash_check_take(struct hash_check *h, uint8_t slot, uint64_t index, uint64_t hash,
				  uint8_t self, uint32_t present, const struct cl_table *table)
{
	struct hash_point *p = point_at(h, index);
	struct cl_table t;

	if (!p || slot >= CL_MAX_NODES || self >= CL_MAX_NODES)
		return HASH_WAIT;
	p->told = (uint16_t)(p->told | cl_bit(slot));
	p->hash[slot] = hash;
	h->heads = quorum_voters(table) ? 0 : (uint16_t)(present & UINT16_MAX);
	t = judges(h, table);
	h->with = witness_of(present, &t);
	return judge(p, self, present, h->with, &t);
}

uint16_t hash_check_majority(const struct hash_check *h, uint64_t index,
			     const struct cl_table *table)
{
	const struct hash_point *p = find(h, index);
	struct cl_table t = judges(h, table);

	return p ? majority(p, &t, h->with) : 0;
}

const char *hash_verdict_name(enum hash_verdict verdict)
{
	static const char *const name[] = {
		[HASH_WAIT] = "not-compared-yet",
		[HASH_AGREE] = "agrees",
		[HASH_WRONG] = "differs-from-the-majority",
		[HASH_UNDECIDED] = "no-majority",
	};

	return verdict <= HASH_UNDECIDED ? name[verdict] : "?";
}
