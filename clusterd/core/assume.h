/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Executors that succeed in everything: what the nodes would report of all that is in work in a
 * database, if it went well. For simulations (whatif.h) and for the scenarios of the planner; never
 * for the database of a cluster, where only what happened is reported.
 */
#ifndef CLUSTERD_CORE_ASSUME_H
#define CLUSTERD_CORE_ASSUME_H

#include "clusterd/core/db.h"

#define ASSUME_PORT 7001 /* where every coordinator would serve */

struct assume {
	struct db *db;
	/* Takes one report, and applies it to db before it returns. */
	void (*apply)(void *arg, struct db_command *cmd);
	void *arg;
	uint64_t mount_base; /* a mount that is begun is mount_base + (*mounts)++ */
	uint64_t *mounts;
	int limit; /* it leaves off soon after so many reports; 0: when there are no more */
};

/*
 * One pass: each volume, mount, migration and group that is in work, or that one only, gets on by a
 * step or to its end. Returns how many reports that took; 0: nothing is in work.
 */
int assume_success(const struct assume *a, const char *only);

#endif
