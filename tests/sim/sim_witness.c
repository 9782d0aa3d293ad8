/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_witness: clusters with a witness, on the world of sim_repl. A seed has one of three kinds: a
 * disk, a share, or a disk that alone has a vote (disk-only).
 *
 *   sim_witness [--seeds N] [--first SEED] [--steps N] [--mutant NAME|all] [--trace]
 *
 * A seed lives one of these lives:
 *   three   two nodes and the witness: one of the three is lost after the other, right after a
 *           request was answered; the other two serve, and have what was answered; with a share,
 *           who was not there when it was answered does not start alone;
 *   halves  2, 4 or 6 nodes are split in half, with the witness reached by both halves, by one, or
 *           by none: one half serves, the one that reaches it, or none, and the other does not act;
 *   blank   two nodes and a share: one loses its disk, the other goes on, the first comes back;
 *   hand    four nodes and a share: its set goes from one half to another, and one of these does
 *           not hold the history yet when the others are lost;
 *   late    four nodes and a share: one half writes its set, stands still, and the write lands when
 *           the other half has served;
 *   force   four nodes: half of them serve with the witness and are lost, the others are forced;
 *           then the witness is back with what it has of the old history, and at last all are;
 *   storm   random faults of nodes, network and witness, with votes that follow; then all heals.
 *
 * Beside what sim_world checks: the witness's vote counts in one view at a time. A failing seed
 * replays with `--first SEED --seeds 1 --trace`.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_witness_life.h"

struct totals {
	uint64_t commits, views, crashes, changes, served;
};

/* ---- two nodes and the witness */

static void lose_node(struct life *f, uint8_t node)
{
	struct sim_world *w = &f->world;

	if (prng_chance(&f->prng, 1, 2)) {
		sim_machine_crash(w, node);
		return;
	}
	if (prng_chance(&f->prng, 1, 2)) {
		sim_process_kill(w, node);
		return;
	}
	w->component[node] = node == 0 ? 1 : 0; /* cut off, from the witness too */
	w->component[1 - node] = node;
	w->witness.cut = cl_bit(node);
	sim_rings_form(w);
}

/*
 * The moment in which a promise that is forgotten does harm: its epoch has begun on the node, and
 * the witness has promised it and holds nothing of it yet.
 */
static void await_first_append(struct life *f, uint8_t node)
{
	const struct sim_node *n = &f->world.node[node];

	for (int t = 0; t < LIFE_TURNS_CLAIM && !f->world.failure; t++) {
		life_turn(f);
		if (n->area_io.runs && n->area_io.job.job == WITNESS_JOB_APPEND)
			return;
	}
}

/* And the other one has an epoch of its own, with nothing in it, when both are here again. */
static void await_open(struct life *f, uint8_t node)
{
	for (int t = 0; t < LIFE_TURNS_CLAIM && !f->world.failure; t++) {
		life_turn(f);
		if (f->world.node[node].repl.phase == REPL_OPEN)
			return;
	}
}

static void lose_witness(struct life *f)
{
	struct sim_world *w = &f->world;

	w->witness.cut = life_nodes(f);
	if (f->kind == LIFE_SOLE) { /* everything stops */
		life_turns(f, 2 * w->config.lease_ms);
		life_demand_silence(f, life_nodes(f), 100);
		return;
	}
	life_demand_service(f, 3);
	life_turns(f, f->witness_ms + 500);
	if (!w->failure && w->node[0].repl.vtable.witness.vote)
		sim_fail(w, 0, "nobody reaches the witness, and it has a vote");
	life_demand_service(f, 3);
}

static void swap_nodes(struct life *f, uint8_t goes, uint8_t comes)
{
	struct sim_world *w = &f->world;

	lose_node(f, goes);
	w->witness.cut = 0;
	w->component[0] = 0;
	w->component[1] = 1;
	sim_rings_form(w);
	sim_machine_crash(w, goes);
	life_start(f, comes);
}

/*
 * The moment in which it matters that the set is read back: its write is under way, and fails.
 * What the node answers after that the other one must not start without.
 */
