/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's file system: what is hidden, what is open, what a mount leaves behind, reading
 * of directories, and many threads at once.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/prng.h"
#include "lib/wire.h"
#include "tests/unit/backing_fixture.h"

#define THREADS 8

static int orphans(struct volume *v)
{
	DIR *d = fdopendir(volume_peek(v, ".csv/orphans", O_RDONLY | O_DIRECTORY));
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* ---- what is hidden */

static void the_hidden_directory_is_not_there_and_cannot_be_made(void **state)
{
	struct volume *v = *state;
	struct csv_handle f = file_with(v, v->root, "f", ""), d = dir_at(v, v->root, "d");

	assert_int_equal(err(v, ask_lookup(v->root, ".csv")), ENOENT);
	assert_int_equal(err(v, ask_rmdir(v->root, ".csv")), ENOENT);
	assert_int_equal(err(v, ask_unlink(v->root, ".csv")), ENOENT);
	assert_int_equal(err(v, ask_rename(v->root, ".csv", v->root, "x", 0)), ENOENT);
	assert_int_equal(err(v, ask_mkdir(v->root, ".csv", 0755)), EACCES);
	assert_int_equal(err(v, ask_create(v->root, ".csv", 0644, false)), EACCES);
	assert_int_equal(err(v, ask_link(f, v->root, ".csv")), EACCES);
	assert_int_equal(err(v, ask_rename(v->root, "f", v->root, ".csv", 0)), EACCES);
	assert_int_equal(err(v, ask_rename(v->root, "f", v->root, ".csv", RENAME_EXCHANGE)),
			 EACCES);
	/* The root has the links of a directory with one directory in it. */
	assert_int_equal(attr_of(v, v->root).nlink, 3);
	/* Elsewhere, it is a name like any other. */
	dir_at(v, d, ".csv");
	ok(v, ask_lookup(d, ".csv"));
}

static struct csv_handle handle_below(struct volume *v, const char *path)
{
	struct {
		struct file_handle head;
		uint8_t byte[32];
	} k = {.head.handle_bytes = 32};
	_cleanup_close_ int fd = volume_peek(v, path, O_PATH);
	struct csv_handle h;
	int mount;

	assert_int_equal(name_to_handle_at(fd, "", &k.head, &mount, AT_EMPTY_PATH), 0);
	memcpy(&h.ino, k.head.f_handle, sizeof(h.ino));
	memcpy(&h.gen, k.head.f_handle + sizeof(h.ino), sizeof(h.gen));
	return h;
}

static void handles_below_the_hidden_directory_are_stale(void **state)
{
	static const char *const path[] = {".csv",
					   ".csv/sessions",
					   ".csv/orphans",
					   ".csv/reserve",
					   ".csv/sessions/0000000000000001",
					   ".csv/sessions/0000000000000001/0"};
	struct volume *v = *state;
	struct csv_handle f = file_with(v, v->root, "f", "");

	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < MUST_ARRAY_SIZE(path); i++) {
			struct csv_handle h = handle_below(v, path[i]);

			assert_int_equal(err(v, ask_getattr(h)), ESTALE);
			assert_int_equal(err(v, ask_lookup(h, "x")), ESTALE);
			assert_int_equal(err(v, ask_readdir(h, 0, 4096, false)), ESTALE);
			assert_int_equal(err(v, ask_write(h, 0, 0, "x", 1)), ESTALE);
			assert_int_equal(err(v, ask_open(h, O_RDONLY)), ESTALE);
			assert_int_equal(err(v, ask_link(h, v->root, "x")), ESTALE);
			assert_int_equal(err(v, ask_rename(v->root, "f", h, "x", 0)), ESTALE);
			assert_int_equal(err(v, ask_removexattr(h, "trusted.csv")), ESTALE);
		}
		/* What was there before this coordinator is hidden, too. */
		volume_close(v);
		volume_open(v);
	}
	assert_same(handle_at(v, v->root, "f"), f);
}

/* ---- what is open */

