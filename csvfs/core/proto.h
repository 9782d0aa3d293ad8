/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a mount and the coordinator of its volume say to each other, over TLS. One list per frame
 * and per operation gives the struct, the encoder, the decoder and the round-trip test
 * (doc/format-csv.md has the bytes).
 *
 * On the wire: u32 length of what follows, u16 type, body; lib/wire.h. A decoder yields a valid
 * object or nothing, and what it yields encodes to the same bytes again. Numbers are never used
 * again. Pure; any thread on objects of its own.
 */
#ifndef CSVFS_CORE_PROTO_H
#define CSVFS_CORE_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_PROTOCOL	 4
#define CSV_UUID_BYTES	 16
#define CSV_NAME_MAX	 256		/* with the NUL; XFS: 255 bytes */
#define CSV_PATH_MAX	 4096		/* target of a symbolic link, with the NUL */
#define CSV_XATTR_MAX	 65536		/* value of an extended attribute, attr(5) */
#define CSV_IO_MAX	 (1024u * 1024) /* data of one READ or WRITE */
#define CSV_FRAME_MAX	 (CSV_IO_MAX + 8192)
#define CSV_FRAME_PREFIX 4		/* the length in front of a frame */
#define CSV_GROUPS_MAX	 64		/* supplementary groups sent along with a creation */
#define CSV_SLOTS	 64		/* requests of one mount that may be under way */
#define CSV_GRANT_BLOCK	 4096		/* direct I/O is a multiple of it: block size of the XFS */
#define CSV_GRANT_MIN	 (1024u * 1024) /* smaller files are not granted */
#define CSV_EXTENTS_MAX	 4096		/* of a granted file */
#define CSV_EXTENT_BYTES 24

/* An XFS file handle: inode number and generation. ino 0: none. */
struct csv_handle {
	uint64_t ino;
	uint32_t gen;
};

struct csv_time {
	int64_t sec;
	uint32_t nsec;
};

struct csv_attr {
	uint64_t ino;
	uint32_t mode; /* with the type: S_IFMT */
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint64_t rdev; /* makedev() */
	uint64_t size;
	uint64_t blocks; /* of 512 bytes */
	uint32_t blksize;
	struct csv_time atime;
	struct csv_time mtime;
	struct csv_time ctime;
};

/* One component of a path: 1 to 255 bytes, neither "." nor "..", no '/'. */
struct csv_name {
	char text[CSV_NAME_MAX];
};

/* Any text of up to 255 bytes: the name of an extended attribute. */
struct csv_text {
	char text[CSV_NAME_MAX];
};

/* Borrowed from whoever made it, or from the buffer it was decoded from. At most CSV_IO_MAX. */
struct csv_bytes {
	const uint8_t *data;
	size_t len;
};

struct csv_uuid {
	uint8_t byte[CSV_UUID_BYTES];
};

/*
 * A grant: the right of a mount to do I/O on the extents of a file by itself. Numbers of one term
 * grow; 0 in both: none. A grant keeps its number when a later coordinator takes it over.
 */
struct csv_grant_id {
	uint64_t term;
	uint64_t serial;
};

/* Where a piece of a file lies on the LUN; in bytes, multiples of CSV_GRANT_BLOCK. */
struct csv_extent {
	uint64_t offset;
	uint64_t address;
	uint64_t length;
};

/* Who asks. The asking node's kernel has decided that it may; this is for ownership of new ones. */
struct csv_caller {
	uint32_t uid;
	uint32_t gid;
	uint32_t umask;
	uint16_t group_count;
	uint32_t groups[CSV_GROUPS_MAX];
};

struct csv_usage {
	uint64_t blocks, bfree, bavail, files, ffree, favail;
	uint32_t bsize, frsize, namemax;
};

/* SETATTR: which fields count. */
#define CSV_SET_MODE	  0x001u
#define CSV_SET_UID	  0x002u
#define CSV_SET_GID	  0x004u
#define CSV_SET_SIZE	  0x008u
#define CSV_SET_ATIME	  0x010u
#define CSV_SET_MTIME	  0x020u
#define CSV_SET_ATIME_NOW 0x040u
#define CSV_SET_MTIME_NOW 0x080u
#define CSV_SET_KILL_SUID 0x100u /* size change by one who may not keep suid and sgid */
#define CSV_SET_ALL	  0x1ffu

