/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness of a simulated cluster: one record and an area for each node on a disk that is slow,
 * fails, is cut off from nodes, and lands the writes of processes that have ended.
 */
#include <stdio.h>
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_world.h"

void sim_witness_init(struct sim_world *w, uint64_t d_ms)
{
	w->witness.d_ms = d_ms;
	w->witness.record.owner = CL_NODE_NONE;
	for (uint8_t i = 0; i < w->nodes; i++) {
		if (w->node[i].process_up)
			sim_witness_started(w, i);
	}
}

static void io_done(struct sim_witness_io *io)
{
	sim_log_clear(&io->log);
	*io = (struct sim_witness_io){0};
}

void sim_witness_done(struct sim_world *w)
{
	for (uint8_t i = 0; i < SIM_MAX_NODES; i++) {
		io_done(&w->node[i].record_io);
		io_done(&w->node[i].area_io);
		sim_log_clear(&w->witness.area[i].log);
	}
}

/* ---- I/O */

static bool is_cut(const struct sim_world *w, uint8_t node)
{
	return w->witness.cut & cl_bit(node);
}

static void submit(struct sim_world *w, uint8_t node, struct sim_witness_io *io)
{
	uint64_t d = w->witness.d_ms, delay = prng_range(&w->prng, 1, d / 5);

	if (prng_chance(&w->prng, w->witness.slow_pct, 100))
		delay = prng_range(&w->prng, 1, 6 * d);
	io->runs = io->is_ok = io->lands = true;
	io->end_ms = w->now_ms + delay;
	io->land_ms = w->now_ms + prng_below(&w->prng, delay + 1);
	if (prng_chance(&w->prng, w->witness.bad_pct, 100)) {
		io->is_ok = false; /* what failed may have been written all the same */
		io->lands = prng_chance(&w->prng, 1, 2);
	}
	if (is_cut(w, node))
		io->is_ok = io->lands = false;
}

static struct cl_pos end_of(const struct sim_log *log)
{
	struct cl_pos pos = {0};

	if (log->count)
		pos = (struct cl_pos){log->entry[log->count - 1].epoch, log->count};
	return pos;
}

static void scan(const struct sim_world *w, struct witness_event *ret)
{
	ret->job.best = (struct cl_pos){0};
	ret->job.best_slot = CL_NODE_NONE;
	ret->job.floor = 0;
	for (uint8_t i = 0; i < w->nodes; i++) {
		const struct sim_area *a = &w->witness.area[i];
		struct cl_pos end = end_of(&a->log);

		if (a->promised > ret->job.floor)
			ret->job.floor = a->promised;
		if (a->log.count && (ret->job.best_slot == CL_NODE_NONE ||
				     cl_pos_compare(&end, &ret->job.best) > 0)) {
			ret->job.best = end;
			ret->job.best_slot = i;
		}
	}
}

/* What a share has in force, and the highest promise on it. */
static void scan_share(const struct sim_world *w, struct witness_event *ret)
{
	ret->job.set = (struct witness_set){0};
	ret->job.floor = 0;
	for (uint8_t i = 0; i < w->nodes; i++) {
		const struct sim_area *a = &w->witness.area[i];

		if (a->promised > ret->job.floor)
			ret->job.floor = a->promised;
		if (witness_set_compare(&a->set, &ret->job.set) > 0)
			ret->job.set = a->set;
	}
}

uint16_t sim_share_set(const struct sim_world *w)
{
	struct witness_event e;

	scan_share(w, &e);
	return e.job.set.members;
}

static void land_share(struct sim_world *w, uint8_t node, struct sim_witness_io *io)
{
	struct sim_area *a = &w->witness.area[node];
	uint64_t number = io->job.number;

	if (io->job.job == WITNESS_JOB_PROMISE && number > a->promised)
		a->promised = number;
	if (io->job.job == WITNESS_JOB_RECORD)
		a->set = io->job.set;
	scan_share(w, &io->result);
}

static void land_area(struct sim_world *w, uint8_t node, struct sim_witness_io *io)
{
	struct sim_area *a = &w->witness.area[node];

	switch (io->job.job) {
	case WITNESS_JOB_SCAN:
		scan(w, &io->result);
		break;
	case WITNESS_JOB_FETCH:
		sim_log_copy(&io->log, &w->witness.area[io->job.slot].log, SIZE_MAX);
		break;
	case WITNESS_JOB_COPY:
		sim_log_copy(&a->log, &io->log, SIZE_MAX);
		a->promised = io->job.number > a->promised ? io->job.number : a->promised;
		a->genesis = w->node[node].disk.genesis;
		a->cluster = w->node[node].disk.cluster;
		break;
	case WITNESS_JOB_APPEND:
		/* io->log is the whole log up to `until`: what stands before `after` is there. */
		if (a->log.count != io->job.after)
			sim_fail(w, node, "appends to the witness past a gap");
		sim_log_copy(&a->log, &io->log, SIZE_MAX);
		break;
	case WITNESS_JOB_NONE:
	case WITNESS_JOB_PROMISE: /* of a share */
	case WITNESS_JOB_RECORD:
		break;
	}
	io->result.job.copied = io->log.count;
}

static void land(struct sim_world *w, uint8_t node, struct sim_witness_io *io, bool is_record)
{
	if (!io->runs || io->has_landed || w->now_ms < io->land_ms)
		return;
	io->has_landed = true;
	if (!io->lands)
		return;
	if (!is_record && w->witness.is_share)
		land_share(w, node, io);
	else if (!is_record)
		land_area(w, node, io);
	else if (io->action == CLAIM_DO_READ)
		io->record = w->witness.record;
	else
		w->witness.record = io->record;
}

