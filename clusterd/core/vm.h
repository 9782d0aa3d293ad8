/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions about virtual machines and their live migrations that commands, planner, executor and
 * API ask alike. They are answered from the applied database alone.
 */
#ifndef CLUSTERD_CORE_VM_H
#define CLUSTERD_CORE_VM_H

#include "clusterd/core/db.h"

#define VM_AGENT "ocf:clusterd:vm"

/* NULL if the group is not that of a virtual machine. */
struct db_vm *vm_of_group(const struct db *db, const struct db_group *group);
/* The migration that is under way, or NULL. */
struct db_migration *vm_migration(const struct db *db, const struct db_vm *vm);
/* The one under way of which the node is a side, with that incarnation, if any; else NULL. */
struct db_migration *vm_migration_of_node(const struct db *db, uint8_t slot, uint64_t incarnation);
/* The one under way that the task is about, or NULL. */
struct db_migration *vm_migration_of_task(const struct db *db, uint64_t task);

/* It occupies its pair of nodes: both sides may have something of it. */
bool vm_is_session(const struct db_migration *migration);
/* Some session is under way between the two nodes, in either direction (M2). */
bool vm_pair_is_busy(const struct db *db, uint8_t a, uint8_t b);
const char *vm_phase_word(const struct db_migration *migration);

/*
 * Why it cannot be migrated to that node now: every reason, with semicolons between, as far as they
 * fit. Returns how many; 0: it can. `node`: those that waiting does not mend; `volumes`: those that
 * it may; `all`: these, and those that lie in the virtual machine itself.
 */
uint32_t vm_bars_node(const struct db *db, const struct db_group *group, uint8_t slot, char *text,
		      size_t size);
uint32_t vm_bars_volumes(const struct db *db, const struct db_group *group, uint8_t slot,
			 char *text, size_t size);
uint32_t vm_bars_all(const struct db *db, const struct db_vm *vm, uint8_t slot, char *text,
		     size_t size);

/* NULL, or the invariant of virtual machines and migrations that does not hold. For db_check(). */
const char *vm_check(const struct db *db);

#endif
