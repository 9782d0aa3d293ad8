/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quorum: who counts, when a set may act, which change of the table may be made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/quorum.h"
#include "lib/prng.h"

static void set_row(struct cl_table *table, uint8_t slot, uint32_t nodeid, uint8_t vote)
{
	struct cl_member *m = &table->member[slot];

	*m = (struct cl_member){.nodeid = nodeid, .vote = vote};
	if (nodeid)
		snprintf(m->name, sizeof(m->name), "n%u", nodeid);
}

/* Members in slots 0 .. n - 1 with nodeids from 101 on, all with a vote. */
static struct cl_table table_of(uint8_t n)
{
	struct cl_table table = {.changed_at = 1};

	for (uint8_t i = 0; i < n; i++)
		set_row(&table, i, 101u + i, 1);
	return table;
}

static void a_node_that_is_none_is_in_no_set(void **state)
{
	(void)state;
	assert_int_equal(cl_bit(0), 1);
	assert_int_equal(cl_bit(CL_MAX_NODES - 1), 0x8000);
	assert_int_equal(cl_bit(CL_NODE_NONE), 0);
}

static void members_are_the_filled_slots(void **state)
{
	struct cl_table table = table_of(3);

	(void)state;
	set_row(&table, 15, 200, 0);
	set_row(&table, 1, 0, 0);
	assert_int_equal(quorum_members(&table), 0x8005);
}

static void voters_are_the_members_with_a_vote(void **state)
{
	struct cl_table table = table_of(3);

	(void)state;
	table.member[1].vote = 0;
	table.member[9].vote = 1; /* an empty slot has none, whatever it says */
	assert_int_equal(quorum_voters(&table), 0x5);
}

static void more_than_half_of_the_votes_is_a_majority(void **state)
{
	struct cl_table table = table_of(5);
	struct quorum_answer a = quorum_evaluate(&table, 0x7);

	(void)state;
	assert_true(a.is_quorate);
	assert_int_equal(a.reason, QUORUM_MAJORITY);
	assert_int_equal(a.votes_total, 5);
	assert_int_equal(a.votes_present, 3);
	assert_int_equal(a.votes_needed, 3);
}

static void exactly_half_is_a_tie_and_not_quorate(void **state)
{
	struct cl_table table = table_of(4);
	struct quorum_answer a = quorum_evaluate(&table, 0x3);

	(void)state;
	assert_false(a.is_quorate);
	assert_int_equal(a.reason, QUORUM_TIE);
	assert_int_equal(a.votes_needed, 3);
	assert_true(quorum_evaluate(&table, 0xb).is_quorate);
}

static void less_than_half_is_a_minority(void **state)
{
	struct cl_table table = table_of(5);
	struct quorum_answer a = quorum_evaluate(&table, 0x3);

	(void)state;
	assert_false(a.is_quorate);
	assert_int_equal(a.reason, QUORUM_MINORITY);
}

static void nobody_present_is_a_minority_and_no_tie(void **state)
{
	struct cl_table table = table_of(2);

	(void)state;
	assert_int_equal(quorum_evaluate(&table, 0).reason, QUORUM_MINORITY);
}

static void a_table_without_votes_is_never_quorate(void **state)
{
	struct cl_table table = table_of(2);
	struct quorum_answer a;

	(void)state;
	table.member[0].vote = table.member[1].vote = 0;
	a = quorum_evaluate(&table, 0x3);
	assert_false(a.is_quorate);
	assert_int_equal(a.reason, QUORUM_NO_VOTES);
}

static void absent_voters_are_named(void **state)
{
	struct cl_table table = table_of(5);

	(void)state;
	table.member[4].vote = 0; /* its return would not help */
	assert_int_equal(quorum_evaluate(&table, 0x1).missing, 0xe);
}

static void nodes_outside_the_table_count_nothing(void **state)
{
	struct cl_table table = table_of(3);
	struct quorum_answer a = quorum_evaluate(&table, 0xfff8);

	(void)state;
	assert_false(a.is_quorate);
	assert_int_equal(a.votes_present, 0);
	assert_int_equal(a.missing, 0x7);
}

