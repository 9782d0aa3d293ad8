/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The world of sim_grant: a disk, coordinators, mounts, and the lines between them. */
#ifndef TESTS_SIM_GRANT_WORLD_H
#define TESTS_SIM_GRANT_WORLD_H

#include <inttypes.h>
#include <stdio.h>

#include "csvfs/core/direct.h"
#include "csvfs/core/grant.h"
#include "lib/prng.h"

#define FILES	3
#define PARTS	2 /* blocks of a file */
#define BLOCKS	9
#define MOUNTS	24 /* in the life of one world */
#define LIVING	3
#define OPS	4 /* of one mount at a time */
#define OPENS	2 /* of one file on one mount */
#define TASKS	12
#define QUEUE	16
#define BOTH	3   /* halves */
#define STALL	120 /* steps that something may take longer */
#define STEP_MS 30  /* of the clock of the mounts */

#define TRACE(w, ...)                                                                              \
	do {                                                                                       \
		if ((w)->is_verbose) {                                                             \
			printf("%" PRIu64 " ", (w)->step);                                         \
			printf(__VA_ARGS__);                                                       \
			putchar('\n');                                                             \
		}                                                                                  \
	} while (0)

/*
 * What a block of the disk holds: written under which file and part, and a number in each half,
 * which are one `seq`; 0: zeros. Applications write blocks and halves.
 */
struct block {
	int file, part;
	uint64_t seq;
};

struct extent {
	int block; /* -1: a hole */
	bool is_written;
};

struct map {
	struct extent at[FILES][PARTS];
};

/* What a read must give. */
struct truth {
	uint64_t seq;
	bool is_known;
	bool is_forced; /* a crash cannot take it back */
	int pending;	/* halves of which a write is under way: old and new are both right */
};

enum task_kind { TASK_GRANT, TASK_READ, TASK_WRITE, TASK_TRUNCATE, TASK_ALLOCATE };

struct task {
	int halves; /* of a write: 1, 2 or both */
	bool is_active;
	enum task_kind kind;
	int mount, op; /* who waits for it; -1: nobody */
	int file, part;
	bool is_write;
	uint64_t seq;
	bool has_begun, has_recalled, has_lock, is_done;
	uint64_t not_before; /* step */
	enum grant_change change;
	enum grant_make make;
	enum csv_ungranted why;
};

enum op_way { OP_NONE, OP_WANTS, OP_DIRECT, OP_ASKS, OP_HOME };

struct op {
	int halves;   /* of a write: 1, 2 or both */
	uint64_t was; /* in the block, when it began: only a planted bug looks */
	enum op_way way;
	int file, part;
	bool is_write;
	uint64_t seq;
	int block; /* DIRECT: where it goes */
	size_t row;
};

enum message_kind { MESSAGE_GRANT, MESSAGE_FAILED, MESSAGE_NOTED };

struct message {
	enum message_kind kind; /* GRANT: anything about one */
	struct csv_frame_failed failure;
	bool is_ask_reply, is_return;
	int file;
	struct csv_grant_id id;
	enum csv_grant_mode mode;
	enum csv_ungranted why;
	int block[PARTS];
};

struct queue {
	int count;
	struct message item[QUEUE];
};

/* An open file, and what it must be told by fsync. */
struct open {
	uint64_t seen;
	int owed;  /* failures that it may be told of still, each once */
	bool must; /* it has not been told since the last one */
};

struct mount {
	struct open open[FILES][OPENS];
	bool is_dirty[FILES];		       /* written directly, not flushed */
	bool is_alive, is_told_gone, is_known; /* to the present coordinator */
	uint64_t conn;			       /* line for recalls, as the mount sees it; 0: none */
	uint64_t coord_conn;		       /* as the coordinator sees it */
	struct queue up, down, replies;
	uint64_t up_not_before; /* step */
	bool is_open[FILES];
	int asks[FILES]; /* op that asks + 1 */
	int extents[FILES][PARTS];
	struct op op[OPS];
	struct direct_state direct;
};

struct rates {
	uint64_t crash, cut, kill, lease, path, close, change, land, answer, provoke, stall, flush,
		fail, half;
};

struct world {
	struct prng rng;
	uint64_t seed, step;
	bool is_verbose, is_healed;
	const char *broken;
	int grant_mutant, direct_mutant, errors_mutant;
	struct rates rate;

	struct block disk[BLOCKS];
	struct map now, forced;
	struct truth truth[FILES][PARTS];
	uint64_t next_seq, next_conn;

	bool is_up;
	uint64_t term;
	struct grant_state grants;
	struct grant_actions grant_out;
	bool has_page[FILES][PARTS];
	uint64_t page[FILES][PARTS];
	bool is_locked[FILES];
	struct task task[TASKS];

	int mount_count;
	struct mount mount[MOUNTS];
	struct direct_actions direct_out;
};

static inline bool sim_chance(struct world *w, uint64_t per_mille)
{
	return prng_chance(&w->rng, per_mille, 1000);
}

void sim_broke(struct world *w, const char *what);
struct csv_handle sim_handle(int file);

/* sim_grant_coord.c */
void coord_start(struct world *w);
void coord_crash(struct world *w);
/* What has come over the mount's line for recalls. */
void coord_hear(struct world *w, int m);
void coord_lost(struct world *w, int m);
/* Its own flush of the file has failed. */
void coord_fail(struct world *w, int file);
/* The mount connects: tells what it has if this coordinator does not know it. */
void coord_meet(struct world *w, int m);
void coord_gone(struct world *w, int m);
/* NULL: too many. */
struct task *coord_task(struct world *w, enum task_kind kind, int mount, int op, int file,
			int part);
void coord_work(struct world *w, struct task *t);

/* sim_grant_mount.c */
void mount_begin(struct world *w);
void mount_die(struct world *w, int m);
/* The application of the mount wants something. */
void mount_want(struct world *w, int m);
void mount_go_on(struct world *w, int m);
void mount_land(struct world *w, int m);
void mount_hear(struct world *w, int m);
void mount_answer(struct world *w, int m);
void mount_event(struct world *w, int m, const struct direct_event *e);
void mount_line(struct world *w, int m);
void mount_cut(struct world *w, int m);
void mount_end_op(struct world *w, int m, int op);
/* Its own flush, which may fail; what it has written may be lost then. */
void mount_flush(struct world *w, int m, bool fails);
/* An open of it calls fsync: what it is told. */
void mount_fsync(struct world *w, int m, int file, int open);
/* Those who have the file open now must hear of a failure. */
void sim_owe(struct world *w, int file);
bool sim_is_failing(const struct world *w, int file);
void sim_push(struct world *w, int m, bool is_up, const struct message *a);
/* A read that happens now has given this. */
void sim_read(struct world *w, int file, int part, uint64_t seq);
void sim_written(struct world *w, int file, int part, uint64_t seq, int halves, bool is_forced);
/* What is there after a write of those halves. */
uint64_t sim_merge(uint64_t was, uint64_t seq, int halves);

#endif
