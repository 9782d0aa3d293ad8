/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Room that is kept. A full volume must still take what gets it out of that: records of requests
 * and of new mounts, links of orphans, removals, renames. XFS keeps something for its own
 * transactions (trusted attributes, removals), not for a new inode or a block of a directory. So
 * what asks for more is refused before the last bytes are gone: data first, then new names and
 * attributes. Nothing that removes, cuts or renames is asked here (adr/0046).
 *
 * What is under way and may not be in the count of XFS yet is claimed: threads do not all take the
 * same bytes.
 */
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/types.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/must.h"

#define KEPT_FOR_NAMES (UINT64_C(8) << 20)  /* data stays out of it */
#define KEPT_FOR_LAST  (UINT64_C(4) << 20)  /* names do, too */
#define NAME_BYTES     (UINT64_C(64) << 10) /* a chunk of inodes, and blocks of directories */
#define PIECES	       32

/* fs/xfs/libxfs/xfs_fs.h of Linux; its header is that of another package. */
struct eofblocks {
	__u32 version, flags, uid, gid, prid, pad32;
	__u64 min_file_size, pad64[12];
};
#define XFS_IOC_FREE_EOFBLOCKS _IOR('X', 58, struct eofblocks)
#define EOFBLOCKS_VERSION      1
#define EOFBLOCKS_SYNC	       1

/* If so much is free beside what is claimed and kept. What is refused claims nothing. */
static bool try_claim(struct backing_op *o, uint64_t bytes, uint64_t kept)
{
	struct backing *b = o->b;
	struct statvfs v;
	bool r;

	pthread_mutex_lock(&b->space_lock);
	r = fstatvfs(b->root_fd, &v) ||
	    (uint64_t)v.f_bavail * v.f_frsize >= kept + b->claimed + bytes;
	if (r) {
		b->claimed += bytes;
		o->claimed += bytes;
	}
	pthread_mutex_unlock(&b->space_lock);
	return r;
}

/* XFS frees the blocks of removed files by and by; of its own will it would now, too. */
static void settle(struct backing *b)
{
	struct eofblocks e = {.version = EOFBLOCKS_VERSION, .flags = EOFBLOCKS_SYNC};

	(void)ioctl(b->root_fd, XFS_IOC_FREE_EOFBLOCKS, &e); /* then there is less */
}

/* 0 or -ENOSPC. */
static int claim(struct backing_op *o, uint64_t bytes, uint64_t kept)
{
	if (try_claim(o, bytes, kept))
		return 0;
	settle(o->b);
	return try_claim(o, bytes, kept) ? 0 : -ENOSPC;
}

/* The file has all blocks of that range for itself: a write there needs none. */
static bool is_allocated(int fd, uint64_t offset, uint64_t length)
{
	struct fiemap *f = calloc(1, sizeof(*f) + PIECES * sizeof(f->fm_extents[0]));
	uint64_t at = offset, end = offset + length;
	bool r = true;

	must(f);
	while (r && at < end) {
		f->fm_start = at;
		f->fm_length = end - at;
		f->fm_extent_count = PIECES;
		r = !ioctl(fd, FS_IOC_FIEMAP, f) && f->fm_mapped_extents;
		for (uint32_t i = 0; r && i < f->fm_mapped_extents; i++) {
			const struct fiemap_extent *e = &f->fm_extents[i];

			r = e->fe_logical <= at && !(e->fe_flags & FIEMAP_EXTENT_SHARED);
			at = e->fe_logical + e->fe_length;
		}
	}
	free(f);
	return r;
}

int backing_space_data(struct backing_op *o, int fd, uint64_t offset, uint64_t length)
{
	int r = claim(o, length, KEPT_FOR_NAMES);

	return r && fd >= 0 && is_allocated(fd, offset, length) ? 0 : r;
}

int backing_space_name(struct backing_op *o)
{
	return claim(o, NAME_BYTES, KEPT_FOR_LAST);
}

void backing_space_end(struct backing_op *o)
{
	if (!o->claimed)
		return;
	pthread_mutex_lock(&o->b->space_lock);
	o->b->claimed -= o->claimed;
	pthread_mutex_unlock(&o->b->space_lock);
	o->claimed = 0;
}

uint64_t backing_space_kept(void)
{
	return KEPT_FOR_NAMES;
}
