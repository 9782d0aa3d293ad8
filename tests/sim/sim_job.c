/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulation of work on the disks of virtual machines: three nodes that are cut off, fenced and
 * booted anew, whose clusterd is restarted over a process that goes on; machines that are started,
 * stopped, cloned, kept as snapshots; work that fails, is cancelled, runs out of its time; orders
 * and ends that arrive late, twice or never. A model keeps the truth about files and processes.
 *
 * Safety, at each step: no two processes work for one job; when a job ends as done all of its files
 * are there, and of one moment of the machine; when it ends otherwise none of them is, and nobody
 * is at it any more; a machine whose disks are not there does not run; the planner has no more
 * orders when its orders are applied. Liveness: after the faults every job comes to its end.
 *
 *   sim_job [--seeds N] [--first SEED] [--mutant NAME|all] [--trace]
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/job.h"
#include "clusterd/core/msg.h"
#include "clusterd/core/plan.h"
#include "clusterd/core/vm.h"
#include "lib/must.h"
#include "lib/prng.h"

#define NODES	   3
#define VMS	   3 /* a is there from the start */
#define SNAPSHOTS  2 /* of each */
#define TARGETS	   (VMS + VMS * SNAPSHOTS)
#define FILES	   2 /* of a target */
#define PROCESSES  6
#define MESSAGES   24
#define STEPS	   1500
#define HEAL_STEPS 4000
#define DONE_AT	   (2 * FILES)

#define TRACE(w, ...)                                                                              \
	do {                                                                                       \
		if ((w)->is_trace)                                                                 \
			printf("%5" PRIu64 ": " __VA_ARGS__), putchar('\n');                       \
	} while (0)

enum file_state { FILE_NONE, FILE_TEMPORARY, FILE_WHOLE };

/* A disk of a machine, or of a snapshot. */
struct file {
	enum file_state state;
	uint64_t mark;	 /* job that made it */
	uint64_t moment; /* of the machine that it was copied from */
};

/* `csvadm job`, perhaps within `vm-host quiesce`. */
struct process {
	bool is_used, is_undo, is_held, is_over_time, is_told_to_end;
	bool is_orphan;		  /* its clusterd was restarted: nobody hears how it ends */
	int node, target, source; /* source: machine whose disks are copied, -1: none */
	uint64_t job, order;
	int at;
};

/* What clusterd of a node has to say of a job. */
struct local {
	uint64_t job, order; /* 0: free */
	bool is_success, was_running;
};

struct machine {
	bool runs;
	int node;
	uint64_t moment; /* changes while it runs and is not kept still */
};

struct node {
	bool is_up, is_connected;
	uint64_t incarnation, instance;
	struct local local[PROCESSES];
};

struct world {
	struct prng rng;
	uint64_t step, incarnations, request;
	enum db_mutant mutant;
	bool is_trace, is_healed;
	const char *broken;
	struct db db;
	void *mem;
	struct db_result result;
	struct plan_orders orders;
	struct node node[NODES];
	struct machine vm[VMS];
	struct file file[TARGETS][FILES];
	struct process process[PROCESSES];
	struct db_command message[MESSAGES];
	size_t messages;
};

static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = CL_MAX_NODES,
			[DB_KIND_GROUP] = VMS,
			[DB_KIND_RESOURCE] = VMS,
			[DB_KIND_PARAM] = VMS,
			[DB_KIND_TASK] = 32,
			[DB_KIND_EVENT] = 16,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
			[DB_KIND_VM] = VMS,
			[DB_KIND_MIGRATION] = VMS + 1,
			[DB_KIND_DECISION] = 4,
			[DB_KIND_JOB] = 4,
			[DB_KIND_SNAPSHOT] = VMS * SNAPSHOTS,
		},
	.locks = {.max_sessions = 12, .max_resources = 16, .max_locks = 24, .max_queued = 4},
};

static void broke(struct world *w, const char *what)
{
	if (!w->broken)
		TRACE(w, "BROKEN: %s", w->step, what);
	w->broken = w->broken ? w->broken : what;
}

