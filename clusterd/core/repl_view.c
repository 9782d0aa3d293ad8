/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replication core, the way from a change of the group to a synced majority. See repl.h. */
#include <string.h>

#include "clusterd/core/repl_internal.h"
#include "lib/must.h"

/* Ends acting in the current view. What is ordered (round_open, the view's id) is not touched. */
static void stop_acting(struct repl_step *st, enum repl_phase phase)
{
	struct repl_state *s = st->s;

	if (s->is_pulling || s->witness.is_adopting)
		repl_act(st, REPL_DO_CANCEL_PULL);
	if (s->phase == REPL_OPEN)
		repl_act(st, REPL_DO_CLOSED);
	s->is_pulling = false;
	s->phase = phase;
}

/* Begins an ordered round of the exchange: every node does this at the same delivery. */
static void begin_round(struct repl_step *st)
{
	struct repl_state *s = st->s;

	for (uint8_t i = 0; i < s->peer_count; i++) {
		s->peer[i].has_state = false;
		s->peer[i].slot = CL_NODE_NONE;
	}
	s->round_open = true;
	s->round_ms = st->event->now_ms;
	s->view_complete = false;
	s->epoch_index = 0;
	s->synced = 0;
	s->starter = CL_NODE_NONE;
	s->is_broken = false;
	s->is_forced = false;
}

/* What is on the disk stays there until a whole history replaces it: a restart is judged anew. */
static void forget(struct repl_state *s)
{
	s->is_wrong = s->is_behind = false;
	s->is_blank = true;
	s->cluster = (struct cl_uuid){{0}};
	s->last = (struct cl_pos){0};
	s->durable = 0;
	s->table = (struct cl_table){0};
}

void repl_view_try_state(struct repl_step *st)
{
	struct repl_state *s = st->s;
	bool is_quiet = s->durable == s->last.index && !s->promising && !s->pull_active;
	struct cl_msg_state *m;

	if (!s->state_wanted || s->phase == REPL_DOWN)
		return;
	if (!is_quiet && (!s->is_stalled || s->pull_active) &&
	    !REPL_MUTANT(s, STATE_BEFORE_DURABLE))
		return; /* DURABLE, PROMISED or PULLED comes back here */
	/* A disk that takes nothing would keep us silent: then we claim nothing, but promises. */
	s->is_hollow = s->is_stalled && !REPL_MUTANT(s, STATE_BEFORE_DURABLE);
	if (is_quiet && s->is_wrong)
		forget(s);
	s->state_wanted = false;
	s->state_inflight = true;
	s->state_nonce = st->event->entropy;
	m = &repl_send(st, CL_MSG_STATE)->state;
	*m = (struct cl_msg_state){
		.nonce = st->event->entropy,
		.ring = s->ring,
		.members_hash = s->members_hash,
		.protocol_min = CL_PROTOCOL_MIN,
		.protocol_max = CL_PROTOCOL_MAX,
		.cluster = s->cluster,
		.name = s->self.name,
		.boot = s->self.boot,
		.incarnation = s->self.incarnation,
		.instance = s->self.instance,
		.is_blank = s->is_blank || s->is_hollow,
		.is_behind = s->is_behind,
		.promised = s->promised > s->promising ? s->promised : s->promising,
		.reaches = s->witness.is_reached,
		.version_min = s->self.versions.lowest,
		.version_max = s->self.versions.highest,
		.build = s->self.build,
	};
	if (s->is_hollow)
		return;
	m->last = s->last;
	m->table = s->table;
}

static void want_state(struct repl_step *st)
{
	st->s->state_wanted = !st->s->state_inflight;
	repl_view_try_state(st);
}

/* Like a lost disk: no vote and no source, until the history of the others is here. */
void repl_view_wrong(struct repl_step *st)
{
	stop_acting(st, REPL_EXCHANGE);
	st->s->is_wrong = true;
	st->s->state_wanted = true; /* even if one is in flight: that one says that we hold it */
	repl_view_try_state(st);
}

void repl_view_restart(struct repl_step *st)
{
	stop_acting(st, REPL_EXCHANGE);
	want_state(st);
}

