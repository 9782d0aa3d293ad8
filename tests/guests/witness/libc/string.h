/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the C library's header: of it, lib/ needs only this. Defined in ../libc.c. */
#ifndef TESTS_GUESTS_WITNESS_LIBC_STRING_H
#define TESTS_GUESTS_WITNESS_LIBC_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *p, int byte, size_t n);
size_t strlen(const char *s);

#endif