static bool chance(struct world *w, uint64_t percent)
{
	return prng_chance(&w->rng, percent, 100);
}

static void vm_name(int i, char *to)
{
	snprintf(to, CL_NAME_MAX, "%c", 'a' + i);
}

static struct db_vm *vm_row(const struct world *w, int i)
{
	char name[CL_NAME_MAX];

	vm_name(i, name);
	return db_find(&w->db, DB_KIND_VM, name);
}

static struct db_group *group_row(const struct world *w, int i)
{
	char name[CL_NAME_MAX];

	vm_name(i, name);
	return db_find(&w->db, DB_KIND_GROUP, name);
}

/* ---- the database */

static struct process *process_of(struct world *w, uint64_t job)
{
	for (size_t i = 0; i < PROCESSES; i++) {
		if (w->process[i].is_used && w->process[i].job == job)
			return &w->process[i];
	}
	return NULL;
}

static int target_of(const struct db_job *j)
{
	int target = -1;

	must(sscanf(j->work, "target %d", &target) == 1 && target >= 0 && target < TARGETS);
	return target;
}

/* The row of that job has just gone. */
static void check_end(struct world *w, const struct db_job *was)
{
	const struct db_task *t = db_find_id(&w->db, DB_KIND_TASK, was->task);
	bool is_done = t && t->state == DB_TASK_STATE_DONE;
	const struct file *f = w->file[target_of(was)];

	if (process_of(w, was->id))
		broke(w, "a job has ended, and somebody is at it");
	if (was->kind == DB_JOB_KIND_REMOVE || was->kind == DB_JOB_KIND_REVERT || !t)
		return;
	for (int i = 0; i < FILES; i++) {
		if (is_done && (f[i].state != FILE_WHOLE || f[i].mark != was->id))
			broke(w, "a job is done, and a file is not there");
		if (is_done && was->kind != DB_JOB_KIND_MAKE && f[i].moment != f[0].moment)
			broke(w, "copies of two moments");
		if (!is_done && f[i].state != FILE_NONE && f[i].mark == was->id)
			broke(w, "a job has failed, and has left a file");
	}
}

static enum db_code give(struct world *w, const struct db_command *cmd)
{
	struct db_job was[8];
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = w->db.index + 1,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = 1,
			     .request = ++w->request,
			     .payload = buf};
	uint32_t n = db_count(&w->db, DB_KIND_JOB);
	struct db_command c = *cmd;

	must(n <= MUST_ARRAY_SIZE(was));
	for (uint32_t i = 0; i < n; i++)
		was[i] = *(struct db_job *)db_at(&w->db, DB_KIND_JOB, i);
	c.at_ms = 1000 + w->step;
	must(!db_command_encode(&c, buf, sizeof(buf), &e.payload_len));
	db_apply(&w->db, &e, &w->result);
	if (db_check(&w->db))
		broke(w, db_check(&w->db));
	for (uint32_t i = 0; i < n; i++) {
		if (!db_find_id(&w->db, DB_KIND_JOB, was[i].id))
			check_end(w, &was[i]);
	}
	TRACE(w, "%s: %d %s", w->step, db_command_shape((uint16_t)c.type)->name, w->result.code,
	      w->result.text);
	return w->result.code;
}

/* It is on its way: it comes later, or is lost when there is no room. */
static void send(struct world *w, const struct db_command *cmd)
{
	if (w->messages < MESSAGES)
		w->message[w->messages++] = *cmd;
}

static void deliver(struct world *w)
{
	struct db_command cmd;
	size_t i;

	if (!w->messages)
		return;
	i = (size_t)prng_below(&w->rng, w->messages);
	cmd = w->message[i];
	if (w->is_healed || !chance(w, 10)) /* else it comes once more */
		w->message[i] = w->message[--w->messages];
	give(w, &cmd);
}

/* ---- nodes */

static struct db_node *node_row(const struct world *w, int n)
{
	return db_node_by_slot(&w->db, (uint8_t)n);
}

