/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate/edge/channel: two ends on one loop, over loopback. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/must.h"
#include "migrate/edge/channel.h"
#include "migrate/edge/due.h"

#define GUARD_MS 60000 /* no test may take longer */
#define SOON_MS	 2000  /* for what waits for nobody: far below CHANNEL_OPEN_MS */
#define ADDRESS	 "127.0.0.1"

/* One end, and all that it was told. */
struct end {
	struct fixture *f;
	struct channel *c;
	uint16_t port;
	unsigned int opened, messages, lost, closed, number;
	struct mig_message last;
	char peer[64], why[128];
	bool is_closing_when_heard;
};

struct fixture {
	qb_loop_t *loop;
	struct due *guard, *soon;
	struct end a, b; /* a listens */
	struct tls_key key;
};

static void fire(void *arg)
{
	(void)arg;
	fail_msg("the test did not end in time");
}

static void on_soon(void *arg)
{
	struct fixture *f = arg;

	qb_loop_stop(f->loop);
}

static void on_listening(void *arg, uint32_t number, uint16_t port)
{
	struct end *e = arg;

	e->number = number;
	e->port = port;
	qb_loop_stop(e->f->loop);
}

static void on_open(void *arg, uint32_t number, const char *peer)
{
	struct end *e = arg;

	e->number = number;
	e->opened++;
	snprintf(e->peer, sizeof(e->peer), "%s", peer);
	qb_loop_stop(e->f->loop);
}

static void on_message(void *arg, uint32_t number, const struct mig_message *message)
{
	struct end *e = arg;

	assert_int_equal(number, e->number);
	assert_int_equal(e->closed, 0);
	e->messages++;
	e->last = *message;
	if (e->is_closing_when_heard) {
		channel_close(e->c);
		e->c = NULL;
	}
	qb_loop_stop(e->f->loop);
}

static void on_lost(void *arg, uint32_t number, const char *why)
{
	struct end *e = arg;

	(void)number;
	e->lost++;
	snprintf(e->why, sizeof(e->why), "%s", why);
	qb_loop_stop(e->f->loop);
}

static void on_closed(void *arg)
{
	struct end *e = arg;

	e->closed++;
	qb_loop_stop(e->f->loop);
}

static const struct channel_callbacks callbacks = {on_listening, on_open, on_message, on_lost,
						   on_closed};

/* Turns the loop until it is so. */
#define UNTIL(f, condition)                                                                        \
	while (!(condition))                                                                       \
	qb_loop_run((f)->loop)

static struct channel_options options_of(struct fixture *f, struct end *e, uint32_t number)
{
	e->f = f;
	return (struct channel_options){.number = number,
					.address = ADDRESS,
					.key = &f->key,
					.callbacks = &callbacks,
					.arg = e};
}

static void listen_a(struct fixture *f)
{
	struct channel_options o = options_of(f, &f->a, 7);

	assert_int_equal(channel_listen(f->loop, &o, &f->a.c), 0);
	UNTIL(f, f->a.port);
}

static void connect_b(struct fixture *f, const struct tls_key *key)
{
	struct channel_options o = options_of(f, &f->b, 8);

	o.port = f->a.port;
	o.key = key;
	assert_int_equal(channel_connect(f->loop, &o, &f->b.c), 0);
}

static void open_both(struct fixture *f)
{
	listen_a(f);
	connect_b(f, &f->key);
	UNTIL(f, f->a.opened && f->b.opened);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->loop = qb_loop_create();
	memset(f->key.byte, 0x42, sizeof(f->key.byte));
	assert_int_equal(due_open(f->loop, fire, f, &f->guard), 0);
	assert_int_equal(due_open(f->loop, on_soon, f, &f->soon), 0);
	due_at(f->guard, due_now_ms() + GUARD_MS);
	*state = f;
	return 0;
}

static void close_end(struct end *e)
{
	if (!e->c)
		return;
	channel_close(e->c);
	e->c = NULL;
	UNTIL(e->f, e->closed);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_end(&f->b);
	close_end(&f->a);
	due_close(f->guard);
	due_close(f->soon);
	qb_loop_destroy(f->loop);
	free(f);
	return 0;
}

static const struct mig_message heartbeat = {.type = MIG_MESSAGE_HEARTBEAT};
static const struct mig_message last_word = {
	.type = MIG_MESSAGE_ABORT, .abort = {.reason = MIG_REASON_OVER, .text = "the last"}};

/* ---- tests */

static void both_ends_open_and_name_their_peer(void **state)
{
	struct fixture *f = *state;

	open_both(f);
	assert_int_equal(f->a.number, 7);
	assert_int_equal(f->b.number, 8);
	assert_string_equal(f->a.peer, ADDRESS);
	assert_string_equal(f->b.peer, ADDRESS);
}

static void messages_arrive_in_order_both_ways(void **state)
{
	struct fixture *f = *state;

	open_both(f);
	for (int i = 0; i < 20; i++) {
		channel_send(f->a.c, &heartbeat);
		channel_send(f->b.c, &heartbeat);
	}
	channel_send(f->a.c, &last_word);
	channel_send(f->b.c, &last_word);
	UNTIL(f, f->a.messages == 21 && f->b.messages == 21);
	assert_int_equal(f->a.last.type, MIG_MESSAGE_ABORT);
	assert_string_equal(f->b.last.abort.text, "the last");
}

