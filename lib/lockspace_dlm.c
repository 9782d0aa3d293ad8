/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/lockspace_dlm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <qb/qbdefs.h>
#include <qb/qbloop.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Of what both declare, the kernel's: libdlm.h leaves it out when this is defined. */
#include <linux/dlm_device.h>
#define BUILDING_LIBDLM
#include <libdlm.h>

#include "lib/cleanup.h"
#include "lib/must.h"

#define NAME_BYTES    (DLM_LOCKSPACE_LEN)
#define TASKS_MAX     (2 * LOCKSPACE_DLM_LOCKS_MAX) /* a request and a cancel for each lock */
#define BUSY_NS	      10000000L
#define CLOSE_SECONDS 5
#define READS_MAX     64 /* results in one turn of the loop */
#define DEVICE_MODE   0600
#define RESULT_MAX    (sizeof(struct dlm_lock_result) + DLM_USER_LVB_LEN)

/*
 * What is under way for a lock.
 *   SECURING  it is granted, and becomes one that outlives its process; only then the user is told.
 *             To ask for that at once would be shorter, but if a process dies while such a request
 *             waits, Linux 6.1 leaves a freed lock among the orphans, and stumbles over it (list
 *             corruption in do_purge) when they are released.
 *   ENDING    it comes down to NL before it is unlocked
 */
enum dlm_pending {
	PENDING_NONE,
	PENDING_LOCK,
	PENDING_SECURING,
	PENDING_CONVERT,
	PENDING_ENDING,
	PENDING_UNLOCK,
};

struct dlm_entry {
	/* The loop's. */
	uint64_t cookie;
	enum dlm_pending pending;
	uint8_t held;
	uint8_t wanted;
	uint8_t was_held; /* while it ends */
	uint8_t told;	  /* highest mode in a BLOCKING since its mode changed; NL: none */
	bool is_used;
	bool wants_lvb;
	struct lockspace_event grant; /* while it is SECURING */
	/* The thread's: the device writes the number of the lock here, and it is needed again. */
	struct dlm_lksb lksb;
	char lvb[DLM_LVB_LEN];
};

enum dlm_task_kind { TASK_LOCK, TASK_CONVERT, TASK_UNLOCK, TASK_CANCEL };

struct dlm_task {
	enum dlm_task_kind kind;
	uint32_t entry;
	uint32_t flags; /* LKF_... */
	uint8_t mode;
	uint8_t name_len;
	uint8_t name[LK_NAME_MAX];
	uint8_t lvb[LK_LVB_BYTES];
	int error; /* on its way back: it was refused */
};

struct dlm_ring {
	struct dlm_task *items;
	uint32_t head, count;
};

struct lockspace_dlm {
	struct lockspace base;
	/* The loop's. */
	struct lockspace_params params;
	struct dlm_entry *entries;
	uint32_t locks;
	int device_fd; /* borrowed from handle; -1 until it is open */
	bool is_lost;
	/* Under mutex. */
	pthread_mutex_t mutex;
	pthread_cond_t work;
	struct dlm_ring tasks, refused;
	bool is_closing, is_left, is_open_done;
	int open_error;
	/* The thread's, once it runs. */
	pthread_t thread;
	dlm_lshandle_t handle;
	int wake_fd;
	char name[NAME_BYTES];
};

static struct lockspace_dlm *dlm_of(struct lockspace *ls)
{
	return (struct lockspace_dlm *)ls;
}

static bool ring_push(struct dlm_ring *ring, const struct dlm_task *task)
{
	if (ring->count == TASKS_MAX)
		return false;
	ring->items[(ring->head + ring->count++) % TASKS_MAX] = *task;
	return true;
}

static bool ring_pop(struct dlm_ring *ring, struct dlm_task *ret)
{
	if (!ring->count)
		return false;
	*ret = ring->items[ring->head];
	ring->head = (ring->head + 1) % TASKS_MAX;
	ring->count--;
	return true;
}

/* ---- the thread: what may block */

static void thread_wake(const struct lockspace_dlm *d)
{
	uint64_t one = 1;

	must(write(d->wake_fd, &one, sizeof(one)) == sizeof(one));
}

