/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs about the configuration as a whole: its document, what changed it, checkpoints of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/config.h"
#include "clusterd/edge/config_json.h"
#include "clusterd/edge/verbs_impl.h"
#include "clusterd/edge/volumes.h"
#include "lib/cleanup.h"
#include "lib/must.h"

/* ---- history */

void verb_config_history(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	const char *object = verb_arg_text(args, "object");
	json_t *a = json_array();

	must(a);
	if (object[0] && !strchr(object, '/')) {
		json_decref(a);
		api_reply(c, API_USAGE, NULL, "object: '%.64s': KIND/NAME, such as group/web",
			  object);
		return;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_AUDIT); i++) {
		const struct db_audit *row = db_at(db, DB_KIND_AUDIT, i);

		if (!object[0] || !strcmp(row->object, object))
			json_array_append_new(a, verb_row_json(db, DB_KIND_AUDIT, row));
	}
	api_reply(c, API_OK, a, "%s", "");
}

/* ---- documents */

/* That of the checkpoint in the argument, or the present one if there is no such argument. */
static bool arg_doc(struct api_client *c, const json_t *args, const char *name,
		    struct config_doc *doc)
{
	const struct db *db = &api_engine(c)->db;
	char checkpoint[CL_NAME_MAX];

	if (!json_object_get(args, name)) {
		config_doc_from_db(doc, db);
		return true;
	}
	if (!verb_arg_name(c, args, name, checkpoint, sizeof(checkpoint)))
		return false;
	if (config_doc_from_checkpoint(doc, db, checkpoint))
		return true;
	api_reply(c, API_NO_SUCH, NULL, "no checkpoint %s", checkpoint);
	return false;
}

/* That of argument `definition`. */
static bool arg_file(struct api_client *c, const json_t *args, struct config_doc *doc)
{
	const json_t *json = json_object_get(args, "definition");
	char why[CONFIG_JSON_WHY];

	if (!json_is_object(json)) {
		api_reply(c, API_USAGE, NULL, "definition: a JSON object, as of config.show");
		return false;
	}
	if (config_doc_from_json(doc, json, volumes_mount_dir(api_engine(c)->volumes), why))
		return true;
	api_reply(c, API_USAGE, NULL, "%s", why);
	return false;
}

void verb_config_show(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	const struct db_cluster *cluster =
		db_count(db, DB_KIND_CLUSTER) ? db_at(db, DB_KIND_CLUSTER, 0) : NULL;
	_cleanup_(config_doc_done) struct config_doc doc = {0};
	json_t *o, *sections;

	if (!arg_doc(c, args, "checkpoint", &doc))
		return;
	o = json_pack("{s:i, s:s}", "schema", CONFIG_JSON_SCHEMA, "cluster",
		      cluster ? cluster->name : "");
	must(o);
	if (!json_object_get(args, "checkpoint"))
		json_object_set_new(o, "version",
				    json_integer((json_int_t)config_version(db, CONFIG_WHOLE)));
	sections = config_doc_json(&doc, api_asker(c)->may_change);
	json_object_update(o, sections);
	json_decref(sections);
	api_reply(c, API_OK, o, "%s", "");
}

/* ---- differences */

static void add_difference(json_t *rows, const char *change, const struct config_item *item,
			   const char *from, const char *to)
{
	const struct config_kind *k = config_kind_find(item->section);
	bool is_param = !strncmp(item->field, CONFIG_PARAMS, strlen(CONFIG_PARAMS));
	json_t *o = json_pack("{s:s, s:o, s:s}", "change", change, "object",
			      json_sprintf("%s/%s", db_kind_shape(k->kind)->name, item->name),
			      "field", item->field);

	must(o);
	if (is_param)
		from = to = NULL; /* values of parameters are not shown */
	json_object_set_new(o, "from", from ? json_string(from) : json_null());
	json_object_set_new(o, "to", to ? json_string(to) : json_null());
	json_array_append_new(rows, o);
}

/* A field that a file does not name stays as it is; what an object that comes or goes has in it is
 * not listed. */
