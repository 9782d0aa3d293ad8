/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages of clusterd: every message of the list there and back with edge values, damaged in
 * every place, and against the bytes of tests/golden/wire, so that a change of format is seen.
 *
 *   test_msg --golden-update    writes those files; the difference is for a reviewer to read
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/msg.h"
#include "lib/cleanup.h"
#include "lib/crc32c.h"
#include "lib/must.h"
#include "lib/wire.h"

#define BUF_BYTES (CL_MSG_MAX + 64)

/* Which values a message is filled with; TYPICAL is what the golden files hold. */
enum edge { EDGE_ZERO, EDGE_MAX, EDGE_TYPICAL, EDGE_COUNT };

struct each_type {
	enum cl_msg_type type;
	const char *name;
};

static const struct each_type all_types[] = {
#define TYPE(number, NAME, name) {CL_MSG_##NAME, #NAME},
	CL_MESSAGES(TYPE)
#undef TYPE
};

/* ---- one fill and one comparison for each codec of the field lists */

/* Numbers that differ from field to field: a swap of two fields does not go unseen. */
static uint64_t pick(enum edge edge, uint64_t *counter)
{
	(*counter)++;
	if (edge == EDGE_ZERO)
		return 0;
	return edge == EDGE_MAX ? UINT64_MAX : UINT64_C(0x0123456789abcd00) + *counter;
}

#define NUMBER(codec, ctype)                                                                       \
	static void fill_##codec(ctype *v, enum edge edge, uint64_t *counter)                      \
	{                                                                                          \
		*v = (ctype)pick(edge, counter);                                                   \
	}                                                                                          \
	static bool same_##codec(const ctype *a, const ctype *b)                                   \
	{                                                                                          \
		return *a == *b;                                                                   \
	}
NUMBER(u8, uint8_t)
NUMBER(u16, uint16_t)
NUMBER(u64, uint64_t)
#undef NUMBER

static void fill_flag(bool *v, enum edge edge, uint64_t *counter)
{
	*v = pick(edge, counter) != 0;
}

static bool same_flag(const bool *a, const bool *b)
{
	return *a == *b;
}

static void fill_kind(uint8_t *v, enum edge edge, uint64_t *counter)
{
	(void)counter;
	*v = edge == EDGE_ZERO	? CL_ENTRY_NONE
	     : edge == EDGE_MAX ? CL_ENTRY_MAX - 1
				: CL_ENTRY_COMMAND;
}

static bool same_kind(const uint8_t *a, const uint8_t *b)
{
	return *a == *b;
}

static void fill_ring(struct cl_ring *v, enum edge edge, uint64_t *counter)
{
	v->rep = (uint32_t)pick(edge, counter);
	v->seq = pick(edge, counter);
}

static bool same_ring(const struct cl_ring *a, const struct cl_ring *b)
{
	return cl_ring_equal(a, b);
}

static void fill_view(struct cl_view_id *v, enum edge edge, uint64_t *counter)
{
	fill_ring(&v->ring, edge, counter);
	v->nonce = pick(edge, counter);
}

static bool same_view(const struct cl_view_id *a, const struct cl_view_id *b)
{
	return cl_view_equal(a, b);
}

static void fill_epoch(struct cl_epoch *v, enum edge edge, uint64_t *counter)
{
	v->generation = (uint32_t)pick(edge, counter);
	v->number = pick(edge, counter);
	v->starter = (uint8_t)(pick(edge, counter) % CL_MAX_NODES);
}

static bool same_epoch(const struct cl_epoch *a, const struct cl_epoch *b)
{
	return !cl_epoch_compare(a, b) && a->starter == b->starter;
}

static void fill_pos(struct cl_pos *v, enum edge edge, uint64_t *counter)
{
	fill_epoch(&v->epoch, edge, counter);
	v->index = pick(edge, counter);
}

static bool same_pos(const struct cl_pos *a, const struct cl_pos *b)
{
	return same_epoch(&a->epoch, &b->epoch) && a->index == b->index;
}

static void fill_uuid(struct cl_uuid *v, enum edge edge, uint64_t *counter)
{
	for (size_t i = 0; i < sizeof(v->byte); i++)
		v->byte[i] = (uint8_t)pick(edge, counter);
}

