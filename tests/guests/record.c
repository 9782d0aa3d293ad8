/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/record.h"

#include <string.h>

#include "lib/crc32c.h"
#include "lib/wire.h"

#define CRC_AT	  8
#define CRC_START 12

static const char magic[8] = {'W', 'I', 'T', 'N', 'E', 'S', 'S', '1'};

/* The rest of the block differs from stamp to stamp, so that a torn write is seen. */
static void fill_body(const struct record *r, struct wire_writer *w)
{
	uint32_t word = (uint32_t)record_mix(r->incarnation, r->sequence);

	while (w->cap - w->pos >= sizeof(word)) {
		wire_put_u32(w, word);
		word += 0x9e3779b9;
	}
}

void record_encode(const struct record *r, uint8_t block[RECORD_BYTES])
{
	struct wire_writer w;

	wire_writer_init(&w, block, RECORD_BYTES);
	wire_put_raw(&w, magic, sizeof(magic));
	wire_put_u32(&w, 0);
#define RECORD_PUT(type, name, put) wire_put_##put(&w, r->name);
	RECORD_FIELDS(RECORD_PUT)
#undef RECORD_PUT
	wire_put_raw(&w, r->vm, sizeof(r->vm));
	fill_body(r, &w);
	wire_patch_u32(&w, CRC_AT, crc32c(0, block + CRC_START, RECORD_BYTES - CRC_START));
}

static bool is_zero(const uint8_t block[RECORD_BYTES])
{
	for (size_t i = 0; i < RECORD_BYTES; i++)
		if (block[i])
			return false;
	return true;
}

enum record_kind record_decode(const uint8_t block[RECORD_BYTES], struct record *ret)
{
	struct record r = {0};
	struct wire_reader reader;
	char found[sizeof(magic)];
	uint32_t crc;

	wire_reader_init(&reader, block, RECORD_BYTES);
	wire_get_raw(&reader, found, sizeof(found));
	if (memcmp(found, magic, sizeof(magic)) != 0)
		return is_zero(block) ? RECORD_EMPTY : RECORD_BROKEN;
	crc = wire_get_u32(&reader);
	if (crc != crc32c(0, block + CRC_START, RECORD_BYTES - CRC_START))
		return RECORD_BROKEN;
#define RECORD_GET(type, name, put) r.name = wire_get_##put(&reader);
	RECORD_FIELDS(RECORD_GET)
#undef RECORD_GET
	wire_get_raw(&reader, r.vm, sizeof(r.vm));
	r.vm[sizeof(r.vm) - 1] = 0;
	*ret = r;
	return RECORD_WHOLE;
}

uint64_t record_mix(uint64_t seed, uint64_t value)
{
	uint64_t x = seed + value + 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

void record_name(struct record *r, const char *vm)
{
	memset(r->vm, 0, sizeof(r->vm));
	for (size_t i = 0; i + 1 < sizeof(r->vm) && vm[i]; i++)
		r->vm[i] = vm[i];
}
