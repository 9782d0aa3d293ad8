/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is stuck: a group, a volume's coordinator or a mount that its node has tried to stop and to
 * kill, and cannot prove to be over. Its lock stays where it is, so nothing of it starts elsewhere;
 * its node says so (`fence_ask`), and that is one of the facts that ask for a fence. Answered from
 * the applied database alone; whether the others are quorate without the node is not in there.
 *
 * Never the whole cluster: for one group or volume a fence begins once an hour at most, by the
 * times of the commands, unless somebody asks for it anew meanwhile; and one such fence at a time.
 */
#ifndef CLUSTERD_CORE_STUCK_H
#define CLUSTERD_CORE_STUCK_H

#include "clusterd/core/db.h"

#define STUCK_PAUSE_MS (3600 * 1000u)

/* Some fence device covers the slot. */
bool stuck_has_device(const struct db *db, uint8_t slot);
/*
 * Something on that node asks for its fence, and may. Says what, and why: "group g: ..."; of
 * several the first, with the number of the others.
 */
bool stuck_asks(const struct db *db, const struct db_node *n, char *text, size_t size);
/* The node that is to be fenced for what is stuck there, now; NULL: none. */
const struct db_node *stuck_next(const struct db *db);
/* What comes next for something stuck on that slot; "" if it did not ask for a fence. */
void stuck_explain(const struct db *db, uint8_t slot, bool is_wanted, enum db_stop_failure policy,
		   char *text, size_t size);

#endif
