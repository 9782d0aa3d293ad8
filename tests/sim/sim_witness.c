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
 * then the witness is back with what it has of the old history, and at last all are; storm   random
 * faults of nodes, network and witness, with votes that follow; then all heals. Beside what
 * sim_world checks: the witness's vote counts in one view at a time. A failing seed replays with
 * `--first SEED --seeds 1 --trace`.
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
#define D_MS	     100
#define TURNS_CLAIM  300  /* a claim of a dead owner's record, an epoch, and slow I/O */
#define TURNS_SETTLE 1200 /* of a healed world, until votes must be at rest */
#define WITNESS_UUID "witness"
#define LATE_MS	     6000 /* longer than the other half needs to have it */
#define ABSENT_LONG  UINT64_C(1000000000)

enum kind { KIND_DISK, KIND_SHARE, KIND_SOLE };

struct life {
	struct sim_world world;
	enum kind kind;
	uint16_t no_pull; /* nodes that get no history at the moment */
	enum votes_mutant mutant;
	struct prng prng; /* of the driver; the world has its own */
	struct votes_missed missed[SIM_MAX_NODES];
	uint64_t absent_ms, witness_ms;
	bool is_dynamic;
	uint64_t changes, served;
};

struct totals {
	uint64_t commits, views, crashes, changes, served;
};

static uint16_t all_nodes(const struct life *f)
{
	return (uint16_t)((1u << f->world.nodes) - 1);
}

/* ---- votes, as the daemon's duties change them */

static struct votes_input input_of(const struct life *f, uint8_t node)
{
	const struct repl_state *s = &f->world.node[node].repl;
	struct votes_input in = {
		.mutant = f->mutant,
		.table = s->vtable,
		.present = s->present,
		.is_dynamic = f->is_dynamic,
		.absent_ms = f->absent_ms,
		.now_ms = sim_local_ms(&f->world, node),
		.witness_counts = s->witness.counts,
		.is_sole = f->kind == KIND_SOLE,
	};
	uint64_t missed_ms = f->missed[node].witness_ms;

	memcpy(in.absent_since_ms, f->missed[node].node_ms, sizeof(in.absent_since_ms));
	memset(in.priority, 100, sizeof(in.priority));
	in.witness_works = in.table.witness.vote
				   ? !missed_ms || in.now_ms - missed_ms < f->witness_ms
				   : (s->witness.reaches & s->present) != 0;
	for (uint8_t i = 0; i < f->world.nodes; i++) {
		if ((s->present & cl_bit(i)) && s->persisted[i] >= s->commit)
			in.holders = (uint16_t)(in.holders | cl_bit(i));
		if ((s->present & cl_bit(i)) && s->persisted[i] &&
		    s->persisted[i] >= s->epoch_index)
			in.following = (uint16_t)(in.following | cl_bit(i));
	}
	return in;
}

static void propose_row(struct life *f, uint8_t node, uint8_t slot, const struct cl_member *row)
{
	uint8_t payload[CL_ROW_MAX];
	size_t len;
	int r;

	must(!cl_row_encode(slot, row, payload, sizeof(payload), &len));
	r = sim_propose(&f->world, node, CL_ENTRY_TABLE, 0, (struct cl_blob){payload, len});
	f->changes += !r;
	if (r && r != -EAGAIN)
		sim_fail(&f->world, node, "a change of votes that was wanted is refused");
}

