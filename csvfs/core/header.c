/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/header.h"

#include <errno.h>
#include <string.h>

#include "lib/crc32c.h"
#include "lib/must.h"
#include "lib/wire.h"

#define RECORD_MAGIC	  0x52565343u /* the bytes "CSVR" */
#define RECORD_CRC_PLACE  12
#define RECORD_BODY_PLACE 16

/* ---- one put and one get for each codec named in the field lists */

#define SIMPLE_CODEC(codec, ctype)                                                                 \
	static void put_##codec(struct wire_writer *w, const ctype *v)                             \
	{                                                                                          \
		wire_put_##codec(w, *v);                                                           \
	}                                                                                          \
	static void get_##codec(struct wire_reader *r, ctype *v)                                   \
	{                                                                                          \
		*v = wire_get_##codec(r);                                                          \
	}
SIMPLE_CODEC(u32, uint32_t)
SIMPLE_CODEC(u64, uint64_t)
#undef SIMPLE_CODEC

static void put_slot(struct wire_writer *w, const uint8_t *v)
{
	wire_put_u8(w, *v);
}

static void get_slot(struct wire_reader *r, uint8_t *v)
{
	*v = wire_get_enum(r, CSV_NODES_MAX);
}

static void put_uuid(struct wire_writer *w, const struct csv_uuid *v)
{
	wire_put_raw(w, v->byte, sizeof(v->byte));
}

static void get_uuid(struct wire_reader *r, struct csv_uuid *v)
{
	wire_get_raw(r, v->byte, sizeof(v->byte));
}

static void put_label(struct wire_writer *w, const struct csv_label *v)
{
	wire_put_str(w, v->text);
}

static void get_label(struct wire_reader *r, struct csv_label *v)
{
	wire_get_str(r, v->text, sizeof(v->text));
}

