/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk that SQLite writes to through its VFS and that loses its power: what was synced is kept;
 * of what was written since the last sync of a file each write is kept, lost or torn in sectors.
 * The files that SQLite sees are real ones; beside them stands what the disk itself has, and that
 * is what crash_vfs_leave() puts into another folder when the power is gone.
 *
 * Every write, truncate, sync and delete is one step. Steps can also fail without a crash, as a
 * full or a broken disk fails them. One at a time; any thread.
 */
#ifndef TESTS_UNIT_CRASH_VFS_H
#define TESTS_UNIT_CRASH_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum crash_kept {
	CRASH_KEPT_ALL,	   /* the process was killed, the machine lives */
	CRASH_KEPT_NONE,   /* nothing but what was synced */
	CRASH_KEPT_PREFIX, /* of each file a prefix, and its end torn */
	CRASH_KEPT_RANDOM, /* each write for itself, in any order, torn */
	CRASH_KEPT_MAX,
};

/* Makes it SQLite's default VFS until crash_vfs_done(). From step `crash_at` on (0: never)
 * nothing reaches the disk and every step fails. */
void crash_vfs_init(uint64_t crash_at);
void crash_vfs_done(void);
uint64_t crash_vfs_steps(void);
bool crash_vfs_has_crashed(void);
/* From the next step on every write fails with that SQLite code, until 0 is given. */
void crash_vfs_fail(int code);
/* Puts what the disk holds of its files into `folder`, under their last names. */
void crash_vfs_leave(const char *folder, enum crash_kept kept, uint64_t seed);

#endif
