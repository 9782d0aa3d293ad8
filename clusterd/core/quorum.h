/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Quorum: the one authority that says which set of nodes may act. A pure function of (member
 * table, nodes present, whether their claim of the witness stands); nothing else in the project
 * decides it, corosync's votequorum included.
 *
 * Two sets that are both quorate under one table, or under two tables that differ in one vote,
 * share a voter. That is why a change alters one vote only (quorum_change_allowed()).
 *
 * Source: Ongaro, "Consensus: Bridging Theory and Practice" (2014), 4.1, single-server changes.
 */
#ifndef CLUSTERD_CORE_QUORUM_H
#define CLUSTERD_CORE_QUORUM_H

#include "clusterd/core/types.h"

enum quorum_reason {
	QUORUM_MAJORITY,  /* quorate: more than half of the votes are present */
	QUORUM_NO_VOTES,  /* not quorate: nobody in the table has a vote */
	QUORUM_MINORITY,  /* not quorate: fewer than half of the votes */
	QUORUM_TIE,	  /* not quorate: exactly half; a tie is never broken after the fact */
	QUORUM_WITNESS,	  /* quorate: more than half, the vote of the witness with them */
	QUORUM_UNCLAIMED, /* not quorate: it would be with the vote of the witness */
	QUORUM_REASON_MAX,
};

struct quorum_answer {
	bool is_quorate;
	enum quorum_reason reason;
	uint8_t votes_total;
	uint8_t votes_present;
	uint8_t votes_needed;
	uint16_t missing; /* absent voters: those whose return would help */
	bool has_witness; /* its vote is among those present */
};

/* Which slots of the table are filled. */
uint16_t quorum_members(const struct cl_table *table);
/* Which slots carry a vote. */
uint16_t quorum_voters(const struct cl_table *table);
/*
 * Counts the votes of `present` (bits outside the table count nothing): nodes, and CL_WITNESS_BIT
 * for as long as one of them owns the witness. A set without a node is not quorate, whatever votes.
 */
struct quorum_answer quorum_evaluate(const struct cl_table *table, uint32_t present);
/* True if `present` holds a majority of the table's votes. */
bool quorum_is_majority(const struct cl_table *table, uint32_t present);
/* True if these nodes have no majority, and would have one with the witness. */
bool quorum_witness_decides(const struct cl_table *table, uint16_t present);
/* Index of the member with that corosync nodeid, or CL_NODE_NONE. */
uint8_t quorum_find_nodeid(const struct cl_table *table, uint32_t nodeid);
/* Index of the member with that name, or CL_NODE_NONE. */
uint8_t quorum_find_name(const struct cl_table *table, const char *name);
/* Its witness is a share: it holds no history (witness.h). */
bool quorum_is_share(const struct cl_table *table);
/* Not the same witness, or the same disk in another part. */
bool quorum_is_other_witness(const struct cl_table *a, const struct cl_table *b);
/* True if the two tables differ in at most one vote, and some vote is left in each. */
bool quorum_change_allowed(const struct cl_table *from, const struct cl_table *to);
/*
 * The single nodes of `present` whose loss, next and alone, keeps the rest quorate. What is in
 * `present` but not in the answer must not be lost. The witness's bit there: it works.
 */
uint16_t quorum_may_lose(const struct cl_table *table, uint32_t present);
const char *quorum_reason_name(enum quorum_reason reason);

#endif
