/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/mount_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "csvfs/edge/clock.h"
#include "lib/must.h"

struct mount_cache {
	pthread_mutex_t lock;
	uint64_t hits;
	struct cache core;
};

struct mount_cache *mount_cache_new(void)
{
	struct mount_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	must(!pthread_mutex_init(&c->lock, NULL));
	cache_init(&c->core);
	return c;
}

void mount_cache_free(struct mount_cache *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void mount_cache_ask(struct mount_cache *c, struct csv_request *q, struct cache_note *note)
{
	*note = (struct cache_note){0};
	q->child[0] = q->child[1] = (struct csv_handle){0};
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	cache_ask(&c->core, q, note);
	pthread_mutex_unlock(&c->lock);
}

void mount_cache_answered(struct mount_cache *c, struct cache_note *note)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	cache_answered(&c->core, note);
	pthread_mutex_unlock(&c->lock);
}

void mount_cache_keep(struct mount_cache *c, const struct csv_request *q, const struct csv_reply *p,
		      const struct cache_note *note)
{
	if (!c || !p->promised)
		return;
	pthread_mutex_lock(&c->lock);
	cache_keep(&c->core, q, p, note, csv_now_ms());
	pthread_mutex_unlock(&c->lock);
}

void mount_cache_forget(struct mount_cache *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	cache_forget(&c->core);
	pthread_mutex_unlock(&c->lock);
}

void mount_cache_break(struct mount_cache *c, const struct csv_handle *h)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	cache_break(&c->core, h);
	pthread_mutex_unlock(&c->lock);
}

void mount_cache_renewed(struct mount_cache *c, uint64_t sent_ms)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	cache_renewed(&c->core, sent_ms, csv_now_ms());
	pthread_mutex_unlock(&c->lock);
}

bool mount_cache_attr(struct mount_cache *c, const struct csv_handle *h, struct csv_attr *ret)
{
	bool r;

	if (!c)
		return false;
	pthread_mutex_lock(&c->lock);
	r = cache_attr(&c->core, h, csv_now_ms(), ret);
	c->hits += r;
	pthread_mutex_unlock(&c->lock);
	return r;
}

bool mount_cache_lookup(struct mount_cache *c, const struct csv_handle *dir, const char *name,
			struct csv_handle *ret_child, struct csv_attr *ret_attr)
{
	bool r;

	if (!c)
		return false;
	pthread_mutex_lock(&c->lock);
	r = cache_lookup(&c->core, dir, name, csv_now_ms(), ret_child, ret_attr);
	c->hits += r;
	pthread_mutex_unlock(&c->lock);
	return r;
}

bool mount_cache_lacks(struct mount_cache *c, const struct csv_handle *h, const char *name)
{
	bool r;

	if (!c)
		return false;
	pthread_mutex_lock(&c->lock);
	r = cache_lacks(&c->core, h, name, csv_now_ms());
	c->hits += r;
	pthread_mutex_unlock(&c->lock);
	return r;
}

bool mount_cache_read(struct mount_cache *c, const struct csv_handle *h, uint64_t offset,
		      size_t size, void *buf, size_t *ret_len)
{
	int64_t atime = 0;
	bool r;

	if (!c)
		return false;
	pthread_mutex_lock(&c->lock);
	r = cache_read(&c->core, h, offset, size, csv_now_ms(), buf, ret_len, &atime);
	r = r && time(NULL) - atime < PROMISE_ATIME_S;
	c->hits += r;
	pthread_mutex_unlock(&c->lock);
	return r;
}

uint64_t mount_cache_hits(struct mount_cache *c)
{
	uint64_t r;

	if (!c)
		return 0;
	pthread_mutex_lock(&c->lock);
	r = c->hits;
	pthread_mutex_unlock(&c->lock);
	return r;
}
