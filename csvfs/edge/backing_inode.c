/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of inodes, descriptors by handle, and the force of the log. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/must.h"

/* An XFS handle as the kernel has it: u64 inode, u32 generation, both in the order of the CPU. */
#define HANDLE_TYPE  0x81 /* FILEID_INO32_GEN | XFS_FILEID_TYPE_64FLAG: fs/xfs/xfs_export.h */
#define HANDLE_BYTES 12

union kernel_handle {
	struct file_handle head;
	uint8_t byte[sizeof(struct file_handle) + HANDLE_BYTES];
};

/* ---- rows */

static struct backing_row **bucket_of(struct backing *b, const struct csv_handle *h)
{
	uint64_t x = (h->ino ^ ((uint64_t)h->gen << 32)) * UINT64_C(0x9e3779b97f4a7c15);

	return &b->bucket[(x >> 32) % BACKING_BUCKETS];
}

static struct backing_row *find(struct backing *b, const struct csv_handle *h)
{
	struct backing_row *row = *bucket_of(b, h);

	while (row && !csv_handle_equal(&row->handle, h))
		row = row->next;
	return row;
}

static struct backing_row *make(struct backing *b, const struct csv_handle *h)
{
	struct backing_row **bucket = bucket_of(b, h), *row = calloc(1, sizeof(*row));

	must(row);
	row->handle = *h;
	row->data_fd[0] = row->data_fd[1] = -1;
	must(!pthread_rwlock_init(&row->lock, &b->row_attr));
	row->next = *bucket;
	*bucket = row;
	return row;
}

struct backing_row *backing_row_get(struct backing *b, const struct csv_handle *h)
{
	struct backing_row *row;

	pthread_mutex_lock(&b->lock);
	row = find(b, h);
	if (!row)
		row = make(b, h);
	row->refs++;
	pthread_mutex_unlock(&b->lock);
	return row;
}

struct backing_row *backing_row_find(struct backing *b, const struct csv_handle *h)
{
	struct backing_row *row;

	pthread_mutex_lock(&b->lock);
	row = find(b, h);
	if (row)
		row->refs++;
	pthread_mutex_unlock(&b->lock);
	return row;
}

void backing_row_forget_fds(struct backing *b, struct backing_row *row)
{
	for (size_t i = 0; i < MUST_ARRAY_SIZE(row->data_fd); i++) {
		if (row->data_fd[i] < 0)
			continue;
		close(row->data_fd[i]);
		row->data_fd[i] = -1;
		b->kept_fds--;
	}
}

static void row_free(struct backing *b, struct backing_row *row)
{
	struct backing_holder *h;

	backing_row_forget_fds(b, row);
	while ((h = row->holders)) {
		row->holders = h->next;
		free(h);
	}
	pthread_rwlock_destroy(&row->lock);
	free(row);
}

void backing_row_put(struct backing *b, struct backing_row *row)
{
	struct backing_row **at;

	if (!row)
		return;
	pthread_mutex_lock(&b->lock);
	must(row->refs);
	if (!--row->refs && !row->opens && !row->is_ours && !row->is_orphan) {
		/* Who has changed it held his reference until that was forced. */
		for (at = bucket_of(b, &row->handle); *at != row;)
			at = &(*at)->next;
		*at = row->next;
		row_free(b, row);
	}
	pthread_mutex_unlock(&b->lock);
}

bool backing_row_is_open(struct backing *b, struct backing_row *row)
{
	bool r;

	pthread_mutex_lock(&b->lock);
	r = row->opens > 0;
	pthread_mutex_unlock(&b->lock);
	return r;
}

void backing_rows_free(struct backing *b)
{
	struct backing_row *row;

	for (size_t i = 0; i < BACKING_BUCKETS; i++) {
		while ((row = b->bucket[i])) {
			b->bucket[i] = row->next;
			row_free(b, row);
		}
	}
}

static int set_ours(struct backing *b, int fd, const char *name, bool is_ours)
{
	struct backing_row *row;
	struct csv_handle h;
	int r = backing_handle_of(fd, name, &h);

	if (r)
		return r;
	row = backing_row_get(b, &h);
	pthread_mutex_lock(&b->lock);
	row->is_ours = is_ours;
	pthread_mutex_unlock(&b->lock);
	backing_row_put(b, row);
	return 0;
}

int backing_row_pin(struct backing *b, int fd, const char *name)
{
	return set_ours(b, fd, name, true);
}

void backing_row_unpin(struct backing *b, int fd, const char *name)
{
	(void)set_ours(b, fd, name, false);
}

/* ---- handles and descriptors */

bool backing_xfs_is_down(const struct backing *b)
{
	/* xfs_attr_get() looks first; there is no such attribute. */
	return b->look_fd >= 0 && fgetxattr(b->look_fd, BACKING_XATTR, NULL, 0) < 0 && errno == EIO;
}

