/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The replication core by its events, one behaviour a test: how a view comes about, who is
 * admitted, whose history wins; then what happens within a view: promise, epoch, entries, commit,
 * votes, requests, lease. What random events find is in tests/sim/sim_repl.c.
 */
#include "tests/unit/repl_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusterd/core/repl_internal.h" /* REPL_MAX_INFLIGHT */
#include "lib/must.h"

#define ALL3 0x7
#define ALL5 0x1f

/* ---- exchange of states */

static void a_new_group_is_told_our_state(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_confchg(g, ALL3);
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
	assert_int_equal(g->states_sent, 1);
	assert_true(cl_ring_equal(&g->own_state.state.ring, &g->ring));
	assert_true(g->own_state.state.members_hash == g->hash);
	assert_int_equal(g->own_state.state.last.index, RIG_LAST);
	assert_int_equal(g->own_state.state.promised, RIG_EPOCH);
	assert_false(g->own_state.state.is_blank);
	assert_string_equal(g->own_state.state.name.text, "n2");
}

static void the_last_state_completes_the_view_and_names_it(void **state)
{
	struct rig *g = *state;
	struct cl_msg last;

	rig_init(g, 0, 3);
	rig_confchg(g, ALL3);
	rig_states(g, 0x3);
	assert_false(g->s.view_complete);
	last = rig_peer_state(g, 2);
	rig_deliver(g, 2, &last);
	assert_true(g->s.view_complete);
	assert_non_null(rig_did(g, REPL_DO_VIEW));
	assert_true(cl_ring_equal(&g->s.view.ring, &g->ring));
	assert_true(g->s.view.nonce == last.state.nonce);
	assert_int_equal(g->s.present, ALL3);
}

static void the_order_of_processes_does_not_change_the_hash_of_the_group(void **state)
{
	struct repl_address a[3] = {rig_address(0), rig_address(1), rig_address(2)};
	struct repl_address b[3] = {rig_address(2), rig_address(0), rig_address(1)};

	(void)state;
	assert_true(repl_members_hash(a, 3) == repl_members_hash(b, 3));
	assert_true(repl_members_hash(a, 2) != repl_members_hash(a, 3));
	b[0].pid++;
	assert_true(repl_members_hash(a, 3) != repl_members_hash(b, 3));
}

static void a_state_made_for_another_ring_is_ignored(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 2);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	m = rig_peer_state(g, 1);
	m.state.ring.seq--;
	rig_deliver(g, 1, &m);
	assert_false(g->s.view_complete);
}

static void a_state_made_for_another_set_of_processes_is_ignored(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 2);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	m = rig_peer_state(g, 1);
	m.state.members_hash++;
	rig_deliver(g, 1, &m);
	assert_false(g->s.view_complete);
}

static void a_message_from_outside_the_group_is_ignored(void **state)
{
	struct rig *g = *state;
	struct repl_address other = rig_address(1);
	struct cl_msg m;

	rig_init(g, 0, 2);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	m = rig_peer_state(g, 1);
	other.pid++; /* the process that ran there before */
	rig_deliver_from(g, other, &m);
	assert_false(g->s.view_complete);
}

static void close_leaves_out_a_silent_process(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_confchg(g, ALL3);
	rig_states(g, 0x3);
	rig_close(g, 1, 4711);
	assert_true(g->s.view_complete);
	assert_int_equal(g->s.view.nonce, 4711);
	assert_int_equal(g->s.present, 0x3);
	assert_int_equal(g->s.peer[2].refusal, REPL_REFUSED_SILENT);
	assert_int_equal(g->s.peer[2].slot, CL_NODE_NONE);
}

static void close_is_sent_when_the_exchange_takes_too_long_and_again(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 2);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	rig_tick(g, RIG_EXCHANGE_MS);
	assert_null(rig_sent(g, CL_MSG_CLOSE));
	rig_tick(g, 1);
	assert_non_null(rig_sent(g, CL_MSG_CLOSE));
	assert_true(cl_ring_equal(&rig_sent(g, CL_MSG_CLOSE)->close.ring, &g->ring));
	assert_true(rig_sent(g, CL_MSG_CLOSE)->close.members_hash == g->hash);
	rig_tick(g, RIG_EXCHANGE_MS);
	assert_null(rig_sent(g, CL_MSG_CLOSE));
	rig_tick(g, 1);
	assert_non_null(rig_sent(g, CL_MSG_CLOSE));
}

static void close_before_any_state_closes_nothing(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 2);
	rig_confchg(g, 0x3);
	rig_close(g, 1, 4711);
	assert_false(g->s.view_complete);
}

static void close_of_another_ring_closes_nothing(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 2);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	g->ring.seq--;
	rig_close(g, 1, 4711);
	assert_false(g->s.view_complete);
}

static void close_of_a_complete_view_changes_nothing(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 2);
	rig_view(g, 0x3);
	rig_close(g, 1, 4711);
	assert_int_not_equal(g->s.view.nonce, 4711);
}

static void a_second_change_of_the_group_is_told_our_state_again(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_confchg(g, ALL3);
	rig_confchg(g, 0x3);
	assert_int_equal(g->states_sent, 2);
	assert_true(g->own_state.state.members_hash == g->hash);
}

static void a_change_of_the_group_after_a_view_is_closed_when_it_takes_too_long(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_view(g, ALL3);
	rig_promised(g);
	g->now_ms += 1000000;
	rig_confchg(g, 0x3);
	rig_tick(g, RIG_EXCHANGE_MS);
	assert_int_equal(g->out.count, 0);
	rig_tick(g, 1);
	assert_true(rig_sent(g, CL_MSG_CLOSE)->close.nonce == g->entropy);
}

static void a_group_without_this_process_is_no_view_to_act_in(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	rig_confchg(g, 0x6);
	m = rig_peer_state(g, 1);
	rig_deliver(g, 1, &m);
	m = rig_peer_state(g, 2);
	rig_deliver(g, 2, &m);
	assert_true(g->s.view_complete);
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
	assert_int_equal(g->s.self_slot, CL_NODE_NONE);
	assert_int_equal(g->s.present, 0);
	assert_int_equal(g->s.countable, 0);
	assert_false(g->s.quorum.is_quorate);
}

static void a_process_with_our_number_on_another_node_is_not_us(void **state)
{
	struct rig *g = *state;
	struct repl_event ev = {.type = REPL_EV_CONFCHG};
	struct repl_address other = {.nodeid = rig_nodeid(0), .pid = rig_address(1).pid};
	struct cl_msg m;

	rig_init(g, 1, 3);
	ev.confchg.ring = g->ring = (struct cl_ring){.rep = 101, .seq = 8};
	ev.confchg.count = 2;
	ev.confchg.member[0] = other;
	ev.confchg.member[1] = rig_address(1);
	assert_int_equal(rig_step(g, &ev), 0);
	g->hash = g->s.members_hash;
	rig_own_state(g);
	m = rig_peer_state(g, 0);
	rig_deliver_from(g, other, &m);
	assert_int_equal(g->s.phase, REPL_SYNCING);
	assert_int_equal(g->s.self_slot, 1);
	rig_promised(g);
	rig_deliver_from(g, other, &m); /* leaves the view: so do we, with a STATE of our own */
	assert_int_equal(g->states_sent, 2);
}

static void a_node_judged_silent_does_not_act_and_its_state_begins_a_new_exchange(void **state)
{
	struct rig *g = *state;

	rig_init(g, 2, 3);
	rig_confchg(g, ALL3);
	rig_states(g, 0x3);
	rig_close(g, 1, 4711);
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
	assert_null(rig_did(g, REPL_DO_VIEW));
	rig_tick(g, RIG_SILENCE_MS + 1);
	assert_int_equal(g->out.count, 0);
	rig_own_state(g);
	assert_false(g->s.view_complete);
	assert_int_equal(g->states_sent, 1);
	rig_states(g, 0x3);
	assert_true(g->s.view_complete);
	assert_int_equal(g->s.present, ALL3);
}

static void a_view_completed_by_a_state_that_we_replaced_is_not_acted_in(void **state)
{
	struct rig *g = *state;
	struct cl_msg first;
	struct cl_table table = {0};

	/* The one cause of a second STATE: CREATE while the first is under way. */
	table.member[0] = rig_member(0, 1);
	rig_init_blank(g, 0, 2);
	rig_confchg(g, 0x1);
	first = g->own_state;
	assert_int_equal(rig_create(g, &table), 0);
	rig_durable(g, 1);
	assert_int_equal(g->states_sent, 2);
	rig_deliver(g, 0, &first);
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
	assert_int_equal(g->s.self_slot, CL_NODE_NONE);
	rig_own_state(g);
	assert_int_equal(g->s.phase, REPL_SYNCING);
}

static void a_state_in_a_complete_view_makes_everyone_leave_it(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	m = rig_peer_state(g, 1);
	rig_deliver(g, 1, &m);
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
	assert_non_null(rig_did(g, REPL_DO_CLOSED));
	assert_int_equal(g->states_sent, 2);
	assert_int_equal(g->own_state.state.last.index, RIG_LAST + 1);
	assert_int_equal(g->own_state.state.promised, RIG_EPOCH + 1);
}

static void only_one_state_is_under_way(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_view(g, ALL3);
	rig_promised(g);
	rig_tick(g, RIG_SILENCE_MS + 1);
	assert_int_equal(g->states_sent, 2);
	m = rig_peer_state(g, 1); /* node 1 noticed, too, and its STATE came first */
	rig_deliver(g, 1, &m);
	assert_int_equal(g->states_sent, 2);
	rig_own_state(g);
	m = rig_peer_state(g, 2);
	rig_deliver(g, 2, &m);
	assert_true(g->s.view_complete);
	assert_int_equal(g->states_sent, 2);
}

static void messages_of_the_view_that_was_left_count_for_nothing(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_view(g, ALL3);
	rig_promised(g);
	rig_tick(g, RIG_SILENCE_MS + 1); /* node 2 is silent: the view is left */
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
	rig_synced(g, 0);
	rig_synced(g, 1);
	assert_int_equal(g->s.synced, 0);
	rig_beat(g, 0, 1, 0);
	assert_int_equal(g->s.lease.seen[0], 0);
}

static void messages_of_an_earlier_view_of_the_same_ring_count_for_nothing(void **state)
{
	struct rig *g = *state;
	struct cl_msg old[5] = {{.type = CL_MSG_SYNCED},
				{.type = CL_MSG_PERSISTED},
				{.type = CL_MSG_PROPOSE},
				{.type = CL_MSG_BEAT},
				{.type = CL_MSG_ENTRY}};
	struct cl_view_id view;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	view = g->s.view;
	view.nonce++;
	old[0].synced = (struct cl_msg_synced){.view = view, .promised = g->s.number};
	old[1].persisted = (struct cl_msg_persisted){.view = view, .index = 12};
	old[2].propose.view = view;
	old[3].beat.view = view;
	old[3].beat.beat = 1;
	old[4] = rig_entry_msg(g, 99, CL_ENTRY_COMMAND);
	old[4].entry.view = view;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(old); i++) {
		struct repl_state before = g->s;

		rig_deliver(g, 1, &old[i]);
		assert_int_equal(g->out.count, 0);
		assert_memory_equal(&before, &g->s, sizeof(before));
	}
}

