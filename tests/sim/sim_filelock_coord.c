/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Coordinators: one at a time, each knowing nothing of what the one before knew. */
#include <errno.h>
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_filelock_world.h"

static struct mount *mount_of(struct world *w, uint64_t id)
{
	for (int m = 0; m < w->mount_count; m++) {
		if (w->mount[m].id == id)
			return &w->mount[m];
	}
	return NULL;
}

static void send_told(struct world *w)
{
	for (size_t i = 0; i < w->told.count; i++) {
		for (int m = 0; m < w->mount_count; m++) {
			struct mount *mount = &w->mount[m];

			if (mount->line != w->told.item[i].conn || mount->heard == LINE)
				continue;
			mount->granted[mount->heard++] = w->told.item[i].number;
		}
	}
}

/* ---- nobody is passed without end, by those on whom nobody can depend */

static struct passed *passed_of(struct world *w, uint64_t mount, uint64_t number)
{
	for (size_t i = 0; i < w->passes; i++) {
		if (w->passed[i].mount == mount && w->passed[i].number == number)
			return &w->passed[i];
	}
	return NULL;
}

static bool waits(const struct world *w, const struct passed *p)
{
	for (uint32_t i = 0; i <= FILELOCK_WAITS; i++) {
		const struct filelock_wait *x = &w->filelock.wait[i];

		if (x->state == FILELOCK_WAITING && x->number == p->number &&
		    x->range.owner.mount == p->mount)
			return true;
	}
	return false;
}

/* Not even another wait, behind which somebody could have to go. */
static bool has_nothing(const struct world *w, const struct lock_owner *o, uint64_t number)
{
	for (uint32_t i = 0; i <= FILELOCK_WAITS; i++) {
		const struct filelock_wait *x = &w->filelock.wait[i];

		if (x->state != FILELOCK_FREE && x->number != number &&
		    lock_owner_equal(&x->range.owner, o))
			return false;
	}
	for (int f = 0; f < FILES; f++) {
		struct lock_range l = {
			.handle = sim_handle(f), .owner = *o, .end = CSV_LOCK_END_MAX};

		if (lockrange_first(&w->filelock.held, &l))
			return false;
	}
	return true;
}

static void note_pass(struct world *w, const struct lock_range *l, const struct passed *self)
{
	for (size_t i = 0; i < w->passes && &w->passed[i] != self; i++) {
		struct passed *p = &w->passed[i];

		if (lockrange_excludes(&p->range, l) && waits(w, p) && ++p->count > FILELOCK_PASSES)
			sim_broke(w, "somebody is passed without end");
	}
}

static void note_waits(struct world *w, const struct filelock_event *e, int r, bool had_nothing)
{
	size_t kept = 0;

	/* Turns that have come are passes, too, of those who came before. */
	for (uint32_t i = 0; i <= FILELOCK_WAITS; i++) {
		const struct filelock_wait *x = &w->filelock.wait[i];
		struct passed *p = passed_of(w, x->range.owner.mount, x->number);

		if (x->state != FILELOCK_RESERVED || !p)
			continue;
		if (has_nothing(w, &x->range.owner, x->number))
			note_pass(w, &x->range, p);
		p->number = 0;
	}
	for (size_t i = 0; i < w->passes; i++) {
		if (w->passed[i].number && waits(w, &w->passed[i]))
			w->passed[kept++] = w->passed[i];
	}
	w->passes = kept;
	if (e->type == FILELOCK_EV_LOCK && e->number && !r && had_nothing)
		note_pass(w, &e->range, NULL);
	if ((e->type == FILELOCK_EV_LOCK ? r == FILELOCK_QUEUED
					 : e->type == FILELOCK_EV_RECLAIM_WAIT && !r) &&
	    !passed_of(w, e->range.owner.mount, e->number) && w->passes < FILELOCK_WAITS)
		w->passed[w->passes++] = (struct passed){
			.mount = e->range.owner.mount, .number = e->number, .range = e->range};
}

static bool is_turn(const struct world *w, const struct filelock_event *e)
{
	for (uint32_t i = 0; i <= FILELOCK_WAITS; i++) {
		const struct filelock_wait *x = &w->filelock.wait[i];

		if (x->state == FILELOCK_RESERVED && x->number == e->number &&
		    x->range.owner.mount == e->range.owner.mount)
			return true;
	}
	return false;
}

static int step(struct world *w, const struct filelock_event *e)
{
	bool had_nothing = has_nothing(w, &e->range.owner, e->number) && !is_turn(w, e);
	int r = filelock_step(&w->filelock, e, &w->told);
	const char *wrong = filelock_check(&w->filelock);

	if (wrong)
		sim_broke(w, wrong);
	send_told(w);
	note_waits(w, e, r, had_nothing);
	return r;
}

/* ---- life */

static void open_if_all_are_there(struct world *w)
{
	for (int m = 0; m < w->mount_count; m++) {
		const struct mount *mount = &w->mount[m];

		if (!mount->is_gone && mount->reclaimed_by != w->term)
			return;
	}
	if (w->filelock.is_open)
		return;
	TRACE(w, "all have reclaimed");
	step(w, &(struct filelock_event){.type = FILELOCK_EV_OPEN});
}

