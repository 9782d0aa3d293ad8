/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Crashes of what changes attributes and data. */
#include "tests/unit/backing_crash.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* ---- attributes */

static struct csv_request set_many(const struct scene *s)
{
	struct csv_request q = ask_setattr(s->a, CSV_SET_MODE | CSV_SET_UID | CSV_SET_GID |
							 CSV_SET_SIZE | CSV_SET_MTIME);

	q.setattr.mode = 04711;
	q.setattr.uid = 11;
	q.setattr.gid = 12;
	q.setattr.size = 2;
	q.setattr.mtime = (struct csv_time){12345, 6};
	return q;
}

static void many_are_set(struct scene *s, const struct csv_reply *p)
{
	struct csv_attr a = attr_of(s->v, s->a);

	assert_int_equal(a.mode & 07777, 04711);
	assert_int_equal(a.uid, 11);
	assert_int_equal(a.gid, 12);
	assert_int_equal(a.mtime.sec, 12345);
	assert_int_equal(p->attr.attr.mode & 07777, 04711);
	assert_int_equal(p->attr.attr.size, 2);
	assert_content(s->v, s->a, "ab");
}

static void setattr_happens(void **state)
{
	survives(*state, ACT(a_file, set_many, many_are_set));
}

static struct csv_request set_x_exclusively(const struct scene *s)
{
	return ask_setxattr(s->a, "user.x", XATTR_CREATE, "new", 3);
}

static void x_is_new(struct scene *s, const struct csv_reply *p)
{
	struct csv_reply x = ok(s->v, ask_getxattr(s->a, "user.x", 9));

	(void)p;
	assert_int_equal(x.xattr.length, 3);
	assert_memory_equal(x.xattr.data.data, "new", 3);
}

static void setxattr_of_a_new_one_happens_once(void **state)
{
	survives(*state, ACT(a_file, set_x_exclusively, x_is_new));
}

static struct csv_request replace_x(const struct scene *s)
{
	return ask_setxattr(s->a, "user.x", XATTR_REPLACE, "new", 3);
}

static void setxattr_of_an_old_one_happens(void **state)
{
	survives(*state, ACT(a_file_with_an_attribute, replace_x, x_is_new));
}

static struct csv_request set_big_x(const struct scene *s)
{
	static uint8_t big[30000];

	memset(big, 'n', sizeof(big));
	return ask_setxattr(s->a, "user.x", 0, big, sizeof(big));
}

static void x_is_big(struct scene *s, const struct csv_reply *p)
{
	struct csv_reply x = ok(s->v, ask_getxattr(s->a, "user.x", CSV_XATTR_MAX));

	(void)p;
	assert_int_equal(x.xattr.length, 30000);
	assert_int_equal(x.xattr.data.data[29999], 'n');
}

static void setxattr_of_a_big_one_happens(void **state)
{
	survives(*state, ACT(a_file_with_an_attribute, set_big_x, x_is_big));
}

static struct csv_request remove_x(const struct scene *s)
{
	return ask_removexattr(s->a, "user.x");
}

static void x_is_gone(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_int_equal(err(s->v, ask_getxattr(s->a, "user.x", 9)), ENODATA);
}

static void removexattr_happens_once(void **state)
{
	survives(*state, ACT(a_file_with_an_attribute, remove_x, x_is_gone));
}

/* ---- data */

static struct csv_request write_a(const struct scene *s)
{
	return ask_write(s->a, 5, CSV_WRITE_KILL_SUID, "XY", 2);
}

static void a_is_written(struct scene *s, const struct csv_reply *p)
{
	struct csv_reply r = ok(s->v, ask_read(s->a, 0, 100));

	assert_int_equal(p->count.count, 2);
	assert_int_equal(r.bytes.data.len, 7);
	assert_memory_equal(r.bytes.data.data, "abc\0\0XY", 7);
	assert_int_equal(attr_of(s->v, s->a).mode & 07777, 0777);
}

static void write_happens(void **state)
{
	survives(*state, ACT(a_privileged_file, write_a, a_is_written));
}

/* Its block on disk still has what was cut off. */
static void cut_to_one(struct scene *s)
{
	struct csv_request q = ask_setattr(s->a, CSV_SET_SIZE);

	q.setattr.size = 1;
	ok(s->v, q);
}

static void a_cut_file(struct scene *s)
{
	a_file(s);
	cut_to_one(s);
}

static struct csv_request write_behind(const struct scene *s)
{
	return ask_write(s->a, BLOCK + 1, 0, "X", 1);
}

