/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the executor of a node does when it looks at the database: volumes, mounts, groups. */
#include <string.h>

#include "clusterd/core/volume.h"
#include "tests/sim/sim_volume_world.h"

static void report(struct world *w, int n, int v, enum db_work work)
{
	struct db_command cmd = {.type = DB_CMD_VOLUME_REPORT,
				 .volume_report = {.order = sim_volume(w, v)->order,
						   .work = (uint8_t)work,
						   .port = work == DB_WORK_ONLINE ? 7000 : 0,
						   .reason = "simulated"}};

	sim_volume_name(v, cmd.volume_report.name);
	sim_send(w, n, &cmd);
}

/* ---- the coordinator */

/* The one that is in force drops what mounts that are gone held, and says so under its term. */
static void recover(struct world *w, int n, int v)
{
	uint64_t term = w->node[n].volume[v].xfs;
	char name[CL_NAME_MAX];

	sim_volume_name(v, name);
	for (int i = 0; i < w->nodes; i++) {
		const struct db_mount *m = volume_mount(&w->db, name, (uint8_t)i);
		struct db_command cmd = {.type = DB_CMD_VOLUME_RECOVERED};

		if (!m || m->state != DB_MOUNT_STATE_GONE || !sim_chance(w, 60))
			continue;
		w->remains[v][i].dropped_id = m->id;
		w->remains[v][i].dropped_term = term;
		memcpy(cmd.volume_recovered.volume, name, sizeof(name));
		cmd.volume_recovered.term = term;
		cmd.volume_recovered.slot = m->slot;
		cmd.volume_recovered.incarnation = m->incarnation;
		cmd.volume_recovered.id = m->id;
		sim_send(w, n, &cmd);
	}
}

/* Nobody can prove that it is over. */
static void ask_fence(struct world *w, int n, const struct db_volume *row)
{
	struct db_command cmd = {.type = DB_CMD_FENCE_ASK,
				 .fence_ask = {.incarnation = w->node[n].incarnation,
					       .order = row->order,
					       .reason = "simulated"}};

	sim_node_name(n, cmd.fence_ask.name);
	memcpy(cmd.fence_ask.volume, row->name, sizeof(row->name));
	sim_send(w, n, &cmd);
}

/* Its process has ended, the filesystem may be there still: prove that it is not, or say so. */
static void look_after(struct world *w, int n, int v)
{
	const struct db_volume *row = sim_volume(w, v);
	struct local_volume *l = &w->node[n].volume[v];

	if (!(l->is_stuck && w->rate_stuck) && !sim_chance(w, w->rate_stuck)) {
		l->xfs = 0;
		l->is_stuck = false;
		l->over = row->order;
		report(w, n, v, DB_WORK_OFFLINE);
	} else if (row->work != DB_WORK_FAILED) {
		l->is_stuck = sim_chance(w, 50); /* for good */
		report(w, n, v, row->work == DB_WORK_STARTING ? DB_WORK_UNKNOWN : DB_WORK_FAILED);
	} else if (!row->fence_wanted && sim_chance(w, 50)) {
		ask_fence(w, n, row);
	}
}

static void start(struct world *w, int n, int v)
{
	const struct db_volume *row = sim_volume(w, v);
	struct local_volume *l = &w->node[n].volume[v];

	if (l->over == row->order) {
		report(w, n, v, DB_WORK_OFFLINE); /* again, if it was lost */
	} else if (l->xfs) {
		recover(w, n, v);
		report(w, n, v, DB_WORK_ONLINE);
	} else if (sim_chance(w, w->rate_fail)) {
		l->over = row->order;
		report(w, n, v, DB_WORK_FAILED);
	} else {
		TRACE(w, "n%d: v%d is mounted in term %" PRIu64, n, v, row->term);
		l->xfs = row->term;
		l->is_process = true;
	}
}

static bool is_hung(const struct world *w, int v, const struct db_mount *m)
{
	const struct local_volume *l = m ? &w->node[m->slot].volume[v] : NULL;

	return l && l->hung == m->id && l->fuse == m->id;
}

