/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/job.h"
#include "clusterd/core/placement.h"
#include "clusterd/core/setting.h"
#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"
#include "lib/hash.h"
#include "lib/must.h"

#define PERIOD_MAX_MS (30 * 86400000u)
#define TIMEOUT_MAX   ":86400000"
#define MEMORY_MAX    ":67108864" /* capacity.h */
#define CPU_MAX	      ":1000000"
#define PLACE	      "priority possible preferred failback failback_from failback_to"

/*
 * The one place that says what is configuration: a field is added by its word. Limits of numbers:
 * NAME:MAX; NAME:span for milliseconds in which failures age, NAME:span0 if 0 (never) is one.
 */
static const struct config_kind kinds[CONFIG_KINDS] = {
	{.kind = DB_KIND_SETTING, .section = "settings", .always = "value"},
	{.kind = DB_KIND_NODE,
	 .section = "nodes",
	 .always = "set_memory_mib" MEMORY_MAX " set_cpu_pct" CPU_MAX},
	{.kind = DB_KIND_VOLUME, .section = "volumes", .fixed = "uuid device"},
	{.kind = DB_KIND_VM, .section = "vms", .offline = "definition", .fixed = "uuid"},
	{.kind = DB_KIND_GROUP,
	 .section = "groups",
	 .always = "on_stop_failure failover_max:1000 failover_ms:span retry_ms:span0 "
		   "memory_mib" MEMORY_MAX " cpu_pct" CPU_MAX " " PLACE,
	 .offline = "volumes"},
	{.kind = DB_KIND_RESOURCE,
	 .section = "resources",
	 .always = "restart_max:1000 restart_ms:span monitor_ms" TIMEOUT_MAX " start_ms" TIMEOUT_MAX
		   " stop_ms" TIMEOUT_MAX,
	 .offline = "agent position",
	 .fixed = "group",
	 .params = "",
	 .params_when = CONFIG_OFFLINE},
	{.kind = DB_KIND_FENCE,
	 .section = "fences",
	 .always = "agent level:8 nodes timeout_ms:600000",
	 .params = "fence.",
	 .params_when = CONFIG_ALWAYS},
	{.kind = DB_KIND_AFFINITY, .section = "affinities", .always = "groups is_apart is_soft"},
};

const struct config_kind *config_kind_at(size_t i)
{
	must(i < CONFIG_KINDS);
	return &kinds[i];
}

static const char *kind_name(const struct config_kind *k)
{
	return db_kind_shape(k->kind)->name;
}

const struct config_kind *config_kind_find(const char *name)
{
	for (size_t i = 0; i < CONFIG_KINDS; i++) {
		if (!strcmp(kinds[i].section, name) || !strcmp(kind_name(&kinds[i]), name))
			return &kinds[i];
	}
	return NULL;
}

static const struct config_kind *of_kind(enum db_kind kind)
{
	for (size_t i = 0; i < CONFIG_KINDS; i++) {
		if (kinds[i].kind == kind)
			return &kinds[i];
	}
	return NULL;
}

/* The word in the list, with its limit behind a colon; NULL: it is not there. */
static const char *word_find(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p && *p; p += strspn(p, " ")) {
		size_t len = strcspn(p, " "), own = strcspn(p, " :");

		if (own == n && !memcmp(p, word, n))
			return p;
		p += len;
	}
	return NULL;
}

static const struct db_field *shape_field(enum db_kind kind, const char *name)
{
	const struct db_shape *shape = db_kind_shape(kind);

	for (uint8_t i = 0; i < shape->field_count; i++) {
		if (!strcmp(shape->field[i].name, name))
			return &shape->field[i];
	}
	return NULL;
}

const struct db_field *config_field(const struct config_kind *k, const char *name,
				    enum config_when *ret_when)
{
	const struct db_field *f = shape_field(k->kind, name);

	if (f && word_find(k->always, name))
		*ret_when = CONFIG_ALWAYS;
	else if (f && word_find(k->offline, name))
		*ret_when = CONFIG_OFFLINE;
	else if (f && word_find(k->fixed, name))
		*ret_when = CONFIG_NEVER;
	else
		return NULL;
	return f;
}

const struct db_field *config_field_at(const struct config_kind *k, uint32_t i)
{
	const struct db_shape *shape = db_kind_shape(k->kind);
	enum config_when when;

	for (uint8_t n = 0; n < shape->field_count; n++) {
		if (config_field(k, shape->field[n].name, &when) && !i--)
			return &shape->field[n];
	}
	return NULL;
}

