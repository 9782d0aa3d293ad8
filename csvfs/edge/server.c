/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/process.h"
#include "csvfs/edge/server_impl.h"
#include "lib/must.h"

void server_fail(struct server *s, const char *format, ...)
{
	va_list ap;

	if (s->failure[0])
		return;
	va_start(ap, format);
	vsnprintf(s->failure, sizeof(s->failure), format, ap);
	va_end(ap);
	csv_log(LOG_ERR, "coordinator: %s -> it answers no more and ends", s->failure);
	s->options.changed(s->options.arg);
}

struct mount_io *server_mount_io(struct server *s, uint64_t mount)
{
	struct mount_io *free_row = NULL;

	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		if (s->mount[i].id == mount)
			return &s->mount[i];
		if (!s->mount[i].id && !free_row)
			free_row = &s->mount[i];
	}
	must(free_row);
	free_row->id = mount;
	return free_row;
}

static void drop_request(struct slot_io *io)
{
	free(io->request);
	io->request = NULL;
	io->request_len = 0;
}

static void forget_mount_io(struct server *s, uint64_t mount)
{
	struct mount_io *m = server_mount_io(s, mount);

	for (size_t i = 0; i < CSV_SLOTS; i++) {
		drop_request(&m->slot[i]);
		server_frame_put(m->slot[i].reply);
	}
	*m = (struct mount_io){0};
}

/* ---- carrying out what the core decides */

static void push_job(struct server *s, enum job_kind kind, uint64_t mount, uint16_t slot)
{
	struct job *j = calloc(1, sizeof(*j));

	must(j);
	j->kind = kind;
	j->mount = mount;
	j->slot = slot;
	*s->jobs_end = j;
	s->jobs_end = &j->next;
	pthread_cond_signal(&s->job_wake);
}

static void do_welcome(struct server *s, const struct sess_action *a)
{
	struct csv_frame f = {.type = CSV_FRAME_WELCOME};

	if (!a->is_known)
		backing_opens_reset(s->options.backing, a->mount);
	f.welcome = (struct csv_frame_welcome){.term = s->sess.term,
					       .is_known = a->is_known,
					       .root = backing_root(s->options.backing)};
	csv_log(LOG_INFO, "mount %016llx: connected%s", (unsigned long long)a->mount,
		a->is_known ? " again" : "");
	failpoint(FAIL_WELCOMED, 0, a->mount);
	server_send_frame(s, a->conn, &f);
}

static void do_refuse(struct server *s, const struct sess_action *a)
{
	struct csv_frame f = {.type = CSV_FRAME_REFUSED, .refused = {.reason = (uint8_t)a->reason}};

	csv_log(LOG_INFO, "a mount is refused: %s", csv_refusal_text(a->reason));
	server_send_frame(s, a->conn, &f);
	server_close_conn(s, a->conn);
}

static void do_serve(struct server *s)
{
	int r;

	failpoint(FAIL_RESENT, 0, 0);
	r = backing_reap(s->options.backing);
	if (r)
		server_fail(s, "orphans cannot be removed: %s", strerror(-r));
	s->is_serving = true;
	failpoint(FAIL_SERVING, 0, 0);
	csv_log(LOG_NOTICE, "all mounts have come back with what they had -> serving");
	s->options.changed(s->options.arg);
}

static void do_recovered(struct server *s, uint64_t mount)
{
	forget_mount_io(s, mount);
	for (size_t i = 0; i < s->dropped_count; i++) {
		if (s->dropped[i] == mount)
			return;
	}
	if (s->dropped_count == CSV_LINK_MOUNTS) {
		memmove(s->dropped, s->dropped + 1, sizeof(s->dropped[0]) * (CSV_LINK_MOUNTS - 1));
		s->dropped_count--;
	}
	s->dropped[s->dropped_count++] = mount;
	csv_log(LOG_NOTICE, "mount %016llx: nothing of it is left", (unsigned long long)mount);
	s->options.changed(s->options.arg);
}

