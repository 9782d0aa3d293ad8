/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of verbs share; nobody else includes this. */
#ifndef CLUSTERD_EDGE_VERBS_IMPL_H
#define CLUSTERD_EDGE_VERBS_IMPL_H

#include "clusterd/core/age.h"
#include "clusterd/core/capacity.h"
#include "clusterd/edge/ocf_meta.h"
#include "clusterd/edge/verbs.h"

#define VERB_PERIOD_MAX_MS (30 * 86400000u)
#define VERB_PRIORITY	   100 /* of a new group: medium */

/* The text of an argument, "" if it is missing. */
const char *verb_arg_text(const json_t *args, const char *name);
/* Copies a name argument; replies and returns false if it is missing, too long or odd. */
bool verb_arg_name(struct api_client *c, const json_t *args, const char *name, char *to,
		   size_t size);
/* A number from 0 to max; replies and returns false if it is none. */
bool verb_arg_u32(struct api_client *c, const json_t *args, const char *name, uint32_t def,
		  uint32_t max, uint32_t *ret);
/* Milliseconds in which failures age (age.h): none, or a second to 30 days. */
bool verb_arg_period(struct api_client *c, const json_t *args, const char *name, uint32_t def,
		     uint32_t *ret);
/* The node that the argument names; replies and returns NULL if there is none. */
const struct db_node *verb_arg_node(struct api_client *c, const json_t *args, const char *name);
/* The name a second time in `confirm`; replies with what would happen, and returns false. */
bool verb_is_confirmed(struct api_client *c, const json_t *args, const char *name,
		       const char *what);

/* One field of the row. */
json_t *verb_field_json(const struct db *db, const struct db_field *f, const void *row);
json_t *verb_table_json(const struct db *db, enum db_kind kind);

/* Every row of that kind; the one in argument `name`. */
void verb_list(struct api_client *c, enum db_kind kind);
void verb_show(struct api_client *c, const json_t *args, enum db_kind kind);

/* What is wanted of the group in argument `name`, with a task of that verb. */
void verb_group_intent(struct api_client *c, const json_t *args, enum db_intent intent,
		       const char *verb, bool to_is_needed);

/* ---- verbs_affinity.c */

void verb_affinity_create(struct api_client *c, const json_t *args);
void verb_affinity_delete(struct api_client *c, const json_t *args);
void verb_affinity_list(struct api_client *c, const json_t *args);

/* ---- verbs_decision.c */

/* The row, with its sentence; null of NULL. */
json_t *verb_decision_json(const struct db *db, const struct db_decision *d);
void verb_event_show(struct api_client *c, const json_t *args);
void verb_group_explain(struct api_client *c, const json_t *args);

/* ---- verbs.c, for verbs_place.c and verbs_decision.c */

/* The number in argument `id`; replies and returns false if it is none. */
bool verb_arg_id(struct api_client *c, const json_t *args, uint64_t *ret);

/* A list of names of volumes becomes one text. */
bool verb_arg_volumes(struct api_client *c, const json_t *volumes, char *to, size_t size);

/* ---- verbs_change.c */

struct db_command verb_command(struct api_client *c, enum db_cmd_type type);
/*
 * Hands it to the cluster, in the name of who asks; the reply comes when it is applied. With
 * dry_run it is done on a copy, and the reply is what would follow.
 */
void verb_submit(struct api_client *c, const struct db_command *cmd);
/* Several, of which all or none are done; `object` has to have if_version, see config.h. */
void verb_submit_all(struct api_client *c, const struct db_command *cmd, size_t count,
		     const char *object);
/*
 * Likewise, only if the whole configuration still has the version on which they were planned. Takes
 * `data`, an object, which is in the reply, too.
 */
void verb_submit_planned(struct api_client *c, const struct db_command *cmd, size_t count,
			 uint64_t version, json_t *data);
