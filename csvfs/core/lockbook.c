/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/lockbook.h"

#include <errno.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/must.h"

#define LIFE_SHIFT 32 /* of serials: more than one process uses */
#define INDEX_MASK ((UINT64_C(1) << LOCKBOOK_SHIFT) - 1)

/* `via` of ranges whose open file is gone; and of those that are being given up for it. */
#define VIA_CLOSED  0
#define VIA_CLOSING UINT64_MAX

static void give_turn(struct lockbook *s, const struct lock_range *l, struct lockbook_actions *out);
static void trim(struct lockbook *s, struct lockbook_op *op, uint64_t from,
		 struct lockbook_actions *out);

static uint32_t *owner_bucket(struct lockbook *s, const struct lock_range *l)
{
	uint64_t h = hash_u64(hash_u64(HASH_INIT, l->owner.id), l->handle.ino);

	return &s->owner[hash_u64(h, l->owner.kind) % LOCKBOOK_OWNERS];
}

static bool is_same(const struct lock_range *a, const struct lock_range *b)
{
	return csv_handle_equal(&a->handle, &b->handle) && lock_owner_equal(&a->owner, &b->owner);
}

void lockbook_init(struct lockbook *s, uint64_t mount)
{
	memset(s, 0, sizeof(*s));
	s->mount = mount;
	lockrange_init(&s->held, s->row, LOCKBOOK_RANGES);
	for (uint32_t i = LOCKBOOK_OPS; i > 0; i--) {
		s->op[i - 1].next = s->free;
		s->free = i;
	}
}

static struct lockbook_op *find(struct lockbook *s, uint64_t id)
{
	uint64_t index = id & INDEX_MASK;

	return id && index < LOCKBOOK_OPS && s->op[index].id == id ? &s->op[index] : NULL;
}

const struct lockbook_op *lockbook_find(const struct lockbook *s, uint64_t id)
{
	uint64_t index = id & INDEX_MASK;

	return id && index < LOCKBOOK_OPS && s->op[index].id == id ? &s->op[index] : NULL;
}

/* ---- actions */

static void send(struct lockbook_op *op, enum lockbook_step step, struct lockbook_actions *out)
{
	must(out->count < MUST_ARRAY_SIZE(out->item));
	op->step = step;
	out->item[out->count++] = (struct lockbook_action){.kind = LOCKBOOK_DO_SEND, .id = op->id};
}

static void reply(struct lockbook_op *op, int error, struct lockbook_actions *out)
{
	if (op->is_replied)
		return;
	must(out->count < MUST_ARRAY_SIZE(out->item));
	op->is_replied = true;
	out->item[out->count++] = (struct lockbook_action){
		.kind = LOCKBOOK_DO_REPLY, .id = op->id, .error = error, .user = op->user};
}

/* ---- operations */

static void leave_owing(struct lockbook *s, struct lockbook_op *op)
{
	if (!op->is_owing)
		return;
	*(op->owing_prev ? &s->op[op->owing_prev - 1].owing_next : &s->owing) = op->owing_next;
	if (op->owing_next)
		s->op[op->owing_next - 1].owing_prev = op->owing_prev;
	op->is_owing = false;
}

static void enter(struct lockbook *s, struct lockbook_op *op, enum lockbook_state state)
{
	uint32_t at = (uint32_t)(op - s->op) + 1;

	leave_owing(s, op);
	op->state = state;
	/* What an earlier process owed is owed until its turn is over. */
	if (state != LOCKBOOK_ASKING && !op->is_owed)
		return;
	op->is_owing = true;
	op->owing_prev = 0;
	op->owing_next = s->owing;
	if (s->owing)
		s->op[s->owing - 1].owing_prev = at;
	s->owing = at;
}

