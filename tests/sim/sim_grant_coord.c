/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator of sim_grant: a file system whose log is not forced by itself, and its tasks. */
#include <string.h>

#include "lib/must.h"
#include "tests/sim/sim_grant_world.h"

static int mount_of_conn(const struct world *w, uint64_t conn)
{
	for (int m = 0; m < w->mount_count; m++) {
		if (conn && w->mount[m].coord_conn == conn)
			return m;
	}
	return -1;
}

static void say_recall(struct world *w, const struct grant_action *a)
{
	int m = mount_of_conn(w, a->conn);
	struct queue *q = m < 0 ? NULL : &w->mount[m].down;

	if (!q || w->mount[m].conn != a->conn || q->count == QUEUE)
		return; /* lost */
	TRACE(w, "recall f%d from m%d: %" PRIu64, (int)a->handle.ino, m, a->id.serial);
	q->item[q->count++] = (struct message){.file = (int)a->handle.ino - 1, .id = a->id};
}

static void grant_event(struct world *w, const struct grant_event *e)
{
	int m;

	must(!grant_step(&w->grants, e, &w->grant_out));
	for (size_t i = 0; i < w->grant_out.count; i++) {
		const struct grant_action *a = &w->grant_out.item[i];

		if (a->kind == GRANT_DO_RECALL)
			say_recall(w, a);
		m = a->kind == GRANT_DO_FAILED ? mount_of_conn(w, a->conn) : -1;
		if (m >= 0 && w->mount[m].conn == a->conn)
			sim_push(w, m, false,
				 &(struct message){.kind = MESSAGE_FAILED, .failure = a->failure});
		m = a->kind == GRANT_DO_CLOSE ? mount_of_conn(w, a->conn) : -1;
		if (m >= 0 && w->mount[m].conn == a->conn && e->conn != a->conn)
			mount_cut(w, m);
	}
	if (grant_check(&w->grants))
		sim_broke(w, grant_check(&w->grants));
}

/* ---- the file system */

static void force(struct world *w)
{
	w->forced = w->now;
	for (int f = 0; f < FILES; f++) {
		for (int p = 0; p < PARTS; p++)
			w->truth[f][p].is_forced = true;
	}
}

static bool is_used(const struct map *map, int block)
{
	for (int f = 0; f < FILES; f++) {
		for (int p = 0; p < PARTS; p++) {
			if (map->at[f][p].block == block)
				return true;
		}
	}
	return false;
}

/* A block that was freed is not reused before the log has it. */
static int allocate(struct world *w)
{
	int first = (int)prng_below(&w->rng, BLOCKS);

	for (int i = 0; i < BLOCKS; i++) {
		int b = (first + i) % BLOCKS;

		if (is_used(&w->now, b))
			continue;
		if (is_used(&w->forced, b))
			force(w);
		return b;
	}
	must(false);
	return -1;
}

static void do_write(struct world *w, struct task *t)
{
	struct extent *x = &w->now.at[t->file][t->part];
	struct csv_handle h = sim_handle(t->file);
	bool is_held = grant_is_held(&w->grants, &h);
	uint64_t was;

	if (x->block < 0)
		x->block = allocate(w);
	if (!is_held && w->has_page[t->file][t->part])
		was = w->page[t->file][t->part];
	else
		was = x->is_written ? w->disk[x->block].seq : 0;
	w->disk[x->block] = (struct block){t->file, t->part, sim_merge(was, t->seq, t->halves)};
	x->is_written = true;
	if (!is_held) { /* else O_DIRECT */
		w->has_page[t->file][t->part] = true;
		w->page[t->file][t->part] = w->disk[x->block].seq;
	}
	sim_written(w, t->file, t->part, t->seq, t->halves, false);
}

static void do_read(struct world *w, const struct task *t)
{
	const struct extent *x = &w->now.at[t->file][t->part];
	struct csv_handle h = sim_handle(t->file);
	bool is_held = grant_is_held(&w->grants, &h);
	uint64_t seq = x->block >= 0 && x->is_written ? w->disk[x->block].seq : 0;

	if (x->block >= 0 && x->is_written && w->disk[x->block].file != t->file)
		sim_broke(w, "a read at home has found another file's data");
	if (!is_held && w->has_page[t->file][t->part])
		seq = w->page[t->file][t->part];
	if (!is_held) {
		w->has_page[t->file][t->part] = true;
		w->page[t->file][t->part] = seq;
	}
	sim_read(w, t->file, t->part, seq);
}