/* The kernel looks at where these point to only to hand them back: a result tells by them what it
 * is.
 */
static void completion_mark(void *arg)
{
	(void)arg;
}

static void blocking_mark(void *arg)
{
	(void)arg;
}

static int task_do(struct lockspace_dlm *d, const struct dlm_task *t)
{
	struct dlm_entry *e = &d->entries[t->entry];
	int r;

	memcpy(e->lvb, t->lvb, sizeof(e->lvb));
	e->lksb.sb_lvbptr = e->lvb;
	switch (t->kind) {
	case TASK_LOCK:
	case TASK_CONVERT:
		r = dlm_ls_lock(d->handle, t->mode, &e->lksb, t->flags, t->name, t->name_len, 0,
				completion_mark, e, blocking_mark, NULL);
		return r ? -errno : 0;
	case TASK_UNLOCK:
	case TASK_CANCEL:
		r = dlm_ls_unlock(d->handle, e->lksb.sb_lkid, t->flags, &e->lksb, e);
		return r ? -errno : 0;
	}
	return -EINVAL;
}

static void thread_open(struct lockspace_dlm *d)
{
	dlm_lshandle_t handle = dlm_create_lockspace(d->name, DEVICE_MODE);
	int error = handle ? 0 : -errno;

	pthread_mutex_lock(&d->mutex);
	d->handle = handle;
	d->open_error = error;
	d->is_open_done = true;
	pthread_mutex_unlock(&d->mutex);
	thread_wake(d);
}

static void dlm_free(struct lockspace_dlm *d)
{
	if (d->wake_fd >= 0)
		close(d->wake_fd);
	pthread_mutex_destroy(&d->mutex);
	pthread_cond_destroy(&d->work);
	free(d->tasks.items);
	free(d->refused.items);
	free(d->entries);
	free(d);
}

/* Closing the device makes orphans of what is held; what is not held is let go of. */
static void thread_leave(struct lockspace_dlm *d)
{
	bool is_abandoned;

	if (d->handle && d->locks)
		dlm_close_lockspace(d->handle);
	else if (d->handle)
		dlm_release_lockspace(d->name, d->handle, 0);
	pthread_mutex_lock(&d->mutex);
	is_abandoned = d->is_left; /* nobody waits for us any more: all of it is ours */
	d->is_left = true;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->mutex);
	if (is_abandoned)
		dlm_free(d);
}

/*
 * Under mutex; lets go of it meanwhile. A cancel that the grant has overtaken keeps the lock busy
 * until the master has answered, and no result tells of that answer: so what follows it is asked
 * again.
 */
static int task_until_done(struct lockspace_dlm *d, const struct dlm_task *t)
{
	struct timespec until;
	int r;

	for (;;) {
		pthread_mutex_unlock(&d->mutex);
		r = d->handle ? task_do(d, t) : -ENOTCONN;
		pthread_mutex_lock(&d->mutex);
		if (r != -EBUSY || t->kind == TASK_CANCEL || d->is_closing)
			return r;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += BUSY_NS;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
		pthread_cond_timedwait(&d->work, &d->mutex, &until);
	}
}

static void *thread_main(void *arg)
{
	struct lockspace_dlm *d = arg;
	struct dlm_task task;

	thread_open(d);
	pthread_mutex_lock(&d->mutex);
	for (;;) {
		while (!d->is_closing && !d->tasks.count)
			pthread_cond_wait(&d->work, &d->mutex);
		if (d->is_closing)
			break;
		ring_pop(&d->tasks, &task);
		task.error = task_until_done(d, &task);
		if (task.error) {
			must(ring_push(&d->refused, &task));
			thread_wake(d);
		}
	}
	pthread_mutex_unlock(&d->mutex);
	thread_leave(d);
	return NULL;
}

/* ---- the loop: requests */

static struct dlm_entry *entry_find(struct lockspace_dlm *d, uint64_t cookie)
{
	for (uint32_t i = 0; i < LOCKSPACE_DLM_LOCKS_MAX; i++)
		if (d->entries[i].is_used && d->entries[i].cookie == cookie)
			return &d->entries[i];
	return NULL;
}

