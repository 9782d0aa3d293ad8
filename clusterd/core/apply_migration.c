/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live migrations. Until the transfer the source has both locks, and a migration may end in any way
 * without the guest noticing more than a pause; after it the destination has them, and there is no
 * way back. `is_cancelled` stays: a source that has seen it may run again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/capacity.h"
#include "clusterd/core/network.h"
#include "clusterd/core/plan.h"
#include "clusterd/core/vm.h"
#include "lib/must.h"

static struct db_migration *migration_find(struct apply *a, uint64_t id)
{
	struct db_migration *m = db_find_id(a->db, DB_KIND_MIGRATION, id);

	if (!m)
		apply_answer(a, DB_NO_SUCH, "no migration %" PRIu64, id);
	else if (m->phase == DB_MIGRATION_PHASE_ENDED)
		apply_answer(a, DB_CONFLICT, "migration %" PRIu64 " has ended", id);
	return m && m->phase != DB_MIGRATION_PHASE_ENDED ? m : NULL;
}

static void set_phase(struct apply *a, struct db_migration *m, enum db_migration_phase phase)
{
	m->phase = (uint8_t)phase;
	m->since_ms = a->cmd->at_ms;
	if (phase != DB_MIGRATION_PHASE_ENDED)
		apply_task_phase(a, m->task, vm_phase_word(m));
}

/* ---- how it ends */

/* What the group had to do with it. */
static void close_group(struct apply *a, struct db_group *g, const struct db_migration *m)
{
	char text[DB_REASON_MAX];

	if (m->outcome == DB_TASK_STATE_DONE) {
		snprintf(text, sizeof(text), "migrated from %s: %.120s",
			 db_node_name(a->db, m->source), m->reason);
	} else {
		snprintf(text, sizeof(text), "migration to %s %s: %.120s",
			 db_node_name(a->db, m->destination),
			 m->outcome == DB_TASK_STATE_FAILED ? "failed" : "was cancelled",
			 m->reason);
	}
	if (g->work == DB_WORK_ONLINE)
		COPY(g->reason, text);
	if (m->outcome == DB_TASK_STATE_DONE || g->wish != m->destination)
		return;
	/* The wish is not tried again by itself. */
	apply_task_end(a, g->task, (enum db_task_state)m->outcome, text);
	g->task = 0;
	g->wish = CL_NODE_NONE;
}

void migration_close(struct apply *a, struct db_migration *m, enum db_task_state outcome,
		     const char *reason)
{
	struct db_vm *v = db_find(a->db, DB_KIND_VM, m->vm);
	struct db_group *g = db_find(a->db, DB_KIND_GROUP, m->vm);
	bool has_begun = m->phase != DB_MIGRATION_PHASE_QUEUED;
	const char *phase = vm_phase_word(m);

	must(v && g && v->migration == m->id);
	if (!m->is_cancelled || outcome == DB_TASK_STATE_DONE) {
		m->outcome = (uint8_t)outcome;
		COPY(m->reason, reason);
	}
	v->migration = 0;
	if (m->outcome == DB_TASK_STATE_DONE)
		v->tried = 0;
	else if (m->outcome == DB_TASK_STATE_CANCELLED)
		v->tried = UINT16_MAX; /* nor is it to be migrated to somewhere else now */
	else if (has_begun)
		v->tried = (uint16_t)(v->tried | cl_bit(m->destination));
	close_group(a, g, m);
	set_phase(a, m, DB_MIGRATION_PHASE_ENDED);
	apply_task_end(a, m->task, (enum db_task_state)m->outcome, m->reason);
	apply_event(a, "migration-end", m->vm, "to %s, %s in phase %s: %.120s",
		    db_node_name(a->db, m->destination),
		    m->outcome == DB_TASK_STATE_DONE	 ? "done"
		    : m->outcome == DB_TASK_STATE_FAILED ? "failed"
							 : "cancelled",
		    phase, m->reason);
}

