/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The networks between the nodes, one for each link of corosync, and what each is for: live
 * migrations, the redirected I/O of volumes, or only corosync's ring, which goes over all of them.
 * Of several networks for one purpose the one with the lowest metric is used, then the first link.
 *
 * A migration and a coordinator keep the network that was chosen when they were ordered.
 */
#ifndef CLUSTERD_CORE_NETWORK_H
#define CLUSTERD_CORE_NETWORK_H

#include "clusterd/core/corosync_conf.h"
#include "clusterd/core/db.h"

#define NETWORK_METRIC 100 /* by default */

/* ROLE(NAME, word) */
#define NETWORK_ROLES(X)                                                                           \
	X(CLUSTER, "cluster")	  /* corosync's ring and what is beside it; has every network */   \
	X(MIGRATION, "migration") /* of virtual machines */                                        \
	X(REDIRECT, "redirect")	  /* mounts of a volume to its coordinator */

enum network_role {
#define NETWORK_ROLE_ENUM(NAME, word) NETWORK_##NAME,
	NETWORK_ROLES(NETWORK_ROLE_ENUM)
#undef NETWORK_ROLE_ENUM
		NETWORK_ROLE_MAX,
};

/* Links that the cluster's nodes have; 0: their addresses are not known yet. */
uint8_t network_count(const struct db *db);
/* The network of that link as it is set, else as it is by default. */
void network_get(const struct db *db, uint8_t link, struct db_network *ret);
/* The link of the network of that name; COROSYNC_LINKS: there is none. */
uint8_t network_find(const char *name);
/* The link to be used for that now. */
uint8_t network_for(const struct db *db, enum network_role role);
const char *network_role_name(enum network_role role);

#endif
