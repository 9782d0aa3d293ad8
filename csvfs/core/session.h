/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's book of request sessions: which mounts there are, over which connection each
 * may speak, and for each of their slots whether a request is to be executed, is under way, or has
 * been done. It decides; the edge executes.
 *
 *   exactly once     a request is (mount incarnation, slot, sequence). What was done under an
 *                    earlier coordinator is known from the records that it left on disk
 *   no late twin     a mount has one connection; the next is taken only when every request of the
 *                    one before it has ended or been discarded unexecuted
 *   one life         a mount's process may be replaced by another one, which goes on with the
 *                    requests. From its first word on the one before it is not heard any more. That
 *                    word counts before its connection is taken: what still executes may wait for
 *                    what the process before it was granted
 *   in order         reclaim by every mount, then resends by every mount, then new requests; a
 *                    mount that has ended is dropped from the count, and of it nothing is left.
 *                    Among the resends first those whose intent is on disk without its result:
 *                    they are compared with what is there, so nothing may come before them
 *   no work without a lease: suspended, nothing is begun, dropped or reaped; nor after the stop
 *
 * Pure: sess_step() is a function of (state, event); bounded arrays, overflow is a broken
 * invariant. One thread at a time.
 */
#ifndef CSVFS_CORE_SESSION_H
#define CSVFS_CORE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/proto.h"

#define SESS_MOUNTS 32 /* living ones, and ended ones that are not dropped yet */

/* Planted bugs, for the simulator only. */
#ifdef CSVFS_MUTANTS
enum sess_mutant {
	SESS_MUTANT_NONE,
	SESS_MUTANT_RESEND_TWICE,   /* executes anew what the disk says is done */
	SESS_MUTANT_SERVE_EARLY,    /* serves before all have reclaimed and resent */
	SESS_MUTANT_RESEND_EARLY,   /* executes resends before all have reclaimed */
	SESS_MUTANT_FORGET_HELD,    /* counts a mount as resent whose resends were discarded */
	SESS_MUTANT_DROP_EXECUTING, /* drops an ended mount whose requests still execute */
	SESS_MUTANT_WORK_SUSPENDED, /* begins work without a lease */
	SESS_MUTANT_REDO_ANY_TIME,  /* executes resends while intents are open */
	SESS_MUTANT_GONE_REDO,	    /* serves while an intent of an ended mount is being redone */
	SESS_MUTANT_DROP_SUSPENDED, /* drops an ended mount without a lease */
	SESS_MUTANT_DROP_STOPPED,   /* drops an ended mount after the stop, and does not wait */
	SESS_MUTANT_NO_REPLACED,    /* says nothing of another process */
	SESS_MUTANT_ALL_REPLACED,   /* takes each connection for that of another process */
	SESS_MUTANT_OLDER_LIFE,	    /* hears a process that has been replaced */
	SESS_MUTANT_LIFE_WAITS,	    /* hears of another process only when its connection is taken */
	SESS_MUTANT_REPLACED_ONCE,  /* not also of what still executed for the one before */
	SESS_MUTANT_ACCEPT_EARLY,   /* the next connection while what came over the last executes */
	SESS_MUTANT_MAX
};
#define SESS_MUTANT(s, name) ((s)->mutant == SESS_MUTANT_##name)
#else
#define SESS_MUTANT(s, name) false
#endif

enum sess_phase {
	SESS_LOADING, /* records are being read; nobody is answered */
	SESS_RECLAIM, /* mounts say what they have open; requests are held */
	SESS_RESEND,  /* what was under way is repeated; new requests are held */
	SESS_SERVE,
	SESS_STOPPING, /* all connections are closed; what is under way ends */
	SESS_STOPPED,
	SESS_PHASE_MAX
};

enum sess_slot_state {
	SESS_FREE,	/* nothing since this coordinator began */
	SESS_HELD,	/* the edge has the request and keeps it */
	SESS_EXECUTING, /* the edge executes it */
	SESS_DONE,	/* the edge keeps its reply */
};

struct sess_slot {
	enum sess_slot_state state;
	bool is_resend; /* held one */
	uint64_t seq;	/* of the request in `state`, or of the last one */
	bool is_redo;	/* executing one: its intent was on disk */
	/* What is on disk of this slot, until something newer is executed; seq 0: nothing. */
	uint64_t record_seq;
	bool record_is_done;
};

struct sess_mount {
	uint64_t id;	   /* 0: free row */
	uint32_t life;	   /* of the process that speaks; 0: none has said */
	bool is_replaced;  /* while requests of the one before execute */
	bool is_gone;	   /* it has ended: to be dropped when nothing of it executes */
	bool is_dropping;  /* the edge has been told to drop it */
	bool bars;	   /* recovery waits for it: it was there when this coordinator began */
	bool is_reclaimed; /* its opens are known here */
	bool is_resent;	   /* on its present connection */
	uint64_t conn;	   /* 0: none */
	uint64_t pending;  /* a new connection, waiting for `executing` to reach 0 */
	uint32_t executing;
	struct sess_slot slot[CSV_SLOTS];
};

