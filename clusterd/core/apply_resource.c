/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Resources come and go, and what their node reports of them. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/apply_impl.h"
#include "clusterd/core/tree.h"
#include "clusterd/core/vm.h"

/* ---- with their group */

void resource_asked_done(struct apply *a, struct db_resource *r)
{
	char old[CL_NAME_MAX + 1];

	if (r->asked == DB_RESOURCE_ASK_RESTART) {
		snprintf(old, sizeof(old), "~%s", r->name);
		apply_params_remove(a->db, old);
	}
	r->asked = DB_RESOURCE_ASK_NOTHING;
	r->asked_at = 0;
	r->asked_by[0] = 0;
}

static void task_ends(struct apply *a, struct db_resource *r, const char *reason)
{
	bool is_so = r->work == (r->is_stopped ? DB_WORK_OFFLINE : DB_WORK_ONLINE);

	apply_task_end(a, r->task, is_so ? DB_TASK_STATE_DONE : DB_TASK_STATE_FAILED, reason);
	r->task = 0;
}

void resources_set(struct apply *a, const char *group, enum db_work work)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_RESOURCE); i++) {
		struct db_resource *r = db_at(a->db, DB_KIND_RESOURCE, i);

		if (strcmp(r->group, group) != 0)
			continue;
		if (work == DB_WORK_ONLINE) {
			/* What failed has been reported before; what is stopped stays so. */
			if (r->work != DB_WORK_FAILED && !r->is_stopped)
				r->work = DB_WORK_ONLINE;
			continue;
		}
		r->work = (uint8_t)work;
		r->restarts = 0;
		r->restarts_since_ms = 0;
		resource_asked_done(a, r);
		if (r->task)
			task_ends(a, r, "its group is offline");
	}
}

void resources_note(struct apply *a, struct db_group *g)
{
	const struct db_resource *first = NULL;
	uint32_t count = 0;
	char more[24] = "";

	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_RESOURCE); i++) {
		const struct db_resource *r = db_at(a->db, DB_KIND_RESOURCE, i);

		if (r->work != DB_WORK_FAILED || strcmp(r->group, g->name) != 0)
			continue;
		first = first ? first : r;
		count++;
	}
	if (g->work != DB_WORK_ONLINE)
		return;
	if (g->is_degraded && !first)
		COPY(g->reason, "nothing of it is failed any more");
	g->is_degraded = first != NULL;
	if (count > 1)
		snprintf(more, sizeof(more), " and %u more", count - 1);
	if (first)
		snprintf(g->reason, sizeof(g->reason), "degraded: %.50s%s failed: %.100s",
			 first->name, more, first->reason);
}

/* ---- they come and go */

/* Its place at the end of the list; false: no more fit. */
static bool next_position(struct apply *a, const char *group, uint32_t *ret)
{
	uint32_t count = 0;

	*ret = 0;
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_RESOURCE); i++) {
		const struct db_resource *other = db_at(a->db, DB_KIND_RESOURCE, i);

		if (strcmp(other->group, group) != 0)
			continue;
		count++;
		if (other->position >= *ret)
			*ret = other->position + 1;
	}
	if (count < TREE_MAX)
		return true;
	apply_answer(a, DB_REFUSED, "group %s has %u resources, and no more can be", group, count);
	return false;
}

static bool can_create(struct apply *a, const struct db_cmd_resource_create *c,
		       const struct db_group *g)
{
	if (!c->name[0]) {
		apply_answer(a, DB_INVALID, "a resource needs a name");
		return false;
	}
	if (!g) {
		apply_answer(a, DB_NO_SUCH, "no group %s", c->group);
		return false;
	}
	if (vm_of_group(a->db, g)) {
		apply_answer(a, DB_REFUSED,
			     "group %s is a virtual machine and takes no other resource", c->group);
		return false;
	}
	if (db_find(a->db, DB_KIND_RESOURCE, c->name)) {
		apply_answer(a, DB_CONFLICT, "resource %s exists", c->name);
		return false;
	}
	if (!apply_params_fit(a->db, c->params)) {
		apply_answer(a, DB_REFUSED, "bad parameters, or no room for them");
		return false;
	}
	return secrets_exist(a, c->params);
}

static void fill(struct db_resource *r, const struct db_cmd_resource_create *c, uint32_t position)
{
	COPY(r->group, c->group);
	COPY(r->agent, c->agent);
	COPY(r->depends, c->depends);
	r->position = position;
	r->restart_max = c->restart_max;
	r->restart_ms = c->restart_ms ? c->restart_ms : AGE_RESTART_MS;
	r->monitor_ms = c->monitor_ms;
	r->start_ms = c->start_ms;
	r->stop_ms = c->stop_ms;
	r->deep_monitor_ms = c->deep_monitor_ms;
	r->deep_level = c->deep_level;
}

