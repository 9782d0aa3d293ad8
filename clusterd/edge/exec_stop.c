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
		track_name(l->resource[i].name, name);
		(void)cgroup_remove_beside(name);
	}
}

/* ---- one resource's stop, see core/stopping.h */

static void append(struct local_group *l, const char *more)
{
	size_t len = strlen(l->reason), n = strlen(more);

	if (len + n >= sizeof(l->reason))
		len = sizeof(l->reason) - 1 - n;
	memcpy(l->reason + len, more, n + 1);
}

/* Why it is killed; where a start or a monitor has failed before, that stays the reason. */
static void note_failure(struct local_group *l, const struct ocf_result *result)
{
	if (l->cause == STOP_FAILED)
		append(l, "; its stop failed, too");
	else
		exec_describe(l, l->resource[l->at].name, "stop", result);
}

static void stop_done(void *data, const struct ocf_result *result)
{
	struct local_group *l = data;
	enum stopping_step before = l->stop.step;

	l->run = NULL;
	if (l->phase != LOCAL_STOPPING)
		return; /* forgotten meanwhile */
	stopping_agent_done(&l->stop, result->rc, engine_now_ms());
	l->has_agent_left = l->has_agent_left || result->is_left_running;
	if (before == STOPPING_AGENT && l->stop.step == STOPPING_KILL)
		note_failure(l, result);
	exec_stop_on(l);
}

/* What cannot be called at all, with these parameters, has never started anything. */
int exec_rc_of_no_call(int r)
{
	return r == -EINVAL || r == -E2BIG ? OCF_ERR_CONFIGURED : STOPPING_NO_RC;
}

static void call_for_stop(struct local_group *l, const char *action)
{
	const char *resource = l->resource[l->at].name;
	int r = exec_call_agent(l, resource, action, stop_done);

	if (!r)
		return;
	if (l->stop.step == STOPPING_AGENT)
		snprintf(l->reason, sizeof(l->reason), "%.60s: agent cannot be run: %s", resource,
			 strerror(-r));
	stopping_agent_done(&l->stop, exec_rc_of_no_call(r), engine_now_ms());
	exec_stop_on(l);
}

static void kill_tracked(struct local_group *l)
{
	char name[CL_NAME_MAX + 8];
	int r;

	track_name(l->resource[l->at].name, name);
	r = cgroup_kill_beside(name);
	if (l->exec->vms)
		vms_kill(l->exec->vms, l->name);
	log_warning("group %s: %s -> all that its agents have left is killed%s%s", l->name,
		    l->reason, r ? ", but that cannot be done: " : "", r ? strerror(-r) : "");
}

/* Called until nothing is left, or it takes too long. */
void exec_stop_look(struct local_group *l)
{
	char name[CL_NAME_MAX + 8];
	int r;

	track_name(l->resource[l->at].name, name);
	r = cgroup_is_populated_beside(name);
	stopping_look(&l->stop, (!r || r == -ENOENT) && !l->has_agent_left, engine_now_ms());
	if (l->stop.step != STOPPING_KILL)
		exec_stop_on(l);
}

/* Nothing more can be done here: the cluster hears it, and asks for a fence if it may. */
static void give_up(struct local_group *l, const char *why)
{
	const struct db_group *g = exec_row_of(l);

	append(l, why);
	log_error("group %s: %s -> it stays as it is", l->name, l->reason);
	l->phase = LOCAL_STOPPED;
	l->is_stuck = true;
	l->restart_wanted = false;
	l->again_ms = engine_now_ms() + EXEC_AGAIN_MS;
	/* Once it has failed the cluster has heard it. */
	if (l->cause != STOP_LEASE && l->cause != STOP_FORGOTTEN && g && g->work != DB_WORK_FAILED)
		exec_report(l, DB_WORK_UNKNOWN);
}

/* The step that is next. */
void exec_stop_on(struct local_group *l)
{
	char name[CL_NAME_MAX + 8];

	switch (l->stop.step) {
	case STOPPING_AGENT:
	case STOPPING_AGAIN:
		call_for_stop(l, "stop");
		break;
	case STOPPING_PROBE:
		call_for_stop(l, "monitor");
		break;
	case STOPPING_KILL:
		kill_tracked(l);
		break;
	case STOPPING_OVER:
		if (l->stop.was_killed) {
			append(l, "; killed, and it is not running any more");
			log_notice("group %s: %s", l->name, l->reason);
			l->was_killed = true;
		}
		track_name(l->resource[l->at].name, name);
		(void)cgroup_remove_beside(name);
		exec_go_on(l);
		break;
	case STOPPING_STUCK:
		give_up(l, l->stop.has_survivors ? "; SIGKILL does not end its processes"
						 : "; killed, and not proven to be over");
		break;
	case STOPPING_STEP_MAX:
		break;
	}
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
