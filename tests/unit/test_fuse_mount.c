/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csvfsd mounts with the real kernel, and programs use what it has mounted. The coordinator is in
 * memory, clusterd is a thread. Needs root and /dev/fuse.
 */
#include <errno.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/time.h>

#include "lib/cleanup.h"
#include "tests/unit/mount_fixture.h"

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
	return 0;
}

static void put(const char *path, int flags, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fsync(fd), 0);
}

static void expect_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[256] = "";

	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, sizeof(buf)), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static int shell(const char *command)
{
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
	int status;
	pid_t pid;

	must(!posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ));
	must(waitpid(pid, &status, 0) == pid);
	return status;
}

/* ---- files */

static void programs_write_read_and_list_files(void **state)
{
	char command[512];

	(void)state;
	snprintf(command, sizeof(command),
		 "cd %s && echo x > f && [ \"$(cat f)\" = x ] && echo y >> f && mkdir d && "
		 "mv f d/g && [ \"$(ls d)\" = g ] && [ \"$(wc -l < d/g)\" = 2 ] && "
		 "ln -s d/g l && [ \"$(cat l)\" = \"$(printf 'x\\ny')\" ] && [ $(readlink l) = d/g "
		 "] && "
		 "truncate -s 1 d/g && [ $(stat -c %%s d/g) = 1 ] && rm d/g l && rmdir d && "
		 "[ -z \"$(ls -A)\" ]",
		 rig.path);
	assert_int_equal(shell(command), 0);
}

static void a_missing_file_is_missing(void **state)
{
	(void)state;
	assert_int_equal(open(at(&rig, "no"), O_RDONLY | O_CLOEXEC), -1);
	assert_int_equal(errno, ENOENT);
	/* Nothing is remembered: another node may have made it. */
	put(at(&rig, "other"), O_CREAT | O_EXCL, "");
	pthread_mutex_lock(&rig.mem.lock);
	snprintf(mem_find(&rig.mem, &(struct csv_handle){128, 1}, "other")->name, 8, "no");
	pthread_mutex_unlock(&rig.mem.lock);
	assert_int_equal(access(at(&rig, "no"), F_OK), 0);
	assert_int_equal(access(at(&rig, "other"), F_OK), -1);
}

