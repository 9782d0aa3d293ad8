/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of the control partition: layout, damage, and which of two copies counts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/core/header.h"
#include "lib/crc32c.h"
#include "lib/must.h"
#include "lib/prng.h"

#define MIB (UINT64_C(1) << 20)

static struct csv_header a_header(void)
{
	struct csv_header h = {
		.generation = 3,
		.created_wall_ms = UINT64_C(0x0102030405060708),
		.block_bytes = 4096,
		.lun_bytes = 1024 * MIB,
		.control_start = MIB,
		.control_bytes = 16 * MIB,
		.data_start = 17 * MIB,
		.data_bytes = 1006 * MIB,
		.name.text = "vm-disks.1",
	};

	memset(h.volume.byte, 0xaa, sizeof(h.volume.byte));
	memset(h.cluster.byte, 0xbb, sizeof(h.cluster.byte));
	return h;
}

static struct csv_term a_term(uint64_t generation, uint64_t term)
{
	return (struct csv_term){.generation = generation,
				 .term = term,
				 .slot = 15,
				 .node.text = "n16",
				 .incarnation = UINT64_C(0xfedcba9876543210)};
}

static void encode_term(uint64_t generation, uint64_t term, uint8_t *block)
{
	struct csv_term t = a_term(generation, term);

	assert_int_equal(csv_term_encode(&t, block), 0);
}

/* Makes the checksum right again after a change of bytes. */
static void seal(uint8_t *block)
{
	uint32_t crc = crc32c(0, block, 12);

	crc = crc32c(crc, block + 16, CSV_RECORD_BYTES - 16);
	for (size_t i = 0; i < 4; i++)
		block[12 + i] = (uint8_t)(crc >> (8 * i));
}

/* ---- one record */

static void what_is_encoded_decodes_to_the_same(void **state)
{
	uint8_t block[CSV_RECORD_BYTES], again[CSV_RECORD_BYTES];
	struct csv_header h = a_header(), h2;
	struct csv_term t = a_term(1, 7), t2;

	(void)state;
	assert_int_equal(csv_header_encode(&h, block), 0);
	assert_int_equal(csv_header_decode(block, &h2), 0);
	assert_int_equal(csv_header_encode(&h2, again), 0);
	assert_memory_equal(block, again, sizeof(block));
	assert_string_equal(h2.name.text, h.name.text);
	assert_true(csv_uuid_equal(&h2.volume, &h.volume));
	assert_int_equal(h2.data_bytes, h.data_bytes);
	assert_int_equal(csv_term_encode(&t, block), 0);
	assert_int_equal(csv_term_decode(block, &t2), 0);
	assert_int_equal(csv_term_encode(&t2, again), 0);
	assert_memory_equal(block, again, sizeof(block));
	assert_int_equal(t2.incarnation, t.incarnation);
}

static void the_bytes_of_a_term_are_those_of_the_document(void **state)
{
	static const uint8_t expect[] = {
		'C',  'S',  'V',  'R',	1,    0,    2,	  0,	/* magic, version, type */
		30,   0,    0,	  0,				/* length */
		0,    0,    0,	  0,				/* checksum, below */
		1,    0,    0,	  0,	0,    0,    0,	  0,	/* generation */
		7,    0,    0,	  0,	0,    0,    0,	  0,	/* term */
		15,						/* slot */
		3,    0,    'n',  '1',	'6',			/* node */
		0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe, /* incarnation */
	};
	uint8_t block[CSV_RECORD_BYTES], again[CSV_RECORD_BYTES];

	(void)state;
	encode_term(1, 7, block);
	assert_memory_equal(block, expect, 12);
	assert_memory_equal(block + 16, expect + 16, sizeof(expect) - 16);
	for (size_t i = sizeof(expect); i < sizeof(block); i++)
		assert_int_equal(block[i], 0);
	memcpy(again, block, sizeof(block));
	seal(again);
	assert_memory_equal(again, block, sizeof(block));
}

static void every_single_damaged_byte_is_noticed(void **state)
{
	uint8_t block[CSV_RECORD_BYTES];
	struct csv_header h = a_header(), unused;

	(void)state;
	assert_int_equal(csv_header_encode(&h, block), 0);
	for (size_t i = 0; i < sizeof(block); i++) {
		block[i] ^= 0x40;
		assert_int_equal(csv_header_decode(block, &unused), -EBADMSG);
		block[i] ^= 0x40;
	}
}

static void a_block_torn_at_any_sector_is_no_record(void **state)
{
	uint8_t block[CSV_RECORD_BYTES], old[CSV_RECORD_BYTES];
	struct csv_term unused;

	(void)state;
	for (size_t cut = 512; cut < sizeof(block); cut += 512) {
		encode_term(2, 9, block);
		memset(old, 0x5a, sizeof(old));
		memcpy(block + cut, old + cut, sizeof(block) - cut);
		assert_int_equal(csv_term_decode(block, &unused), -EBADMSG);
	}
}

