/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a mount keeps of names, attributes and data, under promises of its coordinator
 * (csvfs/core/promise.h), and answers its applications from.
 *
 *   only under a promise   an answer of the coordinator is kept if it says that it is promised
 *   never after it         a break makes everything of the inode untrue, and every answer that was
 *                          asked for before it: that may have been made before the change, and come
 *                          over the other connection
 *   our own changes        make untrue what they touch from when they are sent until they are
 *                          answered, whoever waits for the answer: nobody breaks a promise for them
 *   over by time           nothing is true after CACHE_LEASE_MS from the *sending* of the last
 * RENEW that was answered; nor what was kept before, when it is renewed later
 *
 * Nothing is searched to make it untrue: time is counted in *stamps*. An item has the stamp of when
 * it was asked for; a bucket of inodes (or of names) has that of its last break. An item counts if
 * its bucket's is not later. So two inodes that share a bucket are forgotten together, which costs
 * a request and no truth.
 *
 * Pure: bounded tables, the memory is the caller's. What finds no place replaces something that was
 * not used lately. One thread at a time.
 */
#ifndef CSVFS_CORE_CACHE_H
#define CSVFS_CORE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/promise.h"
#include "csvfs/core/proto.h"

#define CACHE_LEASE_MS 2700 /* PROMISE_LEASE_MS less what two clocks may differ by, and more */
#define CACHE_RENEW_MS 750  /* between two RENEWs */
#ifdef CSVFS_MUTANTS
#define CACHE_NODES   3 /* so that the simulator meets the bounds */
#define CACHE_NAMES   2
#define CACHE_PAGES   2
#define CACHE_BUCKETS 61
#else
#define CACHE_NODES   32768
#define CACHE_NAMES   32768
#define CACHE_PAGES   8192
#define CACHE_BUCKETS 16384 /* of each table, and of stamps */
#endif
#define CACHE_NAME_MAX 56 /* longer ones are not kept */
#define CACHE_PAGE     4096
#define CACHE_FILE_MAX CSV_GRANT_MIN /* data of larger files is not kept: they can be granted */
#define CACHE_OWN      PROMISE_MINDS

/* Planted bugs, for the simulator only. */
#ifdef CSVFS_MUTANTS
enum cache_mutant {
	CACHE_MUTANT_NONE,
	CACHE_MUTANT_LATE_ANSWER,  /* keeps what was asked for before the break */
	CACHE_MUTANT_ANSWER_FIRST, /* answers a break before it has forgotten (the simulator does)
				    */
	CACHE_MUTANT_OWN_FLIGHT,   /* keeps what was asked for while an own change is under way */
	CACHE_MUTANT_OWN_FORGET,   /* keeps what its own change makes untrue */
	CACHE_MUTANT_OWN_GIVEN_UP, /* takes a change that nobody waits for any more for over */
	CACHE_MUTANT_NO_LEASE,	   /* goes by no time */
	CACHE_MUTANT_ANSWER_TIME,  /* counts its time from the answer to RENEW */
	CACHE_MUTANT_KEEP_LAPSED,  /* a renewed lease makes true again what was before */
	CACHE_MUTANT_KEEP_TERM,	   /* keeps what an earlier coordinator has promised */
	CACHE_MUTANT_UNPROMISED,   /* keeps also what is not promised */
	CACHE_MUTANT_MAX
};
#define CACHE_MUTANT(c, name) ((c)->mutant == CACHE_MUTANT_##name)
#else
#define CACHE_MUTANT(c, name) ((void)(c), false)
#endif

/* What the kernel and ls(1) ask every file for, mostly in vain. */
#define CACHE_XATTRS(X)                                                                            \
	X("system.posix_acl_access")                                                               \
	X("system.posix_acl_default")                                                              \
	X("security.capability")                                                                   \
	X("security.selinux")

/* Of a bucket. */
struct cache_stamp {
	uint64_t broken; /* what was asked for before this does not count */
	uint32_t own;	 /* own changes under way: nothing counts */
};

struct cache_row {
	uint32_t next;	 /* in its bucket: index + 1 */
	uint32_t bucket; /* that it is in */
	bool is_filled;
	bool is_used; /* lately */
};

