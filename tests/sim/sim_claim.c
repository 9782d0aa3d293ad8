/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_claim: claimants of a disk witness against one record on a bad disk.
 *
 *   sim_claim [--seeds N] [--first SEED] [--steps N] [--mutant NAME|all] [--trace]
 *
 * Two to four nodes, each the claimant of a partition of its own; now and then a partition gets a
 * new view, which may have the last owner in it. Reads and writes take any time up to many D, a
 * write lands at any moment of it or never, and then the older copy stays; nodes freeze with I/O
 * under way and crash. At no moment may two nodes own the witness. Then the disk is well: one must
 * come to own it and not be robbed; and when all but one have stopped, that one must.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/claim.h"
#include "lib/must.h"
#include "lib/prng.h"

#define NODES_MAX 4
#define D_MS	  100

struct io {
	bool runs, is_write, has_landed, lands, is_ok;
	uint64_t land_ms, end_ms;
	struct claim_record record;
};

struct node {
	struct claim_state claim;
	bool is_up, is_frozen;
	uint64_t thaw_ms, skew_ms;
	/* in flight: the one that the core asked for, and one of a process that has crashed */
	struct io io, orphan;
};

struct world {
	struct prng prng;
	bool trace, is_well;
	uint8_t nodes;
	uint64_t now_ms, views, slow_pct, bad_pct;
	struct claim_record disk;
	struct node node[NODES_MAX];
	uint64_t owned_ms[NODES_MAX], takeovers;
	uint8_t last_owner;
	char failure[160];
};

static void fail(struct world *w, const char *what, uint8_t node)
{
	if (!w->failure[0])
		snprintf(w->failure, sizeof(w->failure), "n%u at %" PRIu64 " ms: %s", node,
			 w->now_ms, what);
}

static uint64_t local_ms(const struct world *w, uint8_t i)
{
	return w->now_ms + w->node[i].skew_ms;
}

/* ---- the disk */

static uint64_t any_delay(struct world *w)
{
	if (w->is_well)
		return prng_range(&w->prng, 1, D_MS / 5);
	if (prng_chance(&w->prng, w->slow_pct, 100))
		return prng_range(&w->prng, 1, 12 * D_MS);
	return prng_range(&w->prng, 1, D_MS);
}

static void submit(struct world *w, uint8_t i, enum claim_action action)
{
	struct node *n = &w->node[i];
	uint64_t delay = any_delay(w);

	if (action == CLAIM_DO_NOTHING)
		return;
	must(!n->io.runs);
	n->io = (struct io){
		.runs = true,
		.is_write = action == CLAIM_DO_WRITE,
		.end_ms = w->now_ms + delay,
		.land_ms = w->now_ms + prng_below(&w->prng, delay + 1),
		.lands = true,
		.is_ok = true,
		.record = n->claim.own,
	};
	if (!w->is_well && prng_chance(&w->prng, w->bad_pct, 100)) {
		n->io.is_ok = false; /* what failed may have been written all the same */
		n->io.lands = prng_chance(&w->prng, 1, 2);
	}
}

static void land(struct world *w, struct io *io)
{
	if (!io->runs || io->has_landed || w->now_ms < io->land_ms)
		return;
	io->has_landed = true;
	if (!io->is_write)
		io->record = w->disk;
	else if (io->lands)
		w->disk = io->record;
}

/* ---- nodes */

static void give(struct world *w, uint8_t i, struct claim_event *e)
{
	struct node *n = &w->node[i];
	const char *broken;
	enum claim_phase before = n->claim.phase;

	e->now_ms = local_ms(w, i);
	e->entropy = prng_next(&w->prng);
	submit(w, i, claim_step(&n->claim, e));
	broken = claim_check(&n->claim);
	if (broken)
		fail(w, broken, i);
	if (w->trace && before != n->claim.phase)
		printf("%6" PRIu64 " n%u %s -> %s; disk n%u/%" PRIu64 "\n", w->now_ms, i,
		       claim_phase_name(before), claim_phase_name(n->claim.phase), w->disk.owner,
		       w->disk.generation);
}

/* A new view of its partition; sometimes the last owner is in it, and is no claimant any more. */
static void begin(struct world *w, uint8_t i)
{
	struct claim_event e = {.type = CLAIM_EV_BEGIN};

	e.begin.members = cl_bit(i);
	if (w->last_owner != CL_NODE_NONE && w->last_owner != i &&
	    !w->node[w->last_owner].is_frozen && prng_chance(&w->prng, 1, 4)) {
		struct claim_event end = {.type = CLAIM_EV_END};

		give(w, w->last_owner, &end);
		e.begin.members = (uint16_t)(e.begin.members | cl_bit(w->last_owner));
	}
	e.begin.view = (struct cl_view_id){.ring = {.rep = i + 1u, .seq = ++w->views * 4},
					   .nonce = prng_next(&w->prng)};
	give(w, i, &e);
}

