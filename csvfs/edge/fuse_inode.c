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
	uint32_t index;		/* of the row */
	struct keep_inode *row; /* its place: of a directory, since it has been told of */
};

struct inodes {
	pthread_mutex_t lock;
	struct keep *keep;
	uint64_t count;
	struct inode *by_number[BUCKETS];
	struct inode *by_handle[BUCKETS];
};

void inodes_free(struct inodes *t)
{
	if (!t)
		return;
	for (size_t n = 0; n < BUCKETS; n++) {
		while (t->by_number[n]) {
			struct inode *i = t->by_number[n];

			t->by_number[n] = i->next_number;
			free(i);
		}
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static struct inode **place_of_number(struct inodes *t, uint64_t number)
{
	struct inode **p = &t->by_number[number % BUCKETS];

	while (*p && (*p)->row->number != number)
		p = &(*p)->next_number;
	return p;
}

static struct inode **place_of_handle(struct inodes *t, const struct csv_handle *handle)
{
	uint64_t h = hash_u64(hash_u64(HASH_INIT, handle->ino), handle->gen);
	struct inode **p = &t->by_handle[h % BUCKETS];

	while (*p && !csv_handle_equal(&(*p)->row->handle, handle))
		p = &(*p)->next_handle;
	return p;
}

static struct inode *add(struct inodes *t, struct keep_inode *row, uint32_t index,
			 const struct csv_handle *handle, uint64_t number)
{
	struct inode *i = calloc(1, sizeof(*i));

	must(i);
	i->row = row;
	i->index = index;
	*place_of_handle(t, handle) = i;
	*place_of_number(t, number) = i;
	t->count++;
	return i;
}

static struct inode *make(struct inodes *t, const struct csv_handle *handle)
{
	uint64_t *next = keep_next_number(t->keep);
	uint32_t index;
	struct keep_inode *row = keep_new(t->keep, KEEP_INODES, &index);
	uint64_t number = *next;
	struct inode *i = add(t, row, index, handle, number);

	row->handle = *handle;
	/* Before there is a row with it: it is not given twice. */
	keep_set(next, number + 1);
	keep_set(&row->number, number);
	return i;
}

uint64_t inodes_ref(struct inodes *t, const struct csv_handle *handle)
{
	struct inode *i;
	uint64_t number;

	pthread_mutex_lock(&t->lock);
	i = *place_of_handle(t, handle);
	if (!i)
		i = make(t, handle);
	i->row->lookups++;
	number = i->row->number;
	pthread_mutex_unlock(&t->lock);
	return number;
}

static void drop(struct inodes *t, struct inode **p)
{
	struct inode *i = *p;

	*p = i->next_number;
	*place_of_handle(t, &i->row->handle) = i->next_handle;
	if (i->row->place)
		keep_free(t->keep, KEEP_PLACES, i->row->place);
	keep_free(t->keep, KEEP_INODES, i->index);
	free(i);
	t->count--;
}

void inodes_forget(struct inodes *t, uint64_t number, uint64_t count)
{
	struct inode **p;

	pthread_mutex_lock(&t->lock);
	p = place_of_number(t, number);
	if (*p) {
		must(count <= (*p)->row->lookups);
		(*p)->row->lookups -= count;
		if (!(*p)->row->lookups)
			drop(t, p);
	}
	pthread_mutex_unlock(&t->lock);
}

/* ---- places of directories */

static bool is_same(const struct keep_place *a, const struct inode_place *b)
{
	return a->parent == b->parent && !strcmp(a->name.text, b->name.text);
}

static void set_place(struct inodes *t, struct inode *i, const struct inode_place *place)
{
	uint32_t index, old = i->row->place;
	struct keep_place *new = keep_new(t->keep, KEEP_PLACES, &index);

	new->parent = place->parent;
	new->name = place->name;
	keep_set(&new->number, i->row->number);
	__atomic_store_n(&i->row->place, index, __ATOMIC_RELEASE);
	if (old)
		keep_free(t->keep, KEEP_PLACES, old);
}

bool inodes_place(struct inodes *t, uint64_t number, const struct inode_place *place,
		  struct inode_place *ret_old)
{
	const struct keep_place *old;
	bool has_moved = false;
	struct inode *i;

	pthread_mutex_lock(&t->lock);
	i = *place_of_number(t, number);
	old = i ? keep_row(t->keep, KEEP_PLACES, i->row->place) : NULL;
	if (old && !is_same(old, place)) {
		*ret_old = (struct inode_place){old->parent, old->name};
		has_moved = true;
	}
	if (i && (!old || has_moved))
		set_place(t, i, place);
	pthread_mutex_unlock(&t->lock);
	return has_moved;
}

/* ---- what an earlier process had */

static void take_over(struct inodes *t)
{
	const struct keep_place *place;
	struct keep_inode *row;
	uint32_t at = 0;

	if (*keep_next_number(t->keep) < NUMBER_FIRST)
		*keep_next_number(t->keep) = NUMBER_FIRST;
	while ((row = keep_next(t->keep, KEEP_INODES, &at)))
		add(t, row, at, &row->handle, row->number);
	at = 0;
	while ((place = keep_next(t->keep, KEEP_PLACES, &at))) {
		const struct inode *i = *place_of_number(t, place->number);

		if (!i || i->row->place != at)
			keep_free(t->keep, KEEP_PLACES, at);
	}
}

struct inodes *inodes_new(struct keep *keep)
{
	struct inodes *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	t->keep = keep;
	take_over(t);
	return t;
}

bool inodes_find(struct inodes *t, uint64_t number, struct csv_handle *ret)
{
	const struct inode *i;

	pthread_mutex_lock(&t->lock);
	i = *place_of_number(t, number);
	if (i)
		*ret = i->row->handle;
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
