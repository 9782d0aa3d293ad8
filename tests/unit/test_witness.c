/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disk witness of one node, step by step; and the records of its disk. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/witness.h"
#include "clusterd/core/witness_disk.h"

#define D	  1000
#define SELF	  1
#define START	  UINT64_C(50000)
#define DISK_SIZE (UINT64_C(128) << 20)

/* Node 1 of two, alone in a view in which the witness decides. */
struct rig {
	struct repl_state repl;
	struct witness_state w;
	struct witness_actions out;
	struct claim_record disk;
	uint64_t now;
};

static void give(struct rig *g, struct witness_event e)
{
	e.now_ms = g->now;
	e.entropy = 4711;
	witness_step(&g->w, &g->repl, &e, &g->out);
	assert_null(witness_check(&g->w));
}

static void tick(struct rig *g, uint64_t ms)
{
	g->now += ms;
	give(g, (struct witness_event){.type = WITNESS_EV_TICK});
}

static int setup(void **state)
{
	struct rig *g = calloc(1, sizeof(*g));
	struct repl_state *s = &g->repl;

	assert_non_null(g);
	for (uint8_t i = 0; i < 2; i++)
		s->vtable.member[i] = (struct cl_member){.nodeid = 101u + i, .vote = 1};
	s->vtable.witness = (struct cl_member){.nodeid = CL_WITNESS_NODEID, .vote = 1, .name = "w"};
	s->phase = REPL_INQUORATE;
	s->view_complete = true;
	s->view.nonce = 77;
	s->self_slot = s->witness.claimer = SELF;
	s->present = s->countable = cl_bit(SELF);
	s->witness.is_reached = true;
	s->last = s->winner = (struct cl_pos){.epoch = {1, 5, 0}, .index = 40};
	s->durable = 40;
	s->lease.seen[0] = 3;
	s->lease.beat = 9;
	g->now = START;
	g->disk.owner = CL_NODE_NONE;
	witness_init(&g->w, SELF);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void open_disk(struct rig *g)
{
	give(g, (struct witness_event){.type = WITNESS_EV_OPENED, .opened = {.d_ms = D}});
}

/* The record's I/O is done at once, until none is asked for. */
static void serve_record(struct rig *g)
{
	while (g->out.record != CLAIM_DO_NOTHING) {
		struct witness_event e = {.is_ok = true};

		if (g->out.record == CLAIM_DO_WRITE) {
			g->disk = g->w.claim.own;
			e.type = WITNESS_EV_WRITTEN;
		} else {
			e.type = WITNESS_EV_READ;
			e.record = g->disk;
		}
		assert_int_equal(g->out.job, WITNESS_JOB_NONE);
		give(g, e);
	}
}

static void claim_it(struct rig *g)
{
	open_disk(g);
	serve_record(g);
	tick(g, 2 * D);
	assert_int_equal(g->out.record, CLAIM_DO_READ);
	serve_record(g);
	assert_true(claim_is_owned(&g->w.claim, g->now));
}

static void job_over(struct rig *g, struct witness_event e)
{
	e.type = WITNESS_EV_JOB;
	give(g, e);
}

static void scanned(struct rig *g, struct cl_pos best, uint64_t floor)
{
	struct witness_event e = {.is_ok = true};

	assert_int_equal(g->out.job, WITNESS_JOB_SCAN);
	e.job.best = best;
	e.job.best_slot = best.index ? 0 : CL_NODE_NONE;
	e.job.floor = floor;
	job_over(g, e);
}

/* As the view does when it has delivered CLAIMED and this node has promised. */
static void become_quorate(struct rig *g, uint64_t number)
{
	g->repl.witness.counts = true;
	g->repl.quorum = quorum_evaluate(&g->repl.vtable, repl_countable(&g->repl));
	assert_int_equal(g->repl.quorum.reason, QUORUM_WITNESS);
	g->repl.phase = REPL_SYNCING;
	g->repl.number = g->repl.promised = number;
}

static void nothing_is_read_while_its_vote_does_not_decide(void **state)
{
	struct rig *g = *state;

	g->repl.countable = g->repl.present = 0x3;
	open_disk(g);
	assert_int_equal(g->out.record, CLAIM_DO_NOTHING);
	tick(g, 10 * D);
	assert_int_equal(g->out.record, CLAIM_DO_NOTHING);
}

static void nothing_is_read_by_a_node_that_is_not_the_claimer(void **state)
{
	struct rig *g = *state;

	g->repl.witness.claimer = 0;
	open_disk(g);
	assert_int_equal(g->out.record, CLAIM_DO_NOTHING);
}

static void the_areas_are_looked_at_only_when_the_record_is_owned(void **state)
{
	struct rig *g = *state;

	open_disk(g);
	serve_record(g);
	assert_int_equal(g->out.job, WITNESS_JOB_NONE);
	tick(g, 2 * D);
	assert_int_equal(g->out.job, WITNESS_JOB_NONE);
	serve_record(g);
	assert_int_equal(g->out.job, WITNESS_JOB_SCAN);
	assert_false(g->out.says);
}

static void the_view_is_told_of_the_claim_after_the_look(void **state)
{
	struct rig *g = *state;

	claim_it(g);
	scanned(g, (struct cl_pos){0}, 8);
	assert_true(g->out.says && g->out.claimed.is_held);
	assert_int_equal(g->out.claimed.floor, 8);
	assert_int_equal(g->out.claimed.promised, 0);
	assert_int_equal(g->out.claimed.valid_ms, 2 * D);
	assert_int_equal(g->out.claimed.view.nonce, 77);
}

static void it_tells_the_beats_that_were_seen_when_the_last_read_began(void **state)
{
	struct rig *g = *state;

	claim_it(g);
	g->repl.lease.seen[0] = 30; /* heard since */
	g->repl.lease.beat = 31;
	scanned(g, (struct cl_pos){0}, 0);
	assert_int_equal(g->out.claimed.seen.of[0], 3);
	assert_int_equal(g->out.claimed.seen.of[SELF], 9);
}

static void a_higher_history_is_fetched_before_the_vote_counts(void **state)
{
	struct rig *g = *state;

	claim_it(g);
	scanned(g, (struct cl_pos){.epoch = {1, 6, 0}, .index = 41}, 6);
	assert_false(g->out.says);
	assert_int_equal(g->out.job, WITNESS_JOB_FETCH);
	assert_int_equal(g->out.slot, 0);
	job_over(g, (struct witness_event){.is_ok = true});
	assert_true(g->out.is_adoptable);
	assert_false(g->out.says);
}

static void a_lower_or_equal_history_is_passed_over(void **state)
{
	struct rig *g = *state;

	claim_it(g);
	scanned(g, g->repl.winner, 5);
	assert_true(g->out.says);
	assert_int_equal(g->out.job, WITNESS_JOB_NONE);
}

static void the_whole_history_and_the_promise_are_copied_at_once(void **state)
{
	struct rig *g = *state;
	struct witness_event e = {.is_ok = true};

	claim_it(g);
	scanned(g, (struct cl_pos){0}, 0);
	become_quorate(g, 6);
	tick(g, 1);
	assert_int_equal(g->out.job, WITNESS_JOB_COPY);
	assert_int_equal(g->out.number, 6);
	e.job.copied = 40;
	job_over(g, e);
	assert_true(g->out.says);
	assert_int_equal(g->out.claimed.promised, 6);
	assert_int_equal(g->out.claimed.persisted, 0); /* nothing of this epoch */
}

static void nothing_is_copied_while_this_node_pulls(void **state)
{
	struct rig *g = *state;

	claim_it(g);
	scanned(g, (struct cl_pos){0}, 0);
	become_quorate(g, 6);
	g->repl.is_pulling = true;
	g->repl.phase = REPL_PULLING;
	tick(g, 1);
	assert_int_equal(g->out.job, WITNESS_JOB_NONE);
}

static void copy_it(struct rig *g)
{
	struct witness_event e = {.is_ok = true};

	claim_it(g);
	scanned(g, (struct cl_pos){0}, 0);
	become_quorate(g, 6);
	tick(g, 1);
	e.job.copied = 40;
	job_over(g, e);
}

static void what_is_durable_here_is_appended_and_then_said(void **state)
{
	struct rig *g = *state;
	struct witness_event e = {.is_ok = true};

	copy_it(g);
	g->repl.epoch_index = 41;
	g->repl.last.index = 43;
	g->repl.durable = 42;
	tick(g, 1);
	assert_int_equal(g->out.job, WITNESS_JOB_APPEND);
	assert_int_equal(g->out.after, 40);
	assert_int_equal(g->out.until, 42);
	assert_false(g->out.says);
	e.job.copied = 42;
	job_over(g, e);
	assert_int_equal(g->out.claimed.persisted, 42);
}

static void an_append_that_fails_is_made_good_by_a_copy(void **state)
{
	struct rig *g = *state;

	copy_it(g);
	g->repl.epoch_index = 41;
	g->repl.durable = g->repl.last.index = 41;
	tick(g, 1);
	job_over(g, (struct witness_event){.is_ok = false});
	assert_false(g->out.says);
	tick(g, D / 4);
	assert_int_equal(g->out.job, WITNESS_JOB_COPY);
}

static void what_is_written_after_the_claim_is_lost_is_not_said(void **state)
{
	struct rig *g = *state;
	struct witness_event e = {.is_ok = true};

	copy_it(g);
	g->repl.epoch_index = 41;
	g->repl.durable = g->repl.last.index = 41;
	tick(g, 1);
	assert_int_equal(g->out.job, WITNESS_JOB_APPEND);
	g->now += 3 * D; /* and no renewal */
	e.job.copied = 41;
	job_over(g, e);
	assert_true(g->out.says && !g->out.claimed.is_held);
	assert_int_equal(g->out.claimed.persisted, 0);
}

static void a_foreign_record_ends_it_and_the_view_is_told(void **state)
{
	struct rig *g = *state;

	copy_it(g);
	tick(g, D);
	assert_int_equal(g->out.record, CLAIM_DO_READ);
	g->disk = (struct claim_record){.owner = 0, .generation = 99, .nonce = 1};
	give(g, (struct witness_event){.type = WITNESS_EV_READ, .is_ok = true, .record = g->disk});
	assert_true(g->out.says && !g->out.claimed.is_held);
	assert_false(claim_is_owned(&g->w.claim, g->now));
}

static void a_renewal_is_said_with_the_beats_of_its_read(void **state)
{
	struct rig *g = *state;

	copy_it(g);
	g->repl.lease.seen[0] = 12;
	tick(g, D);
	serve_record(g);
	assert_true(g->out.says && g->out.claimed.is_held);
	assert_int_equal(g->out.claimed.seen.of[0], 12);
	assert_int_equal(g->out.claimed.promised, 6);
}

static void another_view_begins_anew(void **state)
{
	struct rig *g = *state;

	copy_it(g);
	g->repl.view.nonce = 78;
	g->repl.phase = REPL_INQUORATE;
	g->repl.witness.counts = false;
	tick(g, 1);
	assert_false(claim_is_owned(&g->w.claim, g->now));
	serve_record(g); /* its own record need not be watched */
	tick(g, 2 * D);
	serve_record(g);
	assert_int_equal(g->out.job, WITNESS_JOB_SCAN);
	assert_false(g->out.says);
}

static void a_job_of_the_view_before_says_nothing(void **state)
{
	struct rig *g = *state;
	struct witness_event e = {.is_ok = true};

	claim_it(g);
	scanned(g, (struct cl_pos){0}, 0);
	become_quorate(g, 6);
	tick(g, 1); /* the copy begins */
	g->repl.view.nonce = 78;
	g->repl.phase = REPL_INQUORATE;
	g->repl.witness.counts = false;
	tick(g, 1);
	serve_record(g);
	tick(g, 2 * D);
	serve_record(g);
	assert_true(claim_is_owned(&g->w.claim, g->now));
	assert_int_equal(g->out.job, WITNESS_JOB_NONE); /* the channel is not free */
	e.job.copied = 40;
	job_over(g, e);
	assert_false(g->out.says);
	assert_int_equal(g->out.job, WITNESS_JOB_SCAN);
}

static void a_disk_that_is_taken_away_ends_the_claim(void **state)
{
	struct rig *g = *state;

	copy_it(g);
	give(g, (struct witness_event){.type = WITNESS_EV_CLOSED});
	assert_true(g->out.says && !g->out.claimed.is_held);
	tick(g, D);
	assert_int_equal(g->out.record, CLAIM_DO_NOTHING);
}

/* ---- a share */

static void open_share(struct rig *g)
{
	g->repl.vtable.witness.nodeid = CL_WITNESS_SHARE;
	g->repl.witness.set = cl_bit(SELF);
	give(g, (struct witness_event){.type = WITNESS_EV_OPENED,
				       .opened = {.d_ms = D, .is_share = true}});
}

static void share_told(struct rig *g, struct witness_set set, uint64_t floor)
{
	struct witness_event e = {.is_ok = true, .job = {.floor = floor, .set = set}};

	job_over(g, e);
}

/* Looked at, claimed, and looked at again. */
static void claim_share(struct rig *g, struct witness_set set)
{
	open_share(g);
	assert_int_equal(g->out.job, WITNESS_JOB_SCAN);
	share_told(g, set, 0);
	serve_record(g);
	tick(g, 2 * D);
	serve_record(g);
	assert_true(claim_is_owned(&g->w.claim, g->now));
	assert_int_equal(g->out.job, WITNESS_JOB_SCAN);
	share_told(g, set, 8);
}

static const struct witness_set WITH_US = {.generation = 1, .number = 5, .members = 0x3};
static const struct witness_set WITHOUT_US = {.generation = 1, .number = 5, .members = 0x1};

static void a_share_is_looked_at_before_it_is_claimed(void **state)
{
	struct rig *g = *state;

	open_share(g);
	assert_int_equal(g->out.record, CLAIM_DO_NOTHING);
	assert_int_equal(g->out.job, WITNESS_JOB_SCAN);
	share_told(g, WITH_US, 0);
	assert_int_equal(g->out.record, CLAIM_DO_READ);
}

static void strangers_do_not_claim_a_share_and_look_again(void **state)
{
	struct rig *g = *state;

	open_share(g);
	share_told(g, WITHOUT_US, 0);
	assert_true(g->w.is_barred);
	tick(g, D - 1);
	assert_int_equal(g->out.record, CLAIM_DO_NOTHING);
	assert_int_equal(g->out.job, WITNESS_JOB_NONE);
	tick(g, 1);
	assert_int_equal(g->out.job, WITNESS_JOB_SCAN);
	share_told(g, WITH_US, 0);
	assert_false(g->w.is_barred);
	assert_int_equal(g->out.record, CLAIM_DO_READ);
}

static void a_node_of_the_set_that_lost_its_disk_is_a_stranger(void **state)
{
	struct rig *g = *state;

	g->repl.present = 0x3;
	open_share(g);
	share_told(g, WITHOUT_US, 0); /* node 0 is here and blank */
	assert_true(g->w.is_barred);
}

static void a_share_that_knows_nobody_takes_whoever_is_here(void **state)
{
	struct rig *g = *state;

	claim_share(g, (struct witness_set){0});
	assert_true(g->out.says && g->out.claimed.is_held);
	assert_int_equal(g->out.claimed.floor, 8);
}

static void who_was_overtaken_while_it_claimed_leaves_the_share(void **state)
{
	struct rig *g = *state;

	open_share(g);
	share_told(g, WITH_US, 0);
	serve_record(g);
	tick(g, 2 * D);
	serve_record(g);
	share_told(g, WITHOUT_US, 8);
	assert_false(g->out.says);
	tick(g, 1);
	assert_false(claim_is_owned(&g->w.claim, g->now));
	assert_int_equal(g->out.record, CLAIM_DO_NOTHING);
}

static void the_set_is_recorded_when_each_of_it_is_synced_and_then_said(void **state)
{
	struct rig *g = *state;
	struct witness_set own = {.generation = 1, .number = 9, .members = 0x3};

	g->repl.countable = g->repl.present = g->repl.witness.set = 0x3;
	g->repl.vtable.member[2] = (struct cl_member){.nodeid = 103, .vote = 1};
	g->repl.vtable.member[3] = (struct cl_member){.nodeid = 104, .vote = 1};
	g->repl.generation = 1;
	open_share(g);
	g->repl.witness.set = 0x3;
	share_told(g, WITH_US, 0);
	serve_record(g);
	tick(g, 2 * D);
	serve_record(g);
	share_told(g, WITH_US, 8);
	become_quorate(g, 9);
	tick(g, 1);
	assert_int_equal(g->out.job, WITNESS_JOB_PROMISE);
	assert_int_equal(g->out.number, 9);
	g->repl.synced = 0x2;
	share_told(g, WITH_US, 9);
	tick(g, 1);
	assert_int_equal(g->out.job, WITNESS_JOB_NONE); /* node 0 does not hold the history */
	g->repl.synced = 0x3;
	tick(g, 1);
	assert_int_equal(g->out.job, WITNESS_JOB_RECORD);
	assert_int_equal(g->out.set.members, 0x3);
	assert_false(g->out.says);
	share_told(g, own, 9);
	assert_true(g->out.says);
	assert_int_equal(g->out.claimed.promised, 9);
	assert_int_equal(g->out.claimed.persisted, 0);
}

static void a_set_that_is_not_in_force_is_not_said(void **state)
{
	struct rig *g = *state;

	g->repl.generation = 1;
	claim_share(g, WITH_US);
	become_quorate(g, 9);
	g->repl.synced = cl_bit(SELF);
	tick(g, 1);
	share_told(g, WITH_US, 9);
	assert_int_equal(g->out.job, WITNESS_JOB_RECORD);
	share_told(g, WITH_US, 9); /* it is not what was written that is read */
	assert_false(g->out.says);
	tick(g, D);
	assert_int_equal(g->w.job, WITNESS_JOB_RECORD);
}

/* ---- records */

static const struct cl_uuid ID = {{1, 2, 3}};
static const struct cl_uuid OTHER = {{9}};

static void a_record_comes_back_as_it_was(void **state)
{
	uint8_t block[WITNESS_BLOCK];
	struct witness_header h = {.id = ID, .cluster = OTHER, .d_ms = 3000, .bytes = DISK_SIZE},
			      h2;
	struct claim_record c = {.owner = 3, .view = {{1, 2}, 3}, .generation = 4, .nonce = 5}, c2;
	struct witness_head a = {.generation = 1,
				 .promised = 7,
				 .end = {{1, 2, 3}, 4},
				 .half = 1,
				 .bytes = 100,
				 .checksum = 6},
			    a2;

	(void)state;
	witness_header_encode(&h, block);
	assert_int_equal(witness_header_decode(block, &h2), 0);
	assert_memory_equal(&h2.id, &ID, sizeof(ID));
	assert_int_equal(h2.bytes, DISK_SIZE);
	witness_claim_encode(&c, &ID, block);
	assert_int_equal(witness_claim_decode(block, &ID, &c2), 0);
	assert_int_equal(c2.owner, 3);
	assert_int_equal(c2.nonce, 5);
	witness_head_encode(&a, &ID, block);
	assert_int_equal(witness_head_decode(block, &ID, &a2), 0);
	assert_int_equal(a2.end.index, 4);
	assert_int_equal(a2.checksum, 6);
}

static void a_record_is_of_its_witness_and_kind(void **state)
{
	uint8_t block[WITNESS_BLOCK] = {0};
	struct claim_record c = {.owner = 3}, c2;
	struct witness_head a;

	(void)state;
	assert_int_equal(witness_claim_decode(block, &ID, &c2), -ENODATA);
	witness_claim_encode(&c, &ID, block);
	assert_int_equal(witness_claim_decode(block, &OTHER, &c2), -ESTALE);
	assert_int_equal(witness_head_decode(block, &ID, &a), -EBADMSG);
	block[4] = 2; /* the version, and the checksum is wrong now */
	assert_int_equal(witness_claim_decode(block, &ID, &c2), -EBADMSG);
}

static void what_a_share_stores_comes_back_as_it_was(void **state)
{
	uint8_t block[WITNESS_BLOCK];
	struct witness_header h = {.id = ID, .cluster = OTHER, .d_ms = 3000}, h2;
	struct witness_share_file f = {.promised = 9, .set = {1, 7, 0x5}}, f2,
				  bad = {.promised = 9, .set = {1, 7, 0}};

	(void)state;
	witness_header_encode(&h, block);
	assert_int_equal(witness_header_decode(block, &h2), -EBADMSG); /* it is no disk */
	assert_int_equal(witness_share_header_decode(block, &h2), 0);
	assert_int_equal(h2.d_ms, 3000);
	h.bytes = DISK_SIZE;
	witness_header_encode(&h, block);
	assert_int_equal(witness_share_header_decode(block, &h2), -EBADMSG);
	witness_share_encode(&f, &ID, block);
	assert_int_equal(witness_share_decode(block, &OTHER, &f2), -ESTALE);
	assert_int_equal(witness_share_decode(block, &ID, &f2), 0);
	assert_int_equal(f2.promised, 9);
	assert_int_equal(f2.set.number, 7);
	assert_int_equal(f2.set.members, 0x5);
	witness_share_encode(&bad, &ID, block); /* a set of nobody */
	assert_int_not_equal(witness_share_decode(block, &ID, &f2), 0);
}

static void of_two_sets_that_of_the_later_epoch_is_in_force(void **state)
{
	struct witness_set a = {1, 7, 0x1}, b = {1, 8, 0x2}, c = {17, 2, 0x4};

	(void)state;
	assert_true(witness_set_compare(&a, &b) < 0);
	assert_true(witness_set_compare(&b, &c) < 0); /* quorum was forced in between */
	assert_int_equal(witness_set_compare(&c, &c), 0);
}

static void every_flipped_bit_is_seen(void **state)
{
	uint8_t block[WITNESS_BLOCK];
	struct witness_head a = {.generation = 1, .end = {{1, 2, 3}, 4}}, a2;

	(void)state;
	witness_head_encode(&a, &ID, block);
	for (size_t bit = 0; bit < 8 * sizeof(block); bit += 7) {
		block[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(witness_head_decode(block, &ID, &a2), 0);
		block[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void the_parts_of_a_disk_do_not_overlap(void **state)
{
	static const uint64_t sizes[] = {WITNESS_BYTES_MIN, DISK_SIZE, (UINT64_C(1) << 40) + 4096};

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		uint64_t end = WITNESS_AREAS_AT;

		for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
			assert_true(witness_head_at(sizes[k], slot, 0) >= end);
			assert_true(witness_head_at(sizes[k], slot, 1) + WITNESS_BLOCK <=
				    witness_half_at(sizes[k], slot, 0));
			assert_int_equal(witness_half_at(sizes[k], slot, 1),
					 witness_half_at(sizes[k], slot, 0) +
						 witness_half_bytes(sizes[k]));
			end = witness_half_at(sizes[k], slot, 1) + witness_half_bytes(sizes[k]);
		}
		assert_true(end <= sizes[k]);
		assert_int_equal(witness_half_bytes(sizes[k]) % WITNESS_BLOCK, 0);
	}
}

static void every_mutant_and_job_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < WITNESS_MUTANT_MAX; i++)
		assert_string_not_equal(witness_mutant_name((enum witness_mutant)i), "?");
	assert_string_equal(witness_mutant_name(WITNESS_MUTANT_MAX), "?");
	assert_string_equal(witness_job_name(WITNESS_JOB_COPY), "copy");
	assert_string_equal(witness_job_name(WITNESS_JOB_NONE), "none");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(nothing_is_read_while_its_vote_does_not_decide),
		TEST(nothing_is_read_by_a_node_that_is_not_the_claimer),
		TEST(the_areas_are_looked_at_only_when_the_record_is_owned),
		TEST(the_view_is_told_of_the_claim_after_the_look),
		TEST(it_tells_the_beats_that_were_seen_when_the_last_read_began),
		TEST(a_higher_history_is_fetched_before_the_vote_counts),
		TEST(a_lower_or_equal_history_is_passed_over),
		TEST(the_whole_history_and_the_promise_are_copied_at_once),
		TEST(nothing_is_copied_while_this_node_pulls),
		TEST(what_is_durable_here_is_appended_and_then_said),
		TEST(an_append_that_fails_is_made_good_by_a_copy),
		TEST(what_is_written_after_the_claim_is_lost_is_not_said),
		TEST(a_foreign_record_ends_it_and_the_view_is_told),
		TEST(a_renewal_is_said_with_the_beats_of_its_read),
		TEST(another_view_begins_anew),
		TEST(a_job_of_the_view_before_says_nothing),
		TEST(a_disk_that_is_taken_away_ends_the_claim),
		TEST(a_share_is_looked_at_before_it_is_claimed),
		TEST(strangers_do_not_claim_a_share_and_look_again),
		TEST(a_node_of_the_set_that_lost_its_disk_is_a_stranger),
		TEST(a_share_that_knows_nobody_takes_whoever_is_here),
		TEST(who_was_overtaken_while_it_claimed_leaves_the_share),
		TEST(the_set_is_recorded_when_each_of_it_is_synced_and_then_said),
		TEST(a_set_that_is_not_in_force_is_not_said),
		TEST(what_a_share_stores_comes_back_as_it_was),
		TEST(of_two_sets_that_of_the_later_epoch_is_in_force),
		cmocka_unit_test(a_record_comes_back_as_it_was),
		cmocka_unit_test(a_record_is_of_its_witness_and_kind),
		cmocka_unit_test(every_flipped_bit_is_seen),
		cmocka_unit_test(the_parts_of_a_disk_do_not_overlap),
		cmocka_unit_test(every_mutant_and_job_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
