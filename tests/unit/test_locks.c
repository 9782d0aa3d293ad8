/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File locks of a mount (csvfs/edge/locks.h) against a coordinator played by the test: nobody who
 * calls waits; what is asked is asked again over the next connection, after what is had.
 */
#include <errno.h>

#include "csvfs/edge/locks.h"
#include "tests/unit/client_fixture.h"

#define CROWD 10000

static const struct csv_handle file = {7, 1};

struct caller {
	struct locks_call call;
	int error;
	unsigned int replies;
};

struct rig {
	struct fixture fx;
	struct locks *locks;
	atomic_bool has_ended; /* the thread that asks */
};

static struct rig rig;
static pthread_mutex_t replies_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t replied = PTHREAD_COND_INITIALIZER;

static void on_reply(struct locks_call *call, int error)
{
	struct caller *c = (struct caller *)call;

	pthread_mutex_lock(&replies_lock);
	c->error = error;
	c->replies++;
	pthread_cond_broadcast(&replied);
	pthread_mutex_unlock(&replies_lock);
}

static unsigned int replies(const struct caller *c)
{
	unsigned int n;

	pthread_mutex_lock(&replies_lock);
	n = c->replies;
	pthread_mutex_unlock(&replies_lock);
	return n;
}

static void expect_reply(struct caller *c, int error)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += SERVER_MS / 1000;
	pthread_mutex_lock(&replies_lock);
	while (!c->replies)
		must(!pthread_cond_timedwait(&replied, &replies_lock, &until));
	assert_int_equal(c->replies, 1);
	assert_int_equal(c->error, error);
	c->replies = 0;
	pthread_mutex_unlock(&replies_lock);
}

static bool signal_ends_it(pid_t thread)
{
	(void)thread;
	return atomic_load(&rig.has_ended);
}

static bool next_lock(void *arg, uint64_t term, size_t *cursor, struct csv_frame *ret)
{
	(void)arg;
	(void)term;
	return locks_reclaim(rig.locks, cursor, ret);
}

static int open_rig(bool has_line)
{
	struct client_options o = {
		.mount = MOUNT, .on_change = on_change, .next_grant = next_lock, .arg = &rig.fx};
	struct locks_options l = {
		.mount = MOUNT, .has_line = has_line, .signal_ends = signal_ends_it};

	rig.fx = (struct fixture){.lock = PTHREAD_MUTEX_INITIALIZER,
				  .changed = PTHREAD_COND_INITIALIZER};
	atomic_store(&rig.has_ended, false);
	signal(SIGPIPE, SIG_IGN);
	server_open(&rig.fx.server);
	o.key = rig.fx.server.key;
	assert_int_equal(client_open(&o, &rig.fx.client), 0);
	l.client = rig.fx.client;
	assert_int_equal(locks_open(&l, &rig.locks), 0);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return open_rig(true);
}

static int setup_lineless(void **state)
{
	(void)state;
	return open_rig(false);
}

static int teardown(void **state)
{
	(void)state;
	locks_stop(rig.locks);
	fixture_close(&rig.fx);
	locks_close(rig.locks);
	return 0;
}

static void call(struct caller *c, enum lockbook_what what, uint64_t owner, uint8_t type,
		 bool may_wait)
{
	const struct lock_range l = {
		.handle = file, .owner.id = owner, .type = type, .end = 9, .via = owner};
	uint64_t id;

	*c = (struct caller){.call = {.reply = on_reply, .pid = 1}};
	id = locks_new(rig.locks, what, &l, may_wait, &c->call);
	assert_int_not_equal(id, 0);
	locks_go(rig.locks, id);
}

/* The next request is that one; answered, with a number. */
static struct csv_request serve(enum csv_op op, uint64_t number)
{
	struct csv_request q;

	server_read_request(&rig.fx.conn, &q);
	assert_int_equal(q.op, op);
	answer(&rig.fx, &q, number);
	return q;
}

static void take_lock(struct caller *c, uint64_t owner)
{
	call(c, LOCKBOOK_LOCK, owner, CSV_LOCK_WRITE, true);
	serve(CSV_OP_LOCK, 0);
	expect_reply(c, 0);
}

/* ---- tests */

static void a_call_is_answered_by_the_coordinator(void **state)
{
	struct csv_reply found = {.lock = {CSV_LOCK_WRITE, 3, 4, 99, 5}};
	struct csv_request q;
	struct caller c;

	(void)state;
	connect_first(&rig.fx);
	take_lock(&c, 1);
	call(&c, LOCKBOOK_LOCK, 2, CSV_LOCK_READ, false);
	server_read_request(&rig.fx.conn, &q);
	assert_int_equal(q.lock.number, 0);
	server_reply(&rig.fx.conn, &q, &(struct csv_reply){.error = EAGAIN});
	expect_reply(&c, EAGAIN);
	call(&c, LOCKBOOK_TEST, 2, CSV_LOCK_READ, false);
	server_read_request(&rig.fx.conn, &q);
	server_reply(&rig.fx.conn, &q, &found);
	expect_reply(&c, 0);
	assert_int_equal(c.call.lock.start, 3);
	assert_int_equal(c.call.lock.pid, 99);
	call(&c, LOCKBOOK_UNLOCK, 1, CSV_LOCK_NONE, false);
	serve(CSV_OP_UNLOCK, 0);
	expect_reply(&c, 0);
}

