/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database file: what is said to be durable is there after a close, a kill and damage. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>
#include <sqlite3.h>

#include "clusterd/edge/store.h"
#include "lib/cleanup.h"

#define GUARD_MS     10000
#define ANSWERS_MAX  256
#define PAYLOAD_STEP 37

static const struct cl_uuid cluster = {{1, 2, 3, 4, 5, 6, 7, 8}};
static const struct cl_epoch epoch = {.generation = 0, .number = 7, .starter = 2};

enum answer_kind { DURABLE, PROMISED, INSTALLED };

struct fixture {
	char dir[64], path[128];
	qb_loop_t *loop;
	struct store *store;
	struct store_content content;
	char text[512];
	struct {
		enum answer_kind kind;
		uint64_t number;
	} answer[ANSWERS_MAX];
	size_t answers;
	uint64_t durable;    /* highest so far */
	uint64_t wanted;     /* the loop ends when so much is durable */
	size_t wanted_count; /* or when there are so many answers */
	bool wants_install;  /* or when one says that it is installed */
	bool has_failed;
	bool has_timed_out;
	struct store_saved saved; /* of the last install */
	char failure[256];
	int report_fd; /* a child tells what is durable here */
};

static void take(struct fixture *f, enum answer_kind kind, uint64_t number)
{
	if (f->answers < ANSWERS_MAX) {
		f->answer[f->answers].kind = kind;
		f->answer[f->answers].number = number;
		f->answers++;
	}
	if ((f->wanted_count && f->answers >= f->wanted_count) ||
	    (f->wants_install && kind == INSTALLED))
		qb_loop_stop(f->loop);
}

static void on_durable(void *arg, uint64_t index)
{
	struct fixture *f = arg;

	f->durable = index;
	take(f, DURABLE, index);
	if (f->report_fd >= 0 && write(f->report_fd, &index, sizeof(index)) != sizeof(index))
		_exit(1);
	if (f->wanted && index >= f->wanted)
		qb_loop_stop(f->loop);
}

static void on_promised(void *arg, uint64_t number)
{
	take(arg, PROMISED, number);
}

static void on_installed(void *arg, uint64_t end, const struct store_saved *saved)
{
	struct fixture *f = arg;

	f->saved = saved ? *saved : (struct store_saved){0};
	take(arg, INSTALLED, end);
}

static void on_failed(void *arg, const char *what)
{
	struct fixture *f = arg;

	f->has_failed = true;
	snprintf(f->failure, sizeof(f->failure), "%s", what);
	qb_loop_stop(f->loop);
}

static void on_stalled(void *arg, const char *what)
{
	(void)arg;
	(void)what;
}

static const struct store_calls calls = {on_durable, on_promised, on_installed, on_failed,
					 on_stalled};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->report_fd = -1;
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_store.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/db", f->dir);
	f->loop = qb_loop_create();
	assert_non_null(f->loop);
	*state = f;
	return 0;
}

static void content_clear(struct store_content *c)
{
	store_log_clear(&c->log);
	free(c->snapshot.bytes);
	*c = (struct store_content){0};
}

static void remove_file(const struct fixture *f, const char *suffix)
{
	char path[160];

	snprintf(path, sizeof(path), "%s%s", f->path, suffix);
	unlink(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	store_close(f->store);
	content_clear(&f->content);
	qb_loop_destroy(f->loop);
	remove_file(f, "");
	remove_file(f, "-wal");
	remove_file(f, "-shm");
	remove_file(f, "-journal");
	remove_file(f, ".mark");
	rmdir(f->dir);
	free(f);
	return 0;
}

static int open_raw(struct fixture *f)
{
	f->text[0] = 0;
	return store_open(f->path, f->loop, &calls, f, &f->store, &f->content, f->text,
			  sizeof(f->text));
}

static void open_store(struct fixture *f)
{
	assert_int_equal(open_raw(f), 0);
}

static void close_store(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
	content_clear(&f->content);
}

static void reopen(struct fixture *f)
{
	close_store(f);
	open_store(f);
}

static void on_guard(void *data)
{
	struct fixture *f = data;

	f->has_timed_out = true;
	qb_loop_stop(f->loop);
}

static void run_loop(struct fixture *f)
{
	qb_loop_timer_handle guard;

	assert_int_equal(qb_loop_timer_add(f->loop, QB_LOOP_HIGH, GUARD_MS * 1000000ULL, f,
					   on_guard, &guard),
			 0);
	qb_loop_run(f->loop);
	qb_loop_timer_del(f->loop, guard);
	assert_false(f->has_timed_out);
}

static void wait_durable(struct fixture *f, uint64_t index)
{
	f->wanted = index;
	if (f->durable < index)
		run_loop(f);
	f->wanted = 0;
	assert_false(f->has_failed);
	assert_int_equal(f->durable, index);
}

static void wait_answers(struct fixture *f, size_t count)
{
	f->wanted_count = count;
	if (f->answers < count)
		run_loop(f);
	f->wanted_count = 0;
}

/* Entries before it are answered in as many steps as they were written in. Returns its number. */
static uint64_t wait_installed(struct fixture *f)
{
	f->wants_install = true;
	while (!f->answers || f->answer[f->answers - 1].kind != INSTALLED)
		run_loop(f);
	f->wants_install = false;
	return f->answer[f->answers - 1].number;
}

static struct cl_table table_of(uint64_t changed_at)
{
	struct cl_table table = {.changed_at = changed_at};

	table.member[0] = (struct cl_member){.nodeid = 101, .vote = 1, .name = "n101"};
	table.member[1] = (struct cl_member){.nodeid = 102, .vote = 1, .name = "n102"};
	return table;
}

/* The entry that stands at an index in every test: genesis, a row of the table, or a command. */
static struct repl_entry make_entry(uint64_t index, uint8_t *buf, size_t cap)
{
	struct repl_entry e = {.epoch = epoch,
			       .index = index,
			       .kind = CL_ENTRY_COMMAND,
			       .origin = (uint8_t)(index % 16),
			       .instance = UINT64_MAX - index,
			       .request = index,
			       .payload = {buf, (size_t)(index * PAYLOAD_STEP % 1000)}};

	memset(buf, (int)(index & 0xff), cap);
	if (index == 1) {
		struct cl_table table = table_of(1);

		e.kind = CL_ENTRY_GENESIS;
		assert_int_equal(store_genesis_encode(&cluster, &table, buf, cap, &e.payload.len),
				 0);
	} else if (index == 2) {
		struct cl_member row = {.nodeid = 103, .name = "n103"};

		e.kind = CL_ENTRY_TABLE;
		assert_int_equal(cl_row_encode(4, &row, buf, cap, &e.payload.len), 0);
	}
	return e;
}

static void append(struct fixture *f, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= last; i++) {
		uint8_t buf[4096];
		struct repl_entry e = make_entry(i, buf, sizeof(buf));

		store_append(f->store, &e);
	}
}

