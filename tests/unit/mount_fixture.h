/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A csvfsd that has mounted a volume of tests/unit/csv_memfs.h in a temporary folder, and the
 * clusterd that it reports to, played by a thread of the test.
 */
#ifndef TESTS_UNIT_MOUNT_FIXTURE_H
#define TESTS_UNIT_MOUNT_FIXTURE_H

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/csv_link.h"
#include "tests/unit/csv_memfs.h"

#define UUID_TEXT "01020304-0506-0708-090a-0b0c0d0e0f10"
#define MOUNT_ID  UINT64_C(0x1f)

struct rig {
	struct memfs mem;
	char folder[64], path[80], socket[80];
	int listener;
	pthread_t clusterd;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	int csvfsd; /* connection; -1 */
	struct csv_link_attach attach;
	struct csv_link_status status;
	uint64_t statuses;
	struct csv_link_state state;
	char last_busy[CSV_LINK_TEXT];
};

/* What must not be left behind, whatever happens to the test. */
static pid_t rig_pid;
static char rig_path[80];

extern char **environ;

static inline void rig_die(int sig)
{
	if (rig_pid > 0)
		kill(rig_pid, SIGKILL);
	if (rig_path[0])
		umount2(rig_path, MNT_DETACH);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* Nobody else who makes a mount namespace now gets a copy of what is mounted here. */
static inline void rig_alone(void)
{
	must(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static inline void rig_send(struct rig *r)
{
	struct csv_link_message m = {.type = CSV_LINK_STATE, .state = r->state};
	uint8_t buf[CSV_LINK_MAX];
	size_t len;

	must(!csv_link_encode(&m, buf, sizeof(buf), &len));
	if (r->csvfsd >= 0)
		must(send(r->csvfsd, buf, len, MSG_NOSIGNAL) == (ssize_t)len);
}

static inline void rig_hear(struct rig *r, const struct csv_link_message *m)
{
	pthread_mutex_lock(&r->lock);
	if (m->type == CSV_LINK_ATTACH) {
		r->attach = m->attach;
	} else {
		must(m->type == CSV_LINK_STATUS);
		r->status = m->status;
		r->statuses++;
		if (strstr(m->status.text, "in use by"))
			memcpy(r->last_busy, m->status.text, sizeof(r->last_busy));
	}
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

static inline void *rig_clusterd(void *arg)
{
	struct rig *r = arg;
	int fd;

	while ((fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct csv_link_message m;
		uint8_t buf[CSV_LINK_MAX];
		ssize_t n;

		pthread_mutex_lock(&r->lock);
		r->csvfsd = fd;
		rig_send(r);
		pthread_mutex_unlock(&r->lock);
		while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
			must(!csv_link_decode(buf, (size_t)n, &m));
			rig_hear(r, &m);
		}
		pthread_mutex_lock(&r->lock);
		r->csvfsd = -1;
		pthread_mutex_unlock(&r->lock);
		close(fd);
	}
	return NULL;
}

static inline void rig_listen(struct rig *r)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", r->socket);
	r->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	must(r->listener >= 0);
	must(!bind(r->listener, (struct sockaddr *)&a, sizeof(a)) && !listen(r->listener, 4));
	must(!pthread_create(&r->clusterd, NULL, rig_clusterd, r));
}

/* Without the process. */
static inline void rig_prepare(struct rig *r)
{
	*r = (struct rig){.folder = "/tmp/csv_mount.XXXXXX", .csvfsd = -1};
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	mem_open_fs(&r->mem);
	must(mkdtemp(r->folder) && !chmod(r->folder, 0755)); /* for those who are not root */
	snprintf(r->path, sizeof(r->path), "%s/m", r->folder);
	snprintf(r->socket, sizeof(r->socket), "%s/s", r->folder);
	must(!mkdir(r->path, 0700));
	memcpy(rig_path, r->path, sizeof(rig_path));
	r->state = (struct csv_link_state){.term = MEM_TERM,
					   .is_online = true,
					   .port = r->mem.server.port,
					   .address = "127.0.0.1"};
	rig_listen(r);
}

/* Starts `csvfsd mount` and returns its process. */
static inline pid_t rig_spawn(struct rig *r, const char *const *more)
{
	const char *argv[32] = {"csvfsd",	 "mount",
				"--volume",	 "v1",
				"--uuid",	 UUID_TEXT,
				"--mount-point", r->path,
				"--id",		 "1f",
				"--socket",	 r->socket,
				"--key",	 r->mem.server.key_path,
				"--log",	 "stderr"};
	size_t n = 16;
	pid_t pid;

	while (*more)
		argv[n++] = *more++;
	must(!posix_spawn(&pid, "csvfs/csvfsd", NULL, NULL, (char *const *)argv, environ));
	return pid;
}

static inline void rig_wait_phase(struct rig *r, enum csv_link_phase phase)
{
	pthread_mutex_lock(&r->lock);
	while (!r->statuses || r->status.phase != phase ||
	       (phase == CSV_LINK_READY && !r->status.is_serving)) {
		struct timespec soon;

		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_sec++;
		pthread_cond_timedwait(&r->changed, &r->lock, &soon);
		must(!rig_pid || waitpid(rig_pid, NULL, WNOHANG) <= 0); /* it has died */
	}
	pthread_mutex_unlock(&r->lock);
}

static inline void rig_open(struct rig *r, const char *busy_timeout)
{
	const char *const more[] = {"--foreground", "--busy-timeout", busy_timeout, NULL};

	rig_prepare(r);
	rig_pid = rig_spawn(r, more);
	rig_wait_phase(r, CSV_LINK_READY);
}

static inline void rig_order_stop(struct rig *r)
{
	pthread_mutex_lock(&r->lock);
	r->state.is_stop = true;
	rig_send(r);
	pthread_mutex_unlock(&r->lock);
}

/* Its exit status. */
static inline int rig_reap(void)
{
	int status;

	must(waitpid(rig_pid, &status, 0) == rig_pid);
	rig_pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static inline bool is_mounted(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mounts", "re");
	char line[1024];
	bool found = false;

	must(f);
	while (fgets(line, sizeof(line), f))
		found = found || strstr(line, path);
	return found;
}

/* The process has ended. */
static inline void rig_done(struct rig *r)
{
	char lock[160];

	mem_close_fs(&r->mem);
	shutdown(r->listener, SHUT_RDWR);
	must(!pthread_join(r->clusterd, NULL));
	close(r->listener);
	assert_false(is_mounted(r->path));
	rig_path[0] = '\0';
	unlink(r->socket);
	snprintf(lock, sizeof(lock), "%s/csv-" UUID_TEXT "-mount.lock", r->folder);
	unlink(lock);
	assert_int_equal(rmdir(r->path), 0);
	assert_int_equal(rmdir(r->folder), 0);
}

static inline void rig_close(struct rig *r)
{
	rig_order_stop(r);
	assert_int_equal(rig_reap(), 0);
	rig_wait_phase(r, CSV_LINK_STOPPED);
	rig_done(r);
}

/* path/name, in one of a few buffers. */
static inline const char *at(const struct rig *r, const char *name)
{
	static char buf[4][512];
	static unsigned int n;
	char *p = buf[n++ % 4];

	snprintf(p, sizeof(buf[0]), "%s/%s", r->path, name);
	return p;
}

#endif
