/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mounts, with processes that lock and unlock, and what those believe. */
#include <errno.h>
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_filelock_world.h"

static uint64_t via_of(int owner, int file)
{
	return 1000 + (uint64_t)owner * 10 + (uint64_t)file;
}

/* ---- what is believed */

static bool is_in(const struct lock_range *l, int byte)
{
	return l->start <= (uint64_t)byte && (uint64_t)byte <= l->end;
}

/* What is being asked for may have taken away already what it weakens. */
static uint8_t weakened(const struct thread *t, uint8_t has, int byte)
{
	if (!is_in(&t->range, byte) || t->what == LOCKBOOK_TEST)
		return has;
	if (t->what == LOCKBOOK_UNLOCK)
		return CSV_LOCK_NONE;
	if (t->range.owner.kind == CSV_LOCK_FLOCK && has < t->range.type)
		return CSV_LOCK_NONE;
	return has < t->range.type ? has : t->range.type;
}

uint8_t owner_relies(const struct owner *o, int file, int byte)
{
	uint8_t has = o->has[file][byte];

	/* Twice: when another process goes on, they are asked for again in any order. */
	for (int i = 0; i < 2 * THREADS; i++) {
		const struct thread *t = &o->thread[i % THREADS];

		if (t->is_busy && t->file == file)
			has = weakened(t, has, byte);
	}
	return has;
}

static bool is_refused_flock(const struct thread *t, int error)
{
	return error && t->range.owner.kind == CSV_LOCK_FLOCK;
}

/* An earlier process may have weakened it, and the next one has had no room (ENOLCK). */
static bool is_vague(const struct thread *t, int error)
{
	return error == EINTR || is_refused_flock(t, error) || (error && t->was_left);
}

static void believe(struct owner *o, const struct thread *t, int error)
{
	for (int b = 0; b < BYTES; b++) {
		uint8_t *has = &o->has[t->file][b];

		if (!is_in(&t->range, b) || t->what == LOCKBOOK_TEST)
			continue;
		/* What was asked before, and is asked again after it, may have weakened it first.
		 */
		for (int i = 0; is_refused_flock(t, error) && i < THREADS; i++) {
			const struct thread *other = &o->thread[i];

			if (other->is_busy && other->was_left && other->file == t->file)
				*has = weakened(other, *has, b);
		}
		if (!error)
			*has = t->what == LOCKBOOK_UNLOCK ? CSV_LOCK_NONE : t->range.type;
		else if (is_vague(t, error))
			*has = weakened(t, *has, b);
	}
	if (is_vague(t, error))
		o->is_vague[t->file] = true;
}

static bool is_alone(const struct owner *o, const struct thread *t)
{
	for (int i = 0; i < THREADS; i++) {
		if (&o->thread[i] != t && o->thread[i].is_busy && o->thread[i].file == t->file)
			return false;
	}
	return true;
}

static void on_reply(struct world *w, struct thread *t, int error)
{
	struct mount *mount = &w->mount[t->mount];
	struct owner *o = &mount->owner[t->owner];

	if (!t->is_busy)
		sim_broke(w, "a call is answered twice");
	t->is_busy = false;
	believe(o, t, error);
	TRACE(w, "mount %d owner %d file %d: %s %d %" PRIu64 "-%" PRIu64 ": %s", t->mount, t->owner,
	      t->file, t->what == LOCKBOOK_LOCK ? "lock" : "unlock", t->range.type, t->range.start,
	      t->range.end, error ? strerror(error) : "done");
	if (error || t->what != LOCKBOOK_LOCK || !is_alone(o, t))
		return;
	for (uint32_t at = mount->book.first; at; at = mount->book.op[at - 1].next) {
		const struct lock_range *l = &mount->book.op[at - 1].range;

		if (l->owner.id == t->range.owner.id &&
		    csv_handle_equal(&l->handle, &t->range.handle))
			return; /* what comes next may have begun */
	}
	if (lockrange_weakest(&mount->book.held, &t->range) != t->range.type ||
	    lockrange_strongest(&mount->book.held, &t->range) != t->range.type)
		sim_broke(w, "an owner has something else than it was told");
}

/* ---- requests */

static void post(struct world *w, struct mount *mount, uint64_t id)
{
	for (int i = 0; i < REQS; i++) {
		struct req *r = &mount->req[i];

		if (r->is_active)
			continue;
		*r = (struct req){.is_active = true,
				  .id = id,
				  .sent_on = mount->conn,
				  .was_sent = mount->conn != 0};
		lockbook_request(&mount->book, id, &r->q);
		mount->reqs++;
		return;
	}
	sim_broke(w, "more requests than operations");
}

