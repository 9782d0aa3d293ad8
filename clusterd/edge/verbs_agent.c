/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verbs about the agents of this node: which there are, and what one says of itself. Nothing runs
 * for a list. To show one its meta-data action runs, under a deadline and a few at a time: whoever
 * may look may ask for it, but only for what is installed in the folders of agents.
 *
 * What an agent prints is bytes; ocf_meta.h and fence_agent.h make bounded, printable UTF-8 of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/edge/ocf.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/fence_agent.h"
#include "lib/must.h"

#define META_MS	     8000 /* below what a client of the API waits */
#define ASKED_MAX    8	  /* agents that are asked at a time, for all clients */
#define NAME_BYTES   (sizeof("ocf:") + 2 * OCF_NAME_MAX + 2)
#define PATH_BYTES   (OCF_PATH_MAX + 2 * OCF_NAME_MAX + 16)
#define FENCE_FOLDER "/usr/sbin"
#define FENCE_PREFIX "fence_"

/* ---- which there are */

/*
 * Programs of fence-agents, pacemaker, sanlock and fence-virt that have the prefix and are no
 * agents: tools, and daemons, which would start.
 */
static bool is_fence_agent(const char *name)
{
	static const char *const others[] = {
		"ack_manual", "kdump_send", "legacy", "na",    "node",		"nss_wrapper",
		"pcmk",	      "sanlockd",   "tool",   "virtd", "vmware_helper",
	};

	if (strncmp(name, FENCE_PREFIX, strlen(FENCE_PREFIX)) != 0)
		return false;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(others); i++) {
		if (!strcmp(name + strlen(FENCE_PREFIX), others[i]))
			return false;
	}
	return true;
}

/* Provider NULL: fence agents. */
static void add_rows(json_t *rows, const char *provider, const char *folder,
		     const struct ocf_list *types)
{
	for (size_t i = 0; i < types->n; i++) {
		char name[NAME_BYTES], path[PATH_BYTES];

		/* A name with '+' can be given neither here nor to a resource. */
		if (strchr(types->name[i], '+') || (!provider && !is_fence_agent(types->name[i])))
			continue;
		snprintf(name, sizeof(name), "%s%s%s%s", provider ? "ocf:" : "",
			 provider ? provider : "", provider ? ":" : "", types->name[i]);
		snprintf(path, sizeof(path), "%s/%s", folder, types->name[i]);
		json_array_append_new(rows, json_pack("{s:s, s:s, s:s?, s:s}", "name", name, "kind",
						      provider ? "ocf" : "fence", "provider",
						      provider, "path", path));
	}
}

static int add_folder(json_t *rows, const char *provider, const char *folder, const char *prefix)
{
	struct ocf_list types;
	int r = ocf_list_programs(folder, prefix, &types);

	if (r)
		return r == -ENOENT ? 0 : r;
	add_rows(rows, provider, folder, &types);
	ocf_list_done(&types);
	return 0;
}

/* Names of clusterd's own are looked for in its folder alone, as when they run. */
static int add_providers(json_t *rows, const char *own_agents)
{
	struct ocf_list providers;
	int r = ocf_list_providers(NULL, &providers);

	if (r)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; i < providers.n && !r; i++) {
		const char *provider = providers.name[i];
		char folder[OCF_PATH_MAX];

		if (strchr(provider, '+') || (own_agents && !strcmp(provider, OCF_OWN_PROVIDER)))
			continue;
		snprintf(folder, sizeof(folder), OCF_ROOT_DEFAULT "/resource.d/%s", provider);
		r = add_folder(rows, provider, folder, "");
	}
	ocf_list_done(&providers);
	return r;
}

