/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the networks between the nodes are for; see network.h. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/network.h"

static void roles_text(uint8_t roles, char *text, size_t size)
{
	size_t at = 0;

	text[0] = 0;
	for (int r = 0; r < NETWORK_ROLE_MAX; r++) {
		if ((roles & 1u << r) && at < size)
			at += (size_t)snprintf(text + at, size - at, "%s%s", at ? "," : "",
					       network_role_name((enum network_role)r));
	}
}

void do_network_set(struct apply *a, const struct db_cmd_network_set *c)
{
	uint8_t link = network_find(c->name), count = network_count(a->db);
	struct db_network n, *row;
	char roles[64];

	if (link >= count) {
		apply_answer(a, DB_NO_SUCH, "no network %s: the nodes have %u, see 'network list'",
			     c->name, count);
		return;
	}
	network_get(a->db, link, &n);
	if (!c->keeps_roles &&
	    (!(c->roles & 1u << NETWORK_CLUSTER) || c->roles >= 1u << NETWORK_ROLE_MAX)) {
		apply_answer(a, DB_INVALID,
			     "network %s: corosync's ring goes over every network: name the role "
			     "cluster, too",
			     c->name);
		return;
	}
	n.roles = c->keeps_roles ? n.roles : c->roles;
	n.metric = c->metric == DB_KEEP ? n.metric : c->metric;
	row = db_find(a->db, DB_KIND_NETWORK, n.name);
	row = row ? row : db_insert(a->db, DB_KIND_NETWORK, n.name);
	if (!row) {
		apply_answer(a, DB_REFUSED, "no room for another network");
		return;
	}
	row->roles = n.roles;
	row->metric = n.metric;
	roles_text(n.roles, roles, sizeof(roles));
	apply_event(a, "network-changed", c->name, "%s, metric %u, by %s", roles, n.metric,
		    a->cmd->actor);
}
