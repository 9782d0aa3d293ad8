/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logging through libqb, as main.c has set it up: to stderr with --foreground, else to syslog. A
 * line says what happened, then what is done about it.
 */
#ifndef MIGRATE_EDGE_LOG_H
#define MIGRATE_EDGE_LOG_H

#include <qb/qblog.h>

#define log_error(...)	 qb_log(LOG_ERR, __VA_ARGS__)
#define log_warning(...) qb_log(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)	 qb_log(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	 qb_log(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	 qb_log(LOG_DEBUG, __VA_ARGS__)

#endif
