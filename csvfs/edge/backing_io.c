/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations on data, through the page cache. What they have written is on disk before their done
 * mark is written: an answer that waits for the mark waits for the data, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/uio.h>
#include <unistd.h>

#include "csvfs/core/direct.h"
#include "csvfs/edge/backing_impl.h"

#define COPY_MAX	(UINT64_C(1) << 30) /* shared extents, one COPY_RANGE; the rest is asked for */
#define COPY_BYTES_MAX	(UINT64_C(16) << 20) /* copied bytes: under the locks of both files */
#define COPY_ALIGN	4096		     /* block size of XFS: below, nothing can be shared */
#define FALLOCATE_MOVES (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)
#define FALLOCATE_KNOWN                                                                            \
	(FALLOCATE_MOVES | FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE |     \
	 FALLOC_FL_UNSHARE_RANGE)

int backing_lost(struct backing_op *o, size_t i, int error)
{
	o->lost = o->inode[i].row->handle;
	o->lost_error = -error;
	return error;
}

int backing_lost_write(struct backing_op *o, int error)
{
	/* Not those for want of room or right, which write(2) knows, too. */
	if (error == -EIO ||
	    (!direct_is_path_error(-error) && error != -ENOSPC && error != -EOPNOTSUPP))
		backing_lost(o, 0, error);
	return error;
}

static bool is_range(uint64_t offset, uint64_t length)
{
	return offset <= INT64_MAX && length <= INT64_MAX - offset;
}

