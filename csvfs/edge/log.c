/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024

static struct {
	const char *name;
	bool to_syslog;
	int level;
} sink = {.name = "csvfsd", .level = LOG_NOTICE};

void csv_log_open(const char *name, bool to_syslog, int level)
{
	sink.name = name;
	sink.to_syslog = to_syslog;
	sink.level = level;
	if (to_syslog)
		openlog(name, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

/* The time of day, as clusterd's lines have it, with milliseconds. */
static const char *stamp(char *to, size_t size)
{
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	n = localtime_r(&now.tv_sec, &tm) ? strftime(to, size, "%b %d %H:%M:%S", &tm) : 0;
	snprintf(to + n, size - n, ".%03d", (int)(now.tv_nsec / 1000000));
	return to;
}

void csv_log(int level, const char *format, ...)
{
	char line[LOG_LINE_MAX], text[LOG_LINE_MAX], when[32];
	va_list args;
	int n;

	if (level > sink.level)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	}
	if (sink.to_syslog) {
		syslog(level, "%s", text);
		return;
	}
	n = snprintf(line, sizeof(line), "%s %s: %s\n", stamp(when, sizeof(when)), sink.name, text);
	if (n >= (int)sizeof(line)) {
		n = sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	/* One write(2), so that lines of threads do not mix. Where to, if that fails? */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}
