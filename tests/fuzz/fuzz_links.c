/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: whatever the decoders of lib/csv_link.h and lib/vm_link.h accept re-encodes to the
 * same bytes, and what they refuse leaves the result untouched. The first byte chooses the link:
 * even csv, odd vm.
 *
 *   make fuzz; see replay_main.c for gcc
 */
#include <string.h>

#include "lib/csv_link.h"
#include "lib/must.h"
#include "lib/vm_link.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(prefix, MAX)                                                                         \
	static void check_##prefix(const uint8_t *data, size_t len)                                \
	{                                                                                          \
		struct prefix##_message m, before;                                                 \
		uint8_t again[MAX];                                                                \
		size_t n = 0;                                                                      \
                                                                                                   \
		memset(&m, 0x5a, sizeof(m));                                                       \
		memcpy(&before, &m, sizeof(m));                                                    \
		if (prefix##_decode(data, len, &m)) {                                              \
			must(!memcmp(&m, &before, sizeof(m)));                                     \
			return;                                                                    \
		}                                                                                  \
		must(!prefix##_encode(&m, again, sizeof(again), &n));                              \
		must(n == len && !memcmp(again, data, len));                                       \
	}
CHECK(csv_link, CSV_LINK_MAX)
CHECK(vm_link, VM_LINK_MAX)
#undef CHECK

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	if (data[0] % 2)
		check_vm_link(data + 1, len - 1);
	else
		check_csv_link(data + 1, len - 1);
	return 0;
}
