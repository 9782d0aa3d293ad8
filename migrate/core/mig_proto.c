/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/core/mig_proto.h"

#include <errno.h>

#include "lib/wire.h"

/* ---- one put and one get for each codec named in the field lists */

static void put_u16(struct wire_writer *w, const uint16_t *v)
{
	wire_put_u16(w, *v);
}

static void get_u16(struct wire_reader *r, uint16_t *v)
{
	*v = wire_get_u16(r);
}

static void put_u64(struct wire_writer *w, const uint64_t *v)
{
	wire_put_u64(w, *v);
}

static void get_u64(struct wire_reader *r, uint64_t *v)
{
	*v = wire_get_u64(r);
}

static void put_checks(struct wire_writer *w, const uint32_t *v)
{
	wire_put_u32(w, *v);
}

static void get_checks(struct wire_reader *r, uint32_t *v)
{
	*v = wire_get_u32(r);
	if (*v >> MIG_CHECK_MAX)
		wire_reader_fail(r);
}

static void put_reason(struct wire_writer *w, const uint8_t *v)
{
	wire_put_u8(w, *v);
}

static void get_reason(struct wire_reader *r, uint8_t *v)
{
	*v = wire_get_enum(r, MIG_REASON_MAX);
}

static void put_uuid(struct wire_writer *w, const struct mig_uuid *v)
{
	wire_put_raw(w, v->byte, sizeof(v->byte));
}

static void get_uuid(struct wire_reader *r, struct mig_uuid *v)
{
	wire_get_raw(r, v->byte, sizeof(v->byte));
}

static void put_hash(struct wire_writer *w, const struct mig_hash *v)
{
	wire_put_raw(w, v->byte, sizeof(v->byte));
}

static void get_hash(struct wire_reader *r, struct mig_hash *v)
{
	wire_get_raw(r, v->byte, sizeof(v->byte));
}

static void put_qemu(struct wire_writer *w, const char (*v)[MIG_QEMU_TEXT])
{
	wire_put_str(w, *v);
}

static void get_qemu(struct wire_reader *r, char (*v)[MIG_QEMU_TEXT])
{
	wire_get_str(r, *v, sizeof(*v));
}

static void put_text(struct wire_writer *w, const char (*v)[MIG_REASON_TEXT])
{
	wire_put_str(w, *v);
}

static void get_text(struct wire_reader *r, char (*v)[MIG_REASON_TEXT])
{
	wire_get_str(r, *v, sizeof(*v));
}

/* ---- messages */

static void body_put(struct wire_writer *w, const struct mig_message *m)
{
	switch (m->type) {
#define PUT_HELLO(codec, name) put_##codec(w, &m->hello.name);
#define PUT_READY(codec, name) put_##codec(w, &m->ready.name);
#define PUT_ABORT(codec, name) put_##codec(w, &m->abort.name);
	case MIG_MESSAGE_HELLO:
		MIG_FIELDS_HELLO(PUT_HELLO)
		break;
	case MIG_MESSAGE_READY:
		MIG_FIELDS_READY(PUT_READY)
		break;
	case MIG_MESSAGE_ABORT:
		MIG_FIELDS_ABORT(PUT_ABORT)
		break;
#undef PUT_HELLO
#undef PUT_READY
#undef PUT_ABORT
	default: /* nothing but its type */
		break;
	}
}

static void body_get(struct wire_reader *r, struct mig_message *m)
{
	switch (m->type) {
#define GET_HELLO(codec, name) get_##codec(r, &m->hello.name);
#define GET_READY(codec, name) get_##codec(r, &m->ready.name);
#define GET_ABORT(codec, name) get_##codec(r, &m->abort.name);
	case MIG_MESSAGE_HELLO:
		MIG_FIELDS_HELLO(GET_HELLO)
		break;
	case MIG_MESSAGE_READY:
		MIG_FIELDS_READY(GET_READY)
		break;
	case MIG_MESSAGE_ABORT:
		MIG_FIELDS_ABORT(GET_ABORT)
		break;
#undef GET_HELLO
#undef GET_READY
#undef GET_ABORT
	default:
		break;
	}
}

int mig_message_encode(const struct mig_message *m, void *buf, size_t cap, size_t *ret_len)
{
	struct wire_writer w;
	size_t len;
	int r;

	wire_writer_init(&w, buf, cap);
	wire_put_u32(&w, 0);
	wire_put_u16(&w, (uint16_t)m->type);
	body_put(&w, m);
	if (!w.error)
		wire_patch_u32(&w, 0, (uint32_t)(w.pos - MIG_FRAME_PREFIX));
	r = wire_writer_end(&w, &len);
	if (!r)
		*ret_len = len;
	return r;
}

int mig_message_decode(const void *buf, size_t len, struct mig_message *ret)
{
	struct mig_message m = {0};
	struct wire_reader r;
	uint16_t type;

	wire_reader_init(&r, buf, len);
	type = wire_get_u16(&r);
	if (!type || type >= MIG_MESSAGE_MAX)
		return -EBADMSG;
	m.type = (enum mig_message_type)type;
	body_get(&r, &m);
	if (wire_reader_end(&r))
		return -EBADMSG;
	*ret = m;
	return 0;
}

const char *mig_message_name(enum mig_message_type type)
{
	static const char *const name[MIG_MESSAGE_MAX] = {
#define NAME_OF(number, NAME, name) [MIG_MESSAGE_##NAME] = #NAME,
		MIG_MESSAGES(NAME_OF)
#undef NAME_OF
	};

	return type && type < MIG_MESSAGE_MAX ? name[type] : "?";
}

const char *mig_reason_text(enum mig_reason reason)
{
	static const char *const name[MIG_REASON_MAX] = {
#define NAME_OF(number, NAME, text) [MIG_REASON_##NAME] = (text),
		MIG_REASONS(NAME_OF)
#undef NAME_OF
	};

	return reason < MIG_REASON_MAX ? name[reason] : "?";
}

const char *mig_check_text(enum mig_check check)
{
	static const char *const name[MIG_CHECK_MAX] = {
#define NAME_OF(NAME, text) [MIG_CHECK_##NAME] = (text),
		MIG_CHECKS(NAME_OF)
#undef NAME_OF
	};

	return check < MIG_CHECK_MAX ? name[check] : "?";
}
