/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/sim_world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/force.h"
#include "clusterd/core/history.h"
#include "lib/hash.h"
#include "lib/must.h"

static void step(struct sim_world *w, uint8_t node, struct repl_event *event);

/* ---- memory */

static void *grow(void *p, size_t count, size_t *cap, size_t size)
{
	if (count < *cap)
		return p;
	*cap = *cap ? *cap * 2 : 16;
	p = reallocarray(p, *cap, size);
	must(p);
	return p;
}

static void bytes_unref(struct sim_bytes *b)
{
	if (b && !--b->refs)
		free(b);
}

static struct sim_item *queue_push(struct sim_queue *q)
{
	q->item = grow(q->item, q->count, &q->cap, sizeof(*q->item));
	q->item[q->count] = (struct sim_item){0};
	return &q->item[q->count++];
}

static void queue_push_copy(struct sim_queue *q, const struct sim_item *item)
{
	*queue_push(q) = *item;
	if (item->bytes)
		item->bytes->refs++;
}

static void queue_clear(struct sim_queue *q)
{
	for (size_t i = q->head; i < q->count; i++)
		bytes_unref(q->item[i].bytes);
	free(q->item);
	*q = (struct sim_queue){0};
}

static struct sim_entry *log_push(struct sim_log *log)
{
	log->entry = grow(log->entry, log->count, &log->cap, sizeof(*log->entry));
	return &log->entry[log->count++];
}

void sim_log_copy(struct sim_log *to, const struct sim_log *from, size_t count)
{
	to->count = 0;
	for (size_t i = 0; i < count && i < from->count; i++)
		*log_push(to) = from->entry[i];
}

void sim_log_clear(struct sim_log *log)
{
	free(log->entry);
	*log = (struct sim_log){0};
}

void sim_fail(struct sim_world *w, uint8_t node, const char *what)
{
	if (w->failure)
		return;
	snprintf(w->failure_text, sizeof(w->failure_text),
		 "n%u at step %" PRIu64 " (%" PRIu64 " ms): %s", node, w->steps, w->now_ms, what);
	w->failure = w->failure_text;
}

#define TRACE(w, ...)                                                                              \
	do {                                                                                       \
		if ((w)->trace) {                                                                  \
			printf("%8" PRIu64 " %6" PRIu64 "ms ", (w)->steps, (w)->now_ms);           \
			printf(__VA_ARGS__);                                                       \
		}                                                                                  \
	} while (0)

static const struct sim_payload *payload_keep(struct sim_world *w, const void *data, size_t len)
{
	uint64_t content = hash_bytes(HASH_INIT, data, len);
	struct sim_payload **list = &w->payload[content % SIM_PAYLOADS], *p;

	for (p = *list; p; p = p->next) {
		if (p->content == content && p->len == len)
			return p;
	}
	p = malloc(sizeof(*p) + len);
	must(p);
	*p = (struct sim_payload){.next = *list, .content = content, .len = len};
	if (len)
		memcpy(p->data, data, len);
	*list = p;
	return p;
}

static void payloads_free(struct sim_world *w)
{
	for (size_t i = 0; i < SIM_PAYLOADS; i++) {
		while (w->payload[i]) {
			struct sim_payload *p = w->payload[i];

			w->payload[i] = p->next;
			free(p);
		}
	}
}

static uint32_t nodeid_of(uint8_t node)
{
	return node + 1u;
}

static uint8_t node_of(uint32_t nodeid)
{
	return (uint8_t)(nodeid - 1);
}

/* ---- the world's begin and end */

void sim_world_init(struct sim_world *w, uint64_t seed, uint8_t nodes, enum repl_mutant mutant,
		    bool trace)
{
	*w = (struct sim_world){
		.nodes = nodes, .mutant = mutant, .trace = trace, .now_ms = 1000, .lines = 1};
	prng_init(&w->prng, seed);
	w->config = (struct repl_config){
		.exchange_timeout_ms = 300, .silence_ms = 400, .beat_ms = 100, .lease_ms = 500};
	for (uint8_t i = 0; i < nodes; i++) {
		w->node[i].disk.is_blank = true;
		w->node[i].ring = i;
		w->node[i].skew_ms = prng_below(&w->prng, 100000);
		w->node[i].machine_up = true;
		w->node[i].incarnation = prng_next(&w->prng);
	}
	sim_rings_form(w);
	for (uint8_t i = 0; i < nodes; i++)
		sim_process_start(w, i);
}

void sim_world_hook(struct sim_world *w, const struct sim_hooks *hooks)
{
	w->hooks = *hooks;
	for (uint8_t i = 0; i < w->nodes; i++) {
		if (w->node[i].process_up)
			w->hooks.started(w->hooks.arg, i);
	}
}

static void write_done(struct sim_write *write)
{
	sim_log_clear(&write->log);
}

static void process_forget(struct sim_node *n)
{
	queue_clear(&n->inbox);
	queue_clear(&n->outbox);
	for (size_t i = 0; i < n->write_count; i++)
		write_done(&n->write[i]);
	n->write_count = 0;
	sim_log_clear(&n->held);
	sim_log_clear(&n->memory);
	n->pull_wanted = false;
	n->is_frozen = false;
	n->process_up = false;
}

void sim_world_done(struct sim_world *w)
{
	for (uint8_t i = 0; i < w->nodes; i++) {
		process_forget(&w->node[i]);
		free(w->node[i].write);
		sim_log_clear(&w->node[i].disk.log);
		queue_clear(&w->ring[i].order);
	}
	sim_witness_done(w);
	for (uint8_t i = 0; i < w->lines; i++)
		free(w->line[i].entry);
	payloads_free(w);
}

