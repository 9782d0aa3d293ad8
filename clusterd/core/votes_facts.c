/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the core of dynamic votes is asked, from the view, the log and the applied database. */
#include <string.h>

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

/* Adds what the node's row and its process say. */
static void add_node(const struct repl_state *s, const struct db_node *n, struct votes_input *in)
{
	const struct repl_peer *p = peer_of(s, n->slot);
	uint16_t bit = cl_bit(n->slot);
	bool is_same = p && p->state.instance == n->instance;
	bool is_out = n->membership == DB_MEMBERSHIP_LEFT;
	bool is_condemned =
		n->membership == DB_MEMBERSHIP_FENCED || n->membership == DB_MEMBERSHIP_FENCING;

	/* A new process of the node has not left, and is admitted before it counts. */
	if ((!p || is_same) && (is_out || (n->is_leaving && is_same)))
		in->leaving = (uint16_t)(in->leaving | bit);
	if (p && is_condemned && p->state.incarnation == n->incarnation)
		in->leaving = (uint16_t)(in->leaving | bit);
	if (n->is_draining)
		in->draining = (uint16_t)(in->draining | bit);
	if (is_same && n->membership == DB_MEMBERSHIP_ADMITTED &&
	    s->persisted[n->slot] >= s->commit)
		in->holders = (uint16_t)(in->holders | bit);
}

void votes_facts(struct votes_input *ret, const struct repl_state *repl, const struct db *db,
		 const uint64_t missed_ms[CL_MAX_NODES], uint64_t now_ms)
{
	*ret = (struct votes_input){
		.table = repl->phase == REPL_OPEN ? repl->vtable : repl->table,
		.present = repl->present,
		.is_dynamic = setting_get(db, SETTING_QUORUM_DYNAMIC, NULL),
		.is_stopping = setting_get(db, SETTING_CLUSTER_STOPPING, NULL),
		.absent_ms = setting_get(db, SETTING_QUORUM_ABSENT_MS, NULL),
		.now_ms = now_ms,
	};
	memcpy(ret->absent_since_ms, missed_ms, sizeof(ret->absent_since_ms));
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		const struct cl_member *m = &ret->table.member[i];

		if (m->nodeid)
			ret->priority[i] =
				(uint8_t)setting_get(db, SETTING_QUORUM_PRIORITY, m->name);
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++)
		add_node(repl, db_at(db, DB_KIND_NODE, i), ret);
	ret->holders = (uint16_t)(ret->holders & ret->present);
}
