/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator of sim_cache, and what connects it with the mounts. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/sim/sim_cache_world.h"

/* ---- pipes */

struct msg queue_pop(struct queue *q)
{
	struct msg m = q->item[0];

	memmove(q->item, q->item + 1, --q->count * sizeof(m));
	return m;
}

void pipe_cut(struct world *w, struct pipe *p, bool is_line)
{
	struct promise_actions out;

	if (!p->is_up)
		return;
	if (is_line && w->c.is_up)
		promise_step(&w->c.promise,
			     &(struct promise_event){.type = PROMISE_EV_LOST, .conn = p->id}, &out);
	p->is_up = false;
	p->up.count = p->down.count = 0;
}

void mount_cut(struct world *w, struct mount *m)
{
	m->is_ready = false;
	pipe_cut(w, &m->request, false);
	pipe_cut(w, &m->line, true);
}

/* ---- the coordinator */

static void send_actions(struct world *w, const struct promise_actions *out)
{
	for (size_t i = 0; i < out->count; i++) {
		const struct promise_action *a = &out->item[i];
		struct msg m = {.kind = MSG_LINE, .frame.type = CSV_FRAME_BREAK};

		if (a->kind == PROMISE_DO_OVER)
			sim_say(w, "coordinator: mount %" PRIu64 " has not renewed", a->mount);
		if (a->kind != PROMISE_DO_BREAK)
			continue;
		m.frame.broke.handle = a->handle;
		m.frame.broke.serial = a->serial;
		for (int k = 0; k < w->mount_count; k++) {
			if (w->mount[k].line.is_up && w->mount[k].line.id == a->conn)
				queue_push(&w->mount[k].line.down, &m);
		}
		sim_say(w, "coordinator: break %" PRIu64 " inode %" PRIu64, a->serial,
			a->handle.ino);
	}
}

/* True: it was given. */
bool promise_event(struct world *w, const struct promise_event *e)
{
	struct promise_actions out;

	must(!promise_step(&w->c.promise, e, &out));
	send_actions(w, &out);
	return out.count && out.item[out.count - 1].kind == PROMISE_DO_GIVEN;
}

/* Inodes that the request changes, as things are. */
size_t changes(const struct world *w, const struct csv_request *q, int ret[4])
{
	int a, b;

	switch (q->op) {
	case CSV_OP_SETATTR:
		ret[0] = inode_of(&q->setattr.handle);
		return 1;
	case CSV_OP_LINK:
		ret[0] = 0;
		ret[1] = inode_of(&q->link.handle);
		return 2;
	case CSV_OP_UNLINK:
		ret[0] = 0;
		ret[1] = w->child[number_of(&q->unlink.name)];
		return ret[1] ? 2 : 1;
	case CSV_OP_RENAME:
		a = w->child[number_of(&q->rename.name)];
		b = w->child[number_of(&q->rename.new_name)];
		ret[0] = 0;
		ret[1] = a;
		ret[2] = b;
		if (b && b != a)
			return 3;
		return a ? 2 : 1;
	default:
		return 0;
	}
}

static struct csv_attr attr_of(const struct world *w, int inode)
{
	return (struct csv_attr){.ino = handle_of(inode).ino,
				 .mode = inode ? S_IFREG | 0644 : S_IFDIR | 0755,
				 .size = inode ? sizeof(uint64_t) : 0,
				 .mtime.sec = (int64_t)w->version[inode]};
}

static void entry(const struct world *w, struct csv_reply *p, int inode)
{
	p->kind = CSV_REPLY_ENTRY;
	p->entry.handle = handle_of(inode);
	p->entry.attr = attr_of(w, inode);
}

/* Does it; the answer without promises. */
static void apply(struct world *w, const struct csv_request *q, struct csv_reply *p)
{
	int list[4], from, to;
	size_t n = changes(w, q, list);
	int *name;

	*p = (struct csv_reply){.kind = CSV_REPLY_NONE};
	switch (q->op) {
	case CSV_OP_SETATTR:
		w->version[list[0]]++;
		p->kind = CSV_REPLY_ATTR;
		p->attr.attr = attr_of(w, list[0]);
		return;
	case CSV_OP_LINK:
		name = &w->child[number_of(&q->link.new_name)];
		if (*name) {
			p->error = EEXIST;
			return;
		}
		*name = list[1];
		break;
	case CSV_OP_UNLINK:
		if (n < 2) {
			p->error = ENOENT;
			return;
		}
		w->child[number_of(&q->unlink.name)] = 0;
		break;
	default:
		from = number_of(&q->rename.name);
		to = number_of(&q->rename.new_name);
		if (!w->child[from] || from == to) {
			p->error = w->child[from] ? 0 : ENOENT;
			return;
		}
		w->child[to] = w->child[from];
		w->child[from] = 0;
	}
	for (size_t i = 0; i < n; i++)
		w->version[list[i]]++;
	if (q->op == CSV_OP_LINK)
		entry(w, p, list[1]);
}

