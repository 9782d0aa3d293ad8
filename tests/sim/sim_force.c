/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_force: administrators who force quorum, rightly and wrongly, in one half and in both.
 *
 *   sim_force [--seeds N] [--first SEED] [--steps N] [--mutant NAME|all] [--trace]
 *
 * The world is that of sim_repl. In views without quorum somebody forces it now and then, and calls
 * down whoever is not there; that is checked by nobody, and often they run, and act, in a ring of
 * their own. Each force begins a line of history. Safety holds within each line; of two lines the
 * later force wins wherever they meet, and who acts beside it had been called down. At the end all
 * is healed: every node is open, in one line, and has applied what was committed in it.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/force.h"
#include "lib/must.h"
#include "tests/sim/sim_world.h"

#define PEACE_TURNS 300
#define HEAL_TURNS  500
#define FORCES_MAX  (SIM_LINES_MAX / 2)

struct rates { /* once in so many steps */
	uint64_t partition, heal, crash, start, kill, restart, propose, force, slow_disk;
};

struct totals {
	uint64_t steps, commits, forces, lines, saved, pulls;
};

static bool once_in(struct sim_world *w, uint64_t n)
{
	return prng_chance(&w->prng, 1, n);
}

static uint8_t any_node(struct sim_world *w)
{
	return (uint8_t)prng_below(&w->prng, w->nodes);
}

static void draw_rates(struct prng *p, struct rates *r)
{
	*r = (struct rates){
		.partition = prng_range(p, 300, 1500),
		.heal = prng_range(p, 600, 3000),
		.crash = prng_range(p, 500, 4000),
		.start = prng_range(p, 300, 2500),
		.kill = prng_range(p, 800, 6000),
		.restart = prng_range(p, 50, 1000),
		.propose = prng_range(p, 5, 40),
		.force = prng_range(p, 20, 400),
		.slow_disk = prng_range(p, 1, 8),
	};
}

static void request(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	char text[32];
	int len;

	if (!n->process_up || n->next_request - n->acked_request > 16)
		return;
	n->next_request++;
	len = snprintf(text, sizeof(text), "req %" PRIu64, n->next_request);
	sim_propose(w, node, CL_ENTRY_COMMAND, n->next_request,
		    (struct cl_blob){(const uint8_t *)text, (size_t)len});
}

/* In halves mostly: each has to be able to hold the half of the votes. */
static void partition(struct sim_world *w)
{
	uint8_t cut = (uint8_t)prng_range(&w->prng, 1, w->nodes - 1u);

	for (uint8_t i = 0; i < w->nodes; i++)
		w->component[i] = i >= cut;
	if (prng_chance(&w->prng, 1, 4))
		w->component[any_node(w)] = (uint8_t)prng_below(&w->prng, w->nodes);
	sim_rings_form(w);
}

static void heal_network(struct sim_world *w)
{
	memset(w->component, 0, sizeof(w->component));
	sim_rings_form(w);
}

static void faults(struct sim_world *w, const struct rates *r)
{
	uint8_t node = any_node(w);
	struct sim_node *n = &w->node[node];

	if (once_in(w, r->partition))
		partition(w);
	if (once_in(w, r->heal))
		heal_network(w);
	if (once_in(w, r->crash))
		sim_machine_crash(w, node);
	if (once_in(w, r->kill))
		sim_process_kill(w, node);
	if (!n->machine_up && once_in(w, r->start))
		sim_machine_start(w, node);
	if (n->machine_up && !n->process_up && once_in(w, r->restart))
		sim_process_start(w, node);
}

