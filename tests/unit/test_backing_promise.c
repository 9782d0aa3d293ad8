/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What mounts keep in memory, and what is written in place: who waits for whom on a real XFS. The
 * mounts are played by the test.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "csvfs/edge/promises.h"
#include "lib/must.h"
#include "tests/unit/backing_fixture.h"

#define BLOCK	4096
#define WRITERS 6
#define ROUNDS	40
#define WATCHER 2
#define OTHER	3

static struct promises *promises;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;
static struct promise_action last; /* to the slow one */
static bool has_last;
static atomic_int breaks;

static void event(struct promise_event e)
{
	struct promise_actions out;

	must(!promises_event(promises, &e, &out));
}

static void answer(const struct promise_action *a)
{
	event((struct promise_event){.type = PROMISE_EV_DONE,
				     .mount = a->conn / 10,
				     .handle = a->handle,
				     .serial = a->serial});
}

/* A mount answers at once, but the one that a test is about. */
static atomic_uint_least64_t slow;

static void on_tell(void *arg, const struct promise_action *a)
{
	(void)arg;
	must(a->kind == PROMISE_DO_BREAK);
	breaks++;
	if (a->conn / 10 != slow) {
		answer(a);
		return;
	}
	pthread_mutex_lock(&lock);
	last = *a;
	has_last = true;
	pthread_cond_broadcast(&told);
	pthread_mutex_unlock(&lock);
}

static int setup(void **state)
{
	struct volume *v;

	must(!volume_setup(state));
	v = *state;
	breaks = 0;
	has_last = false;
	slow = WATCHER;
	must(!promises_open(on_tell, NULL, &promises));
	backing_set_promises(v->b, promises);
	for (uint64_t m = 1; m <= OTHER; m++) {
		event((struct promise_event){
			.type = PROMISE_EV_CHANNEL, .mount = m, .conn = m * 10});
		event((struct promise_event){.type = PROMISE_EV_RENEW, .mount = m});
	}
	return 0;
}

static int teardown(void **state)
{
	struct volume *v = *state;

	if (v->b)
		volume_close(v);
	promises_close(promises);
	return volume_teardown(state);
}

static uint8_t promised_to(struct volume *v, uint64_t mount, struct csv_request q)
{
	struct csv_reply p;

	volume_do(v, mount, 0, q, &p);
	return p.promised;
}

/* ---- one that runs beside */

struct beside {
	pthread_t thread;
	struct volume *v;
	uint64_t mount;
	struct csv_request q;
	int error;
	atomic_bool may_end; /* what it waits for has come */
};

static void *run(void *arg)
{
	struct beside *s = arg;
	struct csv_reply p;

	s->error = volume_do(s->v, s->mount, 5, s->q, &p);
	must(s->may_end);
	return NULL;
}

static void start(struct beside *s, struct volume *v, uint64_t mount, struct csv_request q)
{
	*s = (struct beside){.v = v, .mount = mount, .q = q};
	must(!pthread_create(&s->thread, NULL, run, s));
}

static struct promise_action wait_break(void)
{
	struct promise_action a;

	pthread_mutex_lock(&lock);
	while (!has_last)
		pthread_cond_wait(&told, &lock);
	a = last;
	has_last = false;
	pthread_mutex_unlock(&lock);
	return a;
}

static void end(struct beside *s)
{
	must(!pthread_join(s->thread, NULL));
	assert_int_equal(s->error, 0);
}

/* ---- tests */

static void a_change_ends_when_the_others_know_of_it(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "text");
	struct csv_request q = ask_setattr(h, CSV_SET_MODE);
	struct promise_action a;
	struct beside s;

	q.setattr.mode = 0600;
	assert_int_equal(promised_to(v, WATCHER, ask_getattr(h)), CSV_PROMISED_NODE);
	start(&s, v, 1, q);
	a = wait_break();
	assert_int_equal(a.conn, WATCHER * 10);
	assert_same(a.handle, h);
	s.may_end = true;
	answer(&a);
	end(&s);
	assert_int_equal(attr_of(v, h).mode & 0777, 0600);
}

static void what_the_asking_mount_looks_after_is_not_broken(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "text");
	struct csv_request q = ask_unlink(v->root, "f");

	assert_int_equal(promised_to(v, 1, ask_lookup(v->root, "f")), CSV_PROMISED_ALL);
	q.child[0] = h;
	assert_int_equal(promised_to(v, 1, q), CSV_PROMISED_NAME);
	assert_int_equal(breaks, 0);
	assert_int_equal(promised_to(v, 1, ask_lookup(v->root, "f")), CSV_PROMISED_NAME);
}

static void a_child_that_the_mount_does_not_name_is_broken(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "text");
	struct promise_action a;
	struct beside s;

	slow = 1;
	assert_int_equal(promised_to(v, 1, ask_lookup(v->root, "f")), CSV_PROMISED_ALL);
	start(&s, v, 1, ask_unlink(v->root, "f"));
	a = wait_break();
	assert_same(a.handle, h);
	s.may_end = true;
	answer(&a);
	end(&s);
}

static void what_cannot_be_done_breaks_nothing(void **state)
{
	struct volume *v = *state;

	dir_at(v, v->root, "d");
	promised_to(v, WATCHER, ask_lookup(v->root, "d"));
	assert_int_equal(err(v, ask_unlink(v->root, "d")), EISDIR);
	assert_int_equal(err(v, ask_mkdir(v->root, "d", 0755)), EEXIST);
	assert_int_equal(breaks, 0);
}

