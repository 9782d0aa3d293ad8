/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/stream.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define REMOTE_MAX 48

/* The far end as the kernel writes it: words of the address as they lie in memory, and the port. */
static bool remote_text(const char *address, uint16_t port, char ret[REMOTE_MAX])
{
	uint32_t word[4];

	if (inet_pton(AF_INET, address, word) == 1)
		snprintf(ret, REMOTE_MAX, "%08X:%04X", word[0], port);
	else if (inet_pton(AF_INET6, address, word) == 1)
		snprintf(ret, REMOTE_MAX, "%08X%08X%08X%08X:%04X", word[0], word[1], word[2],
			 word[3], port);
	else
		return false;
	return true;
}

unsigned long stream_next_inode(FILE *table, const char *address, uint16_t port)
{
	_cleanup_free_ char *line = NULL;
	char wanted[REMOTE_MAX], remote[REMOTE_MAX];
	unsigned long inode;
	size_t cap = 0;

	if (!remote_text(address, port, wanted))
		return 0;
	/* sl local rem st queues timer retransmits uid timeout inode */
	while (getline(&line, &cap, table) > 0) {
		if (sscanf(line, "%*s %*s %47s %*s %*s %*s %*s %*s %*s %lu", remote, &inode) == 2 &&
		    !strcmp(remote, wanted) && inode)
			return inode;
	}
	return 0;
}

/* The process's own descriptor of that socket, here; -ENOENT. */
static int take_socket(pid_t pid, unsigned long inode)
{
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);
	char folder[64], path[96], link[64], wanted[64];
	const struct dirent *e;
	DIR *d;
	int fd = -ENOENT;

	snprintf(folder, sizeof(folder), "/proc/%d/fd", (int)pid);
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
	d = pidfd < 0 ? NULL : opendir(folder);
	if (!d)
		return -errno;
	while (fd == -ENOENT && (e = readdir(d))) {
		ssize_t n;

		snprintf(path, sizeof(path), "%s/%.24s", folder, e->d_name);
		n = readlink(path, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		if (strcmp(link, wanted) != 0)
			continue;
		fd = pidfd_getfd(pidfd, atoi(e->d_name), 0);
		if (fd < 0)
			fd = errno == EBADF ? -ENOENT : -errno;
	}
	closedir(d);
	return fd;
}

int stream_shut(pid_t pid, const char *address, uint16_t port)
{
	bool is_v6 = strchr(address, ':');
	_cleanup_fclose_ FILE *table = NULL;
	unsigned long inode;
	char path[64];
	int count = 0;

	snprintf(path, sizeof(path), "/proc/%d/net/tcp%s", (int)pid, is_v6 ? "6" : "");
	table = fopen(path, "re");
	if (!table)
		return -errno;
	while ((inode = stream_next_inode(table, address, port))) {
		_cleanup_close_ int fd = take_socket(pid, inode);

		if (fd < 0 && fd != -ENOENT)
			return fd;
		if (fd >= 0 && (!shutdown(fd, SHUT_RDWR) || errno == ENOTCONN))
			count++;
	}
	return count;
}