static struct dlm_entry *entry_new(struct lockspace_dlm *d)
{
	for (uint32_t i = 0; i < LOCKSPACE_DLM_LOCKS_MAX; i++)
		if (!d->entries[i].is_used)
			return &d->entries[i];
	return NULL;
}

static int task_give(struct lockspace_dlm *d, const struct dlm_task *task)
{
	bool is_taken;

	pthread_mutex_lock(&d->mutex);
	is_taken = ring_push(&d->tasks, task);
	pthread_cond_signal(&d->work);
	pthread_mutex_unlock(&d->mutex);
	return is_taken ? 0 : -ENOBUFS;
}

static uint32_t dlm_flags(uint32_t flags)
{
	uint32_t r = 0;

	if (flags & LK_NOQUEUE)
		r |= LKF_NOQUEUE;
	if (flags & LK_VALBLK)
		r |= LKF_VALBLK;
	if (flags & LK_IVVALBLK)
		r |= LKF_IVVALBLK;
	return r;
}

/* Those for which the kernel takes LKF_QUECVT: they exclude somebody new, so they wait their turn.
 */
static bool is_up(uint8_t from, uint8_t to)
{
	if (from == LK_PR && to == LK_CW)
		return true;
	return to > from;
}

static int dlm_lock_op(struct lockspace *ls, const struct lockspace_request *req)
{
	struct lockspace_dlm *d = dlm_of(ls);
	struct dlm_task task = {.kind = TASK_LOCK, .mode = req->mode, .name_len = req->name_len};
	struct dlm_entry *e;
	int r;

	if (d->is_lost)
		return -ENOTCONN;
	if (req->mode >= LK_MODE_MAX || !req->name_len || req->name_len > LK_NAME_MAX ||
	    req->flags & ~(LK_NOQUEUE | LK_VALBLK) || entry_find(d, req->cookie))
		return -EINVAL;
	e = entry_new(d);
	if (!e)
		return -ENOBUFS;
	task.entry = (uint32_t)(e - d->entries);
	task.flags = dlm_flags(req->flags);
	memcpy(task.name, req->name, req->name_len);
	r = task_give(d, &task);
	if (r)
		return r;
	e->cookie = req->cookie;
	e->pending = PENDING_LOCK;
	e->held = LK_NL;
	e->told = LK_NL;
	e->wanted = req->mode;
	e->is_used = true;
	e->wants_lvb = req->flags & LK_VALBLK;
	d->locks++;
	return 0;
}

static int dlm_convert_to(struct lockspace_dlm *d, struct dlm_entry *e, uint8_t mode,
			  uint32_t flags, const uint8_t *lvb)
{
	struct dlm_task task = {
		.kind = TASK_CONVERT, .entry = (uint32_t)(e - d->entries), .mode = mode};

	task.flags = dlm_flags(flags) | LKF_CONVERT | LKF_PERSISTENT;
	if (is_up(e->held, mode))
		task.flags |= LKF_QUECVT;
	/* What is not written is read into the same buffer: zeros, if there is no value yet. */
	if (flags & LK_VALBLK && e->held >= LK_PW && !(e->held == LK_PW && mode == LK_EX))
		memcpy(task.lvb, lvb, sizeof(task.lvb));
	e->wanted = mode;
	return task_give(d, &task);
}

static int dlm_convert_op(struct lockspace *ls, const struct lockspace_request *req)
{
	struct lockspace_dlm *d = dlm_of(ls);
	struct dlm_entry *e = entry_find(d, req->cookie);
	int r;

	if (d->is_lost)
		return -ENOTCONN;
	if (!e)
		return -ENOENT;
	if (e->pending != PENDING_NONE)
		return -EBUSY;
	if (req->mode >= LK_MODE_MAX || req->flags & ~(LK_NOQUEUE | LK_VALBLK | LK_IVVALBLK))
		return -EINVAL;
	r = dlm_convert_to(d, e, req->mode, req->flags, req->lvb);
	if (r)
		return r;
	e->pending = PENDING_CONVERT;
	e->wants_lvb = req->flags & LK_VALBLK;
	return 0;
}

static int dlm_unlock_now(struct lockspace_dlm *d, struct dlm_entry *e)
{
	struct dlm_task task = {.kind = TASK_UNLOCK, .entry = (uint32_t)(e - d->entries)};

	return task_give(d, &task);
}

