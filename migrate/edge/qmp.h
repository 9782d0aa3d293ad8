/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Client of QEMU's machine protocol (QMP, docs/interop/qmp-spec of QEMU) on a stream socket, on a
 * libqb loop: greeting, capabilities, commands with an id and a deadline each, events. It knows no
 * command by name and has no opinion on what an answer means.
 *
 * QEMU is not trusted: lines are bounded, and what is not QMP ends the connection, as QEMU's end
 * does. After `on_end` there is no connection; each command has been answered by then.
 *
 * Callbacks come from the loop only, never from inside qmp_command().
 */
#ifndef MIGRATE_EDGE_QMP_H
#define MIGRATE_EDGE_QMP_H

#include <jansson.h>
#include <qb/qbloop.h>
#include <stddef.h>
#include <stdint.h>

#define QMP_LINE_MAX	(256u * 1024) /* bytes; an answer of what we ask has a few KiB */
#define QMP_OUTPUT_MAX	(64u * 1024)  /* bytes waiting for QEMU to read them */
#define QMP_PENDING_MAX 32	      /* commands without an answer, those given up among them */
#define QMP_GREETING_MS 30000	      /* QEMU greets when its machine is made */

struct qmp;

struct qmp_version {
	unsigned int major, minor, micro;
};

struct qmp_reply {
	int r; /* 0; -EREMOTEIO: QEMU refused; -ETIMEDOUT: the deadline; -EPIPE: the end */
	const json_t *value;	 /* of 0: borrowed, "return" */
	const char *error_class; /* of -EREMOTEIO: "GenericError", "CommandNotFound" ... */
	const char *text;	 /* in words, "" for 0 */
};

typedef void (*qmp_reply_fn)(void *data, const struct qmp_reply *reply);

/* All from the loop; what they are given is borrowed for the call. */
struct qmp_callbacks {
	/* Capabilities are agreed: commands may be given. */
	void (*on_ready)(void *arg, const struct qmp_version *version);
	/* `data` may be NULL. */
	void (*on_event)(void *arg, const char *name, const json_t *data);
	/* Once, the last call. The owner may free the client in it. */
	void (*on_end)(void *arg, const char *why);
};

/* Takes fd, also on failure. 0 and owned, or -errno. */
int qmp_open(qb_loop_t *loop, int fd, const struct qmp_callbacks *callbacks, void *arg,
	     struct qmp **ret);
/*
 * Sends a command. Takes `arguments`, also on failure; NULL: none. 0: `done` follows once, from the
 * loop; it may be NULL. -ENOTCONN before on_ready and after on_end; -ENOBUFS: too many without an
 * answer, or QEMU does not read; -ENOMEM.
 */
int qmp_command(struct qmp *q, const char *name, json_t *arguments, uint32_t timeout_ms,
		qmp_reply_fn done, void *data);
/* Without any callback. Takes NULL, returns NULL. Of the callbacks only from on_end. */
struct qmp *qmp_free(struct qmp *q);

#endif
