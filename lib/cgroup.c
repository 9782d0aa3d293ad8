/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* The path of our own group, below that of all; "" is that one. */
static int own(char *path, size_t size)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/cgroup", "re");
	char line[CGROUP_PATH_MAX];

	while (f && fgets(line, sizeof(line), f)) {
		char *end;

		if (strncmp(line, "0::/", 4) != 0)
			continue;
		end = strchr(line, '\n');
		if (!end)
			return -ENAMETOOLONG; /* what is cut may name another group */
		*end = 0;
		if (snprintf(path, size, "%s", line + 3) >= (int)size)
			return -ENAMETOOLONG;
		return access(CGROUP_ROOT "/cgroup.procs", F_OK) ? -ENOENT : 0;
	}
	return -ENOENT;
}

/* The path of the group `name` beside ours. */
static int beside(const char *name, char *path, size_t size)
{
	char ours[CGROUP_PATH_MAX];
	int r = own(ours, sizeof(ours));

	if (r)
		return r;
	*strrchr(ours, '/') = 0; /* there is one: it begins with it */
	if (snprintf(path, size, "%s%s/%s", CGROUP_ROOT, ours, name) >= (int)size)
		return -ENAMETOOLONG;
	return 0;
}

int cgroup_enter_own(const char *name)
{
	static const char suffix[] = ".service";
	char path[CGROUP_PATH_MAX], below[CGROUP_PATH_MAX];
	size_t len;
	int r = own(path, sizeof(path));

	len = r ? 0 : strlen(path);
	if (r == -ENOENT ||
	    (!r && (len < sizeof(suffix) || strcmp(path + len - sizeof(suffix) + 1, suffix) != 0)))
		return 0;
	if (r)
		return r;
	if (snprintf(below, sizeof(below), "%s/%s", strrchr(path, '/') + 1, name) >=
	    (int)sizeof(below))
		return -ENAMETOOLONG;
	return cgroup_put_beside(below, getpid(), NULL, 0);
}

int cgroup_put_beside(const char *name, pid_t pid, char *ret_path, size_t size)
{
	char path[CGROUP_PATH_MAX], procs[CGROUP_PATH_MAX + 16], text[16];
	_cleanup_close_ int fd = -1;
	int r = beside(name, path, sizeof(path));

	if (r)
		return r;
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	snprintf(text, sizeof(text), "%d", (int)pid);
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	if (ret_path)
		snprintf(ret_path, size, "%s", path);
	return 0;
}

/* A file of the group `name`; -ENOENT also without such a group. */
static int open_beside(const char *name, const char *file, int flags)
{
	char path[CGROUP_PATH_MAX], full[CGROUP_PATH_MAX + 32];
	int r = beside(name, path, sizeof(path));

	if (r)
		return r;
	snprintf(full, sizeof(full), "%s/%s", path, file);
	r = open(full, flags | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

int cgroup_open_beside(const char *name)
{
	_cleanup_close_ int kill_fd = -1;
	char path[CGROUP_PATH_MAX];
	int r = beside(name, path, sizeof(path));

	if (r)
		return r;
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	kill_fd = open_beside(name, "cgroup.kill", O_WRONLY);
	if (kill_fd < 0)
		return kill_fd == -ENOENT ? -EOPNOTSUPP : kill_fd;
	return open_beside(name, "cgroup.procs", O_WRONLY);
}

int cgroup_kill_beside(const char *name)
{
	_cleanup_close_ int fd = open_beside(name, "cgroup.kill", O_WRONLY);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return write(fd, "1", 1) == 1 ? 0 : -errno;
}

int cgroup_is_populated_beside(const char *name)
{
	_cleanup_close_ int fd = open_beside(name, "cgroup.events", O_RDONLY);
	char text[256];
	ssize_t n;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	text[n] = 0;
	return strstr(text, "populated 1") != NULL;
}

int cgroup_remove_beside(const char *name)
{
	char path[CGROUP_PATH_MAX];
	int r = beside(name, path, sizeof(path));

	return r ? r : rmdir(path) ? -errno : 0;
}
