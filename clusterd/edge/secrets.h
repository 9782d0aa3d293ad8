/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secrets of this node: the texts that parameters refer to (core/secret.h), in files that only root
 * reads and in memory that is left out of core dumps. What a node lacks it fetches from one that
 * has it, over the TLS channel of histories; what no row names any more goes.
 *
 * Loop thread only; a thread of its own does what waits for disk or network.
 */
#ifndef CLUSTERD_EDGE_SECRETS_H
#define CLUSTERD_EDGE_SECRETS_H

#include "clusterd/core/secret.h"
#include "clusterd/edge/engine.h"

struct secrets;

/*
 * How secrets_set() ended: r 0 and the row's version; -errno: nothing is changed; else the result
 * of the command.
 */
typedef void (*secrets_done)(void *arg, int r, const struct db_result *result);

/* Reads what is there. 0, or -errno with a text for the administrator. */
int secrets_open(struct engine *e, const char *dir, struct secrets **ret, char *text, size_t size);
void secrets_close(struct secrets *s);
/* The engine has changed. */
void secrets_changed(struct secrets *s);
/*
 * The parameter's value: `value` itself, or the text that it refers to, good until the next event;
 * NULL if this node has not got that.
 */
const char *secrets_resolve(const struct secrets *s, const char *value);
/* What an agent said: a secret in it becomes asterisks, one for each byte. */
void secrets_redact(const struct secrets *s, char *text);
/* A new text: to this node's disk first, then to the cluster. -EBUSY: one is under way. */
int secrets_set(struct secrets *s, const struct db_command *head, const struct db_command *cmd,
		const char *value, secrets_done done, void *arg);

#endif
