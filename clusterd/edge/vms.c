/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/vms.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusterd/core/vm.h"
#include "clusterd/edge/local.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/spawn.h"
#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/run.h"
#include "lib/uuid.h"
#include "lib/vm_link.h"

#define VMS_TIMER_NS	(200 * 1000 * 1000ull)
#define VMS_REQUEST_MS	10000
#define VMS_AGAIN_MS	50	 /* after a refusal, twice that after the next, and so on ... */
#define VMS_AGAIN_MAX	7	 /* ... so often: not as fast as the log takes them */
#define VMS_PROGRESS_MS 1000	 /* numbers of a migration go to the database that often */
#define VMS_ARRIVE_MS	10000	 /* the lock is here: so long a destination may take to run */
#define VMS_VALIDATE_MS 8000	 /* below what a client of the API waits */
#define VMS_RESERVE_ALL "604800" /* seconds of a stop for switching it off: more than it has */
#define VMS_PATH_MAX	512
#define VMS_SPAWNS	64 /* destinations that are being started here */

/* A vm-host that has attached. */
struct vms_client {
	struct local_conn *conn;
	struct vm_link_attach who;
	struct vm_link_status status;
	bool has_status;
	struct vm_link_state told;
	bool has_told;
	/* of the migration that it last reported about */
	uint64_t reported_id;
	struct vm_link_progress reported;
	uint64_t reported_ms;
	bool request_runs;
	uint8_t refusals; /* one after the other */
	uint64_t again_ms;
};

/* The vm-host of a destination, from its start until it has attached or ended. */
struct vms_spawn {
	uint64_t migration; /* 0: free row */
	pid_t child;	    /* 0: it has ended */
	uint64_t started_ms;
	uint64_t arriving_ms; /* since when its lock is known to be here; 0: not yet */
};

/* A command under way: told back to the client by what names it, for the client may be gone. */
struct vms_request {
	struct vms *vms;
	uint8_t vm[VM_LINK_UUID];
	uint64_t instance;
};

struct vms {
	struct engine *engine;
	struct vms_options options;
	struct local *local;
	qb_loop_timer_handle timer;
	struct vms_spawn spawn[VMS_SPAWNS];
	struct cpg_addresses addresses[COROSYNC_LINKS];
	/* strings of vms_add_params() */
	char definition[VMS_PATH_MAX], instance[24];
};

/* ---- what the database says */

static const struct db_vm *vm_by_uuid(const struct db *db, const uint8_t *uuid)
{
	char text[UUID_TEXT];

	uuid_text(uuid, text);
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VM); i++) {
		const struct db_vm *vm = db_at(db, DB_KIND_VM, i);

		if (!strcmp(vm->uuid, text))
			return vm;
	}
	return NULL;
}

static bool is_self(const struct vms *v, uint8_t slot, uint64_t incarnation)
{
	const struct repl_state *s = &v->engine->repl;

	return slot == s->self_slot && incarnation == s->self.incarnation;
}

static bool has_lock(const struct vms *v, const struct db_vm *vm, uint64_t instance)
{
	const struct db_group *g = db_find(&v->engine->db, DB_KIND_GROUP, vm->name);

	return g && vm->lock && vm->instance == instance && is_self(v, g->node, g->incarnation);
}

/* That incarnation can run nothing any more. */
static bool is_dead(const struct db *db, uint8_t slot, uint64_t incarnation)
{
	const struct db_node *n = db_node_by_slot(db, slot);

	return n && (n->incarnation != incarnation || n->membership == DB_MEMBERSHIP_FENCED ||
		     n->membership == DB_MEMBERSHIP_LEFT);
}

static struct vms_client *client_find(const struct vms *v, const uint8_t *vm, uint64_t instance)
{
	for (struct local_conn *l = local_first(v->local); l; l = l->next) {
		struct vms_client *c = l->user;

		if (!l->is_gone && c && c->who.instance == instance &&
		    !memcmp(c->who.vm, vm, VM_LINK_UUID))
			return c;
	}
	return NULL;
}