static bool same_uuid(const struct cl_uuid *a, const struct cl_uuid *b)
{
	return !memcmp(a->byte, b->byte, sizeof(a->byte));
}

static void fill_text(char text[CL_NAME_MAX], enum edge edge, unsigned int n)
{
	memset(text, 0, CL_NAME_MAX);
	if (edge == EDGE_MAX)
		memset(text, 0xff, CL_NAME_MAX - 1);
	else if (edge == EDGE_TYPICAL)
		snprintf(text, CL_NAME_MAX, "node%u", n);
}

static void fill_name(struct cl_name *v, enum edge edge, uint64_t *counter)
{
	fill_text(v->text, edge, (unsigned int)++*counter);
}

static bool same_name(const struct cl_name *a, const struct cl_name *b)
{
	return !strcmp(a->text, b->text);
}

static void fill_counts(struct cl_counts *v, enum edge edge, uint64_t *counter)
{
	for (size_t i = 0; i < CL_MAX_NODES; i++)
		v->of[i] = pick(edge, counter);
}

static bool same_counts(const struct cl_counts *a, const struct cl_counts *b)
{
	return !memcmp(a->of, b->of, sizeof(a->of));
}

/* Empty; all slots in use; the first, one in the middle and the last. */
static void fill_table(struct cl_table *v, enum edge edge, uint64_t *counter)
{
	memset(v, 0, sizeof(*v));
	v->changed_at = pick(edge, counter);
	for (uint8_t i = 0; i < CL_MAX_NODES && edge != EDGE_ZERO; i++) {
		if (edge == EDGE_TYPICAL && i != 0 && i != 7 && i != 15)
			continue;
		v->member[i].nodeid = edge == EDGE_MAX ? UINT32_MAX - i : 1000u + i;
		v->member[i].vote = i != 7;
		fill_text(v->member[i].name, edge, i);
	}
	if (edge == EDGE_ZERO)
		return;
	v->witness.nodeid = CL_WITNESS_NODEID;
	v->witness.vote = 1;
	fill_text(v->witness.name, edge, CL_WITNESS_SLOT);
	v->version.nodeid = edge == EDGE_MAX ? CL_VERSION_LAST : 4;
}

static bool same_table(const struct cl_table *a, const struct cl_table *b)
{
	struct cl_table copy_a = *a, copy_b = *b;

	for (uint8_t i = 0; i <= CL_VERSION_SLOT; i++) {
		const struct cl_member *x = cl_table_row(&copy_a, i);
		const struct cl_member *y = cl_table_row(&copy_b, i);

		if (x->nodeid != y->nodeid || x->vote != y->vote || strcmp(x->name, y->name) != 0)
			return false;
	}
	return a->changed_at == b->changed_at;
}

static void fill_blob(struct cl_blob *v, enum edge edge, uint64_t *counter)
{
	static uint8_t full[CL_MSG_PAYLOAD_MAX];

	(void)counter;
	for (size_t i = 0; i < sizeof(full); i++)
		full[i] = (uint8_t)(i * 7);
	v->data = full;
	v->len = edge == EDGE_ZERO ? 0 : edge == EDGE_MAX ? sizeof(full) : 5;
}

static bool same_blob(const struct cl_blob *a, const struct cl_blob *b)
{
	return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

#define FILL_FIELD(codec, ctype, name) fill_##codec(&m->name, edge, counter);
#define SAME_FIELD(codec, ctype, name) is_same = is_same && same_##codec(&a->name, &b->name);
#define BODY(number, NAME, name)                                                                   \
	static void fill_body_##name(struct cl_msg_##name *m, enum edge edge, uint64_t *counter)   \
	{                                                                                          \
		CL_MSG_##NAME##_FIELDS(FILL_FIELD)                                                 \
	}                                                                                          \
	static bool same_body_##name(const struct cl_msg_##name *a, const struct cl_msg_##name *b) \
	{                                                                                          \
		bool is_same = true;                                                               \
                                                                                                   \
		CL_MSG_##NAME##_FIELDS(SAME_FIELD) return is_same;                                 \
	}
CL_MESSAGES(BODY)
#undef BODY

static void fill(struct cl_msg *msg, enum cl_msg_type type, enum edge edge)
{
	uint64_t counter = 0;

	memset(msg, 0, sizeof(*msg));
	msg->type = type;
	switch (type) {
#define FILL_CASE(number, NAME, name)                                                              \
	case CL_MSG_##NAME:                                                                        \
		fill_body_##name(&msg->name, edge, &counter);                                      \
		break;
		CL_MESSAGES(FILL_CASE)
#undef FILL_CASE
	}
}

static bool same(const struct cl_msg *a, const struct cl_msg *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
#define SAME_CASE(number, NAME, name)                                                              \
	case CL_MSG_##NAME:                                                                        \
		return same_body_##name(&a->name, &b->name);
		CL_MESSAGES(SAME_CASE)
#undef SAME_CASE
	}
	return false;
}

