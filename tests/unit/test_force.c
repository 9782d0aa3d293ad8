/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Forced quorum by the events of the core: who may ask, what the view does, what the entry says. */
#include "tests/unit/repl_fixture.h"

#include <errno.h>

#include "clusterd/core/force.h"

#define TWO   0x3  /* n1, n2 */
#define THREE 0x1c /* n3, n4, n5 */

static int ask(struct rig *g, uint16_t down)
{
	struct repl_event ev = {.type = REPL_EV_FORCE};

	ev.force.down = down;
	ev.force.at_ms = 77;
	memcpy(ev.force.actor.text, "root@n1", sizeof("root@n1"));
	return rig_step(g, &ev);
}

/* The message comes back in the order of the ring. */
static void forced(struct rig *g, uint16_t down)
{
	struct cl_msg m;

	assert_int_equal(ask(g, down), 0);
	m = *rig_sent(g, CL_MSG_FORCE);
	rig_deliver(g, g->self, &m);
}

static void synced(struct rig *g, uint8_t from)
{
	struct cl_msg m = {.type = CL_MSG_SYNCED};

	m.synced = (struct cl_msg_synced){.view = g->s.view, .promised = g->s.number};
	rig_deliver(g, from, &m);
}

static void persisted(struct rig *g, uint8_t from, uint64_t index)
{
	struct cl_msg m = {.type = CL_MSG_PERSISTED};

	m.persisted = (struct cl_msg_persisted){.view = g->s.view, .index = index};
	rig_deliver(g, from, &m);
}

/* In a view of two of five. */
static void few(struct rig *g)
{
	rig_init(g, 0, 5);
	rig_confchg(g, TWO);
	rig_states(g, TWO);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
}

static void who_is_absent_has_to_be_listed(void **state)
{
	struct rig *g = *state;

	few(g);
	assert_int_equal(force_check(&g->s, 0x14).refusal, FORCE_UNLISTED);
	assert_int_equal(force_check(&g->s, 0x14).nodes, 0x8);
	assert_int_equal(ask(g, 0x14), -EPERM);
	assert_int_equal(force_check(&g->s, THREE).refusal, FORCE_ALLOWED);
	assert_int_equal(ask(g, THREE), 0);
	assert_int_equal(rig_sent(g, CL_MSG_FORCE)->force.down, THREE);
}

static void who_is_there_cannot_be_down(void **state)
{
	struct rig *g = *state;

	few(g);
	assert_int_equal(force_check(&g->s, THREE | 0x2).refusal, FORCE_PRESENT);
	assert_int_equal(force_check(&g->s, THREE | 0x2).nodes, 0x2);
	assert_int_equal(ask(g, THREE | 0x2), -EPERM);
}

static void a_silent_process_is_there(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 5);
	rig_confchg(g, 0x7);
	rig_states(g, TWO);
	rig_close(g, 1, 4711);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
	assert_int_equal(force_check(&g->s, THREE).refusal, FORCE_PRESENT);
	assert_int_equal(force_check(&g->s, THREE).nodes, 0x4);
	assert_int_equal(force_check(&g->s, 0x18).refusal, FORCE_UNLISTED);
}

static void where_there_is_quorum_nothing_is_forced(void **state)
{
	struct rig *g = *state;
	struct cl_msg m = {.type = CL_MSG_FORCE};

	rig_init(g, 0, 3);
	rig_view(g, 0x3);
	assert_int_equal(force_check(&g->s, 0x4).refusal, FORCE_QUORATE);
	assert_int_equal(ask(g, 0x4), -EPERM);
	m.force = (struct cl_msg_force){.view = g->s.view, .down = 0x4};
	rig_deliver(g, 1, &m);
	assert_false(g->s.is_forced);
}

