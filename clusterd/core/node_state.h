/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of a node as an administrator calls it, and why: one function of what this node knows
 * at the moment. It is for people only; nothing is decided by it.
 */
#ifndef CLUSTERD_CORE_NODE_STATE_H
#define CLUSTERD_CORE_NODE_STATE_H

#include "clusterd/core/db.h"
#include "clusterd/core/repl.h"

/* STATE(NAME, word) */
#define NODE_STATES(X)                                                                             \
	X(UNKNOWN, "?")			/* this node is in no quorate view: it cannot know */      \
	X(NEVER_SEEN, "never seen")	/* a member that has not run here yet */                   \
	X(INCOMPATIBLE, "incompatible") /* does not speak the version in force, or the protocol */ \
	X(JOINING, "joining")		/* there; fetches the database, or is to be admitted */    \
	X(UP, "up")                                                                                \
	X(PAUSED, "paused")	      /* keeps what it has, and gets nothing new */                \
	X(DRAINING, "draining")	      /* kept empty, or its clusterd stops */                      \
	X(QUARANTINED, "quarantined") /* was lost too often: runs nothing until it is cleared */   \
	X(ISOLATED, "isolated")	      /* this node, without quorum */                              \
	X(DAEMON_LOST, "daemon-lost") /* corosync is there, clusterd is not */                     \
	X(LOST, "lost")		      /* went without a word; no fence has begun */                \
	X(FENCING, "fencing")                                                                      \
	X(FENCED, "fenced")                                                                        \
	X(LEFT, "left")	      /* stopped cleanly */                                                \
	X(EVICTED, "evicted") /* goes, once nothing names it any more */

enum node_state {
#define NODE_STATE_ENUM(NAME, word) NODE_STATE_##NAME,
	NODE_STATES(NODE_STATE_ENUM)
#undef NODE_STATE_ENUM
		NODE_STATE_MAX,
};

#define NODE_STATE_REASON_MAX 160

struct node_condition {
	enum node_state state;
	char reason[NODE_STATE_REASON_MAX]; /* and what to do, if there is something; may be "" */
};

/* What is known of the node in one slot; pointers are borrowed. */
struct node_facts {
	const struct db *db;
	const struct db_node *row; /* NULL: in the member table only */
	const struct repl_state *repl;
	uint8_t slot;
	const struct repl_peer *peer; /* a process of that node in the view, or NULL */
	bool is_in_ring;	      /* its corosync is in ours */
	uint64_t missed_ms;	      /* so long its clusterd has been away; 0: it is not */
};

/* Gathers them. `ring` are the nodeids in corosync's ring, `missed_ms` that of duty_state. */
void node_facts(struct node_facts *ret, const struct repl_state *repl, const struct db *db,
		const uint32_t *ring, size_t ring_count, uint8_t slot,
		const uint64_t missed_ms[CL_MAX_NODES], uint64_t now_ms);
void node_condition(const struct node_facts *facts, struct node_condition *ret);
/*
 * Why a process that speaks these versions is refused as incompatible in the view of that node;
 * both sides say the same. `build` is the text of its version.
 */
void node_incompatible_text(const struct repl_state *repl, const struct cl_versions *speaks,
			    const char *build, char *text, size_t size);
const char *node_state_word(enum node_state state);

#endif
