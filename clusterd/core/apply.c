/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each command does to the applied state. Deterministic: nothing but the state and the entry
 * counts. A command that cannot be done changes nothing, and its result says why.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/apply_impl.h"
#include "clusterd/core/fence_window.h"
#include "clusterd/core/job.h"
#include "clusterd/core/msg.h"
#include "clusterd/core/placement.h"
#include "clusterd/core/plan.h"
#include "clusterd/core/setting.h"
#include "clusterd/core/stuck.h"
#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"
#include "lib/must.h"

/* "grp:" and the name must fit a lock's name. */
#define GROUP_NAME_MAX (LK_NAME_MAX - 4)

/* ---- locks */

/* The lock session of a node's clusterd is its incarnation. */
static void session_open(struct db *db, const struct db_node *n)
{
	struct lk_event e = {.type = LK_EV_OPEN,
			     .session = n->incarnation,
			     .node = n->slot,
			     .incarnation = n->incarnation};

	apply_lock_step(db, &e);
}

/* What it had ends, provably. */
static void group_release(struct apply *a, struct db_group *g, const char *reason)
{
	apply_lock_drop(a->db, g->lock);
	g->lock = 0;
	g->work = DB_WORK_OFFLINE;
	g->node = CL_NODE_NONE;
	g->fence_wanted = g->is_degraded = false;
	vm_group_drop(a, g, reason);
}

/* ---- cluster and nodes */

static void do_cluster_init(struct apply *a, const struct db_cmd_cluster_init *c)
{
	struct db_cluster *row;

	if (db_count(a->db, DB_KIND_CLUSTER)) {
		apply_answer(a, DB_CONFLICT, "cluster has a name already");
		return;
	}
	row = db_insert(a->db, DB_KIND_CLUSTER, c->name);
	COPY(row->uuid, c->uuid);
	row->created_ms = a->cmd->at_ms;
	if (c->token_ms && c->token_ms != setting_shape(SETTING_TOTEM_TOKEN_MS)->def)
		setting_put(a, SETTING_TOTEM_TOKEN_MS, c->token_ms);
	apply_event(a, "cluster-created", c->name, "by %s", a->cmd->actor);
}

/* What ran on an incarnation that can do nothing any more is offline, to be placed anew. */
void node_incarnation_gone(struct apply *a, uint8_t slot, uint64_t incarnation)
{
	/* Its session is orphaned; of its locks, mnt: stay until the volume is recovered. */
	apply_lock_release(a->db, slot, incarnation, "grp:");
	apply_lock_release(a->db, slot, incarnation, "vm:");
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_GROUP); i++) {
		struct db_group *g = db_at(a->db, DB_KIND_GROUP, i);

		if (g->node != slot || g->incarnation != incarnation || g->work == DB_WORK_OFFLINE)
			continue;
		resources_set(a, g->name, DB_WORK_OFFLINE);
		g->work = DB_WORK_OFFLINE;
		g->node = CL_NODE_NONE;
		g->lock = 0;
		g->fence_wanted = g->is_degraded = false;
		g->since_ms = a->cmd->at_ms;
		COPY(g->reason, "its node is out of service");
		vm_group_gone(a, g);
		place_group_down(a, g, "its node is out of service");
		if (g->intent == DB_INTENT_OFFLINE) {
			apply_task_end(a, g->task, DB_TASK_STATE_DONE, g->reason);
			g->task = 0;
		}
	}
	migrations_incarnation_gone(a, slot, incarnation);
	volumes_incarnation_gone(a, slot, incarnation);
}

static bool is_any_admitted(const struct db *db)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (n->membership == DB_MEMBERSHIP_ADMITTED)
			return true;
	}
	return false;
}

