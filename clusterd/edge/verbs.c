/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "clusterd/core/config.h"
#include "clusterd/core/placement.h"
#include "clusterd/core/stuck.h"
#include "clusterd/core/totem.h"
#include "clusterd/core/volume.h"
#include "clusterd/edge/conf.h"
#include "clusterd/edge/text.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/must.h"

/* ---- JSON from rows */

static json_t *names_list(const char *list)
{
	json_t *a = json_array();
	char name[CL_NAME_MAX];

	while (volume_name_next(&list, name))
		json_array_append_new(a, json_string(name));
	return a;
}

/* Those of the set that there are, by name. */
static json_t *node_set_json(const struct db *db, uint16_t set)
{
	json_t *a = json_array();

	must(a);
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		if ((set & cl_bit(slot)) && db_node_by_slot(db, slot))
			json_array_append_new(a, json_string(db_node_name(db, slot)));
	}
	return a;
}

static json_t *owners_json(const struct db *db, const uint8_t *owners)
{
	json_t *a = json_array();

	must(a);
	for (uint32_t i = 0; placement_owner(owners, i) != CL_NODE_NONE; i++)
		json_array_append_new(a, json_string(db_node_name(db, placement_owner(owners, i))));
	return a;
}

static bool is_list(const char *field)
{
	return !strcmp(field, "volumes") || !strcmp(field, "groups");
}

/* Of the nodes that there are, by name. */
static json_t *by_node_json(const struct db *db, const struct db_field *f, const void *p)
{
	json_t *o = json_object();

	must(o);
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		if (!db_node_by_slot(db, slot))
			continue;
		json_object_set_new(o, db_node_name(db, slot),
				    f->type == DB_TYPE_scores
					    ? json_integer(((const uint32_t *)p)[slot])
					    : json_string(f->words[((const uint8_t *)p)[slot]]));
	}
	return o;
}

json_t *verb_field_json(const struct db *db, const struct db_field *f, const void *row)
{
	const void *p = (const char *)row + f->offset;
	char text[40];
	uint8_t v8 = *(const uint8_t *)p;

	switch (f->type) {
	case DB_TYPE_str:
		return is_list(f->name) ? names_list(p) : json_string(p);
	case DB_TYPE_choice:
		return json_string(f->words[v8 < f->word_count ? v8 : 0]);
	case DB_TYPE_flag:
		return json_boolean(*(const bool *)p);
	case DB_TYPE_node:
		return v8 == CL_NODE_NONE ? json_null() : json_string(db_node_name(db, v8));
	case DB_TYPE_nodes:
		return node_set_json(db, *(const uint16_t *)p);
	case DB_TYPE_owners:
		return owners_json(db, p);
	case DB_TYPE_verdicts:
	case DB_TYPE_scores:
		return by_node_json(db, f, p);
	case DB_TYPE_u8:
		return json_integer(v8);
	case DB_TYPE_u16:
		return json_integer(*(const uint16_t *)p);
	case DB_TYPE_u32:
		return json_integer(*(const uint32_t *)p);
	case DB_TYPE_mark:
		snprintf(text, sizeof(text), "%016" PRIx64, *(const uint64_t *)p);
		return json_string(text);
	case DB_TYPE_time:
		text_time(*(const uint64_t *)p, text, sizeof(text));
		return json_string(text);
	case DB_TYPE_u64:
		break;
	}
	return json_integer((json_int_t) * (const uint64_t *)p);
}

/* created_ms becomes created: the value is a time as text. */
static void field_name(const struct db_field *f, char *name, size_t size)
{
	size_t len = strlen(f->name);

	snprintf(name, size, "%s", f->name);
	if (f->type == DB_TYPE_time)
		name[len - strlen("_ms")] = 0;
}

