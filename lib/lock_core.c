/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/lock_core.h"

#include <errno.h>
#include <string.h>

#include "lib/lock_core_impl.h"
#include "lib/must.h"

#define BIT(mode) (1U << (mode))

/* For each mode the modes that another lock may hold beside it. */
static const uint8_t compatible_with[LK_MODE_MAX] = {
	[LK_NL] = BIT(LK_NL) | BIT(LK_CR) | BIT(LK_CW) | BIT(LK_PR) | BIT(LK_PW) | BIT(LK_EX),
	[LK_CR] = BIT(LK_NL) | BIT(LK_CR) | BIT(LK_CW) | BIT(LK_PR) | BIT(LK_PW),
	[LK_CW] = BIT(LK_NL) | BIT(LK_CR) | BIT(LK_CW),
	[LK_PR] = BIT(LK_NL) | BIT(LK_CR) | BIT(LK_PR),
	[LK_PW] = BIT(LK_NL) | BIT(LK_CR),
	[LK_EX] = BIT(LK_NL),
};

static const int refusal_errno[LK_REFUSAL_MAX] = {
#define X(name, error, words) [LK_REFUSED_##name] = (error),
	LK_REFUSALS(X)
#undef X
};

static const uint32_t event_flags[LK_EV_MAX] = {
#define X(name, flags) [LK_EV_##name] = (flags),
	LK_EVENTS(X)
#undef X
};

bool lk_mode_compatible(enum lk_mode a, enum lk_mode b)
{
	return compatible_with[a] & BIT(b);
}

bool lk_is_down(uint8_t from, uint8_t to)
{
	return !(compatible_with[from] & ~compatible_with[to]);
}

/* ---- actions ---- */

static struct lk_action *act(struct lk_state *st, struct lk_actions *out, uint32_t lock,
			     enum lk_action_kind kind, enum lk_cause cause)
{
	const struct lk_lock *l = &st->locks[lock];
	struct lk_action *a;

	must(out->count < out->cap);
	a = &out->items[out->count++];
	*a = (struct lk_action){.kind = kind,
				.cause = cause,
				.mode = l->granted,
				.session = st->sessions[l->session].id,
				.lock_id = l->id,
				.cookie = l->cookie};
	return a;
}

static void act_denied(struct lk_state *st, struct lk_actions *out, uint32_t lock, uint8_t mode,
		       enum lk_cause cause, int error)
{
	struct lk_action *a = act(st, out, lock, LK_DO_DENIED, cause);

	a->mode = mode;
	a->error = error;
}

static int refuse(struct lk_actions *out, enum lk_refusal why)
{
	out->refusal = why;
	return -refusal_errno[why];
}

/* ---- granting ---- */

bool lk_is_compatible(const struct lk_state *st, const struct lk_resource *r, uint8_t mode,
		      uint32_t self)
{
	for (uint32_t m = 0; m < LK_MODE_MAX; m++) {
		bool is_own = self != LK_NIL && st->locks[self].granted == m;

		if (r->held[m] > is_own && !(compatible_with[mode] & BIT(m)))
			return false;
	}
	return true;
}

uint8_t lk_blocked_mode(const struct lk_state *st, uint32_t lock)
{
	const struct lk_lock *l = &st->locks[lock];
	const struct lk_resource *r = &st->resources[l->resource];

	for (uint8_t m = LK_EX; m > LK_NL; m--) {
		bool is_own = l->queue == LK_QUEUE_CONVERTING && l->requested == m;

		if (r->wanted[m] > is_own && !(compatible_with[l->granted] & BIT(m)))
			return m;
	}
	return LK_NL;
}

/* Which way the value block goes; the table is dlm_lvb_operations of fs/dlm/lock.c. */
static bool lvb_is_written(uint8_t from, uint8_t to)
{
	return from == LK_EX || (from == LK_PW && to != LK_EX);
}

/* By a holder that writes: converts down, or unlocks (to NL). */
static void lvb_write(struct lk_resource *r, const struct lk_event *ev)
{
	if (ev->flags & LK_IVVALBLK) {
		r->lvb_valid = false;
	} else if (ev->flags & LK_VALBLK) {
		memcpy(r->lvb, ev->lvb, LK_LVB_BYTES);
		r->lvb_valid = true;
	}
}

