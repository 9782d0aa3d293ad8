/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record of a slot: it comes back as it was, in one length, and nothing else is taken. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/core/record.h"
#include "lib/must.h"

static struct record intent(void)
{
	return (struct record){.seq = UINT64_C(0x1122334455667788),
			       .op = CSV_OP_RENAME,
			       .a = {UINT64_C(0x0102030405060708), 9},
			       .b = {7, 0xfffffffe},
			       .size = UINT64_C(1) << 44};
}

static struct record done(void)
{
	struct record r = intent();

	r.is_done = true;
	r.op = CSV_OP_CREATE;
	r.reply = (struct csv_reply){.slot = 63, .seq = r.seq, .kind = CSV_REPLY_ENTRY};
	r.reply.entry.handle = (struct csv_handle){UINT64_MAX, UINT32_MAX};
	r.reply.entry.attr = (struct csv_attr){.ino = UINT64_MAX,
					       .mode = 0100644,
					       .nlink = 1,
					       .size = 3,
					       .mtime = {.sec = -1, .nsec = 999999999}};
	return r;
}

static void assert_returns(const struct record *r)
{
	uint8_t buf[RECORD_BYTES], again[RECORD_BYTES];
	struct record d;

	assert_int_equal(record_encode(r, buf), 0);
	assert_int_equal(record_decode(buf, sizeof(buf), &d), 0);
	assert_int_equal(d.is_done, r->is_done);
	assert_int_equal(d.seq, r->seq);
	assert_int_equal(d.op, r->op);
	assert_true(csv_handle_equal(&d.a, &r->a) && csv_handle_equal(&d.b, &r->b));
	assert_int_equal(d.size, r->size);
	assert_int_equal(d.reply.error, r->reply.error);
	assert_int_equal(d.reply.kind, r->reply.kind);
	assert_int_equal(record_encode(&d, again), 0);
	assert_memory_equal(buf, again, sizeof(buf));
}

static void an_intent_comes_back_as_it_was(void **state)
{
	struct record r = intent();

	(void)state;
	assert_returns(&r);
}

static void a_done_mark_comes_back_with_its_answer(void **state)
{
	struct record r = done(), d;
	uint8_t buf[RECORD_BYTES];

	(void)state;
	assert_returns(&r);
	assert_int_equal(record_encode(&r, buf), 0);
	assert_int_equal(record_decode(buf, sizeof(buf), &d), 0);
	assert_true(csv_handle_equal(&d.reply.entry.handle, &r.reply.entry.handle));
	assert_int_equal(d.reply.entry.attr.mode, 0100644);
	assert_int_equal(d.reply.entry.attr.mtime.sec, -1);
	r.reply = (struct csv_reply){.seq = r.seq, .error = ENOSPC};
	assert_returns(&r);
	r.reply = (struct csv_reply){.seq = r.seq, .kind = CSV_REPLY_COUNT, .count.count = 9};
	assert_returns(&r);
	r.reply = (struct csv_reply){.seq = r.seq, .kind = CSV_REPLY_ATTR};
	assert_returns(&r);
}

static void an_answer_of_a_query_is_not_kept(void **state)
{
	struct record r = done();
	uint8_t buf[RECORD_BYTES];

	(void)state;
	r.reply.kind = CSV_REPLY_BYTES;
	r.reply.bytes.data = (struct csv_bytes){(const uint8_t *)"x", 1};
	assert_int_equal(record_encode(&r, buf), -EINVAL);
}

static void every_cut_and_every_longer_one_is_refused(void **state)
{
	struct record r = done(), d;
	uint8_t buf[RECORD_BYTES + 1] = {0};

	(void)state;
	assert_int_equal(record_encode(&r, buf), 0);
	for (size_t n = 0; n < RECORD_BYTES; n++)
		assert_int_equal(record_decode(buf, n, &d), -EBADMSG);
	assert_int_equal(record_decode(buf, sizeof(buf), &d), -EBADMSG);
}

static void every_changed_byte_gives_another_record_or_none(void **state)
{
	struct record r[] = {intent(), done()}, d;
	uint8_t buf[RECORD_BYTES], again[RECORD_BYTES];

	(void)state;
	for (size_t k = 0; k < MUST_ARRAY_SIZE(r); k++) {
		assert_int_equal(record_encode(&r[k], buf), 0);
		for (size_t i = 0; i < sizeof(buf); i++) {
			buf[i] ^= 0x55;
			if (!record_decode(buf, sizeof(buf), &d)) {
				assert_int_equal(record_encode(&d, again), 0);
				assert_memory_equal(buf, again, sizeof(buf));
			}
			buf[i] ^= 0x55;
		}
	}
}

static void an_operation_that_changes_nothing_is_refused(void **state)
{
	struct record r = intent(), d;
	uint8_t buf[RECORD_BYTES];

	(void)state;
	r.op = CSV_OP_LOOKUP;
	assert_int_equal(record_encode(&r, buf), 0);
	assert_int_equal(record_decode(buf, sizeof(buf), &d), -EBADMSG);
}

static void another_version_is_refused(void **state)
{
	struct record r = intent(), d;
	uint8_t buf[RECORD_BYTES];

	(void)state;
	assert_int_equal(record_encode(&r, buf), 0);
	buf[0] = RECORD_VERSION + 1;
	assert_int_equal(record_decode(buf, sizeof(buf), &d), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_intent_comes_back_as_it_was),
		cmocka_unit_test(a_done_mark_comes_back_with_its_answer),
		cmocka_unit_test(an_answer_of_a_query_is_not_kept),
		cmocka_unit_test(every_cut_and_every_longer_one_is_refused),
		cmocka_unit_test(every_changed_byte_gives_another_record_or_none),
		cmocka_unit_test(an_operation_that_changes_nothing_is_refused),
		cmocka_unit_test(another_version_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
