/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a node tells of its groups. One report of a group is on its way at a time: restarts in place
 * first, then the group, then each resource of which the database knows something else than is so.
 */
#include <stdio.h>
#include <string.h>

#include "clusterd/edge/exec_impl.h"
#include "clusterd/edge/log.h"

static void reported(void *arg, int r, const struct db_result *result)
{
	struct local_group *l = arg;

	l->report_runs = false;
	if (r && l->reporting)
		l->reporting->restart_wanted = l->reporting->restart_told;
	else if (r)
		l->report_wanted = true; /* again, when there is quorum */
	else if (result->code)
		log_info("group %s: report not taken: %s", l->name, result->text);
	if (l->reporting)
		l->reporting->restart_told = false;
	l->reporting = NULL;
}

static void send(struct local_group *l, struct local_resource *r, const struct db_command *cmd)
{
	l->report_runs = true;
	l->reporting = r;
	if (engine_request(l->exec->engine, cmd, EXEC_REPORT_MS, reported, l))
		reported(l, -1, NULL);
}

static void send_group(struct local_group *l)
{
	struct db_command cmd = engine_command(l->exec->engine, DB_CMD_GROUP_REPORT);

	memcpy(cmd.group_report.name, l->name, sizeof(l->name));
	cmd.group_report.order = l->order;
	cmd.group_report.work = (uint8_t)l->report_work;
	memcpy(cmd.group_report.reason, l->reason, sizeof(l->reason));
	l->report_wanted = false;
	send(l, NULL, &cmd);
}

static void send_resource(struct local_resource *r, enum db_work work, uint64_t asked)
{
	struct db_command cmd = engine_command(r->group->exec->engine, DB_CMD_RESOURCE_REPORT);

	memcpy(cmd.resource_report.name, r->name, sizeof(r->name));
	cmd.resource_report.order = r->group->order;
	cmd.resource_report.work = (uint8_t)work;
	cmd.resource_report.restarted = r->restart_wanted;
	memcpy(cmd.resource_report.reason, r->reason, sizeof(r->reason));
	cmd.resource_report.asked = asked;
	r->restart_told = r->restart_wanted;
	r->restart_wanted = false;
	send(r->group, r, &cmd);
}

/* What is so, where nothing is under way. */
static enum db_work work_of(const struct local_resource *r, const struct db_resource *row)
{
	if (exec_is_unmanaged(r))
		return r->is_bad ? DB_WORK_FAILED : DB_WORK_ONLINE;
	if (row->is_stopped || (r->state == TREE_DOWN && !r->is_failed))
		return DB_WORK_OFFLINE;
	return r->is_failed ? DB_WORK_FAILED : DB_WORK_ONLINE;
}

static void word_reason(struct local_resource *r, const struct db_resource *row, enum db_work work)
{
	if (work == DB_WORK_ONLINE)
		snprintf(r->reason, sizeof(r->reason), "%s", "it runs");
	else if (work == DB_WORK_OFFLINE && row->is_stopped)
		snprintf(r->reason, sizeof(r->reason), "%s", "stopped by an administrator");
	else if (work == DB_WORK_OFFLINE && row->depends[0])
		snprintf(r->reason, sizeof(r->reason), "waits until '%.150s' is true",
			 row->depends);
	else if (work == DB_WORK_OFFLINE)
		snprintf(r->reason, sizeof(r->reason), "%s", "waits for what comes before it");
}

/* True if there was something to tell. */
static bool tell_resource(struct local_group *l, struct local_resource *r)
{
	const struct db_resource *row = exec_resource_row(r);
	bool is_done, is_news;
	enum db_work work;

	if (!row)
		return false;
	work = work_of(r, row);
	/* Before the group is online its resources are not, but for what has failed. */
	if (l->phase == LOCAL_STARTING && work != DB_WORK_FAILED)
		return false;
	is_done = row->asked != DB_RESOURCE_ASK_NOTHING && row->asked_at == r->asked &&
		  !r->must_stop && !r->reload_wanted && r->doing != DOING_RELOAD;
	is_news = row->work != work || (row->task && l->phase == LOCAL_ONLINE);
	if (!is_news && !is_done)
		return false;
	if (is_news)
		word_reason(r, row, work);
	send_resource(r, work, is_done ? r->asked : 0);
	return true;
}

static void tell_resources(struct local_group *l)
{
	const struct db_group *g = exec_row_of(l);

	if (!g || g->order != l->order || !exec_is_ours(l->exec, g) || l->phase == LOCAL_STOPPING ||
	    l->phase == LOCAL_STOPPED)
		return;
	if (l->phase == LOCAL_ONLINE &&
	    (!l->is_settled || g->work != DB_WORK_ONLINE || l->changed != g->changed))
		return;
	for (size_t i = 0; i < l->count; i++) {
		if (tell_resource(l, l->resource[i]))
			return;
	}
}

void exec_send_reports(struct local_group *l)
{
	if (l->report_runs || l->exec->engine->repl.phase != REPL_OPEN)
		return;
	for (size_t i = 0; i < l->count; i++) {
		if (l->resource[i]->restart_wanted) {
			send_resource(l->resource[i], DB_WORK_ONLINE, 0);
			return;
		}
	}
	if (l->report_wanted)
		send_group(l);
	else
		tell_resources(l);
}

void exec_report(struct local_group *l, enum db_work work)
{
	l->report_wanted = true;
	l->report_work = work;
}
