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
/* On the sequencer: the row of the member table with that change of votes, encoded in payload. */
void voting_submit(struct engine *e, const struct votes_change *change, const struct cl_member *row,
		   const void *payload, size_t len);
/* What the core would be asked now. */
void voting_input(const struct engine *e, struct votes_input *ret);
/* This node's vote has been taken, or will not be. */
bool voting_may_leave(const struct engine *e);

#endif
