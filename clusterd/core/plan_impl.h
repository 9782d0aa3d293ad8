/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the planner share; nobody else includes this. */
#ifndef CLUSTERD_CORE_PLAN_IMPL_H
#define CLUSTERD_CORE_PLAN_IMPL_H

#include "clusterd/core/capacity.h"
#include "clusterd/core/plan.h"

struct plan_trial;

/* How many groups, or coordinators, a node has, as it will be by the orders so far. */
struct plan_load {
	uint32_t count[CL_MAX_NODES];
	uint16_t avoided; /* to be fenced: taken only if there is no other */
	/* of groups only */
	uint32_t flight[CL_MAX_NODES]; /* starts that are under way there, or stops for its sake */
	uint32_t kept[CL_MAX_NODES];   /* of them, turns of what is not yet started there, */
	uint8_t keeps[PLAN_GROUPS_MAX / 8]; /* a bit for each of those groups */
	bool has_freed;			    /* one could not be started: its turn is another's */
	uint32_t flight_max;
	int wave;      /* the highest priority that others wait for; -1: none */
	bool is_again; /* some of the groups have their orders */
	struct capacity_map room;
	const struct plan_trial *trial; /* NULL: all is as the database says */
};

/* A loss that is tried (admission.c). */
struct plan_trial {
	uint16_t lost;	   /* nodes on which nothing is any more */
	const uint8_t *to; /* by row of the group: where it was placed, or CL_NODE_NONE */
};

struct plan_choice {
	uint8_t node; /* CL_NODE_NONE: none, or it has to wait for that one */
	bool is_busy; /* there is one, and it has to wait for it */
	enum db_rule rule;
	uint8_t verdict[CL_MAX_NODES]; /* enum db_verdict */
	uint32_t score[CL_MAX_NODES];
};

/* The wish if it can be had, else the least loaded, of equals the lowest slot. */
uint8_t plan_choose(const struct plan_load *l, uint16_t candidates, uint8_t wish);
/* The node that these orders fence, as a set. */
uint16_t plan_fenced(const struct db *db, const struct plan_orders *out);
bool plan_node_is_admitted(const struct db *db, uint8_t slot, uint64_t incarnation);

/* A coordinator that it needs starts or stops, or is now told to: it waits where it is. */
bool plan_is_moving(const struct db *db, const struct plan_orders *out, const struct db_group *g);

/* An administrator has taken it, or one of its resources: the planner leaves it alone. */
bool plan_is_unmanaged(const struct db_group *g);

void plan_volumes(const struct db *db, struct plan_orders *out);
void plan_jobs(const struct db *db, struct plan_orders *out);
/* Work on its disks keeps it where it is, if these orders (NULL: none) are carried out; or NULL. */
const struct db_job *plan_job_holds(const struct db *db, const struct plan_orders *out,
				    const struct db_group *g);

/* ---- plan_place.c */

/* Of groups: where they are, and where they go. */
void plan_count_load(const struct db *db, struct plan_load *l);
/* The group is to be started there, too. */
void plan_load_add(struct plan_load *l, const struct db_group *g, uint8_t slot);
/*
 * A group that is on its way counts where it goes: no longer, while a node is chosen for it. Of the
 * room there that goes for those of lower priority only (plan_load_give_back()): what goes before
 * it takes what it needs. True if a turn was kept for it.
 */
bool plan_load_take_back(const struct db *db, struct plan_load *l, const struct db_group *g);
/* It was not started after all, and waits for its turn, or for something else. */
void plan_load_give_back(const struct db *db, struct plan_load *l, const struct db_group *g,
			 bool is_turn);
struct plan_choice plan_place(const struct db *db, const struct plan_orders *out,
			      const struct plan_load *l, const struct db_group *g,
			      uint16_t candidates, uint8_t wish);
/* Those of the set that no hard affinity bars, and that have room for it. */
uint16_t plan_allowed(const struct db *db, const struct plan_orders *out, const struct plan_load *l,
		      const struct db_group *g, uint16_t set);