json_t *verb_row_json(const struct db *db, enum db_kind kind, const void *row)
{
	const char *state = verb_row_state(kind, row);
	const struct db_shape *shape = db_kind_shape(kind);
	json_t *o = json_object();
	char key[DB_KEY_MAX];

	must(o);
	for (uint8_t i = 0; i < db_shape_fields(shape, db->version); i++) {
		const struct db_field *f = &shape->field[i];
		char name[64];

		field_name(f, name, sizeof(name));
		json_object_set_new(o, name, verb_field_json(db, f, row));
	}
	if (state)
		json_object_set_new(o, "state", json_string(state));
	if (config_key(kind, row, key))
		json_object_set_new(o, "config_version",
				    json_integer((json_int_t)config_version(db, key)));
	return o;
}

json_t *verb_table_json(const struct db *db, enum db_kind kind)
{
	json_t *a = json_array();

	must(a);
	for (uint32_t i = 0; i < db_count(db, kind); i++)
		json_array_append_new(a, verb_row_json(db, kind, db_at(db, kind, i)));
	return a;
}

/* ---- arguments */

const char *verb_arg_text(const json_t *args, const char *name)
{
	const char *s = json_string_value(json_object_get(args, name));

	return s ? s : "";
}

bool verb_arg_name(struct api_client *c, const json_t *args, const char *name, char *to,
		   size_t size)
{
	const char *s = verb_arg_text(args, name);
	size_t len = strlen(s);

	if (!len) {
		api_reply(c, API_USAGE, NULL, "%s: missing", name);
		return false;
	}
	if (len >= size) {
		api_reply(c, API_USAGE, NULL, "%s: longer than %zu characters", name, size - 1);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		bool ok = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
			  (s[i] >= '0' && s[i] <= '9') || strchr("-_.:", s[i]);

		if (!ok || (!i && strchr("-.", s[i]))) {
			api_reply(c, API_USAGE, NULL,
				  "%s: '%s': letters, digits, '-', '_', '.' and ':' only, and "
				  "neither '-' nor '.' first",
				  name, s);
			return false;
		}
	}
	memcpy(to, s, len + 1);
	return true;
}

bool verb_arg_u32(struct api_client *c, const json_t *args, const char *name, uint32_t def,
		  uint32_t max, uint32_t *ret)
{
	const json_t *v = json_object_get(args, name);

	*ret = def;
	if (!v)
		return true;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max) {
		api_reply(c, API_USAGE, NULL, "%s: a number from 0 to %u", name, max);
		return false;
	}
	*ret = (uint32_t)json_integer_value(v);
	return true;
}

bool verb_arg_period(struct api_client *c, const json_t *args, const char *name, uint32_t def,
		     uint32_t *ret)
{
	if (!verb_arg_u32(c, args, name, def, VERB_PERIOD_MAX_MS, ret))
		return false;
	if (!*ret || *ret >= AGE_PERIOD_MIN_MS)
		return true;
	api_reply(c, API_USAGE, NULL, "%s: 0, or %u and more", name, AGE_PERIOD_MIN_MS);
	return false;
}

const struct db_node *verb_arg_node(struct api_client *c, const json_t *args, const char *name)
{
	char node[CL_NAME_MAX];
	const struct db_node *n;

	if (!verb_arg_name(c, args, name, node, sizeof(node)))
		return NULL;
	n = db_find(&api_engine(c)->db, DB_KIND_NODE, node);
	if (!n)
		api_reply(c, API_NO_SUCH, NULL, "no node %s", node);
	return n;
}

bool verb_is_confirmed(struct api_client *c, const json_t *args, const char *name, const char *what)
{
	if (!strcmp(verb_arg_text(args, "confirm"), name))
		return true;
	api_reply(c, API_REFUSED, NULL, "%s: %s: repeat with --confirm %s", name, what, name);
	return false;
}

/* ---- requests that change */

