/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs about resources: their agents are asked what parameters they take. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/secret.h"
#include "clusterd/edge/exec.h"
#include "clusterd/edge/ocf.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/must.h"

#define META_MS 8000 /* below what a client of the API waits */

bool verb_arg_params(struct api_client *c, const json_t *params, char *to, size_t size)
{
	const char *name;
	json_t *v;
	size_t at = 0;

	json_object_foreach((json_t *)params, name, v)
	{
		const char *value = json_string_value(v);
		int n;

		if (!value || strchr(value, '\n') || strlen(value) >= DB_VALUE_MAX ||
		    strpbrk(name, "=/\n\t") || !name[0] || strlen(name) >= CL_NAME_MAX) {
			api_reply(c, API_USAGE, NULL,
				  "params: %.64s: a name without '=' or '/' and a text of at most "
				  "%d bytes without line breaks",
				  name, DB_VALUE_MAX - 1);
			return false;
		}
		if (value[0] && secret_is_due(name) && !secret_reference(value)) {
			api_reply(c, API_USAGE, NULL,
				  "params: %.64s: what it says would stand in the database for all "
				  "to read; 'clusterctl secret set NAME --file -', and then "
				  "%.64s=secret:NAME",
				  name, name);
			return false;
		}
		n = snprintf(to + at, size - at, "%s=%s\n", name, value);
		if (n < 0 || (size_t)n >= size - at) {
			api_reply(c, API_USAGE, NULL, "params: more than %zu bytes in all", size);
			return false;
		}
		at += (size_t)n;
	}
	return true;
}

/* A command that waits for the agent's meta-data. */
struct question {
	struct api_ticket *ticket;
	verb_meta_fn then;
	char agent[DB_AGENT_MAX];
	struct db_command cmd;
};

size_t verb_take_params(char *lines, struct ocf_value *params, size_t max)
{
	size_t n = 0;

	for (char *line = lines; *line && n < max; n++) {
		char *end = strchr(line, '\n'), *equals = strchr(line, '=');

		must(end && equals && equals < end); /* so verb_arg_params() has made them */
		*end = *equals = 0;
		params[n] = (struct ocf_value){line, equals + 1};
		line = end + 1;
	}
	return n;
}

/* The first error, and how many more there are. */
static void refuse(struct api_client *c, const char *agent, const struct ocf_findings *found)
{
	size_t i = 0;

	while (i < found->n && found->item[i].is_warning)
		i++;
	if (i == found->n) /* warnings have taken all the room */
		api_reply(c, API_USAGE, NULL, "%s: %zu parameters are wrong", agent,
			  found->n_errors);
	else if (found->n_errors > 1)
		api_reply(c, API_USAGE, NULL, "%s (and %zu more): %s", agent, found->n_errors - 1,
			  found->item[i].text);
	else
		api_reply(c, API_USAGE, NULL, "%s: %s", agent, found->item[i].text);
}

bool verb_params_fit(struct api_client *c, const char *agent, const struct ocf_meta *meta,
		     const struct ocf_value *params, size_t n)
{
	static struct ocf_findings found;

	if (n > EXEC_PARAMS_MAX) {
		api_reply(c, API_USAGE, NULL, "params: at most %d", EXEC_PARAMS_MAX);
		return false;
	}
	if (!ocf_meta_validate(meta, params, n, &found))
		return true;
	refuse(c, agent, &found);
	return false;
}

bool verb_deep_level(struct api_client *c, const char *agent, const struct ocf_meta *meta,
		     uint32_t deep_monitor_ms, uint8_t *ret)
{
	uint32_t deepest = 0;

	for (size_t i = 0; i < meta->n_actions; i++) {
		const struct ocf_action *a = &meta->actions[i];

		if (!strcmp(a->name, "monitor") && a->depth > deepest && a->depth <= UINT8_MAX)
			deepest = a->depth;
	}
	*ret = deep_monitor_ms ? (uint8_t)deepest : 0;
	if (!deep_monitor_ms || deepest)
		return true;
	api_reply(c, API_USAGE, NULL,
		  "deep_monitor_ms: %s says of no monitor with a depth: it has none but the one of "
		  "monitor_ms",
		  agent);
	return false;
}

static void create(struct api_client *c, struct db_command *cmd, const struct ocf_meta *meta)
{
	static struct ocf_value params[EXEC_PARAMS_MAX + 1];
	struct db_cmd_resource_create *r = &cmd->resource_create;
	char lines[DB_PARAMS_MAX];
	size_t n;

	memcpy(lines, r->params, sizeof(lines));
	n = verb_take_params(lines, params, EXEC_PARAMS_MAX + 1);
	if (verb_params_fit(c, r->agent, meta, params, n) &&
	    verb_deep_level(c, r->agent, meta, r->deep_monitor_ms, &r->deep_level))
		verb_submit(c, cmd);
}

