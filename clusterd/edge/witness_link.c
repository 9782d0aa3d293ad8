/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/witness_link.h"

#include <string.h>

#include "lib/must.h"
#include "lib/wire.h"

static void put_pos(struct wire_writer *w, const struct cl_pos *p)
{
	wire_put_u32(w, p->epoch.generation);
	wire_put_u64(w, p->epoch.number);
	wire_put_u8(w, p->epoch.starter);
	wire_put_u64(w, p->index);
}

static void get_pos(struct wire_reader *r, struct cl_pos *p)
{
	p->epoch.generation = wire_get_u32(r);
	p->epoch.number = wire_get_u64(r);
	p->epoch.starter = wire_get_u8(r);
	p->index = wire_get_u64(r);
}

static void put_record(struct wire_writer *w, const struct claim_record *c)
{
	wire_put_u8(w, c->owner);
	wire_put_u32(w, c->view.ring.rep);
	wire_put_u64(w, c->view.ring.seq);
	wire_put_u64(w, c->view.nonce);
	wire_put_u64(w, c->generation);
	wire_put_u64(w, c->nonce);
}

static void get_record(struct wire_reader *r, struct claim_record *c)
{
	c->owner = wire_get_u8(r);
	c->view.ring.rep = wire_get_u32(r);
	c->view.ring.seq = wire_get_u64(r);
	c->view.nonce = wire_get_u64(r);
	c->generation = wire_get_u64(r);
	c->nonce = wire_get_u64(r);
}

static void put_header(struct wire_writer *w, const struct witness_header *h)
{
	wire_put_raw(w, h->id.byte, sizeof(h->id.byte));
	wire_put_raw(w, h->cluster.byte, sizeof(h->cluster.byte));
	wire_put_u32(w, h->d_ms);
	wire_put_u64(w, h->bytes);
	wire_put_u64(w, h->created_wall_ms);
}

static void get_header(struct wire_reader *r, struct witness_header *h)
{
	wire_get_raw(r, h->id.byte, sizeof(h->id.byte));
	wire_get_raw(r, h->cluster.byte, sizeof(h->cluster.byte));
	h->d_ms = wire_get_u32(r);
	h->bytes = wire_get_u64(r);
	h->created_wall_ms = wire_get_u64(r);
}

static void put_set(struct wire_writer *w, const struct witness_set *s)
{
	wire_put_u32(w, s->generation);
	wire_put_u64(w, s->number);
	wire_put_u16(w, s->members);
}

static void get_set(struct wire_reader *r, struct witness_set *s)
{
	s->generation = wire_get_u32(r);
	s->number = wire_get_u64(r);
	s->members = wire_get_u16(r);
}

size_t witness_request_encode(const struct witness_request *q, uint8_t buf[WITNESS_LINK_MAX])
{
	struct wire_writer w;
	size_t len;

	wire_writer_init(&w, buf, WITNESS_LINK_MAX);
	wire_put_u8(&w, (uint8_t)q->op);
	wire_put_u8(&w, q->is_share);
	put_set(&w, &q->set);
	put_record(&w, &q->record);
	wire_put_u8(&w, q->slot);
	wire_put_u64(&w, q->number);
	put_pos(&w, &q->end);
	wire_put_u64(&w, q->after);
	wire_put_u64(&w, q->until);
	put_header(&w, &q->header);
	must(!wire_writer_end(&w, &len));
	return len;
}

int witness_request_decode(const uint8_t *buf, size_t len, struct witness_request *ret)
{
	struct witness_request q;
	struct wire_reader r;
	int e;

	wire_reader_init(&r, buf, len);
	q.op = (enum witness_op)wire_get_enum(&r, WITNESS_OP_MAX);
	q.is_share = wire_get_enum(&r, 2);
	get_set(&r, &q.set);
	get_record(&r, &q.record);
	q.slot = wire_get_enum(&r, CL_MAX_NODES);
	q.number = wire_get_u64(&r);
	get_pos(&r, &q.end);
	q.after = wire_get_u64(&r);
	q.until = wire_get_u64(&r);
	get_header(&r, &q.header);
	e = wire_reader_end(&r);
	if (!e)
		*ret = q;
	return e;
}

size_t witness_answer_encode(const struct witness_answer *a, uint8_t buf[WITNESS_LINK_MAX])
{
	struct wire_writer w;
	size_t len;

	wire_writer_init(&w, buf, WITNESS_LINK_MAX);
	wire_put_u32(&w, (uint32_t)-a->r);
	wire_put_str(&w, a->text);
	put_header(&w, &a->header);
	put_record(&w, &a->record);
	put_pos(&w, &a->best);
	wire_put_u8(&w, a->best_slot);
	wire_put_u64(&w, a->floor);
	wire_put_u64(&w, a->copied);
	put_set(&w, &a->set);
	must(!wire_writer_end(&w, &len));
	return len;
}

int witness_answer_decode(const uint8_t *buf, size_t len, struct witness_answer *ret)
{
	struct witness_answer a;
	struct wire_reader r;
	int e;

	wire_reader_init(&r, buf, len);
	a.r = -(int)wire_get_u32(&r);
	wire_get_str(&r, a.text, sizeof(a.text));
	get_header(&r, &a.header);
	get_record(&r, &a.record);
	get_pos(&r, &a.best);
	a.best_slot = wire_get_u8(&r);
	a.floor = wire_get_u64(&r);
	a.copied = wire_get_u64(&r);
	get_set(&r, &a.set);
	e = wire_reader_end(&r);
	if (!e)
		*ret = a;
	return e;
}

const char *witness_op_name(enum witness_op op)
{
	static const char *const name[WITNESS_OP_MAX] = {
		[WITNESS_OP_LOOK] = "look",	  [WITNESS_OP_FORMAT] = "format",
		[WITNESS_OP_READ] = "read",	  [WITNESS_OP_WRITE] = "write",
		[WITNESS_OP_SCAN] = "scan",	  [WITNESS_OP_FETCH] = "fetch",
		[WITNESS_OP_COPY] = "copy",	  [WITNESS_OP_APPEND] = "append",
		[WITNESS_OP_PROMISE] = "promise", [WITNESS_OP_RECORD] = "record",
	};

	return op < WITNESS_OP_MAX ? name[op] : "?";
}
