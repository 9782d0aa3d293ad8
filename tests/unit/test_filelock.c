/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File locks at the coordinator: random operations give what an array of bytes gives; and who
 * waits, who is next, what closes a circle, what a new coordinator gives.
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

#include "csvfs/core/filelock.h"
#include "lib/must.h"
#include "lib/prng.h"

#define BYTES  24
#define OWNERS 4
#define FILES  2
#define ROUNDS 20
#define STEPS  3000
#define ALL    CSV_LOCK_END_MAX

enum { M1 = 11, M2, M3 };

struct fixture {
	struct filelock_state s;
	struct filelock_actions out;
	uint64_t number;
};

static void step(struct fixture *f, const struct filelock_event *e, int expected)
{
	assert_int_equal(filelock_step(&f->s, e, &f->out), expected);
	assert_null(filelock_check(&f->s));
}

static int setup_closed(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	must(f);
	filelock_init(&f->s);
	for (uint64_t m = M1; m <= M3; m++)
		step(f,
		     &(struct filelock_event){
			     .type = FILELOCK_EV_CHANNEL, .mount = m, .conn = m + 100},
		     0);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	setup_closed(state);
	step(*state, &(struct filelock_event){.type = FILELOCK_EV_OPEN}, 0);
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

/* Owner `id` is one of mount M1 + id % 3. */
static struct lock_range range(uint64_t id, uint8_t kind, uint8_t type, uint64_t start,
			       uint64_t end)
{
	return (struct lock_range){.handle = {.ino = 7, .gen = 1},
				   .owner = {.mount = M1 + id % 3, .id = id, .kind = kind},
				   .type = type,
				   .start = start,
				   .end = end};
}

static int lock(struct fixture *f, const struct lock_range *l, uint64_t number)
{
	const struct filelock_event e = {.type = FILELOCK_EV_LOCK, .range = *l, .number = number};
	int r = filelock_step(&f->s, &e, &f->out);
	const char *wrong = filelock_check(&f->s);

	if (wrong)
		fail_msg("%s", wrong);
	return r;
}

static void lower(struct fixture *f, const struct lock_range *l)
{
	step(f, &(struct filelock_event){.type = FILELOCK_EV_UNLOCK, .range = *l}, 0);
}

/* Short forms: POSIX, whole words. */
static int try(struct fixture *f, uint64_t id, uint8_t type, uint64_t start, uint64_t end)
{
	struct lock_range l = range(id, CSV_LOCK_POSIX, type, start, end);

	return lock(f, &l, 0);
}

/* Its number is its id: one wait of each. */
static int wait_for(struct fixture *f, uint64_t id, uint8_t type, uint64_t start, uint64_t end)
{
	struct lock_range l = range(id, CSV_LOCK_POSIX, type, start, end);

	return lock(f, &l, id);
}

static void give_up(struct fixture *f, uint64_t id, uint64_t start, uint64_t end)
{
	struct lock_range l = range(id, CSV_LOCK_POSIX, CSV_LOCK_NONE, start, end);

	lower(f, &l);
}

static void cancel(struct fixture *f, uint64_t id)
{
	step(f,
	     &(struct filelock_event){.type = FILELOCK_EV_CANCEL,
				      .mount = M1 + id % 3,
				      .range.handle = {.ino = 7, .gen = 1},
				      .number = id},
	     0);
}

/* The turns that were told by the last step are those of these, in this order; 0 ends. */
static void expect_turns(const struct fixture *f, uint64_t a, uint64_t b)
{
	const uint64_t want[] = {a, b};
	size_t n = !a ? 0 : !b ? 1 : 2;

	assert_int_equal(f->out.count, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(f->out.item[i].number, want[i]);
		assert_int_equal(f->out.item[i].conn, M1 + want[i] % 3 + 100);
	}
}

/* ---- against an array of bytes */

struct model {
	uint8_t at[FILES][OWNERS][2][BYTES];
};

static void check_model(const struct fixture *f, const struct model *m)
{
	for (size_t n = 0; n < (size_t)FILES * OWNERS * 2 * BYTES; n++) {
		size_t byte = n % BYTES, kind = n / BYTES % 2, owner = n / BYTES / 2 % OWNERS;
		struct lock_range l = range(owner, (uint8_t)kind, 0, byte, byte);

		l.handle.ino += n / BYTES / 2 / OWNERS;
		assert_int_equal(lockrange_strongest(&f->s.held, &l),
				 m->at[n / BYTES / 2 / OWNERS][owner][kind][byte]);
		assert_int_equal(lockrange_weakest(&f->s.held, &l),
				 lockrange_strongest(&f->s.held, &l));
	}
}

static bool is_free(const struct model *m, size_t file, const struct lock_range *l)
{
	for (uint64_t o = 0; o < OWNERS; o++) {
		for (uint64_t b = l->start; b <= l->end; b++) {
			uint8_t has = m->at[file][o][l->owner.kind][b];

			if (o != l->owner.id && has &&
			    (has == CSV_LOCK_WRITE || l->type == CSV_LOCK_WRITE))
				return false;
		}
	}
	return true;
}

static void model_step(struct fixture *f, struct model *m, struct prng *p)
{
	uint64_t owner = prng_below(p, OWNERS), file = prng_below(p, FILES);
	uint8_t kind = prng_chance(p, 1, 4), type = (uint8_t)prng_below(p, 3);
	uint64_t start = kind ? 0 : prng_below(p, BYTES);
	struct lock_range l =
		range(owner, kind, type, start, kind ? BYTES - 1 : prng_range(p, start, BYTES - 1));
	bool raises = type == CSV_LOCK_WRITE || (type == CSV_LOCK_READ && prng_chance(p, 1, 2));
	uint8_t *at = m->at[file][owner][kind];

	l.handle.ino += file;
	if (raises) {
		bool has_it = lockrange_weakest(&f->s.held, &l) >= type;
		bool is_free_now = is_free(m, file, &l);

		/* From shared to exclusive flock gives up first: also if it then fails. */
		if (kind && !has_it)
			memset(at, 0, BYTES);
		assert_int_equal(lock(f, &l, 0), has_it || is_free_now ? 0 : -EAGAIN);
		if (!has_it && !is_free_now)
			return;
	} else {
		lower(f, &l);
	}
	for (uint64_t b = l.start; b <= l.end; b++) {
		if (raises ? at[b] < type : at[b] > type)
			at[b] = type;
	}
}

static void random_operations_give_what_an_array_gives(void **state)
{
	struct fixture *f = *state;
	struct prng p;

	for (uint64_t round = 0; round < ROUNDS; round++) {
		struct model m = {0};

		prng_init(&p, round);
		filelock_init(&f->s);
		step(f, &(struct filelock_event){.type = FILELOCK_EV_OPEN}, 0);
		for (int i = 0; i < STEPS; i++) {
			model_step(f, &m, &p);
			assert_null(filelock_check(&f->s));
			if (i % 16 == 0)
				check_model(f, &m);
		}
		check_model(f, &m);
		for (uint64_t mount = M1; mount <= M3; mount++)
			step(f, &(struct filelock_event){.type = FILELOCK_EV_GONE, .mount = mount},
			     0);
		assert_int_equal(f->s.held.count, 0);
	}
}

/* ---- what is in the way */

static void the_first_that_keeps_it_out_is_told(void **state)
{
	struct fixture *f = *state;
	struct lock_range l = range(3, CSV_LOCK_POSIX, CSV_LOCK_READ, 0, ALL);

	assert_int_equal(try(f, 1, CSV_LOCK_READ, 0, 4), 0);
	assert_int_equal(try(f, 2, CSV_LOCK_WRITE, 20, 29), 0);
	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 10, 14), 0);
	assert_int_equal(filelock_first_against(&f->s, &l)->start, 10);
	l.type = CSV_LOCK_WRITE;
	assert_int_equal(filelock_first_against(&f->s, &l)->start, 0);
	l.start = 15;
	l.end = 19;
	assert_null(filelock_first_against(&f->s, &l));
	/* A range that was promised counts as one that is had. */
	assert_int_equal(wait_for(f, 5, CSV_LOCK_WRITE, 20, 29), FILELOCK_QUEUED);
	give_up(f, 2, 20, 29);
	expect_turns(f, 5, 0);
	l.end = ALL;
	assert_int_equal(filelock_first_against(&f->s, &l)->owner.id, 5);
	assert_int_equal(try(f, 3, CSV_LOCK_READ, 25, 25), -EAGAIN);
}