static bool give(struct world *w, int mount, int inode)
{
	const struct csv_handle h = handle_of(inode);

	return promise_event(w, &(struct promise_event){.type = PROMISE_EV_GIVE,
							.mount = w->mount[mount].incarnation,
							.handle = h,
							.now_ms = coord_ms(w)});
}

static void promise(struct world *w, const struct job *j, struct csv_reply *p)
{
	bool is_name =
		j->q.op == CSV_OP_LOOKUP || j->q.op == CSV_OP_LINK || j->q.op == CSV_OP_UNLINK;

	if (is_name && (!p->error || p->error == ENOENT) && give(w, j->mount, 0))
		p->promised |= CSV_PROMISED_NAME;
	if (p->error)
		return;
	if (p->kind == CSV_REPLY_ENTRY && give(w, j->mount, inode_of(&p->entry.handle)))
		p->promised |= CSV_PROMISED_NODE;
	if (p->kind == CSV_REPLY_ATTR && give(w, j->mount, (int)inode_of(&j->q.getattr.handle)))
		p->promised |= CSV_PROMISED_NODE;
	if (p->kind == CSV_REPLY_BYTES && give(w, j->mount, inode_of(&j->q.read.handle)))
		p->promised |= CSV_PROMISED_NODE;
}

static void reply(struct world *w, struct job *j, const struct csv_reply *p, uint64_t data)
{
	struct pipe *to = &w->mount[j->mount].request;
	struct msg m = {.kind = MSG_REPLY, .slot = j->slot, .seq = j->seq, .p = *p, .data = data};

	w->c.kept[j - w->c.job] = (struct kept){j->seq, *p, data};
	if (to->is_up)
		queue_push(&to->down, &m);
	j->state = JOB_FREE;
}

static void run_query(struct world *w, struct job *j)
{
	struct csv_reply p = {.kind = CSV_REPLY_NONE};
	uint64_t data = 0;
	int inode;

	switch (j->q.op) {
	case CSV_OP_LOOKUP:
		inode = w->child[number_of(&j->q.lookup.name)];
		if (w->c.locked[0] || w->c.locked[inode])
			return;
		if (inode)
			entry(w, &p, inode);
		else
			p.error = ENOENT;
		break;
	case CSV_OP_GETATTR:
		inode = inode_of(&j->q.getattr.handle);
		if (w->c.locked[inode])
			return;
		p.kind = CSV_REPLY_ATTR;
		p.attr.attr = attr_of(w, inode);
		break;
	default:
		inode = inode_of(&j->q.read.handle);
		if (w->c.locked[inode])
			return;
		p.kind = CSV_REPLY_BYTES;
		data = w->version[inode];
	}
	promise(w, j, &p);
	reply(w, j, &p, data);
}

/* Whose promises of it the request's own mount keeps; 0: nobody's. */
static uint64_t exempt(const struct world *w, const struct job *j, const struct csv_handle *h)
{
	struct csv_handle minds[PROMISE_MINDS];
	size_t n = promise_minds(&j->q, minds);

	for (size_t i = 0; i < n; i++) {
		if (csv_handle_equal(&minds[i], h))
			return w->mount[j->mount].incarnation;
	}
	return w->mutant->sim == SIM_MUTANT_ALL_MINE ? w->mount[j->mount].incarnation : 0;
}

static bool is_collected(struct world *w, const struct job *j, const int *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct csv_handle h = handle_of(list[i]);
		uint64_t except = exempt(w, j, &h), over;

		over = promise_over_ms(&w->c.promise, &h, except);
		if (over && over <= coord_ms(w))
			promise_event(w, &(struct promise_event){.type = PROMISE_EV_TIME,
								 .now_ms = coord_ms(w)});
		if (!promise_is_collected(&w->c.promise, &h, except) &&
		    w->mutant->sim != SIM_MUTANT_NO_COLLECT)
			return false;
	}
	return true;
}

static void record_done(struct world *w, const struct job *j, const struct csv_reply *p)
{
	w->record[j->mount][j->slot] =
		(struct record){.incarnation = j->incarnation, .seq = j->seq, .p = *p};
}

static void run_change(struct world *w, struct job *j)
{
	const struct record *r = &w->record[j->mount][j->slot];
	struct csv_reply p;
	int list[4];
	size_t n = changes(w, &j->q, list);

	if (r->incarnation == j->incarnation && r->seq == j->seq) {
		reply(w, j, &r->p, 0);
		return;
	}
	if (j->state == JOB_WAITING) {
		for (size_t i = 0; i < n; i++) {
			if (w->c.locked[list[i]])
				return;
		}
		j->state = JOB_LOCKED;
		for (size_t i = 0; i < n; i++) {
			struct csv_handle h = handle_of(list[i]);

			w->c.locked[list[i]]++;
			promise_event(w, &(struct promise_event){.type = PROMISE_EV_BREAK,
								 .mount = exempt(w, j, &h),
								 .handle = h});
		}
		return;
	}
	if (!is_collected(w, j, list, n))
		return;
	for (size_t i = 0; i < n; i++)
		w->c.locked[list[i]]--;
	apply(w, &j->q, &p);
	record_done(w, j, &p);
	sim_say(w, "coordinator: %s of mount %d.%d is done", csv_op_name(j->q.op), j->mount,
		j->slot);
	promise(w, j, &p);
	reply(w, j, &p, 0);
}

