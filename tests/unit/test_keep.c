/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What outlives the process that serves a mount: rows, tables, the two copies of the locks. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/edge/keep.h"
#include "lib/must.h"

#define MANY 20000 /* rows: several chunks */

static struct keep *open_new(void)
{
	struct keep *k;

	assert_int_equal(keep_open(-1, &k), 0);
	return k;
}

/* As the next process has it: by a descriptor of the same file. */
static struct keep *open_again(const struct keep *k)
{
	struct keep *next;
	int fd = dup(keep_fd(k));

	must(fd >= 0);
	assert_int_equal(keep_open(fd, &next), 0);
	return next;
}

static uint32_t add(struct keep *k, uint64_t number)
{
	uint32_t index;
	struct keep_inode *row = keep_new(k, KEEP_INODES, &index);

	assert_int_equal(row->number, 0);
	assert_int_equal(row->lookups, 0);
	row->lookups = number * 2;
	keep_set(&row->number, number);
	return index;
}

static void each_opening_is_a_process_of_its_own(void **state)
{
	struct keep *k = open_new(), *next;

	(void)state;
	assert_int_equal(keep_life(k), 1);
	next = open_again(k);
	assert_int_equal(keep_life(next), 2);
	*keep_next_number(k) = 77;
	*keep_failures(k) = 5;
	assert_int_equal(*keep_next_number(next), 77);
	assert_int_equal(*keep_failures(next), 5);
	keep_close(k);
	keep_close(next);
	keep_close(NULL);
}

static void rows_of_many_chunks_are_there_for_the_next(void **state)
{
	struct keep *k = open_new(), *next;
	struct keep_open *open;
	uint32_t index, cursor = 0;
	uint64_t seen = 0;

	(void)state;
	for (uint64_t i = 1; i <= MANY; i++) {
		assert_int_equal(add(k, i), i);
		/* Tables grow in turns. */
		open = keep_new(k, KEEP_OPENS, &index);
		open->seen = i;
		keep_set(&open->state, KEEP_OPEN_OPEN);
	}
	for (uint32_t i = 1; i <= MANY; i += 2)
		keep_free(k, KEEP_INODES, i);
	next = open_again(k);
	keep_close(k);
	for (const struct keep_inode *row; (row = keep_next(next, KEEP_INODES, &cursor)); seen++) {
		assert_int_equal(row->number, cursor);
		assert_int_equal(row->lookups, 2 * (uint64_t)cursor);
		assert_int_equal(cursor % 2, 0);
	}
	assert_int_equal(seen, MANY / 2);
	for (uint32_t i = 1; i <= MANY; i++) {
		open = keep_row(next, KEEP_OPENS, i);
		assert_int_equal(open->seen, i);
	}
	/* What is free is used before the file grows. */
	for (uint64_t i = 0; i < MANY / 2; i++)
		assert_true(add(next, MANY + 1 + i) <= MANY + 16384);
	assert_null(keep_row(next, KEEP_INODES, 0));
	assert_null(keep_row(next, KEEP_CALLS, 1));
	keep_close(next);
}

static void a_free_row_is_used_again_and_is_empty(void **state)
{
	struct keep *k = open_new();
	uint32_t first = add(k, 1), second = add(k, 2);

	(void)state;
	keep_free(k, KEEP_INODES, first);
	assert_int_equal(add(k, 3), first);
	assert_int_equal(((struct keep_inode *)keep_row(k, KEEP_INODES, second))->number, 2);
	keep_close(k);
}

/* A row that was being filled when its process was killed does not count. */
static void a_row_without_its_first_word_is_free_for_the_next(void **state)
{
	struct keep *k = open_new(), *next;
	struct keep_inode *row;
	uint32_t index, cursor = 0;
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		add(k, 1);
		row = keep_new(k, KEEP_INODES, &index);
		row->lookups = 9;
		kill(getpid(), SIGKILL);
	}
	must(waitpid(pid, &status, 0) == pid);
	assert_true(WIFSIGNALED(status));
	next = open_again(k);
	row = keep_next(next, KEEP_INODES, &cursor);
	assert_int_equal(row->number, 1);
	assert_null(keep_next(next, KEEP_INODES, &cursor));
	assert_int_equal(add(next, 2), 2);
	keep_close(next);
	keep_close(k);
}

