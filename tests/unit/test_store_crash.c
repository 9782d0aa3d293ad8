/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The database file after a loss of power at each write and each sync of its life: it opens, it
 * holds what was acknowledged, and it is what it was after one of the calls, never half of one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>
#include <sqlite3.h>

#include "clusterd/edge/store.h"
#include "lib/must.h"
#include "lib/prng.h"
#include "tests/unit/crash_vfs.h"

#define GUARD_MS 120000
#define LOG_MAX	 64

static const struct cl_uuid cluster = {{1, 2, 3, 4, 5, 6, 7, 8}};

/* ---- the life of a file: calls in groups; after each group all answers are waited for */

enum call_type { APPEND, PROMISE, CHECKPOINT, INSTALL, INSTALL_ALL, REOPEN };

struct call {
	enum call_type type;
	uint64_t first, last; /* entries; INSTALL keeps all before `first` */
	uint64_t epoch;	      /* of the entries; the number that PROMISE promises */
	bool waits;
};

static const struct call life[] = {
	{APPEND, 1, 1, 1, true}, /* the cluster is created */
	{PROMISE, 0, 0, 2, true},
	{APPEND, 2, 9, 2, false},
	{PROMISE, 0, 0, 3, true},
	{CHECKPOINT, 9, 9, 2, false},
	{APPEND, 10, 14, 2, true},
	{CHECKPOINT, 12, 12, 2, false},
	{APPEND, 15, 15, 2, true},
	{REOPEN, 0, 0, 0, true},
	{APPEND, 16, 18, 2, true},
	{INSTALL, 17, 21, 4, true}, /* a suffix that another history replaces */
	{PROMISE, 0, 0, 5, false},
	{APPEND, 22, 23, 5, true},
	{CHECKPOINT, 20, 20, 4, false}, /* trims the log */
	{APPEND, 24, 24, 5, true},
	{INSTALL_ALL, 40, 44, 7, true}, /* a snapshot at 40 and what follows it */
	{REOPEN, 0, 0, 0, true},
	{INSTALL, 43, 42, 7, true}, /* nothing comes instead: the suffix is cut */
	{APPEND, 43, 45, 8, true},
};

#define CALLS (sizeof(life) / sizeof(life[0]))

/* ---- what a file holds, after so many steps: each entry of an APPEND is one, other calls too */

struct held {
	bool is_blank;
	uint64_t promised, snapshot;
	uint64_t first, last; /* entries behind the snapshot; last 0: none */
	uint64_t epoch[LOG_MAX];
};

static size_t steps_of(const struct call *c)
{
	return c->type == APPEND ? (size_t)(c->last + 1 - c->first) : 1;
}

static size_t steps_until(size_t call)
{
	size_t n = 0;

	for (size_t i = 0; i < call; i++)
		n += steps_of(&life[i]);
	return n;
}

static void hold(struct held *h, const struct call *c, uint64_t last)
{
	if (c->type == PROMISE)
		h->promised = c->epoch;
	if (c->type == CHECKPOINT || c->type == INSTALL_ALL)
		h->snapshot = c->first;
	if (c->type == PROMISE || c->type == CHECKPOINT || c->type == REOPEN)
		return;
	for (uint64_t n = c->first; n <= last; n++)
		h->epoch[n] = c->epoch;
	h->last = last;
	h->is_blank = false;
}

static void held_after(size_t steps, struct held *h)
{
	*h = (struct held){.is_blank = true};
	for (size_t i = 0; i < CALLS && steps; i++) {
		const struct call *c = &life[i];
		size_t all = steps_of(c), n = steps < all ? steps : all;

		hold(h, c, c->type == APPEND ? c->first + n - 1 : c->last);
		steps -= n;
	}
	h->first = h->snapshot + 1;
}

static bool is_held(const struct store_content *c, const struct held *h)
{
	if (c->is_blank != h->is_blank || c->promised != h->promised ||
	    c->snapshot.index != h->snapshot ||
	    c->log.count != (h->last < h->first ? 0 : h->last + 1 - h->first))
		return false;
	for (size_t i = 0; i < c->log.count; i++) {
		const struct store_entry *e = &c->log.entry[i];

		if (e->index != h->first + i || e->epoch.number != h->epoch[e->index])
			return false;
	}
	return true;
}

