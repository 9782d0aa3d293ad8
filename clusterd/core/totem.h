/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * corosync's times: how long it takes until a dead node is known to be dead. They are the
 * cluster's, from one setting (`totem.token_ms`), and the same for any number of nodes (adr/0025).
 *
 *   token      a node that has not had the token for so long gives up the ring
 *   consensus  and waits so long for those that do not answer; 1.2 of token, the least there may be
 *
 * A dead node is out of the ring after both, whatever the number of nodes: token_coefficient is 0,
 * where corosync's default adds 650 ms for each node past the second (corosync.conf(5)).
 */
#ifndef CLUSTERD_CORE_TOTEM_H
#define CLUSTERD_CORE_TOTEM_H

#include "clusterd/core/corosync_conf.h"

#define TOTEM_TOKEN_MS	   1750 /* 3.85 s until a dead node is out of the ring */
#define TOTEM_TOKEN_MIN_MS 500
#define TOTEM_TOKEN_MAX_MS 30000
#define TOTEM_TEXT_MAX	   160

/* What the cluster wants, for a token. */
void totem_wanted(uint32_t token_ms, struct corosync_times *ret);
/* What corosync makes of a text that says this much; times that are not given have its defaults. */
void totem_in_force(const struct corosync_times *given, uint8_t nodes, struct corosync_times *ret);
/* Until a dead node is out of the ring, at most. */
uint32_t totem_detection_ms(const struct corosync_times *in_force);
/* "token 3000 instead of 2000, …": in what the one in force differs; false: in nothing. */
bool totem_differs(const struct corosync_times *in_force, const struct corosync_times *wanted,
		   char text[static TOTEM_TEXT_MAX]);
/* The token of a text that a cluster is made with: its own if it is as quick as ours, else ours. */
uint32_t totem_adopted(const struct corosync_times *given, uint8_t nodes);

#endif
