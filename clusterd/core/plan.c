/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/decision.h"
#include "clusterd/core/job.h"
#include "clusterd/core/placement.h"
#include "clusterd/core/plan_impl.h"
#include "clusterd/core/stuck.h"
#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"
#include "lib/must.h"

enum db_verdict plan_verdict(const struct db *db, const struct db_group *group,
			     const struct db_node *n)
{
	if (!n || n->membership != DB_MEMBERSHIP_ADMITTED)
		return DB_VERDICT_NOT_UP;
	if (n->is_leaving)
		return DB_VERDICT_STOPPING;
	if (n->is_quarantined && !DB_MUTANT(db, PLAN_QUARANTINED))
		return DB_VERDICT_QUARANTINED;
	if (n->is_paused && !DB_MUTANT(db, PLAN_PAUSED))
		return DB_VERDICT_PAUSED;
	if (!(group->possible & cl_bit(n->slot)))
		return DB_VERDICT_NOT_POSSIBLE;
	if ((group->refused & cl_bit(n->slot)) && !DB_MUTANT(db, PLAN_REFUSED))
		return DB_VERDICT_FAILED;
	return DB_VERDICT_CHOSEN;
}

const char *plan_bar(const struct db *db, const struct db_group *group, const struct db_node *n)
{
	enum db_verdict verdict = plan_verdict(db, group, n);

	return verdict == DB_VERDICT_CHOSEN ? NULL : decision_verdict_text(verdict);
}

uint16_t plan_owners(const struct db *db, const struct db_group *group)
{
	uint16_t set = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (!plan_bar(db, group, n))
			set = (uint16_t)(set | cl_bit(n->slot));
	}
	return set;
}

uint16_t plan_owners_now(const struct db *db, const struct db_group *group)
{
	return plan_affinity(db, NULL, NULL, group, plan_owners(db, group));
}

static uint16_t candidates_then(const struct db *db, const struct plan_orders *out,
				const struct db_group *group)
{
	char volume[CL_NAME_MAX];

	if (volume_group_waits(db, group, volume) || plan_job_holds(db, out, group))
		return 0;
	return (uint16_t)(plan_owners(db, group) & volume_group_nodes(db, group));
}

uint16_t plan_candidates(const struct db *db, const struct db_group *group)
{
	return candidates_then(db, NULL, group);
}

bool plan_is_moving(const struct db *db, const struct plan_orders *out, const struct db_group *g)
{
	const char *list = g->volumes;
	char name[CL_NAME_MAX];

	for (size_t i = 0; i < out->volume_count; i++) {
		if (volume_is_named(g->volumes, out->volume[i].name))
			return true;
	}
	while (volume_name_next(&list, name)) {
		const struct db_volume *v = db_find(db, DB_KIND_VOLUME, name);

		if (v && (v->work == DB_WORK_STARTING || v->work == DB_WORK_STOPPING))
			return true;
	}
	return false;
}

bool plan_is_unmanaged(const struct db_group *g)
{
	return g->is_unmanaged || g->unmanaged;
}

static uint16_t candidates_now(const struct db *db, const struct plan_orders *out,
			       const struct db_group *g)
{
	return plan_is_moving(db, out, g) ? 0 : candidates_then(db, out, g);
}

static void order(const struct db *db, struct plan_orders *out, const struct db_group *g,
		  enum db_work work, uint8_t node, const char *reason)
{
	const struct db_node *n = db_node_by_slot(db, node);
	struct db_cmd_group_order *o = &out->item[out->count++];

	must(n);
	*o = (struct db_cmd_group_order){.work = (uint8_t)work,
					 .node = node,
					 .incarnation = n->incarnation,
					 .previous = g->order,
					 .goal = CL_NODE_NONE};
	memcpy(o->name, g->name, sizeof(o->name));
	snprintf(o->reason, sizeof(o->reason), "%s", reason);
}

static void justify(struct db_cmd_group_order *o, const struct plan_choice *c)
{
	o->rule = (uint8_t)c->rule;
	memcpy(o->verdict, c->verdict, sizeof(o->verdict));
	memcpy(o->score, c->score, sizeof(o->score));
}

