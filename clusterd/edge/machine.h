/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this machine has, memory and cores, told to the cluster when the node is admitted and
 * whenever it is something else than the database says (clusterd/core/capacity.h). It is looked at
 * when clusterd starts.
 *
 * Loop thread only; nothing here waits.
 */
#ifndef CLUSTERD_EDGE_MACHINE_H
#define CLUSTERD_EDGE_MACHINE_H

#include "clusterd/edge/engine.h"

struct machine;

/* 0 or -ENOMEM. */
int machine_open(struct engine *e, struct machine **ret);
/* Takes NULL. After engine_close(), which ends the request. */
void machine_close(struct machine *m);
/* The engine has changed. */
void machine_changed(struct machine *m);

#endif
