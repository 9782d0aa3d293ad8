/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mount's requests to the coordinator of its volume: one TLS connection at a time, CSV_SLOTS
 * requests under way, each repeated on the next connection until it is answered. Who waits is
 * never told an error because time has passed: only when it is interrupted, or after
 * client_abort().
 *
 * On each connection, in this order (csvfs/core/proto.h): HELLO and LIFE; if the coordinator does
 * not know this mount yet, RECLAIM of what is open and RECLAIM_DONE; the requests under way, oldest
 * first; RESEND_DONE; new requests.
 *
 * Two threads of its own: one connects and reads, one writes what has no waiting thread. The
 * process ignores SIGPIPE.
 */
#ifndef CSVFS_EDGE_CLIENT_H
#define CSVFS_EDGE_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/proto.h"
#include "csvfs/edge/keep.h"
#include "csvfs/edge/mount_cache.h"
#include "lib/csv_link.h"
#include "lib/tls.h"

/* For tls_key_load(): mounts and coordinators derive their key with it. */
#define CLIENT_KEY_PURPOSE "clusterd csvfs 1"

struct client;

struct client_options {
	struct csv_uuid volume;
	uint64_t mount; /* incarnation */
	struct tls_key key;
	/* What client_status() says has changed. From any thread; calls nothing of the client. */
	void (*on_change)(void *arg);
	void *arg;
	/*
	 * The next grant or lock that the coordinator of that term must know of, from *cursor (0 at
	 * first) on; false: no more. NULL: there are none. It calls nothing of the client.
	 */
	bool (*next_grant)(void *arg, uint64_t term, size_t *cursor, struct csv_frame *ret);
	struct mount_cache *cache; /* outlives it; NULL: nothing is kept */
	/* Outlives it; what an earlier process had under way goes on. NULL: nothing outlives it. */
	struct keep *keep;
};

struct client_status {
	bool is_serving; /* connected, and all is sent again: new requests are taken */
	uint64_t term;	 /* of the coordinator that has welcomed it last; 0: none yet */
	uint32_t pending;
	uint32_t oldest_ms;
	uint64_t requests;	  /* so far */
	char text[CSV_LINK_TEXT]; /* what it waits for; empty if for nothing */
};

/*
 * Ends the waiting of one call: zeroed, given to the call, set from another thread. Belongs to the
 * caller; must outlive the call.
 */
struct client_interrupt {
	bool is_set;
	uint64_t until_ms;  /* CLOCK_MONOTONIC: sets itself, and gives up whatever it is; 0: not */
	pthread_cond_t *at; /* the client's: where the call waits */
};

/*
 * Of which of the kernel's requests one is, so that a later process can go on with it: zeroed for
 * one that is of none. Counts for what is no query.
 */
struct client_origin {
	uint64_t unique;
	uint16_t step; /* so many have been asked for it before */
	/* OPEN, CREATE, RELEASE: index of its row in KEEP_OPENS; 0: it has none. When an earlier
	 * process has opened it, that one's row takes its place. */
	uint32_t open;
};

/* Starts the threads; without a target nothing is connected. Returns 0 and owned, or -errno. */
int client_open(const struct client_options *options, struct client **ret);
/* Ends the threads. No call may be under way. Takes NULL. */
void client_close(struct client *c);

/*
 * Where the coordinator is. Another term, address or port: the connection is dropped at once.
 * "Not online" under the same term leaves a connection alone: it shows by itself whether it lives.
 * Any thread; never blocks.
 */
void client_target(struct client *c, const struct csv_link_state *state);

/*
 * Sends the request (slot, seq and is_resend are filled in here) and waits for its reply. 0: *ret
 * is the reply, which may tell of an error; its bytes are in buf, borrowed from the caller, and a
 * reply with more than `cap` of them counts as garbage. `i` may be NULL.
 *
 * -EINTR: interrupted. A request that was not sent yet is gone. One that was sent stays under way
 * and is repeated until it is answered, but nobody hears of it: after EINTR the caller cannot know
 * whether a change was made. So a change, once sent, gives up only while there is no connection
 * that serves; a query gives up at once. An OPEN or CREATE given up is followed by its RELEASE.
 * -EIO: client_abort().
 */
int client_call(struct client *c, struct csv_request *q, struct csv_reply *ret, void *buf,
		size_t cap, struct client_interrupt *i);
/* The same, of that origin. */
int client_call_for(struct client *c, struct client_origin *origin, struct csv_request *q,
		    struct csv_reply *ret, void *buf, size_t cap, struct client_interrupt *i);
/*
 * Who has asked hears the answer with the client's lock held, in the order in which answers come
 * and before a later coordinator is told anything (next_grant). It calls nothing of the client.
 */
typedef void (*client_note)(void *arg, uint64_t id, const struct csv_reply *p);
/*
 * Asks and does not wait: the request is repeated until it is answered. 0; -EAGAIN: all slots are
 * taken, and `i` is NULL; -EINTR, -EIO: nothing was asked.
 */
int client_post(struct client *c, struct csv_request *q, client_note note, void *arg, uint64_t id,
		struct client_interrupt *i);
/* Any thread, any number of times. */
void client_interrupt(struct client *c, struct client_interrupt *i);

/*
 * What an earlier process has left. Before the client has a target: `take` is asked for each LOCK,
 * UNLOCK and CANCEL_LOCK that is under way, and `note` told of its answer with the id that it
 * returns; 0: that is of no interest.
 */
void client_take_left(struct client *c, uint64_t (*take)(void *arg, const struct csv_request *q),
		      client_note note, void *arg);
/* The kernel has sent a request again that an earlier process had not answered. */
void client_resent(struct client *c, uint64_t unique);
/* And has sent all of them: for what is left nobody waits. */
void client_all_resent(struct client *c);
/* The kernel has the answer to its request. */
void client_replied(struct client *c, uint64_t unique);

/* The root directory: known from the first WELCOME on, waits for it. 0, -EINTR, -EIO. */
int client_root(struct client *c, struct client_interrupt *i, struct csv_handle *ret);

/* Each call, also each later one, ends with -EIO. */
void client_abort(struct client *c);
/*
 * The mount is over: waits for what is still under way, releases what is still open, says GOODBYE.
 * 0, or -ENOTCONN, -ETIMEDOUT: not said, and the coordinator learns it from clusterd.
 */
int client_goodbye(struct client *c, unsigned int timeout_ms);

void client_status(struct client *c, struct client_status *ret);

#endif
