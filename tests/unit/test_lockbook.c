/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mount's book of file locks: what it asks, in which order, and what it tells a coordinator. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/core/lockbook.h"
#include "lib/must.h"

#define ALL   CSV_LOCK_END_MAX
#define MOUNT 77

static const struct csv_handle file = {.ino = 7, .gen = 1};

struct fixture {
	struct lockbook s;
	struct lockbook_actions out;
	bool is_long; /* looked at is only the end */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	must(f);
	lockbook_init(&f->s, MOUNT);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void check(const struct fixture *f)
{
	if (!f->is_long)
		assert_null(lockbook_check(&f->s));
}

/* Owners from 100 on are open files, for flock; via is the owner. */
static uint64_t begin(struct fixture *f, enum lockbook_what what, uint64_t owner, uint8_t type,
		      uint64_t start, uint64_t end, bool may_wait)
{
	struct lock_range l = {
		.handle = file,
		.owner = {.id = owner, .kind = owner >= 100 ? CSV_LOCK_FLOCK : CSV_LOCK_POSIX},
		.type = type,
		.start = start,
		.end = end,
		.via = owner};
	uint64_t id = lockbook_new(&f->s, what, &l, may_wait, &f->s);

	if (id)
		lockbook_go(&f->s, id, &f->out);
	check(f);
	return id;
}

static uint64_t lock(struct fixture *f, uint64_t owner, uint8_t type, uint64_t start, uint64_t end)
{
	return begin(f, LOCKBOOK_LOCK, owner, type, start, end, true);
}

static uint64_t unlock(struct fixture *f, uint64_t owner, uint64_t start, uint64_t end)
{
	return begin(f, LOCKBOOK_UNLOCK, owner, CSV_LOCK_NONE, start, end, false);
}

static void answer(struct fixture *f, uint64_t id, uint16_t error, uint64_t count)
{
	const struct csv_reply p = {.error = error, .count.count = count};

	lockbook_answer(&f->s, id, &p, &f->out);
	check(f);
}

static void expect_nothing(const struct fixture *f)
{
	assert_int_equal(f->out.count, 0);
}

static void expect_reply(const struct fixture *f, size_t at, uint64_t id, int error)
{
	assert_true(at < f->out.count);
	assert_int_equal(f->out.item[at].kind, LOCKBOOK_DO_REPLY);
	assert_int_equal(f->out.item[at].id, id);
	assert_int_equal(f->out.item[at].error, error);
	assert_ptr_equal(f->out.item[at].user, &f->s);
}

/* The request that is to be sent for it. */
static struct csv_request expect_send(const struct fixture *f, size_t at, uint64_t id,
				      enum csv_op op)
{
	struct csv_request q;