static struct lockbook_op *new_op(struct lockbook *s, enum lockbook_what what,
				  const struct lock_range *l, uint32_t limit)
{
	uint32_t at = s->free;
	struct lockbook_op *op;
	uint32_t *owner;

	if (s->ops >= limit)
		return NULL;
	must(at);
	op = &s->op[at - 1];
	s->free = op->next;
	*op = (struct lockbook_op){.id = ++s->serial << LOCKBOOK_SHIFT | (at - 1),
				   .state = LOCKBOOK_NEW,
				   .what = what,
				   .range = *l,
				   .prev = s->last};
	op->range.owner.mount = s->mount;
	*(s->last ? &s->op[s->last - 1].next : &s->first) = at;
	s->last = at;
	owner = owner_bucket(s, &op->range);
	op->owner_next = *owner;
	if (*owner)
		s->op[*owner - 1].owner_prev = at;
	*owner = at;
	s->ops++;
	return op;
}

uint64_t lockbook_new(struct lockbook *s, enum lockbook_what what, const struct lock_range *range,
		      bool may_wait, void *user)
{
	uint32_t limit = what == LOCKBOOK_UNLOCK ? LOCKBOOK_ASKS + LOCKBOOK_GIVES : LOCKBOOK_ASKS;
	struct lockbook_op *op = new_op(s, what, range, limit);

	if (!op)
		return 0;
	op->may_wait = may_wait;
	op->user = user;
	return op->id;
}

static void free_op(struct lockbook *s, struct lockbook_op *op)
{
	uint32_t at = (uint32_t)(op - s->op) + 1;

	leave_owing(s, op);
	*(op->prev ? &s->op[op->prev - 1].next : &s->first) = op->next;
	*(op->next ? &s->op[op->next - 1].prev : &s->last) = op->prev;
	*(op->owner_prev ? &s->op[op->owner_prev - 1].owner_next : owner_bucket(s, &op->range)) =
		op->owner_next;
	if (op->owner_next)
		s->op[op->owner_next - 1].owner_prev = op->owner_prev;
	*op = (struct lockbook_op){.next = s->free};
	s->free = at;
	s->ops--;
}

/* It has ended; the next one of its owner may go on. */
static void finish(struct lockbook *s, struct lockbook_op *op, int error,
		   struct lockbook_actions *out)
{
	struct lock_range l = op->range;

	reply(op, error, out);
	free_op(s, op);
	give_turn(s, &l, out);
}

/* ---- steps, with the turn */

/* Also for what is lowered afterwards. */
static bool has_room(const struct lockbook *s, const struct lock_range *l)
{
	return s->held.count + lockrange_needs(&s->held, l) + 2 <= LOCKBOOK_RANGES;
}

static void ask_lower(struct lockbook *s, struct lockbook_op *op, uint8_t type,
		      struct lockbook_actions *out)
{
	op->piece = op->range;
	op->piece.type = type;
	if (!LOCKBOOK_MUTANT(s, LOWER_LATE))
		lockrange_lower(&s->held, &op->piece);
	send(op, LOCKBOOK_LOWER, out);
}

/* At least that much is had: is it too much? */
static void lower_or_finish(struct lockbook *s, struct lockbook_op *op,
			    struct lockbook_actions *out)
{
	if (op->range.type == CSV_LOCK_READ && !LOCKBOOK_MUTANT(s, DOWNGRADE) &&
	    lockrange_strongest(&s->held, &op->range) == CSV_LOCK_WRITE)
		ask_lower(s, op, CSV_LOCK_READ, out);
	else
		finish(s, op, 0, out);
}

/* Out of the line, without a turn: it is of no account for what the owner has. */
static void end_wait(struct lockbook *s, struct lockbook_op *op, struct lockbook_actions *out)
{
	struct lock_range l = op->range;

	if (LOCKBOOK_MUTANT(s, NO_CANCEL)) {
		free_op(s, op);
	} else {
		enter(s, op, LOCKBOOK_ENDING);
		send(op, LOCKBOOK_CANCEL, out);
	}
	give_turn(s, &l, out);
}

