/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/parting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/edge/log.h"
#include "lib/cleanup.h"
#include "lib/must.h"

#define PARTING_TELL_MS 10000
#define PARTING_SAY_MS	60000 /* what does not end is said so often */

static void add_log(struct history *h, const struct store_log *log)
{
	for (size_t i = 0; i < log->count; i++)
		must(history_add(h, &log->entry[i].epoch, log->entry[i].index));
}

static void history_make(struct history *h, size_t entries)
{
	*h = (struct history){.cap = db_limits_full.capacity[DB_KIND_EPOCH] + entries};
	h->span = calloc(h->cap, sizeof(*h->span));
	must(h->span);
}

/* What a snapshot knows of its epochs; it is decoded apart, and not yet ours. */
static void add_snapshot(struct history *h, const struct store_snapshot *s)
{
	_cleanup_free_ void *mem = malloc(db_size(&db_limits_full));
	_cleanup_free_ struct db *db = malloc(sizeof(*db));

	must(mem && db && !db_init(db, mem, db_size(&db_limits_full), &db_limits_full));
	must(!db_decode(db, s->bytes, s->len) && history_add_db(h, db));
}

bool parting_look(struct engine *e)
{
	const struct bulk_result *in = &e->installed;
	struct history own, won;
	struct history_part part;

	e->replaces_all =
		in->snapshot.bytes || (in->log.count && in->log.entry[0].index <= e->db.index);
	history_make(&own, e->tail.count);
	history_make(&won, in->log.count);
	must(history_add_db(&own, &e->db));
	add_log(&own, &e->tail);
	if (in->snapshot.bytes)
		add_snapshot(&won, &in->snapshot);
	else if (!e->replaces_all)
		must(history_add_db(&won, &e->db));
	add_log(&won, &in->log);
	part = history_parts(&own, &won, e->db.index);
	e->saving = (struct store_saving){
		.is_wanted = own.last > part.common,
		.part = part,
		.won = {.epoch = won.count ? won.span[won.count - 1].epoch : (struct cl_epoch){0},
			.index = won.last},
	};
	snprintf(e->saving.node, sizeof(e->saving.node), "%s", e->repl.self.name.text);
	free(own.span);
	free(won.span);
	return e->db.index <= part.common;
}

bool parting_may_install(struct engine *e)
{
	uint64_t now = engine_now_ms();

	if (!e->end_here || e->end_here(e->end_arg))
		return true;
	if (now < e->end_said_ms)
		return false;
	if (e->end_said_ms)
		log_error("what ran here under a history that the cluster does not have does not "
			  "end -> this node stays out of the cluster: reset it");
	else
		log_error("this node has acted on entries after %llu that the cluster does not "
			  "have -> everything here is stopped first",
			  (unsigned long long)e->saving.part.common);
	e->end_said_ms = now + PARTING_SAY_MS;
	return false;
}

static void told(void *arg, int r, const struct db_result *result)
{
	struct engine *e = arg;

	(void)result;
	e->saved_runs = false;
	if (r)
		return; /* again at the next tick */
	e->saved.is_set = false;
	store_saved_told(e->store);
}

void parting_tell(struct engine *e)
{
	struct db_command cmd;

	if (!e->saved.is_set || e->saved_runs || e->repl.phase != REPL_OPEN)
		return;
	cmd = engine_command(e, DB_CMD_HISTORY_SAVED);
	memcpy(cmd.history_saved.name, e->repl.self.name.text, sizeof(cmd.history_saved.name));
	cmd.history_saved.after = e->saved.after;
	cmd.history_saved.entries = e->saved.entries;
	snprintf(cmd.history_saved.file, sizeof(cmd.history_saved.file), "%s", e->saved.file);
	e->saved_runs = !engine_request(e, &cmd, PARTING_TELL_MS, told, e);
}