/*
 * The kernel adds an unlock's flags to those of the request before, and has no value block for a
 * lock that never asked for one: it would write what nobody wrote, or write nothing. A conversion
 * has flags of its own. So who may write the value comes down to NL first, with exactly what was
 * asked.
 */
static int dlm_unlock_op(struct lockspace *ls, const struct lockspace_request *req)
{
	struct lockspace_dlm *d = dlm_of(ls);
	struct dlm_entry *e = entry_find(d, req->cookie);
	int r;

	if (d->is_lost)
		return -ENOTCONN;
	if (!e)
		return -ENOENT;
	if (e->pending != PENDING_NONE)
		return -EBUSY;
	if (req->flags & ~(LK_VALBLK | LK_IVVALBLK))
		return -EINVAL;
	e->was_held = e->held;
	if (e->held >= LK_PW)
		r = dlm_convert_to(d, e, LK_NL, req->flags, req->lvb);
	else
		r = dlm_unlock_now(d, e);
	if (!r)
		e->pending = e->held >= LK_PW ? PENDING_ENDING : PENDING_UNLOCK;
	return r;
}

static int dlm_cancel_op(struct lockspace *ls, uint64_t cookie)
{
	struct lockspace_dlm *d = dlm_of(ls);
	struct dlm_entry *e = entry_find(d, cookie);
	struct dlm_task task = {.kind = TASK_CANCEL, .flags = LKF_CANCEL};

	if (d->is_lost)
		return -ENOTCONN;
	if (!e)
		return -ENOENT;
	if (e->pending != PENDING_LOCK && e->pending != PENDING_CONVERT)
		return 0; /* the result overtook it */
	task.entry = (uint32_t)(e - d->entries);
	return task_give(d, &task);
}

static int dlm_transfer_op(struct lockspace *ls, const struct lockspace_request *req,
			   uint64_t to_session)
{
	(void)ls;
	(void)req;
	(void)to_session;
	return -EOPNOTSUPP;
}

/* ---- the loop: results */

static void tell(struct lockspace_dlm *d, const struct lockspace_event *ev)
{
	d->params.on_event(d->params.arg, ev);
}

static void entry_free(struct lockspace_dlm *d, struct dlm_entry *e)
{
	e->is_used = false;
	d->locks--;
}

static void entry_denied(struct lockspace_dlm *d, struct dlm_entry *e, int error)
{
	struct lockspace_event ev = {.kind = LOCKSPACE_DENIED, .cause = LK_BY_REQUEST};

	ev.error = error;
	ev.mode = e->wanted;
	ev.cookie = e->cookie;
	if (e->pending == PENDING_LOCK)
		entry_free(d, e);
	e->pending = PENDING_NONE;
	tell(d, &ev);
}

static void device_lost(struct lockspace_dlm *d)
{
	const struct lockspace_event ev = {.kind = LOCKSPACE_LOST};

	if (d->device_fd >= 0)
		qb_loop_poll_del(d->params.loop, d->device_fd);
	d->device_fd = -1;
	d->is_lost = true;
	tell(d, &ev);
}

static void grant_tell(struct lockspace_dlm *d, struct dlm_entry *e, struct lockspace_event *ev)
{
	struct lockspace_event blocking = {.kind = LOCKSPACE_BLOCKING, .cause = LK_BY_QUEUE};

	if (e->pending == PENDING_CONVERT)
		e->told = LK_NL;
	e->pending = PENDING_NONE;
	blocking.mode = e->told;
	blocking.cookie = e->cookie;
	tell(d, ev);
	if (blocking.mode != LK_NL) /* it was in the way before the user had it */
		tell(d, &blocking);
}

