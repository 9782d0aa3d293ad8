/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine, histories that come from elsewhere: of a donor, or of the witness. See engine.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/upgrade.h"
#include "clusterd/edge/engine_impl.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/parting.h"
#include "lib/must.h"

static void pull_failed(struct engine *e, int r)
{
	struct repl_event event = {.type = REPL_EV_PULLED};

	event.pulled.r = r;
	event.pulled.view = e->pull_view;
	e->pull_runs = false;
	engine_step(e, &event);
}

void engine_pull_start(struct engine *e, const struct repl_action *a)
{
	char address[64];

	e->pull_runs = true;
	e->pull_cancelled = false;
	e->pull_view = a->pull.view;
	if (cpg_node_address(a->pull.donor_nodeid, address, sizeof(address))) {
		log_warning("pull: node %u has no address in corosync's nodelist -> next donor",
			    a->pull.donor_nodeid);
		address[0] = 0;
	}
	/* A state that is wrong is no base to build on. */
	e->pull_base = e->health.is_refetching ? 0 : e->db.index;
	bulk_pull(e->bulk, address, &a->pull.view, e->pull_base, &e->db.epoch);
}

/* Moves what was held while the pull ran behind what it brought. */
static void take_held(struct engine *e, struct store_log *log, uint64_t end)
{
	for (size_t i = 0; i < e->held.count; i++) {
		if (e->held.entry[i].index != end + 1)
			continue;
		store_log_push_copy(log, &e->held.entry[i]);
		end++;
	}
	store_log_clear(&e->held);
}

static void log_dup(struct store_log *to, const struct store_log *from)
{
	for (size_t i = 0; i < from->count; i++)
		store_log_push_copy(to, &from->entry[i]);
}

/* What has come replaces what we hold. */
static void install(struct engine *e)
{
	struct store_snapshot snapshot = {0};
	struct store_log log = {0};
	uint64_t end, keep = e->replaces_all ? 0 : e->db.index;

	end = e->installed.snapshot.bytes ? e->installed.snapshot.index : keep;
	if (e->installed.log.count)
		end = e->installed.log.entry[e->installed.log.count - 1].index;
	take_held(e, &e->installed.log, end);
	if (e->installed.snapshot.bytes) {
		snapshot = e->installed.snapshot;
		snapshot.bytes = malloc(snapshot.len);
		must(snapshot.bytes);
		memcpy(snapshot.bytes, e->installed.snapshot.bytes, snapshot.len);
	}
	log_dup(&log, &e->installed.log);
	e->install_runs = true;
	log_info("pull: installing %s%zu entries up to %llu",
		 snapshot.bytes ? "a snapshot and " : "", log.count, (unsigned long long)end);
	store_install(e->store, &e->installed.cluster, keep, &snapshot, &log, &e->installed.table,
		      &e->saving);
}

/* At once, or when what runs here under a history that it does not continue has ended. */
static void take_place(struct engine *e, bool has_applied)
{
	e->end_said_ms = 0;
	e->ends_first = !has_applied;
	if (has_applied)
		install(e);
}

/*
 * Who does not speak the version in force is not in the view, and pulls nothing; the witness's copy
 * is judged here only.
 */
static int look_at_version(const struct bulk_result *h)
{
	struct cl_table table = h->table;
	char what[2 * DB_REASON_MAX];

	if (store_log_table(&h->log, &table))
		return -EBADMSG;
	if (!upgrade_history_bar(&table, h->snapshot.bytes, h->snapshot.len, what, sizeof(what)))
		return 0;
	log_error("history of the others: %s -> not taken, update this node", what);
	return -EPROTO;
}

void engine_pulled(void *arg, struct bulk_result *result)
{
	struct engine *e = arg;
	int r;

	if (e->pull_cancelled)
		result->r = result->r ? result->r : -ECANCELED;
	if (result->r) {
		log_warning("pull: %s", strerror(-result->r));
		pull_failed(e, result->r);
		return;
	}
	r = look_at_version(result);
	if (r) {
		pull_failed(e, r);
		return;
	}
	e->installed = *result;
	*result = (struct bulk_result){0};
	take_place(e, parting_look(e));
}

void engine_end_first(struct engine *e)
{
	if (!e->ends_first)
		return;
	if (e->pull_cancelled) {
		e->ends_first = false;
		store_log_clear(&e->installed.log);
		free(e->installed.snapshot.bytes);
		e->installed = (struct bulk_result){0};
		pull_failed(e, -ECANCELED);
	} else if (parting_may_install(e)) {
		e->ends_first = false;
		install(e);
	}
}