/* WRITE: flags. */
#define CSV_WRITE_APPEND    0x1u /* at the end of the file, whatever the offset says */
#define CSV_WRITE_KILL_SUID 0x2u /* clear suid, sgid and security.capability */
#define CSV_WRITE_ALL	    0x3u

/* Reply: what of it the mount is told of before it is otherwise. */
#define CSV_PROMISED_NODE 0x1u /* the inode that the request names, or finds: attributes, data */
#define CSV_PROMISED_NAME                                                                          \
	0x2u /* what the name in the directory stands for, or that it does not                     \
	      */
#define CSV_PROMISED_ALL 0x3u

/* What a grant is for. SOLE: no other mount has one for writing. */
enum csv_grant_mode {
	CSV_GRANT_NONE,
	CSV_GRANT_READ,
	CSV_GRANT_WRITE,
	CSV_GRANT_SOLE,
	CSV_GRANT_MODES
};

/* Why a file is not granted: name, words. */
#define CSV_UNGRANTED(X)                                                                           \
	X(NOTHING, "nothing")                                                                      \
	X(SMALL, "it is smaller than 1 MiB")                                                       \
	X(SIZE, "its size is not a multiple of 4096")                                              \
	X(UNWRITTEN, "parts of it have never been written")                                        \
	X(SHARED, "it shares blocks with another file")                                            \
	X(EXTENTS, "its blocks are of a kind that nobody else may touch")                          \
	X(FRAGMENTED, "it lies in too many pieces")                                                \
	X(RESIDENT, "the coordinator still has pages of it in memory")                             \
	X(RECALLED, "it is being changed by the coordinator")                                      \
	X(CHANNEL, "the mount has no line for recalls")                                            \
	X(FULL, "too many files are granted")                                                      \
	X(KIND, "it is not a regular file")

enum csv_ungranted {
#define CSV_UNGRANTED_ENUM(NAME, words) CSV_UNGRANTED_##NAME,
	CSV_UNGRANTED(CSV_UNGRANTED_ENUM)
#undef CSV_UNGRANTED_ENUM
		CSV_UNGRANTED_MAX
};

/* File locks: the two families know nothing of each other. POSIX: fcntl(2), by range. */
enum csv_lock_kind { CSV_LOCK_POSIX, CSV_LOCK_FLOCK, CSV_LOCK_KINDS };
enum csv_lock_type { CSV_LOCK_NONE, CSV_LOCK_READ, CSV_LOCK_WRITE, CSV_LOCK_TYPES };
#define CSV_LOCK_END_MAX ((uint64_t)INT64_MAX) /* the last byte of any file */

/*
 * Operations: X(number, NAME, name, kind, kind of reply). QUERY changes nothing and may be done
 * again; CHANGE is done exactly once (intent, operation, done mark); STATE changes only what the
 * coordinator holds in memory (who has what open or locked) and is idempotent per request.
 */
#define CSV_OPS(X)                                                                                 \
	X(1, LOOKUP, lookup, QUERY, ENTRY)                                                         \
	X(2, GETATTR, getattr, QUERY, ATTR)                                                        \
	X(3, SETATTR, setattr, CHANGE, ATTR)                                                       \
	X(4, READLINK, readlink, QUERY, BYTES)                                                     \
	X(5, MKNOD, mknod, CHANGE, ENTRY)                                                          \
	X(6, MKDIR, mkdir, CHANGE, ENTRY)                                                          \
	X(7, UNLINK, unlink, CHANGE, NONE)                                                         \
	X(8, RMDIR, rmdir, CHANGE, NONE)                                                           \
	X(9, SYMLINK, symlink, CHANGE, ENTRY)                                                      \
	X(10, RENAME, rename, CHANGE, NONE)                                                        \
	X(11, LINK, link, CHANGE, ENTRY)                                                           \
	X(12, OPEN, open, STATE, NONE)                                                             \
	X(13, CREATE, create, CHANGE, ENTRY)                                                       \
	X(14, RELEASE, release, STATE, NONE)                                                       \
	X(15, READ, read, QUERY, BYTES)                                                            \
	X(16, WRITE, write, CHANGE, COUNT)                                                         \
	X(17, FSYNC, fsync, QUERY, NONE)                                                           \
	X(18, READDIR, readdir, QUERY, BYTES)                                                      \
	X(19, STATFS, statfs, QUERY, USAGE)                                                        \
	X(20, SETXATTR, setxattr, CHANGE, NONE)                                                    \
	X(21, GETXATTR, getxattr, QUERY, XATTR)                                                    \
	X(22, LISTXATTR, listxattr, QUERY, XATTR)                                                  \
	X(23, REMOVEXATTR, removexattr, CHANGE, NONE)                                              \
	X(24, FALLOCATE, fallocate, CHANGE, NONE)                                                  \
	X(25, LSEEK, lseek, QUERY, COUNT)                                                          \
	X(26, COPY_RANGE, copy_range, CHANGE, COUNT)                                               \
	X(27, GRANT, grant, STATE, GRANT)                                                          \
	X(28, LOCK, lock, STATE, COUNT)                                                            \
	X(29, UNLOCK, unlock, STATE, NONE)                                                         \
	X(30, GETLOCK, getlock, QUERY, LOCK)                                                       \
	X(31, CANCEL_LOCK, cancel_lock, STATE, NONE)

