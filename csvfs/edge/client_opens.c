/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "csvfs/edge/client_impl.h"
#include "lib/hash.h"
#include "lib/must.h"

static struct open_entry **place_of(struct opens *o, const struct csv_handle *handle)
{
	uint64_t h = hash_u64(hash_u64(HASH_INIT, handle->ino), handle->gen);
	struct open_entry **p = &o->bucket[h % OPENS_BUCKETS];

	while (*p && !csv_handle_equal(&(*p)->handle, handle))
		p = &(*p)->next;
	return p;
}

bool opens_add(struct opens *o, const struct csv_handle *handle, int delta)
{
	struct open_entry **p = place_of(o, handle), *e = *p;

	if (!e && delta < 0)
		return false;
	if (!e) {
		e = calloc(1, sizeof(*e));
		must(e);
		e->handle = *handle;
		*p = e;
		o->count++;
	}
	e->opens += (uint32_t)delta;
	if (!e->opens) {
		*p = e->next;
		free(e);
		o->count--;
	}
	return true;
}

const struct open_entry *opens_next(const struct opens *o, struct opens_cursor *cursor)
{
	const struct open_entry *e = cursor->entry ? cursor->entry->next : NULL;

	while (!e && cursor->bucket < OPENS_BUCKETS)
		e = o->bucket[cursor->bucket++];
	cursor->entry = e;
	return e;
}

void opens_done(struct opens *o)
{
	for (size_t i = 0; i < OPENS_BUCKETS; i++) {
		while (o->bucket[i]) {
			struct open_entry *e = o->bucket[i];

			o->bucket[i] = e->next;
			free(e);
		}
	}
}
