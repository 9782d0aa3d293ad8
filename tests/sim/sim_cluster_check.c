/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The oracle of sim_cluster: what must hold at any time (C1 to C7), seen from outside. It compares
 * what really runs with the database, and never asks the database whether something runs.
 */
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/msg.h"
#include "clusterd/core/volume.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "tests/sim/sim_cluster.h"

/* ---- what really is */

static bool vm_runs(const struct machine *o, int i)
{
	bool runs = false;

	for (int k = 0; k < SIM_PROCESSES; k++)
		runs |= o->process[i][k].is_running;
	return runs;
}

static bool is_empty(const struct machine *o)
{
	for (int v = 0; v < VOLUMES; v++) {
		if (o->volume[v].xfs || o->volume[v].fuse)
			return false;
	}
	for (int g = 0; g < GROUPS; g++) {
		if (o->run[g])
			return false;
	}
	for (int i = 0; i < VMS; i++) {
		if (vm_runs(o, i))
			return false;
	}
	return true;
}

static const struct db_group *vm_group(const struct db *db, int i)
{
	char name[CL_NAME_MAX];

	sim_vm_name(i, name);
	return db_find(db, DB_KIND_GROUP, name);
}

static const struct db_group *group_row(const struct db *db, int g)
{
	char name[CL_NAME_MAX];

	sim_group_name(g, name);
	return db_find(db, DB_KIND_GROUP, name);
}

static const struct db_volume *volume_row(const struct db *db, int v)
{
	char name[CL_NAME_MAX];

	sim_volume_name(v, name);
	return db_find(db, DB_KIND_VOLUME, name);
}

/* Its place among groups, then virtual machines, then volumes; -1: none of ours. */
static int index_of(const char *name)
{
	char own[CL_NAME_MAX];

	for (int g = 0; g < GROUPS; g++) {
		sim_group_name(g, own);
		if (!strcmp(name, own))
			return g;
	}
	for (int i = 0; i < VMS; i++) {
		sim_vm_name(i, own);
		if (!strcmp(name, own))
			return GROUPS + i;
	}
	for (int v = 0; v < VOLUMES; v++) {
		sim_volume_name(v, own);
		if (!strcmp(name, own))
			return GROUPS + VMS + v;
	}
	return -1;
}

/* Something of it is on that machine. */
static bool is_there(const struct machine *o, int index)
{
	if (index < GROUPS)
		return o->run[index] != 0;
	if (index < GROUPS + VMS)
		return vm_runs(o, index - GROUPS);
	return o->volume[index - GROUPS - VMS].xfs != 0;
}

/* ---- entries */

static void check_not_quarantined(struct cluster *c, uint8_t slot, uint8_t work)
{
	const struct db_node *n = db_node_by_slot(&c->db, slot);

	if (work == DB_WORK_STARTING && n && n->is_quarantined)
		sim_fail(&c->w, slot, "C8: something is started on a node that is quarantined");
}

