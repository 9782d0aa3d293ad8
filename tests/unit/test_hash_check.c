/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashes of the applied state: who agrees, who is wrong, and when nobody can tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/hash_check.h"

#define ALL3 0x7

static struct hash_check check;

static struct cl_table table_of(uint8_t n, uint16_t voters)
{
	struct cl_table t = {.changed_at = 1};

	for (uint8_t i = 0; i < n; i++)
		t.member[i] = (struct cl_member){
			.nodeid = i + 1u, .vote = (voters & cl_bit(i)) != 0, .name = "n"};
	return t;
}

static int setup(void **state)
{
	(void)state;
	hash_check_begin(&check);
	return 0;
}

/* Node 0 of three with a vote each looks at what a node tells. */
static enum hash_verdict take(uint8_t slot, uint64_t index, uint64_t hash)
{
	struct cl_table t = table_of(3, ALL3);

	return hash_check_take(&check, slot, index, hash, 0, ALL3, &t);
}

static void epochs_and_every_so_many_entries_are_compared(void **state)
{
	(void)state;
	assert_true(hash_check_is_due(7, true));
	assert_false(hash_check_is_due(7, false));
	assert_true(hash_check_is_due(HASH_EVERY, false));
	assert_true(hash_check_is_due(5 * HASH_EVERY, false));
	assert_false(hash_check_is_due(5 * HASH_EVERY + 1, false));
}

static void one_of_three_decides_nothing(void **state)
{
	(void)state;
	assert_int_equal(take(0, 10, 1), HASH_WAIT);
}

static void a_majority_with_our_hash_agrees(void **state)
{
	(void)state;
	assert_int_equal(take(0, 10, 1), HASH_WAIT);
	assert_int_equal(take(2, 10, 1), HASH_AGREE);
	assert_int_equal(take(1, 10, 9), HASH_AGREE);
	assert_int_equal(hash_check_majority(&check, 10, &(struct cl_table){0}), 0);
}

static void a_majority_with_another_hash_says_that_we_are_wrong(void **state)
{
	struct cl_table t = table_of(3, ALL3);

	(void)state;
	assert_int_equal(take(1, 10, 1), HASH_WAIT);
	assert_int_equal(take(2, 10, 1), HASH_WAIT); /* ours is not known yet */
	assert_int_equal(take(0, 10, 9), HASH_WRONG);
	assert_int_equal(hash_check_majority(&check, 10, &t), 0x6);
}

static void two_that_differ_wait_for_the_third(void **state)
{
	(void)state;
	assert_int_equal(take(0, 10, 1), HASH_WAIT);
	assert_int_equal(take(1, 10, 2), HASH_WAIT);
	assert_int_equal(take(2, 10, 2), HASH_WRONG);
}

static void three_that_differ_are_undecided(void **state)
{
	(void)state;
	take(0, 10, 1);
	take(1, 10, 2);
	assert_int_equal(take(2, 10, 3), HASH_UNDECIDED);
}

static void two_present_of_three_that_differ_are_undecided(void **state)
{
	struct cl_table t = table_of(3, ALL3);

	(void)state;
	assert_int_equal(hash_check_take(&check, 0, 10, 1, 0, 0x3, &t), HASH_WAIT);
	assert_int_equal(hash_check_take(&check, 1, 10, 2, 0, 0x3, &t), HASH_UNDECIDED);
}

static void votes_count_and_not_nodes(void **state)
{
	struct cl_table t = table_of(3, 0x1); /* node 0 has the only vote */

	(void)state;
	hash_check_take(&check, 1, 10, 2, 0, ALL3, &t);
	hash_check_take(&check, 2, 10, 2, 0, ALL3, &t);
	assert_int_equal(hash_check_take(&check, 0, 10, 1, 0, ALL3, &t), HASH_AGREE);
	assert_int_equal(hash_check_take(&check, 1, 10, 2, 1, ALL3, &t), HASH_WRONG);
}

static void hashes_of_different_entries_are_not_compared(void **state)
{
	(void)state;
	take(0, 10, 1);
	assert_int_equal(take(1, 11, 1), HASH_WAIT);
	assert_int_equal(take(2, 12, 1), HASH_WAIT);
	assert_int_equal(take(1, 10, 1), HASH_AGREE);
}

static void another_view_begins_with_nothing(void **state)
{
	(void)state;
	take(1, 10, 1);
	hash_check_begin(&check);
	assert_int_equal(take(0, 10, 1), HASH_WAIT);
}

static void old_entries_give_way_to_new_ones_and_are_not_taken_back(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= HASH_POINTS + 1; i++)
		take(1, i * 10, 1);
	assert_int_equal(take(0, 10, 1), HASH_WAIT); /* the first one is forgotten */
	assert_int_equal(take(1, 10, 1), HASH_WAIT);
	assert_int_equal(take(0, 20, 1), HASH_AGREE);
}

