/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What forced quorum, and histories that parted, leave in the applied state. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/force.h"

void epoch_note(struct db *db, const struct cl_epoch *epoch, uint64_t index)
{
	const struct db_table *t = &db->table[DB_KIND_EPOCH];
	struct db_epoch *row;

	if (db->index && !cl_epoch_compare(&db->epoch, epoch))
		return;
	if (t->count == t->capacity && t->count)
		db_remove(db, DB_KIND_EPOCH, db_at(db, DB_KIND_EPOCH, 0));
	row = db_insert_id(db, DB_KIND_EPOCH, index);
	if (!row)
		return; /* a database without room for any: of a test */
	row->generation = epoch->generation;
	row->number = epoch->number;
	row->starter = epoch->starter;
}

static struct db_cluster *cluster_row(struct db *db)
{
	return db_count(db, DB_KIND_CLUSTER) ? db_at(db, DB_KIND_CLUSTER, 0) : NULL;
}

static void names_of(const struct cl_table *t, uint16_t set, char *text, size_t size)
{
	size_t at = 0;

	text[0] = 0;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (set & cl_bit(i) && at < size)
			at += (size_t)snprintf(text + at, size - at, "%s%s", at ? "," : "",
					       t->member[i].name);
	}
}

void quorum_forced(struct db *db, const struct db_entry *e)
{
	struct db_command cmd = {.type = DB_CMD_MAX};
	struct db_result result = {0};
	struct apply a = {.db = db, .entry = e, .cmd = &cmd, .result = &result};
	struct db_cluster *c = cluster_row(db);
	struct force_record r;
	char down[DB_REASON_MAX / 2];

	if (force_record_decode((struct cl_blob){e->payload, e->payload_len}, &r))
		return;
	cmd.at_ms = r.at_ms;
	names_of(&r.table, r.down, down, sizeof(down));
	if (c) {
		c->forced_ms = r.at_ms;
		c->forced_down = (uint16_t)(c->forced_down | r.down);
		COPY(c->forced_by, r.actor.text);
	}
	apply_event(&a, "quorum-forced", c ? c->name : "cluster",
		    "by %s, who says that these are down: %s", r.actor.text, down);
}

void force_node_back(struct apply *a, uint8_t slot)
{
	struct db_cluster *c = cluster_row(a->db);

	if (!c || !(c->forced_down & cl_bit(slot)))
		return;
	c->forced_down = (uint16_t)(c->forced_down & ~cl_bit(slot));
	if (c->forced_down)
		return;
	c->forced_ms = 0;
	c->forced_by[0] = 0;
	apply_event(a, "quorum-forced-over", c->name,
		    "all who were said to be down are back, or evicted");
}

void do_history_saved(struct apply *a, const struct db_cmd_history_saved *c)
{
	size_t len = strlen(c->file), most = DB_REASON_MAX / 2;

	/* Of a long path the end: the file's name is there. */
	apply_event(a, "history-saved", c->name,
		    "%" PRIu64 " entries after %" PRIu64
		    " are not the cluster's: kept there in %s%s",
		    c->entries, c->after, len > most ? "..." : "",
		    c->file + (len > most ? len - most : 0));
}

void do_node_down(struct apply *a, const struct db_cmd_node_down *c)
{
	struct db_node *n = db_find(a->db, DB_KIND_NODE, c->name);

	if (!n || n->incarnation != c->incarnation) {
		apply_answer(a, DB_NO_SUCH, "node %s has no such incarnation", c->name);
		return;
	}
	if (n->membership == DB_MEMBERSHIP_FENCED)
		return;
	if (n->membership != DB_MEMBERSHIP_LOST && n->membership != DB_MEMBERSHIP_FENCING) {
		apply_answer(a, DB_REFUSED, "node %s is not lost: there is nothing to confirm",
			     c->name);
		return;
	}
	n->membership = DB_MEMBERSHIP_FENCED;
	n->since_ms = a->cmd->at_ms;
	node_incarnation_gone(a, n->slot, n->incarnation);
	apply_event(a, "fence-confirmed", c->name,
		    "%s says that it is down; that is all that is known of it", a->cmd->actor);
}
