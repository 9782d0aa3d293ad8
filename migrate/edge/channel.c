/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/wire.h"

#define WHY_MAX 128

enum news_kind { NEWS_LISTENING, NEWS_OPEN, NEWS_MESSAGE, NEWS_LOST };

struct news {
	enum news_kind kind;
	uint16_t port;
	char text[WHY_MAX];
	struct mig_message message;
};

struct queue {
	size_t n;
	struct mig_message item[CHANNEL_QUEUE_MAX];
};

struct channel {
	qb_loop_t *loop;
	uint32_t number;
	struct channel_callbacks callbacks;
	void *arg;
	struct tls_key key;
	char address[VM_LINK_ADDRESS];
	uint16_t port;
	int listener; /* -1: connects */
	int news_fd;  /* eventfd: news for the loop */
	int stop_fd;  /* eventfd: no more waiting for a peer */
	pthread_t reader;
	/* the rest under the lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;		     /* something to write, or is_closing */
	bool is_closing, is_broken, is_done; /* is_done: the threads have ended */
	struct tls *tls;
	size_t n_news;
	struct news news[CHANNEL_QUEUE_MAX];
	struct queue out;
};

static void wake(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* ---- the threads' side ---- */

/* False: nobody listens any more, or does not keep up. */
static bool tell(struct channel *c, const struct news *news)
{
	bool is_room;

	pthread_mutex_lock(&c->lock);
	/* The last place is kept for LOST. */
	is_room = c->n_news < CHANNEL_QUEUE_MAX - (news->kind == NEWS_LOST ? 0 : 1);
	if (is_room && !c->is_closing)
		c->news[c->n_news++] = *news;
	is_room = is_room && !c->is_closing;
	pthread_mutex_unlock(&c->lock);
	wake(c->news_fd);
	return is_room;
}

static void tell_lost(struct channel *c, const char *what, int r)
{
	struct news news = {.kind = NEWS_LOST};

	snprintf(news.text, sizeof(news.text), "%s: %s", what,
		 r == -EPROTO ? "not of this cluster, or not TLS" : strerror(-r));
	(void)tell(c, &news);
}

static int read_message(struct tls *tls, struct mig_message *ret)
{
	uint8_t frame[MIG_FRAME_MAX];
	struct wire_reader r;
	uint32_t len;
	int e = tls_read(tls, frame, MIG_FRAME_PREFIX);

	if (e)
		return e;
	wire_reader_init(&r, frame, MIG_FRAME_PREFIX);
	len = wire_get_u32(&r);
	if (len > sizeof(frame))
		return -EBADMSG;
	e = tls_read(tls, frame, len);
	return e ? e : mig_message_decode(frame, len, ret);
}

static int write_message(struct tls *tls, const struct mig_message *m)
{
	uint8_t frame[MIG_FRAME_MAX];
	size_t len;

	must(!mig_message_encode(m, frame, sizeof(frame), &len));
	return tls_write(tls, frame, len);
}

/* Writes what is queued until the channel is closing and nothing is left. */
static void *run_writer(void *arg)
{
	struct channel *c = arg;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	while (!r && !c->is_broken) {
		struct mig_message m;

		if (!c->out.n && c->is_closing)
			break;
		if (!c->out.n) {
			pthread_cond_wait(&c->changed, &c->lock);
			continue;
		}
		m = c->out.item[0];
		c->out.n--;
		memmove(c->out.item, c->out.item + 1, c->out.n * sizeof(c->out.item[0]));
		pthread_mutex_unlock(&c->lock);
		r = write_message(c->tls, &m);
		pthread_mutex_lock(&c->lock);
	}
	if (c->is_broken)
		r = -EPIPE;
	pthread_mutex_unlock(&c->lock);
	/*
	 * The reader sees the end. Not closed at once: what the peer still says would make the
	 * kernel throw away what was written (tcp(7), unread data at close).
	 */
	shutdown(tls_fd(c->tls), r ? SHUT_RDWR : SHUT_WR);
	return NULL;
}

/* Waits for a peer that proves itself. Others cost CHANNEL_OPEN_MS each, and no more. */
static int accept_peer(struct channel *c, struct tls **ret)
{
	for (;;) {
		struct pollfd p[] = {{.fd = c->listener, .events = POLLIN},
				     {.fd = c->stop_fd, .events = POLLIN}};
		int fd;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents)
			return -ECANCELED;
		if (!p[0].revents)
			continue;
		fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && errno != EINTR && errno != ECONNABORTED && errno != EAGAIN)
			return -errno;
		if (fd >= 0 && !tls_accept_unless(fd, &c->key, CHANNEL_OPEN_MS, c->stop_fd, ret))
			return 0;
	}
}

static void peer_text(struct tls *tls, char *buf, size_t cap)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	const void *at = &((struct sockaddr_in *)&sa)->sin_addr;

	buf[0] = '\0';
	if (getpeername(tls_fd(tls), (struct sockaddr *)&sa, &len) < 0)
		return;
	if (sa.ss_family == AF_INET6)
		at = &((struct sockaddr_in6 *)&sa)->sin6_addr;
	if (!inet_ntop(sa.ss_family, at, buf, (socklen_t)cap))
		buf[0] = '\0';
}

