/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Request sessions: who may speak, who has ended, what a lease and a stop forbid. */
#include "lib/must.h"
#include "lib/prng.h"
#include "tests/unit/session_fixture.h"

/* ---- who may speak */

static void while_records_are_read_mounts_are_told_to_come_again(void **state)
{
	(void)state;
	loading(1);
	assert_int_equal(hello(1, 10), 0);
	ONLY(REFUSE);
	assert_int_equal(out.item[0].conn, 10);
	assert_int_equal(out.item[0].reason, CSV_REFUSAL_BUSY);
}

static void who_means_another_term_is_refused(void **state)
{
	(void)state;
	loaded(1);
	EVENT(.type = SESS_EV_HELLO, .mount = 1, .conn = 10, .term = TERM - 1);
	ONLY(REFUSE);
	assert_int_equal(out.item[0].reason, CSV_REFUSAL_TERM);
}

static void an_unknown_mount_is_refused(void **state)
{
	(void)state;
	loaded(1);
	hello(2, 20);
	ONLY(REFUSE);
	assert_int_equal(out.item[0].reason, CSV_REFUSAL_MOUNT);
}

static void an_ended_mount_is_refused(void **state)
{
	(void)state;
	serving(2);
	tell(SESS_EV_GONE, 2);
	hello(2, 21);
	ONLY(REFUSE);
	assert_int_equal(out.item[0].reason, CSV_REFUSAL_MOUNT);
}

static void a_mount_is_welcomed_and_not_known_yet(void **state)
{
	(void)state;
	loaded(1);
	hello(1, 10);
	ONLY(WELCOME);
	assert_int_equal(out.item[0].conn, 10);
	assert_int_equal(out.item[0].mount, 1);
	assert_false(out.item[0].is_known);
}

static void a_mount_that_has_reclaimed_is_known_when_it_comes_again(void **state)
{
	(void)state;
	loaded(2);
	reclaim(1);
	say(SESS_EV_CONN_LOST, 10);
	hello(1, 11);
	ONLY(WELCOME);
	assert_true(out.item[0].is_known);
}

static void a_mount_whose_reclaim_was_cut_short_is_not_known(void **state)
{
	(void)state;
	loaded(2);
	hello(1, 10);
	say(SESS_EV_CONN_LOST, 10);
	hello(1, 11);
	assert_false(out.item[0].is_known);
}

static void a_new_connection_ends_the_one_before_it(void **state)
{
	(void)state;
	serving(1);
	hello(1, 11);
	assert_true(closed(10));
	assert_int_equal(count(SESS_DO_WELCOME), 1);
	assert_int_equal(ask(10, 0, 1), 0); /* it was on the way */
	ONLY(IGNORE);
}

static void a_new_connection_waits_until_nothing_of_the_old_one_executes(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	ask(10, 1, 1);
	hello(1, 11);
	assert_true(closed(10));
	DID_NOT(WELCOME);
	finished(1, 0);
	DID_NOTHING();
	finished(1, 1);
	ONLY(WELCOME);
	assert_int_equal(out.item[0].conn, 11);
}

static void of_two_waiting_connections_the_later_one_is_taken(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	hello(1, 11);
	hello(1, 12);
	assert_true(closed(11));
	finished(1, 0);
	assert_int_equal(out.item[0].conn, 12);
	assert_int_equal(count(SESS_DO_WELCOME), 1);
}

static void a_waiting_connection_that_is_lost_is_not_welcomed(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	hello(1, 11);
	say(SESS_EV_CONN_LOST, 11);
	finished(1, 0);
	DID_NOTHING();
}

static void a_second_hello_on_a_connection_breaks_the_protocol(void **state)
{
	(void)state;
	serving(2);
	assert_int_equal(hello(1, 10), -EPROTO);
	assert_true(closed(10));
	assert_int_equal(hello(1, 20), -EPROTO); /* it is the other one's */
	assert_true(closed(20));
	assert_int_equal(sess_mount_find(&st, 1)->conn, 0);
	assert_int_equal(sess_mount_find(&st, 2)->conn, 0);
}

