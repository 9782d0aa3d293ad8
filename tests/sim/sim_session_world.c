/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator of sim_session: what the edge will do with the decisions of the cores. */
#include <errno.h>
#include <string.h>

#include "tests/sim/sim_session_world.h"

static int index_of(uint64_t id)
{
	return (int)id - FIRST_ID;
}

static bool is_open(const struct world *w, uint16_t ino)
{
	for (int m = 0; m < w->mount_count; m++) {
		if (w->coord.opens[m][ino])
			return true;
	}
	return false;
}

/* ---- what a decision must not do */

static void check_begin(struct world *w, int m, const struct work *work)
{
	struct coord *c = &w->coord;

	if (work->exec.is_active)
		sim_broke(w, "a request is begun while it is under way");
	if (c->is_told_gone[m])
		sim_broke(w, "a request of an ended mount is begun");
	if (c->sess.is_suspended)
		sim_broke(w, "a request is begun without a lease");
	for (int n = 0; n < w->mount_count; n++) {
		const struct mount *mount = &w->mount[n];

		for (int ino = 1; mount->is_alive && ino < INODES; ino++) {
			if (mount->opens[ino] - mount->releasing[ino] > c->opens[n][ino])
				sim_broke(w, "a request is begun before all opens are known");
		}
	}
}

static void check_drop(struct world *w, int m)
{
	struct coord *c = &w->coord;

	for (int s = 0; s < SLOTS; s++) {
		if (c->work[m][s].exec.is_active)
			sim_broke(w, "a mount is dropped while its requests execute");
	}
	if (c->sess.is_suspended)
		sim_broke(w, "a mount is dropped without a lease");
	if (c->sess.phase >= SESS_STOPPING)
		sim_broke(w, "a mount is dropped after the stop");
}

static void check_stopped(struct world *w)
{
	for (int m = 0; m < w->mount_count; m++) {
		if (w->coord.is_dropping[m])
			sim_broke(w, "stopped, and a mount is being dropped");
		for (int s = 0; s < SLOTS; s++) {
			if (w->coord.work[m][s].exec.is_active)
				sim_broke(w, "stopped, and a request executes");
		}
	}
}

/* ---- actions */

static void begin(struct world *w, const struct sess_action *a)
{
	int m = index_of(a->mount);
	struct work *work = &w->coord.work[m][a->slot];
	const struct sess_mount *row = sess_mount_find(&w->coord.sess, a->mount);
	const struct conn *c = row ? conn_find(w, row->conn) : NULL;

	check_begin(w, m, work);
	work->is_held = false;
	work->reply = (struct reply){.uid = work->uid};
	work->exec = (struct exec){.is_active = true,
				   .is_repeated = a->kind == SESS_DO_REDO,
				   .kind = a->kind,
				   .step = CHANGE_LOCK,
				   .life = c ? c->life : 0,
				   .recalls = sim_chance(w, w->rate.recall)};
	if (a->kind == SESS_DO_REDO)
		work->exec.pre = w->now.record[m][a->slot].pre;
	if (!w->is_healed && sim_chance(w, w->rate.stall))
		work->exec.not_before = w->step + prng_below(&w->rng, STALL_MAX);
}

static void send_reply(struct world *w, const struct sess_action *a)
{
	struct conn *c = conn_find(w, a->conn);
	struct work *work = &w->coord.work[index_of(a->mount)][a->slot];
	struct msg m = {.kind = MSG_REPLY,
			.slot = a->slot,
			.seq = work->seq,
			.uid = work->reply.uid,
			.reply = work->reply};

	if (work->exec.is_active)
		sim_broke(w, "a request is answered that is under way");
	if (c && c->is_coord && c->mount == index_of(a->mount))
		conn_push_down(w, c, &m);
	else
		sim_broke(w, "an answer goes where its mount is not");
}

static void welcome(struct world *w, const struct sess_action *a)
{
	struct conn *c = conn_find(w, a->conn);
	int m = index_of(a->mount);
	struct msg msg = {.kind = MSG_WELCOME, .term = w->coord.term, .flag = a->is_known};

	for (int s = 0; s < SLOTS; s++) {
		if (w->coord.work[m][s].exec.is_active)
			sim_broke(w, "a connection is taken while requests of another execute");
	}
	if (!a->is_known)
		memset(w->coord.opens[m], 0, sizeof(w->coord.opens[m]));
	if (c && c->is_coord)
		conn_push_down(w, c, &msg);
}

