/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carries what this node sees into the core of dynamic votes (clusterd/core/votes.h), and the
 * change that it wants into the log. Loop thread only.
 */
#ifndef CLUSTERD_EDGE_VOTING_H
#define CLUSTERD_EDGE_VOTING_H

#include "clusterd/core/votes.h"
#include "clusterd/edge/engine.h"

/* From the tick, on every node: who is missed since when, and what is still to be said. */
void voting_see(struct engine *e);
/* On the sequencer: gives a change of votes, decided as a duty, to the cluster. */
void voting_change(struct engine *e, const struct votes_change *change,
		   const struct cl_member *row);
/* What the core would be asked now. */
void voting_input(const struct engine *e, struct votes_input *ret);
/* This node's vote has been taken, or will not be. */
bool voting_may_leave(const struct engine *e);

#endif