static void a_second_hello_on_a_waiting_connection_breaks_the_protocol(void **state)
{
	(void)state;
	serving(2);
	ask(10, 0, 1);
	hello(1, 11);
	assert_int_equal(hello(2, 11), -EPROTO);
	assert_true(closed(11));
	assert_int_equal(sess_mount_find(&st, 2)->conn, 20);
	finished(1, 0);
	DID_NOTHING();
}

static void the_loss_of_an_unknown_connection_changes_nothing(void **state)
{
	struct sess_state before;

	(void)state;
	serving(1);
	before = st;
	say(SESS_EV_CONN_LOST, 99);
	say(SESS_EV_RECLAIM_DONE, 99);
	say(SESS_EV_RESEND_DONE, 99);
	DID_NOTHING();
	assert_memory_equal(&before, &st, sizeof(st));
}

/* ---- mounts that end */

static void a_mount_that_ends_is_dropped(void **state)
{
	(void)state;
	serving(1);
	tell(SESS_EV_GONE, 1);
	assert_true(closed(10));
	DID(DROP, 1, 0);
	tell(SESS_EV_DROPPED, 1);
	ONLY(RECOVERED);
	assert_int_equal(out.item[0].mount, 1);
	assert_null(sess_mount_find(&st, 1));
}

static void it_is_dropped_when_its_requests_have_ended(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	ask(10, 1, 1);
	tell(SESS_EV_GONE, 1);
	DID_NOT(DROP);
	finished(1, 0);
	DID_NOTHING();
	finished(1, 1);
	ONLY(DROP);
}

static void its_requests_that_were_not_begun_are_discarded(void **state)
{
	(void)state;
	loaded(2);
	reclaim(1);
	resend(10, 0, 1);
	tell(SESS_EV_GONE, 1);
	DID(DISCARD, 1, 0);
	reclaim(2);
	assert_int_equal(begun(), 0);
}

static void its_waiting_connection_is_closed(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	hello(1, 11);
	tell(SESS_EV_GONE, 1);
	assert_true(closed(11));
	finished(1, 0);
	ONLY(DROP);
}

static void an_end_told_twice_or_of_nobody_changes_nothing(void **state)
{
	(void)state;
	serving(1);
	tell(SESS_EV_GONE, 2);
	DID_NOTHING();
	tell(SESS_EV_GONE, 1);
	tell(SESS_EV_GONE, 1);
	DID_NOTHING();
	tell(SESS_EV_MOUNT, 1); /* nor does it come back */
	hello(1, 11);
	assert_int_equal(out.item[0].reason, CSV_REFUSAL_MOUNT);
}

static void who_ended_while_records_were_read_is_dropped_afterwards(void **state)
{
	(void)state;
	loading(1);
	record(1, 0, 3, false);
	tell(SESS_EV_GONE, 1);
	DID_NOTHING();
	say(SESS_EV_LOADED, 0);
	DID(DROP, 1, 0);
	assert_int_equal(st.phase, SESS_SERVE);
}

static void more_mounts_than_there_are_rows_are_refused(void **state)
{
	(void)state;
	loaded(SESS_MOUNTS);
	assert_int_equal(tell(SESS_EV_MOUNT, SESS_MOUNTS + 1), -ENOSPC);
	tell(SESS_EV_GONE, 5);
	assert_int_equal(tell(SESS_EV_MOUNT, SESS_MOUNTS + 1), -ENOSPC);
	tell(SESS_EV_DROPPED, 5);
	assert_int_equal(tell(SESS_EV_MOUNT, SESS_MOUNTS + 1), 0);
	assert_int_equal(tell(SESS_EV_MOUNT, SESS_MOUNTS + 1), 0); /* known */
}

