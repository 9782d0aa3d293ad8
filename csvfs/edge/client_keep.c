/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of csvfs/edge/client.h outlives the process (csvfs/edge/keep.h), and how the next one goes
 * on with it.
 *
 * A request that may have reached a coordinator stays in its slot until its answer has been dealt
 * with, in this order: the row of what it has opened; the reply, with the kernel's request that it
 * is for; the slot is free. Killed anywhere between, the next process gets the same answer again,
 * and does the same with it again. The reply is kept until the kernel has its own.
 *
 * The kernel sends again what it has no reply to (FUSE_NOTIFY_RESEND). Whoever then asks for the
 * same request as the same step finds what has been begun.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "csvfs/edge/client_impl.h"
#include "csvfs/edge/log.h"
#include "lib/hash.h"
#include "lib/must.h"

static struct keep_open *open_row(struct client *c, uint32_t index)
{
	return index ? keep_row(c->keep, KEEP_OPENS, index) : NULL;
}

static bool opens(enum csv_op op)
{
	return op == CSV_OP_OPEN || op == CSV_OP_CREATE;
}

/* ---- the kernel's requests */

static struct call_entry **call_place(struct client *c, uint64_t unique)
{
	struct call_entry **p = &c->calls[hash_u64(HASH_INIT, unique) % CALLS_BUCKETS];

	while (*p && (*p)->kept->unique != unique)
		p = &(*p)->next;
	return p;
}

static void add_call(struct client *c, struct keep_call *kept, uint32_t index, uint64_t unique)
{
	struct call_entry **p = call_place(c, unique), *e = calloc(1, sizeof(*e));

	must(e);
	e->kept = kept;
	e->index = index;
	keep_set(&kept->unique, unique);
	__atomic_store_n(p, e, __ATOMIC_RELAXED);
}

void client_keep_call(struct client *c, uint64_t unique)
{
	struct keep_call *kept;
	uint32_t index;

	if (*call_place(c, unique))
		return;
	kept = keep_new(c->keep, KEEP_CALLS, &index);
	add_call(c, kept, index, unique);
}

/* What was released is no open file any more for the kernel either. */
static void drop_call(struct client *c, struct call_entry **p)
{
	struct call_entry *e = *p;

	for (size_t n = 0; n < KEEP_STEPS; n++) {
		const struct keep_step *s = &e->kept->step[n];
		const struct keep_open *o = open_row(c, s->open);

		if (s->op == CSV_OP_RELEASE && o && o->state == KEEP_OPEN_CLOSED)
			keep_free(c->keep, KEEP_OPENS, s->open);
	}
	__atomic_store_n(p, e->next, __ATOMIC_RELAXED);
	keep_free(c->keep, KEEP_CALLS, e->index);
	free(e);
}

