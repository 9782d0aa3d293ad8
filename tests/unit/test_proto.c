/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What mounts and coordinators say: every frame, request, reply and entry of a folder, with every
 * field set to something of its own, decodes to the same and encodes to the same bytes again; cut,
 * extended and forbidden input is refused.
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

#include "csvfs/core/proto.h"
#include "lib/must.h"
#include "lib/prng.h"
#include "lib/wire.h"

#define ROUNDS	 50
#define SMALL	 4096 /* any message of these tests */
#define TYPE_AT	 CSV_FRAME_PREFIX
#define SLOT_AT	 (TYPE_AT + 2)
#define SEQ_AT	 (SLOT_AT + 2)
#define FLAG_AT	 (SEQ_AT + 8) /* of a request */
#define ERROR_AT (SEQ_AT + 8) /* of a reply */
#define KIND_AT	 (ERROR_AT + 2)

/* ---- a value for each codec */

static uint8_t some_bytes[64];

static void fill_u16(struct prng *p, uint16_t *v)
{
	*v = (uint16_t)prng_next(p);
}

static void fill_u32(struct prng *p, uint32_t *v)
{
	*v = (uint32_t)prng_next(p);
}

static void fill_u64(struct prng *p, uint64_t *v)
{
	*v = prng_next(p);
}

static void fill_flag(struct prng *p, bool *v)
{
	*v = prng_chance(p, 1, 2);
}

static void fill_error(struct prng *p, uint16_t *v)
{
	*v = (uint16_t)prng_range(p, 1, UINT16_MAX);
}

static void fill_refusal(struct prng *p, uint8_t *v)
{
	*v = (uint8_t)prng_below(p, CSV_REFUSAL_MAX);
}

static void fill_grant_mode(struct prng *p, uint8_t *v)
{
	*v = (uint8_t)prng_below(p, CSV_GRANT_MODES);
}

static void fill_ungranted(struct prng *p, uint8_t *v)
{
	*v = (uint8_t)prng_below(p, CSV_UNGRANTED_MAX);
}

static void fill_lock_kind(struct prng *p, uint8_t *v)
{
	*v = (uint8_t)prng_below(p, CSV_LOCK_KINDS);
}

static void fill_lock_type(struct prng *p, uint8_t *v)
{
	*v = (uint8_t)prng_below(p, CSV_LOCK_TYPES);
}

static void fill_grant_id(struct prng *p, struct csv_grant_id *v)
{
	v->term = prng_next(p);
	v->serial = prng_next(p);
}

static void fill_set_mask(struct prng *p, uint32_t *v)
{
	*v = (uint32_t)prng_next(p) & CSV_SET_ALL;
}

static void fill_write_flags(struct prng *p, uint32_t *v)
{
	*v = (uint32_t)prng_next(p) & CSV_WRITE_ALL;
}

static void fill_io_size(struct prng *p, uint32_t *v)
{
	*v = (uint32_t)prng_range(p, 0, CSV_IO_MAX);
}

static void fill_handle(struct prng *p, struct csv_handle *v)
{
	v->ino = prng_next(p);
	v->gen = (uint32_t)prng_next(p);
}

static void fill_time(struct prng *p, struct csv_time *v)
{
	v->sec = (int64_t)prng_next(p);
	v->nsec = (uint32_t)prng_below(p, 1000000000);
}

static void fill_attr(struct prng *p, struct csv_attr *v)
{
	v->ino = prng_next(p);
	fill_u32(p, &v->mode);
	fill_u32(p, &v->nlink);
	fill_u32(p, &v->uid);
	fill_u32(p, &v->gid);
	v->rdev = prng_next(p);
	v->size = prng_next(p);
	v->blocks = prng_next(p);
	fill_u32(p, &v->blksize);
	fill_time(p, &v->atime);
	fill_time(p, &v->mtime);
	fill_time(p, &v->ctime);
}

static void fill_chars(struct prng *p, char *text, size_t min)
{
	size_t n = prng_range(p, min, CSV_NAME_MAX - 1);

	for (size_t i = 0; i < n; i++)
		text[i] = (char)prng_range(p, 'a', 'z');
	text[n] = '\0';
}