bool config_is_there(const struct config_kind *k, const void *row)
{
	const struct db_setting *s = row;
	const struct db_volume *v = row;
	const struct db_node *n = row;

	switch (k->kind) {
	case DB_KIND_SETTING:
		return setting_find(s->key) != SETTING_CLUSTER_STOPPING;
	case DB_KIND_VOLUME:
		return !v->is_deleting;
	case DB_KIND_NODE:
		return !n->is_evicted;
	default:
		return true;
	}
}

bool config_is_place(const struct config_kind *k, const char *field)
{
	return k->kind == DB_KIND_GROUP && word_find(PLACE, field);
}

void config_place_command(const struct db_group *now, struct db_cmd_group_place *ret)
{
	*ret = (struct db_cmd_group_place){.possible = now->possible,
					   .priority = now->priority,
					   .failback = now->failback,
					   .failback_from = now->failback_from,
					   .failback_to = now->failback_to};
	memcpy(ret->name, now->name, sizeof(ret->name));
	memcpy(ret->preferred, now->preferred, sizeof(ret->preferred));
}

bool config_follows(const struct db *db, const struct config_kind *k, const void *row,
		    const char *field)
{
	return k->kind == DB_KIND_GROUP && !strcmp(field, "volumes") && vm_of_group(db, row);
}

const char *config_bar(const struct db *db, const struct config_kind *k, const void *row)
{
	const struct db_group *g = NULL;

	if (k->kind == DB_KIND_GROUP)
		g = row;
	else if (k->kind == DB_KIND_RESOURCE)
		g = db_find(db, DB_KIND_GROUP, ((const struct db_resource *)row)->group);
	else if (k->kind == DB_KIND_VM)
		g = db_find(db, DB_KIND_GROUP, row); /* of the same name */
	if (g && job_holds_group(db, g))
		return "work on its disks is under way";
	if (!g || (g->work == DB_WORK_OFFLINE && !g->lock))
		return NULL;
	return "it is not offline: stop it first";
}

const struct db_param *config_param_at(const struct db *db, const struct config_kind *k,
				       const char *object, uint32_t i, const char **ret_name)
{
	char prefix[DB_KEY_MAX];
	const struct db_param *p;
	size_t n;

	if (!k->params)
		return NULL;
	n = (size_t)snprintf(prefix, sizeof(prefix), "%s%s/", k->params, object);
	must(n < sizeof(prefix));
	i += db_lower(db, DB_KIND_PARAM, prefix);
	p = i < db_count(db, DB_KIND_PARAM) ? db_at(db, DB_KIND_PARAM, i) : NULL;
	if (!p || strncmp(p->key, prefix, n) != 0)
		return NULL;
	*ret_name = p->key + n;
	return p;
}

/* ---- values */

static void nodes_text(const struct db *db, uint16_t set, char *to, size_t size)
{
	size_t at = 0;

	to[0] = 0;
	if (set == UINT16_MAX) {
		snprintf(to, size, "all");
		return;
	}
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		if ((set & cl_bit(slot)) && db_node_by_slot(db, slot) && at < size)
			at += (size_t)snprintf(to + at, size - at, "%s%s", at ? "," : "",
					       db_node_name(db, slot));
	}
}

static void owners_text(const struct db *db, const uint8_t *owners, char *to, size_t size)
{
	size_t at = 0;
	uint8_t slot;

	to[0] = 0;
	for (uint32_t i = 0; (slot = placement_owner(owners, i)) != CL_NODE_NONE && at < size; i++)
		at += (size_t)snprintf(to + at, size - at, "%s%s", at ? "," : "",
				       db_node_name(db, slot));
}

