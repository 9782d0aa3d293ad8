/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/assume.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/core/job.h"
#include "clusterd/core/vm.h"
#include "clusterd/core/volume.h"

static bool is_up(const struct assume *a, uint8_t slot, uint64_t incarnation)
{
	const struct db_node *n = db_node_by_slot(a->db, slot);

	return n && n->membership == DB_MEMBERSHIP_ADMITTED && n->incarnation == incarnation;
}

static int succeed_volume(const struct assume *a, const struct db_volume *v)
{
	struct db_command cmd = {.type = DB_CMD_VOLUME_REPORT,
				 .volume_report = {.order = v->order}};

	if (!is_up(a, v->node, v->incarnation) ||
	    (v->work != DB_WORK_STARTING && v->work != DB_WORK_STOPPING))
		return 0;
	memcpy(cmd.volume_report.name, v->name, sizeof(v->name));
	cmd.volume_report.work = v->work == DB_WORK_STARTING ? DB_WORK_ONLINE : DB_WORK_OFFLINE;
	cmd.volume_report.port = v->work == DB_WORK_STARTING ? ASSUME_PORT : 0;
	snprintf(cmd.volume_report.reason, sizeof(cmd.volume_report.reason), "%s",
		 v->work == DB_WORK_STARTING ? "serves" : "unmounted");
	a->apply(a->arg, &cmd);
	return 1;
}

static int recover(const struct assume *a, const struct db_volume *v, const struct db_mount *m)
{
	struct db_command cmd = {.type = DB_CMD_VOLUME_RECOVERED,
				 .volume_recovered = {.term = v->term,
						      .slot = m->slot,
						      .incarnation = m->incarnation,
						      .id = m->id}};

	if (v->work != DB_WORK_ONLINE || !is_up(a, v->node, v->incarnation))
		return 0;
	memcpy(cmd.volume_recovered.volume, v->name, sizeof(v->name));
	a->apply(a->arg, &cmd);
	return 1;
}

/* One node's mount of one volume: what the node would do next. */
static int succeed_mount(const struct assume *a, const struct db_volume *v, const struct db_node *n)
{
	const struct db_mount *m = volume_mount(a->db, v->name, n->slot);
	bool is_wanted = volume_mount_wanted(a->db, v, n);
	struct db_command cmd = {.type = DB_CMD_MOUNT_SET,
				 .mount_set = {.slot = n->slot, .incarnation = n->incarnation}};

	if (m && m->state == DB_MOUNT_STATE_GONE)
		return recover(a, v, m);
	if (n->membership != DB_MEMBERSHIP_ADMITTED)
		return 0;
	if (!m && is_wanted && !db_node_departs(n)) {
		memcpy(cmd.mount_set.volume, v->name, sizeof(v->name));
		cmd.mount_set.id = a->mount_base + (*a->mounts)++;
		a->apply(a->arg, &cmd);
		return 1;
	}
	if (m && is_wanted && m->state == DB_MOUNT_STATE_MOUNTING && v->work == DB_WORK_ONLINE) {
		cmd = (struct db_command){.type = DB_CMD_MOUNT_REPORT,
					  .mount_report = {.slot = n->slot, .id = m->id}};
		memcpy(cmd.mount_report.volume, v->name, sizeof(v->name));
		a->apply(a->arg, &cmd);
		return 1;
	}
	if (!m || is_wanted)
		return 0;
	cmd = (struct db_command){.type = DB_CMD_MOUNT_GONE,
				  .mount_gone = {.slot = n->slot,
						 .incarnation = m->incarnation,
						 .id = m->id,
						 .reason = "unmounted"}};
	memcpy(cmd.mount_gone.volume, v->name, sizeof(v->name));
	a->apply(a->arg, &cmd);
	return 1;
}

static bool can_hand_over(const struct assume *a, const struct db_migration *m)
{
	const struct db_group *g = db_find(a->db, DB_KIND_GROUP, m->vm);
	char why[DB_REASON_MAX];

	return !m->is_cancelled && g->work == DB_WORK_ONLINE &&
	       !vm_bars_volumes(a->db, g, m->destination, why, sizeof(why));
}

static void hand_over(const struct assume *a, const struct db_migration *m)
{
	struct db_command cmd = {.type = DB_CMD_MIGRATION_REPORT,
				 .migration_report = {.id = m->id,
						      .slot = m->source,
						      .incarnation = m->source_incarnation,
						      .phase = DB_MIGRATION_PHASE_STORAGE_HANDLE}};

	a->apply(a->arg, &cmd);
	cmd = (struct db_command){
		.type = DB_CMD_MIGRATION_TRANSFER,
		.migration_transfer = {.id = m->id, .source_incarnation = m->source_incarnation}};
	a->apply(a->arg, &cmd);
}