/* ---- rings */

static struct sim_ring *ring_of(struct sim_world *w, uint8_t node)
{
	return &w->ring[w->node[node].ring];
}

static void push_group_change(struct sim_queue *q, const struct sim_ring *ring)
{
	struct sim_item *item = queue_push(q);

	item->ring = ring->id;
	item->count = ring->proc_count;
	memcpy(item->member, ring->proc, sizeof(item->member));
}

/* What `group`, part of the old ring, still delivers of it: up to a gap all, past it its own. */
static void deliver_rest(struct sim_world *w, const struct sim_ring *old, uint16_t group)
{
	size_t reached = 0, gap;

	for (uint8_t i = 0; i < w->nodes; i++) {
		if ((group & cl_bit(i)) && w->node[i].cursor > reached)
			reached = w->node[i].cursor;
	}
	gap = prng_range(&w->prng, reached, old->order.count);
	for (size_t k = 0; k < old->order.count; k++) {
		const struct sim_item *item = &old->order.item[k];
		bool is_own = item->from.nodeid && (group & cl_bit(node_of(item->from.nodeid)));

		if (k >= gap && !is_own) {
			w->holes++;
			continue;
		}
		for (uint8_t i = 0; i < w->nodes; i++) {
			if ((group & cl_bit(i)) && w->node[i].process_up && k >= w->node[i].cursor)
				queue_push_copy(&w->node[i].inbox, item);
		}
	}
}

/* Processes of `machines`, as the group lists of their old rings know them. */
static void collect_procs(const struct sim_world *w, const struct sim_ring *old, uint16_t machines,
			  struct sim_ring *ring)
{
	for (uint8_t k = 0; k < old->proc_count; k++) {
		uint8_t node = node_of(old->proc[k].nodeid);

		if ((machines & cl_bit(node)) && w->node[node].machine_up)
			ring->proc[ring->proc_count++] = old->proc[k];
	}
}

void sim_rings_form(struct sim_world *w)
{
	static _Thread_local struct sim_ring old[SIM_MAX_NODES];
	uint8_t old_ring[SIM_MAX_NODES];

	memcpy(old, w->ring, sizeof(old));
	for (uint8_t i = 0; i < w->nodes; i++)
		old_ring[i] = w->node[i].ring;
	memset(w->ring, 0, sizeof(w->ring));
	for (uint8_t c = 0; c < w->nodes; c++) {
		struct sim_ring *ring = &w->ring[c];
		uint16_t machines = 0;
		uint32_t rep = 0;

		for (uint8_t i = 0; i < w->nodes; i++) {
			if (w->component[i] != c || !w->node[i].machine_up)
				continue;
			machines = (uint16_t)(machines | cl_bit(i));
			rep = rep ? rep : nodeid_of(i);
		}
		if (!machines)
			continue;
		ring->machines = machines;
		ring->id = (struct cl_ring){.rep = rep, .seq = w->ring_seq += 4};
		for (uint8_t r = 0; r < w->nodes; r++) {
			uint16_t group = 0;

			for (uint8_t i = 0; i < w->nodes; i++) {
				if ((machines & cl_bit(i)) && old_ring[i] == r)
					group = (uint16_t)(group | cl_bit(i));
			}
			if (!group)
				continue;
			deliver_rest(w, &old[r], group);
			collect_procs(w, &old[r], group, ring);
		}
		for (uint8_t i = 0; i < w->nodes; i++) {
			if (!(machines & cl_bit(i)))
				continue;
			w->node[i].ring = c;
			w->node[i].cursor = 0;
			if (w->node[i].process_up)
				push_group_change(&w->node[i].inbox, ring);
		}
	}
	for (uint8_t i = 0; i < w->nodes; i++)
		queue_clear(&old[i].order);
}

/* ---- machines and processes */

static void disk_mark(struct sim_disk *d)
{
	const struct sim_entry *e = d->log.count ? &d->log.entry[d->log.count - 1] : NULL;

	d->mark = e ? (struct cl_pos){.epoch = e->epoch, .index = e->index} : (struct cl_pos){0};
}

/* Like store_check.c and engine.c: the database holds less than it once did. */
static bool disk_is_behind(const struct sim_disk *d)
{
	const struct sim_entry *e = d->log.count ? &d->log.entry[d->log.count - 1] : NULL;
	struct cl_pos last =
		e ? (struct cl_pos){.epoch = e->epoch, .index = e->index} : (struct cl_pos){0};

	return !d->is_blank &&
	       (cl_pos_compare(&last, &d->mark) < 0 || d->promised < d->mark_promised);
}

static bool same_entry(const struct sim_entry *a, const struct sim_entry *b)
{
	return a->index == b->index && !cl_epoch_compare(&a->epoch, &b->epoch) &&
	       a->kind == b->kind && a->origin == b->origin && a->instance == b->instance &&
	       a->request == b->request && a->content == b->content;
}

