/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What administrators do with a resource, or with all resources of a group. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/apply_impl.h"
#include "clusterd/core/tree.h"
#include "clusterd/core/vm.h"

/* The row, and its group; answers if there is none. */
static struct db_resource *resource_find(struct apply *a, const char *name,
					 struct db_group **ret_group)
{
	struct db_resource *r = db_find(a->db, DB_KIND_RESOURCE, name);

	*ret_group = r ? db_find(a->db, DB_KIND_GROUP, r->group) : NULL;
	if (*ret_group)
		return r;
	apply_answer(a, DB_NO_SUCH, "no resource %s", name);
	return NULL;
}

static bool is_unmanaged(struct apply *a, const struct db_group *g, const struct db_resource *r)
{
	if (!g->is_unmanaged && !r->is_unmanaged)
		return false;
	apply_answer(a, DB_REFUSED, "%s %s is unmanaged: '%s manage %s' first",
		     g->is_unmanaged ? "group" : "resource", g->is_unmanaged ? g->name : r->name,
		     g->is_unmanaged ? "group" : "resource", g->is_unmanaged ? g->name : r->name);
	return true;
}

static void ask(struct apply *a, struct db_group *g, struct db_resource *r,
		enum db_resource_ask what)
{
	r->asked = (uint8_t)what;
	r->asked_at = a->entry->index;
	COPY(r->asked_by, a->cmd->actor);
	g->changed = a->entry->index;
}

static void online(const struct tree *t, bool *ret)
{
	for (size_t i = 0; i < t->count; i++)
		ret[i] = t->node[i].row->work == DB_WORK_ONLINE;
}

/* Those of the set, by name. */
static void names(const struct tree *t, const bool *set, char *text, size_t size)
{
	size_t at = 0;

	text[0] = 0;
	for (size_t i = 0; i < t->count && at < size; i++) {
		if (set[i])
			at += (size_t)snprintf(text + at, size - at, "%s%s", at ? ", " : "",
					       t->node[i].row->name);
	}
}

/* What runs and would not without it. */
static void with_it(const struct db *db, const struct db_resource *r, char *text, size_t size)
{
	bool is_up[TREE_MAX], needs[TREE_MAX];
	struct tree t;
	char why[DB_REASON_MAX];

	text[0] = 0;
	if (tree_make(db, r->group, NULL, NULL, &t, why, sizeof(why)))
		return;
	online(&t, is_up);
	tree_need(&t, is_up, tree_find(&t, r->name), needs);
	names(&t, needs, text, size);
}

/* ---- set */

/* The new expression can be read, and nothing that runs would have to stop for it. */
static bool depends_fit(struct apply *a, const struct db_cmd_resource_set *c,
			const struct db_resource *r)
{
	bool is_up[TREE_MAX], needs[TREE_MAX];
	struct tree t;
	char why[DB_REASON_MAX];

	if (tree_make(a->db, r->group, r->name, c->depends, &t, why, sizeof(why))) {
		apply_answer(a, DB_INVALID, "%s", why);
		return false;
	}
	online(&t, is_up);
	tree_need(&t, is_up, -1, needs);
	names(&t, needs, why, sizeof(why) / 2);
	if (why[0])
		apply_answer(a, DB_REFUSED,
			     "%s runs and would have to stop for that: start what it shall depend "
			     "on first",
			     why);
	return !why[0];
}

/* Takes one line apart: NAME=VALUE, or NAME (*ret_value NULL). NULL for a bad line. */
static const char *line(const char *text, const char *object, char key[DB_KEY_MAX],
			char value[DB_VALUE_MAX], bool *ret_has_value)
{
	size_t len = strcspn(text, "\n"), name = strcspn(text, "=\n");

	*ret_has_value = name < len;
	if (!name || name >= CL_NAME_MAX || (*ret_has_value && len - name > DB_VALUE_MAX))
		return NULL;
	snprintf(key, DB_KEY_MAX, "%.63s/%.*s", object, (int)name, text);
	value[0] = 0;
	if (*ret_has_value) {
		memcpy(value, text + name + 1, len - name - 1);
		value[len - name - 1] = 0;
	}
	return text + len + (text[len] == '\n');
}

static uint32_t params_count(const struct db *db, const char *object)
{
	size_t n = strlen(object);
	uint32_t count = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_PARAM); i++) {
		const struct db_param *p = db_at(db, DB_KIND_PARAM, i);

		count += !strncmp(p->key, object, n) && p->key[n] == '/';
	}
	return count;
}

/* Each line is well-formed, what goes is there, and there is room, also to keep the old ones. */
static bool params_fit(struct apply *a, const struct db_cmd_resource_set *c)
{
	char key[DB_KEY_MAX], value[DB_VALUE_MAX];
	uint32_t room = a->db->limits.capacity[DB_KIND_PARAM] - db_count(a->db, DB_KIND_PARAM);
	uint32_t needed = params_count(a->db, c->name);
	const char *text = c->params;
	bool has_value;

	while (text && *text) {
		text = line(text, c->name, key, value, &has_value);
		needed += text && has_value;
		if (text && !has_value && !db_find(a->db, DB_KIND_PARAM, key)) {
			apply_answer(a, DB_INVALID, "%s: no such parameter is set",
				     strchr(key, '/') + 1);
			return false;
		}
	}
	if (!text || needed > room)
		apply_answer(a, DB_REFUSED, "bad parameters, or no room for them");
	return text && needed <= room && secrets_exist(a, c->params);
}