static void link_address(struct vms *v, uint8_t slot, uint8_t link, char *to, size_t size)
{
	const struct db_node *n = db_node_by_slot(&v->engine->db, slot);

	snprintf(to, size, "%s",
		 n && link < COROSYNC_LINKS
			 ? cpg_address(&v->addresses[link], slot, n->nodeid, link)
			 : "");
}

/* ---- telling vm-hosts */

static void fill_migration(struct vms *v, const struct vms_client *c, const struct db_migration *m,
			   struct vm_link_migration *to)
{
	const struct db *db = &v->engine->db;
	bool is_destination = c->who.is_incoming && c->who.instance == m->id;
	uint8_t peer = is_destination ? m->source : m->destination;

	if (!is_destination && !is_self(v, m->source, m->source_incarnation))
		return;
	if (is_destination && !is_self(v, m->destination, m->destination_incarnation))
		return;
	to->id = m->id;
	to->role = is_destination ? VM_LINK_DESTINATION : VM_LINK_SOURCE;
	to->is_cancelled = m->is_cancelled;
	to->is_peer_dead = is_destination ? is_dead(db, m->source, m->source_incarnation)
					  : is_dead(db, m->destination, m->destination_incarnation);
	link_address(v, v->engine->repl.self_slot, m->link, to->listen, sizeof(to->listen));
	link_address(v, peer, m->link, to->peer, sizeof(to->peer));
	to->peer_port = is_destination ? 0 : m->port;
	to->bandwidth = m->bandwidth;
}

static bool is_same(const struct vm_link_state *a, const struct vm_link_state *b)
{
	struct vm_link_message x = {.type = VM_LINK_STATE, .state = *a};
	struct vm_link_message y = {.type = VM_LINK_STATE, .state = *b};
	uint8_t p[VM_LINK_MAX], q[VM_LINK_MAX];
	size_t np, nq;

	must(!vm_link_encode(&x, p, sizeof(p), &np) && !vm_link_encode(&y, q, sizeof(q), &nq));
	return np == nq && !memcmp(p, q, np);
}

static void send_state(struct vms_client *c, const struct vm_link_state *s)
{
	struct vm_link_message m = {.type = VM_LINK_STATE, .state = *s};
	struct local_conn *conn = c->conn;
	uint8_t buf[VM_LINK_MAX];
	size_t len;

	if (c->has_told && is_same(s, &c->told))
		return;
	must(!vm_link_encode(&m, buf, sizeof(buf), &len));
	if (!local_send(conn, buf, len))
		return; /* slow: the next look tells it again; or gone, and c with it */
	c->told = *s;
	c->has_told = true;
}

/*
 * Before this daemon's database is up to date it knows less than the process was told: then only
 * the lease, and that what it says is old, are news.
 */
static void tell(struct vms *v, struct vms_client *c)
{
	struct engine *e = v->engine;
	const struct db_vm *vm = vm_by_uuid(&e->db, c->who.vm);
	const struct db_migration *m = vm ? vm_migration(&e->db, vm) : NULL;
	struct vm_link_state s = {0};

	if (e->repl.phase != REPL_OPEN && !c->has_told)
		return; /* nothing is known here yet that it does not know better */
	if (e->repl.phase != REPL_OPEN) {
		s = c->told;
		s.is_fresh = false;
		s.lease_until_ms = e->repl.lease.deadline_ms;
		send_state(c, &s);
		return;
	}
	s.is_fresh = true;
	s.lease_until_ms = e->repl.lease.deadline_ms;
	s.has_lock = vm && has_lock(v, vm, c->who.instance);
	/* A daemon that was started anew has no lease yet, and takes back none that was promised.
	 */
	if (!c->has_told && s.has_lock && engine_now_ms() >= s.lease_until_ms)
		return;
	s.is_paused = vm && vm->is_paused;
	if (m)
		fill_migration(v, c, m, &s.migration);
	/* Nobody wants it any more: it neither may run nor is part of a migration. */
	s.is_stop = !s.has_lock && !s.migration.id;
	send_state(c, &s);
}

/* ---- telling the cluster */