static void disk_apply(struct sim_disk *d, struct sim_write *write)
{
	switch (write->type) {
	case SIM_WRITE_APPEND:
		if (write->entry.index == d->log.count + 1)
			*log_push(&d->log) = write->entry;
		else if (write->entry.index <= d->log.count)
			d->log.entry[write->entry.index - 1] = write->entry;
		d->is_blank = false;
		disk_mark(d);
		break;
	case SIM_WRITE_PROMISE:
		if (write->promise > d->promised)
			d->promised = write->promise;
		if (write->promise > d->mark_promised)
			d->mark_promised = write->promise;
		break;
	case SIM_WRITE_INSTALL:
		if (write->is_cancelled)
			break;
		while (d->applied && (d->applied > write->log.count ||
				      !same_entry(&d->log.entry[d->applied - 1],
						  &write->log.entry[d->applied - 1])))
			d->applied--;
		sim_log_copy(&d->log, &write->log, write->log.count);
		d->cluster = write->cluster;
		d->is_blank = false;
		disk_mark(d);
		break;
	case SIM_WRITE_DROP:
		if (d->log.count > d->applied)
			d->log.count = d->applied;
		break;
	}
}

static void lose_some_writes(struct sim_world *w, struct sim_node *n)
{
	size_t kept = prng_below(&w->prng, n->write_count + 1);

	for (size_t i = 0; i < kept; i++) {
		/* an install without its commit is no write at all, and cannot be half of one */
		if (n->write[i].type == SIM_WRITE_INSTALL)
			break;
		disk_apply(&n->disk, &n->write[i]);
	}
}

void sim_process_kill(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	struct sim_ring *ring = ring_of(w, node);
	struct sim_item *item;
	uint8_t kept = 0;

	if (!n->process_up)
		return;
	TRACE(w, "n%u process killed\n", node);
	lose_some_writes(w, n);
	sim_witness_ended(w, node);
	process_forget(n);
	if (w->hooks.ended)
		w->hooks.ended(w->hooks.arg, node);
	for (uint8_t k = 0; k < ring->proc_count; k++) {
		if (ring->proc[k].nodeid != nodeid_of(node))
			ring->proc[kept++] = ring->proc[k];
	}
	ring->proc_count = kept;
	push_group_change(&ring->order, ring);
	item = &ring->order.item[ring->order.count - 1];
	item->from = (struct repl_address){.nodeid = nodeid_of(node)};
}

static struct force_record forced_of(const struct sim_entry *e)
{
	struct force_record r;

	must(!force_record_decode((struct cl_blob){e->payload->data, e->payload->len}, &r));
	return r;
}

static void table_at_end(const struct sim_disk *d, const struct sim_log *log, struct cl_table *ret)
{
	(void)d;
	*ret = (struct cl_table){0};
	for (size_t i = 0; i < log->count; i++) {
		const struct sim_entry *e = &log->entry[i];

		if (e->kind == CL_ENTRY_GENESIS) {
			*ret = d->genesis;
			ret->changed_at = e->index;
		}
		if (e->kind == CL_ENTRY_FORCED)
			*ret = forced_of(e).table;
		if (e->has_row) {
			*cl_table_row(ret, e->slot) = e->row;
			ret->changed_at = e->index;
		}
	}
}

uint8_t sim_fewest_voters(const struct sim_world *w)
{
	int fewest = CL_MAX_NODES;

	for (uint8_t i = 0; i < w->nodes; i++) {
		struct cl_table t;
		int voters;

		table_at_end(&w->node[i].disk, &w->node[i].disk.log, &t);
		voters = __builtin_popcount(quorum_voters(&t));
		if (voters < fewest)
			fewest = voters;
	}
	return (uint8_t)fewest;
}

static uint64_t random_pid(struct sim_world *w)
{
	return 10 + prng_below(&w->prng, 3); /* few, so that one comes back within a ring */
}

void sim_process_start(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	struct sim_ring *ring = ring_of(w, node);
	struct repl_history h;
	struct repl_identity id;

	if (n->process_up || !n->machine_up)
		return;
	n->process_up = true;
	n->pid = (uint32_t)random_pid(w);
	h = (struct repl_history){.is_blank = n->disk.is_blank,
				  .cluster = n->disk.cluster,
				  .promised = n->disk.promised,
				  .is_behind = disk_is_behind(&n->disk)};
	if (h.promised < n->disk.mark_promised && !h.is_blank)
		h.promised = n->disk.mark_promised;
	if (n->disk.log.count) {
		const struct sim_entry *e = &n->disk.log.entry[n->disk.log.count - 1];

		h.last = (struct cl_pos){.epoch = e->epoch, .index = e->index};
	}
	table_at_end(&n->disk, &n->disk.log, &h.table);
	id = (struct repl_identity){.nodeid = nodeid_of(node),
				    .pid = n->pid,
				    .incarnation = n->incarnation,
				    .instance = prng_next(&w->prng)};
	memcpy(id.boot.byte, &n->incarnation, sizeof(n->incarnation));
	snprintf(id.name.text, sizeof(id.name.text), "n%u", node);
	repl_init(&n->repl, &w->config, &id, &h);
	n->repl.mutant = w->mutant;
	sim_witness_started(w, node);
	sim_log_copy(&n->memory, &n->disk.log, n->disk.log.count);
	n->applied = n->disk.applied;
	n->next_request = n->acked_request = 0;
	n->cursor = ring->order.count;
	ring->proc[ring->proc_count++] = (struct repl_address){nodeid_of(node), n->pid};
	push_group_change(&ring->order, ring);
	ring->order.item[ring->order.count - 1].from = (struct repl_address){nodeid_of(node), 0};
	TRACE(w, "n%u process started, log %zu promised %" PRIu64 "%s\n", node, n->disk.log.count,
	      n->disk.promised, n->disk.is_blank ? " blank" : "");
	if (w->hooks.started)
		w->hooks.started(w->hooks.arg, node);
}

