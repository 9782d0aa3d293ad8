/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each change, with the power gone after each of its steps: with the log as it was forced until
 * then, and with all of it written. Sent again, as what the disk says that it is, it happens once
 * and is answered as if nothing had been; and once more after that, it is only answered. Whatever
 * was answered before is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/must.h"
#include "tests/unit/backing_fixture.h"

#define BLOCK 4096
#define MOUNT 2 /* whose request it is; all else is done by mount 1 */

/* What a change is about: made anew for each of its crashes. */
struct scene {
	struct volume *v;
	char name[16]; /* of dir, in the root */
	struct csv_handle dir, a, b;
	bool a_is_open;	   /* by mount 1 */
	bool is_recovered; /* it serves */
};

struct act {
	void (*prepare)(struct scene *s);
	struct csv_request (*request)(const struct scene *s);
	/* After it has happened, however often one looks. */
	void (*check)(struct scene *s, const struct csv_reply *p);
	int error;	    /* that it is answered with */
	bool has_no_intent; /* it changes nothing */
	bool has_middle;    /* it can stop within DO */
	/* What may be on disk then, beside. */
	void (*spoil)(struct scene *s);
};

#define ACT(p, q, c, ...)                                                                          \
	(&(struct act){.prepare = (p), .request = (q), .check = (c), ##__VA_ARGS__})

static uint8_t buf[CSV_FRAME_MAX];

static void see(void *arg, uint64_t mount, uint16_t slot, uint64_t seq, bool is_done)
{
	struct record *r = arg;

	if (mount == MOUNT && slot == 0)
		*r = (struct record){.seq = seq, .is_done = is_done};
}

/* What the disk says of the request, as csvfs/core/session.c takes it. */
static enum backing_mode mode_of(struct volume *v, const struct csv_request *q)
{
	struct record r = {0};

	assert_int_equal(backing_records(v->b, see, &r), 0);
	assert_true(r.seq <= q->seq);
	return r.seq < q->seq ? BACKING_NEW : r.is_done ? BACKING_REPLAY : BACKING_REDO;
}

static void recover(struct scene *s)
{
	volume_crash(s->v);
	if (s->a_is_open)
		backing_opens_add(s->v->b, 1, &s->a, 1);
}

static void assert_same_reply(const struct csv_reply *a, const struct csv_reply *b)
{
	uint8_t x[RECORD_BYTES], y[RECORD_BYTES];
	size_t n, m;

	assert_int_equal(csv_reply_encode(a, x, sizeof(x), &n), 0);
	assert_int_equal(csv_reply_encode(b, y, sizeof(y), &m), 0);
	assert_int_equal(n, m);
	assert_memory_equal(x, y, n);
}

/* What the disk must say when all was written, or all that was forced. */
static void assert_mode(enum backing_mode mode, enum change_step step, bool is_written,
			const struct act *act)
{
	if (step == CHANGE_FORCE || (step == CHANGE_DONE && is_written))
		assert_int_equal(mode, BACKING_REPLAY);
	else if (is_written && !act->has_no_intent)
		assert_int_equal(mode, BACKING_REDO);
}

static void crash_once(struct volume *v, const struct act *act, enum change_step step,
		       bool is_written)
{
	static int number;
	struct scene s = {.v = v};
	struct csv_request q;
	struct csv_reply first, again;
	enum backing_mode mode;

	snprintf(s.name, sizeof(s.name), "%d", ++number);
	s.dir = dir_at(v, v->root, s.name);
	act->prepare(&s);
	q = act->request(&s);
	q.seq = ++v->seq[MOUNT][0];
	backing_stop_after(v->b, step);
	assert_int_equal(backing_execute(v->b, MOUNT, &q, BACKING_NEW, &first, buf), -EIO);
	assert_int_equal(backing_execute(v->b, MOUNT, &q, BACKING_NEW, &first, buf), -EIO);
	if (act->spoil && step == CHANGE_STEP_MAX)
		act->spoil(&s);
	if (is_written)
		volume_sync(v);
	recover(&s);
	mode = mode_of(v, &q);
	assert_mode(mode, step, is_written, act);
	assert_int_equal(backing_execute(v->b, MOUNT, &q, mode, &first, buf), 0);
	assert_int_equal(first.error, act->error);
	act->check(&s, &first);
	recover(&s);
	assert_int_equal(mode_of(v, &q), BACKING_REPLAY);
	assert_int_equal(backing_execute(v->b, MOUNT, &q, BACKING_REPLAY, &again, buf), 0);
	assert_same_reply(&first, &again);
	assert_int_equal(backing_reap(v->b), 0);
	s.is_recovered = true;
	act->check(&s, &again);
	if (s.a_is_open)
		ok(v, ask_release(s.a));
}

static void survives(struct volume *v, const struct act *act)
{
	static const enum change_step steps[] = {CHANGE_INTENT, CHANGE_DO, CHANGE_DONE,
						 CHANGE_FORCE, CHANGE_STEP_MAX};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(steps); i++) {
		if (act->has_no_intent && (steps[i] == CHANGE_INTENT || steps[i] == CHANGE_DO))
			continue;
		if (!act->has_middle && steps[i] == CHANGE_STEP_MAX)
			continue;
		crash_once(v, act, steps[i], false);
		crash_once(v, act, steps[i], true);
	}
	volume_check(v);
}

/* ---- what is there before */

static void nothing(struct scene *s)
{
	(void)s;
}

static void a_file(struct scene *s)
{
	s->a = file_with(s->v, s->dir, "a", "abc");
}

static void two_files(struct scene *s)
{
	a_file(s);
	s->b = file_with(s->v, s->dir, "b", "xyz");
}

static void an_open_file(struct scene *s)
{
	a_file(s);
	ok(s->v, ask_open(s->a, O_RDWR));
	s->a_is_open = true;
}

static void an_open_file_and_another(struct scene *s)
{
	an_open_file(s);
	s->b = file_with(s->v, s->dir, "b", "xyz");
}

static void a_directory(struct scene *s)
{
	s->a = dir_at(s->v, s->dir, "a");
}

static void a_directory_with_a_file(struct scene *s)
{
	a_directory(s);
	file_with(s->v, s->a, "in", "");
}

static void two_names(struct scene *s)
{
	a_file(s);
	ok(s->v, ask_link(s->a, s->dir, "b"));
}

static void four_blocks(struct scene *s)
{
	uint8_t block[BLOCK];

	s->a = file_with(s->v, s->dir, "a", "");
	s->b = file_with(s->v, s->dir, "b", "");
	for (uint64_t i = 0; i < 4; i++) {
		memset(block, (int)('A' + i), sizeof(block));
		ok(s->v, ask_write(s->a, i * BLOCK, 0, block, sizeof(block)));
	}
}

static void a_file_with_an_attribute(struct scene *s)
{
	a_file(s);
	ok(s->v, ask_setxattr(s->a, "user.x", 0, "old", 3));
}

static void a_privileged_file(struct scene *s)
{
	struct csv_request q;

	a_file(s);
	q = ask_setattr(s->a, CSV_SET_MODE);
	q.setattr.mode = 06777;
	ok(s->v, q);
}

/* ---- how it is looked at */

static void assert_gone(struct scene *s, const char *name)
{
	assert_int_equal(err(s->v, ask_lookup(s->dir, name)), ENOENT);
}

static void assert_at(struct scene *s, const char *name, struct csv_handle h)
{
	assert_same(handle_at(s->v, s->dir, name), h);
}

/* The first byte of each block, '.' for zero. */
static void assert_blocks(struct scene *s, struct csv_handle h, const char *letters)
{
	assert_int_equal(attr_of(s->v, h).size, strlen(letters) * BLOCK);
	for (size_t i = 0; letters[i]; i++) {
		struct csv_reply p = ok(s->v, ask_read(h, i * BLOCK, 1));

		assert_int_equal(p.bytes.data.data[0] ? p.bytes.data.data[0] : '.', letters[i]);
	}
}

static void is_the_new_name(struct scene *s, const struct csv_reply *p)
{
	struct csv_attr a = attr_of(s->v, p->entry.handle);

	assert_at(s, "new", p->entry.handle);
	assert_int_equal(p->entry.attr.mode, a.mode);
	assert_int_equal(p->entry.attr.nlink, a.nlink);
	assert_int_equal(p->entry.attr.uid, a.uid);
}

static void a_is_gone(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_gone(s, "a");
	assert_int_equal(err(s->v, ask_getattr(s->a)), ESTALE);
}

static void a_lives_without_a_name(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_gone(s, "a");
	assert_content(s->v, s->a, "abc");
	assert_int_equal(attr_of(s->v, s->a).nlink, 0);
}

/* ---- names */

static struct csv_request mkdir_new(const struct scene *s)
{
	struct csv_request q = ask_mkdir(s->dir, "new", 0775);

	q.caller = (struct csv_caller){.uid = 1000, .gid = 1000, .umask = 022};
	return q;
}

static void mkdir_happens_once(void **state)
{
	survives(*state, ACT(nothing, mkdir_new, is_the_new_name));
}

static struct csv_request mknod_new(const struct scene *s)
{
	return ask_mknod(s->dir, "new", S_IFIFO | 0644, 0);
}

static void mknod_happens_once(void **state)
{
	survives(*state, ACT(nothing, mknod_new, is_the_new_name));
}

static struct csv_request symlink_new(const struct scene *s)
{
	return ask_symlink(s->dir, "new", "target");
}

static void symlink_happens_once(void **state)
{
	survives(*state, ACT(nothing, symlink_new, is_the_new_name));
}

static struct csv_request create_new(const struct scene *s)
{
	return ask_create(s->dir, "new", 0644, true);
}

/* It counts as open by the mount that has sent it, as its orphan shows after the reaping. */
static void is_new_and_open(struct scene *s, const struct csv_reply *p)
{
	struct csv_handle h = p->entry.handle;

	is_the_new_name(s, p);
	if (!s->is_recovered)
		return;
	ok(s->v, ask_unlink(s->dir, "new"));
	assert_int_equal(attr_of(s->v, h).nlink, 0);
	assert_int_equal(err_of(s->v, MOUNT, ask_release(h)), 0);
	assert_int_equal(err(s->v, ask_getattr(h)), ESTALE);
}

static void create_happens_once_and_counts_as_open(void **state)
{
	survives(*state, ACT(nothing, create_new, is_new_and_open));
}

static struct csv_request create_a(const struct scene *s)
{
	return ask_create(s->dir, "a", 0644, false);
}

static void is_a(struct scene *s, const struct csv_reply *p)
{
	assert_same(p->entry.handle, s->a);
	assert_content(s->v, s->a, "abc");
}

static void create_of_what_exists_opens_it_once(void **state)
{
	survives(*state, ACT(a_file, create_a, is_a, .has_no_intent = true));
}

static struct csv_request unlink_a(const struct scene *s)
{
	return ask_unlink(s->dir, "a");
}

/* Before the reaping, it is an orphan that nobody has open. */
static void a_is_unlinked(struct scene *s, const struct csv_reply *p)
{
	assert_gone(s, "a");
	if (s->is_recovered)
		a_is_gone(s, p);
}

static void unlink_happens_once(void **state)
{
	survives(*state, ACT(a_file, unlink_a, a_is_unlinked));
}

static void unlink_of_an_open_file_makes_one_orphan(void **state)
{
	survives(*state, ACT(an_open_file, unlink_a, a_lives_without_a_name, .has_middle = true));
}

static struct csv_request rmdir_a(const struct scene *s)
{
	return ask_rmdir(s->dir, "a");
}

static void rmdir_happens_once(void **state)
{
	survives(*state, ACT(a_directory, rmdir_a, a_is_gone));
}

static void a_is_there(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_at(s, "a", s->a);
	ok(s->v, ask_lookup(s->a, "in"));
}

static void an_error_of_the_operation_is_its_result(void **state)
{
	survives(*state, ACT(a_directory_with_a_file, rmdir_a, a_is_there, .error = ENOTEMPTY));
}

static struct csv_request link_a(const struct scene *s)
{
	return ask_link(s->a, s->dir, "new");
}

static void a_has_two_names(struct scene *s, const struct csv_reply *p)
{
	is_the_new_name(s, p);
	assert_same(p->entry.handle, s->a);
	assert_int_equal(p->entry.attr.nlink, 2);
}

static void link_happens_once(void **state)
{
	survives(*state, ACT(a_file, link_a, a_has_two_names));
}

static struct csv_request rename_a(const struct scene *s)
{
	return ask_rename(s->dir, "a", s->v->root, "moved", 0);
}

static void a_has_moved(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_gone(s, "a");
	assert_same(handle_at(s->v, s->v->root, "moved"), s->a);
}

static void rename_happens_once(void **state)
{
	survives(*state, ACT(a_file, rename_a, a_has_moved));
}

static struct csv_request rename_b_to_a(const struct scene *s)
{
	return ask_rename(s->dir, "b", s->dir, "a", 0);
}

static void b_is_at_a(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_gone(s, "b");
	assert_at(s, "a", s->b);
	assert_content(s->v, s->b, "xyz");
}

static void rename_over_a_file_happens_once(void **state)
{
	survives(*state, ACT(two_files, rename_b_to_a, b_is_at_a));
}

static void b_is_at_a_and_a_lives(struct scene *s, const struct csv_reply *p)
{
	b_is_at_a(s, p);
	assert_content(s->v, s->a, "abc");
	assert_int_equal(attr_of(s->v, s->a).nlink, 0);
}

static void rename_over_an_open_file_makes_one_orphan(void **state)
{
	survives(*state, ACT(an_open_file_and_another, rename_b_to_a, b_is_at_a_and_a_lives,
			     .has_middle = true));
}

static struct csv_request exchange(const struct scene *s)
{
	return ask_rename(s->dir, "a", s->dir, "b", RENAME_EXCHANGE);
}

static void are_exchanged(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_at(s, "a", s->b);
	assert_at(s, "b", s->a);
}

static void exchange_happens_once(void **state)
{
	survives(*state, ACT(two_files, exchange, are_exchanged));
}

static void both_names_are_there(struct scene *s, const struct csv_reply *p)
{
	(void)p;
	assert_at(s, "a", s->a);
	assert_at(s, "b", s->a);
}

static void rename_of_two_names_of_one_inode_does_nothing(void **state)
{
	survives(*state, ACT(two_names, rename_b_to_a, both_names_are_there));
}

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

/* ---- what a mount must not do */

static void another_request_under_a_number_that_is_taken_is_refused(void **state)
{
	struct volume *v = *state;
	struct csv_request q = ask_mkdir(v->root, "x", 0755);
	struct csv_reply p;

	q.seq = ++v->seq[MOUNT][0];
	assert_int_equal(backing_execute(v->b, MOUNT, &q, BACKING_NEW, &p, buf), 0);
	q = ask_rmdir(v->root, "x");
	q.seq = v->seq[MOUNT][0];
	assert_int_equal(backing_execute(v->b, MOUNT, &q, BACKING_REPLAY, &p, buf), 0);
	assert_int_equal(p.error, EPROTO);
	assert_int_equal(backing_execute(v->b, MOUNT, &q, BACKING_REDO, &p, buf), 0);
	assert_int_equal(p.error, EPROTO);
	ok(v, ask_lookup(v->root, "x"));
}

static void nothing_is_answered_once_the_disk_has_failed(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "abc");
	struct csv_request q[] = {ask_getattr(h), ask_write(h, 0, 0, "x", 1),
				  ask_mkdir(v->root, "d", 0755), ask_read(h, 0, 3)};
	struct csv_reply p;

	volume_stop(v);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(q); i++) {
		q[i].seq = ++v->seq[MOUNT][0];
		assert_int_equal(backing_execute(v->b, MOUNT, &q[i], BACKING_NEW, &p, buf), -EIO);
	}
	volume_close(v);
	volume_open(v);
	assert_content(v, h, "abc");
}

