/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes that come and go while the cluster runs, and the corosync.conf that says so; see member.h.
 */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/member.h"

static void conf_changes(struct apply *a)
{
	struct db_cluster *row = db_at(a->db, DB_KIND_CLUSTER, 0);

	row->conf = a->entry->index;
}

/* ---- node_add */

static bool is_address(const char *s)
{
	size_t len = strlen(s);

	for (size_t i = 0; i < len; i++) {
		bool ok = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'z') ||
			  (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '.' || s[i] == ':' || s[i] == '-';

		if (!ok)
			return false;
	}
	return len > 0;
}

/* The node that has it, or NULL. */
static const struct db_node *address_owner(const struct db *db, const char *address)
{
	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (!strcmp(n->address0, address) || !strcmp(n->address1, address))
			return n;
	}
	return NULL;
}

static bool address_is_free(struct apply *a, const char *node, const char *address)
{
	const struct db_node *owner;

	if (!is_address(address)) {
		apply_answer(a, DB_INVALID, "node %s: \"%s\" is no address", node, address);
		return false;
	}
	owner = address_owner(a->db, address);
	if (!owner)
		return true;
	apply_answer(a, DB_CONFLICT, "node %s: %s is the address of %s", node, address,
		     owner->name);
	return false;
}

/* As many as the others have; and theirs must be known, for they go into the same file. */
static bool addresses_fit(struct apply *a, const struct db_cmd_node_add *c)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(a->db, DB_KIND_NODE, i);

		if (!n->address0[0]) {
			apply_answer(a, DB_REFUSED,
				     "the addresses of %s are not known yet: start clusterd there, "
				     "with a nodelist in corosync.conf",
				     n->name);
			return false;
		}
		if (!n->address1[0] != !c->address1[0]) {
			apply_answer(a, DB_INVALID, "node %s: the cluster has %s: give %s", c->name,
				     n->address1[0] ? "two networks" : "one network",
				     n->address1[0] ? "an address in each" : "one address");
			return false;
		}
	}
	if (c->address1[0] && !strcmp(c->address0, c->address1)) {
		apply_answer(a, DB_INVALID, "node %s: %s twice", c->name, c->address0);
		return false;
	}
	return address_is_free(a, c->name, c->address0) &&
	       (!c->address1[0] || address_is_free(a, c->name, c->address1));
}

static uint32_t free_nodeid(const struct db *db)
{
	uint32_t id = 1;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		if (((const struct db_node *)db_at(db, DB_KIND_NODE, i))->nodeid == id) {
			id++;
			i = UINT32_MAX; /* from the first again */
		}
	}
	return id;
}

static uint8_t free_slot(const struct db *db)
{
	uint8_t slot = 0;

	while (slot < CL_MAX_NODES && db_node_by_slot(db, slot))
		slot++;
	return slot;
}

void do_node_add(struct apply *a, const struct db_cmd_node_add *c)
{
	uint32_t nodeid = c->nodeid ? c->nodeid : free_nodeid(a->db);
	uint8_t slot = free_slot(a->db);
	struct db_node *n;

	if (!db_count(a->db, DB_KIND_CLUSTER) || !c->name[0]) {
		apply_answer(a, DB_INVALID, "there is no cluster yet, or no name");
		return;
	}
	if (db_find(a->db, DB_KIND_NODE, c->name)) {
		apply_answer(a, DB_CONFLICT, "node %s is a member already", c->name);
		return;
	}
	if (slot == CL_MAX_NODES) {
		apply_answer(a, DB_REFUSED,
			     "node %s: the cluster has %d nodes already, and no room", c->name,
			     CL_MAX_NODES);
		return;
	}
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_NODE); i++) {
		n = db_at(a->db, DB_KIND_NODE, i);

		if (n->nodeid == nodeid) {
			apply_answer(a, DB_CONFLICT, "nodeid %u is that of %s", nodeid, n->name);
			return;
		}
	}
	if (!addresses_fit(a, c))
		return;
	n = db_insert(a->db, DB_KIND_NODE, c->name);
	n->slot = slot;
	n->nodeid = nodeid;
	n->membership = DB_MEMBERSHIP_NEVER;
	n->since_ms = a->cmd->at_ms;
	COPY(n->address0, c->address0);
	COPY(n->address1, c->address1);
	conf_changes(a);
	apply_event(a, "node-added", c->name, "nodeid %u at %s%s%s, by %s", nodeid, c->address0,
		    c->address1[0] ? " and " : "", c->address1, a->cmd->actor);
}

/* ---- node_evict */

static void forget_wish(struct apply *a, struct db_group *g)
{
	g->wish = CL_NODE_NONE;
	if (g->work != DB_WORK_ONLINE)
		return; /* the task goes on: it shall be online */
	apply_task_end(a, g->task, DB_TASK_STATE_FAILED, "the node was evicted");
	g->task = 0;
}

/* Administrators no longer want anything there; nor is who gets its slot one of those they named.
 */
