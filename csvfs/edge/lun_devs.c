/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices of the kernel that are made of a LUN: its partitions, loop devices on it, device mapper
 * and md on either, to any depth; and who holds one. From /sys and LOOP_GET_STATUS64 alone: no I/O
 * on the LUN, so a LUN that hangs can be asked about.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"

#define SECTOR_BYTES   512u /* of /sys, whatever the device's */
#define SYS_PATH_BYTES 512
#define LOOP_MS	       2000 /* for a loop device to say on what it is */
#define EVERYTHING                                                                                 \
	(struct lun_range)                                                                         \
	{                                                                                          \
		0, UINT64_MAX                                                                      \
	}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* ---- /sys */

/* The first line of a file, without its end. */
static int sys_text(const char *path, char *ret, size_t size)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	if (!fgets(ret, (int)size, f))
		ret[0] = 0;
	ret[strcspn(ret, "\n")] = 0;
	return 0;
}

static int sys_number(const char *dir, const char *name, uint64_t *ret)
{
	char path[SYS_PATH_BYTES], text[64], *end;
	uint64_t v;
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	r = sys_text(path, text, sizeof(text));
	if (r)
		return r;
	v = strtoull(text, &end, 10);
	if (end == text || *end)
		return -EBADMSG;
	*ret = v;
	return 0;
}

static int sys_rdev(const char *dir, dev_t *ret)
{
	char path[SYS_PATH_BYTES], text[64];
	unsigned int major, minor;
	int r;

	snprintf(path, sizeof(path), "%s/dev", dir);
	r = sys_text(path, text, sizeof(text));
	if (r)
		return r;
	if (sscanf(text, "%u:%u", &major, &minor) != 2)
		return -EBADMSG;
	*ret = makedev(major, minor);
	return 0;
}

static void sys_dir(dev_t rdev, char *ret, size_t size)
{
	snprintf(ret, size, "/sys/dev/block/%u:%u", major(rdev), minor(rdev));
}

/* ---- the list */

/* What of `window` falls on an extent, by the extent's own count. */
static bool intersect(struct lun_range window, struct lun_range extent, struct lun_range *ret)
{
	uint64_t a_end =
		window.bytes > UINT64_MAX - window.start ? UINT64_MAX : window.start + window.bytes;
	uint64_t b_end =
		extent.bytes > UINT64_MAX - extent.start ? UINT64_MAX : extent.start + extent.bytes;
	uint64_t start = window.start > extent.start ? window.start : extent.start;
	uint64_t end = a_end < b_end ? a_end : b_end;

	if (start >= end)
		return false;
	*ret = (struct lun_range){start - extent.start, end - start};
	return true;
}

static int devs_add(struct lun_devs *devs, const struct lun_dev *dev)
{
	for (unsigned int i = 0; i < devs->count; i++)
		if (devs->dev[i].rdev == dev->rdev)
			return 0;
	if (devs->count == LUN_DEVS_MAX)
		return -EOVERFLOW;
	devs->dev[devs->count++] = *dev;
	return 0;
}

/* A device that vanished meanwhile is no device. */
static int unless_gone(int r)
{
	return r == -ENOENT || r == -ENODEV || r == -ENXIO ? 0 : r;
}

static int add_partition(struct lun_devs *devs, unsigned int parent, const char *dir,
			 const char *name)
{
	struct lun_dev dev = {.kind = LUN_DEV_PARTITION,
			      .is_on_lun = devs->dev[parent].kind == LUN_DEV_SELF};
	char path[SYS_PATH_BYTES];
	uint64_t partno, start, sectors;
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (sys_number(path, "partition", &partno))
		return 0; /* not one */
	r = sys_number(path, "start", &start);
	if (!r)
		r = sys_number(path, "size", &sectors);
	if (!r)
		r = sys_rdev(path, &dev.rdev);
	if (r)
		return unless_gone(r);
	dev.partno = (unsigned int)partno;
	dev.extent = (struct lun_range){start * SECTOR_BYTES, sectors * SECTOR_BYTES};
	if (!intersect(devs->dev[parent].window, dev.extent, &dev.window))
		return 0;
	snprintf(dev.name, sizeof(dev.name), "%s", name);
	return devs_add(devs, &dev);
}

