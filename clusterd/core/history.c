/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/history.h"

bool history_add(struct history *h, const struct cl_epoch *epoch, uint64_t index)
{
	if (!h->count || cl_epoch_compare(&h->span[h->count - 1].epoch, epoch)) {
		if (h->count == h->cap)
			return false;
		h->span[h->count++] = (struct history_span){.epoch = *epoch, .first = index};
	}
	h->last = index;
	return true;
}

bool history_add_db(struct history *h, const struct db *db)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_EPOCH); i++) {
		const struct db_epoch *row = db_at(db, DB_KIND_EPOCH, i);
		const struct cl_epoch epoch = {.generation = row->generation,
					       .number = row->number,
					       .starter = row->starter};

		if (!history_add(h, &epoch, row->first))
			return false;
	}
	h->last = db->index;
	return true;
}

static uint64_t end_of(const struct history *h, size_t i)
{
	return i + 1 < h->count ? h->span[i + 1].first - 1 : h->last;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct history_part history_parts(const struct history *own, const struct history *won,
				  uint64_t applied)
{
	bool same_generation = own->count && won->count &&
			       own->span[own->count - 1].epoch.generation ==
				       won->span[won->count - 1].epoch.generation;
	struct history_part part = {.common = same_generation ? lower(applied, won->last) : 0};

	for (size_t i = own->count; i-- > 0;) {
		for (size_t k = won->count; k-- > 0;) {
			if (cl_epoch_compare(&own->span[i].epoch, &won->span[k].epoch))
				continue;
			part.common = lower(end_of(own, i), end_of(won, k));
			part.is_known = true;
			return part;
		}
	}
	part.is_known =
		!own->count || !won->count || (own->span[0].first == 1 && won->span[0].first == 1);
	return part;
}
