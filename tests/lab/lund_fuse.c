/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node's file: a FUSE mount of its own, whose root is that file. */
#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/must.h"
#include "tests/lab/lund.h"

#define BACKGROUND 128
#define AGE	   3600.0

static struct lund_node *node_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static void on_init(void *arg, struct fuse_conn_info *conn)
{
	(void)arg;
	conn->max_write = LUND_IO_MAX;
	conn->max_background = BACKGROUND;
	conn->congestion_threshold = BACKGROUND;
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct lund_node *n = node_of(req);
	struct stat st = {.st_ino = ino,
			  .st_mode = S_IFREG | 0600,
			  .st_nlink = 1,
			  .st_blksize = 4096,
			  .st_size = (off_t)n->lund->size,
			  .st_blocks = (blkcnt_t)(n->lund->size / 512)};

	(void)fi;
	fuse_reply_attr(req, &st, AGE);
}

/* Times, at most: its size does not change. */
static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	(void)attr;
	if (to_set & FUSE_SET_ATTR_SIZE)
		fuse_reply_err(req, EPERM);
	else
		on_getattr(req, ino, fi);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	static __thread char *buf;
	const struct lund_node *n = node_of(req);
	int r;

	(void)ino;
	(void)fi;
	if (!buf)
		buf = aligned_alloc(4096, LUND_IO_MAX);
	must(buf);
	if (size > LUND_IO_MAX)
		size = LUND_IO_MAX;
	if ((uint64_t)off >= n->lund->size)
		size = 0;
	else if (size > n->lund->size - (uint64_t)off)
		size = n->lund->size - (uint64_t)off;
	r = size ? lund_perform(node_of(req), LUND_READ, (uint64_t)off, size, buf) : 0;
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_buf(req, buf, size);
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	int r = lund_perform(node_of(req), LUND_WRITE, (uint64_t)off, size, (char *)buf);

	(void)ino;
	(void)fi;
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_write(req, size);
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, lund_perform(node_of(req), LUND_FLUSH, 0, 0, NULL));
}

static void on_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
			 struct fuse_file_info *fi)
{
	enum lund_op op = mode & FALLOC_FL_PUNCH_HOLE ? LUND_DISCARD : LUND_ZERO;

	(void)ino;
	(void)fi;
	if (!(mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		fuse_reply_err(req, EOPNOTSUPP);
	else
		fuse_reply_err(req, lund_perform(node_of(req), op, (uint64_t)offset,
						 (uint64_t)length, NULL));
}

static void on_statfs(fuse_req_t req, fuse_ino_t ino)
{
	const struct statvfs s = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255};

	(void)ino;
	fuse_reply_statfs(req, &s);
}

static const struct fuse_lowlevel_ops ops = {
	.init = on_init,
	.getattr = on_getattr,
	.setattr = on_setattr,
	.open = on_open,
	.read = on_read,
	.write = on_write,
	.fsync = on_fsync,
	.fallocate = on_fallocate,
	.statfs = on_statfs,
};

/* Until it is unmounted or aborted. */
static void *serve(void *arg)
{
	struct lund_node *n = arg;
	struct fuse_buf buf = {0};

	while (!fuse_session_exited(n->session)) {
		int r = fuse_session_receive_buf(n->session, &buf);

		if (r == -EINTR)
			continue;
		if (r <= 0)
			break;
		fuse_session_process_buf(n->session, &buf);
	}
	free(buf.mem);
	return NULL;
}

int lund_export(struct lund_node *n)
{
	char *argv[] = {"lund", "-o", "fsname=lund", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	pthread_t thread;

	n->session = fuse_session_new(&args, &ops, sizeof(ops), n);
	fuse_opt_free_args(&args);
	if (!n->session)
		return -ENOMEM;
	if (fuse_session_mount(n->session, n->path))
		return -EIO;
	for (int i = 0; i < LUND_THREADS; i++) {
		int r = pthread_create(&thread, NULL, serve, n);

		if (r)
			return -r;
		pthread_detach(thread);
	}
	return 0;
}
