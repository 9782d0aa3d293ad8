/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The volumes of this node: carries out what the database says of them. Every volume is mounted
 * here for as long as this node is admitted; where the planner has ordered it, the coordinator runs
 * here. Both are processes of their own (csvfsd), which outlive this daemon and find it again over
 * a local socket (lib/csv_link.h).
 *
 * What is told to the cluster is proven: a mount has ended when its process is dead (its lock file
 * can be locked), a coordinator when moreover nothing on this machine has the LUN's file system
 * mounted.
 *
 * Loop thread only.
 */
#ifndef CLUSTERD_EDGE_VOLUMES_H
#define CLUSTERD_EDGE_VOLUMES_H

#include "clusterd/edge/engine.h"

struct volumes;

struct volumes_options {
	const char *run_dir;	 /* socket, lock files, private mount points */
	const char *mount_dir;	 /* volumes are mounted at mount_dir/NAME */
	const char *key_path;	 /* corosync's authkey */
	const char *csvfsd;	 /* the program */
	const char *xfs_options; /* of the private mount; NULL: none */
	bool to_syslog;		 /* where csvfsd logs: else to our standard error */
};

/* All of options is borrowed until volumes_close(). 0, or -errno with a text. */
int volumes_open(struct engine *e, const struct volumes_options *options, struct volumes **ret,
		 char *text, size_t text_size);
/* The processes go on. Takes NULL. */
void volumes_close(struct volumes *v);
/* The engine has changed: look at what is to be done. */
void volumes_changed(struct volumes *v);
/* Something of a volume is still mounted here, or held in the database. */
bool volumes_has_work(const struct volumes *v);
/* Kills what is left of volumes here, from call to call; true when it is over, provably. */
bool volumes_end(struct volumes *v);
/* Volumes are mounted in it, each under its name. */
const char *volumes_mount_dir(const struct volumes *v);
/* What a LUN says of itself, by the process that looked; all "" if `text` says why not. */
struct volumes_identity {
	char name[CL_NAME_MAX];
	char uuid[DB_UUID_TEXT];
	char cluster[DB_UUID_TEXT];
	char text[DB_REASON_MAX];
};
typedef void (*volumes_identified)(void *arg, const struct volumes_identity *identity);
/* Looks, in a process of its own, with a deadline; `done` comes once, from the loop. 0 or -errno.
 */
int volumes_identify(struct volumes *v, const char *device, volumes_identified done, void *arg);
/* This node has the volume mounted, and reads and writes its LUN by itself. */
bool volumes_is_active(const struct volumes *v, const char *name);
/* What the csvfsd of that volume says of itself; NULL if it is not attached. */
struct csv_link_status;
const struct csv_link_status *volumes_mount_status(const struct volumes *v, const char *name);

#endif
