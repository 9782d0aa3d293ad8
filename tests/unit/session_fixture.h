/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of request sessions share: one coordinator, and short words for its events. */
#ifndef TESTS_UNIT_SESSION_FIXTURE_H
#define TESTS_UNIT_SESSION_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "csvfs/core/session.h"

#define TERM 7
#define CONN 10 /* of mount m: CONN * m + n */

static struct sess_state st;
static struct sess_actions out;

static inline int feed(struct sess_event e)
{
	int r = sess_step(&st, &e, &out);
	const char *wrong = sess_check(&st);

	if (wrong)
		fail_msg("after %s: %s", sess_event_name(e.type), wrong);
	return r;
}

#define EVENT(...) feed((struct sess_event){__VA_ARGS__})

static inline int say(enum sess_event_type type, uint64_t conn)
{
	return EVENT(.type = type, .conn = conn);
}

static inline int tell(enum sess_event_type type, uint64_t mount)
{
	return EVENT(.type = type, .mount = mount);
}

static inline int hello(uint64_t mount, uint64_t conn)
{
	return EVENT(.type = SESS_EV_HELLO, .mount = mount, .conn = conn, .term = TERM);
}

static inline int ask(uint64_t conn, uint16_t slot, uint64_t seq)
{
	return EVENT(.type = SESS_EV_REQUEST, .conn = conn, .slot = slot, .seq = seq);
}

static inline int resend(uint64_t conn, uint16_t slot, uint64_t seq)
{
	return EVENT(.type = SESS_EV_REQUEST, .conn = conn, .slot = slot, .seq = seq,
		     .is_resend = true);
}

static inline void record(uint64_t mount, uint16_t slot, uint64_t seq, bool is_done)
{
	assert_int_equal(EVENT(.type = SESS_EV_RECORD, .mount = mount, .slot = slot, .seq = seq,
			       .is_done = is_done),
			 0);
}

static inline void finished(uint64_t mount, uint16_t slot)
{
	assert_int_equal(EVENT(.type = SESS_EV_FINISHED, .mount = mount, .slot = slot), 0);
}

static inline int count(enum sess_action_kind kind)
{
	int n = 0;

	for (size_t i = 0; i < out.count; i++)
		n += out.item[i].kind == kind;
	return n;
}

static inline const struct sess_action *find(enum sess_action_kind kind, uint64_t mount,
					     uint16_t slot)
{
	for (size_t i = 0; i < out.count; i++) {
		const struct sess_action *a = &out.item[i];

		if (a->kind == kind && a->mount == mount && a->slot == slot)
			return a;
	}
	return NULL;
}

#define DID(NAME, mount, slot) assert_non_null(find(SESS_DO_##NAME, mount, slot))
#define DID_NOT(NAME)	       assert_int_equal(count(SESS_DO_##NAME), 0)
#define DID_NOTHING()	       assert_int_equal(out.count, 0)
#define ONLY(NAME)                                                                                 \
	do {                                                                                       \
		assert_int_equal(out.count, 1);                                                    \
		assert_int_equal(out.item[0].kind, SESS_DO_##NAME);                                \
	} while (0)

static inline int begun(void)
{
	return count(SESS_DO_EXECUTE) + count(SESS_DO_REDO) + count(SESS_DO_REPLAY);
}

static inline bool closed(uint64_t conn)
{
	for (size_t i = 0; i < out.count; i++) {
		if (out.item[i].kind == SESS_DO_CLOSE && out.item[i].conn == conn)
			return true;
	}
	return false;
}

/* Mounts 1 .. n are known, records are being read. */
static inline void loading(uint64_t n)
{
	sess_init(&st, TERM);
	for (uint64_t m = 1; m <= n; m++)
		assert_int_equal(tell(SESS_EV_MOUNT, m), 0);
}

static inline void loaded(uint64_t n)
{
	loading(n);
	assert_int_equal(say(SESS_EV_LOADED, 0), 0);
}

/* A mount says hello over its connection 0, and what it has open. */
static inline void reclaim(uint64_t m)
{
	assert_int_equal(hello(m, CONN * m), 0);
	assert_int_equal(say(SESS_EV_RECLAIM_DONE, CONN * m), 0);
}

static inline void return_of(uint64_t m)
{
	reclaim(m);
	assert_int_equal(say(SESS_EV_RESEND_DONE, CONN * m), 0);
}

/* Mounts 1 .. n are there, and nothing was under way. */
static inline void serving(uint64_t n)
{
	loaded(n);
	for (uint64_t m = 1; m <= n; m++)
		return_of(m);
	assert_int_equal(st.phase, SESS_SERVE);
}

#endif
