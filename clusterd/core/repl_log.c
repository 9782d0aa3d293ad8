/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replication core, the log within an epoch: sequence, persist, commit. See repl.h. */
#include <errno.h>

#include "clusterd/core/repl_internal.h"
#include "lib/must.h"

/* Gives the next index to an entry and multicasts it. */
static void sequence(struct repl_step *st, const struct repl_entry *entry)
{
	struct repl_state *s = st->s;
	struct cl_msg_entry *m = &repl_send(st, CL_MSG_ENTRY)->entry;

	if (entry->kind == CL_ENTRY_TABLE)
		s->next_table = s->next;
	m->view = s->view;
	m->epoch = s->epoch;
	m->index = s->next++;
	m->kind = entry->kind;
	m->origin = entry->origin;
	m->instance = entry->instance;
	m->request = entry->request;
	m->payload = entry->payload;
}

/* Of the entry that opens the epoch of this view. */
static uint8_t opening_kind(const struct repl_state *s)
{
	return s->is_forced ? CL_ENTRY_FORCED : CL_ENTRY_EPOCH;
}

void repl_log_begin_epoch(struct repl_step *st)
{
	struct repl_state *s = st->s;

	struct repl_entry first = {
		.kind = opening_kind(s), .origin = s->self_slot, .instance = s->self.instance};

	s->next = s->winner.index + 1;
	s->next_table = 0;
	if (s->is_forced)
		must(!repl_force_record(s, &first.payload));
	sequence(st, &first);
}

static void table_set(struct cl_table *table, uint8_t slot, const struct cl_member *row,
		      uint64_t index)
{
	*cl_table_row(table, slot) = *row;
	table->changed_at = index;
}

static bool is_taken(uint8_t found, uint8_t slot)
{
	return found != CL_NODE_NONE && found != slot;
}

/* The new table if the entry is an allowed change of `from`. */
static int table_after(const struct cl_table *from, struct cl_blob payload, uint64_t index,
		       struct cl_table *ret)
{
	struct cl_table to = *from;
	struct cl_member row;
	uint8_t slot;

	if (cl_row_decode(payload, &slot, &row))
		return -EINVAL;
	table_set(&to, slot, &row, index);
	if (slot == CL_VERSION_SLOT) {
		if (row.nodeid <= cl_table_version(from))
			return -EINVAL; /* none is taken back */
		*ret = to;
		return 0;
	}
	if (row.nodeid && (is_taken(quorum_find_nodeid(from, row.nodeid), slot) ||
			   is_taken(quorum_find_name(from, row.name), slot)))
		return -EINVAL;
	if (!quorum_change_allowed(from, &to))
		return -EINVAL;
	*ret = to;
	return 0;
}

static void append(struct repl_step *st, const struct repl_entry *entry)
{
	struct repl_state *s = st->s;

	repl_act(st, s->is_pulling ? REPL_DO_HOLD : REPL_DO_APPEND)->entry = *entry;
	if (s->is_pulling)
		return;
	s->last = (struct cl_pos){.epoch = entry->epoch, .index = entry->index};
	if (!REPL_MUTANT(s, COMMITTED_TABLE))
		s->table = s->vtable;
	if (REPL_MUTANT(s, ACK_BEFORE_FSYNC)) {
		struct cl_msg_persisted *m = &repl_send(st, CL_MSG_PERSISTED)->persisted;

		m->view = s->view;
		m->index = entry->index;
	}
}

/* What makes an entry the next one of this view; anything else means that one was missed. */
static bool is_next(const struct repl_state *s, uint8_t slot, const struct cl_msg_entry *m)
{
	if (slot != s->starter || cl_epoch_compare(&m->epoch, &s->epoch) ||
	    m->epoch.starter != slot)
		return false;
	if (m->index != s->view_last + 1)
		return false;
	if (!s->epoch_index)
		return m->kind == opening_kind(s);
	return m->kind == CL_ENTRY_COMMAND || m->kind == CL_ENTRY_TABLE;
}

/* Mutant: no sequencer; everyone numbers what arrives. */
static void number_by_delivery(const struct repl_state *s, struct cl_msg_entry *m)
{
	if (REPL_MUTANT(s, ANYONE_SEQUENCES) && s->epoch_index && m->kind == CL_ENTRY_COMMAND) {
		m->index = s->view_last + 1;
		m->epoch = s->epoch;
	}
}

