/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Property test of the planner: random databases and random events, written as scenarios (see
 * tests/plan/scenario.h), so that what breaks a rule can be put into tests/golden/plan as it is
 * printed. The rules are written down here once more, from the rows alone.
 *
 * At each plan: nothing starts but on a node that may have it; nothing that is healthy, and wanted
 * where it is, is stopped or migrated; higher priority goes first, and is waited for after a crash;
 * no more starts on a node than may be; preferred owners in their order, and back to them only as
 * their failback says; one session for each pair of
 * nodes; nothing comes to a node that has no room for it; what has failed too often is given up,
 * neither before nor longer than its time; and what tests/plan checks itself: orders are accepted,
 * planning on the result yields nothing, a copy decides the same. At rest, which is reached in
 * bounded rounds: whatever can run runs, drained nodes keep only what no other can have, stopping
 * nodes keep nothing. Played again with other names and slots, it decides the same.
 *
 *   sim_plan [--seeds N] [--first SEED] [--mutant NAME|all] [--trace]
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"
#include "lib/must.h"
#include "lib/prng.h"
#include "tests/plan/scenario.h"

#define NODES_MAX  5
#define GROUPS_MAX 8 /* the last ones are virtual machines */
#define VOLUMES	   2
#define EVENTS_MAX 40
#define LINES_MAX  256
#define WAIT_LONG  "25000" /* s: longer than every period of a failure */
#define WAIT_SHORT "60"	   /* all that a scenario has are shorter than each */

struct world {
	struct prng p;
	struct scenario *s;
	enum db_mutant mutant;
	unsigned int nodes, groups, vms, volumes;
	uint64_t incarnation;
	bool has_room; /* nodes have capacities, and groups reserve something */
	/* the scenario as it was made up */
	size_t count, state_count;
	char line[LINES_MAX][256];
};

/* Failures of each group that an administrator's request, or a long wait, makes forgotten. */
static uint32_t forgiven[GROUPS_MAX];

/* ---- rules, from the rows alone */

static const struct db_node *node(const struct db *db, uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (n->slot == slot)
			return n;
	}
	return NULL;
}

static bool may_take(const struct db_node *n)
{
	return n && n->membership == DB_MEMBERSHIP_ADMITTED && !n->is_paused && !n->is_leaving &&
	       !n->is_quarantined;
}

/* All that the group needs is served, recovered, and mounted on the node. */
static bool has_volumes(const struct db *db, const struct db_group *g, uint8_t slot,
			bool is_recovery_needed)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);
		bool is_here = false;

		if (!strstr(g->volumes, v->name))
			continue;
		if (v->work != DB_WORK_ONLINE)
			return false;
		for (uint32_t k = 0; k < db_count(db, DB_KIND_MOUNT); k++) {
			const struct db_mount *m = db_at(db, DB_KIND_MOUNT, k);

			if (strcmp(m->volume, v->name) != 0)
				continue;
			if (m->state == DB_MOUNT_STATE_GONE && is_recovery_needed)
				return false;
			is_here |= m->slot == slot && m->state == DB_MOUNT_STATE_MOUNTED;
		}
		if (!is_here)
			return false;
	}
	return true;
}

/* What a group reserves: MiB, or hundredths of a core. */
static uint64_t reserves(const struct db_group *g, bool is_cpu)
{
	if (is_cpu)
		return g->cpu_pct;
	return g->memory_mib ? g->memory_mib : g->guest_mib ? g->guest_mib + 128 : 0;
}

static bool is_on_its_way(const struct db_group *g)
{
	return g->intent == DB_INTENT_ONLINE && g->goal < CL_MAX_NODES &&
	       (g->work == DB_WORK_STOPPING || g->work == DB_WORK_OFFLINE);
}

/* Of that group on the node: 1 for each way in which it is there or comes to it. */
static unsigned int times_there(const struct db *db, const struct db_group *g, uint8_t slot)
{
	unsigned int n = g->work != DB_WORK_OFFLINE && g->node == slot;

	n += g->work == DB_WORK_STOPPING && is_on_its_way(g) && g->goal == slot && g->node != slot;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION); i++) {
		const struct db_migration *m = db_at(db, DB_KIND_MIGRATION, i);

		n += m->phase != DB_MIGRATION_PHASE_ENDED && !strcmp(m->vm, g->name) &&
		     g->node != slot && (m->source == slot || m->destination == slot);
	}
	return n;
}

static uint64_t reserved(const struct db *db, uint8_t slot, bool is_cpu)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		sum += times_there(db, g, slot) * reserves(g, is_cpu);
	}
	return sum;
}

static uint64_t capacity(const struct db_node *n, bool is_cpu)
{
	uint64_t set = is_cpu ? n->set_cpu_pct : n->set_memory_mib;

	return set ? set : UINT64_MAX;
}

/* For so much as it reserves, beside what is there and `more`, which has come by orders. */
static bool has_room(const struct db *db, const struct db_group *g, uint8_t slot,
		     const uint64_t more[2])
{
	const struct db_node *n = node(db, slot);

	for (int is_cpu = 0; n && is_cpu < 2; is_cpu++) {
		uint64_t ask = reserves(g, is_cpu);

		if (ask && reserved(db, slot, is_cpu) + (more ? more[is_cpu] : 0) + ask >
				   capacity(n, is_cpu))
			return false;
	}
	return true;
}

