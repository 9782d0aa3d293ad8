/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "csvfs/edge/client_impl.h"
#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/log.h"
#include "lib/must.h"

/* Where is_resend stands in an encoded request: after type, slot and sequence. */
#define RESEND_AT (CSV_FRAME_PREFIX + 2 + 2 + 8)

uint64_t client_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool client_is_over(const struct client_interrupt *i)
{
	return i && i->until_ms && client_now_ms() >= i->until_ms;
}

static bool is_interrupted(const struct client_interrupt *i)
{
	return i && (i->is_set || client_is_over(i));
}

void client_wait(struct client *c, pthread_cond_t *at, struct client_interrupt *i)
{
	struct timespec until;

	if (!i) {
		pthread_cond_wait(at, &c->lock);
		return;
	}
	i->at = at;
	if (i->until_ms) {
		until.tv_sec = (time_t)(i->until_ms / 1000);
		until.tv_nsec = (long)(i->until_ms % 1000) * 1000000;
		pthread_cond_timedwait(at, &c->lock, &until);
	} else {
		pthread_cond_wait(at, &c->lock);
	}
	i->at = NULL;
}

void client_interrupt(struct client *c, struct client_interrupt *i)
{
	pthread_mutex_lock(&c->lock);
	i->is_set = true;
	if (i->at)
		pthread_cond_broadcast(i->at);
	pthread_mutex_unlock(&c->lock);
}

/* ---- slots */

struct slot *client_oldest(struct client *c, enum slot_state state)
{
	struct slot *oldest = NULL;

	for (size_t n = 0; n < CSV_SLOTS; n++) {
		struct slot *s = &c->slot[n];

		if (s->state != state || (state == SLOT_SENT && s->sent_on == c->connection))
			continue;
		if (!oldest || s->order < oldest->order)
			oldest = s;
	}
	return oldest;
}

static void free_slot(struct client *c, struct slot *s)
{
	s->state = SLOT_FREE;
	s->has_owner = false;
	pthread_cond_signal(&c->slot_freed);
}

static void begin_slot(struct client *c, struct slot *s, enum csv_op op,
		       const struct client_origin *o)
{
	s->state = SLOT_ENCODING;
	s->seq++;
	s->order = ++c->order;
	s->since_ms = client_now_ms();
	s->sent_on = 0;
	s->op = op;
	s->cached = (struct cache_note){0};
	s->is_answered = s->must_release = false;
	s->is_left = s->is_wanted = false;
	s->note = NULL;
	s->unique = o && csv_op_kind(op) != CSV_QUERY ? o->unique : 0;
	s->step = s->unique ? o->step : 0;
	s->open = o ? o->open : 0;
}

/* The slot's answer is one that nobody waits for. What was opened for nobody is released. */
void client_settle(struct client *c, struct slot *s)
{
	const struct client_origin o = {.open = s->open};
	struct csv_request q = {.op = CSV_OP_RELEASE};

	if (!s->must_release) {
		free_slot(c, s);
		return;
	}
	begin_slot(c, s, CSV_OP_RELEASE, &o);
	q.slot = (uint16_t)(s - c->slot);
	q.seq = s->seq;
	q.release.handle = s->handle;
	must(!csv_request_encode(&q, s->frame, CSV_FRAME_MAX, &s->len));
	s->state = SLOT_NEW;
	client_keep_sent(s); /* nobody would ask for it again */
	client_kick(c);
}

static void end_writing(struct client *c, struct slot *s)
{
	s->is_writing = false;
	if (!s->is_answered)
		return;
	if (s->has_owner)
		pthread_cond_signal(&s->wake);
	else if (!s->is_left)
		client_settle(c, s);
}

int client_write(struct client *c, const void *buf, size_t len)
{
	struct tls *t = c->tls;
	int r;

	if (c->phase == CLIENT_DOWN)
		return -ENOTCONN;
	pthread_mutex_unlock(&c->lock);
	r = tls_write(t, buf, len);
	pthread_mutex_lock(&c->lock);
	return r;
}

