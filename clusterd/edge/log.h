/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logging of the daemons through libqb: to stderr with --foreground, else to syslog. A line says
 * what happened, then what is done about it. error: a person must act; warning: degraded, we go
 * on; notice: membership, quorum, fencing, moves; info: commands; debug: everything.
 */
#ifndef CLUSTERD_EDGE_LOG_H
#define CLUSTERD_EDGE_LOG_H

#include <qb/qblog.h>
#include <stdbool.h>

#define log_error(...)	 qb_log(LOG_ERR, __VA_ARGS__)
#define log_warning(...) qb_log(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)	 qb_log(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	 qb_log(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	 qb_log(LOG_DEBUG, __VA_ARGS__)

/* Before the first line. */
void log_open(const char *name, bool to_stderr, int level);
void log_close(void);

#endif
