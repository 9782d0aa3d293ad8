/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the executor share; nobody else includes this. */
#ifndef CLUSTERD_EDGE_EXEC_IMPL_H
#define CLUSTERD_EDGE_EXEC_IMPL_H

#include "clusterd/core/stopping.h"
#include "clusterd/edge/exec.h"
#include "clusterd/edge/ocf.h"

#define EXEC_TIMER_NS	   (200 * 1000 * 1000ull)
#define EXEC_GRACE_MS	   5000
#define EXEC_REPORT_MS	   10000
#define EXEC_VOTE_MS	   10000  /* for so long a node that leaves waits until its vote is taken */
#define EXEC_LEAVE_MS	   120000 /* a node that stops moves everything off, for so long at most */
#define EXEC_AGAIN_MS	   30000  /* what is stuck is stopped again, and asked for, so often */
#define EXEC_RESOURCES_MAX 256	  /* of one group */

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
	STOP_RESTART,	/* a monitor failed: from the failed resource on, then start again */
	STOP_FORGOTTEN, /* the group is not ours any more */
};

struct local_resource {
	char name[CL_NAME_MAX];
	uint64_t monitor_due_ms;
	uint64_t seen_ok_ms;
	int start_rc; /* of its last start by this process; 0 before */
};

struct local_group {
	struct exec *exec;
	struct local_group *next;
	char name[CL_NAME_MAX];
	uint64_t order;
	enum local_phase phase;
	enum stop_cause cause;
	size_t count, at; /* resources in order of start; the one in work */
	size_t watched;	  /* the one whose monitor runs */
	size_t stop_to;	  /* STOP_RESTART: stops down to this one */
	struct local_resource resource[EXEC_RESOURCES_MAX];
	struct ocf_run *run;
	bool is_monitoring;
	struct stopping stop; /* of the resource in work */
	bool was_killed;      /* an agent's stop was not enough, so far in this stop */
	bool has_agent_left;  /* one that not even SIGKILL ends; it is tracked nowhere else */
	bool is_stuck;	      /* stopped as far as it goes, and not proven to be over */
	uint64_t again_ms;    /* then: not again before */
	bool ask_runs;
	uint64_t ask_ms;
	char reason[DB_REASON_MAX];
	/* what the database has to be told */
	bool report_wanted, report_runs;
	enum db_work report_work;
	/* restart of one resource, to be told */
	bool restart_wanted;
	char restarted[CL_NAME_MAX];
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
	uint64_t leave_until_ms, vote_until_ms;
};

/* ---- exec.c */

const struct db_group *exec_row_of(const struct local_group *l);
bool exec_is_ours(const struct exec *x, const struct db_group *g);
/* Starts the action; -errno when the agent cannot even be called. */
int exec_call_agent(struct local_group *l, const char *resource, const char *action,
		    ocf_done_fn done);
/* Makes it the group's reason. */
void exec_describe(struct local_group *l, const char *resource, const char *action,
		   const struct ocf_result *result);
/* What the cluster is to be told. */
void exec_report(struct local_group *l, enum db_work work);
/* The next agent action of a group that is starting or stopping. */
void exec_go_on(struct local_group *l);

/* ---- exec_stop.c */

/* cgroup.procs of the resource's control group, or -errno: then nothing is tracked. */
int exec_track_open(struct exec *x, const char *resource);
/* Forgets the resources' control groups, as far as nobody is in them. */
void exec_untrack(const struct local_group *l);
/* What not being able to call an agent comes to as exit code. */
int exec_rc_of_no_call(int r);
/* The step of the stop of the resource in work that is next. */
void exec_stop_on(struct local_group *l);
/* From the timer. */
void exec_stop_look(struct local_group *l);
/* Asks for a fence, if the group is stuck and may. */
void exec_ask_fence(struct local_group *l);

#endif