void migration_cancel(struct apply *a, struct db_migration *m, enum db_task_state outcome,
		      const char *reason)
{
	if (m->phase == DB_MIGRATION_PHASE_ONLINE || m->is_cancelled)
		return;
	if (m->phase == DB_MIGRATION_PHASE_QUEUED) {
		migration_close(a, m, outcome, reason);
		return;
	}
	m->is_cancelled = true;
	m->outcome = (uint8_t)outcome;
	COPY(m->reason, reason);
	apply_task_phase(a, m->task, "cancelling");
	apply_event(a, "migration-cancel", m->vm, "to %s: %.120s",
		    db_node_name(a->db, m->destination), reason);
}

bool migration_task_cancel(struct apply *a, uint64_t task)
{
	struct db_migration *m = vm_migration_of_task(a->db, task);
	char text[DB_REASON_MAX];

	if (!m)
		return false;
	if (m->phase == DB_MIGRATION_PHASE_ONLINE) {
		apply_answer(a, DB_CONFLICT,
			     "the migration of %s to %s is past the point of no return", m->vm,
			     db_node_name(a->db, m->destination));
		return true;
	}
	snprintf(text, sizeof(text), "cancelled by %s", a->cmd->actor);
	migration_cancel(a, m, DB_TASK_STATE_CANCELLED, text);
	return true;
}

/* ---- what nodes do to them */

void migrations_node_away(struct apply *a, const struct db_node *n, const char *reason)
{
	if (DB_MUTANT(a->db, VM_TRANSFER_LOST))
		return;
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_MIGRATION); i++) {
		struct db_migration *m = db_at(a->db, DB_KIND_MIGRATION, i);

		if (m->phase != DB_MIGRATION_PHASE_ENDED && m->destination == n->slot &&
		    m->destination_incarnation == n->incarnation)
			migration_cancel(a, m, DB_TASK_STATE_FAILED, reason);
	}
}

void migrations_incarnation_gone(struct apply *a, uint8_t slot, uint64_t incarnation)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_MIGRATION); i++) {
		struct db_migration *m = db_at(a->db, DB_KIND_MIGRATION, i);

		/* Of the node that has the locks, its group speaks. */
		if (m->phase != DB_MIGRATION_PHASE_ENDED && m->phase != DB_MIGRATION_PHASE_ONLINE &&
		    m->destination == slot && m->destination_incarnation == incarnation)
			migration_close(a, m, DB_TASK_STATE_FAILED,
					"the destination is out of service");
	}
}

/* ---- how it begins */

/* Room for a migration: the oldest that has ended goes. */
static bool make_room(struct db *db)
{
	if (db_count(db, DB_KIND_MIGRATION) < db->limits.capacity[DB_KIND_MIGRATION])
		return true;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION); i++) {
		struct db_migration *m = db_at(db, DB_KIND_MIGRATION, i);

		if (m->phase == DB_MIGRATION_PHASE_ENDED) {
			db_remove(db, DB_KIND_MIGRATION, m);
			return true;
		}
	}
	return false;
}

/* Under the number of a task of its own, or of the wish for that node that it serves. */
static uint64_t take_task(struct apply *a, struct db_group *g, const struct db_cmd_vm_migrate *c)
{
	uint64_t task = g->task;

	if (c->previous && g->wish == c->to && task) {
		a->result->task = task;
		g->task = 0;
		return task;
	}
	if (!c->previous) {
		apply_task_end(a, task, DB_TASK_STATE_CANCELLED, "replaced by a later command");
		g->task = 0;
		g->wish = CL_NODE_NONE;
	}
	return apply_task_new(a, c->verb, g->name);
}

static void migration_new(struct apply *a, struct db_vm *v, struct db_group *g,
			  const struct db_cmd_vm_migrate *c)
{
	const struct db_node *to = db_node_by_slot(a->db, c->to);
	struct db_migration *m = db_insert_id(a->db, DB_KIND_MIGRATION, a->entry->index);

	must(m && to);
	COPY(m->vm, v->name);
	m->task = take_task(a, g, c);
	m->source = g->node;
	m->source_incarnation = g->incarnation;
	m->destination = to->slot;
	m->destination_incarnation = to->incarnation;
	m->bandwidth = c->bandwidth;
	m->link = network_for(a->db, NETWORK_MIGRATION);
	COPY(m->reason, c->reason);
	if (c->previous)
		decision_note(a, g, "migrate", c->to,
			      &(struct decision_why){c->rule, c->verdict, c->score, c->reason});
	else
		g->returned = 0; /* what is asked for goes before what is preferred */
	v->migration = m->id;
	set_phase(a, m, DB_MIGRATION_PHASE_QUEUED);
	apply_event(a, "vm-migrate", v->name, "from %s to %s: %.120s",
		    db_node_name(a->db, m->source), to->name, c->reason);
	if (c->begin && !vm_pair_is_busy(a->db, m->source, m->destination))
		set_phase(a, m, DB_MIGRATION_PHASE_SETUP);
}