static void told(void *arg, int r, const struct db_result *result)
{
	struct vms_request *q = arg;
	struct vms_client *c = client_find(q->vms, q->vm, q->instance);
	bool is_refused = !r && result->code;

	if (is_refused)
		log_info("migration: not taken: %s", result->text);
	free(q);
	if (!c)
		return;
	c->request_runs = false;
	if (r || is_refused)
		c->reported_id = 0; /* the database does not know it: it is news again */
	if (is_refused)
		c->again_ms = engine_now_ms() + ((uint64_t)VMS_AGAIN_MS << c->refusals);
	c->refusals = !is_refused ? 0 : (uint8_t)(c->refusals + (c->refusals < VMS_AGAIN_MAX));
}

static bool submit(struct vms *v, struct vms_client *c, const struct db_command *cmd)
{
	struct vms_request *q;

	if (c->request_runs || v->engine->repl.phase != REPL_OPEN || engine_now_ms() < c->again_ms)
		return false;
	q = calloc(1, sizeof(*q));
	must(q);
	q->vms = v;
	memcpy(q->vm, c->who.vm, sizeof(q->vm));
	q->instance = c->who.instance;
	if (engine_request(v->engine, cmd, VMS_REQUEST_MS, told, q)) {
		free(q);
		return false;
	}
	c->request_runs = true;
	return true;
}

static void report_end(struct vms *v, struct vms_client *c, const struct db_migration *m,
		       bool is_success, const char *why)
{
	struct db_command cmd = engine_command(v->engine, DB_CMD_MIGRATION_END);

	cmd.migration_end.id = m->id;
	cmd.migration_end.slot = v->engine->repl.self_slot;
	cmd.migration_end.incarnation = v->engine->repl.self.incarnation;
	cmd.migration_end.is_success = is_success;
	cmd.migration_end.downtime_ms = c->status.migration.downtime_ms;
	snprintf(cmd.migration_end.reason, sizeof(cmd.migration_end.reason), "%s", why);
	submit(v, c, &cmd);
}

static enum db_migration_phase db_phase(enum vm_link_phase phase)
{
	switch (phase) {
	case VM_LINK_MIG_CHECK:
		return DB_MIGRATION_PHASE_CHECK;
	case VM_LINK_MIG_SETUP:
		return DB_MIGRATION_PHASE_SETUP;
	case VM_LINK_MIG_MEMORY:
		return DB_MIGRATION_PHASE_MEMORY;
	case VM_LINK_MIG_STATE:
		return DB_MIGRATION_PHASE_STATE;
	case VM_LINK_MIG_HANDLE:
		return DB_MIGRATION_PHASE_STORAGE_HANDLE;
	default:
		return DB_MIGRATION_PHASE_ONLINE;
	}
}

static void report_progress(struct vms *v, struct vms_client *c, const struct db_migration *m)
{
	struct db_command cmd = engine_command(v->engine, DB_CMD_MIGRATION_REPORT);
	struct db_cmd_migration_report *r = &cmd.migration_report;
	const struct vm_link_progress *p = &c->status.migration;

	r->id = m->id;
	r->slot = v->engine->repl.self_slot;
	r->incarnation = v->engine->repl.self.incarnation;
	r->phase = (uint8_t)db_phase(p->phase);
	if (r->phase < m->phase)
		r->phase = m->phase;
	r->port = p->port;
	r->total = p->total;
	r->remaining = p->remaining;
	r->sent = p->sent;
	r->passes = p->passes;
	r->rate = p->rate;
	r->dirty_rate = p->dirty_rate;
	r->downtime_ms = p->downtime_ms;
	snprintf(r->address, sizeof(r->address), "%s", p->address);
	snprintf(r->reason, sizeof(r->reason), "%s", p->text);
	if (!submit(v, c, &cmd))
		return;
	c->reported = *p;
	c->reported_id = m->id;
	c->reported_ms = engine_now_ms();
}

static bool is_news(const struct vms_client *c, const struct db_migration *m)
{
	const struct vm_link_progress *p = &c->status.migration;

	if (c->reported_id != m->id || p->phase != c->reported.phase || p->port != c->reported.port)
		return true;
	return p->sent != c->reported.sent && engine_now_ms() - c->reported_ms >= VMS_PROGRESS_MS;
}

