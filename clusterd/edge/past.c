/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/past.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clusterd/edge/store.h"
#include "lib/cleanup.h"
#include "lib/must.h"

struct past {
	qb_loop_t *loop;
	struct past_want want;
	past_done done;
	void *arg;
	char path[STORE_PATH_MAX];
	int event_fd;
	pthread_mutex_t mutex;
	bool is_over, is_left; /* under the mutex */
	/* of the thread, until it is over */
	struct past_answer answer;
	struct whatif w;
	void *mem;
};

static void past_free(struct past *p)
{
	pthread_mutex_destroy(&p->mutex);
	close(p->event_fd);
	free(p->mem);
	free(p);
}

/* ---- in the thread */

static bool is_left(struct past *p)
{
	bool left;

	pthread_mutex_lock(&p->mutex);
	left = p->is_left;
	pthread_mutex_unlock(&p->mutex);
	return left;
}

__attribute__((format(printf, 3, 4))) static enum db_code fail(struct past *p, enum db_code code,
							       const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(p->answer.text, sizeof(p->answer.text), format, ap);
	va_end(ap);
	return code;
}

/* The index, of which there may be a state. */
static enum db_code find(struct past *p)
{
	const struct past_want *want = &p->want;
	int r;

	p->answer.index = want->index;
	if (want->index > want->newest)
		return fail(p, DB_NO_SUCH,
			    "index %" PRIu64 " is yet to come: %" PRIu64 " is applied on this node",
			    want->index, want->newest);
	if (want->index)
		return DB_OK;
	r = store_read_index_at(p->path, want->newest, want->at_ms, &p->answer.index);
	if (r == -ENOENT)
		return fail(p, DB_NO_SUCH,
			    "the database of this node does not reach back so far: it keeps the "
			    "last %" PRIu64 " changes; another node may have more",
			    STORE_PAST_ENTRIES);
	return r ? fail(p, DB_FAILED, "the database cannot be read: %s", strerror(-r)) : DB_OK;
}

static enum db_code read_all(struct past *p, struct store_snapshot *s, struct store_log *log)
{
	uint64_t oldest;
	int r = store_read_past(p->path, p->answer.index, s, log, &oldest);

	if (r == -ENOENT)
		return fail(p, DB_NO_SUCH,
			    "the database of this node reaches back to index %" PRIu64
			    ", not to %" PRIu64 "; another node may have more",
			    oldest, p->answer.index);
	return r ? fail(p, DB_FAILED, "the database cannot be read: %s", strerror(-r)) : DB_OK;
}

static enum db_code apply_all(struct past *p, struct db *db, const struct store_log *log)
{
	struct db_result result;

	for (size_t i = 0; i < log->count; i++) {
		const struct store_entry *e = &log->entry[i];
		uint64_t ms =
			e->kind == CL_ENTRY_COMMAND ? db_command_ms(e->payload, e->payload_len) : 0;

		if (is_left(p))
			return fail(p, DB_FAILED, "nobody waits for it any more");
		if (ms)
			p->answer.at_ms = ms;
		db_apply(db,
			 &(struct db_entry){.index = e->index,
					    .epoch = e->epoch,
					    .kind = e->kind,
					    .origin = e->origin,
					    .instance = e->instance,
					    .request = e->request,
					    .payload = e->payload,
					    .payload_len = e->payload_len},
			 &result);
	}
	return DB_OK;
}

/* The state as a snapshot; owned by the caller. */
static enum db_code rebuild(struct past *p, const struct store_snapshot *s,
			    const struct store_log *log, void **ret, size_t *ret_len)
{
	_cleanup_free_ void *mem = malloc(db_size(&db_limits_full)), *bytes = NULL;
	_cleanup_free_ struct db *db = calloc(1, sizeof(*db));
	enum db_code code;
	size_t cap;

	if (!mem || !db)
		return fail(p, DB_FAILED, "not enough memory for a copy of the database");
	must(!db_init(db, mem, db_size(&db_limits_full), &db_limits_full));
	if (s->bytes && db_decode(db, s->bytes, s->len))
		return fail(p, DB_FAILED,
			    "the database was in the format of version %u then, which this "
			    "clusterd does not read",
			    db_encoded_version(s->bytes, s->len));
	code = apply_all(p, db, log);
	if (code)
		return code;
	cap = db_encoded_max(db);
	bytes = malloc(cap);
	if (!bytes)
		return fail(p, DB_FAILED, "not enough memory for a copy of the database");
	must(!db_encode(db, bytes, cap, ret_len));
	*ret = steal_ptr(bytes);
	return DB_OK;
}

