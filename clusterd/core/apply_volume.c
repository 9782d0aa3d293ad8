/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Volumes and mounts. Two locks guard what a dead node may have left behind: `vol:` ends when its
 * node provably ended, so that a new coordinator can replay the journal; `mnt:` ends only when that
 * coordinator says, under its own term, that it has dropped what the mount held.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/network.h"
#include "clusterd/core/volume.h"
#include "lib/must.h"

static struct db_volume *volume_find(struct apply *a, const char *name)
{
	struct db_volume *v = db_find(a->db, DB_KIND_VOLUME, name);

	if (!v)
		apply_answer(a, DB_NO_SUCH, "no volume %s", name);
	return v;
}

static void task_done(struct apply *a, struct db_volume *v, enum db_task_state state,
		      const char *reason)
{
	apply_task_end(a, v->task, state, reason);
	v->task = v->grow = 0;
}

static void mount_remove(struct db *db, struct db_mount *m)
{
	apply_lock_drop(db, m->lock);
	db_remove(db, DB_KIND_MOUNT, m);
}

/*
 * A volume that is being deleted goes when it has neither coordinator nor mount. Nobody will mount
 * it again, so without a coordinator nothing is left to recover.
 */
static void sweep(struct apply *a, struct db_volume *v)
{
	bool is_left = false;

	if (v->is_suspended && !v->is_deleting && v->task && v->work == DB_WORK_OFFLINE &&
	    !volume_has_mounts(a->db, v->name)) {
		task_done(a, v, DB_TASK_STATE_DONE, "unmounted everywhere");
		apply_event(a, "volume-suspended", v->name, "unmounted everywhere");
	}
	if (!v->is_deleting || v->work != DB_WORK_OFFLINE)
		return;
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		struct db_mount *m = volume_mount(a->db, v->name, slot);

		if (m && m->state == DB_MOUNT_STATE_GONE)
			mount_remove(a->db, m);
		else if (m)
			is_left = true;
	}
	if (is_left)
		return;
	task_done(a, v, DB_TASK_STATE_DONE, "unmounted everywhere");
	apply_event(a, "volume-deleted", v->name, "what is on %.100s stays there", v->device);
	db_remove(a->db, DB_KIND_VOLUME, v);
}

/* The coordinator has ended, or the node that had it. */
static void release(struct apply *a, struct db_volume *v, const char *reason)
{
	apply_lock_drop(a->db, v->lock);
	v->lock = 0;
	v->work = DB_WORK_OFFLINE;
	v->node = CL_NODE_NONE;
	v->port = 0;
	v->fence_wanted = false;
	v->since_ms = a->cmd->at_ms;
	COPY(v->reason, reason);
}

/* ---- what nodes do to volumes */

void volumes_incarnation_gone(struct apply *a, uint8_t slot, uint64_t incarnation)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_MOUNT); i++) {
		struct db_mount *m = db_at(a->db, DB_KIND_MOUNT, i);

		if (m->slot != slot || m->incarnation != incarnation ||
		    m->state == DB_MOUNT_STATE_GONE)
			continue;
		m->state = DB_MOUNT_STATE_GONE;
		m->fence_wanted = false;
		m->since_ms = a->cmd->at_ms;
		COPY(m->reason, "its node is out of service");
	}
	if (DB_MUTANT(a->db, FENCE_FREES_ALL)) {
		for (uint32_t i = db_count(a->db, DB_KIND_MOUNT); i-- > 0;) {
			struct db_mount *m = db_at(a->db, DB_KIND_MOUNT, i);

			if (m->incarnation == incarnation)
				mount_remove(a->db, m);
		}
	}
	for (uint32_t i = db_count(a->db, DB_KIND_VOLUME); i-- > 0;) {
		struct db_volume *v = db_at(a->db, DB_KIND_VOLUME, i);

		if (v->lock && v->incarnation == incarnation)
			release(a, v, "its node is out of service");
		sweep(a, v);
	}
}

uint32_t volumes_unknown(struct apply *a, const struct db_node *n)
{
	uint32_t volumes = 0;

	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_VOLUME); i++) {
		struct db_volume *v = db_at(a->db, DB_KIND_VOLUME, i);

		if (!v->lock || v->incarnation != n->incarnation || v->work == DB_WORK_FAILED)
			continue;
		if (DB_MUTANT(a->db, LOST_RELEASES)) {
			release(a, v, "its node is lost");
			continue;
		}
		v->work = DB_WORK_UNKNOWN;
		v->since_ms = a->cmd->at_ms;
		snprintf(v->reason, sizeof(v->reason), "waiting until %s is fenced", n->name);
		volumes++;
	}
	return volumes;
}

