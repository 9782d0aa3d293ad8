/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Beats and the quorum lease: from when to when, and whose acknowledgement counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/lease.h"
#include "clusterd/core/quorum.h"

#define BEAT_MS	 400
#define LEASE_MS 2000
#define START_MS 10000

/* Node 0 of three, all with a vote, in a view that begins at START_MS. */
struct fixture {
	struct lease_state lease;
	struct cl_table table;
	uint16_t countable;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	for (uint8_t i = 0; i < 3; i++)
		f->table.member[i] = (struct cl_member){.nodeid = 101u + i, .vote = 1};
	f->countable = 0x7;
	lease_view_begin(&f->lease, 0, START_MS);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static uint64_t send(struct fixture *f, uint64_t now_ms)
{
	struct cl_msg_beat beat;

	lease_beat_send(&f->lease, now_ms, BEAT_MS, &beat);
	return beat.beat;
}

/* A beat of `from` that has seen our beat `seen`. */
static void hear(struct fixture *f, uint8_t from, uint64_t beat, uint64_t seen, uint64_t now_ms)
{
	struct cl_msg_beat m = {.beat = beat};

	m.seen.of[f->lease.self] = seen;
	lease_beat_heard(&f->lease, from, &m, now_ms);
	lease_extend(&f->lease, &f->table, f->countable, LEASE_MS);
}

static void the_first_beat_of_a_view_is_due_at_once(void **state)
{
	struct fixture *f = *state;

	assert_true(lease_beat_is_due(&f->lease, START_MS));
	assert_false(lease_beat_is_due(&f->lease, START_MS - 1));
}

static void beats_are_due_one_interval_apart(void **state)
{
	struct fixture *f = *state;

	send(f, START_MS + 5);
	assert_false(lease_beat_is_due(&f->lease, START_MS + 5 + BEAT_MS - 1));
	assert_true(lease_beat_is_due(&f->lease, START_MS + 5 + BEAT_MS));
}

static void beats_are_numbered_from_one(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(send(f, START_MS), 1);
	assert_int_equal(send(f, START_MS), 2);
}

static void a_beat_tells_the_newest_beat_seen_of_each_node(void **state)
{
	struct fixture *f = *state;
	struct cl_msg_beat beat;

	hear(f, 1, 7, 0, START_MS);
	hear(f, 1, 6, 0, START_MS); /* cannot happen in an ordered view; newest stays */
	hear(f, 2, 3, 0, START_MS);
	lease_beat_send(&f->lease, START_MS, BEAT_MS, &beat);
	assert_int_equal(beat.seen.of[1], 7);
	assert_int_equal(beat.seen.of[2], 3);
	assert_int_equal(beat.seen.of[0], 0);
}

static void the_lease_counts_from_the_sending_of_the_beat(void **state)
{
	struct fixture *f = *state;
	uint64_t beat = send(f, START_MS);

	hear(f, 1, 1, beat, START_MS + 1500);
	assert_int_equal(f->lease.deadline_ms, START_MS + LEASE_MS);
}

static void a_minority_of_answers_gives_no_lease(void **state)
{
	struct fixture *f = *state;
	uint64_t beat;

	for (uint8_t i = 3; i < 5; i++)
		f->table.member[i] = (struct cl_member){.nodeid = 101u + i, .vote = 1};
	f->countable = 0x1f;
	beat = send(f, START_MS);
	hear(f, 1, 1, beat, START_MS);
	assert_int_equal(f->lease.deadline_ms, 0);
	hear(f, 4, 1, beat, START_MS);
	assert_int_equal(f->lease.deadline_ms, START_MS + LEASE_MS);
}

static void nodes_without_a_vote_give_no_lease(void **state)
{
	struct fixture *f = *state;
	uint64_t beat = send(f, START_MS);

	f->table.member[1].vote = 0;
	hear(f, 1, 1, beat, START_MS);
	assert_int_equal(f->lease.deadline_ms, 0);
	hear(f, 2, 1, beat, START_MS);
	assert_int_equal(f->lease.deadline_ms, START_MS + LEASE_MS);
}

static void nodes_whose_vote_does_not_count_give_no_lease(void **state)
{
	struct fixture *f = *state;
	uint64_t beat = send(f, START_MS);

	f->countable = 0x5; /* node 1 has an empty disk */
	hear(f, 1, 1, beat, START_MS);
	assert_int_equal(f->lease.deadline_ms, 0);
}

static void a_node_whose_own_vote_does_not_count_needs_the_others(void **state)
{
	struct fixture *f = *state;
	uint64_t beat = send(f, START_MS);

	f->countable = 0x6;
	hear(f, 1, 1, beat, START_MS);
	assert_int_equal(f->lease.deadline_ms, 0);
	hear(f, 2, 1, beat, START_MS);
	assert_int_equal(f->lease.deadline_ms, START_MS + LEASE_MS);
}

static void the_only_voter_answers_itself(void **state)
{
	struct fixture *f = *state;
	uint64_t beat = send(f, START_MS);

	f->table.member[1].vote = f->table.member[2].vote = 0;
	hear(f, 0, beat, 0, START_MS + 1);
	assert_int_equal(f->lease.deadline_ms, START_MS + LEASE_MS);
}

static void the_newest_beat_that_a_majority_answered_counts(void **state)
{
	struct fixture *f = *state;

	send(f, START_MS);
	send(f, START_MS + 400);
	send(f, START_MS + 800);
	hear(f, 1, 1, 2, START_MS + 900);
	assert_int_equal(f->lease.deadline_ms, START_MS + 400 + LEASE_MS);
	hear(f, 2, 1, 1, START_MS + 900); /* older: changes nothing */
	assert_int_equal(f->lease.deadline_ms, START_MS + 400 + LEASE_MS);
	hear(f, 2, 2, 3, START_MS + 900);
	assert_int_equal(f->lease.deadline_ms, START_MS + 800 + LEASE_MS);
}

static void an_answer_to_a_beat_that_was_not_sent_is_ignored(void **state)
{
	struct fixture *f = *state;

	send(f, START_MS);
	hear(f, 1, 1, 2, START_MS);
	hear(f, 2, 1, UINT64_MAX, START_MS);
	assert_int_equal(f->lease.deadline_ms, 0);
}

static void an_answer_too_old_to_be_kept_gives_nothing(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < LEASE_BEATS_KEPT + 1; i++)
		send(f, START_MS + i);
	hear(f, 1, 1, 1, START_MS);
	assert_int_equal(f->lease.deadline_ms, 0);
	hear(f, 1, 2, 2, START_MS);
	assert_int_equal(f->lease.deadline_ms, START_MS + 1 + LEASE_MS);
}