	assert_true(at < f->out.count);
	assert_int_equal(f->out.item[at].kind, LOCKBOOK_DO_SEND);
	assert_int_equal(f->out.item[at].id, id);
	lockbook_request(&f->s, id, &q);
	assert_int_equal(q.op, op);
	return q;
}

static void expect_unlock(const struct fixture *f, size_t at, uint64_t id, uint8_t type,
			  uint64_t start, uint64_t end)
{
	struct csv_request q = expect_send(f, at, id, CSV_OP_UNLOCK);

	assert_int_equal(q.unlock.type, type);
	assert_int_equal(q.unlock.start, start);
	assert_int_equal(q.unlock.end, end);
}

static void have(struct fixture *f, uint64_t owner, uint8_t type, uint64_t start, uint64_t end)
{
	uint64_t id = lock(f, owner, type, start, end);

	expect_send(f, 0, id, CSV_OP_LOCK);
	answer(f, id, 0, 0);
	expect_reply(f, 0, id, 0);
}

static size_t told(const struct fixture *f, struct csv_frame *ret, size_t cap)
{
	size_t n = 0, cursor = 0;

	while (n < cap && lockbook_reclaim(&f->s, &cursor, &ret[n]))
		n++;
	return n;
}

/* ---- what is had */

static void a_lock_is_in_the_book_from_its_answer_to_the_asking_to_end_it(void **state)
{
	struct fixture *f = *state;
	struct csv_frame t[4];
	uint64_t id = lock(f, 1, CSV_LOCK_WRITE, 10, 19);
	struct csv_request q = expect_send(f, 0, id, CSV_OP_LOCK);

	assert_int_equal(q.lock.number, id);
	assert_int_equal(q.lock.owner, 1);
	assert_int_equal(q.lock.kind, CSV_LOCK_POSIX);
	assert_int_equal(q.lock.type, CSV_LOCK_WRITE);
	assert_int_equal(q.lock.start, 10);
	assert_int_equal(q.lock.end, 19);
	assert_int_equal(told(f, t, 4), 0);
	answer(f, id, 0, 0);
	expect_reply(f, 0, id, 0);
	assert_int_equal(told(f, t, 4), 1);
	assert_int_equal(t[0].reclaim_lock.start, 10);
	assert_int_equal(t[0].reclaim_lock.end, 19);
	id = unlock(f, 1, 12, 13);
	expect_unlock(f, 0, id, CSV_LOCK_NONE, 12, 13);
	assert_int_equal(told(f, t, 4), 2);
	answer(f, id, 0, 0);
	expect_reply(f, 0, id, 0);
	/* What is not had, or had already, is not asked for. */
	id = unlock(f, 1, 12, 13);
	expect_reply(f, 0, id, 0);
	id = unlock(f, 2, 0, ALL);
	expect_reply(f, 0, id, 0);
	id = lock(f, 1, CSV_LOCK_WRITE, 14, 15);
	expect_reply(f, 0, id, 0);
	assert_int_equal(f->s.ops, 0);
}

static void an_error_changes_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	have(f, 1, CSV_LOCK_READ, 0, 9);
	id = begin(f, LOCKBOOK_LOCK, 1, CSV_LOCK_WRITE, 5, 14, false);
	assert_int_equal(expect_send(f, 0, id, CSV_OP_LOCK).lock.number, 0);
	answer(f, id, EAGAIN, 0);
	expect_reply(f, 0, id, EAGAIN);
	assert_int_equal(f->s.held.count, 1);
	assert_int_equal(f->s.ops, 0);
}

/* More here, less there: first what can fail, then what cannot. */
static void less_is_asked_for_after_more(void **state)
{
	struct fixture *f = *state;
	struct csv_frame t[4];
	uint64_t id;

	have(f, 1, CSV_LOCK_WRITE, 0, 9);
	id = lock(f, 1, CSV_LOCK_READ, 5, 14);
	expect_send(f, 0, id, CSV_OP_LOCK);
	answer(f, id, 0, 0);
	expect_unlock(f, 0, id, CSV_LOCK_READ, 5, 14);
	assert_int_equal(told(f, t, 4), 2);
	answer(f, id, 0, 0);
	expect_reply(f, 0, id, 0);
	id = lock(f, 1, CSV_LOCK_READ, 0, 4);
	expect_unlock(f, 0, id, CSV_LOCK_READ, 0, 4);
	answer(f, id, 0, 0);
	assert_int_equal(told(f, t, 4), 1);
}

static void flock_has_nothing_while_it_asks_for_more(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	have(f, 100, CSV_LOCK_READ, 0, ALL);
	id = lock(f, 100, CSV_LOCK_WRITE, 0, ALL);
	assert_int_equal(expect_send(f, 0, id, CSV_OP_LOCK).lock.kind, CSV_LOCK_FLOCK);
	assert_int_equal(f->s.held.count, 0);
	answer(f, id, 0, 0);
	expect_reply(f, 0, id, 0);
	id = lock(f, 100, CSV_LOCK_READ, 0, ALL);
	expect_unlock(f, 0, id, CSV_LOCK_READ, 0, ALL);
}

