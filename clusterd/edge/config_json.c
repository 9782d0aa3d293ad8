/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/config_json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/secret.h"
#include "clusterd/core/volume.h"
#include "lib/cleanup.h"
#include "lib/must.h"

/* ---- items */

static char *copy(const char *text)
{
	char *s = text ? strdup(text) : NULL;

	must(s || !text);
	return s;
}

static void add(struct config_doc *doc, const struct config_item *item)
{
	struct config_item *to;

	if (doc->count == doc->cap) {
		doc->cap = doc->cap ? 2 * doc->cap : 256;
		doc->item = realloc(doc->item, doc->cap * sizeof(*doc->item));
		must(doc->item);
	}
	to = &doc->item[doc->count++];
	*to = *item;
	to->section = config_kind_find(item->section)->section;
	to->name = copy(item->name);
	to->field = copy(item->field);
	to->value = copy(item->value);
}

static void take(void *arg, const struct config_item *item)
{
	add(arg, item);
}

void config_doc_done(struct config_doc *doc)
{
	for (size_t i = 0; i < doc->count; i++) {
		free((void *)(uintptr_t)doc->item[i].name);
		free((void *)(uintptr_t)doc->item[i].field);
		free((void *)(uintptr_t)doc->item[i].value);
	}
	free(doc->item);
	*doc = (struct config_doc){0};
}

void config_doc_from_db(struct config_doc *doc, const struct db *db)
{
	config_each(db, take, doc);
}

static int compare_items(const void *a, const void *b)
{
	return config_item_compare(a, b);
}

void config_doc_sort(struct config_doc *doc)
{
	if (doc->count)
		qsort(doc->item, doc->count, sizeof(*doc->item), compare_items);
}

void config_item_path(const struct config_item *item, char *to, size_t size)
{
	snprintf(to, size, "%s[%u]%s%s", item->section, item->place, item->field[0] ? "." : "",
		 item->field);
}

static const char *param_of(const struct config_item *item)
{
	size_t n = strlen(CONFIG_PARAMS);

	return strncmp(item->field, CONFIG_PARAMS, n) ? NULL : item->field + n;
}

bool config_item_is_private(const struct config_item *item)
{
	const char *param = param_of(item);

	return param && item->value && item->value[0] && secret_is_due(param) &&
	       !secret_reference(item->value);
}

/* ---- checkpoints */

bool config_doc_from_checkpoint(struct config_doc *doc, const struct db *db, const char *name)
{
	const struct db_checkpoint *row = db_find(db, DB_KIND_CHECKPOINT, name);
	_cleanup_free_ char *text = NULL;
	size_t at = 0;
	char *line;

	if (!row)
		return false;
	text = calloc(1, (size_t)row->parts * DB_PARAMS_MAX + 1);
	must(text);
	for (uint32_t i = 0; i < row->parts; i++) {
		const struct db_checkpoint_part *p;
		char key[DB_KEY_MAX];

		snprintf(key, sizeof(key), "%s/%05u", name, i);
		p = db_find(db, DB_KIND_CHECKPOINT_PART, key);
		if (!p)
			return false;
		memcpy(text + at, p->text, strlen(p->text));
		at += strlen(p->text);
	}
	line = text;
	for (char *end; (end = strchr(line, '\n')); line = end + 1) {
		struct config_item item;

		*end = 0;
		if (!config_item_parse(line, &item) || !config_kind_find(item.section))
			return false;
		add(doc, &item);
	}
	return true;
}

/* ---- to JSON */

static json_t *names_json(const char *list)
{
	json_t *a = json_array();
	char name[CL_NAME_MAX];

	must(a);
	while (volume_name_next(&list, name))
		json_array_append_new(a, json_string(name));
	return a;
}

/* Names with commas between. */
static bool is_list(const struct db_field *f)
{
	return f->type == DB_TYPE_nodes || f->type == DB_TYPE_owners ||
	       (f->type == DB_TYPE_str &&
		(!strcmp(f->name, "volumes") || !strcmp(f->name, "groups")));
}