static void a_long_name_is_refused(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	assert_int_equal(mkdir(at(&rig, name), 0700), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	name[255] = '\0';
	assert_int_equal(mkdir(at(&rig, name), 0700), 0);
	assert_int_equal(rmdir(at(&rig, name)), 0);
}

static void large_requests_stay_whole(void **state)
{
	/* On a border of pages: the kernel counts pages. */
	_cleanup_free_ uint8_t *data = aligned_alloc(4096, CSV_IO_MAX);
	_cleanup_free_ uint8_t *back = aligned_alloc(4096, CSV_IO_MAX);
	_cleanup_close_ int fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	for (size_t i = 0; i < CSV_IO_MAX; i++)
		data[i] = (uint8_t)(i * 7 + i / 4096);
	assert_int_equal(pwrite(fd, data, CSV_IO_MAX, 4096), CSV_IO_MAX);
	assert_int_equal(pread(fd, back, CSV_IO_MAX, 4096), CSV_IO_MAX);
	assert_memory_equal(back, data, CSV_IO_MAX);
	assert_int_equal(MEM_GET(&rig.mem, max_write), CSV_IO_MAX);
	assert_int_equal(MEM_GET(&rig.mem, max_read), CSV_IO_MAX);
	assert_int_equal(pread(fd, back, CSV_IO_MAX, CSV_IO_MAX), 4096); /* up to the end */
}

static void nothing_is_cached_by_the_kernel(void **state)
{
	struct stat st;
	struct mem_node *n;

	(void)state;
	put(at(&rig, "f"), O_CREAT, "old");
	expect_text(at(&rig, "f"), "old");
	pthread_mutex_lock(&rig.mem.lock);
	n = mem_find(&rig.mem, &(struct csv_handle){128, 1}, "f");
	mem_resize(n, 5);
	memcpy(n->data, "newer", 5);
	pthread_mutex_unlock(&rig.mem.lock);
	assert_int_equal(stat(at(&rig, "f"), &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(st.st_ino, n->attr.ino);
	expect_text(at(&rig, "f"), "newer");
}

static void an_append_is_left_to_the_coordinator(void **state)
{
	(void)state;
	put(at(&rig, "f"), O_CREAT, "one");
	assert_int_equal(mem_last(&rig.mem, CSV_OP_WRITE).write.flags, 0);
	put(at(&rig, "f"), O_APPEND, "two");
	assert_int_equal(mem_last(&rig.mem, CSV_OP_WRITE).write.flags, CSV_WRITE_APPEND);
	expect_text(at(&rig, "f"), "onetwo");
}

static void an_open_that_truncates_comes_as_setattr(void **state)
{
	struct csv_op_setattr q;

	(void)state;
	put(at(&rig, "f"), O_CREAT, "something");
	put(at(&rig, "f"), O_TRUNC, "new");
	expect_text(at(&rig, "f"), "new");
	q = mem_last(&rig.mem, CSV_OP_SETATTR).setattr;
	assert_int_equal(q.valid & (CSV_SET_SIZE | CSV_SET_KILL_SUID), CSV_SET_SIZE);
	assert_int_equal(q.size, 0);
}

static int as_nobody(void (*what)(void))
{
	const gid_t groups[] = {1001, 1002};
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (setgroups(2, groups) || setresgid(1000, 1000, 1000) ||
		    setresuid(1000, 1000, 1000))
			_exit(100);
		umask(027);
		what();
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid);
	return status;
}

static void create_and_change(void)
{
	int fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0 || write(fd, "x", 1) != 1 || ftruncate(fd, 0))
		_exit(101);
}

static void who_asks_is_told(void **state)
{
	struct csv_request q;

	(void)state;
	assert_int_equal(as_nobody(create_and_change), 0);
	q = mem_last(&rig.mem, CSV_OP_CREATE);
	assert_int_equal(q.caller.uid, 1000);
	assert_int_equal(q.caller.gid, 1000);
	assert_int_equal(q.caller.umask, 027);
	assert_int_equal(q.create.mode & 07777, 0666); /* the umask is not applied yet */
	assert_int_equal(q.caller.group_count, 2);
	assert_int_equal(q.caller.groups[1], 1002);
	assert_int_equal(mem_last(&rig.mem, CSV_OP_WRITE).write.flags, CSV_WRITE_KILL_SUID);
	assert_true(mem_last(&rig.mem, CSV_OP_SETATTR).setattr.valid & CSV_SET_KILL_SUID);
}

static void open_secret(void)
{
	if (open(at(&rig, "secret"), O_RDONLY | O_CLOEXEC) != -1 || errno != EACCES)
		_exit(101);
}

static void open_secret_with_creat(void)
{
	if (open(at(&rig, "secret"), O_RDWR | O_CREAT | O_CLOEXEC, 0600) != -1 || errno != EACCES)
		_exit(102);
}

/* Another node makes the file after this one has seen that it is not there. */
static void a_creation_that_comes_too_late_opens_by_the_rules(void **state)
{
	(void)state;
	put(at(&rig, "secret"), O_CREAT, "secret");
	assert_int_equal(chmod(at(&rig, "secret"), 0600), 0);
	assert_int_equal(as_nobody(open_secret), 0);
	MEM_SET(&rig.mem, hidden, "secret");
	assert_int_equal(as_nobody(open_secret_with_creat), 0);
	assert_null(MEM_GET(&rig.mem, hidden));
	expect_text(at(&rig, "secret"), "secret");
	MEM_SET(&rig.mem, hidden, "secret");
	put(at(&rig, "secret"), O_CREAT | O_TRUNC, "new");
	assert_null(MEM_GET(&rig.mem, hidden));
	expect_text(at(&rig, "secret"), "new");
	MEM_SET(&rig.mem, hidden, "secret");
	assert_int_equal(open(at(&rig, "secret"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
			 -1);
	assert_int_equal(errno, EEXIST);
}

/* It has gone again when the kernel looks once more, and come back. */
static void a_creation_that_comes_too_late_twice_opens_what_is_there(void **state)
{
	(void)state;
	put(at(&rig, "f"), O_CREAT, "what was there");
	MEM_SET(&rig.mem, hides, 3); /* to revalidate, to look up; on the second walk */
	MEM_SET(&rig.mem, hidden, "f");
	put(at(&rig, "f"), O_CREAT | O_TRUNC, "new");
	assert_null(MEM_GET(&rig.mem, hidden));
	assert_false(mem_last(&rig.mem, CSV_OP_CREATE).create.is_exclusive);
	expect_text(at(&rig, "f"), "new");
	MEM_SET(&rig.mem, hides, 3); /* to revalidate, to look up; on the second walk */
	MEM_SET(&rig.mem, hidden, "f");
	put(at(&rig, "f"), O_CREAT, "N");
	expect_text(at(&rig, "f"), "New"); /* not cut */
	mem_wait_count(&rig.mem, CSV_OP_RELEASE, 5);
}

static void rename_flags_reach_the_coordinator(void **state)
{
	(void)state;
	put(at(&rig, "a"), O_CREAT, "a");
	put(at(&rig, "b"), O_CREAT, "b");
	assert_int_equal(renameat2(-1, at(&rig, "a"), -1, at(&rig, "b"), RENAME_EXCHANGE), -1);
	assert_int_equal(mem_last(&rig.mem, CSV_OP_RENAME).rename.flags, RENAME_EXCHANGE);
	assert_int_equal(rename(at(&rig, "a"), at(&rig, "b")), 0);
	expect_text(at(&rig, "b"), "a");
}

static void a_removed_file_lives_as_long_as_it_is_open(void **state)
{
	int fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char c = 0;

	(void)state;
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(unlink(at(&rig, "f")), 0);
	assert_int_equal(pread(fd, &c, 1, 0), 1);
	assert_int_equal(c, 'x');
	close(fd);
	mem_wait_count(&rig.mem, CSV_OP_RELEASE, 1);
}

static int reap(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0) == pid);
	return status;
}

static pid_t open_in_child(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(open(at(&rig, "f"), O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno);
	return pid;
}

/* Another node replaces the file between the lookup and the open of this one. */
static void replace(struct memfs *m)
{
	static const struct csv_handle root = {MEM_ROOT + 127, 1};
	struct csv_request q = {.op = CSV_OP_MKNOD};
	struct mem_node *old, *new;

	pthread_mutex_lock(&m->lock);
	old = mem_find(m, &root, "f");
	new = mem_make(m, &q, &root, "f", S_IFREG | 0644); /* while the old one's number is taken */
	mem_remove(old);
	must(new != old);
	pthread_mutex_unlock(&m->lock);
}

static void a_file_that_is_replaced_while_it_is_looked_up_is_opened(void **state)
{
	pid_t pid;

	(void)state;
	put(at(&rig, "f"), O_CREAT, "old");
	mem_hold(&rig.mem, CSV_OP_OPEN);
	pid = open_in_child();
	mem_wait_held(&rig.mem);
	replace(&rig.mem);
	mem_hold(&rig.mem, 0);
	assert_int_equal(WEXITSTATUS(reap(pid)), 0);
	/* One that failed; the kernel looks up twice what is another inode, each is kept; the
	 * program's. */
	assert_int_equal(mem_count(&rig.mem, CSV_OP_OPEN), 4);
	mem_wait_count(&rig.mem, CSV_OP_RELEASE, 4); /* with the one of put() */
}

static void a_file_that_is_removed_while_it_is_looked_up_is_not_there(void **state)
{
	static const struct csv_handle root = {MEM_ROOT + 127, 1};
	pid_t pid;

	(void)state;
	put(at(&rig, "f"), O_CREAT, "old");
	mem_hold(&rig.mem, CSV_OP_OPEN);
	pid = open_in_child();
	mem_wait_held(&rig.mem);
	pthread_mutex_lock(&rig.mem.lock);
	mem_remove(mem_find(&rig.mem, &root, "f"));
	pthread_mutex_unlock(&rig.mem.lock);
	mem_hold(&rig.mem, 0);
	assert_int_equal(WEXITSTATUS(reap(pid)), ENOENT);
}

/* It is not looked up again, so it can only be gone. */
static void a_current_directory_that_is_removed_elsewhere_is_not_there(void **state)
{
	static const struct csv_handle root = {MEM_ROOT + 127, 1};
	int go[2], there[2];
	struct stat st;
	char c = 0;
	pid_t pid;

	(void)state;
	must(!pipe2(go, O_CLOEXEC) && !pipe2(there, O_CLOEXEC));
	assert_int_equal(mkdir(at(&rig, "d"), 0755), 0);
	pid = fork();
	if (!pid) {
		must(!chdir(at(&rig, "d")) && write(there[1], &c, 1) == 1);
		must(read(go[0], &c, 1) == 1);
		_exit(stat("x", &st) ? errno : 0);
	}
	must(read(there[0], &c, 1) == 1);
	pthread_mutex_lock(&rig.mem.lock);
	mem_remove(mem_find(&rig.mem, &root, "d"));
	pthread_mutex_unlock(&rig.mem.lock);
	must(write(go[1], &c, 1) == 1);
	assert_int_equal(WEXITSTATUS(reap(pid)), ENOENT);
	for (int i = 0; i < 2; i++) {
		close(go[i]);
		close(there[i]);
	}
}

static void a_shared_mapping_is_refused_and_a_private_one_works(void **state)
{
	_cleanup_close_ int fd = -1;
	char *p;

	(void)state;
	put(at(&rig, "f"), O_CREAT, "mapped");
	fd = open(at(&rig, "f"), O_RDWR | O_CLOEXEC);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_equal(p, MAP_FAILED);
	assert_int_equal(errno, ENODEV);
	p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_memory_equal(p, "mapped", 6);
	munmap(p, 4096);
}

static void locks_go_to_the_coordinator_and_a_close_gives_them_up(void **state)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};
	int fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	const struct csv_op_lock *asked = &rig.mem.last[CSV_OP_LOCK].lock;
	const struct csv_op_unlock *given = &rig.mem.last[CSV_OP_UNLOCK].unlock;

	(void)state;
	assert_int_equal(fcntl(fd, F_SETLK, &l), 0);
	assert_int_equal(asked->type, CSV_LOCK_WRITE);
	assert_int_equal(asked->kind, CSV_LOCK_POSIX);
	assert_int_equal(asked->start, 10);
	assert_int_equal(asked->end, 14);
	assert_int_equal(asked->pid, getpid());
	assert_int_equal(asked->number, 0);
	assert_int_equal(mem_count(&rig.mem, CSV_OP_LOCK), 1);
	/* What is had already, or not had at all, costs nothing. */
	assert_int_equal(fcntl(fd, F_SETLK, &l), 0);
	assert_int_equal(close(open(at(&rig, "g"), O_RDWR | O_CREAT | O_CLOEXEC, 0600)), 0);
	assert_int_equal(mem_count(&rig.mem, CSV_OP_LOCK), 1);
	assert_int_equal(mem_count(&rig.mem, CSV_OP_UNLOCK), 0);
	assert_int_equal(close(dup(fd)), 0);
	assert_int_equal(given->owner, asked->owner);
	assert_int_equal(given->type, CSV_LOCK_NONE);
	assert_int_equal(given->end, CSV_LOCK_END_MAX);
	assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0);
	assert_int_equal(asked->kind, CSV_LOCK_FLOCK);
	assert_int_equal(asked->type, CSV_LOCK_READ);
	close(fd);
	mem_wait_count(&rig.mem, CSV_OP_UNLOCK, 2); /* the kernel does not wait for this one */
	assert_int_equal(given->kind, CSV_LOCK_FLOCK);
}

