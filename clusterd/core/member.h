/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes that are added and evicted while the cluster runs: what the sequencer does next about them.
 *
 *   add    the row in the database (node_add), then the row in the member table, without a vote;
 *          corosync.conf with it on every node, then read by every corosync; the node starts,
 *          catches up, is admitted and gets its vote like any other
 *   evict  only of a node that provably runs nothing; corosync.conf without it; its vote is taken,
 *          then its row in the member table, then that in the database
 *
 * The list of nodes in corosync.conf and its times (totem.h) are the database's: its version is the
 * log index of the last change. It is adopted with the first change of them, or when a node finds
 * other times in its own. Every admitted node writes it, and says so, before any corosync reads it;
 * a corosync that runs with an older one (its node was away) is told to read again.
 *
 * Pure: from the applied database, the member table in force, and what this node's corosync.conf
 * says of addresses that the database does not know yet.
 */
#ifndef CLUSTERD_CORE_MEMBER_H
#define CLUSTERD_CORE_MEMBER_H

#include "clusterd/core/corosync_conf.h"
#include "clusterd/core/db.h"

enum member_step_kind {
	MEMBER_NOTHING,
	MEMBER_ADDRESS, /* command: node_address */
	MEMBER_TABLE,	/* row `slot` of the member table becomes `row` */
	MEMBER_REMOVED, /* command: node_removed */
	MEMBER_RELOAD,	/* corosync reads its configuration again, on all nodes */
};

struct member_step {
	enum member_step_kind kind;
	struct db_cmd_node_address address;
	struct db_cmd_node_removed removed;
	uint8_t slot;
	struct cl_member row;
};

/* `local` is what corosync.conf of this node says, NULL if that is not known. */
void member_next(const struct db *db, const struct cl_table *table,
		 const struct corosync_nodes *local, struct member_step *ret);
/* What keeps an evicted node's slot, for people; NULL: nothing. */
const char *member_keeps(const struct db *db, const struct db_node *n);
/* corosync.conf is not ours, and could be: all that has to be in it is known. */
bool member_can_adopt(const struct db *db, const struct cl_table *table);
/* corosync's times, as the cluster wants them. */
void member_times(const struct db *db, struct corosync_times *ret);
/* What corosync.conf has to say; false: it is not ours yet. */
bool member_conf(const struct db *db, struct corosync_nodes *ret);

#endif