/* The first member table: every node named, this one with the only vote. */
static bool make_table(struct api_client *c, const json_t *nodes, struct cl_table *table)
{
	const char *self = api_engine(c)->repl.self.name.text;
	bool has_self = false;
	size_t i;
	json_t *v;

	if (!json_array_size(nodes)) {
		api_reply(c, API_USAGE, NULL, "nodes: name at least one");
		return false;
	}
	if (json_array_size(nodes) > CL_MAX_NODES) {
		api_reply(c, API_REFUSED, NULL, "nodes: %zu named; a cluster has at most %d",
			  json_array_size(nodes), CL_MAX_NODES);
		return false;
	}
	json_array_foreach(nodes, i, v)
	{
		const char *name = json_string_value(v);
		struct cl_member *m = &table->member[i];

		if (!name || !name[0] || strlen(name) >= sizeof(m->name)) {
			api_reply(c, API_USAGE, NULL, "nodes: entry %zu is not a node name", i + 1);
			return false;
		}
		if (quorum_find_name(table, name) != CL_NODE_NONE) {
			api_reply(c, API_USAGE, NULL, "nodes: %s is named twice", name);
			return false;
		}
		if (cpg_node_find(name, &m->nodeid)) {
			api_reply(c, API_NO_SUCH, NULL,
				  "nodes: %s is not in corosync's nodelist on this node", name);
			return false;
		}
		memcpy(m->name, name, strlen(name) + 1);
		m->vote = !strcmp(name, self);
		has_self = has_self || m->vote;
	}
	if (!has_self)
		api_reply(c, API_USAGE, NULL, "nodes: this node (%s) has to be one of them", self);
	return has_self;
}

static void cluster_create(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_CLUSTER_INIT);
	struct cl_table table = {.changed_at = 1, .version.nodeid = DB_VERSION_MAX};
	const struct corosync_nodes *local;
	struct cl_uuid uuid;
	int r;

	if (!verb_has_no_dry_run(c, "makes a cluster before there is a database"))
		return;
	if (health_refuses(api_engine(c))) {
		api_reply(c, API_REFUSED, NULL, "%s", health_refuses(api_engine(c)));
		return;
	}
	if (!verb_arg_name(c, args, "name", cmd.cluster_init.name, sizeof(cmd.cluster_init.name)) ||
	    !make_table(c, json_object_get(args, "nodes"), &table))
		return;
	must(getrandom(uuid.byte, sizeof(uuid.byte), 0) == sizeof(uuid.byte));
	uuid.byte[6] = (uint8_t)((uuid.byte[6] & 0x0f) | 0x40);
	uuid.byte[8] = (uint8_t)((uuid.byte[8] & 0x3f) | 0x80);
	text_uuid(uuid.byte, cmd.cluster_init.uuid);
	local = conf_local(api_engine(c)->conf);
	if (!local) {
		api_reply(c, API_FAILED, NULL,
			  "corosync.conf cannot be used: see 'journalctl -u clusterd'");
		return;
	}
	cmd.cluster_init.token_ms = totem_adopted(&local->times, local->count);
	r = engine_create(api_engine(c), &uuid, &table);
	if (r == -EEXIST)
		api_reply(c, API_CONFLICT, NULL, "this node belongs to a cluster already");
	else if (r)
		api_reply(c, API_FAILED, NULL, "cannot create: %s", strerror(-r));
	else
		verb_submit(c, &cmd);
}

/* A list of names of volumes becomes one text. */
bool verb_arg_volumes(struct api_client *c, const json_t *volumes, char *to, size_t size)
{
	size_t at = 0, i;
	json_t *v;

	json_array_foreach((json_t *)volumes, i, v)
	{
		const char *name = json_string_value(v);
		int n = name ? snprintf(to + at, size - at, "%s%s", i ? "," : "", name) : -1;

		if (n <= 0 || strpbrk(name, ", ") || (size_t)n >= size - at) {
			api_reply(c, API_USAGE, NULL,
				  "volumes: names of volumes, at most %zu characters in all",
				  size - 1);
			return false;
		}
		at += (size_t)n;
	}
	return true;
}