void volumes_node_admitted(struct apply *a, const struct db_node *n)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_VOLUME); i++) {
		struct db_volume *v = db_at(a->db, DB_KIND_VOLUME, i);

		v->refused = (uint16_t)(v->refused & ~cl_bit(n->slot));
		v->crashed = (uint16_t)(v->crashed & ~cl_bit(n->slot));
		if (v->work != DB_WORK_UNKNOWN || v->incarnation != n->incarnation)
			continue;
		v->work = v->order != v->term ? DB_WORK_STOPPING
			  : v->port	      ? DB_WORK_ONLINE
					      : DB_WORK_STARTING;
		v->since_ms = a->cmd->at_ms;
		COPY(v->reason, "its node is back with what it held");
	}
}

const char *volumes_bar_leave(const struct db *db, uint64_t incarnation)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);

		if (v->lock && v->incarnation == incarnation)
			return v->name;
	}
	if (DB_MUTANT(db, LEAVES_MOUNTED))
		return NULL;
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MOUNT); i++) {
		const struct db_mount *m = db_at(db, DB_KIND_MOUNT, i);

		if (m->incarnation == incarnation && m->state != DB_MOUNT_STATE_GONE)
			return m->volume;
	}
	return NULL;
}

/* ---- what an administrator wants */

/* Two names for one LUN would give it two coordinators. */
static const char *volume_twin(const struct db *db, const struct db_cmd_volume_create *c)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);

		if (!strcmp(v->uuid, c->uuid) || !strcmp(v->device, c->device))
			return v->name;
	}
	return NULL;
}

void do_volume_create(struct apply *a, const struct db_cmd_volume_create *c)
{
	const char *twin = volume_twin(a->db, c);
	struct db_volume *v;

	if (!c->name[0] || c->name[strcspn(c->name, "/, ")] || c->device[0] != '/' ||
	    !apply_is_uuid(c->uuid)) {
		apply_answer(a, DB_INVALID,
			     "a volume needs a name without '/' and ',', an absolute path of its "
			     "LUN, and the uuid that is on it, in lower case");
		return;
	}
	if (db_find(a->db, DB_KIND_VOLUME, c->name)) {
		apply_answer(a, DB_CONFLICT, "volume %s exists", c->name);
		return;
	}
	if (twin) {
		apply_answer(a, DB_CONFLICT, "that uuid or device is volume %s already", twin);
		return;
	}
	v = db_insert(a->db, DB_KIND_VOLUME, c->name);
	if (!v) {
		apply_answer(a, DB_REFUSED, "no room for another volume");
		return;
	}
	COPY(v->uuid, c->uuid);
	COPY(v->device, c->device);
	v->node = v->wish = v->restart_node = CL_NODE_NONE;
	v->since_ms = a->cmd->at_ms;
	apply_event(a, "volume-created", c->name, "%.100s, by %s", c->device, a->cmd->actor);
}

bool volumes_exist(struct apply *a, const char *list)
{
	char name[CL_NAME_MAX];

	while (volume_name_next(&list, name)) {
		const struct db_volume *v = db_find(a->db, DB_KIND_VOLUME, name);

		if (!v || v->is_deleting) {
			apply_answer(a, v ? DB_REFUSED : DB_NO_SUCH,
				     v ? "volume %s is being deleted" : "no volume %s", name);
			return false;
		}
	}
	return true;
}

void do_volume_delete(struct apply *a, const struct db_cmd_volume_delete *c)
{
	struct db_volume *v = volume_find(a, c->name);

	if (!v)
		return;
	if (v->is_deleting) {
		a->result->task = v->task;
		return;
	}
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(a->db, DB_KIND_GROUP, i);

		if (volume_is_named(g->volumes, c->name)) {
			apply_answer(a, DB_REFUSED, "group %s needs volume %s: delete it first",
				     g->name, c->name);
			return;
		}
	}
	task_done(a, v, DB_TASK_STATE_CANCELLED, "the volume is being deleted");
	v->is_deleting = true;
	v->wish = CL_NODE_NONE;
	v->task = apply_task_new(a, "volume-delete", c->name);
	apply_task_phase(a, v->task, "unmounting");
	apply_event(a, "volume-delete", c->name, "asked by %s", a->cmd->actor);
	sweep(a, v);
}

