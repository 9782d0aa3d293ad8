/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Failures are counted within their periods, and forgotten after; see age.h. */
#include <stdio.h>

#include "clusterd/core/age.h"
#include "clusterd/core/apply_impl.h"

/* The count within the period that began at *since, as it stands now. */
static void age_count(uint32_t *count, uint64_t *since, uint32_t period_ms, uint64_t now_ms)
{
	enum age age = age_of(*since, period_ms, now_ms);

	if (*count && age == AGE_OVER)
		*count = 0;
	if (*count && age == AGE_AHEAD)
		*since = now_ms;
	if (!*count)
		*since = 0;
}

void age_resource_restarted(struct apply *a, struct db_resource *r)
{
	uint64_t now = a->cmd->at_ms;

	age_count(&r->restarts, &r->restarts_since_ms, r->restart_ms, now);
	if (!r->restarts++)
		r->restarts_since_ms = now;
}

bool age_group_failed(struct apply *a, struct db_group *g)
{
	uint64_t now = a->cmd->at_ms;

	age_count(&g->failovers, &g->failovers_since_ms, g->failover_ms, now);
	if (DB_MUTANT(a->db, PLAN_NEVER_GIVES_UP))
		return false;
	if (g->failovers >= age_failover_max(a->db, g))
		return true;
	if (!g->failovers++)
		g->failovers_since_ms = now;
	return false;
}

void age_group_give_up(struct apply *a, struct db_group *g, const char *reason)
{
	char period[AGE_TEXT_MAX], retry[AGE_TEXT_MAX], next[64] = "";

	age_text(g->failover_ms, period);
	age_text(g->retry_ms, retry);
	if (g->retry_ms)
		snprintf(next, sizeof(next), "; tried again after %s", retry);
	g->work = DB_WORK_FAILED;
	apply_event(a, "group-gave-up", g->name,
		    "failed again after %u failovers within %s: started nowhere any more%s",
		    g->failovers, period, next);
	snprintf(g->reason, sizeof(g->reason), "failed again after %u failovers within %s: %.120s",
		 g->failovers, period, reason);
}

void age_group_forget(struct db_group *g)
{
	if (g->work == DB_WORK_FAILED && !g->lock)
		g->work = DB_WORK_OFFLINE;
	g->gave_up_ms = g->failovers_since_ms = 0;
	g->failovers = 0;
}

void age_volume_crashed(struct apply *a, struct db_volume *v)
{
	uint64_t now = a->cmd->at_ms;
	char period[AGE_TEXT_MAX], pause[AGE_TEXT_MAX];

	if (v->restart_node != v->node)
		v->restarts = 0;
	v->restart_node = v->node;
	age_count(&v->restarts, &v->restarts_since_ms, AGE_RESTART_MS, now);
	if (v->restarts < AGE_COORDINATOR_MAX) {
		if (!v->restarts++)
			v->restarts_since_ms = now;
		return;
	}
	age_text(AGE_RESTART_MS, period);
	age_text(AGE_COORDINATOR_MS, pause);
	apply_event(a, "volume-refused", v->name,
		    "ended again on %s after %u restarts within %s: passed over for %s",
		    db_node_name(a->db, v->node), v->restarts, period, pause);
	v->crashed = (uint16_t)(v->crashed | cl_bit(v->node));
	v->refused_since_ms = now;
	v->restarts = 0;
	v->restarts_since_ms = 0;
}

/* ---- the clock */

static void volume_clock(struct apply *a, struct db_volume *v, uint64_t now_ms)
{
	enum age age = age_of(v->refused_since_ms, AGE_COORDINATOR_MS, now_ms);

	if (age == AGE_AHEAD)
		v->refused_since_ms = now_ms;
	if (age != AGE_OVER)
		return;
	v->crashed = 0;
	if (v->work == DB_WORK_OFFLINE)
		v->refused = 0;
	apply_event(a, "volume-retry", v->name, "nodes where it failed may have it again");
}

static void retry(struct apply *a, struct db_group *g)
{
	char period[AGE_TEXT_MAX];

	age_text(g->retry_ms, period);
	age_group_forget(g);
	g->refused = 0;
	snprintf(g->reason, sizeof(g->reason), "tried again, %s after it was given up", period);
	apply_event(a, "group-retry", g->name, "given up %s ago: what failed is forgotten", period);
}

void do_clock(struct apply *a, const struct db_cmd_clock *c)
{
	quarantine_clock(a, c->now_ms);
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_GROUP); i++) {
		struct db_group *g = db_at(a->db, DB_KIND_GROUP, i);
		enum age age = age_of(g->gave_up_ms, g->retry_ms, c->now_ms);

		if (age_waits(g) && age == AGE_OVER)
			retry(a, g);
		else if (age_waits(g) && age == AGE_AHEAD)
			g->gave_up_ms = c->now_ms;
	}
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_RESOURCE); i++) {
		struct db_resource *r = db_at(a->db, DB_KIND_RESOURCE, i);

		age_count(&r->restarts, &r->restarts_since_ms, r->restart_ms, c->now_ms);
	}
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_VOLUME); i++) {
		struct db_volume *v = db_at(a->db, DB_KIND_VOLUME, i);

		if (age_volume_waits(v))
			volume_clock(a, v, c->now_ms);
	}
	place_clock(a, c->now_ms);
}
