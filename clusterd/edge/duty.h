/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has the core decide what the sequencer owes the cluster (clusterd/core/duty.h), and gives each
 * decision to the cluster as a command like any other.
 */
#ifndef CLUSTERD_EDGE_DUTY_H
#define CLUSTERD_EDGE_DUTY_H

#include "clusterd/edge/engine.h"

void duty_run(struct engine *e);
/* engine.c: an entry of any kind. */
int engine_submit(struct engine *e, uint8_t kind, const void *payload, size_t len,
		  uint64_t timeout_ms, bool is_duty, engine_done done, void *arg);

#endif
