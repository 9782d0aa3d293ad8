/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The world of sim_session: a disk with an ordered log and a small file system on it
 * (sim_session_disk.c); a coordinator, its executor and the mounts that speak to it
 * (sim_session_world.c). What happens, and when, is drawn in sim_session.c.
 *
 * The oracle asks nothing of the cores: the disk counts how often each operation took effect, and
 * at the end the history of effects is done again by a second, sequential file system, against
 * which every answer is held at the place in the history of which it tells.
 */
#ifndef TESTS_SIM_SESSION_WORLD_H
#define TESTS_SIM_SESSION_WORLD_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "csvfs/core/change.h"
#include "csvfs/core/proto.h"
#include "csvfs/core/session.h"
#include "lib/prng.h"

#define MOUNTS	  24 /* in one run, living and ended */
#define LIVING	  3
#define SLOTS	  4
#define NAMES	  6
#define INODES	  192 /* 0: none */
#define TOKENS	  48  /* of one file */
#define OPS	  2048
#define LOG	  1024 /* entries that are not forced */
#define CONNS	  24
#define QUEUE	  48
#define OPENS	  8   /* inodes that a client has open */
#define FIRST_ID  100 /* of mounts */
#define STALL_MAX 100 /* steps in which a request that has been begun is not looked at */
#define DAMAGED	  0xffff
#define DIR	  0 /* its lock, in the place of inode 0 */

/* ---- planted bugs of the world: what clients and executors must not do */
enum world_mutant {
	WORLD_MUTANT_NONE,
	WORLD_MUTANT_RESTART_SEQ,      /* a client numbers its requests anew for each coordinator */
	WORLD_MUTANT_REAP_EARLY,       /* reaps orphans before SERVE */
	WORLD_MUTANT_UNLINK_FREES,     /* before SERVE, believes that it knows what is open */
	WORLD_MUTANT_REPLAY_NO_OPEN,   /* a creation found on disk opens nothing */
	WORLD_MUTANT_RECLAIM_UNASKED,  /* a client reclaims what it has not been answered */
	WORLD_MUTANT_MOUNT_LATE,       /* a coordinator starts before it knows all mounts */
	WORLD_MUTANT_NO_DSYNC,	       /* data of an append is written some day */
	WORLD_MUTANT_QUERY_NO_FORCE,   /* a query answers without waiting for the log */
	WORLD_MUTANT_NEXT_LOSES_SENT,  /* the next process of a mount does not repeat requests */
	WORLD_MUTANT_NEXT_COUNTS_ANEW, /* and numbers them anew */
	WORLD_MUTANT_NEXT_LOSES_OPENS, /* and does not know what is open */
	WORLD_MUTANT_NEXT_OPENS_TWICE, /* and counts an open file for the same answer again */
	WORLD_MUTANT_MAX
};

/* ---- the disk */

struct reply {
	uint32_t uid; /* of the operation that it answers */
	int err;
	bool is_fault; /* the disk refused */
	bool is_noop;  /* success, and nothing to be done */
	uint16_t ino;
	uint16_t size;
	uint16_t pos; /* how much of the history it tells of */
	uint16_t token[TOKENS];
};

/* What an operation found before it. */
struct pre {
	uint16_t ino;
	uint16_t other;
	uint16_t size;
};

struct record {
	uint64_t seq;
	bool is_done;
	struct pre pre;
	struct reply reply;
};

struct inode {
	bool is_there;
	bool is_orphan; /* has a link that nobody sees */
	uint16_t nlink;
	uint16_t size;
	uint16_t token[TOKENS];
};

struct image {
	struct inode inode[INODES];
	uint16_t name[NAMES];
	struct record record[MOUNTS][SLOTS];
	uint8_t effect[OPS];
	uint16_t pos[OPS];  /* of its effect, from 1 */
	uint16_t made[OPS]; /* the inode of a creation */
	uint16_t history[OPS];
	uint16_t length;
};

