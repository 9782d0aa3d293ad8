/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk witness through the eyes of one node: when it claims (claim.h), what it then reads,
 * copies and appends there, and what of that it tells the view (CLAIMED). It decides nothing about
 * quorum: repl.h counts what it says.
 *
 * The witness is one more member of the view, and its disk stands for the disk of a node: a node's
 * *area* on it holds a whole history, and the highest epoch number promised there. Each node writes
 * its own area only. So a write that lands late, after another has claimed, damages nothing that
 * anybody counts on. What the witness holds is the highest history of all areas.
 *
 * How a claim goes on, once the record is owned:
 *   scan    read the heads of all areas: the highest history, the highest promise
 *   adopt   if that history is higher than any in the view, this node installs it, says so by a new
 *           STATE, and the next view begins with it: the witness never serves from its disk
 *   say     CLAIMED: the view has the vote
 *   copy    when this node holds the winning history and has promised the view's epoch: the whole
 *           history and the promise go into its area, at once
 *   append  what is durable here is appended there, and said
 * Only what was done while the record was owned is said: whoever owns it later reads it.
 *
 * A share is claimed by the same record, and holds no history (doc/adr/0029). Each node has a file
 * of its own there, which says what it promised and, of the newest epoch, who of its view voted and
 * held the history: the *set*. In force is the set of the highest epoch in all files. It goes so:
 *   look     before anything is claimed: nodes none of which is in the set in force do not claim
 *   scan     once the record is owned, for good
 *   say      CLAIMED: the view has the vote
 *   promise  when this node holds the winning history and has promised
 *   record   when each node of the set is SYNCED: (epoch, set), written and read back; now the
 *            epoch may begin
 * It is claimed as well while the nodes are a majority by themselves, and left when it has been
 * recorded who is here.
 *
 * Pure: it asks for I/O and is told how it went. The record and the area have a channel each, with
 * one I/O at a time, so that a long copy does not hold up a renewal.
 */
#ifndef CLUSTERD_CORE_WITNESS_H
#define CLUSTERD_CORE_WITNESS_H

#include "clusterd/core/claim.h"
#include "clusterd/core/repl.h"

/* Mutants: planted bugs for the simulator, see repl.h. */
enum witness_mutant {
	WITNESS_MUTANT_NONE,
	WITNESS_MUTANT_NO_COPY,		 /* say that the history is there, and do not copy it */
	WITNESS_MUTANT_NO_APPEND,	 /* say that entries are there, and do not append them */
	WITNESS_MUTANT_NO_ADOPT,	 /* pass over a higher history on it */
	WITNESS_MUTANT_LATE,		 /* go on for a while when the claim is over */
	WITNESS_MUTANT_STRANGER,	 /* a share counts for nodes of which none is in its set */
	WITNESS_MUTANT_UNREAD,		 /* say that the set is recorded before it is read back */
	WITNESS_MUTANT_EARLY_SET,	 /* record a set of which not all hold the history */
	WITNESS_MUTANT_NO_SHARE_PROMISE, /* record a set before the share has promised */
	WITNESS_MUTANT_MAX,
};

#ifdef CLUSTERD_MUTANTS
#define WITNESS_MUTANT(w, which) ((w)->mutant == WITNESS_MUTANT_##which)
#else
#define WITNESS_MUTANT(w, which) ((void)(w), false)
#endif

enum witness_job {
	WITNESS_JOB_NONE,
	WITNESS_JOB_SCAN,   /* read the heads of all areas */
	WITNESS_JOB_FETCH,  /* read the history in area `slot` */
	WITNESS_JOB_COPY,   /* write our whole durable history and the promise of `number` */
	WITNESS_JOB_APPEND, /* write our entries from `after` + 1 to `until` behind it */
	/* Of a share: each writes our file, reads all back, and tells what is in force. */
	WITNESS_JOB_PROMISE, /* of `number` */
	WITNESS_JOB_RECORD,  /* `set` */
};

/* Who may go on with a share. */
struct witness_set {
	uint32_t generation; /* of the epoch; its starter is not known when it is written */
	uint64_t number;     /* 0: nobody was ever recorded, and whoever is here may */
	uint16_t members;    /* slots */
};

struct witness_state {
	enum witness_mutant mutant; /* stays WITNESS_MUTANT_NONE outside the simulator */
	struct claim_state claim;
	bool is_open;	  /* there is a disk, and it is this cluster's witness */
	bool is_claiming; /* for `view` */
	struct cl_view_id view;
	struct cl_counts look;	/* beats seen when the newest read of the record began */
	struct cl_counts held;	/* when that read began which the ownership counts from */
	uint64_t held_until_ms; /* claim.until_ms when `held` was taken */
	uint64_t said_until_ms; /* when CLAIMED was said last; 0: the view does not have the vote */
	enum witness_job job;
	bool job_is_stale; /* begun for an earlier claim: its result is nothing */
	uint64_t retry_ms; /* after a job that failed: not before then */
	bool is_scanned;
	struct cl_pos best; /* the highest history on it */
	uint8_t best_slot;  /* in whose area; CL_NODE_NONE: it has none */
	uint64_t floor;	    /* the highest promise */
	uint64_t promised;  /* in our area, for this view; 0 */
	uint64_t copied;    /* our area holds the whole history up to here; 0 */
	bool has_news;	    /* since the last CLAIMED */
	bool is_share;
	struct cl_view_id let_view; /* a look has said that this view may claim the share */
	struct witness_set set;	    /* in force on the share, when it was looked at last */
	bool is_barred;		    /* nobody here is in it */
	uint64_t has_promised;	    /* our file there, for this view; 0 */
};

enum witness_event_type {
	WITNESS_EV_TICK,
	WITNESS_EV_OPENED, /* the witness is there; what is written on it */
	WITNESS_EV_CLOSED, /* it is another one now, or none: no job comes back */
	WITNESS_EV_READ,   /* the record */
	WITNESS_EV_WRITTEN,
	WITNESS_EV_JOB, /* the job is over */
};

struct witness_event {
	enum witness_event_type type;
	uint64_t now_ms;
	uint64_t entropy; /* 64 random bits */
	bool is_ok;
	union {
		struct {
			uint64_t d_ms;
			bool is_share;
		} opened;
		struct claim_record record; /* READ */
		struct {
			struct cl_pos best; /* SCAN */
			uint8_t best_slot;
			uint64_t floor;
			uint64_t copied;	/* COPY, APPEND: index of the last entry there */
			struct witness_set set; /* SCAN, PROMISE, RECORD of a share: in force */
		} job;
	};
};

struct witness_actions {
	enum claim_action record; /* for WRITE, claim.own is what to write */
	enum witness_job job;
	uint8_t slot;		/* FETCH */
	uint64_t number;	/* COPY, PROMISE, RECORD */
	struct witness_set set; /* RECORD */
	uint64_t after, until;	/* APPEND */
	bool is_adoptable;	/* FETCH is over, and what it brought is to be installed */
	bool says;		/* give `claimed` to repl */
	struct cl_msg_claimed claimed;
};

void witness_init(struct witness_state *w, uint8_t self);
/* `repl` is looked at only. */
void witness_step(struct witness_state *w, const struct repl_state *repl,
		  const struct witness_event *event, struct witness_actions *out);
/* Which of the two is in force: that of the later epoch. */
int witness_set_compare(const struct witness_set *a, const struct witness_set *b);
/* NULL, or the invariant that does not hold. */
const char *witness_check(const struct witness_state *w);
const char *witness_job_name(enum witness_job job);
const char *witness_mutant_name(enum witness_mutant mutant);

#endif
