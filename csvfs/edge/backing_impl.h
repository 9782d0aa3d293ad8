/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the backing share. Nobody else includes this.
 *
 *   backing.c          open, close, which request goes where
 *   backing_session.c  directories, slots and records of mounts
 *   backing_opens.c    who has what open, orphans
 *   backing_inode.c    the table of inodes, their descriptors, the log force
 *   backing_undo.c     what XFS does in several transactions
 *   backing_op.c       one request: which inodes it touches, their locks
 *   backing_change.c   one change: its steps
 *   backing_names.c    operations on names   backing_io.c    on data
 *   backing_attr.c     on attributes         backing_dir.c   on directories
 *   backing_grant.c    what nodes do to files by themselves
 *   backing_promise.c  what mounts keep in memory
 *   backing_range.c    bytes of files, for what writes in place
 *   backing_space.c    what a full volume keeps for what empties it
 *
 * Order of locks: inodes by (ino, gen), all of a request's at once and no second time; then
 * backing.mounts_lock or backing.order; then backing.lock, backing.range_lock or
 * backing.force.lock, all innermost. Ranges are waited for with the inode locked for reading, and
 * nothing else.
 */
#ifndef CSVFS_EDGE_BACKING_IMPL_H
#define CSVFS_EDGE_BACKING_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "csvfs/core/change.h"
#include "csvfs/core/record.h"
#include "csvfs/edge/backing.h"
#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/grants.h"
#include "csvfs/edge/promises.h"

#define BACKING_BUCKETS 8192
#define BACKING_KEPT_FDS                                                                           \
	256		      /* data descriptors that outlive a request; past that, none is kept  \
			       */
#define BACKING_PROC_MAX   32 /* "/proc/self/fd/N" */
#define BACKING_ORPHAN_MAX 40 /* "<ino>.<gen>" */
#define BACKING_XATTR	   "trusted.csv" /* trusted: XFS takes it from its reserve when it is full */
#define BACKING_HAPPENED   1		 /* of a look: it is repeated, and has happened */

/* Bytes of a file, from one offset to before the other. */
struct backing_range {
	struct backing_range *next;
	uint64_t from, to;
	bool is_write;
	/* Of a write, for backing_flush(): */
	bool is_written; /* the kernel has it */
	bool is_covered; /* by the flush that is under way */
	bool is_flushed;
	int error; /* of a flush since it began; 0 */
};

/* How often a mount has an inode open. */
struct backing_holder {
	struct backing_holder *next;
	uint64_t mount;
	uint32_t opens;
};

/*
 * An inode that a request touches, that somebody has open, or that has another reason to be known.
 * `lock` is held for reading by what looks at the inode, for writing by what changes it. What
 * writes in whole blocks within the file, where they are, holds it for reading, too, and its bytes
 * for itself alone; what reads data holds these with others that read. So such writes go side by
 * side.
 */
struct backing_row {
	struct backing_row *next; /* in its bucket */
	struct csv_handle handle;
	pthread_rwlock_t lock;
	uint32_t refs;	/* the rest: under backing.lock */
	uint32_t opens; /* of all holders */
	struct backing_holder *holders;
	int data_fd[2];	     /* [is it for writing]; kept while it is open, -1: none */
	atomic_bool is_ours; /* below .csv: refused */
	bool is_orphan; /* has a link in .csv/orphans; changed only under `lock` for writing, too */
	_Atomic uint64_t change; /* ticket of the last change: visible when that is forced */
	/* Under backing.range_lock: */
	struct backing_range *ranges; /* that are held */
	/* What has changed it under a lock for reading: so far, and under way. */
	uint64_t writes;
	uint32_t writing;
	bool is_flushing; /* one of the writes in place does it for all */
};

/* A mount's directory of records. A slot's descriptor is touched by the slot's request only. */
struct backing_mount {
	struct backing_mount *next;
	uint64_t id;
	int dir_fd;
	int slot_fd[CSV_SLOTS];
};

/* Tickets are numbered in the order in which their done marks are in the log. */
struct backing_force {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t newest; /* ticket */
	int newest_fd;	 /* of the slot with its done mark */
	uint64_t forced; /* all tickets up to this one are in the log, on disk */
	bool is_forcing; /* somebody does it for all */
};

