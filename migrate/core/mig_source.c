/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source of a migration. Until it asks for the transfer it may give up at any moment and for
 * any reason: ABORT, then back. Once it has asked, only a fresh STATE says how it goes on.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "migrate/core/mig_impl.h"

void mig_source_roll_back(struct mig_state *s, struct mig_actions *out, enum mig_reason reason,
			  const char *text)
{
	struct mig_session *m = &s->session;
	char kept[MIG_TEXT]; /* `text` may be the session's own */

	mig_text_set(kept, sizeof(kept), text);
	m->reason = reason;
	memcpy(m->text, kept, sizeof(kept));
	mig_session_send(s, out, MIG_MESSAGE_ABORT);
	mig_session_close(s, out);
	m->cancel_seq = 0;
	m->cancel_ms = s->now_ms;
	mig_session_move(s, MIG_STEP_ROLLBACK, 0);
}

/* ---- what QEMU says of its migration */

static bool is_off(enum mig_stream stream)
{
	return stream == MIG_STREAM_NONE || stream == MIG_STREAM_FAILED ||
	       stream == MIG_STREAM_CANCELLED;
}

/* A pass is done: does what is left shrink? */
static void judge_pass(struct mig_state *s, struct mig_actions *out)
{
	struct mig_session *m = &s->session;
	uint64_t left = m->numbers.remaining_bytes;

	if (!m->best_bytes || left < m->best_bytes / 100 * (100u - s->config.shrink_pct)) {
		m->stuck = 0;
		m->best_bytes = left;
		return;
	}
	if (++m->stuck >= s->config.stuck_passes)
		mig_session_fail(s, out, MIG_REASON_NO_CONVERGENCE, "");
}

static void in_memory(struct mig_state *s, const struct mig_numbers *old, struct mig_actions *out)
{
	struct mig_session *m = &s->session;
	const struct mig_numbers *n = &m->numbers;

	if (n->sent_bytes != old->sent_bytes || n->passes != old->passes)
		m->progress_ms = s->now_ms;
	if (n->stream == MIG_STREAM_ACTIVE && n->passes > old->passes && old->passes)
		judge_pass(s, out);
}

void mig_source_on_numbers(struct mig_state *s, const struct mig_answer *a, struct mig_actions *out)
{
	struct mig_session *m = &s->session;
	struct mig_numbers old = m->numbers;

	if (m->step != MIG_STEP_MEMORY && m->step != MIG_STEP_STATE && m->step != MIG_STEP_ROLLBACK)
		return;
	m->numbers = a->numbers;
	if (a->numbers.stream != MIG_STREAM_COMPLETED)
		m->completed_seq = 0;
	else if (!m->completed_seq)
		m->completed_seq = s->seq;
	s->is_status_due = s->is_status_due || m->completed_seq;
	if (m->step == MIG_STEP_MEMORY)
		in_memory(s, &old, out);
	if (m->step == MIG_STEP_ROLLBACK) {
		if (m->cancel_seq && a->seq > m->cancel_seq && is_off(a->numbers.stream))
			mig_qemu_stream_ended(s);
		return;
	}
	if (a->numbers.stream == MIG_STREAM_FAILED || a->numbers.stream == MIG_STREAM_CANCELLED)
		mig_session_fail(s, out, MIG_REASON_QEMU_FAILED, a->numbers.error);
}

/* ---- steps before it asks */

static void list_failed(char *dst, size_t cap, const char *where, uint32_t failed)
{
	size_t used = strnlen(dst, cap);

	for (int c = 0; c < MIG_CHECK_MAX && used + 1 < cap; c++) {
		if (!(failed & (1u << c)))
			continue;
		(void)snprintf(dst + used, cap - used, "%s%s: %s", used ? "; " : "", where,
			       mig_check_text((enum mig_check)c));
		used = strnlen(dst, cap);
	}
}

static void settle_check(struct mig_state *s, struct mig_actions *out)
{
	struct mig_session *m = &s->session;
	char text[MIG_TEXT] = "";

	if (!m->is_checked || !m->is_ready)
		return;
	list_failed(text, sizeof(text), "source", m->failed);
	list_failed(text, sizeof(text), "destination", m->ready.failed);
	if (text[0])
		mig_session_fail(s, out, MIG_REASON_CHECKS, text);
	else
		mig_session_move(s, MIG_STEP_SETUP, s->config.setup_ms);
}

