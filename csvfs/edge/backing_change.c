/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One change: carries out the steps of csvfs/core/change.h.
 *
 * When it is repeated, its intent was on disk without its done mark. Its inodes were locked until
 * the done mark was in the log, so nothing that followed on them is on disk, except data written in
 * place by a WRITE that nobody was told of. What is there is then the state before the operation
 * (it is done now) or the one after it (the answer is what is there):
 *
 *   MKNOD MKDIR     the name is free          -> before; else it is the new inode
 *   SYMLINK CREATE
 *   LINK            the name is free          -> before; else it is the inode's new name
 *   UNLINK RMDIR    the name is inode `a`     -> before; else it is gone. The orphan's link, made
 *                                                before it, may be there already
 *   RENAME          the source is inode `a`   -> before; else it has moved. Two names of one inode
 *                                                (which rename(2) leaves alone) look like before,
 *                                                and it does nothing again
 *   RENAME EXCHANGE the source is inode `a`   -> before; else they are exchanged
 *   SETATTR         always done again: same owner, mode, size, times (NOW: that of the repetition)
 *   WRITE           always done again, at the same place: an append at `size`; behind it,
 *                   with the zeros between
 *   SETXATTR        with XATTR_CREATE: absent -> before; else it has been set. Without: always done
 *                   again, and without XATTR_REPLACE: the old value may have gone first
 *   REMOVEXATTR     present                   -> before; else it is gone
 *   FALLOCATE       collapse, insert: file has `size` -> before; else it has happened. There is
 *                   nothing between, see backing_undo.c. The others are always done again
 *   COPY_RANGE      always done again: what it copies from was locked, too. Zeros as with WRITE
 *
 * CREATE of a file that exists has no intent: it goes from LOOK to DONE at once, as one that has
 * happened. An error of the operation itself is a result like any other, with its done mark.
 */
#include <errno.h>
#include <string.h>

#include "csvfs/edge/backing_impl.h"
#include "lib/must.h"

struct verb {
	int (*look)(struct backing_op *o);
	int (*perform)(struct backing_op *o);
};

static const struct verb verbs[CSV_OP_END] = {
	[CSV_OP_SETATTR] = {backing_setattr_look, backing_setattr_do},
	[CSV_OP_MKNOD] = {backing_make_look, backing_make_do},
	[CSV_OP_MKDIR] = {backing_make_look, backing_make_do},
	[CSV_OP_SYMLINK] = {backing_make_look, backing_make_do},
	[CSV_OP_CREATE] = {backing_make_look, backing_make_do},
	[CSV_OP_UNLINK] = {backing_unlink_look, backing_unlink_do},
	[CSV_OP_RMDIR] = {backing_unlink_look, backing_unlink_do},
	[CSV_OP_RENAME] = {backing_rename_look, backing_rename_do},
	[CSV_OP_LINK] = {backing_link_look, backing_link_do},
	[CSV_OP_WRITE] = {backing_write_look, backing_write_do},
	[CSV_OP_SETXATTR] = {backing_setxattr_look, backing_setxattr_do},
	[CSV_OP_REMOVEXATTR] = {backing_removexattr_look, backing_removexattr_do},
	[CSV_OP_FALLOCATE] = {backing_fallocate_look, backing_fallocate_do},
	[CSV_OP_COPY_RANGE] = {backing_copy_range_look, backing_copy_range_do},
};

/* The record of this very request, or -errno. */
static int load(struct backing_op *o)
{
	int r = backing_record_load(o->slot_fd, &o->record);

	if (r)
		return r;
	/* The mount has sent something else under the number of the request that was under way. */
	return o->record.seq == o->q->seq && o->record.op == o->q->op ? 0 : -EPROTO;
}

static void fail(struct backing_op *o, int error)
{
	o->reply->error = (uint16_t)-error;
	o->reply->kind = CSV_REPLY_NONE;
}

static enum change_outcome step_lock(struct backing_op *o)
{
	o->slot_fd = backing_slot(o->b, o->mount, o->q->slot);
	if (o->slot_fd < 0)
		o->error = o->slot_fd;
	else if (o->is_redo)
		o->error = load(o);
	backing_op_lock(o);
	return CHANGE_OK;
}

static enum change_outcome step_look(struct backing_op *o)
{
	int r = o->error ? o->error : verbs[o->q->op].look(o);

	if (r < 0)
		fail(o, r);
	else
		backing_break(o); /* and goes on meanwhile: nobody else sees what is locked */
	return r < 0 ? CHANGE_ERROR : r == BACKING_HAPPENED ? CHANGE_AFTER : CHANGE_OK;
}

static enum change_outcome step_intent(struct backing_op *o)
{
	int r;

