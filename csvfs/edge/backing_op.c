/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request: which inodes it touches, and their locks.
 *
 * A request that names a child must lock the child too, and knows it only after it has looked. So
 * it looks without locks, locks all, directories and children, in the order of (ino, gen), and
 * looks again: if a name now stands for something else, it unlocks all and begins anew. Since
 * everybody locks in that order, once, and holding none, there is no deadlock, whatever the shape
 * of the tree; and who begins anew does so because somebody else has changed the name and gone on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/must.h"

#define HIDDEN ".csv"

static void touch_inode(struct backing_op *o, const struct csv_handle *h,
			enum backing_access access)
{
	struct backing_inode *i = &o->inode[o->inode_count++];

	must(o->inode_count <= MUST_ARRAY_SIZE(o->inode));
	*i = (struct backing_inode){.access = access, .path_fd = -1, .data_fd = -1};
	i->row = backing_row_get(o->b, h);
}

/* hidden_error: what is said of the name that nobody may see. */
static void touch_name(struct backing_op *o, const struct csv_handle *dir,
		       const struct csv_name *name, enum backing_access dir_access,
		       enum backing_access child_access, int hidden_error)
{
	struct backing_name *n = &o->name[o->name_count++];

	must(o->name_count <= MUST_ARRAY_SIZE(o->name));
	*n = (struct backing_name){.dir_access = dir_access,
				   .dir_fd = -1,
				   .text = name->text,
				   .child_access = child_access};
	n->dir = backing_row_get(o->b, dir);
	if (csv_handle_equal(dir, &o->b->root) && !strcmp(name->text, HIDDEN) && !o->error)
		o->error = -hidden_error;
}

/* MKNOD MKDIR SYMLINK CREATE: a name that is to be new. */
static void touch_new(struct backing_op *o, const struct csv_handle *dir,
		      const struct csv_name *name, enum backing_access child_access)
{
	touch_name(o, dir, name, BACKING_WRITE, child_access, EACCES);
}

static void touch_names(struct backing_op *o)
{
	const struct csv_request *q = o->q;

	switch (q->op) {
	case CSV_OP_LOOKUP:
		touch_name(o, &q->lookup.parent, &q->lookup.name, BACKING_READ, BACKING_READ,
			   ENOENT);
		break;
	case CSV_OP_MKNOD:
		touch_new(o, &q->mknod.parent, &q->mknod.name, BACKING_NOT);
		break;
	case CSV_OP_MKDIR:
		touch_new(o, &q->mkdir.parent, &q->mkdir.name, BACKING_NOT);
		break;
	case CSV_OP_SYMLINK:
		touch_new(o, &q->symlink.parent, &q->symlink.name, BACKING_NOT);
		break;
	case CSV_OP_CREATE:
		touch_new(o, &q->create.parent, &q->create.name, BACKING_READ);
		break;
	case CSV_OP_UNLINK:
		touch_name(o, &q->unlink.parent, &q->unlink.name, BACKING_WRITE, BACKING_WRITE,
			   ENOENT);
		break;
	case CSV_OP_RMDIR:
		touch_name(o, &q->rmdir.parent, &q->rmdir.name, BACKING_WRITE, BACKING_WRITE,
			   ENOENT);
		break;
	case CSV_OP_RENAME:
		touch_name(o, &q->rename.parent, &q->rename.name, BACKING_WRITE, BACKING_WRITE,
			   ENOENT);
		touch_name(o, &q->rename.new_parent, &q->rename.new_name, BACKING_WRITE,
			   BACKING_WRITE, EACCES);
		break;
	case CSV_OP_LINK:
		touch_inode(o, &q->link.handle, BACKING_WRITE);
		touch_new(o, &q->link.new_parent, &q->link.new_name, BACKING_NOT);
		break;
	default:
		must(false);
	}
}

static void touch_all(struct backing_op *o)
{
	static const struct csv_handle none;
	const struct csv_request *q = o->q;
	const struct csv_handle *h = NULL;

	switch (q->op) {
#define READS(NAME, name)                                                                          \
	case CSV_OP_##NAME:                                                                        \
		h = &q->name.handle;                                                               \
		break;
		READS(GETATTR, getattr)
		READS(READLINK, readlink)
		READS(OPEN, open)
		READS(READ, read)
		READS(FSYNC, fsync)
		READS(READDIR, readdir)
		READS(STATFS, statfs)
		READS(GETXATTR, getxattr)
		READS(LISTXATTR, listxattr)
		READS(LSEEK, lseek)
		READS(SETATTR, setattr)
		READS(SETXATTR, setxattr)
		READS(REMOVEXATTR, removexattr)
		READS(FALLOCATE, fallocate)
#undef READS
	case CSV_OP_RELEASE:
		return;
	case CSV_OP_WRITE:
		touch_inode(o, &q->write.handle,
			    backing_may_stay(&q->write) ? BACKING_IN_PLACE : BACKING_WRITE);
		return;
	case CSV_OP_GRANT:
		touch_inode(o, &q->grant.handle, BACKING_WRITE);
		return;
	case CSV_OP_COPY_RANGE:
		/* That it is read may be told by its atime. */
		touch_inode(o, &q->copy_range.from, BACKING_WRITE);
		touch_inode(o, &q->copy_range.to, BACKING_WRITE);
		return;
	case CSV_OP_END:
		touch_inode(o, &none, BACKING_READ);
		return;
	default:
		touch_names(o);
		return;
	}
	touch_inode(o, h, csv_op_kind(q->op) == CSV_CHANGE ? BACKING_WRITE : BACKING_READ);
}