static json_t *value_json(const struct config_kind *k, const struct config_item *item)
{
	enum config_when when;
	const struct db_field *f = config_field(k, item->field, &when);
	json_t *definition;

	if (!f || f->type == DB_TYPE_choice)
		return json_string(item->value);
	if (f->type == DB_TYPE_flag)
		return json_boolean(!strcmp(item->value, "true"));
	if (f->type == DB_TYPE_nodes && !strcmp(item->value, "all"))
		return json_string(item->value);
	if (is_list(f))
		return names_json(item->value);
	if (f->type == DB_TYPE_str && !strcmp(f->name, "definition")) {
		definition = json_loads(item->value, 0, NULL);
		return definition ? definition : json_string(item->value);
	}
	if (f->type == DB_TYPE_str || f->type == DB_TYPE_node)
		return json_string(item->value);
	return json_integer((json_int_t)strtoull(item->value, NULL, 10));
}

static json_t *param_json(const struct config_item *item, bool shows_params)
{
	if (!shows_params || !item->value || config_item_is_private(item))
		return json_null();
	return json_string(item->value);
}

json_t *config_doc_json(const struct config_doc *doc, bool shows_params)
{
	json_t *o = json_object(), *object = NULL;

	must(o);
	for (size_t n = 0; n < CONFIG_KINDS; n++)
		json_object_set_new(o, config_kind_at(n)->section, json_array());
	for (size_t i = 0; i < doc->count; i++) {
		const struct config_item *item = &doc->item[i];
		const struct config_kind *k = config_kind_find(item->section);
		json_t *params = object ? json_object_get(object, "params") : NULL;

		if (!item->field[0]) {
			object = json_pack("{s:s}", db_kind_shape(k->kind)->field[0].name,
					   item->name);
			json_array_append_new(json_object_get(o, k->section), object);
			if (k->params)
				json_object_set_new(object, "params", json_object());
		} else if (param_of(item) && params) {
			json_object_set_new(params, param_of(item), param_json(item, shows_params));
		} else if (object) {
			json_object_set_new(object, item->field, value_json(k, item));
		}
	}
	return o;
}

/* ---- from JSON */

/* One object of the file on its way into items. */
struct reading {
	struct config_doc *doc;
	const struct config_kind *k;
	const char *mount_dir, *name;
	uint32_t place;
	char *why;
};

__attribute__((format(printf, 3, 4))) static bool wrong(struct reading *r, const char *field,
							const char *format, ...)
{
	size_t n = (size_t)snprintf(r->why, CONFIG_JSON_WHY, "%s[%u]%s%s: ", r->k->section,
				    r->place, field[0] ? "." : "", field);
	va_list ap;

	va_start(ap, format);
	if (n < CONFIG_JSON_WHY)
		vsnprintf(r->why + n, CONFIG_JSON_WHY - n, format, ap);
	va_end(ap);
	return false;
}

static void put(struct reading *r, const char *field, const char *value)
{
	add(r->doc, &(struct config_item){.section = r->k->section,
					  .name = r->name,
					  .field = field,
					  .value = value,
					  .place = r->place});
}

/* Texts with commas between. */
static bool put_list(struct reading *r, const char *field, const json_t *list)
{
	char text[DB_PARAMS_MAX] = "";
	size_t at = 0, i;
	json_t *v;

	json_array_foreach((json_t *)list, i, v)
	{
		const char *name = json_string_value(v);

		if (!name || !name[0] || strpbrk(name, ", \n\t") ||
		    at + strlen(name) + 2 > sizeof(text))
			return wrong(r, field, "entry %zu is no name", i);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? "," : "", name);
	}
	put(r, field, text);
	return true;
}

