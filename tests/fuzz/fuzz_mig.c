/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: whatever mig_message_decode() accepts re-encodes to the same bytes, in a frame of
 * the allowed length. The input is what follows the prefix of a frame.
 *
 *   make fuzz; see replay_main.c for gcc
 */
#include <string.h>

#include "lib/must.h"
#include "migrate/core/mig_proto.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[MIG_FRAME_MAX];
	struct mig_message m, before;
	size_t n = 0;

	memset(&m, 0x5a, sizeof(m));
	memcpy(&before, &m, sizeof(m));
	if (mig_message_decode(data, len, &m)) {
		must(!memcmp(&m, &before, sizeof(m)));
		return 0;
	}
	must(!mig_message_encode(&m, again, sizeof(again), &n));
	must(n == len + MIG_FRAME_PREFIX && !memcmp(again + MIG_FRAME_PREFIX, data, len));
	must(*mig_message_name(m.type) != '?');
	if (m.type == MIG_MESSAGE_ABORT)
		must(*mig_reason_text((enum mig_reason)m.abort.reason) != '?');
	return 0;
}
