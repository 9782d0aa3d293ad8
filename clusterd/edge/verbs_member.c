/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs about who belongs to the cluster. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/corosync_conf.h"
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
