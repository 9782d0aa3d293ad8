/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/volumes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clusterd/core/volume.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/volumes_impl.h"
#include "lib/must.h"
#include "lib/run.h"
#include "lib/uuid.h"

/* ---- what the database says */

static const struct db_mount *mount_row(const struct volumes_local *l)
{
	const struct engine *e = l->volumes->engine;

	for (uint32_t i = 0; i < db_count(&e->db, DB_KIND_MOUNT); i++) {
		const struct db_mount *m = db_at(&e->db, DB_KIND_MOUNT, i);

		if (m->slot == e->repl.self_slot && !strcmp(m->volume, l->name))
			return m;
	}
	return NULL;
}

static bool is_self(const struct engine *e, uint8_t slot, uint64_t incarnation)
{
	return slot == e->repl.self_slot && incarnation == e->repl.self.incarnation;
}

static bool mount_is_wanted(const struct volumes_local *l, const struct db_volume *row)
{
	const struct engine *e = l->volumes->engine;
	const struct db_node *n = db_node_by_slot(&e->db, e->repl.self_slot);

	return row && n && n->incarnation == e->repl.self.incarnation &&
	       volume_mount_wanted(&e->db, row, n);
}

static bool lease_holds(const struct volumes *v)
{
	return engine_may_act(v->engine) && engine_now_ms() < v->engine->repl.lease.deadline_ms;
}

/* ---- telling the cluster */

static void told(void *arg, int r, const struct db_result *result)
{
	struct volumes_local *l = arg;
	uint8_t *refusals = &l->again[l->request].refusals;

	l->request_runs = false;
	if (r)
		return;
	if (!result->code) {
		*refusals = 0;
		return;
	}
	log_info("volume %s: not taken: %s", l->name, result->text);
	l->again[l->request].next_ms = engine_now_ms() + ((uint64_t)VOLUMES_AGAIN_MS << *refusals);
	*refusals = (uint8_t)(*refusals + (*refusals < VOLUMES_AGAIN_MAX));
}

/* One command at a time for a volume; what is not taken is found wanting at the next look. */
static void tell(struct volumes_local *l, const struct db_command *cmd)
{
	struct engine *e = l->volumes->engine;

	if (l->request_runs || e->repl.phase != REPL_OPEN ||
	    (l->again[cmd->type].refusals && engine_now_ms() < l->again[cmd->type].next_ms))
		return;
	l->request = cmd->type;
	l->request_runs = !engine_request(e, cmd, VOLUMES_REQUEST_MS, told, l);
}

static void tell_mount_gone(struct volumes_local *l, const struct db_mount *m, const char *why)
{
	struct db_command cmd = engine_command(l->volumes->engine, DB_CMD_MOUNT_GONE);

	memcpy(cmd.mount_gone.volume, l->name, sizeof(l->name));
	cmd.mount_gone.slot = m->slot;
	cmd.mount_gone.incarnation = m->incarnation;
	cmd.mount_gone.id = m->id;
	snprintf(cmd.mount_gone.reason, sizeof(cmd.mount_gone.reason), "%s", why);
	tell(l, &cmd);
}

static void tell_mounted(struct volumes_local *l, const struct db_mount *m)
{
	struct db_command cmd = engine_command(l->volumes->engine, DB_CMD_MOUNT_REPORT);

	memcpy(cmd.mount_report.volume, l->name, sizeof(l->name));
	cmd.mount_report.slot = m->slot;
	cmd.mount_report.id = m->id;
	snprintf(cmd.mount_report.reason, sizeof(cmd.mount_report.reason), "mounted at %s/%s",
		 l->volumes->options.mount_dir, l->name);
	tell(l, &cmd);
}

/* A number that was never used and never will be: 64 random bits, but not 0. */
static uint64_t new_mount_id(void)
{
	uint64_t id = 0;

	while (!id)
		must(getrandom(&id, sizeof(id), 0) == (ssize_t)sizeof(id));
	return id;
}

