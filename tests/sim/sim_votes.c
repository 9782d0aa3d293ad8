/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_votes: clusters whose votes follow who is here, on the world of sim_repl.
 *
 *   sim_votes [--seeds N] [--first SEED] [--steps N] [--mutant NAME|all] [--trace]
 *
 * A seed lives one of three lives:
 *   shrink  2 to 16 nodes go one by one, by crash, kill, cut or leave, down to the last, which
 *           serves; then it goes, and the others must not act until it is back;
 *   stop    a cluster is stopped as a whole; any majority of its nodes can start again;
 *   storm   random faults, leavers and settings, then everything is healed.
 * Beside what sim_world checks: each change that is wanted has the reason that it names, and is
 * taken by the replication core; at rest the votes are odd in number, and those configured. A
 * failing seed replays with `--first SEED --seeds 1 --trace`.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/votes.h"
#include "lib/must.h"
#include "tests/sim/sim_world.h"

#define TURN_MS	     10
#define TURNS_SETTLE 800 /* of a healed world, until votes must be at rest */

/* What one node knows of the others, as the daemon's edge keeps it. */
struct life {
	struct sim_world world;
	enum votes_mutant mutant;
	struct prng prng; /* of the driver; the world has its own */
	uint64_t missed_ms[SIM_MAX_NODES][CL_MAX_NODES];
	/* world's time at which the one had the other in its open view */
	uint64_t seen_ms[SIM_MAX_NODES][CL_MAX_NODES];
	/* the applied settings and flags */
	uint16_t leaving, draining;
	bool is_dynamic, is_stopping;
	uint64_t absent_ms;
	uint8_t priority[CL_MAX_NODES];
	uint64_t changes;
};

struct totals {
	uint64_t changes, commits, views, crashes, shrinks;
};

static uint16_t all_nodes(const struct life *f)
{
	return (uint16_t)((1u << f->world.nodes) - 1);
}

static struct votes_input input_of(const struct life *f, uint8_t node)
{
	const struct sim_node *n = &f->world.node[node];
	const struct repl_state *s = &n->repl;
	struct votes_input in = {
		.mutant = f->mutant,
		.table = s->vtable,
		.present = s->present,
		.leaving = f->leaving,
		.draining = f->draining,
		.is_dynamic = f->is_dynamic,
		.is_stopping = f->is_stopping,
		.absent_ms = f->absent_ms,
		.now_ms = f->world.now_ms + n->skew_ms,
	};

	memcpy(in.absent_since_ms, f->missed_ms[node], sizeof(in.absent_since_ms));
	memcpy(in.priority, f->priority, sizeof(in.priority));
	for (uint8_t i = 0; i < f->world.nodes; i++) {
		if ((s->present & cl_bit(i)) && s->persisted[i] >= s->commit)
			in.holders = (uint16_t)(in.holders | cl_bit(i));
		if ((s->present & cl_bit(i)) && s->persisted[i] &&
		    s->persisted[i] >= s->epoch_index)
			in.following = (uint16_t)(in.following | cl_bit(i));
	}
	return in;
}

/* ---- oracle: a change has the reason that it names */

static void check_change(struct life *f, uint8_t node, const struct votes_input *in,
			 const struct votes_change *c)
{
	struct sim_world *w = &f->world;
	uint16_t bit = cl_bit(c->slot), able;
	bool shrinks = f->is_dynamic && !f->is_stopping;

	if (c->is_given) {
		if (!(in->holders & bit))
			sim_fail(w, node, "a vote for a node that is not here and up to date");
		return;
	}
	if (c->reason == VOTES_LEAVING && !(shrinks && (f->leaving & bit)))
		sim_fail(w, node, "a vote taken from a node that does not leave");
	if (c->reason == VOTES_ABSENT && (!shrinks || (in->present & bit) ||
					  w->now_ms - f->seen_ms[node][c->slot] < f->absent_ms))
		sim_fail(w, node, "a vote taken from a node that is here, or was a moment ago");
	if (c->reason != VOTES_ODD)
		return;
	able = (uint16_t)(quorum_voters(&in->table) | in->following);
	for (uint8_t i = 0; i < w->nodes && shrinks; i++) {
		bool is_long = !(in->present & cl_bit(i)) && in->absent_since_ms[i] &&
			       in->now_ms - in->absent_since_ms[i] >= f->absent_ms;

		if (is_long || (f->leaving & cl_bit(i)))
			able = (uint16_t)(able & ~cl_bit(i));
	}
	if (__builtin_popcount(able) % 2)
		sim_fail(w, node, "a vote taken to be odd where the number is odd");
}

