/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes that fail on their way to the disk, at the coordinator: who is told, and before what. The
 * disk's errors are the test's (fsync, fdatasync and pwritev2, by the linker), the mounts are
 * played by it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "csvfs/edge/grants.h"
#include "lib/must.h"
#include "tests/unit/backing_fixture.h"

#define TERM	9
#define MOUNTS	2
#define WAIT_MS 20000

static atomic_int fsync_error, write_error; /* of the next call, or of each if negative */
static struct volume *shuts_down;	    /* within the next fsync, which says that all is well */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	int e = fsync_error;

	if (shuts_down) {
		volume_stop(shuts_down);
		shuts_down = NULL;
		return 0;
	}
	if (e > 0)
		fsync_error = 0;
	if (!e)
		return __real_fsync(fd);
	errno = e > 0 ? e : -e;
	return -1;
}

/* The first flush of data after it is set waits until it is 0, or so many have been written. */
static atomic_int flush_waits, flushes, written, flush_error;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int e = flush_error;

	flushes++;
	for (int i = 0; written < flush_waits; i++) {
		must(i < WAIT_MS);
		nanosleep(&pause, NULL);
	}
	flush_error = 0;
	errno = e;
	return e ? -1 : __real_fdatasync(fd);
}

ssize_t __real_pwritev2(int fd, const struct iovec *v, int n, off_t at, int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *v, int n, off_t at, int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *v, int n, off_t at, int flags)
{
	ssize_t r;

	errno = write_error;
	write_error = 0;
	r = errno ? -1 : __real_pwritev2(fd, v, n, at, flags);
	written++;
	return r;
}

/* The mounts: 1 and 2, of connections 10 and 20. */
struct world {
	struct volume *v;
	struct grants *grants;
	atomic_int told[MOUNTS + 1];
	atomic_bool is_slow; /* mount 2 notes nothing by itself */
	struct csv_frame_failed failure;
};

static struct world world;

static void note(uint64_t mount)
{
	must(!grants_event(world.grants,
			   &(struct grant_event){.type = GRANT_EV_NOTED,
						 .mount = mount,
						 .failure = {.origin = world.failure.origin,
							     .serial = world.failure.serial}}));
}

static void on_send(void *arg, uint64_t conn, const struct csv_frame *f)
{
	uint64_t mount = conn / 10;

	(void)arg;
	must(f->type == CSV_FRAME_FAILED && mount && mount <= MOUNTS);
	world.failure = f->failed;
	world.told[mount]++;
	if (mount == 1 || !world.is_slow)
		note(mount);
}

static void ignore_conn(void *arg, uint64_t conn)
{
	(void)arg;
	(void)conn;
}

static void ignore_handle(void *arg, const struct csv_handle *h)
{
	(void)arg;
	(void)h;
}

static void overflow(void *arg)
{
	(void)arg;
	must(false);
}

static int setup(void **state)
{
	const struct grants_options o = {.term = TERM,
					 .send = on_send,
					 .close = ignore_conn,
					 .settled = ignore_handle,
					 .overflow = overflow};

	must(!volume_setup(state));
	fsync_error = write_error = 0;
	flush_waits = flush_error = 0;
	memset(&world, 0, sizeof(world));
	world.v = *state;
	must(!grants_open(&o, &world.grants));
	backing_set_grants(world.v->b, world.grants, 0);
	must(!grants_event(world.grants, &(struct grant_event){.type = GRANT_EV_OPEN}));
	for (uint64_t m = 1; m <= MOUNTS; m++)
		must(!grants_event(world.grants, &(struct grant_event){.type = GRANT_EV_CHANNEL,
								       .mount = m,
								       .conn = m * 10}));
	return 0;
}

static int teardown(void **state)
{
	grants_stop(world.grants);
	volume_close(world.v);
	grants_close(world.grants);
	return volume_teardown(state);
}

