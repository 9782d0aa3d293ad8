/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs of virtual machines. What a definition means is vm-host's business, but for its disks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clusterd/core/plan.h"
#include "clusterd/core/vm.h"
#include "clusterd/edge/config_json.h"
#include "clusterd/edge/verbs_impl.h"
#include "clusterd/edge/vms.h"
#include "clusterd/edge/volumes.h"
#include "lib/must.h"
#include "lib/uuid.h"

#define BANDWIDTH_MAX INT64_C(1000000000000000)

const struct db_vm *verb_arg_vm(struct api_client *c, const json_t *args)
{
	char name[CL_NAME_MAX];
	const struct db_vm *v;

	if (!verb_arg_name(c, args, "name", name, sizeof(name)))
		return NULL;
	v = db_find(&api_engine(c)->db, DB_KIND_VM, name);
	if (!v)
		api_reply(c, API_NO_SUCH, NULL, "no virtual machine %s", name);
	return v;
}

/* ---- creation: the definition */

/* Each disk lies on a volume, and each volume is named once. */
static bool take_disks(struct api_client *c, const json_t *disks, char *to, size_t size)
{
	struct engine *e = api_engine(c);
	char why[CONFIG_JSON_WHY];

	if (config_disk_volumes(disks, volumes_mount_dir(e->volumes), &e->db, to, size, why,
				sizeof(why)))
		return true;
	api_reply(c, strstr(why, "there is no volume") ? API_NO_SUCH : API_USAGE, NULL,
		  "definition: %s", why);
	return false;
}

/* In lower case; a new one is made if there is none. */
static bool take_uuid(struct api_client *c, json_t *definition, char ret[DB_UUID_TEXT])
{
	const json_t *given = json_object_get(definition, "uuid");
	const char *text = json_string_value(given);
	uint8_t uuid[UUID_BYTES];

	if (!given) {
		must(getrandom(uuid, sizeof(uuid), 0) == sizeof(uuid));
		uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
		uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
	} else if (!text || !uuid_parse(text, uuid)) {
		api_reply(c, API_USAGE, NULL, "definition: /uuid: a uuid, or nothing");
		return false;
	}
	uuid_text(uuid, ret);
	return !json_object_set_new(definition, "uuid", json_string(ret));
}

/* Its text, uuid and volumes into the command. */
bool verb_vm_definition(struct api_client *c, json_t *definition, struct db_cmd_vm_create *v)
{
	const json_t *own = json_object_get(definition, "name");
	char *text;
	size_t len;

	if (own && (!json_is_string(own) || strcmp(json_string_value(own), v->name) != 0)) {
		api_reply(c, API_USAGE, NULL, "definition: /name: %s, or nothing", v->name);
		return false;
	}
	json_object_set_new(definition, "name", json_string(v->name));
	if (!take_uuid(c, definition, v->uuid) ||
	    !take_disks(c, json_object_get(definition, "disks"), v->volumes, sizeof(v->volumes)))
		return false;
	text = json_dumps(definition, JSON_COMPACT);
	len = text ? strlen(text) : 0;
	if (!len || len >= sizeof(v->definition)) {
		api_reply(c, API_USAGE, NULL, "definition: longer than %zu bytes",
			  sizeof(v->definition) - 1);
		free(text);
		return false;
	}
	memcpy(v->definition, text, len + 1);
	free(text);
	return true;
}

/* A creation that waits for its definition to be looked at. */
struct creation {
	struct api_ticket *ticket;
	size_t count;
	struct db_command cmd[VERB_VM_COMMANDS];
};

static void create_validated(void *arg, const char *why)
{
	struct creation *w = arg;
	struct api_client *c = api_ticket_take(w->ticket);

	if (c && why) /* it begins with the name of a file of ours, which says nothing to anybody */
		api_reply(c, API_USAGE, NULL, "definition: %s",
			  strstr(why, ": ") ? strstr(why, ": ") + 2 : why);
	else if (c && w->count == 1)
		verb_submit(c, w->cmd);
	else if (c)
		verb_submit_all(c, w->cmd, w->count, CONFIG_WHOLE);
	free(w);
}

