/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mount's requests: over a real TLS connection to a coordinator that the test plays, which
 * answers, breaks off, moves away, refuses and talks nonsense.
 */
#include "tests/unit/client_fixture.h"

#define THREADS	   32
#define PER_THREAD 100

/* ---- calls */

struct crowd {
	struct fixture *fx;
	pthread_t thread;
	uint64_t first_ino;
	unsigned int good;
};

static void *run_crowd(void *arg)
{
	struct crowd *w = arg;

	for (unsigned int i = 0; i < PER_THREAD; i++) {
		struct csv_request q = ask_attr(w->first_ino + i);
		struct csv_reply p;

		if (!client_call(w->fx->client, &q, &p, NULL, 0, NULL) && !p.error &&
		    p.attr.attr.ino == w->first_ino + i)
			w->good++;
	}
	return NULL;
}

/* Takes what is there, up to 8 requests, and answers the last one first. */
static unsigned int answer_some(struct fixture *fx, uint64_t last_seq[CSV_SLOTS])
{
	struct pollfd p = {.fd = tls_fd(fx->conn.tls), .events = POLLIN};
	struct csv_request q[8];
	unsigned int n = 0;

	do {
		server_read_request(&fx->conn, &q[n]);
		assert_int_equal(q[n].seq, last_seq[q[n].slot] + 1);
		last_seq[q[n].slot] = q[n].seq;
		n++;
	} while (n < 8 && poll(&p, 1, 0) == 1);
	for (unsigned int i = n; i-- > 0;)
		answer(fx, &q[i], q[i].getattr.handle.ino);
	return n;
}

static void calls_of_many_threads_get_their_own_replies(void **state)
{
	uint64_t last_seq[CSV_SLOTS] = {0};
	struct crowd crowd[THREADS];
	struct fixture fx;
	unsigned int answered = 0;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	for (unsigned int i = 0; i < THREADS; i++) {
		crowd[i] = (struct crowd){.fx = &fx, .first_ino = 1000 * (i + 1)};
		must(!pthread_create(&crowd[i].thread, NULL, run_crowd, &crowd[i]));
	}
	while (answered < THREADS * PER_THREAD)
		answered += answer_some(&fx, last_seq);
	for (unsigned int i = 0; i < THREADS; i++) {
		must(!pthread_join(crowd[i].thread, NULL));
		assert_int_equal(crowd[i].good, PER_THREAD);
	}
	assert_int_equal(pending(&fx), 0);
	fixture_close(&fx);
}

static void an_error_of_the_coordinator_is_a_reply(void **state)
{
	struct csv_request q = ask_attr(5), seen;
	struct csv_reply p = {.error = ESTALE};
	struct fixture fx;
	struct job j;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	job_start(&fx, &j, &q);
	server_read_request(&fx.conn, &seen);
	must(!server_reply(&fx.conn, &seen, &p));
	assert_int_equal(job_join(&j), 0);
	assert_int_equal(j.p.error, ESTALE);
	fixture_close(&fx);
}

static void bytes_of_a_reply_are_in_the_buffer_of_the_caller(void **state)
{
	struct csv_request q = {.op = CSV_OP_READ, .read = {{5, 1}, 0, 64}}, seen;
	struct csv_reply p = {.bytes.data = {(const uint8_t *)"twelve bytes", 12}};
	struct fixture fx;
	struct job j;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	job_start(&fx, &j, &q);
	server_read_request(&fx.conn, &seen);
	must(!server_reply(&fx.conn, &seen, &p));
	assert_int_equal(job_join(&j), 0);
	assert_int_equal(j.p.bytes.data.len, 12);
	assert_ptr_equal(j.p.bytes.data.data, j.buf);
	assert_memory_equal(j.buf, "twelve bytes", 12);
	fixture_close(&fx);
}

