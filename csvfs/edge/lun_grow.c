/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A LUN that has grown: its data partition goes to the new end. What is on the LUN is whole between
 * any two of the steps, and each can be done again: the table, of which one copy is good at any
 * time; the header, which may lag behind the table (csv_lun_open() takes that); the kernel's idea
 * of the partition; the XFS, which until then does not know of the new room.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"

#define LOOP_TRIES 10 /* it says EAGAIN while a page of the device is in memory */

/* ---- table and header */

static int write_header(struct csv_lun *lun, const struct lun_table *t, const struct lun_text *text)
{
	_cleanup_free_ uint8_t *buf = lun_buffer(3 * (size_t)CSV_RECORD_BYTES);
	const uint64_t start = lun->table.control.start;
	struct csv_header h = lun->header;
	struct csv_copies copies;
	uint8_t *block = buf ? buf + 2 * (size_t)CSV_RECORD_BYTES : NULL;
	int r = buf ? 0 : -ENOMEM;

	h.generation++;
	h.lun_bytes = lun->disk.bytes;
	h.data_start = t->data.start;
	h.data_bytes = t->data.bytes;
	for (unsigned int i = 0; !r && i < 2; i++)
		r = lun_disk_read(&lun->disk, start + CSV_HEADER_PLACE(i),
				  buf + i * (size_t)CSV_RECORD_BYTES, CSV_RECORD_BYTES);
	if (!r)
		r = csv_header_pick(buf, buf + CSV_RECORD_BYTES, &lun->header, &copies);
	if (!r)
		r = csv_header_encode(&h, block);
	/* The older copy first: the other one is good until that is. */
	for (unsigned int i = 0; !r && i < 2; i++)
		r = lun_disk_write_verified(
			&lun->disk, start + CSV_HEADER_PLACE(i ? 1 - copies.older : copies.older),
			block, CSV_RECORD_BYTES);
	if (r)
		return lun_fail(text, r, "%s: the volume's header cannot be written: %s",
				lun->disk.path, strerror(-r));
	lun->header = h;
	return 0;
}

static int grow_records(struct csv_lun *lun, const struct lun_table *t, const struct lun_text *text)
{
	int r = 0;

	if (t->data.bytes != lun->table.data.bytes)
		r = lun_gpt_write(&lun->disk, t, text);
	if (r)
		return r;
	lun->table.data = t->data;
	return lun->header.data_bytes == t->data.bytes ? 0 : write_header(lun, t, text);
}

/* ---- the device that the kernel has of it */

static int resize_loop(const char *dev, uint64_t bytes)
{
	_cleanup_close_ int fd = open(dev, O_RDWR | O_CLOEXEC);
	struct loop_info64 info;

	if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return -errno;
	if (info.lo_sizelimit == bytes)
		return 0;
	info.lo_sizelimit = bytes;
	for (int i = 0; i < LOOP_TRIES; i++) {
		if (!ioctl(fd, LOOP_SET_STATUS64, &info))
			return 0;
		if (errno != EAGAIN)
			break;
	}
	return -errno;
}

static int partition_number(dev_t rdev)
{
	char path[64];
	FILE *f;
	int n = 0;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(rdev), minor(rdev));
	f = fopen(path, "re");
	if (!f)
		return -ENODEV;
	if (fscanf(f, "%d", &n) != 1)
		n = -ENODEV;
	fclose(f);
	return n;
}

static int resize_partition(const struct csv_lun *lun, dev_t rdev)
{
	struct blkpg_partition part = {.start = (long long)lun->table.data.start,
				       .length = (long long)lun->table.data.bytes,
				       .pno = partition_number(rdev)};
	struct blkpg_ioctl_arg arg = {BLKPG_RESIZE_PARTITION, 0, sizeof(part), &part};

	if (part.pno < 1)
		return -ENODEV;
	return ioctl(lun->disk.fd, BLKPG, &arg) < 0 ? -errno : 0;
}

static int resize_device(const struct csv_lun *lun, const char *dev, const struct lun_text *text)
{
	struct stat st;
	int r;

	if (stat(dev, &st) < 0)
		return lun_fail(text, -errno, "%s: %s", dev, strerror(errno));
	r = major(st.st_rdev) == LOOP_MAJOR && partition_number(st.st_rdev) < 0
		    ? resize_loop(dev, lun->table.data.bytes)
		    : resize_partition(lun, st.st_rdev);
	if (r)
		return lun_fail(text, r, "%s: the kernel does not make it larger: %s", dev,
				strerror(-r));
	return 0;
}

int csv_lun_grow(struct csv_lun *lun, const char *dev, char *text, size_t text_size)
{
	const struct lun_text where = {text, text_size};
	struct lun_table t;
	int r = lun_gpt_plan(&lun->disk, &t);
	bool is_grown;

	if (!lun->disk.is_writable)
		return lun_fail(&where, -EBADF, "%s: opened for reading only", lun->disk.path);
	if (r || t.data.start != lun->table.data.start || t.data.bytes < lun->table.data.bytes)
		return lun_fail(&where, r ? r : -EINVAL,
				"%s: its data partition is not one that can be made larger",
				lun->disk.path);
	t.control = lun->table.control;
	t.data_partno = lun->table.data_partno;
	is_grown = t.data.bytes != lun->table.data.bytes || t.data.bytes != lun->header.data_bytes;
	r = is_grown ? grow_records(lun, &t, &where) : 0;
	if (!r && dev)
		r = resize_device(lun, dev, &where);
	if (r || is_grown)
		return r;
	return lun_fail(&where, -EALREADY,
			"%s has not grown: it has %" PRIu64
			" MiB, as before. Make the LUN larger, and have every node see that",
			lun->disk.path, lun->disk.bytes >> 20);
}

/* ---- the file system */

/* As in xfs_fs.h, which is in no package that this is built with. */
struct xfs_geometry {
	uint32_t block_bytes, rt_extent, ag_blocks, ag_count, log_blocks, sector_bytes, inode_bytes,
		imax_pct;
	uint64_t data_blocks;
	uint8_t rest[112 - 40];
};

struct xfs_grow {
	uint64_t blocks;
	uint32_t imax_pct;
};

#define XFS_GEOMETRY _IOR('X', 124, struct xfs_geometry)
#define XFS_GROW     _IOW('X', 110, struct xfs_grow)

_Static_assert(sizeof(struct xfs_geometry) == 112, "struct xfs_fsop_geom_v4");

int csv_lun_grow_xfs(const struct csv_lun *lun, const char *mount_point, uint64_t *ret_bytes,
		     char *text, size_t text_size)
{
	const struct lun_text where = {text, text_size};
	_cleanup_close_ int fd = open(mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct xfs_geometry was, now;
	struct xfs_grow grow;

	if (fd < 0 || ioctl(fd, XFS_GEOMETRY, &was) < 0)
		return lun_fail(&where, -errno, "%s: the XFS does not tell its size: %s",
				mount_point, strerror(errno));
	grow = (struct xfs_grow){lun->table.data.bytes / was.block_bytes, was.imax_pct};
	if (grow.blocks > was.data_blocks && ioctl(fd, XFS_GROW, &grow) < 0)
		return lun_fail(&where, -errno, "%s: the XFS cannot be made larger: %s",
				mount_point, strerror(errno));
	if (ioctl(fd, XFS_GEOMETRY, &now) < 0)
		return lun_fail(&where, -errno, "%s: the XFS does not tell its size: %s",
				mount_point, strerror(errno));
	*ret_bytes = now.data_blocks * now.block_bytes;
	return now.data_blocks > was.data_blocks ? 0 : -EALREADY;
}