static void do_node_admit(struct apply *a, const struct db_cmd_node_admit *c)
{
	struct db_node *n = db_find(a->db, DB_KIND_NODE, c->name);
	const struct db_node *there = db_node_by_slot(a->db, c->slot);
	bool is_new = !n || n->instance != c->instance;
	bool is_back =
		!n || n->incarnation != c->incarnation || n->membership != DB_MEMBERSHIP_ADMITTED;
	bool is_first = is_new && !is_any_admitted(a->db);

	if (!c->name[0] || c->slot >= CL_MAX_NODES || (there && there != n)) {
		apply_answer(a, DB_INVALID, "node %s: slot %u is not to be had", c->name, c->slot);
		return;
	}
	if (n && n->is_evicted) {
		apply_answer(a, DB_REFUSED, "node %s is evicted", c->name);
		return;
	}
	if (n && n->incarnation == c->incarnation &&
	    (n->membership == DB_MEMBERSHIP_FENCED || n->membership == DB_MEMBERSHIP_FENCING) &&
	    !DB_MUTANT(a->db, ADMITS_FENCED)) {
		apply_answer(a, DB_REFUSED, "node %s: this incarnation is fenced", c->name);
		return;
	}
	if (n && n->incarnation == c->incarnation && n->instance == c->instance &&
	    n->membership == DB_MEMBERSHIP_ADMITTED)
		return;
	if (!n)
		n = db_insert(a->db, DB_KIND_NODE, c->name);
	if (!n) {
		apply_answer(a, DB_REFUSED, "the cluster has %u nodes already", CL_MAX_NODES);
		return;
	}
	/* A later boot of the same node proves that the earlier one runs nothing any more. */
	if (n->incarnation && n->incarnation != c->incarnation && strcmp(n->boot, c->boot) != 0) {
		node_incarnation_gone(a, n->slot, n->incarnation);
		if (n->membership == DB_MEMBERSHIP_ADMITTED) /* and nobody had noticed */
			quarantine_node_lost(a, n);
		apply_event(a, "node-rebooted", c->name,
			    "a later boot proves the earlier one ended");
	}
	/* A process that stops stays one, also if it was lost on the way and is back. */
	if (n->incarnation != c->incarnation || n->instance != c->instance) {
		n->is_leaving = false;
		leave_fails(a, n->name, "its clusterd was started again before it had left");
	}
	n->slot = c->slot;
	n->nodeid = c->nodeid;
	n->incarnation = c->incarnation;
	n->instance = c->instance;
	COPY(n->boot, c->boot);
	upgrade_node_admitted(a, n, c);
	COPY(n->version, c->version);
	n->membership = DB_MEMBERSHIP_ADMITTED;
	n->since_ms = a->cmd->at_ms;
	session_open(a->db, n);
	if (is_new)
		setting_cluster_starts(a);
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_GROUP); i++) {
		struct db_group *g = db_at(a->db, DB_KIND_GROUP, i);

		g->refused = (uint16_t)(g->refused & ~cl_bit(c->slot));
		if (g->node != c->slot || g->incarnation != c->incarnation ||
		    g->work != DB_WORK_UNKNOWN)
			continue;
		g->work = DB_WORK_ONLINE; /* it comes back with what it held */
		COPY(g->reason, "its node is back with what it held");
	}
	volumes_node_admitted(a, n);
	force_node_back(a, n->slot);
	if (is_back)
		place_node_returned(a, n->slot);
	if (is_first)
		place_cluster_starts(a);
	apply_event(a, "node-admitted", c->name, "incarnation %016" PRIx64, c->incarnation);
	quarantine_node_admitted(a, n);
}

struct db_node *apply_incarnation_find(struct apply *a, const char *name, uint64_t incarnation)
{
	struct db_node *n = db_find(a->db, DB_KIND_NODE, name);

	if (n && n->incarnation == incarnation)
		return n;
	apply_answer(a, DB_NO_SUCH, "node %s has no such incarnation", name);
	return NULL;
}

/* Nobody may touch what ran there until the incarnation is fenced. */
static uint32_t groups_unknown(struct apply *a, const struct db_node *n)
{
	uint32_t groups = 0;

	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_GROUP); i++) {
		struct db_group *g = db_at(a->db, DB_KIND_GROUP, i);

		if (!g->lock || g->incarnation != n->incarnation || g->work == DB_WORK_FAILED)
			continue;
		if (DB_MUTANT(a->db, VM_LOST_RELEASES)) {
			group_release(a, g, "its node is lost");
			resources_set(a, g->name, DB_WORK_OFFLINE);
			continue;
		}
		g->work = DB_WORK_UNKNOWN;
		g->since_ms = a->cmd->at_ms;
		snprintf(g->reason, sizeof(g->reason), "waiting until %s is fenced", n->name);
		groups++;
	}
	return groups;
}

