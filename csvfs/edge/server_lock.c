/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File locks: csvfs/core/filelock.h with a lock, and what sessions and lines mean for it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "csvfs/core/filelock.h"
#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/server_impl.h"
#include "lib/must.h"

struct server_locks {
	pthread_mutex_t lock; /* after the server's */
	struct filelock_state state;
	struct filelock_actions actions;
};

void server_locks_open(struct server *s)
{
	s->locks = calloc(1, sizeof(*s->locks));
	must(s->locks);
	pthread_mutex_init(&s->locks->lock, NULL);
	filelock_init(&s->locks->state);
}

void server_locks_close(struct server *s)
{
	if (!s->locks)
		return;
	pthread_mutex_destroy(&s->locks->lock);
	free(s->locks);
}

static void tell(struct server *s, const struct filelock_action *a)
{
	const struct csv_frame f = {.type = CSV_FRAME_LOCK_GRANTED,
				    .lock_granted = {a->handle, a->number}};

	server_send_frame(s, a->conn, &f);
}

/* With the server's lock held. */
static int event(struct server *s, const struct filelock_event *e)
{
	struct server_locks *l = s->locks;
	int r;

	pthread_mutex_lock(&l->lock);
	r = filelock_step(&l->state, e, &l->actions);
	for (size_t i = 0; i < l->actions.count; i++)
		tell(s, &l->actions.item[i]);
	pthread_mutex_unlock(&l->lock);
	return r;
}

void server_locks_action(struct server *s, const struct sess_action *a)
{
	struct filelock_event e = {.mount = a->mount};

	if (a->kind == SESS_DO_WELCOME && !a->is_known)
		e.type = FILELOCK_EV_RESET;
	else if (a->kind == SESS_DO_REPLACED)
		e.type = FILELOCK_EV_REPLACED;
	else if (a->kind == SESS_DO_RESENDS)
		e.type = FILELOCK_EV_OPEN;
	else if (a->kind == SESS_DO_DROP) /* nothing of it executes any more */
		e.type = FILELOCK_EV_GONE;
	else
		return;
	event(s, &e);
}

void server_locks_channel(struct conn *c)
{
	event(c->server, &(struct filelock_event){
				 .type = FILELOCK_EV_CHANNEL, .mount = c->channel, .conn = c->id});
}

void server_locks_lost(struct conn *c)
{
	if (c->channel)
		event(c->server, &(struct filelock_event){.type = FILELOCK_EV_LOST, .conn = c->id});
}

/* ---- reclaim */

/* Two have the same: one of them is wrong, and nobody can say which. */
static void say_conflict(struct server *s, const struct lock_range *l)
{
	const struct lock_range *other;

	pthread_mutex_lock(&s->locks->lock);
	other = filelock_against(&s->locks->state, l);
	if (other)
		csv_log(LOG_ERR,
			"mount %016llx says that it has locked bytes %llu to %llu of inode %llu, "
			"which mount %016llx has locked -> its connection is dropped; unmount one "
			"of the two",
			(unsigned long long)l->owner.mount, (unsigned long long)l->start,
			(unsigned long long)l->end, (unsigned long long)l->handle.ino,
			(unsigned long long)other->owner.mount);
	pthread_mutex_unlock(&s->locks->lock);
}

/* As one who is reclaiming; NULL: it is not. */
static const struct sess_mount *reclaimer(const struct conn *c)
{
	const struct server *s = c->server;

	for (size_t i = 0; i < SESS_MOUNTS; i++) {
		const struct sess_mount *m = &s->sess.mount[i];

		if (m->id && m->conn == c->id)
			return m->is_reclaimed ? NULL : m;
	}
	return NULL;
}

static int reclaim(struct conn *c, struct filelock_event *e)
{
	const struct sess_mount *m = reclaimer(c);
	int r;

	if (!m)
		return -EPROTO;
	e->range.owner.mount = m->id;
	r = event(c->server, e);
	if (r == -EPROTO)
		say_conflict(c->server, &e->range);
	if (r == -ENOSPC)
		server_fail(c->server, "there are more file locks than it can count");
	return r ? -EPROTO : 0;
}

