/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a node that stops leaves: emptied, without its vote, and not before the others are done. */
#include "clusterd/core/setting.h"
#include "clusterd/edge/exec_impl.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/voting.h"

#include <string.h>

static void begin(struct exec *x, uint64_t move_ms)
{
	x->is_leaving = true;
	x->move_until_ms = engine_now_ms() + move_ms;
	x->leave_until_ms = x->move_until_ms + EXEC_END_MS;
}

void exec_stop_all(struct exec *x)
{
	x->is_asked_to_leave = false; /* no cancel brings this process back */
	if (!x->is_leaving)
		begin(x, EXEC_MOVE_MS);
}

/* What was said of it is taken back: this process stays. */
static void stay(struct exec *x)
{
	log_notice("the leave of this node was cancelled -> it stays");
	x->is_leaving = x->is_asked_to_leave = false;
	x->has_said_leaving = x->has_said_late = false;
}

void exec_leave_look(struct exec *x)
{
	struct engine *e = x->engine;
	const struct db_node *n = db_node_by_slot(&e->db, e->repl.self_slot);
	uint64_t move_ms =
		e->leave_ms ? e->leave_ms : setting_get(&e->db, SETTING_PLACEMENT_LEAVE_MS, NULL);

	if (e->repl.phase != REPL_OPEN || !n || n->membership != DB_MEMBERSHIP_ADMITTED ||
	    n->incarnation != e->repl.self.incarnation || n->instance != e->repl.self.instance)
		return;
	if (!x->is_leaving && n->is_leaving) {
		log_notice("asked to leave -> everything moves off this node, %llu s at most",
			   (unsigned long long)move_ms / 1000);
		e->leave_ms = 0;
		x->is_asked_to_leave = true;
		begin(x, move_ms);
	} else if (x->is_leaving && !n->is_leaving && x->is_asked_to_leave) {
		stay(x);
	} else if (x->has_said_leaving && !n->is_leaving && !x->leave_runs) {
		x->has_said_leaving = false; /* a cancel does not count for a signal: said again */
	}
}

static void left(void *arg, int r, const struct db_result *result)
{
	struct exec *x = arg;

	x->leave_runs = false;
	if (r || result->code)
		return; /* asked again from the timer */
	if (!x->has_said_leaving) {
		x->has_said_leaving = true;
		x->vote_until_ms = engine_now_ms() + EXEC_VOTE_MS;
	} else {
		x->has_left = true;
	}
}

static void say_leave(struct exec *x)
{
	struct engine *e = x->engine;
	struct db_command cmd;

	if (x->leave_runs || e->repl.phase != REPL_OPEN)
		return;
	cmd = engine_command(e, DB_CMD_NODE_LEAVE);
	memcpy(cmd.node_leave.name, e->repl.self.name.text, sizeof(cmd.node_leave.name));
	cmd.node_leave.incarnation = e->repl.self.incarnation;
	cmd.node_leave.is_done = x->has_said_leaving;
	x->leave_runs = !engine_request(e, &cmd, EXEC_REPORT_MS, left, x);
}

static void late(void *arg, int r, const struct db_result *result)
{
	struct exec *x = arg;

	x->leave_runs = false;
	x->has_said_late = !r && !result->code;
}

/* The time to move things is over: what is left is to be stopped. */
static void say_late(struct exec *x)
{
	struct engine *e = x->engine;
	struct db_command cmd;

	if (x->leave_runs || e->repl.phase != REPL_OPEN)
		return;
	log_warning("not empty in time -> what is left here is stopped");
	cmd = engine_command(e, DB_CMD_NODE_DEPART);
	memcpy(cmd.node_depart.name, e->repl.self.name.text, sizeof(cmd.node_depart.name));
	cmd.node_depart.incarnation = e->repl.self.incarnation;
	cmd.node_depart.is_time_over = true;
	x->leave_runs = !engine_request(e, &cmd, EXEC_REPORT_MS, late, x);
}

static bool has_work(struct exec *x)
{
	const struct db *db = &x->engine->db;

	for (struct local_group *l = x->groups; l; l = l->next) {
		if (l->phase != LOCAL_STOPPED || exec_has_run(l))
			return true;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (exec_is_ours(x, g) && g->lock && x->engine->repl.phase == REPL_OPEN)
			return true;
	}
	return x->engine->repl.phase == REPL_OPEN && x->is_held(x->arg);
}

/* Its vote goes before it does; one that nobody takes does not keep it. */
static bool keeps_vote(const struct exec *x)
{
	return engine_now_ms() < x->vote_until_ms && !voting_may_leave(x->engine);
}

bool exec_cluster_stops(const struct exec *x)
{
	const struct engine *e = x->engine;
	const struct db_node *n = db_node_by_slot(&e->db, e->repl.self_slot);

	return setting_get(&e->db, SETTING_CLUSTER_STOPPING, NULL) && n &&
	       n->instance == e->repl.self.instance;
}

/* Then nobody goes before all are done: their reports need a majority. */
static bool is_waited_for(const struct exec *x)
{
	const struct engine *e = x->engine;

	for (uint32_t i = 0; i < db_count(&e->db, DB_KIND_NODE) && exec_cluster_stops(x); i++) {
		const struct db_node *n = db_at(&e->db, DB_KIND_NODE, i);

		if (n->membership == DB_MEMBERSHIP_ADMITTED && e->repl.phase == REPL_OPEN &&
		    (e->repl.present & cl_bit(n->slot)))
			return true;
	}
	return false;
}

/*
 * A node that stops asks to be emptied, waits until it is, says that it is, and ends. Without
 * quorum the lease has it stop what it runs, and it ends without a word.
 */
void exec_leave(struct exec *x)
{
	bool is_out =
		x->engine->repl.phase != REPL_OPEN || !db_count(&x->engine->db, DB_KIND_CLUSTER);

	if (x->has_left && is_waited_for(x) && engine_now_ms() < x->leave_until_ms)
		return;
	if (!x->has_left && engine_now_ms() >= x->leave_until_ms) {
		log_error("what is left on this node could not be stopped within %d s -> "
			  "stopping anyway",
			  EXEC_END_MS / 1000);
		x->stopped(x->arg);
	} else if (x->has_left || (is_out && !has_work(x))) {
		x->stopped(x->arg);
	} else if (!x->has_said_leaving || (!has_work(x) && !keeps_vote(x))) {
		say_leave(x);
	} else if (!x->has_said_late && has_work(x) && engine_now_ms() >= x->move_until_ms) {
		say_late(x);
	}
}