static bool is_admitted(const struct world *w, int n)
{
	const struct db_node *row = node_row(w, n);

	return row && row->membership == DB_MEMBERSHIP_ADMITTED && w->node[n].is_up &&
	       w->node[n].is_connected && row->incarnation == w->node[n].incarnation &&
	       row->instance == w->node[n].instance;
}

static void power_off(struct world *w, int n)
{
	struct node *o = &w->node[n];

	o->is_up = o->is_connected = false;
	memset(o->local, 0, sizeof(o->local));
	for (size_t i = 0; i < PROCESSES; i++) {
		if (w->process[i].is_used && w->process[i].node == n)
			w->process[i].is_used = false;
	}
	for (int i = 0; i < VMS; i++) {
		if (w->vm[i].runs && w->vm[i].node == n)
			w->vm[i].runs = false;
	}
}

static void power_on(struct world *w, int n)
{
	struct node *o = &w->node[n];

	if (o->is_up)
		return;
	o->is_up = o->is_connected = true;
	o->incarnation = ++w->incarnations;
	o->instance = ++w->incarnations;
}

static void admit(struct world *w, int n)
{
	struct db_command c = {.type = DB_CMD_NODE_ADMIT,
			       .node_admit = {.slot = (uint8_t)n,
					      .nodeid = 100u + (uint32_t)n,
					      .incarnation = w->node[n].incarnation,
					      .instance = w->node[n].instance}};

	snprintf(c.node_admit.name, CL_NAME_MAX, "n%d", n);
	snprintf(c.node_admit.boot, DB_UUID_TEXT, "boot-%" PRIu64, w->node[n].incarnation);
	give(w, &c);
}

/* What the sequencer does about a node: admits it, finds it lost, has it fenced. */
static void tend_node(struct world *w, int n)
{
	const struct db_node *row = node_row(w, n);
	const struct node *o = &w->node[n];
	bool is_here = o->is_up && o->is_connected;
	struct db_command c = {.type = DB_CMD_NODE_LOST};

	if (is_here && (!row || row->incarnation != o->incarnation ||
			row->instance != o->instance || row->membership == DB_MEMBERSHIP_LOST)) {
		admit(w, n);
		return;
	}
	if (!row)
		return;
	snprintf(c.node_lost.name, CL_NAME_MAX, "n%d", n);
	c.node_lost.incarnation = row->incarnation;
	if (row->membership == DB_MEMBERSHIP_ADMITTED && !is_here) {
		give(w, &c);
	} else if (row->membership == DB_MEMBERSHIP_LOST && chance(w, 30)) {
		if (row->incarnation == o->incarnation)
			power_off(w, n);
		c.type = DB_CMD_NODE_FENCED;
		c.node_fenced.incarnation = row->incarnation;
		snprintf(c.node_fenced.how, sizeof(c.node_fenced.how), "off");
		give(w, &c);
	}
}

/* ---- machines */

/* None succeeds here. */
static void end_migration(struct world *w, int i)
{
	const struct db_vm *v = vm_row(w, i);
	const struct db_migration *m = v ? vm_migration(&w->db, v) : NULL;
	struct db_command c = {.type = DB_CMD_MIGRATION_END};

	if (!m || m->phase == DB_MIGRATION_PHASE_QUEUED)
		return;
	c.migration_end.id = m->id;
	c.migration_end.slot = m->source;
	c.migration_end.incarnation = m->source_incarnation;
	snprintf(c.migration_end.reason, sizeof(c.migration_end.reason), "no");
	give(w, &c);
}

