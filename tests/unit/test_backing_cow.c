/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Granted files that have shared blocks with another one: where they lie, while nodes know where
 * they lie. The mounts are played by the test; they give back what is recalled.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "csvfs/edge/grants.h"
#include "lib/must.h"
#include "tests/unit/backing_fixture.h"

#define TERM   9
#define READER 1
#define WRITER 2
#define BLOCK  4096
#define MIB    (UINT64_C(1) << 20)
#define SIZE   (2 * MIB)

static struct grants *grants;
static atomic_int recalls;

static void on_send(void *arg, uint64_t conn, const struct csv_frame *f)
{
	(void)arg;
	must(f->type == CSV_FRAME_RECALL);
	recalls++;
	must(!grants_event(grants, &(struct grant_event){.type = GRANT_EV_DONE,
							 .mount = conn / 10,
							 .handle = f->recall.handle,
							 .id = f->recall.id}));
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
	struct grants_options o = {.term = TERM,
				   .send = on_send,
				   .close = ignore_conn,
				   .settled = ignore_handle,
				   .overflow = overflow};
	struct volume *v;

	must(!volume_setup(state));
	v = *state;
	recalls = 0;
	must(!grants_open(&o, &grants));
	backing_set_grants(v->b, grants, 0);
	must(!grants_event(grants, &(struct grant_event){.type = GRANT_EV_OPEN}));
	for (uint64_t m = READER; m <= WRITER; m++)
		must(!grants_event(grants, &(struct grant_event){.type = GRANT_EV_CHANNEL,
								 .mount = m,
								 .conn = m * 10}));
	return 0;
}

static int teardown(void **state)
{
	struct volume *v = *state;

	grants_stop(grants);
	volume_close(v);
	grants_close(grants);
	return volume_teardown(state);
}

static void write_at(struct volume *v, struct csv_handle h, uint64_t offset, size_t len, char c)
{
	static char data[MIB];

	memset(data, c, len);
	ok(v, ask_write(h, offset, 0, data, len));
}

/* A file whose blocks another one had, too, of which a part was written since, by 64 KiB. */
static struct csv_handle once_shared(struct volume *v)
{
	struct csv_handle h = file_with(v, v->root, "f", ""),
			  other = file_with(v, v->root, "o", "");

	write_at(v, h, 0, MIB, 'a');
	write_at(v, h, MIB, MIB, 'b');
	assert_int_equal(ok(v, ask_copy_range(h, 0, other, 0, SIZE)).count.count, SIZE);
	write_at(v, h, 0, MIB / 16, 'c');
	ok(v, ask_setattr(other, CSV_SET_SIZE)); /* to 0: at once, as unlinking is not */
	return h;
}

static enum csv_grant_mode mode; /* of the last grant */

/* Where the part at `offset` lies, as the mount is told. */
static uint64_t granted_at(struct volume *v, uint64_t mount, struct csv_handle h, bool is_write,
			   uint64_t offset)
{
	struct csv_request q = {.op = CSV_OP_GRANT, .grant = {.handle = h, .is_write = is_write}};
	struct csv_extent e = {0};
	struct csv_reply p;

	assert_int_equal(volume_do(v, mount, 0, q, &p), 0);
	assert_int_equal(p.grant.why, CSV_UNGRANTED_NOTHING);
	mode = (enum csv_grant_mode)p.grant.mode;
	for (size_t i = 0; csv_extent_get(&p.grant.extents, i, &e); i++) {
		if (e.offset <= offset && offset < e.offset + e.length)
			return e.address + (offset - e.offset);
	}
	fail();
	return 0;
}

/* A write of the coordinator would move the blocks behind the part that was written. */
static void blocks_do_not_move_under_one_who_reads_them(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = once_shared(v);

	granted_at(v, READER, h, false, MIB / 16);
	write_at(v, h, MIB / 16, BLOCK, 'd');
	assert_int_equal(recalls, 1);
	granted_at(v, READER, h, false, MIB / 16);
}

static void blocks_of_a_file_that_is_granted_for_writing_stay_where_they_are(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = once_shared(v);
	uint64_t at = granted_at(v, WRITER, h, true, MIB / 16);

	assert_int_equal(granted_at(v, READER, h, false, MIB / 16), at);
	recalls = 0; /* the writer is not alone any more */
	write_at(v, h, MIB / 16, BLOCK, 'd');
	assert_int_equal(recalls, 0);
	assert_int_equal(granted_at(v, READER, h, false, MIB / 16), at);
}

/* It moves them a last time when the first one asks who writes. */
static void who_reads_gives_back_before_the_first_one_writes(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = once_shared(v);
	uint64_t at;

	granted_at(v, READER, h, false, MIB / 16);
	granted_at(v, WRITER, h, false, MIB / 16);
	at = granted_at(v, WRITER, h, true, MIB / 16);
	assert_int_equal(recalls, 2);
	assert_int_equal(mode, CSV_GRANT_SOLE);
	assert_int_equal(granted_at(v, READER, h, false, MIB / 16), at);
	/* The second one takes it only from who writes alone. */
	recalls = 0;
	assert_int_equal(granted_at(v, READER, h, true, MIB / 16), at);
	assert_int_equal(mode, CSV_GRANT_WRITE);
	assert_int_equal(recalls, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(blocks_do_not_move_under_one_who_reads_them),
		TEST(blocks_of_a_file_that_is_granted_for_writing_stay_where_they_are),
		TEST(who_reads_gives_back_before_the_first_one_writes),
	};
	const char *why = volume_begin();

	if (why) {
		print_message("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
