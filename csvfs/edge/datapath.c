/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/datapath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "csvfs/edge/datapath_impl.h"
#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/process.h"
#include "lib/must.h"

/* ---- the core, with a lock */

static void fill_pools(struct datapath *d)
{
	for (size_t i = 0; i < DATAPATH_OUTS; i++) {
		d->out_pool[i].next = d->out_free;
		d->out_free = &d->out_pool[i];
	}
	for (size_t i = 0; i < DATAPATH_FLUSHES; i++) {
		d->flush_pool[i].next = d->flush_free;
		d->flush_free = &d->flush_pool[i];
	}
}

void datapath_out_put(struct datapath *d, struct datapath_out *o)
{
	if (o < d->out_pool || o >= d->out_pool + DATAPATH_OUTS) {
		free(o);
		return;
	}
	o->next = d->out_free;
	d->out_free = o;
}

struct datapath_flush *datapath_flush_take(struct datapath *d)
{
	struct datapath_flush *w = d->flush_free;

	if (w)
		d->flush_free = w->next;
	else
		w = calloc(1, sizeof(*w));
	must(w);
	return w;
}

void datapath_flush_put(struct datapath *d, struct datapath_flush *w)
{
	if (w < d->flush_pool || w >= d->flush_pool + DATAPATH_FLUSHES) {
		free(w);
		return;
	}
	w->next = d->flush_free;
	d->flush_free = w;
}

void datapath_push(struct datapath *d, const struct csv_frame *f)
{
	struct datapath_out *o = d->out_free;

	if (o)
		d->out_free = o->next;
	else
		o = calloc(1, sizeof(*o));
	must(o);
	o->frame = *f;
	o->next = NULL;
	*d->out_end = o;
	d->out_end = &o->next;
	pthread_cond_signal(&d->send_wake);
}

static void give_back(struct datapath *d, const struct direct_action *a)
{
	struct csv_frame f = {.type = a->kind == DIRECT_DO_DONE ? CSV_FRAME_RECALL_DONE
								: CSV_FRAME_RETURN};
	struct csv_frame_recall_done body = {.handle = a->handle,
					     .id = a->id,
					     .has_written = a->has_written,
					     .written = a->written};

	failpoint(FAIL_MOUNT_RETURNED, 0, d->options.mount);
	if (a->kind == DIRECT_DO_DONE)
		f.recall_done = body;
	else
		f.returned = (struct csv_frame_returned){.handle = body.handle,
							 .id = body.id,
							 .has_written = body.has_written,
							 .written = body.written};
	datapath_push(d, &f);
}

void datapath_step(struct datapath *d, const struct direct_event *e)
{
	struct csv_frame f;

	direct_step(&d->core, e, &d->actions);
	if (d->options.keep)
		*keep_failures(d->options.keep) = errors_sample(&d->core.errors);
	for (size_t i = 0; i < d->actions.count; i++) {
		const struct direct_action *a = &d->actions.item[i];

		if (a->kind == DIRECT_DO_DONE || a->kind == DIRECT_DO_RETURN)
			give_back(d, a);
		if (a->kind != DIRECT_DO_FAILED && a->kind != DIRECT_DO_NOTED)
			continue;
		f = (struct csv_frame){.type = CSV_FRAME_FAILED, .failed = a->failure};
		if (a->kind == DIRECT_DO_NOTED)
			f = (struct csv_frame){.type = CSV_FRAME_NOTED,
					       .noted = {.origin = a->failure.origin,
							 .serial = a->failure.serial}};
		datapath_push(d, &f);
	}
}

static void note_state(struct datapath *d)
{
	bool is_active = d->core.has_lease && d->core.block == DIRECT_PATH_OK && !d->core.is_aside;

	if (is_active)
		d->not_active_since_ms = 0;
	else if (!d->not_active_since_ms)
		d->not_active_since_ms = csv_now_ms();
	d->options.on_change(d->options.arg);
}

void datapath_block(struct datapath *d, enum direct_block block)
{
	if (d->core.block == block)
		return;
	if (block == DIRECT_PATH_OK) {
		log_notice("the LUN answers -> I/O goes direct again");
		pthread_cond_signal(&d->flush_wake);
		datapath_step(d, &(struct direct_event){.type = DIRECT_EV_PATH});
	} else {
		if (d->core.block == DIRECT_PATH_OK)
			log_error("%s -> I/O goes to the coordinator", direct_block_text(block));
		datapath_step(d, &(struct direct_event){.type = DIRECT_EV_BLOCK,
							.block = block,
							.now_ms = csv_now_ms()});
		pthread_cond_signal(&d->tend_wake);
	}
	note_state(d);
}