static bool may_run(const struct db *db, const struct db_group *g, uint8_t slot)
{
	return may_take(node(db, slot)) && (g->possible & cl_bit(slot)) &&
	       !(g->refused & cl_bit(slot)) && has_volumes(db, g, slot, true);
}

/* Some other node than that where it is could have it, and has room now. */
static bool finds_room_elsewhere(const struct db *db, const struct db_group *g)
{
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		if (slot != g->node && may_run(db, g, slot) && has_room(db, g, slot, NULL))
			return true;
	}
	return false;
}

/* Some other node than that where it is could have it. */
static bool may_run_elsewhere(const struct db *db, const struct db_group *g)
{
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		if (slot != g->node && may_run(db, g, slot))
			return true;
	}
	return false;
}

/* A preferred owner before that where it is has come back, and it may go there now. */
static bool is_wanted_back(const struct db *db, const struct db_group *g, bool is_room_needed)
{
	if (g->failback == DB_FAILBACK_NEVER || g->wish < CL_MAX_NODES ||
	    (g->failback == DB_FAILBACK_HOURS && !g->failback_open))
		return false;
	for (int i = 0; i < CL_MAX_NODES && g->preferred[i]; i++) {
		uint8_t slot = (uint8_t)(g->preferred[i] - 1);

		if (slot == g->node)
			return false;
		if ((g->returned & cl_bit(slot)) && may_take(node(db, slot)) &&
		    (g->possible & cl_bit(slot)) && !(g->refused & cl_bit(slot)) &&
		    has_volumes(db, g, slot, !db_find(db, DB_KIND_VM, g->name)) &&
		    (!is_room_needed || has_room(db, g, slot, NULL)))
			return true;
	}
	return false;
}

static bool is_wanted_away(const struct db *db, const struct db_group *g)
{
	const struct db_node *n = node(db, g->node);

	return n->is_leaving || n->is_quarantined || n->is_draining ||
	       is_wanted_back(db, g, false) || (g->wish < CL_MAX_NODES && g->wish != g->node);
}

/* What comes to the node by the orders of this plan. */
static void arrivals(const struct scenario *s, uint8_t slot, uint64_t ret[2])
{
	const struct plan_orders *o = &s->orders;

	ret[0] = ret[1] = 0;
	for (int is_cpu = 0; is_cpu < 2; is_cpu++) {
		for (size_t i = 0; i < o->count; i++) {
			bool is_start = o->item[i].work == DB_WORK_STARTING;

			if ((is_start ? o->item[i].node : o->item[i].goal) == slot)
				ret[is_cpu] += reserves(
					db_find(&s->db, DB_KIND_GROUP, o->item[i].name), is_cpu);
		}
		for (size_t i = 0; i < o->migration_count; i++) {
			if (o->migration[i].to == slot)
				ret[is_cpu] += reserves(
					db_find(&s->db, DB_KIND_GROUP, o->migration[i].name),
					is_cpu);
		}
	}
}

/* Some node could have it, if its volumes were there, and has room after this plan. */
static bool has_an_owner(const struct scenario *s, const struct db_group *g)
{
	struct db_group bare = *g;
	uint64_t more[2];

	memset(bare.volumes, 0, sizeof(bare.volumes));
	bare.node = CL_NODE_NONE;
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		arrivals(s, slot, more);
		if (may_run(&s->db, &bare, slot) && has_room(&s->db, &bare, slot, more))
			return true;
	}
	return false;
}

static uint8_t ordered_to(const struct scenario *s, const struct db_group *g);

/* The group of higher priority that it has to wait for, or NULL. */
static const struct db_group *awaited(const struct scenario *s, const struct db_group *g)
{
	const struct db *db = &s->db;

	for (uint32_t i = 0; g->wave_ms && i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *o = db_at(db, DB_KIND_GROUP, i);

		if (o->wave_ms && o->priority > g->priority && o->intent == DB_INTENT_ONLINE &&
		    (o->work == DB_WORK_STARTING ||
		     (o->work == DB_WORK_OFFLINE &&
		      (has_an_owner(s, o) || ordered_to(s, o) != CL_NODE_NONE))))
			return o;
	}
	return NULL;
}

/* The first preferred owner that may run it now. */
static uint8_t first_owner(const struct db *db, const struct db_group *g)
{
	for (int i = 0; i < CL_MAX_NODES && g->preferred[i]; i++) {
		if (may_run(db, g, (uint8_t)(g->preferred[i] - 1)))
			return (uint8_t)(g->preferred[i] - 1);
	}
	return CL_NODE_NONE;
}

/* A hard set of that kind in which both are. */
static bool are_set(const struct db *db, const struct db_group *a, const struct db_group *b,
		    bool is_apart)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_AFFINITY); i++) {
		const struct db_affinity *row = db_at(db, DB_KIND_AFFINITY, i);

		if (!row->is_soft && row->is_apart == is_apart && strstr(row->groups, a->name) &&
		    strstr(row->groups, b->name))
			return a != b;
	}
	return false;
}

static bool is_in_a_set(const struct db *db, const struct db_group *g)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *o = db_at(db, DB_KIND_GROUP, i);

		if (are_set(db, g, o, true) || are_set(db, g, o, false))
			return true;
	}
	return false;
}