static void an_open_file_lives_on_without_a_name_until_its_last_release(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = ok(v, ask_create(v->root, "f", 0644, true)).entry.handle;

	ok(v, ask_write(h, 0, 0, "abc", 3));
	assert_int_equal(err_of(v, 2, ask_open(h, O_RDONLY)), 0);
	assert_int_equal(err_of(v, 3, ask_unlink(v->root, "f")), 0);
	assert_int_equal(err(v, ask_lookup(v->root, "f")), ENOENT);
	assert_int_equal(attr_of(v, h).nlink, 0);
	assert_int_equal(orphans(v), 1);
	ok(v, ask_write(h, 0, CSV_WRITE_APPEND, "de", 2));
	assert_content(v, h, "abcde");
	assert_int_equal(err(v, ask_link(h, v->root, "again")), ENOENT);
	ok(v, ask_release(h));
	assert_content(v, h, "abcde");
	assert_int_equal(err_of(v, 2, ask_release(h)), 0);
	assert_int_equal(orphans(v), 0);
	assert_int_equal(err(v, ask_getattr(h)), ESTALE);
	volume_check(v);
}

static void an_open_file_that_is_replaced_by_a_rename_lives_on(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "old", "abc");

	file_with(v, v->root, "new", "xyz");
	ok(v, ask_open(h, O_RDONLY));
	ok(v, ask_rename(v->root, "new", v->root, "old", 0));
	assert_content(v, h, "abc");
	assert_int_equal(attr_of(v, h).nlink, 0);
	assert_content(v, handle_at(v, v->root, "old"), "xyz");
	ok(v, ask_release(h));
	assert_int_equal(err(v, ask_getattr(h)), ESTALE);
	assert_int_equal(orphans(v), 0);
}

static void an_open_file_with_another_name_is_no_orphan(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "a", "abc");

	ok(v, ask_open(h, O_RDONLY));
	ok(v, ask_link(h, v->root, "b"));
	ok(v, ask_unlink(v->root, "a"));
	assert_int_equal(orphans(v), 0);
	assert_int_equal(attr_of(v, h).nlink, 1);
	ok(v, ask_unlink(v->root, "b"));
	assert_int_equal(orphans(v), 1);
	ok(v, ask_release(h));
	assert_int_equal(orphans(v), 0);
}

static void a_rename_that_fails_leaves_no_orphan(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "abc");

	dir_at(v, v->root, "d");
	ok(v, ask_open(h, O_RDONLY));
	assert_int_equal(err(v, ask_rename(v->root, "d", v->root, "f", 0)), ENOTDIR);
	assert_int_equal(orphans(v), 0);
	assert_int_equal(attr_of(v, h).nlink, 1);
	ok(v, ask_release(h));
	assert_content(v, h, "abc");
}

static void a_removed_directory_that_is_open_has_nothing_in_it(void **state)
{
	struct volume *v = *state;
	struct csv_handle d = dir_at(v, v->root, "d"), over = dir_at(v, v->root, "over");
	struct csv_request q = ask_setattr(d, CSV_SET_MODE);

	ok(v, ask_open(d, O_RDONLY | O_DIRECTORY));
	ok(v, ask_open(over, O_RDONLY | O_DIRECTORY));
	dir_at(v, d, "full");
	assert_int_equal(err(v, ask_rmdir(v->root, "d")), ENOTEMPTY);
	ok(v, ask_rmdir(d, "full"));
	ok(v, ask_rmdir(v->root, "d"));
	dir_at(v, v->root, "new");
	ok(v, ask_rename(v->root, "new", v->root, "over", 0));
	assert_int_equal(attr_of(v, over).nlink, 0);
	ok(v, ask_release(over));
	/* What it was is told; it has no entries, and gets none. */
	assert_int_equal(attr_of(v, d).nlink, 0);
	q.setattr.mode = 0711;
	assert_int_equal(ok(v, q).attr.attr.mode, S_IFDIR | 0711);
	ok(v, ask_open(d, O_RDONLY | O_DIRECTORY));
	ok(v, ask_release(d));
	assert_int_equal(err(v, ask_readdir(d, 0, 4096, false)), ENOENT);
	assert_int_equal(err(v, ask_lookup(d, "x")), ENOENT);
	assert_int_equal(err(v, ask_mkdir(d, "x", 0755)), ENOENT);
	assert_int_equal(err(v, ask_lookup(d, "..x")), ENOENT);
	ok(v, ask_release(d));
	assert_int_equal(err(v, ask_getattr(d)), ESTALE);
}