void coord_start(struct world *w)
{
	w->term++;
	w->is_up = true;
	w->passes = 0;
	filelock_init(&w->filelock);
	w->filelock.mutant = (enum filelock_mutant)w->filelock_mutant;
	TRACE(w, "coordinator of term %" PRIu64, w->term);
	open_if_all_are_there(w);
}

void coord_crash(struct world *w)
{
	TRACE(w, "the coordinator crashes");
	w->is_up = false;
	for (int m = 0; m < w->mount_count; m++) {
		mount_cut(w, m);
		coord_cut_line(w, m);
	}
}

void coord_gone(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	if (!w->is_up || mount->is_alive || mount->is_gone)
		return;
	TRACE(w, "mount %d is gone", m);
	mount->is_gone = true;
	step(w, &(struct filelock_event){.type = FILELOCK_EV_GONE, .mount = mount->id});
	open_if_all_are_there(w);
}

/* ---- connections */

static int take(struct world *w, uint64_t mount, const struct csv_frame *f)
{
	const struct csv_frame_reclaim_wait *x = &f->reclaim_wait;
	const struct csv_frame_reclaim_lock *l = &f->reclaim_lock;
	struct filelock_event e = {.type = FILELOCK_EV_RECLAIM};

	if (f->type == CSV_FRAME_RECLAIM_LOCK) {
		e.range = (struct lock_range){.handle = l->handle,
					      .owner = {mount, l->owner, l->kind},
					      .start = l->start,
					      .end = l->end,
					      .type = l->type};
	} else {
		e.type = FILELOCK_EV_RECLAIM_WAIT;
		e.number = x->number;
		e.range = (struct lock_range){.handle = x->handle,
					      .owner = {mount, x->owner, x->kind},
					      .start = x->start,
					      .end = x->end,
					      .type = x->type};
	}
	return step(w, &e);
}

/* False: the connection has broken on the way. */
static bool reclaim(struct world *w, struct mount *mount)
{
	struct csv_frame f;
	size_t cursor = 0;

	step(w, &(struct filelock_event){.type = FILELOCK_EV_RESET, .mount = mount->id});
	while (lockbook_reclaim(&mount->book, &cursor, &f)) {
		if (sim_chance(w, w->rate.cut))
			return false;
		if (take(w, mount->id, &f))
			sim_broke(w, "two have told that they have what excludes each other");
	}
	cursor = 0;
	while (lockbook_reclaim_wait(&mount->book, &cursor, &f)) {
		if (sim_chance(w, w->rate.cut))
			return false;
		if (take(w, mount->id, &f))
			sim_broke(w, "a wait is not taken over");
	}
	return true;
}

void coord_meet(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	if (!w->is_up || !mount->is_alive || mount->conn)
		return;
	if (mount->reclaimed_by != w->term) {
		if (!reclaim(w, mount))
			return;
		mount->reclaimed_by = w->term;
	} else if (mount->told_life != mount->life) {
		step(w, &(struct filelock_event){.type = FILELOCK_EV_REPLACED, .mount = mount->id});
	}
	mount->told_life = mount->life;
	mount->conn = ++w->conns;
	TRACE(w, "mount %d connects to term %" PRIu64, m, w->term);
	for (int i = 0; i < REQS; i++) {
		mount->req[i].sent_on = mount->req[i].is_active ? mount->conn : 0;
		mount->req[i].was_sent = mount->req[i].is_active;
	}
	open_if_all_are_there(w);
}

void coord_line(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	if (!w->is_up || !mount->is_alive || mount->line || mount->reclaimed_by != w->term ||
	    mount->told_life != mount->life)
		return;
	mount->line = ++w->conns;
	mount->heard = 0;
	step(w, &(struct filelock_event){
			.type = FILELOCK_EV_CHANNEL, .mount = mount->id, .conn = mount->line});
}

void coord_cut_line(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	uint64_t conn = mount->line;

	mount->line = 0;
	mount->heard = 0;
	if (conn && w->is_up)
		step(w, &(struct filelock_event){.type = FILELOCK_EV_LOST, .conn = conn});
}

/* ---- requests */

static void do_request(struct world *w, uint64_t mount, const struct csv_request *q,
		       struct csv_reply *ret)
{
	struct filelock_event e = {.mount = mount};
	int r;

