/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the applied state of this node is that of the cluster. At the first entry of each epoch,
 * and at every HASH_EVERY-th entry, each node tells the others the hash of its state (message HASH,
 * of this view only). The reference is the hash that a majority of votes has. Until the first one
 * of a view agrees nobody acts on its state; a node that has another one than the majority stops
 * acting and fetches the database anew; without a majority the database is read-only.
 *
 * It never fences anyone. Pure; the hashes come in the order of the multicast, so that every node
 * judges alike.
 */
#ifndef CLUSTERD_CORE_HASH_CHECK_H
#define CLUSTERD_CORE_HASH_CHECK_H

#include "clusterd/core/types.h"

#define HASH_EVERY  256
#define HASH_POINTS 8 /* looked at side by side; what is older than these is not waited for */

enum hash_verdict {
	HASH_WAIT,	/* too few have told theirs, this node among them perhaps */
	HASH_AGREE,	/* a majority of votes has the hash of this node */
	HASH_WRONG,	/* a majority has another one */
	HASH_UNDECIDED, /* those who are here have told theirs, and no hash has a majority */
};

struct hash_point {
	uint64_t index; /* 0: not in use */
	uint16_t told;
	uint64_t hash[CL_MAX_NODES];
};

struct hash_check {
	struct hash_point point[HASH_POINTS];
	uint32_t with;	/* CL_WITNESS_BIT: its vote goes with any hash */
	uint16_t heads; /* where no node has a vote: those who are here count one each */
};

/* True if the state after that entry is compared. */
bool hash_check_is_due(uint64_t index, bool is_epoch);
/* A new view: what was told in another counts for nothing. */
void hash_check_begin(struct hash_check *h);
/*
 * Node `slot` has that hash at `index`; returns what is known then of the state of `self` at that
 * index. `present`: who is in the view; `table`: whose votes count. CL_WITNESS_BIT in `present`:
 * its vote is present. It holds no state, so it goes with whoever is here, where nothing goes
 * without it.
 */
enum hash_verdict hash_check_take(struct hash_check *h, uint8_t slot, uint64_t index, uint64_t hash,
				  uint8_t self, uint32_t present, const struct cl_table *table);
/* Who has told the hash that a majority of votes has at `index`; 0: there is no such hash. */
uint16_t hash_check_majority(const struct hash_check *h, uint64_t index,
			     const struct cl_table *table);
const char *hash_verdict_name(enum hash_verdict verdict);

#endif