static void take_members(struct repl_state *s, const struct repl_event *e)
{
	s->peer_count = e->confchg.count;
	for (uint8_t i = 0; i < e->confchg.count; i++) {
		s->peer[i] = (struct repl_peer){
			.nodeid = e->confchg.member[i].nodeid,
			.pid = e->confchg.member[i].pid,
			.slot = CL_NODE_NONE,
		};
	}
	s->ring = e->confchg.ring;
	s->members_hash = repl_members_hash(e->confchg.member, e->confchg.count);
}

void repl_view_confchg(struct repl_step *st)
{
	struct repl_state *s = st->s;

	must(st->event->confchg.count <= REPL_MAX_PEERS);
	stop_acting(st, REPL_EXCHANGE);
	take_members(s, st->event);
	begin_round(st);
	s->state_inflight = false;
	want_state(st);
}

void repl_view_left(struct repl_step *st)
{
	struct repl_state *s = st->s;

	stop_acting(st, REPL_DOWN);
	begin_round(st);
	s->round_open = false;
	s->peer_count = 0;
	s->state_wanted = false;
	s->state_inflight = false;
	s->self_slot = CL_NODE_NONE;
}

/* ---- a complete exchange */

static bool speaks_our_protocol(const struct cl_msg_state *m)
{
	return m->protocol_min <= CL_PROTOCOL_MAX && m->protocol_max >= CL_PROTOCOL_MIN;
}

struct cl_versions repl_versions(const struct cl_msg_state *m)
{
	return (struct cl_versions){m->version_min, m->version_max};
}

/* Everything that this table is in force for. */
static bool speaks_version(const struct cl_msg_state *m, const struct cl_table *table)
{
	struct cl_versions v = repl_versions(m);

	return cl_speaks(&v, cl_table_version(table));
}

static bool same_cluster(const struct cl_uuid *a, const struct cl_uuid *b)
{
	return !memcmp(a->byte, b->byte, sizeof(a->byte));
}

static bool has_history(const struct repl_peer *p)
{
	return p->has_state && !p->state.is_blank && speaks_our_protocol(&p->state);
}

static const struct repl_peer *find_self(const struct repl_state *s)
{
	for (uint8_t i = 0; i < s->peer_count; i++) {
		if (s->peer[i].nodeid == s->self.nodeid && s->peer[i].pid == s->self.pid)
			return &s->peer[i];
	}
	return NULL;
}

/*
 * The cluster in whose name this view is judged: our own; for a blank node the one whose table
 * names it. Returns false (and why) when there is none or more than one.
 */
static bool choose_cluster(const struct repl_state *s, struct cl_uuid *ret, enum repl_refusal *why)
{
	bool found = false, is_one = true;
	const struct cl_uuid *seen = NULL;

	if (!s->is_blank) {
		*ret = s->cluster;
		return true;
	}
	*why = REPL_ADMITTED;
	for (uint8_t i = 0; i < s->peer_count; i++) {
		const struct repl_peer *p = &s->peer[i];
		uint8_t slot;

		if (!has_history(p))
			continue;
		slot = quorum_find_nodeid(&p->state.table, s->self.nodeid);
		is_one = is_one && (!seen || same_cluster(seen, &p->state.cluster));
		seen = &p->state.cluster;
		if (slot == CL_NODE_NONE ||
		    strcmp(p->state.table.member[slot].name, s->self.name.text) != 0)
			continue;
		if (found && !same_cluster(ret, &p->state.cluster)) {
			*why = REPL_REFUSED_AMBIGUOUS;
			return false;
		}
		found = true;
		*ret = p->state.cluster;
	}
	if (found || !seen)
		return found;
	if (!is_one) {
		*why = REPL_REFUSED_NOT_MEMBER;
		return false;
	}
	*ret = *seen; /* its table says why we are not in it: both sides give the same reason */
	return true;
}

/* Mutant: the promise says what was begun, not what is held. */
static struct cl_pos claimed_pos(const struct repl_state *s, const struct cl_msg_state *m)
{
	struct cl_pos pos = m->last;

	if (REPL_MUTANT(s, COMPARE_PROMISED) && m->promised > pos.epoch.number)
		pos.epoch.number = m->promised;
	return pos;
}

