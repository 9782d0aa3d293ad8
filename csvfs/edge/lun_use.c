/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who uses a device. That it is not used is proven by two facts together: the kernel has no XFS
 * superblock of it (it can outlive its mount, namespace and process while the log is written), and
 * it opens O_EXCL (superblocks of other kinds, swap, device mapper, md and mkfs claim it). Names of
 * holders are for people and may be missing.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"

#define HOLDER_BYTES   512
#define MOUNT_BYTES    256
#define MAPS_LINES_MAX 100000

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* ---- names of holders */

/* Where a process sees this device mounted; false: nowhere. */
static bool mount_of(const char *pid, dev_t rdev, char *ret, size_t size)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	char path[64], at[MOUNT_BYTES];
	unsigned int dev_major, dev_minor;
	size_t room = 0;

	snprintf(path, sizeof(path), "/proc/%.20s/mountinfo", pid);
	f = fopen(path, "re");
	for (int i = 0; f && i < MAPS_LINES_MAX && getline(&line, &room, f) > 0; i++) {
		if (sscanf(line, "%*s %*s %u:%u %*s %255s", &dev_major, &dev_minor, at) != 3 ||
		    makedev(dev_major, dev_minor) != rdev)
			continue;
		snprintf(ret, size, "%s", at);
		return true;
	}
	return false;
}

/* In another mount namespace: by any process that lives there. */
static bool mount_of_anyone(dev_t rdev, char *ret, size_t size)
{
	_cleanup_(closedirp) DIR *proc = opendir("/proc");
	char at[MOUNT_BYTES], path[64], name[32] = "?";

	for (struct dirent *e = proc ? readdir(proc) : NULL; e; e = readdir(proc)) {
		_cleanup_fclose_ FILE *f = NULL;

		if (!isdigit((unsigned char)e->d_name[0]) ||
		    !mount_of(e->d_name, rdev, at, sizeof(at)))
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/comm", e->d_name);
		f = fopen(path, "re");
		if (f && fgets(name, sizeof(name), f))
			name[strcspn(name, "\n")] = 0;
		snprintf(ret, size, "mounted on %s in the mount namespace of process %s (%s)", at,
			 e->d_name, name);
		return true;
	}
	return false;
}

static bool is_swap(dev_t rdev)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/swaps", "re");
	char line[512], path[256];
	struct stat st;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%255s", path) == 1 && path[0] == '/' && !stat(path, &st) &&
		    S_ISBLK(st.st_mode) && st.st_rdev == rdev)
			return true;
	return false;
}

static bool first_holder(dev_t rdev, char *ret, size_t size)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[96];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(rdev), minor(rdev));
	dir = opendir(path);
	for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(ret, size, "part of %s", e->d_name);
		return true;
	}
	return false;
}

static void holder_name(dev_t rdev, bool is_xfs, char *ret, size_t size)
{
	char at[MOUNT_BYTES];

	if (mount_of("self", rdev, at, sizeof(at)))
		snprintf(ret, size, "mounted on %s", at);
	else if (mount_of_anyone(rdev, ret, size))
		return;
	else if (is_swap(rdev))
		snprintf(ret, size, "in use as swap");
	else if (first_holder(rdev, ret, size))
		return;
	else
		snprintf(ret, size,
			 is_xfs ? "mounted in no namespace of a process that is seen from here"
				: "opened exclusively by another program");
}

/* ---- the proof */

static int xfs_in_use(const struct lun_dev *dev, const struct lun_text *text)
{
	char path[128], by[HOLDER_BYTES];

	snprintf(path, sizeof(path), "/sys/fs/xfs/%s", dev->name);
	if (access(path, F_OK) < 0)
		return errno == ENOENT ? 0
				       : lun_fail(text, -errno, "%s: %s", path, strerror(errno));
	holder_name(dev->rdev, true, by, sizeof(by));
	return lun_fail(text, -EBUSY, "%s has a live XFS, %s: unmount it", dev->name, by);
}

static int claim_in_use(const struct lun_dev *dev, const struct lun_text *text)
{
	_cleanup_close_ int fd = -1;
	char path[CSV_LUN_DEV_MAX], by[HOLDER_BYTES];
	int r = lun_dev_path(dev, path, sizeof(path));

	if (r)
		return lun_fail(text, r,
				"%s: whether it is in use cannot be found out: /dev has no node of "
				"this device",
				dev->name);
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		return 0;
	if (errno == ENXIO || errno == ENODEV)
		return 0; /* gone since it was found: nothing can use it */
	if (errno != EBUSY)
		return lun_fail(text, -errno, "%s: whether it is in use cannot be found out: %s",
				path, strerror(errno));
	holder_name(dev->rdev, false, by, sizeof(by));
	return lun_fail(text, -EBUSY, "%s is in use, %s: end that first", path, by);
}

int lun_dev_in_use(const struct lun_dev *dev, const struct lun_text *text)
{
	int r = xfs_in_use(dev, text);

	return r ? r : claim_in_use(dev, text);
}