enum csv_op {
#define CSV_OP_ENUM(number, NAME, name, kind, reply) CSV_OP_##NAME = (number),
	CSV_OPS(CSV_OP_ENUM)
#undef CSV_OP_ENUM
		CSV_OP_END
};

enum csv_op_kind { CSV_QUERY, CSV_CHANGE, CSV_STATE };

/* ---- fields of each request: F(codec, C type, name) */
#define CSV_LOOKUP_FIELDS(F)                                                                       \
	F(handle, struct csv_handle, parent)                                                       \
	F(name, struct csv_name, name)
#define CSV_GETATTR_FIELDS(F) F(handle, struct csv_handle, handle)
#define CSV_SETATTR_FIELDS(F)                                                                      \
	F(handle, struct csv_handle, handle)                                                       \
	F(set_mask, uint32_t, valid)                                                               \
	F(u32, uint32_t, mode)                                                                     \
	F(u32, uint32_t, uid)                                                                      \
	F(u32, uint32_t, gid)                                                                      \
	F(u64, uint64_t, size)                                                                     \
	F(time, struct csv_time, atime)                                                            \
	F(time, struct csv_time, mtime)
#define CSV_READLINK_FIELDS(F) F(handle, struct csv_handle, handle)
#define CSV_MKNOD_FIELDS(F)                                                                        \
	F(handle, struct csv_handle, parent)                                                       \
	F(name, struct csv_name, name)                                                             \
	F(u32, uint32_t, mode)                                                                     \
	F(u64, uint64_t, rdev)
#define CSV_MKDIR_FIELDS(F)                                                                        \
	F(handle, struct csv_handle, parent)                                                       \
	F(name, struct csv_name, name)                                                             \
	F(u32, uint32_t, mode)
#define CSV_UNLINK_FIELDS(F)                                                                       \
	F(handle, struct csv_handle, parent)                                                       \
	F(name, struct csv_name, name)
#define CSV_RMDIR_FIELDS(F) CSV_UNLINK_FIELDS(F)
#define CSV_SYMLINK_FIELDS(F)                                                                      \
	F(handle, struct csv_handle, parent)                                                       \
	F(name, struct csv_name, name)                                                             \
	F(bytes, struct csv_bytes, target)
#define CSV_RENAME_FIELDS(F)                                                                       \
	F(handle, struct csv_handle, parent)                                                       \
	F(name, struct csv_name, name)                                                             \
	F(handle, struct csv_handle, new_parent)                                                   \
	F(name, struct csv_name, new_name)                                                         \
	F(u32, uint32_t, flags) /* RENAME_NOREPLACE, RENAME_EXCHANGE: rename(2) */
#define CSV_LINK_FIELDS(F)                                                                         \
	F(handle, struct csv_handle, handle)                                                       \
	F(handle, struct csv_handle, new_parent)                                                   \
	F(name, struct csv_name, new_name)
/* OPEN and RELEASE, of files and directories: one more and one less open of that inode. */
#define CSV_OPEN_FIELDS(F)                                                                         \
	F(handle, struct csv_handle, handle)                                                       \
	F(u32, uint32_t, flags) /* O_TRUNC comes as SETATTR; O_PATH: of any kind */
#define CSV_CREATE_FIELDS(F)                                                                       \
	F(handle, struct csv_handle, parent)                                                       \
	F(name, struct csv_name, name)                                                             \
	F(u32, uint32_t, mode)                                                                     \
	F(flag, bool, is_exclusive) /* O_EXCL; else an existing file is opened */
