/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78; RFC 3720 appendix B.4 has test vectors). */
#ifndef LIB_CRC32C_H
#define LIB_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues from `crc` (0 to start). Any thread, no allocation. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