static void nobody_outside_the_table_is_believed(void **state)
{
	(void)state;
	take(0, 10, 1);
	assert_int_equal(take(CL_NODE_NONE, 10, 1), HASH_WAIT);
	assert_int_equal(take(9, 10, 1), HASH_WAIT); /* a free slot has no vote */
}

/* Four nodes and a witness, with a vote each. */
static enum hash_verdict take_of_five(uint8_t slot, uint64_t hash, uint32_t present)
{
	struct cl_table t = table_of(4, 0xf);

	t.witness = (struct cl_member){.nodeid = CL_WITNESS_NODEID, .vote = 1, .name = "w"};
	return hash_check_take(&check, slot, 10, hash, 0, present, &t);
}

static void the_witness_goes_with_those_who_are_here(void **state)
{
	struct cl_table t = table_of(4, 0xf);

	(void)state;
	t.witness = (struct cl_member){.nodeid = CL_WITNESS_NODEID, .vote = 1, .name = "w"};
	assert_int_equal(take_of_five(0, 1, 0x3 | CL_WITNESS_BIT), HASH_WAIT);
	assert_int_equal(take_of_five(1, 1, 0x3 | CL_WITNESS_BIT), HASH_AGREE);
	assert_int_equal(hash_check_majority(&check, 10, &t), 0x3);
	hash_check_begin(&check);
	take_of_five(0, 1, 0x3);
	assert_int_equal(take_of_five(1, 1, 0x3), HASH_UNDECIDED); /* not claimed */
	hash_check_begin(&check);
	take_of_five(0, 1, 0x3 | CL_WITNESS_BIT);
	assert_int_equal(take_of_five(1, 2, 0x3 | CL_WITNESS_BIT), HASH_UNDECIDED);
}

/* Else each half of four that differ would be the majority for itself. */
static void where_it_does_not_decide_the_witness_goes_with_nobody(void **state)
{
	(void)state;
	take_of_five(0, 1, 0xf | CL_WITNESS_BIT);
	take_of_five(1, 1, 0xf | CL_WITNESS_BIT);
	take_of_five(2, 2, 0xf | CL_WITNESS_BIT);
	assert_int_equal(take_of_five(3, 2, 0xf | CL_WITNESS_BIT), HASH_UNDECIDED);
}

/* disk-only: nobody has a vote, and the disk has no state of its own. */
static enum hash_verdict take_of_none(uint8_t slot, uint64_t hash, uint8_t self, uint32_t present)
{
	struct cl_table t = table_of(3, 0);

	t.witness = (struct cl_member){.nodeid = CL_WITNESS_SOLE, .vote = 1, .name = "w"};
	return hash_check_take(&check, slot, 10, hash, self, present | CL_WITNESS_BIT, &t);
}

static void where_no_node_has_a_vote_heads_are_counted(void **state)
{
	struct cl_table t = table_of(3, 0);

	(void)state;
	assert_int_equal(take_of_none(0, 1, 0, 0x7), HASH_WAIT);
	assert_int_equal(take_of_none(1, 2, 0, 0x7), HASH_WAIT);
	assert_int_equal(take_of_none(2, 2, 0, 0x7), HASH_WRONG);
	assert_int_equal(hash_check_majority(&check, 10, &t), 0x6);
	hash_check_begin(&check);
	assert_int_equal(take_of_none(0, 1, 0, 0x3), HASH_WAIT);
	assert_int_equal(take_of_none(1, 2, 0, 0x3), HASH_UNDECIDED);
	hash_check_begin(&check);
	assert_int_equal(take_of_none(0, 1, 0, 0x1), HASH_AGREE);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(epochs_and_every_so_many_entries_are_compared),
		TEST(one_of_three_decides_nothing),
		TEST(a_majority_with_our_hash_agrees),
		TEST(a_majority_with_another_hash_says_that_we_are_wrong),
		TEST(two_that_differ_wait_for_the_third),
		TEST(three_that_differ_are_undecided),
		TEST(two_present_of_three_that_differ_are_undecided),
		TEST(votes_count_and_not_nodes),
		TEST(hashes_of_different_entries_are_not_compared),
		TEST(another_view_begins_with_nothing),
		TEST(old_entries_give_way_to_new_ones_and_are_not_taken_back),
		TEST(nobody_outside_the_table_is_believed),
		TEST(the_witness_goes_with_those_who_are_here),
		TEST(where_it_does_not_decide_the_witness_goes_with_nobody),
		TEST(where_no_node_has_a_vote_heads_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