static void a_wait_ends_when_its_turn_is_told(void **state)
{
	struct caller c;
	uint64_t id;

	(void)state;
	connect_first(&rig.fx);
	call(&c, LOCKBOOK_LOCK, 1, CSV_LOCK_WRITE, true);
	id = serve(CSV_OP_LOCK, 1).lock.number;
	locks_granted(rig.locks, id);
	assert_int_equal(serve(CSV_OP_LOCK, 0).lock.number, id);
	expect_reply(&c, 0);
}

static void a_new_coordinator_is_told_all_before_anything_is_asked_again(void **state)
{
	struct caller has, waits, asks, later;
	struct csv_frame f;
	struct csv_request q;
	uint64_t id;

	(void)state;
	connect_first(&rig.fx);
	take_lock(&has, 1);
	call(&waits, LOCKBOOK_LOCK, 2, CSV_LOCK_READ, true);
	id = serve(CSV_OP_LOCK, 1).lock.number;
	call(&asks, LOCKBOOK_LOCK, 3, CSV_LOCK_READ, true);
	server_read_request(&rig.fx.conn, &q); /* and no answer comes */
	break_connection(&rig.fx);
	/* Without a connection nobody who calls waits. */
	call(&later, LOCKBOOK_LOCK, 4, CSV_LOCK_READ, true);
	greet(&rig.fx, false);
	server_read_frame(&rig.fx.conn, CSV_FRAME_RECLAIM_LOCK, &f);
	assert_int_equal(f.reclaim_lock.owner, 1);
	assert_int_equal(f.reclaim_lock.type, CSV_LOCK_WRITE);
	server_read_frame(&rig.fx.conn, CSV_FRAME_RECLAIM_WAIT, &f);
	assert_int_equal(f.reclaim_wait.number, id);
	expect_frame(&rig.fx, CSV_FRAME_RECLAIM_DONE);
	server_read_request(&rig.fx.conn, &q);
	assert_int_equal(q.lock.owner, 3);
	assert_true(q.is_resend);
	expect_frame(&rig.fx, CSV_FRAME_RESEND_DONE);
	answer(&rig.fx, &q, 0);
	expect_reply(&asks, 0);
	assert_int_equal(serve(CSV_OP_LOCK, 0).lock.owner, 4);
	expect_reply(&later, 0);
	assert_int_equal(replies(&waits), 0);
	locks_granted(rig.locks, id);
	serve(CSV_OP_LOCK, 0);
	expect_reply(&waits, 0);
}

static void a_signal_is_answered_without_a_coordinator(void **state)
{
	struct caller waits, asks;
	struct csv_request q;
	uint64_t id;

	(void)state;
	connect_first(&rig.fx);
	call(&waits, LOCKBOOK_LOCK, 1, CSV_LOCK_WRITE, true);
	id = serve(CSV_OP_LOCK, 1).lock.number;
	call(&asks, LOCKBOOK_LOCK, 2, CSV_LOCK_WRITE, true);
	server_read_request(&rig.fx.conn, &q);
	break_connection(&rig.fx);
	locks_signal(rig.locks, waits.call.id);
	expect_reply(&waits, EINTR);
	locks_signal(rig.locks, asks.call.id);
	expect_reply(&asks, EINTR);
	/* The wait is no more; what is asked for is asked again, and given back. */
	greet(&rig.fx, true);
	server_read_request(&rig.fx.conn, &q);
	assert_int_equal(q.lock.owner, 2);
	expect_frame(&rig.fx, CSV_FRAME_RESEND_DONE);
	answer(&rig.fx, &q, 0);
	for (int i = 0; i < 2; i++) {
		server_read_request(&rig.fx.conn, &q);
		if (q.op == CSV_OP_CANCEL_LOCK)
			assert_int_equal(q.cancel_lock.number, id);
		else
			assert_int_equal(q.unlock.owner, 2);
		answer(&rig.fx, &q, 0);
	}
	assert_int_equal(replies(&waits) + replies(&asks), 0);
}