void client_replied(struct client *c, uint64_t unique)
{
	struct call_entry **p = &c->calls[hash_u64(HASH_INIT, unique) % CALLS_BUCKETS];

	/* Most are none of these. If this one is, its own thread has put it there. */
	if (!__atomic_load_n(p, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&c->lock);
	p = call_place(c, unique);
	if (*p)
		drop_call(c, p);
	pthread_mutex_unlock(&c->lock);
}

/* ---- a request, from when it is sent on */

void client_keep_sent(const struct slot *s)
{
	struct keep_slot *k = s->kept;

	k->seq = s->seq;
	k->order = s->order;
	k->unique = s->unique;
	k->handle = s->handle;
	k->len = (uint32_t)s->len;
	k->open = s->open;
	k->op = (uint16_t)s->op;
	k->step = s->step;
	keep_set(&k->is_sent, 1);
}

void client_keep_answered(const struct slot *s)
{
	keep_set(&s->kept->is_sent, 0);
}

void client_keep_open_state(struct client *c, struct slot *s, bool is_open)
{
	struct keep_open *o = open_row(c, s->open);

	if (!o)
		return;
	if (is_open) {
		o->handle = s->handle;
		keep_set(&o->state, KEEP_OPEN_OPEN);
	} else if (s->unique) {
		keep_set(&o->state, KEEP_OPEN_CLOSED); /* until the kernel has heard of it */
	} else {
		keep_free(c->keep, KEEP_OPENS, s->open);
		s->open = s->kept->open = 0;
	}
}

void client_keep_reply(struct client *c, const struct slot *s, const struct csv_reply *p)
{
	struct call_entry *e = s->unique ? *call_place(c, s->unique) : NULL;
	struct keep_step *k;
	size_t len;

	if (!e)
		return; /* the kernel has been answered */
	must(s->step < KEEP_STEPS);
	k = &e->kept->step[s->step];
	must(!csv_reply_encode(p, k->reply, sizeof(k->reply), &len));
	k->len = (uint16_t)len;
	k->open = s->open;
	__atomic_store_n(&k->op, (uint16_t)s->op, __ATOMIC_RELEASE);
}

/* ---- what an earlier process has left */

struct slot *client_left_slot(struct client *c, const struct client_origin *o, enum csv_op op)
{
	for (size_t n = 0; n < CSV_SLOTS; n++) {
		struct slot *s = &c->slot[n];

		if (s->is_left && s->unique == o->unique && s->step == o->step && s->op == op)
			return s;
	}
	return NULL;
}

bool client_left_reply(struct client *c, struct client_origin *o, enum csv_op op,
		       struct csv_reply *ret)
{
	const struct call_entry *e = *call_place(c, o->unique);
	const struct keep_step *k;

	must(o->step < KEEP_STEPS);
	k = e ? &e->kept->step[o->step] : NULL;
	if (!k || k->op != op)
		return false;
	must(!csv_reply_decode(k->reply + CSV_FRAME_PREFIX, k->len - CSV_FRAME_PREFIX, ret));
	client_take_open(c, o, k->open);
	return true;
}

void client_take_open(struct client *c, struct client_origin *o, uint32_t open)
{
	if (!open || open == o->open)
		return;
	if (o->open)
		keep_free(c->keep, KEEP_OPENS, o->open);
	o->open = open;
}

static bool is_of_locks(const struct slot *s)
{
	return s->state == SLOT_SENT &&
	       (s->op == CSV_OP_LOCK || s->op == CSV_OP_UNLOCK || s->op == CSV_OP_CANCEL_LOCK);
}

void client_take_left(struct client *c, uint64_t (*take)(void *arg, const struct csv_request *q),
		      client_note note, void *arg)
{
	struct csv_request q;

	pthread_mutex_lock(&c->lock);
	/* First those whose id is given: lockbook_left(). */
	for (size_t n = 0; n < 2 * CSV_SLOTS; n++) {
		struct slot *s = &c->slot[n % CSV_SLOTS];

		if (!is_of_locks(s))
			continue;
		must(!csv_request_decode(s->frame + CSV_FRAME_PREFIX, s->len - CSV_FRAME_PREFIX,
					 &q));
		if ((n < CSV_SLOTS) != (q.op == CSV_OP_LOCK && q.lock.number))
			continue;
		s->note_id = take(arg, &q);
		s->note = s->note_id ? note : NULL;
		s->note_arg = arg;
	}
	pthread_mutex_unlock(&c->lock);
}

void client_resent(struct client *c, uint64_t unique)
{
	struct call_entry *e;

	pthread_mutex_lock(&c->lock);
	e = *call_place(c, unique);
	if (e)
		e->is_wanted = true;
	for (size_t n = 0; n < CSV_SLOTS; n++)
		c->slot[n].is_wanted |= c->slot[n].is_left && c->slot[n].unique == unique;
	pthread_mutex_unlock(&c->lock);
}

void client_all_resent(struct client *c)
{
	pthread_mutex_lock(&c->lock);
	for (size_t n = 0; n < CSV_SLOTS; n++) {
		struct slot *s = &c->slot[n];

		if (!s->is_left || s->is_wanted)
			continue;
		/* Its caller has been told EINTR. */
		s->is_left = false;
		if (s->is_answered && !s->is_writing)
			client_settle(c, s);
	}
	for (size_t n = 0; n < CALLS_BUCKETS; n++) {
		struct call_entry **p = &c->calls[n];

		while (*p) {
			if ((*p)->is_left && !(*p)->is_wanted)
				drop_call(c, p);
			else
				p = &(*p)->next;
		}
	}
	pthread_mutex_unlock(&c->lock);
}

/* ---- beginning and end */

static void take_slot(struct client *c, struct slot *s)
{
	const struct keep_slot *k = s->kept;
	struct keep_open *o = open_row(c, k->open);
	struct csv_request q;

	s->seq = k->seq;
	if (!k->is_sent)
		return;
	s->state = SLOT_SENT;
	s->order = k->order;
	s->since_ms = client_now_ms();
	s->op = (enum csv_op)k->op;
	s->handle = k->handle;
	s->len = k->len;
	s->unique = k->unique;
	s->step = k->step;
	s->open = k->open;
	s->is_left = s->unique != 0;
	if (s->order > c->order)
		c->order = s->order;
	/* What it changes is not to be kept before it is answered. */
	if (!csv_request_decode(s->frame + CSV_FRAME_PREFIX, s->len - CSV_FRAME_PREFIX, &q))
		mount_cache_ask(c->options.cache, &q, &s->cached);
	/* Its answer comes again, and does this again. */
	if (opens(s->op) && o && o->state)
		keep_set(&o->state, KEEP_OPEN_ASKED);
	if (s->op == CSV_OP_RELEASE && (!o || o->state != KEEP_OPEN_OPEN))
		opens_add(&c->opens, &s->handle, 1);
}

static bool is_of_a_slot(const struct client *c, uint32_t open)
{
	for (size_t n = 0; n < CSV_SLOTS; n++) {
		if (c->slot[n].state == SLOT_SENT && c->slot[n].open == open)
			return true;
	}
	return false;
}

static bool is_of_a_call(const struct client *c, uint32_t open)
{
	for (size_t n = 0; n < CALLS_BUCKETS; n++) {
		for (const struct call_entry *e = c->calls[n]; e; e = e->next) {
			for (size_t i = 0; i < KEEP_STEPS; i++) {
				if (e->kept->step[i].op && e->kept->step[i].open == open)
					return true;
			}
		}
	}
	return false;
}

static void take_opens(struct client *c)
{
	const struct keep_open *o;
	uint32_t at = 0;

	while ((o = keep_next(c->keep, KEEP_OPENS, &at))) {
		if (o->state == KEEP_OPEN_OPEN)
			opens_add(&c->opens, &o->handle, 1);
		else if (!is_of_a_slot(c, at) && !is_of_a_call(c, at))
			keep_free(c->keep, KEEP_OPENS, at);
	}
}

int client_keep_open(struct client *c)
{
	struct keep_call *call;
	uint32_t at = 0;
	int r = 0;

	c->keep = c->options.keep;
	c->has_own_keep = !c->keep;
	if (c->has_own_keep)
		r = keep_open(-1, &c->keep);
	if (r)
		return r;
	for (size_t n = 0; n < CSV_SLOTS; n++) {
		c->slot[n].frame = keep_frame(c->keep, n);
		c->slot[n].kept = keep_slot(c->keep, n);
		take_slot(c, &c->slot[n]);
	}
	while ((call = keep_next(c->keep, KEEP_CALLS, &at))) {
		add_call(c, call, at, call->unique);
		(*call_place(c, call->unique))->is_left = true;
	}
	take_opens(c);
	return 0;
}

void client_keep_done(struct client *c)
{
	for (size_t n = 0; n < CALLS_BUCKETS; n++) {
		while (c->calls[n]) {
			struct call_entry *e = c->calls[n];

			c->calls[n] = e->next;
			free(e);
		}
	}
	if (c->has_own_keep)
		keep_close(c->keep);
}
