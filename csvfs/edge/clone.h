/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of files that share their blocks (reflinks), and the way back: blocks of its own again.
 * Through the mount alone, so they work on every node; on a volume the coordinator shares the
 * blocks (doc/csvfs.md).
 */
#ifndef CSVFS_EDGE_CLONE_H
#define CSVFS_EDGE_CLONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clone_result {
	uint64_t bytes;	       /* size of the file */
	uint64_t shared_bytes; /* blocks that it has: those of its data, all shared, and of its map
				*/
	uint64_t free_bytes; /* so much less is free on the volume than before, by all who wrote */
	uint32_t requests;
	uint32_t ms;
};

struct clone_options {
	bool is_forced;	       /* replaces what exists */
	const char *temporary; /* its name until it is whole; NULL: a random one beside it */
	const char *mark;      /* put on it as CLONE_MARK before it gets its name; NULL: none */
};

#define CLONE_MARK "user.clusterd.job"

/*
 * Makes `to` a copy of `from`, with its mode, and its owner and group where the caller may give
 * them; times are new, extended attributes are left out. It appears under its name when it is
 * whole: until then it is `.NAME.clone-NUMBER` beside it. What exists is replaced with `is_forced`
 * only. Who writes to `from` meanwhile may find one piece before, and the next one after his write.
 * 0, or -errno with a text, and then there is nothing new: -EEXIST; -EINTR: a signal of
 * progress_begin(); -ESTALE: `from` was cut meanwhile ...
 */
int clone_file(const char *from, const char *to, const struct clone_options *options,
	       struct clone_result *ret, char *text, size_t text_size);

/*
 * Gives the file blocks of its own where it shares them; what it says does not change, whoever
 * writes to it meanwhile. How much was looked at goes to *ret_bytes, of a failure, too: another
 * call goes on. -ENOTTY: that is no file of a volume; -ENOSPC ...
 */
int unshare_file(const char *path, uint64_t *ret_bytes, char *text, size_t text_size);

#endif
