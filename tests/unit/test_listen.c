/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A socket with a path: whoever finds it can connect, while it is replaced again and again. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/listen.h"

#define ROUNDS 400

static char dir[] = "/tmp/listen-XXXXXX", path[64];

static int connect_to(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", name);
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

static void drain(int fd)
{
	for (int c; (c = accept(fd, NULL, NULL)) >= 0;)
		close(c);
	assert_int_equal(errno, EAGAIN);
}

struct caller {
	_Atomic bool ends;
	_Atomic unsigned calls;
	int error;
};

static void *call_on_and_on(void *arg)
{
	struct caller *c = arg;

	while (!c->ends && !c->error) {
		c->error = connect_to(path);
		c->calls++;
	}
	return NULL;
}

static void test_who_finds_it_can_connect(void **state)
{
	struct caller c = {};
	int fds[ROUNDS];
	pthread_t thread;

	(void)state;
	fds[0] = listen_unix(path, SOCK_STREAM, 0600, 64);
	assert_true(fds[0] >= 0);
	assert_int_equal(pthread_create(&thread, NULL, call_on_and_on, &c), 0);
	for (size_t i = 1; i < ROUNDS; i++) {
		unsigned before = c.calls;

		fds[i] = listen_unix(path, SOCK_STREAM, 0600, 64);
		assert_true(fds[i] >= 0);
		while (c.calls == before && !c.error) { /* a call between any two replacements */
			for (size_t k = 0; k <= i; k++)
				drain(fds[k]); /* it may wait in the queue of an old one */
		}
	}
	c.ends = true;
	for (size_t i = 0; i < ROUNDS; i++)
		shutdown(fds[i], SHUT_RDWR); /* one that waits in a full queue goes on */
	pthread_join(thread, NULL);
	for (size_t i = 0; i < ROUNDS; i++)
		close(fds[i]);
	assert_true(c.calls >= ROUNDS - 1);
	/* The last one may have met the shutdown. */
	assert_true(c.error == 0 || c.error == -ECONNREFUSED);
	unlink(path);
}

static void test_its_mode_and_nothing_else_in_the_directory(void **state)
{
	struct stat st;
	int fd = listen_unix(path, SOCK_SEQPACKET, 0640, 1);
	int type;
	socklen_t len = sizeof(type);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len), 0);
	assert_int_equal(type, SOCK_SEQPACKET);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0); /* empty */
	assert_int_equal(mkdir(dir, 0700), 0);
}

static void test_replaces_what_an_earlier_process_left(void **state)
{
	int fd = listen_unix(path, SOCK_STREAM, 0600, 1);

	(void)state;
	assert_true(fd >= 0);
	close(fd); /* killed: the path stays */
	assert_int_equal(connect_to(path), -ECONNREFUSED);
	fd = listen_unix(path, SOCK_STREAM, 0600, 1);
	assert_true(fd >= 0);
	assert_int_equal(connect_to(path), 0);
	close(fd);
	unlink(path);
}

static void test_errors_have_names(void **state)
{
	char longest[LISTEN_PATH_MAX + 2];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(listen_unix(longest, SOCK_STREAM, 0600, 1), -ENAMETOOLONG);
	assert_int_equal(listen_unix("/nonexistent/socket", SOCK_STREAM, 0600, 1), -ENOENT);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(listen_unix(path, SOCK_STREAM, 0600, 1), -EISDIR);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0); /* nothing was left */
	assert_int_equal(mkdir(dir, 0700), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_finds_it_can_connect),
		cmocka_unit_test(test_its_mode_and_nothing_else_in_the_directory),
		cmocka_unit_test(test_replaces_what_an_earlier_process_left),
		cmocka_unit_test(test_errors_have_names),
	};
	int r;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/socket", dir);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return r;
}
