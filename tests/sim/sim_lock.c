/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulation of the lock core: seeded random events against a model that is as simple as can be
 * (one flat array, every question answered by looking at all pairs, matrices written out as
 * tables) and shares nothing with the core but its header. Compared after every step: result,
 * reason, each action in order, and every lock; besides, lk_check(), and that a refusal changed no
 * byte. At random points the state is replaced by its copy or its decoded snapshot, and damaged
 * snapshots are offered. In the end everybody releases, and every request must have been answered.
 *
 *   sim_lock [--seeds N] [--seed S] [--steps N]
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/lock_core.h"
#include "lib/must.h"
#include "lib/prng.h"

#define MAX_SESSIONS 8
#define MAX_LOCKS    40
#define NAMES	     8
#define ACTIONS	     (2 * MAX_LOCKS + 2)
#define NONE	     (-1)

/* ---- the model ---- */

struct m_session {
	uint64_t id; /* 0: free */
	uint64_t incarnation;
	uint64_t opened; /* order */
	int node;
	bool is_orphaned;
};

struct m_lock {
	uint64_t id; /* 0: free */
	uint64_t session;
	uint64_t cookie;
	uint64_t place; /* order in its queue */
	enum lk_queue queue;
	int name;
	int granted;   /* or NONE */
	int requested; /* or NONE */
	int told;
	bool wants_lvb;
};

struct m_value {
	bool is_valid;
	uint8_t bytes[LK_LVB_BYTES];
};

struct model {
	struct lk_limits limits;
	struct m_session sessions[MAX_SESSIONS];
	struct m_lock locks[MAX_LOCKS];
	struct m_value values[NAMES];
	uint64_t next_id;
	uint64_t clock;
	struct lk_action expected[ACTIONS];
	uint32_t count;
	enum lk_refusal refusal;
	int touched[NAMES]; /* in order */
	int touched_count;
};

/* "vol:ab" begins with "vol:a", "grp:10" with "grp:1"; one name is as long as a name can be. */
static const struct {
	const char *text;
	uint8_t len;
} names[NAMES] = {
	{"vol:a", 5},	 {"vol:ab", 6},
	{"vm:1", 4},	 {"grp:1", 5},
	{"grp:10", 6},	 {"\0\xff\0", 3},
	{"ino:4567", 8}, {"mnt:0123456789012345678901234567890123456789012345678901234567_64", 64},
};

static const bool compatible[6][6] = {
	/*        NL CR CW PR PW EX */
	/* NL */ {1, 1, 1, 1, 1, 1},
	/* CR */ {1, 1, 1, 1, 1, 0},
	/* CW */ {1, 1, 1, 0, 0, 0},
	/* PR */ {1, 1, 0, 1, 0, 0},
	/* PW */ {1, 1, 0, 0, 0, 0},
	/* EX */ {1, 0, 0, 0, 0, 0},
};

/* 'r': returned to the holder, 'w': written by it, '-': neither; row held, column asked for. */
static const char value_moves[6][7] = {"rrrrrr", "-rrrrr", "--rrrr", "---rrr", "wwwwwr", "wwwwww"};

static struct m_session *m_session(struct model *m, uint64_t id)
{
	for (int i = 0; i < MAX_SESSIONS && id; i++) {
		if (m->sessions[i].id == id)
			return &m->sessions[i];
	}
	return NULL;
}

static struct m_lock *m_lock(struct model *m, uint64_t id)
{
	for (int i = 0; i < MAX_LOCKS && id; i++) {
		if (m->locks[i].id == id)
			return &m->locks[i];
	}
	return NULL;
}

static int m_name(const uint8_t *name, uint8_t len)
{
	for (int i = 0; i < NAMES; i++) {
		if (names[i].len == len && !memcmp(names[i].text, name, len))
			return i;
	}
	return NONE;
}

/* How many locks of that name are in that queue; NONE is any. */
static uint32_t m_count(const struct model *m, int name, int queue)
{
	uint32_t n = 0;

	for (int i = 0; i < MAX_LOCKS; i++) {
		const struct m_lock *l = &m->locks[i];

		n += l->id && (name == NONE || l->name == name) &&
		     (queue == NONE || (int)l->queue == queue);
	}
	return n;
}

/* The lock that comes next in a queue after place `after`. */
static struct m_lock *m_next(struct model *m, int name, enum lk_queue queue, uint64_t after)
{
	struct m_lock *best = NULL;

	for (int i = 0; i < MAX_LOCKS; i++) {
		struct m_lock *l = &m->locks[i];

		if (l->id && l->name == name && l->queue == queue && l->place > after &&
		    (!best || l->place < best->place))
			best = l;
	}
	return best;
}

/* The session's lock with the next higher id. */
static struct m_lock *m_next_of(struct model *m, uint64_t session, uint64_t after)
{
	struct m_lock *best = NULL;

	for (int i = 0; i < MAX_LOCKS; i++) {
		struct m_lock *l = &m->locks[i];

		if (l->id > after && l->session == session && (!best || l->id < best->id))
			best = l;
	}
	return best;
}

static bool m_fits(const struct model *m, int name, int mode, const struct m_lock *self)
{
	for (int i = 0; i < MAX_LOCKS; i++) {
		const struct m_lock *l = &m->locks[i];

		if (l->id && l != self && l->name == name && l->granted != NONE &&
		    !compatible[l->granted][mode])
			return false;
	}
	return true;
}

static struct lk_action *expect(struct model *m, const struct m_lock *l, enum lk_action_kind kind,
				enum lk_cause cause, int mode)
{
	struct lk_action *a = &m->expected[m->count++];

