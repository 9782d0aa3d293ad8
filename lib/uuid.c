/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/uuid.h"

#include <string.h>

static bool is_dash(int i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool uuid_parse(const char *text, uint8_t ret[UUID_BYTES])
{
	uint8_t uuid[UUID_BYTES] = {0};
	int digits = 0;

	if (strnlen(text, UUID_TEXT) != UUID_TEXT - 1)
		return false;
	for (int i = 0; i < UUID_TEXT - 1; i++) {
		if (is_dash(i) ? text[i] != '-' : digit(text[i]) < 0)
			return false;
		if (is_dash(i))
			continue;
		uuid[digits / 2] = (uint8_t)(uuid[digits / 2] << 4 | digit(text[i]));
		digits++;
	}
	memcpy(ret, uuid, sizeof(uuid));
	return true;
}

void uuid_text(const uint8_t uuid[UUID_BYTES], char ret[UUID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	int at = 0;

	for (int i = 0; i < UUID_BYTES; i++) {
		if (is_dash(at))
			ret[at++] = '-';
		ret[at++] = digits[uuid[i] >> 4];
		ret[at++] = digits[uuid[i] & 15];
	}
	ret[at] = 0;
}