static void what_is_lowered_stays_whose_it_was(void **state)
{
	struct fixture *f = *state;
	struct lock_range l = range(1, CSV_LOCK_POSIX, CSV_LOCK_WRITE, 0, 9);

	l.pid = 4711;
	l.via = 5;
	assert_int_equal(lock(f, &l, 0), 0);
	l.pid = 0;
	l.via = 0;
	l.type = CSV_LOCK_READ;
	lower(f, &l);
	assert_int_equal(lockrange_first(&f->s.held, &l)->pid, 4711);
	assert_int_equal(lockrange_first(&f->s.held, &l)->via, 5);
	assert_int_equal(lockrange_first(&f->s.held, &l)->type, CSV_LOCK_READ);
}

static void bad_ranges_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try(f, 1, CSV_LOCK_READ, 5, 4), -EINVAL);
	assert_int_equal(try(f, 1, CSV_LOCK_READ, 5, ALL + 1), -EINVAL);
	assert_int_equal(try(f, 1, CSV_LOCK_NONE, 5, 6), -EINVAL);
	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, ALL, ALL), 0);
}

/* ---- waiting */

static void turns_come_in_the_order_of_the_asking(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 0, ALL), 0);
	for (uint64_t id = 2; id <= 6; id++)
		assert_int_equal(wait_for(f, id, CSV_LOCK_WRITE, 0, 9), FILELOCK_QUEUED);
	cancel(f, 4);
	give_up(f, 1, 0, ALL);
	for (uint64_t id = 2; id <= 6; id++) {
		if (id == 4)
			continue;
		expect_turns(f, id, 0);
		assert_int_equal(try(f, 9, CSV_LOCK_WRITE, 0, 0), -EAGAIN);
		assert_int_equal(wait_for(f, id, CSV_LOCK_WRITE, 0, 9), 0);
		give_up(f, id, 0, 9);
	}
	expect_turns(f, 0, 0);
	assert_int_equal(f->s.waits, 0);
	assert_int_equal(f->s.held.count, 0);
}

