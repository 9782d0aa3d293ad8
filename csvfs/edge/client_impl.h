/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of csvfs/edge/client*.c. One mutex for everything; who writes to the connection holds the
 * token `is_writing` instead, so that one who waits for it can be interrupted.
 *
 * A slot: FREE, ENCODING (by its owner, without the mutex), NEW (never sent), SENT (its bytes may
 * have reached a coordinator). Only the owner (the waiting thread) frees its slot; when it has
 * given up, the slot has no owner and whoever handles the reply frees it. A slot whose bytes are
 * being written is never freed.
 */
#ifndef CSVFS_EDGE_CLIENT_IMPL_H
#define CSVFS_EDGE_CLIENT_IMPL_H

#include "csvfs/edge/client.h"

#define OPENS_BUCKETS	    16384
#define CLIENT_RETRY_MIN_MS 100

/* ---- client_opens.c: what is open, by what has been answered */

struct open_entry {
	struct open_entry *next;
	struct csv_handle handle;
	uint32_t opens;
};

struct opens {
	struct open_entry *bucket[OPENS_BUCKETS];
	uint32_t count; /* inodes */
};

struct opens_cursor {
	size_t bucket;
	const struct open_entry *entry;
};

/* delta: 1 or -1. Less than none: stays none, and false is returned. */
bool opens_add(struct opens *o, const struct csv_handle *handle, int delta);
/* The next entry, NULL after the last one. The cursor is zeroed before the first call. */
const struct open_entry *opens_next(const struct opens *o, struct opens_cursor *cursor);
void opens_done(struct opens *o);

/* ---- client.c */

enum slot_state { SLOT_FREE, SLOT_ENCODING, SLOT_NEW, SLOT_SENT };

struct slot {
	enum slot_state state;
	uint64_t seq;	/* of its last request */
	uint64_t order; /* when it was taken, among all */
	uint64_t since_ms;
	uint64_t sent_on; /* connection on which it was sent last */
	enum csv_op op;
	struct csv_handle handle; /* OPEN, RELEASE */
	struct cache_note cached; /* until it is answered */
	bool has_owner;
	bool is_writing;
	bool is_answered;
	bool must_release; /* it has opened something for nobody */
	bool is_left;	   /* by an earlier process; the kernel may ask for it again */
	bool is_wanted;	   /* and has sent it again */
	uint64_t unique;   /* of the kernel's request; 0: of none */
	uint16_t step;
	uint32_t open;		/* index of the row of what it opens or releases */
	struct keep_slot *kept; /* what of this outlives the process */
	client_note note;	/* of one that nobody waits for; NULL */
	void *note_arg;
	uint64_t note_id;
	uint8_t *frame; /* CSV_FRAME_MAX, in the keep */
	size_t len;
	/* The owner's. */
	struct csv_reply *reply;
	void *buf;
	size_t cap;
	pthread_cond_t wake;
};

/* What may be written: nothing, HELLO by the reader, RECLAIM and resends by the writer, all. */
enum client_phase { CLIENT_DOWN, CLIENT_HELLO, CLIENT_WELCOMED, CLIENT_READY };

struct client_target {
	uint64_t term; /* 0: none */
	char address[CSV_LINK_ADDRESS];
	uint16_t port;
};

#define CALLS_BUCKETS 512

/* One of the kernel's requests for which something was asked that is no query. */
struct call_entry {
	struct call_entry *next;
	struct keep_call *kept;
	uint32_t index;
	bool is_left, is_wanted; /* as in struct slot */
};

struct client {
	struct client_options options;
	pthread_t reader, writer;
	struct keep *keep;
	bool has_own_keep;
	uint8_t *in; /* CSV_FRAME_MAX, of the reader */

	pthread_mutex_t lock;
	pthread_cond_t reader_wake; /* target, end, token is free */
	pthread_cond_t writer_wake;
	pthread_cond_t slot_freed;
	pthread_cond_t root_found;

	struct slot slot[CSV_SLOTS];
	uint64_t order;	  /* requests so far */
	uint32_t waiting; /* threads that wait for a slot */
	struct opens opens;
	struct call_entry *calls[CALLS_BUCKETS];
	struct csv_handle root; /* ino 0: not known yet */

	struct client_target target;
	uint64_t target_version;
	char why[CSV_LINK_TEXT]; /* what is waited for, when not READY */
	struct tls *tls;
	uint64_t connection; /* number of the present or last one */
	enum client_phase phase;
	uint64_t retry_ms; /* before the next connection */
	uint64_t welcomed; /* term of the coordinator that did last */
	bool is_known;
	bool is_writing;
	bool is_aborted;
	bool is_ending;
};

/* All with the lock held. */
uint64_t client_now_ms(void);
/* Waits on a condition of the client's, with an end if `i` has one. */
void client_wait(struct client *c, pthread_cond_t *at, struct client_interrupt *i);
/* Its time is up. */
bool client_is_over(const struct client_interrupt *i);
/* All that wait look again at what they wait for. */
void client_wake_all(struct client *c);
/* The connection is of no more use; the reader closes it. */
void client_drop(struct client *c);
/* The oldest slot that is to be sent first, or again on this connection; NULL. */
struct slot *client_oldest(struct client *c, enum slot_state state);
/* The right to write, when nobody has it; and its return with the outcome of the writing. */
void client_token_take(struct client *c);
void client_token_return(struct client *c, int error);
/* Someone who may write now is woken. */
void client_kick(struct client *c);
/* With the token; the lock is given up meanwhile. 0 or -errno. */
int client_write(struct client *c, const void *buf, size_t len);
int client_write_slot(struct client *c, struct slot *s);
/* A reply has come. False: it answers nothing that was asked. */
bool client_answer(struct client *c, const struct csv_reply *p);

/* ---- client_keep.c: what outlives the process */
int client_keep_open(struct client *c);
void client_keep_done(struct client *c);
/* The frame of the slot is whole, and may be sent now. */
void client_keep_sent(const struct slot *s);
/* Its answer has been dealt with. */
void client_keep_answered(const struct slot *s);
/* There is a row for its answer. */
void client_keep_call(struct client *c, uint64_t unique);
/* What has come of it is there for the kernel's request, if that waits still. */
void client_keep_reply(struct client *c, const struct slot *s, const struct csv_reply *p);
/* The row of what has been opened or released follows. */
void client_keep_open_state(struct client *c, struct slot *s, bool is_open);
/* The slot in which an earlier process has asked for the same; NULL. */
struct slot *client_left_slot(struct client *c, const struct client_origin *o, enum csv_op op);
/* The answer that an earlier process has had, and the row that it has opened. False: it has had
 * none. */
bool client_left_reply(struct client *c, struct client_origin *o, enum csv_op op,
		       struct csv_reply *ret);
/* The row that `o` has is not needed: the earlier one's is it. */
void client_take_open(struct client *c, struct client_origin *o, uint32_t open);

/* ---- client.c */
/* It is answered, and nobody is there to hear it. */
void client_settle(struct client *c, struct slot *s);

/* ---- client_conn.c */
/* What is waited for, or nothing: told in status, and logged when it is something else. */
void client_waits_for(struct client *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void *client_read_loop(void *arg);
void *client_write_loop(void *arg);

#endif