static void locks_of_others_are_told_as_they_are(void **state)
{
	struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	_cleanup_close_ int fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	rig.mem.lock_error = EAGAIN;
	assert_int_equal(fcntl(fd, F_SETLK, &l), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(errno, EAGAIN);
	/* This mount has no LUN, and so no line over which its turn could be told. */
	assert_int_equal(flock(fd, LOCK_EX), -1);
	assert_int_equal(errno, ENOLCK);
	rig.mem.lock_error = 0;
	rig.mem.found = (struct csv_reply_lock){CSV_LOCK_WRITE, 5, 9, (uint32_t)getpid(), MOUNT_ID};
	assert_int_equal(fcntl(fd, F_GETLK, &l), 0);
	assert_int_equal(l.l_type, F_WRLCK);
	assert_int_equal(l.l_start, 5);
	assert_int_equal(l.l_len, 5);
	assert_int_equal(l.l_pid, getpid());
	rig.mem.found.mount++; /* of another node: a number that says nothing here */
	rig.mem.found.end = CSV_LOCK_END_MAX;
	l = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET};
	assert_int_equal(fcntl(fd, F_GETLK, &l), 0);
	assert_int_equal(l.l_pid, 0);
	assert_int_equal(l.l_len, 0);
	rig.mem.found = (struct csv_reply_lock){0};
	assert_int_equal(fcntl(fd, F_GETLK, &l), 0);
	assert_int_equal(l.l_type, F_UNLCK);
}