static void check_entry(const struct store_entry *e, uint64_t index)
{
	uint8_t buf[4096];
	struct repl_entry want = make_entry(index, buf, sizeof(buf));

	assert_int_equal(e->index, index);
	assert_int_equal(cl_epoch_compare(&e->epoch, &want.epoch), 0);
	assert_int_equal(e->epoch.starter, want.epoch.starter);
	assert_int_equal(e->kind, want.kind);
	assert_int_equal(e->origin, want.origin);
	assert_int_equal(e->instance, want.instance);
	assert_int_equal(e->request, want.request);
	assert_int_equal(e->payload_len, want.payload.len);
	if (e->payload_len)
		assert_memory_equal(e->payload, buf, e->payload_len);
}

static void check_log(const struct store_log *log, uint64_t first, uint64_t last)
{
	assert_int_equal(log->count, last + 1 - first);
	for (size_t i = 0; i < log->count; i++)
		check_entry(&log->entry[i], first + i);
}

#define SNAPSHOT_BYTES 5000

static void checkpoint(struct fixture *f, uint64_t index)
{
	struct cl_table table = table_of(index);
	uint8_t *bytes = malloc(SNAPSHOT_BYTES);

	assert_non_null(bytes);
	memset(bytes, (int)index, SNAPSHOT_BYTES);
	store_checkpoint(f->store, index, bytes, SNAPSHOT_BYTES, &table);
}

static void check_snapshot(const struct store_snapshot *s, uint64_t index)
{
	assert_int_equal(s->index, index);
	assert_non_null(s->bytes);
	assert_int_equal(s->len, SNAPSHOT_BYTES);
	for (size_t i = 0; i < s->len; i++)
		assert_int_equal(s->bytes[i], index & 0xff);
}

/* One statement, or one number, past the store's back (which must be closed, or at rest). */
static int64_t sql(const struct fixture *f, const char *text)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	int64_t value = -1;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &s, NULL), SQLITE_OK);
	if (sqlite3_step(s) == SQLITE_ROW)
		value = sqlite3_column_int64(s, 0);
	assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
	sqlite3_close(db);
	return value;
}

/* Entries 1 to 30, snapshots at 10, 20 and 25; closed. */
static void make_full(struct fixture *f)
{
	open_store(f);
	append(f, 1, 30);
	checkpoint(f, 10);
	checkpoint(f, 20);
	checkpoint(f, 25);
	store_commit(f->store, 28);
	store_promise(f->store, 9);
	append(f, 31, 31);
	wait_durable(f, 31);
	close_store(f);
}

/* ---- normal life */

static void a_new_file_is_blank(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	assert_true(f->content.is_blank);
	assert_int_equal(f->content.promised, 0);
	assert_int_equal(f->content.commit, 0);
	assert_int_equal(f->content.last.index, 0);
	assert_null(f->content.snapshot.bytes);
	assert_int_equal(f->content.log.count, 0);
}

static void a_new_file_is_for_its_owner_only(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	open_store(f);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
}