/* All who are absent, or by mistake one fewer, or one too many. */
static void force(struct sim_world *w)
{
	uint8_t node = any_node(w);
	const struct sim_node *n = &w->node[node];
	const struct repl_state *s = &n->repl;
	uint16_t absent, wrong = cl_bit(any_node(w));
	bool is_wrong = prng_chance(&w->prng, 1, 3);
	int r;

	if (!n->process_up || s->phase != REPL_INQUORATE || w->forces >= FORCES_MAX)
		return;
	absent = (uint16_t)(quorum_members(&s->vtable) & ~s->present);
	r = sim_force(w, node, is_wrong ? absent ^ wrong : absent);
	if (is_wrong && !r && w->mutant == REPL_MUTANT_NONE)
		sim_fail(w, node, "a force was taken that names others than the absent");
	for (uint8_t i = 0; i < s->peer_count; i++) { /* a silent one is there, and absent */
		if (s->peer[i].slot == CL_NODE_NONE)
			return;
	}
	if (!is_wrong && r)
		sim_fail(w, node, "a force that names all who are absent was refused");
}

static void progress(struct sim_world *w, const struct rates *r)
{
	if (prng_chance(&w->prng, 2, 3))
		sim_deliver(w, any_node(w));
	if (prng_chance(&w->prng, 1, 2))
		sim_sequence(w, any_node(w));
	if (once_in(w, r->slow_disk))
		sim_disk_complete(w, any_node(w));
	if (prng_chance(&w->prng, 1, 8))
		sim_pull_run(w, any_node(w));
	if (prng_chance(&w->prng, 1, 10)) {
		w->now_ms += prng_range(&w->prng, 1, 8);
		for (uint8_t i = 0; i < w->nodes; i++)
			sim_tick(w, i);
	}
}

static void turn(struct sim_world *w)
{
	bool more = true;

	while (more && !w->failure) {
		more = false;
		for (uint8_t i = 0; i < w->nodes; i++) {
			more |= sim_deliver(w, i);
			more |= sim_sequence(w, i);
			more |= sim_disk_complete(w, i);
			more |= sim_pull_run(w, i);
		}
		w->steps++;
	}
	w->now_ms += 10;
	for (uint8_t i = 0; i < w->nodes; i++)
		sim_tick(w, i);
	sim_check(w);
}

static void give_votes(struct sim_world *w)
{
	for (uint8_t i = 0; i < w->nodes; i++) {
		struct sim_node *n = &w->node[i];

		for (uint8_t slot = 0; slot < w->nodes && repl_is_sequencer(&n->repl); slot++) {
			struct cl_member row = n->repl.vtable.member[slot];
			uint8_t payload[CL_ROW_MAX];
			size_t len;

			if (row.vote)
				continue;
			row.vote = 1;
			must(!cl_row_encode(slot, &row, payload, sizeof(payload), &len));
			sim_propose(w, i, CL_ENTRY_TABLE, 0, (struct cl_blob){payload, len});
		}
	}
}

static void birth(struct sim_world *w)
{
	struct cl_table table = {.changed_at = 1};

	for (uint8_t i = 0; i < w->nodes; i++) {
		table.member[i].nodeid = i + 1u;
		table.member[i].vote = i == 0;
		snprintf(table.member[i].name, sizeof(table.member[i].name), "n%u", i);
	}
	turn(w);
	if (sim_create(w, 0, &table))
		sim_fail(w, 0, "creating the cluster was refused");
	for (int t = 0; t < PEACE_TURNS && !w->failure; t++) {
		turn(w);
		give_votes(w);
	}
	for (uint8_t i = 0; i < w->nodes && !w->failure; i++) {
		if (__builtin_popcount(quorum_voters(&w->node[i].repl.vtable)) != w->nodes)
			sim_fail(w, i, "born in peace, but not every node has a vote");
	}
}

static bool is_one_line(struct sim_world *w)
{
	const struct sim_line *line = sim_line_of(w, 0);

	for (uint8_t i = 0; i < w->nodes; i++) {
		if (!repl_may_act(&w->node[i].repl, sim_local_ms(w, i)) ||
		    sim_line_of(w, i) != line || w->node[i].applied != line->count)
			return false;
	}
	return true;
}