/* ---- helpers */

struct fixture {
	uint8_t buf[BUF_BYTES];
	uint8_t again[BUF_BYTES];
	uint8_t damaged[BUF_BYTES];
	struct cl_msg msg;
	struct cl_msg back;
	size_t len;
};

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	assert_non_null(*state);
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void encode(struct fixture *f, enum cl_msg_type type, enum edge edge)
{
	fill(&f->msg, type, edge);
	assert_int_equal(cl_msg_encode(&f->msg, f->buf, sizeof(f->buf), &f->len), 0);
}

static void store_le32(uint8_t *p, uint32_t v)
{
	for (size_t i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* A header that is true to the body, so that damage reaches the decoders of the fields. */
static void seal(uint8_t *buf, size_t len)
{
	uint32_t body = (uint32_t)(len - CL_MSG_HEADER_BYTES);

	store_le32(buf + 8, body);
	store_le32(buf + 12, crc32c(0, buf + CL_MSG_HEADER_BYTES, body));
}

static void assert_refused(const uint8_t *buf, size_t len, int error)
{
	struct cl_msg ret, before;

	memset(&ret, 0x5a, sizeof(ret));
	memcpy(&before, &ret, sizeof(ret));
	assert_int_equal(cl_msg_decode(buf, len, &ret), error);
	assert_memory_equal(&ret, &before, sizeof(ret));
}

/* Either nothing, or an object that has these very bytes. */
static void assert_refused_or_identical(struct fixture *f, const uint8_t *buf, size_t len)
{
	size_t again_len = 0;

	if (cl_msg_decode(buf, len, &f->back))
		return;
	assert_int_equal(cl_msg_encode(&f->back, f->again, sizeof(f->again), &again_len), 0);
	assert_int_equal(again_len, len);
	assert_memory_equal(f->again, buf, len);
}

/* ---- there and back */

static void every_message_comes_back_as_it_went(void **state)
{
	struct fixture *f = *state;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		for (enum edge edge = EDGE_ZERO; edge < EDGE_COUNT; edge++) {
			size_t len = 0;

			encode(f, all_types[t].type, edge);
			assert_int_equal(cl_msg_decode(f->buf, f->len, &f->back), 0);
			assert_true(same(&f->msg, &f->back));
			assert_int_equal(cl_msg_encode(&f->back, f->again, sizeof(f->again), &len),
					 0);
			assert_int_equal(len, f->len);
			assert_memory_equal(f->again, f->buf, len);
		}
	}
}

static void no_message_is_longer_than_the_bound(void **state)
{
	struct fixture *f = *state;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		encode(f, all_types[t].type, EDGE_MAX);
		assert_true(f->len <= CL_MSG_MAX);
	}
}

static void a_buffer_one_byte_short_is_refused(void **state)
{
	struct fixture *f = *state;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		size_t len = 77;

		encode(f, all_types[t].type, EDGE_TYPICAL);
		assert_int_equal(cl_msg_encode(&f->msg, f->again, f->len - 1, &len), -ENOBUFS);
		assert_int_equal(len, 77);
		assert_int_equal(cl_msg_encode(&f->msg, f->again, f->len, &len), 0);
	}
}

static void a_payload_above_its_bound_is_not_encoded(void **state)
{
	struct fixture *f = *state;
	size_t len = 77;

	fill(&f->msg, CL_MSG_PROPOSE, EDGE_MAX);
	f->msg.propose.payload.len = CL_MSG_PAYLOAD_MAX + 1;
	assert_int_equal(cl_msg_encode(&f->msg, f->buf, sizeof(f->buf), &len), -ENOBUFS);
	assert_int_equal(cl_msg_encode(&f->msg, f->buf, CL_MSG_HEADER_BYTES, &len), -ENOBUFS);
	assert_int_equal(len, 77);
}