static void votes_step(struct life *f)
{
	struct sim_world *w = &f->world;

	for (uint8_t i = 0; i < w->nodes; i++) {
		struct sim_node *n = &w->node[i];
		struct votes_input in;
		struct votes_change c;
		struct cl_member row;
		uint8_t payload[CL_ROW_MAX];
		size_t len;
		int r;

		if (!n->process_up || n->is_frozen || n->repl.phase != REPL_OPEN)
			continue;
		for (uint8_t k = 0; k < w->nodes; k++) {
			if (n->repl.present & cl_bit(k))
				f->seen_ms[i][k] = w->now_ms;
		}
		votes_watch(f->missed_ms[i], all_nodes(f), n->repl.present, w->now_ms + n->skew_ms);
		if (!repl_is_sequencer(&n->repl) || n->repl.change_pending ||
		    n->repl.next_table > n->repl.view_last)
			continue;
		in = input_of(f, i);
		if (!votes_next(&in, &c))
			continue;
		check_change(f, i, &in, &c);
		if (w->trace)
			printf("%8" PRIu64 " %6" PRIu64 "ms n%u wants n%u vote %d: %s\n", w->steps,
			       w->now_ms, i, c.slot, c.is_given, votes_reason_text(c.reason));
		row = in.table.member[c.slot];
		row.vote = c.is_given;
		must(!cl_row_encode(c.slot, &row, payload, sizeof(payload), &len));
		r = sim_propose(w, i, CL_ENTRY_TABLE, 0, (struct cl_blob){payload, len});
		f->changes += !r;
		if (r && r != -EAGAIN)
			sim_fail(w, i, "a change of votes that was wanted is refused");
	}
}

/* ---- steps */

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

static void turn(struct life *f)
{
	struct sim_world *w = &f->world;

	run_all_queues(w);
	w->now_ms += TURN_MS;
	for (uint8_t i = 0; i < w->nodes; i++)
		sim_tick(w, i);
	votes_step(f);
	sim_check(w);
}

static void turns(struct life *f, uint64_t ms)
{
	for (uint64_t t = 0; t < ms / TURN_MS && !f->world.failure; t++)
		turn(f);
}

static bool may_act(const struct life *f, uint8_t node)
{
	const struct sim_node *n = &f->world.node[node];

	return n->process_up && repl_may_act(&n->repl, f->world.now_ms + n->skew_ms);
}

/* Every node of the set may act and sees nothing more to change; all of them agree. */
static bool is_settled(const struct life *f, uint16_t set)
{
	for (uint8_t i = 0; i < f->world.nodes; i++) {
		struct votes_input in;
		struct votes_change c;

		if (!(set & cl_bit(i)))
			continue;
		if (!may_act(f, i) || f->world.node[i].repl.change_pending)
			return false;
		in = input_of(f, i);
		if (f->world.node[i].repl.present != set || votes_next(&in, &c))
			return false;
	}
	return true;
}

/* A bounded time after, the set serves: each of its nodes has a request of its own answered. */
static void demand_service(struct life *f, uint16_t set)
{
	struct sim_world *w = &f->world;
	int t = 0;

	/* Longer than a lease: it has been renewed since. */
	for (; t < TURNS_SETTLE && !w->failure &&
	       (t < (int)(2 * w->config.lease_ms / TURN_MS) || !is_settled(f, set));
	     t++)
		turn(f);
	for (uint8_t i = 0; i < w->nodes && !w->failure; i++) {
		if (!(set & cl_bit(i)))
			continue;
		if (t == TURNS_SETTLE)
			sim_fail(w, i, "the votes do not come to rest");
		w->node[i].next_request++;
		sim_propose(w, i, CL_ENTRY_COMMAND, w->node[i].next_request,
			    (struct cl_blob){(const uint8_t *)"serve", 5});
	}
	run_all_queues(w);
	for (uint8_t i = 0; i < w->nodes && !w->failure; i++) {
		if ((set & cl_bit(i)) && w->node[i].acked_request != w->node[i].next_request)
			sim_fail(w, i, "is in a view that should serve, and a request is lost");
	}
}