static void do_node_lost(struct apply *a, const struct db_cmd_node_lost *c)
{
	struct db_node *n = apply_incarnation_find(a, c->name, c->incarnation);
	uint32_t groups, volumes;

	if (!n || n->membership != DB_MEMBERSHIP_ADMITTED)
		return;
	n->membership = DB_MEMBERSHIP_LOST;
	quarantine_node_lost(a, n);
	n->since_ms = a->cmd->at_ms;
	groups = groups_unknown(a, n);
	volumes = volumes_unknown(a, n);
	migrations_node_away(a, n, "the destination is lost");
	apply_event(a, "node-lost", c->name,
		    "left the quorate view; %u groups and %u volumes wait for its fencing", groups,
		    volumes);
}

/* What asks for the fence, for people; false: nothing does. */
static bool fence_why(struct apply *a, const struct db_cmd_node_fencing *c, const struct db_node *n,
		      char *text, size_t size)
{
	if (c->by_admin)
		snprintf(text, size, "asked by %s", a->cmd->actor);
	else if (n->membership == DB_MEMBERSHIP_LOST)
		snprintf(text, size, "lost from the quorate view");
	else if (n->membership != DB_MEMBERSHIP_ADMITTED || !stuck_has_device(a->db, n->slot))
		return false;
	else
		return stuck_asks(a->db, n, text, size);
	return n->membership == DB_MEMBERSHIP_LOST || n->membership == DB_MEMBERSHIP_ADMITTED;
}

static void do_node_fencing(struct apply *a, const struct db_cmd_node_fencing *c)
{
	struct db_node *n = apply_incarnation_find(a, c->name, c->incarnation);
	uint32_t groups, volumes;
	char why[DB_REASON_MAX / 2];

	if (!n || n->membership == DB_MEMBERSHIP_FENCING)
		return;
	if (!fence_why(a, c, n, why, sizeof(why))) {
		apply_answer(a, DB_CONFLICT, "node %s is not lost", c->name);
		return;
	}
	if (!c->by_admin && fence_window_wait_ms(a->db, a->cmd->at_ms)) {
		apply_answer(a, DB_CONFLICT, "too many fences have begun; %s waits", c->name);
		return;
	}
	fence_window_take(a->db, a->cmd->at_ms);
	stuck_fence_begins(a, n);
	n->membership = DB_MEMBERSHIP_FENCING;
	n->since_ms = a->cmd->at_ms;
	groups = groups_unknown(a, n);
	volumes = volumes_unknown(a, n);
	migrations_node_away(a, n, "the destination is being fenced");
	if (DB_MUTANT(a->db, FENCE_BEGIN_FREES))
		node_incarnation_gone(a, n->slot, n->incarnation);
	apply_event(a, "fence-begin", c->name, "%s; %u groups and %u volumes wait for it", why,
		    groups, volumes);
}

static void do_fence_create(struct apply *a, const struct db_cmd_fence_create *c)
{
	struct db_fence *f;
	char object[CL_NAME_MAX + 8];

	if (db_find(a->db, DB_KIND_FENCE, c->name)) {
		apply_answer(a, DB_CONFLICT, "fence device %s exists", c->name);
		return;
	}
	if (!secrets_exist(a, c->params))
		return;
	snprintf(object, sizeof(object), "fence.%.50s", c->name);
	f = apply_params_fit(a->db, c->params) ? db_insert(a->db, DB_KIND_FENCE, c->name) : NULL;
	if (!f) {
		apply_answer(a, DB_REFUSED, "bad parameters, or no room for another fence device");
		return;
	}
	apply_params_set(a->db, object, c->params);
	COPY(f->agent, c->agent);
	f->level = c->level;
	f->nodes = c->nodes;
	f->timeout_ms = c->timeout_ms;
	apply_event(a, "fence-created", c->name, "%s, by %s", c->agent, a->cmd->actor);
}