	*a = (struct lk_action){.kind = kind,
				.cause = cause,
				.mode = (uint8_t)mode,
				.session = l->session,
				.lock_id = l->id,
				.cookie = l->cookie};
	return a;
}

static void m_touch(struct model *m, int name)
{
	for (int i = 0; i < m->touched_count; i++) {
		if (m->touched[i] == name)
			return;
	}
	m->touched[m->touched_count++] = name;
}

static void m_grant(struct model *m, struct m_lock *l, enum lk_cause cause)
{
	struct lk_action *a = expect(m, l, LK_DO_GRANTED, cause, l->requested);
	bool is_read = l->granted == NONE || value_moves[l->granted][l->requested] == 'r';

	if (l->wants_lvb && is_read) {
		a->has_lvb = true;
		a->lvb_valid = m->values[l->name].is_valid;
		memcpy(a->lvb, m->values[l->name].bytes, LK_LVB_BYTES);
	}
	if (l->granted != l->requested)
		l->told = LK_NL;
	if (l->queue != LK_QUEUE_GRANTED) {
		l->told = LK_NL;
		l->place = ++m->clock;
	}
	l->queue = LK_QUEUE_GRANTED;
	l->granted = l->requested;
	l->requested = NONE;
	l->wants_lvb = false;
}

static void m_tell(struct model *m, struct m_lock *holder)
{
	int mode = LK_NL;

	for (int i = 0; i < MAX_LOCKS; i++) {
		const struct m_lock *l = &m->locks[i];

		if (l->id && l != holder && l->name == holder->name && l->requested > mode &&
		    !compatible[holder->granted][l->requested])
			mode = l->requested;
	}
	if (mode > holder->told) {
		holder->told = mode;
		expect(m, holder, LK_DO_BLOCKING, LK_BY_QUEUE, mode);
	}
}

static void m_settle(struct model *m, int name)
{
	struct m_lock *l;

	while ((l = m_next(m, name, LK_QUEUE_CONVERTING, 0)) && m_fits(m, name, l->requested, l))
		m_grant(m, l, LK_BY_QUEUE);
	while (!m_next(m, name, LK_QUEUE_CONVERTING, 0) &&
	       (l = m_next(m, name, LK_QUEUE_WAITING, 0)) && m_fits(m, name, l->requested, l))
		m_grant(m, l, LK_BY_QUEUE);
	for (l = m_next(m, name, LK_QUEUE_GRANTED, 0); l;
	     l = m_next(m, name, LK_QUEUE_GRANTED, l->place))
		m_tell(m, l);
	for (l = m_next(m, name, LK_QUEUE_CONVERTING, 0); l;
	     l = m_next(m, name, LK_QUEUE_CONVERTING, l->place))
		m_tell(m, l);
	if (!m_count(m, name, NONE))
		m->values[name] = (struct m_value){.is_valid = true};
}

static void m_cancel(struct model *m, struct m_lock *l, enum lk_cause cause)
{
	expect(m, l, LK_DO_DENIED, cause, l->requested)->error = -ECANCELED;
	m_touch(m, l->name);
	if (l->queue == LK_QUEUE_WAITING) {
		*l = (struct m_lock){0};
		return;
	}
	l->queue = LK_QUEUE_GRANTED;
	l->place = ++m->clock;
	l->requested = NONE;
	l->wants_lvb = false;
}

static int no(struct model *m, enum lk_refusal why)
{
	m->refusal = why;
	return 1;
}

/* ---- the model's events: 0, or 1 if refused ---- */

static int m_open(struct model *m, const struct lk_event *ev)
{
	if (!ev->session)
		return no(m, LK_REFUSED_BAD_SESSION);
	if (ev->node > 15)
		return no(m, LK_REFUSED_BAD_NODE);
	if (m_session(m, ev->session))
		return no(m, LK_REFUSED_SESSION_EXISTS);
	for (uint32_t i = 0; i < m->limits.max_sessions; i++) {
		if (m->sessions[i].id)
			continue;
		m->sessions[i] = (struct m_session){.id = ev->session,
						    .node = ev->node,
						    .incarnation = ev->incarnation,
						    .opened = ++m->clock};
		return 0;
	}
	return no(m, LK_REFUSED_SESSIONS_FULL);
}

static int m_close(struct model *m, const struct lk_event *ev)
{
	struct m_session *s = m_session(m, ev->session);

	if (!s)
		return no(m, LK_REFUSED_NO_SESSION);
	if (m_next_of(m, s->id, 0))
		return no(m, LK_REFUSED_SESSION_HAS_LOCKS);
	s->id = 0;
	return 0;
}

static void m_die(struct model *m, struct m_session *s)
{
	s->is_orphaned = true;
	for (struct m_lock *l = m_next_of(m, s->id, 0); l;) {
		uint64_t id = l->id;

		if (l->queue != LK_QUEUE_GRANTED)
			m_cancel(m, l, LK_BY_DEATH);
		l = m_next_of(m, s->id, id);
	}
}

static void m_end(struct model *m, struct m_session *s)
{
	if (!m_next_of(m, s->id, 0))
		s->id = 0;
}

static int m_orphan(struct model *m, const struct lk_event *ev)
{
	struct m_session *s = m_session(m, ev->session);

	if (!s)
		return no(m, LK_REFUSED_NO_SESSION);
	if (s->is_orphaned)
		return no(m, LK_REFUSED_SESSION_ORPHANED);
	m_die(m, s);
	m_end(m, s);
	return 0;
}

