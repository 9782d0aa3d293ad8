/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ranges of files that owners have locked: the arithmetic of fcntl(2), for the coordinator
 * (filelock.h) and for the mount (lockbook.h). What one owner has of one file never overlaps, and
 * what touches and is of one type is one range.
 *
 * Pure; the rows are the caller's. One thread at a time.
 */
#ifndef CSVFS_CORE_LOCKRANGE_H
#define CSVFS_CORE_LOCKRANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/proto.h"

#ifdef CSVFS_MUTANTS
#define LOCKRANGE_BUCKETS 16 /* the simulator begins often, and comes to the bounds */
#else
#define LOCKRANGE_BUCKETS 4096
#endif

/* Who locks: the kernel's number of a process's files (POSIX) or of an open file (OFD, flock). */
struct lock_owner {
	uint64_t mount;
	uint64_t id;
	uint8_t kind; /* enum csv_lock_kind */
};

struct lock_range {
	struct csv_handle handle;
	struct lock_owner owner;
	uint64_t start, end; /* both belong to it */
	uint64_t via;	     /* at the mount: the open file through which it was locked last */
	uint32_t pid;
	uint8_t type;  /* READ or WRITE; NONE: the row is free */
	uint32_t next; /* in its bucket, or among the free ones: index + 1 */
};

struct lock_ranges {
	struct lock_range *row;
	uint32_t cap;
	uint32_t count;
	uint32_t free;
	uint32_t bucket[LOCKRANGE_BUCKETS];
};

void lockrange_init(struct lock_ranges *r, struct lock_range *rows, uint32_t cap);
uint32_t lockrange_bucket(const struct csv_handle *h);
bool lock_owner_equal(const struct lock_owner *a, const struct lock_owner *b);

/*
 * `l` says owner, range, type, pid and via. At least this type; and exactly this type: NONE frees.
 * How many rows more that may take is told before by lockrange_needs(): never more than there are
 * (must()).
 */
void lockrange_raise(struct lock_ranges *r, const struct lock_range *l);
void lockrange_set(struct lock_ranges *r, const struct lock_range *l);
/* At most this type, NONE or READ; of what stays pid and via stay, too. */
void lockrange_lower(struct lock_ranges *r, const struct lock_range *l);
/* An upper bound of the rows that any of these adds. */
uint32_t lockrange_needs(const struct lock_ranges *r, const struct lock_range *l);

/* The weakest and the strongest type that the owner has anywhere in this range. */
uint8_t lockrange_weakest(const struct lock_ranges *r, const struct lock_range *l);
uint8_t lockrange_strongest(const struct lock_ranges *r, const struct lock_range *l);
/* Of the owner, the first range that reaches into this one; NULL: none. */
const struct lock_range *lockrange_first(const struct lock_ranges *r, const struct lock_range *l);
/* Of the range, from its start on, as much as is of one type for the owner: that type, NONE too. */
uint8_t lockrange_stretch(const struct lock_ranges *r, const struct lock_range *l,
			  uint64_t *ret_end);
/* Two owners of one family cannot both have this. */
bool lockrange_excludes(const struct lock_range *a, const struct lock_range *b);
/* Rows of the same bucket, which may be of other files: NULL after the last one; `at` NULL: first.
 */
const struct lock_range *lockrange_next(const struct lock_ranges *r, const struct csv_handle *h,
					const struct lock_range *at);
/* NULL if all invariants hold, else which does not. */
const char *lockrange_check(const struct lock_ranges *r);

#endif
