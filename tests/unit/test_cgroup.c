/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A control group beside ours, in a real cgroup v2 hierarchy: mounted for this process alone, and
 * this process in a group of its own below a folder of its own. Root only.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"

#define ROOT "/sys/fs/cgroup"
#define DEEP 6 /* groups of DEEP_NAME below each other: more than CGROUP_PATH_MAX */

static const char deep_name[] =
	"a-hundred-characters-which-is-less-than-a-name-may-have-and-six-of-them-are-more-than-a-"
	"path-may-have";
static char home[256];	/* the group that this process was in */
static char top[64];	/* the folder of this test */
static char ours[96];	/* the group of this process */
static char beside[96]; /* what the tests make */

/* ---- helpers */

static int join(const char *group, pid_t pid)
{
	char path[CGROUP_PATH_MAX * 2], text[16];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	snprintf(text, sizeof(text), "%d", (int)pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* The path of a process's group, below ROOT. */
static void group_of(pid_t pid, char *ret, size_t size)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[4096];

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	f = fopen(path, "re");
	ret[0] = 0;
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "0::/", 4) == 0)
			snprintf(ret, size, "%s%s", ROOT, line[4] ? line + 3 : "");
	}
}

static void deep_path(int depth, char *path, size_t size)
{
	size_t at = (size_t)snprintf(path, size, "%s", ours);

	for (int i = 0; i < depth && at < size; i++)
		at += (size_t)snprintf(path + at, size - at, "/%s", deep_name);
}

/* NULL, or why not. */
static const char *begin(void)
{
	if (geteuid())
		return "only root makes control groups";
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return "there is no mount namespace for it";
	if (mount("cgroup2", ROOT, "cgroup2", 0, NULL))
		return "the kernel has no cgroup v2";
	group_of(getpid(), home, sizeof(home));
	snprintf(top, sizeof(top), "%s/test_cgroup.%d", ROOT, (int)getpid());
	snprintf(ours, sizeof(ours), "%s/ours", top);
	snprintf(beside, sizeof(beside), "%s/beside", top);
	if (!home[0] || mkdir(top, 0755) || mkdir(ours, 0755))
		return "no group can be made in the hierarchy";
	return join(ours, getpid()) ? "this process cannot go to another group" : NULL;
}

static void end(void)
{
	char path[CGROUP_PATH_MAX * 2];

	if (!top[0])
		return;
	join(home, getpid());
	for (int depth = DEEP; depth > 0; depth--) {
		deep_path(depth, path, sizeof(path));
		rmdir(path);
	}
	rmdir(beside);
	rmdir(ours);
	rmdir(top);
}

/* A process that waits; killed and waited for by reap(). */
static pid_t child(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		for (;;)
			pause();
	}
	return pid;
}

static void reap(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void assert_in(pid_t pid, const char *group)
{
	char now[CGROUP_PATH_MAX * 4];

	group_of(pid, now, sizeof(now));
	assert_string_equal(now, group);
}

/* ---- tests */

static void a_process_is_put_into_a_new_group_beside_ours(void **state)
{
	char path[CGROUP_PATH_MAX] = "";
	pid_t pid = child();

	(void)state;
	assert_in(pid, ours);
	assert_int_equal(cgroup_put_beside("beside", pid, path, sizeof(path)), 0);
	assert_string_equal(path, beside);
	assert_in(pid, beside);
	assert_in(getpid(), ours);
	reap(pid);
	assert_int_equal(cgroup_remove_beside("beside"), 0);
	assert_int_equal(access(beside, F_OK), -1);
}

static void a_group_that_is_there_takes_more(void **state)
{
	pid_t one = child(), two = child();

	(void)state;
	assert_int_equal(cgroup_put_beside("beside", one, NULL, 0), 0);
	assert_int_equal(cgroup_put_beside("beside", two, NULL, 0), 0);
	assert_in(one, beside);
	assert_in(two, beside);
	assert_int_equal(cgroup_remove_beside("beside"), -EBUSY);
	reap(one);
	assert_int_equal(cgroup_remove_beside("beside"), -EBUSY);
	reap(two);
	assert_int_equal(cgroup_remove_beside("beside"), 0);
}

static void a_group_that_is_not_there_cannot_be_removed(void **state)
{
	(void)state;
	assert_int_equal(cgroup_remove_beside("beside"), -ENOENT);
}

static void a_process_that_is_not_there_is_refused(void **state)
{
	char path[CGROUP_PATH_MAX] = "untouched";
	pid_t pid = child();

	(void)state;
	reap(pid);
	assert_int_equal(cgroup_put_beside("beside", pid, path, sizeof(path)), -ESRCH);
	assert_string_equal(path, "untouched");
	assert_int_equal(cgroup_remove_beside("beside"), 0);
}

static void a_name_that_does_not_fit_is_refused(void **state)
{
	char name[CGROUP_PATH_MAX];

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	assert_int_equal(cgroup_put_beside(name, getpid(), NULL, 0), -ENAMETOOLONG);
	assert_in(getpid(), ours);
}

/* A path that was cut would name the group beside one of our ancestors. */
static void a_group_of_ours_that_is_too_deep_is_refused(void **state)
{
	char path[CGROUP_PATH_MAX * 2];

	(void)state;
	for (int depth = 1; depth <= DEEP; depth++) {
		deep_path(depth, path, sizeof(path));
		assert_int_equal(mkdir(path, 0755), 0);
	}
	assert_int_equal(join(path, getpid()), 0);
	assert_int_equal(cgroup_put_beside("beside", getpid(), NULL, 0), -ENAMETOOLONG);
	assert_int_equal(cgroup_remove_beside("beside"), -ENAMETOOLONG);
	assert_in(getpid(), path);
	assert_int_equal(join(ours, getpid()), 0);
}

/* The hierarchy of version 1 is what systems without ours have at that place. */
static void without_cgroup_v2_there_is_none(void **state)
{
	(void)state;
	assert_int_equal(mount("tmpfs", ROOT, "tmpfs", 0, NULL), 0);
	assert_int_equal(cgroup_put_beside("beside", getpid(), NULL, 0), -ENOENT);
	assert_int_equal(cgroup_remove_beside("beside"), -ENOENT);
	assert_int_equal(umount(ROOT), 0);
	assert_in(getpid(), ours);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_is_put_into_a_new_group_beside_ours),
		cmocka_unit_test(a_group_that_is_there_takes_more),
		cmocka_unit_test(a_group_that_is_not_there_cannot_be_removed),
		cmocka_unit_test(a_process_that_is_not_there_is_refused),
		cmocka_unit_test(a_name_that_does_not_fit_is_refused),
		cmocka_unit_test(a_group_of_ours_that_is_too_deep_is_refused),
		cmocka_unit_test(without_cgroup_v2_there_is_none),
	};
	const char *why = begin();
	int r = 77;

	if (why)
		printf("skipped: %s\n", why);
	else
		r = cmocka_run_group_tests(tests, NULL, NULL);
	end();
	return r;
}