static json_t *differences(const struct config_doc *a, const struct config_doc *b, bool is_file)
{
	const struct config_item *with = NULL; /* the object that is in one of them only */
	size_t i = 0, j = 0;
	json_t *rows = json_array();

	must(rows);
	while (i < a->count || j < b->count) {
		const struct config_item *x = i < a->count ? &a->item[i] : NULL;
		const struct config_item *y = j < b->count ? &b->item[j] : NULL;
		int order = !x ? 1 : !y ? -1 : config_item_compare(x, y);
		const struct config_item *item = order > 0 ? y : x;
		bool is_new = !item->field[0];
		bool is_inside =
			with && with->section == item->section && !strcmp(with->name, item->name);

		i += order <= 0;
		j += order >= 0;
		if (!order && (!y->value || !strcmp(x->value, y->value)))
			continue;
		if (order && is_new)
			with = item;
		else if (is_inside || (order < 0 && is_file))
			continue;
		add_difference(rows,
			       order < 0   ? "removed"
			       : order > 0 ? "added"
					   : "changed",
			       item, order <= 0 ? x->value : NULL, order >= 0 ? y->value : NULL);
	}
	return rows;
}

void verb_config_diff(struct api_client *c, const json_t *args)
{
	_cleanup_(config_doc_done) struct config_doc a = {0}, b = {0};
	bool is_file = json_object_get(args, "definition");

	if (is_file == !!json_object_get(args, "from")) {
		api_reply(c, API_USAGE, NULL, "a file, or a checkpoint in 'from': one of them");
		return;
	}
	if (!arg_doc(c, args, "from", &a) ||
	    !(is_file ? arg_file(c, args, &b) : arg_doc(c, args, "to", &b)))
		return;
	config_doc_sort(&a);
	config_doc_sort(&b);
	api_reply(c, API_OK, differences(&a, &b, is_file), "%s", "");
}

/* ---- apply and rollback */

/* The commands that were found, and what they say. */
struct found {
	const struct db *db;
	struct db_command *cmd;
	size_t count, cap;
	json_t *words;
	bool loses; /* a volume or a virtual machine is forgotten */
};

static void take_command(void *arg, const struct db_command *cmd)
{
	struct found *f = arg;
	char words[DB_WORDS_MAX];

	if (f->count == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 64;
		f->cmd = realloc(f->cmd, f->cap * sizeof(*f->cmd));
		must(f->cmd);
	}
	f->cmd[f->count++] = *cmd;
	f->loses = f->loses || cmd->type == DB_CMD_VOLUME_DELETE || cmd->type == DB_CMD_VM_DELETE;
	config_words(f->db, cmd, words, sizeof(words));
	json_array_append_new(f->words, json_pack("{s:s}", "command", words));
}

static void found_done(struct found *f)
{
	free(f->cmd);
	json_decref(f->words);
}

/* Plans it on a copy; replies and returns false if it is refused there. */
static bool plan(struct api_client *c, const struct config_doc *doc, bool prunes, bool skips_nodes,
		 struct found *f)
{
	const struct db *db = &api_engine(c)->db;
	size_t cap = db_encoded_max(db), len;
	_cleanup_free_ void *mem = malloc(db_size(&db->limits)), *bytes = malloc(cap);
	struct db copy;
	struct config_plan p = {.db = &copy,
				.item = doc->item,
				.count = doc->count,
				.prunes = prunes,
				.skips_nodes = skips_nodes,
				.take = take_command,
				.arg = f};
	char path[DB_KEY_MAX];

	must(mem && bytes);
	must(!db_init(&copy, mem, db_size(&db->limits), &db->limits));
	must(!db_encode(db, bytes, cap, &len) && !db_decode(&copy, bytes, len));
	f->db = &copy;
	if (!config_plan_run(&p))
		return true;
	if (p.bad)
		config_item_path(p.bad, path, sizeof(path));
	if (p.bad)
		api_reply(c, (enum api_code)p.code, NULL, "%s (%s): %s", path, p.bad->name, p.text);
	else
		api_reply(c, (enum api_code)p.code, NULL, "to delete what is not named: %s",
			  p.text);
	return false;
}

