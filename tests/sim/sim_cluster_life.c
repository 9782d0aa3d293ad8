/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults, the passing of time, and the peace in which everything has to come right. */
#include <string.h>

#include "clusterd/core/volume.h"
#include "lib/must.h"
#include "tests/sim/sim_cluster.h"

#define TURN_MS_MAX 20
#define HOPS	    3 /* of a message or a write, in a turn */
#define DELIVER_MAX 12
#define DISK_MAX    4

bool cluster_once_in(struct cluster *c, uint64_t n)
{
	return prng_chance(&c->w.prng, 1, n);
}

bool cluster_chance(struct cluster *c, uint64_t pct)
{
	return prng_chance(&c->w.prng, pct, 100);
}

static uint8_t any_node(struct cluster *c)
{
	return (uint8_t)prng_below(&c->w.prng, c->w.nodes);
}

/* ---- rings */

/* The rings are those of the components, but what stands still is in none with others. */
static void rings_form(struct cluster *c)
{
	uint8_t used = 0;

	for (uint8_t i = 0; i < c->w.nodes; i++) {
		if (!c->machine[i].is_frozen && c->w.component[i] > used)
			used = c->w.component[i];
	}
	for (uint8_t i = 0; i < c->w.nodes; i++) {
		if (c->machine[i].is_frozen && used + 1 < c->w.nodes)
			c->w.component[i] = ++used;
	}
	sim_rings_form(&c->w);
}

/* Mostly two sides; sometimes three. */
static void partition(struct cluster *c)
{
	uint64_t sides = cluster_once_in(c, 5) && c->w.nodes > 2 ? 3 : 2;

	for (uint8_t i = 0; i < c->w.nodes; i++)
		c->w.component[i] = (uint8_t)prng_below(&c->w.prng, sides);
	SAY(c, "the network falls apart");
	rings_form(c);
}

static void join_all(struct cluster *c)
{
	memset(c->w.component, 0, sizeof(c->w.component));
	rings_form(c);
}

/* One node after the other is left out of a ring of all others: each ring has a majority. */
static void rotate(struct cluster *c)
{
	for (uint8_t i = 0; i < c->w.nodes; i++)
		c->w.component[i] = i == c->rotation;
	c->rotation = (uint8_t)((c->rotation + 1) % c->w.nodes);
	c->rotations--;
	SAY(c, "another node is left out of the ring");
	rings_form(c);
	if (!c->rotations)
		join_all(c);
}

/* ---- faults */

static void freeze(struct cluster *c, uint8_t node, bool is_frozen)
{
	if (c->machine[node].is_frozen == is_frozen || (is_frozen && !c->w.node[node].machine_up))
		return;
	SAY(c, "n%u %s", node, is_frozen ? "stands still" : "goes on");
	c->machine[node].is_frozen = is_frozen;
	c->w.node[node].is_frozen = is_frozen;
	rings_form(c);
}

static void fault_of_disk(struct cluster *c, uint8_t node)
{
	if (sim_may_wipe(&c->w, node))
		sim_disk_wipe(&c->w, node);
	else
		sim_disk_age(&c->w, node);
}

/*
 * The moments in which it counts who is believed: the node on which something runs is cut off, or
 * stands still, and may come back in the middle of its fence.
 */
static void strike_holder(struct cluster *c)
{
	uint8_t node = any_node(c);

	for (uint8_t i = 0; i < c->w.nodes; i++) {
		if (c->machine[i].run[0] || c->machine[i].volume[0].xfs)
			node = i;
	}
	if (cluster_chance(c, 40)) {
		freeze(c, node, true);
		return;
	}
	for (uint8_t i = 0; i < c->w.nodes; i++)
		c->w.component[i] = i == node;
	SAY(c, "n%u is cut off", node);
	rings_form(c);
}

/*
 * The moment in which it counts what is committed: the sequencer has numbered what it was asked
 * for, perhaps one other has it, and both are cut off.
 */
static void strike_sequencer(struct cluster *c)
{
	uint8_t with = any_node(c), seq = CL_NODE_NONE;

	for (uint8_t i = 0; i < c->w.nodes; i++) {
		if (cluster_may_act(c, i) && repl_is_sequencer(&c->w.node[i].repl))
			seq = i;
	}
	if (seq == CL_NODE_NONE)
		return;
	for (uint64_t n = prng_range(&c->w.prng, 1, 4); n; n--)
		client_op(c, seq);
	for (uint64_t n = prng_range(&c->w.prng, 1, 12); n && !c->w.failure; n--) {
		sim_sequence(&c->w, seq);
		sim_deliver(&c->w, seq);
		if (!c->machine[with].is_frozen)
			sim_deliver(&c->w, with);
		sim_disk_complete(&c->w, seq);
	}
	for (uint8_t i = 0; i < c->w.nodes; i++)
		c->w.component[i] = i == seq || (i == with && c->w.nodes > 3);
	SAY(c, "n%u, the sequencer, is cut off", seq);
	rings_form(c);
}

