/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The storage of the lock core: lists, indexes, the block, and how entries come and go. */
#include <errno.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/lock_core.h"
#include "lib/lock_core_impl.h"
#include "lib/must.h"

/* ---- lists and indexes ---- */

void lk_list_init(struct lk_list *list)
{
	*list = (struct lk_list){.head = LK_NIL, .tail = LK_NIL};
}

/* Before `at`; at the end if that is LK_NIL. */
static void list_insert(struct lk_link *links, struct lk_list *list, uint32_t at, uint32_t i)
{
	uint32_t prev = at == LK_NIL ? list->tail : links[at].prev;

	links[i] = (struct lk_link){.prev = prev, .next = at};
	if (prev == LK_NIL)
		list->head = i;
	else
		links[prev].next = i;
	if (at == LK_NIL)
		list->tail = i;
	else
		links[at].prev = i;
	list->count++;
}

void lk_list_append(struct lk_link *links, struct lk_list *list, uint32_t i)
{
	list_insert(links, list, LK_NIL, i);
}

void lk_list_remove(struct lk_link *links, struct lk_list *list, uint32_t i)
{
	struct lk_link l = links[i];

	if (l.prev == LK_NIL)
		list->head = l.next;
	else
		links[l.prev].next = l.next;
	if (l.next == LK_NIL)
		list->tail = l.prev;
	else
		links[l.next].prev = l.prev;
	must(list->count > 0);
	list->count--;
}

/* The first of a free list, in which the caller knows that there is one. */
static uint32_t list_take(struct lk_link *links, struct lk_list *list)
{
	uint32_t i = list->head;

	must(i != LK_NIL);
	lk_list_remove(links, list, i);
	return i;
}

