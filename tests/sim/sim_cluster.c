/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_cluster: random lives of a whole cluster: membership, quorum, replication, the replicated
 * database with its locks, the sequencer's duties with the planner, executors and fencing together.
 *
 *   sim_cluster [--seeds N] [--first SEED] [--turns N] [--mutant NAME|all] [--trace]
 *
 * Each seed draws its own number of nodes and its own rates of faults. After each turn the oracle
 * looks at everything (sim_cluster_check.c); at the end the faults stop, and everything that is
 * wanted has to run. A failing seed is printed and replays with `--first SEED --seeds 1 --trace`.
 * With --mutant the planted bug must be found within the seeds given.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_cluster.h"

#define TURNS	    400
#define HEAL_TURNS  3000
#define BIRTH_TURNS 60

/* What the parts alone cannot show, or what the whole has to show, too. */
static const struct mutant mutants[] = {
	{"acts-before-commit", "C3", .repl = REPL_MUTANT_ACT_BEFORE_COMMIT},
	{"acknowledges-before-fsync", "C3", .repl = REPL_MUTANT_ACK_BEFORE_FSYNC},
	{"numbers-entries-by-delivery", "C3", .repl = REPL_MUTANT_ANYONE_SEQUENCES},
	{"lost-node-releases-group", "C4", .db = DB_MUTANT_VM_LOST_RELEASES},
	{"lost-node-releases-coordinator", "C2", .db = DB_MUTANT_LOST_RELEASES},
	{"admits-a-fenced-incarnation", "C5", .db = DB_MUTANT_ADMITS_FENCED},
	{"fenced-before-it-is-proven", "C4", .db = DB_MUTANT_FENCE_BEGIN_FREES},
	{"carries-out-what-comes-again", "C3", .db = DB_MUTANT_REPEATS},
	{"fences-any-number", "C7", .db = DB_MUTANT_FENCE_STORM},
	{"transfers-to-a-lost-node", "C5", .db = DB_MUTANT_VM_TRANSFER_LOST},
	{"starts-on-quarantined-nodes", "C8", .db = DB_MUTANT_PLAN_QUARANTINED},
	{"quarantines-whoever-is-left", "C8", .db = DB_MUTANT_QUARANTINES_ALL},
	{"quarantined-node-keeps-its-vote", "healed", .db = DB_MUTANT_QUARANTINED_VOTES},
	{"applies-by-its-own-clock", "C6", .db = DB_MUTANT_LOCAL_CLOCK},
	{"lost-without-grace", "C7", .duty = DUTY_MUTANT_NO_GRACE},
	{"grace-of-an-earlier-epoch", "C7", .duty = DUTY_MUTANT_STALE_GRACE},
	{"decides-from-what-is-not-applied", "C6", .duty = DUTY_MUTANT_IMPATIENT},
	{"agent-success-is-enough", "C5", .ladder = LADDER_MUTANT_NO_LOOK},
	{"unknown-power-is-off", "C5", .ladder = LADDER_MUTANT_UNKNOWN_IS_OFF},
	{"acts-without-lease", "C1", .cluster = CLUSTER_MUTANT_ACTS_WITHOUT_LEASE},
	{"runs-on-without-lease", "C1", .cluster = CLUSTER_MUTANT_RUNS_ON},
	{"takes-orders-of-an-earlier-boot", "C4", .cluster = CLUSTER_MUTANT_ANY_INCARNATION},
	{"fences-on-a-past-quorum", "C1", .cluster = CLUSTER_MUTANT_STALE_QUORUM},
	{"fences-a-later-boot", "C7", .cluster = CLUSTER_MUTANT_BLIND_TO_BOOT},
	{"believes-the-fence-device", "C5", .cluster = CLUSTER_MUTANT_BELIEVES_DEVICE},
};

static const struct mutant no_mutant = {.name = "none"};

struct totals {
	uint64_t most_fences, ms, views, opens, commits, pulls, crashes, orders, fences, migrations,
		ops, acks, quarantines;
};

