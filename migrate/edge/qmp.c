/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "migrate/edge/due.h"

#define READ_BYTES	(16 * 1024)
#define READS_PER_TURN	8 /* then the loop may do other things */
#define CAPABILITIES_MS 10000
#define TEXT_MAX	200
#define ID_OF_GREETING	0 /* the pending entry that stands for QEMU's greeting */

enum qmp_phase { QMP_GREETING, QMP_NEGOTIATING, QMP_READY, QMP_ENDED };

struct pending {
	bool is_used, is_given_up;
	uint64_t id, due_ms;
	qmp_reply_fn done;
	void *data;
};

struct qmp {
	qb_loop_t *loop;
	struct qmp_callbacks callbacks;
	void *arg;
	int fd;
	enum qmp_phase phase;
	struct qmp_version version;
	struct due *due;
	uint64_t last_id;
	struct pending pending[QMP_PENDING_MAX];
	char *in; /* QMP_LINE_MAX */
	size_t in_len;
	char *out; /* QMP_OUTPUT_MAX */
	size_t out_len;
};

static int32_t on_socket(int32_t fd, int32_t revents, void *data);

/* ---- deadlines ---- */

static void arm(struct qmp *q)
{
	uint64_t first = DUE_NEVER;

	for (size_t i = 0; i < QMP_PENDING_MAX; i++) {
		const struct pending *p = &q->pending[i];

		if (p->is_used && !p->is_given_up && p->due_ms < first)
			first = p->due_ms;
	}
	due_at(q->due, first);
}

static struct pending *find(struct qmp *q, uint64_t id)
{
	for (size_t i = 0; i < QMP_PENDING_MAX; i++) {
		if (q->pending[i].is_used && q->pending[i].id == id)
			return &q->pending[i];
	}
	return NULL;
}

static struct pending *find_free(struct qmp *q)
{
	for (size_t i = 0; i < QMP_PENDING_MAX; i++) {
		if (!q->pending[i].is_used)
			return &q->pending[i];
	}
	return NULL;
}

static void answer(const struct pending *p, const struct qmp_reply *reply)
{
	if (p->done && !p->is_given_up)
		p->done(p->data, reply);
}

/* The connection is of no more use. The last thing that is done with q. */
static void end(struct qmp *q, const char *why)
{
	struct qmp_reply reply = {.r = -EPIPE, .text = why};

	if (q->phase == QMP_ENDED)
		return;
	q->phase = QMP_ENDED;
	(void)qb_loop_poll_del(q->loop, q->fd);
	close(steal_fd(&q->fd));
	due_at(q->due, DUE_NEVER);
	for (size_t i = 0; i < QMP_PENDING_MAX; i++) {
		struct pending p = q->pending[i];

		q->pending[i].is_used = false;
		if (p.is_used)
			answer(&p, &reply);
	}
	q->callbacks.on_end(q->arg, why);
}

static void on_due(void *arg)
{
	struct qmp *q = arg;
	struct qmp_reply reply = {.r = -ETIMEDOUT, .text = "QEMU did not answer in time"};
	uint64_t now_ms = due_now_ms();

	if (q->phase == QMP_ENDED)
		return;
	for (size_t i = 0; i < QMP_PENDING_MAX; i++) {
		struct pending *p = &q->pending[i];

		if (!p->is_used || p->is_given_up || p->due_ms > now_ms)
			continue;
		if (q->phase != QMP_READY) {
			end(q, "QEMU did not greet in time");
			return;
		}
		answer(p, &reply);
		p->is_given_up = true; /* its answer may come yet, and is not wanted */
	}
	arm(q);
}

/* ---- output ---- */