static void a_block_of_zeros_is_blank(void **state)
{
	uint8_t block[CSV_RECORD_BYTES] = {0};
	struct csv_header h;
	struct csv_term t;

	(void)state;
	assert_int_equal(csv_header_decode(block, &h), -ENODATA);
	assert_int_equal(csv_term_decode(block, &t), -ENODATA);
}

static void a_record_of_another_version_is_told_from_damage(void **state)
{
	uint8_t block[CSV_RECORD_BYTES];
	struct csv_term unused;

	(void)state;
	encode_term(1, 7, block);
	block[4] = 2;
	seal(block);
	assert_int_equal(csv_term_decode(block, &unused), -EPROTONOSUPPORT);
}

static void a_record_of_another_type_is_refused(void **state)
{
	uint8_t block[CSV_RECORD_BYTES];
	struct csv_header unused;

	(void)state;
	encode_term(1, 7, block);
	assert_int_equal(csv_header_decode(block, &unused), -EBADMSG);
}

static void bytes_behind_the_body_are_refused(void **state)
{
	uint8_t block[CSV_RECORD_BYTES];
	struct csv_term unused;

	(void)state;
	encode_term(1, 7, block);
	block[CSV_RECORD_BYTES - 1] = 1;
	seal(block);
	assert_int_equal(csv_term_decode(block, &unused), -EBADMSG);
	encode_term(1, 7, block);
	block[8]++; /* the length takes in a byte that no field has */
	seal(block);
	assert_int_equal(csv_term_decode(block, &unused), -EBADMSG);
	block[9] = 0xff; /* the length leaves the block */
	seal(block);
	assert_int_equal(csv_term_decode(block, &unused), -EBADMSG);
}

static void random_bytes_with_a_right_checksum_do_no_harm(void **state)
{
	uint8_t block[CSV_RECORD_BYTES], again[CSV_RECORD_BYTES];
	struct csv_header h;
	struct prng p;

	(void)state;
	prng_init(&p, 1);
	for (int round = 0; round < 2000; round++) {
		h = a_header();
		assert_int_equal(csv_header_encode(&h, block), 0);
		for (uint64_t i = 1 + prng_below(&p, 4); i; i--)
			block[prng_below(&p, 160)] = (uint8_t)prng_next(&p);
		seal(block);
		if (csv_header_decode(block, &h))
			continue;
		assert_int_equal(csv_header_encode(&h, again), 0);
		assert_memory_equal(block, again, sizeof(block));
	}
}

static void values_that_cannot_be_are_not_written(void **state)
{
	uint8_t block[CSV_RECORD_BYTES];
	struct csv_header good = a_header(), h;
	struct csv_term t;

	(void)state;
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		h = good;                                                                          \
		change;                                                                            \
		assert_int_equal(csv_header_encode(&h, block), -EINVAL);                           \
	} while (0)
	REFUSED(h.generation = 0);
	REFUSED(memset(&h.volume, 0, sizeof(h.volume)));
	REFUSED(memset(&h.cluster, 0, sizeof(h.cluster)));
	REFUSED(h.name.text[0] = 0);
	REFUSED(h.block_bytes = 520);
	REFUSED(h.control_bytes -= MIB);
	REFUSED(h.data_start++);
	REFUSED(h.data_start = MIB);
	REFUSED(h.data_bytes = 0);
	REFUSED(h.data_bytes = 1008 * MIB);
	REFUSED(h.data_bytes = UINT64_MAX - MIB + 1);
	REFUSED(h.lun_bytes = 0);
#undef REFUSED
	t = a_term(1, 0);
	assert_int_equal(csv_term_encode(&t, block), -EINVAL);
	t = a_term(1, 1);
	t.slot = CSV_NODES_MAX;
	assert_int_equal(csv_term_encode(&t, block), -EINVAL);
}

static void names_are_letters_digits_and_three_signs(void **state)
{
	static const char *const good[] = {"a", "0", "vm-disks", "A.b_c-9",
					   "012345678901234567890123456789012345678901234567890123"
					   "456789012"};
	static const char *const bad[] = {"",
					  ".",
					  "..",
					  "-a",
					  "_a",
					  "a/b",
					  "a b",
					  "a\n",
					  "\xc3\xa4",
					  "0123456789012345678901234567890123456789012345678901234"
					  "567890123"};

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(good); i++)
		assert_true(csv_label_is_good(good[i]));
	for (size_t i = 0; i < MUST_ARRAY_SIZE(bad); i++)
		assert_false(csv_label_is_good(bad[i]));
}

/* ---- two copies */