static void draw_rates(struct prng *p, struct cluster *c)
{
	c->rates = (struct rates){
		.partition = prng_range(p, 100, 600),
		.outage = prng_range(p, 200, 2500),
		.rotate = prng_range(p, 150, 2000),
		.heal = prng_range(p, 40, 250),
		.crash = prng_range(p, 100, 1000),
		.start = prng_range(p, 20, 200),
		.kill = prng_range(p, 100, 800),
		.restart = prng_range(p, 5, 60),
		.freeze = prng_range(p, 150, 1200),
		.thaw = prng_range(p, 10, 120),
		.stop = prng_range(p, 200, 2000),
		.wipe = prng_range(p, 20, 400),
		.op = prng_range(p, 2, 25),
		.lag = prng_chance(p, 1, 2) ? prng_below(p, 60) : 0,
		.slow_disk = prng_range(p, 1, 3),
		.dead_device = prng_below(p, 60),
		.lie = prng_below(p, 30),
		.fail = prng_below(p, 30),
		.hang = prng_below(p, 20),
	};
	c->rate_fail = prng_below(p, 15);
	c->rate_stuck = prng_below(p, 15);
	c->rate_crash = prng_below(p, 4);
}

/* ---- one seed */

static void create(struct cluster *c)
{
	struct cl_table table = {.changed_at = 1};

	for (uint8_t i = 0; i < c->w.nodes; i++) {
		table.member[i].nodeid = i + 1u;
		table.member[i].vote = i == 0;
		snprintf(table.member[i].name, sizeof(table.member[i].name), "n%u", i);
	}
	for (int t = 0; t < 10; t++)
		life_turn(c);
	if (sim_create(&c->w, 0, &table))
		sim_fail(&c->w, 0, "creating the cluster was refused");
	client_begin(c);
}

static void live(struct cluster *c, uint64_t turns)
{
	for (int t = 0; t < BIRTH_TURNS && !c->w.failure; t++)
		life_turn(c);
	for (uint64_t t = 0; t < turns && !c->w.failure; t++) {
		life_faults(c);
		life_turn(c);
	}
	if (c->w.failure)
		return;
	life_heal(c);
	for (uint64_t t = 0; t < HEAL_TURNS && !c->w.failure; t++) {
		life_turn(c);
		if (life_is_settled(c))
			return;
	}
	life_show(c);
	if (!c->w.failure)
		sim_fail(&c->w, 0, "healed, and not everything that is wanted runs");
}

/* What was acknowledged is in the history in which everything ended. */
static void check_acks(struct cluster *c)
{
	for (uint64_t i = 0; i < c->ops && !c->w.failure; i++) {
		if (c->op[i].is_acked && !c->op[i].applied)
			sim_fail(&c->w, 0, "C3: an acknowledged command is in no history");
	}
}

static void add_totals(struct totals *t, const struct cluster *c)
{
	t->most_fences = c->most_fences > t->most_fences ? c->most_fences : t->most_fences;
	t->ms += c->w.now_ms;
	t->views += c->w.views;
	t->opens += c->w.opens;
	t->commits += c->w.commits;
	t->pulls += c->w.pulls;
	t->crashes += c->w.crashes;
	t->orders += c->orders;
	t->fences += c->fences;
	t->migrations += c->migrations;
	t->ops += c->ops;
	t->acks += c->acks;
	t->quarantines += c->quarantines;
}

static bool run_seed(uint64_t seed, uint64_t turns, const struct mutant *mutant, bool trace,
		     struct totals *t)
{
	struct cluster *c = calloc(1, sizeof(*c));
	struct prng p;
	bool ok;