static void extents_of_a_grant_are_in_the_buffer_of_the_caller(void **state)
{
	struct csv_request q = {.op = CSV_OP_GRANT, .grant = {{5, 1}, true}}, seen;
	struct csv_reply p = {.grant = {.mode = CSV_GRANT_SOLE, .id = {7, 1}}};
	struct fixture fx;
	struct job j;

	(void)state;
	p.grant.extents = (struct csv_bytes){(const uint8_t *)"as many as there are ...", 24};
	fixture_open(&fx);
	connect_first(&fx);
	job_start(&fx, &j, &q);
	server_read_request(&fx.conn, &seen);
	must(!server_reply(&fx.conn, &seen, &p));
	assert_int_equal(job_join(&j), 0);
	assert_int_equal(j.p.grant.mode, CSV_GRANT_SOLE);
	assert_ptr_equal(j.p.grant.extents.data, j.buf);
	assert_memory_equal(j.buf, p.grant.extents.data, 24);
	fixture_close(&fx);
}

static void a_call_waits_for_a_free_slot(void **state)
{
	static struct job j[CSV_SLOTS], late;
	static struct csv_request seen[CSV_SLOTS];
	struct csv_request q = ask_attr(1);
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	for (size_t i = 0; i < CSV_SLOTS; i++) {
		q = ask_attr(100 + i);
		job_start(&fx, &j[i], &q);
		server_read_request(&fx.conn, &seen[i]);
	}
	q = ask_attr(99);
	job_start(&fx, &late, &q);
	wait_pending(&fx, CSV_SLOTS + 1);
	answer(&fx, &seen[17], 117);
	server_read_request(&fx.conn, &seen[17]);
	assert_int_equal(seen[17].getattr.handle.ino, 99);
	assert_int_equal(seen[17].slot, j[17].q.slot);
	assert_int_equal(seen[17].seq, 2);
	assert_int_equal(job_join(&j[17]), 0);
	for (size_t i = 0; i < CSV_SLOTS; i++)
		answer(&fx, &seen[i], 0);
	for (size_t i = 0; i < CSV_SLOTS; i++)
		assert_int_equal(i == 17 ? job_join(&late) : job_join(&j[i]), 0);
	fixture_close(&fx);
}

/* ---- connections */

static void expect_reclaims(struct fixture *fx, uint64_t one, uint32_t opens_one, uint64_t two,
			    uint32_t opens_two)
{
	bool has_one = !opens_one, has_two = !opens_two;

	while (!has_one || !has_two) {
		struct csv_frame f;

		server_read_frame(&fx->conn, CSV_FRAME_RECLAIM, &f);
		if (f.reclaim.handle.ino == one && !has_one) {
			assert_int_equal(f.reclaim.opens, opens_one);
			has_one = true;
		} else {
			assert_int_equal(f.reclaim.handle.ino, two);
			assert_int_equal(f.reclaim.opens, opens_two);
			assert_false(has_two);
			has_two = true;
		}
	}
	expect_frame(fx, CSV_FRAME_RECLAIM_DONE);
}

static void expect_resend(struct fixture *fx, const struct csv_request *first)
{
	struct csv_request again;

	server_read_request(&fx->conn, &again);
	assert_true(again.is_resend);
	assert_int_equal(again.slot, first->slot);
	assert_int_equal(again.seq, first->seq);
	assert_int_equal(again.op, first->op);
	if (first->op == CSV_OP_MKDIR)
		assert_string_equal(again.mkdir.name.text, first->mkdir.name.text);
	if (first->op == CSV_OP_WRITE) {
		assert_int_equal(again.write.data.len, 9);
		assert_memory_equal(again.write.data.data, "some data", 9);
	}
}

