/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/node_state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "clusterd/core/member.h"
#include "clusterd/core/quarantine.h"
#include "clusterd/core/stuck.h"
#include "clusterd/core/upgrade.h"

static void __attribute__((format(printf, 3, 4)))
is(struct node_condition *ret, enum node_state state, const char *format, ...)
{
	va_list ap;

	ret->state = state;
	va_start(ap, format);
	(void)vsnprintf(ret->reason, sizeof(ret->reason), format, ap);
	va_end(ap);
}

void node_incompatible_text(const struct repl_state *repl, const struct cl_versions *speaks,
			    const char *build, char *text, size_t size)
{
	uint32_t version = cl_table_version(&repl->vtable);
	char range[32];

	if (cl_speaks(speaks, version)) {
		snprintf(text, size,
			 "it and the others have no version of the protocol in common: update it");
		return;
	}
	upgrade_range_text(speaks, range, sizeof(range));
	snprintf(text, size, "version %u is in force, its clusterd (%.40s) speaks %s: %s", version,
		 build, range,
		 speaks->highest < version ? "update it" : "it is too new, install an older one");
}

/* ---- this node, outside of an open epoch */

static void is_incompatible(const struct repl_state *s, const struct cl_versions *speaks,
			    const char *build, struct node_condition *ret)
{
	ret->state = NODE_STATE_INCOMPATIBLE;
	node_incompatible_text(s, speaks, build, ret->reason, sizeof(ret->reason));
}

static void condition_of_self(const struct repl_state *s, struct node_condition *ret)
{
	if (s->phase == REPL_REFUSED && s->refusal == REPL_REFUSED_INCOMPATIBLE)
		is_incompatible(s, &s->self.versions, s->self.build.text, ret);
	else if (s->phase == REPL_REFUSED)
		is(ret, NODE_STATE_ISOLATED, "the others refuse it: %s",
		   repl_refusal_name(s->refusal));
	else if (s->phase == REPL_PULLING)
		is(ret, NODE_STATE_JOINING, "fetches the database from another node");
	else if (s->phase == REPL_SYNCING)
		is(ret, NODE_STATE_JOINING, "waits until a majority has the same history");
	else if (s->phase == REPL_INQUORATE)
		is(ret, NODE_STATE_ISOLATED, "no quorum: %u of %u votes are here, %u are needed",
		   s->quorum.votes_present, s->quorum.votes_total, s->quorum.votes_needed);
	else
		is(ret, NODE_STATE_ISOLATED, "no quorum: %s", repl_phase_name(s->phase));
}

/* ---- any node, seen from an open epoch */

static bool is_same_boot(const struct node_facts *f)
{
	return f->peer && f->row && f->peer->state.incarnation == f->row->incarnation;
}

/* Its process is in the view, and is not the one that the database has admitted. */
static bool is_to_be_admitted(const struct node_facts *f)
{
	const struct db_node *n = f->row;

	if (!f->peer || f->peer->refusal != REPL_ADMITTED)
		return false;
	if (!n)
		return true;
	if (n->is_evicted)
		return false;
	if (is_same_boot(f) &&
	    (n->membership == DB_MEMBERSHIP_FENCED || n->membership == DB_MEMBERSHIP_FENCING))
		return false;
	return !(is_same_boot(f) && f->peer->state.instance == n->instance &&
		 (n->membership == DB_MEMBERSHIP_ADMITTED || n->membership == DB_MEMBERSHIP_LEFT));
}

static void condition_of_joining(const struct node_facts *f, struct node_condition *ret)
{
	uint64_t at = f->repl->persisted[f->slot], end = f->repl->commit;

	if (!at)
		is(ret, NODE_STATE_JOINING, "fetches the database");
	else if (at < end)
		is(ret, NODE_STATE_JOINING, "is %" PRIu64 " entries behind", end - at);
	else
		is(ret, NODE_STATE_JOINING, "has the database, and is admitted next");
}

static void condition_of_lost(const struct node_facts *f, struct node_condition *ret)
{
	bool has_device = stuck_has_device(f->db, f->slot);

	is(ret, NODE_STATE_LOST, "%s%s",
	   f->row->membership == DB_MEMBERSHIP_LOST
		   ? "went without a word, and is not proven to be off"
		   : "has left corosync's ring",
	   has_device ? "" : ": no fence device covers it, see 'fence create'");
}