static int m_adopt(struct model *m, const struct lk_event *ev)
{
	struct m_session *to = m_session(m, ev->session);
	struct m_session *from = m_session(m, ev->peer);
	struct m_lock *l;

	if (!to || !from)
		return no(m, LK_REFUSED_NO_SESSION);
	if (to->is_orphaned)
		return no(m, LK_REFUSED_SESSION_ORPHANED);
	if (!from->is_orphaned)
		return no(m, LK_REFUSED_SESSION_ACTIVE);
	if (to->node != from->node || to->incarnation != from->incarnation)
		return no(m, LK_REFUSED_OTHER_NODE);
	while ((l = m_next_of(m, from->id, 0))) {
		l->session = to->id;
		l->told = LK_NL;
		expect(m, l, LK_DO_GRANTED, LK_BY_ADOPT, l->granted);
		m_touch(m, l->name);
	}
	m_end(m, from);
	return 0;
}

/* filter NULL: all */
static void m_free_locks(struct model *m, struct m_session *s, const struct lk_event *filter)
{
	for (struct m_lock *l = m_next_of(m, s->id, 0); l;) {
		uint64_t id = l->id;
		uint8_t len = names[l->name].len;
		bool is_match =
			!filter || (filter->name_len <= len &&
				    !memcmp(names[l->name].text, filter->name, filter->name_len));

		if (filter && (filter->flags & LK_EXACT) && filter->name_len != len)
			is_match = false;
		if (is_match) {
			if (l->granted == LK_PW || l->granted == LK_EX)
				m->values[l->name].is_valid = false;
			expect(m, l, LK_DO_UNLOCKED, LK_BY_DEATH, l->granted);
			m_touch(m, l->name);
			*l = (struct m_lock){0};
		}
		l = m_next_of(m, s->id, id);
	}
}

static int m_release(struct model *m, const struct lk_event *ev)
{
	struct m_session *s = m_session(m, ev->session);

	if (!s)
		return no(m, LK_REFUSED_NO_SESSION);
	if (!s->is_orphaned)
		return no(m, LK_REFUSED_SESSION_ACTIVE);
	m_free_locks(m, s, NULL);
	m_end(m, s);
	return 0;
}

static int m_release_matching(struct model *m, const struct lk_event *ev)
{
	uint64_t last = 0;

	if (ev->node > 15)
		return no(m, LK_REFUSED_BAD_NODE);
	if (ev->name_len > 64)
		return no(m, LK_REFUSED_BAD_NAME);
	for (;;) {
		struct m_session *s = NULL;

		for (int i = 0; i < MAX_SESSIONS; i++) {
			struct m_session *t = &m->sessions[i];

			if (t->id && t->node == ev->node && t->incarnation == ev->incarnation &&
			    t->opened > last && (!s || t->opened < s->opened))
				s = t;
		}
		if (!s)
			return 0;
		last = s->opened;
		m_die(m, s);
		m_free_locks(m, s, ev);
		m_end(m, s);
	}
}

static bool m_resources_are_full(const struct model *m)
{
	uint32_t n = 0;

	for (int i = 0; i < NAMES; i++)
		n += m_count(m, i, NONE) > 0;
	return n >= m->limits.max_resources;
}

static bool m_queue_is_full(const struct model *m, int name)
{
	return m_count(m, name, LK_QUEUE_CONVERTING) + m_count(m, name, LK_QUEUE_WAITING) >=
	       m->limits.max_queued;
}

static int m_lock_new(struct model *m, const struct lk_event *ev)
{
	struct m_session *s = m_session(m, ev->session);
	struct m_lock new = {.session = ev->session,
			     .cookie = ev->cookie,
			     .granted = NONE,
			     .requested = ev->mode,
			     .queue = LK_QUEUE_WAITING,
			     .wants_lvb = ev->flags & LK_VALBLK};
	bool is_at_once;
	struct m_lock *l = NULL;

	if (!s)
		return no(m, LK_REFUSED_NO_SESSION);
	if (s->is_orphaned)
		return no(m, LK_REFUSED_SESSION_ORPHANED);
	if (ev->mode > LK_EX)
		return no(m, LK_REFUSED_BAD_MODE);
	if (ev->name_len < 1 || ev->name_len > 64)
		return no(m, LK_REFUSED_BAD_NAME);
	new.name = m_name(ev->name, ev->name_len);
	must(new.name != NONE);
	is_at_once = m_fits(m, new.name, ev->mode, NULL) &&
		     m_count(m, new.name, NONE) == m_count(m, new.name, LK_QUEUE_GRANTED);
	if (!is_at_once && (ev->flags & LK_NOQUEUE)) {
		expect(m, &new, LK_DO_DENIED, LK_BY_REQUEST, ev->mode)->error = -EAGAIN;
		return 0;
	}
	if (!is_at_once && m_queue_is_full(m, new.name))
		return no(m, LK_REFUSED_QUEUE_FULL);
	if (m_count(m, NONE, NONE) == m->limits.max_locks)
		return no(m, LK_REFUSED_LOCKS_FULL);
	if (!m_count(m, new.name, NONE) && m_resources_are_full(m))
		return no(m, LK_REFUSED_RESOURCES_FULL);
	for (l = m->locks; l->id;)
		l++;
	new.id = ++m->next_id;
	new.place = ++m->clock;
	*l = new;
	if (is_at_once)
		m_grant(m, l, LK_BY_REQUEST);
	else
		expect(m, l, LK_DO_QUEUED, LK_BY_REQUEST, ev->mode);
	m_touch(m, l->name);
	return 0;
}

