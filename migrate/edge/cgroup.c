/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/mountinfo.h"
#include "migrate/edge/due.h"

/* Where the first cgroup2 is mounted. */
static int find_mount(char *ret, size_t cap)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	struct mountinfo m;

	while (f && mountinfo_next(f, &m)) {
		if (!strcmp(m.type, "cgroup2"))
			return snprintf(ret, cap, "%s", m.at) < (int)cap ? 0 : -ENAMETOOLONG;
	}
	return -ENOENT;
}

/* Our own group below the mount: "0::/path". */
static int find_own(char *ret, size_t cap)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/cgroup", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0) {
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(ret, cap, "%s", strcmp(line, "0::/") == 0 ? "" : line + 3);
		return 0;
	}
	return -ENOENT;
}

static int open_file(const char *path, const char *file, int flags)
{
	char full[CGROUP_PATH + 32];
	int fd;

	snprintf(full, sizeof(full), "%s/%s", path, file);
	fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int cgroup_open_procs(const char *path)
{
	return open_file(path, "cgroup.procs", O_WRONLY);
}

int cgroup_make(const char *name, char ret_path[CGROUP_PATH])
{
	char mount[CGROUP_PATH], own[CGROUP_PATH], path[3 * CGROUP_PATH];
	_cleanup_close_ int fd = -1;
	int r = find_mount(mount, sizeof(mount));

	r = r ? r : find_own(own, sizeof(own));
	if (r)
		return r;
	if (snprintf(path, sizeof(path), "%s%s/%s", mount, own, name) >= CGROUP_PATH)
		return -ENAMETOOLONG;
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	/* An old kernel has no cgroup.kill (5.14): then the group is of no use. */
	fd = open_file(path, "cgroup.kill", O_WRONLY);
	if (fd < 0) {
		rmdir(path);
		return fd;
	}
	memcpy(ret_path, path, strlen(path) + 1);
	return 0;
}

static bool read_populated(int fd)
{
	char text[256];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return strstr(text, "populated 1") != NULL;
}

bool cgroup_is_populated(const char *path)
{
	_cleanup_close_ int fd = open_file(path, "cgroup.events", O_RDONLY);

	return fd >= 0 && read_populated(fd);
}

int cgroup_kill(const char *path)
{
	_cleanup_close_ int fd = open_file(path, "cgroup.kill", O_WRONLY);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	return write(fd, "1", 1) == 1 ? 0 : -errno;
}

int cgroup_wait_empty(const char *path, int timeout_ms)
{
	_cleanup_close_ int fd = open_file(path, "cgroup.events", O_RDONLY);
	uint64_t end_ms = due_now_ms() + (uint64_t)timeout_ms;

	/* A change of the file since it was last read shows as POLLPRI. */
	while (fd >= 0 && read_populated(fd)) {
		struct pollfd p = {.fd = fd, .events = POLLPRI};
		uint64_t now_ms = due_now_ms();

		if (now_ms >= end_ms)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)(end_ms - now_ms)) < 0 && errno != EINTR)
			return -errno;
	}
	return 0;
}

void cgroup_remove(const char *path)
{
	rmdir(path);
}
