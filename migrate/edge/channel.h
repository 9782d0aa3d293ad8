/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control channel of one migration (migrate/core/mig_proto.h) over lib/tls: listens for one
 * peer that knows the cluster key, or connects to it; then messages both ways. TLS blocks, so it
 * has threads of its own, one that connects and reads and one that writes; what they find comes
 * from the loop.
 *
 * A channel breaks once and is not opened again. Nothing is heard of it after channel_close().
 */
#ifndef MIGRATE_EDGE_CHANNEL_H
#define MIGRATE_EDGE_CHANNEL_H

#include <qb/qbloop.h>
#include <stdint.h>

#include "lib/tls.h"
#include "lib/vm_link.h"
#include "migrate/core/mig_proto.h"

#define CHANNEL_OPEN_MS	  5000	/* to connect, and for a handshake */
#define CHANNEL_WRITE_MS  5000	/* for one message */
#define CHANNEL_PEER_MS	  10000 /* without an answer of the peer's kernel */
#define CHANNEL_QUEUE_MAX 64	/* messages waiting to be written, or to be heard */

struct channel;

/* All from the loop. */
struct channel_callbacks {
	void (*on_listening)(void *arg, uint32_t number, uint16_t port);
	void (*on_open)(void *arg, uint32_t number, const char *peer); /* authenticated */
	void (*on_message)(void *arg, uint32_t number, const struct mig_message *message);
	void (*on_lost)(void *arg, uint32_t number, const char *why); /* the last */
	/* After channel_close(): all that was sent is written, or cannot be. It is freed. */
	void (*on_closed)(void *arg);
};

struct channel_options {
	uint32_t number; /* comes with each callback */
	const char *address;
	uint16_t port; /* 0, to listen: any */
	const struct tls_key *key;
	const struct channel_callbacks *callbacks;
	void *arg;
};

/* 0 and owned until channel_close(), what comes of it by callback; -errno. */
int channel_listen(qb_loop_t *loop, const struct channel_options *options, struct channel **ret);
int channel_connect(qb_loop_t *loop, const struct channel_options *options, struct channel **ret);
/* Queues; a queue that is full breaks the channel. Never blocks. */
void channel_send(struct channel *c, const struct mig_message *message);
/* Writes what was sent, then closes. on_closed follows. Takes NULL. */
void channel_close(struct channel *c);

#endif
