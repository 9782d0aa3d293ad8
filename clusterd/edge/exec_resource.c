/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One resource of a group on this node: its agent is called, and what that means for it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/edge/exec_impl.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/secrets.h"
#include "clusterd/edge/vms.h"
#include "lib/cleanup.h"

const struct db_resource *exec_resource_row(const struct local_resource *r)
{
	return db_find(&r->group->exec->engine->db, DB_KIND_RESOURCE, r->name);
}

bool exec_is_unmanaged(const struct local_resource *r)
{
	const struct db_group *g = exec_row_of(r->group);
	const struct db_resource *row = exec_resource_row(r);

	return (g && g->is_unmanaged) || (row && row->is_unmanaged);
}

/* ---- one agent action */

/* -ENOKEY: a secret that it refers to is not on this node; it is left out. */
static int take_params(const struct engine *e, const char *object, struct ocf_value *params,
		       size_t max, size_t *ret_count)
{
	size_t len = strlen(object), n = 0;
	int r = 0;

	for (uint32_t i = 0; i < db_count(&e->db, DB_KIND_PARAM) && n < max; i++) {
		const struct db_param *p = db_at(&e->db, DB_KIND_PARAM, i);
		const char *value;

		if (strncmp(p->key, object, len) != 0 || p->key[len] != '/')
			continue;
		value = secrets_resolve(e->secrets, p->value);
		if (value)
			params[n++] = (struct ocf_value){p->key + len + 1, value};
		else
			r = -ENOKEY;
	}
	*ret_count = n;
	return r;
}

/* Until it is restarted for new parameters, those of its start: they are under ~NAME. */
static int params_of(const struct local_resource *r, const struct db_resource *row,
		     enum local_doing doing, struct ocf_value *params, size_t *ret)
{
	bool is_old = doing != DOING_START && row->asked == DB_RESOURCE_ASK_RESTART &&
		      r->started < row->asked_at;
	char object[CL_NAME_MAX + 1];

	snprintf(object, sizeof(object), "%s%s", is_old ? "~" : "", r->name);
	return take_params(r->group->exec->engine, object, params, EXEC_PARAMS_MAX, ret);
}

static int call(struct local_resource *r, struct ocf_call *call, ocf_done_fn done)
{
	struct exec *x = r->group->exec;
	_cleanup_close_ int procs = exec_track_open(x, r->name);

	if (procs >= 0)
		call->procs = &procs;
	call->own_agents = x->own_agents;
	return ocf_start(x->loop, call, done, r, &r->run);
}

int exec_call_agent(struct local_resource *r, enum local_doing doing, const char *action,
		    ocf_done_fn done)
{
	struct exec *x = r->group->exec;
	const struct db_resource *row = exec_resource_row(r);
	struct ocf_value params[EXEC_PARAMS_MAX];
	struct ocf_error error;
	struct ocf_call c = {.instance = r->name,
			     .action = action,
			     .params = params,
			     .grace_ms = EXEC_GRACE_MS,
			     .node = x->engine->repl.self.name.text};
	bool is_deep = doing == DOING_MONITOR && row && row->deep_monitor_ms &&
		       engine_now_ms() >= r->deep_due_ms;
	int e;

	if (!row)
		return -ENOENT;
	e = ocf_name_parse(row->agent, &c.agent, &error);
	if (e)
		return e;
	e = params_of(r, row, doing, params, &c.n_params);
	if (!e && x->vms && !strcmp(c.agent.provider, OCF_OWN_PROVIDER))
		e = vms_add_params(x->vms, r->group->name,
				   doing == DOING_STOP && r->stop.step == STOPPING_AGAIN, params,
				   &c.n_params, EXEC_PARAMS_MAX);
	if (e && doing == DOING_START)
		return e;
	if (doing == DOING_MONITOR)
		c.interval_ms = is_deep ? row->deep_monitor_ms : row->monitor_ms;
	c.timeout_ms = !strcmp(action, "stop") ? row->stop_ms : row->start_ms;
	c.check_level = is_deep ? row->deep_level : 0;
	r->doing = doing;
	e = call(r, &c, done);
	if (e)
		r->doing = DOING_NOTHING;
	return e;
}

