/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes, mounts and groups, and leaving. See sim_exec.h. */
#include <stdarg.h>
#include <string.h>

#include "clusterd/core/volume.h"
#include "tests/sim/sim_exec.h"

__attribute__((format(printf, 2, 3))) static void say(const struct sim_exec *x, const char *format,
						      ...)
{
	char text[128];
	va_list ap;

	if (!x->say)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	x->say(x->arg, text);
}

static const struct db_volume *volume_row(const struct sim_exec *x, int v)
{
	char name[CL_NAME_MAX];

	sim_volume_name(v, name);
	return db_find(x->db, DB_KIND_VOLUME, name);
}

static void send(const struct sim_exec *x, const struct db_command *cmd)
{
	x->send(x->arg, x->slot, cmd);
}

static void report(const struct sim_exec *x, int v, enum db_work work)
{
	struct db_command cmd = {.type = DB_CMD_VOLUME_REPORT,
				 .volume_report = {.order = volume_row(x, v)->order,
						   .work = (uint8_t)work,
						   .port = work == DB_WORK_ONLINE ? 7000 : 0,
						   .reason = "simulated"}};

	sim_volume_name(v, cmd.volume_report.name);
	send(x, &cmd);
}

/* ---- the coordinator */

/* The one that is in force drops what mounts that are gone held, and says so under its term. */
static void recover(const struct sim_exec *x, int v)
{
	uint64_t term = x->volume[v].xfs;
	char name[CL_NAME_MAX];

	sim_volume_name(v, name);
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_mount *m = volume_mount(x->db, name, slot);
		struct db_command cmd = {.type = DB_CMD_VOLUME_RECOVERED};

		if (!m || m->state != DB_MOUNT_STATE_GONE || !sim_exec_chance(x, 60))
			continue;
		if (x->dropped)
			x->dropped(x->arg, v, slot, m->id, term);
		memcpy(cmd.volume_recovered.volume, name, sizeof(name));
		cmd.volume_recovered.term = term;
		cmd.volume_recovered.slot = m->slot;
		cmd.volume_recovered.incarnation = m->incarnation;
		cmd.volume_recovered.id = m->id;
		send(x, &cmd);
	}
}

/* Nobody can prove that it is over. */
static void ask_fence(const struct sim_exec *x, const struct db_volume *row)
{
	struct db_command cmd = {.type = DB_CMD_FENCE_ASK,
				 .fence_ask = {.incarnation = x->incarnation,
					       .order = row->order,
					       .reason = "simulated"}};

	snprintf(cmd.fence_ask.name, sizeof(cmd.fence_ask.name), "%s",
		 db_node_name(x->db, x->slot));
	memcpy(cmd.fence_ask.volume, row->name, sizeof(row->name));
	send(x, &cmd);
}

/* Its process has ended, the filesystem may be there still: prove that it is not, or say so. */
static void look_after(const struct sim_exec *x, int v)
{
	const struct db_volume *row = volume_row(x, v);
	struct local_volume *l = &x->volume[v];

	if (!(l->is_stuck && x->rate_stuck) && !sim_exec_chance(x, x->rate_stuck)) {
		l->xfs = 0;
		l->is_stuck = false;
		l->over = row->order;
		report(x, v, DB_WORK_OFFLINE);
	} else if (row->work != DB_WORK_FAILED) {
		l->is_stuck = sim_exec_chance(x, 50); /* for good */
		report(x, v, row->work == DB_WORK_STARTING ? DB_WORK_UNKNOWN : DB_WORK_FAILED);
	} else if (!row->fence_wanted && sim_exec_chance(x, 50)) {
		ask_fence(x, row);
	}
}

static void start(const struct sim_exec *x, int v)
{
	const struct db_volume *row = volume_row(x, v);
	struct local_volume *l = &x->volume[v];

	if (l->over == row->order) {
		report(x, v, DB_WORK_OFFLINE); /* again, if it was lost */
	} else if (l->xfs) {
		recover(x, v);
		report(x, v, DB_WORK_ONLINE);
	} else if (sim_exec_chance(x, x->rate_fail)) {
		l->over = row->order;
		report(x, v, DB_WORK_FAILED);
	} else {
		say(x, "v%d is mounted in term %" PRIu64, v, row->term);
		l->xfs = row->term;
		l->is_process = true;
	}
}

