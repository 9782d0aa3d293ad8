/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the store share: SQL statements and how rows become entries. */
#ifndef CLUSTERD_EDGE_STORE_IMPL_H
#define CLUSTERD_EDGE_STORE_IMPL_H

#include <sqlite3.h>

#include "clusterd/edge/store.h"
#include "lib/cleanup.h"

#define _cleanup_stmt_	 _cleanup_(store_finalizep)
#define _cleanup_sqlite_ _cleanup_(store_closep)

static inline void store_finalizep(sqlite3_stmt **s)
{
	sqlite3_finalize(*s);
}

static inline void store_closep(sqlite3 **db)
{
	sqlite3_close(*db);
}

/* SQLite's integers have a sign. */
static inline sqlite3_int64 store_sql_bound(uint64_t index)
{
	return index > INT64_MAX ? INT64_MAX : (sqlite3_int64)index;
}

enum store_write_type {
	STORE_APPEND,
	STORE_PROMISE,
	STORE_CHECKPOINT,
	STORE_INSTALL,
	STORE_TOLD,
};

struct store_write {
	enum store_write_type type;
	struct store_write *next;
	struct store_entry entry;
	uint64_t number; /* promise; index of a checkpoint; keep of an install */
	struct store_snapshot snapshot;
	struct store_log log;
	struct cl_uuid cluster;
	struct cl_table table;
	struct store_saving saving;
	struct store_saved saved;
};

/* store.c: what the file holds; on SQLITE_CORRUPT *ret_what may say in which way it is. */
int store_load(sqlite3 *db, struct store_content *ret, const char **ret_what);

/* store_past.c: drops what is too old to be looked at, after a checkpoint. An SQLite code. */
int store_past_thin(sqlite3 *db);

/* store_check.c */
uint32_t store_entry_crc(const struct store_entry *e);
/* SQLite's check of the pages, in bounded time: SQLITE_CORRUPT with a text, or another code. */
int store_check_pages(sqlite3 *db, char *text, size_t size);
void store_mark_path(const char *db_path, char *to, size_t size);
/* Not set if there is none that can be read. */
void store_mark_read(const char *db_path, struct store_mark *ret);
/* Returns a descriptor or -errno. */
int store_mark_open(const char *db_path);
int store_mark_write(int fd, const struct store_mark *mark);

/* store_saved.c; SQLite codes. Keeps what the install is about to replace. */
int store_saved_write(sqlite3 *db, const char *dir, struct store_write *w, char *failure,
		      size_t size);
/* The folder for such files, beside the database. */
void store_saved_dir(const char *db_path, char *to, size_t size);
/* The one that the cluster has not been told of. */
int store_saved_get(sqlite3 *db, struct store_saved *ret);

/* store_sql.c; all return 0 or an SQLite code. */
int store_sql_open(const char *path, bool is_writer, sqlite3 **ret);
/* Sees one consistent state until it is closed. 0 or -EIO; *ret is closed by the caller also then.
 */
int store_sql_open_reader(const char *path, sqlite3 **ret);
int store_sql_init(sqlite3 *db);
int store_sql_get(sqlite3 *db, const char *key, void *buf, size_t cap, size_t *ret_len);
int store_sql_set(sqlite3 *db, const char *key, const void *buf, size_t len);
int store_sql_get_u64(sqlite3 *db, const char *key, uint64_t *ret);
int store_sql_set_u64(sqlite3 *db, const char *key, uint64_t v);
int store_sql_exec(sqlite3 *db, const char *sql, uint64_t arg);
int store_sql_put_entry(sqlite3 *db, const struct store_entry *e);
/* The entries behind `after`, up to `until` if there are so many. */
int store_sql_read_log(sqlite3 *db, uint64_t after, uint64_t until, struct store_log *ret);
int store_sql_put_snapshot(sqlite3 *db, const struct store_snapshot *s,
			   const struct cl_table *table);
/* The newest snapshot, not after `until`, whose checksum holds; index 0, no bytes: there is none.
 */
int store_sql_read_snapshot(sqlite3 *db, uint64_t until, struct store_snapshot *ret,
			    struct cl_table *ret_table);
/* Index of the oldest entry of the log; 0: there is none. */
int store_sql_first(sqlite3 *db, uint64_t *ret);
/* -ENOENT if there is no such entry. */
int store_sql_epoch_at(sqlite3 *db, uint64_t index, struct cl_epoch *ret);

#endif