enum entry_kind { ENTRY_INTENT, ENTRY_DO, ENTRY_ORPHAN, ENTRY_DONE, ENTRY_REAP, ENTRY_DROP };

/* One transaction. */
struct entry {
	enum entry_kind kind;
	int mount;
	int slot;
	uint32_t uid;
	uint16_t ino;
	struct record record;
};

/* ---- operations, as their clients see them */
struct op {
	enum csv_op op;
	int mount;
	uint8_t name;
	uint8_t new_name;
	uint16_t ino;
	uint16_t shown;	   /* how much of the history anybody knew when it was asked for */
	uint16_t seen_len; /* READ, WRITE: what anybody had seen of the file by then */
	bool is_answered;
	struct reply reply;
};

/* ---- what goes over a connection */
enum msg_kind {
	MSG_HELLO,
	MSG_LIFE,
	MSG_WELCOME,
	MSG_REFUSED,
	MSG_RECLAIM,
	MSG_RECLAIM_DONE,
	MSG_RESEND_DONE,
	MSG_REQUEST,
	MSG_REPLY,
};

struct msg {
	enum msg_kind kind;
	uint64_t term;
	uint64_t seq;
	uint32_t uid;
	uint16_t slot;
	uint16_t ino;
	uint16_t opens;
	uint32_t life;
	bool flag; /* is_known, is_resend */
	struct reply reply;
};

struct queue {
	int count;
	struct msg item[QUEUE];
};

struct conn {
	uint64_t id; /* 0: free */
	int mount;
	uint32_t life;	/* of the process that has made it */
	bool is_client; /* that side has it open */
	bool is_coord;
	bool is_cut_up; /* when the queue is empty, the loss is seen */
	bool is_cut_down;
	bool is_stale; /* closed here, and what had arrived is still to be told, its loss too */
	struct queue up;
	struct queue down;
};

/* ---- mounts */
enum client_phase { CLIENT_AWAY, CLIENT_HELLO, CLIENT_READY };

struct client_slot {
	uint32_t uid; /* 0: idle */
	uint64_t seq;
};

struct mount {
	bool is_alive;
	bool is_recovered;
	uint32_t life; /* of its processes */
	enum client_phase phase;
	uint64_t conn;
	uint64_t term; /* of the coordinator that welcomed it last */
	struct client_slot slot[SLOTS];
	uint16_t opens[INODES]; /* by what has been answered */
	uint16_t releasing[INODES];
	bool knows[INODES];
};

/* ---- the coordinator */
struct exec {
	bool is_active;
	bool is_repeated;
	enum sess_action_kind kind;
	enum change_step step;
	bool holds[INODES];
	struct pre pre;
	uint64_t force_to;
	uint64_t not_before; /* step */
	uint32_t life;	     /* of the process that has asked */
	bool recalls;	     /* it waits for what that process was granted */
};

struct work {
	uint32_t uid;
	uint64_t seq;
	bool is_held;
	struct reply reply;
	struct exec exec;
};

struct coord {
	bool is_up;
	uint64_t term;
	struct sess_state sess;
	int cursor;	 /* how much of the cluster's news it has been told */
	int must_know;	 /* before LOADED */
	bool has_loaded; /* its records, not all told yet */
	bool is_told_gone[MOUNTS];
	bool is_dropping[MOUNTS];
	bool is_reclaimed[MOUNTS];
	uint32_t life[MOUNTS];	/* by what has been said */
	uint32_t over[MOUNTS];	/* all before this one are, the core has said */
	uint32_t given[MOUNTS]; /* the life of the last process that has been given something */
	bool has_replaced;
	uint16_t opens[MOUNTS][INODES];
	uint32_t lock[INODES]; /* uid of the holder */
	struct work work[MOUNTS][SLOTS];
};

struct news {
	bool is_gone;
	int mount;
};

struct rates {
	/* in 1000 steps */
	uint64_t crash, stop, cut, kill, suspend, disk, provoke, stall, replace, recall;
	/* in 100 of what goes on */
	uint64_t answers;
	uint64_t connects;
	/* of the table of operations */
	size_t op_first;
	size_t ops;
	int names;
	int mounts;
	int slots;
};

