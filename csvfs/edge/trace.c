/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/must.h"

#define LINE_MAX_BYTES 256
#define EXTENT_MAX     48 /* as text */

static int trace_fd = -1;

void csv_trace_open(void)
{
	const char *path = secure_getenv("CSVFSD_TRACE");

	if (!path || !*path)
		return;
	trace_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (trace_fd < 0)
		dprintf(STDERR_FILENO, "csvfsd: CSVFSD_TRACE: %s: %s -> nothing is traced\n", path,
			strerror(errno));
}

bool csv_trace_is_on(void)
{
	return trace_fd >= 0;
}

/* Who judges must not take a hole for the whole story. */
static void write_line(const char *line, size_t len)
{
	if (write(trace_fd, line, len) == (ssize_t)len)
		return;
	dprintf(STDERR_FILENO, "csvfsd: CSVFSD_TRACE: %s -> nothing is traced any more\n",
		strerror(errno));
	trace_fd = -1;
}

static size_t stamp(char *to, size_t size)
{
	struct timespec t;

	must(!clock_gettime(CLOCK_BOOTTIME, &t));
	return (size_t)snprintf(to, size, "%" PRIu64 " ",
				(uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec);
}

void csv_trace(const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	size_t n;
	va_list args;

	if (trace_fd < 0)
		return;
	n = stamp(line, sizeof(line));
	va_start(args, format);
	n += (size_t)vsnprintf(line + n, sizeof(line) - n, format, args);
	va_end(args);
	must(n < sizeof(line) - 1);
	line[n++] = '\n';
	write_line(line, n);
}

void csv_trace_map(const struct csv_handle *h, const struct csv_bytes *extents)
{
	size_t count = extents->len / CSV_EXTENT_BYTES, n;
	size_t size = LINE_MAX_BYTES + count * EXTENT_MAX;
	char *line;

	if (trace_fd < 0)
		return;
	line = malloc(size);
	must(line);
	n = stamp(line, size);
	n += (size_t)snprintf(line + n, size - n, "map %" PRIu64 ".%" PRIu32, h->ino, h->gen);
	for (size_t i = 0; i < count; i++) {
		struct csv_extent e;

		must(csv_extent_get(extents, i, &e));
		n += (size_t)snprintf(line + n, size - n, " %" PRIu64 "+%" PRIu64, e.address,
				      e.length);
	}
	line[n++] = '\n';
	write_line(line, n);
	free(line);
}

static void trace_id(const char *event, const struct grant_state *s, const struct grant_event *e,
		     const struct csv_grant_id *id, enum csv_grant_mode mode)
{
	static const char *const name[] = {"none", "read", "write", "sole"};

	csv_trace("%s %" PRIu64 " %016" PRIx64 " %" PRIu64 ".%" PRIu32 " %" PRIu64 ".%" PRIu64
		  " %s",
		  event, s->term, e->mount, e->handle.ino, e->handle.gen, id->term, id->serial,
		  name[mode]);
}

void csv_trace_grant(const struct grant_state *s, const struct grant_event *e,
		     const struct grant_actions *actions)
{
	const struct grant_action *a = &actions->item[0];

	if (trace_fd < 0)
		return;
	switch (e->type) {
	case GRANT_EV_ISSUE:
		if (actions->count == 1 && a->kind == GRANT_DO_ISSUED)
			trace_id("issue", s, e, &a->id, a->mode);
		break;
	case GRANT_EV_RECLAIM:
		trace_id("reclaim", s, e, &e->id, e->mode);
		break;
	case GRANT_EV_DONE:
		trace_id("done", s, e, &e->id, CSV_GRANT_NONE);
		break;
	case GRANT_EV_OPEN:
		csv_trace("open %" PRIu64, s->term);
		break;
	case GRANT_EV_GONE:
	case GRANT_EV_REPLACED: /* its process has, and what it had */
	case GRANT_EV_FORGET:
		csv_trace("gone %" PRIu64 " %016" PRIx64, s->term, e->mount);
		break;
	default:
		break;
	}
}
