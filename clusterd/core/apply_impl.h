/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of db_apply() share; nobody else includes this. */
#ifndef CLUSTERD_CORE_APPLY_IMPL_H
#define CLUSTERD_CORE_APPLY_IMPL_H

#include "clusterd/core/db.h"
#include "clusterd/core/setting.h"

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

/* Eight, four, four, four and twelve hexadecimal digits in lower case. */
bool apply_is_uuid(const char *text);

/* Makes a running task and puts it into the result; 0 when all places are taken by running ones. */
uint64_t apply_task_new(struct apply *a, const char *verb, const char *object);
/* Of a task that runs; task 0 and one that has ended are passed over. */
void apply_task_phase(struct apply *a, uint64_t id, const char *phase);
void apply_task_end(struct apply *a, uint64_t id, enum db_task_state state, const char *reason);

/* False: no room. */
bool apply_param_set(struct db *db, const char *key, const char *value);
/* True if every line NAME=VALUE can be taken apart and there is room for all of them. */
bool apply_params_fit(const struct db *db, const char *lines);
/* Stores lines that apply_params_fit() has seen as parameters of the object. */
void apply_params_set(struct db *db, const char *object, const char *lines);
void apply_params_remove(struct db *db, const char *object);

int apply_lock_step(struct db *db, const struct lk_event *e);
/* The lock, granted at once to the session; 0 if somebody is in the way. */
uint64_t apply_lock_take(struct db *db, const char *prefix, const char *name, enum lk_mode mode,
			 uint64_t session);
/* Lock 0 is none. */
void apply_lock_drop(struct db *db, uint64_t lock);
/* In one step from one session to another; the lock keeps its number. */
void apply_lock_transfer(struct db *db, const char *prefix, const char *name, uint64_t from,
			 uint64_t to);
/* The incarnation is proven over: its locks with that prefix end, its session is orphaned. */
void apply_lock_release(struct db *db, uint8_t slot, uint64_t incarnation, const char *prefix);

/* ---- apply.c */

/* Does a->cmd. */
void apply_command(struct apply *a);

/* ---- apply_change.c: what administrators ask for, and by whom */

/* The entry is a change: its commands, all or none. */
void apply_change(struct apply *a);
/* None stands in another one. */
void do_change(struct apply *a, const struct db_cmd_change *c);

/* ---- apply_config.c */

void do_config_set(struct apply *a, const struct db_cmd_config_set *c);
void do_config_unset(struct apply *a, const struct db_cmd_config_unset *c);
void do_checkpoint_create(struct apply *a, const struct db_cmd_checkpoint_create *c);
void do_checkpoint_delete(struct apply *a, const struct db_cmd_checkpoint_delete *c);

/* ---- apply_setting.c */

void do_setting_set(struct apply *a, const struct db_cmd_setting_set *c);
void do_quorum_mode(struct apply *a, const struct db_cmd_quorum_mode *c);
void do_vote_note(struct apply *a, const struct db_cmd_vote_note *c);
void do_db_note(struct apply *a, const struct db_cmd_db_note *c);

/* Of a cluster that begins: it has none yet. */
void setting_put(struct apply *a, enum setting setting, uint32_t value);
/* A new process has been admitted: a cluster that was stopped as a whole is started again. */
void setting_cluster_starts(struct apply *a);

/* The object is gone, and what was set of it. */
void settings_forget(struct db *db, const char *object);

/* ---- apply_secret.c */

void do_secret_set(struct apply *a, const struct db_cmd_secret_set *c);
void do_secret_delete(struct apply *a, const struct db_cmd_secret_delete *c);
void do_secret_held(struct apply *a, const struct db_cmd_secret_held *c);
/* True if every secret that lines NAME=VALUE refer to exists; else it has answered. */
bool secrets_exist(struct apply *a, const char *lines);
/* The slot is free for another node. */
void secrets_slot_free(struct db *db, uint8_t slot);

/* ---- apply_volume.c */