struct sess_state {
	enum sess_phase phase;
	uint64_t term;
	bool is_suspended;
#ifdef CSVFS_MUTANTS
	enum sess_mutant mutant;
#endif
	struct sess_mount mount[SESS_MOUNTS];
};

/* ---- events: X(NAME), with the fields of struct sess_event that count */
#define SESS_EVENTS(X)                                                                             \
	X(MOUNT)	/* mount: there is such a mount; before LOADED each that may have spoken   \
			   to an earlier coordinator */                                            \
	X(GONE)		/* mount: it has ended, its process and FUSE connection are over */        \
	X(RECORD)	/* mount, slot, seq, is_done: found on disk; before LOADED only */         \
	X(LOADED)	/* all records are known */                                                \
	X(HELLO)	/* conn, mount, term; the edge has checked protocol and volume */          \
	X(LIFE)		/* conn, life: which of its processes that is */                           \
	X(CONN_LOST)	/* conn */                                                                 \
	X(RECLAIM_DONE) /* conn */                                                                 \
	X(RESEND_DONE)	/* conn */                                                                 \
	X(REQUEST)	/* conn, slot, seq, is_resend */                                           \
	X(FINISHED)	/* mount, slot: executed, its effect durable, its reply kept */            \
	X(DROPPED)	/* mount: nothing of it is left, on disk and in memory */                  \
	X(SUSPEND)	/* the lease has ended */                                                  \
	X(RESUME)                                                                                  \
	X(STOP)

enum sess_event_type {
#define SESS_EVENT_ENUM(NAME) SESS_EV_##NAME,
	SESS_EVENTS(SESS_EVENT_ENUM)
#undef SESS_EVENT_ENUM
		SESS_EV_MAX
};

struct sess_event {
	enum sess_event_type type;
	uint64_t conn;
	uint64_t mount;
	uint32_t life;
	uint64_t term;
	uint16_t slot;
	uint64_t seq;
	bool is_resend;
	bool is_done;
};

/* ---- actions, to be carried out in order */
#define SESS_ACTIONS(X)                                                                            \
	X(WELCOME)   /* conn, mount, is_known; if not, what it reclaimed before is forgotten */    \
	X(REPLACED)  /* mount: another process of it goes on, which has no grants, no promises,    \
			and nobody who waits for a lock */                                         \
	X(REFUSE)    /* conn, reason; then close it */                                             \
	X(CLOSE)     /* conn */                                                                    \
	X(HOLD)	     /* mount, slot: keep the request that came */                                 \
	X(DISCARD)   /* mount, slot: forget the held request */                                    \
	X(IGNORE)    /* the request that came is under way already */                              \
	X(EXECUTE)   /* mount, slot: it is new */                                                  \
	X(REDO)	     /* mount, slot: the disk has its intent: compare, then do it or not */        \
	X(REPLAY)    /* mount, slot: the disk has its result: that is the reply; what a CREATE     \
			opened is open again */                                                    \
	X(REPLY)     /* mount, slot, conn: send the reply that is kept */                          \
	X(DROP)	     /* mount: remove all that it had, no orphans before SERVE; then DROPPED */    \
	X(RECOVERED) /* mount: tell the cluster */                                                 \
	X(RESENDS)   /* all have reclaimed: resends are executed from now on */                    \
	X(SERVE)     /* recovery is over: orphans that nobody has open may go. Before it every     \
			inode counts as open: what loses its last name becomes an orphan */        \
	X(STOPPED)   /* nothing executes any more, nothing is being dropped */

enum sess_action_kind {
#define SESS_ACTION_ENUM(NAME) SESS_DO_##NAME,
	SESS_ACTIONS(SESS_ACTION_ENUM)
#undef SESS_ACTION_ENUM
		SESS_DO_MAX
};

struct sess_action {
	enum sess_action_kind kind;
	uint64_t conn;
	uint64_t mount;
	uint16_t slot;
	bool is_known;
	enum csv_refusal reason;
};

/* Each slot at most twice in one step, and a few for each mount. */
#define SESS_MAX_ACTIONS (SESS_MOUNTS * (2 * CSV_SLOTS + 8))

struct sess_actions {
	size_t count;
	struct sess_action item[SESS_MAX_ACTIONS];
};

void sess_init(struct sess_state *s, uint64_t term);
/* 0; -EPROTO: the mount broke the protocol, its connection is closed; -ENOSPC: too many mounts. */
int sess_step(struct sess_state *s, const struct sess_event *e, struct sess_actions *ret);
/* NULL if all invariants hold, else which does not. */
const char *sess_check(const struct sess_state *s);
const char *sess_phase_name(enum sess_phase phase);
const char *sess_event_name(enum sess_event_type type);
const char *sess_action_name(enum sess_action_kind kind);
/* The row of a mount, or NULL. */
const struct sess_mount *sess_mount_find(const struct sess_state *s, uint64_t mount);
/* How many requests of all mounts execute. */
uint32_t sess_executing(const struct sess_state *s);

#endif
