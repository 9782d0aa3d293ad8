/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The place where a volume is mounted, looked at without ever walking into it: what is asked there
 * could wait for the process that asks.
 */
#ifndef CSVFS_EDGE_MOUNT_POINT_H
#define CSVFS_EDGE_MOUNT_POINT_H

#include <stddef.h>

#define MOUNT_POINT_MAX 512 /* a path, with the NUL */

/*
 * The path without symbolic links in front of its last component, which is a directory that
 * nothing is mounted on. 0; -EBUSY: what is mounted there is in `why`; -ENOTDIR; -errno.
 */
int mount_point_resolve(const char *path, char *ret, size_t cap, char *why, size_t why_cap);
/* 0; -EBUSY; -EINVAL: nothing is mounted there. */
int mount_point_unmount(const char *path);
/*
 * Takes it out of the tree, and ends what the kernel waits for there (MNT_FORCE): not even a
 * process that is killed leaves such a wait by itself.
 */
int mount_point_detach(const char *path);
/* Up to 3 processes, or mounts, that keep it busy, as words for a person; empty if none is found.
 */
void mount_point_users(const char *path, char *ret, size_t cap);

#endif