static void a_payload_above_its_bound_is_not_decoded(void **state)
{
	struct fixture *f = *state;

	encode(f, CL_MSG_PROPOSE, EDGE_MAX);
	store_le32(f->buf + f->len - CL_MSG_PAYLOAD_MAX - 4, CL_MSG_PAYLOAD_MAX + 1);
	seal(f->buf, f->len + 1);
	assert_refused(f->buf, f->len + 1, -EBADMSG);
}

static void a_payload_borrows_from_the_message(void **state)
{
	struct fixture *f = *state;

	encode(f, CL_MSG_ENTRY, EDGE_TYPICAL);
	assert_int_equal(cl_msg_decode(f->buf, f->len, &f->back), 0);
	assert_ptr_equal(f->back.entry.payload.data, f->buf + f->len - 5);
}

/* ---- damage */

static void every_truncation_is_refused(void **state)
{
	struct fixture *f = *state;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		encode(f, all_types[t].type, EDGE_TYPICAL);
		for (size_t len = 0; len < f->len; len++)
			assert_refused(f->buf, len, -EBADMSG);
	}
}

static void a_truncation_with_a_true_header_is_refused(void **state)
{
	struct fixture *f = *state;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		encode(f, all_types[t].type, EDGE_TYPICAL);
		for (size_t len = CL_MSG_HEADER_BYTES; len < f->len; len++) {
			seal(f->buf, len);
			assert_refused(f->buf, len, -EBADMSG);
		}
	}
}

static void a_byte_too_many_is_refused(void **state)
{
	struct fixture *f = *state;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		encode(f, all_types[t].type, EDGE_TYPICAL);
		f->buf[f->len] = 0;
		assert_refused(f->buf, f->len + 1, -EBADMSG);
		seal(f->buf, f->len + 1);
		assert_refused(f->buf, f->len + 1, -EBADMSG);
	}
}

static void every_changed_byte_is_refused_or_means_just_that(void **state)
{
	struct fixture *f = *state;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		encode(f, all_types[t].type, EDGE_TYPICAL);
		memcpy(f->damaged, f->buf, f->len);
		for (size_t i = 0; i < f->len; i++) {
			for (unsigned int by = 1; by <= UINT8_MAX; by++) {
				f->damaged[i] = (uint8_t)(f->buf[i] ^ by);
				assert_refused_or_identical(f, f->damaged, f->len);
			}
			f->damaged[i] = f->buf[i];
		}
	}
}

static void every_changed_byte_of_a_body_is_refused(void **state)
{
	struct fixture *f = *state;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		encode(f, all_types[t].type, EDGE_TYPICAL);
		for (size_t i = CL_MSG_HEADER_BYTES; i < f->len; i++) {
			f->buf[i] ^= 1;
			assert_refused(f->buf, f->len, -EBADMSG);
			f->buf[i] ^= 1;
		}
	}
}

static void a_changed_byte_under_a_true_header_is_refused_or_means_just_that(void **state)
{
	struct fixture *f = *state;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		encode(f, all_types[t].type, EDGE_TYPICAL);
		memcpy(f->damaged, f->buf, f->len);
		for (size_t i = CL_MSG_HEADER_BYTES; i < f->len; i++) {
			for (unsigned int by = 1; by <= UINT8_MAX; by++) {
				f->damaged[i] = (uint8_t)(f->buf[i] ^ by);
				seal(f->damaged, f->len);
				assert_refused_or_identical(f, f->damaged, f->len);
			}
			f->damaged[i] = f->buf[i];
		}
	}
}

static void another_magic_is_refused(void **state)
{
	struct fixture *f = *state;

	encode(f, CL_MSG_HASH, EDGE_TYPICAL);
	f->buf[0] ^= 1;
	assert_refused(f->buf, f->len, -EBADMSG);
}

static void another_version_is_told_apart(void **state)
{
	struct fixture *f = *state;

	encode(f, CL_MSG_HASH, EDGE_TYPICAL);
	f->buf[4] = CL_PROTOCOL_MAX + 1;
	assert_refused(f->buf, f->len, -EPROTO);
	f->buf[4] = CL_PROTOCOL_MIN - 1;
	assert_refused(f->buf, f->len, -EPROTO);
}

