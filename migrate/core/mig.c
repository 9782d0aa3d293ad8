/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/core/mig.h"

#include <errno.h>
#include <string.h>

#include "lib/must.h"
#include "migrate/core/mig_impl.h"

struct mig_action *mig_emit(struct mig_actions *out, enum mig_action_kind kind)
{
	struct mig_action *a;

	must(out->count < MIG_MAX_ACTIONS);
	a = &out->item[out->count++];
	memset(a, 0, sizeof(*a));
	a->kind = kind;
	return a;
}

void mig_init(struct mig_state *s, const struct mig_config *config,
	      const struct mig_identity *identity, bool is_incoming)
{
	memset(s, 0, sizeof(*s));
	s->config = *config;
	s->identity = *identity;
	s->is_incoming = is_incoming;
}

static void on_state(struct mig_state *s, const struct vm_link_state *state)
{
	/* A lease that is taken back ends now, not when it would have ended. */
	if (state->lease_until_ms > s->now_ms)
		s->lease_ms = state->lease_until_ms;
	else
		s->lease_ms = mig_sooner(s->lease_ms, s->now_ms);
	s->state = *state;
	if (state->has_lock &&
	    (state->is_fresh || MIG_MUTANT(s, RUN_STALE) || MIG_MUTANT(s, STALE_RESUME)))
		s->is_held = true;
	else if (!state->has_lock && !MIG_MUTANT(s, IGNORE_LOSS))
		s->is_held = false;
}

static void on_answer(struct mig_state *s, const struct mig_answer *a, struct mig_actions *out)
{
	if (a->kind >= MIG_COMMAND_MAX || !a->seq || s->pending[a->kind].seq != a->seq)
		return; /* given up before */
	s->pending[a->kind].seq = 0;
	s->is_silent = false;
	mig_qemu_on_answer(s, a);
	mig_session_on_answer(s, a, out);
}

static int absorb(struct mig_state *s, const struct mig_event *e, struct mig_actions *out)
{
	switch (e->type) {
	case MIG_EV_STATE:
		on_state(s, &e->state);
		return 0;
	case MIG_EV_QEMU_STARTED:
		mig_qemu_on_started(s, e->pid);
		return 0;
	case MIG_EV_QEMU_ENDED:
		mig_qemu_on_ended(s, e->text);
		return 0;
	case MIG_EV_QEMU_EVENT:
		mig_qemu_on_event(s, e->qemu_event);
		return 0;
	case MIG_EV_ANSWER:
		on_answer(s, &e->answer, out);
		return 0;
	case MIG_EV_CHANNEL_LISTENING:
	case MIG_EV_CHANNEL_OPEN:
	case MIG_EV_CHANNEL_LOST:
		mig_session_on_channel(s, e, out);
		return 0;
	case MIG_EV_PEER:
		return mig_session_on_peer(s, e, out);
	case MIG_EV_TICK:
		return 0;
	case MIG_EV_MAX:
		break;
	}
	return -EINVAL;
}

int mig_step(struct mig_state *s, const struct mig_event *e, struct mig_actions *out)
{
	int r;

	out->count = 0;
	if (s->life == MIG_LIFE_ENDED)
		return 0;
	must(e->now_ms >= s->now_ms);
	s->now_ms = e->now_ms;
	mig_qemu_timeouts(s);
	r = absorb(s, e, out);
	mig_session_settle(s, out);
	mig_life_settle(s, out);
	mig_vcpu_settle(s, out);
	mig_qemu_poll(s, out);
	mig_tell(s, out);
	if (s->life == MIG_LIFE_ENDED) {
		mig_session_close(s, out);
		mig_emit(out, MIG_DO_END);
	}
	return r;
}

uint64_t mig_next_deadline_ms(const struct mig_state *s)
{
	uint64_t next = MIG_NEVER;

	if (s->life == MIG_LIFE_ENDED)
		return next;
	next = mig_sooner(next, mig_qemu_deadline_ms(s));
	next = mig_sooner(next, mig_vcpu_deadline_ms(s));
	next = mig_sooner(next, mig_life_deadline_ms(s));
	return mig_sooner(next, mig_session_deadline_ms(s));
}

/* ---- looking at it */

static const char *check_session(const struct mig_state *s)
{
	const struct mig_session *m = &s->session;
	bool is_source = m->role == VM_LINK_SOURCE;

	if (m->step >= MIG_STEP_MAX)
		return "no such step";
	if ((m->step == MIG_STEP_NONE) != (m->id == 0))
		return "a session without a number, or a number without a session";
	if (mig_session_is_active(s) && m->role == VM_LINK_NO_ROLE)
		return "a session without a role";
	if (!is_source && (m->step == MIG_STEP_STATE || m->step == MIG_STEP_ASKED ||
			   m->step == MIG_STEP_TRANSFERRED || m->step == MIG_STEP_ROLLBACK))
		return "a destination in a step of the source";
	if (is_source && (m->step == MIG_STEP_LOADED || m->step == MIG_STEP_ONLINE))
		return "a source in a step of the destination";
	if (m->step == MIG_STEP_ASKED && (!m->is_loaded || !m->is_returned || m->is_migrate_given))
		return "asked for the lock without proof";
	if (m->step == MIG_STEP_ONLINE && (!m->is_loaded || s->is_incoming))
		return "online without all being loaded";
	if (mig_session_has_asked(s) && mig_is_pending(s, MIG_COMMAND_CONT))
		return "runs a source that has asked";
	if (m->channel.state == MIG_CHANNEL_OPEN && m->step == MIG_STEP_NONE)
		return "a control channel of no session";
	return NULL;
}

const char *mig_check(const struct mig_state *s)
{
	if (s->life >= MIG_LIFE_MAX || s->run >= MIG_RUNSTATE_MAX)
		return "no such state";
	if (s->is_incoming && mig_is_pending(s, MIG_COMMAND_CONT))
		return "runs what arrives";
	if (s->may_run && !mig_may_hold(s) && mig_qemu_is_up(s) && !s->halt_ms)
		return "may run without lock or lease, and is not being halted";
	if (s->halt_ms && !s->may_run)
		return "halts what stands still";
	if (s->life >= MIG_LIFE_GONE && (s->may_run || s->pid))
		return "a QEMU that has ended may run";
	if (s->state.is_stop && s->life == MIG_LIFE_LIVE)
		return "a stop that is not obeyed";
	for (int kind = 0; kind < MIG_COMMAND_MAX; kind++) {
		if (s->pending[kind].seq > s->seq)
			return "a command from the future";
		if (s->pending[kind].seq && s->pending[kind].deadline_ms <= s->now_ms)
			return "a command past its deadline";
	}
	return check_session(s);
}
