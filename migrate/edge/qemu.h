/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process of one QEMU: started with nothing but what it needs, watched by a pidfd, ended with
 * all that may have come of it. What it says on stderr is kept in part, as text for people.
 */
#ifndef MIGRATE_EDGE_QEMU_H
#define MIGRATE_EDGE_QEMU_H

#include <qb/qbloop.h>
#include <stddef.h>

#define QEMU_STDERR 2048 /* bytes kept: the last */
#define QEMU_TEXT   160
#define QEMU_FDS    16

struct qemu;

/* All borrowed, and needed only during qemu_start(). */
struct qemu_options {
	char *const *argv;  /* argv[0]: absolute path */
	const int *fds;	    /* it sees them as 3, 4, ...; each above 2 and close-on-exec */
	size_t n_fds;	    /* at most QEMU_FDS */
	const char *cgroup; /* path; "": none */
	/* Once, from the loop: no process of it is left. `text` says how it ended. */
	void (*on_end)(void *arg, const char *text);
	void *arg;
};

/*
 * 0 and owned; -errno: not started. The child has a session of its own, the descriptors given, no
 * environment but PATH, and dies with this process's main thread (PR_SET_PDEATHSIG: only to be
 * quicker than whoever looks after us).
 */
int qemu_start(qb_loop_t *loop, const struct qemu_options *options, struct qemu **ret);
int qemu_pid(const struct qemu *q);
/* SIGKILL to all of it, at once; on_end follows. */
void qemu_kill(struct qemu *q);
/* The last of what it said on stderr, as one line. */
void qemu_stderr(const struct qemu *q, char *buf, size_t cap);
/* Kills what is left, without on_end. Takes NULL, returns NULL. Not from on_end. */
struct qemu *qemu_free(struct qemu *q);

#endif
