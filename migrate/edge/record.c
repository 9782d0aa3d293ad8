/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/record.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "lib/cleanup.h"

struct record {
	pid_t pid;
	uint64_t start; /* clock ticks since boot, of /proc/PID/stat: a number is used again */
	char cgroup[CGROUP_PATH];
};

int record_path(const char *run_dir, const uint8_t uuid[UUID_BYTES], const char *suffix,
		char ret[RECORD_PATH])
{
	char text[UUID_TEXT];

	uuid_text(uuid, text);
	if (snprintf(ret, RECORD_PATH, "%s/vm-%s.%s", run_dir, text, suffix) >= RECORD_PATH)
		return -ENAMETOOLONG;
	return 0;
}

static int lock(const char *run_dir, const uint8_t uuid[UUID_BYTES], int how)
{
	char path[RECORD_PATH];
	_cleanup_close_ int fd = -1;
	int r = record_path(run_dir, uuid, "lock", path);

	if (r)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, how) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return steal_fd(&fd);
}

int record_lock(const char *run_dir, const uint8_t uuid[UUID_BYTES])
{
	return lock(run_dir, uuid, LOCK_EX | LOCK_NB);
}

int record_lock_wait(const char *run_dir, const uint8_t uuid[UUID_BYTES])
{
	return lock(run_dir, uuid, LOCK_EX);
}

/* Field 22 of /proc/PID/stat; the name in field 2 may hold anything, so from its last ')'. 0: gone,
 * or a zombie. */
static uint64_t start_of(pid_t pid)
{
	char path[64], text[1024], state;
	_cleanup_close_ int fd = -1;
	unsigned long long start;
	const char *at;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strrchr(text, ')');
	if (!at || sscanf(at + 1,
			  " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			  "%*s %*s %llu",
			  &state, &start) != 2)
		return 0;
	return state == 'Z' || state == 'X' ? 0 : start;
}

int record_write(const char *run_dir, const uint8_t uuid[UUID_BYTES], int qemu_pid,
		 const char *cgroup)
{
	_cleanup_(json_decrefp) json_t *o =
		json_pack("{s:i, s:I, s:s}", "qemu_pid", qemu_pid, "qemu_start",
			  (json_int_t)start_of(qemu_pid), "cgroup", cgroup);
	char path[RECORD_PATH], temporary[RECORD_PATH];
	int r = record_path(run_dir, uuid, "json", path);

	r = r ? r : record_path(run_dir, uuid, "json.new", temporary);
	if (r || !o)
		return r ? r : -ENOMEM;
	if (json_dump_file(o, temporary, JSON_COMPACT) || rename(temporary, path) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

void record_remove(const char *run_dir, const uint8_t uuid[UUID_BYTES])
{
	char path[RECORD_PATH];

	if (!record_path(run_dir, uuid, "json", path))
		unlink(path);
}

static bool read_record(const char *run_dir, const uint8_t uuid[UUID_BYTES], struct record *ret)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	const char *cgroup;
	char path[RECORD_PATH];
	json_int_t start;

	if (record_path(run_dir, uuid, "json", path))
		return false;
	o = json_load_file(path, 0, NULL);
	if (json_unpack(o, "{s:i, s:I, s:s}", "qemu_pid", &ret->pid, "qemu_start", &start, "cgroup",
			&cgroup) ||
	    strlen(cgroup) >= sizeof(ret->cgroup))
		return false;
	ret->start = (uint64_t)start;
	memcpy(ret->cgroup, cgroup, strlen(cgroup) + 1);
	return true;
}

static bool lives(const struct record *r)
{
	return (r->cgroup[0] && cgroup_is_populated(r->cgroup)) ||
	       (r->pid > 0 && r->start && start_of(r->pid) == r->start);
}

bool record_is_alive(const char *run_dir, const uint8_t uuid[UUID_BYTES])
{
	struct record r;

	return read_record(run_dir, uuid, &r) && lives(&r);
}

/* By a pidfd that was opened before its number was looked at: no stranger is hit. */
static int kill_process(const struct record *r)
{
	_cleanup_close_ int fd = pidfd_open(r->pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (fd < 0 || start_of(r->pid) != r->start)
		return 0;
	if (pidfd_send_signal(fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return -errno;
	return poll(&p, 1, RECORD_END_MS) > 0 ? 0 : -ETIMEDOUT;
}

int record_kill(const char *run_dir, const uint8_t uuid[UUID_BYTES])
{
	struct record rec;
	int r = 0;

	if (!read_record(run_dir, uuid, &rec))
		return 0;
	if (rec.cgroup[0]) {
		r = cgroup_kill(rec.cgroup);
		r = r ? r : cgroup_wait_empty(rec.cgroup, RECORD_END_MS);
	}
	if (!r && rec.pid > 0 && rec.start)
		r = kill_process(&rec);
	if (r)
		return r;
	if (rec.cgroup[0])
		cgroup_remove(rec.cgroup);
	record_remove(run_dir, uuid);
	return 0;
}