struct backing {
	int root_fd, csv_fd, sessions_fd, orphans_fd, undo_fd;
	int look_fd; /* of a file, by which is seen whether the XFS is down */
	struct csv_handle root;
	pthread_mutex_t space_lock; /* innermost */
	uint64_t claimed;	    /* bytes: see backing_space.c */
	atomic_bool is_halted;	    /* the disk failed: nothing is answered any more */
	struct backing_force force;
	pthread_mutex_t order; /* held from the done mark to its ticket */
	pthread_mutex_t mounts_lock;
	struct backing_mount *mounts;
	pthread_mutex_t lock;
	pthread_mutex_t range_lock;
	pthread_cond_t range_free; /* some range */
	pthread_cond_t flushed;	   /* some file: the writes in place */
	pthread_rwlockattr_t row_attr;
	bool is_serving; /* all opens are known */
	size_t kept_fds;
	struct backing_row *bucket[BACKING_BUCKETS];
	struct grants *grants;	   /* NULL: everything goes through here */
	uint64_t data_start;	   /* of the file system on the LUN */
	struct promises *promises; /* NULL: nothing is promised */
#ifdef CSVFS_INJECT
	enum change_step stop_after;
#endif
};

/* IN_PLACE: see struct backing_row. */
enum backing_access { BACKING_NOT, BACKING_READ, BACKING_IN_PLACE, BACKING_WRITE };

/* An inode that the request names by its handle. */
struct backing_inode {
	struct backing_row *row;
	enum backing_access access;
	int path_fd;	/* O_PATH; -1: not opened yet */
	struct stat st; /* since path_fd or data_fd is there */
	int data_fd;	/* -1: not opened yet */
	bool is_kept;	/* data_fd is the row's */
};

/* A name in a directory, and the inode that it stands for. */
struct backing_name {
	struct backing_row *dir;
	enum backing_access dir_access;
	int dir_fd; /* O_PATH */
	const char *text;
	struct csv_handle child; /* ino 0: there is no such name */
	struct backing_row *child_row;
	enum backing_access child_access;
};

struct backing_lock {
	struct backing_row *row;
	bool is_write;
	bool is_change;	 /* or in place */
	uint64_t writes; /* of the row, when it was locked */
	bool is_broken;	 /* what others than `except` were promised of it is being collected */
	uint64_t except;
};

/* One request while it executes. */
struct backing_op {
	struct backing *b;
	uint64_t mount;
	const struct csv_request *q;
	struct csv_reply *reply;
	uint8_t *buf; /* CSV_FRAME_MAX */
	int error;    /* negative, found while it was locked: this is the answer */
	size_t inode_count, name_count, lock_count;
	struct backing_inode inode[2];
	struct backing_name name[2];
	struct backing_lock lock[4];
	struct backing_range range; /* of inode[0] */
	bool is_ranged, is_unsteady;
	uint64_t wait;		       /* ticket that must be forced before the answer */
	struct csv_handle recalled[2]; /* ino 0: none */
	bool must_recall;	       /* a write that does not stay in place */
	bool is_contended;	       /* a grant that another one had for himself */
	/* Data of it has not reached the disk, or may not: all who have it open must know. */
	struct csv_handle lost;
	int lost_error;
	bool is_cancelled; /* the coordinator stops: nothing was begun */
	uint64_t claimed;  /* of the free space, until it has ended */
	/* A change only: */
	bool is_redo;
	int slot_fd;
	struct record record; /* is_redo: as the disk has it */
	struct backing_row *made;
};

/* ---- backing_inode.c */

/* The row of an inode, with a reference more; makes it. Never NULL. */
struct backing_row *backing_row_get(struct backing *b, const struct csv_handle *h);
/* NULL if there is no row. */
struct backing_row *backing_row_find(struct backing *b, const struct csv_handle *h);
/* Takes NULL. The row goes when nothing speaks for it. */
void backing_row_put(struct backing *b, struct backing_row *row);
bool backing_row_is_open(struct backing *b, struct backing_row *row);
/* Closes the row's data descriptors; under backing.lock. */
void backing_row_forget_fds(struct backing *b, struct backing_row *row);
void backing_rows_free(struct backing *b);
/* Refuses what lies there from now on. */
int backing_row_pin(struct backing *b, int fd, const char *name);
void backing_row_unpin(struct backing *b, int fd, const char *name);

/* A descriptor or -errno: -ESTALE if there is no such inode. */
/* Seen at once, without I/O. */
bool backing_xfs_is_down(const struct backing *b);
int backing_handle_open(const struct backing *b, const struct csv_handle *h, int flags);
/* The inode that a name in a directory stands for, or with "" the descriptor itself. */
int backing_handle_of(int fd, const char *name, struct csv_handle *ret);
void backing_proc_path(int fd, char ret_path[BACKING_PROC_MAX]);
/* The attributes as the volume shows them. The row is locked. */
void backing_attr_of(const struct backing *b, const struct backing_row *row, const struct stat *st,
		     struct csv_attr *ret);

/* Writes the done mark and takes a ticket. */
int backing_force_done(struct backing *b, int slot_fd, const void *record, size_t len,
		       uint64_t *ret_ticket);
