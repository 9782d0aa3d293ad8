/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination of a migration. Until it has said LOADED it may give up at any moment; from then
 * on the source may ask for the transfer, and only the lock, the database or the source's own ABORT
 * says that it will not come.
 */
#include <errno.h>
#include <string.h>

#include "migrate/core/mig_impl.h"

void mig_destination_give_up(struct mig_state *s, struct mig_actions *out, enum mig_reason reason,
			     const char *text)
{
	struct mig_session *m = &s->session;
	char kept[MIG_TEXT]; /* `text` may be the session's own */

	mig_text_set(kept, sizeof(kept), text);
	m->reason = reason;
	memcpy(m->text, kept, sizeof(kept));
	mig_session_send(s, out, MIG_MESSAGE_ABORT);
	mig_session_close(s, out);
	mig_session_move(s, MIG_STEP_FAILED, 0);
	mig_life_end(s);
}

void mig_destination_on_numbers(struct mig_state *s, const struct mig_answer *a,
				struct mig_actions *out)
{
	struct mig_session *m = &s->session;
	bool is_news = a->numbers.stream != m->numbers.stream;

	if (m->step != MIG_STEP_MEMORY)
		return;
	m->numbers = a->numbers;
	if (a->numbers.stream == MIG_STREAM_FAILED) {
		mig_session_fail(s, out, MIG_REASON_QEMU_FAILED, a->numbers.error);
	} else if (a->numbers.stream == MIG_STREAM_COMPLETED && is_news) {
		s->proof_seq = s->seq; /* what is read from now on was read after it */
		s->run = MIG_RUNSTATE_UNKNOWN;
		s->is_status_due = true;
	}
}

/* ---- steps */

static void settle_check(struct mig_state *s, struct mig_actions *out)
{
	struct mig_session *m = &s->session;
	struct mig_command *c;

	if (!m->is_hello || !m->is_checked || mig_is_pending(s, MIG_COMMAND_MIGRATE_INCOMING))
		return;
	if (m->failed) {
		m->ready = (struct mig_msg_ready){.failed = m->failed};
		mig_session_send(s, out, MIG_MESSAGE_READY);
		mig_session_fail(s, out, MIG_REASON_CHECKS, "");
	} else if (!m->is_settled) {
		mig_session_settings(s, out);
	} else if (!m->is_listening) {
		c = mig_give(s, out, MIG_COMMAND_MIGRATE_INCOMING);
		mig_text_set(c->address, sizeof(c->address), s->state.migration.listen);
	} else {
		mig_session_send(s, out, MIG_MESSAGE_READY);
		mig_session_move(s, MIG_STEP_SETUP, s->config.setup_ms + s->config.check_ms);
	}
}

static bool is_all_loaded(const struct mig_state *s)
{
	if (s->session.numbers.stream != MIG_STREAM_COMPLETED)
		return false;
	return MIG_MUTANT(s, TRUST_ARRIVED) || s->run == MIG_RUNSTATE_PAUSED;
}

static void settle_memory(struct mig_state *s, struct mig_actions *out)
{
	if (!is_all_loaded(s))
		return;
	s->session.is_loaded = true;
	mig_session_send(s, out, MIG_MESSAGE_LOADED);
	mig_session_move(s, MIG_STEP_LOADED, 0);
}

static void arrive(struct mig_state *s)
{
	s->is_incoming = false;
	s->has_run = true;
	mig_session_move(s, MIG_STEP_ONLINE, 0);
}

static void settle_loaded(struct mig_state *s, struct mig_actions *out)
{
	const struct vm_link_migration *want = &s->state.migration;
	bool is_ours = want->id == s->session.id;

	if (MIG_MUTANT(s, RUN_ON_LOADED) && s->session.is_inactive)
		arrive(s);
	else if (s->life != MIG_LIFE_LIVE && !s->is_ending)
		mig_destination_give_up(s, out, MIG_REASON_QEMU_ENDED, s->text);
	else if (!s->state.is_fresh || s->is_ending)
		return;
	else if (s->state.has_lock)
		arrive(s);
	else if (!is_ours)
		mig_destination_give_up(s, out, MIG_REASON_OVER, "");
	else if (want->is_cancelled)
		mig_destination_give_up(s, out, MIG_REASON_CANCELLED, "");
	else if (want->is_peer_dead)
		mig_destination_give_up(s, out, MIG_REASON_PEER_DEAD, "");
}

