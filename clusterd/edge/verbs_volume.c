/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/plan.h"
#include "clusterd/core/volume.h"
#include "clusterd/edge/text.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/must.h"

static bool arg_device(struct api_client *c, const json_t *args, char *to, size_t size)
{
	const char *s = verb_arg_text(args, "device");

	if (s[0] != '/' || strlen(s) >= size) {
		api_reply(
			c, API_USAGE, NULL,
			"device: '%.64s': the absolute path of the LUN, the same on every node, at "
			"most %zu bytes, such as /dev/disk/by-id/wwn-0x5000c500a1b2c3d4",
			s, size - 1);
		return false;
	}
	memcpy(to, s, strlen(s) + 1);
	return true;
}

/* Any case is taken; the database has it in lower case. */
static bool arg_uuid(struct api_client *c, const json_t *args, char to[DB_UUID_TEXT])
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	const char *s = verb_arg_text(args, "uuid");
	bool ok = strlen(s) == sizeof(form) - 1;

	for (size_t i = 0; ok && i < sizeof(form); i++) {
		to[i] = s[i] >= 'A' && s[i] <= 'F' ? (char)(s[i] - 'A' + 'a') : s[i];
		if (form[i] == 'x')
			ok = strchr("0123456789abcdef", to[i]) != NULL;
		else
			ok = to[i] == form[i];
	}
	if (!ok)
		api_reply(c, API_USAGE, NULL,
			  "uuid: '%.64s': that of the volume on the LUN, in the form %s", s, form);
	return ok;
}

void verb_volume_create(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_VOLUME_CREATE);
	struct db_cmd_volume_create *v = &cmd.volume_create;

	if (verb_arg_name(c, args, "name", v->name, sizeof(v->name)) &&
	    arg_device(c, args, v->device, sizeof(v->device)) && arg_uuid(c, args, v->uuid))
		verb_submit(c, &cmd);
}

void verb_volume_delete(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_VOLUME_DELETE);
	char *name = cmd.volume_delete.name;

	if (!verb_arg_name(c, args, "name", name, sizeof(cmd.volume_delete.name)))
		return;
	if (!db_find(&api_engine(c)->db, DB_KIND_VOLUME, name)) {
		api_reply(c, API_NO_SUCH, NULL, "no volume %s", name);
		return;
	}
	if (verb_is_confirmed(c, args, name,
			      "this unmounts the volume on every node (what is on the LUN stays)"))
		verb_submit(c, &cmd);
}

static void intent(struct api_client *c, const json_t *args, const char *verb, uint8_t wish)
{
	struct db_command cmd = verb_command(c, DB_CMD_VOLUME_INTENT);
	struct db_cmd_volume_intent *v = &cmd.volume_intent;

	if (!verb_arg_name(c, args, "name", v->name, sizeof(v->name)))
		return;
	v->wish = wish;
	snprintf(v->verb, sizeof(v->verb), "%s", verb);
	verb_submit(c, &cmd);
}

void verb_volume_move(struct api_client *c, const json_t *args)
{
	const struct db_node *to = verb_arg_node(c, args, "to");

	if (to)
		intent(c, args, "volume-move", to->slot);
}

void verb_volume_clear(struct api_client *c, const json_t *args)
{
	intent(c, args, "volume-clear", CL_NODE_NONE);
}

void verb_volume_list(struct api_client *c, const json_t *args)
{
	(void)args;
	api_reply(c, API_OK, verb_table_json(&api_engine(c)->db, DB_KIND_VOLUME), "%s", "");
}

static json_t *mount_json(const struct db *db, const struct db_mount *m)
{
	char id[20], incarnation[20], since[40];

	snprintf(id, sizeof(id), "%016" PRIx64, m->id);
	snprintf(incarnation, sizeof(incarnation), "%016" PRIx64, m->incarnation);
	text_time(m->since_ms, since, sizeof(since));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "node", db_node_name(db, m->slot),
			 "state", db_choice_word(DB_KIND_MOUNT, "state", m->state), "id", id,
			 "incarnation", incarnation, "since", since, "reason", m->reason);
}

/* Each node that has a mount of it, in whatever state, or should have one. */
static json_t *mounts_json(const struct db *db, const struct db_volume *v)
{
	json_t *a = json_array();

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_mount *m = volume_mount(db, v->name, slot);
		const struct db_node *n = db_node_by_slot(db, slot);

		if (m)
			json_array_append_new(a, mount_json(db, m));
		else if (n && volume_mount_wanted(db, v, n))
			json_array_append_new(
				a, json_pack("{s:s, s:s}", "node", n->name, "state", "none"));
	}
	return a;
}

void verb_volume_show(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	char name[CL_NAME_MAX], text[DB_REASON_MAX];
	const struct db_volume *v;
	json_t *o;

	if (!verb_arg_name(c, args, "name", name, sizeof(name)))
		return;
	v = db_find(db, DB_KIND_VOLUME, name);
	if (!v) {
		api_reply(c, API_NO_SUCH, NULL, "no volume %s", name);
		return;
	}
	plan_explain_volume(db, v, text, sizeof(text));
	o = verb_row_json(db, DB_KIND_VOLUME, v);
	json_object_set_new(o, "explain", json_string(text));
	json_object_set_new(o, "mounts", mounts_json(db, v));
	api_reply(c, API_OK, o, "%s", "");
}