static void members_without_a_vote_count_nothing(void **state)
{
	struct cl_table table = table_of(5);

	(void)state;
	table.member[3].vote = table.member[4].vote = 0;
	assert_false(quorum_is_majority(&table, 0x19));
	assert_true(quorum_is_majority(&table, 0x3));
}

static void sixteen_nodes_need_nine(void **state)
{
	struct cl_table table = table_of(CL_MAX_NODES);

	(void)state;
	assert_int_equal(quorum_evaluate(&table, 0x00ff).reason, QUORUM_TIE);
	assert_true(quorum_is_majority(&table, 0x01ff));
}

static void a_node_is_found_by_its_nodeid(void **state)
{
	struct cl_table table = table_of(3);

	(void)state;
	assert_int_equal(quorum_find_nodeid(&table, 103), 2);
	assert_int_equal(quorum_find_nodeid(&table, 999), CL_NODE_NONE);
}

static void nodeid_zero_is_nobody(void **state)
{
	struct cl_table table = table_of(3);

	(void)state;
	assert_int_equal(quorum_find_nodeid(&table, 0), CL_NODE_NONE);
}

static void a_node_is_found_by_its_name(void **state)
{
	struct cl_table table = table_of(3);

	(void)state;
	assert_int_equal(quorum_find_name(&table, "n102"), 1);
	assert_int_equal(quorum_find_name(&table, "n10"), CL_NODE_NONE);
	assert_int_equal(quorum_find_name(&table, ""), CL_NODE_NONE);
}

static void one_vote_may_be_given_or_taken(void **state)
{
	struct cl_table from = table_of(3), to = from;

	(void)state;
	to.member[2].vote = 0;
	assert_true(quorum_change_allowed(&from, &to));
	assert_true(quorum_change_allowed(&to, &from));
}

static void a_change_that_leaves_the_votes_alone_is_allowed(void **state)
{
	struct cl_table from = table_of(3), to = from;

	(void)state;
	set_row(&to, 3, 104, 0);
	assert_true(quorum_change_allowed(&from, &to));
}

static void two_votes_may_not_change_at_once(void **state)
{
	struct cl_table from = table_of(4), to = from;

	(void)state;
	to.member[2].vote = to.member[3].vote = 0;
	assert_false(quorum_change_allowed(&from, &to));
	assert_false(quorum_change_allowed(&to, &from));
	to.member[3].vote = 1;
	from.member[3].vote = 0; /* one taken and one given */
	assert_false(quorum_change_allowed(&from, &to));
}

static void the_last_vote_may_not_be_taken(void **state)
{
	struct cl_table from = table_of(1), to = from;

	(void)state;
	to.member[0].vote = 0;
	assert_false(quorum_change_allowed(&from, &to));
	assert_false(quorum_change_allowed(&to, &from));
}

static void a_voters_slot_given_to_another_node_is_two_votes(void **state)
{
	struct cl_table from = table_of(3), to = from;

	(void)state;
	set_row(&to, 2, 199, 1);
	assert_false(quorum_change_allowed(&from, &to));
}

/* True if one of the nodes present is quorate under each table, and they share no node. */
static bool can_both_act(const struct cl_table *a, const struct cl_table *b, uint16_t in_a,
			 uint16_t in_b)
{
	if (!quorum_is_majority(a, in_a) || !quorum_is_majority(b, in_b))
		return false;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		for (uint8_t k = 0; k < CL_MAX_NODES; k++) {
			if ((in_a & cl_bit(i)) && (in_b & cl_bit(k)) &&
			    a->member[i].nodeid == b->member[k].nodeid)
				return false;
		}
	}
	return true;
}