/* ---- without a lease */

static void without_a_lease_nothing_is_begun(void **state)
{
	(void)state;
	serving(1);
	EVENT(.type = SESS_EV_SUSPEND);
	ask(10, 0, 1);
	ONLY(HOLD);
	EVENT(.type = SESS_EV_RESUME);
	ONLY(EXECUTE);
}

static void without_a_lease_nothing_is_redone(void **state)
{
	(void)state;
	loading(1);
	record(1, 0, 3, false);
	EVENT(.type = SESS_EV_SUSPEND);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	resend(10, 0, 3);
	ONLY(HOLD);
	say(SESS_EV_RESEND_DONE, 10);
	DID_NOTHING();
	EVENT(.type = SESS_EV_RESUME);
	ONLY(REDO);
}

static void without_a_lease_what_is_kept_is_still_told(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	EVENT(.type = SESS_EV_SUSPEND);
	finished(1, 0);
	ONLY(REPLY);
	resend(10, 0, 1);
	ONLY(REPLY);
}

static void without_a_lease_nothing_is_dropped(void **state)
{
	(void)state;
	serving(2);
	EVENT(.type = SESS_EV_SUSPEND);
	tell(SESS_EV_GONE, 1);
	DID_NOT(DROP);
	EVENT(.type = SESS_EV_RESUME);
	ONLY(DROP);
}

static void without_a_lease_no_orphan_may_go(void **state)
{
	(void)state;
	loaded(1);
	EVENT(.type = SESS_EV_SUSPEND);
	return_of(1);
	assert_int_equal(st.phase, SESS_RESEND);
	EVENT(.type = SESS_EV_RESUME);
	ONLY(SERVE);
}

/* ---- the stop */

static void a_stop_closes_all_connections_and_waits_for_what_executes(void **state)
{
	(void)state;
	serving(2);
	ask(10, 0, 1);
	hello(1, 11);
	EVENT(.type = SESS_EV_STOP);
	assert_true(closed(11) && closed(20));
	DID_NOT(STOPPED);
	finished(1, 0);
	ONLY(STOPPED);
	assert_int_equal(st.phase, SESS_STOPPED);
}

static void a_stop_discards_what_is_held(void **state)
{
	(void)state;
	loaded(2);
	reclaim(1);
	resend(10, 0, 1);
	EVENT(.type = SESS_EV_STOP);
	DID(DISCARD, 1, 0);
	assert_int_equal(count(SESS_DO_STOPPED), 1);
	EVENT(.type = SESS_EV_RESUME);
	DID_NOTHING();
}

static void a_stop_waits_for_a_mount_that_is_being_dropped(void **state)
{
	(void)state;
	serving(1);
	tell(SESS_EV_GONE, 1);
	EVENT(.type = SESS_EV_STOP);
	DID_NOT(STOPPED);
	tell(SESS_EV_DROPPED, 1);
	DID(RECOVERED, 1, 0);
	assert_int_equal(count(SESS_DO_STOPPED), 1);
}

static void after_a_stop_nothing_is_dropped(void **state)
{
	(void)state;
	serving(2);
	ask(10, 0, 1);
	EVENT(.type = SESS_EV_STOP);
	tell(SESS_EV_GONE, 1);
	DID_NOTHING();
	finished(1, 0);
	ONLY(STOPPED);
	tell(SESS_EV_GONE, 2);
	DID_NOTHING(); /* the next coordinator is told, too */
}

static void after_a_stop_nobody_is_welcomed(void **state)
{
	(void)state;
	serving(1);
	EVENT(.type = SESS_EV_STOP);
	hello(1, 11);
	ONLY(REFUSE);
	assert_int_equal(out.item[0].reason, CSV_REFUSAL_TERM);
	ask(10, 0, 1);
	ONLY(IGNORE);
	EVENT(.type = SESS_EV_STOP);
	DID_NOTHING();
}

