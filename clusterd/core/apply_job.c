/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Work on the files of virtual machines' disks; see job.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/job.h"
#include "clusterd/core/vm.h"
#include "lib/must.h"

/* ---- its begin */

static bool is_off(const struct db_group *g)
{
	return g->work == DB_WORK_OFFLINE && !g->lock;
}

/* The disks that are copied, or change. False, with an answer: not now. */
static bool origin_fits(struct apply *a, const struct db_cmd_vm_job *c, const struct db_vm *v)
{
	const struct db_group *g = db_find(a->db, DB_KIND_GROUP, v->name);
	bool is_changed = c->kind == DB_JOB_KIND_REVERT;

	must(g);
	if (v->job) {
		apply_answer(a, DB_REFUSED,
			     "work on the disks of virtual machine %s is under way (task %" PRIu64
			     ")",
			     v->name, job_of_vm(a->db, v)->task);
		return false;
	}
	if (c->kind == DB_JOB_KIND_REMOVE)
		return true;
	if (v->migration) {
		apply_answer(a, DB_REFUSED, "virtual machine %s is being migrated", v->name);
		return false;
	}
	if (is_changed && (!is_off(g) || g->intent != DB_INTENT_OFFLINE)) {
		apply_answer(a, DB_REFUSED, "virtual machine %s is not stopped: 'vm stop %s' first",
			     v->name, v->name);
		return false;
	}
	if (!is_off(g) && g->work != DB_WORK_ONLINE) {
		apply_answer(
			a, DB_REFUSED,
			"virtual machine %s is %s: what is on its disks is neither that of one "
			"that runs nor of one that is off",
			v->name, db_choice_word(DB_KIND_GROUP, "work", g->work));
		return false;
	}
	return true;
}

/* The row of the snapshot; NULL, with an answer: it cannot be. */
static struct db_snapshot *take_snapshot(struct apply *a, const struct db_cmd_vm_job *c)
{
	struct db_snapshot *s = job_snapshot(a->db, c->name, c->snapshot);
	char key[DB_KEY_MAX];

	if (c->kind != DB_JOB_KIND_SNAPSHOT) {
		if (!s)
			apply_answer(a, DB_NO_SUCH, "virtual machine %s has no snapshot %s",
				     c->name, c->snapshot);
		return s;
	}
	if (s || !c->snapshot[0]) {
		apply_answer(a, s ? DB_CONFLICT : DB_INVALID,
			     s ? "virtual machine %s has a snapshot %s already"
			       : "a snapshot of virtual machine %s needs a name%s",
			     c->name, c->snapshot);
		return NULL;
	}
	job_snapshot_key(c->name, c->snapshot, key);
	s = db_insert(a->db, DB_KIND_SNAPSHOT, key);
	if (!s) {
		apply_answer(a, DB_REFUSED, "no room for another snapshot");
		return NULL;
	}
	COPY(s->vm, c->name);
	COPY(s->name, c->snapshot);
	s->state = DB_SNAPSHOT_STATE_MAKING;
	s->at_ms = a->cmd->at_ms;
	COPY(s->actor, a->cmd->actor);
	COPY(s->reason, c->reason);
	COPY(s->work, c->work);
	return s;
}

static struct db_job *job_new(struct apply *a, const struct db_cmd_vm_job *c)
{
	struct db_job *j = db_insert_id(a->db, DB_KIND_JOB, a->entry->index);

	if (!j) {
		apply_answer(a, DB_REFUSED, "too much work on disks is under way");
		return NULL;
	}
	j->kind = c->kind;
	COPY(j->vm, c->name);
	COPY(j->source, c->source);
	COPY(j->snapshot, c->snapshot);
	COPY(j->work, c->work);
	j->node = CL_NODE_NONE;
	j->since_ms = j->asked_ms = a->cmd->at_ms;
	j->outcome = DB_TASK_STATE_FAILED;
	j->task = apply_task_new(a, c->verb, c->name);
	apply_task_phase(a, j->task, "queued");
	return j;
}

/* False, with an answer. */
static bool has_sense(struct apply *a, const struct db_cmd_vm_job *c)
{
	bool is_new = c->kind == DB_JOB_KIND_MAKE || c->kind == DB_JOB_KIND_CLONE;

	if (!c->work[0] || !c->verb[0] || (is_new && c->snapshot[0]) ||
	    !c->source[0] == (c->kind == DB_JOB_KIND_CLONE) || !strcmp(c->source, c->name)) {
		apply_answer(a, DB_INVALID, "that is no work on disks");
		return false;
	}
	/* A change is one entry: so are a virtual machine and what makes its disks. */
	if (db_find_id(a->db, DB_KIND_JOB, a->entry->index)) {
		apply_answer(a, DB_INVALID, "one work on disks in one change");
		return false;
	}
	return true;
}

