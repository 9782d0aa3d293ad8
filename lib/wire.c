/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/wire.h"

#include <errno.h>
#include <string.h>

void wire_writer_init(struct wire_writer *w, void *buf, size_t cap)
{
	*w = (struct wire_writer){.data = buf, .cap = cap};
}

/* Reserves n bytes; NULL (and the sticky error) when they do not fit. */
static uint8_t *writer_take(struct wire_writer *w, size_t n)
{
	uint8_t *p;

	if (w->error)
		return NULL;
	if (n > w->cap - w->pos) {
		w->error = -ENOBUFS;
		return NULL;
	}
	p = w->data + w->pos;
	w->pos += n;
	return p;
}

static void store_le(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t load_le(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void put_le(struct wire_writer *w, uint64_t v, size_t n)
{
	uint8_t *p = writer_take(w, n);

	if (p)
		store_le(p, v, n);
}

void wire_put_u8(struct wire_writer *w, uint8_t v)
{
	put_le(w, v, 1);
}

void wire_put_u16(struct wire_writer *w, uint16_t v)
{
	put_le(w, v, 2);
}

void wire_put_u32(struct wire_writer *w, uint32_t v)
{
	put_le(w, v, 4);
}

void wire_put_u64(struct wire_writer *w, uint64_t v)
{
	put_le(w, v, 8);
}

void wire_put_raw(struct wire_writer *w, const void *p, size_t n)
{
	uint8_t *dst = writer_take(w, n);

	if (dst && n)
		memcpy(dst, p, n);
}

void wire_put_bytes(struct wire_writer *w, const void *p, size_t n)
{
	if (n > UINT32_MAX) {
		w->error = w->error ? w->error : -ENOBUFS;
		return;
	}
	wire_put_u32(w, (uint32_t)n);
	wire_put_raw(w, p, n);
}

void wire_put_str(struct wire_writer *w, const char *s)
{
	size_t n = strlen(s);

	if (n > UINT16_MAX) {
		w->error = w->error ? w->error : -ENOBUFS;
		return;
	}
	wire_put_u16(w, (uint16_t)n);
	wire_put_raw(w, s, n);
}

void wire_patch_u32(struct wire_writer *w, size_t pos, uint32_t v)
{
	if (w->error)
		return;
	if (pos > w->pos || w->pos - pos < 4) {
		w->error = -ENOBUFS;
		return;
	}
	store_le(w->data + pos, v, 4);
}

int wire_writer_end(const struct wire_writer *w, size_t *ret_len)
{
	if (w->error)
		return w->error;
	*ret_len = w->pos;
	return 0;
}

void wire_reader_init(struct wire_reader *r, const void *buf, size_t len)
{
	*r = (struct wire_reader){.data = buf, .len = len};
}

void wire_reader_fail(struct wire_reader *r)
{
	r->error = -EBADMSG;
}

static const uint8_t *reader_take(struct wire_reader *r, size_t n)
{
	const uint8_t *p;

	if (r->error)
		return NULL;
	if (n > r->len - r->pos) {
		wire_reader_fail(r);
		return NULL;
	}
	p = r->data + r->pos;
	r->pos += n;
	return p;
}

static uint64_t get_le(struct wire_reader *r, size_t n)
{
	const uint8_t *p = reader_take(r, n);

	return p ? load_le(p, n) : 0;
}

uint8_t wire_get_u8(struct wire_reader *r)
{
	return (uint8_t)get_le(r, 1);
}

uint16_t wire_get_u16(struct wire_reader *r)
{
	return (uint16_t)get_le(r, 2);
}

uint32_t wire_get_u32(struct wire_reader *r)
{
	return (uint32_t)get_le(r, 4);
}

uint64_t wire_get_u64(struct wire_reader *r)
{
	return get_le(r, 8);
}

bool wire_get_bool(struct wire_reader *r)
{
	return wire_get_enum(r, 2) == 1;
}

uint8_t wire_get_enum(struct wire_reader *r, uint8_t max)
{
	uint8_t v = wire_get_u8(r);

	if (v >= max) {
		wire_reader_fail(r);
		return 0;
	}
	return v;
}

void wire_get_raw(struct wire_reader *r, void *p, size_t n)
{
	const uint8_t *src = reader_take(r, n);

	if (!n)
		return;
	if (src)
		memcpy(p, src, n);
	else
		memset(p, 0, n);
}

const uint8_t *wire_get_bytes(struct wire_reader *r, size_t *ret_len)
{
	size_t n = wire_get_u32(r);
	const uint8_t *p = reader_take(r, n);

	*ret_len = p ? n : 0;
	return p;
}

void wire_get_str(struct wire_reader *r, char *dst, size_t cap)
{
	size_t n = wire_get_u16(r);
	const uint8_t *p = NULL;

	if (n < cap)
		p = reader_take(r, n);
	else
		wire_reader_fail(r);
	if (p && memchr(p, 0, n))
		wire_reader_fail(r);
	if (!p || r->error)
		n = 0;
	else
		memcpy(dst, p, n);
	if (cap)
		dst[n] = 0;
}

size_t wire_reader_left(const struct wire_reader *r)
{
	return r->error ? 0 : r->len - r->pos;
}

int wire_reader_end(const struct wire_reader *r)
{
	if (r->error)
		return r->error;
	return r->pos == r->len ? 0 : -EBADMSG;
}
