/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words and fields of a scenario. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/placement.h"
#include "clusterd/core/vm.h"
#include "lib/must.h"
#include "tests/plan/scenario.h"

/* The type that says how wide it is. */
static enum db_type width(enum db_type type)
{
	switch (type) {
	case DB_TYPE_node:
		return DB_TYPE_u8;
	case DB_TYPE_nodes:
		return DB_TYPE_u16;
	case DB_TYPE_time:
	case DB_TYPE_mark:
		return DB_TYPE_u64;
	default:
		return type;
	}
}

/* A node by its name: of a key there is always one, so that its slot is a plain number. */
static bool is_node(const struct db_field *f)
{
	return f->type == DB_TYPE_node || (f->type == DB_TYPE_u8 && !strcmp(f->name, "slot"));
}

void scenario_fault(struct scenario *s, const char *format, ...)
{
	char what[SCENARIO_LINE_MAX / 2];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	snprintf(s->fault_text, sizeof(s->fault_text), "%.400s:%d: %s", s->file, s->line, what);
	longjmp(*s->fault, 1);
}

/* ---- words */

/* The end of a word; quotes keep blanks in it and go. */
static char *word_end(struct scenario *s, char *at)
{
	char *to = at;
	bool is_quoted = false;

	for (; *at && (is_quoted || !strchr(" \t", *at)); at++) {
		if (*at == '"')
			is_quoted = !is_quoted;
		else
			*to++ = *at;
	}
	if (is_quoted)
		scenario_fault(s, "a quote has no end");
	if (*at)
		at++;
	*to = 0;
	return at;
}

bool scenario_split(struct scenario *s, const char *text, struct scenario_line *ret)
{
	size_t len = strcspn(text, "\n");
	char *at = ret->text;

	if (len >= sizeof(ret->text))
		scenario_fault(s, "a line of %zu bytes is too long", len);
	memcpy(at, text, len);
	at[len] = 0;
	ret->count = 0;
	for (at += strspn(at, " \t"); *at && *at != '#'; at += strspn(at, " \t")) {
		if (ret->count == SCENARIO_WORDS_MAX)
			scenario_fault(s, "too many words");
		ret->word[ret->count++] = at;
		at = word_end(s, at);
	}
	return ret->count > 0;
}

/* ---- nodes */

const struct scenario_node *scenario_node(struct scenario *s, const char *name)
{
	for (uint8_t i = 0; i < s->node_count; i++) {
		if (!strcmp(s->node[i].name, name))
			return &s->node[i];
	}
	scenario_fault(s, "no node %s", name);
}

/* As long as before, as texts are cut where they get too long. */
static void rename_node(const struct scenario *s, struct scenario_node *n, uint8_t i)
{
	size_t len = strlen(n->name) < 2 ? 2 : strlen(n->name);
	int spread = s->node_total > 1 ? (CL_MAX_NODES - 1) / (s->node_total - 1) : 1;

	if (!s->keeps_slots)
		n->slot = (uint8_t)(CL_MAX_NODES - 1 - spread * (s->node_total - 1 - i));
	memset(n->alias, '_', len);
	n->alias[0] = 'Z';
	n->alias[len - 1] = (char)('P' - i);
	n->alias[len] = 0;
}

const struct scenario_node *scenario_node_new(struct scenario *s, const char *name)
{
	struct scenario_node *n = &s->node[s->node_count];
	uint8_t i = s->node_count;

	for (uint8_t k = 0; k < s->node_count; k++) {
		if (!strcmp(s->node[k].name, name))
			scenario_fault(s, "node %s is there already", name);
	}
	if (s->node_count == s->node_total || strlen(name) >= CL_NAME_MAX)
		scenario_fault(s, "no room for node %s", name);
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->slot = i;
	snprintf(n->alias, sizeof(n->alias), "%s", name);
	if (s->is_renamed)
		rename_node(s, n, i);
	s->node_count++;
	return n;
}