static void votes_step(struct life *f)
{
	static const uint32_t kinds[] = {CL_WITNESS_NODEID, CL_WITNESS_SHARE, CL_WITNESS_SOLE};
	struct sim_world *w = &f->world;

	for (uint8_t i = 0; i < w->nodes && !w->failure; i++) {
		struct sim_node *n = &w->node[i];
		struct votes_input in;
		struct votes_change c;
		struct cl_member row;

		if (!n->process_up || n->is_frozen || n->repl.phase != REPL_OPEN)
			continue;
		votes_watch(f->missed[i].node_ms, all_nodes(f), n->repl.present,
			    sim_local_ms(w, i));
		votes_watch_witness(&f->missed[i].witness_ms, &n->repl, sim_local_ms(w, i));
		if (!repl_is_sequencer(&n->repl) || n->repl.change_pending ||
		    n->repl.next_table > n->repl.view_last)
			continue;
		in = input_of(f, i);
		if (!in.table.witness.nodeid) {
			row = (struct cl_member){kinds[f->kind], 0, WITNESS_UUID};
			propose_row(f, i, CL_WITNESS_SLOT, &row);
			continue;
		}
		if (!votes_next(&in, &c))
			continue;
		if (w->trace)
			printf("%8" PRIu64 " %6" PRIu64 "ms n%u wants slot %u vote %d: %s\n",
			       w->steps, w->now_ms, i, c.slot, c.is_given,
			       votes_reason_text(c.reason));
		row = *cl_table_row(&in.table, c.slot);
		row.vote = c.is_given;
		propose_row(f, i, c.slot, &row);
	}
}

/* ---- steps */

static void run_all_queues(struct life *f)
{
	struct sim_world *w = &f->world;
	bool more = true;

	while (more && !w->failure) {
		more = false;
		for (uint8_t i = 0; i < w->nodes; i++) {
			more |= sim_deliver(w, i);
			more |= sim_sequence(w, i);
			more |= sim_disk_complete(w, i);
			if (!(f->no_pull & cl_bit(i)))
				more |= sim_pull_run(w, i);
		}
		w->steps++;
	}
}

static void tick(struct life *f)
{
	for (uint8_t i = 0; i < f->world.nodes; i++) {
		sim_tick(&f->world, i);
		sim_witness_run(&f->world, i);
	}
	votes_step(f);
}

static void turn(struct life *f)
{
	run_all_queues(f);
	f->world.now_ms += TURN_MS;
	tick(f);
	sim_check(&f->world);
}

static void turns(struct life *f, uint64_t ms)
{
	for (uint64_t t = 0; t < ms / TURN_MS && !f->world.failure; t++)
		turn(f);
}

static bool may_act(const struct life *f, uint8_t node)
{
	const struct sim_node *n = &f->world.node[node];

	return n->process_up && repl_may_act(&n->repl, sim_local_ms(&f->world, node));
}

static bool all_act(const struct life *f, uint16_t set)
{
	for (uint8_t i = 0; i < f->world.nodes; i++) {
		if ((set & cl_bit(i)) && !may_act(f, i))
			return false;
	}
	return true;
}

/* A request of each is answered. */
static bool all_answer(struct life *f, uint16_t set)
{
	struct sim_world *w = &f->world;

	for (uint8_t i = 0; i < w->nodes; i++) {
		if (!(set & cl_bit(i)))
			continue;
		w->node[i].next_request++;
		sim_propose(w, i, CL_ENTRY_COMMAND, w->node[i].next_request,
			    (struct cl_blob){(const uint8_t *)"serve", 5});
	}
	for (int t = 0; t < TURNS_CLAIM && !w->failure; t++) {
		bool all = true;

		turn(f);
		for (uint8_t i = 0; i < w->nodes; i++) {
			const struct sim_node *n = &w->node[i];

			all &= !(set & cl_bit(i)) || n->acked_request == n->next_request;
		}
		if (all)
			return true;
	}
	return false;
}

/* Within a bounded time the set acts, goes on acting, and answers. */
static void demand_service(struct life *f, uint16_t set)
{
	struct sim_world *w = &f->world;
	uint8_t one = (uint8_t)__builtin_ctz(set);

	turns(f, w->config.lease_ms); /* what acts after this acts anew */
	for (int t = 0; t < TURNS_CLAIM && !w->failure && !all_act(f, set); t++)
		turn(f);
	if (w->failure)
		return;
	if (!all_act(f, set))
		sim_fail(w, one, "it should serve, and does not");
	for (int t = 0; t < 50 && !w->failure; t++) {
		turn(f);
		if (!w->witness.slow_pct && !w->failure && !all_act(f, set))
			sim_fail(w, one, "serves, and loses the lease while all is well");
	}
	if (!w->failure && !all_answer(f, set))
		sim_fail(w, one, "serves, and does not answer a request");
	f->served++;
}

