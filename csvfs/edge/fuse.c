/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "csvfs/edge/fuse_impl.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/mount_point.h"

/*
 * What is asked of the kernel. Not: ATOMIC_O_TRUNC (a truncation comes as SETATTR), a cache for
 * writing, splice (slower, and pages would be shared). POSIX_ACL: this kernel decides by ACLs, too;
 * it asks for them anew whenever it looks at the mode anew.
 */
#define WANTED                                                                                     \
	(FUSE_CAP_ASYNC_READ | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_DONT_MASK |  \
	 FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |             \
	 FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_HANDLE_KILLPRIV |                \
	 FUSE_CAP_POSIX_ACL)

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct csv_fs *fs = userdata;

	conn->want = WANTED & conn->capable;
	fs->obeys_acl = conn->want & FUSE_CAP_POSIX_ACL;
	if (conn->want != WANTED)
		log_warning("the kernel's FUSE lacks capabilities %#x -> going on without",
			    WANTED & ~conn->capable);
	conn->max_write = CSV_IO_MAX;
	conn->max_read = CSV_IO_MAX; /* as the option of the mount says */
	conn->max_readahead = 0;
	conn->max_background = CSV_SLOTS; /* asynchronous direct I/O and releases */
	conn->congestion_threshold = CSV_SLOTS;
	conn->time_gran = 1;
}

/* Without access: default_permissions. Without bmap, poll: the kernel's answer is right. */
static const struct fuse_lowlevel_ops operations = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.ioctl = op_ioctl,
	.copy_file_range = op_copy_file_range,
	.getlk = op_getlk,
	.setlk = op_setlk,
	.flock = op_flock,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_release,
	.fsyncdir = op_fsync,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
};

static void log_fuse(enum fuse_log_level level, const char *format, va_list args)
{
	char text[512];

	vsnprintf(text, sizeof(text), format, args);
	csv_log((int)level, "libfuse: %s", text); /* the levels are those of syslog(3) */
}

static ssize_t io_read(int fd, void *buf, size_t size, void *userdata)
{
	return fuse_device_read(((struct csv_fs *)userdata)->device, fd, buf, size);
}

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	return fuse_device_writev(((struct csv_fs *)userdata)->device, fd, iov, count);
}

static struct fuse_session *new_session(struct csv_fs *fs)
{
	static const struct fuse_custom_io io = {.read = io_read, .writev = io_writev};
	char options[64];
	char *argv[] = {(char *)"csvfsd", (char *)"-o", options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	struct fuse_session *session;
	int fd;

	snprintf(options, sizeof(options), "max_read=%u", CSV_IO_MAX); /* as it was mounted */
	session = fuse_session_new(&args, &operations, sizeof(operations), fs);
	fuse_opt_free_args(&args);
	fd = session ? fcntl(fs->options.device, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd < 0 || fuse_session_custom_io(session, &io, fd)) {
		if (session)
			fuse_session_destroy(session);
		return NULL;
	}
	return session;
}

/* Files that an earlier process had open: all that is not in the keep begins anew. */
static void take_opens(struct csv_fs *fs)
{
	const struct keep_open *o;
	uint32_t at = 0;

	while ((o = keep_next(fs->options.keep, KEEP_OPENS, &at))) {
		if (o->state == KEEP_OPEN_OPEN && o->is_file)
			datapath_left(fs->options.datapath, &o->handle);
	}
}

static int open_all(struct csv_fs *fs)
{
	int r;

	fs->inodes = inodes_new(fs->options.keep);
	if (!fs->inodes)
		return -ENOMEM;
	r = fuse_device_open(fs->options.keep, fs->options.client, &fs->device);
	if (r)
		return r;
	fs->session = new_session(fs);
	if (!fs->session)
		return -ENOMEM;
	take_opens(fs);
	return moved_init(fs);
}

int csv_fs_open(const struct csv_fs_options *options, struct csv_fs **ret)
{
	struct csv_fs *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return -ENOMEM;
	fs->options = *options;
	fuse_set_log_func(log_fuse);
	r = fs_call_init(fs);
	if (r) {
		free(fs->buffer_data);
		free(fs);
		return r;
	}
	r = open_all(fs);
	if (r) {
		csv_fs_close(fs);
		return r;
	}
	*ret = fs;
	return 0;
}

int csv_fs_serve(struct csv_fs *fs)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int r;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 0);
	fuse_loop_cfg_set_max_threads(config, FS_THREADS);
	r = fuse_session_loop_mt(fs->session, config);
	fuse_loop_cfg_destroy(config);
	stale_done(fs);
	return r;
}

int csv_fs_hand_over(struct csv_fs *fs, unsigned int timeout_ms)
{
	bool can_resend = keep_init(fs->options.keep)->can_resend;
	int r = fuse_device_drain(fs->device, timeout_ms, can_resend);

	return can_resend ? 0 : r;
}

void csv_fs_close(struct csv_fs *fs)
{
	if (!fs)
		return;
	if (fs->moved.is_there)
		moved_end(fs);
	/* Whatever the kernel holds for a call that waits for us, it gives up now. */
	mount_point_detach(fs->options.mount_point);
	moved_done(fs);
	if (fs->session)
		fuse_session_destroy(fs->session);
	fuse_device_close(fs->device);
	fs_call_done(fs);
	inodes_free(fs->inodes);
	free(fs);
}
