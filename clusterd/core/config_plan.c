/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a document to commands: what is not named goes first, but for volumes and settings, so that
 * names, uuids and room are free; then objects are made, in the order in which they name each
 * other, and their fields set; volumes and settings that are not named go last.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/apply_impl.h"
#include "clusterd/core/config.h"
#include "clusterd/core/msg.h"
#include "clusterd/core/vm.h"
#include "lib/must.h"

#define INSTANCE UINT64_MAX /* no request came from here under this: none is a repeated one */

/* ---- the copy */

static bool refuse(struct config_plan *p, const struct config_item *item, enum db_code code,
		   const char *text)
{
	p->code = code;
	p->bad = item;
	snprintf(p->text, sizeof(p->text), "%s", text);
	return false;
}

/* Does it on the copy, and keeps it; false: it is refused. */
static bool give(struct config_plan *p, const struct config_item *item, struct db_command *cmd)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = p->db->index + 1,
			     .epoch = p->db->epoch,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = INSTANCE,
			     .request = ++p->request,
			     .payload = buf};
	struct db_result r;

	cmd->version = (uint8_t)p->db->version;
	must(!db_command_encode(cmd, buf, sizeof(buf), &e.payload_len));
	db_apply(p->db, &e, &r);
	if (r.code)
		return refuse(p, item, r.code, r.text);
	p->take(p->arg, cmd);
	return true;
}

/* ---- the document */

