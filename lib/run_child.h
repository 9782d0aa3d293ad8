/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A child that is in a control group before its program begins, which posix_spawn() cannot give:
 * nothing that the program starts can be outside of it. Otherwise it gets what run.h promises.
 */
#ifndef LIB_RUN_CHILD_H
#define LIB_RUN_CHILD_H

#include <sys/types.h>

struct run_child {
	const char *path;
	const char *const *argv, *const *envp;
	int in, out, err; /* above 2; in: -1 for /dev/null */
	int procs;	  /* cgroup.procs of the group, open for writing; above 2 */
};

/* 0 and the process id; -errno if the program could not be executed or the group not be joined. */
int run_child_spawn(const struct run_child *c, pid_t *ret_pid);

#endif
