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

static bool may_run(const struct sess_state *s, const struct sess_mount *m,
		    const struct sess_slot *sl)
{
	if (m->is_gone || (s->is_suspended && !SESS_MUTANT(s, WORK_SUSPENDED)))
		return false;
	if (s->phase == SESS_RESEND)
		return sl->is_resend;
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
static bool has_resent(const struct sess_state *s, const struct sess_mount *m)
{
	if (!m->is_resent)
		return false;
	(void)s; /* but for the mutant */
	if (SESS_MUTANT(s, FORGET_HELD))
		return true;
	for (uint16_t slot = 0; slot < CSV_SLOTS; slot++) {
		if (m->slot[slot].state == SESS_EXECUTING ||
		    (m->slot[slot].state == SESS_HELD && m->slot[slot].is_resend))
			return false;
	}
	return true;
}

static void advance(struct sess_state *s, struct sess_actions *out)
{
	bool is_reclaimed = true, is_resent = true;

	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		const struct sess_mount *m = &s->mount[i];

		if (!m->id || !m->bars || m->is_gone)
			continue;
		is_reclaimed = is_reclaimed && m->is_reclaimed;
		is_resent = is_resent && has_resent(s, m);
	}
	if (s->phase == SESS_RECLAIM &&
	    (is_reclaimed || SESS_MUTANT(s, RESEND_EARLY) || SESS_MUTANT(s, SERVE_EARLY))) {
		s->phase = SESS_RESEND;
		emit(out, SESS_DO_RESENDS);
		run_held(s, out);
		advance(s, out);
		return;
	}
	if (s->phase == SESS_RESEND && (is_resent || SESS_MUTANT(s, SERVE_EARLY))) {
		s->phase = SESS_SERVE;
		emit(out, SESS_DO_SERVE);
		run_held(s, out);
	}
	if (s->phase == SESS_STOPPING && !sess_executing(s)) {
		s->phase = SESS_STOPPED;
		emit(out, SESS_DO_STOPPED);
	}
}

/* ---- mounts */

static void welcome(struct sess_mount *m, uint64_t conn, struct sess_actions *out)
{
	struct sess_action *a = emit(out, SESS_DO_WELCOME);

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
	    (m->executing && !SESS_MUTANT(s, DROP_EXECUTING)))
		return;
	m->is_dropping = true;
	emit_mount(out, SESS_DO_DROP, m->id);
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

	must(s->phase == SESS_LOADING && m && e->slot < CSV_SLOTS);
	m->slot[e->slot].record_seq = e->seq;
	m->slot[e->slot].record_is_done = e->is_done;
}

static void on_loaded(struct sess_state *s, struct sess_actions *out)
{
	must(s->phase == SESS_LOADING);
	s->phase = SESS_RECLAIM;
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		if (s->mount[i].id)
			drop_if_idle(s, &s->mount[i], out);
	}
	advance(s, out);
}

static void on_hello(struct sess_state *s, const struct sess_event *e, struct sess_actions *out)
{
	struct sess_mount *m = find(s, e->mount);

	if (e->term != s->term || s->phase >= SESS_STOPPING) {
		refuse(out, e->conn, CSV_REFUSAL_TERM);
		return;
	}
	if (s->phase == SESS_LOADING) {
		refuse(out, e->conn, CSV_REFUSAL_BUSY);
		return;
	}
	if (!m || m->is_gone) {
		refuse(out, e->conn, CSV_REFUSAL_MOUNT);
		return;
	}
	break_conn(m, out);
	if (m->pending)
		emit_conn(out, SESS_DO_CLOSE, m->pending);
	m->pending = 0;
	if (m->executing)
		m->pending = e->conn;
	else
		welcome(m, e->conn, out);
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
		m->is_resent = false;
		discard_held(m, out);
	}
}

static int broke_protocol(struct sess_mount *m, struct sess_actions *out)
{
	break_conn(m, out);
	return -EPROTO;
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
	if (sl->state == SESS_DONE ? e->seq != sl->seq + 1 : e->seq < sl->record_seq)
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

/* Events that say something of the present connection of a mount. */
static void on_progress(struct sess_state *s, const struct sess_event *e, struct sess_actions *out)
{
	struct sess_mount *m = find_conn(s, e->conn);

	if (!m)
		return;
	if (e->type == SESS_EV_RECLAIM_DONE)
		m->is_reclaimed = true;
	else if (!m->is_reclaimed)
		return;
	else
		m->is_resent = true;
	advance(s, out);
	run_held(s, out);
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
		on_hello(s, e, out);
		return 0;
	case SESS_EV_CONN_LOST:
		on_conn_lost(s, e, out);
		return 0;
	case SESS_EV_RECLAIM_DONE:
	case SESS_EV_RESEND_DONE:
		on_progress(s, e, out);
		return 0;
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
		s->is_suspended = false;
		run_held(s, out);
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
	return NULL;
}

const char *sess_check(const struct sess_state *s)
{
	if (s->phase >= SESS_PHASE_MAX)
		return "no such phase";
	if (s->phase == SESS_STOPPED && sess_executing(s))
		return "stopped, and requests execute";
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