static bool is_hung(const struct sim_exec *x, int v, const struct db_mount *m)
{
	return m && x->is_hung && x->is_hung(x->arg, v, m->slot, m->id);
}

/* The coordinator says who does not answer it, and who does again. */
static void voices(const struct sim_exec *x, int v)
{
	struct db_command cmd = {.type = DB_CMD_MOUNT_VOICE};
	struct db_cmd_mount_voice *c = &cmd.mount_voice;

	c->term = volume_row(x, v)->term;
	sim_volume_name(v, c->volume);
	for (uint8_t k = 0; k < CL_MAX_NODES; k++)
		c->company =
			(uint8_t)(c->company + is_hung(x, v, volume_mount(x->db, c->volume, k)));
	for (uint8_t k = 0; k < CL_MAX_NODES; k++) {
		const struct db_mount *m = volume_mount(x->db, c->volume, k);

		if (!m || m->state == DB_MOUNT_STATE_GONE ||
		    (!is_hung(x, v, m) && m->voice == DB_MOUNT_VOICE_ANSWERS))
			continue;
		c->slot = m->slot;
		c->id = m->id;
		c->voice = is_hung(x, v, m) ? DB_MOUNT_VOICE_SILENT : DB_MOUNT_VOICE_ANSWERS;
		send(x, &cmd);
	}
}

void sim_exec_coordinate(const struct sim_exec *x, int v)
{
	const struct db_volume *row = volume_row(x, v);
	struct local_volume *l = &x->volume[v];

	if (!row || !row->lock || row->node != x->slot || row->incarnation != x->incarnation)
		return;
	if (l->is_process && sim_exec_chance(x, x->rate_crash)) {
		say(x, "the coordinator of v%d dies", v);
		l->is_process = false;
		return;
	}
	if (row->work == DB_WORK_STARTING && (l->is_process || !l->xfs)) {
		start(x, v);
	} else if (row->work == DB_WORK_ONLINE && l->is_process) {
		recover(x, v);
		voices(x, v);
	} else if (row->work != DB_WORK_UNKNOWN) {
		l->is_process = false; /* ordered to stop, or ended by itself */
		look_after(x, v);
	}
}

/* ---- mounts */

static void mount_begin(const struct sim_exec *x, int v)
{
	struct db_command cmd = {.type = DB_CMD_MOUNT_SET};

	if (x->volume[v].mine && !sim_exec_chance(x, 30))
		return; /* under way */
	x->volume[v].mine = prng_next(x->rng) | 1;
	sim_volume_name(v, cmd.mount_set.volume);
	cmd.mount_set.slot = x->slot;
	cmd.mount_set.incarnation = x->incarnation;
	cmd.mount_set.id = x->volume[v].mine;
	send(x, &cmd);
}

static void mount_end(const struct sim_exec *x, const struct db_mount *m)
{
	struct db_command cmd = {.type = DB_CMD_MOUNT_GONE, .mount_gone = {.reason = "simulated"}};

	memcpy(cmd.mount_gone.volume, m->volume, sizeof(m->volume));
	cmd.mount_gone.slot = m->slot;
	cmd.mount_gone.incarnation = m->incarnation;
	cmd.mount_gone.id = m->id;
	send(x, &cmd);
}

static void mount_works(const struct sim_exec *x, const struct db_mount *m)
{
	struct db_command cmd = {.type = DB_CMD_MOUNT_REPORT};

	memcpy(cmd.mount_report.volume, m->volume, sizeof(m->volume));
	cmd.mount_report.slot = m->slot;
	cmd.mount_report.id = m->id;
	send(x, &cmd);
}

