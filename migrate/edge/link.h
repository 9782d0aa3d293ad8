/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to the clusterd of this node (lib/vm_link.h), on the loop, kept up: when clusterd
 * is away it is tried again, and the last status is told anew.
 */
#ifndef MIGRATE_EDGE_LINK_H
#define MIGRATE_EDGE_LINK_H

#include <qb/qbloop.h>
#include <stdbool.h>

#include "lib/vm_link.h"

struct link;

struct link_options {
	const char *socket; /* path */
	struct vm_link_attach attach;
	/* clusterd has said how things are. From the loop; borrows state for the call. */
	void (*on_state)(void *arg, const struct vm_link_state *state);
	void *arg;
};

/* Connects in the background. 0 and owned, or -errno; -ENAMETOOLONG. */
int link_open(qb_loop_t *loop, const struct link_options *options, struct link **ret);
/* Tells clusterd, now or when it is back. Never blocks. */
void link_tell(struct link *l, const struct vm_link_status *status);
bool link_is_connected(const struct link *l);
/* Has clusterd been given the last status, as far as the kernel goes? */
bool link_is_told(const struct link *l);
/* Takes NULL, returns NULL. Not from on_state. */
struct link *link_close(struct link *l);

#endif