static void do_fence_delete(struct apply *a, const struct db_cmd_fence_delete *c)
{
	struct db_fence *f = db_find(a->db, DB_KIND_FENCE, c->name);
	char object[CL_NAME_MAX + 8];

	if (!f) {
		apply_answer(a, DB_NO_SUCH, "no fence device %s", c->name);
		return;
	}
	snprintf(object, sizeof(object), "fence.%.50s", c->name);
	apply_params_remove(a->db, object);
	db_remove(a->db, DB_KIND_FENCE, f);
	apply_event(a, "fence-deleted", c->name, "by %s", a->cmd->actor);
}

static void do_fence_note(struct apply *a, const struct db_cmd_fence_note *c)
{
	apply_event(a, c->kind, c->name, "%s", c->text);
}

static void do_node_fenced(struct apply *a, const struct db_cmd_node_fenced *c)
{
	struct db_node *n = apply_incarnation_find(a, c->name, c->incarnation);

	if (!n)
		return;
	if (n->membership != DB_MEMBERSHIP_LOST && n->membership != DB_MEMBERSHIP_FENCING) {
		apply_answer(a, DB_CONFLICT, "node %s is not lost", c->name);
		return;
	}
	n->membership = DB_MEMBERSHIP_FENCED;
	n->since_ms = a->cmd->at_ms;
	leave_fails(a, n->name, "the node was fenced before it had left");
	node_incarnation_gone(a, n->slot, n->incarnation);
	apply_event(a, "node-fenced", c->name, "%s", c->how);
}

static void do_node_pause(struct apply *a, const struct db_cmd_node_pause *c)
{
	struct db_node *n = db_find(a->db, DB_KIND_NODE, c->name);

	if (!n) {
		apply_answer(a, DB_NO_SUCH, "no node %s", c->name);
		return;
	}
	if (n->is_paused && !c->pause)
		place_node_returned(a, n->slot);
	n->is_paused = c->pause;
	n->is_draining = c->pause && c->drain;
	if (!n->is_draining)
		place_drain_ends(a->db, n->slot);
	vms_node_paused(a, n->slot);
	apply_event(a, c->pause ? (c->drain ? "node-drain" : "node-pause") : "node-resume", c->name,
		    "by %s", a->cmd->actor);
}

/* ---- groups */

void do_group_create(struct apply *a, const struct db_cmd_group_create *c)
{
	struct db_group *g;

	if (!c->name[0] || strlen(c->name) > GROUP_NAME_MAX) {
		apply_answer(a, DB_INVALID, "group name: 1 to %d characters", GROUP_NAME_MAX);
		return;
	}
	if (db_find(a->db, DB_KIND_GROUP, c->name)) {
		apply_answer(a, DB_CONFLICT, "group %s exists", c->name);
		return;
	}
	if (!volumes_exist(a, c->volumes) ||
	    !place_owners_fit(a, c->possible ? c->possible : UINT16_MAX, c->preferred) ||
	    !place_failback_fits(a, c->failback, c->failback_from, c->failback_to))
		return;
	g = db_insert(a->db, DB_KIND_GROUP, c->name);
	if (!g) {
		apply_answer(a, DB_REFUSED, "no room for another group");
		return;
	}
	g->node = g->wish = g->goal = CL_NODE_NONE;
	memcpy(g->preferred, c->preferred, sizeof(g->preferred));
	place_failback_set(a, g, c->failback, c->failback_from, c->failback_to);
	g->possible = c->possible ? c->possible : UINT16_MAX;
	g->priority = c->priority;
	COPY(g->volumes, c->volumes);
	g->failover_ms = AGE_FAILOVER_MS;
	g->retry_ms = AGE_RETRY_MS;
	g->since_ms = a->cmd->at_ms;
	apply_event(a, "group-created", c->name, "by %s", a->cmd->actor);
}

static struct db_group *group_find(struct apply *a, const char *name)
{
	struct db_group *g = db_find(a->db, DB_KIND_GROUP, name);

	if (!g)
		apply_answer(a, DB_NO_SUCH, "no group %s", name);
	return g;
}

