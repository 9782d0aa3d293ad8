/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/witness/console.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/guests/witness/machine.h"

#define COM1	    0x3f8
#define COM1_LINE   (COM1 + 3)
#define COM1_STATUS (COM1 + 5)
#define CAN_SEND    0x20
#define SEND_POLLS  1000000

static struct {
	uint64_t incarnation;
	uint64_t number;
	bool is_stalled; /* the last line was not taken */
	size_t len;
	char text[240];
} console;

void console_init(void)
{
	out8(COM1 + 1, 0);
	out8(COM1_LINE, 0x80);
	out8(COM1, 1); /* 115200 baud */
	out8(COM1 + 1, 0);
	out8(COM1_LINE, 3); /* 8N1 */
	out8(COM1 + 2, 7);  /* FIFOs, empty */
	out8(COM1 + 4, 3);
}

void console_incarnation(uint64_t incarnation)
{
	console.incarnation = incarnation;
}

static void put(char c)
{
	if (console.len < sizeof(console.text))
		console.text[console.len++] = c;
}

static void put_text(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_hex(uint64_t v, unsigned digits)
{
	while (digits-- > 0)
		put("0123456789abcdef"[(v >> (4 * digits)) & 15]);
}

/* Divides by 10 in steps of 16 bits: there is no libgcc for a division of 64 bits. */
static uint64_t divide_by_10(uint64_t v, unsigned *ret_rest)
{
	uint64_t quotient = 0;
	uint32_t rest = 0;

	for (int shift = 48; shift >= 0; shift -= 16) {
		uint32_t part = rest << 16 | (uint32_t)(v >> shift & 0xffff);

		quotient |= (uint64_t)(part / 10) << shift;
		rest = part % 10;
	}
	*ret_rest = rest;
	return quotient;
}

static void put_decimal(uint64_t v)
{
	char digits[20];
	size_t n = 0;

	do {
		unsigned rest;

		v = divide_by_10(v, &rest);
		digits[n++] = (char)('0' + rest);
	} while (v);
	while (n > 0)
		put(digits[--n]);
}

static bool starts_with(const char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return false;
	return true;
}

static void put_formatted(const char *format, va_list args)
{
	while (*format) {
		if (starts_with(format, "%s")) {
			put_text(va_arg(args, const char *));
			format += 2;
		} else if (starts_with(format, "%u")) {
			put_decimal(va_arg(args, unsigned));
			format += 2;
		} else if (starts_with(format, "%llu")) {
			put_decimal(va_arg(args, unsigned long long));
			format += 4;
		} else if (starts_with(format, "%08x")) {
			put_hex(va_arg(args, unsigned), 8);
			format += 4;
		} else if (starts_with(format, "%016llx")) {
			put_hex(va_arg(args, unsigned long long), 16);
			format += 7;
		} else {
			put(*format++);
		}
	}
}

/* A console that nobody reads must not hold up the stamps: it is waited for once, not each time. */
static bool wait_ready(void)
{
	for (unsigned n = console.is_stalled ? 1 : SEND_POLLS; n > 0; n--)
		if (in8(COM1_STATUS) & CAN_SEND)
			return true;
	return false;
}

static void send(void)
{
	for (size_t i = 0; i < console.len; i++) {
		if (!wait_ready()) {
			console.is_stalled = true;
			return;
		}
		out8(COM1, (uint8_t)console.text[i]);
	}
	console.is_stalled = false;
}

void console_line(const char *format, ...)
{
	va_list args;

	console.len = 0;
	va_start(args, format);
	put_formatted(format, args);
	va_end(args);
	put_text(" [");
	put_hex(console.incarnation, 16);
	put('.');
	put_decimal(++console.number);
	put_text("]\r\n");
	send();
}