/* What the node does for a group that is ordered there. */
static void run_machine(struct world *w, int i)
{
	const struct db_group *g = group_row(w, i);
	struct db_command c = {.type = DB_CMD_GROUP_REPORT};
	struct machine *m = &w->vm[i];

	if (!g || g->node >= NODES || !is_admitted(w, g->node) ||
	    g->incarnation != w->node[g->node].incarnation)
		return;
	end_migration(w, i);
	vm_name(i, c.group_report.name);
	c.group_report.order = g->order;
	if (g->work == DB_WORK_STARTING) {
		if (m->runs)
			broke(w, "a machine runs twice");
		m->runs = true;
		m->node = g->node;
		c.group_report.work = DB_WORK_ONLINE;
	} else if (g->work == DB_WORK_STOPPING) {
		m->runs = false;
		c.group_report.work = DB_WORK_OFFLINE;
	} else {
		return;
	}
	give(w, &c);
}

static bool is_held(const struct world *w, int i)
{
	for (size_t k = 0; k < PROCESSES; k++) {
		const struct process *p = &w->process[k];

		if (p->is_used && p->is_held && !p->is_over_time && p->source == i)
			return true;
	}
	return false;
}

static void machines_write(struct world *w)
{
	for (int i = 0; i < VMS; i++) {
		if (!w->vm[i].runs)
			continue;
		if (!is_held(w, i))
			w->vm[i].moment++;
		for (int k = 0; k < FILES; k++) {
			if (w->file[i][k].state != FILE_WHOLE)
				broke(w, "a machine runs, and a disk is not there");
		}
	}
}

/* ---- the process */

static void undo_files(struct file *f, uint64_t job)
{
	for (int i = 0; i < FILES; i++) {
		if (f[i].mark == job)
			f[i] = (struct file){0};
	}
}

static struct local *local_of(struct node *o, uint64_t job)
{
	struct local *empty = NULL;

	for (size_t i = 0; i < PROCESSES; i++) {
		if (o->local[i].job == job)
			return &o->local[i];
		if (!o->local[i].job)
			empty = &o->local[i];
	}
	return empty;
}

static void process_ends(struct world *w, struct process *p, bool is_success)
{
	struct local *l = local_of(&w->node[p->node], p->job);

	if (!p->is_told_to_end && !p->is_orphan && l)
		*l = (struct local){.job = p->job,
				    .order = p->order,
				    .is_success = is_success && !p->is_over_time,
				    .was_running = p->is_held};
	p->is_used = false;
}

static void process_step(struct world *w, struct process *p)
{
	struct file *f = w->file[p->target];

	if ((p->is_told_to_end && chance(w, 50)) || (!w->is_healed && chance(w, 3))) {
		process_ends(w, p, false);
		return;
	}
	if (p->is_held && !w->is_healed && chance(w, 3))
		p->is_over_time = true;
	if (p->is_undo) {
		undo_files(f, p->job);
		process_ends(w, p, true);
		return;
	}
	if (!p->at && p->source >= 0)
		undo_files(f, p->job);
	if (p->at == DONE_AT) {
		process_ends(w, p, true);
		return;
	}
	f += p->at / 2;
	f->mark = p->job;
	f->state = p->at % 2 ? FILE_WHOLE : FILE_TEMPORARY;
	if (p->source >= 0 && !(p->at % 2))
		f->moment = w->vm[p->source].moment;
	p->at++;
}

static void process_begin(struct world *w, int n, const struct db_job *j)
{
	struct process *p = NULL;
	bool runs;

	for (size_t i = 0; i < PROCESSES; i++) {
		if (w->process[i].is_used && w->process[i].job == j->id && w->process[i].node == n)
			return; /* it has the lock */
		p = w->process[i].is_used ? p : &w->process[i];
	}
	if (!p || !job_may_begin(&w->db, j, &runs))
		return;
	if (process_of(w, j->id))
		broke(w, "two nodes work for one job");
	*p = (struct process){.is_used = true,
			      .is_undo = j->is_undo,
			      .is_held = runs,
			      .node = n,
			      .target = target_of(j),
			      .source = -1,
			      .job = j->id,
			      .order = j->order};
	if (j->kind == DB_JOB_KIND_CLONE)
		p->source = j->source[0] - 'a';
	else if (j->kind == DB_JOB_KIND_SNAPSHOT)
		p->source = j->vm[0] - 'a';
	else if (j->kind != DB_JOB_KIND_MAKE)
		p->at = DONE_AT; /* files of others: taken as done */
	TRACE(w, "n%d begins job %" PRIu64 "%s%s", w->step, n, j->id, j->is_undo ? ", undo" : "",
	      runs ? ", held" : "");
}