/* ---- running it */

struct run {
	char dir[64], path[96];
	qb_loop_t *loop;
	struct store *store;
	size_t payload;	     /* bytes of each command */
	size_t given, acked; /* calls */
	size_t wanted;	     /* answers that the calls given so far will have */
	size_t answers;
	uint64_t durable;
	bool has_failed, has_timed_out, is_stalled;
	char failure[256];
};

static void on_durable(void *arg, uint64_t index)
{
	struct run *run = arg;

	run->durable = index;
	qb_loop_stop(run->loop);
}

static void on_answer(void *arg, uint64_t number)
{
	struct run *run = arg;

	(void)number;
	run->answers++;
	qb_loop_stop(run->loop);
}

static void on_failed(void *arg, const char *what)
{
	struct run *run = arg;

	run->has_failed = true;
	snprintf(run->failure, sizeof(run->failure), "%s", what);
	qb_loop_stop(run->loop);
}

static void on_stalled(void *arg, const char *what)
{
	struct run *run = arg;

	run->is_stalled = what != NULL;
	if (what)
		snprintf(run->failure, sizeof(run->failure), "%s", what);
	qb_loop_stop(run->loop);
}

static void on_installed(void *arg, uint64_t end, const struct store_saved *saved)
{
	assert_null(saved);
	on_answer(arg, end);
}

static const struct store_calls calls = {on_durable, on_answer, on_installed, on_failed,
					 on_stalled};

static void on_guard(void *data)
{
	struct run *run = data;

	run->has_timed_out = true;
	qb_loop_stop(run->loop);
}

static bool open_store(struct run *run)
{
	struct store_content content;
	char text[512];
	int r = store_open(run->path, run->loop, &calls, run, &run->store, &content, text,
			   sizeof(text));

	if (r)
		return false;
	store_log_clear(&content.log);
	free(content.snapshot.bytes);
	return true;
}

static struct cl_table table_of(uint64_t changed_at)
{
	struct cl_table table = {.changed_at = changed_at};

	table.member[0] = (struct cl_member){.nodeid = 101, .vote = 1, .name = "n101"};
	return table;
}

static struct repl_entry make_entry(const struct run *run, uint64_t index, uint64_t number,
				    uint8_t *buf, size_t cap)
{
	struct repl_entry e = {.epoch = {.generation = 1, .number = number},
			       .index = index,
			       .kind = CL_ENTRY_COMMAND,
			       .payload = {buf, run->payload}};

	must(run->payload <= cap);
	memset(buf, (int)index, run->payload);
	if (index == 1) {
		struct cl_table table = table_of(1);

		e.kind = CL_ENTRY_GENESIS;
		must(!store_genesis_encode(&cluster, &table, buf, cap, &e.payload.len));
	}
	return e;
}

#define PAYLOAD_MAX 300000

static void append(struct run *run, const struct call *c)
{
	uint8_t *buf = malloc(PAYLOAD_MAX);

	must(buf);
	for (uint64_t n = c->first; n <= c->last; n++) {
		struct repl_entry e = make_entry(run, n, c->epoch, buf, PAYLOAD_MAX);

		store_append(run->store, &e);
	}
	free(buf);
}

static void install(struct run *run, const struct call *c)
{
	bool is_all = c->type == INSTALL_ALL;
	struct store_snapshot snapshot = {0};
	struct store_log log = {0};
	struct cl_table table = table_of(1);
	uint8_t *buf = malloc(PAYLOAD_MAX);

	must(buf);
	if (is_all)
		snapshot = (struct store_snapshot){
			.index = c->first, .bytes = calloc(1, 5000), .len = 5000};
	for (uint64_t n = c->first + is_all; n <= c->last; n++) {
		struct repl_entry e = make_entry(run, n, c->epoch, buf, PAYLOAD_MAX);

		store_log_push(&log, &e);
	}
	store_install(run->store, &cluster, is_all ? 0 : c->first - 1, &snapshot, &log, &table,
		      NULL);
	free(buf);
}

