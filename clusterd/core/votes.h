/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic votes: which single vote the sequencer should change next, and why. It decides nothing
 * about quorum (quorum.h does) and commits nothing (repl.h does): it only says which change of the
 * member table, made *before* the next failure, lets the cluster survive more of them.
 *
 * Rules
 *   - a member that holds everything committed gets a vote (one that is a moment behind is counted
 *     on, so that nothing is taken from others for its sake, and gets it when it holds all);
 *   - one that leaves, or has been absent for `absent_ms`, loses it (unless dynamic votes are off,
 *     or the cluster is being stopped as a whole);
 *   - the number of votes is kept odd: of an even number of nodes one sits out, the one that
 *     leaves or is drained first, then the lowest priority, then the highest slot. So of two nodes
 *     one carries the vote, and it goes to the other before the first is shut down;
 *   - a witness that somebody reaches has a vote exactly when the nodes that vote are even in
 *     number, and nobody sits out then; one that no node of the view has reached for
 *     VOTES_WITNESS_MS has none;
 *   - with disk-only the witness has the one vote: it gets its own first, then, when it holds all,
 *     the nodes lose theirs one by one; one that is lost on that way is no such witness, and the
 *     rules above hold;
 *   - the last vote is never taken, and no change is wanted that those present could not commit.
 *
 * Applied one at a time, each after the one before is committed, the changes come to rest
 * (votes_settle()). Pure: the caller brings the time.
 */
#ifndef CLUSTERD_CORE_VOTES_H
#define CLUSTERD_CORE_VOTES_H

#include "clusterd/core/db.h"
#include "clusterd/core/repl.h"
#include "clusterd/core/types.h"

/* Mutants: planted bugs for the simulator, see repl.h. */
enum votes_mutant {
	VOTES_MUTANT_NONE,
	VOTES_MUTANT_TAKE_PRESENT, /* take the vote of a node that is in the view */
	VOTES_MUTANT_AT_ONCE,	   /* take the vote of an absent node without waiting */
	VOTES_MUTANT_STAYS_EVEN,   /* let the number of votes be even */
	VOTES_MUTANT_GIVE_EARLY,   /* give a vote to a node that does not hold everything */
	VOTES_MUTANT_LEAVER_KEEPS, /* the vote of a node that leaves stays with it */
	VOTES_MUTANT_STOP_SHRINKS, /* take votes while the cluster is being stopped */
	VOTES_MUTANT_DEAD_WITNESS, /* a witness that nobody reaches keeps its vote */
	VOTES_MUTANT_MAX,
};

#ifdef CLUSTERD_MUTANTS
#define VOTES_MUTANT(in, which) ((in)->mutant == VOTES_MUTANT_##which)
#else
#define VOTES_MUTANT(in, which) ((void)(in), false)
#endif

enum votes_reason {
	VOTES_CAUGHT_UP, /* given: it is here and holds everything */
	VOTES_ABSENT,	 /* taken: not in the view for absent_ms */
	VOTES_LEAVING,	 /* taken: it is stopping, being fenced, or quarantined */
	VOTES_ODD,	 /* taken: the number of votes is kept odd */
	VOTES_REACHED,	 /* given to the witness: a node reaches it, and it makes the number odd */
	VOTES_UNREACHED, /* taken from the witness: no node reaches it */
	VOTES_REPLACED,	 /* taken from the witness: another was chosen, or none */
	VOTES_SOLE,	 /* taken from a node, or given to the witness: that alone is to vote */
	VOTES_REASON_MAX,
};

struct votes_input {
	enum votes_mutant mutant; /* stays VOTES_MUTANT_NONE outside the simulator */
	struct cl_table table;	  /* in force, and committed */
	uint16_t present;	  /* admitted nodes of the view */
	uint16_t holders;	  /* of them, those that hold all that is committed */
	uint16_t following;	  /* and those, too, that are a moment behind */
	uint16_t leaving;
	uint16_t draining;
	bool is_dynamic;
	bool is_stopping; /* the cluster as a whole: votes stay, so that any majority can start */
	uint64_t absent_ms;
	uint64_t now_ms;
	uint64_t absent_since_ms[CL_MAX_NODES]; /* 0: it is here, or was never missed */
	uint8_t priority[CL_MAX_NODES];
	bool witness_works;  /* it is the one chosen, and reached, or was a moment ago */
	bool witness_is_old; /* another one was chosen, or none */
	bool witness_is_new; /* a share that has not been told yet who is here: it would not help */
	bool witness_counts; /* its vote is among those present in this view */
	bool is_sole;	     /* disk-only: the witness is to have the only vote */
};

/* A witness that no node reaches for so long loses its vote. */
#define VOTES_WITNESS_MS 60000

/* A node that is so many entries behind what is committed does not follow. */
#define VOTES_LAG_MAX 256

/* What has been missed since when, kept by votes_watch() and votes_watch_witness(). */
struct votes_missed {
	uint64_t node_ms[CL_MAX_NODES];
	uint64_t witness_ms;
};

struct votes_change {
	uint8_t slot; /* CL_WITNESS_SLOT: the witness */
	bool is_given;
	enum votes_reason reason;
};

/*
 * Keeps since_ms as votes_input wants it; to be called again and again while this node is in a
 * view that has quorum, and at no other time.
 */
void votes_watch(uint64_t since_ms[CL_MAX_NODES], uint16_t members, uint16_t present,
		 uint64_t now_ms);
/* The same of the witness: since when no node of the view has reached it; 0. */
void votes_watch_witness(uint64_t *since_ms, const struct repl_state *repl, uint64_t now_ms);
/* What a node that sees this would ask. */
void votes_facts(struct votes_input *ret, const struct repl_state *repl, const struct db *db,
		 const struct votes_missed *missed, uint64_t now_ms);
/* The nodes here, and the witness if it works and would count for them. */
uint32_t votes_here(const struct votes_input *in, uint16_t nodes);
/* The row that the witness is to have in the table, if it has another; never while it votes. */
bool votes_witness_row(const struct cl_table *table, const struct db *db, struct cl_member *ret);
/* The witness would vote if every change could be made now. */
bool votes_wants_witness(const struct votes_input *in);
/* Who would vote if every change could be made now; 0: nobody could. */
uint16_t votes_wanted(const struct votes_input *in);
/* Who votes when every member is here and holds everything. */
uint16_t votes_configured(const struct votes_input *in);
/* The next change; false: none is wanted, or none can be made now. */
bool votes_next(const struct votes_input *in, struct votes_change *ret);
/* Makes change after change in in->table until none is left; returns how many. */
uint8_t votes_settle(struct votes_input *in);
/* True if the node has no vote, or none that will be taken while things are as they are. */
bool votes_may_leave(const struct votes_input *in, uint8_t slot);
/* How many of the nodes here may fail at the same moment, whichever they are; -1: no quorum. */
int votes_may_lose_at_once(const struct votes_input *in);
/* The same, one after the other, each when the votes have settled without the one before. */
int votes_may_lose_in_turn(const struct votes_input *in);
/* "it has been absent too long"; for any value. */
const char *votes_reason_text(enum votes_reason reason);
const char *votes_mutant_name(enum votes_mutant mutant);

#endif