/* A stop gets the parameters of the start: they stay under ~NAME until it is over. */
static void params_keep(struct db *db, const char *object)
{
	size_t n = strlen(object);

	/* '~' sorts behind every name: what is added does not move what is still to come. */
	for (uint32_t i = 0; i < db_count(db, DB_KIND_PARAM); i++) {
		const struct db_param *p = db_at(db, DB_KIND_PARAM, i);
		struct db_param copy = *p;
		char key[DB_KEY_MAX];

		if (strncmp(p->key, object, n) != 0 || p->key[n] != '/')
			continue;
		snprintf(key, sizeof(key), "~%.134s", copy.key);
		(void)apply_param_set(db, key, copy.value); /* there is room: params_fit() */
	}
}

static void params_change(struct apply *a, const struct db_cmd_resource_set *c)
{
	char key[DB_KEY_MAX], value[DB_VALUE_MAX];
	bool has_value;

	for (const char *text = c->params; *text;) {
		text = line(text, c->name, key, value, &has_value);
		if (has_value)
			(void)apply_param_set(a->db, key, value);
		else
			db_remove(a->db, DB_KIND_PARAM, db_find(a->db, DB_KIND_PARAM, key));
	}
}

static bool can_set(struct apply *a, const struct db_cmd_resource_set *c, const struct db_group *g,
		    const struct db_resource *r)
{
	bool is_running = g->lock && !r->is_stopped;

	if ((c->params[0] || !c->keeps_depends) && vm_of_group(a->db, g)) {
		apply_answer(a, DB_REFUSED,
			     "resource %s is a virtual machine: it has neither dependencies nor "
			     "parameters",
			     c->name);
		return false;
	}
	if (c->params[0] && is_running && is_unmanaged(a, g, r))
		return false;
	return (c->keeps_depends || depends_fit(a, c, r)) && (!c->params[0] || params_fit(a, c));
}

static void set(uint32_t *to, uint32_t value)
{
	if (value != DB_KEEP)
		*to = value;
}

/* New parameters of what runs: the agent takes them, or it is restarted; the answer says which. */
static void bring_in(struct apply *a, const struct db_cmd_resource_set *c, struct db_group *g,
		     struct db_resource *r)
{
	char others[DB_REASON_MAX / 2];

	if (!g->lock || r->is_stopped) {
		params_change(a, c);
		return;
	}
	if (c->is_reloadable && r->asked != DB_RESOURCE_ASK_RESTART) {
		params_change(a, c);
		ask(a, g, r, DB_RESOURCE_ASK_RELOAD);
		apply_answer(a, DB_OK, "%s takes its new parameters while it runs", r->name);
		return;
	}
	if (r->asked != DB_RESOURCE_ASK_RESTART)
		params_keep(a->db, r->name);
	params_change(a, c);
	ask(a, g, r, DB_RESOURCE_ASK_RESTART);
	with_it(a->db, r, others, sizeof(others));
	apply_answer(a, DB_OK, "%s is restarted for its new parameters%s%s", r->name,
		     others[0] ? ", and with it " : "", others);
}

void do_resource_set(struct apply *a, const struct db_cmd_resource_set *c)
{
	struct db_group *g;
	struct db_resource *r = resource_find(a, c->name, &g);

	if (!r || !can_set(a, c, g, r))
		return;
	set(&r->restart_max, c->restart_max);
	set(&r->restart_ms, c->restart_ms ? c->restart_ms : AGE_RESTART_MS);
	set(&r->monitor_ms, c->monitor_ms);
	set(&r->start_ms, c->start_ms);
	set(&r->stop_ms, c->stop_ms);
	if (c->deep_monitor_ms != DB_KEEP) {
		r->deep_monitor_ms = c->deep_monitor_ms;
		r->deep_level = c->deep_level;
	}
	if (!c->keeps_depends)
		COPY(r->depends, c->depends);
	if (c->params[0])
		bring_in(a, c, g, r);
	g->changed = a->entry->index;
	apply_event(a, "resource-set", c->name, "%s%s%s%sby %s",
		    c->keeps_depends ? "" : "depends on '", c->keeps_depends ? "" : c->depends,
		    c->keeps_depends ? "" : "', ", c->params[0] ? "new parameters, " : "",
		    a->cmd->actor);
}

/* ---- manage, unmanage */

/* Between two states nobody could say what the administrator has got. */
static bool is_between(struct apply *a, const struct db_group *g, bool to_unmanaged)
{
	if (!to_unmanaged || g->work == DB_WORK_ONLINE || g->work == DB_WORK_OFFLINE)
		return false;
	apply_answer(a, DB_REFUSED, "group %s is %s: wait until it is online or offline", g->name,
		     db_choice_word(DB_KIND_GROUP, "work", g->work));
	return true;
}