void exec_describe(struct local_resource *r, const char *action, const struct ocf_result *result)
{
	char why[OCF_TEXT_MAX];

	snprintf(why, sizeof(why), "%s", result->reason[0] ? result->reason : result->text);
	secrets_redact(r->group->exec->engine->secrets, why); /* before it is cut short */
	snprintf(r->reason, sizeof(r->reason), "%.50s: %s %s (%d)%s%.60s", r->name, action,
		 result->kind == RUN_EXITED ? ocf_rc_text(result->rc) : run_kind_name(result->kind),
		 result->rc, why[0] ? ": " : "", why);
}

/* Its action has ended; true if it is to be stopped now. */
static bool ended(struct local_resource *r)
{
	r->run = NULL;
	r->doing = DOING_NOTHING;
	if (r->state == TREE_STOPPING)
		exec_stop_begin(r);
	return r->state == TREE_STOPPING || r->group->phase == LOCAL_STOPPED;
}

/* ---- start */

static void start_failed(struct local_resource *r)
{
	r->state = TREE_UP; /* who knows: it is stopped */
	r->is_failed = true;
	memcpy(r->group->reason, r->reason, sizeof(r->reason));
	log_warning("group %s: %s", r->group->name, r->reason);
	exec_go_on(r->group);
}

static void monitors_due(struct local_resource *r)
{
	const struct db_resource *row = exec_resource_row(r);
	uint64_t now = engine_now_ms();

	r->monitor_due_ms = now + (row ? row->monitor_ms : 0);
	r->deep_due_ms = now + (row ? row->deep_monitor_ms : 0);
}

static void start_done(void *data, const struct ocf_result *result)
{
	struct local_resource *r = data;

	if (ended(r) || r->state != TREE_STARTING)
		return;
	r->start_rc = result->rc;
	if (result->rc != OCF_SUCCESS) {
		exec_describe(r, "start", result);
		start_failed(r);
		return;
	}
	r->state = TREE_UP;
	monitors_due(r);
	exec_go_on(r->group);
}

void exec_start_resource(struct local_resource *r)
{
	int e;

	r->state = TREE_STARTING;
	r->started = r->group->exec->engine->db.index;
	e = exec_call_agent(r, DOING_START, "start", start_done);
	if (!e)
		return;
	snprintf(r->reason, sizeof(r->reason), "%.60s: agent cannot be run: %s", r->name,
		 strerror(-e));
	r->start_rc = exec_rc_of_no_call(e);
	start_failed(r);
}

/* ---- failures */

/* It does not run, or is said not to: its reason says why. */
static void failed(struct local_resource *r)
{
	struct local_group *l = r->group;
	const struct db_resource *row = exec_resource_row(r);
	uint32_t untold = r->restart_wanted || r->restart_told;

	if (exec_is_unmanaged(r)) {
		if (!r->is_bad)
			log_warning("group %s: %s -> nothing, it is unmanaged", l->name, r->reason);
		r->is_bad = true;
		return;
	}
	memcpy(l->reason, r->reason, sizeof(r->reason));
	if (row && row->restarts + untold < row->restart_max) {
		log_warning("group %s: %s -> restart", l->name, r->reason);
		r->must_stop = r->restart_wanted = true;
	} else {
		log_warning("group %s: %s -> no more restarts", l->name, r->reason);
		r->is_failed = true;
	}
	exec_go_on(l);
}

