/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grants, seen from the file system: what may be granted (csvfs/core/grant.h has the order), what
 * must come back before a request may change a map or a size, and data of files that are out:
 * past the page cache, in place.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"
#include "csvfs/edge/trace.h"
#include "lib/must.h"
#include "lib/wire.h"

#define SYS_CACHESTAT  451 /* cachestat(2), Linux 6.5; the number is the same everywhere */
#define UNSHARE_MAX    (UINT64_C(64) << 20)
#define UNSHARE_MIN    (UINT64_C(64) << 10)
#define MINCORE_BYTES  (UINT64_C(256) << 20)
#define FLAGS_HARMLESS (FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED)

void backing_set_grants(struct backing *b, struct grants *grants, uint64_t data_start)
{
	b->grants = grants;
	b->data_start = data_start;
}

/* ---- what has to come back first */

/* Rows whose grants this request wants back. */
static size_t targets(struct backing_op *o, struct backing_row *ret[2])
{
	const struct csv_request *q = o->q;
	bool is_sole = false;
	size_t n = 0;

	switch (q->op) {
	case CSV_OP_WRITE:
		if (!backing_stays_in_place(&q->write) || o->must_recall)
			ret[n++] = o->inode[0].row;
		break;
	case CSV_OP_GRANT:
		if (!q->grant.is_write)
			break;
		is_sole = grants_is_sole_elsewhere(o->b->grants, &q->grant.handle, o->mount);
		o->is_contended |= is_sole;
		/* Who reads only: settle_blocks() may move what he reads. */
		if (is_sole || grants_is_shared(o->b->grants, &q->grant.handle))
			ret[n++] = o->inode[0].row;
		break;
	case CSV_OP_COPY_RANGE:
		ret[n++] = o->inode[0].row;
		ret[n++] = o->inode[1].row;
		break;
	case CSV_OP_SETATTR: /* times, too: what is told of writes later must not undo them */
	case CSV_OP_SETXATTR:
	case CSV_OP_FALLOCATE:
		ret[n++] = o->inode[0].row;
		break;
	case CSV_OP_UNLINK:
		ret[n++] = o->name[0].child_row;
		break;
	case CSV_OP_RENAME:
		ret[n++] = o->name[1].child_row;
		break;
	default:
		break;
	}
	return n;
}

void backing_recall_end(struct backing_op *o)
{
	for (size_t i = 0; i < MUST_ARRAY_SIZE(o->recalled); i++) {
		if (o->recalled[i].ino)
			grants_recall_end(o->b->grants, &o->recalled[i]);
		o->recalled[i] = (struct csv_handle){0};
	}
}

int backing_recall(struct backing_op *o)
{
	struct backing_row *row[2];
	size_t n = targets(o, row);
	int r = 0;

	backing_recall_end(o);
	for (size_t i = 0; i < n && !r; i++) {
		if (!row[i] || !grants_is_held(o->b->grants, &row[i]->handle))
			continue;
		r = grants_recall(o->b->grants, &row[i]->handle);
		if (r)
			return r;
		o->recalled[i] = row[i]->handle;
		backing_touch(o->b, row[i]);
	}
	return r;
}

/* A write that stays in place must lie within the file, in blocks that are its own. */
static bool write_is_bad(struct backing_op *o)
{
	const struct csv_op_write *q = &o->q->write;

	if (o->must_recall || !backing_stays_in_place(q))
		return true;
	if (backing_op_data(o, 0, true))
		return false; /* it will fail as it is */
	return q->offset + q->data.len > (uint64_t)o->inode[0].st.st_size ||
	       grants_is_shared(o->b->grants, &o->inode[0].row->handle);
}

bool backing_is_out(struct backing_op *o)
{
	struct backing_row *row[2];
	size_t n;

	if (o->q->op == CSV_OP_WRITE && o->inode[0].row &&
	    grants_is_held(o->b->grants, &o->inode[0].row->handle))
		o->must_recall = write_is_bad(o);
	n = targets(o, row);
	for (size_t i = 0; i < n; i++) {
		if (row[i] && grants_is_held(o->b->grants, &row[i]->handle))
			return true;
	}
	return false;
}

/* ---- when it was written */

static bool is_later(const struct csv_time *a, const struct timespec *b)
{
	return a->sec != b->tv_sec ? a->sec > b->tv_sec : (long)a->nsec > b->tv_nsec;
}

