/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A coordinator played by a test: it listens on the loopback with a key from a file in a temporary
 * folder, reads what a mount sends and answers what the test says. Everything blocks, with
 * deadlines that only a hanging test reaches.
 */
#ifndef TESTS_UNIT_CSV_SERVER_H
#define TESTS_UNIT_CSV_SERVER_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "csvfs/core/proto.h"
#include "csvfs/edge/client.h"
#include "lib/must.h"
#include "lib/tls.h"
#include "lib/wire.h"

#define SERVER_MS 30000

struct server {
	int fd;
	uint16_t port;
	char folder[64];
	char key_path[80];
	struct tls_key key;
};

/* One connection of a mount, and the frame that was read last. */
struct server_conn {
	struct tls *tls;
	uint8_t *in, *out; /* CSV_FRAME_MAX */
	size_t len;
};

static inline void server_listen(struct server *s)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);

	s->fd = tls_listen("127.0.0.1", 0);
	must(s->fd >= 0);
	must(!getsockname(s->fd, (struct sockaddr *)&a, &n));
	s->port = ntohs(a.sin_port);
}

static inline void server_open(struct server *s)
{
	int fd;

	*s = (struct server){.folder = "/tmp/csv_server.XXXXXX"};
	must(mkdtemp(s->folder));
	snprintf(s->key_path, sizeof(s->key_path), "%s/key", s->folder);
	fd = open(s->key_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must(fd >= 0 && write(fd, "0123456789abcdef0123456789abcdef", 32) == 32);
	close(fd);
	must(!tls_key_load(s->key_path, CLIENT_KEY_PURPOSE, &s->key));
	server_listen(s);
}

static inline void server_close(struct server *s)
{
	close(s->fd);
	unlink(s->key_path);
	rmdir(s->folder);
}

static inline void server_hang_up(struct server_conn *c)
{
	tls_close(c->tls);
	free(c->in);
	free(c->out);
	*c = (struct server_conn){0};
}

static inline void server_accept(struct server *s, struct server_conn *ret)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};
	int fd;

	must(poll(&p, 1, SERVER_MS) == 1);
	fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	must(fd >= 0);
	*ret = (struct server_conn){.in = malloc(CSV_FRAME_MAX), .out = malloc(CSV_FRAME_MAX)};
	must(ret->in && ret->out);
	must(!tls_accept(fd, &s->key, SERVER_MS, &ret->tls));
	/* Answers must not wait for a full segment. */
	must(!tls_set_deadlines(ret->tls, SERVER_MS, SERVER_MS, SERVER_MS));
}

/* The next frame's type; 0: the mount has hung up. */
static inline uint16_t server_read(struct server_conn *c)
{
	uint8_t prefix[CSV_FRAME_PREFIX];
	struct wire_reader r;
	int error = tls_read(c->tls, prefix, sizeof(prefix));

	if (error) {
		must(error != -ETIMEDOUT);
		return 0;
	}
	wire_reader_init(&r, prefix, sizeof(prefix));
	c->len = wire_get_u32(&r);
	must(c->len <= CSV_FRAME_MAX);
	if (tls_read(c->tls, c->in, c->len))
		return 0;
	return csv_frame_type_of(c->in, c->len);
}

static inline void server_read_frame(struct server_conn *c, enum csv_frame_type type,
				     struct csv_frame *ret)
{
	must(server_read(c) == type);
	must(!csv_frame_decode(c->in, c->len, ret));
}

/* Bytes of the request are in c->in until the next read. */
static inline void server_read_request(struct server_conn *c, struct csv_request *ret)
{
	must(server_read(c) == CSV_FRAME_REQUEST);
	must(!csv_request_decode(c->in, c->len, ret));
}

static inline void server_write_frame(struct server_conn *c, const struct csv_frame *f)
{
	size_t len;

	must(!csv_frame_encode(f, c->out, CSV_FRAME_MAX, &len));
	must(!tls_write(c->tls, c->out, len));
}

/* Slot and sequence of q; kind and content of p. */
static inline int server_reply(struct server_conn *c, const struct csv_request *q,
			       struct csv_reply *p)
{
	size_t len;

	p->slot = q->slot;
	p->seq = q->seq;
	p->kind = p->error ? CSV_REPLY_NONE : csv_op_reply(q->op);
	must(!csv_reply_encode(p, c->out, CSV_FRAME_MAX, &len));
	return tls_write(c->tls, c->out, len);
}

static inline void server_welcome(struct server_conn *c, uint64_t term, bool is_known,
				  struct csv_handle root)
{
	struct csv_frame f = {.type = CSV_FRAME_WELCOME,
			      .welcome = {.term = term, .is_known = is_known, .root = root}};

	server_write_frame(c, &f);
}

#endif
