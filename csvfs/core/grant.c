/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/grant.h"

#include <errno.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/must.h"

static struct grant_action *emit(struct grant_actions *out, enum grant_action_kind kind)
{
	struct grant_action *a;

	must(out->count < GRANT_MAX_ACTIONS);
	a = &out->item[out->count++];
	*a = (struct grant_action){.kind = kind};
	return a;
}

/* ---- tables */

static size_t bucket_of(const struct csv_handle *h)
{
	return hash_u64(hash_u64(HASH_INIT, h->ino), h->gen) % GRANT_BUCKETS;
}

static size_t index_of(const struct grant_state *s, const struct csv_handle *h)
{
	size_t i = s->bucket[bucket_of(h)];

	while (i && !csv_handle_equal(&s->row[i - 1].handle, h))
		i = s->row[i - 1].next;
	return i;
}

const struct grant_row *grant_find(const struct grant_state *s, const struct csv_handle *h)
{
	size_t i = index_of(s, h);

	return i ? &s->row[i - 1] : NULL;
}

static struct grant_row *find(struct grant_state *s, const struct csv_handle *h)
{
	size_t i = index_of(s, h);

	return i ? &s->row[i - 1] : NULL;
}

static struct grant_row *make(struct grant_state *s, const struct csv_handle *h)
{
	struct grant_row *row = find(s, h);
	size_t b = bucket_of(h);
	uint16_t at = s->free;

	if (row || !at)
		return row;
	row = &s->row[at - 1];
	s->free = row->next;
	*row = (struct grant_row){.handle = *h, .next = s->bucket[b]};
	s->bucket[b] = at;
	s->rows++;
	return row;
}

static bool is_held(const struct grant_row *row)
{
	for (size_t i = 0; i < GRANT_MOUNTS; i++) {
		if (row->holder[i].mode != CSV_GRANT_NONE)
			return true;
	}
	return false;
}

/* The row goes when nothing speaks for it. */
static void tidy(struct grant_state *s, struct grant_row *row)
{
	uint16_t *at = &s->bucket[bucket_of(&row->handle)];
	uint16_t self = (uint16_t)(row - s->row + 1);

	if (row->recalls || row->has_written || is_held(row))
		return;
	while (*at != self)
		at = &s->row[*at - 1].next;
	*at = row->next;
	*row = (struct grant_row){.next = s->free};
	s->free = self;
	s->rows--;
}

static struct grant_mount *mount_find(struct grant_state *s, uint64_t id)
{
	for (size_t i = 0; id && i < GRANT_MOUNTS; i++) {
		if (s->mount[i].id == id)
			return &s->mount[i];
	}
	return NULL;
}

/* One that has begun later has nothing open of what has failed before. */
static void note_all(struct grant_state *s, size_t mount, bool is_noted)
{
	for (size_t i = 0; i < s->notices; i++)
		s->notice[i].is_noted[mount] = is_noted;
}

static struct grant_mount *mount_make(struct grant_state *s, uint64_t id)
{
	struct grant_mount *m = mount_find(s, id);

	for (size_t i = 0; !m && i < GRANT_MOUNTS; i++) {
		if (s->mount[i].id)
			continue;
		m = &s->mount[i];
		*m = (struct grant_mount){.id = id};
		note_all(s, i, s->is_open);
	}
	return m;
}

static struct grant_holder *holder_of(struct grant_state *s, struct grant_row *row, uint64_t mount)
{
	struct grant_mount *m = mount_find(s, mount);

	return m && row ? &row->holder[m - s->mount] : NULL;
}

/* ---- what comes back */

static void note_written(struct grant_row *row, const struct csv_time *t)
{
	if (row->has_written && (row->written.sec > t->sec ||
				 (row->written.sec == t->sec && row->written.nsec >= t->nsec)))
		return;
	row->has_written = true;
	row->written = *t;
}

static void drop_holder(struct grant_state *s, struct grant_row *row, size_t mount,
			struct grant_actions *out)
{
	row->holder[mount] = (struct grant_holder){0};
	if (is_held(row) || row->recalls) {
		emit(out, GRANT_DO_LOOK);
		return;
	}
	emit(out, GRANT_DO_SETTLED)->handle = row->handle;
	tidy(s, row);
}

