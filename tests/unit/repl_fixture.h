/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One node of the replication core, driven by events. The node is real; its peers are what the
 * test says that they sent. Node i (0..15) has nodeid 101 + i, process id 1001 + i and the name
 * "n<i + 1>", and is a member in slot i of tables made by rig_table().
 *
 * Every step is followed by repl_check(); a refused step must have changed nothing.
 */
#ifndef TESTS_UNIT_REPL_FIXTURE_H
#define TESTS_UNIT_REPL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/repl.h"

#define RIG_EXCHANGE_MS 500
#define RIG_SILENCE_MS	3000
#define RIG_BEAT_MS	400
#define RIG_LEASE_MS	2000
/* Index of the last entry of the history that nodes start with, of epoch (1, RIG_EPOCH). */
#define RIG_LAST  10
#define RIG_EPOCH 4

struct rig {
	struct cl_versions versions; /* that the peers speak */
	struct repl_state s;
	struct repl_state before;
	struct repl_actions out;
	uint8_t self;
	struct repl_history history; /* what nodes have on disk unless the test says otherwise */
	struct cl_ring ring;
	uint16_t group;	 /* nodes in the group */
	uint64_t hash;	 /* of the group */
	uint64_t now_ms; /* moves only where the test moves it */
	uint64_t entropy;
	unsigned int states_sent;
	struct cl_msg own_state; /* the newest STATE that the node sent */
	uint8_t row[CL_ROW_MAX];
};

static inline uint32_t rig_nodeid(uint8_t node)
{
	return 101u + node;
}

static inline struct repl_address rig_address(uint8_t node)
{
	return (struct repl_address){.nodeid = rig_nodeid(node), .pid = 1001u + node};
}

static inline struct cl_name rig_name(uint8_t node)
{
	struct cl_name name = {{0}};

	snprintf(name.text, sizeof(name.text), "n%u", node + 1u);
	return name;
}

static inline struct cl_uuid rig_cluster(uint8_t which)
{
	struct cl_uuid uuid;

	memset(uuid.byte, which, sizeof(uuid.byte));
	return uuid;
}

static inline struct cl_member rig_member(uint8_t node, uint8_t vote)
{
	struct cl_member m = {.nodeid = rig_nodeid(node), .vote = vote};
	struct cl_name name = rig_name(node);

	memcpy(m.name, name.text, sizeof(m.name));
	return m;
}

/* The first n nodes, all with a vote. */
static inline struct cl_table rig_table(uint8_t n)
{
	struct cl_table table = {.changed_at = 1};

	for (uint8_t i = 0; i < n; i++)
		table.member[i] = rig_member(i, 1);
	return table;
}

static inline struct repl_history rig_history(uint8_t n)
{
	return (struct repl_history){
		.cluster = rig_cluster(0xc1),
		.last = {.epoch = {.generation = 1, .number = RIG_EPOCH}, .index = RIG_LAST},
		.promised = RIG_EPOCH,
		.table = rig_table(n),
	};
}

/* ---- the node under test */

static inline void rig_init_with(struct rig *g, uint8_t self, const struct repl_history *history)
{
	static const struct repl_config config = {
		.exchange_timeout_ms = RIG_EXCHANGE_MS,
		.silence_ms = RIG_SILENCE_MS,
		.beat_ms = RIG_BEAT_MS,
		.lease_ms = RIG_LEASE_MS,
	};
	struct repl_identity id = {
		.nodeid = rig_nodeid(self),
		.pid = rig_address(self).pid,
		.name = rig_name(self),
		.incarnation = 7,
		.instance = 900u + self,
	};

	memset(g, 0, sizeof(*g));
	g->self = self;
	g->history = *history;
	g->now_ms = 100000;
	repl_init(&g->s, &config, &id, history);
	g->history.is_blank = false; /* peers hold something unless the test says otherwise */
}

/* A member of a cluster of n nodes. */
static inline void rig_init(struct rig *g, uint8_t self, uint8_t n)
{
	struct repl_history history = rig_history(n);

	rig_init_with(g, self, &history);
}

/* A node with an empty disk; its peers are in a cluster of n nodes. */
static inline void rig_init_blank(struct rig *g, uint8_t self, uint8_t n)
{
	struct repl_history blank = {.is_blank = true};

	rig_init_with(g, self, &blank);
	g->history = rig_history(n);
}

static inline int rig_step(struct rig *g, struct repl_event *ev)
{
	int r;

	ev->now_ms = g->now_ms;
	ev->entropy = ++g->entropy;
	memcpy(&g->before, &g->s, sizeof(g->s));
	r = repl_step(&g->s, ev, &g->out);
	assert_null(repl_check(&g->s));
	if (r) {
		assert_int_equal(g->out.count, 0);
		assert_memory_equal(&g->before, &g->s, sizeof(g->s));
	}
	for (size_t i = 0; i < g->out.count; i++) {
		if (g->out.item[i].type == REPL_DO_SEND &&
		    g->out.item[i].msg.type == CL_MSG_STATE) {
			g->own_state = g->out.item[i].msg;
			g->states_sent++;
		}
	}
	return r;
}