static void mount_tend(const struct sim_exec *x, int v, const struct db_mount *m, bool is_wanted)
{
	struct local_volume *l = &x->volume[v];

	if (l->hung != l->fuse)
		l->hung = 0;
	if (l->fuse && !x->is_healed && x->hang && sim_exec_chance(x, 3))
		x->hang(x->arg, x->slot, v);
	if (l->fuse && volume_mount_is_condemned(x->db, volume_row(x, v), m)) {
		say(x, "the mount of v%d is killed: it does not answer", v);
		l->fuse = l->hung = 0;
	}
	if (l->hung && is_wanted)
		return; /* nor does it end */
	if (l->fuse && (!is_wanted || sim_exec_chance(x, x->rate_crash)))
		l->fuse = 0;
	else if (is_wanted && !l->fuse && m->state == DB_MOUNT_STATE_MOUNTING && l->mine == m->id)
		l->fuse = m->id;
	if (l->fuse && m->state == DB_MOUNT_STATE_MOUNTING)
		mount_works(x, m);
	if (l->fuse)
		return;
	l->mine = 0; /* it is said to be over, so it must not come up any more */
	mount_end(x, m);
}

void sim_exec_mount(const struct sim_exec *x, int v)
{
	const struct db_volume *row = volume_row(x, v);
	const struct db_node *node = db_node_by_slot(x->db, x->slot);
	const struct db_mount *m;
	char name[CL_NAME_MAX];

	if (!row)
		return;
	sim_volume_name(v, name);
	m = volume_mount(x->db, name, x->slot);
	if (m && m->incarnation == node->incarnation && m->state != DB_MOUNT_STATE_GONE)
		mount_tend(x, v, m, volume_mount_wanted(x->db, row, node));
	else if ((!m && volume_mount_wanted(x->db, row, node) && !db_node_departs(node)) ||
		 (!x->is_healed && sim_exec_chance(x, 5))) /* the database has to say no */
		mount_begin(x, v);
}

/* ---- groups */

void sim_exec_group(const struct sim_exec *x, int g)
{
	struct db_command cmd = {.type = DB_CMD_GROUP_REPORT};
	struct db_cmd_group_report *r = &cmd.group_report;
	const struct db_group *row;

	sim_group_name(g, r->name);
	row = db_find(x->db, DB_KIND_GROUP, r->name);
	if (!row || !row->lock || row->node != x->slot || row->incarnation != x->incarnation)
		return;
	r->order = row->order;
	/* Online there and not here: its node was lost before it had started, or its report was. */
	if (row->work == DB_WORK_STOPPING) {
		x->run[g] = 0;
		x->over[g] = row->order;
		r->work = DB_WORK_OFFLINE;
	} else if (row->work != DB_WORK_STARTING && (row->work != DB_WORK_ONLINE || x->run[g])) {
		return;
	} else if (x->over[g] == row->order || sim_exec_chance(x, x->rate_fail)) {
		x->run[g] = 0;
		x->over[g] = row->order;
		r->work = DB_WORK_FAILED;
	} else {
		x->run[g] = row->order;
		r->work = DB_WORK_ONLINE;
	}
	send(x, &cmd);
}

/* ---- leaving */

bool sim_exec_is_empty(const struct sim_exec *x)
{
	for (int v = 0; v < x->volumes; v++) {
		if (x->volume[v].xfs || x->volume[v].fuse)
			return false;
	}
	for (int g = 0; g < x->groups; g++) {
		if (x->run[g])
			return false;
	}
	for (int i = 0; i < x->vms; i++) {
		for (int k = 0; k < SIM_PROCESSES; k++) {
			if (x->process[i][k].instance)
				return false;
		}
	}
	return true;
}

void sim_exec_leave(const struct sim_exec *x)
{
	const struct db_node *row = db_node_by_slot(x->db, x->slot);
	struct db_command cmd = {.type = DB_CMD_NODE_LEAVE, .node_leave = {.is_done = true}};

	if (!row || !row->is_leaving || (!sim_exec_is_empty(x) && !sim_exec_chance(x, 10)))
		return;
	memcpy(cmd.node_leave.name, row->name, sizeof(row->name));
	cmd.node_leave.incarnation = row->incarnation;
	send(x, &cmd);
}