#define CSV_RELEASE_FIELDS(F) F(handle, struct csv_handle, handle)
#define CSV_READ_FIELDS(F)                                                                         \
	F(handle, struct csv_handle, handle)                                                       \
	F(u64, uint64_t, offset)                                                                   \
	F(io_size, uint32_t, size)
#define CSV_WRITE_FIELDS(F)                                                                        \
	F(handle, struct csv_handle, handle)                                                       \
	F(u64, uint64_t, offset)                                                                   \
	F(write_flags, uint32_t, flags)                                                            \
	F(bytes, struct csv_bytes, data)
#define CSV_FSYNC_FIELDS(F)                                                                        \
	F(handle, struct csv_handle, handle)                                                       \
	F(flag, bool, is_datasync)
/* The reply is a sequence of csv_dirent_put(), as many whole ones as fit in `size`. */
#define CSV_READDIR_FIELDS(F)                                                                      \
	F(handle, struct csv_handle, handle)                                                       \
	F(u64, uint64_t, offset) /* 0, or `next` of an earlier entry */                            \
	F(io_size, uint32_t, size)                                                                 \
	F(flag, bool, wants_attr)
#define CSV_STATFS_FIELDS(F) F(handle, struct csv_handle, handle)
#define CSV_SETXATTR_FIELDS(F)                                                                     \
	F(handle, struct csv_handle, handle)                                                       \
	F(text, struct csv_text, name)                                                             \
	F(u32, uint32_t, flags) /* XATTR_CREATE, XATTR_REPLACE: setxattr(2) */                     \
	F(bytes, struct csv_bytes, value)
/* size 0 asks for the length only: the reply has `length` and no bytes. */
#define CSV_GETXATTR_FIELDS(F)                                                                     \
	F(handle, struct csv_handle, handle)                                                       \
	F(text, struct csv_text, name)                                                             \
	F(io_size, uint32_t, size)
#define CSV_LISTXATTR_FIELDS(F)                                                                    \
	F(handle, struct csv_handle, handle)                                                       \
	F(io_size, uint32_t, size)
#define CSV_REMOVEXATTR_FIELDS(F)                                                                  \
	F(handle, struct csv_handle, handle)                                                       \
	F(text, struct csv_text, name)
#define CSV_FALLOCATE_FIELDS(F)                                                                    \
	F(handle, struct csv_handle, handle)                                                       \
	F(u32, uint32_t, mode) /* FALLOC_FL_*: fallocate(2) */                                     \
	F(u64, uint64_t, offset)                                                                   \
	F(u64, uint64_t, length)
#define CSV_LSEEK_FIELDS(F)                                                                        \
	F(handle, struct csv_handle, handle)                                                       \
	F(u64, uint64_t, offset)                                                                   \
	F(u32, uint32_t, whence) /* SEEK_DATA, SEEK_HOLE */
#define CSV_COPY_RANGE_FIELDS(F)                                                                   \
	F(handle, struct csv_handle, from)                                                         \
	F(u64, uint64_t, from_offset)                                                              \
	F(handle, struct csv_handle, to)                                                           \
	F(u64, uint64_t, to_offset)                                                                \
	F(u64, uint64_t, length)
#define CSV_GRANT_FIELDS(F)                                                                        \
	F(handle, struct csv_handle, handle)                                                       \
	F(flag, bool, is_write)
/*
 * At least this type on bytes `start` to `end`, that one too; what the owner has that is stronger
 * stays. number 0: now or EAGAIN; else a wait of the mount's, which is in the line of that file
 * from then on if the reply says 1: LOCK_GRANTED tells when its turn has come, and LOCK with the
 * same number takes it.
 */
#define CSV_LOCK_FIELDS(F)                                                                         \
	F(handle, struct csv_handle, handle)                                                       \
	F(u64, uint64_t, owner)                                                                    \
	F(lock_kind, uint8_t, kind)                                                                \
	F(lock_type, uint8_t, type)                                                                \
	F(u64, uint64_t, start)                                                                    \
	F(u64, uint64_t, end)                                                                      \
	F(u32, uint32_t, pid)                                                                      \
	F(u64, uint64_t, number)
/* At most this type on these bytes. */
#define CSV_UNLOCK_FIELDS(F)                                                                       \
	F(handle, struct csv_handle, handle)                                                       \
	F(u64, uint64_t, owner)                                                                    \
	F(lock_kind, uint8_t, kind)                                                                \
	F(lock_type, uint8_t, type)                                                                \
	F(u64, uint64_t, start)                                                                    \
	F(u64, uint64_t, end)
