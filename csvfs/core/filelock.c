/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/filelock.h"

#include <errno.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/must.h"

static uint32_t owner_bucket(const struct lock_owner *o)
{
	uint64_t h = hash_u64(hash_u64(HASH_INIT, o->mount), o->id);

	return (uint32_t)(hash_u64(h, o->kind) % LOCKRANGE_BUCKETS);
}

static struct filelock_queue *queue_of(struct filelock_state *s, const struct lock_range *l)
{
	return &s->queue[lockrange_bucket(&l->handle)];
}

void filelock_init(struct filelock_state *s)
{
	memset(s, 0, sizeof(*s));
	lockrange_init(&s->held, s->row, FILELOCK_RANGES);
	for (uint32_t i = FILELOCK_WAITS + 1; i > 0; i--) {
		s->wait[i - 1].next = s->free;
		s->free = i;
	}
}

static struct filelock_mount *mount_row(struct filelock_state *s, uint64_t id)
{
	struct filelock_mount *free_row = NULL;

	for (size_t i = 0; i < FILELOCK_MOUNTS; i++) {
		if (s->mount[i].id == id)
			return &s->mount[i];
		if (!s->mount[i].id && !free_row)
			free_row = &s->mount[i];
	}
	if (free_row)
		*free_row = (struct filelock_mount){.id = id};
	return free_row;
}

static uint64_t conn_of(const struct filelock_state *s, uint64_t mount)
{
	for (size_t i = 0; i < FILELOCK_MOUNTS; i++) {
		if (s->mount[i].id == mount)
			return s->mount[i].conn;
	}
	return 0;
}

/* ---- what is held; `ranges` of the mount goes along */

static void set_held(struct filelock_state *s, const struct lock_range *l, bool is_raise)
{
	struct filelock_mount *m = mount_row(s, l->owner.mount);
	uint32_t before = s->held.count;

	must(m);
	if (is_raise)
		lockrange_raise(&s->held, l);
	else
		lockrange_lower(&s->held, l);
	m->ranges += s->held.count - before;
	s->owner_held[owner_bucket(&l->owner)] += s->held.count - before;
}

static bool has_room(struct filelock_state *s, const struct lock_range *l)
{
	const struct filelock_mount *m = mount_row(s, l->owner.mount);
	uint32_t needs = lockrange_needs(&s->held, l);

	return m && m->ranges + needs <= FILELOCK_MOUNT_RANGES &&
	       s->held.count + needs <= FILELOCK_RANGES;
}

/* ---- waits */

static void link_wait(struct filelock_state *s, uint32_t at)
{
	struct filelock_wait *w = &s->wait[at - 1];
	struct filelock_queue *q = queue_of(s, &w->range);
	uint32_t *owner = &s->owner[owner_bucket(&w->range.owner)];

	w->prev = q->last;
	w->next = 0;
	if (q->last)
		s->wait[q->last - 1].next = at;
	else
		q->first = at;
	q->last = at;
	w->owner_prev = 0;
	w->owner_next = *owner;
	if (*owner)
		s->wait[*owner - 1].owner_prev = at;
	*owner = at;
}

static void unlink_wait(struct filelock_state *s, uint32_t at)
{
	struct filelock_wait *w = &s->wait[at - 1];
	struct filelock_queue *q = queue_of(s, &w->range);

	*(w->prev ? &s->wait[w->prev - 1].next : &q->first) = w->next;
	*(w->next ? &s->wait[w->next - 1].prev : &q->last) = w->prev;
	*(w->owner_prev ? &s->wait[w->owner_prev - 1].owner_next
			: &s->owner[owner_bucket(&w->range.owner)]) = w->owner_next;
	if (w->owner_next)
		s->wait[w->owner_next - 1].owner_prev = w->owner_prev;
}

static bool is_hungry(const struct filelock_wait *w)
{
	return w->state == FILELOCK_WAITING && w->passes >= FILELOCK_PASSES;
}

static void set_behind(struct filelock_state *s, struct filelock_wait *w, bool is_behind)
{
	s->behind += (uint32_t)is_behind - (uint32_t)w->is_behind;
	w->is_behind = is_behind;
}

