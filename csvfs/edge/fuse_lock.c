/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File locks. Handlers of locks do not wait: csvfs/edge/locks.h replies.
 *
 * What the kernel does (fs/fuse/file.c, fs/locks.c): fcntl locks come with a number for the
 * process's files as owner, those of open files (F_OFD_*) and flock with one for the open file; a
 * close tells its owner by FLUSH; of the last reference to an open file RELEASE tells, with nothing
 * of its OFD locks: so what was locked through it is given up then. Directories are locked by the
 * kernel for this node alone, without asking.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include "csvfs/edge/fuse_impl.h"
#include "lib/must.h"

struct lock_call {
	struct locks_call call;
	fuse_req_t req;
	bool is_test;
};

/* ---- replies */

static void reply_test(const struct lock_call *c)
{
	const struct csv_reply_lock *found = &c->call.lock;
	const struct csv_fs *fs = fuse_req_userdata(c->req);
	struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (found->type) {
		l.l_type = found->type == CSV_LOCK_WRITE ? F_WRLCK : F_RDLCK;
		l.l_start = (off_t)found->start;
		if (found->end < CSV_LOCK_END_MAX)
			l.l_len = (off_t)(found->end - found->start + 1);
		/* A process of another node has no number here: the kernel makes it 0. */
		if (found->mount == fs->options.mount)
			l.l_pid = (pid_t)found->pid;
	}
	fuse_reply_lock(c->req, &l);
}

static void reply(struct locks_call *call, int error)
{
	struct lock_call *c = (struct lock_call *)call;

	if (!error && c->is_test)
		reply_test(c);
	else
		fuse_reply_err(c->req, error);
	free(c);
}

/* The number and not the operation: that may be replied to while this is on its way. */
static void on_interrupt(fuse_req_t req, void *data)
{
	const struct csv_fs *fs = fuse_req_userdata(req);

	locks_signal(fs->options.locks, (uintptr_t)data);
}

static void begin(fuse_req_t req, enum lockbook_what what, const struct lock_range *l,
		  bool may_wait)
{
	struct locks *locks = ((struct csv_fs *)fuse_req_userdata(req))->options.locks;
	struct lock_call *c = calloc(1, sizeof(*c));
	uint64_t id;

	must(c);
	c->call.reply = reply;
	c->call.pid = fuse_req_ctx(req)->pid;
	c->req = req;
	c->is_test = what == LOCKBOOK_TEST;
	id = locks_new(locks, what, l, may_wait, &c->call);
	if (!id) {
		free(c);
		fuse_reply_err(req, ENOLCK);
		return;
	}
	fuse_req_interrupt_func(req, on_interrupt, (void *)(uintptr_t)id);
	locks_go(locks, id);
}

/* ---- requests */

/* 0 or a positive errno. */
static int find(fuse_req_t req, fuse_ino_t ino, struct csv_handle *ret)
{
	const struct csv_fs *fs = fuse_req_userdata(req);

	if (!fs->options.locks)
		return ENOLCK; /* those of one node only would be worse than none */
	return inodes_find(fs->inodes, ino, ret) ? 0 : ESTALE;
}

static uint8_t type_of(short type)
{
	return type == F_WRLCK ? CSV_LOCK_WRITE : type == F_RDLCK ? CSV_LOCK_READ : CSV_LOCK_NONE;
}

static int fill(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi,
		const struct flock *lock, struct lock_range *ret)
{
	*ret = (struct lock_range){.owner = {.id = fi->lock_owner, .kind = CSV_LOCK_POSIX},
				   .start = (uint64_t)lock->l_start,
				   .end = CSV_LOCK_END_MAX,
				   .via = fi->fh,
				   .pid = (uint32_t)lock->l_pid,
				   .type = type_of(lock->l_type)};
	if (lock->l_len)
		ret->end = (uint64_t)lock->l_start + (uint64_t)lock->l_len - 1;
	return find(req, ino, &ret->handle);
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
	struct lock_range l;
	int e = fill(req, ino, fi, lock, &l);

	if (e)
		fuse_reply_err(req, e);
	else
		begin(req, LOCKBOOK_TEST, &l, false);
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
	      int sleep)
{
	struct lock_range l;
	int e = fill(req, ino, fi, lock, &l);

	if (e)
		fuse_reply_err(req, l.type ? e : 0); /* there is nothing that could be unlocked */
	else
		begin(req, l.type ? LOCKBOOK_LOCK : LOCKBOOK_UNLOCK, &l, sleep);
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct lock_range l = {.owner = {.id = fi->lock_owner, .kind = CSV_LOCK_FLOCK},
			       .end = CSV_LOCK_END_MAX,
			       .via = fi->fh,
			       .pid = (uint32_t)fuse_req_ctx(req)->pid};
	int e = find(req, ino, &l.handle);

	if (op & LOCK_EX)
		l.type = CSV_LOCK_WRITE;
	else if (op & LOCK_SH)
		l.type = CSV_LOCK_READ;
	if (e)
		fuse_reply_err(req, l.type ? e : 0);
	else
		begin(req, l.type ? LOCKBOOK_LOCK : LOCKBOOK_UNLOCK, &l, !(op & LOCK_NB));
}

/* A close of one of the process's descriptors: its POSIX locks of the file go (fcntl(2)). */
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct lock_range l = {.owner = {.id = fi->lock_owner, .kind = CSV_LOCK_POSIX},
			       .end = CSV_LOCK_END_MAX};
	const struct csv_fs *fs = fuse_req_userdata(req);

	if (find(req, ino, &l.handle) || !locks_has(fs->options.locks, &l.handle, &l.owner))
		fuse_reply_err(req, 0);
	else
		begin(req, LOCKBOOK_UNLOCK, &l, false);
}

void fs_locks_closed(struct csv_fs *fs, const struct csv_handle *h, uint64_t via)
{
	if (fs->options.locks)
		locks_closed(fs->options.locks, h, via);
}