static int loop_in_use(const struct lun_disk *d, const struct lun_devs *devs,
		       const struct lun_text *text)
{
	for (unsigned int i = 0; i < devs->count; i++)
		if (devs->dev[i].kind == LUN_DEV_LOOP)
			return lun_fail(text, -EBUSY,
					"%s is in use, loop device %s is on it: `losetup -d "
					"/dev/%s`",
					d->path, devs->dev[i].name, devs->dev[i].name);
	return 0;
}

int lun_range_in_use(const struct lun_disk *d, struct lun_range range, bool is_strict,
		     const struct lun_text *text)
{
	_cleanup_free_ struct lun_devs *devs = malloc(sizeof(*devs));
	int r;

	if (!devs)
		return lun_fail(text, -ENOMEM, "out of memory");
	r = lun_devs_find(d, range, devs, text);
	/* The highest first: a claim on a lower one is only the shadow of it. */
	for (unsigned int i = devs->count; !r && i > 0; i--)
		r = xfs_in_use(&devs->dev[i - 1], text);
	for (unsigned int i = devs->count; !r && i > 0; i--)
		r = claim_in_use(&devs->dev[i - 1], text);
	return !r && is_strict ? loop_in_use(d, devs, text) : r;
}

int csv_lun_in_use(const struct csv_lun *lun, char *text, size_t text_size)
{
	const struct lun_text t = {text, text_size};

	return lun_range_in_use(&lun->disk, lun->table.data, false, &t);
}

int csv_lun_device_in_use(const char *path, char *text, size_t text_size)
{
	const struct lun_text t = {text, text_size};
	struct lun_disk d;
	int r = lun_disk_open(path, false, &d, &t);

	if (r)
		return r;
	/* All that is on it, wherever: the table may not be readable any more. */
	r = lun_range_in_use(&d, (struct lun_range){0, UINT64_MAX / 2}, false, &t);
	lun_disk_close(&d);
	return r;
}

/* ---- a disk that is known by more than its path */

#define PIN_WORD "disk"

/* Of a disk, or of the one that a partition is of. 0: this kernel has none (before 5.15). */
static uint64_t diskseq(dev_t rdev)
{
	static const char *const where[] = {"diskseq", "../diskseq"};
	char path[96];
	uint64_t seq = 0;

	for (size_t i = 0; i < 2 && !seq; i++) {
		_cleanup_fclose_ FILE *f = NULL;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(rdev), minor(rdev),
			 where[i]);
		f = fopen(path, "re");
		if (f && fscanf(f, "%" SCNu64, &seq) != 1)
			seq = 0;
	}
	return seq;
}

/* Of a device by its path; 0 if there is none. */
static uint64_t diskseq_of(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISBLK(st.st_mode) ? diskseq(st.st_rdev) : 0;
}

int csv_lun_pin(const struct csv_lun *lun, const char *data_dev, char *ret, size_t ret_size)
{
	const struct lun_disk *d = &lun->disk;

	if (!d->is_block)
		return -ENODEV;
	if (snprintf(ret, ret_size, PIN_WORD " %u:%u %" PRIu64 " %s %" PRIu64, major(d->rdev),
		     minor(d->rdev), diskseq(d->rdev), data_dev,
		     diskseq_of(data_dev)) >= (int)ret_size)
		return -ENOSPC;
	return 0;
}

/* The disk may have gone; an XFS that was mounted of it has not therefore. */
static int orphan_in_use(const char *data_dev, uint64_t seq, const struct lun_text *text)
{
	uint64_t now = diskseq_of(data_dev);
	struct lun_dev dev = {.kind = LUN_DEV_SELF};
	struct stat st;

	if (seq && now && now != seq)
		return 0; /* another device has the name */
	snprintf(dev.name, sizeof(dev.name), "%.63s", data_dev + strlen("/dev/"));
	for (char *p = dev.name; *p; p++)
		if (*p == '/')
			*p = '!';
	if (!stat(data_dev, &st))
		dev.rdev = st.st_rdev;
	return xfs_in_use(&dev, text);
}

int csv_lun_pinned_in_use(const char *pin, char *text, size_t text_size)
{
	const struct lun_text t = {text, text_size};
	char data_dev[CSV_LUN_DEV_MAX], path[] = "the LUN";
	struct lun_disk d = {.path = path, .fd = -1, .is_block = true};
	unsigned int dev_major, dev_minor;
	uint64_t seq, data_seq;
	int r;

	if (sscanf(pin, PIN_WORD " %u:%u %" SCNu64 " %63s %" SCNu64, &dev_major, &dev_minor, &seq,
		   data_dev, &data_seq) != 5 ||
	    strncmp(data_dev, "/dev/", 5) != 0)
		return lun_fail(&t, -EINVAL, "it does not say which disk");
	d.rdev = makedev(dev_major, dev_minor);
	r = orphan_in_use(data_dev, data_seq, &t);
	/* Not the same disk any more: what is on it is not ours. */
	if (r || (seq && diskseq(d.rdev) != seq))
		return r;
	r = lun_range_in_use(&d, (struct lun_range){0, UINT64_MAX / 2}, false, &t);
	return r == -ENOENT ? 0 : r; /* gone between the looks */
}