static void readers_get_their_turn_together(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 0, 9), 0);
	assert_int_equal(wait_for(f, 2, CSV_LOCK_READ, 0, 9), FILELOCK_QUEUED);
	assert_int_equal(wait_for(f, 3, CSV_LOCK_READ, 5, 5), FILELOCK_QUEUED);
	assert_int_equal(wait_for(f, 4, CSV_LOCK_WRITE, 9, 9), FILELOCK_QUEUED);
	give_up(f, 1, 0, 9);
	expect_turns(f, 2, 3);
}

static void a_part_that_is_given_up_is_enough(void **state)
{
	struct fixture *f = *state;
	struct lock_range l = range(1, CSV_LOCK_POSIX, CSV_LOCK_READ, 0, 9);

	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 0, 99), 0);
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 40, 49), FILELOCK_QUEUED);
	assert_int_equal(wait_for(f, 3, CSV_LOCK_READ, 0, 5), FILELOCK_QUEUED);
	give_up(f, 1, 40, 48);
	expect_turns(f, 0, 0);
	give_up(f, 1, 49, 49);
	expect_turns(f, 2, 0);
	lower(f, &l);
	expect_turns(f, 3, 0);
}

static void a_turn_that_nobody_wants_goes_to_the_next(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try(f, 1, CSV_LOCK_READ, 0, 9), 0);
	assert_int_equal(try(f, 2, CSV_LOCK_READ, 0, 9), 0);
	/* An upgrade that is not taken leaves what was there. */
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 0, 9), FILELOCK_QUEUED);
	assert_int_equal(wait_for(f, 3, CSV_LOCK_WRITE, 0, 9), FILELOCK_QUEUED);
	give_up(f, 1, 0, 9);
	expect_turns(f, 2, 0);
	cancel(f, 2);
	expect_turns(f, 0, 0);
	assert_int_equal(try(f, 4, CSV_LOCK_READ, 0, 9), 0);
	give_up(f, 2, 0, 9);
	give_up(f, 4, 0, 9);
	expect_turns(f, 3, 0);
	cancel(f, 3);
	cancel(f, 3);
	assert_int_equal(f->s.held.count + f->s.waits, 0);
}

