/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wire codec: layout of each width, bounds, the sticky error, refusal of what is left over. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/wire.h"

/* ---- writing */

static void numbers_are_little_endian_without_padding(void **state)
{
	static const uint8_t expect[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f,
					 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08};
	uint8_t buf[sizeof(expect)];
	struct wire_writer w;
	size_t len = 0;

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u8(&w, 0x01);
	wire_put_u16(&w, 0x0203);
	wire_put_u32(&w, 0x04050607);
	wire_put_u64(&w, UINT64_C(0x08090a0b0c0d0e0f));
	assert_int_equal(wire_writer_end(&w, &len), 0);
	assert_int_equal(len, sizeof(expect));
	assert_memory_equal(buf, expect, sizeof(expect));
}

static void bytes_have_a_length_of_four_and_strings_one_of_two(void **state)
{
	static const uint8_t expect[] = {3, 0, 0, 0, 0xaa, 0xbb, 0xcc, 2, 0, 'h', 'i', 0x5a, 0x5b};
	uint8_t buf[sizeof(expect)];
	struct wire_writer w;
	size_t len = 0;

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_bytes(&w, "\xaa\xbb\xcc", 3);
	wire_put_str(&w, "hi");
	wire_put_raw(&w, "\x5a\x5b", 2);
	assert_int_equal(wire_writer_end(&w, &len), 0);
	assert_int_equal(len, sizeof(expect));
	assert_memory_equal(buf, expect, sizeof(expect));
}

static void a_number_that_does_not_fit_writes_nothing_of_itself(void **state)
{
	uint8_t buf[4] = {9, 9, 9, 9};
	struct wire_writer w;

	(void)state;
	wire_writer_init(&w, buf, 3);
	wire_put_u32(&w, 0x01020304);
	assert_int_equal(w.error, -ENOBUFS);
	assert_int_equal(w.pos, 0);
	assert_memory_equal(buf, "\x09\x09\x09\x09", 4);
}

static void the_error_of_a_writer_is_sticky(void **state)
{
	uint8_t buf[2] = {9, 9};
	struct wire_writer w;
	size_t len = 77;

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u32(&w, 1);
	wire_put_u8(&w, 1); /* would fit */
	wire_put_raw(&w, "x", 1);
	wire_put_str(&w, "");
	assert_int_equal(wire_writer_end(&w, &len), -ENOBUFS);
	assert_int_equal(len, 77);
	assert_memory_equal(buf, "\x09\x09", 2);
}

static void a_writer_can_be_filled_to_its_last_byte(void **state)
{
	uint8_t buf[2];
	struct wire_writer w;
	size_t len = 0;

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u16(&w, 7);
	wire_put_raw(&w, NULL, 0);
	assert_int_equal(wire_writer_end(&w, &len), 0);
	assert_int_equal(len, 2);
}

static void bytes_longer_than_their_length_field_are_refused_unread(void **state)
{
	uint8_t buf[16];
	struct wire_writer w;
	size_t len = 77;

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_bytes(&w, buf, (size_t)UINT32_MAX + 1);
	assert_int_equal(wire_writer_end(&w, &len), -ENOBUFS);
	assert_int_equal(len, 77);
	wire_put_bytes(&w, buf, (size_t)UINT32_MAX + 1);
	assert_int_equal(w.error, -ENOBUFS);
}

static void a_string_may_have_65535_characters_and_not_one_more(void **state)
{
	_cleanup_free_ char *text = calloc(1, UINT16_MAX + 2);
	_cleanup_free_ uint8_t *buf = malloc(UINT16_MAX + 16);
	struct wire_writer w;
	size_t len = 0;

	(void)state;
	assert_true(text && buf);
	memset(text, 'a', UINT16_MAX);
	wire_writer_init(&w, buf, UINT16_MAX + 16);
	wire_put_str(&w, text);
	assert_int_equal(wire_writer_end(&w, &len), 0);
	assert_int_equal(len, UINT16_MAX + 2);

	text[UINT16_MAX] = 'a';
	wire_writer_init(&w, buf, UINT16_MAX + 16);
	wire_put_str(&w, text);
	assert_int_equal(w.error, -ENOBUFS);
	wire_put_str(&w, text);
	assert_int_equal(w.error, -ENOBUFS);
}

static void a_patch_overwrites_what_was_written(void **state)
{
	uint8_t buf[6];
	struct wire_writer w;

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u16(&w, 0xffff);
	wire_put_u32(&w, 0);
	wire_patch_u32(&w, 2, 0x01020304);
	assert_int_equal(w.error, 0);
	assert_memory_equal(buf, "\xff\xff\x04\x03\x02\x01", 6);
}