static void demand_silence(struct life *f, uint16_t set, int n)
{
	for (int t = 0; t < n && !f->world.failure; t++) {
		turn(f);
		for (uint8_t i = 0; i < f->world.nodes; i++) {
			if ((set & cl_bit(i)) && may_act(f, i))
				sim_fail(&f->world, i, "acts, and may not");
		}
	}
}

static bool is_settled(const struct life *f)
{
	uint16_t all = all_nodes(f);

	if (!all_act(f, all))
		return false;
	for (uint8_t i = 0; i < f->world.nodes; i++) {
		const struct repl_state *s = &f->world.node[i].repl;
		struct votes_input in = input_of(f, i);
		struct votes_change c;

		if (s->change_pending || s->present != all || votes_next(&in, &c))
			return false;
		if (f->kind == KIND_SOLE && (quorum_voters(&s->vtable) || !s->vtable.witness.vote))
			return false;
		/* Any of them may go on with it. */
		if (f->kind == KIND_SHARE && s->vtable.witness.vote &&
		    (!s->witness.is_recorded || s->witness.set != all))
			return false;
	}
	return true;
}

/* All nodes and the witness: whole, and with an odd number of votes. */
static void demand_whole(struct life *f)
{
	struct sim_world *w = &f->world;
	const struct cl_table *table;
	int t = 0;

	turns(f, w->config.lease_ms);
	while (t++ < TURNS_SETTLE && !w->failure && !is_settled(f))
		turn(f);
	if (w->failure)
		return;
	if (t > TURNS_SETTLE) {
		sim_fail(w, 0, "healed, and not at rest");
		return;
	}
	table = &w->node[0].repl.vtable;
	if (f->kind != KIND_SOLE && quorum_voters(table) != all_nodes(f) && w->nodes % 2 == 0)
		sim_fail(w, 0, "with a witness, and a node sits out");
	if (quorum_evaluate(table, 0).votes_total % 2 == 0)
		sim_fail(w, 0, "at rest with an even number of votes");
	if (!all_answer(f, all_nodes(f)))
		sim_fail(w, 0, "whole, and does not answer");
}

static void create(struct life *f)
{
	struct sim_world *w = &f->world;
	struct cl_table table = {.changed_at = 1};

	run_all_queues(f);
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
	if (f->world.node[node].process_up)
		return;
	memset(&f->missed[node], 0, sizeof(f->missed[node]));
	sim_machine_start(&f->world, node);
	sim_process_start(&f->world, node);
}

static void heal(struct life *f)
{
	struct sim_world *w = &f->world;

	for (uint8_t i = 0; i < w->nodes; i++) {
		w->node[i].is_frozen = false;
		process_start(f, i);
	}
	w->witness.cut = 0;
	w->witness.slow_pct = w->witness.bad_pct = 0;
	memset(w->component, 0, sizeof(w->component));
	sim_rings_form(w);
}

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

	for (int t = 0; t < TURNS_CLAIM && !f->world.failure; t++) {
		turn(f);
		if (n->area_io.runs && n->area_io.job.job == WITNESS_JOB_APPEND)
			return;
	}
}

/* And the other one has an epoch of its own, with nothing in it, when both are here again. */
static void await_open(struct life *f, uint8_t node)
{
	for (int t = 0; t < TURNS_CLAIM && !f->world.failure; t++) {
		turn(f);
		if (f->world.node[node].repl.phase == REPL_OPEN)
			return;
	}
}

static void lose_witness(struct life *f)
{
	struct sim_world *w = &f->world;

	w->witness.cut = all_nodes(f);
	if (f->kind == KIND_SOLE) { /* everything stops */
		turns(f, 2 * w->config.lease_ms);
		demand_silence(f, all_nodes(f), 100);
		return;
	}
	demand_service(f, 3);
	turns(f, f->witness_ms + 500);
	if (!w->failure && w->node[0].repl.vtable.witness.vote)
		sim_fail(w, 0, "nobody reaches the witness, and it has a vote");
	demand_service(f, 3);
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
	process_start(f, comes);
}

/*
 * The moment in which it matters that the set is read back: its write is under way, and fails.
 * What the node answers after that the other one must not start without.
 */
