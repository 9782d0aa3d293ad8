/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/direct.h"

#include <errno.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/must.h"

static struct direct_action *emit(struct direct_actions *out, enum direct_action_kind kind)
{
	struct direct_action *a;

	must(out->count < DIRECT_MAX_ACTIONS);
	a = &out->item[out->count++];
	*a = (struct direct_action){.kind = kind, .file = DIRECT_NONE};
	return a;
}

/* ---- table */

static size_t bucket_of(const struct csv_handle *h)
{
	return hash_u64(hash_u64(HASH_INIT, h->ino), h->gen) % DIRECT_BUCKETS;
}

size_t direct_find(const struct direct_state *s, const struct csv_handle *h)
{
	size_t i = s->bucket[bucket_of(h)];

	while (i && !csv_handle_equal(&s->file[i - 1].handle, h))
		i = s->file[i - 1].next;
	return i ? i - 1 : DIRECT_NONE;
}

static struct direct_file *find(struct direct_state *s, const struct csv_handle *h)
{
	size_t i = direct_find(s, h);

	return i == DIRECT_NONE ? NULL : &s->file[i];
}

static struct direct_file *make(struct direct_state *s, const struct csv_handle *h)
{
	struct direct_file *f = find(s, h);
	size_t b = bucket_of(h);
	uint16_t at = s->free;

	if (f || !at)
		return f;
	f = &s->file[at - 1];
	s->free = f->next;
	*f = (struct direct_file){.handle = *h, .next = s->bucket[b]};
	s->bucket[b] = at;
	return f;
}

static void tidy(struct direct_state *s, struct direct_file *f)
{
	uint16_t *at = &s->bucket[bucket_of(&f->handle)];
	uint16_t self = (uint16_t)(f - s->file + 1);

	if (f->opens || f->under_way || f->state != DIRECT_HOME || f->failure ||
	    (f->wrote && !DIRECT_MUTANT(s, CLOSED_CLEAN)))
		return;
	while (*at != self)
		at = &s->file[*at - 1].next;
	*at = f->next;
	*f = (struct direct_file){.next = s->free};
	s->free = self;
}

/* ---- going back */

static void give_back(struct direct_state *s, struct direct_file *f, struct direct_actions *out)
{
	struct direct_action *a = emit(out, f->is_asked ? DIRECT_DO_DONE : DIRECT_DO_RETURN);

	a->handle = f->handle;
	a->id = f->id;
	a->has_written = f->has_written;
	a->written = f->written;
	f->mode = CSV_GRANT_NONE;
	f->id = (struct csv_grant_id){0};
	f->has_written = f->is_asked = false;
	if (f->state == DIRECT_DRAINING)
		f->state = DIRECT_HOME;
	tidy(s, f);
}

/* No new I/O under it; it goes back with the end of the last one. */
static void drain(struct direct_state *s, struct direct_file *f, bool is_asked, bool is_first,
		  struct direct_actions *out)
{
	f->is_asked = f->is_asked || is_asked;
	if (f->state == DIRECT_GRANTED)
		f->state = DIRECT_DRAINING;
	if (!f->under_way || is_first)
		give_back(s, f, out);
}

static void back_off(struct direct_file *f, uint64_t now_ms)
{
	uint32_t ms = f->backoff_ms * 2;

	if (!f->backoff_ms || (f->granted_ms && now_ms - f->granted_ms >= DIRECT_CALM_MS))
		ms = DIRECT_BACKOFF_MS;
	f->backoff_ms = ms < DIRECT_BACKOFF_MAX_MS ? ms : DIRECT_BACKOFF_MAX_MS;
	f->ask_after_ms = now_ms + f->backoff_ms;
	f->granted_ms = 0;
}

/* ---- events */

static void on_opened(struct direct_state *s, const struct direct_event *e)
{
	struct direct_file *f = make(s, &e->handle);

	if (!f)
		return;
	f->opens++;
	if (e->is_left && s->flushed < s->left)
		f->wrote = s->left;
}

static void on_closed(struct direct_state *s, const struct direct_event *e,
		      struct direct_actions *out)
{
	struct direct_file *f = find(s, &e->handle);

