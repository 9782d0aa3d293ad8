/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second walk of a path.
 *
 * A call that names a file is several requests: LOOKUPs, then what is to be done. A local inode
 * that has been looked up lives until the call ends. Ours may be removed in between by another
 * node; then the coordinator says ESTALE, and the kernel walks the path once more (retry_estale()
 * and do_filp_open() in fs/namei.c), and no third time: ESTALE would be what the program gets.
 *
 * So on that second walk each inode that is looked up is kept, as one that is open (O_PATH), until
 * the call has ended, and nothing goes away under it any more. What is not looked up is where the
 * walk begins, a current directory for example: if that is gone ESTALE comes again, and is ENOENT.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "csvfs/edge/clock.h"
#include "csvfs/edge/fuse_impl.h"
#include "lib/must.h"

#define WALK_MS	  1000 /* a call whose end has not been seen is over */
#define LOOKS_MAX 100  /* until what a name stands for could be kept */

/* NULL: that thread is on no second walk. Under the lock. */
static struct stale_walk *walk_of(struct stale *s, pid_t thread)
{
	for (size_t i = 0; i < STALE_WALKS; i++) {
		struct stale_walk *w = &s->walk[i];

		if (w->thread == thread && thread && !w->is_over)
			return w;
	}
	return NULL;
}

static void end_walk(struct stale *s, struct stale_walk *w)
{
	w->is_over = true;
	pthread_cond_signal(&s->changed);
}

/* One that nobody is on; NULL if there is none. */
static struct stale_walk *free_walk(struct stale *s)
{
	for (size_t i = 0; i < STALE_WALKS; i++) {
		if (!s->walk[i].thread)
			return &s->walk[i];
	}
	return NULL;
}

bool stale_is_again(struct call *c)
{
	struct stale *s = &c->fs->stale;
	bool r;

	if (!atomic_load(&s->walks))
		return false;
	pthread_mutex_lock(&s->lock);
	r = walk_of(s, c->pid) != NULL;
	pthread_mutex_unlock(&s->lock);
	return r;
}

int stale_error(struct call *c)
{
	struct stale *s = &c->fs->stale;
	struct stale_walk *w;
	int e = ESTALE;

	pthread_mutex_lock(&s->lock);
	w = walk_of(s, c->pid);
	if (w) {
		end_walk(s, w);
		e = ENOENT;
	} else if (c->pid && (w = free_walk(s))) {
		*w = (struct stale_walk){.thread = c->pid,
					 .until_ms = csv_monotonic_ms() + WALK_MS};
		atomic_fetch_add(&s->walks, 1);
		pthread_cond_signal(&s->changed);
		c->walks_again = true;
	}
	pthread_mutex_unlock(&s->lock);
	return e;
}

void stale_over(struct call *c)
{
	struct stale *s = &c->fs->stale;
	struct stale_walk *w;

	if (!atomic_load(&s->walks) || c->walks_again)
		return;
	/* What a walk consists of. */
	if (c->q.op == CSV_OP_LOOKUP || c->q.op == CSV_OP_GETATTR || c->q.op == CSV_OP_GETXATTR ||
	    c->q.op == CSV_OP_READLINK)
		return;
	pthread_mutex_lock(&s->lock);
	w = walk_of(s, c->pid);
	if (w)
		end_walk(s, w);
	pthread_mutex_unlock(&s->lock);
}

static void release(struct csv_fs *fs, const struct csv_handle *h, struct client_interrupt *i)
{
	struct csv_request q = {.op = CSV_OP_RELEASE, .release.handle = *h};
	struct csv_reply p;

	client_call(fs->options.client, &q, &p, NULL, 0, i);
}

/* It is open: noted, or given back. */
static void note(struct call *c, const struct csv_handle *h)
{
	struct stale *s = &c->fs->stale;
	struct csv_handle old = *h;
	struct stale_walk *w;

	pthread_mutex_lock(&s->lock);
	w = walk_of(s, c->pid);
	if (w) {
		/* Of a deep path the last ones: the nearer the end, the sooner they are needed. */
		old = w->kept[w->count % STALE_KEPT];
		w->kept[w->count % STALE_KEPT] = *h;
		w->count++;
	}
	pthread_mutex_unlock(&s->lock);
	if (old.ino)
		release(c->fs, &old, NULL);
}

int stale_keep(struct call *c)
{
	struct csv_request q = {.op = CSV_OP_OPEN, .caller = c->q.caller, .open.flags = O_PATH};
	struct csv_reply p;
	int e = ESTALE;

	for (size_t i = 0; i < LOOKS_MAX && (e == ESTALE || e == ENOENT); i++) {
		q.open.handle = c->p.entry.handle;
		e = -client_call(c->fs->options.client, &q, &p, NULL, 0, &c->interrupt);
		e = e ? e : p.error;
		if (!e) {
			note(c, &q.open.handle);
			return 0;
		}
		if (e == ESTALE || e == ENOENT) {
			int again = call_run(c, 0);

			if (again)
				return again;
		}
	}
	return e;
}

/* ---- the thread that gives back */

/* The next walk that is over, taken off; false: none is. Under the lock. */
static bool take_over(struct stale *s, struct stale_walk *ret)
{
	uint64_t now = csv_monotonic_ms();

	for (size_t i = 0; i < STALE_WALKS; i++) {
		struct stale_walk *w = &s->walk[i];

		if (w->thread && (w->is_over || now >= w->until_ms)) {
			*ret = *w;
			*w = (struct stale_walk){0};
			atomic_fetch_sub(&s->walks, 1);
			return true;
		}
	}
	return false;
}

static void wait_walks(struct stale *s)
{
	if (!atomic_load(&s->walks)) {
		pthread_cond_wait(&s->changed, &s->lock);
		return;
	}
	csv_cond_wait_ms(&s->changed, &s->lock, WALK_MS);
}

static void *give_back(void *arg)
{
	struct csv_fs *fs = arg;
	struct stale *s = &fs->stale;
	struct stale_walk w;

	pthread_mutex_lock(&s->lock);
	while (!s->ends) {
		if (!take_over(s, &w)) {
			wait_walks(s);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		for (size_t i = 0; i < STALE_KEPT; i++) {
			if (w.kept[i].ino)
				release(fs, &w.kept[i], &s->interrupt);
		}
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int stale_init(struct csv_fs *fs)
{
	struct stale *s = &fs->stale;
	int r;

	pthread_mutex_init(&s->lock, NULL);
	csv_cond_init(&s->changed);
	r = pthread_create(&s->thread, NULL, give_back, fs);
	s->is_there = !r;
	return -r;
}

void stale_done(struct csv_fs *fs)
{
	struct stale *s = &fs->stale;

	if (!s->is_there)
		return;
	pthread_mutex_lock(&s->lock);
	s->ends = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	/* What is kept goes with the mount. */
	client_interrupt(fs->options.client, &s->interrupt);
	pthread_join(s->thread, NULL);
	s->is_there = false;
}