/* By an order of this plan. */
static uint8_t ordered_to(const struct scenario *s, const struct db_group *g)
{
	for (size_t i = 0; i < s->orders.count; i++) {
		const struct db_cmd_group_order *o = &s->orders.item[i];

		if (o->work == DB_WORK_STARTING && !strcmp(o->name, g->name))
			return o->node;
	}
	return CL_NODE_NONE;
}

/* Nothing is started beside what it is kept apart from, nor away from what it is kept with. */
static void check_sets(struct scenario *s, const struct db_group *g, uint8_t slot)
{
	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_GROUP); i++) {
		const struct db_group *o = db_at(&s->db, DB_KIND_GROUP, i);
		uint8_t to = ordered_to(s, o);
		bool is_placed = o->intent == DB_INTENT_ONLINE &&
				 (o->work == DB_WORK_ONLINE || o->work == DB_WORK_STARTING);

		if (are_set(&s->db, g, o, true) &&
		    (to == slot || (o->work != DB_WORK_OFFLINE && o->node == slot)))
			scenario_fault(s, "%s is started beside %s", g->name, o->name);
		if (are_set(&s->db, g, o, false) &&
		    ((to != CL_NODE_NONE && to != slot) ||
		     (is_placed && o->node != slot && !db_find(&s->db, DB_KIND_VM, o->name))))
			scenario_fault(s, "%s is started away from %s", g->name, o->name);
	}
}

static void check_place(struct scenario *s, const struct db_group *g, uint8_t slot)
{
	bool is_wished = g->wish < CL_MAX_NODES && may_run(&s->db, g, g->wish);
	uint8_t owner = first_owner(&s->db, g);

	check_sets(s, g, slot);
	if (awaited(s, g))
		scenario_fault(s, "%s does not wait for %s", g->name, awaited(s, g)->name);
	if (!is_wished && owner != CL_NODE_NONE && owner != slot && !s->orders.has_fence &&
	    !is_in_a_set(&s->db, g) && !reserves(g, false) && !reserves(g, true))
		scenario_fault(s, "%s is not started on its preferred owner", g->name);
}

/* Of the orders and of what is under way. */
static void check_starts(struct scenario *s)
{
	const struct db_setting *row =
		db_find(&s->db, DB_KIND_SETTING, "placement.starts_per_node");
	unsigned int max = row ? (unsigned int)atoi(row->value) : 8, count[CL_MAX_NODES] = {0};

	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(&s->db, DB_KIND_GROUP, i);

		if (g->work == DB_WORK_STARTING)
			count[g->node]++;
	}
	for (size_t i = 0; i < s->orders.count; i++) {
		const struct db_cmd_group_order *o = &s->orders.item[i];

		if (o->work == DB_WORK_STARTING && ++count[o->node] > max)
			scenario_fault(s, "%s is one start too many on its node", o->name);
	}
}

static uint32_t failovers_allowed(const struct db *db, const struct db_group *g)
{
	uint32_t owners = 0;

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++)
		owners += node(db, slot) && (g->possible & cl_bit(slot));
	return g->failover_max ? g->failover_max : owners > 2 ? owners : 2;
}

static void check_start(struct scenario *s, const struct db_cmd_group_order *o)
{
	const struct db_group *g = db_find(&s->db, DB_KIND_GROUP, o->name);

	if (g->lock || g->work != DB_WORK_OFFLINE || g->intent != DB_INTENT_ONLINE)
		scenario_fault(s, "%s is started, and is not offline or not wanted", g->name);
	if (!may_run(&s->db, g, o->node))
		scenario_fault(s, "%s is started where it may not run", g->name);
	if (g->failures - forgiven[g->name[1] - '0'] > failovers_allowed(&s->db, g))
		scenario_fault(s, "%s has failed too often, and is started", g->name);
	if (g->wish < CL_MAX_NODES && may_run(&s->db, g, g->wish) && o->node != g->wish &&
	    !is_in_a_set(&s->db, g) && !s->orders.has_fence && !reserves(g, false) &&
	    !reserves(g, true))
		scenario_fault(s, "%s is not started where it was asked for", g->name);
	check_place(s, g, o->node);
}

static void check_stop(struct scenario *s, const struct db_cmd_group_order *o)
{
	const struct db_group *g = db_find(&s->db, DB_KIND_GROUP, o->name);
	const struct db_node *n = node(&s->db, g->node);

	if (g->work != DB_WORK_ONLINE || g->node != o->node)
		scenario_fault(s, "%s is stopped, and is not online there", g->name);
	if (g->intent == DB_INTENT_OFFLINE || n->is_leaving || n->is_quarantined)
		return;
	if (!is_wanted_away(&s->db, g) || db_find(&s->db, DB_KIND_VM, g->name))
		scenario_fault(s, "%s is healthy and wanted there, and is stopped", g->name);
	if (!may_run_elsewhere(&s->db, g))
		scenario_fault(s, "%s is stopped, and could start nowhere else", g->name);
}

/* The place of something that waits is kept for it: no group of lower priority gets it. */
static bool is_any_kept(const struct db *db)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->work == DB_WORK_OFFLINE && is_on_its_way(g))
			return true;
	}
	return false;
}

