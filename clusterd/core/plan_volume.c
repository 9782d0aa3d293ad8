/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the coordinator of each volume shall be. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/plan_impl.h"
#include "clusterd/core/stuck.h"
#include "clusterd/core/volume.h"
#include "lib/must.h"

static void count_load(const struct db *db, struct plan_load *l)
{
	*l = (struct plan_load){0};
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);

		if (v->node < CL_MAX_NODES)
			l->count[v->node]++;
	}
}

static void order(const struct db *db, struct plan_orders *out, const struct db_volume *v,
		  enum db_work work, uint8_t node, const char *reason)
{
	const struct db_node *n = db_node_by_slot(db, node);
	struct db_cmd_volume_order *o = &out->volume[out->volume_count++];

	must(n);
	*o = (struct db_cmd_volume_order){.work = (uint8_t)work,
					  .node = node,
					  .incarnation = n->incarnation,
					  .previous = v->order};
	memcpy(o->name, v->name, sizeof(o->name));
	snprintf(o->reason, sizeof(o->reason), "%s", reason);
}

static void start(const struct db *db, struct plan_orders *out, const struct db_volume *v,
		  struct plan_load *l)
{
	uint16_t candidates = volume_candidates(db, v);
	uint16_t others = (uint16_t)(candidates & ~volume_shunned_nodes(db, v));
	uint8_t node;
	char reason[DB_REASON_MAX];

	/* An administrator's wish goes before; else it would have to move there at once. */
	if (!others || (v->wish < CL_MAX_NODES && (candidates & cl_bit(v->wish))))
		others = candidates;
	node = plan_choose(l, others, v->wish);
	if (node == CL_NODE_NONE)
		return;
	if (node == v->wish)
		snprintf(reason, sizeof(reason), "asked for on this node");
	else
		snprintf(reason, sizeof(reason),
			 "coordinates the fewest volumes (%u) of the nodes that can",
			 l->count[node]);
	order(db, out, v, DB_WORK_STARTING, node, reason);
	l->count[node]++;
}

/*
 * A node that leaves has its groups stopped and its own mount ended first, while there is a
 * coordinator to serve them: there may be no other node that could.
 */
static bool is_done_with(const struct db *db, const struct db_volume *v)
{
	const struct db_mount *m = volume_mount(db, v->name, v->node);

	return (!m || m->state == DB_MOUNT_STATE_GONE) && !volume_is_used(db, v->name, v->node);
}

/* Why a coordinator that serves has to end; NULL if it may stay. */
static const char *why_stop(const struct db *db, const struct db_volume *v)
{
	const struct db_node *n = db_node_by_slot(db, v->node);
	uint16_t others = (uint16_t)(volume_candidates(db, v) & ~cl_bit(v->node));

	if (v->is_deleting && !volume_has_mounts(db, v->name))
		return "the volume is being deleted";
	if (v->is_suspended && !volume_has_mounts(db, v->name))
		return "the volume is suspended";
	if (n && db_node_departs(n) && is_done_with(db, v))
		return n->is_leaving ? "its node stops" : "its node is quarantined";
	if (volume_silence(db, v) == VOLUME_SILENCE_MOVE)
		return "two or more mounts do not answer it: it moves first";
	if (v->is_deleting || v->is_suspended)
		return NULL;
	if (v->wish < CL_MAX_NODES && v->wish != v->node && (others & cl_bit(v->wish)))
		return "asked to move";
	if (n && n->is_draining && others)
		return "its node is drained";
	return NULL;
}

void plan_volumes(const struct db *db, struct plan_orders *out)
{
	struct plan_load l;

	out->volume_count = 0;
	count_load(db, &l);
	l.avoided = plan_fenced(db, out);
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);
		const char *why;

		if (out->volume_count == PLAN_MAX_ORDERS)
			return;
		if (v->work == DB_WORK_OFFLINE && !v->is_deleting &&
		    (!v->is_suspended || volume_has_mounts(db, v->name)))
			start(db, out, v, &l);
		if (v->work != DB_WORK_ONLINE ||
		    !plan_node_is_admitted(db, v->node, v->incarnation))
			continue;
		why = why_stop(db, v);
		if (why)
			order(db, out, v, DB_WORK_STOPPING, v->node, why);
	}
}

/* Names of the nodes with commas, "no node" for none. */
static void node_names(const struct db *db, uint16_t set, char *text, size_t size)
{
	size_t at = 0;

	snprintf(text, size, "no node");
	for (uint8_t i = 0; i < CL_MAX_NODES && at < size; i++) {
		if (set & cl_bit(i))
			at += (size_t)snprintf(text + at, size - at, "%s%s", at ? "," : "",
					       db_node_name(db, i));
	}
}

/* Nodes whose mount does not answer the coordinator that there is, or does not end. */
static uint16_t voices(const struct db *db, const struct db_volume *v, enum db_mount_voice voice)
{
	uint16_t set = 0;

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_mount *m = volume_mount(db, v->name, slot);

		if (m && m->state != DB_MOUNT_STATE_GONE && m->voice == voice &&
		    (voice == DB_MOUNT_VOICE_STUCK || m->silent_term == v->term))
			set = (uint16_t)(set | cl_bit(slot));
	}
	return set;
}