/* Tables of up to five slots that differ in one row, as one log entry can make them. */
static void quorate_sets_under_adjacent_tables_share_a_node(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 1);
	for (int n = 0; n < 400; n++) {
		struct cl_table a = {0}, b;
		uint8_t slot = (uint8_t)prng_below(&p, 5);

		for (uint8_t i = 0; i < 5; i++)
			set_row(&a, i, prng_chance(&p, 3, 4) ? 101u + i : 0,
				(uint8_t)prng_chance(&p, 3, 4));
		b = a;
		set_row(&b, slot, prng_chance(&p, 1, 3) ? 0 : (uint32_t)prng_range(&p, 101, 107),
			(uint8_t)prng_below(&p, 2));
		if (!quorum_change_allowed(&a, &b))
			continue;
		for (uint16_t in_a = 0; in_a < 32; in_a++) {
			for (uint16_t in_b = 0; in_b < 32; in_b++)
				assert_false(can_both_act(&a, &b, in_a, in_b));
		}
	}
}

static void what_may_be_lost_next_keeps_the_rest_quorate(void **state)
{
	struct cl_table table = table_of(5);

	(void)state;
	assert_int_equal(quorum_may_lose(&table, 0x0f), 0x0f);
	assert_int_equal(quorum_may_lose(&table, 0x07), 0);
	table.member[2].vote = 0; /* four votes: three are needed */
	assert_int_equal(quorum_may_lose(&table, 0x0f), 0x04);
	assert_int_equal(quorum_may_lose(&table, 0x1f), 0x1f);
}

static void the_only_voter_must_not_be_lost(void **state)
{
	struct cl_table table = table_of(2);

	(void)state;
	table.member[1].vote = 0;
	assert_int_equal(quorum_may_lose(&table, 0x3), 0x2);
}

static void every_reason_has_a_name(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < QUORUM_REASON_MAX; i++)
		assert_string_not_equal(quorum_reason_name((enum quorum_reason)i), "?");
	assert_string_equal(quorum_reason_name(QUORUM_REASON_MAX), "?");
}

static struct cl_table with_witness(uint8_t n)
{
	struct cl_table table = table_of(n);

	table.witness = (struct cl_member){.nodeid = CL_WITNESS_NODEID, .vote = 1, .name = "w"};
	return table;
}

static void half_of_the_nodes_needs_the_witness(void **state)
{
	struct cl_table table = with_witness(4);
	struct quorum_answer a = quorum_evaluate(&table, 0x3);

	(void)state;
	assert_false(a.is_quorate);
	assert_int_equal(a.reason, QUORUM_UNCLAIMED);
	assert_int_equal(a.votes_total, 5);
	a = quorum_evaluate(&table, 0x3 | CL_WITNESS_BIT);
	assert_true(a.is_quorate && a.has_witness);
	assert_int_equal(a.reason, QUORUM_WITNESS);
	assert_true(quorum_witness_decides(&table, 0x3));
}

static void the_witness_helps_neither_a_majority_nor_a_minority(void **state)
{
	struct cl_table table = with_witness(4);

	(void)state;
	assert_int_equal(quorum_evaluate(&table, 0x7 | CL_WITNESS_BIT).reason, QUORUM_MAJORITY);
	assert_false(quorum_witness_decides(&table, 0x7));
	assert_false(quorum_is_majority(&table, 0x1 | CL_WITNESS_BIT));
	assert_false(quorum_witness_decides(&table, 0x1));
}

static void a_witness_without_a_vote_counts_nothing(void **state)
{
	struct cl_table table = with_witness(4);

	(void)state;
	table.witness.vote = 0;
	assert_int_equal(quorum_evaluate(&table, 0x3 | CL_WITNESS_BIT).reason, QUORUM_TIE);
	assert_false(quorum_witness_decides(&table, 0x3));
	table = with_witness(4);
	table.witness.nodeid = 0; /* there is none, whatever it says */
	assert_int_equal(quorum_evaluate(&table, 0x3 | CL_WITNESS_BIT).votes_total, 4);
}

static void the_vote_of_the_witness_changes_like_any_other(void **state)
{
	struct cl_table from = with_witness(2), to = with_witness(2);

	(void)state;
	to.witness.vote = 0;
	assert_true(quorum_change_allowed(&from, &to));
	to.member[1].vote = 0;
	assert_false(quorum_change_allowed(&from, &to));
	to = with_witness(2);
	to.witness.name[0] = 'x'; /* another disk, with a vote at once */
	assert_false(quorum_change_allowed(&from, &to));
	from.witness.vote = to.witness.vote = 0;
	assert_true(quorum_change_allowed(&from, &to));
}

