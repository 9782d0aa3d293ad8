/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The health of this node's database: compares the hash of the applied state with the others'
 * (clusterd/core/hash_check.h), watches whether the disk takes what is written, and tells the
 * cluster of both as events (command db_note).
 *
 * Loop thread only.
 */
#ifndef CLUSTERD_EDGE_HEALTH_H
#define CLUSTERD_EDGE_HEALTH_H

#include "clusterd/core/hash_check.h"
#include "clusterd/core/msg.h"
#include "clusterd/core/schema.h"

#define HEALTH_NOTES_MAX 8
/* A disk that has not answered for so long is treated as one that takes nothing. */
#define HEALTH_HUNG_MS 3000

struct engine;
struct store_entry;
struct repl_address;

struct health_note {
	uint8_t note; /* enum db_note */
	char text[DB_REASON_MAX];
};

struct health {
	struct hash_check check;
	struct cl_view_id view;	   /* that `check` is about */
	enum hash_verdict verdict; /* the newest of that view that is no HASH_WAIT */
	uint64_t judged_index;	   /* where */
	bool is_due;		   /* a hash is to be told */
	uint64_t due_index, due_hash;
	uint64_t compared_index; /* newest one at which this node agreed */
	bool is_refetching;	 /* its state is wrong: it is fetched anew */
	bool has_told_undecided;
	bool is_stalled;
	bool is_hung;		   /* because it does not answer */
	char stall[DB_REASON_MAX]; /* what the disk said; "": it takes writes */
	bool is_noting;
	size_t note_count;
	struct health_note note[HEALTH_NOTES_MAX]; /* not known to the cluster yet */
	char what[DB_REASON_MAX];		   /* the newest one, for who asks here */
};

/* Something to tell the cluster, as soon as it can be told. */
void health_note(struct health *h, enum db_note note, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* True if that is still to be told. */
bool health_has(const struct health *h, enum db_note note);
/* This node's state is that of a majority: it may be acted upon. */
bool health_may_act(const struct engine *e);
/* Those who are here have different states, and none has a majority: nothing is changed. */
bool health_is_read_only(const struct engine *e);

/* An entry was applied. */
void health_applied(struct engine *e, const struct store_entry *entry);
/* A message HASH; returns true if this node has to fetch the database anew. */
bool health_heard(struct engine *e, const struct repl_address *from, const struct cl_msg_hash *m);
/* The disk takes nothing (why), or takes it again (NULL). Returns true if that is a change. */
bool health_stalled(struct engine *e, const char *what);
/* The database that was fetched anew is here. */
void health_fetched(struct engine *e);
/* After each step: tells the hash that is due. */
void health_settle(struct engine *e);
/* Each tick: tells notes; returns true if the disk has begun to hang, or has ended. */
bool health_tick(struct engine *e);
/* Why an administrator's change is not taken; NULL: it is. */
const char *health_refuses(const struct engine *e);
/* In one word, and in a sentence: for status. */
const char *health_word(const struct engine *e);
void health_text(const struct engine *e, char *text, size_t size);

#endif