static void a_message_of_a_refused_peer_counts_for_nothing(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_view(g, 0xf); /* node 3 is no member */
	rig_promised(g);
	rig_synced(g, 3);
	assert_int_equal(g->s.synced, 0);
	rig_beat(g, 3, 1, 0);
	assert_int_equal(g->out.count, 0);
}

static void a_refused_node_takes_no_part_in_the_view(void **state)
{
	struct rig *g = *state;

	rig_init(g, 3, 3);
	rig_view(g, 0xf);
	g->s.number = RIG_EPOCH + 1;
	rig_synced(g, 0);
	rig_synced(g, 1);
	rig_beat(g, 0, 1, 0);
	assert_int_equal(g->out.count, 0);
	assert_int_equal(g->s.synced, 0);
	assert_int_equal(g->s.lease.seen[0], 0);
}

static void a_hash_is_not_the_business_of_this_core(void **state)
{
	struct rig *g = *state;
	struct cl_msg m = {.type = CL_MSG_HASH};

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	m.hash.view = g->s.view;
	rig_deliver(g, 1, &m);
	assert_int_equal(g->out.count, 0);
}

static void losing_corosync_closes_the_view(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	rig_left(g);
	assert_int_equal(g->s.phase, REPL_DOWN);
	assert_non_null(rig_did(g, REPL_DO_CLOSED));
	assert_false(repl_may_act(&g->s, 0));
}

static void a_node_that_is_down_says_nothing_and_hears_nothing(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_view(g, ALL3);
	rig_left(g);
	rig_promised(g);
	assert_int_equal(g->out.count, 0);
	rig_tick(g, 100000);
	assert_int_equal(g->out.count, 0);
	m = rig_peer_state(g, 1);
	rig_deliver(g, 1, &m);
	assert_int_equal(g->out.count, 0);
	rig_confchg(g, ALL3);
	assert_int_equal(g->states_sent, 2);
}

static void more_processes_than_the_bound_are_a_broken_invariant(void **state)
{
	struct rig *g = *state;
	int status = 0;
	pid_t child;

	rig_init(g, 0, 3);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct rlimit none = {0};
		struct repl_event ev = {.type = REPL_EV_CONFCHG};

		setrlimit(RLIMIT_CORE, &none);
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		signal(SIGABRT, SIG_DFL);
		ev.confchg.count = REPL_MAX_PEERS + 1;
		repl_step(&g->s, &ev, &g->out);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- who is refused */

/* Three members and node 3, which says `m`; returns what becomes of it. */
static enum repl_refusal judge_node_3(struct rig *g, struct cl_msg *m)
{
	rig_states(g, ALL3);
	rig_deliver(g, 3, m);
	assert_true(g->s.view_complete);
	assert_int_equal(g->s.present & 0x8, 0);
	assert_int_equal(g->s.peer[3].slot, CL_NODE_NONE);
	return g->s.peer[3].refusal;
}

static void an_older_or_newer_protocol_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 4);
	rig_confchg(g, 0xf);
	m = rig_peer_state(g, 3);
	m.state.protocol_min = m.state.protocol_max = CL_PROTOCOL_MAX + 1;
	assert_int_equal(judge_node_3(g, &m), REPL_REFUSED_INCOMPATIBLE);

	rig_promised(g);
	rig_confchg(g, 0xf);
	m = rig_peer_state(g, 3);
	m.state.protocol_min = m.state.protocol_max = CL_PROTOCOL_MIN - 1;
	assert_int_equal(judge_node_3(g, &m), REPL_REFUSED_INCOMPATIBLE);
}

/* ---- the version in force: 5, which this node and its peers speak beside 4 */

static void versions(struct rig *g, uint8_t self, uint8_t n)
{
	rig_init(g, self, n);
	g->s.self.versions = g->versions = (struct cl_versions){4, 5};
}

static void in_force(struct rig *g, uint32_t version)
{
	g->s.table.version.nodeid = g->history.table.version.nodeid = version;
}

static void who_does_not_speak_the_version_in_force_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	versions(g, 0, 4);
	in_force(g, 5);
	rig_confchg(g, 0xf);
	m = rig_peer_state(g, 3);
	m.state.version_max = 4;
	assert_int_equal(judge_node_3(g, &m), REPL_REFUSED_INCOMPATIBLE);

	rig_promised(g);
	rig_confchg(g, 0xf);
	m = rig_peer_state(g, 3);
	m.state.version_min = m.state.version_max = 6;
	assert_int_equal(judge_node_3(g, &m), REPL_REFUSED_INCOMPATIBLE);

	rig_promised(g);
	rig_confchg(g, 0xf);
	m = rig_blank_state(g, 3);
	m.state.version_max = 4;
	assert_int_equal(judge_node_3(g, &m), REPL_REFUSED_INCOMPATIBLE);
}

/* What it was raised to need not be committed: it is in force at the end of the highest history. */
static void a_raise_at_the_end_of_the_highest_history_counts(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	versions(g, 0, 3);
	in_force(g, 4);
	g->s.self.versions.highest = 4;
	rig_confchg(g, ALL3);
	g->own_state.state.version_max = 4;
	rig_states(g, 0x3);
	m = rig_peer_state(g, 2);
	m.state.last.index++;
	m.state.table.version.nodeid = 5;
	rig_deliver(g, 2, &m);
	assert_int_equal(g->s.phase, REPL_REFUSED);
	assert_int_equal(g->s.refusal, REPL_REFUSED_INCOMPATIBLE);
	assert_int_equal(cl_table_version(&g->s.vtable), 5);
}

static int raise_to(struct rig *g, uint32_t version)
{
	return rig_change(g, CL_VERSION_SLOT, (struct cl_member){.nodeid = version});
}

static void a_version_is_raised_when_all_here_speak_it(void **state)
{
	struct rig *g = *state;
	struct cl_member row = {.nodeid = 5};

	versions(g, 0, 3);
	in_force(g, 4);
	rig_open(g, ALL3);
	assert_int_equal(raise_to(g, 4), -EINVAL); /* it is in force */
	assert_int_equal(raise_to(g, 6), -EINVAL); /* nobody speaks it */
	assert_int_equal(raise_to(g, 5), 0);
	rig_change_entry(g, RIG_LAST + 2, CL_VERSION_SLOT, row);
	assert_int_equal(cl_table_version(&g->s.table), 5);
	rig_persisted_by(g, ALL3, RIG_LAST + 2);
	assert_false(g->s.change_pending);
	assert_int_equal(raise_to(g, 4), -EINVAL); /* there is no way back */
}

static void a_version_that_one_here_does_not_speak_is_not_raised(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	versions(g, 0, 3);
	in_force(g, 4);
	rig_confchg(g, ALL3);
	rig_states(g, 0x3);
	m = rig_peer_state(g, 2);
	m.state.version_max = 4;
	rig_deliver(g, 2, &m);
	rig_epoch(g);
	rig_persisted_by(g, ALL3, RIG_LAST + 1);
	assert_int_equal(g->s.phase, REPL_OPEN);
	assert_int_equal(raise_to(g, 5), -EINVAL);
}

static void an_entry_with_a_version_that_we_do_not_speak_is_not_taken(void **state)
{
	struct rig *g = *state;
	struct cl_member row = {.nodeid = 6};

	versions(g, 0, 3);
	in_force(g, 4);
	rig_open(g, ALL3);
	rig_change_entry(g, RIG_LAST + 2, CL_VERSION_SLOT, row);
	assert_true(g->s.is_broken);
	assert_int_equal(cl_table_version(&g->s.table), 4);
}

static void a_protocol_range_that_includes_ours_is_admitted(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 2);
	rig_confchg(g, 0x3);
	m = rig_peer_state(g, 1);
	m.state.protocol_min = 0;
	m.state.protocol_max = UINT16_MAX;
	rig_own_state(g);
	rig_deliver(g, 1, &m);
	assert_int_equal(g->s.peer[1].refusal, REPL_ADMITTED);
	assert_int_equal(g->s.present, 0x3);
}

static void a_node_of_another_cluster_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 4);
	rig_confchg(g, 0xf);
	m = rig_peer_state(g, 3);
	m.state.cluster = rig_cluster(0xdd);
	assert_int_equal(judge_node_3(g, &m), REPL_REFUSED_OTHER_CLUSTER);
}

static void a_node_outside_the_table_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, 0xf);
	m = rig_peer_state(g, 3);
	assert_int_equal(judge_node_3(g, &m), REPL_REFUSED_NOT_MEMBER);
}

static void a_seventeenth_node_is_told_that_the_table_is_full(void **state)
{
	struct rig *g = *state;
	struct repl_history history = rig_history(16);
	struct cl_msg m;

	history.table.member[3].nodeid = 999;
	history.table.member[3].name[0] = 'x';
	rig_init_with(g, 0, &history);
	rig_confchg(g, 0xf);
	m = rig_blank_state(g, 3);
	assert_int_equal(judge_node_3(g, &m), REPL_REFUSED_FULL);
}

static void a_new_node_with_the_name_of_a_member_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, 0xf);
	m = rig_blank_state(g, 3);
	m.state.name = rig_name(2);
	assert_int_equal(judge_node_3(g, &m), REPL_REFUSED_NAME);
}

static void a_node_with_the_nodeid_of_a_member_and_another_name_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 4);
	rig_confchg(g, 0xf);
	m = rig_blank_state(g, 3);
	m.state.name = rig_name(9);
	assert_int_equal(judge_node_3(g, &m), REPL_REFUSED_NAME);
}

static void a_refused_node_knows_why(void **state)
{
	struct rig *g = *state;

	rig_init(g, 3, 3);
	rig_view(g, 0xf);
	assert_int_equal(g->s.phase, REPL_REFUSED);
	assert_int_equal(g->s.refusal, REPL_REFUSED_NOT_MEMBER);
	assert_non_null(rig_did(g, REPL_DO_VIEW));
	rig_tick(g, RIG_SILENCE_MS + 1);
	assert_int_equal(g->out.count, 0);
}

static void a_node_that_was_refused_is_admitted_when_the_table_names_it(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 3, 3);
	rig_view(g, 0xf);
	assert_int_equal(g->s.phase, REPL_REFUSED);
	g->history.last.index++;
	g->history.table = rig_table(4);
	m = rig_peer_state(g, 0);
	rig_deliver(g, 0, &m);
	rig_own_state(g);
	rig_states(g, 0x6);
	assert_int_equal(g->s.phase, REPL_PULLING);
	assert_int_equal(g->s.refusal, REPL_ADMITTED);
	assert_int_equal(g->s.self_slot, 3);
}

