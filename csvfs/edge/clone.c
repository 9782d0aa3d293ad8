/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/clone.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "csvfs/edge/clock.h"
#include "csvfs/edge/progress.h"
#include "csvfs/edge/unshare.h"

/* Asked for at once; the volume does as much of it as it does under one lock. */
#define PIECE_BYTES (UINT64_C(1) << 30)

struct clone {
	const char *from, *to;
	char tmp[PATH_MAX];
	int from_fd, to_fd;
	const struct clone_options *options;
	struct stat st;
	struct clone_result *result;
	char *text;
	size_t text_size;
};

__attribute__((format(printf, 3, 4))) static int fail(struct clone *c, int r, const char *format,
						      ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(c->text, c->text_size, format, ap);
	va_end(ap);
	return r;
}

static uint64_t free_bytes(int fd)
{
	struct statvfs v;

	return fstatvfs(fd, &v) ? 0 : (uint64_t)v.f_bfree * v.f_frsize;
}

static int open_source(struct clone *c)
{
	int r;

	c->from_fd = open(c->from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (c->from_fd < 0 || fstat(c->from_fd, &c->st)) {
		r = -errno;
		return fail(c, r, "%s: %s", c->from, strerror(-r));
	}
	if (!S_ISREG(c->st.st_mode))
		return fail(c, -EINVAL, "%s: only regular files have clones", c->from);
	return 0;
}

/* Under a name that nobody uses, in the folder of the clone. */
static int open_temporary(struct clone *c)
{
	const char *slash = strrchr(c->to, '/'), *name = slash ? slash + 1 : c->to;
	uint64_t number = 0;
	int r;

	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return fail(c, -EINVAL, "%s: the clone needs a name", c->to);
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return fail(c, -EIO, "the kernel gives no random numbers");
	if (c->options->temporary)
		r = snprintf(c->tmp, sizeof(c->tmp), "%s", c->options->temporary);
	else
		r = snprintf(c->tmp, sizeof(c->tmp), "%.*s.%s.clone-%016" PRIx64,
			     (int)(name - c->to), c->to, name, number);
	if (r < 0 || (size_t)r >= sizeof(c->tmp))
		return fail(c, -ENAMETOOLONG, "%s: %s", c->to, strerror(ENAMETOOLONG));
	c->to_fd = open(c->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (c->to_fd < 0) {
		r = -errno;
		c->tmp[0] = 0;
		return fail(c, r, "%s: %s", c->to, strerror(-r));
	}
	return 0;
}

static int share(struct clone *c)
{
	uint64_t size = (uint64_t)c->st.st_size;

	for (uint64_t at = 0; at < size;) {
		loff_t from = (loff_t)at, to = (loff_t)at;
		uint64_t left = size - at;
		ssize_t n = copy_file_range(c->from_fd, &from, c->to_fd, &to,
					    left < PIECE_BYTES ? left : PIECE_BYTES, 0);
		int r = n < 0 ? -errno : 0;

		if (progress_is_interrupted())
			return fail(c, -EINTR, "%s: interrupted; nothing was made", c->to);
		if (r == -EINTR)
			continue;
		if (r == -EXDEV)
			return fail(c, r,
				    "%s and %s are not on one volume: blocks cannot be shared",
				    c->from, c->to);
		if (r)
			return fail(c, r, "%s: %s; nothing was made", c->to, strerror(-r));
		if (!n)
			return fail(c, -ESTALE, "%s: was cut meanwhile; nothing was made", c->from);
		at += (uint64_t)n;
		c->result->requests++;
		progress_say(at, size);
	}
	return 0;
}

/* The owner first: giving a file away takes its suid bits. */
static int dress(struct clone *c)
{
	mode_t mode = c->st.st_mode & 07777;
	int r = 0;

	if (fchown(c->to_fd, c->st.st_uid, c->st.st_gid)) {
		r = errno == EPERM ? 0 : -errno;
		mode &= 0777;
	}
	if (!r && (fchmod(c->to_fd, mode) || fsync(c->to_fd)))
		r = -errno;
	if (!r && c->options->mark &&
	    fsetxattr(c->to_fd, CLONE_MARK, c->options->mark, strlen(c->options->mark), 0))
		r = -errno;
	return r ? fail(c, r, "%s: %s; nothing was made", c->to, strerror(-r)) : 0;
}

static int give_name(struct clone *c)
{
	unsigned int flags = c->options->is_forced ? 0 : RENAME_NOREPLACE;
	int r = renameat2(AT_FDCWD, c->tmp, AT_FDCWD, c->to, flags) ? -errno : 0;

	if (r == -EEXIST)
		return fail(c, r, "%s exists: --force replaces it", c->to);
	if (r)
		return fail(c, r, "%s: %s", c->to, strerror(-r));
	c->tmp[0] = 0;
	return 0;
}

/* Said before the work; give_name() looks again. */
static int look_at_target(struct clone *c)
{
	struct stat st;

	if (lstat(c->to, &st))
		return 0;
	if (!c->options->is_forced)
		return fail(c, -EEXIST, "%s exists: --force replaces it", c->to);
	if (st.st_dev == c->st.st_dev && st.st_ino == c->st.st_ino)
		return fail(c, -EINVAL, "%s and %s are one file", c->from, c->to);
	if (!S_ISREG(st.st_mode))
		return fail(c, -EEXIST, "%s is no regular file: it is not replaced", c->to);
	return 0;
}

int clone_file(const char *from, const char *to, const struct clone_options *options,
	       struct clone_result *ret, char *text, size_t text_size)
{
	struct clone c = {.from = from,
			  .to = to,
			  .from_fd = -1,
			  .to_fd = -1,
			  .options = options,
			  .result = ret,
			  .text = text,
			  .text_size = text_size};
	uint64_t begun_ms = csv_monotonic_ms(), before = 0, after;
	int r;

	*ret = (struct clone_result){0};
	r = open_source(&c);
	r = r ? r : look_at_target(&c);
	r = r ? r : open_temporary(&c);
	if (!r) {
		before = free_bytes(c.to_fd);
		r = share(&c);
	}
	r = r ? r : dress(&c);
	r = r ? r : give_name(&c);
	if (!r) {
		after = free_bytes(c.to_fd);
		ret->ms = (uint32_t)(csv_monotonic_ms() - begun_ms);
		ret->bytes = (uint64_t)c.st.st_size;
		ret->free_bytes = before > after ? before - after : 0;
		ret->shared_bytes = fstat(c.to_fd, &c.st) ? 0 : (uint64_t)c.st.st_blocks * 512;
	}
	if (c.tmp[0])
		unlink(c.tmp);
	if (c.from_fd >= 0)
		close(c.from_fd);
	if (c.to_fd >= 0)
		close(c.to_fd);
	return r;
}

/* ---- the way back */

static int unshare_piece(struct clone *c, uint64_t at, uint64_t end)
{
	struct unshare_range range = {at, end - at};
	int r = ioctl(c->to_fd, UNSHARE_IOCTL, &range) ? -errno : 0;

	if (progress_is_interrupted())
		return fail(c, -EINTR, "%s: interrupted; the same command goes on", c->to);
	if (!r || r == -EINTR)
		return r;
	if (r == -ENOTTY || r == -ENOSYS)
		return fail(c, -ENOTTY, "%s: is no file of a volume of this version", c->to);
	return fail(c, r, "%s: %s, at %" PRIu64 " MiB; the same command goes on", c->to,
		    strerror(-r), at >> 20);
}

/* Only data: the coordinator would fill holes with unwritten space. */
static int unshare_all(struct clone *c, uint64_t *at)
{
	uint64_t size = (uint64_t)c->st.st_size;
	int r = 0;

	while (!r && *at < size) {
		off_t data = lseek(c->to_fd, (off_t)*at, SEEK_DATA), end;

		if (data < 0 && errno == ENXIO)
			break;
		end = data < 0 ? -1 : lseek(c->to_fd, data, SEEK_HOLE);
		if (end <= data)
			return fail(c, -errno, "%s: %s", c->to, strerror(errno));
		if ((uint64_t)(end - data) > UNSHARE_MAX)
			end = data + (off_t)UNSHARE_MAX;
		r = unshare_piece(c, (uint64_t)data, (uint64_t)end);
		if (r == -EINTR && !progress_is_interrupted())
			r = 0;
		else if (!r)
			*at = (uint64_t)end;
		if (!r)
			progress_say(*at, size);
	}
	if (!r)
		progress_say(size, size);
	return r;
}

int unshare_file(const char *path, uint64_t *ret_bytes, char *text, size_t text_size)
{
	struct clone c = {.to = path, .to_fd = -1, .text = text, .text_size = text_size};
	int r;

	*ret_bytes = 0;
	c.to_fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (c.to_fd < 0 || fstat(c.to_fd, &c.st)) {
		r = fail(&c, -errno, "%s: %s", path, strerror(errno));
	} else if (!S_ISREG(c.st.st_mode)) {
		r = fail(&c, -EINVAL, "%s: only regular files share blocks", path);
	} else {
		r = unshare_all(&c, ret_bytes);
	}
	if (c.to_fd >= 0)
		close(c.to_fd);
	return r;
}
