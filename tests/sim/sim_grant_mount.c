/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mounts of sim_grant, and the applications on them. */
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_grant_world.h"

struct csv_handle sim_handle(int file)
{
	return (struct csv_handle){.ino = (uint64_t)file + 1, .gen = 1};
}

void sim_broke(struct world *w, const char *what)
{
	if (!w->broken)
		w->broken = what;
	TRACE(w, "BROKEN: %s", what);
}

uint64_t sim_merge(uint64_t was, uint64_t seq, int halves)
{
	uint64_t mask = (halves & 1 ? UINT64_C(0xffffffff) : 0) |
			(halves & 2 ? UINT64_C(0xffffffff) << 32 : 0);

	return (was & ~mask) | (seq & mask);
}

void sim_read(struct world *w, int file, int part, uint64_t seq)
{
	const struct truth *t = &w->truth[file][part];

	TRACE(w, "read f%d.%d: %" PRIx64 ", right is %" PRIx64 "%s", file + 1, part, seq, t->seq,
	      t->pending || !t->is_known ? " or something else" : "");
	if (t->is_known && (sim_merge(0, t->seq ^ seq, BOTH & ~t->pending)) != 0)
		sim_broke(w, "a read has not given what was written last");
}

void sim_written(struct world *w, int file, int part, uint64_t seq, int halves, bool is_forced)
{
	struct truth *t = &w->truth[file][part];

	TRACE(w, "written f%d.%d: %" PRIx64 " (halves %d)", file + 1, part, seq, halves);
	t->seq = sim_merge(t->seq, seq, halves);
	t->is_known = t->is_known || halves == BOTH;
	t->is_forced = is_forced;
}

void sim_owe(struct world *w, int file)
{
	for (int m = 0; m < w->mount_count; m++) {
		for (int i = 0; w->mount[m].is_alive && w->mount[m].is_open[file] && i < OPENS;
		     i++) {
			w->mount[m].open[file][i].owed++;
			w->mount[m].open[file][i].must = true;
		}
	}
}

bool sim_is_failing(const struct world *w, int file)
{
	struct csv_handle h = sim_handle(file);

	for (int m = 0; m < w->mount_count; m++) {
		size_t row = direct_find(&w->mount[m].direct, &h);

		if (w->mount[m].is_alive && row != DIRECT_NONE &&
		    w->mount[m].direct.file[row].failure)
			return true;
	}
	return w->is_up && grant_is_failing(&w->grants, &h);
}

/* Failures of one file, each once. */
struct failures {
	int file, count;
	struct csv_frame_failed item[MOUNTS * (QUEUE + 1) + GRANT_NOTICES];
};

static void add_failure(struct failures *all, const struct csv_frame_failed *f)
{
	if ((int)f->handle.ino != all->file + 1)
		return;
	for (int i = 0; i < all->count; i++) {
		if (all->item[i].origin == f->origin && all->item[i].serial == f->serial)
			return;
	}
	must((size_t)all->count < MUST_ARRAY_SIZE(all->item));
	all->item[all->count++] = *f;
}

/*
 * The failures of the file that not all have heard of: an open of now may be told of each of them,
 * though it was not there when it happened, since the coordinator does not know when that was, and
 * tells all who are there when it hears of it. (So does Linux: an error that nobody has seen yet is
 * told to who opens later, too.) What a mount that has died had said still comes: its line is read
 * to the end, by which it may be gone long since, and who has begun after that is told as well. The
 * coordinator must not drop such a word: the opens of that time have nothing else to hear it from.
 */
static int count_coming(const struct world *w, int file)
{
	struct failures all = {.file = file};
	struct csv_handle h = sim_handle(file);

	for (int m = 0; m < w->mount_count; m++) {
		const struct mount *mount = &w->mount[m];
		size_t row = direct_find(&mount->direct, &h);

		if (mount->is_alive && row != DIRECT_NONE && mount->direct.file[row].failure)
			add_failure(&all, &(struct csv_frame_failed){
						  .handle = h,
						  .origin = mount->direct.mount,
						  .serial = mount->direct.file[row].failure});
		for (int i = 0; i < mount->up.count; i++) {
			if (mount->up.item[i].kind == MESSAGE_FAILED)
				add_failure(&all, &mount->up.item[i].failure);
		}
	}
	for (size_t i = 0; w->is_up && i < w->grants.notices; i++)
		add_failure(&all, &w->grants.notice[i].failure);
	return all.count;
}

