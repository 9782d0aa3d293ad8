/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/errors.h"

#include <errno.h>
#include <string.h>

#include "lib/must.h"

void errors_go_on(struct errors_state *s, uint64_t seq)
{
	s->seq = s->all_seq = seq;
	s->all_error = EIO;
}

uint64_t errors_sample(const struct errors_state *s)
{
	return s->seq;
}

/* False: it has been heard before. */
static bool take_id(struct errors_state *s, uint64_t origin, uint64_t serial)
{
	struct errors_origin *o = &s->origin[0];

	for (size_t i = 0; i < ERRORS_ORIGINS; i++) {
		struct errors_origin *n = &s->origin[i];

		if (n->origin == origin) {
			o = n;
			break;
		}
		/* A free one, else the one that has been silent for longest. */
		if (o->origin && (!n->origin || n->seq < o->seq))
			o = n;
	}
	if (o->origin == origin && serial <= o->serial && !ERRORS_MUTANT(s, NO_ID))
		return false;
	*o = (struct errors_origin){.origin = origin, .serial = serial, .seq = s->seq + 1};
	return true;
}

static struct errors_row *place_of(struct errors_state *s, const struct csv_handle *h)
{
	struct errors_row *r = &s->row[0];

	for (size_t i = 0; i < ERRORS_FILES; i++) {
		struct errors_row *n = &s->row[i];

		if (csv_handle_equal(&n->handle, h))
			return n;
		if (r->handle.ino && (!n->handle.ino || n->seq < r->seq))
			r = n;
	}
	return r;
}

bool errors_note(struct errors_state *s, const struct csv_frame_failed *failure)
{
	struct errors_row *r;

	must(failure->error && failure->handle.ino && failure->origin);
	if (!take_id(s, failure->origin, failure->serial))
		return false;
	r = place_of(s, &failure->handle);
	if (r->handle.ino && !csv_handle_equal(&r->handle, &failure->handle)) {
		s->all_seq = r->seq;
		s->all_error = r->error;
	}
	*r = (struct errors_row){
		.handle = failure->handle, .seq = ++s->seq, .error = failure->error};
	return true;
}

uint16_t errors_take(struct errors_state *s, const struct csv_handle *h, uint64_t *seen)
{
	uint16_t error = 0;

	if (*seen == s->seq)
		return 0;
	if (*seen < s->all_seq)
		error = s->all_error;
	for (size_t i = 0; i < ERRORS_FILES; i++) {
		struct errors_row *r = &s->row[i];

		if (!csv_handle_equal(&r->handle, h) || r->seq <= *seen)
			continue;
		error = r->error;
		if (ERRORS_MUTANT(s, NO_SEQUENCE))
			*r = (struct errors_row){0};
	}
	*seen = s->seq;
	return error;
}
