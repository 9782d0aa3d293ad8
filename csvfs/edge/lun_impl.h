/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files lun*.c share; tests use it too, nobody else does. */
#ifndef CSVFS_EDGE_LUN_IMPL_H
#define CSVFS_EDGE_LUN_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "csvfs/core/header.h"
#include "csvfs/edge/lun.h"

#define LUN_PAGE_BYTES	4096u		    /* unit of all direct I/O; fits both block sizes */
#define LUN_ENDS_BYTES	(UINT64_C(1) << 20) /* at each end: more than a GPT takes */
#define LUN_CHUNK_BYTES (UINT64_C(1) << 20) /* of one write when much is zeroed */
#define LUN_PARTNO_DATA 2u

/* ---- text of errors (lun_disk.c) */

struct lun_text {
	char *buf; /* may be NULL */
	size_t size;
};

/* Writes the text and returns `error`. */
__attribute__((format(printf, 3, 4))) int lun_fail(const struct lun_text *t, int error,
						   const char *fmt, ...);

/* ---- the device, whatever is on it (lun_disk.c) */

struct lun_range {
	uint64_t start;
	uint64_t bytes;
};

struct lun_disk {
	char *path; /* owned */
	int fd;	    /* owned; O_DIRECT, O_DSYNC when writable */
	bool is_block;
	bool is_writable;
	dev_t rdev; /* of a block device */
	dev_t dev;  /* of a file: where it is */
	ino_t ino;
	uint64_t bytes;
	uint32_t block_bytes;
};

/* Errors and text are those of csv_lun_open(). End with lun_disk_close(). */
int lun_disk_open(const char *path, bool is_writable, struct lun_disk *ret,
		  const struct lun_text *text);
void lun_disk_close(struct lun_disk *d);
/*
 * Another descriptor on the same thing, through the page cache, which forgets what it has of it
 * unless somebody else holds that; O_CLOEXEC. Or -errno.
 */
int lun_disk_reopen(const struct lun_disk *d, int flags);
/*
 * Direct I/O: buf, place and n are multiples of LUN_PAGE_BYTES. A read that crosses the end yields
 * zeros behind it. 0, -EIO and others of the device.
 */
int lun_disk_read(const struct lun_disk *d, uint64_t place, void *buf, size_t n);
int lun_disk_write(const struct lun_disk *d, uint64_t place, const void *buf, size_t n);
/* Writes, reads back past every cache of this machine, compares: -EIO if it differs. */
int lun_disk_write_verified(const struct lun_disk *d, uint64_t place, const void *buf, size_t n);
int lun_disk_zero(const struct lun_disk *d, struct lun_range r);
/* Aligned and zeroed; free(). NULL: no memory. */
void *lun_buffer(size_t n);

/* ---- partition table (lun_gpt.c) */

#define LUN_GPT_FIRST  1u /* the copy at the begin */
#define LUN_GPT_SECOND 2u /* the copy at the end */

struct lun_table {
	bool has_control;
	bool has_data;
	struct lun_range control;
	struct lun_range data;
	unsigned int data_partno;
};

/*
 * From these copies only. Asked for both, it also takes the first copy of a table that was made for
 * a larger device. -ENODATA: no GPT; -EIO, -ENOMEM.
 */
int lun_gpt_read(const struct lun_disk *d, unsigned int copies, struct lun_table *ret);
/* Where the partitions of a new volume go. -ENOSPC: below CSV_LUN_BYTES_MIN. */
int lun_gpt_plan(const struct lun_disk *d, struct lun_table *ret);
/* A new table with these two. */
int lun_gpt_write(const struct lun_disk *d, const struct lun_table *t, const struct lun_text *text);
/* Both copies anew from a valid one. */
int lun_gpt_restore(const struct lun_disk *d, const struct lun_text *text);

/* ---- what a device carries (lun_probe.c) */

#define LUN_FOUND_MAX 8

struct lun_found {
	char id[96]; /* what --overwrite has to name: "ext4", "gpt", "csv:NAME" */
	char about[224];
};

struct lun_carried {
	unsigned int count;
	struct lun_found found[LUN_FOUND_MAX];
};