/* Those that are left can go on: a majority of all that are members. */
static void check_quarantines(struct cluster *c, const struct db_cmd_node_admit *cmd)
{
	int members = 0, left = 0;

	for (uint32_t i = 0; i < db_count(&c->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(&c->db, DB_KIND_NODE, i);

		members++;
		left += n->membership == DB_MEMBERSHIP_ADMITTED && !n->is_quarantined;
	}
	if (db_node_by_slot(&c->db, cmd->slot)->is_quarantined && !c->was_quarantined[cmd->slot] &&
	    left <= members / 2)
		sim_fail(&c->w, cmd->slot, "C8: quarantined, and no majority is left");
}

/*
 * An order of a sequencer is made from a database that knows all its earlier ones: those of its
 * epoch, as it waits for them.
 */
static void check_order(struct cluster *c, uint8_t node, const struct sim_entry *e,
			const struct db_command *cmd, const struct db_result *result)
{
	bool is_group = cmd->type == DB_CMD_GROUP_ORDER;
	const char *name = is_group ? cmd->group_order.name : cmd->volume_order.name;
	uint64_t previous = is_group ? cmd->group_order.previous : cmd->volume_order.previous;
	uint8_t work = is_group ? cmd->group_order.work : cmd->volume_order.work;
	int i = index_of(name);

	if (i < 0)
		return;
	if (c->ordered[i].index > previous && c->ordered[i].origin == e->origin &&
	    !cl_epoch_compare(&c->ordered[i].epoch, &e->epoch))
		sim_fail(&c->w, node, "C6: an order was made from what was not applied");
	if (result->code)
		return;
	c->orders++;
	c->ordered[i].index = e->index;
	c->ordered[i].epoch = e->epoch;
	c->ordered[i].origin = e->origin;
	check_not_quarantined(c, is_group ? cmd->group_order.node : cmd->volume_order.node, work);
	for (uint8_t n = 0; n < c->w.nodes && work == DB_WORK_STARTING; n++) {
		if (is_there(&c->machine[n], i))
			sim_fail(&c->w, n, "C5: its start was ordered while it is still here");
	}
}

static void check_fenced(struct cluster *c, const struct db_cmd_node_fenced *cmd)
{
	const struct db_node *row = db_find(&c->db, DB_KIND_NODE, cmd->name);
	const struct sim_node *n = &c->w.node[row->slot];

	if (n->machine_up && n->incarnation == cmd->incarnation)
		sim_fail(&c->w, row->slot, "C5: confirmed as fenced while it has power");
}

static bool is_admitted(const struct db *db, uint8_t slot, uint64_t incarnation)
{
	const struct db_node *n = db_node_by_slot(db, slot);

	return n && n->incarnation == incarnation && n->membership == DB_MEMBERSHIP_ADMITTED;
}

/* The locks of a virtual machine have gone to its destination. */
static void check_transfer(struct cluster *c, const struct db_cmd_migration_transfer *cmd)
{
	const struct db_migration *m = db_find_id(&c->db, DB_KIND_MIGRATION, cmd->id);
	int i = m->vm[2] - '0';

	c->migrations++;
	if (!is_admitted(&c->db, m->source, m->source_incarnation) ||
	    !is_admitted(&c->db, m->destination, m->destination_incarnation))
		sim_fail(&c->w, m->destination, "C5: a transfer to or from a node that is lost");
	if (vm_runs(&c->machine[m->source], i))
		sim_fail(&c->w, m->source, "C4: transferred while it runs at the source");
}

/*
 * Of what has begun to be fenced, nothing comes back; and no more than so many begin in a window,
 * whoever the sequencer is.
 */
static void check_fencing(struct cluster *c, const struct db_command *command)
{
	const struct db_cmd_node_fencing *cmd = &command->node_fencing;
	const struct db_node *row = db_find(&c->db, DB_KIND_NODE, cmd->name);
	int recent = 1;

	for (size_t i = 0; i < c->fencing_count; i++) {
		if (c->fencing[i] == cmd->incarnation)
			return; /* it had begun */
		recent += command->at_ms < c->fencing_ms[i] + FENCE_WINDOW_MS;
	}
	if (recent > FENCES_MAX)
		sim_fail(&c->w, row->slot, "C7: more fences begin in a window than may");
	if ((uint64_t)recent > c->most_fences)
		c->most_fences = (uint64_t)recent;
	if (c->fencing_count < MUST_ARRAY_SIZE(c->fencing))
		c->fencing_ms[c->fencing_count] = command->at_ms;

	if (c->fencing_count < MUST_ARRAY_SIZE(c->fencing))
		c->fencing[c->fencing_count++] = cmd->incarnation;
	SAY(c, "n%u: its fence has begun", row->slot);
}

static void check_admit(struct cluster *c, const struct db_cmd_node_admit *cmd)
{
	for (size_t i = 0; i < c->fencing_count; i++) {
		if (c->fencing[i] == cmd->incarnation)
			sim_fail(&c->w, cmd->slot, "C5: admitted after its fence had begun");
	}
}

/* After it: what the database says now against what is. */
static void check_command(struct cluster *c, uint8_t node, const struct sim_entry *e,
			  const struct db_command *cmd, const struct db_result *result)
{
	int64_t op = client_op_of(cmd);
	const char *name = cmd->type == DB_CMD_GROUP_CREATE    ? cmd->group_create.name
			   : cmd->type == DB_CMD_VM_CREATE     ? cmd->vm_create.name
			   : cmd->type == DB_CMD_VOLUME_CREATE ? cmd->volume_create.name
							       : NULL;

	if (op >= 0 && op < OPS && !result->is_repeat && ++c->op[op].applied > 1)
		sim_fail(&c->w, node, "C3: a request was carried out twice");
	if (name && index_of(name) >= 0 && !result->code)
		c->ordered[index_of(name)].index = 0;
	if (cmd->type == DB_CMD_GROUP_ORDER || cmd->type == DB_CMD_VOLUME_ORDER)
		check_order(c, node, e, cmd, result);
	if (result->code || result->is_repeat)
		return;
	if (cmd->type == DB_CMD_NODE_FENCED) {
		c->fences++;
		check_fenced(c, &cmd->node_fenced);
	}
	if (cmd->type == DB_CMD_MIGRATION_TRANSFER)
		check_transfer(c, &cmd->migration_transfer);
	if (cmd->type == DB_CMD_NODE_FENCING)
		check_fencing(c, cmd);
	if (cmd->type == DB_CMD_NODE_ADMIT) {
		check_admit(c, &cmd->node_admit);
		check_quarantines(c, &cmd->node_admit);
	}
	for (uint32_t i = 0; i < db_count(&c->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(&c->db, DB_KIND_NODE, i);

		c->quarantines += n->is_quarantined && !c->was_quarantined[n->slot];
		c->was_quarantined[n->slot] = n->is_quarantined;
	}
	for (int v = 0; v < VOLUMES; v++) {
		const struct db_volume *row = volume_row(&c->db, v);

		if (row && row->term && row->term < c->term[v])
			sim_fail(&c->w, node, "C2: a term went back");
		if (row && row->term > c->term[v])
			c->term[v] = row->term;
	}
}

void check_entry(struct cluster *c, uint8_t node, const struct sim_entry *e)
{
	struct db_entry entry = {.index = e->index,
				 .epoch = e->epoch,
				 .kind = e->kind,
				 .origin = e->origin,
				 .instance = e->instance,
				 .request = e->request,
				 .payload = e->payload->data,
				 .payload_len = e->payload->len};
	struct db_command cmd;
	struct db_result result;

	if (c->db.index == c->verdict_cap) {
		c->verdict_cap = c->verdict_cap ? c->verdict_cap * 2 : 256;
		c->verdict = reallocarray(c->verdict, c->verdict_cap, sizeof(*c->verdict));
		must(c->verdict);
	}
	db_apply(&c->db, &entry, &result);
	c->verdict[e->index - 1] = (struct verdict){
		.code = (uint8_t)result.code,
		.is_repeat = result.is_repeat,
		.hash = e->index % HASH_EVERY ? 0 : db_hash(&c->db),
	};
	if (!(e->index % HASH_EVERY) && db_check(&c->db))
		sim_fail(&c->w, node, db_check(&c->db));
	if (e->kind != CL_ENTRY_COMMAND ||
	    db_command_decode(e->payload->data, e->payload->len, &cmd))
		return;
	if (c->w.trace)
		SAY(c, "[%" PRIu64 "] %s %s (n%u request %" PRIu64 "): %s%d %s", e->index,
		    db_command_shape((uint16_t)cmd.type)->name,
		    cmd.type < DB_CMD_MIGRATION_ORDER && cmd.type != DB_CMD_TASK_CANCEL
			    ? (const char *)&cmd.cluster_init
			    : "",
		    e->origin, e->request, result.is_repeat ? "again, " : "", result.code,
		    result.text);
	check_command(c, node, e, &cmd, &result);
}

void check_applied(struct cluster *c, uint8_t node, const struct sim_entry *e,
		   const struct db_result *result)
{
	const struct verdict *v = &c->verdict[e->index - 1];

	if (v->code != result->code || v->is_repeat != result->is_repeat)
		sim_fail(&c->w, node, "C6: a command ends in different ways on two nodes");
	if (v->hash && v->hash != db_hash(&c->member[node].db))
		sim_fail(&c->w, node, "C6: two nodes have applied the same, and differ");
}

/* ---- decisions */

static uint64_t commands_hash(const struct duty_actions *a)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_command cmd;
	uint64_t h = HASH_INIT;
	size_t len;

	for (size_t i = 0; duty_command(a, i, &cmd); i++) {
		must(!db_command_encode(&cmd, buf, sizeof(buf), &len));
		h = hash_bytes(h, buf, len);
	}
	return h;
}

/* Another node that has applied as much would have ordered the same. */
static void check_plan(struct cluster *c, uint8_t node, const struct duty_actions *a)
{
	static struct duty_actions other;

	if (a->admit_count || a->lost_count || a->has_row || a->step.kind || a->has_clock ||
	    c->db.index != c->member[node].db.index || !db_count(&c->db, DB_KIND_CLUSTER))
		return;
	memset(&other, 0, sizeof(other));
	plan_run(&c->db, &other.orders);
	other.has_fence = other.orders.has_fence && a->has_fence;
	if (commands_hash(a) != commands_hash(&other))
		sim_fail(&c->w, node, "C6: two nodes that have applied the same plan differently");
}

/*
 * Lost is whose machine has left the ring; or whose clusterd has been outside of quorate views for
 * as long as a lease.
 */
void check_duties(struct cluster *c, uint8_t node, const struct duty_actions *a)
{
	const struct sim_ring *ring = &c->w.ring[c->w.node[node].ring];
	struct db_command cmd;

	for (size_t i = 0; i < a->lost_count; i++) {
		const struct db_node *row =
			db_find(&c->member[node].db, DB_KIND_NODE, a->lost[i].name);
		const struct sim_node *n = &c->w.node[row->slot];

		SAY(c, "n%u declares n%u lost", node, row->slot);
		if ((ring->machines & cl_bit(row->slot)) &&
		    n->incarnation == a->lost[i].incarnation &&
		    (!n->excluded_ms || c->w.now_ms - n->excluded_ms < c->w.config.lease_ms))
			sim_fail(&c->w, row->slot,
				 "C7: lost, with its machine in the ring and its clusterd away "
				 "for less than a lease");
	}
	if (duty_command(a, 0, &cmd) && cluster_chance(c, 20))
		check_plan(c, node, a);
}

/* ---- acts */

static bool has_begun(uint64_t before, uint64_t after)
{
	return after && after != before;
}

/* Something began: was the node allowed to act, by what is true of the views? */
void check_acts(struct cluster *c, uint8_t node, const struct machine *before)
{
	const struct machine *now = &c->machine[node];
	const struct sim_node *n = &c->w.node[node];
	bool any = false;

	for (int v = 0; v < VOLUMES; v++)
		any |= has_begun(before->volume[v].xfs, now->volume[v].xfs) ||
		       has_begun(before->volume[v].fuse, now->volume[v].fuse);
	for (int g = 0; g < GROUPS; g++)
		any |= has_begun(before->run[g], now->run[g]);
	for (int i = 0; i < VMS; i++)
		any |= vm_runs(now, i) && !vm_runs(before, i);
	if (any && n->excluded_ms && c->w.now_ms > n->excluded_ms + c->w.config.lease_ms)
		sim_fail(&c->w, node, "C1: acts outside of quorum");
	if (any && sim_local_ms(&c->w, node) >= n->repl.lease.deadline_ms)
		sim_fail(&c->w, node, "C1: acts without a lease");
}

void check_fence(struct cluster *c, uint8_t node, uint8_t victim)
{
	const struct repl_state *s = &c->w.node[node].repl;
	uint64_t incarnation = c->member[node].fencer.victim[victim].incarnation;

	for (uint8_t i = 0; i < s->peer_count; i++) {
		if (s->peer[i].slot == victim && s->peer[i].state.incarnation != incarnation)
			sim_fail(&c->w, node, "C7: switches off a node that is here, rebooted");
	}
	if (!cluster_may_act(c, node))
		sim_fail(&c->w, node, "C1: fences outside of quorum");
}

void check_permit(struct cluster *c, uint8_t node, const struct victim *v, uint8_t victim)
{
	struct fencer *f = &c->member[node].fencer;
	int recent = 1;

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (!f->permitted_ms[i] || c->w.now_ms - f->permitted_ms[i] >= FENCE_WINDOW_MS)
			continue;
		if (i == victim && f->permitted[i] == v->incarnation)
			return; /* another round */
		recent++;
	}
	if (recent > FENCES_MAX)
		sim_fail(&c->w, node, "C7: more fences in a window than the cap allows");
	f->permitted_ms[victim] = c->w.now_ms;
	f->permitted[victim] = v->incarnation;
}