/* With the whole cluster here the votes are those configured: all, or all but one. */
static void demand_configured(struct life *f)
{
	struct sim_world *w = &f->world;
	uint16_t voters;
	struct votes_input in;

	demand_service(f, all_nodes(f));
	if (w->failure)
		return;
	in = input_of(f, 0);
	in.mutant = VOTES_MUTANT_NONE;
	voters = quorum_voters(&w->node[0].repl.vtable);
	if (__builtin_popcount(voters) % 2 == 0)
		sim_fail(w, 0, "at rest with an even number of votes");
	if (voters != votes_configured(&in))
		sim_fail(w, 0, "all are here, and the votes are not those configured");
}

static void create(struct life *f)
{
	struct sim_world *w = &f->world;
	struct cl_table table = {.changed_at = 1};

	run_all_queues(w);
	for (uint8_t i = 0; i < w->nodes; i++) {
		table.member[i].nodeid = i + 1u;
		table.member[i].vote = i == 0;
		snprintf(table.member[i].name, sizeof(table.member[i].name), "n%u", i);
	}
	if (sim_create(w, 0, &table))
		sim_fail(w, 0, "creating the cluster was refused");
	while (sim_disk_complete(w, 0))
		continue;
}

static void process_start(struct life *f, uint8_t node)
{
	struct sim_world *w = &f->world;

	if (w->node[node].process_up)
		return;
	memset(f->missed_ms[node], 0, sizeof(f->missed_ms[node]));
	f->leaving = (uint16_t)(f->leaving & ~cl_bit(node));
	sim_machine_start(w, node);
	sim_process_start(w, node);
}

static void heal(struct life *f)
{
	struct sim_world *w = &f->world;

	for (uint8_t i = 0; i < w->nodes; i++) {
		w->node[i].is_frozen = false;
		process_start(f, i);
	}
	memset(w->component, 0, sizeof(w->component));
	sim_rings_form(w);
}

/* ---- the life in which a cluster shrinks */

static uint8_t any_of(struct life *f, uint16_t set)
{
	uint64_t k = prng_below(&f->prng, (uint64_t)__builtin_popcount(set));

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if ((set & cl_bit(i)) && !k--)
			return i;
	}
	must(!"a node of an empty set");
	return CL_NODE_NONE;
}

/* A node that leaves waits until its vote is gone, as the daemon does. */
static void leave(struct life *f, uint8_t node, uint16_t others)
{
	struct sim_world *w = &f->world;
	struct votes_input in;

	f->leaving = (uint16_t)(f->leaving | cl_bit(node));
	for (int t = 0; t < TURNS_SETTLE && !w->failure; t++) {
		turn(f);
		in = input_of(f, node);
		if (!w->node[node].repl.change_pending && votes_may_leave(&in, node))
			break;
	}
	if (others && !f->is_stopping && w->node[node].repl.vtable.member[node].vote)
		sim_fail(w, node, "leaves with its vote, although others could have it");
	sim_process_kill(w, node);
}

static void lose(struct life *f, uint8_t node, uint16_t others)
{
	struct sim_world *w = &f->world;

	switch (prng_below(&f->prng, 4)) {
	case 0:
		sim_machine_crash(w, node);
		break;
	case 1:
		sim_process_kill(w, node);
		break;
	case 2: /* cut off alone, and goes on */
		w->component[node] = node;
		for (uint8_t i = 0; i < w->nodes; i++) {
			if (i != node && w->component[i] == node)
				w->component[i] = (uint8_t)__builtin_ctz(others);
		}
		sim_rings_form(w);
		break;
	default:
		leave(f, node, others);
	}
}

