/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that serves a mount is killed while programs use it, with the real kernel: the next
 * one goes on, and nothing happens twice. The coordinator is in memory, clusterd is a thread. Needs
 * root, /dev/fuse and Linux 6.9.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/xattr.h>

#include "lib/cleanup.h"
#include "tests/unit/mount_fixture.h"

#define LOOPS	     100
#define TEST_SECONDS 300 /* nothing may be left mounted by a test that hangs */

static struct rig rig;

static int set_up(void **state)
{
	(void)state;
	rig_open(&rig, "30");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&rig);
	for (size_t i = 0; i < MEM_NODES; i++)
		assert_int_equal(rig.mem.node[i].opens, 0);
	return 0;
}

/* By its arguments: a holder that looks for leaks has a child for that, too. */
static bool serves(int pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[512];
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	f = fopen(path, "re");
	n = f ? fread(line, 1, sizeof(line) - 1, f) : 0;
	return memmem(line, n, "--held", strlen("--held")) != NULL;
}

/* The holder's child that serves; 0: there is none at the moment. */
static pid_t server_pid(void)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64];
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", rig_pid, rig_pid);
	f = fopen(path, "re");
	must(f);
	while (fscanf(f, "%d", &pid) == 1) {
		if (serves(pid))
			return pid;
	}
	return 0;
}

/* Who serves now is over, and another one has begun. */
static void kill_server(int number)
{
	pid_t old = server_pid(), now;

	must(old);
	kill(old, number);
	do {
		usleep(1000);
		now = server_pid();
	} while (!now || now == old);
}

/* Runs `what` in a process of its own: 0, or an errno. */
static pid_t begin(int (*what)(void))
{
	pid_t pid = fork();

	if (!pid)
		_exit(what() < 0 ? errno : 0);
	return pid;
}

static void expect_end(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0) == pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- each kind of change, with the process killed before and after it is done */

static int fd_of_test;

static int do_mkdir(void)
{
	return mkdir(at(&rig, "new"), 0700);
}

static int do_mknod(void)
{
	return mknod(at(&rig, "new"), S_IFIFO | 0600, 0);
}

static int do_symlink(void)
{
	return symlink("target", at(&rig, "new"));
}