/* ---- what the last step did */

static inline const struct repl_action *rig_did(const struct rig *g, enum repl_action_type type)
{
	for (size_t i = 0; i < g->out.count; i++) {
		if (g->out.item[i].type == type)
			return &g->out.item[i];
	}
	return NULL;
}

static inline const struct cl_msg *rig_sent(const struct rig *g, enum cl_msg_type type)
{
	for (size_t i = 0; i < g->out.count; i++) {
		if (g->out.item[i].type == REPL_DO_SEND && g->out.item[i].msg.type == type)
			return &g->out.item[i].msg;
	}
	return NULL;
}

/* ---- events */

static inline void rig_confchg(struct rig *g, uint16_t group)
{
	struct repl_event ev = {.type = REPL_EV_CONFCHG};

	g->group = group;
	g->ring.rep = 101;
	g->ring.seq += 4;
	ev.confchg.ring = g->ring;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (group & cl_bit(i))
			ev.confchg.member[ev.confchg.count++] = rig_address(i);
	}
	g->hash = repl_members_hash(ev.confchg.member, ev.confchg.count);
	assert_int_equal(rig_step(g, &ev), 0);
}

static inline void rig_deliver_from(struct rig *g, struct repl_address from,
				    const struct cl_msg *msg)
{
	struct repl_event ev = {.type = REPL_EV_MESSAGE, .message = {.from = from, .msg = msg}};

	assert_int_equal(rig_step(g, &ev), 0);
}

static inline void rig_deliver(struct rig *g, uint8_t from, const struct cl_msg *msg)
{
	rig_deliver_from(g, rig_address(from), msg);
}

static inline void rig_index_event(struct rig *g, enum repl_event_type type, uint64_t index)
{
	struct repl_event ev = {.type = type, .index = index};

	assert_int_equal(rig_step(g, &ev), 0);
}

static inline void rig_durable(struct rig *g, uint64_t index)
{
	rig_index_event(g, REPL_EV_DURABLE, index);
}

/* The promise that is on its way is durable. */
static inline void rig_promised(struct rig *g)
{
	rig_index_event(g, REPL_EV_PROMISED, g->s.promising);
}

static inline void rig_tick(struct rig *g, uint64_t later_ms)
{
	struct repl_event ev = {.type = REPL_EV_TICK};

	g->now_ms += later_ms;
	assert_int_equal(rig_step(g, &ev), 0);
}

static inline void rig_left(struct rig *g)
{
	struct repl_event ev = {.type = REPL_EV_LEFT};

	assert_int_equal(rig_step(g, &ev), 0);
}

/* ---- exchange */

/* The STATE of a peer of this group that holds the usual history. */
static inline struct cl_msg rig_peer_state(const struct rig *g, uint8_t node)
{
	struct cl_msg m = {.type = CL_MSG_STATE};

	m.state = (struct cl_msg_state){
		.nonce = g->ring.seq * 1000 + 100 + node,
		.ring = g->ring,
		.members_hash = g->hash,
		.protocol_min = CL_PROTOCOL_MIN,
		.protocol_max = CL_PROTOCOL_MAX,
		.cluster = g->history.cluster,
		.name = rig_name(node),
		.incarnation = 7,
		.instance = 900u + node,
		.last = g->history.last,
		.promised = g->history.promised,
		.table = g->history.table,
		.version_min = g->versions.lowest,
		.version_max = g->versions.highest,
	};
	return m;
}

static inline struct cl_msg rig_blank_state(const struct rig *g, uint8_t node)
{
	struct cl_msg m = rig_peer_state(g, node);

	m.state.is_blank = true;
	m.state.cluster = (struct cl_uuid){{0}};
	m.state.last = (struct cl_pos){{0}, 0};
	m.state.promised = 0;
	m.state.table = (struct cl_table){0};
	return m;
}

static inline void rig_own_state(struct rig *g)
{
	struct cl_msg m = g->own_state;

	rig_deliver(g, g->self, &m);
}

/* The usual STATEs of those nodes, the node's own included. */
static inline void rig_states(struct rig *g, uint16_t nodes)
{
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		struct cl_msg m = rig_peer_state(g, i);

		if (!(nodes & cl_bit(i)))
			continue;
		if (i == g->self)
			rig_own_state(g);
		else
			rig_deliver(g, i, &m);
	}
}

static inline void rig_close(struct rig *g, uint8_t from, uint64_t nonce)
{
	struct cl_msg m = {.type = CL_MSG_CLOSE};

	m.close = (struct cl_msg_close){.nonce = nonce, .ring = g->ring, .members_hash = g->hash};
	rig_deliver(g, from, &m);
}

/* A view of that group in which everyone holds the usual history. */
static inline void rig_view(struct rig *g, uint16_t group)
{
	rig_confchg(g, group);
	rig_states(g, group);
	assert_true(g->s.view_complete);
}

