/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mount role of csvfsd: one process for each volume and node; csvfs/edge/fuse.h mounts. */
#ifndef CSVFS_EDGE_MOUNT_H
#define CSVFS_EDGE_MOUNT_H

/* `csvfsd mount …`: argv[0] is "mount". Returns the exit status; 0 when it has unmounted. */
int csv_mount_main(int argc, char **argv);

#endif