void scenario_print(struct scenario *s, const char *text)
{
	while (*text) {
		const struct scenario_node *n = NULL;

		for (uint8_t i = 0; s->is_renamed && i < s->node_count && !n; i++) {
			if (!strncmp(text, s->node[i].alias, strlen(s->node[i].alias)))
				n = &s->node[i];
		}
		if (n)
			fputs(n->name, s->out);
		else
			fputc(*text, s->out);
		text += n ? strlen(n->alias) : 1;
	}
}

/* ---- values */

/*
 * "@web" is the number of what web has under way: a migration, or, to be cancelled, its task; "@n1"
 * that of the task of a node.
 */
static uint64_t number_of(struct scenario *s, const struct db_shape *shape, const char *name)
{
	const struct db_vm *v = db_find(&s->db, DB_KIND_VM, name);
	const struct db_group *g = db_find(&s->db, DB_KIND_GROUP, name);
	const struct db_volume *volume = db_find(&s->db, DB_KIND_VOLUME, name);
	const struct db_migration *m = v ? vm_migration(&s->db, v) : NULL;

	if (m)
		return strcmp(shape->name, "task_cancel") ? m->id : m->task;
	if (g && g->task)
		return g->task;
	if (volume && volume->task)
		return volume->task;
	for (uint8_t i = 0; i < s->node_count; i++) {
		for (uint32_t k = 0; k < db_count(&s->db, DB_KIND_TASK); k++) {
			const struct db_task *t = db_at(&s->db, DB_KIND_TASK, k);

			if (!strcmp(s->node[i].name, name) &&
			    !strcmp(s->node[i].alias, t->object) &&
			    t->state == DB_TASK_STATE_RUNNING)
				return t->id;
		}
	}
	scenario_fault(s, "%s has neither a migration nor a task", name);
}

static uint64_t number(struct scenario *s, const struct db_shape *shape, const struct db_field *f,
		       const char *value, uint64_t max)
{
	char *end;
	unsigned long long n;

	if (*value == '@')
		return number_of(s, shape, value + 1);
	errno = 0;
	n = strtoull(value, &end, 0);
	if (errno || end == value || *end || n > max)
		scenario_fault(s, "%s=%s: not a number up to %llu", f->name, value,
			       (unsigned long long)max);
	return n;
}

static uint8_t word_of(struct scenario *s, const struct db_field *f, const char *value)
{
	for (uint8_t i = 0; i < f->word_count; i++) {
		if (!strcmp(f->words[i], value))
			return i;
	}
	scenario_fault(s, "%s has no value %s, but for example %s", f->name, value, f->words[0]);
}

static uint16_t node_set(struct scenario *s, const char *value)
{
	char name[CL_NAME_MAX];
	uint16_t set = 0;

	if (!strcmp(value, "all"))
		return UINT16_MAX;
	while (strcmp(value, "none") != 0 && *value) {
		size_t len = strcspn(value, ",");

		if (len >= sizeof(name))
			scenario_fault(s, "no node %s", value);
		memcpy(name, value, len);
		name[len] = 0;
		set = (uint16_t)(set | cl_bit(scenario_node(s, name)->slot));
		value += len + (value[len] == ',');
	}
	return set;
}

/* The same in an order: "n2,n1". */
static void owner_list(struct scenario *s, const char *value, uint8_t *owners)
{
	char name[CL_NAME_MAX];

	while (strcmp(value, "none") != 0 && *value) {
		size_t len = strcspn(value, ",");

		if (len >= sizeof(name))
			scenario_fault(s, "no node %s", value);
		memcpy(name, value, len);
		name[len] = 0;
		if (!placement_owner_add(owners, scenario_node(s, name)->slot))
			scenario_fault(s, "%s is named twice", name);
		value += len + (value[len] == ',');
	}
}

/* Its field `name` is that of a node. */
static bool is_about_node(const struct db_shape *shape)
{
	return !strncmp(shape->name, "node", 4) || !strcmp(shape->name, "fence_note") ||
	       !strcmp(shape->name, "fence_ask");
}

