/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the executor and the vm-hosts of a node do when they look at what the node has applied. */
#include <string.h>

#include "clusterd/core/vm.h"
#include "tests/sim/sim_vm_world.h"

/* One virtual machine as this node sees it. */
struct look {
	struct world *w;
	int n, i;
	struct node *o;
	const struct db_vm *v; /* NULL: there is none of that name */
	const struct db_group *g;
	const struct db_migration *m; /* under way, or NULL */
	bool is_mine;		      /* the locks are this incarnation's */
	bool is_source, is_destination;
};

static struct look look(struct world *w, int n, int i)
{
	struct node *o = &w->node[n];
	struct look l = {.w = w,
			 .n = n,
			 .i = i,
			 .o = o,
			 .v = sim_vm(&o->view, i),
			 .g = sim_group(&o->view, i)};

	if (!l.v || !l.g)
		return l;
	l.m = vm_migration(&o->view, l.v);
	l.is_mine = l.v->lock && l.g->node == n && l.g->incarnation == o->incarnation;
	l.is_source = l.m && l.m->source == n && l.m->source_incarnation == o->incarnation;
	l.is_destination =
		l.m && l.m->destination == n && l.m->destination_incarnation == o->incarnation;
	return l;
}

/* ---- what it says */

static void group_report(const struct look *l, enum db_work work)
{
	struct db_command cmd = {.type = DB_CMD_GROUP_REPORT,
				 .group_report = {.order = l->g->order,
						  .work = (uint8_t)work,
						  .reason = "simulated"}};

	sim_vm_name(l->i, cmd.group_report.name);
	sim_send(l->w, l->n, &cmd);
}

static void migration_report(const struct look *l, enum db_migration_phase phase, uint16_t port)
{
	struct db_command cmd = {.type = DB_CMD_MIGRATION_REPORT,
				 .migration_report = {.id = l->m->id,
						      .slot = (uint8_t)l->n,
						      .incarnation = l->o->incarnation,
						      .phase = (uint8_t)phase,
						      .port = port}};

	sim_send(l->w, l->n, &cmd);
}

static void migration_end(const struct look *l, bool is_success)
{
	struct db_command cmd = {.type = DB_CMD_MIGRATION_END,
				 .migration_end = {.id = l->m->id,
						   .slot = (uint8_t)l->n,
						   .incarnation = l->o->incarnation,
						   .is_success = is_success,
						   .reason = "simulated"}};

	sim_send(l->w, l->n, &cmd);
}

static void ask_for_transfer(const struct look *l)
{
	struct db_command cmd = {
		.type = DB_CMD_MIGRATION_TRANSFER,
		.migration_transfer = {.id = l->m->id, .source_incarnation = l->o->incarnation}};

	sim_send(l->w, l->n, &cmd);
}

/* ---- processes */

static struct process *make(const struct look *l, uint64_t instance)
{
	struct process *p = sim_process(l->w, l->n, l->i, 0);

	l->o->made[l->i] = instance;
	if (!p || sim_chance(l->w, l->w->rate_fail))
		return NULL;
	*p = (struct process){.instance = instance};
	TRACE(l->w, "n%d: vm%d has process %" PRIu64, l->n, l->i, instance);
	return p;
}

static void unmake(const struct look *l, struct process *p)
{
	TRACE(l->w, "n%d: vm%d: process %" PRIu64 " ends", l->n, l->i, p->instance);
	memset(p, 0, sizeof(*p));
}

/* What is neither to run here nor to arrive here ends. */
static void reap(const struct look *l)
{
	for (int k = 0; k < PROCESSES; k++) {
		struct process *p = &l->o->process[l->i][k];
		bool runs = l->is_mine && p->instance == l->v->instance;
		bool arrives = l->is_destination && p->instance == l->m->id;

		if (p->instance && !runs && !arrives)
			unmake(l, p);
	}
}

/* ---- the source of a migration */

static void go_on_running(struct process *p)
{
	p->is_still = p->has_asked = false;
	p->is_running = true;
}

/* The last of it goes over: is the other side there to take it? */
static bool hand_over(const struct look *l)
{
	struct node *to = &l->w->node[l->m->destination];
	struct process *p = sim_process(l->w, l->m->destination, l->i, l->m->id);

	if (!to->is_up || to->incarnation != l->m->destination_incarnation || !p)
		return false;
	p->is_loaded = true;
	return true;
}

/* Nobody was asked yet, or it waits for what the cluster says. */
static void fail(const struct look *l, struct process *p)
{
	p->has_failed = true;
	if (!p->has_asked)
		go_on_running(p);
	migration_end(l, false);
}

static void source_advance(const struct look *l, struct process *p)
{
	switch (p->phase) {
	case DB_MIGRATION_PHASE_SETUP:
		p->phase = DB_MIGRATION_PHASE_MEMORY;
		break;
	case DB_MIGRATION_PHASE_MEMORY:
		p->phase = DB_MIGRATION_PHASE_STATE;
		p->is_running = false;
		p->is_still = true;
		break;
	case DB_MIGRATION_PHASE_STATE:
		if (!hand_over(l)) {
			fail(l, p);
			return;
		}
		p->phase = DB_MIGRATION_PHASE_STORAGE_HANDLE;
		p->has_asked = true;
		break;
	default:
		break;
	}
	migration_report(l, (enum db_migration_phase)p->phase, 0);
}