void sim_machine_crash(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];

	if (!n->machine_up)
		return;
	TRACE(w, "n%u machine crashed\n", node);
	w->crashes++;
	if (n->process_up) {
		lose_some_writes(w, n);
		sim_witness_ended(w, node);
	}
	process_forget(n);
	n->machine_up = false;
	sim_rings_form(w);
	if (w->hooks.ended)
		w->hooks.ended(w->hooks.arg, node);
}

void sim_machine_start(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	bool is_alone = true;

	if (n->machine_up)
		return;
	n->machine_up = true;
	n->incarnation = prng_next(&w->prng);
	for (uint8_t i = 0; i < w->nodes; i++) {
		if (i != node && w->node[i].ring == n->ring && w->node[i].machine_up)
			is_alone = false;
	}
	/* It boots into a ring slot that nobody uses, then the rings form with it. */
	for (uint8_t r = 0; !is_alone && r < w->nodes; r++) {
		if (!w->ring[r].machines) {
			n->ring = r;
			break;
		}
	}
	n->cursor = w->ring[n->ring].order.count;
	sim_rings_form(w);
	sim_process_start(w, node);
}

void sim_disk_wipe(struct sim_world *w, uint8_t node)
{
	struct sim_disk *d = &w->node[node].disk;

	TRACE(w, "n%u disk wiped\n", node);
	sim_log_clear(&d->log);
	*d = (struct sim_disk){.is_blank = true};
}

/* What it holds does not count, or will not as soon as it has noticed. */
static bool has_forgotten(const struct sim_node *n)
{
	return n->disk.is_blank || disk_is_behind(&n->disk) ||
	       (n->process_up && (n->repl.is_blank || n->repl.is_wrong));
}

/* One node may do without what it holds. */
static bool may_forget(const struct sim_world *w)
{
	if (w->nodes < 4)
		return false;
	for (uint8_t i = 0; i < w->nodes; i++) {
		if (has_forgotten(&w->node[i]))
			return false;
	}
	return sim_fewest_voters(w) >= 3;
}

bool sim_may_wipe(const struct sim_world *w, uint8_t node)
{
	return !w->node[node].machine_up && may_forget(w);
}

bool sim_state_is_wrong(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	struct repl_event e = {.type = REPL_EV_WRONG};

	if (!n->process_up || n->is_frozen || n->repl.phase != REPL_OPEN || !may_forget(w))
		return false;
	TRACE(w, "n%u state is wrong\n", node);
	step(w, node, &e);
	return true;
}

bool sim_disk_restore(struct sim_world *w, uint8_t node)
{
	struct sim_disk *d = &w->node[node].disk;

	if (!sim_may_wipe(w, node) || d->log.count < 2)
		return false;
	d->log.count = prng_range(&w->prng, 1, d->log.count - 1);
	d->promised = d->log.entry[d->log.count - 1].epoch.number;
	d->applied = d->applied < d->log.count ? d->applied : d->log.count;
	TRACE(w, "n%u has an older copy of its database, log %zu\n", node, d->log.count);
	return true;
}

bool sim_disk_age(struct sim_world *w, uint8_t node)
{
	struct sim_disk *d = &w->node[node].disk;
	struct cl_table table;

	table_at_end(d, &d->log, &table);
	if (w->nodes < 3 || w->node[node].machine_up || d->log.count <= table.changed_at + 1 ||
	    sim_fewest_voters(w) < w->nodes)
		return false;
	for (uint8_t i = 0; i < w->nodes; i++) {
		const struct sim_disk *o = &w->node[i].disk;
		const struct sim_entry *end;

		if (o->log.count < d->log.count || o->promised < d->promised)
			return false;
		end = &o->log.entry[d->log.count - 1];
		if (cl_epoch_compare(&end->epoch, &d->log.entry[d->log.count - 1].epoch))
			return false;
	}
	d->log.count = prng_range(&w->prng, table.changed_at, d->log.count - 1);
	d->promised = d->log.entry[d->log.count - 1].epoch.number;
	disk_mark(d);
	d->mark_promised = d->promised;
	d->applied = d->applied < d->log.count ? d->applied : d->log.count;
	TRACE(w, "n%u has an older disk, log %zu\n", node, d->log.count);
	return true;
}

/* ---- oracle of committed entries */

/* The entry that began the line of the first `count`; NULL: nobody has forced anything there. */
static const struct sim_entry *line_begin(const struct sim_world *w, const struct sim_log *log,
					  size_t count)
{
	for (size_t i = w->forces ? count : 0; i-- > 0;) {
		if (log->entry[i].kind == CL_ENTRY_FORCED)
			return &log->entry[i];
	}
	return NULL;
}

static struct sim_line *line_find(struct sim_world *w, const struct sim_log *log, size_t count)
{
	const struct sim_entry *e = line_begin(w, log, count);
	struct force_record r;
	struct sim_line *line;

	for (uint8_t i = e ? 1 : 0; i < w->lines; i++) {
		if (!e || !cl_epoch_compare(&w->line[i].forced, &e->epoch))
			return &w->line[i];
	}
	must(w->lines < SIM_LINES_MAX);
	r = forced_of(e);
	line = &w->line[w->lines++];
	*line = (struct sim_line){
		.forced = e->epoch, .down = r.down, .voters = quorum_voters(&r.table)};
	for (size_t i = 0; i + 1 < e->index; i++) {
		line->entry = grow(line->entry, line->count, &line->cap, sizeof(*line->entry));
		line->entry[line->count++] = log->entry[i];
	}
	return line;
}