/* A coordinator that is not known to be over is looked at again, and the LUN is tried anew. */
static void intent_clear(struct apply *a, struct db_volume *v, const char *verb)
{
	const struct db_node *n = db_node_by_slot(a->db, v->node);

	if (v->work == DB_WORK_FAILED &&
	    (!n || n->incarnation != v->incarnation || n->membership != DB_MEMBERSHIP_ADMITTED)) {
		apply_answer(a, DB_REFUSED, "volume %s waits until %s is fenced", v->name,
			     db_node_name(a->db, v->node));
		return;
	}
	if (v->is_deleting) {
		a->result->task = v->task;
	} else {
		task_done(a, v, DB_TASK_STATE_CANCELLED, "replaced by a later command");
		v->task = apply_task_new(a, verb, v->name);
	}
	v->wish = CL_NODE_NONE;
	v->refused = v->crashed = 0;
	v->restarts = 0;
	v->restarts_since_ms = v->fenced_ms = 0;
	if (v->work == DB_WORK_FAILED) {
		v->work = DB_WORK_STOPPING;
		v->fence_wanted = false;
		v->order = a->entry->index;
		v->since_ms = a->cmd->at_ms;
		COPY(v->reason, "asked to look again whether it is over");
	}
	apply_event(a, verb, v->name, "asked by %s", a->cmd->actor);
	if (v->work == DB_WORK_ONLINE && !v->is_deleting)
		task_done(a, v, DB_TASK_STATE_DONE, "already so");
}

static const char *why_not_there(const struct db_node *n)
{
	const char *bar = db_node_bar(n);

	return bar ? bar : n->is_paused ? "the node is paused" : NULL;
}

void do_volume_intent(struct apply *a, const struct db_cmd_volume_intent *c)
{
	struct db_volume *v = volume_find(a, c->name);
	const struct db_node *n = db_node_by_slot(a->db, c->wish);
	const char *why = why_not_there(n);

	if (!v)
		return;
	if (v->is_suspended && !v->is_deleting && v->work != DB_WORK_FAILED) {
		apply_answer(a, DB_REFUSED, "volume %s is suspended: 'volume resume' first",
			     c->name);
		return;
	}
	if (c->wish == CL_NODE_NONE) {
		intent_clear(a, v, c->verb);
		return;
	}
	if (v->is_deleting)
		why = "the volume is being deleted";
	else if (v->work == DB_WORK_FAILED)
		why = "its coordinator is not known to be over; see 'volume clear'";
	if (why) {
		apply_answer(a, DB_REFUSED, "volume %s cannot move to %s: %s", c->name,
			     n ? n->name : "that node", why);
		return;
	}
	task_done(a, v, DB_TASK_STATE_CANCELLED, "replaced by a later command");
	v->wish = c->wish;
	v->refused = (uint16_t)(v->refused & ~cl_bit(c->wish));
	v->crashed = (uint16_t)(v->crashed & ~cl_bit(c->wish));
	v->task = apply_task_new(a, c->verb, c->name);
	apply_event(a, c->verb, c->name, "to %s, asked by %s", n->name, a->cmd->actor);
	if (v->work == DB_WORK_ONLINE && v->node == c->wish) {
		task_done(a, v, DB_TASK_STATE_DONE, "already so");
		v->wish = CL_NODE_NONE;
	}
}

void do_volume_redirect(struct apply *a, const struct db_cmd_volume_redirect *c)
{
	struct db_volume *v = volume_find(a, c->name);
	uint16_t all = 0, now;

	if (!v)
		return;
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++)
		all = (uint16_t)(all | (db_node_by_slot(a->db, slot) ? cl_bit(slot) : 0));
	now = (uint16_t)(c->is_on ? v->redirected | (c->nodes & all) : v->redirected & ~c->nodes);
	if (now == v->redirected)
		return;
	v->redirected = now;
	COPY(v->redirected_by, now ? a->cmd->actor : "");
	apply_event(a, "volume-redirect", c->name, "%s, asked for by %s", c->is_on ? "on" : "off",
		    a->cmd->actor);
}