static bool give(struct run *run, const struct call *c)
{
	struct cl_table table = table_of(1);

	switch (c->type) {
	case APPEND:
		append(run, c);
		break;
	case PROMISE:
		store_promise(run->store, c->epoch);
		run->wanted++;
		break;
	case CHECKPOINT:
		store_commit(run->store, c->first);
		store_checkpoint(run->store, c->first, calloc(1, 5000), 5000, &table);
		break;
	case INSTALL:
	case INSTALL_ALL:
		install(run, c);
		run->wanted++;
		break;
	case REOPEN:
		store_close(run->store);
		run->store = NULL;
		if (!open_store(run))
			return false;
		break;
	}
	return true;
}

static bool is_answered(const struct run *run, const struct call *c)
{
	if (run->answers < run->wanted)
		return false;
	return c->type != APPEND || run->durable == c->last;
}

/* Lives until the end or the loss of power. */
static void live(struct run *run)
{
	qb_loop_timer_handle guard;

	if (!open_store(run))
		return;
	qb_loop_timer_add(run->loop, QB_LOOP_HIGH, GUARD_MS * 1000000ULL, run, on_guard, &guard);
	for (size_t i = 0; i < CALLS && !run->has_failed && !run->is_stalled; i++) {
		run->given = i + 1;
		if (!give(run, &life[i]))
			break;
		if (!life[i].waits)
			continue;
		while (!is_answered(run, &life[i]) && !run->has_failed && !run->is_stalled &&
		       !run->has_timed_out)
			qb_loop_run(run->loop);
		if (is_answered(run, &life[i]) && !run->has_timed_out)
			run->acked = i + 1;
	}
	qb_loop_timer_del(run->loop, guard);
	store_close(run->store);
	run->store = NULL;
}

static void run_init(struct run *run, size_t payload)
{
	*run = (struct run){.payload = payload, .loop = qb_loop_create()};
	must(run->loop);
	snprintf(run->dir, sizeof(run->dir), "/tmp/test_crash.XXXXXX");
	must(mkdtemp(run->dir));
	snprintf(run->path, sizeof(run->path), "%s/db", run->dir);
}

static void run_done(struct run *run)
{
	static const char *const suffix[] = {"", "-wal", "-shm", "-journal", ".mark"};
	char path[128];

	for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", run->path, suffix[i]);
		unlink(path);
	}
	rmdir(run->dir);
	qb_loop_destroy(run->loop);
}

/* The file that the crash left opens, and is what it was after one of the calls from `acked` on. */
static void check_left(const struct run *before, enum crash_kept kept, uint64_t seed)
{
	struct run after;
	struct store_content c;
	struct held held;
	char text[512] = "";
	size_t n = steps_until(before->acked), end = steps_until(before->given);
	int r;

	run_init(&after, 0);
	crash_vfs_leave(after.dir, kept, seed);
	crash_vfs_done();
	r = store_open(after.path, after.loop, &calls, &after, &after.store, &c, text,
		       sizeof(text));
	if (r)
		fail_msg("after %zu calls, of which %zu were acknowledged: %s", before->given,
			 before->acked, text);
	for (; n <= end; n++) {
		held_after(n, &held);
		if (is_held(&c, &held))
			break;
	}
	if (n > end)
		fail_msg("kept %d: after %zu calls, of which %zu were acknowledged, the file holds "
			 "snapshot %llu, %zu entries up to %llu, promise %llu",
			 kept, before->given, before->acked, (unsigned long long)c.snapshot.index,
			 c.log.count, (unsigned long long)c.last.index,
			 (unsigned long long)c.promised);
	store_log_clear(&c.log);
	free(c.snapshot.bytes);
	store_close(after.store);
	run_done(&after);
}