/* As csvfs/edge/locks.c does. */
static void keep_book(struct mount *mount)
{
	uint32_t at = 0;

	mount->held = mount->owed = 0;
	for (size_t i = 0; i < LOCKBOOK_RANGES; i++) {
		if (mount->book.row[i].type)
			mount->kept[mount->held++] = mount->book.row[i];
	}
	while (lockbook_owed(&mount->book, &at, &mount->kept[mount->held + mount->owed]))
		mount->owed++;
}

/*
 * Requests and replies each go out in their order, by threads of their own. A process that ends has
 * got so far with them, or so far.
 */
static void carry_out(struct world *w, struct mount *mount)
{
	const char *wrong = lockbook_check(&mount->book);
	bool ends = mount->ends || (w->out.count && sim_chance(w, w->rate.replace));
	size_t posts = w->out.count, replies = w->out.count;

	if (wrong)
		sim_broke(w, wrong);
	if (w->mutant != WORLD_MUTANT_KEEP_LATE)
		keep_book(mount);
	if (ends) {
		posts = mount->is_answering ? 0 : prng_below(&w->rng, posts + 1);
		replies = prng_below(&w->rng, replies + 1);
	}
	for (size_t i = 0; i < w->out.count; i++) {
		const struct lockbook_action *a = &w->out.item[i];

		if (a->kind == LOCKBOOK_DO_REPLY && i < replies)
			on_reply(w, a->user, a->error);
		else if (a->kind == LOCKBOOK_DO_SEND && i < posts &&
			 lockbook_find(&mount->book, a->id))
			post(w, mount, a->id);
	}
	if (ends)
		mount_replace(w, (int)(mount - w->mount));
	else
		keep_book(mount);
}

static void end_request(struct mount *mount, struct req *r)
{
	r->is_active = false;
	mount->reqs--;
}

void mount_reply(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	uint64_t first = prng_below(&w->rng, REQS);

	for (uint64_t i = 0; mount->conn && i < REQS; i++) {
		struct req *r = &mount->req[(first + i) % REQS];

		if (!r->is_active || !r->is_replying || r->sent_on != mount->conn)
			continue;
		/* Its process may end when the book is kept, and the request counts as sent still.
		 */
		mount->ends = sim_chance(w, w->rate.replace);
		mount->is_answering = mount->ends && sim_chance(w, 500);
		r->is_replying = false;
		if (!mount->is_answering)
			end_request(mount, r);
		lockbook_answer(&mount->book, r->id, &r->p, &w->out);
		carry_out(w, mount);
		return;
	}
}

void mount_hear(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	uint64_t number;

	if (!mount->is_alive || !mount->heard)
		return;
	number = mount->granted[0];
	mount->heard--;
	memmove(mount->granted, mount->granted + 1, mount->heard * sizeof(number));
	lockbook_granted(&mount->book, number, &w->out);
	carry_out(w, mount);
}

/* Of an earlier coordinator, or of a line that is no more. */
void mount_stale(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	uint32_t at = mount->book.first;

	if (!mount->is_alive || !at)
		return;
	for (uint64_t n = prng_below(&w->rng, 4); n && mount->book.op[at - 1].next; n--)
		at = mount->book.op[at - 1].next;
	lockbook_granted(&mount->book, mount->book.op[at - 1].id, &w->out);
	carry_out(w, mount);
}

/* ---- life */

void mount_begin(struct world *w)
{
	struct mount *mount = &w->mount[w->mount_count];

	memset(mount, 0, sizeof(*mount));
	mount->is_alive = true;
	mount->id = 1 + prng_below(&w->rng, 1000000) * MOUNTS + (uint64_t)w->mount_count;
	mount->life = 1;
	lockbook_init(&mount->book, mount->id);
	mount->book.mutant = (enum lockbook_mutant)w->lockbook_mutant;
	for (int n = 0; n < OWNERS * THREADS; n++) {
		mount->owner[n / THREADS].thread[n % THREADS].mount = w->mount_count;
		mount->owner[n / THREADS].thread[n % THREADS].owner = n / THREADS;
	}
	TRACE(w, "mount %d begins", w->mount_count);
	w->mount_count++;
}

void mount_cut(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	mount->conn = 0;
	(void)w;
	for (int i = 0; i < REQS; i++)
		mount->req[i].is_replying = false;
}

void mount_die(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	TRACE(w, "mount %d dies", m);
	mount_cut(w, m);
	coord_cut_line(w, m);
	mount->is_alive = false;
	memset(mount->owner, 0, sizeof(mount->owner));
	memset(mount->req, 0, sizeof(mount->req));
	mount->reqs = 0;
}