/* The last one is gone: whatever the others know, they do not act. */
static void demand_silence(struct life *f, uint8_t last)
{
	struct sim_world *w = &f->world;

	sim_machine_crash(w, last);
	for (uint8_t i = 0; i < w->nodes; i++) {
		w->component[i] = 0;
		if (i != last)
			process_start(f, i);
	}
	sim_rings_form(w);
	turns(f, 2 * w->config.lease_ms);
	for (int t = 0; t < 200 && !w->failure; t++) {
		turn(f);
		for (uint8_t i = 0; i < w->nodes; i++) {
			if (w->node[i].process_up && w->node[i].repl.phase == REPL_OPEN)
				sim_fail(w, i, "acts without the one that the cluster shrank to");
		}
	}
}

/* As many at the same moment as `quorum show` says may fail, whichever they are. */
static uint16_t lose_at_once(struct life *f, uint16_t here)
{
	struct votes_input in = input_of(f, (uint8_t)__builtin_ctz(here));
	int may = votes_may_lose_at_once(&in);

	for (int n = may > 0 ? (int)prng_range(&f->prng, 1, (uint64_t)may) : 0; n > 0; n--) {
		uint8_t victim = any_of(f, here);

		here = (uint16_t)(here & ~cl_bit(victim));
		sim_machine_crash(&f->world, victim);
	}
	return here;
}

static void live_shrink(struct life *f, struct totals *t)
{
	struct sim_world *w = &f->world;
	uint16_t here = all_nodes(f);

	demand_configured(f);
	if (!w->failure && prng_chance(&f->prng, 1, 3)) {
		here = lose_at_once(f, here);
		turns(f, 4 * w->config.lease_ms);
		for (uint8_t i = 0; i < w->nodes && !w->failure; i++) {
			if ((here & cl_bit(i)) && !may_act(f, i))
				sim_fail(w, i, "more may fail than it was said");
		}
		turns(f, f->absent_ms + 100);
		demand_service(f, here);
	}
	while (here & (here - 1) && !w->failure) {
		uint16_t voters = quorum_voters(&w->node[__builtin_ctz(here)].repl.vtable);
		uint16_t may_go = voters & (voters - 1) ? here : (uint16_t)(here & ~voters);
		uint8_t victim = any_of(f, may_go);

		/* To leave it is no matter who carries the only vote. */
		if (voters == (here & voters) && prng_chance(&f->prng, 1, 4)) {
			victim = any_of(f, here);
			here = (uint16_t)(here & ~cl_bit(victim));
			leave(f, victim, here);
		} else {
			here = (uint16_t)(here & ~cl_bit(victim));
			lose(f, victim, here);
		}
		if (prng_chance(&f->prng, 1, 3))
			turns(f, prng_below(&f->prng, 2 * f->absent_ms));
		else
			turns(f, f->absent_ms + 100);
		turns(f, f->absent_ms + 100);
		demand_service(f, here);
		t->shrinks++;
	}
	if (!w->failure)
		demand_silence(f, (uint8_t)__builtin_ctz(here));
	heal(f);
	demand_configured(f);
}

/* ---- the life in which it is stopped as a whole */

static void live_stop(struct life *f)
{
	struct sim_world *w = &f->world;
	uint16_t here = all_nodes(f), started = 0, voters;

	demand_configured(f);
	f->is_stopping = true;
	voters = quorum_voters(&w->node[0].repl.vtable);
	while (here && !w->failure) {
		uint8_t victim = any_of(f, here);

		here = (uint16_t)(here & ~cl_bit(victim));
		leave(f, victim, here);
		turns(f, prng_below(&f->prng, 2 * f->absent_ms));
	}
	/* Any majority of those that voted, and nobody else. */
	while (2 * __builtin_popcount(started) <= __builtin_popcount(voters) && !w->failure) {
		uint8_t node = any_of(f, (uint16_t)(voters & ~started));

		started = (uint16_t)(started | cl_bit(node));
		process_start(f, node);
	}
	for (int t = 0; t < TURNS_SETTLE && !w->failure; t++) {
		turn(f);
		if (may_act(f, (uint8_t)__builtin_ctz(started)))
			break;
	}
	if (!w->failure && !may_act(f, (uint8_t)__builtin_ctz(started)))
		sim_fail(w, (uint8_t)__builtin_ctz(started),
			 "a majority of a stopped cluster cannot start it");
	f->is_stopping = false;
	heal(f);
	demand_configured(f);
}

