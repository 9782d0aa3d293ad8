/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of csvfs/edge/fuse*.c. A handler fills one struct call, runs it and replies:
 *
 *   call_begin, call_handle and call_name for each field, call_run, call_reply_*
 *
 * Those return 0 or a positive errno, as the kernel wants it; after the first one that is not 0
 * the rest is left out. call_reply_* takes it and ends the call.
 */
#ifndef CSVFS_EDGE_FUSE_IMPL_H
#define CSVFS_EDGE_FUSE_IMPL_H

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "csvfs/core/proto.h"
#include "csvfs/edge/client.h"
#include "csvfs/edge/fuse.h"
#include "csvfs/edge/fuse_device.h"
#include "csvfs/edge/fuse_inode.h"

/*
 * A handler waits in its thread. Threads that all wait leave nobody to read an interrupt, so there
 * are more of them than requests can be under way; each costs libfuse's buffer of 1 MiB once it
 * has been needed.
 */
#define FS_THREADS (4 * CSV_SLOTS)
#define FS_BUFFERS CSV_SLOTS /* for replies with bytes; CSV_IO_MAX each */

struct buffer {
	struct buffer *next;
	uint8_t *data;
};

struct call;

#define STALE_WALKS 64
#define STALE_KEPT  16

/* A thread whose last call met ESTALE, and which walks its path again: fuse_stale.c. */
struct stale_walk {
	pid_t thread; /* 0: none */
	bool is_over;
	uint64_t until_ms;
	size_t count; /* of all that were kept */
	struct csv_handle kept[STALE_KEPT];
};

struct stale {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	atomic_uint walks; /* there are so many */
	struct stale_walk walk[STALE_WALKS];
	struct client_interrupt interrupt;
	bool ends, is_there;
	pthread_t thread;
};

#define MOVED_MAX 64

/* Names that the kernel has to forget: fuse_moved.c. */
struct moved_name {
	fuse_ino_t number;
	struct inode_place place;
};

struct moved {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct moved_name queue[MOVED_MAX];
	size_t first, count;
	uint64_t number; /* of the last order to the teller */
	bool ends, is_there;
	pthread_t thread;
};

struct csv_fs {
	struct csv_fs_options options;
	struct fuse_device *device;
	struct fuse_session *session;
	bool obeys_acl; /* the kernel does; since INIT */
	struct inodes *inodes;

	pthread_mutex_t buffer_lock;
	pthread_cond_t buffer_freed;
	struct buffer buffer[FS_BUFFERS];
	struct buffer *buffer_free;
	uint8_t *buffer_data;

	/* Calls whose caller got a signal that did not end it. */
	pthread_mutex_t watch_lock;
	pthread_cond_t watch_wake;
	struct call *watched;
	bool watch_ends;
	pthread_t watcher;

	struct stale stale;
	struct moved moved;
};

struct call {
	struct csv_fs *fs;
	fuse_req_t req;
	pid_t pid;	   /* thread that asks */
	fuse_ino_t parent; /* the reply is told of under this name; NULL: no directory */
	const char *name;
	struct client_interrupt interrupt;
	struct client_origin origin;
	bool is_given_up; /* under buffer_lock */
	bool is_watched;  /* under watch_lock */
	bool walks_again; /* it has met ESTALE first */
	struct call *watch_next, **watch_at;
	struct buffer *buffer;
	struct csv_request q;
	struct csv_reply p;
};

/* ---- fuse_call.c */
void call_begin(struct call *c, fuse_req_t req, enum csv_op op);
int call_handle(struct call *c, fuse_ino_t number, struct csv_handle *ret);
int call_name(struct csv_name *ret, const char *name);
/* Takes a buffer for the bytes of the reply. */
int call_buffer(struct call *c);
/* At most `cap` bytes of reply; not 0 only after call_buffer(). */
int call_run(struct call *c, size_t cap);
/*
 * The same of what only the owner may. The kernel has decided by an owner that it has seen some
 * time ago; the coordinator decides by the one of now, and knows nothing of capabilities.
 */
int call_run_as_owner(struct call *c);
/* The groups of who asks, for the owner of something new. */
void call_groups(struct call *c);
/* The same for what takes setgid away from a file of a group that is not the caller's. */
void call_rights(struct call *c);
/* Nothing of the call is used any more by others; its reply can be sent. */
void call_end(struct call *c);
void call_reply_error(struct call *c, int error);
void call_reply_entry(struct call *c, int error);
void call_reply_attr(struct call *c, int error);
/* So many bytes were written. */
void call_reply_count(struct call *c, int error, size_t count);
/* The bytes stand in the buffer that the call has. */
void call_reply_bytes(struct call *c, int error, const void *data, size_t len);
/* Counts a lookup. */
void fs_entry(struct csv_fs *fs, const struct csv_handle *handle, const struct csv_attr *attr,
	      struct fuse_entry_param *ret);
void fs_forget(struct csv_fs *fs, fuse_ino_t number, uint64_t count);
int fs_call_init(struct csv_fs *fs);
void fs_call_done(struct csv_fs *fs);

/* ---- fuse_io.c */
/* A row of its own for what is about to be opened, in c->origin: it is there before the answer. */
void call_open(struct call *c, bool is_file, bool is_writable);
/* It was not opened. */
void call_open_failed(struct call *c);
/* The kernel has not taken the reply to an open: there will be no release. */
void call_open_untaken(struct call *c, const struct csv_handle *handle);

/* ---- fuse_stale.c */
/* Is this thread on its second walk? Then what it looks up has to be kept. */
bool stale_is_again(struct call *c);
/* A LOOKUP has found something: it stays until the walk is over. 0 or an errno. */
int stale_keep(struct call *c);
/* The call would end with ESTALE: what it ends with. */
int stale_error(struct call *c);
/* The request is answered: so the walk is over, if it was one's last. */
void stale_over(struct call *c);
int stale_init(struct csv_fs *fs);
/* While there is a client. Again: nothing. */
void stale_done(struct csv_fs *fs);

/* ---- fuse_moved.c */
/* The kernel is about to be told of a directory under this name; waits: for a moment, until it has
 * forgotten another one. */
void moved_note(struct csv_fs *fs, fuse_ino_t number, fuse_ino_t parent, const char *name,
		bool waits);
int moved_init(struct csv_fs *fs);
/* Before the end of the session, and after it. */
void moved_end(struct csv_fs *fs);
void moved_done(struct csv_fs *fs);

/* ---- fuse_lock.c */
/* The open file with this number is no more: what was locked through it goes. */
void fs_locks_closed(struct csv_fs *fs, const struct csv_handle *h, uint64_t via);

/* ---- fuse_signal.c */
/* See fuse.h for signal_ends(). Has it a capability to change what it does not own? */
bool thread_owns_all(pid_t thread);
/* The first from the text of /proc/<thread>/status. */
bool signal_ends_text(const char *status);

/* ---- handlers */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	       const char *new_name, unsigned int flags);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name);

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
	      struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags);
void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock);
void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
	      int sleep);
void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);

/* ---- fuse_ioctl.c */
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_size,
	      size_t out_size);

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif
