/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/grants.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "csvfs/edge/clock.h"
#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/trace.h"
#include "lib/must.h"

struct outgoing {
	struct outgoing *next;
	struct grant_action action;
};

struct grants {
	struct grants_options options;
	pthread_mutex_t lock;  /* innermost */
	pthread_cond_t looked; /* who waits looks again */
	pthread_cond_t filled;
	struct outgoing *out, **out_end;
	pthread_t sender;
	bool is_stopped, is_ending;
	uint64_t channels; /* lines that have come so far: on a new one is asked again */
	struct grant_state state;
	struct grant_actions actions;
};

/* With the lock held. */
static int step(struct grants *g, const struct grant_event *e)
{
	struct grant_event now = *e;
	int r;

	now.now_ms = csv_now_ms();
	r = grant_step(&g->state, &now, &g->actions);
	csv_trace_grant(&g->state, e, &g->actions);
	for (size_t i = 0; i < g->actions.count; i++) {
		const struct grant_action *a = &g->actions.item[i];
		struct outgoing *o;

		if (a->kind == GRANT_DO_LOOK)
			pthread_cond_broadcast(&g->looked);
		if (a->kind != GRANT_DO_CLOSE && a->kind != GRANT_DO_RECALL &&
		    a->kind != GRANT_DO_ASK && a->kind != GRANT_DO_SETTLED &&
		    a->kind != GRANT_DO_FAILED)
			continue;
		o = calloc(1, sizeof(*o));
		must(o);
		o->action = *a;
		*g->out_end = o;
		g->out_end = &o->next;
		pthread_cond_signal(&g->filled);
	}
	return r;
}

static void carry_out(const struct grants *g, const struct grant_action *a)
{
	const struct grants_options *o = &g->options;
	struct csv_frame f;

	switch (a->kind) {
	case GRANT_DO_CLOSE:
		o->close(o->arg, a->conn);
		break;
	case GRANT_DO_RECALL:
		f = (struct csv_frame){.type = CSV_FRAME_RECALL,
				       .recall = {.handle = a->handle, .id = a->id}};
		o->send(o->arg, a->conn, &f);
		break;
	case GRANT_DO_ASK:
		f = (struct csv_frame){.type = CSV_FRAME_ASK,
				       .ask = {.handle = a->handle,
					       .id = a->id,
					       .serial = a->serial,
					       .wants_flush = a->wants_flush}};
		o->send(o->arg, a->conn, &f);
		break;
	case GRANT_DO_FAILED:
		f = (struct csv_frame){.type = CSV_FRAME_FAILED, .failed = a->failure};
		o->send(o->arg, a->conn, &f);
		break;
	case GRANT_DO_SETTLED:
		o->settled(o->arg, &a->handle);
		break;
	case GRANT_DO_ASKED:
	case GRANT_DO_ISSUED:
	case GRANT_DO_REFUSED:
	case GRANT_DO_LOOK:
	case GRANT_DO_MAX:
		break;
	}
}

