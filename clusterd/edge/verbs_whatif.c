/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clusterctl's noun simulate and `cluster can-lose` ask: the planner on a copy of what this
 * node has applied (clusterd/core/whatif.h). It looks only, so it needs no quorum. One simulation
 * at a time on a node: a copy takes as much memory as the database. What takes longer than a moment
 * goes on from a timer, so that the loop is never held up.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/compare.h"
#include "clusterd/core/whatif.h"
#include "clusterd/edge/verbs_impl.h"
#include "clusterd/edge/voting.h"
#include "lib/cleanup.h"
#include "lib/must.h"

#define MOMENT_MS 20
#define PAUSE_NS  (1000 * 1000ull)

/* One simulation. */
struct whatif_run {
	struct engine *engine;
	struct api_ticket *ticket; /* who has asked; may have gone */
	struct quorum_answer quorum;
	bool decides; /* can-lose: the code says whether everything keeps running */
	json_t *dry;  /* of a dry run: what its reply has besides, else NULL */
	uint64_t applied;
	qb_loop_timer_handle timer;
	struct whatif w;
	void *mem;
};

static void run_free(struct whatif_run *r)
{
	if (!r)
		return;
	json_decref(r->dry);
	free(r->mem);
	free(r);
}

static inline void run_freep(struct whatif_run **r)
{
	run_free(*r);
}

/* ---- the answer */

static json_t *node_or_null(const struct db *db, uint8_t slot)
{
	return slot == CL_NODE_NONE ? json_null() : json_string(db_node_name(db, slot));
}

/* With commas; of the slots that there are. */
static void node_names(const struct db *db, uint16_t set, char *text, size_t size)
{
	size_t at = 0;

	text[0] = 0;
	for (uint8_t i = 0; i < CL_MAX_NODES && at < size; i++) {
		if (set & cl_bit(i))
			at += (size_t)snprintf(text + at, size - at, "%s%s", at ? "," : "",
					       db_node_name(db, i));
	}
}

static json_t *orders_json(const struct whatif *w)
{
	json_t *a = json_array();

	must(a);
	for (uint32_t i = 0; i < w->order_count; i++) {
		const struct whatif_order *o = &w->order[i];

		json_array_append_new(
			a, json_pack("{s:i, s:s, s:s, s:s, s:o, s:s}", "round", (int)o->round,
				     "action", o->action, "kind", o->kind, "name", o->name, "node",
				     node_or_null(&w->db, o->node), "reason", o->reason));
	}
	return a;
}

/* `all`, or only those that it touches. */
static json_t *outcomes_json(const struct whatif *w, bool all)
{
	json_t *a = json_array();
	struct whatif_outcome o;

	must(a);
	for (uint32_t i = 0; whatif_outcome(w, i, &o); i++) {
		if (!all && o.was == o.work && o.was_node == o.node)
			continue;
		json_array_append_new(
			a, json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:s}", "kind", o.kind,
				     "name", o.name, "change", whatif_change_word(o.change), "was",
				     db_choice_word(DB_KIND_GROUP, "work", (uint8_t)o.was),
				     "was_node", node_or_null(&w->db, o.was_node), "work",
				     db_choice_word(DB_KIND_GROUP, "work", (uint8_t)o.work), "node",
				     node_or_null(&w->db, o.node), "why", o.why));
	}
	return a;
}

static json_t *quorum_json(const struct quorum_answer *q)
{
	return json_pack("{s:b, s:s, s:i, s:i, s:i}", "is_quorate", q->is_quorate, "reason",
			 quorum_reason_name(q->reason), "votes_total", q->votes_total,
			 "votes_present", q->votes_present, "votes_needed", q->votes_needed);
}

