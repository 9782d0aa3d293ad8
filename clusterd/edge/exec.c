/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/exec_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/setting.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/secrets.h"
#include "clusterd/edge/vms.h"
#include "clusterd/edge/voting.h"
#include "lib/cleanup.h"
#include "lib/must.h"

/* ---- what the database says */

const struct db_group *exec_row_of(const struct local_group *l)
{
	return db_find(&l->exec->engine->db, DB_KIND_GROUP, l->name);
}

bool exec_is_ours(const struct exec *x, const struct db_group *g)
{
	const struct repl_state *s = &x->engine->repl;

	return g && g->node == s->self_slot && g->incarnation == s->self.incarnation;
}

static bool lease_is_over(const struct exec *x)
{
	return engine_now_ms() >= x->engine->repl.lease.deadline_ms;
}

static int by_position(const void *a, const void *b)
{
	const struct db_resource *x = *(const struct db_resource *const *)a;
	const struct db_resource *y = *(const struct db_resource *const *)b;

	return x->position < y->position ? -1 : x->position > y->position;
}

static void take_resources(struct local_group *l)
{
	const struct db *db = &l->exec->engine->db;
	const struct db_resource *found[EXEC_RESOURCES_MAX];
	size_t n = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_RESOURCE) && n < EXEC_RESOURCES_MAX; i++) {
		const struct db_resource *r = db_at(db, DB_KIND_RESOURCE, i);

		if (!strcmp(r->group, l->name))
			found[n++] = r;
	}
	qsort(found, n, sizeof(found[0]), by_position);
	l->count = n;
	for (size_t i = 0; i < n; i++) {
		l->resource[i] = (struct local_resource){0};
		memcpy(l->resource[i].name, found[i]->name, sizeof(found[i]->name));
	}
}

/* ---- one agent action */

