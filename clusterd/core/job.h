/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work on the files of virtual machines' disks, which takes a while: new ones, clones, snapshots.
 * A row says what, and who does it; `csvadm job` on that node does it, in a process of its own.
 *
 * A virtual machine has one job at a time. As long as that needs its disks as they are it is not
 * started, and not migrated. What is made and fails is undone: by the same node, or, when that is
 * proven over, by another one; the row stays until nothing of it is left.
 */
#ifndef CLUSTERD_CORE_JOB_H
#define CLUSTERD_CORE_JOB_H

#include "clusterd/core/db.h"

/* The job under way of that virtual machine, or NULL. */
struct db_job *job_of_vm(const struct db *db, const struct db_vm *vm);
/*
 * The disks of that machine have to be as they are: for what is made of them, from when a node was
 * ordered to do it, so that it can leave one that cannot.
 */
bool job_needs(const struct db *db, const struct db_job *job, const char *vm, bool is_begun,
	       bool is_undo);
/* The job that keeps it from being started and migrated, or NULL. */
const struct db_job *job_holds(const struct db *db, const struct db_vm *vm);
/* The same of a group; one that is no virtual machine has none. */
const struct db_job *job_holds_group(const struct db *db, const struct db_group *group);
/* It is taken back when it fails or is cancelled; the others can only be done again. */
bool job_is_undoable(const struct db_job *job);
const char *job_word(const struct db_job *job);
/* That node is to do it, or does, with files of that volume. */
bool job_uses_volume(const struct db *db, const char *volume, uint8_t slot);
/* The machine whose disks are copied, or change, is being migrated: it waits for that. */
bool job_waits(const struct db *db, const struct db_job *job);
/* Nodes that can do it now. */
uint16_t job_nodes(const struct db *db, const struct db_job *job);
/* Its files may be worked on: where the virtual machine runs (`ret_runs`), or while it is off. */
bool job_may_begin(const struct db *db, const struct db_job *job, bool *ret_runs);

void job_snapshot_key(const char *vm, const char *name, char ret[DB_KEY_MAX]);
struct db_snapshot *job_snapshot(const struct db *db, const char *vm, const char *name);
uint32_t job_snapshots(const struct db *db, const char *vm);

/* NULL, or the invariant of jobs and snapshots that does not hold. For db_check(). */
const char *job_check(const struct db *db);

#endif
