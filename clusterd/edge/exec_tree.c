/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Carries out, for a group on this node, what core/tree.h says is next. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/edge/exec_impl.h"
#include "clusterd/edge/log.h"
#include "lib/must.h"

bool exec_has_run(const struct local_group *l)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->resource[i]->run)
			return true;
	}
	return false;
}

void exec_forget_resources(struct local_group *l)
{
	for (size_t i = 0; i < l->count; i++) {
		ocf_free(l->resource[i]->run);
		free(l->resource[i]);
	}
	l->count = 0;
}

/* ---- from rows to what is here */

static struct local_resource *find(const struct local_group *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++) {
		if (!strcmp(l->resource[i]->name, name))
			return l->resource[i];
	}
	return NULL;
}

/* Where the group is online already, an earlier process of this node has left it as the row says.
 */
static void take_over(struct local_resource *r, const struct db_resource *row)
{
	if (exec_is_unmanaged(r))
		r->is_bad = row->work == DB_WORK_FAILED;
	else
		r->is_failed = row->work == DB_WORK_FAILED && !row->is_stopped;
	if (row->is_stopped && row->work == DB_WORK_ONLINE)
		r->state = TREE_UP;
	if (row->asked != DB_RESOURCE_ASK_RESTART || row->is_stopped)
		return;
	r->state = TREE_UP; /* with its old parameters, perhaps */
	r->must_stop = true;
	r->asked = row->asked_at;
}

static struct local_resource *add(struct local_group *l, const struct db_resource *row)
{
	const struct db_group *g = exec_row_of(l);
	struct local_resource *r;

	if (l->count == TREE_MAX)
		return NULL; /* of a row that has gone since, something runs still */
	r = calloc(1, sizeof(*r));
	must(r);
	r->group = l;
	memcpy(r->name, row->name, sizeof(r->name));
	l->resource[l->count++] = r;
	r->was_unmanaged = exec_is_unmanaged(r);
	if (g && g->work == DB_WORK_ONLINE)
		take_over(r, row);
	if (r->was_unmanaged)
		r->state = TREE_UP; /* see exec_take_up() */
	return r;
}

/* Deleted, and nothing of it is under way. */
static void drop_deleted(struct local_group *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->count; i++) {
		struct local_resource *r = l->resource[i];

		if (r->state == TREE_DOWN && !r->run && l->reporting != r && !exec_resource_row(r))
			free(r);
		else
			l->resource[n++] = r;
	}
	l->count = n;
}

/* by[i] is what is here of t->node[i]; NULL: nothing can be. */
static void match(struct local_group *l, struct tree *t, struct local_resource **by)
{
	char why[DB_REASON_MAX];
	int r;

	drop_deleted(l);
	r = tree_make(&l->exec->engine->db, l->name, NULL, NULL, t, why, sizeof(why));
	must(!r); /* db_apply() has taken these texts */
	for (size_t i = 0; i < t->count; i++) {
		by[i] = find(l, t->node[i].row->name);
		if (!by[i])
			by[i] = add(l, t->node[i].row);
	}
}

static void look(const struct local_group *l, const struct tree *t, struct local_resource **by,
		 struct tree_situation *s)
{
	memset(s, 0, sizeof(*s));
	s->is_wanted = l->phase == LOCAL_STARTING || l->phase == LOCAL_ONLINE;
	for (size_t i = 0; i < t->count; i++) {
		const struct local_resource *r = by[i];

		if (r)
			s->resource[i] = (struct tree_resource){
				.state = r->state,
				.is_off = t->node[i].row->is_stopped,
				.is_failed = r->is_failed,
				.must_stop = r->must_stop,
				.is_unmanaged = s->is_wanted && exec_is_unmanaged(r)};
	}
}

/* ---- what is done */

static size_t count_runs(const struct local_group *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->count; i++)
		n += l->resource[i]->run != NULL;
	return n;
}

static void act(struct local_group *l, const struct tree *t, struct local_resource **by,
		const struct tree_step *step)
{
	l->is_withheld = false;
	for (size_t i = 0; i < t->count; i++) {
		struct local_resource *r = by[i];
		bool is_full = count_runs(l) >= EXEC_RUNS_MAX; /* the end of one comes back here */

		if (!r || step->action[i] == TREE_NOTHING || (is_full && !r->run))
			continue;
		if (step->action[i] == TREE_STOP)
			exec_stop_resource(r);
		else if (!engine_may_act(l->exec->engine)) /* right before each start */
			l->is_withheld = true;
		else if (!r->run)
			exec_start_resource(r);
	}
	/* What has no row any more has no place in the tree. */
	for (size_t i = 0; i < l->count; i++) {
		struct local_resource *r = l->resource[i];

		if (r->state != TREE_DOWN && r->state != TREE_STOPPING && !exec_resource_row(r))
			exec_stop_resource(r);
	}
}

