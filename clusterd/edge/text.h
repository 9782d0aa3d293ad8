/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small conversions between values and the text that people and JSON see. */
#ifndef CLUSTERD_EDGE_TEXT_H
#define CLUSTERD_EDGE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* 36 characters and NUL: 8-4-4-4-12 (RFC 4122). */
void text_uuid(const uint8_t *uuid, char *ret);
/* RFC 3339, UTC, with milliseconds; "-" for 0. */
void text_time(uint64_t wall_ms, char *ret, size_t size);
/* The same the other way, with or without parts of a second. 0, or -EINVAL for what is none. */
int text_parse_time(const char *text, uint64_t *ret_wall_ms);

#endif
