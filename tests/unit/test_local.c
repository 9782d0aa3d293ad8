/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local socket of clusterd, on a real loop with real clients: packets there and back, who is
 * disconnected and when, and that nothing is used after it has been freed. Root only: the socket
 * takes nobody else.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/edge/local.h"
#include "lib/must.h"

#define LOOK_NS	   (1000 * 1000ull)
#define PATIENCE_S 20
#define LOG_MAX	   4096
#define NOBODY	   65534

/* What the first character of a packet asks of the user of the socket. */
enum { ASK_BAD = 'X', ASK_DROP = 'D', ASK_DROP_BAD = 'B', ASK_DROP_OTHERS = 'O', ASK_ECHO = 'E' };

struct fixture {
	qb_loop_t *loop;
	struct local *local;
	char folder[64], path[96];
	char log[LOG_MAX]; /* the first character of each packet; '.' closed, '|' changed */
	size_t log_len;
	uint8_t last[LOCAL_PACKET_MAX];
	size_t last_len;
	struct local_conn *last_conn;
	size_t packets, closed, changed;
	bool drops_all_on_change;
	bool (*is_done)(struct fixture *f);
	size_t wanted;
};

/* ---- the user of the socket */

static void note(struct fixture *f, char c)
{
	if (f->log_len < LOG_MAX - 1)
		f->log[f->log_len++] = c;
}

static void drop_others(struct fixture *f, const struct local_conn *but)
{
	for (struct local_conn *l = local_first(f->local); l; l = l->next) {
		if (l != but)
			local_drop(l);
	}
}

static bool on_packet(void *arg, struct local_conn *c, const void *data, size_t len)
{
	struct fixture *f = arg;
	char what = *(const char *)data;

	assert_false(c->is_gone);
	note(f, what);
	f->packets++;
	f->last_len = len;
	f->last_conn = c;
	memcpy(f->last, data, len);
	if (what == ASK_DROP || what == ASK_DROP_BAD)
		local_drop(c);
	if (what == ASK_DROP_OTHERS)
		drop_others(f, c);
	if (what == ASK_ECHO)
		assert_true(local_send(c, data, len));
	return what != ASK_BAD && what != ASK_DROP_BAD;
}

static void on_closed(void *arg, struct local_conn *c)
{
	struct fixture *f = arg;

	assert_true(c->is_gone);
	note(f, '.');
	f->closed++;
}

static void on_changed(void *arg)
{
	struct fixture *f = arg;

	note(f, '|');
	f->changed++;
	if (f->drops_all_on_change)
		drop_others(f, NULL);
}

static const struct local_calls calls = {
	.packet = on_packet, .closed = on_closed, .changed = on_changed};

/* ---- helpers */

static void on_timer(void *arg)
{
	struct fixture *f = arg;

	if (f->is_done(f))
		qb_loop_stop(f->loop);
	else
		qb_loop_timer_add(f->loop, QB_LOOP_LOW, LOOK_NS, f, on_timer, NULL);
}

/* Runs the loop until it is so; alarm(2) ends a test that waits for ever. */
static void run_until(struct fixture *f, bool (*is_done)(struct fixture *f), size_t wanted)
{
	f->is_done = is_done;
	f->wanted = wanted;
	alarm(PATIENCE_S);
	qb_loop_timer_add(f->loop, QB_LOOP_LOW, LOOK_NS, f, on_timer, NULL);
	qb_loop_run(f->loop);
	alarm(0);
}

static size_t living(const struct fixture *f)
{
	size_t n = 0;

	for (struct local_conn *l = local_first(f->local); l; l = l->next)
		n += !l->is_gone;
	return n;
}

static bool has_packets(struct fixture *f)
{
	return f->packets >= f->wanted;
}

static bool has_closed(struct fixture *f)
{
	return f->closed >= f->wanted;
}

static bool has_living(struct fixture *f)
{
	return living(f) == f->wanted;
}