static int add_partitions(struct lun_devs *devs, unsigned int parent)
{
	char dir[SYS_PATH_BYTES];
	_cleanup_(closedirp) DIR *d = NULL;
	int r = 0;

	sys_dir(devs->dev[parent].rdev, dir, sizeof(dir));
	d = opendir(dir);
	if (!d)
		return unless_gone(-errno);
	for (struct dirent *e = readdir(d); !r && e; e = readdir(d))
		if (e->d_name[0] != '.')
			r = add_partition(devs, parent, dir, e->d_name);
	return r;
}

/* Device mapper, md: where on them the range lies is their secret, so all of it counts. */
static int add_holders(struct lun_devs *devs, unsigned int parent)
{
	char dir[SYS_PATH_BYTES], path[SYS_PATH_BYTES + LUN_NAME_MAX + 16];
	_cleanup_(closedirp) DIR *d = NULL;
	int r = 0;

	sys_dir(devs->dev[parent].rdev, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/holders", dir);
	d = opendir(path);
	if (!d)
		return unless_gone(-errno);
	for (struct dirent *e = readdir(d); !r && e; e = readdir(d)) {
		struct lun_dev dev = {.kind = LUN_DEV_HOLDER, .window = EVERYTHING};

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/holders/%.63s", dir, e->d_name);
		snprintf(dev.name, sizeof(dev.name), "%s", e->d_name);
		r = unless_gone(sys_rdev(path, &dev.rdev));
		if (!r && dev.rdev)
			r = devs_add(devs, &dev);
	}
	return r;
}

/* ---- loop devices */

/* The kernel's huge_encode_dev(). */
static dev_t loop_decode_dev(uint64_t v)
{
	return makedev((unsigned int)((v & 0xfff00) >> 8),
		       (unsigned int)((v & 0xff) | ((v >> 12) & 0xfff00)));
}

/* What a child says. */
struct loop_answer {
	int error; /* errno, or 0 */
	struct loop_info64 info;
};

/*
 * The ioctl asks the file system of the backing file, which may hang for ever and let nobody out:
 * a child asks, and is left behind when it does not come back. -ETIMEDOUT then.
 */
static int ask_loop(int fd, struct loop_info64 *ret)
{
	_cleanup_close_ int out = -1, in = -1;
	struct loop_answer answer = {0};
	struct pollfd p = {.events = POLLIN};
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	out = fds[0];
	in = fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		answer.error = ioctl(fd, LOOP_GET_STATUS64, &answer.info) < 0 ? errno : 0;
		_exit(write(in, &answer, sizeof(answer)) != (ssize_t)sizeof(answer));
	}
	p.fd = out;
	if (poll(&p, 1, LOOP_MS) != 1 ||
	    read(out, &answer, sizeof(answer)) != (ssize_t)sizeof(answer)) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, WNOHANG);
		return -ETIMEDOUT;
	}
	(void)waitpid(pid, NULL, 0);
	*ret = answer.info;
	return -answer.error;
}

/*
 * 1: bound, *ret is filled; 0: free, or surely to something else: a loop that hangs or fails to say
 * on what it is stands on a file of a file system that hangs or fails. A device node answers, and
 * so does the file system of our file, or we would not be here.
 */
static int loop_status(const struct lun_dev *dev, struct loop_info64 *ret)
{
	_cleanup_close_ int fd = -1;
	char path[CSV_LUN_DEV_MAX];
	int r = lun_dev_path(dev, path, sizeof(path));

	if (r)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return unless_gone(-errno);
	r = ask_loop(fd, ret);
	switch (-r) {
	case 0:
		return 1;
	case ENOENT:
	case ENODEV:
	case ENXIO:
	case ETIMEDOUT:
	case ECONNABORTED:
	case ENOTCONN:
	case EIO:
	case ESTALE:
		return 0;
	default:
		return r;
	}
}

/* Loop `name`, if it is bound to this device (or file, if parent is NULL). */
static int add_loop(struct lun_devs *devs, const struct lun_disk *d, const struct lun_dev *parent,
		    struct lun_range window, const char *name)
{
	struct lun_dev dev = {.kind = LUN_DEV_LOOP};
	struct loop_info64 info = {0};
	char dir[SYS_PATH_BYTES];
	uint64_t sectors;
	bool is_match;
	int r;

