/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: whatever the decoders of clusterd/core/msg.h accept re-encodes to the same bytes.
 * The input is taken as a whole message, then as type and body under a true header (the checksum
 * would keep the fuzzer out), as a member table and as a row of it.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... fuzz_msg.c; see replay_main.c for gcc
 */
#include <string.h>

#include "clusterd/core/msg.h"
#include "lib/crc32c.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "tests/fuzz/fuzz.h"

static void check_message(const uint8_t *data, size_t len)
{
	static uint8_t again[CL_MSG_MAX];
	static struct cl_msg msg;
	size_t again_len = 0;

	if (cl_msg_decode(data, len, &msg))
		return;
	must(!cl_msg_encode(&msg, again, sizeof(again), &again_len));
	must(again_len == len && !memcmp(again, data, len));
	must(*cl_msg_name(msg.type) != '?');
}

/* First byte: the type. The rest: the body. */
static void check_body(const uint8_t *data, size_t len)
{
	static uint8_t buf[CL_MSG_MAX];
	struct wire_writer w;

	if (!len || len > sizeof(buf) - CL_MSG_HEADER_BYTES)
		return;
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u32(&w, CL_MSG_MAGIC);
	wire_put_u16(&w, CL_PROTOCOL_MAX);
	wire_put_u16(&w, data[0]);
	wire_put_u32(&w, (uint32_t)(len - 1));
	wire_put_u32(&w, crc32c(0, data + 1, len - 1));
	wire_put_raw(&w, data + 1, len - 1);
	must(!w.error);
	check_message(buf, w.pos);
}

static void check_table(const uint8_t *data, size_t len)
{
	static struct cl_table table;
	uint8_t again[2048];
	struct wire_reader r;
	struct wire_writer w;

	wire_reader_init(&r, data, len);
	cl_table_get(&r, &table);
	if (wire_reader_end(&r))
		return;
	wire_writer_init(&w, again, sizeof(again));
	cl_table_put(&w, &table);
	must(!w.error && w.pos == len && !memcmp(again, data, len));
}

static void check_row(const uint8_t *data, size_t len)
{
	uint8_t again[CL_ROW_MAX], slot;
	struct cl_member row;
	size_t again_len = 0;

	if (cl_row_decode((struct cl_blob){data, len}, &slot, &row))
		return;
	must(!cl_row_encode(slot, &row, again, sizeof(again), &again_len));
	must(again_len == len && !memcmp(again, data, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check_message(data, len);
	check_body(data, len);
	check_table(data, len);
	check_row(data, len);
	return 0;
}
