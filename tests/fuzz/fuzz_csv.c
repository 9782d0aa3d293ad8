/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: whatever the decoders of csvfs/core/proto.h accept re-encodes to the same bytes.
 * The input is what follows the prefix of a frame; and it is taken as the entries of a folder.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... fuzz_csv.c; see replay_main.c for gcc
 */
#include <string.h>

#include "csvfs/core/proto.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "tests/fuzz/fuzz.h"

static uint8_t again[CSV_FRAME_MAX];

static void check_same(size_t again_len, const uint8_t *data, size_t len)
{
	must(again_len == len + CSV_FRAME_PREFIX);
	must(!memcmp(again + CSV_FRAME_PREFIX, data, len));
}

static void check_frame(const uint8_t *data, size_t len)
{
	struct csv_frame f;
	size_t n = 0;

	if (csv_frame_decode(data, len, &f))
		return;
	must(!csv_frame_encode(&f, again, sizeof(again), &n));
	check_same(n, data, len);
}

static void check_request(const uint8_t *data, size_t len)
{
	static struct csv_request q;
	size_t n = 0;

	if (csv_request_decode(data, len, &q))
		return;
	must(!csv_request_encode(&q, again, sizeof(again), &n));
	check_same(n, data, len);
	must(*csv_op_name(q.op) != '?');
}

static void check_reply(const uint8_t *data, size_t len)
{
	static struct csv_reply p;
	size_t n = 0;

	if (csv_reply_decode(data, len, &p))
		return;
	must(!csv_reply_encode(&p, again, sizeof(again), &n));
	check_same(n, data, len);
}

static void check_entries(const uint8_t *data, size_t len)
{
	struct wire_reader r;

	wire_reader_init(&r, data, len);
	while (wire_reader_left(&r) && !r.error) {
		size_t from = r.pos;
		struct csv_dirent d;
		struct wire_writer w;

		csv_dirent_get(&r, &d);
		if (r.error)
			return;
		wire_writer_init(&w, again, sizeof(again));
		csv_dirent_put(&w, &d);
		must(!w.error && w.pos == r.pos - from && !memcmp(again, data + from, w.pos));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check_frame(data, len);
	check_request(data, len);
	check_reply(data, len);
	check_entries(data, len);
	return 0;
}