static void a_turn_is_told_again_on_a_new_line(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 0, 9), 0);
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 0, 9), FILELOCK_QUEUED);
	step(f, &(struct filelock_event){.type = FILELOCK_EV_LOST, .conn = M3 + 100}, 0);
	give_up(f, 1, 0, 9);
	expect_turns(f, 0, 0);
	for (uint64_t conn = 500; conn < 502; conn++) {
		step(f,
		     &(struct filelock_event){
			     .type = FILELOCK_EV_CHANNEL, .mount = M3, .conn = conn},
		     0);
		assert_int_equal(f->out.count, 1);
		assert_int_equal(f->out.item[0].conn, conn);
		assert_int_equal(f->out.item[0].number, 2);
	}
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 0, 9), 0);
	step(f, &(struct filelock_event){.type = FILELOCK_EV_CHANNEL, .mount = M3, .conn = 502}, 0);
	assert_int_equal(f->out.count, 0);
}

/* A script that locks for reading again what its parent has must not hang. */
static void who_can_be_served_passes_who_cannot_but_not_for_ever(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	assert_int_equal(try(f, 1, CSV_LOCK_READ, 0, 9), 0);
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 0, 9), FILELOCK_QUEUED);
	for (id = 100; id < 100 + FILELOCK_PASSES; id++)
		assert_int_equal(wait_for(f, id, CSV_LOCK_READ, 0, 9), 0);
	assert_int_equal(wait_for(f, id, CSV_LOCK_READ, 0, 9), FILELOCK_QUEUED);
	/* Elsewhere in the file nobody is in the way; and F_SETLK goes by what is had. */
	assert_int_equal(wait_for(f, id + 1, CSV_LOCK_READ, 10, 19), 0);
	assert_int_equal(try(f, id + 1, CSV_LOCK_READ, 0, 9), 0);
	/* Whom the one in front waits for does not go behind it. */
	assert_int_equal(wait_for(f, 1, CSV_LOCK_READ, 0, 19), 0);
	give_up(f, 1, 0, 19);
	give_up(f, id + 1, 0, 19);
	for (uint64_t i = 100; i < id; i++) {
		expect_turns(f, 0, 0);
		give_up(f, i, 0, 9);
	}
	expect_turns(f, 2, 0);
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 0, 9), 0);
	give_up(f, 2, 0, 9);
	expect_turns(f, id, 0);
}

static void nobody_goes_behind_one_who_waits_for_him(void **state)
{
	struct fixture *f = *state;

	/* 1 has 50, which 2 wants; 2 has 0 to 9, which 3 wants and has been passed for. */
	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 50, 50), 0);
	assert_int_equal(try(f, 2, CSV_LOCK_READ, 0, 9), 0);
	assert_int_equal(wait_for(f, 3, CSV_LOCK_WRITE, 0, 9), FILELOCK_QUEUED);
	for (uint64_t id = 100; id < 100 + FILELOCK_PASSES; id++) {
		assert_int_equal(wait_for(f, id, CSV_LOCK_READ, 0, 9), 0);
		give_up(f, id, 0, 9);
	}
	assert_int_equal(wait_for(f, 4, CSV_LOCK_READ, 0, 9), FILELOCK_QUEUED);
	cancel(f, 4);
	/* Not yet: 3 does not depend on 4. When 4 has what 2 wants, it does. */
	assert_int_equal(try(f, 4, CSV_LOCK_WRITE, 60, 60), 0);
	assert_int_equal(wait_for(f, 4, CSV_LOCK_READ, 0, 9), FILELOCK_QUEUED);
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 60, 60), FILELOCK_QUEUED);
	expect_turns(f, 4, 0);
}

