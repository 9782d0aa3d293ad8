/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs that change a resource or take it in hand; some are there for groups, too. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/plan.h"
#include "clusterd/core/tree.h"
#include "clusterd/edge/exec.h"
#include "clusterd/edge/ocf.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/must.h"

#define RELOAD "reload-agent" /* OCF Resource Agent API 1.1 */

/* ---- set */

/* Parameters as they shall be: those of the row, changed by the lines of the command. */
struct wanted {
	struct ocf_value value[EXEC_PARAMS_MAX + 1];
	size_t n;
	char lines[DB_PARAMS_MAX];
	struct ocf_value change[EXEC_PARAMS_MAX + 1];
	size_t changes;
};

static struct ocf_value *find(struct wanted *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++) {
		if (!strcmp(w->value[i].name, name))
			return &w->value[i];
	}
	return NULL;
}

static void take_rows(struct wanted *w, const struct db *db, const char *resource)
{
	size_t len = strlen(resource);

	w->n = 0;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_PARAM) && w->n <= EXEC_PARAMS_MAX; i++) {
		const struct db_param *p = db_at(db, DB_KIND_PARAM, i);

		if (!strncmp(p->key, resource, len) && p->key[len] == '/')
			w->value[w->n++] = (struct ocf_value){p->key + len + 1, p->value};
	}
}

/* Lines NAME=VALUE or NAME, in place; false: one takes away what is not there (NAME in *ret). */
static bool take_lines(struct wanted *w, const char **ret)
{
	w->changes = 0;
	for (char *at = w->lines; *at && w->changes <= EXEC_PARAMS_MAX;) {
		char *end = strchr(at, '\n'), *equals;
		struct ocf_value *old;

		must(end);
		*end = 0;
		equals = strchr(at, '=');
		if (equals)
			*equals = 0;
		old = find(w, at);
		w->change[w->changes++] = (struct ocf_value){at, equals ? equals + 1 : NULL};
		*ret = at;
		if (!equals && !old)
			return false;
		if (!equals)
			*old = w->value[--w->n];
		else if (old)
			old->value = equals + 1;
		else if (w->n <= EXEC_PARAMS_MAX)
			w->value[w->n++] = (struct ocf_value){at, equals + 1};
		at = end + 1;
	}
	return true;
}

/* The agent says that it can take each of these while it runs. */
static bool is_reloadable(const struct wanted *w, const struct ocf_meta *meta)
{
	if (!ocf_meta_action(meta, RELOAD, 0))
		return false;
	for (size_t i = 0; i < w->changes; i++) {
		const struct ocf_param *p = ocf_meta_param(meta, w->change[i].name);

		if (!p || !p->is_reloadable)
			return false;
	}
	return true;
}

static void set_with_meta(struct api_client *c, struct db_command *cmd, const struct ocf_meta *meta)
{
	static struct wanted w;
	const struct db *db = &api_engine(c)->db;
	struct db_cmd_resource_set *s = &cmd->resource_set;
	const struct db_resource *r = db_find(db, DB_KIND_RESOURCE, s->name);
	const char *name;

	if (!r) {
		api_reply(c, API_NO_SUCH, NULL, "no resource %s", s->name);
		return;
	}
	take_rows(&w, db, s->name);
	memcpy(w.lines, s->params, sizeof(w.lines));
	if (!take_lines(&w, &name)) {
		api_reply(c, API_USAGE, NULL, "remove_params: %s: %s has no such parameter set",
			  name, s->name);
		return;
	}
	if ((s->params[0] && !verb_params_fit(c, r->agent, meta, w.value, w.n)) ||
	    (s->deep_monitor_ms != DB_KEEP &&
	     !verb_deep_level(c, r->agent, meta, s->deep_monitor_ms, &s->deep_level)))
		return;
	s->is_reloadable = is_reloadable(&w, meta);
	verb_submit(c, cmd);
}

