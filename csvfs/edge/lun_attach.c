/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block device that is exactly the data partition. What the kernel has already is taken if start
 * and length are equal; then BLKPG is tried, which the kernel refuses on device mapper, on a
 * partition, and where an old partition of its own overlaps; then a loop device, which is all there
 * is on a file.
 *
 * The loop does direct I/O, else it is not used: through the page cache it would not see what other
 * nodes write. Autoclear is on and we hold it open: a killed process leaves no loop, and one that
 * is mounted lives as long as the mount.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"

#define LOOP_TRIES_MAX 64 /* others take free loop devices, too */

static bool is_exact(const struct lun_dev *dev, const struct lun_range *data)
{
	return dev->is_on_lun && dev->extent.start == data->start &&
	       dev->extent.bytes == data->bytes &&
	       (dev->kind == LUN_DEV_PARTITION || (dev->kind == LUN_DEV_LOOP && dev->is_direct));
}

static int loop_is_right(const struct lun_disk *d, const struct lun_range *data,
			 const struct lun_attached *a)
{
	struct loop_info64 info;
	uint64_t bytes;

	if (ioctl(a->fd, LOOP_GET_STATUS64, &info) < 0 || ioctl(a->fd, BLKGETSIZE64, &bytes) < 0)
		return -errno;
	if (!(info.lo_flags & LO_FLAGS_DIRECT_IO))
		return -EOPNOTSUPP;
	if (d->is_writable && info.lo_flags & LO_FLAGS_READ_ONLY)
		return -EROFS;
	return info.lo_offset == data->start && bytes == data->bytes ? 0 : -EIO;
}

/* Takes a device that is there. 0: none is. 1: *a has it. */
static int take_existing(const struct lun_disk *d, const struct lun_range *data,
			 struct lun_attached *a, const struct lun_text *text)
{
	_cleanup_free_ struct lun_devs *devs = malloc(sizeof(*devs));
	const struct lun_dev *best = NULL;
	int r;

	if (!devs)
		return lun_fail(text, -ENOMEM, "out of memory");
	r = lun_devs_find(d, *data, devs, text);
	if (r)
		return r;
	for (unsigned int i = 0; i < devs->count; i++)
		if (is_exact(&devs->dev[i], data) &&
		    (!best || devs->dev[i].kind == LUN_DEV_PARTITION))
			best = &devs->dev[i];
	if (!best)
		return 0;
	r = lun_dev_path(best, a->dev, sizeof(a->dev));
	if (r)
		return lun_fail(text, r, "%s: /dev has no node of its data partition %s", d->path,
				best->name);
	if (best->kind == LUN_DEV_LOOP) {
		a->fd = open(a->dev, O_RDONLY | O_CLOEXEC);
		r = a->fd < 0 ? -errno : loop_is_right(d, data, a);
		if (r) {
			lib_closep(&a->fd);
			a->fd = -1;
			return 0; /* it went away, or is for reading only */
		}
	}
	a->how = LUN_FOUND;
	return 1;
}

static int blkpg(const struct lun_disk *d, int op, const struct lun_range *r, unsigned int partno)
{
	struct blkpg_partition part = {.pno = (int)partno};
	struct blkpg_ioctl_arg arg = {op, 0, sizeof(part), &part};

	if (r) {
		part.start = (long long)r->start;
		part.length = (long long)r->bytes;
	}
	return ioctl(d->fd, BLKPG, &arg) < 0 ? -errno : 0;
}

/* 1: made. 0: the kernel does not want to. */
static int make_partition(const struct lun_disk *d, const struct lun_table *t,
			  struct lun_attached *a, const struct lun_text *text)
{
	int r;

	if (!d->is_block)
		return 0;
	r = blkpg(d, BLKPG_ADD_PARTITION, &t->data, t->data_partno);
	if (r == -EPERM || r == -EACCES)
		return lun_fail(text, r,
				"%s: not permitted to make a partition of it known: needs root",
				d->path);
	if (r == -EBUSY) /* of another who attaches it at this moment, or an old one in the way */
		return take_existing(d, &t->data, a, text);
	if (r)
		return 0;
	r = take_existing(d, &t->data, a, text);
	if (r <= 0) {
		blkpg(d, BLKPG_DEL_PARTITION, NULL, t->data_partno);
		return r ? r
			 : lun_fail(text, -EIO, "%s: its new partition %u is not the one asked for",
				    d->path, t->data_partno);
	}
	a->how = LUN_BLKPG;
	a->partno = t->data_partno;
	return 1;
}

