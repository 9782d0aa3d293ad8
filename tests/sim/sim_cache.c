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
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/sim_cache_world.h"
#include "tests/sim/sim_main.h"

static const struct mutant mutants[] = {
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

void sim_say(const struct world *w, const char *f, ...)
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

void sim_broke(struct world *w, const char *f, ...)
{
	va_list ap;

	if (w->broken)
		return;
	va_start(ap, f);
	vsnprintf(w->text, sizeof(w->text), f, ap);
	va_end(ap);
	w->broken = w->text;
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
	sim_say(w, "mount %d: dead", mount);
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

	queue_push(&m->request.up, &q);
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
		sim_broke(w, "mount %d tells of version %" PRId64 " of inode %d, it is %" PRIu64,
			  mount, a.mtime.sec, inode, w->version[inode]);
	if (cache_lookup(&m->cache, &dir, name.text, now, &child, &a)) {
		int is = child.ino ? inode_of(&child) : 0;

		if (is != w->child[n])
			sim_broke(w, "mount %d finds inode %d under %s, it is %d", mount, is,
				  name.text, w->child[n]);
		if (is && a.mtime.sec != (int64_t)w->version[is])
			sim_broke(w, "mount %d finds version %" PRId64 " of inode %d", mount,
				  a.mtime.sec, is);
	}
	if (inode && cache_read(&m->cache, &h, 0, sizeof(data), now, &data, &len, &atime) &&
	    data != w->version[inode])
		sim_broke(w, "mount %d reads version %" PRIu64 " of inode %d, it is %" PRIu64,
			  mount, data, inode, w->version[inode]);
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
	sim_say(w, "mount %d.%d: %s", mount, slot, csv_op_name(s->q.op));
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
	queue_push(&m->line.up, &answer);
}

static void on_welcome(struct world *w, int mount, const struct msg *f)
{
	struct mount *m = &w->mount[mount];
	struct msg ready = {.kind = MSG_READY};

	if (!f->is_known || m->term != w->c.term)
		cache_forget(&m->cache);
	m->term = w->c.term;
	queue_push(&m->request.up, &ready);
	m->is_ready = true;
	for (int i = 0; i < SLOTS; i++) {
		if (m->slot[i].is_used)
			send_slot(m, i);
	}
}

static void mount_hears(struct world *w, int mount, struct pipe *p)
{
	struct mount *m = &w->mount[mount];
	struct msg f = queue_pop(&p->down);

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
		queue_push(&m->request.up, &hello);
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
	queue_push(&m->line.up, &f);
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

			if (p->is_up && p->up.count && w->ms >= p->up_ms &&
			    prng_chance(&w->rng, w->rate.pace, 100))
				coord_hears(w, i, p);
			if (p->is_up && p->down.count && !m->is_frozen && w->ms >= p->down_ms &&
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
	if (chance(w, w->rate.stall))
		m->line.up_ms = w->ms + prng_below(&w->rng, 4000);
	if (chance(w, w->rate.stall))
		m->request.down_ms = w->ms + prng_below(&w->rng, 4000);
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
	sim_say(w, "healed");
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
		sim_broke(w, "%s", wrong);
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
	w->rate.stall = prng_below(&w->rng, 30);
	w->rate.pace = prng_range(&w->rng, 10, 100);
	for (int i = 0; i < INODES; i++)
		w->version[i] = 1;
	for (int i = 0; i < w->mount_count; i++)
		mount_start(w, i);
	coord_start(w);
}

/* NULL, or what was broken. */
static const char *run_seed(uint64_t seed, size_t mutant, bool is_verbose)
{
	static struct world world;
	struct world *w = &world;
	const char *open = "";
	uint64_t healed;

	world_init(w, seed, &mutants[mutant], is_verbose);
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
			sim_broke(w, "%s", open);
	}
	return w->broken;
}

static const char *mutant_name(size_t mutant)
{
	return mutants[mutant].name;
}

int main(int argc, char **argv)
{
	static const struct sim_program p = {.name = "sim_cache",
					     .mutants = MUST_ARRAY_SIZE(mutants),
					     .mutant_name = mutant_name,
					     .run_seed = run_seed};

	return sim_main(argc, argv, &p);
}