static inline void rig_pulled(struct rig *g, int r, uint64_t last_index)
{
	struct repl_event ev = {.type = REPL_EV_PULLED};

	ev.pulled.r = r;
	ev.pulled.view = g->s.view;
	ev.pulled.cluster = g->history.cluster;
	ev.pulled.last = g->s.winner;
	if (last_index > g->s.winner.index)
		ev.pulled.last = (struct cl_pos){.epoch = g->s.epoch, .index = last_index};
	ev.pulled.table = g->history.table;
	assert_int_equal(rig_step(g, &ev), 0);
}

/* ---- within a view */

static inline void rig_synced(struct rig *g, uint8_t node)
{
	struct cl_msg m = {.type = CL_MSG_SYNCED};

	m.synced = (struct cl_msg_synced){.view = g->s.view, .promised = g->s.number};
	rig_deliver(g, node, &m);
}

/* What the sequencer of this view multicasts. */
static inline struct cl_msg rig_entry_msg(const struct rig *g, uint64_t index, uint8_t kind)
{
	struct cl_msg m = {.type = CL_MSG_ENTRY};

	m.entry = (struct cl_msg_entry){
		.view = g->s.view,
		.epoch = g->s.epoch,
		.index = index,
		.kind = kind,
		.origin = g->s.starter,
		.instance = 1,
		.request = index,
	};
	return m;
}

static inline void rig_entry(struct rig *g, uint64_t index, uint8_t kind)
{
	struct cl_msg m = rig_entry_msg(g, index, kind);

	rig_deliver(g, g->s.starter, &m);
}

static inline void rig_persisted(struct rig *g, uint8_t node, uint64_t index)
{
	struct cl_msg m = {.type = CL_MSG_PERSISTED};

	m.persisted = (struct cl_msg_persisted){.view = g->s.view, .index = index};
	rig_deliver(g, node, &m);
}

/* The nodes report an entry as durable, the node under test after its own disk. */
static inline void rig_persisted_by(struct rig *g, uint16_t nodes, uint64_t index)
{
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (!(nodes & cl_bit(i)))
			continue;
		if (i == g->self)
			rig_durable(g, index);
		rig_persisted(g, i, index);
	}
}

/* The whole group is synced; the lowest is the sequencer and its entry EPOCH is delivered. */
static inline void rig_epoch(struct rig *g)
{
	if (g->s.promising)
		rig_promised(g);
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (g->group & cl_bit(i))
			rig_synced(g, i);
	}
	assert_int_not_equal(g->s.starter, CL_NODE_NONE);
	rig_entry(g, g->s.winner.index + 1, CL_ENTRY_EPOCH);
}

static inline void rig_open(struct rig *g, uint16_t group)
{
	rig_view(g, group);
	rig_epoch(g);
	rig_persisted_by(g, group, RIG_LAST + 1);
	assert_int_equal(g->s.phase, REPL_OPEN);
}

/* A beat of a node of this view that has seen the node's beat `seen`. */
static inline void rig_beat(struct rig *g, uint8_t from, uint64_t beat, uint64_t seen)
{
	struct cl_msg m = {.type = CL_MSG_BEAT};

	m.beat.view = g->s.view;
	m.beat.beat = beat;
	m.beat.seen.of[g->s.lease.self] = seen;
	rig_deliver(g, from, &m);
}

/* ---- requests */

static inline struct cl_blob rig_row(struct rig *g, uint8_t slot, const struct cl_member *row)
{
	struct cl_blob blob = {.data = g->row};

	assert_int_equal(cl_row_encode(slot, row, g->row, sizeof(g->row), &blob.len), 0);
	return blob;
}

static inline int rig_propose(struct rig *g, uint8_t kind, struct cl_blob payload)
{
	struct repl_event ev = {.type = REPL_EV_PROPOSE};

	ev.propose.kind = kind;
	ev.propose.request = 55;
	ev.propose.payload = payload;
	return rig_step(g, &ev);
}

static inline int rig_command(struct rig *g)
{
	return rig_propose(g, CL_ENTRY_COMMAND, (struct cl_blob){(const uint8_t *)"cmd", 3});
}

/* Asks for a change of one row; 0 means that it has been multicast as an entry. */
static inline int rig_change(struct rig *g, uint8_t slot, struct cl_member row)
{
	return rig_propose(g, CL_ENTRY_TABLE, rig_row(g, slot, &row));
}

/* A change of one row, delivered as the sequencer's entry. */
static inline void rig_change_entry(struct rig *g, uint64_t index, uint8_t slot,
				    struct cl_member row)
{
	struct cl_msg m = rig_entry_msg(g, index, CL_ENTRY_TABLE);

	m.entry.payload = rig_row(g, slot, &row);
	rig_deliver(g, g->s.starter, &m);
}

static inline int rig_create(struct rig *g, const struct cl_table *table)
{
	struct repl_event ev = {.type = REPL_EV_CREATE};

	ev.create.cluster = rig_cluster(0xcc);
	ev.create.table = *table;
	return rig_step(g, &ev);
}

static inline int rig_setup(void **state)
{
	*state = calloc(1, sizeof(struct rig));
	assert_non_null(*state);
	return 0;
}

static inline int rig_teardown(void **state)
{
	free(*state);
	return 0;
}

#endif
