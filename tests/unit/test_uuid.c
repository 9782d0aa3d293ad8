/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UUIDs: bytes and text there and back, and what is no UUID. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "lib/must.h"
#include "lib/prng.h"
#include "lib/uuid.h"

#define ROUNDS 1000

static const char good[] = "00112233-4455-6677-8899-aabbccddeeff";
static const uint8_t good_bytes[UUID_BYTES] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
					       0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

static void assert_refused(const char *text)
{
	uint8_t ret[UUID_BYTES], before[UUID_BYTES];

	memset(ret, 0x5a, sizeof(ret));
	memcpy(before, ret, sizeof(ret));
	assert_false(uuid_parse(text, ret));
	assert_memory_equal(ret, before, sizeof(ret));
}

static void the_bytes_stand_in_the_order_of_the_text(void **state)
{
	uint8_t bytes[UUID_BYTES];
	char text[UUID_TEXT];

	(void)state;
	assert_true(uuid_parse(good, bytes));
	assert_memory_equal(bytes, good_bytes, sizeof(bytes));
	uuid_text(good_bytes, text);
	assert_string_equal(text, good);
}

static void upper_case_is_taken_and_lower_case_written(void **state)
{
	uint8_t bytes[UUID_BYTES];
	char text[UUID_TEXT];

	(void)state;
	assert_true(uuid_parse("00112233-4455-6677-8899-AABBCCDDEEfF", bytes));
	uuid_text(bytes, text);
	assert_string_equal(text, good);
}

static void every_uuid_survives_its_text(void **state)
{
	uint8_t bytes[UUID_BYTES], back[UUID_BYTES];
	char text[UUID_TEXT];
	struct prng p;

	(void)state;
	prng_init(&p, 1);
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)prng_next(&p);
		uuid_text(bytes, text);
		assert_int_equal(strlen(text), UUID_TEXT - 1);
		assert_true(uuid_parse(text, back));
		assert_memory_equal(back, bytes, sizeof(bytes));
	}
}

static void a_text_of_another_length_is_refused(void **state)
{
	char text[UUID_TEXT + 1];

	(void)state;
	for (size_t n = 0; n < UUID_TEXT - 1; n++) {
		memcpy(text, good, sizeof(good));
		text[n] = 0;
		assert_refused(text);
	}
	snprintf(text, sizeof(text), "%s0", good);
	assert_refused(text);
}

/* In every place every character but those that belong there. */
static void a_character_that_does_not_belong_there_is_refused(void **state)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	uint8_t bytes[UUID_BYTES];
	char text[UUID_TEXT];

	(void)state;
	for (size_t at = 0; at < UUID_TEXT - 1; at++) {
		for (int c = 1; c <= UINT8_MAX; c++) {
			bool is_good = good[at] == '-' ? c == '-' : strchr(digits, c) != NULL;

			memcpy(text, good, sizeof(good));
			text[at] = (char)c;
			if (is_good)
				assert_true(uuid_parse(text, bytes));
			else
				assert_refused(text);
		}
	}
}

static void other_notations_are_refused(void **state)
{
	static const char *const text[] = {
		"00112233445566778899aabbccddeeff",
		"{00112233-4455-6677-8899-aabbccddeeff}",
		" 00112233-4455-6677-8899-aabbccddeeff",
		"0011-22334455-6677-8899-aabbccddeeff",
	};

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(text); i++)
		assert_refused(text[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_stand_in_the_order_of_the_text),
		cmocka_unit_test(upper_case_is_taken_and_lower_case_written),
		cmocka_unit_test(every_uuid_survives_its_text),
		cmocka_unit_test(a_text_of_another_length_is_refused),
		cmocka_unit_test(a_character_that_does_not_belong_there_is_refused),
		cmocka_unit_test(other_notations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