static void report_transfer(struct vms *v, struct vms_client *c, const struct db_migration *m)
{
	struct db_command cmd = engine_command(v->engine, DB_CMD_MIGRATION_TRANSFER);

	cmd.migration_transfer.id = m->id;
	cmd.migration_transfer.source_incarnation = m->source_incarnation;
	submit(v, c, &cmd);
}

/* The destination died with the lock, and was started anew in its place: that one ends it. */
static bool report_replaced(struct vms *v, struct vms_client *c)
{
	const struct db_vm *vm = vm_by_uuid(&v->engine->db, c->who.vm);
	const struct db_migration *m = vm ? vm_migration(&v->engine->db, vm) : NULL;

	if (c->who.is_incoming || !m || m->id != c->who.instance ||
	    m->phase != DB_MIGRATION_PHASE_ONLINE)
		return false;
	report_end(v, c, m, true, "it ended on its arrival and was started anew there");
	return true;
}

/* What the process says of its migration, as far as the database does not know it. */
static void report(struct vms *v, struct vms_client *c)
{
	const struct db *db = &v->engine->db;
	const struct vm_link_progress *p = &c->status.migration;
	const struct db_migration *m = p->id ? db_find_id(db, DB_KIND_MIGRATION, p->id) : NULL;
	bool is_source = !c->who.is_incoming || c->who.instance != p->id;

	if (c->request_runs || report_replaced(v, c) || !m || m->phase == DB_MIGRATION_PHASE_ENDED)
		return;
	if (p->phase == VM_LINK_MIG_FAILED || p->phase == VM_LINK_MIG_CANCELLED) {
		if (m->phase < DB_MIGRATION_PHASE_ONLINE)
			report_end(v, c, m, false, p->text[0] ? p->text : "cancelled");
	} else if (p->phase == VM_LINK_MIG_DONE) {
		if (!is_source && m->phase == DB_MIGRATION_PHASE_ONLINE)
			report_end(v, c, m, true, "it runs at the destination");
	} else if (is_source && p->phase == VM_LINK_MIG_HANDLE &&
		   m->phase == DB_MIGRATION_PHASE_STORAGE_HANDLE && !m->is_cancelled) {
		report_transfer(v, c, m);
	} else if (m->phase < DB_MIGRATION_PHASE_ONLINE && is_news(c, m) &&
		   p->phase != VM_LINK_MIG_NONE) {
		report_progress(v, c, m);
	}
}

/* ---- the destination's process */

/* True if the file has exactly this text. */
static bool has_text(const char *path, const char *text, size_t len)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char have[sizeof(((struct db_vm *)0)->definition)];
	ssize_t n = fd < 0 ? -1 : read(fd, have, sizeof(have));

	return n >= 0 && (size_t)n == len && !memcmp(have, text, len);
}

static int replace_file(const char *path, const char *text, size_t len)
{
	char tmp[VMS_PATH_MAX + 8];
	_cleanup_close_ int fd = -1;
	ssize_t n;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	if (n < 0 || (size_t)n != len)
		return n < 0 ? -errno : -ENOSPC;
	return rename(tmp, path) < 0 ? -errno : 0;
}

/*
 * Under a name that no vm-host takes for its own: those are vm-UUID.* in the same folder, and a
 * virtual machine may be called so. Written when it differs: the agent asks for it again and again.
 */
static int write_definition(struct vms *v, const struct db_vm *vm, char *path, size_t size)
{
	size_t len = strlen(vm->definition);
	int r;

	snprintf(path, size, "%s/definition-%s.json", v->options.run_dir, vm->name);
	if (has_text(path, vm->definition, len))
		return 0;
	r = replace_file(path, vm->definition, len);
	if (r)
		log_error("vm %s: its definition cannot be written to %s: %s", vm->name, path,
			  strerror(-r));
	return r;
}

static struct vms_spawn *spawn_row(struct vms *v, uint64_t migration)
{
	struct vms_spawn *free_row = NULL;

