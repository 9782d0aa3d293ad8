/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differs between two databases, row by row: before and after a change. Left out is what only
 * records that something was done: events, tasks, who asked last, audit, versions.
 */
#ifndef CLUSTERD_CORE_COMPARE_H
#define CLUSTERD_CORE_COMPARE_H

#include "clusterd/core/db.h"

enum compare_change { COMPARE_ADDED, COMPARE_REMOVED, COMPARE_CHANGED };

struct compare_row {
	enum db_kind kind;
	enum compare_change change;
	char key[DB_KEY_MAX];
	const void *before, *after; /* NULL: it is not there */
};

/* Calls take for each row that differs; returns how many there are. */
uint32_t compare(const struct db *before, const struct db *after,
		 void (*take)(void *arg, const struct compare_row *row), void *arg);
bool compare_field_differs(const struct db_field *f, const void *before, const void *after);

#endif
