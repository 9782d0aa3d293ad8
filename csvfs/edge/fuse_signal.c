/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which signal ends a wait. The kernel sends FUSE_INTERRUPT for every signal, also for one that
 * the program handles and goes on. A local file system would not let that one in: stat(2) that
 * fails with EINTR because a timer ticked or a child ended breaks programs. So a wait ends only
 * for a signal that ends the caller, as on NFS (nfs(5), hard). /proc says which one that is.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "csvfs/edge/fuse_impl.h"
#include "lib/cleanup.h"

#define STATUS_MAX 4096
#define BIT(sig)   (UINT64_C(1) << ((sig)-1))

/* Nothing happens, or it stops: signal(7). */
#define HARMLESS                                                                                   \
	(BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGSTOP) | BIT(SIGTSTP) | \
	 BIT(SIGTTIN) | BIT(SIGTTOU))

static bool get_mask(const char *status, const char *name, uint64_t *ret)
{
	const char *p = strstr(status, name);
	char *end;
	uint64_t v;

	if (!p)
		return false;
	p += strlen(name);
	v = strtoull(p, &end, 16);
	if (end == p)
		return false;
	*ret = v;
	return true;
}

bool signal_ends_text(const char *status)
{
	uint64_t mine, shared, blocked, ignored, caught;

	if (!get_mask(status, "\nSigPnd:", &mine) || !get_mask(status, "\nShdPnd:", &shared) ||
	    !get_mask(status, "\nSigBlk:", &blocked) || !get_mask(status, "\nSigIgn:", &ignored) ||
	    !get_mask(status, "\nSigCgt:", &caught))
		return true;
	if ((mine | shared) & BIT(SIGKILL)) /* also: another one has begun to end all threads */
		return true;
	return ((mine | shared) & ~blocked & ~ignored & ~caught & ~HARMLESS) != 0;
}

static bool read_status(pid_t thread, char ret_text[STATUS_MAX])
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	if (thread <= 0) /* of another PID namespace */
		return false;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, ret_text, STATUS_MAX - 1);
	if (n < 0)
		return false;
	ret_text[n] = '\0';
	return true;
}

bool signal_ends(pid_t thread)
{
	char text[STATUS_MAX];

	return !read_status(thread, text) || signal_ends_text(text);
}

bool thread_owns_all(pid_t thread)
{
	char text[STATUS_MAX];
	uint64_t caps;

	return read_status(thread, text) && get_mask(text, "\nCapEff:", &caps) &&
	       (caps & (UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_FOWNER));
}
