/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The claim of a disk witness, as a narrative in time: D is 100 ms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/claim.h"

#define D 100

static const struct claim_record never = {.owner = CL_NODE_NONE};
static const struct claim_record foreign = {.owner = 7,
					    .view = {.ring = {.rep = 8, .seq = 4}, .nonce = 1},
					    .generation = 40,
					    .nonce = 9};

struct fixture {
	struct claim_state claim;
	struct claim_record disk;
};

static enum claim_action step(struct fixture *f, struct claim_event e)
{
	enum claim_action a = claim_step(&f->claim, &e);

	assert_null(claim_check(&f->claim));
	return a;
}

static enum claim_action begin(struct fixture *f, uint64_t now_ms, uint16_t members)
{
	struct claim_event e = {.type = CLAIM_EV_BEGIN, .now_ms = now_ms};

	e.begin.view = (struct cl_view_id){.ring = {.rep = 1, .seq = now_ms}, .nonce = 5};
	e.begin.members = members;
	return step(f, e);
}

static enum claim_action tick(struct fixture *f, uint64_t now_ms)
{
	return step(f, (struct claim_event){.type = CLAIM_EV_TICK, .now_ms = now_ms});
}

static enum claim_action read_done(struct fixture *f, uint64_t now_ms)
{
	struct claim_event e = {.type = CLAIM_EV_READ, .now_ms = now_ms, .entropy = now_ms};

	e.io.is_ok = true;
	e.io.record = f->disk;
	return step(f, e);
}

static enum claim_action io_failed(struct fixture *f, enum claim_event_type type, uint64_t now_ms)
{
	return step(f, (struct claim_event){.type = type, .now_ms = now_ms});
}

static void written(struct fixture *f, uint64_t now_ms)
{
	struct claim_event e = {.type = CLAIM_EV_WRITTEN, .now_ms = now_ms};

	f->disk = f->claim.own;
	e.io.is_ok = true;
	assert_int_equal(step(f, e), CLAIM_DO_NOTHING);
}

static struct fixture fresh(struct claim_record disk)
{
	struct fixture f = {.disk = disk};

	claim_init(&f.claim, 0, D);
	return f;
}

/* Claims a record that nobody has, from 1000 on; owned at 1235 by a read begun at 1230. */
static struct fixture owner(void)
{
	struct fixture f = fresh(never);

	assert_int_equal(begin(&f, 1000, 0x1), CLAIM_DO_NOTHING);
	assert_int_equal(tick(&f, 1000), CLAIM_DO_READ);
	assert_int_equal(read_done(&f, 1010), CLAIM_DO_WRITE);
	assert_int_equal(f.claim.own.generation, 1);
	written(&f, 1030);
	assert_int_equal(tick(&f, 1229), CLAIM_DO_NOTHING);
	assert_int_equal(tick(&f, 1230), CLAIM_DO_READ);
	assert_false(claim_is_owned(&f.claim, 1230));
	assert_int_equal(read_done(&f, 1235), CLAIM_DO_NOTHING);
	return f;
}

static void what_nobody_has_is_written_waited_for_and_read_back(void **state)
{
	struct fixture f = owner();

	(void)state;
	assert_int_equal(f.claim.phase, CLAIM_OWNED);
	assert_true(claim_is_owned(&f.claim, 1429));
	assert_false(claim_is_owned(&f.claim, 1430));
}

static void a_foreign_record_is_watched_for_four_d(void **state)
{
	struct fixture f = fresh(foreign);
	uint64_t now = 1000;

	(void)state;
	begin(&f, now, 0x1);
	assert_int_equal(tick(&f, now), CLAIM_DO_READ);
	assert_int_equal(read_done(&f, now + 5), CLAIM_DO_NOTHING); /* quiet from 1005 on */
	for (now = 1055; now < 1405; now += 50) {
		assert_int_equal(tick(&f, now), CLAIM_DO_READ);
		assert_int_equal(read_done(&f, now), CLAIM_DO_NOTHING);
	}
	assert_int_equal(tick(&f, 1405), CLAIM_DO_READ);
	assert_int_equal(read_done(&f, 1405), CLAIM_DO_WRITE);
	assert_int_equal(f.claim.own.generation, 41);
}

static void a_record_that_changes_is_watched_from_there(void **state)
{
	struct fixture f = fresh(foreign);

	(void)state;
	begin(&f, 1000, 0x1);
	tick(&f, 1000);
	read_done(&f, 1000);
	f.disk.generation++; /* its owner lives */
	assert_int_equal(tick(&f, 1390), CLAIM_DO_READ);
	assert_int_equal(read_done(&f, 1390), CLAIM_DO_NOTHING);
	assert_int_equal(tick(&f, 1500), CLAIM_DO_READ);
	assert_int_equal(read_done(&f, 1500), CLAIM_DO_NOTHING);
	assert_int_equal(tick(&f, 1790), CLAIM_DO_READ);
	assert_int_equal(read_done(&f, 1790), CLAIM_DO_WRITE);
}

static void the_record_of_a_member_need_not_be_watched(void **state)
{
	struct fixture f = fresh(foreign);

	(void)state;
	begin(&f, 1000, 0x81);
	assert_int_equal(tick(&f, 1000), CLAIM_DO_READ);
	assert_int_equal(read_done(&f, 1001), CLAIM_DO_WRITE);
}

static void a_write_that_took_too_long_is_void(void **state)
{
	struct fixture f = fresh(never);

	(void)state;
	begin(&f, 1000, 0x1);
	tick(&f, 1000);
	assert_int_equal(read_done(&f, 1060), CLAIM_DO_WRITE);
	written(&f, 1101); /* counted from the start of the read */
	assert_int_equal(f.claim.phase, CLAIM_WATCH);
	assert_int_equal(tick(&f, 1101), CLAIM_DO_READ);
	assert_int_equal(read_done(&f, 1102), CLAIM_DO_WRITE); /* its own: again at once */
	assert_int_equal(f.claim.own.generation, 2);
}

