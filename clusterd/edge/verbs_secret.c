/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs about secrets. Their texts come in and never go out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clusterd/core/config.h"
#include "clusterd/core/secret.h"
#include "clusterd/edge/secrets.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/must.h"

struct setting_one {
	struct api_ticket *ticket;
	char name[CL_NAME_MAX];
};

static json_t *secret_json(const struct db *db, const struct db_secret *row)
{
	json_t *o = verb_row_json(db, DB_KIND_SECRET, row), *missing = json_array();
	uint16_t set = secret_missing(db, row);

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		if (set & cl_bit(slot))
			json_array_append_new(missing, json_string(db_node_name(db, slot)));
	}
	json_object_set_new(o, "missing", missing);
	return o;
}

void verb_secret_list(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	json_t *a = json_array();

	(void)args;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_SECRET); i++)
		json_array_append_new(a, secret_json(db, db_at(db, DB_KIND_SECRET, i)));
	api_reply(c, API_OK, a, "%s", "");
}

void verb_secret_delete(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_SECRET_DELETE);

	if (verb_arg_name(c, args, "name", cmd.secret_delete.name, sizeof(cmd.secret_delete.name)))
		verb_submit(c, &cmd);
}

/* The answer when every admitted node has it, or the time is over. */
static bool is_everywhere(struct api_client *c, const char *name, bool is_late)
{
	const struct db *db = &api_engine(c)->db;
	const struct db_secret *row = db_find(db, DB_KIND_SECRET, name);
	json_t *o;

	if (!row) {
		api_reply(c, API_NO_SUCH, NULL, "secret %s was deleted meanwhile", name);
		return true;
	}
	if (secret_missing(db, row) && !is_late)
		return false;
	o = secret_json(db, row);
	if (!secret_missing(db, row))
		api_reply(c, API_OK, o, "%s", "");
	else
		api_reply(
			c, API_TIMED_OUT, o,
			"secret %s is set, and not on every node yet; they go on fetching it: see "
			"'missing' in 'clusterctl secret list'",
			name);
	return true;
}

static void was_set(void *arg, int r, const struct db_result *result)
{
	struct setting_one *s = arg;
	struct api_client *c = api_ticket_take(s->ticket);

	if (c && !r && result->code == DB_OK)
		api_wait(c, is_everywhere, s->name, API_TIMEOUT_MS);
	else if (c)
		verb_answer(c, r, result);
	free(s);
}

void verb_secret_set(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_SECRET_SET), head;
	struct db_cmd_secret_set *set = &cmd.secret_set;
	const char *text = verb_arg_text(args, "text");
	struct setting_one *s;

	if (!verb_arg_name(c, args, "name", set->name, sizeof(set->name)))
		return;
	if (!secret_value_is_valid(text)) {
		api_reply(c, API_USAGE, NULL,
			  "text: 1 to %d bytes without control characters, from --file",
			  SECRET_VALUE_MAX - 1);
		return;
	}
	set->slot = api_engine(c)->repl.self_slot;
	if (api_engine(c)->repl.phase != REPL_OPEN || set->slot == CL_NODE_NONE) {
		api_reply(c, API_NO_QUORUM, NULL,
			  "no quorum here: nothing was changed; see 'clusterctl quorum show'");
		return;
	}
	must(getrandom(&set->version, sizeof(set->version), 0) == sizeof(set->version));
	if (api_asker(c)->is_dry) {
		verb_submit(c, &cmd);
		return;
	}
	head = verb_change_head(c, CONFIG_WHOLE);
	s = calloc(1, sizeof(*s));
	must(s);
	s->ticket = api_ticket_new(c);
	memcpy(s->name, set->name, sizeof(s->name));
	if (secrets_set(api_engine(c)->secrets, &head, &cmd, text, was_set, s)) {
		api_ticket_take(s->ticket);
		free(s);
		api_reply(c, API_CONFLICT, NULL,
			  "another secret is being set on this node; try again");
	}
}