void datapath_refresh_lease(struct datapath *d)
{
	bool has_lease = csv_now_ms() < d->lease_until_ms;

	if (has_lease == d->core.has_lease)
		return;
	datapath_step(d, &(struct direct_event){.type = DIRECT_EV_LEASE, .has_lease = has_lease});
	/* A coordinator must know this mount still: it says so on a new line. */
	if (has_lease && d->core.must_confirm && d->tls)
		shutdown(tls_fd(d->tls), SHUT_RDWR);
	note_state(d);
}

void datapath_wait(struct datapath *d, pthread_cond_t *at, uint64_t ms)
{
	if (!ms) {
		pthread_cond_wait(at, &d->lock);
		return;
	}
	csv_cond_wait_ms(at, &d->lock, ms);
}

size_t datapath_io_begin(struct datapath *d)
{
	for (size_t i = 0; i < DATAPATH_IOS; i++) {
		if (d->io_since_ms[i])
			continue;
		d->io_since_ms[i] = csv_now_ms();
		return i;
	}
	return SIZE_MAX;
}

void datapath_io_end(struct datapath *d, size_t io)
{
	if (io != SIZE_MAX)
		d->io_since_ms[io] = 0;
}

/* ---- what others tell */

static void set_aside(struct datapath *d, bool is_aside)
{
	if (is_aside == d->core.is_aside)
		return;
	log_notice(is_aside ? "asked to do no I/O on the LUN -> it goes to the coordinator"
			    : "I/O may go direct again");
	datapath_step(d, &(struct direct_event){.type = DIRECT_EV_ASIDE, .is_aside = is_aside});
	note_state(d);
}

void datapath_target(struct datapath *d, const struct csv_link_state *state)
{
	uint64_t term = state->is_online ? state->term : 0;

	pthread_mutex_lock(&d->lock);
	/* What was promised holds: a clusterd that was started anew has no lease of its own yet. */
	if (state->lease_until_ms > d->lease_until_ms)
		d->lease_until_ms = state->lease_until_ms;
	datapath_refresh_lease(d);
	set_aside(d, state->is_aside);
	if (term && (term != d->term || state->port != d->port ||
		     strcmp(state->address, d->address) != 0)) {
		d->term = term;
		d->port = state->port;
		memcpy(d->address, state->address, sizeof(d->address));
		d->target_version++;
		if (d->tls)
			shutdown(tls_fd(d->tls), SHUT_RDWR);
	}
	pthread_cond_signal(&d->line_wake);
	pthread_mutex_unlock(&d->lock);
}

void datapath_tick(struct datapath *d)
{
	uint64_t now = csv_now_ms();
	bool is_hung = false;

	pthread_mutex_lock(&d->lock);
	datapath_refresh_lease(d);
	for (size_t i = 0; i < DATAPATH_IOS; i++)
		is_hung = is_hung ||
			  (d->io_since_ms[i] && now > d->io_since_ms[i] + DATAPATH_HUNG_MS);
	if (is_hung && d->core.block == DIRECT_PATH_OK)
		datapath_block(d, DIRECT_PATH_HUNG);
	pthread_cond_signal(&d->line_wake);
	pthread_mutex_unlock(&d->lock);
}

void datapath_status(struct datapath *d, struct datapath_status *ret)
{
	struct client_status c;
	struct datapath_status s = {.why = ""};

	client_status(d->options.client, &c);
	pthread_mutex_lock(&d->lock);
	s.io = direct_io_state(&d->core, c.is_serving);
	s.is_quiet = direct_is_quiet(&d->core);
	if (!d->core.has_lease)
		s.why = "this node has no quorum lease";
	else if (d->core.block != DIRECT_PATH_OK)
		s.why = direct_block_text(d->core.block);
	else if (d->core.is_aside)
		s.why = "asked for";
	s.since_ms = d->not_active_since_ms;
	s.reads = d->reads;
	s.writes = d->writes;
	s.bytes = d->bytes;
	s.redirected_bytes = d->redirected_bytes;
	for (size_t i = 0; i < DIRECT_FILES; i++)
		s.granted += d->core.file[i].state == DIRECT_GRANTED;
	pthread_mutex_unlock(&d->lock);
	*ret = s;
}

