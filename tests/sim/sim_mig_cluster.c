/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cluster as the vm-hosts see it: a database whose every version is kept, nodes that apply it
 * late and tell what they have, leases, fencing, and a planner that moves the lock. The transfer is
 * refused once the migration is cancelled or a side is dead; the lock goes back to a source only if
 * the destination never ran.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_mig_world.h"

const struct db *sim_db(const struct world *w)
{
	return &w->db[w->versions - 1];
}

static bool is_dead(const struct db *db, uint64_t instance)
{
	return instance && (db->dead >> instance & 1);
}

static struct db *change(struct world *w)
{
	if (w->versions == VERSIONS) {
		fprintf(stderr, "sim_mig: seed %" PRIu64 ": too many versions\n", w->seed);
		exit(2);
	}
	w->db[w->versions] = w->db[w->versions - 1];
	return &w->db[w->versions];
}

static void commit(struct world *w, const char *what)
{
	const struct db *db = &w->db[w->versions++];

	TRACE(w,
	      "db %d: %s; holder %" PRIu64 ", migration %" PRIu64 " %" PRIu64 " -> %" PRIu64 "%s%s",
	      w->versions - 1, what, db->holder, db->migration, db->source, db->destination,
	      db->is_cancelled ? ", cancelled" : "", db->is_transferred ? ", transferred" : "");
	sim_oracle_commit(w);
}

bool sim_is_quorate(const struct world *w)
{
	int n = 0;

	for (int i = 0; i < NODES; i++)
		n += w->node[i].is_up && w->node[i].is_connected;
	return 2 * n > NODES;
}

static bool is_member(const struct world *w, int n)
{
	return sim_is_quorate(w) && w->node[n].is_up && w->node[n].is_connected;
}

static bool has_clusterd(const struct world *w, int n)
{
	return w->node[n].is_up && w->now_ms >= w->node[n].clusterd_ms;
}

static bool is_fresh(const struct world *w, int n)
{
	const struct node *me = &w->node[n];

	return me->applied >= me->target && (is_member(w, n) || w->now_ms < me->blind_ms);
}

/* ---- what a clusterd tells its vm-hosts */

static void compose(const struct world *w, const struct host *h, struct vm_link_state *s)
{
	const struct node *me = &w->node[h->node];
	const struct db *db = &w->db[me->applied];
	bool is_source = db->source == h->instance, is_destination = db->destination == h->instance;
	uint64_t other = is_source ? db->destination : db->source;
	int peer;

	memset(s, 0, sizeof(*s));
	s->has_lock = db->holder == h->instance;
	s->is_fresh = is_fresh(w, h->node);
	s->lease_until_ms = me->told_lease_ms;
	s->is_stop = db->stop >> h->instance & 1;
	s->stop_ms = 2000;
	s->is_paused = db->is_paused;
	if (!db->migration || (!is_source && !is_destination))
		return;
	s->migration.id = db->migration;
	s->migration.role = is_source ? VM_LINK_SOURCE : VM_LINK_DESTINATION;
	s->migration.is_cancelled = db->is_cancelled;
	s->migration.is_peer_dead = is_dead(db, other);
	peer = sim_host_of(w, other);
	if (is_source)
		s->migration.peer_port = db->port;
	(void)snprintf(s->migration.peer, sizeof(s->migration.peer), "h%d", peer);
}

static void node_tell(struct world *w, int n)
{
	struct vm_link_state s;

	for (int h = 0; h < HOSTS; h++) {
		struct host *to = &w->host[h];
		uint64_t late_ms = 5;

		if (!to->is_used || !to->is_alive || to->node != n || !has_clusterd(w, n))
			continue;
		if (!w->is_healed && sim_chance(w, 5))
			continue; /* the next one makes it good */
		if (!w->is_healed && sim_chance(w, 5))
			late_ms = 1500;
		compose(w, to, &s);
		sim_push(w, h, LINE_CLUSTERD, sim_in(w, 0, late_ms), MIG_EV_STATE)->state = s;
	}
}