static uint32_t new_wait(struct filelock_state *s, const struct lock_range *l, uint64_t number,
			 enum filelock_wait_state state)
{
	uint32_t at = s->free;

	must(at);
	s->free = s->wait[at - 1].next;
	s->wait[at - 1] = (struct filelock_wait){.state = state, .range = *l, .number = number};
	link_wait(s, at);
	s->waits++;
	return at;
}

static void drop_wait(struct filelock_state *s, uint32_t at)
{
	struct filelock_wait *w = &s->wait[at - 1];
	struct filelock_queue *q = queue_of(s, &w->range);

	q->hungry -= is_hungry(w);
	q->reserved -= w->state == FILELOCK_RESERVED;
	set_behind(s, w, false);
	unlink_wait(s, at);
	*w = (struct filelock_wait){.next = s->free};
	s->free = at;
	s->waits--;
}

static uint32_t find_wait(struct filelock_state *s, uint64_t mount, const struct csv_handle *h,
			  uint64_t number)
{
	uint32_t at = s->queue[lockrange_bucket(h)].first;

	while (at) {
		const struct filelock_wait *w = &s->wait[at - 1];

		if (w->number == number && w->range.owner.mount == mount &&
		    csv_handle_equal(&w->range.handle, h))
			return at;
		at = w->next;
	}
	return 0;
}

/* The same, with its owner known: without a look at all who wait for that file. */
static uint32_t find_own(const struct filelock_state *s, const struct lock_range *l,
			 uint64_t number)
{
	uint32_t at = number ? s->owner[owner_bucket(&l->owner)] : 0;

	while (at) {
		const struct filelock_wait *w = &s->wait[at - 1];

		if (w->number == number && lock_owner_equal(&w->range.owner, &l->owner) &&
		    csv_handle_equal(&w->range.handle, &l->handle))
			return at;
		at = w->owner_next;
	}
	return 0;
}

static bool excludes(const struct filelock_state *s, const struct lock_range *a,
		     const struct lock_range *b)
{
	struct lock_range weak = *a;

	(void)s; /* but for the mutant */
	if (FILELOCK_MUTANT(s, SHARED_WRITE) && b->type == CSV_LOCK_READ)
		weak.type = CSV_LOCK_READ;
	return lockrange_excludes(&weak, b);
}

/* ---- who is in the way */

static const struct lock_range *against_turns(const struct filelock_state *s,
					      const struct lock_range *l)
{
	const struct filelock_queue *q = &s->queue[lockrange_bucket(&l->handle)];
	uint32_t left = FILELOCK_MUTANT(s, NOT_RESERVED) ? 0 : q->reserved;

	for (uint32_t at = q->first; at && left; at = s->wait[at - 1].next) {
		const struct filelock_wait *w = &s->wait[at - 1];

		if (w->state != FILELOCK_RESERVED)
			continue;
		left--;
		if (excludes(s, &w->range, l))
			return &w->range;
	}
	return NULL;
}

const struct lock_range *filelock_against(const struct filelock_state *s,
					  const struct lock_range *l)
{
	const struct lock_range *row = NULL;

	while ((row = lockrange_next(&s->held, &l->handle, row))) {
		if (excludes(s, row, l))
			return row;
	}
	return against_turns(s, l);
}

const struct lock_range *filelock_first_against(const struct filelock_state *s,
						const struct lock_range *l)
{
	const struct lock_range *row = NULL, *first = NULL;

	while ((row = lockrange_next(&s->held, &l->handle, row))) {
		if (lockrange_excludes(row, l) && (!first || row->start < first->start))
			first = row;
	}
	return first ? first : against_turns(s, l);
}

/* ---- circles */

/* What an owner waits for is to be followed, too. */
static void follow(struct filelock_state *s, const struct lock_owner *o, uint32_t *depth)
{
	for (uint32_t at = s->owner[owner_bucket(o)]; at; at = s->wait[at - 1].owner_next) {
		struct filelock_wait *w = &s->wait[at - 1];

		if (w->state != FILELOCK_WAITING || w->mark == s->mark ||
		    !lock_owner_equal(&w->range.owner, o))
			continue;
		w->mark = s->mark;
		s->stack[(*depth)++] = at;
	}
}