static void ask_mount(struct volumes_local *l)
{
	struct engine *e = l->volumes->engine;
	struct db_command cmd = engine_command(e, DB_CMD_MOUNT_SET);

	if (l->request_runs)
		return;
	l->wanted_id = new_mount_id();
	memcpy(cmd.mount_set.volume, l->name, sizeof(l->name));
	cmd.mount_set.slot = e->repl.self_slot;
	cmd.mount_set.incarnation = e->repl.self.incarnation;
	cmd.mount_set.id = l->wanted_id;
	tell(l, &cmd);
}

static void tell_volume(struct volumes_local *l, const struct db_volume *row, enum db_work work,
			uint16_t port, const char *why)
{
	struct db_command cmd = engine_command(l->volumes->engine, DB_CMD_VOLUME_REPORT);

	memcpy(cmd.volume_report.name, l->name, sizeof(l->name));
	cmd.volume_report.order = row->order;
	cmd.volume_report.work = (uint8_t)work;
	cmd.volume_report.port = port;
	snprintf(cmd.volume_report.reason, sizeof(cmd.volume_report.reason), "%s", why);
	tell(l, &cmd);
}

static void tell_recovered(struct volumes_local *l, const struct db_volume *row,
			   const struct db_mount *m)
{
	struct db_command cmd = engine_command(l->volumes->engine, DB_CMD_VOLUME_RECOVERED);

	memcpy(cmd.volume_recovered.volume, l->name, sizeof(l->name));
	cmd.volume_recovered.term = row->term;
	cmd.volume_recovered.slot = m->slot;
	cmd.volume_recovered.incarnation = m->incarnation;
	cmd.volume_recovered.id = m->id;
	tell(l, &cmd);
}

/* ---- what is stuck asks for a fence, unless it is the LUN that hangs */

static void lun_looked_at(void *arg, const struct volumes_identity *identity)
{
	struct volumes_local *l = arg;

	l->lun_runs = false;
	l->lun_answers = !strcmp(identity->uuid, l->uuid_text);
	if (l->lun_answers)
		return;
	/* Looked at more and more seldom: what hangs in there may stay. */
	l->lun_next_ms = engine_now_ms() + ((uint64_t)VOLUMES_LUN_MS << l->lun_tries);
	l->lun_tries = (uint8_t)(l->lun_tries + (l->lun_tries < VOLUMES_AGAIN_MAX));
	log_warning("volume %s: stuck here, and its LUN does not answer (%s) -> no fence is asked "
		    "for",
		    l->name, identity->text[0] ? identity->text : "another volume is on it");
}

/* `order`: in force, of a mount its id. */
static void send_fence_ask(struct volumes_local *l, bool is_mount, uint64_t order, const char *why)
{
	const struct repl_state *s = &l->volumes->engine->repl;
	struct db_command cmd = engine_command(l->volumes->engine, DB_CMD_FENCE_ASK);
	struct db_cmd_fence_ask *c = &cmd.fence_ask;

	memcpy(c->name, s->self.name.text, sizeof(c->name));
	c->incarnation = s->self.incarnation;
	memcpy(c->volume, l->name, sizeof(l->name));
	c->is_mount = is_mount;
	c->order = order;
	snprintf(c->reason, sizeof(c->reason), "%s", why);
	tell(l, &cmd);
}

static void ask_fence(struct volumes_local *l, const struct db_volume *row, bool is_mount,
		      uint64_t order, const char *why)
{
	if (l->lun_answers)
		send_fence_ask(l, is_mount, order, why);
	else if (!l->lun_runs && engine_now_ms() >= l->lun_next_ms)
		l->lun_runs = !volumes_identify(l->volumes, row->device, lun_looked_at, l);
}

/*
 * It was killed because others wait for it, and nobody can prove that it is over. That our own path
 * may be what hangs is no hindrance: the coordinator serves, so the LUN is there.
 */
static void look_at_killed(struct volumes_local *l, const struct db_volume *row,
			   const struct db_mount *m)
{
	const struct volumes_process *p = &l->mount;
	struct db_command cmd;

	if (volumes_find_stuck(l, m, &cmd))
		tell(l, &cmd);
	else if (m->voice == DB_MOUNT_VOICE_STUCK && !m->fence_wanted && p->killed_ms &&
		 row->work == DB_WORK_ONLINE && engine_now_ms() - p->killed_ms > VOLUMES_STUCK_MS)
		send_fence_ask(l, true, m->id, volumes_last_words(p, "its mount does not end"));
}