static void of_one_owner_one_thing_is_asked_at_a_time(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, CSV_LOCK_WRITE, 0, 9), b, c, d;

	b = unlock(f, 1, 0, 9);
	expect_nothing(f);
	c = lock(f, 1, CSV_LOCK_READ, 0, 9);
	expect_nothing(f);
	d = lock(f, 2, CSV_LOCK_READ, 20, 29);
	expect_send(f, 0, d, CSV_OP_LOCK);
	answer(f, a, 0, 0);
	expect_reply(f, 0, a, 0);
	expect_unlock(f, 1, b, CSV_LOCK_NONE, 0, 9);
	answer(f, b, 0, 0);
	expect_reply(f, 0, b, 0);
	expect_send(f, 1, c, CSV_OP_LOCK);
}

/* ---- waiting */

static void a_turn_is_taken_by_asking_again(void **state)
{
	struct fixture *f = *state;
	uint64_t id = lock(f, 1, CSV_LOCK_WRITE, 0, 9);

	answer(f, id, 0, 1);
	expect_nothing(f);
	lockbook_granted(&f->s, id, &f->out);
	assert_int_equal(expect_send(f, 0, id, CSV_OP_LOCK).lock.number, id);
	lockbook_granted(&f->s, id, &f->out); /* told again over another line */
	expect_nothing(f);
	/* A new coordinator: it is in line there. The call before meant the old one. */
	answer(f, id, 0, 1);
	expect_send(f, 0, id, CSV_OP_LOCK);
	answer(f, id, 0, 1);
	expect_nothing(f);
	lockbook_granted(&f->s, id, &f->out);
	answer(f, id, 0, 0);
	expect_reply(f, 0, id, 0);
	lockbook_granted(&f->s, id, &f->out);
	expect_nothing(f);
}

static void a_turn_may_come_before_the_answer(void **state)
{
	struct fixture *f = *state;
	uint64_t id = lock(f, 1, CSV_LOCK_WRITE, 0, 9);

	lockbook_granted(&f->s, id, &f->out);
	expect_nothing(f);
	answer(f, id, 0, 1);
	expect_send(f, 0, id, CSV_OP_LOCK);
	answer(f, id, 0, 0);
	expect_reply(f, 0, id, 0);
}

static void who_waits_lets_others_of_its_process_go_on(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, CSV_LOCK_WRITE, 0, 9), b = lock(f, 1, CSV_LOCK_READ, 20, 29);

	answer(f, a, 0, 1);
	expect_send(f, 0, b, CSV_OP_LOCK);
	lockbook_granted(&f->s, a, &f->out);
	expect_nothing(f);
	answer(f, b, 0, 0);
	expect_reply(f, 0, b, 0);
	expect_send(f, 1, a, CSV_OP_LOCK);
}

static void a_signal_takes_it_out_of_the_line(void **state)
{
	struct fixture *f = *state;
	uint64_t id = lock(f, 1, CSV_LOCK_WRITE, 0, 9);

	answer(f, id, 0, 1);
	lockbook_interrupt(&f->s, id, &f->out);
	expect_reply(f, 0, id, EINTR);
	assert_int_equal(expect_send(f, 1, id, CSV_OP_CANCEL_LOCK).cancel_lock.number, id);
	lockbook_granted(&f->s, id, &f->out); /* crossed on the way */
	expect_nothing(f);
	lockbook_interrupt(&f->s, id, &f->out);
	expect_nothing(f);
	answer(f, id, 0, 0);
	expect_nothing(f);
	assert_int_equal(f->s.ops, 0);
	/* While it is asked for, and put in line. */
	id = lock(f, 1, CSV_LOCK_WRITE, 0, 9);
	lockbook_interrupt(&f->s, id, &f->out);
	expect_reply(f, 0, id, EINTR);
	answer(f, id, 0, 1);
	expect_send(f, 0, id, CSV_OP_CANCEL_LOCK);
	/* Before it is asked for, because another thread's turn it is. */
	id = lock(f, 2, CSV_LOCK_WRITE, 0, 9);
	id = lock(f, 2, CSV_LOCK_WRITE, 20, 29);
	lockbook_interrupt(&f->s, id, &f->out);
	assert_int_equal(f->out.count, 1);
	assert_null(lockbook_find(&f->s, id));
}

