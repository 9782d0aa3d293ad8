/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a mount keeps in memory, and when it is not true any more. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "csvfs/core/cache.h"
#include "lib/must.h"

#define NOW 5000

static const struct csv_handle dir = {.ino = 64, .gen = 1}, file = {.ino = 100, .gen = 1};

static struct csv_attr attr(uint64_t size)
{
	return (struct csv_attr){.ino = 100, .mode = S_IFREG | 0644, .nlink = 1, .size = size};
}

static struct csv_request lookup(const char *name)
{
	struct csv_request q = {.op = CSV_OP_LOOKUP, .lookup = {.parent = dir}};

	snprintf(q.lookup.name.text, sizeof(q.lookup.name.text), "%s", name);
	return q;
}

static struct csv_request getattr(void)
{
	return (struct csv_request){.op = CSV_OP_GETATTR, .getattr = {.handle = file}};
}

static struct csv_reply entry(uint64_t size)
{
	return (struct csv_reply){.kind = CSV_REPLY_ENTRY,
				  .promised = CSV_PROMISED_ALL,
				  .entry = {.handle = file, .attr = attr(size)}};
}

static struct csv_reply told(uint64_t size)
{
	return (struct csv_reply){.kind = CSV_REPLY_ATTR,
				  .promised = CSV_PROMISED_NODE,
				  .attr = {.attr = attr(size)}};
}

/* One that is asked and answered, and nothing comes between. */
static void ask(struct cache *c, struct csv_request q, struct csv_reply p)
{
	struct cache_note note;

	cache_ask(c, &q, &note);
	cache_answered(c, &note);
	cache_keep(c, &q, &p, &note, NOW);
	assert_null(cache_check(c));
}

static bool has_attr(struct cache *c, uint64_t size)
{
	struct csv_attr a;

	return cache_attr(c, &file, NOW, &a) && a.size == size;
}

static bool has_name(struct cache *c, const char *name, uint64_t ino)
{
	struct csv_handle h;
	struct csv_attr a;

	return cache_lookup(c, &dir, name, NOW, &h, &a) && h.ino == ino;
}

