/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/bulk.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clusterd/edge/secret_file.h"
#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/wire.h"

#define BULK_MAGIC	UINT32_C(0x4b4c4243) /* "CBLK" */
#define BULK_BODY_MAX	(256u * 1024 * 1024)
#define BULK_TIMEOUT_MS 5000
#define BULK_SERVED_MAX 8 /* askers served at a time; more wait in the listen queue */
#define REQUEST_BYTES	49
#define ENTRY_HEAD	64

struct bulk {
	qb_loop_t *loop;
	char *store_path, *secrets_dir;
	uint16_t port;
	struct tls_key key;
	bulk_done done;
	void *arg;
	int listen_fd, stop_fd, event_fd;
	pthread_t server;
	pthread_mutex_t mutex;
	/* under the mutex */
	bool has_view;
	struct cl_view_id view;
	int served;
	pthread_cond_t served_less;
	struct tls *pulling; /* to be shut down by a cancel */
	bool is_cancelled, has_result;
	struct bulk_result result;
	/* of the loop */
	bool pull_runs;
	pthread_t puller;
	char address[64];
	struct cl_view_id pull_view;
	uint64_t after;
	struct cl_epoch epoch;
};

struct served {
	struct bulk *bulk;
	int fd;
};

/* ---- bytes of request and answer */

/* `more` bytes follow it: the name of a secret's file, else it is a history that is asked for. */
struct request {
	struct cl_view_id view;
	uint64_t after;
	struct cl_epoch epoch;
	uint32_t more;
};

static void request_encode(const struct request *q, uint8_t buf[REQUEST_BYTES])
{
	struct wire_writer w;
	size_t len;

	wire_writer_init(&w, buf, REQUEST_BYTES);
	wire_put_u32(&w, BULK_MAGIC);
	wire_put_u32(&w, q->view.ring.rep);
	wire_put_u64(&w, q->view.ring.seq);
	wire_put_u64(&w, q->view.nonce);
	wire_put_u64(&w, q->after);
	wire_put_u32(&w, q->epoch.generation);
	wire_put_u64(&w, q->epoch.number);
	wire_put_u8(&w, q->epoch.starter);
	wire_put_u32(&w, q->more);
	must(!wire_writer_end(&w, &len) && len == REQUEST_BYTES);
}

static int request_decode(const uint8_t *buf, struct request *q)
{
	struct wire_reader r;

	wire_reader_init(&r, buf, REQUEST_BYTES);
	if (wire_get_u32(&r) != BULK_MAGIC)
		return -EBADMSG;
	q->view.ring.rep = wire_get_u32(&r);
	q->view.ring.seq = wire_get_u64(&r);
	q->view.nonce = wire_get_u64(&r);
	q->after = wire_get_u64(&r);
	q->epoch.generation = wire_get_u32(&r);
	q->epoch.number = wire_get_u64(&r);
	q->epoch.starter = wire_get_enum(&r, CL_MAX_NODES);
	q->more = wire_get_u32(&r);
	return wire_reader_end(&r);
}

static size_t answer_bound(const struct bulk_result *a)
{
	size_t n = 8192 + a->snapshot.len;

	for (size_t i = 0; i < a->log.count; i++)
		n += ENTRY_HEAD + a->log.entry[i].payload_len;
	return n;
}

int bulk_encode(const struct bulk_result *a, uint8_t **ret, size_t *ret_len)
{
	size_t cap = answer_bound(a);
	uint8_t *buf = malloc(cap);
	struct wire_writer w;

	must(buf);
	wire_writer_init(&w, buf, cap);
	wire_put_raw(&w, a->cluster.byte, sizeof(a->cluster.byte));
	cl_table_put(&w, &a->table);
	wire_put_u64(&w, a->snapshot.index);
	wire_put_bytes(&w, a->snapshot.bytes, a->snapshot.len);
	wire_put_u32(&w, (uint32_t)a->log.count);
	for (size_t i = 0; i < a->log.count; i++) {
		const struct store_entry *e = &a->log.entry[i];

		wire_put_u64(&w, e->index);
		wire_put_u32(&w, e->epoch.generation);
		wire_put_u64(&w, e->epoch.number);
		wire_put_u8(&w, e->epoch.starter);
		wire_put_u8(&w, e->kind);
		wire_put_u8(&w, e->origin);
		wire_put_u64(&w, e->instance);
		wire_put_u64(&w, e->request);
		wire_put_bytes(&w, e->payload, e->payload_len);
	}
	must(!wire_writer_end(&w, ret_len));
	*ret = buf;
	return 0;
}