static void settle_online(struct mig_state *s, struct mig_actions *out)
{
	bool is_paused = s->state.is_paused && s->run == MIG_RUNSTATE_PAUSED;

	if (MIG_MUTANT(s, CANCEL_LATE) && s->state.migration.is_cancelled) {
		mig_destination_give_up(s, out, MIG_REASON_CANCELLED, "");
		return;
	}
	if (s->run != MIG_RUNSTATE_RUNNING && !is_paused)
		return;
	if (!is_paused && !mig_is_pending(s, MIG_COMMAND_ANNOUNCE))
		mig_give(s, out, MIG_COMMAND_ANNOUNCE);
	mig_session_send(s, out, MIG_MESSAGE_RUNNING);
	mig_session_move(s, MIG_STEP_DONE, 0);
}

void mig_destination_settle(struct mig_state *s, struct mig_actions *out)
{
	switch (s->session.step) {
	case MIG_STEP_CHECK:
		settle_check(s, out);
		break;
	case MIG_STEP_MEMORY:
		settle_memory(s, out);
		break;
	case MIG_STEP_LOADED:
		settle_loaded(s, out);
		break;
	case MIG_STEP_ONLINE:
		settle_online(s, out);
		break;
	default:
		break;
	}
}

/* ---- messages */

static int on_hello(struct mig_state *s, const struct mig_msg_hello *hello, struct mig_actions *out)
{
	struct mig_session *m = &s->session;
	struct mig_command *c;

	if (m->step != MIG_STEP_CHECK || m->is_hello)
		return -EPROTO;
	if (hello->protocol != MIG_PROTOCOL) {
		mig_session_fail(s, out, MIG_REASON_VERSION, "");
		return 0;
	}
	if (hello->migration != m->id)
		return -EPROTO;
	m->is_hello = true;
	m->hello = *hello;
	if (memcmp(&hello->vm, &s->identity.vm, sizeof(hello->vm)) != 0)
		m->failed |= 1u << MIG_CHECK_VM;
	if (memcmp(&hello->definition, &s->identity.definition, sizeof(hello->definition)) != 0)
		m->failed |= 1u << MIG_CHECK_DEFINITION;
	c = mig_give(s, out, MIG_COMMAND_CHECK);
	c->ram_bytes = hello->ram_bytes;
	memcpy(c->qemu, hello->qemu, sizeof(c->qemu));
	return 0;
}

static int on_abort(struct mig_state *s, const struct mig_msg_abort *abort, struct mig_actions *out)
{
	const char *why =
		abort->text[0] ? abort->text : mig_reason_text((enum mig_reason)abort->reason);

	/* A source says it only while the lock is its own: it will not ask for this one again. */
	if (s->session.step == MIG_STEP_LOADED && !s->is_held)
		mig_destination_give_up(s, out, MIG_REASON_PEER_ABORT, why);
	else
		mig_session_fail(s, out, MIG_REASON_PEER_ABORT, why);
	return 0;
}

int mig_destination_on_peer(struct mig_state *s, const struct mig_message *message,
			    struct mig_actions *out)
{
	struct mig_session *m = &s->session;

	switch (message->type) {
	case MIG_MESSAGE_HELLO:
		return on_hello(s, &message->hello, out);
	case MIG_MESSAGE_START:
		if (m->step != MIG_STEP_SETUP)
			return -EPROTO;
		mig_session_move(s, MIG_STEP_MEMORY, 0);
		return 0;
	case MIG_MESSAGE_INACTIVE:
		if (m->step < MIG_STEP_LOADED)
			return MIG_MUTANT(s, RUN_ON_LOADED) ? 0 : -EPROTO;
		m->is_inactive = true;
		return 0;
	case MIG_MESSAGE_ABORT:
		return on_abort(s, &message->abort, out);
	case MIG_MESSAGE_BYE:
		mig_session_close(s, out);
		return 0;
	default:
		return -EPROTO;
	}
}
