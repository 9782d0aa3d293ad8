/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * must(): a broken invariant. The process cannot trust its own state any more, so it says what was
 * broken and aborts; the watchdog and the other nodes do the rest. Kept in release builds. Never
 * for bad input (that is a refusal) nor for a fault of the world (that is an error code).
 */
#ifndef LIB_MUST_H
#define LIB_MUST_H

#define must(cond)                                                                                 \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			must_fail(#cond, __FILE__, __LINE__, __func__);                            \
	} while (0)

#define MUST_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Writes one line to stderr (async-signal-safe) and aborts. Any thread. */
_Noreturn void must_fail(const char *cond, const char *file, int line, const char *func);

#endif