static void get_entry(struct wire_reader *r, struct store_log *log)
{
	struct repl_entry e = {0};

	e.index = wire_get_u64(r);
	e.epoch.generation = wire_get_u32(r);
	e.epoch.number = wire_get_u64(r);
	e.epoch.starter = wire_get_enum(r, CL_MAX_NODES);
	e.kind = wire_get_enum(r, CL_ENTRY_MAX);
	e.origin = wire_get_enum(r, CL_MAX_NODES);
	e.instance = wire_get_u64(r);
	e.request = wire_get_u64(r);
	e.payload.data = wire_get_bytes(r, &e.payload.len);
	if (log->count && e.index != log->entry[log->count - 1].index + 1)
		wire_reader_fail(r);
	if (!r->error)
		store_log_push(log, &e);
}

void bulk_result_clear(struct bulk_result *a)
{
	free(a->snapshot.bytes);
	store_log_clear(&a->log);
	*a = (struct bulk_result){0};
}

int bulk_decode(const uint8_t *buf, size_t len, struct bulk_result *a)
{
	struct wire_reader r;
	const uint8_t *bytes;
	uint32_t count;

	wire_reader_init(&r, buf, len);
	wire_get_raw(&r, a->cluster.byte, sizeof(a->cluster.byte));
	cl_table_get(&r, &a->table);
	a->snapshot.index = wire_get_u64(&r);
	bytes = wire_get_bytes(&r, &a->snapshot.len);
	if (a->snapshot.len) {
		a->snapshot.bytes = malloc(a->snapshot.len);
		must(a->snapshot.bytes);
		memcpy(a->snapshot.bytes, bytes, a->snapshot.len);
	}
	count = wire_get_u32(&r);
	for (uint32_t i = 0; i < count && !r.error; i++)
		get_entry(&r, &a->log);
	if (!wire_reader_end(&r))
		return 0;
	bulk_result_clear(a);
	return -EBADMSG;
}

/* ---- donor */

static bool is_our_view(struct bulk *b, const struct cl_view_id *view)
{
	bool ok;

	pthread_mutex_lock(&b->mutex);
	ok = b->has_view && cl_view_equal(&b->view, view);
	pthread_mutex_unlock(&b->mutex);
	return ok;
}

/* u32 status (errno), u32 length, body. */
static int send_answer(struct tls *t, int status, const uint8_t *body, size_t len)
{
	uint8_t head[8];
	struct wire_writer w;
	int r;

	wire_writer_init(&w, head, sizeof(head));
	wire_put_u32(&w, (uint32_t)-status);
	wire_put_u32(&w, (uint32_t)len);
	r = tls_write(t, head, sizeof(head));
	return r ? r : tls_write(t, body, len);
}

static void serve_secret(struct bulk *b, struct tls *t, uint32_t len, int r)
{
	char file[SECRET_FILE_MAX], value[SECRET_VALUE_MAX] = "";

	if (len >= sizeof(file) || tls_read(t, file, len))
		return;
	file[len] = 0;
	if (!r)
		r = secret_file_read(b->secrets_dir, file, value);
	send_answer(t, r, (const uint8_t *)value, r ? 0 : strlen(value));
	explicit_bzero(value, sizeof(value));
}

static void serve_history(struct bulk *b, struct tls *t, const struct request *q, int r)
{
	struct bulk_result a = {0};
	uint8_t *body = NULL;
	size_t len = 0;

	if (!r)
		r = store_read(b->store_path, q->after, &q->epoch, &a.cluster, &a.table,
			       &a.snapshot, &a.log);
	if (!r)
		r = bulk_encode(&a, &body, &len);
	if (!r && len > BULK_BODY_MAX)
		r = -EFBIG;
	send_answer(t, r, body, r ? 0 : len); /* a lost asker asks again */
	free(body);
	bulk_result_clear(&a);
}

static void serve(struct bulk *b, struct tls *t)
{
	uint8_t bytes[REQUEST_BYTES];
	struct request q;
	int r;

	if (tls_read(t, bytes, sizeof(bytes)) || request_decode(bytes, &q))
		return;
	r = is_our_view(b, &q.view) ? 0 : -ESTALE;
	if (q.more)
		serve_secret(b, t, q.more, r);
	else
		serve_history(b, t, &q, r);
}