static void two_processes_of_one_node_do_not_both_get_its_slot(void **state)
{
	struct rig *g = *state;
	struct repl_event ev = {.type = REPL_EV_CONFCHG};
	struct repl_address second = rig_address(1);
	struct cl_msg m;

	rig_init(g, 0, 3);
	second.pid += 5000; /* started twice: another database, the same name */
	ev.confchg.ring = (struct cl_ring){.rep = 101, .seq = 8};
	ev.confchg.count = 3;
	ev.confchg.member[0] = rig_address(0);
	ev.confchg.member[1] = rig_address(1);
	ev.confchg.member[2] = second;
	assert_int_equal(rig_step(g, &ev), 0);
	g->ring = ev.confchg.ring;
	g->hash = g->s.members_hash;
	rig_own_state(g);
	m = rig_peer_state(g, 1);
	rig_deliver(g, 1, &m);
	m = rig_blank_state(g, 1);
	rig_deliver_from(g, second, &m);
	assert_true(g->s.view_complete);
	assert_true(g->s.peer[1].slot == CL_NODE_NONE || g->s.peer[2].slot == CL_NODE_NONE);
}

/* ---- blank nodes */

static void blank_nodes_alone_are_unconfigured(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init_blank(g, 0, 2);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	m = rig_blank_state(g, 1);
	rig_deliver(g, 1, &m);
	assert_int_equal(g->s.phase, REPL_UNCONFIGURED);
	assert_int_equal(g->s.self_slot, CL_NODE_NONE);
	assert_non_null(rig_did(g, REPL_DO_VIEW));
}

static void a_blank_node_that_a_cluster_names_pulls_from_it(void **state)
{
	struct rig *g = *state;

	rig_init_blank(g, 2, 3);
	rig_view(g, ALL3);
	assert_int_equal(g->s.phase, REPL_PULLING);
	assert_int_equal(rig_did(g, REPL_DO_PULL)->pull.donor_nodeid, rig_nodeid(0));
}

static void a_blank_node_that_nobody_names_is_refused(void **state)
{
	struct rig *g = *state;

	rig_init_blank(g, 3, 3);
	rig_view(g, 0xf);
	assert_int_equal(g->s.phase, REPL_REFUSED);
	assert_int_equal(g->s.refusal, REPL_REFUSED_NOT_MEMBER);
}

static void a_blank_node_that_two_clusters_claim_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init_blank(g, 2, 3);
	rig_confchg(g, ALL3);
	rig_own_state(g);
	m = rig_peer_state(g, 0);
	rig_deliver(g, 0, &m);
	m = rig_peer_state(g, 1);
	m.state.cluster = rig_cluster(0xdd);
	rig_deliver(g, 1, &m);
	assert_int_equal(g->s.phase, REPL_REFUSED);
	assert_int_equal(g->s.refusal, REPL_REFUSED_AMBIGUOUS);
}

static void a_blank_node_joins_the_one_of_two_clusters_that_names_it(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init_blank(g, 2, 3);
	rig_confchg(g, 0xf);
	rig_own_state(g);
	rig_states(g, 0x3);
	m = rig_peer_state(g, 3);
	m.state.cluster = rig_cluster(0xdd);
	m.state.table.member[2].nodeid = 0;
	rig_deliver(g, 3, &m);
	assert_int_equal(g->s.phase, REPL_PULLING);
	assert_int_equal(g->s.peer[3].refusal, REPL_REFUSED_OTHER_CLUSTER);
}

static void a_blank_node_that_is_the_seventeenth_knows_why_it_is_refused(void **state)
{
	struct rig *g = *state;

	rig_init_blank(g, 3, 16);
	g->history.table.member[3].nodeid = 999;
	g->history.table.member[3].name[0] = 'x';
	rig_view(g, 0xf);
	assert_int_equal(g->s.phase, REPL_REFUSED);
	assert_int_equal(g->s.refusal, REPL_REFUSED_FULL);
}

static void a_blank_node_with_the_name_of_a_member_knows_why_it_is_refused(void **state)
{
	struct rig *g = *state;

	rig_init_blank(g, 3, 3);
	g->s.self.name = rig_name(2);
	rig_confchg(g, 0xf);
	g->own_state.state.name = rig_name(2);
	rig_states(g, 0xf);
	assert_int_equal(g->s.phase, REPL_REFUSED);
	assert_int_equal(g->s.refusal, REPL_REFUSED_NAME);
}

static void a_blank_disk_has_no_vote(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	m = rig_blank_state(g, 1);
	rig_deliver(g, 1, &m);
	assert_int_equal(g->s.present, 0x3);
	assert_int_equal(g->s.countable, 0x1);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
	assert_false(g->s.quorum.is_quorate);
	assert_int_equal(g->s.quorum.missing, 0x6);
}

static void a_node_that_began_blank_counts_once_it_has_persisted(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, ALL3);
	rig_states(g, 0x3);
	m = rig_blank_state(g, 2);
	rig_deliver(g, 2, &m);
	rig_epoch(g);
	rig_tick(g, 0);
	rig_beat(g, 2, 1, 1);
	assert_int_equal(g->s.lease.deadline_ms, 0);
	rig_persisted(g, 2, RIG_LAST + 1);
	rig_beat(g, 2, 2, 1);
	assert_int_equal(g->s.lease.deadline_ms, g->now_ms + RIG_LEASE_MS);
}

static void what_a_blank_node_has_pulled_is_what_it_says(void **state)
{
	struct rig *g = *state;

	rig_init_blank(g, 2, 3);
	rig_view(g, ALL3);
	rig_pulled(g, 0, RIG_LAST);
	rig_promised(g);
	rig_confchg(g, 0x6);
	assert_false(g->own_state.state.is_blank);
	assert_memory_equal(&g->own_state.state.cluster, &g->history.cluster,
			    sizeof(struct cl_uuid));
	assert_int_equal(g->own_state.state.last.index, RIG_LAST);
	assert_int_equal(g->own_state.state.table.member[1].nodeid, rig_nodeid(1));
}

static void a_blank_node_does_not_choose_the_sequencer(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 2, 3);
	rig_confchg(g, ALL3);
	m = rig_blank_state(g, 0);
	rig_deliver(g, 0, &m);
	rig_states(g, 0x6);
	rig_promised(g);
	rig_synced(g, 0);
	rig_synced(g, 2);
	assert_int_equal(g->s.starter, CL_NODE_NONE);
	rig_synced(g, 1);
	assert_int_equal(g->s.starter, 1);
}

/* ---- CREATE */

static void create_makes_a_blank_node_a_cluster_of_one(void **state)
{
	struct rig *g = *state;
	struct cl_table table = {0};
	const struct repl_action *a;

	table.member[0] = rig_member(0, 1);
	rig_init_blank(g, 0, 1);
	rig_view(g, 0x1);
	assert_int_equal(g->s.phase, REPL_UNCONFIGURED);
	assert_int_equal(rig_create(g, &table), 0);
	a = rig_did(g, REPL_DO_APPEND);
	assert_non_null(a);
	assert_int_equal(a->entry.index, 1);
	assert_int_equal(a->entry.kind, CL_ENTRY_GENESIS);
	assert_int_equal(a->entry.epoch.generation, 1);
	assert_int_equal(a->entry.epoch.starter, 0);
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
	assert_int_equal(g->states_sent, 1); /* the first entry is not durable yet */
	rig_durable(g, 1);
	assert_int_equal(g->states_sent, 2);
	assert_false(g->own_state.state.is_blank);
	assert_int_equal(g->own_state.state.cluster.byte[0], 0xcc);
	assert_int_equal(g->own_state.state.table.changed_at, 1);
	rig_own_state(g);
	rig_promised(g);
	rig_synced(g, 0);
	rig_entry(g, 2, CL_ENTRY_EPOCH);
	assert_null(rig_did(g, REPL_DO_OPENED));
	rig_durable(g, 2);
	rig_persisted(g, 0, 2);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, 2);
	assert_non_null(rig_did(g, REPL_DO_OPENED));
	assert_true(repl_is_sequencer(&g->s));
}

static void create_without_corosync_waits_for_it(void **state)
{
	struct rig *g = *state;
	struct cl_table table = {0};

	table.member[0] = rig_member(0, 1);
	rig_init_blank(g, 0, 1);
	assert_int_equal(rig_create(g, &table), 0);
	rig_durable(g, 1);
	assert_int_equal(g->states_sent, 0);
	rig_confchg(g, 0x1);
	assert_int_equal(g->states_sent, 1);
	assert_int_equal(g->own_state.state.last.index, 1);
}

static void create_says_the_new_state_after_one_that_is_under_way(void **state)
{
	struct rig *g = *state;
	struct cl_table table = {0};
	struct cl_msg first;

	table.member[0] = rig_member(0, 1);
	rig_init_blank(g, 0, 1);
	rig_confchg(g, 0x1);
	first = g->own_state;
	assert_int_equal(rig_create(g, &table), 0);
	rig_deliver(g, 0, &first); /* says that we are blank, and comes before the disk is done */
	assert_int_equal(g->states_sent, 1);
	rig_durable(g, 1);
	assert_int_equal(g->states_sent, 2);
	rig_own_state(g);
	assert_int_equal(g->s.phase, REPL_SYNCING);
}

static void create_on_a_member_of_a_cluster_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_table table = {0};

	table.member[0] = rig_member(0, 1);
	rig_init(g, 0, 1);
	assert_int_equal(rig_create(g, &table), -EEXIST);
}

static void create_without_this_node_in_the_table_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_table table = {0};

	table.member[0] = rig_member(1, 1);
	rig_init_blank(g, 0, 1);
	assert_int_equal(rig_create(g, &table), -EINVAL);
}

static void create_without_the_only_vote_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_table table = {0};

	rig_init_blank(g, 0, 1);
	table.member[0] = rig_member(0, 1);
	table.member[1] = rig_member(1, 1);
	assert_int_equal(rig_create(g, &table), -EINVAL);
	table.member[0].vote = 0;
	assert_int_equal(rig_create(g, &table), -EINVAL);
}

static void create_under_another_name_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_table table = {0};

	rig_init_blank(g, 0, 1);
	table.member[0] = rig_member(0, 1);
	table.member[0].name[0] = 'x';
	assert_int_equal(rig_create(g, &table), -EINVAL);
}

static void create_while_a_pull_may_still_install_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_table table = {0};

	table.member[2] = rig_member(2, 1);
	rig_init_blank(g, 2, 3);
	rig_view(g, ALL3);
	assert_int_equal(g->s.phase, REPL_PULLING);
	assert_true(rig_create(g, &table) < 0);
}

/* ---- whose history wins */

/* Nodes 0 (ours) and 1 of three; node 1 says that its history ends there. */
static void view_with_peer_at(struct rig *g, struct cl_pos last)
{
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	m = rig_peer_state(g, 1);
	m.state.last = last;
	rig_deliver(g, 1, &m);
	assert_true(g->s.quorum.is_quorate);
}

static void a_later_epoch_beats_a_longer_history(void **state)
{
	struct rig *g = *state;
	struct cl_pos theirs = {.epoch = {1, RIG_EPOCH + 1, 1}, .index = RIG_LAST - 5};

	view_with_peer_at(g, theirs);
	assert_int_equal(g->s.phase, REPL_PULLING);
	assert_int_equal(cl_pos_compare(&g->s.winner, &theirs), 0);
	assert_int_equal(rig_did(g, REPL_DO_PULL)->pull.winner.index, RIG_LAST - 5);
}