const struct sim_line *sim_line_of(struct sim_world *w, uint8_t node)
{
	return line_find(w, &w->node[node].memory, w->node[node].memory.count);
}

static struct cl_epoch line_key(struct sim_world *w, uint8_t node)
{
	const struct sim_log *log = &w->node[node].memory;
	const struct sim_entry *e = line_begin(w, log, log->count);

	return e ? e->epoch : (struct cl_epoch){0};
}

/*
 * A change of votes is committed: a majority of the new table has it on disk, and of the old one,
 * too, unless a later view found it there. Wiped disks are not held against it.
 */
static void check_table_commit(struct sim_world *w, uint8_t node, const struct sim_line *line,
			       const struct sim_entry *e)
{
	uint32_t on_witness = 0;
	const struct sim_node *n = &w->node[node];
	struct sim_log before = {.entry = line->entry, .count = line->count - 1};
	struct cl_table old, new;
	uint16_t holders = 0;

	for (uint8_t i = 0; i < w->nodes; i++) {
		const struct sim_disk *d = &w->node[i].disk;

		if (d->is_blank || disk_is_behind(d) ||
		    (d->log.count >= e->index && same_entry(&d->log.entry[e->index - 1], e)))
			holders = (uint16_t)(holders | cl_bit(i));
		if (w->witness.area[i].log.count >= e->index &&
		    same_entry(&w->witness.area[i].log.entry[e->index - 1], e))
			on_witness = CL_WITNESS_BIT;
	}
	if (w->witness.is_share && !(sim_share_set(w) & ~holders))
		on_witness = CL_WITNESS_BIT; /* each node that it knows has it */
	table_at_end(&n->disk, &before, &old);
	new = old;
	*cl_table_row(&new, e->slot) = e->row;
	if (!quorum_is_majority(&new, holders | on_witness))
		sim_fail(w, node, "a change of votes without a majority of the new votes");
	if (!cl_epoch_compare(&e->epoch, &n->repl.epoch) &&
	    !quorum_is_majority(&old, holders | on_witness))
		sim_fail(w, node, "a change of votes without a majority of the old votes");
}

static void apply_committed(struct sim_world *w, uint8_t node, uint64_t index)
{
	struct sim_node *n = &w->node[node];

	if (index > n->memory.count) {
		sim_fail(w, node, "told to apply an entry that it does not hold");
		return;
	}
	for (uint64_t i = n->applied + 1; i <= index; i++) {
		const struct sim_entry *e = &n->memory.entry[i - 1];
		/* What a force commits of an earlier epoch belongs to its line, too. */
		struct sim_line *line = line_find(w, &n->memory, index);

		if (i > line->count + 1) {
			sim_fail(w, node, "C3: applied beyond what was ever committed");
			return;
		}
		if (i == line->count + 1) {
			line->entry =
				grow(line->entry, line->count, &line->cap, sizeof(*line->entry));
			line->entry[line->count++] = *e;
			w->commits++;
			if (e->has_row)
				check_table_commit(w, node, line, e);
		} else if (!same_entry(&line->entry[i - 1], e)) {
			sim_fail(w, node, "C3: two different entries committed at one index");
			return;
		}
		if (e->kind == CL_ENTRY_COMMAND && e->instance == n->repl.self.instance &&
		    e->request > n->acked_request)
			n->acked_request = e->request;
		n->applied = i;
		if (w->hooks.applied)
			w->hooks.applied(w->hooks.arg, node, e);
	}
	if (n->disk.applied < n->applied && n->applied <= n->disk.log.count)
		n->disk.applied = n->applied;
}

/* ---- actions */

static void send_message(struct sim_world *w, uint8_t node, const struct cl_msg *msg)
{
	uint8_t buf[8192];
	size_t len = 0;
	struct sim_item *item;
	struct sim_node *n = &w->node[node];

	must(!cl_msg_encode(msg, buf, sizeof(buf), &len));
	item = queue_push(&n->outbox);
	item->from = (struct repl_address){nodeid_of(node), n->pid};
	item->bytes = malloc(sizeof(*item->bytes) + len);
	must(item->bytes);
	item->bytes->refs = 1;
	item->bytes->len = len;
	memcpy(item->bytes->data, buf, len);
}

static struct sim_write *push_write(struct sim_node *n, enum sim_write_type type)
{
	n->write = grow(n->write, n->write_count, &n->write_cap, sizeof(*n->write));
	n->write[n->write_count] = (struct sim_write){.type = type};
	return &n->write[n->write_count++];
}

static struct sim_entry make_entry(struct sim_world *w, const struct repl_entry *e)
{
	struct sim_entry entry = {.epoch = e->epoch,
				  .index = e->index,
				  .kind = e->kind,
				  .origin = e->origin,
				  .instance = e->instance,
				  .request = e->request};

	entry.payload = payload_keep(w, e->payload.data, e->payload.len);
	entry.content = entry.payload->content;
	if (e->kind == CL_ENTRY_TABLE)
		entry.has_row = !cl_row_decode(e->payload, &entry.slot, &entry.row);
	return entry;
}

static void append(struct sim_world *w, uint8_t node, const struct repl_entry *e)
{
	struct sim_node *n = &w->node[node];
	struct sim_entry entry = make_entry(w, e);

	if (entry.index != n->memory.count + 1) {
		sim_fail(w, node, "an entry is appended past a gap");
		return;
	}
	*log_push(&n->memory) = entry;
	push_write(n, SIM_WRITE_APPEND)->entry = entry;
	if (e->kind == CL_ENTRY_GENESIS) {
		n->disk.cluster = n->repl.cluster;
		n->disk.genesis = n->repl.table;
	}
}

