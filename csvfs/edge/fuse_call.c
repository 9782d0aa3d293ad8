/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "csvfs/edge/clock.h"
#include "csvfs/edge/fuse_impl.h"
#include "lib/must.h"

/* The kernel tells of a signal once; whether a later one ends the caller has to be looked up. */
#define WATCH_MS 200

/* ---- interrupts */

/* The caller ends: its waiting does, too. */
static void end_wait(struct call *c)
{
	struct csv_fs *fs = c->fs;

	pthread_mutex_lock(&fs->buffer_lock);
	c->is_given_up = true;
	pthread_cond_broadcast(&fs->buffer_freed);
	pthread_mutex_unlock(&fs->buffer_lock);
	client_interrupt(fs->options.client, &c->interrupt);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct call *c = data;
	struct csv_fs *fs = c->fs;

	(void)req;
	if (signal_ends(c->pid)) {
		end_wait(c);
		return;
	}
	pthread_mutex_lock(&fs->watch_lock);
	if (!c->is_watched) {
		c->is_watched = true;
		c->watch_next = fs->watched;
		c->watch_at = &fs->watched;
		if (c->watch_next)
			c->watch_next->watch_at = &c->watch_next;
		fs->watched = c;
		pthread_cond_signal(&fs->watch_wake);
	}
	pthread_mutex_unlock(&fs->watch_lock);
}

static void unwatch(struct call *c)
{
	pthread_mutex_lock(&c->fs->watch_lock);
	if (c->is_watched) {
		*c->watch_at = c->watch_next;
		if (c->watch_next)
			c->watch_next->watch_at = c->watch_at;
		c->is_watched = false;
	}
	pthread_mutex_unlock(&c->fs->watch_lock);
}

static void wait_watch(struct csv_fs *fs)
{
	if (!fs->watched) {
		pthread_cond_wait(&fs->watch_wake, &fs->watch_lock);
		return;
	}
	csv_cond_wait_ms(&fs->watch_wake, &fs->watch_lock, WATCH_MS);
}

static void *watch(void *arg)
{
	struct csv_fs *fs = arg;

	pthread_mutex_lock(&fs->watch_lock);
	while (!fs->watch_ends) {
		wait_watch(fs);
		for (struct call *c = fs->watched; c; c = c->watch_next) {
			if (signal_ends(c->pid))
				end_wait(c);
		}
	}
	pthread_mutex_unlock(&fs->watch_lock);
	return NULL;
}

/* ---- one call */

void call_begin(struct call *c, fuse_req_t req, enum csv_op op)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	*c = (struct call){.fs = fuse_req_userdata(req), .req = req, .pid = ctx->pid};
	c->q.op = op;
	c->q.caller.uid = ctx->uid;
	c->q.caller.gid = ctx->gid;
	c->q.caller.umask = ctx->umask & 0777;
	c->origin.unique = fuse_device_unique();
	fuse_req_interrupt_func(req, on_interrupt, c);
}

void call_groups(struct call *c)
{
	gid_t list[CSV_GROUPS_MAX];
	int n = fuse_req_getgroups(c->req, CSV_GROUPS_MAX, list);

	if (n < 0) /* it has ended meanwhile */
		n = 0;
	if (n > CSV_GROUPS_MAX)
		n = CSV_GROUPS_MAX;
	for (int i = 0; i < n; i++)
		c->q.caller.groups[i] = list[i];
	c->q.caller.group_count = (uint16_t)n;
}

void call_rights(struct call *c)
{
	if (c->q.caller.uid)
		call_groups(c);
}

int call_handle(struct call *c, fuse_ino_t number, struct csv_handle *ret)
{
	if (number == FUSE_ROOT_ID)
		return -client_root(c->fs->options.client, &c->interrupt, ret);
	return inodes_find(c->fs->inodes, number, ret) ? 0 : ESTALE;
}

