/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control groups (cgroup v2, cgroups(7)) for processes that must outlive the one that starts them:
 * whoever stops our service kills all that is in our group.
 */
#ifndef LIB_CGROUP_H
#define LIB_CGROUP_H

#include <stddef.h>
#include <sys/types.h>

#define CGROUP_PATH_MAX 512

/*
 * Puts the process into the group `name` beside our own, which is made if it is not there; its path
 * goes to ret_path (may be NULL). 0; -ENOENT without cgroup v2; -errno: it stays where it is.
 */
int cgroup_put_beside(const char *name, pid_t pid, char *ret_path, size_t size);
/* Removes an empty group beside ours; -EBUSY while somebody is in it. */
int cgroup_remove_beside(const char *name);

#endif