static void where_the_witness_alone_votes_any_node_with_it_is_quorate(void **state)
{
	struct cl_table table = with_witness(3);

	(void)state;
	for (uint8_t i = 0; i < 3; i++)
		table.member[i].vote = 0;
	assert_true(quorum_is_majority(&table, 0x4 | CL_WITNESS_BIT));
	assert_int_equal(quorum_evaluate(&table, 0x7).reason, QUORUM_UNCLAIMED);
	assert_true(quorum_witness_decides(&table, 0x7));
	assert_false(quorum_is_majority(&table, CL_WITNESS_BIT)); /* somebody has to be there */
	assert_int_equal(quorum_may_lose(&table, 0x6 | CL_WITNESS_BIT), 0x6);
	assert_int_equal(quorum_may_lose(&table, 0x4 | CL_WITNESS_BIT), 0);
}

static void a_witness_of_another_kind_is_another_witness(void **state)
{
	struct cl_table from = with_witness(2), to = with_witness(2);

	(void)state;
	to.witness.nodeid = CL_WITNESS_SHARE;
	assert_true(quorum_is_other_witness(&from, &to));
	assert_false(quorum_change_allowed(&from, &to));
	assert_true(quorum_is_share(&to) && !quorum_is_share(&from));
	from.witness.vote = to.witness.vote = 0;
	assert_true(quorum_change_allowed(&from, &to));
}

static void of_two_nodes_with_a_witness_either_may_be_lost(void **state)
{
	struct cl_table table = with_witness(2);

	(void)state;
	assert_int_equal(quorum_may_lose(&table, 0x3 | CL_WITNESS_BIT), 0x3);
	assert_int_equal(quorum_may_lose(&table, 0x3), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_that_is_none_is_in_no_set),
		cmocka_unit_test(members_are_the_filled_slots),
		cmocka_unit_test(voters_are_the_members_with_a_vote),
		cmocka_unit_test(more_than_half_of_the_votes_is_a_majority),
		cmocka_unit_test(exactly_half_is_a_tie_and_not_quorate),
		cmocka_unit_test(less_than_half_is_a_minority),
		cmocka_unit_test(nobody_present_is_a_minority_and_no_tie),
		cmocka_unit_test(a_table_without_votes_is_never_quorate),
		cmocka_unit_test(absent_voters_are_named),
		cmocka_unit_test(nodes_outside_the_table_count_nothing),
		cmocka_unit_test(members_without_a_vote_count_nothing),
		cmocka_unit_test(sixteen_nodes_need_nine),
		cmocka_unit_test(a_node_is_found_by_its_nodeid),
		cmocka_unit_test(nodeid_zero_is_nobody),
		cmocka_unit_test(a_node_is_found_by_its_name),
		cmocka_unit_test(one_vote_may_be_given_or_taken),
		cmocka_unit_test(a_change_that_leaves_the_votes_alone_is_allowed),
		cmocka_unit_test(two_votes_may_not_change_at_once),
		cmocka_unit_test(the_last_vote_may_not_be_taken),
		cmocka_unit_test(a_voters_slot_given_to_another_node_is_two_votes),
		cmocka_unit_test(quorate_sets_under_adjacent_tables_share_a_node),
		cmocka_unit_test(what_may_be_lost_next_keeps_the_rest_quorate),
		cmocka_unit_test(the_only_voter_must_not_be_lost),
		cmocka_unit_test(half_of_the_nodes_needs_the_witness),
		cmocka_unit_test(the_witness_helps_neither_a_majority_nor_a_minority),
		cmocka_unit_test(a_witness_without_a_vote_counts_nothing),
		cmocka_unit_test(the_vote_of_the_witness_changes_like_any_other),
		cmocka_unit_test(of_two_nodes_with_a_witness_either_may_be_lost),
		cmocka_unit_test(where_the_witness_alone_votes_any_node_with_it_is_quorate),
		cmocka_unit_test(a_witness_of_another_kind_is_another_witness),
		cmocka_unit_test(every_reason_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
