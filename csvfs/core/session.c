/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/session.h"

#include <errno.h>
#include <string.h>

#include "lib/must.h"

static struct sess_action *emit(struct sess_actions *out, enum sess_action_kind kind)
{
	struct sess_action *a;

	must(out->count < SESS_MAX_ACTIONS);
	a = &out->item[out->count++];
	*a = (struct sess_action){.kind = kind};
	return a;
}

static void emit_conn(struct sess_actions *out, enum sess_action_kind kind, uint64_t conn)
{
	emit(out, kind)->conn = conn;
}

static void emit_mount(struct sess_actions *out, enum sess_action_kind kind, uint64_t mount)
{
	emit(out, kind)->mount = mount;
}

static void emit_slot(struct sess_actions *out, enum sess_action_kind kind,
		      const struct sess_mount *m, uint16_t slot)
{
	struct sess_action *a = emit(out, kind);

	a->mount = m->id;
	a->slot = slot;
	a->conn = m->conn;
}

static void refuse(struct sess_actions *out, uint64_t conn, enum csv_refusal reason)
{
	struct sess_action *a = emit(out, SESS_DO_REFUSE);

	a->conn = conn;
	a->reason = reason;
}

static struct sess_mount *find(struct sess_state *s, uint64_t id)
{
	for (size_t i = 0; id && i < SESS_MOUNTS; i++) {
		if (s->mount[i].id == id)
			return &s->mount[i];
	}
	return NULL;
}

/* Whoever speaks over it, or waits to. */
static struct sess_mount *find_user(struct sess_state *s, uint64_t conn)
{
	for (size_t i = 0; conn && i < SESS_MOUNTS; i++) {
		if (s->mount[i].id && (s->mount[i].conn == conn || s->mount[i].pending == conn))
			return &s->mount[i];
	}
	return NULL;
}

static struct sess_mount *find_conn(struct sess_state *s, uint64_t conn)
{
	for (size_t i = 0; conn && i < SESS_MOUNTS; i++) {
		if (s->mount[i].id && s->mount[i].conn == conn)
			return &s->mount[i];
	}
	return NULL;
}

const struct sess_mount *sess_mount_find(const struct sess_state *s, uint64_t mount)
{
	for (size_t i = 0; mount && i < SESS_MOUNTS; i++) {
		if (s->mount[i].id == mount)
			return &s->mount[i];
	}
	return NULL;
}

uint32_t sess_executing(const struct sess_state *s)
{
	uint32_t n = 0;

	for (size_t i = 0; i < SESS_MOUNTS; i++)
		n += s->mount[i].id ? s->mount[i].executing : 0;
	return n;
}

/* ---- requests */

/* The disk has its intent, and not what came of it: the next thing in this slot is to redo it. */
static bool has_intent(const struct sess_slot *sl)
{
	return sl->record_seq && !sl->record_is_done;
}

/*
 * An intent is redone by comparing what is there with what was there before it. That holds only as
 * long as nothing else has changed it: so first all of them, then anything else. Of a mount that
 * has ended nothing is redone that has not been begun.
 */
static bool intents_are_settled(const struct sess_state *s)
{
	if (SESS_MUTANT(s, REDO_ANY_TIME))
		return true;
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		const struct sess_mount *m = &s->mount[i];

		for (uint16_t slot = 0; m->id && slot < CSV_SLOTS; slot++) {
			const struct sess_slot *sl = &m->slot[slot];

			if (m->is_gone && SESS_MUTANT(s, GONE_REDO))
				continue;
			if (sl->state == SESS_EXECUTING ? sl->is_redo
							: !m->is_gone && has_intent(sl))
				return false;
		}
	}
	return true;
}

static bool may_run(const struct sess_state *s, const struct sess_mount *m,
		    const struct sess_slot *sl)
{
	if (m->is_gone || (s->is_suspended && !SESS_MUTANT(s, WORK_SUSPENDED)))
		return false;
	if (s->phase == SESS_RESEND)
		return sl->is_resend && (sl->record_seq == sl->seq || intents_are_settled(s));
	return s->phase == SESS_SERVE && (sl->is_resend || m->is_resent);
}

static void begin(struct sess_state *s, struct sess_mount *m, uint16_t slot,
		  struct sess_actions *out)
{
	struct sess_slot *sl = &m->slot[slot];
	enum sess_action_kind kind = SESS_DO_EXECUTE;

	(void)s; /* but for the mutant */
	if (sl->record_seq == sl->seq && !SESS_MUTANT(s, RESEND_TWICE))
		kind = sl->record_is_done ? SESS_DO_REPLAY : SESS_DO_REDO;
	sl->is_redo = has_intent(sl);
	sl->record_seq = 0;
	sl->record_is_done = false;
	sl->state = SESS_EXECUTING;
	m->executing++;
	emit_slot(out, kind, m, slot);
}

