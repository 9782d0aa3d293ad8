/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/mountinfo.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/cleanup.h"

#define MOUNTINFO "/proc/self/mountinfo"

/* The kernel writes space, tab, newline and backslash as \ and three octal digits. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

bool mountinfo_next(FILE *f, struct mountinfo *ret)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, f) > 0) {
		const char *rest = strstr(line, " - ");

		if (!rest || sscanf(line, "%*s %*s %*s %*s %4095s", ret->at) != 1 ||
		    sscanf(rest, " - %63s %255s", ret->type, ret->source) != 2)
			continue;
		unescape(ret->at);
		unescape(ret->source);
		return true;
	}
	return false;
}

bool mountinfo_at(const char *path, struct mountinfo *ret)
{
	_cleanup_fclose_ FILE *f = fopen(MOUNTINFO, "re");
	struct mountinfo m;
	bool found = false;

	while (f && mountinfo_next(f, &m)) {
		if (strcmp(m.at, path) != 0)
			continue;
		*ret = m;
		found = true;
	}
	return found;
}

/* The n-th of that type, from 1. */
static bool find_type(const char *type, size_t n, struct mountinfo *ret)
{
	_cleanup_fclose_ FILE *f = fopen(MOUNTINFO, "re");

	while (f && mountinfo_next(f, ret)) {
		if (!strcmp(ret->type, type) && !--n)
			return true;
	}
	return false;
}

void mountinfo_detach(const char *type)
{
	struct mountinfo m;
	size_t n = 0;

	while (find_type(type, n + 1, &m))
		n++;
	/* Read anew for each: a list that is read while it changes may miss some. */
	for (; n; n--) {
		if (find_type(type, n, &m))
			(void)umount2(m.at, MNT_DETACH | UMOUNT_NOFOLLOW);
	}
}
