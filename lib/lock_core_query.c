/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be asked of a lock core state: its invariants, its locks, the words for its enums. */
#include <errno.h>
#include <string.h>

#include "lib/lock_core.h"
#include "lib/lock_core_impl.h"

/* ---- words ---- */

const char *lk_mode_name(unsigned int mode)
{
	static const char *const names[LK_MODE_MAX] = {
#define X(name) [LK_##name] = #name,
		LK_MODES(X)
#undef X
	};

	return mode < LK_MODE_MAX ? names[mode] : "?";
}

const char *lk_event_name(unsigned int type)
{
	static const char *const names[LK_EV_MAX] = {
#define X(name, flags) [LK_EV_##name] = #name,
		LK_EVENTS(X)
#undef X
	};

	return type < LK_EV_MAX ? names[type] : "?";
}

const char *lk_action_name(unsigned int kind)
{
	static const char *const names[LK_DO_MAX] = {
#define X(name) [LK_DO_##name] = #name,
		LK_ACTIONS(X)
#undef X
	};

	return kind < LK_DO_MAX ? names[kind] : "?";
}

const char *lk_refusal_words(unsigned int refusal)
{
	static const char *const all[LK_REFUSAL_MAX] = {
#define X(name, error, words) [LK_REFUSED_##name] = (words),
		LK_REFUSALS(X)
#undef X
	};

	return refusal < LK_REFUSAL_MAX ? all[refusal] : "?";
}

/* ---- invariants ---- */

/* Both directions agree, the count is right, and no index is outside the array. */
static bool list_is_sound(const struct lk_link *links, const struct lk_list *list, uint32_t max)
{
	uint32_t prev = LK_NIL;
	uint32_t n = 0;

	for (uint32_t i = list->head; i != LK_NIL; i = links[i].next) {
		if (i >= max || n++ >= max || links[i].prev != prev)
			return false;
		prev = i;
	}
	return n == list->count && prev == list->tail;
}

static const char *check_lists(const struct lk_state *st)
{
	const struct lk_head *h = st->head;
	const struct lk_limits *l = &h->limits;

	if (!list_is_sound(st->session_order, &h->sessions, l->max_sessions) ||
	    !list_is_sound(st->session_order, &h->free_sessions, l->max_sessions) ||
	    h->sessions.count + h->free_sessions.count != l->max_sessions)
		return "sessions in use and free ones make up the table";
	if (!list_is_sound(st->resource_order, &h->resources, l->max_resources) ||
	    !list_is_sound(st->resource_order, &h->free_resources, l->max_resources) ||
	    h->resources.count + h->free_resources.count != l->max_resources)
		return "resources in use and free ones make up the table";
	if (!list_is_sound(st->queue_links, &h->free_locks, l->max_locks) ||
	    h->locks + h->free_locks.count != l->max_locks)
		return "locks in use and free ones make up the table";
	if (h->dirty_head != LK_NIL || h->dirty_tail != LK_NIL)
		return "between steps no resource is left to settle";
	return NULL;
}

static const char *check_session(const struct lk_state *st, uint32_t s)
{
	const struct lk_session *session = &st->sessions[s];
	uint64_t last_id = 0;

	if (!session->id || lk_session_find(st, session->id) != s)
		return "a session id is not 0 and unique";
	if (session->node >= LK_MAX_NODES || session->state >= LK_SESSION_STATE_MAX)
		return "node and state of a session are in range";
	if (!list_is_sound(st->owner_links, &session->locks, st->head->limits.max_locks))
		return "a session's list of locks is sound";
	if (session->state == LK_SESSION_ORPHANED && !session->locks.count)
		return "an orphaned session has locks";
	for (uint32_t i = session->locks.head; i != LK_NIL; i = st->owner_links[i].next) {
		const struct lk_lock *l = &st->locks[i];

		if (l->session != s || l->id <= last_id)
			return "a session lists its own locks by ascending id";
		if (session->state == LK_SESSION_ORPHANED && l->queue != LK_QUEUE_GRANTED)
			return "an orphaned session asks for nothing";
		last_id = l->id;
	}
	return NULL;
}

static const char *check_lock(const struct lk_state *st, uint32_t i, enum lk_queue queue)
{
	const struct lk_lock *l = &st->locks[i];

	if (l->queue != queue || l->granted >= LK_MODE_MAX || l->requested >= LK_MODE_MAX)
		return "queue and modes of a lock are in range";
	if (!l->id || l->id >= st->head->next_lock_id || lk_lock_find(st, l->id) != i)
		return "a lock id is unique and below the next one";
	if (l->told != LK_NL &&
	    (queue == LK_QUEUE_WAITING || l->told >= LK_MODE_MAX ||
	     lk_mode_compatible((enum lk_mode)l->granted, (enum lk_mode)l->told)))
		return "a holder was told of a mode that it blocks";
	if (queue == LK_QUEUE_GRANTED && (l->requested != l->granted || l->wants_lvb))
		return "a granted lock asks for nothing";
	if (queue == LK_QUEUE_CONVERTING && lk_is_down(l->granted, l->requested))
		return "no conversion waits that excludes nobody new";
	if (queue == LK_QUEUE_WAITING && l->granted != LK_NL)
		return "a waiting lock holds nothing";
	if (queue != LK_QUEUE_WAITING && lk_blocked_mode(st, i) > l->told)
		return "every holder in the way has been told";
	return NULL;
}

