/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_repl: random lives of a cluster against the replication core.
 *
 *   sim_repl [--seeds N] [--first SEED] [--steps N] [--mutant NAME|all] [--trace]
 *
 * Each seed draws its own number of nodes and its own rates of faults. Safety is checked at every
 * step; then everything is healed and progress is demanded. A failing seed is printed and replays
 * byte for byte with `--first SEED --seeds 1 --trace`. With --mutant the planted bug must be found
 * within the seeds given.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_world.h"

struct rates { /* once in so many steps */
	uint64_t partition, heal, crash, start, kill, restart, freeze, thaw, wipe, propose, vote;
	uint64_t restore, stall, unstall, wrong;
	uint64_t slow_disk; /* completions are tried once in so many disk turns */
};

struct totals {
	uint64_t steps, commits, opens, views, pulls, holes, crashes;
};

static void draw_rates(struct prng *p, struct rates *r)
{
	*r = (struct rates){
		.partition = prng_range(p, 300, 3000),
		.heal = prng_range(p, 300, 2000),
		.crash = prng_range(p, 500, 5000),
		.start = prng_range(p, 200, 2000),
		.kill = prng_range(p, 500, 6000),
		.restart = prng_range(p, 50, 1000),
		.freeze = prng_range(p, 1000, 8000),
		.thaw = prng_range(p, 200, 1500),
		.wipe = prng_range(p, 1500, 9000),
		.propose = prng_range(p, 5, 60),
		.vote = prng_range(p, 50, 800),
		.slow_disk = prng_range(p, 1, 12),
		.restore = prng_range(p, 1500, 9000),
		.stall = prng_range(p, 1000, 12000),
		.unstall = prng_range(p, 200, 2500),
		.wrong = prng_range(p, 1000, 9000),
	};
}

static bool once_in(struct sim_world *w, uint64_t n)
{
	return prng_chance(&w->prng, 1, n);
}

static uint8_t any_node(struct sim_world *w)
{
	return (uint8_t)prng_below(&w->prng, w->nodes);
}

static void request(struct sim_world *w, uint8_t node);

/*
 * The moment in which counting old acknowledgements does harm: the sequencer and one companion
 * persist a long tail that nobody else hears of, and are cut off.
 */
static void cut_off_sequencer(struct sim_world *w)
{
	uint8_t with = any_node(w), seq = CL_NODE_NONE;

	for (uint8_t i = 0; i < w->nodes; i++) {
		if (w->node[i].process_up && !w->node[i].is_frozen &&
		    repl_is_sequencer(&w->node[i].repl))
			seq = i;
	}
	if (seq == CL_NODE_NONE)
		return;
	for (int i = 0; i < 8; i++)
		request(w, seq);
	for (int i = 0; i < 60; i++) {
		sim_sequence(w, seq);
		sim_deliver(w, seq);
		sim_deliver(w, with);
		sim_disk_complete(w, seq);
		sim_disk_complete(w, with);
		sim_sequence(w, with);
	}
	for (uint8_t i = 0; i < w->nodes; i++)
		w->component[i] = i == seq || i == with;
	sim_rings_form(w);
}

static void partition(struct sim_world *w)
{
	/* Mostly two sides; sometimes three. */
	uint64_t sides = prng_chance(&w->prng, 1, 5) ? 3 : 2;

	for (uint8_t i = 0; i < w->nodes; i++)
		w->component[i] =
			(uint8_t)prng_below(&w->prng, sides < w->nodes ? sides : w->nodes);
	sim_rings_form(w);
}

static void heal_network(struct sim_world *w)
{
	memset(w->component, 0, sizeof(w->component));
	sim_rings_form(w);
}

/*
 * The moment in which an empty disk that votes does harm: of those that hold the newest entries
 * one loses its disk and comes back at once, another one fails.
 */
static void lose_newest_disk(struct sim_world *w)
{
	uint8_t newest = 0, other = 0;

	for (uint8_t i = 0; i < w->nodes; i++) {
		if (w->node[i].disk.log.count > w->node[newest].disk.log.count)
			newest = i;
	}
	for (uint8_t i = 0; i < w->nodes; i++) {
		if (i != newest &&
		    (other == newest || w->node[i].disk.log.count > w->node[other].disk.log.count))
			other = i;
	}
	sim_machine_crash(w, newest);
	if (!sim_may_wipe(w, newest))
		return;
	sim_disk_wipe(w, newest);
	sim_machine_crash(w, other);
	sim_machine_start(w, newest);
}

