/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time, and waiting with an end. Any thread. */
#ifndef CSVFS_EDGE_CLOCK_H
#define CSVFS_EDGE_CLOCK_H

#include <pthread.h>
#include <stdint.h>

/* CLOCK_BOOTTIME: goes on while the machine sleeps, as leases do. */
uint64_t csv_now_ms(void);
/* CLOCK_MONOTONIC: that of conditions. */
uint64_t csv_monotonic_ms(void);
/* A condition by that clock, for the next two. */
void csv_cond_init(pthread_cond_t *cond);
/* When it will be so many ms later. */
struct timespec csv_after_ms(uint64_t ms);
/* As pthread_cond_timedwait(): 0 or ETIMEDOUT. */
int csv_cond_wait_ms(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ms);

#endif
