/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulation of what mounts keep in memory: up to three mounts that look, look up, read, change,
 * link, unlink and rename three files in one directory, with a coordinator that promises
 * (csvfs/core/promise.h) and mounts that keep (csvfs/core/cache.h). Connections break with what is
 * under way, and the two of a mount are not in step; coordinators crash; mounts freeze, die and
 * come again; callers give up; clocks do not go equally fast.
 *
 * Safety, at each step: what a mount answers from memory is how things are (a change is, from when
 * its inodes are unlocked); what the cores say of themselves. Liveness: after the faults end, every
 * request is answered in bounded steps.
 *
 *   sim_cache [--seeds N] [--first SEED] [--seed SEED] [--mutant NAME|all] [--verbose]
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "csvfs/core/cache.h"
#include "csvfs/core/promise.h"
#include "lib/must.h"
#include "lib/prng.h"

#define MOUNTS	   3
#define INODES	   4 /* the first is the directory */
#define NAMES	   3
#define SLOTS	   3
#define QUEUE	   64
#define STEPS_MIN  300
#define STEPS_MAX  3000
#define HEALED_MAX 20000
#define TICK_MS	   40

enum sim_mutant {
	SIM_MUTANT_NONE,
	SIM_MUTANT_NO_COLLECT, /* unlocks before all others have forgotten */
	SIM_MUTANT_ALL_MINE, /* takes it that the mount looks after all that its request changes */
	SIM_MUTANT_EARLY,    /* a new coordinator serves before all mounts have forgotten */
};

static const struct mutant {
	const char *name;
	int promise, cache, sim;
} mutants[] = {
	{.name = "none"},
#define PROMISE(NAME)                                                                              \
	{                                                                                          \
		.name = "promise " #NAME, .promise = PROMISE_MUTANT_##NAME                         \
	}
#define CACHE(NAME)                                                                                \
	{                                                                                          \
		.name = "cache " #NAME, .cache = CACHE_MUTANT_##NAME                               \
	}
#define SIM(NAME)                                                                                  \
	{                                                                                          \
		.name = "coordinator " #NAME, .sim = SIM_MUTANT_##NAME                             \
	}
	PROMISE(ANY_ANSWER), PROMISE(ASKED),	  PROMISE(LOST_IS_END), PROMISE(NEW_LINE),
	CACHE(LATE_ANSWER),  CACHE(ANSWER_FIRST), CACHE(OWN_FLIGHT),	CACHE(OWN_FORGET),
	CACHE(OWN_GIVEN_UP), CACHE(NO_LEASE),	  CACHE(ANSWER_TIME),	CACHE(KEEP_LAPSED),
	CACHE(KEEP_TERM),    CACHE(UNPROMISED),	  SIM(NO_COLLECT),	SIM(ALL_MINE),
	SIM(EARLY),
#undef PROMISE
#undef CACHE
#undef SIM
};

enum msg_kind { MSG_REQUEST, MSG_REPLY, MSG_HELLO, MSG_WELCOME, MSG_READY, MSG_LINE };

struct msg {
	enum msg_kind kind;
	int slot;
	uint64_t seq;
	uint64_t incarnation;
	bool is_known;
	struct csv_request q;
	struct csv_reply p;
	uint64_t data; /* of READ */
	struct csv_frame frame;
};

struct queue {
	size_t count;
	struct msg item[QUEUE];
};

/* One connection: both directions in order, all of it lost when it breaks. */
struct pipe {
	bool is_up;
	uint64_t id;
	struct queue up, down;
};

struct slot {
	bool is_used;
	uint64_t seq;
	struct csv_request q;
	struct cache_note note;
	bool has_owner, is_noted;
};

struct mount {
	bool is_alive, is_frozen;
	uint64_t incarnation;
	double rate;
	uint64_t offset_ms;
	struct cache cache;
	struct pipe request, line;
	uint64_t term; /* of the coordinator that has welcomed it */
	bool is_ready; /* it may send requests */
	uint64_t renew_ms;
	struct slot slot[SLOTS];
	/* ANSWER_FIRST: breaks that are answered already. */
	size_t late_count;
	struct csv_handle late[QUEUE];
};

enum job_state { JOB_FREE, JOB_WAITING, JOB_LOCKED };

struct job {
	enum job_state state;
	int mount, slot;
	uint64_t incarnation;
	uint64_t seq;
	struct csv_request q;
};

/* What the disk has of each slot's last change. */
struct record {
	uint64_t incarnation, seq;
	struct csv_reply p;
};