	for (size_t i = 0; i < VMS_SPAWNS; i++) {
		if (v->spawn[i].migration == migration)
			return &v->spawn[i];
		if (!v->spawn[i].migration && !free_row)
			free_row = &v->spawn[i];
	}
	return free_row;
}

static void spawn_destination(struct vms *v, const struct db_vm *vm, const struct db_migration *m,
			      struct vms_spawn *s)
{
	char id[24], path[VMS_PATH_MAX];
	const char *argv[] = {v->options.vm_host, "run", "--definition", path, "--run-dir",
			      v->options.run_dir, "--socket", v->options.socket, "--key",
			      v->options.key_path, "--instance", id, "--incoming",
			      /* in the background it logs to syslog */
			      v->options.to_syslog ? NULL : "--foreground", NULL};
	int r;

	*s = (struct vms_spawn){.migration = m->id, .started_ms = engine_now_ms()};
	snprintf(id, sizeof(id), "%016" PRIx64, m->id);
	r = write_definition(v, vm, path, sizeof(path));
	r = r ? r : spawn_apart(argv, "vm-host", &s->child);
	if (r)
		log_error("vm %s: %s cannot be started: %s", vm->name, argv[0], strerror(-r));
	else
		log_notice("vm %s: migration %" PRIu64 " comes in", vm->name, m->id);
}

/* Without its process a destination fails, and with it the migration. */
static void end_destination(struct vms *v, const struct db_migration *m)
{
	struct db_command cmd = engine_command(v->engine, DB_CMD_MIGRATION_END);

	cmd.migration_end.id = m->id;
	cmd.migration_end.slot = v->engine->repl.self_slot;
	cmd.migration_end.incarnation = v->engine->repl.self.incarnation;
	snprintf(cmd.migration_end.reason, sizeof(cmd.migration_end.reason),
		 "the vm-host of the destination has ended");
	if (v->engine->repl.phase == REPL_OPEN)
		engine_request(v->engine, &cmd, VMS_REQUEST_MS, NULL, NULL);
}

static void look_at_destination(struct vms *v, const struct db_migration *m)
{
	const struct db_vm *vm = db_find(&v->engine->db, DB_KIND_VM, m->vm);
	struct vms_spawn *s = spawn_row(v, m->id);
	uint8_t uuid[UUID_BYTES];
	int status;

	if (!vm || !s || !uuid_parse(vm->uuid, uuid))
		return;
	if (client_find(v, uuid, m->id)) {
		s->migration = m->id;
		s->started_ms = engine_now_ms(); /* its line may break for a moment */
		return;
	}
	if (s->migration && s->child && waitpid(s->child, &status, WNOHANG) != 0)
		s->child = 0;
	if (!s->migration) {
		/* Once the lock is here, one that is gone took the guest with it: a plain start. */
		if (m->phase >= DB_MIGRATION_PHASE_SETUP && m->phase < DB_MIGRATION_PHASE_ONLINE &&
		    !m->is_cancelled && engine_may_act(v->engine))
			spawn_destination(v, vm, m, s);
		return;
	}
	if (m->phase < DB_MIGRATION_PHASE_ONLINE && !s->child &&
	    engine_now_ms() - s->started_ms > VMS_REQUEST_MS) {
		s->started_ms = engine_now_ms();
		end_destination(v, m);
	}
}

static void reap_spawns(struct vms *v)
{
	for (size_t i = 0; i < VMS_SPAWNS; i++) {
		struct vms_spawn *s = &v->spawn[i];
		const struct db_migration *m =
			s->migration ? db_find_id(&v->engine->db, DB_KIND_MIGRATION, s->migration)
				     : NULL;
		int status;

		if (s->child && waitpid(s->child, &status, WNOHANG) != 0)
			s->child = 0;
		if (s->migration && !s->child && (!m || m->phase == DB_MIGRATION_PHASE_ENDED))
			*s = (struct vms_spawn){0};
	}
}

