/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * corosync's closed process group, as the replication core wants it: one call for each change of
 * the group or the ring, one for each message, in their order. Sending never blocks: what corosync
 * does not take now waits in a bounded queue and goes out from the loop. A lost corosync is
 * reported once; the connection is tried again until it holds.
 *
 * Loop thread only. Wrapper of libcpg (cpg_overview(3), corosync/cpg.h).
 */
#ifndef CLUSTERD_EDGE_CPG_H
#define CLUSTERD_EDGE_CPG_H

#include <qb/qbloop.h>

#include "clusterd/core/repl.h"

#define CPG_ADDRESS_MAX 64

struct cpg;

struct cpg_calls {
	/* The connection stands; our address in the group. Comes before any change. */
	void (*joined)(void *arg, uint32_t nodeid);
	void (*confchg)(void *arg, const struct cl_ring *ring, const struct repl_address *member,
			uint8_t count);
	/* The machines of the ring, whether or not a process of the group runs there. */
	void (*ring)(void *arg, const uint32_t *nodeid, size_t count);
	void (*message)(void *arg, const struct repl_address *from, const void *data, size_t len);
	void (*left)(void *arg, const char *why);
	/* The ring is not encrypted: it is not joined, and not tried again. */
	void (*unsafe)(void *arg, const char *what);
};

/* Returns 0 and the object (owned by the caller); connects from the loop. */
int cpg_open(qb_loop_t *loop, const char *group, const struct cpg_calls *calls, void *arg,
	     struct cpg **ret);
void cpg_close(struct cpg *c);
/* Takes a copy. 0; -ENOTCONN without corosync; -ENOBUFS when the queue is full. */
int cpg_send(struct cpg *c, const void *data, size_t len);
/* Name of that node in corosync's nodelist (cmap), or -ENOENT. */
int cpg_node_name(uint32_t nodeid, char *name, size_t size);
/* Nodeid of the node with that name in corosync's nodelist, or -ENOENT. */
int cpg_node_find(const char *name, uint32_t *ret_nodeid);
/* First address of that node in corosync's nodelist, or -ENOENT. */
int cpg_node_address(uint32_t nodeid, char *address, size_t size);
/* Its address on that link, or its first if it has none there. */
int cpg_node_link_address(uint32_t nodeid, uint8_t link, char *address, size_t size);
/*
 * Addresses by slot, on one link, each asked of corosync once: that takes milliseconds in which the
 * loop stands still. All zero: none is known yet.
 */
struct cpg_addresses {
	uint32_t nodeid[CL_MAX_NODES];
	char text[CL_MAX_NODES][CPG_ADDRESS_MAX];
};
/* "" if corosync does not know it: it is asked again the next time. */
const char *cpg_address(struct cpg_addresses *a, uint8_t slot, uint32_t nodeid, uint8_t link);
/* Version of the configuration that corosync runs with; 0 if it has none. -ENOTCONN without it. */
int cpg_config_version(uint64_t *ret);
/* corosync's times to detect a loss and to form a ring that are in force; 0: it does not tell. */
void cpg_totem_times(uint32_t *ret_token_ms, uint32_t *ret_consensus_ms);
/* Our own nodeid, or 0 without corosync. */
uint32_t cpg_local_nodeid(void);

#endif