static void group_delete(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_GROUP_DELETE);

	if (verb_arg_name(c, args, "name", cmd.group_delete.name, sizeof(cmd.group_delete.name)))
		verb_submit(c, &cmd);
}

void verb_group_intent(struct api_client *c, const json_t *args, enum db_intent intent,
		       const char *verb, bool to_is_needed)
{
	struct db_command cmd = verb_command(c, DB_CMD_GROUP_INTENT);
	const struct db_node *to = NULL;

	if (!verb_arg_name(c, args, "name", cmd.group_intent.name, sizeof(cmd.group_intent.name)))
		return;
	if (to_is_needed || json_object_get(args, "to")) {
		to = verb_arg_node(c, args, "to");
		if (!to)
			return;
	}
	cmd.group_intent.intent = (uint8_t)intent;
	cmd.group_intent.wish = to ? to->slot : CL_NODE_NONE;
	snprintf(cmd.group_intent.verb, sizeof(cmd.group_intent.verb), "%s", verb);
	verb_submit(c, &cmd);
}

static void group_start(struct api_client *c, const json_t *args)
{
	verb_group_intent(c, args, DB_INTENT_ONLINE, "group-start", false);
}

static void group_stop(struct api_client *c, const json_t *args)
{
	verb_group_intent(c, args, DB_INTENT_OFFLINE, "group-stop", false);
}

/* A virtual machine that runs goes without being stopped. */
static void group_move(struct api_client *c, const json_t *args)
{
	if (verb_vm_runs(c, verb_arg_text(args, "name"))) {
		verb_vm_move(c, args, "group-move");
		return;
	}
	verb_group_intent(c, args, DB_INTENT_ONLINE, "group-move", true);
}

/* Slots of the nodes named, or of all members. */
static bool arg_nodes(struct api_client *c, const json_t *nodes, uint16_t *ret)
{
	const struct cl_table *t = &api_engine(c)->applied_table;
	size_t i;
	json_t *v;

	*ret = nodes ? 0 : quorum_members(t);
	json_array_foreach((json_t *)nodes, i, v)
	{
		const char *name = json_string_value(v);
		uint8_t slot = name ? quorum_find_name(t, name) : CL_NODE_NONE;

		if (slot == CL_NODE_NONE) {
			api_reply(c, API_NO_SUCH, NULL, "nodes: no node %.64s", name ? name : "?");
			return false;
		}
		*ret = (uint16_t)(*ret | cl_bit(slot));
	}
	return true;
}

static void fence_create(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_FENCE_CREATE);
	struct db_cmd_fence_create *f = &cmd.fence_create;
	const char *agent = verb_arg_text(args, "agent");
	uint32_t level, timeout_ms;

	if (!verb_arg_name(c, args, "name", f->name, 48) ||
	    !verb_arg_u32(c, args, "level", 1, 8, &level) ||
	    !verb_arg_u32(c, args, "timeout_ms", 30000, 600000, &timeout_ms) ||
	    !arg_nodes(c, json_object_get(args, "nodes"), &f->nodes) ||
	    !verb_arg_params(c, json_object_get(args, "params"), f->params, sizeof(f->params)))
		return;
	if (agent[0] != '/' || strlen(agent) >= sizeof(f->agent) || access(agent, X_OK)) {
		api_reply(c, API_USAGE, NULL,
			  "agent: '%s': the absolute path of a fence-agents program on this node, "
			  "for example /usr/sbin/fence_ipmilan",
			  agent);
		return;
	}
	memcpy(f->agent, agent, strlen(agent) + 1);
	f->level = (uint8_t)level;
	f->timeout_ms = timeout_ms;
	verb_submit(c, &cmd);
}

static void fence_delete(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_FENCE_DELETE);

	if (verb_arg_name(c, args, "name", cmd.fence_delete.name, sizeof(cmd.fence_delete.name)))
		verb_submit(c, &cmd);
}