static void after_a_break_opens_and_requests_are_told_again_in_order(void **state)
{
	struct csv_request ask[3] = {
		ask_attr(5),
		ask_named(CSV_OP_MKDIR, "d"),
		{.op = CSV_OP_WRITE, .write = {{5, 1}, 0, 0, {(const uint8_t *)"some data", 9}}}};
	struct csv_request q, seen[3];
	struct job j[3], late;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	exchange(&fx, (q = ask_open(CSV_OP_OPEN, 5), &q), 0);
	exchange(&fx, &q, 0);
	exchange(&fx, (q = ask_open(CSV_OP_OPEN, 6), &q), 0);
	exchange(&fx, (q = ask_open(CSV_OP_OPEN, 8), &q), 0);
	exchange(&fx, (q = ask_open(CSV_OP_RELEASE, 8), &q), 0);
	for (size_t i = 0; i < 3; i++) {
		job_start(&fx, &j[i], &ask[i]);
		server_read_request(&fx.conn, &seen[i]);
	}
	break_connection(&fx);
	q = ask_attr(77);
	job_start(&fx, &late, &q);
	wait_pending(&fx, 4);
	greet(&fx, false);
	expect_reclaims(&fx, 5, 2, 6, 1);
	for (size_t i = 0; i < 3; i++)
		expect_resend(&fx, &seen[i]);
	expect_frame(&fx, CSV_FRAME_RESEND_DONE);
	server_read_request(&fx.conn, &q);
	assert_false(q.is_resend);
	assert_int_equal(q.getattr.handle.ino, 77);
	answer(&fx, &q, 77);
	answer(&fx, &seen[1], 31);
	answer(&fx, &seen[0], 5);
	answer(&fx, &seen[2], 9);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(job_join(&j[i]), 0);
	assert_int_equal(job_join(&late), 0);
	assert_int_equal(j[0].p.attr.attr.ino, 5);
	assert_int_equal(j[1].p.entry.handle.ino, 31);
	assert_int_equal(j[2].p.count.count, 9);
	assert_int_equal(late.p.attr.attr.ino, 77);
	fixture_close(&fx);
}

static void a_coordinator_that_knows_the_mount_is_told_no_opens(void **state)
{
	struct csv_request q = ask_open(CSV_OP_OPEN, 5), seen;
	struct fixture fx;
	struct job j;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	exchange(&fx, &q, 0);
	q = ask_attr(5);
	job_start(&fx, &j, &q);
	server_read_request(&fx.conn, &seen);
	break_connection(&fx);
	greet(&fx, true);
	expect_resend(&fx, &seen);
	expect_frame(&fx, CSV_FRAME_RESEND_DONE);
	answer(&fx, &seen, 5);
	assert_int_equal(job_join(&j), 0);
	fixture_close(&fx);
}

static void opens_count_when_they_are_answered(void **state)
{
	struct csv_request q, seen[2];
	struct job j[2];
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	exchange(&fx, (q = ask_open(CSV_OP_OPEN, 5), &q), 0);
	exchange(&fx, (q = ask_named(CSV_OP_CREATE, "f"), &q), 6);
	job_start(&fx, &j[0], (q = ask_open(CSV_OP_OPEN, 5), &q));
	server_read_request(&fx.conn, &seen[0]);
	job_start(&fx, &j[1], (q = ask_open(CSV_OP_RELEASE, 6), &q));
	server_read_request(&fx.conn, &seen[1]);
	break_connection(&fx);
	greet(&fx, false);
	expect_reclaims(&fx, 5, 1, 6, 1);
	expect_resend(&fx, &seen[0]);
	expect_resend(&fx, &seen[1]);
	expect_frame(&fx, CSV_FRAME_RESEND_DONE);
	answer(&fx, &seen[0], 0);
	answer(&fx, &seen[1], 0);
	assert_int_equal(job_join(&j[0]), 0);
	assert_int_equal(job_join(&j[1]), 0);
	break_connection(&fx);
	greet(&fx, false);
	expect_reclaims(&fx, 5, 2, 6, 0);
	fixture_close(&fx);
}

