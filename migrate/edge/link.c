/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "migrate/edge/due.h"
#include "migrate/edge/log.h"

#define LINK_RETRY_MS	 200 /* clusterd is away: it may be back any time, and is local */
#define PACKETS_PER_TURN 16

struct link {
	qb_loop_t *loop;
	struct link_options options;
	struct sockaddr_un address;
	struct due *due;
	int fd; /* -1: not connected */
	struct vm_link_status status;
	bool has_status, is_told, is_refused; /* is_refused: logged once */
};

static int32_t on_socket(int32_t fd, int32_t revents, void *data);

static int send_message(int fd, const struct vm_link_message *m)
{
	uint8_t buf[VM_LINK_MAX];
	size_t len;

	must(!vm_link_encode(m, buf, sizeof(buf), &len));
	return send(fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void drop(struct link *l, const char *why)
{
	log_warning("clusterd: %s -> connect again", why);
	(void)qb_loop_poll_del(l->loop, l->fd);
	close(steal_fd(&l->fd));
	l->is_told = false;
	due_at(l->due, due_now_ms() + LINK_RETRY_MS);
}

/* Tells the last status if this connection has not been told it. */
static void flush(struct link *l)
{
	struct vm_link_message m = {.type = VM_LINK_STATUS, .status = l->status};
	int r;

	if (l->fd < 0 || l->is_told || !l->has_status)
		return;
	r = send_message(l->fd, &m);
	l->is_told = r == 0;
	if (r && r != -EAGAIN) {
		drop(l, strerror(-r));
		return;
	}
	(void)qb_loop_poll_mod(l->loop, QB_LOOP_HIGH, l->fd, r ? POLLIN | POLLOUT : POLLIN, l,
			       on_socket);
}

/* False: the connection is gone. */
static bool receive(struct link *l)
{
	uint8_t buf[VM_LINK_MAX];
	struct vm_link_message m;
	ssize_t n = recv(l->fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);
	int r;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n <= 0) {
		drop(l, n < 0 ? strerror(errno) : "it has closed the connection");
		return false;
	}
	r = (size_t)n > sizeof(buf) ? -EBADMSG : vm_link_decode(buf, (size_t)n, &m);
	if (r || m.type != VM_LINK_STATE) {
		drop(l, r == -EPROTO ? "is of another version" : "does not speak as agreed");
		return false;
	}
	l->options.on_state(l->options.arg, &m.state);
	return l->fd >= 0;
}

static int32_t on_socket(int32_t fd, int32_t revents, void *data)
{
	struct link *l = data;

	(void)fd;
	for (int i = 0; i < PACKETS_PER_TURN && (revents & ~POLLOUT) && receive(l); i++)
		;
	if (l->fd >= 0 && (revents & POLLOUT))
		flush(l);
	return 0;
}

static int dial(struct link *l)
{
	struct vm_link_message m = {.type = VM_LINK_ATTACH, .attach = l->options.attach};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0 || connect(fd, (struct sockaddr *)&l->address, sizeof(l->address)) < 0)
		return -errno;
	r = send_message(fd, &m);
	if (!r)
		r = qb_loop_poll_add(l->loop, QB_LOOP_HIGH, fd, POLLIN, l, on_socket);
	if (!r)
		l->fd = steal_fd(&fd);
	return r;
}

static void on_due(void *arg)
{
	struct link *l = arg;
	int r = dial(l);

	if (r) {
		if (!l->is_refused)
			log_warning("clusterd: %s: %s -> tried again", l->address.sun_path,
				    strerror(-r));
		l->is_refused = true;
		due_at(l->due, due_now_ms() + LINK_RETRY_MS);
		return;
	}
	log_info("clusterd: connected");
	l->is_refused = false;
	flush(l);
}

int link_open(qb_loop_t *loop, const struct link_options *options, struct link **ret)
{
	struct link *l;
	int r;

	if (strlen(options->socket) >= sizeof(l->address.sun_path))
		return -ENAMETOOLONG;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = (struct link){
		.loop = loop, .options = *options, .address = {.sun_family = AF_UNIX}, .fd = -1};
	memcpy(l->address.sun_path, options->socket, strlen(options->socket) + 1);
	r = due_open(loop, on_due, l, &l->due);
	if (r) {
		free(l);
		return r;
	}
	due_at(l->due, due_now_ms());
	*ret = l;
	return 0;
}

void link_tell(struct link *l, const struct vm_link_status *status)
{
	l->status = *status;
	l->has_status = true;
	l->is_told = false;
	flush(l);
}

bool link_is_connected(const struct link *l)
{
	return l->fd >= 0;
}

bool link_is_told(const struct link *l)
{
	return l->is_told;
}

struct link *link_close(struct link *l)
{
	if (!l)
		return NULL;
	if (l->fd >= 0) {
		(void)qb_loop_poll_del(l->loop, l->fd);
		close(l->fd);
	}
	due_close(l->due);
	free(l);
	return NULL;
}
