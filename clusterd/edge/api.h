/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API socket: one JSON object a line in each direction, UTF-8 (doc/api.md). Who asks is taken
 * from the kernel (SO_PEERCRED): root and group `clusteradm` may change, group `clusterview` may
 * read. A reply never waits for a lock, a disk or an agent; a client that does not read loses its
 * connection, never the daemon's memory.
 *
 * Loop thread only.
 */
#ifndef CLUSTERD_EDGE_API_H
#define CLUSTERD_EDGE_API_H

#include <jansson.h>
#include <qb/qbloop.h>

#include "clusterd/edge/engine.h"

#define API_SCHEMA	1
#define API_LINE_MAX	(1024 * 1024)
#define API_CLIENTS_MAX 128
#define API_TEXT_MAX	512
#define API_TIMEOUT_MS	10000
#define API_WAIT_MAX_MS (24ull * 3600 * 1000)

enum api_code { /* clusterd-exit-codes(7) */
		API_OK = 0,
		API_FAILED = 1,
		API_USAGE = 2,
		API_NO_SUCH = 3,
		API_CONFLICT = 4,
		API_NOT_PERMITTED = 5,
		API_NO_QUORUM = 6,
		API_TIMED_OUT = 7,
		API_REFUSED = 8,
};

struct api;
struct api_client;

int api_open(struct engine *e, const char *path, struct api **ret, char *text, size_t text_size);
void api_close(struct api *a);
/* The engine has changed: waiting clients are looked at. */
void api_changed(struct api *a);

/* For verbs.c. One reply ends a request; `data` is taken and may be NULL. */
void api_reply(struct api_client *c, enum api_code code, json_t *data, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
struct engine *api_engine(struct api_client *c);

/* Who asks, from the kernel, and what comes with each request that changes. */
struct api_asker {
	uint32_t uid, pid;
	char user[CL_NAME_MAX];	   /* "root", a user's name, or "uid 1234" */
	char program[CL_NAME_MAX]; /* that has connected; its own word (/proc/PID/comm) */
	bool may_change;
	char reason[DB_REASON_MAX];
	uint64_t if_version; /* or DB_ANY_VERSION */
	bool is_dry;
};

const struct api_asker *api_asker(const struct api_client *c);
/* Looks whether there is an answer; true: it has replied. When `is_late` it has to. */
typedef bool (*api_look)(struct api_client *c, const char *name, bool is_late);
/* Keeps the request until the look finds an answer or the time is over. */
void api_wait(struct api_client *c, api_look look, const char *name, uint64_t timeout_ms);
/* Keeps the request until task `id` ends or the time is over. */
void api_wait_task(struct api_client *c, uint64_t id, uint64_t timeout_ms);
/* Sends each event after `after` as it comes, for as long as the client stays. */
void api_watch_events(struct api_client *c, uint64_t after);
/* A pointer that outlives the client: NULL once it has gone. */
struct api_ticket *api_ticket_new(struct api_client *c);
struct api_client *api_ticket_take(struct api_ticket *t);

#endif
