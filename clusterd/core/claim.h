/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The claim of a disk witness: one record on a shared disk, and the rule by which at most one
 * partition may count the disk's vote at a time. It is the one thing that may be written outside
 * quorum. Pure: it asks for reads and writes of the record and is told how they went. How the other
 * members of the view come to count the vote is not its matter (witness.h).
 *
 * D is the longest time that an I/O may take. Times are of this node's clock alone; clocks need
 * the same speed and nothing else.
 *   1  read; a record of somebody who is not of our view has to stay unchanged for 4 D;
 *   2  write (owner, view, generation + 1, nonce); from the start of the last read to the end of
 *      the write no more than D may pass, or the write is void: start again;
 *   3  wait 2 D;
 *   4  read back: equal is owned.
 * The owner renews every D: it reads, expects its own record, and writes it with the next
 * generation, all within D. It owns the vote until 2 D after the *start* of its newest renewal
 * that was completed, and loses it at once when it sees a foreign record.
 *
 * Why that is enough: an owner's time ends 2 D after the start of a read that saw its own record.
 * Whoever writes over that record does so after this read, and waits 2 D from the end of its write
 * before it reads back. By then the owner's time is over, or it has written again and is seen. To
 * watch for 4 D first keeps a live owner, who writes every D, from being robbed by one that need
 * not be: after 4 D without a change it has ended, 2 D ago, by its own clock. And what takes longer
 * than D is begun anew, so that a write from long ago finds its writer out of the race; the waits
 * bear such a write as well, so this is for safety's sake only.
 */
#ifndef CLUSTERD_CORE_CLAIM_H
#define CLUSTERD_CORE_CLAIM_H

#include "clusterd/core/types.h"

/* Mutants: planted bugs for the simulator, see repl.h. */
enum claim_mutant {
	CLAIM_MUTANT_NONE,
	CLAIM_MUTANT_NO_QUIET,	    /* take a foreign record over without watching it */
	CLAIM_MUTANT_NO_WAIT,	    /* read back at once */
	CLAIM_MUTANT_NO_CHECK,	    /* do not read back */
	CLAIM_MUTANT_KEEPS_FOREIGN, /* a foreign record does not end the ownership */
	CLAIM_MUTANT_REVIVE,	    /* a renewal that ends after the ownership brings it back */
	CLAIM_MUTANT_MAX,
};

#ifdef CLUSTERD_MUTANTS
#define CLAIM_MUTANT(c, which) ((c)->mutant == CLAIM_MUTANT_##which)
#else
#define CLAIM_MUTANT(c, which) ((void)(c), false)
#endif

struct claim_record {
	uint8_t owner; /* slot; CL_NODE_NONE: never claimed */
	struct cl_view_id view;
	uint64_t generation;
	uint64_t nonce; /* of the claim: random */
};

enum claim_phase {
	CLAIM_IDLE,
	CLAIM_WATCH, /* step 1 */
	CLAIM_WRITE, /* step 2 */
	CLAIM_WAIT,  /* step 3 */
	CLAIM_CHECK, /* step 4 */
	CLAIM_OWNED, /* between renewals */
	CLAIM_RENEW_READ,
	CLAIM_RENEW_WRITE,
	CLAIM_PHASE_MAX,
};

struct claim_state {
	enum claim_mutant mutant; /* stays CLAIM_MUTANT_NONE outside the simulator */
	uint64_t d_ms;
	uint8_t self;
	struct cl_view_id view;
	uint16_t members; /* of the view: whose record need not be watched */
	enum claim_phase phase;
	bool io_runs, io_is_stale; /* stale: begun for an earlier phase, its result is nothing */
	bool was_seen;
	struct claim_record seen; /* newest read */
	uint64_t quiet_ms;	  /* since when it has been so */
	uint64_t look_ms;	  /* start of the newest read */
	uint64_t due_ms;	  /* when the phase goes on */
	struct claim_record own;
	uint64_t until_ms; /* the vote is ours until then */
};

enum claim_event_type {
	CLAIM_EV_BEGIN, /* the witness decides in this view, and this node is to claim it */
	CLAIM_EV_END,	/* it does not any more */
	CLAIM_EV_READ,	/* the read asked for is over */
	CLAIM_EV_WRITTEN,
	CLAIM_EV_TICK,
};

struct claim_event {
	enum claim_event_type type;
	uint64_t now_ms;
	uint64_t entropy; /* 64 random bits */
	union {
		struct {
			struct cl_view_id view;
			uint16_t members;
		} begin;
		struct {
			bool is_ok;
			struct claim_record record; /* READ */
		} io;
	};
};

enum claim_action { CLAIM_DO_NOTHING, CLAIM_DO_READ, CLAIM_DO_WRITE };

void claim_init(struct claim_state *c, uint8_t self, uint64_t d_ms);
/* Takes one event and says what to do; for WRITE, `own` is what to write. One I/O at a time. */
enum claim_action claim_step(struct claim_state *c, const struct claim_event *event);
/* True if this node may count the witness's vote at that moment. */
bool claim_is_owned(const struct claim_state *c, uint64_t now_ms);
/* NULL, or the invariant that does not hold. */
const char *claim_check(const struct claim_state *c);
const char *claim_phase_name(enum claim_phase phase);
const char *claim_mutant_name(enum claim_mutant mutant);

#endif