static void run_lock(struct lockbook *s, struct lockbook_op *op, struct lockbook_actions *out)
{
	struct lock_range none = op->range;

	if (!op->is_in_line && lockrange_weakest(&s->held, &op->range) == op->range.type &&
	    lockrange_strongest(&s->held, &op->range) == op->range.type) {
		finish(s, op, 0, out);
		return;
	}
	if (!has_room(s, &op->range)) {
		reply(op, ENOLCK, out);
		if (op->is_in_line)
			end_wait(s, op, out);
		else
			finish(s, op, ENOLCK, out);
		return;
	}
	if (!op->is_in_line && lockrange_weakest(&s->held, &op->range) >= op->range.type) {
		lower_or_finish(s, op, out);
		return;
	}
	/* The coordinator gives up what there is before it gives more: flock(2). */
	none.type = CSV_LOCK_NONE;
	if (op->range.owner.kind == CSV_LOCK_FLOCK &&
	    lockrange_weakest(&s->held, &op->range) < op->range.type)
		lockrange_lower(&s->held, &none);
	op->piece = op->range;
	if (LOCKBOOK_MUTANT(s, RAISE_EARLY) && !op->may_wait)
		lockrange_raise(&s->held, &op->range);
	send(op, LOCKBOOK_RAISE, out);
}

static void run_unlock(struct lockbook *s, struct lockbook_op *op, struct lockbook_actions *out)
{
	bool is_whole = !op->range.start && op->range.end == CSV_LOCK_END_MAX;

	if (!lockrange_strongest(&s->held, &op->range))
		finish(s, op, 0, out);
	else if (!is_whole && s->held.count + 2 > LOCKBOOK_RANGES)
		finish(s, op, ENOLCK, out); /* it would be split */
	else
		ask_lower(s, op, CSV_LOCK_NONE, out);
}

static void run(struct lockbook *s, struct lockbook_op *op, struct lockbook_actions *out)
{
	enter(s, op, LOCKBOOK_ASKING);
	if (op->is_owed) {
		trim(s, op, op->range.start, out);
	} else if (op->what == LOCKBOOK_LOCK) {
		run_lock(s, op, out);
	} else if (op->what == LOCKBOOK_UNLOCK) {
		run_unlock(s, op, out);
	} else {
		op->piece = op->range;
		send(op, LOCKBOOK_LOOK, out);
	}
}

/* ---- turns: one operation of an owner on a file at a time */

/* Whose turn it is, if nothing of that owner is under way. */
static struct lockbook_op *next_turn(struct lockbook *s, const struct lock_range *l)
{
	struct lockbook_op *next = NULL;

	for (uint32_t at = *owner_bucket(s, l); at; at = s->op[at - 1].owner_next) {
		struct lockbook_op *op = &s->op[at - 1];

		if (!is_same(&op->range, l) || op->what == LOCKBOOK_TEST)
			continue;
		if (op->state == LOCKBOOK_ASKING && !LOCKBOOK_MUTANT(s, NO_TURNS))
			return NULL;
		if (op->state == LOCKBOOK_TURN && (!next || op->id < next->id))
			next = op;
	}
	return next;
}

/* What ends at once gives the turn on: in this loop, not in a deeper one. */
static void give_turn(struct lockbook *s, const struct lock_range *l, struct lockbook_actions *out)
{
	struct lockbook_op *next;

	if (s->is_turning)
		return;
	s->is_turning = true;
	while ((next = next_turn(s, l)))
		run(s, next, out);
	s->is_turning = false;
}

static void want_turn(struct lockbook *s, struct lockbook_op *op, struct lockbook_actions *out)
{
	struct lock_range l = op->range;

	enter(s, op, LOCKBOOK_TURN);
	give_turn(s, &l, out);
}

/* ---- closed files */

