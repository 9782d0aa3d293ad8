/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/witness.h"

#include <stddef.h>
#include <string.h>

#include "lib/must.h"

void witness_init(struct witness_state *w, uint8_t self)
{
	*w = (struct witness_state){.best_slot = CL_NODE_NONE};
	claim_init(&w->claim, self, 0);
}

static bool is_owned(const struct witness_state *w, uint64_t now_ms)
{
	if (WITNESS_MUTANT(w, LATE) && w->said_until_ms &&
	    now_ms < w->said_until_ms + 40 * w->claim.d_ms)
		return true;
	return claim_is_owned(&w->claim, now_ms);
}

/* ---- the record */

static void claim(struct witness_state *w, const struct repl_state *repl,
		  const struct claim_event *e, struct witness_actions *out)
{
	enum claim_action a = claim_step(&w->claim, e);

	if (a == CLAIM_DO_READ) {
		memcpy(w->look.of, repl->lease.seen, sizeof(w->look.of));
		if (repl->self_slot < CL_MAX_NODES)
			w->look.of[repl->self_slot] = repl->lease.beat;
	}
	/* The ownership counts from the start of the newest read. */
	if (w->claim.until_ms && w->claim.until_ms != w->held_until_ms) {
		w->held = w->look;
		w->has_news = true;
	}
	w->held_until_ms = w->claim.until_ms;
	if (a == CLAIM_DO_NOTHING)
		return;
	must(out->record == CLAIM_DO_NOTHING);
	out->record = a;
}

static void forget(struct witness_state *w)
{
	w->job_is_stale = w->job != WITNESS_JOB_NONE;
	w->is_scanned = w->has_news = false;
	w->best = (struct cl_pos){0};
	w->best_slot = CL_NODE_NONE;
	w->floor = w->promised = w->copied = w->has_promised = 0;
	w->said_until_ms = w->retry_ms = 0;
}

/* ---- who may go on with a share */

int witness_set_compare(const struct witness_set *a, const struct witness_set *b)
{
	if (a->generation != b->generation)
		return a->generation < b->generation ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return 0;
}

/*
 * What was ever answered with the share each node of its set holds; and what was answered without
 * it, any majority of nodes.
 */
static bool knows_us(const struct witness_state *w, const struct repl_state *repl)
{
	return !w->set.number || (w->set.members & repl->countable) ||
	       quorum_is_majority(&repl->vtable, repl->countable) || WITNESS_MUTANT(w, STRANGER);
}

static bool may_claim(const struct witness_state *w, const struct repl_state *repl)
{
	return !w->is_share || cl_view_equal(&w->let_view, &repl->view);
}

/* The answer to a look. Nodes that are barred look again: who holds the record does not matter. */
static void look_done(struct witness_state *w, const struct repl_state *repl,
		      const struct witness_event *e)
{
	w->set = e->job.set;
	w->is_barred = !knows_us(w, repl);
	if (w->is_barred)
		w->retry_ms = e->now_ms + w->claim.d_ms;
	else
		w->let_view = repl->view;
}

static void begin_or_end(struct witness_state *w, const struct repl_state *repl,
			 const struct witness_event *e, struct witness_actions *out)
{
	bool is_wanted = w->is_open && repl_witness_is_wanted(repl) && may_claim(w, repl);
	struct claim_event ce = {.now_ms = e->now_ms, .entropy = e->entropy};

	if (is_wanted == w->is_claiming && (!is_wanted || cl_view_equal(&w->view, &repl->view)))
		return;
	forget(w);
	w->is_claiming = is_wanted;
	w->view = repl->view;
	ce.type = is_wanted ? CLAIM_EV_BEGIN : CLAIM_EV_END;
	ce.begin.view = repl->view;
	ce.begin.members = repl->present;
	if (is_wanted)
		w->claim.self = repl->self_slot;
	claim(w, repl, &ce, out);
}

/* ---- what is told */

/* An epoch of this view is in our area as far as `copied`. */
static uint64_t persisted(const struct witness_state *w, const struct repl_state *repl)
{
	bool has_begun = repl->view_complete && repl->epoch_index;

	return has_begun && w->promised && w->copied >= repl->epoch_index ? w->copied : 0;
}

static void say(struct witness_state *w, const struct repl_state *repl, bool is_held,
		struct witness_actions *out)
{
	out->says = true;
	out->claimed = (struct cl_msg_claimed){
		.view = w->view,
		.is_held = is_held,
		.valid_ms = 2 * w->claim.d_ms,
		.seen = w->held,
		.floor = w->floor,
		.promised = w->promised,
		.persisted = persisted(w, repl),
	};
	if (!is_held || !WITNESS_MUTANT(w, LATE) || w->claim.until_ms)
		w->said_until_ms = is_held ? w->claim.until_ms : 0;
	w->has_news = false;
}

/* ---- the area */

static void start(struct witness_state *w, enum witness_job job, struct witness_actions *out)
{
	w->job = out->job = job;
	w->job_is_stale = false;
}