static void end_conn(struct world *w, const struct sess_action *a)
{
	struct conn *c = conn_find(w, a->conn);
	struct msg msg = {.kind = MSG_REFUSED};

	if (!c)
		return;
	if (a->kind == SESS_DO_REFUSE && c->is_coord)
		conn_push_down(w, c, &msg);
	c->is_stale = c->is_stale || (c->is_coord && sim_chance(w, 300));
	conn_coord_close(w, c);
}

static void stopped(struct world *w)
{
	check_stopped(w);
	disk_force(w, disk_end(w)); /* unmounted */
	for (int i = 0; i < CONNS; i++) {
		if (w->conn[i].id && w->conn[i].is_coord)
			conn_coord_close(w, &w->conn[i]);
		w->conn[i].is_stale = false;
	}
	w->coord.is_up = false;
}

static void act(struct world *w, const struct sess_action *a, const struct msg *in)
{
	struct work *work = NULL;

	if (a->mount && a->slot < SLOTS)
		work = &w->coord.work[index_of(a->mount)][a->slot];
	TRACE(w, "    %s conn %" PRIu64 " m%d slot %d", sess_action_name(a->kind), a->conn,
	      a->mount ? index_of(a->mount) : -1, a->slot);
	if (in && work && (a->kind >= SESS_DO_EXECUTE && a->kind <= SESS_DO_REPLAY)) {
		work->uid = in->uid;
		work->seq = in->seq;
	}
	switch (a->kind) {
	case SESS_DO_WELCOME:
		welcome(w, a);
		return;
	case SESS_DO_REPLACED:
		w->coord.has_replaced = true;
		w->coord.over[index_of(a->mount)] = w->coord.life[index_of(a->mount)];
		w->coord.given[index_of(a->mount)] = 0;
		return;
	case SESS_DO_REFUSE:
	case SESS_DO_CLOSE:
		end_conn(w, a);
		return;
	case SESS_DO_HOLD:
		work->uid = in->uid;
		work->seq = in->seq;
		work->is_held = true;
		return;
	case SESS_DO_DISCARD:
		if (!work->is_held)
			sim_broke(w, "a request is discarded that is not held");
		work->is_held = false;
		return;
	case SESS_DO_EXECUTE:
	case SESS_DO_REDO:
	case SESS_DO_REPLAY:
		if (!in && !work->is_held)
			sim_broke(w, "a request is begun that is not there");
		begin(w, a);
		return;
	case SESS_DO_REPLY:
		send_reply(w, a);
		return;
	case SESS_DO_DROP:
		check_drop(w, index_of(a->mount));
		w->coord.is_dropping[index_of(a->mount)] = true;
		return;
	case SESS_DO_RECOVERED:
		w->mount[index_of(a->mount)].is_recovered = true;
		return;
	case SESS_DO_STOPPED:
		stopped(w);
		return;
	default:
		return;
	}
}

static void core_step(struct world *w, const struct sess_event *e, const struct msg *in)
{
	struct coord *c = &w->coord;
	const char *wrong;
	int r;

	TRACE(w, "  %s conn %" PRIu64 " m%d slot %d seq %" PRIu64 "%s%s", sess_event_name(e->type),
	      e->conn, e->mount ? index_of(e->mount) : -1, e->slot, e->seq,
	      e->is_resend ? " again" : "", e->is_done ? " done" : "");
	r = sess_step(&c->sess, e, &w->actions);
	wrong = sess_check(&c->sess);
	if (r == -EPROTO && e->type != SESS_EV_LIFE)
		wrong = "a mount is said to have broken the protocol";
	else if (r && r != -EPROTO)
		wrong = "an event is refused";
	/* A planted bug has to do harm, not only to be seen by the core itself. */
	if (wrong && !w->sess_mutant && !w->change_mutant && !w->mutant)
		sim_broke(w, wrong);
	for (size_t i = 0; i < w->actions.count && !w->broken; i++)
		act(w, &w->actions.item[i], in);
}

