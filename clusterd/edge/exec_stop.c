/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a resource is stopped beyond what its agent does, and what becomes of it if that fails. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/volume.h"
#include "clusterd/edge/exec_impl.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/vms.h"
#include "clusterd/edge/volumes.h"
#include "lib/cgroup.h"

/* ---- what agents leave behind */

/* The control group of all that the agents of a resource start on this node. */
static void track_name(const char *resource, char name[CL_NAME_MAX + 8])
{
	snprintf(name, CL_NAME_MAX + 8, "ocf-%s", resource);
}

/* Without control groups what an agent leaves behind is not tracked: its word alone counts. */
int exec_track_open(struct exec *x, const char *resource)
{
	char name[CL_NAME_MAX + 8];
	int fd;

	track_name(resource, name);
	fd = cgroup_open_beside(name);
	if (fd < 0 && !x->has_warned) {
		x->has_warned = true;
		log_warning("control group %s cannot be had: %s -> processes that agents leave "
			    "behind are not tracked, and cannot be killed when a stop fails",
			    name, strerror(-fd));
	}
	return fd;
}

void exec_untrack(const struct local_group *l)
{
	char name[CL_NAME_MAX + 8];

	for (size_t i = 0; i < l->count; i++) {
		track_name(l->resource[i]->name, name);
		(void)cgroup_remove_beside(name);
	}
}

/* ---- one resource's stop, see core/stopping.h */

static void append(struct local_resource *r, const char *more)
{
	size_t len = strlen(r->reason), n = strlen(more);

	if (len + n >= sizeof(r->reason))
		len = sizeof(r->reason) - 1 - n;
	memcpy(r->reason + len, more, n + 1);
}

/* The group's reason, too: of a stop that needs a kill, or fails, people want to know most. */
static void tell_group(struct local_resource *r)
{
	/* But what the whole group is stopped for stays its reason. */
	if (r->group->cause == STOP_FAILED && r->group->phase == LOCAL_STOPPING && !r->is_failed)
		return;
	memcpy(r->group->reason, r->reason, sizeof(r->reason));
}

/* Why it is killed; where a start or a monitor has failed before, that stays the reason. */
static void note_failure(struct local_resource *r, const struct ocf_result *result)
{
	if (r->is_failed || r->must_stop)
		append(r, "; its stop failed, too");
	else
		exec_describe(r, "stop", result);
	tell_group(r);
}

static void stop_on(struct local_resource *r);

static void stop_done(void *data, const struct ocf_result *result)
{
	struct local_resource *r = data;
	enum stopping_step before = r->stop.step;

	r->run = NULL;
	r->doing = DOING_NOTHING;
	if (r->state != TREE_STOPPING)
		return; /* forgotten meanwhile */
	stopping_agent_done(&r->stop, result->rc, engine_now_ms());
	r->has_agent_left = r->has_agent_left || result->is_left_running;
	if (before == STOPPING_AGENT && r->stop.step == STOPPING_KILL)
		note_failure(r, result);
	stop_on(r);
}

/* What cannot be called at all, with these parameters, has never started anything. */
int exec_rc_of_no_call(int r)
{
	return r == -EINVAL || r == -E2BIG ? OCF_ERR_CONFIGURED : STOPPING_NO_RC;
}

static void call_for_stop(struct local_resource *r, const char *action)
{
	int e = exec_call_agent(r, DOING_STOP, action, stop_done);

	if (!e)
		return;
	if (r->stop.step == STOPPING_AGENT) {
		snprintf(r->reason, sizeof(r->reason), "%.60s: agent cannot be run: %s", r->name,
			 strerror(-e));
		tell_group(r);
	}
	stopping_agent_done(&r->stop, exec_rc_of_no_call(e), engine_now_ms());
	stop_on(r);
}

static void kill_tracked(struct local_resource *r)
{
	struct local_group *l = r->group;
	char name[CL_NAME_MAX + 8];
	int e;

	track_name(r->name, name);
	e = cgroup_kill_beside(name);
	if (l->exec->vms)
		vms_kill(l->exec->vms, l->name);
	log_warning("group %s: %s -> all that its agents have left is killed%s%s", l->name,
		    r->reason, e ? ", but that cannot be done: " : "", e ? strerror(-e) : "");
}

/* Called until nothing is left, or it takes too long. */
static void look_at_killed(struct local_resource *r)
{
	char name[CL_NAME_MAX + 8];
	int e;

	track_name(r->name, name);
	e = cgroup_is_populated_beside(name);
	stopping_look(&r->stop, (!e || e == -ENOENT) && !r->has_agent_left, engine_now_ms());
	if (r->stop.step != STOPPING_KILL)
		stop_on(r);
}

void exec_stop_look(struct local_group *l)
{
	for (size_t i = 0; i < l->count; i++) {
		struct local_resource *r = l->resource[i];

		if (r->state == TREE_STOPPING && !r->run && !r->is_stuck &&
		    r->stop.step == STOPPING_KILL)
			look_at_killed(r);
	}
}