/* All that a mount has, of all files. */
static void drop_all(struct grant_state *s, struct grant_mount *m, struct grant_actions *out)
{
	size_t index = (size_t)(m - s->mount);

	for (size_t i = 0; i < GRANT_ROWS; i++) {
		struct grant_row *row = &s->row[i];

		if (row->handle.ino && row->holder[index].mode != CSV_GRANT_NONE)
			drop_holder(s, row, index, out);
	}
}

static void send_recall(const struct grant_state *s, const struct grant_row *row, size_t mount,
			struct grant_actions *out)
{
	struct grant_action *a;

	if (!s->mount[mount].conn)
		return; /* when it has a line again */
	a = emit(out, GRANT_DO_RECALL);
	a->conn = s->mount[mount].conn;
	a->handle = row->handle;
	a->id = row->holder[mount].id;
}

/* ---- failures */

/* All who live, but for the one who has found out. */
static bool is_noted_by_others(const struct grant_state *s, const struct grant_notice *n)
{
	if (!s->is_open && !GRANT_MUTANT(s, NOT_TO_ALL))
		return false;
	for (size_t i = 0; i < GRANT_MOUNTS; i++) {
		const struct grant_mount *m = &s->mount[i];

		if (m->id && !m->is_gone && m->id != n->failure.origin && !n->is_noted[i] &&
		    (m->conn || !GRANT_MUTANT(s, NOT_TO_ALL)))
			return false;
	}
	return true;
}

/* To one mount, when it is its turn. */
static void send_notice(const struct grant_state *s, const struct grant_notice *n, size_t mount,
			struct grant_actions *out)
{
	const struct grant_mount *m = &s->mount[mount];
	struct grant_action *a;

	if (!m->conn || n->is_noted[mount] ||
	    (m->id == n->failure.origin && !is_noted_by_others(s, n) &&
	     !GRANT_MUTANT(s, ORIGIN_FIRST)))
		return;
	a = emit(out, GRANT_DO_FAILED);
	a->conn = m->conn;
	a->failure = n->failure;
}

static struct grant_notice *notice_find(struct grant_state *s, const struct csv_frame_failed *f)
{
	for (size_t i = 0; i < s->notices; i++) {
		struct grant_notice *n = &s->notice[i];

		if (n->failure.origin == f->origin && n->failure.serial == f->serial)
			return n;
	}
	return NULL;
}

/* Those that all have noted end; the next who is to be told, is. */
static void settle_notices(struct grant_state *s, struct grant_actions *out)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->notices; i++) {
		const struct grant_notice *n = &s->notice[i];
		const struct grant_mount *m = mount_find(s, n->failure.origin);
		bool is_over = is_noted_by_others(s, n);

		if (is_over && m && !m->is_gone && !n->is_noted[m - s->mount]) {
			send_notice(s, n, (size_t)(m - s->mount), out);
			is_over = false;
		}
		if (!is_over)
			s->notice[kept++] = *n;
	}
	if (kept < s->notices)
		emit(out, GRANT_DO_LOOK);
	s->notices = kept;
}

static int on_failed(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	struct grant_notice *n = notice_find(s, &e->failure);

	if (n)
		return 0; /* it is told again over a new line */
	if (s->notices == GRANT_NOTICES)
		return -ENOSPC;
	n = &s->notice[s->notices++];
	*n = (struct grant_notice){.failure = e->failure, .since_ms = e->now_ms};
	if (!n->failure.origin) {
		n->failure.origin = s->term;
		n->failure.serial = ++s->serial;
	}
	for (size_t i = 0; i < GRANT_MOUNTS; i++) {
		if (s->mount[i].id != n->failure.origin || GRANT_MUTANT(s, ORIGIN_FIRST))
			send_notice(s, n, i, out);
	}
	settle_notices(s, out);
	return 0;
}

static void on_noted(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	struct grant_notice *n = notice_find(s, &e->failure);
	struct grant_mount *m = mount_find(s, e->mount);

	if (!n || !m)
		return;
	n->is_noted[m - s->mount] = true;
	settle_notices(s, out);
}

/* ---- events */

