/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Failures that age: restarts of a resource and failovers of a group count within a period, and a
 * group that was given up is tried again after another (adr/0018).
 *
 * Time is that of committed commands, never a local clock: a report counts with its own, and what
 * nothing is reported for changes by the command `clock`, which the sequencer gives when something
 * has waited for its time, and only then: a cluster in which nothing has failed writes nothing.
 *
 * Clocks of nodes differ. A time that lies ahead of now by more than AGE_SKEW_MS was told by a
 * clock that was wrong: its period begins anew, now.
 */
#ifndef CLUSTERD_CORE_AGE_H
#define CLUSTERD_CORE_AGE_H

#include "clusterd/core/db.h"

/* Defaults of Windows failover clusters: restarts in 15 minutes, failovers in 6 h, again in 1 h. */
#define AGE_RESTART_MS	(15 * 60 * 1000u)
#define AGE_FAILOVER_MS (6 * 3600 * 1000u)
#define AGE_RETRY_MS	(3600 * 1000u)
#define AGE_SKEW_MS	(60 * 1000u)
/* A coordinator ends unasked so often on one node within AGE_RESTART_MS, and is started anew there.
 */
#define AGE_COORDINATOR_MAX 3
/* So long that node is passed over then, and so is one where it could not be started. */
#define AGE_COORDINATOR_MS (5 * 60 * 1000u)
/* Failovers of a group that says no number: one for each node that may run it, but so many. */
#define AGE_FAILOVER_LEAST 2
/* The shortest period that the API takes. */
#define AGE_PERIOD_MIN_MS 1000

#define AGE_TEXT_MAX 24

enum age {
	AGE_YOUNG,
	AGE_OVER,  /* the period has passed */
	AGE_AHEAD, /* it began in the future */
};

enum age age_of(uint64_t since_ms, uint32_t period_ms, uint64_t now_ms);
/* So many failovers of the group within its failover_ms. */
uint32_t age_failover_max(const struct db *db, const struct db_group *g);
/* It waits to be tried again by itself. */
bool age_waits(const struct db_group *g);
/* Nodes are passed over for its coordinator, and shall not be for ever. */
bool age_volume_waits(const struct db_volume *v);
/* Something waits for its time, and that has come. */
bool age_is_due(const struct db *db, uint64_t now_ms);
/* A period for people: "90 s", "15 min", "6 h". */
void age_text(uint32_t ms, char text[static AGE_TEXT_MAX]);

#endif
