/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/promise.h"

#include <errno.h>

#include "lib/hash.h"
#include "lib/must.h"

static struct promise_action *emit(struct promise_actions *out, enum promise_action_kind kind)
{
	struct promise_action *a;

	must(out->count < PROMISE_MAX_ACTIONS);
	a = &out->item[out->count++];
	*a = (struct promise_action){.kind = kind};
	return a;
}

/* ---- tables */

static size_t bucket_of(const struct csv_handle *h)
{
	return hash_u64(hash_u64(HASH_INIT, h->ino), h->gen) % PROMISE_BUCKETS;
}

static uint32_t index_of(const struct promise_state *s, const struct csv_handle *h)
{
	uint32_t i = s->bucket[bucket_of(h)];

	while (i && !csv_handle_equal(&s->row[i - 1].handle, h))
		i = s->row[i - 1].next;
	return i;
}

static struct promise_row *find(struct promise_state *s, const struct csv_handle *h)
{
	uint32_t i = index_of(s, h);

	return i ? &s->row[i - 1] : NULL;
}

/* NULL: there is no room. */
static struct promise_row *make(struct promise_state *s, const struct csv_handle *h)
{
	struct promise_row *row = find(s, h);
	size_t b = bucket_of(h);
	uint32_t at = s->free;

	if (row || !at)
		return row;
	row = &s->row[at - 1];
	s->free = row->next;
	*row = (struct promise_row){.handle = *h, .next = s->bucket[b]};
	s->bucket[b] = at;
	s->rows++;
	return row;
}

static void tidy(struct promise_state *s, struct promise_row *row)
{
	uint32_t *at = &s->bucket[bucket_of(&row->handle)];
	uint32_t self = (uint32_t)(row - s->row + 1);

	if (row->promised)
		return;
	while (*at != self)
		at = &s->row[*at - 1].next;
	*at = row->next;
	*row = (struct promise_row){.next = s->free};
	s->free = self;
	s->rows--;
}

static struct promise_mount *mount_find(struct promise_state *s, uint64_t id)
{
	for (size_t i = 0; id && i < PROMISE_MOUNTS; i++) {
		if (s->mount[i].id == id)
			return &s->mount[i];
	}
	return NULL;
}

static struct promise_mount *mount_make(struct promise_state *s, uint64_t id)
{
	struct promise_mount *m = mount_find(s, id);

	for (size_t i = 0; !m && i < PROMISE_MOUNTS; i++) {
		if (s->mount[i].id)
			continue;
		m = &s->mount[i];
		*m = (struct promise_mount){.id = id};
	}
	return m;
}

static uint32_t bit_of(const struct promise_state *s, const struct promise_mount *m)
{
	return m ? UINT32_C(1) << (m - s->mount) : 0;
}

/* The bit of a mount by its number; 0: it has none. */
static uint32_t bit_of_id(const struct promise_state *s, uint64_t id)
{
	for (size_t i = 0; id && i < PROMISE_MOUNTS; i++) {
		if (s->mount[i].id == id)
			return UINT32_C(1) << i;
	}
	return 0;
}

/* ---- what ends */

static void clear(struct promise_state *s, struct promise_row *row, uint32_t bit)
{
	row->promised &= ~bit;
	row->asked &= ~bit;
	tidy(s, row);
}

static void clear_all(struct promise_state *s, struct promise_mount *m, struct promise_actions *out)
{
	uint32_t bit = bit_of(s, m);

	if (!m->has_some)
		return;
	for (size_t i = 0; i < PROMISE_ROWS; i++) {
		if (s->row[i].handle.ino && (s->row[i].promised & bit))
			clear(s, &s->row[i], bit);
	}
	m->has_some = false;
	emit(out, PROMISE_DO_LOOK);
}

static bool is_asked_anything(const struct promise_state *s, uint32_t bit)
{
	for (size_t i = 0; i < PROMISE_ROWS; i++) {
		if (s->row[i].handle.ino && (s->row[i].asked & bit))
			return true;
	}
	return false;
}

static void send_break(const struct promise_mount *m, const struct csv_handle *h, uint64_t serial,
		       struct promise_actions *out)
{
	struct promise_action *a;

	if (!m->conn)
		return; /* when it has a line again, it forgets all; or its time ends */
	a = emit(out, PROMISE_DO_BREAK);
	a->conn = m->conn;
	a->handle = *h;
	a->serial = serial;
}

/* Breaks what others than those of `mine` have been promised of it. */
static void break_row(struct promise_state *s, struct promise_row *row, uint32_t mine,
		      struct promise_actions *out)
{
	uint32_t ask = row->promised & ~row->asked & ~mine;

