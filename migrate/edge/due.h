/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One deadline on a libqb loop, by CLOCK_BOOTTIME: it goes on while the machine sleeps, as leases
 * do. A timerfd and not libqb's timers, which know CLOCK_MONOTONIC only.
 */
#ifndef MIGRATE_EDGE_DUE_H
#define MIGRATE_EDGE_DUE_H

#include <qb/qbloop.h>
#include <stdint.h>

#define DUE_NEVER UINT64_MAX

struct due;

/* CLOCK_BOOTTIME in milliseconds. */
uint64_t due_now_ms(void);
/* 0 and owned, or -errno. `fn` is called from the loop each time a set time has passed. */
int due_open(qb_loop_t *loop, void (*fn)(void *arg), void *arg, struct due **ret);
/* Calls once at that time, also one that has passed (never from inside); DUE_NEVER: not at all. */
void due_at(struct due *d, uint64_t at_ms);
/* Takes NULL, returns NULL. */
struct due *due_close(struct due *d);

#endif
