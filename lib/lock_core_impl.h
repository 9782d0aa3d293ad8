/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of the lock core, shared by lock_core.c (steps), lock_core_table.c (storage),
 * lock_core_query.c (checks and listings) and lock_core_snapshot.c. Nobody else includes it.
 *
 * Everything is an entry of an array and is named by its u32 index; LK_NIL is none. Links live in
 * arrays of their own, beside the entries, so that one set of list functions serves all lists. An
 * index never shows outside: order comes from lists (creation, queue, lock id) only.
 */
#ifndef LIB_LOCK_CORE_IMPL_H
#define LIB_LOCK_CORE_IMPL_H

#include "lib/lock_core.h"

#define LK_NIL UINT32_MAX

struct lk_link {
	uint32_t prev;
	uint32_t next;
};

struct lk_list {
	uint32_t head;
	uint32_t tail;
	uint32_t count;
};

struct lk_session {
	uint64_t id;
	uint64_t incarnation;
	struct lk_list locks; /* by owner_links, ascending lock id */
	uint8_t node;
	uint8_t state; /* enum lk_session_state */
};

struct lk_resource {
	struct lk_list queues[LK_QUEUE_MAX]; /* by queue_links */
	uint32_t held[LK_MODE_MAX];	     /* locks granted in this mode, converting ones too */
	uint32_t wanted[LK_MODE_MAX];	     /* requests waiting or converting for this mode */
	uint32_t dirty_next;		     /* inside one step */
	uint8_t is_dirty;
	uint8_t lvb_valid;
	uint8_t name_len;
	uint8_t name[LK_NAME_MAX];
	uint8_t lvb[LK_LVB_BYTES];
};

struct lk_lock {
	uint64_t id;
	uint64_t cookie;
	uint32_t session;
	uint32_t resource;
	uint8_t queue;	   /* enum lk_queue */
	uint8_t granted;   /* NL while waiting */
	uint8_t requested; /* equal to granted while granted */
	uint8_t told;
	uint8_t wants_lvb; /* queued with LK_VALBLK */
};

struct lk_head {
	struct lk_limits limits;
	uint64_t next_lock_id;
	uint32_t locks;		      /* in use */
	struct lk_list sessions;      /* by session_order, as opened */
	struct lk_list resources;     /* by resource_order, as created */
	struct lk_list free_sessions; /* by session_order */
	struct lk_list free_resources;
	struct lk_list free_locks; /* by queue_links */
	uint32_t dirty_head;
	uint32_t dirty_tail;
};

/* lock_core_table.c */
void lk_list_init(struct lk_list *list);
void lk_list_append(struct lk_link *links, struct lk_list *list, uint32_t i);
void lk_list_remove(struct lk_link *links, struct lk_list *list, uint32_t i);
uint32_t lk_session_find(const struct lk_state *st, uint64_t id);
uint32_t lk_resource_find(const struct lk_state *st, const uint8_t *name, uint8_t len);
uint32_t lk_lock_find(const struct lk_state *st, uint64_t id);
/* The caller has looked that there is room and that id or name is new. */
uint32_t lk_session_add(struct lk_state *st, uint64_t id, uint8_t node, uint64_t incarnation);
uint32_t lk_resource_add(struct lk_state *st, const uint8_t *name, uint8_t len);
/* In no queue yet, and in no session's list. */
uint32_t lk_lock_add(struct lk_state *st, uint64_t id, uint32_t resource, uint32_t session);
/* It has no locks. */
void lk_session_remove(struct lk_state *st, uint32_t i);
void lk_resource_remove(struct lk_state *st, uint32_t i);
/* Takes a lock out of its queue and its session, and forgets it. */
void lk_lock_remove(struct lk_state *st, uint32_t i);
/* Into and out of a queue, with the counts of lk_resource; granted and requested are set. */
void lk_queue_append(struct lk_state *st, uint32_t lock, enum lk_queue queue);
void lk_queue_remove(struct lk_state *st, uint32_t lock);
/* A granted lock gets another mode and keeps its place. */
void lk_queue_set_mode(struct lk_state *st, uint32_t lock, uint8_t mode);
/*
 * Moves a lock to another session's list, which stays in order of lock id. Looks for its place from
 * `at` on, a lock of that list or LK_NIL for its end; returns where to look for the next higher id.
 */
uint32_t lk_lock_set_owner(struct lk_state *st, uint32_t i, uint32_t session, uint32_t at);

/* lock_core.c */
/* Compatible with all that is held, `self` (or LK_NIL) apart. */
bool lk_is_compatible(const struct lk_state *st, const struct lk_resource *r, uint8_t mode,
		      uint32_t self);
/* A conversion that excludes nobody whom `from` did not. */
bool lk_is_down(uint8_t from, uint8_t to);
/* The highest mode wanted by others that this lock's granted mode blocks, or NL. */
uint8_t lk_blocked_mode(const struct lk_state *st, uint32_t lock);

/* lock_core_query.c */
/* Sorts n entries linked by st->scratch from `head` on; returns the new head. */
uint32_t lk_sort(const struct lk_state *st, uint32_t head, uint32_t n,
		 bool (*is_less)(const struct lk_state *st, uint32_t a, uint32_t b));

#endif
