/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/due.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/must.h"

struct due {
	qb_loop_t *loop;
	int fd;
	void (*fn)(void *arg);
	void *arg;
};

uint64_t due_now_ms(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_BOOTTIME, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int32_t on_timer(int32_t fd, int32_t revents, void *data)
{
	struct due *d = data;
	uint64_t expirations;

	(void)revents;
	if (read(fd, &expirations, sizeof(expirations)) < 0)
		return 0; /* EAGAIN: it was set anew after it had expired */
	d->fn(d->arg);
	return 0;
}

int due_open(qb_loop_t *loop, void (*fn)(void *arg), void *arg, struct due **ret)
{
	struct due *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	*d = (struct due){.loop = loop, .fn = fn, .arg = arg};
	d->fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (d->fd < 0) {
		r = -errno;
		free(d);
		return r;
	}
	r = qb_loop_poll_add(loop, QB_LOOP_HIGH, d->fd, POLLIN, d, on_timer);
	if (r < 0) {
		close(d->fd);
		free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void due_at(struct due *d, uint64_t at_ms)
{
	struct itimerspec t = {0};

	if (at_ms != DUE_NEVER) {
		t.it_value.tv_sec = (time_t)(at_ms / 1000);
		t.it_value.tv_nsec = (long)(at_ms % 1000) * 1000000;
		if (at_ms == 0)
			t.it_value.tv_nsec = 1; /* 0 would disarm it */
	}
	must(timerfd_settime(d->fd, TFD_TIMER_ABSTIME, &t, NULL) == 0);
}

struct due *due_close(struct due *d)
{
	if (!d)
		return NULL;
	(void)qb_loop_poll_del(d->loop, d->fd);
	close(d->fd);
	free(d);
	return NULL;
}