/* Lines NAME behind the lines NAME=VALUE; replies and returns false if one cannot be. */
static bool arg_remove(struct api_client *c, const json_t *args, char *lines, size_t size)
{
	const json_t *list = json_object_get(args, "remove_params");
	size_t at = strlen(lines), i;
	json_t *v;

	if (list && !json_is_array(list)) {
		api_reply(c, API_USAGE, NULL, "remove_params: a list of names");
		return false;
	}
	json_array_foreach(list, i, v)
	{
		const char *name = json_string_value(v);

		if (!name || !ocf_param_name_is_valid(name) || strlen(name) >= CL_NAME_MAX ||
		    strlen(name) + 1 >= size - at) {
			api_reply(c, API_USAGE, NULL,
				  "remove_params: '%.64s': not the name of a "
				  "parameter, or too many",
				  name ? name : "?");
			return false;
		}
		at += (size_t)snprintf(lines + at, size - at, "%s\n", name);
	}
	return true;
}

static bool is_nothing(const struct db_cmd_resource_set *s)
{
	return s->restart_max == DB_KEEP && s->restart_ms == DB_KEEP && s->monitor_ms == DB_KEEP &&
	       s->deep_monitor_ms == DB_KEEP && s->start_ms == DB_KEEP && s->stop_ms == DB_KEEP &&
	       s->keeps_depends && !s->params[0];
}

void verb_resource_set(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_RESOURCE_SET);
	struct db_cmd_resource_set *s = &cmd.resource_set;
	const struct db_resource *r;

	if (!verb_arg_name(c, args, "name", s->name, sizeof(s->name)) ||
	    !verb_arg_u32(c, args, "restart_max", DB_KEEP, 1000, &s->restart_max) ||
	    !verb_arg_period(c, args, "restart_ms", DB_KEEP, &s->restart_ms) ||
	    !verb_arg_u32(c, args, "monitor_ms", DB_KEEP, 86400000, &s->monitor_ms) ||
	    !verb_arg_u32(c, args, "deep_monitor_ms", DB_KEEP, 86400000, &s->deep_monitor_ms) ||
	    !verb_arg_u32(c, args, "start_ms", DB_KEEP, 86400000, &s->start_ms) ||
	    !verb_arg_u32(c, args, "stop_ms", DB_KEEP, 86400000, &s->stop_ms) ||
	    !verb_arg_depends(c, args, s->depends, sizeof(s->depends)) ||
	    !verb_arg_params(c, json_object_get(args, "params"), s->params, sizeof(s->params)) ||
	    !arg_remove(c, args, s->params, sizeof(s->params)))
		return;
	s->keeps_depends = !json_object_get(args, "depends");
	r = db_find(&api_engine(c)->db, DB_KIND_RESOURCE, s->name);
	if (!r)
		api_reply(c, API_NO_SUCH, NULL, "no resource %s", s->name);
	else if (is_nothing(s))
		api_reply(c, API_USAGE, NULL,
			  "nothing to set: give one of deep_monitor_ms, depends, monitor_ms, "
			  "params, remove_params, restart_max, restart_ms, start_ms, stop_ms");
	else if (s->params[0] || (s->deep_monitor_ms != DB_KEEP && s->deep_monitor_ms))
		verb_ask_agent(c, &cmd, r->agent, set_with_meta);
	else
		verb_submit(c, &cmd);
}

/* ---- manage, start, stop, clear, fail */

static void manage(struct api_client *c, const json_t *args, bool is_group, bool is_unmanaged)
{
	struct db_command cmd = verb_command(c, DB_CMD_RESOURCE_MANAGE);
	struct db_cmd_resource_manage *m = &cmd.resource_manage;

	m->is_group = is_group;
	m->is_unmanaged = is_unmanaged;
	if (verb_arg_name(c, args, "name", m->name, sizeof(m->name)))
		verb_submit(c, &cmd);
}

void verb_group_manage(struct api_client *c, const json_t *args)
{
	manage(c, args, true, false);
}

void verb_group_unmanage(struct api_client *c, const json_t *args)
{
	manage(c, args, true, true);
}