static void node_run(struct world *w, int n)
{
	struct node *me = &w->node[n];
	bool is_news = false;

	if (!me->is_up)
		return;
	if (!has_clusterd(w, n)) {
		me->apply_ms = me->apply_ms < me->clusterd_ms ? me->clusterd_ms : me->apply_ms;
		me->renew_ms = me->renew_ms < me->clusterd_ms ? me->clusterd_ms : me->renew_ms;
		return;
	}
	if (w->now_ms >= me->apply_ms) {
		int behind = w->versions - 1 - me->applied;

		me->apply_ms = sim_in(w, 10, w->is_healed ? 40 : 300);
		if (behind && is_member(w, n)) {
			me->applied += (int)prng_range(&w->rng, 1, (uint64_t)behind);
			is_news = true;
		}
	}
	if (w->now_ms >= me->renew_ms) {
		me->renew_ms = sim_in(w, 300, 600);
		if (is_member(w, n))
			me->lease_ms = me->told_lease_ms = w->now_ms + LEASE_MS;
		is_news = true;
	}
	if (is_news)
		node_tell(w, n);
}

/* ---- nodes come and go */

static void catch_up(struct world *w, int n, bool is_anew)
{
	struct node *me = &w->node[n];

	if (is_anew) {
		me->applied -= (int)prng_below(&w->rng, 8);
		me->applied = me->applied < 0 ? 0 : me->applied;
		me->told_lease_ms = 0;
	}
	me->target = w->versions - 1;
	me->renew_ms = sim_in(w, 0, 100); /* often before it has caught up */
	me->apply_ms = sim_in(w, 0, 300);
}

void sim_clusterd_restart(struct world *w, int n)
{
	TRACE(w, "n%d: clusterd is started anew", n);
	w->node[n].clusterd_ms = sim_in(w, 100, 1500);
	catch_up(w, n, true);
	w->node[n].renew_ms = w->node[n].apply_ms = w->node[n].clusterd_ms;
}

void sim_node_disconnect(struct world *w, int n)
{
	struct node *me = &w->node[n];

	if (!me->is_connected || !me->is_up)
		return;
	TRACE(w, "n%d: is cut off", n);
	me->is_connected = false;
	me->blind_ms = sim_in(w, 0, 1500);
	me->gone_ms = w->now_ms;
}

void sim_node_connect(struct world *w, int n)
{
	struct node *me = &w->node[n];

	if (me->is_connected || !me->is_up)
		return;
	TRACE(w, "n%d: is back", n);
	me->is_connected = true;
	me->blind_ms = 0;
	me->gone_ms = me->fence_ms = 0;
	me->is_fenced = false;
	catch_up(w, n, false);
}

void sim_node_crash(struct world *w, int n)
{
	struct node *me = &w->node[n];

	if (!me->is_up)
		return;
	TRACE(w, "n%d: goes down", n);
	me->is_up = false;
	me->is_connected = false;
	me->gone_ms = me->gone_ms ? me->gone_ms : w->now_ms;
	me->boot_ms = sim_in(w, 4000, 10000);
	for (int h = 0; h < HOSTS; h++) {
		if (!w->host[h].is_used || w->host[h].node != n)
			continue;
		sim_host_kill(w, h);
		sim_qemu_die(w, h, "its node went down");
		sim_host_lost(w, h);
	}
}

/* A later boot: what ran in the one before is over. */
void sim_node_boot(struct world *w, int n)
{
	struct node *me = &w->node[n];

	if (me->is_up)
		return;
	TRACE(w, "n%d: comes up", n);
	me->is_up = true;
	me->lease_ms = 0;
	me->clusterd_ms = 0;
	sim_node_connect(w, n);
	catch_up(w, n, true);
}

/* ---- fencing */

