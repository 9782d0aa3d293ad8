/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/duty.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/core/member.h"
#include "clusterd/edge/conf.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/text.h"
#include "clusterd/edge/voting.h"
#include "lib/must.h"

/* A duty that got lost on its way is decided anew after that. */
#define DUTY_TIMEOUT_MS 10000

static void submit(struct engine *e, const struct db_command *cmd)
{
	uint8_t buf[DB_COMMAND_MAX];
	size_t len;

	must(!db_command_encode(cmd, buf, sizeof(buf), &len));
	engine_submit(e, CL_ENTRY_COMMAND, buf, len, DUTY_TIMEOUT_MS, true, NULL, NULL);
}

/* Holds all that is committed: it may be admitted. */
static bool is_caught_up(const struct engine *e, uint8_t slot)
{
	return e->repl.persisted[slot] >= e->repl.commit;
}

static void admit(struct engine *e, const struct repl_peer *p)
{
	const struct db_node *n = db_node_by_slot(&e->db, p->slot);
	struct db_command cmd = engine_command(e, DB_CMD_NODE_ADMIT);
	struct db_cmd_node_admit *c = &cmd.node_admit;

	if (n && n->incarnation == p->state.incarnation &&
	    (n->membership == DB_MEMBERSHIP_FENCED || n->membership == DB_MEMBERSHIP_FENCING))
		return;
	/* A process that said that it leaves is on its way out; a new one of that boot may come. */
	if (n && n->incarnation == p->state.incarnation && n->instance == p->state.instance &&
	    (n->membership == DB_MEMBERSHIP_ADMITTED || n->membership == DB_MEMBERSHIP_LEFT))
		return;
	if (!is_caught_up(e, p->slot))
		return;
	memcpy(c->name, e->repl.vtable.member[p->slot].name, sizeof(c->name));
	c->slot = p->slot;
	c->nodeid = p->nodeid;
	c->incarnation = p->state.incarnation;
	c->instance = p->state.instance;
	text_uuid(p->state.boot.byte, c->boot);
	snprintf(c->version, sizeof(c->version), "%s", CLUSTERD_VERSION);
	submit(e, &cmd);
}

static void submit_row(struct engine *e, uint8_t slot, const struct cl_member *row)
{
	uint8_t payload[CL_ROW_MAX];
	size_t len;

	must(!cl_row_encode(slot, row, payload, sizeof(payload), &len));
	engine_submit(e, CL_ENTRY_TABLE, payload, len, DUTY_TIMEOUT_MS, true, NULL, NULL);
}

static bool is_in_ring(const struct engine *e, uint32_t nodeid)
{
	for (size_t i = 0; i < e->ring_count; i++) {
		if (e->ring[i] == nodeid)
			return true;
	}
	return false;
}

/*
 * A machine that left the ring is lost at once. One that is in it has lost its clusterd only, which
 * may be back before the lease ends (an upgrade, a restart): it gets that long.
 */
static bool is_lost(struct engine *e, const struct db_node *n)
{
	uint64_t now = engine_now_ms();

	if (e->repl.present & cl_bit(n->slot)) {
		e->absent_ms[n->slot] = 0;
		return false;
	}
	if (!e->absent_ms[n->slot])
		e->absent_ms[n->slot] = now;
	return !is_in_ring(e, n->nodeid) || now - e->absent_ms[n->slot] >= e->options.repl.lease_ms;
}

static void declare_lost(struct engine *e)
{
	for (uint32_t i = 0; i < db_count(&e->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(&e->db, DB_KIND_NODE, i);
		struct db_command cmd = engine_command(e, DB_CMD_NODE_LOST);

		if (n->membership != DB_MEMBERSHIP_ADMITTED || !is_lost(e, n))
			continue;
		memcpy(cmd.node_lost.name, n->name, sizeof(n->name));
		cmd.node_lost.incarnation = n->incarnation;
		submit(e, &cmd);
	}
}

/* Nobody could fence it without quorum, nor would anything start elsewhere. */
static void fence_stuck(struct engine *e, const struct db_cmd_node_fencing *fence)
{
	struct db_command cmd = engine_command(e, DB_CMD_NODE_FENCING);
	const struct db_node *n = db_find(&e->db, DB_KIND_NODE, fence->name);

	if (!(quorum_may_lose(&e->repl.vtable, e->repl.countable) & cl_bit(n->slot)))
		return;
	cmd.node_fencing = *fence;
	submit(e, &cmd);
}

/* Nodes that are added and evicted. */
static void members(struct engine *e)
{
	bool is_missing = false;
	struct member_step step;
	struct db_command cmd;

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_node *n = db_node_by_slot(&e->db, slot);

		is_missing = is_missing ||
			     (e->repl.vtable.member[slot].nodeid && (!n || !n->address0[0]));
	}
	member_next(&e->db, &e->repl.vtable, is_missing && e->conf ? conf_local(e->conf) : NULL,
		    &step);
	switch (step.kind) {
	case MEMBER_ADDRESS:
		cmd = engine_command(e, DB_CMD_NODE_ADDRESS);
		cmd.node_address = step.address;
		submit(e, &cmd);
		break;
	case MEMBER_REMOVED:
		cmd = engine_command(e, DB_CMD_NODE_REMOVED);
		cmd.node_removed = step.removed;
		submit(e, &cmd);
		break;
	case MEMBER_TABLE:
		submit_row(e, step.slot, &step.row);
		break;
	case MEMBER_RELOAD:
		if (e->conf)
			conf_reload(e->conf);
		break;
	case MEMBER_NOTHING:
		break;
	}
}

static void order(struct engine *e)
{
	static struct plan_orders orders;

	plan_run(&e->db, &orders);
	for (size_t i = 0; i < orders.volume_count; i++) {
		struct db_command cmd = engine_command(e, DB_CMD_VOLUME_ORDER);

		cmd.volume_order = orders.volume[i];
		submit(e, &cmd);
	}
	for (size_t i = 0; i < orders.begin_count; i++) {
		struct db_command cmd = engine_command(e, DB_CMD_MIGRATION_ORDER);

		cmd.migration_order = orders.begin[i];
		submit(e, &cmd);
	}
	for (size_t i = 0; i < orders.migration_count; i++) {
		struct db_command cmd = engine_command(e, DB_CMD_VM_MIGRATE);

		cmd.vm_migrate = orders.migration[i];
		submit(e, &cmd);
	}
	for (size_t i = 0; i < orders.count; i++) {
		struct db_command cmd = engine_command(e, DB_CMD_GROUP_ORDER);

		cmd.group_order = orders.item[i];
		submit(e, &cmd);
	}
	/* Last: from its begin on nothing can be ordered on that node. */
	if (orders.has_fence)
		fence_stuck(e, &orders.fence);
}

void duty_run(struct engine *e)
{
	if (!repl_is_sequencer(&e->repl) || !engine_may_act(e) || e->duties)
		return;
	for (uint8_t i = 0; i < e->repl.peer_count; i++) {
		if (e->repl.peer[i].slot != CL_NODE_NONE)
			admit(e, &e->repl.peer[i]);
	}
	declare_lost(e);
	if (e->duties)
		return;
	voting_run(e);
	if (!e->duties)
		members(e);
	if (!e->duties && db_count(&e->db, DB_KIND_CLUSTER))
		order(e);
}