/* It is over: what was to be stopped for another start may start. */
static void is_over(struct local_resource *r)
{
	char name[CL_NAME_MAX + 8];

	if (r->stop.was_killed) {
		append(r, "; killed, and it is not running any more");
		tell_group(r);
		log_notice("group %s: %s", r->group->name, r->reason);
		r->group->was_killed = true;
	}
	track_name(r->name, name);
	(void)cgroup_remove_beside(name);
	r->state = TREE_DOWN;
	r->must_stop = false;
	r->start_rc = 0;
	exec_go_on(r->group);
}

static void is_stuck(struct local_resource *r)
{
	append(r, r->stop.has_survivors ? "; SIGKILL does not end its processes"
					: "; killed, and not proven to be over");
	tell_group(r);
	r->is_stuck = true;
	exec_go_on(r->group);
}

/* The step that is next. */
static void stop_on(struct local_resource *r)
{
	switch (r->stop.step) {
	case STOPPING_AGENT:
	case STOPPING_AGAIN:
		call_for_stop(r, "stop");
		break;
	case STOPPING_PROBE:
		call_for_stop(r, "monitor");
		break;
	case STOPPING_KILL:
		kill_tracked(r);
		break;
	case STOPPING_OVER:
		is_over(r);
		break;
	case STOPPING_STUCK:
		is_stuck(r);
		break;
	case STOPPING_STEP_MAX:
		break;
	}
}

void exec_stop_begin(struct local_resource *r)
{
	stopping_begin(&r->stop, r->start_rc);
	r->has_agent_left = r->is_stuck = false;
	stop_on(r);
}

void exec_stop_resource(struct local_resource *r)
{
	r->state = TREE_STOPPING;
	r->reload_wanted = false;
	r->stop.step = STOPPING_AGENT;
	if (r->run)
		ocf_cancel(r->run, EXEC_GRACE_MS); /* its end comes back to exec_stop_begin() */
	else
		exec_stop_begin(r);
}

void exec_give_up(struct local_group *l)
{
	const struct db_group *g = exec_row_of(l);

	for (size_t i = 0; i < l->count && l->cause == STOP_FAILED; i++) {
		size_t len = strlen(l->reason);

		if (l->resource[i]->is_stuck && !l->resource[i]->is_failed)
			snprintf(l->reason + len, sizeof(l->reason) - len, "; %s does not stop",
				 l->resource[i]->name);
	}
	log_error("group %s: %s -> it stays as it is", l->name, l->reason);
	l->phase = LOCAL_STOPPED;
	l->is_stuck = true;
	l->again_ms = engine_now_ms() + EXEC_AGAIN_MS;
	/* Once it has failed the cluster has heard it. */
	if (l->cause != STOP_LEASE && l->cause != STOP_FORGOTTEN && g && g->work != DB_WORK_FAILED)
		exec_report(l, DB_WORK_UNKNOWN);
}

/* ---- what is stuck */

static void asked(void *arg, int r, const struct db_result *result)
{
	struct local_group *l = arg;

	l->ask_runs = false;
	l->ask_ms = engine_now_ms() + EXEC_AGAIN_MS;
	if (!r && result->code)
		log_info("group %s: no fence: %s", l->name, result->text);
}

/*
 * A stop that hangs because a volume does is no reason to fence: where all nodes have lost a LUN
 * that would end the whole cluster, and help nobody.
 */
static bool has_volumes(const struct local_group *l, const struct db_group *g)
{
	const struct engine *e = l->exec->engine;
	const char *list = g->volumes;
	char name[CL_NAME_MAX];

	while (volume_name_next(&list, name)) {
		const struct db_volume *v = db_find(&e->db, DB_KIND_VOLUME, name);

		if (!v || v->work != DB_WORK_ONLINE || !e->volumes ||
		    !volumes_is_active(e->volumes, name))
			return false;
	}
	return true;
}

void exec_ask_fence(struct local_group *l)
{
	struct engine *e = l->exec->engine;
	const struct db_group *g = exec_row_of(l);
	struct db_command cmd;

	if (!l->is_stuck || l->ask_runs || e->repl.phase != REPL_OPEN ||
	    !exec_is_ours(l->exec, g) || g->work != DB_WORK_FAILED || g->order != l->order ||
	    g->fence_wanted || engine_now_ms() < l->ask_ms)
		return;
	if (!has_volumes(l, g)) {
		log_warning("group %s: stuck, and a volume that it needs is not active here -> "
			    "no fence is asked for",
			    l->name);
		l->ask_ms = engine_now_ms() + EXEC_AGAIN_MS;
		return;
	}
	cmd = engine_command(e, DB_CMD_FENCE_ASK);
	memcpy(cmd.fence_ask.name, e->repl.self.name.text, sizeof(cmd.fence_ask.name));
	cmd.fence_ask.incarnation = e->repl.self.incarnation;
	memcpy(cmd.fence_ask.group, l->name, sizeof(l->name));
	cmd.fence_ask.order = l->order;
	memcpy(cmd.fence_ask.reason, l->reason, sizeof(l->reason));
	l->ask_runs = !engine_request(e, &cmd, EXEC_REPORT_MS, asked, l);
}
