/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What both sides of a migration share: its begin and end, the control channel, deadlines. */
#include <errno.h>
#include <string.h>

#include "lib/must.h"
#include "migrate/core/mig_impl.h"

bool mig_session_is_active(const struct mig_state *s)
{
	enum mig_step_name step = s->session.step;

	return step != MIG_STEP_NONE && step != MIG_STEP_DONE && step != MIG_STEP_FAILED;
}

bool mig_session_has_asked(const struct mig_state *s)
{
	enum mig_step_name step = s->session.step;

	return step == MIG_STEP_ASKED || step == MIG_STEP_TRANSFERRED ||
	       (step == MIG_STEP_DONE && s->session.role == VM_LINK_SOURCE);
}

bool mig_session_allows_cont(const struct mig_state *s)
{
	switch (s->session.step) {
	case MIG_STEP_MEMORY: /* a pause that is over, and nothing else */
		return !s->is_incoming && s->run != MIG_RUNSTATE_POSTMIGRATE;
	case MIG_STEP_NONE:
	case MIG_STEP_CHECK:
	case MIG_STEP_SETUP:
	case MIG_STEP_FAILED:
		return !s->is_incoming;
	case MIG_STEP_DONE:
	case MIG_STEP_ONLINE:
		return s->session.role == VM_LINK_DESTINATION;
	default:
		return false;
	}
}

/* A step that somebody outside can end without asking the database. */
static bool can_give_up(const struct mig_state *s)
{
	enum mig_step_name step = s->session.step;

	return step >= MIG_STEP_CHECK && step <= MIG_STEP_STATE;
}

void mig_session_move(struct mig_state *s, enum mig_step_name step, uint32_t lasts_ms)
{
	s->session.step = step;
	s->session.deadline_ms = lasts_ms ? s->now_ms + lasts_ms : MIG_NEVER;
}

void mig_session_fail(struct mig_state *s, struct mig_actions *out, enum mig_reason reason,
		      const char *text)
{
	if (!can_give_up(s))
		return;
	if (s->session.role == VM_LINK_SOURCE)
		mig_source_roll_back(s, out, reason, text);
	else
		mig_destination_give_up(s, out, reason, text);
}

void mig_session_settings(struct mig_state *s, struct mig_actions *out)
{
	struct mig_command *c;

	if (mig_is_pending(s, MIG_COMMAND_SETTINGS))
		return;
	c = mig_give(s, out, MIG_COMMAND_SETTINGS);
	c->bandwidth_bytes_per_s = s->state.migration.bandwidth;
	c->downtime_limit_ms = s->config.downtime_limit_ms;
	c->throttle_initial_pct = s->config.throttle_initial_pct;
	c->throttle_increment_pct = s->config.throttle_increment_pct;
}

/* ---- the control channel */

void mig_session_send(struct mig_state *s, struct mig_actions *out, enum mig_message_type type)
{
	struct mig_session *m = &s->session;
	struct mig_action *a;

	if (m->channel.state != MIG_CHANNEL_OPEN)
		return;
	a = mig_emit(out, MIG_DO_SEND);
	a->channel = m->channel.number;
	a->message.type = type;
	m->channel.heartbeat_ms = s->now_ms + s->config.heartbeat_ms;
	if (type == MIG_MESSAGE_HELLO) {
		a->message.hello = (struct mig_msg_hello){.protocol = MIG_PROTOCOL,
							  .migration = m->id,
							  .vm = s->identity.vm,
							  .definition = s->identity.definition,
							  .ram_bytes = s->identity.ram_bytes};
		mig_text_set(a->message.hello.qemu, MIG_QEMU_TEXT, s->identity.qemu);
	} else if (type == MIG_MESSAGE_READY) {
		a->message.ready = m->ready;
	} else if (type == MIG_MESSAGE_ABORT) {
		a->message.abort.reason = (uint8_t)m->reason;
		mig_text_set(a->message.abort.text, MIG_REASON_TEXT, m->text);
	}
}