static void plan_start(const struct db *db, struct plan_orders *out, const struct db_group *g,
		       struct plan_load *l)
{
	uint8_t wish = DB_MUTANT(db, PLAN_FORGETS_WISH) ? CL_NODE_NONE : g->wish;
	uint16_t low = DB_MUTANT(db, PLAN_COUNTS_SLOTS) ? 0xff : UINT16_MAX;
	uint16_t set = candidates_now(db, out, g);
	struct plan_choice c;
	char reason[DB_REASON_MAX];
	bool had_turn;

	if (l->is_again && plan_is_on_its_way(g)) /* its place was kept for it */
		capacity_remove(&l->room, g->goal, g);
	if (!set || plan_waits_for_wave(db, l, g)) {
		if (plan_is_on_its_way(g))
			capacity_add(&l->room, g->goal, g);
		return;
	}
	had_turn = plan_load_take_back(db, l, g);
	c = plan_place(db, out, l, g, set & low ? set & low : set, wish);
	if (c.node == CL_NODE_NONE) {
		l->has_freed |= had_turn && !c.is_busy;
		plan_load_give_back(db, l, g, c.is_busy);
		return;
	}
	plan_place_reason(l, g, &c, reason, sizeof(reason));
	order(db, out, g, DB_WORK_STARTING, c.node, reason);
	justify(&out->item[out->count - 1], &c);
	plan_load_add(l, g, c.node);
}

/* Why an online group has to leave its node, and to which; NULL if it may stay, or has to wait. */
static const char *why_move(const struct db *db, const struct plan_orders *out,
			    const struct db_group *g, const struct plan_load *l,
			    struct plan_choice *ret_goal)
{
	const struct db_node *n = db_node_by_slot(db, g->node);
	bool is_wished_away = g->wish < CL_MAX_NODES && g->wish != g->node;
	bool is_drained = n && n->is_draining;
	bool has_to = n && db_node_departs(n);
	bool follows;
	uint16_t others, allowed;
	uint8_t back;

	if (!is_wished_away && !is_drained && !has_to && !plan_may_fail_back(db, g) &&
	    !DB_MUTANT(db, PLAN_BALANCES))
		return NULL;
	others = (uint16_t)(candidates_now(db, out, g) & ~cl_bit(g->node));
	allowed = plan_allowed(db, out, l, g, others);
	is_wished_away = is_wished_away && (allowed & cl_bit(g->wish)) &&
			 !plan_would_part(db, out, g, g->wish);
	back = plan_failback(db, g, allowed);
	/* Without a wish where it will be started: who is back may not be the first of its owners.
	 */
	*ret_goal = plan_place(db, out, l, g, others, is_wished_away ? g->wish : CL_NODE_NONE);
	/* What it is kept together with waits for it there: its own turn comes after that. */
	follows = ret_goal->is_busy && plan_follows(db, out, g);
	if (has_to && (!ret_goal->is_busy || follows))
		return n->is_leaving ? "its node stops" : "its node is quarantined";
	if (is_drained && follows)
		return "its node is drained";
	if (ret_goal->node == CL_NODE_NONE)
		return is_drained && !others && DB_MUTANT(db, PLAN_DRAINS_TO_NOWHERE)
			       ? "its node is drained"
			       : NULL;
	if (is_wished_away && ret_goal->node == g->wish)
		return "asked to move";
	if (is_drained)
		return "its node is drained";
	if (back != CL_NODE_NONE &&
	    placement_rank(g->preferred, ret_goal->node) <= placement_rank(g->preferred, back))
		return "its preferred owner is back";
	return DB_MUTANT(db, PLAN_BALANCES) ? "another has less to do" : NULL;
}

/* Why an online group has to be stopped now; NULL if not. */
static const char *why_stop(const struct db *db, const struct plan_orders *out,
			    const struct db_group *g, const struct plan_load *l,
			    struct plan_choice *ret_goal)
{
	const struct db_vm *v = vm_of_group(db, g);