void do_vm_migrate(struct apply *a, const struct db_cmd_vm_migrate *c)
{
	struct db_vm *v = db_find(a->db, DB_KIND_VM, c->name);
	struct db_group *g = v ? db_find(a->db, DB_KIND_GROUP, c->name) : NULL;
	char why[DB_REASON_MAX];
	struct capacity_map room;
	uint64_t task;

	if (!v) {
		apply_answer(a, DB_NO_SUCH, "no virtual machine %s", c->name);
		return;
	}
	if (c->previous && c->previous != g->order) {
		apply_answer(a, DB_CONFLICT, "the order is out of date");
		return;
	}
	if (g->work == DB_WORK_ONLINE && g->intent == DB_INTENT_ONLINE && g->node == c->to &&
	    !v->migration && !c->previous) {
		task = apply_task_new(a, c->verb, c->name);
		apply_task_end(a, task, DB_TASK_STATE_DONE, "already so");
		return;
	}
	if (g->is_unmanaged || g->unmanaged) {
		apply_answer(a, c->previous ? DB_CONFLICT : DB_REFUSED,
			     "virtual machine %s is unmanaged: 'group manage %s' first", c->name,
			     c->name);
		return;
	}
	if (vm_bars_all(a->db, v, c->to, why, sizeof(why))) {
		apply_answer(a, c->previous ? DB_CONFLICT : DB_REFUSED,
			     "virtual machine %s cannot be migrated to %s: %s", c->name,
			     db_node_name(a->db, c->to), why);
		return;
	}
	if (!c->previous && plan_affinity_bars(a->db, g, c->to, why, sizeof(why))) {
		apply_answer(a, DB_REFUSED, "virtual machine %s cannot be migrated to %s: %.120s",
			     c->name, db_node_name(a->db, c->to), why);
		return;
	}
	capacity_count(a->db, &room);
	if (capacity_lacks(a->db, &room, capacity_of_group(&room, g), c->to, why)) {
		apply_answer(a, c->previous ? DB_CONFLICT : DB_REFUSED,
			     "virtual machine %s cannot be migrated to %s: %.100s", c->name,
			     db_node_name(a->db, c->to), why);
		return;
	}
	if (!make_room(a->db)) {
		apply_answer(a, DB_REFUSED, "too many migrations are under way or queued");
		return;
	}
	migration_new(a, v, g, c);
}

static bool is_admitted(const struct db *db, uint8_t slot, uint64_t incarnation)
{
	const struct db_node *n = db_node_by_slot(db, slot);

	return n && n->membership == DB_MEMBERSHIP_ADMITTED && n->incarnation == incarnation;
}

/* Why it cannot begin now, or NULL. */
static const char *begin_fault(const struct db *db, const struct db_migration *m)
{
	const struct db_group *g = db_find(db, DB_KIND_GROUP, m->vm);
	static const char *const pair = "its pair of nodes has another session";
	char why[DB_REASON_MAX];

	if (g->work != DB_WORK_ONLINE)
		return "the virtual machine is not online";
	if (!is_admitted(db, m->source, m->source_incarnation) ||
	    !is_admitted(db, m->destination, m->destination_incarnation))
		return "a node of it is not up";
	if (vm_bars_node(db, g, m->destination, why, sizeof(why)) ||
	    vm_bars_volumes(db, g, m->destination, why, sizeof(why)))
		return "the destination cannot have it";
	return vm_pair_is_busy(db, m->source, m->destination) ? pair : NULL;
}

