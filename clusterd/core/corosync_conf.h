/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * corosync.conf: the list of nodes, the times of totem and the version of the file are the
 * cluster's, everything else in it (logging, links, what a distribution adds, comments) is left as
 * it stands. From the text
 * that a node has and from what the database says comes the text that it must have.
 *
 * A configuration with which the cluster would be unsafe is named and not touched: a ring that is
 * not encrypted, and whatever lets corosync decide about quorum by itself, which clusterd alone
 * does (doc/architecture.md).
 *
 * Syntax as corosync reads it: a line is blank, a comment that begins with '#', `name {`, `}` or
 * `key: value` (corosync.conf(5), exec/coroparse.c).
 */
#ifndef CLUSTERD_CORE_COROSYNC_CONF_H
#define CLUSTERD_CORE_COROSYNC_CONF_H

#include <stddef.h>

#include "clusterd/core/types.h"

#define COROSYNC_LINKS	      2		   /* networks of one node, at most */
#define COROSYNC_ADDRESS_MAX  64	   /* with the NUL */
#define COROSYNC_CONF_MAX     (64u * 1024) /* bytes of a file */
#define COROSYNC_PROBLEM_TEXT 200

struct corosync_node {
	uint32_t nodeid; /* not 0 */
	char name[CL_NAME_MAX];
	char address[COROSYNC_LINKS][COROSYNC_ADDRESS_MAX]; /* "": it has no such link */
};

/* TIME(NAME, key in section totem), in milliseconds */
#define COROSYNC_TIMES(X)                                                                          \
	X(TOKEN, "token")                                                                          \
	X(TOKEN_COEFFICIENT, "token_coefficient")                                                  \
	X(CONSENSUS, "consensus")                                                                  \
	X(JOIN, "join")

enum corosync_time {
#define COROSYNC_TIME_ENUM(NAME, key) COROSYNC_##NAME,
	COROSYNC_TIMES(COROSYNC_TIME_ENUM)
#undef COROSYNC_TIME_ENUM
		COROSYNC_TIME_MAX,
};

#define COROSYNC_TIMES_ALL ((1u << COROSYNC_TIME_MAX) - 1)

struct corosync_times {
	uint8_t given; /* bit by time: those of which a text says something */
	uint32_t ms[COROSYNC_TIME_MAX];
};

struct corosync_nodes {
	uint64_t version;	     /* of the file: grows with each change */
	struct corosync_times times; /* to be written: others are left as they stand */
	uint8_t count;
	struct corosync_node node[CL_MAX_NODES];
};

struct corosync_problem {
	uint32_t line; /* of the text, from 1; 0: of the whole */
	char text[COROSYNC_PROBLEM_TEXT];
};

/*
 * Writes to `out` the text of `old` with these nodes, times and that version. 0; -EINVAL: `old` is
 * no such text, or is unsafe, see problem; -ENOSPC: `cap` is too small.
 */
int corosync_conf_edit(const char *old, size_t len, const struct corosync_nodes *nodes, char *out,
		       size_t cap, size_t *ret_len, struct corosync_problem *problem);
/*
 * What a text says of nodes and times, and its version (0: it has none). 0; -EINVAL with a problem:
 * it cannot be understood, is unsafe, or has more nodes or links than a cluster can have.
 */
int corosync_conf_read(const char *text, size_t len, struct corosync_nodes *ret,
		       struct corosync_problem *problem);

/* "token"; the key of that time. */
const char *corosync_time_key(enum corosync_time time);

#endif