/* The queues against the counts that lk_queue_append() keeps. */
static const char *check_counts(const struct lk_state *st, const struct lk_resource *r)
{
	uint32_t held[LK_MODE_MAX] = {0};
	uint32_t wanted[LK_MODE_MAX] = {0};

	for (int q = 0; q < LK_QUEUE_MAX; q++) {
		for (uint32_t i = r->queues[q].head; i != LK_NIL; i = st->queue_links[i].next) {
			if (q != LK_QUEUE_WAITING)
				held[st->locks[i].granted]++;
			if (q != LK_QUEUE_GRANTED)
				wanted[st->locks[i].requested]++;
		}
	}
	if (memcmp(held, r->held, sizeof(held)) || memcmp(wanted, r->wanted, sizeof(wanted)))
		return "counts of modes held and wanted are right";
	for (enum lk_mode a = LK_NL; a < LK_MODE_MAX; a++) {
		if (held[a] > 1 && !lk_mode_compatible(a, a))
			return "no two granted locks are incompatible";
		for (enum lk_mode b = LK_NL; b < a; b++) {
			if (held[a] && held[b] && !lk_mode_compatible(a, b))
				return "no two granted locks are incompatible";
		}
	}
	return NULL;
}

static const char *check_conversions(const struct lk_state *st, const struct lk_list *converting)
{
	bool is_wanted[LK_MODE_MAX] = {false};

	for (uint32_t i = converting->head; i != LK_NIL; i = st->queue_links[i].next) {
		enum lk_mode granted = (enum lk_mode)st->locks[i].granted;

		for (enum lk_mode m = LK_NL; m < LK_MODE_MAX; m++) {
			if (is_wanted[m] && !lk_mode_compatible(m, granted))
				return "no conversion waits for one behind it";
		}
		is_wanted[st->locks[i].requested] = true;
	}
	return NULL;
}

/* Waiters really have to wait, and can be served one day. */
static const char *check_waiting(const struct lk_state *st, const struct lk_resource *r)
{
	const struct lk_list *converting = &r->queues[LK_QUEUE_CONVERTING];
	const struct lk_list *waiting = &r->queues[LK_QUEUE_WAITING];
	uint32_t first = converting->head;

	if (converting->count + waiting->count > st->head->limits.max_queued)
		return "the queues of a resource are within their bound";
	if (first != LK_NIL && lk_is_compatible(st, r, st->locks[first].requested, first))
		return "the first conversion cannot be granted";
	if (first == LK_NIL && waiting->count &&
	    lk_is_compatible(st, r, st->locks[waiting->head].requested, LK_NIL))
		return "the first waiter cannot be granted";
	return check_conversions(st, converting);
}

static const char *check_resource(const struct lk_state *st, uint32_t index, uint32_t *locks)
{
	const struct lk_resource *r = &st->resources[index];
	const char *broken = NULL;
	uint32_t n = 0;

	if (!r->name_len || r->name_len > LK_NAME_MAX ||
	    lk_resource_find(st, r->name, r->name_len) != index)
		return "a resource name is unique and not empty";
	if (r->lvb_valid > 1 || r->is_dirty)
		return "flags of a resource are in range";
	for (int q = 0; q < LK_QUEUE_MAX; q++) {
		if (!list_is_sound(st->queue_links, &r->queues[q], st->head->limits.max_locks))
			return "the queues of a resource are sound";
		for (uint32_t i = r->queues[q].head; i != LK_NIL && !broken;
		     i = st->queue_links[i].next) {
			broken = st->locks[i].resource == index
					 ? check_lock(st, i, (enum lk_queue)q)
					 : "a lock is in a queue of its own resource";
		}
		n += r->queues[q].count;
	}
	if (!n)
		return "a resource has a lock";
	*locks += n;
	if (!broken)
		broken = check_counts(st, r);
	return broken ? broken : check_waiting(st, r);
}

const char *lk_check(const struct lk_state *st)
{
	const struct lk_head *h = st->head;
	const char *broken = check_lists(st);
	uint32_t owned = 0;
	uint32_t queued = 0;

	for (uint32_t i = h->sessions.head; i != LK_NIL && !broken; i = st->session_order[i].next) {
		broken = check_session(st, i);
		owned += st->sessions[i].locks.count;
	}
	for (uint32_t i = h->resources.head; i != LK_NIL && !broken; i = st->resource_order[i].next)
		broken = check_resource(st, i, &queued);
	if (!broken && (owned != h->locks || queued != h->locks))
		broken = "every lock is in one queue and of one session";
	return broken;
}