static void send_persisted(struct repl_step *st)
{
	struct repl_state *s = st->s;
	struct cl_msg_persisted *m;

	if (!repl_epoch_begun(s) || s->phase == REPL_EXCHANGE || s->is_pulling ||
	    s->self_slot == CL_NODE_NONE)
		return;
	if (s->durable < s->epoch_index || cl_epoch_compare(&s->last.epoch, &s->epoch))
		return;
	s->is_behind = false; /* what a majority without our vote holds is on our disk again */
	m = &repl_send(st, CL_MSG_PERSISTED)->persisted;
	m->view = s->view;
	m->index = s->durable;
}

void repl_log_entry(struct repl_step *st, uint8_t slot, const struct cl_msg_entry *msg)
{
	struct repl_state *s = st->s;
	struct cl_msg_entry copy = *msg;
	const struct cl_msg_entry *m = &copy;
	struct repl_entry entry;

	number_by_delivery(s, &copy);
	if (s->is_broken)
		return;
	if (!is_next(s, slot, m) && !(REPL_MUTANT(s, ANYONE_SEQUENCES) && s->epoch_index)) {
		s->is_broken = true; /* the next tick asks for a new exchange */
		return;
	}
	if (m->kind == CL_ENTRY_TABLE) {
		struct cl_table to;

		if (table_after(&s->vtable, m->payload, m->index, &to) ||
		    !cl_speaks(&s->self.versions, cl_table_version(&to))) {
			s->is_broken = true;
			return;
		}
		s->vprev = s->vtable;
		s->vtable = to;
		s->change_pending = true;
		if (quorum_is_other_witness(&s->vprev, &s->vtable))
			repl_witness_replaced(s);
		repl_witness_judge(s);
	}
	if (!s->epoch_index)
		s->epoch_index = m->index;
	s->view_last = m->index;
	entry = (struct repl_entry){
		.epoch = m->epoch,
		.index = m->index,
		.kind = m->kind,
		.origin = m->origin,
		.instance = m->instance,
		.request = m->request,
		.payload = m->payload,
	};
	/* An install may have brought it already, from a donor that was ahead of this delivery. */
	if (s->is_pulling || m->index > s->last.index)
		append(st, &entry);
	else if (m->index == s->epoch_index)
		send_persisted(st); /* no DURABLE comes for it: the others would not know */
	if (REPL_MUTANT(s, ACT_BEFORE_COMMIT))
		repl_log_try_commit(st);
}

void repl_log_durable(struct repl_step *st)
{
	struct repl_state *s = st->s;

	must(st->event->index <= s->last.index);
	if (st->event->index > s->durable) {
		s->durable = st->event->index;
		if (!REPL_MUTANT(s, ACK_BEFORE_FSYNC))
			send_persisted(st);
	}
	repl_view_try_state(st);
}

/* Nodes, and the witness. */
static uint32_t holders_of(const struct repl_state *s, uint64_t index)
{
	uint32_t set = repl_witness_holds(s, index) ? CL_WITNESS_BIT : 0;

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (s->persisted[i] >= index)
			set |= cl_bit(i);
	}
	return set;
}

/*
 * An entry is committed when a majority holds it; from a change of votes on, of the old votes and
 * of the new. Entries of earlier epochs are committed with this epoch's first entry only (Ongaro
 * 2014, 3.6.2: counting copies of an older entry proves nothing). The entry that forces quorum has
 * to be on the disk of each that forces: the majority that it makes need not share a voter with the
 * old.
 */
static bool is_held(const struct repl_state *s, uint64_t index)
{
	uint32_t set = holders_of(s, index);
	bool is_after_change = s->change_pending && index >= s->vtable.changed_at;

	if (REPL_MUTANT(s, ACT_BEFORE_COMMIT))
		return true;
	if (s->is_forced && index == s->epoch_index)
		return (quorum_voters(&s->forced.table) & ~set) == 0;
	if (!s->change_pending || REPL_MUTANT(s, VOTES_IN_A_BUNCH))
		return quorum_is_majority(&s->vtable, set);
	if (!quorum_is_majority(&s->vprev, set) && !REPL_MUTANT(s, NEW_MAJORITY_ONLY))
		return false;
	return !is_after_change || quorum_is_majority(&s->vtable, set);
}

static void open_if_ready(struct repl_step *st)
{
	struct repl_state *s = st->s;

	if (s->is_pulling || s->phase == REPL_OPEN || s->commit < s->epoch_index ||
	    s->last.index < s->epoch_index)
		return;
	s->phase = REPL_OPEN;
	repl_act(st, REPL_DO_OPENED);
}

