/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshot of the lock core. Version 1, all numbers little-endian:
 *
 *   u32 magic, u16 version, u64 next lock id
 *   u32 sessions, each as opened:   u64 id, u64 incarnation, u8 node, u8 state
 *   u32 resources, each as created: u8 name length, name, u8 value block valid, value block,
 *                                   then its locks
 *   locks, three times (granted, converting, waiting): u32 number, each in queue order:
 *       u64 id, u64 session id, u64 cookie
 *       unless waiting: u8 granted, u8 told
 *       unless granted: u8 requested, u8 wants the value block
 *
 * There is no checksum: it is a section of what the caller stores or sends, which has one.
 */
#include <errno.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/lock_core.h"
#include "lib/lock_core_impl.h"
#include "lib/must.h"
#include "lib/wire.h"

#define MAGIC		    0x534b434cU /* "LCKS" */
#define LK_SNAPSHOT_VERSION 1

#define HEAD_BYTES     (4 + 2 + 8 + 4 + 4)
#define SESSION_BYTES  (8 + 8 + 1 + 1)
#define RESOURCE_BYTES (1 + LK_NAME_MAX + 1 + LK_LVB_BYTES + 4 * LK_QUEUE_MAX)
#define LOCK_BYTES     (8 + 8 + 8 + 4)

/* ---- writing ---- */

static void put_head(struct wire_writer *w, const struct lk_state *st)
{
	wire_put_u32(w, MAGIC);
	wire_put_u16(w, LK_SNAPSHOT_VERSION);
	wire_put_u64(w, st->head->next_lock_id);
	wire_put_u32(w, st->head->sessions.count);
}

static void put_session(struct wire_writer *w, const struct lk_session *s)
{
	wire_put_u64(w, s->id);
	wire_put_u64(w, s->incarnation);
	wire_put_u8(w, s->node);
	wire_put_u8(w, s->state);
}

static void put_resource(struct wire_writer *w, const struct lk_resource *r)
{
	wire_put_u8(w, r->name_len);
	wire_put_raw(w, r->name, r->name_len);
	wire_put_u8(w, r->lvb_valid);
	wire_put_raw(w, r->lvb, LK_LVB_BYTES);
}

static void put_lock(struct wire_writer *w, const struct lk_state *st, const struct lk_lock *l)
{
	wire_put_u64(w, l->id);
	wire_put_u64(w, st->sessions[l->session].id);
	wire_put_u64(w, l->cookie);
	if (l->queue != LK_QUEUE_WAITING) {
		wire_put_u8(w, l->granted);
		wire_put_u8(w, l->told);
	}
	if (l->queue != LK_QUEUE_GRANTED) {
		wire_put_u8(w, l->requested);
		wire_put_u8(w, l->wants_lvb);
	}
}

/*
 * Where the bytes go: to the caller's buffer, or, record by record through one small buffer, into
 * a hash. So the hash and the snapshot cannot know different states.
 */
struct sink {
	struct wire_writer w;
	uint64_t hash;
	bool is_hash;
};

static void sink_flush(struct sink *sink)
{
	size_t len = 0;

	if (!sink->is_hash)
		return;
	must(!wire_writer_end(&sink->w, &len));
	sink->hash = hash_bytes(sink->hash, sink->w.data, len);
	wire_writer_init(&sink->w, sink->w.data, sink->w.cap);
}

static void sink_resource(struct sink *sink, const struct lk_state *st, const struct lk_resource *r)
{
	put_resource(&sink->w, r);
	for (int q = 0; q < LK_QUEUE_MAX; q++) {
		wire_put_u32(&sink->w, r->queues[q].count);
		sink_flush(sink);
		for (uint32_t i = r->queues[q].head; i != LK_NIL; i = st->queue_links[i].next) {
			put_lock(&sink->w, st, &st->locks[i]);
			sink_flush(sink);
		}
	}
}

static void sink_state(struct sink *sink, const struct lk_state *st)
{
	const struct lk_head *h = st->head;

	put_head(&sink->w, st);
	for (uint32_t i = h->sessions.head; i != LK_NIL; i = st->session_order[i].next) {
		put_session(&sink->w, &st->sessions[i]);
		sink_flush(sink);
	}
	wire_put_u32(&sink->w, h->resources.count);
	for (uint32_t i = h->resources.head; i != LK_NIL; i = st->resource_order[i].next)
		sink_resource(sink, st, &st->resources[i]);
	sink_flush(sink);
}

uint64_t lk_hash(const struct lk_state *st)
{
	uint8_t record[HEAD_BYTES + RESOURCE_BYTES];
	struct sink sink = {.hash = HASH_INIT, .is_hash = true};

	wire_writer_init(&sink.w, record, sizeof(record));
	sink_state(&sink, st);
	return sink.hash;
}

size_t lk_encoded_max(const struct lk_limits *limits)
{
	return HEAD_BYTES + (size_t)limits->max_sessions * SESSION_BYTES +
	       (size_t)limits->max_resources * RESOURCE_BYTES +
	       (size_t)limits->max_locks * LOCK_BYTES;
}

