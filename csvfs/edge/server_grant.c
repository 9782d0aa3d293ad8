/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines for recalls, and what sessions mean for grants. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "csvfs/edge/grants.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/server_impl.h"
#include "lib/must.h"

/* ---- what grants want done; from their thread */

static void on_send(void *arg, uint64_t conn, const struct csv_frame *f)
{
	struct server *s = arg;

	pthread_mutex_lock(&s->lock);
	server_send_frame(s, conn, f);
	pthread_mutex_unlock(&s->lock);
}

static void on_close(void *arg, uint64_t conn)
{
	struct server *s = arg;

	pthread_mutex_lock(&s->lock);
	server_close_conn(s, conn);
	pthread_mutex_unlock(&s->lock);
}

static void on_settled(void *arg, const struct csv_handle *h)
{
	struct server *s = arg;
	struct job *j = calloc(1, sizeof(*j));

	must(j);
	j->kind = JOB_SETTLED;
	j->handle = *h;
	pthread_mutex_lock(&s->lock);
	*s->jobs_end = j;
	s->jobs_end = &j->next;
	pthread_cond_signal(&s->job_wake);
	pthread_mutex_unlock(&s->lock);
}

static void on_overflow(void *arg)
{
	struct server *s = arg;

	pthread_mutex_lock(&s->lock);
	server_fail(s, "writes to more files have failed than it can keep in mind");
	pthread_mutex_unlock(&s->lock);
}

/* From workers. */
static void on_promise(void *arg, const struct promise_action *a)
{
	struct csv_frame f = {.type = CSV_FRAME_BREAK,
			      .broke = {.handle = a->handle, .serial = a->serial}};

	if (a->kind == PROMISE_DO_BREAK)
		on_send(arg, a->conn, &f);
	else
		csv_log(LOG_NOTICE,
			"mount %016llx has not been heard of for %d ms -> what it has been "
			"promised counts no more",
			(unsigned long long)a->mount, PROMISE_LEASE_MS);
}

int server_grants_open(struct server *s)
{
	const struct grants_options o = {.term = s->options.term,
					 .send = on_send,
					 .close = on_close,
					 .settled = on_settled,
					 .overflow = on_overflow,
					 .arg = s};
	int r = grants_open(&o, &s->grants);

	if (!r)
		backing_set_grants(s->options.backing, s->grants, s->options.data_start);
	r = r ? r : promises_open(on_promise, s, &s->promises);
	if (!r)
		backing_set_promises(s->options.backing, s->promises);
	return r;
}

/* ---- what sessions mean for them */

static void event(struct server *s, const struct grant_event *e)
{
	int r = grants_event(s->grants, e);

	if (r)
		server_fail(s,
			    "there are more mounts, granted files or failures than it can count");
}

/* Whom it has no room for, is promised nothing. */
static void promise_event(struct server *s, const struct promise_event *e)
{
	struct promise_actions out;
	struct csv_frame f = {.type = CSV_FRAME_BREAK};

	promises_event(s->promises, e, &out);
	for (size_t i = 0; i < out.count; i++) {
		if (out.item[i].kind != PROMISE_DO_BREAK)
			continue;
		f.broke.handle = out.item[i].handle;
		f.broke.serial = out.item[i].serial;
		server_send_frame(s, out.item[i].conn, &f);
	}
}

/* Nobody knows when it wrote last. */
static void end_process(struct server *s, enum grant_event_type type, uint64_t mount)
{
	struct grant_event g = {.type = type, .mount = mount};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	g.written = (struct csv_time){now.tv_sec, (uint32_t)now.tv_nsec};
	event(s, &g);
}

void server_grants_event(struct server *s, const struct sess_event *e)
{
	if (e->type == SESS_EV_STOP)
		grants_stop(s->grants);
	if (e->type != SESS_EV_GONE || !sess_mount_find(&s->sess, e->mount))
		return;
	end_process(s, GRANT_EV_GONE, e->mount);
	promise_event(s, &(struct promise_event){.type = PROMISE_EV_GONE, .mount = e->mount});
}

void server_grants_action(struct server *s, const struct sess_action *a)
{
	if (a->kind == SESS_DO_REPLACED) {
		csv_log(LOG_NOTICE,
			"mount %016llx goes on in another process -> what the one before had been "
			"granted and promised counts no more",
			(unsigned long long)a->mount);
		end_process(s, GRANT_EV_REPLACED, a->mount);
		/* Until it has a line of its own. */
		promise_event(s,
			      &(struct promise_event){.type = PROMISE_EV_GONE, .mount = a->mount});
	}
	if (a->kind == SESS_DO_WELCOME && !a->is_known) {
		event(s, &(struct grant_event){.type = GRANT_EV_RESET, .mount = a->mount});
		promise_event(s,
			      &(struct promise_event){.type = PROMISE_EV_RESET, .mount = a->mount});
	} else if (a->kind == SESS_DO_RESENDS)
		event(s, &(struct grant_event){.type = GRANT_EV_OPEN});
	else if (a->kind == SESS_DO_RECOVERED)
		event(s, &(struct grant_event){.type = GRANT_EV_FORGET, .mount = a->mount});
}