/* A POSIX lock that keeps this one out; of type NONE: there is none. */
#define CSV_GETLOCK_FIELDS(F)                                                                      \
	F(handle, struct csv_handle, handle)                                                       \
	F(u64, uint64_t, owner)                                                                    \
	F(lock_type, uint8_t, type)                                                                \
	F(u64, uint64_t, start)                                                                    \
	F(u64, uint64_t, end)
/* The wait is over; also if its turn has come and it was not taken. */
#define CSV_CANCEL_LOCK_FIELDS(F)                                                                  \
	F(handle, struct csv_handle, handle)                                                       \
	F(u64, uint64_t, number)

/* ---- what a reply carries when it tells of success; of an error there is nothing */
#define CSV_REPLY_NONE_FIELDS(F)
#define CSV_REPLY_ENTRY_FIELDS(F)                                                                  \
	F(handle, struct csv_handle, handle)                                                       \
	F(attr, struct csv_attr, attr)
#define CSV_REPLY_ATTR_FIELDS(F)  F(attr, struct csv_attr, attr)
#define CSV_REPLY_BYTES_FIELDS(F) F(bytes, struct csv_bytes, data)
#define CSV_REPLY_COUNT_FIELDS(F) F(u64, uint64_t, count)
#define CSV_REPLY_XATTR_FIELDS(F)                                                                  \
	F(u32, uint32_t, length)                                                                   \
	F(bytes, struct csv_bytes, data)
#define CSV_REPLY_USAGE_FIELDS(F) F(usage, struct csv_usage, usage)
/* mode NONE: it stays with the coordinator, and why. Extents: csv_extent_put() for each. */
#define CSV_REPLY_GRANT_FIELDS(F)                                                                  \
	F(grant_mode, uint8_t, mode)                                                               \
	F(ungranted, uint8_t, why)                                                                 \
	F(grant_id, struct csv_grant_id, id)                                                       \
	F(u64, uint64_t, size)                                                                     \
	F(bytes, struct csv_bytes, extents)
/* pid: as its own mount knows it. */
#define CSV_REPLY_LOCK_FIELDS(F)                                                                   \
	F(lock_type, uint8_t, type)                                                                \
	F(u64, uint64_t, start)                                                                    \
	F(u64, uint64_t, end)                                                                      \
	F(u32, uint32_t, pid)                                                                      \
	F(u64, uint64_t, mount)

#define CSV_REPLIES(X)                                                                             \
	X(NONE, none)                                                                              \
	X(ENTRY, entry)                                                                            \
	X(ATTR, attr)                                                                              \
	X(BYTES, bytes)                                                                            \
	X(COUNT, count)                                                                            \
	X(XATTR, xattr)                                                                            \
	X(USAGE, usage)                                                                            \
	X(GRANT, grant)                                                                            \
	X(LOCK, lock)

enum csv_reply_kind {
#define CSV_REPLY_ENUM(NAME, name) CSV_REPLY_##NAME,
	CSV_REPLIES(CSV_REPLY_ENUM)
#undef CSV_REPLY_ENUM
};

/* ---- frames: X(number, NAME, name) */

/* First on a connection, from the mount. */
#define CSV_HELLO_FIELDS(F)                                                                        \
	F(u16, uint16_t, protocol)                                                                 \
	F(uuid, struct csv_uuid, volume)                                                           \
	F(u64, uint64_t, term)	/* of the coordinator that it means to speak to */                 \
	F(u64, uint64_t, mount) /* mount incarnation: never used again */

/*
 * Follows HELLO at once: which of the mount's processes this is, each with a greater number. The
 * one before is over, and so is what it was granted and promised, and its waiting for locks; what
 * it has open and locked, and its requests, go on. WELCOME may have to wait for that: requests of
 * the one before may wait for what it was granted.
 */
#define CSV_LIFE_FIELDS(F) F(u32, uint32_t, number)

/* The answer: speak, or why not. */
#define CSV_WELCOME_FIELDS(F)                                                                      \
	F(u64, uint64_t, term)                                                                     \
	F(flag, bool, is_known) /* this coordinator has its opens already: no RECLAIM */           \
	F(handle, struct csv_handle, root)
