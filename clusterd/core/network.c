/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/network.h"

#include <stdio.h>
#include <string.h>

static void network_name(uint8_t link, char ret[CL_NAME_MAX])
{
	snprintf(ret, CL_NAME_MAX, "net%u", link);
}

uint8_t network_find(const char *name)
{
	char own[CL_NAME_MAX];
	uint8_t link = 0;

	for (; link < COROSYNC_LINKS; link++) {
		network_name(link, own);
		if (!strcmp(own, name))
			break;
	}
	return link;
}

uint8_t network_count(const struct db *db)
{
	uint8_t count = 0;

	for (uint32_t i = 0; i < db_count(db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(db, DB_KIND_NODE, i);

		if (n->address1[0])
			return 2;
		count = n->address0[0] ? 1 : count;
	}
	return count;
}

void network_get(const struct db *db, uint8_t link, struct db_network *ret)
{
	const struct db_network *row;

	*ret = (struct db_network){.roles = (uint8_t)(1u << NETWORK_CLUSTER),
				   .metric = NETWORK_METRIC};
	network_name(link, ret->name);
	row = db_find(db, DB_KIND_NETWORK, ret->name);
	if (row) {
		*ret = *row;
		return;
	}
	if (link == 0)
		ret->roles |= (uint8_t)(1u << NETWORK_REDIRECT);
	if (link == 1 || network_count(db) == 1)
		ret->roles |= (uint8_t)(1u << NETWORK_MIGRATION);
}

uint8_t network_for(const struct db *db, enum network_role role)
{
	uint8_t count = network_count(db), best = COROSYNC_LINKS;
	uint32_t metric = 0;

	for (uint8_t link = 0; link < (count ? count : COROSYNC_LINKS); link++) {
		struct db_network n;

		network_get(db, link, &n);
		if (!(n.roles & 1u << role) || (best < COROSYNC_LINKS && n.metric >= metric))
			continue;
		best = link;
		metric = n.metric;
	}
	return best < COROSYNC_LINKS ? best : 0; /* that there always is */
}

const char *network_role_name(enum network_role role)
{
	static const char *const name[NETWORK_ROLE_MAX] = {
#define NETWORK_ROLE_NAME(NAME, word) [NETWORK_##NAME] = word,
		NETWORK_ROLES(NETWORK_ROLE_NAME)
#undef NETWORK_ROLE_NAME
	};

	return role < NETWORK_ROLE_MAX ? name[role] : "?";
}