/* Also when the other side is talking all the time: a close with unread data resets TCP. */
static void what_was_sent_before_the_close_arrives(void **state)
{
	struct fixture *f = *state;

	open_both(f);
	for (int i = 0; i < 20; i++)
		channel_send(f->b.c, &heartbeat);
	channel_send(f->a.c, &last_word);
	channel_close(f->a.c);
	f->a.c = NULL;
	UNTIL(f, f->b.lost);
	assert_int_equal(f->b.messages, 1);
	assert_string_equal(f->b.last.abort.text, "the last");
	close_end(&f->b);
	UNTIL(f, f->a.closed);
	assert_int_equal(f->a.lost, 0);
}

static void nothing_is_heard_after_the_close(void **state)
{
	struct fixture *f = *state;

	open_both(f);
	f->a.is_closing_when_heard = true;
	for (int i = 0; i < 20; i++)
		channel_send(f->b.c, &heartbeat);
	UNTIL(f, f->b.lost);
	close_end(&f->b);
	UNTIL(f, f->a.closed);
	assert_int_equal(f->a.messages, 1);
	assert_int_equal(f->a.lost, 0);
}

static void listener_may_be_closed_before_anybody_comes(void **state)
{
	struct fixture *f = *state;

	listen_a(f);
	close_end(&f->a);
	assert_int_equal(f->a.opened, 0);
	connect_b(f, &f->key);
	UNTIL(f, f->b.lost);
	assert_string_equal(f->b.why, "connecting: Connection refused");
}

static void other_key_is_refused_and_the_right_one_still_served(void **state)
{
	struct fixture *f = *state;
	struct tls_key other = {{1}};

	listen_a(f);
	connect_b(f, &other);
	UNTIL(f, f->b.lost);
	assert_string_equal(f->b.why, "connecting: not of this cluster, or not TLS");
	close_end(&f->b);
	assert_int_equal(f->a.opened + f->a.lost, 0);
	f->b = (struct end){0};
	connect_b(f, &f->key);
	UNTIL(f, f->a.opened && f->b.opened);
}

static int dial(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, ADDRESS, &a.sin_addr), 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void garbage_and_silence_do_not_take_the_place_of_the_peer(void **state)
{
	struct fixture *f = *state;
	int babbler, silent;

	listen_a(f);
	babbler = dial(f->a.port);
	assert_int_equal(write(babbler, "GET / HTTP/1.0\r\n\r\n", 18), 18);
	silent = dial(f->a.port);
	close(silent);
	connect_b(f, &f->key);
	UNTIL(f, f->a.opened && f->b.opened);
	close(babbler);
}

/* Closes it, and it is over at once. */
static void close_soon(struct end *e)
{
	uint64_t began_ms = due_now_ms();

	close_end(e);
	assert_true(due_now_ms() - began_ms < SOON_MS);
	assert_int_equal(e->opened + e->lost, 0);
}

/* The kernel takes the connection, and then nobody says a word. */
static void handshake_that_is_not_answered_is_given_up_when_it_is_closed(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint8_t hello;

	assert_int_equal(inet_pton(AF_INET, ADDRESS, &a.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	f->a.port = ntohs(a.sin_port);
	connect_b(f, &f->key);
	len = sizeof(a);
	{
		int peer = accept(fd, (struct sockaddr *)&a, &len);

		assert_int_equal(recv(peer, &hello, 1, 0), 1); /* it is in the midst of it */
		close_soon(&f->b);
		close(peer);
	}
	close(fd);
}

static void listener_is_closed_in_the_midst_of_a_handshake(void **state)
{
	struct fixture *f = *state;
	int silent;

	listen_a(f);
	silent = dial(f->a.port);
	/* Until it is accepted: no sign of that is to be seen from here. */
	due_at(f->soon, due_now_ms() + 200);
	qb_loop_run(f->loop);
	close_soon(&f->a);
	close(silent);
}

/* A queue of connections that is full answers no further one: as a host that is gone. */
static void connection_that_is_not_taken_is_given_up_when_it_is_closed(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), full[4];

	assert_int_equal(inet_pton(AF_INET, ADDRESS, &a.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	for (int i = 0; i < 4; i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(full[i], (struct sockaddr *)&a, sizeof(a));
	}
	f->a.port = ntohs(a.sin_port);
	connect_b(f, &f->key);
	due_at(f->soon, due_now_ms() + 200);
	qb_loop_run(f->loop);
	close_soon(&f->b);
	for (int i = 0; i < 4; i++)
		close(full[i]);
	close(fd);
}

static void queue_that_is_full_breaks_the_channel(void **state)
{
	struct fixture *f = *state;

	listen_a(f);
	connect_b(f, &f->key);
	/* Before there can be a connection. */
	for (int i = 0; i <= CHANNEL_QUEUE_MAX; i++)
		channel_send(f->b.c, &heartbeat);
	UNTIL(f, f->b.lost);
	assert_int_equal(f->a.messages, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(both_ends_open_and_name_their_peer),
		T(messages_arrive_in_order_both_ways),
		T(what_was_sent_before_the_close_arrives),
		T(nothing_is_heard_after_the_close),
		T(listener_may_be_closed_before_anybody_comes),
		T(other_key_is_refused_and_the_right_one_still_served),
		T(garbage_and_silence_do_not_take_the_place_of_the_peer),
		T(handshake_that_is_not_answered_is_given_up_when_it_is_closed),
		T(listener_is_closed_in_the_midst_of_a_handshake),
		T(connection_that_is_not_taken_is_given_up_when_it_is_closed),
		T(queue_that_is_full_breaks_the_channel),
	};

	signal(SIGPIPE, SIG_IGN); /* as daemons do */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
