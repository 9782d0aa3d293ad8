/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a node that stops leaves: emptied, without its vote, and not before the others are done. */
#include "clusterd/core/setting.h"
#include "clusterd/edge/exec_impl.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/voting.h"

#include <string.h>

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
		log_error("could not empty this node within %d s -> stopping anyway",
			  EXEC_LEAVE_MS / 1000);
		x->stopped(x->arg);
	} else if (x->has_left || (is_out && !has_work(x))) {
		x->stopped(x->arg);
	} else if (!x->has_said_leaving || (!has_work(x) && !keeps_vote(x))) {
		say_leave(x);
	}
}