static void whatever_has_been_looked_up_can_be_kept(void **state)
{
	struct volume *v = *state;
	struct csv_handle h[] = {
		ok(v, ask_symlink(v->root, "a", "away")).entry.handle,
		ok(v, ask_mknod(v->root, "b", S_IFIFO | 0600, 0)).entry.handle,
		file_with(v, v->root, "c", "abc"),
	};
	static const char *const name[] = {"a", "b", "c"};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(h); i++) {
		ok(v, ask_open(h[i], O_PATH));
		ok(v, ask_unlink(v->root, name[i]));
		assert_int_equal(attr_of(v, h[i]).nlink, 0);
	}
	assert_int_equal(ok(v, ask_readlink(h[0])).bytes.data.len, 4);
	assert_int_equal(orphans(v), 3);
	ok(v, ask_open(h[2], O_RDWR));
	for (size_t i = 0; i < MUST_ARRAY_SIZE(h); i++)
		ok(v, ask_release(h[i]));
	assert_content(v, h[2], "abc");
	ok(v, ask_release(h[2]));
	assert_int_equal(orphans(v), 0);
}

static void orphans_wait_for_all_to_reclaim_and_then_go_if_nobody_has_them(void **state)
{
	struct volume *v = *state;
	struct csv_handle held = ok(v, ask_create(v->root, "held", 0644, true)).entry.handle,
			  lost = ok(v, ask_create(v->root, "lost", 0644, true)).entry.handle;

	ok(v, ask_write(held, 0, 0, "abc", 3));
	ok(v, ask_unlink(v->root, "held"));
	ok(v, ask_unlink(v->root, "lost"));
	volume_close(v);
	volume_open(v);
	assert_int_equal(orphans(v), 2);
	backing_opens_add(v->b, 1, &lost, 1);
	backing_opens_reset(v->b, 1); /* the mount tells anew */
	backing_opens_add(v->b, 1, &held, 2);
	assert_int_equal(backing_reap(v->b), 0);
	assert_int_equal(orphans(v), 1);
	assert_int_equal(err(v, ask_getattr(lost)), ESTALE);
	assert_int_equal(attr_of(v, held).nlink, 0);
	assert_content(v, held, "abc");
	ok(v, ask_release(held));
	assert_content(v, held, "abc");
	ok(v, ask_release(held));
	assert_int_equal(orphans(v), 0);
}

static void before_all_have_reclaimed_everything_that_is_unlinked_is_kept(void **state)
{
	struct volume *v = *state;
	struct csv_handle a = file_with(v, v->root, "a", "A"), b = file_with(v, v->root, "b", "B");

	volume_close(v);
	volume_open(v);
	ok(v, ask_unlink(v->root, "a"));
	ok(v, ask_unlink(v->root, "b"));
	/* Its OPEN was under way, and is sent again only now. */
	ok(v, ask_open(a, O_RDONLY));
	assert_int_equal(backing_reap(v->b), 0);
	assert_content(v, a, "A");
	assert_int_equal(err(v, ask_getattr(b)), ESTALE);
}

static void a_dropped_mount_leaves_neither_records_nor_orphans(void **state)
{
	struct volume *v = *state;
	struct csv_handle mine = file_with(v, v->root, "mine", "1"),
			  both = file_with(v, v->root, "both", "2"), again;

	assert_int_equal(err_of(v, 2, ask_open(mine, O_RDONLY)), 0);
	assert_int_equal(err_of(v, 2, ask_open(both, O_RDONLY)), 0);
	ok(v, ask_open(both, O_RDONLY));
	assert_int_equal(err_of(v, 2, ask_unlink(v->root, "mine")), 0);
	assert_int_equal(err_of(v, 2, ask_unlink(v->root, "both")), 0);
	assert_int_equal(backing_drop(v->b, 2, true), 0);
	assert_int_equal(err(v, ask_getattr(mine)), ESTALE);
	assert_content(v, both, "2");
	assert_int_equal(orphans(v), 1);
	again = handle_below(v, ".csv/sessions");
	assert_int_equal(err(v, ask_getattr(again)), ESTALE);
	assert_int_equal(backing_drop(v->b, 2, true), 0);
	assert_int_equal(backing_drop(v->b, 1, true), 0);
	assert_int_equal(orphans(v), 0);
	volume_check(v);
}

