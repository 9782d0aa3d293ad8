/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be asked through the API socket: one table of verbs, and JSON from rows. */
#ifndef CLUSTERD_EDGE_VERBS_H
#define CLUSTERD_EDGE_VERBS_H

#include "clusterd/edge/api.h"

struct verb {
	const char *name; /* "group.start" */
	bool changes;	  /* needs the right to change */
	void (*run)(struct api_client *c, const json_t *args);
};

/* NULL if there is no such verb. */
const struct verb *verb_find(const char *name);
/* Ends the simulation that may be under way; nobody gets its answer. */
void verb_whatif_close(struct engine *e);
void verb_replay_close(struct engine *e);
json_t *verb_row_json(const struct db *db, enum db_kind kind, const void *row);

#endif