/* A line that is full is one that breaks. */
void sim_push(struct world *w, int m, bool is_up, const struct message *a)
{
	struct mount *mount = &w->mount[m];
	struct queue *q = is_up ? &mount->up : &mount->down;

	if (!mount->conn)
		return;
	if (q->count == QUEUE)
		mount_cut(w, m);
	else
		q->item[q->count++] = *a;
}

static void carry_out(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	struct queue *q = &mount->up;

	for (size_t i = 0; i < w->direct_out.count; i++) {
		const struct direct_action *a = &w->direct_out.item[i];

		if (a->kind == DIRECT_DO_FAILED || a->kind == DIRECT_DO_NOTED)
			sim_push(w, m, true,
				 &(struct message){.kind = a->kind == DIRECT_DO_FAILED
								   ? MESSAGE_FAILED
								   : MESSAGE_NOTED,
						   .failure = a->failure});
		if (a->kind != DIRECT_DO_DONE && a->kind != DIRECT_DO_RETURN)
			continue;
		if (sim_chance(w, w->rate.stall))
			mount->up_not_before = w->step + prng_below(&w->rng, STALL);
		if (mount->conn && q->count < QUEUE)
			q->item[q->count++] =
				(struct message){.file = (int)a->handle.ino - 1, .id = a->id};
	}
	if (direct_check(&mount->direct))
		sim_broke(w, direct_check(&mount->direct));
}

void mount_event(struct world *w, int m, const struct direct_event *e)
{
	direct_step(&w->mount[m].direct, e, &w->direct_out);
	carry_out(w, m);
}

void mount_begin(struct world *w)
{
	int m = w->mount_count++;
	struct mount *mount = &w->mount[m];

	memset(mount, 0, sizeof(*mount));
	mount->is_alive = true;
	direct_init(&mount->direct, (uint64_t)m + 1);
	mount->direct.errors.mutant = (enum errors_mutant)w->errors_mutant;
	mount->direct.mutant = (enum direct_mutant)w->direct_mutant;
	mount_event(w, m, &(struct direct_event){.type = DIRECT_EV_LEASE, .has_lease = true});
	TRACE(w, "m%d begins", m);
}

void mount_die(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	TRACE(w, "m%d dies", m);
	/* What it alone knew of, nobody hears. */
	for (int f = 0; f < FILES; f++) {
		for (int i = 0; i < w->mount_count * OPENS && sim_is_failing(w, f); i++)
			w->mount[i / OPENS].open[f][i % OPENS].must = false;
	}
	mount->is_alive = false;
	mount_cut(w, m);
	mount->replies.count = 0;
	for (int i = 0; i < TASKS; i++) {
		/* What is being executed still ends; of it nobody hears. */
		if (w->task[i].is_active && w->task[i].mount == m && !w->task[i].has_begun)
			w->task[i].is_active = false;
	}
}

/* ---- lines */

void mount_line(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	if (!w->is_up || !mount->is_known || mount->conn)
		return;
	/* The end of the one before it is told first, with all that came over it. */
	mount->up_not_before = 0;
	while (mount->coord_conn && mount->up.count)
		coord_hear(w, m);
	coord_lost(w, m);
	mount->conn = mount->coord_conn = ++w->next_conn;
	mount_event(w, m, &(struct direct_event){.type = DIRECT_EV_CONFIRMED});
	must(!grant_step(&w->grants,
			 &(struct grant_event){.type = GRANT_EV_CHANNEL,
					       .mount = (uint64_t)m + 1,
					       .conn = mount->conn},
			 &w->grant_out));
	for (size_t i = 0; i < w->grant_out.count; i++) {
		const struct grant_action *a = &w->grant_out.item[i];

		if (a->kind == GRANT_DO_FAILED)
			sim_push(w, m, false,
				 &(struct message){.kind = MESSAGE_FAILED, .failure = a->failure});
		if (a->kind == GRANT_DO_RECALL && mount->down.count < QUEUE)
			mount->down.item[mount->down.count++] =
				(struct message){.file = (int)a->handle.ino - 1, .id = a->id};
	}
}

void mount_cut(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	mount->conn = 0;
	mount->down.count = 0;
	mount->up.count = (int)prng_below(&w->rng, (uint64_t)mount->up.count + 1);
}

