/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/msg.h"

#include <errno.h>
#include <string.h>

#include "lib/crc32c.h"
#include "lib/wire.h"

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
SIMPLE_CODEC(u8, uint8_t)
SIMPLE_CODEC(u16, uint16_t)
SIMPLE_CODEC(u64, uint64_t)
#undef SIMPLE_CODEC

static void put_flag(struct wire_writer *w, const bool *v)
{
	wire_put_u8(w, *v ? 1 : 0);
}

static void get_flag(struct wire_reader *r, bool *v)
{
	*v = wire_get_bool(r);
}

static void put_kind(struct wire_writer *w, const uint8_t *v)
{
	wire_put_u8(w, *v);
}

static void get_kind(struct wire_reader *r, uint8_t *v)
{
	*v = wire_get_enum(r, CL_ENTRY_MAX);
}

static void put_ring(struct wire_writer *w, const struct cl_ring *v)
{
	wire_put_u32(w, v->rep);
	wire_put_u64(w, v->seq);
}

static void get_ring(struct wire_reader *r, struct cl_ring *v)
{
	v->rep = wire_get_u32(r);
	v->seq = wire_get_u64(r);
}

static void put_view(struct wire_writer *w, const struct cl_view_id *v)
{
	put_ring(w, &v->ring);
	wire_put_u64(w, v->nonce);
}

static void get_view(struct wire_reader *r, struct cl_view_id *v)
{
	get_ring(r, &v->ring);
	v->nonce = wire_get_u64(r);
}

static void put_epoch(struct wire_writer *w, const struct cl_epoch *v)
{
	wire_put_u32(w, v->generation);
	wire_put_u64(w, v->number);
	wire_put_u8(w, v->starter);
}

static void get_epoch(struct wire_reader *r, struct cl_epoch *v)
{
	v->generation = wire_get_u32(r);
	v->number = wire_get_u64(r);
	v->starter = wire_get_enum(r, CL_MAX_NODES);
}

static void put_pos(struct wire_writer *w, const struct cl_pos *v)
{
	put_epoch(w, &v->epoch);
	wire_put_u64(w, v->index);
}

static void get_pos(struct wire_reader *r, struct cl_pos *v)
{
	get_epoch(r, &v->epoch);
	v->index = wire_get_u64(r);
}

static void put_uuid(struct wire_writer *w, const struct cl_uuid *v)
{
	wire_put_raw(w, v->byte, sizeof(v->byte));
}

static void get_uuid(struct wire_reader *r, struct cl_uuid *v)
{
	wire_get_raw(r, v->byte, sizeof(v->byte));
}

static void put_name(struct wire_writer *w, const struct cl_name *v)
{
	wire_put_str(w, v->text);
}

static void get_name(struct wire_reader *r, struct cl_name *v)
{
	wire_get_str(r, v->text, sizeof(v->text));
}

static void put_counts(struct wire_writer *w, const struct cl_counts *v)
{
	for (size_t i = 0; i < CL_MAX_NODES; i++)
		wire_put_u64(w, v->of[i]);
}

static void get_counts(struct wire_reader *r, struct cl_counts *v)
{
	for (size_t i = 0; i < CL_MAX_NODES; i++)
		v->of[i] = wire_get_u64(r);
}

static void put_blob(struct wire_writer *w, const struct cl_blob *v)
{
	if (v->len > CL_MSG_PAYLOAD_MAX)
		w->error = w->error ? w->error : -ENOBUFS;
	else
		wire_put_bytes(w, v->data, v->len);
}

static void get_blob(struct wire_reader *r, struct cl_blob *v)
{
	v->data = wire_get_bytes(r, &v->len);
	if (v->len > CL_MSG_PAYLOAD_MAX) {
		wire_reader_fail(r);
		*v = (struct cl_blob){0};
	}
}

static void put_row(struct wire_writer *w, uint8_t slot, const struct cl_member *row)
{
	wire_put_u8(w, slot);
	wire_put_u32(w, row->nodeid);
	wire_put_u8(w, row->vote);
	wire_put_str(w, row->name);
}

