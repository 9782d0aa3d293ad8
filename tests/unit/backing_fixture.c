/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/backing_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"

#define IMAGE_BYTES (512l << 20) /* sparse; mkfs.xfs takes nothing below 300 MiB */
#define LOOP_TRIES  20		 /* somebody else may take the device that we were told is free */

/* xfs(5), fs/xfs/libxfs/xfs_fs.h: shut down at once, and do not write the log. */
#define GOINGDOWN	     _IOR('X', 125, uint32_t)
#define GOINGDOWN_NOLOGFLUSH 2u

extern char **environ;

/* ---- the volume */

/* The exit code of a program whose output nobody reads; 127 if there is none. */
static int run(const char *a, const char *b, const char *c, const char *d)
{
	char *argv[] = {(char *)a, (char *)b, (char *)c, (char *)d, NULL};
	posix_spawn_file_actions_t actions;
	int status = 0, r;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	r = posix_spawnp(&pid, a, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return 127;
	return WEXITSTATUS(status);
}

const char *volume_begin(void)
{
	if (geteuid())
		return "only root can mount a file system";
	if (run("mkfs.xfs", "-V", NULL, NULL) || run("xfs_repair", "-V", NULL, NULL))
		return "there is no mkfs.xfs or no xfs_repair";
	if (access("/dev/loop-control", R_OK | W_OK))
		return "there are no loop devices";
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return "there is no mount namespace for it";
	alarm(VOLUME_LIMIT_S);
	return NULL;
}

static int loop_attach(struct volume *v)
{
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config config = {.fd = (uint32_t)v->image_fd,
				     .info.lo_flags = LO_FLAGS_AUTOCLEAR};
	int n, fd;

	for (int i = 0; i < LOOP_TRIES; i++) {
		n = ioctl(control, LOOP_CTL_GET_FREE);
		if (n < 0)
			return -errno;
		snprintf(v->loop, sizeof(v->loop), "/dev/loop%d", n);
		fd = open(v->loop, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (!ioctl(fd, LOOP_CONFIGURE, &config))
			return fd;
		close(fd);
	}
	return -EBUSY;
}

void volume_open(struct volume *v)
{
	char text[256] = "";
	int root;

	assert_int_equal(mount(v->loop, v->at, "xfs", MS_NODEV | MS_NOSUID, NULL), 0);
	v->is_mounted = true;
	root = open(v->at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	if (backing_open(root, &v->b, text, sizeof(text)))
		fail_msg("%s", text);
	close(root);
	v->root = backing_root(v->b);
}

void volume_close(struct volume *v)
{
	backing_close(v->b);
	v->b = NULL;
	assert_int_equal(umount2(v->at, UMOUNT_NOFOLLOW), 0);
	v->is_mounted = false;
}

int volume_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct volume *v = calloc(1, sizeof(*v));

	if (!v)
		return -1;
	*state = v;
	v->image_fd = v->loop_fd = -1;
	snprintf(v->dir, sizeof(v->dir), "%.40s/backing.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(v->dir))
		return -1;
	snprintf(v->image, sizeof(v->image), "%s/image", v->dir);
	snprintf(v->at, sizeof(v->at), "%s/at", v->dir);
	v->image_fd = open(v->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (v->image_fd < 0 || ftruncate(v->image_fd, IMAGE_BYTES) || mkdir(v->at, 0700))
		return -1;
	if (run("mkfs.xfs", "-q", v->image, NULL))
		return -1;
	v->loop_fd = loop_attach(v);
	if (v->loop_fd < 0)
		return -1;
	volume_open(v);
	return backing_reap(v->b);
}

int volume_teardown(void **state)
{
	struct volume *v = *state;

	backing_close(v->b);
	if (v->is_mounted)
		umount2(v->at, MNT_DETACH);
	if (v->loop_fd >= 0)
		close(v->loop_fd);
	if (v->image_fd >= 0)
		close(v->image_fd);
	unlink(v->image);
	rmdir(v->at);
	rmdir(v->dir);
	free(v);
	return 0;
}

void volume_sync(const struct volume *v)
{
	_cleanup_close_ int fd = volume_peek(v, ".", O_RDONLY);

	assert_int_equal(syncfs(fd), 0);
}

void volume_stop(struct volume *v)
{
	uint32_t how = GOINGDOWN_NOLOGFLUSH;
	int fd = volume_peek(v, ".", O_RDONLY);

	assert_int_equal(ioctl(fd, GOINGDOWN, &how), 0);
	close(fd);
}

void volume_crash(struct volume *v)
{
	volume_stop(v);
	volume_close(v);
	volume_open(v);
}

void volume_check(struct volume *v)
{
	volume_close(v);
	assert_int_equal(run("xfs_repair", "-n", v->loop, NULL), 0);
}

int volume_peek(const struct volume *v, const char *path, int flags)
{
	_cleanup_close_ int root = open(v->at, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(root, path, flags | O_NOFOLLOW | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* ---- requests */

static struct csv_request ask(enum csv_op op)
{
	return (struct csv_request){.op = op};
}

static struct csv_name name_of(const char *text)
{
	struct csv_name n;

	must(strlen(text) < sizeof(n.text));
	memcpy(n.text, text, strlen(text) + 1);
	return n;
}

static struct csv_text text_of(const char *text)
{
	struct csv_text t;

	must(strlen(text) < sizeof(t.text));
	memcpy(t.text, text, strlen(text) + 1);
	return t;
}

struct csv_request ask_lookup(struct csv_handle parent, const char *name)
{
	struct csv_request q = ask(CSV_OP_LOOKUP);

	q.lookup = (struct csv_op_lookup){parent, name_of(name)};
	return q;
}

#define ASK_HANDLE(NAME, name)                                                                     \
	struct csv_request ask_##name(struct csv_handle h)                                         \
	{                                                                                          \
		struct csv_request q = ask(CSV_OP_##NAME);                                         \
                                                                                                   \
		q.name.handle = h;                                                                 \
		return q;                                                                          \
	}
ASK_HANDLE(GETATTR, getattr)
ASK_HANDLE(READLINK, readlink)
ASK_HANDLE(RELEASE, release)
ASK_HANDLE(FSYNC, fsync)
ASK_HANDLE(STATFS, statfs)

struct csv_request ask_setattr(struct csv_handle h, uint32_t valid)
{
	struct csv_request q = ask(CSV_OP_SETATTR);

	q.setattr.handle = h;
	q.setattr.valid = valid;
	return q;
}

struct csv_request ask_mknod(struct csv_handle parent, const char *name, uint32_t mode,
			     uint64_t rdev)
{
	struct csv_request q = ask(CSV_OP_MKNOD);

	q.mknod = (struct csv_op_mknod){parent, name_of(name), mode, rdev};
	return q;
}

struct csv_request ask_mkdir(struct csv_handle parent, const char *name, uint32_t mode)
{
	struct csv_request q = ask(CSV_OP_MKDIR);

	q.mkdir = (struct csv_op_mkdir){parent, name_of(name), mode};
	return q;
}

struct csv_request ask_create(struct csv_handle parent, const char *name, uint32_t mode,
			      bool is_exclusive)
{
	struct csv_request q = ask(CSV_OP_CREATE);

	q.create = (struct csv_op_create){parent, name_of(name), mode, is_exclusive};
	return q;
}

struct csv_request ask_symlink(struct csv_handle parent, const char *name, const char *target)
{
	struct csv_request q = ask(CSV_OP_SYMLINK);

	q.symlink = (struct csv_op_symlink){
		parent, name_of(name), {(const uint8_t *)target, strlen(target)}};
	return q;
}

struct csv_request ask_unlink(struct csv_handle parent, const char *name)
{
	struct csv_request q = ask(CSV_OP_UNLINK);

	q.unlink = (struct csv_op_unlink){parent, name_of(name)};
	return q;
}

struct csv_request ask_rmdir(struct csv_handle parent, const char *name)
{
	struct csv_request q = ask(CSV_OP_RMDIR);

	q.rmdir = (struct csv_op_rmdir){parent, name_of(name)};
	return q;
}

struct csv_request ask_rename(struct csv_handle parent, const char *name,
			      struct csv_handle new_parent, const char *new_name, uint32_t flags)
{
	struct csv_request q = ask(CSV_OP_RENAME);

	q.rename =
		(struct csv_op_rename){parent, name_of(name), new_parent, name_of(new_name), flags};
	return q;
}

struct csv_request ask_link(struct csv_handle h, struct csv_handle new_parent, const char *new_name)
{
	struct csv_request q = ask(CSV_OP_LINK);

	q.link = (struct csv_op_link){h, new_parent, name_of(new_name)};
	return q;
}

struct csv_request ask_open(struct csv_handle h, uint32_t flags)
{
	struct csv_request q = ask(CSV_OP_OPEN);

	q.open = (struct csv_op_open){h, flags};
	return q;
}

struct csv_request ask_read(struct csv_handle h, uint64_t offset, uint32_t size)
{
	struct csv_request q = ask(CSV_OP_READ);

	q.read = (struct csv_op_read){h, offset, size};
	return q;
}

struct csv_request ask_write(struct csv_handle h, uint64_t offset, uint32_t flags, const void *data,
			     size_t len)
{
	struct csv_request q = ask(CSV_OP_WRITE);

	q.write = (struct csv_op_write){h, offset, flags, {data, len}};
	return q;
}

struct csv_request ask_readdir(struct csv_handle h, uint64_t offset, uint32_t size, bool wants_attr)
{
	struct csv_request q = ask(CSV_OP_READDIR);

	q.readdir = (struct csv_op_readdir){h, offset, size, wants_attr};
	return q;
}

struct csv_request ask_setxattr(struct csv_handle h, const char *name, uint32_t flags,
				const void *value, size_t len)
{
	struct csv_request q = ask(CSV_OP_SETXATTR);

	q.setxattr = (struct csv_op_setxattr){h, text_of(name), flags, {value, len}};
	return q;
}

struct csv_request ask_getxattr(struct csv_handle h, const char *name, uint32_t size)
{
	struct csv_request q = ask(CSV_OP_GETXATTR);

	q.getxattr = (struct csv_op_getxattr){h, text_of(name), size};
	return q;
}

struct csv_request ask_listxattr(struct csv_handle h, uint32_t size)
{
	struct csv_request q = ask(CSV_OP_LISTXATTR);

	q.listxattr = (struct csv_op_listxattr){h, size};
	return q;
}

struct csv_request ask_removexattr(struct csv_handle h, const char *name)
{
	struct csv_request q = ask(CSV_OP_REMOVEXATTR);

	q.removexattr = (struct csv_op_removexattr){h, text_of(name)};
	return q;
}

struct csv_request ask_fallocate(struct csv_handle h, uint32_t mode, uint64_t offset,
				 uint64_t length)
{
	struct csv_request q = ask(CSV_OP_FALLOCATE);

	q.fallocate = (struct csv_op_fallocate){h, mode, offset, length};
	return q;
}

struct csv_request ask_lseek(struct csv_handle h, uint64_t offset, uint32_t whence)
{
	struct csv_request q = ask(CSV_OP_LSEEK);

	q.lseek = (struct csv_op_lseek){h, offset, whence};
	return q;
}

struct csv_request ask_copy_range(struct csv_handle from, uint64_t from_offset,
				  struct csv_handle to, uint64_t to_offset, uint64_t length)
{
	struct csv_request q = ask(CSV_OP_COPY_RANGE);

	q.copy_range = (struct csv_op_copy_range){from, from_offset, to, to_offset, length};
	return q;
}

/* ---- executing */

int volume_do(struct volume *v, uint64_t mount, uint16_t slot, struct csv_request q,
	      struct csv_reply *ret)
{
	static _Thread_local _Alignas(4096) uint8_t buf[CSV_FRAME_MAX]; /* O_DIRECT */

	must(mount < VOLUME_MOUNTS);
	q.slot = slot;
	q.seq = ++v->seq[mount][slot];
	must(!backing_execute(v->b, mount, &q, BACKING_NEW, ret, buf));
	must(ret->slot == slot && ret->seq == q.seq);
	must(ret->kind == (ret->error ? CSV_REPLY_NONE : csv_op_reply(q.op)));
	return ret->error;
}

struct csv_reply ok(struct volume *v, struct csv_request q)
{
	struct csv_reply p;

	if (volume_do(v, 1, 0, q, &p))
		fail_msg("%s: %s", csv_op_name(q.op), strerror(p.error));
	return p;
}

int err(struct volume *v, struct csv_request q)
{
	return err_of(v, 1, q);
}

int err_of(struct volume *v, uint64_t mount, struct csv_request q)
{
	struct csv_reply p;

	return volume_do(v, mount, 0, q, &p);
}

struct csv_handle handle_at(struct volume *v, struct csv_handle parent, const char *name)
{
	return ok(v, ask_lookup(parent, name)).entry.handle;
}

struct csv_handle file_with(struct volume *v, struct csv_handle parent, const char *name,
			    const char *content)
{
	struct csv_handle h = ok(v, ask_mknod(parent, name, S_IFREG | 0644, 0)).entry.handle;

	if (content[0])
		ok(v, ask_write(h, 0, 0, content, strlen(content)));
	return h;
}

struct csv_handle dir_at(struct volume *v, struct csv_handle parent, const char *name)
{
	return ok(v, ask_mkdir(parent, name, 0755)).entry.handle;
}

struct csv_attr attr_of(struct volume *v, struct csv_handle h)
{
	return ok(v, ask_getattr(h)).attr.attr;
}

void assert_content(struct volume *v, struct csv_handle h, const char *content)
{
	struct csv_reply p = ok(v, ask_read(h, 0, CSV_IO_MAX));

	assert_int_equal(p.bytes.data.len, strlen(content));
	assert_memory_equal(p.bytes.data.data, content, strlen(content));
}

void assert_same(struct csv_handle a, struct csv_handle b)
{
	assert_true(csv_handle_equal(&a, &b));
}