	*ret_goal = (struct plan_choice){.node = CL_NODE_NONE};
	if (v)
		return plan_vm_why_stop(db, out, l, g, v);
	if (g->intent == DB_INTENT_OFFLINE)
		return "asked to be offline";
	if (volume_suspended(db, g))
		return "a volume that it needs is being suspended";
	return why_move(db, out, g, l, ret_goal);
}

bool plan_node_is_admitted(const struct db *db, uint8_t slot, uint64_t incarnation)
{
	const struct db_node *n = db_node_by_slot(db, slot);

	return n && n->membership == DB_MEMBERSHIP_ADMITTED && n->incarnation == incarnation;
}

static void plan_group(const struct db *db, struct plan_orders *out, const struct db_group *g,
		       struct plan_load *l)
{
	const char *why;
	struct plan_choice goal;

	if (plan_is_unmanaged(g) || (l->is_again && plan_is_ordered(out, g)))
		return;
	if (g->work == DB_WORK_OFFLINE && g->intent == DB_INTENT_ONLINE)
		plan_start(db, out, g, l);
	if ((g->work != DB_WORK_ONLINE &&
	     !(g->work == DB_WORK_STOPPING && DB_MUTANT(db, PLAN_FORGETS_ITS_ORDERS))) ||
	    !plan_node_is_admitted(db, g->node, g->incarnation))
		return;
	why = why_stop(db, out, g, l, &goal);
	if (!why)
		return;
	order(db, out, g, DB_WORK_STOPPING, g->node, why);
	if (goal.node == CL_NODE_NONE)
		return;
	out->item[out->count - 1].goal = goal.node;
	justify(&out->item[out->count - 1], &goal);
	plan_load_add(l, g, goal.node);
}

/* ---- in which order */

/* It is to be started, and reserves something. */
static bool takes_room(const struct plan_load *l, const struct db_group *g)
{
	struct capacity ask = capacity_of_group(&l->room, g);

	return g->work == DB_WORK_OFFLINE && g->intent == DB_INTENT_ONLINE &&
	       (ask.memory_mib || ask.cpu_pct);
}

/* Below 0: a goes before b. What was stopped to be started elsewhere first, then the larger. */
static int compare(const struct db *db, const struct plan_load *l, uint16_t a, uint16_t b)
{
	const struct db_group *x = db_at(db, DB_KIND_GROUP, a), *y = db_at(db, DB_KIND_GROUP, b);
	int c = plan_is_on_its_way(y) - plan_is_on_its_way(x);

	c = c ? c
	      : capacity_compare(capacity_of_group(&l->room, x), capacity_of_group(&l->room, y));
	return c ? c : (a > b) - (a < b);
}

/* No two are equal: every order of steps ends in the same list. */
static void sort(const struct db *db, const struct plan_load *l, uint16_t *rows, uint32_t count)
{
	for (uint32_t gap = count / 2; gap; gap /= 2) {
		for (uint32_t i = gap; i < count; i++) {
			uint16_t row = rows[i];
			uint32_t k = i;

			for (; k >= gap && compare(db, l, row, rows[k - gap]) < 0; k -= gap)
				rows[k] = rows[k - gap];
			rows[k] = row;
		}
	}
}

/* Of one priority: what needs room and is to be started, the larger first, so that more fits. */
static void plan_large(const struct db *db, struct plan_orders *out, struct plan_load *l, int level)
{
	uint16_t rows[PLAN_GROUPS_MAX];
	uint32_t count = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->priority == level && takes_room(l, g) && !DB_MUTANT(db, PLAN_BY_NAME)) {
			must(count < PLAN_GROUPS_MAX);
			rows[count++] = (uint16_t)i;
		}
	}
	sort(db, l, rows, count);
	for (uint32_t i = 0; i < count && out->count < PLAN_MAX_ORDERS; i++)
		plan_group(db, out, db_at(db, DB_KIND_GROUP, rows[i]), l);
}

