/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/must.h"

/* ---- from rows to a tree */

static void collect(const struct db *db, const char *group, struct tree *t)
{
	t->count = 0;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_RESOURCE) && t->count < TREE_MAX; i++) {
		const struct db_resource *r = db_at(db, DB_KIND_RESOURCE, i);
		size_t at = t->count;

		if (strcmp(r->group, group) != 0)
			continue;
		while (at && t->node[at - 1].row->position > r->position) {
			t->node[at].row = t->node[at - 1].row;
			at--;
		}
		t->node[at].row = r;
		t->count++;
	}
}

int tree_find(const struct tree *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++) {
		if (!strcmp(t->node[i].row->name, name))
			return (int)i;
	}
	return -1;
}

struct lookup {
	const struct db *db;
	const struct tree *tree;
	const char *self;
};

static int lookup(void *arg, const char *name, const char **why)
{
	const struct lookup *l = arg;
	int n = tree_find(l->tree, name);

	if (!strcmp(name, l->self)) {
		*why = "a resource cannot depend on itself";
		return -1;
	}
	if (n < 0)
		*why = db_find(l->db, DB_KIND_RESOURCE, name) ? "that resource is of another group"
							      : "there is no such resource";
	return n;
}

/* Who depends only on what is in order already goes next. */
static size_t sort(struct tree *t, bool *is_placed)
{
	size_t n = 0, before;

	do {
		before = n;
		for (size_t i = 0; i < t->count; i++) {
			const struct depends *d = &t->node[i].depends;
			bool is_ready = !is_placed[i];

			for (uint16_t k = 0; k < d->count && is_ready; k++)
				is_ready = d->token[k] < 0 || is_placed[d->token[k]];
			if (!is_ready)
				continue;
			is_placed[i] = true;
			t->order[n++] = (uint16_t)i;
		}
	} while (n > before);
	return n;
}

/* Of one that is not in order: what it names and is not in order either. */
static size_t next_unplaced(const struct tree *t, const bool *is_placed, size_t i)
{
	const struct depends *d = &t->node[i].depends;
	uint16_t k = 0;

	while (d->token[k] < 0 || is_placed[d->token[k]])
		k++;
	return (size_t)d->token[k];
}

static void tell_cycle(const struct tree *t, const bool *is_placed, char *why, size_t size)
{
	size_t at, i = 0, first;

	while (is_placed[i])
		i++;
	for (size_t steps = 0; steps < t->count; steps++) /* into the cycle */
		i = next_unplaced(t, is_placed, i);
	first = i;
	at = (size_t)snprintf(why, size, "a cycle: %s", t->node[i].row->name);
	do {
		i = next_unplaced(t, is_placed, i);
		if (at < size)
			at += (size_t)snprintf(why + at, size - at, " needs %s",
					       t->node[i].row->name);
	} while (i != first);
}

int tree_make(const struct db *db, const char *group, const char *name, const char *instead,
	      struct tree *ret, char *why, size_t size)
{
	bool is_placed[TREE_MAX] = {false};
	char what[160];

	collect(db, group, ret);
	ret->is_list = true;
	for (size_t i = 0; i < ret->count; i++) {
		const struct db_resource *r = ret->node[i].row;
		struct lookup l = {db, ret, r->name};
		bool is_it = instead && !strcmp(r->name, name);
		const char *text = is_it ? instead : r->depends;

		ret->node[i].depends.count = 0;
		if (depends_parse(text, lookup, &l, &ret->node[i].depends, what, sizeof(what))) {
			snprintf(why, size, "depends of %s: %s", r->name, what);
			return -EINVAL;
		}
		ret->is_list = ret->is_list && !ret->node[i].depends.count;
	}
	for (size_t i = 1; i < ret->count && ret->is_list; i++)
		ret->node[i].depends = (struct depends){.count = 1, .token = {(int16_t)(i - 1)}};
	if (sort(ret, is_placed) == ret->count)
		return 0;
	tell_cycle(ret, is_placed, why, size);
	return -EINVAL;
}

/* ---- what can run */

