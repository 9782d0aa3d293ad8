/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/locks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "csvfs/edge/clock.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/process.h"
#include "lib/must.h"

#define RING	    (2 * LOCKBOOK_OPS) /* of each operation a request and a reply */
#define WATCH_MS    200		       /* the kernel tells of a signal once; see fuse_call.c */
#define SAY_MS	    10000
#define RECLAIM_MAX (LOCKBOOK_RANGES + LOCKBOOK_OPS)

struct locks {
	struct locks_options options;
	pthread_mutex_t lock; /* after the client's */
	pthread_cond_t to_send, to_reply;
	pthread_t sender, replier;
	bool is_ending;
	struct client_interrupt end; /* of the sender's waiting for a slot */
	struct locks_call *watched;
	uint64_t said_ms; /* that there are too many */
	struct lockbook book;
	struct lockbook_actions actions;
	struct lock_range *kept; /* LOCKBOOK_RANGES + LOCKBOOK_OPS, to be kept */
	struct locks_call *reply, **reply_end;
	size_t head, count; /* of the ring */
	uint64_t ring[RING];
	/* What is told to a coordinator, as it was when that began. */
	size_t to_tell;
	struct csv_frame *frame;
};

/* With the lock held. Programs try again and again: not a line for each. */
static void say_full(struct locks *l)
{
	uint64_t now = csv_now_ms();

	if (l->said_ms && now - l->said_ms < SAY_MS)
		return;
	l->said_ms = now;
	log_warning("a file lock is refused (ENOLCK): this node has %u ranges locked, at most %d, "
		    "and %u calls for locks, at most %d; or all nodes have too many who wait",
		    l->book.held.count, LOCKBOOK_RANGES, l->book.ops, LOCKBOOK_ASKS);
}

/* ---- what outlives the process */

/* With the lock held; before the book's actions are carried out. */
static void keep_book(struct locks *l)
{
	size_t held = 0, owed = 0;
	uint32_t at = 0;

	if (!l->options.keep)
		return;
	for (size_t i = 0; i < LOCKBOOK_RANGES && held < l->book.held.count; i++) {
		if (l->book.row[i].type)
			l->kept[held++] = l->book.row[i];
	}
	while (lockbook_owed(&l->book, &at, &l->kept[held + owed]))
		owed++;
	keep_locks(l->options.keep, l->kept, held, owed);
}

/* ---- actions */

/* With the lock held. */
static void push(struct locks *l, size_t first)
{
	for (size_t i = first; i < l->actions.count; i++) {
		const struct lockbook_action *a = &l->actions.item[i];
		struct locks_call *c = a->user;

		if (a->kind == LOCKBOOK_DO_SEND) {
			must(l->count < RING);
			l->ring[(l->head + l->count++) % RING] = a->id;
			pthread_cond_signal(&l->to_send);
			continue;
		}
		c->error = a->error;
		c->next_reply = NULL;
		*l->reply_end = c;
		l->reply_end = &c->next_reply;
		pthread_cond_signal(&l->to_reply);
	}
}

/* With the lock held. */
static void unwatch(struct locks_call *c)
{
	if (!c->is_watched)
		return;
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	c->is_watched = false;
}

static void on_answer(void *arg, uint64_t id, const struct csv_reply *p)
{
	struct locks *l = arg;
	const struct lockbook_op *op;

	pthread_mutex_lock(&l->lock);
	op = lockbook_find(&l->book, id);
	if (op && op->what == LOCKBOOK_TEST && !op->is_replied && !p->error)
		((struct locks_call *)op->user)->lock = p->lock;
	lockbook_answer(&l->book, id, p, &l->actions);
	keep_book(l);
	push(l, 0);
	pthread_mutex_unlock(&l->lock);
}

/* Both with the lock held, which is given up meanwhile. -EAGAIN: there is no slot. */
static int send(struct locks *l, uint64_t id, struct client_interrupt *i)
{
	struct csv_request q;
	int r;

	lockbook_request(&l->book, id, &q);
	pthread_mutex_unlock(&l->lock);
	r = client_post(l->options.client, &q, on_answer, l, id, i);
	pthread_mutex_lock(&l->lock);
	return r;
}