/* It should be over, and has not been proven to be for so long that nothing more is to be expected.
 */
static bool is_stuck(struct volumes_process *p, uint64_t order)
{
	uint64_t now = engine_now_ms();

	if (p->stuck_order != order) {
		p->stuck_order = order;
		p->stuck_ms = now;
	}
	return now - p->stuck_ms > VOLUMES_STUCK_MS;
}

/* ---- processes: common */

static void forget_process(struct volumes_process *p)
{
	*p = (struct volumes_process){.role = p->role};
}

/* What the process has said last. */
static void take_words(struct volumes_process *p, const struct volumes_client *c)
{
	p->id = c->who.id;
	p->was_ready = p->was_ready || c->status.phase == CSV_LINK_READY;
	p->was_stopped = c->status.phase == CSV_LINK_STOPPED;
	if (c->status.text[0])
		memcpy(p->text, c->status.text, sizeof(p->text));
}

void volumes_client_gone(struct volumes *v, const struct volumes_client *c)
{
	for (struct volumes_local *l = v->locals; l; l = l->next) {
		if (!memcmp(l->uuid, c->who.volume, sizeof(l->uuid)))
			take_words(c->who.role == CSV_LINK_MOUNT ? &l->mount : &l->coordinator, c);
	}
}

static void take_status(struct volumes_local *l, struct volumes_process *p)
{
	const struct volumes_client *c = volumes_client_find(l->volumes, l->uuid, p->role);

	if (c)
		take_words(p, c);
}

/* One that neither attaches nor ends in its time is killed. */
static void bound_process(struct volumes_local *l, struct volumes_process *p)
{
	uint64_t now = engine_now_ms();
	bool is_attached = volumes_client_find(l->volumes, l->uuid, p->role) != NULL;

	if (p->stop_ms && now - p->stop_ms > VOLUMES_END_MS) {
		volumes_process_kill(l, p);
		p->stop_ms = now;
	}
	/* Its line may break, or we be a new daemon: then its time begins anew. */
	if (is_attached || !p->started_ms || volumes_process_is_over(l, p)) {
		p->started_ms = now;
	} else if (now - p->started_ms > VOLUMES_ATTACH_MS) {
		volumes_process_kill(l, p);
		p->started_ms = now;
	}
}

/* ---- the mount */

/* What its mount does is news to the cluster when it changes; how much, now and then. */
static void tell_io(struct volumes_local *l, const struct db_mount *m)
{
	static const uint8_t ios[CSV_LINK_IO_MAX] = {
		[CSV_LINK_IO_UNAVAILABLE] = DB_MOUNT_IO_UNAVAILABLE,
		[CSV_LINK_IO_PAUSED] = DB_MOUNT_IO_PAUSED,
		[CSV_LINK_IO_ACTIVE] = DB_MOUNT_IO_ACTIVE,
		[CSV_LINK_IO_REDIRECTED] = DB_MOUNT_IO_REDIRECTED,
	};
	struct engine *e = l->volumes->engine;
	const struct volumes_client *c = volumes_client_find(l->volumes, l->uuid, CSV_LINK_MOUNT);
	struct db_command cmd = engine_command(e, DB_CMD_MOUNT_IO);
	const struct csv_link_io *io = c ? &c->status.io : NULL;

	if (!c || c->who.id != m->id || c->status.phase != CSV_LINK_READY ||
	    db_command_needs(&cmd) > e->db.version)
		return;
	if (m->io == ios[io->state] && !strcmp(m->io_reason, io->why) &&
	    (m->io_bytes == io->redirected_bytes ||
	     engine_now_ms() - l->io_told_ms < VOLUMES_IO_MS))
		return;
	memcpy(cmd.mount_io.volume, l->name, sizeof(l->name));
	cmd.mount_io.slot = m->slot;
	cmd.mount_io.id = m->id;
	cmd.mount_io.io = ios[io->state];
	cmd.mount_io.bytes = io->redirected_bytes;
	snprintf(cmd.mount_io.reason, sizeof(cmd.mount_io.reason), "%s", io->why);
	l->io_told_ms = engine_now_ms();
	tell(l, &cmd);
}

