/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands under way, and what is known of QEMU: only what it was asked after the last change. */
#include <string.h>

#include "lib/must.h"
#include "migrate/core/mig_impl.h"

bool mig_is_pending(const struct mig_state *s, enum mig_command_kind kind)
{
	return s->pending[kind].seq != 0;
}

static uint32_t lasts_ms(const struct mig_state *s, enum mig_command_kind kind)
{
	if (kind == MIG_COMMAND_CHECK)
		return s->config.check_ms;
	if (kind == MIG_COMMAND_RETURN_STORAGE)
		return s->config.state_ms;
	return s->config.command_ms;
}

struct mig_command *mig_give(struct mig_state *s, struct mig_actions *out,
			     enum mig_command_kind kind)
{
	struct mig_command *c = &mig_emit(out, MIG_DO_COMMAND)->command;

	must(!mig_is_pending(s, kind));
	s->seq++;
	s->pending[kind].seq = s->seq;
	s->pending[kind].deadline_ms = s->now_ms + lasts_ms(s, kind);
	*c = (struct mig_command){
		.kind = kind, .seq = s->seq, .deadline_ms = s->pending[kind].deadline_ms};
	return c;
}

bool mig_qemu_is_up(const struct mig_state *s)
{
	return s->life >= MIG_LIFE_LIVE && s->life <= MIG_LIFE_QUITTING;
}

void mig_qemu_on_started(struct mig_state *s, int32_t pid)
{
	if (s->life != MIG_LIFE_STARTING)
		return;
	s->life = MIG_LIFE_LIVE;
	s->pid = pid;
	s->is_status_due = true;
}

/* What its end means, to be told. */
static enum vm_link_run end_of(const struct mig_state *s)
{
	if (s->life == MIG_LIFE_STARTING)
		return VM_LINK_FAILED;
	if (s->run == MIG_RUNSTATE_SHUTDOWN)
		return VM_LINK_SHUTDOWN;
	return VM_LINK_CRASHED;
}

void mig_qemu_on_ended(struct mig_state *s, const char *text)
{
	if (s->life >= MIG_LIFE_GONE)
		return;
	s->end_run = end_of(s);
	if (!s->is_ending && !s->text[0])
		mig_text_set(s->text, sizeof(s->text), text);
	s->life = MIG_LIFE_GONE;
	s->pid = 0;
	s->run = MIG_RUNSTATE_UNKNOWN;
	s->may_run = false;
	s->halt_ms = s->life_ms = 0;
	s->is_status_due = s->is_stream_due = false;
	memset(s->pending, 0, sizeof(s->pending));
	s->session.is_migrate_given = false;
}

/*
 * Nothing of ours is under way that could set the vCPUs going after a STOP: each `cont` was carried
 * out before a status that was read since (QMP keeps the order), and there is no migration.
 */
static bool is_stop_final(const struct mig_state *s)
{
	return s->read_seq > s->proof_seq && !s->session.is_migrate_given;
}

void mig_qemu_on_event(struct mig_state *s, enum mig_qemu_event event)
{
	if (event == MIG_QEMU_RESUME && MIG_MUTANT(s, SELF_RESUME))
		return;
	s->is_status_due = true;
	if (event == MIG_QEMU_RESUME) {
		s->may_run = s->has_run = true;
		s->proof_seq = s->seq;
	}
	if (event == MIG_QEMU_STOP && is_stop_final(s))
		s->may_run = false;
	if (event == MIG_QEMU_MIGRATION)
		s->is_stream_due = true;
}

/*
 * vCPUs stand still, and nothing but a command of ours sets them going. finish-migrate is on its
 * way to somewhere else, and a sleeping guest is woken by QEMU.
 */
static bool is_still(const struct mig_state *s, enum mig_runstate run)
{
	(void)s; /* but for the mutant */
	if (run == MIG_RUNSTATE_FINISH_MIGRATE)
		return MIG_MUTANT(s, SELF_RESUME);
	return run != MIG_RUNSTATE_UNKNOWN && run != MIG_RUNSTATE_RUNNING &&
	       run != MIG_RUNSTATE_SUSPENDED && run != MIG_RUNSTATE_COLO;
}

static void on_status(struct mig_state *s, const struct mig_answer *a)
{
	struct mig_session *m = &s->session;
	bool may_go_by_itself;

	if (a->seq <= s->proof_seq) {
		s->is_status_due = true; /* it was asked before the last change */
		return;
	}
	s->read_seq = a->seq;
	/* `completed` counts when finish-migrate is over; or it is that of a migration before. */
	if (m->completed_seq && a->seq > m->completed_seq && a->run != MIG_RUNSTATE_FINISH_MIGRATE)
		m->is_migrate_given = false;
	may_go_by_itself = m->is_migrate_given && !MIG_MUTANT(s, SELF_RESUME);
	if (a->run == MIG_RUNSTATE_IO_ERROR)
		s->cont_ms = s->now_ms + s->config.io_retry_ms;
	s->run = a->run;
	if (!is_still(s, a->run)) {
		s->may_run = true;
		s->has_run = s->has_run || a->run == MIG_RUNSTATE_RUNNING;
	} else if (!may_go_by_itself) {
		s->may_run = false;
	}
}

