/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The world of sim_vm: nodes with the processes that really run virtual machines on them; one log,
 * which each node applies to a database of its own, sooner or later; messages that arrive late, in
 * any order, twice or not at all; and the oracle that compares what the database allows with the
 * truth. What happens, and when, is drawn in sim_vm.c.
 */
#ifndef TESTS_SIM_VM_WORLD_H
#define TESTS_SIM_VM_WORLD_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "clusterd/core/db.h"
#include "clusterd/core/plan.h"
#include "lib/prng.h"
#include "tests/sim/sim_exec.h"

#define NODES	   4
#define VMS	   3
#define QUEUE	   64
#define STEPS	   4000
#define HEAL_STEPS 12000
#define LOG_MAX	   60000
#define LOG_BYTES  (16u * 1024 * 1024)

struct node {
	bool is_up, is_connected, is_process; /* powered, in the ring, clusterd runs */
	uint64_t incarnation;
	uint64_t instance;
	struct db view; /* what it has applied */
	void *view_mem;
	struct process process[VMS][SIM_PROCESSES];
	/* what its executor remembers */
	uint64_t made[VMS]; /* newest instance that it has made, or tried to make */
};

struct message {
	bool is_used;
	uint8_t from;
	struct db_command cmd;
};

struct world {
	struct prng rng;
	uint64_t seed;
	bool is_trace;
	bool is_healed;
	uint64_t step;
	struct db db; /* all that is committed is applied */
	void *mem;
	struct db other; /* for snapshots */
	void *other_mem;
	uint64_t next_incarnation, next_instance;
	int nodes, vms;
	int drained; /* node that stays drained to the end, -1: none */
	struct node node[NODES];
	struct message queue[QUEUE];
	struct plan_orders orders;
	uint8_t *log; /* payloads of entries */
	size_t log_used;
	size_t at[LOG_MAX + 1]; /* where the payload of an entry begins, by index - 1 */
	uint64_t rate_fail, rate_crash, rate_late, rate_lag; /* percent */
	const char *broken;
};

#define TRACE(w, ...)                                                                              \
	do {                                                                                       \
		if ((w)->is_trace) {                                                               \
			printf("%6" PRIu64 " ", (w)->step);                                        \
			printf(__VA_ARGS__);                                                       \
			putchar('\n');                                                             \
		}                                                                                  \
	} while (0)

/* True pct times in 100. */
bool sim_chance(struct world *w, uint64_t pct);
/* Remembers the first thing that is wrong. */
void sim_broke(struct world *w, const char *what);
void sim_world_init(struct world *w, uint64_t seed, enum db_mutant mutant, bool is_trace);
void sim_world_free(struct world *w);

void sim_node_name(int n, char ret[CL_NAME_MAX]);
struct db_vm *sim_vm(const struct db *db, int i);
struct db_group *sim_group(const struct db *db, int i);
struct db_node *sim_node(const struct world *w, int n);
/* The node's clusterd runs, sees the database, and is what the database knows. */
bool sim_is_member(const struct world *w, int n);
/* The process of that instance on the node, or NULL; instance 0: a free place. */
struct process *sim_process(struct world *w, int n, int i, uint64_t instance);

/* One entry of the log, and the oracle's look at what it did. */
enum db_code sim_apply(struct world *w, const struct db_command *cmd);
/* The command is under way from that node. */
void sim_send(struct world *w, int from, const struct db_command *cmd);
/* Any of the messages arrives; false if there is none. */
bool sim_deliver(struct world *w);
/* Those of one node arrive, in any order. */
void sim_deliver_from(struct world *w, int from);
/* The node applies so many entries of those that it has not yet. */
void sim_catch_up(struct world *w, int n, uint64_t entries);
/* Power goes: all that ran there ends. */
void sim_die(struct world *w, int n);
/* What must hold at any time. */
void sim_check(struct world *w);
/* One thing that the node's executor does. */
void sim_exec(struct world *w, int n);

#endif
