/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a coordinator keeps on disk of the last change that was asked for in a slot of a mount: that
 * it is about to happen and how things stood before, or that it has happened and the answer.
 *
 * All records have the same length, so that the file system replaces one by the next in place:
 * u8 version, u8 is_done, u64 seq, u8 op, a and b (u64 ino, u32 gen), u64 size, the frame of the
 * reply as bytes (none without is_done), zeros. Pure.
 */
#ifndef CSVFS_CORE_RECORD_H
#define CSVFS_CORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/proto.h"

#define RECORD_VERSION 1
#define RECORD_BYTES   192 /* an attribute that XFS keeps within the inode, as it is below 255 */

struct record {
	bool is_done; /* else: intended */
	uint64_t seq;
	enum csv_op op; /* a CHANGE */
	/* How things stood before it; ino 0: nothing was there. */
	struct csv_handle a; /* what the name stood for, or the inode that it is about */
	struct csv_handle b; /* what the second name stood for */
	uint64_t size;	     /* of the file */
	/* The answer, when is_done: of kind NONE, ENTRY, ATTR or COUNT. */
	struct csv_reply reply;
};

/* 0, or -EINVAL for a reply of a kind that does not fit. */
int record_encode(const struct record *r, uint8_t ret_buf[RECORD_BYTES]);
/* 0, or -EBADMSG with *ret untouched. */
int record_decode(const void *buf, size_t len, struct record *ret);

#endif
