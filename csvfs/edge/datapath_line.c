/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The line for recalls, and the care for the path to the LUN. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "csvfs/edge/datapath_impl.h"
#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/process.h"
#include "lib/must.h"
#include "lib/wire.h"

#define CONNECT_MS 3000
#define WRITE_MS   20000
#define PEER_MS	   10000
#define FRAME_MAX  256

/* ---- sending */

static bool has_to_send(const struct datapath *d)
{
	return d->out && d->tls && !d->is_ending;
}

/* Says that we are there, when it is time. Returns how long nothing need be said. */
static uint64_t renew(struct datapath *d)
{
	uint64_t now = csv_now_ms();
	struct csv_frame f = {.type = CSV_FRAME_RENEW, .renew = {.sent_ms = now}};

	if (!d->tls || !d->options.cache)
		return 0;
	if (now < d->renew_ms)
		return d->renew_ms - now;
	d->renew_ms = now + CACHE_RENEW_MS;
	datapath_push(d, &f);
	return CACHE_RENEW_MS;
}

void *datapath_send_loop(void *arg)
{
	struct datapath *d = arg;
	uint8_t buf[FRAME_MAX];

	pthread_mutex_lock(&d->lock);
	while (!d->is_ending) {
		struct datapath_out *o;
		struct tls *t = d->tls;
		uint64_t idle = renew(d);
		size_t len;
		int r;

		if (!has_to_send(d)) {
			datapath_wait(d, &d->send_wake, idle);
			continue;
		}
		o = d->out;
		d->is_sending = true;
		pthread_mutex_unlock(&d->lock);
		must(!csv_frame_encode(&o->frame, buf, sizeof(buf), &len));
		r = tls_write(t, buf, len);
		pthread_mutex_lock(&d->lock);
		d->is_sending = false;
		pthread_cond_signal(&d->line_wake);
		if (r) {
			shutdown(tls_fd(t), SHUT_RDWR);
			datapath_wait(d, &d->send_wake, DATAPATH_RETRY_MS);
			continue;
		}
		d->out = o->next;
		if (!d->out)
			d->out_end = &d->out;
		datapath_out_put(d, o);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* ---- what comes */

static int read_frame(struct tls *t, struct csv_frame *ret)
{
	uint8_t prefix[CSV_FRAME_PREFIX], body[FRAME_MAX];
	struct wire_reader w;
	uint32_t len;
	int r = tls_read(t, prefix, sizeof(prefix));

	if (r)
		return r;
	wire_reader_init(&w, prefix, sizeof(prefix));
	len = wire_get_u32(&w);
	if (len > sizeof(body))
		return -EBADMSG;
	r = tls_read(t, body, len);
	return r ? r : csv_frame_decode(body, len, ret);
}

static void on_recall(struct datapath *d, const struct csv_frame_recall *f)
{
	failpoint(FAIL_MOUNT_RECALL, 0, d->options.mount);
	pthread_mutex_lock(&d->lock);
	datapath_step(d, &(struct direct_event){.type = DIRECT_EV_RECALL,
						.handle = f->handle,
						.id = f->id,
						.now_ms = csv_now_ms()});
	pthread_mutex_unlock(&d->lock);
}

static void tell(struct datapath *d, const struct csv_frame_ask *f)
{
	struct csv_frame a = {.type = CSV_FRAME_TOLD,
			      .told = {.handle = f->handle, .id = f->id, .serial = f->serial}};
	size_t row;

	pthread_mutex_lock(&d->lock);
	row = direct_find(&d->core, &f->handle);
	if (row != DIRECT_NONE) {
		a.told.has_written = d->core.file[row].has_written;
		a.told.written = d->core.file[row].written;
	}
	datapath_push(d, &a);
	pthread_mutex_unlock(&d->lock);
}

/* A flush may take as long as the LUN does; recalls do not wait for it. */
static void on_ask(struct datapath *d, const struct csv_frame_ask *f)
{
	pthread_mutex_lock(&d->lock);
	if (f->wants_flush && d->core.writes != d->core.flushed) {
		struct datapath_flush *w = datapath_flush_take(d);

		w->ask = *f;
		w->next = d->flushes;
		d->flushes = w;
		pthread_cond_signal(&d->flush_wake);
		pthread_mutex_unlock(&d->lock);
		return;
	}
	pthread_mutex_unlock(&d->lock);
	tell(d, f);
}

void *datapath_flush_loop(void *arg)
{
	struct datapath *d = arg;

	pthread_mutex_lock(&d->lock);
	while (!d->is_ending) {
		struct datapath_flush *w = d->flushes;

		if (!w && (d->core.block != DIRECT_PATH_OK || !direct_wants_flush(&d->core))) {
			datapath_wait(d, &d->flush_wake, 0);
			continue;
		}
		if (w)
			d->flushes = w->next;
		pthread_mutex_unlock(&d->lock);
		/* Whom a failure concerns is told before the answer: over the same line. */
		datapath_flush(d);
		failpoint(FAIL_MOUNT_FLUSHED, 0, d->options.mount);
		if (w)
			tell(d, &w->ask);
		pthread_mutex_lock(&d->lock);
		if (w)
			datapath_flush_put(d, w);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* False: it makes no sense. */
static bool on_failed(struct datapath *d, const struct csv_frame_failed *f)
{
	if (!f->handle.ino || !f->origin)
		return false;
	log_error("inode %llu: writes were lost on their way to the disk: %s -> whoever has it "
		  "open here is told by fsync",
		  (unsigned long long)f->handle.ino, strerror(f->error));
	pthread_mutex_lock(&d->lock);
	datapath_step(d, &(struct direct_event){.type = DIRECT_EV_HEARD, .failure = *f});
	pthread_mutex_unlock(&d->lock);
	return true;
}

/* It is forgotten before it is said to be. */
static void on_break(struct datapath *d, const struct csv_frame_broke *f)
{
	struct csv_frame a = {.type = CSV_FRAME_BROKEN,
			      .broken = {.handle = f->handle, .serial = f->serial}};

	failpoint(FAIL_MOUNT_BREAK, 0, d->options.mount);
	mount_cache_break(d->options.cache, &f->handle);
	failpoint(FAIL_MOUNT_BROKEN, 0, d->options.mount);
	pthread_mutex_lock(&d->lock);
	datapath_push(d, &a);
	pthread_mutex_unlock(&d->lock);
}

static void listen_to(struct datapath *d, struct tls *t)
{
	struct csv_frame f;

	while (!read_frame(t, &f)) {
		if (f.type == CSV_FRAME_RECALL)
			on_recall(d, &f.recall);
		else if (f.type == CSV_FRAME_ASK)
			on_ask(d, &f.ask);
		else if (f.type == CSV_FRAME_BREAK)
			on_break(d, &f.broke);
		else if (f.type == CSV_FRAME_RENEWED)
			mount_cache_renewed(d->options.cache, f.renewed.sent_ms);
		else if (f.type == CSV_FRAME_FAILED && on_failed(d, &f.failed))
			continue;
		else if (f.type == CSV_FRAME_LOCK_GRANTED && d->options.on_lock_granted)
			d->options.on_lock_granted(d->options.arg, f.lock_granted.number);
		else
			return;
	}
}

/* ---- the line */

/* 0: the coordinator has taken it. */
static int greet(const struct datapath *d, struct tls *t, uint64_t term)
{
	struct csv_frame f = {.type = CSV_FRAME_CHANNEL,
			      .channel = {.protocol = CSV_PROTOCOL,
					  .volume = d->options.volume,
					  .term = term,
					  .mount = d->options.mount,
					  .channel = CSV_CHANNEL_RECALLS}};
	uint8_t buf[FRAME_MAX];
	size_t len;
	int r;

	must(!csv_frame_encode(&f, buf, sizeof(buf), &len));
	r = tls_write(t, buf, len);
	r = r ? r : read_frame(t, &f);
	if (r)
		return r;
	return f.type == CSV_FRAME_WELCOME && f.welcome.term == term ? 0 : -ECONNREFUSED;
}

/* From its making to its end. With the lock held, but for most of the time. */
static void converse(struct datapath *d)
{
	uint64_t version = d->target_version, term = d->term;
	char address[CSV_LINK_ADDRESS];
	uint16_t port = d->port;
	struct tls *t = NULL;
	int r;

	memcpy(address, d->address, sizeof(address));
	pthread_mutex_unlock(&d->lock);
	r = tls_connect(address, port, &d->options.key, CONNECT_MS, &t);
	r = r ? r : greet(d, t, term);
	r = r ? r : tls_set_deadlines(t, 0, WRITE_MS, PEER_MS);
	pthread_mutex_lock(&d->lock);
	if (!r && version == d->target_version && !d->is_ending) {
		d->tls = t;
		d->renew_ms = 0;
		datapath_step(d, &(struct direct_event){.type = DIRECT_EV_CONFIRMED});
		d->options.on_change(d->options.arg);
		pthread_cond_signal(&d->send_wake);
		pthread_mutex_unlock(&d->lock);
		listen_to(d, t);
		pthread_mutex_lock(&d->lock);
		d->tls = NULL;
		shutdown(tls_fd(t), SHUT_RDWR);
		while (d->is_sending)
			datapath_wait(d, &d->line_wake, 0);
	}
	pthread_mutex_unlock(&d->lock);
	tls_close(t);
	pthread_mutex_lock(&d->lock);
}

void *datapath_line_loop(void *arg)
{
	struct datapath *d = arg;
	struct client_status c;

	pthread_mutex_lock(&d->lock);
	while (!d->is_ending) {
		bool is_ready;

		pthread_mutex_unlock(&d->lock);
		client_status(d->options.client, &c);
		pthread_mutex_lock(&d->lock);
		/*
		 * Before the client is welcome the coordinator does not take it. When that waits to
		 * be welcomed again, what it waits for may be a recall.
		 */
		is_ready = d->term && (c.is_serving || c.term == d->term) && !d->is_ending;
		if (is_ready)
			converse(d);
		if (!d->is_ending)
			datapath_wait(d, &d->line_wake, is_ready ? DATAPATH_RETRY_MS : 0);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* ---- the path */

/* What reads the LUN's header anew has tried the path. */
static void try_path(struct datapath *d)
{
	int fd;

	pthread_mutex_unlock(&d->lock);
	fd = d->options.open_device(d->options.arg);
	pthread_mutex_lock(&d->lock);
	if (fd < 0)
		return;
	if (d->fd < 0) {
		d->fd = fd;
	} else {
		/* I/O under way keeps the old one until it ends. */
		must(dup3(fd, d->fd, O_CLOEXEC) >= 0);
		close(fd);
	}
	datapath_block(d, DIRECT_PATH_OK);
}

void *datapath_tend_loop(void *arg)
{
	struct datapath *d = arg;

	pthread_mutex_lock(&d->lock);
	while (!d->is_ending) {
		if (d->core.block != DIRECT_PATH_OK)
			try_path(d);
		if (!d->is_ending)
			datapath_wait(d, &d->tend_wake,
				      d->core.block == DIRECT_PATH_OK ? 0 : DATAPATH_PROBE_MS);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}
