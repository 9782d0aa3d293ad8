/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Beats and the quorum lease: until when this node may be sure that no other partition acts.
 *
 * Every node multicasts numbered beats in its view and tells, with each, the newest beat it saw of
 * every other node. A node holds the lease until `duration` after the *sending time* of its newest
 * beat that a majority of votes has seen in the same view. A view without this node contains one
 * node of that majority, which answers no beat of the old view any more: so the lease has ended
 * `duration` after that view began, by the sender's own clock, whatever was delayed on the way.
 *
 * The vote of a witness counts in that majority only until the claim of it may have ended, which
 * its owner knows and tells: `valid` after the sending time of the newest own beat that the owner
 * had seen when it began its last renewal. So the lease is over when anybody else owns the witness.
 *
 * Times are CLOCK_BOOTTIME milliseconds of this node. Pure: the caller brings the time.
 */
#ifndef CLUSTERD_CORE_LEASE_H
#define CLUSTERD_CORE_LEASE_H

#include "clusterd/core/msg.h"
#include "clusterd/core/types.h"

/* Beats whose sending time is kept; older unanswered ones can only give an expired lease. */
#define LEASE_BEATS_KEPT 32

struct lease_state {
	uint8_t self;
	uint64_t beat;			    /* number of the newest beat sent in this view */
	uint64_t sent_ms[LEASE_BEATS_KEPT]; /* by beat number modulo the array's size */
	uint64_t acked[CL_MAX_NODES];	    /* newest own beat that each node has seen */
	uint64_t seen[CL_MAX_NODES];	    /* newest beat seen of each node */
	uint64_t heard_ms[CL_MAX_NODES];    /* when; at first the start of the view */
	uint64_t next_ms;		    /* when the next beat is due */
	uint64_t deadline_ms;		    /* the lease; survives a change of view */
	uint64_t witness_ms;		    /* until then the witness's vote counts; 0 */
};

/* A new view: counters start again, the deadline stays (it can only run out). */
void lease_view_begin(struct lease_state *l, uint8_t self, uint64_t now_ms);
bool lease_beat_is_due(const struct lease_state *l, uint64_t now_ms);
/* Numbers a beat sent now and fills in what it says. */
void lease_beat_send(struct lease_state *l, uint64_t now_ms, uint64_t interval_ms,
		     struct cl_msg_beat *ret);
/* A beat of the current view arrived from `from`. */
void lease_beat_heard(struct lease_state *l, uint8_t from, const struct cl_msg_beat *beat,
		      uint64_t now_ms);
/*
 * Extends the lease by what has been acknowledged. `countable`: nodes of the view whose vote
 * counts, and the witness if it does.
 */
void lease_extend(struct lease_state *l, const struct cl_table *table, uint32_t countable,
		  uint64_t duration_ms);
/* The owner of the witness had seen our `beat` when it began a renewal that holds valid_ms. */
void lease_witness_heard(struct lease_state *l, uint64_t beat, uint64_t valid_ms);
/* Nodes of `set` (self apart) that have not been heard for `silence_ms`. */
uint16_t lease_silent(const struct lease_state *l, uint16_t set, uint64_t now_ms,
		      uint64_t silence_ms);

#endif