static void record_fails(struct life *f, uint8_t node)
{
	struct sim_world *w = &f->world;
	struct sim_node *n = &w->node[node];

	for (int t = 0; t < TURNS_CLAIM && !w->failure; t++) {
		turn(f);
		if (!n->area_io.runs || n->area_io.job.job != WITNESS_JOB_RECORD)
			continue;
		if (!n->area_io.has_landed)
			n->area_io.lands = n->area_io.is_ok = false;
		break;
	}
	sim_propose(w, node, CL_ENTRY_COMMAND, ++n->next_request,
		    (struct cl_blob){(const uint8_t *)"first", 5});
	for (uint64_t t = prng_below(&f->prng, 60); t > 0 && !w->failure; t--)
		turn(f);
}

/* One goes on alone with the share; when it is lost the other one may not start without it. */
static void other_with_share(struct life *f, uint8_t other, uint8_t lost)
{
	bool has_served = prng_chance(&f->prng, 1, 2);

	if (has_served)
		demand_service(f, cl_bit(other));
	else
		record_fails(f, other);
	if (prng_chance(&f->prng, 1, 3))
		return;
	swap_nodes(f, other, lost);
	if (has_served)
		demand_silence(f, cl_bit(lost), TURNS_CLAIM);
	else
		turns(f, 2 * f->world.config.lease_ms);
}

static void other_with_disk(struct life *f, uint8_t other, uint8_t lost)
{
	if (prng_chance(&f->prng, 1, 2))
		await_first_append(f, other);
	else
		demand_service(f, cl_bit(other));
	if (prng_chance(&f->prng, 1, 3))
		return;
	/* What one has answered with the witness the other finds on it. */
	swap_nodes(f, other, lost);
	if (prng_chance(&f->prng, 1, 2))
		await_open(f, lost);
	else
		demand_service(f, cl_bit(lost));
}

static void live_three(struct life *f)
{
	struct sim_world *w = &f->world;

	f->absent_ms = ABSENT_LONG; /* votes stay: each of the three counts every time */
	demand_whole(f);
	for (int round = 0; round < 4 && !w->failure; round++) {
		uint8_t lost = (uint8_t)prng_below(&f->prng, 3), other = (uint8_t)(1 - lost);

		if (lost == 2) {
			lose_witness(f);
		} else {
			lose_node(f, lost);
			if (f->kind == KIND_SHARE)
				other_with_share(f, other, lost);
			else
				other_with_disk(f, other, lost);
		}
		heal(f);
		demand_whole(f);
	}
}

/* ---- a share, and a node that lost its disk */

/* Without time, and with nothing durable on node 0, which holds all that counts. */
static void run_without_disk_0(struct life *f, int rounds)
{
	struct sim_world *w = &f->world;

	for (int k = 0; k < rounds && !w->failure; k++) {
		for (uint8_t i = 0; i < w->nodes; i++) {
			sim_deliver(w, i);
			sim_sequence(w, i);
		}
		sim_pull_run(w, 1);
		sim_disk_complete(w, 1);
		sim_check(w);
	}
}

static void live_blank(struct life *f)
{
	struct sim_world *w = &f->world;
	struct sim_node *n = &w->node[0];

	f->absent_ms = ABSENT_LONG;
	demand_whole(f);
	sim_machine_crash(w, 1);
	demand_service(f, 1);
	sim_disk_wipe(w, 1);
	f->no_pull = 2;
	process_start(f, 1);
	for (int t = 0; t < TURNS_CLAIM && !w->failure; t++) {
		turn(f);
		if (n->repl.phase == REPL_OPEN && n->repl.present == 3)
			break;
	}
	f->no_pull = 0;
	if (prng_chance(&f->prng, 1, 2)) {
		/* Now node 1 gets the history, and alone has what comes after that on a disk. */
		run_without_disk_0(f, 50);
		sim_propose(w, 0, CL_ENTRY_COMMAND, ++n->next_request,
			    (struct cl_blob){(const uint8_t *)"blank", 5});
		run_without_disk_0(f, 50);
		sim_machine_crash(w, 0);
		sim_machine_crash(w, 1);
		process_start(f, 0);
		demand_service(f, 1);
	}
	heal(f);
	demand_whole(f);
	sim_machine_crash(w, 0); /* the one that was blank is as good as any */
	demand_service(f, 2);
	heal(f);
	demand_whole(f);
}