void backing_op_init(struct backing_op *o, struct backing *b, uint64_t mount,
		     const struct csv_request *q, struct csv_reply *reply, void *buf)
{
	*o = (struct backing_op){
		.b = b, .mount = mount, .q = q, .reply = reply, .buf = buf, .slot_fd = -1};
	touch_all(o);
}

/* ---- descriptors */

/* What is said of an inode that is gone: its holders know it by the directory that it was. */
static int gone(struct backing_op *o, struct backing_row *row)
{
	return backing_row_is_open(o->b, row) ? -ENOENT : -ESTALE;
}

static int open_row(struct backing_op *o, struct backing_row *row, int flags)
{
	int fd = row->is_ours ? -ESTALE : backing_handle_open(o->b, &row->handle, flags);

	return fd == -ESTALE ? gone(o, row) : fd;
}

int backing_op_path(struct backing_op *o, size_t i)
{
	struct backing_inode *n = &o->inode[i];
	int fd;

	if (n->path_fd >= 0)
		return 0;
	fd = open_row(o, n->row, O_PATH);
	if (fd < 0)
		return fd;
	n->path_fd = fd;
	if (fstat(fd, &n->st))
		return -errno;
	/* A directory that somebody has open: he still sees what it was, backing_dead_keep(). */
	if (n->st.st_nlink || (S_ISDIR(n->st.st_mode) && backing_row_is_open(o->b, n->row)))
		return 0;
	/* Somebody who began before it was removed may still have a descriptor of it. */
	return gone(o, n->row);
}

/* The row keeps the descriptor if somebody has the inode open. */
static void keep(struct backing_op *o, struct backing_inode *n, bool is_write)
{
	struct backing *b = o->b;

	pthread_mutex_lock(&b->lock);
	if (n->row->opens && n->row->data_fd[is_write] < 0 && b->kept_fds < BACKING_KEPT_FDS) {
		n->row->data_fd[is_write] = n->data_fd;
		n->is_kept = true;
		b->kept_fds++;
	}
	pthread_mutex_unlock(&b->lock);
}

int backing_op_data(struct backing_op *o, size_t i, bool is_write)
{
	struct backing_inode *n = &o->inode[i];
	int r;

	if (n->data_fd >= 0 && !n->is_kept)
		return fstat(n->data_fd, &n->st) ? -errno : 0;
	pthread_mutex_lock(&o->b->lock);
	n->data_fd = n->row->data_fd[is_write];
	n->is_kept = n->data_fd >= 0;
	pthread_mutex_unlock(&o->b->lock);
	if (n->is_kept)
		return fstat(n->data_fd, &n->st) ? -errno : 0;
	r = backing_op_path(o, i);
	if (r)
		return r;
	if (!S_ISREG(n->st.st_mode))
		return S_ISDIR(n->st.st_mode) ? -EISDIR : -EINVAL;
	r = open_row(o, n->row, is_write ? O_RDWR : O_RDONLY);
	if (r < 0)
		return r;
	n->data_fd = r;
	keep(o, n, is_write);
	return 0;
}

/* ---- locks */

static bool is_before(const struct csv_handle *a, const struct csv_handle *b)
{
	return a->ino != b->ino ? a->ino < b->ino : a->gen < b->gen;
}

static void lock_add(struct backing_op *o, struct backing_row *row, enum backing_access access)
{
	size_t at = 0;

	if (!row || access == BACKING_NOT)
		return;
	while (at < o->lock_count && is_before(&o->lock[at].row->handle, &row->handle))
		at++;
	if (at < o->lock_count && o->lock[at].row == row) {
		o->lock[at].is_write |= access == BACKING_WRITE;
		o->lock[at].is_change |= access >= BACKING_IN_PLACE;
		return;
	}
	must(o->lock_count < MUST_ARRAY_SIZE(o->lock));
	memmove(&o->lock[at + 1], &o->lock[at], (o->lock_count - at) * sizeof(o->lock[0]));
	o->lock[at] = (struct backing_lock){.row = row,
					    .is_write = access == BACKING_WRITE,
					    .is_change = access >= BACKING_IN_PLACE};
	o->lock_count++;
}

static void lock_all(struct backing_op *o)
{
	for (size_t i = 0; i < o->inode_count; i++)
		lock_add(o, o->inode[i].row, o->inode[i].access);
	for (size_t i = 0; i < o->name_count; i++) {
		lock_add(o, o->name[i].dir, o->name[i].dir_access);
		lock_add(o, o->name[i].child_row, o->name[i].child_access);
	}
	for (size_t i = 0; i < o->lock_count; i++) {
		if (o->lock[i].is_write)
			must(!pthread_rwlock_wrlock(&o->lock[i].row->lock));
		else
			must(!pthread_rwlock_rdlock(&o->lock[i].row->lock));
	}
	backing_range_take(o);
}

