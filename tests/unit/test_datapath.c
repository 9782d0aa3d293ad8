/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mount's own way to the LUN, with a coordinator played by the test and a file for the LUN,
 * whose flushes end as the test says.
 */
#include "tests/unit/client_fixture.h"

#include "csvfs/edge/datapath.h"

#define FILE_BYTES (2u * 1024 * 1024)

static const struct csv_handle file = {.ino = 7, .gen = 1};

struct world {
	struct fixture fx;
	struct server_conn line; /* for recalls */
	struct datapath *d;
	uint8_t *buf;
};

static char lun[] = "/var/tmp/test_datapath.XXXXXX";
static atomic_int flush_error;
static atomic_uint flushes;

/* By the linker in place of fdatasync(2): see tests/local.mk. */
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	(void)fd;
	flushes++;
	errno = flush_error;
	return errno ? -1 : 0;
}

static atomic_uint allocations;
static atomic_bool must_not_allocate;

/* In place of malloc(3) and calloc(3) in csvfsd's own code. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t n)
{
	allocations += must_not_allocate;
	return __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size)
{
	allocations += must_not_allocate;
	return __real_calloc(n, size);
}

static int open_device(void *arg)
{
	int fd = open(lun, O_RDWR | O_CLOEXEC);

	(void)arg;
	must(fd >= 0);
	return fd;
}

static void ignore(void *arg)
{
	(void)arg;
}

static void accept_line(struct world *w)
{
	struct csv_frame f;

	server_accept(&w->fx.server, &w->line);
	server_read_frame(&w->line, CSV_FRAME_CHANNEL, &f);
	server_welcome(&w->line, f.channel.term, true, root);
}

static void wait_active(struct world *w)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct datapath_status s = {0};

	for (int i = 0; s.io != DIRECT_ACTIVE; i++) {
		must(i < SERVER_MS);
		nanosleep(&pause, NULL);
		datapath_status(w->d, &s);
	}
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct datapath_options o = {
		.mount = MOUNT, .open_device = open_device, .on_change = ignore};
	struct csv_link_state s = {.term = TERM,
				   .is_online = true,
				   .address = "127.0.0.1",
				   .lease_until_ms = UINT64_MAX};
	int fd = mkstemp(lun);

	must(w && fd >= 0 && !ftruncate(fd, FILE_BYTES));
	close(fd);
	flush_error = 0;
	flushes = 0;
	fixture_open(&w->fx);
	connect_first(&w->fx);
	w->buf = aligned_alloc(CSV_GRANT_BLOCK, CSV_IO_MAX);
	must(w->buf);
	memset(w->buf, 0x5a, CSV_IO_MAX);
	o.key = w->fx.server.key;
	memset(o.volume.byte, 0x5a, sizeof(o.volume.byte));
	o.client = w->fx.client;
	must(!datapath_open(&o, &w->d));
	s.port = w->fx.server.port;
	datapath_target(w->d, &s);
	accept_line(w);
	wait_active(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	server_hang_up(&w->line);
	datapath_close(w->d);
	fixture_close(&w->fx);
	free(w->buf);
	free(w);
	unlink(lun);
	memcpy(strrchr(lun, '.'), ".XXXXXX", 7);
	return 0;
}

struct writer {
	struct world *w;
	struct client_interrupt interrupt;
	pthread_t thread;
	int r;
};

static void *run_writer(void *arg)
{
	struct writer *t = arg;

	t->r = datapath_write(t->w->d, &file, 1024 * 1024, CSV_GRANT_BLOCK, t->w->buf, false,
			      &t->interrupt);
	return NULL;
}

/* A direct write; the first one asks for the grant. */
static void write_direct(struct world *w, bool asks)
{
	struct writer t = {.w = w};
	struct csv_reply p = {0};
	struct csv_request q;
	struct wire_writer x;
	uint8_t extent[CSV_EXTENT_BYTES];

	must(!pthread_create(&t.thread, NULL, run_writer, &t));
	if (asks) {
		server_read_request(&w->fx.conn, &q);
		assert_int_equal(q.op, CSV_OP_GRANT);
		wire_writer_init(&x, extent, sizeof(extent));
		csv_extent_put(&x, &(struct csv_extent){0, 0, FILE_BYTES});
		p.grant = (struct csv_reply_grant){.mode = CSV_GRANT_SOLE,
						   .id = {TERM, 1},
						   .size = FILE_BYTES,
						   .extents = {extent, sizeof(extent)}};
		must(!server_reply(&w->fx.conn, &q, &p));
	}
	must(!pthread_join(t.thread, NULL));
	assert_int_equal(t.r, 0);
}