static void settle_setup(struct mig_state *s, struct mig_actions *out)
{
	struct mig_session *m = &s->session;
	struct mig_command *c;

	if (!m->is_settled) {
		mig_session_settings(s, out);
		return;
	}
	mig_session_send(s, out, MIG_MESSAGE_START);
	c = mig_give(s, out, MIG_COMMAND_MIGRATE);
	mig_text_set(c->address, sizeof(c->address), s->state.migration.peer);
	c->port = m->ready.port;
	c->key = m->ready.key;
	m->is_migrate_given = true;
	s->may_run = true; /* it may set the vCPUs going by itself from now on */
	m->progress_ms = s->now_ms;
	mig_session_move(s, MIG_STEP_MEMORY, s->config.memory_ms);
}

static void settle_memory(struct mig_state *s, struct mig_actions *out)
{
	struct mig_session *m = &s->session;
	enum mig_stream stream = m->numbers.stream;
	uint64_t stall_ms = m->progress_ms + s->config.stall_ms;

	if (stream == MIG_STREAM_DEVICE || stream == MIG_STREAM_COMPLETED ||
	    stream == MIG_STREAM_PRE_SWITCHOVER || s->run == MIG_RUNSTATE_FINISH_MIGRATE ||
	    s->run == MIG_RUNSTATE_POSTMIGRATE) {
		m->still_ms = s->now_ms;
		mig_session_move(s, MIG_STEP_STATE, s->config.state_ms);
	} else if (s->now_ms >= stall_ms && !MIG_MUTANT(s, NO_DEADLINE)) {
		mig_session_fail(s, out, MIG_REASON_STALLED, "");
	}
}

/* QEMU's own word, read back: its stream has ended, and then it stood still with its disks given
 * up. */
static bool is_proven_inactive(const struct mig_state *s)
{
	const struct mig_session *m = &s->session;

	return m->numbers.stream == MIG_STREAM_COMPLETED && !m->is_migrate_given && !s->may_run &&
	       s->run == MIG_RUNSTATE_POSTMIGRATE && !s->is_status_due &&
	       !mig_is_pending(s, MIG_COMMAND_CONT);
}

static void settle_state(struct mig_state *s, struct mig_actions *out)
{
	struct mig_session *m = &s->session;
	bool is_trusting =
		MIG_MUTANT(s, TRUST_COMPLETED) && m->numbers.stream == MIG_STREAM_COMPLETED;

	if (!is_proven_inactive(s) && !is_trusting)
		return;
	if (!m->is_returned && !is_trusting) {
		if (!mig_is_pending(s, MIG_COMMAND_RETURN_STORAGE))
			mig_give(s, out, MIG_COMMAND_RETURN_STORAGE);
		return;
	}
	if (!m->is_loaded && !is_trusting)
		return;
	mig_session_move(s, MIG_STEP_ASKED, MIG_MUTANT(s, TIMER_RESUME) ? s->config.retry_ms : 0);
	mig_session_send(s, out, MIG_MESSAGE_INACTIVE);
	if (MIG_MUTANT(s, QUIT_EARLY))
		mig_life_end(s);
}

/* ---- steps after it has asked */

static bool is_ended_by_cluster(const struct mig_state *s)
{
	const struct vm_link_migration *want = &s->state.migration;

	return want->id != s->session.id || want->is_cancelled;
}

static void done(struct mig_state *s, struct mig_actions *out)
{
	mig_session_move(s, MIG_STEP_DONE, 0);
	mig_session_send(s, out, MIG_MESSAGE_BYE);
	mig_session_close(s, out);
	mig_life_end(s);
}

static void settle_asked(struct mig_state *s, struct mig_actions *out)
{
	struct mig_session *m = &s->session;
	const struct vm_link_migration *want = &s->state.migration;
	bool is_dead = want->id == m->id && want->is_peer_dead;

	if (MIG_MUTANT(s, TIMER_RESUME) && s->now_ms >= m->deadline_ms) {
		mig_source_roll_back(s, out, MIG_REASON_STATE_DEADLINE, "");
		return;
	}
	if (!s->state.is_fresh && !MIG_MUTANT(s, STALE_RESUME))
		return;
	if (!s->state.has_lock) {
		mig_session_move(s, MIG_STEP_TRANSFERRED, 0);
	} else if (m->is_peer_running) {
		return; /* this copy is old, whoever has the lock */
	} else if (is_ended_by_cluster(s) || is_dead || MIG_MUTANT(s, OWN_RESUME)) {
		mig_source_roll_back(s, out,
				     want->id != m->id	  ? MIG_REASON_OVER
				     : want->is_cancelled ? MIG_REASON_CANCELLED
							  : MIG_REASON_PEER_DEAD,
				     "");
	}
}

