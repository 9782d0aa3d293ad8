/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine: carries events from corosync, the disk, the other nodes and the clock into the
 * replication core, and its actions out; applies what is committed; keeps requests until they are
 * applied; and, on the sequencer, turns the applied state into the next commands (admission,
 * votes, plan). It holds no policy of its own.
 *
 * Loop thread only.
 */
#ifndef CLUSTERD_EDGE_ENGINE_H
#define CLUSTERD_EDGE_ENGINE_H

#include <qb/qbloop.h>

#include "clusterd/core/admission.h"
#include "clusterd/core/db.h"
#include "clusterd/core/duty.h"
#include "clusterd/core/repl.h"
#include "clusterd/core/votes.h"
#include "clusterd/edge/bulk.h"
#include "clusterd/edge/cpg.h"
#include "clusterd/edge/health.h"
#include "clusterd/edge/store.h"

/* Requests of this node that are not applied yet. */
#define ENGINE_REQUESTS_MAX 256

struct engine_options {
	const char *db_path;
	const char *secrets_dir;
	const char *key_path;  /* corosync's authkey */
	const char *conf_path; /* corosync.conf: who else may have the database */
	const char *group;     /* CPG group */
	uint16_t bulk_port;
	struct repl_config repl;
	uint64_t checkpoint_entries;
};

/* How a request ended. `r` 0: applied, see result. -ETIME: no quorum until the deadline;
 * -ETIMEDOUT: it was given to the cluster but not seen applied: it may still be. */
typedef void (*engine_done)(void *arg, int r, const struct db_result *result);

struct engine_request {
	struct engine_request *next;
	uint64_t request;
	uint64_t deadline_ms;
	bool was_sent;
	bool is_duty; /* of the sequencer itself; withdrawn when it stops being that */
	engine_done done;
	void *arg;
	uint8_t kind;
	size_t len;
	uint8_t payload[];
};

struct volumes;
struct vms;
struct conf;
struct secrets;
struct whatif_run;
struct replay;
struct witness;

struct engine {
	qb_loop_t *loop;
	struct engine_options options;
	struct store *store;
	struct cpg *cpg;
	struct bulk *bulk;
	struct tls_key key;
	struct repl_state repl;
	struct repl_actions *actions;
	struct health health;
	bool is_stepping, is_settling;
	uint32_t leave_ms; /* asked for with a leave of this node: its time to move things */
	bool has_failed;   /* the database cannot be written: the process must end with an error */

	struct db db;
	void *db_mem;
	struct cl_table applied_table;
	uint32_t ring[CL_MAX_NODES * 4]; /* nodeids of the machines in corosync's ring */
	size_t ring_count;
	struct duty_state duty;
	struct votes_change vote_change; /* the newest that this node made as sequencer */
	bool vote_is_made;		 /* it is committed, and not yet in the history */
	uint32_t token_ms, consensus_ms; /* corosync's, when we joined it; 0: not known */
	struct store_log tail;		 /* entries after db.index, committed or not */
	uint64_t checkpoint_index;
	uint16_t checkpoint_version;

	/* pull */
	struct store_log held;
	bool pull_runs, pull_cancelled, install_runs;
	struct cl_view_id pull_view;
	uint64_t pull_base; /* what it brings goes behind this entry; 0: it is all there is */
	struct bulk_result installed; /* what the running install writes */
	/* what of ours it replaces, see parting.h */
	struct store_saving saving;
	bool replaces_all, ends_first;
	uint64_t end_said_ms;
	struct store_saved saved; /* the cluster is to be told of it */
	bool saved_runs;
	/* Ends everything that runs here, from call to call; true when it is over. */
	bool (*end_here)(void *arg);
	void *end_arg;

	struct engine_request *requests, **requests_end;
	size_t request_count;
	uint64_t next_request;
	bool resend_wanted, duty_wanted, view_changed, left_wanted;
	size_t duties;
	struct whatif_run *whatif; /* the simulation under way, or NULL: verbs_whatif.c */
	struct replay *replay;	   /* the look at the past under way, or NULL: verbs_replay.c */

	qb_loop_timer_handle timer;
	struct volumes *volumes;    /* of this node, for the API; NULL before they are opened */
	struct vms *vms;	    /* likewise */
	struct witness *witness;    /* likewise */
	struct secrets *secrets;    /* likewise; NULL before they are opened */
	struct admission admission; /* for cluster status, as of that applied index */
	uint64_t admission_index;   /* 0: not asked yet */
	struct conf *conf;	    /* corosync.conf of this node, for the sequencer's duties */
	const char *own_agents;	    /* folder of the agents of provider clusterd */
	unsigned int agents_asked;  /* for their meta-data by agent.show, now */
	/* Called after anything that others may want to look at: state applied, view changed. */
	void (*changed)(void *arg);
	void *changed_arg;
};

/* CLOCK_BOOTTIME and CLOCK_REALTIME in ms. */
uint64_t engine_now_ms(void);
uint64_t engine_wall_ms(void);

/* Returns 0, or -errno with a text for the administrator. */
int engine_open(struct engine *e, qb_loop_t *loop, const struct engine_options *options, char *text,
		size_t text_size);
void engine_close(struct engine *e);

/* An empty command of that type, from this clusterd, at this moment. */
struct db_command engine_command(const struct engine *e, enum db_cmd_type type);
/* Gives a command to the cluster; done comes once, from the loop. -EBUSY: too many under way. */
int engine_request(struct engine *e, const struct db_command *cmd, uint64_t timeout_ms,
		   engine_done done, void *arg);
/* As engine_request(), of what db_change_encode() made. */
int engine_change(struct engine *e, const void *payload, size_t len, uint64_t timeout_ms,
		  engine_done done, void *arg);

/* Asks the nodes of this view to go on without `down`; -EPERM: see force_check(). */
int engine_force(struct engine *e, uint16_t down, const char *actor);
/* Makes this blank node the first of a cluster with these members; -EEXIST, -EINVAL. */
int engine_create(struct engine *e, const struct cl_uuid *cluster, const struct cl_table *table);
/* Multicasts a message; drops it (and says so) when corosync takes none. */
void engine_send(struct engine *e, const struct cl_msg *msg);
/* Quorum, the lease, and a state that a majority has: it may be acted upon. */
bool engine_may_act(const struct engine *e);

#endif
