/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mounts of sim_session and their connections, by the letter of csvfs/core/proto.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_session_world.h"

/* ---- connections */

struct conn *conn_find(struct world *w, uint64_t id)
{
	for (int i = 0; id && i < CONNS; i++) {
		if (w->conn[i].id == id)
			return &w->conn[i];
	}
	return NULL;
}

static void push(struct world *w, struct queue *q, const struct msg *m)
{
	if (q->count == QUEUE) {
		fprintf(stderr, "sim_session: seed %" PRIu64 ": queue is full\n", w->seed);
		exit(2);
	}
	q->item[q->count++] = *m;
}

/* Of what is sent after the line has broken nothing arrives. */
void conn_push_up(struct world *w, struct conn *c, const struct msg *m)
{
	if (!c->is_cut_up)
		push(w, &c->up, m);
}

void conn_push_down(struct world *w, struct conn *c, const struct msg *m)
{
	if (!c->is_cut_down)
		push(w, &c->down, m);
}

void conn_tidy(struct conn *c)
{
	if (!c->is_client && !c->is_coord && !c->is_stale)
		c->id = 0;
}

/* What is on the way may arrive, up to some point. */
static void cut(struct world *w, struct queue *q)
{
	q->count = (int)prng_below(&w->rng, (uint64_t)q->count + 1);
}

void conn_coord_close(struct world *w, struct conn *c)
{
	c->is_coord = false;
	if (!c->is_stale)
		c->up.count = 0;
	c->is_cut_down = true;
	if (!w->is_healed)
		cut(w, &c->down);
	conn_tidy(c);
}

void conn_client_close(struct world *w, struct conn *c)
{
	struct mount *m = &w->mount[c->mount];

	c->is_client = false;
	c->down.count = 0;
	c->is_cut_up = true;
	cut(w, &c->up);
	if (m->conn == c->id) {
		m->conn = 0;
		m->phase = CLIENT_AWAY;
	}
	conn_tidy(c);
}

void client_connect(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	struct msg hello = {.kind = MSG_HELLO, .term = w->coord.term};

	if (!mount->is_alive || mount->phase != CLIENT_AWAY || !w->coord.is_up)
		return;
	if (!w->is_healed && sim_chance(w, 50))
		hello.term--; /* it has not heard of the new one */
	for (int i = 0; i < CONNS; i++) {
		struct conn *c = &w->conn[i];

		if (c->id)
			continue;
		c->id = ++w->next_conn;
		c->mount = m;
		c->life = mount->life;
		c->is_client = c->is_coord = true;
		c->is_cut_up = c->is_cut_down = c->is_stale = false;
		c->up.count = c->down.count = 0;
		mount->conn = c->id;
		mount->phase = CLIENT_HELLO;
		conn_push_up(w, c, &hello);
		conn_push_up(w, c, &(struct msg){.kind = MSG_LIFE, .life = mount->life});
		TRACE(w, "m%d: connection %" PRIu64 ", HELLO", m, c->id);
		return;
	}
}

/* What is kept goes on: requests that were sent, and what is open (csvfs/edge/client_keep.c). */
void client_replace(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	struct conn *c = conn_find(w, mount->conn);

	TRACE(w, "m%d: another process goes on", m);
	mount->life++;
	if (c)
		conn_client_close(w, c);
	for (int s = 0; s < SLOTS; s++) {
		if (w->mutant == WORLD_MUTANT_NEXT_LOSES_SENT)
			mount->slot[s].uid = 0;
		if (w->mutant == WORLD_MUTANT_NEXT_COUNTS_ANEW)
			mount->slot[s].seq = mount->slot[s].uid != 0;
	}
	if (w->mutant == WORLD_MUTANT_NEXT_LOSES_OPENS)
		memset(mount->opens, 0, sizeof(mount->opens));
}

/* ---- requests */

static void send_request(struct world *w, struct conn *c, int s, bool is_resend)
{
	const struct client_slot *slot = &w->mount[c->mount].slot[s];

	conn_push_up(w, c,
		     &(struct msg){.kind = MSG_REQUEST,
				   .slot = (uint16_t)s,
				   .seq = slot->seq,
				   .uid = slot->uid,
				   .flag = is_resend});
}

/* One of the inodes for which `has` is true; 0: none. */
static uint16_t draw(struct world *w, const bool *has)
{
	uint16_t n = 0, at;

	for (uint16_t i = 1; i < INODES; i++)
		n = (uint16_t)(n + has[i]);
	at = (uint16_t)prng_below(&w->rng, n);
	for (uint16_t i = 1; i < INODES; i++) {
		if (has[i] && at-- == 0)
			return i;
	}
	return 0;
}