void do_volume_create(struct apply *a, const struct db_cmd_volume_create *c);
void do_volume_delete(struct apply *a, const struct db_cmd_volume_delete *c);
void do_volume_redirect(struct apply *a, const struct db_cmd_volume_redirect *c);
void do_volume_suspend(struct apply *a, const struct db_cmd_volume_suspend *c);
void do_volume_grow(struct apply *a, const struct db_cmd_volume_grow *c);
void do_volume_grown(struct apply *a, const struct db_cmd_volume_grown *c);
void do_mount_io(struct apply *a, const struct db_cmd_mount_io *c);
void do_volume_intent(struct apply *a, const struct db_cmd_volume_intent *c);
void do_volume_order(struct apply *a, const struct db_cmd_volume_order *c);
void do_volume_report(struct apply *a, const struct db_cmd_volume_report *c);
void do_mount_set(struct apply *a, const struct db_cmd_mount_set *c);
void do_mount_report(struct apply *a, const struct db_cmd_mount_report *c);
void do_mount_voice(struct apply *a, const struct db_cmd_mount_voice *c);
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

/* ---- apply.c, for forced quorum */

/* What ran on an incarnation that can do nothing any more is offline, to be placed anew. */
void node_incarnation_gone(struct apply *a, uint8_t slot, uint64_t incarnation);

/* ---- apply_force.c */

/* Before the entry's epoch becomes that of the database: a row, if it is another. */
void epoch_note(struct db *db, const struct cl_epoch *epoch, uint64_t index);
/* The entry that opens a forced epoch. */
void quorum_forced(struct db *db, const struct db_entry *e);
/* That node is here again, or a member no more: nobody waits for it on account of a force. */
void force_node_back(struct apply *a, uint8_t slot);
void do_history_saved(struct apply *a, const struct db_cmd_history_saved *c);
void do_node_down(struct apply *a, const struct db_cmd_node_down *c);

/* ---- apply.c, for whoever is told of an incarnation */

/* NULL, and it has answered: the node has no such incarnation. */
struct db_node *apply_incarnation_find(struct apply *a, const char *name, uint64_t incarnation);

/* ---- apply_leave.c */

void do_node_leave(struct apply *a, const struct db_cmd_node_leave *c);
void do_node_depart(struct apply *a, const struct db_cmd_node_depart *c);
/* Everything is taken off the node; nothing if that is so already. */
void node_begin_leave(struct apply *a, struct db_node *n, const char *why);
/* It cannot come to its end: so does the task, if there is one. */
void leave_fails(struct apply *a, const char *node, const char *reason);
/* A stop of the group has been ordered there: the task tells of a machine that is not migrated. */
void leave_group_stops(struct apply *a, const struct db_node *n, const struct db_group *g);
/* False if it is no task of a node that leaves. */
bool leave_task_cancel(struct apply *a, const struct db_task *t);
/* After each command: how much is left, for those that wait. */
void leave_progress(struct apply *a);

/* ---- apply.c, for virtual machines */

void do_group_create(struct apply *a, const struct db_cmd_group_create *c);
void do_group_delete(struct apply *a, const struct db_cmd_group_delete *c);

/* ---- apply_resource.c */

void do_resource_create(struct apply *a, const struct db_cmd_resource_create *c);
void do_resource_delete(struct apply *a, const struct db_cmd_resource_delete *c);
void do_resource_report(struct apply *a, const struct db_cmd_resource_report *c);
/* The group is online, or has ended, and its resources with it. */
void resources_set(struct apply *a, const char *group, enum db_work work);
/* Makes it the reason of an online group that some of its resources have failed, or no more. */
void resources_note(struct apply *a, struct db_group *g);
/* The node has done what it was asked to do with the resource, or that is of no use any more. */
void resource_asked_done(struct apply *a, struct db_resource *r);

/* ---- apply_resource_set.c */

void do_resource_set(struct apply *a, const struct db_cmd_resource_set *c);
void do_resource_manage(struct apply *a, const struct db_cmd_resource_manage *c);
void do_resource_intent(struct apply *a, const struct db_cmd_resource_intent *c);
void do_resource_clear(struct apply *a, const struct db_cmd_resource_clear *c);
void do_resource_fail(struct apply *a, const struct db_cmd_resource_fail *c);

/* ---- apply_vm.c: what a group's commands do if it is a virtual machine, else nothing */