static void run_held(struct sess_state *s, struct sess_actions *out)
{
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		struct sess_mount *m = &s->mount[i];

		for (uint16_t slot = 0; m->id && slot < CSV_SLOTS; slot++) {
			if (m->slot[slot].state == SESS_HELD && may_run(s, m, &m->slot[slot]))
				begin(s, m, slot, out);
		}
	}
}

/* What came over a connection that is no more, and was not begun, comes again. */
static void discard_held(struct sess_mount *m, struct sess_actions *out)
{
	for (uint16_t slot = 0; slot < CSV_SLOTS; slot++) {
		if (m->slot[slot].state != SESS_HELD)
			continue;
		m->slot[slot].state = SESS_FREE;
		emit_slot(out, SESS_DO_DISCARD, m, slot);
	}
}

static void break_conn(struct sess_mount *m, struct sess_actions *out)
{
	if (m->conn)
		emit_conn(out, SESS_DO_CLOSE, m->conn);
	m->conn = 0;
	m->is_resent = false;
	discard_held(m, out);
}

/* ---- phases */

/* Every request that was under way when this coordinator began has been dealt with. */
static bool has_resent(const struct sess_mount *m)
{
	if (!m->is_resent)
		return false;
	for (uint16_t slot = 0; slot < CSV_SLOTS; slot++) {
		if (m->slot[slot].state == SESS_EXECUTING ||
		    (m->slot[slot].state == SESS_HELD && m->slot[slot].is_resend))
			return false;
	}
	return true;
}

static bool is_dropping(const struct sess_state *s)
{
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		if (s->mount[i].is_dropping && !SESS_MUTANT(s, DROP_STOPPED))
			return true;
	}
	return false;
}

static void count_mounts(const struct sess_state *s, bool *ret_are_reclaimed, bool *ret_are_resent)
{
	*ret_are_reclaimed = true;
	*ret_are_resent = !s->is_suspended && intents_are_settled(s);
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		const struct sess_mount *m = &s->mount[i];

		if (!m->id || !m->bars || m->is_gone)
			continue;
		*ret_are_reclaimed = *ret_are_reclaimed && m->is_reclaimed;
		*ret_are_resent = *ret_are_resent && has_resent(m);
	}
}

static void advance(struct sess_state *s, struct sess_actions *out)
{
	bool are_reclaimed, are_resent;

	if (s->phase == SESS_SERVE)
		return; /* only a stop ends it; so nothing is counted with each request */
	count_mounts(s, &are_reclaimed, &are_resent);
	if (s->phase == SESS_RECLAIM &&
	    (are_reclaimed || SESS_MUTANT(s, RESEND_EARLY) || SESS_MUTANT(s, SERVE_EARLY))) {
		s->phase = SESS_RESEND;
		emit(out, SESS_DO_RESENDS);
	}
	if (s->phase == SESS_RESEND) {
		run_held(s, out);
		count_mounts(s, &are_reclaimed, &are_resent);
	}
	if (s->phase == SESS_RESEND && (are_resent || SESS_MUTANT(s, SERVE_EARLY))) {
		s->phase = SESS_SERVE;
		emit(out, SESS_DO_SERVE);
		run_held(s, out);
	}
	if (s->phase == SESS_STOPPING && !sess_executing(s) && !is_dropping(s)) {
		s->phase = SESS_STOPPED;
		emit(out, SESS_DO_STOPPED);
	}
}

/* ---- mounts */

static void welcome(struct sess_mount *m, uint64_t conn, struct sess_actions *out)
{
	struct sess_action *a;

	/* What still executed may have been given something that nobody knows of. */
	if (m->is_replaced)
		emit_mount(out, SESS_DO_REPLACED, m->id);
	m->is_replaced = false;
	a = emit(out, SESS_DO_WELCOME);
	m->conn = conn;
	m->pending = 0;
	m->is_resent = false;
	a->conn = conn;
	a->mount = m->id;
	a->is_known = m->is_reclaimed;
}

static void drop_if_idle(const struct sess_state *s, struct sess_mount *m, struct sess_actions *out)
{
	if (!m->is_gone || m->is_dropping || s->phase == SESS_LOADING ||
	    (m->executing && !SESS_MUTANT(s, DROP_EXECUTING)) ||
	    (s->phase >= SESS_STOPPING && !SESS_MUTANT(s, DROP_STOPPED)) ||
	    (s->is_suspended && !SESS_MUTANT(s, DROP_SUSPENDED)))
		return;
	m->is_dropping = true;
	emit_mount(out, SESS_DO_DROP, m->id);
}