/* True: it waits for mounts that do not answer it, and that is said. */
static bool explain_silence(const struct db *db, const struct db_volume *v, char *text, size_t size)
{
	uint16_t stuck = voices(db, v, DB_MOUNT_VOICE_STUCK);
	uint16_t silent = voices(db, v, DB_MOUNT_VOICE_SILENT);
	enum volume_silence silence = volume_silence(db, v);
	const char *work = db_choice_word(DB_KIND_VOLUME, "work", v->work);
	char names[DB_REASON_MAX / 2];

	node_names(db, stuck ? stuck : silent, names, sizeof(names));
	if (stuck)
		snprintf(text, size,
			 "%s: the mount on %s did not answer, was killed, and is not known to be "
			 "over",
			 work, names);
	else if (silence != VOLUME_SILENCE_NONE)
		snprintf(text, size, "%s on %s: the mount on %s does not answer it, and %s", work,
			 db_node_name(db, v->node), names,
			 silence == VOLUME_SILENCE_MOVE ? "it moves first" : "is killed there");
	return stuck || silence != VOLUME_SILENCE_NONE;
}

/* Its coordinator serves on a drained node, since no other node can have it. */
static bool is_left_behind(const struct db *db, const struct db_volume *v)
{
	const struct db_node *n = db_node_by_slot(db, v->node);

	return v->work == DB_WORK_ONLINE && n && n->is_draining &&
	       !(volume_candidates(db, v) & ~cl_bit(v->node));
}

/* Nothing stands in its way: what it does, and for whom others wait. */
static void explain_work(const struct db *db, const struct db_volume *v, char *text, size_t size)
{
	uint16_t over = volume_mounts(db, v->name, DB_MOUNT_STATE_GONE);
	uint16_t mounted = volume_mounts(db, v->name, DB_MOUNT_STATE_MOUNTED) |
			   volume_mounts(db, v->name, DB_MOUNT_STATE_MOUNTING);
	char held[DB_REASON_MAX / 2], has[DB_REASON_MAX / 2];

	node_names(db, over, held, sizeof(held));
	node_names(db, mounted, has, sizeof(has));
	if (explain_silence(db, v, text, size))
		return;
	if (v->is_suspended && v->work == DB_WORK_OFFLINE && !volume_has_mounts(db, v->name))
		snprintf(text, size, "suspended by %s: 'volume resume' mounts it again",
			 v->suspended_by);
	else if (v->is_suspended)
		snprintf(text, size,
			 "being suspended, as %s asked: what uses it is stopped; %s has it mounted",
			 v->suspended_by, has);
	else if (v->is_deleting)
		snprintf(text, size, "being deleted: %s has it mounted, %s has left it unrecovered",
			 has, held);
	else if (over)
		snprintf(text, size,
			 "what the mount on %s held is not recovered; no group that needs it "
			 "starts before",
			 held);
	else if (is_left_behind(db, v))
		snprintf(text, size, "stays on %s, which is drained: no other node can have it now",
			 db_node_name(db, v->node));
	else
		snprintf(text, size, "%s%s%s: %s", db_choice_word(DB_KIND_VOLUME, "work", v->work),
			 v->lock ? " on " : "", v->lock ? db_node_name(db, v->node) : "",
			 v->reason[0] ? v->reason : "new");
}

void plan_explain_volume(const struct db *db, const struct db_volume *v, char *text, size_t size)
{
	const char *node = db_node_name(db, v->node);
	char pause[AGE_TEXT_MAX];

	age_text(AGE_COORDINATOR_MS, pause);
	if (v->work == DB_WORK_OFFLINE && !v->is_deleting && !v->is_suspended &&
	    !volume_candidates(db, v)) {
		if (v->refused | v->crashed)
			snprintf(text, size,
				 "cannot start: it failed on every node that could have it, at "
				 "last: %s; repair, then 'volume clear', else tried after %s",
				 v->reason, pause);
		else
			snprintf(text, size, "cannot start: no node is up and not paused");
	} else if (v->work == DB_WORK_UNKNOWN) {
		snprintf(text, size,
			 "blocked: waiting to fence %s; no other node mounts its filesystem before",
			 node);
	} else if (v->work == DB_WORK_FAILED) {
		char next[DB_REASON_MAX];

		stuck_explain(db, v->node, v->fence_wanted, DB_STOP_FAILURE_FENCE, next,
			      sizeof(next));
		if (next[0])
			snprintf(text, size, "failed on %s: %s: %s", node, next, v->reason);
		else
			snprintf(text, size,
				 "failed on %s: %s; no other node mounts its filesystem before "
				 "that is over: 'volume clear' looks again",
				 node, v->reason);
	} else {
		explain_work(db, v, text, size);
	}
}
