/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/mount_point.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/mountinfo.h"

#define USERS_MAX 3

static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return !strncmp(path, top, n) && path[n] == '/';
}

/* One somewhere below it: its path. */
static bool find_below(const char *path, char *ret, size_t cap)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	struct mountinfo m;
	bool found = false;

	while (f && mountinfo_next(f, &m)) {
		if (is_below(m.at, path)) {
			snprintf(ret, cap, "%s", m.at);
			found = true;
		}
	}
	return found;
}

int mount_point_resolve(const char *path, char *ret, size_t cap, char *why, size_t why_cap)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_free_ char *folder = NULL;
	struct mountinfo m;
	char *name;
	struct stat st;
	int n;

	if (!copy)
		return -ENOMEM;
	while (strlen(copy) > 1 && copy[strlen(copy) - 1] == '/')
		copy[strlen(copy) - 1] = '\0';
	name = strrchr(copy, '/');
	if (copy[0] != '/' || !name[1] || !strcmp(name, "/.") || !strcmp(name, "/.."))
		return -EINVAL;
	*name++ = '\0';
	folder = realpath(*copy ? copy : "/", NULL);
	if (!folder)
		return -errno;
	n = snprintf(ret, cap, "%s/%s", strcmp(folder, "/") != 0 ? folder : "", name);
	if (n < 0 || (size_t)n >= cap)
		return -ENAMETOOLONG;
	/* Before lstat(2): a dead file system may be there. */
	if (mountinfo_at(ret, &m)) {
		snprintf(why, why_cap, "%s of type %s", m.source, m.type);
		return -EBUSY;
	}
	if (lstat(ret, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int mount_point_unmount(const char *path)
{
	return umount2(path, UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

int mount_point_detach(const char *path)
{
	return umount2(path, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

/* ---- who uses it: links of /proc, which name a path without walking it */

static bool link_uses(const char *link, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	return !strcmp(target, path) || is_below(target, path);
}

static bool fds_use(const char *pid, const char *path)
{
	char folder[64], link[PATH_MAX];
	const struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(folder, sizeof(folder), "/proc/%.20s/fd", pid);
	d = opendir(folder);
	while (d && !found && (e = readdir(d))) {
		snprintf(link, sizeof(link), "%s/%s", folder, e->d_name);
		found = link_uses(link, path);
	}
	if (d)
		closedir(d);
	return found;
}

static bool maps_use(const char *pid, const char *path)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	char name[64];
	size_t cap = 0;
	bool found = false;

	snprintf(name, sizeof(name), "/proc/%.20s/maps", pid);
	f = fopen(name, "re");
	while (f && !found && getline(&line, &cap, f) > 0) {
		const char *p = strchr(line, '/');

		found = p && is_below(p, path);
	}
	return found;
}

static bool process_uses(const char *pid, const char *path)
{
	static const char *const links[] = {"cwd", "root", "exe"};

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		char link[64];

		snprintf(link, sizeof(link), "/proc/%.20s/%s", pid, links[i]);
		if (link_uses(link, path))
			return true;
	}
	return fds_use(pid, path) || maps_use(pid, path);
}

static void name_process(const char *pid, char *ret, size_t cap)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], name[32] = "?";

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%31[^\n]", name) != 1)
		name[0] = '?';
	snprintf(ret, cap, "%s (%.20s)", name, pid);
}

static void append(char *list, size_t cap, const char *what)
{
	size_t n = strlen(list);

	snprintf(list + n, cap - n, "%s%s", n ? ", " : "", what);
}

void mount_point_users(const char *path, char *ret, size_t cap)
{
	char what[128];
	DIR *d = opendir("/proc");
	const struct dirent *e;
	unsigned int count = 0;

	ret[0] = '\0';
	if (find_below(path, what, sizeof(what))) {
		append(ret, cap, what);
		count++;
	}
	while (d && count < USERS_MAX && (e = readdir(d))) {
		if (!isdigit((unsigned char)e->d_name[0]) || !process_uses(e->d_name, path))
			continue;
		name_process(e->d_name, what, sizeof(what));
		append(ret, cap, what);
		count++;
	}
	if (d)
		closedir(d);
}