/* The close of a process that is killed. */
static void a_signal_before_its_beginning_does_not_keep_a_lock(void **state)
{
	struct fixture *f = *state;
	struct lock_range l = {.handle = file, .owner = {.id = 1}, .end = ALL};
	uint64_t id;

	have(f, 1, CSV_LOCK_WRITE, 0, 9);
	id = lockbook_new(&f->s, LOCKBOOK_UNLOCK, &l, false, &f->s);
	lockbook_interrupt(&f->s, id, &f->out);
	expect_nothing(f);
	lockbook_go(&f->s, id, &f->out);
	expect_reply(f, 0, id, EINTR);
	expect_unlock(f, 1, id, CSV_LOCK_NONE, 0, ALL);
	answer(f, id, 0, 0);
	expect_nothing(f);
	assert_int_equal(f->s.ops, 0);
	assert_false(lockbook_has(&f->s, &file, &l.owner));
	/* One that asks for a lock, or looks, is over. */
	l.type = CSV_LOCK_WRITE;
	id = lockbook_new(&f->s, LOCKBOOK_LOCK, &l, true, &f->s);
	lockbook_interrupt(&f->s, id, &f->out);
	lockbook_go(&f->s, id, &f->out);
	expect_reply(f, 0, id, EINTR);
	assert_int_equal(f->s.ops, 0);
}

static void what_was_given_to_nobody_is_taken_back_and_no_more(void **state)
{
	struct fixture *f = *state;
	struct csv_frame t[8];
	uint64_t id, other;

	have(f, 1, CSV_LOCK_READ, 10, 19);
	have(f, 1, CSV_LOCK_WRITE, 30, 39);
	id = lock(f, 1, CSV_LOCK_WRITE, 0, 49);
	lockbook_interrupt(&f->s, id, &f->out);
	expect_reply(f, 0, id, EINTR);
	other = unlock(f, 1, 10, 19); /* must not come between */
	expect_nothing(f);
	answer(f, id, 0, 0);
	expect_unlock(f, 0, id, CSV_LOCK_NONE, 0, 9);
	answer(f, id, 0, 0);
	expect_unlock(f, 0, id, CSV_LOCK_READ, 10, 19);
	answer(f, id, 0, 0);
	expect_unlock(f, 0, id, CSV_LOCK_NONE, 20, 29);
	answer(f, id, 0, 0);
	expect_unlock(f, 0, id, CSV_LOCK_NONE, 40, 49);
	assert_int_equal(told(f, t, 8), 2);
	answer(f, id, 0, 0);
	expect_unlock(f, 0, other, CSV_LOCK_NONE, 10, 19);
}

static void a_signal_at_the_very_beginning_is_not_lost(void **state)
{
	struct fixture *f = *state;
	struct lock_range l = {.handle = file, .type = CSV_LOCK_READ, .end = 9};
	uint64_t id = lockbook_new(&f->s, LOCKBOOK_LOCK, &l, true, &f->s);

	lockbook_interrupt(&f->s, id, &f->out);
	expect_nothing(f);
	lockbook_go(&f->s, id, &f->out);
	assert_int_equal(f->out.count, 1);
	expect_reply(f, 0, id, EINTR);
}

/* ---- others */

static void a_look_waits_for_nobody(void **state)
{
	struct fixture *f = *state;
	uint64_t a = lock(f, 1, CSV_LOCK_WRITE, 0, 9), b;

	b = begin(f, LOCKBOOK_TEST, 1, CSV_LOCK_READ, 0, ALL, false);
	assert_int_equal(expect_send(f, 0, b, CSV_OP_GETLOCK).getlock.end, ALL);
	answer(f, b, 0, 0);
	expect_reply(f, 0, b, 0);
	answer(f, a, 0, 0);
	expect_reply(f, 0, a, 0);
}

