/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What could not be proven over asks for the fence of its node; see stuck.h. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/apply_impl.h"
#include "clusterd/core/stuck.h"
#include "clusterd/core/volume.h"

/* A fence for its sake has begun, and nobody has asked for it anew since. */
static bool is_held_back(struct apply *a, const char *name, uint64_t fenced_ms)
{
	if (!fenced_ms || a->cmd->at_ms >= fenced_ms + STUCK_PAUSE_MS)
		return false;
	apply_answer(a, DB_REFUSED,
		     "%s: a fence for it began less than an hour ago: not again before, or before "
		     "somebody asks for it anew",
		     name);
	return true;
}

static void ask_group(struct apply *a, const struct db_cmd_fence_ask *c, const struct db_node *n)
{
	struct db_group *g = db_find(a->db, DB_KIND_GROUP, c->group);
	const char *but = "";

	if (!g || g->work != DB_WORK_FAILED || !g->lock || g->order != c->order ||
	    g->node != n->slot || g->incarnation != n->incarnation) {
		apply_answer(a, DB_CONFLICT, "group %s is not stuck on %s", c->group, n->name);
		return;
	}
	if (g->fence_wanted || is_held_back(a, c->group, g->fenced_ms))
		return;
	g->fence_wanted = true;
	if (g->on_stop_failure == DB_STOP_FAILURE_BLOCK)
		but = "; on-stop-failure is block: no fence";
	else if (!stuck_has_device(a->db, n->slot))
		but = "; no fence device covers the node: no fence";
	COPY(g->reason,
	     c->reason); /* what may keep the fence from it may change: see stuck_explain() */
	apply_event(a, "fence-wanted", n->name, "group %s: %.100s%s", c->group, c->reason, but);
}

static void ask_volume(struct apply *a, const struct db_cmd_fence_ask *c, const struct db_node *n)
{
	struct db_volume *v = db_find(a->db, DB_KIND_VOLUME, c->volume);
	struct db_mount *m = c->is_mount ? volume_mount(a->db, c->volume, n->slot) : NULL;
	const char *what = c->is_mount ? "mount" : "coordinator";
	bool is_there =
		v && (c->is_mount ? m && m->state != DB_MOUNT_STATE_GONE && m->id == c->order &&
					    m->incarnation == n->incarnation
				  : v->work == DB_WORK_FAILED && v->order == c->order &&
					    v->node == n->slot && v->incarnation == n->incarnation);

	if (!is_there) {
		apply_answer(a, DB_CONFLICT, "volume %s: no %s of it is stuck on %s", c->volume,
			     what, n->name);
		return;
	}
	if ((c->is_mount ? m->fence_wanted : v->fence_wanted) ||
	    is_held_back(a, c->volume, v->fenced_ms))
		return;
	if (c->is_mount) {
		m->fence_wanted = true;
		COPY(m->reason, c->reason);
	} else {
		v->fence_wanted = true;
		COPY(v->reason, c->reason);
	}
	apply_event(a, "fence-wanted", n->name, "%s of volume %s: %s%s", what, c->volume, c->reason,
		    stuck_has_device(a->db, n->slot) ? "" : "; no fence device covers the node");
}

void do_fence_ask(struct apply *a, const struct db_cmd_fence_ask *c)
{
	const struct db_node *n = db_find(a->db, DB_KIND_NODE, c->name);

	if (!n || n->incarnation != c->incarnation || n->membership != DB_MEMBERSHIP_ADMITTED) {
		apply_answer(a, DB_CONFLICT, "node %s: that incarnation is not up", c->name);
		return;
	}
	if (c->group[0])
		ask_group(a, c, n);
	else
		ask_volume(a, c, n);
}

void stuck_fence_begins(struct apply *a, const struct db_node *n)
{
	struct db *db = a->db;
	uint64_t now = a->cmd->at_ms;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->fence_wanted && g->node == n->slot && g->incarnation == n->incarnation)
			g->fenced_ms = now;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);
		const struct db_mount *m = volume_mount(db, v->name, n->slot);

		if ((v->fence_wanted && v->node == n->slot && v->incarnation == n->incarnation) ||
		    (m && m->fence_wanted && m->incarnation == n->incarnation))
			v->fenced_ms = now;
	}
}

/* True if it is another value than before. */
static bool set(uint32_t *to, uint32_t value)
{
	bool is_new = value != DB_KEEP && value != *to;

	if (is_new)
		*to = value;
	return is_new;
}

void do_group_set(struct apply *a, const struct db_cmd_group_set *c)
{
	struct db_group *g = db_find(a->db, DB_KIND_GROUP, c->name);
	char period[AGE_TEXT_MAX], retry[AGE_TEXT_MAX];
	bool is_new;

	if (!g) {
		apply_answer(a, DB_NO_SUCH, "no group %s", c->name);
		return;
	}
	is_new = set(&g->failover_max, c->failover_max);
	is_new |= set(&g->failover_ms, c->failover_ms ? c->failover_ms : AGE_FAILOVER_MS);
	is_new |= set(&g->retry_ms, c->retry_ms);
	if (!c->keeps_stop_failure && g->on_stop_failure != c->on_stop_failure) {
		g->on_stop_failure = c->on_stop_failure;
		is_new = true;
	}
	if (!is_new)
		return;
	age_text(g->failover_ms, period);
	age_text(g->retry_ms, retry);
	apply_event(a, "group-set", c->name,
		    "on-stop-failure is %s, %u failovers within %s, tried again %s%s, by %s",
		    db_choice_word(DB_KIND_GROUP, "on_stop_failure", g->on_stop_failure),
		    age_failover_max(a->db, g), period, g->retry_ms ? "after " : "",
		    g->retry_ms ? retry : "never", a->cmd->actor);
}
