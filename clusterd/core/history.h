/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where two histories part. A history is known by its epochs: of each, the index of its first
 * entry. Whoever holds an entry holds all before it, and (epoch, index) names one content; so two
 * histories that share an epoch are the same up to where the first of them leaves it. It does no
 * I/O; its marks are kept in the database (rows `epoch`), so that they outlive the log.
 *
 * Source: the same question as Apache Kafka's KIP-101, "leader epoch rather than high watermark".
 */
#ifndef CLUSTERD_CORE_HISTORY_H
#define CLUSTERD_CORE_HISTORY_H

#include <stddef.h>

#include "clusterd/core/db.h"

/* From `first` on, until the next span, entries are of that epoch. */
struct history_span {
	struct cl_epoch epoch;
	uint64_t first;
};

struct history {
	struct history_span *span; /* by ascending first; borrowed */
	size_t count, cap;
	uint64_t last; /* index of its last entry */
};

struct history_part {
	uint64_t common; /* both are the same up to here; 0: from the start they are not */
	/* False: the older marks of one of them are gone. Then `common` is what is certain. */
	bool is_known;
};

/* Adds the next entry; at most one span more. False: no room. */
bool history_add(struct history *h, const struct cl_epoch *epoch, uint64_t index);
/* Adds what the applied state knows of itself. False: no room. */
bool history_add_db(struct history *h, const struct db *db);
/*
 * `applied` is what the owner of `own` has applied: within one generation that is in every history
 * that wins (repl.h).
 */
struct history_part history_parts(const struct history *own, const struct history *won,
				  uint64_t applied);

#endif
