/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The replication core on a disk that forgot, takes no writes, or holds a state that is wrong. */
#include "tests/unit/repl_fixture.h"

#define ALL3 0x7

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct rig));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void stalled(struct rig *g, bool is_stalled)
{
	struct repl_event ev = {.type = REPL_EV_STALLED, .is_stalled = is_stalled};

	assert_int_equal(rig_step(g, &ev), 0);
}

static void wrong(struct rig *g)
{
	struct repl_event ev = {.type = REPL_EV_WRONG};

	assert_int_equal(rig_step(g, &ev), 0);
}

/* ---- an older disk */

static void a_disk_that_forgot_has_no_vote(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	m = rig_peer_state(g, 1);
	m.state.is_behind = true;
	rig_deliver(g, 1, &m);
	assert_int_equal(g->s.present, 0x3);
	assert_int_equal(g->s.countable, 0x1);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
}

static void a_node_says_that_its_disk_forgot_until_it_has_persisted(void **state)
{
	struct rig *g = *state;
	struct repl_history h = rig_history(3);

	h.is_behind = true;
	rig_init_with(g, 2, &h);
	rig_view(g, ALL3);
	assert_true(g->own_state.state.is_behind);
	assert_int_equal(g->s.countable, 0x3);
	rig_epoch(g);
	rig_durable(g, RIG_LAST + 1);
	assert_non_null(rig_sent(g, CL_MSG_PERSISTED));
	rig_persisted(g, 2, RIG_LAST + 1);
	assert_int_equal(g->s.countable, ALL3);
	rig_confchg(g, 0x6);
	assert_false(g->own_state.state.is_behind);
}

static void a_node_whose_disk_forgot_has_made_good_for_it_when_it_has_pulled(void **state)
{
	struct rig *g = *state;
	struct repl_history h = rig_history(3);

	h.is_behind = true;
	h.last.index = RIG_LAST - 3;
	rig_init_with(g, 2, &h);
	g->history = rig_history(3);
	rig_view(g, ALL3);
	assert_int_equal(g->s.phase, REPL_PULLING);
	rig_pulled(g, 0, RIG_LAST);
	rig_promised(g);
	rig_confchg(g, 0x6);
	assert_false(g->own_state.state.is_behind);
	assert_int_equal(g->own_state.state.last.index, RIG_LAST);
}

static void a_node_whose_disk_forgot_does_not_choose_the_sequencer(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 2, 3);
	rig_confchg(g, ALL3);
	m = rig_peer_state(g, 0);
	m.state.is_behind = true;
	rig_deliver(g, 0, &m);
	rig_states(g, 0x6);
	rig_promised(g);
	rig_synced(g, 0);
	rig_synced(g, 2);
	assert_int_equal(g->s.starter, CL_NODE_NONE);
	rig_synced(g, 1);
	assert_int_equal(g->s.starter, 1);
}

/* ---- a disk that takes no writes */

static void a_disk_that_takes_nothing_keeps_nobody_silent(void **state)
{
	struct rig *g = *state;
	unsigned int sent;

	rig_init(g, 2, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	sent = g->states_sent;
	rig_confchg(g, 0x6);
	assert_int_equal(g->states_sent, sent); /* it waits for the disk */
	stalled(g, true);
	assert_int_equal(g->states_sent, sent + 1);
	assert_true(g->own_state.state.is_blank);
	assert_int_equal(g->own_state.state.last.index, 0);
	assert_int_equal(g->own_state.state.table.changed_at, 0);
	assert_int_equal(g->own_state.state.promised, g->s.promised);
	assert_memory_equal(&g->own_state.state.cluster, &g->history.cluster,
			    sizeof(struct cl_uuid));
}

static void a_promise_that_may_be_on_the_disk_is_said(void **state)
{
	struct rig *g = *state;
	uint64_t promising;

	rig_init(g, 2, 3);
	rig_view(g, ALL3);
	promising = g->s.promising;
	assert_int_not_equal(promising, 0);
	stalled(g, true);
	rig_confchg(g, 0x6);
	assert_int_equal(g->own_state.state.promised, promising);
}

static void a_blank_state_that_promised_raises_the_number_of_the_epoch(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, ALL3);
	rig_states(g, 0x3);
	m = rig_blank_state(g, 2);
	m.state.cluster = g->history.cluster;
	m.state.promised = 40;
	rig_deliver(g, 2, &m);
	assert_int_equal(g->s.number, 41);
	assert_int_equal(g->s.countable, 0x3);
}

