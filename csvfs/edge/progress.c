/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define STEP_BYTES (UINT64_C(64) << 20) /* between two lines */

static volatile sig_atomic_t is_interrupted;
static int lines_fd = -1;
static uint64_t said;

static void on_signal(int number)
{
	(void)number;
	is_interrupted = 1;
}

/* Without SA_RESTART: a wait ends, so that the loop around it looks. */
void progress_begin(int fd)
{
	const struct sigaction action = {.sa_handler = on_signal};
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
	lines_fd = fd;
	said = 0;
}

bool progress_is_interrupted(void)
{
	return is_interrupted;
}

void progress_say(uint64_t at, uint64_t size)
{
	if (at < size && at - said < STEP_BYTES)
		return;
	said = at;
	if (lines_fd >= 0)
		dprintf(lines_fd, "%" PRIu64 " %" PRIu64 "\n", at, size);
	else if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " MiB%s", at >> 20, size >> 20,
			at < size ? "" : "\n");
}