static void a_record_that_was_overwritten_is_not_owned(void **state)
{
	struct fixture f = fresh(never);

	(void)state;
	begin(&f, 1000, 0x1);
	tick(&f, 1000);
	read_done(&f, 1010);
	written(&f, 1030);
	f.disk = foreign;
	assert_int_equal(tick(&f, 1230), CLAIM_DO_READ);
	read_done(&f, 1235);
	assert_int_equal(f.claim.phase, CLAIM_WATCH);
	assert_false(claim_is_owned(&f.claim, 1236));
}

static void an_owner_renews_every_d(void **state)
{
	struct fixture f = owner();

	(void)state;
	for (uint64_t t = 1330; t < 2000; t += D) {
		assert_int_equal(tick(&f, t - 1), CLAIM_DO_NOTHING);
		assert_int_equal(tick(&f, t), CLAIM_DO_READ);
		assert_int_equal(read_done(&f, t + 20), CLAIM_DO_WRITE);
		written(&f, t + 40);
		assert_true(claim_is_owned(&f.claim, t + 2 * D - 1));
		assert_false(claim_is_owned(&f.claim, t + 2 * D));
	}
	assert_int_equal(f.disk.generation, 8);
}

static void an_owner_that_sees_a_foreign_record_has_lost_it(void **state)
{
	struct fixture f = owner();

	(void)state;
	f.disk = foreign;
	tick(&f, 1330);
	assert_int_equal(read_done(&f, 1331), CLAIM_DO_NOTHING);
	assert_false(claim_is_owned(&f.claim, 1331));
}

static void an_owner_that_cannot_renew_loses_it_by_its_clock(void **state)
{
	struct fixture f = owner();

	(void)state;
	tick(&f, 1330);
	io_failed(&f, CLAIM_EV_READ, 1340); /* tried again soon */
	assert_int_equal(tick(&f, 1365), CLAIM_DO_READ);
	assert_int_equal(read_done(&f, 1370), CLAIM_DO_WRITE);
	assert_int_equal(tick(&f, 1440), CLAIM_DO_NOTHING); /* the write hangs */
	assert_false(claim_is_owned(&f.claim, 1440));
	written(&f, 1450); /* within D, and too late all the same */
	assert_int_equal(f.claim.phase, CLAIM_WATCH);
	assert_false(claim_is_owned(&f.claim, 1451));
}

static void what_belongs_to_another_view_counts_for_nothing(void **state)
{
	struct fixture f = owner();

	(void)state;
	assert_int_equal(tick(&f, 1330), CLAIM_DO_READ);
	begin(&f, 1335, 0x3);
	assert_false(claim_is_owned(&f.claim, 1335));
	assert_int_equal(tick(&f, 1336), CLAIM_DO_NOTHING); /* one I/O at a time */
	assert_int_equal(read_done(&f, 1340), CLAIM_DO_NOTHING);
	assert_int_equal(tick(&f, 1341), CLAIM_DO_READ);
	assert_int_equal(read_done(&f, 1342), CLAIM_DO_WRITE);
	step(&f, (struct claim_event){.type = CLAIM_EV_END, .now_ms = 1343});
	io_failed(&f, CLAIM_EV_WRITTEN, 1350);
	assert_int_equal(tick(&f, 5000), CLAIM_DO_NOTHING);
	assert_int_equal(f.claim.phase, CLAIM_IDLE);
}

static void broken_states_are_named(void **state)
{
	struct fixture f = owner();

	(void)state;
	f.claim.seen = foreign;
	assert_string_equal(claim_check(&f.claim),
			    "a foreign record has been seen, and the witness is owned");
	f = owner();
	f.claim.phase = CLAIM_WAIT;
	assert_non_null(claim_check(&f.claim));
	f = owner();
	f.claim.phase = CLAIM_RENEW_READ;
	assert_non_null(claim_check(&f.claim));
	f = owner();
	f.claim.io_is_stale = true;
	assert_non_null(claim_check(&f.claim));
	f = owner();
	f.claim.view.nonce++;
	assert_non_null(claim_check(&f.claim));
	for (int i = 0; i < CLAIM_PHASE_MAX; i++)
		assert_string_not_equal(claim_phase_name((enum claim_phase)i), "?");
	for (int i = 0; i < CLAIM_MUTANT_MAX; i++)
		assert_string_not_equal(claim_mutant_name((enum claim_mutant)i), "?");
	assert_string_equal(claim_phase_name(CLAIM_PHASE_MAX), "?");
	assert_string_equal(claim_mutant_name(CLAIM_MUTANT_MAX), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nobody_has_is_written_waited_for_and_read_back),
		cmocka_unit_test(a_foreign_record_is_watched_for_four_d),
		cmocka_unit_test(a_record_that_changes_is_watched_from_there),
		cmocka_unit_test(the_record_of_a_member_need_not_be_watched),
		cmocka_unit_test(a_write_that_took_too_long_is_void),
		cmocka_unit_test(a_record_that_was_overwritten_is_not_owned),
		cmocka_unit_test(an_owner_renews_every_d),
		cmocka_unit_test(an_owner_that_sees_a_foreign_record_has_lost_it),
		cmocka_unit_test(an_owner_that_cannot_renew_loses_it_by_its_clock),
		cmocka_unit_test(what_belongs_to_another_view_counts_for_nothing),
		cmocka_unit_test(broken_states_are_named),
	};

	return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