int client_write_slot(struct client *c, struct slot *s)
{
	int r;

	if (c->phase == CLIENT_DOWN)
		return -ENOTCONN;
	s->frame[RESEND_AT] = s->state == SLOT_SENT;
	if (s->state != SLOT_SENT)
		client_keep_sent(s);
	s->state = SLOT_SENT;
	s->sent_on = c->connection;
	s->is_writing = true;
	failpoint(FAIL_MOUNT_SENDING, s->op, c->options.mount);
	r = client_write(c, s->frame, s->len);
	failpoint(FAIL_MOUNT_SENT, s->op, c->options.mount);
	end_writing(c, s);
	return r;
}

void client_token_take(struct client *c)
{
	must(!c->is_writing);
	c->is_writing = true;
}

void client_token_return(struct client *c, int error)
{
	c->is_writing = false;
	if (error)
		client_drop(c);
	pthread_cond_signal(&c->reader_wake);
	client_kick(c);
}

void client_kick(struct client *c)
{
	struct slot *s;

	if (c->is_writing || c->phase < CLIENT_WELCOMED)
		return;
	s = client_oldest(c, SLOT_NEW);
	if (c->phase == CLIENT_WELCOMED || (s && !s->has_owner))
		pthread_cond_signal(&c->writer_wake);
	else if (s)
		pthread_cond_signal(&s->wake);
}

/* Those who were interrupted may give up now. */
void client_wake_all(struct client *c)
{
	for (size_t n = 0; n < CSV_SLOTS; n++)
		pthread_cond_broadcast(&c->slot[n].wake);
	pthread_cond_broadcast(&c->slot_freed);
	pthread_cond_broadcast(&c->root_found);
}

void client_drop(struct client *c)
{
	if (c->phase == CLIENT_DOWN)
		return;
	c->phase = CLIENT_DOWN;
	shutdown(tls_fd(c->tls), SHUT_RDWR);
	client_wake_all(c);
	c->options.on_change(c->options.arg);
}

/* ---- a reply */

static const struct csv_bytes *bytes_of(const struct csv_reply *p)
{
	switch (p->kind) {
	case CSV_REPLY_BYTES:
		return &p->bytes.data;
	case CSV_REPLY_XATTR:
		return &p->xattr.data;
	case CSV_REPLY_GRANT:
		return &p->grant.extents;
	default:
		return NULL;
	}
}

static bool answers(const struct client *c, const struct slot *s, const struct csv_reply *p)
{
	return s->state == SLOT_SENT && !s->is_answered && s->sent_on == c->connection &&
	       s->seq == p->seq && p->kind == (p->error ? CSV_REPLY_NONE : csv_op_reply(s->op));
}

/* Keeps the book of what is open: it counts what is answered. */
static void count_opens(struct client *c, struct slot *s, const struct csv_reply *p)
{
	if (s->op == CSV_OP_RELEASE) {
		if (!opens_add(&c->opens, &s->handle, -1))
			log_warning("released inode %llx, which was not open -> going on",
				    (unsigned long long)s->handle.ino);
		client_keep_open_state(c, s, false);
		return;
	}
	if (p->error || (s->op != CSV_OP_OPEN && s->op != CSV_OP_CREATE))
		return;
	if (s->op == CSV_OP_CREATE)
		s->handle = p->entry.handle;
	opens_add(&c->opens, &s->handle, 1);
	client_keep_open_state(c, s, true);
	s->must_release = !s->has_owner;
}

