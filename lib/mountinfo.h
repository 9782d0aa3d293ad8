/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is mounted, by the kernel's list: /proc/self/mountinfo, proc(5). It is read instead of
 * asking the paths themselves: a file system whose server is dead or stopped may hang who asks.
 */
#ifndef LIB_MOUNTINFO_H
#define LIB_MOUNTINFO_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

struct mountinfo {
	char at[PATH_MAX]; /* the mount point, as it is: not "\040" for a space */
	char type[64];
	char source[256];
};

/* The next entry; false at the end. A line that is none is passed over. */
bool mountinfo_next(FILE *f, struct mountinfo *ret);
/* Of the last one mounted at `path`; false if nothing is. */
bool mountinfo_at(const char *path, struct mountinfo *ret);
/* Takes away (MNT_DETACH) all mounts of that type in this mount namespace, the newest first. */
void mountinfo_detach(const char *type);

#endif