	snprintf(dir, sizeof(dir), "/sys/block/%s/loop/backing_file", name);
	if (access(dir, F_OK) < 0)
		return 0;
	snprintf(dev.name, sizeof(dev.name), "%s", name);
	snprintf(dir, sizeof(dir), "/sys/block/%s", name);
	r = sys_rdev(dir, &dev.rdev);
	if (!r)
		r = sys_number(dir, "size", &sectors);
	if (r)
		return unless_gone(r);
	r = loop_status(&dev, &info);
	if (r <= 0)
		return r;
	is_match = parent ? info.lo_rdevice && loop_decode_dev(info.lo_rdevice) == parent->rdev
			  : !info.lo_rdevice && info.lo_inode == d->ino &&
				    loop_decode_dev(info.lo_device) == d->dev;
	dev.is_on_lun = !parent || parent->kind == LUN_DEV_SELF;
	dev.is_direct = info.lo_flags & LO_FLAGS_DIRECT_IO;
	dev.extent = (struct lun_range){info.lo_offset, sectors * SECTOR_BYTES};
	if (!is_match || !intersect(window, dev.extent, &dev.window))
		return 0;
	return devs_add(devs, &dev);
}

static int add_loops(struct lun_devs *devs, const struct lun_disk *d, const struct lun_dev *parent,
		     struct lun_range window)
{
	_cleanup_(closedirp) DIR *dir = opendir("/sys/block");
	int r = 0;

	if (!dir)
		return -errno;
	for (struct dirent *e = readdir(dir); !r && e; e = readdir(dir))
		if (!strncmp(e->d_name, "loop", 4))
			r = add_loop(devs, d, parent, window, e->d_name);
	return r;
}

/* ---- all of it */

static int add_self(struct lun_devs *devs, const struct lun_disk *d, struct lun_range window)
{
	struct lun_dev dev = {.kind = LUN_DEV_SELF, .rdev = d->rdev, .window = window};
	char dir[SYS_PATH_BYTES], link[PATH_MAX], *slash;
	ssize_t n;

	sys_dir(d->rdev, dir, sizeof(dir));
	n = readlink(dir, link, sizeof(link) - 1);
	if (n < 0)
		return -errno;
	link[n] = 0;
	slash = strrchr(link, '/');
	snprintf(dev.name, sizeof(dev.name), "%s", slash ? slash + 1 : link);
	return devs_add(devs, &dev);
}

int lun_devs_find(const struct lun_disk *d, struct lun_range range, struct lun_devs *ret,
		  const struct lun_text *text)
{
	int r;

	ret->count = 0;
	r = d->is_block ? add_self(ret, d, range) : add_loops(ret, d, NULL, range);
	for (unsigned int i = 0; !r && i < ret->count; i++) {
		r = add_partitions(ret, i);
		if (!r)
			r = add_holders(ret, i);
		if (!r)
			r = add_loops(ret, d, &ret->dev[i], ret->dev[i].window);
	}
	if (r == -EOVERFLOW)
		return lun_fail(text, r, "%s: more than %d devices are stacked on it: remove some",
				d->path, LUN_DEVS_MAX);
	if (r)
		return lun_fail(text, r,
				"%s: it cannot be found out which devices are stacked on it: %s; "
				"is /sys mounted, is /dev complete, are you root?",
				d->path, strerror(-r));
	return 0;
}

int lun_dev_path(const struct lun_dev *dev, char *ret, size_t size)
{
	char path[CSV_LUN_DEV_MAX + 8];
	struct stat st;

	snprintf(path, sizeof(path), "/dev/%s", dev->name);
	for (char *p = path; *p; p++)
		if (*p == '!')
			*p = '/';
	if (strlen(path) >= size)
		return -ENOSPC;
	if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != dev->rdev)
		return -ENODEV;
	snprintf(ret, size, "%s", path);
	return 0;
}

int lun_devs_forget_partitions(const struct lun_disk *d, const struct lun_text *text)
{
	_cleanup_free_ struct lun_devs *devs = malloc(sizeof(*devs));
	int r;

	if (!devs)
		return lun_fail(text, -ENOMEM, "out of memory");
	r = lun_devs_find(d, (struct lun_range){0, d->bytes}, devs, text);
	for (unsigned int i = 0; !r && i < devs->count; i++) {
		const struct lun_dev *dev = &devs->dev[i];
		struct blkpg_partition part = {.pno = (int)dev->partno};
		struct blkpg_ioctl_arg arg = {BLKPG_DEL_PARTITION, 0, sizeof(part), &part};

		if (dev->kind != LUN_DEV_PARTITION || !dev->is_on_lun || !d->is_block)
			continue;
		if (ioctl(d->fd, BLKPG, &arg) < 0 && errno != ENXIO)
			r = lun_fail(text, -errno,
				     "%s: the kernel does not give up its old partition %s (%s): "
				     "close what has it open",
				     d->path, dev->name, strerror(errno));
	}
	return r;
}