void do_vm_job(struct apply *a, const struct db_cmd_vm_job *c)
{
	const char *origin_name = c->kind == DB_JOB_KIND_CLONE ? c->source : c->name;
	struct db_vm *v = db_find(a->db, DB_KIND_VM, c->name);
	struct db_vm *origin = db_find(a->db, DB_KIND_VM, origin_name);
	const struct db_group *g = v ? db_find(a->db, DB_KIND_GROUP, v->name) : NULL;
	struct db_snapshot *s = NULL;
	struct db_job *j;

	if (!v || !origin) {
		apply_answer(a, DB_NO_SUCH, "no virtual machine %s", v ? origin_name : c->name);
		return;
	}
	if (!has_sense(a, c) || !origin_fits(a, c, origin))
		return;
	if (v->job ||
	    ((c->kind == DB_JOB_KIND_MAKE || c->kind == DB_JOB_KIND_CLONE) && !is_off(g))) {
		apply_answer(a, DB_REFUSED, "virtual machine %s is not new", c->name);
		return;
	}
	if (c->kind >= DB_JOB_KIND_SNAPSHOT) {
		s = take_snapshot(a, c);
		if (!s)
			return;
	}
	j = job_new(a, c);
	if (!j) {
		if (c->kind == DB_JOB_KIND_SNAPSHOT)
			db_remove(a->db, DB_KIND_SNAPSHOT, s);
		return;
	}
	if (c->kind == DB_JOB_KIND_REMOVE)
		s->state = DB_SNAPSHOT_STATE_REMOVING;
	v->job = origin->job = j->id;
	apply_event(a, c->verb, c->name, "%s%s%s%sasked by %s", c->source[0] ? "of " : "",
		    c->source, c->snapshot, c->source[0] || c->snapshot[0] ? ", " : "",
		    a->cmd->actor);
}

/* ---- while it is done */

static struct db_job *job_find(struct apply *a, uint64_t id, uint64_t order)
{
	struct db_job *j = db_find_id(a->db, DB_KIND_JOB, id);

	if (!j) {
		apply_answer(a, DB_NO_SUCH, "no work on disks %" PRIu64, id);
		return NULL;
	}
	if (j->order == order || DB_MUTANT(a->db, JOB_ANY_ORDER))
		return j;
	apply_answer(a, DB_CONFLICT, "the order is out of date");
	return NULL;
}

static void say_phase(struct apply *a, const struct db_job *j)
{
	char phase[DB_VERB_MAX];
	/* Without overflow, and less than 100 before it is done. */
	uint64_t percent = j->total_bytes / 100 ? j->done_bytes / (j->total_bytes / 100) : 0;

	snprintf(phase, sizeof(phase), "%s", j->is_undo ? "undo" : job_word(j));
	if (!j->is_undo && percent)
		snprintf(phase, sizeof(phase), "%s, %u %%", job_word(j),
			 (unsigned int)(percent < 99 ? percent : 99));
	apply_task_phase(a, j->task, phase);
}

void do_job_order(struct apply *a, const struct db_cmd_job_order *c)
{
	struct db_job *j = job_find(a, c->id, c->previous);
	const struct db_node *n = db_node_by_slot(a->db, c->node);

	if (!j)
		return;
	if (!n || n->incarnation != c->incarnation || n->membership != DB_MEMBERSHIP_ADMITTED ||
	    (j->is_undo && !c->is_undo) || (!j->order && job_waits(a->db, j)) ||
	    (c->is_undo && !job_is_undoable(j)) ||
	    !(job_nodes(a->db, j) & cl_bit(c->node) || c->node == j->node)) {
		apply_answer(a, DB_CONFLICT, "the order is out of date");
		return;
	}
	if (c->is_undo && !j->is_undo)
		COPY(j->reason, c->reason);
	j->node = c->node;
	j->incarnation = c->incarnation;
	j->instance = n->instance;
	j->order = a->entry->index;
	j->is_undo = c->is_undo;
	j->since_ms = a->cmd->at_ms;
	j->done_bytes = j->total_bytes = 0;
	say_phase(a, j);
	apply_event(a, "job-order", j->vm, "%s%s on %s: %.120s", j->is_undo ? "undo " : "",
		    job_word(j), n->name, c->reason);
}

void do_job_report(struct apply *a, const struct db_cmd_job_report *c)
{
	struct db_job *j = job_find(a, c->id, c->order);

	if (!j)
		return;
	j->done_bytes = c->done_bytes;
	j->total_bytes = c->total_bytes;
	say_phase(a, j);
}