static void bury_node(struct world *w, int n)
{
	struct db *db = change(w);

	for (uint64_t i = 1; i <= w->instances; i++) {
		if (w->node_of[i] == n)
			db->dead |= UINT64_C(1) << i;
	}
	if (is_dead(db, db->holder)) {
		db->holder = 0;
		w->is_excused = true;
	}
	commit(w, "a node is fenced");
}

static void fence(struct world *w, int n)
{
	struct node *me = &w->node[n];

	if (!me->gone_ms || me->is_fenced || w->now_ms < me->gone_ms + DETECT_MS)
		return;
	if (!me->fence_ms) {
		me->is_power = sim_chance(w, 50);
		me->fence_ms = sim_in(w, 100, 2000);
		if (!me->is_power && me->fence_ms < me->lease_ms + HALT_MS + KILL_MS + MARGIN_MS)
			me->fence_ms = me->lease_ms + HALT_MS + KILL_MS + MARGIN_MS;
		TRACE(w, "n%d: is being fenced by %s until %" PRIu64, n,
		      me->is_power ? "power" : "waiting", me->fence_ms);
	}
	if (w->now_ms < me->fence_ms)
		return;
	me->is_fenced = true;
	if (me->is_power)
		sim_node_crash(w, n);
	bury_node(w, n);
}

/* The QEMU of a vm-host that cannot halt it, for it is stopped itself, is ended by clusterd. */
static void backstop(struct world *w, int h)
{
	struct host *me = &w->host[h];

	if (!me->is_used || me->qemu.life != QEMU_UP || w->now_ms >= me->frozen_ms ||
	    w->now_ms < w->node[me->node].lease_ms + HALT_MS ||
	    me->qemu.run != MIG_RUNSTATE_RUNNING)
		return;
	TRACE(w, "h%d: clusterd ends a QEMU whose vm-host is stopped", h);
	sim_host_lost(w, h);
	sim_qemu_die(w, h, "killed by clusterd");
}

/* ---- the planner, with what has been reported */

static int pick_node(struct world *w, int but)
{
	int first = (int)prng_below(&w->rng, NODES);

	for (int i = 0; i < NODES; i++) {
		int n = (first + i) % NODES;

		if (n != but && is_member(w, n) && has_clusterd(w, n))
			return n;
	}
	return -1;
}

static uint64_t new_instance(struct world *w, int n)
{
	must(w->instances + 1 < INSTANCES);
	w->node_of[++w->instances] = n;
	return w->instances;
}

static void bury_ended(struct world *w, int h)
{
	struct host *me = &w->host[h];
	struct db *db;

	if (!me->is_used || me->is_alive || me->qemu.life == QEMU_UP ||
	    me->qemu.life == QEMU_STARTING)
		return;
	if (is_dead(sim_db(w), me->instance)) {
		sim_host_forget(w, h);
		return;
	}
	if (!is_member(w, me->node) || !has_clusterd(w, me->node))
		return;
	db = change(w);
	db->dead |= UINT64_C(1) << me->instance;
	if (db->holder == me->instance)
		db->holder = 0;
	commit(w, "an instance has ended");
}

static void hear(struct world *w, int h)
{
	struct host *me = &w->host[h];

	if (me->is_used && is_member(w, me->node) && has_clusterd(w, me->node) &&
	    (w->is_healed || sim_chance(w, 60)))
		me->reported = me->told;
}

/* An instance that nobody needs, or whose VM is over. */
static void stop_unneeded(struct world *w, int h)
{
	const struct db *now = sim_db(w);
	struct host *me = &w->host[h];
	bool is_part =
		now->migration && (me->instance == now->source || me->instance == now->destination);
	bool is_over = me->reported.run == VM_LINK_CRASHED ||
		       me->reported.run == VM_LINK_SHUTDOWN || me->reported.run == VM_LINK_FAILED;
	struct db *db;

	if (!me->is_used || !me->is_alive || (now->stop >> me->instance & 1))
		return;
	if (now->holder == me->instance ? !is_over : is_part)
		return;
	if (now->holder != me->instance && sim_chance(w, 80))
		return; /* it may end by itself */
	db = change(w);
	db->stop |= UINT64_C(1) << me->instance;
	commit(w, "an instance is to stop");
}