static void the_gap_is_zero(struct scene *s, const struct csv_reply *p)
{
	struct csv_reply r = ok(s->v, ask_read(s->a, 0, 2 * BLOCK));

	assert_int_equal(p->count.count, 1);
	assert_int_equal(r.bytes.data.len, BLOCK + 2);
	assert_memory_equal(r.bytes.data.data, "a\0\0\0", 4);
	assert_int_equal(r.bytes.data.data[BLOCK + 1], 'X');
}

static void write_behind_the_end_leaves_zeros(void **state)
{
	survives(*state, ACT(a_cut_file, write_behind, the_gap_is_zero, .has_middle = true));
}

static struct csv_request grow(const struct scene *s)
{
	struct csv_request q = ask_setattr(s->a, CSV_SET_SIZE);

	q.setattr.size = BLOCK + 1;
	return q;
}

static void has_grown_by_zeros(struct scene *s, const struct csv_reply *p)
{
	struct csv_reply r = ok(s->v, ask_read(s->a, 0, 2 * BLOCK));

	assert_int_equal(p->attr.attr.size, BLOCK + 1);
	assert_int_equal(r.bytes.data.len, BLOCK + 1);
	assert_memory_equal(r.bytes.data.data, "a\0\0\0", 4);
}

static void setattr_of_a_greater_size_leaves_zeros(void **state)
{
	survives(*state, ACT(a_cut_file, grow, has_grown_by_zeros));
}

static struct csv_request append_a(const struct scene *s)
{
	return ask_write(s->a, 0, CSV_WRITE_APPEND, "de", 2);
}

static void a_is_appended_to(struct scene *s, const struct csv_reply *p)
{
	assert_int_equal(p->count.count, 2);
	assert_content(s->v, s->a, "abcde");
}

static void append_happens_once(void **state)
{
	survives(*state, ACT(a_file, append_a, a_is_appended_to));
}

static struct csv_request collapse(const struct scene *s)
{
	return ask_fallocate(s->a, FALLOC_FL_COLLAPSE_RANGE, BLOCK, BLOCK);
}

static void is_collapsed(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_blocks(s, s->a, "ACD");
}

/* Half of it, and less than that. */
static void move_in_part(struct scene *s)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "%s/a", s->name);
	fd = volume_peek(s->v, path, O_RDWR);
	assert_int_equal(ftruncate(fd, 5 * BLOCK), 0);
	assert_int_equal(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, BLOCK), 0);
	assert_int_equal(pwrite(fd, "?", 1, 2 * BLOCK), 1);
	assert_int_equal(ftruncate(fd, 7 * BLOCK), 0);
	close(fd);
}

static void collapse_happens_once(void **state)
{
	survives(*state, ACT(four_blocks, collapse, is_collapsed, .has_middle = true,
			     .spoil = move_in_part));
}

static struct csv_request insert(const struct scene *s)
{
	return ask_fallocate(s->a, FALLOC_FL_INSERT_RANGE, BLOCK, BLOCK);
}

static void is_inserted(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_blocks(s, s->a, "A.BCD");
}

static void insert_happens_once(void **state)
{
	survives(*state,
		 ACT(four_blocks, insert, is_inserted, .has_middle = true, .spoil = move_in_part));
}

static struct csv_request punch(const struct scene *s)
{
	return ask_fallocate(s->a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK, 2 * BLOCK);
}

static void is_punched(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_blocks(s, s->a, "A..D");
}

static void punch_happens(void **state)
{
	survives(*state, ACT(four_blocks, punch, is_punched));
}

/* Parts of blocks, which are zeroed in the page cache. */
static struct csv_request punch_parts(const struct scene *s)
{
	return ask_fallocate(s->a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK / 2, BLOCK);
}

static void assert_byte(struct scene *s, struct csv_handle h, uint64_t at, char expect)
{
	assert_int_equal(ok(s->v, ask_read(h, at, 1)).bytes.data.data[0], expect);
}

static void parts_are_punched(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_byte(s, s->a, BLOCK / 2 - 1, 'A');
	assert_byte(s, s->a, BLOCK / 2, 0);
	assert_byte(s, s->a, 3 * BLOCK / 2 - 1, 0);
	assert_byte(s, s->a, 3 * BLOCK / 2, 'B');
}

static void punch_of_parts_of_blocks_happens(void **state)
{
	survives(*state, ACT(four_blocks, punch_parts, parts_are_punched));
}

static struct csv_request zero_behind(const struct scene *s)
{
	return ask_fallocate(s->a, FALLOC_FL_ZERO_RANGE, 3 * BLOCK, 2 * BLOCK);
}

static void is_zeroed(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_blocks(s, s->a, "ABC..");
}