/* The coordinator says who does not answer it, and who does again. */
static void voices(struct world *w, int n, int v)
{
	const struct db_volume *row = sim_volume(w, v);
	struct db_command cmd = {.type = DB_CMD_MOUNT_VOICE};
	struct db_cmd_mount_voice *c = &cmd.mount_voice;

	c->term = row->term;
	sim_volume_name(v, c->volume);
	for (int k = 0; k < w->nodes; k++)
		c->company = (uint8_t)(c->company +
				       is_hung(w, v, volume_mount(&w->db, c->volume, (uint8_t)k)));
	for (int k = 0; k < w->nodes; k++) {
		const struct db_mount *m = volume_mount(&w->db, c->volume, (uint8_t)k);

		if (!m || m->state == DB_MOUNT_STATE_GONE ||
		    (!is_hung(w, v, m) && m->voice == DB_MOUNT_VOICE_ANSWERS))
			continue;
		c->slot = m->slot;
		c->id = m->id;
		c->voice = is_hung(w, v, m) ? DB_MOUNT_VOICE_SILENT : DB_MOUNT_VOICE_ANSWERS;
		sim_send(w, n, &cmd);
	}
}

static void coordinate(struct world *w, int n, int v)
{
	const struct db_volume *row = sim_volume(w, v);
	struct local_volume *l = &w->node[n].volume[v];

	if (!row || !row->lock || row->node != n || row->incarnation != w->node[n].incarnation)
		return;
	if (l->is_process && sim_chance(w, w->rate_crash)) {
		TRACE(w, "n%d: the coordinator of v%d dies", n, v);
		l->is_process = false;
		return;
	}
	if (row->work == DB_WORK_STARTING && (l->is_process || !l->xfs)) {
		start(w, n, v);
	} else if (row->work == DB_WORK_ONLINE && l->is_process) {
		recover(w, n, v);
		voices(w, n, v);
	} else if (row->work != DB_WORK_UNKNOWN) {
		l->is_process = false; /* ordered to stop, or ended by itself */
		look_after(w, n, v);
	}
}

/* ---- mounts */

static void mount_begin(struct world *w, int n, int v)
{
	struct node *o = &w->node[n];
	struct db_command cmd = {.type = DB_CMD_MOUNT_SET};

	if (o->volume[v].mine && !sim_chance(w, 30))
		return; /* under way */
	o->volume[v].mine = prng_next(&w->rng) | 1;
	sim_volume_name(v, cmd.mount_set.volume);
	cmd.mount_set.slot = (uint8_t)n;
	cmd.mount_set.incarnation = o->incarnation;
	cmd.mount_set.id = o->volume[v].mine;
	sim_send(w, n, &cmd);
}

static void mount_end(struct world *w, int n, const struct db_mount *m)
{
	struct db_command cmd = {.type = DB_CMD_MOUNT_GONE, .mount_gone = {.reason = "simulated"}};

	memcpy(cmd.mount_gone.volume, m->volume, sizeof(m->volume));
	cmd.mount_gone.slot = m->slot;
	cmd.mount_gone.incarnation = m->incarnation;
	cmd.mount_gone.id = m->id;
	sim_send(w, n, &cmd);
}

static void mount_works(struct world *w, int n, const struct db_mount *m)
{
	struct db_command cmd = {.type = DB_CMD_MOUNT_REPORT};

	memcpy(cmd.mount_report.volume, m->volume, sizeof(m->volume));
	cmd.mount_report.slot = m->slot;
	cmd.mount_report.id = m->id;
	sim_send(w, n, &cmd);
}

/* It answers nobody any more; often it is not alone. */
static void hang(struct world *w, int n, int v)
{
	for (int k = 0; k < w->nodes; k++) {
		struct local_volume *l = &w->node[k].volume[v];

		if (k == n || sim_chance(w, 40))
			l->hung = l->fuse;
	}
}

static void mount_tend(struct world *w, int n, int v, struct db_mount *m, bool is_wanted)
{
	struct local_volume *l = &w->node[n].volume[v];
	const struct db_volume *row = sim_volume(w, v);

	if (l->hung != l->fuse)
		l->hung = 0;
	if (l->fuse && !w->is_healed && sim_chance(w, 3))
		hang(w, n, v);
	if (l->fuse && volume_mount_is_condemned(&w->db, row, m)) {
		TRACE(w, "n%d: the mount of v%d is killed: it does not answer", n, v);
		l->fuse = l->hung = 0;
	}
	if (l->hung && is_wanted)
		return; /* nor does it end */
	if (l->fuse && (!is_wanted || sim_chance(w, w->rate_crash)))
		l->fuse = 0;
	else if (is_wanted && !l->fuse && m->state == DB_MOUNT_STATE_MOUNTING && l->mine == m->id)
		l->fuse = m->id;
	if (l->fuse && m->state == DB_MOUNT_STATE_MOUNTING)
		mount_works(w, n, m);
	if (l->fuse)
		return;
	l->mine = 0; /* it is said to be over, so it must not come up any more */
	mount_end(w, n, m);
}