/* Grants what the lock requests, from whatever queue it is in. */
static void lock_grant(struct lk_state *st, uint32_t i, enum lk_cause cause, struct lk_actions *out)
{
	struct lk_lock *l = &st->locks[i];
	const struct lk_resource *r = &st->resources[l->resource];
	bool is_new = l->queue == LK_QUEUE_WAITING;
	bool is_read =
		is_new || (l->requested >= l->granted && !lvb_is_written(l->granted, l->requested));
	struct lk_action *a;

	if (l->queue == LK_QUEUE_GRANTED) { /* a conversion in place */
		l->told = l->granted == l->requested ? l->told : LK_NL;
		lk_queue_set_mode(st, i, l->requested);
	} else {
		lk_queue_remove(st, i);
		l->told = LK_NL;
		l->granted = l->requested;
		lk_queue_append(st, i, LK_QUEUE_GRANTED);
	}
	a = act(st, out, i, LK_DO_GRANTED, cause);
	if (l->wants_lvb && is_read) {
		a->has_lvb = true;
		a->lvb_valid = r->lvb_valid;
		memcpy(a->lvb, r->lvb, LK_LVB_BYTES);
	}
	l->wants_lvb = false;
}

static void tell_holders(struct lk_state *st, const struct lk_list *queue, struct lk_actions *out)
{
	for (uint32_t i = queue->head; i != LK_NIL; i = st->queue_links[i].next) {
		uint8_t mode = lk_blocked_mode(st, i);

		if (mode <= st->locks[i].told)
			continue;
		st->locks[i].told = mode;
		act(st, out, i, LK_DO_BLOCKING, LK_BY_QUEUE)->mode = mode;
	}
}

/* After any change: grants the heads, tells the holders, forgets an empty resource. */
static void resource_settle(struct lk_state *st, uint32_t i, struct lk_actions *out)
{
	struct lk_resource *r = &st->resources[i];
	const struct lk_list *converting = &r->queues[LK_QUEUE_CONVERTING];
	const struct lk_list *waiting = &r->queues[LK_QUEUE_WAITING];
	uint32_t l;

	while ((l = converting->head) != LK_NIL &&
	       lk_is_compatible(st, r, st->locks[l].requested, l))
		lock_grant(st, l, LK_BY_QUEUE, out);
	while (!converting->count && (l = waiting->head) != LK_NIL &&
	       lk_is_compatible(st, r, st->locks[l].requested, LK_NIL))
		lock_grant(st, l, LK_BY_QUEUE, out);
	if (converting->count || waiting->count) {
		tell_holders(st, &r->queues[LK_QUEUE_GRANTED], out);
		tell_holders(st, converting, out);
	}
	if (!r->queues[LK_QUEUE_GRANTED].count && !converting->count && !waiting->count)
		lk_resource_remove(st, i);
}

/* Puts off resource_settle() until all of the step's own changes are made. */
static void mark_dirty(struct lk_state *st, uint32_t i)
{
	struct lk_resource *r = &st->resources[i];
	struct lk_head *h = st->head;

	if (r->is_dirty)
		return;
	r->is_dirty = true;
	r->dirty_next = LK_NIL;
	if (h->dirty_head == LK_NIL)
		h->dirty_head = i;
	else
		st->resources[h->dirty_tail].dirty_next = i;
	h->dirty_tail = i;
}

static void settle_dirty(struct lk_state *st, struct lk_actions *out)
{
	struct lk_head *h = st->head;

	while (h->dirty_head != LK_NIL) {
		uint32_t i = h->dirty_head;

		h->dirty_head = st->resources[i].dirty_next;
		st->resources[i].is_dirty = false;
		st->resources[i].dirty_next = 0;
		resource_settle(st, i, out);
	}
	h->dirty_tail = LK_NIL;
}

/* ---- events of sessions ---- */

static int on_open(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out)
{
	if (!ev->session)
		return refuse(out, LK_REFUSED_BAD_SESSION);
	if (ev->node >= LK_MAX_NODES)
		return refuse(out, LK_REFUSED_BAD_NODE);
	if (lk_session_find(st, ev->session) != LK_NIL)
		return refuse(out, LK_REFUSED_SESSION_EXISTS);
	if (!st->head->free_sessions.count)
		return refuse(out, LK_REFUSED_SESSIONS_FULL);
	lk_session_add(st, ev->session, ev->node, ev->incarnation);
	return 0;
}