/* The head of a change in the name of who asks, for those that hand it over by themselves. */
struct db_command verb_change_head(struct api_client *c, const char *object);
/* The reply to a change that has ended so (engine_done). */
void verb_answer(struct api_client *c, int r, const struct db_result *result);
/* Refused because of if_version, with that text: who was faster, and when. */
void verb_reply_stale(struct api_client *c, const char *text);
/* False, with a reply, if a dry run is asked for of what is no command of the database. */
bool verb_has_no_dry_run(struct api_client *c, const char *why);

/* ---- verbs_agent.c */

void verb_agent_list(struct api_client *c, const json_t *args);
void verb_agent_show(struct api_client *c, const json_t *args);

/* ---- verbs_config.c */

void verb_config_apply(struct api_client *c, const json_t *args);
void verb_config_checkpoint_create(struct api_client *c, const json_t *args);
void verb_config_checkpoint_delete(struct api_client *c, const json_t *args);
void verb_config_checkpoint_list(struct api_client *c, const json_t *args);
void verb_config_diff(struct api_client *c, const json_t *args);
void verb_config_history(struct api_client *c, const json_t *args);
void verb_config_rollback(struct api_client *c, const json_t *args);
void verb_config_show(struct api_client *c, const json_t *args);

/* ---- verbs_force.c */

void verb_cluster_start(struct api_client *c, const json_t *args);
void verb_fence_confirm(struct api_client *c, const json_t *args);

/* ---- verbs_member.c */

void verb_node_add(struct api_client *c, const json_t *args);
void verb_node_leave(struct api_client *c, const json_t *args);
void verb_node_drain(struct api_client *c, const json_t *args);
void verb_node_evict(struct api_client *c, const json_t *args);
void verb_node_list(struct api_client *c, const json_t *args);
void verb_node_quarantine_clear(struct api_client *c, const json_t *args);
void verb_node_resume(struct api_client *c, const json_t *args);
void verb_node_show(struct api_client *c, const json_t *args);
/* Every member, with its state and why. */
json_t *verb_nodes_json(const struct engine *e);

/* ---- verbs_network.c */

void verb_network_list(struct api_client *c, const json_t *args);
void verb_network_set(struct api_client *c, const json_t *args);
void verb_network_show(struct api_client *c, const json_t *args);

/* ---- verbs_capacity.c */

/* Arguments memory (MiB) and cpu (hundredths of a core); DB_KEEP: not given. */
bool verb_arg_capacity(struct api_client *c, const json_t *args, uint32_t *ret_memory_mib,
		       uint32_t *ret_cpu_pct);
/* What the node has room for, what of it is reserved and what is free, into what is said of it. */
void verb_capacity_json(const struct capacity_map *map, uint8_t slot, json_t *o);
/* What the group reserves, likewise. */
void verb_reserve_json(const struct db *db, const struct db_group *g, json_t *o);
/* Whether the cluster would survive the losses that it is to survive, and if not, why. */
json_t *verb_admission_json(struct engine *e);
void verb_node_set(struct api_client *c, const json_t *args);

/* ---- verbs_place.c */

/* What is said of where it shall run; what is not given is kept. Replies and returns false. */
bool verb_arg_place(struct api_client *c, const json_t *args, struct db_cmd_group_place *ret);
bool verb_place_is_given(const struct db_cmd_group_place *place);
void verb_group_create(struct api_client *c, const json_t *args);
void verb_group_set(struct api_client *c, const json_t *args);
void verb_placement_set(struct api_client *c, const json_t *args);
void verb_placement_show(struct api_client *c, const json_t *args);

/* ---- verbs_quorum.c */

json_t *verb_quorum_json(const struct engine *e);
/* Names of the nodes in the set. */
json_t *verb_names_json(const struct cl_table *table, uint16_t set);
void verb_cluster_stop(struct api_client *c, const json_t *args);
void verb_fence_set(struct api_client *c, const json_t *args);
void verb_quorum_set(struct api_client *c, const json_t *args);
/* verbs_status.c */
void verb_cluster_status(struct api_client *c, const json_t *args);
void verb_quorum_show(struct api_client *c, const json_t *args);

