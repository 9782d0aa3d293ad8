/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fences in a window of time (C7): so many may begin within it, whoever is the sequencer. When they
 * began stands in the database, and db_apply() refuses one more; a node whose fence has to wait is
 * lost and not being fenced, so it may still come back. A fence that an administrator asks for
 * counts and does not wait. How many ladders are at work at a time is not its matter
 * (fence/core/fence_cap.h).
 */
#ifndef CLUSTERD_CORE_FENCE_WINDOW_H
#define CLUSTERD_CORE_FENCE_WINDOW_H

#include "clusterd/core/db.h"

/* How long until one more may begin, by the time that commands bear; 0: now. */
uint64_t fence_window_wait_ms(const struct db *db, uint64_t wall_ms);
/* One begins. */
void fence_window_take(struct db *db, uint64_t wall_ms);

#endif
