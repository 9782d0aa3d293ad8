/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume's LUN: its partition table, the records on its control partition, the block device of
 * its data partition, and the proof that nobody on this machine uses it (doc/format-lun.md).
 *
 * The kernel's idea of partitions is never trusted: the table is read here, and a partition node
 * counts only if start and length are exactly those of the table. Control records and the table are
 * read and written past every page cache, for another node may have changed them an instant ago.
 * Not here: the meaning of a term, who may mount, anything about files.
 *
 * A LUN is a block device or, for images, a regular file. It can be a loop device. One with several
 * paths is given by its multipath device.
 *
 * Errors: 0 or a negative errno; `text` (may be NULL with size 0) then says what, where, why and
 * what to do, in one sentence or two; on success it is untouched. CSV_LUN_TEXT_MAX is enough.
 *
 * Threads: one at a time per struct csv_lun. Everything here may block for as long as the device
 * does: for threads that may, never for a loop that feeds a watchdog.
 */
#ifndef CSVFS_EDGE_LUN_H
#define CSVFS_EDGE_LUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/header.h"

#define CSV_LUN_TEXT_MAX 1024
#define CSV_LUN_DEV_MAX	 64 /* path of a block device, with the NUL */
/* Table, control partition, the 300 MiB that mkfs.xfs 6.1 asks for, table again. */
#define CSV_LUN_BYTES_MIN (UINT64_C(318) << 20)
/* Types of the partitions in the GPT. */
#define CSV_LUN_TYPE_CONTROL "9a5f70de-ee39-4440-957c-893fbecd56f6"
#define CSV_LUN_TYPE_DATA    "840f54a3-25d7-4920-a9cc-cab18e240a3d"

struct csv_lun;

/*
 * Opens the LUN, reads table and header and checks that they agree with each other and with the
 * device. Claims nothing: others may have it open. *ret is owned; csv_lun_close().
 * -ENOENT, -EACCES, -EPERM ...: of open(2); -ENODATA: no volume here; -EBADMSG: a volume, damaged;
 * -EPROTONOSUPPORT: of another version; -EOPNOTSUPP: no direct I/O here; -EIO, -ENOMEM.
 */
int csv_lun_open(const char *path, bool writable, struct csv_lun **ret, char *text,
		 size_t text_size);
/*
 * Takes NULL, returns NULL. A partition that csv_lun_attach() has made stays, for there may be a
 * mount on it; a loop device goes with its last user.
 */
struct csv_lun *csv_lun_close(struct csv_lun *lun);

/* What the header says; borrowed, until csv_lun_close(). */
const struct csv_header *csv_lun_header(const struct csv_lun *lun);
const struct csv_uuid *csv_lun_volume(const struct csv_lun *lun);
const struct csv_uuid *csv_lun_cluster(const struct csv_lun *lun);
const char *csv_lun_name(const struct csv_lun *lun);
/* Place and length of the data partition in bytes of the LUN, multiples of 1 MiB. */
uint64_t csv_lun_data_start(const struct csv_lun *lun);
uint64_t csv_lun_data_bytes(const struct csv_lun *lun);
/* Logical block of the LUN in bytes: what direct I/O has to be aligned to. 512 or 4096. */
uint32_t csv_lun_block_size(const struct csv_lun *lun);

/* -ENODATA: no term was ever written; -EBADMSG: no valid copy; -EPROTONOSUPPORT; -EIO. */
int csv_lun_term_read(const struct csv_lun *lun, struct csv_term *ret);
/*
 * Makes `t` (its generation is not looked at) the newest term: writes it in place of the older
 * copy, durably, reads both back and compares. It can be lost to a writer on another node at the
 * same time; the lock vol: is what prevents that.
 * -ESTALE: the LUN has a later term, or this one of another node or incarnation; -EINVAL: not a
 * term; -EBADF: opened for reading only; -EBADMSG, -EPROTONOSUPPORT: as above; -EIO: not written,
 * or reads back as something else.
 */
int csv_lun_term_write(const struct csv_lun *lun, const struct csv_term *t, char *text,
		       size_t text_size);

/*
 * Gives the path of a block device that is exactly the data partition: the kernel's partition if
 * there is one, a loop device on the LUN that already is it, else a partition made by BLKPG, else a
 * loop device of our own with direct I/O (held open here; the kernel removes it with its last user,
 * so that a killed process leaves none). Again: the same device. Asks nobody whether it is in use:
 * csv_lun_in_use() does, before. Needs CAP_SYS_ADMIN.
 * -ENOSPC: ret_size; -EBUSY: no loop device to be had; -EOPNOTSUPP: no direct I/O; -EPERM, -EIO ...
 */
int csv_lun_attach(struct csv_lun *lun, char *ret_dev, size_t ret_size, char *text,
		   size_t text_size);
/*
 * Takes back what csv_lun_attach() has made, and nothing else; 0 if there is nothing. -EBUSY: the
 * device is in use, by whom is in the text, and it stays attached.
 */
int csv_lun_detach(struct csv_lun *lun, char *text, size_t text_size);

/*
 * Proof that no mount and no other exclusive user of the data partition is left on this machine, in
 * no namespace, with or without a living process: looks at the LUN itself, at every partition that
 * overlaps it and at everything stacked on those (loop, device mapper, md), and finds neither an
 * XFS superblock (/sys/fs/xfs) nor a device that does not open O_EXCL.
 * 0: proven at this moment. -EBUSY: in use, the text has the device and who holds it. Any other
 * error: it could not be found out, which proves nothing. A mount that is tried at the very moment
 * of the look can fail with EBUSY. Reads and writes nothing on the LUN. Needs root.
 */