void verb_agent_list(struct api_client *c, const json_t *args)
{
	const char *own = api_engine(c)->own_agents, *where = own;
	json_t *rows = json_array();
	int r = own ? add_folder(rows, OCF_OWN_PROVIDER, own, "") : 0;

	(void)args;
	if (!r) {
		where = OCF_ROOT_DEFAULT "/resource.d";
		r = add_providers(rows, own);
	}
	if (!r) {
		where = FENCE_FOLDER;
		r = add_folder(rows, NULL, FENCE_FOLDER, FENCE_PREFIX);
	}
	if (!r) {
		api_reply(c, API_OK, rows, "%s", "");
		return;
	}
	json_decref(rows);
	api_reply(c, API_FAILED, NULL, "agents in %s cannot be listed: %s", where, strerror(-r));
}

/* ---- JSON from meta-data */

/* Bytes that are no UTF-8 should not come this far; they do not break the reply if they do. */
static void set_text(json_t *o, const char *name, const char *text)
{
	json_t *v = text ? json_string(text) : json_null();

	json_object_set_new(o, name, v ? v : json_string("?"));
}

/* 0: nothing is said. */
static void set_number(json_t *o, const char *name, uint32_t n)
{
	json_object_set_new(o, name, n ? json_integer(n) : json_null());
}

/* What both kinds of agents say of a parameter. NULL: nothing. */
struct shown_param {
	const char *name, *type, *type_declared, *preset, *unique_group, *replaces;
	const char *shortdesc, *longdesc;
	bool is_required, is_unique, is_reloadable, is_deprecated;
};

/* Takes the options. */
static json_t *param_json(const struct shown_param *p, json_t *options)
{
	json_t *o = json_object();

	must(o && options);
	set_text(o, "name", p->name);
	set_text(o, "type", p->type);
	set_text(o, "type_declared", p->type_declared);
	json_object_set_new(o, "options", options);
	set_text(o, "default", p->preset);
	json_object_set_new(o, "is_required", json_boolean(p->is_required));
	json_object_set_new(o, "is_unique", json_boolean(p->is_unique));
	set_text(o, "unique_group", p->unique_group);
	json_object_set_new(o, "is_reloadable", json_boolean(p->is_reloadable));
	json_object_set_new(o, "is_deprecated", json_boolean(p->is_deprecated));
	set_text(o, "replaces", p->replaces);
	set_text(o, "shortdesc", p->shortdesc);
	set_text(o, "longdesc", p->longdesc);
	return o;
}

static json_t *ocf_params_json(const struct ocf_meta *meta)
{
	json_t *a = json_array();

	for (size_t i = 0; i < meta->n_params; i++) {
		const struct ocf_param *p = &meta->params[i];
		const struct shown_param shown = {
			.name = p->name,
			.type = ocf_type_name(p->type),
			.type_declared = p->type_declared,
			.preset = p->default_value,
			.unique_group = p->unique_group,
			.shortdesc = p->shortdesc,
			.longdesc = p->longdesc,
			.is_required = p->is_required,
			.is_unique = p->is_unique,
			.is_reloadable = p->is_reloadable,
			.is_deprecated = p->is_deprecated,
		};
		json_t *options = json_array();

		for (size_t k = 0; k < p->n_options; k++)
			json_array_append_new(options, json_string(p->options[k]));
		json_array_append_new(a, param_json(&shown, options));
	}
	return a;
}

static json_t *action_json(const struct ocf_action *action)
{
	json_t *o = json_object();

	must(o);
	set_text(o, "name", action->name);
	set_text(o, "role", action->role);
	set_number(o, "timeout_ms", action->timeout_ms);
	set_number(o, "interval_ms", action->interval_ms);
	set_number(o, "start_delay_ms", action->start_delay_ms);
	set_number(o, "depth", action->depth);
	return o;
}

static json_t *ocf_actions_json(const struct ocf_meta *meta)
{
	json_t *a = json_array();

	for (size_t i = 0; i < meta->n_actions; i++)
		json_array_append_new(a, action_json(&meta->actions[i]));
	return a;
}

