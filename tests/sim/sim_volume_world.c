/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/msg.h"
#include "clusterd/core/volume.h"
#include "tests/sim/sim_volume_world.h"

static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = NODES,
			[DB_KIND_GROUP] = GROUPS,
			[DB_KIND_RESOURCE] = 1,
			[DB_KIND_PARAM] = 1,
			[DB_KIND_TASK] = 4,
			[DB_KIND_EVENT] = 4,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
			[DB_KIND_FENCE] = 1,
			[DB_KIND_VOLUME] = VOLUMES,
			[DB_KIND_MOUNT] = VOLUMES * NODES,
		},
	.locks = {.max_sessions = 32, .max_resources = 32, .max_locks = 64, .max_queued = 4},
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

void sim_world_init(struct world *w, uint64_t seed, enum db_mutant mutant, bool is_trace)
{
	memset(w, 0, sizeof(*w));
	prng_init(&w->rng, seed);
	w->seed = seed;
	w->is_trace = is_trace;
	w->mem = malloc(db_size(&limits));
	w->other_mem = malloc(db_size(&limits));
	if (!w->mem || !w->other_mem || db_init(&w->db, w->mem, db_size(&limits), &limits))
		sim_broke(w, "no database");
	w->db.mutant = mutant;
	w->nodes = (int)prng_range(&w->rng, 2, NODES);
	w->volumes = (int)prng_range(&w->rng, 1, VOLUMES);
	w->groups = (int)prng_range(&w->rng, 1, GROUPS);
	w->rate_fail = prng_below(&w->rng, 30);
	w->rate_stuck = prng_below(&w->rng, 30);
	w->rate_crash = prng_below(&w->rng, 10);
	w->rate_late = prng_below(&w->rng, 90);
}

void sim_world_free(struct world *w)
{
	free(w->mem);
	free(w->other_mem);
}

void sim_node_name(int n, char ret[CL_NAME_MAX])
{
	snprintf(ret, CL_NAME_MAX, "n%d", n);
}

struct db_volume *sim_volume(const struct world *w, int v)
{
	char name[CL_NAME_MAX];

	sim_volume_name(v, name);
	return db_find(&w->db, DB_KIND_VOLUME, name);
}

struct db_group *sim_group(const struct world *w, int g)
{
	char name[CL_NAME_MAX];

	sim_group_name(g, name);
	return db_find(&w->db, DB_KIND_GROUP, name);
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
	for (int v = 0; v < w->volumes; v++) {
		if (o->volume[v].fuse)
			o->held[v] = o->volume[v].fuse;
	}
	memset(o->volume, 0, sizeof(o->volume));
	memset(o->run, 0, sizeof(o->run));
	memset(o->over, 0, sizeof(o->over));
	o->is_up = o->is_process = o->is_connected = false;
}

/* ---- the oracle: one entry */

/* The database knows now that the mount is over; what it held is to be dropped. */
static void left_behind(struct world *w, int v, int n, uint64_t id)
{
	struct remains *r = &w->remains[v][n];

	if (!id || w->row_id[v][n] != id)
		return;
	r->id = id;
	TRACE(w, "v%d: mount %" PRIx64 " on n%d has left something behind", v, id, n);
}

static void node_ended(struct world *w, int n)
{
	for (int v = 0; v < w->volumes; v++) {
		left_behind(w, v, n, w->node[n].held[v]);
		w->node[n].held[v] = 0;
	}
}

/* The row of a mount, and its lock, have gone: rightly? */
static void row_went(struct world *w, int v, int n, uint64_t id, bool is_deleted)
{
	struct remains *r = &w->remains[v][n];
	const struct db_volume *row = sim_volume(w, v);

	if (w->node[n].volume[v].fuse == id)
		sim_broke(w, "the lock of a mount that lives was freed");
	if (!is_deleted && (r->dropped_id != id || !row || r->dropped_term != row->term))
		sim_broke(w, "a mount was freed before the coordinator in force dropped it");
	if (r->id == id)
		r->id = 0;
}