	if (q->op == CSV_OP_LOCK) {
		e.type = FILELOCK_EV_LOCK;
		e.number = q->lock.number;
		e.range = (struct lock_range){.handle = q->lock.handle,
					      .owner = {mount, q->lock.owner, q->lock.kind},
					      .start = q->lock.start,
					      .end = q->lock.end,
					      .type = q->lock.type};
	} else if (q->op == CSV_OP_UNLOCK) {
		e.type = FILELOCK_EV_UNLOCK;
		e.range = (struct lock_range){.handle = q->unlock.handle,
					      .owner = {mount, q->unlock.owner, q->unlock.kind},
					      .start = q->unlock.start,
					      .end = q->unlock.end,
					      .type = q->unlock.type};
	} else if (q->op == CSV_OP_CANCEL_LOCK) {
		e.type = FILELOCK_EV_CANCEL;
		e.number = q->cancel_lock.number;
		e.range.handle = q->cancel_lock.handle;
	} else {
		*ret = (struct csv_reply){.kind = CSV_REPLY_LOCK};
		return;
	}
	r = step(w, &e);
	TRACE(w,
	      "%s of mount %" PRIu64 " owner %" PRIu64 " file %" PRIu64 " %d %" PRIu64 "-%" PRIu64
	      " number %" PRIu64 ": %d",
	      csv_op_name(q->op), mount, e.range.owner.id - 1, e.range.handle.ino - 100,
	      e.range.type, e.range.start, e.range.end, e.number, r);
	if (r == -EINVAL || r == -EPROTO)
		sim_broke(w, "a request makes no sense");
	*ret = (struct csv_reply){.error = (uint16_t)(r < 0 ? -r : 0)};
	ret->kind = r < 0 ? CSV_REPLY_NONE : csv_op_reply(q->op);
	if (q->op == CSV_OP_LOCK && r >= 0)
		ret->count.count = r == FILELOCK_QUEUED;
}

void coord_execute(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	uint64_t first = prng_below(&w->rng, REQS);

	if (!w->is_up || !w->filelock.is_open || !mount->conn || mount_of(w, mount->id) != mount)
		return;
	for (uint64_t i = 0; i < REQS; i++) {
		struct req *r = &mount->req[(first + i) % REQS];

		if (!r->is_active || r->sent_on != mount->conn || r->is_replying)
			continue;
		/* What was done is not done again: its answer is kept. */
		if (r->executed_by != w->term)
			do_request(w, mount->id, &r->q, &r->p);
		r->executed_by = w->term;
		r->is_replying = true;
		return;
	}
}

/* ---- what is left, compared with a book with nothing under way */

static const char *check_owner(const struct world *w, const struct mount *mount, int owner)
{
	for (int n = 0; n < FILES * BYTES; n++) {
		struct lock_range l = {
			.handle = sim_handle(n / BYTES),
			.owner = {mount->id, 1 + (uint64_t)owner,
				  owner == FLOCKER ? CSV_LOCK_FLOCK : CSV_LOCK_POSIX},
			.start = (uint64_t)(n % BYTES),
			.end = (uint64_t)(n % BYTES)};

		if (lockrange_strongest(&w->filelock.held, &l) ==
		    lockrange_strongest(&mount->book.held, &l))
			continue;
		TRACE(w, "mount %" PRIu64 " owner %d file %d byte %d: %d", mount->id, owner,
		      n / BYTES, n % BYTES, lockrange_strongest(&mount->book.held, &l));
		return "the coordinator and a mount do not agree on what is locked";
	}
	return NULL;
}

static const char *check_waits(const struct world *w, const struct mount *mount)
{
	for (uint32_t i = 0; i <= FILELOCK_WAITS; i++) {
		const struct filelock_wait *x = &w->filelock.wait[i];
		const struct lockbook_op *op;

		if (x->state == FILELOCK_FREE || x->range.owner.mount != mount->id)
			continue;
		op = lockbook_find(&mount->book, x->number);
		if (!op || op->is_replied || !op->is_in_line)
			return "somebody is in line for whom nobody waits";
	}
	return NULL;
}

const char *coord_check(struct world *w)
{
	for (int m = 0; w->is_up && w->filelock.is_open && m < w->mount_count; m++) {
		const struct mount *mount = &w->mount[m];
		const char *wrong = NULL;

		if (!mount->is_alive || mount->reqs || mount->reclaimed_by != w->term ||
		    mount->told_life != mount->life)
			continue;
		for (int o = 0; o < OWNERS && !wrong; o++)
			wrong = check_owner(w, mount, o);
		wrong = wrong ? wrong : check_waits(w, mount);
		if (wrong)
			return wrong;
	}
	return NULL;
}

static void show(const struct world *w, const char *what, const struct lock_range *l)
{
	TRACE(w, "%s: mount %" PRIu64 " owner %" PRIu64 " file %" PRIu64 " %d %" PRIu64 "-%" PRIu64,
	      what, l->owner.mount, l->owner.id - 1, l->handle.ino - 100, l->type, l->start,
	      l->end);
}

void coord_show(const struct world *w)
{
	for (int m = 0; m < w->mount_count; m++)
		TRACE(w, "mount %d is %" PRIu64, m, w->mount[m].id);
	for (uint32_t i = 0; i < FILELOCK_RANGES; i++) {
		if (w->filelock.row[i].type)
			show(w, "held", &w->filelock.row[i]);
	}
	for (uint32_t i = 0; i <= FILELOCK_WAITS; i++) {
		const struct filelock_wait *x = &w->filelock.wait[i];

		if (x->state == FILELOCK_FREE)
			continue;
		show(w,
		     x->state == FILELOCK_RESERVED ? "reserved"
		     : x->is_behind		   ? "behind"
						   : "waiting",
		     &x->range);
		TRACE(w, "  number %" PRIu64 ", passed %u times", x->number, x->passes);
	}
}