/* The file holds the new history: so does memory from here on. */
static void take_installed(struct engine *e)
{
	struct bulk_result *in = &e->installed;
	uint64_t applied = e->db.index;

	if (e->replaces_all) {
		must(!db_init(&e->db, e->db_mem, db_size(&db_limits_full), &db_limits_full));
		must(!in->snapshot.bytes ||
		     !db_decode(&e->db, in->snapshot.bytes, in->snapshot.len));
		e->applied_table = in->table;
		e->checkpoint_index = e->db.index;
		e->checkpoint_version = e->db.version;
	}
	store_log_clear(&e->tail);
	e->tail = in->log;
	in->log = (struct store_log){0};
	free(in->snapshot.bytes);
	in->snapshot = (struct store_snapshot){0};
	/* Committed before, so committed: what runs here has its rows at no time less. */
	if (e->health.is_refetching)
		engine_apply_until(e, applied);
	health_fetched(e);
}

void engine_installed(void *arg, uint64_t end, const struct store_saved *saved)
{
	struct engine *e = arg;
	struct repl_event event = {.type = REPL_EV_PULLED};
	struct cl_table table;

	(void)end;
	take_installed(e);
	e->replaces_all = false;
	if (saved) {
		e->saved = *saved;
		log_notice("pull: %llu entries after %llu, which the cluster does not have, are "
			   "kept in %s",
			   (unsigned long long)saved->entries, (unsigned long long)saved->after,
			   saved->file);
	}
	/* What came while the disk wrote is appended behind, and waited for as well. */
	if (e->held.count && !e->pull_cancelled) {
		struct store_log more = {0};
		struct store_snapshot none = {0};
		uint64_t keep =
			e->tail.count ? e->tail.entry[e->tail.count - 1].index : e->db.index;

		take_held(e, &more, keep);
		if (more.count) {
			log_dup(&e->installed.log, &e->tail);
			log_dup(&e->installed.log, &more);
			store_install(e->store, &e->installed.cluster, keep, &none, &more,
				      &e->installed.table, NULL);
			return;
		}
	}
	store_log_clear(&e->held);
	table = e->applied_table;
	must(!store_log_table(&e->tail, &table));
	event.pulled.view = e->pull_view;
	event.pulled.cluster = e->installed.cluster;
	event.pulled.table = table;
	event.pulled.last = (struct cl_pos){.epoch = e->db.epoch, .index = e->db.index};
	if (e->tail.count) {
		event.pulled.last.epoch = e->tail.entry[e->tail.count - 1].epoch;
		event.pulled.last.index = e->tail.entry[e->tail.count - 1].index;
	}
	e->install_runs = e->pull_runs = false;
	engine_step(e, &event);
}

/* ---- from the witness */

/* Leaves out what we have applied, which is in it, too. */
static void trim(struct engine *e, struct bulk_result *h)
{
	struct store_log rest = {0};

	if (h->snapshot.bytes && h->snapshot.index <= e->db.index) {
		free(h->snapshot.bytes);
		h->snapshot = (struct store_snapshot){0};
	}
	if (h->snapshot.bytes)
		return;
	for (size_t i = 0; i < h->log.count; i++) {
		if (h->log.entry[i].index > e->db.index)
			store_log_push_copy(&rest, &h->log.entry[i]);
	}
	store_log_clear(&h->log);
	h->log = rest;
	h->table = e->applied_table;
}

/* The whole of it joins what stays: nothing is missing between. */
static bool is_joined(const struct engine *e, const struct bulk_result *h)
{
	uint64_t from = h->snapshot.bytes ? h->snapshot.index : e->replaces_all ? 0 : e->db.index;

	return h->log.count && h->log.entry[0].index == from + 1;
}

/* Its last entry, told to the core: is it wanted? */
static int ask_core(struct engine *e, const struct cl_view_id *view)
{
	struct repl_event event = {.type = REPL_EV_ADOPT};
	const struct store_log *log = &e->installed.log;
	const struct store_entry *last = &log->entry[log->count - 1];

	event.adopt.view = *view;
	event.adopt.last = (struct cl_pos){.epoch = last->epoch, .index = last->index};
	return engine_run(e, &event);
}

int engine_adopt(struct engine *e, const struct cl_view_id *view, struct bulk_result *history)
{
	bool has_applied;
	int r;

	if (e->pull_runs)
		return -EBUSY;
	r = look_at_version(history);
	if (r)
		return r;
	e->installed = *history;
	*history = (struct bulk_result){0};
	has_applied = parting_look(e);
	if (has_applied) { /* after a forced quorum it may not be */
		trim(e, &e->installed);
		parting_look(e);
	}
	r = is_joined(e, &e->installed) ? ask_core(e, view) : -EBADMSG;
	if (r) {
		*history = e->installed;
		e->installed = (struct bulk_result){0};
		e->replaces_all = false;
		return r;
	}
	e->pull_runs = true;
	e->pull_cancelled = false;
	e->pull_view = *view;
	take_place(e, has_applied);
	return 0;
}