int backing_handle_open(const struct backing *b, const struct csv_handle *h, int flags)
{
	union kernel_handle k = {
		.head = {.handle_bytes = HANDLE_BYTES, .handle_type = HANDLE_TYPE}};
	int fd;

	memcpy(k.head.f_handle, &h->ino, sizeof(h->ino));
	memcpy(k.head.f_handle + sizeof(h->ino), &h->gen, sizeof(h->gen));
	fd = open_by_handle_at(b->root_fd, &k.head, flags | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		return fd;
	fd = -errno;
	/*
	 * The kernel says ESTALE for whatever error the file system has (do_handle_to_path() in
	 * fs/fhandle.c). One that is down must not be taken for one where the inode is gone.
	 */
	return fd == -ESTALE && backing_xfs_is_down(b) ? -EIO : fd;
}

int backing_handle_of(int fd, const char *name, struct csv_handle *ret)
{
	union kernel_handle k = {.head = {.handle_bytes = HANDLE_BYTES}};
	int mount;

	if (name_to_handle_at(fd, name, &k.head, &mount, name[0] ? 0 : AT_EMPTY_PATH))
		return -errno;
	if (k.head.handle_type != HANDLE_TYPE || k.head.handle_bytes != HANDLE_BYTES)
		return -EOPNOTSUPP;
	memcpy(&ret->ino, k.head.f_handle, sizeof(ret->ino));
	memcpy(&ret->gen, k.head.f_handle + sizeof(ret->ino), sizeof(ret->gen));
	return 0;
}

void backing_proc_path(int fd, char ret_path[BACKING_PROC_MAX])
{
	snprintf(ret_path, BACKING_PROC_MAX, "/proc/self/fd/%d", fd);
}

static struct csv_time time_of(const struct timespec *t)
{
	return (struct csv_time){t->tv_sec, (uint32_t)t->tv_nsec};
}

void backing_attr_of(const struct backing *b, const struct backing_row *row, const struct stat *st,
		     struct csv_attr *ret)
{
	bool has_hidden_link = row && (row->is_orphan || csv_handle_equal(&row->handle, &b->root));

	*ret = (struct csv_attr){
		.ino = st->st_ino,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink - (has_hidden_link && st->st_nlink ? 1 : 0),
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = st->st_rdev,
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.blksize = (uint32_t)st->st_blksize,
		.atime = time_of(&st->st_atim),
		.mtime = time_of(&st->st_mtim),
		.ctime = time_of(&st->st_ctim),
	};
}

/* ---- the log */

int backing_force_done(struct backing *b, int slot_fd, const void *record, size_t len,
		       uint64_t *ret_ticket)
{
	int r = 0;

	/* Without this lock, tickets could be in another order than the marks in the log. */
	pthread_mutex_lock(&b->order);
	if (fsetxattr(slot_fd, BACKING_XATTR, record, len, 0)) {
		r = -errno;
	} else {
		pthread_mutex_lock(&b->force.lock);
		*ret_ticket = ++b->force.newest;
		b->force.newest_fd = slot_fd;
		pthread_mutex_unlock(&b->force.lock);
	}
	pthread_mutex_unlock(&b->order);
	return r;
}

/*
 * Who waits first forces for all whose marks are there by then; the others wait for him. The
 * descriptor lives: the request that owns the newest ticket is not answered before it is forced.
 */
int backing_force_wait(struct backing *b, uint64_t ticket)
{
	struct backing_force *f = &b->force;
	uint64_t newest;
	int fd, r;

	pthread_mutex_lock(&f->lock);
	while (f->forced < ticket && !b->is_halted) {
		if (f->is_forcing) {
			pthread_cond_wait(&f->changed, &f->lock);
			continue;
		}
		f->is_forcing = true;
		newest = f->newest;
		fd = f->newest_fd;
		pthread_mutex_unlock(&f->lock);
		failpoint(FAIL_FORCING, 0, 0);
		/* Not fdatasync(): an attribute is nothing that it forces (fs/xfs/xfs_file.c). */
		r = fsync(fd);
		/*
		 * A shutdown lets go of what fsync(2) waits for: one that is in it may say that all
		 * is there (xfs_fsync_seq(): the inode is not pinned any more).
		 */
		if (!r && backing_xfs_is_down(b))
			r = -1;
		failpoint(FAIL_GROUP_FORCED, 0, 0);
		pthread_mutex_lock(&f->lock);
		f->is_forcing = false;
		if (r)
			b->is_halted = true;
		else
			f->forced = newest;
		pthread_cond_broadcast(&f->changed);
	}
	r = f->forced < ticket ? -EIO : 0;
	pthread_mutex_unlock(&f->lock);
	return b->is_halted ? -EIO : r;
}
