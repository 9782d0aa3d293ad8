/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fence/core/fence_cap.h"

#include <errno.h>
#include <string.h>

#include "fence/core/ladder_impl.h"

int fence_cap_init(struct fence_cap_state *cap, const struct fence_cap_config *config)
{
	struct fence_cap_state fresh = {.mutant = LADDER_MUTANT_NONE};

	if (config->max_active == 0 || config->max_active > LADDER_MAX_NODES ||
	    config->max_starts == 0 || config->max_starts > FENCE_CAP_MAX_STARTS ||
	    config->window_ms == 0 || config->window_ms > LADDER_MS_MAX ||
	    config->disarm_max_ms > LADDER_MS_MAX)
		return -EINVAL;
	fresh.config = *config;
	*cap = fresh;
	return 0;
}

static uint8_t active_count(const struct fence_cap_state *cap)
{
	uint8_t n = 0;

	for (uint8_t i = 0; i < LADDER_MAX_NODES; i++)
		n = (uint8_t)(n + cap->node[i].is_active);
	return n;
}

/* Drops the starts that the window has passed. */
static void window_move(struct fence_cap_state *cap)
{
	uint8_t kept = 0;

	for (uint8_t i = 0; i < cap->start_count; i++) {
		if (cap->now_ms - cap->start[i].at_ms < cap->config.window_ms)
			cap->start[kept++] = cap->start[i];
	}
	memset(&cap->start[kept], 0, sizeof(cap->start[0]) * (FENCE_CAP_MAX_STARTS - kept));
	cap->start_count = kept;
}

static bool is_counted(const struct fence_cap_state *cap, uint8_t victim)
{
	for (uint8_t i = 0; i < cap->start_count; i++) {
		if (cap->start[i].victim == victim &&
		    cap->start[i].incarnation == cap->node[victim].incarnation)
			return true;
	}
	return false;
}

/* A victim that has not been counted in this window needs room in it. */
static bool has_room(const struct fence_cap_state *cap, uint8_t victim)
{
	return is_counted(cap, victim) || cap->start_count < cap->config.max_starts ||
	       LADDER_MUTANT(cap, CAP_COUNTS_ACTIVE);
}

/* Who goes next among those that wait and have room; LADDER_NODE_NONE: nobody. */
static uint8_t next_victim(const struct fence_cap_state *cap, bool needs_room)
{
	uint8_t best = LADDER_NODE_NONE;

	for (uint8_t i = 0; i < LADDER_MAX_NODES; i++) {
		if (!cap->node[i].is_waiting || (needs_room && !has_room(cap, i)))
			continue;
		if (best == LADDER_NODE_NONE || cap->node[i].priority > cap->node[best].priority ||
		    (cap->node[i].priority == cap->node[best].priority &&
		     cap->node[i].ticket < cap->node[best].ticket))
			best = i;
	}
	return best;
}

static void permit(struct fence_cap_state *cap, uint8_t victim, struct fence_cap_actions *out)
{
	if (!is_counted(cap, victim) && cap->start_count < FENCE_CAP_MAX_STARTS) {
		cap->start[cap->start_count].victim = victim;
		cap->start[cap->start_count].incarnation = cap->node[victim].incarnation;
		cap->start[cap->start_count].at_ms = cap->now_ms;
		cap->start_count++;
	}
	cap->node[victim].is_waiting = false;
	cap->node[victim].is_active = true;
	out->permit[out->count++] = victim;
}

/* Why the first in the queue still waits, and until when. */
static void explain(const struct fence_cap_state *cap, struct fence_cap_actions *out)
{
	if (next_victim(cap, false) == LADDER_NODE_NONE)
		return;
	out->ends_ms = LADDER_NEVER;
	out->cause = FENCE_CAP_ACTIVE;
	if (cap->now_ms < cap->disarmed_ms) {
		out->cause = FENCE_CAP_DISARMED;
		out->ends_ms = cap->disarmed_ms;
	} else if (active_count(cap) < cap->config.max_active) {
		out->cause = FENCE_CAP_WINDOW;
		out->ends_ms = cap->start[0].at_ms + cap->config.window_ms;
	}
}

static int on_ask(struct fence_cap_state *cap, const struct fence_cap_event *ev)
{
	if (ev->victim >= LADDER_MAX_NODES)
		return -EINVAL;
	if ((cap->node[ev->victim].is_waiting || cap->node[ev->victim].is_active) &&
	    cap->node[ev->victim].incarnation == ev->incarnation)
		return 0;
	cap->node[ev->victim].is_waiting = true;
	cap->node[ev->victim].is_active = false;
	cap->node[ev->victim].incarnation = ev->incarnation;
	cap->node[ev->victim].priority = ev->priority;
	cap->node[ev->victim].ticket = cap->ticket++;
	return 0;
}

static int on_done(struct fence_cap_state *cap, const struct fence_cap_event *ev)
{
	if (ev->victim >= LADDER_MAX_NODES)
		return -EINVAL;
	/* An older incarnation's ladder ends late: the place is no longer its own. */
	if (cap->node[ev->victim].incarnation != ev->incarnation)
		return 0;
	cap->node[ev->victim].is_waiting = false;
	if (!LADDER_MUTANT(cap, CAP_HOLDS))
		cap->node[ev->victim].is_active = false;
	return 0;
}

int fence_cap_step(struct fence_cap_state *cap, const struct fence_cap_event *ev,
		   struct fence_cap_actions *out)
{
	uint8_t victim;
	int r = 0;

	*out = (struct fence_cap_actions){.cause = FENCE_CAP_FREE};
	if (ev->now_ms < cap->now_ms || ev->now_ms > LADDER_TIME_MAX ||
	    (unsigned int)ev->type >= FENCE_CAP_EV_MAX)
		return -EINVAL;
	if (ev->type == FENCE_CAP_EV_DISARM && ev->until_ms > ev->now_ms &&
	    ev->until_ms - ev->now_ms > cap->config.disarm_max_ms)
		return -ERANGE;
	if (ev->type == FENCE_CAP_EV_ASK)
		r = on_ask(cap, ev);
	else if (ev->type == FENCE_CAP_EV_DONE)
		r = on_done(cap, ev);
	else if (ev->type == FENCE_CAP_EV_DISARM)
		cap->disarmed_ms = ev->until_ms;
	if (r)
		return r;
	cap->now_ms = ev->now_ms;
	window_move(cap);
	while (cap->now_ms >= cap->disarmed_ms && active_count(cap) < cap->config.max_active) {
		victim = next_victim(cap, true);
		if (victim == LADDER_NODE_NONE)
			break;
		permit(cap, victim, out);
	}
	explain(cap, out);
	return 0;
}

const char *fence_cap_check(const struct fence_cap_state *cap)
{
	if (active_count(cap) > cap->config.max_active)
		return "more fences at work than allowed";
	if (cap->start_count > cap->config.max_starts)
		return "more fences started in the window than allowed";
	for (uint8_t i = 0; i < LADDER_MAX_NODES; i++) {
		if (cap->node[i].is_waiting && cap->node[i].is_active)
			return "waiting and at work at once";
	}
	for (uint8_t i = 1; i < cap->start_count; i++) {
		if (cap->start[i].at_ms < cap->start[i - 1].at_ms)
			return "starts out of order";
	}
	return NULL;
}
