/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The start of a node whose database file cannot be believed. Where other nodes are configured, the
 * file is put aside (the newest RESCUE_KEPT of them stay) and the node begins empty: it has no vote
 * until it has fetched the database. Where nobody else is, clusterd does not start, and says how a
 * saved copy is restored. A file that is older than what this node has acknowledged is used, and
 * has no vote either (doc/adr/0021).
 */
#ifndef CLUSTERD_EDGE_RESCUE_H
#define CLUSTERD_EDGE_RESCUE_H

#include "clusterd/edge/engine.h"

#define RESCUE_KEPT 3

/* Builds the applied state of the engine from what the file holds; -EBADMSG: it does not decode. */
typedef int (*rescue_load)(struct engine *e, struct store_content *content,
			   struct repl_history *history);

/*
 * Opens the engine's store and loads it. Returns 0, or -errno with a text for the administrator.
 * What was wrong is noted in the engine's health.
 */
int rescue_open(struct engine *e, const struct store_calls *calls, rescue_load load,
		struct repl_history *ret_history, uint64_t *ret_commit, char *text,
		size_t text_size);
/*
 * Renames the file (and its log) to NAME.WHY-TIME beside it, and removes the oldest of those above
 * RESCUE_KEPT. Returns 0 with the new path, or -errno.
 */
int rescue_aside(const char *db_path, const char *why, char *ret_kept, size_t size);

#endif