/* -ENOKEY: a secret that it refers to is not on this node; it is left out. */
static int take_params(const struct engine *e, const char *resource, struct ocf_value *params,
		       size_t max, size_t *ret_count)
{
	const struct db *db = &e->db;
	int r = 0;
	size_t len = strlen(resource), n = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_PARAM) && n < max; i++) {
		const struct db_param *p = db_at(db, DB_KIND_PARAM, i);

		const char *value;

		if (strncmp(p->key, resource, len) != 0 || p->key[len] != '/')
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

/* Starts the action; -errno when the agent cannot even be called. */
int exec_call_agent(struct local_group *l, const char *resource, const char *action,
		    ocf_done_fn done)
{
	struct engine *e = l->exec->engine;
	const struct db_resource *r = db_find(&e->db, DB_KIND_RESOURCE, resource);
	struct ocf_value params[EXEC_PARAMS_MAX];
	struct ocf_error error;
	struct ocf_call call = {.instance = resource,
				.action = action,
				.params = params,
				.grace_ms = EXEC_GRACE_MS,
				.node = e->repl.self.name.text};
	bool is_monitor = !strcmp(action, "monitor"), is_stop = !strcmp(action, "stop");
	_cleanup_close_ int procs = -1;
	int rc;

	if (!r)
		return -ENOENT;
	rc = ocf_name_parse(r->agent, &call.agent, &error);
	if (rc)
		return rc;
	call.own_agents = l->exec->own_agents;
	rc = take_params(e, resource, params, EXEC_PARAMS_MAX, &call.n_params);
	if (!rc && l->exec->vms && !strcmp(call.agent.provider, "clusterd"))
		rc = vms_add_params(l->exec->vms, l->name,
				    is_stop && l->stop.step == STOPPING_AGAIN, params,
				    &call.n_params, EXEC_PARAMS_MAX);
	if (rc && !strcmp(action, "start"))
		return rc;
	call.timeout_ms = is_stop ? r->stop_ms : r->start_ms;
	/* After a kill it is a probe. */
	call.interval_ms = is_monitor && l->phase == LOCAL_ONLINE ? r->monitor_ms : 0;
	procs = exec_track_open(l->exec, resource);
	if (procs >= 0)
		call.procs = &procs;
	return ocf_start(l->exec->loop, &call, done, l, &l->run);
}

void exec_describe(struct local_group *l, const char *resource, const char *action,
		   const struct ocf_result *result)
{
	char why[OCF_TEXT_MAX];

	snprintf(why, sizeof(why), "%s", result->reason[0] ? result->reason : result->text);
	secrets_redact(l->exec->engine->secrets, why); /* before it is cut short */
	snprintf(l->reason, sizeof(l->reason), "%.50s: %s %s (%d)%s%.60s", resource, action,
		 result->kind == RUN_EXITED ? ocf_rc_text(result->rc) : run_kind_name(result->kind),
		 result->rc, why[0] ? ": " : "", why);
}

/* ---- reports */

static void reported(void *arg, int r, const struct db_result *result)
{
	struct local_group *l = arg;

	l->report_runs = false;
	if (r)
		l->report_wanted = true; /* again, when there is quorum */
	else if (result->code)
		log_info("group %s: report not taken: %s", l->name, result->text);
}

static void send_reports(struct local_group *l)
{
	struct engine *e = l->exec->engine;
	struct db_command cmd;

	if (!l->report_wanted || l->report_runs || e->repl.phase != REPL_OPEN)
		return;
	cmd = engine_command(e, l->restart_wanted ? DB_CMD_RESOURCE_REPORT : DB_CMD_GROUP_REPORT);
	if (l->restart_wanted) {
		memcpy(cmd.resource_report.name, l->restarted, sizeof(l->restarted));
		cmd.resource_report.order = l->order;
		cmd.resource_report.work = DB_WORK_ONLINE;
		cmd.resource_report.restarted = true;
		memcpy(cmd.resource_report.reason, l->reason, sizeof(l->reason));
		l->restart_wanted = false;
	} else {
		memcpy(cmd.group_report.name, l->name, sizeof(l->name));
		cmd.group_report.order = l->order;
		cmd.group_report.work = (uint8_t)l->report_work;
		memcpy(cmd.group_report.reason, l->reason, sizeof(l->reason));
		l->report_wanted = false;
	}
	l->report_runs = true;
	if (engine_request(e, &cmd, EXEC_REPORT_MS, reported, l)) {
		l->report_runs = false;
		l->report_wanted = true;
	}
}

void exec_report(struct local_group *l, enum db_work work)
{
	l->report_wanted = true;
	l->report_work = work;
}

/* ---- start, stop, monitor */

static void begin_stop(struct local_group *l, enum stop_cause cause)
{
	if (l->phase == LOCAL_STOPPED)
		return;
	if (l->phase == LOCAL_STOPPING) {
		/* A stronger cause takes over the stop that runs: an order wants a report. */
		if (l->cause == STOP_RESTART || (l->cause == STOP_LEASE && cause == STOP_ORDERED))
			l->cause = cause;
		return;
	}
	log_notice("group %s: stop (%s)", l->name,
		   cause == STOP_ORDERED   ? "ordered"
		   : cause == STOP_LEASE   ? "the quorum lease has run out"
		   : cause == STOP_FAILED  ? l->reason
		   : cause == STOP_RESTART ? "restart"
					   : "not ours any more");
	if (l->phase == LOCAL_ONLINE && cause != STOP_RESTART)
		l->at = l->count;
	else if (l->phase == LOCAL_STARTING)
		l->at = l->at < l->count ? l->at + 1 : l->count;
	l->phase = LOCAL_STOPPING;
	l->cause = cause;
	l->was_killed = l->is_stuck = false;
	l->stop.step = STOPPING_OVER; /* of none yet */
	if (l->run)
		ocf_cancel(l->run, EXEC_GRACE_MS); /* its end comes back here */
	else
		exec_go_on(l);
}

static void start_done(void *data, const struct ocf_result *result)
{
	struct local_group *l = data;

	l->run = NULL;
	if (l->phase != LOCAL_STARTING) {
		exec_go_on(l);
		return;
	}
	l->resource[l->at].start_rc = result->rc;
	if (result->rc != OCF_SUCCESS) {
		exec_describe(l, l->resource[l->at].name, "start", result);
		begin_stop(l, STOP_FAILED);
		return;
	}
	l->at++;
	exec_go_on(l);
}

/* From the failed resource to the end, stopped in reverse and started again. */
static void restart_from(struct local_group *l, size_t i)
{
	const struct db_resource *r =
		db_find(&l->exec->engine->db, DB_KIND_RESOURCE, l->resource[i].name);

	if (!r || r->restarts >= r->restart_max) {
		begin_stop(l, STOP_FAILED);
		return;
	}
	memcpy(l->restarted, l->resource[i].name, sizeof(l->restarted));
	l->restart_wanted = true;
	l->stop_to = i;
	l->at = l->count;
	begin_stop(l, STOP_RESTART);
}

static void monitor_done(void *data, const struct ocf_result *result)
{
	struct local_group *l = data;
	struct local_resource *r = &l->resource[l->watched];
	const struct db_resource *row = db_find(&l->exec->engine->db, DB_KIND_RESOURCE, r->name);

	l->run = NULL;
	l->is_monitoring = false;
	if (l->phase != LOCAL_ONLINE) {
		exec_go_on(l);
		return;
	}
	r->monitor_due_ms = engine_now_ms() + (row ? row->monitor_ms : 0);
	if (result->rc == OCF_SUCCESS || result->rc == OCF_DEGRADED) {
		r->seen_ok_ms = engine_now_ms();
		return;
	}
	exec_describe(l, r->name, "monitor", result);
	log_warning("group %s: %s -> restart or fail over", l->name, l->reason);
	restart_from(l, l->watched);
}

static void is_up(struct local_group *l)
{
	const struct db_group *g = exec_row_of(l);
	uint64_t now = engine_now_ms();

	l->phase = LOCAL_ONLINE;
	for (size_t i = 0; i < l->count; i++) {
		const struct db_resource *r =
			db_find(&l->exec->engine->db, DB_KIND_RESOURCE, l->resource[i].name);

		l->resource[i].monitor_due_ms = now + (r ? r->monitor_ms : 0);
	}
	log_notice("group %s: online", l->name);
	if (l->restart_wanted || g) {
		if (!l->restart_wanted)
			snprintf(l->reason, sizeof(l->reason), "%zu resources started", l->count);
		exec_report(l, DB_WORK_ONLINE);
	}
}

static void is_down(struct local_group *l)
{
	l->phase = LOCAL_STOPPED;
	log_notice("group %s: stopped", l->name);
	if (l->cause == STOP_ORDERED) {
		if (!l->was_killed)
			snprintf(l->reason, sizeof(l->reason), "%zu resources stopped", l->count);
		exec_report(l, DB_WORK_OFFLINE);
	} else if (l->cause == STOP_FAILED) {
		/* FAILED says that nothing of it is left here, so that another node may have it. */
		exec_report(l, DB_WORK_FAILED);
	}
}

static void start_next(struct local_group *l)
{
	struct local_resource *r = &l->resource[l->at];
	int e;

	if (!engine_may_act(l->exec->engine)) /* right before each start */
		return;
	e = exec_call_agent(l, r->name, "start", start_done);
	if (!e)
		return;
	snprintf(l->reason, sizeof(l->reason), "%.60s: agent cannot be run: %s", r->name,
		 strerror(-e));
	r->start_rc = exec_rc_of_no_call(e);
	begin_stop(l, STOP_FAILED);
}

/* The next agent action of a group that is starting or stopping. */
void exec_go_on(struct local_group *l)
{
	if (l->phase == LOCAL_STARTING) {
		if (l->at >= l->count)
			is_up(l);
		else
			start_next(l);
		return;
	}
	if (l->phase != LOCAL_STOPPING)
		return;
	if (l->cause == STOP_RESTART && l->at <= l->stop_to) {
		l->phase = LOCAL_STARTING;
		exec_go_on(l);
		return;
	}
	if (!l->at) {
		is_down(l);
		return;
	}
	l->at--;
	stopping_begin(&l->stop, l->resource[l->at].start_rc);
	l->has_agent_left = false;
	exec_stop_on(l);
}

static void monitor_next(struct local_group *l)
{
	uint64_t now = engine_now_ms();

	if (l->phase != LOCAL_ONLINE || l->run)
		return;
	for (size_t i = 0; i < l->count; i++) {
		const struct db_resource *r =
			db_find(&l->exec->engine->db, DB_KIND_RESOURCE, l->resource[i].name);

		if (!r || !r->monitor_ms || now < l->resource[i].monitor_due_ms)
			continue;
		l->watched = i;
		l->resource[i].monitor_due_ms = now + r->monitor_ms;
		if (!exec_call_agent(l, r->name, "monitor", monitor_done))
			l->is_monitoring = true;
		return;
	}
}

/* ---- groups here */

static struct local_group *find_local(struct exec *x, const char *name)
{
	for (struct local_group *l = x->groups; l; l = l->next) {
		if (!strcmp(l->name, name))
			return l;
	}
	return NULL;
}

static struct local_group *new_local(struct exec *x, const struct db_group *g)
{
	struct local_group *l = calloc(1, sizeof(*l));

	must(l);
	l->exec = x;
	memcpy(l->name, g->name, sizeof(l->name));
	l->phase = LOCAL_STOPPED;
	l->next = x->groups;
	x->groups = l;
	return l;
}

static void start_group(struct local_group *l, const struct db_group *g)
{
	if (l->report_wanted || l->report_runs)
		return;
	l->order = g->order;
	l->at = 0;
	l->phase = LOCAL_STARTING;
	l->is_stuck = false;
	l->reason[0] = 0;
	take_resources(l);
	log_notice("group %s: start by order %llu", l->name, (unsigned long long)g->order);
	exec_go_on(l);
}

/* What has failed to stop is stopped again from time to time: its end may come by itself. */
static void stop_again(struct exec *x, const struct db_group *g, struct local_group *l)
{
	if (!engine_may_act(x->engine))
		return;
	if (!l)
		l = new_local(x, g);
	if (l->phase != LOCAL_STOPPED || l->run || l->report_wanted || l->report_runs ||
	    engine_now_ms() < l->again_ms)
		return;
	if (l->order != g->order)
		take_resources(l);
	l->order = g->order;
	l->phase = LOCAL_ONLINE;
	begin_stop(l, STOP_ORDERED);
}

static void look_at_order(struct exec *x, const struct db_group *g)
{
	struct local_group *l = find_local(x, g->name);

	if (g->work == DB_WORK_FAILED) {
		stop_again(x, g, l);
		return;
	}
	if (g->work == DB_WORK_STOPPING) {
		if (!l || l->phase == LOCAL_STOPPED) {
			/* Stopped already, by the lease, or never started by this process. */
			if (!l)
				l = new_local(x, g);
			if (l->order == g->order)
				return;
			take_resources(l);
			l->order = g->order;
			l->phase = LOCAL_ONLINE;
		}
		l->order = g->order;
		begin_stop(l, STOP_ORDERED);
		return;
	}
	if (g->work != DB_WORK_STARTING && g->work != DB_WORK_ONLINE)
		return;
	if (x->is_leaving || !engine_may_act(x->engine))
		return;
	if ((!l || l->phase == LOCAL_STOPPED) && x->vms && vms_is_arriving(x->vms, g->name))
		return;
	if (!l)
		l = new_local(x, g);
	/* Online there and stopped here: a report got lost while the node was away. */
	if (l->phase == LOCAL_STOPPED &&
	    (l->order != g->order || l->cause == STOP_LEASE || g->work == DB_WORK_ONLINE))
		start_group(l, g);
	else if (l->phase == LOCAL_STARTING && !l->run)
		exec_go_on(l);
}

static void reap(struct exec *x)
{
	struct local_group **link = &x->groups;

	while (*link) {
		struct local_group *l = *link;
		const struct db_group *g = exec_row_of(l);

		if (l->phase == LOCAL_STOPPED && !l->report_wanted && !l->report_runs && !l->run &&
		    !l->ask_runs && !exec_is_ours(x, g)) {
			*link = l->next;
			free(l);
		} else {
			link = &l->next;
		}
	}
}

static void left(void *arg, int r, const struct db_result *result)
{
	struct exec *x = arg;

	x->leave_runs = false;
	if (r || result->code)
		return; /* asked again from the timer */
	if (!x->has_said_leaving) {
		x->has_said_leaving = true;
		x->vote_until_ms = engine_now_ms() + EXEC_VOTE_MS;
	} else {
		x->has_left = true;
	}
}

static void say_leave(struct exec *x)
{
	struct engine *e = x->engine;
	struct db_command cmd;

	if (x->leave_runs || e->repl.phase != REPL_OPEN)
		return;
	cmd = engine_command(e, DB_CMD_NODE_LEAVE);
	memcpy(cmd.node_leave.name, e->repl.self.name.text, sizeof(cmd.node_leave.name));
	cmd.node_leave.incarnation = e->repl.self.incarnation;
	cmd.node_leave.is_done = x->has_said_leaving;
	x->leave_runs = !engine_request(e, &cmd, EXEC_REPORT_MS, left, x);
}

static bool has_work(struct exec *x)
{
	const struct db *db = &x->engine->db;

	for (struct local_group *l = x->groups; l; l = l->next) {
		if (l->phase != LOCAL_STOPPED || l->run)
			return true;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (exec_is_ours(x, g) && g->lock && x->engine->repl.phase == REPL_OPEN)
			return true;
	}
	return x->engine->repl.phase == REPL_OPEN && x->is_held(x->arg);
}

/* Its vote goes before it does; one that nobody takes does not keep it. */
static bool keeps_vote(const struct exec *x)
{
	return engine_now_ms() < x->vote_until_ms && !voting_may_leave(x->engine);
}

/* The cluster is stopped as a whole, and this process was here when that was said. */
static bool cluster_stops(const struct exec *x)
{
	const struct engine *e = x->engine;
	const struct db_node *n = db_node_by_slot(&e->db, e->repl.self_slot);

	return setting_get(&e->db, SETTING_CLUSTER_STOPPING, NULL) && n &&
	       n->instance == e->repl.self.instance;
}

/* Then nobody goes before all are done: their reports need a majority. */
static bool is_waited_for(const struct exec *x)
{
	const struct engine *e = x->engine;

	for (uint32_t i = 0; i < db_count(&e->db, DB_KIND_NODE) && cluster_stops(x); i++) {
		const struct db_node *n = db_at(&e->db, DB_KIND_NODE, i);

		if (n->membership == DB_MEMBERSHIP_ADMITTED && e->repl.phase == REPL_OPEN &&
		    (e->repl.present & cl_bit(n->slot)))
			return true;
	}
	return false;
}

/*
 * A node that stops asks to be emptied, waits until it is, says that it is, and ends. Without
 * quorum the lease has it stop what it runs, and it ends without a word.
 */
static void leave(struct exec *x)
{
	bool is_out =
		x->engine->repl.phase != REPL_OPEN || !db_count(&x->engine->db, DB_KIND_CLUSTER);

	if (x->has_left && is_waited_for(x) && engine_now_ms() < x->leave_until_ms)
		return;
	if (!x->has_left && engine_now_ms() >= x->leave_until_ms) {
		log_error("could not empty this node within %d s -> stopping anyway",
			  EXEC_LEAVE_MS / 1000);
		x->stopped(x->arg);
	} else if (x->has_left || (is_out && !has_work(x))) {
		x->stopped(x->arg);
	} else if (!x->has_said_leaving || (!has_work(x) && !keeps_vote(x))) {
		say_leave(x);
	}
}

/* It was migrated: what is left of it here ends by itself, and nothing of it is to be stopped. */
static void forget(struct local_group *l)
{
	if (l->phase == LOCAL_STOPPED)
		return;
	log_notice("group %s: has been migrated away", l->name);
	l->phase = LOCAL_STOPPED;
	l->cause = STOP_FORGOTTEN;
	if (l->run)
		ocf_cancel(l->run, 0);
	exec_untrack(l);
}

void exec_set_vms(struct exec *x, struct vms *vms, const char *own_agents)
{
	x->vms = vms;
	x->own_agents = own_agents;
}

void exec_changed(struct exec *x)
{
	const struct db *db = &x->engine->db;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (exec_is_ours(x, g))
			look_at_order(x, g);
	}
	for (struct local_group *l = x->groups; l; l = l->next) {
		const struct db_group *g = exec_row_of(l);

		/* Only a database that is up to date can say that a group is not ours. */
		if (!exec_is_ours(x, g) && x->engine->repl.phase == REPL_OPEN) {
			if (x->vms && vms_has_moved(x->vms, l->name, l->order))
				forget(l);
			else
				begin_stop(l, STOP_FORGOTTEN);
		}
		send_reports(l);
		exec_ask_fence(l);
	}
	reap(x);
}