	o->record.is_done = false;
	o->record.seq = o->q->seq;
	o->record.op = o->q->op;
	r = backing_record_store(o->slot_fd, &o->record);
	if (r)
		fail(o, r);
	return r ? CHANGE_ERROR : CHANGE_OK;
}

static enum change_outcome step_do(struct backing_op *o)
{
	int r = verbs[o->q->op].perform(o);

	if (r)
		fail(o, r);
	return r ? CHANGE_ERROR : CHANGE_OK;
}

/* The open of a CREATE counts before anybody else can get at the file. */
static void count_created(struct backing_op *o)
{
	if (o->q->op != CSV_OP_CREATE || o->reply->error)
		return;
	if (!o->made)
		o->made = backing_row_get(o->b, &o->reply->entry.handle);
	backing_opens_count(o->b, o->made, o->mount, 1);
}

/* Several that write in place may do this at once. */
static void note_change(struct backing_row *row, uint64_t ticket)
{
	uint64_t seen = row->change;

	while (seen < ticket && !atomic_compare_exchange_weak(&row->change, &seen, ticket))
		;
}

static enum change_outcome step_done(struct backing_op *o)
{
	uint8_t buf[RECORD_BYTES];
	uint64_t ticket;

	o->record.is_done = true;
	o->record.seq = o->q->seq;
	o->record.op = o->q->op;
	o->record.reply = *o->reply;
	must(!record_encode(&o->record, buf));
	if (o->slot_fd < 0 || backing_force_done(o->b, o->slot_fd, buf, sizeof(buf), &ticket))
		return CHANGE_ERROR;
	o->wait = ticket;
	for (size_t i = 0; i < o->lock_count; i++) {
		if (o->lock[i].is_change)
			note_change(o->lock[i].row, ticket);
	}
	count_created(o);
	/* Its directory is locked: nobody else has been told of it. */
	if (o->made)
		o->made->change = ticket;
	return CHANGE_OK;
}

static enum change_outcome run(struct backing_op *o, enum change_step step)
{
	switch (step) {
	case CHANGE_LOCK:
		return step_lock(o);
	case CHANGE_LOOK:
		return step_look(o);
	case CHANGE_INTENT:
		return step_intent(o);
	case CHANGE_DO:
		return step_do(o);
	case CHANGE_DONE:
		return step_done(o);
	case CHANGE_COLLECT:
		backing_collect(o);
		backing_promise(o);
		return CHANGE_OK;
	case CHANGE_UNLOCK:
		backing_op_unlock(o);
		return CHANGE_OK;
	case CHANGE_FORCE:
		return backing_force_wait(o->b, o->wait) ? CHANGE_ERROR : CHANGE_OK;
	case CHANGE_FINISH:
	case CHANGE_HALT:
	case CHANGE_STEP_MAX:
		break;
	}
	must(false);
	return CHANGE_ERROR;
}

/* What has been done when a step has. */
static void pass(const struct backing_op *o, enum change_step step)
{
	static const enum failpoint point[] = {
		[CHANGE_LOCK] = FAIL_LOCKED,	 [CHANGE_LOOK] = FAIL_LOOKED,
		[CHANGE_INTENT] = FAIL_INTENDED, [CHANGE_DO] = FAIL_DID,
		[CHANGE_DONE] = FAIL_MARKED,	 [CHANGE_COLLECT] = FAIL_COLLECTED,
		[CHANGE_UNLOCK] = FAIL_UNLOCKED, [CHANGE_FORCE] = FAIL_FORCED,
	};

	failpoint(point[step], o->q->op, o->mount);
}

int backing_change(struct backing_op *o)
{
	enum change_step step = CHANGE_LOCK;
	enum change_outcome outcome;

	must(verbs[o->q->op].look);
	while (step != CHANGE_FINISH && step != CHANGE_HALT) {
		outcome = run(o, step);
		pass(o, step);
		if (o->is_cancelled)
			return -ECANCELED; /* an intent stays as it is on the disk */
		if (o->b->is_halted || backing_stops_after(o->b, step))
			step = CHANGE_HALT;
		else
			step = change_next(o->is_redo, step, outcome, 0);
	}
	/* Before the locks go: nothing may follow on these inodes, its intent is without result. */
	if (step == CHANGE_HALT)
		o->b->is_halted = true;
	return step == CHANGE_FINISH ? 0 : -EIO;
}

#ifdef CSVFS_INJECT
void backing_stop_after(struct backing *b, enum change_step step)
{
	b->stop_after = step;
}

bool backing_stops_after(struct backing *b, enum change_step step)
{
	if (b->stop_after == CHANGE_LOCK || step != b->stop_after)
		return false;
	b->is_halted = true;
	return true;
}
#endif