#define CSV_REFUSED_FIELDS(F) F(refusal, uint8_t, reason)

/*
 * An inode that the mount has open, `opens` times, by what has been answered: an OPEN or CREATE
 * that is under way is not in it, a RELEASE that is under way has not left it.
 */
#define CSV_RECLAIM_FIELDS(F)                                                                      \
	F(handle, struct csv_handle, handle)                                                       \
	F(u32, uint32_t, opens)
#define CSV_RECLAIM_DONE_FIELDS(F)
/* Every request that was under way has been sent again. */
#define CSV_RESEND_DONE_FIELDS(F)
/* The mount has ended its work: nothing of it is open or under way. */
#define CSV_GOODBYE_FIELDS(F)

/*
 * First on a mount's second connection, instead of HELLO: the one for recalls, over which nothing
 * waits for a request. The coordinator knows the mount by its HELLO; the answer is WELCOME, too.
 */
#define CSV_CHANNEL_FIELDS(F)                                                                      \
	F(u16, uint16_t, protocol)                                                                 \
	F(uuid, struct csv_uuid, volume)                                                           \
	F(u64, uint64_t, term)                                                                     \
	F(u64, uint64_t, mount)                                                                    \
	F(u16, uint16_t, channel) /* CSV_CHANNEL_RECALLS */
/* To the mount: give it back, when none of your own I/O under it is under way any more. */
#define CSV_RECALL_FIELDS(F)                                                                       \
	F(handle, struct csv_handle, handle)                                                       \
	F(grant_id, struct csv_grant_id, id)
/* It is so: the answer to RECALL, also when there is no such grant; and RETURN, unasked. */
#define CSV_RECALL_DONE_FIELDS(F)                                                                  \
	F(handle, struct csv_handle, handle)                                                       \
	F(grant_id, struct csv_grant_id, id)                                                       \
	F(flag, bool, has_written) /* since it was asked last, and when */                         \
	F(time, struct csv_time, written)
#define CSV_RETURN_FIELDS(F) CSV_RECALL_DONE_FIELDS(F)
/* Among the RECLAIMs, on the first connection: a grant that the mount has. */
#define CSV_RECLAIM_GRANT_FIELDS(F)                                                                \
	F(handle, struct csv_handle, handle)                                                       \
	F(grant_id, struct csv_grant_id, id)                                                       \
	F(grant_mode, uint8_t, mode)
/* To the mount: what have you written under it, and (wants_flush) flush it to the disk first. */
#define CSV_ASK_FIELDS(F)                                                                          \
	F(handle, struct csv_handle, handle)                                                       \
	F(grant_id, struct csv_grant_id, id)                                                       \
	F(u64, uint64_t, serial)                                                                   \
	F(flag, bool, wants_flush)
#define CSV_TOLD_FIELDS(F)                                                                         \
	F(handle, struct csv_handle, handle)                                                       \
	F(grant_id, struct csv_grant_id, id)                                                       \
	F(u64, uint64_t, serial)                                                                   \
	F(flag, bool, has_written)                                                                 \
	F(time, struct csv_time, written)
/*
 * Writes to the file that were answered have failed on their way to the disk: from the mount whose
 * flush it was, and to all mounts, to that one last. Origin: the mount, or the term of the
 * coordinator whose own flush it was; serial: its number there.
 */
#define CSV_FAILED_FIELDS(F)                                                                       \
	F(handle, struct csv_handle, handle)                                                       \
	F(u64, uint64_t, origin)                                                                   \
	F(u64, uint64_t, serial)                                                                   \
	F(error, uint16_t, error) /* an errno as a positive number */
/* All who have the file open on this mount will be told. */
#define CSV_NOTED_FIELDS(F)                                                                        \
	F(u64, uint64_t, origin)                                                                   \
	F(u64, uint64_t, serial)

/*
 * Promises (csvfs/core/promise.h). From the mount, all the time: it is there, sent at a time by its
 * own clock, which comes back in the answer.
 */
#define CSV_RENEW_FIELDS(F)   F(u64, uint64_t, sent_ms)
#define CSV_RENEWED_FIELDS(F) F(u64, uint64_t, sent_ms)
/* To the mount: forget what you know of the inode (ino 0: of all of them), then say so. */
#define CSV_BREAK_FIELDS(F)                                                                        \
	F(handle, struct csv_handle, handle)                                                       \
	F(u64, uint64_t, serial)
