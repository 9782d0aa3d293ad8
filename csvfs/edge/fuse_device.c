/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/fuse_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "csvfs/edge/clock.h"
#include "csvfs/edge/log.h"
#include "lib/must.h"

/* Of linux/fuse.h since Linux 6.9. */
#define NOTIFY_RESEND 7
#define UNIQUE_RESEND (UINT64_C(1) << 63)
#define HAS_RESEND    (UINT64_C(1) << 39)
/* An INTERRUPT has the number of what it interrupts, and this: fs/fuse/fuse_dev_i.h. */
#define UNIQUE_INTERRUPT UINT64_C(1)

#define KICK_MS	    5 /* a signal that comes just before read(2) is lost */
#define KICK_SIGNAL SIGUSR1

/*
 * Threads in read(2) at a time. The kernel wakes those that wait there in turn, so that of forty
 * each request would get the one that has slept longest: twice the CPU for a request at depth 1
 * (doc/performance.md). Two: while one is at work, the other one is there. See places().
 */
#define PLACES_MAX 2

enum replay {
	REPLAY_NONE, /* the kernel and libfuse speak to each other */
	REPLAY_INIT, /* libfuse is to be told what was agreed */
	REPLAY_SENT, /* it was; its answer goes nowhere */
};

/* A thread of libfuse's. */
struct reader {
	struct fuse_device *device;
	struct reader *next, **at;
	pthread_t thread;
	bool is_reading; /* atomic */
	/* It waits for a place, under place_lock. */
	bool is_parked;
	struct reader *parked_below;
	pthread_cond_t place_given;
};

struct fuse_device {
	struct keep *keep;
	struct client *client;
	pthread_key_t reader_key;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct reader *readers;
	enum replay replay;
	int places_taken; /* atomic */
	pthread_mutex_t place_lock;
	struct reader *parked; /* atomic to look at; who came last is first */
	bool is_shut;	       /* atomic: nobody reads */
	int64_t unanswered;    /* atomic */
	/* What was sent again is read by one at a time, so that it is known when that was all. */
	bool awaits_rest; /* atomic */
	pthread_mutex_t rest_lock;
};

static __thread uint64_t current_unique;

uint64_t fuse_device_unique(void)
{
	return current_unique;
}

int fuse_device_mount(const char *volume, const char *path)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), r;
	char source[128], options[256];

	if (fd < 0)
		return -errno;
	snprintf(source, sizeof(source), "csv:%s", volume);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other,"
		 "max_read=%u",
		 fd, CSV_IO_MAX);
	if (!mount(source, path, "fuse.csvfs", MS_NOSUID | MS_NODEV, options))
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* ---- what was agreed */

static uint64_t init_flags(const struct fuse_init_in *in)
{
	return in->flags | (uint64_t)in->flags2 << 32;
}

static void keep_request(struct fuse_device *d, const void *buf, size_t len)
{
	struct keep_init *k = keep_init(d->keep);
	struct fuse_init_in in;

	must(len <= sizeof(k->request) && len >= sizeof(struct fuse_in_header) + sizeof(in));
	memcpy(k->request, buf, len);
	memcpy(&in, k->request + sizeof(struct fuse_in_header), sizeof(in));
	k->can_resend = init_flags(&in) & HAS_RESEND;
	k->request_len = (uint32_t)len;
}