static void monitor_done(void *data, const struct ocf_result *result)
{
	struct local_resource *r = data;
	const struct db_resource *row = exec_resource_row(r);
	uint64_t now = engine_now_ms();

	if (ended(r))
		return;
	r->monitor_due_ms = now + (row ? row->monitor_ms : 0);
	if (r->deep_due_ms <= now)
		r->deep_due_ms = now + (row ? row->deep_monitor_ms : 0);
	if (result->rc == OCF_SUCCESS || result->rc == OCF_DEGRADED) {
		r->is_bad = false;
		exec_go_on(r->group);
		return;
	}
	exec_describe(r, "monitor", result);
	failed(r);
}

static bool is_due(const struct local_resource *r, const struct db_resource *row, uint64_t now)
{
	return (row->monitor_ms && now >= r->monitor_due_ms) ||
	       (row->deep_monitor_ms && now >= r->deep_due_ms);
}

void exec_monitor(struct local_group *l)
{
	uint64_t now = engine_now_ms();
	size_t runs = 0;

	if (l->phase != LOCAL_ONLINE)
		return;
	for (size_t i = 0; i < l->count; i++)
		runs += l->resource[i]->run != NULL;
	for (size_t i = 0; i < l->count && runs < EXEC_RUNS_MAX; i++) {
		struct local_resource *r = l->resource[i];
		const struct db_resource *row = exec_resource_row(r);

		if (!row || r->run || (r->state != TREE_UP && !exec_is_unmanaged(r)) ||
		    r->is_failed || r->must_stop || !is_due(r, row, now))
			continue;
		if (exec_call_agent(r, DOING_MONITOR, "monitor", monitor_done))
			monitors_due(r);
		else
			runs++;
	}
}

/* ---- what its row asks for */

static void reload_done(void *data, const struct ocf_result *result)
{
	struct local_resource *r = data;

	if (ended(r))
		return;
	if (result->rc == OCF_SUCCESS) {
		log_notice("group %s: %s has taken its new parameters", r->group->name, r->name);
		exec_go_on(r->group);
		return;
	}
	exec_describe(r, "reload-agent", result);
	failed(r);
}

static void reload(struct local_resource *r)
{
	if (r->state != TREE_UP || r->run)
		return;
	r->reload_wanted = false;
	if (!exec_call_agent(r, DOING_RELOAD, "reload-agent", reload_done))
		return;
	snprintf(r->reason, sizeof(r->reason), "%.60s: agent cannot be run to reload", r->name);
	failed(r);
}

static void take_ask(struct local_resource *r, const struct db_resource *row)
{
	r->asked = row->asked_at;
	switch ((enum db_resource_ask)row->asked) {
	case DB_RESOURCE_ASK_FAIL:
		snprintf(r->reason, sizeof(r->reason), "%.50s: simulated failure, asked by %s",
			 r->name, row->asked_by);
		if (r->state == TREE_UP || exec_is_unmanaged(r))
			failed(r);
		break;
	case DB_RESOURCE_ASK_RELOAD:
		r->reload_wanted = r->state == TREE_UP;
		break;
	case DB_RESOURCE_ASK_RESTART:
		r->is_failed = false;
		r->must_stop = r->state == TREE_UP || r->state == TREE_STARTING;
		break;
	case DB_RESOURCE_ASK_RETRY:
		r->is_failed = r->is_bad = false;
		break;
	case DB_RESOURCE_ASK_NOTHING:
	case DB_RESOURCE_ASK_MAX:
		break;
	}
}

void exec_take_up(struct local_resource *r, const struct db_resource *row)
{
	bool is_unmanaged = exec_is_unmanaged(r);

	if (r->was_unmanaged && !is_unmanaged) {
		r->is_bad = false;
		r->monitor_due_ms = 0; /* what has become of it meanwhile? */
	}
	r->was_unmanaged = is_unmanaged;
	/* Somebody may have started it: a stop that comes with the end of unmanaged has to stop it.
	 */
	if (is_unmanaged && r->state == TREE_DOWN && !r->run)
		r->state = TREE_UP;
	if (row->asked != DB_RESOURCE_ASK_NOTHING && row->asked_at != r->asked)
		take_ask(r, row);
	if (r->reload_wanted)
		reload(r);
}
