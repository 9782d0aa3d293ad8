/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/must.h"

/* ---- open and close */

/* Says what is wrong, and returns it. */
__attribute__((format(printf, 4, 5))) static int refuse(char *text, size_t size, int r,
							const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, size, format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n, ": %s", strerror(-r));
	return r;
}

static void init_locks(struct backing *b)
{
	must(!pthread_mutex_init(&b->lock, NULL));
	must(!pthread_mutex_init(&b->order, NULL));
	must(!pthread_mutex_init(&b->space_lock, NULL));
	must(!pthread_mutex_init(&b->range_lock, NULL));
	must(!pthread_cond_init(&b->range_free, NULL));
	must(!pthread_cond_init(&b->flushed, NULL));
	must(!pthread_mutex_init(&b->mounts_lock, NULL));
	must(!pthread_mutex_init(&b->force.lock, NULL));
	must(!pthread_cond_init(&b->force.changed, NULL));
	must(!pthread_rwlockattr_init(&b->row_attr));
	/* Readers that come one after the other do not keep a writer waiting. */
	must(!pthread_rwlockattr_setkind_np(&b->row_attr,
					    PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
}

static void done_locks(struct backing *b)
{
	pthread_rwlockattr_destroy(&b->row_attr);
	pthread_cond_destroy(&b->force.changed);
	pthread_mutex_destroy(&b->force.lock);
	pthread_mutex_destroy(&b->mounts_lock);
	pthread_mutex_destroy(&b->order);
	pthread_mutex_destroy(&b->space_lock);
	pthread_cond_destroy(&b->flushed);
	pthread_cond_destroy(&b->range_free);
	pthread_mutex_destroy(&b->range_lock);
	pthread_mutex_destroy(&b->lock);
}

/* Names in /proc/self/fd are how attributes of inodes without an open file are reached. */
static int check_proc(int fd)
{
	char path[BACKING_PROC_MAX];
	struct stat a, b;

	backing_proc_path(fd, path);
	if (stat(path, &a) || fstat(fd, &b))
		return -errno;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino ? 0 : -ENOENT;
}

static int check_volume(struct backing *b, char *text, size_t size)
{
	struct csv_handle again;
	struct statfs s;
	int fd, r;

	if (fstatfs(b->root_fd, &s))
		return refuse(text, size, -errno, "the volume cannot be looked at");
	if (s.f_type != XFS_SUPER_MAGIC)
		return refuse(text, size, -EINVAL, "the volume is not an XFS");
	r = backing_handle_of(b->root_fd, "", &b->root);
	if (r)
		return refuse(text, size, r,
			      "this kernel gives other handles of XFS inodes than "
			      "inode and generation (mount option inode32?)");
	fd = backing_handle_open(b, &b->root, O_PATH);
	if (fd < 0)
		return refuse(text, size, fd, "inodes cannot be opened by their handles");
	r = backing_handle_of(fd, "", &again);
	close(fd);
	if (r || !csv_handle_equal(&b->root, &again))
		return refuse(text, size, r ? r : -ESTALE, "the root's handle leads elsewhere");
	r = check_proc(b->root_fd);
	return r ? refuse(text, size, r, "/proc is not mounted") : 0;
}

/* One of our own directories. */
static int open_ours(struct backing *b, int dir_fd, const char *name, int *ret_fd)
{
	int fd;

	if (mkdirat(dir_fd, name, 0700) && errno != EEXIST)
		return -errno;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return backing_row_pin(b, fd, "");
}

/* Earlier coordinators had blocks in it. */
static int open_look(struct backing *b)
{
	b->look_fd = openat(b->csv_fd, "reserve", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (b->look_fd < 0 || ftruncate(b->look_fd, 0))
		return -errno;
	return backing_row_pin(b, b->look_fd, "");
}

static int open_own(struct backing *b, char *text, size_t size)
{
	int r = open_ours(b, b->root_fd, ".csv", &b->csv_fd);

	r = r ? r : open_ours(b, b->csv_fd, "sessions", &b->sessions_fd);
	r = r ? r : open_ours(b, b->csv_fd, "orphans", &b->orphans_fd);
	r = r ? r : open_ours(b, b->csv_fd, "undo", &b->undo_fd);
	r = r ? r : open_look(b);
	if (r)
		return refuse(text, size, r, "the volume's own directory .csv cannot be opened");
	r = backing_undo_all(b);
	failpoint(FAIL_UNDONE, 0, 0);
	if (r)
		return refuse(text, size, r, "what was under way in .csv/undo cannot be put back");
	r = backing_mounts_load(b);
	if (r)
		return refuse(text, size, r, "the directories of mounts in .csv cannot be read");
	r = backing_orphans_load(b);
	return r ? refuse(text, size, r, "the orphans in .csv cannot be read") : 0;
}

int backing_open(int root_fd, struct backing **ret, char *text, size_t text_size)
{
	struct backing *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return refuse(text, text_size, -ENOMEM, "the volume cannot be opened");
	b->csv_fd = b->sessions_fd = b->orphans_fd = b->undo_fd = b->look_fd = -1;
	init_locks(b);
	umask(0); /* modes are as the callers want them */
	b->root_fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->root_fd < 0)
		r = refuse(text, text_size, -errno, "the volume's root cannot be opened");
	else
		r = check_volume(b, text, text_size);
	r = r ? r : open_own(b, text, text_size);
	if (r) {
		backing_close(b);
		return r;
	}
	*ret = b;
	return 0;
}

static void close_own(const struct backing *b)
{
	const int fd[] = {b->look_fd,	  b->undo_fd, b->orphans_fd,
			  b->sessions_fd, b->csv_fd,  b->root_fd};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(fd); i++) {
		if (fd[i] >= 0)
			close(fd[i]);
	}
}

void backing_close(struct backing *b)
{
	if (!b)
		return;
	backing_mounts_free(b);
	backing_rows_free(b);
	close_own(b);
	done_locks(b);
	free(b);
}

int backing_root_fd(const struct backing *b)
{
	return b->root_fd;
}

struct csv_handle backing_root(const struct backing *b)
{
	return b->root;
}

/* ---- requests */

static int query(struct backing_op *o)
{
	switch (o->q->op) {
	case CSV_OP_LOOKUP:
		return backing_lookup(o);
	case CSV_OP_GETATTR:
		return backing_getattr(o);
	case CSV_OP_READLINK:
		return backing_readlink(o);
	case CSV_OP_OPEN:
		return backing_open_inode(o);
	case CSV_OP_READ:
		return backing_read(o);
	case CSV_OP_FSYNC:
		return backing_fsync(o);
	case CSV_OP_READDIR:
		return backing_readdir(o);
	case CSV_OP_STATFS:
		return backing_statfs(o);
	case CSV_OP_GETXATTR:
		return backing_getxattr(o);
	case CSV_OP_LISTXATTR:
		return backing_listxattr(o);
	case CSV_OP_LSEEK:
		return backing_lseek(o);
	case CSV_OP_GRANT:
		return backing_grant(o);
	default:
		return -EOPNOTSUPP;
	}
}

static void fail_query(struct backing_op *o, int error)
{
	o->reply->error = (uint16_t)-error;
	o->reply->kind = CSV_REPLY_NONE;
}

/* What changes nothing on disk. */
static int execute_query(struct backing_op *o)
{
	int r = 0;

	if (o->q->op == CSV_OP_RELEASE) {
		backing_release(o);
		return 0;
	}
	if (o->b->grants)
		r = backing_ask(o);
	o->is_cancelled = r == -ECANCELED;
	if (!r)
		backing_op_lock(o);
	if (!r && !o->is_cancelled)
		backing_access(o);
	if (o->is_cancelled)
		return -ECANCELED;
	r = r ? r : o->error ? o->error : query(o);
	if (r)
		fail_query(o, r);
	if (!o->error)
		backing_promise(o);
	backing_op_unlock(o);
	if (!r && o->q->op == CSV_OP_READDIR) {
		r = backing_readdir_attr(o);
		if (r)
			fail_query(o, r);
	}
	return backing_force_wait(o->b, o->wait);
}

/* The answer that the disk has. It is there since before this coordinator: nothing to wait for. */
static int replay(struct backing_op *o)
{
	struct csv_handle *h = &o->reply->entry.handle;
	struct record record;
	int r = backing_slot(o->b, o->mount, o->q->slot);

	r = r < 0 ? r : backing_record_load(r, &record);
	if (r || !record.is_done || record.seq != o->q->seq || record.op != o->q->op) {
		o->reply->error = r ? EIO : EPROTO;
		o->reply->kind = CSV_REPLY_NONE;
		return 0;
	}
	failpoint(FAIL_REPLAY, o->q->op, o->mount);
	*o->reply = record.reply;
	if (record.op == CSV_OP_CREATE && !record.reply.error)
		backing_opens_add(o->b, o->mount, h, 1);
	return 0;
}

bool backing_is_down(struct backing *b, int error)
{
	if (error != EIO && error != EUCLEAN)
		return false;
	/* A file's: that of a directory does not look whether XFS has shut down (xfs_file.c). */
	if (fsync(b->look_fd))
		b->is_halted = true;
	return b->is_halted;
}

/*
 * An I/O error is answered only if it is that of one place, not of the whole file system: the next
 * coordinator may have a path. What has been lost is known to all mounts before it is answered.
 */
static int end_errors(struct backing_op *o)
{
	if (backing_is_down(o->b, o->reply->error))
		return -EIO;
	if (!o->lost_error || !o->b->grants)
		return 0;
	return grants_failed(o->b->grants, &o->lost, o->lost_error);
}

int backing_execute(struct backing *b, uint64_t mount, const struct csv_request *q,
		    enum backing_mode mode, struct csv_reply *ret, void *buf)
{
	struct backing_op o;
	int r;

	if (b->is_halted)
		return -EIO;
	*ret = (struct csv_reply){.slot = q->slot, .seq = q->seq, .kind = csv_op_reply(q->op)};
	backing_op_init(&o, b, mount, q, ret, buf);
	if (csv_op_kind(q->op) != CSV_CHANGE) {
		r = execute_query(&o);
	} else if (mode == BACKING_REPLAY) {
		r = replay(&o);
	} else {
		o.is_redo = mode == BACKING_REDO;
		r = backing_change(&o);
	}
	backing_op_done(&o);
	if (r == -ECANCELED)
		return r;
	r = r ? -EIO : end_errors(&o);
	return r && r != -ECANCELED ? -EIO : r;
}