static void zero_happens(void **state)
{
	survives(*state, ACT(four_blocks, zero_behind, is_zeroed));
}

static struct csv_request reserve(const struct scene *s)
{
	return ask_fallocate(s->a, 0, 4 * BLOCK, BLOCK);
}

static void is_reserved(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_blocks(s, s->a, "ABCD.");
}

static void reserve_happens(void **state)
{
	survives(*state, ACT(four_blocks, reserve, is_reserved));
}

static struct csv_request clone_range(const struct scene *s)
{
	return ask_copy_range(s->a, BLOCK, s->b, 0, 3 * BLOCK);
}

static void is_cloned(struct scene *s, const struct csv_reply *p)
{
	assert_int_equal(p->count.count, 3 * BLOCK);
	assert_blocks(s, s->b, "BCD");
	assert_blocks(s, s->a, "ABCD");
}

static void clone_happens(void **state)
{
	survives(*state, ACT(four_blocks, clone_range, is_cloned));
}

static struct csv_request copy_bytes(const struct scene *s)
{
	return ask_copy_range(s->a, BLOCK - 1, s->b, 3, 2);
}

static void bytes_are_copied(struct scene *s, const struct csv_reply *p)
{
	struct csv_reply r = ok(s->v, ask_read(s->b, 0, 100));

	assert_int_equal(p->count.count, 2);
	assert_int_equal(r.bytes.data.len, 5);
	assert_memory_equal(r.bytes.data.data, "\0\0\0AB", 5);
}

static void copy_of_bytes_happens(void **state)
{
	survives(*state, ACT(four_blocks, copy_bytes, bytes_are_copied));
}

static struct csv_request copy_within(const struct scene *s)
{
	return ask_copy_range(s->a, 0, s->a, 4 * BLOCK, BLOCK);
}

static void is_copied_within(struct scene *s, const struct csv_reply *p)
{
	assert_int_equal(p->count.count, BLOCK);
	assert_blocks(s, s->a, "ABCDA");
}

static void copy_within_a_file_happens(void **state)
{
	survives(*state, ACT(four_blocks, copy_within, is_copied_within));
}

/* The log is forced by others at any time: the new size is there, the zeros are not. */
static void force_the_log(struct scene *s)
{
	int fd = volume_peek(s->v, ".", O_RDONLY);

	assert_int_equal(fchmod(fd, 0700), 0);
	assert_int_equal(fchmod(fd, 0755), 0);
	assert_int_equal(fsync(fd), 0);
	close(fd);
}

static void four_blocks_and_a_cut_file(struct scene *s)
{
	struct csv_handle four;

	four_blocks(s);
	four = s->a;
	s->a = file_with(s->v, s->dir, "cut", "abc");
	cut_to_one(s);
	s->b = s->a;
	s->a = four;
}

static struct csv_request copy_behind(const struct scene *s)
{
	return ask_copy_range(s->a, 0, s->b, BLOCK, BLOCK);
}

static void the_gap_before_it_is_zero(struct scene *s, const struct csv_reply *p)
{
	struct csv_reply r = ok(s->v, ask_read(s->b, 0, 3 * BLOCK));

	assert_int_equal(p->count.count, BLOCK);
	assert_int_equal(r.bytes.data.len, 2 * BLOCK);
	assert_memory_equal(r.bytes.data.data, "a\0\0\0", 4);
	assert_int_equal(r.bytes.data.data[BLOCK], 'A');
}

static void copy_behind_the_end_leaves_zeros(void **state)
{
	survives(*state, ACT(four_blocks_and_a_cut_file, copy_behind, the_gap_before_it_is_zero,
			     .has_middle = true, .spoil = force_the_log));
}

#define T(name) cmocka_unit_test_setup_teardown(name, volume_setup, volume_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(setattr_happens),
		T(setxattr_of_a_new_one_happens_once),
		T(setxattr_of_an_old_one_happens),
		T(setxattr_of_a_big_one_happens),
		T(removexattr_happens_once),
		T(write_happens),
		T(write_behind_the_end_leaves_zeros),
		T(setattr_of_a_greater_size_leaves_zeros),
		T(append_happens_once),
		T(collapse_happens_once),
		T(insert_happens_once),
		T(punch_happens),
		T(punch_of_parts_of_blocks_happens),
		T(zero_happens),
		T(reserve_happens),
		T(clone_happens),
		T(copy_of_bytes_happens),
		T(copy_behind_the_end_leaves_zeros),
		T(copy_within_a_file_happens),
	};
	const char *why = volume_begin();

	if (why) {
		printf("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