static void look_at_rows(struct world *w, const bool was_deleting[VOLUMES])
{
	for (int v = 0; v < w->volumes; v++) {
		const struct db_volume *row = sim_volume(w, v);
		char name[CL_NAME_MAX];

		sim_volume_name(v, name);
		for (int n = 0; n < w->nodes; n++) {
			const struct db_mount *m = volume_mount(&w->db, name, (uint8_t)n);
			uint64_t id = m ? m->id : 0;

			if (w->row_id[v][n] && w->row_id[v][n] != id)
				row_went(w, v, n, w->row_id[v][n], was_deleting[v]);
			w->row_id[v][n] = id;
		}
		if (row && row->term < w->term[v] && row->term)
			sim_broke(w, "a term went back");
		if (row && row->term > w->term[v])
			w->term[v] = row->term;
		for (int n = 0; n < w->nodes && !row; n++) {
			if (w->node[n].volume[v].xfs || w->node[n].volume[v].fuse)
				sim_broke(w, "a volume that is mounted was forgotten");
		}
	}
}

static void look_at_group_start(struct world *w, const struct db_cmd_group_order *c)
{
	const struct db_group *g = db_find(&w->db, DB_KIND_GROUP, c->name);

	for (int v = 0; v < w->volumes && g; v++) {
		char name[CL_NAME_MAX];

		sim_volume_name(v, name);
		if (!volume_is_named(g->volumes, name))
			continue;
		for (int n = 0; n < w->nodes; n++) {
			if (w->remains[v][n].id)
				sim_broke(w, "a group was started before its volumes were "
					     "recovered");
		}
	}
}

static int index_of(const char *name)
{
	return name[1] - '0';
}

/* Before the rows are compared. */
static void learn(struct world *w, const struct db_command *cmd)
{
	const struct db_cmd_mount_gone *gone = &cmd->mount_gone;

	switch (cmd->type) {
	case DB_CMD_MOUNT_GONE:
		left_behind(w, index_of(gone->volume), gone->slot, gone->id);
		break;
	case DB_CMD_NODE_FENCED:
		node_ended(w, index_of(cmd->node_fenced.name));
		break;
	case DB_CMD_NODE_ADMIT:
		node_ended(w, cmd->node_admit.slot);
		break;
	default:
		break;
	}
}

enum db_code sim_apply(struct world *w, const struct db_command *cmd)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = w->db.index + 1,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = 1,
			     .request = ++w->request,
			     .payload = buf};
	struct db_result result;
	bool was_deleting[VOLUMES];
	const char *check;
	struct db_command timed = *cmd;

	timed.at_ms = 1 + w->step * STEP_MS;
	for (int v = 0; v < VOLUMES; v++) {
		const struct db_volume *row = sim_volume(w, v);

		was_deleting[v] = row && (row->is_deleting || cmd->type == DB_CMD_VOLUME_DELETE);
	}
	if (db_command_encode(&timed, buf, sizeof(buf), &e.payload_len))
		sim_broke(w, "a command does not encode");
	db_apply(&w->db, &e, &result);
	TRACE(w, "[%" PRIu64 "] %s %s: %d %s", e.index, db_command_shape((uint16_t)cmd->type)->name,
	      (const char *)&cmd->cluster_init, result.code, result.text);
	if (!result.code)
		learn(w, cmd);
	look_at_rows(w, was_deleting);
	if (!result.code && cmd->type == DB_CMD_GROUP_ORDER &&
	    cmd->group_order.work == DB_WORK_STARTING)
		look_at_group_start(w, &cmd->group_order);
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

	m->is_used = false;
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
		if (w->queue[i].is_used && w->queue[i].from == from)
			arrive(w, &w->queue[i]);
	}
}

/* ---- the oracle: at any time */

