/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void must_fail(const char *cond, const char *file, int line, const char *func)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "broken invariant: %s (%s:%d, %s)\n", cond, file, line,
			 func);

	if (n > 0) {
		size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;

		if (write(STDERR_FILENO, text, len) < 0)
			abort();
	}
	abort();
}