void vms_changed(struct vms *v)
{
	const struct db *db = &v->engine->db;

	if (v->engine->repl.phase == REPL_OPEN) {
		for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION); i++) {
			const struct db_migration *m = db_at(db, DB_KIND_MIGRATION, i);

			if (m->phase != DB_MIGRATION_PHASE_ENDED &&
			    is_self(v, m->destination, m->destination_incarnation))
				look_at_destination(v, m);
		}
		reap_spawns(v);
	}
	for (struct local_conn *l = local_first(v->local), *next; l; l = next) {
		struct vms_client *c = l->user;

		next = l->next;
		if (l->is_gone || !c)
			continue;
		if (c->has_status && v->engine->repl.phase == REPL_OPEN)
			report(v, c);
		tell(v, c);
	}
}

/* ---- the socket */

static bool on_packet(void *arg, struct local_conn *l, const void *data, size_t len)
{
	struct vms *v = arg;
	struct vms_client *c = l->user, *other;
	struct vm_link_message m;

	if (vm_link_decode(data, len, &m))
		return false;
	if (m.type == VM_LINK_STATUS && c) {
		c->status = m.status;
		c->has_status = true;
		return true;
	}
	if (m.type != VM_LINK_ATTACH || c)
		return false;
	other = client_find(v, m.attach.vm, m.attach.instance);
	if (other)
		local_drop(other->conn); /* one process, its new line */
	c = calloc(1, sizeof(*c));
	must(c);
	c->conn = l;
	c->who = m.attach;
	l->user = c;
	return true;
}

static void on_closed(void *arg, struct local_conn *l)
{
	(void)arg;
	free(l->user);
	l->user = NULL;
}

static void on_changed(void *arg)
{
	vms_changed(arg);
}

static void on_timer(void *arg)
{
	struct vms *v = arg;

	qb_loop_timer_add(v->engine->loop, QB_LOOP_HIGH, VMS_TIMER_NS, v, on_timer, &v->timer);
	vms_changed(v);
	local_reap(v->local);
}

int vms_open(struct engine *e, const struct vms_options *options, struct vms **ret, char *text,
	     size_t size)
{
	const struct local_calls calls = {
		.packet = on_packet, .closed = on_closed, .changed = on_changed};
	struct vms *v = calloc(1, sizeof(*v));
	int r;

	must(v);
	v->engine = e;
	v->options = *options;
	if (mkdir(options->run_dir, 0700) < 0 && errno != EEXIST) {
		r = -errno;
		snprintf(text, size, "cannot make %s: %s", options->run_dir, strerror(-r));
	} else {
		r = local_open(e->loop, options->socket, &calls, v, &v->local, text, size);
	}
	if (r) {
		free(v);
		return r;
	}
	qb_loop_timer_add(e->loop, QB_LOOP_HIGH, VMS_TIMER_NS, v, on_timer, &v->timer);
	*ret = v;
	return 0;
}

void vms_close(struct vms *v)
{
	if (!v)
		return;
	qb_loop_timer_del(v->engine->loop, v->timer);
	local_close(v->local);
	free(v);
}

/* ---- is a definition good */

struct validation {
	vms_validated done;
	void *arg;
	char path[VMS_PATH_MAX];
};

static void validated(void *data, const struct run_result *result)
{
	struct validation *d = data;
	char text[VM_LINK_TEXT];

	unlink(d->path);
	if (result->kind == RUN_EXITED && result->code == 0) {
		d->done(d->arg, NULL);
	} else {
		run_output_text(&result->err, 1, text, sizeof(text));
		d->done(d->arg, text[0] ? text : run_kind_name(result->kind));
	}
	free(d);
}

int vms_validate(struct vms *v, const char *definition, vms_validated done, void *arg)
{
	struct validation *d = calloc(1, sizeof(*d));
	const char *const argv[] = {v->options.vm_host, "validate", "--definition", d->path, NULL};
	struct run_options o = RUN_OPTIONS_INIT;
	_cleanup_close_ int fd = -1;
	size_t len = strlen(definition);
	int r;

	must(d);
	d->done = done;
	d->arg = arg;
	/* No name in a message: it is the definition that is wrong, not this file. */
	snprintf(d->path, sizeof(d->path), "%s/definition.XXXXXX", v->options.run_dir);
	fd = mkostemp(d->path, O_CLOEXEC);
	r = fd < 0 ? -errno : write(fd, definition, len) == (ssize_t)len ? 0 : -EIO;
	o.path = argv[0];
	o.argv = argv;
	o.timeout_ms = VMS_VALIDATE_MS;
	o.grace_ms = 0;
	r = r ? r : run_start(v->engine->loop, &o, validated, d, NULL);
	if (!r)
		return 0;
	if (fd >= 0)
		unlink(d->path);
	free(d);
	return r;
}

