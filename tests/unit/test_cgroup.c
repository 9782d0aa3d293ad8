/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control groups beside ours and below, and children in them, in a real cgroup v2 hierarchy:
 * mounted for this process alone, and this process in a group of its own below a folder of its own.
 * Root only.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
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
#include "lib/run_child.h"

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

/* ---- a group that can be killed */

/* Until nobody is alive in it; what was killed needs a moment to end. */
static bool becomes_empty(const char *name)
{
	for (int i = 0; i < 500; i++) {
		if (!cgroup_is_populated_beside(name))
			return true;
		usleep(10 * 1000);
	}
	return false;
}

static pid_t spawn(const char *script, int procs)
{
	const char *const argv[] = {"sh", "-c", script, NULL}, *const envp[] = {NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct run_child c = {.path = "/bin/sh",
			      .argv = argv,
			      .envp = envp,
			      .in = -1,
			      .out = null,
			      .err = null,
			      .procs = procs};
	pid_t pid = 0;

	assert_true(null > STDERR_FILENO && procs > STDERR_FILENO);
	assert_int_equal(run_child_spawn(&c, &pid), 0);
	close(null);
	return pid;
}

/* A daemon of its own session, which its starter does not wait for. */
static void only_a_service_gets_a_group_of_its_own_below(void **state)
{
	char service[128], below[160];

	(void)state;
	assert_int_equal(cgroup_enter_own("main"), 0);
	assert_in(getpid(), ours);
	snprintf(service, sizeof(service), "%s/x.service", top);
	snprintf(below, sizeof(below), "%s/main", service);
	assert_int_equal(mkdir(service, 0755), 0);
	assert_int_equal(join(service, getpid()), 0);
	assert_int_equal(cgroup_enter_own("main"), 0);
	assert_in(getpid(), below);
	assert_int_equal(cgroup_enter_own("main"), 0); /* it is there already */
	assert_in(getpid(), below);
	assert_int_equal(join(ours, getpid()), 0);
	assert_int_equal(rmdir(below), 0);
	assert_int_equal(rmdir(service), 0);
}

static void what_a_child_leaves_behind_is_found_and_killed(void **state)
{
	int procs = cgroup_open_beside("beside"), status;
	pid_t pid;

	(void)state;
	assert_true(procs >= 0);
	assert_int_equal(cgroup_is_populated_beside("beside"), 0);
	pid = spawn("setsid sleep 1000 & exit 7", procs);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	assert_int_equal(cgroup_is_populated_beside("beside"), 1);
	assert_int_equal(cgroup_remove_beside("beside"), -EBUSY);
	assert_int_equal(cgroup_kill_beside("beside"), 0);
	assert_true(becomes_empty("beside"));
	assert_int_equal(cgroup_remove_beside("beside"), 0);
	assert_in(getpid(), ours);
	close(procs);
}

static void a_group_that_is_not_there_is_empty_and_killed_at_once(void **state)
{
	(void)state;
	assert_int_equal(cgroup_is_populated_beside("beside"), 0);
	assert_int_equal(cgroup_kill_beside("beside"), 0);
	assert_int_equal(access(beside, F_OK), -1);
}

/* Its own session, no descriptor of ours, no signal blocked or ignored. */
static void the_child_gets_what_run_promises(void **state)
{
	int procs = cgroup_open_beside("beside"), status;
	sighandler_t before = signal(SIGUSR1, SIG_IGN);
	pid_t pid;

	(void)state;
	pid = spawn("[ $PWD = / ] || exit 1\n"
		    "[ $(ls /proc/$$/fd | wc -l) -le 4 ] || exit 2\n"
		    "kill -USR1 $$; exit 3",
		    procs);
	assert_in(pid, beside);
	assert_int_equal(getsid(pid), pid);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
	signal(SIGUSR1, before);
	close(procs);
	assert_int_equal(cgroup_remove_beside("beside"), 0);
}

static void a_program_that_is_not_there_is_an_error_and_leaves_no_child(void **state)
{
	const char *const argv[] = {"x", NULL}, *const envp[] = {NULL};
	int procs = cgroup_open_beside("beside"), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct run_child c = {.path = "/nonexistent",
			      .argv = argv,
			      .envp = envp,
			      .in = -1,
			      .out = null,
			      .err = null,
			      .procs = procs};
	pid_t pid = 77;

	(void)state;
	assert_int_equal(run_child_spawn(&c, &pid), -ENOENT);
	assert_int_equal(pid, 77);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	close(procs);
	close(null);
	assert_int_equal(cgroup_remove_beside("beside"), 0);
}

static void a_group_that_is_not_to_be_joined_is_an_error(void **state)
{
	const char *const argv[] = {"true", NULL}, *const envp[] = {NULL};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct run_child c = {.path = "/bin/true",
			      .argv = argv,
			      .envp = envp,
			      .in = -1,
			      .out = null,
			      .err = null,
			      .procs = null};
	pid_t pid = 77;

	(void)state;
	assert_int_equal(run_child_spawn(&c, &pid), -EBADF);
	assert_int_equal(pid, 77);
	close(null);
}

/* The hierarchy of version 1 is what systems without ours have at that place. */
static void without_cgroup_v2_there_is_none(void **state)
{
	(void)state;
	assert_int_equal(mount("tmpfs", ROOT, "tmpfs", 0, NULL), 0);
	assert_int_equal(cgroup_put_beside("beside", getpid(), NULL, 0), -ENOENT);
	assert_int_equal(cgroup_remove_beside("beside"), -ENOENT);
	assert_int_equal(cgroup_open_beside("beside"), -ENOENT);
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
		cmocka_unit_test(only_a_service_gets_a_group_of_its_own_below),
		cmocka_unit_test(what_a_child_leaves_behind_is_found_and_killed),
		cmocka_unit_test(a_group_that_is_not_there_is_empty_and_killed_at_once),
		cmocka_unit_test(the_child_gets_what_run_promises),
		cmocka_unit_test(a_program_that_is_not_there_is_an_error_and_leaves_no_child),
		cmocka_unit_test(a_group_that_is_not_to_be_joined_is_an_error),
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