static void a_stop_while_records_are_read_ends_the_reading(void **state)
{
	(void)state;
	loading(1);
	EVENT(.type = SESS_EV_STOP);
	ONLY(STOPPED);
	record(1, 0, 1, true);
	say(SESS_EV_LOADED, 0);
	DID_NOTHING();
	assert_int_equal(st.phase, SESS_STOPPED);
}

/* ---- all of it */

/* An event that an edge could bring: of what it was told, or of anybody outside it. */
static struct sess_event any_event(struct prng *rng)
{
	static const enum sess_event_type outside[] = {
		SESS_EV_MOUNT,	      SESS_EV_GONE,	   SESS_EV_HELLO,   SESS_EV_HELLO,
		SESS_EV_HELLO,	      SESS_EV_CONN_LOST,   SESS_EV_REQUEST, SESS_EV_REQUEST,
		SESS_EV_RECLAIM_DONE, SESS_EV_RESEND_DONE, SESS_EV_REQUEST, SESS_EV_REQUEST,
		SESS_EV_RESUME,	      SESS_EV_SUSPEND,	   SESS_EV_REQUEST};
	struct sess_event e = {.mount = prng_range(rng, 1, 5),
			       .conn = prng_range(rng, 1, 9),
			       .term = TERM - prng_chance(rng, 1, 20),
			       .slot = (uint16_t)prng_below(rng, 3),
			       .seq = prng_range(rng, 1, 4),
			       .is_resend = prng_chance(rng, 1, 2),
			       .is_done = prng_chance(rng, 1, 2)};
	const struct sess_mount *m = sess_mount_find(&st, e.mount);

	if (st.phase == SESS_LOADING && m && prng_chance(rng, 1, 2))
		e.type = prng_chance(rng, 1, 4) ? SESS_EV_LOADED : SESS_EV_RECORD;
	else if (m && m->is_dropping && prng_chance(rng, 1, 2))
		e.type = SESS_EV_DROPPED;
	else if (m && m->slot[e.slot].state == SESS_EXECUTING && prng_chance(rng, 2, 3))
		e.type = SESS_EV_FINISHED;
	else if (prng_chance(rng, 1, 200))
		e.type = SESS_EV_STOP;
	else
		e.type = outside[prng_below(rng, MUST_ARRAY_SIZE(outside))];
	return e;
}

static void whatever_comes_its_state_is_sound_and_its_work_allowed(void **state)
{
	struct prng rng;
	int served = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		prng_init(&rng, seed);
		loading(prng_below(&rng, 4));
		for (int i = 0; i < 120; i++) {
			int r = feed(any_event(&rng));

			assert_true(r == 0 || r == -EPROTO);
			if (st.is_suspended || st.phase >= SESS_STOPPING ||
			    st.phase <= SESS_RECLAIM)
				assert_int_equal(begun(), 0);
			if (st.is_suspended || st.phase >= SESS_STOPPING)
				assert_int_equal(count(SESS_DO_DROP) + count(SESS_DO_SERVE), 0);
		}
		served += st.phase == SESS_SERVE;
	}
	assert_true(served > 200);
}

static void an_unknown_event_is_refused(void **state)
{
	(void)state;
	serving(1);
	assert_int_equal(EVENT(.type = SESS_EV_MAX), -EINVAL);
	DID_NOTHING();
}