static void neither_a_blank_node_nor_one_without_a_view_may_ask(void **state)
{
	struct rig *g = *state;

	rig_init_blank(g, 0, 5);
	rig_confchg(g, TWO);
	rig_states(g, TWO);
	assert_int_equal(force_check(&g->s, THREE).refusal, FORCE_BLANK);
	rig_init(g, 0, 5);
	assert_int_equal(force_check(&g->s, THREE).refusal, FORCE_NO_VIEW);
	rig_confchg(g, TWO);
	assert_int_equal(force_check(&g->s, THREE).refusal, FORCE_NO_VIEW);
	assert_int_equal(ask(g, THREE), -EPERM);
}

static void a_force_of_another_view_counts_for_nothing(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	few(g);
	assert_int_equal(ask(g, THREE), 0);
	m = *rig_sent(g, CL_MSG_FORCE);
	rig_confchg(g, TWO);
	rig_states(g, TWO);
	rig_deliver(g, 0, &m);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
	assert_false(g->s.is_forced);
}

static void those_who_are_here_vote_and_all_of_them_have_to_promise(void **state)
{
	struct rig *g = *state;

	few(g);
	forced(g, THREE);
	assert_int_equal(quorum_voters(&g->s.vtable), TWO);
	assert_int_equal(quorum_members(&g->s.vtable), 0x1f);
	assert_int_equal(g->s.generation, 16);
	assert_int_equal(g->s.phase, REPL_SYNCING);
	rig_promised(g);
	synced(g, 0);
	assert_null(rig_sent(g, CL_MSG_ENTRY));
	synced(g, 1);
	assert_non_null(rig_sent(g, CL_MSG_ENTRY));
	assert_int_equal(rig_sent(g, CL_MSG_ENTRY)->entry.kind, CL_ENTRY_FORCED);
	assert_int_equal(rig_sent(g, CL_MSG_ENTRY)->entry.epoch.generation, 16);
}

static void of_three_who_force_a_majority_is_not_enough(void **state)
{
	struct rig *g = *state;
	struct cl_msg entry;
	uint16_t here = 0x7, away = 0xf8;

	rig_init(g, 0, 8);
	rig_confchg(g, here);
	rig_states(g, here);
	forced(g, away);
	rig_promised(g);
	synced(g, 0);
	synced(g, 1);
	assert_int_equal(g->s.starter, CL_NODE_NONE);
	synced(g, 2);
	entry = *rig_sent(g, CL_MSG_ENTRY);
	rig_deliver(g, 0, &entry);
	rig_durable(g, RIG_LAST + 1);
	persisted(g, 0, RIG_LAST + 1);
	persisted(g, 1, RIG_LAST + 1);
	assert_int_equal(g->s.commit, 0);
	persisted(g, 2, RIG_LAST + 1);
	assert_int_equal(g->s.commit, RIG_LAST + 1);
	assert_int_equal(g->s.phase, REPL_OPEN);
}

static void the_entry_says_who_when_of_whom_and_the_table(void **state)
{
	struct rig *g = *state;
	struct cl_msg entry;
	struct force_record r;

	few(g);
	forced(g, THREE);
	rig_promised(g);
	synced(g, 0);
	synced(g, 1);
	entry = *rig_sent(g, CL_MSG_ENTRY);
	assert_int_equal(force_record_decode(entry.entry.payload, &r), 0);
	assert_string_equal(r.actor.text, "root@n1");
	assert_int_equal(r.at_ms, 77);
	assert_int_equal(r.down, THREE);
	assert_int_equal(quorum_voters(&r.table), TWO);
	assert_int_equal(r.table.changed_at, RIG_LAST + 1);
	rig_deliver(g, 0, &entry);
	assert_int_equal(quorum_voters(&g->s.table), TWO);
	assert_int_equal(g->s.last.epoch.generation, 16);
}

