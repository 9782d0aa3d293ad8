/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The world of sim_volume: nodes with what is really mounted on them, one database that all of them
 * see as far as they are connected, messages that arrive late and in any order, and the oracle that
 * compares what the database allows with the truth. What happens, and when, is drawn in
 * sim_volume.c.
 */
#ifndef TESTS_SIM_VOLUME_WORLD_H
#define TESTS_SIM_VOLUME_WORLD_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "clusterd/core/db.h"
#include "clusterd/core/plan.h"
#include "lib/prng.h"
#include "tests/sim/sim_exec.h"

#define NODES	   4
#define VOLUMES	   3
#define GROUPS	   3
#define QUEUE	   64
#define STEPS	   1500
#define HEAL_STEPS 6000

struct node {
	bool is_up, is_connected, is_process; /* powered, in the ring, clusterd runs */
	uint64_t incarnation;
	uint64_t instance;
	struct local_volume volume[VOLUMES];
	uint64_t run[GROUPS]; /* the truth: order under which the group runs, 0: not */
	uint64_t over[GROUPS];
	uint64_t held[VOLUMES]; /* mounts that its end left behind, until the database knows */
};

/* The truth about what a mount that ended held. */
struct remains {
	uint64_t id;	       /* ended, and not dropped; 0: nothing */
	uint64_t dropped_id;   /* the newest that a coordinator has dropped, */
	uint64_t dropped_term; /* and who that was */
};

struct message {
	bool is_used;
	uint8_t from;
	struct db_command cmd;
};

#define STEP_MS 20000 /* what a step counts for, by the clocks */

struct world {
	struct prng rng;
	uint64_t seed;
	bool is_trace;
	bool is_healed;
	uint64_t step;
	struct db db;
	void *mem;
	struct db other; /* for snapshots */
	void *other_mem;
	uint64_t request;
	uint64_t next_incarnation, next_instance;
	int nodes, volumes, groups;
	struct node node[NODES];
	struct remains remains[VOLUMES][NODES];
	uint64_t row_id[VOLUMES][NODES]; /* of mount rows, as of the last look */
	uint64_t term[VOLUMES];
	struct message queue[QUEUE];
	struct plan_orders orders;
	uint64_t rate_fail, rate_stuck, rate_crash, rate_late; /* percent */
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

struct db_volume *sim_volume(const struct world *w, int v);
struct db_group *sim_group(const struct world *w, int g);
struct db_node *sim_node(const struct world *w, int n);
void sim_node_name(int n, char ret[CL_NAME_MAX]);
/* The node's clusterd runs, sees the database, and is what the database knows. */
bool sim_is_member(const struct world *w, int n);

/* One entry of the log, and the oracle's look at what it did. */
enum db_code sim_apply(struct world *w, const struct db_command *cmd);
/* The command is under way from that node. */
void sim_send(struct world *w, int from, const struct db_command *cmd);
/* Any of the messages arrives; false if there is none. */
bool sim_deliver(struct world *w);
/* Those of one node arrive, in any order. */
void sim_deliver_from(struct world *w, int from);
/* Power goes: all that ran there ends. */
void sim_die(struct world *w, int n);
/* What must hold at any time. */
void sim_check(struct world *w);
/* One thing that the node's executor does. */
void sim_exec(struct world *w, int n);

#endif