static void crash(struct world *w, uint8_t i)
{
	struct node *n = &w->node[i];

	if (n->orphan.runs)
		return; /* one at a time is enough */
	n->orphan = n->io;
	n->io = (struct io){0};
	n->is_up = false;
	n->is_frozen = false;
}

static void start(struct world *w, uint8_t i, enum claim_mutant mutant)
{
	struct node *n = &w->node[i];

	claim_init(&n->claim, i, D_MS);
	n->claim.mutant = mutant;
	n->is_up = true;
	begin(w, i);
}

static void run_node(struct world *w, uint8_t i)
{
	struct node *n = &w->node[i];
	struct claim_event e = {.type = CLAIM_EV_TICK};

	land(w, &n->io);
	land(w, &n->orphan);
	if (n->orphan.runs && n->orphan.has_landed)
		n->orphan.runs = false;
	if (n->is_frozen && w->now_ms >= n->thaw_ms)
		n->is_frozen = false;
	if (!n->is_up || n->is_frozen)
		return;
	if (n->io.runs && n->io.has_landed && w->now_ms >= n->io.end_ms) {
		e.type = n->io.is_write ? CLAIM_EV_WRITTEN : CLAIM_EV_READ;
		e.io.is_ok = n->io.is_ok;
		e.io.record = n->io.record;
		n->io.runs = false;
		give(w, i, &e);
		return;
	}
	give(w, i, &e);
}

static bool owns(const struct world *w, uint8_t i)
{
	return w->node[i].is_up && claim_is_owned(&w->node[i].claim, local_ms(w, i));
}

static void check(struct world *w)
{
	uint8_t owner = CL_NODE_NONE;

	for (uint8_t i = 0; i < w->nodes; i++) {
		if (!owns(w, i))
			continue;
		if (owner != CL_NODE_NONE)
			fail(w, "owns the witness beside another", i);
		owner = i;
		w->owned_ms[i]++;
	}
	if (owner != CL_NODE_NONE && owner != w->last_owner) {
		w->takeovers++;
		w->last_owner = owner;
	}
}

static void advance(struct world *w)
{
	uint8_t first = (uint8_t)prng_below(&w->prng, w->nodes);

	w->now_ms++;
	for (uint8_t k = 0; k < w->nodes; k++)
		run_node(w, (uint8_t)((first + k) % w->nodes));
	check(w);
}

static void faults(struct world *w, enum claim_mutant mutant)
{
	uint8_t i = (uint8_t)prng_below(&w->prng, w->nodes);
	struct node *n = &w->node[i];

	if (!n->is_up) {
		if (prng_chance(&w->prng, 1, 600))
			start(w, i, mutant);
		return;
	}
	if (!n->is_frozen && prng_chance(&w->prng, 1, 1500)) {
		n->is_frozen = true;
		n->thaw_ms = w->now_ms + prng_range(&w->prng, 1, 15 * D_MS);
	}
	if (prng_chance(&w->prng, 1, 3000))
		crash(w, i);
	else if (!n->is_frozen && prng_chance(&w->prng, 1, 2500))
		begin(w, i);
}

/* The disk is well and all claim: one comes to own the witness, and the others do not rob it. */
static void demand_peace(struct world *w, enum claim_mutant mutant)
{
	w->is_well = true;
	for (uint8_t i = 0; i < w->nodes; i++) {
		w->node[i].is_frozen = false;
		if (w->node[i].is_up)
			begin(w, i);
		else
			start(w, i, mutant);
	}
	for (int t = 0; t < 40 * D_MS && !w->failure[0]; t++)
		advance(w);
	for (int t = 0; t < 20 * D_MS && !w->failure[0]; t++) {
		uint8_t before = w->last_owner;

		advance(w);
		if (before == CL_NODE_NONE || !owns(w, before))
			fail(w, "all is well, and the witness has no lasting owner", before);
	}
}

/* One is left on a disk that is well: it comes to own the witness, and never loses it. */
static void demand_progress(struct world *w, enum claim_mutant mutant)
{
	uint8_t one = (uint8_t)prng_below(&w->prng, w->nodes);

	for (uint8_t i = 0; i < w->nodes; i++) {
		if (i != one)
			w->node[i].is_up = false;
		w->node[i].is_frozen = false;
	}
	w->is_well = true;
	if (w->node[one].is_up)
		begin(w, one);
	else
		start(w, one, mutant);
	for (int t = 0; t < 30 * D_MS && !w->failure[0]; t++)
		advance(w);
	for (int t = 0; t < 20 * D_MS && !w->failure[0]; t++) {
		if (!owns(w, one))
			fail(w, "alone, and does not own the witness", one);
		advance(w);
	}
}