static void a_number_that_is_no_message_is_refused(void **state)
{
	struct fixture *f = *state;

	encode(f, CL_MSG_HASH, EDGE_TYPICAL);
	f->buf[6] = 0;
	assert_refused(f->buf, f->len, -EBADMSG);
	f->buf[6] = 0xff;
	assert_refused(f->buf, f->len, -EBADMSG);
	seal(f->buf, CL_MSG_HEADER_BYTES);
	assert_refused(f->buf, CL_MSG_HEADER_BYTES, -EBADMSG);
}

/* ---- member table */

/* Length of an encoded table. */
static size_t table_bytes(const struct cl_table *table)
{
	uint8_t buf[2048];
	struct wire_writer w;
	size_t len = 0;

	wire_writer_init(&w, buf, sizeof(buf));
	cl_table_put(&w, table);
	assert_int_equal(wire_writer_end(&w, &len), 0);
	return len;
}

static int decode_table(const uint8_t *buf, size_t len, struct cl_table *ret)
{
	struct wire_reader r;

	wire_reader_init(&r, buf, len);
	cl_table_get(&r, ret);
	return wire_reader_end(&r);
}

/* changed_at 1, `used` rows, then the bytes of the rows. */
static int decode_rows(uint8_t used, const char *rows, size_t rows_len)
{
	uint8_t buf[256] = {1, 0, 0, 0, 0, 0, 0, 0, used};
	struct cl_table table;

	memcpy(buf + 9, rows, rows_len);
	return decode_table(buf, 9 + rows_len, &table);
}

#define ROW(slot, nodeid, vote, name_len, name) slot nodeid "\0\0\0" vote name_len "\0" name

static void rows_of_a_table_stand_in_rising_order(void **state)
{
	static const char up[] = ROW("\1", "\1", "\1", "\1", "a") ROW("\2", "\2", "\0", "\1", "b");
	static const char down[] =
		ROW("\2", "\2", "\0", "\1", "b") ROW("\1", "\1", "\1", "\1", "a");
	static const char twice[] =
		ROW("\1", "\1", "\1", "\1", "a") ROW("\1", "\2", "\0", "\1", "b");

	(void)state;
	assert_int_equal(decode_rows(2, up, sizeof(up) - 1), 0);
	assert_int_equal(decode_rows(2, down, sizeof(down) - 1), -EBADMSG);
	assert_int_equal(decode_rows(2, twice, sizeof(twice) - 1), -EBADMSG);
}

static void a_table_with_an_empty_row_is_refused(void **state)
{
	static const char empty[] = ROW("\1", "\0", "\0", "\0", "");

	(void)state;
	assert_int_equal(decode_rows(1, empty, sizeof(empty) - 1), -EBADMSG);
}

static void a_table_with_a_slot_out_of_range_is_refused(void **state)
{
	static const char high[] = ROW("\x10", "\1", "\1", "\1", "a");

	(void)state;
	assert_int_equal(decode_rows(1, high, sizeof(high) - 1), -EBADMSG);
}

static void a_table_with_two_votes_in_a_row_is_refused(void **state)
{
	static const char two[] = ROW("\1", "\1", "\2", "\1", "a");

	(void)state;
	assert_int_equal(decode_rows(1, two, sizeof(two) - 1), -EBADMSG);
}

static void a_table_with_a_nameless_member_is_refused(void **state)
{
	static const char nameless[] = ROW("\1", "\1", "\1", "\0", "");

	(void)state;
	assert_int_equal(decode_rows(1, nameless, sizeof(nameless) - 1), -EBADMSG);
}

static void a_table_of_more_than_sixteen_rows_is_refused(void **state)
{
	(void)state;
	assert_int_equal(decode_rows(17, "", 0), -EBADMSG);
}

static void the_length_of_a_full_table_is_within_the_bound_of_fixed_parts(void **state)
{
	struct cl_table table;
	uint64_t counter = 0;

	(void)state;
	fill_table(&table, EDGE_MAX, &counter);
	assert_true(table_bytes(&table) < CL_MSG_MAX - CL_MSG_PAYLOAD_MAX);
}

/* ---- one row */