/* `fills`: with zeros that are written, as `csvadm prealloc` does. */
static void do_truncate(struct world *w, int f, bool allocates, bool fills)
{
	for (int p = 0; p < PARTS; p++) {
		w->now.at[f][p] = (struct extent){.block = -1};
		w->has_page[f][p] = false;
		w->truth[f][p].seq = 0;
		w->truth[f][p].is_known = true;
		w->truth[f][p].is_forced = false;
	}
	for (int p = 0; allocates && p < PARTS; p++) {
		struct extent *x = &w->now.at[f][p];

		*x = (struct extent){.block = allocate(w), .is_written = fills};
		if (fills)
			w->disk[x->block] = (struct block){f, p, 0};
	}
}

/* ---- a grant */

static bool do_make(struct world *w, struct task *t)
{
	struct grant_piece pieces[PARTS];
	bool is_left = false, is_shared = false;

	switch (t->make) {
	case GRANT_MAKE_FORCE:
		force(w);
		return true;
	case GRANT_MAKE_EMPTY:
		for (int p = 0; p < PARTS; p++) {
			w->has_page[t->file][p] = w->has_page[t->file][p] && sim_chance(w, 200);
			is_left = is_left || w->has_page[t->file][p];
		}
		t->why = CSV_UNGRANTED_RESIDENT;
		return !is_left;
	case GRANT_MAKE_MAP:
		for (int p = 0; p < PARTS; p++) {
			const struct extent *x = &w->now.at[t->file][p];

			pieces[p] = (struct grant_piece){.offset = (uint64_t)p * CSV_GRANT_MIN,
							 .address = (uint64_t)(x->block + 1) *
								    CSV_GRANT_MIN,
							 .length = CSV_GRANT_MIN,
							 .is_unwritten = !x->is_written};
		}
		t->why = grant_judge(pieces, PARTS, (uint64_t)PARTS * CSV_GRANT_MIN, t->is_write,
				     w->grant_mutant, &is_shared);
		for (int p = 0; p < PARTS; p++) {
			if (w->now.at[t->file][p].block < 0)
				t->why = CSV_UNGRANTED_UNWRITTEN;
		}
		return t->why == CSV_UNGRANTED_NOTHING;
	case GRANT_MAKE_ISSUE:
	case GRANT_MAKE_REFUSE:
		break;
	}
	return false;
}

static void end_recall(struct world *w, struct task *t)
{
	if (t->has_recalled)
		grant_event(w, &(struct grant_event){.type = GRANT_EV_END,
						     .handle = sim_handle(t->file)});
	t->has_recalled = false;
}

static void answer_grant(struct world *w, struct task *t)
{
	struct message a = {.is_ask_reply = true, .file = t->file, .why = t->why};
	struct mount *m = &w->mount[t->mount];
	bool is_contended = t->has_recalled;

	end_recall(w, t);
	if (t->make == GRANT_MAKE_ISSUE) {
		grant_event(w, &(struct grant_event){.type = GRANT_EV_ISSUE,
						     .mount = (uint64_t)t->mount + 1,
						     .handle = sim_handle(t->file),
						     .is_write = t->is_write,
						     .is_contended = is_contended});
		for (size_t i = 0; i < w->grant_out.count; i++) {
			a.why = w->grant_out.item[i].why;
			a.id = w->grant_out.item[i].id;
			a.mode = w->grant_out.item[i].mode;
		}
		for (int p = 0; p < PARTS; p++)
			a.block[p] = w->now.at[t->file][p].block;
	}
	TRACE(w, "f%d for m%d: mode %d number %" PRIu64 " (%s)", t->file + 1, t->mount, (int)a.mode,
	      a.id.serial, csv_ungranted_text(a.why));
	if (m->is_alive && m->replies.count < QUEUE)
		m->replies.item[m->replies.count++] = a;
}

/* ---- tasks */

static bool needs_recall(const struct world *w, const struct task *t)
{
	struct csv_handle h = sim_handle(t->file);

	if (t->kind == TASK_TRUNCATE || t->kind == TASK_ALLOCATE ||
	    (t->kind == TASK_WRITE && t->halves != BOTH))
		return true;
	return t->kind == TASK_GRANT && t->is_write &&
	       grant_is_sole_elsewhere(&w->grants, &h, (uint64_t)t->mount + 1);
}

static void unlock(struct world *w, struct task *t)
{
	if (t->has_lock)
		w->is_locked[t->file] = false;
	t->has_lock = false;
	end_recall(w, t);
}

static bool take_lock(struct world *w, struct task *t)
{
	if (w->is_locked[t->file])
		return false;
	w->is_locked[t->file] = t->has_lock = true;
	return true;
}

