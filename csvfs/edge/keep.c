/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/keep.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/must.h"

#define MAGIC	   UINT64_C(0x315045454b565343) /* "CSVKEEP1" */
#define LAYOUT	   1
#define CHUNK	   ((size_t)256 * 1024) /* the file grows by so much, for one table */
#define CHUNKS_MAX 16384
#define PAGE	   4096

struct locks_copy {
	uint64_t held, owed;
	struct lock_range row[LOCKBOOK_RANGES + LOCKBOOK_OPS];
};

/* The beginning of the file; chunks follow. */
struct head {
	uint64_t magic;
	uint64_t layout; /* and the sizes of what follows: layout_of() */
	uint64_t life;
	uint64_t next_number;
	uint64_t failures;
	struct keep_init init;
	uint64_t chunks;
	uint8_t chunk_table[CHUNKS_MAX]; /* enum keep_table */
	uint64_t locks_copy;		 /* which one counts */
	struct locks_copy locks[2];
	struct keep_slot slot[CSV_SLOTS];
	uint8_t frame[CSV_SLOTS][CSV_FRAME_MAX] __attribute__((aligned(PAGE)));
};

_Static_assert(sizeof(struct head) % PAGE == 0, "chunks are mapped by pages");

static const size_t row_size[KEEP_TABLES] = {
	[KEEP_INODES] = sizeof(struct keep_inode),
	[KEEP_PLACES] = sizeof(struct keep_place),
	[KEEP_OPENS] = sizeof(struct keep_open),
	[KEEP_CALLS] = sizeof(struct keep_call),
};

struct table {
	uint8_t **chunk;
	size_t chunks, cap;
	/* Free rows: a stack of indexes. */
	uint32_t *free;
	size_t free_count, free_cap;
};

struct keep {
	int fd;
	struct head *head;
	pthread_mutex_t lock;
	struct table table[KEEP_TABLES];
};

void keep_set(uint64_t *first, uint64_t value)
{
	__atomic_store_n(first, value, __ATOMIC_RELEASE);
}

/* ---- tables; with the lock held */

static size_t rows_of_chunk(enum keep_table t)
{
	return CHUNK / row_size[t];
}

static uint64_t *row_at(const struct keep *k, enum keep_table t, size_t n)
{
	size_t per = rows_of_chunk(t);

	return (uint64_t *)(void *)(k->table[t].chunk[n / per] + n % per * row_size[t]);
}

static void push_free(struct table *t, uint32_t index)
{
	if (t->free_count == t->free_cap) {
		t->free_cap = t->free_cap ? 2 * t->free_cap : 1024;
		t->free = realloc(t->free, t->free_cap * sizeof(t->free[0]));
		must(t->free);
	}
	t->free[t->free_count++] = index;
}

/* Maps chunk number n of the file as the next one of the table. */
static int map_chunk(struct keep *k, enum keep_table table, size_t n)
{
	struct table *t = &k->table[table];
	uint8_t *p = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd,
			  (off_t)(sizeof(struct head) + n * CHUNK));
	size_t first = t->chunks * rows_of_chunk(table);

	if (p == MAP_FAILED)
		return -errno;
	if (t->chunks == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 16;
		t->chunk = realloc(t->chunk, t->cap * sizeof(t->chunk[0]));
		must(t->chunk);
	}
	t->chunk[t->chunks++] = p;
	/* Those with low numbers first. */
	for (size_t i = rows_of_chunk(table); i > 0; i--) {
		if (!*row_at(k, table, first + i - 1))
			push_free(t, (uint32_t)(first + i));
	}
	return 0;
}

static void grow(struct keep *k, enum keep_table table)
{
	size_t n = k->head->chunks;

	must(n < CHUNKS_MAX);
	must(!ftruncate(k->fd, (off_t)(sizeof(struct head) + (n + 1) * CHUNK)));
	must(!map_chunk(k, table, n));
	k->head->chunk_table[n] = (uint8_t)table;
	keep_set(&k->head->chunks, n + 1);
}

void *keep_new(struct keep *k, enum keep_table table, uint32_t *ret_index)
{
	struct table *t = &k->table[table];
	uint64_t *row;

	pthread_mutex_lock(&k->lock);
	if (!t->free_count)
		grow(k, table);
	*ret_index = t->free[--t->free_count];
	row = row_at(k, table, *ret_index - 1);
	pthread_mutex_unlock(&k->lock);
	memset(row, 0, row_size[table]);
	return row;
}

void keep_free(struct keep *k, enum keep_table table, uint32_t index)
{
	pthread_mutex_lock(&k->lock);
	keep_set(row_at(k, table, index - 1), 0);
	push_free(&k->table[table], index);
	pthread_mutex_unlock(&k->lock);
}