void mig_qemu_stream_ended(struct mig_state *s)
{
	s->session.is_migrate_given = false;
	s->proof_seq = s->seq; /* it may have set the vCPUs going up to now */
	s->is_status_due = true;
}

void mig_qemu_on_answer(struct mig_state *s, const struct mig_answer *a)
{
	switch (a->kind) {
	case MIG_COMMAND_QUERY_STATUS:
		if (a->is_ok)
			on_status(s, a);
		else
			s->is_status_due = true;
		break;
	case MIG_COMMAND_STOP:
		s->is_status_due = true;
		if (MIG_MUTANT(s, STOP_ONCE) && a->is_ok) {
			s->may_run = s->is_status_due = false;
			s->run = MIG_RUNSTATE_PAUSED;
		}
		break;
	case MIG_COMMAND_CONT:
		s->is_status_due = true;
		if (!a->is_ok)
			s->cont_ms = s->now_ms + s->config.retry_ms;
		break;
	case MIG_COMMAND_POWERDOWN:
		s->is_powerdown_given = a->is_ok;
		break;
	default:
		break;
	}
}

static void on_silence(struct mig_state *s, enum mig_command_kind kind)
{
	s->is_silent = true;
	switch (kind) {
	case MIG_COMMAND_CONT:
		s->cont_ms = s->now_ms + s->config.retry_ms;
		s->is_status_due = true;
		break;
	case MIG_COMMAND_STOP:
	case MIG_COMMAND_QUERY_STATUS:
		s->is_status_due = true;
		break;
	case MIG_COMMAND_POWERDOWN:
		s->is_powerdown_given = false;
		break;
	case MIG_COMMAND_ANNOUNCE:
	case MIG_COMMAND_QUIT:
	case MIG_COMMAND_QUERY_MIGRATE:
		break; /* given again by whoever needs it; the deadlines of the life and the step
			  hold */
	default:
		mig_session_on_silence(s, kind);
		break;
	}
}

void mig_qemu_timeouts(struct mig_state *s)
{
	for (int kind = 0; kind < MIG_COMMAND_MAX; kind++) {
		struct mig_pending *p = &s->pending[kind];

		if (!p->seq || s->now_ms < p->deadline_ms)
			continue;
		p->seq = 0;
		on_silence(s, (enum mig_command_kind)kind);
	}
}

/* What goes on by itself is read all the time: a migration, and what comes after one. */
static bool polls_stream(const struct mig_state *s)
{
	enum mig_step_name step = s->session.step;

	return step == MIG_STEP_MEMORY || step == MIG_STEP_STATE ||
	       (step == MIG_STEP_ROLLBACK && s->session.cancel_seq);
}

static bool polls_status(const struct mig_state *s)
{
	bool is_leaving = s->run == MIG_RUNSTATE_FINISH_MIGRATE && !MIG_MUTANT(s, SELF_RESUME);

	return polls_stream(s) || is_leaving || s->session.step == MIG_STEP_ONLINE;
}

uint64_t mig_qemu_deadline_ms(const struct mig_state *s)
{
	uint64_t next = MIG_NEVER;

	for (int kind = 0; kind < MIG_COMMAND_MAX; kind++) {
		if (s->pending[kind].seq)
			next = mig_sooner(next, s->pending[kind].deadline_ms);
	}
	if (mig_qemu_is_up(s) && polls_status(s))
		next = mig_sooner(next, s->poll_ms);
	return next;
}

void mig_qemu_poll(struct mig_state *s, struct mig_actions *out)
{
	if (!mig_qemu_is_up(s))
		return;
	if (polls_status(s) && s->now_ms >= s->poll_ms) {
		s->is_status_due = true;
		s->is_stream_due = polls_stream(s);
		s->poll_ms = s->now_ms + s->config.poll_ms;
	}
	/* The stream first: a status is worth more that is read after the stream has ended. */
	if (s->is_stream_due && !mig_is_pending(s, MIG_COMMAND_QUERY_MIGRATE)) {
		s->is_stream_due = false;
		if (polls_stream(s))
			mig_give(s, out, MIG_COMMAND_QUERY_MIGRATE);
	}
	if (s->is_status_due && !mig_is_pending(s, MIG_COMMAND_QUERY_STATUS)) {
		s->is_status_due = false;
		mig_give(s, out, MIG_COMMAND_QUERY_STATUS);
	}
}