static int setup(void **state)
{
	struct cache *c = calloc(1, sizeof(*c));

	must(c);
	cache_init(c);
	cache_renewed(c, NOW - 100, NOW);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void what_is_promised_is_kept(void **state)
{
	struct cache *c = *state;
	struct csv_reply none = {.error = ENOENT, .promised = CSV_PROMISED_NAME};

	assert_false(has_name(c, "a", 100));
	ask(c, lookup("a"), entry(7));
	assert_true(has_name(c, "a", 100));
	assert_true(has_attr(c, 7));
	ask(c, lookup("b"), none);
	assert_true(has_name(c, "b", 0));
	assert_false(has_name(c, "c", 0));
}

static void what_is_not_promised_is_not(void **state)
{
	struct cache *c = *state;
	struct csv_reply p = entry(7), none = {.error = ENOENT};

	p.promised = CSV_PROMISED_NAME;
	ask(c, lookup("a"), p);
	assert_false(has_attr(c, 7));
	assert_false(has_name(c, "a", 100)); /* its attributes are not known */
	ask(c, lookup("b"), none);
	assert_false(has_name(c, "b", 0));
	none = (struct csv_reply){.error = EACCES, .promised = CSV_PROMISED_ALL};
	ask(c, lookup("d"), none);
	assert_false(has_name(c, "d", 0));
}

static void a_break_ends_it_and_what_was_asked_before(void **state)
{
	struct cache *c = *state;
	struct csv_request q = getattr();
	struct csv_reply p = told(7);
	struct cache_note note;

	ask(c, lookup("a"), entry(7));
	cache_ask(c, &q, &note);
	cache_break(c, &file);
	assert_false(has_attr(c, 7));
	cache_answered(c, &note);
	cache_keep(c, &q, &p, &note, NOW); /* it came over the other line */
	assert_false(has_attr(c, 7));
	ask(c, getattr(), told(8));
	assert_true(has_attr(c, 8));
	assert_true(has_name(c, "a", 100));
	cache_break(c, &dir);
	assert_true(has_attr(c, 8));
	assert_false(has_name(c, "a", 100));
}

static void an_own_change_makes_untrue_from_its_sending_to_its_answer(void **state)
{
	struct cache *c = *state;
	struct csv_request set = {.op = CSV_OP_SETATTR, .setattr = {.handle = file}}, q = getattr();
	struct csv_reply before = told(7), after = told(8);
	struct cache_note change, note;

	ask(c, getattr(), told(7));
	cache_ask(c, &set, &change);
	assert_false(has_attr(c, 7));
	/* Asked and answered meanwhile, before the change was made. */
	cache_ask(c, &q, &note);
	cache_answered(c, &note);
	cache_keep(c, &q, &before, &note, NOW);
	assert_false(has_attr(c, 7));
	cache_answered(c, &change);
	assert_false(has_attr(c, 7));
	cache_keep(c, &set, &after, &change, NOW);
	assert_true(has_attr(c, 8));
}

static void of_two_own_changes_at_once_no_answer_is_kept(void **state)
{
	struct cache *c = *state;
	struct csv_request set = {.op = CSV_OP_SETATTR, .setattr = {.handle = file}};
	struct csv_reply one = told(1), two = told(2);
	struct cache_note a, b;

	cache_ask(c, &set, &a);
	cache_ask(c, &set, &b);
	cache_answered(c, &b);
	cache_keep(c, &set, &two, &b, NOW);
	cache_answered(c, &a);
	cache_keep(c, &set, &one, &a, NOW);
	assert_false(has_attr(c, 1));
	assert_false(has_attr(c, 2));
	ask(c, getattr(), told(3));
	assert_true(has_attr(c, 3));
}

static void an_own_unlink_names_the_child_that_it_knows(void **state)
{
	struct cache *c = *state;
	struct csv_request q = {.op = CSV_OP_UNLINK, .unlink = {.parent = dir, .name = {"a"}}};
	struct csv_reply p = {.promised = CSV_PROMISED_NAME};
	struct cache_note note;

	cache_ask(c, &q, &note);
	assert_int_equal(q.child[0].ino, 0);
	cache_answered(c, &note);
	ask(c, lookup("a"), entry(7));
	ask(c, lookup("b"), entry(7));
	cache_ask(c, &q, &note);
	assert_true(csv_handle_equal(&q.child[0], &file));
	assert_false(has_attr(c, 7)); /* its count of links */
	cache_answered(c, &note);
	cache_keep(c, &q, &p, &note, NOW);
	assert_true(has_name(c, "a", 0));
	assert_false(has_name(c, "b", 100));
	ask(c, getattr(), told(7));
	assert_true(has_name(c, "b", 100)); /* the directory's other names are as they were */
}

static void what_it_lacks_is_known_until_it_changes(void **state)
{
	struct cache *c = *state;
	struct csv_request q = {.op = CSV_OP_GETXATTR, .getxattr = {.handle = file}};
	struct csv_request set = {.op = CSV_OP_SETXATTR, .setxattr = {.handle = file}};
	struct csv_reply none = {.error = ENODATA, .promised = CSV_PROMISED_NODE};
	const char *acl = "system.posix_acl_access", *more = "security.capability";

	snprintf(q.getxattr.name.text, sizeof(q.getxattr.name.text), "%s", acl);
	ask(c, q, none); /* it is kept with the attributes */
	assert_false(cache_lacks(c, &file, acl, NOW));
	ask(c, getattr(), told(7));
	ask(c, q, none);
	assert_true(cache_lacks(c, &file, acl, NOW));
	assert_false(cache_lacks(c, &file, more, NOW));
	assert_false(cache_lacks(c, &file, "user.x", NOW));
	snprintf(q.getxattr.name.text, sizeof(q.getxattr.name.text), "%s", more);
	ask(c, q, none);
	assert_true(cache_lacks(c, &file, acl, NOW));
	ask(c, set, (struct csv_reply){0});
	assert_false(cache_lacks(c, &file, acl, NOW));
	/* One that is known again brings no other along. */
	ask(c, getattr(), told(7));
	ask(c, q, none);
	assert_true(cache_lacks(c, &file, more, NOW));
	assert_false(cache_lacks(c, &file, acl, NOW));
}

static void data_is_given_whole_up_to_the_end_of_the_file(void **state)
{
	struct cache *c = *state;
	struct csv_request q = {.op = CSV_OP_READ, .read = {.handle = file, .size = 8192}};
	static uint8_t text[5000];
	struct csv_reply p = {.kind = CSV_REPLY_BYTES,
			      .promised = CSV_PROMISED_NODE,
			      .bytes = {.data = {text, sizeof(text)}}};
	uint8_t got[8192];
	int64_t atime;
	size_t len;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7);
	ask(c, q, p); /* the size is not known: it is of no use */
	assert_false(cache_read(c, &file, 0, 10, NOW, got, &len, &atime));
	ask(c, getattr(), told(sizeof(text)));
	ask(c, q, p);
	assert_true(cache_read(c, &file, 0, sizeof(got), NOW, got, &len, &atime));
	assert_int_equal(len, sizeof(text));
	assert_memory_equal(got, text, len);
	assert_true(cache_read(c, &file, 4090, 100, NOW, got, &len, &atime));
	assert_int_equal(len, 100);
	assert_memory_equal(got, text + 4090, 100);
	assert_true(cache_read(c, &file, 4990, 100, NOW, got, &len, &atime));
	assert_int_equal(len, 10);
	assert_true(cache_read(c, &file, 6000, 100, NOW, got, &len, &atime));
	assert_int_equal(len, 0);
	cache_break(c, &file);
	assert_false(cache_read(c, &file, 0, 10, NOW, got, &len, &atime));
}

