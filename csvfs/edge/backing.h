/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's file system: executes requests on the private XFS mount, each change exactly
 * once (csvfs/core/change.h), and lets nothing be seen before the log holds it.
 *
 * Below the root of the XFS, `.csv` is ours and seen by nobody: sessions/<mount>/<slot> has one
 * record for each slot of a mount (an extended attribute), orphans/<ino>.<gen> the inodes that were
 * unlinked while somebody had them open, undo/<ino>.<gen> what files were before something that is
 * under way; reserve keeps some blocks for these.
 *
 * Threads: backing_execute() by any number at once, for different slots of a mount; what else there
 * is, by one at a time and never for a mount whose requests execute.
 */
#ifndef CSVFS_EDGE_BACKING_H
#define CSVFS_EDGE_BACKING_H

#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/proto.h"

struct backing;

enum backing_mode {
	BACKING_NEW,	/* not seen before */
	BACKING_REDO,	/* its intent is on disk: it may have happened or not */
	BACKING_REPLAY, /* its result is on disk: that is the answer */
};

/*
 * Takes the mounted XFS whose root is the directory root_fd (kept; the caller may close its own).
 * 0 and owned; -errno with a text for the administrator.
 */
int backing_open(int root_fd, struct backing **ret, char *text, size_t text_size);
/* Nothing executes. Closes every descriptor, so that the file system can be unmounted. Takes NULL.
 */
void backing_close(struct backing *b);
struct csv_handle backing_root(const struct backing *b);

/*
 * Does it, waits until what the answer tells is durable, and answers: bytes in *ret lie in buf,
 * which has CSV_FRAME_MAX. Errors of the operation are in ret->error. Returns 0, or -EIO when the
 * disk does not take what must be there: the coordinator ends, nothing is answered.
 */
int backing_execute(struct backing *b, uint64_t mount, const struct csv_request *q,
		    enum backing_mode mode, struct csv_reply *ret, void *buf);

/* Calls `found` for each record of each mount that has a directory. 0 or -errno. */
int backing_records(struct backing *b,
		    void (*found)(void *arg, uint64_t mount, uint16_t slot, uint64_t seq,
				  bool is_done),
		    void *arg);
/* Calls `found` for each mount that has a directory of records. 0 or -errno. */
int backing_mounts(struct backing *b, void (*found)(void *arg, uint64_t mount), void *arg);

/* The mount's opens, as it tells them itself; reset first forgets those known so far. */
void backing_opens_reset(struct backing *b, uint64_t mount);
void backing_opens_add(struct backing *b, uint64_t mount, const struct csv_handle *h,
		       uint32_t opens);
/* The mount has ended: its records and opens go, and orphans that only it had open, if is_serving.
 */
int backing_drop(struct backing *b, uint64_t mount, bool is_serving);
/* All have reclaimed and resent: orphans that nobody has open go. 0 or -errno. */
int backing_reap(struct backing *b);

#endif