static void entries_become_durable_in_their_order(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;

	open_store(f);
	for (uint64_t i = 1; i <= 50; i += 5) {
		append(f, i, i + 4);
		if (i % 2)
			wait_durable(f, i + 4);
	}
	wait_durable(f, 50);
	for (size_t i = 0; i < f->answers; i++) {
		assert_int_equal(f->answer[i].kind, DURABLE);
		assert_true(f->answer[i].number > last);
		last = f->answer[i].number;
	}
	assert_int_equal(last, 50);
}

static void answers_of_all_kinds_come_in_the_order_of_the_calls(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	append(f, 1, 3);
	store_promise(f->store, 5);
	append(f, 4, 4);
	store_promise(f->store, 6);
	append(f, 5, 6);
	wait_durable(f, 6);
	assert_true(f->answers >= 5);
	for (size_t i = 0, appended = 0; i < f->answers; i++) {
		if (f->answer[i].kind == DURABLE)
			appended = (size_t)f->answer[i].number;
		else if (f->answer[i].number == 5)
			assert_int_equal(appended, 3);
		else
			assert_int_equal(appended, 4);
	}
}

static void what_was_written_is_there_after_a_close(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	append(f, 1, 40);
	store_promise(f->store, 8);
	wait_answers(f, 2);
	reopen(f);
	assert_false(f->content.is_blank);
	assert_memory_equal(&f->content.cluster, &cluster, sizeof(cluster));
	assert_int_equal(f->content.promised, 8);
	check_log(&f->content.log, 1, 40);
	assert_int_equal(f->content.last.index, 40);
	assert_int_equal(f->content.last.epoch.number, epoch.number);
}

static void a_close_waits_for_what_is_under_way(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	append(f, 1, 100);
	store_promise(f->store, 3);
	reopen(f);
	check_log(&f->content.log, 1, 100);
	assert_int_equal(f->content.promised, 3);
	assert_int_equal(f->answers, 0);
}

static void the_table_in_force_follows_the_log(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	append(f, 1, 3);
	reopen(f);
	assert_int_equal(f->content.table.member[1].nodeid, 102);
	assert_int_equal(f->content.table.member[4].nodeid, 103);
	assert_string_equal(f->content.table.member[4].name, "n103");
	assert_int_equal(f->content.table.changed_at, 2);
	assert_int_equal(f->content.snapshot_table.member[1].nodeid, 0);
}

static void a_commit_is_remembered_with_the_next_write(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	append(f, 1, 5);
	wait_durable(f, 5);
	store_commit(f->store, 4);
	store_commit(f->store, 3); /* never goes back */
	append(f, 6, 6);
	reopen(f);
	assert_int_equal(f->content.commit, 4);
}

static void numbers_above_the_signed_range_come_back(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	store_promise(f->store, UINT64_MAX - 1);
	reopen(f);
	assert_int_equal(f->content.promised, UINT64_MAX - 1);
}

/* ---- snapshots */

static void snapshots_are_kept_and_the_log(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	assert_int_equal(sql(f, "SELECT count(*) FROM snapshot"), 3);
	assert_int_equal(sql(f, "SELECT min(idx) FROM snapshot"), 10);
	assert_int_equal(sql(f, "SELECT max(idx) FROM snapshot"), 25);
	assert_int_equal(sql(f, "SELECT min(idx) FROM log"), 1);
	assert_int_equal(sql(f, "SELECT max(idx) FROM log"), 31);
}

static void one_snapshot_alone_trims_nothing(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	append(f, 1, 10);
	checkpoint(f, 10);
	close_store(f);
	assert_int_equal(sql(f, "SELECT count(*) FROM log"), 10);
}

static void the_newest_snapshot_and_the_log_after_it_are_loaded(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	open_store(f);
	check_snapshot(&f->content.snapshot, 25);
	check_log(&f->content.log, 26, 31);
	assert_int_equal(f->content.promised, 9);
	assert_int_equal(f->content.commit, 28);
	assert_int_equal(f->content.snapshot_table.changed_at, 25);
	assert_int_equal(f->content.snapshot_table.member[0].nodeid, 101);
	assert_int_equal(f->content.last.index, 31);
}

static void a_damaged_snapshot_gives_way_to_the_older(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	sql(f, "UPDATE snapshot SET bytes=zeroblob(5000) WHERE idx=25");
	open_store(f);
	check_snapshot(&f->content.snapshot, 20);
	check_log(&f->content.log, 21, 31);
	assert_int_equal(f->content.snapshot_table.changed_at, 20);
}

static void damaged_members_of_a_snapshot_are_damage_too(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	sql(f, "UPDATE snapshot SET members=zeroblob(9) WHERE idx=25");
	open_store(f);
	check_snapshot(&f->content.snapshot, 20);
}

static void with_both_snapshots_damaged_the_file_is_refused(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	sql(f, "DELETE FROM log WHERE idx<=20"); /* which alone would do */
	sql(f, "UPDATE snapshot SET crc=crc+1");
	assert_int_equal(open_raw(f), -EBADMSG);
	assert_null(f->store);
}