/* Follows all that keep this wait where it is. True: `target` is one of them. */
static bool follow_all(struct filelock_state *s, uint32_t at, const struct lock_owner *target,
		       bool with_waits, uint32_t *depth)
{
	const struct filelock_wait *w = &s->wait[at - 1];
	const struct filelock_queue *q = queue_of(s, &w->range);
	const struct lock_range *row = NULL;

	while ((row = lockrange_next(&s->held, &w->range.handle, row))) {
		if (!lockrange_excludes(row, &w->range))
			continue;
		if (lock_owner_equal(&row->owner, target))
			return true;
		follow(s, &row->owner, depth);
	}
	if (!q->reserved && !(with_waits && q->hungry))
		return false;
	for (uint32_t i = q->first; i; i = s->wait[i - 1].next) {
		const struct filelock_wait *v = &s->wait[i - 1];

		if (i == at)
			with_waits = false; /* those after it are not in its way */
		if (!(v->state == FILELOCK_RESERVED || (with_waits && is_hungry(v))) ||
		    !lockrange_excludes(&v->range, &w->range))
			continue;
		if (lock_owner_equal(&v->range.owner, target))
			return true;
		follow(s, &v->range.owner, depth);
	}
	return false;
}

/* Does the wait depend on the owner, through whomever? */
static bool depends(struct filelock_state *s, uint32_t at, const struct lock_owner *owner,
		    bool with_waits)
{
	uint32_t depth = 0;

	s->mark++;
	s->wait[at - 1].mark = s->mark;
	s->stack[depth++] = at;
	while (depth) {
		if (follow_all(s, s->stack[--depth], owner, with_waits, &depth))
			return true;
	}
	return false;
}

static bool has_wait(const struct filelock_state *s, const struct lock_owner *o,
		     enum filelock_wait_state state)
{
	for (uint32_t at = s->owner[owner_bucket(o)]; at; at = s->wait[at - 1].owner_next) {
		if (s->wait[at - 1].state == state &&
		    lock_owner_equal(&s->wait[at - 1].range.owner, o))
			return true;
	}
	return false;
}

/* Can anybody wait for this owner? */
static bool may_block(const struct filelock_state *s, const struct lock_owner *o)
{
	return s->owner_held[owner_bucket(o)] || has_wait(s, o, FILELOCK_RESERVED);
}

/* Must it let somebody go first who waits already, because that one was passed too often? */
static bool must_go_behind(struct filelock_state *s, uint32_t at)
{
	const struct filelock_wait *w = &s->wait[at - 1];
	const struct filelock_queue *q = queue_of(s, &w->range);

	if (!q->hungry || FILELOCK_MUTANT(s, PASS_ALWAYS))
		return false;
	for (uint32_t i = q->first; i && i != at; i = s->wait[i - 1].next) {
		const struct filelock_wait *v = &s->wait[i - 1];

		if (is_hungry(v) && lockrange_excludes(&v->range, &w->range) &&
		    (FILELOCK_MUTANT(s, STAY_BEHIND) || !depends(s, i, &w->range.owner, true)))
			return true;
	}
	return false;
}

/* It goes before those who came earlier (before `until`; 0: all), wait and cannot have it too. */
static void count_passes(struct filelock_state *s, const struct lock_range *l, uint32_t until)
{
	struct filelock_queue *q = queue_of(s, l);

	for (uint32_t i = q->first; i && i != until; i = s->wait[i - 1].next) {
		struct filelock_wait *w = &s->wait[i - 1];

		if (w->state != FILELOCK_WAITING || w->passes >= FILELOCK_PASSES ||
		    !lockrange_excludes(&w->range, l))
			continue;
		w->passes++;
		q->hungry += is_hungry(w);
	}
}

/* ---- turns */

static void tell(const struct filelock_state *s, const struct filelock_wait *w,
		 struct filelock_actions *out)
{
	uint64_t conn = conn_of(s, w->range.owner.mount);

