/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has become of writes that were answered and then failed on their way to the disk: a mount's
 * account of it, so that each open file that was open at the time is told once, by its next fsync
 * (rule of errseq in Linux, lib/errseq.c; here it is across nodes).
 *
 *   an open has a number   that of the newest error when it was opened, or was told last
 *   once a failure         each has an id (who has found it: a mount's random number, or a term, so
 *                          the two do not meet); one that is heard again, from another coordinator
 * for example, is not counted again nothing is forgotten   where there is no room for more, all
 * that were open then are told
 *
 * Pure; one thread at a time.
 */
#ifndef CSVFS_CORE_ERRORS_H
#define CSVFS_CORE_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

#include "csvfs/core/proto.h"

#define ERRORS_FILES   256 /* that have failed lately; one row each */
#define ERRORS_ORIGINS 64  /* mounts and coordinators that have told of failures */

/* Planted bugs, for the simulator only. */
#ifdef CSVFS_MUTANTS
enum errors_mutant {
	ERRORS_MUTANT_NONE,
	ERRORS_MUTANT_NO_SEQUENCE, /* who asks first is told, the others are not */
	ERRORS_MUTANT_NO_ID,	   /* what is heard twice counts twice */
	ERRORS_MUTANT_MAX
};
#define ERRORS_MUTANT(s, name) ((s)->mutant == ERRORS_MUTANT_##name)
#else
#define ERRORS_MUTANT(s, name) false
#endif

struct errors_row {
	struct csv_handle handle; /* ino 0: free */
	uint64_t seq;
	uint16_t error;
};

/* Of each origin the failures come in the order of their serials. */
struct errors_origin {
	uint64_t origin; /* 0: free */
	uint64_t serial; /* the last that was heard */
	uint64_t seq;	 /* when */
};

struct errors_state {
	uint64_t seq;	  /* of the newest error */
	uint64_t all_seq; /* errors up to this one may belong to any file */
	uint16_t all_error;
#ifdef CSVFS_MUTANTS
	enum errors_mutant mutant;
#endif
	struct errors_row row[ERRORS_FILES];
	struct errors_origin origin[ERRORS_ORIGINS];
};

/*
 * Goes on where the process before had counted up to `seq`: which files those failures were of is
 * not known any more, so all opens that have not been told of them all are.
 */
void errors_go_on(struct errors_state *s, uint64_t seq);
/* What an open begins with. */
uint64_t errors_sample(const struct errors_state *s);
/* False: it is known already. */
bool errors_note(struct errors_state *s, const struct csv_frame_failed *failure);
/* 0, or the errno that an open with *seen has to be told now; *seen grows. */
uint16_t errors_take(struct errors_state *s, const struct csv_handle *h, uint64_t *seen);

#endif
