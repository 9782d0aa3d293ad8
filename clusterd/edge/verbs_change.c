/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one way from a verb to the cluster: who asks, why, whether it is only tried. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/config.h"
#include "clusterd/core/upgrade.h"
#include "clusterd/edge/health.h"
#include "clusterd/edge/text.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/cleanup.h"
#include "lib/must.h"

void verb_reply_stale(struct api_client *c, const char *text)
{
	const struct db *db = &api_engine(c)->db;
	char key[DB_KEY_MAX], at[40];
	const struct db_version *v;

	snprintf(key, sizeof(key), "%.*s", (int)strcspn(text, " "), text);
	v = db_find(db, DB_KIND_VERSION, key);
	if (v)
		text_time(v->at_ms, at, sizeof(at));
	if (v)
		api_reply(c, API_CONFLICT, NULL, "%s (changed by %s at %s)", text, v->actor, at);
	else
		api_reply(c, API_CONFLICT, NULL, "%s", text);
}

/* A change under way: who waits for it, and what the reply shall have if it is done. */
struct waiting {
	struct api_ticket *ticket;
	json_t *data;
};

/* Takes data. */
static void answer(struct api_client *c, int r, const struct db_result *result, json_t *data)
{
	if (r == -ETIME) {
		api_reply(c, API_NO_QUORUM, NULL,
			  "no quorum here: nothing was changed; see 'clusterctl quorum show'");
	} else if (r == -ETIMEDOUT) {
		api_reply(c, API_TIMED_OUT, NULL,
			  "given to the cluster, not confirmed in time: it may still be done");
	} else if (r) {
		api_reply(c, API_FAILED, NULL, "%s", strerror(-r));
	} else if (result->is_stale) {
		verb_reply_stale(c, result->text);
	} else {
		if (result->task && !data)
			data = json_object();
		if (result->task)
			json_object_set_new(data, "task", json_integer((json_int_t)result->task));
		api_reply(c, (enum api_code)result->code, result->code ? NULL : json_incref(data),
			  "%s", result->text);
	}
	json_decref(data);
}

void verb_answer(struct api_client *c, int r, const struct db_result *result)
{
	answer(c, r, result, NULL);
}

static void changed(void *arg, int r, const struct db_result *result)
{
	struct waiting *w = arg;
	struct api_client *c = api_ticket_take(w->ticket);

	if (c)
		answer(c, r, result, w->data);
	else
		json_decref(w->data);
	free(w);
}

struct db_command verb_command(struct api_client *c, enum db_cmd_type type)
{
	struct db_command cmd;

	memset(&cmd, 0, sizeof(cmd));
	cmd.type = type;
	cmd.version = (uint8_t)api_engine(c)->db.version;
	cmd.at_ms = engine_wall_ms();
	snprintf(cmd.actor, sizeof(cmd.actor), "%.32s@%.30s", api_asker(c)->user,
		 api_engine(c)->repl.self.name.text);
	return cmd;
}

struct db_command verb_change_head(struct api_client *c, const char *object)
{
	const struct api_asker *a = api_asker(c);
	struct db_command head = verb_command(c, DB_CMD_CHANGE);
	struct db_cmd_change *h = &head.change;

	memcpy(h->user, a->user, sizeof(h->user));
	h->uid = a->uid;
	h->pid = a->pid;
	memcpy(h->program, a->program, sizeof(h->program));
	snprintf(h->node, sizeof(h->node), "%s", api_engine(c)->repl.self.name.text);
	memcpy(h->reason, a->reason, sizeof(h->reason));
	snprintf(h->object, sizeof(h->object), "%s", object);
	h->if_version = a->if_version;
	return head;
}

static void submit(struct api_client *c, const uint8_t *payload, size_t len, json_t *data)
{
	const char *why = health_refuses(api_engine(c));
	struct waiting *w;

	if (why) {
		json_decref(data);
		api_reply(c, API_REFUSED, NULL, "%s", why);
		return;
	}
	w = calloc(1, sizeof(*w));
	must(w);
	w->ticket = api_ticket_new(c);
	w->data = data;
	if (!engine_change(api_engine(c), payload, len, API_TIMEOUT_MS, changed, w))
		return;
	api_ticket_take(w->ticket);
	json_decref(data);
	free(w);
	api_reply(c, API_FAILED, NULL, "too many requests under way on this node");
}

/* Takes data. */
static void submit_under(struct api_client *c, const struct db_command *head,
			 const struct db_command *cmd, size_t count, json_t *data)
{
	_cleanup_free_ uint8_t *buf = malloc(DB_CHANGE_MAX);
	char why[2 * DB_REASON_MAX];
	size_t len;

	must(buf);
	for (size_t i = 0; i < count; i++) {
		if (!upgrade_refuses(&api_engine(c)->db, &cmd[i], why, sizeof(why)))
			continue;
		json_decref(data);
		api_reply(c, API_REFUSED, NULL, "%s", why);
		return;
	}
	if (db_change_encode(head, cmd, count, buf, DB_CHANGE_MAX, &len)) {
		json_decref(data);
		api_reply(c, API_REFUSED, NULL,
			  "%zu commands are more than one change takes (%d KiB): do it in parts",
			  count, DB_CHANGE_MAX / 1024);
	} else if (api_asker(c)->is_dry) {
		verb_dry_run(c, buf, len, data);
	} else {
		submit(c, buf, len, data);
	}
}

void verb_submit_all(struct api_client *c, const struct db_command *cmd, size_t count,
		     const char *object)
{
	struct db_command head = verb_change_head(c, object);

	submit_under(c, &head, cmd, count, NULL);
}

void verb_submit_planned(struct api_client *c, const struct db_command *cmd, size_t count,
			 uint64_t version, json_t *data)
{
	struct db_command head = verb_change_head(c, CONFIG_WHOLE);

	head.change.if_version = version;
	submit_under(c, &head, cmd, count, data);
}

void verb_submit(struct api_client *c, const struct db_command *cmd)
{
	char key[CONFIG_OBJECTS_MAX][DB_KEY_MAX];

	bool has_version = config_objects(cmd, key) && config_has_version(key[0]);

	verb_submit_all(c, cmd, 1, has_version ? key[0] : CONFIG_WHOLE);
}

bool verb_has_no_dry_run(struct api_client *c, const char *why)
{
	if (!api_asker(c)->is_dry)
		return true;
	api_reply(c, API_USAGE, NULL, "dry_run: there is none of this: it %s", why);
	return false;
}