static void a_mount_that_is_dropped_in_recovery_leaves_its_orphans_to_the_reaping(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = ok(v, ask_create(v->root, "f", 0644, true)).entry.handle;

	ok(v, ask_unlink(v->root, "f"));
	volume_close(v);
	volume_open(v);
	backing_opens_add(v->b, 1, &h, 1);
	assert_int_equal(backing_drop(v->b, 1, false), 0);
	assert_int_equal(orphans(v), 1);
	assert_int_equal(backing_reap(v->b), 0);
	assert_int_equal(orphans(v), 0);
}

/* ---- records of mounts */

struct seen {
	size_t mounts, records;
	uint64_t mount, seq;
	uint16_t slot;
	bool is_done;
};

static void see_mount(void *arg, uint64_t mount)
{
	struct seen *s = arg;

	s->mounts++;
	s->mount = mount;
}

static void see_record(void *arg, uint64_t mount, uint16_t slot, uint64_t seq, bool is_done)
{
	*(struct seen *)arg = (struct seen){((struct seen *)arg)->mounts,
					    ((struct seen *)arg)->records + 1,
					    mount,
					    seq,
					    slot,
					    is_done};
}

static void the_last_change_of_each_slot_is_on_record(void **state)
{
	struct volume *v = *state;
	struct seen s = {0};
	struct csv_reply p;

	assert_int_equal(backing_mounts(v->b, see_mount, &s), 0);
	assert_int_equal(s.mounts, 0);
	assert_int_equal(err_of(v, 9, ask_lookup(v->root, "x")), ENOENT);
	assert_int_equal(volume_do(v, 9, 63, ask_mkdir(v->root, "x", 0755), &p), 0);
	assert_int_equal(volume_do(v, 9, 63, ask_mkdir(v->root, "y", 0755), &p), 0);
	/* Neither a query nor what cannot be done is a change. */
	assert_int_equal(volume_do(v, 9, 63, ask_lookup(v->root, "y"), &p), 0);
	assert_int_equal(volume_do(v, 9, 63, ask_mkdir(v->root, "y", 0755), &p), EEXIST);
	volume_close(v);
	volume_open(v);
	assert_int_equal(backing_mounts(v->b, see_mount, &s), 0);
	assert_int_equal(s.mounts, 1);
	assert_int_equal(backing_records(v->b, see_record, &s), 0);
	assert_int_equal(s.records, 1);
	assert_int_equal(s.mount, 9);
	assert_int_equal(s.slot, 63);
	assert_int_equal(s.seq, 2);
	assert_true(s.is_done);
}

static void drop_mount(void *arg, uint64_t mount)
{
	assert_int_equal(backing_drop(arg, mount, false), 0);
}

/* As a new coordinator does with what the cluster does not know any more. */
static void mounts_can_be_dropped_while_they_are_listed(void **state)
{
	struct volume *v = *state;
	struct seen s = {0};
	struct csv_reply p;

	for (uint64_t m = 1; m <= 3; m++) {
		const char name[] = {(char)('a' + m), 0};

		assert_int_equal(volume_do(v, m, 0, ask_mkdir(v->root, name, 0755), &p), 0);
	}
	assert_int_equal(backing_mounts(v->b, drop_mount, v->b), 0);
	assert_int_equal(backing_mounts(v->b, see_mount, &s), 0);
	assert_int_equal(s.mounts, 0);
}

static void a_volume_that_is_no_xfs_is_refused_with_a_reason(void **state)
{
	struct volume *v = *state;
	_cleanup_close_ int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct backing *b = NULL;
	char text[128] = "";

	(void)v;
	assert_int_equal(backing_open(fd, &b, text, sizeof(text)), -EINVAL);
	assert_string_equal(text, "the volume is not an XFS: Invalid argument");
	assert_null(b);
}

/* ---- directories */