static void check_groups(struct scenario *s)
{
	int before = UINT8_MAX;

	for (size_t i = 0; i < s->orders.count; i++) {
		const struct db_cmd_group_order *o = &s->orders.item[i];
		const struct db_group *g = db_find(&s->db, DB_KIND_GROUP, o->name);

		/*
		 * What waited for a wave may be late: what took the room ended the wave. So may
		 * what is kept with others: they say where to; and what got the turn of
		 * another that could not be started after all.
		 */
		if (g->priority > before && !g->wave_ms && !is_in_a_set(&s->db, g) &&
		    !is_any_kept(&s->db))
			scenario_fault(s, "%s is ordered after one of lower priority", g->name);
		before = g->priority;
		if (o->work == DB_WORK_STARTING)
			check_start(s, o);
		else
			check_stop(s, o);
	}
}

static void check_volumes(struct scenario *s)
{
	for (size_t i = 0; i < s->orders.volume_count; i++) {
		const struct db_cmd_volume_order *o = &s->orders.volume[i];
		const struct db_volume *v = db_find(&s->db, DB_KIND_VOLUME, o->name);
		const struct db_node *n = node(&s->db, o->node);
		bool is_wanted_away = v->wish < CL_MAX_NODES && v->wish != v->node;

		if (o->work == DB_WORK_STARTING && (v->lock || !may_take(n)))
			scenario_fault(s, "volume %s is started where it may not be", v->name);
		if (o->work == DB_WORK_STARTING && ((v->refused | v->crashed) & cl_bit(o->node)))
			scenario_fault(s, "volume %s is started where it failed", v->name);
		if (o->work == DB_WORK_STOPPING && !is_wanted_away && !v->is_deleting &&
		    !n->is_draining && !n->is_leaving && !n->is_quarantined)
			scenario_fault(s, "volume %s is healthy, and is stopped", v->name);
	}
}

static void check_migrations(struct scenario *s)
{
	for (size_t i = 0; i < s->orders.migration_count; i++) {
		const struct db_cmd_vm_migrate *o = &s->orders.migration[i];
		const struct db_group *g = db_find(&s->db, DB_KIND_GROUP, o->name);

		if (g->work != DB_WORK_ONLINE || g->intent != DB_INTENT_ONLINE ||
		    !is_wanted_away(&s->db, g))
			scenario_fault(s, "%s is wanted there, and is migrated", g->name);
		if (!may_take(node(&s->db, o->to)) || !(g->possible & cl_bit(o->to)) ||
		    !has_volumes(&s->db, g, o->to, false))
			scenario_fault(s, "%s is migrated to where it may not run", g->name);
	}
}

/* Something there cannot be proven over, and that is worth a fence to its administrator. */
static bool is_stuck(const struct db *db, const struct db_node *n)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->fence_wanted && g->node == n->slot &&
		    g->on_stop_failure == DB_STOP_FAILURE_FENCE)
			return true;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);

		if (v->fence_wanted && v->node == n->slot)
			return true;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MOUNT); i++) {
		const struct db_mount *m = db_at(db, DB_KIND_MOUNT, i);

		if (m->fence_wanted && m->slot == n->slot)
			return true;
	}
	return false;
}

static void check_fence(struct scenario *s)
{
	const struct db_node *n =
		s->orders.has_fence ? db_find(&s->db, DB_KIND_NODE, s->orders.fence.name) : NULL;

	if (!n)
		return;
	if (n->membership != DB_MEMBERSHIP_ADMITTED || !is_stuck(&s->db, n) ||
	    !db_count(&s->db, DB_KIND_FENCE))
		scenario_fault(s, "%s is fenced without need", n->name);
	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_NODE); i++) {
		const struct db_node *other = db_at(&s->db, DB_KIND_NODE, i);

		if (other->membership == DB_MEMBERSHIP_FENCING)
			scenario_fault(s, "%s is fenced beside %s", n->name, other->name);
	}
	for (size_t i = 0; i < s->orders.count; i++) {
		const struct db_cmd_group_order *o = &s->orders.item[i];
		const struct db_group *g = db_find(&s->db, DB_KIND_GROUP, o->name);

		for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
			if (o->work == DB_WORK_STARTING && o->node == n->slot && slot != o->node &&
			    may_run(&s->db, g, slot) && !is_in_a_set(&s->db, g) &&
			    !reserves(g, false) && !reserves(g, true))
				scenario_fault(s, "%s is started where a fence begins", g->name);
		}
	}
}

/* Where something comes to, or a migration begins, no more is reserved than there is. */
static void check_room(struct scenario *s)
{
	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(&s->db, DB_KIND_NODE, i);
		uint64_t more[2], ended[2] = {0, 0};

		arrivals(s, n->slot, more);
		for (size_t k = 0; k < s->orders.begin_count; k++) {
			const struct db_cmd_migration_order *o = &s->orders.begin[k];
			const struct db_migration *m = db_find_id(&s->db, DB_KIND_MIGRATION, o->id);
			const struct db_group *g = db_find(&s->db, DB_KIND_GROUP, m->vm);
			bool is_end = o->phase == DB_MIGRATION_PHASE_ENDED;

			for (int c = 0; c < 2 && m->destination == n->slot; c++) {
				ended[c] += is_end ? reserves(g, c) : 0;
				more[c] += !is_end && !more[c] && reserves(g, c) ? 1 : 0;
			}
		}
		for (int c = 0; c < 2; c++) {
			uint64_t is = reserved(&s->db, n->slot, c) - ended[c];

			/* A migration that begins counts already: 1 says only that there is one. */
			if (more[c] && is + (more[c] > 1 ? more[c] : 0) > capacity(n, c))
				scenario_fault(s, "more is placed on %s than it has room for: %s",
					       n->name, c ? "cpu" : "memory");
		}
	}
}

