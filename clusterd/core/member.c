/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/member.h"
#include "clusterd/core/job.h"

#include <string.h>

#include "clusterd/core/quorum.h"
#include "clusterd/core/setting.h"
#include "clusterd/core/totem.h"

static const struct db_cluster *cluster_of(const struct db *db)
{
	return db_count(db, DB_KIND_CLUSTER) ? db_at(db, DB_KIND_CLUSTER, 0) : NULL;
}

static const struct db_node *node_at(const struct db *db, uint32_t i)
{
	return db_at(db, DB_KIND_NODE, i);
}

const char *member_keeps(const struct db *db, const struct db_node *n)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->node == n->slot)
			return "a group is there";
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);

		if (v->node == n->slot)
			return "a volume is coordinated there";
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MOUNT); i++) {
		const struct db_mount *m = db_at(db, DB_KIND_MOUNT, i);

		if (m->slot == n->slot)
			return "a volume waits for the recovery of its mount";
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_MIGRATION); i++) {
		const struct db_migration *m = db_at(db, DB_KIND_MIGRATION, i);

		if (m->phase != DB_MIGRATION_PHASE_ENDED &&
		    (m->source == n->slot || m->destination == n->slot))
			return "a migration has it as one of its nodes";
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_JOB); i++) {
		const struct db_job *j = db_at(db, DB_KIND_JOB, i);

		if (j->node == n->slot)
			return "it works on the disks of a virtual machine";
	}
	return NULL;
}

void member_times(const struct db *db, struct corosync_times *ret)
{
	totem_wanted((uint32_t)setting_get(db, SETTING_TOTEM_TOKEN_MS, NULL), ret);
}

bool member_conf(const struct db *db, struct corosync_nodes *ret)
{
	const struct db_cluster *c = cluster_of(db);

	*ret = (struct corosync_nodes){0};
	if (!c || !c->conf)
		return false;
	ret->version = c->conf;
	member_times(db, &ret->times);
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = node_at(db, i);
		struct corosync_node *to;

		if (n->is_evicted)
			continue;
		to = &ret->node[ret->count++];
		to->nodeid = n->nodeid;
		memcpy(to->name, n->name, sizeof(to->name));
		memcpy(to->address[0], n->address0, sizeof(n->address0));
		memcpy(to->address[1], n->address1, sizeof(n->address1));
	}
	return true;
}

bool member_can_adopt(const struct db *db, const struct cl_table *table)
{
	const struct db_cluster *c = cluster_of(db);

	if (!c || c->conf)
		return false;
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_node *n = db_node_by_slot(db, slot);

		if ((n && !n->address0[0]) || (!n && table->member[slot].nodeid))
			return false;
	}
	return true;
}

/* ---- what comes next */

static const struct corosync_node *local_node(const struct corosync_nodes *local, uint32_t nodeid)
{
	for (uint8_t i = 0; local && i < local->count; i++) {
		if (local->node[i].nodeid == nodeid && local->node[i].address[0][0])
			return &local->node[i];
	}
	return NULL;
}

/* A member of the table that the database does not know yet, or not where it is. */
static bool take_address(const struct db *db, const struct cl_table *table, uint8_t slot,
			 const struct corosync_nodes *local, struct member_step *ret)
{
	const struct cl_member *row = &table->member[slot];
	const struct db_node *n = db_node_by_slot(db, slot);
	const struct corosync_node *from = local_node(local, row->nodeid);

	if (!row->nodeid || (n && (n->nodeid != row->nodeid || n->address0[0] || !from)))
		return false;
	ret->kind = MEMBER_ADDRESS;
	memcpy(ret->address.name, row->name, sizeof(row->name));
	ret->address.slot = slot;
	ret->address.nodeid = row->nodeid;
	if (from) {
		memcpy(ret->address.address0, from->address[0], sizeof(ret->address.address0));
		memcpy(ret->address.address1, from->address[1], sizeof(ret->address.address1));
	}
	return true;
}

/* One change of the member table at a time, and of one row. */
static bool take_table(const struct db_node *n, const struct cl_table *table,
		       struct member_step *ret)
{
	const struct cl_member *row = &table->member[n->slot];
	bool is_there = row->nodeid == n->nodeid && !strcmp(row->name, n->name);

	ret->slot = n->slot;
	if (n->is_evicted && is_there) {
		ret->kind = MEMBER_TABLE;
		if (row->vote) {
			ret->row = *row;
			ret->row.vote = 0;
		}
		return true;
	}
	if (n->is_evicted || is_there || row->nodeid)
		return false;
	ret->kind = MEMBER_TABLE;
	ret->row.nodeid = n->nodeid;
	memcpy(ret->row.name, n->name, sizeof(ret->row.name));
	return true;
}

static bool take_removal(const struct db *db, const struct db_node *n, const struct cl_table *table,
			 struct member_step *ret)
{
	const struct cl_member *row = &table->member[n->slot];

	if (!n->is_evicted || (row->nodeid == n->nodeid && !strcmp(row->name, n->name)) ||
	    member_keeps(db, n))
		return false;
	ret->kind = MEMBER_REMOVED;
	memcpy(ret->removed.name, n->name, sizeof(n->name));
	return true;
}

/* Everybody who is here has the file, and somebody's corosync has not read it. */
static bool needs_reload(const struct db *db)
{
	const struct db_cluster *c = cluster_of(db);
	bool is_old = false;

	for (uint32_t i = 0; c && c->conf && i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = node_at(db, i);

		if (n->membership != DB_MEMBERSHIP_ADMITTED)
			continue;
		if (n->conf_written != c->conf)
			return false;
		is_old = is_old || n->conf_running != c->conf;
	}
	return is_old;
}

void member_next(const struct db *db, const struct cl_table *table,
		 const struct corosync_nodes *local, struct member_step *ret)
{
	*ret = (struct member_step){.kind = MEMBER_NOTHING};
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		if (take_address(db, table, slot, local, ret))
			return;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = node_at(db, i);

		if (take_table(n, table, ret) || take_removal(db, n, table, ret))
			return;
	}
	*ret = (struct member_step){.kind = needs_reload(db) ? MEMBER_RELOAD : MEMBER_NOTHING};
}
