/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole of clusterd on machines, disks and rings as bad as sim_world makes them. Each node has
 * the replication core, a database of its own, the sequencer's duties with the planner, a fencer
 * with its ladders, and executors; clients everywhere want things. What really runs, is mounted and
 * has power is kept apart from all that, in struct machine.
 *
 *   sim_cluster_node.c    a node's clusterd: database, requests, duties, when its executors may
 * look sim_cluster_fence.c   fencers, and the power devices that they use sim_cluster_client.c what
 * administrators ask for sim_cluster_life.c    faults, time, healing sim_cluster_check.c   the
 * oracle
 */
#ifndef TESTS_SIM_CLUSTER_H
#define TESTS_SIM_CLUSTER_H

#include <inttypes.h>
#include <stdio.h>

#include "clusterd/core/db.h"
#include "clusterd/core/duty.h"
#include "fence/core/fence_cap.h"
#include "fence/core/ladder.h"
#include "tests/sim/sim_exec.h"
#include "tests/sim/sim_world.h"

#define GROUPS		3
#define VOLUMES		2
#define VMS		2
#define DEVICES		2 /* that can switch a machine off: one for each level of a ladder */
#define RUNS		48
#define OPS		4096
#define STOP_LIMIT_MS	300 /* within which an executor ends what runs, once its lease is over */
#define HASH_EVERY	8   /* entries */
#define FENCE_WINDOW_MS 3000
#define FENCES_MAX	3 /* victims in a window, of one fencer */

/* Planted bugs of what is modelled here; those of the cores are in their headers. */
enum cluster_mutant {
	CLUSTER_MUTANT_NONE,
	CLUSTER_MUTANT_ACTS_WITHOUT_LEASE, /* executors do not look at the lease */
	CLUSTER_MUTANT_RUNS_ON,		   /* nor do they stop when it is over */
	CLUSTER_MUTANT_ANY_INCARNATION, /* executors take orders that an earlier boot was given */
	CLUSTER_MUTANT_BLIND_TO_BOOT,	/* a node is fenced although a later boot of it is here */
	CLUSTER_MUTANT_STALE_QUORUM,	/* the ladder hears of quorum from the timer only */
	CLUSTER_MUTANT_BELIEVES_DEVICE, /* the fencer confirms when a device says ok */
};

/* What is planted for a run; a row of the table in sim_cluster.c. */
struct mutant {
	const char *name;
	const char *sign; /* how the failure begins that counts as found; NULL: any */
	enum repl_mutant repl;
	enum db_mutant db;
	enum duty_mutant duty;
	enum ladder_mutant ladder;
	enum cluster_mutant cluster;
};

/* The truth about what is on a machine; all of it ends with its power. */
struct machine {
	bool is_frozen; /* all of it stands still, and may go on at any time */
	struct local_volume volume[VOLUMES];
	uint64_t run[GROUPS];
	struct process process[VMS][SIM_PROCESSES];
	uint64_t over_ms; /* since when its clusterd could know that the lease is over; 0 */
	uint64_t stop_ms; /* when what runs is stopped for that; 0: no need */
};

struct cluster;

typedef void (*request_done)(struct cluster *c, uint8_t node, uint64_t arg, int r,
			     const struct db_result *result);

struct request {
	struct request *next;
	uint64_t request;
	uint64_t deadline_ms;
	bool is_duty;
	uint8_t kind;
	request_done done;
	uint64_t arg;
	size_t len;
	uint8_t payload[];
};

struct victim {
	bool is_used, is_begun, is_confirmed;
	bool begin_runs, confirm_runs; /* NODE_FENCING, NODE_FENCED are under way */
	uint64_t incarnation;
	struct ladder_state ladder;
	uint16_t device[DEVICES];
};

struct fencer {
	struct fence_cap_state cap;
	struct victim victim[CL_MAX_NODES];
	uint64_t permitted_ms[CL_MAX_NODES]; /* the oracle's own list: newest new victim */
	uint64_t permitted[CL_MAX_NODES];    /* its incarnation */
};

/* A node's clusterd. */
struct member {
	struct db db; /* what it has applied */
	void *db_mem;
	struct request *requests, **requests_end;
	size_t request_count, duties;
	uint64_t next_request;
	bool resend_wanted, duty_wanted;
	struct duty_state duty;
	struct fencer fencer;
	uint64_t over[GROUPS], made[VMS];
	bool is_leaving; /* was told to stop */
	bool leave_runs;
};

/* A program at work for a fencer. Its effect does not end with it. */
struct device_run {
	bool is_used, is_aborted;
	bool has_effect; /* to come, at effect_ms */
	uint8_t node;	 /* of the fencer */
	uint64_t instance;
	uint8_t victim;
	uint64_t attempt;
	uint16_t device;
	uint8_t verb;
	bool is_verify, is_ok;
	uint8_t power;
	uint64_t effect_ms, answer_ms;
};

/* What a client asked for. */
struct op {
	uint32_t applied; /* times that it was really carried out */
	bool is_acked;
};

/* What the database said to an entry, when it was applied for the first time anywhere. */
struct verdict {
	uint8_t code;
	bool is_repeat;
	uint64_t hash; /* of the state after it, of each HASH_EVERY-th; else 0 */
};

