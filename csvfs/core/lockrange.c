/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/lockrange.h"

#include "lib/hash.h"
#include "lib/must.h"

void lockrange_init(struct lock_ranges *r, struct lock_range *rows, uint32_t cap)
{
	*r = (struct lock_ranges){.row = rows, .cap = cap};
	for (uint32_t i = cap; i > 0; i--) {
		rows[i - 1] = (struct lock_range){.next = r->free};
		r->free = i;
	}
}

uint32_t lockrange_bucket(const struct csv_handle *h)
{
	return (uint32_t)(hash_u64(hash_u64(HASH_INIT, h->ino), h->gen) % LOCKRANGE_BUCKETS);
}

bool lock_owner_equal(const struct lock_owner *a, const struct lock_owner *b)
{
	return a->mount == b->mount && a->id == b->id && a->kind == b->kind;
}

static bool is_mine(const struct lock_range *row, const struct lock_range *l)
{
	return csv_handle_equal(&row->handle, &l->handle) &&
	       lock_owner_equal(&row->owner, &l->owner);
}

static bool overlaps(const struct lock_range *a, const struct lock_range *b)
{
	return a->start <= b->end && b->start <= a->end;
}

bool lockrange_excludes(const struct lock_range *a, const struct lock_range *b)
{
	return csv_handle_equal(&a->handle, &b->handle) && a->owner.kind == b->owner.kind &&
	       !lock_owner_equal(&a->owner, &b->owner) && overlaps(a, b) &&
	       (a->type == CSV_LOCK_WRITE || b->type == CSV_LOCK_WRITE);
}

const struct lock_range *lockrange_next(const struct lock_ranges *r, const struct csv_handle *h,
					const struct lock_range *at)
{
	uint32_t next = at ? at->next : r->bucket[lockrange_bucket(h)];

	return next ? &r->row[next - 1] : NULL;
}

/* ---- rows */

static void add(struct lock_ranges *r, const struct lock_range *l)
{
	uint32_t *bucket = &r->bucket[lockrange_bucket(&l->handle)];
	uint32_t at = r->free;

	must(at);
	r->free = r->row[at - 1].next;
	r->row[at - 1] = *l;
	r->row[at - 1].next = *bucket;
	*bucket = at;
	r->count++;
}

/* `at` refers to the row: in its bucket, or in the one before it. */
static void drop(struct lock_ranges *r, uint32_t *at)
{
	uint32_t index = *at;
	struct lock_range *row = &r->row[index - 1];

	*at = row->next;
	*row = (struct lock_range){.next = r->free};
	r->free = index;
	r->count--;
}

/*
 * Takes out of the owner's rows what lies in the range; rows of type `like` that touch it are
 * swallowed: *l grows by them.
 */
static void cut(struct lock_ranges *r, struct lock_range *l)
{
	const struct lock_range asked = *l;
	struct lock_range left = {0}, right = {0};
	uint32_t *at = &r->bucket[lockrange_bucket(&l->handle)];

	while (*at) {
		struct lock_range *row = &r->row[*at - 1];
		bool touches = row->type == l->type && row->start <= asked.end + 1 &&
			       asked.start <= row->end + 1;

		if (!is_mine(row, l) || !(overlaps(row, &asked) || touches)) {
			at = &row->next;
			continue;
		}
		if (row->type == l->type) {
			l->start = row->start < l->start ? row->start : l->start;
			l->end = row->end > l->end ? row->end : l->end;
		} else {
			if (row->start < asked.start) {
				left = *row;
				left.end = asked.start - 1;
			}
			if (row->end > asked.end) {
				right = *row;
				right.start = asked.end + 1;
			}
		}
		drop(r, at);
	}
	if (left.type)
		add(r, &left);
	if (right.type)
		add(r, &right);
}

void lockrange_set(struct lock_ranges *r, const struct lock_range *l)
{
	struct lock_range grown = *l;

	cut(r, &grown);
	if (grown.type)
		add(r, &grown);
}