static void on_plan(struct scenario *s)
{
	check_fence(s);
	check_groups(s);
	check_starts(s);
	check_room(s);
	check_volumes(s);
	check_migrations(s);
}

static void check_group_at_rest(struct scenario *s, const struct db_group *g)
{
	const struct db_node *n = node(&s->db, g->node);
	bool is_vm = db_find(&s->db, DB_KIND_VM, g->name) != NULL;
	bool can_move = finds_room_elsewhere(&s->db, g) && !is_any_kept(&s->db);

	if (is_in_a_set(&s->db, g)) /* where the others are says whether it can */
		can_move = false;
	if (g->work == DB_WORK_OFFLINE && g->intent == DB_INTENT_ONLINE && can_move &&
	    !awaited(s, g))
		scenario_fault(s, "%s can run, and is left offline", g->name);
	if (g->work != DB_WORK_ONLINE || n->membership != DB_MEMBERSHIP_ADMITTED)
		return;
	if (g->intent == DB_INTENT_OFFLINE)
		scenario_fault(s, "%s is not wanted, and runs", g->name);
	if (n->is_leaving)
		scenario_fault(s, "%s is left on a node that stops", g->name);
	if (n->is_quarantined)
		scenario_fault(s, "%s is left on a node that is quarantined", g->name);
	if (!is_vm && n->is_draining && can_move)
		scenario_fault(s, "%s is left on a drained node", g->name);
	if (g->wish < CL_MAX_NODES && g->wish != g->node && may_run(&s->db, g, g->wish) &&
	    has_room(&s->db, g, g->wish, NULL) && !is_in_a_set(&s->db, g))
		scenario_fault(s, "%s is not moved where it was asked to be", g->name);
	if (!is_vm && is_wanted_back(&s->db, g, true) && !is_in_a_set(&s->db, g))
		scenario_fault(s, "%s is not moved back to its preferred owner", g->name);
}

/* Given up: after its time it is tried again, and never before it has failed too often. */
static void check_given_up(struct scenario *s, bool is_after_long)
{
	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(&s->db, DB_KIND_GROUP, i);

		if (g->work != DB_WORK_FAILED || g->lock)
			continue;
		if (is_after_long && g->retry_ms)
			scenario_fault(s, "%s is not tried again", g->name);
		if (g->failures - forgiven[g->name[1] - '0'] <= failovers_allowed(&s->db, g) &&
		    !is_after_long)
			scenario_fault(s, "%s is given up early", g->name);
	}
}

static void check_at_rest(struct scenario *s)
{
	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_GROUP); i++)
		check_group_at_rest(s, db_at(&s->db, DB_KIND_GROUP, i));
	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(&s->db, DB_KIND_VOLUME, i);

		for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
			if (v->work == DB_WORK_OFFLINE && !v->is_deleting &&
			    may_take(node(&s->db, slot)) &&
			    !((v->refused | v->crashed) & cl_bit(slot)))
				scenario_fault(s, "volume %s has no coordinator", v->name);
		}
	}
}

/* ---- lines that are made up */

__attribute__((format(printf, 2, 3))) static void add(struct world *w, const char *format, ...)
{
	va_list ap;

	must(w->count < LINES_MAX);
	va_start(ap, format);
	vsnprintf(w->line[w->count++], sizeof(w->line[0]), format, ap);
	va_end(ap);
}

static unsigned int below(struct world *w, unsigned int n)
{
	return (unsigned int)prng_below(&w->p, n);
}

static bool chance(struct world *w, unsigned int pct)
{
	return prng_chance(&w->p, pct, 100);
}

/* Text of a random set with at least one node. */
static void random_set(struct world *w, char *text, size_t size)
{
	unsigned int one = below(w, w->nodes);
	size_t at = 0;

	text[0] = 0;
	for (unsigned int i = 0; i < w->nodes; i++) {
		if (i == one || chance(w, 50))
			at += (size_t)snprintf(text + at, size - at, "%sn%u", at ? "," : "", i);
	}
}

/* Preferred owners out of all nodes, in any order, and a failback. */
static void random_owners(struct world *w, char *text, size_t size)
{
	static const char *const failback[] = {"never", "immediate", "immediate",
					       "hours failback_from=1 failback_to=3"};
	unsigned int first = below(w, w->nodes), count = below(w, w->nodes) + 1;
	size_t at = (size_t)snprintf(text, size, " preferred=");

	for (unsigned int i = 0; i < count; i++)
		at += (size_t)snprintf(text + at, size - at, "%sn%u", i ? "," : "",
				       (first + i) % w->nodes);
	snprintf(text + at, size - at, " failback=%s", failback[below(w, 4)]);
}