void mig_session_close(struct mig_state *s, struct mig_actions *out)
{
	struct mig_channel *c = &s->session.channel;

	if (c->state != MIG_CHANNEL_NONE)
		mig_emit(out, MIG_DO_CLOSE)->channel = c->number;
	c->state = MIG_CHANNEL_NONE;
	c->port = 0;
}

static void connect_or_listen(struct mig_state *s, struct mig_actions *out)
{
	const struct vm_link_migration *want = &s->state.migration;
	bool is_source = s->session.role == VM_LINK_SOURCE;
	struct mig_channel *c = &s->session.channel;
	struct mig_action *a;

	if (s->session.step != MIG_STEP_CHECK || c->state != MIG_CHANNEL_NONE ||
	    s->now_ms < c->retry_ms || want->id != s->session.id || (is_source && !want->peer_port))
		return;
	a = mig_emit(out, is_source ? MIG_DO_CONNECT : MIG_DO_LISTEN);
	a->channel = ++c->number;
	a->port = is_source ? want->peer_port : 0;
	mig_text_set(a->address, sizeof(a->address), is_source ? want->peer : want->listen);
	c->state = MIG_CHANNEL_OPENING;
}

static bool has_mutant_way_back(const struct mig_state *s)
{
	(void)s; /* but for the mutants */
	return MIG_MUTANT(s, CUT_RESUME) && s->session.step == MIG_STEP_ASKED;
}

static void on_cut(struct mig_state *s, struct mig_actions *out, enum mig_reason reason,
		   const char *text)
{
	if (has_mutant_way_back(s))
		mig_source_roll_back(s, out, reason, text);
	else if (MIG_MUTANT(s, GIVE_UP_LOADED) && s->session.step == MIG_STEP_LOADED)
		mig_destination_give_up(s, out, reason, text);
	else
		mig_session_fail(s, out, reason, text);
}

static void on_lost(struct mig_state *s, const char *text, struct mig_actions *out)
{
	struct mig_channel *c = &s->session.channel;
	bool was_open = c->state == MIG_CHANNEL_OPEN;

	c->state = MIG_CHANNEL_NONE;
	c->port = 0;
	c->retry_ms = s->now_ms + s->config.retry_ms;
	if (was_open)
		on_cut(s, out, MIG_REASON_CHANNEL_LOST, text);
	else
		mig_text_set(s->session.text, sizeof(s->session.text), text);
}

void mig_session_on_channel(struct mig_state *s, const struct mig_event *e, struct mig_actions *out)
{
	struct mig_channel *c = &s->session.channel;

	if (e->channel != c->number || c->state == MIG_CHANNEL_NONE)
		return;
	if (e->type == MIG_EV_CHANNEL_LOST) {
		on_lost(s, e->text, out);
		return;
	}
	if (c->state != MIG_CHANNEL_OPENING)
		return;
	if (e->type == MIG_EV_CHANNEL_LISTENING) {
		c->port = e->port;
		return;
	}
	c->state = MIG_CHANNEL_OPEN;
	c->heard_ms = s->now_ms;
	c->heartbeat_ms = s->now_ms + s->config.heartbeat_ms;
	mig_text_set(c->address, sizeof(c->address), e->text);
	s->session.text[0] = '\0';
	if (s->session.role == VM_LINK_SOURCE)
		mig_session_send(s, out, MIG_MESSAGE_HELLO);
}

int mig_session_on_peer(struct mig_state *s, const struct mig_event *e, struct mig_actions *out)
{
	struct mig_channel *c = &s->session.channel;
	int r = 0;

	if (e->channel != c->number || c->state != MIG_CHANNEL_OPEN)
		return 0;
	c->heard_ms = s->now_ms;
	if (e->message.type == MIG_MESSAGE_HEARTBEAT)
		return 0;
	if (s->session.role == VM_LINK_SOURCE)
		r = mig_source_on_peer(s, &e->message, out);
	else
		r = mig_destination_on_peer(s, &e->message, out);
	if (!r)
		return 0;
	mig_session_fail(s, out, MIG_REASON_PROTOCOL, mig_message_name(e->message.type));
	mig_session_close(s, out);
	return r;
}