static int on_channel(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	struct grant_mount *m = mount_make(s, e->mount);
	size_t index;

	if (!m)
		return -ENOSPC;
	if (m->is_gone) {
		emit(out, GRANT_DO_CLOSE)->conn = e->conn;
		return 0;
	}
	if (m->conn)
		emit(out, GRANT_DO_CLOSE)->conn = m->conn;
	m->conn = e->conn;
	index = (size_t)(m - s->mount);
	for (size_t i = 0; i < GRANT_ROWS && !GRANT_MUTANT(s, NO_RESEND); i++) {
		const struct grant_row *row = &s->row[i];

		if (row->handle.ino && (row->recalls || row->is_unwanted) &&
		    row->holder[index].mode != CSV_GRANT_NONE)
			send_recall(s, row, index, out);
	}
	for (size_t i = 0; i < s->notices; i++)
		send_notice(s, &s->notice[i], index, out);
	/* Who has asked asks again: what was asked over the line before may be lost. */
	emit(out, GRANT_DO_LOOK);
	return 0;
}

static void on_lost(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	for (size_t i = 0; e->conn && i < GRANT_MOUNTS; i++) {
		if (s->mount[i].conn != e->conn)
			continue;
		s->mount[i].conn = 0;
		if (GRANT_MUTANT(s, LOST_IS_GONE))
			drop_all(s, &s->mount[i], out);
	}
}

/* Its process is over, and so is what it did. */
static void end_process(struct grant_state *s, struct grant_mount *m, const struct grant_event *e,
			struct grant_actions *out)
{
	if (m->conn)
		emit(out, GRANT_DO_CLOSE)->conn = m->conn;
	m->conn = 0;
	/* When it wrote last, nobody knows: the edge says now. */
	for (size_t i = 0; i < GRANT_ROWS; i++) {
		struct grant_row *row = &s->row[i];

		if (row->handle.ino && row->holder[m - s->mount].mode >= CSV_GRANT_WRITE)
			note_written(row, &e->written);
	}
	drop_all(s, m, out);
}

static int on_gone(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	struct grant_mount *m = mount_make(s, e->mount);

	if (!m)
		return -ENOSPC;
	if (m->is_gone)
		return 0;
	m->is_gone = true;
	end_process(s, m, e, out);
	settle_notices(s, out);
	return 0;
}

static int on_replaced(struct grant_state *s, const struct grant_event *e,
		       struct grant_actions *out)
{
	struct grant_mount *m = mount_make(s, e->mount);

	if (m && !m->is_gone)
		end_process(s, m, e, out);
	return m ? 0 : -ENOSPC;
}

static void on_forget(struct grant_state *s, const struct grant_event *e)
{
	struct grant_mount *m = mount_find(s, e->mount);

	if (m && m->is_gone)
		*m = (struct grant_mount){0};
}

static int on_reset(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	struct grant_mount *m = mount_make(s, e->mount);

	if (m)
		drop_all(s, m, out);
	return m ? 0 : -ENOSPC;
}

static bool has_other_writer(const struct grant_row *row, size_t mount)
{
	for (size_t i = 0; i < GRANT_MOUNTS; i++) {
		if (i != mount && row->holder[i].mode >= CSV_GRANT_WRITE)
			return true;
	}
	return false;
}

static int on_reclaim(struct grant_state *s, const struct grant_event *e)
{
	struct grant_mount *m = mount_make(s, e->mount);
	struct grant_row *row = m && !m->is_gone ? make(s, &e->handle) : NULL;

	if (!m || (!m->is_gone && !row))
		return -ENOSPC;
	if (!row)
		return 0;
	row->holder[m - s->mount] = (struct grant_holder){.mode = e->mode, .id = e->id};
	/* Whether the blocks are another file's, too, only one who may write is sure of. */
	row->is_shared = !has_other_writer(row, GRANT_MOUNTS);
	return 0;
}

static enum csv_ungranted why_not(struct grant_state *s, const struct grant_event *e,
				  const struct grant_mount *m, const struct grant_row *row)
{
	if (!m || m->is_gone || !m->conn)
		return CSV_UNGRANTED_CHANNEL;
	if (!row)
		return CSV_UNGRANTED_FULL;
	if (((row->recalls || row->is_unwanted) && !GRANT_MUTANT(s, NO_LOOK_AGAIN)) ||
	    !s->is_open || (e->is_write && grant_is_sole_elsewhere(s, &e->handle, e->mount)))
		return CSV_UNGRANTED_RECALLED;
	return CSV_UNGRANTED_NOTHING;
}

