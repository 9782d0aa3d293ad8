/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads and writes under grants, and asking for them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "csvfs/edge/datapath_impl.h"
#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/process.h"
#include "lib/must.h"

/* One I/O, in whole blocks, and where it goes. */
struct io {
	bool is_write, is_sync;
	uint64_t offset;
	size_t size;
	uint8_t *buf;
	size_t row, slot;
	size_t count;
	struct csv_extent piece[DATAPATH_PIECES]; /* address and length */
};

static bool is_block(uint64_t n)
{
	return n % CSV_GRANT_BLOCK == 0;
}

bool datapath_is_suitable(const struct datapath *d, uint64_t offset, size_t size, bool is_write)
{
	uint64_t head = offset % CSV_GRANT_BLOCK;

	if (!d || !size)
		return false;
	if (is_write)
		return !head && is_block(size) && size <= CSV_IO_MAX;
	return head + size <= CSV_IO_MAX;
}

/* ---- asking */

/* False: what has come is not extents of a whole file, or there is no memory for them. */
static bool take_map(struct datapath_map *m, const struct csv_reply_grant *p)
{
	size_t n = p->extents.len / CSV_EXTENT_BYTES;
	struct csv_extent *e = calloc(n ? n : 1, sizeof(*e));
	uint64_t at = 0;

	if (!e)
		return false; /* it stays with the coordinator */
	for (size_t i = 0; i < n; i++) {
		if (!csv_extent_get(&p->extents, i, &e[i]) || e[i].offset != at) {
			free(e);
			return false;
		}
		at += e[i].length;
	}
	if (at < p->size) {
		free(e);
		return false;
	}
	free(m->extents);
	*m = (struct datapath_map){.extents = e, .count = n, .size = p->size};
	return true;
}

/* Without the lock while it asks. */
static void ask(struct datapath *d, const struct csv_handle *h, bool is_write, size_t row,
		struct client_interrupt *i)
{
	struct csv_request q = {.op = CSV_OP_GRANT, .grant = {.handle = *h, .is_write = is_write}};
	struct direct_event e = {
		.type = DIRECT_EV_REFUSED, .handle = *h, .why = CSV_UNGRANTED_RECALLED};
	struct csv_reply p;
	int r;

	d->is_asking = true;
	pthread_mutex_unlock(&d->lock);
	r = client_call(d->options.client, &q, &p, d->answer,
			(size_t)CSV_EXTENTS_MAX * CSV_EXTENT_BYTES, i);
	failpoint(FAIL_MOUNT_GRANTED, q.op, d->options.mount);
	pthread_mutex_lock(&d->lock);
	d->is_asking = false;
	e.now_ms = csv_now_ms();
	if (!r && !p.error && p.grant.mode == CSV_GRANT_NONE)
		e.why = (enum csv_ungranted)p.grant.why;
	if (!r && !p.error && p.grant.mode != CSV_GRANT_NONE && take_map(&d->map[row], &p.grant)) {
		e.type = DIRECT_EV_ISSUED;
		e.id = p.grant.id;
		e.mode = (enum csv_grant_mode)p.grant.mode;
	}
	datapath_step(d, &e);
}

/* ---- one I/O */

/* Where it goes; false: not all of it lies in what is known. */
static bool place(struct io *io, const struct datapath_map *m)
{
	uint64_t at = io->offset, end = io->offset + io->size;

	io->count = 0;
	for (size_t i = 0; i < m->count && at < end; i++) {
		const struct csv_extent *e = &m->extents[i];
		uint64_t skip, len;

		if (e->offset + e->length <= at)
			continue;
		if (io->count == DATAPATH_PIECES)
			return false;
		skip = at - e->offset;
		len = e->length - skip < end - at ? e->length - skip : end - at;
		io->piece[io->count++] = (struct csv_extent){at, e->address + skip, len};
		at += len;
	}
	return at == end && end <= m->size;
}