static void a_refused_open_does_not_count(void **state)
{
	struct csv_request q = ask_open(CSV_OP_OPEN, 5), seen;
	struct csv_reply p = {.error = ENOENT};
	struct fixture fx;
	struct job j;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	job_start(&fx, &j, &q);
	server_read_request(&fx.conn, &seen);
	must(!server_reply(&fx.conn, &seen, &p));
	assert_int_equal(job_join(&j), 0);
	break_connection(&fx);
	greet(&fx, false);
	expect_reclaims(&fx, 5, 0, 0, 0);
	fixture_close(&fx);
}

static void the_new_coordinator_is_taken_at_once(void **state)
{
	struct csv_request q = ask_attr(5), seen;
	struct server other = {0};
	struct csv_frame f;
	struct fixture fx;
	struct job j;
	int old;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	job_start(&fx, &j, &q);
	server_read_request(&fx.conn, &seen);
	server_listen(&other);
	point_to(&fx, TERM + 1, other.port);
	assert_int_equal(server_read(&fx.conn), 0); /* the old connection ends */
	server_hang_up(&fx.conn);
	old = fx.server.fd;
	fx.server.fd = other.fd;
	server_accept(&fx.server, &fx.conn);
	server_read_frame(&fx.conn, CSV_FRAME_HELLO, &f);
	assert_int_equal(f.hello.protocol, CSV_PROTOCOL);
	assert_int_equal(f.hello.term, TERM + 1);
	assert_int_equal(f.hello.mount, MOUNT);
	assert_int_equal(f.hello.volume.byte[15], 0x5a);
	expect_frame(&fx, CSV_FRAME_LIFE);
	server_welcome(&fx.conn, TERM + 1, false, root);
	expect_frame(&fx, CSV_FRAME_RECLAIM_DONE);
	expect_resend(&fx, &seen);
	expect_frame(&fx, CSV_FRAME_RESEND_DONE);
	answer(&fx, &seen, 5);
	assert_int_equal(job_join(&j), 0);
	close(old);
	fixture_close(&fx);
}

/* A coordinator says it is gone before clusterd knows another: that alone breaks nothing. */
static void offline_under_the_same_term_leaves_the_connection_alone(void **state)
{
	struct csv_link_state s = {.term = TERM, .why = "it says nothing"};
	struct csv_request q = ask_attr(5);
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	client_target(fx.client, &s);
	exchange(&fx, &q, 5);
	s.term = 0;
	client_target(fx.client, &s);
	assert_int_equal(server_read(&fx.conn), 0);
	fixture_close(&fx);
}

static void a_refused_connection_is_tried_again(void **state)
{
	static const enum csv_refusal reasons[] = {CSV_REFUSAL_MOUNT, CSV_REFUSAL_TERM,
						   CSV_REFUSAL_BUSY};
	struct csv_request q = ask_attr(5), seen;
	struct client_status s;
	struct csv_frame f;
	struct fixture fx;
	struct job j;

	(void)state;
	fixture_open(&fx);
	job_start(&fx, &j, &q);
	point_to(&fx, TERM, fx.server.port);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(reasons); i++) {
		server_accept(&fx.server, &fx.conn);
		server_read_frame(&fx.conn, CSV_FRAME_HELLO, &f);
		expect_frame(&fx, CSV_FRAME_LIFE);
		f = (struct csv_frame){.type = CSV_FRAME_REFUSED,
				       .refused.reason = (uint8_t)reasons[i]};
		server_write_frame(&fx.conn, &f);
		assert_int_equal(server_read(&fx.conn), 0);
		server_hang_up(&fx.conn);
	}
	client_status(fx.client, &s);
	assert_non_null(strstr(s.text, csv_refusal_text(CSV_REFUSAL_BUSY)));
	greet(&fx, false);
	expect_frame(&fx, CSV_FRAME_RECLAIM_DONE);
	expect_frame(&fx, CSV_FRAME_RESEND_DONE);
	server_read_request(&fx.conn, &seen);
	assert_false(seen.is_resend);
	answer(&fx, &seen, 5);
	assert_int_equal(job_join(&j), 0);
	fixture_close(&fx);
}