	if (!f || !f->opens)
		return;
	if (--f->opens)
		return;
	if (f->state == DIRECT_GRANTED)
		drain(s, f, false, false, out);
	else
		tidy(s, f);
}

static bool may_use_path(const struct direct_state *s)
{
	return s->block == DIRECT_PATH_OK && !s->is_aside &&
	       ((s->has_lease && !s->must_confirm) || DIRECT_MUTANT(s, NO_LEASE));
}

static bool is_enough(const struct direct_file *f, bool is_write)
{
	return f->mode >= (is_write ? CSV_GRANT_WRITE : CSV_GRANT_READ);
}

static void on_begin(struct direct_state *s, const struct direct_event *e,
		     struct direct_actions *out)
{
	struct direct_file *f = find(s, &e->handle);
	bool is_usable = f && (f->state == DIRECT_GRANTED ||
			       (f->state == DIRECT_DRAINING && DIRECT_MUTANT(s, DRAIN_USED)));

	bool is_part = e->is_write && e->is_partial && !DIRECT_MUTANT(s, PARALLEL_RMW);

	if (!f || !f->opens || is_part || !may_use_path(s)) {
		emit(out, DIRECT_DO_HOME);
		return;
	}
	if (is_usable && is_enough(f, e->is_write)) {
		f->under_way++;
		s->under_way++;
		emit(out, DIRECT_DO_GO)->file = (size_t)(f - s->file);
		return;
	}
	/* One for reading is replaced by one for writing as it stands. */
	if (!e->may_ask || e->now_ms < f->ask_after_ms ||
	    (f->state != DIRECT_HOME && f->state != DIRECT_GRANTED)) {
		emit(out, DIRECT_DO_HOME);
		return;
	}
	if (f->state == DIRECT_HOME)
		f->dead = (struct csv_grant_id){0};
	else
		f->dead = f->id;
	f->state = DIRECT_ASKING;
	emit(out, DIRECT_DO_ASK)->file = (size_t)(f - s->file);
}

static void on_end(struct direct_state *s, const struct direct_event *e, struct direct_actions *out)
{
	struct direct_file *f = &s->file[e->file];

	must(e->file < DIRECT_FILES && f->under_way && s->under_way);
	f->under_way--;
	s->under_way--;
	if (e->is_write) {
		f->has_written = true;
		f->written = e->written;
		f->wrote = ++s->writes;
	}
	if (f->under_way)
		return;
	if (f->state == DIRECT_DRAINING && f->mode != CSV_GRANT_NONE)
		give_back(s, f, out);
	else if (f->state == DIRECT_ASKING && f->is_asked)
		give_back(s, f, out); /* the older one */
	else
		tidy(s, f);
}

static void on_issued(struct direct_state *s, const struct direct_event *e,
		      struct direct_actions *out)
{
	struct direct_file *f = find(s, &e->handle);
	bool is_dead;

	must(f && f->state == DIRECT_ASKING);
	is_dead = !csv_grant_before(&f->dead, &e->id) && !DIRECT_MUTANT(s, DEAD_ANSWER);
	if (is_dead) {
		/* Its recall has been answered, or is when the older grant has drained. */
		f->state = f->mode != CSV_GRANT_NONE ? DIRECT_DRAINING : DIRECT_HOME;
		back_off(f, e->now_ms);
		if (f->mode != CSV_GRANT_NONE && !f->under_way)
			give_back(s, f, out);
		else
			tidy(s, f);
		return;
	}
	f->state = DIRECT_GRANTED;
	f->mode = e->mode;
	f->id = e->id;
	f->is_asked = false;
	f->why = CSV_UNGRANTED_NOTHING;
	f->granted_ms = e->now_ms;
	if (!f->opens || s->block != DIRECT_PATH_OK || s->is_aside)
		drain(s, f, false, false, out);
}

static void on_refused(struct direct_state *s, const struct direct_event *e,
		       struct direct_actions *out)
{
	struct direct_file *f = find(s, &e->handle);

