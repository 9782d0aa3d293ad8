/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator of one volume, as a process of its own: writes its term to the LUN, mounts the
 * XFS where nobody else can see it, serves it to the mounts, and leaves nothing mounted behind when
 * it is told to stop, when its quorum lease ends, or when the disk fails it.
 */
#ifndef CSVFS_EDGE_COORDINATE_H
#define CSVFS_EDGE_COORDINATE_H

/* `csvfsd coordinate …`; argv[0] is the role. Returns the exit code. */
int csv_coordinate_main(int argc, char **argv);

#endif