static void the_root_is_known_from_the_first_welcome_on(void **state)
{
	struct client_interrupt over = {.until_ms = 1};
	struct csv_handle h = {0};
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	assert_int_equal(client_root(fx.client, &over, &h), -EINTR);
	connect_first(&fx);
	assert_int_equal(client_root(fx.client, NULL, &h), 0);
	assert_true(csv_handle_equal(&h, &root));
	break_connection(&fx);
	assert_int_equal(client_root(fx.client, NULL, &h), 0);
	fixture_close(&fx);
}

static void a_welcome_of_another_term_or_file_system_is_not_believed(void **state)
{
	struct csv_frame f;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	break_connection(&fx);
	server_accept(&fx.server, &fx.conn);
	server_read_frame(&fx.conn, CSV_FRAME_HELLO, &f);
	expect_frame(&fx, CSV_FRAME_LIFE);
	server_welcome(&fx.conn, TERM + 1, false, root);
	assert_int_equal(server_read(&fx.conn), 0);
	server_hang_up(&fx.conn);
	server_accept(&fx.server, &fx.conn);
	server_read_frame(&fx.conn, CSV_FRAME_HELLO, &f);
	expect_frame(&fx, CSV_FRAME_LIFE);
	server_welcome(&fx.conn, TERM, false, (struct csv_handle){root.ino, root.gen + 1});
	assert_int_equal(server_read(&fx.conn), 0);
	fixture_close(&fx);
}

/* ---- interrupts */

static void a_request_that_was_not_sent_is_forgotten_when_interrupted(void **state)
{
	struct csv_request q = ask_named(CSV_OP_MKDIR, "d"), seen;
	struct fixture fx;
	struct job j;

	(void)state;
	fixture_open(&fx);
	job_start(&fx, &j, &q);
	wait_pending(&fx, 1);
	client_interrupt(fx.client, &j.interrupt);
	assert_int_equal(job_join(&j), -EINTR);
	assert_int_equal(pending(&fx), 0);
	connect_first(&fx);
	q = ask_attr(5);
	job_start(&fx, &j, &q);
	server_read_request(&fx.conn, &seen);
	assert_int_equal(seen.op, CSV_OP_GETATTR);
	assert_int_equal(seen.seq, 1); /* the number was not used */
	answer(&fx, &seen, 5);
	assert_int_equal(job_join(&j), 0);
	fixture_close(&fx);
}

static void an_interrupted_query_ends_at_once_and_keeps_its_slot(void **state)
{
	struct csv_request q = ask_attr(5), seen, other;
	struct fixture fx;
	struct job j, k;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	job_start(&fx, &j, &q);
	server_read_request(&fx.conn, &seen);
	client_interrupt(fx.client, &j.interrupt);
	assert_int_equal(job_join(&j), -EINTR);
	assert_int_equal(pending(&fx), 1);
	q = ask_attr(6);
	job_start(&fx, &k, &q);
	server_read_request(&fx.conn, &other);
	assert_int_not_equal(other.slot, seen.slot);
	answer(&fx, &seen, 5);
	answer(&fx, &other, 6);
	assert_int_equal(job_join(&k), 0);
	assert_int_equal(pending(&fx), 0);
	assert_int_equal(j.p.attr.attr.ino, 0); /* the reply went nowhere */
	fixture_close(&fx);
}