static void xattrs_go_to_the_coordinator(void **state)
{
	static const uint8_t acl[] = {2, 0,   0,   0,	1,   0,	 6, 0, 255, 255, 255, 255, 4,  0, 4,
				      0, 255, 255, 255, 255, 32, 0, 4, 0,   255, 255, 255, 255};
	char buf[64];

	(void)state;
	put(at(&rig, "f"), O_CREAT, "");
	assert_int_equal(setxattr(at(&rig, "f"), "user.a", "value", 5, XATTR_CREATE), 0);
	assert_int_equal(mem_last(&rig.mem, CSV_OP_SETXATTR).setxattr.flags, XATTR_CREATE);
	assert_int_equal(getxattr(at(&rig, "f"), "user.a", NULL, 0), 5);
	assert_int_equal(getxattr(at(&rig, "f"), "user.a", buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "value", 5);
	assert_int_equal(getxattr(at(&rig, "f"), "user.a", buf, 2), -1);
	assert_int_equal(errno, ERANGE);
	assert_int_equal(listxattr(at(&rig, "f"), buf, sizeof(buf)), 7);
	assert_int_equal(removexattr(at(&rig, "f"), "user.a"), 0);
	assert_int_equal(getxattr(at(&rig, "f"), "user.a", buf, sizeof(buf)), -1);
	assert_int_equal(errno, ENODATA);
	/* An ACL that grants what the mode does: the kernel takes it for one. */
	assert_int_equal(setxattr(at(&rig, "f"), "system.posix_acl_access", acl, sizeof(acl), 0),
			 0);
	assert_int_equal(mem_count(&rig.mem, CSV_OP_SETXATTR), 2);
	assert_int_equal(getxattr(at(&rig, "f"), "system.posix_acl_access", buf, sizeof(buf)),
			 sizeof(acl));
	assert_memory_equal(buf, acl, sizeof(acl));
}

static void usage_is_the_coordinators(void **state)
{
	struct statvfs st;

	(void)state;
	assert_int_equal(statvfs(rig.path, &st), 0);
	assert_int_equal(st.f_blocks, 1000);
	assert_int_equal(st.f_bavail, 400);
	assert_int_equal(st.f_namemax, 255);
}

static void what_the_coordinator_cannot_is_refused_each_time(void **state)
{
	_cleanup_close_ int fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	for (uint64_t i = 0; i < 2; i++) {
		assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
		assert_int_equal(errno, EOPNOTSUPP);
	}
	assert_int_equal(mem_last(&rig.mem, CSV_OP_FALLOCATE).fallocate.length, 4096);
	/* The kernel knows three modes of FUSE's, and never asks for these. */
	assert_int_equal(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -1);
	assert_int_equal(errno, EOPNOTSUPP);
}

static void a_large_folder_is_listed_once_and_whole(void **state)
{
	enum { COUNT = 1000 };
	static bool seen[COUNT];
	const struct dirent *e;
	unsigned int found = 0, dots = 0;
	struct stat st;
	DIR *d;

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < COUNT; i++) {
		char name[64];

		snprintf(name, sizeof(name), "a-file-with-a-name-of-some-length-%u", i);
		assert_int_equal(mknod(at(&rig, name), S_IFREG | 0600, 0), 0);
	}
	d = opendir(rig.path);
	while ((e = readdir(d))) {
		unsigned int i;

		if (e->d_name[0] == '.') {
			dots++;
			assert_int_equal(e->d_type, DT_DIR);
			continue;
		}
		assert_int_equal(sscanf(e->d_name, "a-file-with-a-name-of-some-length-%u", &i), 1);
		assert_int_equal(e->d_type, DT_REG);
		assert_false(seen[i]);
		seen[i] = true;
		found++;
		/* Looked at, so that the kernel asks for attributes along with the names. */
		assert_int_equal(stat(at(&rig, e->d_name), &st), 0);
		assert_int_equal(st.st_ino, e->d_ino);
	}
	closedir(d);
	assert_int_equal(found, COUNT);
	assert_int_equal(dots, 2);
}

