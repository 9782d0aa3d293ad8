/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusterd/edge/engine_impl.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/witness_channel.h"
#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/uuid.h"
#include "lib/wire.h"

#define ASK_EVERY_MS 1000 /* whether it answers */
#define SILENT_MS    5000 /* until it is open, and D is known */

struct witness {
	struct engine *engine;
	struct witness_state core;
	/* In use; empty: none */
	char uuid[UUID_TEXT], device[DB_DEVICE_MAX];
	bool is_share;
	uint8_t slot;
	struct witness_channel record, area;
	bool record_failed, area_failed; /* it could not be asked: that is the answer */
	bool has_job;			 /* of the core: for when the channel is free */
	struct witness_request job;
	struct bulk_result fetched;
	bool is_reached, was_owned, was_barred, has_told;
	uint64_t ask_ms; /* when it is asked next */
	char text[WITNESS_LINK_TEXT];
};

static uint64_t entropy(void)
{
	uint64_t v;

	must(getrandom(&v, sizeof(v), 0) == sizeof(v));
	return v;
}

static void tell(struct witness *w, struct repl_event *event)
{
	w->has_told = true;
	engine_run(w->engine, event);
}

static void set_reached(struct witness *w, bool is_reached)
{
	struct repl_event event = {.type = REPL_EV_REACH, .is_reached = is_reached};

	if (w->is_reached != is_reached) {
		if (is_reached)
			log_notice("witness %s: it answers", w->device);
		else
			log_warning("witness %s: %s -> this node does not claim it", w->device,
				    w->text);
	}
	w->is_reached = is_reached;
	if (w->engine->repl.witness.is_reached != is_reached)
		tell(w, &event);
}

/* ---- what the core wants */

static struct witness_request request_of(const struct witness *w, const struct witness_actions *a)
{
	static const enum witness_op ops[] = {
		[WITNESS_JOB_NONE] = WITNESS_OP_LOOK,
		[WITNESS_JOB_SCAN] = WITNESS_OP_SCAN,
		[WITNESS_JOB_FETCH] = WITNESS_OP_FETCH,
		[WITNESS_JOB_COPY] = WITNESS_OP_COPY,
		[WITNESS_JOB_APPEND] = WITNESS_OP_APPEND,
		[WITNESS_JOB_PROMISE] = WITNESS_OP_PROMISE,
		[WITNESS_JOB_RECORD] = WITNESS_OP_RECORD,
	};

	return (struct witness_request){.op = ops[a->job],
					.is_share = w->is_share,
					.set = a->set,
					.slot = a->slot,
					.number = a->number,
					.end = w->engine->repl.last,
					.after = a->after,
					.until = a->until};
}

static void adopt(struct witness *w)
{
	int r = engine_adopt(w->engine, &w->core.view, &w->fetched);

	w->has_told = true;
	if (r)
		log_warning("witness %s: its history is not installed: %s", w->device,
			    strerror(-r));
	else
		log_notice("witness %s: its history is higher than any here -> install it",
			   w->device);
	bulk_result_clear(&w->fetched);
}

static void note_ownership(struct witness *w)
{
	bool is_owned = claim_is_owned(&w->core.claim, engine_now_ms());

	if (is_owned != w->was_owned)
		log_notice("witness %s: %s", w->device,
			   is_owned ? "claimed -> its vote counts in this view"
				    : "not ours any more -> its vote does not count");
	w->was_owned = is_owned;
}

static void note_bar(struct witness *w)
{
	if (w->core.is_barred && !w->was_barred)
		log_warning("witness %s: it knows others, and none of those here may go on with "
			    "it -> wait for one of them (quorum show names them)",
			    w->device);
	w->was_barred = w->core.is_barred;
}