/* An answer, kept for who asks again over his next connection. */
struct kept {
	uint64_t seq;
	struct csv_reply p;
	uint64_t data;
};

struct coordinator {
	bool is_up, is_serving;
	uint64_t term;
	uint64_t offset_ms;
	bool is_known[MOUNTS], is_ready[MOUNTS];
	struct promise_state promise;
	struct job job[MOUNTS * SLOTS];
	struct kept kept[MOUNTS * SLOTS];
	int locked[INODES];
	/* Has happened when the last one crashed, and is seen when this one serves. */
	size_t lost_count;
	struct job lost[MOUNTS * SLOTS];
};

struct world {
	struct prng rng;
	uint64_t seed, step, ms;
	bool is_verbose, is_healed;
	const char *broken;
	char text[256];
	const struct mutant *mutant;
	int mount_count;
	uint64_t ids;
	struct mount mount[MOUNTS];
	struct coordinator c;
	uint64_t version[INODES];
	int child[NAMES]; /* inode; 0: none */
	struct record record[MOUNTS][SLOTS];
	struct {
		uint64_t cut, crash, kill, freeze, give_up, late, pace;
	} rate;
};

__attribute__((format(printf, 2, 3))) static void say(const struct world *w, const char *f, ...)
{
	va_list ap;

	if (!w->is_verbose)
		return;
	printf("%6" PRIu64 " ", w->step);
	va_start(ap, f);
	vprintf(f, ap);
	va_end(ap);
	printf("\n");
}

__attribute__((format(printf, 2, 3))) static void broke(struct world *w, const char *f, ...)
{
	va_list ap;

	if (w->broken)
		return;
	va_start(ap, f);
	vsnprintf(w->text, sizeof(w->text), f, ap);
	va_end(ap);
	w->broken = w->text;
}

static bool chance(struct world *w, uint64_t per_mille)
{
	return prng_chance(&w->rng, per_mille, 1000);
}

static struct csv_handle handle_of(int inode)
{
	return (struct csv_handle){.ino = inode ? 100 + (uint64_t)inode : 64, .gen = 1};
}

static int inode_of(const struct csv_handle *h)
{
	return h->ino == 64 ? 0 : (int)h->ino - 100;
}

static struct csv_name name_of(int n)
{
	return (struct csv_name){.text = {(char)('a' + n)}};
}

static int number_of(const struct csv_name *n)
{
	return n->text[0] - 'a';
}

static uint64_t mount_ms(const struct world *w, const struct mount *m)
{
	return m->offset_ms + (uint64_t)((double)w->ms * m->rate);
}

static uint64_t coord_ms(const struct world *w)
{
	return w->c.offset_ms + w->ms;
}

/* ---- pipes */

static void push(struct queue *q, const struct msg *m)
{
	must(q->count < QUEUE);
	q->item[q->count++] = *m;
}

static struct msg pop(struct queue *q)
{
	struct msg m = q->item[0];

	memmove(q->item, q->item + 1, --q->count * sizeof(m));
	return m;
}

static void pipe_cut(struct world *w, struct pipe *p, bool is_line)
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

static void mount_cut(struct world *w, struct mount *m)
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
			say(w, "coordinator: mount %" PRIu64 " has not renewed", a->mount);
		if (a->kind != PROMISE_DO_BREAK)
			continue;
		m.frame.broke.handle = a->handle;
		m.frame.broke.serial = a->serial;
		for (int k = 0; k < w->mount_count; k++) {
			if (w->mount[k].line.is_up && w->mount[k].line.id == a->conn)
				push(&w->mount[k].line.down, &m);
		}
		say(w, "coordinator: break %" PRIu64 " inode %" PRIu64, a->serial, a->handle.ino);
	}
}

/* True: it was given. */
static bool promise_event(struct world *w, const struct promise_event *e)
{
	struct promise_actions out;

	must(!promise_step(&w->c.promise, e, &out));
	send_actions(w, &out);
	return out.count && out.item[out.count - 1].kind == PROMISE_DO_GIVEN;
}

/* Inodes that the request changes, as things are. */
static size_t changes(const struct world *w, const struct csv_request *q, int ret[4])
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
		push(&to->down, &m);
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
	say(w, "coordinator: %s of mount %d.%d is done", csv_op_name(j->q.op), j->mount, j->slot);
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