void coord_event(struct world *w, const struct sess_event *e)
{
	core_step(w, e, NULL);
}

/* ---- the steps of a request */

/* What it locks, by what is there. */
static void lock_set(const struct world *w, const struct op *op, bool *ret_holds)
{
	memset(ret_holds, 0, INODES * sizeof(ret_holds[0]));
	switch (op->op) {
	case CSV_OP_RENAME:
		ret_holds[w->now.name[op->new_name]] = true;
		ret_holds[w->now.name[op->name]] = true;
		ret_holds[DIR] = true;
		break;
	case CSV_OP_UNLINK:
		ret_holds[w->now.name[op->name]] = true;
		ret_holds[DIR] = true;
		break;
	case CSV_OP_LINK:
		ret_holds[op->ino] = true;
		ret_holds[DIR] = true;
		break;
	case CSV_OP_CREATE:
	case CSV_OP_LOOKUP:
		ret_holds[DIR] = true;
		break;
	default:
		ret_holds[op->ino] = true;
		break;
	}
}

static bool try_lock(struct world *w, struct work *work)
{
	bool wants[INODES];

	lock_set(w, &w->op[work->uid], wants);
	for (int i = 0; i < INODES; i++) {
		if (wants[i] && w->coord.lock[i])
			return false;
	}
	for (int i = 0; i < INODES; i++) {
		work->exec.holds[i] = wants[i];
		if (wants[i])
			w->coord.lock[i] = work->uid;
	}
	return true;
}

static void unlock(struct world *w, struct work *work)
{
	for (int i = 0; i < INODES; i++) {
		if (work->exec.holds[i])
			w->coord.lock[i] = 0;
	}
	memset(work->exec.holds, 0, sizeof(work->exec.holds));
	work->exec.force_to = disk_end(w);
}

static enum change_outcome look_again(struct world *w, struct work *work)
{
	const struct op *op = &w->op[work->uid];

	work->reply.pos = w->now.length;
	if (disk_is_before(&w->now, op, &work->exec.pre))
		return CHANGE_OK;
	work->reply.err = 0;
	work->reply.pos = w->now.pos[work->uid];
	work->reply.ino = w->now.name[op->name];
	work->reply.size = (uint16_t)(work->exec.pre.size + 1);
	if (op->op == CSV_OP_CREATE)
		w->coord.opens[op->mount][work->reply.ino]++;
	return CHANGE_AFTER;
}

static enum change_outcome look(struct world *w, struct work *work)
{
	const struct op *op = &w->op[work->uid];
	uint16_t *opens = &w->coord.opens[op->mount][op->ino];

	if (work->exec.is_repeated)
		return look_again(w, work);
	if (disk_look(&w->now, op, &work->reply, &work->exec.pre))
		return CHANGE_OK;
	if (op->op == CSV_OP_OPEN && !work->reply.err)
		++*opens;
	if (op->op == CSV_OP_RELEASE && !*opens)
		sim_broke(w, "something is released that is not open");
	else if (op->op == CSV_OP_RELEASE)
		--*opens;
	return CHANGE_ERROR;
}

static enum change_outcome fault(struct work *work)
{
	work->reply.err = EIO;
	work->reply.is_fault = true;
	return CHANGE_ERROR;
}

/* An inode whose last name goes, and that must stay; 0: none. */
static uint16_t orphan_of(const struct world *w, const struct op *op)
{
	uint16_t ino = op->op == CSV_OP_UNLINK	 ? w->now.name[op->name]
		       : op->op == CSV_OP_RENAME ? w->now.name[op->new_name]
						 : 0;
	bool is_known = w->coord.sess.phase == SESS_SERVE || w->mutant == WORLD_MUTANT_UNLINK_FREES;

	if (!ino || w->now.inode[ino].nlink > 1 || w->now.inode[ino].is_orphan)
		return 0;
	return is_open(w, ino) || !is_known ? ino : 0;
}

