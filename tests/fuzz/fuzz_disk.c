/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: what csvfs reads from a disk. Whatever the decoders of csvfs/core/record.h and
 * csvfs/core/header.h accept re-encodes to the same bytes. The input is taken as the record of a
 * slot; as a block of the control partition; and as type and body of such a block under a true
 * header (the checksum would keep the fuzzer out). What is short is filled with zeros.
 *
 *   make fuzz; see replay_main.c for gcc
 */
#include <errno.h>
#include <string.h>

#include "csvfs/core/header.h"
#include "csvfs/core/record.h"
#include "lib/crc32c.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "tests/fuzz/fuzz.h"

/* As doc/format-lun.md says. */
#define BLOCK_MAGIC 0x52565343u
#define CRC_AT	    12
#define BODY_AT	    16

static void check_record(const uint8_t *data, size_t len)
{
	uint8_t buf[RECORD_BYTES] = {0}, again[RECORD_BYTES];
	struct record r;

	if (len != sizeof(buf))
		must(record_decode(data, len, &r) == -EBADMSG);
	if (len > sizeof(buf))
		return;
	memcpy(buf, data, len);
	if (record_decode(buf, sizeof(buf), &r))
		return;
	must(!record_encode(&r, again));
	must(!memcmp(again, buf, sizeof(buf)));
}

#define CHECK_BLOCK(number, NAME, name)                                                            \
	static void check_##name(const uint8_t *block)                                             \
	{                                                                                          \
		uint8_t again[CSV_RECORD_BYTES];                                                   \
		struct csv_copies copies;                                                          \
		struct csv_##name v;                                                               \
		int r = csv_##name##_pick(block, block, &v, &copies);                              \
                                                                                                   \
		must(copies.result[0] == r && copies.result[1] == r);                              \
		if (r)                                                                             \
			return;                                                                    \
		must(!csv_##name##_encode(&v, again));                                             \
		must(!memcmp(again, block, sizeof(again)));                                        \
	}
CSV_RECORDS(CHECK_BLOCK)
#undef CHECK_BLOCK

static void check_block(const uint8_t *data, size_t len)
{
	uint8_t block[CSV_RECORD_BYTES] = {0};

	memcpy(block, data, len < sizeof(block) ? len : sizeof(block));
	check_header(block);
	check_term(block);
}

/* First byte: the type. The rest: the body. */
static void check_body(const uint8_t *data, size_t len)
{
	uint8_t block[CSV_RECORD_BYTES] = {0};
	struct wire_writer w;
	uint32_t crc;

	if (!len || len - 1 > sizeof(block) - BODY_AT)
		return;
	wire_writer_init(&w, block, sizeof(block));
	wire_put_u32(&w, BLOCK_MAGIC);
	wire_put_u16(&w, CSV_RECORD_VERSION);
	wire_put_u16(&w, data[0]);
	wire_put_u32(&w, (uint32_t)(len - 1));
	wire_put_u32(&w, 0);
	wire_put_raw(&w, data + 1, len - 1);
	crc = crc32c(0, block, CRC_AT);
	wire_patch_u32(&w, CRC_AT, crc32c(crc, block + BODY_AT, sizeof(block) - BODY_AT));
	must(!w.error);
	if (data[0] == CSV_RECORD_HEADER)
		check_header(block);
	else
		check_term(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check_record(data, len);
	check_block(data, len);
	check_body(data, len);
	return 0;
}