static void the_copy_with_the_higher_generation_counts(void **state)
{
	uint8_t a[CSV_RECORD_BYTES], b[CSV_RECORD_BYTES];
	struct csv_copies copies;
	struct csv_term t;

	(void)state;
	encode_term(4, 70, a);
	encode_term(5, 80, b);
	assert_int_equal(csv_term_pick(a, b, &t, &copies), 0);
	assert_int_equal(t.term, 80);
	assert_int_equal(copies.newest, 1);
	assert_int_equal(copies.older, 0);
	assert_int_equal(csv_term_pick(b, a, &t, &copies), 0);
	assert_int_equal(t.term, 80);
	assert_int_equal(copies.older, 1);
}

static void a_damaged_or_blank_copy_leaves_the_other(void **state)
{
	uint8_t a[CSV_RECORD_BYTES], b[CSV_RECORD_BYTES];
	struct csv_copies copies;
	struct csv_term t;

	(void)state;
	encode_term(5, 80, a);
	encode_term(6, 90, b);
	b[100] = 1;
	assert_int_equal(csv_term_pick(a, b, &t, &copies), 0);
	assert_int_equal(t.term, 80);
	assert_int_equal(copies.older, 1);
	assert_int_equal(copies.result[1], -EBADMSG);
	memset(b, 0, sizeof(b));
	assert_int_equal(csv_term_pick(b, a, &t, &copies), 0);
	assert_int_equal(t.term, 80);
	assert_int_equal(copies.older, 0);
	assert_int_equal(copies.result[0], -ENODATA);
}

static void two_blank_copies_are_told_from_two_damaged_ones(void **state)
{
	uint8_t a[CSV_RECORD_BYTES] = {0}, b[CSV_RECORD_BYTES] = {0};
	struct csv_copies copies;
	struct csv_term t;

	(void)state;
	assert_int_equal(csv_term_pick(a, b, &t, &copies), -ENODATA);
	assert_int_equal(copies.older, 0);
	a[0] = 1;
	assert_int_equal(csv_term_pick(a, b, &t, &copies), -EBADMSG);
}

static void a_copy_of_another_version_stops_both(void **state)
{
	uint8_t a[CSV_RECORD_BYTES], b[CSV_RECORD_BYTES];
	struct csv_term t;

	(void)state;
	encode_term(5, 80, a);
	encode_term(4, 70, b);
	b[4] = 2;
	seal(b);
	assert_int_equal(csv_term_pick(a, b, &t, NULL), -EPROTONOSUPPORT);
}

static void equal_generations_must_be_equal_records(void **state)
{
	uint8_t a[CSV_RECORD_BYTES], b[CSV_RECORD_BYTES];
	struct csv_header h = a_header(), got;
	struct csv_term t;

	(void)state;
	assert_int_equal(csv_header_encode(&h, a), 0);
	assert_int_equal(csv_header_pick(a, a, &got, NULL), 0);
	assert_string_equal(got.name.text, h.name.text);
	encode_term(5, 80, a);
	encode_term(5, 81, b);
	assert_int_equal(csv_term_pick(a, b, &t, NULL), -EBADMSG);
}

static void a_term_is_followed_by_a_later_one_or_by_itself(void **state)
{
	struct csv_term now = a_term(5, 80), next = a_term(9, 80);

	(void)state;
	assert_true(csv_term_may_follow(NULL, &next));
	assert_true(csv_term_may_follow(&now, &next));
	next.incarnation++;
	assert_false(csv_term_may_follow(&now, &next));
	next = a_term(0, 80);
	next.slot--;
	assert_false(csv_term_may_follow(&now, &next));
	next = a_term(0, 80);
	next.node.text[0] = 'm';
	assert_false(csv_term_may_follow(&now, &next));
	next.term = 81;
	assert_true(csv_term_may_follow(&now, &next));
	next = a_term(0, 79);
	assert_false(csv_term_may_follow(&now, &next));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_decodes_to_the_same),
		cmocka_unit_test(the_bytes_of_a_term_are_those_of_the_document),
		cmocka_unit_test(every_single_damaged_byte_is_noticed),
		cmocka_unit_test(a_block_torn_at_any_sector_is_no_record),
		cmocka_unit_test(a_block_of_zeros_is_blank),
		cmocka_unit_test(a_record_of_another_version_is_told_from_damage),
		cmocka_unit_test(a_record_of_another_type_is_refused),
		cmocka_unit_test(bytes_behind_the_body_are_refused),
		cmocka_unit_test(random_bytes_with_a_right_checksum_do_no_harm),
		cmocka_unit_test(values_that_cannot_be_are_not_written),
		cmocka_unit_test(names_are_letters_digits_and_three_signs),
		cmocka_unit_test(the_copy_with_the_higher_generation_counts),
		cmocka_unit_test(a_damaged_or_blank_copy_leaves_the_other),
		cmocka_unit_test(two_blank_copies_are_told_from_two_damaged_ones),
		cmocka_unit_test(a_copy_of_another_version_stops_both),
		cmocka_unit_test(equal_generations_must_be_equal_records),
		cmocka_unit_test(a_term_is_followed_by_a_later_one_or_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