void verb_resource_manage(struct api_client *c, const json_t *args)
{
	manage(c, args, false, false);
}

void verb_resource_unmanage(struct api_client *c, const json_t *args)
{
	manage(c, args, false, true);
}

static void intend(struct api_client *c, const json_t *args, enum db_intent intent)
{
	struct db_command cmd = verb_command(c, DB_CMD_RESOURCE_INTENT);
	struct db_cmd_resource_intent *i = &cmd.resource_intent;

	i->intent = (uint8_t)intent;
	if (verb_arg_name(c, args, "name", i->name, sizeof(i->name)))
		verb_submit(c, &cmd);
}

void verb_resource_start(struct api_client *c, const json_t *args)
{
	intend(c, args, DB_INTENT_ONLINE);
}

void verb_resource_stop(struct api_client *c, const json_t *args)
{
	intend(c, args, DB_INTENT_OFFLINE);
}

static void clear(struct api_client *c, const json_t *args, bool is_group)
{
	struct db_command cmd = verb_command(c, DB_CMD_RESOURCE_CLEAR);

	cmd.resource_clear.is_group = is_group;
	if (verb_arg_name(c, args, "name", cmd.resource_clear.name,
			  sizeof(cmd.resource_clear.name)))
		verb_submit(c, &cmd);
}

void verb_group_clear(struct api_client *c, const json_t *args)
{
	clear(c, args, true);
}

void verb_resource_clear(struct api_client *c, const json_t *args)
{
	clear(c, args, false);
}

void verb_resource_fail(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_RESOURCE_FAIL);

	if (verb_arg_name(c, args, "name", cmd.resource_fail.name, sizeof(cmd.resource_fail.name)))
		verb_submit(c, &cmd);
}

/* ---- explain */

const char *verb_row_state(enum db_kind kind, const void *row)
{
	const struct db_group *g = row;
	const struct db_resource *r = row;

	if (kind == DB_KIND_GROUP)
		return g->is_unmanaged ? "unmanaged"
		       : g->is_degraded && g->work == DB_WORK_ONLINE
			       ? "degraded"
			       : db_choice_word(kind, "work", g->work);
	if (kind == DB_KIND_RESOURCE)
		return r->is_unmanaged ? "unmanaged"
		       : r->is_stopped && r->work == DB_WORK_OFFLINE
			       ? "stopped"
			       : db_choice_word(kind, "work", r->work);
	return NULL;
}

static void add_row(json_t *rows, const struct db *db, enum db_kind kind, const void *row,
		    const char *text)
{
	json_t *o = verb_row_json(db, kind, row);

	json_array_append_new(rows,
			      json_pack("{s:O, s:O, s:s}", "name", json_object_get(o, "name"),
					"state", json_object_get(o, "state"), "explain", text));
	json_decref(o);
}

static void add_resource(json_t *rows, const struct db *db, const struct db_resource *r)
{
	char text[4 * DB_REASON_MAX];

	tree_explain(db, r, text, sizeof(text));
	add_row(rows, db, DB_KIND_RESOURCE, r, text);
}

json_t *verb_group_resources_json(const struct db *db, const char *group)
{
	json_t *rows = json_array();
	char why[DB_REASON_MAX];
	struct tree t;

	if (!tree_make(db, group, NULL, NULL, &t, why, sizeof(why))) {
		for (size_t i = 0; i < t.count; i++)
			add_resource(rows, db, t.node[i].row);
	}
	return rows;
}

void verb_resource_explain(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	char name[CL_NAME_MAX];
	const struct db_resource *r;
	json_t *rows;

	if (!verb_arg_name(c, args, "name", name, sizeof(name)))
		return;
	r = db_find(db, DB_KIND_RESOURCE, name);
	if (!r) {
		api_reply(c, API_NO_SUCH, NULL, "no resource %s", name);
		return;
	}
	rows = json_array();
	add_resource(rows, db, r);
	api_reply(c, API_OK, rows, "%s", "");
}
