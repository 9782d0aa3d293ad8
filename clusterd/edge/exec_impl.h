/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the executor share; nobody else includes this. */
#ifndef CLUSTERD_EDGE_EXEC_IMPL_H
#define CLUSTERD_EDGE_EXEC_IMPL_H

#include "clusterd/core/stopping.h"
#include "clusterd/core/tree.h"
#include "clusterd/edge/exec.h"
#include "clusterd/edge/ocf.h"

#define EXEC_TIMER_NS  (200 * 1000 * 1000ull)
#define EXEC_GRACE_MS  5000
#define EXEC_REPORT_MS 10000
#define EXEC_VOTE_MS   10000  /* for so long a node that leaves waits until its vote is taken */
#define EXEC_MOVE_MS   120000 /* a node that is told to stop moves everything off, for so long */
#define EXEC_END_MS    120000 /* and then stops what is left, for so long at most */
#define EXEC_AGAIN_MS  30000  /* what is stuck is stopped again, and asked for, so often */
#define EXEC_RUNS_MAX  16     /* agents of one group that run at the same time */

/* What a group's agents are at, on this node. */
enum local_phase {
	LOCAL_STARTING,
	LOCAL_ONLINE,
	LOCAL_STOPPING,
	LOCAL_STOPPED, /* nothing runs; a report may be under way */
};

enum stop_cause {
	STOP_ORDERED,	/* the planner wants it */
	STOP_LEASE,	/* no quorum any more: it starts again here, or elsewhere after a fence */
	STOP_FAILED,	/* a start or a monitor failed beyond repair */
	STOP_FORGOTTEN, /* the group is not ours any more */
};

enum local_doing { DOING_NOTHING, DOING_START, DOING_STOP, DOING_MONITOR, DOING_RELOAD };

struct local_resource {
	struct local_group *group;
	char name[CL_NAME_MAX];
	enum tree_state state;
	enum local_doing doing;
	struct ocf_run *run; /* of `doing` */
	bool is_failed;	     /* beyond its restarts: it is not started any more */
	bool must_stop;	     /* to be started again */
	bool is_bad;	     /* unmanaged, and its monitor says that it does not run */
	bool was_unmanaged;
	uint64_t monitor_due_ms, deep_due_ms;
	int start_rc;	      /* of its last start by this process; 0 before */
	struct stopping stop; /* while TREE_STOPPING */
	bool has_agent_left;  /* one that not even SIGKILL ends; it is tracked nowhere else */
	bool is_stuck;	      /* its stop has gone as far as it goes */
	uint64_t asked;	      /* `asked_at` of what was taken up last */
	uint64_t started; /* index of the database when this process started it; 0: it did not */
	bool reload_wanted;
	bool restart_wanted; /* a restart in place is to be told */
	bool restart_told;   /* that is on its way */
	char reason[DB_REASON_MAX];
};

struct local_group {
	struct exec *exec;
	struct local_group *next;
	char name[CL_NAME_MAX];
	uint64_t order;
	enum local_phase phase;
	enum stop_cause cause;
	size_t count;
	struct local_resource *resource[TREE_MAX]; /* owned */
	uint64_t changed;			   /* what was last looked at of the row */
	bool is_stepping, steps_again;
	bool is_withheld;  /* a start that is due waits for quorum */
	bool is_settled;   /* nothing is under way */
	bool was_killed;   /* an agent's stop was not enough, so far in this stop */
	bool is_stuck;	   /* stopped as far as it goes, and not proven to be over */
	uint64_t again_ms; /* then: not again before */
	bool ask_runs;
	uint64_t ask_ms;
	char reason[DB_REASON_MAX];
	/* what the database has to be told */
	bool report_wanted, report_runs;
	enum db_work report_work;
	struct local_resource *reporting; /* whose report is on its way; NULL: the group's */
};

struct exec {
	struct engine *engine;
	qb_loop_t *loop;
	qb_loop_timer_handle timer;
	void (*stopped)(void *arg);
	bool (*is_held)(void *arg);
	void *arg;
	struct vms *vms;
	const char *own_agents;
	struct local_group *groups;
	bool has_warned; /* that nothing can be tracked here */
	bool is_leaving, leave_runs, has_said_leaving, has_left;
	bool is_asked_to_leave; /* by a command, whose task can be cancelled */
	bool has_said_late;	/* what is left is stopped, not moved */
	uint64_t move_until_ms, leave_until_ms, vote_until_ms;
};

/* ---- exec.c */

const struct db_group *exec_row_of(const struct local_group *l);
bool exec_is_ours(const struct exec *x, const struct db_group *g);

/* ---- exec_leave.c */

/* The cluster is stopped as a whole, and this process was here when that was said. */
bool exec_cluster_stops(const struct exec *x);
/* Begins, or ends, a leave that a command asks for; from the timer. */
void exec_leave_look(struct exec *x);
/* The next step of a node that stops. */
void exec_leave(struct exec *x);

/* ---- exec_report.c */

/* What the cluster is to be told of the group; of its resources it is told what has changed. */
void exec_report(struct local_group *l, enum db_work work);
void exec_send_reports(struct local_group *l);

/* ---- exec_resource.c */

const struct db_resource *exec_resource_row(const struct local_resource *r);
/* Not to be touched: it, or its whole group. */
bool exec_is_unmanaged(const struct local_resource *r);
/* Starts the action; -errno when the agent cannot even be called. */
int exec_call_agent(struct local_resource *r, enum local_doing doing, const char *action,
		    ocf_done_fn done);
/* Makes it the resource's reason. */
void exec_describe(struct local_resource *r, const char *action, const struct ocf_result *result);
void exec_start_resource(struct local_resource *r);
/* What is due of the group's monitors. */
void exec_monitor(struct local_group *l);
/* What its row asks for once, if that is new. */
void exec_take_up(struct local_resource *r, const struct db_resource *row);

/* ---- exec_stop.c */

/* cgroup.procs of the resource's control group, or -errno: then nothing is tracked. */
int exec_track_open(struct exec *x, const char *resource);
/* Forgets the resources' control groups, as far as nobody is in them. */
void exec_untrack(const struct local_group *l);
/* What not being able to call an agent comes to as exit code. */
int exec_rc_of_no_call(int r);
/* Whatever runs of it ends first. */
void exec_stop_resource(struct local_resource *r);
/* The action that ran when its stop was wanted has ended. */
void exec_stop_begin(struct local_resource *r);
/* From the timer. */
void exec_stop_look(struct local_group *l);
/* Nothing more can be done here: the cluster hears it, and asks for a fence if it may. */
void exec_give_up(struct local_group *l);
/* Asks for a fence, if the group is stuck and may. */
void exec_ask_fence(struct local_group *l);

/* ---- exec_tree.c */

bool exec_has_run(const struct local_group *l);
/* Something has happened: all that can be done next, of core/tree.h. */
void exec_go_on(struct local_group *l);
void exec_begin_start(struct local_group *l, uint64_t order);
/* Nothing is known of what runs here: all of it is stopped. */
void exec_assume_up(struct local_group *l);
void exec_begin_stop(struct local_group *l, enum stop_cause cause);
/* Frees what is known of the resources. */
void exec_forget_resources(struct local_group *l);

#endif