	if (!ask)
		return;
	s->serial++;
	for (size_t i = 0; i < PROMISE_MOUNTS; i++) {
		if (ask & (UINT32_C(1) << i))
			send_break(&s->mount[i], &row->handle, s->serial, out);
	}
	row->asked |= ask;
}

/* ---- events */

static int on_channel(struct promise_state *s, const struct promise_event *e,
		      struct promise_actions *out)
{
	static const struct csv_handle all;
	struct promise_mount *m = mount_make(s, e->mount);

	if (!m)
		return -ENOSPC;
	m->conn = e->conn;
	if (!m->forgets && !is_asked_anything(s, bit_of(s, m)))
		return 0;
	m->forgets = ++s->serial;
	send_break(m, &all, m->forgets, out);
	return 0;
}

static void on_lost(struct promise_state *s, const struct promise_event *e,
		    struct promise_actions *out)
{
	for (size_t i = 0; e->conn && i < PROMISE_MOUNTS; i++) {
		if (s->mount[i].conn != e->conn)
			continue;
		s->mount[i].conn = 0;
		if (PROMISE_MUTANT(s, LOST_IS_END))
			clear_all(s, &s->mount[i], out);
	}
}

static int on_renew(struct promise_state *s, const struct promise_event *e)
{
	struct promise_mount *m = mount_make(s, e->mount);

	if (!m)
		return -ENOSPC;
	m->until_ms = e->now_ms + PROMISE_LEASE_MS;
	return 0;
}

/* Somebody's row is asked back: there is room for others when the answers have come. */
static void make_room(struct promise_state *s, struct promise_actions *out)
{
	break_row(s, &s->row[s->hand], 0, out);
	s->hand = (s->hand + 1) % PROMISE_ROWS;
}

static void on_give(struct promise_state *s, const struct promise_event *e,
		    struct promise_actions *out)
{
	struct promise_mount *m = mount_find(s, e->mount);
	struct promise_row *row;

	if (!m || !e->handle.ino)
		return;
	if (m->until_ms <= e->now_ms || !m->conn)
		return;
	if (m->forgets && !PROMISE_MUTANT(s, NEW_LINE))
		return;
	row = make(s, &e->handle);
	if (!row) {
		make_room(s, out);
		return;
	}
	/* Answers are told apart by this: what is asked back is promised to nobody meanwhile. */
	if (row->asked && !PROMISE_MUTANT(s, ASKED))
		return;
	row->promised |= bit_of(s, m);
	row->serial = ++s->serial;
	m->has_some = true;
	emit(out, PROMISE_DO_GIVEN);
}

static void on_done(struct promise_state *s, const struct promise_event *e,
		    struct promise_actions *out)
{
	struct promise_mount *m = mount_find(s, e->mount);
	struct promise_row *row = find(s, &e->handle);
	uint32_t bit = bit_of(s, m);

	if (!m)
		return;
	if (!e->handle.ino) {
		if (m->forgets != e->serial)
			return;
		m->forgets = 0;
		clear_all(s, m, out);
		return;
	}
	if (!row || !(row->promised & bit))
		return;
	if ((e->serial < row->serial || !(row->asked & bit)) && !PROMISE_MUTANT(s, ANY_ANSWER))
		return;
	clear(s, row, bit);
	emit(out, PROMISE_DO_LOOK);
}

static void on_time(struct promise_state *s, const struct promise_event *e,
		    struct promise_actions *out)
{
	for (size_t i = 0; i < PROMISE_MOUNTS; i++) {
		struct promise_mount *m = &s->mount[i];

		if (!m->id || !m->has_some || m->until_ms > e->now_ms)
			continue;
		emit(out, PROMISE_DO_OVER)->mount = m->id;
		clear_all(s, m, out);
	}
}

/* It is not there any more, or has forgotten all. */
static void on_end(struct promise_state *s, const struct promise_event *e,
		   struct promise_actions *out)
{
	struct promise_mount *m = mount_find(s, e->mount);

	if (!m)
		return;
	clear_all(s, m, out);
	m->forgets = 0;
	if (e->type == PROMISE_EV_GONE)
		*m = (struct promise_mount){0};
}

void promise_init(struct promise_state *s)
{
	*s = (struct promise_state){.free = 1};
	for (uint32_t i = 0; i < PROMISE_ROWS; i++)
		s->row[i].next = i + 1 < PROMISE_ROWS ? i + 2 : 0;
}

int promise_step(struct promise_state *s, const struct promise_event *e,
		 struct promise_actions *out)
{
	struct promise_row *row;
	int r = 0;

