/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replication core, the witness: who is to claim it in this view, and what its claim changes. What
 * the witness holds is known from CLAIMED alone, which its owner sends. See repl.h and witness.h.
 */
#include "clusterd/core/repl_internal.h"

#include <errno.h>

uint32_t repl_countable(const struct repl_state *s)
{
	return s->countable | (s->witness.counts ? CL_WITNESS_BIT : 0);
}

void repl_witness_judge(struct repl_state *s)
{
	s->quorum = quorum_evaluate(&s->vtable, repl_countable(s));
	if (REPL_MUTANT(s, WITNESS_OF_FEW) && s->witness.counts)
		s->quorum.is_quorate = true;
}

/* The lowest of those whose vote counts and whose disk answers; the same on every node. */
static uint8_t choose_claimer(const struct repl_state *s)
{
	uint8_t lowest = CL_NODE_NONE;

	for (uint8_t i = 0; i < s->peer_count; i++) {
		const struct repl_peer *p = &s->peer[i];

		if (p->slot != CL_NODE_NONE && (s->countable & cl_bit(p->slot)) &&
		    p->state.reaches && p->slot < lowest)
			lowest = p->slot;
	}
	return lowest;
}

void repl_witness_view(struct repl_state *s)
{
	bool is_reached = s->witness.is_reached;

	s->witness = (struct repl_witness){.is_reached = is_reached, .claimer = CL_NODE_NONE};
	for (uint8_t i = 0; i < s->peer_count; i++) {
		const struct repl_peer *p = &s->peer[i];

		if (p->slot != CL_NODE_NONE && p->state.reaches)
			s->witness.reaches |= cl_bit(p->slot);
	}
	s->witness.claimer = choose_claimer(s);
	s->witness.set = (uint16_t)(s->countable & quorum_voters(&s->vtable));
	if (REPL_MUTANT(s, WITNESS_UNCLAIMED)) {
		s->witness.counts = quorum_witness_decides(&s->vtable, s->countable);
		s->witness.persisted = UINT64_MAX;
	}
}

void repl_lease_extend(struct repl_state *s)
{
	if (REPL_MUTANT(s, WITNESS_UNCLAIMED) ||
	    (REPL_MUTANT(s, WITNESS_FOR_EVER) && s->witness.counts))
		s->lease.witness_ms = UINT64_MAX;
	/* A forced quorum is none before each of those who force has it on its disk. */
	if (s->quorum.is_quorate && (!s->is_forced || s->phase == REPL_OPEN))
		lease_extend(&s->lease, &s->vtable, repl_countable(s), s->config.lease_ms);
}

/*
 * Not needed now, but before it is: a share has to know who is here, so that any of them may go on
 * with it; and who alone is to have a vote has to hold the history before the others give theirs.
 */
static bool is_wanted_ahead(const struct repl_state *s)
{
	if (s->phase != REPL_OPEN)
		return false;
	if (s->vtable.witness.nodeid == CL_WITNESS_SOLE)
		return true;
	return quorum_is_share(&s->vtable) && s->vtable.witness.vote && s->witness.set &&
	       !s->witness.is_recorded;
}

bool repl_witness_wants_view(const struct repl_state *s)
{
	uint16_t late = (uint16_t)(quorum_voters(&s->vtable) & s->countable & ~s->witness.set);
	uint16_t others = (uint16_t)(s->witness.reaches & s->countable);

	if (!repl_is_sequencer(s) || s->change_pending ||
	    !quorum_is_majority(&s->vtable, s->countable))
		return false;
	/* Nobody was here who reached it when this view began, or who was does not any more. */
	if (is_wanted_ahead(s) && !s->witness.counts && others &&
	    (s->witness.claimer == CL_NODE_NONE || !(others & cl_bit(s->witness.claimer))))
		return true;
	if (!quorum_is_share(&s->vtable) || !s->vtable.witness.vote || !others ||
	    REPL_MUTANT(s, SHARE_SET_STAYS))
		return false;
	/* Who votes and holds everything now could not go on with the share. */
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if ((late & cl_bit(i)) && s->persisted[i] >= s->commit)
			return true;
	}
	return false;
}

/* A share persists nothing: each of those whom it knows has to. */
bool repl_witness_holds(const struct repl_state *s, uint64_t index)
{
	if (!quorum_is_share(&s->vtable))
		return s->witness.persisted >= index;
	if (!s->witness.counts || !s->witness.is_recorded)
		return false;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if ((s->witness.set & cl_bit(i)) && s->persisted[i] < index &&
		    !REPL_MUTANT(s, SHARE_PERSISTS))
			return false;
	}
	return true;
}