void mount_hear(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	struct message a;

	if (!mount->conn || !mount->down.count)
		return;
	a = mount->down.item[0];
	memmove(mount->down.item, mount->down.item + 1, sizeof(a) * (size_t)--mount->down.count);
	if (a.kind == MESSAGE_FAILED) {
		TRACE(w, "m%d hears of failure %" PRIu64 " of %" PRIu64 ": f%d", m,
		      a.failure.serial, a.failure.origin, (int)a.failure.handle.ino);
		mount_event(w, m,
			    &(struct direct_event){.type = DIRECT_EV_HEARD, .failure = a.failure});
		return;
	}
	mount_event(w, m,
		    &(struct direct_event){.type = DIRECT_EV_RECALL,
					   .handle = sim_handle(a.file),
					   .id = a.id,
					   .now_ms = w->step * STEP_MS});
}

void mount_answer(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	struct direct_event e = {.now_ms = w->step * STEP_MS};
	struct message a;
	int op;

	if (!mount->is_alive || !mount->replies.count)
		return;
	a = mount->replies.item[0];
	memmove(mount->replies.item, mount->replies.item + 1,
		sizeof(a) * (size_t)--mount->replies.count);
	op = mount->asks[a.file] - 1;
	must(op >= 0);
	mount->asks[a.file] = 0;
	e.handle = sim_handle(a.file);
	e.type = a.mode == CSV_GRANT_NONE ? DIRECT_EV_REFUSED : DIRECT_EV_ISSUED;
	e.id = a.id;
	e.mode = a.mode;
	e.why = a.why;
	if (a.mode != CSV_GRANT_NONE)
		memcpy(mount->extents[a.file], a.block, sizeof(a.block));
	mount_event(w, m, &e);
	mount->op[op].way = OP_WANTS;
}

/* ---- applications */

void mount_end_op(struct world *w, int m, int op)
{
	struct op *o = &w->mount[m].op[op];

	if (o->is_write)
		w->truth[o->file][o->part].pending &= ~o->halves;
	o->way = OP_NONE;
}

/* One of those that are so far; or -1. */
static int pick_op(struct world *w, const struct mount *mount, enum op_way way)
{
	int first = (int)prng_below(&w->rng, OPS);

	for (int i = 0; i < OPS; i++) {
		if (mount->op[(first + i) % OPS].way == way)
			return (first + i) % OPS;
	}
	return -1;
}

void mount_want(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	int i = pick_op(w, mount, OP_NONE);
	struct op *o = &mount->op[i < 0 ? 0 : i];
	int file = (int)prng_below(&w->rng, FILES), part = (int)prng_below(&w->rng, PARTS);
	bool is_write = sim_chance(w, 500);
	int halves = sim_chance(w, w->rate.half) ? 1 + (int)prng_below(&w->rng, 2) : BOTH;

	if (!mount->is_alive || i < 0 || (is_write && (w->truth[file][part].pending & halves)))
		return;
	/* An open is answered by a coordinator. */
	if (!mount->is_open[file] && !mount->is_known)
		return;
	if (!mount->is_open[file]) {
		mount->is_open[file] = true;
		for (int n = 0; n < OPENS; n++)
			mount->open[file][n] =
				(struct open){.seen = errors_sample(&mount->direct.errors),
					      .owed = count_coming(w, file)};
		mount_event(w, m,
			    &(struct direct_event){.type = DIRECT_EV_OPENED,
						   .handle = sim_handle(file)});
	}
	*o = (struct op){.way = OP_WANTS, .file = file, .part = part, .is_write = is_write};
	if (is_write) {
		o->halves = halves;
		w->next_seq++;
		o->seq = w->next_seq | w->next_seq << 32;
		w->truth[file][part].pending |= halves;
	}
}

static void go_direct(struct world *w, int m, struct op *o, size_t row)
{
	struct mount *mount = &w->mount[m];

	if (mount->direct.file[row].state != DIRECT_GRANTED)
		sim_broke(w, "I/O begins under a grant that drains");
	if (!mount->direct.has_lease || mount->direct.must_confirm)
		sim_broke(w, "I/O begins without a lease");
	o->way = OP_DIRECT;
	o->row = row;
	o->block = mount->extents[o->file][o->part];
	o->was = w->disk[o->block].seq;
}

