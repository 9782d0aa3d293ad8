/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/exec_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/edge/log.h"
#include "clusterd/edge/vms.h"
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
	if (!l->report_wanted && !l->report_runs)
		exec_begin_start(l, g->order);
}

/* What has failed to stop is stopped again from time to time: its end may come by itself. */
static void stop_again(struct exec *x, const struct db_group *g, struct local_group *l)
{
	if (!engine_may_act(x->engine))
		return;
	if (!l)
		l = new_local(x, g);
	if (l->phase != LOCAL_STOPPED || exec_has_run(l) || l->report_wanted || l->report_runs ||
	    engine_now_ms() < l->again_ms)
		return;
	l->order = g->order;
	exec_assume_up(l);
	exec_begin_stop(l, STOP_ORDERED);
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
			exec_assume_up(l);
		}
		l->order = g->order;
		exec_begin_stop(l, STOP_ORDERED);
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
	else if (l->is_withheld || l->changed != g->changed)
		exec_go_on(l);
}

static void reap(struct exec *x)
{
	struct local_group **link = &x->groups;

	while (*link) {
		struct local_group *l = *link;
		const struct db_group *g = exec_row_of(l);

		if (l->phase == LOCAL_STOPPED && !l->report_wanted && !l->report_runs &&
		    !exec_has_run(l) && !l->ask_runs && !exec_is_ours(x, g)) {
			*link = l->next;
			exec_forget_resources(l);
			free(l);
		} else {
			link = &l->next;
		}
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
	for (size_t i = 0; i < l->count; i++) {
		l->resource[i]->state = TREE_DOWN;
		if (l->resource[i]->run)
			ocf_cancel(l->resource[i]->run, 0);
	}
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
				exec_begin_stop(l, STOP_FORGOTTEN);
		}
		exec_send_reports(l);
		exec_ask_fence(l);
	}
	reap(x);
}

/* Then it stays without quorum, too: before it is started elsewhere this node is fenced. */
static bool is_unmanaged(const struct local_group *l)
{
	const struct db_group *g = exec_row_of(l);

	return g && (g->is_unmanaged || g->unmanaged);
}

static void on_timer(void *arg)
{
	struct exec *x = arg;

	qb_loop_timer_add(x->loop, QB_LOOP_HIGH, EXEC_TIMER_NS, x, on_timer, &x->timer);
	for (struct local_group *l = x->groups; l; l = l->next) {
		exec_stop_look(l);
		if (!lease_is_over(x))
			exec_monitor(l);
		else if ((!x->vms || !vms_holds_still(x->vms, l->name)) && !is_unmanaged(l))
			exec_begin_stop(l, STOP_LEASE);
	}
	exec_changed(x);
	if (exec_cluster_stops(x) && !x->is_leaving) {
		log_notice("the cluster is stopped as a whole -> this node leaves");
		exec_stop_all(x);
	}
	exec_leave_look(x);
	if (x->is_leaving)
		exec_leave(x);
}

bool exec_end(struct exec *x)
{
	const struct db *db = &x->engine->db;
	bool is_over = true;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);
		struct local_group *l = find_local(x, g->name);

		/* Started by a process before this one: it is stopped as well. */
		if (!l && g->lock && exec_is_ours(x, g)) {
			l = new_local(x, g);
			l->order = g->order;
			exec_assume_up(l);
		}
	}
	for (struct local_group *l = x->groups; l; l = l->next) {
		exec_begin_stop(l, STOP_LEASE);
		is_over = is_over && l->phase == LOCAL_STOPPED && !exec_has_run(l) && !l->is_stuck;
	}
	return is_over;
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
		exec_forget_resources(l);
		free(l);
	}
	free(x);
}
