/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clusterctl's noun quorum shows and sets; and the end of the cluster, which keeps its votes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/config.h"
#include "clusterd/core/failover.h"
#include "clusterd/core/node_state.h"
#include "clusterd/core/setting.h"
#include "clusterd/edge/verbs_impl.h"
#include "clusterd/edge/voting.h"
#include "lib/must.h"

json_t *verb_names_json(const struct cl_table *table, uint16_t set)
{
	json_t *a = json_array();

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (set & cl_bit(i))
			json_array_append_new(a, json_string(table->member[i].name));
	}
	return a;
}

/* More than the word says, for people; may be empty. */
static void refusal_text(const struct repl_state *s, enum repl_refusal refusal,
			 const struct cl_versions *speaks, const char *build, char *text,
			 size_t size)
{
	text[0] = 0;
	if (refusal == REPL_REFUSED_INCOMPATIBLE)
		node_incompatible_text(s, speaks, build, text, size);
}

/* Processes in the ring that are not admitted, and why. */
static json_t *refused_json(const struct engine *e)
{
	json_t *a = json_array();

	for (uint8_t i = 0; i < e->repl.peer_count && e->repl.view_complete; i++) {
		const struct repl_peer *p = &e->repl.peer[i];
		struct cl_versions speaks = repl_versions(&p->state);
		char text[NODE_STATE_REASON_MAX];

		if (p->slot != CL_NODE_NONE || p->refusal == REPL_ADMITTED)
			continue;
		refusal_text(&e->repl, p->refusal, &speaks, p->state.build.text, text,
			     sizeof(text));
		json_array_append_new(
			a, json_pack("{s:I, s:s, s:s, s:s}", "nodeid", (json_int_t)p->nodeid,
				     "name", p->has_state ? p->state.name.text : "?", "reason",
				     repl_refusal_name(p->refusal), "text", text));
	}
	return a;
}

/* Why a member has the vote that it has, where that is not as configured. */
static void why(const struct votes_input *in, uint8_t slot, char *text, size_t size)
{
	uint16_t bit = cl_bit(slot);
	uint64_t since = in->absent_since_ms[slot];
	bool vote = in->table.member[slot].vote;

	text[0] = 0;
	if (!(in->present & bit) && vote && since && in->is_dynamic)
		snprintf(text, size,
			 "absent for %" PRIu64 " s; its vote is taken after %" PRIu64 " s",
			 (in->now_ms - since) / 1000, in->absent_ms / 1000);
	else if (!(in->present & bit))
		snprintf(text, size, "absent");
	else if (!vote && (in->leaving & bit))
		snprintf(text, size, "%s", votes_reason_text(VOTES_LEAVING));
	else if (!vote && !(in->following & bit))
		snprintf(text, size, "it does not hold the whole history yet");
	else if (!vote)
		snprintf(text, size, "%s", votes_reason_text(VOTES_ODD));
}

static json_t *votes_json(const struct votes_input *in)
{
	uint16_t configured = votes_configured(in);
	json_t *a = json_array();

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		const struct cl_member *m = &in->table.member[i];
		char text[128];

		if (!m->nodeid)
			continue;
		why(in, i, text, sizeof(text));
		json_array_append_new(a, json_pack("{s:s, s:i, s:i, s:b, s:i, s:s}", "node",
						   m->name, "vote", m->vote, "configured",
						   (configured & cl_bit(i)) ? 1 : 0, "is_present",
						   (in->present & cl_bit(i)) != 0, "priority",
						   in->priority[i], "reason", text));
	}
	return a;
}

static json_t *number_or_null(bool is_known, uint64_t v)
{
	return is_known ? json_integer((json_int_t)v) : json_null();
}

static json_t *failover_json(const struct engine *e, uint16_t members)
{
	struct failover f = {0};
	json_t *terms = json_array();
	uint64_t total = 0;
	bool is_known;

	if (e->token_ms)
		failover_set(&f, FAILOVER_TOKEN, e->token_ms);
	if (e->consensus_ms)
		failover_set(&f, FAILOVER_CONSENSUS, e->consensus_ms);
	if (!e->applied_table.witness.vote)
		failover_set(&f, FAILOVER_WITNESS, 0);
	failover_set(&f, FAILOVER_EXCHANGE, e->options.repl.exchange_timeout_ms);
	failover_set(&f, FAILOVER_LEASE, e->options.repl.lease_ms);
	failover_from_db(&f, &e->db, members);
	is_known = failover_total(&f, &total);
	for (int i = 0; i < FAILOVER_MAX; i++)
		json_array_append_new(terms,
				      json_pack("{s:s, s:o, s:s}", "term",
						failover_term_name((enum failover_term)i), "ms",
						number_or_null(f.is_known[i], f.ms[i]), "source",
						failover_term_source((enum failover_term)i)));
	return json_pack("{s:o, s:o}", "total_ms", number_or_null(is_known, total), "terms", terms);
}

