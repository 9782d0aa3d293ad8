/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of db_apply() share; nobody else includes this. */
#ifndef CLUSTERD_CORE_APPLY_IMPL_H
#define CLUSTERD_CORE_APPLY_IMPL_H

#include "clusterd/core/db.h"

/* One command in progress. */
struct apply {
	struct db *db;
	const struct db_entry *entry;
	const struct db_command *cmd;
	struct db_result *result;
};

/* Copies as much as fits, with a NUL. */
void apply_copy(char *to, size_t size, const char *from);
#define COPY(to, from) apply_copy((to), sizeof(to), (from))

__attribute__((format(printf, 3, 4))) void apply_answer(struct apply *a, enum db_code code,
							const char *format, ...);
/* Adds an event; the oldest goes when the table is full. */
__attribute__((format(printf, 4, 5))) void apply_event(struct apply *a, const char *kind,
						       const char *object, const char *format, ...);

/* Makes a running task and puts it into the result; 0 when all places are taken by running ones. */
uint64_t apply_task_new(struct apply *a, const char *verb, const char *object);
/* Of a task that runs; task 0 and one that has ended are passed over. */
void apply_task_phase(struct apply *a, uint64_t id, const char *phase);
void apply_task_end(struct apply *a, uint64_t id, enum db_task_state state, const char *reason);

int apply_lock_step(struct db *db, const struct lk_event *e);
/* The lock, granted at once to the session; 0 if somebody is in the way. */
uint64_t apply_lock_take(struct db *db, const char *prefix, const char *name, enum lk_mode mode,
			 uint64_t session);
/* Lock 0 is none. */
void apply_lock_drop(struct db *db, uint64_t lock);
/* The incarnation is proven over: its locks with that prefix end, its session is orphaned. */
void apply_lock_release(struct db *db, uint8_t slot, uint64_t incarnation, const char *prefix);

/* ---- apply_volume.c */

void do_volume_create(struct apply *a, const struct db_cmd_volume_create *c);
void do_volume_delete(struct apply *a, const struct db_cmd_volume_delete *c);
void do_volume_intent(struct apply *a, const struct db_cmd_volume_intent *c);
void do_volume_order(struct apply *a, const struct db_cmd_volume_order *c);
void do_volume_report(struct apply *a, const struct db_cmd_volume_report *c);
void do_mount_set(struct apply *a, const struct db_cmd_mount_set *c);
void do_mount_report(struct apply *a, const struct db_cmd_mount_report *c);
void do_mount_gone(struct apply *a, const struct db_cmd_mount_gone *c);
void do_volume_recovered(struct apply *a, const struct db_cmd_volume_recovered *c);

/* Its coordinators end; its mounts are gone, and what they held waits for recovery. */
void volumes_incarnation_gone(struct apply *a, uint8_t slot, uint64_t incarnation);
/* Returns how many volumes wait for the fence of that node. */
uint32_t volumes_unknown(struct apply *a, const struct db_node *n);
/* It comes back with what it held. */
void volumes_node_admitted(struct apply *a, const struct db_node *n);
/* The volume that the incarnation coordinates or has mounted still, or NULL. */
const char *volumes_bar_leave(const struct db *db, uint64_t incarnation);
/* True if every name in the list is a volume that can be had. */
bool volumes_exist(struct apply *a, const char *list);
/* What the task wanted of the volume is withdrawn. */
void volume_task_cancelled(struct db_volume *v);

#endif