static void look_at_mount(struct volumes_local *l, const struct db_volume *row)
{
	struct volumes_process *p = &l->mount;
	const struct db_mount *m = row ? mount_row(l) : NULL;
	const struct engine *e = l->volumes->engine;
	bool is_wanted = mount_is_wanted(l, row), is_over;

	take_status(l, p);
	is_over = volumes_process_is_over(l, p);
	if (is_over && p->id)
		volumes_clean_mount_point(l);
	if (!m || m->state == DB_MOUNT_STATE_GONE || !is_self(e, m->slot, m->incarnation)) {
		/* Nothing of ours may be mounted. */
		if (!is_over && !p->stop_ms)
			p->stop_ms = engine_now_ms();
		if (is_over)
			forget_process(p);
		if (is_over && !m && is_wanted && lease_holds(l->volumes))
			ask_mount(l);
		return;
	}
	if (!is_over) {
		bool is_right = p->id == m->id || !p->id;

		p->stop_ms = is_right && is_wanted ? 0 : p->stop_ms ? p->stop_ms : engine_now_ms();
		if (!p->stop_ms)
			p->stuck_order = 0;
		else if (is_stuck(p, m->id) && !m->fence_wanted)
			ask_fence(l, row, true, m->id, "its mount's process does not end");
		if (p->id == m->id && p->was_ready && m->state == DB_MOUNT_STATE_MOUNTING)
			tell_mounted(l, m);
		if (p->id == m->id && m->state == DB_MOUNT_STATE_MOUNTED)
			tell_io(l, m);
		volumes_look_condemned(l, row, m);
		look_at_killed(l, row, m);
		return;
	}
	/* No process: the mount is begun, once, or is over. */
	if (m->state == DB_MOUNT_STATE_MOUNTING && m->id == l->wanted_id && !p->was_started &&
	    is_wanted) {
		p->id = m->id;
		p->was_started = true;
		if (!volumes_spawn_mount(l, row))
			return;
	}
	tell_mount_gone(l, m, volumes_last_words(p, "its process has ended"));
}

/* ---- the coordinator */

static bool is_ordered_here(const struct engine *e, const struct db_volume *row)
{
	return row && row->lock && is_self(e, row->node, row->incarnation);
}

static void report_mounts(struct volumes_local *l, const struct db_volume *row,
			  const struct csv_link_status *status)
{
	const struct db *db = &l->volumes->engine->db;
	struct db_command cmd;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_MOUNT); i++) {
		const struct db_mount *m = db_at(db, DB_KIND_MOUNT, i);

		if (m->state != DB_MOUNT_STATE_GONE || strcmp(m->volume, l->name) != 0)
			continue;
		for (size_t j = 0; j < status->dropped_count; j++) {
			if (status->dropped[j] == m->id)
				tell_recovered(l, row, m);
		}
	}
	if (volumes_find_voice(l, row, status, &cmd)) {
		tell(l, &cmd);
	} else if (row->grow && status->grown == row->grow) {
		cmd = engine_command(l->volumes->engine, DB_CMD_VOLUME_GROWN);
		memcpy(cmd.volume_grown.name, l->name, sizeof(l->name));
		cmd.volume_grown.term = row->term;
		cmd.volume_grown.grow = row->grow;
		cmd.volume_grown.is_success = status->has_grown;
		cmd.volume_grown.bytes = status->grown_bytes;
		snprintf(cmd.volume_grown.reason, sizeof(cmd.volume_grown.reason), "%s",
			 status->grown_text);
		tell(l, &cmd);
	}
}

/*
 * Nobody knows whether it is over: after a while that is what the cluster hears, instead of the
 * last good news. UNKNOWN keeps the lock; FAILED would say that it is over.
 */
