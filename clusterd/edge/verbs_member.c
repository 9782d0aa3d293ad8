/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs about nodes: who belongs to the cluster, and how each of them is. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/corosync_conf.h"
#include "clusterd/core/node_state.h"
#include "clusterd/core/setting.h"
#include "clusterd/edge/verbs_impl.h"

/* One address for each network, in the order of corosync's links. */
static bool arg_addresses(struct api_client *c, const json_t *list, struct db_cmd_node_add *to)
{
	char *at[COROSYNC_LINKS] = {to->address0, to->address1};
	size_t n = json_array_size(list);

	if (!n || n > COROSYNC_LINKS) {
		api_reply(c, API_USAGE, NULL, "address: one for each network, 1 or %d",
			  COROSYNC_LINKS);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (!s || !*s || strlen(s) >= DB_ADDRESS_MAX) {
			api_reply(c, API_USAGE, NULL, "address: of 1 to %d characters",
				  DB_ADDRESS_MAX - 1);
			return false;
		}
		memcpy(at[i], s, strlen(s) + 1);
	}
	return true;
}

/* A member that has no row yet would lose its slot to the new one. */
static bool are_all_known(struct api_client *c)
{
	const struct engine *e = api_engine(c);

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct cl_member *m = &e->applied_table.member[slot];

		if (m->nodeid && !db_node_by_slot(&e->db, slot)) {
			api_reply(c, API_CONFLICT, NULL,
				  "node %s is not in the database yet: try again in a moment",
				  m->name);
			return false;
		}
	}
	return true;
}

void verb_node_add(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_NODE_ADD);
	struct db_cmd_node_add *n = &cmd.node_add;

	if (verb_arg_name(c, args, "name", n->name, sizeof(n->name)) &&
	    verb_arg_u32(c, args, "nodeid", 0, UINT32_MAX, &n->nodeid) &&
	    arg_addresses(c, json_object_get(args, "address"), n) && are_all_known(c))
		verb_submit(c, &cmd);
}

void verb_node_evict(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_NODE_EVICT);
	const struct db_node *n = verb_arg_node(c, args, "name");

	if (!n ||
	    !verb_is_confirmed(c, args, n->name, "it leaves the cluster for good, with its vote"))
		return;
	memcpy(cmd.node_evict.name, n->name, sizeof(n->name));
	verb_submit(c, &cmd);
}

/* ---- how they are */

static void condition(const struct engine *e, uint8_t slot, struct node_condition *ret)
{
	struct node_facts facts;

	node_facts(&facts, &e->repl, &e->db, e->ring, e->ring_count, slot, e->duty.missed.node_ms,
		   engine_now_ms());
	node_condition(&facts, ret);
}

static json_t *node_json(const struct engine *e, const struct db_node *n)
{
	json_t *o = verb_row_json(&e->db, DB_KIND_NODE, n);
	struct node_condition is;
	struct capacity_map map;

	capacity_count(&e->db, &map);
	verb_capacity_json(&map, n->slot, o);
	condition(e, n->slot, &is);
	json_object_set_new(o, "state", json_string(node_state_word(is.state)));
	json_object_set_new(o, "reason", json_string(is.reason));
	json_object_set_new(o, "vote", json_integer(e->applied_table.member[n->slot].vote));
	return o;
}

/* A member that has never run here is in the table only. */
static json_t *member_json(const struct engine *e, uint8_t slot)
{
	const struct cl_member *m = &e->applied_table.member[slot];
	struct node_condition is;

	condition(e, slot, &is);
	return json_pack("{s:s, s:i, s:I, s:s, s:s, s:i}", "name", m->name, "slot", slot, "nodeid",
			 (json_int_t)m->nodeid, "state", node_state_word(is.state), "reason",
			 is.reason, "vote", m->vote);
}

json_t *verb_nodes_json(const struct engine *e)
{
	json_t *a = json_array();

	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_node *n = db_node_by_slot(&e->db, slot);

		if (n)
			json_array_append_new(a, node_json(e, n));
		else if (e->applied_table.member[slot].nodeid)
			json_array_append_new(a, member_json(e, slot));
	}
	return a;
}

void verb_node_list(struct api_client *c, const json_t *args)
{
	(void)args;
	api_reply(c, API_OK, verb_nodes_json(api_engine(c)), "%s", "");
}

void verb_node_show(struct api_client *c, const json_t *args)
{
	const struct db_node *n = verb_arg_node(c, args, "name");

	if (n)
		api_reply(c, API_OK, node_json(api_engine(c), n), "%s", "");
}

static void node_pause(struct api_client *c, const json_t *args, bool pause)
{
	struct db_command cmd = verb_command(c, DB_CMD_NODE_PAUSE);
	const struct db_node *n = verb_arg_node(c, args, "name");

	if (!n)
		return;
	memcpy(cmd.node_pause.name, n->name, sizeof(n->name));
	cmd.node_pause.pause = pause;
	cmd.node_pause.drain = pause;
	verb_submit(c, &cmd);
}

void verb_node_drain(struct api_client *c, const json_t *args)
{
	node_pause(c, args, true);
}

/* Only of this node: it is its clusterd that ends. The executor sees the applied command. */
void verb_node_leave(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_NODE_DEPART);
	const struct setting_shape *s = setting_shape(SETTING_PLACEMENT_LEAVE_MS);
	struct engine *e = api_engine(c);
	uint32_t leave_ms = (uint32_t)setting_get(&e->db, SETTING_PLACEMENT_LEAVE_MS, NULL);

	if (!verb_arg_u32(c, args, "leave_ms", leave_ms, (uint32_t)s->max, &leave_ms))
		return;
	if (leave_ms < s->min) {
		api_reply(c, API_USAGE, NULL, "leave_ms: a number from %" PRIu64 " to %" PRIu64,
			  s->min, s->max);
		return;
	}
	memcpy(cmd.node_depart.name, e->repl.self.name.text, sizeof(cmd.node_depart.name));
	cmd.node_depart.incarnation = e->repl.self.incarnation;
	if (!api_asker(c)->is_dry)
		e->leave_ms = leave_ms;
	verb_submit(c, &cmd);
}

void verb_node_resume(struct api_client *c, const json_t *args)
{
	node_pause(c, args, false);
}

void verb_node_quarantine_clear(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_NODE_QUARANTINE_CLEAR);
	const struct db_node *n = verb_arg_node(c, args, "name");

	if (!n)
		return;
	memcpy(cmd.node_quarantine_clear.name, n->name, sizeof(n->name));
	verb_submit(c, &cmd);
}
