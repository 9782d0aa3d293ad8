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

/* The path of the group `name` beside ours. */
static int beside(const char *name, char *path, size_t size)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/cgroup", "re");
	char line[CGROUP_PATH_MAX];

	while (f && fgets(line, sizeof(line), f)) {
		char *slash;

		if (strncmp(line, "0::/", 4) != 0)
			continue;
		if (!strchr(line, '\n'))
			return -ENAMETOOLONG; /* what is cut may name another group */
		slash = strrchr(line, '/');
		*slash = 0; /* there is one: see above */
		if (snprintf(path, size, "%s%s/%s", CGROUP_ROOT, line + 3, name) >= (int)size)
			return -ENAMETOOLONG;
		return access(CGROUP_ROOT "/cgroup.procs", F_OK) ? -ENOENT : 0;
	}
	return -ENOENT;
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

int cgroup_remove_beside(const char *name)
{
	char path[CGROUP_PATH_MAX];
	int r = beside(name, path, sizeof(path));

	return r ? r : rmdir(path) ? -errno : 0;
}
