/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File locks at a coordinator's server: what requests and reclaims become, what goes out over the
 * line, and what the session's actions mean. The server is one without sockets and threads.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/edge/server_impl.h"
#include "lib/must.h"

enum { M1 = 11, M2 = 12 };

static const struct csv_handle file = {7, 1};
static struct server *s;

/* Connection 1 and 2: requests of M1 and M2; 3 and 4: their lines. */
static struct conn *conn(uint64_t id)
{
	return &s->conn[id - 1];
}

static int setup(void **state)
{
	(void)state;
	s = calloc(1, sizeof(*s));
	must(s);
	pthread_mutex_init(&s->lock, NULL);
	for (uint64_t id = 1; id <= 4; id++) {
		struct conn *c = conn(id);

		*c = (struct conn){.id = id, .server = s, .channel = id > 2 ? M1 + id - 3 : 0};
		c->out_end = &c->out;
		pthread_cond_init(&c->out_wake, NULL);
	}
	s->sess.mount[0] = (struct sess_mount){.id = M1, .conn = 1};
	s->sess.mount[1] = (struct sess_mount){.id = M2, .conn = 2};
	server_locks_open(s);
	return 0;
}

/* How many frames have been sent over it; the last one. */
static size_t sent(uint64_t id, struct csv_frame *ret)
{
	struct conn *c = conn(id);
	size_t n = 0;

	while (c->out) {
		struct out *o = c->out;

		must(!csv_frame_decode(o->frame->data + CSV_FRAME_PREFIX,
				       o->frame->len - CSV_FRAME_PREFIX, ret));
		c->out = o->next;
		server_frame_put(o->frame);
		free(o);
		n++;
	}
	c->out_end = &c->out;
	return n;
}

static int teardown(void **state)
{
	struct csv_frame f;

	(void)state;
	for (uint64_t id = 1; id <= 4; id++) {
		(void)sent(id, &f);
		pthread_cond_destroy(&conn(id)->out_wake);
	}
	server_locks_close(s);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return 0;
}

static void action(enum sess_action_kind kind, uint64_t mount)
{
	server_locks_action(s, &(struct sess_action){.kind = kind, .mount = mount});
}

static void serve(void)
{
	s->sess.mount[0].is_reclaimed = s->sess.mount[1].is_reclaimed = true;
	action(SESS_DO_RESENDS, 0);
	server_locks_channel(conn(3));
	server_locks_channel(conn(4));
}

static struct csv_reply execute(uint64_t mount, const struct csv_request *q)
{
	struct csv_reply p;

	assert_true(server_locks_execute(s, mount, q, &p));
	assert_int_equal(p.kind, p.error ? CSV_REPLY_NONE : csv_op_reply(q->op));
	return p;
}

static struct csv_reply lock(uint64_t mount, uint8_t type, uint64_t number)
{
	const struct csv_request q = {.op = CSV_OP_LOCK,
				      .lock = {.handle = file,
					       .owner = 5,
					       .type = type,
					       .end = 9,
					       .pid = 99,
					       .number = number}};

	return execute(mount, &q);
}

static void unlock(uint64_t mount)
{
	const struct csv_request q = {.op = CSV_OP_UNLOCK,
				      .unlock = {.handle = file, .owner = 5, .end = 9}};

	assert_int_equal(execute(mount, &q).error, 0);
}

static int reclaim(uint64_t id, uint8_t type)
{
	const struct csv_frame_reclaim_lock f = {
		.handle = file, .owner = 5, .type = type, .end = 9};

	return server_locks_reclaim(conn(id), &f);
}

/* ---- tests */

