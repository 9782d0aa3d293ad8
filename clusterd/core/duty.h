/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the sequencer owes the cluster: admit who came, declare lost who went, give votes to who
 * caught up, add and evict nodes, and order what the planner wants. A pure function of what the
 * node knows; its commands are proposed like any others, and db_apply() looks at each of them
 * again. Nothing is decided while earlier decisions are under way: what the applied database does
 * not say yet is not known.
 */
#ifndef CLUSTERD_CORE_DUTY_H
#define CLUSTERD_CORE_DUTY_H

#include "clusterd/core/db.h"
#include "clusterd/core/member.h"
#include "clusterd/core/plan.h"
#include "clusterd/core/repl.h"
#include "clusterd/core/votes.h"

/*
 * Mutants: planted bugs that the simulator must find. They exist only in objects compiled with
 * CLUSTERD_MUTANTS, which nothing but the simulator links.
 */
enum duty_mutant {
	DUTY_MUTANT_NONE,
	DUTY_MUTANT_NO_GRACE,	 /* lost as soon as its clusterd is away */
	DUTY_MUTANT_STALE_GRACE, /* the grace counts from an absence seen in an earlier epoch */
	DUTY_MUTANT_IMPATIENT,	 /* decides again before what it decided is applied */
	DUTY_MUTANT_MAX,
};

#ifdef CLUSTERD_MUTANTS
#define DUTY_MUTANT(s, which) ((s)->mutant == DUTY_MUTANT_##which)
#else
#define DUTY_MUTANT(s, which) ((void)(s), false)
#endif

struct duty_state {
	enum duty_mutant mutant;	  /* stays DUTY_MUTANT_NONE outside the simulator */
	uint64_t epoch;			  /* number of that in which `absent_ms` was seen */
	uint64_t absent_ms[CL_MAX_NODES]; /* since when a member's clusterd is not in our view; 0 */
	/* who is not in a view that has quorum, for its vote: duty_see() */
	struct votes_missed missed;
};

/* What is known at the moment; all of it is borrowed. */
struct duty_facts {
	const struct repl_state *repl;
	const struct db *db;  /* applied */
	const uint32_t *ring; /* nodeids of the machines in corosync's ring */
	size_t ring_count;
	uint64_t now_ms;
	uint64_t wall_ms; /* the time that commands bear; for what ages (age.h) */
	/* Of this node's corosync.conf; NULL if not known, or not needed: duty_needs_local() */
	const struct corosync_nodes *local;
	size_t under_way; /* decided earlier, not applied yet */
};

struct duty_actions {
	size_t admit_count;
	struct db_cmd_node_admit admit[REPL_MAX_PEERS];
	size_t lost_count;
	struct db_cmd_node_lost lost[CL_MAX_NODES];
	bool has_row; /* of the member table: a CL_ENTRY_TABLE of its own */
	bool is_vote; /* `vote` is changed with it */
	struct votes_change vote;
	uint8_t slot;
	struct cl_member row;
	struct member_step step; /* its row is `row`, too */
	struct plan_orders orders;
	bool has_clock; /* something has waited for this time; nothing else is ordered then */
	struct db_cmd_clock clock;
	bool has_fence; /* of a node with something stuck: orders.fence, without which we may be */
};

/* The database does not know the address of some member. */
bool duty_needs_local(const struct duty_facts *facts);

/* On every node, again and again: who is missed. Whoever is the sequencer later knows then. */
void duty_see(struct duty_state *s, const struct repl_state *repl, uint64_t now_ms);
/* Decides; nothing at all unless this node is the sequencer and may act. */
void duty_decide(struct duty_state *s, const struct duty_facts *facts, struct duty_actions *ret);
/*
 * The i-th command, in the order in which they are to be proposed; who and when is left to the
 * caller. False past the last one. The row of the member table is not among them.
 */
bool duty_command(const struct duty_actions *actions, size_t i, struct db_command *ret);

/* What is to be done about a node that may have to be fenced. */
enum duty_fence {
	DUTY_FENCE_NONE, /* nothing: it is not lost */
	DUTY_FENCE_WAIT, /* nothing yet: too many have begun (fence_window.h) */
	DUTY_FENCE_OVER, /* a later boot of it is in the view: so that incarnation is over */
	DUTY_FENCE_SAY,	 /* first of all its fence is committed: NODE_FENCING */
	DUTY_FENCE_RUN,	 /* its ladder */
};

/* A boot of the node in that slot after the given one is in the view: it is *ret_boot. */
bool duty_is_rebooted(const struct repl_state *repl, uint8_t slot, uint64_t incarnation,
		      uint64_t *ret_boot);
/* For the sequencer; with OVER, *ret_boot is the incarnation that is there. */
enum duty_fence duty_fence(const struct repl_state *repl, const struct db *db,
			   const struct db_node *node, uint64_t wall_ms, uint64_t *ret_boot);
const char *duty_mutant_name(enum duty_mutant mutant);

#endif