/* ---- the node */

static void adopt(struct sim_world *w, uint8_t node, const struct sim_log *log, uint8_t slot)
{
	struct repl_event e = {.type = REPL_EV_ADOPT};
	const struct sim_area *a = &w->witness.area[slot];

	e.adopt.view = w->node[node].witness.view;
	e.adopt.last = end_of(log);
	if (!sim_step(w, node, &e))
		sim_install(w, node, &e.adopt.view, log, &a->cluster, &a->genesis);
}

static void give(struct sim_world *w, uint8_t node, struct witness_event *e,
		 struct sim_witness_io *over)
{
	struct sim_node *n = &w->node[node];
	struct witness_actions out;
	const char *broken;

	e->now_ms = sim_local_ms(w, node);
	e->entropy = prng_next(&w->prng);
	witness_step(&n->witness, &n->repl, e, &out);
	broken = witness_check(&n->witness);
	if (broken)
		sim_fail(w, node, broken);
	if (out.record != CLAIM_DO_NOTHING) {
		n->record_io = (struct sim_witness_io){.action = out.record,
						       .record = n->witness.claim.own};
		submit(w, node, &n->record_io);
	}
	if (out.is_adoptable)
		adopt(w, node, &over->log, over->job.slot);
	if (over)
		io_done(over);
	if (out.job != WITNESS_JOB_NONE) {
		n->area_io = (struct sim_witness_io){.job = out};
		if (out.job == WITNESS_JOB_COPY)
			sim_log_copy(&n->area_io.log, &n->disk.log, SIZE_MAX);
		else if (out.job == WITNESS_JOB_APPEND)
			sim_log_copy(&n->area_io.log, &n->disk.log, out.until);
		submit(w, node, &n->area_io);
	}
	if (out.says) {
		struct repl_event say = {.type = REPL_EV_CLAIMED, .claimed = out.claimed};

		if (w->trace)
			printf("%8llu %6llums n%u claimed %d promised %llu persisted %llu\n",
			       (unsigned long long)w->steps, (unsigned long long)w->now_ms, node,
			       out.claimed.is_held, (unsigned long long)out.claimed.promised,
			       (unsigned long long)out.claimed.persisted);
		sim_step(w, node, &say);
	}
}

void sim_witness_started(struct sim_world *w, uint8_t node)
{
	struct witness_event e = {
		.type = WITNESS_EV_OPENED,
		.opened = {.d_ms = w->witness.d_ms, .is_share = w->witness.is_share},
	};
	struct sim_node *n = &w->node[node];

	if (!w->witness.d_ms)
		return;
	witness_init(&n->witness, node);
	n->witness.mutant = w->witness_mutant;
	n->repl.witness.is_reached = !is_cut(w, node);
	give(w, node, &e, NULL);
}

/* A write of the record may still land, whenever; the area is locked until its writer is gone. */
void sim_witness_ended(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];

	if (n->record_io.runs && n->record_io.action == CLAIM_DO_WRITE && !n->orphan.runs)
		n->orphan = n->record_io;
	if (n->area_io.runs && prng_chance(&w->prng, 1, 2)) {
		n->area_io.land_ms = 0;
		land(w, node, &n->area_io, false);
	}
	io_done(&n->area_io);
	n->record_io = (struct sim_witness_io){0};
}

static void reach(struct sim_world *w, uint8_t node)
{
	struct repl_event e = {.type = REPL_EV_REACH, .is_reached = !is_cut(w, node)};

	if (w->node[node].repl.witness.is_reached != e.is_reached)
		sim_step(w, node, &e);
}

void sim_witness_run(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	struct witness_event e = {0};

	if (!w->witness.d_ms)
		return;
	land(w, node, &n->record_io, true);
	land(w, node, &n->area_io, false);
	land(w, node, &n->orphan, true);
	if (n->orphan.has_landed)
		n->orphan = (struct sim_witness_io){0};
	if (!n->process_up || n->is_frozen || w->failure)
		return;
	reach(w, node);
	if (n->record_io.has_landed && w->now_ms >= n->record_io.end_ms) {
		e.type =
			n->record_io.action == CLAIM_DO_READ ? WITNESS_EV_READ : WITNESS_EV_WRITTEN;
		e.is_ok = n->record_io.is_ok;
		e.record = n->record_io.record;
		n->record_io = (struct sim_witness_io){0};
		give(w, node, &e, NULL);
	}
	if (n->area_io.has_landed && w->now_ms >= n->area_io.end_ms) {
		struct sim_witness_io over = n->area_io;

		n->area_io = (struct sim_witness_io){0};
		e = over.result;
		e.type = WITNESS_EV_JOB;
		e.is_ok = over.is_ok;
		give(w, node, &e, &over);
	}
	e = (struct witness_event){.type = WITNESS_EV_TICK};
	give(w, node, &e, NULL);
}

/* ---- safety: its vote counts in one view at a time */

void sim_witness_check(struct sim_world *w)
{
	uint8_t at = CL_NODE_NONE;

	for (uint8_t i = 0; i < w->nodes; i++) {
		const struct repl_state *s = &w->node[i].repl;

		if (!w->node[i].process_up || !s->witness.counts ||
		    s->lease.witness_ms <= sim_local_ms(w, i) || !s->vtable.witness.vote)
			continue;
		if (at != CL_NODE_NONE && !cl_view_equal(&s->view, &w->node[at].repl.view))
			sim_fail(w, i, "C1: the witness's vote counts in two views");
		at = i;
	}
}