void config_text(const struct db *db, const struct db_field *f, const void *row, char *to,
		 size_t size)
{
	const void *p = (const char *)row + f->offset;
	uint8_t v8 = *(const uint8_t *)p;
	uint64_t v = 0;

	switch (f->type) {
	case DB_TYPE_str:
		snprintf(to, size, "%s", (const char *)p);
		return;
	case DB_TYPE_choice:
		snprintf(to, size, "%s", v8 < f->word_count ? f->words[v8] : "?");
		return;
	case DB_TYPE_flag:
		snprintf(to, size, "%s", *(const bool *)p ? "true" : "false");
		return;
	case DB_TYPE_node:
		snprintf(to, size, "%s", v8 == CL_NODE_NONE ? "" : db_node_name(db, v8));
		return;
	case DB_TYPE_nodes:
		nodes_text(db, *(const uint16_t *)p, to, size);
		return;
	case DB_TYPE_owners:
		owners_text(db, p, to, size);
		return;
	case DB_TYPE_u8:
		v = v8;
		break;
	case DB_TYPE_u16:
		v = *(const uint16_t *)p;
		break;
	case DB_TYPE_u32:
		v = *(const uint32_t *)p;
		break;
	case DB_TYPE_u64:
	case DB_TYPE_time:
	case DB_TYPE_mark:
		memcpy(&v, p, sizeof(v));
		break;
	case DB_TYPE_verdicts:
	case DB_TYPE_scores: /* of decisions, which nobody configures */
		to[0] = 0;
		return;
	}
	snprintf(to, size, "%" PRIu64, v);
}

static bool parse_digits(const char *text, uint64_t *ret)
{
	uint64_t v = 0;

	if (!text[0] || strlen(text) > 19)
		return false;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	*ret = v;
	return true;
}

/* Least and most that the field may be, by its word and its width. */
static void limits_of(const struct config_kind *k, const struct db_field *f, uint64_t *least,
		      uint64_t *most, bool *zero_too)
{
	const char *word = word_find(k->always, f->name);
	uint64_t v = 0;

	word = word ? word : word_find(k->offline, f->name);
	word = word ? word : word_find(k->fixed, f->name);
	word = word ? word + strcspn(word, " :") : "";
	*least = 0;
	*most = f->size >= 8 ? INT64_MAX : (UINT64_C(1) << (8 * f->size)) - 1;
	*zero_too = false;
	if (!strncmp(word, ":span", 5)) {
		*least = AGE_PERIOD_MIN_MS;
		*most = PERIOD_MAX_MS;
		*zero_too = word[5] == '0';
	} else if (*word == ':') {
		for (word++; *word >= '0' && *word <= '9'; word++)
			v = v * 10 + (uint64_t)(*word - '0');
		*most = v;
	}
}

static bool parse_number(const struct config_kind *k, const struct db_field *f, const char *text,
			 void *p, char *why, size_t why_size)
{
	uint64_t least, most, v;
	bool zero_too;

	limits_of(k, f, &least, &most, &zero_too);
	if (!parse_digits(text, &v) || v > most || (v < least && !(zero_too && !v))) {
		snprintf(why, why_size, "a number from %" PRIu64 " to %" PRIu64 "%s", least, most,
			 zero_too ? ", or 0" : "");
		return false;
	}
	if (f->size == 1)
		*(uint8_t *)p = (uint8_t)v;
	else if (f->size == 2)
		*(uint16_t *)p = (uint16_t)v;
	else if (f->size == 4)
		*(uint32_t *)p = (uint32_t)v;
	else
		memcpy(p, &v, sizeof(v));
	return true;
}

static bool parse_nodes(const struct db *db, const char *text, uint16_t *to, char *why,
			size_t why_size)
{
	uint16_t set = 0;
	char name[CL_NAME_MAX];

	if (!strcmp(text, "all")) {
		*to = UINT16_MAX;
		return true;
	}
	while (volume_name_next(&text, name)) {
		const struct db_node *n = db_find(db, DB_KIND_NODE, name);

		if (!n) {
			snprintf(why, why_size, "there is no node %s", name);
			return false;
		}
		set = (uint16_t)(set | cl_bit(n->slot));
	}
	*to = set;
	return true;
}

static bool parse_owners(const struct db *db, const char *text, uint8_t *to, char *why,
			 size_t why_size)
{
	uint8_t owners[CL_MAX_NODES] = {0};
	char name[CL_NAME_MAX];

	while (volume_name_next(&text, name)) {
		const struct db_node *n = db_find(db, DB_KIND_NODE, name);

		if (!n || !placement_owner_add(owners, n->slot)) {
			snprintf(why, why_size, n ? "%s is there twice" : "there is no node %s",
				 name);
			return false;
		}
	}
	memcpy(to, owners, sizeof(owners));
	return true;
}

static bool parse_word(const struct db_field *f, const char *text, uint8_t *to, char *why,
		       size_t why_size)
{
	size_t at = 0;

	for (uint8_t i = 0; i < f->word_count; i++) {
		if (!strcmp(f->words[i], text)) {
			*to = i;
			return true;
		}
		if (at < why_size)
			at += (size_t)snprintf(why + at, why_size - at, "%s%s",
					       i ? ", " : "one of ", f->words[i]);
	}
	return false;
}