void do_volume_suspend(struct apply *a, const struct db_cmd_volume_suspend *c)
{
	struct db_volume *v = volume_find(a, c->name);
	const char *verb = c->is_suspended ? "volume-suspend" : "volume-resume";

	if (!v)
		return;
	if (v->is_deleting) {
		apply_answer(a, DB_REFUSED, "volume %s is being deleted", c->name);
		return;
	}
	task_done(a, v, DB_TASK_STATE_CANCELLED, "replaced by a later command");
	v->task = apply_task_new(a, verb, c->name);
	v->wish = CL_NODE_NONE;
	v->is_suspended = c->is_suspended;
	COPY(v->suspended_by, c->is_suspended ? a->cmd->actor : "");
	apply_event(a, verb, c->name, "asked by %s", a->cmd->actor);
	if (!c->is_suspended && v->work == DB_WORK_ONLINE)
		task_done(a, v, DB_TASK_STATE_DONE, "it serves");
	sweep(a, v);
}

void do_volume_grow(struct apply *a, const struct db_cmd_volume_grow *c)
{
	struct db_volume *v = volume_find(a, c->name);

	if (!v)
		return;
	if (v->is_deleting || v->is_suspended) {
		apply_answer(a, DB_REFUSED, "volume %s is %s", c->name,
			     v->is_deleting ? "being deleted"
					    : "suspended: 'csvadm grow' on its LUN, or "
					      "'volume resume' first");
		return;
	}
	if (v->task) {
		apply_answer(a, DB_REFUSED, "volume %s: task %" PRIu64 " is under way", c->name,
			     v->task);
		return;
	}
	v->grow = a->entry->index;
	v->task = apply_task_new(a, "volume-grow", c->name);
	apply_event(a, "volume-grow", c->name, "asked by %s", a->cmd->actor);
}

void do_volume_grown(struct apply *a, const struct db_cmd_volume_grown *c)
{
	struct db_volume *v = volume_find(a, c->name);

	if (!v)
		return;
	if (!v->grow || v->grow != c->grow || v->term != c->term) {
		apply_answer(a, DB_CONFLICT, "volume %s: nobody waits for that", c->name);
		return;
	}
	if (c->is_success)
		v->bytes = c->bytes;
	apply_event(a, "volume-grown", c->name, "%s",
		    c->is_success ? "it has the room that its LUN has" : c->reason);
	task_done(a, v, c->is_success ? DB_TASK_STATE_DONE : DB_TASK_STATE_FAILED,
		  c->is_success ? "grown" : c->reason);
}

void volume_task_cancelled(struct db_volume *v)
{
	v->grow = 0;
	v->wish = CL_NODE_NONE;
	v->is_deleting = v->is_suspended = false;
	v->task = 0;
}

/* ---- orders and reports */

void do_volume_order(struct apply *a, const struct db_cmd_volume_order *c)
{
	struct db_volume *v = volume_find(a, c->name);
	const struct db_node *n = db_node_by_slot(a->db, c->node);
	bool is_start = c->work == DB_WORK_STARTING;

	if (!v)
		return;
	if (!is_start && c->work != DB_WORK_STOPPING) {
		apply_answer(a, DB_INVALID, "only a start or a stop can be ordered");
		return;
	}
	if (v->order != c->previous || !n || n->incarnation != c->incarnation ||
	    n->membership != DB_MEMBERSHIP_ADMITTED ||
	    (is_start && (db_node_departs(n) || v->is_deleting))) {
		apply_answer(a, DB_CONFLICT, "the order is out of date");
		return;
	}
	if (!is_start && (v->node != c->node || v->incarnation != c->incarnation ||
			  (v->work != DB_WORK_ONLINE && v->work != DB_WORK_STARTING))) {
		apply_answer(a, DB_CONFLICT, "volume %s has no coordinator there", c->name);
		return;
	}
	if (is_start && v->work == DB_WORK_OFFLINE)
		v->lock = apply_lock_take(a->db, "vol:", v->uuid, LK_EX, c->incarnation);
	if (is_start && (v->work != DB_WORK_OFFLINE || !v->lock)) {
		apply_answer(a, DB_CONFLICT, "volume %s is held elsewhere", c->name);
		return;
	}
	v->order = a->entry->index;
	v->term = is_start ? v->order : v->term;
	v->link = is_start ? network_for(a->db, NETWORK_REDIRECT) : v->link;
	v->work = c->work;
	v->node = c->node;
	v->incarnation = c->incarnation;
	v->port = 0;
	v->since_ms = a->cmd->at_ms;
	COPY(v->reason, c->reason);
	apply_task_phase(a, v->task, is_start ? "starting" : "stopping");
	apply_event(a, is_start ? "volume-start" : "volume-stop", c->name, "on %s: %s", n->name,
		    c->reason);
	if (!is_start && DB_MUTANT(a->db, STOP_RELEASES))
		release(a, v, c->reason);
}