static int on_close(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out)
{
	uint32_t s = lk_session_find(st, ev->session);

	if (s == LK_NIL)
		return refuse(out, LK_REFUSED_NO_SESSION);
	if (st->sessions[s].locks.count)
		return refuse(out, LK_REFUSED_SESSION_HAS_LOCKS);
	lk_session_remove(st, s);
	return 0;
}

/* Cancels what is not granted. A request that waits ends, a conversion falls back. */
static void request_cancel(struct lk_state *st, uint32_t i, enum lk_cause cause,
			   struct lk_actions *out)
{
	struct lk_lock *l = &st->locks[i];

	act_denied(st, out, i, l->requested, cause, -ECANCELED);
	mark_dirty(st, l->resource);
	if (l->queue == LK_QUEUE_WAITING) {
		lk_lock_remove(st, i);
		return;
	}
	lk_queue_remove(st, i);
	l->requested = l->granted;
	l->wants_lvb = false;
	lk_queue_append(st, i, LK_QUEUE_GRANTED);
}

static void session_orphan(struct lk_state *st, uint32_t s, struct lk_actions *out)
{
	uint32_t next;

	st->sessions[s].state = LK_SESSION_ORPHANED;
	for (uint32_t i = st->sessions[s].locks.head; i != LK_NIL; i = next) {
		next = st->owner_links[i].next;
		if (st->locks[i].queue != LK_QUEUE_GRANTED)
			request_cancel(st, i, LK_BY_DEATH, out);
	}
}

/* An orphaned session ends with its last lock. */
static void session_end_if_empty(struct lk_state *st, uint32_t s)
{
	if (!st->sessions[s].locks.count)
		lk_session_remove(st, s);
}

static int on_orphan(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out)
{
	uint32_t s = lk_session_find(st, ev->session);

	if (s == LK_NIL)
		return refuse(out, LK_REFUSED_NO_SESSION);
	if (st->sessions[s].state == LK_SESSION_ORPHANED)
		return refuse(out, LK_REFUSED_SESSION_ORPHANED);
	session_orphan(st, s, out);
	settle_dirty(st, out);
	session_end_if_empty(st, s);
	return 0;
}

static int on_adopt(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out)
{
	uint32_t to = lk_session_find(st, ev->session);
	uint32_t from = lk_session_find(st, ev->peer);
	const struct lk_list *locks;
	uint32_t at;

	if (to == LK_NIL || from == LK_NIL)
		return refuse(out, LK_REFUSED_NO_SESSION);
	if (st->sessions[to].state != LK_SESSION_ACTIVE)
		return refuse(out, LK_REFUSED_SESSION_ORPHANED);
	if (st->sessions[from].state != LK_SESSION_ORPHANED)
		return refuse(out, LK_REFUSED_SESSION_ACTIVE);
	if (st->sessions[to].node != st->sessions[from].node ||
	    st->sessions[to].incarnation != st->sessions[from].incarnation)
		return refuse(out, LK_REFUSED_OTHER_NODE);
	locks = &st->sessions[from].locks;
	at = st->sessions[to].locks.head;
	while (locks->count) {
		uint32_t i = locks->head;

		at = lk_lock_set_owner(st, i, to, at);
		act(st, out, i, LK_DO_GRANTED, LK_BY_ADOPT);
		mark_dirty(st, st->locks[i].resource);
	}
	settle_dirty(st, out);
	lk_session_remove(st, from);
	return 0;
}

static bool name_matches(const struct lk_resource *r, const struct lk_event *ev)
{
	if (ev->name_len > r->name_len)
		return false;
	if ((ev->flags & LK_EXACT) && ev->name_len != r->name_len)
		return false;
	return !memcmp(r->name, ev->name, ev->name_len);
}

/* Ends the granted locks of an orphaned session whose resource matches ev; all, without ev. */
static void session_release(struct lk_state *st, uint32_t s, const struct lk_event *ev,
			    struct lk_actions *out)
{
	uint32_t next;

	for (uint32_t i = st->sessions[s].locks.head; i != LK_NIL; i = next) {
		const struct lk_lock *l = &st->locks[i];
		struct lk_resource *r = &st->resources[l->resource];

		next = st->owner_links[i].next;
		if (ev && !name_matches(r, ev))
			continue;
		if (l->granted >= LK_PW)
			r->lvb_valid = false;
		act(st, out, i, LK_DO_UNLOCKED, LK_BY_DEATH);
		mark_dirty(st, l->resource);
		lk_lock_remove(st, i);
	}
}