void do_group_delete(struct apply *a, const struct db_cmd_group_delete *c)
{
	struct db_group *g = group_find(a, c->name);

	if (!g)
		return;
	if (vm_of_group(a->db, g)) {
		apply_answer(a, DB_REFUSED, "group %s is a virtual machine: see 'vm delete'",
			     c->name);
		return;
	}
	if (g->work != DB_WORK_OFFLINE) {
		apply_answer(a, DB_REFUSED, "group %s is not offline: stop it first", c->name);
		return;
	}
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_RESOURCE); i++) {
		const struct db_resource *r = db_at(a->db, DB_KIND_RESOURCE, i);

		if (!strcmp(r->group, c->name)) {
			apply_answer(a, DB_REFUSED, "group %s has resource %s: delete it first",
				     c->name, r->name);
			return;
		}
	}
	apply_task_end(a, g->task, DB_TASK_STATE_CANCELLED, "the group was deleted");
	db_remove(a->db, DB_KIND_GROUP, g);
	place_group_deleted(a, c->name);
	apply_event(a, "group-deleted", c->name, "by %s", a->cmd->actor);
}

static bool group_is_settled(const struct db_group *g, const struct db_cmd_group_intent *c)
{
	if (c->intent == DB_INTENT_OFFLINE)
		return g->work == DB_WORK_OFFLINE;
	return g->work == DB_WORK_ONLINE && (c->wish == CL_NODE_NONE || c->wish == g->node);
}

static bool incarnation_is_admitted(const struct db *db, const struct db_group *g)
{
	const struct db_node *n = db_node_by_slot(db, g->node);

	return n && n->incarnation == g->incarnation && n->membership == DB_MEMBERSHIP_ADMITTED;
}

/*
 * A stop failed and somebody has seen to it: it is stopped again, under an order of its own. Were
 * it online until the planner says so, its node would start it first.
 */
static void stop_again(struct apply *a, struct db_group *g)
{
	g->fence_wanted = false;
	if (vm_bars_stop(a->db, g)) {
		g->work = DB_WORK_ONLINE;
		return;
	}
	g->work = DB_WORK_STOPPING;
	g->order = a->entry->index;
	g->since_ms = a->cmd->at_ms;
	COPY(g->reason, "asked to try again to stop it");
}

static void do_group_intent(struct apply *a, const struct db_cmd_group_intent *c)
{
	struct db_group *g = group_find(a, c->name);
	const struct db_node *n = db_node_by_slot(a->db, c->wish);
	struct db_group fresh;
	char why[DB_REASON_MAX];
	bool is_settled;

	if (!g)
		return;
	fresh = *g;
	if (g->is_unmanaged || g->unmanaged) {
		apply_answer(a, DB_REFUSED,
			     "group %s is unmanaged%s, so neither started, stopped nor moved: see "
			     "'group manage' and 'resource manage'",
			     c->name, g->is_unmanaged ? "" : " in part");
		return;
	}
	fresh.refused = 0; /* that it failed there once is no reason against another try */
	if (c->wish != CL_NODE_NONE && plan_bar(a->db, &fresh, n)) {
		apply_answer(a, DB_REFUSED, "group %s cannot run on %s: %s", c->name,
			     n ? n->name : "that node", plan_bar(a->db, &fresh, n));
		return;
	}
	if (n && plan_affinity_bars(a->db, g, n->slot, why, sizeof(why))) {
		apply_answer(a, DB_REFUSED, "group %s cannot run on %s: %.120s", c->name, n->name,
			     why);
		return;
	}
	if (n && capacity_refuses(a, g, n->slot, DB_REFUSED))
		return;
	if (c->intent == DB_INTENT_ONLINE && !admission_start(a, g, c->wish))
		return;
	age_group_forget(g);
	is_settled = group_is_settled(g, c);
	vm_group_intent(a, g, c);
	if (g->work == DB_WORK_FAILED && incarnation_is_admitted(a->db, g))
		stop_again(a, g);
	g->fenced_ms = 0;
	apply_task_end(a, g->task, DB_TASK_STATE_CANCELLED, "replaced by a later command");
	g->intent = c->intent;
	g->wish = c->wish;
	g->goal = CL_NODE_NONE;
	g->refused = g->returned = 0; /* what is asked for goes before what is preferred */
	g->wave_ms = 0;
	g->task = apply_task_new(a, c->verb, c->name);
	if (g->work == DB_WORK_STOPPING)
		apply_task_phase(a, g->task, "stopping");
	apply_event(a, c->verb, c->name, "asked by %s", a->cmd->actor);
	if (is_settled) {
		apply_task_end(a, g->task, DB_TASK_STATE_DONE, "already so");
		g->task = 0;
	}
}