void *keep_row(struct keep *k, enum keep_table table, uint32_t index)
{
	void *row = NULL;

	pthread_mutex_lock(&k->lock);
	if (index && index <= k->table[table].chunks * rows_of_chunk(table))
		row = row_at(k, table, index - 1);
	pthread_mutex_unlock(&k->lock);
	return row;
}

void *keep_next(struct keep *k, enum keep_table table, uint32_t *cursor)
{
	uint64_t *row = NULL;
	size_t all;

	pthread_mutex_lock(&k->lock);
	all = k->table[table].chunks * rows_of_chunk(table);
	while (!row && *cursor < all) {
		row = row_at(k, table, (*cursor)++);
		row = *row ? row : NULL;
	}
	pthread_mutex_unlock(&k->lock);
	return row;
}

/* ---- what there is once */

int keep_fd(const struct keep *k)
{
	return k->fd;
}

uint32_t keep_life(const struct keep *k)
{
	return (uint32_t)k->head->life;
}

struct keep_init *keep_init(struct keep *k)
{
	return &k->head->init;
}

struct keep_slot *keep_slot(struct keep *k, size_t n)
{
	return &k->head->slot[n];
}

uint8_t *keep_frame(struct keep *k, size_t n)
{
	return k->head->frame[n];
}

uint64_t *keep_next_number(struct keep *k)
{
	return &k->head->next_number;
}

uint64_t *keep_failures(struct keep *k)
{
	return &k->head->failures;
}

void keep_locks(struct keep *k, const struct lock_range *rows, size_t held, size_t owed)
{
	uint64_t other = !k->head->locks_copy;
	struct locks_copy *c = &k->head->locks[other];

	must(held + owed <= MUST_ARRAY_SIZE(c->row));
	memcpy(c->row, rows, (held + owed) * sizeof(rows[0]));
	c->held = held;
	c->owed = owed;
	keep_set(&k->head->locks_copy, other);
}

size_t keep_locked(const struct keep *k, const struct lock_range **ret, size_t *ret_owed)
{
	const struct locks_copy *c = &k->head->locks[k->head->locks_copy];

	*ret = c->row;
	*ret_owed = c->owed;
	return c->held;
}

/* ---- life */

static uint64_t layout_of(void)
{
	uint64_t sum = LAYOUT;

	for (size_t t = 0; t < KEEP_TABLES; t++)
		sum = sum * 1009 + row_size[t];
	return sum * 1009 + sizeof(struct head);
}

static int map_head(struct keep *k)
{
	struct stat st;

	if (fstat(k->fd, &st) < 0)
		return -errno;
	if (st.st_size && (size_t)st.st_size < sizeof(struct head))
		return -EPROTO;
	if (!st.st_size && ftruncate(k->fd, sizeof(struct head)) < 0)
		return -errno;
	k->head = mmap(NULL, sizeof(struct head), PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
	if (k->head == MAP_FAILED) {
		k->head = NULL;
		return -errno;
	}
	if (!k->head->magic) {
		k->head->layout = layout_of();
		keep_set(&k->head->magic, MAGIC);
	}
	return k->head->magic == MAGIC && k->head->layout == layout_of() ? 0 : -EPROTO;
}

int keep_open(int fd, struct keep **ret)
{
	struct keep *k = calloc(1, sizeof(*k));
	int r = -ENOMEM;

	if (!k) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	pthread_mutex_init(&k->lock, NULL);
	k->fd = fd >= 0 ? fd : memfd_create("csvfs-keep", MFD_CLOEXEC);
	r = k->fd < 0 ? -errno : map_head(k);
	for (size_t n = 0; !r && n < k->head->chunks; n++)
		r = map_chunk(k, k->head->chunk_table[n], n);
	if (r) {
		keep_close(k);
		return r;
	}
	k->head->life++;
	*ret = k;
	return 0;
}

bool keep_can_resend(int fd)
{
	struct keep_init init;

	return pread(fd, &init, sizeof(init), offsetof(struct head, init)) == sizeof(init) &&
	       init.reply_len && init.can_resend;
}

void keep_close(struct keep *k)
{
	if (!k)
		return;
	for (size_t t = 0; t < KEEP_TABLES; t++) {
		for (size_t n = 0; n < k->table[t].chunks; n++)
			munmap(k->table[t].chunk[n], CHUNK);
		free(k->table[t].chunk);
		free(k->table[t].free);
	}
	if (k->head)
		munmap(k->head, sizeof(struct head));
	if (k->fd >= 0)
		close(k->fd);
	pthread_mutex_destroy(&k->lock);
	free(k);
}
