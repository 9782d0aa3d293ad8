/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node that is lost again and again runs nothing until somebody has looked at it. */
#include "tests/unit/volume_fixture.h"

#include "clusterd/core/age.h"
#include "clusterd/core/quarantine.h"
#include "clusterd/core/vm.h"

#define HOUR (3600 * 1000u)

/* It is back, with the process that it had. */
static void again(struct fixture *f, uint8_t slot)
{
	admit(f, slot, node(f, slot)->incarnation);
}

static void flap(struct fixture *f, uint8_t slot, int times)
{
	for (int i = 0; i < times; i++) {
		lose(f, slot);
		again(f, slot);
	}
}

static const struct db_event *newest(struct fixture *f, const char *kind)
{
	for (uint32_t i = db_count(&f->db, DB_KIND_EVENT); i > 0; i--) {
		const struct db_event *e = db_at(&f->db, DB_KIND_EVENT, i - 1);

		if (!strcmp(e->kind, kind))
			return e;
	}
	return NULL;
}

static void clear(struct fixture *f, uint8_t slot)
{
	struct db_command c = {.type = DB_CMD_NODE_QUARANTINE_CLEAR};

	memcpy(c.node_quarantine_clear.name, node(f, slot)->name, CL_NAME_MAX);
	assert_int_equal(apply(f, c), DB_OK);
}

static void after_three_losses_a_node_is_one_like_any_other(void **state)
{
	struct fixture *f = *state;

	flap(f, 2, 3);
	assert_int_equal(node(f, 2)->losses, 3);
	assert_false(node(f, 2)->is_quarantined);
	assert_null(newest(f, "node-quarantined"));
}

static void after_the_fourth_it_is_quarantined_when_it_is_back(void **state)
{
	struct fixture *f = *state;
	const struct db_event *e;

	flap(f, 2, 3);
	lose(f, 2);
	assert_false(node(f, 2)->is_quarantined);
	again(f, 2);
	assert_true(node(f, 2)->is_quarantined);
	assert_int_equal(node(f, 2)->membership, DB_MEMBERSHIP_ADMITTED);
	e = newest(f, "node-quarantined");
	assert_non_null(e);
	assert_string_equal(e->object, "n2");
	assert_non_null(strstr(e->text, "lost 4 times within 1 h: 00:00:01 00:00:01"));
	assert_non_null(strstr(e->text, " UTC"));
}

static void a_later_boot_of_it_is_still_quarantined(void **state)
{
	struct fixture *f = *state;

	flap(f, 2, 4);
	lose(f, 2);
	f->later_ms = 5 * HOUR;
	admit(f, 2, LATER(2));
	assert_true(node(f, 2)->is_quarantined);
}

static void a_reboot_that_nobody_had_noticed_counts(void **state)
{
	struct fixture *f = *state;

	for (unsigned int boot = 0; boot < 4; boot++)
		admit(f, 2, LATER(2) + 0x100 * boot);
	assert_int_equal(node(f, 2)->losses, 4);
	assert_true(node(f, 2)->is_quarantined);
}

static void a_new_process_or_a_clean_stop_does_not(void **state)
{
	struct fixture *f = *state;

	node(f, 2)->instance = 7;
	again(f, 2);
	assert_int_equal(leave(f, 2, false), DB_OK);
	assert_int_equal(leave(f, 2, true), DB_OK);
	admit(f, 2, LATER(2));
	assert_int_equal(node(f, 2)->losses, 0);
}

static void losses_of_an_earlier_period_do_not_count(void **state)
{
	struct fixture *f = *state;

	flap(f, 2, 3);
	f->later_ms = HOUR;
	lose(f, 2);
	assert_int_equal(node(f, 2)->losses, 1);
	again(f, 2);
	assert_false(node(f, 2)->is_quarantined);
}

static void losses_are_forgotten_when_the_clock_says_so_and_not_before(void **state)
{
	struct fixture *f = *state;
	uint64_t due;

	assert_false(age_is_due(&f->db, UINT64_MAX));
	flap(f, 2, 1);
	due = node(f, 2)->losses_since_ms + HOUR;
	assert_false(age_is_due(&f->db, due - 1));
	assert_true(age_is_due(&f->db, due));
	DONE(f, CLOCK, clock, .now_ms = due);
	assert_int_equal(node(f, 2)->losses, 0);
	assert_int_equal(node(f, 2)->losses_since_ms, 0);
	assert_false(age_is_due(&f->db, UINT64_MAX));
}

