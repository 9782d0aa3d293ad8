/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/prealloc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK	     (UINT64_C(1) << 20) /* written at once */
#define PROGRESS_MIB 64			 /* between two lines of progress */

static volatile sig_atomic_t is_interrupted;

static void on_signal(int number)
{
	(void)number;
	is_interrupted = 1;
}

static void say_progress(uint64_t at, uint64_t size)
{
	uint64_t mib = at >> 20;

	if (!isatty(STDERR_FILENO) || (mib % PROGRESS_MIB && at < size))
		return;
	fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " MiB%s", mib, size >> 20,
		at < size ? "" : "\n");
}

/* In order, in whole chunks: so the blocks lie together, and the file system converts few of them
 * at a time. */
static int fill(int fd, uint64_t size, const void *zeros)
{
	for (uint64_t at = 0; at < size;) {
		uint64_t n = size - at < CHUNK ? size - at : CHUNK;
		ssize_t done = pwrite(fd, zeros, n, (off_t)at);

		if (is_interrupted)
			return -EINTR;
		if (done < 0 && errno != EINTR)
			return -errno;
		at += done > 0 ? (uint64_t)done : 0;
		say_progress(at, size);
	}
	return fsync(fd) ? -errno : 0;
}

static int make(int fd, uint64_t size)
{
	void *zeros = aligned_alloc(PREALLOC_ALIGN, CHUNK);
	int r;

	if (!zeros)
		return -ENOMEM;
	memset(zeros, 0, CHUNK);
	/* All blocks at once, or none: it is known now if there are enough. */
	r = fallocate(fd, 0, 0, (off_t)size) ? -errno : 0;
	r = r ? r : fill(fd, size, zeros);
	free(zeros);
	return r;
}

int prealloc(const char *path, uint64_t size, char *text, size_t text_size)
{
	const struct sigaction action = {.sa_handler = on_signal};
	int fd, r;

	if (size < PREALLOC_MIN || size % PREALLOC_ALIGN || size > INT64_MAX) {
		snprintf(text, text_size,
			 "a size of %" PRIu64 ": it has to be a multiple of %d, and 1 MiB at least",
			 size, PREALLOC_ALIGN);
		return -EINVAL;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = -errno;
		snprintf(text, text_size, "%s: %s", path, strerror(-r));
		return r;
	}
	r = make(fd, size);
	close(fd);
	if (r) {
		snprintf(text, text_size, "%s: %s; it is removed again", path, strerror(-r));
		unlink(path);
	}
	return r;
}
