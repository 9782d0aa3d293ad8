/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual machines and their migrations: the executor and the vm-hosts. See sim_exec.h. */
#include <stdarg.h>
#include <string.h>

#include "clusterd/core/vm.h"
#include "tests/sim/sim_exec.h"

/* One virtual machine as this node sees it. */
struct look {
	const struct sim_exec *x;
	int i;
	const struct db_vm *v; /* NULL: there is none of that name */
	const struct db_group *g;
	const struct db_migration *m; /* under way, or NULL */
	bool is_mine;		      /* the locks are this incarnation's */
	bool is_source, is_destination;
};

__attribute__((format(printf, 2, 3))) static void say(const struct look *l, const char *format, ...)
{
	char text[128];
	va_list ap;

	if (!l->x->say)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	l->x->say(l->x->arg, text);
}

static struct look look(const struct sim_exec *x, int i)
{
	struct look l = {.x = x, .i = i};
	char name[CL_NAME_MAX];

	sim_vm_name(i, name);
	l.v = db_find(x->db, DB_KIND_VM, name);
	l.g = db_find(x->db, DB_KIND_GROUP, name);
	if (!l.v || !l.g)
		return l;
	l.m = vm_migration(x->db, l.v);
	l.is_mine = l.v->lock && l.g->node == x->slot && l.g->incarnation == x->incarnation;
	l.is_source = l.m && l.m->source == x->slot && l.m->source_incarnation == x->incarnation;
	l.is_destination = l.m && l.m->destination == x->slot &&
			   l.m->destination_incarnation == x->incarnation;
	return l;
}

static void send(const struct look *l, const struct db_command *cmd)
{
	l->x->send(l->x->arg, l->x->slot, cmd);
}

struct process *sim_exec_process(const struct sim_exec *x, int i, uint64_t instance)
{
	for (int k = 0; k < SIM_PROCESSES; k++) {
		if (x->process[i][k].instance == instance)
			return &x->process[i][k];
	}
	return NULL;
}

/* ---- what it says */

static void group_report(const struct look *l, enum db_work work)
{
	struct db_command cmd = {.type = DB_CMD_GROUP_REPORT,
				 .group_report = {.order = l->g->order,
						  .work = (uint8_t)work,
						  .reason = "simulated"}};

	sim_vm_name(l->i, cmd.group_report.name);
	send(l, &cmd);
}

static void migration_report(const struct look *l, enum db_migration_phase phase, uint16_t port)
{
	struct db_command cmd = {.type = DB_CMD_MIGRATION_REPORT,
				 .migration_report = {.id = l->m->id,
						      .slot = l->x->slot,
						      .incarnation = l->x->incarnation,
						      .phase = (uint8_t)phase,
						      .port = port}};

	send(l, &cmd);
}

static void migration_end(const struct look *l, bool is_success)
{
	struct db_command cmd = {.type = DB_CMD_MIGRATION_END,
				 .migration_end = {.id = l->m->id,
						   .slot = l->x->slot,
						   .incarnation = l->x->incarnation,
						   .is_success = is_success,
						   .reason = "simulated"}};

	send(l, &cmd);
}

static void ask_for_transfer(const struct look *l)
{
	struct db_command cmd = {
		.type = DB_CMD_MIGRATION_TRANSFER,
		.migration_transfer = {.id = l->m->id, .source_incarnation = l->x->incarnation}};

	send(l, &cmd);
}

/* ---- processes */

static struct process *make(const struct look *l, uint64_t instance)
{
	struct process *p = sim_exec_process(l->x, l->i, 0);

	l->x->made[l->i] = instance;
	if (!p || sim_exec_chance(l->x, l->x->rate_fail))
		return NULL;
	*p = (struct process){.instance = instance};
	say(l, "vm%d has process %" PRIu64, l->i, instance);
	return p;
}

static void unmake(const struct look *l, struct process *p)
{
	say(l, "vm%d: process %" PRIu64 " ends", l->i, p->instance);
	memset(p, 0, sizeof(*p));
}

/* What is neither to run here nor to arrive here ends. */
static void reap(const struct look *l)
{
	for (int k = 0; k < SIM_PROCESSES; k++) {
		struct process *p = &l->x->process[l->i][k];
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
	return l->x->hand_over(l->x->arg, l->m->destination, l->m->destination_incarnation, l->i,
			       l->m->id);
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
	if (!l->x->is_healed && sim_exec_chance(l->x, 5))
		ask_for_transfer(l); /* too early, perhaps: the database has to say no */
	if (l->m->is_cancelled) {
		go_on_running(p);
		migration_end(l, false);
	} else if (p->has_failed || sim_exec_chance(l->x, l->x->rate_fail)) {
		fail(l, p);
	} else if (!l->m->port) {
		migration_report(l, DB_MIGRATION_PHASE_SETUP, 0);
	} else if (p->phase < DB_MIGRATION_PHASE_STORAGE_HANDLE || sim_exec_chance(l->x, 30)) {
		source_advance(l, p);
	} else if (l->m->phase == DB_MIGRATION_PHASE_STORAGE_HANDLE) {
		ask_for_transfer(l);
	}
}

/* ---- the destination */

static void destination(const struct look *l)
{
	struct process *p = sim_exec_process(l->x, l->i, l->m->id);

	if (l->m->phase == DB_MIGRATION_PHASE_QUEUED || l->m->phase == DB_MIGRATION_PHASE_ONLINE)
		return;
	if (l->m->is_cancelled || (p && sim_exec_chance(l->x, l->x->rate_crash))) {
		if (p)
			unmake(l, p);
		l->x->made[l->i] = l->m->id; /* not once more */
		migration_end(l, false);
		return;
	}
	if (!p && l->x->made[l->i] < l->m->id)
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
		say(l, "vm%d runs", l->i);
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
	struct process *p = sim_exec_process(l->x, l->i, l->v->instance);

	if (l->g->work == DB_WORK_STOPPING) {
		if (p)
			unmake(l, p);
		l->x->made[l->i] = l->v->instance;
		group_report(l, DB_WORK_OFFLINE);
		return;
	}
	if (l->g->work != DB_WORK_STARTING && l->g->work != DB_WORK_ONLINE)
		return;
	if (!p && l->g->work == DB_WORK_STARTING && l->x->made[l->i] < l->v->instance)
		p = make(l, l->v->instance);
	if (!p)
		group_report(l, DB_WORK_FAILED);
	else if (sim_exec_chance(l->x, l->x->rate_crash))
		unmake(l, p);
	else if (l->is_source)
		source(l, p);
	else
		run(l, p);
}

void sim_exec_vm(const struct sim_exec *x, int i)
{
	struct look l = look(x, i);

	reap(&l);
	if (l.is_mine)
		group(&l);
	if (l.is_destination)
		destination(&l);
}