static void do_param_set(struct apply *a, const struct db_cmd_param_set *c)
{
	if (!apply_param_set(a->db, c->key, c->value))
		apply_answer(a, DB_REFUSED, "no room for another parameter");
}

/* Its locks, all of them or none. */
static bool group_take(struct apply *a, struct db_group *g, uint64_t incarnation)
{
	if (g->work != DB_WORK_OFFLINE)
		return false;
	g->lock = apply_lock_take(a->db, "grp:", g->name, LK_EX, incarnation);
	if (g->lock && !vm_group_take(a, g, incarnation)) {
		apply_lock_drop(a->db, g->lock);
		g->lock = 0;
	}
	return g->lock != 0;
}

static void do_group_order(struct apply *a, const struct db_cmd_group_order *c)
{
	struct db_group *g = group_find(a, c->name);
	const struct db_node *n = db_node_by_slot(a->db, c->node);
	char volume[CL_NAME_MAX];

	if (!g)
		return;
	if (c->work != DB_WORK_STARTING && c->work != DB_WORK_STOPPING) {
		apply_answer(a, DB_INVALID, "only a start or a stop can be ordered");
		return;
	}
	if (g->order != c->previous || !n || n->incarnation != c->incarnation ||
	    n->membership != DB_MEMBERSHIP_ADMITTED) {
		apply_answer(a, DB_CONFLICT, "the order is out of date");
		return;
	}
	if (c->work == DB_WORK_STOPPING &&
	    (g->node != c->node || g->incarnation != c->incarnation ||
	     (g->work != DB_WORK_ONLINE && g->work != DB_WORK_STARTING))) {
		apply_answer(a, DB_CONFLICT, "group %s does not run there", c->name);
		return;
	}
	if (c->work == DB_WORK_STOPPING && vm_bars_stop(a->db, g)) {
		apply_answer(a, DB_CONFLICT, "group %s is being migrated", c->name);
		return;
	}
	if (c->work == DB_WORK_STARTING &&
	    (job_holds_group(a->db, g) || volume_group_waits(a->db, g, volume) ||
	     !(volume_group_nodes(a->db, g) & cl_bit(c->node)))) {
		apply_answer(a, DB_CONFLICT, "a volume or a disk that group %s needs is not ready",
			     c->name);
		return;
	}
	if (c->work == DB_WORK_STARTING && capacity_refuses(a, g, c->node, DB_CONFLICT))
		return;
	if (c->work == DB_WORK_STARTING && !group_take(a, g, c->incarnation)) {
		apply_answer(a, DB_CONFLICT, "group %s is held elsewhere", c->name);
		return;
	}
	g->order = a->entry->index;
	g->work = c->work;
	g->node = c->node;
	g->incarnation = c->incarnation;
	g->since_ms = a->cmd->at_ms;
	g->gave_up_ms = 0;
	g->goal = c->work == DB_WORK_STOPPING && c->goal < CL_MAX_NODES ? c->goal : CL_NODE_NONE;
	if (c->work == DB_WORK_STARTING || g->goal != CL_NODE_NONE)
		decision_note(a, g, c->work == DB_WORK_STARTING ? "start" : "move",
			      c->work == DB_WORK_STARTING ? c->node : g->goal,
			      &(struct decision_why){c->rule, c->verdict, c->score, c->reason});
	COPY(g->reason, c->reason);
	if (c->work == DB_WORK_STOPPING)
		leave_group_stops(a, n, g);
	apply_task_phase(a, g->task, c->work == DB_WORK_STARTING ? "starting" : "stopping");
	apply_event(a, c->work == DB_WORK_STARTING ? "group-start" : "group-stop", c->name,
		    "on %s: %s", n->name, c->reason);
}

