/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/sim_mig_world.h"

#include <stdlib.h>
#include <string.h>

bool sim_chance(struct world *w, uint64_t pct)
{
	return prng_chance(&w->rng, pct, 100);
}

void sim_broke(struct world *w, const char *what)
{
	if (w->broken)
		return;
	TRACE(w, "BROKEN: %s", what);
	w->broken = what;
}

uint64_t sim_in(struct world *w, uint64_t lo_ms, uint64_t hi_ms)
{
	return w->now_ms + prng_range(&w->rng, lo_ms, hi_ms);
}

bool sim_net_is_up(const struct world *w)
{
	return w->now_ms >= w->cut_ms;
}

/* ---- the queue: a heap by time, then by order */

static bool is_before(const struct world *w, int a, int b)
{
	const struct item *x = &w->item[w->heap[a]], *y = &w->item[w->heap[b]];

	return x->at_ms != y->at_ms ? x->at_ms < y->at_ms : x->order < y->order;
}

static void heap_swap(struct world *w, int a, int b)
{
	int t = w->heap[a];

	w->heap[a] = w->heap[b];
	w->heap[b] = t;
}

static struct item *heap_add(struct world *w, uint64_t at_ms)
{
	int at = w->heap_count, slot;

	if (!w->spare_count) {
		fprintf(stderr, "sim_mig: seed %" PRIu64 ": queue is full\n", w->seed);
		exit(2);
	}
	slot = w->spare[--w->spare_count];
	w->heap[w->heap_count++] = slot;
	w->item[slot].at_ms = at_ms;
	w->item[slot].order = w->order++;
	for (; at && is_before(w, at, (at - 1) / 2); at = (at - 1) / 2)
		heap_swap(w, at, (at - 1) / 2);
	return &w->item[slot];
}

static int heap_take(struct world *w)
{
	int slot = w->heap[0];

	w->heap[0] = w->heap[--w->heap_count];
	for (int at = 0, next; (next = 2 * at + 1) < w->heap_count; at = next) {
		if (next + 1 < w->heap_count && is_before(w, next + 1, next))
			next++;
		if (!is_before(w, next, at))
			break;
		heap_swap(w, next, at);
	}
	return slot;
}

static struct mig_event *push(struct world *w, int h, uint64_t at_ms, enum mig_event_type type)
{
	struct item *item = heap_add(w, at_ms);

	item->host = h;
	item->instance = w->host[h].instance;
	memset(&item->ev, 0, sizeof(item->ev));
	item->ev.type = type;
	return &item->ev;
}

struct mig_event *sim_push(struct world *w, int h, enum line line, uint64_t at_ms,
			   enum mig_event_type type)
{
	uint64_t *last_ms = &w->host[h].order_ms[line];

	*last_ms = *last_ms < at_ms ? at_ms : *last_ms;
	return push(w, h, *last_ms, type);
}

uint64_t sim_queue_next_ms(const struct world *w)
{
	return w->heap_count ? w->item[w->heap[0]].at_ms : MIG_NEVER;
}

/* What comes for a process that is stopped waits, in its order. */
static void deliver(struct world *w, int slot)
{
	struct item *item = &w->item[slot];
	struct host *h = &w->host[item->host];

	if (!h->is_used || !h->is_alive || h->instance != item->instance)
		return;
	sim_host_step(w, item->host, &item->ev);
}

static bool defer(struct world *w)
{
	struct item *item = &w->item[w->heap[0]];
	struct host *h = &w->host[item->host];
	int slot;

	if (!h->is_used || h->instance != item->instance || w->now_ms >= h->frozen_ms)
		return false;
	slot = heap_take(w);
	w->item[slot].at_ms = h->frozen_ms;
	w->heap[w->heap_count++] = slot;
	for (int at = w->heap_count - 1; at && is_before(w, at, (at - 1) / 2); at = (at - 1) / 2)
		heap_swap(w, at, (at - 1) / 2);
	return true;
}

