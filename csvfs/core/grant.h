/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's book of grants: which mounts may read and write the blocks of which files by
 * themselves, and what has to come back before those blocks may move.
 *
 *   granted is what the log holds   grant_make_next() has the one order, grant_judge() the rule
 *   recalled means drained          a grant has gone when its mount says so by its number, or when
 *                                   the mount has ended. Never by time, never with a connection
 *   no new ones meanwhile           from the recall to its end the file is given to nobody
 *   no lock while waiting           grant_change_next(): recall, then lock, then look again
 *   no error is lost                writes that failed on their way to the disk are told to all
 *                                   mounts before it ends; to the mount that has found out, last,
 *                                   so that it tells the next coordinator if this one dies
 *   nobody is absent                a new coordinator collects nothing before all mounts that live
 *                                   have told what they have
 *
 * Pure: grant_step() is a function of (state, event); bounded arrays, overflow is a refusal to
 * grant. One thread at a time.
 */
#ifndef CSVFS_CORE_GRANT_H
#define CSVFS_CORE_GRANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/proto.h"

#define GRANT_MOUNTS  32
#define GRANT_ROWS    4096 /* files granted or being recalled at a time */
#define GRANT_BUCKETS 1024
/*
 * One that has not answered for so long does not answer. More than a LUN needs to fail an I/O over
 * (DATAPATH_HUNG_MS, and the 10 to 20 s of usual transports), and than a line that is lost takes to
 * be replaced; less than the patience of who waits.
 */
#define GRANT_SILENT_MS 30000
#define GRANT_NOTICES	128 /* failures that not all mounts have noted yet */

/* Planted bugs, for the simulator only. */
#ifdef CSVFS_MUTANTS
enum grant_mutant {
	GRANT_MUTANT_NONE,
	GRANT_MUTANT_NO_FORCE,	    /* grants before the log holds the map */
	GRANT_MUTANT_UNWRITTEN,	    /* grants extents that read as zeros */
	GRANT_MUTANT_NO_RESIDENCY,  /* does not look whether pages are left */
	GRANT_MUTANT_FREE_FIRST,    /* goes on before the recall is collected */
	GRANT_MUTANT_LOCK_FIRST,    /* takes the lock, then recalls */
	GRANT_MUTANT_NO_LOOK_AGAIN, /* gives new grants while it recalls, and does not look */
	GRANT_MUTANT_ABSENT,	    /* collects before all have told what they have */
	GRANT_MUTANT_LOST_IS_GONE,  /* takes a broken line for the end of the mount */
	GRANT_MUTANT_ANY_NUMBER,    /* takes the return of an older grant for that of this one */
	GRANT_MUTANT_NO_RESEND,	    /* a recall that was lost is not repeated */
	GRANT_MUTANT_ORIGIN_FIRST,  /* tells who has found the failure before the others */
	GRANT_MUTANT_NOT_TO_ALL,    /* tells of a failure only those who are there now */
	GRANT_MUTANT_MAX
};
#define GRANT_MUTANT(s, name) ((s)->mutant == GRANT_MUTANT_##name)
#else
#define GRANT_MUTANT(s, name) false
#endif

struct grant_holder {
	enum csv_grant_mode mode; /* NONE: it holds nothing */
	struct csv_grant_id id;
	uint64_t told;	  /* serial of the last ASK that it has answered */
	uint64_t asked;	  /* of the last one that was asked of it */
	uint64_t owes_ms; /* since when an answer to a recall or an ASK is waited for; 0: none is */
};

struct grant_row {
	struct csv_handle handle; /* ino 0: free */
	uint16_t next;		  /* in its bucket, or among the free ones: index + 1 */
	uint16_t recalls;	  /* that have begun and not ended */
	bool is_unwanted;	  /* recalled for good: it goes with the last one that has it */
	bool is_shared;	  /* its blocks are another file's, too, or may be: for reading only */
	bool has_written; /* holders have said so, of what is not in the inode yet */
	struct csv_time written;
	struct grant_holder holder[GRANT_MOUNTS];
};

struct grant_debt {
	uint64_t mount;
	struct csv_handle handle;
	uint64_t since_ms;
};

