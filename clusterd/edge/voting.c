/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/voting.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/edge/duty.h"
#include "clusterd/edge/log.h"
#include "lib/must.h"

/* A change that got lost on its way is decided anew after that. */
#define VOTING_TIMEOUT_MS 10000

void voting_input(const struct engine *e, struct votes_input *ret)
{
	votes_facts(ret, &e->repl, &e->db, &e->duty.missed, engine_now_ms());
}

bool voting_may_leave(const struct engine *e)
{
	struct votes_input in;

	if (e->repl.phase != REPL_OPEN)
		return true;
	if (e->repl.change_pending)
		return false;
	voting_input(e, &in);
	return votes_may_leave(&in, e->repl.self_slot);
}

/* It is applied, so committed: the next run says so in the history. */
static void changed(void *arg, int r, const struct db_result *result)
{
	struct engine *e = arg;

	(void)result;
	e->vote_is_made = !r;
}

static void note(struct engine *e)
{
	struct db_command cmd = engine_command(e, DB_CMD_VOTE_NOTE);
	struct db_cmd_vote_note *c = &cmd.vote_note;
	const struct cl_table *t = &e->repl.vtable;
	int voters = quorum_evaluate(t, 0).votes_total;
	bool is_witness = e->vote_change.slot == CL_WITNESS_SLOT;

	e->vote_is_made = false;
	snprintf(c->name, sizeof(c->name), "%s",
		 is_witness ? "witness" : t->member[e->vote_change.slot].name);
	c->is_given = e->vote_change.is_given;
	snprintf(c->text, sizeof(c->text), "%s; %d vote%s now",
		 votes_reason_text(e->vote_change.reason), voters, voters == 1 ? "" : "s");
	engine_request(e, &cmd, VOTING_TIMEOUT_MS, NULL, NULL);
}

void voting_see(struct engine *e)
{
	if (e->vote_is_made)
		note(e);
	duty_see(&e->duty, &e->repl, engine_now_ms());
}

void voting_submit(struct engine *e, const struct votes_change *change, const struct cl_member *row,
		   const void *payload, size_t len)
{
	e->vote_change = *change;
	log_notice("%s %s: %s -> its vote is %s",
		   change->slot == CL_WITNESS_SLOT ? "witness" : "node", row->name,
		   votes_reason_text(change->reason), row->vote ? "given" : "taken");
	engine_submit(e, CL_ENTRY_TABLE, payload, len, VOTING_TIMEOUT_MS, true, changed, e);
}