static void a_longer_history_of_an_earlier_epoch_loses(void **state)
{
	struct rig *g = *state;
	struct cl_pos theirs = {.epoch = {1, RIG_EPOCH - 1, 1}, .index = RIG_LAST + 50};

	view_with_peer_at(g, theirs);
	assert_int_equal(g->s.phase, REPL_SYNCING);
	assert_int_equal(g->s.winner.index, RIG_LAST);
}

static void of_the_same_epoch_the_longer_history_wins(void **state)
{
	struct rig *g = *state;
	struct cl_pos theirs = {.epoch = {1, RIG_EPOCH, 0}, .index = RIG_LAST + 1};

	view_with_peer_at(g, theirs);
	assert_int_equal(g->s.phase, REPL_PULLING);
	assert_int_equal(g->s.winner.index, RIG_LAST + 1);
}

static void a_forced_generation_beats_every_epoch_number(void **state)
{
	struct rig *g = *state;
	struct cl_pos theirs = {.epoch = {2, 1, 1}, .index = 1};

	view_with_peer_at(g, theirs);
	assert_int_equal(g->s.phase, REPL_PULLING);
	assert_int_equal(g->s.generation, 2);
}

static void equal_histories_need_no_pull(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_view(g, ALL3);
	assert_null(rig_did(g, REPL_DO_PULL));
	assert_int_equal(g->s.phase, REPL_SYNCING);
}

static void the_history_of_another_cluster_never_wins(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, ALL3);
	rig_states(g, 0x3);
	m = rig_peer_state(g, 2);
	m.state.cluster = rig_cluster(0xdd);
	m.state.last.epoch.number = 100;
	m.state.promised = 100;
	rig_deliver(g, 2, &m);
	assert_int_equal(g->s.phase, REPL_SYNCING);
	assert_int_equal(g->s.number, RIG_EPOCH + 1);
}

static void the_history_of_an_incompatible_node_never_wins(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, ALL3);
	rig_states(g, 0x3);
	m = rig_peer_state(g, 2);
	m.state.protocol_min = m.state.protocol_max = CL_PROTOCOL_MAX + 1;
	m.state.last.epoch.number = 100;
	rig_deliver(g, 2, &m);
	assert_int_equal(g->s.phase, REPL_SYNCING);
}

static void a_majority_of_the_winning_table_is_needed_not_of_ours(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	m = rig_peer_state(g, 1);
	m.state.last.index++; /* not committed, perhaps; in force all the same */
	m.state.table = rig_table(4);
	rig_deliver(g, 1, &m);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
	assert_int_equal(g->s.quorum.reason, QUORUM_TIE);
}

static void a_minority_neither_pulls_nor_promises(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 5);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	m = rig_peer_state(g, 1);
	m.state.last.index++;
	rig_deliver(g, 1, &m);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
	assert_non_null(rig_did(g, REPL_DO_VIEW));
	assert_int_equal(g->out.count, 1);
	rig_synced(g, 0);
	rig_synced(g, 1);
	assert_int_equal(g->s.synced, 0);
}

/* ---- pull */

/* Node 2 of three holds less than the others, in a view of all. */
static void behind(struct rig *g)
{
	struct repl_history history = rig_history(3);

	history.last.index = RIG_LAST - 3;
	rig_init_with(g, 2, &history);
	g->history = rig_history(3);
	rig_view(g, ALL3);
	assert_int_equal(g->s.phase, REPL_PULLING);
}

static void a_pull_names_the_lowest_holder_of_the_winning_history(void **state)
{
	struct rig *g = *state;
	const struct repl_action *a;

	behind(g);
	a = rig_did(g, REPL_DO_PULL);
	assert_int_equal(a->pull.donor_nodeid, rig_nodeid(0));
	assert_int_equal(a->pull.winner.index, RIG_LAST);
	assert_true(cl_view_equal(&a->pull.view, &g->s.view));
	assert_null(rig_did(g, REPL_DO_PROMISE));
	assert_null(rig_did(g, REPL_DO_DROP_SUFFIX)); /* ours is kept until theirs is here */
}

static void a_failed_pull_asks_the_next_holder_and_then_the_first_again(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_pulled(g, -EIO, 0);
	assert_null(rig_did(g, REPL_DO_PULL)); /* not at once: that would be a busy loop */
	rig_tick(g, 50);
	assert_int_equal(rig_did(g, REPL_DO_PULL)->pull.donor_nodeid, rig_nodeid(1));
	rig_pulled(g, -EIO, 0);
	assert_null(rig_did(g, REPL_DO_PULL)); /* not at once: that would be a busy loop */
	rig_tick(g, 50);
	assert_int_equal(rig_did(g, REPL_DO_PULL)->pull.donor_nodeid, rig_nodeid(0));
	assert_int_equal(g->s.phase, REPL_PULLING);
	assert_int_equal(g->s.last.index, RIG_LAST - 3);
}

static void only_holders_of_the_winning_history_are_asked(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 2, 3);
	rig_confchg(g, ALL3);
	rig_states(g, 0x5);
	m = rig_peer_state(g, 1);
	m.state.last.index++;
	rig_deliver(g, 1, &m);
	assert_int_equal(rig_did(g, REPL_DO_PULL)->pull.donor_nodeid, rig_nodeid(1));
	rig_pulled(g, -EIO, 0);
	assert_null(rig_did(g, REPL_DO_PULL)); /* not at once: that would be a busy loop */
	rig_tick(g, 50);
	assert_int_equal(rig_did(g, REPL_DO_PULL)->pull.donor_nodeid, rig_nodeid(1));
}

static void an_installed_history_is_promised_and_then_synced(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_pulled(g, 0, RIG_LAST);
	assert_int_equal(g->s.phase, REPL_SYNCING);
	assert_int_equal(g->s.last.index, RIG_LAST);
	assert_int_equal(rig_did(g, REPL_DO_PROMISE)->index, RIG_EPOCH + 1);
	assert_null(rig_sent(g, CL_MSG_SYNCED));
	rig_promised(g);
	assert_non_null(rig_sent(g, CL_MSG_SYNCED));
}

static void entries_that_come_during_a_pull_are_held(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_synced(g, 0);
	rig_synced(g, 1);
	rig_entry(g, RIG_LAST + 1, CL_ENTRY_EPOCH);
	assert_int_equal(rig_did(g, REPL_DO_HOLD)->entry.index, RIG_LAST + 1);
	assert_null(rig_did(g, REPL_DO_APPEND));
	assert_int_equal(g->s.last.index, RIG_LAST - 3);
}

static void what_commits_during_a_pull_is_applied_after_it(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_synced(g, 0);
	rig_synced(g, 1);
	rig_entry(g, RIG_LAST + 1, CL_ENTRY_EPOCH);
	rig_persisted(g, 0, RIG_LAST + 1);
	rig_persisted(g, 1, RIG_LAST + 1);
	assert_int_equal(g->out.count, 0);
	rig_pulled(g, 0, RIG_LAST + 1);
	assert_int_equal(rig_sent(g, CL_MSG_PERSISTED)->persisted.index, RIG_LAST + 1);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, RIG_LAST + 1);
	assert_non_null(rig_did(g, REPL_DO_OPENED));
	assert_int_equal(g->s.phase, REPL_OPEN);
}

static void what_has_not_committed_during_a_pull_is_not_applied_after_it(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_synced(g, 0);
	rig_synced(g, 1);
	rig_entry(g, RIG_LAST + 1, CL_ENTRY_EPOCH);
	rig_persisted(g, 0, RIG_LAST + 1);
	rig_pulled(g, 0, RIG_LAST + 1);
	assert_non_null(rig_sent(g, CL_MSG_PERSISTED));
	assert_null(rig_did(g, REPL_DO_COMMIT));
	rig_persisted(g, 2, RIG_LAST + 1);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, RIG_LAST + 1);
}

static void an_install_that_lacks_delivered_entries_breaks_the_view(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_synced(g, 0);
	rig_synced(g, 1);
	rig_entry(g, RIG_LAST + 1, CL_ENTRY_EPOCH);
	rig_pulled(g, 0, RIG_LAST);
	assert_true(g->s.is_broken);
	assert_int_equal(g->out.count, 0);
	rig_tick(g, 1);
	assert_int_equal(g->states_sent, 2);
	assert_int_equal(g->own_state.state.last.index, RIG_LAST);
}

static void entries_that_an_install_has_brought_are_not_appended_again(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_synced(g, 0);
	rig_synced(g, 1);
	rig_entry(g, RIG_LAST + 1, CL_ENTRY_EPOCH);
	rig_pulled(g, 0, RIG_LAST + 2); /* the donor was ahead of what is delivered here */
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	assert_int_equal(g->out.count, 0);
	rig_entry(g, RIG_LAST + 3, CL_ENTRY_COMMAND);
	assert_int_equal(rig_did(g, REPL_DO_APPEND)->entry.index, RIG_LAST + 3);
}

static void
what_an_install_has_brought_of_the_epoch_is_said_when_the_epoch_is_heard_of(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_synced(g, 0);
	rig_synced(g, 1);
	rig_pulled(g, 0, RIG_LAST + 1); /* the donor was ahead of what is delivered here */
	assert_null(rig_sent(g, CL_MSG_PERSISTED));
	rig_entry(g, RIG_LAST + 1, CL_ENTRY_EPOCH);
	assert_null(rig_did(g, REPL_DO_APPEND));
	assert_int_equal(rig_sent(g, CL_MSG_PERSISTED)->persisted.index, RIG_LAST + 1);
}

static void a_change_of_the_group_cancels_the_pull(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_confchg(g, 0x6);
	assert_non_null(rig_did(g, REPL_DO_CANCEL_PULL));
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
}

static void no_state_is_sent_while_a_pull_may_still_change_the_disk(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_confchg(g, 0x6);
	assert_int_equal(g->states_sent, 1);
	rig_tick(g, 1);
	assert_int_equal(g->states_sent, 1);
	rig_pulled(g, -ECANCELED, 0);
	assert_int_equal(g->states_sent, 2);
	assert_int_equal(g->own_state.state.last.index, RIG_LAST - 3);
}

static void a_cancelled_pull_that_installed_all_the_same_is_what_we_hold(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_confchg(g, 0x6);
	rig_pulled(g, 0, RIG_LAST);
	assert_int_equal(g->states_sent, 2);
	assert_int_equal(g->own_state.state.last.index, RIG_LAST);
	assert_null(rig_did(g, REPL_DO_PROMISE));
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
}

static void a_new_view_asks_the_lowest_holder_first_again(void **state)
{
	struct rig *g = *state;

	behind(g);
	rig_pulled(g, -EIO, 0);
	rig_confchg(g, ALL3);
	rig_pulled(g, -ECANCELED, 0);
	rig_states(g, ALL3);
	assert_int_equal(rig_did(g, REPL_DO_PULL)->pull.donor_nodeid, rig_nodeid(0));
}