static int m_own(struct model *m, const struct lk_event *ev)
{
	struct m_session *s = m_session(m, ev->session);
	struct m_lock *l = m_lock(m, ev->lock_id);

	if (!s)
		return no(m, LK_REFUSED_NO_SESSION);
	if (s->is_orphaned)
		return no(m, LK_REFUSED_SESSION_ORPHANED);
	if (!l)
		return no(m, LK_REFUSED_NO_LOCK);
	if (l->session != s->id)
		return no(m, LK_REFUSED_NOT_OWNER);
	return 0;
}

/*
 * Would a conversion by `self` to `mode`, put last, stand in a circle? The graph of who waits for
 * whom, closed transitively (Warshall).
 */
static bool m_is_circle(struct model *m, const struct m_lock *self, int mode)
{
	const struct m_lock *c[MAX_LOCKS + 1];
	bool waits[MAX_LOCKS + 1][MAX_LOCKS + 1] = {0};
	int n = 0;

	for (struct m_lock *l = m_next(m, self->name, LK_QUEUE_CONVERTING, 0); l;
	     l = m_next(m, self->name, LK_QUEUE_CONVERTING, l->place))
		c[n++] = l;
	c[n++] = self;
	for (int i = 0; i < n; i++) {
		int wanted = c[i] == self ? mode : c[i]->requested;

		for (int j = 0; j < n; j++)
			waits[i][j] = j < i || (j > i && !compatible[c[j]->granted][wanted]);
	}
	for (int k = 0; k < n; k++) {
		for (int i = 0; i < n; i++) {
			for (int j = 0; j < n; j++)
				waits[i][j] = waits[i][j] || (waits[i][k] && waits[k][j]);
		}
	}
	return waits[n - 1][n - 1];
}

static bool m_excludes_more(int from, int to)
{
	for (int x = 0; x < 6; x++) {
		if (compatible[from][x] && !compatible[to][x])
			return true;
	}
	return false;
}

static void m_write(struct model *m, const struct m_lock *l, const struct lk_event *ev)
{
	struct m_value *v = &m->values[l->name];

	if (ev->flags & LK_IVVALBLK)
		v->is_valid = false;
	else if (ev->flags & LK_VALBLK) {
		v->is_valid = true;
		memcpy(v->bytes, ev->lvb, LK_LVB_BYTES);
	}
}

static int m_convert(struct model *m, const struct lk_event *ev)
{
	struct m_lock *l = m_lock(m, ev->lock_id);
	int error = 0;

	if (m_own(m, ev))
		return 1;
	if (ev->mode > LK_EX)
		return no(m, LK_REFUSED_BAD_MODE);
	if (l->queue != LK_QUEUE_GRANTED)
		return no(m, LK_REFUSED_PENDING);
	if (!m_excludes_more(l->granted, ev->mode) ||
	    (!m_count(m, l->name, LK_QUEUE_CONVERTING) && m_fits(m, l->name, ev->mode, l))) {
		if (value_moves[l->granted][ev->mode] == 'w')
			m_write(m, l, ev);
		l->requested = ev->mode;
		l->wants_lvb = ev->flags & LK_VALBLK;
		m_grant(m, l, LK_BY_REQUEST);
		m_touch(m, l->name);
		return 0;
	}
	if (ev->flags & LK_NOQUEUE)
		error = -EAGAIN;
	else if (m_is_circle(m, l, ev->mode))
		error = -EDEADLK;
	else if (m_queue_is_full(m, l->name))
		return no(m, LK_REFUSED_QUEUE_FULL);
	if (error) {
		expect(m, l, LK_DO_DENIED, LK_BY_REQUEST, ev->mode)->error = error;
		return 0;
	}
	l->requested = ev->mode;
	l->wants_lvb = ev->flags & LK_VALBLK;
	l->queue = LK_QUEUE_CONVERTING;
	l->place = ++m->clock;
	expect(m, l, LK_DO_QUEUED, LK_BY_REQUEST, ev->mode);
	m_touch(m, l->name);
	return 0;
}

static int m_unlock(struct model *m, const struct lk_event *ev)
{
	struct m_lock *l = m_lock(m, ev->lock_id);

	if (m_own(m, ev))
		return 1;
	if (l->queue != LK_QUEUE_GRANTED)
		return no(m, LK_REFUSED_PENDING);
	if (l->granted >= LK_PW)
		m_write(m, l, ev);
	expect(m, l, LK_DO_UNLOCKED, LK_BY_REQUEST, l->granted);
	m_touch(m, l->name);
	*l = (struct m_lock){0};
	return 0;
}

static int m_cancel_one(struct model *m, const struct lk_event *ev)
{
	struct m_lock *l = m_lock(m, ev->lock_id);

	if (m_own(m, ev))
		return 1;
	if (l->queue == LK_QUEUE_GRANTED)
		return no(m, LK_REFUSED_NOT_PENDING);
	m_cancel(m, l, LK_BY_REQUEST);
	return 0;
}