static void forget_wishes(struct apply *a, uint8_t slot)
{
	struct db *db = a->db;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->wish == slot)
			forget_wish(a, g);
		g->refused = (uint16_t)(g->refused & ~cl_bit(slot));
		if (g->possible != UINT16_MAX) /* all, whoever they are */
			g->possible = (uint16_t)(g->possible & ~cl_bit(slot));
	}
	place_node_evicted(db, slot);
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);

		v->wish = v->wish == slot ? CL_NODE_NONE : v->wish;
		v->refused = (uint16_t)(v->refused & ~cl_bit(slot));
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_FENCE); i++) {
		struct db_fence *f = db_at(db, DB_KIND_FENCE, i);

		f->nodes = (uint16_t)(f->nodes & ~cl_bit(slot));
	}
}

void do_node_evict(struct apply *a, const struct db_cmd_node_evict *c)
{
	struct db_node *n = db_find(a->db, DB_KIND_NODE, c->name);

	if (!n) {
		apply_answer(a, DB_NO_SUCH, "no node %s", c->name);
	} else if (n->is_evicted) {
		return;
	} else if (n->membership == DB_MEMBERSHIP_ADMITTED) {
		apply_answer(a, DB_REFUSED,
			     "node %s is up: stop clusterd there first, which moves its work away",
			     c->name);
	} else if (n->membership == DB_MEMBERSHIP_LOST || n->membership == DB_MEMBERSHIP_FENCING) {
		apply_answer(a, DB_REFUSED,
			     "node %s is lost, and may run something yet: wait for its fence",
			     c->name);
	} else {
		n->is_evicted = true;
		forget_wishes(a, n->slot);
		conf_changes(a);
		apply_event(a, "node-evicted", c->name, "by %s", a->cmd->actor);
	}
}

void do_node_removed(struct apply *a, const struct db_cmd_node_removed *c)
{
	struct db_node *n = db_find(a->db, DB_KIND_NODE, c->name);
	const char *why = n ? member_keeps(a->db, n) : NULL;

	if (!n || !n->is_evicted) {
		apply_answer(a, DB_CONFLICT, "no evicted node %s", c->name);
	} else if (why) {
		apply_answer(a, DB_REFUSED, "node %s: %s", c->name, why);
	} else {
		apply_event(a, "node-removed", c->name, "its slot %u is free", n->slot);
		force_node_back(a, n->slot);
		settings_forget(a->db, c->name);
		secrets_slot_free(a->db, n->slot);
		db_remove(a->db, DB_KIND_NODE, n);
	}
}

/* ---- corosync.conf */

static struct db_node *node_known(struct apply *a, const struct db_cmd_node_address *c)
{
	struct db_node *n = db_find(a->db, DB_KIND_NODE, c->name);

	if (n || !c->name[0] || c->slot >= CL_MAX_NODES || db_node_by_slot(a->db, c->slot))
		return n;
	n = db_insert(a->db, DB_KIND_NODE, c->name);
	n->slot = c->slot;
	n->nodeid = c->nodeid;
	n->membership = DB_MEMBERSHIP_NEVER;
	n->since_ms = a->cmd->at_ms;
	return n;
}

void do_node_address(struct apply *a, const struct db_cmd_node_address *c)
{
	bool is_valid = !c->address0[0] ||
			(is_address(c->address0) && (!c->address1[0] || is_address(c->address1)));
	struct db_node *n = is_valid ? node_known(a, c) : NULL;

	if (!is_valid) {
		apply_answer(a, DB_INVALID, "node %s: no addresses", c->name);
	} else if (!n || n->slot != c->slot || n->nodeid != c->nodeid) {
		apply_answer(a, DB_CONFLICT, "node %s: slot %u is not its own", c->name, c->slot);
	} else if (!n->address0[0]) {
		COPY(n->address0, c->address0);
		COPY(n->address1, c->address1);
	}
}

void do_node_conf(struct apply *a, const struct db_cmd_node_conf *c)
{
	struct db_node *n = db_find(a->db, DB_KIND_NODE, c->name);

	if (!n || n->incarnation != c->incarnation) {
		apply_answer(a, DB_NO_SUCH, "no such incarnation of node %s", c->name);
		return;
	}
	n->conf_written = c->written;
	n->conf_running = c->running;
	if (c->reason[0])
		apply_event(a, "conf-failed", c->name, "corosync.conf: %s", c->reason);
	if (c->replaced[0])
		apply_event(a, "conf-replaced", c->name, "corosync.conf had %s", c->replaced);
}

void do_conf_adopt(struct apply *a, const struct db_cmd_conf_adopt *c)
{
	const struct db_cluster *row =
		db_count(a->db, DB_KIND_CLUSTER) ? db_at(a->db, DB_KIND_CLUSTER, 0) : NULL;

	if (!row || !db_find(a->db, DB_KIND_NODE, c->name)) {
		apply_answer(a, DB_NO_SUCH, "no node %s", c->name);
		return;
	}
	if (row->conf) /* another node was first */
		return;
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(a->db, DB_KIND_NODE, i);

		if (!n->address0[0]) {
			apply_answer(a, DB_REFUSED, "the addresses of %s are not known yet",
				     n->name);
			return;
		}
	}
	conf_changes(a);
	apply_event(a, "conf-adopted", c->name, "corosync.conf becomes the cluster's: it had %s",
		    c->differs);
}

void conf_times_changed(struct apply *a)
{
	const struct db_cluster *row =
		db_count(a->db, DB_KIND_CLUSTER) ? db_at(a->db, DB_KIND_CLUSTER, 0) : NULL;

	if (row && row->conf)
		conf_changes(a);
}