static void damage_that_sqlite_does_not_see_is_named(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	sql(f, "DELETE FROM log WHERE idx<=20"); /* which alone would do */
	sql(f, "UPDATE snapshot SET crc=crc+1");
	assert_int_equal(open_raw(f), -EBADMSG);
	assert_non_null(strstr(f->text, f->path));
	assert_null(strstr(f->text, "not an error"));
}

static void a_gap_in_the_log_is_refused(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	sql(f, "DELETE FROM log WHERE idx=28");
	assert_int_equal(open_raw(f), -EBADMSG);
}

static void a_log_entry_that_does_not_decode_is_refused(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	append(f, 1, 3);
	close_store(f);
	sql(f, "UPDATE log SET payload=zeroblob(3) WHERE idx=2");
	assert_int_equal(open_raw(f), -EBADMSG);
}

static void a_cluster_without_a_history_is_refused(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	append(f, 1, 3);
	close_store(f);
	sql(f, "DELETE FROM log");
	assert_int_equal(open_raw(f), -EBADMSG);
}

static void a_changed_bit_in_the_log_is_refused(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	sql(f, "UPDATE log SET request=request+1 WHERE idx=28");
	assert_int_equal(open_raw(f), -EBADMSG);
	assert_non_null(strstr(f->text, "checksum"));
	sql(f, "UPDATE log SET request=request-1 WHERE idx=28");
	open_store(f);
	close_store(f);
	sql(f, "UPDATE log SET payload=zeroblob(length(payload)) WHERE idx=30");
	assert_int_equal(open_raw(f), -EBADMSG);
}

static void a_changed_bit_in_the_log_is_given_to_nobody(void **state)
{
	struct fixture *f = *state;
	struct store_snapshot snapshot;
	struct store_log log;
	struct cl_table table;
	struct cl_uuid uuid;

	make_full(f);
	sql(f, "UPDATE log SET kind=1 WHERE idx=28");
	assert_int_not_equal(store_read(f->path, 26, &epoch, &uuid, &table, &snapshot, &log), 0);
}

static void a_file_of_schema_1_is_taken_over(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	sql(f, "ALTER TABLE log DROP COLUMN crc");
	sql(f, "UPDATE meta SET value=x'0100000000000000' WHERE key='schema'");
	open_store(f);
	check_log(&f->content.log, 26, 31);
	append(f, 32, 33);
	wait_durable(f, 33);
	reopen(f);
	check_log(&f->content.log, 26, 33);
}

/* ---- the mark beside the file */

static void the_mark_says_how_far_the_file_has_come(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	open_store(f);
	assert_true(f->content.mark.is_set);
	assert_int_equal(f->content.mark.promised, 9);
	assert_int_equal(f->content.mark.last.index, 31);
	assert_int_equal(f->content.mark.last.epoch.number, epoch.number);
	assert_memory_equal(&f->content.mark.cluster, &cluster, sizeof(cluster));
	assert_false(f->content.mark.is_restored);
}

static void an_older_file_does_not_change_what_the_mark_says(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	sql(f, "DELETE FROM log WHERE idx>27");
	sql(f, "UPDATE meta SET value=x'0200000000000000' WHERE key='promised'");
	open_store(f);
	assert_int_equal(f->content.last.index, 27);
	assert_int_equal(f->content.promised, 2);
	assert_int_equal(f->content.mark.last.index, 31);
	store_promise(f->store, 3); /* a promise alone does not make up for what is gone */
	reopen(f);
	assert_int_equal(f->content.mark.last.index, 31);
	assert_int_equal(f->content.mark.promised, 9);
	append(f, 28, 28);
	reopen(f);
	assert_int_equal(f->content.mark.last.index, 28);
}

static void a_torn_mark_says_nothing(void **state)
{
	struct fixture *f = *state;
	char path[160];
	int fd;

	make_full(f);
	snprintf(path, sizeof(path), "%s.mark", f->path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 30), 1);
	close(fd);
	open_store(f);
	assert_false(f->content.mark.is_set);
	check_log(&f->content.log, 26, 31);
}

/* ---- install */

static struct store_log log_of(uint64_t first, uint64_t last)
{
	struct store_log log = {0};

	for (uint64_t i = first; i <= last; i++) {
		uint8_t buf[4096];
		struct repl_entry e = make_entry(i, buf, sizeof(buf));

		store_log_push(&log, &e);
	}
	return log;
}

static void an_install_of_a_whole_log_leaves_no_snapshot(void **state)
{
	struct fixture *f = *state;
	struct store_log log = log_of(1, 5);
	struct store_snapshot none = {0};
	struct cl_table table = {0};

	make_full(f);
	open_store(f);
	store_install(f->store, &cluster, 0, &none, &log, &table, NULL);
	assert_int_equal(wait_installed(f), 5);
	reopen(f);
	assert_null(f->content.snapshot.bytes);
	check_log(&f->content.log, 1, 5);
}