/* The peer with the highest history of that cluster; the lowest nodeid among equals. */
static const struct repl_peer *find_winner(const struct repl_state *s,
					   const struct cl_uuid *cluster)
{
	const struct repl_peer *best = NULL;

	for (uint8_t i = 0; i < s->peer_count; i++) {
		const struct repl_peer *p = &s->peer[i];
		struct cl_pos mine, theirs;
		int c;

		if (!has_history(p) || !same_cluster(&p->state.cluster, cluster))
			continue;
		if (!best) {
			best = p;
			continue;
		}
		mine = claimed_pos(s, &p->state);
		theirs = claimed_pos(s, &best->state);
		c = cl_pos_compare(&mine, &theirs);
		if (REPL_MUTANT(s, COMPARE_INDEX) && mine.index != theirs.index)
			c = mine.index < theirs.index ? -1 : 1;
		if (c > 0 || (c == 0 && p->nodeid < best->nodeid))
			best = p;
	}
	return best;
}

static enum repl_refusal judge(const struct repl_peer *p, const struct cl_table *table,
			       const struct cl_uuid *cluster)
{
	uint8_t slot = quorum_find_nodeid(table, p->nodeid);

	if (!p->has_state)
		return REPL_REFUSED_SILENT;
	if (!speaks_our_protocol(&p->state))
		return REPL_REFUSED_INCOMPATIBLE;
	if (!p->state.is_blank && !same_cluster(&p->state.cluster, cluster))
		return REPL_REFUSED_OTHER_CLUSTER;
	if (!speaks_version(&p->state, table))
		return REPL_REFUSED_INCOMPATIBLE;
	if (slot != CL_NODE_NONE && !strcmp(table->member[slot].name, p->state.name.text))
		return REPL_ADMITTED;
	if (slot != CL_NODE_NONE || quorum_find_name(table, p->state.name.text) != CL_NODE_NONE)
		return REPL_REFUSED_NAME;
	if (quorum_members(table) == UINT16_MAX)
		return REPL_REFUSED_FULL;
	return REPL_REFUSED_NOT_MEMBER;
}

/* Gives each peer its slot or the reason why it has none. */
static void admit(struct repl_state *s, const struct cl_table *table, const struct cl_uuid *cluster)
{
	s->present = 0;
	s->countable = 0;
	for (uint8_t i = 0; i < s->peer_count; i++) {
		struct repl_peer *p = &s->peer[i];

		p->refusal = judge(p, table, cluster);
		p->slot = CL_NODE_NONE;
		if (p->refusal != REPL_ADMITTED)
			continue;
		p->slot = quorum_find_nodeid(table, p->nodeid);
		if (s->present & cl_bit(p->slot)) { /* a second process of that node */
			p->slot = CL_NODE_NONE;
			p->refusal = REPL_REFUSED_SECOND;
			continue;
		}
		s->present = (uint16_t)(s->present | cl_bit(p->slot));
		if ((!p->state.is_blank || REPL_MUTANT(s, BLANK_VOTES)) &&
		    (!p->state.is_behind || REPL_MUTANT(s, OLD_DISK_VOTES)))
			s->countable = (uint16_t)(s->countable | cl_bit(p->slot));
	}
}

/*
 * The number of this view's epoch: above everything that anyone present promised or holds. A force
 * raises the generation.
 */
static void choose_epoch(struct repl_state *s)
{
	const struct cl_uuid *cluster = &s->vcluster;

	s->number = 0;
	s->generation = 0;
	for (uint8_t i = 0; i < s->peer_count; i++) {
		const struct cl_msg_state *m = &s->peer[i].state;

		if (!s->peer[i].has_state || !speaks_our_protocol(m) ||
		    !same_cluster(&m->cluster, cluster))
			continue;
		if (m->promised > s->number && !REPL_MUTANT(s, NO_PROMISE))
			s->number = m->promised;
		if (m->last.epoch.number > s->number)
			s->number = m->last.epoch.number;
		if (m->last.epoch.generation > s->generation)
			s->generation = m->last.epoch.generation;
	}
	if (s->witness.counts && s->witness.floor > s->number && !REPL_MUTANT(s, WITNESS_FLOOR))
		s->number = s->witness.floor;
	s->number++;
	if (s->is_forced && !REPL_MUTANT(s, SAME_GENERATION))
		s->generation =
			force_generation(s->generation, (uint8_t)__builtin_ctz(s->countable));
}

