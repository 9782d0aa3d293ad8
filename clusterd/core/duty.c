/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/duty.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/fence_window.h"
#include "clusterd/core/upgrade.h"
#include "lib/uuid.h"

/* Holds all that is committed: it may be admitted. */
static bool is_caught_up(const struct duty_facts *f, uint8_t slot)
{
	return f->repl->persisted[slot] >= f->repl->commit;
}

/* ---- who came */

static bool wants_admission(const struct duty_facts *f, const struct repl_peer *p)
{
	const struct db_node *n = db_node_by_slot(f->db, p->slot);

	/* It has been evicted since the view began, and is on its way out. */
	if (f->repl->vtable.member[p->slot].nodeid != p->nodeid)
		return false;
	if (n && n->incarnation == p->state.incarnation &&
	    (n->membership == DB_MEMBERSHIP_FENCED || n->membership == DB_MEMBERSHIP_FENCING) &&
	    !DB_MUTANT(f->db, ADMITS_FENCED))
		return false;
	/* A process that said that it leaves is on its way out; a new one of that boot may come. */
	if (n && n->incarnation == p->state.incarnation && n->instance == p->state.instance &&
	    (n->membership == DB_MEMBERSHIP_ADMITTED || n->membership == DB_MEMBERSHIP_LEFT))
		return false;
	return is_caught_up(f, p->slot);
}

static void admit(const struct duty_facts *f, const struct repl_peer *p, struct duty_actions *ret)
{
	struct db_cmd_node_admit *c = &ret->admit[ret->admit_count++];

	*c = (struct db_cmd_node_admit){.slot = p->slot,
					.nodeid = p->nodeid,
					.incarnation = p->state.incarnation,
					.instance = p->state.instance,
					.version_min = p->state.version_min,
					.version_max = p->state.version_max};
	memcpy(c->name, f->repl->vtable.member[p->slot].name, sizeof(c->name));
	uuid_text(p->state.boot.byte, c->boot);
	memcpy(c->version, p->state.build.text, sizeof(c->version));
}

/* ---- who went */

static bool is_in_ring(const struct duty_facts *f, uint32_t nodeid)
{
	for (size_t i = 0; i < f->ring_count; i++) {
		if (f->ring[i] == nodeid)
			return true;
	}
	return false;
}

/* What another epoch saw says nothing: the node may have come and gone since. */
static void take_epoch(struct duty_state *s, const struct duty_facts *f)
{
	if (s->epoch != f->repl->epoch.number && !DUTY_MUTANT(s, STALE_GRACE))
		memset(s->absent_ms, 0, sizeof(s->absent_ms));
	s->epoch = f->repl->epoch.number;
}

/*
 * A machine that left the ring is lost at once. One that is in it has lost its clusterd only, which
 * may be back before the lease ends (an upgrade, a restart): it gets that long.
 */
static bool is_lost(struct duty_state *s, const struct duty_facts *f, const struct db_node *n)
{
	if (f->repl->present & cl_bit(n->slot)) {
		s->absent_ms[n->slot] = 0;
		return false;
	}
	if (!s->absent_ms[n->slot])
		s->absent_ms[n->slot] = f->now_ms;
	return !is_in_ring(f, n->nodeid) || DUTY_MUTANT(s, NO_GRACE) ||
	       f->now_ms - s->absent_ms[n->slot] >= f->repl->config.lease_ms;
}

static void declare_lost(struct duty_state *s, const struct duty_facts *f, struct duty_actions *ret)
{
	for (uint32_t i = 0; i < db_count(f->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(f->db, DB_KIND_NODE, i);
		struct db_cmd_node_lost *c;

		if (n->membership != DB_MEMBERSHIP_ADMITTED || !is_lost(s, f, n))
			continue;
		c = &ret->lost[ret->lost_count++];
		*c = (struct db_cmd_node_lost){.incarnation = n->incarnation};
		memcpy(c->name, n->name, sizeof(c->name));
	}
}

/* ---- votes */

void duty_see(struct duty_state *s, const struct repl_state *repl, uint64_t now_ms)
{
	if (repl->phase != REPL_OPEN)
		return;
	votes_watch(s->missed.node_ms, quorum_members(&repl->vtable), repl->present, now_ms);
	votes_watch_witness(&s->missed.witness_ms, repl, now_ms);
}

static void change_vote(const struct duty_state *s, const struct duty_facts *f,
			struct duty_actions *ret)
{
	struct votes_input in;

	if (f->repl->change_pending)
		return;
	if (upgrade_row(f->db, &f->repl->vtable, &ret->row)) {
		ret->has_row = true;
		ret->slot = CL_VERSION_SLOT;
		return;
	}
	votes_facts(&in, f->repl, f->db, &s->missed, f->now_ms);
	if (votes_witness_row(&in.table, f->db, &ret->row)) {
		ret->has_row = true;
		ret->slot = CL_WITNESS_SLOT;
		return;
	}
	if (!votes_next(&in, &ret->vote))
		return;
	ret->has_row = ret->is_vote = true;
	ret->slot = ret->vote.slot;
	ret->row = *cl_table_row(&in.table, ret->slot);
	ret->row.vote = ret->vote.is_given;
}

/* ---- nodes that are added and evicted */

bool duty_needs_local(const struct duty_facts *f)
{
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_node *n = db_node_by_slot(f->db, slot);

		if (f->repl->vtable.member[slot].nodeid && (!n || !n->address0[0]))
			return true;
	}
	return false;
}

