/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections: each has a reader, which owns it, and a writer. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/process.h"
#include "csvfs/edge/server_impl.h"
#include "lib/must.h"
#include "lib/wire.h"

#define HELLO_MAX	256 /* bytes that one who has not said who it is may send */
#define ACCEPT_PAUSE_NS (100 * 1000 * 1000)

void server_frame_put(struct frame_buf *f)
{
	if (f && --f->refs == 0)
		free(f);
}

struct conn *server_conn(struct server *s, uint64_t id)
{
	for (size_t i = 0; id && i < SERVER_CONNS; i++) {
		if (s->conn[i].id == id)
			return &s->conn[i];
	}
	return NULL;
}

void server_send(struct server *s, struct conn *c, struct frame_buf *f)
{
	struct out *o;

	(void)s;
	if (c->is_closing)
		return;
	o = calloc(1, sizeof(*o));
	must(o);
	f->refs++;
	o->frame = f;
	*c->out_end = o;
	c->out_end = &o->next;
	pthread_cond_signal(&c->out_wake);
}

void server_send_frame(struct server *s, uint64_t conn, const struct csv_frame *f)
{
	struct conn *c = server_conn(s, conn);
	struct frame_buf *b;

	if (!c)
		return;
	b = malloc(sizeof(*b) + HELLO_MAX);
	must(b);
	*b = (struct frame_buf){.refs = 1};
	must(!csv_frame_encode(f, b->data, HELLO_MAX, &b->len));
	server_send(s, c, b);
	server_frame_put(b);
}

/* The reader sees it and cleans up. What is queued already is still sent, if it can be at once. */
void server_close_conn(struct server *s, uint64_t conn)
{
	struct conn *c = server_conn(s, conn);

	if (!c || c->is_closing)
		return;
	c->is_closing = true;
	shutdown(c->fd, SHUT_RD);
	pthread_cond_signal(&c->out_wake);
}

/* ---- writer */

static struct out *next_out(struct conn *c)
{
	struct out *o;

	while (!c->out && !c->is_closing)
		pthread_cond_wait(&c->out_wake, &c->server->lock);
	o = c->out;
	if (o) {
		c->out = o->next;
		if (!c->out)
			c->out_end = &c->out;
	}
	return o;
}