static json_t *fence_params_json(const struct agent_meta *meta)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < meta->param_count; i++) {
		const struct agent_param *p = &meta->param[i];
		const struct shown_param shown = {
			.name = p->name,
			.type = agent_type_name(p->type),
			.preset = p->has_preset ? p->preset : NULL,
			.replaces = p->obsoletes[0] ? p->obsoletes : NULL,
			.shortdesc = p->desc,
			.longdesc = "",
			.is_required = p->is_required,
			.is_deprecated = p->is_deprecated,
		};
		json_t *options = json_array();

		for (uint8_t k = 0; k < p->choice_count; k++)
			json_array_append_new(options, json_string(p->choice[k]));
		json_array_append_new(a, param_json(&shown, options));
	}
	return a;
}

/* They tell no times. */
static json_t *fence_actions_json(const struct agent_meta *meta)
{
	json_t *a = json_array();

	for (int i = 0; i < AGENT_ACTION_MAX; i++) {
		char name[AGENT_NAME_MAX];
		struct ocf_action action = {.name = name};

		snprintf(name, sizeof(name), "%s", agent_action_name((enum agent_action)i));
		if (meta->actions & (1u << i))
			json_array_append_new(a, action_json(&action));
	}
	return a;
}

/* ---- one agent */

/* Somebody waits for what it says of itself. */
struct asking {
	struct engine *engine;
	struct api_ticket *ticket;
	char name[NAME_BYTES];
	char path[PATH_BYTES];
};

static json_t *agent_json(const struct asking *w, const char *kind, const char *version,
			  const char *shortdesc, const char *longdesc)
{
	json_t *o = json_object();

	must(o);
	set_text(o, "name", w->name);
	set_text(o, "kind", kind);
	set_text(o, "node", w->engine->repl.self.name.text);
	set_text(o, "path", w->path);
	set_text(o, "version", version && version[0] ? version : NULL);
	set_text(o, "shortdesc", shortdesc);
	set_text(o, "longdesc", longdesc);
	return o;
}

/* It was not started, for that error. */
static void reply_not_there(struct api_client *c, const struct asking *w, int error)
{
	const char *node = w->engine->repl.self.name.text;

	if (error == ENOENT && !access(w->path, F_OK))
		api_reply(c, API_FAILED, NULL,
			  "%s cannot be run: the interpreter that the first line of %s names is "
			  "not on %s: install it",
			  w->name, w->path, node);
	else if (error == ENOENT)
		api_reply(c, API_NO_SUCH, NULL,
			  "no agent %s on %s: there is no %s; see 'clusterctl agent list'", w->name,
			  node, w->path);
	else
		api_reply(c, API_NO_SUCH, NULL,
			  "no agent %s on %s: %s is not a file that can be executed", w->name, node,
			  w->path);
}

static void reply_late(struct api_client *c, const struct asking *w, const char *action)
{
	api_reply(c, API_FAILED, NULL,
		  "%s: no meta-data within %d ms, and ended for it; see what '%s' with action %s "
		  "waits for",
		  w->name, META_MS, w->path, action);
}

static void asking_end(struct asking *w)
{
	must(w->engine->agents_asked > 0);
	w->engine->agents_asked--;
	free(w);
}

static void ocf_asked(void *arg, int r, struct ocf_meta *meta, const struct ocf_error *error)
{
	struct asking *w = arg;
	struct api_client *c = api_ticket_take(w->ticket);

	if (c && meta) {
		json_t *o = agent_json(w, "ocf", meta->version, meta->shortdesc, meta->longdesc);

		json_object_set_new(o, "parameters", ocf_params_json(meta));
		json_object_set_new(o, "actions", ocf_actions_json(meta));
		api_reply(c, API_OK, o, "%s", "");
	} else if (c && (r == -ENOENT || r == -EACCES)) {
		reply_not_there(c, w, -r);
	} else if (c && r == -ETIMEDOUT) {
		reply_late(c, w, "meta-data");
	} else if (c) {
		api_reply(c, API_FAILED, NULL, "%s (%s) cannot be shown: %s", w->name, w->path,
			  error->text);
	}
	ocf_meta_free(meta);
	asking_end(w);
}

