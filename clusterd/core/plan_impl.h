/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the planner share; nobody else includes this. */
#ifndef CLUSTERD_CORE_PLAN_IMPL_H
#define CLUSTERD_CORE_PLAN_IMPL_H

#include "clusterd/core/plan.h"

/* How many groups, or coordinators, a node has. */
struct plan_load {
	uint32_t count[CL_MAX_NODES];
};

/* The wish if it can be had, else the least loaded, of equals the lowest slot. */
uint8_t plan_choose(const struct plan_load *l, uint16_t candidates, uint8_t wish);
bool plan_node_is_admitted(const struct db *db, uint8_t slot, uint64_t incarnation);

void plan_volumes(const struct db *db, struct plan_orders *out);

#endif
