/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory under test. Each word of a page is a function of (page, generation); the generation
 * of each page stands elsewhere, under a sum. A page that is not as it was last written has been
 * lost, whatever lost it: it is reported, counted and written anew.
 */
#ifndef TESTS_GUESTS_WITNESS_MEMORY_H
#define TESTS_GUESTS_WITNESS_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct memory_counts {
	uint64_t sweeps;  /* times that everything was verified */
	uint64_t written; /* pages */
	uint32_t damage;
};

/*
 * Tests `mib` MiB after `start`; less, if they do not fit below `limit`. Rewrites `dirty_kib_s`
 * (0: as much as it can), verifies all of it each `sweep_ms`.
 */
void memory_init(uintptr_t start, uintptr_t limit, uint32_t mib, uint32_t dirty_kib_s,
		 uint32_t sweep_ms);
/* Does a page's worth of work; false if nothing is due yet. */
bool memory_step(uint64_t now_ms);
/* Reports damage that was noticed elsewhere. */
void memory_damage(const char *what);
struct memory_counts memory_counts(void);
uint32_t memory_pages(void);
/* Address of the first page under test. */
uint32_t memory_base(void);

#endif