static void note_stuck(struct volumes_local *l, const struct db_volume *row, bool is_over)
{
	struct volumes_process *p = &l->coordinator;
	char why[DB_REASON_MAX];

	if (is_over)
		snprintf(why, sizeof(why), "%s",
			 volumes_last_words(p, "its process has ended, its mount is not known to"));
	else
		snprintf(why, sizeof(why), "its process does not end; it said at last: %.120s",
			 volumes_last_words(p, "nothing"));
	if (!is_stuck(p, row->order))
		l->lun_answers = false; /* then it is asked anew */
	else if (row->work != DB_WORK_FAILED)
		tell_volume(l, row, DB_WORK_UNKNOWN, 0, why);
	else if (!row->fence_wanted)
		ask_fence(l, row, false, row->order, why);
}

/* Its process has ended; it is told when the LUN is proven to be free. */
static void end_coordinator(struct volumes_local *l, const struct db_volume *row)
{
	struct volumes_process *p = &l->coordinator;
	bool could_not_start = row->work == DB_WORK_STARTING && !p->was_ready && !p->was_stopped;

	if (!l->is_proven) {
		volumes_prove(l, row->device);
		note_stuck(l, row, true);
		return;
	}
	tell_volume(l, row, could_not_start ? DB_WORK_FAILED : DB_WORK_OFFLINE, 0,
		    volumes_last_words(p, "the coordinator has ended"));
}

/* It is to end, or does so by itself: without a lease, or because the disk failed. */
static bool ends(const struct db_volume *row, const struct volumes_process *p,
		 const struct volumes_client *c)
{
	return (p->id && p->id != row->term) || row->work == DB_WORK_STOPPING ||
	       row->work == DB_WORK_FAILED || (c && c->status.phase >= CSV_LINK_STOPPING);
}

static void run_coordinator(struct volumes_local *l, const struct db_volume *row)
{
	struct volumes_process *p = &l->coordinator;
	const struct volumes_client *c;
	bool is_over = volumes_process_is_over(l, p);

	if (!is_over) {
		l->is_proven = false;
		c = volumes_client_find(l->volumes, l->uuid, CSV_LINK_COORDINATOR);
		if (ends(row, p, c) || p->killed_ms) {
			p->stop_ms = p->stop_ms ? p->stop_ms : engine_now_ms();
			note_stuck(l, row, false);
			return;
		}
		p->stop_ms = p->stuck_order = 0;
		if (!c || c->status.phase != CSV_LINK_READY)
			return;
		p->ready_ms = p->ready_ms ? p->ready_ms : engine_now_ms();
		if (row->work == DB_WORK_STARTING || row->port != c->status.port)
			tell_volume(l, row, DB_WORK_ONLINE, c->status.port, "it serves");
		else
			report_mounts(l, row, &c->status);
		return;
	}
	if (p->id && p->id != row->term)
		forget_process(p); /* of an earlier term */
	if (row->work == DB_WORK_STARTING && !p->was_started) {
		/* A look that runs would count for the one that begins now. */
		if (!lease_holds(l->volumes) || l->prove)
			return;
		p->id = row->term;
		p->was_started = true;
		l->is_proven = false;
		if (!volumes_spawn_coordinator(l, row))
			return;
	}
	end_coordinator(l, row);
}

static void look_at_coordinator(struct volumes_local *l, const struct db_volume *row)
{
	struct volumes_process *p = &l->coordinator;

	take_status(l, p);
	if (is_ordered_here(l->volumes->engine, row)) {
		run_coordinator(l, row);
		return;
	}
	if (volumes_process_is_over(l, p))
		forget_process(p);
	else if (!p->stop_ms)
		p->stop_ms = engine_now_ms();
}

/* ---- telling the processes */

static void fill_mounts(const struct volumes_local *l, struct csv_link_state *s)
{
	const struct db *db = &l->volumes->engine->db;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_MOUNT); i++) {
		const struct db_mount *m = db_at(db, DB_KIND_MOUNT, i);

		if (strcmp(m->volume, l->name) != 0 || s->mount_count == CSV_LINK_MOUNTS)
			continue;
		s->mount[s->mount_count++] = (struct csv_link_mount){
			.node = m->slot, .is_gone = m->state == DB_MOUNT_STATE_GONE, .id = m->id};
	}
}