/* ---- the life of random faults */

struct rates { /* once in so many steps */
	uint64_t partition, heal, crash, start, kill, restart, freeze, thaw, propose, set, leave;
	uint64_t slow_disk;
};

static void draw_rates(struct prng *p, struct rates *r)
{
	*r = (struct rates){
		.partition = prng_range(p, 200, 2000),
		.heal = prng_range(p, 200, 1500),
		.crash = prng_range(p, 400, 4000),
		.start = prng_range(p, 200, 2000),
		.kill = prng_range(p, 400, 4000),
		.restart = prng_range(p, 50, 1000),
		.freeze = prng_range(p, 1000, 8000),
		.thaw = prng_range(p, 200, 1500),
		.propose = prng_range(p, 5, 60),
		.set = prng_range(p, 500, 4000),
		.leave = prng_range(p, 400, 4000),
		.slow_disk = prng_range(p, 1, 12),
	};
}

static void settings(struct life *f, uint64_t rate)
{
	if (prng_chance(&f->prng, 1, rate))
		f->is_dynamic = prng_chance(&f->prng, 3, 4);
	if (prng_chance(&f->prng, 1, rate))
		f->is_stopping = prng_chance(&f->prng, 1, 4);
	if (prng_chance(&f->prng, 1, rate))
		f->priority[prng_below(&f->prng, f->world.nodes)] =
			(uint8_t)prng_range(&f->prng, 98, 102);
	if (prng_chance(&f->prng, 1, rate))
		f->draining = (uint16_t)(prng_next(&f->prng) & prng_next(&f->prng));
}