static void an_fsync_that_fails_is_told_to_all_mounts_before_its_answer(void **state)
{
	struct volume *v = *state;
	struct csv_handle f = file_with(v, v->root, "f", "data");

	ok(v, ask_open(f, 0));
	ok(v, ask_fsync(f));
	assert_int_equal(world.told[1] + world.told[2], 0);
	fsync_error = ENODATA;
	assert_int_equal(err(v, ask_fsync(f)), ENODATA);
	assert_int_equal(world.told[1], 1);
	assert_int_equal(world.told[2], 1);
	assert_int_equal(world.failure.handle.ino, f.ino);
	assert_int_equal(world.failure.origin, TERM);
	assert_int_equal(world.failure.error, ENODATA);
	ok(v, ask_fsync(f));
	assert_int_equal(world.told[1], 1);
}

static void a_write_that_does_not_reach_the_disk_is_told_too(void **state)
{
	struct volume *v = *state;
	struct csv_handle f = file_with(v, v->root, "f", "data");

	ok(v, ask_open(f, 2));
	write_error = EREMOTEIO;
	assert_int_equal(err(v, ask_write(f, 0, 0, "x", 1)), EREMOTEIO);
	assert_int_equal(world.told[2], 1);
	write_error = ENOSPC; /* says that it was not begun */
	assert_int_equal(err(v, ask_write(f, 0, 0, "x", 1)), ENOSPC);
	assert_int_equal(world.told[2], 1);
}

struct asker {
	struct csv_handle handle;
	pthread_t thread;
	int error;
	atomic_bool is_done;
};

static void *run_fsync(void *arg)
{
	struct asker *a = arg;

	a->error = err(world.v, ask_fsync(a->handle));
	a->is_done = true;
	return NULL;
}

static void wait_told(int mount)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; !world.told[mount]; i++) {
		must(i < WAIT_MS);
		nanosleep(&pause, NULL);
	}
}

static void the_answer_waits_for_a_mount_that_has_not_noted_it(void **state)
{
	struct volume *v = *state;
	struct asker a = {.handle = file_with(v, v->root, "f", "data")};

	ok(v, ask_open(a.handle, 0));
	world.is_slow = true;
	fsync_error = ENODATA;
	must(!pthread_create(&a.thread, NULL, run_fsync, &a));
	wait_told(2);
	assert_false(a.is_done);
	/* Its line breaks; over the next one it is told again. */
	world.told[2] = 0;
	must(!grants_event(world.grants, &(struct grant_event){.type = GRANT_EV_LOST, .conn = 20}));
	must(!grants_event(
		world.grants,
		&(struct grant_event){.type = GRANT_EV_CHANNEL, .mount = 2, .conn = 20}));
	wait_told(2);
	assert_false(a.is_done);
	note(2);
	must(!pthread_join(a.thread, NULL));
	assert_int_equal(a.error, ENODATA);
}

static void what_a_mount_has_found_bars_fsync_until_all_know(void **state)
{
	struct volume *v = *state;
	struct asker a = {.handle = file_with(v, v->root, "f", "data")};
	struct grant_event e = {
		.type = GRANT_EV_FAILED,
		.mount = 1,
		.failure = {.handle = a.handle, .origin = 1, .serial = 3, .error = ENODATA}};

	ok(v, ask_open(a.handle, 0));
	world.is_slow = true;
	must(!grants_event(world.grants, &e));
	wait_told(2);
	must(!pthread_create(&a.thread, NULL, run_fsync, &a));
	assert_int_equal(world.told[1], 0); /* last */
	note(2);
	must(!pthread_join(a.thread, NULL));
	assert_int_equal(a.error, 0); /* its mount tells the opens */
	assert_int_equal(world.told[1], 1);
}

static void a_file_system_that_is_down_ends_the_coordinator_instead(void **state)
{
	struct volume *v = *state;
	struct csv_handle f = file_with(v, v->root, "f", "data");
	struct csv_request q = ask_fsync(f);
	static uint8_t buf[CSV_FRAME_MAX];
	struct csv_reply p;

	ok(v, ask_open(f, 0));
	q.slot = 1;
	q.seq = 1;
	fsync_error = -EIO;
	assert_int_equal(backing_execute(v->b, 1, &q, BACKING_NEW, &p, buf), -EIO);
	assert_int_equal(world.told[1] + world.told[2], 0);
	fsync_error = 0;
}

