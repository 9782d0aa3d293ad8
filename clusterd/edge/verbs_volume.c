/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/config.h"
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

/* ---- maintenance */

void verb_volume_redirect(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_VOLUME_REDIRECT);
	struct db_cmd_volume_redirect *r = &cmd.volume_redirect;
	const char *state = verb_arg_text(args, "state");
	const struct db_node *n;

	if (!verb_arg_name(c, args, "name", r->name, sizeof(r->name)))
		return;
	if (strcmp(state, "on") != 0 && strcmp(state, "off") != 0) {
		api_reply(c, API_USAGE, NULL, "state: on or off");
		return;
	}
	r->is_on = !strcmp(state, "on");
	r->nodes = UINT16_MAX;
	if (json_object_get(args, "node")) {
		n = verb_arg_node(c, args, "node");
		if (!n)
			return;
		r->nodes = cl_bit(n->slot);
	}
	verb_submit(c, &cmd);
}

/* Groups that need it and are not off, with commas; and a list of them. */
static json_t *users_of(const struct db *db, const char *volume, char *text, size_t size)
{
	json_t *a = json_array();
	size_t at = 0;

	text[0] = 0;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);
		bool is_vm = db_find(db, DB_KIND_VM, g->name);

		if (g->work == DB_WORK_OFFLINE || !volume_is_named(g->volumes, volume))
			continue;
		json_array_append_new(a, json_pack("{s:s, s:s, s:s, s:s}", "name", g->name, "kind",
						   is_vm ? "vm" : "group", "work",
						   db_choice_word(DB_KIND_GROUP, "work", g->work),
						   "node", db_node_name(db, g->node)));
		if (at < size)
			at += (size_t)snprintf(text + at, size - at, "%s%s %s", at ? ", " : "",
					       is_vm ? "vm" : "group", g->name);
	}
	return a;
}

void verb_volume_suspend(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	struct db_command cmd = verb_command(c, DB_CMD_VOLUME_SUSPEND);
	char *name = cmd.volume_suspend.name, text[DB_NAMES_MAX];
	json_t *users, *data;

	cmd.volume_suspend.is_suspended = true;
	if (!verb_arg_name(c, args, "name", name, sizeof(cmd.volume_suspend.name)))
		return;
	if (!db_find(db, DB_KIND_VOLUME, name)) {
		api_reply(c, API_NO_SUCH, NULL, "no volume %s", name);
		return;
	}
	if (!strcmp(verb_arg_text(args, "confirm"), name)) {
		verb_submit(c, &cmd);
		return;
	}
	users = users_of(db, name, text, sizeof(text));
	data = json_pack("{s:o}", "users", users);
	api_reply(c, API_REFUSED, data,
		  "%s: this stops %s; then the volume is unmounted on every node, and programs of "
		  "others that have files of it open get errors: repeat with --confirm %s",
		  name, text[0] ? text : "no group", name);
}

void verb_volume_resume(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_VOLUME_SUSPEND);

	if (verb_arg_name(c, args, "name", cmd.volume_suspend.name,
			  sizeof(cmd.volume_suspend.name)))
		verb_submit(c, &cmd);
}

void verb_volume_grow(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_VOLUME_GROW);

	if (verb_arg_name(c, args, "name", cmd.volume_grow.name, sizeof(cmd.volume_grow.name)))
		verb_submit(c, &cmd);
}

/* ---- balance */

/* How many coordinators each node has, and which can have more. */
static uint16_t count_load(const struct db *db, uint32_t load[CL_MAX_NODES])
{
	uint16_t set = 0;

	memset(load, 0, CL_MAX_NODES * sizeof(*load));
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);

		if (v->node < CL_MAX_NODES)
			load[v->node]++;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (!db_node_bar(n) && !n->is_paused)
			set = (uint16_t)(set | cl_bit(n->slot));
	}
	return set;
}

