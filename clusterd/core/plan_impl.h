/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the planner share; nobody else includes this. */
#ifndef CLUSTERD_CORE_PLAN_IMPL_H
#define CLUSTERD_CORE_PLAN_IMPL_H

#include "clusterd/core/plan.h"

/* How many groups, or coordinators, a node has. */
struct plan_load {
	uint32_t count[CL_MAX_NODES];
	uint16_t avoided; /* to be fenced: taken only if there is no other */
};

/* The wish if it can be had, else the least loaded, of equals the lowest slot. */
uint8_t plan_choose(const struct plan_load *l, uint16_t candidates, uint8_t wish);
/* The node that these orders fence, as a set. */
uint16_t plan_fenced(const struct db *db, const struct plan_orders *out);
bool plan_node_is_admitted(const struct db *db, uint8_t slot, uint64_t incarnation);

/* A coordinator that it needs starts or stops, or is now told to: it waits where it is. */
bool plan_is_moving(const struct db *db, const struct plan_orders *out, const struct db_group *g);

/* An administrator has taken it, or one of its resources: the planner leaves it alone. */
bool plan_is_unmanaged(const struct db_group *g);

void plan_volumes(const struct db *db, struct plan_orders *out);

/* ---- plan_vm.c */

void plan_vms(const struct db *db, struct plan_orders *out, struct plan_load *l);
/* Why a virtual machine that is online has to be stopped; NULL if not. After plan_vms(). */
const char *plan_vm_why_stop(const struct db *db, const struct plan_orders *out,
			     const struct db_group *g, const struct db_vm *v);
/* False: there is nothing to say of it that is not said of every group. */
bool plan_explain_vm(const struct db *db, const struct db_group *g, char *text, size_t size);

#endif