/* ---- connections and signals */

static void a_write_survives_the_loss_of_its_connection(void **state)
{
	(void)state;
	put(at(&rig, "f"), O_CREAT, "one");
	MEM_SET(&rig.mem, break_at, CSV_OP_WRITE);
	put(at(&rig, "f"), O_APPEND, "two");
	expect_text(at(&rig, "f"), "onetwo");
	assert_true(mem_last(&rig.mem, CSV_OP_WRITE).is_resend);
	assert_int_equal(MEM_GET(&rig.mem, connections), 2);
	assert_true(MEM_GET(&rig.mem, reclaims) >= 1);
}

static pid_t stat_in_child(int sig, void (*handler)(int))
{
	pid_t pid = fork();

	if (!pid) {
		struct stat st;

		signal(SIGTERM, SIG_DFL); /* the test's own are for the test */
		signal(sig, handler);
		_exit(stat(at(&rig, "f"), &st) ? errno : 0);
	}
	must(pid > 0);
	return pid;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void a_signal_that_ends_the_program_ends_its_wait(void **state)
{
	pid_t pid;

	(void)state;
	put(at(&rig, "f"), O_CREAT, "");
	mem_hold(&rig.mem, CSV_OP_LOOKUP);
	pid = stat_in_child(SIGUSR1, SIG_DFL);
	mem_wait_held(&rig.mem);
	kill(pid, SIGTERM);
	assert_int_equal(WTERMSIG(reap(pid)), SIGTERM);
	mem_hold(&rig.mem, 0);
}

static void a_signal_ends_who_asks_for_a_lock_and_it_is_given_back(void **state)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	_cleanup_close_ int fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	pid_t pid;

	(void)state;
	mem_hold(&rig.mem, CSV_OP_LOCK);
	pid = fork();
	if (!pid) {
		fcntl(fd, F_SETLK, &l);
		_exit(1);
	}
	mem_wait_held(&rig.mem);
	kill(pid, SIGKILL);
	/* It does not wait for the answer, which comes later and for nobody. */
	assert_int_equal(WTERMSIG(reap(pid)), SIGKILL);
	mem_hold(&rig.mem, 0);
	mem_wait_count(&rig.mem, CSV_OP_UNLOCK, 1);
}