void sim_queue_run(struct world *w)
{
	while (w->heap_count && !w->broken && w->item[w->heap[0]].at_ms <= w->now_ms) {
		int slot;

		if (defer(w))
			continue;
		slot = heap_take(w);
		deliver(w, slot);
		w->spare[w->spare_count++] = slot;
	}
}

/* ---- oracles */

/* It begins to run now. */
void sim_oracle_run(struct world *w, int h)
{
	struct host *me = &w->host[h];

	for (int i = 0; i < HOSTS; i++) {
		const struct qemu *q = &w->host[i].qemu;

		if (i == h || !w->host[i].is_used || q->life != QEMU_UP)
			continue;
		if (q->run == MIG_RUNSTATE_RUNNING)
			sim_broke(w, "it runs on two nodes");
		if (me->qemu.peer == i && q->is_disk_active)
			sim_broke(w, "the source's disks are active, and the destination runs");
	}
	if (sim_db(w)->holder != me->instance)
		sim_broke(w, "it runs without the lock");
	if (!me->qemu.image) {
		if (me->qemu.whole_image || (w->is_started && !w->is_excused))
			sim_broke(w, "the VM was lost, and nothing had happened to it");
		w->boots++;
		w->is_started = true;
		w->is_excused = me->is_lost; /* it may be dying already */
	} else if (me->qemu.image != w->image) {
		sim_broke(w, "it runs with memory that is not the last");
	}
	w->image++;
	me->qemu.image = w->image;
}

static void oracle_transfer(struct world *w, const struct db *db)
{
	int from = sim_host_of(w, db->source), to = sim_host_of(w, db->destination);

	if (to < 0 || w->host[to].is_lost)
		w->is_excused = true;
	if (from >= 0 && w->host[from].qemu.is_disk_active)
		sim_broke(w, "the lock is transferred, and the source's disks are active");
	if (to >= 0 && w->host[to].qemu.life == QEMU_UP && w->host[to].qemu.image != w->image)
		sim_broke(w, "the lock is transferred, and not all is loaded");
}

void sim_oracle_commit(struct world *w)
{
	const struct db *db = sim_db(w), *old = db - 1;

	if (db->is_transferred && !old->is_transferred && db->holder == db->destination)
		oracle_transfer(w, db);
	for (int i = 0; i < HOSTS; i++) {
		const struct host *h = &w->host[i];

		if (h->is_used && h->qemu.life == QEMU_UP && h->qemu.run == MIG_RUNSTATE_RUNNING &&
		    db->holder != h->instance)
			sim_broke(w, "the lock goes to another while it runs");
	}
}

/* Quitting is for who is told to, or has not the VM. */
static void oracle_end(struct world *w, int h)
{
	const struct host *me = &w->host[h];
	const struct db *db = sim_db(w);

	if (db->holder != me->instance || (db->stop >> me->instance & 1) || w->is_excused ||
	    me->qemu.life != QEMU_UP)
		return;
	if (me->mig.life == MIG_LIFE_KILLED && (me->qemu.has_hung || me->has_frozen)) {
		w->kills++;
		w->is_excused = true;
		return;
	}
	sim_broke(w, "the VM is given up");
}

/* ---- the control channel */

static int listener(const struct world *w, uint16_t port)
{
	int h = (int)port - 100;

	return h >= 0 && h < HOSTS && w->host[h].is_used && w->host[h].is_alive &&
			       w->host[h].is_listening
		       ? h
		       : -1;
}

static void channel_lost(struct world *w, int h, uint64_t at_ms)
{
	struct host *me = &w->host[h];

	if (me->is_used && me->is_alive && me->channel)
		sim_push(w, h, LINE_PEER, at_ms, MIG_EV_CHANNEL_LOST)->channel = me->channel;
	me->is_open = me->is_listening = false;
}

