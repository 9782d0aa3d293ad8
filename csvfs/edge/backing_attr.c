/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations on attributes, extended ones too, and on what a symbolic link says. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/must.h"

#define CAPABILITY "security.capability"
#define TRUSTED	   "trusted."
#define ACL	   "system.posix_acl_"

static bool has_prefix(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* ---- attributes */

static int attr(struct backing_op *o)
{
	struct backing_inode *i = &o->inode[0];

	if (fstat(i->path_fd, &i->st))
		return -errno;
	backing_attr_of(o->b, i->row, &i->st, &o->reply->attr.attr);
	return 0;
}

int backing_getattr(struct backing_op *o)
{
	int r = backing_op_path(o, 0);

	if (!r)
		backing_attr_of(o->b, o->inode[0].row, &o->inode[0].st, &o->reply->attr.attr);
	return r;
}

bool backing_is_member(const struct csv_caller *c, uint32_t gid)
{
	for (size_t i = 0; i < c->group_count; i++) {
		if (c->groups[i] == gid)
			return true;
	}
	return c->gid == gid;
}

/* As setattr_should_drop_suidgid() in fs/attr.c. */
int backing_kill_privileges(const struct csv_caller *c, int fd, const struct stat *st)
{
	uint32_t mode = st->st_mode & 07777, kept = mode & ~(uint32_t)S_ISUID;
	char path[BACKING_PROC_MAX];

	if ((kept & S_IXGRP) || (c && !backing_is_member(c, st->st_gid)))
		kept &= ~(uint32_t)S_ISGID;
	backing_proc_path(fd, path);
	if (kept != mode && chmod(path, kept))
		return -errno;
	if (removexattr(path, CAPABILITY) && errno != ENODATA && errno != EOPNOTSUPP)
		return -errno;
	return 0;
}

/* What only its owner may, and he is another one than the kernel that asks has thought. */
static bool is_anothers(const struct backing_op *o)
{
	const struct csv_caller *c = &o->q->caller;

	return !o->is_redo && c->uid && c->uid != o->inode[0].st.st_uid;
}

/* So the kernel takes privileges from a file that somebody else writes to, and no more. */
static bool takes_privileges(const struct backing_op *o)
{
	uint32_t old = o->inode[0].st.st_mode & 07777, new = o->q->setattr.mode & 07777;

	return !(new & ~old) && !(old & ~new & ~(uint32_t)(S_ISUID | S_ISGID));
}

#define OWNERS (CSV_SET_MODE | CSV_SET_UID | CSV_SET_GID | CSV_SET_ATIME | CSV_SET_MTIME)

int backing_setattr_look(struct backing_op *o)
{
	const struct csv_op_setattr *q = &o->q->setattr;
	int r = backing_op_path(o, 0);

	if (!r && (q->valid & OWNERS) && is_anothers(o) &&
	    ((q->valid & OWNERS) != CSV_SET_MODE || !takes_privileges(o)))
		return -EPERM;
	if (r)
		return r;
	if (q->valid & CSV_SET_SIZE)
		r = q->size > INT64_MAX ? -EFBIG : backing_op_data(o, 0, true);
	if (r || o->is_redo)
		return r;
	o->record.a = o->inode[0].row->handle;
	o->record.size = (uint64_t)o->inode[0].st.st_size;
	return 0;
}

static struct timespec time_for(uint32_t valid, uint32_t is_set, uint32_t is_now,
				const struct csv_time *t)
{
	if (valid & is_now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	if (valid & is_set)
		return (struct timespec){.tv_sec = t->sec, .tv_nsec = t->nsec};
	return (struct timespec){.tv_nsec = UTIME_OMIT};
}

/*
 * With nothing to set: chown(2) of nothing, which clears suid and sgid and sets ctime. It also
 * comes with what changes the file itself (fuse_setattr() in fs/fuse/dir.c), of anybody who may
 * write.
 */
static bool changes_owner(const struct backing_op *o)
{
	const struct csv_caller *c = &o->q->caller;

	if (o->q->setattr.valid)
		return o->q->setattr.valid & (CSV_SET_UID | CSV_SET_GID);
	return !c->uid || c->uid == o->inode[0].st.st_uid;
}

/* The rest that a change of owner clears, XFS clears by itself. */
static bool loses_privileges(const struct backing_op *o)
{
	const struct stat *st = &o->inode[0].st;

	if (o->q->setattr.valid & CSV_SET_KILL_SUID)
		return true;
	return changes_owner(o) && o->q->caller.uid && S_ISREG(st->st_mode) &&
	       (st->st_mode & S_ISGID);
}

/*
 * In the one order that can be repeated and ends as asked for: a change of owner clears suid and
 * sgid, so the mode comes after it; a change of size sets mtime, so the times come last.
 */
int backing_setattr_do(struct backing_op *o)
{
	const struct csv_op_setattr *q = &o->q->setattr;
	const struct backing_inode *i = &o->inode[0];
	const struct timespec times[] = {
		time_for(q->valid, CSV_SET_ATIME, CSV_SET_ATIME_NOW, &q->atime),
		time_for(q->valid, CSV_SET_MTIME, CSV_SET_MTIME_NOW, &q->mtime),
	};
	char path[BACKING_PROC_MAX];
	int r;

	backing_proc_path(i->path_fd, path);
	if (loses_privileges(o)) {
		r = backing_kill_privileges(&o->q->caller, i->path_fd, &i->st);
		if (r)
			return r;
	}
	if (changes_owner(o) &&
	    fchownat(i->path_fd, "", q->valid & CSV_SET_UID ? q->uid : (uid_t)-1,
		     q->valid & CSV_SET_GID ? q->gid : (gid_t)-1, AT_EMPTY_PATH))
		return -errno;
	if ((q->valid & CSV_SET_MODE) && chmod(path, q->mode & 07777))
		return -errno;
	if ((q->valid & CSV_SET_SIZE) && ftruncate(i->data_fd, (off_t)q->size))
		return -errno;
	if ((times[0].tv_nsec != UTIME_OMIT || times[1].tv_nsec != UTIME_OMIT) &&
	    utimensat(AT_FDCWD, path, times, 0))
		return -errno;
	return attr(o);
}

/* ---- the rest of an inode */

int backing_readlink(struct backing_op *o)
{
	ssize_t n;
	int r = backing_op_path(o, 0);

	if (r)
		return r;
	if (!S_ISLNK(o->inode[0].st.st_mode))
		return -EINVAL;
	n = readlinkat(o->inode[0].path_fd, "", (char *)o->buf, CSV_PATH_MAX);
	if (n < 0)
		return -errno;
	o->reply->bytes.data = (struct csv_bytes){o->buf, (size_t)n};
	return 0;
}

int backing_statfs(struct backing_op *o)
{
	struct csv_usage *u = &o->reply->usage.usage;
	uint64_t kept = backing_space_kept();
	struct statvfs v;

	if (fstatvfs(o->b->root_fd, &v))
		return -errno;
	*u = (struct csv_usage){
		.blocks = v.f_blocks,
		.bfree = v.f_bfree,
		.bavail = v.f_bavail > kept / v.f_frsize ? v.f_bavail - kept / v.f_frsize : 0,
		.files = v.f_files,
		.ffree = v.f_ffree,
		.favail = v.f_favail,
		.bsize = (uint32_t)v.f_bsize,
		.frsize = (uint32_t)v.f_frsize,
		.namemax = (uint32_t)v.f_namemax,
	};
	return 0;
}

/* ---- extended attributes */

/* The path by which the inode's attributes are reached: a symbolic link's, too. */
static int xattr_path(struct backing_op *o, char ret_path[BACKING_PROC_MAX])
{
	int r = backing_op_path(o, 0);

	if (!r)
		backing_proc_path(o->inode[0].path_fd, ret_path);
	return r;
}

static int answer_xattr(struct backing_op *o, ssize_t n, uint32_t size)
{
	if (size && (size_t)n > size)
		return -ERANGE;
	o->reply->xattr.length = (uint32_t)n;
	o->reply->xattr.data = (struct csv_bytes){o->buf, size ? (size_t)n : 0};
	return 0;
}

int backing_getxattr(struct backing_op *o)
{
	const struct csv_op_getxattr *q = &o->q->getxattr;
	char path[BACKING_PROC_MAX];
	ssize_t n;
	int r = xattr_path(o, path);

	if (r)
		return r;
	n = getxattr(path, q->name.text, o->buf, q->size);
	if (n >= 0)
		return answer_xattr(o, n, q->size);
	/* An XFS of a kernel without ACLs: any other error would forbid the file. */
	return errno == EOPNOTSUPP && has_prefix(q->name.text, ACL) ? -ENODATA : -errno;
}

/* Takes out of a list what the caller's kernel would not show him. */
static size_t filter(uint8_t *list, size_t len, bool shows_trusted)
{
	size_t kept = 0;

	for (size_t at = 0; at < len;) {
		const char *name = (const char *)list + at;
		size_t n = strnlen(name, len - at) + 1;

		if (shows_trusted || !has_prefix(name, TRUSTED)) {
			memmove(list + kept, name, n);
			kept += n;
		}
		at += n;
	}
	return kept;
}

int backing_listxattr(struct backing_op *o)
{
	char path[BACKING_PROC_MAX];
	ssize_t n;
	int r = xattr_path(o, path);

	if (r)
		return r;
	n = listxattr(path, (char *)o->buf, CSV_XATTR_MAX);
	if (n < 0)
		return -errno;
	n = (ssize_t)filter(o->buf, (size_t)n, !o->q->caller.uid);
	return answer_xattr(o, n, o->q->listxattr.size);
}

int backing_has_xattr(int fd, const char *name)
{
	char path[BACKING_PROC_MAX];

	backing_proc_path(fd, path);
	if (getxattr(path, name, NULL, 0) >= 0)
		return 1;
	return errno == ENODATA ? 0 : -errno;
}

int backing_setxattr_look(struct backing_op *o)
{
	const struct csv_op_setxattr *q = &o->q->setxattr;
	int has = 0, r = backing_op_path(o, 0);

	if (r)
		return r;
	if (has_prefix(q->name.text, ACL) && is_anothers(o))
		return -EPERM;
	if (q->flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (q->flags)
		has = backing_has_xattr(o->inode[0].path_fd, q->name.text);
	if (has < 0)
		return has;
	if ((q->flags & XATTR_CREATE) && has)
		return o->is_redo ? BACKING_HAPPENED : -EEXIST;
	if ((q->flags & XATTR_REPLACE) && !has && !o->is_redo)
		return -ENODATA;
	o->record.a = o->inode[0].row->handle;
	return o->is_redo ? 0 : backing_space_name(o);
}

int backing_setxattr_do(struct backing_op *o)
{
	const struct csv_op_setxattr *q = &o->q->setxattr;
	const struct backing_inode *i = &o->inode[0];
	const struct csv_caller *c = &o->q->caller;
	char path[BACKING_PROC_MAX];
	struct stat st;

	backing_proc_path(i->path_fd, path);
	/* Its flags have been looked at, under the lock. */
	if (setxattr(path, q->name.text, q->value.data, q->value.len, 0))
		return -errno;
	/* As with chmod(2): posix_acl_update_mode() in fs/posix_acl.c, which took us for the
	 * caller. */
	if (strcmp(q->name.text, BACKING_ACL_ACCESS) != 0 || !(i->st.st_mode & S_ISGID) ||
	    !c->uid || backing_is_member(c, i->st.st_gid))
		return 0;
	if (fstat(i->path_fd, &st))
		return -errno;
	return chmod(path, st.st_mode & 07777 & ~(mode_t)S_ISGID) ? -errno : 0;
}

int backing_removexattr_look(struct backing_op *o)
{
	const char *name = o->q->removexattr.name.text;
	int has, r = backing_op_path(o, 0);

	if (r)
		return r;
	if (has_prefix(name, ACL) && is_anothers(o))
		return -EPERM;
	has = backing_has_xattr(o->inode[0].path_fd, name);
	if (has < 0)
		return has;
	/* An ACL that is not there is no error: set_posix_acl() in fs/posix_acl.c. */
	if (!has)
		return o->is_redo || has_prefix(name, ACL) ? BACKING_HAPPENED : -ENODATA;
	o->record.a = o->inode[0].row->handle;
	return 0;
}

int backing_removexattr_do(struct backing_op *o)
{
	char path[BACKING_PROC_MAX];

	backing_proc_path(o->inode[0].path_fd, path);
	return removexattr(path, o->q->removexattr.name.text) ? -errno : 0;
}
