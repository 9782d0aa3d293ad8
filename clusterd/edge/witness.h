/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness of this node, a disk or a share: carries what the core (clusterd/core/witness.h)
 * wants to processes that read and write the disk (witness_io.c), one for the record and one for
 * the areas, and brings the answers back. A disk that hangs holds those processes only. Asks once a
 * second whether the disk answers, for the beats to say so.
 *
 * Loop thread only. It holds no policy.
 */
#ifndef CLUSTERD_EDGE_WITNESS_H
#define CLUSTERD_EDGE_WITNESS_H

#include "clusterd/edge/engine.h"
#include "clusterd/edge/witness_link.h"

struct witness;

/* What quorum show says of it. */
struct witness_status {
	bool is_reached;
	bool is_owned; /* by this node, now */
	enum claim_phase phase;
	char text[WITNESS_LINK_TEXT]; /* why it is not reached; empty if it is */
	bool is_barred;		      /* a share: nobody here is in its set */
	struct witness_set set;	      /* of a share, as it was when this node looked last */
};

void witness_open(struct engine *e, struct witness **ret);
/* Takes NULL. Ends no process that a disk holds: it ends when the disk lets it. */
void witness_close(struct witness *w);
/* Looks at the view and the clock; true if it told the replication core something. */
bool witness_run(struct witness *w);
void witness_status(const struct witness *w, struct witness_status *ret);

/*
 * Makes the disk, or the folder, a witness. `done` comes once, from the loop, within
 * WITNESS_FORMAT_MS: r and a text that names what is wrong, or 0 and the header.
 */
#define WITNESS_FORMAT_MS 20000
typedef void (*witness_formatted)(void *arg, const struct witness_answer *answer);
int witness_format(struct engine *e, const char *device, bool is_share,
		   const struct witness_header *header, witness_formatted done, void *arg);

#endif
