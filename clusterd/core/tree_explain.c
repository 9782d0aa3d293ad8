/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/tree.h"

struct words {
	char *text;
	size_t at, size;
};

__attribute__((format(printf, 2, 3))) static void add(struct words *w, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(w->text + w->at, w->size - w->at, format, ap);
	va_end(ap);
	w->at = (size_t)n < w->size - w->at ? w->at + (size_t)n : w->size - 1;
}

static const char *state(const struct db_resource *r)
{
	if (r->is_unmanaged)
		return "unmanaged";
	if (r->is_stopped && r->work == DB_WORK_OFFLINE)
		return "stopped";
	return db_choice_word(DB_KIND_RESOURCE, "work", r->work);
}

static void add_failed(struct words *w, const struct db_resource *r)
{
	add(w, "failed, and is not started any more: %s; 'resource clear %s' tries it again",
	    r->reason, r->name);
}

static void add_state(struct words *w, const struct db *db, const struct db_group *g,
		      const struct db_resource *r)
{
	char period[AGE_TEXT_MAX];

	age_text(r->restart_ms, period);
	if (g->is_unmanaged || r->is_unmanaged)
		add(w, "unmanaged, so watched only: %s%s",
		    r->work == DB_WORK_ONLINE	? "it runs"
		    : r->work == DB_WORK_FAILED ? "it has failed: "
						: "its group is not online",
		    r->work == DB_WORK_FAILED ? r->reason : "");
	else if (r->is_stopped)
		add(w,
		    "stopped by an administrator: 'resource start %s' lets it run with its group",
		    r->name);
	else if (!g->lock)
		add(w, "offline with its group");
	else if (r->work == DB_WORK_FAILED)
		add_failed(w, r);
	else if (r->work == DB_WORK_ONLINE)
		add(w, "runs on %s; %u of %u restarts within %s are used",
		    db_node_name(db, g->node), r->restarts, r->restart_max, period);
	else
		add(w, "offline: %s", r->reason[0] ? r->reason : "its group starts or stops");
	if (r->asked != DB_RESOURCE_ASK_NOTHING)
		add(w, "; still to %s, asked by %s",
		    db_choice_word(DB_KIND_RESOURCE, "asked", r->asked), r->asked_by);
}

static void add_needs(struct words *w, const struct tree *t, int self)
{
	const struct depends *d = &t->node[self].depends;
	const char *before = ": ";

	if (!d->count) {
		add(w, "; depends on nothing");
		return;
	}
	if (t->is_list)
		add(w, "; starts after the one before it in the list");
	else
		add(w, "; depends on '%s'", t->node[self].row->depends);
	for (size_t i = 0; i < t->count; i++) {
		if (!depends_names(d, (int)i))
			continue;
		add(w, "%s%s is %s", before, t->node[i].row->name, state(t->node[i].row));
		before = ", ";
	}
}

static void add_users(struct words *w, const struct tree *t, int self)
{
	const char *before = "; needed by ";

	for (size_t i = 0; i < t->count; i++) {
		if (!depends_names(&t->node[i].depends, self))
			continue;
		add(w, "%s%s", before, t->node[i].row->name);
		before = ", ";
	}
}

void tree_explain(const struct db *db, const struct db_resource *r, char *text, size_t size)
{
	const struct db_group *g = db_find(db, DB_KIND_GROUP, r->group);
	struct words w = {text, 0, size};
	struct tree t;
	char why[DB_REASON_MAX];
	int self;

	text[0] = 0;
	if (!g || tree_make(db, r->group, NULL, NULL, &t, why, sizeof(why)))
		return; /* db_check() says that neither can be */
	self = tree_find(&t, r->name);
	add_state(&w, db, g, r);
	add_needs(&w, &t, self);
	add_users(&w, &t, self);
}