static void a_circle_of_waits_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 1, 1), 0);
	assert_int_equal(try(f, 2, CSV_LOCK_READ, 2, 2), 0);
	assert_int_equal(try(f, 3, CSV_LOCK_WRITE, 3, 3), 0);
	assert_int_equal(wait_for(f, 1, CSV_LOCK_WRITE, 2, 2), FILELOCK_QUEUED);
	assert_int_equal(wait_for(f, 2, CSV_LOCK_READ, 3, 3), FILELOCK_QUEUED);
	assert_int_equal(wait_for(f, 3, CSV_LOCK_WRITE, 0, 1), -EDEADLK);
	assert_int_equal(try(f, 3, CSV_LOCK_WRITE, 0, 1), -EAGAIN);
	assert_int_equal(f->s.waits, 2);
	/* Through one of several that have it. */
	assert_int_equal(try(f, 4, CSV_LOCK_READ, 2, 2), 0);
	assert_int_equal(wait_for(f, 4, CSV_LOCK_READ, 1, 1), -EDEADLK);
	/* Two who read and want to write. */
	assert_int_equal(try(f, 5, CSV_LOCK_READ, 50, 59), 0);
	assert_int_equal(try(f, 6, CSV_LOCK_READ, 50, 59), 0);
	assert_int_equal(wait_for(f, 5, CSV_LOCK_WRITE, 55, 55), FILELOCK_QUEUED);
	assert_int_equal(wait_for(f, 6, CSV_LOCK_WRITE, 55, 55), -EDEADLK);
	/* Who has given up waiting closes no circle. */
	cancel(f, 1);
	give_up(f, 4, 0, 9);
	assert_int_equal(wait_for(f, 3, CSV_LOCK_WRITE, 0, 1), FILELOCK_QUEUED);
}

/* By a lock that another thread of a process gets, while one of it waits. */
static void a_circle_that_closes_later_is_refused_then(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 1, 1), 0);
	assert_int_equal(try(f, 3, CSV_LOCK_READ, 50, 59), 0);
	assert_int_equal(wait_for(f, 1, CSV_LOCK_WRITE, 55, 55), FILELOCK_QUEUED);
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 1, 1), FILELOCK_QUEUED);
	assert_int_equal(try(f, 2, CSV_LOCK_READ, 55, 55), 0);
	expect_turns(f, 2, 0); /* it is to ask again */
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 1, 1), -EDEADLK);
	/* If the circle is gone by then, it waits as before. */
	give_up(f, 2, 55, 55);
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 1, 1), FILELOCK_QUEUED);
	assert_int_equal(try(f, 2, CSV_LOCK_READ, 55, 55), 0);
	give_up(f, 2, 55, 55);
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 1, 1), FILELOCK_QUEUED);
	give_up(f, 1, 1, 1);
	expect_turns(f, 2, 0);
}

static void flock_gives_up_before_it_gets_more(void **state)
{
	struct fixture *f = *state;
	struct lock_range a = range(1, CSV_LOCK_FLOCK, CSV_LOCK_READ, 0, ALL);
	struct lock_range b = range(2, CSV_LOCK_FLOCK, CSV_LOCK_READ, 0, ALL);
	struct lock_range posix = range(3, CSV_LOCK_POSIX, CSV_LOCK_WRITE, 0, ALL);

	assert_int_equal(lock(f, &a, 0), 0);
	assert_int_equal(lock(f, &b, 0), 0);
	assert_int_equal(lock(f, &posix, 0), 0); /* another family */
	a.type = b.type = CSV_LOCK_WRITE;
	assert_int_equal(lock(f, &a, 1), FILELOCK_QUEUED);
	/* No circle: the second one's shared lock is gone when it asks. */
	assert_int_equal(lock(f, &b, 2), FILELOCK_QUEUED);
	expect_turns(f, 1, 0);
	assert_int_equal(lock(f, &a, 1), 0);
	/* With LOCK_NB the shared one is lost, too. */
	a.type = CSV_LOCK_NONE;
	lower(f, &a);
	expect_turns(f, 2, 0);
	cancel(f, 2);
	a.type = b.type = CSV_LOCK_READ;
	assert_int_equal(lock(f, &a, 0), 0);
	assert_int_equal(lock(f, &b, 0), 0);
	b.type = CSV_LOCK_WRITE;
	assert_int_equal(lock(f, &b, 0), -EAGAIN);
	assert_int_equal(lockrange_strongest(&f->s.held, &b), CSV_LOCK_NONE);
	a.type = CSV_LOCK_WRITE;
	assert_int_equal(lock(f, &a, 0), 0);
}

