/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate/edge/stream: tables as the kernel writes them, and real connections of a child. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "migrate/edge/stream.h"

#define SECONDS 20

/* ---- helpers */

static int listen_at(const char *address, int backlog, uint16_t *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static int dial(const char *address, uint16_t port, int flags)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	inet_pton(AF_INET, address, &a.sin_addr);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
		_exit(2);
	return fd;
}

/* One that connects, says so, and ends with 0 when its connection does. */
static pid_t client(const char *address, uint16_t port, int flags)
{
	int pipes[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		int fd = dial(address, port, flags);
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (write(pipes[1], "x", 1) != 1 || poll(&p, 1, SECONDS * 1000) != 1)
			_exit(3);
		_exit(0);
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	return pid;
}

static void assert_ends(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- tests */

static void connections_are_found_by_their_far_end(void **state)
{
	static const char text[] = "  sl  local_address rem_address   st tx_queue rx_queue tr "
				   "tm->when retrnsmt   uid\n"
				   "   0: 0100007F:1F90 0200007F:0050 01 00000000:00000000 "
				   "00:00000000 00000000  0 0 11 1\n"
				   "   1: 0100007F:1F91 0300007F:0050 02 00000000:00000000 "
				   "00:00000000 00000000  0 0 12 1\n"
				   "   2: 0100007F:1F92 0300007F:0051 01 00000000:00000000 "
				   "00:00000000 00000000  0 0 13 1\n"
				   "   3: 0100007F:1F93 0300007F:0050 06 00000000:00000000 "
				   "00:00000000 00000000  0 0 0 1\n"
				   "   4: 0100007F:1F94 0300007F:0050 01 00000000:00000000 "
				   "00:00000000 00000000  0 0 15 1\n";
	_cleanup_fclose_ FILE *f = fmemopen((void *)(uintptr_t)text, sizeof(text) - 1, "r");

	(void)state;
	assert_int_equal(stream_next_inode(f, "127.0.0.3", 80), 12);
	assert_int_equal(stream_next_inode(f, "127.0.0.3", 80), 15);
	assert_int_equal(stream_next_inode(f, "127.0.0.3", 80), 0);
	rewind(f);
	assert_int_equal(stream_next_inode(f, "nonsense", 80), 0);
}

static void connection_that_stands_is_shut_and_its_neighbour_is_not(void **state)
{
	uint16_t port, other_port;
	int fd = listen_at("127.0.0.1", 8, &port), other = listen_at("127.0.0.1", 8, &other_port);
	pid_t pid = client("127.0.0.1", port, 0), spared = client("127.0.0.1", other_port, 0);
	struct pollfd p = {.events = POLLIN};

	(void)state;
	p.fd = accept(other, NULL, NULL);
	assert_int_equal(stream_shut(pid, "127.0.0.1", port), 1);
	assert_ends(pid);
	assert_int_equal(stream_shut(spared, "127.0.0.1", port), 0);
	assert_int_equal(poll(&p, 1, 200), 0);
	kill(spared, SIGKILL);
	assert_int_equal(waitpid(spared, NULL, 0), spared);
	close(p.fd);
	close(other);
	close(fd);
}

/* A queue of connections that is full answers no further one: as a host that is gone. */
static void connection_that_is_not_answered_is_shut(void **state)
{
	uint16_t port;
	int fd = listen_at("127.0.0.1", 0, &port), full[4];
	pid_t pid;

	(void)state;
	for (int i = 0; i < 4; i++)
		full[i] = dial("127.0.0.1", port, SOCK_NONBLOCK);
	pid = client("127.0.0.1", port, SOCK_NONBLOCK);
	/* With the four that it has from its parent. */
	assert_int_equal(stream_shut(pid, "127.0.0.1", port), 5);
	assert_ends(pid);
	for (int i = 0; i < 4; i++)
		close(full[i]);
	close(fd);
}

static void process_that_is_not_there_is_an_error(void **state)
{
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(stream_shut(pid, "127.0.0.1", 1), -ENOENT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_are_found_by_their_far_end),
		cmocka_unit_test(connection_that_stands_is_shut_and_its_neighbour_is_not),
		cmocka_unit_test(connection_that_is_not_answered_is_shut),
		cmocka_unit_test(process_that_is_not_there_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