static const char *random_capacity(struct world *w)
{
	static const char *const words[] = {" set_memory_mib=1024",
					    " set_memory_mib=2048",
					    " set_memory_mib=2048 set_cpu_pct=200",
					    " set_cpu_pct=300",
					    " set_memory_mib=4096",
					    ""};

	return words[below(w, MUST_ARRAY_SIZE(words))];
}

static const char *random_reservation(struct world *w, bool is_vm)
{
	static const char *const words[] = {" memory_mib=1024", " memory_mib=512 cpu_pct=100",
					    " cpu_pct=150",	" memory_mib=256",
					    " memory_mib=2048", ""};

	return is_vm && chance(w, 50) ? " guest_mib=896" : words[below(w, MUST_ARRAY_SIZE(words))];
}

static void make_state(struct world *w)
{
	char possible[64];

	w->has_room = chance(w, 50);
	w->nodes = (unsigned int)prng_range(&w->p, 1, NODES_MAX);
	w->groups = (unsigned int)prng_range(&w->p, 1, GROUPS_MAX);
	w->vms = below(w, w->groups + 1);
	w->volumes = below(w, VOLUMES + 1);
	for (unsigned int i = 0; i < w->nodes; i++) {
		bool is_paused = chance(w, 15);

		add(w, "node n%u is_paused=%s is_draining=%s is_quarantined=%s%s", i,
		    is_paused ? "yes" : "no", is_paused && chance(w, 50) ? "yes" : "no",
		    chance(w, 5) ? "yes" : "no", w->has_room ? random_capacity(w) : "");
	}
	if (chance(w, 10))
		add(w, "setting placement.survive value=%u", 1 + below(w, 2));
	if (chance(w, 50))
		add(w, "fence ipmi agent=/usr/sbin/fence level=1 nodes=all");
	if (chance(w, 50))
		add(w, "setting placement.starts_per_node value=%u", 1 + below(w, 2));
	for (unsigned int i = 0; i < w->volumes; i++) {
		if (chance(w, 50)) {
			add(w, "volume v%u", i);
			continue;
		}
		add(w, "volume v%u work=online node=n%u", i, below(w, w->nodes));
		for (unsigned int k = 0; k < w->nodes; k++)
			add(w, "mount v%u/n%u", i, k);
	}
	for (unsigned int i = 0; i < w->groups; i++) {
		static const char *const words[] = {"online", "online", "starting", "stopping"};
		unsigned int volume = below(w, VOLUMES + 1);
		char where[64] = "", needs[32] = "", owners[96] = "";

		random_set(w, possible, sizeof(possible));
		if (chance(w, 50))
			snprintf(where, sizeof(where), " work=%s node=n%u", words[below(w, 4)],
				 below(w, w->nodes));
		if (volume < w->volumes)
			snprintf(needs, sizeof(needs), " volumes=v%u", volume);
		if (chance(w, 40))
			random_owners(w, owners, sizeof(owners));
		add(w, "group g%u priority=%u possible=%s intent=%s failover_max=%u%s%s%s%s", i,
		    below(w, 3) * 100, !owners[0] && chance(w, 30) ? possible : "all",
		    chance(w, 70) ? "online" : "offline", below(w, 4), where, needs, owners,
		    w->has_room ? random_reservation(w, i + w->vms >= w->groups) : "");
		if (i + w->vms >= w->groups)
			add(w, "vm g%u", i);
	}
	if (w->groups > 2 && chance(w, 30))
		add(w, "affinity a groups=g0,g1,g2 is_apart=yes is_soft=%s",
		    chance(w, 30) ? "yes" : "no");
	if (w->groups > 4 && chance(w, 30))
		add(w, "affinity t groups=g3,g4 is_soft=%s", chance(w, 30) ? "yes" : "no");
	w->state_count = w->count;
}

static bool has_number(struct world *w, const char *name)
{
	const struct db_vm *v = db_find(&w->s->db, DB_KIND_VM, name);
	const struct db_group *g = db_find(&w->s->db, DB_KIND_GROUP, name);

	return (v && v->migration) || (g && g->task);
}

static void make_node_event(struct world *w)
{
	unsigned int n = below(w, w->nodes);

	switch (below(w, 10)) {
	case 0:
	case 1:
		add(w, "node_pause n%u pause=yes drain=yes", n);
		break;
	case 2:
		add(w, "node_pause n%u pause=%s", n, chance(w, 30) ? "yes" : "no");
		break;
	case 3:
		add(w, "node_lost n%u", n);
		break;
	case 4:
		add(w, "node_fenced n%u", n);
		break;
	case 5:
		add(w, "node_admit n%u instance=1", n);
		break;
	case 6:
		add(w, "node_admit n%u incarnation=%" PRIu64, n, w->incarnation++);
		break;
	case 7:
		add(w, chance(w, 50) ? "node_leave n%u" : "node_depart n%u", n);
		break;
	case 8:
		add(w, "node_quarantine_clear n%u", n);
		break;
	default:
		add(w,
		    chance(w, 67) ? "node_leave n%u is_done=yes"
				  : "node_depart n%u is_time_over=yes",
		    n);
		break;
	}
}