/* Looks at the whole and at `data`, where the data partition would be. -EIO, -ENOMEM. */
int lun_probe(const struct lun_disk *d, struct lun_range data, struct lun_carried *ret);
/* 0: nothing is there, or `overwrite` names just that; else -EEXIST and the text. */
int lun_probe_allows(const struct lun_disk *d, const struct lun_carried *c, const char *overwrite,
		     const struct lun_text *text);
/* Takes signatures off, at the same places; that of an XFS where the data goes is mkfs.xfs's. */
int lun_wipe(const struct lun_disk *d, struct lun_range data, const struct lun_text *text);

/* ---- devices that are parts of it or stacked on it (lun_devs.c), and their use (lun_use.c) */

#define LUN_DEVS_MAX 64
#define LUN_NAME_MAX 64

enum lun_dev_kind { LUN_DEV_SELF, LUN_DEV_PARTITION, LUN_DEV_LOOP, LUN_DEV_HOLDER };

struct lun_dev {
	char name[LUN_NAME_MAX]; /* as in /sys/block */
	enum lun_dev_kind kind;
	dev_t rdev;
	bool is_on_lun;		 /* not on another one of these */
	bool is_direct;		 /* LOOP: direct I/O */
	unsigned int partno;	 /* PARTITION */
	struct lun_range extent; /* of what it is on; PARTITION and LOOP */
	struct lun_range window; /* its own part that was asked for */
};

struct lun_devs {
	unsigned int count;
	struct lun_dev dev[LUN_DEVS_MAX];
};

/* All that overlap the range. Also the LUN itself, if it is a block device. -EOVERFLOW: more. */
int lun_devs_find(const struct lun_disk *d, struct lun_range r, struct lun_devs *ret,
		  const struct lun_text *text);
/* Path of the device node; -ENODEV if there is none that is this device. */
int lun_dev_path(const struct lun_dev *dev, char *ret, size_t size);
/* 0, -EBUSY and by whom, or another error, for one device. */
int lun_dev_in_use(const struct lun_dev *dev, const struct lun_text *text);
/* The same for all of a range. is_strict: a loop on it is a use, too. */
int lun_range_in_use(const struct lun_disk *d, struct lun_range r, bool is_strict,
		     const struct lun_text *text);
/* BLKPG_DEL_PARTITION of each partition that the kernel knows. -EBUSY: one is in use. */
int lun_devs_forget_partitions(const struct lun_disk *d, const struct lun_text *text);

/* ---- attaching (lun_attach.c) */

enum lun_attached_how { LUN_NOT_ATTACHED, LUN_FOUND, LUN_BLKPG, LUN_LOOP };

struct lun_attached {
	enum lun_attached_how how;
	char dev[CSV_LUN_DEV_MAX];
	unsigned int partno;
	int fd; /* keeps a loop device alive; else -1 */
};

/* For the data partition of t; see csv_lun_attach(). A LUN open for reading gives such a loop. */
int lun_attach(const struct lun_disk *d, const struct lun_table *t, struct lun_attached *ret,
	       const struct lun_text *text);
/* On success *a is LUN_NOT_ATTACHED. */
int lun_detach(const struct lun_disk *d, struct lun_attached *a, const struct lun_text *text);

/* ---- programs (lun_child.c) */

/*
 * Runs a program of /usr/sbin or /sbin to its end, with no environment; its last lines go to `out`.
 * 0 and the exit status, -ENOPKG (not there), -EINTR (SIGINT or SIGTERM came), -ETIMEDOUT, -ECHILD
 * (killed).
 */
int lun_child_run(const char *const *argv, uint32_t timeout_ms, int *ret_status, char *out,
		  size_t out_size);

/* ---- the volume */

struct csv_lun {
	struct lun_disk disk;
	struct lun_table table;
	struct csv_header header;
	struct lun_attached attached;
};

/* Table, zeroed control partition; no file system, no header. For formatting, and for tests. */
int lun_format_table(const struct lun_disk *d, const struct lun_table *t,
		     const struct lun_text *text);
int lun_format_header(const struct lun_disk *d, const struct lun_table *t,
		      const struct csv_format_options *o, const struct lun_text *text);

#endif