/* false: it is not done yet. */
static bool change_do(struct world *w, struct work *work, enum change_outcome *ret)
{
	const struct op *op = &w->op[work->uid];
	uint16_t orphan = orphan_of(w, op);
	struct entry e = {.kind = ENTRY_DO, .uid = work->uid, .ino = op->ino};

	if (op->op == CSV_OP_CREATE) {
		e.ino = w->next_ino;
		if (e.ino == INODES) {
			*ret = fault(work);
			return true;
		}
		w->next_ino++;
		w->coord.opens[op->mount][e.ino]++;
	}
	if (orphan) {
		disk_append(w, &(struct entry){.kind = ENTRY_ORPHAN, .ino = orphan});
		return false;
	}
	disk_append(w, &e);
	w->is_undurable[work->uid] = w->mutant == WORLD_MUTANT_NO_DSYNC && op->op == CSV_OP_WRITE;
	work->reply.err = 0;
	work->reply.ino = e.ino;
	work->reply.pos = w->now.length;
	work->reply.size = w->now.inode[e.ino].size;
	*ret = CHANGE_OK;
	return true;
}

static void put_record(struct world *w, int m, int s, bool is_done)
{
	struct work *work = &w->coord.work[m][s];
	struct entry e = {.kind = is_done ? ENTRY_DONE : ENTRY_INTENT, .mount = m, .slot = s};

	e.record = (struct record){
		.seq = work->seq, .is_done = is_done, .pre = work->exec.pre, .reply = work->reply};
	disk_append(w, &e);
}

static void finish(struct world *w, int m, int s)
{
	w->coord.given[m] = w->coord.work[m][s].exec.life;
	w->coord.work[m][s].exec.is_active = false;
	coord_event(w, &(struct sess_event){.type = SESS_EV_FINISHED,
					    .mount = (uint64_t)(FIRST_ID + m),
					    .slot = (uint16_t)s});
}

static void replay(struct world *w, int m, int s)
{
	struct work *work = &w->coord.work[m][s];
	const struct op *op = &w->op[work->uid];

	work->reply = w->now.record[m][s].reply;
	if (op->op == CSV_OP_CREATE && !work->reply.err && w->mutant != WORLD_MUTANT_REPLAY_NO_OPEN)
		w->coord.opens[m][work->reply.ino]++;
	finish(w, m, s);
}

/* true: the step is over, with that outcome. */
static bool step_over(struct world *w, int m, int s, enum change_outcome *ret)
{
	struct work *work = &w->coord.work[m][s];
	bool has_fault = !w->is_healed && sim_chance(w, w->rate.disk);

	*ret = CHANGE_OK;
	switch (work->exec.step) {
	case CHANGE_LOCK:
		return try_lock(w, work);
	case CHANGE_LOOK:
		*ret = look(w, work);
		return true;
	case CHANGE_INTENT:
		if (has_fault)
			*ret = fault(work);
		else
			put_record(w, m, s, false);
		return true;
	case CHANGE_DO:
		if (has_fault)
			*ret = fault(work);
		return has_fault || change_do(w, work, ret);
	case CHANGE_DONE:
		if (has_fault)
			*ret = CHANGE_ERROR;
		else
			put_record(w, m, s, true);
		return true;
	case CHANGE_UNLOCK:
		unlock(w, work);
		return true;
	case CHANGE_FORCE:
		if (has_fault)
			*ret = CHANGE_ERROR;
		else
			disk_force(w, work->exec.force_to);
		return true;
	default:
		return true;
	}
}

/*
 * Who has asked has been granted what has to be given back first, and does so over a line of its
 * own; or its process is over, which the core must have said.
 */
static bool waits_for_process(const struct world *w, int m, const struct exec *x)
{
	const struct mount *mount = &w->mount[m];

	if (!x->recalls || x->step != CHANGE_LOCK || w->coord.is_told_gone[m] ||
	    w->coord.sess.phase >= SESS_STOPPING)
		return false; /* a stop ends such waits */
	return x->life >= w->coord.over[m] &&
	       (!mount->is_alive || mount->life != x->life || mount->term != w->coord.term);
}

