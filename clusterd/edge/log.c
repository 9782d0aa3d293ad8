/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/log.h"

#include <stdbool.h>

void log_open(const char *name, bool to_stderr, int level)
{
	qb_log_init(name, LOG_DAEMON, (uint8_t)level);
	qb_log_format_set(QB_LOG_STDERR, "%T %p %b");
	qb_log_filter_ctl(QB_LOG_STDERR, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*",
			  (uint8_t)level);
	qb_log_ctl(QB_LOG_STDERR, QB_LOG_CONF_ENABLED, to_stderr);
	qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, !to_stderr);
}

void log_close(void)
{
	qb_log_fini();
}
