/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32C against the vectors of RFC 3720, appendix B.4, and against itself in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "lib/crc32c.h"
#include "lib/prng.h"

static void nothing_has_the_sum_zero(void **state)
{
	(void)state;
	assert_int_equal(crc32c(0, "", 0), 0);
	assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void the_check_value_of_the_catalogue_holds(void **state)
{
	(void)state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
}

static void thirty_two_zeros_give_the_sum_of_the_rfc(void **state)
{
	uint8_t data[32] = {0};

	(void)state;
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x8a9136aa);
}

static void thirty_two_ones_give_the_sum_of_the_rfc(void **state)
{
	uint8_t data[32];

	(void)state;
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x62a8ab43);
}

static void rising_and_falling_bytes_give_the_sums_of_the_rfc(void **state)
{
	uint8_t up[32], down[32];

	(void)state;
	for (uint8_t i = 0; i < 32; i++) {
		up[i] = i;
		down[31 - i] = i;
	}
	assert_int_equal(crc32c(0, up, sizeof(up)), 0x46dd794e);
	assert_int_equal(crc32c(0, down, sizeof(down)), 0x113fdb5c);
}

static void the_read_command_of_the_rfc_gives_its_sum(void **state)
{
	static const uint8_t pdu[48] = {
		0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
		0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	};

	(void)state;
	assert_int_equal(crc32c(0, pdu, sizeof(pdu)), 0xd9963a56);
}

static void pieces_give_the_sum_of_the_whole(void **state)
{
	uint8_t data[67];
	struct prng p;
	uint32_t whole;

	(void)state;
	prng_init(&p, 1);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)prng_next(&p);
	whole = crc32c(0, data, sizeof(data));
	for (size_t cut = 0; cut <= sizeof(data); cut++) {
		uint32_t head = crc32c(0, data, cut);

		assert_int_equal(crc32c(head, data + cut, sizeof(data) - cut), whole);
	}
}

static void every_single_flipped_bit_changes_the_sum(void **state)
{
	uint8_t data[64];
	uint32_t whole;

	(void)state;
	memset(data, 0x5a, sizeof(data));
	whole = crc32c(0, data, sizeof(data));
	for (size_t bit = 0; bit < 8 * sizeof(data); bit++) {
		data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_not_equal(crc32c(0, data, sizeof(data)), whole);
		data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_has_the_sum_zero),
		cmocka_unit_test(the_check_value_of_the_catalogue_holds),
		cmocka_unit_test(thirty_two_zeros_give_the_sum_of_the_rfc),
		cmocka_unit_test(thirty_two_ones_give_the_sum_of_the_rfc),
		cmocka_unit_test(rising_and_falling_bytes_give_the_sums_of_the_rfc),
		cmocka_unit_test(the_read_command_of_the_rfc_gives_its_sum),
		cmocka_unit_test(pieces_give_the_sum_of_the_whole),
		cmocka_unit_test(every_single_flipped_bit_changes_the_sum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