/* It serves. A wish for another node stands as long as that node can be had. */
static void report_online(struct apply *a, struct db_volume *v,
			  const struct db_cmd_volume_report *c)
{
	bool is_there = v->wish == CL_NODE_NONE || v->wish == v->node;
	char text[DB_REASON_MAX];

	v->work = DB_WORK_ONLINE;
	v->port = c->port;
	if (!is_there && !(volume_candidates(a->db, v) & cl_bit(v->wish))) {
		snprintf(text, sizeof(text), "on %s instead: %s cannot have it",
			 db_node_name(a->db, v->node), db_node_name(a->db, v->wish));
		task_done(a, v, DB_TASK_STATE_FAILED, text);
		v->wish = CL_NODE_NONE;
	}
	if (is_there && !v->is_deleting && !v->is_suspended && !v->grow)
		task_done(a, v, DB_TASK_STATE_DONE, c->reason);
	if (is_there)
		v->wish = CL_NODE_NONE;
	v->refused = 0;
}

/* Provably over, but it could not be started there; another node may try. */
static void report_refused(struct apply *a, struct db_volume *v,
			   const struct db_cmd_volume_report *c)
{
	uint8_t node = v->node;

	v->failures++;
	v->refused = (uint16_t)(v->refused | cl_bit(node));
	v->refused_since_ms = a->cmd->at_ms;
	release(a, v, c->reason);
	if (!v->is_deleting && !v->is_suspended && !v->grow &&
	    (v->wish == node || !volume_candidates(a->db, v)))
		task_done(a, v, DB_TASK_STATE_FAILED, c->reason);
	if (v->wish == node)
		v->wish = CL_NODE_NONE;
	sweep(a, v);
}

static void report_offline(struct apply *a, struct db_volume *v,
			   const struct db_cmd_volume_report *c)
{
	if (v->work == DB_WORK_ONLINE) { /* nobody had asked for its end */
		v->failures++;
		age_volume_crashed(a, v);
	}
	release(a, v, c->reason);
	sweep(a, v);
}

/* Nobody knows whether the filesystem is still mounted: the lock stays, and nothing else starts. */
static void report_stuck(struct apply *a, struct db_volume *v, const struct db_cmd_volume_report *c)
{
	if (DB_MUTANT(a->db, FAILED_RELEASES)) {
		release(a, v, c->reason);
		return;
	}
	v->failures += v->work != DB_WORK_FAILED;
	v->work = DB_WORK_FAILED;
	v->port = 0;
	v->wish = CL_NODE_NONE;
	task_done(a, v, DB_TASK_STATE_FAILED, c->reason);
}

/* What is wrong with the report, or NULL. */
static const char *report_fault(const struct db_volume *v, const struct db_cmd_volume_report *c)
{
	if (v->order != c->order || !v->lock || v->work == DB_WORK_UNKNOWN)
		return "the report is about an order that is not in force";
	if (c->work == DB_WORK_ONLINE && (v->work != DB_WORK_STARTING || !c->port))
		return "only what is starting can come online, and it needs a port";
	if (c->work == DB_WORK_STARTING || c->work == DB_WORK_STOPPING)
		return "only online, offline, failed and unknown can be reported";
	return NULL;
}

void do_volume_report(struct apply *a, const struct db_cmd_volume_report *c)
{
	struct db_volume *v = volume_find(a, c->name);
	const char *fault = v ? report_fault(v, c) : NULL;
	const char *word = c->work == DB_WORK_ONLINE	? "online"
			   : c->work == DB_WORK_OFFLINE ? "offline"
							: "failed";

	if (!v)
		return;
	if (v->work == DB_WORK_ONLINE && c->work == DB_WORK_ONLINE && v->order == c->order &&
	    v->port == c->port)
		return;
	if (fault) {
		apply_answer(a, DB_CONFLICT, "volume %s: %s", c->name, fault);
		return;
	}
	apply_event(a, "volume-report", c->name, "%s on %s: %s", word, db_node_name(a->db, v->node),
		    c->reason);
	v->since_ms = a->cmd->at_ms;
	COPY(v->reason, c->reason);
	if (c->work == DB_WORK_ONLINE)
		report_online(a, v, c);
	else if (c->work == DB_WORK_OFFLINE)
		report_offline(a, v, c);
	else if (c->work == DB_WORK_FAILED && v->work == DB_WORK_STARTING)
		report_refused(a, v, c);
	else
		report_stuck(a, v, c);
}