/* ---- a share, and a set that goes from hand to hand */

static void live_hand(struct life *f)
{
	static const uint8_t first[] = {0, 0, 1, 1}, second[] = {0, 1, 1, 3},
			     third[] = {0, 1, 2, 2};
	struct sim_world *w = &f->world;

	f->absent_ms = f->witness_ms = ABSENT_LONG;
	demand_whole(f);
	memcpy(w->component, first, sizeof(first));
	w->witness.cut = 0xc;
	sim_rings_form(w);
	demand_service(f, 3);
	/* Of the next two one has all that was answered; the other gets nothing. */
	f->no_pull = 4;
	w->witness.cut = 0x9;
	memcpy(w->component, second, sizeof(second));
	sim_rings_form(w);
	turns(f, prng_range(&f->prng, 1000, 3000));
	f->no_pull = 0;
	sim_machine_crash(w, 1);
	w->witness.cut = 0x1;
	memcpy(w->component, third, sizeof(third));
	sim_rings_form(w);
	turns(f, w->config.lease_ms);
	demand_silence(f, 0xc, TURNS_CLAIM);
	heal(f);
	demand_whole(f);
}

/* ---- a share, and a set that lands when another half has it */

static void live_late(struct life *f)
{
	static const uint8_t halves[] = {0, 0, 2, 2};
	struct sim_world *w = &f->world;
	struct sim_witness_io *io = &w->node[0].area_io;

	f->absent_ms = f->witness_ms = ABSENT_LONG;
	demand_whole(f);
	memcpy(w->component, halves, sizeof(halves));
	w->witness.cut = 0xc;
	sim_rings_form(w);
	for (int t = 0; t < TURNS_CLAIM && !w->failure; t++) {
		turn(f);
		if (io->runs && io->job.job == WITNESS_JOB_RECORD && !io->has_landed)
			break;
	}
	if (!io->runs || io->has_landed) { /* it was faster than a turn */
		heal(f);
		demand_whole(f);
		return;
	}
	io->land_ms = io->end_ms = w->now_ms + LATE_MS;
	w->node[0].is_frozen = w->node[1].is_frozen = true;
	w->witness.cut = 0;
	demand_service(f, 0xc);
	turns(f, LATE_MS);
	sim_machine_crash(w, 2);
	sim_machine_crash(w, 3);
	w->node[0].is_frozen = w->node[1].is_frozen = false;
	demand_silence(f, 0x3, TURNS_CLAIM);
	heal(f);
	demand_whole(f);
}

/* ---- forced quorum, and a witness of the history that was left behind */

static void live_force(struct life *f)
{
	static const uint8_t halves[] = {0, 0, 2, 2};
	struct sim_world *w = &f->world;
	uint8_t by = (uint8_t)prng_range(&f->prng, 2, 3);

	f->absent_ms = f->witness_ms = ABSENT_LONG;
	demand_whole(f);
	memcpy(w->component, halves, sizeof(halves));
	w->witness.cut = 0xc;
	sim_rings_form(w);
	/* So the witness has, or knows, what the others have not, of an epoch far ahead of theirs.
	 */
	for (int k = 0; k < 3; k++) {
		demand_service(f, 3);
		sim_rings_form(w);
	}
	sim_machine_crash(w, 0);
	sim_machine_crash(w, 1);
	w->witness.cut = 0xf;
	turns(f, 2 * w->config.lease_ms);
	demand_silence(f, 0xc, 50);
	if (!w->failure && sim_force(w, by, 0x3))
		sim_fail(w, by, "a force that names all who are absent was refused");
	demand_service(f, 0xc);
	w->witness.cut = 0;
	turns(f, prng_range(&f->prng, 0, 3000));
	if (prng_chance(&f->prng, 1, 2)) { /* it has its vote back, or not: who forced goes on */
		sim_machine_crash(w, by);
		turns(f, 2 * w->config.lease_ms);
	}
	process_start(f, 0); /* and one who was left behind comes when it likes */
	turns(f, prng_range(&f->prng, 0, 2000));
	heal(f);
	demand_whole(f);
	if (!w->failure && sim_line_of(w, 0)->down != 0x3)
		sim_fail(w, 0, "healed after a force, and not of its history");
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
	if (f->kind == KIND_SHARE) { /* nobody of the other half is in its set */
		demand_silence(f, other, 100);
		freeze(f, still, false);
		return;
	}
	for (int t = 0; t < TURNS_CLAIM && !w->failure && !all_act(f, other); t++)
		turn(f);
	if (!w->failure && !all_answer(f, other))
		sim_fail(w, (uint8_t)__builtin_ctz(other), "took it over, and does not answer");
	freeze(f, still, false);
	for (uint8_t i = 0; i < w->nodes && !w->failure; i++) {
		if (still & cl_bit(i))
			sim_propose(w, i, CL_ENTRY_COMMAND, ++w->node[i].next_request,
				    (struct cl_blob){(const uint8_t *)"late", 4});
	}
	demand_silence(f, still, 100);
}