static bool put_definition(struct reading *r, const json_t *v)
{
	const char *name = json_string_value(json_object_get(v, "name"));
	char volumes[DB_NAMES_MAX] = "", why[CONFIG_JSON_WHY / 2];
	_cleanup_free_ char *text = NULL;

	if (!json_is_object(v) || !name || strcmp(name, r->name) != 0)
		return wrong(r, "definition", "an object whose name is %s", r->name);
	if (!config_disk_volumes(json_object_get(v, "disks"), r->mount_dir, NULL, volumes,
				 sizeof(volumes), why, sizeof(why)))
		return wrong(r, "definition", "%s", why);
	text = json_dumps(v, JSON_COMPACT);
	must(text);
	put(r, "definition", text);
	put(r, "volumes", volumes);
	return true;
}

static bool put_params(struct reading *r, const json_t *params)
{
	const char *name;
	json_t *v;

	if (!json_is_object(params))
		return wrong(r, "params", "an object of texts");
	json_object_foreach((json_t *)params, name, v)
	{
		char field[DB_FIELD_MAX];
		struct config_item item = {.field = field, .value = json_string_value(v)};

		if (!name[0] || strlen(name) >= CL_NAME_MAX || strpbrk(name, "=/\n\t") ||
		    (!json_is_string(v) && !json_is_null(v)))
			return wrong(r, "params", "%.64s: a name without '=' and '/', and a text",
				     name);
		snprintf(field, sizeof(field), CONFIG_PARAMS "%s", name);
		if (config_item_is_private(&item))
			return wrong(r, field,
				     "it would stand in the database for all to read; 'clusterctl "
				     "secret set NAME --file -', and then secret:NAME");
		put(r, field, item.value);
	}
	return true;
}

static bool put_scalar(struct reading *r, const struct db_field *f, const json_t *v)
{
	bool is_text = f->type == DB_TYPE_str || f->type == DB_TYPE_choice ||
		       f->type == DB_TYPE_node || is_list(f);
	char number[24];

	if (is_text && json_is_string(v)) {
		if (strpbrk(json_string_value(v), "\n\t"))
			return wrong(r, f->name, "a text without tabs and line breaks");
		put(r, f->name, json_string_value(v));
		return true;
	}
	if (f->type == DB_TYPE_flag && json_is_boolean(v)) {
		put(r, f->name, json_is_true(v) ? "true" : "false");
		return true;
	}
	if (!is_text && f->type != DB_TYPE_flag && json_is_integer(v) &&
	    json_integer_value(v) >= 0) {
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		put(r, f->name, number);
		return true;
	}
	return wrong(r, f->name, "%s",
		     is_text		       ? "a text"
		     : f->type == DB_TYPE_flag ? "true or false"
					       : "a number, 0 or more");
}

static bool put_member(struct reading *r, const char *key, const json_t *v)
{
	enum config_when when;
	const struct db_field *f = config_field(r->k, key, &when);

	if (!strcmp(key, db_kind_shape(r->k->kind)->field[0].name))
		return true;
	if (r->k->params && !strcmp(key, "params"))
		return put_params(r, v);
	if (!f)
		return wrong(r, key, "there is no such field in %s", r->k->section);
	if (!strcmp(key, "definition"))
		return put_definition(r, v);
	if (json_is_array(v) && is_list(f))
		return put_list(r, key, v);
	return put_scalar(r, f, v);
}

static bool read_object(struct reading *r, const json_t *object)
{
	const char *name_key = db_kind_shape(r->k->kind)->field[0].name, *key;
	json_t *v;

	if (!json_is_object(object))
		return wrong(r, "", "an object");
	r->name = json_string_value(json_object_get(object, name_key));
	if (!r->name || !r->name[0] || strpbrk(r->name, " \n\t"))
		return wrong(r, name_key, "a name");
	put(r, "", "");
	json_object_foreach((json_t *)object, key, v)
	{
		if (!put_member(r, key, v))
			return false;
	}
	return true;
}