static void unlock_all(struct backing_op *o)
{
	backing_range_give(o);
	for (size_t i = o->lock_count; i > 0; i--)
		must(!pthread_rwlock_unlock(&o->lock[i - 1].row->lock));
	o->lock_count = 0;
}

/* The inode that the name stands for now; ino 0 if there is none. */
static int resolve(const struct backing_name *n, struct csv_handle *ret)
{
	int r;

	*ret = (struct csv_handle){0};
	r = backing_handle_of(n->dir_fd, n->text, ret);
	return r == -ENOENT ? 0 : r;
}

static void peek(struct backing_op *o)
{
	for (size_t i = 0; i < o->name_count && !o->error; i++) {
		struct backing_name *n = &o->name[i];

		if (n->child_access == BACKING_NOT)
			continue;
		backing_row_put(o->b, n->child_row);
		n->child_row = NULL;
		o->error = resolve(n, &n->child);
		if (n->child.ino)
			n->child_row = backing_row_get(o->b, &n->child);
	}
}

/* All is locked: do the names stand for what has been locked? */
static bool is_as_peeked(struct backing_op *o)
{
	for (size_t i = 0; i < o->name_count && !o->error; i++) {
		struct backing_name *n = &o->name[i];
		struct csv_handle now;

		o->error = resolve(n, &now);
		if (!o->error && n->child_access != BACKING_NOT &&
		    !csv_handle_equal(&now, &n->child))
			return false;
		n->child = now;
	}
	return true;
}

static void open_dirs(struct backing_op *o)
{
	for (size_t i = 0; i < o->name_count && !o->error; i++) {
		struct backing_name *n = &o->name[i];

		n->dir_fd = open_row(o, n->dir, O_PATH | O_DIRECTORY);
		/* Removed since the caller has found it: so it is with a local file system, too. */
		if (n->dir_fd < 0)
			o->error = n->dir_fd == -ESTALE && !n->dir->is_ours ? -ENOENT : n->dir_fd;
	}
}

static void lock_as_named(struct backing_op *o)
{
	lock_all(o);
	while (!is_as_peeked(o)) {
		unlock_all(o);
		peek(o);
		lock_all(o);
	}
}

/* Nothing is locked while mounts are waited for: they may need the locks to get on. */
static void recall_and_lock(struct backing_op *o)
{
	enum grant_change step = grant_change_first(0);
	bool is_ok = true;

	while (step != GRANT_CHANGE_GO) {
		is_ok = true;
		if (step == GRANT_CHANGE_RECALL && backing_recall(o)) {
			o->is_cancelled = true;
			o->error = -ECANCELED;
			return;
		}
		if (step == GRANT_CHANGE_LOCK)
			lock_as_named(o);
		if (step == GRANT_CHANGE_LOOK)
			is_ok = !backing_is_out(o);
		if (!is_ok)
			unlock_all(o);
		step = grant_change_next(step, is_ok, 0);
	}
}

/* A write that was to stay in place lies within the file, or fails as it is. */
static bool lies_within(struct backing_op *o)
{
	const struct csv_op_write *q = &o->q->write;

	return backing_op_data(o, 0, true) ||
	       q->offset + q->data.len <= (uint64_t)o->inode[0].st.st_size;
}

void backing_op_lock(struct backing_op *o)
{
	open_dirs(o);
	peek(o);
	if (o->b->grants)
		recall_and_lock(o);
	else
		lock_as_named(o);
	if (!o->error && o->inode_count && o->inode[0].access == BACKING_IN_PLACE &&
	    !lies_within(o))
		backing_op_relock(o);
}

void backing_op_relock(struct backing_op *o)
{
	unlock_all(o);
	for (size_t i = 0; i < o->inode_count; i++)
		o->inode[i].access = BACKING_WRITE;
	must(!o->name_count);
	backing_op_lock(o);
}

void backing_op_unlock(struct backing_op *o)
{
	for (size_t i = 0; i < o->lock_count; i++) {
		uint64_t change = o->lock[i].row->change;

		o->wait = o->wait > change ? o->wait : change;
	}
	unlock_all(o);
}

void backing_op_done(struct backing_op *o)
{
	unlock_all(o);
	backing_space_end(o);
	if (o->b->grants)
		backing_recall_end(o);
	for (size_t i = 0; i < o->inode_count; i++) {
		struct backing_inode *n = &o->inode[i];

		if (n->path_fd >= 0)
			close(n->path_fd);
		if (n->data_fd >= 0 && !n->is_kept)
			close(n->data_fd);
		backing_row_put(o->b, n->row);
	}
	for (size_t i = 0; i < o->name_count; i++) {
		if (o->name[i].dir_fd >= 0)
			close(o->name[i].dir_fd);
		backing_row_put(o->b, o->name[i].child_row);
		backing_row_put(o->b, o->name[i].dir);
	}
	backing_row_put(o->b, o->made);
}