/* Recall, lock, look. True: it may go. */
static bool prepare(struct world *w, struct task *t)
{
	struct csv_handle h = sim_handle(t->file);
	bool is_ok = true;

	switch (t->change) {
	case GRANT_CHANGE_RECALL:
		if (!t->has_recalled)
			grant_event(w, &(struct grant_event){.type = GRANT_EV_RECALL, .handle = h});
		t->has_recalled = true;
		if (t->has_lock && !grant_is_collected(&w->grants, &h))
			sim_broke(w, "a lock is held while a mount is waited for");
		if (!grant_is_collected(&w->grants, &h))
			return false;
		break;
	case GRANT_CHANGE_LOCK:
		if (!take_lock(w, t))
			return false;
		break;
	case GRANT_CHANGE_LOOK:
		is_ok = !needs_recall(w, t) || grant_is_collected(&w->grants, &h);
		if (!is_ok)
			unlock(w, t);
		break;
	case GRANT_CHANGE_GO:
		return true;
	}
	t->change = grant_change_next(t->change, is_ok, w->grant_mutant);
	return false;
}

static void perform(struct world *w, struct task *t)
{
	switch (t->kind) {
	case TASK_READ:
		do_read(w, t);
		break;
	case TASK_WRITE:
		do_write(w, t);
		break;
	case TASK_TRUNCATE:
	case TASK_ALLOCATE:
		TRACE(w, "f%d is %s", t->file + 1, t->kind == TASK_TRUNCATE ? "cut" : "allocated");
		do_truncate(w, t->file, t->kind == TASK_ALLOCATE, t->is_write);
		break;
	case TASK_GRANT:
		if (t->make != GRANT_MAKE_ISSUE && t->make != GRANT_MAKE_REFUSE) {
			t->make = grant_make_next(t->make, do_make(w, t), w->grant_mutant);
			return;
		}
		answer_grant(w, t);
		break;
	}
	unlock(w, t);
	t->is_done = true;
	if (sim_chance(w, w->rate.stall))
		t->not_before = w->step + prng_below(&w->rng, STALL);
}

/* One step of it. After it is done its answer waits for the log. */
void coord_work(struct world *w, struct task *t)
{
	if (!t->is_active || !w->is_up || t->not_before > w->step)
		return;
	/* What is asked at home waits for all to have told what they have; so says the session. */
	if (!w->grants.is_open && t->kind != TASK_TRUNCATE && t->kind != TASK_ALLOCATE)
		return;
	if (!t->has_begun) {
		t->has_begun = true;
		t->change = needs_recall(w, t) ? grant_change_first(w->grant_mutant)
					       : GRANT_CHANGE_LOCK;
	}
	if (!t->is_done) {
		if (t->change != GRANT_CHANGE_GO)
			prepare(w, t);
		else
			perform(w, t);
		return;
	}
	if (t->kind == TASK_WRITE || t->kind == TASK_TRUNCATE || t->kind == TASK_ALLOCATE)
		force(w);
	t->is_active = false;
	if (t->mount >= 0 && t->kind != TASK_GRANT && w->mount[t->mount].is_alive)
		mount_end_op(w, t->mount, t->op);
}

struct task *coord_task(struct world *w, enum task_kind kind, int mount, int op, int file, int part)
{
	for (int i = 0; w->is_up && i < TASKS; i++) {
		struct task *t = &w->task[i];

		if (t->is_active)
			continue;
		*t = (struct task){.is_active = true,
				   .kind = kind,
				   .mount = mount,
				   .op = op,
				   .file = file,
				   .part = part,
				   .make = grant_make_first(w->grant_mutant)};
		return t;
	}
	return NULL;
}

/* ---- life */

static void try_open(struct world *w)
{
	for (int m = 0; m < w->mount_count; m++) {
		if (!w->mount[m].is_told_gone && !w->mount[m].is_known)
			return;
	}
	if (!w->grants.is_open)
		TRACE(w, "all have told what they have");
	grant_event(w, &(struct grant_event){.type = GRANT_EV_OPEN});
}

void coord_start(struct world *w)
{
	w->is_up = true;
	grant_init(&w->grants, ++w->term);
	w->grants.mutant = (enum grant_mutant)w->grant_mutant;
	TRACE(w, "coordinator of term %" PRIu64, w->term);
	try_open(w);
}

/* Of what was answered, one may have come to the mount: it is looked at later. The rest is asked
 * again. */
static void lose_replies(struct world *w, struct mount *mount)
{
	int kept = -1;

	if (mount->replies.count && sim_chance(w, 500))
		kept = mount->replies.item[0].file;
	mount->replies.count = kept >= 0;
	for (int f = 0; f < FILES; f++)
		mount->asks[f] = f != kept && mount->asks[f] > 0 ? -mount->asks[f] : mount->asks[f];
}