static int dial(const struct fixture *f)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(a.sun_path, f->path, strlen(f->path) + 1);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* A client that has been accepted. */
static int client(struct fixture *f)
{
	int fd = dial(f);

	assert_true(fd >= 0);
	run_until(f, has_living, living(f) + 1);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The other side has closed, and nothing came before. */
static void assert_ended(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c;
	ssize_t n;

	assert_int_equal(poll(&p, 1, PATIENCE_S * 1000), 1);
	n = recv(fd, &c, 1, MSG_DONTWAIT);
	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char text[256];

	assert_non_null(f);
	snprintf(f->folder, sizeof(f->folder), "/tmp/test_local.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/sock", f->folder);
	f->loop = qb_loop_create();
	assert_int_equal(local_open(f->loop, f->path, &calls, f, &f->local, text, sizeof(text)), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	local_close(f->local);
	qb_loop_destroy(f->loop);
	assert_int_equal(rmdir(f->folder), 0); /* the socket is gone, too */
	free(f);
	return 0;
}

/* ---- packets */

static void a_packet_arrives_as_it_was_sent_and_from_whom(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);

	say(fd, "hello");
	run_until(f, has_packets, 1);
	assert_int_equal(f->last_len, 5);
	assert_memory_equal(f->last, "hello", 5);
	assert_int_equal(f->last_conn->pid, getpid());
	assert_ptr_equal(f->last_conn, local_first(f->local));
	close(fd);
}

static void packets_keep_their_order_and_changed_comes_after_them(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);

	say(fd, "a");
	say(fd, "b");
	say(fd, "c");
	run_until(f, has_packets, 3);
	assert_string_equal(f->log, "abc|");
	close(fd);
}

static void the_longest_packet_arrives_whole_and_a_longer_one_ends_it(void **state)
{
	static const uint8_t packet[LOCAL_PACKET_MAX + 1] = {'a'};
	struct fixture *f = *state;
	int fd = client(f);

	assert_int_equal(send(fd, packet, LOCAL_PACKET_MAX, 0), LOCAL_PACKET_MAX);
	run_until(f, has_packets, 1);
	assert_int_equal(f->last_len, LOCAL_PACKET_MAX);
	assert_int_equal(send(fd, packet, sizeof(packet), 0), sizeof(packet));
	run_until(f, has_closed, 1);
	assert_int_equal(f->packets, 1);
	assert_ended(fd);
	close(fd);
}

static void what_is_sent_arrives(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);
	char buf[16];

	say(fd, "Echo");
	run_until(f, has_packets, 1);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 4);
	assert_memory_equal(buf, "Echo", 4);
	assert_true(local_send(local_first(f->local), "later", 5));
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 5);
	assert_memory_equal(buf, "later", 5);
	close(fd);
}

/* One who says very much does not keep the loop from its other work. */
static void a_flood_is_taken_in_turns(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);
	const size_t n = 2 * LOCAL_PACKETS_PER_TURN + 1;

	for (size_t i = 0; i < n; i++)
		say(fd, "a");
	run_until(f, has_packets, n);
	assert_int_equal(f->packets, n);
	assert_int_equal(f->changed, 3);
	assert_int_equal(f->log[LOCAL_PACKETS_PER_TURN], '|');
	close(fd);
}

/* ---- ends */

static void a_bad_packet_ends_its_connection_and_no_other(void **state)
{
	struct fixture *f = *state;
	int bad = client(f), good = client(f);

	say(bad, "X");
	say(bad, "after");
	run_until(f, has_closed, 1);
	assert_string_equal(f->log, "X.|");
	assert_ended(bad);
	say(good, "a");
	run_until(f, has_packets, 2);
	assert_int_equal(f->closed, 1);
	assert_int_equal(living(f), 1);
	assert_null(local_first(f->local)->next); /* what was gone has been freed */
	close(bad);
	close(good);
}

static void a_client_that_leaves_is_told_of_once(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);

	say(fd, "a");
	close(fd);
	run_until(f, has_closed, 1);
	assert_string_equal(f->log, "a.|");
	assert_null(local_first(f->local));
}

