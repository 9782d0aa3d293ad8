/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's file system: executes requests on the private XFS mount, each change exactly
 * once (csvfs/core/change.h), and lets nothing be seen before the log holds it.
 *
 * Below the root of the XFS, `.csv` is ours: sessions/<mount>/<slot> has the record of each slot of
 * a mount (an extended attribute), orphans/<ino>.<gen> the inodes that were unlinked while somebody
 * had them open, undo/<ino>.<gen> what files were before something that is under way; reserve keeps
 * some blocks for these. It is seen by nobody: as a name in the root it is not there (ENOENT) and
 * cannot be made (EACCES), the handles of what lies below are stale (ESTALE).
 *
 * An inode that is gone gives ESTALE; ENOENT to all while somebody still has it open, which only a
 * directory can be. CREATE that is not exclusive opens a file that is there if its mode lets the
 * caller read and write it; a directory is EISDIR; all else is ESTALE, upon which the asking kernel
 * looks the name up again and decides (LOOKUP_REVAL). Access lists are not supported (EOPNOTSUPP).
 *
 * Threads: backing_execute() by any number at once, for different slots of a mount; what else there
 * is, by one at a time and never for a mount whose requests execute. Threads that execute get the
 * securebit NO_SETUID_FIXUP; they and the process need the capabilities of root. The process has
 * umask 0 from backing_open() on, /proc mounted, and descriptors for one per slot in use, 256 files
 * and a few for each thread.
 */
#ifndef CSVFS_EDGE_BACKING_H
#define CSVFS_EDGE_BACKING_H

#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/proto.h"

struct backing;
struct grants;
struct promises;

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
/*
 * Once, before anything executes: files may be granted, at LUN addresses that are those of the file
 * system plus data_start. Borrowed until backing_close().
 */
void backing_set_grants(struct backing *b, struct grants *grants, uint64_t data_start);
/* The same of what mounts may keep in memory. */
void backing_set_promises(struct backing *b, struct promises *promises);
/* Nothing of this file is granted any more. */
void backing_settled(struct backing *b, const struct csv_handle *h);
/* Nothing executes. Closes every descriptor, so that the file system can be unmounted. Takes NULL.
 */
void backing_close(struct backing *b);
/* Its root directory: for one who ends the file system, in tests. */
int backing_root_fd(const struct backing *b);
struct csv_handle backing_root(const struct backing *b);

/*
 * Does it, waits until what the answer tells is durable, and answers: bytes in *ret lie in buf,
 * which has CSV_FRAME_MAX. Errors of the operation are in ret->error; EPROTO: the slot's record is
 * of another operation. A query (mode is of no account) may be done any number of times. Returns 0,
 * or -EIO when the disk does not take what must be there: the coordinator ends, nothing is answered
 * from then on; or -ECANCELED: grants_stop() came first, nothing was done and nothing is answered.
 */
int backing_execute(struct backing *b, uint64_t mount, const struct csv_request *q,
		    enum backing_mode mode, struct csv_reply *ret, void *buf);

/*
 * Calls `found` for each record of each mount that has a directory. 0 or -errno; -EBADMSG: there is
 * a record that cannot be read.
 */
int backing_records(struct backing *b,
		    void (*found)(void *arg, uint64_t mount, uint16_t slot, uint64_t seq,
				  bool is_done),
		    void *arg);
/* Calls `found` for each mount that has a directory of records; it may drop that one. 0 or -errno.
 */
int backing_mounts(struct backing *b, void (*found)(void *arg, uint64_t mount), void *arg);

/* The mount's opens, as it tells them itself; reset first forgets those known so far. */
void backing_opens_reset(struct backing *b, uint64_t mount);
void backing_opens_add(struct backing *b, uint64_t mount, const struct csv_handle *h,
		       uint32_t opens);
/*
 * The mount has ended: its records and opens go and, is_serving, orphans that only it had open.
 * 0, or -errno and it may be repeated.
 */
int backing_drop(struct backing *b, uint64_t mount, bool is_serving);
/*
 * All have reclaimed and resent: from now on it serves. Orphans that nobody has open go; until
 * then, whatever loses its last name becomes one. Once; requests may execute. 0 or -errno.
 */
int backing_reap(struct backing *b);

#endif
