/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/record.h"

#include <errno.h>
#include <string.h>

#include "lib/must.h"
#include "lib/wire.h"

static bool fits(const struct csv_reply *p)
{
	return p->kind == CSV_REPLY_NONE || p->kind == CSV_REPLY_ENTRY ||
	       p->kind == CSV_REPLY_ATTR || p->kind == CSV_REPLY_COUNT;
}

static void put_handle(struct wire_writer *w, const struct csv_handle *h)
{
	wire_put_u64(w, h->ino);
	wire_put_u32(w, h->gen);
}

static void get_handle(struct wire_reader *r, struct csv_handle *ret)
{
	ret->ino = wire_get_u64(r);
	ret->gen = wire_get_u32(r);
}

int record_encode(const struct record *r, uint8_t ret_buf[RECORD_BYTES])
{
	uint8_t reply[RECORD_BYTES];
	struct wire_writer w;
	size_t len = 0;

	if (r->is_done &&
	    (!fits(&r->reply) || csv_reply_encode(&r->reply, reply, sizeof(reply), &len)))
		return -EINVAL;
	memset(ret_buf, 0, RECORD_BYTES);
	wire_writer_init(&w, ret_buf, RECORD_BYTES);
	wire_put_u8(&w, RECORD_VERSION);
	wire_put_u8(&w, r->is_done ? 1 : 0);
	wire_put_u64(&w, r->seq);
	wire_put_u8(&w, (uint8_t)r->op);
	put_handle(&w, &r->a);
	put_handle(&w, &r->b);
	wire_put_u64(&w, r->size);
	wire_put_bytes(&w, reply, len);
	must(!wire_writer_end(&w, &len));
	return 0;
}

static void get_reply(struct wire_reader *r, struct csv_reply *ret)
{
	size_t len;
	const uint8_t *p = wire_get_bytes(r, &len);

	if (r->error || len < CSV_FRAME_PREFIX ||
	    csv_reply_decode(p + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX, ret) || !fits(ret))
		wire_reader_fail(r);
}

int record_decode(const void *buf, size_t len, struct record *ret)
{
	uint8_t again[RECORD_BYTES];
	struct record d = {0};
	struct wire_reader r;
	uint8_t op;

	if (len != RECORD_BYTES)
		return -EBADMSG;
	wire_reader_init(&r, buf, len);
	if (wire_get_u8(&r) != RECORD_VERSION)
		return -EBADMSG;
	d.is_done = wire_get_bool(&r);
	d.seq = wire_get_u64(&r);
	op = wire_get_enum(&r, CSV_OP_END);
	get_handle(&r, &d.a);
	get_handle(&r, &d.b);
	d.size = wire_get_u64(&r);
	if (d.is_done)
		get_reply(&r, &d.reply);
	else if (wire_get_u32(&r))
		wire_reader_fail(&r);
	if (r.error || csv_op_kind((enum csv_op)op) != CSV_CHANGE)
		return -EBADMSG;
	d.op = (enum csv_op)op;
	/* What is left is padding, and nothing else: one record has one encoding. */
	if (record_encode(&d, again) || memcmp(again, buf, sizeof(again)) != 0)
		return -EBADMSG;
	*ret = d;
	return 0;
}