static void fence_run(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_NODE_FENCING);
	const struct db_node *n = verb_arg_node(c, args, "name");

	if (!n)
		return;
	if (!stuck_has_device(&api_engine(c)->db, n->slot)) {
		api_reply(c, API_REFUSED, NULL,
			  "no fence device covers %s: add one with 'clusterctl fence create'",
			  n->name);
		return;
	}
	if (!verb_is_confirmed(c, args, n->name, "this powers it off with everything on it"))
		return;
	memcpy(cmd.node_fencing.name, n->name, sizeof(n->name));
	cmd.node_fencing.incarnation = n->incarnation;
	cmd.node_fencing.by_admin = true;
	verb_submit(c, &cmd);
}

bool verb_arg_id(struct api_client *c, const json_t *args, uint64_t *ret)
{
	const json_t *v = json_object_get(args, "id");

	if (!json_is_integer(v) || json_integer_value(v) <= 0) {
		api_reply(c, API_USAGE, NULL, "id: a task's number, see 'clusterctl task list'");
		return false;
	}
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

static void task_cancel(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_TASK_CANCEL);

	if (verb_arg_id(c, args, &cmd.task_cancel.id))
		verb_submit(c, &cmd);
}

/* ---- questions */

void verb_list(struct api_client *c, enum db_kind kind)
{
	api_reply(c, API_OK, verb_table_json(&api_engine(c)->db, kind), "%s", "");
}

void verb_show(struct api_client *c, const json_t *args, enum db_kind kind)
{
	const struct db *db = &api_engine(c)->db;
	char name[CL_NAME_MAX];
	const void *row;

	if (!verb_arg_name(c, args, "name", name, sizeof(name)))
		return;
	row = db_find(db, kind, name);
	if (!row)
		api_reply(c, API_NO_SUCH, NULL, "no %s %s", db_kind_shape(kind)->name, name);
	else
		api_reply(c, API_OK, verb_row_json(db, kind, row), "%s", "");
}

static void group_list(struct api_client *c, const json_t *args)
{
	(void)args;
	verb_list(c, DB_KIND_GROUP);
}

static void group_show(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	char name[CL_NAME_MAX], text[3 * DB_REASON_MAX];
	const struct db_group *g;
	json_t *o;

	if (!verb_arg_name(c, args, "name", name, sizeof(name)))
		return;
	g = db_find(db, DB_KIND_GROUP, name);
	if (!g) {
		api_reply(c, API_NO_SUCH, NULL, "no group %s", name);
		return;
	}
	plan_explain(db, g, text, sizeof(text));
	o = verb_row_json(db, DB_KIND_GROUP, g);
	verb_reserve_json(db, g, o);
	json_object_set_new(o, "explain", json_string(text));
	api_reply(c, API_OK, o, "%s", "");
}

static void task_list(struct api_client *c, const json_t *args)
{
	(void)args;
	verb_list(c, DB_KIND_TASK);
}

static void task_show(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	const struct db_task *t;
	json_t *o, *migration;
	uint64_t id;

	if (!verb_arg_id(c, args, &id))
		return;
	t = db_find_id(db, DB_KIND_TASK, id);
	if (!t) {
		api_reply(c, API_NO_SUCH, NULL, "no task %" PRIu64, id);
		return;
	}
	o = verb_row_json(db, DB_KIND_TASK, t);
	migration = verb_task_migration(db, id);
	if (migration)
		json_object_set_new(o, "migration", migration);
	api_reply(c, API_OK, o, "%s", "");
}

static void task_wait(struct api_client *c, const json_t *args)
{
	uint64_t id;
	uint32_t timeout_ms;

	if (verb_arg_id(c, args, &id) &&
	    verb_arg_u32(c, args, "timeout_ms", 60000, API_WAIT_MAX_MS, &timeout_ms))
		api_wait_task(c, id, timeout_ms);
}

static void fence_list(struct api_client *c, const json_t *args)
{
	(void)args;
	verb_list(c, DB_KIND_FENCE);
}

