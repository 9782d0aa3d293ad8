/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/upgrade.h"

#include <stdio.h>
#include <string.h>

const struct cl_versions upgrade_versions = {DB_VERSION_MIN, DB_VERSION_MAX};

void upgrade_range_text(const struct cl_versions *v, char *text, size_t size)
{
	if (!v->highest)
		snprintf(text, size, "none that is known");
	else if (v->lowest == v->highest)
		snprintf(text, size, "%u only", v->highest);
	else
		snprintf(text, size, "%u to %u", v->lowest, v->highest);
}

struct cl_versions upgrade_of_node(const struct db_node *n)
{
	return (struct cl_versions){n->version_min, n->version_max};
}

static const struct db_cluster *cluster_of(const struct db *db)
{
	return db_count(db, DB_KIND_CLUSTER) ? db_at(db, DB_KIND_CLUSTER, 0) : NULL;
}

static bool node_bars(const struct db_node *n, uint16_t version)
{
	struct cl_versions v = upgrade_of_node(n);

	return !n->is_evicted && (!v.highest || !cl_speaks(&v, version));
}

static void node_text(const struct db_node *n, char *text, size_t size)
{
	struct cl_versions v = upgrade_of_node(n);
	bool is_here = n->membership == DB_MEMBERSHIP_ADMITTED;
	char range[32];

	upgrade_range_text(&v, range, sizeof(range));
	if (!v.highest)
		snprintf(text, size, "%s was never here, so what it speaks is not known", n->name);
	else
		snprintf(text, size, "%s%s speaks %s", n->name, is_here ? "" : ", which is down,",
			 range);
}

bool upgrade_bar(const struct db *db, const struct cl_table *table, uint16_t version, char *text,
		 size_t size)
{
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_node *n = db_node_by_slot(db, slot);

		if (n && node_bars(n, version)) {
			node_text(n, text, size);
			return true;
		}
		if (!n && table && table->member[slot].nodeid) {
			snprintf(text, size, "%s was never here, so what it speaks is not known",
				 table->member[slot].name);
			return true;
		}
	}
	return false;
}

uint16_t upgrade_highest(const struct db *db)
{
	uint16_t highest = CL_VERSION_LAST;
	char text[DB_REASON_MAX];

	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (!n->is_evicted && n->version_max < highest)
			highest = n->version_max;
	}
	if (!db_count(db, DB_KIND_NODE) || upgrade_bar(db, NULL, highest, text, sizeof(text)))
		return 0;
	return highest;
}

/* group_remark as people write it. */
static void words_of(const struct db_command *cmd, char *text, size_t size)
{
	snprintf(text, size, "%s", db_command_shape((uint16_t)cmd->type)->name);
	for (char *p = text; *p; p++) {
		if (*p == '_')
			*p = '-';
	}
}

bool upgrade_refuses(const struct db *db, const struct db_command *cmd, char *text, size_t size)
{
	uint16_t needs = db_command_needs(cmd);
	char words[64], who[DB_REASON_MAX];

	if (needs <= db->version)
		return false;
	words_of(cmd, words, sizeof(words));
	if (!upgrade_bar(db, NULL, needs, who, sizeof(who)))
		snprintf(who, sizeof(who), "every node speaks %u, see 'clusterctl cluster upgrade'",
			 needs);
	snprintf(text, size, "%s needs version %u, %u is in force: %s", words, needs, db->version,
		 who);
	return true;
}

bool upgrade_history_bar(const struct cl_table *table, const void *snapshot, size_t len, char *text,
			 size_t size)
{
	uint16_t of_snapshot = snapshot ? db_encoded_version(snapshot, len) : 0;

	if (!cl_speaks(&upgrade_versions, cl_table_version(table)))
		snprintf(text, size, "version %u is in force in it", cl_table_version(table));
	else if (!cl_speaks(&upgrade_versions, of_snapshot))
		snprintf(text, size, "its snapshot is of version %u", of_snapshot);
	else
		return false;
	return true;
}

bool upgrade_row(const struct db *db, const struct cl_table *table, struct cl_member *ret)
{
	const struct db_cluster *c = cluster_of(db);
	char text[DB_REASON_MAX];

	if (!c || c->upgrade_to <= db->version || c->upgrade_to <= cl_table_version(table) ||
	    upgrade_bar(db, table, c->upgrade_to, text, sizeof(text)))
		return false;
	*ret = (struct cl_member){.nodeid = c->upgrade_to};
	return true;
}