static void asked(void *arg, int r, struct ocf_meta *meta, const struct ocf_error *error)
{
	struct question *q = arg;
	struct api_client *c = api_ticket_take(q->ticket);

	if (c && meta)
		q->then(c, &q->cmd, meta);
	else if (c && (r == -ENOENT || r == -EACCES))
		api_reply(
			c, API_NO_SUCH, NULL,
			"agent: no %s on %s that could be run: install it, or ask a node that has "
			"it",
			q->agent, api_engine(c)->repl.self.name.text);
	else if (c)
		api_reply(c, API_REFUSED, NULL, "agent: %s cannot be asked for its parameters: %s",
			  q->agent, error->text);
	ocf_meta_free(meta);
	free(q);
}

void verb_ask_agent(struct api_client *c, const struct db_command *cmd, const char *agent,
		    verb_meta_fn then)
{
	struct engine *e = api_engine(c);
	struct ocf_call call = {.own_agents = e->own_agents, .timeout_ms = META_MS};
	struct question *q;
	struct ocf_error error;

	if (ocf_name_parse(agent, &call.agent, &error)) {
		api_reply(c, API_USAGE, NULL, "agent: %s", error.text);
		return;
	}
	q = calloc(1, sizeof(*q));
	must(q);
	q->cmd = *cmd;
	q->then = then;
	snprintf(q->agent, sizeof(q->agent), "%s", agent);
	q->ticket = api_ticket_new(c);
	if (ocf_meta_start(e->loop, &call, asked, q, NULL)) {
		api_ticket_take(q->ticket);
		free(q);
		api_reply(c, API_FAILED, NULL, "the agent cannot be asked now: try again");
	}
}

bool verb_arg_depends(struct api_client *c, const json_t *args, char *to, size_t size)
{
	const json_t *v = json_object_get(args, "depends");
	const char *text = json_string_value(v);

	to[0] = 0;
	if (!v)
		return true;
	if (!text || strlen(text) >= size || strchr(text, '\n')) {
		api_reply(c, API_USAGE, NULL,
			  "depends: names of resources, 'and', 'or' and brackets, at most %zu "
			  "characters in one line",
			  size - 1);
		return false;
	}
	memcpy(to, text, strlen(text) + 1);
	return true;
}

void verb_resource_create(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	struct db_command cmd = verb_command(c, DB_CMD_RESOURCE_CREATE);
	struct db_cmd_resource_create *r = &cmd.resource_create;

	if (!verb_arg_name(c, args, "name", r->name, sizeof(r->name)) ||
	    !verb_arg_name(c, args, "group", r->group, sizeof(r->group)) ||
	    !verb_arg_name(c, args, "agent", r->agent, sizeof(r->agent)) ||
	    !verb_arg_u32(c, args, "restart_max", 3, 1000, &r->restart_max) ||
	    !verb_arg_period(c, args, "restart_ms", AGE_RESTART_MS, &r->restart_ms) ||
	    !verb_arg_u32(c, args, "monitor_ms", 10000, 86400000, &r->monitor_ms) ||
	    !verb_arg_u32(c, args, "start_ms", 60000, 86400000, &r->start_ms) ||
	    !verb_arg_u32(c, args, "stop_ms", 60000, 86400000, &r->stop_ms) ||
	    !verb_arg_u32(c, args, "deep_monitor_ms", 0, 86400000, &r->deep_monitor_ms) ||
	    !verb_arg_depends(c, args, r->depends, sizeof(r->depends)) ||
	    !verb_arg_params(c, json_object_get(args, "params"), r->params, sizeof(r->params)))
		return;
	if (!db_find(db, DB_KIND_GROUP, r->group))
		api_reply(c, API_NO_SUCH, NULL, "no group %s", r->group);
	else
		verb_ask_agent(c, &cmd, r->agent, create);
}

void verb_resource_delete(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_RESOURCE_DELETE);

	if (verb_arg_name(c, args, "name", cmd.resource_delete.name,
			  sizeof(cmd.resource_delete.name)))
		verb_submit(c, &cmd);
}

void verb_resource_list(struct api_client *c, const json_t *args)
{
	(void)args;
	verb_list(c, DB_KIND_RESOURCE);
}

void verb_resource_show(struct api_client *c, const json_t *args)
{
	verb_show(c, args, DB_KIND_RESOURCE);
}