static void fill_name(struct prng *p, struct csv_name *v)
{
	fill_chars(p, v->text, 1);
}

static void fill_text(struct prng *p, struct csv_text *v)
{
	fill_chars(p, v->text, 0);
}

static void fill_bytes(struct prng *p, struct csv_bytes *v)
{
	v->len = prng_below(p, sizeof(some_bytes) + 1);
	v->data = some_bytes;
}

static void fill_uuid(struct prng *p, struct csv_uuid *v)
{
	for (size_t i = 0; i < sizeof(v->byte); i++)
		v->byte[i] = (uint8_t)prng_next(p);
}

static void fill_usage(struct prng *p, struct csv_usage *v)
{
	v->blocks = prng_next(p);
	v->bfree = prng_next(p);
	v->bavail = prng_next(p);
	v->files = prng_next(p);
	v->ffree = prng_next(p);
	v->favail = prng_next(p);
	fill_u32(p, &v->bsize);
	fill_u32(p, &v->frsize);
	fill_u32(p, &v->namemax);
}

static void fill_caller(struct prng *p, struct csv_caller *v)
{
	fill_u32(p, &v->uid);
	fill_u32(p, &v->gid);
	v->umask = (uint32_t)prng_below(p, 01000);
	v->group_count = (uint16_t)prng_range(p, 0, CSV_GROUPS_MAX);
	for (size_t i = 0; i < v->group_count; i++)
		fill_u32(p, &v->groups[i]);
}

/* ---- is it the same? */

#define SAME_NUMBER(codec, ctype)                                                                  \
	static bool same_##codec(const ctype *a, const ctype *b)                                   \
	{                                                                                          \
		return *a == *b;                                                                   \
	}
SAME_NUMBER(u16, uint16_t)
SAME_NUMBER(u32, uint32_t)
SAME_NUMBER(u64, uint64_t)
SAME_NUMBER(flag, bool)
SAME_NUMBER(error, uint16_t)
SAME_NUMBER(refusal, uint8_t)
SAME_NUMBER(grant_mode, uint8_t)
SAME_NUMBER(ungranted, uint8_t)
SAME_NUMBER(lock_kind, uint8_t)
SAME_NUMBER(lock_type, uint8_t)
SAME_NUMBER(set_mask, uint32_t)
SAME_NUMBER(write_flags, uint32_t)
SAME_NUMBER(io_size, uint32_t)
#undef SAME_NUMBER

static bool same_grant_id(const struct csv_grant_id *a, const struct csv_grant_id *b)
{
	return csv_grant_equal(a, b);
}

static bool same_handle(const struct csv_handle *a, const struct csv_handle *b)
{
	return csv_handle_equal(a, b);
}

static bool same_time(const struct csv_time *a, const struct csv_time *b)
{
	return a->sec == b->sec && a->nsec == b->nsec;
}

static bool same_attr(const struct csv_attr *a, const struct csv_attr *b)
{
	return a->ino == b->ino && a->mode == b->mode && a->nlink == b->nlink && a->uid == b->uid &&
	       a->gid == b->gid && a->rdev == b->rdev && a->size == b->size &&
	       a->blocks == b->blocks && a->blksize == b->blksize &&
	       same_time(&a->atime, &b->atime) && same_time(&a->mtime, &b->mtime) &&
	       same_time(&a->ctime, &b->ctime);
}

static bool same_name(const struct csv_name *a, const struct csv_name *b)
{
	return !strcmp(a->text, b->text);
}

static bool same_text(const struct csv_text *a, const struct csv_text *b)
{
	return !strcmp(a->text, b->text);
}

