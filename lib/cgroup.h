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
/*
 * Where our group is that of a service of systemd, moves the calling process into a group `name` in
 * it: then groups beside ours are still the service's, which has to be delegated to it, and end
 * with nothing else. 0, also where there is nothing to do; -errno: it stays where it is.
 */
int cgroup_enter_own(const char *name);
/*
 * Makes the group if it is not there, and opens its list of processes: a process that writes "0"
 * there is in it from then on, with all that it starts. A descriptor; -ENOENT without cgroup v2;
 * -EOPNOTSUPP where the kernel cannot kill a group (before 5.14); -errno.
 */
int cgroup_open_beside(const char *name);
/* SIGKILL to all that is in it; does not wait. 0 also if there is no such group; -errno. */
int cgroup_kill_beside(const char *name);
/* 1: somebody is alive in it; 0: nobody, or there is no such group; -errno: that is not known. */
int cgroup_is_populated_beside(const char *name);
/* Removes an empty group beside ours; -EBUSY while somebody is in it. */
int cgroup_remove_beside(const char *name);

#endif