static void cancel_pull(struct sim_node *n)
{
	for (size_t i = 0; i < n->write_count; i++) {
		if (n->write[i].type == SIM_WRITE_INSTALL && (i || !n->disk.is_blank))
			n->write[i].is_cancelled = true;
	}
	sim_log_clear(&n->held);
}

/* A quorate view is complete: from here on, nodes outside of it lose their lease within L. */
static void note_view(struct sim_world *w, uint8_t node)
{
	const struct repl_state *s = &w->node[node].repl;
	const struct cl_epoch line = line_key(w, node);

	w->views++;
	TRACE(w,
	      "n%u view %u/%" PRIu64 " present %04x countable %04x votes %u/%u%s epoch %" PRIu64
	      " winner %" PRIu64 "/%" PRIu64 " own %" PRIu64 "/%" PRIu64 "\n",
	      node, s->view.ring.rep, s->view.ring.seq, s->present, s->countable,
	      s->quorum.votes_present, s->quorum.votes_total,
	      s->quorum.is_quorate ? " quorate" : "", s->number, s->winner.epoch.number,
	      s->winner.index, s->last.epoch.number, s->last.index);
	/* Who is still to take over the view's line leaves it to those who have it. */
	if (!s->quorum.is_quorate || s->self_slot == CL_NODE_NONE ||
	    s->last.epoch.generation != s->winner.epoch.generation)
		return;
	for (uint8_t i = 0; i < w->nodes; i++) {
		struct sim_node *n = &w->node[i];

		/* A slow node learns of a view that is past; a ring has several, as processes come.
		 */
		if (s->view.ring.seq < n->included_seq ||
		    (s->view.ring.seq == n->included_seq &&
		     w->node[node].cursor < n->included_cursor))
			continue;
		if (s->present & cl_bit(i)) {
			n->excluded_ms = 0;
			n->included_seq = s->view.ring.seq;
			n->included_cursor = w->node[node].cursor;
		} else if (!n->excluded_ms || cl_epoch_compare(&n->excluded_line, &line)) {
			n->excluded_ms = w->now_ms;
			n->excluded_line = line;
		}
	}
}

static void do_action(struct sim_world *w, uint8_t node, const struct repl_action *a)
{
	struct sim_node *n = &w->node[node];

	switch (a->type) {
	case REPL_DO_SEND:
		send_message(w, node, &a->msg);
		break;
	case REPL_DO_APPEND:
		append(w, node, &a->entry);
		break;
	case REPL_DO_HOLD:
		*log_push(&n->held) = make_entry(w, &a->entry);
		break;
	case REPL_DO_PROMISE:
		push_write(n, SIM_WRITE_PROMISE)->promise = a->index;
		break;
	case REPL_DO_PULL:
		n->pull_wanted = true;
		n->pull_view = a->pull.view;
		n->pull_donor = a->pull.donor_nodeid;
		w->pulls++;
		break;
	case REPL_DO_CANCEL_PULL:
		cancel_pull(n);
		break;
	case REPL_DO_COMMIT:
		apply_committed(w, node, a->index);
		break;
	case REPL_DO_OPENED:
		w->opens++;
		TRACE(w, "n%u open epoch %" PRIu64 " starter n%u commit %" PRIu64 "\n", node,
		      n->repl.epoch.number, n->repl.starter, n->repl.commit);
		if (w->hooks.opened)
			w->hooks.opened(w->hooks.arg, node);
		for (uint64_t q = n->acked_request + 1; q <= n->next_request; q++)
			sim_propose(w, node, CL_ENTRY_COMMAND, q,
				    (struct cl_blob){(const uint8_t *)"again", 5});
		break;
	case REPL_DO_VIEW:
		note_view(w, node);
		break;
	case REPL_DO_DROP_SUFFIX:
		push_write(n, SIM_WRITE_DROP);
		break;
	case REPL_DO_CLOSED:
	case REPL_DO_MAX:
		break;
	}
}

uint64_t sim_local_ms(const struct sim_world *w, uint8_t node)
{
	return w->now_ms + w->node[node].skew_ms;
}

int sim_step(struct sim_world *w, uint8_t node, struct repl_event *event)
{
	struct repl_actions *out = malloc(sizeof(*out));
	const char *broken;
	int r;

	must(out);
	event->now_ms = sim_local_ms(w, node);
	event->entropy = prng_next(&w->prng);
	r = repl_step(&w->node[node].repl, event, out);
	broken = repl_check(&w->node[node].repl);
	if (broken)
		sim_fail(w, node, broken);
	for (size_t i = 0; i < out->count && !w->failure; i++)
		do_action(w, node, &out->item[i]);
	free(out);
	return r;
}

static void step(struct sim_world *w, uint8_t node, struct repl_event *event)
{
	sim_step(w, node, event);
}

/* ---- progress */

static void deliver_item(struct sim_world *w, uint8_t node, const struct sim_item *item)
{
	struct repl_event e = {0};
	struct cl_msg msg;

	if (item->bytes) {
		must(!cl_msg_decode(item->bytes->data, item->bytes->len, &msg));
		e.type = REPL_EV_MESSAGE;
		e.message.from = item->from;
		e.message.msg = &msg;
		step(w, node, &e);
		return;
	}
	for (uint8_t k = 0; k < item->count; k++) {
		if (item->member[k].nodeid == nodeid_of(node) &&
		    item->member[k].pid == w->node[node].pid)
			break;
		if (k + 1 == item->count)
			return; /* before this process had joined */
	}
	e.type = REPL_EV_CONFCHG;
	e.confchg.ring = item->ring;
	e.confchg.count = item->count;
	memcpy(e.confchg.member, item->member, sizeof(item->member));
	step(w, node, &e);
}