static void drop_all_idle(struct sess_state *s, struct sess_actions *out)
{
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		if (s->mount[i].id)
			drop_if_idle(s, &s->mount[i], out);
	}
}

static int on_mount(struct sess_state *s, const struct sess_event *e)
{
	if (find(s, e->mount))
		return 0;
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		struct sess_mount *m = &s->mount[i];

		if (m->id)
			continue;
		*m = (struct sess_mount){.id = e->mount, .bars = s->phase == SESS_LOADING};
		return 0;
	}
	return -ENOSPC;
}

static void on_gone(struct sess_state *s, const struct sess_event *e, struct sess_actions *out)
{
	struct sess_mount *m = find(s, e->mount);

	if (!m || m->is_gone)
		return;
	m->is_gone = true;
	break_conn(m, out);
	if (m->pending)
		emit_conn(out, SESS_DO_CLOSE, m->pending);
	m->pending = 0;
	drop_if_idle(s, m, out);
	advance(s, out);
}

static void on_record(struct sess_state *s, const struct sess_event *e)
{
	struct sess_mount *m = find(s, e->mount);

	if (s->phase >= SESS_STOPPING)
		return; /* the stop came while records were being read */
	must(s->phase == SESS_LOADING && m && e->slot < CSV_SLOTS);
	m->slot[e->slot].record_seq = e->seq;
	m->slot[e->slot].record_is_done = e->is_done;
}

static void on_loaded(struct sess_state *s, struct sess_actions *out)
{
	if (s->phase >= SESS_STOPPING)
		return;
	must(s->phase == SESS_LOADING);
	s->phase = SESS_RECLAIM;
	drop_all_idle(s, out);
	advance(s, out);
}

static int broke_protocol(struct sess_mount *m, struct sess_actions *out)
{
	break_conn(m, out);
	return -EPROTO;
}

/* Once on a connection, and first. */
static int second_hello(struct sess_mount *m, const struct sess_event *e, struct sess_actions *out)
{
	if (m->conn == e->conn)
		return broke_protocol(m, out);
	m->pending = 0;
	emit_conn(out, SESS_DO_CLOSE, e->conn);
	return -EPROTO;
}

static int on_hello(struct sess_state *s, const struct sess_event *e, struct sess_actions *out)
{
	struct sess_mount *m = find(s, e->mount), *user = find_user(s, e->conn);

	if (user)
		return second_hello(user, e, out);
	if (e->term != s->term || s->phase >= SESS_STOPPING) {
		refuse(out, e->conn, CSV_REFUSAL_TERM);
		return 0;
	}
	if (s->phase == SESS_LOADING) {
		refuse(out, e->conn, CSV_REFUSAL_BUSY);
		return 0;
	}
	if (!m || m->is_gone) {
		refuse(out, e->conn, CSV_REFUSAL_MOUNT);
		return 0;
	}
	break_conn(m, out);
	if (m->pending)
		emit_conn(out, SESS_DO_CLOSE, m->pending);
	m->pending = 0;
	if (m->executing && !SESS_MUTANT(s, ACCEPT_EARLY))
		m->pending = e->conn;
	else
		welcome(m, e->conn, out);
	return 0;
}

/* Before anything else that is said over it, and also when it waits. */
static int on_life(struct sess_state *s, const struct sess_event *e, struct sess_actions *out)
{
	struct sess_mount *m =
		SESS_MUTANT(s, LIFE_WAITS) ? find_conn(s, e->conn) : find_user(s, e->conn);

	if (!m)
		return 0;
	/* Of a process that has been replaced, something may come late. */
	if (e->life < m->life && !SESS_MUTANT(s, OLDER_LIFE))
		return m->conn == e->conn ? broke_protocol(m, out) : second_hello(m, e, out);
	if (m->life && (e->life > m->life || SESS_MUTANT(s, ALL_REPLACED)) &&
	    !SESS_MUTANT(s, NO_REPLACED)) {
		emit_mount(out, SESS_DO_REPLACED, m->id);
		m->is_replaced = m->executing && !SESS_MUTANT(s, REPLACED_ONCE);
	}
	m->life = e->life;
	return 0;
}

static void on_conn_lost(struct sess_state *s, const struct sess_event *e, struct sess_actions *out)
{
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		struct sess_mount *m = &s->mount[i];

		if (!m->id)
			continue;
		if (m->pending == e->conn)
			m->pending = 0;
		if (m->conn != e->conn)
			continue;
		m->conn = 0;
		m->is_resent = m->is_resent && SESS_MUTANT(s, FORGET_HELD);
		discard_held(m, out);
		if (SESS_MUTANT(s, FORGET_HELD))
			advance(s, out);
	}
}

