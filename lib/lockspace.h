/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lockspace: what a user of locks sees, whoever masters them. Three drivers stand behind it:
 *
 *   ordered   cluster locks (vol: mnt: vm: grp:), in clusterd's replicated database
 *   volume    file locks of one volume, in its coordinator's csvfsd
 *   dlm       cluster locks in the kernel's DLM, where an admin chose it
 *
 * Modes, flags, value block and fairness are those of lib/lock_core.h; what a driver cannot give,
 * it says with -EOPNOTSUPP and never imitates.
 *
 * - Everything is asynchronous. A call that returns 0 has only taken the request; the result comes
 *   as an event. A negative errno: nothing was taken and no event will come.
 * - The user names a lock by a cookie of its own, unique among its locks in this lockspace. It is
 *   free for another lock after UNLOCKED, or after the DENIED of its first request.
 * - Events arrive in the order in which the master decided, on the libqb loop that opened the
 *   lockspace, never from inside a call of this interface. Calls are made on that loop only.
 * - A grant is necessary and not always enough: a holder of a cluster lock also checks its quorum
 *   lease before each use, and with `dlm` the committed order and RECOVERED.
 */
#ifndef LIB_LOCKSPACE_H
#define LIB_LOCKSPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/lock_core.h"

/*
 * X(NAME). `mode` of an event: asked for (QUEUED, DENIED), now held (GRANTED), wanted by another
 * (BLOCKING), held until now (UNLOCKED).
 *   QUEUED     the request waits; it may be cancelled
 *   GRANTED    lock, conversion or transfer to this session is done; value block if asked for
 *   DENIED     -EAGAIN (LK_NOQUEUE), -EDEADLK, -ECANCELED, or a refusal of the core (LK_REFUSALS);
 *              the lock is as before the request
 *   BLOCKING   come down to a mode compatible with `mode` as soon as the work under it is done
 *   UNLOCKED   the lock is gone: on request, by transfer, or (cause LK_BY_DEATH) taken away
 *   SUSPENDED  the master is away (no quorum, new coordinator): locks stay, requests wait, and no
 *              other event comes until RESUMED or LOST
 *   RESUMED    the master is back and knows all our locks
 *   LOST       the session is no more, nor are its locks; the user has stopped using them before
 *              it returns, or it ends itself; only lockspace_close() may follow
 */
#define LOCKSPACE_EVENTS(X)                                                                        \
	X(QUEUED)                                                                                  \
	X(GRANTED)                                                                                 \
	X(DENIED)                                                                                  \
	X(BLOCKING)                                                                                \
	X(UNLOCKED)                                                                                \
	X(SUSPENDED)                                                                               \
	X(RESUMED)                                                                                 \
	X(LOST)

enum lockspace_event_kind {
#define X(name) LOCKSPACE_##name,
	LOCKSPACE_EVENTS(X)
#undef X
		LOCKSPACE_EVENT_MAX
};

struct lockspace_event {
	enum lockspace_event_kind kind;
	enum lk_cause cause;
	int error; /* DENIED: negative errno */
	uint8_t mode;
	bool has_lvb;
	bool lvb_valid;
	uint8_t name_len; /* GRANTED by LK_BY_ADOPT or LK_BY_TRANSFER: of what; else 0 */
	uint64_t cookie;
	uint8_t name[LK_NAME_MAX];
	uint8_t lvb[LK_LVB_BYTES];
};

struct lockspace;
struct qb_loop;

struct lockspace_params {
	const char *name;     /* of the lockspace: a volume's uuid, or "cluster" */
	uint64_t session;     /* our session's id, never used before in this lockspace */
	uint64_t adopt;	      /* orphaned session whose locks we take over, or 0 */
	struct qb_loop *loop; /* borrowed until close */
	/* Borrows ev for the call. May call everything here but lockspace_close(). */
	void (*on_event)(void *arg, const struct lockspace_event *ev);
	void *arg;
};

struct lockspace_request {
	uint64_t cookie;
	uint32_t flags; /* LK_NOQUEUE, LK_VALBLK, LK_IVVALBLK */
	uint8_t mode;	/* lock, convert */
	uint8_t name_len;
	uint8_t name[LK_NAME_MAX]; /* lock, transfer */
	uint8_t lvb[LK_LVB_BYTES]; /* convert, unlock: written under the rules of LK_VALBLK */
};

/*
 * One driver. All return 0 or a negative errno; common to all: -EINVAL (bad request), -ENOENT (no
 * lock of that cookie), -ENOBUFS (the driver's queue is full, try later), -ENOTCONN (after LOST).
 */
struct lockspace_ops {
	const char *name;
	/*
	 * Joins, opens the session and, with params->adopt, takes over an orphan's locks (each one
	 * comes as GRANTED, LK_BY_ADOPT, under its old cookie). RESUMED says that it is done, LOST
	 * that it was refused. Returns owned.
	 */
	int (*open)(const struct lockspace_params *params, struct lockspace **ret);
	/*
	 * Takes ls. Without locks the session is closed; with locks it is left orphaned: they stay
	 * until a successor adopts them or clusterd proves their effect over. No event follows.
	 */
	void (*close)(struct lockspace *ls);
	int (*lock)(struct lockspace *ls, const struct lockspace_request *req);
	/* -EBUSY: another request on this lock is still under way. */
	int (*convert)(struct lockspace *ls, const struct lockspace_request *req);
	/* As convert. The user has stopped using the lock before it calls. */
	int (*unlock)(struct lockspace *ls, const struct lockspace_request *req);
	/*
	 * Ends what is under way for the cookie with DENIED, -ECANCELED; if GRANTED, UNLOCKED or
	 * another DENIED overtakes it, that is the result and no event tells of the cancel.
	 */
	int (*cancel)(struct lockspace *ls, uint64_t cookie);
	/*
	 * Hands the one lock that we hold on req->name to another session in one step; there it
	 * comes as GRANTED with req->cookie (agreed with it before), here as UNLOCKED, both
	 * LK_BY_TRANSFER. If it is not possible: DENIED for the lock's cookie, which stays ours.
	 * `dlm`: -EOPNOTSUPP.
	 */
	int (*transfer)(struct lockspace *ls, const struct lockspace_request *req,
			uint64_t to_session);
};

/* First member of every driver's own struct. */
struct lockspace {
	const struct lockspace_ops *ops;
};

/* Takes ls; NULL is fine. Returns NULL. */
static inline struct lockspace *lockspace_close(struct lockspace *ls)
{
	if (ls)
		ls->ops->close(ls);
	return NULL;
}

static inline int lockspace_lock(struct lockspace *ls, const struct lockspace_request *req)
{
	return ls->ops->lock(ls, req);
}

static inline int lockspace_convert(struct lockspace *ls, const struct lockspace_request *req)
{
	return ls->ops->convert(ls, req);
}

static inline int lockspace_unlock(struct lockspace *ls, const struct lockspace_request *req)
{
	return ls->ops->unlock(ls, req);
}

static inline int lockspace_cancel(struct lockspace *ls, uint64_t cookie)
{
	return ls->ops->cancel(ls, cookie);
}

static inline int lockspace_transfer(struct lockspace *ls, const struct lockspace_request *req,
				     uint64_t to_session)
{
	return ls->ops->transfer(ls, req, to_session);
}

#endif
