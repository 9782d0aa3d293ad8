/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dynamic votes: which vote changes next, in which order, and when none does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/quorum.h"
#include "clusterd/core/votes.h"
#include "lib/prng.h"

#define NOW_MS	  1000000
#define ABSENT_MS 30000

/* Members in slots 0 .. n - 1, all here, those of `voters` with a vote. */
static struct votes_input cluster(uint8_t n, uint16_t voters)
{
	struct votes_input in = {
		.is_dynamic = true, .absent_ms = ABSENT_MS, .now_ms = NOW_MS, .priority = {0}};

	for (uint8_t i = 0; i < n; i++) {
		struct cl_member *m = &in.table.member[i];

		*m = (struct cl_member){.nodeid = 101u + i, .vote = (voters & cl_bit(i)) != 0};
		snprintf(m->name, sizeof(m->name), "n%u", i + 1u);
		in.priority[i] = 100;
	}
	in.present = in.holders = in.following = quorum_members(&in.table);
	return in;
}

static void lose(struct votes_input *in, uint8_t slot, uint64_t absent_ms)
{
	in->present = (uint16_t)(in->present & ~cl_bit(slot));
	in->holders = in->following = (uint16_t)(in->holders & ~cl_bit(slot));
	in->absent_since_ms[slot] = in->now_ms - absent_ms;
}

static void expect(const struct votes_input *in, uint8_t slot, bool is_given,
		   enum votes_reason reason)
{
	struct votes_change c = {.slot = CL_NODE_NONE};

	assert_true(votes_next(in, &c));
	assert_int_equal(c.slot, slot);
	assert_int_equal(c.is_given, is_given);
	assert_int_equal(c.reason, reason);
}

static void expect_rest(const struct votes_input *in)
{
	struct votes_change c;

	assert_false(votes_next(in, &c));
}

/* The votes at rest after all changes. */
static uint16_t settled(struct votes_input in)
{
	votes_settle(&in);
	return quorum_voters(&in.table);
}

static void a_node_that_holds_everything_gets_its_vote(void **state)
{
	struct votes_input in = cluster(3, 0x1);

	(void)state;
	expect(&in, 1, true, VOTES_CAUGHT_UP);
	in.table.member[1].vote = 1;
	expect(&in, 2, true, VOTES_CAUGHT_UP);
	in.table.member[2].vote = 1;
	expect_rest(&in);
}

static void a_node_that_lags_gets_none_yet(void **state)
{
	struct votes_input in = cluster(3, 0x1);

	(void)state;
	in.holders = in.following = 0x1;
	expect_rest(&in);
	in.holders = in.following = 0x3; /* two of three are there: one of them carries the vote */
	expect_rest(&in);
}

static void a_moment_behind_is_waited_for_and_costs_nobody_a_vote(void **state)
{
	struct votes_input in = cluster(3, 0x3);

	(void)state;
	in.holders = 0x3; /* 2 has not said yet that it holds the newest entry */
	expect_rest(&in);
	in.holders = 0x7;
	expect(&in, 2, true, VOTES_CAUGHT_UP);
}

static void of_an_even_number_one_sits_out(void **state)
{
	struct votes_input in = cluster(4, 0xf);

	(void)state;
	expect(&in, 3, false, VOTES_ODD); /* the highest slot among equals */
	in.priority[1] = 99;
	expect(&in, 1, false, VOTES_ODD); /* a lower priority first */
	in.draining = 0x4;
	expect(&in, 2, false, VOTES_ODD); /* one that is drained before that */
	in.leaving = 0x1;
	expect(&in, 0, false, VOTES_LEAVING); /* and who leaves is not counted at all */
	assert_int_equal(settled(in), 0xe);
}

static void an_absent_node_keeps_its_vote_for_a_time(void **state)
{
	struct votes_input in = cluster(5, 0x1f);

	(void)state;
	lose(&in, 4, ABSENT_MS - 1);
	expect_rest(&in);
	in.now_ms++;
	expect(&in, 4, false, VOTES_ABSENT);
	assert_int_equal(settled(in), 0x7); /* four are left: one of them sits out */
}

static void a_returned_node_gets_its_vote_back_when_it_has_caught_up(void **state)
{
	struct votes_input in = cluster(5, 0x7);

	(void)state;
	in.holders = in.following = 0xf; /* 4 is in the view and still fetches */
	expect_rest(&in);
	in.holders = in.following = 0x1f;
	assert_int_equal(settled(in), 0x1f);
}

