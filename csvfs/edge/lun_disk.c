/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"
#include "lib/must.h"

int lun_fail(const struct lun_text *t, int error, const char *fmt, ...)
{
	va_list ap;

	if (!t->buf || !t->size)
		return error;
	va_start(ap, fmt);
	vsnprintf(t->buf, t->size, fmt, ap);
	va_end(ap);
	return error;
}

void *lun_buffer(size_t n)
{
	void *p;

	if (posix_memalign(&p, LUN_PAGE_BYTES, n))
		return NULL;
	memset(p, 0, n);
	return p;
}

static int open_failed(const char *path, int error, const struct lun_text *text)
{
	switch (error) {
	case ENOENT:
		return lun_fail(text, -error, "%s: there is no such device or file", path);
	case EACCES:
	case EPERM:
		return lun_fail(text, -error, "%s: not permitted to open it (%s): try as root",
				path, strerror(error));
	case EINVAL:
		return lun_fail(text, -EOPNOTSUPP,
				"%s: no direct I/O is possible here: use a block device, or a "
				"file on a file system that does direct I/O",
				path);
	default:
		return lun_fail(text, -error, "%s: cannot be opened: %s", path, strerror(error));
	}
}

/* Kind, size and block size of what is open. */
static int disk_measure(struct lun_disk *d, const struct stat *st, const struct lun_text *text)
{
	int block = 512;

	d->is_block = S_ISBLK(st->st_mode);
	if (!d->is_block && !S_ISREG(st->st_mode))
		return lun_fail(text, -ENOTBLK, "%s: neither a block device nor a regular file",
				d->path);
	d->rdev = d->is_block ? st->st_rdev : 0;
	d->dev = st->st_dev;
	d->ino = st->st_ino;
	d->bytes = (uint64_t)st->st_size;
	if (d->is_block &&
	    (ioctl(d->fd, BLKGETSIZE64, &d->bytes) < 0 || ioctl(d->fd, BLKSSZGET, &block) < 0))
		return lun_fail(text, -errno, "%s: the kernel does not tell its size: %s", d->path,
				strerror(errno));
	if (block != 512 && block != 4096)
		return lun_fail(text, -EOPNOTSUPP,
				"%s: logical blocks of %d bytes; only 512 and 4096 work", d->path,
				block);
	d->block_bytes = (uint32_t)block;
	return 0;
}

int lun_disk_open(const char *path, bool is_writable, struct lun_disk *ret,
		  const struct lun_text *text)
{
	struct lun_disk d = {.fd = -1, .is_writable = is_writable};
	int flags = is_writable ? O_RDWR | O_DSYNC : O_RDONLY;
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return open_failed(path, errno, text);
	d.path = strdup(path);
	if (!d.path)
		return lun_fail(text, -ENOMEM, "out of memory");
	if (S_ISBLK(st.st_mode) || S_ISREG(st.st_mode)) {
		d.fd = open(path, flags | O_DIRECT | O_CLOEXEC | O_NONBLOCK);
		if (d.fd < 0) {
			r = open_failed(path, errno, text);
			goto fail;
		}
		if (fstat(d.fd, &st) < 0) {
			r = lun_fail(text, -errno, "%s: fstat: %s", path, strerror(errno));
			goto fail;
		}
	}
	r = disk_measure(&d, &st, text);
	if (r)
		goto fail;
	*ret = d;
	return 0;
fail:
	lun_disk_close(&d);
	return r;
}

void lun_disk_close(struct lun_disk *d)
{
	free(d->path);
	d->path = NULL;
	lib_closep(&d->fd);
	d->fd = -1;
}

int lun_disk_reopen(const struct lun_disk *d, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", d->fd);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return fd;
}

static bool is_aligned(uint64_t place, const void *buf, size_t n)
{
	return !((place | (uintptr_t)buf | n) % LUN_PAGE_BYTES);
}

int lun_disk_read(const struct lun_disk *d, uint64_t place, void *buf, size_t n)
{
	size_t done = 0;

	must(is_aligned(place, buf, n));
	while (done < n) {
		ssize_t got = pread(d->fd, (char *)buf + done, n - done, (off_t)(place + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		done += (size_t)got;
		if (got && !(done % LUN_PAGE_BYTES))
			continue;
		if (place + done < d->bytes)
			return -EIO; /* it became smaller, or is going away */
		memset((char *)buf + done, 0, n - done);
		return 0;
	}
	return 0;
}

int lun_disk_write(const struct lun_disk *d, uint64_t place, const void *buf, size_t n)
{
	size_t done = 0;

	must(is_aligned(place, buf, n));
	while (done < n) {
		ssize_t put =
			pwrite(d->fd, (const char *)buf + done, n - done, (off_t)(place + done));

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		if (!put || put % LUN_PAGE_BYTES)
			return -EIO;
		done += (size_t)put;
	}
	return 0;
}

int lun_disk_write_verified(const struct lun_disk *d, uint64_t place, const void *buf, size_t n)
{
	_cleanup_free_ void *back = lun_buffer(n);
	int r;

	if (!back)
		return -ENOMEM;
	r = lun_disk_write(d, place, buf, n);
	if (!r)
		r = lun_disk_read(d, place, back, n);
	if (r)
		return r;
	return memcmp(back, buf, n) ? -EIO : 0;
}

int lun_disk_zero(const struct lun_disk *d, struct lun_range r)
{
	_cleanup_free_ void *zero = lun_buffer(LUN_CHUNK_BYTES);
	int e = zero ? 0 : -ENOMEM;

	for (uint64_t done = 0; !e && done < r.bytes;) {
		uint64_t n = r.bytes - done < LUN_CHUNK_BYTES ? r.bytes - done : LUN_CHUNK_BYTES;

		e = lun_disk_write(d, r.start + done, zero, (size_t)n);
		done += n;
	}
	return e;
}