	if (!conn)
		return; /* told when there is a line */
	must(out->count < FILELOCK_WAITS);
	out->item[out->count++] = (struct filelock_action){
		.conn = conn, .handle = w->range.handle, .number = w->number};
}

/* What the owner has got now may be what somebody waits for on whom it waits itself. */
static void refuse_circles(struct filelock_state *s, const struct lock_owner *o,
			   struct filelock_actions *out)
{
	if (o->kind != CSV_LOCK_POSIX || FILELOCK_MUTANT(s, NO_REFUSAL))
		return;
	for (uint32_t at = s->owner[owner_bucket(o)]; at; at = s->wait[at - 1].owner_next) {
		struct filelock_wait *w = &s->wait[at - 1];

		if (w->state != FILELOCK_WAITING || !lock_owner_equal(&w->range.owner, o) ||
		    !depends(s, at, o, false))
			continue;
		queue_of(s, &w->range)->hungry -= is_hungry(w);
		set_behind(s, w, false);
		w->state = FILELOCK_REFUSED;
		tell(s, w, out);
	}
}

static void settle_queue(struct filelock_state *s, struct filelock_queue *q,
			 struct filelock_actions *out)
{
	for (uint32_t at = q->first; at; at = s->wait[at - 1].next) {
		struct filelock_wait *w = &s->wait[at - 1];

		if (w->state != FILELOCK_WAITING)
			continue;
		set_behind(s, w, false);
		if (filelock_against(s, &w->range))
			continue;
		if (must_go_behind(s, at)) {
			set_behind(s, w, true);
			continue;
		}
		count_passes(s, &w->range, at);
		q->hungry -= is_hungry(w);
		w->state = FILELOCK_RESERVED;
		q->reserved++;
		tell(s, w, out);
		refuse_circles(s, &w->range.owner, out);
	}
}

static void settle_all(struct filelock_state *s, struct filelock_actions *out)
{
	for (uint32_t i = 0; i < LOCKRANGE_BUCKETS; i++)
		settle_queue(s, &s->queue[i], out);
}

static void settle(struct filelock_state *s, const struct lock_range *l,
		   struct filelock_actions *out)
{
	if (s->is_open || FILELOCK_MUTANT(s, GIVE_EARLY))
		settle_queue(s, queue_of(s, l), out);
}

/* ---- requests */

static bool is_range(const struct lock_range *l)
{
	return l->start <= l->end && l->end <= CSV_LOCK_END_MAX && l->owner.kind < CSV_LOCK_KINDS &&
	       l->handle.ino;
}

/* `at`: the turn that is taken; 0: it has not waited. */
static int give(struct filelock_state *s, const struct lock_range *l, uint32_t at,
		struct filelock_actions *out)
{
	int r = has_room(s, l) ? 0 : -ENOLCK;

	if (!r && !at)
		count_passes(s, l, 0);
	if (!r)
		set_held(s, l, true);
	if (at)
		drop_wait(s, at);
	refuse_circles(s, &l->owner, out);
	if (r)
		settle(s, l, out);
	else if (s->behind && has_wait(s, &l->owner, FILELOCK_WAITING))
		settle_all(s, out); /* who waits for this one waits for more than before */
	return r;
}

/* It cannot be served now. */
static int queue(struct filelock_state *s, const struct filelock_event *e,
		 struct filelock_actions *out)
{
	bool is_posix = e->range.owner.kind == CSV_LOCK_POSIX;
	uint32_t at;

	if (!e->number)
		return -EAGAIN;
	if (s->waits >= FILELOCK_WAITS)
		return -ENOLCK;
	at = new_wait(s, &e->range, e->number, FILELOCK_WAITING);
	if (is_posix && !FILELOCK_MUTANT(s, NO_DEADLOCK) &&
	    depends(s, at, &e->range.owner, false)) {
		drop_wait(s, at);
		return -EDEADLK;
	}
	set_behind(s, &s->wait[at - 1], !filelock_against(s, &e->range));
	/* Who was behind somebody may now be one on whom that one waits, through this one. */
	if (s->behind && may_block(s, &e->range.owner))
		settle_all(s, out);
	return FILELOCK_QUEUED;
}