static bool is_busy(const struct world *w, const struct mount *m, uint16_t ino)
{
	for (int s = 0; s < SLOTS; s++) {
		if (m->slot[s].uid && w->op[m->slot[s].uid].ino == ino)
			return true;
	}
	return false;
}

/* How many it has open or may have, by the end of what is under way. */
static int opens_of(const struct world *w, const struct mount *m)
{
	int n = 0;

	for (int i = 1; i < INODES; i++)
		n += m->opens[i] > 0;
	for (int s = 0; s < SLOTS; s++) {
		enum csv_op op = w->op[m->slot[s].uid].op;

		n += m->slot[s].uid && (op == CSV_OP_OPEN || op == CSV_OP_CREATE);
	}
	return n;
}

static bool draw_op(struct world *w, struct mount *m, struct op *op)
{
	static const enum csv_op table[] = {
		CSV_OP_WRITE,  CSV_OP_WRITE,  CSV_OP_WRITE,   CSV_OP_READ,   CSV_OP_READ,
		CSV_OP_CREATE, CSV_OP_UNLINK, CSV_OP_RELEASE, CSV_OP_RENAME, CSV_OP_CREATE,
		CSV_OP_UNLINK, CSV_OP_RENAME, CSV_OP_RENAME,  CSV_OP_LINK,   CSV_OP_LOOKUP,
		CSV_OP_OPEN,   CSV_OP_WRITE,  CSV_OP_LOOKUP,  CSV_OP_OPEN};
	size_t at = w->rate.op_first + prng_below(&w->rng, w->rate.ops);
	bool has[INODES];

	op->op = table[at % MUST_ARRAY_SIZE(table)];
	op->name = (uint8_t)prng_below(&w->rng, (uint64_t)w->rate.names);
	op->new_name = (uint8_t)prng_below(&w->rng, (uint64_t)w->rate.names);
	for (uint16_t i = 0; i < INODES; i++)
		has[i] = m->opens[i] > m->releasing[i];
	switch (op->op) {
	case CSV_OP_LINK:
	case CSV_OP_OPEN:
		if (op->op == CSV_OP_OPEN && opens_of(w, m) >= OPENS)
			return false;
		op->ino = draw(w, m->knows);
		return op->ino != 0;
	case CSV_OP_CREATE:
		return opens_of(w, m) < OPENS;
	case CSV_OP_RELEASE:
		/* Nothing else is under way on what is released. */
		op->ino = draw(w, has);
		if (!op->ino || is_busy(w, m, op->ino))
			return false;
		m->releasing[op->ino]++;
		return true;
	case CSV_OP_WRITE:
	case CSV_OP_READ:
		op->ino = draw(w, has);
		return op->ino != 0;
	default:
		return true;
	}
}

void client_ask(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	struct conn *c = conn_find(w, mount->conn);
	int s = (int)prng_below(&w->rng, (uint64_t)w->rate.slots);
	struct op op = {.mount = m, .shown = w->shown};

	if (!mount->is_alive || mount->phase != CLIENT_READY || !c || mount->slot[s].uid ||
	    w->next_uid == OPS - 1 || !draw_op(w, mount, &op))
		return;
	op.seen_len = w->seen_min[op.ino];
	w->op[w->next_uid] = op;
	mount->slot[s].uid = w->next_uid++;
	mount->slot[s].seq++;
	TRACE(w, "m%d: slot %d seq %" PRIu64 " #%u %s ino %d names %d %d", m, s, mount->slot[s].seq,
	      mount->slot[s].uid, csv_op_name(op.op), op.ino, op.name, op.new_name);
	send_request(w, c, s, false);
}

/* ---- answers */

static void see_file(struct world *w, const struct op *op, const struct reply *r)
{
	uint16_t *len = &w->seen_len[op->ino];
	uint16_t n = *len < r->size ? *len : r->size;

	if (r->size < op->seen_len)
		sim_broke(w, "a read shows less than what was known before it");
	if (memcmp(w->seen[op->ino], r->token, n * sizeof(r->token[0])) != 0)
		sim_broke(w, "two reads of one file do not agree");
	if (r->size <= *len)
		return;
	memcpy(w->seen[op->ino], r->token, sizeof(r->token));
	*len = r->size;
}

