/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Request sessions: what is begun, redone, replayed, held or answered, and in which order. */
#include "tests/unit/session_fixture.h"

/* ---- reclaim, resends, new requests */

static void without_mounts_it_serves_at_once(void **state)
{
	(void)state;
	loaded(0);
	assert_int_equal(out.item[0].kind, SESS_DO_RESENDS);
	assert_int_equal(out.item[1].kind, SESS_DO_SERVE);
	assert_int_equal(st.phase, SESS_SERVE);
}

static void a_request_before_reclaim_breaks_the_protocol(void **state)
{
	(void)state;
	loaded(1);
	hello(1, 10);
	assert_int_equal(resend(10, 0, 1), -EPROTO);
	assert_true(closed(10));
}

static void a_new_request_before_the_resends_are_complete_breaks_the_protocol(void **state)
{
	(void)state;
	loaded(1);
	reclaim(1);
	assert_int_equal(ask(10, 0, 1), -EPROTO);
	assert_true(closed(10));
}

static void resends_complete_before_reclaim_breaks_the_protocol(void **state)
{
	(void)state;
	loaded(1);
	hello(1, 10);
	assert_int_equal(say(SESS_EV_RESEND_DONE, 10), -EPROTO);
	assert_true(closed(10));
}

static void resends_are_held_until_all_have_reclaimed(void **state)
{
	(void)state;
	loaded(2);
	reclaim(1);
	resend(10, 3, 8);
	DID(HOLD, 1, 3);
	assert_int_equal(begun(), 0);
	reclaim(2);
	assert_int_equal(count(SESS_DO_RESENDS), 1);
	DID(EXECUTE, 1, 3);
}

static void new_requests_are_held_until_all_have_resent(void **state)
{
	(void)state;
	loaded(2);
	return_of(1);
	reclaim(2);
	assert_int_equal(st.phase, SESS_RESEND);
	ask(10, 0, 1);
	DID(HOLD, 1, 0);
	resend(20, 0, 5);
	DID(EXECUTE, 2, 0);
	say(SESS_EV_RESEND_DONE, 20);
	DID_NOTHING();
	finished(2, 0);
	assert_int_equal(count(SESS_DO_SERVE), 1);
	DID(EXECUTE, 1, 0);
	DID(REPLY, 2, 0);
}

static void orphans_may_go_before_new_requests_begin(void **state)
{
	(void)state;
	loaded(2);
	return_of(1);
	ask(10, 0, 1);
	return_of(2);
	assert_int_equal(out.count, 2);
	assert_int_equal(out.item[0].kind, SESS_DO_SERVE);
	assert_int_equal(out.item[1].kind, SESS_DO_EXECUTE);
}

static void who_loses_its_connection_must_resend_again(void **state)
{
	(void)state;
	loaded(2);
	return_of(1);
	say(SESS_EV_CONN_LOST, 10);
	return_of(2);
	assert_int_equal(st.phase, SESS_RESEND);
	hello(1, 11);
	say(SESS_EV_RESEND_DONE, 11);
	assert_int_equal(st.phase, SESS_SERVE);
}

static void who_ends_is_not_waited_for(void **state)
{
	(void)state;
	loaded(3);
	return_of(1);
	reclaim(2);
	tell(SESS_EV_GONE, 3);
	assert_int_equal(st.phase, SESS_RESEND);
	tell(SESS_EV_GONE, 2);
	assert_int_equal(st.phase, SESS_SERVE);
}

static void who_came_after_the_start_is_not_waited_for(void **state)
{
	(void)state;
	loaded(1);
	tell(SESS_EV_MOUNT, 2);
	return_of(1);
	assert_int_equal(st.phase, SESS_SERVE);
	return_of(2);
	ask(20, 0, 1);
	DID(EXECUTE, 2, 0);
}

static void who_came_after_the_start_is_held_until_it_serves(void **state)
{
	(void)state;
	loaded(1);
	tell(SESS_EV_MOUNT, 2);
	return_of(2);
	ask(20, 0, 1);
	DID(HOLD, 2, 0);
	return_of(1);
	DID(EXECUTE, 2, 0);
}

static void what_is_held_for_a_lost_connection_is_discarded(void **state)
{
	(void)state;
	loaded(2);
	reclaim(1);
	resend(10, 0, 4);
	say(SESS_EV_CONN_LOST, 10);
	DID(DISCARD, 1, 0);
	reclaim(2);
	assert_int_equal(begun(), 0);
	hello(1, 11);
	resend(11, 0, 4);
	DID(EXECUTE, 1, 0);
}

/* ---- exactly once */

static void a_new_request_is_executed_and_answered_once(void **state)
{
	(void)state;
	serving(1);
	assert_int_equal(ask(10, 5, 1), 0);
	ONLY(EXECUTE);
	DID(EXECUTE, 1, 5);
	assert_int_equal(sess_executing(&st), 1);
	finished(1, 5);
	ONLY(REPLY);
	assert_int_equal(out.item[0].conn, 10);
	assert_int_equal(out.item[0].slot, 5);
	assert_int_equal(sess_executing(&st), 0);
	ask(10, 5, 2);
	ONLY(EXECUTE);
}