static void carry_out(struct server *s, const struct sess_action *a)
{
	struct slot_io *io;

	switch (a->kind) {
	case SESS_DO_WELCOME:
		do_welcome(s, a);
		break;
	case SESS_DO_REFUSE:
		do_refuse(s, a);
		break;
	case SESS_DO_CLOSE:
		server_close_conn(s, a->conn);
		break;
	case SESS_DO_HOLD:
	case SESS_DO_IGNORE:
		break; /* see the reader */
	case SESS_DO_REPLACED:
		break; /* of grants, promises and locks */
	case SESS_DO_DISCARD:
		drop_request(&server_mount_io(s, a->mount)->slot[a->slot]);
		break;
	case SESS_DO_EXECUTE:
		push_job(s, JOB_NEW, a->mount, a->slot);
		break;
	case SESS_DO_REDO:
		push_job(s, JOB_REDO, a->mount, a->slot);
		break;
	case SESS_DO_REPLAY:
		push_job(s, JOB_REPLAY, a->mount, a->slot);
		break;
	case SESS_DO_REPLY:
		io = &server_mount_io(s, a->mount)->slot[a->slot];
		if (io->reply && server_conn(s, a->conn))
			server_send(s, server_conn(s, a->conn), io->reply);
		break;
	case SESS_DO_DROP:
		push_job(s, JOB_DROP, a->mount, 0);
		break;
	case SESS_DO_RECOVERED:
		do_recovered(s, a->mount);
		break;
	case SESS_DO_RESENDS:
		failpoint(FAIL_RECLAIMED, 0, 0);
		csv_log(LOG_INFO, "all mounts have reclaimed -> resends");
		break;
	case SESS_DO_SERVE:
		do_serve(s);
		break;
	case SESS_DO_STOPPED:
		s->options.changed(s->options.arg);
		break;
	case SESS_DO_MAX:
		break;
	}
	server_grants_action(s, a);
	server_locks_action(s, a);
}

void server_step(struct server *s, const struct sess_event *e)
{
	int r = sess_step(&s->sess, e, &s->actions);

	if (r)
		csv_log(LOG_WARNING, "%s: %s", sess_event_name(e->type), strerror(-r));
	server_grants_event(s, e);
	for (size_t i = 0; i < s->actions.count; i++)
		carry_out(s, &s->actions.item[i]);
}

/* ---- what clusterd says */

static bool is_listed(const struct csv_link_state *state, uint64_t mount)
{
	for (size_t i = 0; i < state->mount_count; i++) {
		if (state->mount[i].id == mount)
			return true;
	}
	return false;
}

static void take_mounts(struct server *s, const struct csv_link_state *state)
{
	uint8_t kept = 0;

	for (size_t i = 0; i < state->mount_count; i++) {
		const struct csv_link_mount *m = &state->mount[i];
		struct sess_event e = {.type = SESS_EV_MOUNT, .mount = m->id};
		bool is_dropped = false;

		for (size_t j = 0; j < s->dropped_count; j++)
			is_dropped = is_dropped || s->dropped[j] == m->id;
		if (is_dropped)
			continue; /* clusterd has not heard it yet */
		server_step(s, &e);
		if (m->is_gone) {
			e.type = SESS_EV_GONE;
			server_step(s, &e);
		}
	}
	/* What clusterd does not list any more, it has recorded as recovered. */
	for (size_t i = 0; i < s->dropped_count; i++) {
		if (is_listed(state, s->dropped[i]))
			s->dropped[kept++] = s->dropped[i];
	}
	s->dropped_count = kept;
}

void server_state(struct server *s, const struct csv_link_state *state)
{
	pthread_mutex_lock(&s->lock);
	if (s->sess.phase < SESS_STOPPING) {
		s->lease_until_ms = state->lease_until_ms;
		take_mounts(s, state);
	}
	pthread_mutex_unlock(&s->lock);
}

