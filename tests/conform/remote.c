/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/conform/remote.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <qb/qbdefs.h>
#include <qb/qbloop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/must.h"

#define LINE_MAX_BYTES 512
#define PENDING_MAX    64
#define ANSWER_MS      60000
#define HEX_MAX	       (2 * LK_NAME_MAX + 1)

/* ---- lines */

struct lines {
	int fd;
	char buf[64 * LINE_MAX_BYTES];
	size_t len;
};

static void to_hex(char *text, const uint8_t *bytes, size_t len)
{
	text[0] = '-';
	text[1] = 0;
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static size_t from_hex(const char *text, uint8_t *bytes, size_t cap)
{
	size_t n = 0;
	unsigned int v;

	while (n < cap && sscanf(text + 2 * n, "%2x", &v) == 1)
		bytes[n++] = (uint8_t)v;
	return n;
}

static bool line_send(int fd, const char *text)
{
	size_t len = strlen(text);

	return send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Takes a whole line out, without its end. */
static bool line_take(struct lines *l, char *ret, size_t cap)
{
	char *end = memchr(l->buf, '\n', l->len);
	size_t n = end ? (size_t)(end - l->buf) : 0;

	if (!end)
		return false;
	must(n < cap);
	memcpy(ret, l->buf, n);
	ret[n] = 0;
	l->len -= n + 1;
	memmove(l->buf, end + 1, l->len);
	return true;
}

/* False: the other side is gone. */
static bool lines_read(struct lines *l)
{
	ssize_t n = recv(l->fd, l->buf + l->len, sizeof(l->buf) - l->len, 0);

	if (n <= 0)
		return false;
	l->len += (size_t)n;
	return true;
}

/* ---- the driver */

struct remote {
	struct lockspace base;
	struct lockspace_params params;
	struct lines lines;
	struct lockspace_event events[PENDING_MAX];
	uint32_t count;
	int wake_fd;
};

static void event_parse(struct remote *r, const char *text)
{
	struct lockspace_event ev = {0};
	char hex[HEX_MAX];
	int kind, cause, has_lvb, lvb_valid;
	unsigned int mode;
	unsigned long long cookie;
	uint64_t one = 1;

	must(sscanf(text, "e %d %d %d %u %d %d %llu %128s", &kind, &cause, &ev.error, &mode,
		    &has_lvb, &lvb_valid, &cookie, hex) == 8);
	ev.kind = (enum lockspace_event_kind)kind;
	ev.cause = (enum lk_cause)cause;
	ev.mode = (uint8_t)mode;
	ev.has_lvb = has_lvb;
	ev.lvb_valid = lvb_valid;
	ev.cookie = cookie;
	from_hex(hex, ev.lvb, sizeof(ev.lvb));
	must(r->count < PENDING_MAX);
	r->events[r->count++] = ev;
	must(write(r->wake_fd, &one, sizeof(one)) == sizeof(one));
}

static int on_wake(int32_t fd, int32_t revents, void *arg)
{
	struct remote *r = arg;
	struct lockspace_event events[PENDING_MAX];
	uint32_t count = r->count;
	uint64_t wakes;

	(void)revents;
	must(read(fd, &wakes, sizeof(wakes)) == sizeof(wakes));
	memcpy(events, r->events, count * sizeof(events[0]));
	r->count = 0;
	for (uint32_t i = 0; i < count; i++)
		r->params.on_event(r->params.arg, &events[i]);
	return 0;
}

static int on_readable(int32_t fd, int32_t revents, void *arg)
{
	struct remote *r = arg;
	char line[LINE_MAX_BYTES];

	(void)fd;
	(void)revents;
	must(lines_read(&r->lines));
	while (line_take(&r->lines, line, sizeof(line)))
		event_parse(r, line);
	return 0;
}

/* The result of a call; events that come before it are kept. */
static int answer(struct remote *r)
{
	struct pollfd p = {.fd = r->lines.fd, .events = POLLIN};
	char line[LINE_MAX_BYTES];
	bool has_code = false;
	int code = 0;

	for (;;) {
		while (line_take(&r->lines, line, sizeof(line))) {
			if (line[0] != 'r')
				event_parse(r, line);
			else
				has_code = sscanf(line, "r %d", &code) == 1;
		}
		if (has_code) /* and nothing whole is left that no more bytes would wake */
			return code;
		if (poll(&p, 1, ANSWER_MS) != 1 || !lines_read(&r->lines))
			return -ENOTCONN;
	}
}

static int call(struct remote *r, const char *verb, const struct lockspace_request *req)
{
	char line[LINE_MAX_BYTES], name[HEX_MAX], lvb[HEX_MAX];

	to_hex(name, req->name, req->name_len);
	to_hex(lvb, req->lvb, sizeof(req->lvb));
	snprintf(line, sizeof(line), "%s %llu %u %u %s %s\n", verb, (unsigned long long)req->cookie,
		 req->flags, req->mode, name, lvb);
	return line_send(r->lines.fd, line) ? answer(r) : -ENOTCONN;
}

static int remote_lock(struct lockspace *ls, const struct lockspace_request *req)
{
	return call((struct remote *)ls, "lock", req);
}

static int remote_convert(struct lockspace *ls, const struct lockspace_request *req)
{
	return call((struct remote *)ls, "convert", req);
}

static int remote_unlock(struct lockspace *ls, const struct lockspace_request *req)
{
	return call((struct remote *)ls, "unlock", req);
}

static int remote_cancel(struct lockspace *ls, uint64_t cookie)
{
	const struct lockspace_request req = {.cookie = cookie};

	return call((struct remote *)ls, "cancel", &req);
}

static int remote_transfer(struct lockspace *ls, const struct lockspace_request *req,
			   uint64_t to_session)
{
	(void)to_session;
	return call((struct remote *)ls, "transfer", req);
}

static int dial(const char *server)
{
	char host[64];
	unsigned int port;
	struct sockaddr_in sa = {.sin_family = AF_INET};
	int fd, one = 1;

	if (sscanf(server, "%63[0-9.]:%u", host, &port) != 2 ||
	    inet_pton(AF_INET, host, &sa.sin_addr) != 1)
		return -EINVAL;
	sa.sin_port = htons((uint16_t)port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int remote_open(const struct lockspace_params *params, struct lockspace **ret)
{
	const struct lockspace_request none = {0};
	struct remote *r = calloc(1, sizeof(*r));

	must(r);
	r->base.ops = &remote_ops;
	r->params = *params;
	r->lines.fd = dial(params->name);
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(r->lines.fd >= 0 && r->wake_fd >= 0);
	must(qb_loop_poll_add(params->loop, QB_LOOP_MED, r->wake_fd, POLLIN, r, on_wake) == 0);
	must(call(r, "open", &none) == 0);
	must(qb_loop_poll_add(params->loop, QB_LOOP_MED, r->lines.fd, POLLIN, r, on_readable) == 0);
	*ret = &r->base;
	return 0;
}

static void remote_close(struct lockspace *ls)
{
	const struct lockspace_request none = {0};
	struct remote *r = (struct remote *)ls;

	call(r, "close", &none);
	qb_loop_poll_del(r->params.loop, r->lines.fd);
	qb_loop_poll_del(r->params.loop, r->wake_fd);
	close(r->lines.fd);
	close(r->wake_fd);
	free(r);
}

const struct lockspace_ops remote_ops = {
	.name = "remote",
	.open = remote_open,
	.close = remote_close,
	.lock = remote_lock,
	.convert = remote_convert,
	.unlock = remote_unlock,
	.cancel = remote_cancel,
	.transfer = remote_transfer,
};

int remote_release(const char *server)
{
	const struct lockspace_request none = {0};
	struct remote *r = calloc(1, sizeof(*r));
	int code;

	must(r);
	r->lines.fd = dial(server);
	code = r->lines.fd < 0 ? r->lines.fd : call(r, "release", &none);
	if (r->lines.fd >= 0)
		close(r->lines.fd);
	free(r);
	return code;
}

/* ---- the server */

struct server {
	qb_loop_t *loop;
	const struct lockspace_ops *ops;
	const char *name;
	int (*release)(const char *name);
};

struct connection {
	const struct server *server;
	struct lines lines;
	struct lockspace *ls;
};

static void served_event(void *arg, const struct lockspace_event *ev)
{
	struct connection *c = arg;
	char line[LINE_MAX_BYTES], lvb[HEX_MAX];

	to_hex(lvb, ev->lvb, sizeof(ev->lvb));
	snprintf(line, sizeof(line), "e %d %d %d %u %d %d %llu %s\n", (int)ev->kind, (int)ev->cause,
		 ev->error, ev->mode, ev->has_lvb, ev->lvb_valid, (unsigned long long)ev->cookie,
		 lvb);
	line_send(c->lines.fd, line);
}

static int served_open(struct connection *c)
{
	const struct lockspace_params params = {.name = c->server->name,
						.session = 1,
						.loop = c->server->loop,
						.on_event = served_event,
						.arg = c};

	return c->server->ops->open(&params, &c->ls);
}

static int served_call(struct connection *c, const char *line)
{
	struct lockspace_request req = {0};
	char verb[16], name[HEX_MAX], lvb[HEX_MAX];
	unsigned long long cookie;
	unsigned int mode;

	must(sscanf(line, "%15s %llu %u %u %128s %128s", verb, &cookie, &req.flags, &mode, name,
		    lvb) == 6);
	req.cookie = cookie;
	req.mode = (uint8_t)mode;
	req.name_len = (uint8_t)from_hex(name, req.name, sizeof(req.name));
	from_hex(lvb, req.lvb, sizeof(req.lvb));
	if (strcmp(verb, "open") == 0)
		return served_open(c);
	if (strcmp(verb, "release") == 0)
		return c->server->release(c->server->name);
	if (strcmp(verb, "close") == 0) {
		c->ls = lockspace_close(c->ls);
		return 0;
	}
	if (strcmp(verb, "lock") == 0)
		return lockspace_lock(c->ls, &req);
	if (strcmp(verb, "convert") == 0)
		return lockspace_convert(c->ls, &req);
	if (strcmp(verb, "unlock") == 0)
		return lockspace_unlock(c->ls, &req);
	if (strcmp(verb, "cancel") == 0)
		return lockspace_cancel(c->ls, req.cookie);
	return lockspace_transfer(c->ls, &req, 2);
}

static int on_request(int32_t fd, int32_t revents, void *arg)
{
	struct connection *c = arg;
	char line[LINE_MAX_BYTES], text[32];

	(void)revents;
	if (!lines_read(&c->lines)) {
		lockspace_close(c->ls);
		qb_loop_poll_del(c->server->loop, fd);
		close(fd);
		free(c);
		return 0;
	}
	while (line_take(&c->lines, line, sizeof(line))) {
		snprintf(text, sizeof(text), "r %d\n", served_call(c, line));
		line_send(fd, text);
	}
	return 0;
}

static int on_connection(int32_t fd, int32_t revents, void *arg)
{
	const struct server *s = arg;
	struct connection *c = calloc(1, sizeof(*c));
	int one = 1;

	(void)revents;
	must(c);
	c->server = s;
	c->lines.fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	must(c->lines.fd >= 0);
	setsockopt(c->lines.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	must(qb_loop_poll_add(s->loop, QB_LOOP_MED, c->lines.fd, POLLIN, c, on_request) == 0);
	return 0;
}

int remote_serve(const struct lockspace_ops *ops, const char *name, uint16_t port,
		 int (*release)(const char *name))
{
	static struct server s;
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	s = (struct server){.loop = qb_loop_create(), .ops = ops, .name = name, .release = release};
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 8) < 0)
		return -errno;
	must(qb_loop_poll_add(s.loop, QB_LOOP_MED, fd, POLLIN, &s, on_connection) == 0);
	printf("serving %s\n", name);
	fflush(stdout);
	qb_loop_run(s.loop);
	return 0;
}
