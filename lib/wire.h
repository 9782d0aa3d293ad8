/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wire codec: the only way in which bytes of a message, a log row or a disk record are made or
 * read. Little-endian, explicit widths, no struct is ever laid over bytes.
 *
 * Both sides carry a sticky error: after the first failure every further call is harmless, a get
 * yields zero, and wire_writer_end() / wire_reader_end() report it once. A reader refuses trailing
 * bytes, so that what decodes re-encodes to the same bytes.
 *
 * No allocation, no I/O; usable from any thread on objects of its own.
 */
#ifndef LIB_WIRE_H
#define LIB_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_writer {
	uint8_t *data;
	size_t cap;
	size_t pos;
	int error; /* 0 or -ENOBUFS, sticky */
};

struct wire_reader {
	const uint8_t *data;
	size_t len;
	size_t pos;
	int error; /* 0 or -EBADMSG, sticky */
};

/* Borrows buf for the life of the writer. */
void wire_writer_init(struct wire_writer *w, void *buf, size_t cap);
void wire_put_u8(struct wire_writer *w, uint8_t v);
void wire_put_u16(struct wire_writer *w, uint16_t v);
void wire_put_u32(struct wire_writer *w, uint32_t v);
void wire_put_u64(struct wire_writer *w, uint64_t v);
/* Raw bytes without a length: both sides know it. */
void wire_put_raw(struct wire_writer *w, const void *p, size_t n);
/* u32 length, then the bytes. */
void wire_put_bytes(struct wire_writer *w, const void *p, size_t n);
/* u16 length, then the characters, no NUL on the wire. Longer than 65535: error. */
void wire_put_str(struct wire_writer *w, const char *s);
/* Overwrites 4 bytes at a position already written; for lengths and checksums. */
void wire_patch_u32(struct wire_writer *w, size_t pos, uint32_t v);
/* Returns 0 and the length used, or -ENOBUFS with *ret_len untouched. */
int wire_writer_end(const struct wire_writer *w, size_t *ret_len);

/* Borrows buf for the life of the reader. */
void wire_reader_init(struct wire_reader *r, const void *buf, size_t len);
uint8_t wire_get_u8(struct wire_reader *r);
uint16_t wire_get_u16(struct wire_reader *r);
uint32_t wire_get_u32(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
/* A byte that must be 0 or 1. */
bool wire_get_bool(struct wire_reader *r);
/* A byte that must be below `max`; for enumerations. */
uint8_t wire_get_enum(struct wire_reader *r, uint8_t max);
void wire_get_raw(struct wire_reader *r, void *p, size_t n);
/* Points into the reader's buffer (borrowed); NULL and 0 after an error. */
const uint8_t *wire_get_bytes(struct wire_reader *r, size_t *ret_len);
/*
 * Copies a string into dst and ends it with NUL. Longer than cap - 1, or with a NUL inside, is an
 * error: one text has one encoding.
 */
void wire_get_str(struct wire_reader *r, char *dst, size_t cap);
/* What is left to read. */
size_t wire_reader_left(const struct wire_reader *r);
/* Marks the input as bad from the caller's own check of a value. */
void wire_reader_fail(struct wire_reader *r);
/* 0 if every get succeeded and nothing is left over, else -EBADMSG. */
int wire_reader_end(const struct wire_reader *r);

#endif
