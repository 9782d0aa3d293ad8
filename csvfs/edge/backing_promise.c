/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Promises, seen from the file system: which inodes of a request they are about. */
#include <errno.h>

#include "csvfs/edge/backing_impl.h"

void backing_set_promises(struct backing *b, struct promises *promises)
{
	b->promises = promises;
}

/* The mount whose promise of this inode stays, as it looks after it by itself; 0: none. */
static uint64_t except_for(const struct backing_op *o, const struct backing_row *row)
{
	struct csv_handle minds[PROMISE_MINDS];
	size_t n = promise_minds(o->q, minds);

	for (size_t i = 0; i < n; i++) {
		if (csv_handle_equal(&minds[i], &row->handle))
			return o->mount;
	}
	return 0;
}

void backing_break(struct backing_op *o)
{
	for (size_t i = 0; o->b->promises && i < o->lock_count; i++) {
		struct backing_lock *l = &o->lock[i];

		if (!l->is_change)
			continue;
		l->is_broken = true;
		l->except = except_for(o, l->row);
		promises_break(o->b->promises, l->except, &l->row->handle);
	}
}

void backing_collect(struct backing_op *o)
{
	for (size_t i = 0; i < o->lock_count; i++) {
		const struct backing_lock *l = &o->lock[i];

		if (l->is_broken)
			promises_collect(o->b->promises, l->except, &l->row->handle);
	}
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec <= b->tv_nsec;
}

/* relatime_need_update() in fs/inode.c of Linux. */
static bool needs_atime(const struct stat *st)
{
	struct timespec now;

	if (is_before(&st->st_atim, &st->st_mtim) || is_before(&st->st_atim, &st->st_ctim))
		return true;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec - st->st_atim.tv_sec >= PROMISE_ATIME_S;
}

void backing_access(struct backing_op *o)
{
	int r;

	if (!o->b->promises || o->error)
		return;
	if (o->q->op == CSV_OP_READ)
		r = backing_op_data(o, 0, false);
	else if (o->q->op == CSV_OP_READDIR || o->q->op == CSV_OP_READLINK)
		r = backing_op_path(o, 0);
	else
		return;
	if (r || !needs_atime(&o->inode[0].st))
		return; /* it fails by itself */
	backing_unsteady(o);
	backing_break(o);
	backing_collect(o);
}

/* Of what others write without us, or in place, nothing is known for long. */
static bool give(struct backing_op *o, const struct csv_handle *h)
{
	if ((o->b->grants && grants_is_written(o->b->grants, h)) || !backing_is_steady(o, h))
		return false;
	return promises_give(o->b->promises, o->mount, h);
}

static const struct csv_handle *node_of(const struct backing_op *o)
{
	switch (o->q->op) {
	case CSV_OP_GETATTR:
	case CSV_OP_SETATTR:
	case CSV_OP_READ:
	case CSV_OP_GETXATTR:
		return &o->inode[0].row->handle;
	case CSV_OP_LOOKUP:
	case CSV_OP_MKNOD:
	case CSV_OP_MKDIR:
	case CSV_OP_SYMLINK:
	case CSV_OP_CREATE:
	case CSV_OP_LINK:
		return &o->reply->entry.handle;
	default:
		return NULL;
	}
}

void backing_promise(struct backing_op *o)
{
	int error = o->reply->error;
	bool is_told = !error || (o->q->op == CSV_OP_LOOKUP && error == ENOENT);
	bool lacks = o->q->op == CSV_OP_GETXATTR && error == ENODATA;
	const struct csv_handle *h = !error || lacks ? node_of(o) : NULL;

	if (!o->b->promises)
		return;
	if (o->name_count == 1 && is_told && give(o, &o->name[0].dir->handle))
		o->reply->promised |= CSV_PROMISED_NAME;
	if (h && give(o, h))
		o->reply->promised |= CSV_PROMISED_NODE;
}
