/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration as a list of items, and the text of a checkpoint. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/config.h"
#include "lib/must.h"

#define PART_BYTES (DB_PARAMS_MAX - 1)

/* ---- items */

static void object_each(const struct db *db, const struct config_kind *k, const void *row,
			void (*take)(void *arg, const struct config_item *item), void *arg)
{
	char text[DB_PARAMS_MAX], field[DB_FIELD_MAX];
	struct config_item item = {.section = k->section, .name = row, .field = "", .value = ""};
	const struct db_field *f;
	const struct db_param *p;
	const char *name;

	take(arg, &item);
	item.value = text;
	for (uint32_t i = 0; (f = config_field_at(k, i)); i++) {
		if (config_follows(db, k, row, f->name))
			continue;
		config_text(db, f, row, text, sizeof(text));
		item.field = f->name;
		take(arg, &item);
	}
	item.field = field;
	for (uint32_t i = 0; (p = config_param_at(db, k, row, i, &name)); i++) {
		snprintf(field, sizeof(field), CONFIG_PARAMS "%.64s", name);
		item.value = p->value;
		take(arg, &item);
	}
}

void config_each(const struct db *db, void (*take)(void *arg, const struct config_item *item),
		 void *arg)
{
	for (size_t n = 0; n < CONFIG_KINDS; n++) {
		const struct config_kind *k = config_kind_at(n);

		for (uint32_t i = 0; i < db_count(db, k->kind); i++) {
			const void *row = db_at(db, k->kind, i);

			if (config_is_there(k, row))
				object_each(db, k, row, take, arg);
		}
	}
}

bool config_item_parse(char *line, struct config_item *ret)
{
	char *part[4];

	for (int i = 0; i < 4; i++) {
		part[i] = line;
		if (i == 3)
			break;
		line = strchr(line, '\t');
		if (!line)
			return false;
		*line++ = 0;
	}
	*ret = (struct config_item){
		.section = part[0], .name = part[1], .field = part[2], .value = part[3]};
	return true;
}

static size_t section_order(const char *section)
{
	size_t i = 0;

	while (i < CONFIG_KINDS && strcmp(config_kind_at(i)->section, section) != 0)
		i++;
	return i;
}

int config_item_compare(const struct config_item *a, const struct config_item *b)
{
	size_t x = section_order(a->section), y = section_order(b->section);
	int c = x < y ? -1 : x > y;

	if (!c)
		c = strcmp(a->name, b->name);
	return c ? c : strcmp(a->field, b->field);
}

/* ---- checkpoints */

/* Lines on their way into parts. */
struct writer {
	struct apply *a;
	const char *name;
	char text[DB_PARAMS_MAX];
	uint32_t used, parts;
	uint64_t bytes;
	bool is_full;
};

static void part_end(struct writer *w)
{
	char key[DB_KEY_MAX];
	struct db_checkpoint_part *p;

	if (!w->used || w->is_full)
		return;
	snprintf(key, sizeof(key), "%s/%05u", w->name, w->parts);
	p = db_insert(w->a->db, DB_KIND_CHECKPOINT_PART, key);
	if (!p) {
		w->is_full = true;
		return;
	}
	w->text[w->used] = 0;
	memcpy(p->text, w->text, w->used + 1);
	w->parts++;
	w->used = 0;
}

static void put(struct writer *w, const char *text, char end)
{
	size_t n = strlen(text);

	for (size_t i = 0; i <= n; i++) {
		w->text[w->used++] = i < n ? text[i] : end;
		w->bytes++;
		if (w->used == PART_BYTES)
			part_end(w);
		if (w->is_full)
			return;
	}
}

static void put_item(void *arg, const struct config_item *item)
{
	struct writer *w = arg;

	if (w->is_full)
		return;
	put(w, item->section, '\t');
	put(w, item->name, '\t');
	put(w, item->field, '\t');
	put(w, item->value, '\n');
}

static void remove_parts(struct db *db, const char *name)
{
	char prefix[DB_KEY_MAX];
	size_t n = (size_t)snprintf(prefix, sizeof(prefix), "%s/", name);
	uint32_t at = db_lower(db, DB_KIND_CHECKPOINT_PART, prefix);

	while (at < db_count(db, DB_KIND_CHECKPOINT_PART)) {
		const struct db_checkpoint_part *p = db_at(db, DB_KIND_CHECKPOINT_PART, at);

		if (strncmp(p->key, prefix, n) != 0)
			break;
		db_remove(db, DB_KIND_CHECKPOINT_PART, p);
	}
}

void do_checkpoint_create(struct apply *a, const struct db_cmd_checkpoint_create *c)
{
	struct writer w = {.a = a, .name = c->name};
	struct db_checkpoint *row;

	if (!c->name[0] || strchr(c->name, '/')) {
		apply_answer(a, DB_INVALID, "a checkpoint needs a name without '/'");
		return;
	}
	if (db_find(a->db, DB_KIND_CHECKPOINT, c->name)) {
		apply_answer(a, DB_CONFLICT, "checkpoint %s exists", c->name);
		return;
	}
	if (db_count(a->db, DB_KIND_CHECKPOINT) == a->db->limits.capacity[DB_KIND_CHECKPOINT]) {
		apply_answer(a, DB_REFUSED, "%u checkpoints are kept already: delete one",
			     db_count(a->db, DB_KIND_CHECKPOINT));
		return;
	}
	config_each(a->db, put_item, &w);
	part_end(&w);
	if (w.is_full) {
		remove_parts(a->db, c->name);
		apply_answer(a, DB_REFUSED,
			     "no room for the text of another checkpoint: delete one first");
		return;
	}
	row = db_insert(a->db, DB_KIND_CHECKPOINT, c->name);
	must(row);
	row->at_ms = a->cmd->at_ms;
	row->index = a->entry->index;
	COPY(row->actor, a->cmd->actor);
	row->parts = w.parts;
	row->bytes = (uint32_t)w.bytes;
	apply_event(a, "checkpoint-created", c->name, "%u bytes, by %s", row->bytes, a->cmd->actor);
}

void do_checkpoint_delete(struct apply *a, const struct db_cmd_checkpoint_delete *c)
{
	const struct db_checkpoint *row = db_find(a->db, DB_KIND_CHECKPOINT, c->name);

	if (!row) {
		apply_answer(a, DB_NO_SUCH, "no checkpoint %s", c->name);
		return;
	}
	remove_parts(a->db, c->name);
	db_remove(a->db, DB_KIND_CHECKPOINT, row);
	apply_event(a, "checkpoint-deleted", c->name, "by %s", a->cmd->actor);
}
