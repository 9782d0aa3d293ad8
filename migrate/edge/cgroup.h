/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A control group (version 2) of QEMU's own, below that of vm-host: what makes "every process of
 * this VM" a name that outlives vm-host. No controller is needed, only cgroup.procs, cgroup.kill
 * and cgroup.events, so a hybrid hierarchy does as well. cgroups(7).
 */
#ifndef MIGRATE_EDGE_CGROUP_H
#define MIGRATE_EDGE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#define CGROUP_PATH 512

/*
 * Makes the group `name` below our own. 0 and its path; -errno: none is there that could be
 * written, -ENAMETOOLONG, -ENOENT: no cgroup2 is mounted.
 */
int cgroup_make(const char *name, char ret_path[CGROUP_PATH]);
/* Does anything live in it? False too if it is not there. */
bool cgroup_is_populated(const char *path);
/* SIGKILL to all of it; does not wait. 0 also if it is not there; -errno. */
int cgroup_kill(const char *path);
/* Waits until it is empty, at most timeout_ms. 0, -ETIMEDOUT, -errno. Blocks: not on a loop. */
int cgroup_wait_empty(const char *path, int timeout_ms);
/* Removes an empty group. */
void cgroup_remove(const char *path);
/* Opens cgroup.procs for writing, for a child to join by writing "0". Descriptor or -errno. */
int cgroup_open_procs(const char *path);

#endif
