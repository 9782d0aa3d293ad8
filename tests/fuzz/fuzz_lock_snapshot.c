/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: a snapshot that lk_decode() accepts is a state without a broken invariant, encodes
 * to the same bytes, and can be worked with until nothing is left of it.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/lock_core.h"
#include "lib/must.h"
#include "tests/fuzz/fuzz.h"

static const struct lk_limits limits = {
	.max_sessions = 6,
	.max_resources = 5,
	.max_locks = 16,
	.max_queued = 8,
};

struct session_list {
	uint64_t id[8];
	size_t count;
};

static int take_session(void *arg, const struct lk_session_info *info)
{
	struct session_list *list = arg;

	must(list->count < MUST_ARRAY_SIZE(list->id));
	list->id[list->count++] = info->id;
	return 0;
}

static int take_lock(void *arg, const struct lk_lock_info *info)
{
	must(info->queue < LK_QUEUE_MAX);
	++*(uint32_t *)arg;
	return 0;
}

/* Every session dies and every lock is released: all queues are worked off. */
static void work_off(struct lk_state *st, struct lk_actions *out)
{
	struct session_list list = {.count = 0};
	uint32_t locks = 0;

	lk_each_session(st, take_session, &list);
	lk_each(st, take_lock, &locks);
	for (size_t i = 0; i < list.count; i++) {
		struct lk_event ev = {.type = LK_EV_ORPHAN, .session = list.id[i]};

		lk_step(st, &ev, out); /* refused if it is an orphan already */
		must(!lk_check(st));
		ev.type = LK_EV_RELEASE;
		lk_step(st, &ev, out); /* refused if it ended with its last lock */
		must(!lk_check(st));
	}
	list.count = 0;
	lk_each_session(st, take_session, &list);
	locks = 0;
	lk_each(st, take_lock, &locks);
	must(!list.count && !locks);
}

static void check(const uint8_t *data, size_t len, void *mem, size_t size, struct lk_actions *out)
{
	uint8_t again[4096];
	struct lk_state st;
	size_t again_len = 0;

	must(lk_encoded_max(&limits) <= sizeof(again));
	if (lk_decode(data, len, &limits, mem, size, &st))
		return;
	must(!lk_check(&st));
	must(!lk_encode(&st, again, sizeof(again), &again_len));
	must(again_len == len && !memcmp(again, data, len));
	work_off(&st, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t size = lk_state_size(&limits);
	struct lk_actions out = {.cap = lk_actions_max(&limits)};
	void *mem = calloc(1, size);

	out.items = calloc(out.cap, sizeof(*out.items));
	if (mem && out.items)
		check(data, len, mem, size, &out);
	free(mem);
	free(out.items);
	return 0;
}
