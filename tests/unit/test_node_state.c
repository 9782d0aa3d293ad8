/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an administrator is told of a node: the state, and why. */
#include "tests/unit/volume_fixture.h"

#include "clusterd/core/node_state.h"

#define NOW 100000u

/* Node 0 looks at node 2; everybody is in the view, and the epoch is open. */
struct look {
	struct fixture *f;
	struct repl_state repl;
	uint32_t ring[NODES];
	size_t ring_count;
	uint64_t missed_ms[CL_MAX_NODES];
	uint8_t slot;
	struct node_condition is;
};

static void look_init(struct look *l, struct fixture *f)
{
	*l = (struct look){.f = f, .slot = 2, .ring_count = NODES};
	l->repl.phase = REPL_OPEN;
	l->repl.view_complete = true;
	l->repl.commit = 50;
	l->repl.config.lease_ms = 10000;
	l->repl.peer_count = NODES;
	for (uint8_t i = 0; i < NODES; i++) {
		l->ring[i] = 100u + i;
		l->repl.present = (uint16_t)(l->repl.present | cl_bit(i));
		l->repl.persisted[i] = 50;
		l->repl.vtable.member[i].nodeid = 100u + i;
		l->repl.peer[i] =
			(struct repl_peer){.nodeid = 100u + i,
					   .slot = i,
					   .has_state = true,
					   .state = {.incarnation = INC(i), .instance = 1}};
	}
}

/* Its clusterd is not in the view; the last of the ring is node 2. */
static void without_process(struct look *l)
{
	l->repl.peer_count = NODES - 1;
}

static void is(struct look *l, const char *word, const char *why)
{
	struct node_facts facts;

	node_facts(&facts, &l->repl, &l->f->db, l->ring, l->ring_count, l->slot, l->missed_ms, NOW);
	node_condition(&facts, &l->is);
	assert_string_equal(node_state_word(l->is.state), word);
	if (why[0])
		assert_non_null(strstr(l->is.reason, why));
	else
		assert_string_equal(l->is.reason, "");
}

static void a_node_that_is_here_is_up_paused_draining_or_quarantined(void **state)
{
	struct look l;

	look_init(&l, *state);
	is(&l, "up", "");
	node(l.f, 2)->is_paused = true;
	is(&l, "paused", "'node resume n2'");
	node(l.f, 2)->is_draining = true;
	is(&l, "draining", "'node resume n2'");
	node(l.f, 2)->is_leaving = true;
	is(&l, "draining", "its clusterd stops");
	node(l.f, 2)->is_quarantined = true;
	node(l.f, 2)->losses = 4;
	is(&l, "quarantined", "lost 4 times within 1 h: mend it, then 'node quarantine-clear n2'");
}

static void one_whose_clusterd_alone_is_away_is_daemon_lost(void **state)
{
	struct look l;

	look_init(&l, *state);
	without_process(&l);
	l.missed_ms[2] = NOW - 3000;
	is(&l, "daemon-lost", "away for 3 s: it is lost after 10 s");
	l.ring_count = NODES - 1;
	is(&l, "lost", "left corosync's ring: no fence device covers it");
}

static void what_the_database_says_of_who_is_gone(void **state)
{
	struct look l;

	look_init(&l, *state);
	without_process(&l);
	l.ring_count = NODES - 1;
	node(l.f, 2)->membership = DB_MEMBERSHIP_LOST;
	is(&l, "lost", "not proven to be off");
	node(l.f, 2)->membership = DB_MEMBERSHIP_FENCING;
	is(&l, "fencing", "'fence history'");
	node(l.f, 2)->membership = DB_MEMBERSHIP_FENCED;
	is(&l, "fenced", "is over");
	node(l.f, 2)->membership = DB_MEMBERSHIP_LEFT;
	is(&l, "left", "cleanly");
	node(l.f, 2)->is_evicted = true;
	is(&l, "evicted", "its vote and its row");
	node(l.f, 2)->is_evicted = false;
	node(l.f, 2)->membership = DB_MEMBERSHIP_NEVER;
	is(&l, "never seen", "not been started");
	l.slot = 7; /* in no table */
	is(&l, "never seen", "not been started");
}

