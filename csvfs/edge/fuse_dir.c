/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Directories, and what is told of the whole file system. */
#include <errno.h>
#include <string.h>

#include "csvfs/edge/fuse_impl.h"
#include "lib/wire.h"

#define DIR_BYTES_MIN 1024	  /* holds any one entry */
#define DIR_BYTES_MAX (64 * 1024) /* in one request */
#define DIR_OUT_MAX   DIR_BYTES_MAX

_Static_assert(DIR_BYTES_MAX + DIR_OUT_MAX <= CSV_IO_MAX, "entries in and out share one buffer");

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_OPEN);
	e = call_handle(&c, ino, &c.q.open.handle);
	c.q.open.flags = (uint32_t)fi->flags;
	call_open(&c, false, false);
	e = e ? e : call_run(&c, 0);
	if (e) {
		call_open_failed(&c);
		call_reply_error(&c, e);
		return;
	}
	call_end(&c);
	fi->fh = c.origin.open;
	if (fuse_reply_open(req, fi) == -ENOENT)
		call_open_untaken(&c, &c.q.open.handle);
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Adds one entry if there is room: the bytes used, or 0. With attributes it counts a lookup. */
static size_t put_entry(struct call *c, char *out, size_t room, const struct csv_dirent *d,
			bool is_plus)
{
	struct fuse_entry_param e = {0};
	size_t n = is_plus ? fuse_add_direntry_plus(c->req, NULL, 0, d->name.text, NULL, 0)
			   : fuse_add_direntry(c->req, NULL, 0, d->name.text, NULL, 0);

	if (n > room)
		return 0;
	/* Node number 0: the kernel has to look it up. "." and ".." it does not count. */
	if (is_plus && d->has_attr && !is_dots(d->name.text))
		fs_entry(c->fs, &d->handle, &d->attr, &e);
	if (e.ino && S_ISDIR(d->attr.mode))
		moved_note(c->fs, e.ino, c->parent, d->name.text, false);
	e.attr.st_ino = d->ino;
	e.attr.st_mode = (mode_t)d->type << 12; /* DT_*, as IFTODT(3) has it */
	if (is_plus && e.ino)
		e.attr.st_mode = d->attr.mode;
	if (is_plus)
		fuse_add_direntry_plus(c->req, out, room, d->name.text, &e, (off_t)d->next);
	else
		fuse_add_direntry(c->req, out, room, d->name.text, &e.attr, (off_t)d->next);
	return n;
}

/* Whole entries of the reply, as many as fit. The kernel asks for the rest from there on. */
static int put_entries(struct call *c, size_t size, bool is_plus, size_t *ret_len)
{
	char *out = (char *)c->buffer->data + DIR_BYTES_MAX;
	struct wire_reader r;
	size_t used = 0;

	wire_reader_init(&r, c->p.bytes.data.data, c->p.bytes.data.len);
	while (wire_reader_left(&r)) {
		struct csv_dirent d;
		size_t n;

		csv_dirent_get(&r, &d);
		if (r.error)
			return EIO;
		n = put_entry(c, out + used, size - used, &d, is_plus);
		if (!n)
			break;
		used += n;
	}
	*ret_len = used;
	return 0;
}

/*
 * An entry of ours is never longer than the kernel's, so a request of the same size fills its
 * buffer and little is read in vain.
 */
