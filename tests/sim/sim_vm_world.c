/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/msg.h"
#include "clusterd/core/vm.h"
#include "tests/sim/sim_vm_world.h"

static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = NODES,
			[DB_KIND_GROUP] = VMS,
			[DB_KIND_RESOURCE] = VMS,
			[DB_KIND_PARAM] = VMS,
			[DB_KIND_TASK] = 10,
			[DB_KIND_EVENT] = 4,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
			[DB_KIND_FENCE] = 1,
			[DB_KIND_VM] = VMS,
			[DB_KIND_MIGRATION] = VMS + 1,
		},
	.locks = {.max_sessions = 64, .max_resources = 32, .max_locks = 64, .max_queued = 4},
};

bool sim_chance(struct world *w, uint64_t pct)
{
	return prng_chance(&w->rng, pct, 100);
}

void sim_broke(struct world *w, const char *what)
{
	TRACE(w, "BROKEN: %s", what);
	if (!w->broken)
		w->broken = what;
}

static void *database(struct world *w, struct db *db, enum db_mutant mutant)
{
	void *mem = malloc(db_size(&limits));

	if (!mem || db_init(db, mem, db_size(&limits), &limits))
		sim_broke(w, "no database");
	db->mutant = mutant;
	return mem;
}

void sim_world_init(struct world *w, uint64_t seed, enum db_mutant mutant, bool is_trace)
{
	memset(w, 0, sizeof(*w));
	prng_init(&w->rng, seed);
	w->seed = seed;
	w->is_trace = is_trace;
	w->mem = database(w, &w->db, mutant);
	w->other_mem = database(w, &w->other, mutant);
	w->log = malloc(LOG_BYTES);
	if (!w->log)
		sim_broke(w, "no memory");
	for (int n = 0; n < NODES; n++)
		w->node[n].view_mem = database(w, &w->node[n].view, mutant);
	w->nodes = (int)prng_range(&w->rng, 2, NODES);
	w->vms = (int)prng_range(&w->rng, 1, VMS);
	w->drained = -1;
	w->rate_fail = prng_below(&w->rng, 15);
	w->rate_crash = prng_below(&w->rng, 6);
	w->rate_late = prng_below(&w->rng, 90);
	w->rate_lag = prng_below(&w->rng, 80);
}

void sim_world_free(struct world *w)
{
	free(w->mem);
	free(w->other_mem);
	free(w->log);
	for (int n = 0; n < NODES; n++)
		free(w->node[n].view_mem);
}

void sim_node_name(int n, char ret[CL_NAME_MAX])
{
	snprintf(ret, CL_NAME_MAX, "n%d", n);
}

struct db_vm *sim_vm(const struct db *db, int i)
{
	char name[CL_NAME_MAX];

	sim_vm_name(i, name);
	return db_find(db, DB_KIND_VM, name);
}

struct db_group *sim_group(const struct db *db, int i)
{
	char name[CL_NAME_MAX];

	sim_vm_name(i, name);
	return db_find(db, DB_KIND_GROUP, name);
}

struct db_node *sim_node(const struct world *w, int n)
{
	return db_node_by_slot(&w->db, (uint8_t)n);
}

bool sim_is_member(const struct world *w, int n)
{
	const struct db_node *row = sim_node(w, n);
	const struct node *o = &w->node[n];

	return o->is_up && o->is_connected && o->is_process && row &&
	       row->incarnation == o->incarnation && row->membership == DB_MEMBERSHIP_ADMITTED;
}

void sim_die(struct world *w, int n)
{
	struct node *o = &w->node[n];

	if (!o->is_up)
		return;
	TRACE(w, "n%d: power off", n);
	memset(o->process, 0, sizeof(o->process));
	memset(o->made, 0, sizeof(o->made));
	o->is_up = o->is_process = o->is_connected = false;
}

/* ---- the log */

static void log_entry(struct world *w, struct db *db, uint64_t index, struct db_result *ret)
{
	struct db_entry e = {.index = index,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = 1,
			     .request = index,
			     .payload = w->log + w->at[index - 1],
			     .payload_len = w->at[index] - w->at[index - 1]};

	db_apply(db, &e, ret);
}

void sim_catch_up(struct world *w, int n, uint64_t entries)
{
	struct db *view = &w->node[n].view;
	struct db_result result;

	for (; entries && view->index < w->db.index; entries--)
		log_entry(w, view, view->index + 1, &result);
	if (view->index == w->db.index && sim_chance(w, 5) && db_hash(view) != db_hash(&w->db))
		sim_broke(w, "two nodes have applied the same, and differ");
}