static void faults(struct life *f, const struct rates *r)
{
	struct sim_world *w = &f->world;
	struct prng *p = &f->prng;
	uint8_t node = (uint8_t)prng_below(p, w->nodes);
	struct sim_node *n = &w->node[node];

	if (prng_chance(p, 1, r->partition)) {
		for (uint8_t i = 0; i < w->nodes; i++)
			w->component[i] = (uint8_t)prng_below(p, 2);
		sim_rings_form(w);
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
	if (prng_chance(p, 1, r->leave))
		f->leaving = (uint16_t)(f->leaving | cl_bit(node));
	if ((f->leaving & cl_bit(node)) && prng_chance(p, 1, r->kill))
		sim_process_kill(w, node);
	if (!n->process_up && prng_chance(p, 1, n->machine_up ? r->restart : r->start))
		process_start(f, node);
	settings(f, r->set);
}

static void progress(struct life *f, const struct rates *r)
{
	struct sim_world *w = &f->world;
	struct prng *p = &f->prng;
	uint8_t node = (uint8_t)prng_below(p, w->nodes);
	struct sim_node *n = &w->node[prng_below(p, w->nodes)];

	if (prng_chance(p, 2, 3))
		sim_deliver(w, node);
	if (prng_chance(p, 1, 2))
		sim_sequence(w, (uint8_t)prng_below(p, w->nodes));
	if (prng_chance(p, 1, r->slow_disk))
		sim_disk_complete(w, (uint8_t)prng_below(p, w->nodes));
	if (prng_chance(p, 1, 8))
		sim_pull_run(w, (uint8_t)prng_below(p, w->nodes));
	if (prng_chance(p, 1, 10)) {
		w->now_ms += prng_range(p, 1, 8);
		for (uint8_t i = 0; i < w->nodes; i++)
			sim_tick(w, i);
		votes_step(f);
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
	if (prng_chance(&f->prng, 1, 2))
		demand_configured(f);
	for (uint64_t until = w->steps + steps; w->steps < until && !w->failure; w->steps++) {
		faults(f, &rates);
		progress(f, &rates);
		sim_check(w);
	}
	f->leaving = f->draining = 0;
	f->is_dynamic = true;
	f->is_stopping = false;
	heal(f);
	turns(f, 600); /* a process that never stopped may have had its leaving taken back */
	demand_configured(f);
}

/* ---- seeds */

struct mutants {
	enum repl_mutant repl;
	enum votes_mutant votes;
};

static bool run_seed(uint64_t seed, uint64_t steps, struct mutants m, bool trace, struct totals *t)
{
	struct life *f = calloc(1, sizeof(*f));
	struct sim_world *w;
	uint64_t kind;
	bool ok;

	must(f);
	w = &f->world;
	prng_init(&f->prng, seed ^ UINT64_C(0x70e5));
	f->mutant = m.votes;
	f->is_dynamic = true;
	f->absent_ms = prng_range(&f->prng, 50, 800);
	memset(f->priority, 100, sizeof(f->priority));
	if (prng_chance(&f->prng, 1, 2))
		f->priority[prng_below(&f->prng, CL_MAX_NODES)] = 50;
	kind = prng_below(&f->prng, 8);
	sim_world_init(w, seed,
		       (uint8_t)(prng_chance(&f->prng, 1, 6) ? prng_range(&f->prng, 8, 16)
							     : prng_range(&f->prng, 2, 7)),
		       m.repl, trace);
	create(f);
	if (kind < 3)
		live_shrink(f, t);
	else if (kind == 3)
		live_stop(f);
	else
		live_storm(f, steps);
	ok = !w->failure;
	if (!ok && !m.repl && !m.votes)
		printf("seed %" PRIu64 " (%u nodes): %s\n  replay: sim_votes --first %" PRIu64
		       " --seeds 1 --steps %" PRIu64 " --trace\n",
		       seed, w->nodes, w->failure, seed, steps);
	else if (!ok)
		printf("mutant %s found by seed %" PRIu64 ": %s\n",
		       m.repl ? repl_mutant_name(m.repl) : votes_mutant_name(m.votes), seed,
		       w->failure);
	t->changes += f->changes;
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
	fprintf(stderr, "usage: sim_votes [--seeds N] [--first SEED] [--steps N] "
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

static bool finds(const struct options *o, struct mutants m, const char *name)
{
	struct totals t = {0};

	for (uint64_t i = 0; i < o->seeds; i++) {
		if (!run_seed(o->first + i, o->steps, m, o->trace, &t))
			return true;
	}
	printf("mutant %s NOT found in %" PRIu64 " seeds\n", name, o->seeds);
	return false;
}

static bool is_wanted(const struct options *o, const char *name)
{
	return !strcmp(o->mutant, "all") || !strcmp(o->mutant, name);
}

static int run_mutants(const struct options *o)
{
	int passed = 0, failed = 0;

	for (int m = REPL_MUTANT_VOTES_FIRST; m < REPL_MUTANT_FORCE_FIRST; m++) {
		struct mutants one = {.repl = (enum repl_mutant)m};
		const char *name = repl_mutant_name(one.repl);

		if (is_wanted(o, name))
			*(finds(o, one, name) ? &passed : &failed) += 1;
	}
	for (int m = VOTES_MUTANT_NONE + 1; m < VOTES_MUTANT_DEAD_WITNESS; m++) {
		struct mutants one = {.votes = (enum votes_mutant)m};
		const char *name = votes_mutant_name(one.votes);

		if (is_wanted(o, name))
			*(finds(o, one, name) ? &passed : &failed) += 1;
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
		if (run_seed(o.first + i, o.steps, (struct mutants){0}, o.trace, &t))
			passed++;
		else
			failed++;
	}
	printf("views %" PRIu64 " commits %" PRIu64 " votes changed %" PRIu64
	       " nodes lost one by one %" PRIu64 " crashes %" PRIu64 "\n",
	       t.views, t.commits, t.changes, t.shrinks, t.crashes);
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}