/* Reads a whole directory in pieces of `size`; returns the number of entries but "." and "..". */
static size_t list(struct volume *v, struct csv_handle dir, uint32_t size, bool wants_attr,
		   void (*each)(struct volume *v, const struct csv_dirent *d))
{
	static _Thread_local uint8_t copy[CSV_IO_MAX];
	size_t count = 0, dots = 0;
	uint64_t offset = 0;
	bool is_end = false;

	while (!is_end) {
		struct csv_bytes data =
			ok(v, ask_readdir(dir, offset, size, wants_attr)).bytes.data;
		struct wire_reader r;

		assert_true(data.len <= size);
		memcpy(copy, data.data, data.len);
		wire_reader_init(&r, copy, data.len);
		is_end = !data.len;
		while (wire_reader_left(&r)) {
			struct csv_dirent d;

			csv_dirent_get(&r, &d);
			offset = d.next;
			if (!strcmp(d.name.text, ".") || !strcmp(d.name.text, "..")) {
				assert_false(d.has_attr);
				dots++;
				continue;
			}
			assert_int_equal(d.has_attr, wants_attr);
			count++;
			if (each)
				each(v, &d);
		}
		assert_int_equal(wire_reader_end(&r), 0);
	}
	assert_int_equal(dots, 2);
	return count;
}

static void check_attr(struct volume *v, const struct csv_dirent *d)
{
	struct csv_attr a = attr_of(v, d->handle);

	assert_memory_equal(&a, &d->attr, sizeof(a));
	assert_int_equal(a.ino, d->ino);
	assert_int_equal((a.mode & S_IFMT) >> 12, d->type);
}

static void a_directory_is_read_in_pieces_of_any_size(void **state)
{
	struct volume *v = *state;
	struct csv_handle d = dir_at(v, v->root, "d");
	char name[256];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	for (int i = 0; i < 300; i++) {
		snprintf(name + 200, 10, "%d", i);
		if (i % 3)
			name[210] = 'n'; /* long and shorter ones */
		dir_at(v, d, name);
	}
	assert_int_equal(list(v, d, CSV_IO_MAX, false, NULL), 300);
	assert_int_equal(list(v, d, 300, false, NULL), 300);
	assert_int_equal(list(v, d, 4096, true, NULL), 300);
	assert_int_equal(list(v, d, CSV_IO_MAX, true, NULL), 300);
	assert_int_equal(err(v, ask_readdir(d, 0, 10, false)), EINVAL);
	assert_int_equal(err(v, ask_readdir(d, UINT64_MAX, 4096, false)), EINVAL);
	assert_int_equal(err(v, ask_readdir(file_with(v, d, "f", ""), 0, 4096, false)), ENOTDIR);
}

static void the_root_shows_all_but_the_hidden_directory_with_attributes(void **state)
{
	struct volume *v = *state;

	dir_at(v, v->root, "d");
	file_with(v, v->root, "f", "abc");
	ok(v, ask_symlink(v->root, "l", "f"));
	ok(v, ask_mknod(v->root, "p", S_IFIFO | 0600, 0));
	assert_int_equal(list(v, v->root, 4096, true, check_attr), 4);
	assert_int_equal(list(v, v->root, 4096, false, NULL), 4);
}

static void what_is_removed_while_a_directory_is_read_disturbs_nothing_else(void **state)
{
	struct volume *v = *state;
	struct csv_handle dir = dir_at(v, v->root, "d");
	bool seen[500] = {0};
	uint64_t offset = 0;
	char name[16];

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		file_with(v, dir, name, "");
	}
	/* Reads one entry, goes on behind it, and removes it when it has an even number. */
	for (;;) {
		struct csv_bytes data = ok(v, ask_readdir(dir, offset, 64, false)).bytes.data;
		struct csv_dirent d;
		struct wire_reader r;
		int i;

		if (!data.len)
			break;
		wire_reader_init(&r, data.data, data.len);
		csv_dirent_get(&r, &d);
		offset = d.next;
		if (sscanf(d.name.text, "f%d", &i) != 1)
			continue;
		assert_false(seen[i]);
		seen[i] = true;
		if (i % 2 == 0)
			ok(v, ask_unlink(dir, d.name.text));
	}
	for (int i = 0; i < 500; i++)
		assert_true(seen[i]);
	assert_int_equal(list(v, dir, 4096, false, NULL), 250);
}

/* ---- many threads */

struct worker {
	struct volume *v;
	uint64_t mount;
	uint16_t slot;
	struct csv_handle h;
	struct csv_handle dir[4];
	pthread_t thread;
};