/* What may fail, by the votes that count: a node that lags for a moment is not lost. */
static void add_may_lose(json_t *o, const struct engine *e, const struct votes_input *in)
{
	struct votes_input now = *in;
	uint16_t may = quorum_may_lose(&in->table, votes_here(in, e->repl.countable));
	int at_once, in_turn;

	now.holders = now.following = e->repl.phase == REPL_OPEN ? e->repl.countable : 0;
	at_once = votes_may_lose_at_once(&now);
	in_turn = votes_may_lose_in_turn(&now);
	json_object_set_new(o, "may_lose_next", verb_names_json(&in->table, may));
	json_object_set_new(
		o, "must_stay",
		verb_names_json(&in->table, at_once < 0 ? 0 : (uint16_t)(e->repl.present & ~may)));
	json_object_set_new(o, "may_lose_at_once", number_or_null(at_once >= 0, (uint64_t)at_once));
	json_object_set_new(o, "may_lose_in_turn", number_or_null(in_turn >= 0, (uint64_t)in_turn));
}

static void add_view(json_t *o, const struct engine *e, const struct cl_table *t)
{
	const struct repl_state *s = &e->repl;
	uint64_t now = engine_now_ms(), until = s->lease.deadline_ms;

	json_object_set_new(o, "lease_left_ms",
			    json_integer(until > now ? (json_int_t)(until - now) : 0));
	json_object_set_new(o, "epoch", json_integer((json_int_t)s->number));
	json_object_set_new(o, "ring", json_integer((json_int_t)s->ring.seq));
	json_object_set_new(o, "sequencer",
			    json_string(s->phase == REPL_OPEN && s->starter < CL_MAX_NODES
						? t->member[s->starter].name
						: "-"));
	json_object_set_new(o, "present", verb_names_json(t, s->present));
}

static json_t *setting_json(const struct engine *e, enum setting setting)
{
	return json_integer((json_int_t)setting_get(&e->db, setting, NULL));
}

json_t *verb_quorum_json(const struct engine *e)
{
	const struct repl_state *s = &e->repl;
	struct votes_input in;
	struct quorum_answer q = {0};
	json_t *o = json_object();
	char text[NODE_STATE_REASON_MAX];

	voting_input(e, &in);
	if (s->self_slot != CL_NODE_NONE)
		q = quorum_evaluate(&in.table, repl_countable(s));
	verb_witness_json(e, &in.table, o);
	json_object_set_new(o, "dynamic", json_boolean(in.is_dynamic));
	json_object_set_new(o, "absent_ms", json_integer((json_int_t)in.absent_ms));
	json_object_set_new(o, "quarantine_max", setting_json(e, SETTING_QUORUM_QUARANTINE_MAX));
	json_object_set_new(o, "quarantine_ms", setting_json(e, SETTING_QUORUM_QUARANTINE_MS));
	json_object_set_new(o, "token_ms", setting_json(e, SETTING_TOTEM_TOKEN_MS));
	json_object_set_new(o, "phase", json_string(repl_phase_name(s->phase)));
	json_object_set_new(o, "is_quorate", json_boolean(repl_may_act(s, in.now_ms)));
	json_object_set_new(o, "reason",
			    json_string(s->phase == REPL_REFUSED ? repl_refusal_name(s->refusal)
								 : quorum_reason_name(q.reason)));
	refusal_text(s, s->phase == REPL_REFUSED ? s->refusal : REPL_ADMITTED, &s->self.versions,
		     s->self.build.text, text, sizeof(text));
	json_object_set_new(o, "text", json_string(text));
	json_object_set_new(o, "votes_total", json_integer(q.votes_total));
	json_object_set_new(o, "votes_present", json_integer(q.votes_present));
	json_object_set_new(o, "votes_needed", json_integer(q.votes_needed));
	add_view(o, e, &in.table);
	json_object_set_new(o, "would_help", verb_names_json(&in.table, q.missing));
	add_may_lose(o, e, &in);
	json_object_set_new(o, "refused", refused_json(e));
	json_object_set_new(o, "votes", votes_json(&in));
	json_object_set_new(o, "failover", failover_json(e, quorum_members(&in.table)));
	return o;
}

void verb_quorum_show(struct api_client *c, const json_t *args)
{
	(void)args;
	api_reply(c, API_OK, verb_quorum_json(api_engine(c)), "%s", "");
}

/* ---- set */

#define SETS_MAX (5 + CL_MAX_NODES)

/* What is asked for, checked as a whole before any of it is done. */
struct quorum_sets {
	struct api_client *client;
	struct db_cmd_setting_set set[SETS_MAX];
	size_t count;
};