void coord_crash(struct world *w)
{
	TRACE(w, "the coordinator crashes");
	/* What it alone knew of, nobody hears: its own flushes, which nobody was answered. */
	for (size_t i = 0; i < w->grants.notices; i++) {
		const struct csv_frame_failed *n = &w->grants.notice[i].failure;

		for (int o = 0; n->origin == w->grants.term && o < w->mount_count * OPENS; o++)
			w->mount[o / OPENS].open[n->handle.ino - 1][o % OPENS].must = false;
	}
	w->is_up = false;
	w->now = w->forced;
	memset(w->has_page, 0, sizeof(w->has_page));
	memset(w->is_locked, 0, sizeof(w->is_locked));
	for (int i = 0; i < TASKS; i++) {
		struct task *t = &w->task[i];

		/* What nobody has an answer to is asked again. */
		if (t->is_active && t->mount >= 0 && t->kind != TASK_GRANT)
			w->mount[t->mount].op[t->op].way = OP_WANTS;
		t->is_active = false;
	}
	for (int f = 0; f < FILES; f++) {
		for (int p = 0; p < PARTS; p++)
			w->truth[f][p].is_known &= w->truth[f][p].is_forced;
	}
	for (int m = 0; m < w->mount_count; m++) {
		struct mount *mount = &w->mount[m];

		mount_cut(w, m);
		mount->is_known = false;
		mount->coord_conn = 0;
		mount->up.count = 0;
		lose_replies(w, mount);
	}
}

void coord_meet(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	if (!w->is_up || mount->is_known)
		return;
	grant_event(w, &(struct grant_event){.type = GRANT_EV_RESET, .mount = (uint64_t)m + 1});
	mount_event(w, m,
		    &(struct direct_event){.type = DIRECT_EV_RECLAIM, .id = {.term = w->term}});
	for (size_t i = 0; i < DIRECT_FILES; i++) {
		const struct direct_file *f = &mount->direct.file[i];

		if (f->handle.ino && direct_must_reclaim(&mount->direct, i))
			grant_event(w, &(struct grant_event){.type = GRANT_EV_RECLAIM,
							     .mount = (uint64_t)m + 1,
							     .handle = f->handle,
							     .id = f->id,
							     .mode = f->mode});
	}
	mount->is_known = true;
	try_open(w);
}

void coord_hear(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];
	struct message a;

	if (!w->is_up || !mount->coord_conn || !mount->up.count || mount->up_not_before > w->step)
		return;
	a = mount->up.item[0];
	memmove(mount->up.item, mount->up.item + 1, sizeof(a) * (size_t)--mount->up.count);
	if (a.kind != MESSAGE_GRANT) {
		grant_event(w,
			    &(struct grant_event){.type = a.kind == MESSAGE_FAILED ? GRANT_EV_FAILED
										   : GRANT_EV_NOTED,
						  .mount = (uint64_t)m + 1,
						  .failure = a.failure});
		return;
	}
	TRACE(w, "m%d gives back f%d: %" PRIu64, m, a.file + 1, a.id.serial);
	grant_event(w, &(struct grant_event){.type = GRANT_EV_DONE,
					     .mount = (uint64_t)m + 1,
					     .handle = sim_handle(a.file),
					     .id = a.id});
}

void coord_fail(struct world *w, int file)
{
	if (!w->is_up || !w->grants.is_open || w->grants.notices == GRANT_NOTICES)
		return;
	TRACE(w, "the coordinator's flush of f%d fails", file + 1);
	sim_owe(w, file);
	grant_event(w, &(struct grant_event){.type = GRANT_EV_FAILED,
					     .failure = {.handle = sim_handle(file), .error = 5}});
}

void coord_lost(struct world *w, int m)
{
	struct mount *mount = &w->mount[m];

	if (!w->is_up || !mount->coord_conn || mount->coord_conn == mount->conn || mount->up.count)
		return;
	grant_event(w, &(struct grant_event){.type = GRANT_EV_LOST, .conn = mount->coord_conn});
	mount->coord_conn = 0;
}

void coord_gone(struct world *w, int m)
{
	if (!w->is_up)
		return;
	TRACE(w, "m%d is gone", m);
	for (int f = 0; f < FILES; f++) {
		for (int p = 0; p < PARTS; p++) {
			for (int o = 0; o < OPS; o++) {
				const struct op *op = &w->mount[m].op[o];

				if (op->way == OP_NONE || !op->is_write || op->file != f ||
				    op->part != p)
					continue;
				w->truth[f][p].is_known = false;
				w->truth[f][p].pending &= ~op->halves;
			}
		}
	}
	w->mount[m].is_told_gone = true;
	grant_event(w, &(struct grant_event){.type = GRANT_EV_GONE, .mount = (uint64_t)m + 1});
	grant_event(w, &(struct grant_event){.type = GRANT_EV_FORGET, .mount = (uint64_t)m + 1});
	try_open(w);
}
