/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Undoing what XFS does in more than one transaction. Collapsing and inserting a range move one
 * extent after the other, and inserting sets the new size first: after a crash, a file has some of
 * its extents at the old and some at the new place, and its size tells nothing.
 *
 * So a clone of the file is made before, as .csv/undo/<ino>.<gen>, and removed after. The log is
 * ordered: with a clone there, the operation may have been done in part, and its done mark is not
 * on disk; without, it has not begun or is complete. A new coordinator puts back what was before,
 * and only then looks at what is sent again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/cleanup.h"

#define UNFINISHED "unfinished" /* a clone that is being made, of nobody's use; prefix */

static void unfinished_name(const char *name, char ret_name[2 * BACKING_ORPHAN_MAX])
{
	snprintf(ret_name, 2 * BACKING_ORPHAN_MAX, UNFINISHED ".%s", name);
}

static int make(struct backing *b, int source_fd, const char *unfinished, const char *name)
{
	_cleanup_close_ int fd = openat(b->undo_fd, unfinished,
					O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : backing_row_pin(b, fd, "");

	if (r)
		return r;
	if (ioctl(fd, FICLONE, source_fd) || renameat(b->undo_fd, unfinished, b->undo_fd, name))
		return -errno;
	return 0;
}

static void drop(struct backing *b, const char *name)
{
	backing_row_unpin(b, b->undo_fd, name);
	unlinkat(b->undo_fd, name, 0);
}

int backing_undo_make(struct backing *b, const struct csv_handle *h, int source_fd)
{
	char name[BACKING_ORPHAN_MAX], unfinished[2 * BACKING_ORPHAN_MAX];
	int r;

	backing_orphan_name(h, name);
	unfinished_name(name, unfinished);
	r = make(b, source_fd, unfinished, name);
	if (r)
		drop(b, unfinished);
	return r;
}

int backing_undo_drop(struct backing *b, const struct csv_handle *h)
{
	char name[BACKING_ORPHAN_MAX];

	backing_orphan_name(h, name);
	backing_row_unpin(b, b->undo_fd, name);
	return unlinkat(b->undo_fd, name, 0) ? -errno : 0;
}

static int put_back(int undo_fd, int fd)
{
	struct stat st;

	if (fstat(undo_fd, &st) || ftruncate(fd, st.st_size) || ioctl(fd, FICLONE, undo_fd))
		return -errno;
	return 0;
}

static int undo(struct backing *b, struct backing_row *row)
{
	char name[BACKING_ORPHAN_MAX];
	_cleanup_close_ int undo_fd = -1, fd = -1;
	int r = 0;

	backing_orphan_name(&row->handle, name);
	undo_fd = openat(b->undo_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (undo_fd < 0)
		return -errno;
	fd = backing_handle_open(b, &row->handle, O_RDWR);
	if (fd >= 0) {
		r = put_back(undo_fd, fd);
	} else if (fd != -ESTALE) {
		r = fd;
	}
	return r ? r : backing_undo_drop(b, &row->handle);
}

int backing_undo_all(struct backing *b)
{
	return backing_for_each_inode(b, b->undo_fd, undo);
}