/* Without those that are off, and the failed ones if they count. */
static void attain(const struct tree *t, const struct tree_situation *s, bool failed_count,
		   bool *ret)
{
	for (size_t k = 0; k < t->count; k++) {
		size_t i = t->order[k];
		const struct tree_resource *r = &s->resource[i];

		ret[i] = r->is_unmanaged || (!r->is_off && !(failed_count && r->is_failed) &&
					     depends_is_true(&t->node[i].depends, ret));
	}
}

/*
 * A failure is lived with where it takes away nothing but an alternative: what would run without it
 * has others that need it, and these run all the same, or are such alternatives themselves.
 */
static bool is_lost(const struct tree *t, const struct tree_situation *s)
{
	bool now[TREE_MAX], healthy[TREE_MAX];
	bool has_user[TREE_MAX] = {false};

	attain(t, s, true, now);
	attain(t, s, false, healthy);
	for (size_t k = t->count; k-- > 0;) {
		size_t i = t->order[k];
		const struct depends *d = &t->node[i].depends;
		bool is_fine = now[i] || has_user[i];

		if (!healthy[i])
			continue;
		if (!is_fine)
			return true;
		for (uint16_t n = 0; n < d->count; n++) {
			if (d->token[n] >= 0)
				has_user[d->token[n]] = true;
		}
	}
	return false;
}

/* ---- the next step */

struct view {
	bool stays[TREE_MAX];  /* up or starting, and nothing is against it */
	bool counts[TREE_MAX]; /* of these the ones that are up: others can build on them */
	bool is_ready[TREE_MAX];
	bool is_barred[TREE_MAX]; /* something that is on its way down still needs it */
};

static void look(const struct tree *t, const struct tree_situation *s, struct view *v)
{
	*v = (struct view){0};
	for (size_t k = 0; k < t->count; k++) {
		size_t i = t->order[k];
		const struct tree_resource *r = &s->resource[i];
		bool is_kept = s->is_wanted && r->is_unmanaged;
		bool shall =
			is_kept || (s->is_wanted && !r->is_off && !r->is_failed && !r->must_stop &&
				    depends_is_true(&t->node[i].depends, v->counts));

		v->counts[i] = is_kept || (shall && r->state == TREE_UP);
		v->stays[i] = v->counts[i] || (shall && r->state == TREE_STARTING);
		v->is_ready[i] = shall && !is_kept && r->state == TREE_DOWN;
	}
	for (size_t i = 0; i < t->count; i++) {
		const struct depends *d = &t->node[i].depends;

		if (s->resource[i].state == TREE_DOWN || v->stays[i])
			continue;
		for (uint16_t n = 0; n < d->count; n++) {
			if (d->token[n] >= 0)
				v->is_barred[d->token[n]] = true;
		}
	}
}

static bool holds(const struct tree *t, const struct tree_situation *s)
{
	for (size_t i = 0; i < t->count; i++) {
		if (s->resource[i].is_unmanaged)
			return true;
	}
	return false;
}

void tree_step(const struct tree *t, const struct tree_situation *s, struct tree_step *ret)
{
	struct view v;
	bool works = false, is_down = true;

	*ret = (struct tree_step){.verdict = TREE_IS_LOST};
	if (s->is_wanted && is_lost(t, s)) {
		ret->is_held = holds(t, s);
		if (!ret->is_held)
			return;
	}
	look(t, s, &v);
	for (size_t i = 0; i < t->count; i++) {
		enum tree_state state = s->resource[i].state;

		if (v.is_ready[i])
			ret->action[i] = TREE_START;
		else if ((state == TREE_UP || state == TREE_STARTING) && !v.stays[i] &&
			 !v.is_barred[i])
			ret->action[i] = TREE_STOP;
		is_down = is_down && state == TREE_DOWN;
		works = works || ret->action[i] != TREE_NOTHING || state == TREE_STARTING ||
			state == TREE_STOPPING;
	}
	if (s->is_wanted)
		ret->verdict = works ? TREE_WORKS : TREE_IS_UP;
	else
		ret->verdict = is_down ? TREE_IS_DOWN : TREE_WORKS;
}

void tree_need(const struct tree *t, const bool *is_up, int off, bool *ret)
{
	bool then[TREE_MAX];

	for (size_t k = 0; k < t->count; k++) {
		size_t i = t->order[k];

		then[i] = is_up[i] && (int)i != off && depends_is_true(&t->node[i].depends, then);
		ret[i] = is_up[i] && (int)i != off && !then[i];
	}
}
