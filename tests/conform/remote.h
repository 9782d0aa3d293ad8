/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lockspace of another machine, for the cases of this folder: a driver that sends each call as a
 * line over TCP and waits for its result, and the server that makes the calls there. Both are the
 * same program, so the lines are nobody's business but theirs. Without TLS: for guests only.
 */
#ifndef TESTS_CONFORM_REMOTE_H
#define TESTS_CONFORM_REMOTE_H

#include "lib/lockspace.h"

/* params->name is ADDRESS:PORT of the server. */
extern const struct lockspace_ops remote_ops;
/* Asks that server to release what dead sessions there have left. */
int remote_release(const char *server);

/*
 * Serves on that port until the process ends: a session of `ops` in the lockspace `name` for each
 * connection. Does not return but for an error.
 */
int remote_serve(const struct lockspace_ops *ops, const char *name, uint16_t port,
		 int (*release)(const char *name));

#endif
