/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Would the cluster survive the loss of some nodes: has every group that shall run then a node
 * (adr/0028)? Asked before an administrator starts something, or lets it reserve more, and by
 * `cluster status`; never by the planner, nor of what follows a failure.
 *
 * Each set of so many nodes that are up is lost in turn. What ran there, or would be started there,
 * is placed anew by the planner's own rule for one group (plan_place()), in the order in which the
 * planner does: by priority, of equals the larger first, then by name. To find the best of all
 * placements is NP-hard; this one is that which would be made. What it leaves out: waves and turns,
 * which only delay, and volumes, which are taken to be mounted everywhere.
 */
#ifndef CLUSTERD_CORE_ADMISSION_H
#define CLUSTERD_CORE_ADMISSION_H

#include "clusterd/core/db.h"

struct admission {
	bool is_survived;
	uint16_t nodes;		 /* the loss that would not be; none: a group has no node now */
	char group[CL_NAME_MAX]; /* that would have no node */
	char text[DB_REASON_MAX];
};

/*
 * The first loss, by slots, that would leave a group without a node. At most 560 losses (three of
 * 16 nodes), each in time proportional to the groups. `losses` of 0: all is survived.
 */
void admission_check(const struct db *db, uint32_t losses, struct admission *ret);

#endif