/* clusterd of the node looks at a job of its own (edge/jobs.c). */
static void look_at(struct world *w, int n, const struct db_job *j)
{
	struct local *l = local_of(&w->node[n], j->id);
	struct process *p = process_of(w, j->id);
	struct db_command c = {.type = DB_CMD_JOB_END};

	if (!l)
		return;
	if (p && p->node == n) {
		p->is_told_to_end |= p->order != j->order;
		return;
	}
	if (l->job && l->order != j->order)
		*l = (struct local){0};
	if (!l->job) {
		process_begin(w, n, j);
		return;
	}
	c.job_end.id = l->job;
	c.job_end.order = l->order;
	c.job_end.is_success = l->is_success;
	c.job_end.was_running = l->was_running;
	snprintf(c.job_end.reason, sizeof(c.job_end.reason), "ended");
	if (!w->is_healed && chance(w, 40))
		send(w, &c); /* and it is said again */
	else if (give(w, &c) == DB_OK)
		*l = (struct local){0};
}

static void run_node(struct world *w, int n)
{
	for (uint32_t i = 0; is_admitted(w, n) && i < db_count(&w->db, DB_KIND_JOB); i++) {
		const struct db_job j = *(struct db_job *)db_at(&w->db, DB_KIND_JOB, i);

		if (j.order && j.node == n && j.incarnation == w->node[n].incarnation &&
		    j.instance == w->node[n].instance && chance(w, 60))
			look_at(w, n, &j);
	}
}

/* ---- administrators */

static void admin_intent(struct world *w, int i, enum db_intent intent)
{
	struct db_command c = {
		.type = DB_CMD_GROUP_INTENT,
		.group_intent = {.intent = (uint8_t)intent, .wish = CL_NODE_NONE, .verb = "vm"}};

	vm_name(i, c.group_intent.name);
	give(w, &c);
}

static void vm_make(struct world *w, int i)
{
	struct db_command c = {.type = DB_CMD_VM_CREATE, .vm_create = {.definition = "{}"}};

	vm_name(i, c.vm_create.name);
	snprintf(c.vm_create.uuid, DB_UUID_TEXT, "aaaaaaaa-2222-3333-4444-55555555%04d", i);
	give(w, &c);
}

static void admin_new(struct world *w, int i)
{
	int from = (int)prng_below(&w->rng, VMS);
	struct db_command c = {.type = DB_CMD_VM_JOB, .vm_job = {.verb = "vm-new"}};

	if (vm_row(w, i))
		return;
	vm_name(i, c.vm_job.name);
	c.vm_job.kind = from == i ? DB_JOB_KIND_MAKE : DB_JOB_KIND_CLONE;
	if (from != i)
		vm_name(from, c.vm_job.source);
	snprintf(c.vm_job.work, sizeof(c.vm_job.work), "target %d", i);
	memset(w->file[i], 0, sizeof(w->file[i])); /* what a deleted one has left is put away */
	vm_make(w, i);
	if (give(w, &c)) {
		struct db_command d = {.type = DB_CMD_VM_DELETE};

		vm_name(i, d.vm_delete.name);
		give(w, &d);
	}
}