static void use_answer(struct world *w, struct mount *m, const struct op *op)
{
	const struct reply *r = &op->reply;
	bool is_file = op->op == CSV_OP_READ || op->op == CSV_OP_WRITE;

	if (op->op == CSV_OP_RELEASE) {
		m->opens[op->ino]--;
		m->releasing[op->ino]--;
	}
	if (is_file && r->err == ESTALE)
		sim_broke(w, "a file that is open is gone");
	if (r->err)
		return;
	if (op->op == CSV_OP_CREATE || op->op == CSV_OP_LOOKUP)
		m->knows[r->ino] = true;
	if (op->op == CSV_OP_CREATE || op->op == CSV_OP_OPEN)
		m->opens[r->ino]++;
	if (op->op == CSV_OP_READ)
		see_file(w, op, r);
	if (op->op == CSV_OP_WRITE && r->size <= op->seen_len)
		sim_broke(w, "an append went where others had been before it");
	if (is_file && r->size > w->seen_min[op->ino])
		w->seen_min[op->ino] = r->size;
}

static void answered(struct world *w, struct mount *m, const struct msg *msg)
{
	struct client_slot *slot = &m->slot[msg->slot];
	struct op *op = &w->op[slot->uid];

	if (!slot->uid || msg->seq != slot->seq)
		return; /* it has this answer already */
	if (msg->reply.uid != slot->uid) {
		sim_broke(w, "a request got the answer of another");
		return;
	}
	/* Before it has dealt with it the process ends: the next one is to get the same again. */
	if (!w->is_healed && sim_chance(w, w->rate.replace)) {
		if (w->mutant == WORLD_MUTANT_NEXT_OPENS_TWICE && !msg->reply.err &&
		    (op->op == CSV_OP_OPEN || op->op == CSV_OP_CREATE))
			m->opens[msg->reply.ino]++;
		client_replace(w, op->mount);
		return;
	}
	TRACE(w, "m%d: #%u is answered: %d, ino %d size %d at %d", op->mount, slot->uid,
	      msg->reply.err, msg->reply.ino, msg->reply.size, msg->reply.pos);
	op->is_answered = true;
	op->reply = msg->reply;
	slot->uid = 0;
	if (msg->reply.pos > w->base.length)
		sim_broke(w, "an answer tells of what is not durable");
	if (msg->reply.pos > w->shown)
		w->shown = msg->reply.pos;
	if (csv_op_kind(op->op) == CSV_CHANGE && !op->reply.err && !op->reply.is_noop &&
	    !w->base.effect[msg->reply.uid])
		sim_broke(w, "success is answered of what is not durable");
	use_answer(w, m, op);
}

static void reclaim(struct world *w, struct mount *m, struct conn *c)
{
	for (uint16_t ino = 1; ino < INODES; ino++) {
		struct msg msg = {.kind = MSG_RECLAIM, .ino = ino, .opens = m->opens[ino]};

		for (int s = 0; s < SLOTS && w->mutant == WORLD_MUTANT_RECLAIM_UNASKED; s++) {
			const struct op *op = &w->op[m->slot[s].uid];

			if (m->slot[s].uid && op->op == CSV_OP_OPEN && op->ino == ino)
				msg.opens++;
		}
		if (msg.opens)
			conn_push_up(w, c, &msg);
	}
	conn_push_up(w, c, &(struct msg){.kind = MSG_RECLAIM_DONE});
}

static void welcomed(struct world *w, struct mount *m, struct conn *c, const struct msg *msg)
{
	int first = (int)prng_below(&w->rng, SLOTS);

	m->phase = CLIENT_READY;
	if (!msg->flag)
		reclaim(w, m, c);
	for (int i = 0; i < SLOTS; i++) {
		int s = (first + i) % SLOTS;

		if (w->mutant == WORLD_MUTANT_RESTART_SEQ && msg->term != m->term)
			m->slot[s].seq = m->slot[s].uid != 0;
		if (m->slot[s].uid)
			send_request(w, c, s, true);
	}
	m->term = msg->term;
	conn_push_up(w, c, &(struct msg){.kind = MSG_RESEND_DONE});
}

void client_deliver(struct world *w, struct conn *c)
{
	struct mount *m = &w->mount[c->mount];
	struct msg msg;

	if (!c->is_client)
		return;
	if (!c->down.count) {
		if (c->is_cut_down)
			conn_client_close(w, c);
		return;
	}
	msg = c->down.item[0];
	c->down.count--;
	memmove(c->down.item, c->down.item + 1, (size_t)c->down.count * sizeof(msg));
	if (msg.kind == MSG_REFUSED)
		conn_client_close(w, c);
	else if (msg.kind == MSG_WELCOME)
		welcomed(w, m, c, &msg);
	else
		answered(w, m, &msg);
}