#define CSV_BROKEN_FIELDS(F) CSV_BREAK_FIELDS(F)
/* Among the RECLAIMs, on the first connection: a lock that the mount has, by what was answered. */
#define CSV_RECLAIM_LOCK_FIELDS(F)                                                                 \
	F(handle, struct csv_handle, handle)                                                       \
	F(u64, uint64_t, owner)                                                                    \
	F(lock_kind, uint8_t, kind)                                                                \
	F(lock_type, uint8_t, type)                                                                \
	F(u64, uint64_t, start)                                                                    \
	F(u64, uint64_t, end)                                                                      \
	F(u32, uint32_t, pid)
/* Also: a wait that is in line, in the order in which they came. */
#define CSV_RECLAIM_WAIT_FIELDS(F) CSV_LOCK_FIELDS(F)
/* To the mount, over its line for recalls: the turn of that wait has come. */
#define CSV_LOCK_GRANTED_FIELDS(F) CSV_CANCEL_LOCK_FIELDS(F)

#define CSV_CHANNEL_RECALLS 1

#define CSV_FRAMES(X)                                                                              \
	X(1, HELLO, hello)                                                                         \
	X(2, WELCOME, welcome)                                                                     \
	X(3, REFUSED, refused)                                                                     \
	X(4, RECLAIM, reclaim)                                                                     \
	X(5, RECLAIM_DONE, reclaim_done)                                                           \
	X(6, RESEND_DONE, resend_done)                                                             \
	X(7, GOODBYE, goodbye)                                                                     \
	X(8, CHANNEL, channel)                                                                     \
	X(9, RECALL, recall)                                                                       \
	X(10, RECALL_DONE, recall_done)                                                            \
	X(11, RETURN, returned)                                                                    \
	X(12, RECLAIM_GRANT, reclaim_grant)                                                        \
	X(13, ASK, ask)                                                                            \
	X(14, TOLD, told)                                                                          \
	X(15, FAILED, failed)                                                                      \
	X(18, NOTED, noted)                                                                        \
	X(24, RENEW, renew)                                                                        \
	X(25, RENEWED, renewed)                                                                    \
	X(26, BREAK, broke)                                                                        \
	X(27, BROKEN, broken)                                                                      \
	X(19, RECLAIM_LOCK, reclaim_lock)                                                          \
	X(20, RECLAIM_WAIT, reclaim_wait)                                                          \
	X(21, LOCK_GRANTED, lock_granted)                                                          \
	X(28, LIFE, life)

/* Frames with a body of their own kind. */
#define CSV_FRAME_REQUEST 16
#define CSV_FRAME_REPLY	  17

enum csv_frame_type {
#define CSV_FRAME_ENUM(number, NAME, name) CSV_FRAME_##NAME = (number),
	CSV_FRAMES(CSV_FRAME_ENUM)
#undef CSV_FRAME_ENUM
};

/* Why a coordinator does not take a connection: name, sentence. */
#define CSV_REFUSALS(X)                                                                            \
	X(PROTOCOL, "it speaks another version of the protocol")                                   \
	X(VOLUME, "it coordinates another volume")                                                 \
	X(TERM, "it coordinates under another term")                                               \
	X(MOUNT, "it does not know this mount yet, or no more")                                    \
	X(BUSY, "requests of the mount's earlier connection are still under way")

enum csv_refusal {
#define CSV_REFUSAL_ENUM(NAME, sentence) CSV_REFUSAL_##NAME,
	CSV_REFUSALS(CSV_REFUSAL_ENUM)
#undef CSV_REFUSAL_ENUM
		CSV_REFUSAL_MAX
};

#define CSV_FIELD(codec, ctype, name) ctype name;
#define CSV_OP_STRUCT(number, NAME, name, kind, reply)                                             \
	struct csv_op_##name {                                                                     \
		CSV_##NAME##_FIELDS(CSV_FIELD)                                                     \
	};
CSV_OPS(CSV_OP_STRUCT)
#undef CSV_OP_STRUCT
#define CSV_REPLY_STRUCT(NAME, name)                                                               \
	struct csv_reply_##name {                                                                  \
		CSV_REPLY_##NAME##_FIELDS(CSV_FIELD)                                               \
	};
CSV_REPLIES(CSV_REPLY_STRUCT)
#undef CSV_REPLY_STRUCT
#define CSV_FRAME_STRUCT(number, NAME, name)                                                       \
	struct csv_frame_##name {                                                                  \
		CSV_##NAME##_FIELDS(CSV_FIELD)                                                     \
	};