static void a_smaller_group_forgets_the_history_and_the_vote_of_who_left(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 5);
	rig_confchg(g, ALL3);
	rig_states(g, 0x3);
	m = rig_peer_state(g, 2);
	m.state.last = (struct cl_pos){.epoch = {2, RIG_EPOCH + 7, 2}, .index = RIG_LAST + 7};
	rig_deliver(g, 2, &m);
	assert_int_equal(g->s.phase, REPL_PULLING);
	rig_confchg(g, 0x3);
	rig_pulled(g, -ECANCELED, 0);
	rig_states(g, 0x3);
	assert_int_equal(g->s.winner.index, RIG_LAST);
	assert_int_equal(g->s.present, 0x3);
	assert_int_equal(g->s.countable, 0x3);
	assert_int_equal(g->s.phase, REPL_INQUORATE);
}

/* ---- promise */

static void the_epoch_number_is_above_all_that_was_promised_or_held(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, ALL3);
	rig_states(g, 0x3);
	m = rig_peer_state(g, 2);
	m.state.promised = RIG_EPOCH + 20;
	rig_deliver(g, 2, &m);
	assert_int_equal(rig_did(g, REPL_DO_PROMISE)->index, RIG_EPOCH + 21);

	rig_promised(g);
	rig_confchg(g, 0x3);
	rig_own_state(g);
	m = rig_peer_state(g, 1);
	m.state.last.epoch.number = RIG_EPOCH + 40; /* and an older promise */
	rig_deliver(g, 1, &m);
	assert_int_equal(g->s.number, RIG_EPOCH + 41);
}

static void synced_is_said_only_when_the_promise_is_durable(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_view(g, ALL3);
	assert_int_equal(rig_did(g, REPL_DO_PROMISE)->index, RIG_EPOCH + 1);
	assert_null(rig_sent(g, CL_MSG_SYNCED));
	rig_promised(g);
	assert_int_equal(rig_sent(g, CL_MSG_SYNCED)->synced.promised, RIG_EPOCH + 1);
	assert_true(cl_view_equal(&rig_sent(g, CL_MSG_SYNCED)->synced.view, &g->s.view));
}

static void a_promise_for_a_view_that_was_left_is_told_and_not_synced(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_view(g, ALL3);
	rig_confchg(g, 0x3);
	assert_int_equal(g->states_sent, 1); /* the disk is not quiet */
	rig_promised(g);
	assert_null(rig_sent(g, CL_MSG_SYNCED));
	assert_int_equal(g->states_sent, 2);
	assert_int_equal(g->own_state.state.promised, RIG_EPOCH + 1);
}

static void an_older_promise_that_becomes_durable_does_not_lower_ours(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_view(g, ALL3);
	rig_index_event(g, REPL_EV_PROMISED, RIG_EPOCH - 1);
	assert_int_equal(g->s.promised, RIG_EPOCH);
	assert_null(rig_sent(g, CL_MSG_SYNCED));
}

static void synced_with_another_number_is_ignored(void **state)
{
	struct rig *g = *state;
	struct cl_msg m = {.type = CL_MSG_SYNCED};

	rig_init(g, 0, 3);
	rig_view(g, ALL3);
	rig_promised(g);
	m.synced = (struct cl_msg_synced){.view = g->s.view, .promised = g->s.number - 1};
	rig_deliver(g, 1, &m);
	m.synced.promised = g->s.number + 1;
	rig_deliver(g, 2, &m);
	assert_int_equal(g->s.synced, 0);
}

/* ---- epoch */

static void the_lowest_synced_of_a_majority_opens_the_epoch(void **state)
{
	struct rig *g = *state;
	const struct cl_msg_entry *m;

	rig_init(g, 1, 3);
	rig_view(g, ALL3);
	rig_promised(g);
	rig_synced(g, 2);
	assert_int_equal(g->out.count, 0);
	rig_synced(g, 1); /* node 0 is lower, but not synced */
	m = &rig_sent(g, CL_MSG_ENTRY)->entry;
	assert_true(cl_view_equal(&m->view, &g->s.view));
	assert_int_equal(m->kind, CL_ENTRY_EPOCH);
	assert_int_equal(m->index, RIG_LAST + 1);
	assert_int_equal(m->epoch.generation, 1);
	assert_int_equal(m->epoch.number, RIG_EPOCH + 1);
	assert_int_equal(m->epoch.starter, 1);
	assert_int_equal(m->origin, 1);
}

static void who_is_not_the_lowest_synced_does_not_open_the_epoch(void **state)
{
	struct rig *g = *state;

	rig_init(g, 2, 3);
	rig_view(g, ALL3);
	rig_promised(g);
	rig_synced(g, 1);
	rig_synced(g, 2);
	assert_int_equal(g->s.starter, 1);
	assert_int_equal(g->out.count, 0);
}

static void the_epoch_is_opened_once(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_view(g, ALL3);
	rig_promised(g);
	rig_synced(g, 1);
	rig_synced(g, 2);
	rig_synced(g, 0); /* lower, but too late */
	assert_int_equal(g->out.count, 0);
	assert_int_equal(g->s.starter, 1);
}

static void members_without_a_vote_do_not_open_an_epoch(void **state)
{
	struct rig *g = *state;
	struct repl_history history = rig_history(4);

	history.table.member[0].vote = 0;
	rig_init_with(g, 1, &history);
	rig_view(g, 0xf);
	rig_promised(g);
	rig_synced(g, 0);
	rig_synced(g, 1);
	assert_int_equal(g->s.starter, CL_NODE_NONE);
	rig_synced(g, 2); /* two of three votes; the lowest synced has none and sequences */
	assert_int_equal(g->s.starter, 0);
}

/* ---- entries */

static void the_next_entry_of_the_sequencer_is_appended(void **state)
{
	struct rig *g = *state;
	const struct repl_action *a;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	a = rig_did(g, REPL_DO_APPEND);
	assert_int_equal(a->entry.index, RIG_LAST + 2);
	assert_int_equal(a->entry.epoch.number, RIG_EPOCH + 1);
	assert_int_equal(a->entry.kind, CL_ENTRY_COMMAND);
	assert_int_equal(a->entry.request, RIG_LAST + 2);
	assert_int_equal(g->s.last.index, RIG_LAST + 2);
	assert_null(rig_sent(g, CL_MSG_PERSISTED));
	rig_durable(g, RIG_LAST + 2);
	assert_int_equal(rig_sent(g, CL_MSG_PERSISTED)->persisted.index, RIG_LAST + 2);
	assert_true(cl_view_equal(&rig_sent(g, CL_MSG_PERSISTED)->persisted.view, &g->s.view));
	rig_durable(g, RIG_LAST + 2);
	assert_int_equal(g->out.count, 0);
}

static void an_appended_change_of_the_table_is_told_in_the_next_state(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	rig_change_entry(g, RIG_LAST + 2, 2, rig_member(2, 0));
	rig_durable(g, RIG_LAST + 2);
	rig_confchg(g, 0x3);
	assert_int_equal(g->own_state.state.table.member[2].vote, 0);
	assert_int_equal(g->own_state.state.table.changed_at, RIG_LAST + 2);
}

/* The entry `m` of an open view, from that node, was not the one to come: the view is useless. */
static void assert_breaks(struct rig *g, uint8_t from, const struct cl_msg *m)
{
	rig_deliver(g, from, m);
	assert_true(g->s.is_broken);
	assert_int_equal(g->out.count, 0);
	assert_int_equal(g->s.view_last, RIG_LAST + 1);
	rig_tick(g, 1);
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
	assert_non_null(rig_did(g, REPL_DO_CLOSED));
	assert_non_null(rig_sent(g, CL_MSG_STATE));
}

static void a_gap_in_the_entries_breaks_the_view_and_the_next_tick_begins_anew(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	m = rig_entry_msg(g, RIG_LAST + 3, CL_ENTRY_COMMAND);
	assert_breaks(g, 0, &m);
}

static void an_entry_that_came_before_breaks_the_view(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	m = rig_entry_msg(g, RIG_LAST + 1, CL_ENTRY_COMMAND);
	assert_breaks(g, 0, &m);
}

static void an_entry_of_another_node_than_the_sequencer_breaks_the_view(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	m = rig_entry_msg(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	assert_breaks(g, 2, &m);
}

static void an_entry_of_another_epoch_breaks_the_view(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	m = rig_entry_msg(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	m.entry.epoch.number++;
	assert_breaks(g, 0, &m);
}

static void an_entry_in_the_name_of_another_starter_breaks_the_view(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	m = rig_entry_msg(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	m.entry.epoch.starter = 2;
	assert_breaks(g, 0, &m);
}

static void entries_of_a_kind_that_cannot_be_next_break_the_view(void **state)
{
	static const uint8_t kinds[] = {CL_ENTRY_NONE, CL_ENTRY_EPOCH, CL_ENTRY_GENESIS};
	struct rig *g = *state;

	for (size_t i = 0; i < MUST_ARRAY_SIZE(kinds); i++) {
		struct cl_msg m;

		rig_init(g, 1, 3);
		rig_open(g, ALL3);
		m = rig_entry_msg(g, RIG_LAST + 2, kinds[i]);
		assert_breaks(g, 0, &m);
	}
}

static void a_command_before_the_epoch_is_opened_breaks_the_view(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_view(g, ALL3);
	rig_promised(g);
	rig_synced(g, 0);
	rig_synced(g, 1);
	rig_entry(g, RIG_LAST + 1, CL_ENTRY_COMMAND);
	assert_true(g->s.is_broken);
}

static void a_change_of_the_table_that_is_not_allowed_breaks_the_view(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	m = rig_entry_msg(g, RIG_LAST + 2, CL_ENTRY_TABLE);
	m.entry.payload = (struct cl_blob){(const uint8_t *)"garbage", 7};
	assert_breaks(g, 0, &m);
}

static void a_broken_view_takes_no_more_entries(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 3, CL_ENTRY_COMMAND);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND); /* what was missing, too late */
	assert_int_equal(g->out.count, 0);
	assert_int_equal(g->s.last.index, RIG_LAST + 1);
}

/* ---- commit */

static void an_entry_is_committed_by_a_majority_that_persisted_it(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 5);
	rig_open(g, ALL5);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	rig_persisted(g, 0, RIG_LAST + 2);
	rig_persisted(g, 4, RIG_LAST + 2);
	assert_int_equal(g->out.count, 0);
	rig_persisted(g, 2, RIG_LAST + 2);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, RIG_LAST + 2);
	assert_null(rig_did(g, REPL_DO_OPENED)); /* it is open already */
	rig_persisted(g, 3, RIG_LAST + 2);
	assert_int_equal(g->out.count, 0);
}

static void one_node_that_says_so_twice_is_no_majority(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	rig_persisted(g, 0, RIG_LAST + 2);
	rig_persisted(g, 0, RIG_LAST + 2);
	rig_persisted(g, 0, RIG_LAST + 1);
	assert_int_equal(g->s.commit, RIG_LAST + 1);
	assert_int_equal(g->s.persisted[0], RIG_LAST + 2);
}

static void nothing_is_committed_that_was_not_delivered_here(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	rig_persisted(g, 0, RIG_LAST + 50);
	rig_persisted(g, 2, RIG_LAST + 50);
	assert_int_equal(g->s.commit, RIG_LAST + 1);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	assert_int_equal(g->s.commit, RIG_LAST + 1);
	rig_persisted(g, 1, RIG_LAST + 2);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, RIG_LAST + 2);
}