static void take_request(struct world *w, int mount, const struct msg *m)
{
	struct job *j = &w->c.job[mount * SLOTS + m->slot];
	struct kept kept = w->c.kept[j - w->c.job];

	if (j->state != JOB_FREE) {
		must(j->seq == m->seq);
		return; /* sent again: it is under way */
	}
	*j = (struct job){
		.state = JOB_WAITING, .mount = mount, .slot = m->slot, .seq = m->seq, .q = m->q};
	if (kept.seq == m->seq)
		reply(w, j, &kept.p, kept.data);
}

void coord_hears(struct world *w, int mount, struct pipe *p)
{
	struct mount *k = &w->mount[mount];
	struct msg m = queue_pop(&p->up), answer = {.kind = MSG_WELCOME};
	struct promise_event e = {.mount = k->incarnation, .now_ms = coord_ms(w)};

	switch (m.kind) {
	case MSG_HELLO:
		answer.is_known = w->c.is_known[mount];
		if (!answer.is_known) {
			e.type = PROMISE_EV_RESET;
			promise_event(w, &e);
		}
		queue_push(&p->down, &answer);
		return;
	case MSG_READY:
		w->c.is_known[mount] = w->c.is_ready[mount] = true;
		return;
	case MSG_REQUEST:
		take_request(w, mount, &m);
		return;
	case MSG_LINE:
		if (m.frame.type == CSV_FRAME_RENEW) {
			e.type = PROMISE_EV_RENEW;
			answer = (struct msg){.kind = MSG_LINE, .frame.type = CSV_FRAME_RENEWED};
			answer.frame.renewed.sent_ms = m.frame.renew.sent_ms;
			queue_push(&p->down, &answer);
		} else {
			e.type = PROMISE_EV_DONE;
			e.handle = m.frame.broken.handle;
			e.serial = m.frame.broken.serial;
		}
		promise_event(w, &e);
		return;
	default:
		must(false);
	}
}

static void coord_serves(struct world *w)
{
	struct csv_reply p;

	for (int i = 0; i < w->mount_count; i++) {
		if (w->mount[i].is_alive && !w->c.is_ready[i] && w->mutant->sim != SIM_MUTANT_EARLY)
			return;
	}
	w->c.is_serving = true;
	for (size_t i = 0; i < w->c.lost_count; i++) {
		apply(w, &w->c.lost[i].q, &p);
		record_done(w, &w->c.lost[i], &p);
	}
	w->c.lost_count = 0;
	sim_say(w, "coordinator: serves");
}

void coord_start(struct world *w)
{
	w->c.is_up = true;
	w->c.is_serving = false;
	w->c.term++;
	w->c.offset_ms = prng_below(&w->rng, 1000000);
	promise_init(&w->c.promise);
	memset(w->c.kept, 0, sizeof(w->c.kept));
#ifdef CSVFS_MUTANTS
	w->c.promise.mutant = (enum promise_mutant)w->mutant->promise;
#endif
	for (int i = 0; i < MOUNTS; i++)
		w->c.is_known[i] = w->c.is_ready[i] = false;
	sim_say(w, "coordinator: term %" PRIu64, w->c.term);
}

/* What was locked has happened, or not: the disk has its done mark, or its mount asks again. */
void coord_crash(struct world *w)
{
	for (int i = 0; i < MOUNTS * SLOTS; i++) {
		struct job *j = &w->c.job[i];

		if (j->state == JOB_LOCKED && prng_chance(&w->rng, 1, 2))
			w->c.lost[w->c.lost_count++] = *j;
		j->state = JOB_FREE;
	}
	memset(w->c.locked, 0, sizeof(w->c.locked));
	w->c.is_up = false;
	for (int i = 0; i < w->mount_count; i++)
		mount_cut(w, &w->mount[i]);
	sim_say(w, "coordinator: crash");
}

void coord_works(struct world *w)
{
	size_t first = prng_below(&w->rng, MOUNTS * SLOTS);

	if (!w->c.is_serving)
		coord_serves(w);
	for (size_t i = 0; w->c.is_serving && i < MOUNTS * SLOTS; i++) {
		struct job *j = &w->c.job[(first + i) % (MOUNTS * SLOTS)];

		if (j->state == JOB_FREE || !prng_chance(&w->rng, 1, 2))
			continue;
		if (csv_op_kind(j->q.op) == CSV_CHANGE)
			run_change(w, j);
		else
			run_query(w, j);
	}
}