/* The version in force has a number, and that is all. */
static bool is_version(const struct cl_member *row)
{
	return row->nodeid && row->nodeid <= CL_VERSION_LAST && !row->vote && !row->name[0];
}

/* An empty slot (nodeid 0) carries neither vote nor name: one table has one encoding. */
static uint8_t get_row(struct wire_reader *r, struct cl_member *row)
{
	uint8_t slot = wire_get_enum(r, CL_VERSION_SLOT + 1);

	row->nodeid = wire_get_u32(r);
	row->vote = wire_get_enum(r, 2);
	wire_get_str(r, row->name, sizeof(row->name));
	if (slot == CL_VERSION_SLOT) {
		if (!is_version(row))
			wire_reader_fail(r);
		return slot;
	}
	if (!row->nodeid ? row->vote || row->name[0] : !row->name[0])
		wire_reader_fail(r);
	if (slot == CL_WITNESS_SLOT && row->nodeid && row->nodeid < CL_WITNESS_SOLE)
		wire_reader_fail(r);
	return slot;
}

void cl_table_put(struct wire_writer *w, const struct cl_table *table)
{
	uint8_t used = 0;

	for (uint8_t i = 0; i < CL_MAX_NODES; i++)
		used = (uint8_t)(used + (table->member[i].nodeid != 0));
	used = (uint8_t)(used + (table->witness.nodeid != 0) + (table->version.nodeid != 0));
	wire_put_u64(w, table->changed_at);
	wire_put_u8(w, used);
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (table->member[i].nodeid)
			put_row(w, i, &table->member[i]);
	}
	if (table->witness.nodeid)
		put_row(w, CL_WITNESS_SLOT, &table->witness);
	if (table->version.nodeid)
		put_row(w, CL_VERSION_SLOT, &table->version);
}

void cl_table_get(struct wire_reader *r, struct cl_table *table)
{
	uint8_t used;
	int previous = -1;

	*table = (struct cl_table){.changed_at = wire_get_u64(r)};
	used = wire_get_enum(r, CL_VERSION_SLOT + 2);
	for (uint8_t n = 0; n < used && !r->error; n++) {
		struct cl_member row = {0};
		uint8_t slot = get_row(r, &row);

		if (r->error)
			break;
		if (slot <= previous || !row.nodeid) {
			wire_reader_fail(r);
			break;
		}
		previous = slot;
		*cl_table_row(table, slot) = row;
	}
}

static void put_table(struct wire_writer *w, const struct cl_table *v)
{
	cl_table_put(w, v);
}

static void get_table(struct wire_reader *r, struct cl_table *v)
{
	cl_table_get(r, v);
}

int cl_row_encode(uint8_t slot, const struct cl_member *row, void *buf, size_t cap, size_t *ret_len)
{
	struct wire_writer w;

	wire_writer_init(&w, buf, cap);
	put_row(&w, slot, row);
	return wire_writer_end(&w, ret_len);
}

int cl_row_decode(struct cl_blob payload, uint8_t *ret_slot, struct cl_member *ret_row)
{
	struct wire_reader r;
	struct cl_member row = {0};
	uint8_t slot;
	int e;

	wire_reader_init(&r, payload.data, payload.len);
	slot = get_row(&r, &row);
	e = wire_reader_end(&r);
	if (e)
		return e;
	*ret_slot = slot;
	*ret_row = row;
	return 0;
}

/* ---- encoder and decoder of each message, from its field list */

#define PUT_FIELD(codec, ctype, name) put_##codec(w, &m->name);
#define GET_FIELD(codec, ctype, name) get_##codec(r, &m->name);
#define BODY(number, NAME, name)                                                                   \
	static void put_body_##name(struct wire_writer *w, const struct cl_msg_##name *m)          \
	{                                                                                          \
		CL_MSG_##NAME##_FIELDS(PUT_FIELD)                                                  \
	}                                                                                          \
	static void get_body_##name(struct wire_reader *r, struct cl_msg_##name *m)                \
	{                                                                                          \
		CL_MSG_##NAME##_FIELDS(GET_FIELD)                                                  \
	}