static void condition_of_admitted(const struct node_facts *f, struct node_condition *ret)
{
	const struct db_node *n = f->row;
	char often[64];

	if (!f->peer && !f->is_in_ring) {
		condition_of_lost(f, ret);
	} else if (f->peer && f->peer->refusal != REPL_ADMITTED) {
		is(ret, NODE_STATE_DAEMON_LOST, "its clusterd is refused: %s",
		   repl_refusal_name(f->peer->refusal));
	} else if (!f->peer) {
		is(ret, NODE_STATE_DAEMON_LOST,
		   "corosync is there, clusterd has been away for %" PRIu64
		   " s: it is lost after %" PRIu64 " s",
		   f->missed_ms / 1000, f->repl->config.lease_ms / 1000);
	} else if (n->is_quarantined) {
		quarantine_text(f->db, n, often, sizeof(often));
		is(ret, NODE_STATE_QUARANTINED, "%s: mend it, then 'node quarantine-clear %s'",
		   often, n->name);
	} else if (n->is_leaving) {
		is(ret, NODE_STATE_DRAINING, "its clusterd stops");
	} else if (n->is_draining) {
		is(ret, NODE_STATE_DRAINING, "kept empty until 'node resume %s'", n->name);
	} else if (n->is_paused) {
		is(ret, NODE_STATE_PAUSED, "gets nothing new until 'node resume %s'", n->name);
	} else {
		is(ret, NODE_STATE_UP, "%s", "");
	}
}

static void condition_of_row(const struct node_facts *f, struct node_condition *ret)
{
	const struct db_node *n = f->row;
	const char *keeps;

	if (n->membership == DB_MEMBERSHIP_FENCED) {
		is(ret, NODE_STATE_FENCED, "%s",
		   f->peer ? "this boot of it is fenced: reboot it" : "that boot of it is over");
	} else if (n->membership == DB_MEMBERSHIP_FENCING) {
		is(ret, NODE_STATE_FENCING, "see 'fence history'");
	} else if (n->membership == DB_MEMBERSHIP_LOST) {
		condition_of_lost(f, ret);
	} else if (n->is_evicted) {
		keeps = member_keeps(f->db, n);
		is(ret, NODE_STATE_EVICTED, "%s", keeps ? keeps : "its vote and its row go");
	} else if (n->membership == DB_MEMBERSHIP_LEFT) {
		is(ret, NODE_STATE_LEFT, "stopped cleanly");
	} else if (n->membership == DB_MEMBERSHIP_NEVER) {
		is(ret, NODE_STATE_NEVER_SEEN, "its clusterd has not been started yet");
	} else {
		condition_of_admitted(f, ret);
	}
}

static void peer_is_incompatible(const struct node_facts *f, struct node_condition *ret)
{
	struct cl_versions v = repl_versions(&f->peer->state);

	is_incompatible(f->repl, &v, f->peer->state.build.text, ret);
}

void node_condition(const struct node_facts *f, struct node_condition *ret)
{
	if (f->repl->phase != REPL_OPEN && f->slot == f->repl->self_slot)
		condition_of_self(f->repl, ret);
	else if (f->repl->phase != REPL_OPEN)
		is(ret, NODE_STATE_UNKNOWN, "this node is in no view that has quorum");
	else if (f->peer && f->peer->refusal == REPL_REFUSED_INCOMPATIBLE)
		peer_is_incompatible(f, ret);
	else if (is_to_be_admitted(f))
		condition_of_joining(f, ret);
	else if (!f->row)
		is(ret, NODE_STATE_NEVER_SEEN, "its clusterd has not been started yet");
	else
		condition_of_row(f, ret);
}

void node_facts(struct node_facts *ret, const struct repl_state *repl, const struct db *db,
		const uint32_t *ring, size_t ring_count, uint8_t slot,
		const uint64_t missed_ms[CL_MAX_NODES], uint64_t now_ms)
{
	const struct db_node *n = db_node_by_slot(db, slot);
	uint32_t nodeid = n ? n->nodeid : repl->vtable.member[slot].nodeid;

	*ret = (struct node_facts){.db = db, .row = n, .repl = repl, .slot = slot};
	for (uint8_t i = 0; repl->view_complete && i < repl->peer_count; i++) {
		const struct repl_peer *p = &repl->peer[i];

		/* A second process of the node says nothing of the first. */
		if (p->nodeid == nodeid && (!ret->peer || p->slot == slot))
			ret->peer = p;
	}
	for (size_t i = 0; i < ring_count; i++)
		ret->is_in_ring = ret->is_in_ring || ring[i] == nodeid;
	if (missed_ms[slot] && now_ms > missed_ms[slot])
		ret->missed_ms = now_ms - missed_ms[slot];
}

const char *node_state_word(enum node_state state)
{
	static const char *const word[NODE_STATE_MAX] = {
#define NODE_STATE_WORD(NAME, text) [NODE_STATE_##NAME] = text,
		NODE_STATES(NODE_STATE_WORD)
#undef NODE_STATE_WORD
	};

	return state < NODE_STATE_MAX ? word[state] : "?";
}