static void a_row_comes_back_as_it_went(void **state)
{
	static const struct cl_member rows[] = {
		{0},
		{.nodeid = 1, .vote = 1, .name = "a"},
		{.nodeid = UINT32_MAX, .vote = 0, .name = "node7"},
	};

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(rows); i++) {
		uint8_t buf[CL_ROW_MAX], slot = 99;
		struct cl_member back;
		struct cl_blob blob = {.data = buf};

		assert_int_equal(cl_row_encode(15, &rows[i], buf, sizeof(buf), &blob.len), 0);
		assert_int_equal(cl_row_decode(blob, &slot, &back), 0);
		assert_int_equal(slot, 15);
		assert_memory_equal(&back, &rows[i], sizeof(back));
	}
}

static void the_longest_row_fits_its_bound(void **state)
{
	struct cl_member row = {.nodeid = UINT32_MAX, .vote = 1};
	uint8_t buf[CL_ROW_MAX];
	size_t len = 77;

	(void)state;
	fill_text(row.name, EDGE_MAX, 0);
	assert_int_equal(cl_row_encode(15, &row, buf, sizeof(buf), &len), 0);
	assert_int_equal(cl_row_encode(15, &row, buf, len - 1, &len), -ENOBUFS);
}

static void a_row_that_is_cut_or_too_long_is_refused_and_nothing_returned(void **state)
{
	struct cl_member row = {.nodeid = 7, .vote = 1, .name = "node7"}, back = {.nodeid = 77};
	uint8_t buf[CL_ROW_MAX + 1] = {0}, slot = 99;
	size_t len = 0;

	(void)state;
	assert_int_equal(cl_row_encode(3, &row, buf, CL_ROW_MAX, &len), 0);
	for (size_t n = 0; n <= len + 1; n++) {
		if (n == len)
			continue;
		assert_int_equal(cl_row_decode((struct cl_blob){buf, n}, &slot, &back), -EBADMSG);
		assert_int_equal(slot, 99);
		assert_int_equal(back.nodeid, 77);
	}
}

static void an_empty_row_with_a_vote_or_a_name_is_refused(void **state)
{
	static const char vote[] = ROW("\1", "\0", "\1", "\0", "");
	static const char name[] = ROW("\1", "\0", "\0", "\1", "a");
	uint8_t slot;
	struct cl_member row;

	(void)state;
	assert_int_equal(cl_row_decode((struct cl_blob){(const uint8_t *)vote, sizeof(vote) - 1},
				       &slot, &row),
			 -EBADMSG);
	assert_int_equal(cl_row_decode((struct cl_blob){(const uint8_t *)name, sizeof(name) - 1},
				       &slot, &row),
			 -EBADMSG);
}

/* ---- names */

static void every_message_has_its_name(void **state)
{
	(void)state;
	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++)
		assert_string_equal(cl_msg_name(all_types[t].type), all_types[t].name);
	assert_string_equal(cl_msg_name((enum cl_msg_type)0), "?");
}

static void every_kind_of_entry_has_a_name(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < CL_ENTRY_MAX; i++)
		assert_string_not_equal(cl_entry_kind_name((enum cl_entry_kind)i), "?");
	assert_string_equal(cl_entry_kind_name(CL_ENTRY_MAX), "?");
}

/* ---- golden bytes */

static void golden_path(char *path, size_t cap, const char *name)
{
	const char *srcdir = getenv("srcdir");

	snprintf(path, cap, "%s/tests/golden/wire/%s.v%d.hex", srcdir ? srcdir : ".", name,
		 CL_PROTOCOL_MAX);
}

/* Hexadecimal digits and white space; returns the number of bytes. */
static size_t golden_read(const char *name, uint8_t *buf, size_t cap)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[512];
	unsigned int byte;
	size_t len = 0;

	golden_path(path, sizeof(path), name);
	file = fopen(path, "re");
	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	while (len < cap && fscanf(file, "%2x", &byte) == 1)
		buf[len++] = (uint8_t)byte;
	if (!feof(file))
		fail_msg("%s: not hexadecimal, or too long", path);
	return len;
}

static int golden_write(const char *name, const uint8_t *buf, size_t len)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[512];

	golden_path(path, sizeof(path), name);
	file = fopen(path, "we");
	if (!file) {
		perror(path);
		return 1;
	}
	for (size_t i = 0; i < len; i++)
		fprintf(file, "%02x%s", buf[i], i % 16 == 15 || i == len - 1 ? "\n" : " ");
	return 0;
}

