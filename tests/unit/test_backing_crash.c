/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Crashes of what makes, removes and moves names; and of the disk. */
#include "tests/unit/backing_crash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/must.h"

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

/* ---- what a mount must not do */

static uint8_t buf[CSV_FRAME_MAX];

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
	struct csv_handle gone = file_with(v, v->root, "gone", "");
	/* Of what it does not have in memory the kernel says ESTALE now. */
	struct csv_request q[] = {ask_getattr(gone), ask_getattr(h), ask_write(h, 0, 0, "x", 1),
				  ask_mkdir(v->root, "d", 0755), ask_read(h, 0, 3)};
	struct csv_reply p;

	ok(v, ask_unlink(v->root, "gone"));
	assert_int_equal(err(v, ask_getattr(gone)), ESTALE);
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