static void coord_hears(struct world *w, int mount, struct pipe *p)
{
	struct mount *k = &w->mount[mount];
	struct msg m = pop(&p->up), answer = {.kind = MSG_WELCOME};
	struct promise_event e = {.mount = k->incarnation, .now_ms = coord_ms(w)};

	switch (m.kind) {
	case MSG_HELLO:
		answer.is_known = w->c.is_known[mount];
		if (!answer.is_known) {
			e.type = PROMISE_EV_RESET;
			promise_event(w, &e);
		}
		push(&p->down, &answer);
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
			push(&p->down, &answer);
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
	say(w, "coordinator: serves");
}

static void coord_start(struct world *w)
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
	say(w, "coordinator: term %" PRIu64, w->c.term);
}

/* What was locked has happened, or not: the disk has its done mark, or its mount asks again. */
static void coord_crash(struct world *w)
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
	say(w, "coordinator: crash");
}

static void coord_works(struct world *w)
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

/* ---- mounts */

static void mount_start(struct world *w, int mount)
{
	struct mount *m = &w->mount[mount];

	memset(m, 0, sizeof(*m));
	m->is_alive = true;
	m->incarnation = ++w->ids;
	m->rate = 0.97 + (double)prng_below(&w->rng, 60) / 1000;
	m->offset_ms = prng_below(&w->rng, 1000000);
	cache_init(&m->cache);
	m->cache.mutant = (enum cache_mutant)w->mutant->cache;
}

/* It and all that it had. Its node has been seen to be down. */
static void mount_kill(struct world *w, int mount)
{
	struct mount *m = &w->mount[mount];

	mount_cut(w, m);
	if (w->c.is_up)
		promise_event(w, &(struct promise_event){.type = PROMISE_EV_GONE,
							 .mount = m->incarnation});
	/* What was locked ends as it is; nobody is told. */
	for (int i = 0; i < SLOTS; i++) {
		struct job *j = &w->c.job[mount * SLOTS + i];

		if (j->state == JOB_LOCKED) {
			int list[4];
			size_t n = changes(w, &j->q, list);

			for (size_t k = 0; k < n; k++)
				w->c.locked[list[k]]--;
		}
		j->state = JOB_FREE;
		w->c.kept[mount * SLOTS + i].seq = 0;
	}
	w->c.is_known[mount] = w->c.is_ready[mount] = false;
	m->is_alive = false;
	say(w, "mount %d: dead", mount);
}

static void random_request(struct world *w, struct csv_request *q)
{
	int file = (int)prng_range(&w->rng, 1, INODES - 1);
	struct csv_name name = name_of((int)prng_below(&w->rng, NAMES));
	static const struct csv_handle none;

	*q = (struct csv_request){0};
	switch (prng_below(&w->rng, 12)) {
	case 0:
		q->op = CSV_OP_SETATTR;
		q->setattr.handle = handle_of((int)prng_below(&w->rng, INODES));
		break;
	case 1:
		q->op = CSV_OP_LINK;
		q->link.handle = handle_of(file);
		q->link.new_parent = handle_of(0);
		q->link.new_name = name;
		break;
	case 2:
		q->op = CSV_OP_UNLINK;
		q->unlink.parent = handle_of(0);
		q->unlink.name = name;
		break;
	case 3:
		q->op = CSV_OP_RENAME;
		q->rename.parent = q->rename.new_parent = handle_of(0);
		q->rename.name = name;
		q->rename.new_name = name_of((int)prng_below(&w->rng, NAMES));
		break;
	case 4:
	case 5:
	case 6:
		q->op = CSV_OP_LOOKUP;
		q->lookup.parent = handle_of(0);
		q->lookup.name = name;
		break;
	case 7:
	case 8:
		q->op = CSV_OP_READ;
		q->read.handle = handle_of(file);
		q->read.size = CACHE_PAGE;
		break;
	default:
		q->op = CSV_OP_GETATTR;
		q->getattr.handle = handle_of((int)prng_below(&w->rng, INODES));
	}
	q->child[0] = q->child[1] = none;
}

static bool can_send(const struct mount *m)
{
	return m->is_ready && m->request.is_up && m->request.up.count < QUEUE / 4;
}

static void send_slot(struct mount *m, int slot)
{
	struct msg q = {
		.kind = MSG_REQUEST, .slot = slot, .seq = m->slot[slot].seq, .q = m->slot[slot].q};

	push(&m->request.up, &q);
}