/* Nothing is answered, and the request is done again from what the disk has: nothing. */
static void a_shutdown_in_the_middle_of_a_force_is_no_success(void **state)
{
	struct volume *v = world.v;
	struct csv_request q = ask_mkdir(v->root, "d", 0755);
	static uint8_t buf[CSV_FRAME_MAX];
	struct csv_reply p;

	(void)state;
	q.seq = ++v->seq[1][0];
	shuts_down = v;
	assert_int_equal(backing_execute(v->b, 1, &q, BACKING_NEW, &p, buf), -EIO);
	assert_null(shuts_down);
	backing_set_grants(v->b, NULL, 0);
	volume_close(v);
	volume_open(v);
	assert_int_equal(backing_execute(v->b, 1, &q, BACKING_NEW, &p, buf), 0);
	assert_int_equal(p.error, 0);
}

/* ---- writes in place */

#define WRITERS 8

struct writer {
	struct csv_handle handle;
	uint16_t slot;
	pthread_t thread;
	int error;
};

static void *run_write(void *arg)
{
	static const char data[CSV_GRANT_BLOCK];
	struct writer *w = arg;
	uint8_t *buf = malloc(CSV_FRAME_MAX);
	struct csv_request q =
		ask_write(w->handle, (uint64_t)w->slot * CSV_GRANT_BLOCK, 0, data, CSV_GRANT_BLOCK);
	struct csv_reply p;

	must(buf);
	q.slot = w->slot;
	q.seq = 1000;
	must(!backing_execute(world.v->b, 1, &q, BACKING_NEW, &p, buf));
	w->error = p.error;
	free(buf);
	return NULL;
}

/* All in the file at once; the first one's flush lasts until each has written. */
static int write_side_by_side(struct volume *v, struct writer w[WRITERS], int error)
{
	static char data[WRITERS * CSV_GRANT_BLOCK];
	struct csv_handle f = file_with(v, v->root, "f", "");
	int before;

	ok(v, ask_open(f, 2));
	ok(v, ask_write(f, 0, 0, data, sizeof(data)));
	before = flushes;
	flush_waits = written + WRITERS;
	flush_error = error;
	for (uint16_t i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){.handle = f, .slot = i};
		must(!pthread_create(&w[i].thread, NULL, run_write, &w[i]));
	}
	for (size_t i = 0; i < WRITERS; i++)
		must(!pthread_join(w[i].thread, NULL));
	return flushes - before;
}

static void writes_in_place_share_a_flush(void **state)
{
	struct writer w[WRITERS];
	int n = write_side_by_side(*state, w, 0);

	assert_in_range(n, 1, WRITERS / 2);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(w[i].error, 0);
	assert_int_equal(world.told[1], 0);
}

/* The kernel tells it once, and whose page it was it does not tell. */
static void a_shared_flush_that_fails_has_failed_for_all_who_were_writing(void **state)
{
	struct writer w[WRITERS];

	write_side_by_side(*state, w, EIO);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(w[i].error, EIO);
	assert_true(world.told[1] >= 1);
	assert_true(world.told[2] >= 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_fsync_that_fails_is_told_to_all_mounts_before_its_answer),
		TEST(a_write_that_does_not_reach_the_disk_is_told_too),
		TEST(the_answer_waits_for_a_mount_that_has_not_noted_it),
		TEST(what_a_mount_has_found_bars_fsync_until_all_know),
		TEST(a_file_system_that_is_down_ends_the_coordinator_instead),
		TEST(a_shutdown_in_the_middle_of_a_force_is_no_success),
		TEST(writes_in_place_share_a_flush),
		TEST(a_shared_flush_that_fails_has_failed_for_all_who_were_writing),
	};
	const char *why = volume_begin();

	if (why) {
		print_message("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