static void run_workers(struct volume *v, struct worker *all, void *(*work)(void *))
{
	for (size_t i = 0; i < THREADS; i++) {
		all[i].v = v;
		all[i].mount = 1 + i % 3;
		all[i].slot = (uint16_t)(10 + i);
		must(!pthread_create(&all[i].thread, NULL, work, &all[i]));
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(all[i].thread, NULL);
}

#define APPENDS 200

static void *append(void *arg)
{
	struct worker *w = arg;
	struct csv_reply p;
	char line[9];

	for (int i = 0; i < APPENDS; i++) {
		snprintf(line, sizeof(line), "%02u:%04d\n", w->slot, i);
		must(!volume_do(w->v, w->mount, w->slot,
				ask_write(w->h, 0, CSV_WRITE_APPEND, line, 8), &p));
		must(p.count.count == 8);
	}
	return NULL;
}

static void no_append_of_many_threads_is_lost(void **state)
{
	struct volume *v = *state;
	struct worker all[THREADS] = {0};
	int next[THREADS] = {0};
	struct csv_bytes data;

	for (size_t i = 0; i < THREADS; i++)
		all[i].h = i ? all[0].h : file_with(v, v->root, "log", "");
	run_workers(v, all, append);
	data = ok(v, ask_read(all[0].h, 0, CSV_IO_MAX)).bytes.data;
	assert_int_equal(data.len, 8 * APPENDS * THREADS);
	for (size_t at = 0; at < data.len; at += 8) {
		char line[9] = {0};
		int slot, i;

		memcpy(line, data.data + at, 8);
		assert_int_equal(sscanf(line, "%d:%d", &slot, &i), 2);
		assert_int_equal(next[slot - 10]++, i);
	}
}

#define SWAPS 300

/* Opens one of two names, which others open, exchange and remove, and counts on what it has open.
 */
static void *swap(void *arg)
{
	static const char *const name[] = {"x", "y"};
	struct worker *w = arg;
	struct csv_handle h;
	struct csv_reply p;
	struct prng r;

	prng_init(&r, w->slot);
	for (int i = 0; i < SWAPS; i++) {
		const char *a = name[prng_below(&r, 2)], *b = name[prng_below(&r, 2)];
		uint32_t flags = prng_chance(&r, 1, 2) ? RENAME_EXCHANGE : 0;

		must(!volume_do(w->v, w->mount, w->slot, ask_create(w->h, a, 0644, false), &p));
		h = p.entry.handle;
		volume_do(w->v, w->mount, w->slot, ask_rename(w->h, a, w->h, b, flags), &p);
		volume_do(w->v, w->mount, w->slot, ask_unlink(w->h, b), &p);
		must(!volume_do(w->v, w->mount, w->slot, ask_write(h, 0, 0, "x", 1), &p));
		must(!volume_do(w->v, w->mount, w->slot, ask_getattr(h), &p));
		must(!volume_do(w->v, w->mount, w->slot, ask_release(h), &p));
	}
	return NULL;
}

static void what_is_open_lives_however_names_are_exchanged_and_removed(void **state)
{
	struct volume *v = *state;
	struct csv_handle d = dir_at(v, v->root, "d");
	struct worker all[THREADS] = {0};

	for (size_t i = 0; i < THREADS; i++)
		all[i].h = d;
	run_workers(v, all, swap);
	assert_int_equal(orphans(v), 0);
	volume_check(v);
}

#define STORM 1500 /* operations of each thread: about two seconds in all */
#define NAMES 6

/* What a random operation may meet; anything else is a bug. */
static bool is_expected(int error)
{
	return !error || error == ENOENT || error == EEXIST || error == ENOTEMPTY ||
	       error == EINVAL || error == EISDIR || error == ENOTDIR || error == ESTALE ||
	       error == ELOOP;
}

static struct csv_request storm_change(struct prng *p, struct worker *w, struct csv_handle a,
				       struct csv_handle b, const char *x, const char *y)
{
	switch (prng_below(p, 9)) {
	case 0:
		return ask_create(a, x, 0644, prng_chance(p, 1, 2));
	case 1:
		return ask_mkdir(a, x, 0755);
	case 2:
		return ask_rmdir(a, x);
	case 3:
		return ask_link(w->h, a, x);
	case 4:
		return ask_rename(a, x, b, y, 0);
	case 5:
		return ask_rename(a, x, b, y, RENAME_EXCHANGE);
	case 6:
		return ask_rename(a, x, b, y, RENAME_NOREPLACE);
	case 7:
		return ask_write(w->h, prng_below(p, 9999), (uint32_t)prng_below(p, 4), "storm", 5);
	default:
		return ask_unlink(a, x);
	}
}

static struct csv_request storm_query(struct prng *p, struct worker *w, struct csv_handle a,
				      const char *x)
{
	switch (prng_below(p, 6)) {
	case 0:
		return ask_readdir(a, 0, 2000, true);
	case 1:
		return ask_getattr(w->h);
	case 2:
		return ask_read(w->h, 0, 1000);
	case 3:
		return ask_open(w->h, O_RDWR);
	case 4:
		return ask_release(w->h);
	default:
		return ask_lookup(a, x);
	}
}

static void *storm(void *arg)
{
	struct worker *w = arg;
	struct prng p;

	prng_init(&p, w->slot);
	for (int i = 0; i < STORM; i++) {
		struct csv_handle a = w->dir[prng_below(&p, 4)], b = w->dir[prng_below(&p, 4)];
		char x[] = {'a', 0}, y[] = {'a', 0};
		struct csv_reply r;
		bool changes = prng_chance(&p, 2, 3);

		x[0] = (char)('a' + (char)prng_below(&p, NAMES));
		y[0] = (char)('a' + (char)prng_below(&p, NAMES));
		volume_do(w->v, w->mount, w->slot,
			  changes ? storm_change(&p, w, a, b, x, y) : storm_query(&p, w, a, x), &r);
		if (!is_expected(r.error))
			fprintf(stderr, "storm: %s\n", strerror(r.error));
		must(is_expected(r.error));
		/* Goes on with what it has come across: directories move below each other. */
		if (!r.error && r.kind == CSV_REPLY_ENTRY) {
			if (S_ISDIR(r.entry.attr.mode))
				w->dir[prng_range(&p, 2, 3)] = r.entry.handle;
			else
				w->h = r.entry.handle;
		}
	}
	return NULL;
}

static void a_storm_of_changes_ends_and_leaves_a_sound_file_system(void **state)
{
	struct volume *v = *state;
	struct csv_handle d = dir_at(v, v->root, "a"), f = file_with(v, d, "b", "x");
	struct worker all[THREADS] = {0};

	for (size_t i = 0; i < THREADS; i++) {
		all[i].h = f;
		for (size_t k = 0; k < 4; k++)
			all[i].dir[k] = k % 2 ? d : v->root;
	}
	run_workers(v, all, storm);
	for (uint64_t m = 1; m <= 3; m++)
		assert_int_equal(backing_drop(v->b, m, true), 0);
	assert_int_equal(orphans(v), 0);
	volume_check(v);
}

#define T(name) cmocka_unit_test_setup_teardown(name, volume_setup, volume_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_hidden_directory_is_not_there_and_cannot_be_made),
		T(handles_below_the_hidden_directory_are_stale),
		T(an_open_file_lives_on_without_a_name_until_its_last_release),
		T(an_open_file_that_is_replaced_by_a_rename_lives_on),
		T(an_open_file_with_another_name_is_no_orphan),
		T(a_rename_that_fails_leaves_no_orphan),
		T(a_removed_directory_that_is_open_has_nothing_in_it),
		T(whatever_has_been_looked_up_can_be_kept),
		T(orphans_wait_for_all_to_reclaim_and_then_go_if_nobody_has_them),
		T(before_all_have_reclaimed_everything_that_is_unlinked_is_kept),
		T(a_dropped_mount_leaves_neither_records_nor_orphans),
		T(a_mount_that_is_dropped_in_recovery_leaves_its_orphans_to_the_reaping),
		T(the_last_change_of_each_slot_is_on_record),
		T(mounts_can_be_dropped_while_they_are_listed),
		T(a_volume_that_is_no_xfs_is_refused_with_a_reason),
		T(a_directory_is_read_in_pieces_of_any_size),
		T(the_root_shows_all_but_the_hidden_directory_with_attributes),
		T(what_is_removed_while_a_directory_is_read_disturbs_nothing_else),
		T(no_append_of_many_threads_is_lost),
		T(what_is_open_lives_however_names_are_exchanged_and_removed),
		T(a_storm_of_changes_ends_and_leaves_a_sound_file_system),
	};
	const char *why = volume_begin();

	if (why) {
		printf("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