static void reply_fence_meta(struct api_client *c, const struct asking *w,
			     const struct agent_result *res)
{
	struct agent_meta *meta = NULL;
	int r = res->is_cut ? -E2BIG : agent_meta_parse(res->out, res->out_len, &meta);
	json_t *o;

	if (r) {
		api_reply(c, API_FAILED, NULL, "%s (%s) cannot be shown: %s", w->name, w->path,
			  r == -E2BIG ? "its meta-data is larger than 256 KiB or 256 parameters"
				      : "what it prints is not meta-data of a fence agent");
		return;
	}
	o = agent_json(w, "fence", NULL, meta->desc, meta->longdesc);
	json_object_set_new(o, "parameters", fence_params_json(meta));
	json_object_set_new(o, "actions", fence_actions_json(meta));
	agent_meta_free(meta);
	api_reply(c, API_OK, o, "%s", "");
}

static void fence_asked(void *arg, const struct agent_result *res)
{
	struct asking *w = arg;
	struct api_client *c = api_ticket_take(w->ticket);

	if (c && res->outcome == AGENT_OK)
		reply_fence_meta(c, w, res);
	else if (c && res->outcome == AGENT_NOT_STARTED && (res->rc == ENOENT || res->rc == EACCES))
		reply_not_there(c, w, res->rc);
	else if (c && res->outcome == AGENT_TIMED_OUT)
		reply_late(c, w, "metadata");
	else if (c)
		api_reply(c, API_FAILED, NULL, "%s (%s) gave no meta-data: %s (%d)%s%s", w->name,
			  w->path, agent_outcome_name(res->outcome), res->rc,
			  res->text[0] ? ": " : "", res->text);
	asking_end(w);
}

static int ask_ocf(struct asking *w, const struct ocf_name *name)
{
	const struct ocf_call call = {
		.own_agents = w->engine->own_agents, .agent = *name, .timeout_ms = META_MS};
	int r = ocf_call_path(&call, w->path, sizeof(w->path));

	return r ? r : ocf_meta_start(w->engine->loop, &call, ocf_asked, w, NULL);
}

static int ask_fence(struct asking *w)
{
	const struct agent_request request = {
		.path = w->path, .action = AGENT_METADATA, .timeout_ms = META_MS};

	snprintf(w->path, sizeof(w->path), FENCE_FOLDER "/%s", w->name);
	return agent_run_start(w->engine->loop, &request, fence_asked, w, NULL);
}

/* agent NULL: a fence agent. */
static void ask(struct api_client *c, const char *name, const struct ocf_name *agent)
{
	struct engine *e = api_engine(c);
	struct asking *w;
	int r;

	if (e->agents_asked >= ASKED_MAX) {
		api_reply(c, API_FAILED, NULL,
			  "%s: %d agents are being asked on this node already: try again", name,
			  ASKED_MAX);
		return;
	}
	w = calloc(1, sizeof(*w));
	must(w);
	w->engine = e;
	w->ticket = api_ticket_new(c);
	snprintf(w->name, sizeof(w->name), "%s", name);
	e->agents_asked++;
	r = agent ? ask_ocf(w, agent) : ask_fence(w);
	if (!r)
		return;
	api_ticket_take(w->ticket);
	asking_end(w);
	api_reply(c, API_FAILED, NULL, "%s cannot be asked now: %s", name, strerror(-r));
}

void verb_agent_show(struct api_client *c, const json_t *args)
{
	char name[NAME_BYTES];
	struct ocf_name agent;
	struct ocf_error error;

	if (!verb_arg_name(c, args, "name", name, sizeof(name)))
		return;
	if (is_fence_agent(name))
		ask(c, name, NULL);
	else if (strncmp(name, "ocf:", strlen("ocf:")) != 0)
		api_reply(c, API_NO_SUCH, NULL,
			  "no agent %s: agents are called ocf:PROVIDER:TYPE or " FENCE_PREFIX
			  "TYPE; see 'clusterctl agent list'",
			  name);
	else if (ocf_name_parse(name, &agent, &error))
		api_reply(c, API_USAGE, NULL, "name: %s", error.text);
	else
		ask(c, name, &agent);
}