static int do_create(void)
{
	int fd = open(at(&rig, "new"), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	return fd < 0 || write(fd, "x", 1) != 1 ? -1 : close(fd);
}

static int do_open(void)
{
	char c;
	int fd = open(at(&rig, "file"), O_RDWR | O_CLOEXEC);

	return fd < 0 || pread(fd, &c, 1, 0) != 1 || c != 'o' ? -1 : close(fd);
}

static int do_unlink(void)
{
	return unlink(at(&rig, "file"));
}

static int do_rmdir(void)
{
	return rmdir(at(&rig, "dir"));
}

static int do_rename(void)
{
	return renameat2(AT_FDCWD, at(&rig, "file"), AT_FDCWD, at(&rig, "new"), RENAME_NOREPLACE);
}

static int do_append(void)
{
	return write(fd_of_test, "more", 4) == 4 ? 0 : -1;
}

static int do_truncate(void)
{
	return ftruncate(fd_of_test, 2);
}

static int do_chmod(void)
{
	return chmod(at(&rig, "file"), 0640);
}

static int do_setxattr(void)
{
	return setxattr(at(&rig, "file"), "user.a", "v", 1, XATTR_CREATE);
}

static int do_release(void)
{
	int fd = open(at(&rig, "file"), O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : close(fd);
}

static int do_list(void)
{
	DIR *d = opendir(at(&rig, "dir"));
	int n = 0;

	while (d && readdir(d))
		n++;
	return !d || closedir(d) || n != 2 ? -1 : 0;
}

static int do_stat(void)
{
	struct stat st;

	return stat(at(&rig, "file"), &st);
}

static const struct {
	enum csv_op op;
	int (*what)(void);
} changes[] = {
	{CSV_OP_MKDIR, do_mkdir},      {CSV_OP_MKNOD, do_mknod},   {CSV_OP_SYMLINK, do_symlink},
	{CSV_OP_CREATE, do_create},    {CSV_OP_OPEN, do_open},	   {CSV_OP_UNLINK, do_unlink},
	{CSV_OP_RMDIR, do_rmdir},      {CSV_OP_RENAME, do_rename}, {CSV_OP_WRITE, do_append},
	{CSV_OP_SETATTR, do_truncate}, {CSV_OP_SETATTR, do_chmod}, {CSV_OP_SETXATTR, do_setxattr},
	{CSV_OP_RELEASE, do_release},  {CSV_OP_OPEN, do_list},	   {CSV_OP_READDIR, do_list},
	{CSV_OP_LOOKUP, do_stat},      {CSV_OP_GETATTR, do_stat},
};

static void hold(bool is_done, enum csv_op op)
{
	pthread_mutex_lock(&rig.mem.lock);
	rig.mem.hold = is_done ? 0 : op;
	rig.mem.hold_reply = is_done ? op : 0;
	pthread_cond_broadcast(&rig.mem.changed);
	pthread_mutex_unlock(&rig.mem.lock);
}

static void wait_repeats(uint64_t count)
{
	pthread_mutex_lock(&rig.mem.lock);
	while (rig.mem.repeats < count)
		pthread_cond_wait(&rig.mem.changed, &rig.mem.lock);
	assert_int_equal(rig.mem.repeats, count);
	pthread_mutex_unlock(&rig.mem.lock);
}

static void one_change(size_t i, bool is_done)
{
	const bool is_query = csv_op_kind(changes[i].op) == CSV_QUERY;
	uint64_t size;
	pid_t pid;

	set_up(NULL);
	fd_of_test = open(at(&rig, "file"), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	assert_int_equal(write(fd_of_test, "old", 3), 3);
	assert_int_equal(mkdir(at(&rig, "dir"), 0700), 0);
	hold(is_done, changes[i].op);
	pid = begin(changes[i].what);
	mem_wait_held(&rig.mem);
	kill_server(SIGKILL);
	hold(false, 0);
	expect_end(pid);
	/* What the first process has asked for was asked again, not for a second time. */
	if (!is_query && is_done)
		wait_repeats(1);
	size = MEM_GET(&rig.mem, node[MEM_ROOT + 1].attr.size);
	assert_int_equal(size, changes[i].what == do_append	? 7
			       : changes[i].what == do_truncate ? 2
								: 3);
	close(fd_of_test);
	tear_down(NULL);
}

static void each_change_happens_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(changes); i++) {
		one_change(i, false);
		one_change(i, true);
	}
}

/* ---- what is open */

static void open_files_stay_open(void **state)
{
	_cleanup_close_ int fd = open(at(&rig, "f"), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	_cleanup_close_ int gone = open(at(&rig, "g"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	char buf[8];
	struct stat st;

	(void)state;
	assert_int_equal(write(fd, "one", 3), 3);
	assert_int_equal(write(gone, "x", 1), 1);
	assert_int_equal(unlink(at(&rig, "g")), 0);
	for (int i = 0; i < 3; i++) {
		kill_server(SIGKILL);
		assert_int_equal(write(fd, "two", 3), 3);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, 6 + 3 * i);
		assert_int_equal(pread(gone, buf, 8, 0), 1);
		assert_int_equal(fsync(fd), 0);
	}
}

static void a_directory_that_is_read_and_one_that_is_stood_in_go_on(void **state)
{
	char name[32], old[512];
	DIR *d;
	int n = 0;

	(void)state;
	must(getcwd(old, sizeof(old)));
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(mknod(at(&rig, name), S_IFREG | 0600, 0), 0);
	}
	assert_int_equal(mkdir(at(&rig, "d"), 0700), 0);
	assert_int_equal(chdir(at(&rig, "d")), 0);
	d = opendir(rig.path);
	assert_non_null(d);
	while (readdir(d)) {
		if (n++ == 10)
			kill_server(SIGKILL);
	}
	assert_int_equal(n, 1000 + 1 + 2);
	closedir(d);
	assert_int_equal(mkdir("inner", 0700), 0);
	assert_int_equal(access(at(&rig, "d/inner"), F_OK), 0);
	assert_int_equal(chdir(old), 0);
}

static void locks_are_kept_and_given_up(void **state)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
	int fd = open(at(&rig, "f"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct csv_request q;

	(void)state;
	assert_int_equal(fcntl(fd, F_SETLK, &l), 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(mem_count(&rig.mem, CSV_OP_LOCK), 2);
	kill_server(SIGKILL);
	/* It is had still: nothing is to be asked. */
	assert_int_equal(fcntl(fd, F_SETLK, &l), 0);
	assert_int_equal(mem_count(&rig.mem, CSV_OP_LOCK), 2);
	assert_int_equal(mem_count(&rig.mem, CSV_OP_UNLOCK), 0);
	close(fd);
	mem_wait_count(&rig.mem, CSV_OP_UNLOCK, 2);
	q = mem_last(&rig.mem, CSV_OP_UNLOCK);
	assert_int_equal(q.unlock.type, CSV_LOCK_NONE);
}

static int do_lock(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};

	return fcntl(fd_of_test, F_SETLK, &l);
}

static int do_unlock(void)
{
	struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_len = 10};

	return do_lock() ? -1 : fcntl(fd_of_test, F_SETLK, &l);
}

/* The caller of a lock dies with the process that has asked for it: nobody has it then. */
static void a_lock_for_nobody_is_given_back(void **state)
{
	pid_t pid;

	(void)state;
	for (int is_done = 0; is_done < 2; is_done++) {
		uint64_t unlocks = mem_count(&rig.mem, CSV_OP_UNLOCK);

		fd_of_test = open(at(&rig, "f"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
		hold(is_done, CSV_OP_LOCK);
		pid = begin(do_lock);
		mem_wait_held(&rig.mem);
		kill(pid, SIGKILL);
		must(waitpid(pid, NULL, 0) == pid); /* it does not wait */
		kill_server(SIGKILL);
		hold(false, 0);
		mem_wait_count(&rig.mem, CSV_OP_UNLOCK, unlocks + 1);
		close(fd_of_test);
	}
}

static void an_unlocking_that_was_not_answered_is_asked_for_again(void **state)
{
	pid_t pid;

	(void)state;
	for (int is_done = 0; is_done < 2; is_done++) {
		fd_of_test = open(at(&rig, "f"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
		hold(is_done, CSV_OP_UNLOCK);
		pid = begin(do_unlock);
		mem_wait_held(&rig.mem);
		kill_server(SIGKILL);
		hold(false, 0);
		expect_end(pid);
		close(fd_of_test);
	}
}

/* ---- processes */

static int loop(void)
{
	char from[32], to[32];
	int fd = open(at(&rig, "log"), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);

	for (int i = 0; i < LOOPS; i++) {
		snprintf(from, sizeof(from), "a%d", i);
		snprintf(to, sizeof(to), "b%d", i);
		if (mkdir(at(&rig, from), 0700) || rename(at(&rig, from), at(&rig, to)) ||
		    write(fd, "line\n", 5) != 5 || rmdir(at(&rig, to))) {
			perror(from);
			return -1;
		}
		usleep(2000);
	}
	return close(fd);
}

static void a_program_goes_on_through_many_deaths(void **state)
{
	pid_t pid[4];
	struct stat st;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "d%zu", i);
		assert_int_equal(mkdir(at(&rig, name), 0700), 0);
		pid[i] = fork();
		if (!pid[i]) {
			snprintf(rig.path + strlen(rig.path), 8, "/%s", name);
			_exit(loop() ? errno : 0);
		}
	}
	for (int i = 0; i < 6; i++) {
		mem_wait_count(&rig.mem, CSV_OP_MKDIR, (uint64_t)(i + 1) * LOOPS / 2);
		kill_server(SIGKILL);
	}
	for (size_t i = 0; i < 4; i++) {
		char name[16];

		expect_end(pid[i]);
		snprintf(name, sizeof(name), "d%zu/log", i);
		assert_int_equal(stat(at(&rig, name), &st), 0);
		assert_int_equal(st.st_size, LOOPS * 5);
	}
}

static void a_process_is_replaced_when_it_is_asked_for(void **state)
{
	pid_t old = server_pid(), pid;

	(void)state;
	pid = begin(loop);
	mem_wait_count(&rig.mem, CSV_OP_MKDIR, 50);
	kill(rig_pid, SIGHUP);
	while (server_pid() == old || !server_pid())
		usleep(1000);
	expect_end(pid);
	assert_int_equal(MEM_GET(&rig.mem, repeats), 0); /* all was answered before */
}

/* Does a thread stand in read(2) of /dev/fuse? task: its folder in /proc. */
static bool is_reading(const char *fds, const char *task)
{
	char path[320], file[64] = "";
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long number, fd;

	snprintf(path, sizeof(path), "%s/syscall", task);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%lu %lx", &number, &fd) != 2 || number != SYS_read)
		return false;
	snprintf(path, sizeof(path), "%s/%lu", fds, fd);
	return readlink(path, file, sizeof(file) - 1) > 0 && !strcmp(file, "/dev/fuse");
}

static int count_readers(pid_t pid, int *ret_threads)
{
	char tasks[64], fds[64], task[320];
	const struct dirent *e;
	int count = 0;
	DIR *d;

	snprintf(tasks, sizeof(tasks), "/proc/%d/task", pid);
	snprintf(fds, sizeof(fds), "/proc/%d/fd", pid);
	d = opendir(tasks);
	must(d);
	*ret_threads = 0;
	while ((e = readdir(d))) {
		snprintf(task, sizeof(task), "%s/%s", tasks, e->d_name);
		*ret_threads += e->d_name[0] != '.';
		count += e->d_name[0] != '.' && is_reading(fds, task);
	}
	closedir(d);
	return count;
}

static int make_own_folder(void)
{
	char name[32];

	snprintf(name, sizeof(name), "of%d", getpid());
	return mkdir(at(&rig, name), 0700);
}

#define BURST 20

/* The kernel wakes whoever has waited longest: of many that would be a cold one each time. */
static void few_threads_wait_for_requests_however_many_there_were(void **state)
{
	int fd = open(at(&rig, "f"), O_CREAT | O_RDWR | O_CLOEXEC, 0600), before, after;
	pid_t pid[BURST];

	(void)state;
	assert_in_range(count_readers(server_pid(), &before), 0, 2);
	for (int round = 0; round < 3; round++) {
		mem_hold(&rig.mem, CSV_OP_MKDIR);
		for (size_t i = 0; i < BURST; i++)
			pid[i] = begin(make_own_folder);
		mem_wait_held(&rig.mem);
		/* All that read before wait for the coordinator; others have taken their places. */
		for (int i = 0; i < 100; i++)
			assert_int_equal(flock(fd, LOCK_UN), 0);
		mem_hold(&rig.mem, 0);
		for (size_t i = 0; i < BURST; i++)
			expect_end(pid[i]);
		/* Each that is woken gives its place up. The last answer is not counted off yet. */
		for (int i = 0; i < 100; i++)
			assert_int_equal(flock(fd, LOCK_UN), 0);
		assert_in_range(count_readers(server_pid(), &after), 0, 4);
	}
	assert_true(after > before);
	close(fd);
}

static void what_dies_again_and_again_is_given_up(void **state)
{
	int status;

	(void)state;
	set_up(NULL);
	for (;;) {
		pid_t pid = server_pid();

		if (pid)
			kill(pid, SIGKILL);
		if (waitpid(rig_pid, &status, WNOHANG) == rig_pid)
			break;
		usleep(1000);
	}
	rig_pid = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	rig_done(&rig);
}

static void a_mount_is_over_with_its_holder(void **state)
{
	int fd;

	(void)state;
	set_up(NULL);
	fd = open(at(&rig, "f"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	kill(rig_pid, SIGKILL);
	must(waitpid(rig_pid, NULL, 0) == rig_pid);
	rig_pid = 0;
	while (write(fd, "x", 1) == 1)
		usleep(1000);
	assert_true(errno == ENOTCONN || errno == ECONNABORTED);
	close(fd);
	assert_int_equal(umount2(rig.path, MNT_DETACH), 0);
	rig_done(&rig);
}

/* A stop is not forgotten for a death. */
static void it_can_be_stopped_while_it_is_replaced(void **state)
{
	(void)state;
	set_up(NULL);
	kill(server_pid(), SIGKILL);
	kill(rig_pid, SIGTERM);
	assert_int_equal(rig_reap(), 0);
	rig_done(&rig);
}

static const char *reason_to_skip(void)
{
	struct utsname u;
	int major, minor;

	if (geteuid())
		return "not root";
	if (access("/dev/fuse", R_OK | W_OK))
		return "no /dev/fuse";
	if (access("csvfs/csvfsd", X_OK))
		return "no csvfs/csvfsd in the working directory";
	if (uname(&u) || sscanf(u.release, "%d.%d", &major, &minor) != 2 ||
	    major * 100 + minor < 609)
		return "the kernel does not send again what was under way";
	return NULL;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define MOUNTED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		cmocka_unit_test(each_change_happens_once),
		MOUNTED(open_files_stay_open),
		MOUNTED(a_directory_that_is_read_and_one_that_is_stood_in_go_on),
		MOUNTED(locks_are_kept_and_given_up),
		MOUNTED(a_lock_for_nobody_is_given_back),
		MOUNTED(an_unlocking_that_was_not_answered_is_asked_for_again),
		MOUNTED(a_program_goes_on_through_many_deaths),
		MOUNTED(a_process_is_replaced_when_it_is_asked_for),
		MOUNTED(few_threads_wait_for_requests_however_many_there_were),
#undef MOUNTED
		cmocka_unit_test(what_dies_again_and_again_is_given_up),
		cmocka_unit_test(a_mount_is_over_with_its_holder),
		cmocka_unit_test(it_can_be_stopped_while_it_is_replaced),
	};
	static const int deadly[] = {SIGABRT, SIGALRM, SIGTERM, SIGINT};

	if (reason_to_skip()) {
		printf("skipped: %s\n", reason_to_skip());
		return 77;
	}
	rig_alone();
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(deadly); i++)
		signal(deadly[i], rig_die);
	alarm(TEST_SECONDS);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