static void reply(struct locks *l, struct locks_call *c)
{
	unwatch(c);
	if (c->error == ENOLCK)
		say_full(l);
	pthread_mutex_unlock(&l->lock);
	c->reply(c, c->error == EAGAIN && c->is_line_missing ? ENOLCK : c->error);
	pthread_mutex_lock(&l->lock);
}

/* With the lock held: the first action at once, by this thread, if that needs no waiting. */
static void carry_out_here(struct locks *l)
{
	const struct lockbook_action a = l->actions.item[0];
	struct locks_call *c = a.user;

	if (!l->actions.count)
		return;
	push(l, 1);
	if (a.kind == LOCKBOOK_DO_REPLY) {
		c->error = a.error;
		reply(l, c);
	} else if (send(l, a.id, NULL) == -EAGAIN) {
		l->actions.item[0] = a;
		l->actions.count = 1;
		push(l, 0);
	}
}

/* ---- the threads */

static void look_at_watched(struct locks *l)
{
	for (struct locks_call *c = l->watched, *next; c; c = next) {
		next = c->next;
		if (!c->gives_up && !l->options.signal_ends(c->pid))
			continue;
		unwatch(c);
		lockbook_interrupt(&l->book, c->id, &l->actions);
		keep_book(l);
		push(l, 0);
	}
}

static void wait_reply(struct locks *l)
{
	if (!l->watched) {
		pthread_cond_wait(&l->to_reply, &l->lock);
		return;
	}
	csv_cond_wait_ms(&l->to_reply, &l->lock, WATCH_MS);
	look_at_watched(l);
}

static struct locks_call *next_reply(struct locks *l)
{
	struct locks_call *c = l->reply;

	if (c)
		l->reply = c->next_reply;
	if (!l->reply)
		l->reply_end = &l->reply;
	return c;
}

