/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lock core: the DLM model (modes, grant, convert and wait queues, completion and blocking ASTs,
 * lock value block) as a pure state machine. The `ordered` driver runs it inside the replicated
 * database, the `volume` driver inside csvfsd; both feed events and carry out actions.
 *
 * It is not a policy: who is dead, what is proved over and which names a fencing releases is the
 * caller's decision and arrives as an event. It does no I/O, reads no clock, allocates nothing. The
 * same events in the same order give the same actions and the same lk_hash() on every node.
 *
 * Rules (VAX/VMS lock manager as in R. Davis, "VAXcluster Principles", chapter 6, and Linux
 * fs/dlm/lock.c; where we differ, it says so):
 * - Granted modes on one resource are pairwise compatible. A converting lock still counts with the
 *   mode that it holds.
 * - Conversions go before new requests; both queues are FIFO and only their heads are ever granted.
 *   A new request is granted at once only if both queues are empty.
 * - A conversion that excludes nobody new (down, or to the same mode) is granted at once. Any other
 *   waits its turn behind queued conversions even if it is compatible now; as with QUECVT of the
 *   DLM, otherwise two holders taking turns could starve a third.
 * - A conversion whose held mode blocks a conversion queued before it would close a circle: it is
 *   denied with -EDEADLK and keeps what it has. So there is never a circle in a convert queue.
 *   Circles over several resources or over new requests are not looked for.
 * - Value block: zero and valid when a resource appears; forgotten when its last lock goes. With
 *   LK_VALBLK it is written by a holder of PW or EX that converts (PW to EX apart) or unlocks, and
 *   returned by a grant to a new lock, to a higher or to the same mode. It becomes invalid when a
 *   lock in PW or EX is released on behalf of its dead holder, or with LK_IVVALBLK.
 * - A holder is told (BLOCKING) the highest mode that others want and that it blocks; again only if
 *   a higher one comes, or after its own mode or owner changed. NL excludes nobody.
 * - A lock belongs to a session, a session to (node, incarnation). An orphaned session (its client
 *   is dead) keeps its granted locks until they are adopted or released and ends with its last one.
 *
 * Invariants: see lk_check(). Bounds: struct lk_limits, which must be the same on all replicas.
 * One thread at a time per state.
 */
#ifndef LIB_LOCK_CORE_H
#define LIB_LOCK_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LK_MAX_NODES 16
#define LK_NAME_MAX  64
#define LK_LVB_BYTES 32
/* Upper bound of each number in struct lk_limits. */
#define LK_LIMIT_MAX (1U << 22)

/* Ordered by strength; numbers as in the DLM (linux/dlmconstants.h), stable on wire and disk. */
#define LK_MODES(X)                                                                                \
	X(NL)                                                                                      \
	X(CR)                                                                                      \
	X(CW)                                                                                      \
	X(PR)                                                                                      \
	X(PW)                                                                                      \
	X(EX)

enum lk_mode {
#define X(name) LK_##name,
	LK_MODES(X)
#undef X
		LK_MODE_MAX
};

/* May two different locks hold these modes at once? Both below LK_MODE_MAX. */
bool lk_mode_compatible(enum lk_mode a, enum lk_mode b);
/* "NL" .. "EX"; "?" for anything else. */
const char *lk_mode_name(unsigned int mode);

#define LK_NOQUEUE  0x01U /* LOCK, CONVERT: rather be denied (-EAGAIN) than wait */
#define LK_VALBLK   0x02U /* LOCK, CONVERT, UNLOCK: read or write the value block */
#define LK_IVVALBLK 0x04U /* CONVERT, UNLOCK from PW or EX: make the value block invalid */
#define LK_EXACT    0x08U /* RELEASE_MATCHING: the whole name, not a prefix of it */

/*
 * X(NAME, allowed flags). Fields that an event uses:
 *   OPEN              session, node, incarnation
 *   CLOSE             session                         refused while it has any lock
 *   ORPHAN            session                         its waits and conversions are cancelled
 *   ADOPT             session = successor, peer = orphaned; all its locks move
 *   RELEASE           session, orphaned; all its locks end: the effect is proved over
 *   RELEASE_MATCHING  node, incarnation, name = prefix (may be empty)
 *                     orphans every session of that incarnation, then ends the matching locks
 *   LOCK              session, name, mode, cookie
 *   CONVERT           session, lock_id, mode, lvb if it writes
 *   UNLOCK            session, lock_id, lvb if it writes
 *   CANCEL            session, lock_id                a wait ends, a conversion falls back
 *   TRANSFER          session = holder, peer = new owner, name, cookie (the new owner's)
 */
#define LK_EVENTS(X)                                                                               \
	X(OPEN, 0)                                                                                 \
	X(CLOSE, 0)                                                                                \
	X(ORPHAN, 0)                                                                               \
	X(ADOPT, 0)                                                                                \
	X(RELEASE, 0)                                                                              \
	X(RELEASE_MATCHING, LK_EXACT)                                                              \
	X(LOCK, LK_NOQUEUE | LK_VALBLK)                                                            \
	X(CONVERT, LK_NOQUEUE | LK_VALBLK | LK_IVVALBLK)                                           \
	X(UNLOCK, LK_VALBLK | LK_IVVALBLK)                                                         \
	X(CANCEL, 0)                                                                               \
	X(TRANSFER, 0)