/*
 * The close of one that is killed is interrupted from its beginning on: SIGKILL is still pending.
 * The file stays open here, so nothing else gives the lock up.
 */
static void locks_of_the_killed_are_given_up(void **state)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	_cleanup_close_ int fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint64_t before = mem_count(&rig.mem, CSV_OP_UNLOCK);

	(void)state;
	for (uint64_t i = 1; i <= 50; i++) {
		int ready[2];
		pid_t pid;
		char byte;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		if (!pid) {
			if (fcntl(fd, F_SETLK, &l) || write(ready[1], "", 1) != 1)
				_exit(1);
			pause();
		}
		close(ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		kill(pid, SIGKILL);
		assert_int_equal(WTERMSIG(reap(pid)), SIGKILL);
		mem_wait_count(&rig.mem, CSV_OP_UNLOCK, before + i);
		close(ready[0]);
	}
}

/* In the moment in which it is answered: it has the lock, or it is given back for it. */
static void a_lock_that_comes_with_the_signal_does_not_stay(void **state)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	_cleanup_close_ int fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint64_t before = mem_count(&rig.mem, CSV_OP_UNLOCK);

	(void)state;
	for (uint64_t i = 1; i <= 20; i++) {
		pid_t pid;

		mem_hold(&rig.mem, CSV_OP_LOCK);
		pid = fork();
		if (!pid) {
			fcntl(fd, F_SETLK, &l);
			_exit(1);
		}
		mem_wait_held(&rig.mem);
		kill(pid, SIGKILL);
		mem_hold(&rig.mem, 0);
		assert_int_equal(WTERMSIG(reap(pid)), SIGKILL);
		mem_wait_count(&rig.mem, CSV_OP_UNLOCK, before + i);
	}
}

static void a_signal_that_is_handled_does_not_disturb(void **state)
{
	_cleanup_close_ int fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	pid_t pid;

	(void)state;
	mem_hold(&rig.mem, CSV_OP_LOOKUP);
	pid = stat_in_child(SIGUSR1, on_signal);
	mem_wait_held(&rig.mem);
	kill(pid, SIGUSR1);
	/* csvfsd answers these by itself, and reads interrupts first. */
	for (int i = 0; i < 100; i++)
		assert_int_equal(flock(fd, LOCK_UN), 0);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	mem_hold(&rig.mem, 0);
	assert_int_equal(reap(pid), 0);
}

static void a_handled_signal_does_not_hide_a_deadly_one(void **state)
{
	pid_t pid;

	(void)state;
	put(at(&rig, "f"), O_CREAT, "");
	mem_hold(&rig.mem, CSV_OP_LOOKUP);
	pid = stat_in_child(SIGUSR1, on_signal);
	mem_wait_held(&rig.mem);
	kill(pid, SIGUSR1);
	kill(pid, SIGKILL);
	assert_int_equal(WTERMSIG(reap(pid)), SIGKILL);
	mem_hold(&rig.mem, 0);
}