int csv_lun_in_use(const struct csv_lun *lun, char *text, size_t text_size);
/* The same of a LUN that may not be readable any more: all that is on the device is looked at. */
int csv_lun_device_in_use(const char *path, char *text, size_t text_size);

/*
 * Which disk that is, as text for a file: its device number and its sequence number (diskseq of
 * /sys, which is never used again while the machine runs), and `data_dev`, the device of its data
 * partition. A LUN that is a file has none: -ENODEV.
 */
int csv_lun_pin(const struct csv_lun *lun, const char *data_dev, char *ret, size_t ret_size);
/*
 * As csv_lun_device_in_use(), of exactly the disk that was pinned, wherever its path leads to by
 * now, and if it is not there any more: then of the XFS that was made of it. -EINVAL: no pin.
 */
int csv_lun_pinned_in_use(const char *pin, char *text, size_t text_size);

/*
 * The LUN has grown, and so does its data partition: table, header, and `dev`, the device that is
 * attached (NULL: none), which may be mounted. Other nodes may use the volume meanwhile. May be
 * interrupted between any two steps, and done again. 0; -EALREADY: it has not grown, or all of this
 * had been done; -EBADF, -EINVAL, -EIO ...
 */
int csv_lun_grow(struct csv_lun *lun, const char *dev, char *text, size_t text_size);
/* Likewise of the XFS that is mounted there; its size in either case, 0 or -EALREADY. */
int csv_lun_grow_xfs(const struct csv_lun *lun, const char *mount_point, uint64_t *ret_bytes,
		     char *text, size_t text_size);

/* ---- for csvadm */

struct csv_format_options {
	struct csv_uuid volume;	 /* not zero */
	struct csv_uuid cluster; /* not zero */
	const char *name;	 /* as struct csv_label */
	const char *overwrite;	 /* NULL, or what may be lost: see csv_lun_format() */
};

/*
 * Makes the LUN a volume: table, zeroed control partition, XFS, and last the header, without which
 * it is none. Everything is borrowed. Takes SIGINT and SIGTERM while mkfs.xfs runs.
 * Refuses with -EBUSY a LUN that this machine uses, and with -EEXIST one that carries something,
 * unless `overwrite` names exactly what was found: names as in the text, separated by commas, such
 * as "xfs", "gpt,ext4" or "csv:NAME". Uses on other nodes cannot be seen from here.
 * -EINVAL: an option; -ENOSPC: below CSV_LUN_BYTES_MIN; -EINTR; -ENOPKG (no mkfs.xfs); -EIO and
 * those of csv_lun_open().
 */
int csv_lun_format(const char *path, const struct csv_format_options *options, char *text,
		   size_t text_size);

/* What one copy is. OLDER: valid, and not the newest. */
enum csv_lun_copy {
	CSV_LUN_COPY_GOOD,
	CSV_LUN_COPY_OLDER,
	CSV_LUN_COPY_BLANK,
	CSV_LUN_COPY_DAMAGED,
	CSV_LUN_COPY_FOREIGN, /* whole, of a version that is not known here */
	CSV_LUN_COPY_MAX
};

struct csv_lun_report {
	enum csv_lun_copy gpt[2]; /* GOOD or DAMAGED */
	enum csv_lun_copy header[2];
	enum csv_lun_copy term[2];
	bool is_sound; /* nothing for csv_lun_restore() to do */
};

/* Looks at each copy of table, header and term on its own. -EIO, -ENOMEM. */
int csv_lun_examine(const struct csv_lun *lun, struct csv_lun_report *ret);
/*
 * Writes damaged copies anew from the good ones: table, header. Term records of which neither copy
 * is valid are made blank: there is nothing to restore them from. The caller has proven that the
 * volume is not in use. -EBADF: opened for reading only; -EPROTONOSUPPORT; -EIO.
 */
int csv_lun_restore(struct csv_lun *lun, char *text, size_t text_size);
/* "good", "older", "blank", "damaged", "of another version". */
const char *csv_lun_copy_name(enum csv_lun_copy copy);

/* Some of the superblock of the XFS on the data partition. */
struct csv_lun_xfs {
	struct csv_uuid uuid;
	char label[13];
	uint32_t block_bytes;
	uint32_t sector_bytes;
	uint64_t blocks;
	uint32_t ag_count;
	uint32_t log_blocks;
	bool is_reflink;
};

/* Past the page cache, so of a mounted one it is what is on disk. -ENODATA: no XFS there; -EIO. */
int csv_lun_xfs_read(const struct csv_lun *lun, struct csv_lun_xfs *ret);
/*
 * xfs_repair on the data partition, only looking unless `repair`; attaches and detaches. Its last
 * lines go to `out`, which is "" on every failure before it ran. Takes SIGINT and SIGTERM
 * meanwhile. 0: clean, or clean now; -EUCLEAN: damage found and not repaired; -EBUSY: in use;
 * -ENOLCK: the log has to be replayed by a mount first; -EINTR, -ENOPKG (no xfs_repair), -EIO.
 */
int csv_lun_fsck(struct csv_lun *lun, bool repair, char *out, size_t out_size, char *text,
		 size_t text_size);

#endif