int backing_read(struct backing_op *o)
{
	const struct csv_op_read *q = &o->q->read;
	size_t done = 0;
	ssize_t n = 1;
	int r = backing_op_data(o, 0, false);

	if (r)
		return r;
	if (!is_range(q->offset, q->size))
		return -EINVAL;
	if (backing_is_direct(o))
		return backing_read_direct(o);
	while (done < q->size && n > 0) {
		n = pread(o->inode[0].data_fd, o->buf + done, q->size - done,
			  (off_t)(q->offset + done));
		if (n < 0 && !done)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	o->reply->bytes.data = (struct csv_bytes){o->buf, done};
	return 0;
}

/*
 * Data is on disk since its WRITE; what is not in the log yet is waited for as by any query. Those
 * who write without us have flushed what they know of; what they do not know any more, because
 * their path is gone, is in the LUN's cache, which is ours, too.
 */
int backing_fsync(struct backing_op *o)
{
	int r = backing_op_path(o, 0);

	if (r || !o->b->grants || !S_ISREG(o->inode[0].st.st_mode))
		return r;
	r = backing_op_data(o, 0, false);
	return r ? r : fsync(o->inode[0].data_fd) ? backing_lost(o, 0, -errno) : 0;
}

int backing_lseek(struct backing_op *o)
{
	const struct csv_op_lseek *q = &o->q->lseek;
	int r = backing_op_data(o, 0, false);
	off_t at;

	if (r)
		return r;
	if ((q->whence != SEEK_DATA && q->whence != SEEK_HOLE) || q->offset > INT64_MAX)
		return -EINVAL;
	at = lseek(o->inode[0].data_fd, (off_t)q->offset, (int)q->whence);
	if (at < 0)
		return -errno;
	o->reply->count.count = (uint64_t)at;
	return 0;
}

/* ---- what grows a file at once behind its end */

/*
 * Between the old end and the new data are zeros. In the block of the old end the kernel has put
 * them into a page that nobody has written yet. After a crash the new size may be there without
 * them: repeated, it looks to the kernel like a file that is as long as that, and what the block
 * held before the file was cut would be back.
 */
static int settle_gap(struct backing_op *o, size_t i, uint64_t offset)
{
	static const char zeros[COPY_ALIGN];
	uint64_t from = o->record.size, len = COPY_ALIGN - from % COPY_ALIGN;
	const struct backing_inode *n = &o->inode[i];
	off_t data = -1;

	len = len < offset - from ? len : offset - from;
	if (o->is_redo && (uint64_t)n->st.st_size > from)
		data = lseek(n->data_fd, (off_t)from, SEEK_DATA);
	/* In a hole there is nothing that could come back. */
	if (data >= 0 && (uint64_t)data < from + len &&
	    pwrite(n->data_fd, zeros, len, (off_t)from) != (ssize_t)len)
		return -EIO;
	return fdatasync(n->data_fd) ? backing_lost(o, i, -errno) : 0;
}

/* ---- write */

int backing_write_look(struct backing_op *o)
{
	int r = backing_op_data(o, 0, true);

	if (r)
		return r;
	if (!is_range(o->q->write.offset, o->q->write.data.len))
		return -EINVAL;
	if (o->is_redo)
		return 0;
	o->record.a = o->inode[0].row->handle;
	o->record.size = (uint64_t)o->inode[0].st.st_size;
	return backing_space_data(o, o->inode[0].data_fd,
				  o->q->write.flags & CSV_WRITE_APPEND ? o->record.size
								       : o->q->write.offset,
				  o->q->write.data.len);
}

int backing_write_do(struct backing_op *o)
{
	const struct csv_op_write *q = &o->q->write;
	const struct backing_inode *i = &o->inode[0];
	uint64_t offset = q->flags & CSV_WRITE_APPEND ? o->record.size : q->offset;
	bool is_grouped = backing_is_grouped(o, false);
	size_t done = 0;
	ssize_t n = 0;
	int r = 0;

	if (q->flags & CSV_WRITE_KILL_SUID)
		r = backing_kill_privileges(&o->q->caller, i->data_fd, &i->st);
	if (!r && q->data.len && backing_is_direct(o)) {
		r = backing_write_direct(o, &done);
		if (r)
			return r;
		o->reply->count.count = done;
		return 0;
	}
	while (!r && done < q->data.len) {
		struct iovec v = {(uint8_t *)q->data.data + done, q->data.len - done};

		n = pwritev2(i->data_fd, &v, 1, (off_t)(offset + done), is_grouped ? 0 : RWF_DSYNC);
		if (n < 0)
			r = backing_lost_write(o, -errno);
		else
			done += (size_t)n;
	}
	failpoint(FAIL_DATA_WRITTEN, o->q->op, o->mount);
	if (done && is_grouped) {
		int e = backing_flush(o, i->data_fd);

		if (e)
			return backing_lost_write(o, e);
	}
	if (done && backing_stops_after(o->b, CHANGE_STEP_MAX))
		return 0;
	if (r && !done)
		return r;
	o->reply->count.count = done;
	return done && offset > o->record.size ? settle_gap(o, 0, offset) : 0;
}

/* ---- fallocate */

int backing_fallocate_look(struct backing_op *o)
{
	const struct csv_op_fallocate *q = &o->q->fallocate;
	int r = backing_op_data(o, 0, true);
	uint64_t size;

	if (r)
		return r;
	size = (uint64_t)o->inode[0].st.st_size;
	if (o->is_redo)
		return (q->mode & FALLOCATE_MOVES) && size != o->record.size ? BACKING_HAPPENED : 0;
	if (!is_range(q->offset, q->length))
		return -EINVAL;
	if (q->mode & ~(uint32_t)FALLOCATE_KNOWN)
		return -EOPNOTSUPP;
	o->record.a = o->inode[0].row->handle;
	o->record.size = size;
	if (q->mode & (FALLOCATE_MOVES | FALLOC_FL_PUNCH_HOLE))
		return 0;
	return backing_space_data(o, o->inode[0].data_fd, q->offset, q->length);
}

int backing_fallocate_do(struct backing_op *o)
{
	const struct csv_op_fallocate *q = &o->q->fallocate;
	const struct csv_handle *h = &o->inode[0].row->handle;
	bool moves = q->mode & FALLOCATE_MOVES;
	int fd = o->inode[0].data_fd, r = 0;

	if (o->q->caller.uid)
		r = backing_kill_privileges(&o->q->caller, fd, &o->inode[0].st);
	if (moves && !r)
		r = backing_undo_make(o->b, h, fd);
	if (r || (moves && backing_stops_after(o->b, CHANGE_STEP_MAX)))
		return r;
	if (fallocate(fd, (int)q->mode, (off_t)q->offset, (off_t)q->length))
		r = -errno;
	else if (fdatasync(fd))
		r = backing_lost(o, 0, -errno);
	if (moves)
		r = backing_undo_drop(o->b, h) ?: r;
	return r;
}

/* ---- copy_file_range */

int backing_copy_range_look(struct backing_op *o)
{
	const struct csv_op_copy_range *q = &o->q->copy_range;
	int r = backing_op_data(o, 0, false);

	r = r ? r : backing_op_data(o, 1, true);
	if (r)
		return r;
	if (q->from_offset > INT64_MAX || q->to_offset > INT64_MAX)
		return -EINVAL;
	if (o->is_redo)
		return 0;
	o->record.a = o->inode[0].row->handle;
	o->record.b = o->inode[1].row->handle;
	o->record.size = (uint64_t)o->inode[1].st.st_size;
	/* What is shared takes no room; the rest of a request is no more than so much. */
	return backing_space_data(o, -1, 0,
				  q->from_offset % COPY_ALIGN || q->to_offset % COPY_ALIGN
					  ? q->length < COPY_BYTES_MAX ? q->length : COPY_BYTES_MAX
					  : 0);
}

int backing_copy_range_do(struct backing_op *o)
{
	const struct csv_op_copy_range *q = &o->q->copy_range;
	bool can_share = q->from_offset % COPY_ALIGN == 0 && q->to_offset % COPY_ALIGN == 0;
	uint64_t most = can_share ? COPY_MAX : COPY_BYTES_MAX;
	off_t from = (off_t)q->from_offset, to = (off_t)q->to_offset;
	int fd = o->inode[1].data_fd, r = 0;
	ssize_t n;

	if (o->q->caller.uid)
		r = backing_kill_privileges(&o->q->caller, fd, &o->inode[1].st);
	if (r)
		return r;
	n = copy_file_range(o->inode[0].data_fd, &from, fd, &to,
			    (size_t)(q->length < most ? q->length : most), 0);
	if (n < 0)
		return -errno;
	failpoint(FAIL_DATA_WRITTEN, o->q->op, o->mount);
	if (n && backing_stops_after(o->b, CHANGE_STEP_MAX))
		return 0;
	o->reply->count.count = (uint64_t)n;
	if (n && q->to_offset > o->record.size)
		return settle_gap(o, 1, q->to_offset);
	return n && fdatasync(fd) ? backing_lost(o, 1, -errno) : 0;
}