static void go_home(struct world *w, int m, int op)
{
	struct op *o = &w->mount[m].op[op];
	struct task *t;

	if (!w->mount[m].is_known)
		return;
	t = coord_task(w, o->is_write ? TASK_WRITE : TASK_READ, m, op, o->file, o->part);
	if (!t)
		return;
	t->seq = o->seq;
	t->halves = o->halves;
	t->is_write = o->is_write;
	o->way = OP_HOME;
}

static void go_ask(struct world *w, int m, int op)
{
	struct op *o = &w->mount[m].op[op];

	o->way = OP_ASKS;
	w->mount[m].asks[o->file] = -1 - op; /* not sent yet */
}

/* An ask that no coordinator has, or that has died with it, is sent again. */
static void send_asks(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	for (int i = 0; i < OPS; i++) {
		struct op *o = &mount->op[i];
		struct task *t;

		if (o->way != OP_ASKS || mount->asks[o->file] > 0 || !mount->is_known)
			continue;
		t = coord_task(w, TASK_GRANT, m, i, o->file, 0);
		if (!t)
			return;
		t->is_write = o->is_write;
		mount->asks[o->file] = i + 1;
	}
}

void mount_go_on(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	int i = pick_op(w, mount, OP_WANTS);
	struct op *o = &mount->op[i < 0 ? 0 : i];

	if (!mount->is_alive)
		return;
	send_asks(w, m);
	if (i < 0)
		return;
	mount_event(w, m,
		    &(struct direct_event){.type = DIRECT_EV_BEGIN,
					   .handle = sim_handle(o->file),
					   .is_write = o->is_write,
					   .is_partial = o->is_write && o->halves != BOTH,
					   .may_ask = true,
					   .now_ms = w->step * STEP_MS});
	for (size_t n = 0; n < w->direct_out.count; n++) {
		const struct direct_action *a = &w->direct_out.item[n];

		if (a->kind == DIRECT_DO_GO)
			go_direct(w, m, o, a->file);
		else if (a->kind == DIRECT_DO_ASK)
			go_ask(w, m, i);
		else if (a->kind == DIRECT_DO_HOME)
			go_home(w, m, i);
	}
}

/* An I/O of this mount that is under way happens. */
void mount_land(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	int i = pick_op(w, mount, OP_DIRECT);
	struct op *o = &mount->op[i < 0 ? 0 : i];

	if (i < 0)
		return;
	if (w->now.at[o->file][o->part].block != o->block)
		sim_broke(w, "direct I/O on a block that is not the file's any more");
	if (o->is_write) {
		w->disk[o->block] =
			(struct block){o->file, o->part, sim_merge(o->was, o->seq, o->halves)};
		sim_written(w, o->file, o->part, o->seq, o->halves, true);
	} else {
		sim_read(w, o->file, o->part, w->disk[o->block].seq);
	}
	mount->is_dirty[o->file] = mount->is_dirty[o->file] || o->is_write;
	if (mount->is_alive)
		mount_event(w, m,
			    &(struct direct_event){.type = DIRECT_EV_END,
						   .file = o->row,
						   .is_write = o->is_write});
	mount_end_op(w, m, i);
}

/* ---- flushes, and their failures */

void mount_flush(struct world *w, int m, bool fails)
{
	struct mount *mount = &w->mount[m];

	if (mount->direct.flushed == mount->direct.writes)
		return;
	TRACE(w, "m%d: a flush %s", m, fails ? "fails" : "ends well");
	for (int f = 0; f < FILES; f++) {
		if (fails && mount->is_dirty[f])
			sim_owe(w, f);
		mount->is_dirty[f] = false;
	}
	mount_event(w, m,
		    &(struct direct_event){.type = fails ? DIRECT_EV_FAILED : DIRECT_EV_FLUSHED,
					   .serial = mount->direct.writes,
					   .error = 61});
}

void mount_fsync(struct world *w, int m, int file, int open)
{
	struct open *o = &w->mount[m].open[file][open];
	struct csv_handle h = sim_handle(file);

	if (!w->mount[m].is_open[file])
		return;
	if (!errors_take(&w->mount[m].direct.errors, &h, &o->seen))
		return;
	TRACE(w, "m%d: open %d of f%d is told of a failure", m, open, file + 1);
	if (!o->owed)
		sim_broke(w, "an open is told twice of a failure, or of one that never was");
	o->owed -= o->owed > 0;
	o->must = false;
}
