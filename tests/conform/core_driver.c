/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/conform/core_driver.h"

#include <errno.h>
#include <poll.h>
#include <qb/qbdefs.h>
#include <qb/qbloop.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/must.h"

#define SESSIONS_MAX 4
#define PENDING_MAX  256

struct core_session {
	struct lockspace base;
	struct lockspace_params params;
	struct lockspace_event events[PENDING_MAX]; /* on their way: a turn of the loop later */
	uint32_t count;
	int wake_fd; /* and not a job of the loop, which may wait for 50 ms */
};

static struct {
	struct lk_state st;
	struct lk_actions out;
	void *mem;
	struct core_session *sessions[SESSIONS_MAX];
} core;

static const struct lk_limits limits = {
	.max_sessions = 16, .max_resources = 64, .max_locks = 256, .max_queued = 64};

static void core_init(void)
{
	size_t size = lk_state_size(&limits);

	if (core.mem)
		return;
	core.mem = calloc(1, size);
	core.out.cap = lk_actions_max(&limits);
	core.out.items = calloc(core.out.cap, sizeof(*core.out.items));
	must(core.mem && core.out.items);
	must(lk_state_init(&core.st, core.mem, size, &limits) == 0);
}

void core_driver_done(void)
{
	free(core.mem);
	free(core.out.items);
	core.mem = NULL;
	core.out.items = NULL;
}

static int on_wake(int32_t fd, int32_t revents, void *arg)
{
	struct core_session *s = arg;
	uint32_t count = s->count;
	struct lockspace_event events[PENDING_MAX];
	uint64_t wakes;

	(void)revents;
	must(read(fd, &wakes, sizeof(wakes)) == sizeof(wakes));
	memcpy(events, s->events, count * sizeof(events[0]));
	s->count = 0;
	for (uint32_t i = 0; i < count; i++)
		s->params.on_event(s->params.arg, &events[i]);
	return 0;
}

static void tell(struct core_session *s, const struct lockspace_event *ev)
{
	uint64_t one = 1;

	must(s->count < PENDING_MAX);
	s->events[s->count++] = *ev;
	must(write(s->wake_fd, &one, sizeof(one)) == sizeof(one));
}

static struct core_session *session_of(uint64_t id)
{
	for (int i = 0; i < SESSIONS_MAX; i++)
		if (core.sessions[i] && core.sessions[i]->params.session == id)
			return core.sessions[i];
	return NULL; /* dead */
}

static void action_tell(const struct lk_action *a)
{
	static const enum lockspace_event_kind kinds[LK_DO_MAX] = {
		[LK_DO_QUEUED] = LOCKSPACE_QUEUED,     [LK_DO_GRANTED] = LOCKSPACE_GRANTED,
		[LK_DO_DENIED] = LOCKSPACE_DENIED,     [LK_DO_BLOCKING] = LOCKSPACE_BLOCKING,
		[LK_DO_UNLOCKED] = LOCKSPACE_UNLOCKED,
	};
	struct core_session *s = session_of(a->session);
	struct lockspace_event ev = {.kind = kinds[a->kind], .cause = a->cause, .mode = a->mode};

	ev.error = a->error;
	ev.has_lvb = a->has_lvb;
	ev.lvb_valid = a->lvb_valid;
	ev.cookie = a->cookie;
	memcpy(ev.lvb, a->lvb, sizeof(ev.lvb));
	if (s)
		tell(s, &ev);
}

static int step(const struct lk_event *ev)
{
	int r = lk_step(&core.st, ev, &core.out);

	must(!lk_check(&core.st));
	for (uint32_t i = 0; !r && i < core.out.count; i++)
		action_tell(&core.out.items[i]);
	return r;
}

/* ---- locks by cookie */

struct wanted {
	uint64_t session, cookie, id;
};

static int match(void *arg, const struct lk_lock_info *info)
{
	struct wanted *w = arg;

	if (info->session.id == w->session && info->cookie == w->cookie)
		w->id = info->id;
	return 0;
}