/* What it answers by itself must be how things are. */
static void look(struct world *w, int mount)
{
	struct mount *m = &w->mount[mount];
	uint64_t now = mount_ms(w, m), data = 0;
	int inode = (int)prng_below(&w->rng, INODES), n = (int)prng_below(&w->rng, NAMES);
	struct csv_handle h = handle_of(inode), child, dir = handle_of(0);
	struct csv_name name = name_of(n);
	struct csv_attr a;
	int64_t atime;
	size_t len;

	if (cache_attr(&m->cache, &h, now, &a) && a.mtime.sec != (int64_t)w->version[inode])
		broke(w, "mount %d tells of version %" PRId64 " of inode %d, it is %" PRIu64, mount,
		      a.mtime.sec, inode, w->version[inode]);
	if (cache_lookup(&m->cache, &dir, name.text, now, &child, &a)) {
		int is = child.ino ? inode_of(&child) : 0;

		if (is != w->child[n])
			broke(w, "mount %d finds inode %d under %s, it is %d", mount, is, name.text,
			      w->child[n]);
		if (is && a.mtime.sec != (int64_t)w->version[is])
			broke(w, "mount %d finds version %" PRId64 " of inode %d", mount,
			      a.mtime.sec, is);
	}
	if (inode && cache_read(&m->cache, &h, 0, sizeof(data), now, &data, &len, &atime) &&
	    data != w->version[inode])
		broke(w, "mount %d reads version %" PRIu64 " of inode %d, it is %" PRIu64, mount,
		      data, inode, w->version[inode]);
}

static void mount_asks(struct world *w, int mount)
{
	struct mount *m = &w->mount[mount];
	int slot = (int)prng_below(&w->rng, SLOTS);
	struct slot *s = &m->slot[slot];

	look(w, mount);
	if (s->is_used) {
		if (s->has_owner && !w->is_healed && chance(w, w->rate.give_up)) {
			s->has_owner = false;
			if (m->cache.mutant == CACHE_MUTANT_OWN_GIVEN_UP && s->is_noted) {
				cache_answered(&m->cache, &s->note);
				s->is_noted = false;
			}
		}
		return;
	}
	if (w->is_healed || !can_send(m))
		return;
	random_request(w, &s->q);
	s->is_used = s->has_owner = s->is_noted = true;
	s->seq++;
	cache_ask(&m->cache, &s->q, &s->note);
	send_slot(m, slot);
	say(w, "mount %d.%d: %s", mount, slot, csv_op_name(s->q.op));
}

static void on_reply(struct world *w, struct mount *m, struct msg *r)
{
	struct slot *s = &m->slot[r->slot];

	if (!s->is_used || s->seq != r->seq)
		return;
	if (s->is_noted)
		cache_answered(&m->cache, &s->note);
	if (r->p.kind == CSV_REPLY_BYTES)
		r->p.bytes.data = (struct csv_bytes){(const uint8_t *)&r->data, sizeof(r->data)};
	if (s->has_owner)
		cache_keep(&m->cache, &s->q, &r->p, &s->note, mount_ms(w, m));
	s->is_used = false;
}

static void on_line(struct world *w, struct mount *m, const struct msg *f)
{
	struct msg answer = {.kind = MSG_LINE, .frame.type = CSV_FRAME_BROKEN};

	if (f->frame.type == CSV_FRAME_RENEWED) {
		cache_renewed(&m->cache, f->frame.renewed.sent_ms, mount_ms(w, m));
		return;
	}
	if (m->cache.mutant == CACHE_MUTANT_ANSWER_FIRST && m->late_count < QUEUE)
		m->late[m->late_count++] = f->frame.broke.handle;
	else
		cache_break(&m->cache, &f->frame.broke.handle);
	answer.frame.broken.handle = f->frame.broke.handle;
	answer.frame.broken.serial = f->frame.broke.serial;
	push(&m->line.up, &answer);
}

static void on_welcome(struct world *w, int mount, const struct msg *f)
{
	struct mount *m = &w->mount[mount];
	struct msg ready = {.kind = MSG_READY};

	if (!f->is_known || m->term != w->c.term)
		cache_forget(&m->cache);
	m->term = w->c.term;
	push(&m->request.up, &ready);
	m->is_ready = true;
	for (int i = 0; i < SLOTS; i++) {
		if (m->slot[i].is_used)
			send_slot(m, i);
	}
}

static void mount_hears(struct world *w, int mount, struct pipe *p)
{
	struct mount *m = &w->mount[mount];
	struct msg f = pop(&p->down);

	if (f.kind == MSG_WELCOME)
		on_welcome(w, mount, &f);
	else if (f.kind == MSG_REPLY)
		on_reply(w, m, &f);
	else
		on_line(w, m, &f);
}