/* ---- at any time */

static void check_held(struct cluster *c, uint8_t node, const struct db_group *row)
{
	if (!row || !row->lock || row->node != node ||
	    row->incarnation != c->w.node[node].incarnation)
		sim_fail(&c->w, node, "C4: it runs, and its lock is not held by this boot");
}

static void check_groups(struct cluster *c)
{
	for (int g = 0; g < GROUPS + VMS; g++) {
		const struct db_group *row =
			g < GROUPS ? group_row(&c->db, g) : vm_group(&c->db, g - GROUPS);
		int runs = 0;

		for (uint8_t n = 0; n < c->w.nodes; n++) {
			if (!is_there(&c->machine[n], g))
				continue;
			if (++runs > 1)
				sim_fail(&c->w, n,
					 g < GROUPS ? "C4: a group runs on two nodes"
						    : "C4: a virtual machine runs on two nodes");
			check_held(c, n, row);
		}
	}
}

static void check_volume(struct cluster *c, int v)
{
	const struct db_volume *row = volume_row(&c->db, v);
	char name[CL_NAME_MAX];
	int mounted = 0;

	sim_volume_name(v, name);
	for (uint8_t n = 0; n < c->w.nodes; n++) {
		const struct local_volume *l = &c->machine[n].volume[v];
		uint64_t incarnation = c->w.node[n].incarnation;
		const struct db_mount *m = volume_mount(&c->db, name, n);

		if (l->xfs && ++mounted > 1)
			sim_fail(&c->w, n, "C2: a filesystem is mounted on two nodes");
		if (l->xfs && (!row || !row->lock || row->node != n || row->term != l->xfs ||
			       row->incarnation != incarnation))
			sim_fail(&c->w, n, "C2: a filesystem is mounted without vol:");
		if (l->fuse && (!m || m->id != l->fuse || m->incarnation != incarnation ||
				m->state == DB_MOUNT_STATE_GONE))
			sim_fail(&c->w, n, "C2: a mount lives without mnt:");
	}
}

static void check_node(struct cluster *c, uint8_t node)
{
	const struct db_node *row = db_node_by_slot(&c->db, node);
	const struct machine *o = &c->machine[node];

	if (cluster_runs(c, node) && o->over_ms && c->w.now_ms > o->over_ms + STOP_LIMIT_MS &&
	    !is_empty(o))
		sim_fail(&c->w, node, "C1: did not stop when its lease was over");
	if (row && row->membership == DB_MEMBERSHIP_LEFT &&
	    row->incarnation == c->w.node[node].incarnation && !is_empty(o))
		sim_fail(&c->w, node, "C5: a node has left on which something runs");
}

void check_world(struct cluster *c)
{
	sim_check(&c->w);
	check_groups(c);
	for (int v = 0; v < VOLUMES; v++)
		check_volume(c, v);
	for (uint8_t n = 0; n < c->w.nodes; n++)
		check_node(c, n);
}