/* Gives up what was locked through open files that are gone; as far as there is room for it. */
static void sweep(struct lockbook *s, struct lockbook_actions *out)
{
	for (uint32_t i = 0; s->has_closed && i < LOCKBOOK_RANGES; i++) {
		struct lock_range l = s->row[i];
		struct lockbook_op *op;

		if (!l.type || l.via != VIA_CLOSED)
			continue;
		l.start = 0;
		l.end = CSV_LOCK_END_MAX;
		l.type = CSV_LOCK_NONE;
		op = new_op(s, LOCKBOOK_UNLOCK, &l, LOCKBOOK_OPS - LOCKBOOK_RESTS);
		if (!op)
			return; /* when one has ended */
		op->is_replied = true;
		for (uint32_t j = i; j < LOCKBOOK_RANGES; j++) {
			if (s->row[j].type && s->row[j].via == VIA_CLOSED &&
			    is_same(&s->row[j], &op->range))
				s->row[j].via = VIA_CLOSING;
		}
		want_turn(s, op, out);
	}
	s->has_closed = false;
}

/* ---- events */

void lockbook_go(struct lockbook *s, uint64_t id, struct lockbook_actions *out)
{
	struct lockbook_op *op = find(s, id);

	out->count = 0;
	if (!op || op->state != LOCKBOOK_NEW)
		return;
	if (op->is_interrupted)
		reply(op, EINTR, out);
	/*
	 * What gives up is gone through with: the close of one who is killed is interrupted from
	 * its beginning on (SIGKILL stays pending while a process ends), and nobody asks again.
	 */
	if (op->is_interrupted && op->what != LOCKBOOK_UNLOCK) {
		free_op(s, op);
	} else if (op->what == LOCKBOOK_TEST) {
		run(s, op, out);
	} else {
		want_turn(s, op, out);
	}
	sweep(s, out);
}

void lockbook_interrupt(struct lockbook *s, uint64_t id, struct lockbook_actions *out)
{
	struct lockbook_op *op = find(s, id);

	out->count = 0;
	if (!op || op->is_replied)
		return;
	if (op->state == LOCKBOOK_NEW) {
		op->is_interrupted = true;
		return;
	}
	reply(op, EINTR, out);
	if (op->state == LOCKBOOK_WAITING || (op->state == LOCKBOOK_TURN && op->is_in_line))
		end_wait(s, op, out);
	else if (op->state == LOCKBOOK_TURN && op->what == LOCKBOOK_LOCK)
		free_op(s, op);
	/* else: when the answer is there. To give up is gone through with. */
	sweep(s, out);
}

void lockbook_granted(struct lockbook *s, uint64_t id, struct lockbook_actions *out)
{
	struct lockbook_op *op = find(s, id);

	out->count = 0;
	if (!op || op->what != LOCKBOOK_LOCK || op->is_replied)
		return;
	if (op->state == LOCKBOOK_WAITING)
		want_turn(s, op, out);
	else if (op->state == LOCKBOOK_ASKING && !LOCKBOOK_MUTANT(s, LOSE_CALL))
		op->is_called = true;
}

/* The next piece that the coordinator has given and the owner is not to have. */
static void trim(struct lockbook *s, struct lockbook_op *op, uint64_t from,
		 struct lockbook_actions *out)
{
	struct lock_range rest = op->range;

	for (rest.start = from; rest.start <= rest.end; rest.start = op->piece.end + 1) {
		uint8_t type = lockrange_stretch(&s->held, &rest, &op->piece.end);

		if (LOCKBOOK_MUTANT(s, TRIM_ALL))
			type = CSV_LOCK_NONE;
		if (type >= op->range.type)
			continue;
		op->piece.start = rest.start;
		op->piece.type = type;
		send(op, LOCKBOOK_TRIM, out);
		return;
	}
	finish(s, op, 0, out);
}

static void on_raised(struct lockbook *s, struct lockbook_op *op, const struct csv_reply *p,
		      struct lockbook_actions *out)
{
	struct lock_range l = op->range;

	op->is_in_line = !p->error && p->count.count;
	/* Others may have come first, and filled it. */
	if (!p->error && !op->is_in_line && !has_room(s, &l))
		reply(op, ENOLCK, out);
	if (p->error) {
		finish(s, op, p->error, out);
	} else if (op->is_in_line && op->is_replied) {
		end_wait(s, op, out);
	} else if (op->is_in_line && op->is_called) {
		op->is_called = false;
		want_turn(s, op, out);
	} else if (op->is_in_line) {
		enter(s, op, LOCKBOOK_WAITING);
		give_turn(s, &l, out);
	} else if (op->is_replied && !LOCKBOOK_MUTANT(s, NO_TRIM)) {
		trim(s, op, op->range.start, out);
	} else if (op->is_replied) {
		finish(s, op, 0, out);
	} else {
		lockrange_raise(&s->held, &op->range);
		lower_or_finish(s, op, out);
	}
}