struct world {
	struct prng rng;
	uint64_t seed;
	uint64_t step;
	int sess_mutant; /* enum sess_mutant, enum change_mutant: where they are compiled in */
	int change_mutant;
	enum world_mutant mutant;
	bool is_verbose;
	bool is_healed;
	struct rates rate;
	const char *broken;
	/* disk */
	struct image now;  /* with all of the log */
	struct image base; /* with what is forced */
	struct entry log[LOG];
	int log_count;
	uint64_t forced; /* entries before log[0] */
	uint16_t next_ino;
	bool is_undurable[OPS]; /* data of an append that is in the cache only */
	/* clients */
	struct op op[OPS];
	uint32_t next_uid;
	int mount_count;
	struct mount mount[MOUNTS];
	struct news news[2 * MOUNTS];
	int news_count;
	uint16_t shown;		   /* how much of the history clients have been told of */
	uint16_t seen_min[INODES]; /* every file has at least that size, clients know */
	uint16_t seen_len[INODES];
	uint16_t seen[INODES][TOKENS];
	struct conn conn[CONNS];
	uint64_t next_conn;
	uint64_t last_term;
	struct coord coord;
	struct sess_actions actions;
};

#define TRACE(w, ...)                                                                              \
	do {                                                                                       \
		if ((w)->is_verbose) {                                                             \
			printf("%6" PRIu64 " ", (w)->step);                                        \
			printf(__VA_ARGS__);                                                       \
			putchar('\n');                                                             \
		}                                                                                  \
	} while (0)

/* Remembers the first thing that is wrong. */
void sim_broke(struct world *w, const char *what);
bool sim_chance(struct world *w, uint64_t per_mille);

/* ---- sim_session_disk.c */
void disk_append(struct world *w, const struct entry *e);
/* Everything up to that many entries since the beginning is durable. */
void disk_force(struct world *w, uint64_t upto);
static inline uint64_t disk_end(const struct world *w)
{
	return w->forced + (uint64_t)w->log_count;
}
/* A prefix of what is not forced survives. */
void disk_crash(struct world *w);
/* Looks at what is there for an operation: fills reply, and pre; true: there is something to do. */
bool disk_look(const struct image *im, const struct op *op, struct reply *reply, struct pre *pre);
/* Is all that it touches as its intent says? */
bool disk_is_before(const struct image *im, const struct op *op, const struct pre *pre);
/* Does the whole history again and holds every answer against it; NULL, or what is wrong. */
const char *disk_verify(const struct world *w);

/* ---- sim_session_world.c */
void coord_start(struct world *w);
void coord_crash(struct world *w);
/* One event for the core, and all that follows from it. */
void coord_event(struct world *w, const struct sess_event *e);
/* The next step of one request. */
void coord_execute(struct world *w, int mount, int slot);
/* Carries out a DROP. */
void coord_drop(struct world *w, int mount);
/* Reaps an orphan, if there is one that may go. */
bool coord_reap(struct world *w, uint16_t ino);
/* A message from a mount, or the end of its connection. */
void coord_deliver(struct world *w, struct conn *c);
/* The next news from the cluster, record from the disk, or LOADED; false if there is none. */
bool coord_learn(struct world *w);

/* ---- sim_session_client.c */
void client_deliver(struct world *w, struct conn *c);
void client_connect(struct world *w, int mount);
void client_ask(struct world *w, int mount);
/* Its process is over, and another one goes on. */
void client_replace(struct world *w, int mount);
struct conn *conn_find(struct world *w, uint64_t id);
void conn_push_up(struct world *w, struct conn *c, const struct msg *m);
void conn_push_down(struct world *w, struct conn *c, const struct msg *m);
void conn_client_close(struct world *w, struct conn *c);
void conn_coord_close(struct world *w, struct conn *c);
void conn_tidy(struct conn *c);

#endif