/* The node of the set with the fewest that may have this volume, too; CL_NODE_NONE. */
static uint8_t least(const struct db *db, const struct db_volume *v, uint16_t set,
		     const uint32_t load[CL_MAX_NODES])
{
	uint16_t may = (uint16_t)(set & volume_candidates(db, v));
	uint8_t to = CL_NODE_NONE;

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if ((may & cl_bit(i)) && (to == CL_NODE_NONE || load[i] < load[to]))
			to = i;
	}
	return to;
}

void verb_volume_balance(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	uint32_t load[CL_MAX_NODES];
	uint16_t set = count_load(db, load);
	struct db_command *cmd = calloc(db_count(db, DB_KIND_VOLUME) + 1, sizeof(*cmd));
	size_t n = 0;

	(void)args;
	must(cmd);
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);
		uint8_t to = least(db, v, set, load);

		if (v->work != DB_WORK_ONLINE || v->is_deleting || v->is_suspended ||
		    v->wish != CL_NODE_NONE || to == CL_NODE_NONE || load[v->node] < load[to] + 2)
			continue;
		cmd[n] = verb_command(c, DB_CMD_VOLUME_INTENT);
		memcpy(cmd[n].volume_intent.name, v->name, sizeof(v->name));
		cmd[n].volume_intent.wish = to;
		snprintf(cmd[n].volume_intent.verb, sizeof(cmd[n].volume_intent.verb),
			 "volume-balance");
		load[v->node]--;
		load[to]++;
		n++;
	}
	if (n)
		verb_submit_all(c, cmd, n, CONFIG_WHOLE);
	else
		api_reply(c, API_OK, json_pack("{s:i}", "moves", 0), "%s", "");
	free(cmd);
}

/* ---- questions */

/* Its states, each with the nodes: "active on n1,n2; redirected on n3". */
static void io_text(const struct db *db, const struct db_volume *v, char *text, size_t size)
{
	size_t at = 0;

	text[0] = 0;
	for (int io = 0; io < DB_MOUNT_IO_MAX; io++) {
		bool is_first = true;

		for (uint8_t slot = 0; slot < CL_MAX_NODES && at < size; slot++) {
			const struct db_mount *m = volume_mount(db, v->name, slot);

			if (!m || m->state != DB_MOUNT_STATE_MOUNTED || m->io != io)
				continue;
			at += (size_t)snprintf(
				text + at, size - at, "%s%s%s%s", is_first && at ? "; " : "",
				is_first ? db_choice_word(DB_KIND_MOUNT, "io", (uint8_t)io) : "",
				is_first ? " on " : ",", db_node_name(db, slot));
			is_first = false;
		}
	}
}

void verb_volume_list(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	char text[DB_REASON_MAX];
	json_t *a = json_array();

	(void)args;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);
		json_t *o = verb_row_json(db, DB_KIND_VOLUME, v);

		io_text(db, v, text, sizeof(text));
		json_object_set_new(o, "io", json_string(text));
		json_array_append_new(a, o);
	}
	api_reply(c, API_OK, a, "%s", "");
}

/* What its process has told the cluster last. */
static void add_io(const struct db_volume *v, const struct db_mount *m, json_t *o)
{
	char since[40];

	text_time(m->io_ms, since, sizeof(since));
	json_object_set_new(o, "io_state", json_string(db_choice_word(DB_KIND_MOUNT, "io", m->io)));
	json_object_set_new(o, "io_since", json_string(m->io_ms ? since : ""));
	json_object_set_new(o, "io_reason", json_string(m->io_reason));
	json_object_set_new(o, "redirected_bytes", json_integer((json_int_t)m->io_bytes));
	json_object_set_new(o, "asked_by",
			    json_string(v->redirected & cl_bit(m->slot) ? v->redirected_by : ""));
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

		if (m) {
			json_t *o = mount_json(db, m);

			add_io(v, m, o);
			if (own && slot == e->repl.self_slot)
				with_io(o, &own->io);
			json_array_append_new(a, o);
		}
		if (!m && n && volume_mount_wanted(db, v, n))
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