static void admin_snapshot(struct world *w, int i)
{
	static const uint8_t kinds[] = {DB_JOB_KIND_SNAPSHOT, DB_JOB_KIND_SNAPSHOT,
					DB_JOB_KIND_REVERT, DB_JOB_KIND_REMOVE};
	int s = (int)prng_below(&w->rng, SNAPSHOTS);
	struct db_command c = {.type = DB_CMD_VM_JOB, .vm_job = {.verb = "vm-snapshot"}};
	int target = VMS + i * SNAPSHOTS + s;

	vm_name(i, c.vm_job.name);
	c.vm_job.kind = kinds[prng_below(&w->rng, sizeof(kinds))];
	snprintf(c.vm_job.snapshot, CL_NAME_MAX, "s%d", s);
	snprintf(c.vm_job.work, sizeof(c.vm_job.work), "target %d", target);
	if (c.vm_job.kind == DB_JOB_KIND_SNAPSHOT &&
	    !job_snapshot(&w->db, c.vm_job.name, c.vm_job.snapshot))
		memset(w->file[target], 0, sizeof(w->file[target]));
	give(w, &c);
}

static void admin_cancel(struct world *w)
{
	uint32_t n = db_count(&w->db, DB_KIND_JOB);
	struct db_command c = {.type = DB_CMD_TASK_CANCEL};

	if (!n)
		return;
	c.task_cancel.id =
		((struct db_job *)db_at(&w->db, DB_KIND_JOB, (uint32_t)prng_below(&w->rng, n)))
			->task;
	give(w, &c);
}

static void admin(struct world *w)
{
	int i = (int)prng_below(&w->rng, VMS);
	uint64_t what = prng_below(&w->rng, 100);

	if (what < 30)
		admin_snapshot(w, i);
	else if (what < 50)
		admin_new(w, i);
	else if (what < 70 && vm_row(w, i))
		admin_intent(w, i, DB_INTENT_ONLINE);
	else if (what < 85 && vm_row(w, i))
		admin_intent(w, i, DB_INTENT_OFFLINE);
	else if (what < 95)
		admin_cancel(w);
	else if (i && vm_row(w, i)) {
		struct db_command c = {.type = DB_CMD_VM_DELETE};

		vm_name(i, c.vm_delete.name);
		give(w, &c);
	}
}

static void fault(struct world *w)
{
	int n = (int)prng_below(&w->rng, NODES);
	struct node *o = &w->node[n];
	uint64_t what = prng_below(&w->rng, 100);

	if (what < 25) {
		power_off(w, n);
	} else if (what < 55) {
		power_on(w, n);
	} else if (what < 70) {
		o->is_connected = false;
	} else if (what < 85) {
		o->is_connected = o->is_up;
	} else {
		memset(o->local, 0, sizeof(o->local)); /* another clusterd */
		o->instance = ++w->incarnations;
		for (size_t i = 0; i < PROCESSES; i++)
			w->process[i].is_orphan |= w->process[i].node == n;
	}
}

/* ---- the loop */

static void plan(struct world *w)
{
	bool is_late = !w->is_healed && chance(w, 40);
	struct db_command c;

	plan_run(&w->db, &w->orders);
	for (size_t i = 0; plan_command(&w->orders, i, &c); i++) {
		if (is_late)
			send(w, &c);
		else if (give(w, &c))
			broke(w, "an order is refused at once");
	}
	if (is_late)
		return;
	plan_run(&w->db, &w->orders);
	if (plan_order_count(&w->orders))
		broke(w, "the planner does not come to rest");
}

static void step(struct world *w)
{
	uint64_t what = prng_below(&w->rng, 100);

	if (what < 30)
		run_node(w, (int)prng_below(&w->rng, NODES));
	else if (what < 60 && w->process[what % PROCESSES].is_used)
		process_step(w, &w->process[what % PROCESSES]);
	else if (what < 70)
		plan(w);
	else if (what < 78)
		run_machine(w, (int)prng_below(&w->rng, VMS));
	else if (what < 84)
		tend_node(w, (int)prng_below(&w->rng, NODES));
	else if (what < 90)
		deliver(w);
	else if (w->is_healed)
		return;
	else if (what < 93)
		fault(w);
	else
		admin(w);
	machines_write(w);
}

static bool is_settled(const struct world *w)
{
	return !db_count(&w->db, DB_KIND_JOB) && !w->messages;
}

static void heal(struct world *w)
{
	w->is_healed = true;
	for (int n = 0; n < NODES; n++) {
		power_on(w, n);
		w->node[n].is_connected = true;
	}
}