static uint64_t id_of(const struct core_session *s, uint64_t cookie)
{
	struct wanted w = {.session = s->params.session, .cookie = cookie};

	lk_each(&core.st, match, &w);
	return w.id;
}

static struct lk_event event_of(const struct core_session *s, enum lk_event_type type,
				const struct lockspace_request *req)
{
	struct lk_event ev = {.type = type, .session = s->params.session};

	ev.flags = req->flags;
	ev.cookie = req->cookie;
	ev.mode = req->mode;
	ev.name_len = req->name_len;
	memcpy(ev.name, req->name, sizeof(ev.name));
	memcpy(ev.lvb, req->lvb, sizeof(ev.lvb));
	return ev;
}

static int core_lock(struct lockspace *ls, const struct lockspace_request *req)
{
	struct core_session *s = (struct core_session *)ls;
	struct lk_event ev = event_of(s, LK_EV_LOCK, req);

	return id_of(s, req->cookie) ? -EINVAL : step(&ev);
}

static int on_lock(struct lockspace *ls, enum lk_event_type type,
		   const struct lockspace_request *req)
{
	struct core_session *s = (struct core_session *)ls;
	struct lk_event ev = event_of(s, type, req);

	ev.lock_id = id_of(s, req->cookie);
	return ev.lock_id ? step(&ev) : -ENOENT;
}

static int core_convert(struct lockspace *ls, const struct lockspace_request *req)
{
	return on_lock(ls, LK_EV_CONVERT, req);
}

static int core_unlock(struct lockspace *ls, const struct lockspace_request *req)
{
	return on_lock(ls, LK_EV_UNLOCK, req);
}

static int core_cancel(struct lockspace *ls, uint64_t cookie)
{
	const struct lockspace_request req = {.cookie = cookie};
	int r = on_lock(ls, LK_EV_CANCEL, &req);

	return r == -EALREADY ? 0 : r; /* its result overtook it */
}

static int core_transfer(struct lockspace *ls, const struct lockspace_request *req,
			 uint64_t to_session)
{
	struct lk_event ev = event_of((struct core_session *)ls, LK_EV_TRANSFER, req);

	ev.peer = to_session;
	return step(&ev);
}

static int core_open(const struct lockspace_params *params, struct lockspace **ret)
{
	const struct lockspace_event ready = {.kind = LOCKSPACE_RESUMED};
	struct lk_event ev = {.type = LK_EV_OPEN, .session = params->session, .incarnation = 1};
	struct core_session *s = calloc(1, sizeof(*s));
	int at = 0;

	must(s);
	core_init();
	must(step(&ev) == 0);
	s->base.ops = &core_driver_ops;
	s->params = *params;
	while (core.sessions[at])
		must(++at < SESSIONS_MAX);
	core.sessions[at] = s;
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(s->wake_fd >= 0);
	must(qb_loop_poll_add(params->loop, QB_LOOP_MED, s->wake_fd, POLLIN, s, on_wake) == 0);
	tell(s, &ready);
	*ret = &s->base;
	return 0;
}

static void core_close(struct lockspace *ls)
{
	struct core_session *s = (struct core_session *)ls;
	struct lk_event ev = {.type = LK_EV_CLOSE, .session = s->params.session};

	qb_loop_poll_del(s->params.loop, s->wake_fd);
	close(s->wake_fd);
	for (int i = 0; i < SESSIONS_MAX; i++)
		if (core.sessions[i] == s)
			core.sessions[i] = NULL;
	if (step(&ev) == -EBUSY) {
		ev.type = LK_EV_ORPHAN;
		must(step(&ev) == 0);
	}
	free(s);
}

int core_driver_release(uint64_t session)
{
	struct lk_event ev = {.type = LK_EV_RELEASE, .session = session};

	return step(&ev);
}

const struct lockspace_ops core_driver_ops = {
	.name = "core",
	.open = core_open,
	.close = core_close,
	.lock = core_lock,
	.convert = core_convert,
	.unlock = core_unlock,
	.cancel = core_cancel,
	.transfer = core_transfer,
};