static void on_left(struct lockbook *s, struct lockbook_op *op, const struct csv_reply *p,
		    struct lockbook_actions *out)
{
	op->is_in_line = !p->error && p->kind == CSV_REPLY_COUNT && p->count.count;
	if (op->is_in_line)
		end_wait(s, op, out);
	else
		trim(s, op, op->range.start, out);
}

void lockbook_answer(struct lockbook *s, uint64_t id, const struct csv_reply *p,
		     struct lockbook_actions *out)
{
	struct lockbook_op *op = find(s, id);

	out->count = 0;
	if (!op || (op->state != LOCKBOOK_ASKING && op->state != LOCKBOOK_ENDING))
		return;
	switch (op->step) {
	case LOCKBOOK_RAISE:
		on_raised(s, op, p, out);
		break;
	case LOCKBOOK_LOWER:
		if (LOCKBOOK_MUTANT(s, LOWER_LATE))
			lockrange_lower(&s->held, &op->piece);
		finish(s, op, p->error, out);
		break;
	case LOCKBOOK_TRIM:
		trim(s, op, op->piece.end + 1, out);
		break;
	case LOCKBOOK_LEFT:
		on_left(s, op, p, out);
		break;
	case LOCKBOOK_LOOK:
		finish(s, op, p->error, out);
		break;
	case LOCKBOOK_CANCEL:
		free_op(s, op);
		break;
	}
	sweep(s, out);
}

void lockbook_closed(struct lockbook *s, const struct csv_handle *h, uint64_t via,
		     struct lockbook_actions *out)
{
	uint32_t at = s->held.bucket[lockrange_bucket(h)];

	out->count = 0;
	for (; at; at = s->row[at - 1].next) {
		struct lock_range *row = &s->row[at - 1];

		if (row->via != via || !csv_handle_equal(&row->handle, h))
			continue;
		row->via = VIA_CLOSED;
		s->has_closed = !LOCKBOOK_MUTANT(s, KEEP_CLOSED);
	}
	sweep(s, out);
}

bool lockbook_has(const struct lockbook *s, const struct csv_handle *h,
		  const struct lock_owner *owner)
{
	struct lock_range l = {.handle = *h, .owner = *owner, .end = CSV_LOCK_END_MAX};
	uint32_t at;

	l.owner.mount = s->mount;
	/* Nothing is changed by the look for the bucket. */
	at = *owner_bucket((struct lockbook *)s, &l);
	for (; at; at = s->op[at - 1].owner_next) {
		if (is_same(&s->op[at - 1].range, &l))
			return true;
	}
	return lockrange_first(&s->held, &l) != NULL;
}

/* ---- what outlives a process */

bool lockbook_owed(const struct lockbook *s, uint32_t *cursor, struct lock_range *ret)
{
	uint32_t at = *cursor ? s->op[*cursor - 1].owing_next : s->owing;

	while (at && s->op[at - 1].what == LOCKBOOK_TEST)
		at = s->op[at - 1].owing_next;
	if (!at)
		return false;
	*cursor = at;
	*ret = s->op[at - 1].range;
	return true;
}

void lockbook_restore(struct lockbook *s, uint32_t life, const struct lock_range *held,
		      size_t held_count)
{
	/* An id tells also which process has given it. */
	s->serial = (uint64_t)life << LIFE_SHIFT;
	for (size_t i = 0; i < held_count; i++) {
		struct lock_range l = held[i];

		if (l.via == VIA_CLOSING && !LOCKBOOK_MUTANT(s, STAY_CLOSING))
			l.via = VIA_CLOSED;
		s->has_closed |= l.via == VIA_CLOSED;
		l.owner.mount = s->mount;
		lockrange_set(&s->held, &l);
	}
}