static void one_report_can_commit_several_entries(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	for (uint64_t i = 2; i <= 5; i++)
		rig_entry(g, RIG_LAST + i, CL_ENTRY_COMMAND);
	rig_persisted(g, 0, RIG_LAST + 4);
	rig_persisted(g, 2, RIG_LAST + 5);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, RIG_LAST + 4);
}

static void entries_of_earlier_epochs_are_committed_only_with_the_entry_epoch(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_view(g, ALL3);
	rig_epoch(g);
	for (uint8_t i = 0; i < 3; i++)
		rig_persisted(g, i, RIG_LAST);
	assert_int_equal(g->s.commit, 0);
	rig_persisted_by(g, 0x3, RIG_LAST + 1);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, RIG_LAST + 1);
	assert_non_null(rig_did(g, REPL_DO_OPENED));
}

static void reports_before_the_epoch_is_opened_commit_nothing(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_view(g, ALL3);
	rig_persisted(g, 1, RIG_LAST);
	rig_persisted(g, 2, RIG_LAST);
	assert_int_equal(g->s.commit, 0);
	assert_int_equal(g->out.count, 0);
}

static void a_report_or_a_beat_makes_the_sequencer_sequence_nothing(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	rig_persisted(g, 1, RIG_LAST + 2);
	assert_int_equal(g->out.count, 0);
	rig_beat(g, 1, 1, 0);
	assert_int_equal(g->out.count, 0);
}

/* A second view of the same nodes, whose history is the first one's up to its entry EPOCH. */
static void second_view(struct rig *g)
{
	g->history.last = g->s.last;
	g->history.promised = g->s.promised;
	rig_view(g, g->group);
	assert_int_equal(g->s.phase, REPL_SYNCING);
}

static void a_second_view_opens_like_the_first(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	second_view(g);
	assert_int_equal(g->s.starter, CL_NODE_NONE);
	rig_promised(g);
	rig_synced(g, 0);
	assert_null(rig_sent(g, CL_MSG_ENTRY));
	rig_synced(g, 2);
	assert_int_equal(rig_sent(g, CL_MSG_ENTRY)->entry.index, RIG_LAST + 2);
	assert_int_equal(rig_sent(g, CL_MSG_ENTRY)->entry.epoch.number, RIG_EPOCH + 2);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_EPOCH);
	assert_non_null(rig_did(g, REPL_DO_APPEND));
	rig_persisted_by(g, ALL3, RIG_LAST + 2);
	assert_int_equal(g->s.phase, REPL_OPEN);
}

static void reports_of_the_view_before_commit_nothing(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 5);
	rig_open(g, ALL5);
	rig_persisted(g, 1, RIG_LAST + 50);
	rig_persisted(g, 2, RIG_LAST + 50);
	second_view(g);
	assert_int_equal(g->s.commit, 0);
	rig_epoch(g);
	rig_persisted(g, 3, RIG_LAST + 2);
	assert_int_equal(g->s.commit, 0);
	rig_persisted(g, 4, RIG_LAST + 2);
	rig_persisted(g, 1, RIG_LAST + 2);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, RIG_LAST + 2);
}

static void a_broken_view_is_over_with_the_next_one(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 9, CL_ENTRY_COMMAND);
	assert_true(g->s.is_broken);
	second_view(g);
	rig_epoch(g);
	assert_non_null(rig_did(g, REPL_DO_APPEND));
}

/* ---- votes */

static void take_vote_of_2(struct rig *g)
{
	assert_int_equal(rig_change(g, 2, rig_member(2, 0)), 0);
	rig_change_entry(g, RIG_LAST + 2, 2, rig_member(2, 0));
	assert_int_equal(g->s.vtable.member[2].vote, 0);
	assert_int_equal(g->s.vtable.changed_at, RIG_LAST + 2);
	assert_true(g->s.change_pending);
}

static void a_change_of_votes_needs_a_majority_of_the_new_votes(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	take_vote_of_2(g); /* then both of the two that are left are needed */
	rig_persisted_by(g, 0x1, RIG_LAST + 2);
	rig_persisted(g, 2, RIG_LAST + 2); /* of the old three that makes two */
	assert_int_equal(g->s.commit, RIG_LAST + 1);
	rig_persisted(g, 1, RIG_LAST + 2);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, RIG_LAST + 2);
	assert_false(g->s.change_pending);
}

static void a_change_of_votes_needs_a_majority_of_the_old_votes(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 4);
	rig_open(g, 0xf);
	assert_int_equal(rig_change(g, 3, rig_member(3, 0)), 0);
	rig_change_entry(g, RIG_LAST + 2, 3, rig_member(3, 0));
	rig_persisted_by(g, 0x3, RIG_LAST + 2); /* two of three, but two of four before */
	assert_int_equal(g->s.commit, RIG_LAST + 1);
	rig_persisted(g, 3, RIG_LAST + 2);
	assert_int_equal(g->s.commit, RIG_LAST + 2);
}

static void what_comes_after_a_pending_change_needs_both_majorities_too(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	take_vote_of_2(g);
	assert_int_equal(rig_command(g), 0);
	rig_entry(g, RIG_LAST + 3, CL_ENTRY_COMMAND);
	rig_persisted_by(g, 0x5, RIG_LAST + 3);
	assert_int_equal(g->s.commit, RIG_LAST + 1);
	rig_persisted(g, 1, RIG_LAST + 3);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, RIG_LAST + 3);
}

static void what_came_before_a_pending_change_needs_the_old_votes(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	rig_change_entry(g, RIG_LAST + 3, 2, rig_member(2, 0));
	rig_persisted(g, 0, RIG_LAST + 3);
	rig_persisted(g, 2, RIG_LAST + 3);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, RIG_LAST + 2);
	assert_true(g->s.change_pending);
}

static void the_next_change_is_measured_by_the_votes_after_the_first(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 5);
	rig_open(g, ALL5);
	take_vote_of_2(g);
	rig_persisted_by(g, 0xb, RIG_LAST + 2);
	assert_int_equal(rig_change(g, 3, rig_member(3, 0)), 0);
	rig_change_entry(g, RIG_LAST + 3, 3, rig_member(3, 0));
	/* Three of the first five votes, two of the last three, but two of the four between. */
	rig_persisted_by(g, 0x7, RIG_LAST + 3);
	assert_int_equal(g->s.commit, RIG_LAST + 2);
	rig_persisted(g, 3, RIG_LAST + 3);
	assert_int_equal(g->s.commit, RIG_LAST + 3);
}

static void a_change_that_a_view_left_pending_is_the_table_of_the_next(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	take_vote_of_2(g);
	rig_durable(g, RIG_LAST + 2);
	g->history.table = g->s.table;
	second_view(g);
	assert_false(g->s.change_pending);
	rig_epoch(g);
	rig_persisted_by(g, 0x1, RIG_LAST + 3);
	rig_persisted(g, 2, RIG_LAST + 3);
	assert_int_equal(g->s.commit, 0);
	rig_persisted(g, 1, RIG_LAST + 3);
	assert_int_equal(rig_did(g, REPL_DO_COMMIT)->index, RIG_LAST + 3);
}

static void a_second_change_while_one_is_pending_is_busy(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 5);
	rig_open(g, ALL5);
	take_vote_of_2(g);
	assert_int_equal(rig_change(g, 3, rig_member(3, 0)), -EBUSY);
	rig_persisted_by(g, 0xb, RIG_LAST + 2);
	assert_false(g->s.change_pending);
	assert_int_equal(rig_change(g, 3, rig_member(3, 0)), 0);
}

static void a_change_while_one_is_not_even_delivered_is_busy(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 5);
	rig_open(g, ALL5);
	assert_int_equal(rig_change(g, 2, rig_member(2, 0)), 0);
	assert_int_equal(rig_change(g, 3, rig_member(3, 0)), -EBUSY);
}

static void a_change_behind_commands_on_their_way_is_taken(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 5);
	rig_open(g, ALL5);
	assert_int_equal(rig_command(g), 0);
	assert_int_equal(rig_command(g), 0);
	assert_int_equal(rig_change(g, 2, rig_member(2, 0)), 0);
	assert_int_equal(rig_sent(g, CL_MSG_ENTRY)->entry.index, RIG_LAST + 4);
	assert_int_equal(rig_change(g, 3, rig_member(3, 0)), -EBUSY);
}

static void a_change_that_leaves_nobody_a_vote_is_refused(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 1);
	rig_open(g, 0x1);
	assert_int_equal(rig_change(g, 0, rig_member(0, 0)), -EINVAL);
	assert_int_equal(rig_change(g, 0, (struct cl_member){0}), -EINVAL);
}

static void a_vote_for_a_node_that_does_not_hold_all_is_refused(void **state)
{
	struct rig *g = *state;
	struct repl_history history = rig_history(4);

	history.table.member[3].vote = 0;
	rig_init_with(g, 0, &history);
	rig_view(g, 0xf);
	rig_epoch(g);
	rig_persisted_by(g, 0x7, RIG_LAST + 1);
	assert_int_equal(g->s.phase, REPL_OPEN);
	assert_int_equal(rig_change(g, 3, rig_member(3, 1)), -EINVAL);
	rig_persisted(g, 3, RIG_LAST + 1);
	assert_int_equal(rig_change(g, 3, rig_member(3, 1)), 0);
}

static void a_vote_for_a_node_that_is_not_there_is_refused(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	assert_int_equal(rig_change(g, 3, rig_member(3, 1)), -EINVAL);
}

static void a_new_member_without_a_vote_is_taken(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	assert_int_equal(rig_change(g, 3, rig_member(3, 0)), 0);
	assert_int_equal(rig_sent(g, CL_MSG_ENTRY)->entry.kind, CL_ENTRY_TABLE);
	assert_int_equal(rig_sent(g, CL_MSG_ENTRY)->entry.index, RIG_LAST + 2);
}

static void a_change_that_is_no_row_is_refused(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	assert_int_equal(rig_propose(g, CL_ENTRY_TABLE, (struct cl_blob){(const uint8_t *)"x", 1}),
			 -EINVAL);
}

static void a_change_of_the_table_is_for_the_sequencer_alone(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	assert_int_equal(rig_change(g, 2, rig_member(2, 0)), -EPERM);
}

static void a_voters_slot_for_another_node_is_refused(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	assert_int_equal(rig_change(g, 2, rig_member(9, 1)), -EINVAL);
}

static void a_nodeid_or_a_name_that_the_table_has_already_is_refused(void **state)
{
	struct rig *g = *state;
	struct cl_member row = rig_member(9, 0);

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	row.nodeid = rig_nodeid(2);
	assert_int_equal(rig_change(g, 3, row), -EINVAL);
	row = rig_member(2, 0);
	row.nodeid = rig_nodeid(9);
	assert_int_equal(rig_change(g, 3, row), -EINVAL);
}

static void the_quorum_answer_follows_the_table(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 5);
	rig_open(g, ALL5);
	take_vote_of_2(g);
	rig_persisted_by(g, 0xb, RIG_LAST + 2);
	assert_false(g->s.change_pending);
	assert_int_equal(g->s.quorum.votes_total, 4);
}