/* What is stronger has to go before: flock(2). True: it has enough already. */
static bool convert(struct filelock_state *s, const struct lock_range *l,
		    struct filelock_actions *out)
{
	struct lock_range none = *l;

	if (lockrange_weakest(&s->held, l) >= l->type)
		return true;
	if (l->owner.kind != CSV_LOCK_FLOCK || FILELOCK_MUTANT(s, HOLD_UPGRADE) ||
	    !lockrange_strongest(&s->held, l))
		return false;
	none.type = CSV_LOCK_NONE;
	set_held(s, &none, false);
	settle(s, l, out);
	return false;
}

/* Is somebody in the way of a request that would wait? */
static bool is_kept(struct filelock_state *s, const struct lock_range *l, bool would_wait)
{
	uint32_t probe;
	bool r;

	if (filelock_against(s, l))
		return true;
	if (!would_wait || !queue_of(s, l)->hungry)
		return false;
	probe = new_wait(s, l, 0, FILELOCK_PROBE);
	r = must_go_behind(s, probe);
	drop_wait(s, probe);
	return r;
}

static int on_lock(struct filelock_state *s, const struct filelock_event *e,
		   struct filelock_actions *out)
{
	const struct lock_range *l = &e->range;
	uint32_t at;

	if (!is_range(l) || (l->type != CSV_LOCK_READ && l->type != CSV_LOCK_WRITE))
		return -EINVAL;
	if (!mount_row(s, l->owner.mount))
		return -ENOLCK;
	at = find_own(s, l, e->number);
	if (at && s->wait[at - 1].state == FILELOCK_REFUSED) {
		drop_wait(s, at); /* the circle may be gone */
		at = 0;
	}
	if (at && s->wait[at - 1].state == FILELOCK_RESERVED)
		return give(s, l, at, out);
	if (convert(s, l, out)) {
		if (at)
			drop_wait(s, at);
		return 0;
	}
	/* Its turn may have come by what it has given up itself. */
	if (at && s->wait[at - 1].state == FILELOCK_RESERVED)
		return give(s, l, at, out);
	if (at)
		return FILELOCK_QUEUED;
	if (is_kept(s, l, e->number))
		return queue(s, e, out);
	return give(s, l, 0, out);
}

static int on_unlock(struct filelock_state *s, const struct filelock_event *e,
		     struct filelock_actions *out)
{
	if (!is_range(&e->range) || e->range.type >= CSV_LOCK_WRITE)
		return -EINVAL;
	if (!lockrange_strongest(&s->held, &e->range))
		return 0;
	set_held(s, &e->range, false);
	if (FILELOCK_MUTANT(s, NO_WAKE) &&
	    lockrange_first(&s->held, &(struct lock_range){.handle = e->range.handle,
							   .owner = e->range.owner,
							   .end = CSV_LOCK_END_MAX}))
		return 0;
	settle(s, &e->range, out);
	return 0;
}

static void on_cancel(struct filelock_state *s, const struct filelock_event *e,
		      struct filelock_actions *out)
{
	uint32_t at = find_wait(s, e->mount, &e->range.handle, e->number);
	struct lock_range l;

	if (!at || (FILELOCK_MUTANT(s, KEEP_TURN) && s->wait[at - 1].state == FILELOCK_RESERVED))
		return;
	l = s->wait[at - 1].range;
	drop_wait(s, at);
	settle(s, &l, out);
}

/* ---- mounts */

static void forget_held(struct filelock_state *s, uint64_t mount)
{
	for (uint32_t i = 0; s->held.count && i < FILELOCK_RANGES; i++) {
		struct lock_range l = s->row[i];

		if (!l.type || l.owner.mount != mount)
			continue;
		l.type = CSV_LOCK_NONE;
		set_held(s, &l, false);
	}
}

static void drop_waits(struct filelock_state *s, uint64_t mount)
{
	for (uint32_t i = 0; s->waits && i <= FILELOCK_WAITS; i++) {
		if (s->wait[i].state != FILELOCK_FREE && s->wait[i].range.owner.mount == mount)
			drop_wait(s, i + 1);
	}
}