static void those_of_a_quarantined_node_are_kept_until_it_is_cleared(void **state)
{
	struct fixture *f = *state;

	flap(f, 2, 4);
	assert_false(age_is_due(&f->db, UINT64_MAX));
	DONE(f, CLOCK, clock, .now_ms = 9 * (uint64_t)HOUR);
	assert_int_equal(node(f, 2)->losses, 4);
	clear(f, 2);
	assert_false(node(f, 2)->is_quarantined);
	assert_int_equal(node(f, 2)->losses, 0);
	assert_non_null(newest(f, "node-quarantine-cleared"));
}

static void only_a_quarantined_node_can_be_cleared(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_CONFLICT, NODE_QUARANTINE_CLEAR, node_quarantine_clear, .name = "n1");
	assert_non_null(strstr(f->result.text, "n1 is not quarantined"));
	REFUSED(f, DB_NO_SUCH, NODE_QUARANTINE_CLEAR, node_quarantine_clear, .name = "x");
}

static void a_majority_of_all_members_is_always_left(void **state)
{
	struct fixture *f = *state;

	flap(f, 2, 4);
	flap(f, 1, 4);
	assert_false(node(f, 1)->is_quarantined);
	assert_non_null(strstr(newest(f, "node-flaps")->text, "no majority would be left"));
	clear(f, 2);
	again(f, 1); /* nothing has happened: it is here */
	assert_false(node(f, 1)->is_quarantined);
	flap(f, 1, 1);
	assert_true(node(f, 1)->is_quarantined);
}

static void one_that_is_away_is_not_counted_on(void **state)
{
	struct fixture *f = *state;

	flap(f, 2, 3);
	lose(f, 2);
	lose(f, 1);
	again(f, 2);
	assert_false(node(f, 2)->is_quarantined);
	assert_false(quarantine_is_affordable(&f->db, node(f, 0)));
	again(f, 1);
	assert_true(quarantine_is_affordable(&f->db, node(f, 2)));
}

/* What it holds is stopped and comes up elsewhere; nothing comes to it. */
static void it_gives_up_what_it_has_and_gets_nothing(void **state)
{
	struct fixture *f = *state;

	DONE(f, GROUP_CREATE, group_create, .name = "g");
	DONE(f, GROUP_INTENT, group_intent, .name = "g", .intent = DB_INTENT_ONLINE, .wish = 2,
	     .verb = "group-start");
	DONE(f, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STARTING, .node = 2,
	     .incarnation = INC(2));
	DONE(f, GROUP_REPORT, group_report, .name = "g", .order = group(f, "g")->order,
	     .work = DB_WORK_ONLINE);
	make_online(f, 2);
	make_mounted(f, 2);
	flap(f, 2, 4);
	assert_true(node(f, 2)->is_quarantined);
	assert_int_equal(group(f, "g")->work, DB_WORK_ONLINE);

	plan_run(&f->db, &f->orders);
	assert_int_equal(f->orders.count, 1);
	assert_int_equal(f->orders.item[0].work, DB_WORK_STOPPING);
	assert_string_equal(f->orders.item[0].reason, "its node is quarantined");
	assert_string_equal(plan_bar(&f->db, group(f, "g"), node(f, 2)), "the node is quarantined");
	assert_int_equal(volume_candidates(&f->db, volume(f, "v")), 0x3);
	assert_false(volume_mount_wanted(&f->db, volume(f, "v"), node(f, 2)));
	REFUSED(f, DB_REFUSED, VOLUME_INTENT, volume_intent, .name = "v", .wish = 2,
		.verb = "volume-move");
	clear(f, 2);
	assert_null(plan_bar(&f->db, group(f, "g"), node(f, 2)));
	assert_true(volume_mount_wanted(&f->db, volume(f, "v"), node(f, 2)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(after_three_losses_a_node_is_one_like_any_other),
		TEST(after_the_fourth_it_is_quarantined_when_it_is_back),
		TEST(a_later_boot_of_it_is_still_quarantined),
		TEST(a_reboot_that_nobody_had_noticed_counts),
		TEST(a_new_process_or_a_clean_stop_does_not),
		TEST(losses_of_an_earlier_period_do_not_count),
		TEST(losses_are_forgotten_when_the_clock_says_so_and_not_before),
		TEST(those_of_a_quarantined_node_are_kept_until_it_is_cleared),
		TEST(only_a_quarantined_node_can_be_cleared),
		TEST(a_majority_of_all_members_is_always_left),
		TEST(one_that_is_away_is_not_counted_on),
		TEST(it_gives_up_what_it_has_and_gets_nothing),
	};

	return cmocka_run_group_tests_name("quarantine", tests, NULL, NULL);
}