static void core_step(struct witness *w, struct witness_event *event)
{
	struct witness_actions out;
	const char *broken;
	uint64_t now = engine_now_ms();

	event->now_ms = now;
	event->entropy = entropy();
	witness_step(&w->core, &w->engine->repl, event, &out);
	broken = witness_check(&w->core);
	if (broken) {
		log_error("broken invariant: %s -> abort", broken);
		abort();
	}
	note_ownership(w);
	note_bar(w);
	if (out.record != CLAIM_DO_NOTHING) {
		struct witness_request q = {.op = out.record == CLAIM_DO_READ ? WITNESS_OP_READ
									      : WITNESS_OP_WRITE,
					    .is_share = w->is_share,
					    .record = w->core.claim.own};

		w->record_failed = witness_channel_ask(&w->record, &q, now) != 0;
	}
	if (out.job != WITNESS_JOB_NONE) {
		w->has_job = true;
		w->job = request_of(w, &out);
	}
	if (out.is_adoptable)
		adopt(w);
	if (out.says) {
		struct repl_event say = {.type = REPL_EV_CLAIMED, .claimed = out.claimed};

		tell(w, &say);
	}
}

/* ---- what the disk answers */

static void on_record(void *arg, enum witness_op op, const struct witness_answer *a)
{
	struct witness *w = arg;
	struct witness_event event = {
		.type = op == WITNESS_OP_READ ? WITNESS_EV_READ : WITNESS_EV_WRITTEN,
		.is_ok = !a->r,
		.record = a->record,
	};

	if (a->r)
		log_warning("witness: %s", a->text);
	core_step(w, &event);
	engine_settle(w->engine);
}

static int read_file(const char *path, uint8_t **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *all;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	all = malloc((size_t)st.st_size + 1);
	must(all);
	if (read(fd, all, (size_t)st.st_size) != (ssize_t)st.st_size) {
		free(all);
		return -EIO;
	}
	*ret = all;
	*ret_len = (size_t)st.st_size;
	return 0;
}

/* The frames of a history, one behind the other. */
static int decode_frames(const uint8_t *all, size_t len, struct bulk_result *ret)
{
	struct wire_reader r;

	wire_reader_init(&r, all, len);
	for (bool is_first = true; wire_reader_left(&r) && !r.error; is_first = false) {
		struct bulk_result more = {0};
		size_t n;
		const uint8_t *frame = wire_get_bytes(&r, &n);

		if (r.error || bulk_decode(frame, n, is_first ? ret : &more))
			return -EBADMSG;
		for (size_t i = 0; i < more.log.count; i++)
			store_log_push_copy(&ret->log, &more.log.entry[i]);
		bulk_result_clear(&more);
	}
	return wire_reader_end(&r);
}

static int take_fetched(struct witness *w)
{
	_cleanup_free_ uint8_t *all = NULL;
	size_t len = 0;
	int r = read_file(w->area.file, &all, &len);

	bulk_result_clear(&w->fetched);
	if (!r)
		r = decode_frames(all, len, &w->fetched);
	(void)unlink(w->area.file); /* the next one is written over it */
	return r;
}

static bool is_silent(const struct witness *w, const struct witness_channel *c, uint64_t now)
{
	uint64_t limit = w->core.is_open ? w->core.claim.d_ms : SILENT_MS;

	/* A copy takes as long as it takes: it is one request, and many I/Os. */
	if (c == &w->area && w->area.op != WITNESS_OP_LOOK)
		limit += SILENT_MS;
	return c->is_busy && now - c->since_ms > limit;
}

/* The answer to whether it is there. */
static void looked(struct witness *w, const struct witness_answer *a)
{
	struct witness_event event = {.type = WITNESS_EV_OPENED};
	char id[UUID_TEXT];
	const struct cl_uuid *cluster = &w->engine->repl.cluster;

	if (a->r) {
		snprintf(w->text, sizeof(w->text), "%s", a->text);
		set_reached(w, false);
		return;
	}
	uuid_text(a->header.id.byte, id);
	if (strcmp(id, w->uuid) != 0 ||
	    memcmp(a->header.cluster.byte, cluster->byte, sizeof(cluster->byte)) != 0) {
		snprintf(w->text, sizeof(w->text), "%.100s: it is another witness, %s", w->device,
			 id);
		set_reached(w, false);
		return;
	}
	/* One of its files may hang while another does not. */
	if (is_silent(w, &w->record, engine_now_ms()))
		return;
	w->text[0] = 0;
	set_reached(w, true);
	if (w->core.is_open)
		return;
	event.opened.d_ms = a->header.d_ms;
	event.opened.is_share = !a->header.bytes;
	core_step(w, &event);
}