/* ---- mounts */

static void a_mount_that_has_ended_has_nothing_and_waits_for_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 0, 9), 0); /* M2 */
	assert_int_equal(try(f, 2, CSV_LOCK_WRITE, 10, 19), 0);
	assert_int_equal(wait_for(f, 4, CSV_LOCK_WRITE, 10, 19), FILELOCK_QUEUED); /* M2 */
	assert_int_equal(wait_for(f, 3, CSV_LOCK_WRITE, 0, 19), FILELOCK_QUEUED);
	step(f, &(struct filelock_event){.type = FILELOCK_EV_GONE, .mount = M2}, 0);
	assert_int_equal(f->s.waits, 1);
	give_up(f, 2, 10, 19);
	expect_turns(f, 3, 0);
	step(f, &(struct filelock_event){.type = FILELOCK_EV_GONE, .mount = M1}, 0);
	assert_int_equal(f->s.held.count + f->s.waits, 0);
	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 0, ALL), 0);
}

static void reclaim(struct fixture *f, uint64_t id, uint8_t type, uint64_t start, uint64_t end,
		    uint64_t number, int expected)
{
	step(f,
	     &(struct filelock_event){.type = number ? FILELOCK_EV_RECLAIM_WAIT
						     : FILELOCK_EV_RECLAIM,
				      .range = range(id, CSV_LOCK_POSIX, type, start, end),
				      .number = number},
	     expected);
}

static void nothing_is_given_before_all_have_told_what_they_have(void **state)
{
	struct fixture *f = *state;

	reclaim(f, 2, CSV_LOCK_WRITE, 20, 29, 2, 0);
	reclaim(f, 4, CSV_LOCK_WRITE, 0, 9, 4, 0);
	reclaim(f, 7, CSV_LOCK_WRITE, 0, 9, 7, 0);
	expect_turns(f, 0, 0);
	reclaim(f, 1, CSV_LOCK_READ, 0, 5, 0, 0);
	reclaim(f, 3, CSV_LOCK_READ, 3, 9, 0, 0);
	reclaim(f, 3, CSV_LOCK_WRITE, 2, 2, 0, -EPROTO);
	reclaim(f, 3, CSV_LOCK_NONE, 2, 2, 0, -EINVAL);
	step(f, &(struct filelock_event){.type = FILELOCK_EV_OPEN}, 0);
	expect_turns(f, 2, 0);
	/* What it had told before its connection broke is told anew. */
	step(f, &(struct filelock_event){.type = FILELOCK_EV_RESET, .mount = M1}, 0);
	assert_int_equal(try(f, 3, CSV_LOCK_READ, 3, 9), 0);
	give_up(f, 1, 0, 9);
	give_up(f, 3, 0, 9);
	expect_turns(f, 4, 0);
}

static void what_does_not_fit_is_enolck(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 0;
	int r = 0;

	/* Of one mount; the others still get some. (Owner 3 is of M1.) */
	while (n <= FILELOCK_MOUNT_RANGES && !r) {
		const struct filelock_event e = {
			.type = FILELOCK_EV_LOCK,
			.range = range(3, CSV_LOCK_POSIX, CSV_LOCK_WRITE, 2 * n, 2 * n)};

		r = filelock_step(&f->s, &e, &f->out);
		n += !r;
	}
	assert_int_equal(r, -ENOLCK);
	assert_true(n >= FILELOCK_MOUNT_RANGES - 3);
	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 1, 1), 0);
	/* To give up is possible, also what has to be split for it. */
	lower(f, &(struct lock_range){.handle = {.ino = 7, .gen = 1},
				      .owner = {.mount = M1, .id = 3},
				      .start = 0,
				      .end = ALL});
	assert_int_equal(try(f, 3, CSV_LOCK_WRITE, 1000, 2000), 0);
	for (n = 0; n < FILELOCK_WAITS; n++) {
		const struct filelock_event e = {
			.type = FILELOCK_EV_LOCK,
			.range = range(10 + n, CSV_LOCK_POSIX, CSV_LOCK_WRITE, 1000, 1000),
			.number = 10 + n};

		assert_int_equal(filelock_step(&f->s, &e, &f->out), FILELOCK_QUEUED);
	}
	assert_int_equal(wait_for(f, 5, CSV_LOCK_WRITE, 1000, 1000), -ENOLCK);
	assert_int_equal(try(f, 5, CSV_LOCK_WRITE, 0, 0), 0);
	cancel(f, 10);
	assert_int_equal(wait_for(f, 5, CSV_LOCK_WRITE, 1000, 1000), FILELOCK_QUEUED);
}