struct totals {
	uint64_t owned_ms, takeovers, views;
};

static bool run_seed(uint64_t seed, uint64_t steps, enum claim_mutant mutant, bool trace,
		     struct totals *t)
{
	struct world w = {.trace = trace, .now_ms = 1000, .last_owner = CL_NODE_NONE};

	prng_init(&w.prng, seed);
	w.nodes = (uint8_t)prng_range(&w.prng, 2, NODES_MAX);
	w.slow_pct = prng_chance(&w.prng, 1, 2) ? prng_range(&w.prng, 0, 10)
						: prng_range(&w.prng, 20, 60);
	w.bad_pct = prng_range(&w.prng, 0, 10);
	w.disk.owner = CL_NODE_NONE;
	for (uint8_t i = 0; i < w.nodes; i++) {
		w.node[i].skew_ms = prng_below(&w.prng, 100000);
		start(&w, i, mutant);
	}
	for (uint64_t s = 0; s < steps && !w.failure[0]; s++) {
		faults(&w, mutant);
		advance(&w);
	}
	demand_peace(&w, mutant);
	demand_progress(&w, mutant);
	for (uint8_t i = 0; i < w.nodes; i++)
		t->owned_ms += w.owned_ms[i];
	t->takeovers += w.takeovers;
	t->views += w.views;
	if (w.failure[0] && mutant == CLAIM_MUTANT_NONE)
		printf("seed %" PRIu64 " (%u nodes): %s\n  replay: sim_claim --first %" PRIu64
		       " --seeds 1 --steps %" PRIu64 " --trace\n",
		       seed, w.nodes, w.failure, seed, steps);
	else if (w.failure[0])
		printf("mutant %s found by seed %" PRIu64 ": %s\n", claim_mutant_name(mutant), seed,
		       w.failure);
	return !w.failure[0];
}

struct options {
	uint64_t seeds, first, steps;
	const char *mutant;
	bool trace;
};

static int usage(void)
{
	fprintf(stderr, "usage: sim_claim [--seeds N] [--first SEED] [--steps N] "
			"[--mutant NAME|all] [--trace]\n");
	return 2;
}

static bool parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"seeds", required_argument, NULL, 's'}, {"first", required_argument, NULL, 'f'},
		{"steps", required_argument, NULL, 'n'}, {"mutant", required_argument, NULL, 'm'},
		{"trace", no_argument, NULL, 't'},	 {NULL, 0, NULL, 0},
	};
	int c;

	*o = (struct options){.seeds = 200, .first = 1, .steps = 20000};
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			o->seeds = strtoull(optarg, NULL, 10);
		else if (c == 'f')
			o->first = strtoull(optarg, NULL, 10);
		else if (c == 'n')
			o->steps = strtoull(optarg, NULL, 10);
		else if (c == 'm')
			o->mutant = optarg;
		else if (c == 't')
			o->trace = true;
		else
			return false;
	}
	return optind == argc && o->seeds > 0;
}

static int run_mutants(const struct options *o)
{
	int passed = 0, failed = 0;

	for (int m = CLAIM_MUTANT_NONE + 1; m < CLAIM_MUTANT_MAX; m++) {
		const char *name = claim_mutant_name((enum claim_mutant)m);
		struct totals t = {0};
		bool is_found = false;

		if (strcmp(o->mutant, "all") && strcmp(o->mutant, name))
			continue;
		for (uint64_t i = 0; i < o->seeds && !is_found; i++)
			is_found = !run_seed(o->first + i, o->steps, (enum claim_mutant)m, o->trace,
					     &t);
		if (!is_found)
			printf("mutant %s NOT found in %" PRIu64 " seeds\n", name, o->seeds);
		*(is_found ? &passed : &failed) += 1;
	}
	if (!passed && !failed)
		return usage();
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct options o;
	struct totals t = {0};
	int passed = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!parse(argc, argv, &o))
		return usage();
	if (o.mutant)
		return run_mutants(&o);
	for (uint64_t i = 0; i < o.seeds; i++) {
		if (run_seed(o.first + i, o.steps, CLAIM_MUTANT_NONE, o.trace, &t))
			passed++;
		else
			failed++;
	}
	printf("views %" PRIu64 " takeovers %" PRIu64 " owned %" PRIu64 " ms\n", t.views,
	       t.takeovers, t.owned_ms);
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}