static void clusterd_is_told_who_and_how(void **state)
{
	(void)state;
	assert_int_equal(rig.attach.role, CSV_LINK_MOUNT);
	assert_int_equal(rig.attach.id, MOUNT_ID);
	assert_int_equal(rig.attach.volume[0], 1);
	assert_int_equal(rig.attach.volume[15], 16);
	put(at(&rig, "f"), O_CREAT, "");
	mem_hold(&rig.mem, CSV_OP_WRITE);
	{
		pid_t pid = fork();

		if (!pid) {
			put(at(&rig, "f"), 0, "x");
			_exit(0);
		}
		mem_wait_held(&rig.mem);
		pthread_mutex_lock(&rig.lock);
		while (!rig.status.pending || rig.status.oldest_ms < 1000)
			pthread_cond_wait(&rig.changed, &rig.lock);
		pthread_mutex_unlock(&rig.lock);
		mem_hold(&rig.mem, 0);
		assert_int_equal(reap(pid), 0);
	}
}

/* ---- the end */

static void goodbye_follows_the_last_release(void **state)
{
	(void)state;
	rig_open(&rig, "30");
	put(at(&rig, "f"), O_CREAT, "x");
	rig_order_stop(&rig);
	assert_int_equal(rig_reap(), 0);
	assert_int_equal(MEM_GET(&rig.mem, goodbyes), 1);
	for (size_t i = 0; i < MEM_NODES; i++)
		assert_int_equal(MEM_GET(&rig.mem, node[i].opens), 0);
	rig_done(&rig);
}

static void a_busy_mount_is_waited_for_and_its_users_named(void **state)
{
	char me[64];
	int fd;

	(void)state;
	rig_open(&rig, "0");
	fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	kill(rig_pid, SIGTERM);
	pthread_mutex_lock(&rig.lock);
	while (!rig.last_busy[0])
		pthread_cond_wait(&rig.changed, &rig.lock);
	snprintf(me, sizeof(me), "(%d)", (int)getpid());
	assert_non_null(strstr(rig.last_busy, me));
	assert_int_equal(rig.status.phase, CSV_LINK_STOPPING);
	pthread_mutex_unlock(&rig.lock);
	assert_int_equal(write(fd, "x", 1), 1); /* it still works */
	close(fd);
	assert_int_equal(rig_reap(), 0);
	rig_wait_phase(&rig, CSV_LINK_STOPPED);
	rig_done(&rig);
}