static const struct cl_member golden_row = {.nodeid = 0x01020304, .vote = 1, .name = "node7"};

static void every_message_has_the_golden_bytes(void **state)
{
	struct fixture *f = *state;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		size_t len = golden_read(all_types[t].name, f->again, sizeof(f->again));

		encode(f, all_types[t].type, EDGE_TYPICAL);
		assert_int_equal(len, f->len);
		assert_memory_equal(f->again, f->buf, len);
	}
}

static void the_golden_bytes_decode_to_the_message(void **state)
{
	struct fixture *f = *state;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		size_t len = golden_read(all_types[t].name, f->buf, sizeof(f->buf));

		fill(&f->msg, all_types[t].type, EDGE_TYPICAL);
		assert_int_equal(cl_msg_decode(f->buf, len, &f->back), 0);
		assert_true(same(&f->msg, &f->back));
	}
}

static void a_row_has_the_golden_bytes(void **state)
{
	uint8_t buf[CL_ROW_MAX], golden[CL_ROW_MAX];
	size_t len = 0;

	(void)state;
	assert_int_equal(cl_row_encode(7, &golden_row, buf, sizeof(buf), &len), 0);
	assert_int_equal(golden_read("row", golden, sizeof(golden)), len);
	assert_memory_equal(golden, buf, len);
}

static int golden_update(void)
{
	static uint8_t buf[BUF_BYTES];
	struct cl_msg msg;
	size_t len;

	for (size_t t = 0; t < MUST_ARRAY_SIZE(all_types); t++) {
		fill(&msg, all_types[t].type, EDGE_TYPICAL);
		if (cl_msg_encode(&msg, buf, sizeof(buf), &len) ||
		    golden_write(all_types[t].name, buf, len))
			return 1;
	}
	if (cl_row_encode(7, &golden_row, buf, sizeof(buf), &len))
		return 1;
	return golden_write("row", buf, len);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(every_message_comes_back_as_it_went),
		TEST(no_message_is_longer_than_the_bound),
		TEST(a_buffer_one_byte_short_is_refused),
		TEST(a_payload_above_its_bound_is_not_encoded),
		TEST(a_payload_above_its_bound_is_not_decoded),
		TEST(a_payload_borrows_from_the_message),
		TEST(every_truncation_is_refused),
		TEST(a_truncation_with_a_true_header_is_refused),
		TEST(a_byte_too_many_is_refused),
		TEST(every_changed_byte_is_refused_or_means_just_that),
		TEST(every_changed_byte_of_a_body_is_refused),
		TEST(a_changed_byte_under_a_true_header_is_refused_or_means_just_that),
		TEST(another_magic_is_refused),
		TEST(another_version_is_told_apart),
		TEST(a_number_that_is_no_message_is_refused),
		cmocka_unit_test(rows_of_a_table_stand_in_rising_order),
		cmocka_unit_test(a_table_with_an_empty_row_is_refused),
		cmocka_unit_test(a_table_with_a_slot_out_of_range_is_refused),
		cmocka_unit_test(a_table_with_two_votes_in_a_row_is_refused),
		cmocka_unit_test(a_table_with_a_nameless_member_is_refused),
		cmocka_unit_test(a_table_of_more_than_sixteen_rows_is_refused),
		cmocka_unit_test(the_length_of_a_full_table_is_within_the_bound_of_fixed_parts),
		cmocka_unit_test(a_row_comes_back_as_it_went),
		cmocka_unit_test(the_longest_row_fits_its_bound),
		cmocka_unit_test(a_row_that_is_cut_or_too_long_is_refused_and_nothing_returned),
		cmocka_unit_test(an_empty_row_with_a_vote_or_a_name_is_refused),
		cmocka_unit_test(every_message_has_its_name),
		cmocka_unit_test(every_kind_of_entry_has_a_name),
		TEST(every_message_has_the_golden_bytes),
		TEST(the_golden_bytes_decode_to_the_message),
		cmocka_unit_test(a_row_has_the_golden_bytes),
	};

	if (argc == 2 && !strcmp(argv[1], "--golden-update"))
		return golden_update();
	if (argc != 1) {
		fprintf(stderr, "usage: %s [--golden-update]\n", argv[0]);
		return 2;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