static void an_install_replaces_what_is_after_keep(void **state)
{
	struct fixture *f = *state;
	struct store_log log = log_of(8, 12);
	struct store_snapshot none = {0};
	struct cl_table table = table_of(1);
	uint8_t buf[4096];
	struct repl_entry other;

	open_store(f);
	append(f, 1, 7);
	other = make_entry(8, buf, sizeof(buf));
	other.epoch.number = 3;
	other.payload.len = 2;
	store_append(f->store, &other);
	store_install(f->store, &cluster, 7, &none, &log, &table, NULL);
	assert_int_equal(log.count, 0);
	assert_null(log.entry);
	assert_int_equal(wait_installed(f), 12);
	reopen(f);
	check_log(&f->content.log, 1, 12);
}

static size_t lines_of(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n, lines = 0;

	assert_non_null(f);
	n = fread(text, 1, size - 1, f);
	text[n] = 0;
	fclose(f);
	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

/* Entries 6 and 7 are not the winner's: in the file, on the disk, before they go. */
static void an_install_keeps_what_differs_in_a_file(void **state)
{
	struct fixture *f = *state;
	struct store_log log = log_of(6, 12);
	struct store_snapshot none = {0};
	struct cl_table table = table_of(1);
	struct store_saving saving = {
		.is_wanted = true, .node = "n1", .part = {.common = 5, .is_known = true}};
	char text[8192];

	open_store(f);
	append(f, 1, 7);
	store_install(f->store, &cluster, 5, &none, &log, &table, &saving);
	assert_int_equal(wait_installed(f), 12);
	assert_true(f->saved.is_set);
	assert_int_equal(f->saved.after, 5);
	assert_int_equal(f->saved.entries, 2);
	assert_non_null(strstr(f->saved.file, "/saved/history-0.7-6-7.jsonl"));
	assert_int_equal(lines_of(f->saved.file, text, sizeof(text)), 3);
	assert_non_null(strstr(text, "\"node\":\"n1\""));
	assert_non_null(strstr(text, "\"index\":6"));
	assert_non_null(strstr(text, "\"index\":7"));
	assert_null(strstr(text, "\"index\":5,"));
	/* Until the cluster has been told, a restart remembers it. */
	reopen(f);
	check_log(&f->content.log, 1, 12);
	assert_true(f->content.saved.is_set);
	assert_int_equal(f->content.saved.entries, 2);
	assert_string_equal(f->content.saved.file, f->saved.file);
	store_saved_told(f->store);
	reopen(f);
	assert_false(f->content.saved.is_set);
	assert_int_equal(unlink(f->saved.file), 0);
	snprintf(text, sizeof(text), "%s/saved", f->dir);
	assert_int_equal(rmdir(text), 0);
}

/* A file in the place of the folder: nothing can be kept, so nothing goes. */
static void an_install_that_cannot_keep_what_differs_replaces_nothing(void **state)
{
	struct fixture *f = *state;
	struct store_log log = log_of(6, 12);
	struct store_snapshot none = {0};
	struct cl_table table = table_of(1);
	struct store_saving saving = {.is_wanted = true, .node = "n1", .part = {.common = 5}};
	char path[160];
	FILE *in_the_way;

	open_store(f);
	append(f, 1, 7);
	wait_durable(f, 7);
	snprintf(path, sizeof(path), "%s/saved", f->dir);
	in_the_way = fopen(path, "w");
	assert_non_null(in_the_way);
	fclose(in_the_way);
	store_install(f->store, &cluster, 5, &none, &log, &table, &saving);
	run_loop(f);
	assert_true(f->has_failed);
	assert_non_null(strstr(f->failure, "cannot be kept in"));
	reopen(f);
	check_log(&f->content.log, 1, 7);
	assert_int_equal(unlink(path), 0);
}

/* A lower index than what was committed in the history that goes. */
static void what_was_committed_in_a_history_that_goes_is_not_in_the_next(void **state)
{
	struct fixture *f = *state;
	struct store_log log = log_of(1, 4);
	struct store_snapshot none = {0};
	struct cl_table table = table_of(1);

	open_store(f);
	append(f, 1, 7);
	store_commit(f->store, 7);
	store_install(f->store, &cluster, 0, &none, &log, &table, NULL);
	assert_int_equal(wait_installed(f), 4);
	store_promise(f->store, 9);
	reopen(f);
	check_log(&f->content.log, 1, 4);
	assert_int_equal(f->content.commit, 0);
}

static void an_install_of_nothing_cuts_the_log(void **state)
{
	struct fixture *f = *state;
	struct store_log log = {0};
	struct store_snapshot none = {0};
	struct cl_table table = table_of(1);

	open_store(f);
	append(f, 1, 9);
	store_install(f->store, &cluster, 4, &none, &log, &table, NULL);
	assert_int_equal(wait_installed(f), 4);
	reopen(f);
	check_log(&f->content.log, 1, 4);
}

static struct store_snapshot snapshot_of(uint64_t index)
{
	struct store_snapshot s = {
		.index = index, .bytes = malloc(SNAPSHOT_BYTES), .len = SNAPSHOT_BYTES};

	assert_non_null(s.bytes);
	memset(s.bytes, (int)index, s.len);
	return s;
}

static void an_install_with_a_snapshot_replaces_everything(void **state)
{
	struct fixture *f = *state;
	struct store_log log = log_of(101, 105);
	struct store_snapshot snapshot = snapshot_of(100);
	struct cl_table table = table_of(60);
	static const struct cl_uuid other = {{9, 9}};

	make_full(f);
	open_store(f);
	f->answers = 0;
	store_install(f->store, &other, 0, &snapshot, &log, &table, NULL);
	assert_null(snapshot.bytes);
	wait_answers(f, 1);
	assert_int_equal(f->answer[0].number, 105);
	reopen(f);
	check_snapshot(&f->content.snapshot, 100);
	check_log(&f->content.log, 101, 105);
	assert_int_equal(f->content.snapshot_table.changed_at, 60);
	assert_int_equal(f->content.commit, 100);
	assert_int_equal(f->content.promised, 9);
	assert_memory_equal(&f->content.cluster, &other, sizeof(other));
	close_store(f);
	assert_int_equal(sql(f, "SELECT count(*) FROM snapshot"), 1);
}

static void an_install_that_fails_leaves_what_was(void **state)
{
	struct fixture *f = *state;
	struct store_log log = log_of(8, 9);
	struct store_snapshot none = {0};
	struct cl_table table = table_of(1);

	open_store(f);
	append(f, 1, 7);
	wait_durable(f, 7);
	log.entry[1].index = 8; /* the same index twice: the second is not taken */
	store_install(f->store, &cluster, 3, &none, &log, &table, NULL);
	run_loop(f);
	assert_true(f->has_failed);
	reopen(f);
	check_log(&f->content.log, 1, 7);
}

static void a_write_that_fails_is_said_and_nothing_after_it_is_durable(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	append(f, 1, 5);
	wait_durable(f, 5);
	append(f, 5, 5);
	run_loop(f);
	assert_true(f->has_failed);
	assert_string_not_equal(f->failure, "");
	append(f, 6, 8);
	reopen(f);
	assert_int_equal(f->durable, 5);
	check_log(&f->content.log, 1, 5);
}

static void writes_that_wait_at_a_failure_are_freed(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	append(f, 1, 5);
	wait_durable(f, 5);
	append(f, 5, 5);
	append(f, 6, 100); /* the leak checker sees what is lost */
	run_loop(f);
	assert_true(f->has_failed);
	reopen(f);
	check_log(&f->content.log, 1, 5);
}

/* ---- kill */

static _Noreturn void append_for_ever(struct fixture *f, int fd)
{
	f->report_fd = fd;
	if (open_raw(f))
		_exit(2);
	for (uint64_t i = 1;; i += 3) {
		append(f, i, i + 2);
		f->wanted = i + 2;
		if (i % 5 == 0) {
			checkpoint(f, i);
			store_promise(f->store, i);
		}
		qb_loop_run(f->loop);
	}
}

static void what_was_durable_survives_a_kill(void **state)
{
	struct fixture *f = *state;

	for (unsigned int round = 0; round < 8; round++) {
		uint64_t index = 0, durable = 0, first;
		int fd[2], status;
		pid_t pid;

		assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			append_for_ever(f, fd[1]);
		close(fd[1]);
		while (durable < 10 + 17 * round && read(fd[0], &index, sizeof(index)) > 0)
			durable = index;
		usleep(round * 700);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(fd[0], &index, sizeof(index)) == sizeof(index))
			durable = index;
		close(fd[0]);

		open_store(f);
		first = f->content.snapshot.index + 1;
		assert_true(f->content.last.index >= durable);
		check_log(&f->content.log, first, f->content.last.index);
		if (f->content.snapshot.bytes)
			check_snapshot(&f->content.snapshot, first - 1);
		assert_true(f->content.promised <= f->content.last.index);
		close_store(f);
		remove_file(f, "");
		remove_file(f, "-wal");
		remove_file(f, "-shm");
	}
}

