/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/plan.h"
#include "clusterd/core/volume.h"
#include "clusterd/edge/text.h"
#include "clusterd/edge/verbs_impl.h"
#include "clusterd/edge/volumes.h"
#include "lib/csv_link.h"
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

/* A creation that waits for the LUN to be looked at. */
struct creation {
	struct api_ticket *ticket;
	struct db_command cmd;
	char cluster[DB_UUID_TEXT];
};

static void create_identified(void *arg, const struct volumes_identity *id)
{
	struct creation *w = arg;
	struct db_cmd_volume_create *v = &w->cmd.volume_create;
	struct api_client *c = api_ticket_take(w->ticket);

	if (!c) {
		free(w);
		return;
	}
	if (!id->uuid[0]) {
		api_reply(c, API_REFUSED, NULL, "%s cannot be volume %s: %s", v->device, v->name,
			  id->text);
	} else if (strcmp(id->cluster, w->cluster) != 0) {
		api_reply(c, API_REFUSED, NULL,
			  "%s carries volume %s of another cluster (%s); if that is gone for good, "
			  "'csvadm format --overwrite=csv:%s' makes it ours and empty",
			  v->device, id->name, id->cluster, id->name);
	} else if (strcmp(id->name, v->name) != 0) {
		api_reply(c, API_REFUSED, NULL, "%s carries volume %s: create it under that name",
			  v->device, id->name);
	} else {
		memcpy(v->uuid, id->uuid, sizeof(v->uuid));
		verb_submit(c, &w->cmd);
	}
	free(w);
}

void verb_volume_create(struct api_client *c, const json_t *args)
{
	struct engine *e = api_engine(c);
	const struct db_cluster *cluster = db_at(&e->db, DB_KIND_CLUSTER, 0);
	struct db_command cmd = verb_command(c, DB_CMD_VOLUME_CREATE);
	struct db_cmd_volume_create *v = &cmd.volume_create;
	struct creation *w;

	if (!verb_arg_name(c, args, "name", v->name, sizeof(v->name)) ||
	    !arg_device(c, args, v->device, sizeof(v->device)))
		return;
	if (!db_count(&e->db, DB_KIND_CLUSTER)) {
		api_reply(c, API_REFUSED, NULL, "this node belongs to no cluster yet");
		return;
	}
	if (db_find(&e->db, DB_KIND_VOLUME, v->name)) {
		api_reply(c, API_CONFLICT, NULL, "volume %s exists", v->name);
		return;
	}
	w = calloc(1, sizeof(*w));
	must(w);
	w->cmd = cmd;
	memcpy(w->cluster, cluster->uuid, sizeof(w->cluster));
	w->ticket = api_ticket_new(c);
	if (volumes_identify(e->volumes, v->device, create_identified, w)) {
		api_ticket_take(w->ticket);
		free(w);
		api_reply(c, API_FAILED, NULL, "the LUN cannot be looked at now: try again");
	}
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

/* `to` is the argument that names the node where it is wanted; NULL: nowhere in particular. */
static void intent(struct api_client *c, const json_t *args, const char *verb, const char *to)
{
	struct db_command cmd = verb_command(c, DB_CMD_VOLUME_INTENT);
	struct db_cmd_volume_intent *v = &cmd.volume_intent;
	const struct db_node *node;

	if (!verb_arg_name(c, args, "name", v->name, sizeof(v->name)))
		return;
	v->wish = CL_NODE_NONE;
	if (to) {
		node = verb_arg_node(c, args, to);
		if (!node)
			return;
		v->wish = node->slot;
	}
	snprintf(v->verb, sizeof(v->verb), "%s", verb);
	verb_submit(c, &cmd);
}

void verb_volume_move(struct api_client *c, const json_t *args)
{
	intent(c, args, "volume-move", "to");
}

void verb_volume_clear(struct api_client *c, const json_t *args)
{
	intent(c, args, "volume-clear", NULL);
}

void verb_volume_list(struct api_client *c, const json_t *args)
{
	(void)args;
	api_reply(c, API_OK, verb_table_json(&api_engine(c)->db, DB_KIND_VOLUME), "%s", "");
}

static json_t *mount_json(const struct db *db, const struct db_mount *m)
{
	char id[20], incarnation[20], since[40], voice_since[40];

	snprintf(id, sizeof(id), "%016" PRIx64, m->id);
	snprintf(incarnation, sizeof(incarnation), "%016" PRIx64, m->incarnation);
	text_time(m->since_ms, since, sizeof(since));
	text_time(m->voice_ms, voice_since, sizeof(voice_since));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "node",
			 db_node_name(db, m->slot), "state",
			 db_choice_word(DB_KIND_MOUNT, "state", m->state), "id", id, "incarnation",
			 incarnation, "since", since, "reason", m->reason, "voice",
			 db_choice_word(DB_KIND_MOUNT, "voice", m->voice), "voice_since",
			 m->voice_ms ? voice_since : "", "silence", m->silence);
}

/* What this node's mount does by itself on the LUN; other nodes are asked for theirs. */
static json_t *io_json(const struct csv_link_io *io)
{
	static const char *const name[CSV_LINK_IO_MAX] = {
		[CSV_LINK_IO_UNAVAILABLE] = "unavailable",
		[CSV_LINK_IO_PAUSED] = "paused",
		[CSV_LINK_IO_ACTIVE] = "active",
		[CSV_LINK_IO_REDIRECTED] = "redirected",
	};
	uint64_t for_ms = io->since_ms ? engine_now_ms() - io->since_ms : 0;

	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "state", name[io->state],
			 "block", io->why, "block_ms", (json_int_t)for_ms, "granted_files",
			 (json_int_t)io->granted, "requests", (json_int_t)io->requests,
			 "direct_reads", (json_int_t)io->reads, "direct_writes",
			 (json_int_t)io->writes, "direct_bytes", (json_int_t)io->bytes,
			 "redirected_bytes", (json_int_t)io->redirected_bytes);
}

static json_t *with_io(json_t *mount, const struct csv_link_io *io)
{
	json_object_set_new(mount, "io", io_json(io));
	return mount;
}

/* Each node that has a mount of it, in whatever state, or should have one. */
static json_t *mounts_json(const struct engine *e, const struct db_volume *v)
{
	const struct csv_link_status *own = volumes_mount_status(e->volumes, v->name);
	const struct db *db = &e->db;
	json_t *a = json_array();

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_mount *m = volume_mount(db, v->name, slot);
		const struct db_node *n = db_node_by_slot(db, slot);

		if (m && own && slot == e->repl.self_slot)
			json_array_append_new(a, with_io(mount_json(db, m), &own->io));
		else if (m)
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
	char name[CL_NAME_MAX], text[3 * DB_REASON_MAX];
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
	json_object_set_new(o, "mounts", mounts_json(api_engine(c), v));
	api_reply(c, API_OK, o, "%s", "");
}
