/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/proto.h"

#include <errno.h>
#include <string.h>

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
SIMPLE_CODEC(u16, uint16_t)
SIMPLE_CODEC(u32, uint32_t)
SIMPLE_CODEC(u64, uint64_t)
#undef SIMPLE_CODEC

/* A u32 whose value has a rule. */
#define CHECKED_CODEC(codec, is_good)                                                              \
	static void put_##codec(struct wire_writer *w, const uint32_t *v)                          \
	{                                                                                          \
		wire_put_u32(w, *v);                                                               \
	}                                                                                          \
	static void get_##codec(struct wire_reader *r, uint32_t *v)                                \
	{                                                                                          \
		*v = wire_get_u32(r);                                                              \
		if (!(is_good))                                                                    \
			wire_reader_fail(r);                                                       \
	}
CHECKED_CODEC(set_mask, (*v & ~CSV_SET_ALL) == 0)
CHECKED_CODEC(write_flags, (*v & ~CSV_WRITE_ALL) == 0)
CHECKED_CODEC(io_size, *v <= CSV_IO_MAX)
#undef CHECKED_CODEC

static void put_flag(struct wire_writer *w, const bool *v)
{
	wire_put_u8(w, *v ? 1 : 0);
}

static void get_flag(struct wire_reader *r, bool *v)
{
	*v = wire_get_bool(r);
}

static void put_error(struct wire_writer *w, const uint16_t *v)
{
	wire_put_u16(w, *v);
}

static void get_error(struct wire_reader *r, uint16_t *v)
{
	*v = wire_get_u16(r);
	if (!*v)
		wire_reader_fail(r);
}

static void put_refusal(struct wire_writer *w, const uint8_t *v)
{
	wire_put_u8(w, *v);
}

static void get_refusal(struct wire_reader *r, uint8_t *v)
{
	*v = wire_get_enum(r, CSV_REFUSAL_MAX);
}

static void put_grant_mode(struct wire_writer *w, const uint8_t *v)
{
	wire_put_u8(w, *v);
}

static void get_grant_mode(struct wire_reader *r, uint8_t *v)
{
	*v = wire_get_enum(r, CSV_GRANT_MODES);
}

static void put_ungranted(struct wire_writer *w, const uint8_t *v)
{
	wire_put_u8(w, *v);
}

static void get_ungranted(struct wire_reader *r, uint8_t *v)
{
	*v = wire_get_enum(r, CSV_UNGRANTED_MAX);
}

static void put_lock_kind(struct wire_writer *w, const uint8_t *v)
{
	wire_put_u8(w, *v);
}

static void get_lock_kind(struct wire_reader *r, uint8_t *v)
{
	*v = wire_get_enum(r, CSV_LOCK_KINDS);
}

static void put_lock_type(struct wire_writer *w, const uint8_t *v)
{
	wire_put_u8(w, *v);
}

static void get_lock_type(struct wire_reader *r, uint8_t *v)
{
	*v = wire_get_enum(r, CSV_LOCK_TYPES);
}

static void put_grant_id(struct wire_writer *w, const struct csv_grant_id *v)
{
	wire_put_u64(w, v->term);
	wire_put_u64(w, v->serial);
}

static void get_grant_id(struct wire_reader *r, struct csv_grant_id *v)
{
	v->term = wire_get_u64(r);
	v->serial = wire_get_u64(r);
}

static void put_handle(struct wire_writer *w, const struct csv_handle *v)
{
	wire_put_u64(w, v->ino);
	wire_put_u32(w, v->gen);
}

static void get_handle(struct wire_reader *r, struct csv_handle *v)
{
	v->ino = wire_get_u64(r);
	v->gen = wire_get_u32(r);
}

static void put_time(struct wire_writer *w, const struct csv_time *v)
{
	wire_put_u64(w, (uint64_t)v->sec);
	wire_put_u32(w, v->nsec);
}

static void get_time(struct wire_reader *r, struct csv_time *v)
{
	v->sec = (int64_t)wire_get_u64(r);
	v->nsec = wire_get_u32(r);
	if (v->nsec >= 1000000000)
		wire_reader_fail(r);
}

