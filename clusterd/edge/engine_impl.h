/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the engine share, and what the witness asks of it; see engine.h. */
#ifndef CLUSTERD_EDGE_ENGINE_IMPL_H
#define CLUSTERD_EDGE_ENGINE_IMPL_H

#include "clusterd/edge/engine.h"

/* Gives the event to the core and carries its actions out; engine_settle() has to follow. */
int engine_run(struct engine *e, struct repl_event *event);
/* Does what the steps made necessary: requests, duties, the witness. */
void engine_settle(struct engine *e);
void engine_step(struct engine *e, struct repl_event *event);

/* Applies what is committed, up to that entry. */
void engine_apply_until(struct engine *e, uint64_t index);

/* engine_pull.c */
void engine_pull_start(struct engine *e, const struct repl_action *a);
void engine_pulled(void *arg, struct bulk_result *result);
void engine_installed(void *arg, uint64_t end, const struct store_saved *saved);
/* A history has come, and what runs here ends before it takes the place of ours. */
void engine_end_first(struct engine *e);
/*
 * Installs what the witness had for that view (taken over). -ESTALE: it is not wanted any more;
 * -EBUSY: a pull runs; -EBADMSG: it does not join what is applied here.
 */
int engine_adopt(struct engine *e, const struct cl_view_id *view, struct bulk_result *history);

#endif