static void the_end_of_an_open_file_gives_up_what_was_locked_through_it(void **state)
{
	struct fixture *f = *state;
	const struct lock_owner one = {.id = 1};
	uint64_t id;

	have(f, 100, CSV_LOCK_WRITE, 0, ALL);
	have(f, 1, CSV_LOCK_WRITE, 0, 9);
	have(f, 1, CSV_LOCK_READ, 20, 29);
	have(f, 2, CSV_LOCK_READ, 40, 49);
	assert_true(lockbook_has(&f->s, &file, &one));
	lockbook_closed(&f->s, &file, 3, &f->out);
	expect_nothing(f);
	lockbook_closed(&f->s, &file, 100, &f->out);
	assert_int_equal(f->out.count, 1);
	id = f->out.item[0].id;
	assert_int_equal(expect_send(f, 0, id, CSV_OP_UNLOCK).unlock.owner, 100);
	answer(f, id, 0, 0);
	expect_nothing(f); /* nobody waits for it */
	lockbook_closed(&f->s, &file, 1, &f->out);
	assert_int_equal(f->out.count, 1);
	id = f->out.item[0].id;
	expect_unlock(f, 0, id, CSV_LOCK_NONE, 0, ALL);
	answer(f, id, 0, 0);
	assert_false(lockbook_has(&f->s, &file, &one));
	assert_int_equal(f->s.held.count, 1);
	assert_int_equal(f->s.ops, 0);
}

static void who_waits_is_told_in_the_order_of_their_coming(void **state)
{
	struct fixture *f = *state;
	struct csv_frame t[4];
	uint64_t id[4];
	size_t n = 0, cursor = 0;

	for (size_t i = 0; i < 4; i++) {
		id[i] = lock(f, 1 + i, CSV_LOCK_WRITE, 0, 9);
		if (i < 3)
			answer(f, id[i], 0, 1);
	}
	lockbook_granted(&f->s, id[0], &f->out); /* asked for again, and not answered */
	lockbook_interrupt(&f->s, id[1], &f->out);
	while (lockbook_reclaim_wait(&f->s, &cursor, &t[n]))
		n++;
	assert_int_equal(n, 2); /* the last one's request is sent again */
	assert_int_equal(t[0].reclaim_wait.number, id[0]);
	assert_int_equal(t[1].reclaim_wait.number, id[2]);
	assert_int_equal(t[1].reclaim_wait.owner, 3);
	assert_false(lockbook_reclaim_wait(&f->s, &cursor, &t[0]));
}

static void what_does_not_fit_is_refused_and_giving_up_is_not(void **state)
{
	struct fixture *f = *state;
	uint64_t n, id;

	f->is_long = true;
	for (n = 0;; n++) {
		id = lock(f, 1, CSV_LOCK_WRITE, 4 * n, 4 * n + 2);
		if (f->out.item[0].kind == LOCKBOOK_DO_REPLY)
			break;
		answer(f, id, 0, 0);
	}
	expect_reply(f, 0, id, ENOLCK);
	assert_true(n >= LOCKBOOK_RANGES - 6);
	/* Each makes two of one. */
	for (n = 0; n < 8; n++) {
		id = unlock(f, 1, 4 * n + 1, 4 * n + 1);
		if (f->out.item[0].kind == LOCKBOOK_DO_REPLY)
			break;
		answer(f, id, 0, 0);
	}
	expect_reply(f, 0, id, ENOLCK);
	id = unlock(f, 1, 0, ALL);
	expect_unlock(f, 0, id, CSV_LOCK_NONE, 0, ALL);
	answer(f, id, 0, 0);
	have(f, 1, CSV_LOCK_READ, 0, 9);
	have(f, 100, CSV_LOCK_READ, 0, ALL);
	for (n = 0; n < LOCKBOOK_ASKS; n++)
		assert_int_not_equal(lockbook_new(&f->s, LOCKBOOK_LOCK,
						  &(struct lock_range){.handle = file, .end = 1},
						  true, NULL),
				     0);
	assert_int_equal(lock(f, 1, CSV_LOCK_READ, 0, 9), 0);
	id = unlock(f, 1, 0, ALL);
	expect_unlock(f, 0, id, CSV_LOCK_NONE, 0, ALL);
	/* Also when so many give up: a file that is closed. */
	while (lockbook_new(&f->s, LOCKBOOK_UNLOCK, &(struct lock_range){.handle = file, .end = 1},
			    false, NULL))
		;
	lockbook_closed(&f->s, &file, 100, &f->out);
	assert_int_equal(f->out.count, 1);
	expect_send(f, 0, f->out.item[0].id, CSV_OP_UNLOCK);
}

