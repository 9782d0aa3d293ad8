/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of a share witness, as doc/format-witness.md has them. Part of the process that does
 * the I/O (witness_io.c): everything here may block for as long as the share does.
 *
 * Every read opens its file anew, past the page cache where the file system allows that: so a
 * client of NFS asks its server (close-to-open). No names are listed and none is looked up that was
 * not there from the beginning: what a client believes to be missing it may believe for a minute.
 * No lock of the share is needed: only this node's processes write its file, and they exclude each
 * other by a lock on a local one.
 */
#ifndef CLUSTERD_EDGE_WITNESS_SHARE_H
#define CLUSTERD_EDGE_WITNESS_SHARE_H

#include "clusterd/edge/witness_link.h"

struct witness_share {
	const char *path; /* of the folder */
	const char *lock; /* of the local file that is locked before this node's file is written */
	uint8_t slot;
	int lock_fd; /* -1: not locked */
	bool is_known;
	struct witness_header header;
	uint8_t *block; /* aligned, WITNESS_BLOCK bytes */
};

/* Does what is asked; 0, or -errno with a text in `a`. */
int witness_share_serve(struct witness_share *s, const struct witness_request *q,
			struct witness_answer *a);
/* It may be another one when it is back. The lock stays. */
void witness_share_forget(struct witness_share *s);

#endif