/*
 * Before this daemon's database is up to date again it knows less than the process was told: then
 * only the lease is news.
 */
static void tell_client(struct volumes_local *l, const struct volumes_process *p,
			struct csv_link_state *s)
{
	struct volumes_client *c = volumes_client_find(l->volumes, l->uuid, p->role);
	struct csv_link_state old;

	if (!c)
		return;
	if (l->volumes->engine->repl.phase == REPL_OPEN) {
		s->is_stop = p->stop_ms != 0;
		s->beat = p->beat;
		volumes_client_tell(c, s);
	} else if (c->has_told) {
		old = c->told;
		old.lease_until_ms = s->lease_until_ms;
		old.beat = p->beat;
		volumes_client_tell(c, &old);
	}
}

static void tell_clients(struct volumes_local *l, const struct db_volume *row)
{
	struct volumes *v = l->volumes;
	struct csv_link_state s = {.node = CSV_LINK_NODE_NONE,
				   .lease_until_ms = v->engine->repl.lease.deadline_ms};

	if (row) {
		plan_explain_volume(&v->engine->db, row, s.why, sizeof(s.why));
		if (row->lock) {
			s.term = row->term;
			s.node = row->node;
			s.is_online = row->work == DB_WORK_ONLINE && row->port;
			s.port = row->port;
			snprintf(s.address, sizeof(s.address), "%s",
				 volumes_address(v, row->node, row->link));
		}
		fill_mounts(l, &s);
		s.grow = row->grow;
		s.is_aside = row->redirected & cl_bit(v->engine->repl.self_slot);
	}
	tell_client(l, &l->mount, &s);
	tell_client(l, &l->coordinator, &s);
}

/* ---- all of them */

/* By its uuid too: one of that name that was deleted may not be over here yet. */
static bool is_row_of(const struct volumes_local *l, const struct db_volume *row)
{
	return !strcmp(l->name, row->name) && !strcmp(l->uuid_text, row->uuid);
}

static const struct db_volume *row_of(const struct volumes_local *l)
{
	const struct db_volume *row = db_find(&l->volumes->engine->db, DB_KIND_VOLUME, l->name);

	return row && is_row_of(l, row) ? row : NULL;
}

static void make_local(struct volumes *v, const struct db_volume *row)
{
	struct volumes_local *l;

	for (l = v->locals; l; l = l->next) {
		if (is_row_of(l, row))
			return;
	}
	l = calloc(1, sizeof(*l));
	must(l);
	l->volumes = v;
	memcpy(l->name, row->name, sizeof(l->name));
	memcpy(l->uuid_text, row->uuid, sizeof(l->uuid_text));
	must(uuid_parse(row->uuid, l->uuid)); /* the database takes no other */
	l->mount.role = CSV_LINK_MOUNT;
	l->coordinator.role = CSV_LINK_COORDINATOR;
	l->next = v->locals;
	v->locals = l;
}

static void look(struct volumes_local *l, const struct db_volume *row)
{
	/* Only a database that is up to date can say that something is not ours any more. */
	if (l->volumes->engine->repl.phase == REPL_OPEN) {
		look_at_mount(l, row);
		look_at_coordinator(l, row);
	}
	bound_process(l, &l->mount);
	bound_process(l, &l->coordinator);
	tell_clients(l, row);
}

/* Forgets volumes that were deleted, once nothing of them runs here. */
static void reap_locals(struct volumes *v)
{
	for (struct volumes_local **link = &v->locals; *link;) {
		struct volumes_local *l = *link;

		if (row_of(l) || l->request_runs || l->prove || l->lun_runs ||
		    !volumes_process_is_over(l, &l->mount) ||
		    !volumes_process_is_over(l, &l->coordinator)) {
			link = &l->next;
			continue;
		}
		*link = l->next;
		free(l);
	}
}

