/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define STEP_BYTES (UINT64_C(64) << 20) /* between two lines */

static volatile sig_atomic_t is_interrupted;
static int lines_fd = -1;
static bool lines_in_file;
static uint64_t said, part_before, part_whole;

static void on_signal(int number)
{
	(void)number;
	is_interrupted = 1;
}

/* Without SA_RESTART: a wait ends, so that the loop around it looks. */
void progress_begin(int fd, bool is_file)
{
	const struct sigaction action = {.sa_handler = on_signal};
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
	lines_fd = fd;
	lines_in_file = is_file;
	said = 0;
}

void progress_part(uint64_t before, uint64_t whole)
{
	part_before = before;
	part_whole = whole;
}

bool progress_is_interrupted(void)
{
	return is_interrupted;
}

void progress_say(uint64_t at, uint64_t size)
{
	char line[PROGRESS_LINE + 1];

	if (part_whole) {
		at += part_before;
		size = part_whole;
	}
	if (at < size && at - said < STEP_BYTES)
		return;
	said = at;
	snprintf(line, sizeof(line), "%020" PRIu64 " %020" PRIu64 "\n", at, size);
	/* Who reads it finds an old one, should it fail. */
	if (lines_in_file && pwrite(lines_fd, line, PROGRESS_LINE, 0) != PROGRESS_LINE)
		said = 0;
	else if (lines_in_file)
		return;
	else if (lines_fd >= 0)
		dprintf(lines_fd, "%" PRIu64 " %" PRIu64 "\n", at, size);
	else if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " MiB%s", at >> 20, size >> 20,
			at < size ? "" : "\n");
}