static void a_patch_past_what_was_written_is_an_error(void **state)
{
	static const size_t position[] = {3, 6, 7, SIZE_MAX};

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(position); i++) {
		uint8_t buf[16] = {0};
		struct wire_writer w;

		wire_writer_init(&w, buf, sizeof(buf));
		wire_put_u32(&w, 0);
		wire_put_u16(&w, 0);
		wire_patch_u32(&w, position[i], 0xffffffff);
		assert_int_equal(w.error, -ENOBUFS);
		assert_memory_equal(buf, "\0\0\0\0\0\0\0\0", 8);
	}
}

static void a_patch_after_an_error_changes_nothing(void **state)
{
	uint8_t buf[4];
	struct wire_writer w;

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u32(&w, 0);
	wire_put_u8(&w, 0);
	wire_patch_u32(&w, 0, 0xffffffff);
	assert_memory_equal(buf, "\0\0\0\0", 4);
}

/* ---- reading */

static void what_was_written_is_read_back(void **state)
{
	static const uint8_t raw[3] = {1, 2, 3};
	uint8_t buf[64], back[3];
	char text[8];
	const uint8_t *bytes;
	struct wire_writer w;
	struct wire_reader r;
	size_t len = 0, n = 0;

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u8(&w, UINT8_MAX);
	wire_put_u16(&w, UINT16_MAX - 1);
	wire_put_u32(&w, UINT32_MAX - 2);
	wire_put_u64(&w, UINT64_MAX - 3);
	wire_put_raw(&w, raw, sizeof(raw));
	wire_put_bytes(&w, raw, sizeof(raw));
	wire_put_str(&w, "seven77");
	assert_int_equal(wire_writer_end(&w, &len), 0);

	wire_reader_init(&r, buf, len);
	assert_int_equal(wire_get_u8(&r), UINT8_MAX);
	assert_int_equal(wire_get_u16(&r), UINT16_MAX - 1);
	assert_int_equal(wire_get_u32(&r), UINT32_MAX - 2);
	assert_true(wire_get_u64(&r) == UINT64_MAX - 3);
	wire_get_raw(&r, back, sizeof(back));
	assert_memory_equal(back, raw, sizeof(raw));
	bytes = wire_get_bytes(&r, &n);
	assert_int_equal(n, sizeof(raw));
	assert_memory_equal(bytes, raw, sizeof(raw));
	wire_get_str(&r, text, sizeof(text));
	assert_string_equal(text, "seven77");
	assert_int_equal(wire_reader_left(&r), 0);
	assert_int_equal(wire_reader_end(&r), 0);
}

static void a_short_read_yields_zero_and_an_error_that_stays(void **state)
{
	static const uint8_t buf[3] = {0xff, 0xff, 0xff};
	struct wire_reader r;
	uint8_t raw[2] = {9, 9};

	(void)state;
	wire_reader_init(&r, buf, sizeof(buf));
	assert_int_equal(wire_get_u32(&r), 0);
	assert_int_equal(r.error, -EBADMSG);
	assert_int_equal(wire_get_u8(&r), 0); /* would be there */
	wire_get_raw(&r, raw, sizeof(raw));
	assert_memory_equal(raw, "\0\0", 2);
	assert_int_equal(wire_reader_left(&r), 0);
	assert_int_equal(wire_reader_end(&r), -EBADMSG);
}

static void raw_bytes_that_are_not_there_read_as_zero(void **state)
{
	static const uint8_t buf[1] = {0xff};
	uint8_t raw[2] = {9, 9};
	struct wire_reader r;

	(void)state;
	wire_reader_init(&r, buf, sizeof(buf));
	wire_get_raw(&r, raw, 0);
	assert_int_equal(raw[0], 9);
	wire_get_raw(&r, raw, 2);
	assert_memory_equal(raw, "\0\0", 2);
	assert_int_equal(wire_reader_end(&r), -EBADMSG);
}

static void a_bool_is_zero_or_one(void **state)
{
	(void)state;
	for (unsigned int v = 0; v <= UINT8_MAX; v++) {
		uint8_t byte = (uint8_t)v;
		struct wire_reader r;

		wire_reader_init(&r, &byte, 1);
		assert_int_equal(wire_get_bool(&r), v == 1);
		assert_int_equal(wire_reader_end(&r), v > 1 ? -EBADMSG : 0);
	}
}

static void an_enum_at_or_above_its_limit_is_refused(void **state)
{
	(void)state;
	for (unsigned int v = 0; v <= UINT8_MAX; v++) {
		uint8_t byte = (uint8_t)v;
		struct wire_reader r;

		wire_reader_init(&r, &byte, 1);
		assert_int_equal(wire_get_enum(&r, 5), v < 5 ? v : 0);
		assert_int_equal(wire_reader_end(&r), v < 5 ? 0 : -EBADMSG);
	}
}

static void bytes_longer_than_what_is_left_are_refused(void **state)
{
	static const uint8_t lengths[][4] = {
		{3, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {0xfa, 0xff, 0xff, 0xff}};

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(lengths); i++) {
		uint8_t buf[6] = {0};
		struct wire_reader r;
		size_t n = 77;

		memcpy(buf, lengths[i], 4);
		wire_reader_init(&r, buf, sizeof(buf));
		assert_null(wire_get_bytes(&r, &n));
		assert_int_equal(n, 0);
		assert_int_equal(wire_reader_end(&r), -EBADMSG);
	}
}

