/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "csvfs/edge/fuse_impl.h"
#include "lib/must.h"

/* One COPY_RANGE: struct fuse_write_out has 32 bits for what was copied (linux/fuse.h). */
#define COPY_MAX (UINT32_MAX & ~UINT32_C(0xfffff))

/* FOPEN_* of linux/fuse.h, which does not go together with libfuse's headers. */
#define OPEN_DIRECT_IO	     (1u << 0)
#define OPEN_PARALLEL_WRITES (1u << 6)

/* ---- what is open: fi->fh is the index of its row (KEEP_OPENS) */

/* Before the open is asked for: a failure that comes while it is under way counts. */
void call_open(struct call *c, bool is_file, bool is_writable)
{
	struct keep_open *o = keep_new(c->fs->options.keep, KEEP_OPENS, &c->origin.open);

	o->seen = datapath_seen(c->fs->options.datapath);
	o->is_file = is_file;
	o->is_writable = is_writable;
	keep_set(&o->state, KEEP_OPEN_ASKED);
}

static struct keep_open *open_of(const struct csv_fs *fs, const struct fuse_file_info *fi)
{
	return keep_row(fs->options.keep, KEEP_OPENS, (uint32_t)fi->fh);
}

void call_open_failed(struct call *c)
{
	if (c->origin.open)
		keep_free(c->fs->options.keep, KEEP_OPENS, c->origin.open);
}

/* Of what has just been opened. Nothing waits for it, so that nothing interrupts it. */
static void release(struct call *c, const struct csv_handle *handle)
{
	struct csv_request q = {.op = CSV_OP_RELEASE, .release.handle = *handle};
	struct csv_reply p;

	client_call_for(c->fs->options.client, &c->origin, &q, &p, NULL, 0, NULL);
	c->origin.step++;
	c->origin.open = 0; /* it has gone with the answer */
}

void call_open_untaken(struct call *c, const struct csv_handle *handle)
{
	c->origin.unique = 0; /* the kernel has been answered */
	release(c, handle);
}

static void set_open_flags(struct fuse_file_info *fi)
{
	fi->direct_io = 1; /* nothing of a file is cached by the kernel */
	fi->keep_cache = 0;
	/* A write is durable when it is answered; but a close gives up locks, and FLUSH tells. */
	fi->noflush = 0;
}

/*
 * As fuse_reply_open(), with a flag that libfuse does not know before 3.15: the kernel lets writes
 * to a file that do not extend it run side by side, as reads do (struct fuse_open_out in
 * linux/fuse.h).
 */
static int reply_open(fuse_req_t req, const struct fuse_file_info *fi)
{
	struct {
		uint64_t fh;
		uint32_t open_flags;
		uint32_t unused;
	} out = {.fh = fi->fh, .open_flags = OPEN_DIRECT_IO | OPEN_PARALLEL_WRITES};

	return fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_OPEN);
	e = call_handle(&c, ino, &c.q.open.handle);
	c.q.open.flags = (uint32_t)fi->flags;
	call_open(&c, true, (fi->flags & O_ACCMODE) != O_RDONLY);
	e = e ? e : call_run(&c, 0);
	if (e) {
		call_open_failed(&c);
		call_reply_error(&c, e);
		return;
	}
	call_end(&c);
	datapath_opened(c.fs->options.datapath, &c.q.open.handle);
	fi->fh = c.origin.open;
	set_open_flags(fi);
	if (reply_open(req, fi) == -ENOENT) {
		datapath_closed(c.fs->options.datapath, &c.q.open.handle);
		call_open_untaken(&c, &c.q.open.handle);
	}
}

/* A file that CREATE has opened, and perhaps not made: the kernel does not truncate it. */
static int truncate_new(struct call *c)
{
	struct csv_request q = {
		.op = CSV_OP_SETATTR,
		.caller = c->q.caller,
		.setattr = {.handle = c->p.entry.handle,
			    .valid = CSV_SET_SIZE | (c->q.caller.uid ? CSV_SET_KILL_SUID : 0)}};
	struct csv_reply p;
	int e = -client_call_for(c->fs->options.client, &c->origin, &q, &p, NULL, 0, &c->interrupt);

	c->origin.step++;
	e = e ? e : p.error;
	if (!e)
		c->p.entry.attr = p.attr.attr;
	else
		release(c, &c->p.entry.handle);
	return e;
}