/* Each had room when it was asked for. */
static void what_comes_too_much_is_given_back(void **state)
{
	struct fixture *f = *state;
	static uint64_t id[LOCKBOOK_RANGES];
	size_t given = 0;

	f->is_long = true;
	for (size_t i = 0; i < LOCKBOOK_RANGES; i++)
		id[i] = lock(f, 200 + i, CSV_LOCK_READ, 0, 9);
	for (size_t i = 0; i < LOCKBOOK_RANGES; i++) {
		answer(f, id[i], 0, 0);
		if (f->out.count == 1) {
			expect_reply(f, 0, id[i], 0);
			given++;
			continue;
		}
		expect_reply(f, 0, id[i], ENOLCK);
		expect_unlock(f, 1, id[i], CSV_LOCK_NONE, 0, 9);
		answer(f, id[i], 0, 0);
		expect_nothing(f);
	}
	assert_int_equal(given, f->s.held.count);
	assert_true(given > LOCKBOOK_RANGES - 6 && given < LOCKBOOK_RANGES);
	f->is_long = false;
	check(f);
}

/* Many threads of one process: what ends at once does so in a loop. */
static void a_long_line_of_one_owner_ends_in_one_go(void **state)
{
	struct fixture *f = *state;
	uint64_t id = lock(f, 1, CSV_LOCK_WRITE, 0, 9);

	for (int i = 0; i < 8000; i++) {
		const struct lock_range l = {.handle = file, .owner.id = 1, .start = 20, .end = 29};
		uint64_t next = lockbook_new(&f->s, LOCKBOOK_UNLOCK, &l, false, &f->s);

		lockbook_go(&f->s, next, &f->out);
		assert_int_equal(f->out.count, 0);
	}
	answer(f, id, 0, 0);
	assert_int_equal(f->out.count, 8001);
	assert_int_equal(f->s.ops, 0);
}

/* ---- the process is over, and another one goes on */

struct kept {
	size_t held, owed;
	struct lock_range row[16];
};

static void keep(struct fixture *f, struct kept *k)
{
	uint32_t at = 0;

	*k = (struct kept){0};
	for (size_t i = 0; i < LOCKBOOK_RANGES; i++) {
		if (f->s.row[i].type)
			k->row[k->held++] = f->s.row[i];
	}
	while (lockbook_owed(&f->s, &at, &k->row[k->held + k->owed]))
		k->owed++;
}

static void restore(struct fixture *f, const struct kept *k, uint32_t life)
{
	lockbook_init(&f->s, MOUNT);
	lockbook_restore(&f->s, life, k->row, k->held);
}

static void resume(struct fixture *f, const struct kept *k)
{
	lockbook_resume(&f->s, k->row + k->held, k->owed, &f->out);
	check(f);
}

/* It has left the book, and was not asked for. */
static void what_was_to_be_given_up_is_given_up_by_the_next(void **state)
{
	struct fixture *f = *state;
	struct kept k;
	uint64_t old, id;

	have(f, 1, CSV_LOCK_WRITE, 0, 9);
	old = unlock(f, 1, 3, 5);
	keep(f, &k);
	assert_int_equal(k.held, 2);
	assert_int_equal(k.owed, 1);
	restore(f, &k, 2);
	resume(f, &k);
	assert_int_equal(f->out.count, 1);
	id = f->out.item[0].id;
	assert_int_not_equal(id, old);
	expect_unlock(f, 0, id, CSV_LOCK_NONE, 3, 5);
	/* Until it is done, it is owed. */
	keep(f, &k);
	assert_int_equal(k.owed, 1);
	answer(f, id, 0, 0);
	expect_nothing(f);
	keep(f, &k);
	assert_int_equal(k.owed, 0);
	assert_int_equal(f->s.ops, 0);
}

