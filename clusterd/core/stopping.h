/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How one resource is stopped: its agent; if that fails, the kill of all processes that its agents
 * have left, then its monitor, then its stop once more. It ends proven to be over, or stuck: what
 * it takes from there on is not for this node to do. Pure: told what came of each step, it says the
 * next. `rc` is the exit code of an OCF agent, STOPPING_NO_RC where there was none.
 *
 * Proof: nothing tracked is alive, and the agent's stop or monitor says so. An agent that refused
 * the start for its parameters or for what is not installed, and refuses the stop with the same
 * word, has started nothing.
 */
#ifndef CLUSTERD_CORE_STOPPING_H
#define CLUSTERD_CORE_STOPPING_H

#include <stdbool.h>
#include <stdint.h>

#define STOPPING_KILL_MS 10000 /* from SIGKILL until nothing tracked may be left */
#define STOPPING_NO_RC	 (-1)

enum stopping_step {
	STOPPING_AGENT, /* run its stop */
	STOPPING_KILL,	/* SIGKILL to all that is tracked, and look until none is left */
	STOPPING_PROBE, /* run its monitor, once */
	STOPPING_AGAIN, /* run its stop */
	STOPPING_OVER,	/* proven */
	STOPPING_STUCK,
	STOPPING_STEP_MAX
};

struct stopping {
	enum stopping_step step;
	int refused_rc;	 /* what its start said, if that means that nothing was started; else 0 */
	bool was_killed; /* the agent's first stop was not enough */
	bool has_survivors; /* stuck: something tracked outlives its kill */
	uint64_t until_ms;  /* of STOPPING_KILL */
};

/* start_rc: how its last start ended; 0 if that is not known. */
void stopping_begin(struct stopping *s, int start_rc);
/* The agent's action of this step has ended. */
void stopping_agent_done(struct stopping *s, int rc, uint64_t now_ms);
/* In STOPPING_KILL: is nothing tracked alive? */
void stopping_look(struct stopping *s, bool is_empty, uint64_t now_ms);
/* True for what a start says that has not even tried. */
bool stopping_is_refusal(int start_rc);

#endif