/* What a slot may bring of which nothing is under way: never again what has gone by. */
static bool is_in_order(const struct sess_slot *sl, const struct sess_event *e)
{
	if (sl->state == SESS_DONE)
		return e->seq == sl->seq + 1;
	if (e->seq < sl->seq || e->seq < sl->record_seq)
		return false;
	/* Before an intent is redone its mount has no answer, and can ask nothing else here. */
	if (has_intent(sl) && e->seq != sl->record_seq)
		return false;
	return e->is_resend || e->seq != sl->record_seq;
}

static int on_request(struct sess_state *s, const struct sess_event *e, struct sess_actions *out)
{
	struct sess_mount *m = find_conn(s, e->conn);
	struct sess_slot *sl;

	must(e->slot < CSV_SLOTS && e->seq);
	if (!m) {
		emit(out, SESS_DO_IGNORE);
		return 0;
	}
	sl = &m->slot[e->slot];
	if (!m->is_reclaimed || (!e->is_resend && !m->is_resent))
		return broke_protocol(m, out);
	if (sl->state == SESS_EXECUTING || sl->state == SESS_HELD) {
		if (e->seq != sl->seq)
			return broke_protocol(m, out);
		emit(out, SESS_DO_IGNORE);
		return 0;
	}
	if (sl->state == SESS_DONE && e->seq == sl->seq) {
		emit_slot(out, SESS_DO_REPLY, m, e->slot);
		return 0;
	}
	if (!is_in_order(sl, e))
		return broke_protocol(m, out);
	sl->seq = e->seq;
	sl->is_resend = e->is_resend;
	sl->state = SESS_HELD;
	if (may_run(s, m, sl))
		begin(s, m, e->slot, out);
	else
		emit_slot(out, SESS_DO_HOLD, m, e->slot);
	return 0;
}

static void on_finished(struct sess_state *s, const struct sess_event *e, struct sess_actions *out)
{
	struct sess_mount *m = find(s, e->mount);

	must(m && e->slot < CSV_SLOTS && m->slot[e->slot].state == SESS_EXECUTING && m->executing);
	m->slot[e->slot].state = SESS_DONE;
	m->executing--;
	if (m->conn)
		emit_slot(out, SESS_DO_REPLY, m, e->slot);
	if (!m->executing && m->pending)
		welcome(m, m->pending, out);
	drop_if_idle(s, m, out);
	advance(s, out);
}

static void on_dropped(struct sess_state *s, const struct sess_event *e, struct sess_actions *out)
{
	struct sess_mount *m = find(s, e->mount);

	must(m && m->is_dropping);
	*m = (struct sess_mount){0};
	emit_mount(out, SESS_DO_RECOVERED, e->mount);
	advance(s, out);
}

static void on_stop(struct sess_state *s, struct sess_actions *out)
{
	if (s->phase >= SESS_STOPPING)
		return;
	s->phase = SESS_STOPPING;
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		struct sess_mount *m = &s->mount[i];

		if (!m->id)
			continue;
		break_conn(m, out);
		if (m->pending)
			emit_conn(out, SESS_DO_CLOSE, m->pending);
		m->pending = 0;
	}
	advance(s, out);
}

void sess_init(struct sess_state *s, uint64_t term)
{
	memset(s, 0, sizeof(*s));
	s->term = term;
}

static int on_reclaim_done(struct sess_state *s, const struct sess_event *e,
			   struct sess_actions *out)
{
	struct sess_mount *m = find_conn(s, e->conn);

	if (!m)
		return 0;
	m->is_reclaimed = true;
	advance(s, out);
	return 0;
}

static int on_resend_done(struct sess_state *s, const struct sess_event *e,
			  struct sess_actions *out)
{
	struct sess_mount *m = find_conn(s, e->conn);

	if (!m)
		return 0;
	if (!m->is_reclaimed)
		return broke_protocol(m, out);
	/* Redone later, after others have gone on, an intent might happen twice. */
	for (uint16_t slot = 0; slot < CSV_SLOTS; slot++) {
		if (has_intent(&m->slot[slot]) && m->slot[slot].state != SESS_HELD)
			return broke_protocol(m, out);
	}
	m->is_resent = true;
	advance(s, out);
	return 0;
}

static void on_resume(struct sess_state *s, struct sess_actions *out)
{
	s->is_suspended = false;
	drop_all_idle(s, out);
	run_held(s, out);
	advance(s, out);
}