/* Times are those of the kernel's tick: until a read comes after the last change. */
static void read_until_told(struct volume *v, struct csv_handle h)
{
	struct csv_attr a = attr_of(v, h);

	while (a.atime.sec < a.ctime.sec ||
	       (a.atime.sec == a.ctime.sec && a.atime.nsec <= a.ctime.nsec)) {
		ok(v, ask_read(h, 0, 4));
		a = attr_of(v, h);
	}
}

static void a_read_that_sets_the_time_of_access_is_told(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "text");
	struct promise_action a;
	struct beside s;

	assert_int_equal(promised_to(v, WATCHER, ask_getattr(h)), CSV_PROMISED_NODE);
	start(&s, v, 1, ask_read(h, 0, 4));
	a = wait_break();
	s.may_end = true;
	answer(&a);
	end(&s);
	/* The next one does not: relatime. */
	breaks = 0;
	read_until_told(v, h);
	assert_int_equal(promised_to(v, WATCHER, ask_getattr(h)), CSV_PROMISED_NODE);
	assert_content(v, h, "text");
	assert_int_equal(breaks, 0);
}

static struct csv_handle large(struct volume *v)
{
	static char data[WRITERS * BLOCK];
	struct csv_handle h = file_with(v, v->root, "f", "");
	struct csv_request q = ask_setattr(h, CSV_SET_ATIME);

	ok(v, ask_write(h, 0, 0, data, sizeof(data)));
	/* No read sets its atime. */
	q.setattr.atime.sec = time(NULL) + 1000;
	ok(v, q);
	return h;
}

static void only_what_overlaps_waits_for_a_write_in_place(void **state)
{
	static const char data[BLOCK] = "new";
	struct volume *v = *state;
	struct csv_handle h = large(v);
	struct beside writer, reader;
	struct promise_action a;
	struct csv_reply p;

	assert_int_equal(promised_to(v, WATCHER, ask_getattr(h)), CSV_PROMISED_NODE);
	start(&writer, v, 1, ask_write(h, BLOCK, 0, data, BLOCK));
	a = wait_break();
	/* It waits for the watcher, with its bytes. */
	assert_int_equal(volume_do(v, OTHER, 1, ask_read(h, 2 * BLOCK, BLOCK), &p), 0);
	assert_int_equal(p.promised, 0); /* the file is being changed */
	assert_int_equal(promised_to(v, OTHER, ask_getattr(h)), 0);
	start(&reader, v, OTHER, ask_read(h, BLOCK, BLOCK));
	reader.may_end = writer.may_end = true;
	answer(&a);
	end(&writer);
	end(&reader);
	assert_int_equal(promised_to(v, OTHER, ask_getattr(h)), CSV_PROMISED_NODE);
}

static void a_write_behind_the_end_has_the_file_for_itself(void **state)
{
	static const char data[BLOCK] = "new";
	struct volume *v = *state;
	struct csv_handle h = large(v);

	ok(v, ask_write(h, WRITERS * BLOCK, 0, data, BLOCK));
	assert_int_equal(attr_of(v, h).size, (WRITERS + 1) * BLOCK);
}

/* ---- many at once */

struct writer {
	pthread_t thread;
	struct volume *v;
	struct csv_handle h;
	uint64_t mount;
};

/* Two blocks at a time, so that neighbours overlap. */
static void *write_all(void *arg)
{
	struct writer *w = arg;
	static _Thread_local char data[2 * BLOCK];
	struct csv_reply p;

	memset(data, 'a' + (int)w->mount, sizeof(data));
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t at = (w->mount + (uint64_t)i) % (WRITERS - 1);

		must(!volume_do(w->v, w->mount, 7,
				ask_write(w->h, at * BLOCK, 0, data, sizeof(data)), &p));
		must(p.count.count == sizeof(data));
		must(!volume_do(w->v, w->mount, 8, ask_read(w->h, at * BLOCK, 2 * BLOCK), &p));
		for (size_t k = 0; k < BLOCK; k++) /* each block is of one writer */
			must(p.bytes.data.data[k] == p.bytes.data.data[0]);
	}
	return NULL;
}

static void writes_in_place_by_many_leave_each_block_whole(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = large(v);
	struct writer w[WRITERS];
	struct csv_reply p;

	for (size_t i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){.v = v, .h = h, .mount = i + 4};
		must(!pthread_create(&w[i].thread, NULL, write_all, &w[i]));
	}
	for (size_t i = 0; i < WRITERS; i++)
		must(!pthread_join(w[i].thread, NULL));
	p = ok(v, ask_read(h, 0, WRITERS * BLOCK));
	for (size_t at = 0; at < p.bytes.data.len; at++)
		assert_int_equal(p.bytes.data.data[at], p.bytes.data.data[at / BLOCK * BLOCK]);
	volume_check(v);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_change_ends_when_the_others_know_of_it),
		TEST(what_the_asking_mount_looks_after_is_not_broken),
		TEST(a_child_that_the_mount_does_not_name_is_broken),
		TEST(what_cannot_be_done_breaks_nothing),
		TEST(a_read_that_sets_the_time_of_access_is_told),
		TEST(only_what_overlaps_waits_for_a_write_in_place),
		TEST(a_write_behind_the_end_has_the_file_for_itself),
		TEST(writes_in_place_by_many_leave_each_block_whole),
	};
#undef TEST
	const char *why = volume_begin();

	if (why) {
		print_message("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
