/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The XFS on the data partition: its superblock, and xfs_repair. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"

#define FSCK_TIMEOUT_MS (7u * 24 * 3600 * 1000)

/* Places in the superblock: struct xfs_dsb of xfs_format.h, big-endian. */
#define SB_MAGIC	  0
#define SB_BLOCKSIZE	  4
#define SB_DBLOCKS	  8
#define SB_UUID		  32
#define SB_AGCOUNT	  88
#define SB_LOGBLOCKS	  96
#define SB_SECTSIZE	  102
#define SB_FNAME	  108
#define SB_FNAME_BYTES	  12
#define SB_INPROGRESS	  126
#define SB_RO_COMPAT	  212
#define SB_RO_COMPAT_LINK 4u /* XFS_SB_FEAT_RO_COMPAT_REFLINK */

static uint64_t be(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

int csv_lun_xfs_read(const struct csv_lun *lun, struct csv_lun_xfs *ret)
{
	_cleanup_free_ uint8_t *sb = lun_buffer(LUN_PAGE_BYTES);
	struct csv_lun_xfs x = {0};
	int r = sb ? lun_disk_read(&lun->disk, lun->table.data.start, sb, LUN_PAGE_BYTES) : -ENOMEM;

	if (r)
		return r;
	if (memcmp(sb + SB_MAGIC, "XFSB", 4) != 0 || sb[SB_INPROGRESS])
		return -ENODATA;
	memcpy(x.uuid.byte, sb + SB_UUID, sizeof(x.uuid.byte));
	memcpy(x.label, sb + SB_FNAME, SB_FNAME_BYTES);
	x.block_bytes = (uint32_t)be(sb + SB_BLOCKSIZE, 4);
	x.sector_bytes = (uint32_t)be(sb + SB_SECTSIZE, 2);
	x.blocks = be(sb + SB_DBLOCKS, 8);
	x.ag_count = (uint32_t)be(sb + SB_AGCOUNT, 4);
	x.log_blocks = (uint32_t)be(sb + SB_LOGBLOCKS, 4);
	x.is_reflink = be(sb + SB_RO_COMPAT, 4) & SB_RO_COMPAT_LINK;
	*ret = x;
	return 0;
}

/* ---- xfs_repair */

/* xfs_repair(8), EXIT STATUS: 1 damage (with -n) or a failure, 2 a dirty log. */
static int fsck_result(const char *dev, bool repair, int r, int status, const struct lun_text *text)
{
	if (r == -ENOPKG)
		return lun_fail(text, r,
				"xfs_repair is neither in /usr/sbin nor in /sbin: install "
				"xfsprogs");
	if (r == -EINTR)
		return lun_fail(text, r, "xfs_repair on %s was interrupted: run it again", dev);
	if (r)
		return lun_fail(text, r, "xfs_repair on %s did not run to its end: %s", dev,
				strerror(-r));
	if (status == 2)
		return lun_fail(text, -ENOLCK,
				"%s: the XFS log has to be replayed first: mount the volume once, "
				"and unmount it",
				dev);
	if (status && !repair)
		return lun_fail(text, -EUCLEAN, "%s: xfs_repair -n has found damage", dev);
	if (status)
		return lun_fail(text, -EUCLEAN, "%s: xfs_repair could not repair it (status %d)",
				dev, status);
	return 0;
}

int csv_lun_fsck(struct csv_lun *lun, bool repair, char *out, size_t out_size, char *text,
		 size_t text_size)
{
	const struct lun_text t = {text, text_size};
	char dev[CSV_LUN_DEV_MAX];
	const char *look[] = {"xfs_repair", "-n", dev, NULL};
	const char *mend[] = {"xfs_repair", dev, NULL};
	int status = 0, detached, r;

	out[0] = 0;
	r = csv_lun_in_use(lun, text, text_size);
	if (!r)
		r = csv_lun_attach(lun, dev, sizeof(dev), text, text_size);
	if (r)
		return r;
	r = lun_child_run(repair ? mend : look, FSCK_TIMEOUT_MS, &status, out, out_size);
	r = fsck_result(dev, repair, r, status, &t);
	detached = csv_lun_detach(lun, r ? NULL : text, r ? 0 : text_size);
	return r ? r : detached;
}