/* In order, each object once. */
static bool sort_and_check(struct config_doc *doc, char why[CONFIG_JSON_WHY])
{
	config_doc_sort(doc);
	for (size_t i = 1; i < doc->count; i++) {
		const struct config_item *item = &doc->item[i];

		if (config_item_compare(&doc->item[i - 1], item))
			continue;
		snprintf(why, CONFIG_JSON_WHY, "%s[%u]: %.64s is there twice, see [%u]",
			 item->section, item->place, item->name, doc->item[i - 1].place);
		return false;
	}
	return true;
}

bool config_doc_from_json(struct config_doc *doc, const json_t *json, const char *mount_dir,
			  char why[CONFIG_JSON_WHY])
{
	const json_t *schema = json_object_get(json, "schema");
	const char *section;
	json_t *list, *object;
	size_t i;

	if (schema && json_integer_value(schema) != CONFIG_JSON_SCHEMA) {
		snprintf(why, CONFIG_JSON_WHY, "schema: %d, or nothing", CONFIG_JSON_SCHEMA);
		return false;
	}
	json_object_foreach((json_t *)json, section, list)
	{
		const struct config_kind *k = config_kind_find(section);

		if (!strcmp(section, "schema") || !strcmp(section, "cluster") ||
		    !strcmp(section, "version"))
			continue;
		if (!k || strcmp(k->section, section) != 0 || !json_is_array(list)) {
			snprintf(why, CONFIG_JSON_WHY, "%.64s: %s", section,
				 k ? "a list" : "there is no such section");
			return false;
		}
		json_array_foreach(list, i, object)
		{
			struct reading r = {.doc = doc,
					    .k = k,
					    .mount_dir = mount_dir,
					    .place = (uint32_t)i,
					    .why = why};

			if (!read_object(&r, object))
				return false;
		}
	}
	return sort_and_check(doc, why);
}

/* ---- disks */

/* The volume's name in mount_dir/NAME/..., without parts that lead elsewhere. */
static bool volume_of_path(const char *mount_dir, const char *path, char ret[CL_NAME_MAX])
{
	size_t dir = strlen(mount_dir), len;

	if (strncmp(path, mount_dir, dir) != 0 || path[dir] != '/')
		return false;
	for (const char *p = path + dir; *p; p++) {
		if (p[0] != '/')
			continue;
		len = strcspn(p + 1, "/");
		if (!len || (len <= 2 && !strncmp(p + 1, "..", len)))
			return false;
	}
	path += dir + 1;
	len = strcspn(path, "/");
	if (len >= CL_NAME_MAX || !path[len])
		return false;
	memcpy(ret, path, len);
	ret[len] = 0;
	return true;
}

bool config_disk_volumes(const json_t *disks, const char *mount_dir, const struct db *db, char *to,
			 size_t size, char *why, size_t why_size)
{
	size_t i;
	json_t *disk;

	if (disks && !json_is_array(disks)) {
		snprintf(why, why_size, "/disks: a list");
		return false;
	}
	json_array_foreach(disks, i, disk)
	{
		const char *path = json_string_value(json_object_get(disk, "path"));
		char name[CL_NAME_MAX];
		size_t at = strlen(to);

		if (!path || !volume_of_path(mount_dir, path, name)) {
			snprintf(why, why_size,
				 "/disks/%zu/path: '%.100s': a file on a volume, %s/VOLUME/..., "
				 "without empty, '.' and '..' parts",
				 i, path ? path : "", mount_dir);
			return false;
		}
		if (db && !db_find(db, DB_KIND_VOLUME, name)) {
			snprintf(why, why_size, "/disks/%zu/path: there is no volume %s", i, name);
			return false;
		}
		if (volume_is_named(to, name))
			continue;
		if (at + 1 + strlen(name) >= size) {
			snprintf(why, why_size, "disks on too many volumes");
			return false;
		}
		snprintf(to + at, size - at, "%s%s", at ? "," : "", name);
	}
	return true;
}