static int on_release(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out)
{
	uint32_t s = lk_session_find(st, ev->session);

	if (s == LK_NIL)
		return refuse(out, LK_REFUSED_NO_SESSION);
	if (st->sessions[s].state != LK_SESSION_ORPHANED)
		return refuse(out, LK_REFUSED_SESSION_ACTIVE);
	session_release(st, s, NULL, out);
	settle_dirty(st, out);
	lk_session_remove(st, s);
	return 0;
}

/* No session matches: nothing to do, and no refusal, so that a recovery can be repeated. */
static int on_release_matching(struct lk_state *st, const struct lk_event *ev,
			       struct lk_actions *out)
{
	uint32_t next;

	if (ev->node >= LK_MAX_NODES)
		return refuse(out, LK_REFUSED_BAD_NODE);
	if (ev->name_len > LK_NAME_MAX)
		return refuse(out, LK_REFUSED_BAD_NAME);
	for (uint32_t s = st->head->sessions.head; s != LK_NIL; s = next) {
		next = st->session_order[s].next;
		if (st->sessions[s].node != ev->node ||
		    st->sessions[s].incarnation != ev->incarnation)
			continue;
		if (st->sessions[s].state != LK_SESSION_ORPHANED)
			session_orphan(st, s, out);
		session_release(st, s, ev, out);
		session_end_if_empty(st, s);
	}
	settle_dirty(st, out);
	return 0;
}

/* ---- events of locks ---- */

/* Nobody converts and nobody waits, and what is held allows it. */
static bool may_grant_new(const struct lk_state *st, const struct lk_resource *r, uint8_t mode)
{
	return !r->queues[LK_QUEUE_CONVERTING].count && !r->queues[LK_QUEUE_WAITING].count &&
	       lk_is_compatible(st, r, mode, LK_NIL);
}

static bool queue_is_full(const struct lk_state *st, const struct lk_resource *r)
{
	return r->queues[LK_QUEUE_CONVERTING].count + r->queues[LK_QUEUE_WAITING].count >=
	       st->head->limits.max_queued;
}

/* The answer to a LOCK that would have to wait: no lock is made. */
static int deny_new(const struct lk_event *ev, struct lk_actions *out)
{
	must(out->count < out->cap);
	out->items[out->count++] = (struct lk_action){.kind = LK_DO_DENIED,
						      .error = -EAGAIN,
						      .mode = ev->mode,
						      .session = ev->session,
						      .cookie = ev->cookie};
	return 0;
}

/* A new lock joins its session and the wait queue; it leaves that at once if it may. */
static void new_lock_enter(struct lk_state *st, const struct lk_event *ev, uint32_t i,
			   bool is_granted, struct lk_actions *out)
{
	struct lk_lock *l = &st->locks[i];

	lk_list_append(st->owner_links, &st->sessions[l->session].locks, i);
	l->cookie = ev->cookie;
	l->requested = ev->mode;
	l->wants_lvb = !!(ev->flags & LK_VALBLK);
	lk_queue_append(st, i, LK_QUEUE_WAITING);
	if (is_granted)
		lock_grant(st, i, LK_BY_REQUEST, out);
	else
		act(st, out, i, LK_DO_QUEUED, LK_BY_REQUEST)->mode = ev->mode;
}

static int on_lock(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out)
{
	uint32_t s = lk_session_find(st, ev->session);
	bool is_granted;
	uint32_t r;

	if (s == LK_NIL)
		return refuse(out, LK_REFUSED_NO_SESSION);
	if (st->sessions[s].state != LK_SESSION_ACTIVE)
		return refuse(out, LK_REFUSED_SESSION_ORPHANED);
	if (ev->mode >= LK_MODE_MAX)
		return refuse(out, LK_REFUSED_BAD_MODE);
	if (!ev->name_len || ev->name_len > LK_NAME_MAX)
		return refuse(out, LK_REFUSED_BAD_NAME);
	r = lk_resource_find(st, ev->name, ev->name_len);
	is_granted = r == LK_NIL || may_grant_new(st, &st->resources[r], ev->mode);
	if (!is_granted && (ev->flags & LK_NOQUEUE))
		return deny_new(ev, out);
	if (!is_granted && queue_is_full(st, &st->resources[r]))
		return refuse(out, LK_REFUSED_QUEUE_FULL);
	if (!st->head->free_locks.count)
		return refuse(out, LK_REFUSED_LOCKS_FULL);
	if (r == LK_NIL && !st->head->free_resources.count)
		return refuse(out, LK_REFUSED_RESOURCES_FULL);
	if (r == LK_NIL)
		r = lk_resource_add(st, ev->name, ev->name_len);
	new_lock_enter(st, ev, lk_lock_add(st, st->head->next_lock_id++, r, s), is_granted, out);
	resource_settle(st, r, out);
	return 0;
}