static void start_vm(struct world *w)
{
	const struct db *now = sim_db(w);
	int n = pick_node(w, -1);
	struct db *db;

	if (now->holder || now->migration || n < 0)
		return;
	db = change(w);
	db->holder = new_instance(w, n);
	sim_host_start(w, n, db->holder, false);
	commit(w, "the VM is placed");
}

static const struct vm_link_status *report_of(const struct world *w, uint64_t instance)
{
	int h = sim_host_of(w, instance);

	return h < 0 ? NULL : &w->host[h].reported;
}

static enum vm_link_phase phase_of(const struct world *w, uint64_t instance)
{
	const struct vm_link_status *r = report_of(w, instance);

	return r && r->migration.id == sim_db(w)->migration ? r->migration.phase : VM_LINK_MIG_NONE;
}

static void end_migration(struct world *w, const char *why)
{
	struct db *db = change(w);

	db->migration = db->source = db->destination = 0;
	db->is_cancelled = db->is_transferred = false;
	db->port = 0;
	commit(w, why);
}

static void cancel(struct world *w, const char *why)
{
	if (sim_db(w)->is_cancelled)
		return;
	change(w)->is_cancelled = true;
	commit(w, why);
}

/* Proof as the storage has it: the destination never had a grant. */
static bool has_never_run(const struct world *w, uint64_t instance)
{
	int h = sim_host_of(w, instance);

	return h >= 0 && !w->host[h].qemu.has_run;
}

static void plan_transferred(struct world *w)
{
	const struct db *now = sim_db(w);
	enum vm_link_phase source = phase_of(w, now->source);
	bool is_source_dead = is_dead(now, now->source);
	bool is_back = now->holder == now->source;

	if (is_back &&
	    (source == VM_LINK_MIG_FAILED || source == VM_LINK_MIG_CANCELLED || is_source_dead)) {
		w->returned++;
		end_migration(w, "rolled back by hand");
	} else if (is_back) {
		return;
	} else if (!is_dead(now, now->destination)) {
		if (phase_of(w, now->destination) != VM_LINK_MIG_DONE)
			return;
		if (is_source_dead || source == VM_LINK_MIG_DONE || sim_chance(w, 10)) {
			w->arrived++;
			end_migration(w, "migrated");
		}
	} else if (!is_source_dead && !now->holder && has_never_run(w, now->destination) &&
		   sim_chance(w, 70)) {
		change(w)->holder = now->source;
		w->is_excused = true;
		commit(w, "the lock goes back");
	} else {
		end_migration(w, "the destination is dead");
	}
}

static void plan_migration(struct world *w)
{
	const struct db *now = sim_db(w);
	const struct vm_link_status *to = report_of(w, now->destination);
	enum vm_link_phase source = phase_of(w, now->source);
	enum vm_link_phase destination = phase_of(w, now->destination);
	bool is_one_dead = is_dead(now, now->source) || is_dead(now, now->destination);

	if (!now->port && to && to->migration.port) {
		change(w)->port = to->migration.port;
		commit(w, "the destination listens");
	} else if (is_one_dead || source == VM_LINK_MIG_FAILED || source == VM_LINK_MIG_CANCELLED ||
		   destination == VM_LINK_MIG_FAILED || destination == VM_LINK_MIG_CANCELLED) {
		cancel(w, "a side has given up or is dead");
		now = sim_db(w);
		if (is_dead(now, now->destination) &&
		    (is_dead(now, now->source) || source == VM_LINK_MIG_FAILED ||
		     source == VM_LINK_MIG_CANCELLED))
			end_migration(w, "cancelled");
	} else if (!now->is_cancelled && source == VM_LINK_MIG_HANDLE) {
		struct db *db = change(w);

		db->holder = db->destination;
		db->is_transferred = true;
		commit(w, "transfer");
	}
}