/* Every event of a fence: what began it, each attempt, how it ended. */
static void fence_history(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	json_t *a = json_array();

	(void)args;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_EVENT); i++) {
		const struct db_event *e = db_at(db, DB_KIND_EVENT, i);

		if (!strncmp(e->kind, "fence-", 6) || !strcmp(e->kind, "node-fenced") ||
		    !strcmp(e->kind, "node-lost"))
			json_array_append_new(a, verb_row_json(db, DB_KIND_EVENT, e));
	}
	api_reply(c, API_OK, a, "%s", "");
}

static void event_list(struct api_client *c, const json_t *args)
{
	(void)args;
	verb_list(c, DB_KIND_EVENT);
}

static void event_watch(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;

	(void)args;
	api_watch_events(c, db->next_event - 1);
}

static int add_lock(void *arg, const struct lk_lock_info *l)
{
	char name[LK_NAME_MAX + 1], incarnation[20];

	memcpy(name, l->name, l->name_len);
	name[l->name_len] = 0;
	snprintf(incarnation, sizeof(incarnation), "%016" PRIx64, l->session.incarnation);
	json_array_append_new(arg,
			      json_pack("{s:s, s:s, s:i, s:I, s:s, s:b}", "name", name, "mode",
					lk_mode_name(l->granted), "slot", l->session.node, "lock",
					(json_int_t)l->id, "incarnation", incarnation,
					"is_orphaned", l->session.state == LK_SESSION_ORPHANED));
	return 0;
}

static void lock_list(struct api_client *c, const json_t *args)
{
	struct engine *e = api_engine(c);
	json_t *a = json_array(), *v;
	size_t i;

	(void)args;
	lk_each(&e->db.locks, add_lock, a);
	json_array_foreach(a, i, v)
	{
		uint8_t slot = (uint8_t)json_integer_value(json_object_get(v, "slot"));

		json_object_set_new(v, "node", json_string(db_node_name(&e->db, slot)));
		json_object_del(v, "slot");
	}
	api_reply(c, API_OK, a, "%s", "");
}