/* The moment in which it counts what is on disk: power goes everywhere, with writes under way. */
static void outage(struct cluster *c)
{
	for (uint64_t n = prng_range(&c->w.prng, 1, 3); n; n--)
		client_op(c, any_node(c));
	for (uint64_t n = prng_range(&c->w.prng, 1, 8); n && !c->w.failure; n--) {
		for (uint8_t i = 0; i < c->w.nodes; i++) {
			if (c->machine[i].is_frozen)
				continue;
			sim_sequence(&c->w, i);
			sim_deliver(&c->w, i);
		}
	}
	SAY(c, "power goes everywhere");
	for (uint8_t i = 0; i < c->w.nodes; i++)
		node_power(c, i, false);
	for (uint8_t i = 0; i < c->w.nodes; i++) {
		if (cluster_chance(c, 80))
			node_power(c, i, true);
	}
}

static void fault_of_node(struct cluster *c)
{
	const struct rates *r = &c->rates;
	uint8_t node = any_node(c);
	struct sim_node *n = &c->w.node[node];

	if (cluster_once_in(c, r->crash))
		node_power(c, node, false);
	if (!c->machine[node].is_frozen && cluster_once_in(c, r->kill))
		sim_process_kill(&c->w, node);
	if (cluster_once_in(c, r->freeze))
		freeze(c, node, true);
	if (cluster_once_in(c, r->freeze) && n->process_up && !c->machine[node].is_frozen)
		n->is_frozen = true; /* its clusterd only */
	if (n->is_frozen && cluster_once_in(c, r->thaw)) {
		n->is_frozen = false;
		freeze(c, node, false);
	}
	if (cluster_once_in(c, r->stop))
		c->member[node].is_leaving = n->process_up;
	if (!n->machine_up && cluster_once_in(c, r->wipe))
		fault_of_disk(c, node);
	if (!n->machine_up && cluster_once_in(c, r->start))
		node_power(c, node, true);
	if (n->machine_up && !n->process_up && !c->machine[node].is_frozen &&
	    cluster_once_in(c, r->restart))
		node_start(c, node);
}

void life_faults(struct cluster *c)
{
	const struct rates *r = &c->rates;

	if (cluster_once_in(c, r->partition))
		partition(c);
	if (cluster_once_in(c, r->partition))
		strike_holder(c);
	if (cluster_once_in(c, r->partition))
		strike_sequencer(c);
	if (cluster_once_in(c, r->outage))
		outage(c);
	if (!c->rotations && cluster_once_in(c, r->rotate))
		c->rotations = (uint8_t)prng_range(&c->w.prng, 2, 6);
	if (c->rotations && cluster_once_in(c, 20))
		rotate(c);
	if (!c->rotations && cluster_once_in(c, r->heal))
		join_all(c);
	fault_of_node(c);
	if (cluster_once_in(c, r->heal * 2))
		c->is_dead[prng_below(&c->w.prng, DEVICES)] = cluster_chance(c, r->dead_device);
	if (cluster_once_in(c, r->op))
		client_op(c, any_node(c));
}

/* ---- time */

static void hop(struct cluster *c, uint8_t node)
{
	struct sim_world *w = &c->w;
	uint64_t items = DELIVER_MAX, writes = DISK_MAX;

	if (c->machine[node].is_frozen)
		return;
	if (!c->is_healed && cluster_chance(c, c->rates.lag))
		items = prng_below(&w->prng, 3);
	if (w->node[node].is_frozen || (!c->is_healed && !cluster_once_in(c, c->rates.slow_disk)))
		writes = 0;
	while (sim_sequence(w, node) && !w->failure)
		w->steps++;
	for (; items && sim_deliver(w, node) && !w->failure; items--)
		w->steps++;
	for (; writes && sim_disk_complete(w, node) && !w->failure; writes--)
		w->steps++;
	if (!w->node[node].is_frozen)
		sim_pull_run(w, node);
}

void life_turn(struct cluster *c)
{
	struct sim_world *w = &c->w;
	uint8_t first = any_node(c);

	w->now_ms += prng_range(&w->prng, 5, TURN_MS_MAX);
	for (uint8_t i = 0; i < w->nodes; i++) {
		if (!c->machine[i].is_frozen)
			sim_tick(w, i);
	}
	for (int h = 0; h < HOPS && !w->failure; h++) {
		for (uint8_t i = 0; i < w->nodes && !w->failure; i++)
			hop(c, (uint8_t)((first + i) % w->nodes));
	}
	devices_turn(c);
	for (uint8_t i = 0; i < w->nodes && !w->failure; i++)
		node_turn(c, (uint8_t)((first + i) % w->nodes));
	check_world(c);
}

/* ---- peace */

void life_heal(struct cluster *c)
{
	SAY(c, "the faults end");
	c->is_healed = true;
	c->rate_fail = c->rate_stuck = c->rate_crash = 0;
	c->rotations = 0;
	memset(c->is_dead, 0, sizeof(c->is_dead));
	for (uint8_t i = 0; i < c->w.nodes; i++) {
		c->w.node[i].is_frozen = false;
		freeze(c, i, false);
	}
	join_all(c);
}