enum lk_event_type {
#define X(name, flags) LK_EV_##name,
	LK_EVENTS(X)
#undef X
		LK_EV_MAX
};

const char *lk_event_name(unsigned int type);

struct lk_event {
	enum lk_event_type type;
	uint32_t flags;
	uint64_t session; /* who asks; 0 is no session */
	uint64_t peer;	  /* the other session of ADOPT and TRANSFER */
	uint64_t lock_id;
	uint64_t cookie; /* the owner's word for the lock, given back in every action on it */
	uint64_t incarnation;
	uint8_t node; /* 0 .. LK_MAX_NODES - 1 */
	uint8_t mode; /* enum lk_mode */
	uint8_t name_len;
	uint8_t name[LK_NAME_MAX]; /* any bytes */
	uint8_t lvb[LK_LVB_BYTES];
};

/* X(NAME, errno, words): why an event was refused. lk_step() returns -errno. */
#define LK_REFUSALS(X)                                                                             \
	X(NONE, 0, "not refused")                                                                  \
	X(BAD_EVENT, EINVAL, "no such event")                                                      \
	X(BAD_FLAGS, EINVAL, "flag not allowed here")                                              \
	X(BAD_MODE, EINVAL, "no such lock mode")                                                   \
	X(BAD_NAME, EINVAL, "resource name is empty or too long")                                  \
	X(BAD_NODE, EINVAL, "no such node")                                                        \
	X(BAD_SESSION, EINVAL, "session 0, or the same session twice")                             \
	X(SESSION_EXISTS, EEXIST, "session exists")                                                \
	X(NO_SESSION, ENOENT, "no such session")                                                   \
	X(SESSION_ORPHANED, EOWNERDEAD, "session is orphaned")                                     \
	X(SESSION_ACTIVE, EBUSY, "session is not orphaned")                                        \
	X(SESSION_HAS_LOCKS, EBUSY, "session has locks")                                           \
	X(OTHER_NODE, EXDEV, "session of another node or incarnation")                             \
	X(NO_LOCK, ENOENT, "no such lock")                                                         \
	X(NOT_OWNER, EPERM, "lock of another session")                                             \
	X(PENDING, EBUSY, "lock is waiting or converting")                                         \
	X(NOT_PENDING, EALREADY, "lock is already granted")                                        \
	X(AMBIGUOUS, EBUSY, "session holds the resource more than once")                           \
	X(SESSIONS_FULL, ENOSPC, "too many sessions")                                              \
	X(RESOURCES_FULL, ENOSPC, "too many resources")                                            \
	X(LOCKS_FULL, ENOSPC, "too many locks")                                                    \
	X(QUEUE_FULL, ENOBUFS, "too many requests wait for the resource")

enum lk_refusal {
#define X(name, error, words) LK_REFUSED_##name,
	LK_REFUSALS(X)
#undef X
		LK_REFUSAL_MAX
};

const char *lk_refusal_words(unsigned int refusal);

/*
 * Every accepted LOCK and CONVERT is answered in the same step by one of QUEUED, GRANTED, DENIED; a
 * QUEUED one later by GRANTED or DENIED. `mode` means, in this order: the mode asked for; now held;
 * asked for in vain; wanted by another; held until now.
 */
#define LK_ACTIONS(X)                                                                              \
	X(QUEUED)                                                                                  \
	X(GRANTED)  /* completion AST */                                                           \
	X(DENIED)   /* completion AST; error: -EAGAIN, -EDEADLK, -ECANCELED */                     \
	X(BLOCKING) /* blocking AST */                                                             \
	X(UNLOCKED)

enum lk_action_kind {
#define X(name) LK_DO_##name,
	LK_ACTIONS(X)
#undef X
		LK_DO_MAX
};

const char *lk_action_name(unsigned int kind);

enum lk_cause {
	LK_BY_REQUEST,	/* the session's own event of this step */
	LK_BY_QUEUE,	/* what stood in the way has gone, or someone came to wait */
	LK_BY_TRANSFER, /* TRANSFER */
	LK_BY_ADOPT,	/* ADOPT */
	LK_BY_DEATH,	/* ORPHAN, RELEASE, RELEASE_MATCHING; the session may have no client */
	LK_BY_MAX
};

struct lk_action {
	enum lk_action_kind kind;
	enum lk_cause cause;
	int error;
	uint8_t mode;
	bool has_lvb;	/* GRANTED: the value block was asked for and is in lvb */
	bool lvb_valid; /* meaningful with has_lvb */
	uint64_t session;
	uint64_t lock_id; /* 0 when a LOCK is denied at once */
	uint64_t cookie;
	uint8_t lvb[LK_LVB_BYTES];
};

/* Given by the caller; lk_actions_max() entries are enough for any step. */
struct lk_actions {
	struct lk_action *items; /* borrowed */
	uint32_t cap;
	uint32_t count;
	enum lk_refusal refusal;
};