static void a_forced_view_takes_no_ordinary_first_entry_and_the_other_way_round(void **state)
{
	struct rig *g = *state;
	struct cl_msg entry;

	few(g);
	forced(g, THREE);
	rig_promised(g);
	synced(g, 0);
	synced(g, 1);
	entry = *rig_sent(g, CL_MSG_ENTRY);
	entry.entry.kind = CL_ENTRY_EPOCH;
	rig_deliver(g, 0, &entry);
	assert_true(g->s.is_broken);

	rig_init(g, 0, 3);
	rig_view(g, 0x7);
	rig_promised(g);
	synced(g, 0);
	synced(g, 1);
	entry = *rig_sent(g, CL_MSG_ENTRY);
	entry.entry.kind = CL_ENTRY_FORCED;
	rig_deliver(g, 0, &entry);
	assert_true(g->s.is_broken);
}

static void a_blank_node_that_is_here_gets_no_vote_by_force(void **state)
{
	struct rig *g = *state;
	struct cl_msg blank;

	rig_init(g, 0, 5);
	rig_confchg(g, TWO);
	rig_own_state(g);
	blank = rig_blank_state(g, 1);
	rig_deliver(g, 1, &blank);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
	forced(g, THREE);
	assert_int_equal(quorum_voters(&g->s.vtable), 0x1);
	assert_true(g->s.quorum.is_quorate);
}

/* Two of four, and a witness that both reach: its vote decides, and n1 is to claim it. */
static void few_with_a_witness(struct rig *g)
{
	struct repl_history h = rig_history(4);
	struct cl_msg m;

	h.table.witness = (struct cl_member){.nodeid = CL_WITNESS_NODEID, .name = "w", .vote = 1};
	rig_init_with(g, 0, &h);
	g->s.witness.is_reached = true;
	rig_confchg(g, TWO);
	rig_own_state(g);
	m = rig_peer_state(g, 1);
	m.state.reaches = true;
	rig_deliver(g, 1, &m);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
	assert_true(repl_witness_is_wanted(&g->s));
}

static void a_force_takes_the_vote_of_the_witness(void **state)
{
	struct rig *g = *state;
	struct cl_msg m = {.type = CL_MSG_CLAIMED};
	struct force_record r;

	few_with_a_witness(g);
	forced(g, 0xc);
	assert_int_equal(g->s.vtable.witness.vote, 0);
	assert_int_not_equal(g->s.vtable.witness.nodeid, 0);
	assert_true(g->s.quorum.is_quorate);
	assert_false(repl_witness_is_wanted(&g->s));
	/* A claim that was under way counts for nothing. */
	m.claimed.view = g->s.view;
	m.claimed.is_held = true;
	m.claimed.valid_ms = 1000;
	m.claimed.promised = g->s.number;
	rig_deliver(g, 0, &m);
	assert_false(g->s.witness.counts);
	rig_promised(g);
	synced(g, 0);
	assert_null(rig_sent(g, CL_MSG_ENTRY));
	synced(g, 1);
	assert_int_equal(force_record_decode(rig_sent(g, CL_MSG_ENTRY)->entry.payload, &r), 0);
	assert_int_equal(r.table.witness.vote, 0);
	assert_int_not_equal(r.table.witness.nodeid, 0);
}

static void a_history_of_the_witness_that_is_being_installed_ends_the_forced_view(void **state)
{
	struct rig *g = *state;
	struct repl_event adopt = {.type = REPL_EV_ADOPT}, pulled = {.type = REPL_EV_PULLED};

	few_with_a_witness(g);
	adopt.adopt.view = g->s.view;
	adopt.adopt.last = g->s.last;
	adopt.adopt.last.index++;
	assert_int_equal(rig_step(g, &adopt), 0);
	forced(g, 0xc);
	assert_false(g->s.is_forced);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
	assert_null(rig_did(g, REPL_DO_PROMISE));
	pulled.pulled.view = g->s.view;
	pulled.pulled.cluster = g->s.cluster;
	pulled.pulled.last = adopt.adopt.last;
	pulled.pulled.table = g->s.table;
	rig_step(g, &pulled);
	assert_int_equal(rig_sent(g, CL_MSG_STATE)->state.last.index, RIG_LAST + 1);
}

