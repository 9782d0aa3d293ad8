/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "migrate/edge/due.h"

struct client {
	struct control *control;
	int fd; /* -1: free */
	uint64_t due_ms;
	json_t *request; /* NULL: has not come in full */
	bool is_asking;	 /* what it asks for may change things, and so ask again */
	size_t len;
	char line[CONTROL_LINE_MAX];
};

struct control {
	qb_loop_t *loop;
	int fd;
	control_fn fn;
	void *arg;
	struct due *due;
	struct client client[CONTROL_CLIENTS];
};

static void arm(struct control *c)
{
	uint64_t first = DUE_NEVER;

	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		if (c->client[i].fd >= 0 && c->client[i].due_ms < first)
			first = c->client[i].due_ms;
	}
	due_at(c->due, first);
}

static void drop(struct client *l)
{
	(void)qb_loop_poll_del(l->control->loop, l->fd);
	close(l->fd);
	json_decref(l->request);
	*l = (struct client){.control = l->control, .fd = -1};
}

/* An answer is far smaller than what a fresh socket takes. */
static void reply(struct client *l, const json_t *answer)
{
	_cleanup_free_ char *text = json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII);
	struct iovec v[] = {{.iov_base = text, .iov_len = text ? strlen(text) : 0},
			    {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};

	if (text)
		(void)sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	drop(l);
}

static void ask(struct client *l, bool is_late, uint64_t *ret_wait_ms)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;

	if (l->is_asking)
		return;
	l->is_asking = true;
	answer = l->control->fn(l->control->arg, l->request, is_late, ret_wait_ms);
	l->is_asking = false;
	if (answer)
		reply(l, answer);
	else if (is_late)
		drop(l);
}

static void take_line(struct client *l)
{
	uint64_t wait_ms = 0;
	json_error_t e;

	l->request = json_loadb(l->line, l->len, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(l->request)) {
		_cleanup_(json_decrefp) json_t *answer = json_pack(
			"{s:b, s:s}", "ok", 0, "text", "the request is no JSON object on one line");

		reply(l, answer);
		return;
	}
	ask(l, false, &wait_ms);
	if (l->fd >= 0)
		l->due_ms = due_now_ms() + wait_ms;
}

static int32_t on_client(int32_t fd, int32_t revents, void *data)
{
	struct client *l = data;
	struct control *c = l->control;
	ssize_t n = recv(fd, l->line + l->len, sizeof(l->line) - l->len, MSG_DONTWAIT);
	char *nl;

	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* It is gone; or it says more than a request. */
	if (n <= 0 || l->request) {
		drop(l);
		arm(c);
		return 0;
	}
	nl = memchr(l->line + l->len, '\n', (size_t)n);
	l->len += (size_t)n;
	if (nl) {
		l->len = (size_t)(nl - l->line);
		take_line(l);
	} else if (l->len == sizeof(l->line)) {
		drop(l);
	}
	arm(c);
	return 0;
}

static int32_t on_listener(int32_t listener, int32_t revents, void *data)
{
	struct control *c = data;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)revents;
	for (size_t i = 0; fd >= 0 && i < CONTROL_CLIENTS; i++) {
		struct client *l = &c->client[i];

		if (l->fd >= 0)
			continue;
		if (qb_loop_poll_add(c->loop, QB_LOOP_LOW, fd, POLLIN, l, on_client) < 0)
			break;
		l->fd = fd;
		l->due_ms = due_now_ms() + CONTROL_REQUEST_MS;
		arm(c);
		return 0;
	}
	if (fd >= 0)
		close(fd); /* too many: the client sees an end without an answer */
	return 0;
}

static void on_due(void *arg)
{
	struct control *c = arg;
	uint64_t now_ms = due_now_ms(), unused;

	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *l = &c->client[i];

		if (l->fd < 0 || l->due_ms > now_ms)
			continue;
		if (l->request)
			ask(l, true, &unused);
		else
			drop(l);
	}
	arm(c);
}

void control_changed(struct control *c)
{
	uint64_t unused;

	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		if (c->client[i].fd >= 0 && c->client[i].request)
			ask(&c->client[i], false, &unused);
	}
	arm(c);
}

int control_open(qb_loop_t *loop, int fd, control_fn fn, void *arg, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	*c = (struct control){.loop = loop, .fd = fd, .fn = fn, .arg = arg};
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		c->client[i] = (struct client){.control = c, .fd = -1};
	r = due_open(loop, on_due, c, &c->due);
	if (!r)
		r = qb_loop_poll_add(loop, QB_LOOP_LOW, fd, POLLIN, c, on_listener);
	if (r) {
		control_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct control *control_close(struct control *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		if (c->client[i].fd >= 0)
			drop(&c->client[i]);
	}
	(void)qb_loop_poll_del(c->loop, c->fd);
	close(c->fd);
	due_close(c->due);
	free(c);
	return NULL;
}