static void empty_bytes_are_no_error(void **state)
{
	static const uint8_t buf[4] = {0};
	struct wire_reader r;
	size_t n = 77;

	(void)state;
	wire_reader_init(&r, buf, sizeof(buf));
	wire_get_bytes(&r, &n);
	assert_int_equal(n, 0);
	assert_int_equal(wire_reader_end(&r), 0);
}

static void a_string_must_leave_room_for_its_end(void **state)
{
	static const uint8_t buf[] = {3, 0, 'a', 'b', 'c'};
	char text[4] = {1, 1, 1, 1};
	struct wire_reader r;

	(void)state;
	wire_reader_init(&r, buf, sizeof(buf));
	wire_get_str(&r, text, 4);
	assert_string_equal(text, "abc");
	assert_int_equal(wire_reader_end(&r), 0);

	wire_reader_init(&r, buf, sizeof(buf));
	wire_get_str(&r, text, 3);
	assert_string_equal(text, "");
	assert_int_equal(wire_reader_end(&r), -EBADMSG);
}

static void a_string_without_room_for_anything_writes_nothing(void **state)
{
	static const uint8_t buf[] = {0, 0};
	char text[1] = {'x'};
	struct wire_reader r;

	(void)state;
	wire_reader_init(&r, buf, sizeof(buf));
	wire_get_str(&r, text, 0);
	assert_int_equal(text[0], 'x');
	assert_int_equal(wire_reader_end(&r), -EBADMSG);
}

static void a_string_with_a_nul_inside_is_refused(void **state)
{
	static const uint8_t buf[] = {3, 0, 'a', 0, 'c'};
	char text[8] = "before";
	struct wire_reader r;

	(void)state;
	wire_reader_init(&r, buf, sizeof(buf));
	wire_get_str(&r, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(wire_reader_end(&r), -EBADMSG);
}

static void a_string_that_is_cut_off_is_refused(void **state)
{
	static const uint8_t buf[] = {3, 0, 'a', 'b'};
	char text[8] = "before";
	struct wire_reader r;

	(void)state;
	wire_reader_init(&r, buf, sizeof(buf));
	wire_get_str(&r, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(wire_reader_end(&r), -EBADMSG);
}

static void trailing_bytes_are_refused(void **state)
{
	static const uint8_t buf[2] = {1, 2};
	struct wire_reader r;

	(void)state;
	wire_reader_init(&r, buf, sizeof(buf));
	wire_get_u8(&r);
	assert_int_equal(wire_reader_left(&r), 1);
	assert_int_equal(r.error, 0);
	assert_int_equal(wire_reader_end(&r), -EBADMSG);
}

static void a_caller_can_refuse_what_it_read(void **state)
{
	static const uint8_t buf[2] = {1, 2};
	struct wire_reader r;

	(void)state;
	wire_reader_init(&r, buf, sizeof(buf));
	wire_get_u16(&r);
	wire_reader_fail(&r);
	assert_int_equal(wire_reader_end(&r), -EBADMSG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_little_endian_without_padding),
		cmocka_unit_test(bytes_have_a_length_of_four_and_strings_one_of_two),
		cmocka_unit_test(a_number_that_does_not_fit_writes_nothing_of_itself),
		cmocka_unit_test(the_error_of_a_writer_is_sticky),
		cmocka_unit_test(a_writer_can_be_filled_to_its_last_byte),
		cmocka_unit_test(bytes_longer_than_their_length_field_are_refused_unread),
		cmocka_unit_test(a_string_may_have_65535_characters_and_not_one_more),
		cmocka_unit_test(a_patch_overwrites_what_was_written),
		cmocka_unit_test(a_patch_past_what_was_written_is_an_error),
		cmocka_unit_test(a_patch_after_an_error_changes_nothing),
		cmocka_unit_test(what_was_written_is_read_back),
		cmocka_unit_test(a_short_read_yields_zero_and_an_error_that_stays),
		cmocka_unit_test(raw_bytes_that_are_not_there_read_as_zero),
		cmocka_unit_test(a_bool_is_zero_or_one),
		cmocka_unit_test(an_enum_at_or_above_its_limit_is_refused),
		cmocka_unit_test(bytes_longer_than_what_is_left_are_refused),
		cmocka_unit_test(empty_bytes_are_no_error),
		cmocka_unit_test(a_string_must_leave_room_for_its_end),
		cmocka_unit_test(a_string_without_room_for_anything_writes_nothing),
		cmocka_unit_test(a_string_with_a_nul_inside_is_refused),
		cmocka_unit_test(a_string_that_is_cut_off_is_refused),
		cmocka_unit_test(trailing_bytes_are_refused),
		cmocka_unit_test(a_caller_can_refuse_what_it_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