/* ---- the oracle: one entry */

/* What is true of a migration right before an entry is applied. */
struct before {
	struct db_migration m; /* id 0: the entry is about none */
	uint64_t instance;
	bool was_up; /* both nodes are admitted */
};

static bool is_admitted(const struct db *db, uint8_t slot, uint64_t incarnation)
{
	const struct db_node *n = db_node_by_slot(db, slot);

	return n && n->incarnation == incarnation && n->membership == DB_MEMBERSHIP_ADMITTED;
}

static struct before look_before(const struct world *w, const struct db_command *cmd)
{
	const struct db_migration *m = NULL;
	const struct db_vm *v;
	struct before b = {0};

	if (cmd->type == DB_CMD_MIGRATION_TRANSFER)
		m = db_find_id(&w->db, DB_KIND_MIGRATION, cmd->migration_transfer.id);
	else if (cmd->type == DB_CMD_TASK_CANCEL)
		m = vm_migration_of_task(&w->db, cmd->task_cancel.id);
	if (!m)
		return b;
	v = db_find(&w->db, DB_KIND_VM, m->vm);
	b.m = *m;
	b.instance = v ? v->instance : 0;
	b.was_up = is_admitted(&w->db, m->source, m->source_incarnation) &&
		   is_admitted(&w->db, m->destination, m->destination_incarnation);
	return b;
}

static void look_at_transfer(struct world *w, const struct before *b)
{
	int i = b->m.vm[2] - '0';
	const struct process *from = sim_process(w, b->m.source, i, b->instance);
	const struct process *to = sim_process(w, b->m.destination, i, b->m.id);

	if (!b->was_up)
		sim_broke(w, "a virtual machine was transferred to or from a node that is lost");
	if (from && from->is_running)
		sim_broke(w, "a virtual machine was transferred while it runs at the source");
	if (to && !to->is_loaded)
		sim_broke(w, "a virtual machine was transferred before all of it had arrived");
	if (b->m.is_cancelled)
		sim_broke(w, "a migration was transferred after its cancel (M3)");
}

static void look_at_cancel(struct world *w, const struct before *b, enum db_code code)
{
	bool is_moved = b->m.phase == DB_MIGRATION_PHASE_ONLINE;

	if (b->m.id && (code == DB_OK) == is_moved)
		sim_broke(w, "a cancel was refused before the transfer, or taken after it (M3)");
}

static void look_at_sessions(struct world *w)
{
	int sessions[NODES][NODES] = {0};

	for (uint32_t k = 0; k < db_count(&w->db, DB_KIND_MIGRATION); k++) {
		const struct db_migration *m = db_at(&w->db, DB_KIND_MIGRATION, k);
		uint8_t a = m->source < m->destination ? m->source : m->destination;
		uint8_t b = m->source < m->destination ? m->destination : m->source;

		if (m->phase >= DB_MIGRATION_PHASE_SETUP && m->phase <= DB_MIGRATION_PHASE_ONLINE &&
		    ++sessions[a][b] > 1)
			sim_broke(w, "two sessions between one pair of nodes (M2)");
	}
}

enum db_code sim_apply(struct world *w, const struct db_command *cmd)
{
	struct before b = look_before(w, cmd);
	uint64_t index = w->db.index + 1;
	struct db_result result;
	const char *check;
	size_t len;

	if (index >= LOG_MAX ||
	    db_command_encode(cmd, w->log + w->log_used, LOG_BYTES - w->log_used, &len)) {
		sim_broke(w, "a command does not encode, or the log of the world is full");
		return DB_FAILED;
	}
	w->at[index - 1] = w->log_used;
	w->log_used += len;
	w->at[index] = w->log_used;
	log_entry(w, &w->db, index, &result);
	TRACE(w, "[%" PRIu64 "] %s %s: %d %s", index, db_command_shape((uint16_t)cmd->type)->name,
	      cmd->type < DB_CMD_MIGRATION_ORDER && cmd->type != DB_CMD_TASK_CANCEL
		      ? (const char *)&cmd->cluster_init
		      : "",
	      result.code, result.text);
	if (cmd->type == DB_CMD_MIGRATION_TRANSFER && !result.code)
		look_at_transfer(w, &b);
	if (cmd->type == DB_CMD_TASK_CANCEL)
		look_at_cancel(w, &b, result.code);
	look_at_sessions(w);
	check = db_check(&w->db);
	if (check)
		sim_broke(w, check);
	return result.code;
}

/* ---- messages */