bool sim_deliver(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	struct sim_ring *ring = ring_of(w, node);
	struct sim_item next;

	if (!n->process_up || n->is_frozen)
		return false;
	if (n->inbox.head < n->inbox.count) {
		struct sim_item item = n->inbox.item[n->inbox.head++];

		deliver_item(w, node, &item);
		bytes_unref(item.bytes);
		if (n->inbox.head == n->inbox.count)
			n->inbox.head = n->inbox.count = 0;
		return true;
	}
	if (n->cursor >= ring->order.count)
		return false;
	next = ring->order.item[n->cursor++]; /* the order may move while it is delivered */
	deliver_item(w, node, &next);
	return true;
}

bool sim_sequence(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	struct sim_ring *ring = ring_of(w, node);

	/* While a ring forms, corosync takes no message: the sender has to see the new ring first.
	 */
	if (!n->process_up || n->outbox.head == n->outbox.count || n->inbox.head < n->inbox.count)
		return false;
	*queue_push(&ring->order) = n->outbox.item[n->outbox.head++];
	if (n->outbox.head == n->outbox.count)
		n->outbox.head = n->outbox.count = 0;
	return true;
}

static void spans_of(struct history *h, const struct sim_log *log)
{
	*h = (struct history){.cap = log->count + 1};
	h->span = calloc(h->cap, sizeof(*h->span));
	must(h->span);
	for (size_t i = 0; i < log->count; i++)
		must(history_add(h, &log->entry[i].epoch, log->entry[i].index));
}

/* What the disk holds replaces what the process held: where do they part, and may they? */
static void check_parting(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	const struct sim_log *own = &n->memory, *won = &n->disk.log;
	const struct sim_entry *a = line_begin(w, own, own->count);
	const struct sim_entry *b = line_begin(w, won, won->count);
	struct history h, k;
	uint64_t common = 0;

	while (common < own->count && common < won->count &&
	       same_entry(&own->entry[common], &won->entry[common]))
		common++;
	for (size_t i = 1; i < won->count; i++) {
		if (cl_epoch_compare(&won->entry[i - 1].epoch, &won->entry[i].epoch) > 0)
			sim_fail(w, node, "an entry of an earlier epoch behind a later one");
	}
	spans_of(&h, own);
	spans_of(&k, won);
	if (history_parts(&h, &k, n->applied).common != common && own->count)
		sim_fail(w, node, "the core sees two histories part where they do not");
	free(h.span);
	free(k.span);
	w->saved += own->count - common;
	if (b && (!a || cl_epoch_compare(&a->epoch, &b->epoch)))
		n->excluded_ms = 0; /* the lease that it had was of the line that it leaves */
	if (n->applied <= common)
		return;
	if (!b || (a && cl_epoch_compare(&a->epoch, &b->epoch) >= 0))
		sim_fail(w, node, "C3: an install replaced an applied entry");
	n->applied = common;
}

static void install_done(struct sim_world *w, uint8_t node, struct sim_write *write)
{
	struct sim_node *n = &w->node[node];
	struct repl_event e = {.type = REPL_EV_PULLED};

	e.pulled.view = write->view;
	if (write->is_cancelled) {
		e.pulled.r = -ECANCELED;
		step(w, node, &e);
		return;
	}
	check_parting(w, node);
	sim_log_copy(&n->memory, &n->disk.log, n->disk.log.count);
	e.pulled.cluster = n->disk.cluster;
	e.pulled.last = (struct cl_pos){
		.epoch = n->memory.entry[n->memory.count - 1].epoch,
		.index = n->memory.count,
	};
	table_at_end(&n->disk, &n->memory, &e.pulled.table);
	sim_log_clear(&n->held);
	step(w, node, &e);
}

/* Held entries join the install in the same transaction. */
static void take_held(struct sim_node *n, struct sim_write *write)
{
	for (size_t i = 0; i < n->held.count; i++) {
		if (n->held.entry[i].index == write->log.count + 1)
			*log_push(&write->log) = n->held.entry[i];
	}
}

bool sim_disk_complete(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	struct sim_write write;
	struct repl_event e = {0};

	if (!n->process_up || !n->write_count || n->is_stalled)
		return false;
	write = n->write[0];
	n->write_count--;
	memmove(&n->write[0], &n->write[1], n->write_count * sizeof(write));
	if (write.type == SIM_WRITE_INSTALL && !write.is_cancelled)
		take_held(n, &write);
	if (write.type == SIM_WRITE_INSTALL && w->mutant == REPL_MUTANT_MERGE_SUFFIX) {
		for (size_t i = write.log.count; i < n->disk.log.count; i++)
			*log_push(&write.log) = n->disk.log.entry[i];
	}
	disk_apply(&n->disk, &write);
	switch (write.type) {
	case SIM_WRITE_APPEND:
		e.type = REPL_EV_DURABLE;
		e.index = write.entry.index;
		if (n->disk.applied < n->applied)
			n->disk.applied =
				n->applied < n->disk.log.count ? n->applied : n->disk.log.count;
		step(w, node, &e);
		break;
	case SIM_WRITE_PROMISE:
		e.type = REPL_EV_PROMISED;
		e.index = write.promise;
		step(w, node, &e);
		break;
	case SIM_WRITE_INSTALL:
		install_done(w, node, &write);
		break;
	case SIM_WRITE_DROP:
		break;
	}
	write_done(&write);
	return true;
}