/* With the lock held: true: it is under way now. */
static bool begin(struct datapath *d, struct io *io, const struct csv_handle *h,
		  struct client_interrupt *i)
{
	struct direct_event e = {.type = DIRECT_EV_BEGIN,
				 .handle = *h,
				 .is_write = io->is_write,
				 .is_partial = !is_block(io->offset) || !is_block(io->size)};
	size_t row = direct_find(&d->core, h);
	const struct direct_action *a = &d->actions.item[0];

	if (row == DIRECT_NONE)
		return false;
	datapath_refresh_lease(d);
	if (io->offset + io->size < CSV_GRANT_MIN && d->tries[row] < DATAPATH_ASK_AFTER)
		d->tries[row]++;
	for (int round = 0; round < 2; round++) {
		e.now_ms = csv_now_ms();
		e.may_ask = !round && !d->is_asking &&
			    (io->offset + io->size >= CSV_GRANT_MIN ||
			     d->tries[row] >= DATAPATH_ASK_AFTER);
		datapath_step(d, &e);
		must(d->actions.count == 1);
		if (a->kind != DIRECT_DO_ASK)
			break;
		ask(d, h, io->is_write, a->file, i);
	}
	if (a->kind != DIRECT_DO_GO)
		return false;
	io->row = a->file;
	io->slot = datapath_io_begin(d);
	return true;
}

static void end(struct datapath *d, const struct io *io, bool has_written)
{
	struct direct_event e = {
		.type = DIRECT_EV_END, .file = io->row, .is_write = io->is_write && has_written};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	e.written = (struct csv_time){now.tv_sec, (uint32_t)now.tv_nsec};
	datapath_io_end(d, io->slot);
	datapath_step(d, &e);
}

/* Without the lock. 0 or -errno. */
static int perform(int fd, const struct io *io)
{
	size_t done = 0;

	for (size_t i = 0; i < io->count; i++) {
		size_t at = 0;

		while (at < io->piece[i].length) {
			struct iovec v = {io->buf + done + at, io->piece[i].length - at};
			off_t to = (off_t)(io->piece[i].address + at);
			ssize_t n = io->is_write
					    ? pwritev2(fd, &v, 1, to, io->is_sync ? RWF_DSYNC : 0)
					    : preadv2(fd, &v, 1, to, 0);

			if (n < 0)
				return -errno;
			if (!n || !is_block((uint64_t)n))
				return -EIO; /* the LUN has become smaller */
			at += (size_t)n;
		}
		done += at;
	}
	return 0;
}

static int run(struct datapath *d, struct io *io, const struct csv_handle *h, bool is_clipped,
	       struct client_interrupt *i)
{
	const struct datapath_map *m;
	int fd, r = 0;

	pthread_mutex_lock(&d->lock);
	if (!begin(d, io, h, i)) {
		pthread_mutex_unlock(&d->lock);
		return DATAPATH_HOME;
	}
	m = &d->map[io->row];
	/* A read ends with the file. */
	if (is_clipped && io->offset + io->size > m->size)
		io->size = io->offset < m->size ? m->size - io->offset : 0;
	fd = d->fd;
	if (!place(io, m)) {
		end(d, io, false);
		pthread_mutex_unlock(&d->lock);
		return DATAPATH_HOME;
	}
	pthread_mutex_unlock(&d->lock);
	r = perform(fd, io);
	if (io->is_write)
		failpoint(FAIL_MOUNT_WRITTEN, CSV_OP_WRITE, d->options.mount);
	pthread_mutex_lock(&d->lock);
	end(d, io, true);
	if (r) {
		log_error("%s of the LUN: %s", io->is_write ? "a write" : "a read", strerror(-r));
		datapath_block(d, DIRECT_PATH_ERROR);
	} else {
		d->reads += !io->is_write;
		d->writes += io->is_write;
		d->bytes += io->size;
	}
	pthread_mutex_unlock(&d->lock);
	return r ? DATAPATH_HOME : 0;
}