static void settle_transferred(struct mig_state *s, struct mig_actions *out)
{
	const struct vm_link_migration *want = &s->state.migration;
	bool is_dead = want->id == s->session.id && want->is_peer_dead;

	if (s->session.is_peer_running)
		done(s, out);
	else if (!s->state.is_fresh)
		return;
	else if (!s->state.has_lock && want->id != s->session.id)
		done(s, out);
	else if (is_dead && (s->state.has_lock || MIG_MUTANT(s, DEAD_RESUME)))
		mig_source_roll_back(s, out, MIG_REASON_PEER_DEAD, "");
}

static void settle_rollback(struct mig_state *s, struct mig_actions *out)
{
	struct mig_session *m = &s->session;

	if (!m->is_migrate_given || !mig_qemu_is_up(s)) {
		m->is_migrate_given = false;
		s->is_status_due = mig_qemu_is_up(s);
		mig_session_move(s, MIG_STEP_FAILED, 0);
		return;
	}
	if (s->now_ms < m->cancel_ms || mig_is_pending(s, MIG_COMMAND_MIGRATE_CANCEL))
		return;
	m->cancel_ms = s->now_ms + s->config.retry_ms;
	mig_give(s, out, MIG_COMMAND_MIGRATE_CANCEL);
}

static bool is_guest_gone(enum mig_runstate run)
{
	return run == MIG_RUNSTATE_SHUTDOWN || run == MIG_RUNSTATE_PANICKED ||
	       run == MIG_RUNSTATE_INTERNAL_ERROR;
}

/* True: it has given up. */
static bool settle_reasons(struct mig_state *s, struct mig_actions *out)
{
	if (s->session.step < MIG_STEP_CHECK || s->session.step > MIG_STEP_STATE)
		return false;
	if (!mig_may_hold(s))
		mig_session_fail(s, out, MIG_REASON_NO_LEASE, "");
	else if (is_guest_gone(s->run))
		mig_session_fail(s, out, MIG_REASON_GUEST, mig_runstate_word(s->run));
	else if (!s->has_run)
		mig_session_fail(s, out, MIG_REASON_GUEST, "it has not run yet");
	return s->session.step == MIG_STEP_ROLLBACK;
}

void mig_source_settle(struct mig_state *s, struct mig_actions *out)
{
	if (settle_reasons(s, out))
		return;
	switch (s->session.step) {
	case MIG_STEP_CHECK:
		settle_check(s, out);
		break;
	case MIG_STEP_SETUP:
		settle_setup(s, out);
		break;
	case MIG_STEP_MEMORY:
		settle_memory(s, out);
		break;
	case MIG_STEP_STATE:
		settle_state(s, out);
		break;
	case MIG_STEP_ASKED:
		settle_asked(s, out);
		break;
	case MIG_STEP_TRANSFERRED:
		settle_transferred(s, out);
		break;
	case MIG_STEP_ROLLBACK:
		settle_rollback(s, out);
		break;
	default:
		break;
	}
}

/* ---- messages */

static void on_running(struct mig_state *s)
{
	struct mig_session *m = &s->session;

	if (m->still_ms && !m->is_peer_running)
		m->numbers.downtime_ms = (uint32_t)(s->now_ms - m->still_ms);
	m->is_peer_running = true;
}

int mig_source_on_peer(struct mig_state *s, const struct mig_message *message,
		       struct mig_actions *out)
{
	struct mig_session *m = &s->session;

	switch (message->type) {
	case MIG_MESSAGE_READY:
		if (m->step != MIG_STEP_CHECK || m->is_ready)
			return -EPROTO;
		m->is_ready = true;
		m->ready = message->ready;
		return 0;
	case MIG_MESSAGE_LOADED:
		if (m->step != MIG_STEP_MEMORY && m->step != MIG_STEP_STATE)
			return -EPROTO;
		m->is_loaded = true;
		return 0;
	case MIG_MESSAGE_RUNNING:
		if (!mig_session_has_asked(s))
			return -EPROTO;
		on_running(s);
		return 0;
	case MIG_MESSAGE_ABORT:
		if (MIG_MUTANT(s, ABORT_RESUME) && m->step == MIG_STEP_ASKED)
			mig_source_roll_back(s, out, MIG_REASON_PEER_ABORT, "");
		else
			mig_session_fail(
				s, out, MIG_REASON_PEER_ABORT,
				message->abort.text[0]
					? message->abort.text
					: mig_reason_text((enum mig_reason)message->abort.reason));
		return 0;
	default:
		return -EPROTO;
	}
}