int server_locks_reclaim(struct conn *c, const struct csv_frame_reclaim_lock *f)
{
	struct filelock_event e = {.type = FILELOCK_EV_RECLAIM,
				   .range = {.handle = f->handle,
					     .owner = {.id = f->owner, .kind = f->kind},
					     .start = f->start,
					     .end = f->end,
					     .pid = f->pid,
					     .type = f->type}};

	return reclaim(c, &e);
}

int server_locks_reclaim_wait(struct conn *c, const struct csv_frame_reclaim_wait *f)
{
	struct filelock_event e = {.type = FILELOCK_EV_RECLAIM_WAIT,
				   .number = f->number,
				   .range = {.handle = f->handle,
					     .owner = {.id = f->owner, .kind = f->kind},
					     .start = f->start,
					     .end = f->end,
					     .pid = f->pid,
					     .type = f->type}};

	return reclaim(c, &e);
}

/* ---- requests; with nothing locked */

static void fill(uint64_t mount, const struct csv_request *q, struct filelock_event *e)
{
	struct lock_range *l = &e->range;

	*e = (struct filelock_event){.mount = mount, .range.owner.mount = mount};
	if (q->op == CSV_OP_LOCK) {
		e->type = FILELOCK_EV_LOCK;
		e->number = q->lock.number;
		l->handle = q->lock.handle;
		l->owner.id = q->lock.owner;
		l->owner.kind = q->lock.kind;
		l->type = q->lock.type;
		l->start = q->lock.start;
		l->end = q->lock.end;
		l->pid = q->lock.pid;
	} else if (q->op == CSV_OP_UNLOCK) {
		e->type = FILELOCK_EV_UNLOCK;
		l->handle = q->unlock.handle;
		l->owner.id = q->unlock.owner;
		l->owner.kind = q->unlock.kind;
		l->type = q->unlock.type;
		l->start = q->unlock.start;
		l->end = q->unlock.end;
	} else {
		e->type = FILELOCK_EV_CANCEL;
		e->number = q->cancel_lock.number;
		l->handle = q->cancel_lock.handle;
	}
}

static void look(struct server *s, uint64_t mount, const struct csv_op_getlock *q,
		 struct csv_reply *ret)
{
	const struct lock_range l = {.handle = q->handle,
				     .owner = {.mount = mount, .id = q->owner},
				     .start = q->start,
				     .end = q->end,
				     .type = q->type};
	const struct lock_range *found;

	pthread_mutex_lock(&s->locks->lock);
	found = filelock_first_against(&s->locks->state, &l);
	*ret = (struct csv_reply){.kind = CSV_REPLY_LOCK};
	if (found)
		ret->lock = (struct csv_reply_lock){found->type, found->start, found->end,
						    found->pid, found->owner.mount};
	pthread_mutex_unlock(&s->locks->lock);
}

bool server_locks_execute(struct server *s, uint64_t mount, const struct csv_request *q,
			  struct csv_reply *ret)
{
	struct server_locks *l = s->locks;
	struct filelock_action *told = NULL;
	struct filelock_event e;
	size_t count;
	int r;

	if (q->op == CSV_OP_GETLOCK) {
		look(s, mount, &q->getlock, ret);
		return true;
	}
	if (q->op != CSV_OP_LOCK && q->op != CSV_OP_UNLOCK && q->op != CSV_OP_CANCEL_LOCK)
		return false;
	fill(mount, q, &e);
	pthread_mutex_lock(&l->lock);
	r = filelock_step(&l->state, &e, &l->actions);
	count = l->actions.count;
	if (count) {
		told = calloc(count, sizeof(*told));
		must(told);
		memcpy(told, l->actions.item, count * sizeof(*told));
	}
	pthread_mutex_unlock(&l->lock);
	failpoint(FAIL_LOCK_STEP, q->op, mount);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < count; i++)
		tell(s, &told[i]);
	pthread_mutex_unlock(&s->lock);
	failpoint(FAIL_LOCK_TOLD, q->op, mount);
	free(told);
	*ret = (struct csv_reply){.kind = r < 0 ? CSV_REPLY_NONE : csv_op_reply(q->op)};
	if (r < 0)
		ret->error = (uint16_t)-r;
	else if (q->op == CSV_OP_LOCK)
		ret->count.count = r == FILELOCK_QUEUED;
	return true;
}