void server_stop(struct server *s)
{
	struct sess_event e = {.type = SESS_EV_STOP};

	pthread_mutex_lock(&s->lock);
	server_step(s, &e);
	pthread_mutex_unlock(&s->lock);
}

bool server_lease_is_over(struct server *s)
{
	bool r;

	pthread_mutex_lock(&s->lock);
	r = csv_now_ms() >= s->lease_until_ms;
	pthread_mutex_unlock(&s->lock);
	return r;
}

bool server_has_stopped(struct server *s)
{
	bool r;

	pthread_mutex_lock(&s->lock);
	r = s->sess.phase == SESS_STOPPED;
	pthread_mutex_unlock(&s->lock);
	return r;
}

const char *server_failure(struct server *s)
{
	const char *r;

	pthread_mutex_lock(&s->lock);
	r = s->failure[0] ? s->failure : NULL; /* written once */
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* What recovery waits for, in words. */
static void describe_wait(const struct server *s, char *text, size_t size)
{
	struct csv_handle h = {0};
	size_t missing = 0;
	uint64_t one = 0, debtor = grants_debtor(s->grants, &h);

	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		const struct sess_mount *m = &s->sess.mount[i];

		if (!m->id || !m->bars || m->is_gone || (m->is_reclaimed && m->is_resent))
			continue;
		missing++;
		one = m->id;
	}
	if (s->sess.phase < SESS_SERVE && missing)
		snprintf(text, size, "recovery: waiting for %zu mounts, mount %016llx among them",
			 missing, (unsigned long long)one);
	else if (debtor)
		snprintf(text, size,
			 "%s; waiting for mount %016llx to give back inode %llu, which it may be "
			 "writing to",
			 sess_phase_name(s->sess.phase), (unsigned long long)debtor,
			 (unsigned long long)h.ino);
	else
		snprintf(text, size, "%s", sess_phase_name(s->sess.phase));
}

static void fill_silent(struct server *s, uint64_t now, struct csv_link_status *status)
{
	struct grant_debt debt[CSV_LINK_MOUNTS];

	status->silent_count = (uint8_t)grants_silent(s->grants, debt, CSV_LINK_MOUNTS);
	for (size_t i = 0; i < status->silent_count; i++)
		status->silent[i] =
			(struct csv_link_silent){.id = debt[i].mount,
						 .ino = debt[i].handle.ino,
						 .for_ms = (uint32_t)(now - debt[i].since_ms)};
}

void server_status(struct server *s, struct csv_link_status *status)
{
	uint64_t now = csv_now_ms(), oldest = now;

	pthread_mutex_lock(&s->lock);
	status->port = s->port;
	status->is_serving = s->is_serving && s->sess.phase == SESS_SERVE;
	status->pending = 0;
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		for (size_t j = 0; s->mount[i].id && j < CSV_SLOTS; j++) {
			const struct slot_io *io = &s->mount[i].slot[j];

			if (!io->request)
				continue;
			status->pending++;
			oldest = io->since_ms < oldest ? io->since_ms : oldest;
		}
	}
	status->oldest_ms = (uint32_t)(now - oldest);
	describe_wait(s, status->text, sizeof(status->text));
	status->dropped_count = s->dropped_count;
	memcpy(status->dropped, s->dropped, sizeof(status->dropped));
	pthread_mutex_unlock(&s->lock);
	fill_silent(s, now, status);
}

/* ---- beginning and end */

struct load {
	struct server *server;
	const struct csv_link_state *state;
	int error;
};

static void load_record(void *arg, uint64_t mount, uint16_t slot, uint64_t seq, bool is_done)
{
	struct load *l = arg;
	struct sess_event e = {.type = SESS_EV_RECORD,
			       .mount = mount,
			       .slot = slot,
			       .seq = seq,
			       .is_done = is_done};

	if (is_listed(l->state, mount))
		server_step(l->server, &e);
}

/* Of a mount that the cluster does not know any more nothing is needed. */
static void load_mount(void *arg, uint64_t mount)
{
	struct load *l = arg;
	int r = is_listed(l->state, mount) ? 0
					   : backing_drop(l->server->options.backing, mount, false);

	l->error = l->error ? l->error : r;
}