/* 0 or, if it is not on the disk, -errno. */
static int touch_file(struct backing *b, const struct csv_handle *h, const struct csv_time *t)
{
	const struct timespec times[] = {{.tv_nsec = UTIME_OMIT},
					 {.tv_sec = t->sec, .tv_nsec = t->nsec}};
	int fd = backing_handle_open(b, h, O_RDONLY);
	struct stat st;
	int r = 0;

	if (fd < 0)
		return fd == -ESTALE ? 0 : fd; /* it is gone, and who has written to it knows */
	if (!fstat(fd, &st) && is_later(t, &st.st_mtim) && !futimens(fd, times) && fsync(fd))
		r = -errno;
	close(fd);
	return r;
}

void backing_touch(struct backing *b, struct backing_row *row)
{
	struct csv_time t;
	int r;

	if (!grants_written(b->grants, &row->handle, &t))
		return;
	must(!pthread_rwlock_wrlock(&row->lock));
	r = touch_file(b, &row->handle, &t);
	pthread_rwlock_unlock(&row->lock);
	/* It was a flush, too, and nobody else hears what it says. */
	if (r && !backing_is_down(b, -r))
		grants_fail(b->grants, &row->handle, -r);
	grants_touched(b->grants, &row->handle, &t);
}

/* GETATTR tells of what was written without us, FSYNC of more than what we know. */
int backing_ask(struct backing_op *o)
{
	bool wants_flush = o->q->op == CSV_OP_FSYNC;
	struct backing_row *row = o->inode_count ? o->inode[0].row : NULL;
	int r;

	if (o->q->op != CSV_OP_GETATTR && !wants_flush)
		return 0;
	r = grants_ask(o->b->grants, &row->handle, wants_flush);
	backing_touch(o->b, row);
	return r;
}

/* ---- data of a file that is out */

static int open_direct(struct backing_op *o, int flags)
{
	return backing_handle_open(o->b, &o->inode[0].row->handle, flags | O_DIRECT);
}

bool backing_is_direct(struct backing_op *o)
{
	return o->b->grants && grants_is_held(o->b->grants, &o->inode[0].row->handle);
}

/* The blocks around it; what was asked for is moved to the front. */
int backing_read_direct(struct backing_op *o)
{
	const struct csv_op_read *q = &o->q->read;
	uint64_t size = (uint64_t)o->inode[0].st.st_size, head = q->offset % CSV_GRANT_BLOCK;
	uint64_t from = q->offset - head, len = 0, got = 0;
	ssize_t n = 1;
	int fd;

	if (q->offset < size)
		len = q->size < size - q->offset ? q->size : size - q->offset;
	fd = len ? open_direct(o, O_RDONLY) : -1;
	if (len && fd < 0)
		return fd;
	while (got < head + len && n > 0) {
		uint64_t want = head + len - got;

		want = (want + CSV_GRANT_BLOCK - 1) / CSV_GRANT_BLOCK * CSV_GRANT_BLOCK;
		n = pread(fd, o->buf + got, want, (off_t)(from + got));
		got += n > 0 ? (uint64_t)n / CSV_GRANT_BLOCK * CSV_GRANT_BLOCK : 0;
	}
	if (fd >= 0)
		close(fd);
	if (n < 0 && got <= head)
		return -errno;
	got = got > head ? got - head : 0;
	if (head)
		memmove(o->buf, o->buf + head, got);
	o->reply->bytes.data = (struct csv_bytes){o->buf, got < len ? got : len};
	return 0;
}

/* backing_is_out() has seen that it lies in the file, in whole blocks. */
int backing_write_direct(struct backing_op *o, size_t *ret_done)
{
	const struct csv_op_write *q = &o->q->write;
	int fd = open_direct(o, O_RDWR), r = 0;
	bool is_grouped = backing_is_grouped(o, true);
	ssize_t n;

	if (fd < 0)
		return fd;
	memcpy(o->buf, q->data.data, q->data.len);
	while (!r && *ret_done < q->data.len) {
		struct iovec v = {o->buf + *ret_done, q->data.len - *ret_done};

		n = pwritev2(fd, &v, 1, (off_t)(q->offset + *ret_done), is_grouped ? 0 : RWF_DSYNC);
		if (n < 0)
			r = backing_lost_write(o, -errno);
		else
			*ret_done += (size_t)n;
	}
	if (*ret_done && is_grouped) {
		r = backing_flush(o, fd);
		if (r) {
			*ret_done = 0;
			backing_lost_write(o, r);
		}
	}
	close(fd);
	return *ret_done ? 0 : r;
}

/* ---- granting */