/* The lock of an event, and why its session may not touch it. */
static enum lk_refusal find_own_lock(const struct lk_state *st, const struct lk_event *ev,
				     uint32_t *ret_lock)
{
	uint32_t s = lk_session_find(st, ev->session);
	uint32_t i = lk_lock_find(st, ev->lock_id);

	if (s == LK_NIL)
		return LK_REFUSED_NO_SESSION;
	if (st->sessions[s].state != LK_SESSION_ACTIVE)
		return LK_REFUSED_SESSION_ORPHANED;
	if (i == LK_NIL)
		return LK_REFUSED_NO_LOCK;
	if (st->locks[i].session != s)
		return LK_REFUSED_NOT_OWNER;
	*ret_lock = i;
	return LK_REFUSED_NONE;
}

/* Would a conversion queued now wait for one that waits for the mode that we hold? */
static bool conversion_deadlocks(const struct lk_state *st, const struct lk_resource *r,
				 uint8_t granted)
{
	uint32_t i = r->queues[LK_QUEUE_CONVERTING].head;

	while (i != LK_NIL && (compatible_with[granted] & BIT(st->locks[i].requested)))
		i = st->queue_links[i].next;
	return i != LK_NIL;
}

static void convert_enqueue(struct lk_state *st, const struct lk_event *ev, uint32_t i,
			    struct lk_actions *out)
{
	struct lk_lock *l = &st->locks[i];

	lk_queue_remove(st, i);
	l->requested = ev->mode;
	l->wants_lvb = !!(ev->flags & LK_VALBLK);
	lk_queue_append(st, i, LK_QUEUE_CONVERTING);
	act(st, out, i, LK_DO_QUEUED, LK_BY_REQUEST)->mode = ev->mode;
}

static int convert_wait(struct lk_state *st, const struct lk_event *ev, uint32_t i,
			struct lk_actions *out)
{
	const struct lk_lock *l = &st->locks[i];
	const struct lk_resource *r = &st->resources[l->resource];
	int error = 0;

	if (ev->flags & LK_NOQUEUE)
		error = -EAGAIN;
	else if (conversion_deadlocks(st, r, l->granted))
		error = -EDEADLK;
	else if (queue_is_full(st, r))
		return refuse(out, LK_REFUSED_QUEUE_FULL);
	if (error) {
		act_denied(st, out, i, ev->mode, LK_BY_REQUEST, error);
		return 0;
	}
	convert_enqueue(st, ev, i, out);
	resource_settle(st, l->resource, out);
	return 0;
}

static int on_convert(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out)
{
	uint32_t i = LK_NIL;
	enum lk_refusal why = find_own_lock(st, ev, &i);
	struct lk_resource *r;
	struct lk_lock *l;

	if (why)
		return refuse(out, why);
	if (ev->mode >= LK_MODE_MAX)
		return refuse(out, LK_REFUSED_BAD_MODE);
	l = &st->locks[i];
	r = &st->resources[l->resource];
	if (l->queue != LK_QUEUE_GRANTED)
		return refuse(out, LK_REFUSED_PENDING);
	if (!lk_is_down(l->granted, ev->mode) &&
	    (r->queues[LK_QUEUE_CONVERTING].count || !lk_is_compatible(st, r, ev->mode, i)))
		return convert_wait(st, ev, i, out);
	/* Only a conversion granted at once can write: from PW or EX all ways but PW to EX lead
	 * down. */
	if (lvb_is_written(l->granted, ev->mode))
		lvb_write(r, ev);
	l->requested = ev->mode;
	l->wants_lvb = !!(ev->flags & LK_VALBLK);
	lock_grant(st, i, LK_BY_REQUEST, out);
	resource_settle(st, l->resource, out);
	return 0;
}

static int on_unlock(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out)
{
	uint32_t i = LK_NIL;
	enum lk_refusal why = find_own_lock(st, ev, &i);
	uint32_t r;

	if (why)
		return refuse(out, why);
	if (st->locks[i].queue != LK_QUEUE_GRANTED)
		return refuse(out, LK_REFUSED_PENDING);
	r = st->locks[i].resource;
	if (lvb_is_written(st->locks[i].granted, LK_NL))
		lvb_write(&st->resources[r], ev);
	act(st, out, i, LK_DO_UNLOCKED, LK_BY_REQUEST);
	lk_lock_remove(st, i);
	resource_settle(st, r, out);
	return 0;
}