/*
 * The kernel sends CREATE when it has just seen that there is no such name, and then takes the
 * file for new: it checks no permission and does not truncate. So a file that another node has
 * made meanwhile is not opened here: ESTALE makes the kernel look again and open it by the rules
 * (do_filp_open() in fs/namei.c). It looks only once more; if the file has gone meanwhile, and is
 * there again, the coordinator opens what its mode lets the caller read and write.
 */
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct fuse_entry_param entry;
	struct call c;
	bool is_again;
	int e;

	call_begin(&c, req, CSV_OP_CREATE);
	e = call_handle(&c, parent, &c.q.create.parent);
	e = e ? e : call_name(&c.q.create.name, name);
	c.q.create.mode = mode;
	is_again = !(fi->flags & O_EXCL) && stale_is_again(&c);
	c.q.create.is_exclusive = !is_again;
	call_groups(&c);
	call_open(&c, true, (fi->flags & O_ACCMODE) != O_RDONLY);
	e = e ? e : call_run(&c, 0);
	if (!e && is_again && (fi->flags & O_TRUNC))
		e = truncate_new(&c);
	if (e) {
		call_open_failed(&c);
		call_reply_error(&c, e == EEXIST && !(fi->flags & O_EXCL) ? ESTALE : e);
		return;
	}
	call_end(&c);
	datapath_opened(c.fs->options.datapath, &c.p.entry.handle);
	fi->fh = c.origin.open;
	set_open_flags(fi);
	fs_entry(c.fs, &c.p.entry.handle, &c.p.entry.attr, &entry);
	if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
		fs_forget(c.fs, entry.ino, 1);
		datapath_closed(c.fs->options.datapath, &c.p.entry.handle);
		call_open_untaken(&c, &c.p.entry.handle);
	}
}

/*
 * Of files and directories. The kernel waits for no reply, and nothing interrupts it. What an
 * earlier process has released, and told nobody of, is no longer open here either.
 */
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct keep_open *o;
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_RELEASE);
	o = open_of(c.fs, fi);
	e = call_handle(&c, ino, &c.q.release.handle);
	c.origin.open = (uint32_t)fi->fh;
	if (!e && o && o->state == KEEP_OPEN_OPEN && o->is_file) {
		/* Before the number of the open file can be another one's. */
		fs_locks_closed(c.fs, &c.q.release.handle, fi->fh);
		datapath_closed(c.fs->options.datapath, &c.q.release.handle);
	}
	e = e ? e : call_run(&c, 0);
	call_reply_error(&c, e);
}

/*
 * Reads at the coordinator, whole pages: they may be kept. What was asked for is *ret of the
 * answer.
 */
static int read_home(struct call *c, size_t size, struct csv_bytes *ret)
{
	struct csv_op_read *q = &c->q.read;
	size_t head = c->fs->options.cache ? q->offset % CACHE_PAGE : 0;
	size_t all = (head + size + CACHE_PAGE - 1) / CACHE_PAGE * CACHE_PAGE;
	int e;

	datapath_went_home(c->fs->options.datapath, size);
	if (!c->fs->options.cache || all > CSV_IO_MAX)
		head = 0;
	else
		q->size = (uint32_t)all;
	q->offset -= head;
	e = call_run(c, q->size);
	if (e)
		return e;
	*ret = c->p.bytes.data;
	head = head < ret->len ? head : ret->len;
	ret->data += head;
	ret->len -= head;
	ret->len = ret->len < size ? ret->len : size;
	return 0;
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct csv_bytes found = {0};
	struct call c;
	struct datapath *d;
	size_t at, len;
	int e;

	(void)fi;
	if (size > CSV_IO_MAX)
		size = CSV_IO_MAX;
	call_begin(&c, req, CSV_OP_READ);
	d = c.fs->options.datapath;
	e = call_handle(&c, ino, &c.q.read.handle);
	c.q.read.offset = (uint64_t)off;
	c.q.read.size = (uint32_t)size;
	e = e ? e : call_buffer(&c);
	if (!e && mount_cache_read(c.fs->options.cache, &c.q.read.handle, (uint64_t)off, size,
				   c.buffer->data, &len)) {
		call_reply_bytes(&c, 0, c.buffer->data, len);
		return;
	}
	if (!e && datapath_is_suitable(d, (uint64_t)off, size, false) &&
	    !datapath_read(d, &c.q.read.handle, (uint64_t)off, size, c.buffer->data, &at, &len,
			   &c.interrupt)) {
		call_reply_bytes(&c, 0, c.buffer->data + at, len);
		return;
	}
	e = e ? e : read_home(&c, size, &found);
	call_reply_bytes(&c, e, found.data, found.len);
}

