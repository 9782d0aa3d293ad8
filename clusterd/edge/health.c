/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/edge/engine.h"
#include "clusterd/edge/log.h"
#include "lib/must.h"

#define NOTE_TIMEOUT_MS 10000

/* ---- notes */

void health_note(struct health *h, enum db_note note, const char *format, ...)
{
	struct health_note *n;
	va_list ap;

	if (h->note_count == HEALTH_NOTES_MAX) { /* without quorum for long: the newest count */
		h->note_count--;
		memmove(h->note, h->note + 1, h->note_count * sizeof(h->note[0]));
	}
	n = &h->note[h->note_count++];
	n->note = (uint8_t)note;
	va_start(ap, format);
	(void)vsnprintf(n->text, sizeof(n->text), format, ap);
	va_end(ap);
	memcpy(h->what, n->text, sizeof(h->what));
}

bool health_has(const struct health *h, enum db_note note)
{
	for (size_t i = 0; i < h->note_count; i++) {
		if (h->note[i].note == note)
			return true;
	}
	return false;
}

static void noted(void *arg, int r, const struct db_result *result)
{
	struct engine *e = arg;
	struct health *h = &e->health;

	(void)result;
	h->is_noting = false;
	if (r || !h->note_count)
		return;
	h->note_count--;
	memmove(h->note, h->note + 1, h->note_count * sizeof(h->note[0]));
}

static void tell_notes(struct engine *e)
{
	struct health *h = &e->health;
	struct db_command cmd;

	if (h->is_noting || !h->note_count || e->repl.phase != REPL_OPEN || h->is_refetching)
		return;
	cmd = engine_command(e, DB_CMD_DB_NOTE);
	cmd.db_note.note = h->note[0].note;
	memcpy(cmd.db_note.text, h->note[0].text, sizeof(cmd.db_note.text));
	memcpy(cmd.db_note.name, e->repl.self.name.text, sizeof(cmd.db_note.name));
	h->is_noting = !engine_request(e, &cmd, NOTE_TIMEOUT_MS, noted, e);
}

/* ---- hashes */

static bool is_this_view(const struct engine *e)
{
	return e->repl.view_complete && cl_view_equal(&e->repl.view, &e->health.view);
}

bool health_may_act(const struct engine *e)
{
	return is_this_view(e) && e->health.verdict == HASH_AGREE && !e->health.is_refetching;
}

bool health_is_read_only(const struct engine *e)
{
	return is_this_view(e) && e->health.verdict == HASH_UNDECIDED;
}

static void take_view(struct engine *e)
{
	struct health *h = &e->health;

	if (is_this_view(e))
		return;
	h->view = e->repl.view;
	h->verdict = HASH_WAIT;
	h->judged_index = 0;
	hash_check_begin(&h->check);
}

void health_applied(struct engine *e, const struct store_entry *entry)
{
	struct health *h = &e->health;
	bool is_first = entry->kind == CL_ENTRY_EPOCH || entry->kind == CL_ENTRY_FORCED;

	/* At the start nobody is there yet to be told of what is replayed. */
	if (e->repl.phase == REPL_DOWN || !hash_check_is_due(entry->index, is_first))
		return;
	h->is_due = true;
	h->due_index = entry->index;
	h->due_hash = db_hash(&e->db);
}

void health_settle(struct engine *e)
{
	struct health *h = &e->health;
	struct cl_msg msg = {.type = CL_MSG_HASH};

	if (!h->is_due || e->repl.phase != REPL_OPEN)
		return;
	h->is_due = false;
	msg.hash.view = e->repl.view;
	msg.hash.index = h->due_index;
	msg.hash.hash = h->due_hash;
	engine_send(e, &msg);
}

static void names_of(const struct cl_table *t, uint16_t set, char *text, size_t size)
{
	size_t n = 0;

	text[0] = 0;
	for (uint8_t i = 0; i < CL_MAX_NODES && n < size; i++) {
		if (set & cl_bit(i))
			n += (size_t)snprintf(text + n, size - n, "%s%s", n ? ", " : "",
					      t->member[i].name);
	}
}

static void is_wrong(struct engine *e, uint64_t index)
{
	struct health *h = &e->health;
	char names[100];

	names_of(&e->repl.vtable, hash_check_majority(&h->check, index, &e->repl.vtable), names,
		 sizeof(names));
	log_error("the state at entry %llu is not that of %s -> this node stops acting and fetches "
		  "the database anew",
		  (unsigned long long)index, names);
	health_note(h, DB_NOTE_WRONG, "its state at entry %llu was not that of %s; fetched anew",
		    (unsigned long long)index, names);
	h->is_refetching = true;
}

#define UNDECIDED_TEXT                                                                             \
	"states differ at entry %llu and none has a majority of votes: nothing is changed or "     \
	"planned. Restore (clusterd --restore) where it is wrong"

