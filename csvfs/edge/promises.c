/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/promises.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lib/must.h"

struct promises {
	promises_tell tell;
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t looked; /* CLOCK_MONOTONIC; who waits looks again */
	struct promise_state state;
};

/* Of a machine that sleeps the time goes on, as that of its mounts does. */
static uint64_t now_ms(void)
{
	struct timespec t;

	must(!clock_gettime(CLOCK_BOOTTIME, &t));
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int promises_open(promises_tell how, void *arg, struct promises **ret)
{
	struct promises *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (!p)
		return -ENOMEM;
	p->tell = how;
	p->arg = arg;
	must(!pthread_mutex_init(&p->lock, NULL));
	must(!pthread_condattr_init(&attr));
	must(!pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must(!pthread_cond_init(&p->looked, &attr));
	pthread_condattr_destroy(&attr);
	promise_init(&p->state);
	*ret = p;
	return 0;
}

void promises_close(struct promises *p)
{
	if (!p)
		return;
	pthread_cond_destroy(&p->looked);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* With the lock held. */
static int step(struct promises *p, const struct promise_event *e, struct promise_actions *out)
{
	struct promise_event now = *e;
	int r;

	now.now_ms = now_ms();
	r = promise_step(&p->state, &now, out);
	for (size_t i = 0; i < out->count; i++) {
		if (out->item[i].kind == PROMISE_DO_LOOK)
			pthread_cond_broadcast(&p->looked);
	}
	return r;
}

int promises_event(struct promises *p, const struct promise_event *e, struct promise_actions *ret)
{
	int r;

	pthread_mutex_lock(&p->lock);
	r = step(p, e, ret);
	pthread_mutex_unlock(&p->lock);
	return r;
}

static void tell(struct promises *p, const struct promise_actions *out)
{
	for (size_t i = 0; i < out->count; i++) {
		if (out->item[i].kind == PROMISE_DO_BREAK || out->item[i].kind == PROMISE_DO_OVER)
			p->tell(p->arg, &out->item[i]);
	}
}

/* True: the last thing that it has led to is that a promise is made. */
static bool event_of_worker(struct promises *p, const struct promise_event *e)
{
	struct promise_actions out;

	promises_event(p, e, &out);
	tell(p, &out);
	return out.count && out.item[out.count - 1].kind == PROMISE_DO_GIVEN;
}

bool promises_give(struct promises *p, uint64_t mount, const struct csv_handle *h)
{
	return event_of_worker(
		p, &(struct promise_event){.type = PROMISE_EV_GIVE, .mount = mount, .handle = *h});
}

void promises_break(struct promises *p, uint64_t mount, const struct csv_handle *h)
{
	event_of_worker(
		p, &(struct promise_event){.type = PROMISE_EV_BREAK, .mount = mount, .handle = *h});
}

static void wait_ms(struct promises *p, uint64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&p->looked, &p->lock, &t);
}

void promises_collect(struct promises *p, uint64_t mount, const struct csv_handle *h)
{
	struct promise_actions out;
	uint64_t over, now;

	pthread_mutex_lock(&p->lock);
	while ((over = promise_over_ms(&p->state, h, mount))) {
		now = now_ms();
		if (over > now) {
			wait_ms(p, over - now);
			continue;
		}
		step(p, &(struct promise_event){.type = PROMISE_EV_TIME}, &out);
		pthread_mutex_unlock(&p->lock);
		tell(p, &out);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
}