static void no_pull_begins_before_the_disk_writes_again(void **state)
{
	struct rig *g = *state;

	rig_init(g, 2, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	stalled(g, true);
	rig_confchg(g, ALL3);
	g->history.last.epoch.number = 9;
	g->history.last.index = RIG_LAST + 20;
	rig_states(g, ALL3);
	assert_int_equal(g->s.phase, REPL_PULLING);
	assert_null(rig_did(g, REPL_DO_PULL));
	rig_tick(g, 50);
	assert_null(rig_did(g, REPL_DO_PULL));
	stalled(g, false);
	rig_durable(g, RIG_LAST + 2);
	rig_tick(g, 50);
	assert_non_null(rig_did(g, REPL_DO_PULL));
	rig_pulled(g, 0, RIG_LAST + 20);
	assert_int_equal(g->s.last.index, RIG_LAST + 20);
}

static void a_disk_that_writes_again_where_its_vote_is_missed_is_told(void **state)
{
	struct rig *g = *state;
	unsigned int sent;

	rig_init(g, 2, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	stalled(g, true);
	rig_confchg(g, 0x6);
	rig_states(g, 0x6);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
	sent = g->states_sent;
	stalled(g, false);
	assert_int_equal(g->states_sent, sent);
	rig_durable(g, RIG_LAST + 2);
	assert_int_equal(g->states_sent, sent + 1);
	assert_false(g->own_state.state.is_blank);
	assert_int_equal(g->own_state.state.last.index, RIG_LAST + 2);
}

static void a_disk_that_writes_again_in_a_view_that_goes_on_disturbs_nobody(void **state)
{
	struct rig *g = *state;
	unsigned int sent;

	rig_init(g, 2, 3);
	rig_open(g, ALL3);
	sent = g->states_sent;
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	stalled(g, true);
	rig_persisted_by(g, 0x3, RIG_LAST + 2);
	assert_int_equal(g->s.commit, RIG_LAST + 2); /* what others hold is applied here, too */
	stalled(g, false);
	rig_durable(g, RIG_LAST + 2);
	assert_int_equal(g->s.phase, REPL_OPEN);
	assert_int_equal(g->states_sent, sent);
}

/* ---- a state that is wrong */

static void a_node_whose_state_is_wrong_stops_acting_and_says_that_it_is_blank(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	wrong(g);
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
	assert_non_null(rig_did(g, REPL_DO_CLOSED));
	assert_false(repl_is_sequencer(&g->s));
	assert_true(g->own_state.state.is_blank);
	assert_int_equal(g->own_state.state.last.index, 0);
}

static void a_node_whose_state_is_wrong_waits_for_its_disk_first(void **state)
{
	struct rig *g = *state;
	unsigned int sent;

	rig_init(g, 2, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	sent = g->states_sent;
	wrong(g);
	assert_int_equal(g->states_sent, sent);
	rig_durable(g, RIG_LAST + 2);
	assert_int_equal(g->states_sent, sent + 1);
	assert_true(g->own_state.state.is_blank);
}

static void a_node_whose_state_is_wrong_pulls_and_is_a_voter_again(void **state)
{
	struct rig *g = *state;

	rig_init(g, 2, 3);
	rig_open(g, ALL3);
	wrong(g);
	g->history.last = (struct cl_pos){.epoch = g->s.epoch, .index = RIG_LAST + 1};
	rig_states(g, ALL3);
	assert_int_equal(g->s.phase, REPL_PULLING);
	assert_int_equal(g->s.countable, 0x3);
	assert_non_null(rig_did(g, REPL_DO_PULL));
	rig_pulled(g, 0, RIG_LAST + 1);
	rig_epoch(g);
	rig_persisted_by(g, ALL3, RIG_LAST + 2);
	assert_int_equal(g->s.phase, REPL_OPEN);
	assert_int_equal(g->s.countable, ALL3);
	assert_false(g->s.is_blank);
}

/* ---- who sent it */

static void a_sender_counts_in_his_view_only(void **state)
{
	struct rig *g = *state;
	struct repl_address outside = {.nodeid = 999, .pid = 1}, one = rig_address(1);
	struct cl_view_id before;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	before = g->s.view;
	assert_int_equal(repl_sender(&g->s, &one, &before), 1);
	assert_int_equal(repl_sender(&g->s, &outside, &before), CL_NODE_NONE);
	rig_confchg(g, 0x3);
	assert_int_equal(repl_sender(&g->s, &one, &before), CL_NODE_NONE);
	rig_states(g, 0x3);
	assert_int_equal(repl_sender(&g->s, &one, &before), CL_NODE_NONE);
	assert_int_equal(repl_sender(&g->s, &one, &g->s.view), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_disk_that_forgot_has_no_vote),
		TEST(a_node_says_that_its_disk_forgot_until_it_has_persisted),
		TEST(a_node_whose_disk_forgot_has_made_good_for_it_when_it_has_pulled),
		TEST(a_node_whose_disk_forgot_does_not_choose_the_sequencer),
		TEST(a_disk_that_takes_nothing_keeps_nobody_silent),
		TEST(a_promise_that_may_be_on_the_disk_is_said),
		TEST(a_blank_state_that_promised_raises_the_number_of_the_epoch),
		TEST(no_pull_begins_before_the_disk_writes_again),
		TEST(a_disk_that_writes_again_where_its_vote_is_missed_is_told),
		TEST(a_disk_that_writes_again_in_a_view_that_goes_on_disturbs_nobody),
		TEST(a_node_whose_state_is_wrong_stops_acting_and_says_that_it_is_blank),
		TEST(a_node_whose_state_is_wrong_waits_for_its_disk_first),
		TEST(a_node_whose_state_is_wrong_pulls_and_is_a_voter_again),
		TEST(a_sender_counts_in_his_view_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