static void promise(struct repl_step *st)
{
	struct repl_state *s = st->s;

	s->promising = s->number;
	repl_act(st, REPL_DO_PROMISE)->index = s->number;
}

/* Asks the n-th holder of the winning history for it, by ascending nodeid. */
static void pull(struct repl_step *st)
{
	struct repl_state *s = st->s;
	uint32_t donor = 0, after = 0;
	uint8_t holders = 0;

	s->is_pulling = s->pull_again = true;
	s->phase = REPL_PULLING;
	if (s->is_stalled)
		return; /* at the first tick after it: an install that hangs could not be undone */

	for (uint8_t i = 0; i < s->peer_count; i++) {
		if (has_history(&s->peer[i]) && !cl_pos_compare(&s->peer[i].state.last, &s->winner))
			holders++;
	}
	must(holders > 0 || REPL_MUTANT(s, COMPARE_PROMISED));
	for (uint8_t n = 0; holders && n <= s->pulls_failed % holders; n++) {
		after = donor;
		donor = 0;
		for (uint8_t i = 0; i < s->peer_count; i++) {
			const struct repl_peer *p = &s->peer[i];

			if (has_history(p) && !cl_pos_compare(&p->state.last, &s->winner) &&
			    p->nodeid > after && (!donor || p->nodeid < donor))
				donor = p->nodeid;
		}
	}
	if (REPL_MUTANT(s, DROP_THEN_PULL))
		repl_act(st, REPL_DO_DROP_SUFFIX);
	s->pull_again = false;
	s->pull_active = true;
	repl_act(st, REPL_DO_PULL)->pull = (__typeof__(((struct repl_action *)0)->pull)){
		.view = s->view,
		.donor_nodeid = donor,
		.winner = s->winner,
	};
}

/* Mutants: another table in force than the one at the end of the highest history. */
static void mistake_table(struct repl_state *s)
{
	uint16_t absent = quorum_voters(&s->vtable);

	if (REPL_MUTANT(s, OWN_TABLE) && !s->is_blank)
		s->vtable = s->vprev = s->table;
	if (!REPL_MUTANT(s, ABSENT_LOSE_VOTES))
		return;
	for (uint8_t i = 0; i < s->peer_count; i++) {
		uint8_t slot = quorum_find_nodeid(&s->vtable, s->peer[i].nodeid);

		if (slot != CL_NODE_NONE && s->peer[i].has_state)
			absent = (uint16_t)(absent & ~cl_bit(slot));
	}
	for (uint8_t i = 0; i < CL_MAX_NODES && absent != quorum_voters(&s->vtable); i++) {
		if (absent & cl_bit(i))
			s->vtable.member[i].vote = s->vprev.member[i].vote = 0;
	}
}

void repl_view_begin(struct repl_step *st)
{
	struct repl_state *s = st->s;

	choose_epoch(s);
	if (s->is_blank || cl_pos_compare(&s->last, &s->winner)) {
		pull(st);
		return;
	}
	s->phase = REPL_SYNCING;
	promise(st);
}