static void record_fails(struct life *f, uint8_t node)
{
	struct sim_world *w = &f->world;
	struct sim_node *n = &w->node[node];

	for (int t = 0; t < LIFE_TURNS_CLAIM && !w->failure; t++) {
		life_turn(f);
		if (!n->area_io.runs || n->area_io.job.job != WITNESS_JOB_RECORD)
			continue;
		if (!n->area_io.has_landed)
			n->area_io.lands = n->area_io.is_ok = false;
		break;
	}
	sim_propose(w, node, CL_ENTRY_COMMAND, ++n->next_request,
		    (struct cl_blob){(const uint8_t *)"first", 5});
	for (uint64_t t = prng_below(&f->prng, 60); t > 0 && !w->failure; t--)
		life_turn(f);
}

/* One goes on alone with the share; when it is lost the other one may not start without it. */
static void other_with_share(struct life *f, uint8_t other, uint8_t lost)
{
	bool has_served = prng_chance(&f->prng, 1, 2);

	if (has_served)
		life_demand_service(f, cl_bit(other));
	else
		record_fails(f, other);
	if (prng_chance(&f->prng, 1, 3))
		return;
	swap_nodes(f, other, lost);
	if (has_served)
		life_demand_silence(f, cl_bit(lost), LIFE_TURNS_CLAIM);
	else
		life_turns(f, 2 * f->world.config.lease_ms);
}

static void other_with_disk(struct life *f, uint8_t other, uint8_t lost)
{
	if (prng_chance(&f->prng, 1, 2))
		await_first_append(f, other);
	else
		life_demand_service(f, cl_bit(other));
	if (prng_chance(&f->prng, 1, 3))
		return;
	/* What one has answered with the witness the other finds on it. */
	swap_nodes(f, other, lost);
	if (prng_chance(&f->prng, 1, 2))
		await_open(f, lost);
	else
		life_demand_service(f, cl_bit(lost));
}

static void live_three(struct life *f)
{
	struct sim_world *w = &f->world;

	f->absent_ms = LIFE_ABSENT_LONG; /* votes stay: each of the three counts every time */
	life_demand_whole(f);
	for (int round = 0; round < 4 && !w->failure; round++) {
		uint8_t lost = (uint8_t)prng_below(&f->prng, 3), other = (uint8_t)(1 - lost);

		if (lost == 2) {
			lose_witness(f);
		} else {
			lose_node(f, lost);
			if (f->kind == LIFE_SHARE)
				other_with_share(f, other, lost);
			else
				other_with_disk(f, other, lost);
		}
		life_heal(f);
		life_demand_whole(f);
	}
}

/* ---- a split in half */

static uint16_t half(const struct life *f, uint8_t which)
{
	uint16_t set = 0;

	for (uint8_t i = 0; i < f->world.nodes; i++) {
		if (f->world.component[i] == which)
			set = (uint16_t)(set | cl_bit(i));
	}
	return set;
}

static void split(struct life *f)
{
	struct sim_world *w = &f->world;
	uint8_t first = 0;

	memset(w->component, 1, sizeof(w->component));
	while (first < w->nodes / 2) {
		uint8_t i = (uint8_t)prng_below(&f->prng, w->nodes);

		first = (uint8_t)(first + (w->component[i] == 1));
		w->component[i] = 0;
	}
	sim_rings_form(w);
}

static void freeze(struct life *f, uint16_t set, bool is_frozen)
{
	for (uint8_t i = 0; i < f->world.nodes; i++) {
		if (set & cl_bit(i))
			f->world.node[i].is_frozen = is_frozen;
	}
}

/*
 * The moment in which a claim that is kept too long does harm: the half that owns the witness
 * stands still until the other one has taken it over, goes on, and is asked for something.
 */