static void an_interrupted_change_waits_while_connected_and_is_repeated_after(void **state)
{
	struct csv_request q = ask_named(CSV_OP_MKDIR, "d"), seen;
	struct fixture fx;
	struct job j;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	job_start(&fx, &j, &q);
	server_read_request(&fx.conn, &seen);
	client_interrupt(fx.client, &j.interrupt);
	q = ask_attr(5);
	exchange(&fx, &q, 5); /* time passes */
	assert_false(atomic_load(&j.is_done));
	break_connection(&fx);
	assert_int_equal(job_join(&j), -EINTR);
	assert_int_equal(pending(&fx), 1);
	greet(&fx, false);
	expect_reclaims(&fx, 0, 0, 0, 0);
	expect_resend(&fx, &seen);
	expect_frame(&fx, CSV_FRAME_RESEND_DONE);
	answer(&fx, &seen, 9);
	wait_pending(&fx, 0);
	fixture_close(&fx);
}

static void an_interrupted_change_that_is_answered_succeeds(void **state)
{
	struct csv_request q = ask_named(CSV_OP_MKDIR, "d"), seen;
	struct fixture fx;
	struct job j;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	job_start(&fx, &j, &q);
	server_read_request(&fx.conn, &seen);
	client_interrupt(fx.client, &j.interrupt);
	answer(&fx, &seen, 9);
	assert_int_equal(job_join(&j), 0);
	assert_int_equal(j.p.entry.handle.ino, 9);
	fixture_close(&fx);
}

static void who_waits_for_a_slot_can_be_interrupted(void **state)
{
	static struct job j[CSV_SLOTS], late;
	struct csv_request q = ask_attr(5);
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	for (size_t i = 0; i < CSV_SLOTS; i++)
		job_start(&fx, &j[i], &q);
	wait_pending(&fx, CSV_SLOTS);
	job_start(&fx, &late, &q);
	wait_pending(&fx, CSV_SLOTS + 1);
	client_interrupt(fx.client, &late.interrupt);
	assert_int_equal(job_join(&late), -EINTR);
	for (size_t i = 0; i < CSV_SLOTS; i++) {
		client_interrupt(fx.client, &j[i].interrupt);
		assert_int_equal(job_join(&j[i]), -EINTR);
	}
	assert_int_equal(pending(&fx), 0);
	fixture_close(&fx);
}

static void abandon(struct fixture *fx, const struct csv_request *q, struct csv_request *ret_seen)
{
	struct job j;

	job_start(fx, &j, q);
	server_read_request(&fx->conn, ret_seen);
	break_connection(fx);
	client_interrupt(fx->client, &j.interrupt);
	assert_int_equal(job_join(&j), -EINTR);
}

static void what_was_opened_for_nobody_is_released(void **state)
{
	struct csv_request q[2] = {ask_open(CSV_OP_OPEN, 5), ask_named(CSV_OP_CREATE, "f")};
	struct csv_request seen, release;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	for (size_t i = 0; i < 2; i++) {
		abandon(&fx, &q[i], &seen);
		greet(&fx, false);
		expect_reclaims(&fx, 0, 0, 0, 0);
		expect_resend(&fx, &seen);
		expect_frame(&fx, CSV_FRAME_RESEND_DONE);
		answer(&fx, &seen, 40 + i);
		server_read_request(&fx.conn, &release);
		assert_int_equal(release.op, CSV_OP_RELEASE);
		assert_false(release.is_resend);
		assert_int_equal(release.release.handle.ino, i ? 41 : 5);
		answer(&fx, &release, 0);
		wait_pending(&fx, 0);
	}
	break_connection(&fx);
	greet(&fx, false);
	expect_reclaims(&fx, 0, 0, 0, 0);
	fixture_close(&fx);
}

static void a_release_for_nobody_survives_a_break(void **state)
{
	struct csv_request q = ask_open(CSV_OP_OPEN, 5), seen, release;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	abandon(&fx, &q, &seen);
	greet(&fx, true);
	expect_resend(&fx, &seen);
	answer(&fx, &seen, 0); /* before all is sent again */
	expect_frame(&fx, CSV_FRAME_RESEND_DONE);
	server_read_request(&fx.conn, &release);
	break_connection(&fx);
	greet(&fx, false);
	expect_reclaims(&fx, 5, 1, 0, 0);
	expect_resend(&fx, &release);
	expect_frame(&fx, CSV_FRAME_RESEND_DONE);
	answer(&fx, &release, 0);
	wait_pending(&fx, 0);
	fixture_close(&fx);
}