#define T(name) cmocka_unit_test_setup_teardown(name, volume_setup, volume_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(mkdir_happens_once),
		T(mknod_happens_once),
		T(symlink_happens_once),
		T(create_happens_once_and_counts_as_open),
		T(create_of_what_exists_opens_it_once),
		T(unlink_happens_once),
		T(unlink_of_an_open_file_makes_one_orphan),
		T(rmdir_happens_once),
		T(an_error_of_the_operation_is_its_result),
		T(link_happens_once),
		T(rename_happens_once),
		T(rename_over_a_file_happens_once),
		T(rename_over_an_open_file_makes_one_orphan),
		T(exchange_happens_once),
		T(rename_of_two_names_of_one_inode_does_nothing),
		T(setattr_happens),
		T(setxattr_of_a_new_one_happens_once),
		T(setxattr_of_an_old_one_happens),
		T(setxattr_of_a_big_one_happens),
		T(removexattr_happens_once),
		T(write_happens),
		T(append_happens_once),
		T(collapse_happens_once),
		T(insert_happens_once),
		T(punch_happens),
		T(zero_happens),
		T(reserve_happens),
		T(clone_happens),
		T(copy_within_a_file_happens),
		T(another_request_under_a_number_that_is_taken_is_refused),
		T(nothing_is_answered_once_the_disk_has_failed),
	};
	const char *why = volume_begin();

	if (why) {
		printf("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