static void large_files_and_halves_of_pages_are_not_kept(void **state)
{
	struct cache *c = *state;
	struct csv_request q = {.op = CSV_OP_READ, .read = {.handle = file, .size = 4096}};
	uint8_t text[4096] = "x", got[16];
	struct csv_reply p = {.kind = CSV_REPLY_BYTES,
			      .promised = CSV_PROMISED_NODE,
			      .bytes = {.data = {text, sizeof(text)}}};
	int64_t atime;
	size_t len;

	ask(c, getattr(), told(CACHE_FILE_MAX));
	ask(c, q, p);
	assert_false(cache_read(c, &file, 0, 10, NOW, got, &len, &atime));
	ask(c, getattr(), told(8192));
	q.read.offset = 100;
	ask(c, q, p);
	assert_false(cache_read(c, &file, 100, 10, NOW, got, &len, &atime));
	q.read.offset = 4096;
	ask(c, q, p);
	assert_true(cache_read(c, &file, 4096, 10, NOW, got, &len, &atime));
	assert_false(cache_read(c, &file, 4090, 10, NOW, got, &len, &atime));
}

static void without_a_lease_nothing_is_true(void **state)
{
	struct cache *c = *state;
	uint64_t end = NOW - 100 + CACHE_LEASE_MS;
	struct csv_attr a;

	ask(c, getattr(), told(7));
	assert_true(cache_attr(c, &file, end - 1, &a));
	assert_false(cache_attr(c, &file, end, &a));
	/* Renewed in time, it goes on; too late, all of before is forgotten. */
	cache_renewed(c, NOW, end - 1);
	assert_true(cache_attr(c, &file, end, &a));
	cache_renewed(c, end + 5000, end + 5001);
	assert_false(cache_attr(c, &file, end + 5002, &a));
}

static void another_coordinator_has_promised_nothing(void **state)
{
	struct cache *c = *state;
	struct csv_request q = getattr();
	struct csv_reply p = told(8);
	struct cache_note note;

	ask(c, getattr(), told(7));
	cache_ask(c, &q, &note);
	cache_forget(c);
	assert_false(has_attr(c, 7));
	cache_renewed(c, NOW, NOW);
	cache_answered(c, &note);
	cache_keep(c, &q, &p, &note, NOW); /* by the earlier one */
	assert_false(has_attr(c, 8));
	ask(c, getattr(), told(9));
	assert_true(has_attr(c, 9));
}

static void what_was_not_used_lately_makes_room(void **state)
{
	struct cache *c = *state;
	struct csv_request q = getattr();
	struct cache_note note;
	struct csv_reply p;
	struct csv_attr a;
	uint64_t left = 0;

	for (uint64_t i = 0; i < CACHE_NODES * 2; i++) {
		q.getattr.handle.ino = 1000 + i;
		cache_ask(c, &q, &note);
		p = told(i);
		cache_keep(c, &q, &p, &note, NOW);
		q.getattr.handle.ino = 1000;
		assert_true(cache_attr(c, &q.getattr.handle, NOW, &a)); /* used all the time */
	}
	for (uint64_t i = 0; i < CACHE_NODES * 2; i++) {
		q.getattr.handle.ino = 1000 + i;
		if (cache_attr(c, &q.getattr.handle, NOW, &a)) {
			assert_int_equal(a.size, i);
			left++;
		}
	}
	assert_int_equal(left, CACHE_NODES);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_promised_is_kept),
		TEST(what_is_not_promised_is_not),
		TEST(a_break_ends_it_and_what_was_asked_before),
		TEST(an_own_change_makes_untrue_from_its_sending_to_its_answer),
		TEST(of_two_own_changes_at_once_no_answer_is_kept),
		TEST(an_own_unlink_names_the_child_that_it_knows),
		TEST(what_it_lacks_is_known_until_it_changes),
		TEST(data_is_given_whole_up_to_the_end_of_the_file),
		TEST(large_files_and_halves_of_pages_are_not_kept),
		TEST(without_a_lease_nothing_is_true),
		TEST(another_coordinator_has_promised_nothing),
		TEST(what_was_not_used_lately_makes_room),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