/* The same with an older copy of the database in its place. */
static void restore_newest_disk(struct sim_world *w)
{
	uint8_t newest = 0;

	for (uint8_t i = 0; i < w->nodes; i++) {
		if (w->node[i].disk.log.count > w->node[newest].disk.log.count)
			newest = i;
	}
	sim_machine_crash(w, newest);
	if (!sim_disk_restore(w, newest))
		return;
	sim_machine_crash(w, any_node(w));
	sim_machine_start(w, newest);
}

static void faults(struct sim_world *w, const struct rates *r)
{
	uint8_t node = any_node(w);
	struct sim_node *n = &w->node[node];

	if (once_in(w, r->partition))
		partition(w);
	if (once_in(w, r->partition * 2))
		cut_off_sequencer(w);
	if (once_in(w, r->heal))
		heal_network(w);
	if (once_in(w, r->crash))
		sim_machine_crash(w, node);
	if (once_in(w, r->kill))
		sim_process_kill(w, node);
	if (once_in(w, r->freeze) && n->process_up)
		n->is_frozen = true;
	if (n->is_frozen && once_in(w, r->thaw))
		n->is_frozen = false;
	if (once_in(w, r->wipe) && sim_may_wipe(w, node))
		sim_disk_wipe(w, node);
	if (once_in(w, r->wipe))
		lose_newest_disk(w);
	if (once_in(w, r->restore))
		sim_disk_restore(w, node);
	if (once_in(w, r->restore))
		restore_newest_disk(w);
	if (once_in(w, r->wrong))
		sim_state_is_wrong(w, node);
	if (once_in(w, r->stall))
		n->is_stalled = true;
	if (n->is_stalled && once_in(w, r->unstall))
		n->is_stalled = false;
	if (!n->machine_up && once_in(w, r->start))
		sim_machine_start(w, node);
	if (n->machine_up && !n->process_up && once_in(w, r->restart))
		sim_process_start(w, node);
}

/* The sequencer gives or takes one vote; never below three where three nodes are there. */
static void change_vote(struct sim_world *w)
{
	for (uint8_t i = 0; i < w->nodes; i++) {
		struct sim_node *n = &w->node[i];
		uint8_t slot = any_node(w), payload[CL_ROW_MAX];
		struct cl_member row;
		size_t len;
		int r;

		if (!n->process_up || n->is_frozen || !repl_is_sequencer(&n->repl))
			continue;
		row = n->repl.vtable.member[slot];
		if (row.vote &&
		    __builtin_popcount(quorum_voters(&n->repl.vtable)) <= (w->nodes < 4 ? 1 : 3))
			continue;
		row.vote = !row.vote;
		must(!cl_row_encode(slot, &row, payload, sizeof(payload), &len));
		r = sim_propose(w, i, CL_ENTRY_TABLE, 0, (struct cl_blob){payload, len});
		if (r && r != -EBUSY && r != -EINVAL && r != -EAGAIN)
			sim_fail(w, i, "a vote change was refused for a wrong reason");
	}
}

/* The sequencer gives the next vote that may be given. */
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

static void request(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	char text[32];
	int len;

	if (!n->process_up || n->is_frozen || n->next_request - n->acked_request > 16)
		return;
	n->next_request++;
	len = snprintf(text, sizeof(text), "req %" PRIu64, n->next_request);
	sim_propose(w, node, CL_ENTRY_COMMAND, n->next_request,
		    (struct cl_blob){(const uint8_t *)text, (size_t)len});
}

static void progress(struct sim_world *w, const struct rates *r)
{
	uint8_t node = any_node(w);

	if (prng_chance(&w->prng, 2, 3))
		sim_deliver(w, node);
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

static void create(struct sim_world *w)
{
	struct cl_table table = {.changed_at = 1};

	for (uint8_t i = 0; i < w->nodes; i++) {
		table.member[i].nodeid = i + 1u;
		table.member[i].vote = i == 0;
		snprintf(table.member[i].name, sizeof(table.member[i].name), "n%u", i);
	}
	if (sim_create(w, 0, &table))
		sim_fail(w, 0, "creating the cluster was refused");
}

static void run_all_queues(struct sim_world *w)
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
}

static void turn(struct sim_world *w)
{
	run_all_queues(w);
	w->now_ms += 10;
	for (uint8_t i = 0; i < w->nodes; i++)
		sim_tick(w, i);
	sim_check(w);
}

