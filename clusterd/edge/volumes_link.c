/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket on which the csvfsds of this node attach. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clusterd/edge/log.h"
#include "clusterd/edge/volumes_impl.h"
#include "lib/cleanup.h"
#include "lib/must.h"

static void drop(struct volumes_client *c)
{
	if (c->is_gone)
		return;
	c->is_gone = true;
	qb_loop_poll_del(c->volumes->engine->loop, c->fd);
	close(c->fd);
	c->fd = -1;
}

void volumes_reap_clients(struct volumes *v)
{
	for (struct volumes_client **link = &v->clients; *link;) {
		struct volumes_client *c = *link;

		if (!c->is_gone) {
			link = &c->next;
			continue;
		}
		*link = c->next;
		v->client_count--;
		free(c);
	}
}

struct volumes_client *volumes_client_find(const struct volumes *v, const uint8_t *uuid,
					   enum csv_link_role role)
{
	for (struct volumes_client *c = v->clients; c; c = c->next) {
		if (!c->is_gone && c->is_attached && c->who.role == role &&
		    !memcmp(c->who.volume, uuid, CSV_LINK_UUID))
			return c;
	}
	return NULL;
}

static void take_message(struct volumes_client *c, const struct csv_link_message *m)
{
	if (m->type == CSV_LINK_ATTACH && !c->is_attached) {
		struct volumes_client *other =
			volumes_client_find(c->volumes, m->attach.volume, m->attach.role);

		if (other)
			drop(other); /* there is one process for each role: this is its new line */
		c->is_attached = true;
		c->who = m->attach;
	} else if (m->type == CSV_LINK_STATUS && c->is_attached) {
		c->status = m->status;
	} else {
		log_warning("csvfsd %d does not speak as agreed -> disconnected", c->pid);
		drop(c);
	}
}

static int on_client(int32_t fd, int32_t revents, void *arg)
{
	struct volumes_client *c = arg;
	struct volumes *v = c->volumes;
	uint8_t buf[CSV_LINK_MAX];
	struct csv_link_message m;
	ssize_t n;

	(void)revents;
	while (!c->is_gone) {
		int r;

		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			drop(c);
			break;
		}
		r = csv_link_decode(buf, (size_t)n, &m);
		if (r) {
			log_warning("csvfsd %d: %s -> disconnected", c->pid,
				    r == -EPROTO ? "is of another version" : "sends garbage");
			drop(c);
			break;
		}
		take_message(c, &m);
	}
	volumes_changed(v); /* may free c */
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
	struct volumes *v = arg;
	struct volumes_client *c;
	pid_t pid = 0;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)revents;
	if (fd < 0)
		return 0;
	if (v->client_count == VOLUMES_CLIENTS || !is_root(fd, &pid)) {
		close(fd);
		return 0;
	}
	c = calloc(1, sizeof(*c));
	must(c);
	c->volumes = v;
	c->fd = fd;
	c->pid = pid;
	c->next = v->clients;
	v->clients = c;
	v->client_count++;
	qb_loop_poll_add(v->engine->loop, QB_LOOP_HIGH, fd, POLLIN, c, on_client);
	return 0;
}

static bool is_same(const struct csv_link_message *a, const struct csv_link_message *b)
{
	uint8_t x[CSV_LINK_MAX], y[CSV_LINK_MAX];
	size_t nx, ny;

	must(!csv_link_encode(a, x, sizeof(x), &nx) && !csv_link_encode(b, y, sizeof(y), &ny));
	return nx == ny && !memcmp(x, y, nx);
}

void volumes_client_tell(struct volumes_client *c, const struct csv_link_state *state)
{
	struct csv_link_message m = {.type = CSV_LINK_STATE, .state = *state};
	struct csv_link_message told = {.type = CSV_LINK_STATE, .state = c->told};
	uint8_t buf[CSV_LINK_MAX];
	size_t len;

	if (c->is_gone || (c->has_told && is_same(&m, &told)))
		return;
	must(!csv_link_encode(&m, buf, sizeof(buf), &len));
	if (send(c->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno != EAGAIN)
			drop(c);
		return; /* it is slow: the next look tells it again */
	}
	c->told = *state;
	c->has_told = true;
}

int volumes_listen(struct volumes *v, char *text, size_t size)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(a.sun_path, v->socket, sizeof(v->socket));
	unlink(v->socket);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    chmod(v->socket, 0600) < 0 || listen(fd, VOLUMES_CLIENTS) < 0) {
		snprintf(text, size, "cannot listen at %s: %s", v->socket, strerror(errno));
		return -errno;
	}
	v->listener = steal_fd(&fd);
	return qb_loop_poll_add(v->engine->loop, QB_LOOP_MED, v->listener, POLLIN, v, on_listener);
}

void volumes_unlisten(struct volumes *v)
{
	for (struct volumes_client *c = v->clients; c; c = c->next)
		drop(c);
	volumes_reap_clients(v);
	if (v->listener >= 0) {
		qb_loop_poll_del(v->engine->loop, v->listener);
		close(v->listener);
		unlink(v->socket);
	}
	v->listener = -1;
}