static int load(struct server *s, const struct csv_link_state *state, char *text, size_t size)
{
	struct load l = {.server = s, .state = state};
	struct sess_event e = {.type = SESS_EV_LOADED};
	int r;

	pthread_mutex_lock(&s->lock);
	s->lease_until_ms = state->lease_until_ms;
	take_mounts(s, state);
	r = backing_mounts(s->options.backing, load_mount, &l);
	r = r ? r : l.error;
	r = r ? r : backing_records(s->options.backing, load_record, &l);
	if (r)
		snprintf(text, size, "the records of earlier requests cannot be read: %s",
			 strerror(-r));
	else
		server_step(s, &e);
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int listen_in_range(struct server *s, char *text, size_t size)
{
	int fd = -EADDRINUSE;

	for (uint16_t port = SERVER_PORT_FIRST; port <= SERVER_PORT_LAST; port++) {
		fd = tls_listen(s->address, port);
		s->port = port;
		if (fd != -EADDRINUSE)
			break;
	}
	if (fd < 0) {
		snprintf(text, size, "cannot listen at %s, ports %d to %d: %s", s->address,
			 SERVER_PORT_FIRST, SERVER_PORT_LAST, strerror(-fd));
		return fd;
	}
	s->listener = fd;
	return 0;
}

static int start_threads(struct server *s)
{
	int r = -pthread_create(&s->acceptor, NULL, server_accept_thread, s);

	must(!r); /* nothing has been promised to anybody yet: the process ends */
	for (; s->workers < SERVER_WORKERS; s->workers++)
		must(!pthread_create(&s->worker[s->workers], NULL, server_worker_thread, s));
	return r;
}

int server_open(const struct server_options *options, const struct csv_link_state *state,
		struct server **ret, char *text, size_t size)
{
	struct server *s = calloc(1, sizeof(*s));
	int r;

	must(s);
	must(strlen(options->address) < sizeof(s->address));
	s->options = *options;
	memcpy(s->address, options->address, strlen(options->address) + 1);
	s->jobs_end = &s->jobs;
	s->listener = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->drop_lock, NULL);
	pthread_cond_init(&s->conn_gone, NULL);
	pthread_cond_init(&s->job_wake, NULL);
	sess_init(&s->sess, options->term);
	r = server_grants_open(s);
	must(!r);
	server_locks_open(s);
	r = listen_in_range(s, text, size);
	r = r ? r : load(s, state, text, size);
	failpoint(FAIL_LISTENING, 0, 0);
	r = r ? r : start_threads(s);
	if (r) {
		server_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void join_threads(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	s->is_closing = true;
	for (size_t i = 0; i < SERVER_CONNS; i++) {
		if (s->conn[i].id)
			server_close_conn(s, s->conn[i].id);
	}
	pthread_cond_broadcast(&s->job_wake);
	pthread_mutex_unlock(&s->lock);
	if (s->listener >= 0)
		shutdown(s->listener, SHUT_RDWR);
	if (s->workers)
		pthread_join(s->acceptor, NULL);
	for (size_t i = 0; i < s->workers; i++)
		pthread_join(s->worker[i], NULL);
	pthread_mutex_lock(&s->lock);
	while (s->conn_threads)
		pthread_cond_wait(&s->conn_gone, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

void server_close(struct server *s)
{
	if (!s)
		return;
	join_threads(s);
	if (s->listener >= 0)
		close(s->listener);
	while (s->jobs) {
		struct job *j = s->jobs;

		s->jobs = j->next;
		free(j);
	}
	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		if (s->mount[i].id)
			forget_mount_io(s, s->mount[i].id);
	}
	grants_close(s->grants);
	promises_close(s->promises);
	server_locks_close(s);
	pthread_cond_destroy(&s->job_wake);
	pthread_cond_destroy(&s->conn_gone);
	pthread_mutex_destroy(&s->drop_lock);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