static void put_text(struct scenario *s, const struct db_shape *shape, const struct db_field *f,
		     void *p, const char *value)
{
	if (is_about_node(shape) && !strcmp(f->name, "name"))
		value = scenario_node(s, value)->alias;
	if (strlen(value) >= f->size)
		scenario_fault(s, "%s is longer than %u", f->name, f->size - 1);
	memcpy(p, value, strlen(value) + 1);
}

static void put_value(struct scenario *s, const struct db_shape *shape, const struct db_field *f,
		      void *row, const char *value)
{
	void *p = (char *)row + f->offset;

	switch (f->type) {
	case DB_TYPE_str:
		put_text(s, shape, f, p, value);
		break;
	case DB_TYPE_u8:
	case DB_TYPE_node:
		*(uint8_t *)p = !is_node(f) ? (uint8_t)number(s, shape, f, value, UINT8_MAX)
				: strcmp(value, "none") != 0 ? scenario_node(s, value)->slot
							     : CL_NODE_NONE;
		break;
	case DB_TYPE_u16:
		*(uint16_t *)p = (uint16_t)number(s, shape, f, value, UINT16_MAX);
		break;
	case DB_TYPE_nodes:
		*(uint16_t *)p = node_set(s, value);
		break;
	case DB_TYPE_owners:
		owner_list(s, value, p);
		break;
	case DB_TYPE_verdicts:
	case DB_TYPE_scores:
		scenario_fault(s, "%s is the planner's, and not to be given", f->name);
	case DB_TYPE_u32:
		*(uint32_t *)p = (uint32_t)number(s, shape, f, value, UINT32_MAX);
		break;
	case DB_TYPE_u64:
	case DB_TYPE_time:
	case DB_TYPE_mark: {
		uint64_t n = number(s, shape, f, value, UINT64_MAX);

		memcpy(p, &n, sizeof(n));
		break;
	}
	case DB_TYPE_flag:
		if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
			scenario_fault(s, "%s is yes or no", f->name);
		*(bool *)p = !strcmp(value, "yes");
		break;
	case DB_TYPE_choice:
		*(uint8_t *)p = word_of(s, f, value);
		break;
	}
}

/* ---- fields */

static int field_at(const struct db_shape *shape, const char *name, size_t len)
{
	for (uint8_t i = 0; i < shape->field_count; i++) {
		if (strlen(shape->field[i].name) == len &&
		    !strncmp(shape->field[i].name, name, len))
			return i;
	}
	return -1;
}

static void start_with_no_node(const struct db_shape *shape, void *row)
{
	for (uint8_t i = 0; i < shape->field_count; i++) {
		const struct db_field *f = &shape->field[i];

		if (is_node(f))
			*((uint8_t *)row + f->offset) = CL_NODE_NONE;
	}
}

uint64_t scenario_fields(struct scenario *s, const struct db_shape *shape,
			 const struct scenario_line *line, void *row)
{
	uint64_t given = 0;

	must(shape->field_count <= 64);
	memset(row, 0, shape->size);
	start_with_no_node(shape, row);
	for (size_t i = 1; i < line->count; i++) {
		const char *word = line->word[i], *value = strchr(word, '=');
		size_t len = value ? (size_t)(value - word) : strlen(word);
		int at = value ? field_at(shape, word, len) : i == 1 ? 0 : -1;

		if (at < 0)
			scenario_fault(s, "%s has no field %.*s", shape->name, (int)len, word);
		if (given & UINT64_C(1) << at)
			scenario_fault(s, "%s is given twice", shape->field[at].name);
		given |= UINT64_C(1) << at;
		put_value(s, shape, &shape->field[at], row, value ? value + 1 : word);
	}
	return given;
}

void *scenario_field(const struct db_shape *shape, void *row, const char *name, enum db_type type)
{
	int at = field_at(shape, name, strlen(name));

	return at >= 0 && width(shape->field[at].type) == type
		       ? (char *)row + shape->field[at].offset
		       : NULL;
}

bool scenario_has(const struct db_shape *shape, uint64_t given, const char *name)
{
	int at = field_at(shape, name, strlen(name));

	return at >= 0 && (given & UINT64_C(1) << at);
}
