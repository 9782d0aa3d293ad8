/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the vCPUs run, and how QEMU ends. What is wanted is worked out anew at each step. */
#include "migrate/core/mig_impl.h"

bool mig_may_hold(const struct mig_state *s)
{
	if (MIG_MUTANT(s, RUN_ON_LOADED) && s->session.is_inactive)
		return true;
	if (MIG_MUTANT(s, DEAD_RESUME) && s->session.step == MIG_STEP_FAILED &&
	    s->session.reason == MIG_REASON_PEER_DEAD)
		return s->now_ms < s->lease_ms;
	if (mig_session_has_asked(s))
		return false;
	return s->is_held && (s->now_ms < s->lease_ms || MIG_MUTANT(s, IGNORE_LEASE));
}

static bool is_stopping(const struct mig_state *s)
{
	return s->life == MIG_LIFE_POWERDOWN || s->life == MIG_LIFE_QUITTING;
}

/* ---- the end of QEMU */

void mig_life_end(struct mig_state *s)
{
	s->is_ending = true;
	if (s->life == MIG_LIFE_STARTING) {
		s->life = MIG_LIFE_KILLED;
		s->life_ms = 0;
	} else if (s->life == MIG_LIFE_LIVE || s->life == MIG_LIFE_POWERDOWN) {
		s->life = MIG_LIFE_QUITTING;
		s->life_ms = s->now_ms + s->config.quit_ms;
	}
}

static void kill_qemu(struct mig_state *s)
{
	s->life = MIG_LIFE_KILLED;
	s->life_ms = 0; /* at once */
	s->halt_ms = 0;
}

/* Nobody would hear the button, or nothing is to be saved. */
static bool is_deaf(const struct mig_state *s)
{
	bool is_lost = s->state.is_fresh && !s->state.has_lock;

	return s->is_incoming || !s->has_run || is_lost || s->state.is_paused ||
	       s->run == MIG_RUNSTATE_SHUTDOWN || s->run == MIG_RUNSTATE_PANICKED ||
	       s->run == MIG_RUNSTATE_INTERNAL_ERROR;
}

/* What was read when QEMU started counts, not what it was before. */
static bool is_in_doubt(const struct mig_state *s)
{
	return s->run == MIG_RUNSTATE_UNKNOWN || s->session.step == MIG_STEP_ASKED ||
	       s->session.step == MIG_STEP_ROLLBACK;
}

static void settle_stop(struct mig_state *s, struct mig_actions *out)
{
	if (!s->state.is_stop || s->life > MIG_LIFE_POWERDOWN)
		return;
	if (s->life == MIG_LIFE_STARTING) {
		mig_life_end(s);
		return;
	}
	if (s->life == MIG_LIFE_LIVE) {
		s->is_ending = true;
		s->life = MIG_LIFE_POWERDOWN;
		s->life_ms = s->now_ms + s->state.stop_ms;
		mig_session_fail(s, out, MIG_REASON_STOPPING, "");
		if (s->life != MIG_LIFE_POWERDOWN)
			return;
	}
	if (s->now_ms >= s->life_ms || (is_deaf(s) && !is_in_doubt(s))) {
		mig_life_end(s);
		return;
	}
	if (s->run == MIG_RUNSTATE_RUNNING && !s->is_powerdown_given &&
	    !mig_is_pending(s, MIG_COMMAND_POWERDOWN)) {
		s->is_powerdown_given = true;
		mig_give(s, out, MIG_COMMAND_POWERDOWN);
	}
}

static void settle_end(struct mig_state *s)
{
	if (s->life != MIG_LIFE_GONE)
		return;
	if (s->is_ending || s->state.is_stop) {
		s->life = MIG_LIFE_ENDED;
		s->end_run = VM_LINK_STOPPED;
	} else if (s->is_incoming) {
		s->life = MIG_LIFE_ENDED;
		s->end_run = VM_LINK_FAILED; /* it never was this VM */
	}
}

void mig_life_settle(struct mig_state *s, struct mig_actions *out)
{
	settle_stop(s, out);
	settle_end(s);
	if (s->life == MIG_LIFE_QUITTING) {
		if (s->now_ms >= s->life_ms)
			kill_qemu(s);
		else if (!s->is_quit_given)
			mig_give(s, out, MIG_COMMAND_QUIT);
		s->is_quit_given = true;
	}
	if (s->life == MIG_LIFE_KILLED && s->now_ms >= s->life_ms) {
		s->life_ms = s->now_ms + s->config.quit_ms;
		mig_emit(out, MIG_DO_KILL);
	}
}

uint64_t mig_life_deadline_ms(const struct mig_state *s)
{
	bool has_deadline = is_stopping(s) || s->life == MIG_LIFE_KILLED;

	return has_deadline ? s->life_ms : MIG_NEVER;
}