/* ---- nonsense */

enum nonsense {
	LENGTH,
	KIND_OF_FRAME,
	BYTES,
	WRONG_SEQ,
	WRONG_SLOT,
	WRONG_KIND,
	TOO_LONG,
	TWICE,
	NONSENSE_END
};

static void put_raw(struct fixture *fx, const char *bytes, size_t len)
{
	must(!tls_write(fx->conn.tls, bytes, len));
}

static void say_nonsense(struct fixture *fx, const struct csv_request *q, enum nonsense what)
{
	static uint8_t big[8192];
	struct csv_request other = *q;
	struct csv_reply p = {.bytes.data = {big, 10}};

	switch (what) {
	case LENGTH:
		put_raw(fx, "\xff\xff\xff\x7f", 4);
		return;
	case KIND_OF_FRAME:
		server_welcome(&fx->conn, TERM, true, root);
		return;
	case BYTES:
		put_raw(fx, "\x04\0\0\0\x11\0\x01\0", 8);
		return;
	case WRONG_SEQ:
		other.seq++;
		break;
	case WRONG_SLOT:
		other.slot++;
		break;
	case WRONG_KIND:
		other.op = CSV_OP_GETATTR;
		p.attr.attr = (struct csv_attr){.ino = 1};
		break;
	case TOO_LONG:
		p.bytes.data.len = sizeof(big);
		break;
	case TWICE:
		server_reply(&fx->conn, q, &p);
		break;
	case NONSENSE_END:
		break;
	}
	server_reply(&fx->conn, &other, &p);
}

static void nonsense_ends_the_connection_and_the_request_is_repeated(void **state)
{
	struct csv_request q = {.op = CSV_OP_READ, .read = {{5, 1}, 0, 4096}};
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	for (int what = 0; what < NONSENSE_END; what++) {
		struct csv_reply p = {.bytes.data = {(const uint8_t *)"good", 4}};
		struct csv_request seen;
		struct job j;

		job_start(&fx, &j, &q);
		server_read_request(&fx.conn, &seen);
		say_nonsense(&fx, &seen, (enum nonsense)what);
		assert_int_equal(server_read(&fx.conn), 0);
		break_connection(&fx);
		greet(&fx, true);
		if (what != TWICE) {
			expect_resend(&fx, &seen);
			must(!server_reply(&fx.conn, &seen, &p));
		}
		expect_frame(&fx, CSV_FRAME_RESEND_DONE);
		wait_serving(&fx, true);
		assert_int_equal(job_join(&j), 0);
		assert_int_equal(j.p.bytes.data.len, what == TWICE ? 10 : 4);
	}
	fixture_close(&fx);
}

/* ---- the end */

static void after_an_abort_every_call_ends_with_an_error(void **state)
{
	struct csv_request q = ask_named(CSV_OP_MKDIR, "d"), seen;
	struct csv_handle h;
	struct fixture fx;
	struct csv_reply p;
	struct job sent, late;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	job_start(&fx, &sent, &q);
	server_read_request(&fx.conn, &seen);
	break_connection(&fx);
	job_start(&fx, &late, &q);
	wait_pending(&fx, 2);
	client_abort(fx.client);
	assert_int_equal(job_join(&sent), -EIO);
	assert_int_equal(job_join(&late), -EIO);
	assert_int_equal(client_call(fx.client, &q, &p, NULL, 0, NULL), -EIO);
	assert_int_equal(client_root(fx.client, NULL, &h), 0); /* it is known */
	fixture_close(&fx);
}

struct goodbye {
	struct fixture *fx;
	pthread_t thread;
	unsigned int timeout_ms;
	int r;
};