static bool same_bytes(const struct csv_bytes *a, const struct csv_bytes *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

static bool same_uuid(const struct csv_uuid *a, const struct csv_uuid *b)
{
	return !memcmp(a->byte, b->byte, sizeof(a->byte));
}

static bool same_usage(const struct csv_usage *a, const struct csv_usage *b)
{
	return a->blocks == b->blocks && a->bfree == b->bfree && a->bavail == b->bavail &&
	       a->files == b->files && a->ffree == b->ffree && a->favail == b->favail &&
	       a->bsize == b->bsize && a->frsize == b->frsize && a->namemax == b->namemax;
}

static bool same_caller(const struct csv_caller *a, const struct csv_caller *b)
{
	return a->uid == b->uid && a->gid == b->gid && a->umask == b->umask &&
	       a->group_count == b->group_count &&
	       !memcmp(a->groups, b->groups, a->group_count * sizeof(a->groups[0]));
}

/* ---- bodies, from the field lists */

#define FILL(codec, ctype, name) fill_##codec(p, &m->name);
#define SAME(codec, ctype, name) &&same_##codec(&a->name, &b->name)
#define BODY(prefix, name, FIELDS)                                                                 \
	static void fill_##prefix##name(struct prng *p, struct csv_##prefix##name *m)              \
	{                                                                                          \
		(void)p;                                                                           \
		(void)m;                                                                           \
		FIELDS(FILL)                                                                       \
	}                                                                                          \
	static bool same_##prefix##name(const struct csv_##prefix##name *a,                        \
					const struct csv_##prefix##name *b)                        \
	{                                                                                          \
		(void)a;                                                                           \
		(void)b;                                                                           \
		return true FIELDS(SAME);                                                          \
	}
#define OP_BODY(number, NAME, name, kind, reply) BODY(op_, name, CSV_##NAME##_FIELDS)
CSV_OPS(OP_BODY)
#undef OP_BODY
#define REPLY_BODY(NAME, name) BODY(reply_, name, CSV_REPLY_##NAME##_FIELDS)
CSV_REPLIES(REPLY_BODY)
#undef REPLY_BODY
#define FRAME_BODY(number, NAME, name) BODY(frame_, name, CSV_##NAME##_FIELDS)
CSV_FRAMES(FRAME_BODY)
#undef FRAME_BODY

static void fill_request(struct prng *p, enum csv_op op, struct csv_request *q)
{
	*q = (struct csv_request){.slot = (uint16_t)prng_below(p, CSV_SLOTS),
				  .seq = prng_next(p) | 1,
				  .is_resend = prng_chance(p, 1, 2),
				  .op = op};
	fill_caller(p, &q->caller);
	switch (op) {
#define CASE(number, NAME, name, kind, reply)                                                      \
	case CSV_OP_##NAME:                                                                        \
		fill_op_##name(p, &q->name);                                                       \
		break;
		CSV_OPS(CASE)
#undef CASE
	case CSV_OP_END:
		break;
	}
}

static bool same_request(const struct csv_request *a, const struct csv_request *b)
{
	if (a->slot != b->slot || a->seq != b->seq || a->is_resend != b->is_resend ||
	    a->op != b->op || !same_caller(&a->caller, &b->caller))
		return false;
	switch (a->op) {
#define CASE(number, NAME, name, kind, reply)                                                      \
	case CSV_OP_##NAME:                                                                        \
		return same_op_##name(&a->name, &b->name);
		CSV_OPS(CASE)
#undef CASE
	case CSV_OP_END:
		break;
	}
	return false;
}

static void fill_reply(struct prng *p, enum csv_reply_kind kind, struct csv_reply *r)
{
	*r = (struct csv_reply){
		.slot = (uint16_t)prng_below(p, CSV_SLOTS), .seq = prng_next(p), .kind = kind};
	if (kind == CSV_REPLY_NONE)
		r->error = (uint16_t)prng_below(p, 200);
	switch (kind) {
#define CASE(NAME, name)                                                                           \
	case CSV_REPLY_##NAME:                                                                     \
		fill_reply_##name(p, &r->name);                                                    \
		break;
		CSV_REPLIES(CASE)
#undef CASE
	}
}

static bool same_reply(const struct csv_reply *a, const struct csv_reply *b)
{
	if (a->slot != b->slot || a->seq != b->seq || a->error != b->error || a->kind != b->kind)
		return false;
	switch (a->kind) {
#define CASE(NAME, name)                                                                           \
	case CSV_REPLY_##NAME:                                                                     \
		return same_reply_##name(&a->name, &b->name);
		CSV_REPLIES(CASE)
#undef CASE
	}
	return false;
}

static void fill_frame(struct prng *p, enum csv_frame_type type, struct csv_frame *f)
{
	*f = (struct csv_frame){.type = type};
	switch (type) {
#define CASE(number, NAME, name)                                                                   \
	case CSV_FRAME_##NAME:                                                                     \
		fill_frame_##name(p, &f->name);                                                    \
		break;
		CSV_FRAMES(CASE)
#undef CASE
	}
}

static bool same_frame(const struct csv_frame *a, const struct csv_frame *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
#define CASE(number, NAME, name)                                                                   \
	case CSV_FRAME_##NAME:                                                                     \
		return same_frame_##name(&a->name, &b->name);
		CSV_FRAMES(CASE)
#undef CASE
	}
	return false;
}