/* Fibonacci hashing (Knuth 6.4): ids that count up spread well. */
static uint32_t id_hash(uint64_t id)
{
	return (uint32_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static uint32_t name_hash(const uint8_t *name, uint8_t len)
{
	return id_hash(hash_bytes(HASH_INIT, name, len));
}

static void index_add(struct lk_index *index, uint32_t hash, uint32_t i)
{
	uint32_t *bucket = &index->buckets[hash & index->mask];

	index->chain[i] = *bucket;
	*bucket = i;
}

static void index_remove(struct lk_index *index, uint32_t hash, uint32_t i)
{
	uint32_t *at = &index->buckets[hash & index->mask];

	while (*at != i) {
		must(*at != LK_NIL);
		at = &index->chain[*at];
	}
	*at = index->chain[i];
}

uint32_t lk_session_find(const struct lk_state *st, uint64_t id)
{
	const struct lk_index *index = &st->session_index;
	uint32_t i = index->buckets[id_hash(id) & index->mask];

	while (i != LK_NIL && st->sessions[i].id != id)
		i = index->chain[i];
	return i;
}

uint32_t lk_lock_find(const struct lk_state *st, uint64_t id)
{
	const struct lk_index *index = &st->lock_index;
	uint32_t i = index->buckets[id_hash(id) & index->mask];

	while (i != LK_NIL && st->locks[i].id != id)
		i = index->chain[i];
	return i;
}

uint32_t lk_resource_find(const struct lk_state *st, const uint8_t *name, uint8_t len)
{
	const struct lk_index *index = &st->resource_index;
	uint32_t i = index->buckets[name_hash(name, len) & index->mask];

	while (i != LK_NIL) {
		const struct lk_resource *r = &st->resources[i];

		if (r->name_len == len && !memcmp(r->name, name, len))
			break;
		i = index->chain[i];
	}
	return i;
}

/* ---- memory ---- */

static bool limits_are_sane(const struct lk_limits *l)
{
	const uint32_t all[] = {l->max_sessions, l->max_resources, l->max_locks, l->max_queued};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(all); i++) {
		if (!all[i] || all[i] > LK_LIMIT_MAX)
			return false;
	}
	return true;
}

static uint32_t bucket_count(uint32_t n)
{
	uint32_t size = 1;

	while (size < n)
		size *= 2;
	return size;
}

/* The next n entries of the block; NULL while only measuring. */
static void *block_take(uint8_t *mem, size_t *pos, size_t n, size_t entry)
{
	void *p = mem ? mem + *pos : NULL;

	*pos += (n * entry + 7) & ~(size_t)7;
	return p;
}

static void index_lay_out(struct lk_index *index, uint8_t *mem, size_t *pos, uint32_t n)
{
	uint32_t buckets = bucket_count(n);

	index->buckets = block_take(mem, pos, buckets, sizeof(uint32_t));
	index->chain = block_take(mem, pos, n, sizeof(uint32_t));
	index->mask = buckets - 1;
}

/* The only description of the block. Returns its size. */
static size_t state_lay_out(struct lk_state *st, uint8_t *mem, const struct lk_limits *l)
{
	uint32_t scratch = l->max_locks > l->max_resources ? l->max_locks : l->max_resources;
	size_t pos = 0;

	st->head = block_take(mem, &pos, 1, sizeof(*st->head));
	st->sessions = block_take(mem, &pos, l->max_sessions, sizeof(*st->sessions));
	st->resources = block_take(mem, &pos, l->max_resources, sizeof(*st->resources));
	st->locks = block_take(mem, &pos, l->max_locks, sizeof(*st->locks));
	st->session_order = block_take(mem, &pos, l->max_sessions, sizeof(struct lk_link));
	st->resource_order = block_take(mem, &pos, l->max_resources, sizeof(struct lk_link));
	st->queue_links = block_take(mem, &pos, l->max_locks, sizeof(struct lk_link));
	st->owner_links = block_take(mem, &pos, l->max_locks, sizeof(struct lk_link));
	st->scratch = block_take(mem, &pos, scratch, sizeof(*st->scratch));
	index_lay_out(&st->session_index, mem, &pos, l->max_sessions);
	index_lay_out(&st->resource_index, mem, &pos, l->max_resources);
	index_lay_out(&st->lock_index, mem, &pos, l->max_locks);
	return pos;
}

size_t lk_state_size(const struct lk_limits *limits)
{
	struct lk_state st;

	return limits_are_sane(limits) ? state_lay_out(&st, NULL, limits) : 0;
}

uint32_t lk_actions_max(const struct lk_limits *limits)
{
	/*
	 * A lock ends or is answered once (QUEUED, GRANTED, DENIED, UNLOCKED) and is told once in a
	 * step; a transferred one ends at one session and is granted to another.
	 */
	return 2 * limits->max_locks + 2;
}

static void fill_free_list(struct lk_link *links, struct lk_list *list, uint32_t n)
{
	lk_list_init(list);
	for (uint32_t i = 0; i < n; i++)
		lk_list_append(links, list, i);
}

static void index_clear(struct lk_index *index)
{
	for (uint32_t i = 0; i <= index->mask; i++)
		index->buckets[i] = LK_NIL;
}

int lk_state_init(struct lk_state *st, void *mem, size_t mem_size, const struct lk_limits *limits)
{
	size_t size = lk_state_size(limits);

	if (!size || (uintptr_t)mem % 8)
		return -EINVAL;
	if (mem_size < size)
		return -ENOBUFS;
	memset(mem, 0, size);
	state_lay_out(st, mem, limits);
	st->head->limits = *limits;
	st->head->next_lock_id = 1;
	st->head->dirty_head = LK_NIL;
	st->head->dirty_tail = LK_NIL;
	lk_list_init(&st->head->sessions);
	lk_list_init(&st->head->resources);
	fill_free_list(st->session_order, &st->head->free_sessions, limits->max_sessions);
	fill_free_list(st->resource_order, &st->head->free_resources, limits->max_resources);
	fill_free_list(st->queue_links, &st->head->free_locks, limits->max_locks);
	index_clear(&st->session_index);
	index_clear(&st->resource_index);
	index_clear(&st->lock_index);
	return 0;
}

void lk_state_copy(struct lk_state *dst, const struct lk_state *src)
{
	const struct lk_limits *l = &src->head->limits;

	must(!memcmp(&dst->head->limits, l, sizeof(*l)));
	memcpy(dst->head, src->head, lk_state_size(l));
}

/* ---- sessions, resources, locks come and go ---- */

uint32_t lk_session_add(struct lk_state *st, uint64_t id, uint8_t node, uint64_t incarnation)
{
	uint32_t i = list_take(st->session_order, &st->head->free_sessions);
	struct lk_session *s;

	s = &st->sessions[i];
	*s = (struct lk_session){.id = id, .node = node, .incarnation = incarnation};
	lk_list_init(&s->locks);
	lk_list_append(st->session_order, &st->head->sessions, i);
	index_add(&st->session_index, id_hash(id), i);
	return i;
}

void lk_session_remove(struct lk_state *st, uint32_t i)
{
	must(!st->sessions[i].locks.count);
	index_remove(&st->session_index, id_hash(st->sessions[i].id), i);
	lk_list_remove(st->session_order, &st->head->sessions, i);
	lk_list_append(st->session_order, &st->head->free_sessions, i);
}

uint32_t lk_resource_add(struct lk_state *st, const uint8_t *name, uint8_t len)
{
	uint32_t i = list_take(st->resource_order, &st->head->free_resources);
	struct lk_resource *r;

	r = &st->resources[i];
	*r = (struct lk_resource){.name_len = len, .lvb_valid = true};
	memcpy(r->name, name, len);
	for (int q = 0; q < LK_QUEUE_MAX; q++)
		lk_list_init(&r->queues[q]);
	lk_list_append(st->resource_order, &st->head->resources, i);
	index_add(&st->resource_index, name_hash(name, len), i);
	return i;
}

void lk_resource_remove(struct lk_state *st, uint32_t i)
{
	const struct lk_resource *r = &st->resources[i];

	index_remove(&st->resource_index, name_hash(r->name, r->name_len), i);
	lk_list_remove(st->resource_order, &st->head->resources, i);
	lk_list_append(st->resource_order, &st->head->free_resources, i);
}

uint32_t lk_lock_add(struct lk_state *st, uint64_t id, uint32_t resource, uint32_t session)
{
	uint32_t i = list_take(st->queue_links, &st->head->free_locks);

	st->locks[i] = (struct lk_lock){.id = id, .resource = resource, .session = session};
	st->head->locks++;
	index_add(&st->lock_index, id_hash(id), i);
	return i;
}

/* Adds 1 or -1 to the counts in which a lock of that queue appears. */
static void queue_count(struct lk_state *st, const struct lk_lock *l, int delta)
{
	struct lk_resource *r = &st->resources[l->resource];

	if (l->queue != LK_QUEUE_WAITING)
		r->held[l->granted] += (uint32_t)delta;
	if (l->queue != LK_QUEUE_GRANTED)
		r->wanted[l->requested] += (uint32_t)delta;
}

void lk_queue_append(struct lk_state *st, uint32_t lock, enum lk_queue queue)
{
	struct lk_lock *l = &st->locks[lock];

	l->queue = (uint8_t)queue;
	queue_count(st, l, 1);
	lk_list_append(st->queue_links, &st->resources[l->resource].queues[queue], lock);
}

void lk_queue_set_mode(struct lk_state *st, uint32_t lock, uint8_t mode)
{
	struct lk_lock *l = &st->locks[lock];

	must(l->queue == LK_QUEUE_GRANTED);
	queue_count(st, l, -1);
	l->granted = mode;
	l->requested = mode;
	queue_count(st, l, 1);
}

void lk_queue_remove(struct lk_state *st, uint32_t lock)
{
	const struct lk_lock *l = &st->locks[lock];

	queue_count(st, l, -1);
	lk_list_remove(st->queue_links, &st->resources[l->resource].queues[l->queue], lock);
}

void lk_lock_remove(struct lk_state *st, uint32_t i)
{
	struct lk_lock *l = &st->locks[i];

	lk_queue_remove(st, i);
	lk_list_remove(st->owner_links, &st->sessions[l->session].locks, i);
	index_remove(&st->lock_index, id_hash(l->id), i);
	lk_list_append(st->queue_links, &st->head->free_locks, i);
	must(st->head->locks > 0);
	st->head->locks--;
}

uint32_t lk_lock_set_owner(struct lk_state *st, uint32_t i, uint32_t session, uint32_t at)
{
	struct lk_lock *l = &st->locks[i];
	struct lk_list *list = &st->sessions[session].locks;

	while (at != LK_NIL && st->locks[at].id < l->id)
		at = st->owner_links[at].next;
	lk_list_remove(st->owner_links, &st->sessions[l->session].locks, i);
	list_insert(st->owner_links, list, at, i);
	l->session = session;
	l->told = LK_NL;
	return at;
}
