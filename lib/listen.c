/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/banned.h"
#include "lib/cleanup.h"

#define SUFFIX ".new"

_Static_assert(LISTEN_PATH_MAX + sizeof(SUFFIX) == sizeof(((struct sockaddr_un *)0)->sun_path),
	       "a path and its suffix fill sun_path");

int listen_unix(const char *path, int type, mode_t mode, int backlog)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	int r;

	if (strlen(path) > LISTEN_PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s" SUFFIX, path);
	if (unlink(a.sun_path) < 0 && errno != ENOENT)
		return -errno;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	if (chmod(a.sun_path, mode) < 0 || listen(fd, backlog) < 0 ||
	    rename(a.sun_path, path) < 0) {
		r = -errno;
		unlink(a.sun_path);
		return r;
	}
	return steal_fd(&fd);
}
