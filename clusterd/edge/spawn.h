/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starts daemons of this node that outlive this one: csvfsd, vm-host. Loop thread only. */
#ifndef CLUSTERD_EDGE_SPAWN_H
#define CLUSTERD_EDGE_SPAWN_H

#include <sys/types.h>

/*
 * A child in a session and control group (`group`, beside ours) of its own: neither our end nor
 * that of our service is its end. It keeps nothing of ours but standard error, where it logs when
 * we run in the foreground. 0 and its process id, to be waited for; -errno.
 */
int spawn_apart(const char *const *argv, const char *group, pid_t *ret_pid);

#endif
