/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The planner: from the applied database alone to the next orders, each with its reason. It is
 * run by the sequencer after each applied entry; planning on its own result yields nothing (C6).
 *
 * What it never does: order anything on a node that is not admitted or is paused, or start a
 * group or a volume whose lock somebody holds, or a group before its volumes are recovered, or stop
 * a virtual machine that is being migrated (db_apply() refuses all that as well).
 */
#ifndef CLUSTERD_CORE_PLAN_H
#define CLUSTERD_CORE_PLAN_H

#include "clusterd/core/db.h"

/* Orders of one run; what is left over comes in the next, when these are applied. */
#define PLAN_MAX_ORDERS 64
#define PLAN_GROUPS_MAX 4096 /* as many as there can be */

struct plan_orders {
	size_t count;
	struct db_cmd_group_order item[PLAN_MAX_ORDERS];
	size_t volume_count;
	struct db_cmd_volume_order volume[PLAN_MAX_ORDERS];
	size_t begin_count; /* of what is queued: to be carried out before `migration` */
	struct db_cmd_migration_order begin[PLAN_MAX_ORDERS];
	size_t migration_count; /* of virtual machines, for wishes and drains */
	struct db_cmd_vm_migrate migration[PLAN_MAX_ORDERS];
	size_t job_count;
	struct db_cmd_job_order job[PLAN_MAX_ORDERS];
	/* Of a node with something stuck; only if the others are quorate without it. */
	bool has_fence;
	struct db_cmd_node_fencing fence;
};

void plan_run(const struct db *db, struct plan_orders *ret);
size_t plan_order_count(const struct plan_orders *orders);
/*
 * The i-th order as a command, in the order in which they are to be given: volumes, work on
 * disks, migrations, groups, the fence. False past the last one. Who and when is left to the
 * caller.
 */
bool plan_command(const struct plan_orders *orders, size_t i, struct db_command *ret);
/* Why the group is where it is, or is not, and what comes next; one sentence. */
void plan_explain(const struct db *db, const struct db_group *group, char *text, size_t size);
/* The same of a volume and its coordinator. */
void plan_explain_volume(const struct db *db, const struct db_volume *volume, char *text,
			 size_t size);
/* Why the group cannot run on that node (NULL: none), leaving its volumes aside; NULL: it can. */
const char *plan_bar(const struct db *db, const struct db_group *group, const struct db_node *node);
/* The same as a verdict; DB_VERDICT_CHOSEN: it can. */
enum db_verdict plan_verdict(const struct db *db, const struct db_group *group,
			     const struct db_node *node);
/* An affinity keeps the group from that node, as things are: which, and because of whom. */
bool plan_affinity_bars(const struct db *db, const struct db_group *group, uint8_t slot, char *text,
			size_t size);
/* Nodes that nothing bars. */
uint16_t plan_owners(const struct db *db, const struct db_group *group);
/* Those of them from which no affinity keeps it. */
uint16_t plan_owners_now(const struct db *db, const struct db_group *group);
/* Nodes on which the group could be started now. */
uint16_t plan_candidates(const struct db *db, const struct db_group *group);

#endif