static void is_undecided(struct engine *e, uint64_t index)
{
	struct health *h = &e->health;

	if (h->has_told_undecided)
		return;
	h->has_told_undecided = true;
	log_error(UNDECIDED_TEXT, (unsigned long long)index);
	if (repl_is_sequencer(&e->repl))
		health_note(h, DB_NOTE_UNDECIDED, UNDECIDED_TEXT, (unsigned long long)index);
}

bool health_heard(struct engine *e, const struct repl_address *from, const struct cl_msg_hash *m)
{
	struct health *h = &e->health;
	uint8_t slot = repl_sender(&e->repl, from, &m->view);
	enum hash_verdict before = h->verdict, verdict;

	if (slot == CL_NODE_NONE)
		return false;
	take_view(e);
	verdict = hash_check_take(&h->check, slot, m->index, m->hash, e->repl.self_slot,
				  e->repl.present | (repl_countable(&e->repl) & CL_WITNESS_BIT),
				  &e->repl.vtable);
	if (verdict == HASH_WAIT || m->index < h->judged_index)
		return false;
	h->verdict = verdict;
	h->judged_index = m->index;
	if (verdict != before)
		e->view_changed = e->duty_wanted = true;
	if (verdict == HASH_UNDECIDED)
		is_undecided(e, m->index);
	if (verdict == HASH_AGREE) {
		h->has_told_undecided = false;
		h->compared_index = m->index > h->compared_index ? m->index : h->compared_index;
	}
	if (verdict != HASH_WRONG || h->is_refetching)
		return false;
	is_wrong(e, m->index);
	return true;
}

void health_fetched(struct engine *e)
{
	if (!e->health.is_refetching)
		return;
	e->health.is_refetching = false;
	log_notice("the database is here anew");
}

/* ---- the disk */

bool health_stalled(struct engine *e, const char *what)
{
	struct health *h = &e->health;

	if (h->is_stalled == (what != NULL))
		return false;
	h->is_stalled = what != NULL;
	snprintf(h->stall, sizeof(h->stall), "%s", what ? what : "");
	if (what) {
		log_error(
			"%s cannot be written: %s -> no vote; what runs goes on; tried again each "
			"second",
			e->options.db_path, what);
		health_note(h, DB_NOTE_STALLED, "%.80s cannot be written: %.80s",
			    e->options.db_path, what);
	} else {
		log_notice("%s is written again", e->options.db_path);
		health_note(h, DB_NOTE_WRITES, "%.150s is written again", e->options.db_path);
	}
	e->view_changed = true;
	return true;
}

static bool look_at_disk(struct engine *e)
{
	uint64_t ms = store_unanswered_ms(e->store);
	char what[80];

	if (ms < HEALTH_HUNG_MS)
		return e->health.is_hung ? health_stalled(e, NULL) : false;
	if (e->health.is_stalled)
		return false;
	snprintf(what, sizeof(what), "its disk has not answered for %" PRIu64 " s", ms / 1000);
	e->health.is_hung = true;
	return health_stalled(e, what);
}

bool health_tick(struct engine *e)
{
	bool is_change = look_at_disk(e);

	if (!e->health.is_stalled)
		e->health.is_hung = false;
	tell_notes(e);
	return is_change;
}

/* ---- status */

const char *health_refuses(const struct engine *e)
{
	const struct health *h = &e->health;

	if (health_is_read_only(e))
		return "the nodes have different databases, and none has a majority of votes: it "
		       "is "
		       "read-only. Restore it where it is wrong: clusterd(8), --restore";
	if (h->is_refetching)
		return "this node's database was not that of the others: it is being fetched anew";
	if (e->repl.is_blank && h->what[0])
		return "this node had a database that is damaged or gone: it waits for the others. "
		       "If nobody has it: clusterd(8), --restore";
	return NULL;
}

const char *health_word(const struct engine *e)
{
	const struct health *h = &e->health;

	if (h->is_stalled)
		return "not-written";
	if (h->is_refetching)
		return "wrong";
	if (e->repl.is_blank)
		return h->what[0] ? "fetching" : "empty";
	if (e->repl.is_behind)
		return "older";
	if (health_is_read_only(e))
		return "undecided";
	return health_may_act(e) ? "ok" : "not-compared";
}

void health_text(const struct engine *e, char *text, size_t size)
{
	const struct health *h = &e->health;

	text[0] = 0;
	if (h->is_stalled)
		snprintf(text, size, "%s cannot be written: %s", e->options.db_path, h->stall);
	else if (h->is_refetching || e->repl.is_blank || e->repl.is_behind)
		snprintf(text, size, "%s", h->what);
	else if (health_is_read_only(e))
		snprintf(text, size, "states differ and none has a majority of votes");
	else if (health_may_act(e))
		snprintf(text, size, "at entry %" PRIu64 " that of a majority of votes",
			 h->compared_index);
}