/* In one view, blank nodes become voters, and a majority of them keeps the lease alive. */
static void birth(struct sim_world *w)
{
	uint64_t lease_turns = 2 * w->config.lease_ms / 10;

	for (uint64_t t = 0; t < 400 + lease_turns && !w->failure; t++) {
		turn(w);
		if (t < 400)
			give_votes(w);
	}
	for (uint8_t i = 0; i < w->nodes && !w->failure; i++) {
		const struct repl_state *s = &w->node[i].repl;

		if (!repl_may_act(s, w->now_ms + w->node[i].skew_ms))
			sim_fail(w, i, "born in peace, but its lease ran out");
		if (__builtin_popcount(quorum_voters(&s->vtable)) != w->nodes)
			sim_fail(w, i, "born in peace, but not every node has a vote");
	}
}

/* Everything healed: within a bounded time all are open, agree, and take a request. */
static void demand_progress(struct sim_world *w)
{
	bool all_open = false;

	for (uint8_t i = 0; i < w->nodes; i++) {
		w->node[i].is_frozen = w->node[i].is_stalled = false;
		sim_machine_start(w, i);
		sim_process_start(w, i);
	}
	heal_network(w);
	for (int t = 0; t < 400 && !all_open && !w->failure; t++) {
		turn(w);
		all_open = true;
		for (uint8_t i = 0; i < w->nodes; i++)
			all_open &=
				repl_may_act(&w->node[i].repl, w->now_ms + w->node[i].skew_ms) &&
				t > 60; /* longer than a lease: it has been renewed */
	}
	if (!all_open) {
		sim_fail(w, 0, "healed, but not every node may act after 4 s");
		return;
	}
	for (uint8_t i = 0; i < w->nodes; i++)
		request(w, i);
	run_all_queues(w);
	for (uint8_t i = 0; i < w->nodes && !w->failure; i++) {
		struct sim_node *n = &w->node[i];

		if (n->applied != w->line[0].count)
			sim_fail(w, i, "healed, but has not applied all that is committed");
		if (n->acked_request != n->next_request)
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
	prng_init(&p, seed ^ UINT64_C(0x5151));
	draw_rates(&p, &rates);
	sim_world_init(
		w, seed,
		(uint8_t)(prng_chance(&p, 1, 20) ? prng_range(&p, 8, 16) : prng_range(&p, 2, 7)),
		mutant, trace);
	run_all_queues(w);
	create(w);
	while (sim_disk_complete(w, 0)) /* creating has answered when the first entry is durable */
		continue;
	if (prng_chance(&p, 1, 4))
		birth(w);
	for (; w->steps < steps && !w->failure; w->steps++) {
		faults(w, &rates);
		progress(w, &rates);
		if (once_in(w, rates.propose))
			request(w, any_node(w));
		for (uint64_t n = once_in(w, rates.vote) ? prng_range(&w->prng, 1, 3) : 0; n; n--)
			change_vote(w);
		sim_check(w);
	}
	if (!w->failure)
		demand_progress(w);
	ok = !w->failure;
	if (!ok && mutant == REPL_MUTANT_NONE)
		printf("seed %" PRIu64 " (%u nodes): %s\n  replay: sim_repl --first %" PRIu64
		       " --seeds 1 --steps %" PRIu64 " --trace\n",
		       seed, w->nodes, w->failure, seed, steps);
	else if (!ok)
		printf("mutant %s found by seed %" PRIu64 ": %s\n", repl_mutant_name(mutant), seed,
		       w->failure);
	t->steps += w->steps;
	t->commits += w->commits;
	t->opens += w->opens;
	t->views += w->views;
	t->pulls += w->pulls;
	t->holes += w->holes;
	t->crashes += w->crashes;
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
	fprintf(stderr, "usage: sim_repl [--seeds N] [--first SEED] [--steps N] "
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

static void run_mutant(const struct options *o, enum repl_mutant mutant, int *passed, int *failed)
{
	struct totals t = {0};

	for (uint64_t i = 0; i < o->seeds; i++) {
		if (!run_seed(o->first + i, o->steps, mutant, o->trace, &t)) {
			++*passed;
			return;
		}
	}
	printf("mutant %s NOT found in %" PRIu64 " seeds\n", repl_mutant_name(mutant), o->seeds);
	++*failed;
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
	for (int m = 1; o.mutant && m < REPL_MUTANT_VOTES_FIRST; m++) {
		if (strcmp(o.mutant, "all") && strcmp(o.mutant, repl_mutant_name(m)))
			continue;
		known = true;
		run_mutant(&o, (enum repl_mutant)m, &passed, &failed);
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
		printf("steps %" PRIu64 " views %" PRIu64 " epochs opened %" PRIu64
		       " commits %" PRIu64 " pulls %" PRIu64 " gaps in delivery %" PRIu64
		       " crashes %" PRIu64 "\n",
		       t.steps, t.views, t.opens, t.commits, t.pulls, t.holes, t.crashes);
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}