static void check_volume(struct world *w, int v)
{
	const struct db_volume *row = sim_volume(w, v);
	char name[CL_NAME_MAX];
	int mounted = 0;

	sim_volume_name(v, name);
	for (int n = 0; n < w->nodes; n++) {
		const struct node *o = &w->node[n];
		const struct local_volume *l = &o->volume[v];
		const struct db_mount *m = volume_mount(&w->db, name, (uint8_t)n);

		mounted += l->xfs != 0;
		if (l->xfs && (!row || !row->lock || row->incarnation != o->incarnation ||
			       row->term != l->xfs))
			sim_broke(w, "a filesystem is mounted without vol:, or in an old term");
		if (l->fuse && (!m || m->id != l->fuse || m->incarnation != o->incarnation ||
				m->state == DB_MOUNT_STATE_GONE))
			sim_broke(w, "a mount lives without mnt:, or is said to be gone");
	}
	if (mounted > 1)
		sim_broke(w, "two nodes have one filesystem mounted");
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
	for (int v = 0; v < w->volumes; v++)
		check_volume(w, v);
	for (int n = 0; n < w->nodes; n++) {
		const struct db_node *row = sim_node(w, n);
		const struct node *o = &w->node[n];

		if (!row || row->membership != DB_MEMBERSHIP_LEFT ||
		    row->incarnation != o->incarnation)
			continue;
		for (int v = 0; v < w->volumes; v++) {
			if (o->volume[v].fuse || o->volume[v].xfs)
				sim_broke(w, "a node has left with something mounted");
		}
	}
	for (int g = 0; g < w->groups; g++) {
		int runs = 0;

		for (int n = 0; n < w->nodes; n++)
			runs += w->node[n].run[g] != 0;
		if (runs > 1)
			sim_broke(w, "a group runs twice");
	}
	if (sim_chance(w, 2))
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

static void exec_dropped(void *arg, int v, uint8_t slot, uint64_t id, uint64_t term)
{
	struct world *w = arg;

	w->remains[v][slot].dropped_id = id;
	w->remains[v][slot].dropped_term = term;
}

static bool exec_is_hung(void *arg, int v, uint8_t slot, uint64_t id)
{
	const struct world *w = arg;
	const struct local_volume *l = &w->node[slot].volume[v];

	return l->hung == id && l->fuse == id;
}

/* Often it is not alone. */
static void exec_hang(void *arg, uint8_t slot, int v)
{
	struct world *w = arg;

	for (int k = 0; k < w->nodes; k++) {
		struct local_volume *l = &w->node[k].volume[v];

		if (k == slot || sim_chance(w, 40))
			l->hung = l->fuse;
	}
}

static struct sim_exec exec_of(struct world *w, int n)
{
	struct node *o = &w->node[n];

	return (struct sim_exec){.rng = &w->rng,
				 .db = &w->db,
				 .slot = (uint8_t)n,
				 .incarnation = o->incarnation,
				 .is_healed = w->is_healed,
				 .rate_fail = w->rate_fail,
				 .rate_stuck = w->rate_stuck,
				 .rate_crash = w->rate_crash,
				 .volumes = w->volumes,
				 .groups = w->groups,
				 .volume = o->volume,
				 .run = o->run,
				 .over = o->over,
				 .arg = w,
				 .send = exec_send,
				 .say = exec_say,
				 .dropped = exec_dropped,
				 .is_hung = exec_is_hung,
				 .hang = exec_hang};
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
	switch (prng_below(&w->rng, 4)) {
	case 0:
		sim_exec_coordinate(&x, (int)prng_below(&w->rng, (uint64_t)w->volumes));
		break;
	case 1:
		sim_exec_mount(&x, (int)prng_below(&w->rng, (uint64_t)w->volumes));
		break;
	case 2:
		sim_exec_group(&x, (int)prng_below(&w->rng, (uint64_t)w->groups));
		break;
	default:
		sim_exec_leave(&x);
		break;
	}
}