/* Each side notices in its own time. */
void sim_channel_break(struct world *w, int h)
{
	struct host *me = &w->host[h];
	int peer = me->peer;

	if (!me->is_open)
		return;
	TRACE(w, "h%d: the control channel breaks", h);
	channel_lost(w, h, sim_in(w, 0, 3000));
	if (peer >= 0 && w->host[peer].is_open && w->host[peer].peer == h)
		channel_lost(w, peer, sim_in(w, 0, 3000));
}

static void channel_connect(struct world *w, int h, const struct mig_action *a)
{
	struct host *me = &w->host[h];
	int to = listener(w, a->port);
	struct mig_event *ev;

	me->channel = a->channel;
	if (to < 0 || !sim_net_is_up(w) || (!w->is_healed && sim_chance(w, 10))) {
		sim_push(w, h, LINE_PEER, sim_in(w, 1, 300), MIG_EV_CHANNEL_LOST)->channel =
			a->channel;
		return;
	}
	me->is_open = w->host[to].is_open = true;
	w->host[to].is_listening = false;
	me->peer = to;
	w->host[to].peer = h;
	ev = sim_push(w, to, LINE_PEER, sim_in(w, 1, 50), MIG_EV_CHANNEL_OPEN);
	ev->channel = w->host[to].channel;
	sim_push(w, h, LINE_PEER, sim_in(w, 1, 50), MIG_EV_CHANNEL_OPEN)->channel = a->channel;
}

static void channel_send(struct world *w, int h, const struct mig_action *a)
{
	struct host *me = &w->host[h];
	uint8_t frame[MIG_FRAME_MAX];
	uint64_t at_ms = sim_in(w, 0, w->is_healed ? 20 : 200);
	struct mig_event *ev;
	size_t len = 0;

	if (!me->is_open || a->channel != me->channel || !w->host[me->peer].is_open)
		return;
	if (!sim_net_is_up(w))
		at_ms = w->cut_ms + prng_below(&w->rng, 200);
	ev = sim_push(w, me->peer, LINE_PEER, at_ms, MIG_EV_PEER);
	ev->channel = w->host[me->peer].channel;
	if (mig_message_encode(&a->message, frame, sizeof(frame), &len) ||
	    mig_message_decode(frame + MIG_FRAME_PREFIX, len - MIG_FRAME_PREFIX, &ev->message))
		sim_broke(w, "a message does not survive its encoding");
}

/* What was sent before still arrives. */
static void channel_close(struct world *w, int h)
{
	struct host *me = &w->host[h];
	int peer = me->peer;

	me->is_listening = false;
	if (!me->is_open)
		return;
	me->is_open = false;
	if (w->host[peer].is_open && w->host[peer].peer == h)
		channel_lost(w, peer, sim_net_is_up(w) ? sim_in(w, 0, 200) : w->cut_ms + 200);
}

/* ---- vm-hosts */

static void carry_out(struct world *w, int h, const struct mig_action *a)
{
	struct host *me = &w->host[h];
	struct mig_event *ev;

	switch (a->kind) {
	case MIG_DO_COMMAND:
		if (a->command.kind == MIG_COMMAND_QUIT)
			oracle_end(w, h);
		sim_qemu_command(w, h, &a->command);
		break;
	case MIG_DO_SEND:
		TRACE(w, "h%d: says %s", h, mig_message_name(a->message.type));
		channel_send(w, h, a);
		break;
	case MIG_DO_LISTEN:
		me->channel = a->channel;
		me->is_listening = true;
		ev = sim_push(w, h, LINE_PEER, w->now_ms, MIG_EV_CHANNEL_LISTENING);
		ev->channel = a->channel;
		ev->port = (uint16_t)(100 + h);
		break;
	case MIG_DO_CONNECT:
		channel_connect(w, h, a);
		break;
	case MIG_DO_CLOSE:
		channel_close(w, h);
		break;
	case MIG_DO_TELL:
		if (a->status.run != me->told.run ||
		    a->status.migration.phase != me->told.migration.phase)
			TRACE(w, "h%d: tells %s, migration %s %s", h,
			      vm_link_run_word(a->status.run),
			      vm_link_phase_word(a->status.migration.phase),
			      a->status.migration.text);
		me->told = a->status;
		break;
	case MIG_DO_KILL:
		oracle_end(w, h);
		me->kill_ms = sim_in(w, 0, KILL_MS);
		break;
	case MIG_DO_END:
		TRACE(w, "h%d: ends", h);
		channel_close(w, h);
		me->is_alive = false;
		break;
	case MIG_DO_MAX:
		break;
	}
}

