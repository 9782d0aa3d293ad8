/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of corosync's links is used for what. */
#include "tests/unit/volume_fixture.h"

#include "clusterd/core/network.h"

static void give_addresses(struct fixture *f, bool has_two)
{
	for (uint8_t i = 0; i < NODES; i++) {
		snprintf(node(f, i)->address0, DB_ADDRESS_MAX, "10.0.0.%u", i + 1u);
		if (has_two)
			snprintf(node(f, i)->address1, DB_ADDRESS_MAX, "10.0.1.%u", i + 1u);
	}
}

#define ROLES(more) (uint8_t)(1u << NETWORK_CLUSTER | (more))
#define MIGRATES    (1u << NETWORK_MIGRATION)
#define REDIRECTS   (1u << NETWORK_REDIRECT)

static void of_two_links_the_second_migrates_and_the_first_redirects(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(network_count(&f->db), 0);
	assert_int_equal(network_for(&f->db, NETWORK_MIGRATION), 1); /* corosync knows if it is */
	give_addresses(f, true);
	assert_int_equal(network_count(&f->db), 2);
	assert_int_equal(network_for(&f->db, NETWORK_MIGRATION), 1);
	assert_int_equal(network_for(&f->db, NETWORK_REDIRECT), 0);
}

static void a_single_link_is_for_everything(void **state)
{
	struct fixture *f = *state;

	give_addresses(f, false);
	assert_int_equal(network_count(&f->db), 1);
	assert_int_equal(network_for(&f->db, NETWORK_MIGRATION), 0);
	assert_int_equal(network_for(&f->db, NETWORK_REDIRECT), 0);
	REFUSED(f, DB_NO_SUCH, NETWORK_SET, network_set, .name = "net1", .metric = 1,
		.keeps_roles = true);
}

static void the_lowest_metric_of_those_with_the_role_is_used(void **state)
{
	struct fixture *f = *state;

	give_addresses(f, true);
	DONE(f, NETWORK_SET, network_set, .name = "net0", .roles = ROLES(MIGRATES | REDIRECTS),
	     .metric = 10);
	assert_int_equal(network_for(&f->db, NETWORK_MIGRATION), 0);
	DONE(f, NETWORK_SET, network_set, .name = "net1", .roles = ROLES(MIGRATES | REDIRECTS),
	     .metric = 9);
	assert_int_equal(network_for(&f->db, NETWORK_MIGRATION), 1);
	assert_int_equal(network_for(&f->db, NETWORK_REDIRECT), 1);
	DONE(f, NETWORK_SET, network_set, .name = "net0", .metric = 9, .keeps_roles = true);
	assert_int_equal(network_for(&f->db, NETWORK_REDIRECT), 0); /* of equals the first */
	DONE(f, NETWORK_SET, network_set, .name = "net0", .roles = ROLES(0), .metric = DB_KEEP);
	assert_int_equal(network_for(&f->db, NETWORK_REDIRECT), 1);
}

static void with_the_role_nowhere_it_is_the_first(void **state)
{
	struct fixture *f = *state;

	give_addresses(f, true);
	DONE(f, NETWORK_SET, network_set, .name = "net1", .roles = ROLES(0), .metric = DB_KEEP);
	assert_int_equal(network_for(&f->db, NETWORK_MIGRATION), 0);
}

static void every_network_has_the_ring_and_no_role_that_there_is_not(void **state)
{
	struct fixture *f = *state;

	give_addresses(f, true);
	REFUSED(f, DB_INVALID, NETWORK_SET, network_set, .name = "net0", .roles = MIGRATES,
		.metric = DB_KEEP);
	assert_non_null(strstr(f->result.text, "cluster, too"));
	REFUSED(f, DB_INVALID, NETWORK_SET, network_set, .name = "net0", .roles = ROLES(0x80),
		.metric = DB_KEEP);
	REFUSED(f, DB_NO_SUCH, NETWORK_SET, network_set, .name = "net2", .metric = 1,
		.keeps_roles = true);
}

static void a_coordinator_keeps_the_network_of_its_term(void **state)
{
	struct fixture *f = *state;

	give_addresses(f, true);
	make_online(f, 0);
	assert_int_equal(volume(f, "v")->link, 0);
	DONE(f, NETWORK_SET, network_set, .name = "net1", .roles = ROLES(REDIRECTS), .metric = 1);
	assert_int_equal(volume(f, "v")->link, 0);
	assert_int_equal(order(f, DB_WORK_STOPPING, 0), DB_OK);
	assert_int_equal(volume(f, "v")->link, 0);
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	make_online(f, 1);
	assert_int_equal(volume(f, "v")->link, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(of_two_links_the_second_migrates_and_the_first_redirects),
		TEST(a_single_link_is_for_everything),
		TEST(the_lowest_metric_of_those_with_the_role_is_used),
		TEST(with_the_role_nowhere_it_is_the_first),
		TEST(every_network_has_the_ring_and_no_role_that_there_is_not),
		TEST(a_coordinator_keeps_the_network_of_its_term),
	};

	return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