static void the_absent_lose_theirs_before_anything_else(void **state)
{
	struct votes_input in = cluster(4, 0x7); /* 3 sits out */

	(void)state;
	lose(&in, 0, ABSENT_MS);
	expect(&in, 0, false, VOTES_ABSENT);
	in.table.member[0].vote = 0;
	expect(&in, 3, true, VOTES_CAUGHT_UP);
	in.table.member[3].vote = 1;
	expect_rest(&in);
}

static void of_two_nodes_one_carries_the_vote_and_hands_it_over(void **state)
{
	struct votes_input in = cluster(2, 0x1);

	(void)state;
	expect_rest(&in);
	in.leaving = 0x1;
	assert_false(votes_may_leave(&in, 0));
	expect(&in, 1, true, VOTES_CAUGHT_UP);
	in.table.member[1].vote = 1;
	expect(&in, 0, false, VOTES_LEAVING);
	in.table.member[0].vote = 0;
	expect_rest(&in);
	assert_true(votes_may_leave(&in, 0));
}

static void a_drain_of_the_voter_moves_the_vote(void **state)
{
	struct votes_input in = cluster(2, 0x1);

	(void)state;
	in.draining = 0x1;
	assert_int_equal(settled(in), 0x2);
	in.draining = 0x3;
	assert_int_equal(settled(in), 0x1);
}

static void the_last_vote_is_never_taken(void **state)
{
	struct votes_input in = cluster(1, 0x1);

	(void)state;
	in.leaving = 0x1;
	expect_rest(&in);
	assert_true(votes_may_leave(&in, 0));
	in = cluster(3, 0x7);
	in.leaving = 0x7; /* all at once: any two of them can start again */
	expect_rest(&in);
}

static void without_a_majority_nothing_changes(void **state)
{
	struct votes_input in = cluster(5, 0x1f);

	(void)state;
	lose(&in, 4, ABSENT_MS);
	lose(&in, 3, ABSENT_MS);
	lose(&in, 2, ABSENT_MS);
	expect_rest(&in);
	assert_int_equal(votes_may_lose_at_once(&in), -1);
	assert_int_equal(votes_may_lose_in_turn(&in), -1);
}

static void with_dynamic_off_the_absent_keep_their_votes(void **state)
{
	struct votes_input in = cluster(5, 0x1f);

	(void)state;
	in.is_dynamic = false;
	lose(&in, 4, 100 * ABSENT_MS);
	in.leaving = 0x8;
	expect_rest(&in);
	assert_int_equal(votes_may_lose_in_turn(&in), 1);
	in = cluster(2, 0x1);
	in.is_dynamic = false;
	in.leaving = 0x1; /* of two, the vote moves all the same */
	assert_int_equal(settled(in), 0x2);
}

static void a_cluster_that_stops_keeps_its_votes(void **state)
{
	struct votes_input in = cluster(5, 0x7);

	(void)state;
	in.is_stopping = true;
	in.leaving = 0x1f;
	assert_int_equal(settled(in), 0x1f); /* and has those restored that were taken */
	in.table.member[3].vote = in.table.member[4].vote = 1;
	lose(&in, 4, 100 * ABSENT_MS);
	lose(&in, 3, 100 * ABSENT_MS);
	expect_rest(&in);
}

static void votes_configured_are_all_or_all_but_one(void **state)
{
	struct votes_input in = cluster(6, 0x1);

	(void)state;
	in.priority[2] = 7;
	in.leaving = in.draining = 0x30;
	assert_int_equal(votes_configured(&in), 0x3b);
	in = cluster(7, 0x1);
	assert_int_equal(votes_configured(&in), 0x7f);
}

static void what_may_fail_is_counted(void **state)
{
	static const struct {
		uint8_t nodes;
		uint16_t voters;
		int at_once, in_turn;
	} row[] = {
		{1, 0x1, 0, 0},	 {2, 0x1, 0, 0},  {3, 0x7, 1, 1},  {4, 0x7, 1, 2},
		{5, 0x1f, 2, 3}, {6, 0x1f, 2, 4}, {7, 0x7f, 3, 5}, {16, 0x7fff, 7, 14},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct votes_input in = cluster(row[i].nodes, row[i].voters);

		assert_int_equal(votes_may_lose_at_once(&in), row[i].at_once);
		assert_int_equal(votes_may_lose_in_turn(&in), row[i].in_turn);
	}
}