void coord_execute(struct world *w, int m, int s)
{
	struct work *work = &w->coord.work[m][s];
	enum change_step step = work->exec.step;
	enum change_outcome outcome;

	if (waits_for_process(w, m, &work->exec))
		return;
	if (work->exec.kind == SESS_DO_REPLAY) {
		replay(w, m, s);
		return;
	}
	if (step == CHANGE_FINISH) {
		finish(w, m, s);
		return;
	}
	if (!step_over(w, m, s, &outcome))
		return;
	work->exec.step = change_next(work->exec.is_repeated, step, outcome, w->change_mutant);
	if (w->mutant == WORLD_MUTANT_QUERY_NO_FORCE && step == CHANGE_UNLOCK &&
	    csv_op_kind(w->op[work->uid].op) == CSV_QUERY)
		work->exec.step = CHANGE_FINISH;
	TRACE(w, "  m%d slot %d #%u %s: %d, then %s", m, s, work->uid, change_step_name(step),
	      (int)outcome, change_step_name(work->exec.step));
	if (work->exec.step == CHANGE_HALT)
		coord_crash(w);
}

/* ---- mounts that have ended, orphans */

void coord_drop(struct world *w, int m)
{
	if (!w->coord.is_dropping[m])
		return;
	disk_append(w, &(struct entry){.kind = ENTRY_DROP, .mount = m});
	disk_force(w, disk_end(w));
	memset(w->coord.opens[m], 0, sizeof(w->coord.opens[m]));
	w->coord.is_dropping[m] = false;
	coord_event(w, &(struct sess_event){.type = SESS_EV_DROPPED,
					    .mount = (uint64_t)(FIRST_ID + m)});
}

bool coord_reap(struct world *w, uint16_t ino)
{
	const struct coord *c = &w->coord;
	bool may = c->sess.phase == SESS_SERVE ||
		   (w->mutant == WORLD_MUTANT_REAP_EARLY && c->sess.phase >= SESS_RECLAIM);

	if (!c->is_up || !may || c->sess.is_suspended || c->sess.phase >= SESS_STOPPING ||
	    !w->now.inode[ino].is_orphan || c->lock[ino] || is_open(w, ino))
		return false;
	TRACE(w, "  inode %d is reaped", ino);
	for (int m = 0; m < w->mount_count; m++) {
		const struct mount *mount = &w->mount[m];

		if (mount->is_alive && mount->opens[ino] > mount->releasing[ino])
			sim_broke(w, "an orphan is reaped that a living mount has open");
	}
	disk_append(w, &(struct entry){.kind = ENTRY_REAP, .ino = ino});
	return true;
}

/* ---- from mounts, the cluster and the disk */

/* What the core must say, and what it must not. */
static void take_life(struct world *w, const struct conn *c, uint32_t life)
{
	const struct sess_mount *row =
		sess_mount_find(&w->coord.sess, (uint64_t)(FIRST_ID + c->mount));
	uint32_t *told = &w->coord.life[c->mount], before = *told;
	bool is_user = row && (row->conn == c->id || row->pending == c->id);

	w->coord.has_replaced = false;
	if (is_user && life > before)
		*told = life;
	coord_event(w, &(struct sess_event){.type = SESS_EV_LIFE, .conn = c->id, .life = life});
	if (is_user && w->coord.has_replaced != (before && life > before))
		sim_broke(w, before && life > before
				     ? "another process goes on, and that is not said"
				     : "a process is said to go on that has not begun");
	row = sess_mount_find(&w->coord.sess, (uint64_t)(FIRST_ID + c->mount));
	if (life < *told && row && (row->conn == c->id || row->pending == c->id))
		sim_broke(w, "a process that has been replaced is heard");
}

static void check_given(struct world *w, const struct conn *c)
{
	const struct sess_mount *row =
		sess_mount_find(&w->coord.sess, (uint64_t)(FIRST_ID + c->mount));

	if (row && row->conn == c->id && w->coord.given[c->mount] &&
	    w->coord.given[c->mount] < c->life)
		sim_broke(w, "what a process was given that is over counts still");
}