int datapath_read(struct datapath *d, const struct csv_handle *h, uint64_t offset, size_t size,
		  uint8_t *buf, size_t *ret_at, size_t *ret_len, struct client_interrupt *i)
{
	struct io io = {.buf = buf};
	size_t head = offset % CSV_GRANT_BLOCK;
	int r;

	io.offset = offset - head;
	io.size = (head + size + CSV_GRANT_BLOCK - 1) / CSV_GRANT_BLOCK * CSV_GRANT_BLOCK;
	r = run(d, &io, h, true, i);
	if (r)
		return r;
	*ret_at = head < io.size ? head : io.size;
	*ret_len = io.size - *ret_at < size ? io.size - *ret_at : size;
	return 0;
}

int datapath_write(struct datapath *d, const struct csv_handle *h, uint64_t offset, size_t size,
		   const uint8_t *buf, bool is_sync, struct client_interrupt *i)
{
	struct io io = {.is_write = true,
			.is_sync = is_sync,
			.offset = offset,
			.size = size,
			.buf = (uint8_t *)buf};

	return run(d, &io, h, false, i);
}

/* ---- flushing */

/* What the error of a flush means for those who have written. With the lock held. */
static int flush_has_failed(struct datapath *d, uint64_t writes, int r)
{
	if (direct_is_path_error(-r)) {
		log_error("a flush of the LUN: %s", strerror(-r));
		datapath_block(d, DIRECT_PATH_ERROR);
		return DATAPATH_HOME;
	}
	log_error("a flush of the LUN: %s: what was written since the last one may be lost -> all "
		  "who have the files open are told",
		  strerror(-r));
	datapath_step(d, &(struct direct_event){.type = DIRECT_EV_FAILED,
						.serial = writes,
						.error = (uint16_t)-r});
	return r;
}

int datapath_flush(struct datapath *d)
{
	uint64_t writes;
	size_t slot;
	int fd, r = 0;

	pthread_mutex_lock(&d->lock);
	writes = d->core.writes;
	fd = d->fd;
	if (writes == d->core.flushed || d->core.block != DIRECT_PATH_OK) {
		/* What was written before the path was lost is in the LUN's cache, which is the
		 * coordinator's, too: it flushes it. */
		r = writes == d->core.flushed ? 0 : DATAPATH_HOME;
		pthread_mutex_unlock(&d->lock);
		return r;
	}
	slot = datapath_io_begin(d);
	pthread_mutex_unlock(&d->lock);
	if (fdatasync(fd))
		r = -errno;
	pthread_mutex_lock(&d->lock);
	datapath_io_end(d, slot);
	if (r)
		r = flush_has_failed(d, writes, r);
	else
		datapath_step(d,
			      &(struct direct_event){.type = DIRECT_EV_FLUSHED, .serial = writes});
	pthread_mutex_unlock(&d->lock);
	return r;
}

uint64_t datapath_seen(struct datapath *d)
{
	uint64_t seen;

	if (!d)
		return 0;
	pthread_mutex_lock(&d->lock);
	seen = errors_sample(&d->core.errors);
	pthread_mutex_unlock(&d->lock);
	return seen;
}

int datapath_error(struct datapath *d, const struct csv_handle *h, uint64_t *seen)
{
	int error;

	if (!d)
		return 0;
	pthread_mutex_lock(&d->lock);
	error = errors_take(&d->core.errors, h, seen);
	pthread_mutex_unlock(&d->lock);
	return error;
}

int datapath_fsync(struct datapath *d, const struct csv_handle *h, uint64_t *seen)
{
	bool is_sole;
	int r, error;

	if (!d)
		return DATAPATH_HOME;
	r = datapath_flush(d);
	error = datapath_error(d, h, seen);
	if (error)
		return -error;
	pthread_mutex_lock(&d->lock);
	is_sole = direct_is_sole(&d->core, h);
	pthread_mutex_unlock(&d->lock);
	return r || !is_sole ? DATAPATH_HOME : 0;
}

void datapath_went_home(struct datapath *d, size_t size)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	if (!d->core.has_lease || d->core.block != DIRECT_PATH_OK || d->core.is_aside)
		d->redirected_bytes += size;
	pthread_mutex_unlock(&d->lock);
}