/* Its row has to be the one of which its id speaks. */
static bool put_first(struct lockbook *s, uint32_t wanted)
{
	uint32_t *at = &s->free;

	while (*at && *at != wanted)
		at = &s->op[*at - 1].next;
	if (!*at)
		return false;
	*at = s->op[wanted - 1].next;
	s->op[wanted - 1].next = s->free;
	s->free = wanted;
	return true;
}

uint64_t lockbook_left(struct lockbook *s, const struct csv_request *q)
{
	struct lock_range l = {.type = CSV_LOCK_WRITE}; /* whatever is above the book */
	uint64_t number = q->op == CSV_OP_LOCK ? q->lock.number : 0;
	struct lockbook_op *op;

	if (q->op == CSV_OP_LOCK) {
		l.handle = q->lock.handle;
		l.owner = (struct lock_owner){.id = q->lock.owner, .kind = q->lock.kind};
		l.start = q->lock.start;
		l.end = q->lock.end;
	} else {
		l.handle = q->unlock.handle;
		l.owner = (struct lock_owner){.id = q->unlock.owner, .kind = q->unlock.kind};
		l.start = q->unlock.start;
		l.end = q->unlock.end;
	}
	if (LOCKBOOK_MUTANT(s, LEAVE_ASKED) ||
	    (number && !put_first(s, (uint32_t)(number & INDEX_MASK) + 1)))
		return 0;
	op = new_op(s, LOCKBOOK_LOCK, &l, LOCKBOOK_OPS);
	if (!op)
		return 0;
	if (number)
		op->id = number;
	op->is_replied = true;
	op->step = LOCKBOOK_LEFT;
	enter(s, op, LOCKBOOK_ASKING);
	return op->id;
}

static struct lockbook_op *find_owed(struct lockbook *s, const struct lock_range *l)
{
	for (uint32_t at = *owner_bucket(s, l); at; at = s->op[at - 1].owner_next) {
		if (s->op[at - 1].is_owed && is_same(&s->op[at - 1].range, l))
			return &s->op[at - 1];
	}
	return NULL;
}

/*
 * Down to the book is right for more than what is owed, too: so it is one operation for all that is
 * owed of one owner and file, and does not become more from process to process.
 */
static void owe(struct lockbook *s, const struct lock_range *owed)
{
	struct lock_range l = *owed;
	struct lockbook_op *op;

	l.owner.mount = s->mount;
	l.type = CSV_LOCK_WRITE;
	op = find_owed(s, &l);
	if (!op) {
		op = new_op(s, LOCKBOOK_LOCK, &l, LOCKBOOK_OPS);
		must(op); /* there were not more */
		op->is_replied = op->is_owed = true;
		return;
	}
	op->range.start = op->range.start < l.start ? op->range.start : l.start;
	op->range.end = op->range.end > l.end ? op->range.end : l.end;
}

void lockbook_resume(struct lockbook *s, const struct lock_range *owed, size_t count,
		     struct lockbook_actions *out)
{
	out->count = 0;
	for (size_t i = 0; i < count && !LOCKBOOK_MUTANT(s, OWE_NOTHING); i++)
		owe(s, &owed[i]);
	for (uint32_t at = s->first, next; at; at = next) {
		struct lockbook_op *op = &s->op[at - 1];

		next = op->next;
		if (op->is_owed)
			want_turn(s, op, out);
	}
	sweep(s, out);
}

/* ---- what goes out */