static int m_transfer(struct model *m, const struct lk_event *ev)
{
	struct m_session *from = m_session(m, ev->session);
	struct m_session *to = m_session(m, ev->peer);
	struct m_lock *held = NULL;
	int n[LK_QUEUE_MAX] = {0};
	int name;

	if (!from || !to)
		return no(m, LK_REFUSED_NO_SESSION);
	if (from == to)
		return no(m, LK_REFUSED_BAD_SESSION);
	if (from->is_orphaned || to->is_orphaned)
		return no(m, LK_REFUSED_SESSION_ORPHANED);
	if (ev->name_len < 1 || ev->name_len > 64)
		return no(m, LK_REFUSED_BAD_NAME);
	name = m_name(ev->name, ev->name_len);
	for (struct m_lock *l = m_next_of(m, from->id, 0); l; l = m_next_of(m, from->id, l->id)) {
		if (l->name != name)
			continue;
		n[l->queue]++;
		if (l->queue == LK_QUEUE_GRANTED)
			held = l;
	}
	if (n[LK_QUEUE_CONVERTING])
		return no(m, LK_REFUSED_PENDING);
	if (n[LK_QUEUE_GRANTED] > 1)
		return no(m, LK_REFUSED_AMBIGUOUS);
	if (!held)
		return no(m, LK_REFUSED_NO_LOCK);
	expect(m, held, LK_DO_UNLOCKED, LK_BY_TRANSFER, held->granted);
	held->session = to->id;
	held->cookie = ev->cookie;
	held->told = LK_NL;
	expect(m, held, LK_DO_GRANTED, LK_BY_TRANSFER, held->granted);
	m_touch(m, name);
	return 0;
}

static void m_step(struct model *m, const struct lk_event *ev)
{
	static int (*const events[LK_EV_MAX])(struct model * m, const struct lk_event *ev) = {
		m_open,	    m_close,   m_orphan, m_adopt,      m_release,  m_release_matching,
		m_lock_new, m_convert, m_unlock, m_cancel_one, m_transfer,
	};
	static const uint32_t flags[LK_EV_MAX] = {0, 0, 0, 0, 0, 8, 3, 7, 6, 0, 0};

	m->count = 0;
	m->refusal = LK_REFUSED_NONE;
	m->touched_count = 0;
	if ((unsigned int)ev->type >= LK_EV_MAX) {
		m->refusal = LK_REFUSED_BAD_EVENT;
		return;
	}
	if (ev->flags & ~flags[ev->type]) {
		m->refusal = LK_REFUSED_BAD_FLAGS;
		return;
	}
	if (events[ev->type](m, ev))
		return;
	for (int i = 0; i < m->touched_count; i++)
		m_settle(m, m->touched[i]);
}

/* ---- one run ---- */

struct sim {
	struct prng prng;
	struct model m;
	struct lk_state st;
	size_t size;
	void *mem;   /* of st */
	void *spare; /* for copies and snapshots */
	void *before;
	uint8_t *snapshot;
	size_t snapshot_cap;
	struct lk_action items[ACTIONS];
	struct lk_actions out;
	uint64_t queued;   /* requests told to wait */
	uint64_t answered; /* of these */
	uint64_t step;
	uint32_t weights[LK_EV_MAX];
	uint32_t names_used;
	uint32_t garbage_pct;
	uint32_t strong_pct; /* PW and EX rather than any mode */
	uint32_t weak_pct;   /* of new locks: NL and CR */
	uint32_t flag_pct;
	const char *error;
	char text[256];
};

static bool is_same_action(const struct lk_action *a, const struct lk_action *b)
{
	return a->kind == b->kind && a->cause == b->cause && a->error == b->error &&
	       a->mode == b->mode && a->has_lvb == b->has_lvb && a->lvb_valid == b->lvb_valid &&
	       a->session == b->session && a->lock_id == b->lock_id && a->cookie == b->cookie &&
	       !memcmp(a->lvb, b->lvb, LK_LVB_BYTES);
}

static void fail(struct sim *s, const char *what, uint64_t a, uint64_t b)
{
	if (s->error)
		return;
	snprintf(s->text, sizeof(s->text), "%s (%" PRIu64 ", %" PRIu64 ")", what, a, b);
	s->error = s->text;
}

struct listing {
	struct sim *s;
	struct lk_lock_info last;
	uint32_t count;
};

static int compare_name(const struct lk_lock_info *a, const struct lk_lock_info *b)
{
	uint8_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int c = memcmp(a->name, b->name, n);

	return c ? c : a->name_len - b->name_len;
}

/* One lock of lk_each() against the model. */
static int compare_lock(void *arg, const struct lk_lock_info *info)
{
	struct listing *list = arg;
	struct model *m = &list->s->m;
	const struct m_lock *l = m_lock(m, info->id);
	const struct m_lock *before = m_lock(m, list->last.id);
	int c = compare_name(&list->last, info);

	if (!l || l->queue != info->queue || l->session != info->session.id ||
	    l->cookie != info->cookie || m_name(info->name, info->name_len) != l->name ||
	    l->told != info->told)
		return 1;
	if (l->queue != LK_QUEUE_WAITING && l->granted != info->granted)
		return 2;
	if (l->queue != LK_QUEUE_GRANTED && l->requested != info->requested)
		return 3;
	if (m->values[l->name].is_valid != info->lvb_valid ||
	    memcmp(m->values[l->name].bytes, info->lvb, LK_LVB_BYTES))
		return 4;
	if (before &&
	    (c > 0 || (!c && (list->last.queue > info->queue ||
			      (list->last.queue == info->queue && before->place > l->place)))))
		return 5;
	list->last = *info;
	list->count++;
	return 0;
}

static int compare_session(void *arg, const struct lk_session_info *info)
{
	struct listing *list = arg;
	const struct m_session *s = m_session(&list->s->m, info->id);

	list->count++;
	return !s || s->node != info->node || s->incarnation != info->incarnation ||
	       s->is_orphaned != (info->state == LK_SESSION_ORPHANED);
}