static void what_was_given_to_a_call_of_the_one_before_is_taken_back(void **state)
{
	struct fixture *f = *state;
	struct csv_request q;
	struct kept k;
	uint64_t id, left, owed;

	have(f, 1, CSV_LOCK_READ, 0, 4);
	id = begin(f, LOCKBOOK_LOCK, 1, CSV_LOCK_WRITE, 0, 9, false);
	q = expect_send(f, 0, id, CSV_OP_LOCK);
	keep(f, &k);
	restore(f, &k, 2);
	left = lockbook_left(&f->s, &q);
	assert_int_not_equal(left, 0);
	resume(f, &k);
	expect_nothing(f); /* what is owed comes after it */
	/* Both are owed, should this process end, too. */
	keep(f, &k);
	assert_int_equal(k.owed, 2);
	answer(f, left, 0, 0);
	expect_unlock(f, 0, left, CSV_LOCK_READ, 0, 4);
	answer(f, left, 0, 0);
	expect_unlock(f, 0, left, CSV_LOCK_NONE, 5, 9);
	answer(f, left, 0, 0);
	owed = f->out.item[0].id;
	expect_unlock(f, 0, owed, CSV_LOCK_READ, 0, 4);
	answer(f, owed, 0, 0);
	answer(f, owed, 0, 0);
	expect_nothing(f);
	assert_int_equal(f->s.ops, 0);
}

/* A piece of it was under way when the second one was over: the rest must not be forgotten. */
static void what_is_owed_outlives_two_processes(void **state)
{
	struct fixture *f = *state;
	struct lock_range low = {.handle = file, .owner.id = 1, .start = 3, .end = 3};
	struct lock_range all = {.handle = file, .owner.id = 1, .start = 2, .end = 7};
	const struct csv_request q = {.op = CSV_OP_UNLOCK,
				      .unlock = {.handle = file, .owner = 1, .start = 3, .end = 3}};
	struct kept k = {.owed = 2, .row = {low, all}};
	uint64_t left;

	for (uint32_t life = 2; life < 6; life++) {
		restore(f, &k, life);
		left = lockbook_left(&f->s, &q);
		resume(f, &k);
		expect_nothing(f);
		keep(f, &k);
		assert_int_equal(k.owed, 2); /* and does not become more */
	}
	answer(f, left, 0, 0);
	expect_unlock(f, 0, left, CSV_LOCK_NONE, 3, 3);
	answer(f, left, 0, 0);
	expect_unlock(f, 0, f->out.item[0].id, CSV_LOCK_NONE, 2, 7);
}

static void a_wait_of_the_one_before_is_taken_out_of_the_line(void **state)
{
	struct fixture *f = *state;
	struct csv_request q;
	struct kept k;
	uint64_t id, other, left;

	have(f, 2, CSV_LOCK_WRITE, 50, 59);
	id = lock(f, 1, CSV_LOCK_WRITE, 0, 9);
	q = expect_send(f, 0, id, CSV_OP_LOCK);
	assert_int_equal(q.lock.number, id);
	keep(f, &k);
	restore(f, &k, 2);
	/* The number is what the coordinator knows it by. */
	left = lockbook_left(&f->s, &q);
	assert_int_equal(left, id);
	assert_int_equal(lockbook_left(&f->s, &q), 0); /* that row is taken */
	resume(f, &k);
	other = lock(f, 3, CSV_LOCK_WRITE, 20, 29);
	assert_int_not_equal(other, id);
	lockbook_answer(&f->s, id, &(struct csv_reply){.kind = CSV_REPLY_COUNT, .count.count = 1},
			&f->out);
	check(f);
	assert_int_equal(expect_send(f, 0, id, CSV_OP_CANCEL_LOCK).cancel_lock.number, id);
	answer(f, id, 0, 0);
	assert_null(lockbook_find(&f->s, id));
}