/* ---- mounts */

static bool id_is_used(const struct db *db, uint64_t id)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MOUNT); i++) {
		if (((const struct db_mount *)db_at(db, DB_KIND_MOUNT, i))->id == id)
			return true;
	}
	return false;
}

/* Why the node cannot begin a mount of the volume, or NULL. */
static const char *mount_fault(const struct db *db, const struct db_volume *v,
			       const struct db_cmd_mount_set *c)
{
	const struct db_node *n = db_node_by_slot(db, c->slot);

	if (!n || n->incarnation != c->incarnation || n->membership != DB_MEMBERSHIP_ADMITTED)
		return "its node is not admitted";
	if (db_node_departs(n))
		return n->is_leaving ? "its node is stopping" : "its node is quarantined";
	if (v->is_deleting)
		return "the volume is being deleted";
	if (volume_mount(db, c->volume, c->slot))
		return "the node has a mount of it that is not over, or not recovered";
	if (!c->id || id_is_used(db, c->id))
		return "the id of a mount is never used again";
	return NULL;
}

void do_mount_set(struct apply *a, const struct db_cmd_mount_set *c)
{
	struct db_volume *v = volume_find(a, c->volume);
	struct db_mount *m = v ? volume_mount(a->db, c->volume, c->slot) : NULL;
	char key[DB_KEY_MAX];
	const char *fault;
	uint64_t lock;

	if (!v)
		return;
	if (m && m->state == DB_MOUNT_STATE_GONE && DB_MUTANT(a->db, SECOND_MOUNT))
		mount_remove(a->db, m);
	fault = mount_fault(a->db, v, c);
	if (fault) {
		apply_answer(a, DB_CONFLICT, "volume %s is not mounted: %s", c->volume, fault);
		return;
	}
	lock = db_count(a->db, DB_KIND_MOUNT) < a->db->limits.capacity[DB_KIND_MOUNT]
		       ? apply_lock_take(a->db, "mnt:", v->uuid, LK_CR, c->incarnation)
		       : 0;
	if (!lock) {
		apply_answer(a, DB_REFUSED, "no room for another mount");
		return;
	}
	volume_mount_key(c->volume, c->slot, key);
	m = db_insert(a->db, DB_KIND_MOUNT, key);
	must(m);
	COPY(m->volume, c->volume);
	m->slot = c->slot;
	m->incarnation = c->incarnation;
	m->id = c->id;
	m->lock = lock;
	m->state = DB_MOUNT_STATE_MOUNTING;
	m->since_ms = a->cmd->at_ms;
}

/* The node's mount under that id; answers if there is none. */
static struct db_mount *mount_find(struct apply *a, const char *volume, uint8_t slot, uint64_t id)
{
	struct db_mount *m = volume_mount(a->db, volume, slot);

	if (m && m->id == id)
		return m;
	apply_answer(a, DB_CONFLICT, "volume %s: no mount of that id on %s", volume,
		     db_node_name(a->db, slot));
	return NULL;
}

void do_mount_report(struct apply *a, const struct db_cmd_mount_report *c)
{
	struct db_mount *m = mount_find(a, c->volume, c->slot, c->id);

	if (!m || m->state == DB_MOUNT_STATE_MOUNTED)
		return;
	if (m->state == DB_MOUNT_STATE_GONE) {
		apply_answer(a, DB_CONFLICT, "volume %s: that mount is over", c->volume);
		return;
	}
	m->state = DB_MOUNT_STATE_MOUNTED;
	m->since_ms = a->cmd->at_ms;
	COPY(m->reason, c->reason);
}

void do_mount_gone(struct apply *a, const struct db_cmd_mount_gone *c)
{
	struct db_mount *m = mount_find(a, c->volume, c->slot, c->id);
	struct db_volume *v = m ? volume_find(a, c->volume) : NULL;

	if (!v || m->state == DB_MOUNT_STATE_GONE)
		return;
	if (m->incarnation != c->incarnation) {
		apply_answer(a, DB_CONFLICT, "volume %s: that mount is of another incarnation",
			     c->volume);
		return;
	}
	m->state = DB_MOUNT_STATE_GONE;
	m->fence_wanted = false;
	m->since_ms = a->cmd->at_ms;
	COPY(m->reason, c->reason);
	apply_event(a, "mount-gone", c->volume, "on %s: %s", db_node_name(a->db, c->slot),
		    c->reason);
	sweep(a, v);
}