static void demand_progress(struct sim_world *w)
{
	bool is_whole = false;

	for (uint8_t i = 0; i < w->nodes; i++) {
		sim_machine_start(w, i);
		sim_process_start(w, i);
	}
	heal_network(w);
	for (int t = 0; t < HEAL_TURNS && !is_whole && !w->failure; t++) {
		turn(w);
		is_whole = t > 60 && is_one_line(w); /* longer than a lease */
	}
	if (!is_whole)
		sim_fail(w, 0, "healed, but not every node acts in one line after 5 s");
	for (uint8_t i = 0; i < w->nodes && !w->failure; i++)
		request(w, i);
	turn(w);
	for (uint8_t i = 0; i < w->nodes && !w->failure; i++) {
		if (w->node[i].acked_request != w->node[i].next_request)
			sim_fail(w, i, "healed, but a request is not acknowledged");
	}
}

static bool run_seed(uint64_t seed, uint64_t steps, enum repl_mutant mutant, bool trace,
		     struct totals *t)
{
	struct prng p;
	struct rates rates;
	struct sim_world *w = calloc(1, sizeof(*w));
	bool ok;

	must(w);
	prng_init(&p, seed ^ UINT64_C(0xf0ce));
	draw_rates(&p, &rates);
	sim_world_init(w, seed, (uint8_t)prng_range(&p, 2, 7), mutant, trace);
	birth(w);
	for (uint64_t end = w->steps + steps; w->steps < end && !w->failure; w->steps++) {
		faults(w, &rates);
		progress(w, &rates);
		if (once_in(w, rates.propose))
			request(w, any_node(w));
		if (once_in(w, rates.force))
			force(w);
		sim_check(w);
	}
	if (!w->failure)
		demand_progress(w);
	ok = !w->failure;
	if (!ok && mutant == REPL_MUTANT_NONE)
		printf("seed %" PRIu64 " (%u nodes): %s\n  replay: sim_force --first %" PRIu64
		       " --seeds 1 --steps %" PRIu64 " --trace\n",
		       seed, w->nodes, w->failure, seed, steps);
	else if (!ok)
		printf("mutant %s found by seed %" PRIu64 ": %s\n", repl_mutant_name(mutant), seed,
		       w->failure);
	t->steps += w->steps;
	t->commits += w->commits;
	t->forces += w->forces;
	t->lines += w->lines - 1u;
	t->saved += w->saved;
	t->pulls += w->pulls;
	sim_world_done(w);
	free(w);
	return ok;
}

struct options {
	uint64_t seeds, first, steps;
	const char *mutant;
	bool trace;
};

static int usage(void)
{
	fprintf(stderr, "usage: sim_force [--seeds N] [--first SEED] [--steps N] "
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

	*o = (struct options){.seeds = 200, .first = 1, .steps = 6000};
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

static bool find_mutant(const struct options *o, enum repl_mutant mutant)
{
	struct totals t = {0};

	for (uint64_t i = 0; i < o->seeds; i++) {
		if (!run_seed(o->first + i, o->steps, mutant, o->trace, &t))
			return true;
	}
	printf("mutant %s NOT found in %" PRIu64 " seeds\n", repl_mutant_name(mutant), o->seeds);
	return false;
}

int main(int argc, char **argv)
{
	struct options o;
	struct totals t = {0};
	int passed = 0, failed = 0;
	bool known = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!parse(argc, argv, &o))
		return usage();
	for (int m = REPL_MUTANT_FORCE_FIRST; o.mutant && m < REPL_MUTANT_WITNESS_FIRST; m++) {
		if (strcmp(o.mutant, "all") && strcmp(o.mutant, repl_mutant_name(m)))
			continue;
		known = true;
		if (find_mutant(&o, (enum repl_mutant)m))
			passed++;
		else
			failed++;
	}
	if (o.mutant && !known)
		return usage();
	for (uint64_t i = 0; !o.mutant && i < o.seeds; i++) {
		if (run_seed(o.first + i, o.steps, REPL_MUTANT_NONE, o.trace, &t))
			passed++;
		else
			failed++;
	}
	if (!o.mutant)
		printf("steps %" PRIu64 " commits %" PRIu64 " forces %" PRIu64 " lines %" PRIu64
		       " pulls %" PRIu64 " entries kept aside %" PRIu64 "\n",
		       t.steps, t.commits, t.forces, t.lines, t.pulls, t.saved);
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}