struct cache_node {
	struct csv_handle handle;
	uint64_t stamp;
	struct csv_attr attr;
	uint32_t absent; /* extended attributes that it has not: bits, by CACHE_XATTRS */
	uint64_t absent_stamp;
};

struct cache_name {
	struct csv_handle dir;
	uint8_t len;
	char text[CACHE_NAME_MAX];
	uint64_t stamp;
	struct csv_handle child; /* ino 0: there is no such name */
};

struct cache_page {
	struct csv_handle handle;
	uint64_t index; /* in the file */
	uint64_t stamp;
	uint32_t len; /* bytes that are known */
};

/* A clock over one table. */
struct cache_table {
	uint32_t bucket[CACHE_BUCKETS]; /* index + 1 */
	uint32_t hand;
};

struct cache {
	uint64_t now;	/* stamp */
	uint64_t floor; /* nothing from before it counts */
	uint64_t until_ms;
#ifdef CSVFS_MUTANTS
	enum cache_mutant mutant;
#endif
	uint64_t broken[CACHE_BUCKETS];		      /* by inode: everything of it */
	struct cache_stamp node_stamp[CACHE_BUCKETS]; /* by inode: its attributes and data */
	struct cache_stamp name_stamp[CACHE_BUCKETS]; /* by directory and name */
	struct cache_table nodes, names, pages;
	struct cache_row node_row[CACHE_NODES], name_row[CACHE_NAMES], page_row[CACHE_PAGES];
	struct cache_node node[CACHE_NODES];
	struct cache_name name[CACHE_NAMES];
	struct cache_page page[CACHE_PAGES];
	uint8_t data[CACHE_PAGES][CACHE_PAGE];
};

/* What a request is to the cache, from before it is sent until its answer has been handled. */
struct cache_note {
	uint64_t asked; /* stamp; a change has given it to all that it touches */
	/* Of its end, if nothing has touched its inodes, or its names, meanwhile; 0: something has.
	 */
	uint64_t nodes_clean, names_clean;
	size_t nodes, names;	  /* a change that is under way */
	uint32_t node[CACHE_OWN]; /* buckets; no two are the same */
	uint32_t name[2];
};

/* Of zeroed memory. */
void cache_init(struct cache *c);

/*
 * The request is about to be sent. A change makes untrue what it touches, and its `child`s are
 * filled in: what the names stand for as far as is known here, so that nobody else need break it.
 */
void cache_ask(struct cache *c, struct csv_request *q, struct cache_note *note);
/* It has been answered, or will never be sent. A change that is under way must not be forgotten. */
void cache_answered(struct cache *c, struct cache_note *note);

/* The coordinator breaks its promise of an inode; ino 0: all that it has made. */
void cache_break(struct cache *c, const struct csv_handle *h);
/* Another coordinator, or one that does not know us any more. */
void cache_forget(struct cache *c);
/* A RENEW that was sent at sent_ms has been answered now. */
void cache_renewed(struct cache *c, uint64_t sent_ms, uint64_t now_ms);

/*
 * Keeps what an answer promises. Of a request whose note has been answered; `now_ms`: of the
 * moment. The data of READ is `data`, which begins at the request's offset.
 */
void cache_keep(struct cache *c, const struct csv_request *q, const struct csv_reply *p,
		const struct cache_note *note, uint64_t now_ms);

/* ---- answers from what is kept: true if there is one */

bool cache_attr(struct cache *c, const struct csv_handle *h, uint64_t now_ms, struct csv_attr *ret);
/* *ret_child ino 0: there is no such name. Else *ret_attr is filled in, too. */
bool cache_lookup(struct cache *c, const struct csv_handle *dir, const char *name, uint64_t now_ms,
		  struct csv_handle *ret_child, struct csv_attr *ret_attr);
/* It is known not to have this extended attribute. */
bool cache_lacks(struct cache *c, const struct csv_handle *h, const char *name, uint64_t now_ms);
/*
 * All of it, up to the end of the file, or nothing. *ret_atime: a read of what has one that is
 * older than PROMISE_ATIME_S is the coordinator's.
 */
bool cache_read(struct cache *c, const struct csv_handle *h, uint64_t offset, size_t size,
		uint64_t now_ms, void *buf, size_t *ret_len, int64_t *ret_atime);

/* NULL if all invariants hold, else which does not. */
const char *cache_check(const struct cache *c);

#endif
