/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/promises.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "csvfs/edge/clock.h"
#include "lib/must.h"

struct promises {
	promises_tell tell;
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t looked; /* CLOCK_MONOTONIC; who waits looks again */
	struct promise_state state;
};

int promises_open(promises_tell how, void *arg, struct promises **ret)
{
	struct promises *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->tell = how;
	p->arg = arg;
	must(!pthread_mutex_init(&p->lock, NULL));
	csv_cond_init(&p->looked);
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

	now.now_ms = csv_now_ms();
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

void promises_collect(struct promises *p, uint64_t mount, const struct csv_handle *h)
{
	struct promise_actions out;
	uint64_t over, now;

	pthread_mutex_lock(&p->lock);
	while ((over = promise_over_ms(&p->state, h, mount))) {
		now = csv_now_ms();
		if (over > now) {
			csv_cond_wait_ms(&p->looked, &p->lock, over - now);
			continue;
		}
		step(p, &(struct promise_event){.type = PROMISE_EV_TIME}, &out);
		pthread_mutex_unlock(&p->lock);
		tell(p, &out);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
}
