/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a node leaves: emptied first, then without a word more. What makes it go is its own clusterd,
 * which was told to end, or a command, for the shutdown of its machine above all (adr/0030): then a
 * task tells how far it is and what could not be moved, and can be cancelled.
 */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/setting.h"
#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"

#define LEAVE_VERB "node-leave"

static struct db_task *leave_task(struct db *db, const char *node)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_TASK); i++) {
		struct db_task *t = db_at(db, DB_KIND_TASK, i);

		if (t->state == DB_TASK_STATE_RUNNING && !strcmp(t->verb, LEAVE_VERB) &&
		    !strcmp(t->object, node))
			return t;
	}
	return NULL;
}

/* Adds a name to a list that begins with `head`; what does not fit is left out. */
static void add_name(char *text, size_t size, const char *head, const char *name)
{
	size_t at = strlen(text), len = strlen(head) + strlen(name) + sizeof(", ");

	if (at + len + sizeof(", ...") < size)
		snprintf(text + at, size - at, "%s%s", head, name);
	else if (at + sizeof(", ...") <= size && (at < 3 || strcmp(text + at - 3, "...") != 0))
		snprintf(text + at, size - at, ", ...");
}

/* What has been stopped and is not running anywhere since the task began. */
static void leave_is_done(struct apply *a, const struct db_node *n)
{
	const struct db_task *t = leave_task(a->db, n->name);
	char text[DB_REASON_MAX];
	bool has_any = false;

	if (!t)
		return;
	snprintf(text, sizeof(text), "%s", t->reason);
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(a->db, DB_KIND_GROUP, i);

		if (g->intent != DB_INTENT_ONLINE || g->work != DB_WORK_OFFLINE ||
		    g->since_ms < t->created_ms)
			continue;
		add_name(text, sizeof(text),
			 has_any   ? ", "
			 : text[0] ? "; not running now: "
				   : "not running now: ",
			 g->name);
		has_any = true;
	}
	apply_task_end(a, t->id, DB_TASK_STATE_DONE, text[0] ? text : "everything was moved");
}

void node_begin_leave(struct apply *a, struct db_node *n, const char *why)
{
	if (n->membership != DB_MEMBERSHIP_ADMITTED || n->is_leaving)
		return;
	n->is_leaving = true;
	vms_node_paused(a, n->slot);
	migrations_node_away(a, n, "the destination is stopping");
	apply_event(a, "node-leaving", n->name, "%s", why);
}

void do_node_leave(struct apply *a, const struct db_cmd_node_leave *c)
{
	struct db_node *n = apply_incarnation_find(a, c->name, c->incarnation);
	const struct db_migration *m;
	const char *volume;

	if (!n || n->membership != DB_MEMBERSHIP_ADMITTED)
		return;
	if (!c->is_done) {
		node_begin_leave(a, n, "its clusterd stops: everything moves off it");
		return;
	}
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(a->db, DB_KIND_GROUP, i);

		if (g->lock && g->incarnation == c->incarnation) {
			apply_answer(a, DB_REFUSED, "node %s still holds group %s", c->name,
				     g->name);
			return;
		}
	}
	m = vm_migration_of_node(a->db, n->slot, n->incarnation);
	if (m) {
		apply_answer(a, DB_REFUSED, "node %s still has part in the migration of %s",
			     c->name, m->vm);
		return;
	}
	volume = volumes_bar_leave(a->db, c->incarnation);
	if (volume) {
		apply_answer(a, DB_REFUSED, "node %s still has volume %s", c->name, volume);
		return;
	}
	n->membership = DB_MEMBERSHIP_LEFT;
	n->since_ms = a->cmd->at_ms;
	leave_is_done(a, n);
	apply_event(a, "node-left", c->name, "stopped cleanly");
}