/* ---- halting: no lock, or no lease */

static void give_stop(struct mig_state *s, struct mig_actions *out)
{
	if (s->now_ms < s->stop_ms || mig_is_pending(s, MIG_COMMAND_STOP) || s->is_status_due ||
	    mig_is_pending(s, MIG_COMMAND_QUERY_STATUS))
		return;
	s->stop_ms = s->now_ms + s->config.poll_ms;
	mig_give(s, out, MIG_COMMAND_STOP);
}

/* True: it is being done, nothing else is to be wanted. */
static bool settle_halt(struct mig_state *s, struct mig_actions *out)
{
	if (mig_may_hold(s) || !s->may_run) {
		s->halt_ms = 0;
		return false;
	}
	if (!s->halt_ms) {
		uint64_t since_ms = s->is_held && s->lease_ms < s->now_ms ? s->lease_ms : s->now_ms;

		s->halt_ms = since_ms + s->config.halt_ms;
		/* At once, whatever else is being asked: QMP keeps the order. */
		if (!mig_is_pending(s, MIG_COMMAND_STOP))
			mig_give(s, out, MIG_COMMAND_STOP);
		s->stop_ms = s->now_ms + s->config.poll_ms;
	}
	if (s->now_ms >= s->halt_ms && !MIG_MUTANT(s, NO_KILL)) {
		mig_text_set(s->text, sizeof(s->text), "QEMU was killed: it could not be halted");
		kill_qemu(s);
		mig_life_settle(s, out);
		return true;
	}
	give_stop(s, out);
	return true;
}

/* ---- going on */

static bool can_go_on(enum mig_runstate run)
{
	return run == MIG_RUNSTATE_PRELAUNCH || run == MIG_RUNSTATE_PAUSED ||
	       run == MIG_RUNSTATE_POSTMIGRATE || run == MIG_RUNSTATE_IO_ERROR;
}

static bool is_said_afresh(const struct mig_state *s)
{
	if (MIG_MUTANT(s, RUN_STALE) || MIG_MUTANT(s, STALE_RESUME) || MIG_MUTANT(s, IGNORE_LOSS) ||
	    MIG_MUTANT(s, RUN_ON_LOADED) || MIG_MUTANT(s, DEAD_RESUME))
		return true;
	return s->state.is_fresh && s->state.has_lock;
}

/* But for the time of a repetition. */
static bool wants_cont(const struct mig_state *s)
{
	if (MIG_MUTANT(s, NO_ROLLBACK) && s->run == MIG_RUNSTATE_POSTMIGRATE)
		return false;
	return (s->life == MIG_LIFE_LIVE || s->life == MIG_LIFE_POWERDOWN) && mig_may_hold(s) &&
	       is_said_afresh(s) && !s->state.is_paused && can_go_on(s->run) &&
	       mig_session_allows_cont(s);
}

static void settle_cont(struct mig_state *s, struct mig_actions *out)
{
	if (!wants_cont(s) || s->now_ms < s->cont_ms || s->is_status_due ||
	    mig_is_pending(s, MIG_COMMAND_CONT) || mig_is_pending(s, MIG_COMMAND_STOP))
		return;
	mig_give(s, out, MIG_COMMAND_CONT);
	s->proof_seq = s->seq;
	s->may_run = true;
	s->is_powerdown_given = false;
	s->run = MIG_RUNSTATE_UNKNOWN; /* until it is read back */
}

void mig_vcpu_settle(struct mig_state *s, struct mig_actions *out)
{
	if (!mig_qemu_is_up(s) || settle_halt(s, out) || s->life == MIG_LIFE_QUITTING)
		return;
	if (s->state.is_paused && s->run == MIG_RUNSTATE_RUNNING && mig_session_allows_cont(s))
		give_stop(s, out);
	settle_cont(s, out);
}

uint64_t mig_vcpu_deadline_ms(const struct mig_state *s)
{
	uint64_t next = MIG_NEVER;

	if (!mig_qemu_is_up(s))
		return next;
	if (s->may_run && mig_may_hold(s) && !MIG_MUTANT(s, IGNORE_LEASE) &&
	    !MIG_MUTANT(s, RUN_ON_LOADED))
		next = s->lease_ms;
	if (s->halt_ms && !MIG_MUTANT(s, NO_KILL))
		next = mig_sooner(next, s->halt_ms);
	if (s->stop_ms > s->now_ms && (s->halt_ms || s->state.is_paused))
		next = mig_sooner(next, s->stop_ms);
	if (s->cont_ms > s->now_ms && wants_cont(s))
		next = mig_sooner(next, s->cont_ms);
	return next;
}
