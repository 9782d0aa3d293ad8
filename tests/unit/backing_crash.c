/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/backing_crash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/must.h"

static uint8_t buf[CSV_FRAME_MAX];

static void see(void *arg, uint64_t mount, uint16_t slot, uint64_t seq, bool is_done)
{
	struct record *r = arg;

	if (mount == MOUNT && slot == 0)
		*r = (struct record){.seq = seq, .is_done = is_done};
}

/* What the disk says of the request, as csvfs/core/session.c takes it. */
static enum backing_mode mode_of(struct volume *v, const struct csv_request *q)
{
	struct record r = {0};

	assert_int_equal(backing_records(v->b, see, &r), 0);
	assert_true(r.seq <= q->seq);
	return r.seq < q->seq ? BACKING_NEW : r.is_done ? BACKING_REPLAY : BACKING_REDO;
}

static void recover(struct scene *s)
{
	volume_crash(s->v);
	if (s->a_is_open)
		backing_opens_add(s->v->b, 1, &s->a, 1);
}

static void assert_same_reply(const struct csv_reply *a, const struct csv_reply *b)
{
	uint8_t x[RECORD_BYTES], y[RECORD_BYTES];
	size_t n, m;

	assert_int_equal(csv_reply_encode(a, x, sizeof(x), &n), 0);
	assert_int_equal(csv_reply_encode(b, y, sizeof(y), &m), 0);
	assert_int_equal(n, m);
	assert_memory_equal(x, y, n);
}

/* What the disk must say when all was written, or all that was forced. */
static void assert_mode(enum backing_mode mode, enum change_step step, bool is_written,
			const struct act *act)
{
	if (step == CHANGE_FORCE || (step == CHANGE_DONE && is_written))
		assert_int_equal(mode, BACKING_REPLAY);
	else if (is_written && !act->has_no_intent)
		assert_int_equal(mode, BACKING_REDO);
}

static void crash_once(struct volume *v, const struct act *act, enum change_step step,
		       bool is_written)
{
	static int number;
	struct scene s = {.v = v};
	struct csv_request q;
	struct csv_reply first, again;
	enum backing_mode mode;

	snprintf(s.name, sizeof(s.name), "%d", ++number);
	s.dir = dir_at(v, v->root, s.name);
	act->prepare(&s);
	q = act->request(&s);
	q.seq = ++v->seq[MOUNT][0];
	backing_stop_after(v->b, step);
	assert_int_equal(backing_execute(v->b, MOUNT, &q, BACKING_NEW, &first, buf), -EIO);
	assert_int_equal(backing_execute(v->b, MOUNT, &q, BACKING_NEW, &first, buf), -EIO);
	if (act->spoil && step == CHANGE_STEP_MAX)
		act->spoil(&s);
	if (is_written)
		volume_sync(v);
	recover(&s);
	mode = mode_of(v, &q);
	assert_mode(mode, step, is_written, act);
	assert_int_equal(backing_execute(v->b, MOUNT, &q, mode, &first, buf), 0);
	assert_int_equal(first.error, act->error);
	act->check(&s, &first);
	recover(&s);
	assert_int_equal(mode_of(v, &q), BACKING_REPLAY);
	assert_int_equal(backing_execute(v->b, MOUNT, &q, BACKING_REPLAY, &again, buf), 0);
	assert_same_reply(&first, &again);
	assert_int_equal(backing_reap(v->b), 0);
	s.is_recovered = true;
	act->check(&s, &again);
	if (s.a_is_open)
		ok(v, ask_release(s.a));
}

void survives(struct volume *v, const struct act *act)
{
	static const enum change_step steps[] = {CHANGE_INTENT, CHANGE_DO, CHANGE_DONE,
						 CHANGE_FORCE, CHANGE_STEP_MAX};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(steps); i++) {
		if (act->has_no_intent && (steps[i] == CHANGE_INTENT || steps[i] == CHANGE_DO))
			continue;
		if (!act->has_middle && steps[i] == CHANGE_STEP_MAX)
			continue;
		crash_once(v, act, steps[i], false);
		crash_once(v, act, steps[i], true);
	}
	volume_check(v);
}

/* ---- what is there before */

void nothing(struct scene *s)
{
	(void)s;
}

void a_file(struct scene *s)
{
	s->a = file_with(s->v, s->dir, "a", "abc");
}

void two_files(struct scene *s)
{
	a_file(s);
	s->b = file_with(s->v, s->dir, "b", "xyz");
}

void an_open_file(struct scene *s)
{
	a_file(s);
	ok(s->v, ask_open(s->a, O_RDWR));
	s->a_is_open = true;
}

void an_open_file_and_another(struct scene *s)
{
	an_open_file(s);
	s->b = file_with(s->v, s->dir, "b", "xyz");
}

void a_directory(struct scene *s)
{
	s->a = dir_at(s->v, s->dir, "a");
}

void a_directory_with_a_file(struct scene *s)
{
	a_directory(s);
	file_with(s->v, s->a, "in", "");
}

void two_names(struct scene *s)
{
	a_file(s);
	ok(s->v, ask_link(s->a, s->dir, "b"));
}

void four_blocks(struct scene *s)
{
	uint8_t block[BLOCK];

	s->a = file_with(s->v, s->dir, "a", "");
	s->b = file_with(s->v, s->dir, "b", "");
	for (uint64_t i = 0; i < 4; i++) {
		memset(block, (int)('A' + i), sizeof(block));
		ok(s->v, ask_write(s->a, i * BLOCK, 0, block, sizeof(block)));
	}
}

void a_file_with_an_attribute(struct scene *s)
{
	a_file(s);
	ok(s->v, ask_setxattr(s->a, "user.x", 0, "old", 3));
}

void a_privileged_file(struct scene *s)
{
	struct csv_request q;

	a_file(s);
	q = ask_setattr(s->a, CSV_SET_MODE);
	q.setattr.mode = 06777;
	ok(s->v, q);
}

/* ---- how it is looked at */

void assert_gone(struct scene *s, const char *name)
{
	assert_int_equal(err(s->v, ask_lookup(s->dir, name)), ENOENT);
}

void assert_at(struct scene *s, const char *name, struct csv_handle h)
{
	assert_same(handle_at(s->v, s->dir, name), h);
}

/* The first byte of each block, '.' for zero. */
void assert_blocks(struct scene *s, struct csv_handle h, const char *letters)
{
	assert_int_equal(attr_of(s->v, h).size, strlen(letters) * BLOCK);
	for (size_t i = 0; letters[i]; i++) {
		struct csv_reply p = ok(s->v, ask_read(h, i * BLOCK, 1));

		assert_int_equal(p.bytes.data.data[0] ? p.bytes.data.data[0] : '.', letters[i]);
	}
}