	must(f && f->state == DIRECT_ASKING);
	f->why = e->why;
	back_off(f, e->now_ms);
	if (f->mode == CSV_GRANT_NONE) {
		f->state = DIRECT_HOME;
		tidy(s, f);
		return;
	}
	/* What it had for reading is good still, unless it has been recalled meanwhile. */
	f->state = f->is_asked ? DIRECT_DRAINING : DIRECT_GRANTED;
	if (!f->is_asked && (!f->opens || s->block != DIRECT_PATH_OK || s->is_aside))
		drain(s, f, false, false, out);
}

static void say_done(const struct direct_event *e, struct direct_actions *out)
{
	struct direct_action *a = emit(out, DIRECT_DO_DONE);

	a->handle = e->handle;
	a->id = e->id;
}

/*
 * The answer to a GRANT that is under way may bring this very grant: then it is dead, and the older
 * one, whose I/O may still be under way, goes back with it.
 */
static void recall_asking(struct direct_state *s, struct direct_file *f,
			  const struct direct_event *e, struct direct_actions *out)
{
	if (csv_grant_before(&f->dead, &e->id))
		f->dead = e->id;
	if (f->mode == CSV_GRANT_NONE) {
		say_done(e, out);
		return;
	}
	f->id = e->id; /* the coordinator knows only this one */
	drain(s, f, true, DIRECT_MUTANT(s, ACK_FIRST), out);
}

static void on_recall(struct direct_state *s, const struct direct_event *e,
		      struct direct_actions *out)
{
	struct direct_file *f = find(s, &e->handle);

	if (f && f->state == DIRECT_ASKING) {
		recall_asking(s, f, e, out);
		return;
	}
	if (!f || f->mode == CSV_GRANT_NONE || csv_grant_before(&e->id, &f->id)) {
		say_done(e, out);
		return;
	}
	f->id = e->id;
	back_off(f, e->now_ms);
	drain(s, f, true, DIRECT_MUTANT(s, ACK_FIRST), out);
}

/*
 * What an earlier coordinator has answered and nobody has looked at yet, the new one is not told
 * of, and does not recall.
 */
static void on_reclaim(struct direct_state *s, const struct direct_event *e)
{
	const struct csv_grant_id before = {.term = e->id.term};

	for (size_t i = 0; i < DIRECT_FILES && !DIRECT_MUTANT(s, STALE_ANSWER); i++) {
		struct direct_file *f = &s->file[i];

		if (f->handle.ino && f->state == DIRECT_ASKING &&
		    csv_grant_before(&f->dead, &before))
			f->dead = before;
	}
}

/* All grants go back, as they drain. */
static void drain_all(struct direct_state *s, struct direct_actions *out)
{
	for (size_t i = 0; i < DIRECT_FILES; i++) {
		if (s->file[i].handle.ino && s->file[i].state == DIRECT_GRANTED)
			drain(s, &s->file[i], false, DIRECT_MUTANT(s, RETURN_FIRST), out);
	}
}

static void ask_anew(struct direct_state *s)
{
	for (size_t i = 0; i < DIRECT_FILES; i++)
		s->file[i].ask_after_ms = s->file[i].backoff_ms = 0;
}

static void on_aside(struct direct_state *s, const struct direct_event *e,
		     struct direct_actions *out)
{
	s->is_aside = e->is_aside;
	if (s->is_aside)
		drain_all(s, out);
	else
		ask_anew(s);
}

static void on_block(struct direct_state *s, const struct direct_event *e,
		     struct direct_actions *out)
{
	if (s->block != DIRECT_PATH_OK) {
		s->block = e->block;
		return;
	}
	s->block = e->block;
	s->block_since_ms = e->now_ms;
	drain_all(s, out);
}

static void on_path(struct direct_state *s)
{
	s->block = DIRECT_PATH_OK;
	s->block_since_ms = 0;
	ask_anew(s);
}

static void on_lease(struct direct_state *s, const struct direct_event *e)
{
	/* It may have been fenced meanwhile, and its grants given up for it. */
	if (s->has_lease && !e->has_lease)
		s->must_confirm = true;
	s->has_lease = e->has_lease;
}