static void what_is_under_way_is_not_begun_again(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	assert_int_equal(resend(10, 0, 1), 0);
	ONLY(IGNORE);
	EVENT(.type = SESS_EV_SUSPEND);
	ask(10, 1, 1);
	assert_int_equal(resend(10, 1, 1), 0);
	ONLY(IGNORE);
}

static void what_is_done_is_answered_from_what_is_kept(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	say(SESS_EV_CONN_LOST, 10);
	finished(1, 0);
	DID_NOTHING(); /* nobody to tell */
	hello(1, 11);
	resend(11, 0, 1);
	ONLY(REPLY);
	assert_int_equal(out.item[0].conn, 11);
}

static void what_the_disk_says_is_done_is_replayed(void **state)
{
	(void)state;
	loading(1);
	record(1, 2, 9, true);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	resend(10, 2, 9);
	ONLY(REPLAY);
	finished(1, 2);
	DID(REPLY, 1, 2);
}

static void what_the_disk_has_an_intent_of_is_redone(void **state)
{
	(void)state;
	loading(1);
	record(1, 2, 9, false);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	resend(10, 2, 9);
	ONLY(REDO);
}

static void what_is_newer_than_its_record_is_executed(void **state)
{
	(void)state;
	loading(1);
	record(1, 2, 9, true);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	resend(10, 2, 12); /* queries leave no record */
	ONLY(EXECUTE);
}

static void a_record_counts_until_its_request_is_begun(void **state)
{
	(void)state;
	loading(2);
	record(1, 0, 9, false);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	resend(10, 0, 9);
	DID(HOLD, 1, 0);
	say(SESS_EV_CONN_LOST, 10);
	DID(DISCARD, 1, 0);
	reclaim(2);
	hello(1, 11);
	resend(11, 0, 9);
	ONLY(REDO);
	finished(1, 0);
	say(SESS_EV_RESEND_DONE, 11);
	say(SESS_EV_RESEND_DONE, 20);
	ask(11, 0, 10);
	ONLY(EXECUTE);
}

static void intents_are_redone_before_anything_else_is_executed(void **state)
{
	(void)state;
	loading(2);
	record(2, 0, 9, false);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	reclaim(2);
	resend(10, 0, 5);
	DID(HOLD, 1, 0);
	resend(20, 1, 3);
	DID(HOLD, 2, 1);
	resend(20, 0, 9);
	ONLY(REDO);
	finished(2, 0);
	DID(EXECUTE, 1, 0);
	DID(EXECUTE, 2, 1);
}

static void intents_of_several_mounts_are_redone_beside_each_other(void **state)
{
	(void)state;
	loading(2);
	record(1, 0, 4, false);
	record(2, 0, 9, false);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	resend(10, 0, 4);
	reclaim(2);
	DID(REDO, 1, 0);
	resend(20, 0, 9);
	DID(REDO, 2, 0);
}

static void a_replay_waits_for_no_intent(void **state)
{
	(void)state;
	loading(2);
	record(1, 0, 4, true);
	record(2, 0, 9, false);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	reclaim(2);
	resend(10, 0, 4);
	ONLY(REPLAY);
}

static void the_intent_of_a_mount_that_has_ended_is_not_waited_for(void **state)
{
	(void)state;
	loading(2);
	record(2, 0, 9, false);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	reclaim(2);
	resend(10, 0, 5);
	DID(HOLD, 1, 0);
	tell(SESS_EV_GONE, 2);
	DID(EXECUTE, 1, 0);
	DID(DROP, 2, 0);
}

static void an_intent_that_is_being_redone_is_waited_for_when_its_mount_has_ended(void **state)
{
	(void)state;
	loading(2);
	record(2, 0, 9, false);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	reclaim(2);
	resend(20, 0, 9);
	ONLY(REDO);
	resend(10, 0, 5);
	say(SESS_EV_RESEND_DONE, 10);
	ask(10, 1, 1);
	tell(SESS_EV_GONE, 2);
	assert_int_equal(begun(), 0);
	assert_int_equal(st.phase, SESS_RESEND);
	finished(2, 0);
	DID(DROP, 2, 0);
	DID(EXECUTE, 1, 0);
	finished(1, 0);
	assert_int_equal(st.phase, SESS_SERVE);
	DID(EXECUTE, 1, 1);
}

static void an_intent_that_is_not_resent_breaks_the_protocol(void **state)
{
	(void)state;
	loading(1);
	record(1, 0, 9, false);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	assert_int_equal(say(SESS_EV_RESEND_DONE, 10), -EPROTO);
	assert_true(closed(10));
	assert_int_equal(st.phase, SESS_RESEND);
}