static void mounts(struct world *w, int n, int v)
{
	const struct db_volume *row = sim_volume(w, v);
	const struct db_node *node = sim_node(w, n);
	struct db_mount *m;
	char name[CL_NAME_MAX];

	if (!row)
		return;
	sim_volume_name(v, name);
	m = volume_mount(&w->db, name, (uint8_t)n);
	if (m && m->incarnation == node->incarnation && m->state != DB_MOUNT_STATE_GONE)
		mount_tend(w, n, v, m, volume_mount_wanted(&w->db, row, node));
	else if ((!m && volume_mount_wanted(&w->db, row, node) && !node->is_leaving) ||
		 (!w->is_healed && sim_chance(w, 5))) /* the database has to say no */
		mount_begin(w, n, v);
}

/* ---- groups */

static void group(struct world *w, int n, int g)
{
	const struct db_group *row = sim_group(w, g);
	struct node *o = &w->node[n];
	struct db_command cmd = {.type = DB_CMD_GROUP_REPORT};
	struct db_cmd_group_report *r = &cmd.group_report;

	if (!row || !row->lock || row->node != n || row->incarnation != o->incarnation)
		return;
	sim_group_name(g, r->name);
	r->order = row->order;
	/* Online there and not here: its node was lost before it had started, or its report was. */
	if (row->work == DB_WORK_STOPPING) {
		o->run[g] = 0;
		o->over[g] = row->order;
		r->work = DB_WORK_OFFLINE;
	} else if (row->work != DB_WORK_STARTING && (row->work != DB_WORK_ONLINE || o->run[g])) {
		return;
	} else if (o->over[g] == row->order || sim_chance(w, w->rate_fail)) {
		o->run[g] = 0;
		o->over[g] = row->order;
		r->work = DB_WORK_FAILED;
	} else {
		o->run[g] = row->order;
		r->work = DB_WORK_ONLINE;
	}
	sim_send(w, n, &cmd);
}

/* ---- leaving */

static bool is_empty(const struct world *w, int n)
{
	const struct node *o = &w->node[n];

	for (int v = 0; v < w->volumes; v++) {
		if (o->volume[v].xfs || o->volume[v].fuse)
			return false;
	}
	for (int g = 0; g < w->groups; g++) {
		if (o->run[g])
			return false;
	}
	return true;
}

static void leave(struct world *w, int n)
{
	const struct db_node *row = sim_node(w, n);
	struct db_command cmd = {.type = DB_CMD_NODE_LEAVE, .node_leave = {.is_done = true}};

	/* Now and then it asks too early: the database has to say no. */
	if (!row->is_leaving || (!is_empty(w, n) && !sim_chance(w, 10)))
		return;
	sim_node_name(n, cmd.node_leave.name);
	cmd.node_leave.incarnation = row->incarnation;
	sim_send(w, n, &cmd);
}

void sim_exec(struct world *w, int n)
{
	const struct db_node *row = sim_node(w, n);
	struct node *o = &w->node[n];

	if (o->is_up && o->is_connected && row && row->incarnation == o->incarnation &&
	    (row->membership == DB_MEMBERSHIP_FENCED || row->membership == DB_MEMBERSHIP_FENCING)) {
		sim_die(w, n); /* there is no way back: it resets */
		return;
	}
	if (row && row->membership == DB_MEMBERSHIP_LEFT && row->incarnation == o->incarnation &&
	    row->instance == o->instance)
		o->is_process = false;
	if (!sim_is_member(w, n))
		return;
	switch (prng_below(&w->rng, 4)) {
	case 0:
		coordinate(w, n, (int)prng_below(&w->rng, (uint64_t)w->volumes));
		break;
	case 1:
		mounts(w, n, (int)prng_below(&w->rng, (uint64_t)w->volumes));
		break;
	case 2:
		group(w, n, (int)prng_below(&w->rng, (uint64_t)w->groups));
		break;
	default:
		leave(w, n);
		break;
	}
}
