/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole cluster in one thread: machines, processes, disks and the ordered multicast between
 * them, in virtual time, driven by one seed. Nothing here decides anything about clusters: it only
 * behaves as badly as corosync, disks and kernels may.
 *
 * The multicast behaves as corosync's CPG does (totemsrp.c, cpg.c, 3.1):
 *   - in a ring every member delivers the same messages in the same order;
 *   - when the ring breaks, those who go on together deliver the same rest of it: all that they
 *     have without a gap, then, past the gap, only what their own members had sent;
 *   - a message that has no place in the order yet gets it in the next ring;
 *   - a process joins and leaves within a ring at one point of its order.
 * A disk keeps the order of writes, and a crash keeps any prefix of those under way.
 *
 * What stands above the log (a database, requests, executors) is the caller's, who hears through
 * sim_hooks of what it has to do.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "clusterd/core/repl.h"
#include "clusterd/core/witness.h"
#include "lib/prng.h"

#define SIM_MAX_NODES CL_MAX_NODES

struct sim_bytes {
	uint32_t refs;
	size_t len;
	uint8_t data[];
};

/* One place in the order of a ring: a message, or a change of the processes in the group. */
struct sim_item {
	struct repl_address from;
	struct sim_bytes *bytes; /* NULL: a change of the group */
	struct cl_ring ring;
	uint8_t count;
	struct repl_address member[SIM_MAX_NODES];
};

struct sim_queue {
	struct sim_item *item;
	size_t head, count, cap;
};

struct sim_ring {
	struct cl_ring id;
	uint16_t machines;
	struct sim_queue order;
	uint8_t proc_count;
	struct repl_address proc[SIM_MAX_NODES];
};

/* Each payload is kept once, however many logs have it. */
struct sim_payload {
	struct sim_payload *next;
	uint64_t content;
	size_t len;
	uint8_t data[];
};

struct sim_entry {
	struct cl_epoch epoch;
	uint64_t index;
	uint8_t kind, origin;
	uint64_t instance, request;
	uint64_t content;		   /* hash of the payload */
	const struct sim_payload *payload; /* the world's, to its end */
	bool has_row;
	uint8_t slot;
	struct cl_member row;
};

struct sim_log {
	struct sim_entry *entry; /* entry[i] has index i + 1 */
	size_t count, cap;
};

enum sim_write_type { SIM_WRITE_APPEND, SIM_WRITE_PROMISE, SIM_WRITE_INSTALL, SIM_WRITE_DROP };

struct sim_write {
	enum sim_write_type type;
	struct sim_entry entry;
	uint64_t promise;
	struct cl_view_id view;
	struct sim_log log; /* INSTALL: owned */
	struct cl_uuid cluster;
	bool is_cancelled;
};

struct sim_disk {
	bool is_blank;
	struct cl_uuid cluster;
	struct cl_table genesis;
	uint64_t promised;
	struct sim_log log;
	uint64_t applied; /* durable mark: never above what is committed */
	/* Beside the database: how far it has come. An older database does not take it along. */
	struct cl_pos mark;
	uint64_t mark_promised;
};

/* One I/O of a node on the witness: it lands, then its end is told. */
struct sim_witness_io {
	bool runs, has_landed, is_ok, lands;
	uint64_t land_ms, end_ms;
	enum claim_action action; /* of the record */
	struct claim_record record;
	struct witness_actions job; /* of the area */
	struct sim_log log;	    /* COPY: owned */
	struct witness_event result;
};

struct sim_area {
	struct sim_log log;
	uint64_t promised;
	struct cl_uuid cluster;
	struct cl_table genesis;
	struct witness_set set; /* of a share, which has no history */
};

/* The shared disk of the witness. d_ms 0: there is none. */
struct sim_witness {
	uint64_t d_ms, slow_pct, bad_pct;
	bool is_share;
	uint16_t cut; /* nodes that do not reach it */
	struct claim_record record;
	struct sim_area area[SIM_MAX_NODES];
};

struct sim_node {
	struct witness_state witness;
	struct sim_witness_io record_io, area_io, orphan; /* orphan: of a process that ended */
	bool machine_up, process_up, is_frozen;
	bool is_stalled; /* its disk takes no writes */
	uint8_t ring;	 /* index in world.ring */
	size_t cursor;
	struct sim_queue
		inbox; /* rest of broken rings and ring changes, before ring.order[cursor] */
	struct sim_queue outbox;
	uint32_t pid;
	uint64_t incarnation;
	uint64_t skew_ms; /* its CLOCK_BOOTTIME runs from another start */
	struct repl_state repl;
	struct sim_disk disk;
	struct sim_write *write;
	size_t write_count, write_cap;
	struct sim_log held;
	bool pull_wanted;
	struct cl_view_id pull_view;
	uint32_t pull_donor;
	struct sim_log memory; /* what the process believes its log is */
	uint64_t applied;
	uint64_t next_request, acked_request;
	struct cl_epoch excluded_line; /* the line of that view */
	uint64_t excluded_ms;	/* when a quorate view without it was complete; 0: it is in */
	uint64_t included_seq;	/* newest ring with a quorate view that it is in, */
	size_t included_cursor; /* and up to where the ring's order had come then */
};

/* What was committed. A forced quorum begins another line; its first entries are those before it.
 */
struct sim_line {
	struct cl_epoch forced;	 /* of the entry that began it; zeros: no force */
	uint16_t down, voters;	 /* as that entry says */
	struct sim_entry *entry; /* by index - 1 */
	size_t count, cap;
};

struct sim_world;

