/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files of volumes; see volumes.h. */
#ifndef CLUSTERD_EDGE_VOLUMES_IMPL_H
#define CLUSTERD_EDGE_VOLUMES_IMPL_H

#include <sys/types.h>

#include "clusterd/edge/local.h"
#include "clusterd/edge/volumes.h"
#include "lib/csv_link.h"

#define VOLUMES_TIMER_NS   (200 * 1000 * 1000ull)
#define VOLUMES_REQUEST_MS 10000
#define VOLUMES_AGAIN_MS   200	 /* after a refusal, twice that after the next, and so on ... */
#define VOLUMES_AGAIN_MAX  7	 /* ... so often */
#define VOLUMES_ATTACH_MS  30000 /* a started csvfsd says who it is by then, or is killed */
#define VOLUMES_END_MS	   60000 /* one that was told to end has ended by then, or is killed */
#define VOLUMES_PROVE_MS   20000
#define VOLUMES_STUCK_MS   90000 /* then the cluster is told that nobody knows; more than END_MS */
/*
 * One that does not answer beats for so many of our looks is killed. In looks, not by the clock:
 * this daemon, or the machine, may have been stopped. 30 s: what its main thread does between two
 * beats is memory and locks, never the disk, so this is far more than load explains, and less than
 * VOLUMES_END_MS.
 */
#define VOLUMES_DEAF_LOOKS  150	 /* of VOLUMES_TIMER_NS */
#define VOLUMES_BEAT_MS	    1000 /* between an answer and the next beat */
#define VOLUMES_CALM_MS	    90000 /* a coordinator that has missed nobody for so long misses nobody */
#define VOLUMES_LUN_MS	    30000 /* a LUN that did not answer is looked at again then */
#define VOLUMES_IO_MS	    30000 /* how much was redirected goes to the cluster that often */
#define VOLUMES_IDENTIFY_MS 8000  /* below what a client of the API waits */

struct run;

/* A csvfsd that has attached. */
struct volumes_client {
	struct local_conn *conn;
	struct csv_link_attach who;
	struct csv_link_status status; /* phase STARTING until it says more */
	struct csv_link_state told;
	bool has_told;
};

/* One process of a volume on this node, from its start to the proof of its end. */
struct volumes_process {
	enum csv_link_role role;
	uint64_t id;	  /* mount incarnation or term under which it runs; 0: none */
	bool was_started; /* by this daemon, under `id` */
	bool was_ready;
	bool was_stopped;    /* it said itself that it leaves nothing behind */
	pid_t child;	     /* not reaped yet; 0 if there is none, or it is not our child */
	uint64_t started_ms; /* or since when we wait for it to attach; 0: not yet */
	uint64_t stop_ms;    /* since when it is to end; 0: it may run */
	/* Since when it should be over and is not proven to be, and under which order. */
	uint64_t stuck_ms, stuck_order;
	char text[CSV_LINK_TEXT]; /* the last that it said */
	uint64_t beat, beat_ms;	  /* the last that was sent, and when it was answered */
	uint32_t deaf_looks;	  /* since it was sent, without an answer */
	uint64_t ready_ms;	  /* coordinator: since when it is ready */
	uint64_t killed_ms;	  /* by us, for a reason of ours; 0: not */
	char killed[CSV_LINK_TEXT];
};

struct volumes_local {
	struct volumes_local *next;
	struct volumes *volumes;
	char name[CL_NAME_MAX];
	uint8_t uuid[CSV_LINK_UUID];
	char uuid_text[DB_UUID_TEXT];
	struct volumes_process mount, coordinator;
	bool request_runs; /* a command about this volume is on its way */
	enum db_cmd_type request;
	/* Commands that were not taken are tried again, but not as fast as the log takes them. */
	struct {
		uint8_t refusals; /* one after the other */
		uint64_t next_ms;
	} again[DB_CMD_MAX];
	struct run *prove;	/* looks whether the LUN is free */
	bool is_proven;		/* it was, after the coordinator's process had ended */
	uint64_t prove_next_ms; /* not again before */
	/* Does the LUN answer, asked when something was stuck? */
	bool lun_answers, lun_runs;
	uint8_t lun_tries; /* without an answer */
	uint64_t lun_next_ms;
	uint64_t io_told_ms; /* when the cluster was told last what the mount does */
	uint64_t wanted_id;  /* of the mount that was asked for last */
};

struct volumes {
	struct engine *engine;
	struct volumes_options options;
	char socket[108];
	struct local *local;
	qb_loop_timer_handle timer;
	struct volumes_local *locals;
	struct cpg_addresses addresses[COROSYNC_LINKS];
};

/* volumes_link.c */
int volumes_listen(struct volumes *v, char *text, size_t text_size);
/* The attached csvfsd in that role, or NULL. */
struct volumes_client *volumes_client_find(const struct volumes *v, const uint8_t *uuid,
					   enum csv_link_role role);
/* Tells a client how things are, if that differs from what it was told. */
void volumes_client_tell(struct volumes_client *c, const struct csv_link_state *state);

/* volumes.c: its line is closed; its last words may explain its end. */
void volumes_client_gone(struct volumes *v, const struct volumes_client *c);

/* volumes_life.c: signs of life, and mounts that do not answer their coordinator. */
/* Why it has ended, by the best that is known. */
const char *volumes_last_words(const struct volumes_process *p, const char *otherwise);
/* With each tick of the timer: sends beats, kills one that does not answer. */
void volumes_look_alive(struct volumes_local *l, struct volumes_process *p);
/* Of this node's mount, whose row that is: kills it if the cluster wants it. */
void volumes_look_condemned(struct volumes_local *l, const struct db_volume *row,
			    const struct db_mount *m);
/* Of this node's coordinator: what the cluster must be told of mounts that are silent for it. True
 * and the command, if there is something. */
bool volumes_find_voice(struct volumes_local *l, const struct db_volume *row,
			const struct csv_link_status *status, struct db_command *ret);
/* The same of this node's mount: that its process does not end. */
bool volumes_find_stuck(struct volumes_local *l, const struct db_mount *m, struct db_command *ret);

/* volumes_process.c */
const char *volumes_address(struct volumes *v, uint8_t slot, uint8_t link);
/* 0: it runs now (or ends at once: see the child). */
int volumes_spawn_mount(struct volumes_local *l, const struct db_volume *row);
int volumes_spawn_coordinator(struct volumes_local *l, const struct db_volume *row);
/* No process of that role is left: none holds its lock file, and our child is reaped. */
bool volumes_process_is_over(struct volumes_local *l, struct volumes_process *p);
/* SIGKILL to whoever it is: our child, who has attached, or who holds the lock file. */
void volumes_process_kill(struct volumes_local *l, struct volumes_process *p);
/* Takes away what a mount whose process is over has left: a mount point that answers ENOTCONN. */
void volumes_clean_mount_point(struct volumes_local *l);
/* Starts to look whether the LUN is free; sets is_proven later. */
void volumes_prove(struct volumes_local *l, const char *device);

#endif