static void is_up(struct local_group *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->count; i++)
		n += l->resource[i]->state == TREE_UP;
	l->phase = LOCAL_ONLINE;
	log_notice("group %s: online", l->name);
	snprintf(l->reason, sizeof(l->reason), "%zu resources started", n);
	exec_report(l, DB_WORK_ONLINE);
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

/* How it stands with the group's stop. */
static void conclude_stop(struct local_group *l)
{
	bool is_over = true, has_stuck = false, goes_on = false;

	for (size_t i = 0; i < l->count; i++) {
		const struct local_resource *r = l->resource[i];

		is_over = is_over && r->state == TREE_DOWN && !r->run;
		has_stuck = has_stuck || r->is_stuck;
		goes_on = goes_on || r->run || (r->state == TREE_STOPPING && !r->is_stuck);
	}
	if (is_over)
		is_down(l);
	else if (has_stuck && !goes_on)
		exec_give_up(l);
}

static bool has_stuck(const struct local_group *l)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->resource[i]->is_stuck)
			return true;
	}
	return false;
}

static void take_asks(const struct tree *t, struct local_resource **by)
{
	for (size_t i = 0; i < t->count; i++) {
		if (by[i])
			exec_take_up(by[i], t->node[i].row);
	}
}

static void step(struct local_group *l)
{
	const struct db_group *g = exec_row_of(l);
	struct local_resource *by[TREE_MAX];
	struct tree_situation s;
	struct tree_step next;
	struct tree t;

	if (g)
		l->changed = g->changed;
	match(l, &t, by);
	if (l->phase != LOCAL_STOPPING)
		take_asks(&t, by);
	look(l, &t, by, &s);
	tree_step(&t, &s, &next);
	l->is_settled = next.verdict == TREE_IS_UP;
	if (s.is_wanted && (next.verdict == TREE_IS_LOST || has_stuck(l))) {
		exec_begin_stop(l, STOP_FAILED);
		return;
	}
	act(l, &t, by, &next);
	if (l->phase == LOCAL_STOPPING)
		conclude_stop(l);
	else if (l->phase == LOCAL_STARTING && next.verdict == TREE_IS_UP)
		is_up(l);
}

void exec_go_on(struct local_group *l)
{
	if (l->is_stepping) {
		l->steps_again = true;
		return;
	}
	l->is_stepping = true;
	do {
		l->steps_again = false;
		if (l->phase != LOCAL_STOPPED)
			step(l);
	} while (l->steps_again);
	l->is_stepping = false;
}

void exec_begin_start(struct local_group *l, uint64_t order)
{
	if (exec_has_run(l))
		return; /* of what was forgotten here: it ends soon */
	exec_forget_resources(l);
	l->order = order;
	l->phase = LOCAL_STARTING;
	l->is_stuck = false;
	l->reason[0] = 0;
	log_notice("group %s: start by order %llu", l->name, (unsigned long long)order);
	exec_go_on(l);
}

void exec_assume_up(struct local_group *l)
{
	struct local_resource *by[TREE_MAX];
	struct tree t;

	if (exec_has_run(l))
		return;
	exec_forget_resources(l);
	match(l, &t, by);
	for (size_t i = 0; i < l->count; i++) {
		l->resource[i]->state = TREE_UP;
		l->resource[i]->is_failed = l->resource[i]->must_stop = false;
	}
	l->phase = LOCAL_ONLINE;
}

void exec_begin_stop(struct local_group *l, enum stop_cause cause)
{
	if (l->phase == LOCAL_STOPPED)
		return;
	if (l->phase == LOCAL_STOPPING) {
		/* A stronger cause takes over the stop that runs: an order wants a report. */
		if (l->cause == STOP_LEASE && cause == STOP_ORDERED)
			l->cause = cause;
		return;
	}
	log_notice("group %s: stop (%s)", l->name,
		   cause == STOP_ORDERED  ? "ordered"
		   : cause == STOP_LEASE  ? "the quorum lease has run out"
		   : cause == STOP_FAILED ? l->reason
					  : "not ours any more");
	l->phase = LOCAL_STOPPING;
	l->cause = cause;
	l->was_killed = l->is_stuck = false;
	exec_go_on(l);
}
