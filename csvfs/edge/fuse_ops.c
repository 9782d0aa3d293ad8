/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names and attributes. */
#include <errno.h>
#include <string.h>

#include "csvfs/edge/fuse_impl.h"

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call c;
	struct csv_reply_entry *p = &c.p.entry;
	bool is_again;
	int e;

	call_begin(&c, req, CSV_OP_LOOKUP);
	c.parent = parent;
	c.name = name;
	e = call_handle(&c, parent, &c.q.lookup.parent);
	e = e ? e : call_name(&c.q.lookup.name, name);
	is_again = stale_is_again(&c);
	if (!e && !is_again &&
	    mount_cache_lookup(c.fs->options.cache, &c.q.lookup.parent, name, &p->handle, &p->attr))
		e = p->handle.ino ? 0 : ENOENT;
	else
		e = e ? e : call_run(&c, 0);
	if (!e && is_again)
		e = stale_keep(&c);
	call_reply_entry(&c, e);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	fs_forget(fuse_req_userdata(req), ino, count);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		fs_forget(fuse_req_userdata(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call c;
	int e;

	(void)fi;
	call_begin(&c, req, CSV_OP_GETATTR);
	e = call_handle(&c, ino, &c.q.getattr.handle);
	if (!e && !mount_cache_attr(c.fs->options.cache, &c.q.getattr.handle, &c.p.attr.attr))
		e = call_run(&c, 0);
	call_reply_attr(&c, e);
}

static uint32_t set_mask(int to_set, uid_t uid)
{
	uint32_t m = 0;

	if (to_set & FUSE_SET_ATTR_MODE)
		m |= CSV_SET_MODE;
	if (to_set & FUSE_SET_ATTR_UID)
		m |= CSV_SET_UID;
	if (to_set & FUSE_SET_ATTR_GID)
		m |= CSV_SET_GID;
	if (to_set & FUSE_SET_ATTR_SIZE)
		m |= CSV_SET_SIZE | (uid ? CSV_SET_KILL_SUID : 0);
	/* The kernel sets ATIME along with ATIME_NOW; one of them is told. */
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		m |= CSV_SET_ATIME_NOW;
	else if (to_set & FUSE_SET_ATTR_ATIME)
		m |= CSV_SET_ATIME;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		m |= CSV_SET_MTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_MTIME)
		m |= CSV_SET_MTIME;
	return m;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct call c;
	struct csv_op_setattr *q = &c.q.setattr;
	int e;

	(void)fi;
	call_begin(&c, req, CSV_OP_SETATTR);
	e = call_handle(&c, ino, &q->handle);
	q->valid = set_mask(to_set, c.q.caller.uid);
	if (q->valid & CSV_SET_MODE)
		q->mode = attr->st_mode;
	if (q->valid & CSV_SET_UID)
		q->uid = attr->st_uid;
	if (q->valid & CSV_SET_GID)
		q->gid = attr->st_gid;
	if (q->valid & CSV_SET_SIZE)
		q->size = (uint64_t)attr->st_size;
	if (q->valid & CSV_SET_ATIME)
		q->atime = (struct csv_time){attr->st_atim.tv_sec, (uint32_t)attr->st_atim.tv_nsec};
	if (q->valid & CSV_SET_MTIME)
		q->mtime = (struct csv_time){attr->st_mtim.tv_sec, (uint32_t)attr->st_mtim.tv_nsec};
	if (!q->valid || (q->valid & (CSV_SET_SIZE | CSV_SET_UID | CSV_SET_GID)))
		call_rights(&c);
	e = e ? e : call_run_as_owner(&c);
	call_reply_attr(&c, e);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_READLINK);
	e = call_handle(&c, ino, &c.q.readlink.handle);
	e = e ? e : call_buffer(&c);
	e = e ? e : call_run(&c, CSV_PATH_MAX - 1);
	/* As fuse_reply_readlink(), which wants a NUL. */
	call_reply_bytes(&c, e, c.p.bytes.data.data, c.p.bytes.data.len);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_MKNOD);
	e = call_handle(&c, parent, &c.q.mknod.parent);
	e = e ? e : call_name(&c.q.mknod.name, name);
	c.q.mknod.mode = mode;
	c.q.mknod.rdev = rdev;
	call_groups(&c);
	e = e ? e : call_run(&c, 0);
	call_reply_entry(&c, e);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_MKDIR);
	c.parent = parent;
	c.name = name;
	e = call_handle(&c, parent, &c.q.mkdir.parent);
	e = e ? e : call_name(&c.q.mkdir.name, name);
	c.q.mkdir.mode = mode;
	call_groups(&c);
	e = e ? e : call_run(&c, 0);
	call_reply_entry(&c, e);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_UNLINK);
	e = call_handle(&c, parent, &c.q.unlink.parent);
	e = e ? e : call_name(&c.q.unlink.name, name);
	e = e ? e : call_run(&c, 0);
	call_reply_error(&c, e);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_RMDIR);
	e = call_handle(&c, parent, &c.q.rmdir.parent);
	e = e ? e : call_name(&c.q.rmdir.name, name);
	e = e ? e : call_run(&c, 0);
	call_reply_error(&c, e);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct call c;
	int e = 0;

	call_begin(&c, req, CSV_OP_SYMLINK);
	c.q.symlink.target = (struct csv_bytes){(const uint8_t *)target, strlen(target)};
	if (c.q.symlink.target.len >= CSV_PATH_MAX)
		e = ENAMETOOLONG;
	e = e ? e : call_handle(&c, parent, &c.q.symlink.parent);
	e = e ? e : call_name(&c.q.symlink.name, name);
	call_groups(&c);
	e = e ? e : call_run(&c, 0);
	call_reply_entry(&c, e);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	       const char *new_name, unsigned int flags)
{
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_RENAME);
	e = call_handle(&c, parent, &c.q.rename.parent);
	e = e ? e : call_handle(&c, new_parent, &c.q.rename.new_parent);
	e = e ? e : call_name(&c.q.rename.name, name);
	e = e ? e : call_name(&c.q.rename.new_name, new_name);
	c.q.rename.flags = flags;
	e = e ? e : call_run(&c, 0);
	call_reply_error(&c, e);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_LINK);
	e = call_handle(&c, ino, &c.q.link.handle);
	e = e ? e : call_handle(&c, new_parent, &c.q.link.new_parent);
	e = e ? e : call_name(&c.q.link.new_name, new_name);
	e = e ? e : call_run(&c, 0);
	call_reply_entry(&c, e);
}