static void *serve_thread(void *arg)
{
	struct served *s = arg;
	struct bulk *b = s->bulk;
	struct tls *t;

	if (!tls_accept(s->fd, &b->key, BULK_TIMEOUT_MS, &t)) {
		serve(b, t);
		tls_close(t);
	}
	free(s);
	pthread_mutex_lock(&b->mutex);
	b->served--;
	pthread_cond_signal(&b->served_less);
	pthread_mutex_unlock(&b->mutex);
	return NULL;
}

static void serve_start(struct bulk *b, int fd)
{
	struct served *s = malloc(sizeof(*s));
	pthread_attr_t attr;
	pthread_t thread;

	must(s);
	*s = (struct served){b, fd};
	pthread_mutex_lock(&b->mutex);
	while (b->served >= BULK_SERVED_MAX)
		pthread_cond_wait(&b->served_less, &b->mutex);
	b->served++;
	pthread_mutex_unlock(&b->mutex);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	must(!pthread_create(&thread, &attr, serve_thread, s));
	pthread_attr_destroy(&attr);
}

static void *server_thread(void *arg)
{
	struct bulk *b = arg;
	struct pollfd p[2] = {{.fd = b->listen_fd, .events = POLLIN},
			      {.fd = b->stop_fd, .events = POLLIN}};

	for (;;) {
		int fd;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			break;
		fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			serve_start(b, fd);
	}
	return NULL;
}

void bulk_set_view(struct bulk *b, const struct cl_view_id *view)
{
	pthread_mutex_lock(&b->mutex);
	b->has_view = view != NULL;
	if (view)
		b->view = *view;
	pthread_mutex_unlock(&b->mutex);
}

/* ---- asker */

/* What the donor says, and how long the body is that follows. */
static int read_head(struct tls *t, uint32_t max, uint32_t *ret_len)
{
	uint8_t head[8];
	struct wire_reader r;
	uint32_t status;
	int e = tls_read(t, head, sizeof(head));

	if (e)
		return e;
	wire_reader_init(&r, head, sizeof(head));
	status = wire_get_u32(&r);
	*ret_len = wire_get_u32(&r);
	if (status)
		return status < 4096 ? -(int)status : -EBADMSG;
	return *ret_len > max ? -EFBIG : 0;
}

static int read_answer(struct tls *t, struct bulk_result *a)
{
	uint8_t *body;
	uint32_t len;
	int e = read_head(t, BULK_BODY_MAX, &len);

	if (e)
		return e;
	body = malloc(len ? len : 1);
	must(body);
	e = tls_read(t, body, len);
	if (!e)
		e = bulk_decode(body, len, a);
	free(body);
	return e;
}

/* Lets a cancel find the connection; false if it has come already. */
static bool publish(struct bulk *b, struct tls *t)
{
	bool ok;

	pthread_mutex_lock(&b->mutex);
	ok = !b->is_cancelled;
	b->pulling = ok ? t : NULL;
	pthread_mutex_unlock(&b->mutex);
	return ok;
}

static int pull(struct bulk *b, struct bulk_result *a)
{
	struct request q = {.view = b->pull_view, .after = b->after, .epoch = b->epoch};
	uint8_t request[REQUEST_BYTES];
	struct tls *t;
	int r = tls_connect(b->address, b->port, &b->key, BULK_TIMEOUT_MS, &t);

	if (r)
		return r;
	if (!publish(b, t)) {
		tls_close(t);
		return -ECANCELED;
	}
	request_encode(&q, request);
	r = tls_write(t, request, sizeof(request));
	if (!r)
		r = read_answer(t, a);
	pthread_mutex_lock(&b->mutex);
	b->pulling = NULL;
	pthread_mutex_unlock(&b->mutex);
	tls_close(t);
	return r;
}

static void *pull_thread(void *arg)
{
	struct bulk *b = arg;
	struct bulk_result a = {0};
	uint64_t one = 1;
	int r = pull(b, &a);

	a.r = r;
	pthread_mutex_lock(&b->mutex);
	if (b->is_cancelled) {
		bulk_result_clear(&a);
		a.r = -ECANCELED;
	}
	b->result = a;
	b->has_result = true;
	pthread_mutex_unlock(&b->mutex);
	must(write(b->event_fd, &one, sizeof(one)) == sizeof(one));
	return NULL;
}