static void live_halves(struct life *f)
{
	struct sim_world *w = &f->world;

	f->absent_ms = ABSENT_LONG;
	f->witness_ms = ABSENT_LONG;
	demand_whole(f);
	for (int round = 0; round < 3 && !w->failure; round++) {
		uint64_t reach = prng_below(&f->prng, 4);
		int t = 0;

		split(f);
		if (reach == 3) { /* nobody reaches it: nobody serves */
			w->witness.cut = all_nodes(f);
			turns(f, 2 * w->config.lease_ms);
			demand_silence(f, all_nodes(f), 100);
		} else if (reach < 2) {
			w->witness.cut = half(f, (uint8_t)(1 - reach));
			turns(f, 2 * w->config.lease_ms);
			demand_service(f, half(f, (uint8_t)reach));
			demand_silence(f, half(f, (uint8_t)(1 - reach)), 100);
		} else {
			turns(f, 2 * w->config.lease_ms);
			while (t++ < TURNS_CLAIM && !w->failure && !all_act(f, half(f, 0)) &&
			       !all_act(f, half(f, 1)))
				turn(f);
			demand_service(f, half(f, all_act(f, half(f, 0)) ? 0 : 1));
			demand_silence(f, half(f, all_act(f, half(f, 0)) ? 1 : 0), 100);
			owner_stands_still(f, all_act(f, half(f, 0)) ? 0 : 1);
		}
		heal(f);
		demand_whole(f);
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
		w->witness.cut = (uint16_t)(prng_next(p) & all_nodes(f));
	if (prng_chance(p, 1, r->mend))
		w->witness.cut = 0;
	if (!n->process_up && prng_chance(p, 1, n->machine_up ? r->restart : r->start))
		process_start(f, node);
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
		tick(f);
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
	f->absent_ms = prng_chance(&f->prng, 1, 2) ? ABSENT_LONG : prng_range(&f->prng, 100, 2000);
	demand_whole(f);
	if (prng_chance(&f->prng, 1, 2))
		w->witness.slow_pct = prng_range(&f->prng, 1, 40);
	w->witness.bad_pct = prng_range(&f->prng, 0, 10);
	for (uint64_t until = w->steps + steps; w->steps < until && !w->failure; w->steps++) {
		faults(f, &rates);
		progress(f, &rates);
		sim_check(w);
	}
	heal(f);
	turns(f, 12 * D_MS); /* what is on its way to the witness, as slow as it was */
	demand_whole(f);
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

static enum kind kind_of(uint64_t seed)
{
	static const enum kind of[] = {KIND_DISK, KIND_SHARE, KIND_DISK, KIND_SHARE, KIND_SOLE};

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
	if (f->kind == KIND_SHARE && seed % 9 == 0)
		kind = 7;
	else if (f->kind == KIND_SHARE && seed % 3 == 0)
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
	w->witness.is_share = f->kind == KIND_SHARE;
	sim_witness_init(w, D_MS);
	create(f);
	if (kind == 0)
		live_three(f);
	else if (kind == 1)
		live_halves(f);
	else if (kind == 4)
		live_blank(f);
	else if (kind == 5)
		live_hand(f);
	else if (kind == 6)
		live_force(f);
	else if (kind == 7)
		live_late(f);
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