/* ---- its end */

/* What was to be is not: the rows go, too. */
static void forget(struct apply *a, struct db_job *j, const char *why)
{
	struct db_snapshot *s = job_snapshot(a->db, j->vm, j->snapshot);
	struct db_cmd_vm_delete d = {0};

	if (s) {
		db_remove(a->db, DB_KIND_SNAPSHOT, s);
		return;
	}
	apply_event(a, "vm-not-made", j->vm, "nothing of it is left: %.160s", why);
	COPY(d.name, j->vm);
	do_vm_delete(a, &d);
	must(!a->result->code);
}

static void release(struct db *db, const struct db_job *j)
{
	struct db_vm *v = db_find(db, DB_KIND_VM, j->vm);
	struct db_vm *o = j->source[0] ? db_find(db, DB_KIND_VM, j->source) : v;

	must(v && o);
	v->job = o->job = 0;
}

static void job_close(struct apply *a, struct db_job *j, enum db_task_state outcome,
		      const char *reason)
{
	struct db_snapshot *s = job_snapshot(a->db, j->vm, j->snapshot);
	struct db_job was = *j;

	release(a->db, j);
	db_remove(a->db, DB_KIND_JOB, j);
	apply_task_end(a, was.task, outcome, reason);
	apply_event(a, "job-end", was.vm, "%s%s%s %s: %.120s", job_word(&was),
		    was.snapshot[0] ? " " : "", was.snapshot,
		    outcome == DB_TASK_STATE_DONE     ? "done"
		    : outcome == DB_TASK_STATE_FAILED ? "failed"
						      : "cancelled",
		    reason);
	if (was.is_undo)
		forget(a, &was, reason);
	else if (was.kind == DB_JOB_KIND_REMOVE && outcome == DB_TASK_STATE_DONE)
		db_remove(a->db, DB_KIND_SNAPSHOT, s);
	else if (s)
		s->state = DB_SNAPSHOT_STATE_READY;
}

static void begin_undo(struct apply *a, struct db_job *j, enum db_task_state outcome,
		       const char *reason)
{
	j->is_undo = true;
	j->outcome = (uint8_t)outcome;
	j->since_ms = a->cmd->at_ms;
	COPY(j->reason, reason);
	/* Nobody has begun it: nothing is to be undone. */
	if (j->node == CL_NODE_NONE) {
		job_close(a, j, outcome, reason);
		return;
	}
	j->order = a->entry->index;
	say_phase(a, j);
}

void do_job_end(struct apply *a, const struct db_cmd_job_end *c)
{
	struct db_job *j = job_find(a, c->id, c->order);
	struct db_snapshot *s = j ? job_snapshot(a->db, j->vm, j->snapshot) : NULL;
	char reason[DB_REASON_MAX];

	if (!j)
		return;
	if (j->is_undo && !c->is_success) {
		apply_event(a, "job-undo", j->vm, "goes on: %.160s", c->reason);
		j->since_ms = a->cmd->at_ms;
	} else if (j->is_undo) {
		COPY(reason, j->reason);
		job_close(a, j, (enum db_task_state)j->outcome, reason);
	} else if (c->is_success) {
		if (s && j->kind == DB_JOB_KIND_SNAPSHOT)
			s->is_running = c->was_running;
		job_close(a, j, DB_TASK_STATE_DONE, c->reason);
	} else if (job_is_undoable(j) && !DB_MUTANT(a->db, JOB_FORGETS)) {
		begin_undo(a, j, DB_TASK_STATE_FAILED, c->reason);
	} else {
		job_close(a, j, DB_TASK_STATE_FAILED, c->reason);
	}
}

bool job_task_cancel(struct apply *a, uint64_t task)
{
	struct db_job *j = NULL;
	char text[DB_REASON_MAX];

	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_JOB) && !j; i++) {
		struct db_job *at = db_at(a->db, DB_KIND_JOB, i);

		j = at->task == task ? at : NULL;
	}
	if (!j)
		return false;
	if (j->is_undo || (!job_is_undoable(j) && j->order)) {
		apply_answer(a, DB_CONFLICT,
			     j->is_undo ? "what it has made is being taken away"
					: "it can only be finished: half of it would be left");
		return true;
	}
	snprintf(text, sizeof(text), "cancelled by %s", a->cmd->actor);
	if (job_is_undoable(j))
		begin_undo(a, j, DB_TASK_STATE_CANCELLED, text);
	else
		job_close(a, j, DB_TASK_STATE_CANCELLED, text);
	return true;
}