void do_migration_order(struct apply *a, const struct db_cmd_migration_order *c)
{
	struct db_migration *m = migration_find(a, c->id);
	const char *fault;

	if (!m)
		return;
	if (m->phase != DB_MIGRATION_PHASE_QUEUED) {
		apply_answer(a, DB_CONFLICT, "migration %" PRIu64 " is not queued", c->id);
		return;
	}
	if (c->phase == DB_MIGRATION_PHASE_ENDED) {
		migration_close(a, m, DB_TASK_STATE_FAILED, c->reason);
		return;
	}
	if (c->phase != DB_MIGRATION_PHASE_CHECK && c->phase != DB_MIGRATION_PHASE_SETUP) {
		apply_answer(a, DB_INVALID, "only a begin or an end can be ordered");
		return;
	}
	fault = begin_fault(a->db, m);
	if (fault) {
		apply_answer(a, DB_CONFLICT, "migration %" PRIu64 " waits: %s", c->id, fault);
		return;
	}
	set_phase(a, m, (enum db_migration_phase)c->phase);
	apply_event(a, "migration-begin", m->vm, "from %s to %s", db_node_name(a->db, m->source),
		    db_node_name(a->db, m->destination));
}

/* ---- how it gets on */

static bool is_source(const struct db_migration *m, uint8_t slot, uint64_t incarnation)
{
	return m->source == slot && m->source_incarnation == incarnation;
}

static bool is_destination(const struct db_migration *m, uint8_t slot, uint64_t incarnation)
{
	return m->destination == slot && m->destination_incarnation == incarnation;
}

static const char *report_fault(const struct db_migration *m,
				const struct db_cmd_migration_report *c)
{
	if (!is_source(m, c->slot, c->incarnation) && !is_destination(m, c->slot, c->incarnation))
		return "that node, or that incarnation of it, has no part in it";
	if (m->phase == DB_MIGRATION_PHASE_QUEUED)
		return "it has not begun";
	if (c->phase == DB_MIGRATION_PHASE_QUEUED || c->phase == DB_MIGRATION_PHASE_ENDED)
		return "a begin or an end is not reported";
	if (c->phase == DB_MIGRATION_PHASE_ONLINE && m->phase != DB_MIGRATION_PHASE_ONLINE)
		return "only the transfer brings it online";
	return NULL;
}

/* The source has the numbers, and alone can say that its disks are still. */
static void report_of_source(struct db_migration *m, const struct db_cmd_migration_report *c)
{
	m->total = c->total;
	m->remaining = c->remaining;
	m->sent = c->sent;
	m->passes = c->passes;
	m->rate = c->rate;
	m->dirty_rate = c->dirty_rate;
	if (c->address[0])
		COPY(m->address, c->address);
}

void do_migration_report(struct apply *a, const struct db_cmd_migration_report *c)
{
	struct db_migration *m = migration_find(a, c->id);
	const char *fault = m ? report_fault(m, c) : NULL;
	enum db_migration_phase highest = DB_MIGRATION_PHASE_STATE;

	if (!m)
		return;
	if (fault) {
		apply_answer(a, DB_CONFLICT, "migration %" PRIu64 ": %s", c->id, fault);
		return;
	}
	if (is_source(m, c->slot, c->incarnation)) {
		report_of_source(m, c);
		highest = DB_MIGRATION_PHASE_STORAGE_HANDLE;
	} else if (c->port) {
		m->port = c->port;
	}
	if (c->downtime_ms)
		m->downtime_ms = c->downtime_ms;
	if (c->reason[0] && !m->is_cancelled)
		COPY(m->reason, c->reason);
	if (c->phase > m->phase && m->phase < highest) {
		set_phase(a, m, c->phase < highest ? (enum db_migration_phase)c->phase : highest);
		if (m->is_cancelled)
			apply_task_phase(a, m->task, "cancelling");
	}
}

/* ---- the point of no return */

