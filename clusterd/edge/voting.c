/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/voting.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/core/setting.h"
#include "clusterd/edge/duty.h"
#include "clusterd/edge/log.h"
#include "lib/must.h"

/* A change that got lost on its way is decided anew after that. */
#define VOTING_TIMEOUT_MS 10000

static const struct repl_peer *peer_of(const struct engine *e, uint8_t slot)
{
	for (uint8_t i = 0; i < e->repl.peer_count; i++) {
		if (e->repl.peer[i].slot == slot)
			return &e->repl.peer[i];
	}
	return NULL;
}

/* Adds what the node's row and its process say. */
static void add_node(const struct engine *e, const struct db_node *n, struct votes_input *in)
{
	const struct repl_peer *p = peer_of(e, n->slot);
	uint16_t bit = cl_bit(n->slot);
	bool is_same = p && p->state.instance == n->instance;
	bool is_out = n->membership == DB_MEMBERSHIP_LEFT;
	bool is_condemned =
		n->membership == DB_MEMBERSHIP_FENCED || n->membership == DB_MEMBERSHIP_FENCING;

	/* A new process of the node has not left, and is admitted before it counts. */
	if ((p ? is_same : true) && (is_out || (n->is_leaving && is_same)))
		in->leaving = (uint16_t)(in->leaving | bit);
	if (p && is_condemned && p->state.incarnation == n->incarnation)
		in->leaving = (uint16_t)(in->leaving | bit);
	if (n->is_draining)
		in->draining = (uint16_t)(in->draining | bit);
	if (is_same && n->membership == DB_MEMBERSHIP_ADMITTED &&
	    e->repl.persisted[n->slot] >= e->repl.commit)
		in->holders = (uint16_t)(in->holders | bit);
}

void voting_input(const struct engine *e, struct votes_input *ret)
{
	const struct repl_state *s = &e->repl;

	*ret = (struct votes_input){
		.table = s->phase == REPL_OPEN ? s->vtable : s->table,
		.present = s->present,
		.is_dynamic = setting_get(&e->db, SETTING_QUORUM_DYNAMIC, NULL),
		.is_stopping = setting_get(&e->db, SETTING_CLUSTER_STOPPING, NULL),
		.absent_ms = setting_get(&e->db, SETTING_QUORUM_ABSENT_MS, NULL),
		.now_ms = engine_now_ms(),
	};
	memcpy(ret->absent_since_ms, e->missed_ms, sizeof(ret->absent_since_ms));
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		const struct cl_member *m = &ret->table.member[i];

		if (m->nodeid)
			ret->priority[i] =
				(uint8_t)setting_get(&e->db, SETTING_QUORUM_PRIORITY, m->name);
	}
	for (uint32_t i = 0; i < db_count(&e->db, DB_KIND_NODE); i++)
		add_node(e, db_at(&e->db, DB_KIND_NODE, i), ret);
	ret->holders = (uint16_t)(ret->holders & ret->present);
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
	int voters = __builtin_popcount(quorum_voters(t));

	e->vote_is_made = false;
	snprintf(c->name, sizeof(c->name), "%s", t->member[e->vote_change.slot].name);
	c->is_given = e->vote_change.is_given;
	snprintf(c->text, sizeof(c->text), "%s; %d vote%s now",
		 votes_reason_text(e->vote_change.reason), voters, voters == 1 ? "" : "s");
	engine_request(e, &cmd, VOTING_TIMEOUT_MS, NULL, NULL);
}

void voting_see(struct engine *e)
{
	if (e->vote_is_made) /* and then it was the sequencer no more */
		note(e);
	if (e->repl.phase == REPL_OPEN)
		votes_watch(e->missed_ms, quorum_members(&e->repl.vtable), e->repl.present,
			    engine_now_ms());
}

void voting_run(struct engine *e)
{
	struct votes_input in;
	struct cl_member row;
	uint8_t payload[CL_ROW_MAX];
	size_t len;

	if (e->vote_is_made)
		note(e);
	if (e->repl.change_pending)
		return;
	voting_input(e, &in);
	if (!votes_next(&in, &e->vote_change))
		return;
	row = in.table.member[e->vote_change.slot];
	row.vote = e->vote_change.is_given;
	must(!cl_row_encode(e->vote_change.slot, &row, payload, sizeof(payload), &len));
	log_notice("node %s: %s -> its vote is %s", row.name,
		   votes_reason_text(e->vote_change.reason), row.vote ? "given" : "taken");
	engine_submit(e, CL_ENTRY_TABLE, payload, len, VOTING_TIMEOUT_MS, true, changed, e);
}
