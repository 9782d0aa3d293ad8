/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/stopping.h"

#include "lib/must.h"

/* OCF Resource Agent API 1.1, exit codes. */
enum { RC_SUCCESS = 0, RC_ARGS = 2, RC_INSTALLED = 5, RC_CONFIGURED = 6, RC_NOT_RUNNING = 7 };

static const unsigned int next_steps[STOPPING_STEP_MAX] = {
	[STOPPING_AGENT] = 1u << STOPPING_OVER | 1u << STOPPING_KILL,
	[STOPPING_KILL] = 1u << STOPPING_PROBE | 1u << STOPPING_STUCK,
	[STOPPING_PROBE] = 1u << STOPPING_OVER | 1u << STOPPING_AGAIN,
	[STOPPING_AGAIN] = 1u << STOPPING_OVER | 1u << STOPPING_STUCK,
};

static void move(struct stopping *s, enum stopping_step next)
{
	must(next_steps[s->step] & 1u << next);
	s->step = next;
}

bool stopping_is_refusal(int start_rc)
{
	return start_rc == RC_ARGS || start_rc == RC_INSTALLED || start_rc == RC_CONFIGURED;
}

void stopping_begin(struct stopping *s, int start_rc)
{
	*s = (struct stopping){.step = STOPPING_AGENT,
			       .refused_rc = stopping_is_refusal(start_rc) ? start_rc : 0};
}

static bool is_stopped(const struct stopping *s, int rc)
{
	return rc == RC_SUCCESS || (s->refused_rc && rc == s->refused_rc);
}

void stopping_agent_done(struct stopping *s, int rc, uint64_t now_ms)
{
	switch (s->step) {
	case STOPPING_AGENT:
		move(s, is_stopped(s, rc) ? STOPPING_OVER : STOPPING_KILL);
		s->was_killed = s->step == STOPPING_KILL;
		s->until_ms = now_ms + STOPPING_KILL_MS;
		return;
	case STOPPING_PROBE:
		move(s, rc == RC_NOT_RUNNING ? STOPPING_OVER : STOPPING_AGAIN);
		return;
	case STOPPING_AGAIN:
		move(s, is_stopped(s, rc) ? STOPPING_OVER : STOPPING_STUCK);
		return;
	default:
		must(false);
	}
}

void stopping_look(struct stopping *s, bool is_empty, uint64_t now_ms)
{
	must(s->step == STOPPING_KILL);
	if (!is_empty && now_ms < s->until_ms)
		return;
	s->has_survivors = !is_empty;
	move(s, is_empty ? STOPPING_PROBE : STOPPING_STUCK);
}