static void owner_stands_still(struct life *f, uint8_t owner)
{
	struct sim_world *w = &f->world;
	uint16_t still = half(f, owner), other = half(f, (uint8_t)(1 - owner));

	freeze(f, still, true);
	if (f->kind == LIFE_SHARE) { /* nobody of the other half is in its set */
		life_demand_silence(f, other, 100);
		freeze(f, still, false);
		return;
	}
	for (int t = 0; t < LIFE_TURNS_CLAIM && !w->failure && !life_all_act(f, other); t++)
		life_turn(f);
	if (!w->failure && !life_all_answer(f, other))
		sim_fail(w, (uint8_t)__builtin_ctz(other), "took it over, and does not answer");
	freeze(f, still, false);
	for (uint8_t i = 0; i < w->nodes && !w->failure; i++) {
		if (still & cl_bit(i))
			sim_propose(w, i, CL_ENTRY_COMMAND, ++w->node[i].next_request,
				    (struct cl_blob){(const uint8_t *)"late", 4});
	}
	life_demand_silence(f, still, 100);
}

static void live_halves(struct life *f)
{
	struct sim_world *w = &f->world;

	f->absent_ms = LIFE_ABSENT_LONG;
	f->witness_ms = LIFE_ABSENT_LONG;
	life_demand_whole(f);
	for (int round = 0; round < 3 && !w->failure; round++) {
		uint64_t reach = prng_below(&f->prng, 4);
		int t = 0;

		split(f);
		if (reach == 3) { /* nobody reaches it: nobody serves */
			w->witness.cut = life_nodes(f);
			life_turns(f, 2 * w->config.lease_ms);
			life_demand_silence(f, life_nodes(f), 100);
		} else if (reach < 2) {
			w->witness.cut = half(f, (uint8_t)(1 - reach));
			life_turns(f, 2 * w->config.lease_ms);
			life_demand_service(f, half(f, (uint8_t)reach));
			life_demand_silence(f, half(f, (uint8_t)(1 - reach)), 100);
		} else {
			life_turns(f, 2 * w->config.lease_ms);
			while (t++ < LIFE_TURNS_CLAIM && !w->failure &&
			       !life_all_act(f, half(f, 0)) && !life_all_act(f, half(f, 1)))
				life_turn(f);
			life_demand_service(f, half(f, life_all_act(f, half(f, 0)) ? 0 : 1));
			life_demand_silence(f, half(f, life_all_act(f, half(f, 0)) ? 1 : 0), 100);
			owner_stands_still(f, life_all_act(f, half(f, 0)) ? 0 : 1);
		}
		life_heal(f);
		life_demand_whole(f);
	}
}

/* ---- random faults */

struct rates { /* once in so many steps */
	uint64_t partition, heal, crash, start, kill, restart, freeze, thaw, propose, cut, mend;
	uint64_t slow_disk;
};

static void draw_rates(struct prng *p, struct rates *r)
{
	*r = (struct rates){
		.partition = prng_range(p, 500, 4000),
		.heal = prng_range(p, 500, 4000),
		.crash = prng_range(p, 1000, 8000),
		.start = prng_range(p, 200, 3000),
		.kill = prng_range(p, 1000, 8000),
		.restart = prng_range(p, 50, 2000),
		.freeze = prng_range(p, 1000, 8000),
		.thaw = prng_range(p, 200, 1500),
		.propose = prng_range(p, 5, 60),
		.cut = prng_range(p, 1000, 9000),
		.mend = prng_range(p, 500, 4000),
		.slow_disk = prng_range(p, 1, 8),
	};
}

static void faults(struct life *f, const struct rates *r)
{
	struct sim_world *w = &f->world;
	struct prng *p = &f->prng;
	uint8_t node = (uint8_t)prng_below(p, w->nodes);
	struct sim_node *n = &w->node[node];

	if (prng_chance(p, 1, r->partition)) {
		if (prng_chance(p, 1, 2)) {
			split(f);
		} else {
			for (uint8_t i = 0; i < w->nodes; i++)
				w->component[i] = (uint8_t)prng_below(p, 2);
			sim_rings_form(w);
		}
	}
	if (prng_chance(p, 1, r->heal)) {
		memset(w->component, 0, sizeof(w->component));
		sim_rings_form(w);
	}
	if (prng_chance(p, 1, r->crash))
		sim_machine_crash(w, node);
	if (prng_chance(p, 1, r->kill))
		sim_process_kill(w, node);
	if (prng_chance(p, 1, r->freeze) && n->process_up)
		n->is_frozen = true;
	if (n->is_frozen && prng_chance(p, 1, r->thaw))
		n->is_frozen = false;
	if (prng_chance(p, 1, r->cut))
		w->witness.cut = (uint16_t)(prng_next(p) & life_nodes(f));
	if (prng_chance(p, 1, r->mend))
		w->witness.cut = 0;
	if (!n->process_up && prng_chance(p, 1, n->machine_up ? r->restart : r->start))
		life_start(f, node);
}