/* The kernel has granted what was wanted: tells the user, or takes the next step. */
static void entry_granted(struct lockspace_dlm *d, struct dlm_entry *e, const uint8_t *buf,
			  const struct dlm_lock_result *result)
{
	struct lockspace_event ev = {.kind = LOCKSPACE_GRANTED, .cause = LK_BY_REQUEST};
	int r = 0;

	e->held = e->wanted;
	ev.mode = e->held;
	ev.cookie = e->cookie;
	ev.has_lvb = e->wants_lvb && result->lvb_offset != 0;
	ev.lvb_valid = !(result->lksb.sb_flags & DLM_SBF_VALNOTVALID);
	if (ev.has_lvb)
		memcpy(ev.lvb, buf + result->lvb_offset, sizeof(ev.lvb));
	if (e->pending == PENDING_ENDING) {
		e->pending = PENDING_UNLOCK;
		r = dlm_unlock_now(d, e);
	} else if (e->pending == PENDING_LOCK) {
		e->pending = PENDING_SECURING;
		e->grant = ev;
		/* With the value, which below PW is only read: by that the kernel knows after the
		 * loss of a node that there was one. */
		r = dlm_convert_to(d, e, e->held, e->held < LK_PW ? LK_VALBLK : 0, NULL);
	} else {
		grant_tell(d, e, e->pending == PENDING_SECURING ? &e->grant : &ev);
	}
	if (r) /* there is a place for each lock: broken, not full */
		device_lost(d);
}

static void entry_completed(struct lockspace_dlm *d, struct dlm_entry *e, const uint8_t *buf,
			    const struct dlm_lock_result *result)
{
	struct lockspace_event ev = {.kind = LOCKSPACE_UNLOCKED, .cause = LK_BY_REQUEST};
	int status = result->lksb.sb_status;

	if (status == 0) {
		entry_granted(d, e, buf, result);
	} else if (status == -EUNLOCK) {
		ev.mode = e->was_held;
		ev.cookie = e->cookie;
		entry_free(d, e);
		tell(d, &ev);
	} else {
		entry_denied(d, e, status == -ECANCEL ? -ECANCELED : status);
	}
}

/* Once for each mode, as the kernel tells it anew after each step of ours. */
static void entry_blocking(struct lockspace_dlm *d, struct dlm_entry *e, uint8_t mode)
{
	struct lockspace_event ev = {.kind = LOCKSPACE_BLOCKING, .cause = LK_BY_QUEUE};

	if (mode <= e->told || e->pending == PENDING_ENDING || e->pending == PENDING_UNLOCK)
		return;
	e->told = mode;
	ev.mode = mode;
	ev.cookie = e->cookie;
	if (e->pending != PENDING_LOCK && e->pending != PENDING_SECURING)
		tell(d, &ev);
}

/* One result; false when there is no more, or the session is over. */
static bool result_read(struct lockspace_dlm *d)
{
	uint8_t buf[RESULT_MAX];
	struct dlm_lock_result result;
	struct dlm_entry *e;
	ssize_t n = read(d->device_fd, buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < (ssize_t)sizeof(result)) {
		device_lost(d);
		return false;
	}
	memcpy(&result, buf, sizeof(result));
	e = result.user_astparam;
	must(e >= d->entries && e < d->entries + LOCKSPACE_DLM_LOCKS_MAX && e->is_used);
	if (result.lvb_offset + DLM_USER_LVB_LEN > (size_t)n)
		result.lvb_offset = 0;
	if (result.user_astaddr == (void *)(uintptr_t)blocking_mark)
		entry_blocking(d, e, result.bast_mode);
	else
		entry_completed(d, e, buf, &result);
	return !d->is_lost;
}

static int on_device(int32_t fd, int32_t revents, void *arg)
{
	struct lockspace_dlm *d = arg;

	(void)fd;
	(void)revents;
	for (int i = 0; i < READS_MAX && result_read(d); i++)
		;
	return 0; /* a descriptor that is lost is taken off by itself */
}

static void refused_one(struct lockspace_dlm *d, const struct dlm_task *task)
{
	struct dlm_entry *e = &d->entries[task->entry];

	if (!e->is_used || d->is_lost)
		return;
	if (task->kind == TASK_LOCK ||
	    (task->kind == TASK_CONVERT && e->pending == PENDING_CONVERT))
		entry_denied(d, e, task->error);
	else if (task->kind != TASK_CANCEL)
		device_lost(d); /* what it refuses to end, it does not know */
}

