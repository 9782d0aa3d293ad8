/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of `csvfsd mount`. */
#ifndef CSVFS_EDGE_MOUNT_OPTIONS_H
#define CSVFS_EDGE_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "csvfs/core/proto.h"

#define MOUNT_UUID_TEXT 37

/* Descriptors that the process that serves has from its holder (csvfs/edge/holder.h). */
struct mount_held {
	int device;	 /* /dev/fuse, mounted */
	int keep;	 /* csvfs/edge/keep.h */
	int lock;	 /* there is one process of this volume and role on this node */
	int control;	 /* to the holder */
	int teller;	 /* csvfs/edge/teller.h */
	char before[64]; /* what became of the process before this one; "": there was none */
};

/* Strings borrow from argv. */
struct mount_options {
	const char *volume;
	struct csv_uuid uuid;
	char uuid_text[MOUNT_UUID_TEXT]; /* in lower case */
	const char *mount_point;
	uint64_t id; /* mount incarnation */
	const char *socket;
	const char *key;
	const char *device;	     /* the LUN; NULL: all I/O is the coordinator's */
	unsigned int busy_timeout_s; /* 0: for ever */
	bool to_syslog;
	bool foreground;
	bool is_held; /* this is to serve */
	struct mount_held held;
};

/* -1: go on with *ret; else the exit status, all is said. */
int mount_options_parse(int argc, char **argv, struct mount_options *ret);

#endif