void sim_install(struct sim_world *w, uint8_t node, const struct cl_view_id *view,
		 const struct sim_log *log, const struct cl_uuid *cluster,
		 const struct cl_table *genesis)
{
	struct sim_write *write = push_write(&w->node[node], SIM_WRITE_INSTALL);

	write->view = *view;
	write->cluster = *cluster;
	sim_log_copy(&write->log, log, log->count);
	w->node[node].disk.genesis = *genesis;
}

static void pull_failed(struct sim_world *w, uint8_t node)
{
	struct repl_event e = {.type = REPL_EV_PULLED};

	e.pulled.r = -EIO;
	e.pulled.view = w->node[node].pull_view;
	step(w, node, &e);
}

bool sim_pull_run(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	struct sim_node *donor;
	struct sim_write *write;

	if (!n->process_up || !n->pull_wanted)
		return false;
	n->pull_wanted = false;
	donor = n->pull_donor ? &w->node[node_of(n->pull_donor)] : NULL;
	if (!donor || !n->repl.is_pulling || !donor->process_up || donor->is_frozen ||
	    w->component[node] != w->component[node_of(n->pull_donor)] ||
	    !donor->repl.view_complete || !cl_view_equal(&donor->repl.view, &n->pull_view) ||
	    donor->repl.phase == REPL_EXCHANGE || prng_chance(&w->prng, 1, 8)) {
		pull_failed(w, node);
		return true;
	}
	write = push_write(n, SIM_WRITE_INSTALL);
	write->view = n->pull_view;
	write->cluster = donor->disk.cluster;
	sim_log_copy(&write->log, &donor->disk.log, donor->disk.log.count);
	n->disk.genesis = donor->disk.genesis;
	return true;
}

/* A process finds out about its disk when it has something to write. */
static void tell_stall(struct sim_world *w, uint8_t node)
{
	struct sim_node *n = &w->node[node];
	struct repl_event e = {.type = REPL_EV_STALLED, .is_stalled = n->is_stalled};

	if (n->is_stalled == n->repl.is_stalled || (n->is_stalled && !n->write_count))
		return;
	TRACE(w, "n%u disk %s\n", node, n->is_stalled ? "stalls" : "writes again");
	step(w, node, &e);
}

void sim_tick(struct sim_world *w, uint8_t node)
{
	struct repl_event e = {.type = REPL_EV_TICK};

	if (!w->node[node].process_up || w->node[node].is_frozen)
		return;
	tell_stall(w, node);
	step(w, node, &e);
}

int sim_propose(struct sim_world *w, uint8_t node, uint8_t kind, uint64_t request,
		struct cl_blob payload)
{
	struct repl_event e = {.type = REPL_EV_PROPOSE};

	e.propose.kind = kind;
	e.propose.request = request;
	e.propose.payload = payload;
	return sim_step(w, node, &e);
}

int sim_force(struct sim_world *w, uint8_t node, uint16_t down)
{
	struct repl_event e = {.type = REPL_EV_FORCE};
	int r;

	e.force.down = down;
	snprintf(e.force.actor.text, sizeof(e.force.actor.text), "admin");
	r = sim_step(w, node, &e);
	w->forces += !r;
	if (!r)
		TRACE(w, "n%u forces quorum without %04x\n", node, down);
	return r;
}

int sim_create(struct sim_world *w, uint8_t node, const struct cl_table *table)
{
	struct repl_event e = {.type = REPL_EV_CREATE};

	e.create.table = *table;
	e.create.cluster.byte[0] = 1;
	return sim_step(w, node, &e);
}

/* ---- safety */

/* Who acts in another line than one of a later force was said to be down, or forced with it. */
static void check_lines(struct sim_world *w)
{
	for (uint8_t i = 0; i < w->nodes && w->lines > 1; i++) {
		const struct sim_line *old;

		if (!w->node[i].process_up || !repl_may_act(&w->node[i].repl, sim_local_ms(w, i)))
			continue;
		old = sim_line_of(w, i);
		for (uint8_t k = 0; k < w->nodes; k++) {
			const struct sim_line *line;

			if (!w->node[k].process_up ||
			    !repl_may_act(&w->node[k].repl, sim_local_ms(w, k)))
				continue;
			line = sim_line_of(w, k);
			if (cl_epoch_compare(&line->forced, &old->forced) > 0 &&
			    !((line->down | line->voters) & cl_bit(i)))
				sim_fail(w, i,
					 "C1: acts in another history, and nobody has said that "
					 "it is down");
		}
	}
}

void sim_check(struct sim_world *w)
{
	check_lines(w);
	for (uint8_t i = 0; i < w->nodes; i++) {
		const struct sim_node *n = &w->node[i];
		uint64_t deadline = n->repl.lease.deadline_ms;

		const struct cl_epoch line = line_key(w, i);

		if (!n->process_up || !n->excluded_ms || cl_epoch_compare(&n->excluded_line, &line))
			continue; /* of another line no view tells this one anything */
		if (deadline > n->excluded_ms + n->skew_ms + w->config.lease_ms)
			sim_fail(w, i,
				 "C1: lease outlives a quorate view without the node by more "
				 "than L");
	}
	sim_witness_check(w);
}
