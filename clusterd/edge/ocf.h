/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs OCF resource agents (OCF Resource Agent API 1.1) as they are: finds them, gives them the
 * environment that Pacemaker 2.1 gives, holds them to a deadline, and tells what came of it. It has
 * no opinion on what a failed stop means; that is the planner's.
 *
 * What an agent prints is bytes (lib/run.h). What it starts outlives the action, as OCF wants it:
 * only an action that times out or is cancelled takes its process group with it.
 *
 * doc/ocf.md lists the environment, and the agents that call tools of Pacemaker which are not there
 * under clusterd.
 */
#ifndef CLUSTERD_EDGE_OCF_H
#define CLUSTERD_EDGE_OCF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clusterd/edge/ocf_meta.h"
#include "lib/run.h"

#define OCF_ROOT_DEFAULT "/usr/lib/ocf"
#define OCF_OWN_PROVIDER "clusterd"
#define OCF_PATH_MAX	 512
#define OCF_LIST_MAX	 4096	       /* providers, or types of one */
#define OCF_ENV_MAX	 (256u * 1024) /* all of an agent's environment, bytes */
#define OCF_ENV_VARS_MAX 768
#define OCF_TEXT_MAX	 1024
#define OCF_TEXT_LINES	 8

/* ---- finding ---- */

struct ocf_list {
	char **name; /* sorted by bytes */
	size_t n;
};

/*
 * The folders under ROOT/resource.d, and the executable files of one of them. Names that no
 * resource could be given (hidden files among them) are left out. Negative errno of opendir(),
 * -E2BIG, -ENOMEM, -EINVAL for an invalid provider. Reads local directories: short, but on the
 * loop.
 */
int ocf_list_providers(const char *root, struct ocf_list *ret);
int ocf_list_types(const char *root, const char *provider, struct ocf_list *ret);
/* The executable files of any folder whose names begin with the prefix; otherwise the same. */
int ocf_list_programs(const char *folder, const char *prefix, struct ocf_list *ret);
void ocf_list_done(struct ocf_list *list);

/*
 * Where the agent is: ROOT/resource.d/PROVIDER/TYPE. -ENOENT: not there; -EACCES: there, but not an
 * executable file; -ENAMETOOLONG; -EINVAL for a name that ocf_name_parse() would refuse, or a root
 * that is not absolute.
 */
int ocf_agent_path(const char *root, const struct ocf_name *agent, char *buf, size_t cap);

/* ---- running ---- */

/* All borrowed, and needed only during ocf_start(). NULL and 0 where nothing is said. */
struct ocf_call {
	const char *root; /* NULL: OCF_ROOT_DEFAULT */
	/* Folder of the agents of provider "clusterd"; NULL: under root, as all others. */
	const char *own_agents;
	struct ocf_name agent;
	const char *instance; /* name of the resource; may be NULL for meta-data only */
	const char *action;   /* "start", "stop", "monitor", "validate-all", "reload-agent" ... */
	const struct ocf_value *params;
	size_t n_params;
	/* OCF_RESKEY_CRM_meta_NAME beyond those below; '-' in a name becomes '_' */
	const struct ocf_value *meta;
	size_t n_meta;
	uint32_t timeout_ms;	    /* the deadline; the agent is told it too */
	uint32_t interval_ms;	    /* of a recurring monitor; 0: a probe, for a monitor */
	uint32_t grace_ms;	    /* from SIGTERM to SIGKILL after the deadline */
	uint32_t check_level;	    /* of monitor and validate-all */
	const int *procs;	    /* control group of what it starts, as in lib/run.h */
	const char *node;	    /* where it runs; NULL: not told */
	const char *migrate_source; /* of migrate_to and migrate_from */
	const char *migrate_target;
	const char *state_dir; /* HA_RSCTMP; NULL: the agents' own, /run/resource-agents */
	const char *run_dir;   /* HA_VARRUN; NULL: the agents' own, /var/run */
};

struct ocf_result {
	enum run_kind kind;
	/*
	 * Of RUN_EXITED: what the agent said, also numbers that OCF does not know. Otherwise what
	 * it comes to: OCF_ERR_INSTALLED or OCF_ERR_PERM if it could not be started for these
	 * reasons, OCF_ERR_GENERIC for all the rest, SIGNALLED, TIMED_OUT and CANCELLED among it.
	 */
	int rc;
	int code;	      /* of lib/run.h: signal, errno */
	bool is_left_running; /* not even SIGKILL ended it */
	uint64_t duration_ms;
	/* The last "ocf-exit-reason:" on stderr; "" if there is none. Printable UTF-8. */
	char reason[OCF_TEXT_MAX];
	/* The last lines of stderr. Printable UTF-8. */
	char text[OCF_TEXT_MAX];
	struct run_output out; /* borrowed, ends with the call of `done` */
};

typedef void (*ocf_done_fn)(void *data, const struct ocf_result *result);

struct ocf_run;

/*
 * Starts an action. 0: `done` follows once, from the loop, also if the agent is not there
 * (RUN_FAILED_TO_START). Negative, and no `done`: -EINVAL for a call that is not well-formed
 * (names, parameters with NULL, action, timeout), -E2BIG for too large an environment, -ENOMEM, or
 * what run_start() returns. *ret (may be NULL) is valid until `done` returns. Context: loop.
 */
int ocf_start(struct qb_loop *loop, const struct ocf_call *call, ocf_done_fn done, void *data,
	      struct ocf_run **ret);

/* As run_cancel(). */
void ocf_cancel(struct ocf_run *run, uint32_t grace_ms);

/* For the way out of the process only, as run_free(). Takes NULL, returns NULL. */
struct ocf_run *ocf_free(struct ocf_run *run);

/* The file that the call would run, which may not be there. -ENAMETOOLONG. */
int ocf_call_path(const struct ocf_call *call, char *buf, size_t cap);

/*
 * One line for logs and status: "monitor of ip1 (ocf:heartbeat:IPaddr2): OCF_NOT_RUNNING (7), not
 * running (cleanly stopped), after 31 ms: no such address". Returns buf.
 */
const char *ocf_result_describe(const struct ocf_call *call, const struct ocf_result *result,
				char *buf, size_t cap);

/* ---- meta-data ---- */

/*
 * `meta` is handed over: the callee frees it with ocf_meta_free(). NULL: r is the negative errno of
 * ocf_meta_parse(), or -EIO if the agent failed, -ETIMEDOUT, -ECANCELED, -ENOENT, -EACCES; *error
 * says more.
 */
typedef void (*ocf_meta_done_fn)(void *data, int r, struct ocf_meta *meta,
				 const struct ocf_error *error);

/*
 * Runs the agent's meta-data action and parses what it prints. Uses root, agent, timeout_ms, and
 * grace_ms of `call`. Returns as ocf_start().
 */
int ocf_meta_start(struct qb_loop *loop, const struct ocf_call *call, ocf_meta_done_fn done,
		   void *data, struct ocf_run **ret);

#endif