/* What has been sent of its requests goes on; LOCK with a number comes first. */
static void take_left(struct mount *mount, bool has_number)
{
	for (int i = 0; i < REQS; i++) {
		struct req *r = &mount->req[i];

		if (!r->is_active || (r->q.op == CSV_OP_LOCK && r->q.lock.number) != has_number)
			continue;
		if (!r->was_sent || csv_op_kind(r->q.op) == CSV_QUERY)
			end_request(mount, r);
		else if (r->q.op != CSV_OP_CANCEL_LOCK)
			r->id = lockbook_left(&mount->book, &r->q);
		else
			r->id = 0;
	}
}

void mount_replace(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	TRACE(w, "mount %d: another process goes on", m);
	mount->ends = mount->is_answering = false;
	mount->life++;
	mount_cut(w, m);
	coord_cut_line(w, m);
	for (int n = 0; n < OWNERS * THREADS; n++) {
		struct thread *t = &mount->owner[n / THREADS].thread[n % THREADS];

		t->is_left = t->is_busy;
		t->was_left = t->is_busy;
		t->id = 0;
	}
	lockbook_init(&mount->book, mount->id);
	mount->book.mutant = (enum lockbook_mutant)w->lockbook_mutant;
	lockbook_restore(&mount->book, mount->life, mount->kept, mount->held);
	take_left(mount, true);
	take_left(mount, false);
	lockbook_resume(&mount->book, mount->kept + mount->held, mount->owed, &w->out);
	carry_out(w, mount);
}

/* ---- what processes do */

static void begin_op(struct world *w, struct thread *t)
{
	struct mount *mount = &w->mount[t->mount];
	uint64_t id = lockbook_new(&mount->book, t->what, &t->range, t->may_wait, t);

	if (!id && t->is_left)
		on_reply(w, t, ENOLCK);
	t->is_left = false;
	if (!id)
		return; /* ENOLCK, and nothing has changed */
	t->is_busy = true;
	t->id = id;
	/* As in mount_interrupt(). */
	if ((t->what != LOCKBOOK_UNLOCK || is_alone(&mount->owner[t->owner], t)) &&
	    sim_chance(w, w->rate.interrupt))
		lockbook_interrupt(&mount->book, id, &w->out);
	lockbook_go(&mount->book, id, &w->out);
	carry_out(w, mount);
}

void mount_resend(struct world *w, int m)
{
	uint64_t first = prng_below(&w->rng, OWNERS * THREADS);

	for (uint64_t i = 0; w->mount[m].is_alive && i < OWNERS * THREADS; i++) {
		uint64_t n = (first + i) % (OWNERS * THREADS);
		struct thread *t = &w->mount[m].owner[n / THREADS].thread[n % THREADS];

		if (!t->is_left)
			continue;
		begin_op(w, t);
		return;
	}
}

static void start(struct world *w, struct thread *t, enum lockbook_what what, uint8_t type,
		  uint64_t from, uint64_t to)
{
	struct mount *mount = &w->mount[t->mount];

	t->what = what;
	t->was_left = false;
	t->range = (struct lock_range){
		.handle = sim_handle(t->file),
		.owner = {mount->id, 1 + (uint64_t)t->owner,
			  t->owner == FLOCKER ? CSV_LOCK_FLOCK : CSV_LOCK_POSIX},
		.start = from,
		.end = to,
		.via = via_of(t->owner, t->file),
		.type = what == LOCKBOOK_UNLOCK ? CSV_LOCK_NONE : type};
	begin_op(w, t);
}

static struct thread *idle(struct world *w, int m)
{
	uint64_t n = prng_below(&w->rng, OWNERS * THREADS);
	struct thread *t = &w->mount[m].owner[n / THREADS].thread[n % THREADS];

	return w->mount[m].is_alive && !t->is_busy ? t : NULL;
}

/* Another thread of that process waits; for a lock of that file. */
static bool has_waiter(const struct world *w, const struct thread *t, bool in_file)
{
	const struct owner *o = &w->mount[t->mount].owner[t->owner];

	for (int i = 0; i < THREADS; i++) {
		if (o->thread[i].is_busy && o->thread[i].may_wait &&
		    (!in_file || o->thread[i].file == t->file))
			return true;
	}
	return false;
}

void mount_work(struct world *w, int m)
{
	struct thread *t = idle(w, m);
	uint64_t from, to;
	enum lockbook_what what = LOCKBOOK_LOCK;

	if (!t)
		return;
	from = prng_below(&w->rng, BYTES);
	to = prng_range(&w->rng, from, BYTES - 1);
	if (t->owner == FLOCKER || sim_chance(w, 100)) {
		from = 0;
		to = CSV_LOCK_END_MAX;
	}
	t->file = (int)prng_below(&w->rng, FILES);
	if (sim_chance(w, 350) || has_waiter(w, t, true))
		what = LOCKBOOK_UNLOCK;
	else if (sim_chance(w, 30))
		what = LOCKBOOK_TEST;
	t->may_wait = what == LOCKBOOK_LOCK && sim_chance(w, 600);
	start(w, t, what, sim_chance(w, 500) ? CSV_LOCK_READ : CSV_LOCK_WRITE, from, to);
}