void volumes_changed(struct volumes *v)
{
	const struct db *db = &v->engine->db;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++)
		make_local(v, db_at(db, DB_KIND_VOLUME, i));
	for (struct volumes_local *l = v->locals; l; l = l->next)
		look(l, row_of(l));
	if (v->engine->repl.phase == REPL_OPEN)
		reap_locals(v);
}

static void on_timer(void *arg)
{
	struct volumes *v = arg;

	qb_loop_timer_add(v->engine->loop, QB_LOOP_HIGH, VOLUMES_TIMER_NS, v, on_timer, &v->timer);
	for (struct volumes_local *l = v->locals; l; l = l->next) {
		volumes_look_alive(l, &l->mount);
		volumes_look_alive(l, &l->coordinator);
	}
	volumes_changed(v);
	local_reap(v->local);
}

const char *volumes_mount_dir(const struct volumes *v)
{
	return v->options.mount_dir;
}

bool volumes_has_work(const struct volumes *v)
{
	const struct engine *e = v->engine;

	for (uint32_t i = 0; i < db_count(&e->db, DB_KIND_VOLUME); i++) {
		if (is_ordered_here(e, db_at(&e->db, DB_KIND_VOLUME, i)))
			return true;
	}
	for (uint32_t i = 0; i < db_count(&e->db, DB_KIND_MOUNT); i++) {
		const struct db_mount *m = db_at(&e->db, DB_KIND_MOUNT, i);

		if (is_self(e, m->slot, m->incarnation) && m->state != DB_MOUNT_STATE_GONE)
			return true;
	}
	return false;
}

static bool end_process(struct volumes_local *l, struct volumes_process *p)
{
	if (volumes_process_is_over(l, p))
		return true;
	l->is_proven = false;
	volumes_process_kill(l, p);
	return false;
}

bool volumes_end(struct volumes *v)
{
	bool is_over = true;

	for (struct volumes_local *l = v->locals; l; l = l->next) {
		const struct db_volume *row = row_of(l);
		bool mount = end_process(l, &l->mount);

		if (mount)
			volumes_clean_mount_point(l);
		is_over = is_over && mount && end_process(l, &l->coordinator) && l->is_proven;
		if (row && !l->is_proven && !l->prove && engine_now_ms() >= l->prove_next_ms)
			volumes_prove(l, row->device);
	}
	return is_over;
}

const struct csv_link_status *volumes_mount_status(const struct volumes *v, const char *name)
{
	for (const struct volumes_local *l = v->locals; l; l = l->next) {
		const struct volumes_client *c =
			strcmp(l->name, name) != 0
				? NULL
				: volumes_client_find(v, l->uuid, CSV_LINK_MOUNT);

		if (c)
			return &c->status;
	}
	return NULL;
}

bool volumes_is_active(const struct volumes *v, const char *name)
{
	const struct csv_link_status *s = volumes_mount_status(v, name);

	return s && s->phase == CSV_LINK_READY && s->io.state == CSV_LINK_IO_ACTIVE;
}

int volumes_open(struct engine *e, const struct volumes_options *options, struct volumes **ret,
		 char *text, size_t size)
{
	struct volumes *v = calloc(1, sizeof(*v));
	int r;

	must(v);
	v->engine = e;
	v->options = *options;
	r = snprintf(v->socket, sizeof(v->socket), "%s/csv.sock", options->run_dir) >=
			    (int)sizeof(v->socket)
		    ? -ENAMETOOLONG
		    : volumes_listen(v, text, size);
	if (r) {
		free(v);
		return r;
	}
	qb_loop_timer_add(e->loop, QB_LOOP_HIGH, VOLUMES_TIMER_NS, v, on_timer, &v->timer);
	*ret = v;
	return 0;
}

void volumes_close(struct volumes *v)
{
	if (!v)
		return;
	qb_loop_timer_del(v->engine->loop, v->timer);
	local_close(v->local);
	while (v->locals) {
		struct volumes_local *l = v->locals;

		v->locals = l->next;
		run_free(l->prove);
		free(l);
	}
	free(v);
}