static void progress(struct life *f, const struct rates *r)
{
	struct sim_world *w = &f->world;
	struct prng *p = &f->prng;
	struct sim_node *n = &w->node[prng_below(p, w->nodes)];

	for (int k = 0; k < 3; k++) {
		sim_deliver(w, (uint8_t)prng_below(p, w->nodes));
		sim_sequence(w, (uint8_t)prng_below(p, w->nodes));
	}
	if (prng_chance(p, 1, r->slow_disk))
		sim_disk_complete(w, (uint8_t)prng_below(p, w->nodes));
	if (prng_chance(p, 1, 4))
		sim_pull_run(w, (uint8_t)prng_below(p, w->nodes));
	if (prng_chance(p, 1, 6)) {
		w->now_ms += prng_range(p, 1, 8);
		life_tick(f);
	}
	if (prng_chance(p, 1, r->propose) && n->process_up && !n->is_frozen &&
	    n->next_request - n->acked_request < 16) {
		n->next_request++;
		sim_propose(w, (uint8_t)(n - w->node), CL_ENTRY_COMMAND, n->next_request,
			    (struct cl_blob){(const uint8_t *)"storm", 5});
	}
}

static void live_storm(struct life *f, uint64_t steps)
{
	struct sim_world *w = &f->world;
	struct rates rates;

	draw_rates(&f->prng, &rates);
	f->absent_ms =
		prng_chance(&f->prng, 1, 2) ? LIFE_ABSENT_LONG : prng_range(&f->prng, 100, 2000);
	life_demand_whole(f);
	if (prng_chance(&f->prng, 1, 2))
		w->witness.slow_pct = prng_range(&f->prng, 1, 40);
	w->witness.bad_pct = prng_range(&f->prng, 0, 10);
	for (uint64_t until = w->steps + steps; w->steps < until && !w->failure; w->steps++) {
		faults(f, &rates);
		progress(f, &rates);
		sim_check(w);
	}
	life_heal(f);
	life_turns(f, 12 * LIFE_D_MS); /* what is on its way to the witness, as slow as it was */
	life_demand_whole(f);
}

/* ---- seeds */

struct mutants {
	enum repl_mutant repl;
	enum witness_mutant witness;
	enum votes_mutant votes;
};

static const char *mutant_name(struct mutants m)
{
	if (m.repl)
		return repl_mutant_name(m.repl);
	return m.witness ? witness_mutant_name(m.witness) : votes_mutant_name(m.votes);
}

static const char *const kind_name[] = {"disk", "share", "disk-only"};

static enum life_kind kind_of(uint64_t seed)
{
	static const enum life_kind of[] = {LIFE_DISK, LIFE_SHARE, LIFE_DISK, LIFE_SHARE,
					    LIFE_SOLE};

	return of[seed / 2 % 5]; /* not by the bits that choose the life */
}

