/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioctl(2) on a file of a volume that is open for writing: the blocks of that range become its own.
 * The kernel hands no FALLOC_FL_UNSHARE_RANGE to a FUSE file system, so it has this instead.
 */
#ifndef CSVFS_EDGE_UNSHARE_H
#define CSVFS_EDGE_UNSHARE_H

#include <linux/ioctl.h>
#include <stdint.h>

struct unshare_range {
	uint64_t offset, length;
};

#define UNSHARE_IOCTL _IOW(0xC5, 1, struct unshare_range)
/* At once, at most: they are copied under the lock of the file. */
#define UNSHARE_MAX (UINT64_C(16) << 20)

#endif
