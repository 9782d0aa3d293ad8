/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lib/mountinfo: lines as the kernel may write them, and real mounts in a namespace of our own. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/mountinfo.h"

static char top[64]; /* the folder of this test */

/* ---- helpers */

static FILE *lines(const char *text)
{
	FILE *f = fmemopen((void *)(uintptr_t)text, strlen(text), "r");

	assert_non_null(f);
	return f;
}

static void mount_at(const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", top, name);
	assert_true(!mkdir(path, 0755) || errno == EEXIST);
	assert_int_equal(mount("what", path, "tmpfs", 0, "size=64k"), 0);
}

/* ---- tests */

static void an_entry_has_its_path_type_and_source(void **state)
{
	_cleanup_fclose_ FILE *f = lines(
		"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
		"40 35 0:50 / /cluster/vol rw,nosuid - fuse.csvfs vol rw,user_id=0\n");
	struct mountinfo m;

	(void)state;
	assert_true(mountinfo_next(f, &m));
	assert_string_equal(m.at, "/mnt2");
	assert_string_equal(m.type, "ext3");
	assert_string_equal(m.source, "/dev/root");
	assert_true(mountinfo_next(f, &m));
	assert_string_equal(m.at, "/cluster/vol");
	assert_string_equal(m.type, "fuse.csvfs");
	assert_false(mountinfo_next(f, &m));
}

static void what_the_kernel_escapes_comes_as_it_is(void **state)
{
	_cleanup_fclose_ FILE *f =
		lines("36 35 0:9 / /a\\040b\\134c\\011d rw - tmpfs the\\040source rw\n");
	struct mountinfo m;

	(void)state;
	assert_true(mountinfo_next(f, &m));
	assert_string_equal(m.at, "/a b\\c\td");
	assert_string_equal(m.source, "the source");
}

static void a_line_that_is_none_is_passed_over(void **state)
{
	_cleanup_fclose_ FILE *f = lines("nonsense\n"
					 "36 35 0:9 / /short - \n"
					 "\n"
					 "36 35 0:9 / /good rw - tmpfs t rw\n");
	struct mountinfo m;

	(void)state;
	assert_true(mountinfo_next(f, &m));
	assert_string_equal(m.at, "/good");
	assert_false(mountinfo_next(f, &m));
}

static void the_last_mount_at_a_path_is_found(void **state)
{
	char path[128];
	struct mountinfo m;

	(void)state;
	mount_at("a b", path, sizeof(path));
	assert_int_equal(mount("upper", path, "ramfs", 0, NULL), 0);
	assert_true(mountinfo_at(path, &m));
	assert_string_equal(m.type, "ramfs");
	assert_int_equal(umount(path), 0);
	assert_true(mountinfo_at(path, &m));
	assert_string_equal(m.type, "tmpfs");
	assert_int_equal(umount(path), 0);
	assert_false(mountinfo_at(path, &m));
}

/* Other types stay, and so does what is of that type elsewhere: this is a namespace of our own. */
static void all_of_a_type_are_detached_whatever_their_names(void **state)
{
	static const char *const names[] = {"plain", "with space", "back\\slash", "tab\t"};
	char path[4][128], other[128];
	struct mountinfo m;

	(void)state;
	for (int i = 0; i < 4; i++) {
		mount_at(names[i], path[i], sizeof(path[i]));
		assert_int_equal(mount("r", path[i], "ramfs", 0, NULL), 0);
	}
	/* Twice at one path. */
	assert_int_equal(mount("r", path[1], "ramfs", 0, NULL), 0);
	mount_at("other", other, sizeof(other));
	mountinfo_detach("ramfs");
	for (int i = 0; i < 4; i++) {
		assert_true(mountinfo_at(path[i], &m));
		assert_string_equal(m.type, "tmpfs");
		assert_int_equal(umount(path[i]), 0);
	}
	assert_true(mountinfo_at(other, &m));
	assert_int_equal(umount(other), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_has_its_path_type_and_source),
		cmocka_unit_test(what_the_kernel_escapes_comes_as_it_is),
		cmocka_unit_test(a_line_that_is_none_is_passed_over),
		cmocka_unit_test(the_last_mount_at_a_path_is_found),
		cmocka_unit_test(all_of_a_type_are_detached_whatever_their_names),
	};
	int r;

	if (geteuid() || unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		printf("skipped: only root has a mount namespace of its own\n");
		return 77;
	}
	snprintf(top, sizeof(top), "/tmp/test_mountinfo.%d", (int)getpid());
	assert_int_equal(mkdir(top, 0700), 0);
	assert_int_equal(mount("top", top, "tmpfs", 0, NULL), 0);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	umount2(top, MNT_DETACH);
	rmdir(top);
	return r;
}