static void a_higher_generation_wins_over_a_longer_history(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	m = rig_peer_state(g, 1);
	m.state.last = (struct cl_pos){.epoch = {.generation = 2, .number = 2, .starter = 1},
				       .index = RIG_LAST - 5};
	m.state.table = force_table(&g->history.table, 0x2, RIG_LAST - 5);
	rig_deliver(g, 1, &m);
	assert_int_equal(g->s.phase, REPL_PULLING);
	assert_int_equal(g->s.winner.epoch.generation, 2);
	assert_int_equal(g->s.winner.index, RIG_LAST - 5);
	assert_int_equal(g->s.generation, 2);
}

static void of_two_forced_histories_one_wins_whatever_becomes_of_them(void **state)
{
	uint32_t a = force_generation(1, 0), b = force_generation(1, 3);
	struct cl_pos x = {.epoch = {.generation = a, .number = 90, .starter = 0}, .index = 40};
	struct cl_pos y = {.epoch = {.generation = b, .number = 9, .starter = 3}, .index = 11};

	(void)state;
	assert_true(a > 1 && b > 1 && a != b);
	assert_true(cl_pos_compare(&x, &y) < 0);
	/* A later round is above both, from either and by whomever. */
	assert_true(force_generation(a, 0) > b && force_generation(b, 0) > b);
	assert_true(force_generation(a, 15) > b);
}

static void a_record_that_is_cut_or_too_long_is_refused(void **state)
{
	struct force_record r = {.at_ms = 5, .down = 3, .table = rig_table(16)},
			    back = {.at_ms = 9};
	uint8_t buf[FORCE_RECORD_MAX + 1];
	size_t len, shorter;

	(void)state;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++)
		memset(r.table.member[i].name, 'a' + i, CL_NAME_MAX - 1);
	memset(r.actor.text, 'x', CL_NAME_MAX - 1);
	assert_int_equal(force_record_encode(&r, buf, FORCE_RECORD_MAX, &len), 0);
	assert_int_equal(force_record_encode(&r, buf, len - 1, &shorter), -ENOBUFS);
	assert_int_equal(force_record_encode(&r, buf, len, &len), 0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(force_record_decode((struct cl_blob){buf, i}, &back), -EBADMSG);
	buf[len] = 0;
	assert_int_equal(force_record_decode((struct cl_blob){buf, len + 1}, &back), -EBADMSG);
	assert_int_equal(back.at_ms, 9);
	assert_int_equal(force_record_decode((struct cl_blob){buf, len}, &back), 0);
	assert_int_equal(back.down, 3);
	assert_int_equal(quorum_members(&back.table), UINT16_MAX);
}

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_is_absent_has_to_be_listed),
		TEST(who_is_there_cannot_be_down),
		TEST(a_silent_process_is_there),
		TEST(where_there_is_quorum_nothing_is_forced),
		TEST(neither_a_blank_node_nor_one_without_a_view_may_ask),
		TEST(a_force_of_another_view_counts_for_nothing),
		TEST(those_who_are_here_vote_and_all_of_them_have_to_promise),
		TEST(of_three_who_force_a_majority_is_not_enough),
		TEST(the_entry_says_who_when_of_whom_and_the_table),
		TEST(a_forced_view_takes_no_ordinary_first_entry_and_the_other_way_round),
		TEST(a_blank_node_that_is_here_gets_no_vote_by_force),
		TEST(a_force_takes_the_vote_of_the_witness),
		TEST(a_history_of_the_witness_that_is_being_installed_ends_the_forced_view),
		TEST(a_higher_generation_wins_over_a_longer_history),
		TEST(of_two_forced_histories_one_wins_whatever_becomes_of_them),
		TEST(a_record_that_is_cut_or_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