static void fill_dirent(struct prng *p, struct csv_dirent *d)
{
	*d = (struct csv_dirent){.next = prng_next(p),
				 .ino = prng_next(p),
				 .type = (uint8_t)prng_next(p),
				 .has_attr = prng_chance(p, 1, 2)};
	fill_name(p, &d->name);
	if (d->has_attr) {
		fill_handle(p, &d->handle);
		fill_attr(p, &d->attr);
	}
}

/* ---- round trips */

static const enum csv_op ops[] = {
#define OP(number, NAME, name, kind, reply) CSV_OP_##NAME,
	CSV_OPS(OP)
#undef OP
};
static const enum csv_reply_kind kinds[] = {
#define KIND(NAME, name) CSV_REPLY_##NAME,
	CSV_REPLIES(KIND)
#undef KIND
};
static const enum csv_frame_type types[] = {
#define TYPE(number, NAME, name) CSV_FRAME_##NAME,
	CSV_FRAMES(TYPE)
#undef TYPE
};

typedef int (*decoder)(const void *buf, size_t len);

static int try_request(const void *buf, size_t len)
{
	struct csv_request q;

	return csv_request_decode(buf, len, &q);
}

static int try_reply(const void *buf, size_t len)
{
	struct csv_reply p;

	return csv_reply_decode(buf, len, &p);
}

static int try_frame(const void *buf, size_t len)
{
	struct csv_frame f;

	return csv_frame_decode(buf, len, &f);
}

/* `buf` has the prefix. A copy of the right size shows a sanitizer each read beyond it. */
static void refuse_cut_and_extended(const uint8_t *buf, size_t len, decoder decode)
{
	uint8_t *copy = malloc(len + 1);

	assert_non_null(copy);
	for (size_t n = 0; n < len - CSV_FRAME_PREFIX; n++) {
		uint8_t *exact = malloc(n ? n : 1);

		assert_non_null(exact);
		memcpy(exact, buf + CSV_FRAME_PREFIX, n);
		assert_int_equal(decode(exact, n), -EBADMSG);
		free(exact);
	}
	memcpy(copy, buf, len);
	copy[len] = 0;
	assert_int_equal(decode(copy + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX), 0);
	assert_int_equal(decode(copy + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX + 1), -EBADMSG);
	free(copy);
}

static void check_prefix(const uint8_t *buf, size_t len, uint16_t type)
{
	struct wire_reader r;

	wire_reader_init(&r, buf, len);
	assert_int_equal(wire_get_u32(&r), len - CSV_FRAME_PREFIX);
	assert_int_equal(wire_get_u16(&r), type);
	assert_int_equal(csv_frame_type_of(buf + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX), type);
}

