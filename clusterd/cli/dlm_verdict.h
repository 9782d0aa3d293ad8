/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether clusterd has fenced a node that dlm_controld has lost: a function of what its API says,
 * `node.list` and `fence.history`. Only a fence proven at or after the failure counts, whatever the
 * node's state is now: it may be back. An earlier one was of an earlier boot.
 */
#ifndef CLUSTERD_CLI_DLM_VERDICT_H
#define CLUSTERD_CLI_DLM_VERDICT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DLM_WHY_MAX 512

struct dlm_victim {
	uint32_t nodeid; /* corosync's */
	int64_t fail_s;	 /* wall clock of this node when it was lost */
};

/* Fills in why in both cases, with the node's name. */
bool dlm_is_fenced(const struct dlm_victim *v, const json_t *nodes, const json_t *history,
		   char *why, size_t size);

#endif