/* One try to get a free loop device and bind it. -EBUSY: somebody was faster. */
static int loop_bind(int control, int backing, const struct lun_disk *d,
		     const struct lun_range *data, struct lun_attached *a)
{
	struct loop_config c = {
		.fd = (uint32_t)backing,
		.block_size = d->block_bytes,
		.info.lo_offset = data->start,
		.info.lo_sizelimit = data->bytes,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO |
				 (d->is_writable ? 0u : (uint32_t)LO_FLAGS_READ_ONLY),
	};
	_cleanup_close_ int fd = -1;
	int number = ioctl(control, LOOP_CTL_GET_FREE);

	if (number < 0)
		return -errno;
	snprintf(a->dev, sizeof(a->dev), "/dev/loop%d", number);
	fd = open(a->dev, (d->is_writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, LOOP_CONFIGURE, &c) < 0)
		return -errno;
	a->fd = steal_fd(&fd);
	return 0;
}

static int make_loop(const struct lun_disk *d, const struct lun_range *data, struct lun_attached *a,
		     const struct lun_text *text)
{
	_cleanup_close_ int backing = lun_disk_reopen(d, d->is_writable ? O_RDWR : O_RDONLY);
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int r = -EBUSY;

	if (backing < 0)
		return lun_fail(text, backing, "%s: cannot be opened again: %s", d->path,
				strerror(-backing));
	if (control < 0)
		return lun_fail(text, -errno,
				"%s: its data partition needs a loop device, and "
				"/dev/loop-control says: %s",
				d->path, strerror(errno));
	for (int i = 0; r == -EBUSY && i < LOOP_TRIES_MAX; i++)
		r = loop_bind(control, backing, d, data, a);
	if (!r)
		r = loop_is_right(d, data, a);
	if (!r) {
		a->how = LUN_LOOP;
		return 0;
	}
	lib_closep(&a->fd);
	a->fd = -1;
	if (r == -EOPNOTSUPP)
		return lun_fail(text, r,
				"%s: a loop device on it does no direct I/O, and would not see "
				"what other nodes write",
				d->path);
	return lun_fail(text, r, "%s: no loop device for its data partition (%s): %s", d->path,
			a->dev, strerror(-r));
}

int lun_attach(const struct lun_disk *d, const struct lun_table *t, struct lun_attached *ret,
	       const struct lun_text *text)
{
	struct lun_attached a = {.how = LUN_NOT_ATTACHED, .fd = -1};
	int r = take_existing(d, &t->data, &a, text);

	if (!r)
		r = make_partition(d, t, &a, text);
	if (!r)
		r = make_loop(d, &t->data, &a, text);
	if (r < 0)
		return r;
	*ret = a;
	return 0;
}

/* The device of *a, for the question whether it is in use. */
static int attached_dev(const struct lun_attached *a, struct lun_dev *ret)
{
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	if (stat(a->dev, &st) < 0)
		return -errno;
	ret->rdev = st.st_rdev;
	snprintf(ret->name, sizeof(ret->name), "%.63s", a->dev + strlen("/dev/"));
	for (char *p = ret->name; *p; p++)
		if (*p == '/')
			*p = '!';
	return 0;
}

int lun_detach(const struct lun_disk *d, struct lun_attached *a, const struct lun_text *text)
{
	struct lun_dev dev;
	int r = 0;

	if (a->how == LUN_BLKPG || a->how == LUN_LOOP) {
		r = attached_dev(a, &dev);
		r = r ? lun_fail(text, r, "%s: %s", a->dev, strerror(-r))
		      : lun_dev_in_use(&dev, text);
	}
	if (r)
		return r;
	if (a->how == LUN_BLKPG)
		r = blkpg(d, BLKPG_DEL_PARTITION, NULL, a->partno);
	if (r && r != -ENXIO)
		return lun_fail(text, r, "%s: the kernel keeps it (%s): close what has it open",
				a->dev, strerror(-r));
	/* A loop goes when this descriptor does, or with whoever else has it open. */
	lib_closep(&a->fd);
	*a = (struct lun_attached){.how = LUN_NOT_ATTACHED, .fd = -1};
	return 0;
}

int csv_lun_attach(struct csv_lun *lun, char *ret_dev, size_t ret_size, char *text,
		   size_t text_size)
{
	const struct lun_text t = {text, text_size};
	int r = 0;

	if (lun->attached.how == LUN_NOT_ATTACHED)
		r = lun_attach(&lun->disk, &lun->table, &lun->attached, &t);
	if (r)
		return r;
	if (strlen(lun->attached.dev) >= ret_size)
		return lun_fail(&t, -ENOSPC, "%s: the name of the device does not fit",
				lun->attached.dev);
	snprintf(ret_dev, ret_size, "%s", lun->attached.dev);
	return 0;
}

int csv_lun_detach(struct csv_lun *lun, char *text, size_t text_size)
{
	const struct lun_text t = {text, text_size};

	return lun_detach(&lun->disk, &lun->attached, &t);
}