/* From its begin to its end; one that cannot be handed over ends before. */
static int succeed_migration(const struct assume *a, uint64_t id)
{
	const struct db_migration *m = db_find_id(a->db, DB_KIND_MIGRATION, id);
	bool is_moved = m->phase == DB_MIGRATION_PHASE_ONLINE;
	struct db_command cmd = {.type = DB_CMD_MIGRATION_END};

	if (!vm_is_session(m) || (!is_moved && !is_up(a, m->source, m->source_incarnation)))
		return 0;
	if (!is_moved && can_hand_over(a, m)) {
		if (!is_up(a, m->destination, m->destination_incarnation))
			return 0;
		hand_over(a, m);
		is_moved = true;
	}
	cmd.migration_end = (struct db_cmd_migration_end){
		.id = id,
		.is_success = is_moved,
		.slot = is_moved ? m->destination : m->source,
		.incarnation = is_moved ? m->destination_incarnation : m->source_incarnation};
	if (!is_up(a, cmd.migration_end.slot, cmd.migration_end.incarnation))
		return 0;
	snprintf(cmd.migration_end.reason, sizeof(cmd.migration_end.reason), "%s",
		 is_moved ? "it runs" : "stopped");
	a->apply(a->arg, &cmd);
	return 1;
}

static int succeed_group(const struct assume *a, const struct db_group *g)
{
	struct db_command cmd = {.type = DB_CMD_GROUP_REPORT, .group_report = {.order = g->order}};

	if (!is_up(a, g->node, g->incarnation) ||
	    (g->work != DB_WORK_STARTING && g->work != DB_WORK_STOPPING))
		return 0;
	memcpy(cmd.group_report.name, g->name, sizeof(g->name));
	cmd.group_report.work = g->work == DB_WORK_STARTING ? DB_WORK_ONLINE : DB_WORK_OFFLINE;
	snprintf(cmd.group_report.reason, sizeof(cmd.group_report.reason), "%s",
		 g->work == DB_WORK_STARTING ? "started" : "stopped");
	a->apply(a->arg, &cmd);
	return 1;
}

static int succeed_job(const struct assume *a, const struct db_job *j)
{
	struct db_command cmd = {.type = DB_CMD_JOB_END,
				 .job_end = {.id = j->id, .order = j->order, .is_success = true}};
	bool runs;

	if (!j->order || !is_up(a, j->node, j->incarnation) || !job_may_begin(a->db, j, &runs))
		return 0;
	cmd.job_end.was_running = runs;
	snprintf(cmd.job_end.reason, sizeof(cmd.job_end.reason), "done");
	a->apply(a->arg, &cmd);
	return 1;
}

static bool is_meant(const char *name, const char *only)
{
	return !only || !strcmp(name, only);
}

static bool is_enough(const struct assume *a, int done)
{
	return a->limit && done >= a->limit;
}

static int succeed_volumes(const struct assume *a, const char *only)
{
	int done = 0;

	for (uint32_t i = db_count(a->db, DB_KIND_VOLUME); i-- > 0 && !is_enough(a, done);) {
		const struct db_volume *v = db_at(a->db, DB_KIND_VOLUME, i);
		char name[CL_NAME_MAX];

		if (!is_meant(v->name, only))
			continue;
		memcpy(name, v->name, sizeof(name));
		done += succeed_volume(a, v);
		for (uint32_t k = 0; k < db_count(a->db, DB_KIND_NODE); k++) {
			v = db_find(a->db, DB_KIND_VOLUME, name);
			if (v) /* what is being deleted goes with its last mount */
				done += succeed_mount(a, v, db_at(a->db, DB_KIND_NODE, k));
		}
	}
	return done;
}

int assume_success(const struct assume *a, const char *only)
{
	int done = succeed_volumes(a, only);

	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_MIGRATION) && !is_enough(a, done); i++) {
		const struct db_migration *m = db_at(a->db, DB_KIND_MIGRATION, i);

		if (is_meant(m->vm, only))
			done += succeed_migration(a, m->id);
	}
	for (uint32_t i = db_count(a->db, DB_KIND_JOB); i-- > 0 && !is_enough(a, done);) {
		const struct db_job *j = db_at(a->db, DB_KIND_JOB, i);

		if (is_meant(j->vm, only))
			done += succeed_job(a, j);
	}
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_GROUP) && !is_enough(a, done); i++) {
		const struct db_group *g = db_at(a->db, DB_KIND_GROUP, i);

		if (is_meant(g->name, only))
			done += succeed_group(a, g);
	}
	return done;
}
