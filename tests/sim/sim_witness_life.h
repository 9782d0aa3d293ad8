/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the lives of sim_witness share: a cluster with a witness of one kind, turns of its clock,
 * and what may be demanded of it. Every function that fails says so to the world (sim_fail()).
 */
#ifndef TESTS_SIM_WITNESS_LIFE_H
#define TESTS_SIM_WITNESS_LIFE_H

#include "clusterd/core/votes.h"
#include "tests/sim/sim_world.h"

#define LIFE_TURN_MS	 10
#define LIFE_D_MS	 100
#define LIFE_TURNS_CLAIM 300 /* a claim of a dead owner's record, an epoch, and slow I/O */
#define LIFE_ABSENT_LONG UINT64_C(1000000000)

enum life_kind { LIFE_DISK, LIFE_SHARE, LIFE_SOLE };

struct life {
	struct sim_world world;
	enum life_kind kind;
	uint16_t no_pull; /* nodes that get no history at the moment */
	enum votes_mutant mutant;
	struct prng prng; /* of the driver; the world has its own */
	struct votes_missed missed[SIM_MAX_NODES];
	uint64_t absent_ms, witness_ms;
	bool is_dynamic;
	uint64_t changes, served;
};

uint16_t life_nodes(const struct life *f);
/* The first process of node 0 makes the cluster; all others join. */
void life_create(struct life *f);
/* The clock of every node, its witness, and the votes that the daemon would change. */
void life_tick(struct life *f);
/* Everything that is under way, then LIFE_TURN_MS more. */
void life_turn(struct life *f);
void life_turns(struct life *f, uint64_t ms);
bool life_all_act(const struct life *f, uint16_t set);
/* A request of each is answered. */
bool life_all_answer(struct life *f, uint16_t set);
/* Within a bounded time the set acts, goes on acting, and answers. */
void life_demand_service(struct life *f, uint16_t set);
/* None of the set acts for n turns. */
void life_demand_silence(struct life *f, uint16_t set, int n);
/* All nodes and the witness: whole, and with an odd number of votes. */
void life_demand_whole(struct life *f);
void life_start(struct life *f, uint8_t node);
/* Every fault is over. */
void life_heal(struct life *f);

/* sim_witness_share.c: lives that are made for one moment. */
void life_blank(struct life *f);
void life_hand(struct life *f);
void life_late(struct life *f);
void life_force(struct life *f);

#endif
