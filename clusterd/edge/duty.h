/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the sequencer owes the cluster after each change: admit who came, declare lost who went,
 * change votes (voting.h), and order what the planner wants. Each duty becomes a command like
 * any other; the next run waits until those under way are applied.
 */
#ifndef CLUSTERD_EDGE_DUTY_H
#define CLUSTERD_EDGE_DUTY_H

#include "clusterd/edge/engine.h"

void duty_run(struct engine *e);
/* engine.c: an entry of any kind. */
int engine_submit(struct engine *e, uint8_t kind, const void *payload, size_t len,
		  uint64_t timeout_ms, bool is_duty, engine_done done, void *arg);

#endif