static void reply_nothing_to_do(struct api_client *c)
{
	bool is_dry = api_asker(c)->is_dry;
	json_t *o = json_pack("{s:[], s:b}", "commands", "would_change", false);

	must(o);
	if (is_dry) {
		json_object_set_new(o, "is_dry_run", json_true());
		json_object_set_new(o, "summary", json_string("dry run: nothing would change"));
	}
	api_reply(c, API_OK, o, "it is so already");
}

/* False with a reply: somebody has changed it since, or it would lose what nobody has confirmed. */
static bool may_go_on(struct api_client *c, const json_t *args, const struct found *f)
{
	const struct db *db = &api_engine(c)->db;
	const struct db_cluster *cluster = db_at(db, DB_KIND_CLUSTER, 0);
	uint64_t version = config_version(db, CONFIG_WHOLE);
	char text[API_TEXT_MAX];

	if (api_asker(c)->if_version != DB_ANY_VERSION && api_asker(c)->if_version != version) {
		snprintf(text, sizeof(text), CONFIG_WHOLE " has version %llu now, not %llu",
			 (unsigned long long)version, (unsigned long long)api_asker(c)->if_version);
		verb_reply_stale(c, text);
		return false;
	}
	return !f->loses || verb_is_confirmed(c, args, cluster->name,
					      "this forgets volumes or virtual machines that the "
					      "document does not name (see --dry-run)");
}

static void apply_doc(struct api_client *c, const json_t *args, const struct config_doc *doc,
		      bool prunes, bool skips_nodes)
{
	_cleanup_(found_done) struct found f = {.words = json_array()};
	uint64_t version = config_version(&api_engine(c)->db, CONFIG_WHOLE);
	json_t *data;

	must(f.words);
	if (!db_count(&api_engine(c)->db, DB_KIND_CLUSTER)) {
		api_reply(c, API_REFUSED, NULL, "this node belongs to no cluster yet");
		return;
	}
	if (!plan(c, doc, prunes, skips_nodes, &f) || !may_go_on(c, args, &f))
		return;
	if (!f.count) {
		reply_nothing_to_do(c);
		return;
	}
	data = json_pack("{s:O}", "commands", f.words);
	must(data);
	verb_submit_planned(c, f.cmd, f.count, version, data);
}

void verb_config_apply(struct api_client *c, const json_t *args)
{
	_cleanup_(config_doc_done) struct config_doc doc = {0};
	const json_t *prune = json_object_get(args, "prune");

	if (prune && !json_is_boolean(prune)) {
		api_reply(c, API_USAGE, NULL, "prune: true or false");
		return;
	}
	if (arg_file(c, args, &doc))
		apply_doc(c, args, &doc, json_is_true(prune), false);
}

void verb_config_rollback(struct api_client *c, const json_t *args)
{
	_cleanup_(config_doc_done) struct config_doc doc = {0};
	char name[CL_NAME_MAX];

	if (!verb_arg_name(c, args, "name", name, sizeof(name)) || !arg_doc(c, args, "name", &doc))
		return;
	config_doc_sort(&doc);
	apply_doc(c, args, &doc, true, true);
}

/* ---- checkpoints */

void verb_config_checkpoint_create(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_CHECKPOINT_CREATE);

	if (verb_arg_name(c, args, "name", cmd.checkpoint_create.name,
			  sizeof(cmd.checkpoint_create.name)))
		verb_submit(c, &cmd);
}

void verb_config_checkpoint_delete(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_CHECKPOINT_DELETE);

	if (verb_arg_name(c, args, "name", cmd.checkpoint_delete.name,
			  sizeof(cmd.checkpoint_delete.name)))
		verb_submit(c, &cmd);
}

void verb_config_checkpoint_list(struct api_client *c, const json_t *args)
{
	(void)args;
	verb_list(c, DB_KIND_CHECKPOINT);
}