/* ---- what comes over lines */

static int refuse(struct conn *c, enum csv_refusal reason)
{
	const struct csv_frame f = {.type = CSV_FRAME_REFUSED,
				    .refused = {.reason = (uint8_t)reason}};

	server_send_frame(c->server, c->id, &f);
	return -EPROTO;
}

int server_grants_channel(struct conn *c, const struct csv_frame_channel *f)
{
	struct server *s = c->server;
	const struct sess_mount *m = sess_mount_find(&s->sess, f->mount);
	struct csv_frame yes = {.type = CSV_FRAME_WELCOME};

	if (f->channel != CSV_CHANNEL_RECALLS)
		return refuse(c, CSV_REFUSAL_PROTOCOL);
	if (f->term != s->sess.term || s->sess.phase >= SESS_STOPPING)
		return refuse(c, CSV_REFUSAL_TERM);
	/* Its first connection comes before, so that what it has is known. */
	if (!m || m->is_gone || !m->is_reclaimed)
		return refuse(c, CSV_REFUSAL_MOUNT);
	c->channel = f->mount;
	yes.welcome = (struct csv_frame_welcome){
		.term = s->sess.term, .is_known = true, .root = backing_root(s->options.backing)};
	server_send_frame(s, c->id, &yes);
	event(s, &(struct grant_event){.type = GRANT_EV_CHANNEL, .mount = f->mount, .conn = c->id});
	promise_event(s, &(struct promise_event){
				 .type = PROMISE_EV_CHANNEL, .mount = f->mount, .conn = c->id});
	server_locks_channel(c);
	return 0;
}

static int renew(struct conn *c, const struct csv_frame_renew *f)
{
	const struct csv_frame yes = {.type = CSV_FRAME_RENEWED,
				      .renewed = {.sent_ms = f->sent_ms}};

	promise_event(c->server,
		      &(struct promise_event){.type = PROMISE_EV_RENEW, .mount = c->channel});
	server_send_frame(c->server, c->id, &yes);
	return 0;
}

static int broken(struct conn *c, const struct csv_frame_broken *f)
{
	promise_event(c->server, &(struct promise_event){.type = PROMISE_EV_DONE,
							 .mount = c->channel,
							 .handle = f->handle,
							 .serial = f->serial});
	return 0;
}

int server_grants_frame(struct conn *c, const struct csv_frame *f)
{
	struct grant_event e = {.mount = c->channel};

	switch (f->type) {
	case CSV_FRAME_RENEW:
		return renew(c, &f->renew);
	case CSV_FRAME_BROKEN:
		return broken(c, &f->broken);
	case CSV_FRAME_RECALL_DONE:
		e.type = GRANT_EV_DONE;
		e.handle = f->recall_done.handle;
		e.id = f->recall_done.id;
		e.has_written = f->recall_done.has_written;
		e.written = f->recall_done.written;
		break;
	case CSV_FRAME_RETURN:
		e.type = GRANT_EV_DONE;
		e.handle = f->returned.handle;
		e.id = f->returned.id;
		e.has_written = f->returned.has_written;
		e.written = f->returned.written;
		break;
	case CSV_FRAME_TOLD:
		e.type = GRANT_EV_TOLD;
		e.handle = f->told.handle;
		e.id = f->told.id;
		e.serial = f->told.serial;
		e.has_written = f->told.has_written;
		e.written = f->told.written;
		break;
	case CSV_FRAME_FAILED:
		if (f->failed.origin != c->channel || !f->failed.handle.ino)
			return -EPROTO;
		csv_log(LOG_ERR,
			"mount %016llx: writes to inode %llu were lost on their way to the disk: "
			"%s -> all mounts are told",
			(unsigned long long)c->channel, (unsigned long long)f->failed.handle.ino,
			strerror(f->failed.error));
		e.type = GRANT_EV_FAILED;
		e.failure = f->failed;
		break;
	case CSV_FRAME_NOTED:
		e.type = GRANT_EV_NOTED;
		e.failure.origin = f->noted.origin;
		e.failure.serial = f->noted.serial;
		break;
	default:
		return -EPROTO;
	}
	event(c->server, &e);
	return 0;
}

int server_grants_reclaim(struct conn *c, const struct csv_frame_reclaim_grant *f)
{
	struct server *s = c->server;

	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		const struct sess_mount *m = &s->sess.mount[i];

		if (!m->id || m->conn != c->id)
			continue;
		if (m->is_reclaimed || f->mode == CSV_GRANT_NONE)
			return -EPROTO;
		event(s, &(struct grant_event){.type = GRANT_EV_RECLAIM,
					       .mount = m->id,
					       .handle = f->handle,
					       .id = f->id,
					       .mode = (enum csv_grant_mode)f->mode});
	}
	return 0;
}

void server_grants_lost(struct conn *c)
{
	if (!c->channel)
		return;
	event(c->server, &(struct grant_event){.type = GRANT_EV_LOST, .conn = c->id});
	promise_event(c->server, &(struct promise_event){.type = PROMISE_EV_LOST, .conn = c->id});
}
