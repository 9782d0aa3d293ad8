/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cap: never the whole cluster (C7). Who of those that ask may act now: at most max_active at a
 * time, and max_starts different victims per window; the highest priority first, within it the one
 * that asked first. It only delays. A ladder that asks again for its next round, within the window,
 * is not counted twice. The time-only wait and the administrator's word need no permit, so they
 * never ask. Pure: it knows no ladder, only who asked and who was permitted. Times are milliseconds
 * of the caller's monotonic clock. Invariants: fence_cap_check().
 */
#ifndef FENCE_CORE_FENCE_CAP_H
#define FENCE_CORE_FENCE_CAP_H

#include "fence/core/ladder.h"

#define FENCE_CAP_MAX_STARTS 16

enum fence_cap_event_type {
	FENCE_CAP_EV_ASK,    /* .victim, .incarnation, .priority; asking again changes nothing */
	FENCE_CAP_EV_DONE,   /* .victim released its permit or its question */
	FENCE_CAP_EV_DISARM, /* .until_ms; at most disarm_max_ms ahead; now or earlier: armed again
			      */
	FENCE_CAP_EV_TICK,
	FENCE_CAP_EV_MAX
};

enum fence_cap_cause {
	FENCE_CAP_FREE,	    /* nobody waits */
	FENCE_CAP_ACTIVE,   /* for the end of another fence; its time is not known */
	FENCE_CAP_WINDOW,   /* for ends_ms */
	FENCE_CAP_DISARMED, /* for ends_ms */
	FENCE_CAP_CAUSE_MAX
};

struct fence_cap_config {
	uint8_t max_active;	/* 1 .. 16; 1 by default */
	uint8_t max_starts;	/* 1 .. FENCE_CAP_MAX_STARTS; 3 by default */
	uint32_t window_ms;	/* 60 s by default */
	uint32_t disarm_max_ms; /* 1 h by default */
};

#define FENCE_CAP_CONFIG_INIT                                                                      \
	{                                                                                          \
		.max_active = 1, .max_starts = 3, .window_ms = 60000, .disarm_max_ms = 3600000     \
	}

struct fence_cap_event {
	enum fence_cap_event_type type;
	uint64_t now_ms;
	uint8_t victim;
	uint64_t incarnation;
	uint32_t priority; /* higher goes first */
	uint64_t until_ms;
};

struct fence_cap_actions {
	uint8_t count;
	uint8_t permit[LADDER_MAX_NODES]; /* victims whose ladder gets LADDER_EV_PERMIT */
	uint8_t cause;			  /* why the rest waits */
	uint64_t ends_ms;		  /* until when: 0 nobody waits, LADDER_NEVER not known */
};

struct fence_cap_state {
	enum ladder_mutant mutant;
	struct fence_cap_config config;
	uint64_t now_ms;
	uint64_t disarmed_ms; /* until */
	uint64_t ticket;      /* of the next that asks */
	struct {
		bool is_waiting;
		bool is_active;
		uint64_t incarnation;
		uint32_t priority;
		uint64_t ticket;
	} node[LADDER_MAX_NODES];
	uint8_t start_count;
	struct {
		uint8_t victim;
		uint64_t incarnation;
		uint64_t at_ms;
	} start[FENCE_CAP_MAX_STARTS]; /* within the window, oldest first */
};

/* -EINVAL for a configuration out of range. */
int fence_cap_init(struct fence_cap_state *cap, const struct fence_cap_config *config);
/* 0; -EINVAL (malformed, or time went back), -ERANGE (DISARM too far ahead): nothing changed. */
int fence_cap_step(struct fence_cap_state *cap, const struct fence_cap_event *ev,
		   struct fence_cap_actions *out);
const char *fence_cap_check(const struct fence_cap_state *cap);

#endif