static void a_watch_counts_from_when_a_member_is_missed(void **state)
{
	uint64_t since[CL_MAX_NODES] = {0};

	(void)state;
	votes_watch(since, 0x7, 0x3, 100);
	votes_watch(since, 0x7, 0x3, 200);
	assert_int_equal(since[2], 100);
	assert_int_equal(since[1], 0);
	assert_int_equal(since[3], 0); /* no member */
	votes_watch(since, 0x7, 0x5, 300);
	assert_int_equal(since[2], 0);
	assert_int_equal(since[1], 300);
}

/* Every state comes to rest, by steps that quorum allows, with an odd number of votes. */
static void every_state_comes_to_rest(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 7);
	for (int n = 0; n < 20000; n++) {
		uint8_t nodes = (uint8_t)prng_range(&p, 1, 16);
		uint16_t members = (uint16_t)((1u << nodes) - 1);
		struct votes_input in = cluster(nodes, (uint16_t)(prng_next(&p) & members));
		struct votes_change c;
		bool is_quorate;

		in.present = (uint16_t)(members & prng_next(&p));
		in.holders = (uint16_t)(in.present & (prng_next(&p) | prng_next(&p)));
		in.following = (uint16_t)(in.holders | (in.present & prng_next(&p)));
		in.leaving = (uint16_t)(members & prng_next(&p) & prng_next(&p));
		in.draining = (uint16_t)(members & prng_next(&p) & prng_next(&p));
		in.is_dynamic = prng_chance(&p, 3, 4);
		in.is_stopping = prng_chance(&p, 1, 4);
		for (uint8_t i = 0; i < nodes; i++) {
			in.priority[i] = (uint8_t)prng_range(&p, 99, 101);
			if (!(in.present & cl_bit(i)))
				in.absent_since_ms[i] =
					in.now_ms - prng_below(&p, 2 * (uint64_t)ABSENT_MS);
		}
		is_quorate = quorum_is_majority(&in.table, in.holders);
		for (int steps = 0; votes_next(&in, &c); steps++) {
			struct cl_table to = in.table;

			assert_true(is_quorate && steps < 2 * CL_MAX_NODES);
			assert_int_not_equal(to.member[c.slot].vote, c.is_given);
			to.member[c.slot].vote = c.is_given;
			assert_true(quorum_change_allowed(&in.table, &to));
			assert_true(quorum_is_majority(&to, in.holders));
			in.table = to;
		}
		if (is_quorate && in.holders == in.present && votes_wanted(&in) && in.is_dynamic &&
		    !in.is_stopping && !in.leaving)
			assert_int_equal(quorum_voters(&in.table), votes_wanted(&in));
	}
}

/* ---- the witness */

/* As cluster(), with a witness that works. */
static struct votes_input witnessed(uint8_t n, uint16_t voters, bool vote)
{
	struct votes_input in = cluster(n, voters);

	in.table.witness =
		(struct cl_member){.nodeid = CL_WITNESS_NODEID, .vote = vote, .name = "w"};
	in.witness_works = true;
	return in;
}

static void with_a_witness_an_even_number_of_nodes_all_vote(void **state)
{
	struct votes_input in = witnessed(2, 0x1, false);

	(void)state;
	expect(&in, 1, true, VOTES_CAUGHT_UP);
	in.table.member[1].vote = 1;
	expect(&in, CL_WITNESS_SLOT, true, VOTES_REACHED);
	in.table.witness.vote = 1;
	expect_rest(&in);
	assert_int_equal(votes_may_lose_at_once(&in), 1);
}

static void with_an_odd_number_of_nodes_the_witness_has_no_vote(void **state)
{
	struct votes_input in = witnessed(3, 0x7, false);

	(void)state;
	expect_rest(&in);
	in = witnessed(3, 0x7, true);
	expect(&in, CL_WITNESS_SLOT, false, VOTES_ODD);
}