/* ---- damage of the file */

static off_t file_size(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	return st.st_size;
}

/* Opens a damaged file: an error with its words, or a history that is whole. */
static int open_damaged(struct fixture *f)
{
	int r = open_raw(f);

	if (r) {
		assert_null(f->store);
		assert_true(r < 0);
		assert_non_null(strstr(f->text, f->path));
		return r;
	}
	if (f->content.log.count)
		assert_int_equal(f->content.log.entry[0].index, f->content.snapshot.index + 1);
	close_store(f);
	return 0;
}

static void write_at(const struct fixture *f, off_t at, uint8_t byte, size_t len)
{
	_cleanup_free_ uint8_t *buf = malloc(len);
	_cleanup_close_ int fd = open(f->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_non_null(buf);
	memset(buf, byte, len);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, buf, len, at), len);
}

static void a_file_of_garbage_is_refused_by_name(void **state)
{
	struct fixture *f = *state;

	write_at(f, 0, 'x', 10000);
	assert_int_equal(open_damaged(f), -EBADMSG);
	assert_non_null(strstr(f->text, "not a database"));
}

static void a_file_of_zeros_is_refused_by_name(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	write_at(f, 0, 0, (size_t)file_size(f));
	assert_int_equal(open_damaged(f), -EBADMSG);
}