int call_name(struct csv_name *ret, const char *name)
{
	size_t n = strlen(name);

	if (n >= sizeof(ret->text))
		return ENAMETOOLONG;
	/* The coordinator takes such a name for garbage; the kernel does not send it. */
	if (!n || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return EINVAL;
	memcpy(ret->text, name, n + 1);
	return 0;
}

int call_buffer(struct call *c)
{
	struct csv_fs *fs = c->fs;

	pthread_mutex_lock(&fs->buffer_lock);
	while (!fs->buffer_free && !c->is_given_up)
		pthread_cond_wait(&fs->buffer_freed, &fs->buffer_lock);
	c->buffer = fs->buffer_free;
	if (c->buffer)
		fs->buffer_free = c->buffer->next;
	pthread_mutex_unlock(&fs->buffer_lock);
	return c->buffer ? 0 : EINTR;
}

static void return_buffer(struct call *c)
{
	struct csv_fs *fs = c->fs;

	if (!c->buffer)
		return;
	pthread_mutex_lock(&fs->buffer_lock);
	c->buffer->next = fs->buffer_free;
	fs->buffer_free = c->buffer;
	pthread_cond_signal(&fs->buffer_freed);
	pthread_mutex_unlock(&fs->buffer_lock);
	c->buffer = NULL;
}

int call_run(struct call *c, size_t cap)
{
	int r;

	must(!cap || c->buffer);
	r = client_call_for(c->fs->options.client, &c->origin, &c->q, &c->p,
			    c->buffer ? c->buffer->data : NULL, cap, &c->interrupt);
	c->origin.step++;
	if (r)
		return -r;
	/* ENOSYS would make the kernel forget the operation for good. */
	return c->p.error == ENOSYS ? EOPNOTSUPP : c->p.error;
}

int call_run_as_owner(struct call *c)
{
	int e = call_run(c, 0);

	if (e != EPERM || !c->q.caller.uid || !thread_owns_all(c->pid))
		return e;
	c->q.caller.uid = 0;
	return call_run(c, 0);
}

void call_end(struct call *c)
{
	/* Waits for an on_interrupt() that runs. */
	fuse_req_interrupt_func(c->req, NULL, NULL);
	unwatch(c);
	stale_over(c);
}

/* ---- replies */

static void to_stat(const struct csv_attr *a, struct stat *ret)
{
	*ret = (struct stat){.st_ino = a->ino,
			     .st_mode = a->mode,
			     .st_nlink = a->nlink,
			     .st_uid = a->uid,
			     .st_gid = a->gid,
			     .st_rdev = a->rdev,
			     .st_size = (off_t)a->size,
			     .st_blocks = (blkcnt_t)a->blocks,
			     .st_blksize = (blksize_t)a->blksize,
			     .st_atim = {a->atime.sec, a->atime.nsec},
			     .st_mtim = {a->mtime.sec, a->mtime.nsec},
			     .st_ctim = {a->ctime.sec, a->ctime.nsec}};
}

void fs_entry(struct csv_fs *fs, const struct csv_handle *handle, const struct csv_attr *attr,
	      struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){.generation = handle->gen};
	ret->ino = inodes_ref(fs->inodes, handle);
	to_stat(attr, &ret->attr);
}

void fs_forget(struct csv_fs *fs, fuse_ino_t number, uint64_t count)
{
	if (number != FUSE_ROOT_ID)
		inodes_forget(fs->inodes, number, count);
}

void call_reply_error(struct call *c, int error)
{
	if (error == ESTALE)
		error = stale_error(c);
	call_end(c);
	return_buffer(c);
	fuse_reply_err(c->req, error);
}

void call_reply_entry(struct call *c, int error)
{
	struct fuse_entry_param e;

	if (error) {
		call_reply_error(c, error);
		return;
	}
	call_end(c);
	fs_entry(c->fs, &c->p.entry.handle, &c->p.entry.attr, &e);
	if (c->name && S_ISDIR(e.attr.st_mode))
		moved_note(c->fs, e.ino, c->parent, c->name, true);
	if (fuse_reply_entry(c->req, &e) == -ENOENT) /* the kernel has not taken it */
		fs_forget(c->fs, e.ino, 1);
}

void call_reply_attr(struct call *c, int error)
{
	struct stat st;

	if (error) {
		call_reply_error(c, error);
		return;
	}
	call_end(c);
	to_stat(&c->p.attr.attr, &st);
	fuse_reply_attr(c->req, &st, 0);
}

void call_reply_count(struct call *c, int error, size_t count)
{
	if (error) {
		call_reply_error(c, error);
		return;
	}
	call_end(c);
	return_buffer(c);
	fuse_reply_write(c->req, count);
}

void call_reply_bytes(struct call *c, int error, const void *data, size_t len)
{
	if (error) {
		call_reply_error(c, error);
		return;
	}
	call_end(c);
	fuse_reply_buf(c->req, data, len);
	return_buffer(c);
}

/* ---- life */

int fs_call_init(struct csv_fs *fs)
{
	int r;

	pthread_mutex_init(&fs->buffer_lock, NULL);
	pthread_mutex_init(&fs->watch_lock, NULL);
	csv_cond_init(&fs->buffer_freed);
	csv_cond_init(&fs->watch_wake);
	fs->buffer_data = aligned_alloc(CSV_GRANT_BLOCK, (size_t)FS_BUFFERS * CSV_IO_MAX);
	if (!fs->buffer_data)
		return -ENOMEM;
	for (size_t i = 0; i < FS_BUFFERS; i++) {
		fs->buffer[i].data = fs->buffer_data + i * CSV_IO_MAX;
		fs->buffer[i].next = fs->buffer_free;
		fs->buffer_free = &fs->buffer[i];
	}
	r = stale_init(fs);
	return r ? r : -pthread_create(&fs->watcher, NULL, watch, fs);
}

void fs_call_done(struct csv_fs *fs)
{
	pthread_mutex_lock(&fs->watch_lock);
	fs->watch_ends = true;
	pthread_cond_signal(&fs->watch_wake);
	pthread_mutex_unlock(&fs->watch_lock);
	pthread_join(fs->watcher, NULL);
	stale_done(fs);
	free(fs->buffer_data);
	pthread_cond_destroy(&fs->watch_wake);
	pthread_cond_destroy(&fs->buffer_freed);
	pthread_mutex_destroy(&fs->watch_lock);
	pthread_mutex_destroy(&fs->buffer_lock);
}