static void a_witness_that_does_not_work_loses_its_vote_before_a_node_sits_out(void **state)
{
	struct votes_input in = witnessed(4, 0xf, true);

	(void)state;
	in.witness_works = false;
	expect(&in, CL_WITNESS_SLOT, false, VOTES_UNREACHED);
	in.table.witness.vote = 0;
	expect(&in, 3, false, VOTES_ODD);
	in.table.member[3].vote = 0;
	expect_rest(&in);
	in.witness_works = true;
	expect(&in, 3, true, VOTES_CAUGHT_UP);
}

static void a_witness_that_was_replaced_loses_its_vote_whatever_it_does(void **state)
{
	struct votes_input in = witnessed(2, 0x3, true);

	(void)state;
	in.witness_is_old = true;
	in.witness_works = false;
	in.is_stopping = true;
	expect(&in, CL_WITNESS_SLOT, false, VOTES_REPLACED);
}

static void a_cluster_that_is_stopped_keeps_the_vote_of_its_witness(void **state)
{
	struct votes_input in = witnessed(2, 0x3, true);

	(void)state;
	in.witness_works = false;
	in.is_stopping = true;
	expect_rest(&in);
}

static void the_last_node_is_shrunk_to_with_the_claim_only(void **state)
{
	struct votes_input in = witnessed(2, 0x3, true);

	(void)state;
	lose(&in, 1, ABSENT_MS);
	expect_rest(&in); /* one of three commits nothing */
	in.witness_counts = true;
	expect(&in, 1, false, VOTES_ABSENT);
	in.table.member[1].vote = 0;
	expect(&in, CL_WITNESS_SLOT, false, VOTES_ODD);
	in.table.witness.vote = 0;
	expect_rest(&in);
}

static void a_share_that_does_not_know_who_is_here_is_not_counted_on(void **state)
{
	struct votes_input in = witnessed(2, 0x3, true);

	(void)state;
	in.table.witness.nodeid = CL_WITNESS_SHARE;
	assert_int_equal(votes_may_lose_at_once(&in), 1);
	in.witness_is_new = true;
	assert_int_equal(votes_may_lose_at_once(&in), 0);
	expect_rest(&in); /* and its vote stays: it will be told */
}

/* ---- disk-only */

static struct votes_input sole(uint8_t n, uint16_t voters, bool vote)
{
	struct votes_input in = witnessed(n, voters, vote);

	in.table.witness.nodeid = CL_WITNESS_SOLE;
	in.is_sole = true;
	return in;
}

static void with_disk_only_the_witness_votes_first_and_then_alone(void **state)
{
	struct votes_input in = sole(3, 0x7, false);

	(void)state;
	assert_int_equal(votes_configured(&in), 0);
	expect(&in, CL_WITNESS_SLOT, true, VOTES_SOLE);
	in.table.witness.vote = 1;
	expect(&in, 2, false, VOTES_SOLE);
	in.table.member[2].vote = 0;
	expect_rest(&in); /* it is not claimed: with it one of the other two would not be enough */
	in.witness_counts = true;
	votes_settle(&in);
	assert_int_equal(quorum_voters(&in.table), 0);
	assert_true(in.table.witness.vote);
	assert_int_equal(votes_may_lose_at_once(&in), 2);
	assert_int_equal(votes_may_lose_in_turn(&in), 2);
}

static void with_disk_only_those_not_here_lose_their_votes_first(void **state)
{
	struct votes_input in = sole(3, 0x7, true);

	(void)state;
	in.witness_counts = true;
	lose(&in, 0, 0);
	expect(&in, 0, false, VOTES_SOLE);
}

static void a_disk_that_is_lost_on_the_way_is_no_sole_voter(void **state)
{
	struct votes_input in = sole(3, 0x3, true);

	(void)state;
	in.witness_works = false;
	expect(&in, CL_WITNESS_SLOT, false, VOTES_UNREACHED);
}

static void back_from_disk_only_the_nodes_vote_before_the_disk_does_not(void **state)
{
	struct votes_input in = sole(3, 0x0, true);

	(void)state;
	in.is_sole = false;
	in.witness_is_old = in.witness_counts = true;
	in.witness_works = false;
	expect(&in, 0, true, VOTES_CAUGHT_UP);
	votes_settle(&in);
	assert_int_equal(quorum_voters(&in.table), 0x7);
	assert_false(in.table.witness.vote);
}

/* ---- the facts */