int lk_encode(const struct lk_state *st, void *buf, size_t cap, size_t *ret_len)
{
	struct sink sink = {.is_hash = false};

	wire_writer_init(&sink.w, buf, cap);
	sink_state(&sink, st);
	return wire_writer_end(&sink.w, ret_len);
}

/* ---- reading ---- */

static int get_session(struct wire_reader *r, struct lk_state *st)
{
	uint64_t id = wire_get_u64(r);
	uint64_t incarnation = wire_get_u64(r);
	uint8_t node = wire_get_enum(r, LK_MAX_NODES);
	uint8_t state = wire_get_enum(r, LK_SESSION_STATE_MAX);

	if (r->error || lk_session_find(st, id) != LK_NIL)
		return -EBADMSG;
	if (!st->head->free_sessions.count)
		return -ENOSPC;
	st->sessions[lk_session_add(st, id, node, incarnation)].state = state;
	return 0;
}

/* Of its session it only knows the name; own_locks() puts it into that list. */
static int get_lock(struct wire_reader *r, struct lk_state *st, uint32_t resource,
		    enum lk_queue queue)
{
	uint64_t id = wire_get_u64(r);
	uint32_t session = lk_session_find(st, wire_get_u64(r));
	struct lk_lock new = {.cookie = wire_get_u64(r)};
	struct lk_lock *l;
	uint32_t i;

	if (queue != LK_QUEUE_WAITING) {
		new.granted = wire_get_enum(r, LK_MODE_MAX);
		new.told = wire_get_enum(r, LK_MODE_MAX);
	}
	new.requested = new.granted;
	if (queue != LK_QUEUE_GRANTED) {
		new.requested = wire_get_enum(r, LK_MODE_MAX);
		new.wants_lvb = wire_get_bool(r);
	}
	if (r->error || session == LK_NIL || lk_lock_find(st, id) != LK_NIL)
		return -EBADMSG;
	if (!st->head->free_locks.count)
		return -ENOSPC;
	i = lk_lock_add(st, id, resource, session);
	l = &st->locks[i];
	l->cookie = new.cookie;
	l->granted = new.granted;
	l->told = new.told;
	l->requested = new.requested;
	l->wants_lvb = new.wants_lvb;
	lk_queue_append(st, i, queue);
	return 0;
}

static int get_resource(struct wire_reader *r, struct lk_state *st)
{
	uint8_t name[LK_NAME_MAX];
	uint8_t len = wire_get_enum(r, LK_NAME_MAX + 1);
	struct lk_resource *res;
	uint32_t index;
	int error = 0;

	wire_get_raw(r, name, len);
	if (r->error || lk_resource_find(st, name, len) != LK_NIL)
		return -EBADMSG;
	if (!st->head->free_resources.count)
		return -ENOSPC;
	index = lk_resource_add(st, name, len);
	res = &st->resources[index];
	res->lvb_valid = wire_get_bool(r);
	wire_get_raw(r, res->lvb, LK_LVB_BYTES);
	for (int q = 0; q < LK_QUEUE_MAX; q++) {
		uint32_t n = wire_get_u32(r);

		while (n-- && !error)
			error = get_lock(r, st, index, (enum lk_queue)q);
	}
	return error;
}

static bool id_is_less(const struct lk_state *st, uint32_t a, uint32_t b)
{
	return st->locks[a].id < st->locks[b].id;
}

/* Puts every lock into the list of its session, which is in order of lock id. */
static void own_locks(struct lk_state *st)
{
	const struct lk_head *h = st->head;
	uint32_t first = LK_NIL;

	for (uint32_t i = h->resources.head; i != LK_NIL; i = st->resource_order[i].next) {
		for (int q = 0; q < LK_QUEUE_MAX; q++) {
			for (uint32_t l = st->resources[i].queues[q].head; l != LK_NIL;
			     l = st->queue_links[l].next) {
				st->scratch[l] = first;
				first = l;
			}
		}
	}
	first = lk_sort(st, first, h->locks, id_is_less);
	for (uint32_t l = first; l != LK_NIL; l = st->scratch[l])
		lk_list_append(st->owner_links, &st->sessions[st->locks[l].session].locks, l);
}

static int get_state(struct wire_reader *r, struct lk_state *st)
{
	int error = 0;
	uint32_t n;

	if (wire_get_u32(r) != MAGIC || wire_get_u16(r) != LK_SNAPSHOT_VERSION)
		return -EBADMSG;
	st->head->next_lock_id = wire_get_u64(r);
	n = wire_get_u32(r);
	while (n-- && !error)
		error = get_session(r, st);
	if (error)
		return error;
	n = wire_get_u32(r);
	while (n-- && !error)
		error = get_resource(r, st);
	if (error)
		return error;
	error = wire_reader_end(r);
	if (error)
		return error;
	own_locks(st);
	return lk_check(st) ? -EBADMSG : 0;
}

int lk_decode(const void *buf, size_t len, const struct lk_limits *limits, void *mem,
	      size_t mem_size, struct lk_state *ret)
{
	struct wire_reader reader;
	struct lk_state st;
	int r;

	r = lk_state_init(&st, mem, mem_size, limits);
	if (r)
		return r;
	wire_reader_init(&reader, buf, len);
	r = get_state(&reader, &st);
	if (r)
		return r;
	*ret = st;
	return 0;
}