static void compare_state(struct sim *s)
{
	struct listing list = {.s = s};
	const char *broken = lk_check(&s->st);
	uint32_t sessions = 0;
	int r;

	if (broken)
		fail(s, broken, 0, 0);
	r = lk_each(&s->st, compare_lock, &list);
	if (r || list.count != m_count(&s->m, NONE, NONE))
		fail(s, "locks are not those of the model", (uint64_t)r, list.count);
	for (int i = 0; i < MAX_SESSIONS; i++)
		sessions += s->m.sessions[i].id != 0;
	list.count = 0;
	if (lk_each_session(&s->st, compare_session, &list) || list.count != sessions)
		fail(s, "sessions are not those of the model", list.count, sessions);
}

static void compare_result(struct sim *s, const struct lk_event *ev, int r)
{
	const struct lk_actions *out = &s->out;

	if (out->refusal != s->m.refusal || (r < 0) != (s->m.refusal != LK_REFUSED_NONE))
		fail(s, "refused for another reason", out->refusal, s->m.refusal);
	if (out->count != s->m.count)
		fail(s, "number of actions", out->count, s->m.count);
	for (uint32_t i = 0; i < out->count && !s->error; i++) {
		const struct lk_action *a = &out->items[i];

		if (!is_same_action(a, &s->m.expected[i]))
			fail(s, "action is another one", i, a->kind);
		s->queued += a->kind == LK_DO_QUEUED;
		s->answered += (a->kind == LK_DO_GRANTED && a->cause == LK_BY_QUEUE) ||
			       (a->kind == LK_DO_DENIED && a->error == -ECANCELED);
	}
	/* What was not accepted has not left a trace. */
	if ((r ||
	     (out->count == 1 && out->items[0].kind == LK_DO_DENIED && ev->type != LK_EV_CANCEL &&
	      ev->type != LK_EV_ORPHAN && ev->type != LK_EV_RELEASE_MATCHING)) &&
	    memcmp(s->before, s->mem, s->size))
		fail(s, "the state changed without an effect", 0, 0);
}

static void apply(struct sim *s, const struct lk_event *ev)
{
	int r;

	memcpy(s->before, s->mem, s->size);
	m_step(&s->m, ev);
	r = lk_step(&s->st, ev, &s->out);
	compare_result(s, ev, r);
	if (!s->error)
		compare_state(s);
	if (s->error)
		fprintf(stderr,
			"  event %s session %" PRIu64 " lock %" PRIu64 " mode %u flags %u\n",
			lk_event_name((unsigned int)ev->type), ev->session, ev->lock_id, ev->mode,
			ev->flags);
}

/* ---- what happens ---- */

static uint64_t any_session(struct sim *s, bool want_orphan)
{
	uint64_t first = prng_below(&s->prng, MAX_SESSIONS);

	for (uint64_t i = 0; i < MAX_SESSIONS; i++) {
		const struct m_session *m = &s->m.sessions[(first + i) % MAX_SESSIONS];

		if (m->id && m->is_orphaned == want_orphan)
			return m->id;
	}
	return prng_below(&s->prng, 3);
}

static void pick_name(struct sim *s, struct lk_event *ev)
{
	uint64_t i = prng_below(&s->prng, s->names_used);

	ev->name_len = names[i].len;
	memcpy(ev->name, names[i].text, names[i].len);
}

/* A lock that there is, with its owner; seldom in a queue that does not fit the event. */
static void pick_lock(struct sim *s, struct lk_event *ev)
{
	uint64_t first = prng_below(&s->prng, MAX_LOCKS);
	bool is_any = prng_chance(&s->prng, 1, 5);

	for (uint64_t i = 0; i < MAX_LOCKS; i++) {
		const struct m_lock *l = &s->m.locks[(first + i) % MAX_LOCKS];

		if (!l->id ||
		    (!is_any && (l->queue == LK_QUEUE_GRANTED) == (ev->type == LK_EV_CANCEL)))
			continue;
		ev->lock_id = l->id;
		ev->session = l->session;
		return;
	}
}

static void pick_fields(struct sim *s, struct lk_event *ev)
{
	struct prng *p = &s->prng;
	const struct m_session *orphan;

	ev->mode = (uint8_t)(prng_chance(p, s->strong_pct, 100) ? prng_range(p, LK_PW, LK_EX)
								: prng_below(p, LK_MODE_MAX));
	/* Many hold little and want more: long convert queues. */
	if (ev->type == LK_EV_LOCK && prng_chance(p, s->weak_pct, 100))
		ev->mode = (uint8_t)prng_below(p, LK_CW);
	ev->session = any_session(s, ev->type == LK_EV_RELEASE || prng_chance(p, 1, 16));
	ev->node = (uint8_t)prng_below(p, 3);
	ev->incarnation = prng_range(p, 1, 2);
	pick_name(s, ev);
	switch (ev->type) {
	case LK_EV_OPEN:
		ev->session = prng_range(p, 1, 24);
		break;
	case LK_EV_ADOPT:
		ev->peer = any_session(s, true);
		orphan = m_session(&s->m, ev->peer);
		/* Make a fitting successor likely: two nodes and two incarnations seldom meet. */
		for (int i = 0; i < MAX_SESSIONS && orphan; i++) {
			const struct m_session *t = &s->m.sessions[i];

			if (t->id && !t->is_orphaned && t->node == orphan->node &&
			    t->incarnation == orphan->incarnation)
				ev->session = t->id;
		}
		break;
	case LK_EV_TRANSFER:
		pick_lock(s, ev);
		if (m_lock(&s->m, ev->lock_id)) {
			int name = m_lock(&s->m, ev->lock_id)->name;

			ev->name_len = names[name].len;
			memcpy(ev->name, names[name].text, names[name].len);
		}
		ev->peer = any_session(s, prng_chance(p, 1, 8));
		break;
	case LK_EV_RELEASE_MATCHING:
		ev->name_len = (uint8_t)prng_below(p, ev->name_len + 1U);
		break;
	case LK_EV_CONVERT:
	case LK_EV_UNLOCK:
	case LK_EV_CANCEL:
		pick_lock(s, ev);
		break;
	default:
		break;
	}
}