struct grant_mount {
	uint64_t id;   /* 0: free */
	uint64_t conn; /* for recalls; 0: none */
	bool is_gone;
};

/* Until all mounts that live have noted it. In the order in which they came. */
struct grant_notice {
	struct csv_frame_failed failure;
	uint64_t since_ms;
	bool is_noted[GRANT_MOUNTS];
};

struct grant_state {
	uint64_t term;
	uint64_t serial; /* of grants and of ASKs */
	bool is_open;	 /* all have told what they have */
	size_t rows;	 /* in use */
#ifdef CSVFS_MUTANTS
	enum grant_mutant mutant;
#endif
	struct grant_mount mount[GRANT_MOUNTS];
	size_t notices;
	struct grant_notice notice[GRANT_NOTICES];
	uint16_t bucket[GRANT_BUCKETS]; /* index + 1 */
	uint16_t free;
	struct grant_row row[GRANT_ROWS];
};

/* ---- events: X(NAME), with the fields of struct grant_event that count */
#define GRANT_EVENTS(X)                                                                            \
	X(CHANNEL)  /* mount, conn: its line for recalls */                                        \
	X(LOST)	    /* conn */                                                                     \
	X(GONE)	    /* mount: it has ended, and its I/O with it */                                 \
	X(REPLACED) /* mount, written: its process, and its I/O with it; the next one has nothing  \
		     */                                                                            \
	X(FORGET)   /* mount: nothing of it is left */                                             \
	X(RESET)    /* mount: it is there; what it has told of itself is forgotten */              \
	X(RECLAIM)  /* mount, handle, id, mode */                                                  \
	X(OPEN)	    /* all have told what they have */                                             \
	X(ISSUE)    /* mount, handle, is_write, is_shared, is_contended: it was recalled for this, \
		       so who had it will want it again; the inode is locked for writing and       \
		       grant_make_next() has come so far */                                        \
	X(RECALL)   /* handle, now_ms: no new ones, and the others back */                         \
	X(UNWANTED) /* handle: as RECALL, for good: nobody has the file open */                    \
	X(END)	    /* handle: of a recall */                                                      \
	X(DONE)	    /* mount, handle, id, has_written, written */                                  \
	X(ASK) /* handle, now_ms, wants_flush, serial: of all that may write; serial 0: a new one, \
		  else again those that have not answered it */                                    \
	X(TOLD)	   /* mount, handle, id, serial, has_written, written */                           \
	X(TOUCHED) /* handle: what was written is in the inode */                                  \
	X(FAILED)  /* failure, now_ms: of a mount's flush; origin 0: of our own */                 \
	X(NOTED)   /* mount, failure.origin, failure.serial */

enum grant_event_type {
#define GRANT_EVENT_ENUM(NAME) GRANT_EV_##NAME,
	GRANT_EVENTS(GRANT_EVENT_ENUM)
#undef GRANT_EVENT_ENUM
		GRANT_EV_MAX
};

struct grant_event {
	enum grant_event_type type;
	uint64_t mount;
	uint64_t conn;
	struct csv_handle handle;
	struct csv_grant_id id;
	enum csv_grant_mode mode;
	bool is_write;
	bool is_shared;
	bool is_contended;
	bool wants_flush;
	bool has_written;
	struct csv_time written;
	uint64_t serial;
	struct csv_frame_failed failure;
	uint64_t now_ms;
};

/* ---- actions, to be carried out in order */
#define GRANT_ACTIONS(X)                                                                           \
	X(CLOSE)   /* conn: the mount has another line */                                          \
	X(RECALL)  /* conn, handle, id: send it */                                                 \
	X(FAILED)  /* conn, failure: send it */                                                    \
	X(ASK)	   /* conn, handle, id, serial, wants_flush: send it */                            \
	X(ASKED)   /* serial: what it is to be asked for again */                                  \
	X(ISSUED)  /* id, mode */                                                                  \
	X(REFUSED) /* why */                                                                       \
	X(SETTLED) /* handle: the last one of it has come back, and nobody waits for that */       \
	X(LOOK)	   /* who waits looks again */