void do_resource_manage(struct apply *a, const struct db_cmd_resource_manage *c)
{
	struct db_group *g = db_find(a->db, DB_KIND_GROUP, c->name);
	struct db_resource *r = c->is_group ? NULL : resource_find(a, c->name, &g);
	bool *flag;

	if (!g && c->is_group)
		apply_answer(a, DB_NO_SUCH, "no group %s", c->name);
	if (!g || (!r && !c->is_group))
		return;
	flag = r ? &r->is_unmanaged : &g->is_unmanaged;
	if (*flag == c->is_unmanaged || is_between(a, g, c->is_unmanaged))
		return;
	if (r)
		g->unmanaged += c->is_unmanaged ? 1 : UINT32_MAX;
	*flag = c->is_unmanaged;
	g->changed = a->entry->index;
	apply_event(a,
		    r ? (c->is_unmanaged ? "resource-unmanaged" : "resource-managed")
		      : (c->is_unmanaged ? "group-unmanaged" : "group-managed"),
		    c->name, "%s, by %s",
		    c->is_unmanaged ? "watched, and neither started, stopped, moved nor recovered"
				    : "the cluster takes care of it again",
		    a->cmd->actor);
}

/* ---- start, stop */

static void forget(struct apply *a, struct db_group *g, struct db_resource *r)
{
	r->restarts = 0;
	r->restarts_since_ms = 0;
	/* A restart for new parameters is another try, too. */
	if (r->work == DB_WORK_FAILED && r->asked != DB_RESOURCE_ASK_RESTART)
		ask(a, g, r, DB_RESOURCE_ASK_RETRY);
}

void do_resource_intent(struct apply *a, const struct db_cmd_resource_intent *c)
{
	struct db_group *g;
	struct db_resource *r = resource_find(a, c->name, &g);
	bool to_stop = c->intent == DB_INTENT_OFFLINE;
	const char *verb = to_stop ? "resource-stop" : "resource-start";
	char others[DB_REASON_MAX / 2];

	if (!r || is_unmanaged(a, g, r))
		return;
	if (vm_of_group(a->db, g)) {
		apply_answer(a, DB_REFUSED, "resource %s is a virtual machine: see 'vm %s'",
			     c->name, to_stop ? "stop" : "start");
		return;
	}
	with_it(a->db, r, others, sizeof(others));
	r->is_stopped = to_stop;
	if (!to_stop)
		forget(a, g, r);
	g->changed = a->entry->index;
	apply_task_end(a, r->task, DB_TASK_STATE_CANCELLED, "replaced by a later command");
	r->task = apply_task_new(a, verb, c->name);
	apply_event(a, verb, c->name, "asked by %s", a->cmd->actor);
	if (!g->lock) {
		apply_task_end(a, r->task, DB_TASK_STATE_DONE,
			       to_stop ? "it is not started with its group any more"
				       : "it is started when its group is");
		r->task = 0;
	}
	if (to_stop && others[0])
		apply_answer(a, DB_OK, "%s, which need it, stop first", others);
}

/* ---- clear, fail */

static void clear_group(struct apply *a, struct db_group *g)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_RESOURCE); i++) {
		struct db_resource *r = db_at(a->db, DB_KIND_RESOURCE, i);

		if (!strcmp(r->group, g->name))
			forget(a, g, r);
	}
	age_group_forget(g);
	g->refused = 0;
	g->failures = 0;
	apply_event(a, "group-clear", g->name, "its failures are forgotten, by %s", a->cmd->actor);
}

void do_resource_clear(struct apply *a, const struct db_cmd_resource_clear *c)
{
	struct db_group *g = db_find(a->db, DB_KIND_GROUP, c->name);
	struct db_resource *r;

	if (c->is_group && g)
		clear_group(a, g);
	else if (c->is_group)
		apply_answer(a, DB_NO_SUCH, "no group %s", c->name);
	if (c->is_group)
		return;
	r = resource_find(a, c->name, &g);
	if (!r)
		return;
	forget(a, g, r);
	apply_event(a, "resource-clear", c->name, "its failures are forgotten, by %s",
		    a->cmd->actor);
}

void do_resource_fail(struct apply *a, const struct db_cmd_resource_fail *c)
{
	struct db_group *g;
	struct db_resource *r = resource_find(a, c->name, &g);

	if (!r)
		return;
	if (g->work != DB_WORK_ONLINE || r->work != DB_WORK_ONLINE) {
		apply_answer(a, DB_REFUSED, "resource %s is not online: there is nothing to fail",
			     c->name);
		return;
	}
	if (r->asked != DB_RESOURCE_ASK_NOTHING) {
		apply_answer(a, DB_CONFLICT, "resource %s is still to %s, asked by %s", c->name,
			     db_choice_word(DB_KIND_RESOURCE, "asked", r->asked), r->asked_by);
		return;
	}
	ask(a, g, r, DB_RESOURCE_ASK_FAIL);
	apply_event(a, "resource-fail", c->name, "a failure is simulated, asked by %s",
		    a->cmd->actor);
}
