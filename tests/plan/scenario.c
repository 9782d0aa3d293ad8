/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/plan/scenario.h"

#include <stdlib.h>
#include <string.h>

#include "lib/must.h"

/* Small enough to be copied at each plan. */
static const struct db_limits limits = {
	.capacity =
		{
			[DB_KIND_CLUSTER] = 1,
			[DB_KIND_NODE] = CL_MAX_NODES,
			[DB_KIND_GROUP] = 128,
			[DB_KIND_RESOURCE] = 128,
			[DB_KIND_PARAM] = 64,
			[DB_KIND_SETTING] = 16,
			[DB_KIND_DECISION] = 64,
			[DB_KIND_AFFINITY] = 16,
			[DB_KIND_TASK] = 128,
			[DB_KIND_EVENT] = 64,
			[DB_KIND_ORIGIN] = CL_MAX_NODES,
			[DB_KIND_FENCE] = 4,
			[DB_KIND_VOLUME] = 16,
			[DB_KIND_MOUNT] = 16 * CL_MAX_NODES,
			[DB_KIND_VM] = 16,
			[DB_KIND_MIGRATION] = 32,
			[DB_KIND_JOB] = 8,
			[DB_KIND_SNAPSHOT] = 8,
		},
	.locks = {.max_sessions = 64, .max_resources = 512, .max_locks = 512, .max_queued = 4},
};

static size_t snapshot_max(void)
{
	size_t size = 64 + lk_encoded_max(&limits.locks);

	for (int k = 0; k < DB_KIND_MAX; k++) {
		const struct db_shape *shape = db_kind_shape((enum db_kind)k);

		size += 8 + (size_t)limits.capacity[k] * (shape->size + 2u * shape->field_count);
	}
	return size;
}

struct scenario *scenario_new(bool is_renamed, uint8_t node_total, FILE *out, jmp_buf *fault)
{
	struct scenario *s = calloc(1, sizeof(*s));

	must(s);
	s->mem = malloc(db_size(&limits));
	s->copy_mem = malloc(db_size(&limits));
	s->snapshot_cap = snapshot_max();
	s->snapshot = malloc(s->snapshot_cap);
	must(s->mem && s->copy_mem && s->snapshot);
	must(!db_init(&s->db, s->mem, db_size(&limits), &limits));
	s->db.index = SCENARIO_FIRST_INDEX;
	s->is_renamed = is_renamed;
	s->node_total = node_total;
	s->out = out;
	s->fault = fault;
	return s;
}

void scenario_free(struct scenario *s)
{
	if (!s)
		return;
	free(s->mem);
	free(s->copy_mem);
	free(s->snapshot);
	free(s);
}
