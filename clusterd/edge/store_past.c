/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far back the database can be looked at: what is kept of it, and how it is read. */
#include <errno.h>
#include <stdlib.h>

#include "clusterd/edge/store_impl.h"

#define TRIM_MAX "4000" /* entries that one checkpoint deletes: the writes behind it wait */

/*
 * Of older snapshots the first of each step stays, and the newest one that is as old as what is
 * kept. The log goes piece by piece.
 */
int store_past_thin(sqlite3 *db)
{
	int r = store_sql_exec(
		db,
		"DELETE FROM snapshot WHERE"
		" idx NOT IN (SELECT idx FROM snapshot ORDER BY idx DESC LIMIT 2) AND"
		" EXISTS (SELECT 1 FROM snapshot o WHERE o.idx<snapshot.idx AND"
		"  o.idx/?1=snapshot.idx/?1)",
		STORE_PAST_STEP);

	if (!r)
		r = store_sql_exec(
			db,
			"DELETE FROM snapshot WHERE"
			" idx NOT IN (SELECT idx FROM snapshot ORDER BY idx DESC LIMIT 2) AND"
			" EXISTS (SELECT 1 FROM snapshot o WHERE o.idx>snapshot.idx AND"
			"  o.idx<=(SELECT max(idx) FROM snapshot)-?1)",
			STORE_PAST_ENTRIES);
	if (!r)
		r = store_sql_exec(db,
				   "DELETE FROM log WHERE (SELECT min(idx) FROM snapshot)"
				   "  <=(SELECT max(idx) FROM snapshot)-?1 AND"
				   " idx<=(SELECT min(idx) FROM snapshot) AND"
				   " idx<(SELECT min(idx) FROM log)+" TRIM_MAX,
				   STORE_PAST_ENTRIES);
	return r;
}

/* The first state that can be made: of the oldest snapshot, or of the first entry. */
static int oldest(sqlite3 *db, uint64_t *ret)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	uint64_t first;

	if (store_sql_first(db, &first) ||
	    sqlite3_prepare_v2(db, "SELECT min(idx) FROM snapshot", -1, &s, NULL) ||
	    sqlite3_step(s) != SQLITE_ROW)
		return -EIO;
	*ret = first == 1 ? 1 : (uint64_t)sqlite3_column_int64(s, 0);
	return 0;
}

int store_read_past(const char *path, uint64_t index, struct store_snapshot *ret_snapshot,
		    struct store_log *ret_log, uint64_t *ret_oldest)
{
	_cleanup_sqlite_ sqlite3 *db = NULL;
	struct cl_table table;
	int r;

	*ret_snapshot = (struct store_snapshot){0};
	*ret_log = (struct store_log){0};
	*ret_oldest = 0;
	r = store_sql_open_reader(path, &db);
	if (!r)
		r = oldest(db, ret_oldest);
	if (r)
		return r;
	if (!index || index < *ret_oldest)
		return -ENOENT;
	if (store_sql_read_snapshot(db, index, ret_snapshot, &table) ||
	    store_sql_read_log(db, ret_snapshot->index, index, ret_log))
		r = -EIO;
	else if (ret_snapshot->index + ret_log->count != index)
		r = -ENOENT;
	if (r) {
		store_log_clear(ret_log);
		free(ret_snapshot->bytes);
		*ret_snapshot = (struct store_snapshot){0};
	}
	return r;
}

int store_read_index_at(const char *path, uint64_t until, uint64_t at_ms, uint64_t *ret)
{
	_cleanup_sqlite_ sqlite3 *db = NULL;
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = store_sql_open_reader(path, &db);

	if (r)
		return r;
	if (sqlite3_prepare_v2(
		    db, "SELECT idx, payload FROM log WHERE kind=? AND idx<=? ORDER BY idx DESC",
		    -1, &s, NULL))
		return -EIO;
	sqlite3_bind_int(s, 1, CL_ENTRY_COMMAND);
	sqlite3_bind_int64(s, 2, store_sql_bound(until));
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		const void *payload = sqlite3_column_blob(s, 1);
		uint64_t ms = db_command_ms(payload, (size_t)sqlite3_column_bytes(s, 1));

		if (!ms || ms > at_ms)
			continue;
		*ret = (uint64_t)sqlite3_column_int64(s, 0);
		return 0;
	}
	return r == SQLITE_DONE ? -ENOENT : -EIO;
}