/* Load and room as that group finds them: with the place of what is stopped to be started there. */
void plan_look(const struct db *db, const struct db_group *g, struct plan_load *ret);
/* Of a choice that is a node; before that is added to the load. */
void plan_place_reason(const struct plan_load *l, const struct db_group *g,
		       const struct plan_choice *c, char *text, size_t size);
/* Where it goes back to if these can have it, CL_NODE_NONE: it stays. */
uint8_t plan_failback(const struct db *db, const struct db_group *g, uint16_t candidates);
bool plan_may_fail_back(const struct db *db, const struct db_group *g);
/* Each node, and why it is not that one, added: " (n1: it failed there; n2: ...)". */
void plan_explain_bars(const struct db *db, const struct plan_load *l, const struct db_group *g,
		       char *text, size_t size);
/* False: it waits for nothing of that kind. */
bool plan_explain_place(const struct db *db, const struct db_group *g, char *text, size_t size);

/* ---- plan_affinity.c */

/* Those of the set that no hard affinity bars, if these orders (NULL: none) are carried out. */
uint16_t plan_affinity(const struct db *db, const struct plan_orders *out,
		       const struct plan_trial *trial, const struct db_group *g, uint16_t set);
/* Those that soft ones would rather have, all if there are none. */
uint16_t plan_affinity_soft(const struct db *db, const struct plan_orders *out,
			    const struct plan_trial *trial, const struct db_group *g, uint16_t set);
/* What others that are kept together with it ask for, that would have to come along to a node. */
struct capacity plan_company(const struct db *db, const struct plan_orders *out,
			     const struct plan_load *l, const struct db_group *g);
/* What it is kept together with was stopped, or is, to be started elsewhere. */
bool plan_follows(const struct db *db, const struct plan_orders *out, const struct db_group *g);
/* Another runs with which it is kept together for good: it does not leave alone. */
bool plan_is_bound(const struct db *db, const struct db_group *g);
/* A wish for that node would leave others behind with which it is kept together for good. */
bool plan_would_part(const struct db *db, const struct plan_orders *out, const struct db_group *g,
		     uint8_t slot);

/* ---- plan_wave.c */

void plan_count_flights(const struct db *db, struct plan_load *l);
/* The wave that there is when these orders (NULL: none) are carried out, into the load. */
void plan_count_wave(const struct db *db, const struct plan_orders *out, struct plan_load *l);
/* An order of these is about it. */
bool plan_is_ordered(const struct plan_orders *out, const struct db_group *g);
/* It was stopped, or is, to be started on its goal. */
bool plan_is_on_its_way(const struct db_group *g);
/* The next start at its goal is its, or is not; returns whether it was. */
bool plan_keep_turn(const struct db *db, struct plan_load *l, const struct db_group *g, bool keeps);
bool plan_waits_for_wave(const struct db *db, const struct plan_load *l, const struct db_group *g);
/* The group may be started there now: turns that are kept for others do not keep it from its own.
 */
bool plan_is_turn(const struct plan_load *l, const struct db_group *g, uint8_t slot);
/* Those of the set on which another start may begin. */
uint16_t plan_not_busy(const struct plan_load *l, uint16_t set);

/* ---- plan_vm.c */

/* The migration that is under way when these orders (NULL: none) are carried out, or NULL. */
const struct db_migration *plan_migration_then(const struct db *db, const struct plan_orders *out,
					       const struct db_vm *v);
void plan_vms(const struct db *db, struct plan_orders *out, struct plan_load *l);
/* Why a virtual machine that is online has to be stopped; NULL if not. After plan_vms(). */
const char *plan_vm_why_stop(const struct db *db, const struct plan_orders *out,
			     const struct plan_load *l, const struct db_group *g,
			     const struct db_vm *v);
/* False: there is nothing to say of it that is not said of every group. */
bool plan_explain_vm(const struct db *db, const struct db_group *g, char *text, size_t size);

#endif