static const char *run_seed(uint64_t seed, enum db_mutant mutant, bool is_trace)
{
	static struct world world;
	struct world *w = &world;

	*w = (struct world){.rng = {.state = seed}, .mutant = mutant, .is_trace = is_trace};
	w->mem = malloc(db_size(&limits));
	must(w->mem && !db_init(&w->db, w->mem, db_size(&limits), &limits));
	w->db.mutant = mutant;
	for (int n = 0; n < NODES; n++) {
		power_on(w, n);
		admit(w, n);
	}
	vm_make(w, 0);
	for (int k = 0; k < FILES; k++)
		w->file[0][k].state = FILE_WHOLE;
	admin_intent(w, 0, DB_INTENT_ONLINE);
	for (; !w->broken && w->step < STEPS + HEAL_STEPS; w->step++) {
		if (w->step == STEPS)
			heal(w);
		step(w);
		if (w->is_healed && is_settled(w))
			break;
	}
	for (int n = 0; is_trace && n < NODES; n++)
		TRACE(w, "n%d: %s", w->step, n,
		      node_row(w, n) && db_node_bar(node_row(w, n)) ? db_node_bar(node_row(w, n))
								    : "fine");
	for (uint32_t i = 0; is_trace && i < db_count(&w->db, DB_KIND_JOB); i++) {
		const struct db_job *j = db_at(&w->db, DB_KIND_JOB, i);

		TRACE(w, "job %" PRIu64 ": %s of %s from %s on %u, order %" PRIu64 "%s", w->step,
		      j->id, job_word(j), j->vm, j->source, j->node, j->order,
		      j->is_undo ? ", undo" : "");
	}
	for (int i = 0; is_trace && i < VMS; i++) {
		if (group_row(w, i))
			TRACE(w, "vm %c: work %d on %d, intent %d", w->step, 'a' + i,
			      group_row(w, i)->work, group_row(w, i)->node,
			      group_row(w, i)->intent);
	}
	if (!w->broken && !is_settled(w))
		broke(w, "work on disks does not come to its end");
	free(w->mem);
	return w->broken;
}

static int run_mutant(enum db_mutant m, uint64_t seeds)
{
	for (uint64_t s = 1; s <= seeds; s++) {
		const char *broken = run_seed(s, m, false);

		if (!broken)
			continue;
		printf("%s: found by seed %" PRIu64 ": %s\n", db_mutant_name(m), s, broken);
		return 0;
	}
	printf("%s: NOT found in %" PRIu64 " seeds\n", db_mutant_name(m), seeds);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"seeds", required_argument, NULL, 's'},
					      {"first", required_argument, NULL, 'f'},
					      {"mutant", required_argument, NULL, 'm'},
					      {"trace", no_argument, NULL, 't'},
					      {NULL, 0, NULL, 0}};
	uint64_t seeds = 1000, first = 1;
	const char *mutant = NULL;
	bool is_trace = false;
	int c, r = 0;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			seeds = strtoull(optarg, NULL, 10);
		else if (c == 'f')
			first = strtoull(optarg, NULL, 10);
		else if (c == 'm')
			mutant = optarg;
		else if (c == 't')
			is_trace = true;
		else
			return 2;
	}
	for (int m = DB_MUTANT_JOB_FIRST; mutant && m <= DB_MUTANT_JOB_LAST; m++) {
		if (!strcmp(mutant, "all") || !strcmp(mutant, db_mutant_name((enum db_mutant)m)))
			r |= run_mutant((enum db_mutant)m, seeds);
	}
	for (uint64_t s = first; !mutant && !r && s < first + seeds; s++) {
		const char *broken = run_seed(s, DB_MUTANT_NONE, is_trace);

		if (broken) {
			printf("seed %" PRIu64 ": %s\n", s, broken);
			r = 1;
		}
	}
	if (!r && !mutant)
		printf("sim_job: %" PRIu64 " seeds from %" PRIu64 "\n", seeds, first);
	return r;
}