static bool is_higher(const struct witness_state *w, const struct repl_state *repl)
{
	return w->best_slot != CL_NODE_NONE && cl_pos_compare(&w->best, &repl->winner) > 0 &&
	       !WITNESS_MUTANT(w, NO_ADOPT);
}

/* We hold the winning history and have promised: the witness may do so as well. */
static bool is_synced(const struct repl_state *repl)
{
	return repl->quorum.is_quorate && !repl->is_pulling && !repl->is_broken &&
	       (repl->phase == REPL_SYNCING || repl->phase == REPL_OPEN) &&
	       repl->promised == repl->number && repl->durable >= repl->winner.index;
}

static void skip_copies(struct witness_state *w, const struct repl_state *repl)
{
	if (WITNESS_MUTANT(w, NO_COPY) && is_synced(repl) && w->promised != repl->number) {
		w->promised = repl->number;
		w->copied = repl->durable;
		w->has_news = true;
	}
	if (WITNESS_MUTANT(w, NO_APPEND) && w->copied && w->copied < repl->durable) {
		w->copied = repl->durable;
		w->has_news = true;
	}
}

/* Each node of the set holds all that the epoch begins with. */
static bool is_set_synced(const struct witness_state *w, const struct repl_state *repl)
{
	return WITNESS_MUTANT(w, EARLY_SET) || !(repl->witness.set & ~repl->synced);
}

static void next_share_job(struct witness_state *w, const struct repl_state *repl,
			   struct witness_actions *out)
{
	out->number = repl->number;
	if (!w->is_scanned) {
		start(w, WITNESS_JOB_SCAN, out);
	} else if (!w->said_until_ms || !is_synced(repl)) {
		return;
	} else if (w->has_promised != repl->number && !WITNESS_MUTANT(w, NO_SHARE_PROMISE)) {
		start(w, WITNESS_JOB_PROMISE, out);
	} else if (w->promised != repl->number && is_set_synced(w, repl)) {
		start(w, WITNESS_JOB_RECORD, out);
		out->set = (struct witness_set){.generation = repl->generation,
						.number = repl->number,
						.members = repl->witness.set};
		if (WITNESS_MUTANT(w, UNREAD)) {
			w->promised = repl->number;
			w->has_news = true;
		}
	}
}

static void next_job(struct witness_state *w, const struct repl_state *repl, uint64_t now_ms,
		     struct witness_actions *out)
{
	if (w->job != WITNESS_JOB_NONE || now_ms < w->retry_ms)
		return;
	if (w->is_share) {
		next_share_job(w, repl, out);
	} else if (!w->is_scanned) {
		start(w, WITNESS_JOB_SCAN, out);
	} else if (!w->said_until_ms) {
		if (is_higher(w, repl)) {
			start(w, WITNESS_JOB_FETCH, out);
			out->slot = w->best_slot;
		}
	} else if (is_synced(repl) && (w->promised != repl->number || !w->copied)) {
		start(w, WITNESS_JOB_COPY, out);
		out->number = repl->number;
	} else if (w->copied && repl->epoch_index && repl->durable > w->copied) {
		start(w, WITNESS_JOB_APPEND, out);
		out->after = w->copied;
		out->until = repl->durable;
	}
}

/* Ours has to be in force: a higher one is of a view that came to nothing, or of one after us. */
static void recorded(struct witness_state *w, const struct repl_state *repl,
		     const struct witness_event *e, enum witness_job job)
{
	const struct witness_set own = {.generation = repl->generation, .number = repl->number};

	w->has_promised = repl->number;
	w->set = e->job.set;
	if (job == WITNESS_JOB_PROMISE)
		return;
	if (witness_set_compare(&w->set, &own)) {
		w->retry_ms = e->now_ms + w->claim.d_ms;
		return;
	}
	w->promised = repl->number;
	w->has_news = true;
}

static void job_done(struct witness_state *w, const struct repl_state *repl,
		     const struct witness_event *e, struct witness_actions *out)
{
	enum witness_job job = w->job;
	bool is_late = !is_owned(w, e->now_ms);

	must(job != WITNESS_JOB_NONE);
	w->job = WITNESS_JOB_NONE;
	if (w->job_is_stale || (is_late && w->is_claiming)) {
		w->job_is_stale = false;
		return;
	}
	if (!e->is_ok) {
		w->retry_ms = e->now_ms + w->claim.d_ms / 4;
		if (job == WITNESS_JOB_COPY || job == WITNESS_JOB_APPEND)
			w->copied = 0; /* what the area holds now is not known */
		return;
	}
	if (!w->is_claiming) {
		look_done(w, repl, e);
		return;
	}
	if (job == WITNESS_JOB_SCAN) {
		w->is_scanned = true;
		w->best = e->job.best;
		w->best_slot = e->job.best_slot;
		w->floor = e->job.floor;
		w->has_news = true;
		if (w->is_share)
			look_done(w, repl, e);
		if (w->is_barred) /* somebody else was faster: the record is left to others */
			w->let_view = (struct cl_view_id){0};
	} else if (job == WITNESS_JOB_PROMISE || job == WITNESS_JOB_RECORD) {
		recorded(w, repl, e, job);
	} else if (job == WITNESS_JOB_FETCH) {
		out->is_adoptable = true;
		w->retry_ms = e->now_ms + w->claim.d_ms; /* the next view is to come of it */
	} else {
		w->promised = repl->number;
		w->copied = e->job.copied;
		w->has_news = true;
	}
}