const struct lock_range *lockrange_first(const struct lock_ranges *r, const struct lock_range *l)
{
	const struct lock_range *row = NULL, *first = NULL;

	while ((row = lockrange_next(r, &l->handle, row))) {
		if (is_mine(row, l) && overlaps(row, l) && (!first || row->start < first->start))
			first = row;
	}
	return first;
}

uint8_t lockrange_stretch(const struct lock_ranges *r, const struct lock_range *l,
			  uint64_t *ret_end)
{
	const struct lock_range *row = lockrange_first(r, l);

	*ret_end = l->end;
	if (!row)
		return CSV_LOCK_NONE;
	if (row->start > l->start) {
		*ret_end = row->start - 1;
		return CSV_LOCK_NONE;
	}
	if (row->end < l->end)
		*ret_end = row->end;
	return row->type;
}

/* Sets the type where what is there is weaker (is_raise), or stronger. */
static void set_where(struct lock_ranges *r, const struct lock_range *l, bool is_raise)
{
	struct lock_range rest = *l, piece = *l;

	for (;;) {
		uint8_t type = lockrange_stretch(r, &rest, &piece.end);

		piece.start = rest.start;
		if (is_raise && type < l->type)
			lockrange_set(r, &piece);
		if (!is_raise && type > l->type) {
			/* What stays is whose it was. */
			const struct lock_range *row = lockrange_first(r, &rest);

			piece.pid = row->pid;
			piece.via = row->via;
			lockrange_set(r, &piece);
		}
		if (piece.end == l->end)
			return;
		rest.start = piece.end + 1;
	}
}

void lockrange_raise(struct lock_ranges *r, const struct lock_range *l)
{
	set_where(r, l, true);
}

void lockrange_lower(struct lock_ranges *r, const struct lock_range *l)
{
	set_where(r, l, false);
}

uint32_t lockrange_needs(const struct lock_ranges *r, const struct lock_range *l)
{
	const struct lock_range *row = NULL;
	uint32_t n = 2;

	while ((row = lockrange_next(r, &l->handle, row)))
		n += is_mine(row, l) && overlaps(row, l);
	return n;
}

/* ---- looking */

uint8_t lockrange_weakest(const struct lock_ranges *r, const struct lock_range *l)
{
	struct lock_range rest = *l;
	uint8_t weakest = CSV_LOCK_WRITE;
	uint64_t end;

	for (;;) {
		uint8_t type = lockrange_stretch(r, &rest, &end);

		weakest = type < weakest ? type : weakest;
		if (end == l->end || !weakest)
			return weakest;
		rest.start = end + 1;
	}
}

uint8_t lockrange_strongest(const struct lock_ranges *r, const struct lock_range *l)
{
	const struct lock_range *row = NULL;
	uint8_t strongest = CSV_LOCK_NONE;

	while ((row = lockrange_next(r, &l->handle, row))) {
		if (is_mine(row, l) && overlaps(row, l) && row->type > strongest)
			strongest = row->type;
	}
	return strongest;
}

static const char *check_row(const struct lock_ranges *r, const struct lock_range *a)
{
	const struct lock_range *b = a;

	if (!a->type || a->type >= CSV_LOCK_TYPES || a->start > a->end || a->end > CSV_LOCK_END_MAX)
		return "a range that is none";
	while ((b = lockrange_next(r, &a->handle, b))) {
		if (!is_mine(a, b))
			continue;
		if (overlaps(a, b))
			return "an owner has two ranges that overlap";
		if (a->type == b->type && (a->end + 1 == b->start || b->end + 1 == a->start))
			return "two ranges that are one";
	}
	return NULL;
}

const char *lockrange_check(const struct lock_ranges *r)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < LOCKRANGE_BUCKETS; i++) {
		for (uint32_t at = r->bucket[i]; at; at = r->row[at - 1].next) {
			const char *wrong = check_row(r, &r->row[at - 1]);

			if (wrong)
				return wrong;
			used++;
		}
	}
	return used == r->count ? NULL : "the count of ranges is wrong";
}