struct lk_limits {
	uint32_t max_sessions;
	uint32_t max_resources;
	uint32_t max_locks;  /* granted, converting and waiting together */
	uint32_t max_queued; /* waiting and converting on one resource */
};

struct lk_index {
	uint32_t *buckets;
	uint32_t *chain;
	uint32_t mask;
};

/* Views into one block of memory that the caller owns; inside the block there are no pointers. */
struct lk_state {
	struct lk_head *head;
	struct lk_session *sessions;
	struct lk_resource *resources;
	struct lk_lock *locks;
	struct lk_link *session_order;
	struct lk_link *resource_order;
	struct lk_link *queue_links;
	struct lk_link *owner_links;
	uint32_t *scratch; /* of no meaning between calls */
	struct lk_index session_index;
	struct lk_index resource_index;
	struct lk_index lock_index;
};

/* Bytes of memory for these limits; 0 when a limit is 0 or above LK_LIMIT_MAX. */
size_t lk_state_size(const struct lk_limits *limits);
/* Entries that no step can exceed. */
uint32_t lk_actions_max(const struct lk_limits *limits);
/*
 * An empty state in mem (aligned to 8, at least lk_state_size() bytes), which it uses until the
 * caller frees it. -EINVAL: bad limits or alignment; -ENOBUFS: mem too small.
 */
int lk_state_init(struct lk_state *st, void *mem, size_t mem_size, const struct lk_limits *limits);
/* Makes dst equal to src; both were initialised with the same limits, each in its own memory. */
void lk_state_copy(struct lk_state *dst, const struct lk_state *src);

/*
 * One event. Returns 0, with what to do in out; or a negative errno, with the reason in
 * out->refusal, no actions, and the state untouched. Order of actions: first the answer to the
 * asker and what ends (by session in order of opening, cancelled requests before released locks,
 * each by lock id), then, resource by
 * resource in the order first touched, grants in queue order and BLOCKING in order of the granted,
 * then of the convert queue. More actions than out->cap: broken invariant.
 */
int lk_step(struct lk_state *st, const struct lk_event *ev, struct lk_actions *out);

/* NULL, or the text of the invariant that does not hold. For tests, decoders and dumps: O(size). */
const char *lk_check(const struct lk_state *st);
/* Equal states, however they came about, have equal hashes; memory layout does not count. */
uint64_t lk_hash(const struct lk_state *st);

/* Bytes that lk_encode() needs at most. */
size_t lk_encoded_max(const struct lk_limits *limits);
/* Writes a snapshot. 0 and its length, or -ENOBUFS with *ret_len untouched. */
int lk_encode(const struct lk_state *st, void *buf, size_t cap, size_t *ret_len);
/*
 * Builds a state from a snapshot in mem, like lk_state_init(). 0; -EBADMSG: not a snapshot or one
 * whose state breaks an invariant; -ENOSPC: more than the limits allow; or as lk_state_init(). On
 * error *ret is untouched and mem holds nothing of use.
 */
int lk_decode(const void *buf, size_t len, const struct lk_limits *limits, void *mem,
	      size_t mem_size, struct lk_state *ret);

enum lk_queue { LK_QUEUE_GRANTED, LK_QUEUE_CONVERTING, LK_QUEUE_WAITING, LK_QUEUE_MAX };

enum lk_session_state { LK_SESSION_ACTIVE, LK_SESSION_ORPHANED, LK_SESSION_STATE_MAX };

struct lk_session_info {
	uint64_t id;
	uint64_t incarnation;
	uint32_t locks; /* in any queue */
	uint8_t node;
	enum lk_session_state state;
};

struct lk_lock_info {
	uint64_t id;
	uint64_t cookie;
	struct lk_session_info session;
	enum lk_queue queue;
	uint8_t granted;   /* unless waiting */
	uint8_t requested; /* unless granted */
	uint8_t told;	   /* highest mode in a BLOCKING since its mode changed; NL: none */
	uint8_t name_len;
	bool lvb_valid;
	uint8_t name[LK_NAME_MAX];
	uint8_t lvb[LK_LVB_BYTES]; /* of the resource */
};

/* 0 or -ENOENT. */
int lk_session_get(const struct lk_state *st, uint64_t session, struct lk_session_info *ret);
int lk_lock_get(const struct lk_state *st, uint64_t lock_id, struct lk_lock_info *ret);
/* In order of opening. A callback that returns other than 0 ends the walk, which returns that. */
int lk_each_session(const struct lk_state *st,
		    int (*fn)(void *arg, const struct lk_session_info *info), void *arg);
/*
 * Every lock, by name of the resource (memcmp order, a prefix first), then granted, converting,
 * waiting, each in queue order. fn as above; it must not call lk_step(). Sorts through scratch
 * links inside the state, hence not const; nothing that lk_step() or lk_hash() sees changes.
 */
int lk_each(struct lk_state *st, int (*fn)(void *arg, const struct lk_lock_info *info), void *arg);

#endif