static bool add_set(struct quorum_sets *q, enum setting setting, const char *object,
		    const char *value, const char *expected)
{
	struct db_cmd_setting_set *s = &q->set[q->count];
	uint64_t v;

	if (q->count == SETS_MAX || !setting_parse(setting, value, &v) ||
	    !setting_key(setting, object, s->key, sizeof(s->key))) {
		api_reply(q->client, API_USAGE, NULL, "%s%s%s: '%.40s': %s",
			  setting_shape(setting)->key, object ? " of " : "", object ? object : "",
			  value, expected);
		return false;
	}
	snprintf(s->value, sizeof(s->value), "%s", value);
	q->count++;
	return true;
}

static bool add_priorities(struct quorum_sets *q, const json_t *priority)
{
	const struct cl_table *t = &api_engine(q->client)->applied_table;
	const char *node;
	json_t *v;

	json_object_foreach((json_t *)priority, node, v)
	{
		const char *value = json_string_value(v);

		if (quorum_find_name(t, node) == CL_NODE_NONE) {
			api_reply(q->client, API_NO_SUCH, NULL, "priority: no node %.64s", node);
			return false;
		}
		if (!add_set(q, SETTING_QUORUM_PRIORITY, node, value ? value : "",
			     "a number from 0 to 255, as text"))
			return false;
	}
	return true;
}

/* A number, if it is given. */
static bool add_number(struct quorum_sets *q, const json_t *args, const char *name,
		       enum setting setting)
{
	const struct setting_shape *shape = setting_shape(setting);
	const json_t *v = json_object_get(args, name);
	char number[24] = "", expected[64];

	if (!v)
		return true;
	if (json_is_integer(v))
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	snprintf(expected, sizeof(expected), "a number from %" PRIu64 " to %" PRIu64, shape->min,
		 shape->max);
	return add_set(q, setting, NULL, number, expected);
}

static void submit_sets(struct quorum_sets *q, const char *what)
{
	struct db_command cmd[SETS_MAX];

	for (size_t i = 0; i < q->count; i++) {
		cmd[i] = verb_command(q->client, DB_CMD_SETTING_SET);
		cmd[i].setting_set = q->set[i];
	}
	if (!q->count)
		api_reply(q->client, API_USAGE, NULL, "name what to set: %s", what);
	else if (q->count == 1)
		verb_submit(q->client, cmd);
	else
		verb_submit_all(q->client, cmd, q->count, CONFIG_WHOLE);
}

void verb_quorum_set(struct api_client *c, const json_t *args)
{
	struct quorum_sets q = {.client = c};
	size_t of_mode = 0;

	of_mode += json_object_get(args, "mode") != NULL;
	of_mode += json_object_get(args, "disk") != NULL;
	of_mode += json_object_get(args, "witness") != NULL;
	of_mode += json_object_get(args, "io_ms") != NULL;
	of_mode += json_object_get(args, "confirm") != NULL;
	if (of_mode) {
		if (json_object_size(args) > of_mode)
			api_reply(c, API_USAGE, NULL, "set the mode by itself");
		else
			verb_quorum_mode(c, args);
		return;
	}
	if (json_object_get(args, "dynamic") &&
	    !add_set(&q, SETTING_QUORUM_DYNAMIC, NULL, verb_arg_text(args, "dynamic"), "on or off"))
		return;
	if (!add_number(&q, args, "absent_ms", SETTING_QUORUM_ABSENT_MS) ||
	    !add_number(&q, args, "quarantine_max", SETTING_QUORUM_QUARANTINE_MAX) ||
	    !add_number(&q, args, "quarantine_ms", SETTING_QUORUM_QUARANTINE_MS) ||
	    !add_number(&q, args, "token_ms", SETTING_TOTEM_TOKEN_MS))
		return;
	if (!add_priorities(&q, json_object_get(args, "priority")))
		return;
	submit_sets(&q, "mode, dynamic, absent_ms, priority, quarantine_max, quarantine_ms or "
			"token_ms");
}

void verb_fence_set(struct api_client *c, const json_t *args)
{
	struct quorum_sets q = {.client = c};

	if (add_number(&q, args, "max", SETTING_FENCE_MAX) &&
	    add_number(&q, args, "window_ms", SETTING_FENCE_WINDOW_MS))
		submit_sets(&q, "max or window_ms");
}

/* The reply comes before clusterd ends: nobody goes before all have left. */
void verb_cluster_stop(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_SETTING_SET);
	const struct db *db = &api_engine(c)->db;
	const struct db_cluster *cluster =
		db_count(db, DB_KIND_CLUSTER) ? db_at(db, DB_KIND_CLUSTER, 0) : NULL;

	if (!cluster) {
		api_reply(c, API_NO_SUCH, NULL, "there is no cluster here");
		return;
	}
	if (!verb_is_confirmed(c, args, cluster->name,
			       "this stops every group and clusterd on every node"))
		return;
	must(setting_key(SETTING_CLUSTER_STOPPING, NULL, cmd.setting_set.key,
			 sizeof(cmd.setting_set.key)));
	snprintf(cmd.setting_set.value, sizeof(cmd.setting_set.value), "on");
	verb_submit(c, &cmd);
}
