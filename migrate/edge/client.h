/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of vm-host(8) that talk to a running vm-host, or clear up after one that was killed.
 * Blocking, each with a deadline.
 */
#ifndef MIGRATE_EDGE_CLIENT_H
#define MIGRATE_EDGE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/uuid.h"

/* Exit codes. */
#define CLIENT_OK	   0
#define CLIENT_FAILED	   1 /* refused, not in time; status: crashed, failed, out of control */
#define CLIENT_USAGE	   2 /* wrong options, or a definition that is not valid */
#define CLIENT_NOT_RUNNING 3

struct client_options {
	uint8_t uuid[UUID_BYTES];
	const char *run_dir;
	bool is_json;
	const char *wait; /* status: words, separated by commas; NULL: none */
	uint64_t timeout_ms, deadline_ms;
	const char *peer;
	uint16_t port;
	uint64_t bandwidth; /* bytes per second */
	uint64_t hold_ms;
};

/* `command`: "status", "stop", "pause", "resume", "cancel" or "migrate". An exit code. */
int client_run(const char *command, const struct client_options *options);
/*
 * Runs a program while the virtual CPUs stand still and nothing of a disk is under way. Its exit
 * code; CLIENT_FAILED: they did not, or not until its end; then what it has copied is of no use.
 */
int client_quiesce(const struct client_options *options, char *const *argv);

#endif