/* The exchange has ended with the message of that nonce: every node is here at the same point. */
static void complete(struct repl_step *st, uint64_t nonce)
{
	struct repl_state *s = st->s;
	const struct repl_peer *self = find_self(s), *winner = NULL;
	struct cl_uuid cluster;
	uint64_t acked[CL_MAX_NODES];

	s->round_open = false;
	s->view_complete = true;
	s->view = (struct cl_view_id){.ring = s->ring, .nonce = nonce};
	s->self_slot = CL_NODE_NONE;
	s->quorum = (struct quorum_answer){0};
	s->present = s->countable = 0;
	/* Judged silent, or by a STATE that we have replaced: ours is on its way, we do not act. */
	if (!self || !self->has_state || self->state.nonce != s->state_nonce) {
		s->phase = REPL_EXCHANGE;
		return;
	}
	s->refusal = REPL_ADMITTED;
	if (choose_cluster(s, &cluster, &s->refusal))
		winner = find_winner(s, &cluster);
	if (!winner) {
		s->phase = s->refusal == REPL_ADMITTED ? REPL_UNCONFIGURED : REPL_REFUSED;
		repl_act(st, REPL_DO_VIEW);
		return;
	}
	s->winner = winner->state.last;
	s->vtable = s->vprev = winner->state.table;
	mistake_table(s);
	s->change_pending = false;
	s->view_last = s->winner.index;
	s->commit = 0;
	s->pulls_failed = 0;
	memset(s->persisted, 0, sizeof(s->persisted));
	admit(s, &s->vtable, &cluster);
	repl_witness_view(s);
	repl_witness_judge(s);
	s->self_slot = self->slot;
	s->refusal = self->refusal;
	repl_act(st, REPL_DO_VIEW);
	if (s->self_slot == CL_NODE_NONE) {
		s->phase = REPL_REFUSED;
		return;
	}
	memcpy(acked, s->lease.acked, sizeof(acked));
	lease_view_begin(&s->lease, s->self_slot, st->event->now_ms);
	if (REPL_MUTANT(s, OLD_RING_ACK))
		memcpy(s->lease.acked, acked, sizeof(acked));
	s->vcluster = cluster;
	if (!s->quorum.is_quorate)
		s->phase = REPL_INQUORATE;
	else
		repl_view_begin(st);
}

void repl_view_sync(struct repl_step *st)
{
	repl_act(st, REPL_DO_VIEW);
	repl_view_begin(st);
}

static bool round_is_full(const struct repl_state *s)
{
	for (uint8_t i = 0; i < s->peer_count; i++) {
		if (!s->peer[i].has_state)
			return false;
	}
	return true;
}

static bool is_this_round(const struct repl_state *s, const struct cl_ring *ring, uint64_t hash)
{
	return s->phase != REPL_DOWN && cl_ring_equal(&s->ring, ring) && s->members_hash == hash;
}

void repl_view_state(struct repl_step *st, struct repl_peer *from, const struct cl_msg_state *m)
{
	struct repl_state *s = st->s;
	bool is_own = from->nodeid == s->self.nodeid && from->pid == s->self.pid;

	if (!is_this_round(s, &m->ring, m->members_hash))
		return;
	if (is_own)
		s->state_inflight = false;
	if (!s->round_open) { /* somebody left the view: so do we all, at this point */
		stop_acting(st, REPL_EXCHANGE);
		begin_round(st);
		if (!is_own)
			want_state(st);
	}
	from->has_state = true;
	from->state = *m;
	if (round_is_full(s))
		complete(st, m->nonce);
}

void repl_view_close(struct repl_step *st, const struct cl_msg_close *m)
{
	struct repl_state *s = st->s;
	bool any = false;

	if (!is_this_round(s, &m->ring, m->members_hash) || !s->round_open)
		return;
	for (uint8_t i = 0; i < s->peer_count; i++)
		any = any || s->peer[i].has_state;
	if (any)
		complete(st, m->nonce);
}

/* ---- promise, pull, synced */

void repl_view_promised(struct repl_step *st)
{
	struct repl_state *s = st->s;

	if (st->event->index > s->promised)
		s->promised = st->event->index;
	if (st->event->index == s->promising)
		s->promising = 0;
	if (!s->promising && s->view_complete && s->phase != REPL_EXCHANGE && !s->is_pulling &&
	    s->quorum.is_quorate && s->self_slot != CL_NODE_NONE && s->promised == s->number) {
		struct cl_msg_synced *m = &repl_send(st, CL_MSG_SYNCED)->synced;

		m->view = s->view;
		m->promised = s->number;
	}
	repl_view_try_state(st);
}

/* The disk holds an installed history now, whatever became of the view it was fetched for. */
static void take_history(struct repl_state *s, const struct repl_event *e)
{
	s->is_blank = s->is_behind = false;
	s->cluster = e->pulled.cluster;
	s->last = e->pulled.last;
	s->durable = s->last.index;
	s->table = e->pulled.table;
}