/* Returns false when that life has no step of that number. */
static bool crash_at(uint64_t step, enum crash_kept kept, size_t payload)
{
	struct run run;
	bool has_crashed;

	run_init(&run, payload);
	crash_vfs_init(step);
	live(&run);
	has_crashed = crash_vfs_has_crashed();
	assert_false(run.has_timed_out);
	if (!has_crashed)
		assert_int_equal(run.acked, CALLS);
	check_left(&run, kept, step * CRASH_KEPT_MAX + kept);
	run_done(&run);
	return has_crashed;
}

static void a_crash_at_any_step_loses_nothing_acknowledged(void **state)
{
	uint64_t crashes = 0;

	(void)state;
	for (int kept = 0; kept < CRASH_KEPT_MAX; kept++) {
		for (uint64_t step = 1; crash_at(step, (enum crash_kept)kept, 300); step++)
			crashes++;
	}
	assert_true(crashes > 200);
}

/* So much that SQLite moves its write-ahead log into the file between two calls. */
static void a_crash_while_the_log_is_moved_into_the_file_loses_nothing(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 56);
	for (int n = 0; n < 40; n++)
		crash_at(prng_range(&p, 1, 7000), (enum crash_kept)(n % CRASH_KEPT_MAX), 200000);
}

/* ---- a disk that is full or fails, and lives */

/* Appends up to 6, of which 4 to 6 find a disk that takes nothing. */
static void stall(struct run *run, int code, const char *word)
{
	struct call first = {APPEND, 1, 3, 1, true}, more = {APPEND, 4, 6, 1, true};

	run_init(run, 300);
	crash_vfs_init(0);
	assert_true(open_store(run));
	append(run, &first);
	while (run->durable < 3)
		qb_loop_run(run->loop);
	crash_vfs_fail(code);
	append(run, &more);
	while (!run->is_stalled)
		qb_loop_run(run->loop);
	assert_int_equal(run->durable, 3);
	assert_non_null(strstr(run->failure, word));
	assert_false(run->has_failed);
}

static void check_recovery(int code, const char *word)
{
	struct store_content content;
	struct run run;
	char text[512];

	stall(&run, code, word);
	assert_true(store_unanswered_ms(run.store) < GUARD_MS);
	crash_vfs_fail(0);
	while (run.durable < 6)
		qb_loop_run(run.loop);
	assert_false(run.is_stalled);
	store_close(run.store);
	assert_int_equal(store_open(run.path, run.loop, &calls, &run, &run.store, &content, text,
				    sizeof(text)),
			 0);
	assert_int_equal(content.last.index, 6);
	assert_int_equal(content.log.count, 6);
	store_log_clear(&content.log);
	store_close(run.store);
	crash_vfs_done();
	run_done(&run);
}

static void a_full_disk_acknowledges_nothing_until_there_is_room(void **state)
{
	(void)state;
	check_recovery(SQLITE_FULL, "full");
}

static void a_failing_disk_acknowledges_nothing_until_it_writes_again(void **state)
{
	(void)state;
	check_recovery(SQLITE_IOERR_WRITE, "I/O");
	check_recovery(SQLITE_IOERR_FSYNC, "I/O");
}

static void a_store_ends_behind_a_disk_that_stays_full(void **state)
{
	struct store_content content;
	struct run run;
	char text[512];

	(void)state;
	stall(&run, SQLITE_FULL, "full");
	store_close(run.store);
	crash_vfs_fail(0);
	assert_int_equal(store_open(run.path, run.loop, &calls, &run, &run.store, &content, text,
				    sizeof(text)),
			 0);
	assert_int_equal(content.last.index, 3);
	store_log_clear(&content.log);
	store_close(run.store);
	crash_vfs_done();
	run_done(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crash_at_any_step_loses_nothing_acknowledged),
		cmocka_unit_test(a_crash_while_the_log_is_moved_into_the_file_loses_nothing),
		cmocka_unit_test(a_full_disk_acknowledges_nothing_until_there_is_room),
		cmocka_unit_test(a_failing_disk_acknowledges_nothing_until_it_writes_again),
		cmocka_unit_test(a_store_ends_behind_a_disk_that_stays_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
