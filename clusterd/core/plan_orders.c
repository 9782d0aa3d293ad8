/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The orders of a plan as commands, in the order in which they are to be given. */
#include <string.h>

#include "clusterd/core/plan.h"

size_t plan_order_count(const struct plan_orders *o)
{
	return o->volume_count + o->begin_count + o->migration_count + o->count + o->job_count +
	       o->has_fence;
}

/* True if the i-th of a list that follows `*at` others; else they are behind us. */
static bool is_among(size_t i, size_t *at, size_t count)
{
	if (i - *at < count)
		return true;
	*at += count;
	return false;
}

bool plan_command(const struct plan_orders *o, size_t i, struct db_command *ret)
{
	size_t at = 0;

	memset(ret, 0, sizeof(*ret));
	if (is_among(i, &at, o->volume_count)) {
		ret->type = DB_CMD_VOLUME_ORDER;
		ret->volume_order = o->volume[i - at];
	} else if (is_among(i, &at, o->job_count)) {
		ret->type = DB_CMD_JOB_ORDER;
		ret->job_order = o->job[i - at];
	} else if (is_among(i, &at, o->begin_count)) {
		ret->type = DB_CMD_MIGRATION_ORDER;
		ret->migration_order = o->begin[i - at];
	} else if (is_among(i, &at, o->migration_count)) {
		ret->type = DB_CMD_VM_MIGRATE;
		ret->vm_migrate = o->migration[i - at];
	} else if (is_among(i, &at, o->count)) {
		ret->type = DB_CMD_GROUP_ORDER;
		ret->group_order = o->item[i - at];
	} else if (is_among(i, &at, o->has_fence)) {
		/* Last: from its begin on nothing can be ordered on that node. */
		ret->type = DB_CMD_NODE_FENCING;
		ret->node_fencing = o->fence;
	} else {
		return false;
	}
	return true;
}