/* ---- verbs_resource.c */

/* An object of strings becomes lines NAME=VALUE; replies and returns false if it cannot. */
bool verb_arg_params(struct api_client *c, const json_t *params, char *to, size_t size);
/*
 * Asks the agent of the command's resource for its meta-data, and hands it to `then`, which
 * replies. Where there is none the reply says why.
 */
typedef void (*verb_meta_fn)(struct api_client *c, struct db_command *cmd,
			     const struct ocf_meta *meta);
void verb_ask_agent(struct api_client *c, const struct db_command *cmd, const char *agent,
		    verb_meta_fn then);
/* Holds them to what the agent says; replies and returns false if they are wrong. */
bool verb_params_fit(struct api_client *c, const char *agent, const struct ocf_meta *meta,
		     const struct ocf_value *params, size_t n);
/* Takes lines NAME=VALUE, as of verb_arg_params(), apart in place. */
size_t verb_take_params(char *lines, struct ocf_value *params, size_t max);
/* The level of a deep monitor, 0 without one; replies and returns false if the agent has none. */
bool verb_deep_level(struct api_client *c, const char *agent, const struct ocf_meta *meta,
		     uint32_t deep_monitor_ms, uint8_t *ret);
/* The expression in argument `depends`; replies and returns false if it is too long or no text. */
bool verb_arg_depends(struct api_client *c, const json_t *args, char *to, size_t size);
void verb_resource_create(struct api_client *c, const json_t *args);
void verb_resource_delete(struct api_client *c, const json_t *args);
void verb_resource_list(struct api_client *c, const json_t *args);
void verb_resource_show(struct api_client *c, const json_t *args);

/* ---- verbs_resource_set.c */

/* One word for what people ask first of a group or resource; else NULL. Its fields say it apart. */
const char *verb_row_state(enum db_kind kind, const void *row);
void verb_group_clear(struct api_client *c, const json_t *args);
/* State and explanation of each resource of the group. */
json_t *verb_group_resources_json(const struct db *db, const char *group);
void verb_group_manage(struct api_client *c, const json_t *args);
void verb_group_unmanage(struct api_client *c, const json_t *args);
void verb_resource_clear(struct api_client *c, const json_t *args);
void verb_resource_explain(struct api_client *c, const json_t *args);
void verb_resource_fail(struct api_client *c, const json_t *args);
void verb_resource_manage(struct api_client *c, const json_t *args);
void verb_resource_set(struct api_client *c, const json_t *args);
void verb_resource_start(struct api_client *c, const json_t *args);
void verb_resource_stop(struct api_client *c, const json_t *args);
void verb_resource_unmanage(struct api_client *c, const json_t *args);

/* ---- verbs_secret.c */

void verb_secret_delete(struct api_client *c, const json_t *args);
void verb_secret_list(struct api_client *c, const json_t *args);
void verb_secret_set(struct api_client *c, const json_t *args);

/* ---- verbs_upgrade.c */

void verb_cluster_upgrade(struct api_client *c, const json_t *args);
void verb_cluster_version(struct api_client *c, const json_t *args);
#ifdef CLUSTERD_TEST_NEXT_VERSION
void verb_group_remark(struct api_client *c, const json_t *args); /* tests/next */
#endif

/* ---- verbs_vm.c */