static void take(struct world *w, const struct conn *c, const struct msg *m)
{
	struct sess_event e = {.conn = c->id};
	const struct sess_mount *row;

	switch (m->kind) {
	case MSG_HELLO:
		e.type = SESS_EV_HELLO;
		e.mount = (uint64_t)(FIRST_ID + c->mount);
		e.term = m->term;
		break;
	case MSG_RECLAIM:
		row = sess_mount_find(&w->coord.sess, (uint64_t)(FIRST_ID + c->mount));
		if (row && row->conn == c->id)
			w->coord.opens[c->mount][m->ino] = m->opens;
		return;
	case MSG_LIFE:
		take_life(w, c, m->life);
		return;
	case MSG_RECLAIM_DONE:
		e.type = SESS_EV_RECLAIM_DONE;
		break;
	case MSG_RESEND_DONE:
		e.type = SESS_EV_RESEND_DONE;
		break;
	case MSG_REQUEST:
		check_given(w, c);
		e.type = SESS_EV_REQUEST;
		e.slot = m->slot;
		e.seq = m->seq;
		e.is_resend = m->flag;
		core_step(w, &e, m);
		return;
	default:
		return;
	}
	coord_event(w, &e);
}

void coord_deliver(struct world *w, struct conn *c)
{
	uint64_t id = c->id;
	struct msg m;

	if ((c->is_coord || c->is_stale) && c->up.count) {
		m = c->up.item[0];
		c->up.count--;
		memmove(c->up.item, c->up.item + 1, (size_t)c->up.count * sizeof(m));
		take(w, c, &m);
		return;
	}
	if (c->is_coord && c->is_cut_up)
		conn_coord_close(w, c);
	else if (!c->is_stale)
		return;
	c->is_stale = false;
	coord_event(w, &(struct sess_event){.type = SESS_EV_CONN_LOST, .conn = id});
	conn_tidy(c);
}

static void learn_news(struct world *w)
{
	struct coord *c = &w->coord;
	const struct news *n = &w->news[c->cursor++];
	struct sess_event e = {.mount = (uint64_t)(FIRST_ID + n->mount)};

	if (w->mount[n->mount].is_recovered)
		return;
	e.type = n->is_gone ? SESS_EV_GONE : SESS_EV_MOUNT;
	c->is_told_gone[n->mount] = n->is_gone;
	coord_event(w, &e);
}

static void learn_records(struct world *w)
{
	struct coord *c = &w->coord;

	c->has_loaded = true;
	for (int m = 0; m < w->mount_count; m++) {
		for (int s = 0; s < SLOTS; s++) {
			const struct record *r = &w->now.record[m][s];
			struct sess_event e = {.type = SESS_EV_RECORD,
					       .mount = (uint64_t)(FIRST_ID + m),
					       .slot = (uint16_t)s,
					       .seq = r->seq,
					       .is_done = r->is_done};

			if (r->seq && sess_mount_find(&c->sess, e.mount))
				coord_event(w, &e);
		}
	}
}

bool coord_learn(struct world *w)
{
	struct coord *c = &w->coord;
	bool is_late = w->mutant == WORLD_MUTANT_MOUNT_LATE && c->cursor > c->must_know / 2;

	if (!c->is_up)
		return false;
	if (c->sess.phase != SESS_LOADING && c->cursor == w->news_count)
		return false;
	if (c->sess.phase != SESS_LOADING || (c->cursor < c->must_know && !is_late) ||
	    (c->cursor < w->news_count && sim_chance(w, 300)))
		learn_news(w);
	else if (!c->has_loaded)
		learn_records(w);
	else
		coord_event(w, &(struct sess_event){.type = SESS_EV_LOADED});
	return true;
}

void coord_start(struct world *w)
{
	struct coord *c = &w->coord;

	memset(c, 0, sizeof(*c));
	c->is_up = true;
	c->term = ++w->last_term;
	c->must_know = w->news_count;
	sess_init(&c->sess, c->term);
	c->sess.mutant = (enum sess_mutant)w->sess_mutant;
	TRACE(w, "coordinator of term %" PRIu64, c->term);
}

void coord_crash(struct world *w)
{
	TRACE(w, "the coordinator ends");
	w->coord.is_up = false;
	for (int i = 0; i < CONNS; i++) {
		struct conn *c = &w->conn[i];

		c->is_stale = false;
		if (c->id && c->is_coord)
			conn_coord_close(w, c);
		conn_tidy(c);
	}
	disk_crash(w);
}
