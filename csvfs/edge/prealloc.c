/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/prealloc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csvfs/edge/progress.h"

#define CHUNK (UINT64_C(1) << 20) /* written at once */

/* In order, in whole chunks: so the blocks lie together, and the file system converts few of them
 * at a time. */
static int fill(int fd, uint64_t at, uint64_t end, uint64_t size, const void *zeros)
{
	while (at < end) {
		uint64_t n = end - at < CHUNK ? end - at : CHUNK;
		ssize_t done = pwrite(fd, zeros, n, (off_t)at);

		if (progress_is_interrupted())
			return -EINTR;
		if (done < 0 && errno != EINTR)
			return -errno;
		at += done > 0 ? (uint64_t)done : 0;
		if (at < size)
			progress_say(at, size);
	}
	return 0;
}

/* Wherever nothing was written yet. */
static int fill_holes(int fd, uint64_t size, const void *zeros)
{
	uint64_t at = 0;
	int r = 0;

	while (!r && at < size) {
		off_t hole = lseek(fd, (off_t)at, SEEK_HOLE), data;

		if (hole < 0)
			return -errno;
		if ((uint64_t)hole >= size)
			break;
		data = lseek(fd, hole, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return -errno;
		at = data < 0 || (uint64_t)data > size ? size : (uint64_t)data;
		r = fill(fd, (uint64_t)hole, at, size, zeros);
	}
	return r;
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
	r = r ? r : fill_holes(fd, size, zeros);
	r = r || !fsync(fd) ? r : -errno;
	if (!r)
		progress_say(size, size);
	free(zeros);
	return r;
}

/* It is too small, or it has another size than was asked for. */
static int look(int fd, const char *path, uint64_t size, char *text, size_t text_size)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		snprintf(text, text_size, "%s: is no regular file", path);
		return -EINVAL;
	}
	if (!st.st_size || (uint64_t)st.st_size == size)
		return 0;
	snprintf(text, text_size, "%s: has %" PRIu64 " bytes, not the %" PRIu64 " of --size", path,
		 (uint64_t)st.st_size, size);
	return -EEXIST;
}

static bool is_size(uint64_t size, char *text, size_t text_size)
{
	if (size >= PREALLOC_MIN && !(size % PREALLOC_ALIGN) && size <= INT64_MAX)
		return true;
	snprintf(text, text_size,
		 "a size of %" PRIu64 ": it has to be a multiple of %d, and 1 MiB at least", size,
		 PREALLOC_ALIGN);
	return false;
}

static int open_file(const char *path, int flags, char *text, size_t text_size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600), r = -errno;

	if (fd >= 0)
		return fd;
	snprintf(text, text_size, "%s: %s%s", path, strerror(-r),
		 r == -EEXIST && !(flags & O_DIRECT) ? ""
		 : r == -EEXIST ? "; --continue fills it where nothing was written yet"
				: "");
	return r;
}

int prealloc(const char *path, uint64_t size, bool is_continued, char *text, size_t text_size)
{
	int fd, r;

	if (!is_size(size, text, text_size))
		return -EINVAL;
	fd = open_file(path, O_DIRECT | (is_continued ? O_NONBLOCK : O_EXCL), text, text_size);
	if (fd < 0)
		return fd;
	r = is_continued ? look(fd, path, size, text, text_size) : 0;
	if (r) {
		close(fd);
		return r;
	}
	r = make(fd, size);
	close(fd);
	if (r && is_continued) {
		snprintf(text, text_size, "%s: %s; the same command goes on", path, strerror(-r));
	} else if (r) {
		snprintf(text, text_size, "%s: %s; it is removed again", path, strerror(-r));
		unlink(path);
	}
	return r;
}

int prealloc_sparse(const char *path, uint64_t size, char *text, size_t text_size)
{
	int fd, r;

	if (!is_size(size, text, text_size))
		return -EINVAL;
	fd = open_file(path, O_EXCL, text, text_size);
	if (fd < 0)
		return fd;
	r = ftruncate(fd, (off_t)size) || fsync(fd) ? -errno : 0;
	close(fd);
	if (r) {
		snprintf(text, text_size, "%s: %s; it is removed again", path, strerror(-r));
		unlink(path);
	} else {
		progress_say(size, size);
	}
	return r;
}