static void one_may_be_dropped_from_its_own_packet(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);

	say(fd, "D");
	say(fd, "a");
	run_until(f, has_closed, 1);
	assert_string_equal(f->log, "D.|");
	assert_null(local_first(f->local));
	assert_ended(fd);
	close(fd);
}

static void one_dropped_from_its_own_bad_packet_ends_once(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);

	say(fd, "B");
	run_until(f, has_closed, 1);
	assert_string_equal(f->log, "B.|");
	close(fd);
}

/* All have something to say in the same turn of the loop: the first one's wish is obeyed. */
static void one_dropped_from_the_packet_of_another_is_not_heard_any_more(void **state)
{
	struct fixture *f = *state;
	int fd[8];

	for (size_t i = 0; i < MUST_ARRAY_SIZE(fd); i++)
		fd[i] = client(f);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(fd); i++)
		say(fd[i], "O");
	run_until(f, has_closed, MUST_ARRAY_SIZE(fd) - 1);
	assert_int_equal(f->packets, 1);
	assert_int_equal(living(f), 1);
	assert_null(local_first(f->local)->next);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(fd); i++)
		close(fd[i]);
}

static void all_may_be_dropped_when_something_has_changed(void **state)
{
	struct fixture *f = *state;
	int one = client(f), two = client(f);

	f->drops_all_on_change = true;
	say(one, "a");
	say(two, "b");
	run_until(f, has_closed, 2);
	assert_int_equal(f->packets, 1);
	assert_null(local_first(f->local));
	assert_ended(one);
	assert_ended(two);
	close(one);
	close(two);
}

static void a_connection_that_is_gone_sends_nothing_and_is_freed_when_reaped(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);
	struct local_conn *c = local_first(f->local);

	local_drop(c);
	local_drop(c);
	assert_int_equal(f->closed, 1);
	assert_false(local_send(c, "a", 1));
	assert_ptr_equal(local_first(f->local), c); /* until it is reaped */
	local_reap(f->local);
	assert_null(local_first(f->local));
	assert_ended(fd);
	close(fd);
}

static void sending_to_one_who_has_left_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);
	struct local_conn *c = local_first(f->local);

	close(fd);
	assert_false(local_send(c, "a", 1));
	assert_true(c->is_gone);
	assert_int_equal(f->closed, 1);
	local_reap(f->local);
}

/* Not sent is not lost: the sender knows it. What was sent arrives, in order. */
static void a_slow_reader_is_kept_and_can_be_told_later(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);
	struct local_conn *c = local_first(f->local);
	uint32_t sent = 0, back = 0;

	while (local_send(c, &sent, sizeof(sent))) {
		sent++;
		assert_true(sent < 1000000);
	}
	assert_true(sent > 0);
	assert_false(c->is_gone);
	assert_false(local_send(c, &sent, sizeof(sent)));
	for (uint32_t i = 0; i < sent; i++) {
		assert_int_equal(recv(fd, &back, sizeof(back), 0), sizeof(back));
		assert_int_equal(back, i);
	}
	assert_true(recv(fd, &back, sizeof(back), MSG_DONTWAIT) < 0);
	assert_true(local_send(c, &sent, sizeof(sent)));
	assert_int_equal(recv(fd, &back, sizeof(back), 0), sizeof(back));
	assert_int_equal(back, sent);
	assert_int_equal(f->closed, 0);
	close(fd);
}

/* ---- who is let in */

