/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core's commands (struct mig_command) carried out, one after the other in the order in which
 * they were given, by QMP, by looking at this machine, or by a child. Each is answered for once,
 * from the loop; but one whose deadline has passed is not answered for.
 *
 * A command of several QMP commands stops at the first that QEMU refuses: a migration whose
 * encryption could not be set up never starts.
 */
#ifndef MIGRATE_EDGE_COMMANDS_H
#define MIGRATE_EDGE_COMMANDS_H

#include <qb/qbloop.h>
#include <sys/types.h>

#include "migrate/core/mig.h"
#include "migrate/edge/definition.h"
#include "migrate/edge/qmp.h"

struct commands;

struct commands_options {
	const struct definition *definition; /* borrowed for life */
	const char *run_dir;	 /* for a key file, until the stream has come; borrowed for life */
	const char *qemu;	 /* version, of identity.qemu; borrowed for life */
	const bool *is_incoming; /* the VM is not ours yet; borrowed for life */
	void (*on_answer)(void *arg, const struct mig_answer *answer);
	void *arg;
};

int commands_open(qb_loop_t *loop, const struct commands_options *options, struct commands **ret);
/* QMP of that process is there (borrowed), or gone: NULL. */
void commands_set_qmp(struct commands *c, struct qmp *qmp, pid_t pid);
/* Queues it. Never answers from inside. */
void commands_give(struct commands *c, const struct mig_command *command);
/* QEMU's stream has come, or will not: its key is needed no more. */
void commands_stream_began(struct commands *c);
/* Takes NULL, returns NULL. */
struct commands *commands_close(struct commands *c);

#endif
