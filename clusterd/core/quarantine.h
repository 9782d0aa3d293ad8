/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Quarantine: a node that is lost again and again runs nothing until an administrator has looked at
 * it (adr/0025). Each time that it is lost counts within a period, as failures do (age.h). One that
 * was lost more than `quorum.quarantine_max` times is quarantined when it comes back: it is a
 * member that catches up like any other, and gives up what it holds and its vote as if it stopped.
 *
 * Never so that fewer than a majority of all members were left to run things.
 */
#ifndef CLUSTERD_CORE_QUARANTINE_H
#define CLUSTERD_CORE_QUARANTINE_H

#include "clusterd/core/db.h"

/* Times of losses that an event has room for; the newest. */
#define QUARANTINE_TIMES_MAX 8

/* It was lost too often within the period, up to now. */
bool quarantine_is_due(const struct db *db, const struct db_node *n, uint64_t now_ms);
/* A majority of the members would be left without it: here, and not quarantined. */
bool quarantine_is_affordable(const struct db *db, const struct db_node *n);
/* The event says that the node was lost. */
bool quarantine_is_loss(const struct db_event *e, const struct db_node *n);
/* Its losses are counted for a period that is over (or was told by a wrong clock). */
bool quarantine_is_forgotten(const struct db *db, const struct db_node *n, uint64_t now_ms);
/* "4 times within 1 h": its losses, for people. */
void quarantine_text(const struct db *db, const struct db_node *n, char *text, size_t size);

#endif
