/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection of csvfs/edge/client.h: making it, greeting, reclaim and resends, reading. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "csvfs/edge/client_impl.h"
#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/log.h"
#include "lib/must.h"
#include "lib/wire.h"

#define CONNECT_MS	  3000	/* each of TCP and TLS */
#define WRITE_MS	  20000 /* a coordinator that takes nothing for so long is of no use */
#define PEER_MS		  10000 /* one that does not even acknowledge */
#define RETRY_MAX_MS	  1000
#define RETRY_NONSENSE_MS 500
#define RECLAIM_BYTES	  16384 /* written at once */
#define RECLAIM_ONE_MAX	  64

void client_waits_for(struct client *c, const char *format, ...)
{
	char text[sizeof(c->why)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!strcmp(text, c->why))
		return;
	memcpy(c->why, text, sizeof(text));
	if (text[0])
		log_notice("%s -> requests wait", text);
	c->options.on_change(c->options.arg);
}

/* ---- the writer: what no waiting thread writes itself */

static int write_frame(struct client *c, const struct csv_frame *f)
{
	uint8_t buf[256];
	size_t len;

	must(!csv_frame_encode(f, buf, sizeof(buf), &len));
	return client_write(c, buf, len);
}

/* Frames on their way, written many at a time. */
struct batch {
	uint8_t buf[RECLAIM_BYTES];
	size_t at;
};

static int batch_write(struct client *c, struct batch *b)
{
	int r = b->at ? client_write(c, b->buf, b->at) : 0;

	b->at = 0;
	return r;
}

static int batch_add(struct client *c, struct batch *b, const struct csv_frame *f)
{
	size_t len;

	must(!csv_frame_encode(f, b->buf + b->at, sizeof(b->buf) - b->at, &len));
	b->at += len;
	return b->at > sizeof(b->buf) - RECLAIM_ONE_MAX ? batch_write(c, b) : 0;
}

/* Nothing is answered before RECLAIM_DONE is written, so the books stand still. */
static int reclaim(struct client *c)
{
	struct csv_frame f = {.type = CSV_FRAME_RECLAIM};
	struct opens_cursor cursor = {0};
	const struct open_entry *e;
	struct batch b = {.at = 0};
	/* If there is another one by now, it is told anew. */
	uint64_t term = c->target.term;
	size_t grants = 0;
	int r = 0;

	while (!r && (e = opens_next(&c->opens, &cursor))) {
		f.reclaim.handle = e->handle;
		f.reclaim.opens = e->opens;
		r = batch_add(c, &b, &f);
	}
	while (!r && c->options.next_grant &&
	       c->options.next_grant(c->options.arg, term, &grants, &f))
		r = batch_add(c, &b, &f);
	f = (struct csv_frame){.type = CSV_FRAME_RECLAIM_DONE};
	r = r ? r : batch_add(c, &b, &f);
	return r ? r : batch_write(c, &b);
}

/*
 * Replies are read meanwhile by the other thread: a coordinator may answer before it has read all.
 */
static void recover(struct client *c)
{
	const char *known = c->is_known ? "" : ", what is open is told again";
	unsigned int resent = 0;
	struct slot *s;
	int r;

	client_token_take(c);
	failpoint(FAIL_MOUNT_RECLAIMING, 0, c->options.mount);
	r = c->is_known ? 0 : reclaim(c);
	failpoint(FAIL_MOUNT_RESENDING, 0, c->options.mount);
	while (!r && (s = client_oldest(c, SLOT_SENT))) {
		r = client_write_slot(c, s);
		resent++;
	}
	failpoint(FAIL_MOUNT_RESENT, 0, c->options.mount);
	if (!r)
		r = write_frame(c, &(struct csv_frame){.type = CSV_FRAME_RESEND_DONE});
	if (!r && c->phase == CLIENT_WELCOMED) {
		c->phase = CLIENT_READY;
		c->retry_ms = CLIENT_RETRY_MIN_MS;
		log_notice("connected to the coordinator of term %llx at %s port %u%s -> %u "
			   "requests sent again, going on",
			   (unsigned long long)c->target.term, c->target.address,
			   (unsigned int)c->target.port, known, resent);
		client_waits_for(c, "%s", "");
	}
	client_token_return(c, r);
}