static void the_quorum_answer_follows_who_counts(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_confchg(g, ALL3);
	rig_states(g, 0x3);
	m = rig_blank_state(g, 2);
	rig_deliver(g, 2, &m);
	rig_epoch(g);
	rig_persisted_by(g, ALL3, RIG_LAST + 1);
	assert_int_equal(g->s.countable, ALL3);
	assert_int_equal(g->s.quorum.votes_present, 3);
	assert_int_equal(g->s.quorum.missing, 0);
}

static void a_change_that_those_present_cannot_commit_is_refused(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, 0x3); /* node 2 is away; without node 1 it would be one vote of two */
	assert_int_equal(rig_change(g, 1, rig_member(1, 0)), -EINVAL);
}

/* ---- requests */

static void a_request_is_refused_unless_the_view_is_open(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	assert_int_equal(rig_command(g), -EAGAIN);
	rig_confchg(g, ALL3);
	assert_int_equal(rig_command(g), -EAGAIN);
	rig_states(g, ALL3);
	assert_int_equal(rig_command(g), -EAGAIN);
	rig_epoch(g);
	assert_int_equal(rig_command(g), -EAGAIN);
	rig_persisted_by(g, ALL3, RIG_LAST + 1);
	assert_int_equal(rig_command(g), 0);
	rig_left(g);
	assert_int_equal(rig_command(g), -EAGAIN);
}

static void a_request_in_a_broken_view_is_refused(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 9, CL_ENTRY_COMMAND);
	assert_int_equal(rig_command(g), -EAGAIN);
}

static void the_sequencer_gives_its_own_request_the_next_index(void **state)
{
	struct rig *g = *state;
	const struct cl_msg_entry *m;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	assert_int_equal(rig_command(g), 0);
	assert_int_equal(rig_command(g), 0);
	assert_int_equal(g->out.count, 1);
	m = &rig_sent(g, CL_MSG_ENTRY)->entry;
	assert_int_equal(m->index, RIG_LAST + 3);
	assert_int_equal(m->kind, CL_ENTRY_COMMAND);
	assert_int_equal(m->origin, 0);
	assert_int_equal(m->instance, 900);
	assert_int_equal(m->request, 55);
	assert_int_equal(m->payload.len, 3);
}

static void who_is_not_the_sequencer_asks_it(void **state)
{
	struct rig *g = *state;
	const struct cl_msg_propose *m;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	assert_false(repl_is_sequencer(&g->s));
	assert_int_equal(rig_command(g), 0);
	assert_null(rig_sent(g, CL_MSG_ENTRY));
	m = &rig_sent(g, CL_MSG_PROPOSE)->propose;
	assert_true(cl_view_equal(&m->view, &g->s.view));
	assert_int_equal(m->instance, 901);
	assert_int_equal(m->request, 55);
	assert_int_equal(m->payload.len, 3);
}

static struct cl_msg propose_msg(const struct rig *g)
{
	struct cl_msg m = {.type = CL_MSG_PROPOSE};

	m.propose = (struct cl_msg_propose){.view = g->s.view, .instance = 77, .request = 8};
	return m;
}

static void the_sequencer_gives_the_request_of_another_node_the_next_index(void **state)
{
	struct rig *g = *state;
	const struct cl_msg_entry *entry;
	struct cl_msg m;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	m = propose_msg(g);
	rig_deliver(g, 2, &m);
	entry = &rig_sent(g, CL_MSG_ENTRY)->entry;
	assert_int_equal(entry->index, RIG_LAST + 2);
	assert_int_equal(entry->origin, 2);
	assert_int_equal(entry->instance, 77);
	assert_int_equal(entry->request, 8);
}

static void who_is_not_the_sequencer_ignores_requests_of_others(void **state)
{
	struct rig *g = *state;
	struct cl_msg m;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	m = propose_msg(g);
	rig_deliver(g, 2, &m);
	assert_int_equal(g->out.count, 0);
}

static void too_much_in_flight_is_told_to_try_again(void **state)
{
	struct rig *g = *state;
	unsigned int taken = 0;
	struct cl_msg m;
	int r;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	while ((r = rig_command(g)) == 0 && taken <= REPL_MAX_INFLIGHT)
		taken++;
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(taken, REPL_MAX_INFLIGHT - 1);
	m = propose_msg(g);
	rig_deliver(g, 2, &m);
	assert_int_equal(g->out.count, 0);
}

/* ---- a quiet disk before a STATE */

static void no_state_is_sent_while_an_append_is_not_durable(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	rig_entry(g, RIG_LAST + 3, CL_ENTRY_COMMAND);
	rig_confchg(g, 0x3);
	assert_int_equal(g->states_sent, 1);
	rig_durable(g, RIG_LAST + 2);
	assert_int_equal(g->states_sent, 1);
	assert_null(rig_sent(g, CL_MSG_PERSISTED)); /* nor told to a view that was left */
	rig_durable(g, RIG_LAST + 3);
	assert_int_equal(g->states_sent, 2);
	assert_int_equal(g->own_state.state.last.index, RIG_LAST + 3);
}

static void what_becomes_durable_after_the_view_was_left_is_told_in_the_state_alone(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	rig_entry(g, RIG_LAST + 2, CL_ENTRY_COMMAND);
	rig_tick(g, RIG_SILENCE_MS + 1);
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
	assert_int_equal(g->states_sent, 1);
	rig_durable(g, RIG_LAST + 2);
	assert_null(rig_sent(g, CL_MSG_PERSISTED));
	assert_int_equal(g->states_sent, 2);
}

static void an_older_durable_report_changes_nothing(void **state)
{
	struct rig *g = *state;

	rig_init(g, 1, 3);
	rig_open(g, ALL3);
	rig_durable(g, RIG_LAST);
	assert_int_equal(g->out.count, 0);
	assert_int_equal(g->s.durable, RIG_LAST + 1);
}

/* ---- beats, lease, silence */

static void a_member_of_a_view_beats_at_once_and_then_by_the_interval(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_view(g, ALL3);
	rig_tick(g, 0);
	assert_int_equal(rig_sent(g, CL_MSG_BEAT)->beat.beat, 1);
	assert_true(cl_view_equal(&rig_sent(g, CL_MSG_BEAT)->beat.view, &g->s.view));
	rig_tick(g, RIG_BEAT_MS - 1);
	assert_null(rig_sent(g, CL_MSG_BEAT));
	rig_tick(g, 1);
	assert_int_equal(rig_sent(g, CL_MSG_BEAT)->beat.beat, 2);
}

static void a_node_may_act_from_the_answer_of_a_majority_until_the_lease_ends(void **state)
{
	struct rig *g = *state;
	uint64_t sent_ms;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	assert_false(repl_may_act(&g->s, g->now_ms));
	rig_tick(g, 0);
	sent_ms = g->now_ms;
	g->now_ms += 100;
	rig_beat(g, 1, 1, 1);
	assert_true(repl_may_act(&g->s, g->now_ms));
	assert_true(repl_may_act(&g->s, sent_ms + RIG_LEASE_MS - 1));
	assert_false(repl_may_act(&g->s, sent_ms + RIG_LEASE_MS));
}

static void a_view_without_quorum_gives_no_lease(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 5);
	rig_view(g, 0x3);
	rig_tick(g, 0);
	rig_beat(g, 0, 1, 1);
	rig_beat(g, 1, 1, 1);
	assert_int_equal(g->s.lease.deadline_ms, 0);
	assert_int_equal(g->s.lease.seen[1], 1);
}

static void answers_of_the_view_before_give_no_lease(void **state)
{
	struct rig *g = *state;
	uint64_t deadline_ms;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	rig_tick(g, 0);
	rig_beat(g, 1, 1, 1);
	deadline_ms = g->s.lease.deadline_ms;
	rig_tick(g, RIG_BEAT_MS);
	rig_view(g, 0x3);
	assert_int_equal(g->s.lease.deadline_ms, deadline_ms);
	rig_beat(g, 1, 1, 2); /* beat 2 was sent in the view before */
	assert_int_equal(g->s.lease.deadline_ms, deadline_ms);
	rig_tick(g, 0);
	rig_beat(g, 1, 2, 0); /* what it has seen before was another beat 1 */
	assert_int_equal(g->s.lease.deadline_ms, deadline_ms);
	rig_beat(g, 1, 3, 1);
	assert_int_equal(g->s.lease.deadline_ms, g->now_ms + RIG_LEASE_MS);
}

static void a_node_that_is_not_open_does_not_act_whatever_its_lease(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	rig_tick(g, 0);
	rig_beat(g, 1, 1, 1);
	assert_true(repl_may_act(&g->s, g->now_ms));
	rig_confchg(g, 0x3);
	assert_false(repl_may_act(&g->s, g->now_ms));
}

static void a_silent_member_makes_everyone_begin_anew(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	rig_tick(g, RIG_SILENCE_MS);
	assert_int_equal(g->s.phase, REPL_OPEN);
	rig_beat(g, 1, 1, 0);
	rig_tick(g, 1); /* node 2 has said nothing since the view began */
	assert_int_equal(g->s.phase, REPL_EXCHANGE);
	assert_int_equal(g->states_sent, 2);
}

static void refused_peers_may_be_silent(void **state)
{
	struct rig *g = *state;

	rig_init(g, 0, 3);
	rig_open(g, 0xf & ~0x8);
	rig_view(g, 0xf); /* node 3 is no member and sends no beats */
	rig_tick(g, RIG_SILENCE_MS);
	rig_beat(g, 1, 1, 0);
	rig_beat(g, 2, 1, 0);
	rig_tick(g, RIG_SILENCE_MS - 1);
	assert_int_not_equal(g->s.phase, REPL_EXCHANGE);
}

/* ---- the check of the state, and names */

static void every_broken_invariant_is_named(void **state)
{
	struct rig *g = *state;
	struct repl_state open, s;

	rig_init(g, 0, 3);
	rig_open(g, ALL3);
	open = g->s;
	assert_null(repl_check(&open));
#define BREAKS(change)                                                                             \
	do {                                                                                       \
		s = open;                                                                          \
		change;                                                                            \
		assert_non_null(repl_check(&s));                                                   \
	} while (0)
	BREAKS(s.durable = s.last.index + 1);
	BREAKS(s.is_blank = true);
	BREAKS(s.round_open = true);
	BREAKS(s.is_pulling = true);
	BREAKS(s.epoch_index = 0);
	BREAKS(s.view_complete = false);
	BREAKS(s.commit = s.epoch_index - 1);
	BREAKS(s.quorum.is_quorate = false);
	BREAKS(s.commit = s.view_last + 1);
	BREAKS(s.table.changed_at = 0);
#undef BREAKS
}

