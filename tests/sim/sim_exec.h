/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the executors of one node do when they look at the database that it has applied: volumes,
 * mounts, groups, virtual machines. For the simulators that have a database (sim_volume, sim_vm,
 * sim_cluster): each keeps the truth about its machines in these structs, and says when an executor
 * may look, and what becomes of what it sends.
 */
#ifndef TESTS_SIM_EXEC_H
#define TESTS_SIM_EXEC_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "clusterd/core/db.h"
#include "lib/prng.h"

#define SIM_PROCESSES                                                                              \
	2 /* of one virtual machine on one node: that which runs, and one arriving                 \
	   */

/* A volume on a node. */
struct local_volume {
	bool is_stuck;	 /* its coordinator cannot be proven over before the node is off */
	uint64_t xfs;	 /* the truth: term under which its filesystem is mounted, 0: not */
	bool is_process; /* the truth: the coordinator's process lives */
	uint64_t fuse;	 /* the truth: id of the mount that lives, 0: none */
	uint64_t hung;	 /* the truth: that mount answers nobody, 0: it does */
	/* what its executor remembers */
	uint64_t over; /* the order that it is done with */
	uint64_t mine; /* id that it has asked for and may mount */
};

/* A vm-host with its QEMU. */
struct process {
	uint64_t instance; /* under which it was made; 0: there is none */
	bool is_running;   /* the truth: its virtual CPUs run */
	bool is_incoming;  /* made as the destination of a migration */
	bool is_loaded;	   /* all memory and state has arrived */
	/* as the source of a migration */
	uint64_t migration;
	uint8_t phase;
	bool has_failed; /* it takes no further step in that migration */
	bool is_still;	 /* vCPUs and disks stand still for the hand-over */
	bool has_asked; /* has said so to the cluster: runs again only when that says that it may */
};

/* One node's executors, for the length of a call. */
struct sim_exec {
	struct prng *rng;
	const struct db *db; /* what the node has applied */
	uint8_t slot;
	uint64_t incarnation;
	bool is_healed;				    /* no more faults */
	uint64_t rate_fail, rate_stuck, rate_crash; /* percent */
	int volumes, groups, vms;
	struct local_volume *volume;
	uint64_t *run;	/* the truth: order under which a group runs, 0: not */
	uint64_t *over; /* of groups, as of volumes */
	struct process (*process)[SIM_PROCESSES];
	uint64_t *made; /* newest instance of a VM that it has made, or tried to make */
	void *arg;
	void (*send)(void *arg, uint8_t slot, const struct db_command *cmd);
	void (*say)(void *arg, const char *text); /* NULL: nobody listens */
	/* The coordinator of that term has dropped what the mount that is gone held; may be NULL */
	void (*dropped)(void *arg, int v, uint8_t slot, uint64_t id, uint64_t term);
	/* That mount answers nobody; NULL: mounts do not hang. */
	bool (*is_hung)(void *arg, int v, uint8_t slot, uint64_t id);
	/* The mount of this node begins to, and perhaps others. */
	void (*hang)(void *arg, uint8_t slot, int v);
	/* The last of a guest's memory goes to that process there; false: nobody takes it. */
	bool (*hand_over)(void *arg, uint8_t slot, uint64_t incarnation, int i, uint64_t instance);
};

static inline void sim_volume_name(int v, char ret[CL_NAME_MAX])
{
	snprintf(ret, CL_NAME_MAX, "v%d", v);
}

static inline void sim_group_name(int g, char ret[CL_NAME_MAX])
{
	snprintf(ret, CL_NAME_MAX, "g%d", g);
}

static inline void sim_vm_name(int i, char ret[CL_NAME_MAX])
{
	snprintf(ret, CL_NAME_MAX, "vm%d", i);
}

/* True pct times in 100. */
static inline bool sim_exec_chance(const struct sim_exec *x, uint64_t pct)
{
	return prng_chance(x->rng, pct, 100);
}

/* One look of an executor; nothing may have to be done. */
void sim_exec_coordinate(const struct sim_exec *x, int v);
void sim_exec_mount(const struct sim_exec *x, int v);
void sim_exec_group(const struct sim_exec *x, int g);
void sim_exec_vm(const struct sim_exec *x, int i);
/* A node that leaves says so when it is empty; too early now and then, to be refused. */
void sim_exec_leave(const struct sim_exec *x);
/* Nothing is mounted and nothing runs. */
bool sim_exec_is_empty(const struct sim_exec *x);
/* The process of that instance, or NULL; instance 0: a free place. */
struct process *sim_exec_process(const struct sim_exec *x, int i, uint64_t instance);

#endif