/* Why both locks stay where they are, or NULL. */
static const char *transfer_fault(const struct db *db, const struct db_migration *m,
				  const struct db_vm *v, const struct db_group *g,
				  uint64_t source_incarnation)
{
	char why[DB_REASON_MAX];

	if (m->phase == DB_MIGRATION_PHASE_ONLINE)
		return "it was transferred already";
	if (m->source_incarnation != source_incarnation)
		return "another incarnation is its source";
	if (m->phase != DB_MIGRATION_PHASE_STORAGE_HANDLE && !DB_MUTANT(db, VM_TRANSFER_EARLY))
		return "the source has not said that vCPUs and disks are still";
	if (m->is_cancelled && !DB_MUTANT(db, VM_TRANSFER_CANCELLED))
		return "it is cancelled";
	if (!is_admitted(db, m->source, m->source_incarnation))
		return "the source is not up";
	if (!is_admitted(db, m->destination, m->destination_incarnation) &&
	    !DB_MUTANT(db, VM_TRANSFER_LOST))
		return "the destination is not up";
	if (g->work != DB_WORK_ONLINE || g->node != m->source ||
	    g->incarnation != m->source_incarnation || !v->lock || v->migration != m->id)
		return "the virtual machine is not the source's";
	if (vm_bars_volumes(db, g, m->destination, why, sizeof(why)))
		return "a volume of it is not ready at the destination";
	return NULL;
}

static void transfer(struct apply *a, struct db_migration *m, struct db_vm *v, struct db_group *g)
{
	apply_lock_transfer(a->db, "grp:", g->name, m->source_incarnation,
			    m->destination_incarnation);
	apply_lock_transfer(a->db, "vm:", v->uuid, m->source_incarnation,
			    m->destination_incarnation);
	g->node = m->destination;
	g->incarnation = m->destination_incarnation;
	if (!DB_MUTANT(a->db, VM_TRANSFER_KEEPS_ORDER))
		g->order = a->entry->index;
	g->since_ms = v->since_ms = a->cmd->at_ms;
	g->refused = (uint16_t)(g->refused & ~cl_bit(m->destination));
	v->instance = m->id;
	if (g->wish == m->destination) {
		apply_task_end(a, g->task, DB_TASK_STATE_DONE, "migrated there");
		g->task = 0;
	}
	/* Neither where it is nor where it was is a wish any more. */
	if (g->wish == m->destination || g->wish == m->source)
		g->wish = CL_NODE_NONE;
	set_phase(a, m, DB_MIGRATION_PHASE_ONLINE);
}

void do_migration_transfer(struct apply *a, const struct db_cmd_migration_transfer *c)
{
	struct db_migration *m = migration_find(a, c->id);
	struct db_vm *v = m ? db_find(a->db, DB_KIND_VM, m->vm) : NULL;
	struct db_group *g = m ? db_find(a->db, DB_KIND_GROUP, m->vm) : NULL;
	const char *fault;

	if (!m)
		return;
	must(v && g);
	fault = transfer_fault(a->db, m, v, g, c->source_incarnation);
	if (fault) {
		apply_answer(a, DB_CONFLICT, "migration %" PRIu64 " is not transferred: %s", c->id,
			     fault);
		return;
	}
	transfer(a, m, v, g);
	apply_event(a, "vm-transfer", v->name, "from %s to %s: it may run there, and only there",
		    db_node_name(a->db, m->source), db_node_name(a->db, m->destination));
}

void do_migration_end(struct apply *a, const struct db_cmd_migration_end *c)
{
	struct db_migration *m = migration_find(a, c->id);
	bool is_moved = m && m->phase == DB_MIGRATION_PHASE_ONLINE;
	const char *fault = NULL;

	if (!m)
		return;
	if (!is_source(m, c->slot, c->incarnation) && !is_destination(m, c->slot, c->incarnation))
		fault = "that node, or that incarnation of it, has no part in it";
	else if (c->is_success && (!is_moved || !is_destination(m, c->slot, c->incarnation)))
		fault = "only the destination can say that it runs there, after the transfer";
	else if (!c->is_success && is_moved)
		fault = "it is past the point of no return";
	if (fault) {
		apply_answer(a, DB_CONFLICT, "migration %" PRIu64 ": %s", c->id, fault);
		return;
	}
	if (c->downtime_ms)
		m->downtime_ms = c->downtime_ms;
	migration_close(a, m, c->is_success ? DB_TASK_STATE_DONE : DB_TASK_STATE_FAILED, c->reason);
}
