/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file system that a node's kernel sees: each operation is a request to the coordinator
 * (csvfs/edge/client.h). Nothing is kept: the kernel's timeouts of names and attributes are 0,
 * and regular files are opened FOPEN_DIRECT_IO, so that what one node has done the others see.
 *
 * libfuse's low-level API; no type of it leaves csvfs/edge/fuse*.
 */
#ifndef CSVFS_EDGE_FUSE_H
#define CSVFS_EDGE_FUSE_H

#include "csvfs/edge/client.h"
#include "csvfs/edge/datapath.h"
#include "csvfs/edge/locks.h"

struct csv_fs;

struct csv_fs_options {
	const char *mount_point;
	struct client *client;	   /* outlives it */
	struct datapath *datapath; /* outlives it; NULL: all goes to the coordinator */
	struct mount_cache *cache; /* the same; NULL: nothing is kept */
	struct locks *locks;	   /* outlives it; NULL: there are no file locks (ENOLCK) */
	uint64_t mount;		   /* incarnation */
	/*
	 * What was mounted by fuse_device_mount() (csvfs/edge/fuse_device.h), and what outlives the
	 * process, in which there may be what an earlier one had. Both are the caller's, who closes
	 * the descriptor after csv_fs_close().
	 */
	int device;
	int teller; /* socket to csvfs/edge/teller.h */
	struct keep *keep;
};

/* The kernel's requests wait for csv_fs_serve(). Returns 0 and owned, or -errno. */
int csv_fs_open(const struct csv_fs_options *options, struct csv_fs **ret);
/*
 * Serves the kernel's requests with threads of its own until nothing is mounted any more. Returns
 * 0, or -errno when it cannot go on.
 */
int csv_fs_serve(struct csv_fs *fs);
/*
 * Nothing more is begun, and what was begun has ended: 0, and the process may end, for another one
 * to go on. -ETIMEDOUT: not in that time, and it goes on here; but if the kernel would send again
 * what has no answer, it is 0 all the same.
 */
int csv_fs_hand_over(struct csv_fs *fs, unsigned int timeout_ms);
/* After csv_fs_serve() has returned, or instead of it. Takes it out of the tree. */
void csv_fs_close(struct csv_fs *fs);

/* Will this thread end as soon as it returns to user space? True also if that cannot be told. */
bool signal_ends(pid_t thread);

#endif