/* It runs. A wish for another node stands as long as that node can be had. */
static void group_is_online(struct apply *a, struct db_group *g, const char *reason)
{
	const struct db_node *wish = db_node_by_slot(a->db, g->wish);
	const char *bar = wish && g->wish != g->node ? plan_bar(a->db, g, wish) : NULL;
	char text[DB_REASON_MAX];

	g->work = DB_WORK_ONLINE;
	resources_set(a, g->name, DB_WORK_ONLINE);
	resources_note(a, g);
	if (bar) {
		snprintf(text, sizeof(text), "on %s instead of %s: %s",
			 db_node_name(a->db, g->node), wish->name, bar);
		apply_task_end(a, g->task, DB_TASK_STATE_FAILED, text);
	}
	g->refused = 0;
	g->returned = (uint16_t)(g->returned & ~cl_bit(g->node));
	g->wave_ms = 0;
	if (g->intent == DB_INTENT_OFFLINE || (wish && g->wish != g->node && !bar))
		return; /* what the task is about is still to come */
	apply_task_end(a, g->task, DB_TASK_STATE_DONE, reason);
	g->task = 0;
	g->wish = CL_NODE_NONE;
}

/* It ended, as asked, or because it could not run there; then perhaps once too often. */
static void group_is_over(struct apply *a, struct db_group *g, bool is_too_often,
			  const char *reason)
{
	enum db_task_state state = DB_TASK_STATE_DONE;

	group_release(a, g, reason);
	resources_set(a, g->name, DB_WORK_OFFLINE);
	if (g->intent == DB_INTENT_ONLINE && setting_get(a->db, SETTING_CLUSTER_STOPPING, NULL))
		place_group_down(a, g, "the cluster was stopped");
	if (g->intent == DB_INTENT_ONLINE) {
		if (is_too_often)
			age_group_give_up(a, g, reason);
		else if (!g->refused || plan_owners_now(a->db, g))
			return;
		state = DB_TASK_STATE_FAILED; /* there is no node left to try */
		g->wish = CL_NODE_NONE;
		g->gave_up_ms = a->cmd->at_ms;
	}
	apply_task_end(a, g->task, state, reason);
	g->task = 0;
}

/*
 * OFFLINE: all is stopped. FAILED while starting or online: stopped too, but it could not run
 * there. FAILED while stopping, and UNKNOWN: a stop failed, so something of it may run on.
 */
static void do_group_report(struct apply *a, const struct db_cmd_group_report *c)
{
	struct db_group *g = group_find(a, c->name);
	bool was_starting, is_too_often = false;

	if (!g)
		return;
	/* One that was given up is FAILED without its lock: it is over already. */
	if (g->order != c->order || !g->lock || g->work == DB_WORK_UNKNOWN) {
		apply_answer(a, DB_CONFLICT, "the report is about an order that is not in force");
		return;
	}
	if (c->work != DB_WORK_ONLINE && c->work != DB_WORK_OFFLINE && c->work != DB_WORK_FAILED &&
	    c->work != DB_WORK_UNKNOWN) {
		apply_answer(a, DB_INVALID,
			     "only online, offline, failed and unknown can be reported");
		return;
	}
	was_starting = g->work == DB_WORK_STARTING || g->work == DB_WORK_ONLINE;
	if (c->work == DB_WORK_ONLINE && !was_starting) {
		apply_answer(a, DB_CONFLICT, "group %s stops, or could not be stopped", c->name);
		return;
	}
	g->since_ms = a->cmd->at_ms;
	COPY(g->reason, c->reason);
	apply_event(a, "group-report", c->name, "%s on %s: %s",
		    c->work == DB_WORK_ONLINE	 ? "online"
		    : c->work == DB_WORK_OFFLINE ? "offline"
						 : "failed",
		    db_node_name(a->db, g->node), c->reason);
	if (c->work == DB_WORK_ONLINE) {
		group_is_online(a, g, c->reason);
		return;
	}
	if (c->work == DB_WORK_UNKNOWN || (c->work == DB_WORK_FAILED && !was_starting)) {
		g->work = DB_WORK_FAILED; /* a stop that failed: the lock stays where it is */
		apply_task_end(a, g->task, DB_TASK_STATE_FAILED, c->reason);
		g->task = 0;
		return;
	}
	if (c->work == DB_WORK_FAILED) {
		g->failures++;
		g->refused = (uint16_t)(g->refused | cl_bit(g->node));
		g->returned = (uint16_t)(g->returned & ~cl_bit(g->node));
		g->wave_ms = 0;
		is_too_often = age_group_failed(a, g);
	}
	group_is_over(a, g, is_too_often, c->reason);
}