static void on_issue(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	struct grant_mount *m = mount_find(s, e->mount);
	struct grant_row *row = m ? make(s, &e->handle) : NULL;
	enum csv_ungranted why = why_not(s, e, m, row);
	struct grant_holder *h;
	struct grant_action *a;

	if (why != CSV_UNGRANTED_NOTHING) {
		emit(out, GRANT_DO_REFUSED)->why = why;
		if (row)
			tidy(s, row);
		return;
	}
	h = &row->holder[m - s->mount];
	*h = (struct grant_holder){.mode = CSV_GRANT_READ, .id = {s->term, ++s->serial}};
	/* As with RECLAIM: a look at the map does not tell all (settle_blocks() in
	 * backing_grant.c). */
	row->is_shared = e->is_shared || (!e->is_write && !has_other_writer(row, GRANT_MOUNTS));
	if (e->is_write)
		h->mode = e->is_contended || has_other_writer(row, (size_t)(m - s->mount))
				  ? CSV_GRANT_WRITE
				  : CSV_GRANT_SOLE;
	a = emit(out, GRANT_DO_ISSUED);
	a->handle = e->handle;
	a->id = h->id;
	a->mode = h->mode;
}

static void on_recall(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	struct grant_row *row = find(s, &e->handle);

	if (!row && e->type == GRANT_EV_RECALL)
		row = make(s, &e->handle);
	if (!row)
		return; /* the table is full of others: nobody can be given this one */
	if (e->type == GRANT_EV_RECALL)
		row->recalls++;
	else
		row->is_unwanted = true;
	for (size_t i = 0; i < GRANT_MOUNTS; i++) {
		if (row->holder[i].mode == CSV_GRANT_NONE)
			continue;
		if (e->type == GRANT_EV_RECALL && !row->holder[i].owes_ms)
			row->holder[i].owes_ms = e->now_ms;
		send_recall(s, row, i, out);
	}
}

/* Nobody waits for a recall of it any more. */
static void forgive(struct grant_row *row)
{
	for (size_t i = 0; i < GRANT_MOUNTS; i++) {
		if (row->holder[i].asked <= row->holder[i].told)
			row->holder[i].owes_ms = 0;
	}
}

static void on_end(struct grant_state *s, const struct grant_event *e)
{
	struct grant_row *row = find(s, &e->handle);

	if (!row || !row->recalls)
		return;
	if (!--row->recalls)
		forgive(row);
	tidy(s, row);
}

static void on_done(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	struct grant_row *row = find(s, &e->handle);
	struct grant_holder *h = holder_of(s, row, e->mount);

	if (!h || h->mode == CSV_GRANT_NONE ||
	    (!csv_grant_equal(&h->id, &e->id) && !GRANT_MUTANT(s, ANY_NUMBER)))
		return;
	if (e->has_written)
		note_written(row, &e->written);
	drop_holder(s, row, (size_t)(h - row->holder), out);
}

static void on_ask(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	struct grant_row *row = find(s, &e->handle);
	uint64_t serial = e->serial ? e->serial : ++s->serial;
	struct grant_action *a;

	for (size_t i = 0; row && i < GRANT_MOUNTS; i++) {
		if (row->holder[i].mode < CSV_GRANT_WRITE || row->holder[i].told >= serial)
			continue;
		row->holder[i].asked = serial;
		if (!row->holder[i].owes_ms)
			row->holder[i].owes_ms = e->now_ms;
		if (!s->mount[i].conn)
			continue;
		a = emit(out, GRANT_DO_ASK);
		a->conn = s->mount[i].conn;
		a->handle = e->handle;
		a->id = row->holder[i].id;
		a->serial = serial;
		a->wants_flush = e->wants_flush;
	}
	emit(out, GRANT_DO_ASKED)->serial = serial;
}

static void on_told(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	struct grant_row *row = find(s, &e->handle);
	struct grant_holder *h = holder_of(s, row, e->mount);

	if (!h || h->mode == CSV_GRANT_NONE || !csv_grant_equal(&h->id, &e->id))
		return;
	if (e->has_written)
		note_written(row, &e->written);
	if (h->told < e->serial)
		h->told = e->serial;
	if (h->told >= h->asked && !row->recalls)
		h->owes_ms = 0;
	emit(out, GRANT_DO_LOOK);
}