/* From now on nothing is migrated off it: what is under way ends, and what is left is stopped. */
static void time_is_over(struct apply *a, const struct db_node *n)
{
	static const char why[] = "its node leaves, and the time to move it is over";

	if (!n->is_leaving) {
		apply_answer(a, DB_CONFLICT, "node %s does not leave", n->name);
		return;
	}
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_VM); i++) {
		struct db_vm *v = db_at(a->db, DB_KIND_VM, i);
		struct db_group *g = db_find(a->db, DB_KIND_GROUP, v->name);
		struct db_migration *m = vm_migration(a->db, v);

		if (g->node != n->slot || g->incarnation != n->incarnation)
			continue;
		v->tried = UINT16_MAX; /* no node is tried any more */
		if (m)
			migration_cancel(a, m, DB_TASK_STATE_FAILED, why);
		if (g->wish != CL_NODE_NONE && g->wish != n->slot && !vm_migration(a->db, v)) {
			apply_task_end(a, g->task, DB_TASK_STATE_FAILED, why);
			g->task = 0;
			g->wish = CL_NODE_NONE;
		}
	}
	apply_event(a, "node-leave-late", n->name,
		    "the time to move things is over: what is left is stopped");
}

void do_node_depart(struct apply *a, const struct db_cmd_node_depart *c)
{
	struct db_node *n = apply_incarnation_find(a, c->name, c->incarnation);
	const struct db_task *t;
	char text[DB_REASON_MAX];

	if (!n)
		return;
	if (n->membership != DB_MEMBERSHIP_ADMITTED) {
		apply_answer(a, DB_REFUSED, "node %s is not up", c->name);
		return;
	}
	if (c->is_time_over) {
		time_is_over(a, n);
		return;
	}
	t = leave_task(a->db, n->name);
	if (t) {
		a->result->task = t->id; /* already so */
		return;
	}
	(void)apply_task_new(a, LEAVE_VERB, n->name);
	snprintf(text, sizeof(text), "asked for by %s: everything moves off it", a->cmd->actor);
	node_begin_leave(a, n, text);
}

void leave_fails(struct apply *a, const char *node, const char *reason)
{
	const struct db_task *t = leave_task(a->db, node);

	if (t)
		apply_task_end(a, t->id, DB_TASK_STATE_FAILED, reason);
}

void leave_group_stops(struct apply *a, const struct db_node *n, const struct db_group *g)
{
	struct db_task *t = n->is_leaving ? leave_task(a->db, n->name) : NULL;

	if (t && g->intent == DB_INTENT_ONLINE && vm_of_group(a->db, g))
		add_name(t->reason, sizeof(t->reason),
			 t->reason[0] ? ", " : "stopped, not migrated: ", g->name);
}

bool leave_task_cancel(struct apply *a, const struct db_task *t)
{
	struct db_node *n =
		strcmp(t->verb, LEAVE_VERB) ? NULL : db_find(a->db, DB_KIND_NODE, t->object);

	if (!n)
		return false;
	if (setting_get(a->db, SETTING_CLUSTER_STOPPING, NULL)) {
		apply_answer(a, DB_CONFLICT, "node %s leaves with the whole cluster", n->name);
		return true;
	}
	n->is_leaving = false;
	vms_node_paused(a, n->slot);
	apply_task_end(a, t->id, DB_TASK_STATE_CANCELLED, "cancelled");
	apply_event(a, "task-cancelled", n->name, "%s, by %s", t->verb, a->cmd->actor);
	return true;
}

void leave_progress(struct apply *a)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(a->db, DB_KIND_NODE, i);
		const struct db_task *t = n->is_leaving ? leave_task(a->db, n->name) : NULL;
		char text[DB_VERB_MAX];
		uint32_t left = 0;

		for (uint32_t k = 0; t && k < db_count(a->db, DB_KIND_GROUP); k++) {
			const struct db_group *g = db_at(a->db, DB_KIND_GROUP, k);

			left += g->lock && g->node == n->slot && g->incarnation == n->incarnation;
		}
		snprintf(text, sizeof(text), left ? "%u groups left" : "volumes and vote", left);
		if (t)
			apply_task_phase(a, t->id, text);
	}
}