static void the_lease_never_gets_shorter(void **state)
{
	struct fixture *f = *state;

	send(f, START_MS);
	hear(f, 1, 1, 1, START_MS);
	lease_extend(&f->lease, &f->table, f->countable, LEASE_MS / 2);
	assert_int_equal(f->lease.deadline_ms, START_MS + LEASE_MS);
}

static void the_lease_survives_a_change_of_view_and_its_beats_do_not(void **state)
{
	struct fixture *f = *state;

	send(f, START_MS);
	hear(f, 1, 1, 1, START_MS);
	send(f, START_MS + 400);
	lease_view_begin(&f->lease, 0, START_MS + 500);
	assert_int_equal(f->lease.deadline_ms, START_MS + LEASE_MS);
	hear(f, 1, 1, 2, START_MS + 500); /* an answer to the beat of the view before */
	assert_int_equal(f->lease.deadline_ms, START_MS + LEASE_MS);
	assert_int_equal(send(f, START_MS + 600), 1);
}

static void nodes_are_silent_only_after_the_time_given(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(lease_silent(&f->lease, 0x7, START_MS + 3000, 3000), 0);
	assert_int_equal(lease_silent(&f->lease, 0x7, START_MS + 3001, 3000), 0x6);
}

static void a_beat_ends_the_silence_of_its_sender_alone(void **state)
{
	struct fixture *f = *state;

	hear(f, 1, 1, 0, START_MS + 2000);
	assert_int_equal(lease_silent(&f->lease, 0x7, START_MS + 3001, 3000), 0x4);
}

static void the_same_beat_again_does_not_end_a_silence(void **state)
{
	struct fixture *f = *state;

	hear(f, 1, 1, 0, START_MS);
	hear(f, 1, 1, 0, START_MS + 2000);
	assert_int_equal(lease_silent(&f->lease, 0x2, START_MS + 3001, 3000), 0x2);
}