static void on_touched(struct grant_state *s, const struct grant_event *e)
{
	struct grant_row *row = find(s, &e->handle);

	if (!row)
		return;
	/* Not what has come meanwhile. */
	if (row->has_written && row->written.sec == e->written.sec &&
	    row->written.nsec == e->written.nsec)
		row->has_written = false;
	tidy(s, row);
}

void grant_init(struct grant_state *s, uint64_t term)
{
	memset(s, 0, sizeof(*s));
	s->term = term;
	for (uint16_t i = 0; i < GRANT_ROWS; i++)
		s->row[i].next = i + 1 < GRANT_ROWS ? (uint16_t)(i + 2) : 0;
	s->free = 1;
}

int grant_step(struct grant_state *s, const struct grant_event *e, struct grant_actions *out)
{
	int r = 0;

	out->count = 0;
	switch (e->type) {
	case GRANT_EV_CHANNEL:
		r = on_channel(s, e, out);
		break;
	case GRANT_EV_LOST:
		on_lost(s, e, out);
		break;
	case GRANT_EV_GONE:
		r = on_gone(s, e, out);
		break;
	case GRANT_EV_REPLACED:
		r = on_replaced(s, e, out);
		break;
	case GRANT_EV_FORGET:
		on_forget(s, e);
		break;
	case GRANT_EV_RESET:
		r = on_reset(s, e, out);
		break;
	case GRANT_EV_RECLAIM:
		r = on_reclaim(s, e);
		break;
	case GRANT_EV_OPEN:
		s->is_open = true;
		emit(out, GRANT_DO_LOOK);
		settle_notices(s, out);
		break;
	case GRANT_EV_ISSUE:
		on_issue(s, e, out);
		break;
	case GRANT_EV_RECALL:
	case GRANT_EV_UNWANTED:
		on_recall(s, e, out);
		break;
	case GRANT_EV_END:
		on_end(s, e);
		break;
	case GRANT_EV_DONE:
		on_done(s, e, out);
		break;
	case GRANT_EV_ASK:
		on_ask(s, e, out);
		break;
	case GRANT_EV_TOLD:
		on_told(s, e, out);
		break;
	case GRANT_EV_TOUCHED:
		on_touched(s, e);
		break;
	case GRANT_EV_FAILED:
		r = on_failed(s, e, out);
		break;
	case GRANT_EV_NOTED:
		on_noted(s, e, out);
		break;
	case GRANT_EV_MAX:
		r = -EINVAL;
		break;
	}
	return r;
}

/* ---- looking at it */

bool grant_is_held(const struct grant_state *s, const struct csv_handle *h)
{
	const struct grant_row *row = grant_find(s, h);

	return row && is_held(row);
}

bool grant_is_collected(const struct grant_state *s, const struct csv_handle *h)
{
	if (GRANT_MUTANT(s, FREE_FIRST))
		return true;
	return (s->is_open || GRANT_MUTANT(s, ABSENT)) && !grant_is_held(s, h);
}

bool grant_is_sole_elsewhere(const struct grant_state *s, const struct csv_handle *h,
			     uint64_t mount)
{
	const struct grant_row *row = grant_find(s, h);

	for (size_t i = 0; row && i < GRANT_MOUNTS; i++) {
		if (row->holder[i].mode == CSV_GRANT_SOLE && s->mount[i].id != mount)
			return true;
	}
	return false;
}

bool grant_has_writers(const struct grant_state *s, const struct csv_handle *h)
{
	const struct grant_row *row = grant_find(s, h);

	return row && has_other_writer(row, GRANT_MOUNTS);
}

bool grant_is_told(const struct grant_state *s, const struct csv_handle *h, uint64_t serial)
{
	const struct grant_row *row = grant_find(s, h);

	for (size_t i = 0; row && i < GRANT_MOUNTS; i++) {
		/* One that was given later has nothing to tell of before. */
		if (row->holder[i].mode >= CSV_GRANT_WRITE && row->holder[i].told < serial &&
		    (row->holder[i].id.term != s->term || row->holder[i].id.serial < serial))
			return false;
	}
	return true;
}