static bool is_closing(struct channel *c)
{
	bool r;

	pthread_mutex_lock(&c->lock);
	r = c->is_closing;
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* Reads until it breaks; what comes after it was closed is not heard. */
static void converse(struct channel *c, struct tls *tls)
{
	struct news news = {.kind = NEWS_OPEN};
	pthread_t writer;
	int r = tls_set_deadlines(tls, 0, CHANNEL_WRITE_MS, CHANNEL_PEER_MS);

	peer_text(tls, news.text, sizeof(news.text));
	pthread_mutex_lock(&c->lock);
	c->tls = tls;
	pthread_mutex_unlock(&c->lock);
	if (!r)
		r = -pthread_create(&writer, NULL, run_writer, c);
	if (r) {
		tell_lost(c, "cannot be used", r);
		return;
	}
	(void)tell(c, &news);
	news = (struct news){.kind = NEWS_MESSAGE};
	do {
		r = read_message(tls, &news.message);
		if (!r && !tell(c, &news) && !is_closing(c))
			r = -EOVERFLOW;
	} while (!r);
	tell_lost(c, "reading", r);
	pthread_mutex_lock(&c->lock);
	/* Closed by us: the writer ends when all is written. Broken: at once. */
	if (!c->is_closing)
		c->is_broken = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	pthread_join(writer, NULL);
}

static void *run_reader(void *arg)
{
	struct channel *c = arg;
	struct tls *tls = NULL;
	int r;

	if (c->listener >= 0)
		r = accept_peer(c, &tls);
	else
		r = tls_connect_unless(c->address, c->port, &c->key, CHANNEL_OPEN_MS, c->stop_fd,
				       &tls);
	if (r)
		tell_lost(c, c->listener >= 0 ? "accepting" : "connecting", r);
	else
		converse(c, tls);
	pthread_mutex_lock(&c->lock);
	c->tls = NULL;
	pthread_mutex_unlock(&c->lock);
	tls_close(tls);
	pthread_mutex_lock(&c->lock);
	c->is_done = true;
	pthread_mutex_unlock(&c->lock);
	wake(c->news_fd);
	return NULL;
}

/* ---- the loop's side ---- */

static void free_channel(struct channel *c)
{
	(void)qb_loop_poll_del(c->loop, c->news_fd);
	if (c->listener >= 0)
		close(c->listener);
	close(c->news_fd);
	close(c->stop_fd);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	explicit_bzero(&c->key, sizeof(c->key));
	free(c);
}

static void hear(struct channel *c, const struct news *news)
{
	switch (news->kind) {
	case NEWS_LISTENING:
		c->callbacks.on_listening(c->arg, c->number, news->port);
		break;
	case NEWS_OPEN:
		c->callbacks.on_open(c->arg, c->number, news->text);
		break;
	case NEWS_MESSAGE:
		c->callbacks.on_message(c->arg, c->number, &news->message);
		break;
	case NEWS_LOST:
		c->callbacks.on_lost(c->arg, c->number, news->text);
		break;
	}
}

/* One piece of news a turn: its callback may close the channel. */
static int32_t on_news(int32_t fd, int32_t revents, void *data)
{
	struct channel *c = data;
	struct news news;
	bool has_news, is_over;
	uint64_t n;

	(void)revents;
	while (read(fd, &n, sizeof(n)) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&c->lock);
	is_over = c->is_closing && c->is_done;
	has_news = !c->is_closing && c->n_news;
	if (has_news) {
		news = c->news[0];
		c->n_news--;
		memmove(c->news, c->news + 1, c->n_news * sizeof(c->news[0]));
	}
	if (c->n_news)
		wake(fd);
	pthread_mutex_unlock(&c->lock);
	if (is_over) {
		void (*on_closed)(void *arg) = c->callbacks.on_closed;
		void *arg = c->arg;

		pthread_join(c->reader, NULL);
		free_channel(c);
		on_closed(arg);
	} else if (has_news) {
		hear(c, &news);
	}
	return 0;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);

	must(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
	return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
					      : ((struct sockaddr_in *)&sa)->sin_port);
}

/* Takes listener, -1: none, also on failure. */
static int start(qb_loop_t *loop, const struct channel_options *o, int listener,
		 struct channel **ret)
{
	struct channel *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c) {
		if (listener >= 0)
			close(listener);
		return -ENOMEM;
	}
	*c = (struct channel){.loop = loop,
			      .number = o->number,
			      .callbacks = *o->callbacks,
			      .arg = o->arg,
			      .key = *o->key,
			      .port = o->port,
			      .listener = listener};
	snprintf(c->address, sizeof(c->address), "%s", o->address);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	c->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->news_fd < 0 || c->stop_fd < 0)
		r = -errno;
	if (!r)
		r = qb_loop_poll_add(loop, QB_LOOP_HIGH, c->news_fd, POLLIN, c, on_news);
	if (!r && listener >= 0) {
		struct news news = {.kind = NEWS_LISTENING, .port = port_of(listener)};

		(void)tell(c, &news);
	}
	if (!r)
		r = -pthread_create(&c->reader, NULL, run_reader, c);
	if (r) {
		free_channel(c);
		return r;
	}
	*ret = c;
	return 0;
}

int channel_listen(qb_loop_t *loop, const struct channel_options *o, struct channel **ret)
{
	int fd = tls_listen(o->address, o->port);

	return fd < 0 ? fd : start(loop, o, fd, ret);
}

int channel_connect(qb_loop_t *loop, const struct channel_options *o, struct channel **ret)
{
	return start(loop, o, -1, ret);
}

void channel_send(struct channel *c, const struct mig_message *message)
{
	pthread_mutex_lock(&c->lock);
	if (c->out.n < CHANNEL_QUEUE_MAX)
		c->out.item[c->out.n++] = *message;
	else
		c->is_broken = true; /* the writer ends, and with it the reader */
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void channel_close(struct channel *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->is_closing = true;
	c->n_news = 0;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	wake(c->stop_fd);
	wake(c->news_fd);
}