void verb_vm_create_all(struct api_client *c, const struct db_command *cmd, size_t count)
{
	struct creation *w = calloc(1, sizeof(*w));

	must(w && count && count <= VERB_VM_COMMANDS);
	memcpy(w->cmd, cmd, count * sizeof(*cmd));
	w->count = count;
	w->ticket = api_ticket_new(c);
	if (!vms_validate(api_engine(c)->vms, cmd->vm_create.definition, create_validated, w))
		return;
	api_ticket_take(w->ticket);
	free(w);
	api_reply(c, API_FAILED, NULL, "the definition cannot be looked at now: try again");
}

void verb_vm_create(struct api_client *c, const json_t *args)
{
	struct db_command cmd[] = {verb_command(c, DB_CMD_VM_CREATE),
				   verb_command(c, DB_CMD_VM_JOB)};
	struct db_cmd_vm_create *v = &cmd[0].vm_create;
	const json_t *given = json_object_get(args, "definition");
	struct db_cmd_group_place p = {0};
	json_t *definition;

	if (!verb_arg_name(c, args, "name", v->name, sizeof(v->name)) ||
	    !verb_arg_place(c, args, &p) ||
	    !verb_arg_u32(c, args, "restart_max", 3, 1000, &v->restart_max) ||
	    !verb_arg_period(c, args, "restart_ms", AGE_RESTART_MS, &v->restart_ms) ||
	    !verb_arg_u32(c, args, "monitor_ms", 10000, 86400000, &v->monitor_ms) ||
	    !verb_arg_u32(c, args, "start_ms", 60000, 86400000, &v->start_ms) ||
	    !verb_arg_u32(c, args, "stop_ms", 180000, 86400000, &v->stop_ms))
		return;
	if (!json_is_object(given)) {
		api_reply(c, API_USAGE, NULL, "definition: a JSON object");
		return;
	}
	v->priority = p.priority == DB_KEEP ? VERB_PRIORITY : (uint8_t)p.priority;
	v->possible = p.possible;
	memcpy(v->preferred, p.preferred, sizeof(v->preferred));
	v->failback = p.failback;
	v->failback_from = p.failback_from;
	v->failback_to = p.failback_to;
	definition = json_deep_copy(given);
	must(definition);
	if (verb_vm_new_disks(c, definition, v->name, &cmd[1].vm_job) &&
	    verb_vm_definition(c, definition, v))
		verb_vm_create_all(c, cmd, cmd[1].vm_job.work[0] ? 2 : 1);
	json_decref(definition);
}

void verb_vm_delete(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_VM_DELETE);
	const struct db_vm *v = verb_arg_vm(c, args);

	if (!v || !verb_is_confirmed(c, args, v->name,
				     "this forgets the virtual machine (its disks stay)"))
		return;
	memcpy(cmd.vm_delete.name, v->name, sizeof(v->name));
	verb_submit(c, &cmd);
}

/* It is its group that is placed, and fails. */
void verb_vm_set(struct api_client *c, const json_t *args)
{
	if (verb_arg_vm(c, args))
		verb_group_set(c, args);
}

/* ---- what is wanted of it */

void verb_vm_start(struct api_client *c, const json_t *args)
{
	if (verb_arg_vm(c, args))
		verb_group_intent(c, args, DB_INTENT_ONLINE, "vm-start", false);
}

void verb_vm_stop(struct api_client *c, const json_t *args)
{
	if (verb_arg_vm(c, args))
		verb_group_intent(c, args, DB_INTENT_OFFLINE, "vm-stop", false);
}

static void set_paused(struct api_client *c, const json_t *args, bool pause)
{
	struct db_command cmd = verb_command(c, DB_CMD_VM_SET_PAUSED);
	const struct db_vm *v = verb_arg_vm(c, args);

	if (!v)
		return;
	memcpy(cmd.vm_set_paused.name, v->name, sizeof(v->name));
	cmd.vm_set_paused.pause = pause;
	verb_submit(c, &cmd);
}

void verb_vm_pause(struct api_client *c, const json_t *args)
{
	set_paused(c, args, true);
}

void verb_vm_resume(struct api_client *c, const json_t *args)
{
	set_paused(c, args, false);
}

bool verb_vm_runs(struct api_client *c, const char *name)
{
	const struct db *db = &api_engine(c)->db;
	const struct db_group *g = db_find(db, DB_KIND_GROUP, name);

	return g && vm_of_group(db, g) && g->work == DB_WORK_ONLINE;
}