void do_mount_io(struct apply *a, const struct db_cmd_mount_io *c)
{
	struct db_mount *m = mount_find(a, c->volume, c->slot, c->id);
	bool is_other = m && (m->io != c->io || strcmp(m->io_reason, c->reason) != 0);

	if (!m)
		return;
	m->io_bytes = c->bytes;
	if (!is_other)
		return;
	if (m->io != DB_MOUNT_IO_UNKNOWN || c->io != DB_MOUNT_IO_ACTIVE)
		apply_event(a, "volume-io", c->volume, "%s on %s%s%s",
			    db_choice_word(DB_KIND_MOUNT, "io", c->io),
			    db_node_name(a->db, c->slot), c->reason[0] ? ": " : "", c->reason);
	m->io = c->io;
	m->io_ms = a->cmd->at_ms;
	COPY(m->io_reason, c->reason);
}

static const char *voice_fault(const struct db_volume *v, const struct db_mount *m,
			       const struct db_cmd_mount_voice *c)
{
	if (m->state == DB_MOUNT_STATE_GONE)
		return "that mount is over";
	if (c->voice == DB_MOUNT_VOICE_STUCK)
		return NULL; /* by its own node, whoever coordinates */
	if (v->term != c->term || v->work != DB_WORK_ONLINE)
		return "that term is not that of its coordinator";
	if (m->voice == DB_MOUNT_VOICE_STUCK)
		return "it was killed and is waited for";
	return NULL;
}

void do_mount_voice(struct apply *a, const struct db_cmd_mount_voice *c)
{
	struct db_mount *m = mount_find(a, c->volume, c->slot, c->id);
	struct db_volume *v = m ? volume_find(a, c->volume) : NULL;
	const char *fault = v ? voice_fault(v, m, c) : NULL;

	if (!v)
		return;
	if (fault) {
		apply_answer(a, DB_CONFLICT, "volume %s: %s", c->volume, fault);
		return;
	}
	if (m->voice == c->voice &&
	    (c->voice != DB_MOUNT_VOICE_SILENT || m->silent_term == c->term))
		return;
	if (c->voice == DB_MOUNT_VOICE_SILENT) {
		m->silent_terms = (uint8_t)(m->silent_terms + (m->silent_terms < UINT8_MAX));
		m->silent_term = c->term;
		m->silent_node = v->node;
		m->silent_company = c->company;
	} else if (c->voice == DB_MOUNT_VOICE_ANSWERS) {
		m->silent_terms = m->silent_company = 0;
		m->silent_term = 0;
	}
	m->voice = c->voice;
	m->voice_ms = a->cmd->at_ms;
	COPY(m->silence, c->reason);
	apply_event(a, "mount-voice", c->volume, "%s on %s: %s",
		    db_choice_word(DB_KIND_MOUNT, "voice", m->voice), db_node_name(a->db, c->slot),
		    c->reason);
}

static bool is_in_force(const struct db_volume *v)
{
	return v->work == DB_WORK_STARTING || v->work == DB_WORK_ONLINE ||
	       v->work == DB_WORK_STOPPING;
}

void do_volume_recovered(struct apply *a, const struct db_cmd_volume_recovered *c)
{
	struct db_volume *v = volume_find(a, c->volume);
	struct db_mount *m;

	if (!v)
		return;
	if ((v->term != c->term || !is_in_force(v)) && !DB_MUTANT(a->db, ANY_TERM_RECOVERS)) {
		apply_answer(a, DB_CONFLICT,
			     "volume %s: term %" PRIu64 " is not that of its coordinator",
			     c->volume, c->term);
		return;
	}
	m = mount_find(a, c->volume, c->slot, c->id);
	if (!m)
		return;
	if (m->state != DB_MOUNT_STATE_GONE || m->incarnation != c->incarnation) {
		apply_answer(a, DB_CONFLICT, "volume %s: that mount is not over", c->volume);
		return;
	}
	mount_remove(a->db, m);
	sweep(a, v);
	apply_event(a, "volume-recovered", c->volume, "what the mount on %s held is free",
		    db_node_name(a->db, c->slot));
}