static void a_cut_file_is_refused_by_name(void **state)
{
	struct fixture *f = *state;
	off_t size;

	make_full(f);
	size = file_size(f);
	assert_int_equal(truncate(f->path, size / 2), 0);
	assert_int_equal(open_damaged(f), -EBADMSG);
}

static void a_file_cut_at_any_place_never_crashes(void **state)
{
	struct fixture *f = *state;
	off_t size;

	make_full(f);
	size = file_size(f);
	for (off_t at = size - 1; at > 0; at -= 1531) {
		assert_int_equal(truncate(f->path, at), 0);
		open_damaged(f);
		remove_file(f, "-wal");
		remove_file(f, "-shm");
	}
}

static void a_damaged_page_never_crashes(void **state)
{
	struct fixture *f = *state;
	off_t size;

	make_full(f);
	size = file_size(f);
	for (off_t at = 100; at < size; at += 977) {
		remove_file(f, "");
		make_full(f);
		write_at(f, at, 0xa5, 40);
		open_damaged(f);
		remove_file(f, "-wal");
		remove_file(f, "-shm");
	}
}

static void a_newer_schema_is_refused_by_name(void **state)
{
	struct fixture *f = *state;

	make_full(f);
	sql(f, "UPDATE meta SET value=x'0300000000000000' WHERE key='schema'");
	assert_int_equal(open_raw(f), -EPROTO);
	assert_non_null(strstr(f->text, "schema version 3"));
	assert_non_null(strstr(f->text, f->path));
}

static void a_path_that_cannot_be_opened_is_an_error(void **state)
{
	struct fixture *f = *state;
	char path[160];

	snprintf(path, sizeof(path), "%s/no/such/dir/db", f->dir);
	assert_true(store_open(path, f->loop, &calls, f, &f->store, &f->content, f->text,
			       sizeof(f->text)) < 0);
	assert_non_null(strstr(f->text, path));
	assert_null(f->store);
}

/* ---- read for others */

struct answer {
	struct cl_uuid cluster;
	struct cl_table table;
	struct store_snapshot snapshot;
	struct store_log log;
};

static int read_after(const struct fixture *f, uint64_t after, uint64_t number, struct answer *a)
{
	struct cl_epoch e = epoch;

	e.number = number;
	return store_read(f->path, after, &e, &a->cluster, &a->table, &a->snapshot, &a->log);
}

static void answer_clear(struct answer *a)
{
	free(a->snapshot.bytes);
	store_log_clear(&a->log);
}

static void a_reader_gets_entries_alone_if_the_log_reaches_back(void **state)
{
	struct fixture *f = *state;
	struct answer a;

	make_full(f);
	open_store(f); /* a reader beside the writer */
	assert_int_equal(read_after(f, 22, epoch.number, &a), 0);
	assert_null(a.snapshot.bytes);
	assert_memory_equal(&a.cluster, &cluster, sizeof(cluster));
	check_log(&a.log, 23, 31);
	answer_clear(&a);
	assert_int_equal(read_after(f, 31, epoch.number, &a), 0);
	assert_int_equal(a.log.count, 0);
	assert_null(a.snapshot.bytes);
	answer_clear(&a);
}

static void a_reader_from_before_the_log_gets_a_snapshot(void **state)
{
	struct fixture *f = *state;
	struct answer a;

	make_full(f);
	sql(f, "DELETE FROM log WHERE idx<=20");
	for (uint64_t after = 0; after <= 20; after += 10) {
		assert_int_equal(read_after(f, after, epoch.number, &a), 0);
		check_snapshot(&a.snapshot, 25);
		assert_int_equal(a.table.changed_at, 25);
		check_log(&a.log, 26, 31);
		answer_clear(&a);
	}
}

static void a_reader_that_is_far_behind_gets_a_snapshot_though_the_log_reaches_back(void **state)
{
	struct fixture *f = *state;
	struct answer a;

	open_store(f);
	append(f, 1, STORE_TAIL_MAX + 20);
	checkpoint(f, STORE_TAIL_MAX + 10);
	wait_durable(f, STORE_TAIL_MAX + 20);
	close_store(f);
	assert_int_equal(read_after(f, 20, epoch.number, &a), 0);
	assert_null(a.snapshot.bytes);
	check_log(&a.log, 21, STORE_TAIL_MAX + 20);
	answer_clear(&a);
	assert_int_equal(read_after(f, 19, epoch.number, &a), 0);
	check_snapshot(&a.snapshot, STORE_TAIL_MAX + 10);
	check_log(&a.log, STORE_TAIL_MAX + 11, STORE_TAIL_MAX + 20);
	answer_clear(&a);
}

static void a_reader_of_another_epoch_or_from_beyond_gets_a_snapshot(void **state)
{
	struct fixture *f = *state;
	struct answer a;

	make_full(f);
	assert_int_equal(read_after(f, 28, epoch.number - 1, &a), 0);
	check_snapshot(&a.snapshot, 25);
	answer_clear(&a);
	assert_int_equal(read_after(f, 99, epoch.number, &a), 0);
	check_snapshot(&a.snapshot, 25);
	check_log(&a.log, 26, 31);
	answer_clear(&a);
}