static void on_replaced(struct filelock_state *s, uint64_t mount, struct filelock_actions *out)
{
	if (!FILELOCK_MUTANT(s, KEEP_WAITS))
		drop_waits(s, mount);
	if (FILELOCK_MUTANT(s, DROP_LOCKS))
		forget_held(s, mount);
	if (s->is_open)
		settle_all(s, out);
}

static void forget(struct filelock_state *s, uint64_t mount, struct filelock_actions *out)
{
	drop_waits(s, mount);
	if (!FILELOCK_MUTANT(s, KEEP_DEAD))
		forget_held(s, mount);
	if (s->is_open)
		settle_all(s, out);
}

static void on_gone(struct filelock_state *s, uint64_t mount, struct filelock_actions *out)
{
	struct filelock_mount *m = mount_row(s, mount);

	forget(s, mount, out);
	if (m && !FILELOCK_MUTANT(s, KEEP_DEAD))
		*m = (struct filelock_mount){0};
}

static void on_channel(struct filelock_state *s, const struct filelock_event *e,
		       struct filelock_actions *out)
{
	struct filelock_mount *m = mount_row(s, e->mount);

	if (!m)
		return; /* it cannot wait either: -ENOLCK */
	m->conn = e->conn;
	for (uint32_t i = 0; s->waits && i <= FILELOCK_WAITS; i++) {
		const struct filelock_wait *w = &s->wait[i];

		if ((w->state == FILELOCK_RESERVED || w->state == FILELOCK_REFUSED) &&
		    w->range.owner.mount == e->mount && !FILELOCK_MUTANT(s, NO_REPEAT))
			tell(s, w, out);
	}
}

static void on_lost(struct filelock_state *s, uint64_t conn)
{
	for (size_t i = 0; i < FILELOCK_MOUNTS; i++) {
		if (s->mount[i].conn == conn)
			s->mount[i].conn = 0;
	}
}

static int on_reclaim(struct filelock_state *s, const struct lock_range *l)
{
	if (!is_range(l) || (l->type != CSV_LOCK_READ && l->type != CSV_LOCK_WRITE))
		return -EINVAL;
	if (filelock_against(s, l))
		return -EPROTO;
	if (!mount_row(s, l->owner.mount) ||
	    s->held.count + lockrange_needs(&s->held, l) > FILELOCK_RANGES)
		return -ENOSPC;
	set_held(s, l, true);
	return 0;
}

static int on_reclaim_wait(struct filelock_state *s, const struct filelock_event *e,
			   struct filelock_actions *out)
{
	const struct lock_range *l = &e->range;

	if (!is_range(l) || (l->type != CSV_LOCK_READ && l->type != CSV_LOCK_WRITE) || !e->number)
		return -EINVAL;
	if (!mount_row(s, l->owner.mount) || s->waits >= FILELOCK_WAITS)
		return -ENOSPC;
	if (!find_own(s, l, e->number))
		new_wait(s, l, e->number, FILELOCK_WAITING);
	settle(s, l, out);
	return 0;
}

static int on_range(struct filelock_state *s, const struct filelock_event *e,
		    struct filelock_actions *out)
{
	switch (e->type) {
	case FILELOCK_EV_RECLAIM:
		return on_reclaim(s, &e->range);
	case FILELOCK_EV_RECLAIM_WAIT:
		return on_reclaim_wait(s, e, out);
	case FILELOCK_EV_LOCK:
		/* Requests are executed when all have reclaimed (session.h). */
		must(s->is_open);
		return on_lock(s, e, out);
	default:
		return on_unlock(s, e, out);
	}
}