static void make_vm_event(struct world *w, unsigned int g)
{
	const struct db_vm *v;
	char name[16];

	snprintf(name, sizeof(name), "g%u", g);
	v = db_find(&w->s->db, DB_KIND_VM, name);
	if (!v || !v->migration) {
		add(w, "vm_migrate g%u to=n%u", g, below(w, w->nodes));
		return;
	}
	switch (below(w, 4)) {
	case 0:
		add(w, "migration_report @g%u slot=n%u phase=storage-handle", g,
		    below(w, w->nodes));
		break;
	case 1:
		add(w, "migration_transfer @g%u", g);
		break;
	case 2:
		add(w, "migration_end @g%u slot=n%u is_success=%s reason=made-up", g,
		    below(w, w->nodes), chance(w, 50) ? "yes" : "no");
		break;
	default:
		add(w, "task_cancel @g%u", g);
		break;
	}
}

static void make_volume_event(struct world *w)
{
	static const char *const words[] = {"online", "offline", "failed", "unknown"};
	unsigned int v = below(w, VOLUMES), n = below(w, w->nodes);

	switch (below(w, 5)) {
	case 4:
		add(w, "fence_ask n%u volume=v%u is_mount=%s reason=made-up", n, v,
		    chance(w, 50) ? "yes" : "no");
		break;
	case 0:
		add(w, "volume_intent v%u wish=n%u", v, n);
		break;
	case 1:
		add(w, "volume_intent v%u", v);
		break;
	case 2:
		add(w, "volume_report v%u work=%s reason=made-up", v, words[below(w, 4)]);
		break;
	default:
		add(w, "mount_gone v%u slot=n%u reason=made-up", v, n);
		break;
	}
}

static void make_group_event(struct world *w)
{
	static const char *const words[] = {"online", "offline", "failed", "failed", "unknown"};
	/* Often the same one: it has to fail many times to be given up. */
	unsigned int g = chance(w, 40) ? 0 : below(w, w->groups);
	char name[16];

	snprintf(name, sizeof(name), "g%u", g);
	if (w->has_room && chance(w, 10)) {
		if (chance(w, 50))
			add(w, "group_reserve g%u memory_mib=%u", g, below(w, 5) * 512);
		else
			add(w, "node_set n%u memory_mib=%u", below(w, w->nodes),
			    below(w, 4) * 1024);
		return;
	}
	switch (below(w, 9)) {
	case 8:
		add(w, "group_place g%u priority=%u failback=%s", g, below(w, 3) * 100,
		    chance(w, 50) ? "immediate" : "never");
		break;
	case 6:
		add(w, "fence_ask n%u group=g%u reason=made-up", below(w, w->nodes), g);
		break;
	case 7:
		add(w, "group_set g%u on_stop_failure=%s", g, chance(w, 50) ? "fence" : "block");
		break;
	case 0:
		add(w, "group_intent g%u intent=%s", g, chance(w, 60) ? "online" : "offline");
		break;
	case 1:
		add(w, "group_intent g%u wish=n%u", g, below(w, w->nodes));
		break;
	case 2:
	case 3:
		add(w, "group_report g%u work=%s reason=made-up", g, words[below(w, 5)]);
		break;
	case 4:
		if (has_number(w, name))
			add(w, "task_cancel @g%u", g);
		else
			add(w, "group_intent g%u", g);
		break;
	default:
		add(w, "succeed g%u", g);
		break;
	}
}

static void make_event(struct world *w)
{
	unsigned int dice = below(w, 100);

	if (dice < 25)
		add(w, "plan");
	else if (dice < 35)
		add(w, "succeed");
	else if (dice < 38)
		add(w, "settle");
	else if (dice < 41)
		add(w, "wait %s", chance(w, 30) ? WAIT_LONG : WAIT_SHORT);
	else if (dice < 55)
		make_node_event(w);
	else if (dice < 65 && w->volumes)
		make_volume_event(w);
	else if (dice < 75 && w->vms)
		make_vm_event(w, w->groups - 1 - below(w, w->vms));
	else
		make_group_event(w);
}

/* ---- one seed */

static void forgive(struct scenario *s, const struct scenario_line *line)
{
	bool is_wait = !strcmp(line->word[0], "wait") && !strcmp(line->word[1], WAIT_LONG);

	if (!is_wait && (strcmp(line->word[0], "group_intent") != 0 || s->result.code))
		return;
	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(&s->db, DB_KIND_GROUP, i);

		if (is_wait || !strcmp(g->name, line->word[1]))
			forgiven[g->name[1] - '0'] = g->failures;
	}
}

static void take(struct scenario *s, const char *text, bool is_event)
{
	static struct scenario_line line;

	s->line++;
	if (!scenario_split(s, text, &line))
		return;
	if (is_event)
		scenario_event(s, &line);
	else
		scenario_row(s, &line);
	if (is_event)
		forgive(s, &line);
	if (!strcmp(text, "settle"))
		check_at_rest(s);
	check_given_up(s, !strcmp(text, "wait " WAIT_LONG));
}

