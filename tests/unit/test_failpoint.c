/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fail-points: counted, armed for one request, and what a process that died there has left. */
#include "csvfs/edge/failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OP    7
#define MOUNT 42

static char dir[] = "/tmp/failpoint.XXXXXX", path[64], fifo[64];
static _Atomic uint64_t *words;

static int setup(void **state)
{
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/f", dir);
	snprintf(fifo, sizeof(fifo), "%s/f.go", dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, FAIL_BYTES), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	words = mmap(NULL, FAIL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true((void *)words != MAP_FAILED);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(fifo);
	return rmdir(dir);
}

static int clear(void **state)
{
	(void)state;
	for (size_t i = 0; i < FAIL_BYTES / sizeof(uint64_t); i++)
		words[i] = 0;
	failpoint_words = NULL;
	assert_int_equal(setenv("CSVFSD_FAILPOINTS", path, 1), 0);
	return 0;
}

static uint64_t passes(enum failpoint p, unsigned int op)
{
	return words[FAIL_WORD_PASSES + (size_t)p * FAIL_OPS + op];
}

static void arm(enum failpoint_action action, enum failpoint p)
{
	words[FAIL_WORD_POINT] = p;
	words[FAIL_WORD_OP] = OP;
	words[FAIL_WORD_MOUNT] = MOUNT;
	words[FAIL_WORD_ACTION] = action;
}

/* What became of a process that passes it. */
static int pass_apart(enum failpoint p, unsigned int op, uint64_t mount)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		failpoint(p, op, mount);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void nothing_is_done_where_nobody_asks(void **state)
{
	(void)state;
	unsetenv("CSVFSD_FAILPOINTS");
	failpoint_open();
	assert_null((void *)failpoint_words);
	failpoint(FAIL_DID, OP, MOUNT);
	assert_int_equal(passes(FAIL_DID, OP), 0);
}

static void a_file_that_is_not_there_or_too_small_is_none(void **state)
{
	(void)state;
	setenv("CSVFSD_FAILPOINTS", "/tmp/failpoint.none", 1);
	failpoint_open();
	assert_null((void *)failpoint_words);
	setenv("CSVFSD_FAILPOINTS", "/dev/null", 1);
	failpoint_open();
	assert_null((void *)failpoint_words);
}

static void a_pass_is_counted_by_point_and_operation(void **state)
{
	(void)state;
	failpoint_open();
	assert_non_null((void *)failpoint_words);
	failpoint(FAIL_DID, OP, MOUNT);
	failpoint(FAIL_DID, OP, MOUNT);
	failpoint(FAIL_MOUNT_FLUSHED, FAIL_OPS - 1, 0);
	assert_int_equal(passes(FAIL_DID, OP), 2);
	assert_int_equal(passes(FAIL_MOUNT_FLUSHED, FAIL_OPS - 1), 1);
	assert_int_equal(passes(FAIL_DID, OP + 1) + passes(FAIL_LOOKED, OP), 0);
}

static void only_what_was_meant_dies_and_once(void **state)
{
	int status;

	(void)state;
	failpoint_open();
	arm(FAIL_DO_CRASH, FAIL_DID);
	assert_int_equal(pass_apart(FAIL_LOOKED, OP, MOUNT), 0);
	assert_int_equal(pass_apart(FAIL_DID, OP + 1, MOUNT), 0);
	assert_int_equal(pass_apart(FAIL_DID, OP, MOUNT + 1), 0);
	assert_int_equal(words[FAIL_WORD_FIRED], 0);
	status = pass_apart(FAIL_DID, OP, MOUNT);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(words[FAIL_WORD_FIRED], 1);
	assert_int_equal(passes(FAIL_DID, OP), 2); /* it has outlived who counted it */
	assert_int_equal(pass_apart(FAIL_DID, OP, MOUNT), 0);
	assert_int_equal(words[FAIL_WORD_FIRED], 1);
}

static void so_many_passes_before(void **state)
{
	(void)state;
	failpoint_open();
	words[FAIL_WORD_SKIP] = 2;
	arm(FAIL_DO_CUT, FAIL_FORCED); /* nothing is mounted: it is a crash */
	assert_int_equal(pass_apart(FAIL_FORCED, OP, MOUNT), 0);
	assert_int_equal(pass_apart(FAIL_FORCED, OP, MOUNT), 0);
	assert_true(WIFSIGNALED(pass_apart(FAIL_FORCED, OP, MOUNT)));
}

static void the_next_one_is_armed_when_the_first_is_done(void **state)
{
	(void)state;
	failpoint_open();
	words[FAIL_WORD_NEXT + FAIL_WORD_POINT] = FAIL_REDO;
	words[FAIL_WORD_NEXT] = FAIL_DO_CRASH;
	arm(FAIL_DO_CRASH, FAIL_DID);
	assert_int_equal(pass_apart(FAIL_REDO, OP, MOUNT), 0);
	assert_true(WIFSIGNALED(pass_apart(FAIL_DID, OP, MOUNT)));
	assert_true(WIFSIGNALED(pass_apart(FAIL_REDO, 0, 0)));
	assert_int_equal(pass_apart(FAIL_REDO, 0, 0), 0);
	assert_int_equal(words[FAIL_WORD_FIRED], 2);
}

static void *pass_here(void *arg)
{
	failpoint(FAIL_MARKED, OP, MOUNT);
	*(atomic_bool *)arg = true;
	return NULL;
}

static void one_who_stands_still_goes_on_when_told(void **state)
{
	atomic_bool has_passed = false;
	pthread_t thread;
	int fd;

	(void)state;
	failpoint_open();
	arm(FAIL_DO_STOP, FAIL_MARKED);
	assert_int_equal(pthread_create(&thread, NULL, pass_here, &has_passed), 0);
	fd = open(fifo, O_WRONLY | O_CLOEXEC); /* until it is there */
	assert_true(fd >= 0);
	assert_int_equal(words[FAIL_WORD_FIRED], 1);
	assert_false(has_passed);
	assert_int_equal(write(fd, "", 1), 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(has_passed);
	close(fd);
}

#define T(name) cmocka_unit_test_setup(name, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_is_done_where_nobody_asks),
		T(a_file_that_is_not_there_or_too_small_is_none),
		T(a_pass_is_counted_by_point_and_operation),
		T(only_what_was_meant_dies_and_once),
		T(so_many_passes_before),
		T(the_next_one_is_armed_when_the_first_is_done),
		T(one_who_stands_still_goes_on_when_told),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