bool client_answer(struct client *c, const struct csv_reply *p)
{
	struct slot *s = &c->slot[p->slot];
	const struct csv_bytes *bytes = bytes_of(p);

	if (!answers(c, s, p) || (bytes && s->has_owner && bytes->len > s->cap))
		return false;
	failpoint(FAIL_MOUNT_ANSWERED, s->op, c->options.mount);
	count_opens(c, s, p);
	client_keep_reply(c, s, p);
	/* What a change has made untrue may be kept again, whoever waits for the answer. */
	mount_cache_answered(c->options.cache, &s->cached);
	if (s->note)
		s->note(s->note_arg, s->note_id, p);
	client_keep_answered(s);
	s->is_answered = true;
	if (!s->has_owner) {
		if (!s->is_writing && !s->is_left)
			client_settle(c, s);
		return true;
	}
	*s->reply = *p;
	if (bytes && bytes->len) {
		memcpy(s->buf, bytes->data, bytes->len);
		/* bytes_of() yields a member of what it is given. */
		((struct csv_bytes *)bytes_of(s->reply))->data = s->buf;
	}
	pthread_cond_signal(&s->wake);
	return true;
}

/* ---- calls */

static struct slot *find_free(struct client *c)
{
	for (size_t n = 0; n < CSV_SLOTS; n++) {
		if (c->slot[n].state == SLOT_FREE)
			return &c->slot[n];
	}
	return NULL;
}

static int take_slot(struct client *c, struct client_interrupt *i, struct slot **ret)
{
	struct slot *s;
	int r = 0;

	c->waiting++;
	while (!(s = find_free(c)) || c->is_aborted || is_interrupted(i)) {
		r = c->is_aborted ? -EIO : is_interrupted(i) ? -EINTR : 0;
		if (r)
			break;
		client_wait(c, &c->slot_freed, i);
	}
	c->waiting--;
	if (r) {
		/* The signal of a slot that became free may have come to this thread. */
		pthread_cond_signal(&c->slot_freed);
		return r;
	}
	*ret = s;
	return 0;
}

/* See client_call(). */
static bool may_give_up(const struct client *c, const struct slot *s,
			const struct client_interrupt *i)
{
	if (client_is_over(i))
		return true;
	return is_interrupted(i) && (s->state == SLOT_NEW || csv_op_kind(s->op) == CSV_QUERY ||
				     c->phase != CLIENT_READY);
}

static void give_up(struct client *c, struct slot *s)
{
	s->has_owner = false;
	s->reply = NULL;
	/* Who gives up takes its row away. */
	if (s->op == CSV_OP_OPEN || s->op == CSV_OP_CREATE)
		s->open = s->kept->open = 0;
	if (s->state == SLOT_NEW) {
		mount_cache_answered(c->options.cache, &s->cached);
		s->seq--; /* nobody has seen it */
		free_slot(c, s);
		client_kick(c);
	}
}

/* Sends it if it is the next and the connection is free. */
static bool write_in_turn(struct client *c, struct slot *s)
{
	if (c->phase != CLIENT_READY || c->is_writing || client_oldest(c, SLOT_NEW) != s)
		return false;
	client_token_take(c);
	client_token_return(c, client_write_slot(c, s));
	return true;
}

static int await(struct client *c, struct slot *s, struct client_interrupt *i)
{
	while (!s->is_answered || s->is_writing) {
		int r = c->is_aborted ? -EIO : may_give_up(c, s, i) ? -EINTR : 0;

		if (r && !s->is_answered) {
			give_up(c, s);
			return r;
		}
		if (!write_in_turn(c, s))
			client_wait(c, &s->wake, s->is_answered ? NULL : i);
	}
	free_slot(c, s);
	return 0;
}

static const struct csv_handle *handle_of(const struct csv_request *q)
{
	return q->op == CSV_OP_OPEN	 ? &q->open.handle
	       : q->op == CSV_OP_RELEASE ? &q->release.handle
					 : NULL;
}

/* What the request says, into a slot that was begun for it; the lock is given up meanwhile. */
static void fill_slot(struct client *c, struct slot *s, struct csv_request *q)
{
	q->slot = (uint16_t)(s - c->slot);
	q->seq = s->seq;
	q->is_resend = false;
	pthread_mutex_unlock(&c->lock);
	mount_cache_ask(c->options.cache, q, &s->cached);
	must(!csv_request_encode(q, s->frame, CSV_FRAME_MAX, &s->len));
	pthread_mutex_lock(&c->lock);
	s->state = SLOT_NEW;
}

