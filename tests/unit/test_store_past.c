/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far back the database file can be looked at: what a checkpoint keeps, and what is read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clusterd/edge/store_impl.h"

#define EVERY	   1000 /* entries from one checkpoint to the next */
#define LAST	   200000
#define SNAPSHOT   64 /* bytes */
#define TIME_START 1000000

struct file {
	char dir[32], path[64];
	sqlite3 *db;
};

static int setup(void **state)
{
	struct file *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_past.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/db", f->dir);
	assert_int_equal(store_sql_open(f->path, true, &f->db), 0);
	assert_int_equal(store_sql_init(f->db), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const more[] = {"", "-wal", "-shm"};
	struct file *f = *state;
	char name[80];

	sqlite3_close(f->db);
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", f->path, more[i]);
		unlink(name);
	}
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void begin(struct file *f)
{
	assert_int_equal(store_sql_exec(f->db, "BEGIN", 0), 0);
}

static void commit(struct file *f)
{
	assert_int_equal(store_sql_exec(f->db, "COMMIT", 0), 0);
}

static void put_bytes(struct file *f, uint64_t index, const void *payload, size_t len)
{
	struct repl_entry e = {.index = index,
			       .epoch = {.number = 1},
			       .kind = len ? CL_ENTRY_COMMAND : CL_ENTRY_EPOCH,
			       .payload = {payload, len}};
	struct store_log log = {0};

	store_log_push(&log, &e);
	assert_int_equal(store_sql_put_entry(f->db, &log.entry[0]), 0);
	store_log_clear(&log);
}

static void put(struct file *f, uint64_t index)
{
	put_bytes(f, index, NULL, 0);
}

static void put_command(struct file *f, uint64_t index, uint64_t at_ms)
{
	struct db_command c = {.type = DB_CMD_CLUSTER_INIT, .at_ms = at_ms};
	uint8_t buf[DB_COMMAND_MAX];
	size_t len;

	assert_int_equal(db_command_encode(&c, buf, sizeof(buf), &len), 0);
	assert_true(db_command_ms(buf, len) == at_ms);
	put_bytes(f, index, buf, len);
}

static void checkpoint(struct file *f, uint64_t index)
{
	uint8_t bytes[SNAPSHOT];
	struct store_snapshot s = {.index = index, .bytes = bytes, .len = sizeof(bytes)};
	struct cl_table table = {0};

	memset(bytes, (int)(index / EVERY), sizeof(bytes));
	assert_int_equal(store_sql_put_snapshot(f->db, &s, &table), 0);
	assert_int_equal(store_past_thin(f->db), 0);
}

static uint64_t number(const struct file *f, const char *text)
{
	sqlite3_stmt *s;
	uint64_t n;

	assert_int_equal(sqlite3_prepare_v2(f->db, text, -1, &s, NULL), 0);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return n;
}

/* The state as of that entry can be made, of a snapshot that is at most so old. */
static void reads(const struct file *f, uint64_t index, uint64_t entries_max)
{
	struct store_snapshot s;
	struct store_log log;
	uint64_t oldest;

	assert_int_equal(store_read_past(f->path, index, &s, &log, &oldest), 0);
	assert_true(oldest <= index);
	assert_int_equal(s.index + log.count, index);
	assert_true(log.count <= entries_max);
	for (size_t i = 0; i < log.count; i++)
		assert_int_equal(log.entry[i].index, s.index + 1 + i);
	if (s.bytes)
		assert_int_equal(s.bytes[0], s.index / EVERY & 0xff);
	free(s.bytes);
	store_log_clear(&log);
}

static void reads_not(const struct file *f, uint64_t index, int error, uint64_t oldest)
{
	struct store_snapshot s;
	struct store_log log;
	uint64_t found;

	assert_int_equal(store_read_past(f->path, index, &s, &log, &found), error);
	assert_null(s.bytes);
	assert_int_equal(log.count, 0);
	assert_int_equal(found, oldest);
}

static void what_is_promised_is_kept_and_not_much_more(void **state)
{
	struct file *f = *state;
	uint64_t steps = STORE_PAST_ENTRIES / STORE_PAST_STEP, oldest;

	for (uint64_t i = 1; i <= LAST; i++) {
		if (i % EVERY == 1)
			begin(f);
		put(f, i);
		if (i % EVERY)
			continue;
		checkpoint(f, i);
		commit(f);
		assert_true(number(f, "SELECT count(*) FROM snapshot") <= steps + 4);
		assert_int_equal(number(f, "SELECT max(idx) FROM snapshot"), i);
		if (i > EVERY)
			assert_int_equal(number(f, "SELECT idx FROM snapshot ORDER BY idx DESC "
						   "LIMIT 1 OFFSET 1"),
					 i - EVERY);
		oldest = number(f, "SELECT min(idx) FROM snapshot");
		if (number(f, "SELECT min(idx) FROM log") == 1)
			oldest = 1; /* no snapshot is needed yet */
		assert_true(i <= STORE_PAST_ENTRIES || oldest <= i - STORE_PAST_ENTRIES);
		assert_true(oldest + STORE_PAST_ENTRIES + STORE_PAST_STEP + EVERY >= i);
		assert_true(number(f, "SELECT min(idx) FROM log") <= oldest + 1);
	}
	oldest = number(f, "SELECT min(idx) FROM snapshot");
	assert_true(number(f, "SELECT count(*) FROM log") <
		    STORE_PAST_ENTRIES + STORE_PAST_STEP + 10 * EVERY);
	for (uint64_t i = LAST - STORE_PAST_ENTRIES; i <= LAST; i += 4093)
		reads(f, i, STORE_PAST_STEP + EVERY);
	reads(f, oldest, 0);
	reads(f, LAST, 0);
	reads_not(f, oldest - 1, -ENOENT, oldest);
	reads_not(f, LAST + 1, -ENOENT, oldest);
	reads_not(f, 0, -ENOENT, oldest);
}

static void before_the_first_snapshot_the_log_is_all(void **state)
{
	struct file *f = *state;

	for (uint64_t i = 1; i <= 30; i++)
		put(f, i);
	reads(f, 1, 1);
	reads(f, 30, 30);
	reads_not(f, 31, -ENOENT, 1);
	reads_not(f, 0, -ENOENT, 1);
	checkpoint(f, 20); /* it alone: nothing is deleted yet */
	reads(f, 19, 19);
	reads(f, 25, 5);
}

/* As after an install: what the log held before is gone. */
static void the_log_may_begin_behind_a_snapshot(void **state)
{
	struct file *f = *state;

	checkpoint(f, 5000);
	for (uint64_t i = 5001; i <= 5010; i++)
		put(f, i);
	reads(f, 5000, 0);
	reads(f, 5010, 10);
	reads_not(f, 4999, -ENOENT, 5000);
}

static void a_damaged_snapshot_gives_way_to_an_older_one(void **state)
{
	struct file *f = *state;

	for (uint64_t i = 1; i <= 3 * EVERY; i++) {
		put(f, i);
		if (i % EVERY == 0)
			checkpoint(f, i);
	}
	reads(f, 3 * EVERY, 0);
	assert_int_equal(
		store_sql_exec(f->db, "UPDATE snapshot SET crc=crc+1 WHERE idx=?1", 3 * EVERY), 0);
	reads(f, 3 * EVERY, EVERY);
}

static void damage_and_a_missing_file_are_errors(void **state)
{
	struct file *f = *state;
	struct store_snapshot s;
	struct store_log log;
	uint64_t oldest, index;

	for (uint64_t i = 1; i <= 9; i++)
		put(f, i);
	assert_int_equal(store_sql_exec(f->db, "UPDATE log SET crc=crc+1 WHERE idx=?1", 5), 0);
	reads(f, 4, 4);
	reads_not(f, 7, -EIO, 1);
	assert_int_equal(store_read_past("/nonexistent/db", 7, &s, &log, &oldest), -EIO);
	assert_int_equal(store_read_index_at("/nonexistent/db", 7, 7, &index), -EIO);
}

static uint64_t index_at(const struct file *f, uint64_t until, uint64_t at_ms)
{
	uint64_t index = 0;
	int r = store_read_index_at(f->path, until, at_ms, &index);

	assert_true(r == 0 || r == -ENOENT);
	assert_int_equal(r == 0, index != 0);
	return index;
}

static void a_time_is_that_of_the_newest_entry_not_after_it(void **state)
{
	struct file *f = *state;

	put(f, 1);
	for (uint64_t i = 2; i <= 10; i++)
		put_command(f, i, TIME_START + 10 * i);
	put(f, 11); /* says no time */
	put_bytes(f, 12, "?", 1);
	assert_int_equal(index_at(f, 12, TIME_START + 20), 2);
	assert_int_equal(index_at(f, 12, TIME_START + 59), 5);
	assert_int_equal(index_at(f, 12, TIME_START + 60), 6);
	assert_int_equal(index_at(f, 12, UINT64_MAX), 10);
	assert_int_equal(index_at(f, 7, UINT64_MAX), 7);
	assert_int_equal(index_at(f, UINT64_MAX, UINT64_MAX), 10);
	assert_int_equal(index_at(f, 12, TIME_START + 19), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_promised_is_kept_and_not_much_more, setup,
						teardown),
		cmocka_unit_test_setup_teardown(before_the_first_snapshot_the_log_is_all, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_log_may_begin_behind_a_snapshot, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_damaged_snapshot_gives_way_to_an_older_one, setup,
						teardown),
		cmocka_unit_test_setup_teardown(damage_and_a_missing_file_are_errors, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_time_is_that_of_the_newest_entry_not_after_it,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
