/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has what open, and orphans: inodes that have no name any more and are open.
 *
 * Until all mounts have told what they have open, nobody knows whether an inode is open: then every
 * inode that loses its last name becomes an orphan, and backing_reap() sorts them out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/cleanup.h"
#include "lib/must.h"

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

void backing_orphan_name(const struct csv_handle *h, char ret_name[BACKING_ORPHAN_MAX])
{
	snprintf(ret_name, BACKING_ORPHAN_MAX, "%" PRIu64 ".%" PRIu32, h->ino, h->gen);
}

static bool orphan_parse(const char *name, struct csv_handle *ret)
{
	char again[BACKING_ORPHAN_MAX], *end;
	struct csv_handle h;

	h.ino = strtoull(name, &end, 10);
	if (*end != '.')
		return false;
	h.gen = (uint32_t)strtoul(end + 1, NULL, 10);
	backing_orphan_name(&h, again);
	if (strcmp(name, again) != 0)
		return false;
	*ret = h;
	return true;
}

static void set_orphan(struct backing *b, struct backing_row *row, bool is_orphan)
{
	pthread_mutex_lock(&b->lock);
	row->is_orphan = is_orphan;
	pthread_mutex_unlock(&b->lock);
}

int backing_for_each_inode(struct backing *b, int dir_fd,
			   int (*each)(struct backing *b, struct backing_row *row))
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0, error;
	_cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct backing_row *row;
	struct csv_handle h;
	struct dirent *e;

	if (!d)
		return -errno;
	while ((errno = 0, e = readdir(d))) {
		if (!orphan_parse(e->d_name, &h))
			continue;
		row = backing_row_get(b, &h);
		error = each(b, row);
		backing_row_put(b, row);
		r = r ? r : error;
	}
	return r ? r : -errno;
}

static int mark_orphan(struct backing *b, struct backing_row *row)
{
	set_orphan(b, row, true);
	return 0;
}

int backing_orphans_load(struct backing *b)
{
	return backing_for_each_inode(b, b->orphans_fd, mark_orphan);
}

int backing_orphan_keep(struct backing *b, const struct backing_name *n, const struct stat *st,
			bool *ret_made)
{
	struct backing_row *row = n->child_row;
	char name[BACKING_ORPHAN_MAX];
	bool is_needed;
	int r;

	*ret_made = false;
	pthread_mutex_lock(&b->lock);
	is_needed = !S_ISDIR(st->st_mode) && st->st_nlink == 1 && (row->opens || !b->is_serving);
	pthread_mutex_unlock(&b->lock);
	/* With the link of an orphan already there, it has two: what a crash before has left. */
	if (!is_needed)
		return 0;
	backing_orphan_name(&row->handle, name);
	r = linkat(n->dir_fd, n->text, b->orphans_fd, name, 0);
	if (r)
		return -errno;
	set_orphan(b, row, true);
	*ret_made = true;
	return 0;
}