static void source(const struct look *l, struct process *p)
{
	if (p->migration != l->m->id) {
		p->migration = l->m->id;
		p->phase = DB_MIGRATION_PHASE_SETUP;
		p->has_failed = false;
	}
	if (l->m->phase == DB_MIGRATION_PHASE_QUEUED)
		return;
	if (!l->w->is_healed && sim_chance(l->w, 5))
		ask_for_transfer(l); /* too early, perhaps: the database has to say no */
	if (l->m->is_cancelled) {
		go_on_running(p);
		migration_end(l, false);
	} else if (p->has_failed || sim_chance(l->w, l->w->rate_fail)) {
		fail(l, p);
	} else if (!l->m->port) {
		migration_report(l, DB_MIGRATION_PHASE_SETUP, 0);
	} else if (p->phase < DB_MIGRATION_PHASE_STORAGE_HANDLE || sim_chance(l->w, 30)) {
		source_advance(l, p);
	} else if (l->m->phase == DB_MIGRATION_PHASE_STORAGE_HANDLE) {
		ask_for_transfer(l);
	}
}

/* ---- the destination */

static void destination(const struct look *l)
{
	struct process *p = sim_process(l->w, l->n, l->i, l->m->id);

	if (l->m->phase == DB_MIGRATION_PHASE_QUEUED || l->m->phase == DB_MIGRATION_PHASE_ONLINE)
		return;
	if (l->m->is_cancelled || (p && sim_chance(l->w, l->w->rate_crash))) {
		if (p)
			unmake(l, p);
		l->o->made[l->i] = l->m->id; /* not once more */
		migration_end(l, false);
		return;
	}
	if (!p && l->o->made[l->i] < l->m->id)
		p = make(l, l->m->id);
	if (!p) {
		migration_end(l, false);
		return;
	}
	p->is_incoming = true;
	migration_report(l, DB_MIGRATION_PHASE_SETUP, 7000);
}

/* ---- its group */

static void run(const struct look *l, struct process *p)
{
	if (!p->is_running && !p->is_still)
		TRACE(l->w, "n%d: vm%d runs", l->n, l->i);
	/* A hand-over that is over, and not cancelled, has left it here. */
	if (p->is_still && !l->m)
		go_on_running(p);
	if (!p->is_still)
		p->is_running = true;
	if (l->is_destination && l->m->phase == DB_MIGRATION_PHASE_ONLINE)
		migration_end(l, true);
	if (l->g->work == DB_WORK_STARTING)
		group_report(l, DB_WORK_ONLINE);
}

static void group(const struct look *l)
{
	struct process *p = sim_process(l->w, l->n, l->i, l->v->instance);

	if (l->g->work == DB_WORK_STOPPING) {
		if (p)
			unmake(l, p);
		l->o->made[l->i] = l->v->instance;
		group_report(l, DB_WORK_OFFLINE);
		return;
	}
	if (l->g->work != DB_WORK_STARTING && l->g->work != DB_WORK_ONLINE)
		return;
	if (!p && l->g->work == DB_WORK_STARTING && l->o->made[l->i] < l->v->instance)
		p = make(l, l->v->instance);
	if (!p)
		group_report(l, DB_WORK_FAILED);
	else if (sim_chance(l->w, l->w->rate_crash))
		unmake(l, p);
	else if (l->is_source)
		source(l, p);
	else
		run(l, p);
}

/* ---- leaving */

static bool is_empty(const struct world *w, int n)
{
	for (int i = 0; i < w->vms; i++) {
		for (int k = 0; k < PROCESSES; k++) {
			if (w->node[n].process[i][k].instance)
				return false;
		}
	}
	return true;
}

static void leave(struct world *w, int n)
{
	const struct db_node *row = sim_node(w, n);
	struct db_command cmd = {.type = DB_CMD_NODE_LEAVE, .node_leave = {.is_done = true}};

	/* Now and then it asks too early: the database has to say no. */
	if (!row->is_leaving || (!is_empty(w, n) && !sim_chance(w, 10)))
		return;
	sim_node_name(n, cmd.node_leave.name);
	cmd.node_leave.incarnation = row->incarnation;
	sim_send(w, n, &cmd);
}

void sim_exec(struct world *w, int n)
{
	const struct db_node *row = sim_node(w, n);
	struct node *o = &w->node[n];
	struct look l;

	if (o->is_up && o->is_connected && row && row->incarnation == o->incarnation &&
	    (row->membership == DB_MEMBERSHIP_FENCED || row->membership == DB_MEMBERSHIP_FENCING)) {
		sim_die(w, n); /* there is no way back: it resets */
		return;
	}
	if (row && row->membership == DB_MEMBERSHIP_LEFT && row->incarnation == o->incarnation &&
	    row->instance == o->instance)
		o->is_process = false;
	if (!sim_is_member(w, n))
		return;
	sim_catch_up(w, n, sim_chance(w, w->rate_lag) ? prng_below(&w->rng, 4) : UINT64_MAX);
	if (sim_chance(w, 10)) {
		leave(w, n);
		return;
	}
	l = look(w, n, (int)prng_below(&w->rng, (uint64_t)w->vms));
	reap(&l);
	if (l.is_mine)
		group(&l);
	if (l.is_destination)
		destination(&l);
}