static void expect_locks(const struct keep *k, uint64_t first, size_t held, size_t owed)
{
	const struct lock_range *rows;
	size_t n;

	assert_int_equal(keep_locked(k, &rows, &n), held);
	assert_int_equal(n, owed);
	for (size_t i = 0; i < held + owed; i++)
		assert_int_equal(rows[i].start, first + i);
}

static void of_locks_the_copy_before_counts_until_the_next_is_whole(void **state)
{
	struct lock_range row[8] = {{.start = 0}};
	struct keep *k = open_new(), *next = open_again(k);

	(void)state;
	expect_locks(next, 0, 0, 0);
	for (uint64_t n = 0; n < 5; n++) {
		const struct lock_range *before;
		size_t owed;

		keep_locked(k, &before, &owed);
		for (uint64_t i = 0; i < 8; i++)
			row[i].start = 100 * n + i;
		keep_locks(k, row, n, 3);
		expect_locks(next, 100 * n, n, 3);
		/* It stays as it was while the other one was written. */
		assert_int_equal(before[0].start, n ? 100 * (n - 1) : 0);
	}
	keep_close(k);
	expect_locks(next, 400, 4, 3);
	keep_close(next);
}

static void another_layout_is_refused(void **state)
{
	struct keep *k = open_new(), *next = NULL;
	const uint64_t other = 12345;
	int fd = dup(keep_fd(k)), small = memfd_create("small", MFD_CLOEXEC);

	(void)state;
	must(fd >= 0 && small >= 0);
	must(pwrite(fd, &other, sizeof(other), 8) == sizeof(other));
	assert_int_equal(keep_open(fd, &next), -EPROTO);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was its own */
	must(!ftruncate(small, 100));
	assert_int_equal(keep_open(small, &next), -EPROTO);
	assert_null(next);
	keep_close(k);
}

static void whether_the_kernel_sends_again_is_known_without_opening(void **state)
{
	struct keep *k = open_new();

	(void)state;
	assert_false(keep_can_resend(keep_fd(k)));
	keep_init(k)->can_resend = true;
	assert_false(keep_can_resend(keep_fd(k))); /* INIT is not answered yet */
	keep_init(k)->reply_len = 1;
	assert_true(keep_can_resend(keep_fd(k)));
	keep_close(k);
}

static void slots_and_their_frames_are_there_for_the_next(void **state)
{
	struct keep *k = open_new(), *next;

	(void)state;
	for (size_t n = 0; n < CSV_SLOTS; n++) {
		keep_slot(k, n)->seq = n + 1;
		memset(keep_frame(k, n), (int)n, CSV_FRAME_MAX);
		keep_set(&keep_slot(k, n)->is_sent, 1);
	}
	next = open_again(k);
	keep_close(k);
	for (size_t n = 0; n < CSV_SLOTS; n++) {
		assert_int_equal(keep_slot(next, n)->seq, n + 1);
		assert_int_equal(keep_slot(next, n)->is_sent, 1);
		assert_int_equal(keep_frame(next, n)[0], n);
		assert_int_equal(keep_frame(next, n)[CSV_FRAME_MAX - 1], n);
	}
	keep_close(next);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_opening_is_a_process_of_its_own),
		cmocka_unit_test(rows_of_many_chunks_are_there_for_the_next),
		cmocka_unit_test(a_free_row_is_used_again_and_is_empty),
		cmocka_unit_test(a_row_without_its_first_word_is_free_for_the_next),
		cmocka_unit_test(of_locks_the_copy_before_counts_until_the_next_is_whole),
		cmocka_unit_test(another_layout_is_refused),
		cmocka_unit_test(whether_the_kernel_sends_again_is_known_without_opening),
		cmocka_unit_test(slots_and_their_frames_are_there_for_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