	must(c);
	prng_init(&p, seed ^ UINT64_C(0xc1c1));
	draw_rates(&p, c);
	c->mutant = mutant;
	sim_world_init(
		&c->w, seed,
		(uint8_t)(prng_chance(&p, 1, 25) ? prng_range(&p, 7, 16) : prng_range(&p, 2, 5)),
		mutant->repl, trace);
	node_hooks(c);
	create(c);
	live(c, turns);
	check_acks(c);
	ok = !c->w.failure;
	/* What the plant brings about in the end may hide what it does: another seed may tell. */
	if (!ok && mutant->sign && !strstr(c->w.failure, mutant->sign))
		ok = true;
	if (!ok && mutant == &no_mutant)
		printf("seed %" PRIu64 " (%u nodes): %s\n  replay: sim_cluster --first %" PRIu64
		       " --seeds 1 --turns %" PRIu64 " --trace\n",
		       seed, c->w.nodes, c->w.failure, seed, turns);
	else if (!ok)
		printf("mutant %s found by seed %" PRIu64 ": %s\n", mutant->name, seed,
		       c->w.failure);
	add_totals(t, c);
	for (uint8_t i = 0; i < c->w.nodes; i++)
		node_free(c, i);
	c->w.hooks = (struct sim_hooks){0};
	sim_world_done(&c->w);
	free(c->db_mem);
	free(c->verdict);
	free(c);
	return ok;
}

/* ---- command line */

struct options {
	uint64_t seeds, first, turns;
	const char *mutant;
	bool trace;
};

static int usage(void)
{
	fprintf(stderr, "usage: sim_cluster [--seeds N] [--first SEED] [--turns N] "
			"[--mutant NAME|all] [--trace]\n");
	return 2;
}

static bool parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"seeds", required_argument, NULL, 's'}, {"first", required_argument, NULL, 'f'},
		{"turns", required_argument, NULL, 'n'}, {"mutant", required_argument, NULL, 'm'},
		{"trace", no_argument, NULL, 't'},	 {NULL, 0, NULL, 0},
	};
	int ch;

	*o = (struct options){.seeds = 200, .first = 1, .turns = TURNS};
	while ((ch = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (ch == 's')
			o->seeds = strtoull(optarg, NULL, 10);
		else if (ch == 'f')
			o->first = strtoull(optarg, NULL, 10);
		else if (ch == 'n')
			o->turns = strtoull(optarg, NULL, 10);
		else if (ch == 'm')
			o->mutant = optarg;
		else if (ch == 't')
			o->trace = true;
		else
			return false;
	}
	return optind == argc && o->seeds > 0;
}

static bool mutant_found(const struct options *o, const struct mutant *mutant)
{
	struct totals t = {0};

	for (uint64_t i = 0; i < o->seeds; i++) {
		if (!run_seed(o->first + i, o->turns, mutant, o->trace, &t))
			return true;
	}
	printf("mutant %s NOT found in %" PRIu64 " seeds\n", mutant->name, o->seeds);
	return false;
}

int main(int argc, char **argv)
{
	struct options o;
	struct totals t = {0};
	int passed = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!parse(argc, argv, &o))
		return usage();
	for (size_t m = 0; o.mutant && m < MUST_ARRAY_SIZE(mutants); m++) {
		bool is_found;

		if (strcmp(o.mutant, "all") != 0 && strcmp(o.mutant, mutants[m].name) != 0)
			continue;
		is_found = mutant_found(&o, &mutants[m]);
		passed += is_found;
		failed += !is_found;
	}
	if (o.mutant && !passed && !failed)
		return usage();
	for (uint64_t i = 0; !o.mutant && i < o.seeds; i++) {
		if (run_seed(o.first + i, o.turns, &no_mutant, o.trace, &t))
			passed++;
		else
			failed++;
	}
	if (!o.mutant)
		printf("hours %.1f views %" PRIu64 " epochs opened %" PRIu64 " commits %" PRIu64
		       " pulls %" PRIu64 " power losses %" PRIu64 " orders %" PRIu64
		       " fences %" PRIu64 " (at most %" PRIu64 " in a window) transfers %" PRIu64
		       " quarantines %" PRIu64 " requests %" PRIu64 " acknowledged %" PRIu64 "\n",
		       (double)t.ms / 3600000, t.views, t.opens, t.commits, t.pulls, t.crashes,
		       t.orders, t.fences, t.most_fences, t.migrations, t.quarantines, t.ops,
		       t.acks);
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}