static void a_new_process_is_joining_until_it_is_admitted(void **state)
{
	struct look l;

	look_init(&l, *state);
	l.repl.peer[2].state.instance = 2;
	l.repl.persisted[2] = 0;
	is(&l, "joining", "fetches the database");
	l.repl.persisted[2] = 43;
	is(&l, "joining", "7 entries behind");
	l.repl.persisted[2] = 50;
	is(&l, "joining", "admitted next");
	l.repl.peer[2].state.instance = 1;
	node(l.f, 2)->membership = DB_MEMBERSHIP_LOST;
	is(&l, "joining", "admitted next");
	node(l.f, 2)->membership = DB_MEMBERSHIP_FENCED;
	is(&l, "fenced", "reboot it");
	l.repl.peer[2].state.incarnation = LATER(2);
	is(&l, "joining", "admitted next");
	node(l.f, 2)->membership = DB_MEMBERSHIP_LEFT;
	is(&l, "joining", "admitted next");
	l.repl.peer[2].state.incarnation = INC(2);
	is(&l, "left", "cleanly"); /* the process that has left, on its way out */
}

static void one_that_the_view_refuses_says_why(void **state)
{
	struct look l;

	look_init(&l, *state);
	l.repl.peer[2].slot = CL_NODE_NONE;
	l.repl.peer[2].refusal = REPL_REFUSED_INCOMPATIBLE;
	is(&l, "incompatible", "no version of the protocol in common");
	l.repl.vtable.version.nodeid = 5;
	l.repl.peer[2].state.version_min = 3;
	l.repl.peer[2].state.version_max = 4;
	is(&l, "incompatible", "version 5 is in force, its clusterd () speaks 3 to 4: update it");
	l.repl.peer[2].state.version_min = l.repl.peer[2].state.version_max = 6;
	is(&l, "incompatible", "speaks 6 only: it is too new");
	l.repl.peer[2].refusal = REPL_REFUSED_OTHER_CLUSTER;
	is(&l, "daemon-lost", "refused: other-cluster");
	l.repl.peer[2].refusal = REPL_REFUSED_SILENT;
	is(&l, "daemon-lost", "refused: silent");
	node(l.f, 2)->membership = DB_MEMBERSHIP_LOST; /* it was silent for too long */
	is(&l, "lost", "not proven to be off");
}

static void a_second_process_of_a_node_says_nothing_of_the_first(void **state)
{
	struct look l;

	look_init(&l, *state);
	l.slot = 1;
	l.repl.peer[2] = l.repl.peer[1];
	l.repl.peer[2].slot = CL_NODE_NONE;
	l.repl.peer[2].refusal = REPL_REFUSED_SECOND;
	is(&l, "up", "");
	l.repl.peer[0] = l.repl.peer[2];
	is(&l, "up", "");
}

static void without_quorum_a_node_knows_of_itself_only(void **state)
{
	struct look l;

	look_init(&l, *state);
	l.repl.phase = REPL_INQUORATE;
	l.repl.quorum =
		(struct quorum_answer){.votes_present = 1, .votes_total = 3, .votes_needed = 2};
	is(&l, "?", "no view that has quorum");
	l.slot = 0;
	is(&l, "isolated", "1 of 3 votes are here, 2 are needed");
	l.repl.phase = REPL_EXCHANGE;
	is(&l, "isolated", "exchange");
	l.repl.phase = REPL_PULLING;
	is(&l, "joining", "fetches the database");
	l.repl.phase = REPL_SYNCING;
	is(&l, "joining", "same history");
	l.repl.phase = REPL_REFUSED;
	l.repl.refusal = REPL_REFUSED_INCOMPATIBLE;
	l.repl.vtable.version.nodeid = 5;
	l.repl.self.versions = (struct cl_versions){4, 4};
	is(&l, "incompatible", "version 5 is in force, its clusterd () speaks 4 only: update it");
	l.repl.refusal = REPL_REFUSED_FULL;
	is(&l, "isolated", "refuse it: cluster-full");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_node_that_is_here_is_up_paused_draining_or_quarantined),
		TEST(one_whose_clusterd_alone_is_away_is_daemon_lost),
		TEST(what_the_database_says_of_who_is_gone),
		TEST(a_new_process_is_joining_until_it_is_admitted),
		TEST(one_that_the_view_refuses_says_why),
		TEST(a_second_process_of_a_node_says_nothing_of_the_first),
		TEST(without_quorum_a_node_knows_of_itself_only),
	};

	return cmocka_run_group_tests_name("node_state", tests, NULL, NULL);
}
