/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long it may take, at worst, until what ran on a node that failed runs elsewhere: a sum of
 * named terms, each with where it comes from. It bounds a failure of one node while the others
 * work; it foretells nothing.
 *
 * Not in it, for want of a bound: pauses that the cap on fences puts in, and what a volume's
 * coordinator takes to recover what the node held.
 */
#ifndef CLUSTERD_CORE_FAILOVER_H
#define CLUSTERD_CORE_FAILOVER_H

#include "clusterd/core/db.h"

/* TERM(NAME, name, where it comes from) */
#define FAILOVER_TERMS(X)                                                                          \
	X(TOKEN, "token", "corosync misses the token: totem.token")                                \
	X(CONSENSUS, "consensus", "corosync forms a ring without the node: totem.consensus")       \
	X(EXCHANGE, "exchange", "the others agree on a view: two fifths of the lease")             \
	X(WITNESS, "witness",                                                                      \
	  "to claim the witness where its vote decides: 8 times its longest I/O, of a share 11")   \
	X(LEASE, "lease",                                                                          \
	  "the node may act for so long, and one whose clusterd ended is waited for: --lease")     \
	X(FENCE, "fence", "every level of the fence devices to its end, of the slowest node")      \
	X(START, "start", "the longest start of a group: start_ms of its resources")

enum failover_term {
#define FAILOVER_ENUM(NAME, name, source) FAILOVER_##NAME,
	FAILOVER_TERMS(FAILOVER_ENUM)
#undef FAILOVER_ENUM
		FAILOVER_MAX,
};

struct failover {
	uint64_t ms[FAILOVER_MAX];
	bool is_known[FAILOVER_MAX]; /* false: no bound, or not told */
};

void failover_set(struct failover *f, enum failover_term term, uint64_t ms);
/* The terms that the database knows; `members` are those that could fail. */
void failover_from_db(struct failover *f, const struct db *db, uint16_t members);
/* False: a term is not known, and neither is the sum. */
bool failover_total(const struct failover *f, uint64_t *ret_ms);
const char *failover_term_name(enum failover_term term);
const char *failover_term_source(enum failover_term term);

#endif