/* ---- values */

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool csv_label_is_good(const char *text)
{
	size_t n = strnlen(text, CSV_LABEL_MAX);

	if (!n || n == CSV_LABEL_MAX || !is_letter_or_digit(text[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_letter_or_digit(text[i]) && text[i] != '.' && text[i] != '_' &&
		    text[i] != '-')
			return false;
	return true;
}

bool csv_uuid_equal(const struct csv_uuid *a, const struct csv_uuid *b)
{
	return !memcmp(a->byte, b->byte, sizeof(a->byte));
}

bool csv_uuid_is_zero(const struct csv_uuid *uuid)
{
	static const struct csv_uuid zero;

	return csv_uuid_equal(uuid, &zero);
}

static bool is_aligned(uint64_t v)
{
	return v % CSV_ALIGN_BYTES == 0;
}

static bool header_is_good(const struct csv_header *h)
{
	if (!h->generation || csv_uuid_is_zero(&h->volume) || csv_uuid_is_zero(&h->cluster))
		return false;
	if (!csv_label_is_good(h->name.text) || (h->block_bytes != 512 && h->block_bytes != 4096))
		return false;
	if (!is_aligned(h->control_start) || h->control_bytes != CSV_CONTROL_BYTES ||
	    !is_aligned(h->data_start) || !is_aligned(h->data_bytes) || !h->data_bytes)
		return false;
	return h->data_start >= h->control_bytes &&
	       h->control_start <= h->data_start - h->control_bytes &&
	       h->data_start <= h->lun_bytes && h->data_bytes <= h->lun_bytes - h->data_start;
}

static bool term_is_good(const struct csv_term *t)
{
	return t->generation && t->term && t->slot < CSV_NODES_MAX &&
	       csv_label_is_good(t->node.text);
}

bool csv_term_may_follow(const struct csv_term *now, const struct csv_term *next)
{
	if (!now || next->term > now->term)
		return true;
	return next->term == now->term && next->slot == now->slot &&
	       next->incarnation == now->incarnation && !strcmp(next->node.text, now->node.text);
}

/* ---- the block around a body */

static bool is_all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* Of the whole block but for the checksum's own four bytes. */
static uint32_t block_crc(const uint8_t *block)
{
	uint32_t crc = crc32c(0, block, RECORD_CRC_PLACE);

	return crc32c(crc, block + RECORD_BODY_PLACE, CSV_RECORD_BYTES - RECORD_BODY_PLACE);
}

static void block_begin(struct wire_writer *w, void *block, enum csv_record_type type)
{
	memset(block, 0, CSV_RECORD_BYTES);
	wire_writer_init(w, block, CSV_RECORD_BYTES);
	wire_put_u32(w, RECORD_MAGIC);
	wire_put_u16(w, CSV_RECORD_VERSION);
	wire_put_u16(w, (uint16_t)type);
	wire_put_u32(w, 0); /* length of the body */
	wire_put_u32(w, 0); /* checksum */
}

static void block_end(struct wire_writer *w, void *block)
{
	size_t len;

	must(!wire_writer_end(w, &len)); /* records are far smaller than a block */
	wire_patch_u32(w, RECORD_CRC_PLACE - 4, (uint32_t)(len - RECORD_BODY_PLACE));
	wire_patch_u32(w, RECORD_CRC_PLACE, block_crc(block));
}

/* Checks all but the body and gives a reader on it. Errors are those of the decoders. */
static int block_open(const void *block, enum csv_record_type type, struct wire_reader *ret)
{
	const uint8_t *p = block;
	uint16_t version, have;
	struct wire_reader r;
	uint32_t len, crc;

	if (is_all_zero(p, CSV_RECORD_BYTES))
		return -ENODATA;
	wire_reader_init(&r, block, RECORD_BODY_PLACE);
	if (wire_get_u32(&r) != RECORD_MAGIC)
		return -EBADMSG;
	version = wire_get_u16(&r);
	have = wire_get_u16(&r);
	len = wire_get_u32(&r);
	crc = wire_get_u32(&r);
	if (crc != block_crc(p))
		return -EBADMSG;
	if (version != CSV_RECORD_VERSION)
		return -EPROTONOSUPPORT;
	if (have != (uint16_t)type || len > CSV_RECORD_BYTES - RECORD_BODY_PLACE)
		return -EBADMSG;
	p += RECORD_BODY_PLACE;
	if (!is_all_zero(p + len, CSV_RECORD_BYTES - RECORD_BODY_PLACE - len))
		return -EBADMSG;
	wire_reader_init(ret, p, len);
	return 0;
}

/* ---- the records */

#define PUT_FIELD(codec, ctype, field) put_##codec(w, &v->field);
#define GET_FIELD(codec, ctype, field) get_##codec(r, &v->field);
#define RECORD_CODEC(number, NAME, rec)                                                            \
	static void put_##rec(struct wire_writer *w, const struct csv_##rec *v)                    \
	{                                                                                          \
		CSV_RECORD_##NAME##_FIELDS(PUT_FIELD)                                              \
	}                                                                                          \
                                                                                                   \
	static void get_##rec(struct wire_reader *r, struct csv_##rec *v)                          \
	{                                                                                          \
		CSV_RECORD_##NAME##_FIELDS(GET_FIELD)                                              \
	}                                                                                          \
                                                                                                   \
	int csv_##rec##_encode(const struct csv_##rec *v, void *block)                             \
	{                                                                                          \
		struct wire_writer w;                                                              \
                                                                                                   \
		if (!rec##_is_good(v))                                                             \
			return -EINVAL;                                                            \
		block_begin(&w, block, CSV_RECORD_##NAME);                                         \
		put_##rec(&w, v);                                                                  \
		block_end(&w, block);                                                              \
		return 0;                                                                          \
	}                                                                                          \
                                                                                                   \
	int csv_##rec##_decode(const void *block, struct csv_##rec *ret)                           \
	{                                                                                          \
		struct csv_##rec v;                                                                \
		struct wire_reader r;                                                              \
		int e = block_open(block, CSV_RECORD_##NAME, &r);                                  \
                                                                                                   \
		if (e)                                                                             \
			return e;                                                                  \
		memset(&v, 0, sizeof(v));                                                          \
		get_##rec(&r, &v);                                                                 \
		if (wire_reader_end(&r) || !rec##_is_good(&v))                                     \
			return -EBADMSG;                                                           \
		*ret = v;                                                                          \
		return 0;                                                                          \
	}
CSV_RECORDS(RECORD_CODEC)
#undef RECORD_CODEC
#undef GET_FIELD
#undef PUT_FIELD

/* ---- two copies */

/* Fills newest and older from result[] and the generations; is_same: the blocks are equal. */
static int pick(struct csv_copies *c, const uint64_t generation[2], bool is_same)
{
	const int *r = c->result;

	c->newest = !r[0] && (r[1] || generation[0] >= generation[1]) ? 0 : 1;
	if (r[0] && r[1])
		c->newest = 1; /* the next write goes to the first place */
	c->older = 1 - c->newest;
	if (r[0] == -EPROTONOSUPPORT || r[1] == -EPROTONOSUPPORT)
		return -EPROTONOSUPPORT;
	if (r[0] && r[1])
		return r[0] == -ENODATA && r[1] == -ENODATA ? -ENODATA : -EBADMSG;
	return !r[0] && !r[1] && generation[0] == generation[1] && !is_same ? -EBADMSG : 0;
}

#define RECORD_PICK(number, NAME, rec)                                                             \
	int csv_##rec##_pick(const void *first, const void *second, struct csv_##rec *ret,         \
			     struct csv_copies *ret_copies)                                        \
	{                                                                                          \
		struct csv_copies c = {{0, 0}, 0, 1};                                              \
		uint64_t generation[2];                                                            \
		struct csv_##rec v[2];                                                             \
		int r;                                                                             \
                                                                                                   \
		memset(v, 0, sizeof(v));                                                           \
		c.result[0] = csv_##rec##_decode(first, &v[0]);                                    \
		c.result[1] = csv_##rec##_decode(second, &v[1]);                                   \
		generation[0] = v[0].generation;                                                   \
		generation[1] = v[1].generation;                                                   \
		r = pick(&c, generation, !memcmp(first, second, CSV_RECORD_BYTES));                \
		if (ret_copies)                                                                    \
			*ret_copies = c;                                                           \
		if (!r)                                                                            \
			*ret = v[c.newest];                                                        \
		return r;                                                                          \
	}
CSV_RECORDS(RECORD_PICK)
#undef RECORD_PICK