static void the_connections_are_bounded_and_a_place_is_used_again(void **state)
{
	struct rlimit files = {.rlim_cur = 4 * LOCAL_CONNS_MAX, .rlim_max = 4 * LOCAL_CONNS_MAX};
	struct fixture *f = *state;
	static int fd[LOCAL_CONNS_MAX];
	int more;

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(fd); i++) {
		fd[i] = dial(f);
		assert_true(fd[i] >= 0);
	}
	run_until(f, has_living, LOCAL_CONNS_MAX);
	more = dial(f);
	assert_true(more >= 0);
	say(fd[0], "a"); /* the loop goes round until this is heard and the other refused */
	run_until(f, has_packets, 1);
	say(fd[LOCAL_CONNS_MAX - 1], "b");
	run_until(f, has_packets, 2);
	assert_ended(more);
	assert_int_equal(living(f), LOCAL_CONNS_MAX);
	close(more);
	close(fd[0]);
	run_until(f, has_closed, 1);
	fd[0] = client(f);
	assert_int_equal(living(f), LOCAL_CONNS_MAX);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(fd); i++)
		close(fd[i]);
	run_until(f, has_closed, LOCAL_CONNS_MAX + 1);
	assert_null(local_first(f->local));
}

static void nobody_but_root_is_let_in(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int fd, mine;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(chmod(f->folder, 0755), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	fd = dial(f);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(fd, -1); /* by its mode */

	assert_int_equal(chmod(f->path, 0666), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	fd = dial(f);
	assert_int_equal(seteuid(0), 0);
	assert_true(fd >= 0);
	say(fd, "a");
	mine = client(f); /* accepted after the other one */
	assert_ended(fd);
	assert_int_equal(living(f), 1);
	assert_int_equal(f->packets, 0);
	close(fd);
	close(mine);
}

/* ---- opening and closing */

static void closing_drops_all_and_leaves_no_file(void **state)
{
	struct fixture *f = *state;
	int one = client(f), two = client(f);

	local_close(f->local);
	f->local = NULL; /* which the teardown closes again */
	assert_int_equal(f->closed, 2);
	assert_ended(one);
	assert_ended(two);
	assert_int_equal(access(f->path, F_OK), -1);
	close(one);
	close(two);
}

static void what_a_dead_process_has_left_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char text[256];
	int fd;

	local_close(f->local);
	memcpy(a.sun_path, f->path, strlen(f->path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	assert_int_equal(local_open(f->loop, f->path, &calls, f, &f->local, text, sizeof(text)), 0);
	close(client(f));
}

static void a_socket_that_cannot_be_is_refused_with_its_path(void **state)
{
	struct fixture *f = *state;
	struct local *none = NULL;
	char text[512], path[200];

	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(local_open(f->loop, path, &calls, f, &none, text, sizeof(text)),
			 -ENAMETOOLONG);
	assert_non_null(strstr(text, path));
	snprintf(path, sizeof(path), "%s/none/sock", f->folder);
	assert_int_equal(local_open(f->loop, path, &calls, f, &none, text, sizeof(text)), -ENOENT);
	assert_non_null(strstr(text, path));
	assert_null(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_packet_arrives_as_it_was_sent_and_from_whom),
		TEST(packets_keep_their_order_and_changed_comes_after_them),
		TEST(the_longest_packet_arrives_whole_and_a_longer_one_ends_it),
		TEST(what_is_sent_arrives),
		TEST(a_flood_is_taken_in_turns),
		TEST(a_bad_packet_ends_its_connection_and_no_other),
		TEST(a_client_that_leaves_is_told_of_once),
		TEST(one_may_be_dropped_from_its_own_packet),
		TEST(one_dropped_from_its_own_bad_packet_ends_once),
		TEST(one_dropped_from_the_packet_of_another_is_not_heard_any_more),
		TEST(all_may_be_dropped_when_something_has_changed),
		TEST(a_connection_that_is_gone_sends_nothing_and_is_freed_when_reaped),
		TEST(sending_to_one_who_has_left_ends_the_connection),
		TEST(a_slow_reader_is_kept_and_can_be_told_later),
		TEST(the_connections_are_bounded_and_a_place_is_used_again),
		TEST(nobody_but_root_is_let_in),
		TEST(closing_drops_all_and_leaves_no_file),
		TEST(what_a_dead_process_has_left_is_replaced),
		TEST(a_socket_that_cannot_be_is_refused_with_its_path),
	};

	if (geteuid()) {
		printf("skipped: the socket takes root only\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