int filelock_step(struct filelock_state *s, const struct filelock_event *e,
		  struct filelock_actions *out)
{
	out->count = 0;
	switch (e->type) {
	case FILELOCK_EV_CHANNEL:
		on_channel(s, e, out);
		return 0;
	case FILELOCK_EV_LOST:
		on_lost(s, e->conn);
		return 0;
	case FILELOCK_EV_GONE:
		on_gone(s, e->mount, out);
		return 0;
	case FILELOCK_EV_RESET:
		forget(s, e->mount, out);
		return 0;
	case FILELOCK_EV_REPLACED:
		on_replaced(s, e->mount, out);
		return 0;
	case FILELOCK_EV_OPEN:
		s->is_open = true;
		settle_all(s, out);
		for (uint32_t i = 0; s->waits && i <= FILELOCK_WAITS; i++) {
			if (s->wait[i].state == FILELOCK_WAITING)
				refuse_circles(s, &s->wait[i].range.owner, out);
		}
		return 0;
	case FILELOCK_EV_CANCEL:
		on_cancel(s, e, out);
		return 0;
	case FILELOCK_EV_RECLAIM:
	case FILELOCK_EV_RECLAIM_WAIT:
	case FILELOCK_EV_LOCK:
	case FILELOCK_EV_UNLOCK:
		return on_range(s, e, out);
	case FILELOCK_EV_MAX:
		break;
	}
	return -EINVAL;
}

/* ---- looking at it */

static const char *check_row(const struct filelock_state *s, const struct lock_range *row)
{
	const struct lock_range *other = NULL;

	while ((other = lockrange_next(&s->held, &row->handle, other))) {
		if (lockrange_excludes(row, other))
			return "two owners have what excludes each other";
	}
	return against_turns(s, row) ? "a turn has come for what somebody else has" : NULL;
}

static const char *check_wait(const struct filelock_state *s, const struct filelock_wait *w)
{
	if (w->state == FILELOCK_FREE || w->state == FILELOCK_PROBE)
		return "something else is in line";
	if (w->state == FILELOCK_RESERVED && !s->is_open)
		return "a turn has come before all have told what they have";
	if (w->state == FILELOCK_RESERVED && against_turns(s, &w->range))
		return "two turns exclude each other";
	if (w->state == FILELOCK_WAITING && s->is_open && !w->is_behind &&
	    !filelock_against(s, &w->range))
		return "somebody waits for nothing";
	return NULL;
}

static const char *check_queue(const struct filelock_state *s, uint32_t bucket, uint32_t *waits)
{
	const struct filelock_queue *q = &s->queue[bucket];
	uint32_t hungry = 0, reserved = 0;

	for (uint32_t at = s->held.bucket[bucket]; at; at = s->row[at - 1].next) {
		const char *wrong = check_row(s, &s->row[at - 1]);

		if (wrong)
			return wrong;
	}
	for (uint32_t at = q->first; at; at = s->wait[at - 1].next) {
		const char *wrong = check_wait(s, &s->wait[at - 1]);

		if (wrong)
			return wrong;
		(*waits)++;
		hungry += is_hungry(&s->wait[at - 1]);
		reserved += s->wait[at - 1].state == FILELOCK_RESERVED;
	}
	return hungry == q->hungry && reserved == q->reserved ? NULL : "a queue has miscounted";
}

const char *filelock_check(const struct filelock_state *s)
{
	const char *wrong = lockrange_check(&s->held);
	uint32_t waits = 0, ranges = 0, by_owner = 0;

	for (uint32_t i = 0; !wrong && i < LOCKRANGE_BUCKETS; i++)
		wrong = check_queue(s, i, &waits);
	for (size_t i = 0; i < FILELOCK_MOUNTS; i++)
		ranges += s->mount[i].ranges;
	if (wrong)
		return wrong;
	for (uint32_t i = 0; i < LOCKRANGE_BUCKETS; i++)
		by_owner += s->owner_held[i];
	if (ranges != s->held.count || by_owner != s->held.count)
		return "the count of a mount or an owner is wrong";
	return waits == s->waits ? NULL : "the count of waits is wrong";
}

const char *filelock_event_name(enum filelock_event_type type)
{
	static const char *const name[FILELOCK_EV_MAX] = {
#define NAME_OF(NAME) [FILELOCK_EV_##NAME] = #NAME,
		FILELOCK_EVENTS(NAME_OF)
#undef NAME_OF
	};

	return type < FILELOCK_EV_MAX ? name[type] : "?";
}
