/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an administrator says about where a group shall run, as far as it can be read from its row:
 * preferred owners in their order, failback, waves (adr/0024). Where it goes is the planner's
 * business (plan_place.c).
 *
 * Owners are slots plus one in the order of preference; 0 ends the list, so that a row of zeros
 * prefers nobody.
 *
 * Time is that of committed commands (age.h). A wave begins for a group when its node is out of
 * service, or when the first node of a cluster is admitted; it is over for it when it is online,
 * has failed, is asked for, or after placement.wave_ms.
 */
#ifndef CLUSTERD_CORE_PLACEMENT_H
#define CLUSTERD_CORE_PLACEMENT_H

#include "clusterd/core/capacity.h"

/* Priorities by their words; between them every number will do. */
#define PLACEMENT_PRIORITIES(X)                                                                    \
	X(0, "no-auto-start")                                                                      \
	X(50, "low")                                                                               \
	X(100, "medium")                                                                           \
	X(150, "high")

#define PLACEMENT_NO_AUTO_START 0
#define PLACEMENT_HOURS		24

/* Slots, none twice, and nothing behind the end. */
bool placement_owners_are_sound(const uint8_t owners[CL_MAX_NODES]);
/* The i-th, CL_NODE_NONE past the last one. */
uint8_t placement_owner(const uint8_t owners[CL_MAX_NODES], uint32_t i);
/* Its place in the list, CL_MAX_NODES if it has none. */
uint32_t placement_rank(const uint8_t owners[CL_MAX_NODES], uint8_t slot);
uint16_t placement_owner_set(const uint8_t owners[CL_MAX_NODES]);
/* False: it is in the list already, or is no slot. */
bool placement_owner_add(uint8_t owners[CL_MAX_NODES], uint8_t slot);
void placement_owner_remove(uint8_t owners[CL_MAX_NODES], uint8_t slot);

/* The hours between which it may go back hold that time; from 22 to 4 is over midnight. */
bool placement_is_within(const struct db_group *g, uint64_t now_ms);
/* The preferred owner to which it shall go back now, if that can have it; CL_NODE_NONE: none. */
uint8_t placement_failback(const struct db_group *g);

/*
 * It is to be started in its wave, and some node could have it, with so much room: lower priorities
 * wait for it.
 */
bool placement_is_awaited(const struct db *db, const struct capacity_map *room,
			  const struct db_group *g);
/* Lower priorities have waited for it long enough. */
bool placement_wave_is_over(const struct db *db, const struct capacity_map *room,
			    const struct db_group *g, uint64_t now_ms);
/* The lowest priority of what waits for a wave before it; UINT8_MAX + 1: nothing waits. */
int placement_lowest_waiting(const struct db *db, const struct capacity_map *room);
/* Something of all that waits for its time, and that has come. */
bool placement_is_due(const struct db *db, uint64_t now_ms);

/* The word of a priority, NULL if it has none. */
const char *placement_priority_word(uint8_t priority);
/* A word or a number up to 255; false: neither. */
bool placement_priority_parse(const char *text, uint8_t *ret);

#endif