void do_resource_create(struct apply *a, const struct db_cmd_resource_create *c)
{
	struct db_group *g = db_find(a->db, DB_KIND_GROUP, c->group);
	struct db_resource *r;
	struct tree tree;
	uint32_t position;
	char why[DB_REASON_MAX];

	if (!can_create(a, c, g) || !next_position(a, c->group, &position))
		return;
	r = db_insert(a->db, DB_KIND_RESOURCE, c->name);
	if (!r) {
		apply_answer(a, DB_REFUSED, "no room for another resource");
		return;
	}
	fill(r, c, position);
	if (tree_make(a->db, c->group, NULL, NULL, &tree, why, sizeof(why))) {
		db_remove(a->db, DB_KIND_RESOURCE, r);
		apply_answer(a, DB_INVALID, "%s", why);
		return;
	}
	apply_params_set(a->db, c->name, c->params);
	g->changed = a->entry->index;
	/* What is new and may be wrong does not take a group down that runs. */
	r->is_stopped = g->work != DB_WORK_OFFLINE;
	if (r->is_stopped)
		apply_answer(a, DB_OK,
			     "group %s is not offline: the resource is not started before "
			     "'resource start %s'",
			     c->group, c->name);
	apply_event(a, "resource-created", c->name, "%s in group %s, by %s", c->agent, c->group,
		    a->cmd->actor);
}

/* Those that name it; "": nobody. */
static void users(const struct db *db, const struct db_resource *r, char *text, size_t size)
{
	struct tree t;
	char why[DB_REASON_MAX];
	size_t at = 0;

	text[0] = 0;
	if (tree_make(db, r->group, NULL, NULL, &t, why, sizeof(why)) || t.is_list)
		return;
	for (size_t i = 0; i < t.count && at < size; i++) {
		if (depends_names(&t.node[i].depends, tree_find(&t, r->name)))
			at += (size_t)snprintf(text + at, size - at, "%s%s", at ? ", " : "",
					       t.node[i].row->name);
	}
}

void do_resource_delete(struct apply *a, const struct db_cmd_resource_delete *c)
{
	struct db_resource *r = db_find(a->db, DB_KIND_RESOURCE, c->name);
	struct db_group *g = r ? db_find(a->db, DB_KIND_GROUP, r->group) : NULL;
	char names[DB_REASON_MAX / 2];

	if (!g) {
		apply_answer(a, DB_NO_SUCH, "no resource %s", c->name);
		return;
	}
	if (db_find(a->db, DB_KIND_VM, r->group)) {
		apply_answer(a, DB_REFUSED, "resource %s is a virtual machine: see 'vm delete'",
			     c->name);
		return;
	}
	if (r->work != DB_WORK_OFFLINE) {
		apply_answer(a, DB_REFUSED,
			     "resource %s is not offline: stop it, or group %s, first", c->name,
			     r->group);
		return;
	}
	if (g->work != DB_WORK_OFFLINE && !r->is_stopped) {
		apply_answer(a, DB_REFUSED, "group %s is not offline: 'resource stop %s' first",
			     r->group, c->name);
		return;
	}
	users(a->db, r, names, sizeof(names));
	if (names[0]) {
		apply_answer(a, DB_REFUSED, "resource %s: %s depend%s on it: see 'resource set'",
			     c->name, names, strchr(names, ',') ? "" : "s");
		return;
	}
	g->changed = a->entry->index;
	g->unmanaged -= r->is_unmanaged;
	resource_asked_done(a, r);
	apply_params_remove(a->db, c->name);
	db_remove(a->db, DB_KIND_RESOURCE, r);
	apply_event(a, "resource-deleted", c->name, "by %s", a->cmd->actor);
}

/* ---- what their node says */

static const char *report_kind(const struct db_cmd_resource_report *c, uint8_t before)
{
	if (c->restarted)
		return "resource-restarted";
	if (c->work == before)
		return NULL;
	return c->work == DB_WORK_FAILED   ? "resource-failed"
	       : c->work == DB_WORK_ONLINE ? "resource-online"
					   : "resource-offline";
}

void do_resource_report(struct apply *a, const struct db_cmd_resource_report *c)
{
	struct db_resource *r = db_find(a->db, DB_KIND_RESOURCE, c->name);
	struct db_group *g = r ? db_find(a->db, DB_KIND_GROUP, r->group) : NULL;
	const char *kind;

	if (!g || g->order != c->order || g->work == DB_WORK_OFFLINE) {
		apply_answer(a, DB_CONFLICT, "the report is about an order that is not in force");
		return;
	}
	kind = report_kind(c, r->work);
	r->work = c->work;
	if (c->restarted)
		age_resource_restarted(a, r);
	COPY(r->reason, c->reason);
	if (c->asked && c->asked == r->asked_at)
		resource_asked_done(a, r);
	if (r->task && !c->restarted)
		task_ends(a, r, c->reason);
	if (kind)
		apply_event(a, kind, c->name, "on %s: %s%s", db_node_name(a->db, g->node),
			    r->is_unmanaged || g->is_unmanaged ? "unmanaged: " : "", c->reason);
	resources_note(a, g);
}