/* All slots are taken by others, and nobody answers: the sender waits, the reply does not. */
static void a_signal_is_answered_when_there_is_no_slot(void **state)
{
	static struct job job[CSV_SLOTS];
	struct csv_request q = ask_attr(200), seen;
	struct caller waits, more;

	(void)state;
	connect_first(&rig.fx);
	call(&waits, LOCKBOOK_LOCK, 1, CSV_LOCK_WRITE, true);
	serve(CSV_OP_LOCK, 1);
	break_connection(&rig.fx);
	for (size_t i = 0; i < CSV_SLOTS; i++)
		job_start(&rig.fx, &job[i], &q);
	wait_pending(&rig.fx, CSV_SLOTS);
	call(&more, LOCKBOOK_LOCK, 2, CSV_LOCK_WRITE, true);
	wait_pending(&rig.fx, CSV_SLOTS + 1);
	locks_signal(rig.locks, waits.call.id);
	expect_reply(&waits, EINTR);
	locks_signal(rig.locks, more.call.id);
	expect_reply(&more, EINTR);
	greet(&rig.fx, true);
	expect_frame(&rig.fx, CSV_FRAME_RESEND_DONE);
	/* Afterwards what was begun is gone through with: lock, unlock, and the end of the wait. */
	for (size_t i = 0; i < CSV_SLOTS + 3; i++) {
		server_read_request(&rig.fx.conn, &seen);
		answer(&rig.fx, &seen, 0);
	}
	for (size_t i = 0; i < CSV_SLOTS; i++)
		assert_int_equal(job_join(&job[i]), 0);
}

static void who_does_not_wait_is_disturbed_only_by_his_end(void **state)
{
	struct csv_request q;
	struct caller c;

	(void)state;
	connect_first(&rig.fx);
	call(&c, LOCKBOOK_LOCK, 1, CSV_LOCK_WRITE, false);
	server_read_request(&rig.fx.conn, &q);
	locks_signal(rig.locks, c.call.id);
	assert_int_equal(replies(&c), 0);
	/* The kernel tells of the next one nothing: it is looked for. */
	atomic_store(&rig.has_ended, true);
	expect_reply(&c, EINTR);
	answer(&rig.fx, &q, 0);
	serve(CSV_OP_UNLOCK, 0);
}

static void a_crowd_keeps_no_thread_and_all_are_served(void **state)
{
	static struct caller crowd[CROWD];
	struct csv_request attr = ask_attr(200), q;
	struct job j;

	(void)state;
	for (uint64_t i = 0; i < CROWD; i++)
		call(&crowd[i], LOCKBOOK_LOCK, 1 + i, CSV_LOCK_WRITE, true);
	connect_first(&rig.fx);
	for (int i = 0; i < CROWD; i++)
		serve(CSV_OP_LOCK, 1);
	/* All wait, and there is a slot for others. */
	job_start(&rig.fx, &j, &attr);
	server_read_request(&rig.fx.conn, &q);
	answer(&rig.fx, &q, 200);
	assert_int_equal(job_join(&j), 0);
	assert_int_equal(pending(&rig.fx), 0);
	for (int i = 0; i < CROWD; i++) {
		locks_granted(rig.locks, crowd[i].call.id);
		serve(CSV_OP_LOCK, 0);
		expect_reply(&crowd[i], 0);
		call(&crowd[i], LOCKBOOK_UNLOCK, 1 + (uint64_t)i, CSV_LOCK_NONE, false);
		serve(CSV_OP_UNLOCK, 0);
		expect_reply(&crowd[i], 0);
	}
}

static void without_a_line_nobody_can_wait(void **state)
{
	struct csv_request q;
	struct caller c;

	(void)state;
	connect_first(&rig.fx);
	call(&c, LOCKBOOK_LOCK, 1, CSV_LOCK_WRITE, true);
	server_read_request(&rig.fx.conn, &q);
	assert_int_equal(q.lock.number, 0);
	server_reply(&rig.fx.conn, &q, &(struct csv_reply){.error = EAGAIN});
	expect_reply(&c, ENOLCK);
}

static void the_end_of_the_mount_is_told_to_who_waits(void **state)
{
	struct caller c;

	connect_first(&rig.fx);
	call(&c, LOCKBOOK_LOCK, 1, CSV_LOCK_WRITE, true);
	serve(CSV_OP_LOCK, 1);
	teardown(state);
	expect_reply(&c, ENOTCONN);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_call_is_answered_by_the_coordinator),
		TEST(a_wait_ends_when_its_turn_is_told),
		TEST(a_new_coordinator_is_told_all_before_anything_is_asked_again),
		TEST(a_signal_is_answered_without_a_coordinator),
		TEST(a_signal_is_answered_when_there_is_no_slot),
		TEST(who_does_not_wait_is_disturbed_only_by_his_end),
		TEST(a_crowd_keeps_no_thread_and_all_are_served),
		cmocka_unit_test_setup_teardown(without_a_line_nobody_can_wait, setup_lineless,
						teardown),
		cmocka_unit_test_setup(the_end_of_the_mount_is_told_to_who_waits, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