static void on_area(void *arg, enum witness_op op, const struct witness_answer *a)
{
	struct witness *w = arg;
	struct witness_event event = {.type = WITNESS_EV_JOB, .is_ok = !a->r};

	if (op == WITNESS_OP_LOOK) {
		looked(w, a);
		engine_settle(w->engine);
		return;
	}
	if (a->r)
		log_warning("witness: %s", a->text);
	event.job.best = a->best;
	event.job.best_slot = a->best_slot;
	event.job.floor = a->floor;
	event.job.set = a->set;
	if (op == WITNESS_OP_COPY || op == WITNESS_OP_APPEND)
		event.job.copied = a->copied;
	if (op == WITNESS_OP_FETCH && event.is_ok)
		event.is_ok = !take_fetched(w);
	core_step(w, &event);
	engine_settle(w->engine);
}

/* ---- which disk */

static void leave(struct witness *w)
{
	struct witness_event event = {.type = WITNESS_EV_CLOSED};

	witness_channel_close(&w->record);
	witness_channel_close(&w->area);
	core_step(w, &event);
	bulk_result_clear(&w->fetched);
	w->has_job = w->record_failed = w->area_failed = false;
	w->uuid[0] = w->device[0] = w->text[0] = 0;
	set_reached(w, false);
}

/* Given up, and its vote may still be the one that counts: it is served until that is taken. */
static const struct cl_member *still_votes(const struct engine *e, const struct db_cluster *c)
{
	const struct cl_member *rows[] = {&e->repl.table.witness, &e->applied_table.witness};

	for (size_t i = 0; i < 2; i++) {
		if (rows[i]->vote && !strcmp(rows[i]->name, c->witness))
			return rows[i];
	}
	return NULL;
}

static bool is_wanted(const struct engine *e, const struct db_cluster *c, bool *ret_is_share)
{
	const struct cl_member *row;

	*ret_is_share = c->quorum_mode == DB_QUORUM_MODE_NODE_SHARE;
	if (!c->witness[0])
		return false;
	if (c->quorum_mode != DB_QUORUM_MODE_NODE_MAJORITY)
		return true;
	row = still_votes(e, c);
	*ret_is_share = row && row->nodeid == CL_WITNESS_SHARE;
	return row;
}

static void take(struct witness *w, const struct db_cluster *c, uint8_t slot)
{
	const char *db_path = w->engine->options.db_path;

	memcpy(w->uuid, c->witness, sizeof(w->uuid));
	memcpy(w->device, c->witness_device, sizeof(w->device));
	w->slot = slot;
	w->ask_ms = 0;
	snprintf(w->text, sizeof(w->text), "%.200s: it has not answered yet", w->device);
	witness_channel_init(&w->record, w->engine->loop, w->device, db_path, slot, on_record, w);
	witness_channel_init(&w->area, w->engine->loop, w->device, db_path, slot, on_area, w);
	witness_init(&w->core, slot);
}

/* The one that the applied database names, for the slot that we have there. */
static void follow(struct witness *w)
{
	const struct engine *e = w->engine;
	const struct db_cluster *c =
		db_count(&e->db, DB_KIND_CLUSTER) ? db_at(&e->db, DB_KIND_CLUSTER, 0) : NULL;
	uint8_t slot = quorum_find_nodeid(&e->applied_table, e->repl.self.nodeid);
	bool is_share = false, wanted = c && slot != CL_NODE_NONE && is_wanted(e, c, &is_share);

	if (w->uuid[0] && (!wanted || strcmp(w->uuid, c->witness) != 0 ||
			   strcmp(w->device, c->witness_device) != 0 || w->slot != slot))
		leave(w);
	if (wanted && !w->uuid[0]) {
		w->is_share = is_share;
		take(w, c, slot);
	}
}

/* ---- time */