void repl_log_try_commit(struct repl_step *st)
{
	struct repl_state *s = st->s;
	uint64_t i = s->commit < s->epoch_index ? s->epoch_index : s->commit + 1;
	uint64_t before = s->commit;

	if (!repl_epoch_begun(s))
		return;
	for (; i <= s->view_last && is_held(s, i); i++) {
		s->commit = i;
		if (s->change_pending && i >= s->vtable.changed_at)
			s->change_pending = false;
	}
	if (REPL_MUTANT(s, COMMITTED_TABLE) && !s->change_pending)
		s->table = s->vtable;
	if (s->commit == before || s->is_pulling)
		return;
	repl_act(st, REPL_DO_COMMIT)->index = s->commit;
	open_if_ready(st);
}

void repl_log_persisted(struct repl_step *st, uint8_t slot, const struct cl_msg_persisted *m)
{
	struct repl_state *s = st->s;

	if (m->index <= s->persisted[slot])
		return;
	s->persisted[slot] = m->index;
	/* A node that began the view blank holds the history now: its vote counts from here on. */
	s->countable = (uint16_t)(s->countable | cl_bit(slot));
	repl_witness_judge(s);
	repl_log_try_commit(st);
}

void repl_log_caught_up(struct repl_step *st)
{
	struct repl_state *s = st->s;

	send_persisted(st);
	if (!repl_epoch_begun(s) || s->commit < s->epoch_index)
		return;
	repl_act(st, REPL_DO_COMMIT)->index = s->commit < s->last.index ? s->commit : s->last.index;
	open_if_ready(st);
}

/* ---- requests */

static bool has_room(const struct repl_state *s)
{
	return s->next - s->commit < REPL_MAX_INFLIGHT;
}

void repl_log_propose_msg(struct repl_step *st, uint8_t slot, const struct cl_msg_propose *m)
{
	struct repl_state *s = st->s;

	if (!repl_is_sequencer(s) || !has_room(s) || REPL_MUTANT(s, ANYONE_SEQUENCES))
		return;
	sequence(st, &(struct repl_entry){.kind = CL_ENTRY_COMMAND,
					  .origin = slot,
					  .instance = m->instance,
					  .request = m->request,
					  .payload = m->payload});
}

/* Who is in the view stays in it, whatever is put in force. */
static bool all_speak(const struct repl_state *s, const struct cl_table *table)
{
	for (uint8_t i = 0; i < s->peer_count; i++) {
		struct cl_versions v = repl_versions(&s->peer[i].state);

		if (s->peer[i].slot != CL_NODE_NONE && !cl_speaks(&v, cl_table_version(table)))
			return false;
	}
	return true;
}

static int propose_table(struct repl_step *st)
{
	struct repl_state *s = st->s;
	struct cl_table to;
	uint16_t gains;
	int r;

	if (!repl_is_sequencer(s))
		return -EPERM;
	/* Also while one is sequenced but not yet delivered to us. */
	if ((s->change_pending || s->next_table > s->view_last) &&
	    !REPL_MUTANT(s, VOTES_IN_A_BUNCH))
		return -EBUSY;
	r = table_after(&s->vtable, st->event->propose.payload, s->next, &to);
	if (r)
		return r;
	if (!all_speak(s, &to))
		return -EINVAL;
	gains = (uint16_t)(quorum_voters(&to) & ~quorum_voters(&s->vtable));
	if (gains & ~holders_of(s, s->commit))
		return -EINVAL;
	if (!quorum_is_majority(&to, repl_countable(s)))
		return -EINVAL;
	return 0;
}

int repl_log_propose(struct repl_step *st)
{
	struct repl_state *s = st->s;
	const struct repl_event *e = st->event;
	struct cl_msg_propose *m;
	int r;

	if (e->propose.payload.len > CL_MSG_PAYLOAD_MAX ||
	    (e->propose.kind != CL_ENTRY_COMMAND && e->propose.kind != CL_ENTRY_TABLE))
		return -EINVAL;
	if (s->phase != REPL_OPEN || s->is_broken)
		return -EAGAIN;
	if (e->propose.kind == CL_ENTRY_TABLE) {
		r = propose_table(st);
		if (r)
			return r;
	}
	if (repl_is_sequencer(s) || REPL_MUTANT(s, ANYONE_SEQUENCES)) {
		if (!has_room(s) && !REPL_MUTANT(s, ANYONE_SEQUENCES))
			return -EAGAIN;
		sequence(st, &(struct repl_entry){.kind = e->propose.kind,
						  .origin = s->self_slot,
						  .instance = s->self.instance,
						  .request = e->propose.request,
						  .payload = e->propose.payload});
		return 0;
	}
	m = &repl_send(st, CL_MSG_PROPOSE)->propose;
	m->view = s->view;
	m->instance = s->self.instance;
	m->request = e->propose.request;
	m->payload = e->propose.payload;
	return 0;
}