/*
 * Calls to whoever stands above the log; all of them NULL: nobody. None of them may propose: they
 * come in the middle of a step.
 */
struct sim_hooks {
	void *arg;
	/* A process begins; the first `applied` entries of its memory are applied. */
	void (*started)(void *arg, uint8_t node);
	void (*ended)(void *arg, uint8_t node); /* a process, or the machine with it */
	void (*applied)(void *arg, uint8_t node, const struct sim_entry *entry);
	void (*opened)(void *arg, uint8_t node); /* what is not applied has to be proposed again */
};

#define SIM_PAYLOADS  1024
#define SIM_LINES_MAX 64

struct sim_world {
	struct prng prng;
	struct sim_hooks hooks;
	struct sim_payload *payload[SIM_PAYLOADS]; /* by content */
	uint64_t now_ms;
	uint8_t nodes;
	enum repl_mutant mutant;
	bool trace;
	struct repl_config config;
	struct sim_node node[SIM_MAX_NODES];
	uint8_t component[SIM_MAX_NODES];
	struct sim_ring ring[SIM_MAX_NODES];
	uint64_t ring_seq;
	struct sim_witness witness;
	enum witness_mutant witness_mutant;
	/* oracle */
	struct sim_line line[SIM_LINES_MAX];
	uint8_t lines;
	uint64_t forces, saved; /* entries that an install replaced by others */
	const char *failure;
	char failure_text[256];
	uint64_t steps, commits, opens, views, pulls, holes, crashes;
};

void sim_world_init(struct sim_world *w, uint64_t seed, uint8_t nodes, enum repl_mutant mutant,
		    bool trace);
/* From now on, and of the processes that run already as if they had just been started. */
void sim_world_hook(struct sim_world *w, const struct sim_hooks *hooks);
void sim_world_done(struct sim_world *w);
/* Records the first violation. */
void sim_fail(struct sim_world *w, uint8_t node, const char *what);

/* Faults and their repair; each leaves the world consistent. */
void sim_machine_crash(struct sim_world *w, uint8_t node);
void sim_machine_start(struct sim_world *w, uint8_t node);
void sim_process_kill(struct sim_world *w, uint8_t node);
void sim_process_start(struct sim_world *w, uint8_t node);
void sim_disk_wipe(struct sim_world *w, uint8_t node);
/* One node at a time may lose its disk, and only where two others can vote without it. */
bool sim_may_wipe(const struct sim_world *w, uint8_t node);
/*
 * The disk of a machine that is off comes back as it was earlier, if nobody needs what it loses:
 * all others have as much as it, and so the majority of which it will be one. It keeps the table of
 * members: with an older one, in which fewer had a vote, it would be quorate without those others.
 */
bool sim_disk_age(struct sim_world *w, uint8_t node);
/*
 * The database of a machine that is off is replaced by an older copy of it: the same rule as for a
 * disk that is lost, since what it holds counts as little.
 */
bool sim_disk_restore(struct sim_world *w, uint8_t node);
/*
 * The state of a node is found to be another than the majority's: it has to drop all that it has
 * and fetch it anew. Only where a lost disk would do no harm, and where it acts.
 */
bool sim_state_is_wrong(struct sim_world *w, uint8_t node);
/* Components changed: builds the rings anew. */
void sim_rings_form(struct sim_world *w);

/* Progress; each returns false if there was nothing to do. */
bool sim_deliver(struct sim_world *w, uint8_t node);
bool sim_sequence(struct sim_world *w, uint8_t node);
bool sim_disk_complete(struct sim_world *w, uint8_t node);
bool sim_pull_run(struct sim_world *w, uint8_t node);
void sim_tick(struct sim_world *w, uint8_t node);
int sim_propose(struct sim_world *w, uint8_t node, uint8_t kind, uint64_t request,
		struct cl_blob payload);
/* An administrator forces quorum there; 0 if he was heard. */
int sim_force(struct sim_world *w, uint8_t node, uint16_t down);
/* The line of which the node's history is. */
const struct sim_line *sim_line_of(struct sim_world *w, uint8_t node);
int sim_create(struct sim_world *w, uint8_t node, const struct cl_table *table);
/* The node's CLOCK_BOOTTIME. */
uint64_t sim_local_ms(const struct sim_world *w, uint8_t node);
/* The fewest votes that any disk's member table has. */
uint8_t sim_fewest_voters(const struct sim_world *w);
/* A history that the process fetched by other ways is written, and REPL_EV_PULLED comes. */
void sim_install(struct sim_world *w, uint8_t node, const struct cl_view_id *view,
		 const struct sim_log *log, const struct cl_uuid *cluster,
		 const struct cl_table *genesis);
int sim_step(struct sim_world *w, uint8_t node, struct repl_event *event);
void sim_log_copy(struct sim_log *to, const struct sim_log *from, size_t count);
void sim_log_clear(struct sim_log *log);

/* sim_world_witness.c: the witness and the nodes' ways to it; call after sim_world_init(). */
void sim_witness_init(struct sim_world *w, uint64_t d_ms);
void sim_witness_done(struct sim_world *w);
void sim_witness_started(struct sim_world *w, uint8_t node);
void sim_witness_ended(struct sim_world *w, uint8_t node);
/* I/O that is over, and the clock. */
void sim_witness_run(struct sim_world *w, uint8_t node);
void sim_witness_check(struct sim_world *w);
/* Who may go on with the share; 0: it knows nobody. */
uint16_t sim_share_set(const struct sim_world *w);
/* Safety of the whole world at this moment. */
void sim_check(struct sim_world *w);

#endif
