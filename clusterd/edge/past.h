/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The database as it was: made anew from a snapshot and the log, and the planner run on it. Both
 * are long for the loop, so a thread does them, with memory of its own; it only reads the file.
 */
#ifndef CLUSTERD_EDGE_PAST_H
#define CLUSTERD_EDGE_PAST_H

#include <qb/qbloop.h>

#include "clusterd/core/whatif.h"

struct past;

struct past_want {
	uint64_t index;	 /* as it was when that entry had been applied; 0: as it was at `at_ms` */
	uint64_t at_ms;	 /* wall-clock time */
	uint64_t newest; /* what is applied now */
};

struct past_answer {
	enum db_code code;
	char text[DB_REASON_MAX]; /* why not, and what to do; "" if there is an answer */
	uint64_t index, at_ms;	  /* what was found; 0: nobody knows when that was */
	const struct whatif *w;	  /* of WHATIF_NOTHING, at its end; NULL: none */
};

/* On the loop; what the answer points to is gone when it returns. */
typedef void (*past_done)(void *arg, const struct past_answer *a);

/* The path is borrowed. 0 or -errno: no thread can be started. */
int past_ask(qb_loop_t *loop, const char *path, const struct past_want *want, past_done done,
	     void *arg, struct past **ret);
/* Nobody waits for the answer any more: `done` is not called. Takes NULL. */
void past_leave(struct past *p);

#endif
