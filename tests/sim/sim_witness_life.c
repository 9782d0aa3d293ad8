/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/sim_witness_life.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/must.h"

#define TURNS_SETTLE 1200 /* of a healed world, until votes must be at rest */
#define WITNESS_UUID "witness"

uint16_t life_nodes(const struct life *f)
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
		.is_sole = f->kind == LIFE_SOLE,
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
		votes_watch(f->missed[i].node_ms, life_nodes(f), n->repl.present,
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

void life_tick(struct life *f)
{
	for (uint8_t i = 0; i < f->world.nodes; i++) {
		sim_tick(&f->world, i);
		sim_witness_run(&f->world, i);
	}
	votes_step(f);
}

void life_turn(struct life *f)
{
	run_all_queues(f);
	f->world.now_ms += LIFE_TURN_MS;
	life_tick(f);
	sim_check(&f->world);
}

void life_turns(struct life *f, uint64_t ms)
{
	for (uint64_t t = 0; t < ms / LIFE_TURN_MS && !f->world.failure; t++)
		life_turn(f);
}

static bool may_act(const struct life *f, uint8_t node)
{
	const struct sim_node *n = &f->world.node[node];

	return n->process_up && repl_may_act(&n->repl, sim_local_ms(&f->world, node));
}

bool life_all_act(const struct life *f, uint16_t set)
{
	for (uint8_t i = 0; i < f->world.nodes; i++) {
		if ((set & cl_bit(i)) && !may_act(f, i))
			return false;
	}
	return true;
}

bool life_all_answer(struct life *f, uint16_t set)
{
	struct sim_world *w = &f->world;

	for (uint8_t i = 0; i < w->nodes; i++) {
		if (!(set & cl_bit(i)))
			continue;
		w->node[i].next_request++;
		sim_propose(w, i, CL_ENTRY_COMMAND, w->node[i].next_request,
			    (struct cl_blob){(const uint8_t *)"serve", 5});
	}
	for (int t = 0; t < LIFE_TURNS_CLAIM && !w->failure; t++) {
		bool all = true;

		life_turn(f);
		for (uint8_t i = 0; i < w->nodes; i++) {
			const struct sim_node *n = &w->node[i];

			all &= !(set & cl_bit(i)) || n->acked_request == n->next_request;
		}
		if (all)
			return true;
	}
	return false;
}

void life_demand_service(struct life *f, uint16_t set)
{
	struct sim_world *w = &f->world;
	uint8_t one = (uint8_t)__builtin_ctz(set);

	life_turns(f, w->config.lease_ms); /* what acts after this acts anew */
	for (int t = 0; t < LIFE_TURNS_CLAIM && !w->failure && !life_all_act(f, set); t++)
		life_turn(f);
	if (w->failure)
		return;
	if (!life_all_act(f, set))
		sim_fail(w, one, "it should serve, and does not");
	for (int t = 0; t < 50 && !w->failure; t++) {
		life_turn(f);
		if (!w->witness.slow_pct && !w->failure && !life_all_act(f, set))
			sim_fail(w, one, "serves, and loses the lease while all is well");
	}
	if (!w->failure && !life_all_answer(f, set))
		sim_fail(w, one, "serves, and does not answer a request");
	f->served++;
}

void life_demand_silence(struct life *f, uint16_t set, int n)
{
	for (int t = 0; t < n && !f->world.failure; t++) {
		life_turn(f);
		for (uint8_t i = 0; i < f->world.nodes; i++) {
			if ((set & cl_bit(i)) && may_act(f, i))
				sim_fail(&f->world, i, "acts, and may not");
		}
	}
}

static bool is_settled(const struct life *f)
{
	uint16_t all = life_nodes(f);

	if (!life_all_act(f, all))
		return false;
	for (uint8_t i = 0; i < f->world.nodes; i++) {
		const struct repl_state *s = &f->world.node[i].repl;
		struct votes_input in = input_of(f, i);
		struct votes_change c;

		if (s->change_pending || s->present != all || votes_next(&in, &c))
			return false;
		if (f->kind == LIFE_SOLE && (quorum_voters(&s->vtable) || !s->vtable.witness.vote))
			return false;
		/* Any of them may go on with it. */
		if (f->kind == LIFE_SHARE && s->vtable.witness.vote &&
		    (!s->witness.is_recorded || s->witness.set != all))
			return false;
	}
	return true;
}

void life_demand_whole(struct life *f)
{
	struct sim_world *w = &f->world;
	const struct cl_table *table;
	int t = 0;

	life_turns(f, w->config.lease_ms);
	while (t++ < TURNS_SETTLE && !w->failure && !is_settled(f))
		life_turn(f);
	if (w->failure)
		return;
	if (t > TURNS_SETTLE) {
		sim_fail(w, 0, "healed, and not at rest");
		return;
	}
	table = &w->node[0].repl.vtable;
	if (f->kind != LIFE_SOLE && quorum_voters(table) != life_nodes(f) && w->nodes % 2 == 0)
		sim_fail(w, 0, "with a witness, and a node sits out");
	if (quorum_evaluate(table, 0).votes_total % 2 == 0)
		sim_fail(w, 0, "at rest with an even number of votes");
	if (!life_all_answer(f, life_nodes(f)))
		sim_fail(w, 0, "whole, and does not answer");
}

void life_create(struct life *f)
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

void life_start(struct life *f, uint8_t node)
{
	if (f->world.node[node].process_up)
		return;
	memset(&f->missed[node], 0, sizeof(f->missed[node]));
	sim_machine_start(&f->world, node);
	sim_process_start(&f->world, node);
}

void life_heal(struct life *f)
{
	struct sim_world *w = &f->world;

	for (uint8_t i = 0; i < w->nodes; i++) {
		w->node[i].is_frozen = false;
		life_start(f, i);
	}
	w->witness.cut = 0;
	w->witness.slow_pct = w->witness.bad_pct = 0;
	memset(w->component, 0, sizeof(w->component));
	sim_rings_form(w);
}