/* Waits until it is in the log. 0, or -EIO: it will never be. */
int backing_force_wait(struct backing *b, uint64_t ticket);

/* ---- backing_op.c */

void backing_op_init(struct backing_op *o, struct backing *b, uint64_t mount,
		     const struct csv_request *q, struct csv_reply *reply, void *buf);
/* Locks all that the request touches; what goes wrong is in o->error. */
void backing_op_lock(struct backing_op *o);
/* Of inodes only: unlocks all, and locks it for writing. It may have changed in between. */
void backing_op_relock(struct backing_op *o);
/* Notes what must be forced before the answer. */
void backing_op_unlock(struct backing_op *o);
void backing_op_done(struct backing_op *o);
/* Opens o->inode[i] by its handle, O_PATH, and looks at it. 0 or -errno. */
int backing_op_path(struct backing_op *o, size_t i);
/* Opens its data and looks at it. 0 or -errno. */
int backing_op_data(struct backing_op *o, size_t i, bool is_write);

/* ---- backing_range.c */

static inline bool backing_is_block(uint64_t n)
{
	return n % CSV_GRANT_BLOCK == 0;
}

/* By what the request says; whether it lies in the file is seen when that is locked. */
bool backing_stays_in_place(const struct csv_op_write *q);
/* It changes nothing else of the file either: it may go side by side with others. */
bool backing_may_stay(const struct csv_op_write *q);
/* With the locks, and before they go. */
void backing_range_take(struct backing_op *o);
void backing_range_give(struct backing_op *o);
/* Its inode changes, though it is locked for reading only: until it is unlocked. */
void backing_unsteady(struct backing_op *o);
/* Since the request has locked this inode, nothing was written to it in place, nor is. */
bool backing_is_steady(struct backing_op *o, const struct csv_handle *h);
/* Does it write in place, and share its flush with others? Else it writes with RWF_DSYNC. */
bool backing_is_grouped(const struct backing_op *o, bool is_direct);
/* All that it has written is on disk: 0; or -errno, of a flush that may have been for it. */
int backing_flush(struct backing_op *o, int fd);

/* ---- backing_session.c */

int backing_mounts_load(struct backing *b);
void backing_mounts_free(struct backing *b);
/* The descriptor of a slot's record (borrowed), or -errno. Makes it. */
int backing_slot(struct backing *b, uint64_t mount, uint16_t slot);
int backing_record_store(int slot_fd, const struct record *r);
/* -ENODATA: there is none. */
int backing_record_load(int slot_fd, struct record *ret);

/* ---- backing_opens.c */

void backing_opens_count(struct backing *b, struct backing_row *row, uint64_t mount,
			 uint32_t opens);
int backing_opens_drop(struct backing *b, uint64_t mount, bool is_serving);
void backing_orphan_name(const struct csv_handle *h, char ret_name[BACKING_ORPHAN_MAX]);
/* Calls `each` for every inode that an entry of the directory names like an orphan. */
int backing_for_each_inode(struct backing *b, int dir_fd,
			   int (*each)(struct backing *b, struct backing_row *row));
int backing_orphans_load(struct backing *b);
/*
 * The name is about to take the inode's last link: gives it one in .csv/orphans if somebody may
 * have it open. The child is locked for writing. 0 or -errno; *ret_made: there is one link more.
 */
int backing_orphan_keep(struct backing *b, const struct backing_name *n, const struct stat *st,
			bool *ret_made);
/*
 * The name is about to take a directory away: who has it open keeps it until the last close,
 * without entries, as long as this coordinator lives; with the next one it is ENOENT.
 */
void backing_dead_keep(struct backing *b, const struct backing_name *n);
/* It has not been unlinked after all. */
void backing_orphan_undo(struct backing *b, const struct backing_name *n);
int backing_open_inode(struct backing_op *o);
void backing_release(struct backing_op *o);

/* ---- backing_space.c */

/*
 * Before a request that is not repeated is begun: is there room for so much data, at that place of
 * the file (fd -1: wherever), or for a name or an attribute? 0 or -ENOSPC.
 */
int backing_space_data(struct backing_op *o, int fd, uint64_t offset, uint64_t length);
int backing_space_name(struct backing_op *o);
void backing_space_end(struct backing_op *o);
/* Bytes that are free and not for data. */
uint64_t backing_space_kept(void);

/* ---- backing_undo.c */

/* Before and after what cannot be done in one transaction. 0 or -errno. */
int backing_undo_make(struct backing *b, const struct csv_handle *h, int source_fd);
int backing_undo_drop(struct backing *b, const struct csv_handle *h);
/* Puts back all that has not ended. */
int backing_undo_all(struct backing *b);

/* ---- backing_grant.c; all but backing_is_direct() with grants there */