bool datapath_reclaim(struct datapath *d, uint64_t term, size_t *cursor, struct csv_frame *ret)
{
	bool is_found = false;

	pthread_mutex_lock(&d->lock);
	if (!*cursor)
		datapath_step(
			d, &(struct direct_event){.type = DIRECT_EV_RECLAIM, .id = {.term = term}});
	for (; *cursor < DIRECT_FILES && !is_found; (*cursor)++) {
		const struct direct_file *f = &d->core.file[*cursor];

		if (!direct_must_reclaim(&d->core, *cursor))
			continue;
		*ret = (struct csv_frame){.type = CSV_FRAME_RECLAIM_GRANT};
		ret->reclaim_grant.handle = f->handle;
		ret->reclaim_grant.id = f->id;
		ret->reclaim_grant.mode = (uint8_t)f->mode;
		is_found = true;
	}
	pthread_mutex_unlock(&d->lock);
	return is_found;
}

void datapath_left(struct datapath *d, const struct csv_handle *h)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	datapath_step(
		d, &(struct direct_event){.type = DIRECT_EV_OPENED, .handle = *h, .is_left = true});
	pthread_mutex_unlock(&d->lock);
}

void datapath_opened(struct datapath *d, const struct csv_handle *h)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	datapath_step(d, &(struct direct_event){.type = DIRECT_EV_OPENED, .handle = *h});
	pthread_mutex_unlock(&d->lock);
}

void datapath_closed(struct datapath *d, const struct csv_handle *h)
{
	size_t row;

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	row = direct_find(&d->core, h);
	datapath_step(d, &(struct direct_event){.type = DIRECT_EV_CLOSED, .handle = *h});
	if (direct_wants_flush(&d->core))
		pthread_cond_signal(&d->flush_wake);
	if (row != DIRECT_NONE && direct_find(&d->core, h) == DIRECT_NONE) {
		free(d->map[row].extents);
		d->map[row] = (struct datapath_map){0};
		d->tries[row] = 0;
	}
	pthread_mutex_unlock(&d->lock);
}

/* ---- life */

static void free_all(struct datapath *d)
{
	struct datapath_out *o;

	while ((o = d->out)) {
		d->out = o->next;
		datapath_out_put(d, o);
	}
	while (d->flushes) {
		struct datapath_flush *w = d->flushes;

		d->flushes = w->next;
		datapath_flush_put(d, w);
	}
	for (size_t i = 0; i < DIRECT_FILES; i++)
		free(d->map[i].extents);
	if (d->fd >= 0)
		close(d->fd);
	pthread_cond_destroy(&d->flush_wake);
	pthread_cond_destroy(&d->tend_wake);
	pthread_cond_destroy(&d->send_wake);
	pthread_cond_destroy(&d->line_wake);
	pthread_mutex_destroy(&d->lock);
	free(d->answer);
	free(d);
}

int datapath_open(const struct datapath_options *options, struct datapath **ret)
{
	struct datapath *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->options = *options;
	d->fd = -1;
	d->out_end = &d->out;
	fill_pools(d);
	d->answer = malloc((size_t)CSV_EXTENTS_MAX * CSV_EXTENT_BYTES);
	must(d->answer);
	pthread_mutex_init(&d->lock, NULL);
	csv_cond_init(&d->line_wake);
	csv_cond_init(&d->send_wake);
	csv_cond_init(&d->tend_wake);
	csv_cond_init(&d->flush_wake);
	direct_init(&d->core, options->mount);
	if (options->keep && keep_life(options->keep) > 1)
		direct_go_on(&d->core, keep_life(options->keep), *keep_failures(options->keep));
	d->core.block = DIRECT_PATH_NONE;
	d->not_active_since_ms = csv_now_ms();
	/* At its start a process that cannot make threads ends: nobody uses the mount yet. */
	must(!pthread_create(&d->liner, NULL, datapath_line_loop, d));
	must(!pthread_create(&d->sender, NULL, datapath_send_loop, d));
	must(!pthread_create(&d->tender, NULL, datapath_tend_loop, d));
	must(!pthread_create(&d->flusher, NULL, datapath_flush_loop, d));
	*ret = d;
	return 0;
}

void datapath_close(struct datapath *d)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->is_ending = true;
	if (d->tls)
		shutdown(tls_fd(d->tls), SHUT_RDWR);
	pthread_cond_broadcast(&d->line_wake);
	pthread_cond_broadcast(&d->send_wake);
	pthread_cond_broadcast(&d->tend_wake);
	pthread_cond_broadcast(&d->flush_wake);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->liner, NULL);
	pthread_join(d->sender, NULL);
	pthread_join(d->tender, NULL);
	pthread_join(d->flusher, NULL);
	free_all(d);
}