#define INSTANCE(slot)	  (900u + (slot))
#define INCARNATION(slot) (70u + (slot))

struct scene {
	struct repl_state repl;
	struct db db;
	void *mem;
	struct votes_missed missed;
};

static const struct db_limits limits = {
	.capacity = {[DB_KIND_NODE] = 4, [DB_KIND_SETTING] = 4},
	.locks = {.max_sessions = 2, .max_resources = 2, .max_locks = 2, .max_queued = 2},
};

static struct db_node *node_of(struct scene *s, uint8_t slot)
{
	return db_node_by_slot(&s->db, slot);
}

/* Three nodes, all admitted, here, and holding what is committed. */
static void scene_init(struct scene *s)
{
	*s = (struct scene){.mem = malloc(db_size(&limits))};
	assert_non_null(s->mem);
	assert_int_equal(db_init(&s->db, s->mem, db_size(&limits), &limits), 0);
	s->repl.phase = REPL_OPEN;
	s->repl.vtable = cluster(3, 0x7).table;
	s->repl.present = 0x7;
	s->repl.commit = 50;
	s->repl.peer_count = 3;
	for (uint8_t i = 0; i < 3; i++) {
		struct repl_peer *p = &s->repl.peer[i];
		struct db_node *n;

		p->slot = i;
		p->state.instance = INSTANCE(i);
		p->state.incarnation = INCARNATION(i);
		s->repl.persisted[i] = 50;
		n = db_insert(&s->db, DB_KIND_NODE, s->repl.vtable.member[i].name);
		n->slot = i;
		n->instance = INSTANCE(i);
		n->incarnation = INCARNATION(i);
		n->membership = DB_MEMBERSHIP_ADMITTED;
	}
}

static struct votes_input facts(const struct scene *s)
{
	struct votes_input in;

	votes_facts(&in, &s->repl, &s->db, &s->missed, NOW_MS);
	return in;
}

static void goes(struct scene *s, uint8_t slot)
{
	s->repl.present = (uint16_t)(s->repl.present & ~cl_bit(slot));
	s->repl.peer[slot].slot = CL_NODE_NONE;
}

static void facts_are_settings_rows_and_the_view(void **state)
{
	struct scene s;
	struct votes_input in;
	struct db_setting *row;

	(void)state;
	scene_init(&s);
	row = db_insert(&s.db, DB_KIND_SETTING, "quorum.priority/n2");
	memcpy(row->value, "7", 2);
	row = db_insert(&s.db, DB_KIND_SETTING, "quorum.dynamic");
	memcpy(row->value, "off", 4);
	s.missed.node_ms[1] = 77;
	node_of(&s, 2)->is_draining = true;
	in = facts(&s);
	assert_int_equal(in.holders, 0x7);
	assert_int_equal(in.leaving, 0);
	assert_int_equal(in.draining, 0x4);
	assert_int_equal(in.priority[1], 7);
	assert_int_equal(in.priority[0], 100);
	assert_int_equal(in.absent_since_ms[1], 77);
	assert_int_equal(in.absent_ms, 30000);
	assert_false(in.is_dynamic || in.is_stopping);
	free(s.mem);
}

static void only_who_is_admitted_and_up_to_date_holds(void **state)
{
	struct scene s;

	(void)state;
	scene_init(&s);
	s.repl.persisted[0] = 49;
	node_of(&s, 1)->membership = DB_MEMBERSHIP_LOST;
	s.repl.peer[2].state.instance++; /* a new process, not admitted yet */
	assert_int_equal(facts(&s).holders, 0);
	assert_int_equal(facts(&s).following, 0x1);
	s.repl.epoch_index = 50; /* it has not said anything in this epoch */
	assert_int_equal(facts(&s).following, 0);
	s.repl.epoch_index = 10;
	s.repl.commit = 49 + VOTES_LAG_MAX;
	assert_int_equal(facts(&s).following, 0x1);
	s.repl.commit++;
	assert_int_equal(facts(&s).following, 0);
	free(s.mem);
}