/* There is a virtual machine of that name, and it is online. */
bool verb_vm_runs(struct api_client *c, const char *name);
/* Live migration of the one in argument `name` to the node in argument `to`. */
void verb_vm_move(struct api_client *c, const json_t *args, const char *verb);
/* The newest migration of that task, or NULL. */
json_t *verb_task_migration(const struct db *db, uint64_t task);
void verb_vm_create(struct api_client *c, const json_t *args);
void verb_vm_delete(struct api_client *c, const json_t *args);
void verb_vm_list(struct api_client *c, const json_t *args);
void verb_vm_migrate(struct api_client *c, const json_t *args);
void verb_vm_pause(struct api_client *c, const json_t *args);
void verb_vm_resume(struct api_client *c, const json_t *args);
void verb_vm_set(struct api_client *c, const json_t *args);
void verb_vm_show(struct api_client *c, const json_t *args);
void verb_vm_start(struct api_client *c, const json_t *args);
void verb_vm_stop(struct api_client *c, const json_t *args);

#define VERB_VM_COMMANDS 3
/* Text, uuid and volumes of the definition into the command; replies and returns false. */
bool verb_vm_definition(struct api_client *c, json_t *definition, struct db_cmd_vm_create *v);
/* vm_create, and what follows it in the same change; vm-host looks at the definition first. */
void verb_vm_create_all(struct api_client *c, const struct db_command *cmd, size_t count);
/* The one in argument `name`; replies and returns NULL if there is none. */
const struct db_vm *verb_arg_vm(struct api_client *c, const json_t *args);

/* ---- verbs_disks.c */

/*
 * Disks with a size, which are to be made, become the work of a job; size and sparse go from the
 * definition. Without such disks there is no work. Replies and returns false.
 */
bool verb_vm_new_disks(struct api_client *c, json_t *definition, const char *vm,
		       struct db_cmd_vm_job *job);
/* The job under way, for people; null if there is none. */
json_t *verb_vm_job_json(const struct db *db, const struct db_vm *v);
void verb_vm_clone(struct api_client *c, const json_t *args);
void verb_vm_snapshot_create(struct api_client *c, const json_t *args);
void verb_vm_snapshot_delete(struct api_client *c, const json_t *args);
void verb_vm_snapshot_list(struct api_client *c, const json_t *args);
void verb_vm_snapshot_revert(struct api_client *c, const json_t *args);

/* ---- verbs_replay.c */

void verb_simulate_decision(struct api_client *c, const json_t *args);
void verb_simulate_replay(struct api_client *c, const json_t *args);

/* ---- verbs_whatif.c */

struct whatif;

/* Notes, orders and outcome, all of it or only what changes, into what is replied. */
void verb_whatif_data(const struct whatif *w, bool all, json_t *o);
void verb_cluster_can_lose(struct api_client *c, const json_t *args);
void verb_simulate_group_fail(struct api_client *c, const json_t *args);
void verb_simulate_node_drain(struct api_client *c, const json_t *args);
void verb_simulate_node_loss(struct api_client *c, const json_t *args);
void verb_simulate_node_return(struct api_client *c, const json_t *args);

/* On a copy; the reply comes when that is at rest. Borrows the payload for the call; takes data. */
void verb_dry_run(struct api_client *c, const uint8_t *change, size_t len, json_t *data);

/* ---- verbs_witness.c */

/* quorum.set with a mode; the reply comes when the disk has been made a witness. */
void verb_quorum_mode(struct api_client *c, const json_t *args);
/* Mode and witness, into what quorum.show says; the table has its vote. */
void verb_witness_json(const struct engine *e, const struct cl_table *t, json_t *o);

/* ---- verbs_volume.c */

void verb_volume_balance(struct api_client *c, const json_t *args);
void verb_volume_grow(struct api_client *c, const json_t *args);
void verb_volume_redirect(struct api_client *c, const json_t *args);
void verb_volume_resume(struct api_client *c, const json_t *args);
void verb_volume_suspend(struct api_client *c, const json_t *args);
void verb_volume_clear(struct api_client *c, const json_t *args);
void verb_volume_create(struct api_client *c, const json_t *args);
void verb_volume_delete(struct api_client *c, const json_t *args);
void verb_volume_list(struct api_client *c, const json_t *args);
void verb_volume_move(struct api_client *c, const json_t *args);
void verb_volume_show(struct api_client *c, const json_t *args);

#endif
