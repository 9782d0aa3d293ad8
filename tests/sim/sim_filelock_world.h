/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of tests/sim/sim_filelock*.c: the world that is played. */
#ifndef TESTS_SIM_SIM_FILELOCK_WORLD_H
#define TESTS_SIM_SIM_FILELOCK_WORLD_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "csvfs/core/filelock.h"
#include "csvfs/core/lockbook.h"
#include "lib/prng.h"

#define MOUNTS	6
#define LIVING	3
#define OWNERS	3 /* the last one is an open file, for flock; the others are processes */
#define THREADS 2
#define FILES	2
#define BYTES	8
#define REQS	64
#define LINE	32
#define FLOCKER (OWNERS - 1)
#define KEPT	(LOCKBOOK_RANGES + LOCKBOOK_OPS)

#define TRACE(w, ...)                                                                              \
	do {                                                                                       \
		if ((w)->is_verbose) {                                                             \
			printf("%" PRIu64 " ", (w)->step);                                         \
			printf(__VA_ARGS__);                                                       \
			putchar('\n');                                                             \
		}                                                                                  \
	} while (0)

/* ---- planted bugs of the world */
enum world_mutant {
	WORLD_MUTANT_NONE,
	WORLD_MUTANT_KEEP_LATE, /* a process keeps its book when it has carried out what follows */
};

struct thread {
	bool is_busy;
	bool is_left;  /* its process is over: the kernel sends the call again */
	bool was_left; /* and has done so */
	uint64_t id;
	int file;
	enum lockbook_what what;
	struct lock_range range;
	bool may_wait;
	/* Where they are. */
	int mount, owner;
};

struct owner {
	struct thread thread[THREADS];
	uint8_t has[FILES][BYTES]; /* by what it was told */
	bool is_vague[FILES];	   /* it was interrupted when it had less to ask for than it had */
};

/* One request under way; exactly once, as csvfs/core/session.h has it. */
struct req {
	bool is_active;
	uint64_t id;
	struct csv_request q;
	uint64_t sent_on;     /* connection; 0: not sent yet */
	bool was_sent;	      /* once: so the next process goes on with it */
	uint64_t executed_by; /* term */
	bool is_replying;     /* the reply is on its way */
	struct csv_reply p;
};

struct mount {
	bool is_alive, is_gone; /* gone: and the coordinator knows */
	uint64_t id;
	uint32_t life, told_life; /* of its processes; told: to this coordinator */
	bool ends;		  /* this one, while it carries out what it is about to */
	bool is_answering;	  /* and nothing can be sent: csvfs/edge/client.h is locked */
	size_t held, owed;	  /* what it has kept of its book */
	struct lock_range kept[KEPT];
	uint64_t conn;	       /* 0: none */
	uint64_t reclaimed_by; /* the term that knows what it has */
	uint64_t line;	       /* 0: none */
	size_t heard;	       /* LOCK_GRANTED under way on it */
	uint64_t granted[LINE];
	struct lockbook book;
	struct owner owner[OWNERS];
	struct req req[REQS];
	size_t reqs;
};

struct rates {
	uint64_t crash, cut, line, kill, interrupt, close, stale, replace;
};

/* Of those who are in line at the coordinator: how often one who had nothing was served before. */
struct passed {
	uint64_t mount, number, count;
	struct lock_range range;
};

struct world {
	struct prng rng;
	uint64_t step, term, conns;
	bool is_verbose, is_healed, is_up;
	const char *broken;
	int filelock_mutant, lockbook_mutant;
	enum world_mutant mutant;
	struct rates rate;
	struct filelock_state filelock;
	struct filelock_actions told;
	struct lockbook_actions out;
	size_t passes;
	struct passed passed[FILELOCK_WAITS];
	int mount_count;
	struct mount mount[MOUNTS];
};

static inline bool sim_chance(struct world *w, uint64_t per_mille)
{
	return prng_chance(&w->rng, per_mille, 1000);
}

static inline struct csv_handle sim_handle(int file)
{
	return (struct csv_handle){.ino = 100 + (uint64_t)file, .gen = 1};
}

void sim_broke(struct world *w, const char *what);

/* ---- sim_filelock_mount.c */
void mount_begin(struct world *w);
void mount_die(struct world *w, int m);
void mount_cut(struct world *w, int m);
/* Its process is over, and another one goes on with what that has kept. */
void mount_replace(struct world *w, int m);
/* The kernel sends a call again that nobody has answered. */
void mount_resend(struct world *w, int m);
/* Something new of one of its threads that has nothing to do. */
void mount_work(struct world *w, int m);
/* All that it has it gives up, bit by bit. */
void mount_wind_up(struct world *w, int m);
void mount_interrupt(struct world *w, int m, bool only_flock);
void mount_close(struct world *w, int m);
/* The next LOCK_GRANTED is read; and one of long ago. */
void mount_hear(struct world *w, int m);
void mount_stale(struct world *w, int m);
void mount_reply(struct world *w, int m);
/* What each owner may rely on now, of all that it was told. */
uint8_t owner_relies(const struct owner *o, int file, int byte);
void sim_check(struct world *w);

/* ---- sim_filelock_coord.c */
void coord_start(struct world *w);
void coord_crash(struct world *w);
void coord_execute(struct world *w, int m);
void coord_meet(struct world *w, int m);
void coord_line(struct world *w, int m);
void coord_cut_line(struct world *w, int m);
void coord_gone(struct world *w, int m);
const char *coord_check(struct world *w);
/* What is held and waited for, with --verbose. */
void coord_show(const struct world *w);

#endif
