/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_record(enum db_kind kind)
{
	return kind == DB_KIND_EVENT || kind == DB_KIND_TASK || kind == DB_KIND_ORIGIN ||
	       kind == DB_KIND_AUDIT || kind == DB_KIND_VERSION;
}

bool compare_field_differs(const struct db_field *f, const void *before, const void *after)
{
	const char *a = (const char *)before + f->offset, *b = (const char *)after + f->offset;

	return f->type == DB_TYPE_str ? strcmp(a, b) != 0 : memcmp(a, b, f->size) != 0;
}

static bool differs(const struct db_shape *shape, const void *before, const void *after)
{
	for (uint8_t i = 0; i < shape->field_count; i++) {
		if (compare_field_differs(&shape->field[i], before, after))
			return true;
	}
	return false;
}

/* Below 0: a comes first. A row that is not there comes last. */
static int order(const struct db_shape *shape, const void *a, const void *b)
{
	uint64_t x, y;

	if (!a || !b)
		return !a - !b;
	if (shape->field[0].type == DB_TYPE_str)
		return strcmp(a, b);
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static void key_text(const struct db_shape *shape, const void *row, char *to)
{
	uint64_t id;

	if (shape->field[0].type == DB_TYPE_str) {
		snprintf(to, DB_KEY_MAX, "%s", (const char *)row);
		return;
	}
	memcpy(&id, row, sizeof(id));
	snprintf(to, DB_KEY_MAX, "%" PRIu64, id);
}

static uint32_t compare_kind(const struct db *before, const struct db *after, enum db_kind kind,
			     void (*take)(void *arg, const struct compare_row *row), void *arg)
{
	const struct db_shape *shape = db_kind_shape(kind);
	uint32_t i = 0, j = 0, n = 0;

	for (;;) {
		const void *a = i < db_count(before, kind) ? db_at(before, kind, i) : NULL;
		const void *b = j < db_count(after, kind) ? db_at(after, kind, j) : NULL;
		struct compare_row row = {.kind = kind};
		int c = order(shape, a, b);

		if (!a && !b)
			return n;
		i += c <= 0;
		j += c >= 0;
		if (!c && !differs(shape, a, b))
			continue;
		row.change = c < 0 ? COMPARE_REMOVED : c > 0 ? COMPARE_ADDED : COMPARE_CHANGED;
		row.before = c <= 0 ? a : NULL;
		row.after = c >= 0 ? b : NULL;
		key_text(shape, c <= 0 ? a : b, row.key);
		take(arg, &row);
		n++;
	}
}

uint32_t compare(const struct db *before, const struct db *after,
		 void (*take)(void *arg, const struct compare_row *row), void *arg)
{
	uint32_t n = 0;

	for (int k = 0; k < DB_KIND_MAX; k++) {
		if (!is_record((enum db_kind)k))
			n += compare_kind(before, after, (enum db_kind)k, take, arg);
	}
	return n;
}
