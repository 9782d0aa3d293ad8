/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What administrators ask for, at whichever node they are. See sim_cluster.h. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_cluster.h"

#define ACTOR "client "

int64_t client_op_of(const struct db_command *cmd)
{
	return strncmp(cmd->actor, ACTOR, sizeof(ACTOR) - 1)
		       ? -1
		       : strtoll(cmd->actor + sizeof(ACTOR) - 1, NULL, 10);
}

static void acknowledged(struct cluster *c, uint8_t node, uint64_t op, int r,
			 const struct db_result *result)
{
	(void)node;
	(void)result;
	if (r)
		return;
	c->op[op].is_acked = true;
	c->acks++;
}

static void ask(struct cluster *c, uint8_t node, struct db_command *cmd)
{
	if (c->ops >= OPS)
		return;
	snprintf(cmd->actor, sizeof(cmd->actor), ACTOR "%" PRIu64, c->ops);
	if (node_request(c, node, cmd, acknowledged, c->ops))
		c->ops++;
}

static uint64_t below(struct cluster *c, uint64_t n)
{
	return prng_below(&c->w.prng, n);
}

static void node_name(int n, char ret[CL_NAME_MAX])
{
	snprintf(ret, CL_NAME_MAX, "n%d", n);
}

/* ---- groups */

static void group_make(struct cluster *c, uint8_t node, int g)
{
	struct db_command cmd = {.type = DB_CMD_GROUP_CREATE};
	size_t at = 0;

	sim_group_name(g, cmd.group_create.name);
	for (int v = 0; v < VOLUMES; v++) {
		if (cluster_chance(c, 30))
			at += (size_t)snprintf(cmd.group_create.volumes + at,
					       sizeof(cmd.group_create.volumes) - at, "v%d,", v);
	}
	ask(c, node, &cmd);
}

static void group_wish(struct cluster *c, uint8_t node, const char *name, enum db_intent intent,
		       uint8_t wish)
{
	struct db_command cmd = {
		.type = DB_CMD_GROUP_INTENT,
		.group_intent = {.intent = (uint8_t)intent, .wish = wish, .verb = "group-move"}};

	snprintf(cmd.group_intent.name, sizeof(cmd.group_intent.name), "%s", name);
	ask(c, node, &cmd);
}

static uint8_t some_node(struct cluster *c)
{
	return (uint8_t)below(c, c->w.nodes);
}

static void group_op(struct cluster *c, uint8_t node)
{
	int g = (int)below(c, GROUPS);
	struct db_command cmd = {.type = DB_CMD_GROUP_DELETE};
	char name[CL_NAME_MAX];

	sim_group_name(g, name);
	if (!db_find(&c->member[node].db, DB_KIND_GROUP, name)) {
		group_make(c, node, g);
	} else if (cluster_chance(c, 8)) {
		memcpy(cmd.group_delete.name, name, sizeof(name));
		ask(c, node, &cmd);
	} else {
		group_wish(c, node, name,
			   cluster_chance(c, 80) ? DB_INTENT_ONLINE : DB_INTENT_OFFLINE,
			   cluster_chance(c, 40) ? CL_NODE_NONE : some_node(c));
	}
}

/* ---- virtual machines */

static void vm_make(struct cluster *c, uint8_t node, int i)
{
	struct db_command cmd = {
		.type = DB_CMD_VM_CREATE,
		.vm_create = {.definition = "{}", .priority = (uint8_t)below(c, 3)}};

	sim_vm_name(i, cmd.vm_create.name);
	snprintf(cmd.vm_create.uuid, sizeof(cmd.vm_create.uuid),
		 "00000000-0000-0000-0000-00000000000%d", i);
	if (cluster_chance(c, 50))
		snprintf(cmd.vm_create.volumes, sizeof(cmd.vm_create.volumes), "v%d",
			 (int)below(c, VOLUMES));
	ask(c, node, &cmd);
}