enum grant_action_kind {
#define GRANT_ACTION_ENUM(NAME) GRANT_DO_##NAME,
	GRANT_ACTIONS(GRANT_ACTION_ENUM)
#undef GRANT_ACTION_ENUM
		GRANT_DO_MAX
};

struct grant_action {
	enum grant_action_kind kind;
	uint64_t conn;
	struct csv_handle handle;
	struct csv_grant_id id;
	enum csv_grant_mode mode;
	enum csv_ungranted why;
	uint64_t serial;
	bool wants_flush;
	struct csv_frame_failed failure;
};

#define GRANT_MAX_ACTIONS (GRANT_ROWS + GRANT_NOTICES + GRANT_MOUNTS + 2)

struct grant_actions {
	size_t count;
	struct grant_action item[GRANT_MAX_ACTIONS];
};

void grant_init(struct grant_state *s, uint64_t term);
/* 0; -ENOSPC: too many mounts or failures or, with RECLAIM, files: it cannot go on. */
int grant_step(struct grant_state *s, const struct grant_event *e, struct grant_actions *ret);
/* NULL if all invariants hold, else which does not. */
const char *grant_check(const struct grant_state *s);

/* NULL: nobody has it. */
const struct grant_row *grant_find(const struct grant_state *s, const struct csv_handle *h);
bool grant_is_held(const struct grant_state *s, const struct csv_handle *h);
/* Nothing of it is out: what was recalled is collected. */
bool grant_is_collected(const struct grant_state *s, const struct csv_handle *h);
/* Does somebody else have it for himself alone? Then it is recalled before the mount may write. */
bool grant_is_sole_elsewhere(const struct grant_state *s, const struct csv_handle *h,
			     uint64_t mount);
bool grant_has_writers(const struct grant_state *s, const struct csv_handle *h);
/* All that may write have answered ASK `serial`, or have nothing any more. */
bool grant_is_told(const struct grant_state *s, const struct csv_handle *h, uint64_t serial);
/* A failure of the file is not known everywhere yet. */
bool grant_is_failing(const struct grant_state *s, const struct csv_handle *h);
/*
 * Mounts that have owed an answer, for which somebody waits, for GRANT_SILENT_MS: each once, with
 * the file for which it is longest. Returns how many, at most `cap`.
 */
size_t grant_silent(const struct grant_state *s, uint64_t now_ms, struct grant_debt *ret,
		    size_t cap);
/* Of whom something is waited for; 0: of nobody. */
uint64_t grant_debtor(const struct grant_state *s, struct csv_handle *ret_handle);

/* ---- the order of a grant, with the inode locked for writing */

enum grant_make {
	GRANT_MAKE_FORCE, /* fsync: the log holds the map as it is */
	GRANT_MAKE_EMPTY, /* the page cache; ERROR: a page is left */
	GRANT_MAKE_MAP,	  /* look at the extents; ERROR: grant_judge() says no */
	GRANT_MAKE_ISSUE,
	GRANT_MAKE_REFUSE,
};

/* The mutant's number, where it was compiled in; 0 elsewhere. */
enum grant_make grant_make_first(int mutant);
enum grant_make grant_make_next(enum grant_make step, bool is_ok, int mutant);

/* What the file system says of one extent. */
struct grant_piece {
	uint64_t offset;
	uint64_t address; /* on the LUN */
	uint64_t length;
	bool is_unwritten;
	bool is_shared;
	bool is_other; /* anything else that is special about it */
};

/*
 * NOTHING: this map of a file of that size may be granted. `is_write` false: blocks that are
 * another file's, too, are no hindrance, and *ret_shared says whether there are some.
 */
enum csv_ungranted grant_judge(const struct grant_piece *pieces, size_t count, uint64_t size,
			       bool is_write, int mutant, bool *ret_shared);

/* ---- the order of what changes a map or a size */

enum grant_change {
	GRANT_CHANGE_RECALL, /* nothing is locked; OK: all is collected, or nothing was out */
	GRANT_CHANGE_LOCK,
	GRANT_CHANGE_LOOK, /* ERROR: something is out: unlock, and again */
	GRANT_CHANGE_GO,
};

enum grant_change grant_change_first(int mutant);
enum grant_change grant_change_next(enum grant_change step, bool is_ok, int mutant);

#endif
