/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/schema.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "clusterd/core/placement.h"
#include "lib/must.h"
#include "lib/wire.h"

/* ---- words of choices */
#define WORD(NAME, word)	word,
#define WORDS(name, NAME, LIST) static const char *const words_##name[] = {LIST(WORD)};
DB_CHOICES(WORDS)
#undef WORDS
#undef WORD

/* ---- descriptors */
#define WORDS_str(arg)	    NULL, 0
#define WORDS_u8(arg)	    NULL, 0
#define WORDS_u16(arg)	    NULL, 0
#define WORDS_u32(arg)	    NULL, 0
#define WORDS_u64(arg)	    NULL, 0
#define WORDS_node(arg)	    NULL, 0
#define WORDS_nodes(arg)    NULL, 0
#define WORDS_owners(arg)   NULL, 0
#define WORDS_verdicts(arg) WORDS_choice(arg)
#define WORDS_scores(arg)   NULL, 0
#define WORDS_time(arg)	    NULL, 0
#define WORDS_mark(arg)	    NULL, 0
#define WORDS_flag(arg)	    NULL, 0
#define WORDS_choice(arg)   words_##arg, MUST_ARRAY_SIZE(words_##arg)

#define DESCRIBE(type, name, arg)                                                                  \
	{#name, DB_TYPE_##type, offsetof(STRUCT, name), sizeof(((STRUCT *)0)->name),               \
	 WORDS_##type(arg)},

#define STRUCT struct db_cluster
static const struct db_field fields_cluster[] = {DB_CLUSTER_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_node
static const struct db_field fields_node[] = {DB_NODE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_group
static const struct db_field fields_group[] = {DB_GROUP_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_resource
static const struct db_field fields_resource[] = {DB_RESOURCE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_param
static const struct db_field fields_param[] = {DB_PARAM_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_task
static const struct db_field fields_task[] = {DB_TASK_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_event
static const struct db_field fields_event[] = {DB_EVENT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_origin
static const struct db_field fields_origin[] = {DB_ORIGIN_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_epoch
static const struct db_field fields_epoch[] = {DB_EPOCH_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_cmd_cluster_init
static const struct db_field fields_cmd_cluster_init[] = {DB_CMD_CLUSTER_INIT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_admit
static const struct db_field fields_cmd_node_admit[] = {DB_CMD_NODE_ADMIT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_lost
static const struct db_field fields_cmd_node_lost[] = {DB_CMD_NODE_LOST_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_fenced
static const struct db_field fields_cmd_node_fenced[] = {DB_CMD_NODE_FENCED_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_pause
static const struct db_field fields_cmd_node_pause[] = {DB_CMD_NODE_PAUSE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_group_create
static const struct db_field fields_cmd_group_create[] = {DB_CMD_GROUP_CREATE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_group_delete
static const struct db_field fields_cmd_group_delete[] = {DB_CMD_GROUP_DELETE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_group_intent
static const struct db_field fields_cmd_group_intent[] = {DB_CMD_GROUP_INTENT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_resource_create
static const struct db_field fields_cmd_resource_create[] = {
	DB_CMD_RESOURCE_CREATE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_resource_delete
static const struct db_field fields_cmd_resource_delete[] = {
	DB_CMD_RESOURCE_DELETE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_param_set
static const struct db_field fields_cmd_param_set[] = {DB_CMD_PARAM_SET_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_group_order
static const struct db_field fields_cmd_group_order[] = {DB_CMD_GROUP_ORDER_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_group_report
static const struct db_field fields_cmd_group_report[] = {DB_CMD_GROUP_REPORT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_resource_report
static const struct db_field fields_cmd_resource_report[] = {
	DB_CMD_RESOURCE_REPORT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_task_cancel
static const struct db_field fields_cmd_task_cancel[] = {DB_CMD_TASK_CANCEL_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_cmd_node_leave
static const struct db_field fields_cmd_node_leave[] = {DB_CMD_NODE_LEAVE_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_fence
static const struct db_field fields_fence[] = {DB_FENCE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_fence_create
static const struct db_field fields_cmd_fence_create[] = {DB_CMD_FENCE_CREATE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_fence_delete
static const struct db_field fields_cmd_fence_delete[] = {DB_CMD_FENCE_DELETE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_fencing
static const struct db_field fields_cmd_node_fencing[] = {DB_CMD_NODE_FENCING_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_fence_note
static const struct db_field fields_cmd_fence_note[] = {DB_CMD_FENCE_NOTE_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_volume
static const struct db_field fields_volume[] = {DB_VOLUME_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_mount
static const struct db_field fields_mount[] = {DB_MOUNT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_volume_create
static const struct db_field fields_cmd_volume_create[] = {DB_CMD_VOLUME_CREATE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_volume_delete
static const struct db_field fields_cmd_volume_delete[] = {DB_CMD_VOLUME_DELETE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_volume_intent
static const struct db_field fields_cmd_volume_intent[] = {DB_CMD_VOLUME_INTENT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_volume_order
static const struct db_field fields_cmd_volume_order[] = {DB_CMD_VOLUME_ORDER_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_volume_report
static const struct db_field fields_cmd_volume_report[] = {DB_CMD_VOLUME_REPORT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_mount_set
static const struct db_field fields_cmd_mount_set[] = {DB_CMD_MOUNT_SET_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_mount_report
static const struct db_field fields_cmd_mount_report[] = {DB_CMD_MOUNT_REPORT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_mount_gone
static const struct db_field fields_cmd_mount_gone[] = {DB_CMD_MOUNT_GONE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_mount_voice
static const struct db_field fields_cmd_mount_voice[] = {DB_CMD_MOUNT_VOICE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_secret_set
static const struct db_field fields_cmd_secret_set[] = {DB_CMD_SECRET_SET_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_secret_delete
static const struct db_field fields_cmd_secret_delete[] = {DB_CMD_SECRET_DELETE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_depart
static const struct db_field fields_cmd_node_depart[] = {DB_CMD_NODE_DEPART_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_cluster_upgrade
static const struct db_field fields_cmd_cluster_upgrade[] = {
	DB_CMD_CLUSTER_UPGRADE_FIELDS(DESCRIBE)};
#undef STRUCT
#ifdef CLUSTERD_TEST_NEXT_VERSION
#define STRUCT struct db_cmd_group_remark
static const struct db_field fields_cmd_group_remark[] = {DB_CMD_GROUP_REMARK_FIELDS(DESCRIBE)};
#undef STRUCT
#endif
#define STRUCT struct db_cmd_secret_held
static const struct db_field fields_cmd_secret_held[] = {DB_CMD_SECRET_HELD_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_secret
static const struct db_field fields_secret[] = {DB_SECRET_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_clock
static const struct db_field fields_cmd_clock[] = {DB_CMD_CLOCK_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_volume_recovered
static const struct db_field fields_cmd_volume_recovered[] = {
	DB_CMD_VOLUME_RECOVERED_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_vm
static const struct db_field fields_vm[] = {DB_VM_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_migration
static const struct db_field fields_migration[] = {DB_MIGRATION_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_vm_create
static const struct db_field fields_cmd_vm_create[] = {DB_CMD_VM_CREATE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_vm_delete
static const struct db_field fields_cmd_vm_delete[] = {DB_CMD_VM_DELETE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_vm_set_paused
static const struct db_field fields_cmd_vm_set_paused[] = {DB_CMD_VM_SET_PAUSED_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_vm_migrate
static const struct db_field fields_cmd_vm_migrate[] = {DB_CMD_VM_MIGRATE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_migration_order
static const struct db_field fields_cmd_migration_order[] = {
	DB_CMD_MIGRATION_ORDER_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_migration_report
static const struct db_field fields_cmd_migration_report[] = {
	DB_CMD_MIGRATION_REPORT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_migration_transfer
static const struct db_field fields_cmd_migration_transfer[] = {
	DB_CMD_MIGRATION_TRANSFER_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_migration_end
static const struct db_field fields_cmd_migration_end[] = {DB_CMD_MIGRATION_END_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_fence_ask
static const struct db_field fields_cmd_fence_ask[] = {DB_CMD_FENCE_ASK_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_group_set
static const struct db_field fields_cmd_group_set[] = {DB_CMD_GROUP_SET_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_cmd_node_add
static const struct db_field fields_cmd_node_add[] = {DB_CMD_NODE_ADD_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_evict
static const struct db_field fields_cmd_node_evict[] = {DB_CMD_NODE_EVICT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_address
static const struct db_field fields_cmd_node_address[] = {DB_CMD_NODE_ADDRESS_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_conf
static const struct db_field fields_cmd_node_conf[] = {DB_CMD_NODE_CONF_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_removed
static const struct db_field fields_cmd_node_removed[] = {DB_CMD_NODE_REMOVED_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_cmd_group_place
static const struct db_field fields_cmd_group_place[] = {DB_CMD_GROUP_PLACE_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_cmd_node_capacity
static const struct db_field fields_cmd_node_capacity[] = {DB_CMD_NODE_CAPACITY_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_set
static const struct db_field fields_cmd_node_set[] = {DB_CMD_NODE_SET_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_group_reserve
static const struct db_field fields_cmd_group_reserve[] = {DB_CMD_GROUP_RESERVE_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_decision
static const struct db_field fields_decision[] = {DB_DECISION_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_affinity
static const struct db_field fields_affinity[] = {DB_AFFINITY_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_affinity_create
static const struct db_field fields_cmd_affinity_create[] = {
	DB_CMD_AFFINITY_CREATE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_affinity_delete
static const struct db_field fields_cmd_affinity_delete[] = {
	DB_CMD_AFFINITY_DELETE_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_setting
static const struct db_field fields_setting[] = {DB_SETTING_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_setting_set
static const struct db_field fields_cmd_setting_set[] = {DB_CMD_SETTING_SET_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_quarantine_clear
static const struct db_field fields_cmd_node_quarantine_clear[] = {
	DB_CMD_NODE_QUARANTINE_CLEAR_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_conf_adopt
static const struct db_field fields_cmd_conf_adopt[] = {DB_CMD_CONF_ADOPT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_network
static const struct db_field fields_network[] = {DB_NETWORK_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_network_set
static const struct db_field fields_cmd_network_set[] = {DB_CMD_NETWORK_SET_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_vote_note
static const struct db_field fields_cmd_vote_note[] = {DB_CMD_VOTE_NOTE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_resource_set
static const struct db_field fields_cmd_resource_set[] = {DB_CMD_RESOURCE_SET_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_resource_manage
static const struct db_field fields_cmd_resource_manage[] = {
	DB_CMD_RESOURCE_MANAGE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_resource_intent
static const struct db_field fields_cmd_resource_intent[] = {
	DB_CMD_RESOURCE_INTENT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_resource_clear
static const struct db_field fields_cmd_resource_clear[] = {DB_CMD_RESOURCE_CLEAR_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_resource_fail
static const struct db_field fields_cmd_resource_fail[] = {DB_CMD_RESOURCE_FAIL_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_cmd_db_note
static const struct db_field fields_cmd_db_note[] = {DB_CMD_DB_NOTE_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_version
static const struct db_field fields_version[] = {DB_VERSION_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_audit
static const struct db_field fields_audit[] = {DB_AUDIT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_checkpoint
static const struct db_field fields_checkpoint[] = {DB_CHECKPOINT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_checkpoint_part
static const struct db_field fields_checkpoint_part[] = {DB_CHECKPOINT_PART_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_change
static const struct db_field fields_cmd_change[] = {DB_CMD_CHANGE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_config_set
static const struct db_field fields_cmd_config_set[] = {DB_CMD_CONFIG_SET_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_config_unset
static const struct db_field fields_cmd_config_unset[] = {DB_CMD_CONFIG_UNSET_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_checkpoint_create
static const struct db_field fields_cmd_checkpoint_create[] = {
	DB_CMD_CHECKPOINT_CREATE_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_checkpoint_delete
static const struct db_field fields_cmd_checkpoint_delete[] = {
	DB_CMD_CHECKPOINT_DELETE_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_cmd_history_saved
static const struct db_field fields_cmd_history_saved[] = {DB_CMD_HISTORY_SAVED_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_node_down
static const struct db_field fields_cmd_node_down[] = {DB_CMD_NODE_DOWN_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_cmd_quorum_mode
static const struct db_field fields_cmd_quorum_mode[] = {DB_CMD_QUORUM_MODE_FIELDS(DESCRIBE)};
#undef STRUCT

#define STRUCT struct db_job
static const struct db_field fields_job[] = {DB_JOB_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_snapshot
static const struct db_field fields_snapshot[] = {DB_SNAPSHOT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_vm_job
static const struct db_field fields_cmd_vm_job[] = {DB_CMD_VM_JOB_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_job_order
static const struct db_field fields_cmd_job_order[] = {DB_CMD_JOB_ORDER_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_job_report
static const struct db_field fields_cmd_job_report[] = {DB_CMD_JOB_REPORT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_job_end
static const struct db_field fields_cmd_job_end[] = {DB_CMD_JOB_END_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_volume_redirect
static const struct db_field fields_cmd_volume_redirect[] = {
	DB_CMD_VOLUME_REDIRECT_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_volume_suspend
static const struct db_field fields_cmd_volume_suspend[] = {DB_CMD_VOLUME_SUSPEND_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_mount_io
static const struct db_field fields_cmd_mount_io[] = {DB_CMD_MOUNT_IO_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_volume_grow
static const struct db_field fields_cmd_volume_grow[] = {DB_CMD_VOLUME_GROW_FIELDS(DESCRIBE)};
#undef STRUCT
#define STRUCT struct db_cmd_volume_grown
static const struct db_field fields_cmd_volume_grown[] = {DB_CMD_VOLUME_GROWN_FIELDS(DESCRIBE)};
#undef STRUCT

static const struct db_shape kind_shape[DB_KIND_MAX] = {
#define KIND_SHAPE(name, NAME, capacity)                                                           \
	[DB_KIND_##NAME] = {#name, fields_##name, MUST_ARRAY_SIZE(fields_##name),                  \
			    sizeof(struct db_##name), capacity},
	DB_KINDS(KIND_SHAPE)
#undef KIND_SHAPE
};

static const struct db_shape command_shape[DB_CMD_MAX] = {
#define COMMAND_SHAPE(number, name, NAME)                                                          \
	[number] = {#name, fields_cmd_##name, MUST_ARRAY_SIZE(fields_cmd_##name),                  \
		    sizeof(struct db_cmd_##name), 0},
	DB_COMMANDS(COMMAND_SHAPE)
#undef COMMAND_SHAPE
};

const struct db_shape *db_kind_shape(enum db_kind kind)
{
	must(kind < DB_KIND_MAX);
	return &kind_shape[kind];
}

const char *db_choice_word(enum db_kind kind, const char *field, uint8_t value)
{
	const struct db_shape *shape = db_kind_shape(kind);

	for (uint8_t i = 0; i < shape->field_count; i++) {
		const struct db_field *f = &shape->field[i];

		if (f->type == DB_TYPE_choice && !strcmp(f->name, field))
			return value < f->word_count ? f->words[value] : "?";
	}
	return "?";
}

const struct db_shape *db_command_shape(uint16_t type)
{
	if (type >= DB_CMD_MAX || !command_shape[type].name)
		return NULL;
	return &command_shape[type];
}

/* ---- versions */

struct since {
	const char *shape;
	const char *field; /* "": all of it */
	uint16_t version;
};

static const struct since since[] = {
#define SINCE(shape, field, version) {#shape, field, version},
	DB_SINCE(SINCE)
#undef SINCE
		{NULL, NULL, 0},
};

static uint16_t since_of(const struct db_shape *shape, const char *field)
{
	for (const struct since *s = since; s->shape; s++) {
		if (!strcmp(s->shape, shape->name) && !strcmp(s->field, field))
			return s->version;
	}
	return 0;
}

uint16_t db_shape_since(const struct db_shape *shape)
{
	return since_of(shape, "");
}

uint16_t db_field_since(const struct db_shape *shape, const struct db_field *field)
{
	return since_of(shape, field->name);
}

uint8_t db_shape_fields(const struct db_shape *shape, uint16_t version)
{
	uint8_t count = shape->field_count;

	if (version >= DB_VERSION_MAX)
		return count;
	while (count && since_of(shape, shape->field[count - 1].name) > version)
		count--;
	return count;
}

static bool is_filled(const struct db_field *f, const void *body)
{
	const uint8_t *p = (const uint8_t *)body + f->offset;

	if (f->type == DB_TYPE_str)
		return *p;
	for (uint16_t i = 0; i < f->size; i++) {
		if (p[i])
			return true;
	}
	return false;
}

uint16_t db_command_needs(const struct db_command *cmd)
{
	const struct db_shape *shape = db_command_shape((uint16_t)cmd->type);
	uint16_t needs = since_of(shape, "");

	for (uint8_t i = db_shape_fields(shape, DB_VERSION_MIN); i < shape->field_count; i++) {
		uint16_t v = db_field_since(shape, &shape->field[i]);

		if (v > needs && is_filled(&shape->field[i], &cmd->cluster_init))
			needs = v;
	}
	return needs;
}

/* What a command begins with: its number, and the version in whose format the rest is. */
#define HEAD_SHIFT 8
_Static_assert(DB_CMD_MAX <= 1 << HEAD_SHIFT, "the number of a command has one byte");
_Static_assert(DB_VERSION_MAX <= CL_VERSION_LAST, "so has a version");

static uint8_t version_of(const struct db_command *cmd)
{
	return cmd->version ? cmd->version : DB_VERSION_MAX;
}

static void put_head(struct wire_writer *w, const struct db_command *cmd)
{
	wire_put_u16(w, (uint16_t)((unsigned int)version_of(cmd) << HEAD_SHIFT |
				   (unsigned int)cmd->type));
}

static uint16_t get_head(struct wire_reader *r, uint8_t *ret_version)
{
	uint16_t head = wire_get_u16(r);

	*ret_version = (uint8_t)(head >> HEAD_SHIFT);
	return (uint16_t)(head & ((1 << HEAD_SHIFT) - 1));
}

/* NULL for what that version does not have. */
static const struct db_shape *shape_at(uint16_t type, uint8_t version)
{
	const struct db_shape *shape = db_command_shape(type);

	return shape && db_shape_since(shape) <= version ? shape : NULL;
}

static void put_field(struct wire_writer *w, const struct db_field *f, const void *p)
{
	switch (f->type) {
	case DB_TYPE_str:
		wire_put_str(w, p);
		break;
	case DB_TYPE_u8:
	case DB_TYPE_node:
	case DB_TYPE_choice:
		wire_put_u8(w, *(const uint8_t *)p);
		break;
	case DB_TYPE_u16:
	case DB_TYPE_nodes:
		wire_put_u16(w, *(const uint16_t *)p);
		break;
	case DB_TYPE_scores:
		for (uint16_t i = 0; i < CL_MAX_NODES; i++)
			wire_put_u32(w, ((const uint32_t *)p)[i]);
		break;
	case DB_TYPE_owners:
	case DB_TYPE_verdicts:
		for (uint16_t i = 0; i < f->size; i++)
			wire_put_u8(w, ((const uint8_t *)p)[i]);
		break;
	case DB_TYPE_u32:
		wire_put_u32(w, *(const uint32_t *)p);
		break;
	case DB_TYPE_u64:
	case DB_TYPE_time:
	case DB_TYPE_mark:
		wire_put_u64(w, *(const uint64_t *)p);
		break;
	case DB_TYPE_flag:
		wire_put_u8(w, *(const bool *)p);
		break;
	}
}

static void get_field(struct wire_reader *r, const struct db_field *f, void *p)
{
	switch (f->type) {
	case DB_TYPE_str:
		wire_get_str(r, p, f->size);
		break;
	case DB_TYPE_u8:
	case DB_TYPE_node:
		*(uint8_t *)p = wire_get_u8(r);
		break;
	case DB_TYPE_choice:
		*(uint8_t *)p = wire_get_enum(r, f->word_count);
		break;
	case DB_TYPE_u16:
	case DB_TYPE_nodes:
		*(uint16_t *)p = wire_get_u16(r);
		break;
	case DB_TYPE_scores:
		for (uint16_t i = 0; i < CL_MAX_NODES; i++)
			((uint32_t *)p)[i] = wire_get_u32(r);
		break;
	case DB_TYPE_verdicts:
		for (uint16_t i = 0; i < f->size; i++)
			((uint8_t *)p)[i] = wire_get_enum(r, f->word_count);
		break;
	case DB_TYPE_owners:
		for (uint16_t i = 0; i < f->size; i++)
			((uint8_t *)p)[i] = wire_get_u8(r);
		if (!r->error && !placement_owners_are_sound(p))
			wire_reader_fail(r);
		break;
	case DB_TYPE_u32:
		*(uint32_t *)p = wire_get_u32(r);
		break;
	case DB_TYPE_u64:
	case DB_TYPE_time:
	case DB_TYPE_mark:
		*(uint64_t *)p = wire_get_u64(r);
		break;
	case DB_TYPE_flag:
		*(bool *)p = wire_get_bool(r);
		break;
	}
}

void db_shape_put(struct wire_writer *w, const struct db_shape *shape, uint16_t version,
		  const void *row)
{
	uint8_t count = db_shape_fields(shape, version);

	for (uint8_t i = 0; i < count; i++)
		put_field(w, &shape->field[i], (const char *)row + shape->field[i].offset);
}

void db_shape_get(struct wire_reader *r, const struct db_shape *shape, uint16_t version, void *row)
{
	uint8_t count = db_shape_fields(shape, version);

	memset(row, 0, shape->size);
	for (uint8_t i = 0; i < count; i++)
		get_field(r, &shape->field[i], (char *)row + shape->field[i].offset);
}

/* Where the body of a command lies: the first member of the union, whichever it is. */
static void *command_body(struct db_command *cmd)
{
	return &cmd->cluster_init;
}

int db_command_encode(const struct db_command *cmd, void *buf, size_t cap, size_t *ret_len)
{
	const struct db_shape *shape = db_command_shape((uint16_t)cmd->type);
	struct wire_writer w;

	must(shape);
	wire_writer_init(&w, buf, cap);
	put_head(&w, cmd);
	wire_put_u64(&w, cmd->at_ms);
	wire_put_str(&w, cmd->actor);
	db_shape_put(&w, shape, version_of(cmd), &cmd->cluster_init);
	return wire_writer_end(&w, ret_len);
}

int db_command_decode(const void *buf, size_t len, struct db_command *ret)
{
	struct db_command cmd;
	const struct db_shape *shape;
	struct wire_reader r;
	uint16_t type;

	memset(&cmd, 0, sizeof(cmd));
	wire_reader_init(&r, buf, len);
	type = get_head(&r, &cmd.version);
	if (cmd.version > DB_VERSION_MAX)
		return -EPROTO;
	shape = shape_at(type, cmd.version);
	if (!shape || !cmd.version)
		return -EBADMSG;
	cmd.type = (enum db_cmd_type)type;
	cmd.at_ms = wire_get_u64(&r);
	wire_get_str(&r, cmd.actor, sizeof(cmd.actor));
	db_shape_get(&r, shape, cmd.version, command_body(&cmd));
	if (wire_reader_end(&r))
		return -EBADMSG;
	*ret = cmd;
	return 0;
}

uint64_t db_command_ms(const void *buf, size_t len)
{
	struct wire_reader r;
	uint8_t version;
	uint64_t at_ms;

	wire_reader_init(&r, buf, len);
	get_head(&r, &version);
	at_ms = wire_get_u64(&r);
	return r.error ? 0 : at_ms;
}

/* ---- changes */

int db_change_encode(const struct db_command *change, const struct db_command *cmd, size_t count,
		     void *buf, size_t cap, size_t *ret_len)
{
	struct wire_writer w;
	size_t head;

	must(change->type == DB_CMD_CHANGE);
	if (count > DB_CHANGE_COMMANDS_MAX || db_command_encode(change, buf, cap, &head))
		return -ENOBUFS;
	wire_writer_init(&w, (uint8_t *)buf + head, cap - head);
	wire_put_u16(&w, (uint16_t)count);
	for (size_t i = 0; i < count; i++) {
		wire_put_u16(&w, (uint16_t)cmd[i].type);
		db_shape_put(&w, db_command_shape((uint16_t)cmd[i].type), version_of(change),
			     &cmd[i].cluster_init);
	}
	if (wire_writer_end(&w, ret_len))
		return -ENOBUFS;
	*ret_len += head;
	return 0;
}

bool db_change_is(const void *buf, size_t len)
{
	struct wire_reader r;
	uint8_t version;

	wire_reader_init(&r, buf, len);
	return get_head(&r, &version) == DB_CMD_CHANGE && !r.error;
}

void db_change_next(struct wire_reader *r, const struct db_command *change, struct db_command *ret)
{
	const struct db_shape *shape;
	uint16_t type = wire_get_u16(r);

	memset(ret, 0, sizeof(*ret));
	shape = shape_at(type, change->version);
	if (!shape || type == DB_CMD_CHANGE) {
		wire_reader_fail(r);
		return;
	}
	ret->type = (enum db_cmd_type)type;
	ret->version = change->version;
	ret->at_ms = change->at_ms;
	memcpy(ret->actor, change->actor, sizeof(ret->actor));
	db_shape_get(r, shape, ret->version, command_body(ret));
}

int db_change_open(const void *buf, size_t len, struct db_command *ret_change,
		   struct wire_reader *ret_reader, uint32_t *ret_count)
{
	struct db_command head, cmd;
	struct wire_reader r, all;
	uint32_t count;

	memset(&head, 0, sizeof(head));
	wire_reader_init(&r, buf, len);
	head.type = (enum db_cmd_type)get_head(&r, &head.version);
	if (head.version > DB_VERSION_MAX)
		return -EPROTO;
	head.at_ms = wire_get_u64(&r);
	wire_get_str(&r, head.actor, sizeof(head.actor));
	db_shape_get(&r, db_command_shape(DB_CMD_CHANGE), head.version, &head.change);
	count = wire_get_u16(&r);
	all = r;
	for (uint32_t i = 0; i < count && !all.error; i++)
		db_change_next(&all, &head, &cmd);
	if (wire_reader_end(&all) || head.type != DB_CMD_CHANGE || !count || !head.version)
		return -EBADMSG;
	*ret_change = head;
	*ret_reader = r;
	*ret_count = count;
	return 0;
}