static uint64_t silent_at_ms(const struct mig_state *s)
{
	bool matters = can_give_up(s) || has_mutant_way_back(s);

	if (s->session.channel.state != MIG_CHANNEL_OPEN || !matters || MIG_MUTANT(s, NO_DEADLINE))
		return MIG_NEVER;
	return s->session.channel.heard_ms + s->config.silence_ms;
}

static void settle_channel(struct mig_state *s, struct mig_actions *out)
{
	connect_or_listen(s, out);
	if (s->now_ms >= silent_at_ms(s))
		on_cut(s, out, MIG_REASON_PEER_SILENT, "");
	if (s->session.channel.state == MIG_CHANNEL_OPEN &&
	    s->now_ms >= s->session.channel.heartbeat_ms)
		mig_session_send(s, out, MIG_MESSAGE_HEARTBEAT);
}

/* ---- begin and end */

static void begin(struct mig_state *s, struct mig_actions *out)
{
	const struct vm_link_migration *want = &s->state.migration;
	uint32_t number = s->session.channel.number;

	memset(&s->session, 0, sizeof(s->session));
	s->session.channel.number = number;
	s->session.id = want->id;
	s->session.role = want->role;
	mig_session_move(s, MIG_STEP_CHECK, s->config.check_ms);
	if ((want->role == VM_LINK_DESTINATION) != s->is_incoming) {
		s->session.role = VM_LINK_NO_ROLE;
		s->session.step = MIG_STEP_FAILED;
		s->session.reason = MIG_REASON_ROLE;
		return;
	}
	if (want->role == VM_LINK_SOURCE)
		mig_give(s, out, MIG_COMMAND_CHECK)->ram_bytes = s->identity.ram_bytes;
}

static bool is_over(const struct mig_state *s)
{
	return s->state.is_fresh && s->state.migration.id != s->session.id;
}

/* A fresh STATE only: one that is older may name what we have behind us. */
static void settle_begin(struct mig_state *s, struct mig_actions *out)
{
	uint32_t number = s->session.channel.number;

	if (mig_session_is_active(s) || !is_over(s) || s->is_ending || s->life != MIG_LIFE_LIVE)
		return;
	mig_session_close(s, out);
	memset(&s->session, 0, sizeof(s->session));
	s->session.channel.number = number;
	if (s->state.migration.id && !mig_is_pending(s, MIG_COMMAND_CHECK) &&
	    !mig_is_pending(s, MIG_COMMAND_SETTINGS) && !mig_is_pending(s, MIG_COMMAND_MIGRATE) &&
	    !mig_is_pending(s, MIG_COMMAND_RETURN_STORAGE))
		begin(s, out);
}

static void settle_deadline(struct mig_state *s, struct mig_actions *out)
{
	static const enum mig_reason reason[MIG_STEP_MAX] = {
		[MIG_STEP_CHECK] = MIG_REASON_CHECK_DEADLINE,
		[MIG_STEP_SETUP] = MIG_REASON_SETUP_DEADLINE,
		[MIG_STEP_MEMORY] = MIG_REASON_MEMORY_DEADLINE,
		[MIG_STEP_STATE] = MIG_REASON_STATE_DEADLINE,
	};
	char text[MIG_TEXT];

	if (!can_give_up(s) || s->now_ms < s->session.deadline_ms || MIG_MUTANT(s, NO_DEADLINE))
		return;
	memcpy(text, s->session.text, sizeof(text));
	mig_session_fail(s, out, reason[s->session.step], text);
}

/* What ends either side before the point of no return. */
static void settle_common(struct mig_state *s, struct mig_actions *out)
{
	const struct vm_link_migration *want = &s->state.migration;
	bool is_ours = want->id == s->session.id;

	if (!can_give_up(s))
		return;
	if (s->life >= MIG_LIFE_KILLED)
		mig_session_fail(s, out, MIG_REASON_QEMU_ENDED, s->text);
	else if (is_ours && want->is_cancelled)
		mig_session_fail(s, out, MIG_REASON_CANCELLED, "");
	else if (is_over(s))
		mig_session_fail(s, out, MIG_REASON_OVER, "");
	else if (is_ours && want->is_peer_dead)
		mig_session_fail(s, out, MIG_REASON_PEER_DEAD, "");
	settle_deadline(s, out);
}