static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool is_plus)
{
	size_t ask, len = 0;
	struct call c;
	int e;

	if (size > DIR_OUT_MAX)
		size = DIR_OUT_MAX;
	ask = size < DIR_BYTES_MIN ? DIR_BYTES_MIN : size;
	call_begin(&c, req, CSV_OP_READDIR);
	c.parent = ino;
	e = call_handle(&c, ino, &c.q.readdir.handle);
	c.q.readdir.offset = (uint64_t)off;
	c.q.readdir.size = (uint32_t)ask;
	c.q.readdir.wants_attr = is_plus;
	e = e ? e : call_buffer(&c);
	e = e ? e : call_run(&c, ask);
	e = e ? e : put_entries(&c, size, is_plus, &len);
	call_reply_bytes(&c, e, c.buffer ? c.buffer->data + DIR_BYTES_MAX : NULL, len);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	read_dir(req, ino, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	(void)fi;
	read_dir(req, ino, size, off, true);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	const struct csv_usage *u;
	struct statvfs st;
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_STATFS);
	/* The kernel asks with number 0 when it has no inode at hand. */
	e = call_handle(&c, ino ? ino : FUSE_ROOT_ID, &c.q.statfs.handle);
	e = e ? e : call_run(&c, 0);
	if (e) {
		call_reply_error(&c, e);
		return;
	}
	call_end(&c);
	u = &c.p.usage.usage;
	st = (struct statvfs){.f_bsize = u->bsize,
			      .f_frsize = u->frsize,
			      .f_blocks = u->blocks,
			      .f_bfree = u->bfree,
			      .f_bavail = u->bavail,
			      .f_files = u->files,
			      .f_ffree = u->ffree,
			      .f_favail = u->favail,
			      .f_namemax = u->namemax};
	fuse_reply_statfs(req, &st);
}

/* ---- extended attributes */

#define ACL "system.posix_acl_"

/* ACLs are kept by the coordinator's file system; one that this node would not obey is refused. */
static int xattr_name(const struct call *c, struct csv_text *ret, const char *name)
{
	size_t n = strlen(name);

	if (!strncmp(name, ACL, strlen(ACL)) && !c->fs->obeys_acl)
		return EOPNOTSUPP;
	if (n >= sizeof(ret->text))
		return ERANGE;
	memcpy(ret->text, name, n + 1);
	return 0;
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags)
{
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_SETXATTR);
	e = size > CSV_XATTR_MAX ? E2BIG : xattr_name(&c, &c.q.setxattr.name, name);
	e = e ? e : call_handle(&c, ino, &c.q.setxattr.handle);
	c.q.setxattr.flags = (uint32_t)flags;
	c.q.setxattr.value = (struct csv_bytes){(const uint8_t *)value, size};
	if (!strncmp(name, ACL, strlen(ACL)))
		call_rights(&c);
	e = e ? e : call_run_as_owner(&c);
	call_reply_error(&c, e);
}

/* size 0 asks for the length. */
static void reply_xattr(struct call *c, int e, size_t size)
{
	const struct csv_reply_xattr *x = &c->p.xattr;

	if (e || size) {
		call_reply_bytes(c, e, x->data.data, x->data.len);
		return;
	}
	call_end(c);
	fuse_reply_xattr(c->req, x->length);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct call c;
	int e;

	if (size > CSV_XATTR_MAX)
		size = CSV_XATTR_MAX;
	call_begin(&c, req, CSV_OP_GETXATTR);
	e = xattr_name(&c, &c.q.getxattr.name, name);
	e = e ? e : call_handle(&c, ino, &c.q.getxattr.handle);
	if (!e && mount_cache_lacks(c.fs->options.cache, &c.q.getxattr.handle, name))
		e = ENODATA;
	c.q.getxattr.size = (uint32_t)size;
	e = e || !size ? e : call_buffer(&c);
	e = e ? e : call_run(&c, size);
	reply_xattr(&c, e, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct call c;
	int e;

	if (size > CSV_XATTR_MAX)
		size = CSV_XATTR_MAX;
	call_begin(&c, req, CSV_OP_LISTXATTR);
	e = call_handle(&c, ino, &c.q.listxattr.handle);
	c.q.listxattr.size = (uint32_t)size;
	e = e || !size ? e : call_buffer(&c);
	e = e ? e : call_run(&c, size);
	reply_xattr(&c, e, size);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct call c;
	int e;

	call_begin(&c, req, CSV_OP_REMOVEXATTR);
	e = xattr_name(&c, &c.q.removexattr.name, name);
	e = e ? e : call_handle(&c, ino, &c.q.removexattr.handle);
	e = e ? e : call_run(&c, 0);
	call_reply_error(&c, e);
}