/* ---- flushes that fail */

/* One failure at a time, in their order. */
static void tell_next(struct direct_state *s, struct direct_actions *out)
{
	const struct direct_file *next = NULL;

	for (size_t i = 0; i < DIRECT_FILES && !s->telling; i++) {
		const struct direct_file *f = &s->file[i];

		if (f->handle.ino && f->failure && (!next || f->failure < next->failure))
			next = f;
	}
	if (!next)
		return;
	s->telling = next->failure;
	emit(out, DIRECT_DO_FAILED)->failure = (struct csv_frame_failed){.handle = next->handle,
									 .origin = s->mount,
									 .serial = next->failure,
									 .error = next->error};
}

static void on_flushed(struct direct_state *s, const struct direct_event *e)
{
	if (s->flushed < e->serial)
		s->flushed = e->serial;
	for (size_t i = 0; i < DIRECT_FILES; i++) {
		struct direct_file *f = &s->file[i];

		if (!f->handle.ino || !f->wrote || f->wrote > s->flushed)
			continue;
		f->wrote = 0;
		tidy(s, f);
	}
}

/* What the disk has not taken is lost: its place is taken by the error. */
static void on_failed(struct direct_state *s, const struct direct_event *e,
		      struct direct_actions *out)
{
	for (size_t i = 0; i < DIRECT_FILES; i++) {
		struct direct_file *f = &s->file[i];

		if (!f->handle.ino || !f->wrote || f->wrote > e->serial)
			continue;
		f->failure = ++s->failures;
		f->error = e->error;
		errors_note(&s->errors, &(struct csv_frame_failed){.handle = f->handle,
								   .origin = s->mount,
								   .serial = f->failure,
								   .error = f->error});
	}
	on_flushed(s, e);
	tell_next(s, out);
}

static void on_heard(struct direct_state *s, const struct direct_event *e,
		     struct direct_actions *out)
{
	emit(out, DIRECT_DO_NOTED)->failure = e->failure;
	errors_note(&s->errors, &e->failure);
	if (e->failure.origin != s->mount)
		return;
	for (size_t i = 0; i < DIRECT_FILES; i++) {
		struct direct_file *f = &s->file[i];

		if (!f->handle.ino || f->failure != e->failure.serial)
			continue;
		f->failure = 0;
		tidy(s, f);
	}
	if (s->telling == e->failure.serial)
		s->telling = 0;
	tell_next(s, out);
}

/* What was under way over another line may be lost. */
static void on_confirmed(struct direct_state *s, struct direct_actions *out)
{
	s->must_confirm = !s->has_lease;
	if (DIRECT_MUTANT(s, TELL_ONCE))
		return;
	s->telling = 0;
	tell_next(s, out);
}

void direct_init(struct direct_state *s, uint64_t mount)
{
	memset(s, 0, sizeof(*s));
	s->mount = mount;
	for (uint16_t i = 0; i < DIRECT_FILES; i++)
		s->file[i].next = i + 1 < DIRECT_FILES ? (uint16_t)(i + 2) : 0;
	s->free = 1;
}

void direct_go_on(struct direct_state *s, uint32_t life, uint64_t seq)
{
	s->failures = (uint64_t)life << 32;
	s->writes = s->left = 1;
	errors_go_on(&s->errors, seq);
}