void do_vm_create(struct apply *a, const struct db_cmd_vm_create *c);
void do_vm_delete(struct apply *a, const struct db_cmd_vm_delete *c);
void do_vm_set_paused(struct apply *a, const struct db_cmd_vm_set_paused *c);

/* Its group reserves what the definition says. */
void vm_definition_changed(struct db *db, const struct db_vm *v);
/* Its vm: is taken for that incarnation; false: somebody has it. */
bool vm_group_take(struct apply *a, const struct db_group *g, uint64_t incarnation);
/* The group has ended: vm: and a migration end with it. */
void vm_group_drop(struct apply *a, const struct db_group *g, const char *reason);
/* The same, of an incarnation whose locks have ended already. */
void vm_group_gone(struct apply *a, const struct db_group *g);
/* It is being migrated: that ends before it is stopped. */
bool vm_bars_stop(const struct db *db, const struct db_group *g);
void vm_group_intent(struct apply *a, const struct db_group *g,
		     const struct db_cmd_group_intent *c);
/* The node is paused, resumed, drained or begins to leave. */
void vms_node_paused(struct apply *a, uint8_t slot);

/* ---- apply_member.c */

void do_node_add(struct apply *a, const struct db_cmd_node_add *c);
void do_node_evict(struct apply *a, const struct db_cmd_node_evict *c);
void do_node_address(struct apply *a, const struct db_cmd_node_address *c);
void do_node_conf(struct apply *a, const struct db_cmd_node_conf *c);
void do_conf_adopt(struct apply *a, const struct db_cmd_conf_adopt *c);
/* The times that it has to say are others; nothing if it is not ours yet. */
void conf_times_changed(struct apply *a);
void do_node_removed(struct apply *a, const struct db_cmd_node_removed *c);

/* ---- apply_quarantine.c: nodes that are lost again and again; see quarantine.h */

void do_node_quarantine_clear(struct apply *a, const struct db_cmd_node_quarantine_clear *c);
/* It has gone without a word: that counts. */
void quarantine_node_lost(struct apply *a, struct db_node *n);
/* It has just been admitted: was it lost too often? */
void quarantine_node_admitted(struct apply *a, struct db_node *n);
void quarantine_clock(struct apply *a, uint64_t now_ms);

/* ---- apply_network.c */

void do_network_set(struct apply *a, const struct db_cmd_network_set *c);

/* ---- apply_stuck.c */

void do_fence_ask(struct apply *a, const struct db_cmd_fence_ask *c);
void do_group_set(struct apply *a, const struct db_cmd_group_set *c);
/* The fence of that node begins, for the sake of what asked for it. */
void stuck_fence_begins(struct apply *a, const struct db_node *n);

/* ---- apply_age.c: failures that age; see age.h */

void do_clock(struct apply *a, const struct db_cmd_clock *c);
void age_resource_restarted(struct apply *a, struct db_resource *r);
/* It failed on its node, and another shall have it: true if that was once too often. */
bool age_group_failed(struct apply *a, struct db_group *g);
/* After its end: it is not tried before its time, even where it could be started. */
void age_group_give_up(struct apply *a, struct db_group *g, const char *reason);
/* Its coordinator ended on its node, and nobody had asked for that. */
void age_volume_crashed(struct apply *a, struct db_volume *v);
/* An administrator asks for something else: nothing counts against it any more. */
void age_group_forget(struct db_group *g);

/* ---- apply_place.c: where a group shall run; see placement.h */

void do_group_place(struct apply *a, const struct db_cmd_group_place *c);
void do_affinity_create(struct apply *a, const struct db_cmd_affinity_create *c);
void do_affinity_delete(struct apply *a, const struct db_cmd_affinity_delete *c);
/* Every name of the list a group, none twice, at least two; false: it was refused. */
bool place_members_fit(struct apply *a, const char *list);
/* The group is gone: so it is from its sets, and a set of one with it. */
void place_group_deleted(struct apply *a, const char *group);
/* Of a new group; false: it was refused. */
bool place_owners_fit(struct apply *a, uint16_t possible, const uint8_t preferred[CL_MAX_NODES]);
bool place_failback_fits(struct apply *a, enum db_failback failback, uint8_t from, uint8_t to);
void place_failback_set(struct apply *a, struct db_group *g, enum db_failback failback,
			uint8_t from, uint8_t to);