bool grant_is_failing(const struct grant_state *s, const struct csv_handle *h)
{
	for (size_t i = 0; i < s->notices; i++) {
		if (csv_handle_equal(&s->notice[i].failure.handle, h))
			return true;
	}
	return false;
}

/* Keeps the oldest debt of each mount. */
static size_t add_debt(const struct grant_state *s, size_t mount, const struct csv_handle *h,
		       uint64_t since_ms, struct grant_debt *ret, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (ret[i].mount != s->mount[mount].id)
			continue;
		if (since_ms < ret[i].since_ms)
			ret[i] = (struct grant_debt){ret[i].mount, *h, since_ms};
		return count;
	}
	ret[count] = (struct grant_debt){s->mount[mount].id, *h, since_ms};
	return count + 1;
}

static bool owes_note(const struct grant_state *s, const struct grant_notice *n, size_t mount)
{
	const struct grant_mount *m = &s->mount[mount];

	return m->id && !m->is_gone && !n->is_noted[mount] &&
	       (m->id != n->failure.origin || is_noted_by_others(s, n));
}

size_t grant_silent(const struct grant_state *s, uint64_t now_ms, struct grant_debt *ret,
		    size_t cap)
{
	uint64_t limit = now_ms > GRANT_SILENT_MS ? now_ms - GRANT_SILENT_MS : 0;
	struct grant_debt all[GRANT_MOUNTS];
	size_t count = 0;

	for (size_t i = 0; s->rows && i < GRANT_ROWS; i++) {
		const struct grant_row *row = &s->row[i];

		for (size_t m = 0; row->handle.ino && m < GRANT_MOUNTS; m++) {
			uint64_t since = row->holder[m].owes_ms;

			if (row->holder[m].mode != CSV_GRANT_NONE && since && since <= limit)
				count = add_debt(s, m, &row->handle, since, all, count);
		}
	}
	for (size_t i = 0; i < s->notices * GRANT_MOUNTS; i++) {
		const struct grant_notice *n = &s->notice[i / GRANT_MOUNTS];

		if (n->since_ms && n->since_ms <= limit && owes_note(s, n, i % GRANT_MOUNTS))
			count = add_debt(s, i % GRANT_MOUNTS, &n->failure.handle, n->since_ms, all,
					 count);
	}
	count = count < cap ? count : cap;
	memcpy(ret, all, count * sizeof(all[0]));
	return count;
}

uint64_t grant_debtor(const struct grant_state *s, struct csv_handle *ret_handle)
{
	for (size_t i = 0; s->rows && i < GRANT_ROWS; i++) {
		for (size_t m = 0; s->row[i].recalls && m < GRANT_MOUNTS; m++) {
			if (s->row[i].holder[m].mode == CSV_GRANT_NONE)
				continue;
			*ret_handle = s->row[i].handle;
			return s->mount[m].id;
		}
	}
	return 0;
}

static const char *check_row(const struct grant_state *s, const struct grant_row *row)
{
	size_t sole = 0, writers = 0;

	for (size_t i = 0; i < GRANT_MOUNTS; i++) {
		if (row->holder[i].mode == CSV_GRANT_NONE)
			continue;
		if (!s->mount[i].id || s->mount[i].is_gone)
			return "one that has ended has a grant";
		sole += row->holder[i].mode == CSV_GRANT_SOLE;
		writers += row->holder[i].mode >= CSV_GRANT_WRITE;
	}
	if (sole && writers > 1)
		return "one who is to be alone is not";
	if (writers && row->is_shared)
		return "blocks of two files may be written";
	return NULL;
}

const char *grant_check(const struct grant_state *s)
{
	size_t rows = 0;

	for (size_t i = 0; i < GRANT_ROWS; i++) {
		const char *wrong = s->row[i].handle.ino ? check_row(s, &s->row[i]) : NULL;

		if (wrong)
			return wrong;
		rows += s->row[i].handle.ino != 0;
	}
	for (size_t i = 0; i < GRANT_MOUNTS; i++) {
		if (s->mount[i].is_gone && s->mount[i].conn)
			return "one that has ended has a line";
	}
	return rows == s->rows ? NULL : "the count of files is wrong";
}

/* ---- orders */