static void put_attr(struct wire_writer *w, const struct csv_attr *v)
{
	wire_put_u64(w, v->ino);
	wire_put_u32(w, v->mode);
	wire_put_u32(w, v->nlink);
	wire_put_u32(w, v->uid);
	wire_put_u32(w, v->gid);
	wire_put_u64(w, v->rdev);
	wire_put_u64(w, v->size);
	wire_put_u64(w, v->blocks);
	wire_put_u32(w, v->blksize);
	put_time(w, &v->atime);
	put_time(w, &v->mtime);
	put_time(w, &v->ctime);
}

static void get_attr(struct wire_reader *r, struct csv_attr *v)
{
	v->ino = wire_get_u64(r);
	v->mode = wire_get_u32(r);
	v->nlink = wire_get_u32(r);
	v->uid = wire_get_u32(r);
	v->gid = wire_get_u32(r);
	v->rdev = wire_get_u64(r);
	v->size = wire_get_u64(r);
	v->blocks = wire_get_u64(r);
	v->blksize = wire_get_u32(r);
	get_time(r, &v->atime);
	get_time(r, &v->mtime);
	get_time(r, &v->ctime);
}

static bool is_component(const char *s)
{
	return s[0] && !strchr(s, '/') && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static void put_name(struct wire_writer *w, const struct csv_name *v)
{
	wire_put_str(w, v->text);
}

static void get_name(struct wire_reader *r, struct csv_name *v)
{
	wire_get_str(r, v->text, sizeof(v->text));
	if (!r->error && !is_component(v->text))
		wire_reader_fail(r);
}

static void put_text(struct wire_writer *w, const struct csv_text *v)
{
	wire_put_str(w, v->text);
}

static void get_text(struct wire_reader *r, struct csv_text *v)
{
	wire_get_str(r, v->text, sizeof(v->text));
}

static void put_bytes(struct wire_writer *w, const struct csv_bytes *v)
{
	if (v->len > CSV_IO_MAX)
		w->error = w->error ? w->error : -ENOBUFS;
	else
		wire_put_bytes(w, v->data, v->len);
}

static void get_bytes(struct wire_reader *r, struct csv_bytes *v)
{
	v->data = wire_get_bytes(r, &v->len);
	if (v->len > CSV_IO_MAX) {
		wire_reader_fail(r);
		*v = (struct csv_bytes){0};
	}
}

static void put_uuid(struct wire_writer *w, const struct csv_uuid *v)
{
	wire_put_raw(w, v->byte, sizeof(v->byte));
}

static void get_uuid(struct wire_reader *r, struct csv_uuid *v)
{
	wire_get_raw(r, v->byte, sizeof(v->byte));
}

static void put_usage(struct wire_writer *w, const struct csv_usage *v)
{
	wire_put_u64(w, v->blocks);
	wire_put_u64(w, v->bfree);
	wire_put_u64(w, v->bavail);
	wire_put_u64(w, v->files);
	wire_put_u64(w, v->ffree);
	wire_put_u64(w, v->favail);
	wire_put_u32(w, v->bsize);
	wire_put_u32(w, v->frsize);
	wire_put_u32(w, v->namemax);
}

static void get_usage(struct wire_reader *r, struct csv_usage *v)
{
	v->blocks = wire_get_u64(r);
	v->bfree = wire_get_u64(r);
	v->bavail = wire_get_u64(r);
	v->files = wire_get_u64(r);
	v->ffree = wire_get_u64(r);
	v->favail = wire_get_u64(r);
	v->bsize = wire_get_u32(r);
	v->frsize = wire_get_u32(r);
	v->namemax = wire_get_u32(r);
}

static void put_caller(struct wire_writer *w, const struct csv_caller *v)
{
	wire_put_u32(w, v->uid);
	wire_put_u32(w, v->gid);
	wire_put_u32(w, v->umask);
	wire_put_u16(w, v->group_count);
	for (size_t i = 0; i < v->group_count && i < CSV_GROUPS_MAX; i++)
		wire_put_u32(w, v->groups[i]);
}

static void get_caller(struct wire_reader *r, struct csv_caller *v)
{
	v->uid = wire_get_u32(r);
	v->gid = wire_get_u32(r);
	v->umask = wire_get_u32(r);
	v->group_count = wire_get_u16(r);
	if (v->group_count > CSV_GROUPS_MAX || v->umask > 0777) {
		wire_reader_fail(r);
		v->group_count = 0;
	}
	for (size_t i = 0; i < v->group_count; i++)
		v->groups[i] = wire_get_u32(r);
}

/* ---- bodies, from the field lists */

#define PUT_FIELD(codec, ctype, name) put_##codec(w, &m->name);
#define GET_FIELD(codec, ctype, name) get_##codec(r, &m->name);
#define BODY(prefix, NAME, name, FIELDS)                                                           \
	static void put_##prefix##name(struct wire_writer *w, const struct csv_##prefix##name *m)  \
	{                                                                                          \
		(void)w;                                                                           \
		(void)m;                                                                           \
		FIELDS(PUT_FIELD)                                                                  \
	}                                                                                          \
	static void get_##prefix##name(struct wire_reader *r, struct csv_##prefix##name *m)        \
	{                                                                                          \
		(void)r;                                                                           \
		(void)m;                                                                           \
		FIELDS(GET_FIELD)                                                                  \
	}
#define OP_BODY(number, NAME, name, kind, reply) BODY(op_, NAME, name, CSV_##NAME##_FIELDS)
CSV_OPS(OP_BODY)
#undef OP_BODY
#define REPLY_BODY(NAME, name) BODY(reply_, NAME, name, CSV_REPLY_##NAME##_FIELDS)
CSV_REPLIES(REPLY_BODY)
#undef REPLY_BODY
#define FRAME_BODY(number, NAME, name) BODY(frame_, NAME, name, CSV_##NAME##_FIELDS)
CSV_FRAMES(FRAME_BODY)
#undef FRAME_BODY

static void begin(struct wire_writer *w, void *buf, size_t cap, uint16_t type)
{
	wire_writer_init(w, buf, cap);
	wire_put_u32(w, 0);
	wire_put_u16(w, type);
}

static int end(struct wire_writer *w, size_t *ret_len)
{
	size_t len;
	int r = wire_writer_end(w, &len);

	if (r)
		return r;
	wire_patch_u32(w, 0, (uint32_t)(len - CSV_FRAME_PREFIX));
	*ret_len = len;
	return 0;
}

int csv_frame_encode(const struct csv_frame *f, void *buf, size_t cap, size_t *ret_len)
{
	struct wire_writer w;

	begin(&w, buf, cap, (uint16_t)f->type);
	switch (f->type) {
#define PUT_CASE(number, NAME, name)                                                               \
	case CSV_FRAME_##NAME:                                                                     \
		put_frame_##name(&w, &f->name);                                                    \
		break;
		CSV_FRAMES(PUT_CASE)
#undef PUT_CASE
	}
	return end(&w, ret_len);
}

int csv_frame_decode(const void *buf, size_t len, struct csv_frame *ret)
{
	struct csv_frame f = {0};
	struct wire_reader r;
	uint16_t type;

	wire_reader_init(&r, buf, len);
	type = wire_get_u16(&r);
	switch (type) {
#define GET_CASE(number, NAME, name)                                                               \
	case CSV_FRAME_##NAME:                                                                     \
		get_frame_##name(&r, &f.name);                                                     \
		break;
		CSV_FRAMES(GET_CASE)
#undef GET_CASE
	default:
		return -EBADMSG;
	}
	if (wire_reader_end(&r))
		return -EBADMSG;
	f.type = (enum csv_frame_type)type;
	*ret = f;
	return 0;
}

int csv_request_encode(const struct csv_request *q, void *buf, size_t cap, size_t *ret_len)
{
	struct wire_writer w;

	begin(&w, buf, cap, CSV_FRAME_REQUEST);
	wire_put_u16(&w, q->slot);
	wire_put_u64(&w, q->seq);
	wire_put_u8(&w, q->is_resend ? 1 : 0);
	put_caller(&w, &q->caller);
	put_handle(&w, &q->child[0]);
	put_handle(&w, &q->child[1]);
	wire_put_u8(&w, (uint8_t)q->op);
	switch (q->op) {
#define PUT_CASE(number, NAME, name, kind, reply)                                                  \
	case CSV_OP_##NAME:                                                                        \
		put_op_##name(&w, &q->name);                                                       \
		break;
		CSV_OPS(PUT_CASE)
#undef PUT_CASE
	case CSV_OP_END:
		return -EINVAL;
	}
	return end(&w, ret_len);
}

int csv_request_decode(const void *buf, size_t len, struct csv_request *ret)
{
	struct csv_request q = {0};
	struct wire_reader r;
	uint8_t op;

	wire_reader_init(&r, buf, len);
	if (wire_get_u16(&r) != CSV_FRAME_REQUEST)
		return -EBADMSG;
	q.slot = wire_get_u16(&r);
	q.seq = wire_get_u64(&r);
	q.is_resend = wire_get_bool(&r);
	get_caller(&r, &q.caller);
	get_handle(&r, &q.child[0]);
	get_handle(&r, &q.child[1]);
	op = wire_get_enum(&r, CSV_OP_END);
	if (q.slot >= CSV_SLOTS || !q.seq)
		return -EBADMSG;
	switch (op) {
#define GET_CASE(number, NAME, name, kind, reply)                                                  \
	case CSV_OP_##NAME:                                                                        \
		get_op_##name(&r, &q.name);                                                        \
		break;
		CSV_OPS(GET_CASE)
#undef GET_CASE
	default:
		return -EBADMSG;
	}
	if (wire_reader_end(&r))
		return -EBADMSG;
	q.op = (enum csv_op)op;
	*ret = q;
	return 0;
}

int csv_reply_encode(const struct csv_reply *p, void *buf, size_t cap, size_t *ret_len)
{
	struct wire_writer w;

	begin(&w, buf, cap, CSV_FRAME_REPLY);
	wire_put_u16(&w, p->slot);
	wire_put_u64(&w, p->seq);
	wire_put_u16(&w, p->error);
	wire_put_u8(&w, (uint8_t)p->kind);
	switch (p->kind) {
#define PUT_CASE(NAME, name)                                                                       \
	case CSV_REPLY_##NAME:                                                                     \
		put_reply_##name(&w, &p->name);                                                    \
		break;
		CSV_REPLIES(PUT_CASE)
#undef PUT_CASE
	}
	/* Records on disk hold replies, too, from before there were promises. */
	if (p->promised)
		wire_put_u8(&w, p->promised);
	return end(&w, ret_len);
}

int csv_reply_decode(const void *buf, size_t len, struct csv_reply *ret)
{
	struct csv_reply p = {0};
	struct wire_reader r;
	uint8_t kind;

	wire_reader_init(&r, buf, len);
	if (wire_get_u16(&r) != CSV_FRAME_REPLY)
		return -EBADMSG;
	p.slot = wire_get_u16(&r);
	p.seq = wire_get_u64(&r);
	p.error = wire_get_u16(&r);
	kind = wire_get_u8(&r);
	if (p.slot >= CSV_SLOTS || (p.error && kind != CSV_REPLY_NONE))
		return -EBADMSG;
	switch (kind) {
#define GET_CASE(NAME, name)                                                                       \
	case CSV_REPLY_##NAME:                                                                     \
		get_reply_##name(&r, &p.name);                                                     \
		break;
		CSV_REPLIES(GET_CASE)
#undef GET_CASE
	default:
		return -EBADMSG;
	}
	if (!r.error && wire_reader_left(&r)) {
		p.promised = wire_get_u8(&r);
		if (!p.promised || (p.promised & ~CSV_PROMISED_ALL))
			wire_reader_fail(&r);
	}
	if (wire_reader_end(&r))
		return -EBADMSG;
	p.kind = (enum csv_reply_kind)kind;
	*ret = p;
	return 0;
}

uint16_t csv_frame_type_of(const void *buf, size_t len)
{
	struct wire_reader r;

	wire_reader_init(&r, buf, len);
	return wire_get_u16(&r);
}

/* ---- entries of a directory */

void csv_dirent_put(struct wire_writer *w, const struct csv_dirent *d)
{
	wire_put_u64(w, d->next);
	wire_put_u64(w, d->ino);
	wire_put_u8(w, d->type);
	put_name(w, &d->name);
	put_flag(w, &d->has_attr);
	if (d->has_attr) {
		put_handle(w, &d->handle);
		put_attr(w, &d->attr);
	}
}

void csv_dirent_get(struct wire_reader *r, struct csv_dirent *d)
{
	*d = (struct csv_dirent){0};
	d->next = wire_get_u64(r);
	d->ino = wire_get_u64(r);
	d->type = wire_get_u8(r);
	wire_get_str(r, d->name.text, sizeof(d->name.text));
	if (!r->error && (!d->name.text[0] || strchr(d->name.text, '/')))
		wire_reader_fail(r);
	get_flag(r, &d->has_attr);
	if (d->has_attr) {
		get_handle(r, &d->handle);
		get_attr(r, &d->attr);
	}
}

/* ---- extents of a grant */

void csv_extent_put(struct wire_writer *w, const struct csv_extent *e)
{
	wire_put_u64(w, e->offset);
	wire_put_u64(w, e->address);
	wire_put_u64(w, e->length);
}

bool csv_extent_get(const struct csv_bytes *extents, size_t at, struct csv_extent *ret)
{
	struct csv_extent e;
	struct wire_reader r;

	if (at >= CSV_EXTENTS_MAX || (at + 1) * CSV_EXTENT_BYTES > extents->len)
		return false;
	wire_reader_init(&r, extents->data + at * CSV_EXTENT_BYTES, CSV_EXTENT_BYTES);
	e.offset = wire_get_u64(&r);
	e.address = wire_get_u64(&r);
	e.length = wire_get_u64(&r);
	if (r.error || !e.length || (e.offset | e.address | e.length) % CSV_GRANT_BLOCK ||
	    e.offset > INT64_MAX - e.length || e.address > INT64_MAX - e.length)
		return false;
	*ret = e;
	return true;
}

/* ---- names */

enum csv_op_kind csv_op_kind(enum csv_op op)
{
	switch (op) {
#define KIND_CASE(number, NAME, name, kind, reply)                                                 \
	case CSV_OP_##NAME:                                                                        \
		return CSV_##kind;
		CSV_OPS(KIND_CASE)
#undef KIND_CASE
	case CSV_OP_END:
		break;
	}
	return CSV_QUERY;
}

enum csv_reply_kind csv_op_reply(enum csv_op op)
{
	switch (op) {
#define REPLY_CASE(number, NAME, name, kind, reply)                                                \
	case CSV_OP_##NAME:                                                                        \
		return CSV_REPLY_##reply;
		CSV_OPS(REPLY_CASE)
#undef REPLY_CASE
	case CSV_OP_END:
		break;
	}
	return CSV_REPLY_NONE;
}

const char *csv_op_name(enum csv_op op)
{
	switch (op) {
#define NAME_CASE(number, NAME, name, kind, reply)                                                 \
	case CSV_OP_##NAME:                                                                        \
		return #name;
		CSV_OPS(NAME_CASE)
#undef NAME_CASE
	case CSV_OP_END:
		break;
	}
	return "?";
}

const char *csv_refusal_text(enum csv_refusal reason)
{
	static const char *const text[CSV_REFUSAL_MAX] = {
#define TEXT(NAME, sentence) [CSV_REFUSAL_##NAME] = (sentence),
		CSV_REFUSALS(TEXT)
#undef TEXT
	};

	return reason < CSV_REFUSAL_MAX ? text[reason] : "?";
}

const char *csv_ungranted_text(enum csv_ungranted why)
{
	static const char *const text[CSV_UNGRANTED_MAX] = {
#define TEXT(NAME, words) [CSV_UNGRANTED_##NAME] = (words),
		CSV_UNGRANTED(TEXT)
#undef TEXT
	};

	return why < CSV_UNGRANTED_MAX ? text[why] : "?";
}
