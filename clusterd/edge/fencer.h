/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fencer: on the sequencer, a ladder (fence/core/ladder.h) for each node that is lost, its
 * programs run, its proof turned into the command that frees what the node held. Before anything
 * is sent the database knows that the fence has begun, so that the incarnation cannot come back.
 * Another node that becomes the sequencer begins the ladder anew; devices bear being asked twice.
 *
 * A node that finds its own incarnation in the database as fenced ends at once.
 *
 * Loop thread only.
 */
#ifndef CLUSTERD_EDGE_FENCER_H
#define CLUSTERD_EDGE_FENCER_H

#include "clusterd/edge/engine.h"

struct fencer;

int fencer_open(struct engine *e, struct fencer **ret);
void fencer_close(struct fencer *f);
/* The engine has changed. */
void fencer_changed(struct fencer *f);

#endif