/* Before the locks: what the request needs back, and until the end of it. 0 or -ECANCELED. */
int backing_recall(struct backing_op *o);
void backing_recall_end(struct backing_op *o);
/* All is locked: something of what it needs is out. */
bool backing_is_out(struct backing_op *o);
/* Without locks: what the holders know and the file system does not. 0, -ECANCELED or -errno. */
int backing_ask(struct backing_op *o);
/* A flush of inode[i] has failed, so all who have it open will be told. Returns the error. */
int backing_lost(struct backing_op *o, size_t i, int error);
/* The same of a write that was to be on disk at once: some of its errors say so. */
int backing_lost_write(struct backing_op *o, int error);
/* Is the error that of the whole file system? Then this coordinator answers no more. */
bool backing_is_down(struct backing *b, int error);
void backing_touch(struct backing *b, struct backing_row *row);
/* The file is out: its data is read and written past the page cache. It is locked. */
bool backing_is_direct(struct backing_op *o);
int backing_read_direct(struct backing_op *o);
int backing_write_direct(struct backing_op *o, size_t *ret_done);

/* ---- backing_promise.c */

/* All is locked: tells the others what the request is about to change. */
void backing_break(struct backing_op *o);
/* Before anything is unlocked: waits until they know. */
void backing_collect(struct backing_op *o);
/* A query will change the time of access, as relatime says: tells the others. */
void backing_access(struct backing_op *o);
/* The answer is there, and all is still locked: promises the mount what it says, if that can be. */
void backing_promise(struct backing_op *o);

/* ---- backing_change.c */

/* 0; -EIO: nothing is answered; -ECANCELED: nothing was done. */
int backing_change(struct backing_op *o);
#ifdef CSVFS_INJECT
/*
 * Tests only: the next change ends after this step as if the power had gone; CHANGE_STEP_MAX:
 * within DO, after the link in .csv/orphans or the clone in .csv/undo, or with the data there and
 * not the zeros before it. CHANGE_LOCK: none does.
 */
void backing_stop_after(struct backing *b, enum change_step step);
bool backing_stops_after(struct backing *b, enum change_step step);
#else
#define backing_stops_after(b, step) false
#endif

/*
 * ---- Operations. A query answers: 0 or -errno. A change looks: 0, -errno, or BACKING_HAPPENED
 * with the reply filled in; and does it: 0 with the reply filled in, or -errno.
 */
int backing_lookup(struct backing_op *o);
int backing_getattr(struct backing_op *o);
int backing_readlink(struct backing_op *o);
int backing_read(struct backing_op *o);
int backing_fsync(struct backing_op *o);
int backing_readdir(struct backing_op *o);
/* After the directory has been unlocked: attributes for its entries. */
int backing_readdir_attr(struct backing_op *o);
int backing_statfs(struct backing_op *o);
int backing_getxattr(struct backing_op *o);
int backing_listxattr(struct backing_op *o);
int backing_lseek(struct backing_op *o);
int backing_grant(struct backing_op *o);

int backing_setattr_look(struct backing_op *o);
int backing_setattr_do(struct backing_op *o);
int backing_make_look(struct backing_op *o); /* MKNOD MKDIR SYMLINK CREATE */
int backing_make_do(struct backing_op *o);
int backing_unlink_look(struct backing_op *o); /* UNLINK RMDIR */
int backing_unlink_do(struct backing_op *o);
int backing_rename_look(struct backing_op *o);
int backing_rename_do(struct backing_op *o);
int backing_link_look(struct backing_op *o);
int backing_link_do(struct backing_op *o);
int backing_write_look(struct backing_op *o);
int backing_write_do(struct backing_op *o);
int backing_setxattr_look(struct backing_op *o);
int backing_setxattr_do(struct backing_op *o);
int backing_removexattr_look(struct backing_op *o);
int backing_removexattr_do(struct backing_op *o);
int backing_fallocate_look(struct backing_op *o);
int backing_fallocate_do(struct backing_op *o);
int backing_copy_range_look(struct backing_op *o);
int backing_copy_range_do(struct backing_op *o);

/*
 * Clears suid, sgid and capabilities, as a write by one who may not keep them does; NULL: nobody
 * knows who writes. 0 or -errno.
 */
int backing_kill_privileges(const struct csv_caller *c, int fd, const struct stat *st);
bool backing_is_member(const struct csv_caller *c, uint32_t gid);
/* Has the inode this extended attribute? By its name in /proc/self/fd. 1, 0 or -errno. */
int backing_has_xattr(int fd, const char *name);
#define BACKING_ACL_ACCESS  "system.posix_acl_access"
#define BACKING_ACL_DEFAULT "system.posix_acl_default"

#endif
