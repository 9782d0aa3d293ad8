/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/local.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clusterd/edge/log.h"
#include "lib/cleanup.h"
#include "lib/listen.h"
#include "lib/must.h"

struct local {
	qb_loop_t *loop;
	struct local_calls calls;
	void *arg;
	char path[LISTEN_PATH_MAX + 1];
	int fd;
	size_t count;
	struct local_conn *conns;
};

void local_drop(struct local_conn *c)
{
	if (c->is_gone)
		return;
	c->is_gone = true;
	qb_loop_poll_del(c->local->loop, c->fd);
	close(c->fd);
	c->fd = -1;
	c->local->calls.closed(c->local->arg, c);
}

void local_reap(struct local *l)
{
	for (struct local_conn **link = &l->conns; *link;) {
		struct local_conn *c = *link;

		if (!c->is_gone) {
			link = &c->next;
			continue;
		}
		*link = c->next;
		l->count--;
		free(c);
	}
}

struct local_conn *local_first(const struct local *l)
{
	return l->conns;
}

static int on_conn(int32_t fd, int32_t revents, void *arg)
{
	struct local_conn *c = arg;
	struct local *l = c->local;
	uint8_t buf[LOCAL_PACKET_MAX];

	(void)revents;
	for (int i = 0; i < LOCAL_PACKETS_PER_TURN && !c->is_gone; i++) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n > 0 && n <= LOCAL_PACKET_MAX && l->calls.packet(l->arg, c, buf, (size_t)n))
			continue;
		if (n > 0)
			log_warning("%s: process %d does not speak as agreed -> disconnected",
				    l->path, c->pid);
		local_drop(c);
	}
	l->calls.changed(l->arg);
	local_reap(l); /* may free c */
	return 0;
}

static bool is_root(int fd, pid_t *ret_pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.uid != 0)
		return false;
	*ret_pid = cred.pid;
	return true;
}

static int on_listener(int32_t listener, int32_t revents, void *arg)
{
	struct local *l = arg;
	struct local_conn *c;
	pid_t pid = 0;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)revents;
	if (fd < 0)
		return 0;
	if (l->count == LOCAL_CONNS_MAX || !is_root(fd, &pid)) {
		close(fd);
		return 0;
	}
	c = calloc(1, sizeof(*c));
	must(c);
	c->local = l;
	c->fd = fd;
	c->pid = pid;
	c->next = l->conns;
	l->conns = c;
	l->count++;
	qb_loop_poll_add(l->loop, QB_LOOP_HIGH, fd, POLLIN, c, on_conn);
	return 0;
}

bool local_send(struct local_conn *c, const void *data, size_t len)
{
	if (c->is_gone)
		return false;
	if (send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return true;
	if (errno != EAGAIN)
		local_drop(c);
	return false;
}

int local_open(qb_loop_t *loop, const char *path, const struct local_calls *calls, void *arg,
	       struct local **ret, char *text, size_t size)
{
	_cleanup_close_ int fd = listen_unix(path, SOCK_SEQPACKET, 0600, LOCAL_CONNS_MAX);
	struct local *l;

	if (fd < 0) {
		snprintf(text, size, "cannot listen at %s: %s", path, strerror(-fd));
		return fd;
	}
	l = calloc(1, sizeof(*l));
	must(l);
	l->loop = loop;
	l->calls = *calls;
	l->arg = arg;
	memcpy(l->path, path, strlen(path) + 1);
	l->fd = steal_fd(&fd);
	qb_loop_poll_add(loop, QB_LOOP_MED, l->fd, POLLIN, l, on_listener);
	*ret = l;
	return 0;
}

void local_close(struct local *l)
{
	if (!l)
		return;
	for (struct local_conn *c = l->conns; c; c = c->next)
		local_drop(c);
	local_reap(l);
	qb_loop_poll_del(l->loop, l->fd);
	close(l->fd);
	unlink(l->path);
	free(l);
}