static void leaving_is_who_says_so_has_gone_or_is_being_fenced(void **state)
{
	struct scene s;

	(void)state;
	scene_init(&s);
	node_of(&s, 0)->is_leaving = true;
	node_of(&s, 1)->membership = DB_MEMBERSHIP_LEFT;
	node_of(&s, 2)->membership = DB_MEMBERSHIP_FENCING;
	assert_int_equal(facts(&s).leaving, 0x7);
	s.repl.peer[0]
		.state.instance++; /* new processes of the first two, a new boot of the third */
	s.repl.peer[1].state.instance++;
	s.repl.peer[2].state.incarnation++;
	assert_int_equal(facts(&s).leaving, 0);
	goes(&s, 0); /* died while it was leaving: as any other that is absent */
	goes(&s, 1); /* so, too, one that has left with its vote: it may be about to start */
	goes(&s, 2);
	assert_int_equal(facts(&s).leaving, 0);
	node_of(&s, 0)->is_evicted = true;
	assert_int_equal(facts(&s).leaving, 0x1);
	node_of(&s, 0)->is_evicted = false;
	node_of(&s, 0)->is_quarantined = true;
	assert_int_equal(facts(&s).leaving, 0x1);
	free(s.mem);
}

static void reasons_have_words(void **state)
{
	(void)state;
	for (int i = 0; i < VOTES_REASON_MAX; i++)
		assert_string_not_equal(votes_reason_text((enum votes_reason)i), "?");
	assert_string_equal(votes_reason_text(VOTES_REASON_MAX), "?");
	for (int i = 0; i < VOTES_MUTANT_MAX; i++)
		assert_string_not_equal(votes_mutant_name((enum votes_mutant)i), "?");
	assert_string_equal(votes_mutant_name(VOTES_MUTANT_MAX), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_that_holds_everything_gets_its_vote),
		cmocka_unit_test(a_node_that_lags_gets_none_yet),
		cmocka_unit_test(a_moment_behind_is_waited_for_and_costs_nobody_a_vote),
		cmocka_unit_test(of_an_even_number_one_sits_out),
		cmocka_unit_test(an_absent_node_keeps_its_vote_for_a_time),
		cmocka_unit_test(a_returned_node_gets_its_vote_back_when_it_has_caught_up),
		cmocka_unit_test(the_absent_lose_theirs_before_anything_else),
		cmocka_unit_test(of_two_nodes_one_carries_the_vote_and_hands_it_over),
		cmocka_unit_test(a_drain_of_the_voter_moves_the_vote),
		cmocka_unit_test(the_last_vote_is_never_taken),
		cmocka_unit_test(without_a_majority_nothing_changes),
		cmocka_unit_test(with_dynamic_off_the_absent_keep_their_votes),
		cmocka_unit_test(a_cluster_that_stops_keeps_its_votes),
		cmocka_unit_test(votes_configured_are_all_or_all_but_one),
		cmocka_unit_test(what_may_fail_is_counted),
		cmocka_unit_test(a_watch_counts_from_when_a_member_is_missed),
		cmocka_unit_test(every_state_comes_to_rest),
		cmocka_unit_test(facts_are_settings_rows_and_the_view),
		cmocka_unit_test(only_who_is_admitted_and_up_to_date_holds),
		cmocka_unit_test(leaving_is_who_says_so_has_gone_or_is_being_fenced),
		cmocka_unit_test(reasons_have_words),
		cmocka_unit_test(with_a_witness_an_even_number_of_nodes_all_vote),
		cmocka_unit_test(with_an_odd_number_of_nodes_the_witness_has_no_vote),
		cmocka_unit_test(
			a_witness_that_does_not_work_loses_its_vote_before_a_node_sits_out),
		cmocka_unit_test(a_witness_that_was_replaced_loses_its_vote_whatever_it_does),
		cmocka_unit_test(a_cluster_that_is_stopped_keeps_the_vote_of_its_witness),
		cmocka_unit_test(a_share_that_does_not_know_who_is_here_is_not_counted_on),
		cmocka_unit_test(with_disk_only_the_witness_votes_first_and_then_alone),
		cmocka_unit_test(with_disk_only_those_not_here_lose_their_votes_first),
		cmocka_unit_test(a_disk_that_is_lost_on_the_way_is_no_sole_voter),
		cmocka_unit_test(back_from_disk_only_the_nodes_vote_before_the_disk_does_not),
		cmocka_unit_test(the_last_node_is_shrunk_to_with_the_claim_only),
	};

	return cmocka_run_group_tests_name("votes", tests, NULL, NULL);
}