static void mount_connects(struct world *w, int mount)
{
	struct mount *m = &w->mount[mount];
	struct msg hello = {.kind = MSG_HELLO};

	if (!w->c.is_up)
		return;
	if (!m->request.is_up) {
		m->request = (struct pipe){.is_up = true, .id = ++w->ids};
		push(&m->request.up, &hello);
		return;
	}
	if (m->line.is_up || !m->is_ready || !w->c.is_known[mount] || m->term != w->c.term)
		return;
	m->line = (struct pipe){.is_up = true, .id = ++w->ids};
	promise_event(w, &(struct promise_event){.type = PROMISE_EV_CHANNEL,
						 .mount = m->incarnation,
						 .conn = m->line.id});
}

static void mount_renews(struct world *w, struct mount *m)
{
	struct msg f = {.kind = MSG_LINE, .frame.type = CSV_FRAME_RENEW};
	uint64_t now = mount_ms(w, m);

	if (!m->line.is_up || now < m->renew_ms || m->line.up.count > QUEUE / 2)
		return;
	m->renew_ms = now + CACHE_RENEW_MS;
	f.frame.renew.sent_ms = now;
	push(&m->line.up, &f);
}

static void mount_works(struct world *w, int mount)
{
	struct mount *m = &w->mount[mount];

	if (!m->is_alive || m->is_frozen)
		return;
	mount_connects(w, mount);
	mount_renews(w, m);
	if (m->late_count && prng_chance(&w->rng, 1, 3))
		cache_break(&m->cache, &m->late[--m->late_count]);
	for (int i = 0; i < 4 && !w->broken; i++)
		mount_asks(w, mount);
}

/* ---- the world */

static void deliver(struct world *w)
{
	for (int i = 0; i < w->mount_count; i++) {
		struct mount *m = &w->mount[i];
		struct pipe *both[] = {&m->request, &m->line};

		for (size_t k = 0; k < 2; k++) {
			struct pipe *p = both[k];

			if (p->is_up && p->up.count && prng_chance(&w->rng, w->rate.pace, 100))
				coord_hears(w, i, p);
			if (p->is_up && p->down.count && !m->is_frozen &&
			    prng_chance(&w->rng, w->rate.pace, 100))
				mount_hears(w, i, p);
		}
	}
}

static void faults(struct world *w)
{
	int k = (int)prng_below(&w->rng, (uint64_t)w->mount_count);
	struct mount *m = &w->mount[k];

	/* With a break under way, above all. */
	if (chance(w, m->line.down.count || m->line.up.count ? w->rate.cut * 8 : w->rate.cut))
		pipe_cut(w, &m->line, true);
	if (chance(w, w->rate.cut)) {
		m->is_ready = false;
		pipe_cut(w, &m->request, false);
	}
	if (w->c.is_up && chance(w, w->rate.crash))
		coord_crash(w);
	else if (!w->c.is_up && chance(w, 100))
		coord_start(w);
	if (m->is_alive && chance(w, w->rate.kill))
		mount_kill(w, k);
	else if (!m->is_alive && chance(w, 50))
		mount_start(w, k);
	if (chance(w, w->rate.freeze))
		m->is_frozen = !m->is_frozen;
	if (chance(w, w->rate.late))
		w->ms += prng_below(&w->rng, 2000);
}

static void heal(struct world *w)
{
	w->is_healed = true;
	for (int i = 0; i < w->mount_count; i++) {
		w->mount[i].is_frozen = false;
		if (!w->mount[i].is_alive)
			mount_start(w, i);
	}
	if (!w->c.is_up)
		coord_start(w);
	say(w, "healed");
}

static const char *unfinished(const struct world *w)
{
	for (int i = 0; i < w->mount_count; i++) {
		for (int s = 0; s < SLOTS; s++) {
			if (w->mount[i].slot[s].is_used)
				return "a request is not answered";
		}
	}
	return NULL;
}

static void check(struct world *w)
{
	const char *wrong = w->c.is_up ? promise_check(&w->c.promise) : NULL;

	for (int i = 0; i < w->mount_count && !wrong; i++) {
		if (w->mount[i].is_alive)
			wrong = cache_check(&w->mount[i].cache);
	}
	if (wrong)
		broke(w, "%s", wrong);
}