static void do_task_cancel(struct apply *a, const struct db_cmd_task_cancel *c)
{
	struct db_task *t = db_find_id(a->db, DB_KIND_TASK, c->id);
	struct db_group *g;
	struct db_volume *v;

	if (!t) {
		apply_answer(a, DB_NO_SUCH, "no task %" PRIu64, c->id);
		return;
	}
	if (t->state != DB_TASK_STATE_RUNNING) {
		apply_answer(a, DB_CONFLICT, "task %" PRIu64 " has ended", c->id);
		return;
	}
	if (migration_task_cancel(a, c->id) || leave_task_cancel(a, t) || job_task_cancel(a, c->id))
		return;
	g = db_find(a->db, DB_KIND_GROUP, t->object);
	if (g && g->task == c->id) {
		/*
		 * What is under way ends where it is; the wish behind it is withdrawn. Who takes a
		 * move back does not want the group to stay down because it was between two nodes.
		 */
		g->wish = g->goal = CL_NODE_NONE;
		if ((g->work == DB_WORK_OFFLINE && strcmp(t->verb, "group-move") != 0) ||
		    g->work == DB_WORK_FAILED)
			g->intent = DB_INTENT_OFFLINE;
		else if (g->work == DB_WORK_ONLINE)
			g->intent = DB_INTENT_ONLINE;
		g->task = 0;
	}
	v = db_find(a->db, DB_KIND_VOLUME, t->object);
	if (v && v->task == c->id)
		volume_task_cancelled(v);
	apply_task_end(a, c->id, DB_TASK_STATE_CANCELLED, "cancelled");
	apply_event(a, "task-cancelled", t->object, "%s, by %s", t->verb, a->cmd->actor);
}

void apply_command(struct apply *a)
{
	switch (a->cmd->type) {
#define DO(number, name, NAME)                                                                     \
	case DB_CMD_##NAME:                                                                        \
		do_##name(a, &a->cmd->name);                                                       \
		break;
		DB_COMMANDS(DO)
#undef DO
	case DB_CMD_MAX:
		break;
	}
	leave_progress(a);
}

/* A request that comes again under its number was applied: say so, change nothing. */
static bool is_repeat(struct db *db, const struct db_entry *e)
{
	struct db_origin *o = db_find_id(db, DB_KIND_ORIGIN, e->origin);

	if (!o)
		o = db_insert_id(db, DB_KIND_ORIGIN, e->origin);
	must(o);
	if (o->instance == e->instance && e->request <= o->request)
		return !DB_MUTANT(db, REPEATS);
	o->instance = e->instance;
	o->request = e->request;
	return false;
}

void db_apply(struct db *db, const struct db_entry *e, struct db_result *ret)
{
	struct db_command cmd;
	struct apply a = {.db = db, .entry = e, .cmd = &cmd, .result = ret};

	must(e->index == db->index + 1);
	*ret = (struct db_result){.code = DB_OK};
	epoch_note(db, &e->epoch, e->index);
	db->index = e->index;
	db->epoch = e->epoch;
	upgrade_entry(db, e);
	if (e->kind == CL_ENTRY_FORCED)
		quorum_forced(db, e);
	if (e->kind != CL_ENTRY_COMMAND)
		return;
	if (is_repeat(db, e)) {
		ret->is_repeat = true;
		return;
	}
	if (db_change_is(e->payload, e->payload_len)) {
		apply_change(&a);
		return;
	}
	if (db_command_decode(e->payload, e->payload_len, &cmd) || cmd.version > db->version) {
		ret->code = DB_INVALID;
		apply_copy(ret->text, sizeof(ret->text),
			   "not a command that the version in force knows");
		return;
	}
	if (DB_MUTANT(db, LOCAL_CLOCK))
		cmd.at_ms = db->mutant_ms;
	apply_command(&a);
}
