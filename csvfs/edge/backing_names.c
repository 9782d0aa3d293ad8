/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations on names: lookup, and what makes, removes and moves them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/cleanup.h"
#include "lib/must.h"

/* The one or the first name of the request stands for that now: the reply of kind ENTRY. */
static int entry(struct backing_op *o, const struct backing_name *n, const struct csv_handle *child,
		 const struct backing_row *row)
{
	struct stat st;

	if (fstatat(n->dir_fd, n->text, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	o->reply->entry.handle = *child;
	backing_attr_of(o->b, row, &st, &o->reply->entry.attr);
	return 0;
}

int backing_lookup(struct backing_op *o)
{
	const struct backing_name *n = &o->name[0];

	return n->child.ino ? entry(o, n, &n->child, n->child_row) : -ENOENT;
}

/* ---- making */

/* May read and write it, by its mode alone. */
static bool may_open(const struct csv_caller *c, const struct csv_attr *a)
{
	uint32_t bits = c->uid == a->uid	       ? a->mode >> 6
			: backing_is_member(c, a->gid) ? a->mode >> 3
						       : a->mode;

	return !c->uid || (bits & 06) == 06;
}

/* CREATE without O_EXCL, of a name that stands for something. */
static int open_existing(struct backing_op *o)
{
	const struct csv_attr *a = &o->reply->entry.attr;
	_cleanup_close_ int fd = -1;

	if (S_ISDIR(a->mode))
		return -EISDIR;
	/*
	 * The asking kernel took the name to be free, and has decided nothing about this inode.
	 * With ESTALE, it looks again (fs/namei.c: LOOKUP_REVAL), and decides.
	 */
	fd = backing_handle_open(o->b, &o->reply->entry.handle, O_PATH);
	if (fd < 0)
		return fd;
	if (!S_ISREG(a->mode) || !may_open(&o->q->caller, a) ||
	    backing_has_xattr(fd, BACKING_ACL_ACCESS) > 0)
		return -ESTALE;
	return BACKING_HAPPENED;
}

int backing_make_look(struct backing_op *o)
{
	const struct backing_name *n = &o->name[0];
	bool opens = o->q->op == CSV_OP_CREATE && !o->q->create.is_exclusive;
	int r;

	if (o->q->op == CSV_OP_SYMLINK) {
		const struct csv_bytes *t = &o->q->symlink.target;

		if (!t->len)
			return -ENOENT;
		if (t->len >= CSV_PATH_MAX)
			return -ENAMETOOLONG;
		if (memchr(t->data, 0, t->len))
			return -EINVAL;
	}
	if (!n->child.ino)
		return o->is_redo ? 0 : backing_space_name(o);
	if (!o->is_redo && !opens)
		return -EEXIST;
	r = entry(o, n, &n->child, n->child_row);
	if (r)
		return r;
	return o->is_redo ? BACKING_HAPPENED : open_existing(o);
}

/* As the kernel does it for one who has no capabilities: fs/inode.c, mode_strip_sgid(). */
static int mode_for(const struct backing_op *o, const struct backing_name *n, uint32_t mode,
		    mode_t *ret)
{
	const struct csv_caller *c = &o->q->caller;
	const uint32_t both = S_ISGID | S_IXGRP;
	struct stat st;

	/* A default ACL stands for the umask; XFS applies it. Without ACLs there, there is none. */
	*ret = mode & 07777;
	if (backing_has_xattr(n->dir_fd, BACKING_ACL_DEFAULT) <= 0)
		*ret &= ~c->umask;
	if ((*ret & both) != both || !c->uid)
		return 0;
	if (fstat(n->dir_fd, &st))
		return -errno;
	if ((st.st_mode & S_ISGID) && !backing_is_member(c, st.st_gid))
		*ret &= ~(mode_t)S_ISGID;
	return 0;
}

/*
 * New inodes belong to the caller: this thread takes his ids for the file system, and keeps its
 * capabilities, as the asking kernel has decided already that he may.
 */
static int caller_enter(const struct csv_caller *c)
{
	int bits;

	if (c->uid) {
		bits = prctl(PR_GET_SECUREBITS);
		if (bits < 0 ||
		    (!(bits & SECBIT_NO_SETUID_FIXUP) &&
		     prctl(PR_SET_SECUREBITS, (unsigned long)bits | SECBIT_NO_SETUID_FIXUP)))
			return -errno;
	}
	setfsgid(c->gid);
	setfsuid(c->uid);
	/* They tell only in this way whether they have done it. */
	return (uint32_t)setfsgid((gid_t)-1) == c->gid && (uint32_t)setfsuid((uid_t)-1) == c->uid
		       ? 0
		       : -EPERM;
}

static void caller_leave(void)
{
	setfsuid(geteuid());
	setfsgid(getegid());
	must((uid_t)setfsuid((uid_t)-1) == geteuid() && (gid_t)setfsgid((gid_t)-1) == getegid());
}

static int make_symlink(const struct backing_op *o, const struct backing_name *n)
{
	const struct csv_bytes *t = &o->q->symlink.target;
	char target[CSV_PATH_MAX];

	memcpy(target, t->data, t->len);
	target[t->len] = 0;
	return symlinkat(target, n->dir_fd, n->text);
}

static int make(const struct backing_op *o, const struct backing_name *n)
{
	const struct csv_request *q = o->q;
	bool is_node = q->op == CSV_OP_MKNOD;
	uint32_t asked = is_node		  ? q->mknod.mode
			 : q->op == CSV_OP_MKDIR  ? q->mkdir.mode
			 : q->op == CSV_OP_CREATE ? q->create.mode
						  : 0;
	mode_t mode;
	int r = mode_for(o, n, asked, &mode);

	if (r)
		return r;
	r = caller_enter(&q->caller);
	if (!r) {
		if (q->op == CSV_OP_MKDIR)
			r = mkdirat(n->dir_fd, n->text, mode);
		else if (q->op == CSV_OP_SYMLINK)
			r = make_symlink(o, n);
		else
			r = mknodat(n->dir_fd, n->text, mode | (is_node ? asked & S_IFMT : S_IFREG),
				    is_node ? q->mknod.rdev : 0);
		r = r ? -errno : 0;
	}
	caller_leave();
	return r;
}

int backing_make_do(struct backing_op *o)
{
	const struct backing_name *n = &o->name[0];
	struct csv_handle child;
	int r = make(o, n);

	if (r)
		return r;
	r = backing_handle_of(n->dir_fd, n->text, &child);
	if (r)
		return r;
	o->made = backing_row_get(o->b, &child);
	return entry(o, n, &child, o->made);
}

int backing_link_look(struct backing_op *o)
{
	const struct backing_name *n = &o->name[0];
	struct backing_inode *i = &o->inode[0];
	int r = backing_op_path(o, 0);

	if (r)
		return r;
	if (S_ISDIR(i->st.st_mode))
		return -EPERM;
	if (i->row->is_orphan && i->st.st_nlink == 1)
		return -ENOENT;
	if (n->child.ino && o->is_redo)
		return entry(o, n, &n->child, i->row) ?: BACKING_HAPPENED;
	if (n->child.ino)
		return -EEXIST;
	o->record.a = i->row->handle;
	return o->is_redo ? 0 : backing_space_name(o);
}

int backing_link_do(struct backing_op *o)
{
	const struct backing_name *n = &o->name[0];
	const struct backing_inode *i = &o->inode[0];

	if (linkat(i->path_fd, "", n->dir_fd, n->text, AT_EMPTY_PATH))
		return -errno;
	return entry(o, n, &i->row->handle, i->row);
}

/* ---- removing */

int backing_unlink_look(struct backing_op *o)
{
	const struct backing_name *n = &o->name[0];
	bool wants_dir = o->q->op == CSV_OP_RMDIR;
	struct stat st;

	if (o->is_redo && !csv_handle_equal(&n->child, &o->record.a))
		return BACKING_HAPPENED;
	if (!n->child.ino)
		return -ENOENT;
	if (fstatat(n->dir_fd, n->text, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (S_ISDIR(st.st_mode) != wants_dir)
		return wants_dir ? -ENOTDIR : -EISDIR;
	o->record.a = n->child;
	return 0;
}

int backing_unlink_do(struct backing_op *o)
{
	const struct backing_name *n = &o->name[0];
	bool is_kept;
	struct stat st;
	int r;

	if (fstatat(n->dir_fd, n->text, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (S_ISDIR(st.st_mode))
		backing_dead_keep(o->b, n);
	r = backing_orphan_keep(o->b, n, &st, &is_kept);
	if (is_kept)
		failpoint(FAIL_ORPHAN_LINKED, o->q->op, o->mount);
	if (r || (is_kept && backing_stops_after(o->b, CHANGE_STEP_MAX)))
		return r;
	if (!unlinkat(n->dir_fd, n->text, o->q->op == CSV_OP_RMDIR ? AT_REMOVEDIR : 0))
		return 0;
	r = -errno;
	if (is_kept)
		backing_orphan_undo(o->b, n);
	return r;
}

/* ---- moving */

int backing_rename_look(struct backing_op *o)
{
	const struct backing_name *from = &o->name[0], *to = &o->name[1];
	uint32_t flags = o->q->rename.flags;

	if (o->is_redo)
		return csv_handle_equal(&from->child, &o->record.a) ? 0 : BACKING_HAPPENED;
	if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
		return -EINVAL;
	if (!from->child.ino)
		return -ENOENT;
	if (flags == RENAME_NOREPLACE && to->child.ino)
		return -EEXIST;
	if (flags == RENAME_EXCHANGE && !to->child.ino)
		return -ENOENT;
	o->record.a = from->child;
	o->record.b = to->child;
	return 0;
}

/* The target's inode is about to lose this name. */
static bool replaces(const struct backing_op *o)
{
	const struct backing_name *from = &o->name[0], *to = &o->name[1];

	return !(o->q->rename.flags & RENAME_EXCHANGE) && to->child.ino &&
	       !csv_handle_equal(&from->child, &to->child);
}

int backing_rename_do(struct backing_op *o)
{
	const struct backing_name *from = &o->name[0], *to = &o->name[1];
	bool is_kept = false;
	struct stat st;
	int r = 0;

	if (replaces(o)) {
		if (fstatat(to->dir_fd, to->text, &st, AT_SYMLINK_NOFOLLOW))
			return -errno;
		if (S_ISDIR(st.st_mode))
			backing_dead_keep(o->b, to);
		r = backing_orphan_keep(o->b, to, &st, &is_kept);
	}
	if (is_kept)
		failpoint(FAIL_ORPHAN_LINKED, o->q->op, o->mount);
	if (r || (is_kept && backing_stops_after(o->b, CHANGE_STEP_MAX)))
		return r;
	if (!renameat2(from->dir_fd, from->text, to->dir_fd, to->text, o->q->rename.flags))
		return 0;
	r = -errno;
	if (is_kept)
		backing_orphan_undo(o->b, to);
	return r;
}