__attribute__((format(printf, 2, 3))) static void add_note(json_t *notes, const char *format, ...)
{
	char text[API_TEXT_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	json_array_append_new(notes, json_string(text));
}

/* What an administrator has to know of the answer's limits, this time. */
static json_t *notes_json(const struct whatif *w)
{
	json_t *notes = json_array();
	char names[CL_MAX_NODES * CL_NAME_MAX];

	must(notes);
	node_names(&w->db, w->unfenced, names, sizeof(names));
	if (w->unfenced)
		add_note(notes,
			 "no fence device covers %.200s: what ran there is started nowhere before "
			 "the node is booted anew; add one with 'clusterctl fence create'",
			 names);
	if (w->refusal[0])
		add_note(notes, "it ended early, the database would refuse: %s", w->refusal);
	else if (!w->is_at_rest)
		add_note(notes, "it had not come to rest after %u rounds", w->round);
	if (w->orders_left_off)
		add_note(notes, "%u more orders are not listed", w->orders_left_off);
	if (w->event.kind != WHATIF_LOSE && !w->event.is_quorate)
		add_note(notes, "this node has no quorum now: nothing of it would be done");
	return notes;
}

void verb_whatif_data(const struct whatif *w, bool all, json_t *o)
{
	json_object_set_new(o, "notes", notes_json(w));
	json_object_set_new(o, "orders", orders_json(w));
	json_object_set_new(o, "outcome", outcomes_json(w, all));
}

/* The first of those that do not run any more, and why. */
static void first_lost(const struct whatif *w, struct whatif_outcome *ret)
{
	for (uint32_t i = 0; whatif_outcome(w, i, ret); i++) {
		if (ret->change == WHATIF_LOST)
			return;
	}
}

/* One sentence; returns whether everything keeps running. */
static bool summarize(const struct whatif_run *r, char *text, size_t size)
{
	struct whatif_outcome first;
	uint32_t lost;
	bool is_well = whatif_keeps_running(&r->w, &lost);

	if (is_well) {
		snprintf(text, size, "everything that runs keeps running");
	} else if (r->w.event.kind == WHATIF_LOSE && !r->quorum.is_quorate) {
		snprintf(text, size,
			 "the nodes that are left have no quorum (%s: %u of %u votes, %u needed): "
			 "nothing keeps running",
			 quorum_reason_name(r->quorum.reason), r->quorum.votes_present,
			 r->quorum.votes_total, r->quorum.votes_needed);
	} else if (lost) {
		first_lost(&r->w, &first);
		snprintf(text, size, "%u would not run: %s %s%s: %.300s", lost, first.kind,
			 first.name, lost > 1 ? " and others" : "", first.why);
	} else {
		snprintf(text, size, "%s",
			 r->w.is_at_rest ? "this node has no quorum now"
					 : "it does not come to rest");
	}
	return is_well;
}

static void answer(struct whatif_run *r)
{
	struct api_client *c = api_ticket_take(r->ticket);
	char text[API_TEXT_MAX];
	bool is_well;
	json_t *o;

	if (!c)
		return;
	is_well = summarize(r, text, sizeof(text));
	o = json_pack("{s:s, s:b, s:I, s:o}", "summary", text, "keeps_running", is_well, "applied",
		      (json_int_t)r->applied, "quorum", quorum_json(&r->quorum));
	must(o);
	verb_whatif_data(&r->w, !r->dry, o);
	if (r->dry)
		json_object_update(o, r->dry);
	api_reply(c, is_well || !r->decides ? API_OK : API_FAILED, o, "%s",
		  is_well || !r->decides ? "" : text);
}

/* ---- the run */

static void go_on(void *arg)
{
	struct whatif_run *r = arg;
	uint64_t until = engine_now_ms() + MOMENT_MS;

	while (whatif_step(&r->w)) {
		if (engine_now_ms() < until)
			continue;
		must(!qb_loop_timer_add(r->engine->loop, QB_LOOP_LOW, PAUSE_NS, r, go_on,
					&r->timer));
		return;
	}
	r->engine->whatif = NULL;
	answer(r);
	run_free(r);
}

void verb_whatif_close(struct engine *e)
{
	struct whatif_run *r = e->whatif;

	if (!r)
		return;
	qb_loop_timer_del(e->loop, r->timer);
	api_ticket_take(r->ticket);
	e->whatif = NULL;
	run_free(r);
}

/* The copy, with what happens done to it. */
static enum db_code begin(struct whatif_run *r, const struct db *db,
			  const struct whatif_event *event, char *text, size_t size)
{
	size_t cap = db_encoded_max(db), mem_size = whatif_size(&db->limits), len;
	_cleanup_free_ void *bytes = malloc(cap);

	r->mem = malloc(mem_size);
	if (!bytes || !r->mem) {
		snprintf(text, size, "not enough memory for a copy of the database");
		return DB_FAILED;
	}
	must(!db_encode(db, bytes, cap, &len));
	r->applied = db->index;
	return whatif_begin(&r->w, r->mem, mem_size, &db->limits, bytes, len, event, text, size);
}

/* Who is left, and may they act? */
static void count_votes(struct engine *e, struct whatif_event *event, struct quorum_answer *ret)
{
	uint16_t left = e->repl.phase == REPL_OPEN ? e->repl.countable : 0;
	struct votes_input in;

	voting_input(e, &in);
	if (event->kind == WHATIF_LOSE)
		left = (uint16_t)(left & ~event->nodes);
	*ret = quorum_evaluate(&in.table, votes_here(&in, left)); /* it is claimed if need be */
	event->is_quorate = ret->is_quorate;
	event->may_fence = quorum_may_lose(&in.table, votes_here(&in, left));
}

/* ---- dry runs */

#define ROWS_MAX 1024

struct rows {
	json_t *list;
	uint32_t left_off;
};

/* Names of the fields that differ. */
static json_t *fields_json(const struct compare_row *row)
{
	const struct db_shape *shape = db_kind_shape(row->kind);
	json_t *a = json_array();

	for (uint8_t i = 0; row->before && row->after && i < shape->field_count; i++) {
		if (compare_field_differs(&shape->field[i], row->before, row->after))
			json_array_append_new(a, json_string(shape->field[i].name));
	}
	return a;
}

static void take_row(void *arg, const struct compare_row *row)
{
	static const char *const word[] = {"added", "removed", "changed"};
	struct rows *rows = arg;

	if (json_array_size(rows->list) == ROWS_MAX) {
		rows->left_off++;
		return;
	}
	json_array_append_new(rows->list,
			      json_pack("{s:s, s:s, s:s, s:o}", "kind",
					db_kind_shape(row->kind)->name, "name", row->key, "change",
					word[row->change], "fields", fields_json(row)));
}

/* What the change alone does to the rows, before anything follows from it. */
static json_t *dry_json(const struct db *before, const struct db *after, const json_t *data)
{
	struct rows rows = {.list = json_array()};
	char text[API_TEXT_MAX];
	uint32_t n;
	json_t *o;

	must(rows.list);
	n = compare(before, after, take_row, &rows);
	if (n)
		snprintf(text, sizeof(text), "dry run: %u rows would change%s; nothing was done", n,
			 rows.left_off ? " (not all are listed)" : "");
	else
		snprintf(text, sizeof(text), "dry run: nothing would change");
	o = json_pack("{s:b, s:b, s:s, s:o}", "is_dry_run", true, "would_change", n > 0, "summary",
		      text, "rows", rows.list);
	must(o);
	json_object_update(o, (json_t *)data);
	return o;
}

/* `data`: what the reply to a dry run has besides; borrowed. */
static void start(struct api_client *c, struct whatif_event *event, bool decides,
		  const json_t *data)
{
	struct engine *e = api_engine(c);
	_cleanup_(run_freep) struct whatif_run *r = NULL;
	char text[API_TEXT_MAX];
	enum db_code code;

	if (e->whatif) {
		api_reply(c, API_REFUSED, NULL,
			  "another simulation is under way on this node: try again in a moment");
		return;
	}
	r = calloc(1, sizeof(*r));
	must(r);
	count_votes(e, event, &r->quorum);
	code = begin(r, &e->db, event, text, sizeof(text));
	if (code && r->w.is_stale) {
		verb_reply_stale(c, text);
		return;
	}
	if (code) {
		api_reply(c, (enum api_code)code, NULL, "%s", text);
		return;
	}
	if (event->kind == WHATIF_CHANGE)
		r->dry = dry_json(&e->db, &r->w.db, data);
	r->engine = e;
	r->decides = decides;
	r->ticket = api_ticket_new(c);
	e->whatif = r;
	go_on(steal_ptr(r));
}

void verb_dry_run(struct api_client *c, const uint8_t *change, size_t len, json_t *data)
{
	struct engine *e = api_engine(c);
	struct whatif_event event = {.kind = WHATIF_CHANGE, .change = change, .change_len = len};

	if (engine_may_act(e))
		start(c, &event, false, data);
	else
		api_reply(c, API_NO_QUORUM, NULL,
			  "no quorum here: nothing would be changed; see 'clusterctl quorum show'");
	json_decref(data);
}

/* ---- verbs */

/* Those in argument `nodes`; replies and returns false if it names none, or one that is none. */
static bool arg_node_set(struct api_client *c, const json_t *args, uint16_t *ret)
{
	const struct db *db = &api_engine(c)->db;
	const json_t *nodes = json_object_get(args, "nodes");
	size_t i;
	json_t *v;

	*ret = 0;
	if (!json_is_array(nodes) || !json_array_size(nodes)) {
		api_reply(c, API_USAGE, NULL, "nodes: name at least one");
		return false;
	}
	json_array_foreach((json_t *)nodes, i, v)
	{
		const char *name = json_string_value(v);
		const struct db_node *n =
			name && strlen(name) < CL_NAME_MAX ? db_find(db, DB_KIND_NODE, name) : NULL;

		if (!n) {
			api_reply(c, API_NO_SUCH, NULL, "nodes: no node %.64s", name ? name : "?");
			return false;
		}
		*ret = (uint16_t)(*ret | cl_bit(n->slot));
	}
	return true;
}

static void of_nodes(struct api_client *c, const json_t *args, enum whatif_kind kind, bool decides)
{
	struct whatif_event event = {.kind = kind};

	if (arg_node_set(c, args, &event.nodes))
		start(c, &event, decides, NULL);
}

void verb_cluster_can_lose(struct api_client *c, const json_t *args)
{
	of_nodes(c, args, WHATIF_LOSE, true);
}

void verb_simulate_node_drain(struct api_client *c, const json_t *args)
{
	of_nodes(c, args, WHATIF_DRAIN, false);
}

void verb_simulate_node_loss(struct api_client *c, const json_t *args)
{
	of_nodes(c, args, WHATIF_LOSE, false);
}

void verb_simulate_node_return(struct api_client *c, const json_t *args)
{
	of_nodes(c, args, WHATIF_RETURN, false);
}

void verb_simulate_group_fail(struct api_client *c, const json_t *args)
{
	struct whatif_event event = {.kind = WHATIF_FAIL};

	if (verb_arg_name(c, args, "name", event.group, sizeof(event.group)))
		start(c, &event, false, NULL);
}