/* True: it is written. */
static bool write_direct(struct call *c, const struct fuse_file_info *fi)
{
	struct datapath *d = c->fs->options.datapath;
	const struct csv_op_write *q = &c->q.write;

	if ((fi->flags & O_APPEND) || !datapath_is_suitable(d, q->offset, q->data.len, true) ||
	    call_buffer(c))
		return false;
	memcpy(c->buffer->data, q->data.data, q->data.len);
	return !datapath_write(d, &q->handle, q->offset, q->data.len, c->buffer->data,
			       fi->flags & O_DSYNC, &c->interrupt);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	struct call c;
	int e;

	if (size > CSV_IO_MAX)
		size = CSV_IO_MAX;
	call_begin(&c, req, CSV_OP_WRITE);
	e = call_handle(&c, ino, &c.q.write.handle);
	c.q.write.offset = (uint64_t)off;
	c.q.write.flags = (fi->flags & O_APPEND ? CSV_WRITE_APPEND : 0) |
			  (c.q.caller.uid ? CSV_WRITE_KILL_SUID : 0);
	c.q.write.data = (struct csv_bytes){(const uint8_t *)data, size};
	if (!e && write_direct(&c, fi)) {
		call_reply_count(&c, 0, size);
		return;
	}
	if (!e)
		datapath_went_home(c.fs->options.datapath, size);
	call_rights(&c);
	e = e ? e : call_run(&c, 0);
	if (!e && c.p.count.count > size)
		e = EIO;
	call_reply_count(&c, e, e ? 0 : c.p.count.count);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct datapath *d;
	struct keep_open *o;
	struct call c;
	int e, r, failure;

	call_begin(&c, req, CSV_OP_FSYNC);
	d = c.fs->options.datapath;
	o = open_of(c.fs, fi);
	must(o);
	e = call_handle(&c, ino, &c.q.fsync.handle);
	c.q.fsync.is_datasync = datasync != 0;
	r = e ? 0 : datapath_fsync(d, &c.q.fsync.handle, &o->seen);
	if (e || r != DATAPATH_HOME) {
		call_reply_error(&c, e ? e : -r);
		return;
	}
	e = call_run(&c, 0);
	/* What the coordinator has found, it has told all mounts before it answered. */
	failure = datapath_error(d, &c.q.fsync.handle, &o->seen);
	call_reply_error(&c, failure ? failure : e);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi)
{
	struct call c;
	int e;

	(void)fi;
	call_begin(&c, req, CSV_OP_FALLOCATE);
	e = call_handle(&c, ino, &c.q.fallocate.handle);
	c.q.fallocate.mode = (uint32_t)mode;
	c.q.fallocate.offset = (uint64_t)off;
	c.q.fallocate.length = (uint64_t)len;
	call_rights(&c);
	e = e ? e : call_run(&c, 0);
	call_reply_error(&c, e);
}

/* SEEK_DATA and SEEK_HOLE; the kernel does the others. */
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct call c;
	int e;

	(void)fi;
	call_begin(&c, req, CSV_OP_LSEEK);
	e = call_handle(&c, ino, &c.q.lseek.handle);
	c.q.lseek.offset = (uint64_t)off;
	c.q.lseek.whence = (uint32_t)whence;
	e = e ? e : call_run(&c, 0);
	if (e) {
		call_reply_error(&c, e);
		return;
	}
	call_end(&c);
	fuse_reply_lseek(req, (off_t)c.p.count.count);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct call c;
	int e;

	(void)fi_in;
	(void)fi_out;
	call_begin(&c, req, CSV_OP_COPY_RANGE);
	e = flags ? EINVAL : call_handle(&c, ino_in, &c.q.copy_range.from);
	e = e ? e : call_handle(&c, ino_out, &c.q.copy_range.to);
	c.q.copy_range.from_offset = (uint64_t)off_in;
	c.q.copy_range.to_offset = (uint64_t)off_out;
	c.q.copy_range.length = len < COPY_MAX ? len : COPY_MAX;
	call_rights(&c);
	e = e ? e : call_run(&c, 0);
	if (!e && c.p.count.count > c.q.copy_range.length)
		e = EIO;
	if (e) {
		call_reply_error(&c, e);
		return;
	}
	call_end(&c);
	fuse_reply_write(req, c.p.count.count);
}