static void ask(struct witness *w, uint64_t now)
{
	struct witness_request look = {.op = WITNESS_OP_LOOK, .is_share = w->is_share};

	if (is_silent(w, &w->area, now) || is_silent(w, &w->record, now)) {
		snprintf(w->text, sizeof(w->text), "%.200s: it does not answer", w->device);
		set_reached(w, false);
	}
	if (w->area.is_busy)
		return;
	if (w->has_job) {
		w->has_job = false;
		w->area_failed = witness_channel_ask(&w->area, &w->job, now) != 0;
		return;
	}
	if (now < w->ask_ms)
		return;
	w->ask_ms = now + ASK_EVERY_MS;
	if (!witness_channel_ask(&w->area, &look, now))
		return;
	snprintf(w->text, sizeof(w->text), "no process can be started for its I/O");
	set_reached(w, false);
}

/* What could not be asked has failed; told from here, and not from within a step of the core. */
static void fail_unasked(struct witness *w)
{
	struct witness_event event = {0};

	if (w->record_failed) {
		w->record_failed = false;
		event.type = w->core.claim.phase == CLAIM_WRITE ||
					     w->core.claim.phase == CLAIM_RENEW_WRITE
				     ? WITNESS_EV_WRITTEN
				     : WITNESS_EV_READ;
		core_step(w, &event);
	}
	if (w->area_failed) {
		w->area_failed = false;
		event = (struct witness_event){.type = WITNESS_EV_JOB};
		core_step(w, &event);
	}
}

bool witness_run(struct witness *w)
{
	struct witness_event event = {.type = WITNESS_EV_TICK};

	w->has_told = false;
	witness_channels_reap();
	follow(w);
	if (!w->uuid[0])
		return w->has_told;
	fail_unasked(w);
	core_step(w, &event);
	ask(w, engine_now_ms());
	return w->has_told;
}

void witness_status(const struct witness *w, struct witness_status *ret)
{
	*ret = (struct witness_status){
		.is_reached = w->is_reached,
		.is_owned = claim_is_owned(&w->core.claim, engine_now_ms()),
		.phase = w->core.claim.phase,
	};
	memcpy(ret->text, w->text, sizeof(ret->text));
	ret->is_barred = w->core.is_barred;
	ret->set = w->core.set;
}

void witness_open(struct engine *e, struct witness **ret)
{
	struct witness *w = calloc(1, sizeof(*w));

	must(w);
	w->engine = e;
	w->record.fd = w->area.fd = -1;
	witness_init(&w->core, 0);
	*ret = w;
}

void witness_close(struct witness *w)
{
	if (!w)
		return;
	witness_channel_close(&w->record);
	witness_channel_close(&w->area);
	bulk_result_clear(&w->fetched);
	free(w);
}

/* ---- making one */

struct format {
	struct witness_channel channel;
	qb_loop_timer_handle timer;
	witness_formatted done;
	void *arg;
};

static void format_end(struct format *f, const struct witness_answer *a)
{
	witness_channel_close(&f->channel);
	f->done(f->arg, a);
	free(f);
}

static void on_formatted(void *arg, enum witness_op op, const struct witness_answer *a)
{
	struct format *f = arg;

	(void)op;
	qb_loop_timer_del(f->channel.loop, f->timer);
	format_end(f, a);
}

static void on_format_late(void *arg)
{
	struct format *f = arg;
	struct witness_answer a = {.r = -ETIMEDOUT};

	snprintf(a.text, sizeof(a.text), "%.200s: it does not answer", f->channel.device);
	format_end(f, &a);
}

int witness_format(struct engine *e, const char *device, bool is_share,
		   const struct witness_header *header, witness_formatted done, void *arg)
{
	struct witness_request q = {
		.op = WITNESS_OP_FORMAT, .is_share = is_share, .header = *header};
	struct format *f = calloc(1, sizeof(*f));
	int r;

	must(f);
	f->done = done;
	f->arg = arg;
	witness_channel_init(&f->channel, e->loop, device, e->options.db_path, 0, on_formatted, f);
	r = witness_channel_ask(&f->channel, &q, engine_now_ms());
	if (!r)
		r = qb_loop_timer_add(e->loop, QB_LOOP_MED, WITNESS_FORMAT_MS * 1000000ull, f,
				      on_format_late, &f->timer);
	if (r) {
		witness_channel_close(&f->channel);
		free(f);
	}
	return r;
}