static void world_init(struct world *w, uint64_t seed, const struct mutant *mutant, bool is_verbose)
{
	memset(w, 0, sizeof(*w));
	prng_init(&w->rng, seed);
	w->seed = seed;
	w->is_verbose = is_verbose;
	w->mutant = mutant;
	w->ids = 1;
	w->mount_count = (int)prng_range(&w->rng, 1, MOUNTS);
	w->rate.cut = prng_below(&w->rng, 12);
	w->rate.crash = prng_below(&w->rng, 4);
	w->rate.kill = prng_below(&w->rng, 4);
	w->rate.freeze = prng_below(&w->rng, 20);
	w->rate.give_up = prng_below(&w->rng, 200);
	w->rate.late = prng_below(&w->rng, 20);
	w->rate.pace = prng_range(&w->rng, 10, 100);
	for (int i = 0; i < INODES; i++)
		w->version[i] = 1;
	for (int i = 0; i < w->mount_count; i++)
		mount_start(w, i);
	coord_start(w);
}

/* NULL, or what was broken. */
static const char *run_seed(uint64_t seed, const struct mutant *mutant, bool is_verbose)
{
	static struct world world;
	struct world *w = &world;
	const char *open = "";
	uint64_t healed;

	world_init(w, seed, mutant, is_verbose);
	healed = prng_range(&w->rng, STEPS_MIN, STEPS_MAX);
	while (!w->broken && open) {
		w->step++;
		w->ms += prng_below(&w->rng, TICK_MS);
		if (w->step == healed)
			heal(w);
		if (!w->is_healed)
			faults(w);
		deliver(w);
		if (w->c.is_up)
			coord_works(w);
		for (int i = 0; i < w->mount_count; i++)
			mount_works(w, i);
		check(w);
		open = w->is_healed ? unfinished(w) : "";
		if (w->is_healed && open && w->step > healed + HEALED_MAX)
			broke(w, "%s", open);
	}
	return w->broken;
}

/* ---- command line */

struct options {
	uint64_t seeds;
	uint64_t first;
	const char *mutant;
	bool is_verbose;
};

static int usage(void)
{
	fprintf(stderr, "usage: sim_cache [--seeds N] [--first SEED] [--seed SEED] "
			"[--mutant NAME|all] [--verbose]\n");
	return 2;
}

static int options_read(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"seeds", required_argument, NULL, 's'}, {"first", required_argument, NULL, 'f'},
		{"seed", required_argument, NULL, 'o'},	 {"mutant", required_argument, NULL, 'm'},
		{"verbose", no_argument, NULL, 'v'},	 {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			o->seeds = strtoull(optarg, NULL, 10);
		else if (c == 'f' || c == 'o')
			o->first = strtoull(optarg, NULL, 10);
		else if (c == 'm')
			o->mutant = optarg;
		else if (c == 'v')
			o->is_verbose = true;
		else
			return -EINVAL;
		if (c == 'o')
			o->seeds = 1;
	}
	return optind < argc ? -EINVAL : 0;
}

static bool mutant_found(const struct options *o, const struct mutant *mutant)
{
	for (uint64_t i = 0; i < o->seeds; i++) {
		const char *broken = run_seed(o->first + i, mutant, o->is_verbose);

		if (broken) {
			printf("mutant %s found by seed %" PRIu64 ": %s\n", mutant->name,
			       o->first + i, broken);
			return true;
		}
	}
	printf("mutant %s NOT found in %" PRIu64 " seeds\n", mutant->name, o->seeds);
	return false;
}

int main(int argc, char **argv)
{
	struct options o = {.seeds = 1000, .first = 1};
	uint64_t passed = 0, failed = 0;
	bool is_known = false;

	if (options_read(argc, argv, &o))
		return usage();
	for (size_t m = 1; o.mutant && m < MUST_ARRAY_SIZE(mutants); m++) {
		bool is_found;

		if (strcmp(o.mutant, "all") != 0 && strcmp(o.mutant, mutants[m].name) != 0)
			continue;
		is_known = true;
		is_found = mutant_found(&o, &mutants[m]);
		passed += is_found;
		failed += !is_found;
	}
	if (o.mutant && !is_known)
		return usage();
	for (uint64_t i = 0; !o.mutant && i < o.seeds; i++) {
		const char *broken = run_seed(o.first + i, &mutants[0], o.is_verbose);

		if (broken)
			printf("seed %" PRIu64 ": %s (sim_cache --seed %" PRIu64 " --verbose)\n",
			       o.first + i, broken, o.first + i);
		passed += !broken;
		failed += broken != NULL;
	}
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
	return failed ? 1 : 0;
}