CSV_FRAMES(CSV_FRAME_STRUCT)
#undef CSV_FRAME_STRUCT
#undef CSV_FIELD

struct csv_request {
	uint16_t slot; /* below CSV_SLOTS */
	uint64_t seq;  /* of that slot: grows by 1 with each request, from 1 */
	bool is_resend;
	struct csv_caller caller;
	/* What the names in it stand for, as far as the mount knows: it forgets that by itself. */
	struct csv_handle child[2];
	enum csv_op op;
	union {
#define CSV_OP_MEMBER(number, NAME, name, kind, reply) struct csv_op_##name name;
		CSV_OPS(CSV_OP_MEMBER)
#undef CSV_OP_MEMBER
	};
};

struct csv_reply {
	uint16_t slot;
	uint64_t seq;
	uint16_t error;		  /* 0, or an errno as a positive number */
	uint8_t promised;	  /* CSV_PROMISED_*: csvfs/core/promise.h */
	enum csv_reply_kind kind; /* CSV_REPLY_NONE with an error */
	union {
#define CSV_REPLY_MEMBER(NAME, name) struct csv_reply_##name name;
		CSV_REPLIES(CSV_REPLY_MEMBER)
#undef CSV_REPLY_MEMBER
	};
};

struct csv_frame {
	enum csv_frame_type type;
	union {
#define CSV_FRAME_MEMBER(number, NAME, name) struct csv_frame_##name name;
		CSV_FRAMES(CSV_FRAME_MEMBER)
#undef CSV_FRAME_MEMBER
	};
};

/* An entry of a directory. has_attr: handle and attr count. */
struct csv_dirent {
	uint64_t next; /* where to go on after it */
	uint64_t ino;
	uint8_t type;	      /* DT_*: readdir(3) */
	struct csv_name name; /* here "." and ".." may be */
	bool has_attr;
	struct csv_handle handle;
	struct csv_attr attr;
};

struct wire_reader;
struct wire_writer;

/*
 * Encoders write the prefix too and return 0 and the whole length, or -ENOBUFS. Decoders take what
 * follows the prefix and return 0, or -EBADMSG with *ret untouched; bytes borrow from buf.
 */
int csv_frame_encode(const struct csv_frame *f, void *buf, size_t cap, size_t *ret_len);
int csv_frame_decode(const void *buf, size_t len, struct csv_frame *ret);
int csv_request_encode(const struct csv_request *q, void *buf, size_t cap, size_t *ret_len);
int csv_request_decode(const void *buf, size_t len, struct csv_request *ret);
int csv_reply_encode(const struct csv_reply *p, void *buf, size_t cap, size_t *ret_len);
int csv_reply_decode(const void *buf, size_t len, struct csv_reply *ret);
/* The type in the first two bytes of what follows the prefix; 0 if there are none. */
uint16_t csv_frame_type_of(const void *buf, size_t len);

/* For data of READDIR. The getter fails the reader on anything bad. */
void csv_dirent_put(struct wire_writer *w, const struct csv_dirent *d);
void csv_dirent_get(struct wire_reader *r, struct csv_dirent *ret);

/* For the extents of a grant, and for the `at`-th of them; false: there is no such, or it is bad.
 */
void csv_extent_put(struct wire_writer *w, const struct csv_extent *e);
bool csv_extent_get(const struct csv_bytes *extents, size_t at, struct csv_extent *ret);

enum csv_op_kind csv_op_kind(enum csv_op op);
enum csv_reply_kind csv_op_reply(enum csv_op op);
const char *csv_op_name(enum csv_op op);
const char *csv_refusal_text(enum csv_refusal reason);
const char *csv_ungranted_text(enum csv_ungranted why);

static inline bool csv_handle_equal(const struct csv_handle *a, const struct csv_handle *b)
{
	return a->ino == b->ino && a->gen == b->gen;
}

static inline bool csv_grant_equal(const struct csv_grant_id *a, const struct csv_grant_id *b)
{
	return a->term == b->term && a->serial == b->serial;
}

/* Of one inode: was `a` given before `b`? */
static inline bool csv_grant_before(const struct csv_grant_id *a, const struct csv_grant_id *b)
{
	return a->term != b->term ? a->term < b->term : a->serial < b->serial;
}

#endif
