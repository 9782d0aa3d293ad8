/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of a request, and its record. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/must.h"
#include "tests/lab/lund.h"

static uint64_t ns_of(clockid_t clock)
{
	struct timespec t;

	must(!clock_gettime(clock, &t));
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t lund_now_ns(void)
{
	return ns_of(CLOCK_BOOTTIME);
}

/* ---- the log */

static void write_all(int fd, const void *from, size_t len, off_t at, const char *what)
{
	while (len) {
		ssize_t n = pwrite(fd, from, len, at);

		if (n <= 0) {
			fprintf(stderr, "lund: the %s cannot be written: %s\n", what,
				strerror(errno));
			_exit(1);
		}
		from = (const char *)from + n;
		len -= (size_t)n;
		at += n;
	}
}

uint64_t lund_serial(struct lund *l)
{
	uint64_t serial;

	pthread_mutex_lock(&l->lock);
	serial = ++l->serial;
	pthread_mutex_unlock(&l->lock);
	return serial;
}

void lund_log(struct lund *l, struct lund_record *r, const void *data)
{
	static off_t end; /* of the log; l->lock */

	pthread_mutex_lock(&l->lock);
	if (data && l->data >= 0) {
		write_all(l->data, data, r->done, (off_t)l->data_end, "data file");
		r->data = l->data_end + 1;
		l->data_end += r->done;
	}
	r->end_ns = lund_now_ns();
	write_all(l->log, r, sizeof(*r), end, "log");
	end += (off_t)sizeof(*r);
	pthread_mutex_unlock(&l->lock);
}

/* ---- the store */

static int do_read(const struct lund *l, uint64_t offset, uint64_t length, char *buf,
		   uint64_t *ret_done)
{
	while (*ret_done < length) {
		ssize_t n = pread(l->store, buf + *ret_done, length - *ret_done,
				  (off_t)(offset + *ret_done));

		if (n <= 0)
			return n ? errno : EIO;
		*ret_done += (uint64_t)n;
	}
	return 0;
}

static int do_write(const struct lund *l, uint64_t offset, uint64_t length, const char *buf,
		    uint64_t *ret_done)
{
	while (*ret_done < length) {
		ssize_t n = pwrite(l->store, buf + *ret_done, length - *ret_done,
				   (off_t)(offset + *ret_done));

		if (n < 0)
			return errno;
		*ret_done += (uint64_t)n;
	}
	return 0;
}

static int do_zero(const struct lund *l, enum lund_op op, uint64_t offset, uint64_t length,
		   uint64_t *ret_done)
{
	int mode = op == LUND_ZERO ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;

	if (fallocate(l->store, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length))
		return errno;
	*ret_done = length;
	return 0;
}

static int do_it(const struct lund *l, struct lund_record *r, uint64_t length, void *buf)
{
	switch ((enum lund_op)r->op) {
	case LUND_READ:
		return do_read(l, r->offset, length, buf, &r->done);
	case LUND_WRITE:
		return do_write(l, r->offset, length, buf, &r->done);
	case LUND_DISCARD:
	case LUND_ZERO:
		return do_zero(l, (enum lund_op)r->op, r->offset, length, &r->done);
	case LUND_FLUSH:
		return l->is_synchronous && fdatasync(l->store) ? errno : 0;
	case LUND_ON:
	case LUND_CUT:
	case LUND_OFF:
		break;
	}
	return EINVAL;
}

/* ---- faults */

/* With the node's lock held: for as long as the node's disk holds this request. */
static void hold(struct lund_node *n, enum lund_op op)
{
	struct timespec until;

	must(!clock_gettime(CLOCK_MONOTONIC, &until));
	until.tv_sec += n->delay_ms / 1000;
	until.tv_nsec += (long)(n->delay_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!n->is_cut && (n->delayed & op)) {
		if (pthread_cond_timedwait(&n->changed, &n->lock, &until))
			break;
	}
	while (!n->is_cut && n->is_held)
		pthread_cond_wait(&n->changed, &n->lock);
}

/* With the node's lock held: what is left of it (*length) is done, and then it ends with that. */
static int fault(struct lund_node *n, struct lund_record *r, uint64_t *length)
{
	*length = 0;
	if (n->is_cut) {
		r->flags |= LUND_IS_CUT;
		return EIO;
	}
	/* A loop that was shut looks far past the end: see disk.py. */
	if (r->offset > n->lund->size || r->length > n->lund->size - r->offset)
		return EIO;
	if ((n->failing & r->op) &&
	    (r->op == LUND_FLUSH ||
	     (r->offset < n->failing_to && r->offset + r->length > n->failing_from)))
		return EIO;
	*length = r->length;
	if (!n->is_tearing || r->op != LUND_WRITE || n->tear_after--)
		return 0;
	n->is_tearing = false;
	n->failing = LUND_ALL & ~LUND_FLUSH;
	n->failing_from = 0;
	n->failing_to = UINT64_MAX;
	r->flags |= LUND_IS_TORN;
	if (*length > n->tear_bytes)
		*length = n->tear_bytes;
	return EIO;
}

int lund_perform(struct lund_node *n, enum lund_op op, uint64_t offset, uint64_t length, void *buf)
{
	struct lund *l = n->lund;
	struct lund_record r = {.serial = lund_serial(l),
				.begin_ns = lund_now_ns(),
				.offset = offset,
				.length = length,
				.op = (uint16_t)op,
				.node = (uint8_t)n->number};
	uint64_t left;
	int error = 0;

	pthread_mutex_lock(&n->lock);
	hold(n, op);
	r.error = fault(n, &r, &left);
	n->under_way++;
	pthread_mutex_unlock(&n->lock);
	if (left || (op == LUND_FLUSH && !r.error))
		error = do_it(l, &r, left, buf);
	if (!r.error)
		r.error = error;
	if (op != LUND_READ || l->logs_reads)
		lund_log(l, &r, op == LUND_WRITE && r.done ? buf : NULL);
	pthread_mutex_lock(&n->lock);
	n->under_way--;
	pthread_cond_broadcast(&n->changed);
	pthread_mutex_unlock(&n->lock);
	return r.error;
}