static void a_broken_state_is_named(void **state)
{
	struct sess_mount *m = &st.mount[0];

	(void)state;
#define BROKEN(what, ...)                                                                          \
	do {                                                                                       \
		serving(2);                                                                        \
		__VA_ARGS__;                                                                       \
		assert_non_null(sess_check(&st));                                                  \
		assert_string_equal(sess_check(&st), what);                                        \
	} while (0)
	BROKEN("no such phase", st.phase = SESS_PHASE_MAX);
	BROKEN("a request is held that no connection brought", m->slot[0].state = SESS_HELD,
	       m->slot[0].seq = 1, m->conn = 0);
	BROKEN("a slot is in use without a sequence", m->slot[0].state = SESS_DONE);
	BROKEN("the count of executing requests is wrong", m->executing = 1);
	BROKEN("a mount that has ended has a connection", m->is_gone = true);
	BROKEN("a connection waits for nothing", m->pending = 5);
	BROKEN("a connection has survived the stop", st.phase = SESS_STOPPING);
	BROKEN("a mount is dropped that has not come to its end", m->is_dropping = true);
	BROKEN("a mount has two rows", st.mount[1].id = 1);
	BROKEN("two mounts have one connection", st.mount[1].conn = m->conn);
	BROKEN("serving, and an intent is open", m->slot[0].record_seq = 3);
	BROKEN("stopped, and a mount is being dropped", m->conn = st.mount[1].conn = 0,
	       m->is_gone = m->is_dropping = true, st.phase = SESS_STOPPED);
	BROKEN("stopped, and requests execute", ask(10, 0, 1), st.phase = SESS_STOPPED);
	BROKEN("a request executes before all have reclaimed", ask(10, 0, 1),
	       st.phase = SESS_RECLAIM);
#undef BROKEN
}

static void everything_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < SESS_PHASE_MAX; i++)
		assert_string_not_equal(sess_phase_name((enum sess_phase)i), "?");
	for (int i = 0; i < SESS_EV_MAX; i++)
		assert_string_not_equal(sess_event_name((enum sess_event_type)i), "?");
	for (int i = 0; i < SESS_DO_MAX; i++)
		assert_string_not_equal(sess_action_name((enum sess_action_kind)i), "?");
	assert_string_equal(sess_phase_name(SESS_PHASE_MAX), "?");
	assert_string_equal(sess_event_name(SESS_EV_MAX), "?");
	assert_string_equal(sess_action_name(SESS_DO_MAX), "?");
	assert_null(sess_mount_find(&st, 0));
}

/* ---- one process of a mount after the other */

static int life(uint64_t conn, uint32_t number)
{
	return EVENT(.type = SESS_EV_LIFE, .conn = conn, .life = number);
}

static void the_first_process_that_is_heard_of_replaces_nobody(void **state)
{
	(void)state;
	serving(1);
	assert_int_equal(life(10, 3), 0);
	DID_NOTHING();
	hello(1, 11);
	assert_int_equal(life(11, 3), 0); /* the same, over its next connection */
	DID_NOTHING();
}

static void another_process_of_a_mount_is_told_of(void **state)
{
	(void)state;
	serving(1);
	life(10, 3);
	hello(1, 11);
	assert_int_equal(life(11, 4), 0);
	ONLY(REPLACED);
	assert_int_equal(out.item[0].mount, 1);
	hello(1, 12);
	life(12, 4);
	DID_NOTHING();
}

static void a_process_that_was_replaced_is_not_heard(void **state)
{
	(void)state;
	serving(1);
	life(10, 4);
	hello(1, 11);
	assert_int_equal(life(11, 3), -EPROTO);
	ONLY(CLOSE);
	assert_true(closed(11));
	assert_int_equal(life(99, 3), 0); /* nobody's connection */
	DID_NOTHING();
}

/* What executes may wait for a grant that the process before had: nobody but this can end it. */
static void another_process_is_told_of_while_its_connection_waits(void **state)
{
	(void)state;
	serving(1);
	life(10, 3);
	ask(10, 0, 1);
	hello(1, 11);
	DID_NOT(WELCOME);
	assert_int_equal(life(11, 4), 0);
	ONLY(REPLACED);
	/* Again, for what was given to it meanwhile; and before it is welcome. */
	finished(1, 0);
	assert_int_equal(out.count, 2);
	assert_int_equal(out.item[0].kind, SESS_DO_REPLACED);
	assert_int_equal(out.item[1].kind, SESS_DO_WELCOME);
	say(SESS_EV_RESEND_DONE, 11);
	ask(11, 0, 2);
	assert_int_equal(begun(), 1);
	hello(1, 12);
	life(12, 4); /* the same */
	finished(1, 0);
	ONLY(WELCOME);
}