static void only_nodes_of_the_set_are_silent(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(lease_silent(&f->lease, 0x3, START_MS + 9000, 3000), 0x2);
	assert_int_equal(lease_silent(&f->lease, 0, START_MS + 9000, 3000), 0);
}

/* Two nodes and a witness; the other node is away. */
static void give_witness(struct fixture *f)
{
	f->table.member[2].vote = 0;
	f->table.witness = (struct cl_member){.nodeid = CL_WITNESS_NODEID, .vote = 1};
	f->countable = 0x1;
}

static void the_witness_gives_a_lease_only_while_its_claim_holds(void **state)
{
	struct fixture *f = *state;
	uint64_t beat;

	give_witness(f);
	beat = send(f, START_MS);
	lease_extend(&f->lease, &f->table, f->countable | CL_WITNESS_BIT, LEASE_MS);
	assert_int_equal(f->lease.deadline_ms, 0);
	lease_witness_heard(&f->lease, beat, 700);
	lease_extend(&f->lease, &f->table, f->countable | CL_WITNESS_BIT, LEASE_MS);
	assert_int_equal(f->lease.deadline_ms, START_MS + 700);
	send(f, START_MS + 600); /* newer beats do not make the claim newer */
	lease_extend(&f->lease, &f->table, f->countable | CL_WITNESS_BIT, LEASE_MS);
	assert_int_equal(f->lease.deadline_ms, START_MS + 700);
}

static void the_lease_of_a_claim_is_no_longer_than_any(void **state)
{
	struct fixture *f = *state;

	give_witness(f);
	lease_witness_heard(&f->lease, send(f, START_MS), 60000);
	lease_extend(&f->lease, &f->table, f->countable | CL_WITNESS_BIT, LEASE_MS);
	assert_int_equal(f->lease.deadline_ms, START_MS + LEASE_MS);
}

static void a_claim_counts_from_a_beat_that_was_sent_in_this_view(void **state)
{
	struct fixture *f = *state;

	give_witness(f);
	send(f, START_MS);
	lease_witness_heard(&f->lease, 2, 700);
	lease_witness_heard(&f->lease, 0, 700);
	assert_int_equal(f->lease.witness_ms, 0);
	lease_witness_heard(&f->lease, 1, 700);
	lease_view_begin(&f->lease, 0, START_MS + 100);
	assert_int_equal(f->lease.witness_ms, 0);
}

static void a_majority_of_nodes_needs_no_claim(void **state)
{
	struct fixture *f = *state;

	give_witness(f);
	f->countable = 0x3;
	hear(f, 1, 1, send(f, START_MS), START_MS + 1);
	lease_extend(&f->lease, &f->table, f->countable | CL_WITNESS_BIT, LEASE_MS);
	assert_int_equal(f->lease.deadline_ms, START_MS + LEASE_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_first_beat_of_a_view_is_due_at_once),
		TEST(beats_are_due_one_interval_apart),
		TEST(beats_are_numbered_from_one),
		TEST(a_beat_tells_the_newest_beat_seen_of_each_node),
		TEST(the_lease_counts_from_the_sending_of_the_beat),
		TEST(a_minority_of_answers_gives_no_lease),
		TEST(nodes_without_a_vote_give_no_lease),
		TEST(nodes_whose_vote_does_not_count_give_no_lease),
		TEST(a_node_whose_own_vote_does_not_count_needs_the_others),
		TEST(the_only_voter_answers_itself),
		TEST(the_newest_beat_that_a_majority_answered_counts),
		TEST(an_answer_to_a_beat_that_was_not_sent_is_ignored),
		TEST(an_answer_too_old_to_be_kept_gives_nothing),
		TEST(the_lease_never_gets_shorter),
		TEST(the_lease_survives_a_change_of_view_and_its_beats_do_not),
		TEST(nodes_are_silent_only_after_the_time_given),
		TEST(a_beat_ends_the_silence_of_its_sender_alone),
		TEST(the_same_beat_again_does_not_end_a_silence),
		TEST(only_nodes_of_the_set_are_silent),
		TEST(the_witness_gives_a_lease_only_while_its_claim_holds),
		TEST(the_lease_of_a_claim_is_no_longer_than_any),
		TEST(a_claim_counts_from_a_beat_that_was_sent_in_this_view),
		TEST(a_majority_of_nodes_needs_no_claim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