/* True if something has to be carried out before anything else is decided. */
static bool members(const struct duty_facts *f, struct duty_actions *ret)
{
	member_next(f->db, &f->repl->vtable, f->local, &ret->step);
	if (ret->step.kind == MEMBER_TABLE) {
		ret->has_row = true;
		ret->slot = ret->step.slot;
		ret->row = ret->step.row;
	}
	return ret->step.kind != MEMBER_NOTHING && ret->step.kind != MEMBER_RELOAD;
}

/* ---- the plan */

static void plan(const struct duty_facts *f, struct duty_actions *ret)
{
	const struct db_node *n;

	ret->has_clock = age_is_due(f->db, f->wall_ms);
	ret->clock.now_ms = f->wall_ms;
	if (ret->has_clock) /* what is to be ordered may be another then */
		return;
	plan_run(f->db, &ret->orders);
	if (!ret->orders.has_fence)
		return;
	/* Nobody could fence it without quorum, nor would anything start elsewhere. */
	n = db_find(f->db, DB_KIND_NODE, ret->orders.fence.name);
	ret->has_fence =
		n && !fence_window_wait_ms(f->db, f->wall_ms) &&
		(quorum_may_lose(&f->repl->vtable, repl_countable(f->repl)) & cl_bit(n->slot));
}

/* ---- fences */

bool duty_is_rebooted(const struct repl_state *repl, uint8_t slot, uint64_t incarnation,
		      uint64_t *ret_boot)
{
	for (uint8_t i = 0; i < repl->peer_count; i++) {
		const struct repl_peer *p = &repl->peer[i];

		if (p->slot != slot || p->state.incarnation == incarnation)
			continue;
		*ret_boot = p->state.incarnation;
		return true;
	}
	return false;
}

enum duty_fence duty_fence(const struct repl_state *repl, const struct db *db,
			   const struct db_node *node, uint64_t wall_ms, uint64_t *ret_boot)
{
	if (node->membership != DB_MEMBERSHIP_LOST && node->membership != DB_MEMBERSHIP_FENCING)
		return DUTY_FENCE_NONE;
	if (duty_is_rebooted(repl, node->slot, node->incarnation, ret_boot))
		return DUTY_FENCE_OVER;
	if (node->membership == DB_MEMBERSHIP_FENCING)
		return DUTY_FENCE_RUN;
	return fence_window_wait_ms(db, wall_ms) ? DUTY_FENCE_WAIT : DUTY_FENCE_SAY;
}

/* ---- all of them */

static void actions_clear(struct duty_actions *a)
{
	a->admit_count = a->lost_count = 0;
	a->has_row = a->is_vote = a->has_fence = a->has_clock = false;
	a->step.kind = MEMBER_NOTHING;
	a->orders.count = a->orders.volume_count = 0;
	a->orders.begin_count = a->orders.migration_count = a->orders.job_count = 0;
}

void duty_decide(struct duty_state *s, const struct duty_facts *f, struct duty_actions *ret)
{
	actions_clear(ret);
	if (!repl_is_sequencer(f->repl) || !repl_may_act(f->repl, f->now_ms) ||
	    (f->under_way && !DUTY_MUTANT(s, IMPATIENT)))
		return;
	take_epoch(s, f);
	for (uint8_t i = 0; i < f->repl->peer_count; i++) {
		const struct repl_peer *p = &f->repl->peer[i];

		if (p->slot != CL_NODE_NONE && wants_admission(f, p))
			admit(f, p, ret);
	}
	declare_lost(s, f, ret);
	if (ret->admit_count || ret->lost_count)
		return;
	change_vote(s, f, ret);
	if (!ret->has_row && !members(f, ret) && db_count(f->db, DB_KIND_CLUSTER))
		plan(f, ret);
}

/* True if the i-th of a list that follows `*at` others; else they are behind us. */
static bool is_among(size_t i, size_t *at, size_t count)
{
	if (i - *at < count)
		return true;
	*at += count;
	return false;
}

bool duty_command(const struct duty_actions *a, size_t i, struct db_command *ret)
{
	size_t at = 0;

	memset(ret, 0, sizeof(*ret));
	if (is_among(i, &at, a->admit_count)) {
		ret->type = DB_CMD_NODE_ADMIT;
		ret->node_admit = a->admit[i - at];
	} else if (is_among(i, &at, a->lost_count)) {
		ret->type = DB_CMD_NODE_LOST;
		ret->node_lost = a->lost[i - at];
	} else if (is_among(i, &at, a->step.kind == MEMBER_ADDRESS)) {
		ret->type = DB_CMD_NODE_ADDRESS;
		ret->node_address = a->step.address;
	} else if (is_among(i, &at, a->step.kind == MEMBER_REMOVED)) {
		ret->type = DB_CMD_NODE_REMOVED;
		ret->node_removed = a->step.removed;
	} else if (is_among(i, &at, a->has_clock)) {
		ret->type = DB_CMD_CLOCK;
		ret->clock = a->clock;
	} else {
		/* The fence is the last of them, and may not be. */
		return plan_command(&a->orders, i - at, ret) &&
		       (ret->type != DB_CMD_NODE_FENCING || a->has_fence);
	}
	return true;
}

const char *duty_mutant_name(enum duty_mutant mutant)
{
	static const char *const name[DUTY_MUTANT_MAX] = {
		[DUTY_MUTANT_NONE] = "none",
		[DUTY_MUTANT_NO_GRACE] = "lost-without-grace",
		[DUTY_MUTANT_STALE_GRACE] = "grace-of-an-earlier-epoch",
		[DUTY_MUTANT_IMPATIENT] = "decides-from-what-is-not-applied",
	};

	return mutant < DUTY_MUTANT_MAX ? name[mutant] : "?";
}
