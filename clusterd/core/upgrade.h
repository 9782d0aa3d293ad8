/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The version in force (doc/upgrade.md, doc/adr/0032): the one in whose format everybody writes,
 * and whose commands are taken. It is a row of the member table, so it is known wherever a history
 * ends, before anything of it is applied: a node that does not speak it is not let in. An
 * administrator asks for a higher one, which every member has to speak; the sequencer then changes
 * the row. There is no way back.
 *
 * Pure; the commands are applied in apply_upgrade.c.
 */
#ifndef CLUSTERD_CORE_UPGRADE_H
#define CLUSTERD_CORE_UPGRADE_H

#include "clusterd/core/db.h"

/* The versions of this build. */
extern const struct cl_versions upgrade_versions;

/* "4 only", "4 to 5"; "none that is known" of zeros. */
void upgrade_range_text(const struct cl_versions *v, char *text, size_t size);
/* What the clusterd of that row has said; zeros: it was never here. */
struct cl_versions upgrade_of_node(const struct db_node *n);
/*
 * True if a member does not speak it, or is not known to, whether it is here or not; with a text
 * that names the first one. `table`: those without a row count as well; NULL: there are none.
 */
bool upgrade_bar(const struct db *db, const struct cl_table *table, uint16_t version, char *text,
		 size_t size);
/* The highest one that every member speaks; 0: there is none that is known. */
uint16_t upgrade_highest(const struct db *db);
/*
 * Why a command cannot be given to the cluster: "group-remark needs version 5, 4 is in force: n3
 * speaks 4 only". False: it can.
 */
bool upgrade_refuses(const struct db *db, const struct db_command *cmd, char *text, size_t size);
/*
 * True if this build cannot work with a history: with the table at its end, or with its snapshot
 * (NULL: it has none), of which nothing is decoded. The text: "version 5 is in force in it".
 */
bool upgrade_history_bar(const struct cl_table *table, const void *snapshot, size_t len, char *text,
			 size_t size);
/* The row that the sequencer owes; false: none. */
bool upgrade_row(const struct db *db, const struct cl_table *table, struct cl_member *ret);

#endif