static bool run_seed(uint64_t seed, uint64_t steps, struct mutants m, bool trace, struct totals *t)
{
	struct life *f = calloc(1, sizeof(*f));
	bool is_mutant = m.repl || m.witness || m.votes, ok;
	struct sim_world *w;
	uint64_t kind;

	must(f);
	w = &f->world;
	prng_init(&f->prng, seed ^ UINT64_C(0x3173));
	f->mutant = m.votes;
	f->is_dynamic = true;
	f->witness_ms = 1000;
	kind = prng_below(&f->prng, 4);
	f->kind = kind_of(seed);
	if (f->kind == LIFE_SHARE && seed % 9 == 0)
		kind = 7;
	else if (f->kind == LIFE_SHARE && seed % 3 == 0)
		kind = 4 + seed % 2;
	else if (seed % 7 == 0)
		kind = 6;
	sim_world_init(w, seed,
		       (uint8_t)(kind == 0   ? 2
				 : kind == 4 ? 2
				 : kind >= 5 ? 4
				 : kind == 1 ? 2 * prng_range(&f->prng, 1, 3)
					     : prng_range(&f->prng, 2, 6)),
		       m.repl, trace);
	w->witness_mutant = m.witness;
	w->witness.is_share = f->kind == LIFE_SHARE;
	sim_witness_init(w, LIFE_D_MS);
	life_create(f);
	if (kind == 0)
		live_three(f);
	else if (kind == 1)
		live_halves(f);
	else if (kind == 4)
		life_blank(f);
	else if (kind == 5)
		life_hand(f);
	else if (kind == 6)
		life_force(f);
	else if (kind == 7)
		life_late(f);
	else
		live_storm(f, steps);
	ok = !w->failure;
	if (!ok && !is_mutant)
		printf("seed %" PRIu64 " (%u nodes, %s): %s\n  replay: sim_witness --first %" PRIu64
		       " --seeds 1 --steps %" PRIu64 " --trace\n",
		       seed, w->nodes, kind_name[f->kind], w->failure, seed, steps);
	else if (!ok)
		printf("mutant %s found by seed %" PRIu64 ": %s\n", mutant_name(m), seed,
		       w->failure);
	t->changes += f->changes;
	t->served += f->served;
	t->commits += w->commits;
	t->views += w->views;
	t->crashes += w->crashes;
	sim_world_done(w);
	free(f);
	return ok;
}

struct options {
	uint64_t seeds, first, steps;
	const char *mutant;
	bool trace;
};

static int usage(void)
{
	fprintf(stderr, "usage: sim_witness [--seeds N] [--first SEED] [--steps N] "
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

	*o = (struct options){.seeds = 200, .first = 1, .steps = 12000};
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

static void look_for(const struct options *o, struct mutants m, int *passed, int *failed)
{
	struct totals t = {0};

	if (strcmp(o->mutant, "all") && strcmp(o->mutant, mutant_name(m)))
		return;
	for (uint64_t i = 0; i < o->seeds; i++) {
		if (!run_seed(o->first + i, o->steps, m, o->trace, &t)) {
			++*passed;
			return;
		}
	}
	printf("mutant %s NOT found in %" PRIu64 " seeds\n", mutant_name(m), o->seeds);
	++*failed;
}

static int run_mutants(const struct options *o)
{
	static const enum repl_mutant forced[] = {
		REPL_MUTANT_COMPARE_INDEX, REPL_MUTANT_MERGE_SUFFIX, REPL_MUTANT_SAME_GENERATION};
	int passed = 0, failed = 0;

	for (size_t i = 0; i < sizeof(forced) / sizeof(forced[0]); i++)
		look_for(o, (struct mutants){.repl = forced[i]}, &passed, &failed);
	for (int m = REPL_MUTANT_WITNESS_FIRST; m < REPL_MUTANT_MAX; m++)
		look_for(o, (struct mutants){.repl = (enum repl_mutant)m}, &passed, &failed);
	for (int m = WITNESS_MUTANT_NONE + 1; m < WITNESS_MUTANT_MAX; m++)
		look_for(o, (struct mutants){.witness = (enum witness_mutant)m}, &passed, &failed);
	look_for(o, (struct mutants){.votes = VOTES_MUTANT_DEAD_WITNESS}, &passed, &failed);
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
		if (run_seed(o.first + i, o.steps, (struct mutants){0}, o.trace, &t))
			passed++;
		else
			failed++;
	}
	printf("views %" PRIu64 " commits %" PRIu64 " votes changed %" PRIu64
	       " sets that served %" PRIu64 " crashes %" PRIu64 "\n",
	       t.views, t.commits, t.changes, t.served, t.crashes);
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}
