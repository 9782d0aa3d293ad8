/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/edge/store_impl.h"
#include "lib/cleanup.h"
#include "lib/crc32c.h"
#include "lib/must.h"
#include "lib/wire.h"

#define TABLE_BYTES_MAX 4096

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v2(db, sql, -1, ret, NULL);
}

static int done(sqlite3_stmt *s)
{
	int r = sqlite3_step(s);

	return r == SQLITE_DONE || r == SQLITE_ROW ? SQLITE_OK : r;
}

int store_sql_open(const char *path, bool is_writer, sqlite3 **ret)
{
	int flags = is_writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
	int r = sqlite3_open_v2(path, ret, flags | SQLITE_OPEN_NOMUTEX, NULL);

	if (!r)
		r = sqlite3_extended_result_codes(*ret, 1);
	if (!r)
		r = sqlite3_busy_timeout(*ret, 10000);
	if (!r && is_writer)
		r = sqlite3_exec(*ret, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", NULL,
				 NULL, NULL);
	return r;
}

int store_sql_open_reader(const char *path, sqlite3 **ret)
{
	return store_sql_open(path, false, ret) || store_sql_exec(*ret, "BEGIN", 0) ? -EIO : 0;
}

int store_sql_init(sqlite3 *db)
{
	return sqlite3_exec(
		db,
		"CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;"
		"CREATE TABLE IF NOT EXISTS log(idx INTEGER PRIMARY KEY, generation INT, number "
		"INT,"
		" starter INT, kind INT, origin INT, instance INT, request INT, payload BLOB,"
		" crc INT);"
		"CREATE TABLE IF NOT EXISTS snapshot(idx INTEGER PRIMARY KEY, crc INT, members "
		"BLOB,"
		" bytes BLOB);",
		NULL, NULL, NULL);
}

int store_sql_get(sqlite3 *db, const char *key, void *buf, size_t cap, size_t *ret_len)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = prepare(db, "SELECT value FROM meta WHERE key=?", &s);

	*ret_len = 0;
	if (r)
		return r;
	sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	r = sqlite3_step(s);
	if (r == SQLITE_DONE)
		return SQLITE_OK;
	if (r != SQLITE_ROW)
		return r;
	if ((size_t)sqlite3_column_bytes(s, 0) > cap)
		return SQLITE_CORRUPT;
	*ret_len = (size_t)sqlite3_column_bytes(s, 0);
	if (*ret_len)
		memcpy(buf, sqlite3_column_blob(s, 0), *ret_len);
	return SQLITE_OK;
}

int store_sql_set(sqlite3 *db, const char *key, const void *buf, size_t len)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = prepare(db, "INSERT OR REPLACE INTO meta VALUES(?,?)", &s);

	if (r)
		return r;
	sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_blob(s, 2, buf, (int)len, SQLITE_STATIC);
	return done(s);
}

int store_sql_get_u64(sqlite3 *db, const char *key, uint64_t *ret)
{
	uint8_t buf[8];
	size_t len;
	struct wire_reader rd;
	int r = store_sql_get(db, key, buf, sizeof(buf), &len);

	*ret = 0;
	if (r || !len)
		return r;
	wire_reader_init(&rd, buf, len);
	*ret = wire_get_u64(&rd);
	return wire_reader_end(&rd) ? SQLITE_CORRUPT : SQLITE_OK;
}

int store_sql_set_u64(sqlite3 *db, const char *key, uint64_t v)
{
	uint8_t buf[8];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u64(&w, v);
	return store_sql_set(db, key, buf, sizeof(buf));
}

int store_sql_exec(sqlite3 *db, const char *sql, uint64_t arg)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = prepare(db, sql, &s);

	if (r)
		return r;
	if (sqlite3_bind_parameter_count(s))
		sqlite3_bind_int64(s, 1, (sqlite3_int64)arg);
	return done(s);
}

int store_sql_put_entry(sqlite3 *db, const struct store_entry *e)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = prepare(db, "INSERT INTO log VALUES(?,?,?,?,?,?,?,?,?,?)", &s);

	if (r)
		return r;
	sqlite3_bind_int64(s, 1, (sqlite3_int64)e->index);
	sqlite3_bind_int64(s, 2, e->epoch.generation);
	sqlite3_bind_int64(s, 3, (sqlite3_int64)e->epoch.number);
	sqlite3_bind_int(s, 4, e->epoch.starter);
	sqlite3_bind_int(s, 5, e->kind);
	sqlite3_bind_int(s, 6, e->origin);
	sqlite3_bind_int64(s, 7, (sqlite3_int64)e->instance);
	sqlite3_bind_int64(s, 8, (sqlite3_int64)e->request);
	sqlite3_bind_blob(s, 9, e->payload, (int)e->payload_len, SQLITE_STATIC);
	sqlite3_bind_int64(s, 10, store_entry_crc(e));
	return done(s);
}