static void every_request_survives_the_wire(void **state)
{
	static uint8_t buf[SMALL], again[SMALL];
	static struct csv_request q, back;
	struct prng p;

	(void)state;
	prng_init(&p, 1);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(ops); i++) {
		for (int round = 0; round < ROUNDS; round++) {
			size_t len = 0, again_len = 0;

			fill_request(&p, ops[i], &q);
			assert_int_equal(csv_request_encode(&q, buf, sizeof(buf), &len), 0);
			check_prefix(buf, len, CSV_FRAME_REQUEST);
			assert_int_equal(csv_request_decode(buf + CSV_FRAME_PREFIX,
							    len - CSV_FRAME_PREFIX, &back),
					 0);
			assert_true(same_request(&q, &back));
			assert_int_equal(
				csv_request_encode(&back, again, sizeof(again), &again_len), 0);
			assert_int_equal(again_len, len);
			assert_memory_equal(again, buf, len);
		}
	}
}

static void every_reply_survives_the_wire(void **state)
{
	static uint8_t buf[SMALL], again[SMALL];
	static struct csv_reply r, back;
	struct prng p;

	(void)state;
	prng_init(&p, 2);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(kinds); i++) {
		for (int round = 0; round < ROUNDS; round++) {
			size_t len = 0, again_len = 0;

			fill_reply(&p, kinds[i], &r);
			assert_int_equal(csv_reply_encode(&r, buf, sizeof(buf), &len), 0);
			check_prefix(buf, len, CSV_FRAME_REPLY);
			assert_int_equal(csv_reply_decode(buf + CSV_FRAME_PREFIX,
							  len - CSV_FRAME_PREFIX, &back),
					 0);
			assert_true(same_reply(&r, &back));
			assert_int_equal(csv_reply_encode(&back, again, sizeof(again), &again_len),
					 0);
			assert_int_equal(again_len, len);
			assert_memory_equal(again, buf, len);
		}
	}
}

static void every_frame_survives_the_wire(void **state)
{
	static uint8_t buf[SMALL], again[SMALL];
	struct csv_frame f, back;
	struct prng p;

	(void)state;
	prng_init(&p, 3);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(types); i++) {
		for (int round = 0; round < ROUNDS; round++) {
			size_t len = 0, again_len = 0;

			fill_frame(&p, types[i], &f);
			assert_int_equal(csv_frame_encode(&f, buf, sizeof(buf), &len), 0);
			check_prefix(buf, len, (uint16_t)types[i]);
			assert_int_equal(csv_frame_decode(buf + CSV_FRAME_PREFIX,
							  len - CSV_FRAME_PREFIX, &back),
					 0);
			assert_true(same_frame(&f, &back));
			assert_int_equal(csv_frame_encode(&back, again, sizeof(again), &again_len),
					 0);
			assert_int_equal(again_len, len);
			assert_memory_equal(again, buf, len);
			refuse_cut_and_extended(buf, len, try_frame);
		}
	}
}

static void cut_and_extended_requests_and_replies_are_refused(void **state)
{
	static uint8_t buf[SMALL];
	static struct csv_request q;
	static struct csv_reply r;
	struct prng p;
	size_t len = 0;

	(void)state;
	prng_init(&p, 4);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(ops); i++) {
		fill_request(&p, ops[i], &q);
		assert_int_equal(csv_request_encode(&q, buf, sizeof(buf), &len), 0);
		refuse_cut_and_extended(buf, len, try_request);
	}
	for (size_t i = 0; i < MUST_ARRAY_SIZE(kinds); i++) {
		fill_reply(&p, kinds[i], &r);
		assert_int_equal(csv_reply_encode(&r, buf, sizeof(buf), &len), 0);
		refuse_cut_and_extended(buf, len, try_reply);
	}
}

static void entries_of_a_folder_survive_the_wire(void **state)
{
	static uint8_t buf[SMALL];
	struct csv_dirent d[4], back;
	struct wire_reader r;
	struct wire_writer w;
	struct prng p;

	(void)state;
	prng_init(&p, 5);
	for (int round = 0; round < ROUNDS; round++) {
		wire_writer_init(&w, buf, sizeof(buf));
		for (size_t i = 0; i < 4; i++) {
			fill_dirent(&p, &d[i]);
			csv_dirent_put(&w, &d[i]);
		}
		assert_int_equal(w.error, 0);
		wire_reader_init(&r, buf, w.pos);
		for (size_t i = 0; i < 4; i++) {
			csv_dirent_get(&r, &back);
			assert_int_equal(r.error, 0);
			assert_int_equal(back.next, d[i].next);
			assert_int_equal(back.ino, d[i].ino);
			assert_int_equal(back.type, d[i].type);
			assert_true(same_name(&back.name, &d[i].name));
			assert_int_equal(back.has_attr, d[i].has_attr);
			assert_true(same_handle(&back.handle, &d[i].handle));
			assert_true(same_attr(&back.attr, &d[i].attr));
		}
		assert_int_equal(wire_reader_end(&r), 0);
	}
}