enum grant_make grant_make_first(int mutant)
{
#ifdef CSVFS_MUTANTS
	if (mutant == GRANT_MUTANT_NO_FORCE)
		return GRANT_MAKE_EMPTY;
#else
	(void)mutant;
#endif
	return GRANT_MAKE_FORCE;
}

enum grant_make grant_make_next(enum grant_make step, bool is_ok, int mutant)
{
#ifdef CSVFS_MUTANTS
	if (step == GRANT_MAKE_EMPTY && mutant == GRANT_MUTANT_NO_RESIDENCY)
		is_ok = true;
#else
	(void)mutant;
#endif
	if (!is_ok)
		return GRANT_MAKE_REFUSE;
	switch (step) {
	case GRANT_MAKE_FORCE:
		return GRANT_MAKE_EMPTY;
	case GRANT_MAKE_EMPTY:
		return GRANT_MAKE_MAP;
	case GRANT_MAKE_MAP:
		return GRANT_MAKE_ISSUE;
	case GRANT_MAKE_ISSUE:
	case GRANT_MAKE_REFUSE:
		break;
	}
	return GRANT_MAKE_REFUSE;
}

static enum csv_ungranted judge_one(const struct grant_piece *p, bool is_write, int mutant)
{
	bool is_unwritten = p->is_unwritten;

#ifdef CSVFS_MUTANTS
	is_unwritten = is_unwritten && mutant != GRANT_MUTANT_UNWRITTEN;
#else
	(void)mutant;
#endif
	if (is_unwritten)
		return CSV_UNGRANTED_UNWRITTEN;
	if (p->is_other || !p->address || (p->offset | p->address | p->length) % CSV_GRANT_BLOCK)
		return CSV_UNGRANTED_EXTENTS;
	if (p->is_shared && is_write)
		return CSV_UNGRANTED_SHARED;
	return CSV_UNGRANTED_NOTHING;
}

enum csv_ungranted grant_judge(const struct grant_piece *pieces, size_t count, uint64_t size,
			       bool is_write, int mutant, bool *ret_shared)
{
	bool is_shared = false;
	uint64_t at = 0;

	if (size < CSV_GRANT_MIN)
		return CSV_UNGRANTED_SMALL;
	if (size % CSV_GRANT_BLOCK)
		return CSV_UNGRANTED_SIZE;
	if (count > CSV_EXTENTS_MAX)
		return CSV_UNGRANTED_FRAGMENTED;
	for (size_t i = 0; i < count && at < size; i++) {
		enum csv_ungranted why = judge_one(&pieces[i], is_write, mutant);

		if (why != CSV_UNGRANTED_NOTHING)
			return why;
		if (pieces[i].offset != at)
			return CSV_UNGRANTED_UNWRITTEN;
		is_shared = is_shared || pieces[i].is_shared;
		at += pieces[i].length;
	}
	if (at < size)
		return CSV_UNGRANTED_UNWRITTEN;
	*ret_shared = is_shared;
	return CSV_UNGRANTED_NOTHING;
}

enum grant_change grant_change_first(int mutant)
{
#ifdef CSVFS_MUTANTS
	if (mutant == GRANT_MUTANT_LOCK_FIRST)
		return GRANT_CHANGE_LOCK;
#else
	(void)mutant;
#endif
	return GRANT_CHANGE_RECALL;
}

enum grant_change grant_change_next(enum grant_change step, bool is_ok, int mutant)
{
#ifdef CSVFS_MUTANTS
	if (mutant == GRANT_MUTANT_LOCK_FIRST)
		return step == GRANT_CHANGE_LOCK ? GRANT_CHANGE_RECALL : GRANT_CHANGE_GO;
	if (mutant == GRANT_MUTANT_NO_LOOK_AGAIN && step == GRANT_CHANGE_LOCK)
		return GRANT_CHANGE_GO;
#else
	(void)mutant;
#endif
	switch (step) {
	case GRANT_CHANGE_RECALL:
		return is_ok ? GRANT_CHANGE_LOCK : GRANT_CHANGE_RECALL;
	case GRANT_CHANGE_LOCK:
		return GRANT_CHANGE_LOOK;
	case GRANT_CHANGE_LOOK:
		return is_ok ? GRANT_CHANGE_GO : GRANT_CHANGE_RECALL;
	case GRANT_CHANGE_GO:
		break;
	}
	return GRANT_CHANGE_GO;
}