static void on_open(struct lockspace_dlm *d)
{
	struct lockspace_event ev = {.kind = LOCKSPACE_RESUMED};
	int flags;

	if (d->open_error) {
		device_lost(d);
		return;
	}
	d->device_fd = dlm_ls_get_fd(d->handle);
	flags = fcntl(d->device_fd, F_GETFL);
	if (fcntl(d->device_fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    qb_loop_poll_add(d->params.loop, QB_LOOP_MED, d->device_fd, POLLIN, d, on_device)) {
		d->device_fd = -1;
		device_lost(d);
		return;
	}
	tell(d, &ev);
}

static int on_wake(int32_t fd, int32_t revents, void *arg)
{
	struct lockspace_dlm *d = arg;
	struct dlm_task task;
	uint64_t count;
	bool is_opened, has_more = true;

	(void)revents;
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	pthread_mutex_lock(&d->mutex);
	is_opened = d->is_open_done;
	d->is_open_done = false;
	pthread_mutex_unlock(&d->mutex);
	if (is_opened)
		on_open(d);
	while (has_more) {
		pthread_mutex_lock(&d->mutex);
		has_more = ring_pop(&d->refused, &task);
		pthread_mutex_unlock(&d->mutex);
		if (has_more)
			refused_one(d, &task);
	}
	return 0;
}

/* ---- open and close */

static void dlm_close(struct lockspace *ls)
{
	struct lockspace_dlm *d = dlm_of(ls);
	struct timespec until;
	bool is_left;

	if (d->device_fd >= 0)
		qb_loop_poll_del(d->params.loop, d->device_fd);
	qb_loop_poll_del(d->params.loop, d->wake_fd);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLOSE_SECONDS;
	pthread_mutex_lock(&d->mutex);
	d->is_closing = true;
	pthread_cond_broadcast(&d->work);
	while (!d->is_left && pthread_cond_timedwait(&d->work, &d->mutex, &until) == 0)
		;
	is_left = d->is_left;
	d->is_left = true;
	pthread_mutex_unlock(&d->mutex);
	if (!is_left)
		return; /* the thread frees it when the kernel lets it go on */
	pthread_join(d->thread, NULL);
	dlm_free(d);
}

static int dlm_open_op(const struct lockspace_params *params, struct lockspace **ret)
{
	struct lockspace_dlm *d;
	int r;

	if (params->adopt)
		return -EOPNOTSUPP;
	if (!*params->name || strlen(params->name) >= NAME_BYTES)
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->base.ops = &lockspace_dlm_ops;
	d->params = *params;
	d->params.name = NULL;
	memcpy(d->name, params->name, strlen(params->name) + 1);
	d->device_fd = -1;
	pthread_mutex_init(&d->mutex, NULL);
	pthread_cond_init(&d->work, NULL);
	d->entries = calloc(LOCKSPACE_DLM_LOCKS_MAX, sizeof(*d->entries));
	d->tasks.items = calloc(TASKS_MAX, sizeof(struct dlm_task));
	d->refused.items = calloc(TASKS_MAX, sizeof(struct dlm_task));
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = d->wake_fd < 0 ? -errno : 0;
	if (!d->entries || !d->tasks.items || !d->refused.items)
		r = -ENOMEM;
	if (!r)
		r = qb_loop_poll_add(params->loop, QB_LOOP_MED, d->wake_fd, POLLIN, d, on_wake);
	if (r) {
		dlm_free(d);
		return r;
	}
	r = -pthread_create(&d->thread, NULL, thread_main, d);
	if (r) {
		qb_loop_poll_del(params->loop, d->wake_fd);
		dlm_free(d);
		return r;
	}
	*ret = &d->base;
	return 0;
}

const struct lockspace_ops lockspace_dlm_ops = {
	.name = "dlm",
	.open = dlm_open_op,
	.close = dlm_close,
	.lock = dlm_lock_op,
	.convert = dlm_convert_op,
	.unlock = dlm_unlock_op,
	.cancel = dlm_cancel_op,
	.transfer = dlm_transfer_op,
};

int lockspace_dlm_release_orphans(const char *name)
{
	dlm_lshandle_t handle = dlm_open_lockspace(name);
	int r;

	if (!handle)
		return -errno;
	r = dlm_ls_purge(handle, 0, 0) ? -errno : 0;
	dlm_close_lockspace(handle);
	return r;
}
