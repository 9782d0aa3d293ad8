/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `csvfsd mount` is to the rest of the machine: a process that mounts, holds what has to
 * outlive the one that serves (the kernel's descriptor, csvfs/edge/keep.h, the lock file), and
 * starts that one again when it is killed, fails, or is to be another version (SIGHUP). It touches
 * nothing of what is mounted, has one thread and waits for nothing but signals and its child.
 *
 * The next process begins when all of the one before is over, its I/O too: wait(2) says so. When
 * the holder ends, the one that serves is killed, and the mount is over.
 */
#ifndef CSVFS_EDGE_HOLDER_H
#define CSVFS_EDGE_HOLDER_H

#include "csvfs/edge/mount_options.h"

/* How one that serves ends if the mount is not over: another one is to go on, of the program as it
 * is now; or this program cannot go on with what there is. */
#define HOLDER_NEXT   75
#define HOLDER_CANNOT 76

/*
 * Mounts, and holds until it is over. argv: that of the role, for those that serve. `ready` as for
 * process_ready(), -1 in the foreground. Returns the exit status.
 */
int holder_run(const struct mount_options *options, int argc, char **argv, int ready);
/* In one that serves: it does. */
void holder_tell_ready(const struct mount_held *held);

#endif
