/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What nodes have room for, and what groups ask for: memory in MiB, CPU in hundredths of a core
 * (adr/0028). A reservation is a number that somebody has set, or follows from a virtual machine's
 * definition; nobody measures what is used.
 *
 * It counts where a group is, from the order to start it until it has provably ended; where it is
 * to be started, while it is stopped for that; and on both ends of a migration until that has
 * ended. What an administrator lowers or raises may leave a node with more than it has room for:
 * nothing is moved for that, and nothing comes.
 */
#ifndef CLUSTERD_CORE_CAPACITY_H
#define CLUSTERD_CORE_CAPACITY_H

#include "clusterd/core/db.h"

#define CAPACITY_UNKNOWN UINT64_MAX /* the node has not said: there is no bound */
#define CAPACITY_TEXT	 80

#define CAPACITY_MEMORY_MAX 67108864u /* MiB: 64 TiB */
#define CAPACITY_CPU_MAX    1000000u  /* 10,000 cores */

struct capacity {
	uint64_t memory_mib, cpu_pct;
};

/* By slot. */
struct capacity_map {
	struct capacity has[CL_MAX_NODES], used[CL_MAX_NODES];
	uint32_t overhead_mib; /* of each virtual machine */
};

/* What an administrator has set, else what the node has said less what is kept for the host. */
struct capacity capacity_of_node(const struct db *db, const struct db_node *n);
/* Capacities, and what is reserved of them now. Goes through all groups once. */
void capacity_count(const struct db *db, struct capacity_map *ret);
/* The reservation of a group. */
struct capacity capacity_of_group(const struct capacity_map *map, const struct db_group *g);
/* MiB in a virtual machine's definition, /memory; 0: it says none. */
uint32_t capacity_of_definition(const char *definition);

void capacity_add(struct capacity_map *map, uint8_t slot, const struct db_group *g);
void capacity_remove(struct capacity_map *map, uint8_t slot, const struct db_group *g);
/* What is left there, 0 if more is reserved than there is. */
struct capacity capacity_free(const struct capacity_map *map, uint8_t slot);
/* Those of the set that have room for so much more. What asks for nothing fits everywhere. */
uint16_t capacity_fits(const struct db *db, const struct capacity_map *map, struct capacity ask,
		       uint16_t set);
/* What is missing there: "4096 MiB asked, 1024 MiB free"; false: nothing, it fits. */
bool capacity_lacks(const struct db *db, const struct capacity_map *map, struct capacity ask,
		    uint8_t slot, char text[static CAPACITY_TEXT]);
/* More is reserved there than there is. */
bool capacity_is_over(const struct capacity_map *map, uint8_t slot);
/* Below, at or above 0: the larger first, by memory, then by CPU. */
int capacity_compare(struct capacity a, struct capacity b);

#endif
