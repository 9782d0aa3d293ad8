/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worst-case time of a failover: its terms, and when it has no bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/failover.h"

#define GROUPS 1100

static const struct db_limits limits = {
	.capacity = {[DB_KIND_CLUSTER] = 1,
		     [DB_KIND_FENCE] = 4,
		     [DB_KIND_GROUP] = GROUPS,
		     [DB_KIND_RESOURCE] = 8},
	.locks = {.max_sessions = 2, .max_resources = 2, .max_locks = 2, .max_queued = 2},
};

static int setup(void **state)
{
	char *block = malloc(sizeof(struct db) + 64 + db_size(&limits));
	struct db *db = (struct db *)(void *)block;

	assert_non_null(block);
	assert_int_equal(
		db_init(db, block + (sizeof(struct db) + 63) / 64 * 64, db_size(&limits), &limits),
		0);
	*state = db;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void add_fence(struct db *db, const char *name, uint16_t nodes, uint32_t timeout_ms)
{
	struct db_fence *f = db_insert(db, DB_KIND_FENCE, name);

	assert_non_null(f);
	f->nodes = nodes;
	f->timeout_ms = timeout_ms;
}

static void add_resource(struct db *db, const char *name, const char *group, uint32_t start_ms)
{
	struct db_resource *r = db_insert(db, DB_KIND_RESOURCE, name);

	assert_non_null(r);
	snprintf(r->group, sizeof(r->group), "%s", group);
	r->start_ms = start_ms;
}

static void the_slowest_node_and_the_longest_start_count(void **state)
{
	struct db *db = *state;
	struct failover f = {0};

	add_fence(db, "a", 0x3, 1000);
	add_fence(db, "b", 0x2, 500);
	add_fence(db, "c", 0x8, 90000); /* of a slot that is no member */
	assert_non_null(db_insert(db, DB_KIND_GROUP, "g"));
	assert_non_null(db_insert(db, DB_KIND_GROUP, "h"));
	add_resource(db, "g1", "g", 300);
	add_resource(db, "g2", "g", 400);
	add_resource(db, "h1", "h", 600);
	failover_from_db(&f, db, 0x3);
	assert_true(f.is_known[FAILOVER_FENCE] && f.is_known[FAILOVER_START]);
	assert_int_equal(f.ms[FAILOVER_FENCE], 3000);
	assert_int_equal(f.ms[FAILOVER_START], 700);
}

static void every_group_counts_however_many_there_are(void **state)
{
	struct db *db = *state;
	struct failover f = {0};
	char name[CL_NAME_MAX], resource[CL_NAME_MAX];

	for (unsigned int i = 0; i < GROUPS; i++) {
		snprintf(name, sizeof(name), "g%04u", i);
		assert_non_null(db_insert(db, DB_KIND_GROUP, name));
	}
	for (unsigned int at = 0; at < GROUPS; at += 511) {
		snprintf(name, sizeof(name), "g%04u", at);
		for (int n = 0; n < 2; n++) {
			snprintf(resource, sizeof(resource), "r%04u-%d", at, n);
			add_resource(db, resource, name, 100 + at);
		}
		failover_from_db(&f, db, 0);
		assert_int_equal(f.ms[FAILOVER_START], 2 * (100 + at));
	}
}

static void a_node_that_nothing_can_fence_has_no_bound(void **state)
{
	struct db *db = *state;
	struct failover f = {0};
	uint64_t total = 7;

	add_fence(db, "a", 0x1, 1000);
	for (int i = 0; i < FAILOVER_MAX; i++) {
		if (i != FAILOVER_FENCE)
			failover_set(&f, (enum failover_term)i, 10);
	}
	failover_from_db(&f, db, 0x3);
	assert_false(f.is_known[FAILOVER_FENCE]);
	assert_false(failover_total(&f, &total));
	assert_int_equal(total, 7);
	failover_from_db(&f, db, 0x1);
	assert_true(failover_total(&f, &total));
	/* token, consensus, exchange, witness and lease as set; nothing to start */
	assert_int_equal(total, 50 + 2000);
}

static void a_witness_is_waited_for_eight_times_its_longest_io(void **state)
{
	struct db *db = *state;
	struct db_cluster *c = db_insert(db, DB_KIND_CLUSTER, "bank");
	struct failover f = {0};

	assert_non_null(c);
	c->witness_io_ms = 3000;
	failover_from_db(&f, db, 0x1);
	assert_int_equal(f.ms[FAILOVER_WITNESS], 24000);
	f = (struct failover){0};
	failover_set(&f, FAILOVER_WITNESS, 0); /* it has no vote */
	failover_from_db(&f, db, 0x1);
	assert_int_equal(f.ms[FAILOVER_WITNESS], 0);
}

static void a_term_that_is_not_told_leaves_the_sum_unknown(void **state)
{
	(void)state;
	for (int missing = 0; missing < FAILOVER_MAX; missing++) {
		struct failover f = {0};
		uint64_t total;

		for (int i = 0; i < FAILOVER_MAX; i++) {
			if (i != missing)
				failover_set(&f, (enum failover_term)i, 1);
		}
		assert_false(failover_total(&f, &total));
	}
}

static void every_term_has_a_name_and_a_source(void **state)
{
	(void)state;
	for (int i = 0; i < FAILOVER_MAX; i++) {
		assert_string_not_equal(failover_term_name((enum failover_term)i), "?");
		assert_string_not_equal(failover_term_source((enum failover_term)i), "?");
	}
	assert_string_equal(failover_term_name(FAILOVER_MAX), "?");
	assert_string_equal(failover_term_source(FAILOVER_MAX), "?");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_slowest_node_and_the_longest_start_count),
		TEST(every_group_counts_however_many_there_are),
		TEST(a_node_that_nothing_can_fence_has_no_bound),
		TEST(a_witness_is_waited_for_eight_times_its_longest_io),
		TEST(a_term_that_is_not_told_leaves_the_sum_unknown),
		TEST(every_term_has_a_name_and_a_source),
	};
#undef TEST

	return cmocka_run_group_tests_name("failover", tests, NULL, NULL);
}
