/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The database file: the replicated log, snapshots of the applied state, and what this node has
 * promised. One SQLite file (WAL, synchronous=FULL); one thread of its own writes, in the order
 * of the calls, as many writes in one transaction as are waiting. Results come back on the loop,
 * in the same order, each when it is durable.
 *
 * The log is truth; a snapshot shortens the replay. Two snapshots at least are kept, so that a torn
 * or damaged newest one loses nothing, and what it takes to make any state of the last
 * STORE_PAST_ENTRIES entries anew: an older snapshot for each STORE_PAST_STEP of them, and the log
 * since the oldest.
 *
 * All calls from the loop's thread, unless said otherwise. Wrapper of SQLite (doc/dependencies.md).
 */
#ifndef CLUSTERD_EDGE_STORE_H
#define CLUSTERD_EDGE_STORE_H

#include <qb/qbloop.h>

#include "clusterd/core/history.h"
#include "clusterd/core/repl.h"

#define STORE_SCHEMA_VERSION 2 /* 1: entries without a checksum */
#define STORE_PATH_MAX	     512
#define STORE_PAST_ENTRIES   UINT64_C(65536)
#define STORE_PAST_STEP	     UINT64_C(16384)
#define STORE_TAIL_MAX	     UINT64_C(1000) /* entries that are sent alone: more take a snapshot */

struct store;

/* An entry with its own copy of the payload. */
struct store_entry {
	struct cl_epoch epoch;
	uint64_t index;
	uint8_t kind;
	uint8_t origin;
	uint64_t instance, request;
	uint8_t *payload;
	size_t payload_len;
};

/* A list of entries by ascending index; owns them. */
struct store_log {
	struct store_entry *entry;
	size_t count, cap;
};

struct store_snapshot {
	uint64_t index;
	uint8_t *bytes; /* NULL: none */
	size_t len;
};

/* How far this node had come, as it stands beside the file and not in it. */
struct store_mark {
	bool is_set;
	struct cl_uuid cluster;
	uint64_t promised;
	struct cl_pos last;
	bool is_restored; /* the file is a saved copy that an administrator has put there */
};

/* A file of entries that the cluster does not have, and has not been told of yet. */
struct store_saved {
	bool is_set;
	uint64_t after, entries;
	char file[DB_DEVICE_MAX];
};

/* What the file held at start. */
struct store_content {
	bool is_blank;
	struct cl_uuid cluster;
	uint64_t promised;
	uint64_t commit; /* entries up to it are known to be committed */
	struct store_snapshot snapshot;
	struct store_log log;		/* entries after the snapshot's index */
	struct cl_table snapshot_table; /* in force at the snapshot */
	struct cl_table table;		/* in force at the end */
	struct cl_pos last;
	struct store_mark mark;
	struct store_saved saved;
};

/* What an install replaces and the cluster does not have: kept in a file before it goes. */
struct store_saving {
	bool is_wanted;
	char node[CL_NAME_MAX];
	struct history_part part;
	struct cl_pos won; /* end of the history that replaces it */
};

struct store_calls {
	void (*durable)(void *arg, uint64_t index);
	void (*promised)(void *arg, uint64_t number);
	/* `saved`, if something was kept: the cluster is to be told, then store_saved_told(). */
	void (*installed)(void *arg, uint64_t end, const struct store_saved *saved);
	/* The file cannot be written any more: the process must stop acting. */
	void (*failed)(void *arg, const char *what);
	/*
	 * The disk takes nothing now (full, an I/O error): nothing is answered, the writes wait and
	 * are tried again each second. NULL: it takes them again, and all of them are answered.
	 */
	void (*stalled)(void *arg, const char *what);
};

/*
 * Opens or makes the file and starts the thread. Returns 0 and the store with what it holds (both
 * owned by the caller), or -errno with a text (what is wrong, where, what to do): -EBADMSG for a
 * file that is damaged, -EPROTO for a schema of another version.
 */
int store_open(const char *path, qb_loop_t *loop, const struct store_calls *calls, void *arg,
	       struct store **ret, struct store_content *ret_content, char *text, size_t text_size);
/* For how long the disk has not answered the writes that it was given; 0: it owes none. */
uint64_t store_unanswered_ms(struct store *s);
/* Waits for what is under way, unless the disk takes nothing; no call comes back any more. */
void store_close(struct store *s);

/* Appends a copy of the entry; answers durable(index). The cluster's uuid goes with the first. */
void store_append(struct store *s, const struct repl_entry *e);
void store_promise(struct store *s, uint64_t number);
/* Remembers lazily, with the next write, that entries up to index are committed. */
void store_commit(struct store *s, uint64_t index);
/* Takes bytes (owned by the store from now on). */
void store_checkpoint(struct store *s, uint64_t index, uint8_t *bytes, size_t len,
		      const struct cl_table *table);
/*
 * Replaces, in one transaction, everything after `keep` by the log (taken over; emptied); with a
 * snapshot (bytes taken over), or with keep 0, everything there is. What is wanted of `saving`
 * (NULL: nothing) is on the disk before, or the store fails. Answers installed(end).
 */
void store_install(struct store *s, const struct cl_uuid *cluster, uint64_t keep,
		   struct store_snapshot *snapshot, struct store_log *log,
		   const struct cl_table *table_at_keep, const struct store_saving *saving);
/* The cluster knows of the file that was kept. */
void store_saved_told(struct store *s);

/*
 * Reads what a node that has applied `after` (in `epoch`) needs: entries alone if the log reaches
 * back so far with that epoch at `after`, and they are not too many, else a snapshot too. Any
 * thread: opens the file on its own, and sees one consistent state. Returns 0 or -errno.
 */
int store_read(const char *path, uint64_t after, const struct cl_epoch *epoch,
	       struct cl_uuid *ret_cluster, struct cl_table *ret_table_at_start,
	       struct store_snapshot *ret_snapshot, struct store_log *ret_log);

/*
 * Reads what the applied state as of entry `index` can be made of: the newest snapshot that is not
 * after it, if there is one, and the entries behind that up to it. Any thread, as store_read(). 0
 * or -errno; -ENOENT: the file does not reach back so far, or not so far forward yet; *ret_oldest
 * is the first index that it can be had of.
 */
int store_read_past(const char *path, uint64_t index, struct store_snapshot *ret_snapshot,
		    struct store_log *ret_log, uint64_t *ret_oldest);
/*
 * The newest entry up to `until` that was made at `at_ms` or before, by the clock of the node that
 * wished it (db_command_ms()). Any thread. 0 or -errno; -ENOENT: all that are kept are younger.
 */
int store_read_index_at(const char *path, uint64_t until, uint64_t at_ms, uint64_t *ret);

void store_log_push(struct store_log *log, const struct repl_entry *e);
void store_log_push_copy(struct store_log *log, const struct store_entry *e);
void store_log_clear(struct store_log *log);
/* The member table after these entries; fails on one that does not decode. */
int store_log_table(const struct store_log *log, struct cl_table *table);
/* The genesis payload: cluster uuid and first table. */
int store_genesis_encode(const struct cl_uuid *cluster, const struct cl_table *table, void *buf,
			 size_t cap, size_t *ret_len);
int store_genesis_decode(const void *buf, size_t len, struct cl_uuid *ret_cluster,
			 struct cl_table *ret_table);

#endif
