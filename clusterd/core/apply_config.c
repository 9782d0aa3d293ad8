/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands that set one field of what may be configured, and that keep the whole of it. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/config.h"
#include "lib/must.h"

/* ---- fields */

/* Kind and row, or an answer. */
static void *object_find(struct apply *a, const char *kind, const char *name,
			 const struct config_kind **ret)
{
	const struct config_kind *k = config_kind_find(kind);
	void *row = k ? db_find(a->db, k->kind, name) : NULL;

	*ret = k;
	if (!k)
		apply_answer(a, DB_INVALID, "%s: nothing of that kind can be configured", kind);
	else if (!row || !config_is_there(k, row))
		apply_answer(a, DB_NO_SUCH, "no %s %s", kind, name);
	else
		return row;
	return NULL;
}

static bool may_set(struct apply *a, const struct config_kind *k, const void *row,
		    enum config_when when, const char *field)
{
	const char *bar = when == CONFIG_OFFLINE ? config_bar(a->db, k, row) : NULL;

	if (when == CONFIG_NEVER)
		apply_answer(a, DB_REFUSED,
			     "%s cannot be changed: delete the %s and create it anew", field,
			     db_kind_shape(k->kind)->name);
	else if (bar)
		apply_answer(a, DB_REFUSED, "%s cannot be changed now: %s", field, bar);
	return when != CONFIG_NEVER && !bar;
}

static bool is_param(const char *field)
{
	return !strncmp(field, CONFIG_PARAMS, strlen(CONFIG_PARAMS)) &&
	       field[strlen(CONFIG_PARAMS)] && !strchr(field, '/') && !strchr(field, '=');
}

/* Its key in `param`; false with an answer. */
static bool param_key(struct apply *a, const struct config_kind *k, const void *row,
		      const char *field, char key[DB_KEY_MAX])
{
	int n;

	if (!k->params || !is_param(field)) {
		apply_answer(a, DB_INVALID, "no such field: %s", field);
		return false;
	}
	n = snprintf(key, DB_KEY_MAX, "%s%s/%s", k->params, (const char *)row,
		     field + strlen(CONFIG_PARAMS));
	must(n > 0 && n < DB_KEY_MAX);
	return may_set(a, k, row, k->params_when, field);
}

static void set_param(struct apply *a, const struct config_kind *k, const void *row,
		      const struct db_cmd_config_set *c)
{
	char key[DB_KEY_MAX], line[DB_PARAMS_MAX + 8];

	if (!param_key(a, k, row, c->field, key))
		return;
	snprintf(line, sizeof(line), "x=%s\n", c->value);
	if (!secrets_exist(a, line))
		return;
	if (strlen(c->value) >= DB_VALUE_MAX || strchr(c->value, '\n'))
		apply_answer(a, DB_INVALID, "%s: at most %d bytes without line breaks", c->field,
			     DB_VALUE_MAX - 1);
	else if (!apply_param_set(a->db, key, c->value))
		apply_answer(a, DB_REFUSED, "no room for another parameter");
	else
		apply_event(a, "config-set", c->name, "%s %s, by %s", c->kind, c->field,
			    a->cmd->actor);
}

/* Of a virtual machine, the volumes that its group needs follow from the definition. */
static bool is_vm_volumes(const struct config_kind *k, const char *field)
{
	return k->kind == DB_KIND_VM && !strcmp(field, "volumes");
}

static bool may_have(struct apply *a, const struct config_kind *k, const void *row,
		     const struct db_cmd_config_set *c)
{
	if (k->kind == DB_KIND_AFFINITY && !strcmp(c->field, "groups"))
		return place_members_fit(a, c->value);
	if (strcmp(c->field, "volumes") != 0)
		return true;
	if (config_follows(a->db, k, row, c->field) && strcmp(c->kind, "vm") != 0) {
		apply_answer(a, DB_REFUSED,
			     "volumes: they follow from the virtual machine's disks");
		return false;
	}
	return volumes_exist(a, c->value);
}

static void set_setting(struct apply *a, const struct db_cmd_config_set *c)
{
	struct db_cmd_setting_set s = {0};

	COPY(s.key, c->name);
	COPY(s.value, c->value);
	do_setting_set(a, &s);
}