static void *send_loop(void *arg)
{
	struct grants *g = arg;
	struct outgoing *o;

	pthread_mutex_lock(&g->lock);
	while (!g->is_ending) {
		o = g->out;
		if (!o) {
			pthread_cond_wait(&g->filled, &g->lock);
			continue;
		}
		g->out = o->next;
		if (!g->out)
			g->out_end = &g->out;
		pthread_mutex_unlock(&g->lock);
		carry_out(g, &o->action);
		free(o);
		pthread_mutex_lock(&g->lock);
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

static void free_all(struct grants *g)
{
	struct outgoing *o;

	while ((o = g->out)) {
		g->out = o->next;
		free(o);
	}
	pthread_cond_destroy(&g->filled);
	pthread_cond_destroy(&g->looked);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

int grants_open(const struct grants_options *options, struct grants **ret)
{
	struct grants *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->options = *options;
	g->out_end = &g->out;
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->looked, NULL);
	pthread_cond_init(&g->filled, NULL);
	grant_init(&g->state, options->term);
	r = -pthread_create(&g->sender, NULL, send_loop, g);
	if (r) {
		free_all(g);
		return r;
	}
	*ret = g;
	return 0;
}

void grants_close(struct grants *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&g->lock);
	g->is_ending = true;
	pthread_cond_signal(&g->filled);
	pthread_mutex_unlock(&g->lock);
	pthread_join(g->sender, NULL);
	free_all(g);
}

void grants_stop(struct grants *g)
{
	pthread_mutex_lock(&g->lock);
	g->is_stopped = true;
	pthread_cond_broadcast(&g->looked);
	pthread_mutex_unlock(&g->lock);
}

int grants_event(struct grants *g, const struct grant_event *e)
{
	int r;

	pthread_mutex_lock(&g->lock);
	if (e->type == GRANT_EV_CHANNEL)
		g->channels++;
	r = step(g, e);
	pthread_mutex_unlock(&g->lock);
	return r;
}

bool grants_is_held(struct grants *g, const struct csv_handle *h)
{
	bool r;

	pthread_mutex_lock(&g->lock);
	r = grant_is_held(&g->state, h);
	pthread_mutex_unlock(&g->lock);
	return r;
}

bool grants_is_sole_elsewhere(struct grants *g, const struct csv_handle *h, uint64_t mount)
{
	bool r;

	pthread_mutex_lock(&g->lock);
	r = grant_is_sole_elsewhere(&g->state, h, mount);
	pthread_mutex_unlock(&g->lock);
	return r;
}

bool grants_is_shared(struct grants *g, const struct csv_handle *h)
{
	const struct grant_row *row;
	bool r;

	pthread_mutex_lock(&g->lock);
	row = grant_find(&g->state, h);
	r = row && row->is_shared;
	pthread_mutex_unlock(&g->lock);
	return r;
}

bool grants_is_written(struct grants *g, const struct csv_handle *h)
{
	const struct grant_row *row;
	bool r;

	pthread_mutex_lock(&g->lock);
	row = grant_find(&g->state, h);
	r = row && (row->has_written || grant_has_writers(&g->state, h));
	pthread_mutex_unlock(&g->lock);
	return r;
}

int grants_recall(struct grants *g, const struct csv_handle *h)
{
	int r = 0;

	pthread_mutex_lock(&g->lock);
	step(g, &(struct grant_event){.type = GRANT_EV_RECALL, .handle = *h});
	failpoint(FAIL_RECALLING, 0, 0);
	while (!grant_is_collected(&g->state, h) && !g->is_stopped)
		pthread_cond_wait(&g->looked, &g->lock);
	if (!grant_is_collected(&g->state, h)) {
		step(g, &(struct grant_event){.type = GRANT_EV_END, .handle = *h});
		r = -ECANCELED;
	}
	pthread_mutex_unlock(&g->lock);
	failpoint(FAIL_RECALLED, 0, 0);
	return r;
}

void grants_recall_end(struct grants *g, const struct csv_handle *h)
{
	grants_event(g, &(struct grant_event){.type = GRANT_EV_END, .handle = *h});
}

bool grants_unwanted(struct grants *g, const struct csv_handle *h)
{
	bool r;

	pthread_mutex_lock(&g->lock);
	r = grant_is_held(&g->state, h);
	if (r)
		step(g, &(struct grant_event){.type = GRANT_EV_UNWANTED, .handle = *h});
	pthread_mutex_unlock(&g->lock);
	return r;
}

int grants_ask(struct grants *g, const struct csv_handle *h, bool wants_flush)
{
	struct grant_event e = {.type = GRANT_EV_ASK, .handle = *h, .wants_flush = wants_flush};
	uint64_t channels;
	int r = 0;

	pthread_mutex_lock(&g->lock);
	if (grant_has_writers(&g->state, h)) {
		channels = g->channels;
		step(g, &e);
		e.serial = g->actions.item[g->actions.count - 1].serial;
		failpoint(FAIL_ASKING, 0, 0);
		while (!grant_is_told(&g->state, h, e.serial) && !g->is_stopped) {
			pthread_cond_wait(&g->looked, &g->lock);
			if (channels == g->channels)
				continue;
			channels = g->channels;
			step(g, &e);
		}
		r = grant_is_told(&g->state, h, e.serial) ? 0 : -ECANCELED;
		failpoint(FAIL_TOLD, 0, 0);
	}
	while (!r && wants_flush && grant_is_failing(&g->state, h)) {
		r = g->is_stopped ? -ECANCELED : 0;
		if (!r)
			pthread_cond_wait(&g->looked, &g->lock);
	}
	pthread_mutex_unlock(&g->lock);
	return r;
}

/* With the lock held. */
static int note_failure(struct grants *g, const struct csv_handle *h, int error)
{
	return step(g, &(struct grant_event){.type = GRANT_EV_FAILED,
					     .failure = {.handle = *h, .error = (uint16_t)error}});
}

int grants_failed(struct grants *g, const struct csv_handle *h, int error)
{
	int r;

	pthread_mutex_lock(&g->lock);
	r = note_failure(g, h, error);
	failpoint(FAIL_FAILURE_NOTED, 0, 0);
	while (!r && grant_is_failing(&g->state, h) && !g->is_stopped)
		pthread_cond_wait(&g->looked, &g->lock);
	if (!r && grant_is_failing(&g->state, h))
		r = -ECANCELED;
	pthread_mutex_unlock(&g->lock);
	failpoint(FAIL_FAILURE_KNOWN, 0, 0);
	return r;
}

void grants_fail(struct grants *g, const struct csv_handle *h, int error)
{
	int r;

	pthread_mutex_lock(&g->lock);
	r = note_failure(g, h, error);
	pthread_mutex_unlock(&g->lock);
	if (r)
		g->options.overflow(g->options.arg);
}

bool grants_written(struct grants *g, const struct csv_handle *h, struct csv_time *ret)
{
	const struct grant_row *row;
	bool r;

	pthread_mutex_lock(&g->lock);
	row = grant_find(&g->state, h);
	r = row && row->has_written;
	if (r)
		*ret = row->written;
	pthread_mutex_unlock(&g->lock);
	return r;
}

void grants_touched(struct grants *g, const struct csv_handle *h, const struct csv_time *written)
{
	grants_event(g, &(struct grant_event){
				.type = GRANT_EV_TOUCHED, .handle = *h, .written = *written});
}

enum csv_ungranted grants_issue(struct grants *g, const struct grant_event *e,
				struct csv_grant_id *ret_id, enum csv_grant_mode *ret_mode)
{
	const struct grant_action *a = &g->actions.item[0];
	enum csv_ungranted why;

	pthread_mutex_lock(&g->lock);
	step(g, e);
	must(g->actions.count == 1);
	why = a->kind == GRANT_DO_ISSUED ? CSV_UNGRANTED_NOTHING : a->why;
	*ret_id = a->id;
	*ret_mode = a->mode;
	pthread_mutex_unlock(&g->lock);
	return why;
}

uint64_t grants_debtor(struct grants *g, struct csv_handle *ret)
{
	uint64_t r;

	pthread_mutex_lock(&g->lock);
	r = grant_debtor(&g->state, ret);
	pthread_mutex_unlock(&g->lock);
	return r;
}

size_t grants_silent(struct grants *g, struct grant_debt *ret, size_t cap)
{
	size_t n;

	pthread_mutex_lock(&g->lock);
	n = grant_silent(&g->state, csv_now_ms(), ret, cap);
	pthread_mutex_unlock(&g->lock);
	return n;
}
