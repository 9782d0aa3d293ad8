/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of tests/sim/sim_cache*.c. */
#ifndef TESTS_SIM_SIM_CACHE_WORLD_H
#define TESTS_SIM_SIM_CACHE_WORLD_H

#include <inttypes.h>
#include <stdbool.h>

#include "csvfs/core/cache.h"
#include "csvfs/core/promise.h"
#include "lib/must.h"
#include "lib/prng.h"

#define MOUNTS	   3
#define INODES	   4 /* the first is the directory */
#define NAMES	   3
#define SLOTS	   3
#define QUEUE	   64
#define STEPS_MIN  300
#define STEPS_MAX  3000
#define HEALED_MAX 20000
#define TICK_MS	   40

enum sim_mutant {
	SIM_MUTANT_NONE,
	SIM_MUTANT_NO_COLLECT, /* unlocks before all others have forgotten */
	SIM_MUTANT_ALL_MINE, /* takes it that the mount looks after all that its request changes */
	SIM_MUTANT_EARLY,    /* a new coordinator serves before all mounts have forgotten */
};

struct mutant {
	const char *name;
	int promise, cache, sim;
};

enum msg_kind { MSG_REQUEST, MSG_REPLY, MSG_HELLO, MSG_WELCOME, MSG_READY, MSG_LINE };

struct msg {
	enum msg_kind kind;
	int slot;
	uint64_t seq;
	uint64_t incarnation;
	bool is_known;
	struct csv_request q;
	struct csv_reply p;
	uint64_t data; /* of READ */
	struct csv_frame frame;
};

struct queue {
	size_t count;
	struct msg item[QUEUE];
};

/* One connection: both directions in order, all of it lost when it breaks. */
struct pipe {
	bool is_up;
	uint64_t id;
	uint64_t up_ms, down_ms; /* until then nothing arrives */
	struct queue up, down;
};

struct slot {
	bool is_used;
	uint64_t seq;
	struct csv_request q;
	struct cache_note note;
	bool has_owner, is_noted;
};

struct mount {
	bool is_alive, is_frozen;
	uint64_t incarnation;
	double rate;
	uint64_t offset_ms;
	struct cache cache;
	struct pipe request, line;
	uint64_t term; /* of the coordinator that has welcomed it */
	bool is_ready; /* it may send requests */
	uint64_t renew_ms;
	struct slot slot[SLOTS];
	/* ANSWER_FIRST: breaks that are answered already. */
	size_t late_count;
	struct csv_handle late[QUEUE];
};

enum job_state { JOB_FREE, JOB_WAITING, JOB_LOCKED };

struct job {
	enum job_state state;
	int mount, slot;
	uint64_t incarnation;
	uint64_t seq;
	struct csv_request q;
};

/* What the disk has of each slot's last change. */
struct record {
	uint64_t incarnation, seq;
	struct csv_reply p;
};

/* An answer, kept for who asks again over his next connection. */
struct kept {
	uint64_t seq;
	struct csv_reply p;
	uint64_t data;
};

struct coordinator {
	bool is_up, is_serving;
	uint64_t term;
	uint64_t offset_ms;
	bool is_known[MOUNTS], is_ready[MOUNTS];
	struct promise_state promise;
	struct job job[MOUNTS * SLOTS];
	struct kept kept[MOUNTS * SLOTS];
	int locked[INODES];
	/* Has happened when the last one crashed, and is seen when this one serves. */
	size_t lost_count;
	struct job lost[MOUNTS * SLOTS];
};

struct world {
	struct prng rng;
	uint64_t seed, step, ms;
	bool is_verbose, is_healed;
	const char *broken;
	char text[256];
	const struct mutant *mutant;
	int mount_count;
	uint64_t ids;
	struct mount mount[MOUNTS];
	struct coordinator c;
	uint64_t version[INODES];
	int child[NAMES]; /* inode; 0: none */
	struct record record[MOUNTS][SLOTS];
	struct {
		uint64_t cut, crash, kill, freeze, give_up, late, stall, pace;
	} rate;
};

static inline bool chance(struct world *w, uint64_t per_mille)
{
	return prng_chance(&w->rng, per_mille, 1000);
}

static inline struct csv_handle handle_of(int inode)
{
	return (struct csv_handle){.ino = inode ? 100 + (uint64_t)inode : 64, .gen = 1};
}

static inline int inode_of(const struct csv_handle *h)
{
	return h->ino == 64 ? 0 : (int)h->ino - 100;
}

static inline struct csv_name name_of(int n)
{
	return (struct csv_name){.text = {(char)('a' + n)}};
}

static inline int number_of(const struct csv_name *n)
{
	return n->text[0] - 'a';
}

static inline uint64_t mount_ms(const struct world *w, const struct mount *m)
{
	return m->offset_ms + (uint64_t)((double)w->ms * m->rate);
}

static inline uint64_t coord_ms(const struct world *w)
{
	return w->c.offset_ms + w->ms;
}

void sim_say(const struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_broke(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline void queue_push(struct queue *q, const struct msg *m)
{
	must(q->count < QUEUE);
	q->item[q->count++] = *m;
}

/* ---- sim_cache_coord.c */
void pipe_cut(struct world *w, struct pipe *p, bool is_line);
void mount_cut(struct world *w, struct mount *m);
bool promise_event(struct world *w, const struct promise_event *e);
/* Inodes that the request changes, as things are. */
size_t changes(const struct world *w, const struct csv_request *q, int ret[4]);
void coord_start(struct world *w);
void coord_crash(struct world *w);
void coord_works(struct world *w);
/* The next that has come over this connection. */
void coord_hears(struct world *w, int mount, struct pipe *p);
struct msg queue_pop(struct queue *q);

#endif
