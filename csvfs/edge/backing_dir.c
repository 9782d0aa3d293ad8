/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * READDIR, in two passes over the reply. The first, with the directory locked, writes entries and
 * handles, with room for attributes; the second, with only one child locked at a time, fills these
 * in. A request never waits for a child while it holds its directory (backing_op.c).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/wire.h"

#define RAW_BYTES 32768 /* what the kernel is asked for at once */
#define HIDDEN	  ".csv"

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* 1: written; 0: there is no room for it; negative errno. */
static int put_entry(struct backing_op *o, struct wire_writer *w, int fd, const struct dirent64 *e)
{
	struct csv_dirent d = {.next = (uint64_t)e->d_off, .ino = e->d_ino, .type = e->d_type};
	size_t start = w->pos, len = strlen(e->d_name);
	int r;

	must(len < sizeof(d.name.text));
	memcpy(d.name.text, e->d_name, len + 1);
	if (o->q->readdir.wants_attr && !is_dot(d.name.text)) {
		r = backing_handle_of(fd, d.name.text, &d.handle);
		if (r)
			return r;
		d.has_attr = true;
	}
	csv_dirent_put(w, &d);
	if (!w->error)
		return 1;
	w->error = 0;
	w->pos = start;
	return 0;
}

/* As put_entry(), for all that the kernel has given. */
static int put_entries(struct backing_op *o, struct wire_writer *w, int fd, const uint8_t *raw,
		       size_t len)
{
	bool is_root = csv_handle_equal(&o->q->readdir.handle, &o->b->root);
	int r = 1;

	for (size_t at = 0; at < len && r > 0;) {
		const struct dirent64 *e = (const struct dirent64 *)(raw + at);

		if (!is_root || strcmp(e->d_name, HIDDEN) != 0)
			r = put_entry(o, w, fd, e);
		at += e->d_reclen;
	}
	return r;
}

int backing_readdir(struct backing_op *o)
{
	const struct csv_op_readdir *q = &o->q->readdir;
	uint8_t raw[RAW_BYTES] __attribute__((aligned(8)));
	_cleanup_close_ int fd = -1;
	struct wire_writer w;
	ssize_t n;
	int r = backing_op_path(o, 0);

	if (r)
		return r;
	if (!S_ISDIR(o->inode[0].st.st_mode))
		return -ENOTDIR;
	fd = backing_handle_open(o->b, &q->handle, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	if (q->offset > INT64_MAX || lseek(fd, (off_t)q->offset, SEEK_SET) < 0)
		return -EINVAL;
	wire_writer_init(&w, o->buf, q->size);
	do {
		n = getdents64(fd, raw, sizeof(raw));
		if (n < 0)
			return -errno;
		r = n ? put_entries(o, &w, fd, raw, (size_t)n) : 0;
	} while (r > 0);
	if (r < 0)
		return r;
	/* Not even one, where there is one: EINVAL, as of getdents(2). */
	if (n && !w.pos)
		return -EINVAL;
	o->reply->bytes.data = (struct csv_bytes){o->buf, w.pos};
	return 0;
}

/* false: it has gone meanwhile. */
static bool fill_in(struct backing_op *o, struct csv_dirent *d)
{
	struct backing_row *row = backing_row_get(o->b, &d->handle);
	_cleanup_close_ int fd = -1;
	struct stat st;
	bool is_there;

	must(!pthread_rwlock_rdlock(&row->lock));
	fd = backing_handle_open(o->b, &d->handle, O_PATH);
	is_there = fd >= 0 && !fstat(fd, &st) && st.st_nlink;
	if (is_there)
		backing_attr_of(o->b, row, &st, &d->attr);
	if (row->change > o->wait)
		o->wait = row->change;
	pthread_rwlock_unlock(&row->lock);
	backing_row_put(o->b, row);
	return is_there;
}

int backing_readdir_attr(struct backing_op *o)
{
	struct csv_bytes *data = &o->reply->bytes.data;
	struct wire_reader r;
	struct wire_writer w;

	if (!o->q->readdir.wants_attr)
		return 0;
	/* Over itself: no entry gets longer. */
	wire_reader_init(&r, o->buf, data->len);
	wire_writer_init(&w, o->buf, data->len);
	while (wire_reader_left(&r)) {
		struct csv_dirent d;

		csv_dirent_get(&r, &d);
		if (d.has_attr)
			d.has_attr = fill_in(o, &d);
		csv_dirent_put(&w, &d);
	}
	must(!wire_reader_end(&r));
	return wire_writer_end(&w, &data->len);
}
