/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What would happen if: the planner itself, run on a copy of the applied database to which
 * something is done, its orders applied there, and what they set in motion assumed to succeed
 * (assume.h), until everything is at rest. The database that was copied is not touched; nothing of
 * the copy is ever proposed to the cluster.
 *
 * What it assumes: a node that is lost is fenced at once if a fence device covers it, and stays
 * unfenced if none does; every start, stop, mount and migration that the planner orders succeeds.
 * What it does not know: how long anything takes, what else happens meanwhile, and what memory and
 * CPU are used: reservations count, as for the planner.
 *
 * It goes step by step, each short, so that a loop can do other things in between. Memory is the
 * caller's.
 */
#ifndef CLUSTERD_CORE_WHATIF_H
#define CLUSTERD_CORE_WHATIF_H

#include "clusterd/core/plan.h"

#define WHATIF_ORDERS_MAX 1024 /* that are kept; the others are counted */
#define WHATIF_ROUNDS_MAX 1024 /* of orders and reports: then it is left as it is */
#define WHATIF_WHY_MAX	  (3 * DB_REASON_MAX)

enum whatif_kind {
	WHATIF_LOSE,	/* the nodes are lost at the same moment */
	WHATIF_DRAIN,	/* the nodes are drained */
	WHATIF_RETURN,	/* the nodes are booted anew and admitted */
	WHATIF_FAIL,	/* the group fails where it is online, for good */
	WHATIF_CHANGE,	/* a change is applied (DB_CMD_CHANGE); a fence that it begins succeeds */
	WHATIF_NOTHING, /* the planner alone */
};

struct whatif_event {
	enum whatif_kind kind;
	uint16_t nodes;
	char group[CL_NAME_MAX];
	/* Of the nodes that are left (quorum.h). Without a quorum nothing is planned. */
	bool is_quorate;
	uint16_t may_fence;    /* without which they would still be quorate */
	const uint8_t *change; /* its payload, borrowed for whatif_begin() */
	size_t change_len;
};

/* An order of the planner, in the words of an administrator. */
struct whatif_order {
	uint32_t round;	    /* from 1; the orders of one are given before anything is reported */
	const char *action; /* start, stop, migrate, begin, end, fence */
	const char *kind;   /* group, vm, volume, node */
	char name[CL_NAME_MAX];
	uint8_t node; /* where that is, or shall be */
	char reason[DB_REASON_MAX];
};

/* What became of a group, a virtual machine or a volume. */
enum whatif_change {
	WHATIF_STAYS,  /* it ran and runs, on the same node */
	WHATIF_MOVES,  /* on another one */
	WHATIF_STARTS, /* it did not run, and does */
	WHATIF_ENDS,   /* it runs no more, as it was asked to */
	WHATIF_LOST,   /* it ran, shall run, and does not */
	WHATIF_DOWN,   /* it did not run before, and does not, though it shall */
	WHATIF_OFF,    /* it did not run, and shall not */
	WHATIF_CHANGE_MAX,
};

struct whatif_outcome {
	const char *kind; /* group, vm, volume */
	char name[CL_NAME_MAX];
	enum whatif_change change;
	enum db_work was, work;
	uint8_t was_node, node; /* CL_NODE_NONE: none */
	char why[WHATIF_WHY_MAX];
};

/* What there was. */
struct whatif_before {
	char name[CL_NAME_MAX];
	bool is_volume, is_wanted;
	uint8_t work, node;
};

struct whatif {
	struct db db; /* the copy */
	struct whatif_event event;
	struct plan_orders orders;
	uint64_t request, mounts, at_ms;
	uint32_t round;
	bool is_planning, is_reporting; /* the orders, or the reports, may not be through yet */
	bool is_over, is_at_rest;
	uint16_t fences;	     /* of the change, which succeed at the first step */
	bool is_stale;		     /* the change was refused because of if_version */
	uint16_t unfenced;	     /* lost, and no fence device covers them */
	char refusal[DB_REASON_MAX]; /* of an order or a report, which ended it; else "" */
	uint32_t order_count, orders_left_off;
	struct whatif_order order[WHATIF_ORDERS_MAX];
	uint32_t before_count;
	struct whatif_before *before;
};

/* Bytes that whatif_begin() wants, for a copy of that size. */
size_t whatif_size(const struct db_limits *limits);
/*
 * Lays the copy into mem, from a snapshot (db_encode()), and does to it what happens. Not DB_OK:
 * that cannot happen, or the snapshot is none; the text says why. Borrows mem.
 */
enum db_code whatif_begin(struct whatif *w, void *mem, size_t mem_size,
			  const struct db_limits *limits, const void *snapshot, size_t len,
			  const struct whatif_event *event, char *text, size_t text_size);
/* One plan with its orders, or some reports. False: there is nothing more to do. */
bool whatif_step(struct whatif *w);

/* The i-th volume, group or virtual machine, after the last step. False past the last one. */
bool whatif_outcome(const struct whatif *w, uint32_t i, struct whatif_outcome *ret);
/* Everything that ran and shall run does so in the end. Puts into ret_lost how many do not. */
bool whatif_keeps_running(const struct whatif *w, uint32_t *ret_lost);
const char *whatif_change_word(enum whatif_change change);

#endif