/* Are there pages of it in memory? True also if that cannot be told. */
static bool is_resident(int fd, uint64_t size)
{
	struct {
		uint64_t offset, length;
	} range = {0, 0}; /* all of it */
	struct {
		uint64_t cached, dirty, writeback, evicted, recently_evicted;
	} stat = {0};
	static const size_t pages = MINCORE_BYTES / 4096;
	unsigned char *vector;
	bool is_left = false;

	if (!syscall(SYS_CACHESTAT, fd, &range, &stat, 0))
		return stat.cached != 0;
	vector = malloc(pages);
	for (uint64_t at = 0; vector && at < size && !is_left; at += MINCORE_BYTES) {
		size_t len = size - at < MINCORE_BYTES ? size - at : MINCORE_BYTES;
		void *p = mmap(NULL, len, PROT_NONE, MAP_SHARED, fd, (off_t)at);

		is_left = p == MAP_FAILED || mincore(p, len, vector);
		for (size_t i = 0; !is_left && i < (len + 4095) / 4096; i++)
			is_left = vector[i] & 1;
		if (p != MAP_FAILED)
			munmap(p, len);
	}
	is_left = is_left || !vector;
	free(vector);
	return is_left;
}

static bool empty_cache(const struct backing_inode *i)
{
	return !posix_fadvise(i->data_fd, 0, 0, POSIX_FADV_DONTNEED) &&
	       !is_resident(i->data_fd, (uint64_t)i->st.st_size);
}

static struct grant_piece piece_of(const struct backing *b, const struct fiemap_extent *e)
{
	return (struct grant_piece){
		.offset = e->fe_logical,
		.address = b->data_start + e->fe_physical,
		.length = e->fe_length,
		.is_unwritten = e->fe_flags & FIEMAP_EXTENT_UNWRITTEN,
		.is_shared = e->fe_flags & FIEMAP_EXTENT_SHARED,
		.is_other = e->fe_flags & ~(uint32_t)(FLAGS_HARMLESS | FIEMAP_EXTENT_UNWRITTEN |
						      FIEMAP_EXTENT_SHARED),
	};
}

/* The extents of the file, if they may be granted, into the reply. */
static enum csv_ungranted map(struct backing_op *o, bool *ret_shared)
{
	const uint32_t most = CSV_EXTENTS_MAX + 1;
	struct fiemap *f = calloc(1, sizeof(*f) + most * sizeof(f->fm_extents[0]));
	struct grant_piece *pieces = calloc(most, sizeof(*pieces));
	uint64_t size = (uint64_t)o->inode[0].st.st_size;
	enum csv_ungranted why = CSV_UNGRANTED_EXTENTS;
	struct wire_writer w;

	must(f && pieces);
	f->fm_length = FIEMAP_MAX_OFFSET;
	f->fm_extent_count = most;
	wire_writer_init(&w, o->buf, (size_t)CSV_EXTENTS_MAX * CSV_EXTENT_BYTES);
	if (!ioctl(o->inode[0].data_fd, FS_IOC_FIEMAP, f)) {
		for (uint32_t i = 0; i < f->fm_mapped_extents; i++)
			pieces[i] = piece_of(o->b, &f->fm_extents[i]);
		why = grant_judge(pieces, f->fm_mapped_extents, size, o->q->grant.is_write, 0,
				  ret_shared);
	}
	for (uint32_t i = 0; why == CSV_UNGRANTED_NOTHING && i < f->fm_mapped_extents; i++) {
		const struct grant_piece *p = &pieces[i];

		if (p->offset < size)
			csv_extent_put(&w, &(struct csv_extent){p->offset, p->address, p->length});
	}
	must(!w.error);
	o->reply->grant.extents = (struct csv_bytes){o->buf, w.pos};
	free(pieces);
	free(f);
	return why;
}

/* One of whom writes is not told any more has written now, and keeps no privileges (rule of
 * write(2)). */
static int mark_written(const struct backing_inode *i)
{
	static const struct timespec now[] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
	int r = backing_kill_privileges(NULL, i->data_fd, &i->st);

	if (r)
		return r;
	return futimens(i->data_fd, now) ? -errno : 0;
}

/*
 * XFS wants as much free space as the range is long, shared or not: so not the whole file at once,
 * or a large one could not be granted on a volume that it nearly fills.
 */
static bool unshare_all(const struct backing_inode *i)
{
	uint64_t size = (uint64_t)i->st.st_size, at = 0, step = UNSHARE_MAX;

	while (at < size) {
		uint64_t len = size - at < step ? size - at : step;

		if (!fallocate(i->data_fd, FALLOC_FL_UNSHARE_RANGE, (off_t)at, (off_t)len))
			at += len;
		else if (errno != ENOSPC || step <= UNSHARE_MIN)
			return false;
		else
			step /= 2;
	}
	return true;
}