static void a_reader_without_a_snapshot_gets_the_whole_log(void **state)
{
	struct fixture *f = *state;
	struct answer a;

	open_store(f);
	append(f, 1, 6);
	wait_durable(f, 6);
	assert_int_equal(read_after(f, 0, 0, &a), 0);
	assert_null(a.snapshot.bytes);
	check_log(&a.log, 1, 6);
	answer_clear(&a);
}

static void a_blank_file_has_nothing_to_read(void **state)
{
	struct fixture *f = *state;
	struct answer a;

	open_store(f);
	assert_int_equal(read_after(f, 0, 0, &a), -ENODATA);
}

static void a_missing_file_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	struct answer a;

	assert_int_equal(read_after(f, 0, 0, &a), -EIO);
	assert_int_not_equal(access(f->path, F_OK), 0);
}

static void genesis_comes_back_from_its_bytes(void **state)
{
	struct cl_table table = table_of(0), back;
	struct cl_uuid uuid;
	uint8_t buf[4096];
	size_t len;

	(void)state;
	assert_int_equal(store_genesis_encode(&cluster, &table, buf, sizeof(buf), &len), 0);
	assert_int_equal(store_genesis_decode(buf, len, &uuid, &back), 0);
	assert_memory_equal(&uuid, &cluster, sizeof(uuid));
	assert_string_equal(back.member[1].name, "n102");
	for (size_t n = 0; n < len; n++)
		assert_int_equal(store_genesis_decode(buf, n, &uuid, &back), -EBADMSG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_new_file_is_blank),
		TEST(a_new_file_is_for_its_owner_only),
		TEST(entries_become_durable_in_their_order),
		TEST(answers_of_all_kinds_come_in_the_order_of_the_calls),
		TEST(what_was_written_is_there_after_a_close),
		TEST(a_close_waits_for_what_is_under_way),
		TEST(the_table_in_force_follows_the_log),
		TEST(a_commit_is_remembered_with_the_next_write),
		TEST(numbers_above_the_signed_range_come_back),
		TEST(snapshots_are_kept_and_the_log),
		TEST(one_snapshot_alone_trims_nothing),
		TEST(the_newest_snapshot_and_the_log_after_it_are_loaded),
		TEST(a_damaged_snapshot_gives_way_to_the_older),
		TEST(damaged_members_of_a_snapshot_are_damage_too),
		TEST(with_both_snapshots_damaged_the_file_is_refused),
		TEST(damage_that_sqlite_does_not_see_is_named),
		TEST(a_gap_in_the_log_is_refused),
		TEST(a_log_entry_that_does_not_decode_is_refused),
		TEST(a_cluster_without_a_history_is_refused),
		TEST(a_changed_bit_in_the_log_is_refused),
		TEST(a_changed_bit_in_the_log_is_given_to_nobody),
		TEST(a_file_of_schema_1_is_taken_over),
		TEST(the_mark_says_how_far_the_file_has_come),
		TEST(an_older_file_does_not_change_what_the_mark_says),
		TEST(a_torn_mark_says_nothing),
		TEST(an_install_of_a_whole_log_leaves_no_snapshot),
		TEST(an_install_replaces_what_is_after_keep),
		TEST(an_install_keeps_what_differs_in_a_file),
		TEST(an_install_that_cannot_keep_what_differs_replaces_nothing),
		TEST(what_was_committed_in_a_history_that_goes_is_not_in_the_next),
		TEST(an_install_of_nothing_cuts_the_log),
		TEST(an_install_with_a_snapshot_replaces_everything),
		TEST(an_install_that_fails_leaves_what_was),
		TEST(a_write_that_fails_is_said_and_nothing_after_it_is_durable),
		TEST(writes_that_wait_at_a_failure_are_freed),
		TEST(what_was_durable_survives_a_kill),
		TEST(a_file_of_garbage_is_refused_by_name),
		TEST(a_file_of_zeros_is_refused_by_name),
		TEST(a_cut_file_is_refused_by_name),
		TEST(a_file_cut_at_any_place_never_crashes),
		TEST(a_damaged_page_never_crashes),
		TEST(a_newer_schema_is_refused_by_name),
		TEST(a_path_that_cannot_be_opened_is_an_error),
		TEST(a_reader_gets_entries_alone_if_the_log_reaches_back),
		TEST(a_reader_from_before_the_log_gets_a_snapshot),
		TEST(a_reader_that_is_far_behind_gets_a_snapshot_though_the_log_reaches_back),
		TEST(a_reader_of_another_epoch_or_from_beyond_gets_a_snapshot),
		TEST(a_reader_without_a_snapshot_gets_the_whole_log),
		TEST(a_blank_file_has_nothing_to_read),
		TEST(a_missing_file_cannot_be_read),
		TEST(genesis_comes_back_from_its_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
