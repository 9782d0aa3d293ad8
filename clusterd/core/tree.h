/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The resources of one group as a tree of dependencies, and what is to be started or stopped next.
 * Pure: (tree, state of each resource, what is asked) -> actions. doc/resources.md says the rules
 * in words.
 *
 * As long as no resource of the group says what it depends on, they are a list: each depends on the
 * one before it, by position. As soon as one does, the tree alone counts, and who says nothing
 * depends on nothing.
 */
#ifndef CLUSTERD_CORE_TREE_H
#define CLUSTERD_CORE_TREE_H

#include "clusterd/core/db.h"
#include "clusterd/core/depends.h"

#define TREE_MAX 256 /* resources of one group */

struct tree_node {
	const struct db_resource *row; /* borrowed until rows of that kind come or go */
	struct depends depends;
};

struct tree {
	size_t count;
	bool is_list;
	struct tree_node node[TREE_MAX]; /* by position */
	uint16_t order[TREE_MAX];	 /* what is depended on goes first */
};

/*
 * Of the rows as they are. `instead` (may be NULL) takes the place of the row's own text for the
 * resource of that name. -EINVAL: why says whose text cannot be read, or names the cycle.
 */
int tree_make(const struct db *db, const char *group, const char *name, const char *instead,
	      struct tree *ret, char *why, size_t size);
/* -1: there is none. */
int tree_find(const struct tree *t, const char *name);

enum tree_state {
	TREE_DOWN,
	TREE_STARTING,
	TREE_UP, /* or it may be up: it is stopped before it is called down */
	TREE_STOPPING,
};

struct tree_resource {
	enum tree_state state;
	bool is_off;	   /* an administrator has stopped it */
	bool is_failed;	   /* and is not started any more */
	bool must_stop;	   /* once, to be started again */
	bool is_unmanaged; /* counts as online, and is not touched */
};

struct tree_situation {
	bool is_wanted; /* the group shall be online; false: all goes, unmanaged ones too */
	struct tree_resource resource[TREE_MAX];
};

enum tree_verdict {
	TREE_WORKS,   /* something is under way, or is to be done now */
	TREE_IS_UP,   /* as far as it can and shall be */
	TREE_IS_LOST, /* a failure keeps from running what would run without it */
	TREE_IS_DOWN,
};

enum tree_action { TREE_NOTHING, TREE_START, TREE_STOP };

struct tree_step {
	enum tree_verdict verdict;
	bool is_held; /* would be lost, but an unmanaged resource keeps the group here */
	enum tree_action action[TREE_MAX];
};

/* What can be done now, all at the same time. */
void tree_step(const struct tree *t, const struct tree_situation *s, struct tree_step *ret);
/* True of resources that would run if `off` did not; not of itself. By number, of all that are up.
 */
void tree_need(const struct tree *t, const bool *is_up, int off, bool *ret);

/* ---- tree_explain.c */

/* Why the resource is as it is, what it needs and what needs it; for people. */
void tree_explain(const struct db *db, const struct db_resource *r, char *text, size_t size);

#endif