void direct_step(struct direct_state *s, const struct direct_event *e, struct direct_actions *out)
{
	out->count = 0;
	switch (e->type) {
	case DIRECT_EV_OPENED:
		on_opened(s, e);
		break;
	case DIRECT_EV_CLOSED:
		on_closed(s, e, out);
		break;
	case DIRECT_EV_BEGIN:
		on_begin(s, e, out);
		break;
	case DIRECT_EV_END:
		on_end(s, e, out);
		break;
	case DIRECT_EV_ISSUED:
		on_issued(s, e, out);
		break;
	case DIRECT_EV_REFUSED:
		on_refused(s, e, out);
		break;
	case DIRECT_EV_RECALL:
		on_recall(s, e, out);
		break;
	case DIRECT_EV_RECLAIM:
		on_reclaim(s, e);
		break;
	case DIRECT_EV_CONFIRMED:
		on_confirmed(s, out);
		break;
	case DIRECT_EV_LEASE:
		on_lease(s, e);
		break;
	case DIRECT_EV_BLOCK:
		on_block(s, e, out);
		break;
	case DIRECT_EV_ASIDE:
		on_aside(s, e, out);
		break;
	case DIRECT_EV_PATH:
		on_path(s);
		break;
	case DIRECT_EV_FLUSHED:
		on_flushed(s, e);
		break;
	case DIRECT_EV_FAILED:
		on_failed(s, e, out);
		break;
	case DIRECT_EV_HEARD:
		on_heard(s, e, out);
		break;
	case DIRECT_EV_MAX:
		break;
	}
}

/* ---- looking at it */

const char *direct_check(const struct direct_state *s)
{
	uint32_t under_way = 0;

	for (size_t i = 0; i < DIRECT_FILES; i++) {
		const struct direct_file *f = &s->file[i];

		if (!f->handle.ino)
			continue;
		under_way += f->under_way;
		if (f->under_way && f->mode == CSV_GRANT_NONE)
			return "I/O is under way without a grant";
		if (f->state == DIRECT_HOME && f->mode != CSV_GRANT_NONE)
			return "a file at home has a grant";
		if (f->state == DIRECT_DRAINING && !f->under_way)
			return "a file drains, and nothing is under way";
		if (f->wrote && (f->wrote > s->writes || f->wrote <= s->flushed))
			return "a write that is flushed counts as one that is not";
	}
	return under_way == s->under_way ? NULL : "the count of what is under way is wrong";
}

bool direct_must_reclaim(const struct direct_state *s, size_t file)
{
	const struct direct_file *f = &s->file[file];

	if (f->state == DIRECT_DRAINING && DIRECT_MUTANT(s, NO_RECLAIM))
		return false;
	return f->handle.ino && f->mode != CSV_GRANT_NONE;
}

bool direct_is_sole(const struct direct_state *s, const struct csv_handle *h)
{
	size_t i = direct_find(s, h);

	return i != DIRECT_NONE && s->file[i].state == DIRECT_GRANTED &&
	       s->file[i].mode == CSV_GRANT_SOLE;
}

bool direct_is_path_error(int error)
{
	switch (error) {
	case EOPNOTSUPP: /* NOTSUPP */
	case ENOSPC:	 /* NOSPC */
	case EREMOTEIO:	 /* TARGET */
	case EBADE:	 /* RESV_CONFLICT */
	case ENODATA:	 /* MEDIUM */
	case EILSEQ:	 /* PROTECTION */
		return false;
	default:
		return true;
	}
}

bool direct_wants_flush(const struct direct_state *s)
{
	if (s->flushed < s->left)
		return true;
	for (size_t i = 0; s->flushed < s->writes && i < DIRECT_FILES; i++) {
		if (s->file[i].handle.ino && s->file[i].wrote && !s->file[i].opens)
			return true;
	}
	return false;
}

bool direct_is_quiet(const struct direct_state *s)
{
	return !s->under_way && (!s->has_lease || s->block == DIRECT_PATH_NONE);
}

enum direct_io direct_io_state(const struct direct_state *s, bool is_served)
{
	if (!s->has_lease)
		return DIRECT_PAUSED;
	if (s->block == DIRECT_PATH_OK && !s->is_aside)
		return DIRECT_ACTIVE;
	return is_served ? DIRECT_REDIRECTED : DIRECT_PAUSED;
}

const char *direct_block_text(enum direct_block block)
{
	static const char *const text[] = {
		[DIRECT_PATH_OK] = "",
		[DIRECT_PATH_NONE] = "this node has no path to the LUN",
		[DIRECT_PATH_ERROR] = "the LUN answers this node with errors",
		[DIRECT_PATH_HUNG] = "the LUN does not answer this node",
	};

	return block < MUST_ARRAY_SIZE(text) ? text[block] : "?";
}