void mig_session_settle(struct mig_state *s, struct mig_actions *out)
{
	enum mig_step_name before;

	for (int i = 0; i < MIG_STEP_MAX; i++) {
		before = s->session.step;
		settle_begin(s, out);
		settle_common(s, out);
		if (s->session.role == VM_LINK_SOURCE)
			mig_source_settle(s, out);
		else if (s->session.role == VM_LINK_DESTINATION)
			mig_destination_settle(s, out);
		if (s->session.step == before)
			break;
	}
	settle_channel(s, out);
}

/* ---- answers */

static void refused(struct mig_state *s, const struct mig_answer *a, struct mig_actions *out)
{
	mig_session_fail(s, out,
			 a->kind == MIG_COMMAND_RETURN_STORAGE ? MIG_REASON_STORAGE
							       : MIG_REASON_QEMU_REFUSED,
			 a->text);
}

void mig_session_on_answer(struct mig_state *s, const struct mig_answer *a, struct mig_actions *out)
{
	struct mig_session *m = &s->session;

	switch (a->kind) {
	case MIG_COMMAND_QUERY_MIGRATE:
		if (!a->is_ok)
			return;
		if (m->role == VM_LINK_SOURCE)
			mig_source_on_numbers(s, a, out);
		else if (m->role == VM_LINK_DESTINATION)
			mig_destination_on_numbers(s, a, out);
		return;
	case MIG_COMMAND_MIGRATE_CANCEL:
		m->cancel_seq = s->seq;
		s->is_stream_due = true;
		return;
	case MIG_COMMAND_CHECK:
		m->is_checked = a->is_ok;
		m->failed |= a->failed;
		break;
	case MIG_COMMAND_SETTINGS:
		m->is_settled = a->is_ok;
		break;
	case MIG_COMMAND_MIGRATE_INCOMING:
		m->is_listening = a->is_ok;
		m->ready.port = a->port;
		m->ready.key = a->key;
		break;
	case MIG_COMMAND_RETURN_STORAGE:
		m->is_returned = a->is_ok;
		break;
	case MIG_COMMAND_MIGRATE:
		break;
	default:
		return;
	}
	if (!a->is_ok)
		refused(s, a, out);
}

void mig_session_on_silence(struct mig_state *s, enum mig_command_kind kind)
{
	/* Without an answer the step does not go on: it is over now. A cancel is given again. */
	if (kind != MIG_COMMAND_MIGRATE_CANCEL && can_give_up(s)) {
		mig_text_set(s->session.text, sizeof(s->session.text), mig_command_word(kind));
		s->session.deadline_ms = s->now_ms;
	}
}

uint64_t mig_session_deadline_ms(const struct mig_state *s)
{
	const struct mig_session *m = &s->session;
	const struct mig_channel *c = &m->channel;
	uint64_t next = silent_at_ms(s);

	if (can_give_up(s) && !MIG_MUTANT(s, NO_DEADLINE))
		next = mig_sooner(next, m->deadline_ms);
	if (m->step == MIG_STEP_MEMORY && m->role == VM_LINK_SOURCE && !MIG_MUTANT(s, NO_DEADLINE))
		next = mig_sooner(next, m->progress_ms + s->config.stall_ms);
	if (m->step == MIG_STEP_ROLLBACK && m->cancel_ms > s->now_ms)
		next = mig_sooner(next, m->cancel_ms);
	if (MIG_MUTANT(s, TIMER_RESUME) && m->step == MIG_STEP_ASKED)
		next = mig_sooner(next, m->deadline_ms);
	if (c->state == MIG_CHANNEL_OPEN)
		next = mig_sooner(next, c->heartbeat_ms);
	if (m->step == MIG_STEP_CHECK && c->state == MIG_CHANNEL_NONE && c->retry_ms > s->now_ms)
		next = mig_sooner(next, c->retry_ms);
	return next;
}