static void ids_of_another_process_are_others(void **state)
{
	struct fixture *f = *state;
	uint64_t id[3];
	struct kept k;

	for (uint32_t life = 1; life <= 3; life++) {
		keep(f, &k);
		k.owed = 0;
		restore(f, &k, life);
		id[life - 1] = lock(f, 1, CSV_LOCK_WRITE, 0, 9);
	}
	assert_true(id[0] < id[1] && id[1] < id[2]);
	lockbook_granted(&f->s, id[0], &f->out);
	expect_nothing(f);
	answer(f, id[1], 0, 0);
	expect_nothing(f);
}

static void what_was_being_given_up_for_a_close_is_given_up_by_the_next(void **state)
{
	struct fixture *f = *state;
	struct kept k;
	uint64_t id;

	have(f, 1, CSV_LOCK_WRITE, 0, 9);
	id = lock(f, 1, CSV_LOCK_WRITE, 20, 29); /* its turn: the sweep waits for it */
	lockbook_closed(&f->s, &file, 1, &f->out);
	expect_nothing(f);
	keep(f, &k);
	assert_int_equal(k.row[0].via, UINT64_MAX);
	restore(f, &k, 2);
	assert_int_equal(f->s.row[0].via, 0);
	k.owed = 0;
	resume(f, &k);
	id = f->out.item[0].id;
	expect_unlock(f, 0, id, CSV_LOCK_NONE, 0, ALL);
	answer(f, id, 0, 0);
	assert_int_equal(f->s.held.count, 0);
}

/* Two threads of one open file: what it has got meanwhile is not forgotten when less is given. */
static void a_turn_for_less_keeps_what_flock_has_in_the_book(void **state)
{
	struct fixture *f = *state;
	uint64_t shared = lock(f, 100, CSV_LOCK_READ, 0, ALL);

	answer(f, shared, 0, 1);
	have(f, 100, CSV_LOCK_WRITE, 0, ALL);
	lockbook_granted(&f->s, shared, &f->out);
	expect_send(f, 0, shared, CSV_OP_LOCK);
	answer(f, shared, 0, 0);
	expect_unlock(f, 0, shared, CSV_LOCK_READ, 0, ALL);
	answer(f, shared, 0, 0);
	expect_reply(f, 0, shared, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lock_is_in_the_book_from_its_answer_to_the_asking_to_end_it),
		TEST(an_error_changes_nothing),
		TEST(less_is_asked_for_after_more),
		TEST(flock_has_nothing_while_it_asks_for_more),
		TEST(of_one_owner_one_thing_is_asked_at_a_time),
		TEST(a_turn_is_taken_by_asking_again),
		TEST(a_turn_may_come_before_the_answer),
		TEST(who_waits_lets_others_of_its_process_go_on),
		TEST(a_signal_takes_it_out_of_the_line),
		TEST(a_signal_before_its_beginning_does_not_keep_a_lock),
		TEST(what_was_given_to_nobody_is_taken_back_and_no_more),
		TEST(a_signal_at_the_very_beginning_is_not_lost),
		TEST(a_look_waits_for_nobody),
		TEST(the_end_of_an_open_file_gives_up_what_was_locked_through_it),
		TEST(who_waits_is_told_in_the_order_of_their_coming),
		TEST(what_does_not_fit_is_refused_and_giving_up_is_not),
		TEST(what_comes_too_much_is_given_back),
		TEST(a_long_line_of_one_owner_ends_in_one_go),
		TEST(what_was_to_be_given_up_is_given_up_by_the_next),
		TEST(what_was_given_to_a_call_of_the_one_before_is_taken_back),
		TEST(what_is_owed_outlives_two_processes),
		TEST(a_wait_of_the_one_before_is_taken_out_of_the_line),
		TEST(ids_of_another_process_are_others),
		TEST(what_was_being_given_up_for_a_close_is_given_up_by_the_next),
		TEST(a_turn_for_less_keeps_what_flock_has_in_the_book),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
