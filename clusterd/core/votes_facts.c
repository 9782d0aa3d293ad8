/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the core of dynamic votes is asked, from the view, the log and the applied database. */
#include <string.h>

#include "clusterd/core/quorum.h"
#include "clusterd/core/setting.h"
#include "clusterd/core/votes.h"

static const struct repl_peer *peer_of(const struct repl_state *s, uint8_t slot)
{
	for (uint8_t i = 0; i < s->peer_count; i++) {
		if (s->peer[i].slot == slot)
			return &s->peer[i];
	}
	return NULL;
}

/* Where the node's log is, as it has said in this epoch. */
static void add_log(const struct repl_state *s, uint8_t slot, struct votes_input *in)
{
	uint64_t at = s->persisted[slot];

	if (at >= s->commit)
		in->holders = (uint16_t)(in->holders | cl_bit(slot));
	if (at && at >= s->epoch_index && at + VOTES_LAG_MAX >= s->commit)
		in->following = (uint16_t)(in->following | cl_bit(slot));
}

/* Adds what the node's row and its process say. */
static void add_node(const struct repl_state *s, const struct db *db, const struct db_node *n,
		     struct votes_input *in)
{
	const struct repl_peer *p = peer_of(s, n->slot);
	uint16_t bit = cl_bit(n->slot);
	/* A new process of the node has not left, and is admitted before it counts. */
	bool is_same = p && p->state.instance == n->instance;
	bool is_going = is_same && (n->is_leaving || n->membership == DB_MEMBERSHIP_LEFT);
	bool is_condemned =
		p && p->state.incarnation == n->incarnation &&
		(n->membership == DB_MEMBERSHIP_FENCED || n->membership == DB_MEMBERSHIP_FENCING);

	bool is_out = n->is_evicted || (n->is_quarantined && !DB_MUTANT(db, QUARANTINED_VOTES));

	if (is_going || is_condemned || is_out)
		in->leaving = (uint16_t)(in->leaving | bit);
	if (n->is_draining)
		in->draining = (uint16_t)(in->draining | bit);
	if (is_same && n->membership == DB_MEMBERSHIP_ADMITTED && (s->present & bit))
		add_log(s, n->slot, in);
}

static bool is_sole(const struct db *db)
{
	const struct db_cluster *c =
		db_count(db, DB_KIND_CLUSTER) ? db_at(db, DB_KIND_CLUSTER, 0) : NULL;

	return c && c->quorum_mode == DB_QUORUM_MODE_DISK_ONLY;
}

/* The row that it has without a vote; nodeid 0: there is none. */
static struct cl_member chosen_witness(const struct db *db)
{
	static const uint32_t kind[] = {
		[DB_QUORUM_MODE_NODE_MAJORITY] = 0,
		[DB_QUORUM_MODE_NODE_DISK] = CL_WITNESS_NODEID,
		[DB_QUORUM_MODE_NODE_SHARE] = CL_WITNESS_SHARE,
		[DB_QUORUM_MODE_DISK_ONLY] = CL_WITNESS_SOLE,
	};
	const struct db_cluster *c =
		db_count(db, DB_KIND_CLUSTER) ? db_at(db, DB_KIND_CLUSTER, 0) : NULL;
	struct cl_member row = {0};

	if (!c || !c->witness[0] || !kind[c->quorum_mode])
		return row;
	row.nodeid = kind[c->quorum_mode];
	memcpy(row.name, c->witness, sizeof(c->witness));
	return row;
}

static bool is_chosen(const struct cl_member *witness, const struct db *db)
{
	struct cl_member row = chosen_witness(db);

	return witness->nodeid == row.nodeid && !strcmp(witness->name, row.name);
}

bool votes_witness_row(const struct cl_table *table, const struct db *db, struct cl_member *ret)
{
	if (table->witness.vote || is_chosen(&table->witness, db))
		return false;
	*ret = chosen_witness(db);
	return true;
}

static void add_witness(const struct repl_state *repl, const struct db *db, uint64_t missed_ms,
			struct votes_input *in)
{
	const struct cl_member *w = &in->table.witness;
	bool is_reached = repl->witness.reaches & repl->present;

	in->witness_is_old = w->nodeid && !is_chosen(w, db);
	in->witness_counts = repl->witness.counts;
	in->witness_is_new =
		quorum_is_share(&in->table) && !repl->witness.counts && !repl->witness.is_recorded;
	in->witness_works = w->nodeid && !in->witness_is_old;
	if (w->vote)
		in->witness_works = in->witness_works &&
				    (!missed_ms || in->now_ms - missed_ms < VOTES_WITNESS_MS);
	else
		in->witness_works = in->witness_works && is_reached;
}

void votes_facts(struct votes_input *ret, const struct repl_state *repl, const struct db *db,
		 const struct votes_missed *missed, uint64_t now_ms)
{
	*ret = (struct votes_input){
		.table = repl->phase == REPL_OPEN ? repl->vtable : repl->table,
		.present = repl->present,
		.is_dynamic = setting_get(db, SETTING_QUORUM_DYNAMIC, NULL),
		.is_stopping = setting_get(db, SETTING_CLUSTER_STOPPING, NULL),
		.is_sole = is_sole(db),
		.absent_ms = setting_get(db, SETTING_QUORUM_ABSENT_MS, NULL),
		.now_ms = now_ms,
	};
	memcpy(ret->absent_since_ms, missed->node_ms, sizeof(ret->absent_since_ms));
	add_witness(repl, db, missed->witness_ms, ret);
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		const struct cl_member *m = &ret->table.member[i];

		if (m->nodeid)
			ret->priority[i] =
				(uint8_t)setting_get(db, SETTING_QUORUM_PRIORITY, m->name);
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++)
		add_node(repl, db, db_at(db, DB_KIND_NODE, i), ret);
}
