/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one ioctl of a volume's files (unshare.h); all others are what they are without a handler. */
#include <errno.h>
#include <linux/falloc.h>
#include <string.h>

#include "csvfs/edge/fuse_impl.h"
#include "csvfs/edge/unshare.h"

static int take_range(struct call *c, const struct fuse_file_info *fi, const void *in,
		      size_t in_size)
{
	const struct keep_open *o = keep_row(c->fs->options.keep, KEEP_OPENS, (uint32_t)fi->fh);
	struct unshare_range range;

	if (!o || !o->is_file || !o->is_writable)
		return EBADF;
	if (in_size != sizeof(range))
		return EINVAL;
	memcpy(&range, in, sizeof(range));
	if (!range.length || range.length > UNSHARE_MAX || range.offset > INT64_MAX)
		return EINVAL;
	c->q.fallocate.mode = FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE;
	c->q.fallocate.offset = range.offset;
	c->q.fallocate.length = range.length;
	return 0;
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_size,
	      size_t out_size)
{
	struct call c;
	int e;

	(void)arg;
	(void)out_size;
	if (cmd != UNSHARE_IOCTL || (flags & (FUSE_IOCTL_DIR | FUSE_IOCTL_UNRESTRICTED))) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	call_begin(&c, req, CSV_OP_FALLOCATE);
	e = take_range(&c, fi, in, in_size);
	e = e ? e : call_handle(&c, ino, &c.q.fallocate.handle);
	e = e ? e : call_run(&c, 0);
	if (e) {
		call_reply_error(&c, e);
		return;
	}
	call_end(&c);
	fuse_reply_ioctl(req, 0, NULL, 0);
}