/* Makes it up while it is played; the text of what was decided is returned owned. */
static char *play(struct world *w, bool is_made_up, bool is_renamed, char *fault, size_t size)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	jmp_buf jump;

	must(out);
	memset(forgiven, 0, sizeof(forgiven));
	w->s = scenario_new(is_renamed, (uint8_t)w->nodes, out, &jump);
	w->s->db.mutant = w->s->mutant = w->mutant;
	w->s->on_plan = on_plan;
	w->s->file = "line";
	fault[0] = 0;
	if (!setjmp(jump)) {
		for (size_t i = 0; i < w->state_count; i++)
			take(w->s, w->line[i], false);
		scenario_ready(w->s);
		for (unsigned int n = below(w, EVENTS_MAX); is_made_up && n; n--) {
			make_event(w);
			take(w->s, w->line[w->count - 1], true);
		}
		if (is_made_up) {
			add(w, "settle");
			take(w->s, "settle", true);
		}
		for (size_t i = w->state_count; !is_made_up && i < w->count; i++)
			take(w->s, w->line[i], true);
		scenario_end(w->s);
	} else {
		snprintf(fault, size, "%s", w->s->fault_text);
	}
	scenario_free(w->s);
	fclose(out);
	return text;
}

/* Up to the last name: of a reason that was too long what follows is cut, in the middle of a name.
 */
static size_t whole(const char *line)
{
	size_t len = strcspn(line, "\n"), end = len;

	if (len < DB_REASON_MAX - 1)
		return len;
	while (end && line[end] != ';')
		end--;
	return end;
}

static size_t next_line(const char *text)
{
	size_t len = strcspn(text, "\n");

	return len + (text[len] == '\n');
}

/* False: the fault says the first line in which they differ, of both. */
static bool decides_the_same(const char *a, const char *b, char *fault, size_t size)
{
	while (*a && *b && whole(a) == whole(b) && !strncmp(a, b, whole(a))) {
		a += next_line(a);
		b += next_line(b);
	}
	if (!*a && !*b)
		return true;
	snprintf(fault, size, "renamed, it decides otherwise:\n%.*s\n%.*s", (int)strcspn(a, "\n"),
		 a, (int)strcspn(b, "\n"), b);
	return false;
}

static void print_scenario(const struct world *w)
{
	for (size_t i = 0; i < w->count; i++)
		printf("%s%s\n", i == w->state_count ? "--- events\n" : "", w->line[i]);
}

/* True if no rule was broken; else says which, with the scenario. */
static bool run_seed(uint64_t seed, enum db_mutant mutant, bool is_trace)
{
	struct world *w = calloc(1, sizeof(*w));
	char fault[SCENARIO_LINE_MAX];
	char *text, *renamed;
	bool is_good;

	must(w);
	prng_init(&w->p, seed);
	w->mutant = mutant;
	w->incarnation = 0x1000;
	make_state(w);
	text = play(w, true, false, fault, sizeof(fault));
	is_good = !fault[0];
	if (is_good) {
		renamed = play(w, false, true, fault, sizeof(fault));
		is_good = !fault[0] && decides_the_same(text, renamed, fault, sizeof(fault));
		free(renamed);
	}
	if (is_trace || (!is_good && mutant == DB_MUTANT_NONE)) {
		print_scenario(w);
		printf("--- decisions\n%s", text);
	}
	if (!is_good)
		printf("%s %" PRIu64 ": %s\n", mutant ? "found by seed" : "BROKEN by seed", seed,
		       fault);
	free(text);
	free(w);
	return is_good;
}

struct options {
	uint64_t seeds, first;
	const char *mutant;
	bool is_trace;
};

static int usage(void)
{
	fprintf(stderr, "usage: sim_plan [--seeds N] [--first SEED] [--mutant NAME|all] "
			"[--trace]\n");
	return 2;
}

static bool parse(int argc, char **argv, struct options *o)
{
	static const struct option list[] = {{"seeds", required_argument, NULL, 's'},
					     {"first", required_argument, NULL, 'f'},
					     {"mutant", required_argument, NULL, 'm'},
					     {"trace", no_argument, NULL, 't'},
					     {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", list, NULL)) != -1) {
		if (c == 's')
			o->seeds = strtoull(optarg, NULL, 10);
		else if (c == 'f')
			o->first = strtoull(optarg, NULL, 10);
		else if (c == 'm')
			o->mutant = optarg;
		else if (c == 't')
			o->is_trace = true;
		else
			return false;
	}
	return optind == argc;
}

static int run_mutants(const struct options *o)
{
	int found = 0;

	for (int m = DB_MUTANT_PLAN_FIRST; m <= DB_MUTANT_PLAN_LAST; m++) {
		const char *name = db_mutant_name((enum db_mutant)m);
		uint64_t i = 0;

		if (strcmp(o->mutant, "all") != 0 && strcmp(o->mutant, name) != 0)
			continue;
		printf("mutant %s ", name);
		while (i < o->seeds && run_seed(o->first + i, (enum db_mutant)m, o->is_trace))
			i++;
		if (i == o->seeds) {
			printf("NOT found in %" PRIu64 " seeds\n", o->seeds);
			return 1;
		}
		found++;
	}
	if (!found)
		return usage();
	printf("%d passed, 0 failed\n", found);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {.seeds = 1000, .first = 1};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!parse(argc, argv, &o))
		return usage();
	if (o.mutant)
		return run_mutants(&o);
	for (uint64_t i = 0; i < o.seeds; i++) {
		if (!run_seed(o.first + i, DB_MUTANT_NONE, o.is_trace))
			return 1;
	}
	printf("%" PRIu64 " passed, 0 failed\n", o.seeds);
	return 0;
}