/* ---- listings ---- */

static void session_info(const struct lk_state *st, uint32_t i, struct lk_session_info *ret)
{
	const struct lk_session *s = &st->sessions[i];

	*ret = (struct lk_session_info){.id = s->id,
					.incarnation = s->incarnation,
					.locks = s->locks.count,
					.node = s->node,
					.state = (enum lk_session_state)s->state};
}

static void lock_info(const struct lk_state *st, uint32_t i, struct lk_lock_info *ret)
{
	const struct lk_lock *l = &st->locks[i];
	const struct lk_resource *r = &st->resources[l->resource];

	*ret = (struct lk_lock_info){.id = l->id,
				     .cookie = l->cookie,
				     .queue = (enum lk_queue)l->queue,
				     .granted = l->granted,
				     .requested = l->requested,
				     .told = l->told,
				     .name_len = r->name_len,
				     .lvb_valid = r->lvb_valid};
	session_info(st, l->session, &ret->session);
	memcpy(ret->name, r->name, r->name_len);
	memcpy(ret->lvb, r->lvb, LK_LVB_BYTES);
}

int lk_session_get(const struct lk_state *st, uint64_t session, struct lk_session_info *ret)
{
	uint32_t i = lk_session_find(st, session);

	if (i == LK_NIL)
		return -ENOENT;
	session_info(st, i, ret);
	return 0;
}

int lk_lock_get(const struct lk_state *st, uint64_t lock_id, struct lk_lock_info *ret)
{
	uint32_t i = lk_lock_find(st, lock_id);

	if (i == LK_NIL)
		return -ENOENT;
	lock_info(st, i, ret);
	return 0;
}

int lk_each_session(const struct lk_state *st,
		    int (*fn)(void *arg, const struct lk_session_info *info), void *arg)
{
	struct lk_session_info info;
	int r = 0;

	for (uint32_t i = st->head->sessions.head; i != LK_NIL && !r;
	     i = st->session_order[i].next) {
		session_info(st, i, &info);
		r = fn(arg, &info);
	}
	return r;
}

static bool name_is_less(const struct lk_state *st, uint32_t a, uint32_t b)
{
	const struct lk_resource *ra = &st->resources[a];
	const struct lk_resource *rb = &st->resources[b];
	uint8_t n = ra->name_len < rb->name_len ? ra->name_len : rb->name_len;
	int c = memcmp(ra->name, rb->name, n);

	return c ? c < 0 : ra->name_len < rb->name_len;
}

/* Cuts up to n entries off the front of *rest and returns their first. */
static uint32_t run_cut(uint32_t *next, uint32_t *rest, uint32_t n)
{
	uint32_t first = *rest;
	uint32_t *at = rest;

	while (n-- && *at != LK_NIL)
		at = &next[*at];
	if (*at != LK_NIL) {
		*rest = *at;
		*at = LK_NIL;
	} else {
		*rest = LK_NIL;
	}
	return first;
}

/* Bottom-up merge sort of a list (Knuth 5.2.4): no memory of its own, no recursion, stable. */
uint32_t lk_sort(const struct lk_state *st, uint32_t head, uint32_t n,
		 bool (*is_less)(const struct lk_state *st, uint32_t a, uint32_t b))
{
	uint32_t *next = st->scratch;

	for (uint32_t width = 1; width < n; width *= 2) {
		uint32_t rest = head;
		uint32_t *tail = &head;

		while (rest != LK_NIL) {
			uint32_t a = run_cut(next, &rest, width);
			uint32_t b = run_cut(next, &rest, width);

			while (a != LK_NIL || b != LK_NIL) {
				bool is_b = a == LK_NIL || (b != LK_NIL && is_less(st, b, a));
				uint32_t *from = is_b ? &b : &a;

				*tail = *from;
				tail = &next[*from];
				*from = *tail;
			}
		}
		*tail = LK_NIL;
	}
	return head;
}

static int each_lock_of(const struct lk_state *st, const struct lk_resource *res,
			int (*fn)(void *arg, const struct lk_lock_info *info), void *arg)
{
	struct lk_lock_info info;
	int r = 0;

	for (int q = 0; q < LK_QUEUE_MAX; q++) {
		for (uint32_t i = res->queues[q].head; i != LK_NIL && !r;
		     i = st->queue_links[i].next) {
			lock_info(st, i, &info);
			r = fn(arg, &info);
		}
	}
	return r;
}

int lk_each(struct lk_state *st, int (*fn)(void *arg, const struct lk_lock_info *info), void *arg)
{
	uint32_t head = st->head->resources.head;
	int r = 0;

	for (uint32_t i = head; i != LK_NIL; i = st->resource_order[i].next)
		st->scratch[i] = st->resource_order[i].next;
	head = lk_sort(st, head, st->head->resources.count, name_is_less);
	for (uint32_t i = head; i != LK_NIL && !r; i = st->scratch[i])
		r = each_lock_of(st, &st->resources[i], fn, arg);
	return r;
}