static void put_and_get_dirent(const char *name, int expect)
{
	struct csv_dirent d = {.next = 1, .ino = 1}, back;
	uint8_t buf[512];
	struct wire_writer w;
	struct wire_reader r;

	snprintf(d.name.text, sizeof(d.name.text), "%s", name);
	wire_writer_init(&w, buf, sizeof(buf));
	csv_dirent_put(&w, &d);
	wire_reader_init(&r, buf, w.pos);
	csv_dirent_get(&r, &back);
	assert_int_equal(wire_reader_end(&r), expect);
}

static void an_entry_may_be_dots_but_not_a_path(void **state)
{
	(void)state;
	put_and_get_dirent(".", 0);
	put_and_get_dirent("..", 0);
	put_and_get_dirent("", -EBADMSG);
	put_and_get_dirent("a/b", -EBADMSG);
}

/* ---- refusals */

/* Encodes, changes one byte, decodes. */
static int request_with(struct csv_request *q, size_t at, uint8_t value)
{
	uint8_t buf[SMALL];
	size_t len = 0;

	assert_int_equal(csv_request_encode(q, buf, sizeof(buf), &len), 0);
	assert_true(at < len);
	buf[at] = value;
	return try_request(buf + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX);
}

static int reply_with(struct csv_reply *p, size_t at, uint8_t value)
{
	uint8_t buf[SMALL];
	size_t len = 0;

	assert_int_equal(csv_reply_encode(p, buf, sizeof(buf), &len), 0);
	assert_true(at < len);
	buf[at] = value;
	return try_reply(buf + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX);
}

static int decode_again(const struct csv_request *q)
{
	uint8_t buf[SMALL];
	size_t len = 0;

	assert_int_equal(csv_request_encode(q, buf, sizeof(buf), &len), 0);
	return try_request(buf + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX);
}

static void a_request_has_a_slot_a_sequence_and_an_operation(void **state)
{
	struct csv_request q = {.op = CSV_OP_GETATTR, .slot = 1, .seq = 1};
	size_t op_at = FLAG_AT + 1 + 3 * 4 + 2 + 2 * 12; /* after caller and children */

	(void)state;
	assert_int_equal(request_with(&q, SLOT_AT, CSV_SLOTS - 1), 0);
	assert_int_equal(request_with(&q, SLOT_AT, CSV_SLOTS), -EBADMSG);
	assert_int_equal(request_with(&q, SEQ_AT, 0), -EBADMSG);
	assert_int_equal(request_with(&q, FLAG_AT, 1), 0);
	assert_int_equal(request_with(&q, FLAG_AT, 2), -EBADMSG);
	assert_int_equal(request_with(&q, op_at, CSV_OP_GETATTR), 0);
	assert_int_equal(request_with(&q, op_at, 0), -EBADMSG);
	assert_int_equal(request_with(&q, op_at, CSV_OP_END), -EBADMSG);
	assert_int_equal(request_with(&q, TYPE_AT, CSV_FRAME_REPLY), -EBADMSG);
}