static void requests_are_answered_and_turns_told(void **state)
{
	const struct csv_request look = {
		.op = CSV_OP_GETLOCK,
		.getlock = {.handle = file, .owner = 6, .type = CSV_LOCK_READ, .end = 100}};
	struct csv_frame f;

	(void)state;
	serve();
	assert_int_equal(execute(M2, &look).lock.type, CSV_LOCK_NONE);
	assert_int_equal(lock(M1, CSV_LOCK_WRITE, 0).count.count, 0);
	assert_int_equal(lock(M2, CSV_LOCK_READ, 0).error, EAGAIN);
	assert_int_equal(execute(M2, &look).lock.mount, M1);
	assert_int_equal(execute(M2, &look).lock.pid, 99);
	assert_int_equal(lock(M2, CSV_LOCK_READ, 8).count.count, 1);
	assert_int_equal(sent(4, &f), 0);
	unlock(M1);
	assert_int_equal(sent(4, &f), 1);
	assert_int_equal(f.type, CSV_FRAME_LOCK_GRANTED);
	assert_int_equal(f.lock_granted.number, 8);
	assert_int_equal(lock(M2, CSV_LOCK_READ, 8).count.count, 0);
	assert_int_equal(sent(3, &f), 0);
}

static void a_new_line_is_told_again_what_the_old_one_was(void **state)
{
	struct csv_frame f;

	(void)state;
	serve();
	assert_int_equal(lock(M1, CSV_LOCK_WRITE, 0).error, 0);
	assert_int_equal(lock(M2, CSV_LOCK_WRITE, 8).count.count, 1);
	server_locks_lost(conn(4));
	unlock(M1);
	assert_int_equal(sent(4, &f), 0);
	server_locks_channel(conn(4));
	assert_int_equal(sent(4, &f), 1);
	assert_int_equal(f.lock_granted.number, 8);
}

static void a_mount_that_is_dropped_has_nothing_any_more(void **state)
{
	struct csv_frame f;

	(void)state;
	serve();
	assert_int_equal(lock(M1, CSV_LOCK_WRITE, 0).error, 0);
	assert_int_equal(lock(M2, CSV_LOCK_WRITE, 8).count.count, 1);
	action(SESS_DO_DROP, M1);
	assert_int_equal(sent(4, &f), 1);
}

static void what_is_reclaimed_is_had_and_two_cannot_have_the_same(void **state)
{
	const struct csv_frame_reclaim_wait wait = {
		.handle = file, .owner = 6, .type = CSV_LOCK_READ, .end = 9, .number = 8};
	struct csv_frame f;

	(void)state;
	assert_int_equal(reclaim(1, CSV_LOCK_WRITE), 0);
	assert_int_equal(reclaim(2, CSV_LOCK_READ), -EPROTO);
	assert_int_equal(reclaim(1, CSV_LOCK_NONE), -EPROTO);
	assert_int_equal(server_locks_reclaim_wait(conn(2), &wait), 0);
	/* Its connection broke before it had told all: it begins anew. */
	server_locks_action(s, &(struct sess_action){.kind = SESS_DO_WELCOME, .mount = M1});
	assert_int_equal(reclaim(2, CSV_LOCK_READ), 0);
	assert_int_equal(reclaim(1, CSV_LOCK_READ), 0);
	serve();
	/* Who has told all tells no more; nor does one that has no session. */
	assert_int_equal(reclaim(1, CSV_LOCK_READ), -EPROTO);
	assert_int_equal(reclaim(3, CSV_LOCK_READ), -EPROTO);
	assert_int_equal(lock(M1, CSV_LOCK_WRITE, 0).error, EAGAIN);
	assert_int_equal(sent(4, &f), 1); /* the turn of the wait, which only reads */
	assert_int_equal(f.lock_granted.number, 8);
}

static void other_requests_are_none_of_its_business(void **state)
{
	const struct csv_request q = {.op = CSV_OP_GETATTR};
	struct csv_reply p;

	(void)state;
	assert_false(server_locks_execute(s, M1, &q, &p));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_answered_and_turns_told),
		TEST(a_new_line_is_told_again_what_the_old_one_was),
		TEST(a_mount_that_is_dropped_has_nothing_any_more),
		TEST(what_is_reclaimed_is_had_and_two_cannot_have_the_same),
		TEST(other_requests_are_none_of_its_business),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
