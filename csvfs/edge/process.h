/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a csvfsd does to itself, whatever its role. */
#ifndef CSVFS_EDGE_PROCESS_H
#define CSVFS_EDGE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "csvfs/edge/clock.h"

/*
 * Before there are threads. True in the parent, which has waited until the child called
 * process_ready() (*ret_status is 0) or ended. False in the child; *ret_ready is for
 * process_ready().
 */
bool process_fork(int *ret_ready, int *ret_status);
/* The daemon is on its own: session, folder and descriptors. stderr stays if logs go there. */
void process_ready(int ready, bool to_syslog);
/*
 * One process of this volume and role on this node: a lock beside `socket`, for the life of the
 * descriptor that is returned, or -1: all is said.
 */
int process_lock(const char *socket, const char *uuid, const char *role);
/*
 * What writes pages back must not wait for a page to be written back, nor be killed for memory:
 * memory is locked, allocations do no I/O (PR_SET_IO_FLUSHER: prctl(2)), the OOM killer looks
 * elsewhere, threads have small stacks. Each that fails is a warning. Before there are threads.
 */
void process_harden(void);
/* An error at start, to stderr. error: 0 or -errno. Returns -1. */
int process_complain(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