/* ---- for the executor */

int vms_add_params(struct vms *v, const char *group, bool is_at_once, struct ocf_value *params,
		   size_t *count, size_t max)
{
	const struct db_vm *vm = db_find(&v->engine->db, DB_KIND_VM, group);
	const struct ocf_value more[] = {
		{"definition", v->definition},	 {"standalone", "false"},
		{"instance", v->instance},	 {"socket", v->options.socket},
		{"run_dir", v->options.run_dir}, {"key", v->options.key_path},
		{"binary", v->options.vm_host},	 {"shutdown_reserve", VMS_RESERVE_ALL}};
	size_t n = MUST_ARRAY_SIZE(more) - !is_at_once;

	if (!vm)
		return 0;
	if (*count + n > max)
		return -E2BIG;
	snprintf(v->instance, sizeof(v->instance), "%016" PRIx64, vm->instance);
	memcpy(params + *count, more, n * sizeof(more[0]));
	*count += n;
	return write_definition(v, vm, v->definition, sizeof(v->definition));
}

void vms_kill(struct vms *v, const char *group)
{
	const struct db_vm *vm = db_find(&v->engine->db, DB_KIND_VM, group);
	uint8_t uuid[UUID_BYTES];

	if (!vm || !uuid_parse(vm->uuid, uuid))
		return;
	for (struct local_conn *l = local_first(v->local); l; l = l->next) {
		const struct vms_client *c = l->user;

		/* As long as its line stands the number is its own. */
		if (l->is_gone || !c || memcmp(c->who.vm, uuid, sizeof(uuid)) != 0)
			continue;
		log_error("vm %s: vm-host %d does not stop it -> killed", group, l->pid);
		kill(l->pid, SIGKILL);
	}
}

bool vms_end(struct vms *v)
{
	bool is_over = true;

	for (struct local_conn *l = local_first(v->local); l; l = l->next) {
		if (l->is_gone || !l->user)
			continue;
		kill(l->pid, SIGKILL);
		is_over = false;
	}
	return is_over;
}

bool vms_holds_still(const struct vms *v, const char *group)
{
	return db_find(&v->engine->db, DB_KIND_VM, group) != NULL;
}

bool vms_is_arriving(struct vms *v, const char *group)
{
	const struct db_vm *vm = db_find(&v->engine->db, DB_KIND_VM, group);
	const struct db_migration *m = vm ? vm_migration(&v->engine->db, vm) : NULL;
	struct vms_spawn *s = m ? spawn_row(v, m->id) : NULL;
	const struct vms_client *c;
	uint8_t uuid[UUID_BYTES];

	if (!s || m->phase != DB_MIGRATION_PHASE_ONLINE || !uuid_parse(vm->uuid, uuid) ||
	    !is_self(v, m->destination, m->destination_incarnation))
		return false;
	c = client_find(v, uuid, m->id);
	if (c && c->has_status && c->status.run != VM_LINK_INCOMING)
		return false;
	s->migration = m->id;
	if (!s->arriving_ms)
		s->arriving_ms = engine_now_ms();
	return engine_now_ms() - s->arriving_ms < VMS_ARRIVE_MS;
}

bool vms_has_moved(const struct vms *v, const char *group, uint64_t order)
{
	const struct db_vm *vm = db_find(&v->engine->db, DB_KIND_VM, group);
	const struct db_group *g = db_find(&v->engine->db, DB_KIND_GROUP, group);

	return vm && g && g->order != order && vm->instance != order && g->work == DB_WORK_ONLINE;
}