void mount_wind_up(struct world *w, int m)
{
	struct thread *t = idle(w, m);

	/* A process that waits gives nothing up: a circle would stay. */
	if (!t || has_waiter(w, t, false))
		return;
	t->file = (int)prng_below(&w->rng, FILES);
	t->may_wait = false;
	start(w, t, LOCKBOOK_UNLOCK, CSV_LOCK_NONE, 0, CSV_LOCK_END_MAX);
}

void mount_interrupt(struct world *w, int m, bool only_flock)
{
	uint64_t n = prng_below(&w->rng, OWNERS * THREADS);
	struct thread *t = &w->mount[m].owner[n / THREADS].thread[n % THREADS];

	if (!w->mount[m].is_alive || !t->is_busy || t->is_left ||
	    (only_flock && t->owner != FLOCKER))
		return;
	/* Only a process that ends is interrupted when it unlocks: it locks nothing beside it. */
	if (t->what == LOCKBOOK_UNLOCK && !is_alone(&w->mount[m].owner[t->owner], t))
		return;
	TRACE(w, "mount %d owner %d: a signal", m, t->owner);
	lockbook_interrupt(&w->mount[m].book, t->id, &w->out);
	carry_out(w, &w->mount[m]);
}

/* The last reference to an open file goes: nobody uses it. */
void mount_close(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	int owner = (int)prng_below(&w->rng, OWNERS), file = (int)prng_below(&w->rng, FILES);
	struct owner *o = &mount->owner[owner];
	struct csv_handle h = sim_handle(file);

	if (!mount->is_alive)
		return;
	for (int i = 0; i < THREADS; i++) {
		if (o->thread[i].is_busy && o->thread[i].file == file)
			return;
	}
	TRACE(w, "mount %d owner %d: file %d is closed", m, owner, file);
	memset(o->has[file], 0, sizeof(o->has[file]));
	lockbook_closed(&mount->book, &h, via_of(owner, file), &w->out);
	carry_out(w, mount);
}

/* ---- the truth */

static void check_byte(struct world *w, int file, int byte)
{
	int readers[2] = {0}, writers[2] = {0};

	for (int n = 0; n < w->mount_count * OWNERS; n++) {
		uint8_t has = owner_relies(&w->mount[n / OWNERS].owner[n % OWNERS], file, byte);
		int kind = n % OWNERS == FLOCKER;

		readers[kind] += has == CSV_LOCK_READ;
		writers[kind] += has == CSV_LOCK_WRITE;
	}
	for (int kind = 0; kind < 2; kind++) {
		if (writers[kind] > 1 || (writers[kind] && readers[kind]))
			sim_broke(w, "two have locked what excludes each other");
	}
}

/* With nothing under way the book has what the owner was told. */
static void check_beliefs(struct world *w, const struct mount *mount, int owner)
{
	const struct owner *o = &mount->owner[owner];
	bool is_busy = mount->book.ops;

	for (int i = 0; i < THREADS; i++)
		is_busy = is_busy || o->thread[i].is_busy;
	for (int n = 0; n < FILES * BYTES && !is_busy; n++) {
		struct lock_range l = {
			.handle = sim_handle(n / BYTES),
			.owner = {mount->id, 1 + (uint64_t)owner,
				  owner == FLOCKER ? CSV_LOCK_FLOCK : CSV_LOCK_POSIX},
			.start = (uint64_t)(n % BYTES),
			.end = (uint64_t)(n % BYTES)};
		uint8_t has = o->has[n / BYTES][n % BYTES];
		uint8_t booked = lockrange_strongest(&mount->book.held, &l);

		if (o->is_vague[n / BYTES] ? booked >= has : booked == has)
			continue;
		TRACE(w, "mount %" PRIu64 " owner %d file %d byte %d: %d, told %d", mount->id,
		      owner, n / BYTES, n % BYTES, booked, has);
		sim_broke(w, "a book has something else than an owner was told");
		return;
	}
}

void sim_check(struct world *w)
{
	const char *wrong = coord_check(w);

	if (wrong)
		sim_broke(w, wrong);
	for (int n = 0; n < FILES * BYTES; n++)
		check_byte(w, n / BYTES, n % BYTES);
	for (int n = 0; n < w->mount_count * OWNERS; n++) {
		if (w->mount[n / OWNERS].is_alive)
			check_beliefs(w, &w->mount[n / OWNERS], n % OWNERS);
	}
}