static void a_reply_says_what_it_promises_and_only_then(void **state)
{
	struct csv_reply p = {.seq = 1, .kind = CSV_REPLY_ATTR}, back;
	uint8_t buf[256];
	size_t plain, len;

	(void)state;
	/* As before there were promises: records on disk are such replies. */
	assert_int_equal(csv_reply_encode(&p, buf, sizeof(buf), &plain), 0);
	for (uint8_t promised = 1; promised <= CSV_PROMISED_ALL; promised++) {
		p.promised = promised;
		assert_int_equal(csv_reply_encode(&p, buf, sizeof(buf), &len), 0);
		assert_int_equal(len, plain + 1);
		assert_int_equal(
			csv_reply_decode(buf + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX, &back), 0);
		assert_int_equal(back.promised, promised);
	}
	buf[len - 1] = 0;
	assert_int_equal(csv_reply_decode(buf + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX, &back),
			 -EBADMSG);
	buf[len - 1] = CSV_PROMISED_ALL + 1;
	assert_int_equal(csv_reply_decode(buf + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX, &back),
			 -EBADMSG);
}

static void names_are_single_components(void **state)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "/"};
	static const char *const good[] = {"a", "...", ".a", "a b", "\xff"};
	struct csv_request q = {.op = CSV_OP_LOOKUP, .seq = 1};

	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(bad); i++) {
		snprintf(q.lookup.name.text, sizeof(q.lookup.name.text), "%s", bad[i]);
		assert_int_equal(decode_again(&q), -EBADMSG);
	}
	for (size_t i = 0; i < MUST_ARRAY_SIZE(good); i++) {
		snprintf(q.lookup.name.text, sizeof(q.lookup.name.text), "%s", good[i]);
		assert_int_equal(decode_again(&q), 0);
	}
}

static void values_out_of_bounds_are_refused(void **state)
{
	struct csv_request q = {.op = CSV_OP_READ, .seq = 1, .read.size = CSV_IO_MAX};

	(void)state;
	assert_int_equal(decode_again(&q), 0);
	q.read.size++;
	assert_int_equal(decode_again(&q), -EBADMSG);
	q = (struct csv_request){.op = CSV_OP_SETATTR, .seq = 1, .setattr.valid = CSV_SET_ALL};
	assert_int_equal(decode_again(&q), 0);
	q.setattr.valid++;
	assert_int_equal(decode_again(&q), -EBADMSG);
	q.setattr.valid = 0;
	q.setattr.mtime.nsec = 999999999;
	assert_int_equal(decode_again(&q), 0);
	q.setattr.mtime.nsec++;
	assert_int_equal(decode_again(&q), -EBADMSG);
	q = (struct csv_request){.op = CSV_OP_WRITE, .seq = 1, .write.flags = CSV_WRITE_ALL + 1};
	assert_int_equal(decode_again(&q), -EBADMSG);
	q = (struct csv_request){.op = CSV_OP_STATFS, .seq = 1, .caller.umask = 0777};
	assert_int_equal(decode_again(&q), 0);
	q.caller.umask++;
	assert_int_equal(decode_again(&q), -EBADMSG);
}

static void too_many_groups_are_refused(void **state)
{
	struct csv_request q = {.op = CSV_OP_STATFS, .seq = 1};
	size_t count_at = FLAG_AT + 1 + 3 * 4;

	(void)state;
	q.caller.group_count = CSV_GROUPS_MAX;
	assert_int_equal(decode_again(&q), 0);
	assert_int_equal(request_with(&q, count_at, CSV_GROUPS_MAX + 1), -EBADMSG);
}

static void a_reply_with_an_error_carries_nothing(void **state)
{
	struct csv_reply p = {.kind = CSV_REPLY_COUNT}, none = {.error = EIO};

	(void)state;
	assert_int_equal(reply_with(&none, SLOT_AT, 1), 0);
	assert_int_equal(reply_with(&none, SLOT_AT, CSV_SLOTS), -EBADMSG);
	assert_int_equal(reply_with(&p, ERROR_AT, 0), 0);
	assert_int_equal(reply_with(&p, ERROR_AT, EIO), -EBADMSG);
	assert_int_equal(reply_with(&p, KIND_AT, MUST_ARRAY_SIZE(kinds)), -EBADMSG);
	assert_int_equal(reply_with(&p, KIND_AT, CSV_REPLY_USAGE), -EBADMSG);
}