static void own(struct slot *s, struct csv_reply *ret, void *buf, size_t cap)
{
	s->has_owner = true;
	s->reply = ret;
	s->buf = buf;
	s->cap = cap;
}

/*
 * What an earlier process has begun for the same request of the kernel's goes on. 1: it has not
 * begun it. With the lock held.
 */
static int go_on(struct client *c, struct client_origin *o, const struct csv_request *q,
		 struct csv_reply *ret, struct client_interrupt *i)
{
	struct slot *s = client_left_slot(c, o, q->op);

	if (s && !s->is_answered) {
		s->is_left = false;
		client_take_open(c, o, s->open);
		own(s, ret, NULL, 0);
		return await(c, s, i);
	}
	if (!client_left_reply(c, o, q->op, ret))
		return 1;
	if (s) {
		s->is_left = s->must_release = false;
		if (!s->is_writing)
			client_settle(c, s);
	}
	return 0;
}

/* The same for the first time. With the lock held. */
static int ask(struct client *c, const struct client_origin *o, struct csv_request *q,
	       struct slot **ret_slot, struct client_interrupt *i)
{
	const struct csv_handle *handle = handle_of(q);
	struct slot *s;
	int r = take_slot(c, i, &s);

	if (r)
		return r;
	begin_slot(c, s, q->op, o);
	if (s->unique)
		client_keep_call(c, s->unique);
	s->handle = handle ? *handle : (struct csv_handle){0};
	*ret_slot = s;
	return 0;
}

int client_call_for(struct client *c, struct client_origin *o, struct csv_request *q,
		    struct csv_reply *ret, void *buf, size_t cap, struct client_interrupt *i)
{
	struct cache_note cached = {0};
	struct slot *s;
	int r = 1;

	pthread_mutex_lock(&c->lock);
	if (o && o->unique && csv_op_kind(q->op) != CSV_QUERY)
		r = go_on(c, o, q, ret, i);
	if (r != 1) {
		pthread_mutex_unlock(&c->lock);
		return r;
	}
	r = ask(c, o, q, &s, i);
	if (r) {
		pthread_mutex_unlock(&c->lock);
		return r;
	}
	own(s, ret, buf, cap);
	fill_slot(c, s, q);
	r = await(c, s, i);
	cached = s->cached;
	pthread_mutex_unlock(&c->lock);
	if (!r)
		mount_cache_keep(c->options.cache, q, ret, &cached);
	return r;
}

int client_call(struct client *c, struct csv_request *q, struct csv_reply *ret, void *buf,
		size_t cap, struct client_interrupt *i)
{
	return client_call_for(c, NULL, q, ret, buf, cap, i);
}

int client_post(struct client *c, struct csv_request *q, client_note note, void *arg, uint64_t id,
		struct client_interrupt *i)
{
	struct slot *s;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	if (!i && (c->waiting || !find_free(c)))
		r = -EAGAIN; /* who waits already is first */
	else
		r = take_slot(c, i, &s);
	if (r) {
		pthread_mutex_unlock(&c->lock);
		return r;
	}
	begin_slot(c, s, q->op, NULL);
	s->note = note;
	s->note_arg = arg;
	s->note_id = id;
	fill_slot(c, s, q);
	if (!write_in_turn(c, s))
		client_kick(c);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

int client_root(struct client *c, struct client_interrupt *i, struct csv_handle *ret)
{
	int r = 0;

	pthread_mutex_lock(&c->lock);
	while (!c->root.ino && !r) {
		r = c->is_aborted ? -EIO : is_interrupted(i) ? -EINTR : 0;
		if (!r)
			client_wait(c, &c->root_found, i);
	}
	if (!r)
		*ret = c->root;
	pthread_mutex_unlock(&c->lock);
	return r;
}

void client_abort(struct client *c)
{
	pthread_mutex_lock(&c->lock);
	c->is_aborted = true;
	client_wake_all(c);
	pthread_mutex_unlock(&c->lock);
}