void verb_vm_move(struct api_client *c, const json_t *args, const char *verb)
{
	struct db_command cmd = verb_command(c, DB_CMD_VM_MIGRATE);
	struct db_cmd_vm_migrate *m = &cmd.vm_migrate;
	const json_t *bandwidth = json_object_get(args, "bandwidth");
	const struct db_vm *v = verb_arg_vm(c, args);
	const struct db_node *to = v ? verb_arg_node(c, args, "to") : NULL;

	if (!v || !to)
		return;
	if (bandwidth && (!json_is_integer(bandwidth) || json_integer_value(bandwidth) < 0 ||
			  json_integer_value(bandwidth) > BANDWIDTH_MAX)) {
		api_reply(c, API_USAGE, NULL, "bandwidth: bytes per second; 0: no limit");
		return;
	}
	memcpy(m->name, v->name, sizeof(m->name));
	m->to = to->slot;
	m->bandwidth = (uint64_t)json_integer_value(bandwidth);
	snprintf(m->verb, sizeof(m->verb), "%s", verb);
	snprintf(m->reason, sizeof(m->reason), "asked by %s", cmd.actor);
	verb_submit(c, &cmd);
}

void verb_vm_migrate(struct api_client *c, const json_t *args)
{
	verb_vm_move(c, args, "vm-migrate");
}

/* ---- questions */

json_t *verb_task_migration(const struct db *db, uint64_t task)
{
	for (uint32_t i = db_count(db, DB_KIND_MIGRATION); i-- > 0;) {
		const struct db_migration *m = db_at(db, DB_KIND_MIGRATION, i);

		if (m->task == task)
			return verb_row_json(db, DB_KIND_MIGRATION, m);
	}
	return NULL;
}

/* The row, and what its group has to say. */
static json_t *vm_json(const struct db *db, const struct db_vm *v)
{
	const struct db_group *g = db_find(db, DB_KIND_GROUP, v->name);
	const struct db_migration *m = vm_migration(db, v);
	json_t *o = verb_row_json(db, DB_KIND_VM, v);
	json_t *group = verb_row_json(db, DB_KIND_GROUP, g);
	static const char *const taken[] = {"work",	"node",	    "intent",  "wish",
					    "priority", "failures", "volumes", "reason"};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(taken); i++)
		json_object_set(o, taken[i], json_object_get(group, taken[i]));
	json_decref(group);
	json_object_set_new(o, "phase", m ? json_string(vm_phase_word(m)) : json_null());
	json_object_del(o, "definition");
	return o;
}

void verb_vm_list(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	json_t *a = json_array();

	(void)args;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VM); i++)
		json_array_append_new(a, vm_json(db, db_at(db, DB_KIND_VM, i)));
	api_reply(c, API_OK, a, "%s", "");
}

/* Newest first. */
static json_t *migrations_json(const struct db *db, const struct db_vm *v)
{
	json_t *a = json_array();

	for (uint32_t i = db_count(db, DB_KIND_MIGRATION); i-- > 0;) {
		const struct db_migration *m = db_at(db, DB_KIND_MIGRATION, i);

		if (!strcmp(m->vm, v->name))
			json_array_append_new(a, verb_row_json(db, DB_KIND_MIGRATION, m));
	}
	return a;
}

void verb_vm_show(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	const struct db_vm *v = verb_arg_vm(c, args);
	const struct db_migration *m = v ? vm_migration(db, v) : NULL;
	char text[3 * DB_REASON_MAX];
	json_t *o, *definition;

	if (!v)
		return;
	plan_explain(db, db_find(db, DB_KIND_GROUP, v->name), text, sizeof(text));
	definition = json_loads(v->definition, 0, NULL);
	o = vm_json(db, v);
	json_object_set_new(o, "explain", json_string(text));
	json_object_set_new(o, "migration",
			    m ? verb_row_json(db, DB_KIND_MIGRATION, m) : json_null());
	json_object_set_new(o, "migrations", migrations_json(db, v));
	json_object_set_new(o, "job", verb_vm_job_json(db, v));
	json_object_set_new(o, "definition", definition ? definition : json_string(v->definition));
	api_reply(c, API_OK, o, "%s", "");
}