static void unknown_frames_are_refused(void **state)
{
	static const uint8_t unknown[] = {99, 0}, none[] = {0, 0}, half[] = {1};
	struct csv_frame f = {.type = CSV_FRAME_GOODBYE};

	(void)state;
	assert_int_equal(csv_frame_decode(unknown, 2, &f), -EBADMSG);
	assert_int_equal(csv_frame_decode(none, 2, &f), -EBADMSG);
	assert_int_equal(csv_frame_decode(half, 1, &f), -EBADMSG);
	assert_int_equal(f.type, CSV_FRAME_GOODBYE); /* untouched */
	assert_int_equal(csv_frame_type_of(half, 1), 0);
}

static void data_has_a_limit_and_a_full_frame_fits(void **state)
{
	static uint8_t data[CSV_IO_MAX + 1], buf[CSV_FRAME_MAX];
	struct csv_request q = {.op = CSV_OP_WRITE, .seq = 1}, back;
	struct csv_reply p = {.kind = CSV_REPLY_BYTES}, reply;
	size_t len = 0;

	(void)state;
	q.caller.group_count = CSV_GROUPS_MAX;
	q.write.data = (struct csv_bytes){data, CSV_IO_MAX};
	assert_int_equal(csv_request_encode(&q, buf, sizeof(buf), &len), 0);
	assert_int_equal(csv_request_decode(buf + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX, &back),
			 0);
	assert_int_equal(back.write.data.len, CSV_IO_MAX);
	p.bytes.data = q.write.data;
	assert_int_equal(csv_reply_encode(&p, buf, sizeof(buf), &len), 0);
	assert_int_equal(csv_reply_decode(buf + CSV_FRAME_PREFIX, len - CSV_FRAME_PREFIX, &reply),
			 0);
	q.write.data.len++;
	assert_int_equal(csv_request_encode(&q, buf, sizeof(buf), &len), -ENOBUFS);
	q.write.data.len = 100;
	assert_int_equal(csv_request_encode(&q, buf, 100, &len), -ENOBUFS);
}

static void every_operation_has_a_name_a_kind_and_a_reply(void **state)
{
	(void)state;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(ops); i++)
		assert_string_not_equal(csv_op_name(ops[i]), "?");
	assert_string_equal(csv_op_name(CSV_OP_END), "?");
	assert_int_equal(csv_op_kind(CSV_OP_LOOKUP), CSV_QUERY);
	assert_int_equal(csv_op_kind(CSV_OP_WRITE), CSV_CHANGE);
	assert_int_equal(csv_op_kind(CSV_OP_RELEASE), CSV_STATE);
	assert_int_equal(csv_op_reply(CSV_OP_CREATE), CSV_REPLY_ENTRY);
	assert_int_equal(csv_op_reply(CSV_OP_WRITE), CSV_REPLY_COUNT);
	for (int i = 0; i < CSV_REFUSAL_MAX; i++)
		assert_string_not_equal(csv_refusal_text((enum csv_refusal)i), "?");
	assert_string_equal(csv_refusal_text(CSV_REFUSAL_MAX), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_survives_the_wire),
		cmocka_unit_test(every_reply_survives_the_wire),
		cmocka_unit_test(every_frame_survives_the_wire),
		cmocka_unit_test(cut_and_extended_requests_and_replies_are_refused),
		cmocka_unit_test(entries_of_a_folder_survive_the_wire),
		cmocka_unit_test(an_entry_may_be_dots_but_not_a_path),
		cmocka_unit_test(a_request_has_a_slot_a_sequence_and_an_operation),
		cmocka_unit_test(a_reply_says_what_it_promises_and_only_then),
		cmocka_unit_test(names_are_single_components),
		cmocka_unit_test(values_out_of_bounds_are_refused),
		cmocka_unit_test(too_many_groups_are_refused),
		cmocka_unit_test(a_reply_with_an_error_carries_nothing),
		cmocka_unit_test(unknown_frames_are_refused),
		cmocka_unit_test(data_has_a_limit_and_a_full_frame_fits),
		cmocka_unit_test(every_operation_has_a_name_a_kind_and_a_reply),
	};

	for (size_t i = 0; i < sizeof(some_bytes); i++)
		some_bytes[i] = (uint8_t)(0xff - i);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
