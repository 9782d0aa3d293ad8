/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client (csvfs/edge/client.h), a coordinator played by the test, and calls in threads. */
#ifndef TESTS_UNIT_CLIENT_FIXTURE_H
#define TESTS_UNIT_CLIENT_FIXTURE_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/edge/client.h"
#include "tests/unit/csv_server.h"

#define TERM  7
#define MOUNT UINT64_C(0xabcdef)

static const struct csv_handle root = {128, 1};

struct fixture {
	struct server server;
	struct server_conn conn; /* the present one */
	struct client *client;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t changes;
};

/* One call in a thread of its own. */
struct job {
	struct fixture *fx;
	pthread_t thread;
	struct client_interrupt interrupt;
	struct csv_request q;
	struct csv_reply p;
	uint8_t buf[4096];
	size_t cap;
	int r;
	atomic_bool is_done;
};

static inline void on_change(void *arg)
{
	struct fixture *fx = arg;

	pthread_mutex_lock(&fx->lock);
	fx->changes++;
	pthread_cond_broadcast(&fx->changed);
	pthread_mutex_unlock(&fx->lock);
}

static inline void fixture_open(struct fixture *fx)
{
	struct client_options o = {.mount = MOUNT, .on_change = on_change, .arg = fx};

	*fx = (struct fixture){.lock = PTHREAD_MUTEX_INITIALIZER,
			       .changed = PTHREAD_COND_INITIALIZER};
	signal(SIGPIPE, SIG_IGN);
	server_open(&fx->server);
	o.key = fx->server.key;
	memset(o.volume.byte, 0x5a, sizeof(o.volume.byte));
	assert_int_equal(client_open(&o, &fx->client), 0);
}

static inline void fixture_close(struct fixture *fx)
{
	client_close(fx->client);
	if (fx->conn.tls)
		server_hang_up(&fx->conn);
	server_close(&fx->server);
}

static inline void point_to(struct fixture *fx, uint64_t term, uint16_t port)
{
	struct csv_link_state s = {
		.term = term, .is_online = true, .port = port, .address = "127.0.0.1"};

	client_target(fx->client, &s);
}

/* on_change() is called with the client's lock: the client is never asked with ours. */
static inline void wait_serving(struct fixture *fx, bool wanted)
{
	struct client_status s;
	struct timespec until;
	uint64_t seen = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += SERVER_MS / 1000;
	for (;;) {
		client_status(fx->client, &s);
		if (s.is_serving == wanted)
			return;
		pthread_mutex_lock(&fx->lock);
		while (fx->changes == seen)
			must(!pthread_cond_timedwait(&fx->changed, &fx->lock, &until));
		seen = fx->changes;
		pthread_mutex_unlock(&fx->lock);
	}
}

static inline uint32_t pending(struct fixture *fx)
{
	struct client_status s;

	client_status(fx->client, &s);
	return s.pending;
}

/* Nothing tells of a request that has begun to wait: looks again and again. */
static inline void wait_pending(struct fixture *fx, uint32_t wanted)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; pending(fx) != wanted; i++) {
		must(i < SERVER_MS);
		nanosleep(&pause, NULL);
	}
}

/* Accepts, reads HELLO and which process it is, welcomes. */
static inline void greet(struct fixture *fx, bool is_known)
{
	struct csv_frame hello, life;

	server_accept(&fx->server, &fx->conn);
	server_read_frame(&fx->conn, CSV_FRAME_HELLO, &hello);
	server_read_frame(&fx->conn, CSV_FRAME_LIFE, &life);
	must(life.life.number == 1);
	server_welcome(&fx->conn, hello.hello.term, is_known, root);
}

static inline void expect_frame(struct fixture *fx, enum csv_frame_type type)
{
	struct csv_frame f;

	server_read_frame(&fx->conn, type, &f);
}

/* The first connection of a mount that has nothing open and nothing under way. */
static inline void connect_first(struct fixture *fx)
{
	point_to(fx, TERM, fx->server.port);
	greet(fx, false);
	expect_frame(fx, CSV_FRAME_RECLAIM_DONE);
	expect_frame(fx, CSV_FRAME_RESEND_DONE);
	wait_serving(fx, true);
}

static inline void break_connection(struct fixture *fx)
{
	server_hang_up(&fx->conn);
	wait_serving(fx, false);
}

static inline void *run_job(void *arg)
{
	struct job *j = arg;

	j->r = client_call(j->fx->client, &j->q, &j->p, j->buf, j->cap, &j->interrupt);
	atomic_store(&j->is_done, true);
	return NULL;
}

static inline void job_start(struct fixture *fx, struct job *j, const struct csv_request *q)
{
	memset(j, 0, sizeof(*j));
	j->fx = fx;
	j->q = *q;
	j->cap = sizeof(j->buf);
	must(!pthread_create(&j->thread, NULL, run_job, j));
}

static inline int job_join(struct job *j)
{
	must(!pthread_join(j->thread, NULL));
	return j->r;
}

static inline struct csv_request ask_attr(uint64_t ino)
{
	return (struct csv_request){.op = CSV_OP_GETATTR, .getattr.handle = {ino, 1}};
}

static inline struct csv_request ask_open(enum csv_op op, uint64_t ino)
{
	struct csv_request q = {.op = op};

	if (op == CSV_OP_OPEN)
		q.open.handle = (struct csv_handle){ino, 1};
	else
		q.release.handle = (struct csv_handle){ino, 1};
	return q;
}

static inline struct csv_request ask_named(enum csv_op op, const char *name)
{
	struct csv_request q = {.op = op};
	struct csv_name *to = op == CSV_OP_CREATE ? &q.create.name : &q.mkdir.name;

	must(op == CSV_OP_CREATE || op == CSV_OP_MKDIR);
	snprintf(to->text, sizeof(to->text), "%s", name);
	return q;
}

/* A request comes and is answered, with `number` where the reply has such a thing. */
static inline void answer(struct fixture *fx, const struct csv_request *q, uint64_t number)
{
	struct csv_reply p = {0};

	if (csv_op_reply(q->op) == CSV_REPLY_ATTR)
		p.attr.attr.ino = number;
	else if (csv_op_reply(q->op) == CSV_REPLY_COUNT)
		p.count.count = number;
	else if (csv_op_reply(q->op) == CSV_REPLY_ENTRY)
		p.entry.handle = (struct csv_handle){number, 1};
	must(!server_reply(&fx->conn, q, &p));
}

/* Does one call from beginning to end. */
static inline void exchange(struct fixture *fx, const struct csv_request *q, uint64_t number)
{
	struct csv_request seen;
	struct job j;

	job_start(fx, &j, q);
	server_read_request(&fx->conn, &seen);
	assert_int_equal(seen.op, q->op);
	assert_false(seen.is_resend);
	answer(fx, &seen, number);
	assert_int_equal(job_join(&j), 0);
	assert_int_equal(j.p.error, 0);
}

#endif
