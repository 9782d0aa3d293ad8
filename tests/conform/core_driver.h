/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lock core behind lib/lockspace.h, within one process: no transport, no replication, the bare
 * rules. Sessions are opened by params->session; of a dead one, what it left is released by
 * core_driver_release(). One thread, one loop.
 */
#ifndef TESTS_CONFORM_CORE_DRIVER_H
#define TESTS_CONFORM_CORE_DRIVER_H

#include "lib/lockspace.h"

extern const struct lockspace_ops core_driver_ops;

/* The session's client is dead and its work is over. 0, or as lk_step(). */
int core_driver_release(uint64_t session);
void core_driver_done(void);

#endif