bool config_parse(const struct db *db, const struct config_kind *k, const struct db_field *f,
		  const char *text, void *row, char *why, size_t why_size)
{
	void *p = (char *)row + f->offset;
	const struct db_node *n;

	switch (f->type) {
	case DB_TYPE_str:
		if (strlen(text) >= f->size || strchr(text, '\n')) {
			snprintf(why, why_size, "a text of at most %d bytes without line breaks",
				 f->size - 1);
			return false;
		}
		memset(p, 0, f->size);
		memcpy(p, text, strlen(text));
		return true;
	case DB_TYPE_choice:
		return parse_word(f, text, p, why, why_size);
	case DB_TYPE_flag:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
			snprintf(why, why_size, "true or false");
			return false;
		}
		*(bool *)p = !strcmp(text, "true");
		return true;
	case DB_TYPE_nodes:
		return parse_nodes(db, text, p, why, why_size);
	case DB_TYPE_owners:
		return parse_owners(db, text, p, why, why_size);
	case DB_TYPE_node:
		n = text[0] ? db_find(db, DB_KIND_NODE, text) : NULL;
		if (text[0] && !n) {
			snprintf(why, why_size, "there is no node %s", text);
			return false;
		}
		*(uint8_t *)p = n ? n->slot : CL_NODE_NONE;
		return true;
	default:
		return parse_number(k, f, text, p, why, why_size);
	}
}

/* ---- objects and their versions */

static bool join(char ret[DB_KEY_MAX], const char *kind, const char *name)
{
	int n = snprintf(ret, DB_KEY_MAX, "%s/%s", kind, name);

	return n > 0 && n < DB_KEY_MAX;
}

bool config_key(enum db_kind kind, const void *row, char ret[DB_KEY_MAX])
{
	const struct config_kind *k = of_kind(kind);

	return k && join(ret, kind_name(k), row);
}

/* Kind and row of a key; false: there is no such object. */
static bool key_find(const struct db *db, const char *key, const struct config_kind **ret_kind,
		     const void **ret_row)
{
	size_t n = strcspn(key, "/");
	char name[DB_VERB_MAX];

	if (!key[n] || n >= sizeof(name))
		return false;
	memcpy(name, key, n);
	name[n] = 0;
	*ret_kind = config_kind_find(name);
	*ret_row = *ret_kind ? db_find(db, (*ret_kind)->kind, key + n + 1) : NULL;
	return *ret_row && config_is_there(*ret_kind, *ret_row);
}

static uint64_t hash_text(uint64_t h, const char *text)
{
	return hash_bytes(h, text, strlen(text) + 1);
}

uint64_t config_digest(const struct db *db, const char *key)
{
	const struct config_kind *k;
	const struct db_field *f;
	const struct db_param *p;
	const void *row;
	const char *name;
	char text[DB_PARAMS_MAX];
	uint64_t h = HASH_INIT;

	if (!key_find(db, key, &k, &row))
		return 0;
	for (uint32_t i = 0; (f = config_field_at(k, i)); i++) {
		config_text(db, f, row, text, sizeof(text));
		h = hash_text(h, text);
	}
	for (uint32_t i = 0; (p = config_param_at(db, k, row, i, &name)); i++)
		h = hash_text(hash_text(h, name), p->value);
	return h ? h : 1;
}

uint64_t config_version(const struct db *db, const char *key)
{
	const struct db_version *v = db_find(db, DB_KIND_VERSION, key);

	return v ? v->index : 0;
}

/* What a key of `param` belongs to. */
static void param_owner(const char *key, char ret[DB_KEY_MAX])
{
	bool is_fence = !strncmp(key, "fence.", 6);
	char name[DB_KEY_MAX];

	snprintf(name, sizeof(name), "%s", is_fence ? key + 6 : key);
	name[strcspn(name, "/")] = 0;
	(void)join(ret, is_fence ? "fence" : "resource", name);
}

bool config_has_version(const char *key)
{
	size_t n = strcspn(key, "/");

	for (size_t i = 0; i < CONFIG_KINDS; i++) {
		if (strlen(kind_name(&kinds[i])) == n && !strncmp(key, kind_name(&kinds[i]), n))
			return true;
	}
	return false;
}