static void task_cancel(struct cluster *c, uint8_t node)
{
	const struct db *db = &c->member[node].db;
	struct db_command cmd = {.type = DB_CMD_TASK_CANCEL};
	uint32_t tasks = db_count(db, DB_KIND_TASK);
	const struct db_task *t;

	if (!tasks)
		return;
	t = db_at(db, DB_KIND_TASK, (uint32_t)below(c, tasks));
	cmd.task_cancel.id = t->id;
	if (t->state == DB_TASK_STATE_RUNNING)
		ask(c, node, &cmd);
}

static void vm_op(struct cluster *c, uint8_t node)
{
	int i = (int)below(c, VMS);
	struct db_command migrate = {.type = DB_CMD_VM_MIGRATE,
				     .vm_migrate = {.to = some_node(c), .verb = "vm-migrate"}};
	struct db_command del = {.type = DB_CMD_VM_DELETE};
	char name[CL_NAME_MAX];

	sim_vm_name(i, name);
	memcpy(migrate.vm_migrate.name, name, sizeof(name));
	memcpy(del.vm_delete.name, name, sizeof(name));
	if (!db_find(&c->member[node].db, DB_KIND_VM, name))
		vm_make(c, node, i);
	else if (cluster_chance(c, 3))
		ask(c, node, &del);
	else if (cluster_chance(c, 10))
		task_cancel(c, node);
	else if (cluster_chance(c, 30))
		group_wish(c, node, name,
			   cluster_chance(c, 90) ? DB_INTENT_ONLINE : DB_INTENT_OFFLINE,
			   cluster_chance(c, 50) ? CL_NODE_NONE : some_node(c));
	else
		ask(c, node, &migrate);
}

/* ---- volumes */

static void volume_make(struct cluster *c, uint8_t node, int v)
{
	struct db_command cmd = {.type = DB_CMD_VOLUME_CREATE};

	sim_volume_name(v, cmd.volume_create.name);
	snprintf(cmd.volume_create.device, sizeof(cmd.volume_create.device), "/dev/lun%d", v);
	snprintf(cmd.volume_create.uuid, sizeof(cmd.volume_create.uuid),
		 "00000000-0000-0000-0000-00000000000%d", v);
	ask(c, node, &cmd);
}

static void volume_wish(struct cluster *c, uint8_t node, const char *name, uint8_t wish)
{
	struct db_command cmd = {.type = DB_CMD_VOLUME_INTENT, .volume_intent = {.wish = wish}};

	snprintf(cmd.volume_intent.name, sizeof(cmd.volume_intent.name), "%s", name);
	snprintf(cmd.volume_intent.verb, sizeof(cmd.volume_intent.verb), "%s",
		 wish == CL_NODE_NONE ? "volume-clear" : "volume-move");
	ask(c, node, &cmd);
}

static void volume_op(struct cluster *c, uint8_t node)
{
	int v = (int)below(c, VOLUMES);
	struct db_command cmd = {.type = DB_CMD_VOLUME_DELETE};
	char name[CL_NAME_MAX];

	sim_volume_name(v, name);
	if (!db_find(&c->member[node].db, DB_KIND_VOLUME, name)) {
		volume_make(c, node, v);
	} else if (cluster_chance(c, 5)) {
		memcpy(cmd.volume_delete.name, name, sizeof(name));
		ask(c, node, &cmd);
	} else {
		volume_wish(c, node, name, cluster_chance(c, 40) ? CL_NODE_NONE : some_node(c));
	}
}

/* ---- nodes */

static void pause_node(struct cluster *c, uint8_t node, const char *name, bool pause, bool drain)
{
	struct db_command cmd = {.type = DB_CMD_NODE_PAUSE,
				 .node_pause = {.pause = pause, .drain = drain}};

	snprintf(cmd.node_pause.name, sizeof(cmd.node_pause.name), "%s", name);
	ask(c, node, &cmd);
}

static void node_op(struct cluster *c, uint8_t node)
{
	bool pause = cluster_chance(c, 40);
	char name[CL_NAME_MAX];

	node_name(some_node(c), name);
	pause_node(c, node, name, pause, pause && cluster_chance(c, 70));
}