/*
 * The file has no blocks in common with another one; perhaps it had. Then XFS may still have new
 * ones put aside for parts of it (the copy-on-write fork: 128 KiB around what was written), and our
 * next write there would move them, shared or not, with nothing of it in the map. This makes it a
 * file like any other, and moves blocks a last time. Only for writing: it changes times.
 *
 * Unsharing moves some of them, and drops what is left unless the file is listed as one with dirty
 * pages (xfs_can_free_cowblocks()); which it is after the first time, and which nothing tells.
 * fsync(2) writes the pages and leaves the list as it is; syncfs(2) does not.
 */
static bool settle_blocks(const struct backing *b, const struct backing_inode *i)
{
	return unshare_all(i) && !syncfs(b->root_fd) && unshare_all(i);
}

static int make_grant(struct backing_op *o, enum csv_ungranted *ret_why)
{
	struct csv_reply_grant *p = &o->reply->grant;
	struct grant_event e = {.type = GRANT_EV_ISSUE,
				.mount = o->mount,
				.handle = o->q->grant.handle,
				.is_write = o->q->grant.is_write,
				.is_contended = o->is_contended};
	enum grant_make step = grant_make_first(0);
	enum csv_grant_mode mode = CSV_GRANT_NONE;

	while (step != GRANT_MAKE_ISSUE && step != GRANT_MAKE_REFUSE) {
		bool is_ok = false;

		if (step == GRANT_MAKE_FORCE) {
			if (fsync(o->inode[0].data_fd))
				return backing_lost(o, 0, -errno);
			failpoint(FAIL_GRANT_FORCED, o->q->op, o->mount);
			is_ok = true;
		} else if (step == GRANT_MAKE_EMPTY) {
			is_ok = empty_cache(&o->inode[0]);
			failpoint(FAIL_GRANT_EMPTIED, o->q->op, o->mount);
			*ret_why = CSV_UNGRANTED_RESIDENT;
		} else {
			*ret_why = map(o, &e.is_shared);
			is_ok = *ret_why == CSV_UNGRANTED_NOTHING;
		}
		step = grant_make_next(step, is_ok, 0);
	}
	/* Our own recall ends here: the inode is locked, nobody else can be given it before us. */
	backing_recall_end(o);
	if (step == GRANT_MAKE_ISSUE)
		csv_trace_map(&e.handle, &p->extents);
	if (step == GRANT_MAKE_ISSUE)
		*ret_why = grants_issue(o->b->grants, &e, &p->id, &mode);
	failpoint(FAIL_GRANT_ISSUED, o->q->op, o->mount);
	p->mode = (uint8_t)mode;
	return 0;
}

/* What can be seen without touching it. */
static enum csv_ungranted look(const struct backing_inode *i)
{
	if (i->st.st_size < CSV_GRANT_MIN)
		return CSV_UNGRANTED_SMALL;
	return backing_is_block((uint64_t)i->st.st_size) ? CSV_UNGRANTED_NOTHING
							 : CSV_UNGRANTED_SIZE;
}

int backing_grant(struct backing_op *o)
{
	struct csv_reply_grant *p = &o->reply->grant;
	enum csv_ungranted why = CSV_UNGRANTED_NOTHING;
	bool is_shared;
	int r;

	if (!o->b->grants)
		return -EOPNOTSUPP;
	r = backing_op_data(o, 0, true);
	if (r)
		return r;
	why = look(&o->inode[0]);
	/* A look at the map first: nothing is emptied and marked for a file that cannot be given.
	 */
	if (why == CSV_UNGRANTED_NOTHING)
		why = map(o, &is_shared);
	if (why == CSV_UNGRANTED_NOTHING && o->q->grant.is_write) {
		/* Its times are those of its writers from now on: nothing of it can be promised. */
		backing_break(o);
		backing_collect(o);
		r = mark_written(&o->inode[0]);
		failpoint(FAIL_GRANT_MARKED, o->q->op, o->mount);
		if (!r && !settle_blocks(o->b, &o->inode[0]))
			why = CSV_UNGRANTED_EXTENTS;
	}
	if (why == CSV_UNGRANTED_NOTHING && !r)
		r = make_grant(o, &why);
	if (r)
		return r;
	p->why = (uint8_t)why;
	p->size = (uint64_t)o->inode[0].st.st_size;
	if (p->mode == CSV_GRANT_NONE)
		p->extents = (struct csv_bytes){o->buf, 0};
	return 0;
}