	out->count = 0;
	switch (e->type) {
	case PROMISE_EV_CHANNEL:
		r = on_channel(s, e, out);
		break;
	case PROMISE_EV_LOST:
		on_lost(s, e, out);
		break;
	case PROMISE_EV_RESET:
	case PROMISE_EV_GONE:
		on_end(s, e, out);
		break;
	case PROMISE_EV_RENEW:
		r = on_renew(s, e);
		break;
	case PROMISE_EV_GIVE:
		on_give(s, e, out);
		break;
	case PROMISE_EV_BREAK:
		row = find(s, &e->handle);
		if (row)
			break_row(s, row, bit_of_id(s, e->mount), out);
		break;
	case PROMISE_EV_DONE:
		on_done(s, e, out);
		break;
	case PROMISE_EV_TIME:
		on_time(s, e, out);
		break;
	case PROMISE_EV_MAX:
		must(false);
	}
	return r;
}

/* ---- looks */

static uint32_t others(const struct promise_state *s, const struct csv_handle *h, uint64_t mount)
{
	uint32_t i = index_of(s, h);

	return i ? s->row[i - 1].promised & ~bit_of_id(s, mount) : 0;
}

bool promise_is_collected(const struct promise_state *s, const struct csv_handle *h, uint64_t mount)
{
	return !others(s, h, mount);
}

uint64_t promise_over_ms(const struct promise_state *s, const struct csv_handle *h, uint64_t mount)
{
	uint32_t left = others(s, h, mount);
	uint64_t first = 0;

	for (size_t i = 0; i < PROMISE_MOUNTS; i++) {
		const struct promise_mount *m = &s->mount[i];

		if ((left & (UINT32_C(1) << i)) && (!first || m->until_ms < first))
			first = m->until_ms ? m->until_ms : 1;
	}
	return first;
}

static const char *check_row(const struct promise_state *s, const struct promise_row *row)
{
	if (!row->promised)
		return "a row of which nothing is promised";
	if (row->asked & ~row->promised)
		return "somebody is asked for what he has not";
	for (size_t i = 0; i < PROMISE_MOUNTS; i++) {
		if (!(row->promised & (UINT32_C(1) << i)))
			continue;
		if (!s->mount[i].id || !s->mount[i].has_some)
			return "a promise to nobody";
	}
	return row->serial > s->serial ? "a promise of the future" : NULL;
}

const char *promise_check(const struct promise_state *s)
{
	size_t used = 0, idle = 0;

	for (size_t i = 0; i < PROMISE_ROWS; i++) {
		const char *wrong;

		if (!s->row[i].handle.ino)
			continue;
		used++;
		if (index_of(s, &s->row[i].handle) != i + 1)
			return "a row that is not found";
		wrong = check_row(s, &s->row[i]);
		if (wrong)
			return wrong;
	}
	for (uint32_t at = s->free; at; at = s->row[at - 1].next)
		idle++;
	return used == s->rows && used + idle == PROMISE_ROWS ? NULL : "rows are lost";
}

/* ---- what a mount looks after */

static size_t add(struct csv_handle *list, size_t count, const struct csv_handle *h)
{
	for (size_t i = 0; i < count; i++) {
		if (csv_handle_equal(&list[i], h))
			return count;
	}
	if (!h->ino)
		return count;
	must(count < PROMISE_MINDS);
	list[count] = *h;
	return count + 1;
}

size_t promise_minds(const struct csv_request *q, struct csv_handle ret[PROMISE_MINDS])
{
	size_t n = 0;

	switch (q->op) {
#define ONE(NAME, name, member)                                                                    \
	case CSV_OP_##NAME:                                                                        \
		n = add(ret, n, &q->name.member);                                                  \
		break;
		ONE(SETATTR, setattr, handle)
		ONE(WRITE, write, handle)
		ONE(SETXATTR, setxattr, handle)
		ONE(REMOVEXATTR, removexattr, handle)
		ONE(FALLOCATE, fallocate, handle)
		ONE(COPY_RANGE, copy_range, to)
		ONE(MKNOD, mknod, parent)
		ONE(MKDIR, mkdir, parent)
		ONE(SYMLINK, symlink, parent)
		ONE(CREATE, create, parent)
		ONE(UNLINK, unlink, parent)
		ONE(RMDIR, rmdir, parent)
#undef ONE
	case CSV_OP_GRANT:
		if (q->grant.is_write)
			n = add(ret, n, &q->grant.handle);
		break;
	case CSV_OP_LINK:
		n = add(ret, n, &q->link.handle);
		n = add(ret, n, &q->link.new_parent);
		break;
	case CSV_OP_RENAME:
		n = add(ret, n, &q->rename.parent);
		n = add(ret, n, &q->rename.new_parent);
		break;
	default:
		return 0;
	}
	n = add(ret, n, &q->child[0]);
	return add(ret, n, &q->child[1]);
}
