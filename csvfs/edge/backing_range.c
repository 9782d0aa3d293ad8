/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of a file that requests hold while the inode is locked for reading: for one that writes in
 * place, or for any number that read. What overlaps waits; all else goes side by side, so that a
 * machine's disk that is not granted is not one queue.
 *
 * Exactly once stands: nothing that conflicts comes between the intent of such a write and its done
 * mark, and writing the same bytes to the same place again is what a repetition is.
 *
 * Each of them is on disk before its done mark; the flushes are shared: who has written waits for
 * the one that is under way, and then one of those that have come meanwhile flushes for all.
 */
#include <errno.h>
#include <unistd.h>

#include "csvfs/edge/backing_impl.h"

bool backing_stays_in_place(const struct csv_op_write *q)
{
	return !(q->flags & CSV_WRITE_APPEND) && backing_is_block(q->offset) &&
	       backing_is_block(q->data.len) && q->data.len;
}

bool backing_may_stay(const struct csv_op_write *q)
{
	return backing_stays_in_place(q) && !(q->flags & CSV_WRITE_KILL_SUID) &&
	       q->offset <= INT64_MAX - CSV_IO_MAX;
}

static bool overlaps(const struct backing_range *a, const struct backing_range *b)
{
	return a->from < b->to && b->from < a->to && (a->is_write || b->is_write);
}

static bool is_free(const struct backing_row *row, const struct backing_range *wanted)
{
	for (const struct backing_range *r = row->ranges; r; r = r->next) {
		if (overlaps(r, wanted))
			return false;
	}
	return true;
}

/* What the request holds besides its locks; false: nothing. */
static bool range_of(const struct backing_op *o, struct backing_range *ret)
{
	if (o->lock_count != 1 || o->lock[0].is_write)
		return false;
	if (o->q->op == CSV_OP_READ)
		*ret = (struct backing_range){.from = o->q->read.offset,
					      .to = o->q->read.offset + o->q->read.size};
	else if (o->q->op == CSV_OP_WRITE)
		*ret = (struct backing_range){.from = o->q->write.offset,
					      .to = o->q->write.offset + o->q->write.data.len,
					      .is_write = true};
	else
		return false;
	return true;
}

/* With the lock of ranges. */
static void make_unsteady(struct backing_op *o)
{
	o->lock[0].row->writes++;
	o->lock[0].row->writing++;
	o->lock[0].is_change = true;
	o->is_unsteady = true;
}

void backing_range_take(struct backing_op *o)
{
	struct backing *b = o->b;
	struct backing_row *row;

	pthread_mutex_lock(&b->range_lock);
	for (size_t i = 0; i < o->lock_count; i++)
		o->lock[i].writes = o->lock[i].row->writes;
	if (range_of(o, &o->range)) {
		row = o->lock[0].row;
		while (!is_free(row, &o->range))
			pthread_cond_wait(&b->range_free, &b->range_lock);
		o->range.next = row->ranges;
		row->ranges = &o->range;
		o->is_ranged = true;
		if (o->range.is_write)
			make_unsteady(o);
	}
	pthread_mutex_unlock(&b->range_lock);
}

void backing_unsteady(struct backing_op *o)
{
	pthread_mutex_lock(&o->b->range_lock);
	make_unsteady(o);
	pthread_mutex_unlock(&o->b->range_lock);
}

void backing_range_give(struct backing_op *o)
{
	struct backing_row *row = o->lock[0].row;
	struct backing_range **at;

	if (!o->is_ranged && !o->is_unsteady)
		return;
	pthread_mutex_lock(&o->b->range_lock);
	for (at = &row->ranges; o->is_ranged && *at != &o->range;)
		at = &(*at)->next;
	if (o->is_ranged)
		*at = o->range.next;
	row->writing -= o->is_unsteady;
	o->is_ranged = o->is_unsteady = false;
	pthread_cond_broadcast(&o->b->range_free);
	pthread_mutex_unlock(&o->b->range_lock);
}

bool backing_is_steady(struct backing_op *o, const struct csv_handle *h)
{
	bool is_steady = true;

	pthread_mutex_lock(&o->b->range_lock);
	for (size_t i = 0; i < o->lock_count; i++) {
		const struct backing_lock *l = &o->lock[i];

		if (csv_handle_equal(&l->row->handle, h))
			is_steady = !l->row->writing && l->writes == l->row->writes;
	}
	pthread_mutex_unlock(&o->b->range_lock);
	return is_steady;
}

/* ---- writes in place are flushed together */

bool backing_is_grouped(const struct backing_op *o, bool is_direct)
{
	/* A failed writeback is told once to each open file: to that one all of them look. */
	return o->is_ranged && o->range.is_write && (is_direct || o->inode[0].is_kept);
}

static void cover(const struct backing_row *row)
{
	for (struct backing_range *r = row->ranges; r; r = r->next)
		r->is_covered = r->is_write && r->is_written && !r->is_flushed;
}

/* What of a failed flush was whose, nobody can say: not even of data whose write goes on. */
static void note_flush(const struct backing_row *row, int error)
{
	for (struct backing_range *r = row->ranges; r; r = r->next) {
		if (r->is_write && !r->is_flushed && error)
			r->error = error;
		r->is_flushed = r->is_flushed || r->is_covered;
	}
}

int backing_flush(struct backing_op *o, int fd)
{
	struct backing_row *row = o->lock[0].row;
	struct backing *b = o->b;
	int r;

	pthread_mutex_lock(&b->range_lock);
	o->range.is_written = true;
	while (!o->range.is_flushed) {
		if (row->is_flushing) {
			pthread_cond_wait(&b->flushed, &b->range_lock);
			continue;
		}
		row->is_flushing = true;
		cover(row);
		pthread_mutex_unlock(&b->range_lock);
		r = fdatasync(fd) ? -errno : 0;
		pthread_mutex_lock(&b->range_lock);
		row->is_flushing = false;
		note_flush(row, r);
		pthread_cond_broadcast(&b->flushed);
	}
	r = o->range.error;
	pthread_mutex_unlock(&b->range_lock);
	return r;
}