void client_op(struct cluster *c, uint8_t node)
{
	if (!cluster_runs(c, node))
		return;
	switch (below(c, 8)) {
	case 0:
		node_op(c, node);
		break;
	case 1:
	case 2:
		volume_op(c, node);
		break;
	case 3:
	case 4:
		vm_op(c, node);
		break;
	default:
		group_op(c, node);
		break;
	}
}

void client_begin(struct cluster *c)
{
	static const char key[] = "fence.window_ms";
	struct db_command init = {.type = DB_CMD_CLUSTER_INIT, .cluster_init = {.name = "c"}};
	struct db_command window = {.type = DB_CMD_SETTING_SET};
	char name[CL_NAME_MAX];

	ask(c, 0, &init);
	memcpy(window.setting_set.key, key, sizeof(key));
	snprintf(window.setting_set.value, sizeof(window.setting_set.value), "%d", FENCE_WINDOW_MS);
	ask(c, 0, &window);
	if (cluster_chance(c, 50)) {
		struct db_command cmd = {
			.type = DB_CMD_SETTING_SET,
			.setting_set = {.key = "quorum.quarantine_max", .value = "1"}};

		ask(c, 0, &cmd);
	}
	for (uint8_t d = 0; d < DEVICES; d++) {
		struct db_command cmd = {.type = DB_CMD_FENCE_CREATE,
					 .fence_create = {.agent = "/simulated",
							  .level = (uint8_t)(d + 1),
							  .nodes = UINT16_MAX,
							  .timeout_ms = 250}};

		snprintf(cmd.fence_create.name, sizeof(cmd.fence_create.name), "d%u", d);
		ask(c, 0, &cmd);
	}
	for (int v = 0; v < VOLUMES; v++) {
		if (cluster_chance(c, 80))
			volume_make(c, 0, v);
	}
	for (int g = 0; g < GROUPS; g++) {
		group_make(c, 0, g);
		sim_group_name(g, name);
		group_wish(c, 0, name, DB_INTENT_ONLINE, CL_NODE_NONE);
	}
	for (int i = 0; i < VMS; i++) {
		vm_make(c, 0, i);
		sim_vm_name(i, name);
		group_wish(c, 0, name, DB_INTENT_ONLINE, CL_NODE_NONE);
	}
}

/* Nothing of it is there any more, and it has no vote. */
static bool is_put_away(const struct cluster *c, const struct db_node *n)
{
	for (uint32_t i = 0; i < db_count(&c->db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(&c->db, DB_KIND_GROUP, i);

		if (g->lock && g->node == n->slot)
			return false;
	}
	for (uint32_t i = 0; i < db_count(&c->db, DB_KIND_MOUNT); i++) {
		const struct db_mount *m = db_at(&c->db, DB_KIND_MOUNT, i);

		if (m->slot == n->slot)
			return false;
	}
	return !c->w.node[n->slot].repl.vtable.member[n->slot].vote;
}

/* Whoever tends the cluster: what was given up is tried again, what was put away is wanted. */
void client_tend(struct cluster *c, uint8_t node)
{
	const struct db *db = &c->member[node].db;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (n->is_paused) {
			pause_node(c, node, n->name, false, false);
			return;
		}
		if (n->is_quarantined && n->membership == DB_MEMBERSHIP_ADMITTED &&
		    is_put_away(c, n)) {
			struct db_command cmd = {.type = DB_CMD_NODE_QUARANTINE_CLEAR};

			memcpy(cmd.node_quarantine_clear.name, n->name, sizeof(n->name));
			ask(c, node, &cmd);
			return;
		}
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(db, DB_KIND_VOLUME, i);

		if (v->refused || v->crashed || v->work == DB_WORK_FAILED) {
			volume_wish(c, node, v->name, CL_NODE_NONE);
			return;
		}
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(db, DB_KIND_GROUP, i);

		if (g->intent == DB_INTENT_OFFLINE || g->refused || g->work == DB_WORK_FAILED) {
			group_wish(c, node, g->name, DB_INTENT_ONLINE, CL_NODE_NONE);
			return;
		}
	}
}
