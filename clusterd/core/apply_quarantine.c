/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes that are lost again and again; see quarantine.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/apply_impl.h"
#include "clusterd/core/quarantine.h"
#include "clusterd/core/setting.h"

/* As much of the period as has passed at the command that is applied. */
static void age_losses(struct apply *a, struct db_node *n, uint64_t now_ms)
{
	uint32_t period = (uint32_t)setting_get(a->db, SETTING_QUORUM_QUARANTINE_MS, NULL);
	enum age age = age_of(n->losses_since_ms, period, now_ms);

	if (!n->losses || n->is_quarantined || age == AGE_YOUNG)
		return;
	if (age == AGE_OVER)
		n->losses = 0;
	n->losses_since_ms = age == AGE_OVER ? 0 : now_ms;
}

void quarantine_node_lost(struct apply *a, struct db_node *n)
{
	age_losses(a, n, a->cmd->at_ms);
	if (!n->losses++)
		n->losses_since_ms = a->cmd->at_ms;
}

void quarantine_clock(struct apply *a, uint64_t now_ms)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_NODE); i++)
		age_losses(a, db_at(a->db, DB_KIND_NODE, i), now_ms);
}

/* ": 10:02:11 10:14:03 UTC": the newest losses that the history still has. */
static void loss_times(struct apply *a, const struct db_node *n, char *text, size_t size)
{
	uint32_t count = db_count(a->db, DB_KIND_EVENT), from = count, found = 0;
	size_t at = 0;

	while (from > 0 && found < n->losses && found < QUARANTINE_TIMES_MAX) {
		const struct db_event *e = db_at(a->db, DB_KIND_EVENT, --from);

		found += quarantine_is_loss(e, n);
	}
	text[0] = 0;
	for (; from < count; from++) {
		const struct db_event *e = db_at(a->db, DB_KIND_EVENT, from);
		uint64_t s = e->at_ms / 1000 % (24 * 3600);

		if (quarantine_is_loss(e, n) && at < size)
			at += (size_t)snprintf(text + at, size - at,
					       "%s%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64,
					       at ? " " : ": ", s / 3600, s / 60 % 60, s % 60);
	}
	if (at && at < size)
		snprintf(text + at, size - at, " UTC");
}

void quarantine_node_admitted(struct apply *a, struct db_node *n)
{
	char often[64], times[128];

	if (n->is_quarantined || !quarantine_is_due(a->db, n, a->cmd->at_ms))
		return;
	quarantine_text(a->db, n, often, sizeof(often));
	loss_times(a, n, times, sizeof(times));
	if (!quarantine_is_affordable(a->db, n)) {
		apply_event(a, "node-flaps", n->name,
			    "%s%s; not quarantined: no majority would be left", often, times);
		return;
	}
	n->is_quarantined = true;
	vms_node_paused(a, n->slot);
	apply_event(a, "node-quarantined", n->name, "%s%s", often, times);
}

void do_node_quarantine_clear(struct apply *a, const struct db_cmd_node_quarantine_clear *c)
{
	struct db_node *n = db_find(a->db, DB_KIND_NODE, c->name);

	if (!n) {
		apply_answer(a, DB_NO_SUCH, "no node %s", c->name);
		return;
	}
	if (!n->is_quarantined) {
		apply_answer(a, DB_CONFLICT, "node %s is not quarantined", c->name);
		return;
	}
	n->is_quarantined = false;
	n->losses = 0;
	n->losses_since_ms = 0;
	vms_node_paused(a, n->slot);
	apply_event(a, "node-quarantine-cleared", c->name, "by %s; its losses are forgotten",
		    a->cmd->actor);
}