/* False if it is not what was written. Entries of schema version 1 have no checksum. */
static bool read_entry(sqlite3_stmt *s, struct store_log *log)
{
	struct repl_entry e = {
		.index = (uint64_t)sqlite3_column_int64(s, 0),
		.epoch = {.generation = (uint32_t)sqlite3_column_int64(s, 1),
			  .number = (uint64_t)sqlite3_column_int64(s, 2),
			  .starter = (uint8_t)sqlite3_column_int(s, 3)},
		.kind = (uint8_t)sqlite3_column_int(s, 4),
		.origin = (uint8_t)sqlite3_column_int(s, 5),
		.instance = (uint64_t)sqlite3_column_int64(s, 6),
		.request = (uint64_t)sqlite3_column_int64(s, 7),
		.payload = {sqlite3_column_blob(s, 8), (size_t)sqlite3_column_bytes(s, 8)},
	};

	store_log_push(log, &e);
	return sqlite3_column_type(s, 9) == SQLITE_NULL ||
	       (uint32_t)sqlite3_column_int64(s, 9) == store_entry_crc(&log->entry[log->count - 1]);
}

int store_sql_read_log(sqlite3 *db, uint64_t after, uint64_t until, struct store_log *ret)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = prepare(
		db,
		"SELECT idx, generation, number, starter, kind, origin, instance, request, payload,"
		" crc FROM log WHERE idx>? AND idx<=? ORDER BY idx",
		&s);

	if (r)
		return r;
	sqlite3_bind_int64(s, 1, store_sql_bound(after));
	sqlite3_bind_int64(s, 2, store_sql_bound(until));
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		/* A gap would let us claim a history that we do not hold. */
		if (!read_entry(s, ret) || ret->entry[ret->count - 1].index != after + ret->count)
			return SQLITE_CORRUPT;
	}
	return r == SQLITE_DONE ? SQLITE_OK : r;
}

int store_sql_put_snapshot(sqlite3 *db, const struct store_snapshot *snap,
			   const struct cl_table *table)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	uint8_t members[TABLE_BYTES_MAX];
	struct wire_writer w;
	size_t len;
	int r = prepare(db, "INSERT OR REPLACE INTO snapshot VALUES(?,?,?,?)", &s);

	if (r)
		return r;
	wire_writer_init(&w, members, sizeof(members));
	cl_table_put(&w, table);
	must(!wire_writer_end(&w, &len));
	sqlite3_bind_int64(s, 1, (sqlite3_int64)snap->index);
	sqlite3_bind_int64(s, 2, crc32c(crc32c(0, members, len), snap->bytes, snap->len));
	sqlite3_bind_blob(s, 3, members, (int)len, SQLITE_STATIC);
	sqlite3_bind_blob(s, 4, snap->bytes, (int)snap->len, SQLITE_STATIC);
	return done(s);
}

/* False if the row is damaged: the next older one is tried. */
static bool take_snapshot(sqlite3_stmt *s, struct store_snapshot *ret, struct cl_table *ret_table)
{
	const void *members = sqlite3_column_blob(s, 2), *bytes = sqlite3_column_blob(s, 3);
	size_t members_len = (size_t)sqlite3_column_bytes(s, 2);
	size_t len = (size_t)sqlite3_column_bytes(s, 3);
	struct cl_table table;
	struct wire_reader rd;

	if (crc32c(crc32c(0, members, members_len), bytes, len) !=
	    (uint32_t)sqlite3_column_int64(s, 1))
		return false;
	wire_reader_init(&rd, members, members_len);
	cl_table_get(&rd, &table);
	if (wire_reader_end(&rd))
		return false;
	ret->bytes = malloc(len ? len : 1);
	must(ret->bytes);
	memcpy(ret->bytes, bytes, len);
	ret->len = len;
	ret->index = (uint64_t)sqlite3_column_int64(s, 0);
	*ret_table = table;
	return true;
}

int store_sql_read_snapshot(sqlite3 *db, uint64_t until, struct store_snapshot *ret,
			    struct cl_table *ret_table)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = prepare(db, "SELECT * FROM snapshot WHERE idx<=? ORDER BY idx DESC", &s);

	*ret = (struct store_snapshot){0};
	if (r)
		return r;
	sqlite3_bind_int64(s, 1, store_sql_bound(until));
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		if (take_snapshot(s, ret, ret_table))
			return SQLITE_OK;
	}
	return r == SQLITE_DONE ? SQLITE_OK : r;
}

int store_sql_first(sqlite3 *db, uint64_t *ret)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = prepare(db, "SELECT min(idx) FROM log", &s);

	*ret = 0;
	if (r)
		return r;
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(s, 0);
	return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

int store_sql_epoch_at(sqlite3 *db, uint64_t index, struct cl_epoch *ret)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = prepare(db, "SELECT generation, number, starter FROM log WHERE idx=?", &s);

	if (r)
		return -EIO;
	sqlite3_bind_int64(s, 1, (sqlite3_int64)index);
	if (sqlite3_step(s) != SQLITE_ROW)
		return -ENOENT;
	*ret = (struct cl_epoch){.generation = (uint32_t)sqlite3_column_int64(s, 0),
				 .number = (uint64_t)sqlite3_column_int64(s, 1),
				 .starter = (uint8_t)sqlite3_column_int(s, 2)};
	return 0;
}
