/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The executor: carries out, on this node, the orders of the planner by running OCF agents, watches
 * what runs, and reports. It acts only on applied orders, for its own incarnation, under a living
 * quorum lease checked right before each start; when the lease runs out it stops what it runs.
 *
 * Loop thread only.
 */
#ifndef CLUSTERD_EDGE_EXEC_H
#define CLUSTERD_EDGE_EXEC_H

#include "clusterd/edge/engine.h"

#define EXEC_PARAMS_MAX 64 /* of one resource */

struct exec;

/*
 * `stopped` is called once after exec_stop_all(), when nothing runs any more and is_held says that
 * nothing else is held here that keeps the node from leaving.
 */
int exec_open(struct engine *e, void (*stopped)(void *arg), bool (*is_held)(void *arg), void *arg,
	      struct exec **ret);
void exec_close(struct exec *x);
/*
 * The virtual machines of this node, which some groups are; and the folder of our own agents. Both
 * borrowed until exec_close(); before anything is started.
 */
struct vms;
void exec_set_vms(struct exec *x, struct vms *vms, const char *own_agents);
/* The engine has changed: look at the orders. */
void exec_changed(struct exec *x);
/* This process was told to end: it leaves the cluster first. */
void exec_stop_all(struct exec *x);
/*
 * Stops everything that the database says is here, whoever started it, and reports nothing; from
 * call to call. True when it is over, provably.
 */
bool exec_end(struct exec *x);

#endif
