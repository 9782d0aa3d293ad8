/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work on disks that this node was ordered to do (core/job.h): starts `csvadm job`, and within
 * `vm-host quiesce` if the virtual machine runs here; tells the cluster how far it is, and how it
 * ended. This daemon itself opens nothing on a volume. A process that an earlier clusterd has left
 * is waited for: it holds the lock of its file.
 *
 * Loop thread only.
 */
#ifndef CLUSTERD_EDGE_JOBS_H
#define CLUSTERD_EDGE_JOBS_H

#include "clusterd/edge/engine.h"

struct jobs;

struct jobs_options {
	const char *run_dir;	/* for files of progress */
	const char *vm_run_dir; /* of vm-hosts */
	const char *csvadm, *vm_host;
};

/* All of options is borrowed until jobs_close(). 0, or -errno with a text. */
int jobs_open(struct engine *e, const struct jobs_options *options, struct jobs **ret, char *text,
	      size_t text_size);
/* What runs is ended, and found by the next clusterd to be done again. Takes NULL. */
void jobs_close(struct jobs *j);
/* The engine has changed: look at what is to be done. */
void jobs_changed(struct jobs *j);

#endif
