/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks at the past: why the planner decided what it did, from the database as it was then
 * (clusterd/edge/past.h). One at a time on a node. A disk that does not answer costs the asker a
 * minute, and nobody else anything.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/decision.h"
#include "clusterd/edge/past.h"
#include "clusterd/edge/text.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/must.h"

#define DEADLINE_MS 60000

struct replay {
	struct engine *engine;
	struct api_ticket *ticket; /* who has asked; may have gone */
	struct past *past;
	qb_loop_timer_handle timer;
	bool is_decision;
	struct db_decision decision; /* that was recorded; of is_decision */
};

static void replay_end(struct replay *r)
{
	r->engine->replay = NULL;
	qb_loop_timer_del(r->engine->loop, r->timer);
	free(r);
}

void verb_replay_close(struct engine *e)
{
	struct replay *r = e->replay;

	if (!r)
		return;
	api_ticket_take(r->ticket);
	past_leave(r->past);
	replay_end(r);
}

/* ---- the answer */

/*
 * A decision beside what the planner decides now on what it had then; nodes have the names that
 * they had.
 */
static bool compare(const struct replay *r, const struct past_answer *a, json_t *o, char *text,
		    size_t size)
{
	const struct db *db = &a->w->db;
	const struct db_decision *then = &r->decision,
				 *now = decision_after(db, then->group, a->index);
	bool is_same = now && decision_same(then, now);

	if (is_same)
		snprintf(
			text, size,
			"the planner decides the same: %s of %s on %s, from the database as it was "
			"before (index %" PRIu64 ")",
			then->action, then->group, db_node_name(db, then->node), a->index);
	else if (now)
		snprintf(text, size,
			 "the planner decides otherwise: %s of %s on %s, and on %s from the "
			 "database as it was before (index %" PRIu64 ")",
			 then->action, then->group, db_node_name(db, then->node),
			 db_node_name(db, now->node), a->index);
	else
		snprintf(text, size,
			 "the planner decides nothing of %s from the database as it was before "
			 "(index %" PRIu64 "): %s on %s was decided",
			 then->group, a->index, then->action, db_node_name(db, then->node));
	json_object_set_new(o, "is_same", json_boolean(is_same));
	json_object_set_new(o, "decision", verb_decision_json(db, then));
	json_object_set_new(o, "replayed", verb_decision_json(db, now));
	return is_same;
}

static void reply(const struct replay *r, struct api_client *c, const struct past_answer *a)
{
	char text[API_TEXT_MAX], at[40];
	bool is_well = true;
	json_t *o;

	if (!a->w) {
		api_reply(c, (enum api_code)a->code, NULL, "%s", a->text);
		return;
	}
	text_time(a->at_ms, at, sizeof(at));
	o = json_pack("{s:I, s:s}", "applied", (json_int_t)a->index, "at", at);
	must(o);
	if (r->is_decision)
		is_well = compare(r, a, o, text, sizeof(text));
	else
		snprintf(text, sizeof(text),
			 "from the database as of index %" PRIu64 " (%s) the planner orders %s",
			 a->index, at, a->w->order_count ? "this" : "nothing");
	json_object_set_new(o, "summary", json_string(text));
	verb_whatif_data(a->w, false, o);
	api_reply(c, is_well ? API_OK : API_FAILED, o, "%s", is_well ? "" : text);
}

static void done(void *arg, const struct past_answer *a)
{
	struct replay *r = arg;
	struct api_client *c = api_ticket_take(r->ticket);

	if (c)
		reply(r, c, a);
	replay_end(r);
}

static void is_late(void *arg)
{
	struct replay *r = arg;
	struct api_client *c = api_ticket_take(r->ticket);

	if (c)
		api_reply(c, API_TIMED_OUT, NULL,
			  "the database was not read in %d s: look at this node's disk, or ask "
			  "another node",
			  DEADLINE_MS / 1000);
	past_leave(r->past);
	replay_end(r);
}

/* ---- the question */

static void ask(struct api_client *c, struct past_want *want, const struct db_decision *decision)
{
	struct engine *e = api_engine(c);
	struct replay *r;
	int err;

	if (e->replay) {
		api_reply(c, API_REFUSED, NULL,
			  "this node looks at the past for somebody else: try again in a moment");
		return;
	}
	want->newest = e->db.index;
	r = calloc(1, sizeof(*r));
	must(r);
	r->engine = e;
	if (decision) {
		r->is_decision = true;
		r->decision = *decision;
	}
	err = past_ask(e->loop, e->options.db_path, want, done, r, &r->past);
	if (err) {
		free(r);
		api_reply(c, API_FAILED, NULL, "no thread can be started for it: %s",
			  strerror(-err));
		return;
	}
	r->ticket = api_ticket_new(c);
	e->replay = r;
	must(!qb_loop_timer_add(e->loop, QB_LOOP_LOW, DEADLINE_MS * 1000000ull, r, is_late,
				&r->timer));
}

void verb_simulate_decision(struct api_client *c, const json_t *args)
{
	const struct db_decision *d;
	uint64_t id;

	if (!verb_arg_id(c, args, &id))
		return;
	d = db_find_id(&api_engine(c)->db, DB_KIND_DECISION, id);
	if (d)
		ask(c, &(struct past_want){.index = id - 1}, d);
	else
		api_reply(c, API_NO_SUCH, NULL,
			  "no decision %" PRIu64
			  ": 'group explain' and 'event show' say the numbers of those there are",
			  id);
}

/* An index is a number, a time is not. */
static bool arg_at(struct api_client *c, const json_t *args, struct past_want *ret)
{
	const char *text = verb_arg_text(args, "at");
	size_t digits = text ? strspn(text, "0123456789") : 0;

	if (digits && digits <= 18 && !text[digits] && strtoull(text, NULL, 10)) {
		ret->index = strtoull(text, NULL, 10);
		return true;
	}
	if (text && !text_parse_time(text, &ret->at_ms))
		return true;
	api_reply(c, API_USAGE, NULL,
		  "at: %.64s is neither an index of the log, from 1, nor a time such as "
		  "2026-11-26T03:12:44Z (UTC)",
		  text ? text : "it");
	return false;
}

void verb_simulate_replay(struct api_client *c, const json_t *args)
{
	struct past_want want = {0};

	if (arg_at(c, args, &want))
		ask(c, &want, NULL);
}