static void a_slot_with_an_intent_takes_nothing_before_it(void **state)
{
	(void)state;
	loading(1);
	record(1, 0, 9, false);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	assert_int_equal(resend(10, 0, 10), -EPROTO);
}

static void what_has_gone_by_does_not_come_again(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	finished(1, 0);
	ask(10, 0, 2);
	finished(1, 0);
	assert_int_equal(resend(10, 0, 1), -EPROTO);
	loading(1);
	record(1, 0, 9, true);
	say(SESS_EV_LOADED, 0);
	reclaim(1);
	assert_int_equal(resend(10, 0, 8), -EPROTO);
}

static void what_was_discarded_is_not_followed_by_what_was_before_it(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	finished(1, 0);
	EVENT(.type = SESS_EV_SUSPEND);
	ask(10, 0, 2);
	say(SESS_EV_CONN_LOST, 10);
	DID(DISCARD, 1, 0);
	hello(1, 11);
	assert_int_equal(resend(11, 0, 1), -EPROTO);
	hello(1, 12);
	assert_int_equal(resend(12, 0, 2), 0);
	DID(HOLD, 1, 0);
}

static void a_sequence_is_not_skipped(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	finished(1, 0);
	assert_int_equal(ask(10, 0, 3), -EPROTO);
}

static void a_new_request_does_not_get_the_result_of_an_old_one(void **state)
{
	(void)state;
	loading(1);
	record(1, 0, 1, true);
	say(SESS_EV_LOADED, 0);
	return_of(1);
	assert_int_equal(ask(10, 0, 1), -EPROTO); /* it began to count again */
}

static void a_slot_under_way_takes_no_other_request(void **state)
{
	(void)state;
	serving(1);
	ask(10, 0, 1);
	assert_int_equal(ask(10, 0, 2), -EPROTO);
	assert_true(closed(10));
	serving(1);
	EVENT(.type = SESS_EV_SUSPEND);
	ask(10, 0, 1);
	assert_int_equal(ask(10, 0, 2), -EPROTO);
	DID(DISCARD, 1, 0);
}

static void slots_do_not_wait_for_each_other(void **state)
{
	(void)state;
	serving(2);
	for (uint16_t slot = 0; slot < CSV_SLOTS; slot++) {
		ask(10, slot, 1);
		ONLY(EXECUTE);
		ask(20, slot, 1);
		ONLY(EXECUTE);
	}
	assert_int_equal(sess_executing(&st), 2 * CSV_SLOTS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_mounts_it_serves_at_once),
		cmocka_unit_test(a_request_before_reclaim_breaks_the_protocol),
		cmocka_unit_test(a_new_request_before_the_resends_are_complete_breaks_the_protocol),
		cmocka_unit_test(resends_complete_before_reclaim_breaks_the_protocol),
		cmocka_unit_test(resends_are_held_until_all_have_reclaimed),
		cmocka_unit_test(new_requests_are_held_until_all_have_resent),
		cmocka_unit_test(orphans_may_go_before_new_requests_begin),
		cmocka_unit_test(who_loses_its_connection_must_resend_again),
		cmocka_unit_test(who_ends_is_not_waited_for),
		cmocka_unit_test(who_came_after_the_start_is_not_waited_for),
		cmocka_unit_test(who_came_after_the_start_is_held_until_it_serves),
		cmocka_unit_test(what_is_held_for_a_lost_connection_is_discarded),
		cmocka_unit_test(a_new_request_is_executed_and_answered_once),
		cmocka_unit_test(what_is_under_way_is_not_begun_again),
		cmocka_unit_test(what_is_done_is_answered_from_what_is_kept),
		cmocka_unit_test(what_the_disk_says_is_done_is_replayed),
		cmocka_unit_test(what_the_disk_has_an_intent_of_is_redone),
		cmocka_unit_test(what_is_newer_than_its_record_is_executed),
		cmocka_unit_test(a_record_counts_until_its_request_is_begun),
		cmocka_unit_test(intents_are_redone_before_anything_else_is_executed),
		cmocka_unit_test(intents_of_several_mounts_are_redone_beside_each_other),
		cmocka_unit_test(a_replay_waits_for_no_intent),
		cmocka_unit_test(the_intent_of_a_mount_that_has_ended_is_not_waited_for),
		cmocka_unit_test(
			an_intent_that_is_being_redone_is_waited_for_when_its_mount_has_ended),
		cmocka_unit_test(an_intent_that_is_not_resent_breaks_the_protocol),
		cmocka_unit_test(a_slot_with_an_intent_takes_nothing_before_it),
		cmocka_unit_test(what_has_gone_by_does_not_come_again),
		cmocka_unit_test(what_was_discarded_is_not_followed_by_what_was_before_it),
		cmocka_unit_test(a_sequence_is_not_skipped),
		cmocka_unit_test(a_new_request_does_not_get_the_result_of_an_old_one),
		cmocka_unit_test(a_slot_under_way_takes_no_other_request),
		cmocka_unit_test(slots_do_not_wait_for_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