/* First item of the object, or where it would be. */
static size_t item_search(const struct config_plan *p, const struct config_kind *k,
			  const char *name, const char *field)
{
	struct config_item wanted = {.section = k->section, .name = name, .field = field};
	size_t lo = 0, hi = p->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (config_item_compare(&p->item[mid], &wanted) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct config_item *item_find(const struct config_plan *p, const struct config_kind *k,
					   const char *name, const char *field)
{
	struct config_item wanted = {.section = k->section, .name = name, .field = field};
	size_t i = item_search(p, k, name, field);

	return i < p->count && !config_item_compare(&p->item[i], &wanted) ? &p->item[i] : NULL;
}

/* ---- deletion */

/* Its rows come and go with the virtual machine of that name. */
static bool is_part_of_vm(const struct db *db, const struct config_kind *k, const void *row)
{
	if (k->kind == DB_KIND_GROUP)
		return db_find(db, DB_KIND_VM, row);
	if (k->kind == DB_KIND_RESOURCE)
		return db_find(db, DB_KIND_VM, ((const struct db_resource *)row)->group);
	return false;
}

static bool remove_object(struct config_plan *p, const struct config_kind *k, const char *name)
{
	struct db_command cmd = {.type = DB_CMD_SETTING_SET};

	switch (k->kind) {
	case DB_KIND_FENCE:
		cmd.type = DB_CMD_FENCE_DELETE;
		break;
	case DB_KIND_RESOURCE:
		cmd.type = DB_CMD_RESOURCE_DELETE;
		break;
	case DB_KIND_VM:
		cmd.type = DB_CMD_VM_DELETE;
		break;
	case DB_KIND_GROUP:
		cmd.type = DB_CMD_GROUP_DELETE;
		break;
	case DB_KIND_VOLUME:
		cmd.type = DB_CMD_VOLUME_DELETE;
		break;
	case DB_KIND_AFFINITY:
		cmd.type = DB_CMD_AFFINITY_DELETE;
		break;
	default:
		break;
	}
	/* Of each of them the first field is the name. */
	snprintf((char *)&cmd.cluster_init, CL_NAME_MAX, "%s", name);
	return give(p, NULL, &cmd);
}

static bool prune_kind(struct config_plan *p, const struct config_kind *k)
{
	for (uint32_t i = db_count(p->db, k->kind); i-- > 0;) {
		const void *row = db_at(p->db, k->kind, i);
		char name[DB_KEY_MAX];

		if (!config_is_there(k, row) || is_part_of_vm(p->db, k, row) ||
		    item_find(p, k, row, ""))
			continue;
		snprintf(name, sizeof(name), "%s", (const char *)row);
		if (!remove_object(p, k, name))
			return false;
	}
	return true;
}

static bool prune(struct config_plan *p, bool is_first)
{
	bool ok = p->code == DB_OK;

	for (size_t i = CONFIG_KINDS; ok && p->prunes && i-- > 0;) {
		const struct config_kind *k = config_kind_at(i);
		bool is_late = k->kind == DB_KIND_VOLUME || k->kind == DB_KIND_SETTING;

		if (k->kind != DB_KIND_NODE && is_late != is_first)
			ok = prune_kind(p, k);
	}
	return ok;
}

/* ---- creation */

static bool put_text(struct config_plan *p, const struct config_kind *k,
		     const struct config_item *object, const char *field, char *to, size_t size)
{
	const struct config_item *item = item_find(p, k, object->name, field);
	char text[DB_REASON_MAX];

	if (item && item->value && strlen(item->value) < size) {
		memcpy(to, item->value, strlen(item->value) + 1);
		return true;
	}
	snprintf(text, sizeof(text),
		 item && item->value ? "%s: longer than %zu bytes"
				     : "%s: missing; of at most %zu bytes",
		 field, size - 1);
	return refuse(p, item ? item : object, DB_INVALID, text);
}

/* Its parameters as lines. */
static bool put_params(struct config_plan *p, const struct config_kind *k,
		       const struct config_item *object, char *to, size_t size)
{
	size_t at = 0, prefix = strlen(CONFIG_PARAMS);

	for (size_t i = item_search(p, k, object->name, ""); i < p->count; i++) {
		const struct config_item *item = &p->item[i];

		if (strcmp(item->section, k->section) != 0 || strcmp(item->name, object->name) != 0)
			break;
		if (strncmp(item->field, CONFIG_PARAMS, prefix) != 0)
			continue;
		if (!item->value)
			return refuse(p, item, DB_INVALID,
				      "its value is not in the document, and not in the cluster");
		at += (size_t)snprintf(to + at, size - at, "%s=%s\n", item->field + prefix,
				       item->value);
		if (at >= size)
			return refuse(p, item, DB_INVALID, "too many parameters");
	}
	return true;
}

static bool make_vm(struct config_plan *p, const struct config_kind *k, const struct config_item *o,
		    struct db_command *cmd)
{
	struct db_cmd_vm_create *v = &cmd->vm_create;
	const struct config_item *volumes = item_find(p, k, o->name, "volumes");

	cmd->type = DB_CMD_VM_CREATE;
	v->priority = 100;
	v->restart_max = 3;
	v->restart_ms = AGE_RESTART_MS;
	v->monitor_ms = 10000;
	v->start_ms = 60000;
	v->stop_ms = 180000;
	return put_text(p, k, o, "uuid", v->uuid, sizeof(v->uuid)) &&
	       put_text(p, k, o, "definition", v->definition, sizeof(v->definition)) &&
	       (!volumes || put_text(p, k, o, "volumes", v->volumes, sizeof(v->volumes)));
}

static bool make_resource(struct config_plan *p, const struct config_kind *k,
			  const struct config_item *o, struct db_command *cmd)
{
	struct db_cmd_resource_create *r = &cmd->resource_create;

	cmd->type = DB_CMD_RESOURCE_CREATE;
	r->restart_max = 3;
	r->restart_ms = AGE_RESTART_MS;
	r->monitor_ms = 10000;
	r->start_ms = r->stop_ms = 60000;
	return put_text(p, k, o, "group", r->group, sizeof(r->group)) &&
	       put_text(p, k, o, "agent", r->agent, sizeof(r->agent)) &&
	       put_params(p, k, o, r->params, sizeof(r->params));
}

static bool make_fence(struct config_plan *p, const struct config_kind *k,
		       const struct config_item *o, struct db_command *cmd)
{
	struct db_cmd_fence_create *f = &cmd->fence_create;

	cmd->type = DB_CMD_FENCE_CREATE;
	f->level = 1;
	f->timeout_ms = 30000;
	for (uint32_t i = 0; i < db_count(p->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(p->db, DB_KIND_NODE, i);

		f->nodes = (uint16_t)(f->nodes | cl_bit(n->slot));
	}
	return put_text(p, k, o, "agent", f->agent, sizeof(f->agent)) &&
	       put_params(p, k, o, f->params, sizeof(f->params));
}

static bool make_affinity(struct config_plan *p, const struct config_kind *k,
			  const struct config_item *o, struct db_command *cmd)
{
	cmd->type = DB_CMD_AFFINITY_CREATE;
	return put_text(p, k, o, "groups", cmd->affinity_create.groups,
			sizeof(cmd->affinity_create.groups));
}

/* What cannot be set afterwards; the rest as the API has it by default. */
static bool make(struct config_plan *p, const struct config_kind *k, const struct config_item *o)
{
	struct db_command cmd;
	bool ok = true;

	memset(&cmd, 0, sizeof(cmd));
	switch (k->kind) {
	case DB_KIND_SETTING:
		cmd.type = DB_CMD_SETTING_SET;
		ok = put_text(p, k, o, "value", cmd.setting_set.value,
			      sizeof(cmd.setting_set.value));
		break;
	case DB_KIND_VOLUME:
		cmd.type = DB_CMD_VOLUME_CREATE;
		ok = put_text(p, k, o, "uuid", cmd.volume_create.uuid,
			      sizeof(cmd.volume_create.uuid)) &&
		     put_text(p, k, o, "device", cmd.volume_create.device,
			      sizeof(cmd.volume_create.device));
		break;
	case DB_KIND_VM:
		ok = make_vm(p, k, o, &cmd);
		break;
	case DB_KIND_GROUP:
		cmd.type = DB_CMD_GROUP_CREATE;
		cmd.group_create.priority = 100;
		break;
	case DB_KIND_RESOURCE:
		ok = make_resource(p, k, o, &cmd);
		break;
	case DB_KIND_FENCE:
		ok = make_fence(p, k, o, &cmd);
		break;
	case DB_KIND_AFFINITY:
		ok = make_affinity(p, k, o, &cmd);
		break;
	default:
		return refuse(p, o, DB_NO_SUCH, "no such node: see 'clusterctl node add'");
	}
	if (ok && strlen(o->name) >= (k->kind == DB_KIND_SETTING ? DB_KEY_MAX : CL_NAME_MAX))
		return refuse(p, o, DB_INVALID, "the name is too long");
	/* Of each of them the first field is the name. */
	memcpy(&cmd.cluster_init, o->name, ok ? strlen(o->name) + 1 : 0);
	return ok && give(p, o, &cmd);
}

/* ---- fields */

/* The value that it has on the copy; false: it has none. */
static bool present(const struct config_plan *p, const struct config_kind *k, const void *row,
		    const struct config_item *item, char text[DB_PARAMS_MAX])
{
	const struct db_field *f = NULL;
	const struct db_param *param;
	const char *name;
	enum config_when when;

	if (k->kind == DB_KIND_VM && !strcmp(item->field, "volumes")) {
		k = config_kind_find("group");
		row = db_find(p->db, DB_KIND_GROUP, item->name);
	}
	f = config_field(k, item->field, &when);
	if (f) {
		config_text(p->db, f, row, text, DB_PARAMS_MAX);
		return true;
	}
	for (uint32_t i = 0; (param = config_param_at(p->db, k, row, i, &name)); i++) {
		if (strncmp(item->field, CONFIG_PARAMS, strlen(CONFIG_PARAMS)) ||
		    strcmp(item->field + strlen(CONFIG_PARAMS), name) != 0)
			continue;
		snprintf(text, DB_PARAMS_MAX, "%s", param->value);
		return true;
	}
	return false;
}

static bool set_item(struct config_plan *p, const struct config_kind *k,
		     const struct config_item *item)
{
	const void *row = db_find(p->db, k->kind, item->name);
	struct db_command cmd = {.type = DB_CMD_CONFIG_SET};
	struct db_cmd_config_set *s = &cmd.config_set;
	char text[DB_PARAMS_MAX];
	bool is_there = present(p, k, row, item, text);

	if (!item->value)
		return is_there || refuse(p, item, DB_INVALID,
					  "its value is not in the document, and not in the "
					  "cluster");
	if (is_there && !strcmp(text, item->value))
		return true;
	if (strlen(item->value) >= sizeof(s->value) || strlen(item->field) >= sizeof(s->field))
		return refuse(p, item, DB_INVALID, "too long");
	snprintf(s->kind, sizeof(s->kind), "%s", db_kind_shape(k->kind)->name);
	snprintf(s->name, sizeof(s->name), "%s", item->name);
	snprintf(s->field, sizeof(s->field), "%s", item->field);
	snprintf(s->value, sizeof(s->value), "%s", item->value);
	if (k->kind == DB_KIND_SETTING) {
		cmd = (struct db_command){.type = DB_CMD_SETTING_SET};
		snprintf(cmd.setting_set.key, DB_KEY_MAX, "%s", item->name);
		snprintf(cmd.setting_set.value, DB_VALUE_MAX, "%s", item->value);
	}
	return give(p, item, &cmd);
}

/* The fields of a group that fit together or not are set by one command. */
static bool set_place(struct config_plan *p, const struct config_kind *k, size_t at, size_t end)
{
	struct db_group now = *(const struct db_group *)db_find(p->db, k->kind, p->item[at].name);
	struct db_command cmd = {.type = DB_CMD_GROUP_PLACE};
	const struct config_item *first = NULL;
	char text[DB_PARAMS_MAX], why[DB_REASON_MAX];
	enum config_when when;

	for (size_t i = at; i < end; i++) {
		const struct config_item *item = &p->item[i];

		if (!config_is_place(k, item->field) || !present(p, k, &now, item, text) ||
		    !strcmp(text, item->value))
			continue;
		if (!config_parse(p->db, k, config_field(k, item->field, &when), item->value, &now,
				  why, sizeof(why)))
			return refuse(p, item, DB_INVALID, why);
		if (!now.possible)
			return refuse(p, item, DB_INVALID, "at least one node, or \"all\"");
		first = first ? first : item;
	}
	config_place_command(&now, &cmd.group_place);
	return !first || give(p, first, &cmd);
}

/* Parameters that an object of the document has on the copy only. */
static bool prune_params(struct config_plan *p, const struct config_kind *k,
			 const struct config_item *object)
{
	struct db_command cmd = {.type = DB_CMD_CONFIG_UNSET};
	struct db_cmd_config_unset *u = &cmd.config_unset;
	const char *name;

	snprintf(u->kind, sizeof(u->kind), "%s", db_kind_shape(k->kind)->name);
	snprintf(u->name, sizeof(u->name), "%s", object->name);
	for (uint32_t i = 0; config_param_at(p->db, k, object->name, i, &name);) {
		snprintf(u->field, sizeof(u->field), CONFIG_PARAMS "%.63s", name);
		if (item_find(p, k, object->name, u->field))
			i++;
		else if (!give(p, object, &cmd))
			return false;
	}
	return true;
}

/* Everything about the object whose first item stands there; returns where the next one does. */
static size_t do_object(struct config_plan *p, size_t at)
{
	const struct config_item *o = &p->item[at];
	const struct config_kind *k = config_kind_find(o->section);
	const void *row;
	size_t end = at;

	while (end < p->count && !strcmp(p->item[end].name, o->name) &&
	       !strcmp(p->item[end].section, o->section))
		end++;
	if (!k || o->field[0]) {
		refuse(p, o, DB_INVALID, "not a part of a configuration");
		return end;
	}
	row = db_find(p->db, k->kind, o->name);
	if (!row && k->kind == DB_KIND_NODE && p->skips_nodes)
		return end;
	if (!row && !make(p, k, o))
		return end;
	if (k->kind == DB_KIND_GROUP)
		set_place(p, k, at, end);
	for (size_t i = at + 1; i < end && !p->code; i++) {
		if (!config_is_place(k, p->item[i].field))
			set_item(p, k, &p->item[i]);
	}
	if (p->prunes && !p->code && k->params &&
	    !is_part_of_vm(p->db, k, db_find(p->db, k->kind, o->name)))
		prune_params(p, k, o);
	return end;
}

enum db_code config_plan_run(struct config_plan *p)
{
	size_t at = 0;

	p->code = DB_OK;
	p->bad = NULL;
	prune(p, true);
	while (at < p->count && !p->code)
		at = do_object(p, at);
	prune(p, false);
	return p->code;
}