void bulk_pull(struct bulk *b, const char *address, const struct cl_view_id *view, uint64_t after,
	       const struct cl_epoch *epoch)
{
	size_t n = strnlen(address, sizeof(b->address) - 1);

	must(!b->pull_runs);
	memcpy(b->address, address, n);
	b->address[n] = 0;
	b->pull_view = *view;
	b->after = after;
	b->epoch = *epoch;
	b->is_cancelled = b->has_result = false;
	b->pull_runs = true;
	must(!pthread_create(&b->puller, NULL, pull_thread, b));
}

void bulk_cancel(struct bulk *b)
{
	pthread_mutex_lock(&b->mutex);
	b->is_cancelled = true;
	if (b->pulling)
		shutdown(tls_fd(b->pulling), SHUT_RDWR);
	pthread_mutex_unlock(&b->mutex);
}

static int on_event(int32_t fd, int32_t revents, void *arg)
{
	struct bulk *b = arg;
	struct bulk_result a;
	uint64_t count;

	(void)revents;
	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	pthread_join(b->puller, NULL);
	b->pull_runs = false;
	a = b->result;
	b->result = (struct bulk_result){0};
	b->done(b->arg, &a);
	bulk_result_clear(&a);
	return 0;
}

int bulk_ask_secret(const char *address, uint16_t port, const struct tls_key *key,
		    const struct cl_view_id *view, const char *file, char value[SECRET_VALUE_MAX])
{
	struct request q = {.view = *view, .more = (uint32_t)strlen(file)};
	uint8_t request[REQUEST_BYTES];
	struct tls *t;
	uint32_t len;
	int r = tls_connect(address, port, key, BULK_TIMEOUT_MS, &t);

	if (r)
		return r;
	request_encode(&q, request);
	r = tls_write(t, request, sizeof(request));
	if (!r)
		r = tls_write(t, file, strlen(file));
	if (!r)
		r = read_head(t, SECRET_VALUE_MAX - 1, &len);
	if (!r)
		r = tls_read(t, value, len);
	if (!r)
		value[len] = 0;
	tls_close(t);
	return r;
}

int bulk_open(qb_loop_t *loop, const char *store_path, const char *secrets_dir, const char *address,
	      uint16_t port, const struct tls_key *key, bulk_done done, void *arg,
	      struct bulk **ret)
{
	struct bulk *b;
	int listen_fd = tls_listen(address, port);

	if (listen_fd < 0)
		return listen_fd;
	b = calloc(1, sizeof(*b));
	must(b);
	*b = (struct bulk){.loop = loop,
			   .store_path = strdup(store_path),
			   .secrets_dir = strdup(secrets_dir),
			   .port = port,
			   .key = *key,
			   .done = done,
			   .arg = arg,
			   .listen_fd = listen_fd};
	b->stop_fd = eventfd(0, EFD_CLOEXEC);
	b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(b->store_path && b->secrets_dir && b->stop_fd >= 0 && b->event_fd >= 0);
	pthread_mutex_init(&b->mutex, NULL);
	pthread_cond_init(&b->served_less, NULL);
	must(!qb_loop_poll_add(loop, QB_LOOP_MED, b->event_fd, POLLIN, b, on_event));
	must(!pthread_create(&b->server, NULL, server_thread, b));
	*ret = b;
	return 0;
}

void bulk_close(struct bulk *b)
{
	uint64_t one = 1;

	if (!b)
		return;
	must(write(b->stop_fd, &one, sizeof(one)) == sizeof(one));
	pthread_join(b->server, NULL);
	if (b->pull_runs) {
		bulk_cancel(b);
		pthread_join(b->puller, NULL);
		bulk_result_clear(&b->result);
	}
	pthread_mutex_lock(&b->mutex);
	while (b->served)
		pthread_cond_wait(&b->served_less, &b->mutex);
	pthread_mutex_unlock(&b->mutex);
	qb_loop_poll_del(b->loop, b->event_fd);
	close(b->listen_fd);
	close(b->stop_fd);
	close(b->event_fd);
	free(b->store_path);
	free(b->secrets_dir);
	free(b);
}