/* The node can have groups again that it had not: those that prefer it may go back. */
void place_node_returned(struct apply *a, uint8_t slot);
/* What stops there need not go where it was to. */
void place_drain_ends(struct db *db, uint8_t slot);
void place_node_evicted(struct db *db, uint8_t slot);
/* The first node of a cluster is there: all that shall run is started in waves. */
void place_cluster_starts(struct apply *a);
/* Its node is out of service, or the cluster stops: it is started in its wave, or not by itself. */
void place_group_down(struct apply *a, struct db_group *g, const char *why);
void place_clock(struct apply *a, uint64_t now_ms);

/* ---- apply_capacity.c */

void do_node_capacity(struct apply *a, const struct db_cmd_node_capacity *c);
void do_node_set(struct apply *a, const struct db_cmd_node_set *c);
void do_group_reserve(struct apply *a, const struct db_cmd_group_reserve *c);
/* True, with an answer: there is no room for the group on that node. */
bool capacity_refuses(struct apply *a, const struct db_group *g, uint8_t slot, enum db_code code);
/* An administrator wants it online, there. False, with an answer: that would not be survived. */
bool admission_start(struct apply *a, struct db_group *g, uint8_t wish);
/* It reserves more than it did: false, with an answer, if that does not fit or is not survived. */
bool admission_raise(struct apply *a, struct db_group *g, const struct db_group *was);

/* ---- apply_decision.c */

struct decision_why {
	uint8_t rule;
	const uint8_t *verdict;
	const uint32_t *score;
	const char *reason; /* of the order: what set it in motion, if it is no start */
};

/* The planner has chosen that node for the group; before its row says so. */
void decision_note(struct apply *a, const struct db_group *g, const char *action, uint8_t node,
		   const struct decision_why *why);

/* ---- apply_migration.c */

void do_vm_migrate(struct apply *a, const struct db_cmd_vm_migrate *c);
void do_migration_order(struct apply *a, const struct db_cmd_migration_order *c);
void do_migration_report(struct apply *a, const struct db_cmd_migration_report *c);
void do_migration_transfer(struct apply *a, const struct db_cmd_migration_transfer *c);
void do_migration_end(struct apply *a, const struct db_cmd_migration_end *c);

/* It has ended, and its task with it; once cancelled, it ends as that said. */
void migration_close(struct apply *a, struct db_migration *m, enum db_task_state outcome,
		     const char *reason);
/* Before the transfer: it shall end, and does at once if it is queued. After it: nothing. */
void migration_cancel(struct apply *a, struct db_migration *m, enum db_task_state outcome,
		      const char *reason);
/* True if the task is that of a migration under way; then it is cancelled, or refused. */
bool migration_task_cancel(struct apply *a, uint64_t task);
/* The node is lost, is being fenced or leaves: nothing is transferred to it any more. */
void migrations_node_away(struct apply *a, const struct db_node *n, const char *reason);
/* The incarnation is proven over: migrations to it end. */
void migrations_incarnation_gone(struct apply *a, uint8_t slot, uint64_t incarnation);

/* ---- apply_job.c */

void do_vm_job(struct apply *a, const struct db_cmd_vm_job *c);
void do_job_order(struct apply *a, const struct db_cmd_job_order *c);
void do_job_report(struct apply *a, const struct db_cmd_job_report *c);
void do_job_end(struct apply *a, const struct db_cmd_job_end *c);
/* True if the task is that of a job; then that is cancelled, or it was refused. */
bool job_task_cancel(struct apply *a, uint64_t task);

/* ---- apply_upgrade.c */

void do_cluster_upgrade(struct apply *a, const struct db_cmd_cluster_upgrade *c);
/* It says what it speaks; before its row does. */
void upgrade_node_admitted(struct apply *a, struct db_node *n, const struct db_cmd_node_admit *c);
/* An entry of the member table may put another version in force. */
void upgrade_entry(struct db *db, const struct db_entry *e);

#endif