static void users_that_do_not_leave_are_cut_off_in_the_end(void **state)
{
	int fd;

	(void)state;
	rig_open(&rig, "1");
	fd = open(at(&rig, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	rig_order_stop(&rig);
	assert_int_equal(rig_reap(), 1);
	rig_wait_phase(&rig, CSV_LINK_STOPPED);
	assert_non_null(strstr(rig.status.text, "in use by"));
	assert_int_equal(write(fd, "x", 1), -1);
	assert_true(errno == ENOTCONN || errno == ECONNABORTED);
	close(fd);
	rig_done(&rig);
}

static void a_stop_does_not_need_a_coordinator(void **state)
{
	(void)state;
	rig_open(&rig, "30");
	pthread_mutex_lock(&rig.lock);
	rig.state.term = 0;
	rig.state.is_online = false;
	rig.state.is_stop = true;
	rig_send(&rig);
	pthread_mutex_unlock(&rig.lock);
	assert_int_equal(rig_reap(), 0);
	rig_wait_phase(&rig, CSV_LINK_STOPPED);
	assert_int_equal(MEM_GET(&rig.mem, goodbyes), 0);
	rig_done(&rig);
}

static void an_unmount_by_someone_else_is_a_failure(void **state)
{
	(void)state;
	rig_open(&rig, "30");
	assert_int_equal(umount2(rig.path, 0), 0);
	assert_int_equal(rig_reap(), 1);
	rig_wait_phase(&rig, CSV_LINK_FAILED);
	rig_done(&rig);
}

static int wait_for(pid_t pid)
{
	int status = reap(pid);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static pid_t pid_of_daemon(const struct rig *r)
{
	char lock[160], line[256];
	_cleanup_fclose_ FILE *f = fopen("/proc/locks", "re");
	struct stat st;
	pid_t pid = 0;

	snprintf(lock, sizeof(lock), "%s/csv-" UUID_TEXT "-mount.lock", r->folder);
	must(f && !stat(lock, &st));
	while (fgets(line, sizeof(line), f)) {
		unsigned long ino;
		int p;

		if (sscanf(line, "%*s FLOCK %*s %*s %d %*x:%*x:%lu", &p, &ino) == 2 &&
		    ino == st.st_ino)
			pid = p;
	}
	return pid;
}

static void the_parent_ends_when_it_is_mounted_and_there_is_one_only(void **state)
{
	static const char *const none[] = {NULL};
	pid_t pid;

	(void)state;
	rig_prepare(&rig);
	assert_int_equal(wait_for(rig_spawn(&rig, none)), 0);
	assert_true(is_mounted(rig.path));
	pid = pid_of_daemon(&rig);
	assert_true(pid > 1);
	rig_pid = pid;
	rig_wait_phase(&rig, CSV_LINK_READY);
	put(at(&rig, "f"), O_CREAT, "x");
	assert_int_equal(wait_for(rig_spawn(&rig, none)), 1);
	rig_order_stop(&rig);
	rig_wait_phase(&rig, CSV_LINK_STOPPED);
	rig_pid = 0;
	rig_done(&rig);
}

static void nothing_is_mounted_over_another_mount(void **state)
{
	static const char *const none[] = {NULL};

	(void)state;
	rig_prepare(&rig);
	assert_int_equal(mount("something", rig.path, "tmpfs", 0, NULL), 0);
	assert_int_equal(wait_for(rig_spawn(&rig, none)), 1);
	assert_int_equal(umount2(rig.path, 0), 0);
	rig_done(&rig);
}

static const char *reason_to_skip(void)
{
	if (geteuid())
		return "not root";
	if (access("/dev/fuse", R_OK | W_OK))
		return "no /dev/fuse";
	if (access("csvfs/csvfsd", X_OK))
		return "no csvfs/csvfsd in the working directory";
	return NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define MOUNTED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		MOUNTED(programs_write_read_and_list_files),
		MOUNTED(a_missing_file_is_missing),
		MOUNTED(a_long_name_is_refused),
		MOUNTED(large_requests_stay_whole),
		MOUNTED(nothing_is_cached_by_the_kernel),
		MOUNTED(an_append_is_left_to_the_coordinator),
		MOUNTED(an_open_that_truncates_comes_as_setattr),
		MOUNTED(who_asks_is_told),
		MOUNTED(a_creation_that_comes_too_late_opens_by_the_rules),
		MOUNTED(a_creation_that_comes_too_late_twice_opens_what_is_there),
		MOUNTED(rename_flags_reach_the_coordinator),
		MOUNTED(a_removed_file_lives_as_long_as_it_is_open),
		MOUNTED(a_file_that_is_replaced_while_it_is_looked_up_is_opened),
		MOUNTED(a_file_that_is_removed_while_it_is_looked_up_is_not_there),
		MOUNTED(a_current_directory_that_is_removed_elsewhere_is_not_there),
		MOUNTED(a_shared_mapping_is_refused_and_a_private_one_works),
		MOUNTED(xattrs_go_to_the_coordinator),
		MOUNTED(locks_go_to_the_coordinator_and_a_close_gives_them_up),
		MOUNTED(locks_of_others_are_told_as_they_are),
		MOUNTED(a_signal_ends_who_asks_for_a_lock_and_it_is_given_back),
		MOUNTED(locks_of_the_killed_are_given_up),
		MOUNTED(a_lock_that_comes_with_the_signal_does_not_stay),
		MOUNTED(usage_is_the_coordinators),
		MOUNTED(what_the_coordinator_cannot_is_refused_each_time),
		MOUNTED(a_large_folder_is_listed_once_and_whole),
		MOUNTED(a_write_survives_the_loss_of_its_connection),
		MOUNTED(a_signal_that_ends_the_program_ends_its_wait),
		MOUNTED(a_signal_that_is_handled_does_not_disturb),
		MOUNTED(a_handled_signal_does_not_hide_a_deadly_one),
		MOUNTED(clusterd_is_told_who_and_how),
#undef MOUNTED
		cmocka_unit_test(goodbye_follows_the_last_release),
		cmocka_unit_test(a_busy_mount_is_waited_for_and_its_users_named),
		cmocka_unit_test(users_that_do_not_leave_are_cut_off_in_the_end),
		cmocka_unit_test(a_stop_does_not_need_a_coordinator),
		cmocka_unit_test(an_unmount_by_someone_else_is_a_failure),
		cmocka_unit_test(the_parent_ends_when_it_is_mounted_and_there_is_one_only),
		cmocka_unit_test(nothing_is_mounted_over_another_mount),
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
	return cmocka_run_group_tests(tests, NULL, NULL);
}