static void *reply_loop(void *arg)
{
	struct locks *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->is_ending) {
		struct locks_call *c = next_reply(l);

		if (c)
			reply(l, c);
		else
			wait_reply(l);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static void *send_loop(void *arg)
{
	struct locks *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->is_ending) {
		uint64_t id = l->ring[l->head];

		if (!l->count) {
			pthread_cond_wait(&l->to_send, &l->lock);
			continue;
		}
		l->head = (l->head + 1) % RING;
		l->count--;
		(void)send(l, id, &l->end); /* an error: the mount ends */
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* ---- life */

static uint64_t take_left(void *arg, const struct csv_request *q)
{
	struct locks *l = arg;

	return q->op == CSV_OP_CANCEL_LOCK ? 0 : lockbook_left(&l->book, q);
}

/* What an earlier process had, and what it had begun. */
static void restore(struct locks *l)
{
	const struct lock_range *rows;
	size_t held, owed;

	if (!l->options.keep)
		return;
	held = keep_locked(l->options.keep, &rows, &owed);
	lockbook_restore(&l->book, keep_life(l->options.keep), rows, held);
	client_take_left(l->options.client, take_left, on_answer, l);
	lockbook_resume(&l->book, rows + held, owed, &l->actions);
	keep_book(l);
	push(l, 0);
}

int locks_open(const struct locks_options *options, struct locks **ret)
{
	struct locks *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->frame = calloc(RECLAIM_MAX, sizeof(l->frame[0]));
	l->kept = calloc(LOCKBOOK_RANGES + LOCKBOOK_OPS, sizeof(l->kept[0]));
	if (!l->frame || !l->kept) {
		free(l->frame);
		free(l->kept);
		free(l);
		return -ENOMEM;
	}
	l->options = *options;
	l->reply_end = &l->reply;
	lockbook_init(&l->book, options->mount);
	pthread_mutex_init(&l->lock, NULL);
	csv_cond_init(&l->to_send);
	csv_cond_init(&l->to_reply);
	restore(l);
	/* At its start a process that cannot make threads ends: nobody uses the mount yet. */
	must(!pthread_create(&l->sender, NULL, send_loop, l));
	must(!pthread_create(&l->replier, NULL, reply_loop, l));
	*ret = l;
	return 0;
}

void locks_stop(struct locks *l)
{
	pthread_mutex_lock(&l->lock);
	if (l->is_ending) {
		pthread_mutex_unlock(&l->lock);
		return;
	}
	l->is_ending = true;
	pthread_cond_signal(&l->to_send);
	pthread_cond_signal(&l->to_reply);
	pthread_mutex_unlock(&l->lock);
	client_interrupt(l->options.client, &l->end);
	pthread_join(l->sender, NULL);
	pthread_join(l->replier, NULL);
}

void locks_close(struct locks *l)
{
	struct locks_call *c;

	if (!l)
		return;
	while ((c = next_reply(l)))
		c->reply(c, c->error);
	for (uint32_t at = l->book.first; at; at = l->book.op[at - 1].next) {
		c = l->book.op[at - 1].user;
		if (!l->book.op[at - 1].is_replied)
			c->reply(c, ENOTCONN);
	}
	pthread_cond_destroy(&l->to_send);
	pthread_cond_destroy(&l->to_reply);
	pthread_mutex_destroy(&l->lock);
	free(l->frame);
	free(l->kept);
	free(l);
}

/* ---- calls */

uint64_t locks_new(struct locks *l, enum lockbook_what what, const struct lock_range *range,
		   bool may_wait, struct locks_call *c)
{
	uint64_t id;

	c->is_line_missing = may_wait && !l->options.has_line;
	pthread_mutex_lock(&l->lock);
	id = l->is_ending ? 0
			  : lockbook_new(&l->book, what, range, may_wait && l->options.has_line, c);
	c->id = id;
	if (!id && !l->is_ending)
		say_full(l);
	pthread_mutex_unlock(&l->lock);
	return id;
}

void locks_go(struct locks *l, uint64_t id)
{
	pthread_mutex_lock(&l->lock);
	lockbook_go(&l->book, id, &l->actions);
	keep_book(l);
	carry_out_here(l);
	pthread_mutex_unlock(&l->lock);
}

/*
 * Who waits for others to unlock is told of a signal at once. Who has just asked is not: a program
 * with a timer that is faster than our answer would begin again and again (SA_RESTART), for ever.
 */
static bool is_in_line(const struct lockbook_op *op)
{
	return op->state == LOCKBOOK_WAITING || (op->state == LOCKBOOK_TURN && op->is_in_line);
}

void locks_signal(struct locks *l, uint64_t id)
{
	const struct lockbook_op *op;
	struct locks_call *c;

	pthread_mutex_lock(&l->lock);
	op = lockbook_find(&l->book, id);
	c = op && !op->is_replied ? op->user : NULL;
	if (c && (is_in_line(op) || l->options.signal_ends(c->pid))) {
		lockbook_interrupt(&l->book, id, &l->actions);
		keep_book(l);
		push(l, 0);
	} else if (c && !c->is_watched) {
		c->is_watched = true;
		c->gives_up = op->may_wait;
		c->next = l->watched;
		c->at = &l->watched;
		if (c->next)
			c->next->at = &c->next;
		l->watched = c;
		pthread_cond_signal(&l->to_reply);
	}
	pthread_mutex_unlock(&l->lock);
}

void locks_granted(struct locks *l, uint64_t id)
{
	pthread_mutex_lock(&l->lock);
	lockbook_granted(&l->book, id, &l->actions);
	keep_book(l);
	push(l, 0);
	pthread_mutex_unlock(&l->lock);
}

void locks_closed(struct locks *l, const struct csv_handle *h, uint64_t via)
{
	pthread_mutex_lock(&l->lock);
	lockbook_closed(&l->book, h, via, &l->actions);
	keep_book(l);
	push(l, 0);
	pthread_mutex_unlock(&l->lock);
}

bool locks_has(struct locks *l, const struct csv_handle *h, const struct lock_owner *owner)
{
	bool r;

	pthread_mutex_lock(&l->lock);
	r = lockbook_has(&l->book, h, owner);
	pthread_mutex_unlock(&l->lock);
	return r;
}

bool locks_reclaim(struct locks *l, size_t *cursor, struct csv_frame *ret)
{
	size_t at = 0;
	bool r;

	pthread_mutex_lock(&l->lock);
	if (!*cursor) {
		/* What changes from now on changes by requests that come after it. */
		l->to_tell = 0;
		while (lockbook_reclaim(&l->book, &at, &l->frame[l->to_tell]))
			l->to_tell++;
		at = 0;
		while (lockbook_reclaim_wait(&l->book, &at, &l->frame[l->to_tell]))
			l->to_tell++;
	}
	r = *cursor < l->to_tell;
	if (r)
		*ret = l->frame[(*cursor)++];
	pthread_mutex_unlock(&l->lock);
	return r;
}
