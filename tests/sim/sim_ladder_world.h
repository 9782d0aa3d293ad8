/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The world of sim_ladder: the truth about victims and devices, agents as they are in bad days,
 * and the oracle that compares what the ladder says with it. What happens, and when, is drawn in
 * sim_ladder.c.
 */
#ifndef TESTS_SIM_LADDER_WORLD_H
#define TESTS_SIM_LADDER_WORLD_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "fence/core/fence_cap.h"
#include "fence/core/ladder.h"
#include "lib/prng.h"

#define VICTIMS	      3
#define QUEUE	      512
#define ATTEMPTS      8192 /* of one fence */
#define HEAL_MS	      150000
#define BOUND_MS      (40 * 60 * 1000)
#define STEPS_MAX     200000
#define LEASE_MS      5000
#define STOP_MS	      5000
#define WATCHDOG_MS   10000
#define MARGIN_MS     2000
#define HEARTBEAT_MS  1000
#define READ_MS	      500 /* until a heartbeat is read */
#define LOOK_MS	      2000
#define TIME_SLACK_MS 3000

/* What a device is; its index in the table is victim * KINDS + kind. */
enum kind { BMC, OUTLET_A, OUTLET_B, PR, PILL, KINDS };

enum pending_kind {
	P_FREE,
	P_EFFECT, /* the device does what it was told */
	P_ANSWER, /* DEVICE_DONE */
	P_READ,	  /* the status is read now, and told at .later_ms */
	P_VERDICT,
	P_SEEN, /* a heartbeat or a later boot arrives */
};

struct pending {
	enum pending_kind type;
	uint64_t at_ms;
	uint64_t later_ms;
	uint64_t attempt;
	uint64_t incarnation;
	int victim;
	enum kind kind;
	bool is_on; /* P_EFFECT: on, not off; P_SEEN: a boot, not a heartbeat */
	bool is_ok;
	uint8_t power;
};

struct victim {
	struct ladder_state ladder;
	uint64_t next_ms;
	bool has_fence;
	/* the truth */
	uint64_t incarnation;
	bool is_dead;
	bool is_keyless;
	bool is_bmc_off;
	bool is_outlet_off[2];
	bool is_connected;
	bool is_leasing;
	uint64_t dies_ms;
	bool is_watchdog_broken;
	bool is_heard;	/* heartbeats can be read */
	bool is_absent; /* from the quorate view, since */
	uint64_t absent_ms;
	uint64_t heard_ms;
	uint64_t beat_ms;
	/* what the ladder did */
	bool is_permitted;
	bool is_run;
	uint64_t base;
	uint64_t issued;
	uint8_t notes[ATTEMPTS];
	bool is_broken[KINDS]; /* for ever */
};

struct world {
	struct prng rng;
	uint64_t seed;
	uint64_t now_ms;
	enum ladder_mutant mutant;
	bool is_trace;
	int victims;
	struct victim victim[VICTIMS];
	struct pending queue[QUEUE];
	struct fence_cap_state cap;
	uint64_t cap_ms;
	uint64_t disarmed_ms;
	struct {
		int victim;
		uint64_t incarnation;
		uint64_t at_ms;
	} started[64]; /* the oracle's own list of permits */
	int started_count;
	bool is_quorate;
	bool is_other_quorate;
	bool is_healed;
	uint64_t env_ms;
	uint64_t rate_fail, rate_hang, rate_lie, rate_slow, rate_late, rate_unknown; /* percent */
	uint64_t rate_return; /* of quorum, at each step of the environment */
	const char *broken;
};

#define TRACE(w, ...)                                                                              \
	do {                                                                                       \
		if ((w)->is_trace) {                                                               \
			printf("%8" PRIu64 " ", (w)->now_ms);                                      \
			printf(__VA_ARGS__);                                                       \
			putchar('\n');                                                             \
		}                                                                                  \
	} while (0)

/* True pct times in 100. */
bool sim_chance(struct world *w, uint64_t pct);
/* Remembers the first thing that is wrong. */
void sim_broke(struct world *w, const char *what);
/* Queues something; the caller fills in the rest. */
struct pending *sim_push(struct world *w, enum pending_kind type, int victim, uint64_t at_ms);
/* Is it in the view of those who look? */
bool sim_is_present(const struct victim *v);
/* Tells the ladder what the view is now. */
void sim_tell_view(struct world *w, int n);
/* Who can renew a lease does; who cannot any more dies by its watchdog in time, if that works. */
void sim_lease_update(struct world *w, int n);
/* A device does what it was told, or somebody does it by hand. */
void sim_effect(struct world *w, int n, enum kind kind, bool is_on);
/* What a device says when it is asked: enum ladder_power. */
uint8_t sim_status(const struct victim *v, enum kind kind);
/* The incarnation ends; after a reset its later boot may be heard of. */
void sim_die(struct world *w, int n, bool is_reset);
/* The state through its bytes; what the bytes do not carry must not matter. */
void sim_through_snapshot(struct world *w, struct ladder_state *st);
/* One event for the ladder, and all that follows from it. */
void sim_step_event(struct world *w, int n, struct ladder_event *ev);
/* One event for the cap, and all that follows from it. */
void sim_cap_event(struct world *w, enum fence_cap_event_type type, int n, uint64_t until_ms);

#endif