/* Higher priority first: it starts first, and has the choice of nodes. */
static void plan_groups(const struct db *db, struct plan_orders *out, struct plan_load *l)
{
	for (int level = UINT8_MAX, next; level >= 0; level = next) {
		next = -1;
		plan_large(db, out, l, level);
		for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
			const struct db_group *g = db_at(db, DB_KIND_GROUP, i);
			bool is_by_name = DB_MUTANT(db, PLAN_BY_NAME);

			if (out->count == PLAN_MAX_ORDERS)
				return;
			if (is_by_name || (g->priority == level && !takes_room(l, g)))
				plan_group(db, out, g, l);
			else if (g->priority < level && g->priority > next)
				next = g->priority;
		}
	}
}

/*
 * What has just got a node may be what others were to wait for, or what they are to be kept with,
 * or may have left the turn of another node to them: until nothing more comes of it.
 */
static void plan_waves(const struct db *db, struct plan_orders *out, struct plan_load *l)
{
	size_t before;

	plan_count_wave(db, out, l); /* a migration that cannot begin has given its room back */
	do {
		before = out->count;
		l->has_freed = false;
		plan_groups(db, out, l);
		plan_count_wave(db, out, l);
		l->is_again = true;
	} while ((out->count > before || l->has_freed) && out->count < PLAN_MAX_ORDERS);
}

static void plan_fence(const struct db *db, struct plan_orders *ret)
{
	const struct db_node *n = stuck_next(db);

	ret->has_fence = n != NULL;
	ret->fence = (struct db_cmd_node_fencing){.by_admin = false};
	if (!n)
		return;
	memcpy(ret->fence.name, n->name, sizeof(n->name));
	ret->fence.incarnation = n->incarnation;
}

uint16_t plan_fenced(const struct db *db, const struct plan_orders *out)
{
	const struct db_node *n =
		out->has_fence ? db_find(db, DB_KIND_NODE, out->fence.name) : NULL;

	return n ? cl_bit(n->slot) : 0;
}

void plan_run(const struct db *db, struct plan_orders *ret)
{
	struct plan_load l;

	plan_fence(db, ret);
	plan_volumes(db, ret);
	plan_jobs(db, ret);
	ret->count = 0;
	plan_count_load(db, &l);
	l.avoided = plan_fenced(db, ret);
	plan_vms(db, ret, &l);
	plan_waves(db, ret, &l);
}

/* An offline group that shall be online, and cannot be started anywhere. */
static void explain_waiting(const struct db *db, const struct db_group *g, char *text, size_t size)
{
	char volume[CL_NAME_MAX], why[DB_REASON_MAX];
	struct db_group without = *g;
	char period[AGE_TEXT_MAX];
	struct plan_load l;

	if (job_holds_group(db, g)) {
		const struct db_job *j = job_holds_group(db, g);

		snprintf(text, size, "waits for work on its disks (%s, task %" PRIu64 ")",
			 job_word(j), j->task);
		return;
	}
	if (volume_group_waits(db, g, volume)) {
		plan_explain_volume(db, db_find(db, DB_KIND_VOLUME, volume), why, sizeof(why));
		snprintf(text, size, "waits for volume %s: %s", volume, why);
		return;
	}
	without.volumes[0] = 0;
	if (plan_candidates(db, &without)) {
		snprintf(text, size, "waits until volumes %s are mounted on a node that can run it",
			 g->volumes);
		return;
	}
	age_text(g->retry_ms, period);
	if (!g->refused)
		snprintf(text, size,
			 "cannot start: no node is up, not paused and a possible owner");
	else
		snprintf(text, size,
			 "cannot start: it failed on every node that could run it; repair, then "
			 "'group start' again%s%s",
			 age_waits(g) ? ", else tried after " : "", age_waits(g) ? period : "");
	plan_look(db, g, &l);
	plan_explain_bars(db, &l, g, text, size);
}