static void *writer_thread(void *arg)
{
	struct conn *c = arg;
	struct server *s = c->server;
	struct out *o;

	pthread_mutex_lock(&s->lock);
	while ((o = next_out(c))) {
		int r;

		pthread_mutex_unlock(&s->lock);
		r = tls_write(c->tls, o->frame->data, o->frame->len);
		if (o->frame->op)
			failpoint(FAIL_SENT, o->frame->op, o->frame->mount);
		pthread_mutex_lock(&s->lock);
		server_frame_put(o->frame);
		free(o);
		if (!r)
			continue;
		c->is_closing = true;
		shutdown(c->fd, SHUT_RDWR);
		break;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- reader */

/* One frame without its prefix, in memory of its own. */
static int read_frame(struct conn *c, size_t max, uint8_t **ret, size_t *ret_len)
{
	uint8_t prefix[CSV_FRAME_PREFIX];
	struct wire_reader r;
	uint8_t *data;
	size_t len;
	int e = tls_read(c->tls, prefix, sizeof(prefix));

	if (e)
		return e;
	wire_reader_init(&r, prefix, sizeof(prefix));
	len = wire_get_u32(&r);
	if (len < 2 || len > max)
		return -EPROTO;
	data = malloc(len);
	must(data);
	e = tls_read(c->tls, data, len);
	if (e) {
		free(data);
		return e;
	}
	*ret = data;
	*ret_len = len;
	return 0;
}

/* Takes data. The core says whether it is kept. */
static int on_request(struct conn *c, uint8_t *data, size_t len)
{
	struct server *s = c->server;
	struct csv_request q;
	struct sess_event e = {.type = SESS_EV_REQUEST, .conn = c->id};
	const struct sess_mount *m = NULL;
	struct slot_io *io;

	if (csv_request_decode(data, len, &q)) {
		free(data);
		return -EBADMSG;
	}
	e.slot = q.slot;
	e.seq = q.seq;
	e.is_resend = q.is_resend;
	for (size_t i = 0; i < SESS_MOUNTS && !m; i++) {
		if (s->sess.mount[i].id && s->sess.mount[i].conn == c->id)
			m = &s->sess.mount[i];
	}
	if (!m || m->slot[q.slot].state == SESS_EXECUTING || m->slot[q.slot].state == SESS_HELD ||
	    (m->slot[q.slot].state == SESS_DONE && m->slot[q.slot].seq == q.seq)) {
		free(data); /* what is under way, or done, needs no second copy */
		server_step(s, &e);
		return 0;
	}
	io = &server_mount_io(s, m->id)->slot[q.slot];
	server_frame_put(io->reply);
	io->reply = NULL;
	free(io->request);
	io->request = data;
	io->request_len = len;
	io->since_ms = csv_now_ms();
	server_step(s, &e);
	if (m->slot[q.slot].state != SESS_EXECUTING && m->slot[q.slot].state != SESS_HELD) {
		free(io->request); /* it broke the protocol */
		io->request = NULL;
	}
	return 0;
}

static int on_reclaim(struct conn *c, const struct csv_frame_reclaim *f)
{
	struct server *s = c->server;

	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		const struct sess_mount *m = &s->sess.mount[i];

		if (!m->id || m->conn != c->id)
			continue;
		if (m->is_reclaimed)
			return -EPROTO;
		backing_opens_add(s->options.backing, m->id, &f->handle, f->opens);
	}
	return 0;
}

static int on_frame(struct conn *c, const struct csv_frame *f)
{
	struct sess_event e = {.conn = c->id};

	switch (f->type) {
	case CSV_FRAME_RECLAIM:
		return on_reclaim(c, &f->reclaim);
	case CSV_FRAME_RECLAIM_GRANT:
		return server_grants_reclaim(c, &f->reclaim_grant);
	case CSV_FRAME_RECLAIM_LOCK:
		return server_locks_reclaim(c, &f->reclaim_lock);
	case CSV_FRAME_RECLAIM_WAIT:
		return server_locks_reclaim_wait(c, &f->reclaim_wait);
	case CSV_FRAME_LIFE:
		e.type = SESS_EV_LIFE;
		e.life = f->life.number;
		break;
	case CSV_FRAME_RECLAIM_DONE:
		e.type = SESS_EV_RECLAIM_DONE;
		break;
	case CSV_FRAME_RESEND_DONE:
		e.type = SESS_EV_RESEND_DONE;
		break;
	case CSV_FRAME_GOODBYE:
		return -EPIPE; /* clusterd will say that the mount has ended */
	default:
		return -EPROTO; /* over the other line, or from us */
	}
	server_step(c->server, &e);
	return 0;
}

/* Takes data; with the lock held. */
static int on_data(struct conn *c, uint8_t *data, size_t len)
{
	struct csv_frame f;
	int r;

	if (c->is_closing) {
		free(data);
		return -EPIPE;
	}
	if (csv_frame_type_of(data, len) == CSV_FRAME_REQUEST && !c->channel)
		return on_request(c, data, len);
	r = csv_frame_decode(data, len, &f);
	if (!r)
		r = c->channel ? server_grants_frame(c, &f) : on_frame(c, &f);
	free(data);
	return r;
}

/* A reason against one who says that it speaks so, of that volume; CSV_REFUSAL_MAX: none. */
static enum csv_refusal against(const struct server *s, uint16_t protocol,
				const struct csv_uuid *volume)
{
	if (protocol != CSV_PROTOCOL)
		return CSV_REFUSAL_PROTOCOL;
	if (memcmp(volume->byte, s->options.volume.byte, CSV_UUID_BYTES) != 0)
		return CSV_REFUSAL_VOLUME;
	return CSV_REFUSAL_MAX;
}

/* With the lock held. */
static int on_hello(struct conn *c, const struct csv_frame *f)
{
	struct server *s = c->server;
	struct sess_event e = {.type = SESS_EV_HELLO, .conn = c->id};
	struct csv_frame no = {.type = CSV_FRAME_REFUSED};
	enum csv_refusal reason = f->type == CSV_FRAME_HELLO
					  ? against(s, f->hello.protocol, &f->hello.volume)
					  : against(s, f->channel.protocol, &f->channel.volume);

	if (reason != CSV_REFUSAL_MAX) {
		no.refused.reason = (uint8_t)reason;
		server_send_frame(s, c->id, &no);
		return -EPROTO;
	}
	c->is_known = true;
	if (f->type == CSV_FRAME_CHANNEL)
		return server_grants_channel(c, &f->channel);
	e.mount = f->hello.mount;
	e.term = f->hello.term;
	server_step(s, &e);
	return 0;
}

static int read_hello(struct conn *c)
{
	struct server *s = c->server;
	struct csv_frame f;
	uint8_t *data;
	size_t len;
	int r = read_frame(c, HELLO_MAX, &data, &len);

	if (r)
		return r;
	r = csv_frame_decode(data, len, &f);
	free(data);
	if (r || (f.type != CSV_FRAME_HELLO && f.type != CSV_FRAME_CHANNEL))
		return -EPROTO;
	pthread_mutex_lock(&s->lock);
	r = on_hello(c, &f);
	pthread_mutex_unlock(&s->lock);
	return r ? r : tls_set_deadlines(c->tls, 0, SERVER_WRITE_MS, SERVER_PEER_MS);
}

static void read_all(struct conn *c)
{
	struct server *s = c->server;
	int r = read_hello(c);

	while (!r) {
		uint8_t *data;
		size_t len;

		r = read_frame(c, CSV_FRAME_MAX, &data, &len);
		if (r)
			break;
		pthread_mutex_lock(&s->lock);
		r = on_data(c, data, len);
		pthread_mutex_unlock(&s->lock);
	}
	if (r != -EPIPE)
		csv_log(LOG_INFO, "a connection of a mount ends: %s", strerror(-r));
}

static void conn_free(struct conn *c)
{
	struct server *s = c->server;
	struct sess_event e = {.type = SESS_EV_CONN_LOST, .conn = c->id};

	pthread_mutex_lock(&s->lock);
	server_grants_lost(c);
	server_locks_lost(c);
	server_step(s, &e);
	while (c->out) {
		struct out *o = c->out;

		c->out = o->next;
		server_frame_put(o->frame);
		free(o);
	}
	pthread_cond_destroy(&c->out_wake);
	close(c->fd);
	c->id = 0;
	s->conn_threads--;
	pthread_cond_broadcast(&s->conn_gone);
	pthread_mutex_unlock(&s->lock);
}

/* They may be many: a line for each would be a way to fill the disk. */
static void note_stranger(struct server *s, int error)
{
	uint64_t now = csv_now_ms();

	pthread_mutex_lock(&s->lock);
	s->strangers++;
	if (!s->said_ms || now - s->said_ms >= SERVER_SAY_MS) {
		csv_log(LOG_WARNING,
			"%u peers could not prove that they belong to the cluster, the last: %s",
			s->strangers, strerror(-error));
		s->strangers = 0;
		s->said_ms = now;
	}
	pthread_mutex_unlock(&s->lock);
}

/* Owns the connection from the accepted descriptor to the end. */
static void *reader_thread(void *arg)
{
	struct conn *c = arg;
	struct server *s = c->server;
	pthread_t writer;
	int r = tls_accept(c->accepted, &s->options.key, SERVER_HANDSHAKE_MS, &c->tls);

	if (r)
		note_stranger(s, r);
	if (!r)
		r = -pthread_create(&writer, NULL, writer_thread, c);
	if (!r) {
		read_all(c);
		pthread_mutex_lock(&s->lock);
		c->is_closing = true;
		pthread_cond_signal(&c->out_wake);
		pthread_mutex_unlock(&s->lock);
		pthread_join(writer, NULL);
	}
	tls_close(c->tls);
	conn_free(c);
	return NULL;
}

/*
 * Whoever reaches the port can connect; only who has the key gets further. The oldest of too many
 * strangers goes: one who has the key needs milliseconds. With the lock held.
 */
static void bound_strangers(struct server *s)
{
	struct conn *oldest = NULL;
	size_t n = 0;

	for (size_t i = 0; i < SERVER_CONNS; i++) {
		struct conn *c = &s->conn[i];

		if (!c->id || c->is_known || c->is_closing)
			continue;
		n++;
		if (!oldest || c->id < oldest->id)
			oldest = c;
	}
	if (n < SERVER_STRANGERS)
		return;
	oldest->is_closing = true;
	shutdown(oldest->fd, SHUT_RDWR);
	pthread_cond_signal(&oldest->out_wake);
}

/* A row for a new connection; NULL when there are too many. With the lock held. */
static struct conn *conn_new(struct server *s, int fd)
{
	int control = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	for (size_t i = 0; control >= 0 && !s->is_closing && i < SERVER_CONNS; i++) {
		struct conn *c = &s->conn[i];

		if (c->id)
			continue;
		*c = (struct conn){
			.id = ++s->next_conn, .server = s, .accepted = fd, .fd = control};
		c->out_end = &c->out;
		pthread_cond_init(&c->out_wake, NULL);
		return c;
	}
	if (control >= 0)
		close(control);
	return NULL;
}

/* Takes fd. */
static void start_conn(struct server *s, int fd)
{
	pthread_attr_t attr;
	pthread_t thread;
	struct conn *c;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_mutex_lock(&s->lock);
	bound_strangers(s);
	c = conn_new(s, fd);
	if (c && !pthread_create(&thread, &attr, reader_thread, c)) {
		s->conn_threads++;
	} else {
		csv_log(LOG_WARNING, "a connection is refused: there are %d already", SERVER_CONNS);
		if (c) {
			close(c->fd);
			c->id = 0;
		}
		close(fd);
	}
	pthread_mutex_unlock(&s->lock);
	pthread_attr_destroy(&attr);
}

/* Out of descriptors or memory, or an error of the network of one peer: it passes (accept(2)). */
static void wait_accept(int error, int *last)
{
	const struct timespec pause = {.tv_nsec = ACCEPT_PAUSE_NS};

	if (error != *last)
		csv_log(LOG_WARNING, "no connection can be taken: %s -> tried again",
			strerror(error));
	*last = error;
	nanosleep(&pause, NULL);
}

void *server_accept_thread(void *arg)
{
	struct server *s = arg;
	int last_error = 0;

	for (;;) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC), error = errno;
		bool ends;

		pthread_mutex_lock(&s->lock);
		ends = s->is_closing;
		pthread_mutex_unlock(&s->lock);
		if (ends) {
			if (fd >= 0)
				close(fd);
			return NULL;
		}
		if (fd >= 0)
			start_conn(s, fd);
		else if (error != EINTR && error != ECONNABORTED)
			wait_accept(error, &last_error);
	}
}