void repl_witness_replaced(struct repl_state *s)
{
	s->witness.counts = s->witness.is_recorded = false;
	s->witness.floor = s->witness.persisted = 0;
	s->lease.witness_ms = 0;
}

bool repl_witness_is_wanted(const struct repl_state *s)
{
	if (!s->view_complete || s->phase < REPL_INQUORATE || s->self_slot == CL_NODE_NONE ||
	    s->witness.claimer != s->self_slot)
		return false;
	return s->witness.counts || quorum_witness_decides(&s->vtable, s->countable) ||
	       is_wanted_ahead(s) || REPL_MUTANT(s, WITNESS_OF_FEW);
}

/* It is nobody's any more: who needs it has no quorum, and leaves the view to begin anew. */
static void lost(struct repl_step *st)
{
	struct repl_state *s = st->s;

	s->witness.counts = false;
	repl_witness_judge(s);
	if (!s->quorum.is_quorate && s->phase > REPL_INQUORATE)
		repl_view_restart(st);
}

void repl_witness_claimed(struct repl_step *st, uint8_t slot, const struct cl_msg_claimed *m)
{
	struct repl_state *s = st->s;

	if (slot != s->witness.claimer)
		return;
	if (s->is_forced && !s->vtable.witness.vote)
		return; /* begun before the force, which took its vote */
	if (!m->is_held) {
		lost(st);
		return;
	}
	if (quorum_is_share(&s->vtable)) {
		s->witness.is_recorded |= m->promised && m->promised == s->number;
		/* Claimed so that it knows who is here; its vote is not needed. */
		if (!s->witness.counts && quorum_is_majority(&s->vtable, s->countable) &&
		    !REPL_MUTANT(s, WITNESS_OF_FEW))
			return;
	}
	lease_witness_heard(&s->lease, m->seen.of[s->self_slot], m->valid_ms);
	s->witness.valid_ms = m->valid_ms;
	if (!s->witness.counts) {
		s->witness.counts = true;
		s->witness.floor = m->floor;
		repl_witness_judge(s);
		if (s->phase == REPL_INQUORATE && s->quorum.is_quorate)
			repl_view_sync(st);
	}
	if (!s->quorum.is_quorate)
		return;
	repl_lease_extend(s);
	if (m->promised && m->promised == s->number)
		repl_view_add_synced(st, CL_WITNESS_BIT);
	if (m->persisted <= s->witness.persisted)
		return;
	s->witness.persisted = m->persisted;
	repl_log_try_commit(st);
}

int repl_witness_say(struct repl_step *st)
{
	struct repl_state *s = st->s;
	struct cl_msg_claimed *m;

	if (!repl_witness_is_wanted(s) || !cl_view_equal(&st->event->claimed.view, &s->view))
		return -ESTALE;
	m = &repl_send(st, CL_MSG_CLAIMED)->claimed;
	*m = st->event->claimed;
	return 0;
}

/*
 * The witness holds a higher history than anyone here: it is installed as a pulled one would be,
 * and then everybody is told. To replace a lower history by a higher one needs no quorum: whatever
 * was ever committed is in the higher one.
 */
int repl_witness_adopt(struct repl_step *st)
{
	struct repl_state *s = st->s;

	if (s->phase != REPL_INQUORATE || s->pull_active || s->is_stalled ||
	    s->durable < s->last.index || !cl_view_equal(&st->event->adopt.view, &s->view) ||
	    cl_pos_compare(&st->event->adopt.last, &s->last) <= 0)
		return -ESTALE;
	s->pull_active = true;
	s->witness.is_adopting = true;
	return 0;
}

void repl_witness_reach(struct repl_step *st)
{
	struct repl_state *s = st->s;
	bool can_claim = false, is_claimer;

	if (s->witness.is_reached == st->event->is_reached)
		return;
	s->witness.is_reached = st->event->is_reached;
	if (!s->view_complete || s->phase != REPL_INQUORATE ||
	    !quorum_witness_decides(&s->vtable, s->countable))
		return;
	/* The vote is wanted: who claims it is chosen anew, in the next view. */
	is_claimer = s->witness.claimer == s->self_slot;
	if (s->witness.is_reached && s->witness.claimer == CL_NODE_NONE)
		can_claim = s->countable & cl_bit(s->self_slot);
	if (can_claim || (is_claimer && !s->witness.is_reached))
		repl_view_restart(st);
}