/* Bad numbers, one field at a time. */
static void spoil(struct sim *s, struct lk_event *ev)
{
	struct prng *p = &s->prng;

	switch (prng_below(p, 8)) {
	case 0:
		ev->type = (enum lk_event_type)(prng_chance(p, 1, 2) ? LK_EV_MAX : 255);
		break;
	case 1:
		ev->flags = 1U << prng_below(p, 32);
		break;
	case 2:
		ev->mode = (uint8_t)prng_range(p, LK_MODE_MAX, 255);
		break;
	case 3:
		ev->name_len = prng_chance(p, 1, 2) ? 0 : (uint8_t)prng_range(p, 65, 255);
		break;
	case 4:
		ev->node = (uint8_t)prng_range(p, LK_MAX_NODES, 255);
		break;
	case 5:
		ev->session = prng_chance(p, 1, 2) ? 0 : prng_below(p, 30);
		break;
	case 6:
		ev->peer = prng_chance(p, 1, 2) ? ev->session : prng_below(p, 30);
		break;
	default:
		ev->lock_id = prng_below(p, s->m.next_id + 3);
		break;
	}
}

static uint64_t sessions_open(const struct sim *s)
{
	uint64_t n = 0;

	for (int i = 0; i < MAX_SESSIONS; i++)
		n += s->m.sessions[i].id && !s->m.sessions[i].is_orphaned;
	return n;
}

static void random_event(struct sim *s)
{
	static const uint32_t flags[LK_EV_MAX] = {0, 0, 0, 0, 0, 8, 3, 7, 6, 0, 0};
	struct prng *p = &s->prng;
	struct lk_event ev = {.cookie = prng_next(p)};
	uint32_t total = 0;
	uint64_t pick;

	for (int i = 0; i < LK_EV_MAX; i++)
		total += s->weights[i];
	pick = prng_below(p, total);
	while (pick >= s->weights[ev.type])
		pick -= s->weights[ev.type++];
	/* Nothing happens without sessions; those that die are replaced before long. */
	if (prng_chance(p, 1, 1 + 4 * sessions_open(s)))
		ev.type = LK_EV_OPEN;
	pick_fields(s, &ev);
	if (prng_chance(p, s->flag_pct, 100))
		ev.flags = (uint32_t)prng_next(p) & flags[ev.type];
	for (int i = 0; i < LK_LVB_BYTES; i++)
		ev.lvb[i] = (uint8_t)prng_next(p);
	if (prng_chance(p, s->garbage_pct, 100))
		spoil(s, &ev);
	apply(s, &ev);
}

/* Goes on with the decoded snapshot in place of the state. */
static void through_snapshot(struct sim *s)
{
	uint64_t hash = lk_hash(&s->st);
	struct lk_state decoded;
	uint8_t *again = s->before; /* big enough: see setup() */
	size_t len = 0;
	size_t len2 = 0;
	void *mem = s->mem;

	if (lk_encode(&s->st, s->snapshot, s->snapshot_cap, &len) ||
	    lk_decode(s->snapshot, len, &s->m.limits, s->spare, s->size, &decoded)) {
		fail(s, "the snapshot cannot be read", len, 0);
		return;
	}
	if (lk_hash(&decoded) != hash || lk_encode(&decoded, again, s->snapshot_cap, &len2) ||
	    len != len2 || memcmp(again, s->snapshot, len))
		fail(s, "the snapshot is another state", len, len2);
	s->st = decoded;
	s->mem = s->spare;
	s->spare = mem;
	compare_state(s);
}

static void through_copy(struct sim *s)
{
	struct lk_state copy;
	void *mem = s->mem;

	must(!lk_state_init(&copy, s->spare, s->size, &s->m.limits));
	lk_state_copy(&copy, &s->st);
	if (lk_hash(&copy) != lk_hash(&s->st))
		fail(s, "the copy is another state", 0, 0);
	memset(mem, 0xa5, s->size);
	s->st = copy;
	s->mem = s->spare;
	s->spare = mem;
	compare_state(s);
}

/* A damaged snapshot is refused, or it is another valid state with that very encoding. */
static void damaged_snapshot(struct sim *s)
{
	struct prng *p = &s->prng;
	struct lk_state decoded;
	uint8_t *again = s->before;
	size_t len = 0;
	size_t len2 = 0;

	must(!lk_encode(&s->st, s->snapshot, s->snapshot_cap, &len));
	for (uint64_t n = prng_below(p, 4); n > 0; n--)
		s->snapshot[prng_below(p, len)] ^= (uint8_t)(1U << prng_below(p, 8));
	if (prng_chance(p, 1, 4))
		len = prng_below(p, len);
	else if (len < s->snapshot_cap && prng_chance(p, 1, 4))
		s->snapshot[len++] = 0;
	if (lk_decode(s->snapshot, len, &s->m.limits, s->spare, s->size, &decoded))
		return;
	if (lk_check(&decoded) || lk_encode(&decoded, again, s->snapshot_cap, &len2) ||
	    len != len2 || memcmp(again, s->snapshot, len))
		fail(s, "a damaged snapshot was taken for something else", len, len2);
}