CL_MESSAGES(BODY)
#undef BODY
#undef PUT_FIELD
#undef GET_FIELD

/* Of the whole message but for the checksum itself, which ends the header. */
static uint32_t checksum(const uint8_t *msg, size_t len)
{
	uint32_t crc = crc32c(0, msg, CL_MSG_HEADER_BYTES - 4);

	return crc32c(crc, msg + CL_MSG_HEADER_BYTES, len - CL_MSG_HEADER_BYTES);
}

int cl_msg_encode(const struct cl_msg *msg, void *buf, size_t cap, size_t *ret_len)
{
	struct wire_writer w;
	size_t len;
	int r;

	wire_writer_init(&w, buf, cap);
	wire_put_u32(&w, CL_MSG_MAGIC);
	wire_put_u16(&w, CL_PROTOCOL_MAX);
	wire_put_u16(&w, (uint16_t)msg->type);
	wire_put_u32(&w, 0);
	wire_put_u32(&w, 0);
	switch (msg->type) {
#define PUT_CASE(number, NAME, name)                                                               \
	case CL_MSG_##NAME:                                                                        \
		put_body_##name(&w, &msg->name);                                                   \
		break;
		CL_MESSAGES(PUT_CASE)
#undef PUT_CASE
	}
	r = wire_writer_end(&w, &len);
	if (r)
		return r;
	wire_patch_u32(&w, 8, (uint32_t)(len - CL_MSG_HEADER_BYTES));
	wire_patch_u32(&w, 12, checksum(w.data, len));
	*ret_len = len;
	return 0;
}

int cl_msg_decode(const void *buf, size_t len, struct cl_msg *ret)
{
	struct wire_reader r;
	struct cl_msg msg = {0};
	uint32_t magic, body_len, sum;
	uint16_t version, type;

	wire_reader_init(&r, buf, len);
	magic = wire_get_u32(&r);
	version = wire_get_u16(&r);
	type = wire_get_u16(&r);
	body_len = wire_get_u32(&r);
	sum = wire_get_u32(&r);
	if (r.error || magic != CL_MSG_MAGIC)
		return -EBADMSG;
	if (version < CL_PROTOCOL_MIN || version > CL_PROTOCOL_MAX)
		return -EPROTO;
	if (body_len != wire_reader_left(&r) || sum != checksum(buf, len))
		return -EBADMSG;
	switch (type) {
#define GET_CASE(number, NAME, name)                                                               \
	case CL_MSG_##NAME:                                                                        \
		get_body_##name(&r, &msg.name);                                                    \
		break;
		CL_MESSAGES(GET_CASE)
#undef GET_CASE
	default:
		return -EBADMSG;
	}
	if (wire_reader_end(&r))
		return -EBADMSG;
	msg.type = (enum cl_msg_type)type;
	*ret = msg;
	return 0;
}

const char *cl_msg_name(enum cl_msg_type type)
{
	switch (type) {
#define NAME_CASE(number, NAME, name)                                                              \
	case CL_MSG_##NAME:                                                                        \
		return #NAME;
		CL_MESSAGES(NAME_CASE)
#undef NAME_CASE
	}
	return "?";
}

const char *cl_entry_kind_name(enum cl_entry_kind kind)
{
	static const char *const name[CL_ENTRY_MAX] = {
		[CL_ENTRY_NONE] = "none",	[CL_ENTRY_EPOCH] = "epoch",
		[CL_ENTRY_TABLE] = "table",	[CL_ENTRY_COMMAND] = "command",
		[CL_ENTRY_GENESIS] = "genesis", [CL_ENTRY_FORCED] = "forced",
	};

	return kind < CL_ENTRY_MAX ? name[kind] : "?";
}
