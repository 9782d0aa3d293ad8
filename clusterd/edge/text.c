/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/text.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

void text_uuid(const uint8_t *u, char *ret)
{
	snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
		 u[13], u[14], u[15]);
}

void text_time(uint64_t wall_ms, char *ret, size_t size)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	char day[32];

	if (!wall_ms || !gmtime_r(&seconds, &tm)) {
		snprintf(ret, size, "-");
		return;
	}
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret, size, "%s.%03uZ", day, (unsigned int)(wall_ms % 1000));
}

int text_parse_time(const char *text, uint64_t *ret_wall_ms)
{
	struct tm tm = {0}, again;
	const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint64_t ms = 0, unit = 100;
	time_t seconds;

	if (!at)
		return -EINVAL;
	if (*at == '.') {
		for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10)
			ms += (uint64_t)(*at - '0') * unit;
	}
	again = tm;
	seconds = timegm(&again);
	/* 31 April: timegm() would call it 1 May. */
	if ((*at != 'Z' && *at != 'z') || at[1] || seconds < 0 || again.tm_mday != tm.tm_mday)
		return -EINVAL;
	*ret_wall_ms = (uint64_t)seconds * 1000 + ms;
	return 0;
}