/* It is online, and is not where it shall be. False: there is nothing to say of that. */
static bool explain_staying(const struct db *db, const struct db_group *g, char *text, size_t size)
{
	const struct db_node *n = db_node_by_slot(db, g->node);
	const struct db_node *wish = db_node_by_slot(db, g->wish);
	const char *bar = wish ? plan_bar(db, g, wish) : NULL;
	char why[DB_REASON_MAX], room[CAPACITY_TEXT];
	struct plan_load l;
	uint16_t others;

	if (g->work != DB_WORK_ONLINE || g->intent != DB_INTENT_ONLINE || !n)
		return false;
	if (!n->is_draining && (!wish || wish == n))
		return false;
	plan_look(db, g, &l);
	others = plan_allowed(db, NULL, &l, g,
			      (uint16_t)(plan_candidates(db, g) & ~cl_bit(g->node)));
	if (wish && !bar && plan_affinity_bars(db, g, wish->slot, why, sizeof(why)))
		bar = why;
	if (wish && wish != n && !bar &&
	    capacity_lacks(db, &l.room, capacity_of_group(&l.room, g), wish->slot, room))
		bar = room;
	if (wish && wish != n && (bar || !(others & cl_bit(g->wish)))) {
		snprintf(text, size, "stays on %s; asked to move to %s: %s", n->name, wish->name,
			 bar ? bar : "waits until the volumes that it needs are ready there");
		return true;
	}
	if (!n->is_draining || others)
		return false;
	snprintf(text, size, "stays on %s, which is drained: no other node can run it now",
		 n->name);
	plan_explain_bars(db, &l, g, text, size);
	return true;
}

/* Which of it an administrator has taken, and what that means now. */
static void explain_unmanaged(const struct db *db, const struct db_group *g, char *text,
			      size_t size)
{
	const struct db_node *n = db_node_by_slot(db, g->node);
	char what[64] = "it is unmanaged", next[128];

	if (!g->is_unmanaged)
		snprintf(what, sizeof(what), "%u of its resources %s unmanaged", g->unmanaged,
			 g->unmanaged > 1 ? "are" : "is");
	snprintf(next, sizeof(next), "before '%s manage' it is neither started, stopped nor moved",
		 g->is_unmanaged ? "group" : "resource");
	if (n && (n->is_draining || n->is_leaving))
		snprintf(text, size, "stays on %s, which %s: %s, and %s", n->name,
			 n->is_leaving ? "stops" : "is drained", what, next);
	else
		snprintf(text, size, "%s: %s: %s", what, next,
			 g->reason[0] ? g->reason : "as it was");
}

static void explain_given_up(const struct db_group *g, char *text, size_t size)
{
	char period[AGE_TEXT_MAX];

	age_text(g->retry_ms, period);
	snprintf(text, size, "repair, then 'group start'%s%s: %s",
		 age_waits(g) ? ", else tried after " : "", age_waits(g) ? period : "", g->reason);
}

void plan_explain(const struct db *db, const struct db_group *g, char *text, size_t size)
{
	if (plan_is_unmanaged(g) && (g->work == DB_WORK_ONLINE || g->work == DB_WORK_OFFLINE)) {
		explain_unmanaged(db, g, text, size);
		return;
	}
	if (g->work == DB_WORK_OFFLINE && g->intent == DB_INTENT_ONLINE &&
	    !plan_candidates(db, g)) {
		explain_waiting(db, g, text, size);
		return;
	}
	if (g->work == DB_WORK_UNKNOWN) {
		snprintf(text, size,
			 "blocked: waiting to fence %s; nothing of it is started "
			 "elsewhere before",
			 db_node_name(db, g->node));
		return;
	}
	if (g->work == DB_WORK_FAILED && !g->lock) {
		explain_given_up(g, text, size);
		return;
	}
	if (g->work == DB_WORK_FAILED) {
		char next[DB_REASON_MAX];

		stuck_explain(db, g->node, g->fence_wanted, g->on_stop_failure, next, sizeof(next));
		snprintf(text, size, "failed on %s: %s%s%s", db_node_name(db, g->node), next,
			 next[0] ? ": " : "", g->reason);
		return;
	}
	if (!plan_explain_vm(db, g, text, size) && !explain_staying(db, g, text, size) &&
	    !plan_explain_place(db, g, text, size))
		snprintf(text, size, "%s", g->reason[0] ? g->reason : "as asked");
}
