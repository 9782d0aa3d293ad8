/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume for tests of the backing: an XFS of its own, in a sparse file in a temporary folder, on
 * a loop device that goes with its last user, mounted in a mount namespace that nobody else sees.
 */
#ifndef TESTS_UNIT_BACKING_FIXTURE_H
#define TESTS_UNIT_BACKING_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/edge/backing.h"

#define VOLUME_MOUNTS  16  /* numbers of mounts: below */
#define VOLUME_LIMIT_S 300 /* a test that lasts longer hangs */

struct volume {
	char dir[64], image[96], at[96], loop[32];
	int image_fd, loop_fd;
	bool is_mounted;
	uint64_t seq[VOLUME_MOUNTS][CSV_SLOTS];
	struct csv_handle root;
	struct backing *b; /* NULL: closed */
};

/* NULL, or why there can be no volume here. Once, before all others: a namespace of its own. */
const char *volume_begin(void);

/* A new file system, mounted and opened, in the phase that comes after recovery. */
int volume_setup(void **state);
int volume_teardown(void **state);

void volume_open(struct volume *v);  /* mounts, and opens without backing_reap() */
void volume_close(struct volume *v); /* closes and unmounts, at once */
/* The disk fails from now on; what the log does not hold yet is lost. */
void volume_stop(struct volume *v);
/* The power goes, and comes back: stops, closes, opens. */
void volume_crash(struct volume *v);
/* Writes all that there is to disk. */
void volume_sync(const struct volume *v);
/* Closes, and xfs_repair finds nothing. */
void volume_check(struct volume *v);
/* A descriptor of a path below the root of the mounted XFS, past the backing. */
int volume_peek(const struct volume *v, const char *path, int flags);

/* ---- requests, by root, of mount 1 in slot 0 where nothing else is said */

struct csv_request ask_lookup(struct csv_handle parent, const char *name);
struct csv_request ask_getattr(struct csv_handle h);
struct csv_request ask_setattr(struct csv_handle h, uint32_t valid);
struct csv_request ask_readlink(struct csv_handle h);
struct csv_request ask_mknod(struct csv_handle parent, const char *name, uint32_t mode,
			     uint64_t rdev);
struct csv_request ask_mkdir(struct csv_handle parent, const char *name, uint32_t mode);
struct csv_request ask_create(struct csv_handle parent, const char *name, uint32_t mode,
			      bool is_exclusive);
struct csv_request ask_symlink(struct csv_handle parent, const char *name, const char *target);
struct csv_request ask_unlink(struct csv_handle parent, const char *name);
struct csv_request ask_rmdir(struct csv_handle parent, const char *name);
struct csv_request ask_rename(struct csv_handle parent, const char *name,
			      struct csv_handle new_parent, const char *new_name, uint32_t flags);
struct csv_request ask_link(struct csv_handle h, struct csv_handle new_parent,
			    const char *new_name);
struct csv_request ask_open(struct csv_handle h, uint32_t flags);
struct csv_request ask_release(struct csv_handle h);
struct csv_request ask_read(struct csv_handle h, uint64_t offset, uint32_t size);
struct csv_request ask_write(struct csv_handle h, uint64_t offset, uint32_t flags, const void *data,
			     size_t len);
struct csv_request ask_fsync(struct csv_handle h);
struct csv_request ask_readdir(struct csv_handle h, uint64_t offset, uint32_t size,
			       bool wants_attr);
struct csv_request ask_statfs(struct csv_handle h);
struct csv_request ask_setxattr(struct csv_handle h, const char *name, uint32_t flags,
				const void *value, size_t len);
struct csv_request ask_getxattr(struct csv_handle h, const char *name, uint32_t size);
struct csv_request ask_listxattr(struct csv_handle h, uint32_t size);
struct csv_request ask_removexattr(struct csv_handle h, const char *name);
struct csv_request ask_fallocate(struct csv_handle h, uint32_t mode, uint64_t offset,
				 uint64_t length);
struct csv_request ask_lseek(struct csv_handle h, uint64_t offset, uint32_t whence);
struct csv_request ask_copy_range(struct csv_handle from, uint64_t from_offset,
				  struct csv_handle to, uint64_t to_offset, uint64_t length);

/* ---- executing; a reply's bytes live until this thread's next request */

/* As new, in a slot of a mount. The error of the reply. */
int volume_do(struct volume *v, uint64_t mount, uint16_t slot, struct csv_request q,
	      struct csv_reply *ret);
/* It must succeed: its reply. */
struct csv_reply ok(struct volume *v, struct csv_request q);
/* The error. */
int err(struct volume *v, struct csv_request q);
/* The error, and for another mount. */
int err_of(struct volume *v, uint64_t mount, struct csv_request q);

/* The entry's handle; it must be there. */
struct csv_handle handle_at(struct volume *v, struct csv_handle parent, const char *name);
/* A new file with that content, not open. */
struct csv_handle file_with(struct volume *v, struct csv_handle parent, const char *name,
			    const char *content);
struct csv_handle dir_at(struct volume *v, struct csv_handle parent, const char *name);
struct csv_attr attr_of(struct volume *v, struct csv_handle h);
void assert_content(struct volume *v, struct csv_handle h, const char *content);
void assert_same(struct csv_handle a, struct csv_handle b);

#endif