/* The planner as it decided: with a quorum, and free to fence what is stuck. */
static enum db_code plan(struct past *p, const void *bytes, size_t len)
{
	static const struct whatif_event event = {
		.kind = WHATIF_NOTHING, .is_quorate = true, .may_fence = UINT16_MAX};
	size_t size = whatif_size(&db_limits_full);
	enum db_code code;

	p->mem = malloc(size);
	if (!p->mem)
		return fail(p, DB_FAILED, "not enough memory for a copy of the database");
	code = whatif_begin(&p->w, p->mem, size, &db_limits_full, bytes, len, &event,
			    p->answer.text, sizeof(p->answer.text));
	if (code)
		return code;
	if (!p->answer.at_ms)
		p->answer.at_ms = p->w.at_ms;
	while (!is_left(p) && whatif_step(&p->w))
		continue;
	p->answer.text[0] = 0;
	p->answer.w = &p->w;
	return DB_OK;
}

static enum db_code look(struct past *p)
{
	struct store_snapshot snapshot = {0};
	struct store_log log = {0};
	_cleanup_free_ void *bytes = NULL;
	size_t len = 0;
	enum db_code code = find(p);

	if (!code)
		code = read_all(p, &snapshot, &log);
	if (!code)
		code = rebuild(p, &snapshot, &log, &bytes, &len);
	store_log_clear(&log);
	free(snapshot.bytes);
	return code ? code : plan(p, bytes, len);
}

static void *work(void *arg)
{
	struct past *p = arg;
	uint64_t one = 1;
	bool left;

	p->answer.code = look(p);
	pthread_mutex_lock(&p->mutex);
	p->is_over = true;
	left = p->is_left;
	must(write(p->event_fd, &one, sizeof(one)) == sizeof(one));
	pthread_mutex_unlock(&p->mutex);
	if (left)
		past_free(p);
	return NULL;
}

/* ---- on the loop */

static int32_t on_event(int32_t fd, int32_t revents, void *arg)
{
	struct past *p = arg;

	(void)fd;
	(void)revents;
	pthread_mutex_lock(&p->mutex); /* the thread may be about to let go of it */
	must(p->is_over);
	pthread_mutex_unlock(&p->mutex);
	qb_loop_poll_del(p->loop, p->event_fd);
	p->done(p->arg, &p->answer);
	past_free(p);
	return 0;
}

int past_ask(qb_loop_t *loop, const char *path, const struct past_want *want, past_done done,
	     void *arg, struct past **ret)
{
	struct past *p = calloc(1, sizeof(*p));
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	must(p && strlen(path) < sizeof(p->path));
	p->loop = loop;
	p->want = *want;
	p->done = done;
	p->arg = arg;
	memcpy(p->path, path, strlen(path) + 1);
	p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(p->event_fd >= 0);
	must(!pthread_mutex_init(&p->mutex, NULL));
	must(!pthread_attr_init(&attr));
	/* It may hang with its disk: nobody waits for its end. */
	must(!pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	r = qb_loop_poll_add(loop, QB_LOOP_LOW, p->event_fd, POLLIN, p, on_event);
	if (!r) {
		r = -pthread_create(&thread, &attr, work, p);
		if (r)
			qb_loop_poll_del(loop, p->event_fd);
	}
	pthread_attr_destroy(&attr);
	if (r)
		past_free(p);
	else
		*ret = p;
	return r;
}

void past_leave(struct past *p)
{
	bool is_over;

	if (!p)
		return;
	qb_loop_poll_del(p->loop, p->event_fd);
	pthread_mutex_lock(&p->mutex);
	p->is_left = true;
	is_over = p->is_over;
	pthread_mutex_unlock(&p->mutex);
	if (is_over)
		past_free(p);
}
