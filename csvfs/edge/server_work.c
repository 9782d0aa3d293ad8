/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workers: take what the core has ordered, do it on the backing file system, tell the core. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/process.h"
#include "csvfs/edge/server_impl.h"
#include "lib/must.h"

struct worker {
	struct server *server;
	uint8_t *data;	/* bytes of the answer */
	uint8_t *frame; /* the answer, encoded */
};

/* NULL when the server closes. With the lock held. */
static struct job *next_job(struct server *s)
{
	struct job *j;

	while (!s->jobs && !s->is_closing)
		pthread_cond_wait(&s->job_wake, &s->lock);
	if (s->is_closing)
		return NULL;
	j = s->jobs;
	s->jobs = j->next;
	if (!s->jobs)
		s->jobs_end = &s->jobs;
	return j;
}

static void do_drop(struct server *s, uint64_t mount)
{
	struct sess_event e = {.type = SESS_EV_DROPPED, .mount = mount};
	bool is_serving;
	int r;

	pthread_mutex_lock(&s->lock);
	is_serving = s->sess.phase == SESS_SERVE;
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_lock(&s->drop_lock);
	failpoint(FAIL_DROPPING, 0, mount);
	r = backing_drop(s->options.backing, mount, is_serving);
	pthread_mutex_unlock(&s->drop_lock);
	failpoint(FAIL_DROPPED, 0, mount);
	pthread_mutex_lock(&s->lock);
	if (r)
		server_fail(s, "what an ended mount left cannot be removed: %s", strerror(-r));
	else
		server_step(s, &e);
	pthread_mutex_unlock(&s->lock);
}

/* The answer in memory of its own, to be kept for a resend. */
static struct frame_buf *encode(struct worker *w, const struct csv_reply *p)
{
	struct frame_buf *b;
	size_t len;

	must(!csv_reply_encode(p, w->frame, CSV_FRAME_MAX, &len));
	b = malloc(sizeof(*b) + len);
	must(b);
	*b = (struct frame_buf){.refs = 1, .len = len};
	memcpy(b->data, w->frame, len);
	return b;
}

/* The lease has ended before it was begun: it is not begun; all connections close. */
static bool lease_has_ended(struct server *s)
{
	struct sess_event e = {.type = SESS_EV_STOP};

	if (csv_now_ms() < s->lease_until_ms)
		return false;
	if (s->sess.phase < SESS_STOPPING)
		csv_log(LOG_WARNING, "the quorum lease is over -> requests are not begun any more");
	server_step(s, &e);
	s->options.changed(s->options.arg);
	return true;
}

static void finish(struct server *s, const struct job *j, struct frame_buf *reply)
{
	struct sess_event e = {.type = SESS_EV_FINISHED, .mount = j->mount, .slot = j->slot};
	struct slot_io *io = &server_mount_io(s, j->mount)->slot[j->slot];

	free(io->request);
	io->request = NULL;
	io->reply = reply;
	server_step(s, &e);
}

static void do_request(struct worker *w, const struct job *j)
{
	static const enum backing_mode mode[] = {
		[JOB_NEW] = BACKING_NEW, [JOB_REDO] = BACKING_REDO, [JOB_REPLAY] = BACKING_REPLAY};
	struct server *s = w->server;
	struct csv_request q;
	struct csv_reply p = {0};
	struct frame_buf *b = NULL;
	struct slot_io *io;
	int r;

	pthread_mutex_lock(&s->lock);
	io = &server_mount_io(s, j->mount)->slot[j->slot];
	if (lease_has_ended(s) || s->failure[0]) {
		finish(s, j, NULL);
		pthread_mutex_unlock(&s->lock);
		return;
	}
	must(!csv_request_decode(io->request, io->request_len, &q)); /* the reader has seen it */
	pthread_mutex_unlock(&s->lock);
	failpoint(FAIL_TAKEN, q.op, j->mount);
	if (j->kind == JOB_REDO)
		failpoint(FAIL_REDO, q.op, j->mount);
	r = server_locks_execute(s, j->mount, &q, &p)
		    ? 0
		    : backing_execute(s->options.backing, j->mount, &q, mode[j->kind], &p, w->data);
	if (!r) {
		p.slot = q.slot;
		p.seq = q.seq;
		b = encode(w, &p);
		b->op = (uint16_t)q.op;
		b->mount = j->mount;
		failpoint(FAIL_ANSWERED, q.op, j->mount);
	}
	pthread_mutex_lock(&s->lock);
	if (r == -ECANCELED) {
		finish(s, j, NULL); /* it stops; the next one is asked again */
	} else if (r) {
		server_fail(s,
			    "the disk does not take what must be there (%s of mount %016llx): %s",
			    csv_op_name(q.op), (unsigned long long)j->mount, strerror(-r));
	} else {
		finish(s, j, b);
	}
	pthread_mutex_unlock(&s->lock);
}

void *server_worker_thread(void *arg)
{
	struct worker w = {.server = arg,
			   /* aligned for data that goes past the page cache */
			   .data = aligned_alloc(CSV_GRANT_BLOCK, CSV_FRAME_MAX),
			   .frame = malloc(CSV_FRAME_MAX)};
	struct server *s = w.server;
	struct job *j;

	must(w.data && w.frame);
	pthread_mutex_lock(&s->lock);
	while ((j = next_job(s))) {
		pthread_mutex_unlock(&s->lock);
		if (j->kind == JOB_DROP)
			do_drop(s, j->mount);
		else if (j->kind == JOB_SETTLED)
			backing_settled(s->options.backing, &j->handle);
		else
			do_request(&w, j);
		free(j);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	free(w.frame);
	free(w.data);
	return NULL;
}
