/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/fuse_inode.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/must.h"

#define BUCKETS	     65536
#define NUMBER_FIRST 2

struct inode {
	struct inode *next_number, *next_handle;
	uint64_t number;
	uint64_t lookups;
	struct csv_handle handle;
	struct inode_place *place; /* of a directory, since it has been told of */
};

static void inode_free(struct inode *i)
{
	free(i->place);
	free(i);
}

struct inodes {
	pthread_mutex_t lock;
	uint64_t next, count;
	struct inode *by_number[BUCKETS];
	struct inode *by_handle[BUCKETS];
};

struct inodes *inodes_new(void)
{
	struct inodes *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	t->next = NUMBER_FIRST;
	return t;
}

void inodes_free(struct inodes *t)
{
	if (!t)
		return;
	for (size_t n = 0; n < BUCKETS; n++) {
		while (t->by_number[n]) {
			struct inode *i = t->by_number[n];

			t->by_number[n] = i->next_number;
			inode_free(i);
		}
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static struct inode **place_of_number(struct inodes *t, uint64_t number)
{
	struct inode **p = &t->by_number[number % BUCKETS];

	while (*p && (*p)->number != number)
		p = &(*p)->next_number;
	return p;
}

static struct inode **place_of_handle(struct inodes *t, const struct csv_handle *handle)
{
	uint64_t h = hash_u64(hash_u64(HASH_INIT, handle->ino), handle->gen);
	struct inode **p = &t->by_handle[h % BUCKETS];

	while (*p && !csv_handle_equal(&(*p)->handle, handle))
		p = &(*p)->next_handle;
	return p;
}

uint64_t inodes_ref(struct inodes *t, const struct csv_handle *handle)
{
	struct inode **p, *i;
	uint64_t number;

	pthread_mutex_lock(&t->lock);
	p = place_of_handle(t, handle);
	i = *p;
	if (!i) {
		i = calloc(1, sizeof(*i));
		must(i);
		i->number = t->next++;
		i->handle = *handle;
		*p = i;
		*place_of_number(t, i->number) = i;
		t->count++;
	}
	i->lookups++;
	number = i->number;
	pthread_mutex_unlock(&t->lock);
	return number;
}

void inodes_forget(struct inodes *t, uint64_t number, uint64_t count)
{
	struct inode **p, *i;

	pthread_mutex_lock(&t->lock);
	p = place_of_number(t, number);
	i = *p;
	if (i) {
		must(count <= i->lookups);
		i->lookups -= count;
		if (!i->lookups) {
			*p = i->next_number;
			*place_of_handle(t, &i->handle) = i->next_handle;
			inode_free(i);
			t->count--;
		}
	}
	pthread_mutex_unlock(&t->lock);
}

static bool is_same(const struct inode_place *a, const struct inode_place *b)
{
	return a->parent == b->parent && !strcmp(a->name.text, b->name.text);
}

bool inodes_place(struct inodes *t, uint64_t number, const struct inode_place *place,
		  struct inode_place *ret_old)
{
	bool has_moved = false;
	struct inode *i;

	pthread_mutex_lock(&t->lock);
	i = *place_of_number(t, number);
	if (i && !i->place) {
		i->place = malloc(sizeof(*i->place));
		must(i->place);
		*i->place = *place;
	} else if (i && !is_same(i->place, place)) {
		*ret_old = *i->place;
		*i->place = *place;
		has_moved = true;
	}
	pthread_mutex_unlock(&t->lock);
	return has_moved;
}

bool inodes_find(struct inodes *t, uint64_t number, struct csv_handle *ret)
{
	const struct inode *i;

	pthread_mutex_lock(&t->lock);
	i = *place_of_number(t, number);
	if (i)
		*ret = i->handle;
	pthread_mutex_unlock(&t->lock);
	return i != NULL;
}

uint64_t inodes_count(struct inodes *t)
{
	uint64_t n;

	pthread_mutex_lock(&t->lock);
	n = t->count;
	pthread_mutex_unlock(&t->lock);
	return n;
}
