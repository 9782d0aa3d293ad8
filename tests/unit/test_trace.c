/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a judge of the LUN's I/O reads: lines of csvfs/edge/trace.h, in the order of the book. */
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

#include "csvfs/edge/grants.h"
#include "csvfs/edge/trace.h"
#include "lib/must.h"
#include "lib/wire.h"

#define FAR (UINT64_C(1) << 61)

static char path[] = "/tmp/test_trace-XXXXXX";
static const struct csv_handle disk = {135, 7};

static void on_send(void *arg, uint64_t conn, const struct csv_frame *f)
{
	(void)arg;
	(void)conn;
	(void)f;
}

static void on_close(void *arg, uint64_t conn)
{
	(void)arg;
	(void)conn;
}

static void on_settled(void *arg, const struct csv_handle *h)
{
	(void)arg;
	(void)h;
}

static void on_overflow(void *arg)
{
	(void)arg;
}

static struct grants *open_grants(uint64_t term)
{
	const struct grants_options o = {.term = term,
					 .send = on_send,
					 .close = on_close,
					 .settled = on_settled,
					 .overflow = on_overflow};
	struct grants *g = NULL;

	assert_int_equal(grants_open(&o, &g), 0);
	return g;
}

static void tell(struct grants *g, struct grant_event e)
{
	assert_int_equal(grants_event(g, &e), 0);
}

/* The next line without its time, which never goes back. */
static const char *next_line(FILE *f)
{
	static char line[512];
	static unsigned long long last;
	unsigned long long now;
	char *text;

	if (!fgets(line, sizeof(line), f))
		return "";
	now = strtoull(line, &text, 10);
	assert_true(now >= last && *text == ' ');
	last = now;
	text[strcspn(text, "\n")] = 0;
	return text + 1;
}

static enum csv_ungranted issue(struct grants *g, uint64_t mount, struct csv_grant_id *ret)
{
	const struct grant_event e = {
		.type = GRANT_EV_ISSUE, .mount = mount, .handle = disk, .is_write = true};
	enum csv_grant_mode mode;

	return grants_issue(g, &e, ret, &mode);
}

static void grants_leave_a_line_when_they_are_given_and_when_they_end(void **state)
{
	struct grants *g = open_grants(5);
	struct csv_grant_id id;
	uint8_t buf[2 * CSV_EXTENT_BYTES];
	struct wire_writer w;
	struct csv_bytes extents;
	FILE *f = fopen(path, "r");

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	csv_extent_put(&w, &(struct csv_extent){0, 1048576, 4096});
	csv_extent_put(&w, &(struct csv_extent){4096, 8388608, 1048576});
	extents = (struct csv_bytes){buf, w.pos};
	tell(g, (struct grant_event){.type = GRANT_EV_RESET, .mount = 0xa});
	tell(g, (struct grant_event){.type = GRANT_EV_RECLAIM,
				     .mount = 0xa,
				     .handle = {9, 1},
				     .id = {4, 77},
				     .mode = CSV_GRANT_WRITE});
	tell(g, (struct grant_event){.type = GRANT_EV_OPEN});
	tell(g, (struct grant_event){.type = GRANT_EV_CHANNEL, .mount = 0xa, .conn = 1});
	csv_trace_map(&disk, &extents);
	assert_int_equal(issue(g, 0xa, &id), CSV_UNGRANTED_NOTHING);
	tell(g,
	     (struct grant_event){.type = GRANT_EV_DONE, .mount = 0xa, .handle = disk, .id = id});
	tell(g, (struct grant_event){.type = GRANT_EV_GONE, .mount = 0xa});
	/* Who has no line for recalls is given nothing, and that leaves no line. */
	assert_int_not_equal(issue(g, 0xa, &id), CSV_UNGRANTED_NOTHING);
	grants_close(g);

	must(f);
	assert_string_equal(next_line(f), "reclaim 5 000000000000000a 9.1 4.77 write");
	assert_string_equal(next_line(f), "open 5");
	assert_string_equal(next_line(f), "map 135.7 1048576+4096 8388608+1048576");
	assert_string_equal(next_line(f), "issue 5 000000000000000a 135.7 5.1 sole");
	assert_string_equal(next_line(f), "done 5 000000000000000a 135.7 5.1 none");
	assert_string_equal(next_line(f), "gone 5 000000000000000a");
	assert_string_equal(next_line(f), "");
	fclose(f);
}

static void a_map_of_the_most_extents_is_one_line(void **state)
{
	size_t size = (size_t)CSV_EXTENTS_MAX * CSV_EXTENT_BYTES, lines = 0, bytes = 0;
	uint8_t *buf = malloc(size);
	struct wire_writer w;
	struct csv_bytes extents;
	FILE *f = fopen(path, "r");

	(void)state;
	must(buf && f);
	must(!fseek(f, 0, SEEK_END));
	wire_writer_init(&w, buf, size);
	for (uint64_t i = 0; i < CSV_EXTENTS_MAX; i++)
		csv_extent_put(&w, &(struct csv_extent){i * CSV_GRANT_BLOCK, FAR, FAR});
	extents = (struct csv_bytes){buf, w.pos};
	csv_trace_map(&(struct csv_handle){UINT64_MAX, UINT32_MAX}, &extents);
	for (int c = getc(f); c != EOF; c = getc(f), bytes++)
		lines += c == '\n';
	assert_int_equal(lines, 1);
	assert_true(bytes > CSV_EXTENTS_MAX * strlen("2305843009213693952+2305843009213693952"));
	fclose(f);
	free(buf);
}

static void without_a_file_nothing_is_traced(void **state)
{
	(void)state;
	assert_false(csv_trace_is_on());
	csv_trace("begin %d", 1);
	csv_trace_map(&disk, &(struct csv_bytes){NULL, 0});
	must(!setenv("CSVFSD_TRACE", "/nonexistent/trace", 1));
	csv_trace_open();
	assert_false(csv_trace_is_on());
	must(!setenv("CSVFSD_TRACE", path, 1));
	csv_trace_open();
	assert_true(csv_trace_is_on());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_file_nothing_is_traced), /* opens it for those below */
		cmocka_unit_test(grants_leave_a_line_when_they_are_given_and_when_they_end),
		cmocka_unit_test(a_map_of_the_most_extents_is_one_line),
	};
	int fd = mkstemp(path), r;

	must(fd >= 0);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	close(fd);
	unlink(path);
	return r;
}