static void on_timer(void *arg)
{
	struct exec *x = arg;

	qb_loop_timer_add(x->loop, QB_LOOP_HIGH, EXEC_TIMER_NS, x, on_timer, &x->timer);
	for (struct local_group *l = x->groups; l; l = l->next) {
		if (l->phase == LOCAL_STOPPING && l->stop.step == STOPPING_KILL)
			exec_stop_look(l);
		if (!lease_is_over(x))
			monitor_next(l);
		else if (!x->vms || !vms_holds_still(x->vms, l->name))
			begin_stop(l, STOP_LEASE);
	}
	exec_changed(x);
	if (cluster_stops(x) && !x->is_leaving) {
		log_notice("the cluster is stopped as a whole -> this node leaves");
		exec_stop_all(x);
	}
	if (x->is_leaving)
		leave(x);
}

void exec_stop_all(struct exec *x)
{
	if (x->is_leaving)
		return;
	x->is_leaving = true;
	x->leave_until_ms = engine_now_ms() + EXEC_LEAVE_MS;
}

int exec_open(struct engine *e, void (*stopped)(void *arg), bool (*is_held)(void *arg), void *arg,
	      struct exec **ret)
{
	struct exec *x = calloc(1, sizeof(*x));

	must(x);
	x->engine = e;
	x->loop = e->loop;
	x->stopped = stopped;
	x->is_held = is_held;
	x->arg = arg;
	qb_loop_timer_add(x->loop, QB_LOOP_HIGH, EXEC_TIMER_NS, x, on_timer, &x->timer);
	*ret = x;
	return 0;
}

void exec_close(struct exec *x)
{
	if (!x)
		return;
	qb_loop_timer_del(x->loop, x->timer);
	while (x->groups) {
		struct local_group *l = x->groups;

		x->groups = l->next;
		ocf_free(l->run);
		free(l);
	}
	free(x);
}