void lockbook_request(const struct lockbook *s, uint64_t id, struct csv_request *ret)
{
	const struct lockbook_op *op = lockbook_find(s, id);
	const struct lock_range *l;

	must(op);
	l = &op->piece;
	*ret = (struct csv_request){0};
	switch (op->step) {
	case LOCKBOOK_RAISE:
		ret->op = CSV_OP_LOCK;
		ret->lock = (struct csv_op_lock){
			l->handle, l->owner.id, l->owner.kind, l->type,
			l->start,  l->end,	l->pid,	       op->may_wait ? id : 0};
		break;
	case LOCKBOOK_LOWER:
	case LOCKBOOK_TRIM:
		ret->op = CSV_OP_UNLOCK;
		ret->unlock = (struct csv_op_unlock){
			op->range.handle, op->range.owner.id, op->range.owner.kind,
			l->type,	  l->start,	      l->end};
		break;
	case LOCKBOOK_LOOK:
		ret->op = CSV_OP_GETLOCK;
		ret->getlock =
			(struct csv_op_getlock){l->handle, l->owner.id, l->type, l->start, l->end};
		break;
	case LOCKBOOK_LEFT:
		must(false); /* it was asked by another process */
		break;
	case LOCKBOOK_CANCEL:
		ret->op = CSV_OP_CANCEL_LOCK;
		ret->cancel_lock = (struct csv_op_cancel_lock){op->range.handle, id};
		break;
	}
}

bool lockbook_reclaim(const struct lockbook *s, size_t *cursor, struct csv_frame *ret)
{
	while (*cursor < LOCKBOOK_RANGES) {
		const struct lock_range *l = &s->row[(*cursor)++];

		if (!l->type)
			continue;
		*ret = (struct csv_frame){.type = CSV_FRAME_RECLAIM_LOCK};
		ret->reclaim_lock = (struct csv_frame_reclaim_lock){
			l->handle, l->owner.id, l->owner.kind, l->type, l->start, l->end, l->pid};
		return true;
	}
	return false;
}

/* *cursor: the row that was last, + 1; more than there are: it was the last one. */
bool lockbook_reclaim_wait(const struct lockbook *s, size_t *cursor, struct csv_frame *ret)
{
	uint32_t at;

	if (*cursor > LOCKBOOK_OPS || LOCKBOOK_MUTANT(s, NO_WAITS))
		return false;
	at = *cursor ? s->op[*cursor - 1].next : s->first;
	for (; at; at = s->op[at - 1].next) {
		const struct lockbook_op *op = &s->op[at - 1];
		const struct lock_range *l = &op->range;

		if (!op->is_in_line || op->is_replied)
			continue;
		*cursor = at;
		*ret = (struct csv_frame){.type = CSV_FRAME_RECLAIM_WAIT};
		ret->reclaim_wait = (struct csv_frame_reclaim_wait){
			l->handle, l->owner.id, l->owner.kind, l->type,
			l->start,  l->end,	l->pid,	       op->id};
		return true;
	}
	*cursor = LOCKBOOK_OPS + 1;
	return false;
}

/* ---- looking at it */

static const char *check_op(const struct lockbook *s, const struct lockbook_op *op)
{
	if (op->id != (op->id >> LOCKBOOK_SHIFT << LOCKBOOK_SHIFT | (uint64_t)(op - s->op)))
		return "an operation with another's id";
	if (op->state == LOCKBOOK_WAITING && (op->is_replied || !op->is_in_line || !op->may_wait))
		return "somebody waits who does not";
	if (op->state == LOCKBOOK_ENDING && !op->is_replied)
		return "a wait ends that somebody waits for";
	for (uint32_t at = op->next; at && !LOCKBOOK_MUTANT(s, NO_TURNS); at = s->op[at - 1].next) {
		const struct lockbook_op *other = &s->op[at - 1];

		if (op->state == LOCKBOOK_ASKING && other->state == LOCKBOOK_ASKING &&
		    op->what != LOCKBOOK_TEST && other->what != LOCKBOOK_TEST &&
		    is_same(&op->range, &other->range))
			return "two operations of one owner are under way";
	}
	return NULL;
}

const char *lockbook_check(const struct lockbook *s)
{
	const char *wrong = lockrange_check(&s->held);
	uint32_t ops = 0;

	for (uint32_t at = s->first; at && !wrong; at = s->op[at - 1].next) {
		wrong = check_op(s, &s->op[at - 1]);
		ops++;
	}
	return wrong ? wrong : ops != s->ops ? "the count of operations is wrong" : NULL;
}