static void *run_goodbye(void *arg)
{
	struct goodbye *g = arg;

	g->r = client_goodbye(g->fx->client, g->timeout_ms);
	return NULL;
}

static void goodbye_is_said_when_nothing_is_open_or_under_way(void **state)
{
	struct csv_request q = ask_open(CSV_OP_OPEN, 5), query, seen;
	struct goodbye g = {.timeout_ms = SERVER_MS};
	struct fixture fx;
	struct job j;

	(void)state;
	fixture_open(&fx);
	connect_first(&fx);
	exchange(&fx, &q, 0);
	exchange(&fx, &q, 0);
	job_start(&fx, &j, (q = ask_attr(5), &q));
	server_read_request(&fx.conn, &query);
	client_interrupt(fx.client, &j.interrupt);
	assert_int_equal(job_join(&j), -EINTR);
	g.fx = &fx;
	must(!pthread_create(&g.thread, NULL, run_goodbye, &g));
	answer(&fx, &query, 5);
	for (int i = 0; i < 2; i++) {
		server_read_request(&fx.conn, &seen);
		assert_int_equal(seen.op, CSV_OP_RELEASE);
		assert_int_equal(seen.release.handle.ino, 5);
		answer(&fx, &seen, 0);
	}
	expect_frame(&fx, CSV_FRAME_GOODBYE);
	must(!pthread_join(g.thread, NULL));
	assert_int_equal(g.r, 0);
	fixture_close(&fx);
}

static void goodbye_gives_up_without_a_connection_or_an_answer(void **state)
{
	struct csv_request q = ask_open(CSV_OP_OPEN, 5);
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	assert_int_equal(client_goodbye(fx.client, SERVER_MS), -ENOTCONN);
	connect_first(&fx);
	exchange(&fx, &q, 0);
	assert_int_equal(client_goodbye(fx.client, 1), -ETIMEDOUT);
	fixture_close(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_of_many_threads_get_their_own_replies),
		cmocka_unit_test(an_error_of_the_coordinator_is_a_reply),
		cmocka_unit_test(bytes_of_a_reply_are_in_the_buffer_of_the_caller),
		cmocka_unit_test(extents_of_a_grant_are_in_the_buffer_of_the_caller),
		cmocka_unit_test(a_call_waits_for_a_free_slot),
		cmocka_unit_test(after_a_break_opens_and_requests_are_told_again_in_order),
		cmocka_unit_test(a_coordinator_that_knows_the_mount_is_told_no_opens),
		cmocka_unit_test(opens_count_when_they_are_answered),
		cmocka_unit_test(a_refused_open_does_not_count),
		cmocka_unit_test(the_new_coordinator_is_taken_at_once),
		cmocka_unit_test(offline_under_the_same_term_leaves_the_connection_alone),
		cmocka_unit_test(a_refused_connection_is_tried_again),
		cmocka_unit_test(the_root_is_known_from_the_first_welcome_on),
		cmocka_unit_test(a_welcome_of_another_term_or_file_system_is_not_believed),
		cmocka_unit_test(a_request_that_was_not_sent_is_forgotten_when_interrupted),
		cmocka_unit_test(an_interrupted_query_ends_at_once_and_keeps_its_slot),
		cmocka_unit_test(an_interrupted_change_waits_while_connected_and_is_repeated_after),
		cmocka_unit_test(an_interrupted_change_that_is_answered_succeeds),
		cmocka_unit_test(who_waits_for_a_slot_can_be_interrupted),
		cmocka_unit_test(what_was_opened_for_nobody_is_released),
		cmocka_unit_test(a_release_for_nobody_survives_a_break),
		cmocka_unit_test(nonsense_ends_the_connection_and_the_request_is_repeated),
		cmocka_unit_test(after_an_abort_every_call_ends_with_an_error),
		cmocka_unit_test(goodbye_is_said_when_nothing_is_open_or_under_way),
		cmocka_unit_test(goodbye_gives_up_without_a_connection_or_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