/* One of the fields that have to fit together: the others stay. */
static void set_place(struct apply *a, const struct config_kind *k, const struct db_field *f,
		      const struct db_group *g, const char *value)
{
	struct db_group now = *g;
	struct db_cmd_group_place place;
	char why[DB_REASON_MAX / 2];

	if (!config_parse(a->db, k, f, value, &now, why, sizeof(why))) {
		apply_answer(a, DB_INVALID, "%s: '%.40s': %s", f->name, value, why);
	} else if (!now.possible) {
		apply_answer(a, DB_INVALID, "possible: at least one node, or all");
	} else {
		config_place_command(&now, &place);
		do_group_place(a, &place);
	}
}

static bool is_reserve(const char *field)
{
	return !strcmp(field, "memory_mib") || !strcmp(field, "cpu_pct");
}

static void set_reserve(struct apply *a, const struct config_kind *k, const struct db_field *f,
			const struct db_group *g, const char *value)
{
	struct db_cmd_group_reserve reserve = {0};
	struct db_group now = *g;
	char why[DB_REASON_MAX / 2];

	if (!config_parse(a->db, k, f, value, &now, why, sizeof(why))) {
		apply_answer(a, DB_INVALID, "%s: '%.40s': %s", f->name, value, why);
		return;
	}
	COPY(reserve.name, g->name);
	reserve.memory_mib = now.memory_mib;
	reserve.cpu_pct = now.cpu_pct;
	do_group_reserve(a, &reserve);
}

/* What the machine needs follows from its definition; the text goes back if that is too much. */
static bool definition_fits(struct apply *a, struct db_vm *v, const char *before)
{
	struct db_group *g = db_find(a->db, DB_KIND_GROUP, v->name);
	struct db_group was;

	must(g);
	was = *g;
	vm_definition_changed(a->db, v);
	if (admission_raise(a, g, &was))
		return true;
	*g = was;
	COPY(v->definition, before);
	return false;
}

static void set_field(struct apply *a, const struct db_cmd_config_set *c)
{
	const struct config_kind *k;
	void *row = object_find(a, c->kind, c->name, &k);
	const struct db_field *f;
	enum config_when when;
	char before[DB_PARAMS_MAX], why[DB_REASON_MAX / 2];

	if (!row)
		return;
	if (is_vm_volumes(k, c->field)) {
		k = config_kind_find("group");
		row = db_find(a->db, DB_KIND_GROUP, c->name);
		must(row);
	}
	f = config_field(k, c->field, &when);
	if (f && db_field_since(db_kind_shape(k->kind), f) > a->db->version)
		f = NULL; /* as on a node whose build does not have it */
	if (!f) {
		set_param(a, k, row, c);
		return;
	}
	if (config_is_place(k, c->field)) {
		set_place(a, k, f, row, c->value);
		return;
	}
	if (k->kind == DB_KIND_GROUP && is_reserve(c->field)) {
		set_reserve(a, k, f, row, c->value);
		return;
	}
	config_text(a->db, f, row, before, sizeof(before));
	if (!strcmp(before, c->value) || !may_set(a, k, row, when, c->field) ||
	    !may_have(a, k, row, c))
		return;
	if (!config_parse(a->db, k, f, c->value, row, why, sizeof(why)))
		apply_answer(a, DB_INVALID, "%s: '%.40s': %s", c->field, c->value, why);
	else if (k->kind == DB_KIND_VM && !strcmp(c->field, "definition") &&
		 !definition_fits(a, row, before))
		return;
	else if (f->size > DB_VALUE_MAX)
		apply_event(a, "config-set", c->name, "%s %s, by %s", c->kind, c->field,
			    a->cmd->actor);
	else
		apply_event(a, "config-set", c->name, "%s %s to %.60s from %.60s, by %s", c->kind,
			    c->field, c->value, before, a->cmd->actor);
}

void do_config_set(struct apply *a, const struct db_cmd_config_set *c)
{
	if (!strcmp(c->kind, "setting") && !strcmp(c->field, "value"))
		set_setting(a, c);
	else
		set_field(a, c);
}

void do_config_unset(struct apply *a, const struct db_cmd_config_unset *c)
{
	const struct config_kind *k;
	void *row = object_find(a, c->kind, c->name, &k);
	struct db_param *p;
	char key[DB_KEY_MAX];

	if (!row || !param_key(a, k, row, c->field, key))
		return;
	p = db_find(a->db, DB_KIND_PARAM, key);
	if (!p) {
		apply_answer(a, DB_NO_SUCH, "%s %s has no %s", c->kind, c->name, c->field);
		return;
	}
	db_remove(a->db, DB_KIND_PARAM, p);
	apply_event(a, "config-set", c->name, "%s: %s is gone, by %s", c->kind, c->field,
		    a->cmd->actor);
}