static void every_phase_refusal_and_mutant_has_a_name(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < REPL_PHASE_MAX; i++)
		assert_string_not_equal(repl_phase_name((enum repl_phase)i), "?");
	for (unsigned int i = 0; i < REPL_REFUSAL_MAX; i++)
		assert_string_not_equal(repl_refusal_name((enum repl_refusal)i), "?");
	for (unsigned int i = 0; i < REPL_MUTANT_MAX; i++)
		assert_string_not_equal(repl_mutant_name((enum repl_mutant)i), "?");
	assert_string_equal(repl_phase_name(REPL_PHASE_MAX), "?");
	assert_string_equal(repl_refusal_name(REPL_REFUSAL_MAX), "?");
	assert_string_equal(repl_mutant_name(REPL_MUTANT_MAX), "?");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_new_group_is_told_our_state),
		TEST(the_last_state_completes_the_view_and_names_it),
		TEST(the_order_of_processes_does_not_change_the_hash_of_the_group),
		TEST(a_state_made_for_another_ring_is_ignored),
		TEST(a_state_made_for_another_set_of_processes_is_ignored),
		TEST(a_message_from_outside_the_group_is_ignored),
		TEST(close_leaves_out_a_silent_process),
		TEST(close_is_sent_when_the_exchange_takes_too_long_and_again),
		TEST(close_before_any_state_closes_nothing),
		TEST(close_of_another_ring_closes_nothing),
		TEST(close_of_a_complete_view_changes_nothing),
		TEST(a_second_change_of_the_group_is_told_our_state_again),
		TEST(a_change_of_the_group_after_a_view_is_closed_when_it_takes_too_long),
		TEST(a_group_without_this_process_is_no_view_to_act_in),
		TEST(a_process_with_our_number_on_another_node_is_not_us),
		TEST(a_node_judged_silent_does_not_act_and_its_state_begins_a_new_exchange),
		TEST(a_view_completed_by_a_state_that_we_replaced_is_not_acted_in),
		TEST(a_state_in_a_complete_view_makes_everyone_leave_it),
		TEST(only_one_state_is_under_way),
		TEST(messages_of_the_view_that_was_left_count_for_nothing),
		TEST(messages_of_an_earlier_view_of_the_same_ring_count_for_nothing),
		TEST(a_message_of_a_refused_peer_counts_for_nothing),
		TEST(a_refused_node_takes_no_part_in_the_view),
		TEST(a_hash_is_not_the_business_of_this_core),
		TEST(losing_corosync_closes_the_view),
		TEST(a_node_that_is_down_says_nothing_and_hears_nothing),
		TEST(more_processes_than_the_bound_are_a_broken_invariant),
		TEST(an_older_or_newer_protocol_is_refused),
		TEST(a_protocol_range_that_includes_ours_is_admitted),
		TEST(a_node_of_another_cluster_is_refused),
		TEST(a_node_outside_the_table_is_refused),
		TEST(a_seventeenth_node_is_told_that_the_table_is_full),
		TEST(a_new_node_with_the_name_of_a_member_is_refused),
		TEST(a_node_with_the_nodeid_of_a_member_and_another_name_is_refused),
		TEST(a_refused_node_knows_why),
		TEST(a_node_that_was_refused_is_admitted_when_the_table_names_it),
		TEST(two_processes_of_one_node_do_not_both_get_its_slot),
		TEST(blank_nodes_alone_are_unconfigured),
		TEST(a_blank_node_that_a_cluster_names_pulls_from_it),
		TEST(a_blank_node_that_nobody_names_is_refused),
		TEST(a_blank_node_that_two_clusters_claim_is_refused),
		TEST(a_blank_node_joins_the_one_of_two_clusters_that_names_it),
		TEST(a_blank_node_that_is_the_seventeenth_knows_why_it_is_refused),
		TEST(a_blank_node_with_the_name_of_a_member_knows_why_it_is_refused),
		TEST(a_blank_disk_has_no_vote),
		TEST(a_node_that_began_blank_counts_once_it_has_persisted),
		TEST(what_a_blank_node_has_pulled_is_what_it_says),
		TEST(a_blank_node_does_not_choose_the_sequencer),
		TEST(create_makes_a_blank_node_a_cluster_of_one),
		TEST(create_without_corosync_waits_for_it),
		TEST(create_says_the_new_state_after_one_that_is_under_way),
		TEST(create_on_a_member_of_a_cluster_is_refused),
		TEST(create_without_this_node_in_the_table_is_refused),
		TEST(create_without_the_only_vote_is_refused),
		TEST(create_under_another_name_is_refused),
		TEST(create_while_a_pull_may_still_install_is_refused),
		TEST(a_later_epoch_beats_a_longer_history),
		TEST(a_longer_history_of_an_earlier_epoch_loses),
		TEST(of_the_same_epoch_the_longer_history_wins),
		TEST(a_forced_generation_beats_every_epoch_number),
		TEST(equal_histories_need_no_pull),
		TEST(the_history_of_another_cluster_never_wins),
		TEST(the_history_of_an_incompatible_node_never_wins),
		TEST(who_does_not_speak_the_version_in_force_is_refused),
		TEST(a_raise_at_the_end_of_the_highest_history_counts),
		TEST(a_version_is_raised_when_all_here_speak_it),
		TEST(a_version_that_one_here_does_not_speak_is_not_raised),
		TEST(an_entry_with_a_version_that_we_do_not_speak_is_not_taken),
		TEST(a_majority_of_the_winning_table_is_needed_not_of_ours),
		TEST(a_minority_neither_pulls_nor_promises),
		TEST(a_pull_names_the_lowest_holder_of_the_winning_history),
		TEST(a_failed_pull_asks_the_next_holder_and_then_the_first_again),
		TEST(only_holders_of_the_winning_history_are_asked),
		TEST(an_installed_history_is_promised_and_then_synced),
		TEST(entries_that_come_during_a_pull_are_held),
		TEST(what_commits_during_a_pull_is_applied_after_it),
		TEST(what_has_not_committed_during_a_pull_is_not_applied_after_it),
		TEST(an_install_that_lacks_delivered_entries_breaks_the_view),
		TEST(entries_that_an_install_has_brought_are_not_appended_again),
		TEST(what_an_install_has_brought_of_the_epoch_is_said_when_the_epoch_is_heard_of),
		TEST(a_change_of_the_group_cancels_the_pull),
		TEST(no_state_is_sent_while_a_pull_may_still_change_the_disk),
		TEST(a_cancelled_pull_that_installed_all_the_same_is_what_we_hold),
		TEST(a_new_view_asks_the_lowest_holder_first_again),
		TEST(a_smaller_group_forgets_the_history_and_the_vote_of_who_left),
		TEST(the_epoch_number_is_above_all_that_was_promised_or_held),
		TEST(synced_is_said_only_when_the_promise_is_durable),
		TEST(a_promise_for_a_view_that_was_left_is_told_and_not_synced),
		TEST(an_older_promise_that_becomes_durable_does_not_lower_ours),
		TEST(synced_with_another_number_is_ignored),
		TEST(the_lowest_synced_of_a_majority_opens_the_epoch),
		TEST(who_is_not_the_lowest_synced_does_not_open_the_epoch),
		TEST(the_epoch_is_opened_once),
		TEST(members_without_a_vote_do_not_open_an_epoch),
		TEST(the_next_entry_of_the_sequencer_is_appended),
		TEST(an_appended_change_of_the_table_is_told_in_the_next_state),
		TEST(a_gap_in_the_entries_breaks_the_view_and_the_next_tick_begins_anew),
		TEST(an_entry_that_came_before_breaks_the_view),
		TEST(an_entry_of_another_node_than_the_sequencer_breaks_the_view),
		TEST(an_entry_of_another_epoch_breaks_the_view),
		TEST(an_entry_in_the_name_of_another_starter_breaks_the_view),
		TEST(entries_of_a_kind_that_cannot_be_next_break_the_view),
		TEST(a_command_before_the_epoch_is_opened_breaks_the_view),
		TEST(a_change_of_the_table_that_is_not_allowed_breaks_the_view),
		TEST(a_broken_view_takes_no_more_entries),
		TEST(an_entry_is_committed_by_a_majority_that_persisted_it),
		TEST(one_node_that_says_so_twice_is_no_majority),
		TEST(nothing_is_committed_that_was_not_delivered_here),
		TEST(one_report_can_commit_several_entries),
		TEST(entries_of_earlier_epochs_are_committed_only_with_the_entry_epoch),
		TEST(reports_before_the_epoch_is_opened_commit_nothing),
		TEST(a_report_or_a_beat_makes_the_sequencer_sequence_nothing),
		TEST(a_second_view_opens_like_the_first),
		TEST(reports_of_the_view_before_commit_nothing),
		TEST(a_broken_view_is_over_with_the_next_one),
		TEST(a_change_of_votes_needs_a_majority_of_the_new_votes),
		TEST(a_change_of_votes_needs_a_majority_of_the_old_votes),
		TEST(what_comes_after_a_pending_change_needs_both_majorities_too),
		TEST(what_came_before_a_pending_change_needs_the_old_votes),
		TEST(the_next_change_is_measured_by_the_votes_after_the_first),
		TEST(a_change_that_a_view_left_pending_is_the_table_of_the_next),
		TEST(a_second_change_while_one_is_pending_is_busy),
		TEST(a_change_while_one_is_not_even_delivered_is_busy),
		TEST(a_change_behind_commands_on_their_way_is_taken),
		TEST(a_change_that_leaves_nobody_a_vote_is_refused),
		TEST(a_vote_for_a_node_that_does_not_hold_all_is_refused),
		TEST(a_vote_for_a_node_that_is_not_there_is_refused),
		TEST(a_new_member_without_a_vote_is_taken),
		TEST(a_change_that_is_no_row_is_refused),
		TEST(a_change_of_the_table_is_for_the_sequencer_alone),
		TEST(a_voters_slot_for_another_node_is_refused),
		TEST(a_nodeid_or_a_name_that_the_table_has_already_is_refused),
		TEST(the_quorum_answer_follows_the_table),
		TEST(the_quorum_answer_follows_who_counts),
		TEST(a_change_that_those_present_cannot_commit_is_refused),
		TEST(a_request_is_refused_unless_the_view_is_open),
		TEST(a_request_in_a_broken_view_is_refused),
		TEST(the_sequencer_gives_its_own_request_the_next_index),
		TEST(who_is_not_the_sequencer_asks_it),
		TEST(the_sequencer_gives_the_request_of_another_node_the_next_index),
		TEST(who_is_not_the_sequencer_ignores_requests_of_others),
		TEST(too_much_in_flight_is_told_to_try_again),
		TEST(no_state_is_sent_while_an_append_is_not_durable),
		TEST(what_becomes_durable_after_the_view_was_left_is_told_in_the_state_alone),
		TEST(an_older_durable_report_changes_nothing),
		TEST(a_member_of_a_view_beats_at_once_and_then_by_the_interval),
		TEST(a_node_may_act_from_the_answer_of_a_majority_until_the_lease_ends),
		TEST(a_view_without_quorum_gives_no_lease),
		TEST(answers_of_the_view_before_give_no_lease),
		TEST(a_node_that_is_not_open_does_not_act_whatever_its_lease),
		TEST(a_silent_member_makes_everyone_begin_anew),
		TEST(refused_peers_may_be_silent),
		TEST(every_broken_invariant_is_named),
		TEST(every_phase_refusal_and_mutant_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
