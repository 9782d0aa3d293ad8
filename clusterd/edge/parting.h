/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A history that has come and is to replace ours: where the two part, what of ours is kept, that
 * nothing runs any more that ours alone has ordered, and that the cluster hears of it.
 *
 * Loop thread only.
 */
#ifndef CLUSTERD_EDGE_PARTING_H
#define CLUSTERD_EDGE_PARTING_H

#include "clusterd/edge/engine.h"

/*
 * Looks at what was pulled (engine.installed): fills engine.saving and engine.replaces_all. False:
 * what we applied is not in it, so what runs here has to end first (parting_may_install()).
 */
bool parting_look(struct engine *e);
/* Ends what runs here, from call to call; true when it is over. */
bool parting_may_install(struct engine *e);
/* Tells the cluster of the file, once this node is in. */
void parting_tell(struct engine *e);

#endif
