/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clusterd is told: worked out of the state, and told when it differs from the last. */
#include <stdio.h>
#include <string.h>

#include "migrate/core/mig_impl.h"

void mig_text_set(char *dst, size_t cap, const char *text)
{
	size_t len = strlen(text);

	len = len < cap ? len : cap - 1;
	memset(dst, 0, cap);
	memcpy(dst, text, len);
}

static enum vm_link_run run_up(const struct mig_state *s)
{
	if (s->run == MIG_RUNSTATE_SHUTDOWN)
		return VM_LINK_SHUTDOWN;
	if (s->run == MIG_RUNSTATE_PANICKED || s->run == MIG_RUNSTATE_INTERNAL_ERROR)
		return VM_LINK_CRASHED;
	if (s->may_run && s->run != MIG_RUNSTATE_IO_ERROR &&
	    !(s->state.is_paused && s->run == MIG_RUNSTATE_PAUSED))
		return VM_LINK_RUNNING;
	if (!s->has_run)
		return VM_LINK_READY;
	if (!mig_may_hold(s))
		return VM_LINK_HALTED;
	if (s->run == MIG_RUNSTATE_IO_ERROR)
		return VM_LINK_IO_ERROR;
	return s->state.is_paused ? VM_LINK_PAUSED : VM_LINK_HALTED;
}

static enum vm_link_run run_of(const struct mig_state *s)
{
	if (s->life == MIG_LIFE_STARTING)
		return VM_LINK_STARTING;
	if (s->life >= MIG_LIFE_GONE)
		return s->end_run;
	if (s->is_ending || s->life == MIG_LIFE_KILLED)
		return VM_LINK_STOPPING;
	return s->is_incoming ? VM_LINK_INCOMING : run_up(s);
}

static enum vm_link_phase phase_of(const struct mig_session *m)
{
	static const enum vm_link_phase phase[MIG_STEP_MAX] = {
		[MIG_STEP_NONE] = VM_LINK_MIG_NONE,	[MIG_STEP_CHECK] = VM_LINK_MIG_CHECK,
		[MIG_STEP_SETUP] = VM_LINK_MIG_SETUP,	[MIG_STEP_MEMORY] = VM_LINK_MIG_MEMORY,
		[MIG_STEP_STATE] = VM_LINK_MIG_STATE,	[MIG_STEP_LOADED] = VM_LINK_MIG_STATE,
		[MIG_STEP_ASKED] = VM_LINK_MIG_HANDLE,	[MIG_STEP_TRANSFERRED] = VM_LINK_MIG_ONLINE,
		[MIG_STEP_ONLINE] = VM_LINK_MIG_ONLINE, [MIG_STEP_ROLLBACK] = VM_LINK_MIG_STATE,
		[MIG_STEP_DONE] = VM_LINK_MIG_DONE,	[MIG_STEP_FAILED] = VM_LINK_MIG_FAILED,
	};

	if (m->step == MIG_STEP_FAILED && m->reason == MIG_REASON_CANCELLED)
		return VM_LINK_MIG_CANCELLED;
	return phase[m->step];
}

static void text_of_session(const struct mig_session *m, char *dst, size_t cap)
{
	const char *why = mig_reason_text(m->reason);
	const char *waits = m->step == MIG_STEP_ASKED || m->step == MIG_STEP_LOADED
				    ? "waits for the lock"
			    : m->step == MIG_STEP_TRANSFERRED ? "waits for the destination"
							      : "";
	int n;

	memset(dst, 0, cap);
	if (m->reason == MIG_REASON_NONE)
		n = snprintf(dst, cap, "%s", waits);
	else if (m->step == MIG_STEP_ROLLBACK)
		n = snprintf(dst, cap, "%s; waits for QEMU's migration to end", why);
	else
		n = snprintf(dst, cap, m->text[0] ? "%s: %s" : "%s", why, m->text);
	(void)n; /* cut to what fits */
}

static void progress_of(const struct mig_state *s, struct vm_link_progress *p)
{
	const struct mig_session *m = &s->session;

	p->id = m->id;
	p->phase = phase_of(m);
	p->total = m->numbers.total_bytes;
	p->remaining = m->numbers.remaining_bytes;
	p->sent = m->numbers.sent_bytes;
	p->passes = m->numbers.passes;
	p->dirty_rate = m->numbers.dirty_bytes_per_s;
	p->rate = m->numbers.sent_bytes_per_s;
	p->downtime_ms = m->numbers.downtime_ms;
	if (m->role == VM_LINK_DESTINATION)
		p->port = m->channel.port;
	memcpy(p->address, m->channel.address, sizeof(p->address));
	text_of_session(m, p->text, sizeof(p->text));
}

void mig_tell(struct mig_state *s, struct mig_actions *out)
{
	struct vm_link_status now;
	const char *text = s->text;

	memset(&now, 0, sizeof(now)); /* it is compared as bytes */
	now.run = run_of(s);
	now.qemu_pid = s->pid;
	if (!text[0] && s->is_silent)
		text = "QEMU does not answer";
	mig_text_set(now.text, sizeof(now.text), text);
	progress_of(s, &now.migration);
	if (s->is_told && memcmp(&now, &s->told, sizeof(now)) == 0)
		return;
	s->is_told = true;
	memcpy(&s->told, &now, sizeof(now));
	memcpy(&mig_emit(out, MIG_DO_TELL)->status, &now, sizeof(now));
}
