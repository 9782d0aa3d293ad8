/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/link.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"

#define LINK_RETRY_MS 200 /* clusterd is away: it may be back any time, and is local */
#define LINK_SEND_S   1	  /* one that takes nothing for so long, stopped perhaps, holds nobody up */

struct link {
	struct link_options options;
	char path[108];
	pthread_t thread;
	int wake; /* eventfd */
	pthread_mutex_t lock;
	pthread_cond_t told;
	struct csv_link_status status;
	bool has_status, is_ending;
	uint64_t version, told_version; /* of the status */
};

static int dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = LINK_SEND_S};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	/* It bounds connect(2) as well. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	memcpy(a.sun_path, path, strlen(path) + 1); /* link_open() has measured it */
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	return steal_fd(&fd);
}

static int send_message(int fd, const struct csv_link_message *m)
{
	uint8_t buf[CSV_LINK_MAX];
	size_t len;

	must(!csv_link_encode(m, buf, sizeof(buf), &len));
	return send(fd, buf, len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Sends the status if it is newer than what this connection has been told. */
static int flush_status(struct link *l, int fd)
{
	struct csv_link_message m = {.type = CSV_LINK_STATUS};
	uint64_t version;
	int r;

	pthread_mutex_lock(&l->lock);
	version = l->version;
	m.status = l->status;
	r = l->has_status && l->told_version != version;
	pthread_mutex_unlock(&l->lock);
	if (!r)
		return 0;
	r = send_message(fd, &m);
	if (r)
		return r;
	pthread_mutex_lock(&l->lock);
	l->told_version = version;
	pthread_cond_broadcast(&l->told);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

static bool ends(struct link *l)
{
	bool r;

	pthread_mutex_lock(&l->lock);
	r = l->is_ending;
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* One packet of clusterd. Negative: the connection is of no more use. */
static int receive(struct link *l, int fd)
{
	uint8_t buf[CSV_LINK_MAX];
	struct csv_link_message m;
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_TRUNC);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (!n)
		return -EPIPE;
	if ((size_t)n > sizeof(buf) || csv_link_decode(buf, (size_t)n, &m) ||
	    m.type != CSV_LINK_STATE)
		return -EPROTO;
	l->options.on_state(l->options.arg, &m.state);
	return 0;
}

static void drain_wake(struct link *l)
{
	uint64_t n;

	while (read(l->wake, &n, sizeof(n)) < 0 && errno == EINTR)
		;
}

/* Talks on one connection until it breaks or the link ends. */
static void converse(struct link *l, int fd)
{
	struct csv_link_message m = {.type = CSV_LINK_ATTACH, .attach = l->options.attach};

	pthread_mutex_lock(&l->lock);
	l->told_version = 0;
	pthread_mutex_unlock(&l->lock);
	if (send_message(fd, &m))
		return;
	while (!ends(l)) {
		struct pollfd p[] = {{.fd = fd, .events = POLLIN},
				     {.fd = l->wake, .events = POLLIN}};

		if (flush_status(l, fd) || (poll(p, 2, -1) < 0 && errno != EINTR))
			return;
		if (p[1].revents)
			drain_wake(l);
		if (p[0].revents && receive(l, fd))
			return;
	}
	flush_status(l, fd);
}

static void *run(void *arg)
{
	struct link *l = arg;

	while (!ends(l)) {
		struct pollfd p = {.fd = l->wake, .events = POLLIN};
		_cleanup_close_ int fd = dial(l->path);

		if (fd >= 0)
			converse(l, fd);
		/* Also after one that was closed at once: nothing says that the next is not. */
		if (!ends(l) && poll(&p, 1, LINK_RETRY_MS) > 0)
			drain_wake(l);
	}
	return NULL;
}

static void wake(struct link *l)
{
	uint64_t one = 1;

	while (write(l->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

int link_open(const struct link_options *options, struct link **ret)
{
	struct link *l;
	pthread_condattr_t attr;
	int r;

	if (strlen(options->socket) >= sizeof(l->path))
		return -ENAMETOOLONG;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->options = *options;
	memcpy(l->path, options->socket, strlen(options->socket) + 1);
	l->version = 1;
	l->wake = eventfd(0, EFD_CLOEXEC);
	if (l->wake < 0) {
		r = -errno;
		free(l);
		return r;
	}
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->told, &attr);
	pthread_condattr_destroy(&attr);
	r = -pthread_create(&l->thread, NULL, run, l);
	if (r) {
		close(l->wake);
		free(l);
		return r;
	}
	*ret = l;
	return 0;
}

void link_tell(struct link *l, const struct csv_link_status *status)
{
	pthread_mutex_lock(&l->lock);
	l->status = *status;
	l->has_status = true;
	l->version++;
	pthread_mutex_unlock(&l->lock);
	wake(l);
}

void link_close(struct link *l, unsigned int timeout_ms)
{
	struct timespec until;

	if (!l)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&l->lock);
	while (l->has_status && l->told_version != l->version &&
	       pthread_cond_timedwait(&l->told, &l->lock, &until) == 0)
		;
	l->is_ending = true;
	pthread_mutex_unlock(&l->lock);
	wake(l);
	pthread_join(l->thread, NULL);
	pthread_cond_destroy(&l->told);
	pthread_mutex_destroy(&l->lock);
	close(l->wake);
	free(l);
}
