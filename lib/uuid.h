/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UUIDs between 16 bytes and text, 8-4-4-4-12 lower-case hexadecimal digits (RFC 4122). Pure. */
#ifndef LIB_UUID_H
#define LIB_UUID_H

#include <stdbool.h>
#include <stdint.h>

#define UUID_BYTES 16
#define UUID_TEXT  37 /* with the NUL */

/*
 * Upper-case digits are taken, too. False: not a UUID, and ret is untouched. Hidden from shared
 * libraries: libuuid has a function of this name, which answers 0 for yes, and libfdisk means that.
 */
__attribute__((visibility("hidden"))) bool uuid_parse(const char *text, uint8_t ret[UUID_BYTES]);
void uuid_text(const uint8_t uuid[UUID_BYTES], char ret[UUID_TEXT]);

#endif
