/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * corosync.conf of this node: keeps its list of nodes as the applied database says, tells the
 * cluster which version is on disk and which one corosync runs with, and, where the sequencer's
 * duties say so (clusterd/core/member.h), has all corosyncs read theirs again.
 *
 * Loop thread only; it writes and syncs a small file on /etc there, when the list changes.
 */
#ifndef CLUSTERD_EDGE_CONF_H
#define CLUSTERD_EDGE_CONF_H

#include "clusterd/core/corosync_conf.h"
#include "clusterd/edge/engine.h"

struct conf;

/* `path` is borrowed until conf_close(). 0 or -ENOMEM. */
int conf_open(struct engine *e, const char *path, struct conf **ret);
/* Takes NULL. */
void conf_close(struct conf *c);
/* The engine has changed. */
void conf_changed(struct conf *c);
/* What the file says of nodes; NULL if it cannot be read (why was logged). Until the next call. */
const struct corosync_nodes *conf_local(struct conf *c);
/* All corosyncs read their files again; at most once in a while, the result shows in what the
 * nodes report. */
void conf_reload(struct conf *c);

#endif
