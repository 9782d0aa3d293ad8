/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this csvfsd gives away and takes back, for whoever judges the I/O on the LUN: a line per
 * event, at the end of the file that CSVFSD_TRACE names (csvfsd(8)). Without it nothing is done.
 * The file must not lie on the volume.
 *
 *   NANOSECONDS EVENT WORD...       of CLOCK_BOOTTIME
 *
 * A line is there before what it tells of takes effect for anybody else, but for `done`, `gone` and
 * `end`, which come after it.
 */
#ifndef CSVFS_EDGE_TRACE_H
#define CSVFS_EDGE_TRACE_H

#include <stdbool.h>

#include "csvfs/core/grant.h"

/* Before the first thread. A file that cannot be opened, or written later, is told on stderr. */
void csv_trace_open(void);
bool csv_trace_is_on(void);
/* One line, in one write(2). Any thread. */
void csv_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `map`: the extents that the next `issue` of this inode gives away. */
void csv_trace_map(const struct csv_handle *h, const struct csv_bytes *extents);
/* What the book of grants was told, and what came of it. */
void csv_trace_grant(const struct grant_state *s, const struct grant_event *e,
		     const struct grant_actions *actions);

#endif