void sim_host_step(struct world *w, int h, const struct mig_event *given)
{
	static struct mig_actions out;
	struct host *me = &w->host[h];
	struct mig_event ev = *given;
	const char *broken;

	ev.now_ms = w->now_ms;
	me->stepped = me->stepped_ms == w->now_ms ? me->stepped + 1 : 0;
	me->stepped_ms = w->now_ms;
	if (me->stepped > SAME_MOMENT)
		sim_broke(w, "it turns in circles");
	if (mig_step(&me->mig, &ev, &out) && w->mutant == MIG_MUTANT_NONE)
		sim_broke(w, "a peer is said to break the protocol");
	broken = mig_check(&me->mig);
	if (broken && w->mutant == MIG_MUTANT_NONE)
		sim_broke(w, broken);
	me->tick_ms = mig_next_deadline_ms(&me->mig);
	if (me->tick_ms <= w->now_ms && w->mutant == MIG_MUTANT_NONE)
		sim_broke(w, "what is due is not done");
	for (size_t i = 0; i < out.count && me->is_alive; i++)
		carry_out(w, h, &out.item[i]);
}

int sim_host_of(const struct world *w, uint64_t instance)
{
	for (int h = 0; instance && h < HOSTS; h++) {
		if (w->host[h].is_used && w->host[h].instance == instance)
			return h;
	}
	return -1;
}

int sim_host_start(struct world *w, int node, uint64_t instance, bool is_incoming)
{
	struct mig_identity id = {.ram_bytes = 1000, .qemu = "7.2"};

	for (int h = 0; h < HOSTS; h++) {
		struct host *me = &w->host[h];

		if (me->is_used)
			continue;
		memset(me, 0, sizeof(*me));
		me->is_used = me->is_alive = true;
		me->node = node;
		me->instance = instance;
		me->peer = -1;
		me->kill_ms = me->tick_ms = MIG_NEVER;
		mig_init(&me->mig, &w->config, &id, is_incoming);
		me->mig.mutant = w->mutant;
		TRACE(w, "h%d: instance %" PRIu64 " starts on node %d%s", h, instance, node,
		      is_incoming ? ", incoming" : "");
		sim_qemu_start(w, h, is_incoming);
		return h;
	}
	fprintf(stderr, "sim_mig: seed %" PRIu64 ": too many vm-hosts\n", w->seed);
	exit(2);
}

void sim_host_lost(struct world *w, int h)
{
	w->host[h].is_lost = true;
	if (sim_db(w)->holder == w->host[h].instance)
		w->is_excused = true;
}

void sim_host_kill(struct world *w, int h)
{
	struct host *me = &w->host[h];

	if (!me->is_alive)
		return;
	TRACE(w, "h%d: the vm-host is killed", h);
	sim_host_lost(w, h);
	channel_close(w, h);
	me->is_alive = false;
	me->tick_ms = MIG_NEVER;
	if (me->kill_ms > w->now_ms + KILL_MS)
		me->kill_ms = sim_in(w, 0, KILL_MS);
}

void sim_host_forget(struct world *w, int h)
{
	w->host[h].is_used = false;
	w->host[h].kill_ms = w->host[h].tick_ms = MIG_NEVER;
	w->host[h].qemu.life = QEMU_NONE;
}
