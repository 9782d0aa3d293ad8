/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directories that another node has moved.
 *
 * The kernel knows a directory under one name only. Looked up under another one it has to move what
 * it knows, for which it only tries to take locks (__d_unalias() in fs/dcache.c): under rename(2),
 * which holds them itself, that fails, with ESTALE, and fails again when the path is walked once
 * more. So the kernel is told to forget the old name first, by a process of its own
 * (csvfs/edge/teller.h): it waits for locks of the kernel, which a call that waits for us may hold.
 * So nobody waits for it for long; if it comes too late for the first walk of a path, then not for
 * the second.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "csvfs/edge/clock.h"
#include "csvfs/edge/fuse_impl.h"
#include "csvfs/edge/keep.h"
#include "csvfs/edge/teller.h"
#include "lib/must.h"

#define WAIT_MS 20

static void *tell(void *arg)
{
	struct csv_fs *fs = arg;
	struct moved *m = &fs->moved;

	pthread_mutex_lock(&m->lock);
	while (!m->ends) {
		struct teller_order o;

		if (!m->count) {
			pthread_cond_wait(&m->changed, &m->lock);
			continue;
		}
		/* It stays in the queue, which only we take from. */
		o.number = ++m->number;
		o.parent = m->queue[m->first].place.parent;
		memcpy(o.name, m->queue[m->first].place.name.text, sizeof(o.name));
		pthread_mutex_unlock(&m->lock);
		teller_tell(fs->options.teller, &o, &m->ends);
		pthread_mutex_lock(&m->lock);
		m->first = (m->first + 1) % MOVED_MAX;
		m->count--;
		pthread_cond_broadcast(&m->changed);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* There are names of it that the kernel has yet to forget. Under the lock. */
static bool is_pending(const struct moved *m, fuse_ino_t number)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->queue[(m->first + i) % MOVED_MAX].number == number)
			return true;
	}
	return false;
}

static void wait_told(struct moved *m, fuse_ino_t number)
{
	const struct timespec until = csv_after_ms(WAIT_MS);
	int r = 0;

	while (is_pending(m, number) && !m->ends && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&m->changed, &m->lock, &until);
}

void moved_note(struct csv_fs *fs, fuse_ino_t number, fuse_ino_t parent, const char *name,
		bool waits)
{
	struct moved *m = &fs->moved;
	struct inode_place now = {.parent = parent}, old;
	bool has_moved;

	if (call_name(&now.name, name))
		return;
	has_moved = inodes_place(fs->inodes, number, &now, &old);
	pthread_mutex_lock(&m->lock);
	/* With a full queue the kernel finds out by itself, or by an error. */
	if (has_moved && m->count < MOVED_MAX) {
		m->queue[(m->first + m->count) % MOVED_MAX] =
			(struct moved_name){.number = number, .place = old};
		m->count++;
		pthread_cond_broadcast(&m->changed);
	}
	if (waits)
		wait_told(m, number);
	pthread_mutex_unlock(&m->lock);
}

int moved_init(struct csv_fs *fs)
{
	struct moved *m = &fs->moved;
	int r;

	pthread_mutex_init(&m->lock, NULL);
	csv_cond_init(&m->changed);
	m->number = (uint64_t)keep_life(fs->options.keep) << 32; /* not that of another process */
	r = pthread_create(&m->thread, NULL, tell, fs);
	m->is_there = !r;
	return -r;
}

void moved_end(struct csv_fs *fs)
{
	struct moved *m = &fs->moved;

	pthread_mutex_lock(&m->lock);
	__atomic_store_n(&m->ends, true, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

void moved_done(struct csv_fs *fs)
{
	if (!fs->moved.is_there)
		return;
	pthread_join(fs->moved.thread, NULL);
	pthread_cond_destroy(&fs->moved.changed);
	pthread_mutex_destroy(&fs->moved.lock);
}
