/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every driver of lib/lockspace.h must do, in cases that do not know which one they have: the
 * lock core on this machine, the kernel's DLM on one node, or with parties on two.
 *
 * A world opens lockspaces for up to three parties, each with a session of its own. A party's
 * events are kept in the order in which they came. That something does not come is shown by a
 * question to the same resource that is answered after it would have come: see conform_quiet().
 */
#ifndef TESTS_CONFORM_CONFORM_H
#define TESTS_CONFORM_CONFORM_H

#include <qb/qbloop.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/lockspace.h"

enum { CONFORM_A, CONFORM_B, CONFORM_C, CONFORM_PARTIES };

struct conform_world {
	const char *name;
	qb_loop_t *loop;
	/* A lockspace for that party; params has loop, on_event, arg; the rest is the world's. */
	int (*open)(struct conform_world *w, int party, struct lockspace_params *params,
		    struct lockspace **ret);
	/* That party's client has died (its lockspace was closed with locks): its work is over. */
	int (*release)(struct conform_world *w, int party);
	/* A value written by a holder that died, and whose lock was released, is still valid. */
	bool has_valid_after_release;
	bool has_transfer;
};

/* All cases; 0 when they passed. */
int conform_run(struct conform_world *w);

#endif