static void events_have_names(void **state)
{
	(void)state;
	assert_string_equal(filelock_event_name(FILELOCK_EV_RECLAIM_WAIT), "RECLAIM_WAIT");
	assert_string_equal(filelock_event_name(FILELOCK_EV_MAX), "?");
}

/* Its locks stay, and nobody there waits or has a turn any more. */
static void another_process_of_a_mount_has_its_locks_and_no_waits(void **state)
{
	struct fixture *f = *state;
	const struct filelock_event replaced = {.type = FILELOCK_EV_REPLACED, .mount = M1};

	/* 3 and 6 are of M1, 1 of M2, 2 of M3. */
	assert_int_equal(try(f, 3, CSV_LOCK_WRITE, 0, 9), 0);
	assert_int_equal(try(f, 1, CSV_LOCK_WRITE, 20, 29), 0);
	assert_int_equal(wait_for(f, 6, CSV_LOCK_WRITE, 20, 29), FILELOCK_QUEUED);
	assert_int_equal(wait_for(f, 2, CSV_LOCK_WRITE, 20, 29), FILELOCK_QUEUED);
	/* 6 has its turn, which 2 waits for. */
	step(f,
	     &(struct filelock_event){.type = FILELOCK_EV_UNLOCK,
				      .range = range(1, CSV_LOCK_POSIX, CSV_LOCK_NONE, 0, ALL)},
	     0);
	assert_int_equal(f->out.count, 1);
	assert_int_equal(f->out.item[0].number, 6);
	step(f, &replaced, 0);
	assert_int_equal(f->out.count, 1);
	assert_int_equal(f->out.item[0].number, 2);
	assert_int_equal(f->s.waits, 1);
	assert_int_equal(try(f, 1, CSV_LOCK_READ, 0, 0), -EAGAIN);
	/* It asks again, with a number that was used before. */
	assert_int_equal(wait_for(f, 6, CSV_LOCK_WRITE, 20, 29), FILELOCK_QUEUED);
	step(f, &replaced, 0);
	assert_int_equal(f->s.waits, 1);
}

#define OPEN(test)   cmocka_unit_test_setup_teardown(test, setup, teardown)
#define CLOSED(test) cmocka_unit_test_setup_teardown(test, setup_closed, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OPEN(random_operations_give_what_an_array_gives),
		OPEN(the_first_that_keeps_it_out_is_told),
		OPEN(what_is_lowered_stays_whose_it_was),
		OPEN(bad_ranges_are_refused),
		OPEN(turns_come_in_the_order_of_the_asking),
		OPEN(readers_get_their_turn_together),
		OPEN(a_part_that_is_given_up_is_enough),
		OPEN(a_turn_that_nobody_wants_goes_to_the_next),
		OPEN(a_turn_is_told_again_on_a_new_line),
		OPEN(who_can_be_served_passes_who_cannot_but_not_for_ever),
		OPEN(nobody_goes_behind_one_who_waits_for_him),
		OPEN(a_circle_of_waits_is_refused),
		OPEN(a_circle_that_closes_later_is_refused_then),
		OPEN(flock_gives_up_before_it_gets_more),
		OPEN(a_mount_that_has_ended_has_nothing_and_waits_for_nothing),
		OPEN(another_process_of_a_mount_has_its_locks_and_no_waits),
		CLOSED(nothing_is_given_before_all_have_told_what_they_have),
		OPEN(what_does_not_fit_is_enolck),
		OPEN(events_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