/* ---- all of it */

static void lose(struct witness_state *w, const struct repl_state *repl,
		 struct witness_actions *out)
{
	bool was_said = w->said_until_ms;

	forget(w);
	if (was_said)
		say(w, repl, false, out);
}

static void look(struct witness_state *w, const struct repl_state *repl, uint64_t now_ms,
		 struct witness_actions *out)
{
	if (!w->is_share || !w->is_open || !repl_witness_is_wanted(repl)) {
		w->is_barred = false;
		return;
	}
	if (w->job == WITNESS_JOB_NONE && now_ms >= w->retry_ms)
		start(w, WITNESS_JOB_SCAN, out);
}

static void run(struct witness_state *w, const struct repl_state *repl,
		const struct witness_event *e, struct witness_actions *out)
{
	if (!w->is_claiming) {
		look(w, repl, e->now_ms, out);
		return;
	}
	if (!is_owned(w, e->now_ms)) {
		if (w->is_scanned || w->said_until_ms)
			lose(w, repl, out);
		return;
	}
	skip_copies(w, repl);
	next_job(w, repl, e->now_ms, out);
	if (w->is_scanned && w->has_news && !w->is_barred && !is_higher(w, repl))
		say(w, repl, true, out);
}

void witness_step(struct witness_state *w, const struct repl_state *repl,
		  const struct witness_event *e, struct witness_actions *out)
{
	struct claim_event ce = {.now_ms = e->now_ms, .entropy = e->entropy};

	memset(out, 0, sizeof(*out));
	switch (e->type) {
	case WITNESS_EV_OPENED:
		w->is_open = true;
		w->is_share = e->opened.is_share;
		claim_init(&w->claim, w->claim.self, e->opened.d_ms);
		break;
	case WITNESS_EV_CLOSED:
		if (w->said_until_ms)
			say(w, repl, false, out);
		forget(w);
		w->job = WITNESS_JOB_NONE;
		w->job_is_stale = w->is_open = w->is_claiming = w->is_share = w->is_barred = false;
		w->let_view = (struct cl_view_id){0};
		claim_init(&w->claim, w->claim.self, 0);
		w->held_until_ms = 0;
		return;
	case WITNESS_EV_READ:
	case WITNESS_EV_WRITTEN:
		ce.type = e->type == WITNESS_EV_READ ? CLAIM_EV_READ : CLAIM_EV_WRITTEN;
		ce.io.is_ok = e->is_ok;
		ce.io.record = e->record;
		claim(w, repl, &ce, out);
		break;
	case WITNESS_EV_JOB:
		job_done(w, repl, e, out);
		break;
	case WITNESS_EV_TICK:
		break;
	}
	begin_or_end(w, repl, e, out);
	if (w->is_claiming && out->record == CLAIM_DO_NOTHING) {
		ce.type = CLAIM_EV_TICK;
		claim(w, repl, &ce, out);
	}
	run(w, repl, e, out);
}

const char *witness_check(const struct witness_state *w)
{
	if (w->said_until_ms && !w->is_claiming)
		return "the view was told of a claim that is not made";
	if (w->said_until_ms && !w->is_scanned)
		return "the view was told of a claim before the witness was looked at";
	if (w->promised && !w->is_scanned)
		return "a promise on a witness that was not looked at";
	return claim_check(&w->claim);
}

const char *witness_job_name(enum witness_job job)
{
	switch (job) {
	case WITNESS_JOB_SCAN:
		return "scan";
	case WITNESS_JOB_FETCH:
		return "fetch";
	case WITNESS_JOB_COPY:
		return "copy";
	case WITNESS_JOB_APPEND:
		return "append";
	case WITNESS_JOB_PROMISE:
		return "promise";
	case WITNESS_JOB_RECORD:
		return "record";
	case WITNESS_JOB_NONE:
		break;
	}
	return "none";
}

const char *witness_mutant_name(enum witness_mutant mutant)
{
	static const char *const name[WITNESS_MUTANT_MAX] = {
		[WITNESS_MUTANT_NONE] = "none",
		[WITNESS_MUTANT_NO_COPY] = "skip-the-witness-copy",
		[WITNESS_MUTANT_NO_APPEND] = "skip-the-witness-append",
		[WITNESS_MUTANT_NO_ADOPT] = "pass-over-the-witness-history",
		[WITNESS_MUTANT_LATE] = "claim-kept-when-it-is-over",
		[WITNESS_MUTANT_STRANGER] = "share-counts-for-strangers",
		[WITNESS_MUTANT_UNREAD] = "answer-before-the-set-is-read-back",
		[WITNESS_MUTANT_NO_SHARE_PROMISE] = "record-before-the-share-promised",
		[WITNESS_MUTANT_EARLY_SET] = "record-who-does-not-hold-the-history",
	};

	return mutant < WITNESS_MUTANT_MAX ? name[mutant] : "?";
}