static size_t flatten(const struct iovec *iov, int count, void *buf, size_t cap)
{
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		must(iov[i].iov_len <= cap - len);
		memcpy((uint8_t *)buf + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

/* The request of then, with no more in it than what came of it: so no other answer can follow. */
static ssize_t replayed_request(struct fuse_device *d, void *buf, size_t size)
{
	const struct keep_init *k = keep_init(d->keep);
	struct fuse_init_out out;
	struct fuse_init_in in;

	must(k->request_len <= size &&
	     k->reply_len >= sizeof(struct fuse_out_header) + sizeof(out));
	memcpy(&in, k->request + sizeof(struct fuse_in_header), sizeof(in));
	memcpy(&out, k->reply + sizeof(struct fuse_out_header), sizeof(out));
	in.flags &= out.flags;
	in.flags2 &= out.flags2;
	memcpy(buf, k->request, k->request_len);
	memcpy((uint8_t *)buf + sizeof(struct fuse_in_header), &in, sizeof(in));
	return (ssize_t)k->request_len;
}

/* With the lock held: libfuse has answered what was played to it. */
static void end_replay(struct fuse_device *d, int fd)
{
	const struct fuse_out_header resend = {.len = sizeof(resend), .error = NOTIFY_RESEND};

	if (write(fd, &resend, sizeof(resend)) < 0)
		log_error("the kernel does not send again what was under way: %s -> whoever waits "
			  "for that waits on",
			  strerror(errno));
	d->awaits_rest = true;
	d->replay = REPLAY_NONE;
	pthread_cond_broadcast(&d->changed);
}

static bool take_replay(struct fuse_device *d, void *buf, size_t size, ssize_t *ret)
{
	bool is_mine = false;

	pthread_mutex_lock(&d->lock);
	if (d->replay == REPLAY_INIT) {
		d->replay = REPLAY_SENT;
		is_mine = true;
		*ret = replayed_request(d, buf, size);
	}
	while (!is_mine && d->replay != REPLAY_NONE)
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
	return is_mine;
}

/* ---- threads that read */

static void reader_gone(void *arg)
{
	struct reader *r = arg;

	pthread_mutex_lock(&r->device->lock);
	*r->at = r->next;
	if (r->next)
		r->next->at = r->at;
	pthread_mutex_unlock(&r->device->lock);
	pthread_cond_destroy(&r->place_given);
	free(r);
}

static struct reader *reader_of(struct fuse_device *d)
{
	struct reader *r = pthread_getspecific(d->reader_key);

	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	must(r);
	r->device = d;
	r->thread = pthread_self();
	csv_cond_init(&r->place_given);
	pthread_mutex_lock(&d->lock);
	r->next = d->readers;
	r->at = &d->readers;
	if (r->next)
		r->next->at = &r->next;
	d->readers = r;
	pthread_mutex_unlock(&d->lock);
	must(!pthread_setspecific(d->reader_key, r));
	return r;
}

static void wait_open(struct fuse_device *d)
{
	pthread_mutex_lock(&d->lock);
	while (__atomic_load_n(&d->is_shut, __ATOMIC_SEQ_CST))
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
}

/* ---- places in read(2) */

static bool take_place(struct fuse_device *d, int below)
{
	int n = __atomic_load_n(&d->places_taken, __ATOMIC_SEQ_CST);

	while (n < below) {
		if (__atomic_compare_exchange_n(&d->places_taken, &n, n + 1, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return true;
	}
	return false;
}

/* With place_lock. */
static void unpark(struct fuse_device *d, struct reader *r)
{
	struct reader **at = &d->parked;

	while (*at != r)
		at = &(*at)->parked_below;
	__atomic_store_n(at, r->parked_below, __ATOMIC_SEQ_CST);
	r->is_parked = false;
}

/* libfuse ends its threads here, too. */
static void cancelled_parked(void *arg)
{
	struct reader *r = arg;

	if (r->is_parked)
		unpark(r->device, r);
	pthread_mutex_unlock(&r->device->place_lock);
}

/* As many more as requests are under way: who is about to be needed does not go to sleep. */
static int places(const struct fuse_device *d)
{
	return PLACES_MAX + (int)__atomic_load_n(&d->unanswered, __ATOMIC_SEQ_CST);
}

static void wait_place(struct fuse_device *d, struct reader *r)
{
	if (take_place(d, places(d)))
		return;
	pthread_mutex_lock(&d->place_lock);
	r->is_parked = true;
	r->parked_below = d->parked;
	__atomic_store_n(&d->parked, r, __ATOMIC_SEQ_CST);
	/* Who has left the last place before that, has seen nobody who waits. */
	if (take_place(d, places(d)))
		unpark(d, r);
	pthread_cleanup_push(cancelled_parked, r);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	while (r->is_parked)
		pthread_cond_wait(&r->place_given, &d->place_lock);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cleanup_pop(1);
}

/* Somebody must be there for the next request, whatever this one waits for. */
static void leave_place(struct fuse_device *d)
{
	struct reader *r;

	if (__atomic_sub_fetch(&d->places_taken, 1, __ATOMIC_SEQ_CST) ||
	    !__atomic_load_n(&d->parked, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&d->place_lock);
	r = d->parked;
	if (r && take_place(d, 1)) {
		unpark(d, r);
		pthread_cond_signal(&r->place_given);
	}
	pthread_mutex_unlock(&d->place_lock);
}

/* ---- requests */

static bool wants_answer(uint32_t opcode)
{
	return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT &&
	       opcode != FUSE_NOTIFY_REPLY;
}

/* What the kernel sends again comes before anything else that wants an answer. */
static void note_resent(struct fuse_device *d, const struct fuse_in_header *h)
{
	if (h->unique & UNIQUE_RESEND) {
		client_resent(d->client, h->unique & ~UNIQUE_RESEND);
	} else if (wants_answer(h->opcode)) {
		client_all_resent(d->client);
		__atomic_store_n(&d->awaits_rest, false, __ATOMIC_SEQ_CST);
	}
}

static void note_read(struct fuse_device *d, const void *buf, size_t len)
{
	struct fuse_in_header h;

	if (len < sizeof(h))
		return; /* libfuse says what it thinks of that */
	memcpy(&h, buf, sizeof(h));
	current_unique = h.unique & ~UNIQUE_RESEND;
	if (h.opcode == FUSE_INIT)
		keep_request(d, buf, len);
	if (wants_answer(h.opcode))
		__atomic_add_fetch(&d->unanswered, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&d->awaits_rest, __ATOMIC_SEQ_CST))
		note_resent(d, &h);
}

static void unlock_rest(void *arg)
{
	if (arg)
		pthread_mutex_unlock(arg);
}

/*
 * libfuse ends its threads by pthread_cancel(3), and means this read(2): everywhere else a lock
 * would stay behind.
 */
static ssize_t read_cancellable(int fd, void *buf, size_t size, pthread_mutex_t *held)
{
	ssize_t n;

	pthread_cleanup_push(unlock_rest, held);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	n = read(fd, buf, size);
	n = n < 0 ? -errno : n;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cleanup_pop(0);
	return n;
}

static ssize_t read_one(struct fuse_device *d, struct reader *r, int fd, void *buf, size_t size)
{
	bool is_rest = __atomic_load_n(&d->awaits_rest, __ATOMIC_SEQ_CST);
	ssize_t n = -1;

	if (is_rest)
		pthread_mutex_lock(&d->rest_lock);
	__atomic_store_n(&r->is_reading, true, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&d->is_shut, __ATOMIC_SEQ_CST)) {
		n = read_cancellable(fd, buf, size, is_rest ? &d->rest_lock : NULL);
		if (n > 0)
			note_read(d, buf, (size_t)n);
	} else {
		n = -EINTR;
	}
	__atomic_store_n(&r->is_reading, false, __ATOMIC_SEQ_CST);
	if (is_rest)
		pthread_mutex_unlock(&d->rest_lock);
	return n;
}

/* Or -errno. */
static ssize_t next_request(struct fuse_device *d, struct reader *r, int fd, void *buf, size_t size)
{
	ssize_t n;

	if (__atomic_load_n(&d->replay, __ATOMIC_ACQUIRE) != REPLAY_NONE &&
	    take_replay(d, buf, size, &n))
		return n;
	do {
		if (__atomic_load_n(&d->is_shut, __ATOMIC_SEQ_CST))
			wait_open(d);
		wait_place(d, r);
		n = read_one(d, r, fd, buf, size);
		leave_place(d);
	} while (n == -EINTR);
	return n;
}

ssize_t fuse_device_read(struct fuse_device *d, int fd, void *buf, size_t size)
{
	struct reader *r;
	int state;
	ssize_t n;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	r = reader_of(d);
	n = next_request(d, r, fd, buf, size);
	pthread_setcancelstate(state, NULL);
	if (n < 0) {
		errno = (int)-n;
		return -1;
	}
	return n;
}

/* ---- replies */

static bool swallows(struct fuse_device *d, int fd, const struct iovec *iov, int count,
		     const struct fuse_out_header *h)
{
	struct keep_init *k = keep_init(d->keep);
	struct fuse_in_header in;
	bool is_swallowed;

	if (k->reply_len && __atomic_load_n(&d->replay, __ATOMIC_ACQUIRE) == REPLAY_NONE)
		return false;
	memcpy(&in, k->request, sizeof(in));
	if (h->unique != in.unique)
		return false;
	pthread_mutex_lock(&d->lock);
	is_swallowed = d->replay == REPLAY_SENT;
	if (is_swallowed)
		end_replay(d, fd);
	else
		k->reply_len = (uint32_t)flatten(iov, count, k->reply, sizeof(k->reply));
	pthread_mutex_unlock(&d->lock);
	return is_swallowed;
}

static ssize_t length_of(const struct iovec *iov, int count)
{
	size_t len = 0;

	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	return (ssize_t)len;
}

ssize_t fuse_device_writev(struct fuse_device *d, int fd, const struct iovec *iov, int count)
{
	struct fuse_out_header h;
	ssize_t n;
	int error;

	must(count > 0 && iov[0].iov_len >= sizeof(h));
	memcpy(&h, iov[0].iov_base, sizeof(h));
	if (h.unique && swallows(d, fd, iov, count, &h))
		return length_of(iov, count);
	n = writev(fd, iov, count);
	/* libfuse answers an INTERRUPT that came too late: nobody has counted it. */
	if (!h.unique || h.unique & UNIQUE_INTERRUPT)
		return n;
	error = errno;
	client_replied(d->client, h.unique & ~UNIQUE_RESEND);
	__atomic_sub_fetch(&d->unanswered, 1, __ATOMIC_SEQ_CST);
	errno = error;
	return n;
}

/* ---- life */

/* With the lock held: is anybody still in read(2)? They are told to leave it. */
static bool kick(struct fuse_device *d)
{
	bool found = false;

	for (struct reader *r = d->readers; r; r = r->next) {
		if (!__atomic_load_n(&r->is_reading, __ATOMIC_SEQ_CST))
			continue;
		found = true;
		pthread_kill(r->thread, KICK_SIGNAL);
	}
	return found;
}

int fuse_device_drain(struct fuse_device *d, unsigned int timeout_ms, bool for_good)
{
	uint64_t until_ms = csv_now_ms() + timeout_ms;
	int r = 0;

	pthread_mutex_lock(&d->lock);
	__atomic_store_n(&d->is_shut, true, __ATOMIC_SEQ_CST);
	while (kick(d) || __atomic_load_n(&d->unanswered, __ATOMIC_SEQ_CST)) {
		if (csv_now_ms() >= until_ms) {
			r = -ETIMEDOUT;
			break;
		}
		csv_cond_wait_ms(&d->changed, &d->lock, KICK_MS);
	}
	if (r && !for_good) {
		__atomic_store_n(&d->is_shut, false, __ATOMIC_SEQ_CST);
		pthread_cond_broadcast(&d->changed);
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

static void on_kick(int number)
{
	(void)number; /* read(2) has ended with EINTR */
}

int fuse_device_open(struct keep *keep, struct client *client, struct fuse_device **ret)
{
	const struct sigaction action = {.sa_handler = on_kick}; /* no SA_RESTART */
	struct fuse_device *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	r = -pthread_key_create(&d->reader_key, reader_gone);
	if (r) {
		free(d);
		return r;
	}
	sigaction(KICK_SIGNAL, &action, NULL);
	d->keep = keep;
	d->client = client;
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->rest_lock, NULL);
	pthread_mutex_init(&d->place_lock, NULL);
	csv_cond_init(&d->changed);
	if (keep_init(keep)->reply_len)
		d->replay = REPLAY_INIT;
	*ret = d;
	return 0;
}

void fuse_device_close(struct fuse_device *d)
{
	if (!d)
		return;
	/* Of threads that have ended, nothing is left. */
	must(!d->readers);
	pthread_key_delete(d->reader_key);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->place_lock);
	pthread_mutex_destroy(&d->rest_lock);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