/* The kind of row whose name the command's begins with, as group_create does; NULL: none. */
static const char *kind_of_command(const char *command)
{
	for (int k = 0; k < DB_KIND_MAX; k++) {
		const char *name = db_kind_shape((enum db_kind)k)->name;
		size_t n = strlen(name);

		if (!strncmp(command, name, n) && command[n] == '_')
			return name;
	}
	return NULL;
}

uint32_t config_objects(const struct db_command *cmd, char ret[CONFIG_OBJECTS_MAX][DB_KEY_MAX])
{
	const struct db_shape *shape = db_command_shape((uint16_t)cmd->type);
	const char *kind = kind_of_command(shape->name);
	const char *first = (const char *)&cmd->cluster_init + shape->field[0].offset;
	uint32_t n = 0;

	if (cmd->type == DB_CMD_CONFIG_SET)
		return join(ret[n], cmd->config_set.kind, cmd->config_set.name);
	if (cmd->type == DB_CMD_CONFIG_UNSET)
		return join(ret[n], cmd->config_unset.kind, cmd->config_unset.name);
	if (cmd->type == DB_CMD_PARAM_SET) {
		param_owner(cmd->param_set.key, ret[n]);
		return 1;
	}
	if (!kind || shape->field[0].type != DB_TYPE_str)
		return 0;
	n += join(ret[n], kind, first);
	if (!strcmp(kind, "vm")) { /* its group and its resource have its name */
		n += join(ret[n], "group", first);
		n += join(ret[n], "resource", first);
	}
	return n;
}

/* ---- words */

struct words {
	const struct db *db;
	char *to;
	size_t size, at;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *w, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(w->to + w->at, w->size - w->at, format, ap);
	va_end(ap);
	w->at += n > 0 && (size_t)n < w->size - w->at ? (size_t)n : 0;
}

/* Names of the parameters in lines NAME=VALUE. */
static void say_params(struct words *w, const char *lines)
{
	for (bool first = true; *lines; first = false) {
		size_t len = strcspn(lines, "\n");

		say(w, "%s%.*s", first ? " params=" : ",", (int)strcspn(lines, "=\n"), lines);
		lines += len + (lines[len] == '\n');
	}
}

static bool is_unsaid(const char *field)
{
	static const char *const names[] = {"definition", "reason", "verb", "incarnation", "work"};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(names); i++) {
		if (!strcmp(names[i], field))
			return true;
	}
	return false;
}

static void say_field(struct words *w, const struct db_field *f, const void *body)
{
	const void *p = (const char *)body + f->offset;
	char text[DB_PARAMS_MAX];

	if (is_unsaid(f->name) || !strncmp(f->name, "keeps_", 6))
		return;
	if (!strcmp(f->name, "params")) {
		say_params(w, p);
		return;
	}
	if (f->type == DB_TYPE_u32 && *(const uint32_t *)p == DB_KEEP)
		return;
	config_text(w->db, f, body, text, sizeof(text));
	if (!text[0] || !strcmp(text, "0"))
		return;
	say(w, " %s=%.100s", f->name, text);
}

void config_words(const struct db *db, const struct db_command *cmd, char *to, size_t size)
{
	const struct db_shape *shape = db_command_shape((uint16_t)cmd->type);
	struct words w = {.db = db, .to = to, .size = size};
	const struct db_cmd_config_set *s = &cmd->config_set;
	const void *body = &cmd->cluster_init;
	bool has_name = shape->field[0].type == DB_TYPE_str;
	size_t first = strcspn(shape->name, "_");

	to[0] = 0;
	say(&w, "%.*s %s", (int)first, shape->name,
	    shape->name[first] ? shape->name + first + 1 : "");
	if (cmd->type == DB_CMD_CONFIG_SET) {
		say(&w, " %s %s %s", s->kind, s->name, s->field);
		if (strncmp(s->field, CONFIG_PARAMS, strlen(CONFIG_PARAMS)) != 0 &&
		    !is_unsaid(s->field))
			say(&w, "=%.100s", s->value);
		return;
	}
	if (cmd->type == DB_CMD_PARAM_SET) {
		say(&w, " %s", cmd->param_set.key);
		return;
	}
	if (has_name)
		say(&w, " %s", (const char *)body + shape->field[0].offset);
	for (uint8_t i = has_name; i < shape->field_count; i++)
		say_field(&w, &shape->field[i], body);
}