int sess_step(struct sess_state *s, const struct sess_event *e, struct sess_actions *out)
{
	out->count = 0;
	switch (e->type) {
	case SESS_EV_MOUNT:
		return on_mount(s, e);
	case SESS_EV_GONE:
		on_gone(s, e, out);
		return 0;
	case SESS_EV_RECORD:
		on_record(s, e);
		return 0;
	case SESS_EV_LOADED:
		on_loaded(s, out);
		return 0;
	case SESS_EV_HELLO:
		return on_hello(s, e, out);
	case SESS_EV_LIFE:
		return on_life(s, e, out);
	case SESS_EV_CONN_LOST:
		on_conn_lost(s, e, out);
		return 0;
	case SESS_EV_RECLAIM_DONE:
		return on_reclaim_done(s, e, out);
	case SESS_EV_RESEND_DONE:
		return on_resend_done(s, e, out);
	case SESS_EV_REQUEST:
		return on_request(s, e, out);
	case SESS_EV_FINISHED:
		on_finished(s, e, out);
		return 0;
	case SESS_EV_DROPPED:
		on_dropped(s, e, out);
		return 0;
	case SESS_EV_SUSPEND:
		s->is_suspended = true;
		return 0;
	case SESS_EV_RESUME:
		on_resume(s, out);
		return 0;
	case SESS_EV_STOP:
		on_stop(s, out);
		return 0;
	case SESS_EV_MAX:
		break;
	}
	return -EINVAL;
}

/* ---- looking at it */

static const char *check_mount(const struct sess_state *s, const struct sess_mount *m)
{
	uint32_t executing = 0;

	for (uint16_t i = 0; i < CSV_SLOTS; i++) {
		executing += m->slot[i].state == SESS_EXECUTING;
		if (m->slot[i].state == SESS_HELD && !m->conn)
			return "a request is held that no connection brought";
		if (m->slot[i].state != SESS_FREE && !m->slot[i].seq)
			return "a slot is in use without a sequence";
	}
	if (executing != m->executing)
		return "the count of executing requests is wrong";
	if (m->is_gone && (m->conn || m->pending))
		return "a mount that has ended has a connection";
	if (m->pending && !m->executing)
		return "a connection waits for nothing";
	if (m->conn && s->phase >= SESS_STOPPING)
		return "a connection has survived the stop";
	if (s->phase == SESS_RECLAIM && m->executing)
		return "a request executes before all have reclaimed";
	if (m->is_dropping && (!m->is_gone || m->executing))
		return "a mount is dropped that has not come to its end";
	if (s->phase == SESS_STOPPED && m->is_dropping)
		return "stopped, and a mount is being dropped";
	return NULL;
}

const char *sess_check(const struct sess_state *s)
{
	if (s->phase >= SESS_PHASE_MAX)
		return "no such phase";
	if (s->phase == SESS_STOPPED && sess_executing(s))
		return "stopped, and requests execute";
	if (s->phase == SESS_SERVE && !intents_are_settled(s))
		return "serving, and an intent is open";
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		const struct sess_mount *m = &s->mount[i];
		const char *wrong = m->id ? check_mount(s, m) : NULL;

		if (wrong)
			return wrong;
		for (size_t j = 0; m->id && j < i; j++) {
			if (s->mount[j].id == m->id)
				return "a mount has two rows";
			if (m->conn && s->mount[j].conn == m->conn)
				return "two mounts have one connection";
		}
	}
	return NULL;
}

const char *sess_phase_name(enum sess_phase phase)
{
	static const char *const name[SESS_PHASE_MAX] = {
		[SESS_LOADING] = "loading",   [SESS_RECLAIM] = "reclaim",
		[SESS_RESEND] = "resend",     [SESS_SERVE] = "serving",
		[SESS_STOPPING] = "stopping", [SESS_STOPPED] = "stopped",
	};

	return phase < SESS_PHASE_MAX ? name[phase] : "?";
}

const char *sess_event_name(enum sess_event_type type)
{
	static const char *const name[SESS_EV_MAX] = {
#define NAME_OF(NAME) [SESS_EV_##NAME] = #NAME,
		SESS_EVENTS(NAME_OF)
#undef NAME_OF
	};

	return type < SESS_EV_MAX ? name[type] : "?";
}

const char *sess_action_name(enum sess_action_kind kind)
{
	static const char *const name[SESS_DO_MAX] = {
#define NAME_OF(NAME) [SESS_DO_##NAME] = #NAME,
		SESS_ACTIONS(NAME_OF)
#undef NAME_OF
	};

	return kind < SESS_DO_MAX ? name[kind] : "?";
}
