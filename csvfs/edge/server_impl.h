/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files of the server; see server.h. */
#ifndef CSVFS_EDGE_SERVER_IMPL_H
#define CSVFS_EDGE_SERVER_IMPL_H

#include <pthread.h>

#include "csvfs/core/session.h"
#include "csvfs/edge/grants.h"
#include "csvfs/edge/promises.h"
#include "csvfs/edge/server.h"

#define SERVER_CONNS	    64
#define SERVER_STRANGERS    16 /* of them, who have not said yet whose they are */
#define SERVER_WORKERS	    32
#define SERVER_PORT_FIRST   5420 /* the first free one of these: a firewall can name the range */
#define SERVER_PORT_LAST    5519
#define SERVER_HANDSHAKE_MS 10000
#define SERVER_SAY_MS	    10000 /* of strangers, no more often */
#define SERVER_WRITE_MS	    20000
#define SERVER_PEER_MS	    10000

/* An encoded frame, kept by the slot that it answers and by the writers that send it. */
struct frame_buf {
	unsigned int refs; /* under the server's lock */
	uint16_t op;	   /* that it answers, for fail-points; 0: none */
	uint64_t mount;
	size_t len;
	uint8_t data[];
};

struct out {
	struct out *next;
	struct frame_buf *frame;
};

struct conn {
	uint64_t id; /* 0: the row is free */
	struct server *server;
	int fd;	      /* a duplicate, for shutdown(2) by anybody who holds the lock */
	int accepted; /* goes to the channel */
	struct tls *tls;
	bool is_closing;
	bool is_known;	  /* it belongs to the cluster, and has said of which volume it speaks */
	uint64_t channel; /* the mount whose line for recalls it is; 0: it is one for requests */
	struct out *out, **out_end;
	pthread_cond_t out_wake;
};

struct slot_io {
	uint8_t *request; /* while held or executing */
	size_t request_len;
	uint64_t since_ms;
	struct frame_buf *reply; /* when done */
};

struct mount_io {
	uint64_t id;
	struct slot_io slot[CSV_SLOTS];
};

enum job_kind { JOB_NEW, JOB_REDO, JOB_REPLAY, JOB_DROP, JOB_SETTLED };

struct job {
	struct job *next;
	enum job_kind kind;
	uint64_t mount;
	uint16_t slot;
	struct csv_handle handle; /* SETTLED */
};

struct server {
	struct server_options options;
	char address[CSV_LINK_ADDRESS];
	int listener;
	uint16_t port;
	pthread_mutex_t lock;
	pthread_mutex_t drop_lock;  /* one drop at a time */
	struct grants *grants;	    /* takes care of itself */
	struct promises *promises;  /* the same */
	struct server_locks *locks; /* the same */
	struct sess_state sess;
	struct sess_actions actions;
	struct mount_io mount[SESS_MOUNTS];
	struct conn conn[SERVER_CONNS];
	uint64_t next_conn;
	size_t conn_threads; /* running */
	pthread_cond_t conn_gone;
	unsigned int strangers; /* sent away and not said yet */
	uint64_t said_ms;

	struct job *jobs, **jobs_end;
	pthread_cond_t job_wake;
	bool is_closing;
	pthread_t acceptor;
	pthread_t worker[SERVER_WORKERS];
	size_t workers;

	uint64_t lease_until_ms;
	bool is_serving;
	uint64_t dropped[CSV_LINK_MOUNTS];
	uint8_t dropped_count;
	char failure[CSV_LINK_TEXT];
};

/* All of these with the lock held. */
void server_step(struct server *s, const struct sess_event *e);
void server_fail(struct server *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct mount_io *server_mount_io(struct server *s, uint64_t mount);
struct conn *server_conn(struct server *s, uint64_t id);
void server_send(struct server *s, struct conn *c, struct frame_buf *f);
void server_send_frame(struct server *s, uint64_t conn, const struct csv_frame *f);
void server_frame_put(struct frame_buf *f);
void server_close_conn(struct server *s, uint64_t conn);

/* server_grant.c */
int server_grants_open(struct server *s);
/* Of the session's events and actions, what grants must know. With the lock held. */
void server_grants_event(struct server *s, const struct sess_event *e);
void server_grants_action(struct server *s, const struct sess_action *a);
/* A second connection says whose it is. With the lock held. */
int server_grants_channel(struct conn *c, const struct csv_frame_channel *f);
int server_grants_frame(struct conn *c, const struct csv_frame *f);
int server_grants_reclaim(struct conn *c, const struct csv_frame_reclaim_grant *f);
void server_grants_lost(struct conn *c);

/* server_lock.c; with the lock held but for execute */
void server_locks_open(struct server *s);
void server_locks_close(struct server *s);
void server_locks_action(struct server *s, const struct sess_action *a);
void server_locks_channel(struct conn *c);
void server_locks_lost(struct conn *c);
int server_locks_reclaim(struct conn *c, const struct csv_frame_reclaim_lock *f);
int server_locks_reclaim_wait(struct conn *c, const struct csv_frame_reclaim_wait *f);
/* False: it is no request about locks. */
bool server_locks_execute(struct server *s, uint64_t mount, const struct csv_request *q,
			  struct csv_reply *ret);

/* Threads. */
void *server_accept_thread(void *arg);
void *server_worker_thread(void *arg);

#endif
