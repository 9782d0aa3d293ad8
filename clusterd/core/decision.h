/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decisions of the planner, as they are kept: which node got a group, by which rule, and why not
 * the others. There is a row for each start, each stop for the sake of another node, and each
 * migration that the planner began; the oldest go when there is no room.
 */
#ifndef CLUSTERD_CORE_DECISION_H
#define CLUSTERD_CORE_DECISION_H

#include "clusterd/core/db.h"

/* Room for the sentence of the largest cluster. */
#define DECISION_TEXT_MAX 2048

/* Why a node was not chosen, for people: "the node is paused". */
const char *decision_verdict_text(enum db_verdict verdict);
/* The same node, for the same reason, and the same said of the others. */
bool decision_same(const struct db_decision *a, const struct db_decision *b);
/* The oldest of that group that is younger than `id`, or NULL. */
const struct db_decision *decision_after(const struct db *db, const char *group, uint64_t id);
/* The newest of that group, or NULL. */
const struct db_decision *decision_newest(const struct db *db, const char *group);
/* "n2: fewest groups (3) of those that can run it; lost: n3: 5 groups; n4: not a possible owner" */
void decision_text(const struct db *db, const struct db_decision *d, char *text, size_t size);

#endif