static int on_cancel(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out)
{
	uint32_t i = LK_NIL;
	enum lk_refusal why = find_own_lock(st, ev, &i);

	if (why)
		return refuse(out, why);
	if (st->locks[i].queue == LK_QUEUE_GRANTED)
		return refuse(out, LK_REFUSED_NOT_PENDING);
	request_cancel(st, i, LK_BY_REQUEST, out);
	settle_dirty(st, out);
	return 0;
}

/* The one lock that the session holds on the resource, with nothing pending on it. */
static enum lk_refusal find_only_held(const struct lk_state *st, uint32_t r, uint32_t session,
				      uint32_t *ret_lock)
{
	const struct lk_resource *res = &st->resources[r];
	uint32_t found = LK_NIL;

	for (uint32_t i = res->queues[LK_QUEUE_CONVERTING].head; i != LK_NIL;
	     i = st->queue_links[i].next) {
		if (st->locks[i].session == session)
			return LK_REFUSED_PENDING;
	}
	for (uint32_t i = res->queues[LK_QUEUE_GRANTED].head; i != LK_NIL;
	     i = st->queue_links[i].next) {
		if (st->locks[i].session != session)
			continue;
		if (found != LK_NIL)
			return LK_REFUSED_AMBIGUOUS;
		found = i;
	}
	if (found == LK_NIL)
		return LK_REFUSED_NO_LOCK;
	*ret_lock = found;
	return LK_REFUSED_NONE;
}

/* Mode, lock id, value block and queues stay: at no point does nobody hold the lock. */
static int on_transfer(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out)
{
	uint32_t from = lk_session_find(st, ev->session);
	uint32_t to = lk_session_find(st, ev->peer);
	uint32_t i = LK_NIL;
	enum lk_refusal why;
	uint32_t r;

	if (from == LK_NIL || to == LK_NIL)
		return refuse(out, LK_REFUSED_NO_SESSION);
	if (from == to)
		return refuse(out, LK_REFUSED_BAD_SESSION);
	if (st->sessions[from].state != LK_SESSION_ACTIVE ||
	    st->sessions[to].state != LK_SESSION_ACTIVE)
		return refuse(out, LK_REFUSED_SESSION_ORPHANED);
	if (!ev->name_len || ev->name_len > LK_NAME_MAX)
		return refuse(out, LK_REFUSED_BAD_NAME);
	r = lk_resource_find(st, ev->name, ev->name_len);
	why = r == LK_NIL ? LK_REFUSED_NO_LOCK : find_only_held(st, r, from, &i);
	if (why)
		return refuse(out, why);
	act(st, out, i, LK_DO_UNLOCKED, LK_BY_TRANSFER);
	lk_lock_set_owner(st, i, to, st->sessions[to].locks.head);
	st->locks[i].cookie = ev->cookie;
	act(st, out, i, LK_DO_GRANTED, LK_BY_TRANSFER);
	resource_settle(st, r, out);
	return 0;
}

static int (*const handlers[LK_EV_MAX])(struct lk_state *st, const struct lk_event *ev,
					struct lk_actions *out) = {
	[LK_EV_OPEN] = on_open,		[LK_EV_CLOSE] = on_close,
	[LK_EV_ORPHAN] = on_orphan,	[LK_EV_ADOPT] = on_adopt,
	[LK_EV_RELEASE] = on_release,	[LK_EV_RELEASE_MATCHING] = on_release_matching,
	[LK_EV_LOCK] = on_lock,		[LK_EV_CONVERT] = on_convert,
	[LK_EV_UNLOCK] = on_unlock,	[LK_EV_CANCEL] = on_cancel,
	[LK_EV_TRANSFER] = on_transfer,
};

int lk_step(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out)
{
	out->count = 0;
	out->refusal = LK_REFUSED_NONE;
	if ((unsigned int)ev->type >= LK_EV_MAX)
		return refuse(out, LK_REFUSED_BAD_EVENT);
	if (ev->flags & ~event_flags[ev->type])
		return refuse(out, LK_REFUSED_BAD_FLAGS);
	return handlers[ev->type](st, ev, out);
}
