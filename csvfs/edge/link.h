/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A csvfsd's connection to the clusterd of its node (lib/csv_link.h), kept up by a thread of its
 * own: when clusterd is away it is tried again, and the last status is told anew.
 */
#ifndef CSVFS_EDGE_LINK_H
#define CSVFS_EDGE_LINK_H

#include "lib/csv_link.h"

struct link;

struct link_options {
	const char *socket; /* path */
	struct csv_link_attach attach;
	/* clusterd has said how things are. From the link's thread; borrows state for the call. */
	void (*on_state)(void *arg, const struct csv_link_state *state);
	void *arg;
};

/* Starts the thread; it connects in the background. Returns 0 and owned, or -errno. */
int link_open(const struct link_options *options, struct link **ret);
/* Tells clusterd, now or when it is back. Any thread; never blocks for long. */
void link_tell(struct link *l, const struct csv_link_status *status);
/*
 * Ends the thread. First waits until clusterd has been given the last status, `timeout_ms` at the
 * most. Takes NULL. Not from on_state.
 */
void link_close(struct link *l, unsigned int timeout_ms);

#endif