void sim_send(struct world *w, int from, const struct db_command *cmd)
{
	for (int i = 0; i < QUEUE; i++) {
		if (w->queue[i].is_used)
			continue;
		w->queue[i] = (struct message){true, (uint8_t)from, *cmd};
		return;
	}
	/* Full: this one is lost; who sent it sends it again. */
}

static void arrive(struct world *w, struct message *m)
{
	struct db_command cmd = m->cmd;

	m->is_used = m->is_used && sim_chance(w, 5); /* now and then it comes once more */
	sim_apply(w, &cmd);
}

bool sim_deliver(struct world *w)
{
	size_t first = prng_below(&w->rng, QUEUE);

	for (size_t i = 0; i < QUEUE; i++) {
		struct message *m = &w->queue[(first + i) % QUEUE];

		if (!m->is_used)
			continue;
		arrive(w, m);
		return true;
	}
	return false;
}

void sim_deliver_from(struct world *w, int from)
{
	for (size_t i = 0; i < QUEUE; i++) {
		while (w->queue[i].is_used && w->queue[i].from == from && !w->broken)
			arrive(w, &w->queue[i]);
	}
}

/* ---- the oracle: at any time */

static void check_vm(struct world *w, int i)
{
	int running = 0;

	for (int n = 0; n < w->nodes; n++) {
		for (int k = 0; k < SIM_PROCESSES; k++) {
			const struct process *p = &w->node[n].process[i][k];

			running += p->is_running;
			if (p->is_running && p->is_incoming && !p->is_loaded)
				sim_broke(w, "a virtual machine runs without its memory");
		}
	}
	if (running > 1)
		sim_broke(w, "a virtual machine runs twice");
}

static void check_snapshot(struct world *w)
{
	static uint8_t buf[256 * 1024];
	size_t len;

	if (db_init(&w->other, w->other_mem, db_size(&limits), &limits) ||
	    db_encode(&w->db, buf, sizeof(buf), &len) || db_decode(&w->other, buf, len) ||
	    db_hash(&w->other) != db_hash(&w->db))
		sim_broke(w, "a snapshot is not the state");
}

void sim_check(struct world *w)
{
	for (int i = 0; i < w->vms; i++)
		check_vm(w, i);
	for (int n = 0; n < w->nodes; n++) {
		const struct db_node *row = sim_node(w, n);
		const struct node *o = &w->node[n];

		if (!row || row->membership != DB_MEMBERSHIP_LEFT ||
		    row->incarnation != o->incarnation)
			continue;
		for (int i = 0; i < w->vms; i++) {
			for (int k = 0; k < SIM_PROCESSES; k++) {
				if (o->process[i][k].is_running)
					sim_broke(w, "a node has left that runs something");
			}
		}
	}
	if (sim_chance(w, 1))
		check_snapshot(w);
}

/* ---- executors */

static void exec_send(void *arg, uint8_t slot, const struct db_command *cmd)
{
	sim_send(arg, slot, cmd);
}

static void exec_say(void *arg, const char *text)
{
	struct world *w = arg;

	TRACE(w, "executor: %s", text);
}

static bool exec_hand_over(void *arg, uint8_t slot, uint64_t incarnation, int i, uint64_t instance)
{
	struct world *w = arg;
	struct node *to = &w->node[slot];
	struct process *p = sim_process(w, slot, i, instance);

	if (!to->is_up || to->incarnation != incarnation || !p)
		return false;
	p->is_loaded = true;
	return true;
}

static struct sim_exec exec_of(struct world *w, int n)
{
	struct node *o = &w->node[n];

	return (struct sim_exec){.rng = &w->rng,
				 .db = &o->view,
				 .slot = (uint8_t)n,
				 .incarnation = o->incarnation,
				 .is_healed = w->is_healed,
				 .rate_fail = w->rate_fail,
				 .rate_crash = w->rate_crash,
				 .vms = w->vms,
				 .process = o->process,
				 .made = o->made,
				 .arg = w,
				 .send = exec_send,
				 .say = exec_say,
				 .hand_over = exec_hand_over};
}

struct process *sim_process(struct world *w, int n, int i, uint64_t instance)
{
	struct sim_exec x = exec_of(w, n);

	return sim_exec_process(&x, i, instance);
}

void sim_exec(struct world *w, int n)
{
	const struct db_node *row = sim_node(w, n);
	struct node *o = &w->node[n];
	struct sim_exec x = exec_of(w, n);

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
	if (sim_chance(w, 10))
		sim_exec_leave(&x);
	else
		sim_exec_vm(&x, (int)prng_below(&w->rng, (uint64_t)w->vms));
}
