/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines on COM1. Each ends with [incarnation.number], so that the order of lines is known, and a
 * line that is cut in two by a migration is not taken for a whole one.
 */
#ifndef TESTS_GUESTS_WITNESS_CONSOLE_H
#define TESTS_GUESTS_WITNESS_CONSOLE_H

#include <stdint.h>

void console_init(void);
void console_incarnation(uint64_t incarnation);
/* Knows %s, %u, %llu, %08x and %016llx. A line goes out as a whole or, if nobody takes it, not. */
void console_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
