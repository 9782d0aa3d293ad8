/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What both roles of csvfsd need of the process and of the clock. */
#ifndef CSVFS_EDGE_PROCESS_H
#define CSVFS_EDGE_PROCESS_H

#include <stdint.h>

/* CLOCK_BOOTTIME in ms: it goes on while the machine sleeps, as leases do. */
uint64_t csv_now_ms(void);
/*
 * A server of the file system on which its own memory may be written must not wait for itself:
 * memory locked, reclaim without I/O (PR_SET_IO_FLUSHER), last to be killed for memory. What cannot
 * be had is logged as a warning.
 */
void csv_process_harden(void);

#endif