static void a_flush_that_fails_for_good_is_told_to_each_open_and_to_the_coordinator(void **state)
{
	struct world *w = *state;
	uint64_t one = datapath_seen(w->d), two = one;
	struct csv_frame f;

	datapath_opened(w->d, &file);
	write_direct(w, true);
	flush_error = ENODATA;
	assert_int_equal(datapath_fsync(w->d, &file, &one), -ENODATA);
	server_read_frame(&w->line, CSV_FRAME_FAILED, &f);
	assert_int_equal(f.failed.error, ENODATA);
	assert_int_equal(f.failed.origin, MOUNT);
	flush_error = 0;
	assert_int_equal(datapath_fsync(w->d, &file, &one), 0); /* once */
	assert_int_equal(datapath_fsync(w->d, &file, &two), -ENODATA);
	assert_int_equal(datapath_fsync(w->d, &file, &two), 0);
	/* The line breaks before the coordinator has told all: it is told again over the next. */
	server_hang_up(&w->line);
	accept_line(w);
	server_read_frame(&w->line, CSV_FRAME_FAILED, &f);
	server_write_frame(&w->line, &f);
	server_read_frame(&w->line, CSV_FRAME_NOTED, &f);
	assert_int_equal(datapath_fsync(w->d, &file, &one), 0);
}

static void a_failure_elsewhere_is_told_to_each_open(void **state)
{
	struct world *w = *state;
	uint64_t before = datapath_seen(w->d), after;
	struct csv_frame f = {
		.type = CSV_FRAME_FAILED,
		.failed = {.handle = file, .origin = 4711, .serial = 1, .error = EIO}};

	datapath_opened(w->d, &file);
	write_direct(w, true);
	server_write_frame(&w->line, &f);
	server_read_frame(&w->line, CSV_FRAME_NOTED, &f);
	assert_int_equal(f.noted.origin, 4711);
	after = datapath_seen(w->d);
	assert_int_equal(datapath_fsync(w->d, &file, &after), 0);
	assert_int_equal(datapath_fsync(w->d, &file, &before), -EIO);
	assert_int_equal(datapath_fsync(w->d, &file, &before), 0);
}

static void a_lost_path_is_no_error_the_coordinator_flushes(void **state)
{
	struct world *w = *state;
	uint64_t seen = datapath_seen(w->d);
	struct csv_frame f;

	datapath_opened(w->d, &file);
	write_direct(w, true);
	flush_error = EIO;
	assert_int_equal(datapath_fsync(w->d, &file, &seen), DATAPATH_HOME);
	server_read_frame(&w->line, CSV_FRAME_RETURN, &f);
	assert_int_equal(datapath_error(w->d, &file, &seen), 0);
	flush_error = 0;
	wait_active(w);
	/* What it could not flush then, it flushes now. */
	flushes = 0;
	assert_int_equal(datapath_fsync(w->d, &file, &seen), DATAPATH_HOME);
	assert_int_equal(flushes, 1);
}

static void the_last_close_is_followed_by_a_flush(void **state)
{
	struct world *w = *state;
	const struct timespec pause = {.tv_nsec = 1000000};
	struct csv_frame f;

	datapath_opened(w->d, &file);
	write_direct(w, true);
	flush_error = ENODATA;
	datapath_closed(w->d, &file);
	server_read_frame(&w->line, CSV_FRAME_RETURN, &f);
	server_read_frame(&w->line, CSV_FRAME_FAILED, &f);
	assert_int_equal(f.failed.handle.ino, file.ino);
	for (int i = 0; !flushes; i++) {
		must(i < SERVER_MS);
		nanosleep(&pause, NULL);
	}
}

static void io_recalls_and_flushes_allocate_nothing(void **state)
{
	struct world *w = *state;
	uint64_t seen = datapath_seen(w->d);
	struct client_interrupt i = {0};
	struct csv_frame f;
	size_t at, len;

	datapath_opened(w->d, &file);
	write_direct(w, true);
	must_not_allocate = true;
	for (int n = 0; n < 100; n++) {
		assert_int_equal(datapath_write(w->d, &file, 1024 * 1024, CSV_GRANT_BLOCK, w->buf,
						false, &i),
				 0);
		assert_int_equal(
			datapath_read(w->d, &file, 1024 * 1024 + 1, 100, w->buf, &at, &len, &i), 0);
	}
	assert_int_equal(datapath_fsync(w->d, &file, &seen), 0);
	assert_int_equal(
		datapath_write(w->d, &file, 1024 * 1024, CSV_GRANT_BLOCK, w->buf, false, &i), 0);
	f = (struct csv_frame){
		.type = CSV_FRAME_ASK,
		.ask = {.handle = file, .id = {TERM, 1}, .serial = 5, .wants_flush = true}};
	server_write_frame(&w->line, &f);
	server_read_frame(&w->line, CSV_FRAME_TOLD, &f);
	f = (struct csv_frame){.type = CSV_FRAME_RECALL,
			       .recall = {.handle = file, .id = {TERM, 1}}};
	server_write_frame(&w->line, &f);
	server_read_frame(&w->line, CSV_FRAME_RECALL_DONE, &f);
	must_not_allocate = false;
	assert_int_equal(allocations, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_flush_that_fails_for_good_is_told_to_each_open_and_to_the_coordinator),
		TEST(a_failure_elsewhere_is_told_to_each_open),
		TEST(a_lost_path_is_no_error_the_coordinator_flushes),
		TEST(the_last_close_is_followed_by_a_flush),
		TEST(io_recalls_and_flushes_allocate_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
