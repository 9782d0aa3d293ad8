/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/totem.h"

#include <inttypes.h>
#include <stdio.h>

/* corosync's own, exec/totemconfig.c of 3.1. */
#define DEFAULT_TOKEN_MS       3000
#define DEFAULT_COEFFICIENT_MS 650
#define DEFAULT_JOIN_MS	       50
#define NODES_WITHOUT	       2 /* the coefficient counts from the third */

static uint32_t consensus_of(uint32_t token_ms)
{
	return token_ms + token_ms / 5;
}

void totem_wanted(uint32_t token_ms, struct corosync_times *ret)
{
	*ret = (struct corosync_times){
		.given = COROSYNC_TIMES_ALL,
		.ms = {[COROSYNC_TOKEN] = token_ms,
		       [COROSYNC_TOKEN_COEFFICIENT] = 0,
		       [COROSYNC_CONSENSUS] = consensus_of(token_ms),
		       [COROSYNC_JOIN] = DEFAULT_JOIN_MS},
	};
}

static uint32_t given_or(const struct corosync_times *t, enum corosync_time which,
			 uint32_t otherwise)
{
	return t->given & (1u << which) ? t->ms[which] : otherwise;
}

void totem_in_force(const struct corosync_times *given, uint8_t nodes, struct corosync_times *ret)
{
	struct corosync_times t = {.given = COROSYNC_TIMES_ALL};
	uint32_t more = nodes > NODES_WITHOUT ? nodes - NODES_WITHOUT : 0;

	t.ms[COROSYNC_TOKEN_COEFFICIENT] =
		given_or(given, COROSYNC_TOKEN_COEFFICIENT, DEFAULT_COEFFICIENT_MS);
	t.ms[COROSYNC_TOKEN] = given_or(given, COROSYNC_TOKEN, DEFAULT_TOKEN_MS) +
			       more * t.ms[COROSYNC_TOKEN_COEFFICIENT];
	t.ms[COROSYNC_CONSENSUS] =
		given_or(given, COROSYNC_CONSENSUS, consensus_of(t.ms[COROSYNC_TOKEN]));
	t.ms[COROSYNC_JOIN] = given_or(given, COROSYNC_JOIN, DEFAULT_JOIN_MS);
	*ret = t;
}

uint32_t totem_detection_ms(const struct corosync_times *in_force)
{
	return in_force->ms[COROSYNC_TOKEN] + in_force->ms[COROSYNC_CONSENSUS];
}

bool totem_differs(const struct corosync_times *in_force, const struct corosync_times *wanted,
		   char text[static TOTEM_TEXT_MAX])
{
	size_t at = 0;

	text[0] = 0;
	for (int i = 0; i < COROSYNC_TIME_MAX; i++) {
		if (in_force->ms[i] != wanted->ms[i] && at < TOTEM_TEXT_MAX)
			at += (size_t)snprintf(text + at, TOTEM_TEXT_MAX - at,
					       "%s%s %" PRIu32 " instead of %" PRIu32,
					       at ? ", " : "",
					       corosync_time_key((enum corosync_time)i),
					       in_force->ms[i], wanted->ms[i]);
	}
	return at != 0;
}

uint32_t totem_adopted(const struct corosync_times *given, uint8_t nodes)
{
	struct corosync_times t;

	totem_in_force(given, nodes, &t);
	return t.ms[COROSYNC_TOKEN] >= TOTEM_TOKEN_MIN_MS && t.ms[COROSYNC_TOKEN] <= TOTEM_TOKEN_MS
		       ? t.ms[COROSYNC_TOKEN]
		       : TOTEM_TOKEN_MS;
}