static const struct verb verbs[] = {
	{"affinity.create", true, verb_affinity_create},
	{"affinity.delete", true, verb_affinity_delete},
	{"affinity.list", false, verb_affinity_list},
	{"agent.list", false, verb_agent_list},
	{"agent.show", false, verb_agent_show},
	{"cluster.can_lose", false, verb_cluster_can_lose},
	{"cluster.create", true, cluster_create},
	{"cluster.start", true, verb_cluster_start},
	{"cluster.status", false, verb_cluster_status},
	{"cluster.stop", true, verb_cluster_stop},
	{"cluster.upgrade", true, verb_cluster_upgrade},
	{"cluster.version", false, verb_cluster_version},
	{"config.apply", true, verb_config_apply},
	{"config.checkpoint_create", true, verb_config_checkpoint_create},
	{"config.checkpoint_delete", true, verb_config_checkpoint_delete},
	{"config.checkpoint_list", false, verb_config_checkpoint_list},
	{"config.diff", false, verb_config_diff},
	{"config.history", false, verb_config_history},
	{"config.rollback", true, verb_config_rollback},
	{"config.show", false, verb_config_show},
	{"event.list", false, event_list},
	{"event.show", false, verb_event_show},
	{"event.watch", false, event_watch},
	{"fence.confirm", true, verb_fence_confirm},
	{"fence.create", true, fence_create},
	{"fence.delete", true, fence_delete},
	{"fence.history", false, fence_history},
	{"fence.list", false, fence_list},
	{"fence.run", true, fence_run},
	{"fence.set", true, verb_fence_set},
	{"group.clear", true, verb_group_clear},
	{"group.create", true, verb_group_create},
	{"group.delete", true, group_delete},
	{"group.explain", false, verb_group_explain},
	{"group.list", false, group_list},
	{"group.manage", true, verb_group_manage},
	{"group.move", true, group_move},
	{"group.set", true, verb_group_set},
	{"group.show", false, group_show},
	{"group.start", true, group_start},
	{"group.stop", true, group_stop},
	{"group.unmanage", true, verb_group_unmanage},
	{"lock.list", false, lock_list},
	{"network.list", false, verb_network_list},
	{"network.set", true, verb_network_set},
	{"network.show", false, verb_network_show},
	{"node.add", true, verb_node_add},
	{"node.drain", true, verb_node_drain},
	{"node.evict", true, verb_node_evict},
	{"node.leave", true, verb_node_leave},
	{"node.list", false, verb_node_list},
	{"node.quarantine_clear", true, verb_node_quarantine_clear},
	{"node.resume", true, verb_node_resume},
	{"node.set", true, verb_node_set},
	{"node.show", false, verb_node_show},
	{"placement.set", true, verb_placement_set},
	{"placement.show", false, verb_placement_show},
	{"quorum.set", true, verb_quorum_set},
	{"quorum.show", false, verb_quorum_show},
	{"resource.clear", true, verb_resource_clear},
	{"resource.create", true, verb_resource_create},
	{"resource.delete", true, verb_resource_delete},
	{"resource.explain", false, verb_resource_explain},
	{"resource.fail", true, verb_resource_fail},
	{"resource.list", false, verb_resource_list},
	{"resource.manage", true, verb_resource_manage},
	{"resource.set", true, verb_resource_set},
	{"resource.show", false, verb_resource_show},
	{"resource.start", true, verb_resource_start},
	{"resource.stop", true, verb_resource_stop},
	{"resource.unmanage", true, verb_resource_unmanage},
	{"secret.delete", true, verb_secret_delete},
	{"secret.list", false, verb_secret_list},
	{"secret.set", true, verb_secret_set},
	{"simulate.decision", false, verb_simulate_decision},
	{"simulate.group_fail", false, verb_simulate_group_fail},
	{"simulate.node_drain", false, verb_simulate_node_drain},
	{"simulate.node_loss", false, verb_simulate_node_loss},
	{"simulate.node_return", false, verb_simulate_node_return},
	{"simulate.replay", false, verb_simulate_replay},
	{"task.cancel", true, task_cancel},
	{"task.list", false, task_list},
	{"task.show", false, task_show},
	{"task.wait", false, task_wait},
	{"vm.clone", true, verb_vm_clone},
	{"vm.create", true, verb_vm_create},
	{"vm.delete", true, verb_vm_delete},
	{"vm.list", false, verb_vm_list},
	{"vm.migrate", true, verb_vm_migrate},
	{"vm.pause", true, verb_vm_pause},
	{"vm.resume", true, verb_vm_resume},
	{"vm.set", true, verb_vm_set},
	{"vm.show", false, verb_vm_show},
	{"vm.snapshot_create", true, verb_vm_snapshot_create},
	{"vm.snapshot_delete", true, verb_vm_snapshot_delete},
	{"vm.snapshot_list", false, verb_vm_snapshot_list},
	{"vm.snapshot_revert", true, verb_vm_snapshot_revert},
	{"vm.start", true, verb_vm_start},
	{"vm.stop", true, verb_vm_stop},
	{"volume.balance", true, verb_volume_balance},
	{"volume.clear", true, verb_volume_clear},
	{"volume.create", true, verb_volume_create},
	{"volume.delete", true, verb_volume_delete},
	{"volume.grow", true, verb_volume_grow},
	{"volume.list", false, verb_volume_list},
	{"volume.move", true, verb_volume_move},
	{"volume.redirect", true, verb_volume_redirect},
	{"volume.resume", true, verb_volume_resume},
	{"volume.show", false, verb_volume_show},
	{"volume.suspend", true, verb_volume_suspend},
#ifdef CLUSTERD_TEST_NEXT_VERSION
	VERBS_NEXT
#endif
};

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < MUST_ARRAY_SIZE(verbs); i++) {
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	}
	return NULL;
}
