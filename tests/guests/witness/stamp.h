/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring of stamps on the disk. Before each new one the last is read back, and the slot of the
 * new one is looked at: who finds there what it did not write is not alone, or has lost its disk.
 */
#ifndef TESTS_GUESTS_WITNESS_STAMP_H
#define TESTS_GUESTS_WITNESS_STAMP_H

#include <stdint.h>

#include "tests/guests/record.h"

struct stamp_options {
	uint32_t ring; /* slots at most */
	uint32_t is_flushed;
	const char *vm;
	void (*work)(void); /* what to do while the disk is busy */
};

/* Reads the whole ring. Goes on after what it found; *ret has the newest record, or is all zero. */
void stamp_scan(const struct stamp_options *options, struct record *ret);
/* Writes *r, with its next sequence and what was counted, and returns once it is on the disk. */
void stamp_write(struct record *r);

#endif