static void plan(struct world *w)
{
	w->plan_ms = sim_in(w, 20, w->is_healed ? 100 : 300);
	if (!w->is_healed && sim_chance(w, 3))
		w->plan_ms = sim_in(w, 500, 5000); /* its node has gone, another takes over */
	for (int h = 0; h < HOSTS; h++) {
		hear(w, h);
		backstop(w, h);
	}
	if (!sim_is_quorate(w))
		return;
	for (int n = 0; n < NODES; n++)
		fence(w, n);
	for (int h = 0; h < HOSTS && !w->broken; h++) {
		bury_ended(w, h);
		stop_unneeded(w, h);
	}
	if (sim_db(w)->migration && sim_db(w)->is_transferred)
		plan_transferred(w);
	else if (sim_db(w)->migration)
		plan_migration(w);
	if (w->instances + 1 < INSTANCES)
		start_vm(w);
}

/* ---- the administrator */

void sim_admin_migrate(struct world *w)
{
	const struct db *now = sim_db(w);
	int from = sim_host_of(w, now->holder), n;
	struct db *db;

	if (!sim_is_quorate(w) || from < 0 || now->migration || w->instances + 8 > INSTANCES ||
	    is_dead(now, now->holder))
		return;
	n = pick_node(w, w->host[from].node);
	if (n < 0)
		return;
	db = change(w);
	db->migration = ++w->migrations;
	db->source = db->holder;
	db->destination = new_instance(w, n);
	db->is_cancelled = db->is_transferred = false;
	db->port = 0;
	sim_host_start(w, n, db->destination, true);
	commit(w, "migration");
}

void sim_admin_cancel(struct world *w)
{
	const struct db *now = sim_db(w);

	if (!sim_is_quorate(w) || !now->migration || now->is_cancelled)
		return;
	cancel(w, now->is_transferred ? "cancelled too late" : "cancelled by the administrator");
}

void sim_admin_pause(struct world *w, bool is_paused)
{
	if (!sim_is_quorate(w) || sim_db(w)->is_paused == is_paused)
		return;
	change(w)->is_paused = is_paused;
	commit(w, is_paused ? "pause" : "go on");
}

bool sim_is_calm(const struct world *w)
{
	const struct db *db = sim_db(w);
	int alive = 0;

	for (int h = 0; h < HOSTS; h++)
		alive += w->host[h].is_used;
	return !db->migration && db->holder && alive == 1 && sim_host_of(w, db->holder) >= 0 &&
	       w->host[sim_host_of(w, db->holder)].qemu.run == MIG_RUNSTATE_RUNNING;
}

void sim_cluster_init(struct world *w)
{
	w->versions = 1;
	for (int n = 0; n < NODES; n++)
		w->node[n].is_up = w->node[n].is_connected = true;
}

void sim_cluster_run(struct world *w)
{
	for (int n = 0; n < NODES; n++) {
		struct node *me = &w->node[n];

		if (!me->is_up && w->now_ms >= me->boot_ms) {
			sim_node_boot(w, n);
			bury_node(w, n);
		}
		node_run(w, n);
	}
	if (w->now_ms >= w->plan_ms)
		plan(w);
}

uint64_t sim_cluster_next_ms(const struct world *w)
{
	uint64_t next = w->plan_ms;

	for (int n = 0; n < NODES; n++) {
		const struct node *me = &w->node[n];
		uint64_t at_ms = me->apply_ms < me->renew_ms ? me->apply_ms : me->renew_ms;

		if (!me->is_up)
			at_ms = me->boot_ms;
		next = at_ms < next ? at_ms : next;
	}
	return next;
}