void *client_write_loop(void *arg)
{
	struct client *c = arg;

	pthread_mutex_lock(&c->lock);
	while (!c->is_ending) {
		struct slot *s = client_oldest(c, SLOT_NEW);

		if (!c->is_writing && c->phase == CLIENT_WELCOMED) {
			recover(c);
		} else if (!c->is_writing && c->phase == CLIENT_READY && s && !s->has_owner) {
			client_token_take(c);
			client_token_return(c, client_write_slot(c, s));
		} else {
			client_wait(c, &c->writer_wake, NULL);
		}
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* ---- the reader */

/* What follows the prefix, into c->in. */
static int read_frame(struct client *c, struct tls *t, size_t *ret_len)
{
	uint8_t prefix[CSV_FRAME_PREFIX];
	struct wire_reader w;
	uint32_t len;
	int r = tls_read(t, prefix, sizeof(prefix));

	if (r)
		return r;
	wire_reader_init(&w, prefix, sizeof(prefix));
	len = wire_get_u32(&w);
	if (len > CSV_FRAME_MAX - CSV_FRAME_PREFIX)
		return -EBADMSG;
	r = tls_read(t, c->in, len);
	if (!r)
		*ret_len = len;
	return r;
}

static int take_reply(struct client *c, struct tls *t)
{
	struct csv_reply p;
	size_t len = 0;
	int r = read_frame(c, t, &len);

	if (!r)
		r = csv_reply_decode(c->in, len, &p);
	if (r)
		return r;
	pthread_mutex_lock(&c->lock);
	r = client_answer(c, &p) ? 0 : -EPROTO;
	pthread_mutex_unlock(&c->lock);
	if (r)
		log_error("a reply for slot %u, sequence %llu, that answers nothing -> connection "
			  "is dropped",
			  (unsigned int)p.slot, (unsigned long long)p.seq);
	return r;
}

/* With the lock held. */
static int take_welcome(struct client *c, const struct client_target *t,
			const struct csv_frame_welcome *w)
{
	if (c->phase != CLIENT_HELLO)
		return -ECANCELED;
	if (w->term != t->term || !w->root.ino)
		return -EPROTO;
	if (c->root.ino && !csv_handle_equal(&c->root, &w->root)) {
		client_waits_for(c, "the coordinator at %s shows another file system", t->address);
		return -ECONNREFUSED;
	}
	c->root = w->root;
	c->welcomed = w->term;
	c->is_known = w->is_known;
	/* Before it is told what is open: from then on it may change what an earlier one promised.
	 */
	if (!w->is_known)
		mount_cache_forget(c->options.cache);
	c->phase = CLIENT_WELCOMED;
	pthread_cond_broadcast(&c->root_found);
	client_kick(c);
	return 0;
}

static int greet(struct client *c, struct tls *t, const struct client_target *to)
{
	struct csv_frame f = {.type = CSV_FRAME_HELLO,
			      .hello = {.protocol = CSV_PROTOCOL,
					.volume = c->options.volume,
					.term = to->term,
					.mount = c->options.mount}};
	const struct csv_frame life = {.type = CSV_FRAME_LIFE,
				       .life = {.number = keep_life(c->keep)}};
	uint8_t buf[256];
	size_t len = 0, more = 0;
	int r;

	must(!csv_frame_encode(&f, buf, sizeof(buf), &len));
	must(!csv_frame_encode(&life, buf + len, sizeof(buf) - len, &more));
	r = tls_write(t, buf, len + more);
	r = r ? r : read_frame(c, t, &len);
	r = r ? r : csv_frame_decode(c->in, len, &f);
	if (r)
		return r;
	pthread_mutex_lock(&c->lock);
	if (f.type == CSV_FRAME_WELCOME) {
		r = take_welcome(c, to, &f.welcome);
	} else if (f.type == CSV_FRAME_REFUSED) {
		client_waits_for(c, "the coordinator at %s refuses: %s", to->address,
				 csv_refusal_text(f.refused.reason));
		r = -ECONNREFUSED;
	} else {
		r = -EPROTO;
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* With the lock held. Afterwards nobody uses the connection any more, and it is closed. */
static void hang_up(struct client *c)
{
	struct tls *t = c->tls;

	client_drop(c);
	while (c->is_writing)
		client_wait(c, &c->reader_wake, NULL);
	c->tls = NULL;
	pthread_mutex_unlock(&c->lock);
	tls_close(t);
	pthread_mutex_lock(&c->lock);
}

/* One connection, from its making to its end. With the lock held. Returns why it has ended. */
static int converse(struct client *c)
{
	const struct client_target to = c->target;
	const uint64_t version = c->target_version;
	struct tls *t = NULL;
	int r;

	pthread_mutex_unlock(&c->lock);
	r = tls_connect(to.address, to.port, &c->options.key, CONNECT_MS, &t);
	r = r ? r : tls_set_deadlines(t, 0, WRITE_MS, PEER_MS);
	pthread_mutex_lock(&c->lock);
	if (r || c->target_version != version || c->is_ending) {
		if (c->target_version == version)
			client_waits_for(c, "cannot connect to the coordinator at %s port %u: %s",
					 to.address, (unsigned int)to.port, strerror(-r));
		pthread_mutex_unlock(&c->lock);
		tls_close(t);
		pthread_mutex_lock(&c->lock);
		return r;
	}
	c->tls = t;
	c->connection++;
	c->phase = CLIENT_HELLO;
	pthread_mutex_unlock(&c->lock);
	r = greet(c, t, &to);
	while (!r)
		r = take_reply(c, t);
	pthread_mutex_lock(&c->lock);
	hang_up(c);
	if (r != -ECONNREFUSED && c->target_version == version && !c->is_ending)
		client_waits_for(c, "lost the connection to the coordinator at %s port %u: %s",
				 to.address, (unsigned int)to.port, strerror(-r));
	return r;
}

/* With the lock held: until it is time to try again, or there is another target. */
static void pause_until(struct client *c, uint64_t version, uint64_t until_ms)
{
	struct client_interrupt end = {.until_ms = until_ms};

	while (!c->is_ending && c->target_version == version && client_now_ms() < until_ms)
		client_wait(c, &c->reader_wake, &end);
}

void *client_read_loop(void *arg)
{
	struct client *c = arg;

	pthread_mutex_lock(&c->lock);
	while (!c->is_ending) {
		const uint64_t version = c->target_version;
		int r;

		if (!c->target.term) {
			client_wait(c, &c->reader_wake, NULL);
			continue;
		}
		r = converse(c);
		if (c->target_version != version) {
			c->retry_ms = CLIENT_RETRY_MIN_MS;
			continue;
		}
		if (r == -EPROTO || r == -EBADMSG) /* it will talk nonsense again */
			c->retry_ms = RETRY_NONSENSE_MS;
		pause_until(c, version, client_now_ms() + c->retry_ms);
		c->retry_ms = c->retry_ms * 2 < RETRY_MAX_MS ? c->retry_ms * 2 : RETRY_MAX_MS;
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}