static void an_older_process_does_not_wait(void **state)
{
	(void)state;
	serving(1);
	life(10, 3);
	ask(10, 0, 1);
	hello(1, 11);
	assert_int_equal(life(11, 2), -EPROTO);
	assert_true(closed(11));
	finished(1, 0);
	DID_NOT(WELCOME);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(while_records_are_read_mounts_are_told_to_come_again),
		cmocka_unit_test(who_means_another_term_is_refused),
		cmocka_unit_test(an_unknown_mount_is_refused),
		cmocka_unit_test(an_ended_mount_is_refused),
		cmocka_unit_test(a_mount_is_welcomed_and_not_known_yet),
		cmocka_unit_test(a_mount_that_has_reclaimed_is_known_when_it_comes_again),
		cmocka_unit_test(a_mount_whose_reclaim_was_cut_short_is_not_known),
		cmocka_unit_test(a_new_connection_ends_the_one_before_it),
		cmocka_unit_test(a_new_connection_waits_until_nothing_of_the_old_one_executes),
		cmocka_unit_test(of_two_waiting_connections_the_later_one_is_taken),
		cmocka_unit_test(a_waiting_connection_that_is_lost_is_not_welcomed),
		cmocka_unit_test(a_second_hello_on_a_connection_breaks_the_protocol),
		cmocka_unit_test(a_second_hello_on_a_waiting_connection_breaks_the_protocol),
		cmocka_unit_test(the_loss_of_an_unknown_connection_changes_nothing),
		cmocka_unit_test(a_mount_that_ends_is_dropped),
		cmocka_unit_test(it_is_dropped_when_its_requests_have_ended),
		cmocka_unit_test(its_requests_that_were_not_begun_are_discarded),
		cmocka_unit_test(its_waiting_connection_is_closed),
		cmocka_unit_test(an_end_told_twice_or_of_nobody_changes_nothing),
		cmocka_unit_test(who_ended_while_records_were_read_is_dropped_afterwards),
		cmocka_unit_test(more_mounts_than_there_are_rows_are_refused),
		cmocka_unit_test(without_a_lease_nothing_is_begun),
		cmocka_unit_test(without_a_lease_nothing_is_redone),
		cmocka_unit_test(without_a_lease_what_is_kept_is_still_told),
		cmocka_unit_test(without_a_lease_nothing_is_dropped),
		cmocka_unit_test(without_a_lease_no_orphan_may_go),
		cmocka_unit_test(a_stop_closes_all_connections_and_waits_for_what_executes),
		cmocka_unit_test(a_stop_discards_what_is_held),
		cmocka_unit_test(a_stop_waits_for_a_mount_that_is_being_dropped),
		cmocka_unit_test(after_a_stop_nothing_is_dropped),
		cmocka_unit_test(after_a_stop_nobody_is_welcomed),
		cmocka_unit_test(a_stop_while_records_are_read_ends_the_reading),
		cmocka_unit_test(whatever_comes_its_state_is_sound_and_its_work_allowed),
		cmocka_unit_test(the_first_process_that_is_heard_of_replaces_nobody),
		cmocka_unit_test(another_process_of_a_mount_is_told_of),
		cmocka_unit_test(a_process_that_was_replaced_is_not_heard),
		cmocka_unit_test(another_process_is_told_of_while_its_connection_waits),
		cmocka_unit_test(an_older_process_does_not_wait),
		cmocka_unit_test(an_unknown_event_is_refused),
		cmocka_unit_test(a_broken_state_is_named),
		cmocka_unit_test(everything_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