/* A failed write shows as the end of the stream when it is read: told from the loop. */
static void flush(struct qmp *q)
{
	int events = POLLIN;

	while (q->out_len) {
		ssize_t n = send(q->fd, q->out, q->out_len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		memmove(q->out, q->out + n, q->out_len - (size_t)n);
		q->out_len -= (size_t)n;
	}
	if (q->out_len)
		events |= POLLOUT;
	(void)qb_loop_poll_mod(q->loop, QB_LOOP_MED, q->fd, events, q, on_socket);
}

static int send_command(struct qmp *q, const char *name, json_t *arguments, uint64_t id)
{
	_cleanup_(json_decrefp) json_t *o = json_pack("{s:s, s:I, s:o*}", "execute", name, "id",
						      (json_int_t)id, "arguments", arguments);
	size_t room = QMP_OUTPUT_MAX - q->out_len, n;

	if (!o)
		return -ENOMEM;
	n = json_dumpb(o, q->out + q->out_len, room, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (!n || n >= room)
		return -ENOBUFS;
	q->out[q->out_len + n] = '\n';
	q->out_len += n + 1;
	flush(q);
	return 0;
}

static int submit(struct qmp *q, const char *name, json_t *arguments, uint32_t timeout_ms,
		  const struct pending *how)
{
	struct pending *p = find_free(q);
	int r;

	if (!p) {
		json_decref(arguments);
		return -ENOBUFS;
	}
	r = send_command(q, name, arguments, q->last_id + 1);
	if (r)
		return r;
	*p = *how;
	p->is_used = true;
	p->id = ++q->last_id;
	p->due_ms = due_now_ms() + timeout_ms;
	arm(q);
	return 0;
}

int qmp_command(struct qmp *q, const char *name, json_t *arguments, uint32_t timeout_ms,
		qmp_reply_fn done, void *data)
{
	struct pending how = {.done = done, .data = data};

	if (q->phase != QMP_READY) {
		json_decref(arguments);
		return -ENOTCONN;
	}
	return submit(q, name, arguments, timeout_ms, &how);
}

/* ---- input: each returns NULL, or what is wrong ---- */

static void on_capabilities(void *data, const struct qmp_reply *reply)
{
	struct qmp *q = data;

	if (reply->r == 0 && q->phase == QMP_NEGOTIATING) {
		q->phase = QMP_READY;
		q->callbacks.on_ready(q->arg, &q->version);
	}
}

static const char *take_greeting(struct qmp *q, json_t *o)
{
	struct pending how = {.done = on_capabilities, .data = q};
	struct pending *greeting = find(q, ID_OF_GREETING);
	int major, minor, micro;

	if (json_unpack(o, "{s:{s:{s:{s:i, s:i, s:i}}}}", "QMP", "version", "qemu", "major", &major,
			"minor", &minor, "micro", &micro) ||
	    major < 0 || minor < 0 || micro < 0)
		return "it did not greet as QEMU does";
	q->version =
		(struct qmp_version){(unsigned int)major, (unsigned int)minor, (unsigned int)micro};
	greeting->is_used = false;
	q->phase = QMP_NEGOTIATING;
	if (submit(q, "qmp_capabilities", NULL, CAPABILITIES_MS, &how))
		return "it cannot be written to";
	return NULL;
}

static const char *take_answer(struct qmp *q, const json_t *o)
{
	const json_t *id = json_object_get(o, "id"), *error = json_object_get(o, "error");
	struct qmp_reply reply = {.value = json_object_get(o, "return"), .text = ""};
	struct pending *p, copy;

	if (!json_is_integer(id) || json_integer_value(id) <= 0)
		return error ? "it did not understand a command" : "an answer without id";
	p = find(q, (uint64_t)json_integer_value(id));
	if (!p)
		return "an answer to nothing that was asked";
	if (error) {
		reply.r = -EREMOTEIO;
		reply.error_class = json_string_value(json_object_get(error, "class"));
		reply.text = json_string_value(json_object_get(error, "desc"));
		if (!reply.error_class || !reply.text)
			return "an error without class or text";
		if (q->phase == QMP_NEGOTIATING)
			return "it refused qmp_capabilities";
	}
	copy = *p;
	p->is_used = false;
	arm(q);
	answer(&copy, &reply);
	return NULL;
}

static const char *take_line(struct qmp *q, const char *line, size_t len)
{
	json_error_t error;
	_cleanup_(json_decrefp) json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	const json_t *event = json_object_get(o, "event");

	if (!json_is_object(o))
		return "a line that is no JSON object";
	if (q->phase == QMP_GREETING)
		return take_greeting(q, o);
	if (json_object_get(o, "return") || json_object_get(o, "error"))
		return take_answer(q, o);
	if (!json_is_string(event))
		return "a line that is neither answer nor event";
	if (q->phase == QMP_READY)
		q->callbacks.on_event(q->arg, json_string_value(event), json_object_get(o, "data"));
	return NULL;
}

/* Takes the lines that have come in full. */
static const char *take_lines(struct qmp *q)
{
	size_t at = 0;
	const char *wrong = NULL;

	while (!wrong) {
		const char *nl = memchr(q->in + at, '\n', q->in_len - at);
		size_t n;

		if (!nl)
			break;
		n = (size_t)(nl - (q->in + at));
		if (n && q->in[at + n - 1] == '\r')
			wrong = take_line(q, q->in + at, n - 1);
		else if (n)
			wrong = take_line(q, q->in + at, n);
		at += n + 1;
	}
	memmove(q->in, q->in + at, q->in_len - at);
	q->in_len -= at;
	if (!wrong && q->in_len == QMP_LINE_MAX)
		wrong = "a line that does not end";
	return wrong;
}

/* False: the connection has ended. */
static bool take_input(struct qmp *q)
{
	for (int i = 0; i < READS_PER_TURN; i++) {
		size_t room = QMP_LINE_MAX - q->in_len;
		ssize_t n = read(q->fd, q->in + q->in_len, room < READ_BYTES ? room : READ_BYTES);
		char why[TEXT_MAX];
		const char *wrong;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0) {
			end(q, "QEMU closed its monitor");
			return false;
		}
		q->in_len += (size_t)n;
		wrong = take_lines(q);
		if (wrong) {
			snprintf(why, sizeof(why), "not QMP: %s", wrong);
			end(q, why);
			return false;
		}
	}
	return true;
}

static int32_t on_socket(int32_t fd, int32_t revents, void *data)
{
	struct qmp *q = data;

	(void)fd;
	if ((revents & ~POLLOUT) && !take_input(q))
		return 0;
	if (revents & POLLOUT)
		flush(q);
	return 0;
}

/* ---- life ---- */

int qmp_open(qb_loop_t *loop, int fd, const struct qmp_callbacks *callbacks, void *arg,
	     struct qmp **ret)
{
	struct qmp *q = calloc(1, sizeof(*q));
	int flags = fcntl(fd, F_GETFL), r = 0;

	if (!q) {
		close(fd);
		return -ENOMEM;
	}
	*q = (struct qmp){.loop = loop, .callbacks = *callbacks, .arg = arg, .fd = fd};
	q->in = malloc(QMP_LINE_MAX);
	q->out = malloc(QMP_OUTPUT_MAX);
	if (!q->in || !q->out)
		r = -ENOMEM;
	if (!r && (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
		r = -errno;
	if (!r)
		r = due_open(loop, on_due, q, &q->due);
	if (!r)
		r = qb_loop_poll_add(loop, QB_LOOP_MED, fd, POLLIN, q, on_socket);
	if (r) {
		qmp_free(q);
		return r;
	}
	q->pending[0] = (struct pending){
		.is_used = true, .id = ID_OF_GREETING, .due_ms = due_now_ms() + QMP_GREETING_MS};
	arm(q);
	*ret = q;
	return 0;
}

struct qmp *qmp_free(struct qmp *q)
{
	if (!q)
		return NULL;
	if (q->fd >= 0) {
		(void)qb_loop_poll_del(q->loop, q->fd);
		close(q->fd);
	}
	due_close(q->due);
	free(q->in);
	free(q->out);
	free(q);
	return NULL;
}
