/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The noun network: what the links between the nodes are for. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/network.h"
#include "clusterd/edge/verbs_impl.h"

static json_t *addresses_json(const struct db *db, uint8_t link)
{
	json_t *o = json_object();

	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		json_object_set_new(o, n->name, json_string(link ? n->address1 : n->address0));
	}
	return o;
}

static json_t *network_json(const struct db *db, uint8_t link)
{
	json_t *roles = json_array(), *used = json_array();
	struct db_network n;

	network_get(db, link, &n);
	for (int r = 0; r < NETWORK_ROLE_MAX; r++) {
		const char *name = network_role_name((enum network_role)r);

		if (n.roles & 1u << r)
			json_array_append_new(roles, json_string(name));
		if (r == NETWORK_CLUSTER || network_for(db, (enum network_role)r) == link)
			json_array_append_new(used, json_string(name));
	}
	return json_pack("{s:s, s:i, s:o, s:I, s:o, s:o}", "name", n.name, "link", link, "roles",
			 roles, "metric", (json_int_t)n.metric, "used_for", used, "addresses",
			 addresses_json(db, link));
}

void verb_network_list(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	json_t *a = json_array();

	(void)args;
	for (uint8_t link = 0; link < network_count(db); link++)
		json_array_append_new(a, network_json(db, link));
	api_reply(c, API_OK, a, "%s", "");
}

void verb_network_show(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	char name[CL_NAME_MAX];

	if (!verb_arg_name(c, args, "name", name, sizeof(name)))
		return;
	if (network_find(name) >= network_count(db))
		api_reply(c, API_NO_SUCH, NULL, "no network %s", name);
	else
		api_reply(c, API_OK, network_json(db, network_find(name)), "%s", "");
}

/* A list of roles becomes a set; replies and returns false if one of them is none. */
static bool arg_roles(struct api_client *c, const json_t *list, uint8_t *ret)
{
	size_t i;
	json_t *v;

	*ret = 0;
	json_array_foreach((json_t *)list, i, v)
	{
		const char *name = json_string_value(v);
		int r = 0;

		while (r < NETWORK_ROLE_MAX &&
		       (!name || strcmp(name, network_role_name((enum network_role)r)) != 0))
			r++;
		if (r == NETWORK_ROLE_MAX) {
			api_reply(c, API_USAGE, NULL,
				  "role: '%.64s': cluster, migration or redirect, with commas",
				  name ? name : "");
			return false;
		}
		*ret = (uint8_t)(*ret | 1u << r);
	}
	return true;
}

void verb_network_set(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_NETWORK_SET);
	struct db_cmd_network_set *s = &cmd.network_set;
	const json_t *role = json_object_get(args, "role");

	if (!verb_arg_name(c, args, "name", s->name, sizeof(s->name)) ||
	    !verb_arg_u32(c, args, "metric", DB_KEEP, 65535, &s->metric) ||
	    !arg_roles(c, role, &s->roles))
		return;
	s->keeps_roles = !role;
	if (s->keeps_roles && s->metric == DB_KEEP) {
		api_reply(c, API_USAGE, NULL, "nothing to set: give role or metric");
		return;
	}
	verb_submit(c, &cmd);
}