void repl_view_pulled(struct repl_step *st)
{
	struct repl_state *s = st->s;
	const struct repl_event *e = st->event;

	s->pull_active = false;
	if (!e->pulled.r)
		take_history(s, e);
	if (s->witness.is_adopting) {
		s->witness.is_adopting = false;
		if (s->phase != REPL_DOWN)
			repl_view_restart(st); /* failed: claimed anew, and read again */
		return;
	}
	if (!s->is_pulling || !cl_view_equal(&e->pulled.view, &s->view)) {
		repl_view_try_state(st);
		return;
	}
	if (e->pulled.r < 0) {
		s->pulls_failed++;
		s->pull_again = true; /* at the next tick, from the next holder */
		return;
	}
	s->is_pulling = false;
	if (s->last.index < s->view_last) {
		s->is_broken = true;
		return;
	}
	s->phase = REPL_SYNCING;
	promise(st);
	repl_log_caught_up(st);
}

void repl_view_synced(struct repl_step *st, uint8_t slot, const struct cl_msg_synced *m)
{
	struct repl_state *s = st->s;

	if (m->promised == s->number && s->quorum.is_quorate)
		repl_view_add_synced(st, cl_bit(slot) & s->countable);
}

void repl_view_add_synced(struct repl_step *st, uint32_t set)
{
	struct repl_state *s = st->s;

	s->synced |= set | (REPL_MUTANT(s, WITNESS_UNCLAIMED) ? CL_WITNESS_BIT : 0);
	if (s->starter != CL_NODE_NONE || !quorum_is_majority(&s->vtable, s->synced))
		return;
	/* Nobody of those who force is left behind in the old generation. */
	if (s->is_forced && quorum_voters(&s->forced.table) & ~s->synced)
		return;
	s->starter = (uint8_t)__builtin_ctz(s->synced);
	s->epoch = (struct cl_epoch){
		.generation = s->generation, .number = s->number, .starter = s->starter};
	if (s->starter == s->self_slot)
		repl_log_begin_epoch(st);
}

/* ---- the disk */

/* It writes again: where nothing goes without our vote, everyone has to hear what we hold. */
void repl_view_stalled(struct repl_step *st)
{
	struct repl_state *s = st->s;

	s->is_stalled = st->event->is_stalled;
	if (s->is_stalled)
		repl_view_try_state(st);
	else if (s->is_hollow && s->view_complete &&
		 (s->phase == REPL_INQUORATE || s->phase == REPL_UNCONFIGURED))
		repl_view_restart(st);
}

/* ---- time */

static void send_close(struct repl_step *st)
{
	struct repl_state *s = st->s;
	struct cl_msg_close *m = &repl_send(st, CL_MSG_CLOSE)->close;

	m->nonce = st->event->entropy;
	m->ring = s->ring;
	m->members_hash = s->members_hash;
	s->round_ms = st->event->now_ms;
}

/* A claim holds no longer than from a beat that its owner had seen: so it has to see newer ones. */
static uint64_t beat_interval(const struct repl_state *s)
{
	uint64_t ms = s->config.beat_ms;

	if (quorum_witness_decides(&s->vtable, s->countable))
		ms /= 4;
	if (s->witness.counts && s->witness.valid_ms / 8 < ms)
		ms = s->witness.valid_ms / 8;
	return ms;
}

void repl_view_tick(struct repl_step *st)
{
	struct repl_state *s = st->s;
	uint64_t now = st->event->now_ms;

	if (s->phase == REPL_DOWN)
		return;
	if (s->round_open) {
		if (now - s->round_ms > s->config.exchange_timeout_ms)
			send_close(st);
		return;
	}
	if (!s->view_complete || s->phase == REPL_EXCHANGE || s->self_slot == CL_NODE_NONE)
		return;
	if (lease_beat_is_due(&s->lease, now)) {
		struct cl_msg_beat *m = &repl_send(st, CL_MSG_BEAT)->beat;

		m->view = s->view;
		m->reaches = s->witness.is_reached;
		lease_beat_send(&s->lease, now, beat_interval(s), m);
	}
	if (s->is_pulling && s->pull_again)
		pull(st);
	if (s->is_broken || repl_witness_wants_view(s) ||
	    lease_silent(&s->lease, s->present, now, s->config.silence_ms))
		repl_view_restart(st);
}