struct rates { /* once in so many turns */
	uint64_t partition, outage, rotate, heal, crash, start, kill, restart, freeze, thaw, stop,
		wipe, op;
	uint64_t lag; /* percent: a node delivers little in a turn */
	uint64_t slow_disk;
	uint64_t dead_device, lie, fail, hang; /* percent */
};

struct cluster {
	struct sim_world w;
	const struct mutant *mutant;
	struct rates rates;
	bool is_healed;
	struct machine machine[CL_MAX_NODES];
	struct member member[CL_MAX_NODES];
	bool is_dead[DEVICES]; /* fails for ever, until all is healed */
	struct device_run run[RUNS];
	uint8_t rotation; /* of the views: the node that is left out next */
	uint8_t rotations;
	/* executors */
	uint64_t rate_fail, rate_stuck, rate_crash; /* percent */
	/* clients */
	uint64_t ops;
	struct op op[OPS];
	/* oracle */
	struct db db; /* of all that was ever applied */
	void *db_mem;
	struct verdict *verdict; /* by index - 1 */
	size_t verdict_cap;
	uint64_t term[VOLUMES];
	size_t fencing_count;
	uint64_t fencing[256];	  /* incarnations whose fence has begun */
	uint64_t fencing_ms[256]; /* when */
	struct {
		uint64_t index;
		struct cl_epoch epoch;
		uint8_t origin;
	} ordered[GROUPS + VMS + VOLUMES]; /* the newest order that was taken */
	uint64_t most_fences;		   /* in a window */
	bool was_quarantined[CL_MAX_NODES];
	uint64_t orders, fences, migrations, acks, quarantines;
};

#define SAY(c, ...)                                                                                \
	do {                                                                                       \
		if ((c)->w.trace) {                                                                \
			printf("%8" PRIu64 "ms ", (c)->w.now_ms);                                  \
			printf(__VA_ARGS__);                                                       \
			putchar('\n');                                                             \
		}                                                                                  \
	} while (0)

extern const struct db_limits cluster_limits;

bool cluster_once_in(struct cluster *c, uint64_t n);
bool cluster_chance(struct cluster *c, uint64_t pct);
/* The node's clusterd gets processor time. */
bool cluster_runs(const struct cluster *c, uint8_t node);
/* It is open and holds its lease. */
bool cluster_may_act(const struct cluster *c, uint8_t node);
/* What the node has applied about itself, if that incarnation is meant; else NULL. */
const struct db_node *cluster_self(const struct cluster *c, uint8_t node);

/* ---- sim_cluster_node.c */

void node_hooks(struct cluster *c);
void node_free(struct cluster *c, uint8_t node);
/* Gives a command to the cluster; `done` comes once, unless the process ends. */
bool node_request(struct cluster *c, uint8_t node, const struct db_command *cmd, request_done done,
		  uint64_t arg);
/* Likewise, and withdrawn in a new epoch. */
bool node_duty(struct cluster *c, uint8_t node, const struct db_command *cmd, request_done done,
	       uint64_t arg);
struct sim_exec node_exec(struct cluster *c, uint8_t node);
/* All that the node's clusterd does by itself in a turn. */
void node_turn(struct cluster *c, uint8_t node);
/* Starts its clusterd; that ends at once if its disk says that this boot is being fenced. */
void node_start(struct cluster *c, uint8_t node);
/* Its clusterd has ended, as this boot is being fenced. */
bool node_wants_reboot(const struct cluster *c, uint8_t node);
/* Power goes, or comes. */
void node_power(struct cluster *c, uint8_t node, bool is_on);

/* ---- sim_cluster_fence.c */

void fencer_init(struct cluster *c, uint8_t node);
void fencer_turn(struct cluster *c, uint8_t node);
/* Devices do what they were told, and answer. */
void devices_turn(struct cluster *c);

/* ---- sim_cluster_client.c */

/* The commands with which a cluster begins. */
void client_begin(struct cluster *c);
void client_op(struct cluster *c, uint8_t node);
/* One thing that stands in the way of everything running, if there is one. */
void client_tend(struct cluster *c, uint8_t node);
/* The number of the client's command, or -1. */
int64_t client_op_of(const struct db_command *cmd);

/* ---- sim_cluster_life.c */

void life_faults(struct cluster *c);
/* Time passes, messages and writes get on, everyone has a turn. */
void life_turn(struct cluster *c);
void life_heal(struct cluster *c);
bool life_is_settled(struct cluster *c);
/* For people who look for what does not get on. */
void life_show(struct cluster *c);

/* ---- sim_cluster_check.c */

/* An entry that nobody had applied before; the first who does. */
void check_entry(struct cluster *c, uint8_t node, const struct sim_entry *entry);
/* An entry that the node has applied. */
void check_applied(struct cluster *c, uint8_t node, const struct sim_entry *entry,
		   const struct db_result *result);
/* What the sequencer has just decided. */
void check_duties(struct cluster *c, uint8_t node, const struct duty_actions *actions);
/* What the node's executors changed between two looks at its machine. */
void check_acts(struct cluster *c, uint8_t node, const struct machine *before);
/* A fencer sends for a device to switch a node off. */
void check_fence(struct cluster *c, uint8_t node, uint8_t victim);
/* Its cap permits it a round for that victim. */
void check_permit(struct cluster *c, uint8_t node, const struct victim *v, uint8_t victim);
/* The whole world at this moment. */
void check_world(struct cluster *c);

#endif