void backing_dead_keep(struct backing *b, const struct backing_name *n)
{
	struct backing_row *row = n->child_row;
	int fd = backing_row_is_open(b, row)
			 ? openat(n->dir_fd, n->text,
				  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
			 : -1;

	if (fd < 0)
		return;
	pthread_mutex_lock(&b->lock);
	if (row->opens && row->data_fd[0] < 0) {
		row->data_fd[0] = fd; /* the inode lives for as long */
		b->kept_fds++;
		fd = -1;
	}
	pthread_mutex_unlock(&b->lock);
	if (fd >= 0)
		close(fd);
}

void backing_orphan_undo(struct backing *b, const struct backing_name *n)
{
	char name[BACKING_ORPHAN_MAX];

	backing_orphan_name(&n->child_row->handle, name);
	if (!unlinkat(b->orphans_fd, name, 0))
		set_orphan(b, n->child_row, false);
}

/* Nobody has it open any more, as it seemed: its descriptors go, and it, if it is an orphan. */
static int row_closed(struct backing *b, struct backing_row *row, bool reaps)
{
	char name[BACKING_ORPHAN_MAX];
	bool goes;
	int r = 0;

	must(!pthread_rwlock_wrlock(&row->lock));
	pthread_mutex_lock(&b->lock);
	if (!row->opens)
		backing_row_forget_fds(b, row);
	goes = !row->opens && row->is_orphan && reaps;
	pthread_mutex_unlock(&b->lock);
	/* What somebody may still write to is not freed: backing_settled() comes back to it. */
	if (goes && !(b->grants && grants_unwanted(b->grants, &row->handle))) {
		backing_orphan_name(&row->handle, name);
		failpoint(FAIL_REAPING, 0, 0);
		if (unlinkat(b->orphans_fd, name, 0) && errno != ENOENT)
			r = -errno;
		else
			set_orphan(b, row, false);
		failpoint(FAIL_REAPED, 0, 0);
	}
	pthread_rwlock_unlock(&row->lock);
	return r;
}

void backing_settled(struct backing *b, const struct csv_handle *h)
{
	struct backing_row *row = backing_row_get(b, h);
	bool reaps;

	backing_touch(b, row);
	pthread_mutex_lock(&b->lock);
	reaps = b->is_serving;
	pthread_mutex_unlock(&b->lock);
	/* If the orphan cannot be removed, the next coordinator tries again. */
	(void)row_closed(b, row, reaps);
	backing_row_put(b, row);
}

static int reap(struct backing *b, struct backing_row *row)
{
	return row_closed(b, row, true);
}

int backing_reap(struct backing *b)
{
	pthread_mutex_lock(&b->lock);
	b->is_serving = true;
	pthread_mutex_unlock(&b->lock);
	return backing_for_each_inode(b, b->orphans_fd, reap);
}

/* ---- counts */

void backing_opens_count(struct backing *b, struct backing_row *row, uint64_t mount, uint32_t opens)
{
	struct backing_holder *h;

	pthread_mutex_lock(&b->lock);
	for (h = row->holders; h && h->mount != mount;)
		h = h->next;
	if (!h && opens) {
		h = calloc(1, sizeof(*h));
		must(h);
		h->mount = mount;
		h->next = row->holders;
		row->holders = h;
	}
	if (opens) {
		h->opens += opens;
		row->opens += opens;
	}
	pthread_mutex_unlock(&b->lock);
}

/* Takes `opens` from the mount's count, at most what it has; true: nobody has it open any more. */
static bool take_opens(struct backing_row *row, uint64_t mount, uint32_t opens)
{
	struct backing_holder **at, *h;

	for (at = &row->holders; *at && (*at)->mount != mount;)
		at = &(*at)->next;
	h = *at;
	if (!h)
		return false;
	opens = opens < h->opens ? opens : h->opens;
	h->opens -= opens;
	row->opens -= opens;
	if (!h->opens) {
		*at = h->next;
		free(h);
	}
	return !row->opens;
}

void backing_opens_add(struct backing *b, uint64_t mount, const struct csv_handle *h,
		       uint32_t opens)
{
	struct backing_row *row = backing_row_get(b, h);

	backing_opens_count(b, row, mount, opens);
	backing_row_put(b, row);
}

/*
 * Takes all opens of the mount from rows of one bucket, one row with each call: true and the row,
 * with a reference, if nobody has that open any more.
 */
static struct backing_row *take_next(struct backing *b, size_t bucket, uint64_t mount)
{
	struct backing_row *row;

	pthread_mutex_lock(&b->lock);
	for (row = b->bucket[bucket]; row; row = row->next) {
		if (take_opens(row, mount, UINT32_MAX)) {
			row->refs++;
			break;
		}
	}
	pthread_mutex_unlock(&b->lock);
	return row;
}

static int opens_forget(struct backing *b, uint64_t mount, bool reaps)
{
	struct backing_row *row;
	int r = 0, error;

	for (size_t i = 0; i < BACKING_BUCKETS; i++) {
		while ((row = take_next(b, i, mount))) {
			error = row_closed(b, row, reaps);
			r = r ? r : error;
			backing_row_put(b, row);
		}
	}
	return r;
}

void backing_opens_reset(struct backing *b, uint64_t mount)
{
	(void)opens_forget(b, mount, false);
}

int backing_opens_drop(struct backing *b, uint64_t mount, bool is_serving)
{
	return opens_forget(b, mount, is_serving);
}

/* ---- the two requests */

int backing_open_inode(struct backing_op *o)
{
	uint32_t flags = o->q->open.flags;
	bool is_write = (flags & O_ACCMODE) != O_RDONLY;
	int r = backing_op_path(o, 0);

	if (r)
		return r;
	if (flags & O_PATH) {
		; /* whatever it is: it is kept for one who has looked it up */
	} else if (S_ISDIR(o->inode[0].st.st_mode)) {
		if (is_write)
			return -EISDIR;
	} else {
		if (flags & O_DIRECTORY)
			return -ENOTDIR;
		if (!S_ISREG(o->inode[0].st.st_mode))
			return S_ISLNK(o->inode[0].st.st_mode) ? -ELOOP : -ENXIO;
		/* What XFS itself has against it, an immutable file for example. */
		r = is_write ? backing_op_data(o, 0, true) : 0;
	}
	if (r)
		return r;
	backing_opens_count(o->b, o->inode[0].row, o->mount, 1);
	failpoint(FAIL_OPENED, o->q->op, o->mount);
	return 0;
}

void backing_release(struct backing_op *o)
{
	struct backing *b = o->b;
	struct backing_row *row = backing_row_find(b, &o->q->release.handle);
	bool is_last, reaps;

	if (!row)
		return;
	pthread_mutex_lock(&b->lock);
	is_last = take_opens(row, o->mount, 1);
	reaps = b->is_serving;
	pthread_mutex_unlock(&b->lock);
	failpoint(FAIL_RELEASED, o->q->op, o->mount);
	/* If the orphan cannot be removed, the next coordinator tries again. */
	if (is_last)
		(void)row_closed(b, row, reaps);
	backing_row_put(b, row);
}
