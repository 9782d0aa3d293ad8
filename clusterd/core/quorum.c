/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/quorum.h"

#include <string.h>

uint16_t quorum_members(const struct cl_table *table)
{
	uint16_t set = 0;

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (table->member[i].nodeid)
			set = (uint16_t)(set | cl_bit(i));
	}
	return set;
}

uint16_t quorum_voters(const struct cl_table *table)
{
	uint16_t set = 0;

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (table->member[i].nodeid && table->member[i].vote)
			set = (uint16_t)(set | cl_bit(i));
	}
	return set;
}

/* Of nodes and of the witness. */
static uint32_t all_voters(const struct cl_table *table)
{
	bool has_witness = table->witness.nodeid && table->witness.vote;

	return quorum_voters(table) | (has_witness ? CL_WITNESS_BIT : 0);
}

struct quorum_answer quorum_evaluate(const struct cl_table *table, uint32_t present)
{
	uint32_t voters = all_voters(table);
	struct quorum_answer a = {
		.votes_total = (uint8_t)__builtin_popcount(voters),
		.votes_present = (uint8_t)__builtin_popcount(voters & present),
		.missing = (uint16_t)(voters & ~present & UINT16_MAX),
		.has_witness = voters & present & CL_WITNESS_BIT,
	};
	bool lacks_witness = voters & ~present & CL_WITNESS_BIT;

	a.votes_needed = (uint8_t)(a.votes_total / 2 + 1);
	if (!a.votes_total)
		a.reason = QUORUM_NO_VOTES;
	else if (a.votes_present >= a.votes_needed && (present & UINT16_MAX))
		a.reason = a.has_witness && a.votes_present == a.votes_needed ? QUORUM_WITNESS
									      : QUORUM_MAJORITY;
	else if (lacks_witness && a.votes_present + 1 == a.votes_needed)
		a.reason = QUORUM_UNCLAIMED;
	else if (a.votes_present * 2 == a.votes_total)
		a.reason = QUORUM_TIE;
	else
		a.reason = QUORUM_MINORITY;
	a.is_quorate = a.reason == QUORUM_MAJORITY || a.reason == QUORUM_WITNESS;
	return a;
}

bool quorum_is_majority(const struct cl_table *table, uint32_t present)
{
	return quorum_evaluate(table, present).is_quorate;
}

bool quorum_witness_decides(const struct cl_table *table, uint16_t present)
{
	return !quorum_is_majority(table, present) &&
	       quorum_is_majority(table, present | CL_WITNESS_BIT);
}

uint8_t quorum_find_nodeid(const struct cl_table *table, uint32_t nodeid)
{
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (nodeid && table->member[i].nodeid == nodeid)
			return i;
	}
	return CL_NODE_NONE;
}

uint8_t quorum_find_name(const struct cl_table *table, const char *name)
{
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (table->member[i].nodeid && !strcmp(table->member[i].name, name))
			return i;
	}
	return CL_NODE_NONE;
}

bool quorum_is_other_witness(const struct cl_table *a, const struct cl_table *b)
{
	return a->witness.nodeid != b->witness.nodeid || strcmp(a->witness.name, b->witness.name);
}

bool quorum_is_share(const struct cl_table *table)
{
	return table->witness.nodeid == CL_WITNESS_SHARE;
}

bool quorum_change_allowed(const struct cl_table *from, const struct cl_table *to)
{
	uint32_t before = all_voters(from), after = all_voters(to);
	int changed = __builtin_popcount(before ^ after);

	/* A voter's slot given to another node takes one vote and gives another. */
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if ((before & after & cl_bit(i)) && from->member[i].nodeid != to->member[i].nodeid)
			changed += 2;
	}
	if ((before & after & CL_WITNESS_BIT) && quorum_is_other_witness(from, to))
		changed += 2;
	return changed <= 1 && before && after;
}

uint16_t quorum_may_lose(const struct cl_table *table, uint32_t present)
{
	uint16_t set = 0;

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		uint16_t bit = cl_bit(i);

		if ((present & bit) && quorum_is_majority(table, present & ~(uint32_t)bit))
			set = (uint16_t)(set | bit);
	}
	return set;
}

const char *quorum_reason_name(enum quorum_reason reason)
{
	static const char *const name[QUORUM_REASON_MAX] = {
		[QUORUM_MAJORITY] = "majority",
		[QUORUM_NO_VOTES] = "no-votes",
		[QUORUM_MINORITY] = "minority",
		[QUORUM_TIE] = "tie",
		[QUORUM_WITNESS] = "majority-with-witness",
		[QUORUM_UNCLAIMED] = "witness-not-claimed",
	};

	return reason < QUORUM_REASON_MAX ? name[reason] : "?";
}
