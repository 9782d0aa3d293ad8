/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines of csvfsd: to stderr, or to syslog. Never to a file: that could lie on the volume
 * itself. Levels as in clusterd: error: a person must act; warning: degraded, we go on; notice:
 * what happened to the mount and its connection; info and debug.
 */
#ifndef CSVFS_EDGE_LOG_H
#define CSVFS_EDGE_LOG_H

#include <stdbool.h>
#include <syslog.h>

/* Before the first thread. `name` (borrowed for ever) stands in front of each line. */
void csv_log_open(const char *name, bool to_syslog, int level);
/* One line. Any thread. */
void csv_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)	 csv_log(LOG_ERR, __VA_ARGS__)
#define log_warning(...) csv_log(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)	 csv_log(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	 csv_log(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	 csv_log(LOG_DEBUG, __VA_ARGS__)

#endif
