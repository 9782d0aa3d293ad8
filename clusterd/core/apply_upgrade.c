/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The version in force: what is asked, and the entries that say it. See upgrade.h. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/msg.h"
#include "clusterd/core/upgrade.h"
#include "lib/must.h"
#include "lib/wire.h"

static struct db_cluster *cluster_row(struct db *db)
{
	return db_count(db, DB_KIND_CLUSTER) ? db_at(db, DB_KIND_CLUSTER, 0) : NULL;
}

static void forget_wish(struct db_cluster *c)
{
	c->upgrade_to = 0;
	c->upgrade_ms = 0;
	c->upgrade_by[0] = 0;
}

void do_cluster_upgrade(struct apply *a, const struct db_cmd_cluster_upgrade *c)
{
	struct db_cluster *row = cluster_row(a->db);
	char who[DB_REASON_MAX / 2];

	if (!row) {
		apply_answer(a, DB_NO_SUCH, "there is no cluster here");
		return;
	}
	if (c->version <= a->db->version) {
		apply_answer(a, DB_CONFLICT,
			     "version %u is in force already, and none is taken back",
			     a->db->version);
		return;
	}
	if (upgrade_bar(a->db, NULL, c->version, who, sizeof(who))) {
		apply_answer(a, DB_REFUSED,
			     "version %u cannot be put in force: %s; update or evict it",
			     c->version, who);
		return;
	}
	row->upgrade_to = c->version;
	row->upgrade_ms = a->cmd->at_ms;
	COPY(row->upgrade_by, a->cmd->actor);
	apply_event(a, "upgrade-asked", row->name, "version %u instead of %u, by %s", c->version,
		    a->db->version, a->cmd->actor);
}

void upgrade_node_admitted(struct apply *a, struct db_node *n, const struct db_cmd_node_admit *c)
{
	struct db_cluster *row = cluster_row(a->db);
	struct cl_versions was = upgrade_of_node(n), is = {c->version_min, c->version_max};
	char from[32], to[32];

	n->version_min = is.lowest;
	n->version_max = is.highest;
	upgrade_range_text(&was, from, sizeof(from));
	upgrade_range_text(&is, to, sizeof(to));
	if (was.highest && (was.lowest != is.lowest || was.highest != is.highest))
		apply_event(a, "node-version", n->name, "clusterd %s speaks %s; before: %s",
			    c->version, to, from);
	if (!row || !row->upgrade_to || cl_speaks(&is, row->upgrade_to))
		return;
	apply_event(a, "upgrade-withdrawn", row->name, "version %u: %s speaks %s", row->upgrade_to,
		    n->name, to);
	forget_wish(row);
}

/* The version of a first member table; 0: it says none, as in tests. */
static uint32_t genesis_version(const struct db_entry *e)
{
	struct wire_reader r;
	struct cl_uuid cluster;
	struct cl_table table;

	wire_reader_init(&r, e->payload, e->payload_len);
	wire_get_raw(&r, cluster.byte, sizeof(cluster.byte));
	cl_table_get(&r, &table);
	return wire_reader_end(&r) ? 0 : cl_table_version(&table);
}

/* The core has let nobody in who does not speak it, and no file with it is opened. */
static void raise_to(struct db *db, uint32_t version)
{
	must(version >= DB_VERSION_MIN && version <= DB_VERSION_MAX);
	db_raise(db, (uint16_t)version);
}

void upgrade_entry(struct db *db, const struct db_entry *e)
{
	struct db_command cmd = {.type = DB_CMD_MAX};
	struct db_result result = {0};
	struct apply a = {.db = db, .entry = e, .cmd = &cmd, .result = &result};
	struct db_cluster *c = cluster_row(db);
	uint16_t before = db->version;
	struct cl_member row;
	uint8_t slot;

	if (e->kind == CL_ENTRY_GENESIS && genesis_version(e))
		raise_to(db, genesis_version(e));
	if (e->kind != CL_ENTRY_TABLE ||
	    cl_row_decode((struct cl_blob){e->payload, e->payload_len}, &slot, &row) ||
	    slot != CL_VERSION_SLOT)
		return;
	raise_to(db, row.nodeid);
	if (!c)
		return;
	cmd.at_ms = c->upgrade_ms;
	apply_event(
		&a, "upgraded", c->name,
		"version %u is in force instead of %u: every node speaks it, and %s asked for it",
		db->version, before, c->upgrade_by[0] ? c->upgrade_by : "somebody");
	forget_wish(c);
}