/*
 * Whoever stands before the machines switches on what is off, starts what has ended, and reboots
 * what asks for that in its log.
 */
static void tend_machines(struct cluster *c)
{
	for (uint8_t i = 0; i < c->w.nodes; i++) {
		const struct db_node *row = cluster_self(c, i);
		bool leaves = row && row->is_leaving && row->membership == DB_MEMBERSHIP_ADMITTED;

		if (!c->w.node[i].machine_up && cluster_once_in(c, 40))
			node_power(c, i, true);
		if (c->w.node[i].machine_up && node_wants_reboot(c, i) && cluster_once_in(c, 200))
			node_power(c, i, false);
		if (leaves && c->w.node[i].process_up && cluster_once_in(c, 40))
			sim_process_kill(&c->w, i);
		if (c->w.node[i].machine_up && !c->w.node[i].process_up && cluster_once_in(c, 20))
			node_start(c, i);
	}
	if (cluster_once_in(c, 10))
		client_tend(c, any_node(c));
}

static bool is_group_settled(const struct cluster *c, const struct db_group *g)
{
	const struct db_vm *v = db_find(&c->db, DB_KIND_VM, g->name);
	const struct machine *o;
	int i = g->name[v ? 2 : 1] - '0';

	if (g->work != DB_WORK_ONLINE || g->intent != DB_INTENT_ONLINE)
		return false;
	o = &c->machine[g->node];
	if (!v)
		return o->run[i] != 0;
	for (int k = 0; k < SIM_PROCESSES; k++) {
		if (o->process[i][k].instance == v->instance && o->process[i][k].is_running)
			return !v->migration;
	}
	return false;
}

static bool is_volume_settled(const struct cluster *c, const struct db_volume *v)
{
	int i = v->name[1] - '0';

	if (v->is_deleting || v->work != DB_WORK_ONLINE ||
	    c->machine[v->node].volume[i].xfs != v->term)
		return false;
	for (uint8_t n = 0; n < c->w.nodes; n++) {
		const struct db_mount *m = volume_mount(&c->db, v->name, n);

		if (!m || m->state != DB_MOUNT_STATE_MOUNTED ||
		    c->machine[n].volume[i].fuse != m->id)
			return false;
	}
	return true;
}

static bool is_node_settled(const struct cluster *c, uint8_t node)
{
	const struct db_node *row = db_node_by_slot(&c->db, node);
	const struct member *m = &c->member[node];

	return row && row->membership == DB_MEMBERSHIP_ADMITTED && !row->is_leaving &&
	       row->incarnation == c->w.node[node].incarnation && cluster_may_act(c, node) &&
	       row->instance == c->w.node[node].repl.self.instance && !m->request_count &&
	       m->db.index == c->db.index;
}

bool life_is_settled(struct cluster *c)
{
	tend_machines(c);
	for (uint8_t i = 0; i < c->w.nodes; i++) {
		if (!is_node_settled(c, i))
			return false;
	}
	for (uint32_t i = 0; i < db_count(&c->db, DB_KIND_VOLUME); i++) {
		if (!is_volume_settled(c, db_at(&c->db, DB_KIND_VOLUME, i)))
			return false;
	}
	for (uint32_t i = 0; i < db_count(&c->db, DB_KIND_GROUP); i++) {
		if (!is_group_settled(c, db_at(&c->db, DB_KIND_GROUP, i)))
			return false;
	}
	for (uint8_t i = 0; i < c->w.nodes; i++) {
		if (db_hash(&c->member[i].db) != db_hash(&c->db))
			sim_fail(&c->w, i, "C6: all is quiet, and its database differs");
	}
	return true;
}

void life_show(struct cluster *c)
{
	char text[DB_REASON_MAX];

	for (uint32_t i = 0; i < db_count(&c->db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(&c->db, DB_KIND_VOLUME, i);

		plan_explain_volume(&c->db, v, text, sizeof(text));
		SAY(c, "%s: %s", v->name, text);
	}
	for (uint32_t i = 0; i < db_count(&c->db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(&c->db, DB_KIND_GROUP, i);

		plan_explain(&c->db, g, text, sizeof(text));
		SAY(c, "%s: work %u on n%u: %s", g->name, g->work, g->node, text);
	}
	for (uint8_t i = 0; i < c->w.nodes; i++) {
		const struct db_node *n = db_node_by_slot(&c->db, i);
		const struct repl_state *s = &c->w.node[i].repl;

		SAY(c,
		    "n%u: machine %d process %d %s may act %d, membership %d%s, applied %" PRIu64
		    " of %" PRIu64 ", requests %zu, settled %d",
		    i, c->w.node[i].machine_up, c->w.node[i].process_up, repl_phase_name(s->phase),
		    cluster_may_act(c, i), n ? n->membership : -1,
		    n && n->is_leaving ? " leaving" : "", c->member[i].db.index, c->db.index,
		    c->member[i].request_count, is_node_settled(c, i));
	}
}