/* Everybody lets go. Nothing new is asked for, so whatever waits must be served. */
static void wind_up(struct sim *s)
{
	bool is_progress = true;

	for (int i = 0; i < MAX_SESSIONS && !s->error; i++) {
		if (s->m.sessions[i].id && s->m.sessions[i].is_orphaned)
			apply(s, &(struct lk_event){.type = LK_EV_RELEASE,
						    .session = s->m.sessions[i].id});
	}
	while (is_progress && !s->error) {
		is_progress = false;
		for (int i = 0; i < MAX_LOCKS && !s->error; i++) {
			const struct m_lock *l = &s->m.locks[i];

			if (!l->id || l->queue != LK_QUEUE_GRANTED)
				continue;
			is_progress = true;
			apply(s, &(struct lk_event){.type = LK_EV_UNLOCK,
						    .session = l->session,
						    .lock_id = l->id});
		}
	}
	if (!s->error && (m_count(&s->m, NONE, NONE) || s->queued != s->answered))
		fail(s, "requests that nobody blocks are not served", s->queued, s->answered);
}

static void setup(struct sim *s, uint64_t seed)
{
	struct prng *p = &s->prng;
	struct lk_limits *l = &s->m.limits;
	size_t room;

	prng_init(p, seed);
	l->max_sessions = (uint32_t)prng_range(p, 2, MAX_SESSIONS);
	l->max_resources = (uint32_t)prng_range(p, 1, NAMES);
	l->max_locks = (uint32_t)prng_range(p, 4, MAX_LOCKS);
	l->max_queued = (uint32_t)prng_range(p, 1, 16);
	s->names_used = (uint32_t)prng_range(p, 1, NAMES);
	s->garbage_pct = (uint32_t)prng_below(p, 8);
	s->strong_pct = (uint32_t)prng_below(p, 60);
	s->flag_pct = (uint32_t)prng_below(p, 100);
	for (int i = 0; i < LK_EV_MAX; i++)
		s->weights[i] = (uint32_t)prng_range(p, 1, i < LK_EV_LOCK ? 4 : 20);
	s->weights[LK_EV_LOCK] += 20;
	s->weights[LK_EV_RELEASE_MATCHING] = (uint32_t)prng_below(p, 2);
	if (prng_chance(p, 1, 2)) {
		s->weak_pct = (uint32_t)prng_range(p, 60, 100);
		s->flag_pct = (uint32_t)prng_below(p, 30);
		s->names_used = (uint32_t)prng_range(p, 1, 2);
		s->weights[LK_EV_CONVERT] += 60;
		s->weights[LK_EV_CANCEL] = 2;
	}
	s->size = lk_state_size(l);
	s->snapshot_cap = lk_encoded_max(l);
	room = s->size > s->snapshot_cap ? s->size : s->snapshot_cap;
	s->mem = calloc(1, s->size);
	s->spare = calloc(1, s->size);
	s->before = calloc(1, room);
	s->snapshot = calloc(1, s->snapshot_cap);
	must(s->mem && s->spare && s->before && s->snapshot);
	must(!lk_state_init(&s->st, s->mem, s->size, l));
	must(lk_actions_max(l) <= ACTIONS);
	s->out = (struct lk_actions){.items = s->items, .cap = lk_actions_max(l)};
	for (int i = 0; i < NAMES; i++)
		s->m.values[i].is_valid = true;
}

static struct sim the_sim;
static char abort_text[128];

/* The core's must() aborts: the end of the report, prepared beforehand. */
static void on_abort(int sig)
{
	(void)sig;
	if (write(STDOUT_FILENO, abort_text, strlen(abort_text)) < 0)
		_exit(2);
	_exit(1);
}

/* Returns true if nothing was found. */
static bool run(uint64_t seed, uint64_t steps)
{
	struct sim *s = &the_sim;

	memset(s, 0, sizeof(*s));
	setup(s, seed);
	for (s->step = 0; s->step < steps && !s->error; s->step++) {
		random_event(s);
		if (!s->error && prng_chance(&s->prng, 1, 40))
			through_snapshot(s);
		if (!s->error && prng_chance(&s->prng, 1, 40))
			through_copy(s);
		if (!s->error && prng_chance(&s->prng, 1, 20))
			damaged_snapshot(s);
	}
	if (!s->error)
		wind_up(s);
	if (s->error)
		printf("seed %" PRIu64 " step %" PRIu64 ": %s\n", seed, s->step, s->error);
	free(s->mem);
	free(s->spare);
	free(s->before);
	free(s->snapshot);
	return !s->error;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seeds", required_argument, NULL, 'n'},
		{"seed", required_argument, NULL, 's'},
		{"steps", required_argument, NULL, 't'},
		{NULL, 0, NULL, 0},
	};
	uint64_t first = 1;
	uint64_t seeds = 1000;
	uint64_t steps = 500;
	uint64_t passed = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'n') {
			seeds = strtoull(optarg, NULL, 0);
		} else if (c == 's') {
			first = strtoull(optarg, NULL, 0);
			seeds = 1;
		} else if (c == 't') {
			steps = strtoull(optarg, NULL, 0);
		} else {
			fprintf(stderr, "usage: sim_lock [--seeds N] [--seed S] [--steps N]\n");
			return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGABRT, on_abort);
	for (uint64_t i = 0; i < seeds; i++) {
		snprintf(abort_text, sizeof(abort_text),
			 "seed %" PRIu64 ": aborted\n%" PRIu64 " passed, %" PRIu64 " failed\n",
			 first + i, passed, i + 1 - passed);
		passed += run(first + i, steps);
	}
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, seeds - passed);
	return passed == seeds ? 0 : 1;
}
