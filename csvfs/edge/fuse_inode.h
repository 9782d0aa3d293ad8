/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which inodes the kernel knows: node number <-> handle, with the kernel's count of lookups. A
 * number is never given again, so that a stale one cannot mean another file. The root has number 1
 * for ever and is not in the table. Any thread.
 *
 * The table is in what outlives the process (keep.h). A process that is killed may have counted a
 * lookup of which the kernel has not heard: such a row stays until the mount ends.
 */
#ifndef CSVFS_EDGE_FUSE_INODE_H
#define CSVFS_EDGE_FUSE_INODE_H

#include <stdbool.h>
#include <stdint.h>

#include "csvfs/core/proto.h"
#include "csvfs/edge/keep.h"

struct inodes;

/* With what an earlier process had in it. `keep` outlives it. NULL: no memory. */
struct inodes *inodes_new(struct keep *keep);
void inodes_free(struct inodes *t);
/* The number of this handle, looked up once more. */
uint64_t inodes_ref(struct inodes *t, const struct csv_handle *handle);
/* Where the kernel knows a directory: its only name. */
struct inode_place {
	uint64_t parent; /* number */
	struct csv_name name;
};
/* The kernel is told of the directory under this name. True: it knew it under *ret_old. */
bool inodes_place(struct inodes *t, uint64_t number, const struct inode_place *place,
		  struct inode_place *ret_old);
/* `count` lookups less; at none the number is forgotten. */
void inodes_forget(struct inodes *t, uint64_t number, uint64_t count);
/* False: the kernel does not know this number. */
bool inodes_find(struct inodes *t, uint64_t number, struct csv_handle *ret);
uint64_t inodes_count(struct inodes *t);

#endif
