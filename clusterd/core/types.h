/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few plain values that every part of the cluster core speaks about: node index and node set,
 * ring, view, epoch, position in the history, and the member table with its votes.
 *
 * A node is its index 0..15 here; `nodeid` is corosync's number. A node set is a bit mask by index.
 */
#ifndef CLUSTERD_CORE_TYPES_H
#define CLUSTERD_CORE_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#define CL_MAX_NODES	16
#define CL_NODE_NONE	0xff
#define CL_NAME_MAX	64 /* with the NUL: a host name label (RFC 1035: 63 octets) */
#define CL_UUID_BYTES	16
#define CL_WITNESS_SLOT CL_MAX_NODES	      /* of the witness's row, behind those of the nodes */
#define CL_VERSION_SLOT (CL_WITNESS_SLOT + 1) /* of the row that says which version is in force */
#define CL_VERSION_LAST 255		      /* a version is a number from 1 on, in one byte */
#define CL_PROTOCOL_MIN 1		      /* oldest wire protocol that this build speaks */
#define CL_PROTOCOL_MAX 1		      /* newest */

/* A totem ring (corosync/cpg.h: struct cpg_ring_id): representative and sequence. */
struct cl_ring {
	uint32_t rep;
	uint64_t seq;
};

/*
 * One agreed membership: the ring, and the nonce of the message that completed the exchange of
 * states in it. A process that joins or leaves within a ring makes a new view of the same ring.
 */
struct cl_view_id {
	struct cl_ring ring;
	uint64_t nonce;
};

/*
 * Epoch: the reign of one sequencer. Ordered by generation (raised only when an administrator
 * forces quorum: force.h), then number, then starter, the node that sequences its entries. Within
 * one generation a number has one starter.
 */
struct cl_epoch {
	uint32_t generation;
	uint64_t number;
	uint8_t starter;
};

/* The end of a history: the epoch of its *last entry*, and that entry's index. */
struct cl_pos {
	struct cl_epoch epoch;
	uint64_t index;
};

/* One row of the member table; `nodeid` 0 means that the slot is empty. */
struct cl_member {
	uint32_t nodeid;
	uint8_t vote; /* 0 or 1 */
	char name[CL_NAME_MAX];
};

/* In a set of voters: the witness. */
#define CL_WITNESS_BIT (UINT32_C(1) << CL_WITNESS_SLOT)
/* What stands in its row of the table for a nodeid says of which kind it is. */
#define CL_WITNESS_NODEID UINT32_MAX	   /* a disk: it holds a history and has a vote */
#define CL_WITNESS_SHARE  (UINT32_MAX - 1) /* a share: it has a vote, and holds no history */
#define CL_WITNESS_SOLE	  (UINT32_MAX - 2) /* a disk that alone is to have a vote */

/*
 * Who is a member and who votes. In force is the table at the end of the highest history present,
 * committed or not. `changed_at` is the log index of its last change.
 */
struct cl_table {
	uint64_t changed_at;
	struct cl_member member[CL_MAX_NODES];
	struct cl_member witness; /* its name is its uuid as text; nodeid 0: there is none */
	struct cl_member version; /* its nodeid is the version in force; 0: of tests, any will do */
};

/* The versions of the cluster (doc/upgrade.md) that a build can work under. */
struct cl_versions {
	uint16_t lowest, highest;
};

static inline uint32_t cl_table_version(const struct cl_table *table)
{
	return table->version.nodeid;
}

static inline bool cl_speaks(const struct cl_versions *v, uint32_t version)
{
	return !version || (v->lowest <= version && version <= v->highest);
}

/* The row of a node, of the witness, or of the version. */
static inline struct cl_member *cl_table_row(struct cl_table *table, uint8_t slot)
{
	if (slot == CL_VERSION_SLOT)
		return &table->version;
	return slot == CL_WITNESS_SLOT ? &table->witness : &table->member[slot];
}

static inline bool cl_ring_equal(const struct cl_ring *a, const struct cl_ring *b)
{
	return a->rep == b->rep && a->seq == b->seq;
}

static inline bool cl_view_equal(const struct cl_view_id *a, const struct cl_view_id *b)
{
	return cl_ring_equal(&a->ring, &b->ring) && a->nonce == b->nonce;
}

static inline int cl_epoch_compare(const struct cl_epoch *a, const struct cl_epoch *b)
{
	if (a->generation != b->generation)
		return a->generation < b->generation ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	if (a->starter != b->starter)
		return a->starter < b->starter ? -1 : 1;
	return 0;
}

/* Which history is higher: that of the later epoch, else the longer one. */
static inline int cl_pos_compare(const struct cl_pos *a, const struct cl_pos *b)
{
	int c = cl_epoch_compare(&a->epoch, &b->epoch);

	if (c)
		return c;
	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	return 0;
}

/* In a set of nodes; CL_NODE_NONE is in none (this node's own slot, until a view has it). */
static inline uint16_t cl_bit(uint8_t node)
{
	return (uint16_t)(node < CL_MAX_NODES ? 1u << node : 0);
}

#endif
